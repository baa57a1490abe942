//! Scale-down: which nodes are not needed, for how long, and which of them go now.
//!
//! Upstream: core/scaledown/{planner,unneeded,eligibility,budgets}, processors/scaledowncandidates, simulator/cluster.go.
//!
//! Invariants:
//! - A node is unneeded when its utilization is low and all pods that would have to move fit elsewhere, not
//!   counting on nodes that are unneeded themselves, on their way in or on their way out.
//! - The clock of an unneeded node starts anew when it was needed for one loop.
//! - No group shrinks below its minimum, the cluster not below its quotas, a zero-or-max group only as a whole.
//! - Where upstream goes through a map, nodes are taken in order of their numbers.
//!
//! Simplified: "longer than `--scale-down-unneeded-time`" holds at that time: a real loop comes a moment later
//! than its interval. Not modelled: GPUs, dynamic resources, `--scale-down-simulation-timeout`.

mod budgets;
pub(super) mod drainability;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Node, Pod, SimDuration, SimTime, Str, Taint, TaintEffect, Uid};
use port::{NodeIndex, NodeInfo};

use self::drainability::{RemainingBudgets, is_long_terminating, pods_to_move};
use super::super::View;
use super::actuator::{Actuator, TO_BE_DELETED, is_being_deleted};
use super::cloud::Cloud;
use super::quota::Quota;
use super::simulation::{Simulation, fresh};
use crate::store::NodeId;

pub(super) use self::budgets::crop;

/// `--unremovable-node-recheck-timeout`.
const UNREMOVABLE_RECHECK: SimDuration = SimDuration::from_secs(300);

/// A node that is not needed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Unneeded {
    since: SimTime,
    /// Pods have to move.
    drain: bool,
    /// Its pods share a budget that does not allow all of them at once.
    risky: bool,
    /// A pod has to end by itself first.
    waits: bool,
    /// Shares of cpu and memory that are requested.
    pub(super) used: (f64, f64),
}

/// What the planner remembers from loop to loop.
#[derive(Debug, Default)]
pub(super) struct Planner {
    pub(super) unneeded: BTreeMap<NodeId, Unneeded>,
    /// Nodes that could not be emptied, and when they are looked at again.
    unremovable: BTreeMap<NodeId, SimTime>,
    /// The shortest time between two loops so far.
    least_interval: Option<SimDuration>,
    last_update: Option<SimTime>,
}

/// Nodes that go now.
#[derive(Debug, Default)]
pub(super) struct Removable {
    pub(super) empty: Vec<NodeId>,
    pub(super) drain: Vec<NodeId>,
}

impl Planner {
    /// Finds the nodes that are not needed, and since when. Upstream: UpdateClusterState.
    pub(super) fn update(&mut self, simulation: &mut Simulation<'_>, cloud: &Cloud, actuator: &Actuator) {
        let view = simulation.view;
        self.note_interval(view);
        self.unremovable.retain(|id, until| *until > view.now && view.store.nodes.get(*id).is_some());
        let candidates = self.candidates(simulation, cloud, actuator);
        let limit = self.limit(view);
        let upcoming = simulation.upcoming.clone();
        let mut removal = Removal { simulation, upcoming, budgets: RemainingBudgets::default(), gone: BTreeSet::new() };
        removal.gone.extend(actuator.nodes().filter_map(|id| Some(view.store.nodes.get(id)?.meta.name.clone())));
        let (mut unneeded, mut counted) = (BTreeMap::new(), 0);
        for id in candidates {
            if counted >= limit {
                break;
            }
            let Some(node) = view.store.nodes.get(id) else { continue };
            let Some(found) = removal.simulate(node) else {
                self.unremovable.insert(id, view.now + UNREMOVABLE_RECHECK);
                continue;
            };
            let since = self.unneeded.get(&id).map_or(view.now, |known| known.since);
            unneeded.insert(id, Unneeded { since, ..found });
            counted += usize::from(!cloud.group_of(node).is_some_and(|group| cloud.groups[group].pool.zero_or_max));
        }
        self.unneeded = unneeded;
    }

    /// Loops that were left out would have been a scan interval apart.
    fn note_interval(&mut self, view: &View<'_>) {
        let settings = &view.settings.cluster_autoscaler;
        let passed = self.last_update.map(|last| view.now.since(last).min(settings.scan_interval));
        let least = self.least_interval.unwrap_or(settings.scale_down_unneeded_time);
        self.least_interval = Some(passed.map_or(least, |passed| passed.min(least)));
        self.last_update = Some(view.now);
    }

    /// So many unneeded nodes are enough. Upstream: unneededNodesLimit.
    fn limit(&self, view: &View<'_>) -> usize {
        let settings = &view.settings.cluster_autoscaler;
        let parallelism = settings.max_scale_down_parallelism as usize;
        let interval = self.least_interval.unwrap_or(settings.scan_interval).as_nanos().max(1);
        let loops = (settings.scale_down_unneeded_time.as_nanos().max(interval) / interval) as usize;
        (self.unneeded.len() + 2 * parallelism).min(parallelism.saturating_mul(loops).saturating_add(parallelism))
    }

    /// Nodes that may go, empty ones first, then those that were unneeded before.
    fn candidates(&self, simulation: &Simulation<'_>, cloud: &Cloud, actuator: &Actuator) -> Vec<NodeId> {
        let view = simulation.view;
        let mut list: Vec<(bool, bool, bool, NodeId)> = Vec::new();
        for (id, node) in view.store.nodes.iter() {
            let may_shrink = cloud.group_of(node).is_some_and(|group| cloud.groups[group].target > cloud.groups[group].min);
            if !may_shrink || actuator.is_deleting(id) || self.unremovable.contains_key(&id) || is_kept(node, view.now) {
                continue;
            }
            let Some(index) = simulation.scratch.find(&node.meta.name) else { continue };
            let info = simulation.scratch.node(index);
            let (cpu, memory) = utilization(info, view);
            if cpu.max(memory) > view.settings.cluster_autoscaler.scale_down_utilization_threshold {
                continue;
            }
            let moves = pods_to_move(pods_of(info, view), &RemainingBudgets::default(), view).ok();
            let is_empty = moves.as_ref().is_some_and(|moves| moves.pods.is_empty());
            let waits = is_empty && moves.is_some_and(|moves| moves.waits);
            list.push((!is_empty, waits, !self.unneeded.contains_key(&id), id));
        }
        list.sort_unstable();
        list.into_iter().map(|(.., id)| id).collect()
    }

    /// Nodes that go now: unneeded for long enough, within limits. Upstream: NodesToDelete, RemovableAt.
    pub(super) fn removable(&self, mut quota: Quota, cloud: &Cloud, actuator: &Actuator, view: &View<'_>) -> Removable {
        let mut sizes: Vec<u32> = cloud.groups.iter().map(|group| group.target).collect();
        let mut goes = |id: NodeId, unneeded: &Unneeded| -> Option<()> {
            let node = view.store.nodes.get(id)?;
            if is_disabled(node) || unneeded.since + unneeded_time(node, view) > view.now {
                return None;
            }
            let group = cloud.group_of(node)?;
            if sizes[group].saturating_sub(actuator.count(group)) <= cloud.groups[group].min || !quota.consume(node, 1) {
                return None;
            }
            sizes[group] -= 1;
            Some(())
        };
        let mut candidates: Vec<(NodeId, Unneeded)> = Vec::new();
        for drain in [false, true] {
            let mut class: Vec<(NodeId, Unneeded)> = self.unneeded.iter().map(|(id, unneeded)| (*id, *unneeded)).collect();
            class.retain(|(id, unneeded)| unneeded.drain == drain && goes(*id, unneeded).is_some());
            class.sort_by_key(|(_, unneeded)| unneeded.risky);
            candidates.extend(class);
        }
        whole_groups(&mut candidates, cloud, view);
        candidates.retain(|(_, unneeded)| !unneeded.waits);
        let of = |drain: bool| candidates.iter().filter(|(_, unneeded)| unneeded.drain == drain).map(|(id, _)| *id).collect();
        Removable { empty: of(false), drain: of(true) }
    }

    /// When time alone brings something about, not before `cooldown` is over.
    pub(super) fn next_due(&self, cooldown: SimTime, view: &View<'_>) -> Option<SimTime> {
        let node = |id: &NodeId| view.store.nodes.get(*id);
        let due = self.unneeded.iter().filter_map(|(id, unneeded)| Some(unneeded.since + unneeded_time(node(id)?, view)));
        let due = due.map(|due| due.max(cooldown)).chain(self.unremovable.values().copied());
        due.filter(|due| *due > view.now).min()
    }

    /// Whether a node is unneeded.
    pub(super) fn is_unneeded(&self, id: NodeId) -> bool {
        self.unneeded.contains_key(&id)
    }
}

/// Zero-or-max groups go as a whole or not at all. Upstream: AtomicResizeFilteringProcessor.
fn whole_groups(candidates: &mut Vec<(NodeId, Unneeded)>, cloud: &Cloud, view: &View<'_>) {
    let group_of = |id: NodeId| cloud.group_of(view.store.nodes.get(id)?).filter(|group| cloud.groups[*group].pool.zero_or_max);
    let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
    candidates.iter().filter_map(|(id, _)| group_of(*id)).for_each(|group| *counts.entry(group).or_insert(0) += 1);
    let is_whole = |group: usize| {
        let registered = cloud.groups[group].instances.values().filter(|instance| instance.registered).count() as u32;
        counts.get(&group).is_some_and(|count| *count == cloud.groups[group].target || *count == registered)
    };
    candidates.retain(|(id, _)| group_of(*id).is_none_or(is_whole));
    candidates.sort_by_key(|(id, _)| group_of(*id).is_some());
}

fn is_disabled(node: &Node) -> bool {
    node.meta.annotations.get("cluster-autoscaler.kubernetes.io/scale-down-disabled").is_some_and(|value| &**value == "true")
}

fn is_kept(node: &Node, now: SimTime) -> bool {
    is_disabled(node) || is_being_deleted(node, Some(now))
}

fn unneeded_time(node: &Node, view: &View<'_>) -> SimDuration {
    let settings = &view.settings.cluster_autoscaler;
    if node.status.ready.is_true() { settings.scale_down_unneeded_time } else { settings.scale_down_unready_time }
}

fn pods_of<'p>(info: &'p NodeInfo, view: &'p View<'_>) -> impl Iterator<Item = &'p Pod> {
    info.pods.iter().filter_map(|pod| view.store.pod_by_uid(pod.uid)).map(|(_, pod)| pod)
}

/// Requests over allocatable, of cpu and of memory; the larger counts. Upstream: simulator/utilization.
fn utilization(info: &NodeInfo, view: &View<'_>) -> (f64, f64) {
    let (mut cpu, mut memory) = (info.requested.cpu_millis, info.requested.memory_bytes);
    for pod in info.pods.iter().filter(|pod| pod.deleting) {
        if view.store.pod_by_uid(pod.uid).is_some_and(|(_, pod)| is_long_terminating(pod, view.now)) {
            cpu -= pod.requests.requests.cpu_millis;
            memory -= pod.requests.requests.memory_bytes;
        }
    }
    let share = |used: i64, all: i64| if all > 0 { used as f64 / all as f64 } else { 0.0 };
    (share(cpu, info.allocatable.cpu_millis), share(memory, info.allocatable.memory_bytes))
}

/// One plan: placements stay, nodes that are given back are no longer places.
struct Removal<'s, 'a> {
    simulation: &'s mut Simulation<'a>,
    /// Nodes that are not there yet are no places.
    upcoming: BTreeSet<Str>,
    budgets: RemainingBudgets,
    /// Nor are nodes that go.
    gone: BTreeSet<Str>,
}

impl Removal<'_, '_> {
    /// Moves a node's pods elsewhere and takes the node away; if one has no place, all stay.
    /// Upstream: SimulateNodeRemoval.
    fn simulate(&mut self, node: &Node) -> Option<Unneeded> {
        let (view, name) = (self.simulation.view, &node.meta.name);
        let info = self.simulation.scratch.node(self.simulation.scratch.find(name)?).clone();
        let moves = pods_to_move(pods_of(&info, view), &self.budgets, view).ok()?;
        if !moves.pods.is_empty() && !self.find_places(&info, &moves.pods) {
            return None;
        }
        self.simulation.scratch.remove_node(name);
        self.gone.insert(name.clone());
        let moved = moves.pods.iter().filter_map(|uid| view.store.pod_by_uid(*uid)).map(|(_, pod)| pod);
        let risky = !self.budgets.take(moved, view.store);
        let used = utilization(&info, view);
        Some(Unneeded { since: view.now, drain: !moves.pods.is_empty(), risky, waits: moves.waits, used })
    }

    /// While its pods look for a place the node is still there, empty but tainted, so that spreading counts it.
    fn find_places(&mut self, info: &NodeInfo, uids: &[Uid]) -> bool {
        let (name, scratch) = (info.name(), &mut self.simulation.scratch);
        let Some(index) = scratch.find(name) else { return false };
        let mut ghost = (*info.node).clone();
        ghost.spec.taints.push(Taint::new(TO_BE_DELETED, TaintEffect::NoSchedule));
        *scratch.node_mut(index) = NodeInfo::new(Arc::new(ghost));
        let (upcoming, gone) = (&self.upcoming, &self.gone);
        let allowed = |node: &NodeInfo| node.name() != name && !upcoming.contains(node.name()) && !gone.contains(node.name());
        let mut placed: Vec<(NodeIndex, Uid)> = Vec::new();
        for pod in info.pods.iter().filter(|pod| uids.contains(&pod.uid)) {
            let Some(found) = self.simulation.place_anywhere(&fresh(pod.clone()), 0, &allowed) else {
                for (found, uid) in placed {
                    self.simulation.scratch.node_mut(found).remove_pod(uid);
                }
                *self.simulation.scratch.node_mut(index) = info.clone();
                return false;
            };
            placed.push((found, pod.uid));
        }
        true
    }
}
