//! What happens in small clusters, from manifest to repair.

use super::*;
use crate::spec::{Fault, FaultAction, FaultMode, FaultTarget, Mark, Step, StepAction};
use api::{Kind, Propagation};

fn fault(action: FaultAction, at_s: u64, duration_s: Option<u64>, node: &str) -> Fault {
    Fault {
        name: "fault".into(),
        at: SimTime::from_secs(at_s),
        duration: duration_s.map(SimDuration::from_secs),
        schedule: None,
        action,
        mode: FaultMode::All,
        target: FaultTarget::Nodes { labels: None, names: vec![node.into()] },
    }
}

fn step(at_s: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_secs(at_s), action }
}

#[test]
fn a_deployment_becomes_ready_on_both_nodes() {
    let run = run(small(60));
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    let nodes = run.all(|record| if let Record::PodScheduled { node, .. } = record { Some(node.to_string()) } else { None });
    let count = |name: &str| nodes.iter().filter(|(_, node)| node == name).count();
    assert_eq!((count("node-0") + count("node-1"), count("node-0") > 0, count("node-1") > 0), (3, true, true));
    assert_eq!(run.summary.reason, "horizon");
    assert_eq!(run.world.now(), SimTime::from_secs(60));
}

#[test]
fn a_node_that_loses_power_is_noticed_after_its_grace_and_its_pods_are_replaced_after_their_toleration() {
    let mut spec = small(900);
    spec.faults.push(fault(FaultAction::NodePoweroff, 120, None, "node-0"));
    let run = run(spec);
    let unknown = run.all(|record| match record {
        Record::NodeReady { node, status, .. } if &**node == "node-0" && &**status == "Unknown" => Some(()),
        _ => None,
    });
    let noticed = unknown.first().expect("the silence is noticed").0;
    // The last renewal lies up to 10 s before the power loss; 50 s of grace; the next tick of 5 s.
    let after = noticed.since(SimTime::from_secs(120)).as_secs_f64();
    assert!((40.0..56.0).contains(&after), "noticed after {after} s");
    let evicted = run.all(|record| match record {
        Record::PodDeleting { by, .. } if &**by == "taint-eviction-controller" => Some(()),
        _ => None,
    });
    let waited = evicted.first().expect("pods are evicted").0.since(noticed).as_secs_f64();
    assert!((300.0..312.0).contains(&waited), "evicted after {waited} s");
    let again = run.ready_at("default/web", 3, evicted[0].0).expect("replacements become ready");
    assert!(again.since(evicted[0].0) < SimDuration::from_secs(15), "{again}");
}

#[test]
fn a_node_that_comes_back_in_time_is_never_noticed() {
    let mut spec = small(400);
    spec.faults.push(fault(FaultAction::KubeletServiceKill, 120, Some(20), "node-0"));
    let run = run(spec);
    let not_ready = run.all(|record| match record {
        Record::NodeReady { status, .. } if &**status != "True" => Some(()),
        _ => None,
    });
    assert_eq!(not_ready, []);
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
}

#[test]
fn a_new_image_rolls_out_without_losing_more_than_a_quarter() {
    let mut spec = small(300);
    spec.objects.deployments[0].replicas = 4;
    spec.steps.push(step(60, StepAction::SetImage(Kind::Deployment, key("web"), vec![("main".into(), "web:v2".into())])));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [4, 4, 4, 4, 4]);
    let sets = run.all(|record| match record {
        Record::Workload { kind, name, desired, .. } if &**kind == "ReplicaSet" => Some((name.to_string(), *desired)),
        _ => None,
    });
    let newest = sets.last().map(|(_, (name, _))| name.clone()).expect("there are ReplicaSets");
    assert!(sets.iter().any(|(_, (name, desired))| *name != newest && *desired == 0) || sets.iter().any(|(_, (_, desired))| *desired == 0));
    assert!(run.fewest_serving(60) >= 3);
}

#[test]
fn an_undone_rollout_comes_back_to_the_first_template() {
    let mut spec = small(400);
    spec.steps.push(step(60, StepAction::SetImage(Kind::Deployment, key("web"), vec![("*".into(), "web:v2".into())])));
    spec.steps.push(step(180, StepAction::RolloutUndo(Kind::Deployment, key("web"), None)));
    let run = run(spec);
    let outcomes = run.all(|record| if let Record::Step { outcome, .. } = record { Some(outcome.to_string()) } else { None });
    let outcomes: Vec<&str> = outcomes.iter().map(|(_, outcome)| &**outcome).collect();
    assert_eq!(outcomes, ["deployment.apps/web image updated", "deployment.apps/web rolled back"]);
    let images: Vec<&str> =
        run.world.store.pods.iter().filter(|(_, pod)| pod.is_active()).map(|(_, pod)| &*pod.spec.containers[0].image).collect();
    assert_eq!(images, ["web:v1"; 3]);
}

#[test]
fn steps_that_cannot_be_done_say_so_and_change_nothing() {
    let mut spec = small(120);
    spec.steps.push(step(60, StepAction::Scale(Kind::Deployment, key("nobody"), 3)));
    spec.steps.push(step(61, StepAction::SetImage(Kind::Deployment, key("web"), vec![("sidecar".into(), "x".into())])));
    spec.steps.push(step(62, StepAction::RolloutUndo(Kind::Deployment, key("web"), None)));
    spec.marks.push(Mark { name: "peak".into(), at: SimTime::from_secs(70) });
    let run = run(spec);
    let outcomes = run.all(|record| if let Record::Step { outcome, .. } = record { Some(outcome.to_string()) } else { None });
    let outcomes: Vec<&str> = outcomes.iter().map(|(_, outcome)| &**outcome).collect();
    assert_eq!(
        outcomes,
        [
            "Error from server (NotFound): deployments.apps \"nobody\" not found",
            "error: unable to find container named \"sidecar\"",
            "error: no rollout history found for deployment \"web\"",
        ]
    );
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    assert_eq!(run.all(|record| matches!(record, Record::Mark { .. }).then_some(())), [(SimTime::from_secs(70), ())]);
}

#[test]
fn a_drain_moves_pods_one_by_one_as_their_budget_allows() {
    let mut spec = small(600);
    spec.objects.pod_disruption_budgets.push(api::PodDisruptionBudget {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(LabelSelector { match_labels: (*labels("web")).clone(), ..LabelSelector::default() }),
        max_unavailable: Some(api::IntOrPercent::Count(1)),
        ..api::PodDisruptionBudget::default()
    });
    spec.steps.push(step(60, StepAction::Drain("node-0".into())));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    let left: Vec<_> = run.world.store.pods_on("node-0").collect();
    assert_eq!(left.len(), 0);
    assert!(run.fewest_serving(60) >= 2);
}

#[test]
fn a_deleted_deployment_takes_its_pods_along() {
    let mut spec = small(200);
    spec.steps.push(step(60, StepAction::Delete(Kind::Deployment, key("web"), Propagation::Background)));
    let run = run(spec);
    assert_eq!(run.world.store.pods.len(), 0);
    assert_eq!(run.world.store.replica_sets.len(), 0);
}

#[test]
fn in_the_foreground_pods_go_first_and_the_deployment_last() {
    let mut spec = small(200);
    spec.steps.push(step(60, StepAction::Delete(Kind::Deployment, key("web"), Propagation::Foreground)));
    let mut world = World::new(Arc::new(spec), Box::new(FewestPods), 1);
    let mut last_seen = [SimTime::ZERO; 3];
    while world.step(&mut trace::MemorySink::default()).is_some() {
        let there = [world.store.pods.len(), world.store.replica_sets.len(), world.store.deployments.len()];
        for (last, _) in last_seen.iter_mut().zip(there).filter(|(_, count)| *count > 0) {
            *last = world.now();
        }
    }
    assert!(last_seen[0] < last_seen[1] && last_seen[1] < last_seen[2], "{last_seen:?}");
    assert!(last_seen[2] < SimTime::from_secs(65), "{last_seen:?}");
    assert_eq!(world.store.pods.len(), 0);
}

#[test]
fn orphans_stay_without_an_owner() {
    let mut spec = small(200);
    spec.steps.push(step(60, StepAction::Delete(Kind::Deployment, key("web"), Propagation::Orphan)));
    let run = run(spec);
    assert_eq!(run.world.store.deployments.len(), 0);
    assert_eq!(run.world.store.pods.len(), 3);
    assert!(run.world.store.replica_sets.iter().all(|(_, set)| set.meta.owners.is_empty()));
}

#[test]
fn a_container_that_crashes_is_started_again_and_again_ever_more_slowly() {
    let mut spec = small(400);
    spec.objects.deployments[0].replicas = 1;
    spec.behaviors.push(crate::spec::Behavior {
        crash: Some(crate::spec::Crash { after: Distribution::Constant(SimDuration::from_secs(5)), exit_code: 1, times: None }),
        ..crate::spec::Behavior::default()
    });
    let run = run(spec);
    let starts = run.all(|record| match record {
        Record::Container { state, restarts, .. } if &**state == "Running" => Some(*restarts),
        _ => None,
    });
    let counts: Vec<u32> = starts.iter().map(|(_, restarts)| *restarts).collect();
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6]);
    let waits: Vec<u64> = starts.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
    assert!(waits.is_sorted() && waits[0] < 10 && waits[5] >= 160, "{waits:?}");
}

#[test]
fn a_killed_container_comes_back_without_a_new_pod() {
    let mut spec = small(120);
    spec.faults.push(Fault {
        target: FaultTarget::Pods(crate::spec::PodSelector::default()),
        mode: FaultMode::One,
        ..fault(FaultAction::ContainerKill { container: None, exit_code: 137 }, 60, None, "")
    });
    let run = run(spec);
    let created = run.all(|record| matches!(record, Record::PodCreated { .. }).then_some(()));
    assert_eq!(created.len(), 3);
    assert_eq!(run.world.store.pods.iter().map(|(_, pod)| pod.restart_count()).sum::<u32>(), 1);
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    let ends = run.all(|record| matches!(record, Record::FaultEnded { .. }).then_some(()));
    assert_eq!(ends, [(SimTime::from_secs(60), ())]);
}

#[test]
fn a_node_that_restarts_runs_the_same_pods_again() {
    let mut spec = small(300);
    spec.faults.push(fault(FaultAction::NodeRestart(SimDuration::from_secs(30)), 60, None, "node-0"));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    assert_eq!(run.all(|record| matches!(record, Record::PodCreated { .. }).then_some(())).len(), 3);
    let on_node = run.world.store.pods_on("node-0").map(|(_, pod)| pod.restart_count()).collect::<Vec<u32>>();
    assert!(!on_node.is_empty() && on_node.iter().all(|restarts| *restarts == 1), "{on_node:?}");
}

#[test]
fn pods_without_room_get_a_node_that_the_cluster_autoscaler_orders() {
    let mut spec = small(400);
    spec.node_pools[0].autoscaling = Some((1, 5));
    spec.node_pools[0].initial = 1;
    spec.objects.deployments[0].replicas = 10;
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [10, 10, 10, 10, 10]);
    let added = run.all(|record| if let Record::NodeAdded { node, .. } = record { Some(node.to_string()) } else { None });
    let names: Vec<&str> = added.iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["node-0", "node-1"]);
    assert!(added[1].0 >= SimTime::from_secs(60), "a node takes its time to boot");
}

#[test]
fn a_node_that_is_deleted_is_taken_off_and_its_pods_are_replaced() {
    let mut spec = small(300);
    spec.steps.push(step(60, StepAction::Delete(Kind::Node, ObjectKey::new("", "node-0"), Propagation::Background)));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    assert!(run.world.store.pods.iter().all(|(_, pod)| pod.node_name.as_deref() == Some("node-1")));
}

fn quota(pods: i64) -> api::ResourceQuota {
    let hard = [("pods".into(), pods), ("requests.cpu".into(), 10_000)].into();
    let meta = ObjectMeta { namespace: "default".into(), name: "q".into(), ..ObjectMeta::default() };
    api::ResourceQuota { meta, hard, ..api::ResourceQuota::default() }
}

#[test]
fn a_full_quota_stops_a_replica_set_until_there_is_room_again() {
    let mut spec = small(900);
    spec.objects.deployments[0].replicas = 10;
    // Pods that start together: each that starts by itself has the ReplicaSet try again, and fail once more.
    spec.control_plane.kubelet.image_check = Distribution::Constant(SimDuration::ZERO);
    spec.objects.resource_quotas.push(quota(5));
    let larger = crate::spec::Objects { resource_quotas: vec![quota(12)], ..crate::spec::Objects::default() };
    spec.steps.push(step(60, StepAction::Apply(Arc::new(larger))));
    let run = run(spec);
    let refused = run.all(|record| match record {
        Record::Event { reason, message, .. } if &**reason == "FailedCreate" => Some(message.to_string()),
        _ => None,
    });
    let ends = ", requested: pods=1, used: pods=5, limited: pods=5";
    assert!(refused[0].1.starts_with("Error creating: pods \"web-") && refused[0].1.ends_with(ends), "{refused:?}");
    assert!(refused.len() < 20, "back-off spares the API server: {}", refused.len());
    let first = refused.iter().filter(|(at, _)| *at == refused[0].0).count();
    assert_eq!(first, 2, "the third wave asks for four, of which two are refused; the rest is not asked for");
    assert_eq!(run.workload("default/web"), [10, 10, 10, 10, 10], "once the limit was raised");
    let quota = run.world.store.resource_quotas.iter().next().expect("one").1;
    let used = &quota.status.as_ref().expect("counted").used;
    assert_eq!((used.get("pods"), used.get("requests.cpu")), (Some(&10), Some(&5000)));
}

#[test]
fn a_limit_range_fills_in_requests_and_refuses_what_is_too_large() {
    let mut spec = small(60);
    let list = |cpu| [(ResourceName::Cpu, cpu)].into();
    let item = api::LimitRangeItem {
        kind: api::LimitType::Container,
        min: api::ResourceList::new(),
        max: list(1000),
        default: list(200),
        default_request: list(150),
        max_ratio_millis: std::collections::BTreeMap::new(),
    };
    let meta = ObjectMeta { namespace: "default".into(), name: "lr".into(), ..ObjectMeta::default() };
    spec.objects.limit_ranges.push(api::LimitRange { meta, limits: vec![item] });
    let without = deployment("none", 1, 0);
    let mut template = (*without.template).clone();
    Arc::make_mut(&mut template.spec).containers[0].requests.clear();
    Arc::make_mut(&mut template.spec).containers[0].limits.clear();
    spec.objects.deployments.push(Deployment { template: Arc::new(template), ..without });
    spec.objects.deployments.push(deployment("big", 1, 2000));
    let run = run(spec);
    let filled = run.world.store.pods.iter().find(|(_, pod)| pod.meta.name.starts_with("none-")).expect("a pod").1;
    assert_eq!(filled.spec.containers[0].requests.get(&ResourceName::Cpu), Some(&150));
    assert_eq!(filled.spec.containers[0].limits.get(&ResourceName::Cpu), Some(&200));
    let messages = run.all(|record| match record {
        Record::Event { reason, message, .. } if &**reason == "FailedCreate" => Some(message.to_string()),
        _ => None,
    });
    assert!(messages[0].1.ends_with("is forbidden: maximum cpu usage per Container is 1, but limit is 2"), "{messages:?}");
}

#[test]
fn a_deleted_namespace_is_emptied_pods_first_and_then_goes() {
    let mut spec = small(120);
    let meta = ObjectMeta { name: "default".into(), ..ObjectMeta::default() };
    spec.objects.namespaces.push(api::Namespace { meta });
    spec.steps.push(step(60, StepAction::Delete(Kind::Namespace, ObjectKey::new("", "default"), Propagation::Background)));
    let run = run(spec);
    assert_eq!(run.world.store.namespaces.len() + run.world.store.pods.len() + run.world.store.deployments.len(), 0);
    let refused = run.all(|record| matches!(record, Record::Event { message, .. } if message.contains("being terminated")).then_some(()));
    assert!(refused.is_empty(), "a ReplicaSet keeps quiet about a namespace that goes: {refused:?}");
}

fn away(component: crate::spec::ControlPlaneComponent, at_s: u64, duration_s: u64) -> Fault {
    Fault { target: FaultTarget::ControlPlane, ..fault(FaultAction::ControlPlaneKill(component), at_s, Some(duration_s), "") }
}

fn became_leader(run: &Run) -> Vec<u64> {
    let times = run.all(|record| matches!(record, Record::Event { reason, .. } if &**reason == "LeaderElection").then_some(()));
    times.iter().map(|(at, ())| at.as_secs()).collect()
}

#[test]
fn without_a_scheduler_pods_stay_pending_until_its_lease_has_run_out_and_it_leads_again() {
    let mut spec = small(200);
    spec.faults.push(away(crate::spec::ControlPlaneComponent::KubeScheduler, 50, 30));
    spec.steps.push(step(60, StepAction::Scale(Kind::Deployment, key("web"), 6)));
    let run = run(spec);
    let led = became_leader(&run);
    assert!(led.len() == 1 && (95..=99).contains(&led[0]), "away for 30 s, and 15 s to 19.4 s for the lease: {led:?}");
    let placed = run.all(|record| matches!(record, Record::PodScheduled { .. }).then_some(()));
    assert_eq!(placed.len(), 6);
    assert!(placed[3..].iter().all(|(at, ())| at.as_secs() >= led[0]), "{placed:?}");
    assert_eq!(run.workload("default/web"), [6, 6, 6, 6, 6]);
}

#[test]
fn a_standby_takes_over_sooner_than_a_crashed_leader_comes_back() {
    let mut spec = small(200);
    spec.control_plane.leader_election.controller_manager_replicas = 2;
    spec.faults.push(away(crate::spec::ControlPlaneComponent::KubeControllerManager, 50, 100));
    spec.faults.push(Fault {
        target: FaultTarget::Pods(crate::spec::PodSelector::default()),
        mode: FaultMode::All,
        ..fault(FaultAction::PodKill { grace: SimDuration::ZERO }, 52, None, "")
    });
    let run = run(spec);
    let led = became_leader(&run);
    assert!(led.len() == 1 && (63..=70).contains(&led[0]), "{led:?}");
    let made = run.all(|record| matches!(record, Record::PodCreated { .. }).then_some(()));
    assert_eq!(made.len(), 6);
    assert!(made[3].0.as_secs() >= led[0], "nobody replaced them before: {made:?}");
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
}

#[test]
fn nothing_lands_while_the_api_server_is_away_and_everything_does_afterwards() {
    for (away_s, leaders) in [(8, 0), (120, 2)] {
        let mut spec = small(400);
        spec.faults.push(away(crate::spec::ControlPlaneComponent::KubeApiserver, 50, away_s));
        spec.faults.push(Fault {
            target: FaultTarget::Pods(crate::spec::PodSelector::default()),
            mode: FaultMode::One,
            ..fault(FaultAction::ContainerKill { container: None, exit_code: 1 }, 52, None, "")
        });
        let run = run(spec);
        let inside = run.all(|record| {
            matches!(record, Record::Container { .. } | Record::PodReady { .. } | Record::NodeReady { .. } | Record::Workload { .. })
                .then_some(())
        });
        let inside: Vec<_> = inside.iter().filter(|(at, ())| (51..50 + away_s).contains(&at.as_secs())).collect();
        assert!(inside.is_empty(), "{inside:?}");
        assert_eq!(became_leader(&run).len(), leaders);
        assert_eq!(run.world.store.pods.iter().map(|(_, pod)| pod.restart_count()).sum::<u32>(), 1, "probes and restarts go on");
        assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
        let evicted = run.all(|record| matches!(record, Record::PodDeleting { .. }).then_some(()));
        assert!(evicted.is_empty(), "a control plane that was cut off evicts nobody: {evicted:?}");
    }
}

#[test]
fn a_jitter_of_requests_changes_when_and_not_what() {
    let mut spec = small(200);
    spec.control_plane.api_server.request_jitter = Distribution::Exponential { mean: SimDuration::from_millis(20) };
    spec.steps.push(step(60, StepAction::Scale(Kind::Deployment, key("web"), 6)));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [6, 6, 6, 6, 6]);
}
