//! Which nodes go, when, and how.

use api::{IntOrPercent, LabelSelector, PodDisruptionBudget, PodPhase, RestartPolicy, VolumeSource};

use super::super::super::bench::pod;
use super::super::scale_down::drainability::{RemainingBudgets, Verdict, verdict};
use super::*;

fn budget(allowed: i32) -> PodDisruptionBudget {
    let selector = LabelSelector { match_labels: [("app".into(), "guarded".into())].into(), ..LabelSelector::default() };
    let mut budget = PodDisruptionBudget {
        selector: Some(selector),
        min_available: Some(IntOrPercent::Count(1)),
        disruptions_allowed: allowed,
        ..PodDisruptionBudget::default()
    };
    (budget.meta.namespace, budget.meta.name) = ("default".into(), "b".into());
    budget
}

#[test]
fn an_empty_node_goes_after_ten_minutes_but_never_below_the_minimum() {
    let small = pool("small", 1000, (1, 10), 0.1);
    let mut free = rig(std::slice::from_ref(&small)).nodes(&small, 1..4).pods(1, |_| pod("web-0").on("small-1").cpu(600).ready_since(0));
    assert_eq!(
        free.until(3600),
        [
            "10 cluster-autoscaler node small-2 +soft taint",
            "10 cluster-autoscaler node small-3 +soft taint",
            "610 cluster-autoscaler node small-2 cordon +ToBeDeletedByClusterAutoscaler:NoSchedule; \
             ScaleDown Node/small-2: marked the node as toBeDeleted/unschedulable",
            "610 cluster-autoscaler node small-3 cordon +ToBeDeletedByClusterAutoscaler:NoSchedule; \
             ScaleDown Node/small-3: marked the node as toBeDeleted/unschedulable",
            "610 ScaleDownEmpty cluster: Scale-down: removing empty node \"small-2\"",
            "610 ScaleDownEmpty cluster: Scale-down: removing empty node \"small-3\"",
            "615 cluster-autoscaler delete node small-2; ScaleDown Node/small-2: nodes removed by cluster autoscaler",
            "615 cluster-autoscaler delete node small-3; ScaleDown Node/small-3: nodes removed by cluster autoscaler",
            "615 ScaleDownEmpty cluster: Scale-down: empty node small-2 removed",
            "615 pool small 3 -> 2: small-2 empty",
            "615 ScaleDownEmpty cluster: Scale-down: empty node small-3 removed",
            "615 pool small 2 -> 1: small-3 empty",
        ]
    );
    let mut bounded = rig(&[pool("small", 1000, (3, 10), 0.1)]).nodes(&small, 1..4);
    assert_eq!(bounded.until(3600), Vec::<String>::new());
}

#[test]
fn trap_20_underused_nodes_are_drained_one_at_a_time_while_ten_empty_ones_go_at_once() {
    let small = pool("small", 1000, (0, 99), 0.1);
    let mut drains = rig(std::slice::from_ref(&small))
        .nodes(&small, 1..4)
        .pods(3, |number| pod(&format!("web-{number}")).on(&format!("small-{}", number + 1)).cpu(300).ready_since(0));
    assert_eq!(
        hard(drains.until(616)),
        [
            "610 cluster-autoscaler node small-1 cordon +ToBeDeletedByClusterAutoscaler:NoSchedule; \
             ScaleDown Node/small-1: marked the node as toBeDeleted/unschedulable",
            "610 ScaleDown cluster: Scale-down: removing node small-1, utilization: {0.3 0.00390625 0 0 cpu 0.3}, \
             pods to reschedule: web-0",
            "615 cluster-autoscaler disruption target web-0 EvictionByEvictionAPI",
            "615 cluster-autoscaler delete pod web-0",
            "615 ScaleDown Pod/default/web-0: deleting pod for node scale down",
        ]
    );
    drains.kill("web-0");
    let mut drains = drains.pods(1, |_| pod("web-3").on("small-3").cpu(300).ready_since(610));
    assert_eq!(
        only(&drains.until(640), "delete node"),
        ["620 cluster-autoscaler delete node small-1; ScaleDown Node/small-1: nodes removed by cluster autoscaler"]
    );
    let mut empties = rig(std::slice::from_ref(&small)).nodes(&small, 1..26);
    let deleted = only(&empties.until(640), "delete node");
    let times: Vec<&str> = deleted.iter().map(|line| &line[..3]).collect();
    let at = |time: &str| times.iter().filter(|other| **other == time).count();
    // Twenty were found at first and five a loop later, and at most ten are on their way out at once.
    assert_eq!((at("615"), at("625"), at("635")), (10, 10, 5), "{times:?}");
}

#[test]
fn trap_22_requests_decide_and_not_usage() {
    // Nothing in the autoscaler is told what pods use; a pod that asks for nothing makes no node utilized.
    let small = pool("small", 1000, (0, 10), 0.1);
    let goes = |cpu_millis: i64| {
        let mut rig = rig(std::slice::from_ref(&small))
            .nodes(&small, 1..3)
            .pods(2, |number| pod(&format!("web-{number}")).on(&format!("small-{}", number + 1)).cpu(cpu_millis).ready_since(0));
        !only(&rig.until(700), "ToBeDeleted").is_empty()
    };
    assert!(goes(0) && goes(500), "half of it is not more than the threshold of one half");
    assert!(!goes(501));
}

#[test]
fn a_pod_that_may_not_move_keeps_its_node() {
    let safe = |value: &str| pod("a").ready_since(0).annotation("cluster-autoscaler.kubernetes.io/safe-to-evict", value);
    let local = || {
        pod("a").ready_since(0).with(|pod| {
            let volume = api::Volume { name: "scratch".into(), source: VolumeSource::EmptyDir };
            Arc::make_mut(&mut pod.spec).volumes.push(volume);
        })
    };
    let system = |created: u64| pod("a").with(|pod| pod.meta.namespace = "kube-system".into()).created(created);
    let ended = |phase: PodPhase, policy: RestartPolicy| {
        safe("on-completion").with(|pod| {
            pod.status.phase = phase;
            Arc::make_mut(&mut pod.spec).restart_policy = policy;
        })
    };
    let blocks = |why: &str| Verdict::Blocks(why.to_owned());
    let rows: Vec<(&str, TestPod, Verdict)> = vec![
        ("plain", pod("a").ready_since(0), Verdict::Moves),
        ("not safe", safe("false"), blocks("pod annotated as not safe to evict present: a")),
        ("safe", safe("true"), Verdict::Moves),
        ("safe, whatever it keeps", safe("true").labels("app=guarded"), Verdict::Moves),
        ("on completion", safe("on-completion"), Verdict::Waits),
        ("failed", ended(PodPhase::Failed, RestartPolicy::Always), Verdict::Moves),
        ("done", ended(PodPhase::Succeeded, RestartPolicy::OnFailure), Verdict::Moves),
        ("to be started again", ended(PodPhase::Succeeded, RestartPolicy::Always), Verdict::Waits),
        ("mirror", pod("a").annotation("kubernetes.io/config.mirror", "x"), Verdict::Ignored),
        ("long gone", pod("a").deleting(), Verdict::Ignored),
        ("local storage", local(), blocks("pod with local storage present: a")),
        (
            "local storage that may go",
            local().annotation("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes", "other,scratch"),
            Verdict::Moves,
        ),
        ("budget", pod("a").labels("app=guarded").ready_since(0), blocks("not enough pod disruption budget to move default/a")),
        ("old system pod", system(100), Verdict::Moves),
        ("young system pod", system(5000), blocks("non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: a")),
    ];
    for (what, pod, expected) in rows {
        let mut bench = bench().replica_set("web", 1).at(7200);
        bench.store.create(budget(0), bench.now, &bench.streams).expect("a free name");
        let owner = bench.store.replica_sets.iter().next().map(|(_, set)| set.meta.uid).expect("one");
        let namespace = pod.build().meta.namespace;
        if &*namespace != "default" {
            let mut set = bench.store.replica_sets.iter().next().map(|(_, set)| set.clone()).expect("one");
            set.meta.namespace = namespace.clone();
            bench.store.create(set, bench.now, &bench.streams).expect("a free name");
        }
        let owner = if &*namespace == "default" { owner } else { Uid(0) };
        let reference = api::OwnerReference { kind: "ReplicaSet".into(), name: "web".into(), uid: owner, controller: true };
        let id = bench.add_pod(pod.on("n").with(|pod| pod.meta.owners = vec![reference]));
        let pod = bench.store.pods.get(id).expect("it is there");
        assert_eq!(verdict(pod, &RemainingBudgets::default(), &bench.view()), expected, "{what}");
    }
}

#[test]
fn a_pod_of_no_controller_or_of_one_that_is_gone_keeps_its_node() {
    let of = |kind: &str| {
        let kind: Str = kind.into();
        let bench = bench().pod(pod("a").on("n").with(|pod| {
            pod.meta.owners = vec![api::OwnerReference { kind, name: "x".into(), uid: Uid(9), controller: true }];
        }));
        let found = bench.store.pods.get(bench.pod_id("a")).map(|pod| verdict(pod, &RemainingBudgets::default(), &bench.view()));
        found.expect("it is there")
    };
    for kind in ["ReplicaSet", "StatefulSet", "Job", "DaemonSet"] {
        assert_eq!(of(kind), Verdict::Blocks("controller of default/a is not available".to_owned()), "{kind}");
    }
    assert_eq!(of("Rollout"), Verdict::Blocks("default/a is not replicated".to_owned()));
    let bare = bench().pod(pod("a").on("n"));
    let bare_pod = bare.store.pods.get(bare.pod_id("a")).expect("it is there");
    let expected = Verdict::Blocks("default/a is not replicated".to_owned());
    assert_eq!(verdict(bare_pod, &RemainingBudgets::default(), &bare.view()), expected);
}

#[test]
fn flags_let_system_pods_and_local_storage_go() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let local = |name: &str| {
        pod(name).cpu(100).ready_since(0).with(|pod| {
            let volume = api::Volume { name: "scratch".into(), source: VolumeSource::EmptyDir };
            Arc::make_mut(&mut pod.spec).volumes.push(volume);
        })
    };
    let goes = |skip: bool| {
        let mut rig = rig(std::slice::from_ref(&small))
            .nodes(&small, 1..3)
            .pods(2, |number| local(&format!("web-{number}")).on(&format!("small-{}", number + 1)))
            .set(|settings| settings.skip_nodes_with_local_storage = skip);
        !only(&rig.until(700), "ToBeDeleted").is_empty()
    };
    assert!(goes(false) && !goes(true));
}

#[test]
fn a_node_with_the_annotation_stays() {
    let mut small = pool("small", 1000, (0, 10), 0.1);
    small.template.meta.annotations = Arc::new([("cluster-autoscaler.kubernetes.io/scale-down-disabled".into(), "true".into())].into());
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..3);
    assert_eq!(rig.until(3600), Vec::<String>::new());
}

#[test]
fn an_unready_node_goes_after_twenty_minutes() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..2).at(1000);
    let id = rig.bench.node_id("small-1");
    rig.bench.store.update_node(id, |node| {
        node.status.ready = api::ConditionStatus::False;
        true
    });
    let lines = rig.until(4000);
    assert_eq!(only(&lines, "pool "), ["2215 pool small 1 -> 0: small-1 unready"], "seen at 1010, long enough at 2210");
}

#[test]
fn ten_soft_taints_are_written_per_loop_and_taken_off_again() {
    let small = pool("small", 1000, (0, 30), 0.1);
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..13);
    let lines = only(&rig.until(100), "+soft taint");
    let at = |time: &str| lines.iter().filter(|line| line.starts_with(time)).count();
    assert_eq!((lines.len(), at("10 "), at("20 ")), (12, 10, 2));
    let mut rig = rig.at(100).pods(1, |_| pod("web-0").on("small-7").cpu(900));
    assert_eq!(only(&rig.until(200), "soft taint"), ["110 cluster-autoscaler node small-7 -soft taint"]);
    let mut without = super::rig(std::slice::from_ref(&small)).nodes(&small, 1..13).set(|settings| settings.max_bulk_soft_taint_count = 0);
    assert_eq!(only(&without.until(100), "soft taint"), Vec::<String>::new());
}

#[test]
fn a_node_that_was_needed_for_one_loop_starts_anew() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..2);
    rig.until(300);
    let mut rig = rig.at(300).pods(1, |_| pod("web-0").on("small-1").cpu(900));
    rig.until(400);
    rig.bench.now = SimTime::from_secs(400);
    rig.kill("web-0");
    assert_eq!(only(&rig.until(2000), "pool "), ["1015 pool small 1 -> 0: small-1 empty"]);
}

#[test]
fn after_a_scale_up_nothing_goes_for_ten_minutes() {
    let (small, large) = (pool("small", 1000, (0, 10), 0.1), pool("large", 8000, (0, 10), 0.6));
    let mut rig = rig(&[small.clone(), large]).nodes(&small, 1..2);
    rig.until(500);
    let mut rig = rig.at(500).pods(1, |_| pod("web-0").created(500).unschedulable().cpu(5000));
    let lines = rig.until(3600);
    assert_eq!(only(&lines, "pool "), ["510 pool large 0 -> 1: 1 pending pods", "1115 pool small 1 -> 0: small-1 empty"]);
}

#[test]
fn after_a_deletion_nothing_goes_for_as_long_as_is_said() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..13).set(|settings| {
        settings.scale_down_delay_after_delete = SimDuration::from_secs(300);
    });
    let lines = only(&rig.until(3600), "delete node");
    let at = |time: &str| lines.iter().filter(|line| line.starts_with(time)).count();
    assert_eq!((at("615"), at("915"), lines.len()), (10, 2, 12));
}

/// Two nodes of which the first is drained at 610; its pod is held by a budget.
fn guarded(allowed: i32) -> Rig {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..3).pods(2, |number| {
        let labels = if number == 0 { "app=guarded" } else { "" };
        pod(&format!("web-{number}")).labels(labels).on(&format!("small-{}", number + 1)).cpu(200 + 200 * number as i64).ready_since(0)
    });
    rig.bench.store.create(budget(allowed), rig.bench.now, &rig.bench.streams).expect("a free name");
    rig
}

#[test]
fn a_budget_without_any_left_keeps_a_node() {
    assert_eq!(only(&guarded(0).until(700), "small-1"), Vec::<String>::new());
    assert_eq!(only(&guarded(1).until(609), "ToBeDeleted"), Vec::<String>::new());
    assert_eq!(only(&guarded(1).until(612), "ToBeDeleted").len(), 1);
}

#[test]
fn an_eviction_that_is_refused_for_two_minutes_gives_the_node_back() {
    // The budget's status allows one; the API server does not believe it, since the budget has changed after it was written.
    let mut rig = guarded(1);
    let lines = hard(rig.until(760));
    assert_eq!(
        lines[1..],
        [
            "610 ScaleDown cluster: Scale-down: removing node small-1, utilization: {0.2 0.00390625 0 0 cpu 0.2}, \
             pods to reschedule: web-0",
            "615 ScaleDown Pod/default/web-0: deleting pod for node scale down",
            "735 cluster-autoscaler node small-1 uncordon -ToBeDeletedByClusterAutoscaler:NoSchedule",
            "735 Warning ScaleDownFailed Pod/default/web-0: failed to delete pod for ScaleDown",
            "735 Warning ScaleDownFailed Node/small-1: failed to drain and delete node: Failed to drain node /small-1, due to following \
             errors: [failed to evict pod default/web-0 within allowed timeout (last error: Cannot evict pod as it would violate the pod's \
             disruption budget.)]",
        ]
    );
    // Its clock has started anew.
    assert_eq!(only(&rig.until(1330), "ToBeDeleted"), Vec::<String>::new());
}

#[test]
fn pods_that_come_while_the_taint_spreads_save_an_empty_node() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..2);
    rig.until(612);
    let mut rig = rig.at(612).pods(1, |_| pod("web-0").on("small-1").cpu(100).ready_since(612));
    let lines = hard(rig.until(700));
    assert_eq!(
        lines,
        [
            "615 cluster-autoscaler node small-1 uncordon -ToBeDeletedByClusterAutoscaler:NoSchedule",
            "615 Warning ScaleDownFailed Node/small-1: failed to delete empty node: failed to delete empty node \"small-1\", new pods scheduled",
        ]
    );
}

#[test]
fn pods_that_do_not_end_in_time_give_the_node_back() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small))
        .nodes(&small, 1..3)
        .pods(2, |number| pod(&format!("web-{number}")).on(&format!("small-{}", number + 1)).cpu(200 + 200 * number as i64).ready_since(0));
    let lines = hard(rig.until(1300));
    assert_eq!(
        only(&lines, "Warning"),
        ["1245 Warning ScaleDownFailed Node/small-1: failed to drain and delete node: \
          Failed to drain node /small-1: pods remaining after timeout"],
        "600 and 30 seconds after the evictions"
    );
}

#[test]
fn daemon_pods_are_evicted_with_the_others_but_nobody_waits_for_them() {
    let small = pool("small", 1000, (0, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small))
        .nodes(&small, 1..3)
        .pods(2, |number| pod(&format!("web-{number}")).on(&format!("small-{}", number + 1)).cpu(200 + 200 * number as i64).ready_since(0));
    let meta = api::ObjectMeta { namespace: "default".into(), name: "agent".into(), ..api::ObjectMeta::default() };
    let set = api::DaemonSet { meta, ..api::DaemonSet::default() };
    rig.bench.store.create(set, rig.bench.now, &rig.bench.streams).expect("a free name");
    let uid = rig.bench.store.daemon_sets.iter().next().map(|(_, set)| set.meta.uid).expect("one");
    let owner = api::OwnerReference { kind: "DaemonSet".into(), name: "agent".into(), uid, controller: true };
    rig.bench.add_pod(pod("agent-x").on("small-1").cpu(50).ready_since(0).with(|pod| pod.meta.owners = vec![owner]));
    let lines = rig.until(616);
    assert!(only(&lines, "pods to reschedule: web-0")[0].ends_with("web-0"), "the daemon's pod goes nowhere else");
    assert_eq!(only(&lines, "delete pod"), ["615 cluster-autoscaler delete pod web-0", "615 cluster-autoscaler delete pod agent-x"]);
    rig.kill("web-0");
    assert_eq!(only(&rig.until(700), "pool "), ["620 pool small 2 -> 1: small-1 underutilized"], "agent-x is still there");
}

#[test]
fn pods_that_a_drain_cannot_evict_yet_order_a_node_when_their_place_is_taken() {
    // web-0 is held by its budget from 615 on; at 616 another pod takes the room it was to move to.
    let mut rig = guarded(1);
    rig.until(616);
    let mut rig = rig.at(616).pods(1, |_| pod("web-9").on("small-2").cpu(500).ready_since(616));
    let lines = rig.until(640);
    assert_eq!(only(&lines, "pool "), ["620 pool small 2 -> 3: 1 pending pods"]);
    assert_eq!(only(&lines, "Triggered"), ["620 TriggeredScaleUp Pod/default/web-0: pod triggered scale-up: [{small 2->3 (max: 10)}]"]);
}

#[test]
fn a_zero_or_max_group_goes_as_a_whole() {
    let slice = NodePool { zero_or_max: true, ..pool("slice", 1000, (0, 12), 0.1) };
    let mut busy = rig(std::slice::from_ref(&slice)).nodes(&slice, 1..13).pods(1, |_| pod("web-0").on("slice-3").cpu(900).ready_since(0));
    assert_eq!(only(&busy.until(2000), "ToBeDeleted"), Vec::<String>::new(), "one of twelve is in use");
    busy.bench.now = SimTime::from_secs(2000);
    busy.kill("web-0");
    let lines = only(&busy.until(4000), "delete node");
    assert_eq!((lines.len(), lines.iter().filter(|line| line.starts_with("2615 ")).count()), (12, 12), "more than ten at once");
}

#[test]
fn the_cluster_keeps_its_least_cores() {
    let small = pool("small", 1000, (0, 10), 0.1);
    // Upstream counts nodes on their way out, too; so those that go have to be gone before it looks again.
    let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 1..6).set(|settings| {
        (settings.cores_total.0, settings.scale_down_delay_after_delete) = (2, SimDuration::from_secs(60));
    });
    assert_eq!(only(&rig.until(3600), "delete node").len(), 3);
}
