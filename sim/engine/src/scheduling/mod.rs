//! Scheduling: which pod is looked at when, what the scheduler sees, and what becomes of its decisions.
//!
//! [`Scheduling`] keeps the snapshot and the queue up to date from what watchers hear ([`Scheduling::changed`])
//! and runs the strictly serial cycle ([`Scheduling::cycle`]). The policy itself is a [`port::Scheduler`].
//!
//! Invariants:
//! - An assumed pod is on its node in the snapshot from the decision on; a failed bind takes it off.
//! - A terminal pod is gone for a scheduler: its informer does not list terminal pods.
//! - With nothing waiting there is no timer.
//!
//! Not here: the rules of placing (`schedulers`), the client through which binds go (`world`).

mod cycle;
mod explain;
mod objects;
mod preemption;
mod queue;
mod requests;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Node, Pod, Resources, SimDuration, SimTime, Str};
use port::{ClusterEvent, ClusterSnapshot, Detail, NodeInfo, Outcome, PodInfo, QueueingHint, Reservation, Scheduler};
use trace::Record;

use crate::controllers::View;
use crate::effects::{Component, Effects};
use crate::event::Event;
use crate::store::{Change, NodeId, PodId, ReplicaSetId};

use cycle::InFlight;
pub use explain::Explain;
use preemption::Preemptions;
use queue::{Depth, Place, Queue, QueuedPod};
use requests::Requests;
use volumes::VolumeWait;

/// The plugin that holds a pod back whose preemption is still being carried out.
const PREEMPTION_GATE: &str = "DefaultPreemption";

/// The scheduler's side of the world.
#[derive(Default)]
pub(crate) struct Scheduling {
    snapshot: ClusterSnapshot,
    queue: Queue,
    requests: Requests,
    in_flight: Option<InFlight>,
    /// The attempt whose status patch is on its way; the next cycle waits for it.
    patching: Option<(PodId, u32)>,
    /// Pods with a node chosen whose binding is on its way.
    assumed: BTreeMap<PodId, Assumed>,
    /// Those of them whose claims are being bound first.
    binding: BTreeMap<PodId, VolumeWait>,
    preemptions: Preemptions,
    cycle_due: Option<SimTime>,
    tick_due: Option<SimTime>,
    leftover_due: Option<SimTime>,
    said: Depth,
    /// Decisions that somebody wants to understand.
    wanted: Option<Explain>,
}

struct Assumed {
    pod: QueuedPod,
    node: Str,
    reservation: Reservation,
    /// Its deletion was heard of, so that it no longer counts; the binding has yet to be refused.
    forgotten: bool,
}

impl Scheduling {
    /// What a scheduler sees.
    pub(crate) const fn snapshot(&self) -> &ClusterSnapshot {
        &self.snapshot
    }

    /// Whether a pod waits here, is being looked at, or has a binding on its way.
    pub(crate) fn knows(&self, id: PodId) -> bool {
        self.queue.get(id).is_some() || self.assumed.contains_key(&id) || self.in_flight.as_ref().is_some_and(|cycle| cycle.pod.id == id)
    }

    /// A pod put aside for which `fresh` finds a node all the same, and the node.
    pub(crate) fn forgotten(&self, fresh: &mut dyn Scheduler) -> Option<(Str, Str)> {
        self.queue.unschedulable().filter(|pod| pod.gate.is_none()).find_map(|pod| {
            match fresh.schedule(&pod.info, &self.snapshot, Detail::Outcome).outcome {
                Outcome::Scheduled { node } => Some((pod.info.key.to_string().into(), self.snapshot.node(node).name().clone())),
                Outcome::Unschedulable { .. } | Outcome::Error { .. } => None,
            }
        })
    }

    /// A watcher's news.
    pub(crate) fn changed(&mut self, change: &Change, scheduler: &mut dyn Scheduler, view: View<'_>, out: &mut Effects) {
        match change {
            Change::PodAdded(id) => self.pod_added(*id, scheduler, view, out),
            Change::PodModified(id, before) if before.bound => self.placed_pod_modified(*id, scheduler, view),
            Change::PodModified(id, _) => self.waiting_pod_modified(*id, scheduler, view),
            Change::PodDeleted(id, pod) => self.pod_deleted(*id, pod, scheduler, view),
            Change::NodeAdded(id) | Change::NodeModified(id) => self.node_changed(*id, scheduler, view),
            Change::NodeDeleted(_, node) => {
                if let Some(gone) = self.snapshot.remove_node(&node.meta.name) {
                    self.wake(&ClusterEvent::NodeDeleted(&gone), scheduler, view, |_| true);
                }
            }
            Change::ServiceChanged(id) => {
                if let Some(service) = view.store.services.get(*id) {
                    self.snapshot.objects_mut().services.insert(service.meta.key(), Arc::new(service.clone()));
                }
            }
            Change::ServiceDeleted(_, service) => {
                self.snapshot.objects_mut().services.remove(&service.meta.key());
            }
            Change::ReplicaSetChanged(id) => self.replica_set_changed(*id, view),
            Change::ReplicaSetDeleted(set) => {
                self.snapshot.objects_mut().replica_sets.remove(&set.meta.key());
            }
            Change::Object(kind, number) => self.object_changed(*kind, *number, scheduler, view, out),
            Change::ObjectDeleted(gone) => self.object_deleted(gone, scheduler, view),
            Change::DeploymentChanged(_) | Change::DeploymentDeleted(..) | Change::HpaChanged(_) => {}
            Change::SliceChanged(..) | Change::SliceDeleted(..) => {}
        }
        self.arm(view, out);
    }

    /// Event::BackoffFlush: the whole-second tick.
    pub(crate) fn backoff_flush(&mut self, view: View<'_>, out: &mut Effects) {
        if self.tick_due != Some(view.now) {
            return;
        }
        self.tick_due = None;
        self.queue.flush_backoff(view.now);
        self.say_depth(out);
        self.arm(view, out);
    }

    /// Event::UnschedulableFlush: pods put aside for too long are tried again.
    pub(crate) fn unschedulable_flush(&mut self, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        if self.leftover_due != Some(view.now) {
            return;
        }
        self.leftover_due = None;
        let leftovers = self.queue.leftovers(&view.settings.scheduler, view.now);
        if let Some(in_flight) = self.in_flight.as_mut().filter(|_| !leftovers.is_empty()) {
            in_flight.woken = true; // The flush is an event for everybody.
        }
        for id in leftovers {
            self.requeue(id, scheduler, view);
        }
        self.arm(view, out);
    }

    fn pod_added(&mut self, id: PodId, scheduler: &mut dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let Some(pod) = view.store.pods.get(id) else { return };
        if pod.status.phase.is_terminal() {
            return;
        }
        if pod.node_name.is_some() {
            self.place(pod);
            self.wake_for_placed(pod, scheduler, view);
        } else if scheduler.is_responsible_for(&pod.spec.scheduler_name) {
            let info = self.info(pod);
            let queued = self.queue.arrive(id, info.clone(), pod.meta.resource_version, view.now);
            self.admit(queued, scheduler, view);
            let is_let_in = self.queue.get(id).is_some_and(|(place, _)| place != Place::Unschedulable);
            if let Some(node) = info.nominated_node.clone().filter(|_| is_let_in) {
                self.snapshot.nominate(&node, info);
            }
        } else {
            let name = &pod.spec.scheduler_name;
            let message = format!("no scheduler of this run answers to schedulerName {name:?}; the pod stays Pending");
            out.event(Component::Scheduler, true, "NotSimulated", format!("Pod/{}", pod.meta.key()), message);
        }
    }

    /// Upstream: eventhandlers.go (updatePodInSchedulingQueue), scheduling_queue.go (Update).
    fn waiting_pod_modified(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(pod) = view.store.pods.get(id) else { return };
        if pod.node_name.is_some() {
            self.bound(id, pod, scheduler, view);
            return;
        }
        let (info, version) = (self.info(pod), pod.meta.resource_version);
        let before = if let Some(in_flight) = self.in_flight.as_mut().filter(|in_flight| in_flight.pod.id == id) {
            let before = in_flight.pod.heard(info.clone(), version);
            if scheduling_properties_changed(&before, &info) {
                let event = ClusterEvent::PodUpdated { before: &before, pod: &info };
                in_flight.woken |= is_worth_another_look(scheduler, &info, in_flight.rejected_by(), &event, &self.snapshot);
            }
            before
        } else if let Some(before) = self.queue.heard(id, info.clone(), version) {
            self.follow_nomination(&before, &info);
            self.wake_itself(id, &before, &info, scheduler, view);
            before
        } else {
            if pod.meta.is_deleting() {
                self.forget_assumed(id, scheduler, view);
            }
            return;
        };
        if before.nominated_node.is_some() && before.nominated_node != info.nominated_node {
            self.wake_below(&before, scheduler, view);
        }
    }

    /// A change of a waiting pod may be what the plugins that turned it down, or hold it back, wait for.
    fn wake_itself(&mut self, id: PodId, before: &PodInfo, info: &PodInfo, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some((Place::Unschedulable, queued)) = self.queue.get(id) else { return };
        let event = ClusterEvent::PodUpdated { before, pod: info };
        if scheduling_properties_changed(before, info)
            && is_worth_another_look(scheduler, info, &queued.rejected_by, &event, &self.snapshot)
        {
            self.requeue(id, scheduler, view);
        }
    }

    /// The API's word on a nomination counts when it changed; otherwise the scheduler's memory is newer.
    /// Upstream: nominator.go (UpdateNominatedPod).
    fn follow_nomination(&mut self, before: &PodInfo, info: &PodInfo) {
        if before.nominated_node.is_none() && info.nominated_node.is_none() {
            return;
        }
        self.snapshot.forget_nomination(info.uid);
        if let Some(node) = &info.nominated_node {
            self.snapshot.nominate(node, info.clone());
        }
    }

    fn bound(&mut self, id: PodId, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        self.queue.remove(id);
        self.snapshot.forget_nomination(pod.meta.uid);
        self.leaves_cycle(id);
        if let Some(assumed) = self.assumed.remove(&id)
            && let Some(index) = self.snapshot.find(&assumed.node)
        {
            self.snapshot.node_mut(index).remove_pod(pod.meta.uid);
        }
        if pod.status.phase.is_terminal() {
            // Listed without terminal pods, this is the pod's deletion.
            let info = self.info(pod);
            self.wake(&ClusterEvent::PodDeleted(&info), scheduler, view, |_| true);
            return;
        }
        self.place(pod);
        self.wake_for_placed(pod, scheduler, view);
    }

    /// A change of a pod that has a node: it may have become terminal, be on its way out, or ask for less.
    fn placed_pod_modified(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(pod) = view.store.pods.get(id) else { return };
        if pod.meta.is_deleting() {
            self.preemptions.going(id);
        }
        if pod.status.phase.is_terminal() {
            self.placed_pod_gone(pod, scheduler, view);
            return;
        }
        let Some(index) = pod.node_name.as_ref().and_then(|node| self.snapshot.find(node)) else { return };
        let Some(placed) = self.snapshot.node_mut(index).pods.iter_mut().find(|placed| placed.uid == pod.meta.uid) else { return };
        placed.deleting = pod.meta.is_deleting();
        placed.start_time = pod.status.start_time;
        placed.preempted = &*pod.status.conditions.disruption_target == "PreemptionByScheduler";
        // Once a pod was resized, what it asks for is a matter of its status, too.
        let is_resized = || pod.status.containers.iter().any(|status| status.requests.is_some());
        if Arc::ptr_eq(&placed.spec, &pod.spec) && Arc::ptr_eq(&placed.labels, &pod.meta.labels) && !is_resized() {
            return;
        }
        let info = self.info(pod);
        let node = self.snapshot.node_mut(index);
        let Some(before) = node.remove_pod(info.uid) else { return };
        node.add_pod(info.clone());
        if scheduling_properties_changed(&before, &info) {
            self.wake(&ClusterEvent::PodUpdated { before: &before, pod: &info }, scheduler, view, |_| true);
        }
    }

    fn pod_deleted(&mut self, id: PodId, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        self.forget_volumes(id, view);
        self.preemptions.going(id);
        self.snapshot.forget_nomination(pod.meta.uid);
        if self.leaves_cycle(id) || self.queue.remove(id).is_some() {
            // Pods of no higher priority had to leave room for a nominated pod.
            if pod.status.nominated_node_name.is_some() {
                let info = self.info(pod);
                self.wake_below(&info, scheduler, view);
            }
        } else if pod.node_name.is_some() {
            match self.assumed.remove(&id) {
                Some(Assumed { pod, node, forgotten: false, .. }) => self.free(&node, &pod.info, scheduler, view),
                _ => self.placed_pod_gone(pod, scheduler, view),
            }
        } else {
            self.forget_assumed(id, scheduler, view);
        }
    }

    /// A pod whose binding is on its way is going: it no longer counts. Upstream: handleAssumedPodDeletion.
    fn forget_assumed(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>) {
        if let Some(assumed) = self.assumed.get_mut(&id)
            && !std::mem::replace(&mut assumed.forgotten, true)
        {
            let (node, info) = (assumed.node.clone(), assumed.pod.info.clone());
            self.free(&node, &info, scheduler, view);
        }
    }

    /// Notes that the pod in its cycle is not to come back to the queue; whether it is this one.
    fn leaves_cycle(&mut self, id: PodId) -> bool {
        let Some(in_flight) = self.in_flight.as_mut().filter(|in_flight| in_flight.pod.id == id) else { return false };
        in_flight.gone = true;
        true
    }

    /// The pod has left its node as far as a scheduler is concerned. A second call finds nothing.
    fn placed_pod_gone(&mut self, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        let index = pod.node_name.as_ref().and_then(|node| self.snapshot.find(node));
        let info = match index {
            Some(index) => self.snapshot.node_mut(index).remove_pod(pod.meta.uid),
            // Its node went first.
            None => Some(self.info(pod)),
        };
        if let Some(info) = info {
            self.wake(&ClusterEvent::PodDeleted(&info), scheduler, view, |_| true);
        }
    }

    /// Takes an assumed pod off its node: what it had occupied is free again, as if it had been deleted.
    fn free(&mut self, node: &Str, info: &PodInfo, scheduler: &dyn Scheduler, view: View<'_>) {
        if let Some(index) = self.snapshot.find(node) {
            self.snapshot.node_mut(index).remove_pod(info.uid);
        }
        self.wake(&ClusterEvent::PodDeleted(info), scheduler, view, |_| true);
    }

    fn node_changed(&mut self, id: NodeId, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let before = self.snapshot.find(&node.meta.name).map(|index| self.snapshot.node(index).node.clone());
        self.snapshot.put_node(Arc::new(node.clone()));
        let Some(index) = self.snapshot.find(&node.meta.name) else { return };
        if let Some(before) = before {
            if node_properties_changed(&before, node) {
                let before = NodeInfo::new(before);
                self.wake(&ClusterEvent::NodeUpdated { before: &before, node: index }, scheduler, view, |_| true);
            }
            return;
        }
        for (_, pod) in view.store.pods_on(&node.meta.name).filter(|(_, pod)| !pod.status.phase.is_terminal()) {
            self.place(pod);
        }
        // A node that comes back still has what was chosen for it.
        let info = self.snapshot.node_mut(index);
        for Assumed { pod, .. } in self.assumed.values().filter(|assumed| !assumed.forgotten && assumed.node == node.meta.name) {
            if !info.pods.iter().any(|placed| placed.uid == pod.info.uid) {
                info.add_pod(pod.info.clone());
            }
        }
        self.wake(&ClusterEvent::NodeAdded(index), scheduler, view, |_| true);
    }

    /// Plugins look at a ReplicaSet's selector only, so that a new status is no news.
    fn replica_set_changed(&mut self, id: ReplicaSetId, view: View<'_>) {
        let Some(set) = view.store.replica_sets.get(id) else { return };
        let sets = &mut self.snapshot.objects_mut().replica_sets;
        let key = set.meta.key();
        if sets.get(&key).is_none_or(|known| known.selector != set.selector || known.meta.uid != set.meta.uid) {
            sets.insert(key, Arc::new(set.clone()));
        }
    }

    fn info(&mut self, pod: &Pod) -> PodInfo {
        PodInfo::new(pod, self.requests.of(&pod.spec))
    }

    /// Puts a bound pod on its node, once.
    fn place(&mut self, pod: &Pod) {
        let info = self.info(pod);
        let Some(index) = pod.node_name.as_ref().and_then(|node| self.snapshot.find(node)) else { return };
        let node = self.snapshot.node_mut(index);
        if !node.pods.iter().any(|placed| placed.uid == info.uid) {
            node.add_pod(info);
        }
    }

    /// PreEnqueue, then the queue; a gated pod is put aside.
    fn admit(&mut self, mut pod: QueuedPod, scheduler: &dyn Scheduler, view: View<'_>) {
        let preempting = self.preemptions.holds_back(pod.id).then(|| PREEMPTION_GATE.into());
        pod.gate = scheduler.gate(&pod.info).or(preempting);
        if let Some(gate) = &pod.gate {
            if !pod.rejected_by.contains(gate) {
                pod.rejected_by.push(gate.clone());
            }
            self.queue.put_unschedulable(pod);
        } else {
            self.queue.put(pod, &view.settings.scheduler, view.now);
        }
    }

    fn requeue(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>) {
        if let Some(pod) = self.queue.remove(id) {
            self.admit(pod, scheduler, view);
        }
    }

    fn wake_for_placed(&mut self, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        if self.queue.depth().unschedulable > 0 || self.in_flight.is_some() {
            let info = self.info(pod);
            self.wake(&ClusterEvent::PodAdded(&info), scheduler, view, |_| true);
        }
    }

    /// Pods of no higher priority treated a nominated pod as if it were placed.
    fn wake_below(&mut self, info: &PodInfo, scheduler: &dyn Scheduler, view: View<'_>) {
        let priority = info.spec.priority;
        self.wake(&ClusterEvent::PodDeleted(info), scheduler, view, |pod| pod.info.spec.priority <= priority);
    }

    /// Asks the hints of every pod put aside whether `event` is worth another attempt.
    fn wake(&mut self, event: &ClusterEvent<'_>, scheduler: &dyn Scheduler, view: View<'_>, among: impl Fn(&QueuedPod) -> bool) {
        // The gate of preemption listens to deletions alone; other gates speak for themselves.
        let may_pass = |pod: &QueuedPod| pod.gate.as_deref() != Some(PREEMPTION_GATE) || matches!(event, ClusterEvent::PodDeleted(_));
        let worth = |pod: &QueuedPod| is_worth_another_look(scheduler, &pod.info, &pod.rejected_by, event, &self.snapshot);
        let woken: Vec<PodId> =
            self.queue.unschedulable().filter(|pod| may_pass(pod) && among(pod) && worth(pod)).map(|pod| pod.id).collect();
        for id in woken {
            self.requeue(id, scheduler, view);
        }
        if let Some(in_flight) = &mut self.in_flight
            && !in_flight.woken
        {
            in_flight.woken = is_worth_another_look(scheduler, &in_flight.pod.info, in_flight.rejected_by(), event, &self.snapshot);
        }
    }

    /// Sets the timers that the queue needs, each once.
    fn arm(&mut self, view: View<'_>, out: &mut Effects) {
        let settings = &view.settings.scheduler;
        if self.cycle_due.is_none() && self.patching.is_none() && self.queue.has_next() {
            self.cycle_due = Some(view.now);
            out.at(view.now, Event::SchedulingCycle);
        }
        let unsaid = (self.queue.depth() != self.said).then(|| SimTime::from_secs(view.now.as_secs() + 1));
        if let Some(due) = self.queue.next_backoff_flush().into_iter().chain(unsaid).min()
            && self.tick_due.is_none_or(|armed| due < armed)
        {
            let due = due.max(view.now + SimDuration::from_nanos(1));
            self.tick_due = Some(due);
            out.at(due, Event::BackoffFlush);
        }
        if self.leftover_due.is_none()
            && let Some(due) = self.queue.next_leftover(settings)
        {
            self.leftover_due = Some(due);
            out.at(due, Event::UnschedulableFlush);
        }
    }

    fn say_depth(&mut self, out: &mut Effects) {
        let depth = self.queue.depth();
        if depth != self.said {
            self.said = depth;
            let Depth { active, backoff, unschedulable, gated } = depth;
            out.record(Record::SchedulingQueue { active, backoff, unschedulable, gated });
        }
    }
}

/// Whether one of the plugins that turned a pod down asks for another attempt after `event`. Nobody turned
/// down a pod whose attempt failed by itself: it is tried again in any case.
fn is_worth_another_look(
    scheduler: &dyn Scheduler,
    pod: &PodInfo,
    rejected_by: &[Str],
    event: &ClusterEvent<'_>,
    snapshot: &ClusterSnapshot,
) -> bool {
    rejected_by.is_empty() || scheduler.hint(pod, rejected_by, event, snapshot) == QueueingHint::Queue
}

/// Whether a node's change is one that plugins can register for.
/// Upstream: pkg/scheduler/framework/events.go (NodeSchedulingPropertiesChange).
fn node_properties_changed(before: &Node, after: &Node) -> bool {
    before.status.allocatable != after.status.allocatable
        || before.meta.labels != after.meta.labels
        || before.meta.annotations != after.meta.annotations
        || before.spec.taints != after.spec.taints
        || before.status.ready != after.status.ready
        || before.status.info != after.status.info
        || (before.spec.unschedulable && !after.spec.unschedulable)
}

/// Whether a pod's change is one that plugins can register for.
/// Upstream: pkg/scheduler/framework/events.go (PodSchedulingPropertiesChange).
fn scheduling_properties_changed(before: &PodInfo, after: &PodInfo) -> bool {
    let (old, new) = (&before.spec, &after.spec);
    before.labels != after.labels
        || (!Arc::ptr_eq(old, new)
            && (old.tolerations.len() != new.tolerations.len()
                || (!old.scheduling_gates.is_empty() && new.scheduling_gates.is_empty())
                || asks_for_less(&before.requests.requests, &after.requests.requests)))
}

fn asks_for_less(old: &Resources, new: &Resources) -> bool {
    let less = |(old, new): (i64, i64)| new < old;
    [(old.cpu_millis, new.cpu_millis), (old.memory_bytes, new.memory_bytes), (old.ephemeral_storage_bytes, new.ephemeral_storage_bytes)]
        .into_iter()
        .any(less)
        || old.scalars.iter().any(|(name, amount)| less((*amount, new.scalars.get(name).copied().unwrap_or(0))))
}
