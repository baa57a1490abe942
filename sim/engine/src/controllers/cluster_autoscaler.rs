//! Cluster autoscaler: orders nodes for pods that fit nowhere, and gives back nodes that are not needed.
//!
//! Reads: node pools, the scheduler's snapshot, Pods, Nodes, disruption budgets. Writes: taints and cordons
//! of nodes that go, evictions, deletions of nodes; new nodes are ordered as timers.
//! Upstream: cluster-autoscaler 1.36.1 (core/static_autoscaler.go, core/scaleup, estimator, core/scaledown).
//!
//! Invariants:
//! - A loop runs only when something has changed that it looks at, or when a wait is over. Loops that
//!   would find what the last one found are left out; those that run are on the grid of the scan interval,
//!   or at once after a new unschedulable pod, an order or a deletion.
//! - A pool is never ordered beyond its maximum nor deleted below its minimum.
//! - All decisions are simulated on a scratch copy of the snapshot with the scheduler's own filters.
//!
//! Not modelled: failed orders and back-off of pools, `--max-node-provision-time`, soft taints, balancing of
//! similar pools, GPUs, expendable pods in the snapshot, injection of evicted pods
//! that have not been made again, the time a loop takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    ConditionStatus, DaemonSet, Node, ObjectMeta, Pod, ResourceName, SimDuration, SimTime, Str, Taint, TaintEffect, Uid, VolumeSource,
};
use port::{ClusterSnapshot, NodeIndex, NodeInfo, PodInfo, PodRequests};
use trace::Record;

use super::daemon_set::{daemon_spec, fit};
use super::disruption::{Budgets, Eviction, budgets_of, disruptions_allowed};
use super::pod_control::controller_of;
use super::{View, object_name, owning_replica_set};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::random::{Purpose, entity};
use crate::spec::NodePool;
use crate::store::{Change, NodeId, PodId, Store};

const BY: Component = Component::ClusterAutoscaler;
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// Least time between two loops: what a real loop takes at the least.
const LEAST_PAUSE: SimDuration = SimDuration::from_millis(100);
/// While all pending pods are younger than this, more are expected.
const POD_BUFFER: SimDuration = SimDuration::from_secs(2);
/// `--scale-down-unready-time`.
const UNREADY_TIME: SimDuration = SimDuration::from_secs(1200);
/// `--scale-down-delay-after-failure`.
const DELAY_AFTER_FAILURE: SimDuration = SimDuration::from_secs(180);
/// `--unremovable-node-recheck-timeout`.
const UNREMOVABLE_RECHECK: SimDuration = SimDuration::from_secs(300);
/// `--node-delete-delay-after-taint`.
const DELAY_AFTER_TAINT: SimDuration = SimDuration::from_secs(5);
/// `--max-pod-eviction-time`.
const MAX_EVICTION_TIME: SimDuration = SimDuration::from_secs(120);
const EVICTION_RETRY: SimDuration = SimDuration::from_secs(10);
const EVICTION_HEADROOM: SimDuration = SimDuration::from_secs(30);
const POLL: SimDuration = SimDuration::from_secs(5);
/// `--max-graceful-termination-sec`.
const MAX_GRACE: SimDuration = SimDuration::from_secs(600);
/// `--expendable-pods-priority-cutoff`.
const PRIORITY_CUTOFF: i32 = -10;
/// `--max-nodes-per-scaleup`.
const MAX_NODES_PER_SCALE_UP: u32 = 1000;
/// A kube-system pod without a budget blocks until it is this old.
const SYSTEM_POD_AGE: SimDuration = SimDuration::from_secs(3600);

/// Whether a pod passes all filters on a node of a snapshot.
pub(crate) type Fits<'a> = dyn Fn(&PodInfo, &ClusterSnapshot, NodeIndex) -> bool + 'a;

/// What node `ordinal` of `pool` looks like when it registers.
pub(crate) fn pool_node(pool: &NodePool, ordinal: u32) -> Node {
    let name: Str = format!("{}-{ordinal}", pool.name).into();
    let mut labels = (*pool.template.meta.labels).clone();
    if let Some(place) = (ordinal as usize).checked_rem(pool.zones.len()) {
        labels.insert("topology.kubernetes.io/zone".into(), pool.zones[place].clone());
    }
    // Upstream: pkg/kubelet/kubelet_node_status.go, initialNode.
    for (key, value) in [("hostname", name.clone()), ("arch", "amd64".into()), ("os", "linux".into())] {
        labels.entry(format!("kubernetes.io/{key}").into()).or_insert(value);
    }
    let mut node = pool.template.clone();
    node.meta = ObjectMeta { name, labels: Arc::new(labels), ..pool.template.meta.clone() };
    node.spec.provider_id = pool.name.clone();
    node.status.ready = ConditionStatus::True;
    node.status.ready_reason = "KubeletReady".into();
    node
}

/// A node on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    pool: u32,
    ordinal: u32,
}

/// A node on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Deletion {
    pool: usize,
    drain: bool,
    tainted: SimTime,
    /// When evictions began, and when they are tried again.
    evicting: Option<(SimTime, SimTime)>,
    /// The node's removal has been asked for.
    removed: bool,
}

/// The controller's own memory.
#[derive(Debug, Default)]
pub(crate) struct ClusterAutoscaler {
    pools: Vec<NodePool>,
    next: Option<SimTime>,
    last_loop: SimTime,
    loops: u64,
    orders: Vec<Order>,
    /// First number not yet given to a node, per pool.
    ordinals: BTreeMap<usize, u32>,
    last_scale_up: Option<SimTime>,
    last_failure: Option<SimTime>,
    unneeded: BTreeMap<NodeId, SimTime>,
    /// Nodes that could not be emptied, and when they are looked at again.
    unremovable: BTreeMap<NodeId, SimTime>,
    deletions: BTreeMap<NodeId, Deletion>,
    /// Unschedulable pods seen.
    pending: BTreeSet<PodId>,
    /// Why pods were told that nothing helps.
    told: BTreeMap<Uid, String>,
}

/// Pods with one controller and one shape: one of them answers for all.
struct Group {
    pods: Vec<(PodId, PodInfo)>,
}

/// What one pool could do.
struct ScaleOption {
    pool: usize,
    nodes: u32,
    pods: Vec<(PodId, PodInfo)>,
}

impl ClusterAutoscaler {
    /// An autoscaler of these pools; those without limits are left alone.
    pub(crate) fn new(pools: &[NodePool]) -> Self {
        Self { pools: pools.to_vec(), ..Self::default() }
    }

    /// Hears of a change, and runs soon if it may matter.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        if self.pools.iter().all(|pool| pool.autoscaling.is_none()) {
            return;
        }
        let next_scan = (view.now + SimDuration::from_nanos(1)).next_on_grid(SimTime::ZERO, view.settings.cluster_autoscaler.scan_interval);
        match change {
            Change::PodAdded(id) | Change::PodModified(id, _) => {
                let Some(pod) = view.store.pods.get(*id) else { return };
                if is_pending(pod) {
                    if self.pending.insert(*id) {
                        self.arm((self.last_loop + LEAST_PAUSE).max(view.now), out);
                    }
                } else if moved(change, pod) {
                    self.arm(next_scan, out);
                }
            }
            Change::PodDeleted(..) | Change::NodeAdded(_) | Change::NodeModified(_) | Change::NodeDeleted(..) => self.arm(next_scan, out),
            _ => {}
        }
    }

    fn arm(&mut self, time: SimTime, out: &mut Effects) {
        if self.next.is_none_or(|next| time < next) {
            self.next = Some(time);
            out.at(time, Event::ClusterAutoscaler);
        }
    }

    /// One loop ([`Event::ClusterAutoscaler`]). `snapshot` is the scheduler's, `fits` its filters.
    pub(crate) fn run(&mut self, view: &View<'_>, snapshot: &ClusterSnapshot, fits: &Fits<'_>, out: &mut Effects) {
        if self.next.is_none_or(|next| next > view.now) {
            return; // An earlier loop took this one's place.
        }
        (self.next, self.last_loop) = (None, view.now);
        self.loops += 1;
        self.forget(view);
        self.go_on_deleting(view, out);
        if is_unhealthy(view.store) {
            return self.arm_next(false, false, view, out); // Nothing new is begun until nodes change.
        }
        let mut scratch = snapshot.clone();
        let upcoming = self.add_upcoming(&mut scratch, view.store);
        let groups = self.pods_without_place(view, &mut scratch, fits);
        let all_new = !groups.is_empty() && are_new(&groups, view);
        let ordered = !groups.is_empty() && !all_new && self.scale_up(&groups, view, &scratch, fits, out);
        let mut deleting = false;
        if view.settings.cluster_autoscaler.scale_down_enabled {
            let mut plan = Plan { view, scratch, upcoming, fits, cursor: 0 };
            self.plan_scale_down(&mut plan);
            deleting = !ordered && !all_new && self.cooldown_end(view) <= view.now && self.scale_down(view, out);
        }
        self.arm_next(ordered || deleting, all_new, view, out);
    }

    /// Waits for the earliest thing that time alone brings about.
    fn arm_next(&mut self, acted: bool, all_new: bool, view: &View<'_>, out: &mut Effects) {
        let settings = &view.settings.cluster_autoscaler;
        if acted {
            self.arm(view.now + LEAST_PAUSE, out);
        }
        if all_new {
            self.arm(view.now + settings.scan_interval, out);
        }
        let deletions = self.deletions.values().filter(|deletion| !deletion.removed).map(|deletion| {
            let tainted_long_enough = deletion.tainted + DELAY_AFTER_TAINT;
            if deletion.evicting.is_some() { view.now + POLL } else { tainted_long_enough }
        });
        let cooldown = self.cooldown_end(view);
        let due = self.unneeded.iter().map(|(id, since)| (*since + unneeded_time(*id, view)).max(cooldown)).filter(|due| *due > view.now);
        let scans = due.chain(self.unremovable.values().copied()).map(|time| time.next_on_grid(SimTime::ZERO, settings.scan_interval));
        if let Some(time) = deletions.chain(scans).min() {
            self.arm(time.max(view.now + LEAST_PAUSE), out);
        }
    }

    fn cooldown_end(&self, view: &View<'_>) -> SimTime {
        let after_add = self.last_scale_up.map(|at| at + view.settings.cluster_autoscaler.scale_down_delay_after_add);
        let after_failure = self.last_failure.map(|at| at + DELAY_AFTER_FAILURE);
        after_add.max(after_failure).unwrap_or(SimTime::ZERO)
    }

    /// Drops what is over: orders that have arrived, nodes that are gone, pods that have a place.
    fn forget(&mut self, view: &View<'_>) {
        let store = view.store;
        let pools = &self.pools;
        self.orders.retain(|order| find_node(store, &node_name(&pools[order.pool as usize], order.ordinal)).is_none());
        self.deletions.retain(|id, _| store.nodes.get(*id).is_some());
        self.unremovable.retain(|id, until| *until > view.now && store.nodes.get(*id).is_some());
        self.pending.retain(|id| store.pods.get(*id).is_some_and(is_pending));
        let waiting: BTreeSet<Uid> = self.pending.iter().filter_map(|id| Some(store.pods.get(*id)?.meta.uid)).collect();
        self.told.retain(|uid, _| waiting.contains(uid));
    }

    /// Nodes of a pool that are there or on their way, without those on their way out.
    fn target(&self, pool: usize, store: &Store) -> u32 {
        let name = &self.pools[pool].name;
        let there = store.nodes.iter().filter(|(id, node)| node.spec.provider_id == *name && !self.deletions.contains_key(id)).count();
        there as u32 + self.orders.iter().filter(|order| order.pool as usize == pool).count() as u32
    }

    // --- Scale up ---

    /// Puts nodes on their way into the scratch, so that what will fit there is not ordered again.
    fn add_upcoming(&self, scratch: &mut ClusterSnapshot, store: &Store) -> BTreeSet<Str> {
        let daemons = daemons(store);
        let nodes = self.orders.iter().map(|order| pool_node(&self.pools[order.pool as usize], order.ordinal));
        let mut names = BTreeSet::new();
        for node in nodes {
            if scratch.find(&node.meta.name).is_none() {
                names.insert(node.meta.name.clone());
                put_new_node(node, &daemons, scratch);
            }
        }
        names
    }

    /// Pending pods that fit on no node, with those that do put where they fit.
    fn pods_without_place(&self, view: &View<'_>, scratch: &mut ClusterSnapshot, fits: &Fits<'_>) -> Vec<Group> {
        let mut pods: Vec<(PodId, &Pod)> = self.pending.iter().filter_map(|id| Some((*id, view.store.pods.get(*id)?))).collect();
        pods.sort_by_key(|(_, pod)| std::cmp::Reverse(pod.spec.priority));
        let mut groups: Vec<Group> = Vec::new();
        for (id, pod) in pods {
            let known = groups.iter_mut().find(|group| is_alike(&group.pods[0].1, pod));
            match known {
                Some(group) => {
                    let requests = group.pods[0].1.requests.clone();
                    group.pods.push((id, PodInfo::new(pod, requests)));
                }
                None => groups.push(Group { pods: vec![(id, PodInfo::new(pod, Arc::new(PodRequests::of(&pod.spec))))] }),
            }
        }
        let mut cursor = 0;
        for group in &mut groups {
            let mut placed = 0;
            for (_, info) in &group.pods {
                let Some(index) = first_fit(info, scratch, fits, &mut cursor, &|_| true) else { break };
                scratch.node_mut(index).add_pod(info.clone());
                placed += 1;
            }
            group.pods.drain(..placed);
        }
        groups.retain(|group| !group.pods.is_empty());
        groups
    }

    fn scale_up(&mut self, groups: &[Group], view: &View<'_>, scratch: &ClusterSnapshot, fits: &Fits<'_>, out: &mut Effects) -> bool {
        let settings = &view.settings.cluster_autoscaler;
        let total = scratch.nodes().len() as u32;
        let room = if settings.max_nodes_total == 0 { u32::MAX } else { settings.max_nodes_total.saturating_sub(total) };
        let mut reasons: Vec<Vec<String>> = groups.iter().map(|_| Vec::new()).collect();
        let (mut options, daemons) = (Vec::new(), daemons(view.store));
        for pool in 0..self.pools.len() {
            let Some((_, max)) = self.pools[pool].autoscaling else { continue };
            let target = self.target(pool, view.store);
            if target >= max {
                reasons.iter_mut().for_each(|reasons| reasons.push("max node group size reached".to_owned()));
                continue;
            }
            let first = self.first_ordinal(pool, view.store);
            let limit = (max - target).min(room).min(MAX_NODES_PER_SCALE_UP);
            let estimate = Estimate { pool: &self.pools[pool], first, limit, daemons: &daemons, fits };
            let (nodes, pods) = estimate.of(groups, scratch, &mut reasons);
            if nodes > 0 {
                options.push(ScaleOption { pool, nodes, pods });
            }
        }
        if room == 0 {
            self.tell(groups, &vec![vec![]; groups.len()], Some("max total nodes in cluster reached"), view, out);
            return false;
        }
        let Some(best) = self.choose(options, total, view) else {
            self.tell(groups, &reasons, None, view, out);
            return false;
        };
        self.order(&best, view, out);
        true
    }

    /// Tells pods that no pool helps them, unless they know.
    fn tell(&mut self, groups: &[Group], reasons: &[Vec<String>], instead: Option<&str>, view: &View<'_>, out: &mut Effects) {
        for (group, reasons) in groups.iter().zip(reasons) {
            let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
            reasons.iter().for_each(|reason| *counted.entry(reason).or_insert(0) += 1);
            let listed = counted.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ");
            let text = instead.map_or(listed, str::to_owned);
            for (id, info) in &group.pods {
                if self.told.get(&info.uid) != Some(&text) {
                    self.told.insert(info.uid, text.clone());
                    let message = format!("pod didn't trigger scale-up: {text}");
                    say_of_pod(*id, "NotTriggerScaleUp", message, view, out);
                }
            }
        }
    }

    fn order(&mut self, option: &ScaleOption, view: &View<'_>, out: &mut Effects) {
        let from = self.target(option.pool, view.store);
        let to = from + option.nodes;
        let first = self.first_ordinal(option.pool, view.store);
        let pool = &self.pools[option.pool];
        let max = pool.autoscaling.map_or(to, |(_, max)| max);
        let name = &pool.name;
        say_of_cluster("ScaledUpGroup", format!("Scale-up: setting group {name} size to {to} instead of {from} (max: {max})"), out);
        for ordinal in first..first + option.nodes {
            let mut stream = view.streams.stream(Purpose::Provisioning, entity(&node_name(pool, ordinal)));
            let ready = view.now + pool.provisioning.sample(&mut stream);
            out.at(ready, Event::NodeProvisioned { pool: option.pool as u32, ordinal });
            self.orders.push(Order { pool: option.pool as u32, ordinal });
        }
        say_of_cluster("ScaledUpGroup", format!("Scale-up: group {name} size set to {to} instead of {from} (max: {max})"), out);
        out.record(Record::NodePool { pool: name.clone(), from, to, reason: format!("{} pending pods", option.pods.len()).into() });
        for (id, info) in &option.pods {
            self.told.remove(&info.uid);
            say_of_pod(*id, "TriggeredScaleUp", format!("pod triggered scale-up: [{{{name} {from}->{to} (max: {max})}}]"), view, out);
        }
        self.ordinals.insert(option.pool, first + option.nodes);
        self.last_scale_up = Some(view.now);
    }

    fn first_ordinal(&self, pool: usize, store: &Store) -> u32 {
        let pool_name = &self.pools[pool].name;
        let number = |node: &Node| node.meta.name.strip_prefix(&**pool_name)?.strip_prefix('-')?.parse::<u32>().ok();
        let of_pool = store.nodes.iter().filter(|(_, node)| node.spec.provider_id == *pool_name);
        let used = of_pool.filter_map(|(_, node)| Some(number(node)? + 1)).max().unwrap_or(0);
        used.max(self.ordinals.get(&pool).copied().unwrap_or(0))
    }

    // --- Expanders ---

    /// The option the expander keeps; ties are broken at random.
    fn choose(&self, mut options: Vec<ScaleOption>, nodes: u32, view: &View<'_>) -> Option<ScaleOption> {
        let score = |option: &ScaleOption| -> f64 {
            match &*view.settings.cluster_autoscaler.expander {
                "random" => 0.0,
                "most-pods" => -(option.pods.len() as f64),
                "least-nodes" => f64::from(option.nodes),
                "price" => price(option, &self.pools[option.pool], nodes),
                _ => waste(option, &self.pools[option.pool].template),
            }
        };
        let best = options.iter().map(score).fold(f64::INFINITY, f64::min);
        options.retain(|option| score(option) <= best);
        let pick = view.streams.stream(Purpose::Expander, self.loops).below(options.len() as u64) as usize;
        (!options.is_empty()).then(|| options.swap_remove(pick))
    }

    // --- Scale down ---

    /// Finds the nodes that are not needed, and since when (upstream: planner.UpdateClusterState).
    fn plan_scale_down(&mut self, plan: &mut Plan<'_>) {
        let settings = &plan.view.settings.cluster_autoscaler;
        let mut candidates: Vec<(bool, bool, NodeId)> = Vec::new();
        for (id, node) in plan.view.store.nodes.iter() {
            let index = plan.scratch.find(&node.meta.name);
            let Some(info) = index.map(|index| plan.scratch.node(index)).filter(|_| self.is_eligible(id, node)) else { continue };
            if utilization(info) <= settings.scale_down_utilization_threshold {
                candidates.push((!is_empty(info), !self.unneeded.contains_key(&id), id));
            }
        }
        candidates.sort_unstable();
        let parallelism = settings.max_scale_down_parallelism as usize;
        let scans = settings.scale_down_unneeded_time.as_nanos() / settings.scan_interval.as_nanos().max(1);
        let limit = (self.unneeded.len() + 2 * parallelism).min(parallelism * scans as usize + parallelism);
        let mut unneeded = BTreeMap::new();
        for (_, _, id) in candidates {
            if unneeded.len() >= limit {
                break;
            }
            let Some(node) = plan.view.store.nodes.get(id) else { continue };
            if plan.empties(&node.meta.name) {
                unneeded.insert(id, self.unneeded.get(&id).copied().unwrap_or(plan.view.now));
            } else {
                self.unremovable.insert(id, plan.view.now + UNREMOVABLE_RECHECK);
            }
        }
        self.unneeded = unneeded;
    }

    fn is_eligible(&self, id: NodeId, node: &Node) -> bool {
        let disabled =
            node.meta.annotations.get("cluster-autoscaler.kubernetes.io/scale-down-disabled").is_some_and(|value| &**value == "true");
        self.pool_of(node).is_some() && !disabled && !self.deletions.contains_key(&id) && !self.unremovable.contains_key(&id)
    }

    /// The autoscaled pool of a node.
    fn pool_of(&self, node: &Node) -> Option<usize> {
        self.pools.iter().position(|pool| pool.name == node.spec.provider_id && pool.autoscaling.is_some())
    }

    /// Starts deleting nodes that have not been needed for long enough: empty ones first.
    fn scale_down(&mut self, view: &View<'_>, out: &mut Effects) -> bool {
        let settings = &view.settings.cluster_autoscaler;
        let due = self.unneeded.iter().filter(|(id, since)| **since + unneeded_time(**id, view) <= view.now).map(|(id, _)| *id);
        let mut due: Vec<(bool, NodeId)> = due.map(|id| (!pods_to_move(id, view.store).is_empty(), id)).collect();
        due.sort_unstable();
        let mut started = false;
        for (drain, id) in due {
            let under_way =
                |drain: bool| self.deletions.values().filter(|deletion| !deletion.removed && (deletion.drain || !drain)).count() as u32;
            let Some(node) = view.store.nodes.get(id) else { continue };
            let Some(pool) = self.pool_of(node) else { continue };
            let min = self.pools[pool].autoscaling.map_or(0, |(min, _)| min);
            let over_budget =
                under_way(false) >= settings.max_scale_down_parallelism || (drain && under_way(true) >= settings.max_drain_parallelism);
            if over_budget || self.target(pool, view.store) <= min {
                continue;
            }
            self.start_deleting(id, node, Deletion { pool, drain, tainted: view.now, evicting: None, removed: false }, view, out);
            started = true;
        }
        started
    }

    fn start_deleting(&mut self, id: NodeId, node: &Node, deletion: Deletion, view: &View<'_>, out: &mut Effects) {
        let taint = Taint { value: view.now.as_secs().to_string().into(), ..Taint::new(TO_BE_DELETED, TaintEffect::NoSchedule) };
        let write = Write::PatchNode { node: id, add: vec![taint], remove: Vec::new(), unschedulable: Some(true) };
        out.announce(BY, write, "ScaleDown", object_name("Node", &node.meta), "marked the node as toBeDeleted/unschedulable".to_owned());
        if deletion.drain {
            let names: Vec<&str> = pods_to_move(id, view.store).iter().map(|(_, pod)| &*pod.meta.name).collect();
            let message = format!("Scale-down: removing node {}, pods to reschedule: {}", node.meta.name, names.join(","));
            say_of_cluster("ScaleDown", message, out);
        } else {
            say_of_cluster("ScaleDownEmpty", format!("Scale-down: removing empty node \"{}\"", node.meta.name), out);
        }
        self.unneeded.remove(&id);
        self.deletions.insert(id, deletion);
    }

    /// Drains and deletes nodes whose deletion has begun.
    fn go_on_deleting(&mut self, view: &View<'_>, out: &mut Effects) {
        let mut budgets = Budgets::default();
        for (id, deletion) in self.deletions.clone() {
            let Some(node) = view.store.nodes.get(id) else { continue };
            if deletion.removed || view.now < deletion.tainted + DELAY_AFTER_TAINT {
                continue;
            }
            let pods = pods_to_move(id, view.store);
            if pods.is_empty() {
                self.delete_node(id, node, deletion, view, out);
            } else if !deletion.drain {
                self.give_up(id, node, "node is not empty", view, out);
            } else if deletion.evicting.is_none() && pods.iter().any(|(_, pod)| blocks(pod, view).is_some()) {
                self.give_up(id, node, "failed to get pods to move on node", view, out);
            } else {
                self.evict_pods(id, node, deletion, &pods, &mut budgets, view, out);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a deletion, called from one place")]
    fn evict_pods(
        &mut self,
        id: NodeId,
        node: &Node,
        deletion: Deletion,
        pods: &[(PodId, &Pod)],
        budgets: &mut Budgets,
        view: &View<'_>,
        out: &mut Effects,
    ) {
        let (began, retry) = deletion.evicting.unwrap_or((view.now, view.now));
        let staying: Vec<&(PodId, &Pod)> = pods.iter().filter(|(_, pod)| !pod.meta.is_deleting()).collect();
        let grace = pods.iter().map(|(_, pod)| pod.spec.termination_grace_period).max().unwrap_or(SimDuration::ZERO).min(MAX_GRACE);
        let too_late = !staying.is_empty() && view.now >= began + MAX_EVICTION_TIME;
        if too_late || view.now >= began + MAX_EVICTION_TIME + grace + EVICTION_HEADROOM {
            return self.give_up(id, node, "failed to drain the node: pods remaining after timeout", view, out);
        }
        let mut next = retry;
        if view.now >= retry {
            next = view.now + EVICTION_RETRY;
            for (pod_id, pod) in staying {
                if budgets.evict(pod, view.store) == Eviction::Allowed {
                    evict(*pod_id, pod, out);
                }
            }
        }
        self.deletions.insert(id, Deletion { evicting: Some((began, next)), ..deletion });
    }

    fn delete_node(&mut self, id: NodeId, node: &Node, deletion: Deletion, view: &View<'_>, out: &mut Effects) {
        let under_way = self.deletions.values().filter(|other| other.pool == deletion.pool && !other.removed).count() as u32;
        let from = self.target(deletion.pool, view.store) + under_way;
        out.announce(
            BY,
            Write::DeleteNode(id),
            "ScaleDown",
            object_name("Node", &node.meta),
            "node removed by cluster autoscaler".to_owned(),
        );
        let (reason, message) = if deletion.drain {
            ("ScaleDown", format!("Scale-down: node {} removed with drain", node.meta.name))
        } else {
            ("ScaleDownEmpty", format!("Scale-down: empty node {} removed", node.meta.name))
        };
        say_of_cluster(reason, message, out);
        let why = if deletion.drain { "underutilized" } else { "empty" };
        let (pool, reason) = (self.pools[deletion.pool].name.clone(), format!("{} {why}", node.meta.name).into());
        out.record(Record::NodePool { pool, from, to: from.saturating_sub(1), reason });
        self.deletions.insert(id, Deletion { removed: true, ..deletion }); // Forgotten when it has landed.
    }

    fn give_up(&mut self, id: NodeId, node: &Node, why: &str, view: &View<'_>, out: &mut Effects) {
        let remove = vec![(TO_BE_DELETED.into(), TaintEffect::NoSchedule)];
        out.write(BY, Write::PatchNode { node: id, add: Vec::new(), remove, unschedulable: Some(false) });
        out.event(BY, true, "ScaleDownFailed", object_name("Node", &node.meta), why.to_owned());
        self.deletions.remove(&id);
        self.last_failure = Some(view.now);
    }
}

/// One simulation of scale-down: placements stay, nodes given back are no longer places.
struct Plan<'a> {
    view: &'a View<'a>,
    scratch: ClusterSnapshot,
    upcoming: BTreeSet<Str>,
    fits: &'a Fits<'a>,
    cursor: usize,
}

impl Plan<'_> {
    /// Moves a node's pods elsewhere and takes the node away; if one has no place, all stay.
    fn empties(&mut self, name: &Str) -> bool {
        let Some(info) = self.scratch.find(name).map(|index| self.scratch.node(index).clone()) else { return false };
        let pod_of = |info: &PodInfo| self.view.store.pod_by_uid(info.uid).map(|(_, pod)| pod);
        let to_move: Vec<PodInfo> = info.pods.iter().filter(|info| pod_of(info).is_none_or(moves)).cloned().collect();
        if to_move.iter().any(|info| pod_of(info).is_some_and(|pod| blocks(pod, self.view).is_some())) {
            return false;
        }
        let mut placed: Vec<(Str, Uid)> = Vec::new();
        for pod in to_move {
            let upcoming = &self.upcoming;
            let allowed = |node: &NodeInfo| node.name() != name && !upcoming.contains(node.name());
            let Some(index) = first_fit(&pod, &self.scratch, self.fits, &mut self.cursor, &allowed) else {
                self.take_back(&placed);
                return false;
            };
            let node = self.scratch.node_mut(index);
            placed.push((node.name().clone(), pod.uid));
            node.add_pod(pod);
        }
        self.scratch.remove_node(name);
        true
    }

    fn take_back(&mut self, placed: &[(Str, Uid)]) {
        for (name, uid) in placed {
            if let Some(index) = self.scratch.find(name) {
                self.scratch.node_mut(index).remove_pod(*uid);
            }
        }
    }
}

/// First-fit-decreasing on new nodes of one pool (upstream: binpacking_estimator.go).
struct Estimate<'a> {
    pool: &'a NodePool,
    first: u32,
    limit: u32,
    daemons: &'a [PodInfo],
    fits: &'a Fits<'a>,
}

impl Estimate<'_> {
    /// New nodes that would get pods, and the pods; what speaks against a group goes to its reasons.
    fn of(&self, groups: &[Group], base: &ClusterSnapshot, reasons: &mut [Vec<String>]) -> (u32, Vec<(PodId, PodInfo)>) {
        let mut scratch = base.clone();
        let template = self.add_node(&mut scratch, 0);
        let mut order: Vec<(usize, f64)> = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            let exemplar = &group.pods[0].1;
            let Some(index) = scratch.find(&template) else { continue };
            if (self.fits)(exemplar, &scratch, index) {
                order.push((place, size(exemplar, scratch.node(index))));
            } else {
                reasons[place].push(why_not(exemplar, scratch.node(index)));
            }
        }
        order.sort_by(|a, b| b.1.total_cmp(&a.1)); // Stable: equal groups stay in order.
        scratch.remove_node(&template);
        let mut packing = Packing { estimate: self, scratch, nodes: Vec::new(), used: BTreeSet::new(), pods: Vec::new() };
        for (place, _) in order {
            packing.pack(&groups[place]);
        }
        (packing.used.len() as u32, packing.pods)
    }

    fn add_node(&self, scratch: &mut ClusterSnapshot, number: u32) -> Str {
        let node = pool_node(self.pool, self.first + number);
        let name = node.meta.name.clone();
        put_new_node(node, self.daemons, scratch);
        name
    }
}

/// The pods that DaemonSets would make, before a node is known.
fn daemons(store: &Store) -> Vec<PodInfo> {
    let pod = |set: &DaemonSet| {
        let meta = ObjectMeta { uid: set.meta.uid, owners: vec![controller_of("DaemonSet", &set.meta)], ..set.meta.clone() };
        let pod = Pod { meta, spec: Arc::new(daemon_spec(&set.template)), ..Pod::default() };
        PodInfo::new(&pod, Arc::new(PodRequests::of(&pod.spec)))
    };
    store.daemon_sets.iter().map(|(_, set)| pod(set)).collect()
}

/// A node that is not there yet, with the daemon pods it will have.
fn put_new_node(node: Node, daemons: &[PodInfo], scratch: &mut ClusterSnapshot) {
    let own: Vec<PodInfo> = daemons.iter().filter(|daemon| fit(&node, &daemon.spec).runs).cloned().collect();
    let name = node.meta.name.clone();
    scratch.put_node(Arc::new(node));
    if let Some(index) = scratch.find(&name) {
        own.into_iter().for_each(|daemon| scratch.node_mut(index).add_pod(daemon));
    }
}

/// New nodes being filled.
struct Packing<'a> {
    estimate: &'a Estimate<'a>,
    scratch: ClusterSnapshot,
    nodes: Vec<Str>,
    used: BTreeSet<Str>,
    pods: Vec<(PodId, PodInfo)>,
}

impl Packing<'_> {
    fn pack(&mut self, group: &Group) {
        let mut pods = group.pods.iter().peekable();
        while let Some((id, info)) = pods.peek() {
            let Some(name) = self.nodes.iter().find(|name| self.fits(info, name)).cloned() else { break };
            self.place(*id, info, &name);
            pods.next();
        }
        for (id, info) in pods {
            let last = self.nodes.last().cloned();
            if let Some(last) = last.clone().filter(|last| self.fits(info, last)) {
                self.place(*id, info, &last);
                continue;
            }
            // If the last node is empty and did not do, neither will another one.
            if last.is_some_and(|last| !self.used.contains(&last)) || self.nodes.len() as u32 >= self.estimate.limit {
                return;
            }
            let name = self.estimate.add_node(&mut self.scratch, self.nodes.len() as u32);
            self.nodes.push(name.clone());
            if !self.fits(info, &name) {
                return;
            }
            self.place(*id, info, &name);
        }
    }

    fn fits(&self, info: &PodInfo, name: &Str) -> bool {
        self.scratch
            .find(name)
            .is_some_and(|index| has_room(info, self.scratch.node(index)) && (self.estimate.fits)(info, &self.scratch, index))
    }

    fn place(&mut self, id: PodId, info: &PodInfo, name: &Str) {
        if let Some(index) = self.scratch.find(name) {
            self.scratch.node_mut(index).add_pod(info.clone());
        }
        self.used.insert(name.clone());
        self.pods.push((id, info.clone()));
    }
}

fn node_name(pool: &NodePool, ordinal: u32) -> String {
    format!("{}-{ordinal}", pool.name)
}

fn find_node(store: &Store, name: &str) -> Option<NodeId> {
    store.nodes.find(&api::ObjectKey::new("", name))
}

/// The scheduler has tried it in vain, and nothing else makes room for it.
fn is_pending(pod: &Pod) -> bool {
    let condition = &pod.status.conditions.scheduled;
    pod.is_active()
        && pod.node_name.is_none()
        && pod.status.nominated_node_name.is_none()
        && pod.spec.priority >= PRIORITY_CUTOFF
        && !is_daemon(pod.meta.controller().map(|owner| &owner.kind)) // No new node helps it.
        && condition.status == ConditionStatus::False
        && &*condition.reason == "Unschedulable"
}

/// Whether a change of a pod changes what nodes carry.
fn moved(change: &Change, pod: &Pod) -> bool {
    match change {
        Change::PodModified(_, before) => {
            before.bound != pod.node_name.is_some()
                || before.deleting != pod.meta.is_deleting()
                || before.terminal != pod.status.phase.is_terminal()
        }
        _ => pod.node_name.is_some(),
    }
}

fn is_alike(info: &PodInfo, pod: &Pod) -> bool {
    info.controller.is_some()
        && info.controller.as_deref().map(|owner| owner.uid) == pod.meta.controller().map(|owner| owner.uid)
        && *info.key.namespace == *pod.meta.namespace
        && (Arc::ptr_eq(&info.spec, &pod.spec) || info.spec == pod.spec)
        && info.labels == pod.meta.labels
}

fn are_new(groups: &[Group], view: &View<'_>) -> bool {
    let pods = groups.iter().flat_map(|group| &group.pods);
    pods.filter_map(|(id, _)| view.store.pods.get(*id)).all(|pod| pod.meta.creation + POD_BUFFER > view.now)
}

/// `--max-total-unready-percentage` and `--ok-total-unready-count` are both exceeded.
fn is_unhealthy(store: &Store) -> bool {
    let unready = store.nodes.iter().filter(|(_, node)| !node.status.ready.is_true()).count();
    unready > 3 && unready * 100 > store.nodes.len() * 45
}

/// A quick look before all filters are asked.
fn has_room(info: &PodInfo, node: &NodeInfo) -> bool {
    let (wanted, used, all) = (&info.requests.requests, &node.requested, &node.allocatable);
    (wanted.cpu_millis == 0 || wanted.cpu_millis <= all.cpu_millis - used.cpu_millis)
        && (wanted.memory_bytes == 0 || wanted.memory_bytes <= all.memory_bytes - used.memory_bytes)
}

/// The first node from where the last search ended on which the pod fits.
fn first_fit(
    info: &PodInfo,
    scratch: &ClusterSnapshot,
    fits: &Fits<'_>,
    cursor: &mut usize,
    allowed: &dyn Fn(&NodeInfo) -> bool,
) -> Option<NodeIndex> {
    let count = scratch.nodes().len();
    for step in 0..count {
        let place = (*cursor + step) % count;
        let (node, index) = (&scratch.nodes()[place], NodeIndex(place as u32));
        if allowed(node) && has_room(info, node) && fits(info, scratch, index) {
            *cursor = place;
            return Some(index);
        }
    }
    None
}

/// Share of a node's allocatable that a pod asks for: cpu and memory together.
fn size(info: &PodInfo, node: &NodeInfo) -> f64 {
    let share = |wanted: i64, all: i64| if all > 0 { wanted as f64 / all as f64 } else { 0.0 };
    let wanted = &info.requests.requests;
    share(wanted.cpu_millis, node.allocatable.cpu_millis) + share(wanted.memory_bytes, node.allocatable.memory_bytes)
}

/// Why a pod does not fit an empty node, in the scheduler's words, as far as it is plain to see.
fn why_not(info: &PodInfo, node: &NodeInfo) -> String {
    let spec = &info.spec;
    let hard = |taint: &&Taint| taint.effect != TaintEffect::PreferNoSchedule;
    let untolerated = |taint: &Taint| !spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, false));
    if node.node.spec.taints.iter().filter(hard).any(untolerated) {
        return "node(s) had untolerated taint(s)".to_owned();
    }
    let labels = node.node.labels();
    let selected = spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec.affinity.node.as_ref().and_then(|affinity| affinity.required.as_ref());
    if !selected || required.is_some_and(|terms| !terms.iter().any(|term| term.matches(node.name(), labels))) {
        return "node(s) didn't match Pod's node affinity/selector".to_owned();
    }
    let wanted = &info.requests.requests;
    let short = |name: &ResourceName| wanted.get(name) > node.allocatable.get(name);
    let scalars: Vec<ResourceName> = wanted.scalars.keys().map(|name| ResourceName::Scalar(name.clone())).collect();
    let native = [ResourceName::Cpu, ResourceName::Memory, ResourceName::EphemeralStorage];
    match native.iter().chain(&scalars).find(|name| short(name)) {
        Some(name) => format!("Insufficient {name}"),
        None => "node(s) did not fit the pod".to_owned(),
    }
}

/// cpu and memory that an option leaves unused, as shares of what it orders (upstream: expander/waste).
fn waste(option: &ScaleOption, template: &Node) -> f64 {
    let unused = |name: &ResourceName| {
        let of_node = template.status.capacity.get(name).or_else(|| template.status.allocatable.get(name)).copied().unwrap_or(0);
        let all = (of_node * i64::from(option.nodes)) as f64;
        if all > 0.0 { (all - container_requests(option, name) as f64) / all } else { 0.0 }
    };
    unused(&ResourceName::Cpu) + unused(&ResourceName::Memory)
}

fn container_requests(option: &ScaleOption, name: &ResourceName) -> i64 {
    let containers = option.pods.iter().flat_map(|(_, info)| &info.spec.containers);
    containers.map(|container| container.requests.get(name).copied().unwrap_or(0)).sum()
}

/// Upstream: expander/price. Pods are priced as upstream prices them on GCE; the unit cancels only in part,
/// so pool prices should be in dollars per hour.
fn price(option: &ScaleOption, pool: &NodePool, nodes: u32) -> f64 {
    const CPU_PER_HOUR: f64 = 0.033_174;
    const GIB_PER_HOUR: f64 = 0.004_446;
    let pods = |cpu_millis: f64, bytes: f64| cpu_millis / 1000.0 * CPU_PER_HOUR + bytes / f64::from(1 << 30) * GIB_PER_HOUR;
    let of_pods = pods(container_requests(option, &ResourceName::Cpu) as f64, container_requests(option, &ResourceName::Memory) as f64);
    let stabilisation = pods(500.0, 500.0 * f64::from(1 << 20));
    let sub_score = (pool.price_per_hour * f64::from(option.nodes) + stabilisation) / (of_pods + stabilisation);
    let cpus = pool.template.status.capacity.get(&ResourceName::Cpu).copied().unwrap_or(1).max(1) as f64 / 1000.0;
    let preferred = preferred_cpus(nodes);
    let unfitness = (preferred / cpus).max(cpus / preferred);
    ((unfitness - 1.0) * (1.0 - libm::tanh(f64::from(option.nodes.saturating_sub(1)) / 15.0)) + 1.0) * sub_score
}

/// The node size upstream thinks right for a cluster of so many nodes.
fn preferred_cpus(nodes: u32) -> f64 {
    const SIZES: [(u32, f64); 5] = [(2, 1.0), (6, 2.0), (20, 4.0), (60, 8.0), (200, 16.0)];
    SIZES.iter().find(|(most, _)| nodes <= *most).map_or(32.0, |(_, cpus)| *cpus)
}

/// Requests over allocatable, the larger of cpu and memory.
fn utilization(info: &NodeInfo) -> f64 {
    let share = |used: i64, all: i64| if all > 0 { used as f64 / all as f64 } else { 0.0 };
    let cpu = share(info.requested.cpu_millis, info.allocatable.cpu_millis);
    let memory = share(info.requested.memory_bytes, info.allocatable.memory_bytes);
    cpu.max(memory)
}

fn unneeded_time(id: NodeId, view: &View<'_>) -> SimDuration {
    let is_ready = view.store.nodes.get(id).is_some_and(|node| node.status.ready.is_true());
    if is_ready { view.settings.cluster_autoscaler.scale_down_unneeded_time } else { UNREADY_TIME }
}

fn is_daemon(kind: Option<&Str>) -> bool {
    kind.is_some_and(|kind| &**kind == "DaemonSet")
}

fn is_mirror(pod: &Pod) -> bool {
    pod.meta.annotations.contains_key("kubernetes.io/config.mirror")
}

fn is_empty(info: &NodeInfo) -> bool {
    info.pods.iter().all(|pod| is_daemon(pod.controller.as_deref().map(|owner| &owner.kind)))
}

/// Whether a pod has to go elsewhere before its node can go.
fn moves(pod: &Pod) -> bool {
    !is_daemon(pod.meta.controller().map(|owner| &owner.kind))
        && !is_mirror(pod)
        && !pod.status.phase.is_terminal()
        && !pod.meta.is_deleting()
}

/// Pods whose going a node waits for.
fn pods_to_move(id: NodeId, store: &Store) -> Vec<(PodId, &Pod)> {
    let Some(node) = store.nodes.get(id) else { return Vec::new() };
    let stays = |pod: &Pod| is_daemon(pod.meta.controller().map(|owner| &owner.kind)) || is_mirror(pod) || pod.status.phase.is_terminal();
    store.pods_on(&node.meta.name).filter(|(_, pod)| !stays(pod)).collect()
}

/// Why a pod may not be evicted: the first rule with a verdict (upstream: simulator/drainability/rules).
fn blocks(pod: &Pod, view: &View<'_>) -> Option<&'static str> {
    let annotation = |key: &str| pod.meta.annotations.get(key).map_or("", |value| value);
    let owner = pod.meta.controller();
    if owner.is_some_and(|owner| &*owner.kind == "ReplicaSet") && owning_replica_set(view.store, &pod.meta).is_none() {
        return Some("its controller is missing");
    }
    let safe = annotation("cluster-autoscaler.kubernetes.io/safe-to-evict");
    if !moves(pod) || safe == "true" {
        return None;
    }
    if owner.is_none() {
        return Some("it has no controller");
    }
    let mut budgets = budgets_of(pod, view.store).peekable();
    if &*pod.meta.namespace == "kube-system" && budgets.peek().is_none() {
        let is_old = pod.meta.creation + SYSTEM_POD_AGE <= view.now;
        return if is_old { None } else { Some("it is a young system pod without a disruption budget") };
    }
    if safe == "false" {
        return Some("it is annotated as not safe to evict");
    }
    let local_ok = annotation("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes");
    let is_local = |source: &VolumeSource| matches!(source, VolumeSource::EmptyDir | VolumeSource::HostPath);
    if pod.spec.volumes.iter().any(|volume| is_local(&volume.source) && !local_ok.split(',').any(|name| name.trim() == &*volume.name)) {
        return Some("it has local storage");
    }
    budgets.any(|budget| disruptions_allowed(budget, view.store) < 1).then_some("its disruption budget has none left")
}

fn evict(id: PodId, pod: &Pod, out: &mut Effects) {
    out.event(BY, false, "ScaleDown", object_name("Pod", &pod.meta), "deleting pod for node scale down".to_owned());
    out.write(BY, Write::PodDisruptionTarget(id, "EvictionByEvictionAPI".into()));
    let grace = (pod.spec.termination_grace_period > MAX_GRACE).then_some(MAX_GRACE);
    out.write(BY, Write::DeletePod { pod: id, grace, by: BY });
}

fn say_of_pod(id: PodId, reason: &str, message: String, view: &View<'_>, out: &mut Effects) {
    if let Some(pod) = view.store.pods.get(id) {
        out.event(BY, false, reason, object_name("Pod", &pod.meta), message);
    }
}

/// Upstream records what concerns the cluster on its status ConfigMap.
fn say_of_cluster(reason: &str, message: String, out: &mut Effects) {
    out.event(BY, false, reason, "ConfigMap/kube-system/cluster-autoscaler-status".to_owned(), message);
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, pod, pod_spec, strip_hash};
    use super::*;
    use crate::random::Distribution;
    use api::{LabelSelector, PodDisruptionBudget, PodTemplate};

    fn pool(name: &str, cpu_millis: i64, limits: (u32, u32), price_per_hour: f64) -> NodePool {
        let mut template = Node::default();
        template.status.allocatable =
            Arc::new([(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, 16 << 30), (ResourceName::Pods, 110)].into());
        template.status.capacity = (*template.status.allocatable).clone();
        let provisioning = Distribution::Constant(SimDuration::from_secs(60));
        NodePool { name: name.into(), initial: 0, autoscaling: Some(limits), template, zones: Vec::new(), price_per_hour, provisioning }
    }

    /// An autoscaler with a cluster and the plainest of schedulers: what has room and is not cordoned fits.
    struct Rig {
        bench: Bench,
        autoscaler: ClusterAutoscaler,
    }

    fn rig(pools: &[NodePool]) -> Rig {
        Rig { bench: bench().replica_set("web", 1), autoscaler: ClusterAutoscaler::new(pools) }
    }

    fn fits(info: &PodInfo, snapshot: &ClusterSnapshot, index: NodeIndex) -> bool {
        let node = snapshot.node(index);
        let matches = info.spec.node_selector.iter().all(|(key, value)| node.node.labels().get(key) == Some(value));
        !node.node.spec.unschedulable && matches && has_room(info, node)
    }

    impl Rig {
        fn nodes(mut self, pool: &NodePool, ordinals: std::ops::Range<u32>) -> Self {
            for ordinal in ordinals {
                self.bench.store.create_node(pool_node(pool, ordinal), self.bench.now, &self.bench.streams).expect("a free name");
            }
            self
        }
        fn pods(mut self, count: usize, make: impl Fn(usize) -> super::super::bench::TestPod) -> Self {
            for number in 0..count {
                self.bench = self.bench.owned_pod("web", make(number));
            }
            self
        }
        fn snapshot(&self) -> ClusterSnapshot {
            let mut snapshot = ClusterSnapshot::default();
            for (_, node) in self.bench.store.nodes.iter() {
                snapshot.put_node(Arc::new(node.clone()));
            }
            for (_, pod) in self.bench.store.pods.iter() {
                if let Some(index) = pod.node_name.as_ref().and_then(|node| snapshot.find(node)) {
                    snapshot.node_mut(index).add_pod(PodInfo::new(pod, Arc::new(PodRequests::of(&pod.spec))));
                }
            }
            snapshot
        }
        fn hear(&mut self) {
            for change in self.bench.store.take_changes() {
                self.bench.run(|view, out| self.autoscaler.changed(&change, view, out));
            }
        }
        /// Runs the loops up to `end`, creating nodes as they arrive: `<seconds> <what>`.
        fn until(&mut self, end: u64) -> Vec<String> {
            let mut lines = Vec::new();
            loop {
                self.hear();
                let Some(first) = (0..self.bench.timers.len()).min_by_key(|place| (self.bench.timers[*place].0, *place)) else { break };
                if self.bench.timers[first].0 > SimTime::from_secs(end) {
                    break;
                }
                let (time, event) = self.bench.timers.remove(first);
                self.bench.now = time;
                if let Event::NodeProvisioned { pool, ordinal } = event {
                    let node = pool_node(&self.autoscaler.pools[pool as usize], ordinal);
                    lines.push(format!("{} node {} is there", time.as_secs(), node.meta.name));
                    self.bench.store.create_node(node, time, &self.bench.streams).expect("a free name");
                    continue;
                }
                let snapshot = self.snapshot();
                let told = self.bench.run(|view, out| self.autoscaler.run(view, &snapshot, &fits, out));
                let told = told.into_iter().filter(|line| !line.starts_with("at "));
                lines.extend(told.map(|line| {
                    format!("{} {line}", time.as_secs()).replace("ConfigMap/kube-system/cluster-autoscaler-status", "cluster")
                }));
            }
            lines
        }
    }

    #[test]
    fn new_nodes_are_counted_with_their_daemon_pods() {
        let pool = pool("general", 1000, (0, 10), 1.0);
        let with_daemon = |cpu_millis: i64| {
            let mut rig = rig(std::slice::from_ref(&pool)).pods(4, |number| pod(&format!("web-{number}")).unschedulable().cpu(400));
            let template = PodTemplate { spec: Arc::new(pod_spec("agent:v1", cpu_millis)), ..PodTemplate::default() };
            let meta = ObjectMeta { namespace: "default".into(), name: "agent".into(), ..ObjectMeta::default() };
            let set = DaemonSet { meta, template: Arc::new(template), ..DaemonSet::default() };
            rig.bench.store.create(set, SimTime::ZERO, &rig.bench.streams).expect("a free name");
            only(&rig.until(30), "ScaledUpGroup").join(" ")
        };
        assert!(with_daemon(100).contains("to 2 instead of 0"), "two pods beside the daemon's: {}", with_daemon(100));
        assert!(with_daemon(300).contains("to 4 instead of 0"), "one: {}", with_daemon(300));
    }

    fn only(lines: &[String], word: &str) -> Vec<String> {
        lines.iter().filter(|line| line.contains(word)).cloned().collect()
    }

    #[test]
    fn pods_that_fit_nowhere_get_just_enough_nodes() {
        let small = pool("small", 1000, (0, 10), 0.1);
        let mut rig =
            rig(std::slice::from_ref(&small)).nodes(&small, 1..2).pods(5, |number| pod(&format!("web-{number}")).unschedulable().cpu(400));
        let lines = rig.until(30);
        // Two fit on the node that is there, three need two more; all were new at first.
        assert_eq!(
            lines,
            ["10 Normal", "ScaledUpGroup cluster: Scale-up: setting group small size to 3 instead of 1 (max: 10)",][1..]
                .iter()
                .map(|line| format!("10 {line}"))
                .chain([
                    "10 ScaledUpGroup cluster: Scale-up: group small size set to 3 instead of 1 (max: 10)".to_owned(),
                    "10 pool small 1 -> 3: 3 pending pods".to_owned(),
                    "10 TriggeredScaleUp Pod/default/web-2: pod triggered scale-up: [{small 1->3 (max: 10)}]".to_owned(),
                    "10 TriggeredScaleUp Pod/default/web-3: pod triggered scale-up: [{small 1->3 (max: 10)}]".to_owned(),
                    "10 TriggeredScaleUp Pod/default/web-4: pod triggered scale-up: [{small 1->3 (max: 10)}]".to_owned(),
                ])
                .collect::<Vec<_>>()
        );
        assert_eq!(rig.until(100), ["70 node small-2 is there", "70 node small-3 is there"], "what is on its way is not ordered again");
    }

    #[test]
    fn the_maximum_holds_and_pods_are_told() {
        let small = pool("small", 1000, (0, 2), 0.1);
        let mut full = rig(std::slice::from_ref(&small))
            .pods(5, |number| pod(&format!("web-{number}")).unschedulable().cpu(900))
            .pods(1, |_| pod("giant").unschedulable().cpu(5000));
        let lines = full.until(1000);
        assert_eq!(only(&lines, "pool "), ["10 pool small 0 -> 2: 2 pending pods"]);
        assert_eq!(
            only(&lines, "web-4").into_iter().chain(only(&lines, "giant")).collect::<Vec<_>>(),
            [
                "10 NotTriggerScaleUp Pod/default/web-4: pod didn't trigger scale-up: 1 max node group size reached",
                "10 NotTriggerScaleUp Pod/default/giant: pod didn't trigger scale-up: 1 max node group size reached",
            ],
            "once"
        );
        let mut alone = rig(&[small]).pods(1, |_| pod("giant").unschedulable().cpu(5000));
        assert_eq!(alone.until(1000), ["10 NotTriggerScaleUp Pod/default/giant: pod didn't trigger scale-up: 1 Insufficient cpu"]);
    }

    #[test]
    fn expanders_prefer_as_their_names_say() {
        let pools = [pool("small", 1000, (0, 10), 0.05), pool("large", 8000, (0, 10), 0.6)];
        for (expander, chosen) in [
            ("least-waste", "small 0 -> 3"), // 1 cpu for 0.9: less is left over than of 8 cpus.
            ("least-nodes", "large 0 -> 1"),
            ("price", "small 0 -> 3"),
        ] {
            let mut rig = rig(&pools).pods(3, |number| pod(&format!("web-{number}")).unschedulable().cpu(900));
            rig.bench.settings.cluster_autoscaler.expander = expander.into();
            let lines = rig.until(15);
            assert_eq!(only(&lines, "pool "), [format!("10 pool {chosen}: 3 pending pods")], "{expander}");
        }
    }

    #[test]
    fn most_pods_counts_pods() {
        let pools = [pool("small", 1000, (0, 2), 0.05), pool("large", 8000, (0, 10), 0.6)];
        let mut rig = rig(&pools).pods(3, |number| pod(&format!("web-{number}")).unschedulable().cpu(900));
        rig.bench.settings.cluster_autoscaler.expander = "most-pods".into();
        assert_eq!(only(&rig.until(15), "pool "), ["10 pool large 0 -> 1: 3 pending pods"]);
    }

    #[test]
    fn an_empty_node_goes_after_ten_minutes_but_never_below_the_minimum() {
        let small = pool("small", 1000, (1, 10), 0.1);
        let mut free =
            rig(std::slice::from_ref(&small)).nodes(&small, 1..4).pods(1, |_| pod("web-0").on("small-1").cpu(600).ready_since(0));
        assert_eq!(
            free.until(3600),
            [
                "610 cluster-autoscaler node small-2 cordon +ToBeDeletedByClusterAutoscaler:NoSchedule; \
                 ScaleDown Node/small-2: marked the node as toBeDeleted/unschedulable",
                "610 cluster-autoscaler node small-3 cordon +ToBeDeletedByClusterAutoscaler:NoSchedule; \
                 ScaleDown Node/small-3: marked the node as toBeDeleted/unschedulable",
                "610 ScaleDownEmpty cluster: Scale-down: removing empty node \"small-2\"",
                "610 ScaleDownEmpty cluster: Scale-down: removing empty node \"small-3\"",
                "615 cluster-autoscaler delete node small-2; ScaleDown Node/small-2: node removed by cluster autoscaler",
                "615 cluster-autoscaler delete node small-3; ScaleDown Node/small-3: node removed by cluster autoscaler",
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
    fn underused_nodes_are_drained_one_at_a_time() {
        let small = pool("small", 1000, (0, 10), 0.1);
        let mut rig = rig(std::slice::from_ref(&small))
            .nodes(&small, 1..4)
            .pods(3, |number| pod(&format!("web-{number}")).on(&format!("small-{}", number + 1)).cpu(300).ready_since(0));
        let lines = rig.until(616);
        assert_eq!(
            lines,
            [
                "610 cluster-autoscaler node small-1 cordon +ToBeDeletedByClusterAutoscaler:NoSchedule; \
                 ScaleDown Node/small-1: marked the node as toBeDeleted/unschedulable",
                "610 ScaleDown cluster: Scale-down: removing node small-1, pods to reschedule: web-0",
                "615 cluster-autoscaler disruption target web-0 EvictionByEvictionAPI",
                "615 cluster-autoscaler delete pod web-0",
                "615 ScaleDown Pod/default/web-0: deleting pod for node scale down",
            ]
        );
        let gone = rig.bench.pod_id("web-0");
        rig.bench.store.remove_pod(gone);
        rig.bench = std::mem::replace(&mut rig.bench, bench()).owned_pod("web", pod("web-3").on("small-3").cpu(300).ready_since(610));
        let lines = rig.until(640);
        assert_eq!(
            only(&lines, "delete node"),
            ["620 cluster-autoscaler delete node small-1; ScaleDown Node/small-1: node removed by cluster autoscaler"]
        );
    }

    #[test]
    fn a_pod_that_may_not_move_keeps_its_node() {
        let rows: [(&str, super::super::bench::TestPod, Option<&str>); 4] = [
            (
                "annotated",
                pod("a").annotation("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
                Some("it is annotated as not safe to evict"),
            ),
            ("safe", pod("a").annotation("cluster-autoscaler.kubernetes.io/safe-to-evict", "true"), None),
            ("budget", pod("a").labels("app=guarded").ready_since(0), Some("its disruption budget has none left")),
            ("plain", pod("a").ready_since(0), None),
        ];
        for (what, pod, expected) in rows {
            let mut bench = bench().replica_set("web", 1).owned_pod("web", pod.on("n"));
            let selector = LabelSelector { match_labels: [("app".into(), "guarded".into())].into(), ..LabelSelector::default() };
            let mut budget = PodDisruptionBudget {
                selector: Some(selector),
                min_available: Some(api::IntOrPercent::Count(1)),
                ..PodDisruptionBudget::default()
            };
            (budget.meta.namespace, budget.meta.name) = ("default".into(), "b".into());
            bench.store.create(budget, bench.now, &bench.streams).expect("a free name");
            let pod = bench.store.pods.get(bench.pod_id("a")).expect("it is there");
            assert_eq!(blocks(pod, &bench.view()), expected, "{what}");
        }
        let bare = bench().pod(pod("a").on("n"));
        assert_eq!(blocks(bare.store.pods.get(bare.pod_id("a")).expect("it is there"), &bare.view()), Some("it has no controller"));
    }

    #[test]
    fn after_a_scale_up_nothing_goes_for_ten_minutes() {
        let (small, large) = (pool("small", 1000, (0, 10), 0.1), pool("large", 8000, (0, 10), 0.6));
        let mut rig = rig(&[small.clone(), large]).nodes(&small, 1..2);
        rig.until(500);
        rig.bench.now = SimTime::from_secs(500);
        let mut rig = rig.pods(1, |_| pod("web-0").created(500).unschedulable().cpu(5000));
        let lines = rig.until(3600);
        assert_eq!(only(&lines, "pool "), ["510 pool large 0 -> 1: 1 pending pods", "1115 pool small 1 -> 0: small-1 empty"]);
    }

    #[test]
    fn names_of_pool_nodes_are_stable() {
        let mut zoned = pool("small", 1000, (0, 10), 0.1);
        zoned.zones = vec!["a".into(), "b".into()];
        let zones: Vec<String> = (1..4).map(|ordinal| pool_node(&zoned, ordinal).zone().to_owned()).collect();
        assert_eq!(
            (zones, strip_hash(&pool_node(&zoned, 3).meta.name)),
            (vec!["b".to_owned(), "a".into(), "b".into()], "small-#".to_owned())
        );
    }
}
