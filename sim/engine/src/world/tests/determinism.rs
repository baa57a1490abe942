//! The same spec, scheduler and seed give the same bytes.

use super::*;
use crate::spec::{Fault, FaultAction, FaultMode, FaultTarget, PodSelector, Step, StepAction};
use api::{Kind, Propagation};
use proptest::prelude::*;

fn bytes(spec: WorldSpec, seed: u64) -> String {
    run_seed(spec, seed).records.iter().map(|(at, record)| format!("{} {record:?}\n", at.as_nanos())).collect()
}

#[derive(Clone, Debug)]
struct Small {
    nodes: u32,
    deployments: Vec<(i32, i64)>,
    faults: Vec<(u64, u64, u8, u8)>,
    steps: Vec<(u64, u8, i32)>,
}

fn small_world() -> impl Strategy<Value = Small> {
    let deployments = prop::collection::vec((0i32..8, 100i64..1500), 1..4);
    let faults = prop::collection::vec((10u64..400, 5u64..400, 0u8..7, 0u8..5), 0..4);
    let steps = prop::collection::vec((5u64..500, 0u8..6, 0i32..10), 0..5);
    (1u32..6, deployments, faults, steps).prop_map(|(nodes, deployments, faults, steps)| Small { nodes, deployments, faults, steps })
}

fn spec(small: &Small) -> WorldSpec {
    let mut spec =
        WorldSpec { duration: SimDuration::from_secs(900), node_pools: vec![pool("node", small.nodes, 4000)], ..WorldSpec::default() };
    for (number, (replicas, cpu_millis)) in small.deployments.iter().enumerate() {
        spec.objects.deployments.push(deployment(&format!("d{number}"), *replicas, *cpu_millis));
    }
    for (number, (at, duration, action, mode)) in small.faults.iter().enumerate() {
        let action = match action {
            0 => FaultAction::NodePoweroff,
            1 => FaultAction::NodeRestart(SimDuration::from_secs(*duration)),
            2 => FaultAction::KubeletServiceKill,
            3 => FaultAction::NodeDrain,
            4 => FaultAction::NodeTaint(api::Taint::new("broken", TaintEffect::NoExecute)),
            5 => FaultAction::ContainerKill { container: None, exit_code: 137 },
            _ => FaultAction::PodKill { grace: SimDuration::from_secs(*duration % 40) },
        };
        let mode = match mode {
            0 => FaultMode::One,
            1 => FaultMode::All,
            2 => FaultMode::Fixed(2),
            3 => FaultMode::FixedPercent(40.0),
            _ => FaultMode::RandomMaxPercent(100.0),
        };
        let strikes_pods = matches!(action, FaultAction::ContainerKill { .. } | FaultAction::PodKill { .. });
        let target =
            if strikes_pods { FaultTarget::Pods(PodSelector::default()) } else { FaultTarget::Nodes { labels: None, names: Vec::new() } };
        spec.faults.push(Fault {
            name: format!("f{number}").into(),
            at: SimTime::from_secs(*at),
            duration: (duration % 3 > 0).then(|| SimDuration::from_secs(*duration)),
            schedule: (duration % 5 == 0).then(|| (SimDuration::from_secs(100), 3)),
            action,
            mode,
            target,
        });
    }
    for (at, what, number) in &small.steps {
        let name = key(&format!("d{}", *number as usize % small.deployments.len()));
        let action = match what {
            0 => StepAction::Scale(Kind::Deployment, name, *number),
            1 => StepAction::SetImage(Kind::Deployment, name, vec![("*".into(), format!("web:v{number}").into())]),
            2 => StepAction::RolloutRestart(Kind::Deployment, name),
            3 => StepAction::RolloutUndo(Kind::Deployment, name, None),
            4 => StepAction::Drain("node-0".into()),
            _ => StepAction::Delete(Kind::Deployment, name, Propagation::Background),
        };
        spec.steps.push(Step { name: "step".into(), at: SimTime::from_secs(*at), action });
    }
    spec
}

#[test]
fn two_runs_of_one_seed_are_equal_to_the_byte_and_two_seeds_are_not() {
    let once = bytes(small(120), 7);
    assert_eq!(once, bytes(small(120), 7));
    assert_ne!(once, bytes(small(120), 8));
}

#[test]
fn limits_and_progress_only_cut_a_run_short() {
    let whole = run_seed(small(120), 7);
    let mut world = World::new(Arc::new(small(120)), Box::new(FewestPods), 7);
    let mut sink = MemorySink::default();
    let summary = world.run(&mut sink, &Limits { max_events: Some(40) }, &mut |_| true);
    assert_eq!((summary.events, summary.reason), (40, "max-events"));
    let cut = sink.records.len() - 1;
    assert_eq!(sink.records[..cut], whole.records[..cut]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_laws_hold_and_runs_repeat(small in small_world(), seed in 0u64..1000) {
        let once = bytes(spec(&small), seed);
        prop_assert_eq!(once, bytes(spec(&small), seed));
    }
}
