//! Cluster autoscaler: orders nodes for pods that fit nowhere, and gives back nodes that are not needed.
//!
//! Reads: node pools, the scheduler's snapshot, Pods, Nodes, disruption budgets. Writes: taints and cordons
//! of nodes that go, evictions, deletions of nodes; new nodes are ordered from the cloud (`cloud`).
//! Upstream: cluster-autoscaler 1.36.1; this file is core/static_autoscaler.go and loop/trigger.go.
//!
//! Invariants:
//! - Loops are a scan interval apart, counted from the last one; a pod that has just become unschedulable
//!   starts one at once, and so does a loop that ordered or deleted something.
//! - A loop that would find what the last one found is left out: one runs only when something has changed
//!   that it looks at, when a wait is over, or when the last one changed its own mind.
//! - What deletions do between loops (`actuator`) has times of its own.
//! - All decisions are simulated on a copy of the snapshot with the scheduler's own filters (`simulation`).
//!
//! Not modelled: the time a loop takes, but for the least pause after which one follows another; GPUs; node
//! auto-provisioning; salvo and parallel scale-up; pods that were evicted a moment ago and have not been made
//! again (upstream remembers them for no time at all).

mod actuator;
mod backoff;
mod balance;
mod cloud;
mod cluster_state;
mod estimator;
mod expander;
mod pending;
mod quota;
mod scale_down;
mod scale_up;
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use api::{Kind, Pod, SimDuration, SimTime, Str, Uid};
use port::ClusterSnapshot;
use trace::Record;

use self::actuator::Actuator;
use self::cloud::Cloud;
use self::cluster_state::ClusterState;
use self::pending::{PodGroup, are_new, is_unschedulable, next_old_enough, starts_a_loop, without_place};
use self::quota::Quota;
use self::scale_down::drainability::long_terminating_from;
use self::scale_down::{Planner, crop};
use self::scale_up::{ScaleUp, Told, tell_of_max_nodes};
use self::simulation::Simulation;
pub(crate) use self::simulation::{Filters, FiltersOf};
use super::{View, object_name};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::spec::{NodePool, ProvisioningFailure};
use crate::store::{Change, NodeId, PodId};

const BY: Component = Component::ClusterAutoscaler;
/// Least time between two loops: what a real loop takes at the least.
const LEAST_PAUSE: SimDuration = SimDuration::from_millis(100);

/// The controller's own memory.
#[derive(Debug, Default)]
pub(crate) struct ClusterAutoscaler {
    cloud: Cloud,
    state: ClusterState,
    planner: Planner,
    actuator: Actuator,
    told: Told,
    /// What was last said of the cluster as a whole.
    warned: Option<&'static str>,
    /// When the next loop is due.
    next: Option<SimTime>,
    /// For when the next step of a deletion has been asked for.
    armed_step: Option<SimTime>,
    last_loop: SimTime,
    last_scale_up: Option<SimTime>,
    last_scale_down: Option<SimTime>,
    /// Unschedulable pods seen.
    pending: BTreeSet<PodId>,
    /// Pods below the cutoff.
    expendable: BTreeSet<PodId>,
    /// Pods that are being deleted.
    terminating: BTreeSet<PodId>,
    /// No loop is left out.
    #[cfg(test)]
    plain: bool,
}

/// What came of a loop.
#[derive(Clone, Copy, Default)]
struct Outcome {
    /// It ordered or deleted something.
    acted: bool,
    /// The next one may find something else though nothing else has changed.
    again: bool,
}

impl ClusterAutoscaler {
    /// An autoscaler of these pools; those without limits are left alone.
    pub(crate) fn new(pools: &[NodePool]) -> Self {
        Self { cloud: Cloud::new(pools), ..Self::default() }
    }

    /// Hears of a change, and runs soon if it may matter.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        if self.cloud.groups.is_empty() {
            return;
        }
        match change {
            Change::PodAdded(id) | Change::PodModified(id, _) => self.pod_changed(*id, change, view, out),
            Change::PodDeleted(id, _) => {
                for list in [&mut self.pending, &mut self.expendable, &mut self.terminating] {
                    list.remove(id);
                }
                self.arm_scan(view, out);
            }
            Change::NodeAdded(_) | Change::NodeModified(_) | Change::NodeDeleted(..) => self.arm_scan(view, out),
            Change::ReplicaSetDeleted(_) | Change::ObjectDeleted(_) => self.arm_scan(view, out),
            Change::Object(kind, _) if matters(*kind) => self.arm_scan(view, out),
            _ => {}
        }
    }

    fn pod_changed(&mut self, id: PodId, change: &Change, view: &View<'_>, out: &mut Effects) {
        let Some(pod) = view.store.pods.get(id) else { return };
        if pod.spec.priority < view.settings.cluster_autoscaler.expendable_pods_priority_cutoff {
            self.expendable.insert(id);
        }
        if pod.meta.is_deleting() {
            self.terminating.insert(id);
        }
        if is_unschedulable(pod) {
            self.pending.insert(id);
            if starts_a_loop(pod, view.now) {
                let settings = &view.settings.cluster_autoscaler;
                let passed = view.now.since(self.last_loop).as_nanos() / settings.scan_interval.as_nanos().max(1);
                let last = self.last_loop + settings.scan_interval.times(passed);
                return self.arm((last + LEAST_PAUSE).max(view.now), out);
            }
            self.arm_scan(view, out);
        } else if moved(change, pod) {
            self.arm_scan(view, out);
        }
    }

    /// From now on orders fail, or some of them.
    pub(crate) fn provisioning_fails(&mut self, fault: (u32, u32), failure: &ProvisioningFailure) {
        self.cloud.fail(fault, failure);
    }

    /// Orders made from now on no longer fail of this.
    pub(crate) fn provisioning_works(&mut self, fault: (u32, u32)) {
        self.cloud.heal(fault);
    }

    /// Whether a node that has booted is still wanted.
    pub(crate) fn arrives(&self, pool: u32, ordinal: u32) -> bool {
        self.cloud.arrives(pool, ordinal)
    }

    fn arm(&mut self, time: SimTime, out: &mut Effects) {
        if self.next.is_none_or(|next| time < next) {
            self.next = Some(time);
            out.at(time, Event::ClusterAutoscaler);
        }
    }

    /// The first scan at or after `time`.
    fn scan_at(&self, time: SimTime, view: &View<'_>) -> SimTime {
        time.next_on_grid(self.last_loop, view.settings.cluster_autoscaler.scan_interval)
    }

    fn arm_scan(&mut self, view: &View<'_>, out: &mut Effects) {
        self.arm(self.scan_at(view.now + SimDuration::from_nanos(1), view), out);
    }

    /// What is due ([`Event::ClusterAutoscaler`]): steps of deletions, and the loop. `snapshot` is the scheduler's.
    pub(crate) fn run(&mut self, view: &View<'_>, snapshot: &ClusterSnapshot, filters: &dyn Filters, out: &mut Effects) {
        if self.actuator.due().is_some_and(|due| due <= view.now) {
            let before = self.actuator.in_progress();
            self.actuator.advance(&mut self.cloud, view, out);
            if self.actuator.in_progress() != before {
                let at = self.scan_at(view.now, view);
                self.arm(at, out);
            }
        }
        if self.next.is_some_and(|next| next <= view.now) {
            self.next = None;
            let before = self.mind(view);
            let outcome = self.scan(view, snapshot, filters, out);
            self.last_loop = view.now;
            self.arm_next(Outcome { again: outcome.again || self.mind(view) != before, ..outcome }, view, out);
        }
        let due = self.actuator.due();
        if let Some(due) = due.filter(|due| self.armed_step != Some(*due)) {
            out.at(due, Event::ClusterAutoscaler);
        }
        self.armed_step = due;
    }

    /// What of its memory decides what the next loop finds: unneeded nodes, targets, the next end of a back-off.
    fn mind(&self, view: &View<'_>) -> (Vec<NodeId>, Vec<u32>, Option<SimTime>) {
        let unneeded = self.planner.unneeded.keys().copied().collect();
        let targets = self.cloud.groups.iter().map(|group| group.target).collect();
        (unneeded, targets, self.state.backoff.next_end(view.now))
    }

    /// One loop. Upstream: RunOnce.
    fn scan(&mut self, view: &View<'_>, snapshot: &ClusterSnapshot, filters: &dyn Filters, out: &mut Effects) -> Outcome {
        self.forget(view);
        self.cloud.look(view.store);
        self.state.update(&mut self.cloud, view, out);
        self.remove_long_unregistered(view, out);
        if !self.state.is_cluster_healthy(view) {
            self.planner.unneeded.clear();
            self.warn("ClusterUnhealthy", "Cluster is unhealthy".to_owned(), out);
            return Outcome::default(); // Nothing new is begun until nodes change.
        }
        self.remove_created_with_errors(view, out);
        if self.state.fix_sizes(&mut self.cloud, view, out) {
            return Outcome { again: true, ..Outcome::default() };
        }
        let mut simulation = Simulation::new(view, snapshot, filters, self.expendable.iter().copied());
        simulation.add_upcoming(&self.cloud, &self.state);
        let drained = self.actuator.drained_pods(view);
        let groups = without_place(self.pending.iter().copied(), &drained, &mut simulation);
        let all_new = !groups.is_empty() && are_new(&groups, view.now);
        let ordered = !groups.is_empty() && self.scale_up(&groups, all_new, &mut simulation, out);
        let (deleting, more) = self.scale_down(all_new, ordered, &mut simulation, out);
        Outcome { acted: ordered || deleting, again: all_new || more }
    }

    /// Drops what is over: pods that have a place, or are gone.
    fn forget(&mut self, view: &View<'_>) {
        let store = view.store;
        self.pending.retain(|id| store.pods.get(*id).is_some_and(is_unschedulable));
        self.terminating.retain(|id| store.pods.get(*id).is_some_and(|pod| pod.meta.is_deleting()));
        let waiting: BTreeSet<Uid> = self.pending.iter().filter_map(|id| Some(store.pods.get(*id)?.meta.uid)).collect();
        self.told.keep(&waiting);
    }

    /// Says something of the cluster, unless it was the last thing said.
    fn warn(&mut self, reason: &'static str, text: String, out: &mut Effects) {
        if self.warned != Some(reason) {
            self.warned = Some(reason);
            say_of_cluster(true, reason, text, out);
        }
    }

    /// Instances that never registered are deleted, down to the minimum. Upstream: removeOldUnregisteredNodes.
    fn remove_long_unregistered(&mut self, view: &View<'_>, out: &mut Effects) {
        for place in 0..self.cloud.groups.len() {
            let mut names = self.state.readiness[place].long_unregistered.clone();
            let group = &self.cloud.groups[place];
            names.truncate(group.target.saturating_sub(group.min) as usize);
            if group.pool.zero_or_max && !names.is_empty() {
                names = group.instances.keys().cloned().collect();
            }
            let why = format!("{} never registered", names.len());
            for name in &names {
                say_of_cluster(false, "DeleteUnregistered", format!("Removed unregistered node {name}"), out);
            }
            self.delete_instances(place, &names, &why, view, out);
        }
    }

    /// Instances that cannot be created are deleted. Upstream: deleteCreatedNodesWithErrors.
    fn remove_created_with_errors(&mut self, view: &View<'_>, out: &mut Effects) {
        for place in 0..self.cloud.groups.len() {
            let group = &self.cloud.groups[place];
            let failed = group.instances.iter().filter(|(_, instance)| instance.error(view.now).is_some());
            let mut names: Vec<Str> = failed.map(|(name, _)| name.clone()).collect();
            if group.target <= group.min {
                continue; // The cloud refuses to go below the minimum.
            }
            let why = format!("{} could not be created", names.len());
            if group.pool.zero_or_max && !names.is_empty() {
                names = group.instances.keys().cloned().collect();
            }
            self.delete_instances(place, &names, &why, view, out);
        }
    }

    fn delete_instances(&mut self, place: usize, names: &[Str], why: &str, view: &View<'_>, out: &mut Effects) {
        if names.is_empty() {
            return;
        }
        let from = self.cloud.groups[place].target;
        self.cloud.delete(place, names);
        for id in names.iter().filter_map(|name| cloud::find_node(view.store, name)) {
            out.write(BY, Write::DeleteNode(id));
        }
        let group = &self.cloud.groups[place];
        let (pool, nodes) = (group.pool.name.clone(), names.to_vec());
        out.record(Record::NodePool { pool, from, to: group.target, nodes, reason: why.into() });
    }

    fn scale_up(&mut self, groups: &[PodGroup], all_new: bool, simulation: &mut Simulation<'_>, out: &mut Effects) -> bool {
        let view = simulation.view;
        let most = view.settings.cluster_autoscaler.max_nodes_total;
        let ready = view.store.nodes.iter().filter(|(_, node)| node.status.ready.is_true() && !node.spec.unschedulable).count() as u32;
        if most > 0 && ready >= most {
            self.warn("MaxNodesTotalReached", format!("Max total nodes in cluster reached: {most}"), out);
            tell_of_max_nodes(groups, &mut self.told, view, out);
            return false;
        }
        self.warned = None;
        if all_new {
            return false;
        }
        let (cloud, state, told) = (&mut self.cloud, &mut self.state, &mut self.told);
        let ordered = ScaleUp { cloud, state, told, simulation, pods: groups }.run(out);
        if ordered {
            self.last_scale_up = Some(view.now);
        }
        ordered
    }

    /// Plans, and deletes unless it is too early. True when nodes go; and when taints are left for the next loop.
    fn scale_down(&mut self, all_new: bool, ordered: bool, simulation: &mut Simulation<'_>, out: &mut Effects) -> (bool, bool) {
        let view = simulation.view;
        if !view.settings.cluster_autoscaler.scale_down_enabled {
            return (false, false);
        }
        let settings = &view.settings.cluster_autoscaler;
        let quota = Quota::to_remove(settings, simulation.scratch.nodes().iter());
        self.planner.update(simulation, &self.cloud, &self.actuator);
        let mut deleting = false;
        if !all_new && !ordered && self.cooldown_end(view) <= view.now {
            let removable = self.planner.removable(quota, &self.cloud, &self.actuator, view);
            let nodes = crop(&removable, &self.cloud, &self.actuator, settings, view.store);
            deleting = self.actuator.start(&nodes, &self.cloud, &self.planner, view, out);
        }
        if deleting {
            self.last_scale_down = Some(view.now);
        }
        (deleting, self.actuator.update_soft_taints(&self.planner, &self.cloud, view, out))
    }

    #[cfg(test)]
    const fn leaves_none_out(&self) -> bool {
        self.plain
    }
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests run every loop to compare")]
    const fn leaves_none_out(&self) -> bool {
        false
    }

    fn cooldown_end(&self, view: &View<'_>) -> SimTime {
        let settings = &view.settings.cluster_autoscaler;
        let after_add = self.last_scale_up.map(|at| at + settings.scale_down_delay_after_add);
        let after_delete = self.last_scale_down.map(|at| at + settings.scale_down_delay_after_delete);
        after_add.max(after_delete).unwrap_or(SimTime::ZERO)
    }

    /// Waits for the earliest thing that time alone brings about.
    fn arm_next(&mut self, outcome: Outcome, view: &View<'_>, out: &mut Effects) {
        if outcome.acted {
            return self.arm(view.now + LEAST_PAUSE, out);
        }
        if outcome.again || self.leaves_none_out() {
            self.arm_scan(view, out);
        }
        let waiting = !self.pending.is_empty();
        let backoff = self.state.backoff.next_end(view.now).filter(|_| waiting);
        let young = next_old_enough(self.pending.iter().copied(), view);
        let terminating = self.terminating.iter().filter_map(|id| long_terminating_from(view.store.pods.get(*id)?));
        let terminating = terminating.filter(|due| *due > view.now).min();
        let planned = self.planner.next_due(self.cooldown_end(view), view);
        let due = [self.state.next_due(&self.cloud, view), backoff, young, terminating, planned];
        if let Some(due) = due.into_iter().flatten().min() {
            self.arm(self.scan_at(due.max(view.now + SimDuration::from_nanos(1)), view), out);
        }
    }
}

/// Objects besides pods and nodes that decide what fits, what moves and what new nodes carry.
const fn matters(kind: Kind) -> bool {
    matches!(kind, Kind::PodDisruptionBudget | Kind::DaemonSet | Kind::PersistentVolume | Kind::PersistentVolumeClaim | Kind::StorageClass)
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

fn say_of_pod(id: PodId, reason: &str, message: String, view: &View<'_>, out: &mut Effects) {
    if let Some(pod) = view.store.pods.get(id) {
        out.event(BY, false, reason, object_name("Pod", &pod.meta), message);
    }
}

/// Upstream records what concerns the cluster on its status ConfigMap.
fn say_of_cluster(warning: bool, reason: &str, message: String, out: &mut Effects) {
    out.event(BY, warning, reason, "ConfigMap/kube-system/cluster-autoscaler-status".to_owned(), message);
}
