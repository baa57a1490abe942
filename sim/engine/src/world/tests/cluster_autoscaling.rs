//! Whole clusters that grow and shrink.

use std::collections::BTreeMap;

use super::*;
use crate::spec::{Fault, FaultAction, FaultMode, FaultTarget, ProvisioningFailure, ProvisioningFailureReason};

/// So many pods of 3 cpus on nodes of 4, and no node at the start.
fn growing(pools: Vec<NodePool>, replicas: i32, duration_s: u64) -> WorldSpec {
    let mut spec = WorldSpec { duration: SimDuration::from_secs(duration_s), node_pools: pools, ..WorldSpec::default() };
    spec.objects.deployments.push(deployment("web", replicas, 3000));
    spec
}

fn resized(name: &str, limits: (u32, u32), price_per_hour: f64) -> NodePool {
    NodePool { autoscaling: Some(limits), price_per_hour, ..pool(name, limits.0, 4000) }
}

fn stockout(pool: &str, duration_s: u64) -> Fault {
    let failure = ProvisioningFailure {
        pools: vec![pool.into()],
        reason: ProvisioningFailureReason::OutOfResources,
        message: "no more machines".into(),
        share: 1.0,
        after: SimDuration::from_secs(20),
    };
    Fault {
        name: "stockout".into(),
        at: SimTime::ZERO,
        duration: Some(SimDuration::from_secs(duration_s)),
        schedule: None,
        action: FaultAction::ProvisioningFailure(failure),
        mode: FaultMode::All,
        target: FaultTarget::Cloud,
    }
}

/// Seconds and texts of all changes of pools.
fn pool_changes(run: &Run) -> Vec<String> {
    let changes = run.all(|record| match record {
        Record::NodePool { pool, from, to, reason, .. } => Some(format!("{pool} {from} -> {to}: {reason}")),
        _ => None,
    });
    changes.into_iter().map(|(at, change)| format!("{} {change}", at.as_secs())).collect()
}

#[test]
fn when_the_cheap_pool_is_sold_out_the_dear_one_grows_and_the_cheap_one_is_tried_again_later() {
    let mut spec = growing(vec![resized("cheap", (0, 9), 0.1), resized("dear", (0, 1), 0.9)], 3, 1200);
    spec.control_plane.cluster_autoscaler.expander = "price".into();
    spec.faults.push(stockout("cheap", 300));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3, 3, 3, 3, 3]);
    let changes = pool_changes(&run);
    assert_eq!(
        changes,
        [
            "10 cheap 0 -> 3: 3 pending pods",
            "30 cheap 3 -> 0: 3 could not be created",
            "30 dear 0 -> 1: 1 pending pods",
            "330 cheap 0 -> 2: 2 pending pods"
        ],
        "five minutes of back-off after the failure"
    );
    let told = run.all(|record| match record {
        Record::Event { reason, message, .. } if &**reason == "NotTriggerScaleUp" => Some(message.to_string()),
        _ => None,
    });
    let why = "pod didn't trigger scale-up: 1 in backoff after failed scale-up, 1 max node group size reached";
    assert!(told.len() == 2 && told.iter().all(|(_, message)| message == why), "{told:?}");
}

#[test]
fn several_zones_stay_balanced() {
    let zone = |name: &str| NodePool { zones: vec![name.into()], ..resized(name, (0, 9), 1.0) };
    let mut spec = growing(vec![zone("a"), zone("b"), zone("c")], 7, 600);
    spec.control_plane.cluster_autoscaler.balance_similar_node_groups = true;
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [7, 7, 7, 7, 7]);
    let mut nodes: BTreeMap<Str, u32> = BTreeMap::new();
    run.world.store.nodes.iter().for_each(|(_, node)| *nodes.entry(node.zone().into()).or_insert(0) += 1);
    let mut counts: Vec<u32> = nodes.values().copied().collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 3], "{nodes:?}");
    assert_eq!(pool_changes(&run).len(), 3, "all in one loop");
}

/// Three nodes with a small pod each, of which `least` must be there.
fn shrinking(least: i32) -> Run {
    let mut spec = small(3600);
    spec.node_pools[0] = NodePool { initial: 3, ..resized("node", (1, 3), 1.0) };
    spec.objects.pod_disruption_budgets.push(api::PodDisruptionBudget {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(LabelSelector { match_labels: (*labels("web")).clone(), ..LabelSelector::default() }),
        min_available: Some(api::IntOrPercent::Count(least)),
        ..api::PodDisruptionBudget::default()
    });
    run(spec)
}

#[test]
fn scale_down_respects_disruption_budgets() {
    let held = shrinking(3);
    assert_eq!((held.world.store.nodes.len(), pool_changes(&held)), (3, Vec::<String>::new()));
    let free = shrinking(2);
    assert_eq!(free.workload("default/web"), [3, 3, 3, 3, 3]);
    assert_eq!(free.world.store.nodes.len(), 1, "{:?}", pool_changes(&free));
    assert!(free.fewest_serving(60) >= 2, "{}", free.fewest_serving(60));
    let marked = free.all(|record| match record {
        Record::Event { message, .. } if message.starts_with("marked the node") => Some(()),
        _ => None,
    });
    assert!(marked.len() == 2 && marked[1].0 > marked[0].0, "one after the other: {marked:?}");
}

#[test]
fn what_is_ordered_and_not_wanted_any_more_does_not_come() {
    let mut spec = growing(vec![resized("slow", (0, 9), 0.1)], 2, 2400);
    spec.node_pools[0].provisioning = Distribution::Constant(SimDuration::from_secs(1000));
    spec.control_plane.cluster_autoscaler.max_node_provision_time = SimDuration::from_secs(300);
    let run = run(spec);
    assert_eq!(run.world.store.nodes.len(), 0);
    let changes = pool_changes(&run);
    assert!(changes[1].contains("slow 2 -> 0: 2 never registered"), "{changes:?}");
}
