//! What simulators of a cluster most easily get wrong, as far as it takes a whole cluster to show it. The list of all
//! of them, with the tests of each, is in docs/fidelity.md.

use super::*;
use crate::spec::{
    Arrivals, Behavior, Client, ControlPlaneComponent, CpuLoad, Crash, Fault, FaultAction, FaultMode, FaultTarget, MemoryUse, RatePoint,
    ServiceBehavior, Source, Step, StepAction,
};
use api::{ContainerState, Job, JobSpec, Kind, PodPhase, Propagation};

fn fault(action: FaultAction, at_s: u64, duration_s: Option<u64>, target: FaultTarget) -> Fault {
    Fault {
        name: "fault".into(),
        at: SimTime::from_secs(at_s),
        duration: duration_s.map(SimDuration::from_secs),
        schedule: None,
        action,
        mode: FaultMode::All,
        target,
    }
}

fn on_node(name: &str) -> FaultTarget {
    FaultTarget::Nodes { labels: None, names: vec![name.into()] }
}

fn step(at_s: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_secs(at_s), action }
}

impl Run {
    fn seconds(&self, pick: impl Fn(&Record) -> bool) -> Vec<f64> {
        self.all(|record| pick(record).then_some(())).iter().map(|(at, ())| at.since(SimTime::ZERO).as_secs_f64()).collect()
    }
}

#[test]
fn the_trap_of_forty_seconds_a_dead_node_is_seen_after_fifty_and_its_pods_go_five_minutes_later() {
    for seed in 1..6 {
        let mut spec = small(900);
        spec.faults.push(fault(FaultAction::NodePoweroff, 120, None, on_node("node-0")));
        let run = run_seed(spec, seed);
        let unknown = run.seconds(|record| matches!(record, Record::NodeReady { status, .. } if &**status == "Unknown"));
        let unready = run.seconds(|record| matches!(record, Record::PodReady { ready: false, .. }));
        let evicted = run.seconds(|record| matches!(record, Record::PodDeleting { by, .. } if &**by == "taint-eviction-controller"));
        // Leases are renewed every 10 s and looked at every 5 s: the last one seen is up to 10 s older than the end.
        assert!((160.0..176.0).contains(&unknown[0]), "seed {seed}: {unknown:?}");
        assert!(unready[0] - unknown[0] < 1.0, "pods of the node are not Ready at once: {unready:?}");
        assert!((300.0..312.0).contains(&(evicted[0] - unknown[0])), "{evicted:?}");
    }
}

#[test]
fn the_trap_of_the_surge_terminating_pods_come_on_top() {
    let mut spec = small(200);
    spec.objects.deployments[0].replicas = 4;
    spec.behaviors.push(Behavior { stop: Some(Distribution::Constant(SimDuration::from_secs(25))), ..Behavior::default() });
    spec.steps.push(step(60, StepAction::SetImage(Kind::Deployment, key("web"), vec![("main".into(), "web:v2".into())])));
    let mut world = World::new(Arc::new(spec), Box::new(FewestPods), 1);
    let (mut most, mut most_active) = (0, 0);
    while world.step(&mut MemorySink::default()).is_some() {
        let terminating = world.store.pods.iter().filter(|(_, pod)| pod.meta.is_deleting()).count();
        most = most.max(world.store.pods.len());
        most_active = most_active.max(world.store.pods.len() - terminating);
    }
    assert_eq!(most_active, 5, "a quarter of four more than four");
    assert_eq!(most, 8, "and every old pod until it has stopped");
}

/// A Job of two pods that run for a long time, beside nothing else.
fn with_job(action: StepAction) -> Run {
    let mut spec = small(120);
    spec.objects.deployments.clear();
    let mut pods = (*template("work", "work:v1", 100)).clone();
    Arc::make_mut(&mut pods.spec).restart_policy = api::RestartPolicy::Never;
    let meta = ObjectMeta { namespace: "default".into(), name: "work".into(), ..ObjectMeta::default() };
    let job = JobSpec { parallelism: 2, completions: Some(2), template: Arc::new(pods), ..JobSpec::default() };
    spec.objects.jobs.push(Job { meta, spec: Arc::new(job), ..Job::default() });
    spec.steps.push(step(60, action));
    run(spec)
}

#[test]
fn the_trap_of_a_deleted_job_the_apis_own_default_leaves_its_pods_and_kubectl_does_not() {
    let left = |propagation| {
        let run = with_job(StepAction::Delete(Kind::Job, key("work"), propagation));
        assert_eq!(run.world.store.jobs.len(), 0);
        run.world.store.pods.iter().map(|(_, pod)| (pod.status.phase, pod.meta.owners.len(), pod.meta.finalizers.len())).collect::<Vec<_>>()
    };
    assert_eq!(left(Propagation::Orphan), [(PodPhase::Running, 0, 0); 2], "they run on, and nobody counts them any more");
    assert_eq!(left(Propagation::Background), []);
    assert_eq!(left(Propagation::Foreground), []);
}

#[test]
fn the_trap_of_slow_kube_proxies_callers_know_within_two_seconds() {
    let mut spec = small(200);
    spec.objects.services.push(api::Service {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(labels("web")),
        ..api::Service::default()
    });
    spec.behaviors.push(Behavior {
        ready_after: Some(Distribution::Constant(SimDuration::ZERO)),
        service: Some(ServiceBehavior {
            cpu_per_request: Distribution::Constant(SimDuration::from_millis(1)),
            concurrency: Some(64),
            queue_limit: 256,
            ..ServiceBehavior::default()
        }),
        ..Behavior::default()
    });
    spec.traffic.window = SimDuration::from_secs(1);
    spec.traffic.sources.push(Source {
        name: "users".into(),
        to: key("web"),
        rate: vec![RatePoint { at: SimTime::from_secs(60), per_second: 50.0, linear: false }],
        arrivals: Arrivals::Poisson,
        users: None,
        via: Default::default(),
        clients: None,
        address: None,
        client: Client { timeout: SimDuration::from_secs(1), ..Client::default() },
    });
    spec.steps.push(step(100, StepAction::Scale(Kind::Deployment, key("web"), 0)));
    spec.steps.push(step(150, StepAction::Scale(Kind::Deployment, key("web"), 3)));
    let run = run(spec);
    let ready = run.seconds(|record| matches!(record, Record::PodReady { ready: true, .. }));
    let back = ready.iter().copied().find(|at| *at > 150.0).expect("they come back");
    let answered = |from: f64, to: f64| {
        let windows = run.all(|record| if let Record::Traffic { counts, .. } = record { Some(counts.succeeded) } else { None });
        let inside = windows
            .into_iter()
            .filter(|(at, _)| at.since(SimTime::ZERO).as_secs_f64() > from + 1.0 && at.since(SimTime::ZERO).as_secs_f64() <= to);
        inside.map(|(_, succeeded)| succeeded).sum::<u64>()
    };
    assert!(answered(70.0, 100.0) > 1000);
    assert_eq!(answered(103.0, 150.0), 0, "no rule leads to a pod that has gone");
    assert!(answered(back + 3.0, back + 10.0) > 200, "rules lead to the new pods: ready at {back}");
}

#[test]
fn the_trap_of_drained_nodes_they_go_one_at_a_time_and_empty_ones_together() {
    let mut spec = small(2400);
    spec.node_pools[0].autoscaling = Some((0, 10));
    spec.node_pools[0].initial = 6;
    spec.objects.deployments[0].replicas = 3;
    spec.objects.deployments[0].template = template("web", "web:v1", 1000);
    let run = run(spec);
    let told = |reason: &str, word: &str| {
        run.seconds(|record| matches!(record, Record::Event { reason: told, message, .. } if &**told == reason && message.contains(word)))
    };
    let empty = told("ScaleDownEmpty", "removing empty node");
    assert!(empty.len() >= 3 && empty[..3].iter().all(|at| at - empty[0] < 1.0), "three of six nodes are empty: {empty:?}");
    // A quarter of a node each: all three fit on one.
    let drained = told("ScaleDown", "removing node");
    assert!(drained.len() == 2 && drained[1] - drained[0] >= 10.0, "{drained:?}");
    let gone = run.seconds(|record| matches!(record, Record::NodeRemoved { .. }));
    let first = gone.iter().find(|at| **at > empty[0] + 9.0).expect("a drained node goes");
    assert!((drained[0]..drained[1] + 0.1).contains(first), "the first goes before the second is touched: {gone:?} {drained:?}");
    assert_eq!(run.world.store.nodes.len(), 1);
}

#[test]
fn the_trap_of_a_random_expander_the_pool_with_the_least_waste_grows() {
    for seed in 1..6 {
        let mut spec = small(300);
        spec.node_pools = vec![pool("large", 0, 16_000), pool("fitting", 0, 4000), pool("huge", 0, 64_000)];
        for pool in &mut spec.node_pools {
            pool.autoscaling = Some((0, 5));
        }
        spec.objects.deployments[0].template = template("web", "web:v1", 1300);
        let run = run_seed(spec, seed);
        let grown = run
            .all(|record| if let Record::NodePool { pool, from, to, .. } = record { Some((pool.to_string(), *from, *to)) } else { None });
        assert_eq!(grown.first().map(|(_, what)| what.clone()), Some(("fitting".to_owned(), 0, 1)), "seed {seed}: {grown:?}");
    }
}

#[test]
fn the_trap_of_usage_the_cluster_autoscaler_looks_at_requests_alone() {
    // (requested of 4 cpus, used, nodes left in the end of the two)
    for (cpu_millis, used_millis, left) in [(1000, 3900, 1), (2500, 1, 2)] {
        let mut spec = small(2000);
        spec.node_pools[0].autoscaling = Some((1, 5));
        spec.objects.deployments[0].replicas = 2;
        spec.objects.deployments[0].template = template("web", "web:v1", cpu_millis);
        let load = CpuLoad { per_pod_millis: used_millis, ..CpuLoad::default() };
        spec.steps.push(step(30, StepAction::SetLoad(load)));
        let run = run(spec);
        assert_eq!(run.world.store.nodes.len(), left, "{cpu_millis}m asked for, {used_millis}m used");
        assert_eq!(run.workload("default/web"), [2; 5]);
    }
}

#[test]
fn the_trap_of_a_dead_api_server_kubelets_go_on_and_nobody_hears_of_it() {
    let mut spec = small(300);
    spec.behaviors.push(Behavior {
        crash: Some(Crash { after: Distribution::Constant(SimDuration::from_secs(110)), exit_code: 1, times: Some(1) }),
        ..Behavior::default()
    });
    let away = FaultAction::ControlPlaneKill(ControlPlaneComponent::KubeApiserver);
    spec.faults.push(fault(away, 90, Some(60), FaultTarget::ControlPlane));
    let run = run(spec);
    let told = run.seconds(|record| matches!(record, Record::PodReady { .. } | Record::Container { .. } | Record::PodPhase { .. }));
    assert!(told.iter().all(|at| !(90.0..150.0).contains(at)), "readiness is not published: {told:?}");
    for (_, pod) in run.world.store.pods.iter() {
        let container = &pod.status.containers[0];
        assert_eq!((container.restart_count, container.ready), (1, true), "every container crashed once, and runs again");
        let ContainerState::Running { started } = container.state else { panic!("{:?}", container.state) };
        assert!((110..140).contains(&started.as_secs()), "it was started again in the middle of the outage: {started}");
    }
}

#[test]
fn the_trap_of_history_who_was_cut_off_for_longer_lists_anew_and_acts_on_what_is() {
    // Cut off for 15 minutes, when etcd has compacted what happened at the beginning. Meanwhile the pods of the node
    // are evicted, and a second node boots and goes again, of which the kubelet must not hear.
    let mut spec = small(1500);
    spec.faults.push(fault(FaultAction::NodeNetworkPartition, 120, Some(900), on_node("node-0")));
    spec.steps.push(step(600, StepAction::Scale(Kind::Deployment, key("web"), 8)));
    spec.steps.push(step(700, StepAction::Scale(Kind::Deployment, key("web"), 4)));
    let run = run(spec);
    let back = 1020.0;
    let marked = run.seconds(|record| matches!(record, Record::PodDeleting { by, .. } if &**by == "taint-eviction-controller"));
    let removed = run.seconds(|record| matches!(record, Record::PodRemoved { .. }));
    assert!(!marked.is_empty() && marked.iter().all(|at| *at < back), "asked to go while it could not hear: {marked:?}");
    let after: Vec<f64> = removed.iter().copied().filter(|at| *at >= back).collect();
    assert_eq!(after.len(), marked.len(), "what it finds deleted in its list it ends: {removed:?}");
    assert!(after.iter().all(|at| *at < back + 60.0), "{after:?}");
    assert_eq!(run.workload("default/web"), [4; 5]);
    assert!(run.world.store.pods.iter().all(|(_, pod)| !pod.meta.is_deleting()));
}

#[test]
fn the_trap_of_kept_thresholds_one_that_is_set_leaves_no_default_beside_it() {
    // A pod grows by 4 MiB per second on a node of 16 GiB. (threshold, the second at which it is evicted)
    for (threshold_mib, evicted) in [(100, Some(4071)), (4096, Some(3072)), (0, None)] {
        let mut spec = small(4300);
        spec.control_plane.kubelet.eviction_hard_memory_available_bytes = threshold_mib << 20;
        spec.objects.deployments[0].replicas = 1;
        let mut pods = (*template("web", "web:v1", 100)).clone();
        Arc::make_mut(&mut pods.spec).containers[0].limits.clear();
        spec.objects.deployments[0].template = Arc::new(pods);
        let points = vec![(SimDuration::ZERO, 0), (SimDuration::from_secs(4300), 4300 * (4 << 20))];
        spec.behaviors.push(Behavior { memory: Some(MemoryUse { points }), ..Behavior::default() });
        let run = run(spec);
        let told = run.seconds(|record| matches!(record, Record::Event { reason, .. } if &**reason == "Evicted"));
        match evicted {
            Some(at) => {
                assert!(told.first().is_some_and(|told| (f64::from(at)..f64::from(at) + 20.0).contains(told)), "{threshold_mib}: {told:?}")
            }
            None => assert!(told.is_empty(), "without a threshold the kernel is the first to notice: {told:?}"),
        }
    }
}
