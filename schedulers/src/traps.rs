//! What simulators of kube-scheduler most easily get wrong, each held by a test of the default profile.
//! The list of all of them is in docs/fidelity.md.

use std::sync::Arc;

use api::{
    Container, IntOrPercent, LabelSelector, Labels, Node, NodeSpec, NodeStatus, ObjectKey, ObjectMeta, Pod, PodDisruptionBudget, PodSpec,
    ResourceName, Str, Taint, TaintEffect, Uid,
};
use port::{ClusterSnapshot, Detail, NodeIndex, PodInfo, PodRequests};
use serde_json::json;

use crate::config::{Settings, Surroundings, configured};
use crate::{Attempt, KubeScheduler};

fn scheduler() -> KubeScheduler {
    let configuration = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "default-scheduler"}],
    });
    configured("default", &configuration, Settings::default(), &Surroundings::default()).expect("the default profile").0
}

fn node(name: &str, cpu_millis: i64, memory_mib: i64, taints: Vec<Taint>) -> Arc<Node> {
    let allocatable = [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory_mib << 20), (ResourceName::Pods, 110)].into();
    Arc::new(Node {
        meta: ObjectMeta { name: name.into(), ..ObjectMeta::default() },
        spec: NodeSpec { taints, ..NodeSpec::default() },
        status: NodeStatus { allocatable: Arc::new(allocatable), ..NodeStatus::default() },
    })
}

fn labels(app: &str) -> Labels {
    [("app".into(), app.into())].into()
}

/// A pod of `app`, its name being `name`.
fn pod(name: &str, app: &str, cpu_millis: i64, memory_mib: i64, priority: i32) -> PodInfo {
    let requests = [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory_mib << 20)].into();
    let spec = PodSpec { containers: vec![Container { requests, ..Container::default() }], priority, ..PodSpec::default() };
    let uid = Uid(name.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte)));
    let meta = ObjectMeta { namespace: "default".into(), name: name.into(), uid, labels: Arc::new(labels(app)), ..ObjectMeta::default() };
    let pod = Pod { meta, spec: Arc::new(spec), ..Pod::default() };
    PodInfo::new(&pod, Arc::new(PodRequests::of_pod(&pod)))
}

/// Nodes with the pods that are on them.
fn cluster(nodes: Vec<(Arc<Node>, Vec<PodInfo>)>) -> ClusterSnapshot {
    let mut snapshot = ClusterSnapshot::default();
    for (node, pods) in nodes {
        let name: Str = node.meta.name.clone();
        snapshot.put_node(node);
        let index = snapshot.find(&name).expect("just put");
        for pod in pods {
            snapshot.node_mut(index).add_pod(pod);
        }
    }
    snapshot
}

fn attempt(pod: &PodInfo, snapshot: &ClusterSnapshot, detail: Detail) -> Attempt {
    scheduler().attempt(pod, snapshot, detail).expect("a pod of the default scheduler")
}

#[test]
fn the_trap_of_balance_its_score_is_the_change_that_the_pod_makes() {
    let balance = |cpu: i64, memory: i64, pod_cpu: i64, pod_memory: i64| {
        let snapshot = cluster(vec![(node("n", 1000, 1000, Vec::new()), vec![pod("there", "a", cpu, memory, 0)])]);
        let attempt = attempt(&pod("new", "b", pod_cpu, pod_memory, 0), &snapshot, Detail::Full);
        let scores = attempt.feasible[0].scores.iter();
        scores.copied().find(|(plugin, _)| *plugin == "NodeResourcesBalancedAllocation").expect("it is in the profile").1
    };
    // (used cpu and memory of 1000 each, asked for, score)
    for (cpu, memory, pod_cpu, pod_memory, score) in [
        (0, 0, 100, 100, 75),     // Nothing changes.
        (500, 500, 100, 100, 75), // Nor here.
        (0, 900, 100, 100, 75),   // Nor on a node that is out of balance.
        (500, 500, 200, 0, 70),   // 100 before, 90 after: 50 + (50 - 10) / 2.
        (0, 900, 200, 0, 80),     // 55 before, 65 after: better than the one that ends at 90.
        (800, 0, 0, 800, 95),     // 60 before, 100 after.
    ] {
        assert_eq!(balance(cpu, memory, pod_cpu, pod_memory), score, "{cpu}/{memory} {pod_cpu}/{pod_memory}");
    }
}

#[test]
fn the_trap_of_a_single_feasible_node_it_is_taken_unscored() {
    let full = || vec![pod("large", "a", 900, 100, 0)];
    let new = pod("new", "b", 500, 100, 0);
    let one = cluster(vec![(node("free", 1000, 1000, Vec::new()), Vec::new()), (node("full", 1000, 1000, Vec::new()), full())]);
    let alone = attempt(&new, &one, Detail::Outcome);
    assert_eq!((alone.chosen, alone.total, alone.argmax_size), (one.find("free"), 0, 1), "no total: nothing was scored");
    let two = cluster(vec![(node("a", 1000, 1000, Vec::new()), Vec::new()), (node("b", 1000, 1000, Vec::new()), Vec::new())]);
    let choice = attempt(&new, &two, Detail::Outcome);
    assert!(choice.total > 0 && choice.argmax_size == 2, "{} {}", choice.total, choice.argmax_size);
}

/// The node where `new` would preempt, and who goes.
fn preempts(new: &PodInfo, snapshot: &ClusterSnapshot) -> (Option<String>, Vec<String>, Vec<String>) {
    let name = |node: NodeIndex| snapshot.node(node).name().to_string();
    let Some((chosen, _, candidates)) = attempt(new, snapshot, Detail::Outcome).preemption else { return (None, Vec::new(), Vec::new()) };
    let mut all: Vec<String> = candidates.iter().map(|candidate| name(candidate.node)).collect();
    all.sort();
    (Some(name(chosen.node)), chosen.victims.iter().map(|victim| victim.key.name.to_string()).collect(), all)
}

#[test]
fn the_trap_of_hopeless_nodes_only_what_removing_pods_can_cure_is_a_candidate() {
    let low = |name: &str| vec![pod(name, "a", 900, 100, 0)];
    let taint = Taint::new("dedicated", TaintEffect::NoSchedule);
    let snapshot = cluster(vec![
        (node("tainted", 1000, 1000, vec![taint]), low("on-tainted")),
        (node("too-small", 400, 1000, Vec::new()), vec![pod("on-small", "a", 300, 100, 0)]),
        (node("full", 1000, 1000, Vec::new()), low("on-full")),
        (node("important", 1000, 1000, Vec::new()), vec![pod("on-important", "a", 900, 100, 1000)]),
    ]);
    let found = preempts(&pod("new", "b", 500, 100, 100), &snapshot);
    assert_eq!(found, (Some("full".into()), vec!["on-full".into()], vec!["full".into()]));
}

#[test]
fn the_trap_of_budgets_they_rank_candidates_and_forbid_nothing() {
    let guarded = |selector: LabelSelector, nodes: &[(&str, &str)]| {
        let list = nodes.iter().map(|(name, app)| (node(name, 1000, 1000, Vec::new()), vec![pod(&format!("on-{name}"), app, 900, 100, 0)]));
        let mut snapshot = cluster(list.collect());
        let meta = ObjectMeta { namespace: "default".into(), name: "budget".into(), ..ObjectMeta::default() };
        let budget = PodDisruptionBudget {
            meta,
            selector: Some(selector),
            min_available: Some(IntOrPercent::Count(1)),
            disruptions_allowed: 0,
            ..PodDisruptionBudget::default()
        };
        snapshot.objects_mut().pod_disruption_budgets.insert(ObjectKey::new("default", "budget"), Arc::new(budget));
        preempts(&pod("new", "b", 500, 100, 100), &snapshot).0
    };
    let of = |app: &str| LabelSelector { match_labels: labels(app), ..LabelSelector::default() };
    let both = &[("a", "guarded"), ("b", "free")];
    assert_eq!(guarded(of("guarded"), both).as_deref(), Some("b"), "rather the pod that no budget guards");
    assert_eq!(guarded(of("guarded"), &[("a", "guarded")]).as_deref(), Some("a"), "but the guarded one when there is no other");
    assert_eq!(guarded(LabelSelector::default(), both).as_deref(), Some("a"), "an empty selector guards nothing here");
}
