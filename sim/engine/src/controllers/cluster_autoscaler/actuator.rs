//! Actuation of a scale-down: taint, wait, look again, evict, wait, delete; and soft taints.
//!
//! Upstream: core/scaledown/actuation/{actuator,group_deletion_scheduler,drain,delete_in_batch,softtaint}.go.
//!
//! Invariants:
//! - A node is tainted and cordoned at once, looked at again after five seconds, and let go when something
//!   then keeps it. Evictions go through budgets, again every ten seconds for two minutes.
//! - What fails is undone: the taint goes, and the node is uncordoned. Its clock starts anew.
//! - Nodes of a zero-or-max group are deleted together.
//!
//! The failure cooldown (`--scale-down-delay-after-failure`) follows upstream only upon a taint that could not
//! be written, which does not happen here. Simplified: the Node object goes with its machine.

use std::collections::BTreeMap;

use api::{Node, Pod, SimDuration, SimTime, Str, Taint, TaintEffect};
use trace::Record;

use super::super::disruption::{Budgets, Eviction};
use super::super::{View, object_name};
use super::cloud::Cloud;
use super::pending::is_daemon_pod;
use super::scale_down::drainability::{RemainingBudgets, is_mirror, pods_to_move};
use super::scale_down::{Planner, Removable};
use super::{BY, say_of_cluster};
use crate::effects::{Effects, Write};
use crate::store::{NodeId, PodId};

pub(super) const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
const DELETION_CANDIDATE: &str = "DeletionCandidateOfClusterAutoscaler";
/// `--node-delete-delay-after-taint`.
const DELAY_AFTER_TAINT: SimDuration = SimDuration::from_secs(5);
/// `--max-pod-eviction-time`.
const MAX_EVICTION_TIME: SimDuration = SimDuration::from_secs(120);
const EVICTION_RETRY: SimDuration = SimDuration::from_secs(10);
const EVICTION_HEADROOM: SimDuration = SimDuration::from_secs(30);
const POLL: SimDuration = SimDuration::from_secs(5);
/// `--max-graceful-termination-sec`.
const MAX_GRACE: SimDuration = SimDuration::from_secs(600);
/// A node tainted longer ago is looked at again (upstream: MaxCloudProviderNodeDeletionTime).
const MAX_DELETION_TIME: SimDuration = SimDuration::from_secs(300);

/// Whether a node carries the taint of one that goes; with a time, since not too long.
pub(super) fn is_being_deleted(node: &Node, now: Option<SimTime>) -> bool {
    let taint = node.spec.taints.iter().find(|taint| &*taint.key == TO_BE_DELETED);
    let since = taint.map(|taint| SimTime::from_secs(taint.value.parse().unwrap_or(0)));
    since.is_some_and(|since| now.is_none_or(|now| since + MAX_DELETION_TIME > now))
}

/// How far a deletion is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Until the taint is surely known.
    Tainted,
    /// Since when evictions are tried, of whom still, and of daemon pods, which may stay.
    Evicting { began: SimTime, left: Vec<PodId>, daemons: Vec<PodId> },
    /// Since when evicted pods are waited for.
    Vanishing { since: SimTime },
    /// It waits for the others of its group.
    Prepared,
}

/// A node on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Deletion {
    group: usize,
    drain: bool,
    stage: Stage,
    /// When the next step is due.
    due: SimTime,
    /// The pods that must be gone.
    pods: Vec<PodId>,
}

/// Deletions under way.
#[derive(Debug, Default)]
pub(super) struct Actuator {
    deletions: BTreeMap<NodeId, Deletion>,
}

impl Actuator {
    /// Nodes on their way out.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.deletions.keys().copied()
    }

    /// Whether a node is on its way out.
    pub(super) fn is_deleting(&self, id: NodeId) -> bool {
        self.deletions.contains_key(&id)
    }

    /// Empty nodes and nodes with pods that are on their way out.
    pub(super) fn in_progress(&self) -> (u32, u32) {
        let drains = self.deletions.values().filter(|deletion| deletion.drain).count() as u32;
        (self.deletions.len() as u32 - drains, drains)
    }

    /// Nodes of a group that are on their way out.
    pub(super) fn count(&self, group: usize) -> u32 {
        self.deletions.values().filter(|deletion| deletion.group == group).count() as u32
    }

    /// When the next step is due.
    pub(super) fn due(&self) -> Option<SimTime> {
        self.deletions.values().filter(|deletion| deletion.stage != Stage::Prepared).map(|deletion| deletion.due).min()
    }

    /// Pods of nodes that are being drained, which nobody has deleted yet and which will be made again.
    pub(super) fn drained_pods(&self, view: &View<'_>) -> Vec<PodId> {
        let drained = self.deletions.iter().filter(|(_, deletion)| deletion.drain).filter_map(|(id, _)| view.store.nodes.get(*id));
        let pods = drained.flat_map(|node| view.store.pods_on(&node.meta.name));
        let cutoff = view.settings.cluster_autoscaler.expendable_pods_priority_cutoff;
        let comes_again = |pod: &Pod| {
            !pod.meta.is_deleting()
                && !pod.status.phase.is_terminal()
                && !is_daemon_pod(pod)
                && !is_mirror(pod)
                && pod.spec.priority >= cutoff
        };
        pods.filter(|(_, pod)| comes_again(pod)).map(|(id, _)| id).collect()
    }

    /// Marks nodes and begins to delete them. True when there are any.
    pub(super) fn start(&mut self, nodes: &Removable, cloud: &Cloud, planner: &Planner, view: &View<'_>, out: &mut Effects) -> bool {
        for (drain, ids) in [(false, &nodes.empty), (true, &nodes.drain)] {
            for id in ids {
                Self::mark(*id, view, out);
            }
            for id in ids {
                self.begin((*id, drain), cloud, planner, view, out);
            }
        }
        !nodes.empty.is_empty() || !nodes.drain.is_empty()
    }

    fn mark(id: NodeId, view: &View<'_>, out: &mut Effects) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let taint = Taint { value: view.now.as_secs().to_string().into(), ..Taint::new(TO_BE_DELETED, TaintEffect::NoSchedule) };
        let write = Write::PatchNode { node: id, add: vec![taint], remove: Vec::new(), unschedulable: Some(true) };
        out.announce(BY, write, "ScaleDown", object_name("Node", &node.meta), "marked the node as toBeDeleted/unschedulable".to_owned());
    }

    fn begin(&mut self, (id, drain): (NodeId, bool), cloud: &Cloud, planner: &Planner, view: &View<'_>, out: &mut Effects) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let Some(group) = cloud.group_of(node) else { return };
        let name = &node.meta.name;
        let (reason, message) = if drain {
            let names: Vec<&str> =
                pods_to_evict(node, view).filter(|(_, pod)| !is_daemon_pod(pod)).map(|(_, pod)| &*pod.meta.name).collect();
            let used = used_text(planner.unneeded.get(&id).map_or((0.0, 0.0), |unneeded| unneeded.used));
            ("ScaleDown", format!("Scale-down: removing node {name}, utilization: {used}, pods to reschedule: {}", names.join(",")))
        } else {
            ("ScaleDownEmpty", format!("Scale-down: removing empty node \"{name}\""))
        };
        say_of_cluster(false, reason, message, out);
        let due = view.now + DELAY_AFTER_TAINT;
        self.deletions.insert(id, Deletion { group, drain, stage: Stage::Tainted, due, pods: Vec::new() });
    }

    /// Takes all steps that are due.
    pub(super) fn advance(&mut self, cloud: &mut Cloud, view: &View<'_>, out: &mut Effects) {
        self.deletions.retain(|id, _| view.store.nodes.get(*id).is_some());
        let due = self.deletions.iter().filter(|(_, deletion)| deletion.stage != Stage::Prepared && deletion.due <= view.now);
        let due: Vec<NodeId> = due.map(|(id, _)| *id).collect();
        let mut budgets = Budgets::default();
        for id in due {
            let Some(node) = view.store.nodes.get(id) else { continue };
            let Some(deletion) = self.deletions.get(&id).cloned() else { continue };
            match deletion.stage {
                Stage::Tainted => self.look_again(id, node, deletion, &mut budgets, view, out),
                Stage::Evicting { began, left, daemons } => self.evict((id, node), (began, left, daemons), &mut budgets, view, out),
                Stage::Vanishing { since } => self.wait_for_pods(id, node, since, view, out),
                Stage::Prepared => {}
            }
        }
        self.delete_prepared(cloud, view, out);
    }

    /// The node as it is by now. Upstream: deleteNodesAsync.
    fn look_again(&mut self, id: NodeId, node: &Node, deletion: Deletion, budgets: &mut Budgets, view: &View<'_>, out: &mut Effects) {
        let cutoff = view.settings.cluster_autoscaler.expendable_pods_priority_cutoff;
        let there = view.store.pods_on(&node.meta.name).map(|(_, pod)| pod);
        let there = there.filter(|pod| !pod.status.phase.is_terminal() && pod.spec.priority >= cutoff);
        let name = &node.meta.name;
        let problem = match pods_to_move(there, &RemainingBudgets::default(), view) {
            Err(why) => Some(format!("GetPodsToMove for \"{name}\" returned error: {why}")),
            Ok(moves) if !deletion.drain && !moves.pods.is_empty() => {
                Some(format!("failed to delete empty node \"{name}\", new pods scheduled"))
            }
            Ok(moves) if !deletion.drain && moves.waits => {
                Some(format!("failed to delete empty node \"{name}\", active on-completion pods present"))
            }
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            return self.give_up(id, node, &problem, out);
        }
        if !deletion.drain {
            return self.set(id, Stage::Prepared, view.now);
        }
        let (daemons, pods): (Vec<_>, Vec<_>) = pods_to_evict(node, view).partition(|(_, pod)| is_daemon_pod(pod));
        for (_, pod) in pods.iter().chain(&daemons) {
            out.event(BY, false, "ScaleDown", object_name("Pod", &pod.meta), "deleting pod for node scale down".to_owned());
        }
        let ids = |list: Vec<(PodId, &Pod)>| -> Vec<PodId> { list.into_iter().map(|(id, _)| id).collect() };
        let (pods, daemons) = (ids(pods), ids(daemons));
        if let Some(deletion) = self.deletions.get_mut(&id) {
            deletion.pods.clone_from(&pods);
        }
        self.evict((id, node), (view.now, pods, daemons), budgets, view, out);
    }

    /// Asks for evictions, or asks again. Upstream: initiateEviction.
    fn evict(
        &mut self,
        (id, node): (NodeId, &Node),
        (began, mut left, mut daemons): (SimTime, Vec<PodId>, Vec<PodId>),
        budgets: &mut Budgets,
        view: &View<'_>,
        out: &mut Effects,
    ) {
        if view.now >= began + MAX_EVICTION_TIME {
            if left.is_empty() {
                return self.set(id, Stage::Vanishing { since: view.now }, view.now + POLL);
            }
            return self.evictions_failed(id, node, &left, view, out);
        }
        let mut stays = |id: &PodId| {
            let Some(pod) = view.store.pods.get(*id).filter(|pod| pod.node_name.as_ref() == Some(&node.meta.name)) else { return false };
            let allowed = budgets.evict(pod, view.store) == Eviction::Allowed;
            if allowed && !pod.meta.is_deleting() {
                let grace = (pod.spec.termination_grace_period > MAX_GRACE).then_some(MAX_GRACE);
                out.write(BY, Write::PodDisruptionTarget(*id, "EvictionByEvictionAPI".into()));
                out.write(BY, Write::DeletePod { pod: *id, grace, by: BY });
            }
            !allowed
        };
        left.retain(&mut stays);
        daemons.retain(&mut stays);
        if left.is_empty() && daemons.is_empty() {
            let none = self.deletions.get(&id).is_some_and(|deletion| deletion.pods.is_empty());
            let stage = if none { Stage::Prepared } else { Stage::Vanishing { since: view.now } };
            return self.set(id, stage, view.now + POLL);
        }
        self.set(id, Stage::Evicting { began, left, daemons }, view.now + EVICTION_RETRY);
    }

    fn evictions_failed(&mut self, id: NodeId, node: &Node, left: &[PodId], view: &View<'_>, out: &mut Effects) {
        let mut errors = Vec::new();
        for pod in left.iter().filter_map(|id| view.store.pods.get(*id)) {
            out.event(BY, true, "ScaleDownFailed", object_name("Pod", &pod.meta), "failed to delete pod for ScaleDown".to_owned());
            let last = "Cannot evict pod as it would violate the pod's disruption budget.";
            errors.push(format!("failed to evict pod {} within allowed timeout (last error: {last})", pod.meta.key()));
        }
        let text = format!("Failed to drain node /{}, due to following errors: [{}]", node.meta.name, errors.join(" "));
        self.give_up(id, node, &text, out);
    }

    /// Upstream: waitPodsToDisappear.
    fn wait_for_pods(&mut self, id: NodeId, node: &Node, since: SimTime, view: &View<'_>, out: &mut Effects) {
        let Some(deletion) = self.deletions.get(&id) else { return };
        let is_here = |pod: &PodId| view.store.pods.get(*pod).is_some_and(|pod| pod.node_name.as_ref() == Some(&node.meta.name));
        if !deletion.pods.iter().any(is_here) {
            self.set(id, Stage::Prepared, view.now);
        } else if view.now >= since + MAX_GRACE + EVICTION_HEADROOM {
            let text = format!("Failed to drain node /{}: pods remaining after timeout", node.meta.name);
            self.give_up(id, node, &text, out);
        } else {
            self.set(id, Stage::Vanishing { since }, view.now + POLL);
        }
    }

    fn set(&mut self, id: NodeId, stage: Stage, due: SimTime) {
        if let Some(deletion) = self.deletions.get_mut(&id) {
            (deletion.stage, deletion.due) = (stage, due);
        }
    }

    /// Deletes what is prepared; of zero-or-max groups only all together.
    fn delete_prepared(&mut self, cloud: &mut Cloud, view: &View<'_>, out: &mut Effects) {
        let waiting: Vec<usize> = self
            .deletions
            .values()
            .filter(|deletion| deletion.stage != Stage::Prepared && cloud.groups[deletion.group].pool.zero_or_max)
            .map(|deletion| deletion.group)
            .collect();
        let prepared = self.deletions.iter().filter(|(_, deletion)| deletion.stage == Stage::Prepared);
        let prepared = prepared.filter(|(_, deletion)| !waiting.contains(&deletion.group));
        let prepared: Vec<(NodeId, usize, bool)> = prepared.map(|(id, deletion)| (*id, deletion.group, deletion.drain)).collect();
        for (id, group, drain) in prepared {
            self.deletions.remove(&id);
            if let Some(node) = view.store.nodes.get(id) {
                delete(id, node, group, drain, cloud, out);
            }
        }
    }

    /// The node stays, and so do the others of its group if they go only together.
    fn give_up(&mut self, id: NodeId, node: &Node, why: &str, out: &mut Effects) {
        let drain = self.deletions.remove(&id).is_some_and(|deletion| deletion.drain);
        let beginning = if drain { "failed to drain and delete node" } else { "failed to delete empty node" };
        out.event(BY, true, "ScaleDownFailed", object_name("Node", &node.meta), format!("{beginning}: {why}"));
        let remove = vec![(TO_BE_DELETED.into(), TaintEffect::NoSchedule)];
        out.write(BY, Write::PatchNode { node: id, add: Vec::new(), remove, unschedulable: Some(false) });
    }

    /// Marks unneeded nodes so that the scheduler avoids them, and takes the mark off others; so many per loop.
    /// True when there is more to do. Upstream: UpdateSoftDeletionTaints.
    pub(super) fn update_soft_taints(&self, planner: &Planner, cloud: &Cloud, view: &View<'_>, out: &mut Effects) -> bool {
        let mut budget = view.settings.cluster_autoscaler.max_bulk_soft_taint_count;
        if budget == 0 {
            return false;
        }
        let nodes = || view.store.nodes.iter().filter(|(id, node)| cloud.group_of(node).is_some() && !self.is_deleting(*id));
        let marked = |node: &Node| node.spec.taints.iter().any(|taint| &*taint.key == DELETION_CANDIDATE);
        for wanted in [false, true] {
            for (id, node) in nodes().filter(|(id, node)| planner.is_unneeded(*id) == wanted && marked(node) != wanted) {
                if is_being_deleted(node, None) {
                    continue;
                }
                if budget == 0 {
                    return true;
                }
                budget -= 1;
                let taint = Taint { value: view.now.as_secs().to_string().into(), ..soft_taint() };
                let remove = if wanted { Vec::new() } else { vec![(taint.key.clone(), taint.effect)] };
                let add = if wanted { vec![taint] } else { Vec::new() };
                out.write(BY, Write::PatchNode { node: id, add, remove, unschedulable: None });
            }
        }
        false
    }
}

fn soft_taint() -> Taint {
    Taint::new(DELETION_CANDIDATE, TaintEffect::PreferNoSchedule)
}

/// All pods that a drain evicts: what is not done and was not put there by the kubelet itself.
fn pods_to_evict<'v>(node: &'v Node, view: &View<'v>) -> impl Iterator<Item = (PodId, &'v Pod)> {
    let cutoff = view.settings.cluster_autoscaler.expendable_pods_priority_cutoff;
    let evicted = move |pod: &Pod| !is_mirror(pod) && !pod.status.phase.is_terminal() && pod.spec.priority >= cutoff;
    view.store.pods_on(&node.meta.name).filter(move |(_, pod)| evicted(pod))
}

fn delete(id: NodeId, node: &Node, group: usize, drain: bool, cloud: &mut Cloud, out: &mut Effects) {
    let (name, from): (&Str, u32) = (&node.meta.name, cloud.groups[group].target);
    let object = object_name("Node", &node.meta);
    out.announce(BY, Write::DeleteNode(id), "ScaleDown", object, "nodes removed by cluster autoscaler".to_owned());
    let (reason, message, why) = if drain {
        ("ScaleDown", format!("Scale-down: node {name} removed with drain"), "underutilized")
    } else {
        ("ScaleDownEmpty", format!("Scale-down: empty node {name} removed"), "empty")
    };
    let why = if node.status.ready.is_true() { why } else { "unready" };
    say_of_cluster(false, reason, message, out);
    cloud.delete(group, std::slice::from_ref(name));
    let to = cloud.groups[group].target;
    let (pool, reason) = (cloud.groups[group].pool.name.clone(), format!("{name} {why}").into());
    out.record(Record::NodePool { pool, from, to, nodes: vec![name.clone()], reason });
}

/// A node's utilization as Go prints upstream's utilization.Info.
fn used_text((cpu, memory): (f64, f64)) -> String {
    let name = if cpu > memory { "cpu" } else { "memory" };
    format!("{{{} {} 0 0 {name} {}}}", go_float(cpu), go_float(memory), go_float(cpu.max(memory)))
}

/// As Go's `%v` prints a number of at most a few digits before the point.
fn go_float(number: f64) -> String {
    if number == 0.0 || number.abs() >= 1e-4 {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once("e-").unwrap_or((&text, "0"));
    format!("{digits}e-{exponent:0>2}")
}
