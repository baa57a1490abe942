//! What clients of the API server do while it is away, and how they find it again.

use api::{IntOrPercent, Kind, PodDisruptionBudget};

use super::*;
use crate::spec::{ControlPlaneComponent, Fault, FaultAction, FaultMode, FaultTarget, PodSelector, Step, StepAction};

/// A fault for so many seconds.
fn fault(at: u64, seconds: u64, action: FaultAction, target: FaultTarget) -> Fault {
    let (at, duration) = (SimTime::from_secs(at), Some(SimDuration::from_secs(seconds)));
    Fault { name: "fault".into(), at, duration, schedule: None, action, mode: FaultMode::All, target }
}

fn api_server_away(at: u64, seconds: u64) -> Fault {
    fault(at, seconds, FaultAction::ControlPlaneKill(ControlPlaneComponent::KubeApiserver), FaultTarget::ControlPlane)
}

fn step(at_ms: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_millis(at_ms), action }
}

fn steps_of(run: &Run) -> Vec<(u64, String)> {
    let said = run.all(|record| match record {
        Record::Step { step, outcome } => Some(format!("{step}: {outcome}")),
        _ => None,
    });
    said.into_iter().map(|(at, text)| (at.as_secs(), text)).collect()
}

fn evicted(run: &Run) -> usize {
    run.all(|record| matches!(record, Record::PodDeleting { by, .. } if &**by == "kubectl").then_some(())).len()
}

const REFUSED: &str = "The connection to the server was refused - did you specify the right host or port?";

#[test]
fn kubectl_does_nothing_while_nobody_answers_and_says_so() {
    let mut spec = small(300);
    spec.faults.push(api_server_away(100, 60));
    spec.steps = vec![step(120_000, StepAction::Drain("node-0".into())), step(130_000, StepAction::Scale(Kind::Deployment, key("web"), 5))];
    let run = run(spec);
    assert_eq!(steps_of(&run), [(120, format!("step: {REFUSED}")), (130, format!("step: {REFUSED}"))]);
    assert!(run.world.store.nodes.iter().all(|(_, node)| !node.spec.unschedulable));
    assert_eq!((evicted(&run), run.workload("default/web")), (0, [3; 5]));
}

#[test]
fn a_drain_evicts_however_slow_its_cordon_was() {
    for seed in 0..20 {
        let mut spec = small(300);
        spec.control_plane.api_server.request_latency = Distribution::Exponential { mean: SimDuration::from_millis(50) };
        spec.steps.push(step(100_000, StepAction::Drain("node-0".into())));
        let run = run_seed(spec, seed);
        let left = run.world.store.pods.iter().filter(|(_, pod)| pod.node_name.as_deref() == Some("node-0")).count();
        assert_eq!((left, run.workload("default/web")), (0, [3; 5]), "seed {seed}");
    }
}

#[test]
fn a_drain_that_waits_for_a_budget_gives_up_when_nobody_answers() {
    let mut spec = small(300);
    spec.objects.pod_disruption_budgets.push(PodDisruptionBudget {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(LabelSelector { match_labels: (*labels("web")).clone(), ..LabelSelector::default() }),
        min_available: Some(IntOrPercent::Count(3)),
        ..PodDisruptionBudget::default()
    });
    spec.steps.push(step(90_000, StepAction::Drain("node-0".into())));
    spec.faults.push(api_server_away(100, 20));
    let run = run(spec);
    let gave_up: Vec<_> = steps_of(&run).into_iter().filter(|(_, text)| text.starts_with("kubectl drain: evict pod")).collect();
    assert!(!gave_up.is_empty() && gave_up.iter().all(|(at, text)| (100..106).contains(at) && text.ends_with(REFUSED)), "{gave_up:?}");
    assert_eq!(evicted(&run), 0);
}

/// Containers are killed while nobody can be told.
#[test]
fn kubelets_find_the_api_server_again_one_by_one() {
    let mut spec = small(400);
    spec.node_pools = vec![pool("node", 6, 4000)];
    spec.objects.deployments = vec![deployment("web", 6, 3000)];
    let kill = FaultAction::ContainerKill { container: None, exit_code: 1 };
    spec.faults = vec![api_server_away(100, 60), fault(120, 1, kill, FaultTarget::Pods(PodSelector::default()))];
    let run = run(spec);
    let told = run.all(|record| matches!(record, Record::Container { restarts: 1, .. }).then_some(()));
    let mut told: Vec<u64> = told.into_iter().map(|(at, ())| at.since(SimTime::ZERO).as_millis()).collect();
    assert!(told.iter().all(|at| (160_000..225_000).contains(at)), "{told:?}");
    told.dedup();
    assert_eq!(told.len(), 6, "each at its own time: {told:?}");
}

/// Leaders that keep their leases know nothing new until their watches are back.
#[test]
fn a_short_outage_leaves_controllers_deaf_for_a_while() {
    let noticed = |seed| {
        let mut spec = small(200);
        spec.faults.push(api_server_away(100, 4));
        spec.steps.push(step(104_001, StepAction::Scale(Kind::Deployment, key("web"), 4)));
        let run = run_seed(spec, seed);
        let made = run.all(|record| matches!(record, Record::PodCreated { .. }).then_some(()));
        made.last().map_or(0, |(at, ())| at.since(SimTime::ZERO).as_millis())
    };
    let noticed: Vec<u64> = (0..20).map(noticed).collect();
    assert!(noticed.iter().all(|at| (104_000..116_000).contains(at)), "{noticed:?}");
    assert!(noticed.iter().any(|at| *at > 105_000), "{noticed:?}");
}

#[test]
fn news_that_take_unequal_times_keep_their_order() {
    let mut spec = small(300);
    spec.control_plane.api_server.watch_latency = Distribution::Exponential { mean: SimDuration::from_millis(80) };
    spec.steps.push(step(100_000, StepAction::RolloutRestart(Kind::Deployment, key("web"))));
    for seed in 0..10 {
        assert_eq!(run_seed(spec.clone(), seed).workload("default/web"), [3; 5], "seed {seed}");
    }
}

#[test]
fn a_machine_that_boots_in_an_outage_registers_when_it_is_over() {
    let mut spec = small(600);
    spec.node_pools = vec![NodePool { autoscaling: Some((1, 3)), ..pool("node", 1, 4000) }];
    spec.objects.deployments = vec![deployment("web", 2, 3000)];
    spec.faults.push(api_server_away(40, 100));
    let run = run(spec);
    let added = run.all(|record| matches!(record, Record::NodeAdded { .. }).then_some(()));
    let second = added[1].0.as_secs();
    assert!((140..148).contains(&second), "ordered within 40 s, there after 60 s, tries every 7 s: {second}");
}
