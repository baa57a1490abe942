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
mod queue;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Node, Pod, SimDuration, SimTime, Str};
use port::{ClusterEvent, ClusterSnapshot, NodeIndex, PodInfo, QueueingHint, Scheduler};
use trace::Record;

use crate::controllers::View;
use crate::effects::{Component, Effects};
use crate::event::Event;
use crate::store::{Change, NodeId, PodId, ReplicaSetId};

use queue::{Depth, Place, Queue, QueuedPod};
use requests::Requests;

/// The gate of a pod whose preemption is still being carried out.
const PREEMPTION_GATE: &str = "DefaultPreemption";

/// The scheduler's side of the world.
#[derive(Default)]
pub(crate) struct Scheduling {
    snapshot: ClusterSnapshot,
    queue: Queue,
    requests: Requests,
    /// Pods with a node chosen whose binding is on its way.
    assumed: BTreeMap<PodId, Assumed>,
    /// Preemptors with the victims whose deletion has not been seen yet.
    preempting: BTreeMap<PodId, BTreeSet<PodId>>,
    cycle_due: Option<SimTime>,
    tick_due: Option<SimTime>,
    leftover_due: Option<SimTime>,
    said: Depth,
}

struct Assumed {
    pod: QueuedPod,
    node: Str,
}

impl Scheduling {
    /// What a scheduler sees.
    pub(crate) const fn snapshot(&self) -> &ClusterSnapshot {
        &self.snapshot
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
                self.snapshot.remove_node(&node.meta.name);
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
            Change::Object(..) | Change::ObjectDeleted(_) => self.other_changed(view),
            Change::DeploymentChanged(_) | Change::DeploymentDeleted(..) | Change::EndpointsChanged(_) | Change::HpaChanged(_) => {}
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
        for id in self.queue.leftovers(&view.settings.scheduler, view.now) {
            self.requeue(id, scheduler, view);
        }
        self.arm(view, out);
    }

    /// The API server refused a binding: the pod is gone, is going, or is bound already.
    pub(crate) fn bind_failed(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let Some(Assumed { mut pod, node }) = self.assumed.remove(&id) else { return };
        let taken_off = self.take_off(&node, &pod.info);
        // What the pod had occupied is free again, as if it had been deleted.
        self.wake(&ClusterEvent::PodDeleted(&taken_off), scheduler, view, |_| true);
        if view.store.pods.get(id).is_some_and(|pod| pod.node_name.is_none()) {
            Queue::failed(&mut pod, view.now);
            self.admit(pod, scheduler, view);
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
            let pod = self.queue.arrive(id, info, view.now);
            self.admit(pod, scheduler, view);
        } else {
            let name = &pod.spec.scheduler_name;
            let message = format!("no scheduler of this run answers to schedulerName {name:?}; the pod stays Pending");
            out.event(Component::Scheduler, true, "NotSimulated", format!("Pod/{}", pod.meta.key()), message);
        }
    }

    fn waiting_pod_modified(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(pod) = view.store.pods.get(id) else { return };
        if pod.node_name.is_some() {
            self.bound(id, pod, scheduler, view);
            return;
        }
        let Some((place, queued)) = self.queue.get(id) else { return };
        let gated = place == Place::Unschedulable && queued.gate.as_deref().is_some_and(|gate| gate != PREEMPTION_GATE);
        let nominated = queued.info.nominated_node.clone();
        let mut info = self.info(pod);
        info.nominated_node = nominated; // The scheduler's own memory is newer than what the API says.
        self.queue.update(id, |old| *old = info);
        if gated {
            self.requeue(id, scheduler, view);
        }
    }

    fn bound(&mut self, id: PodId, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        self.queue.remove(id);
        self.forget_preemptor(id, pod);
        if let Some(assumed) = self.assumed.remove(&id)
            && let Some(index) = self.snapshot.find(&assumed.node)
        {
            self.snapshot.node_mut(index).remove_pod(pod.meta.uid);
        }
        if pod.status.phase.is_terminal() {
            return;
        }
        self.place(pod);
        self.wake_for_placed(pod, scheduler, view);
    }

    /// A change of a pod that has a node: it may have become terminal, or be on its way out.
    fn placed_pod_modified(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(pod) = view.store.pods.get(id) else { return };
        if pod.status.phase.is_terminal() {
            self.placed_pod_gone(pod, scheduler, view);
        } else if let Some(placed) = self.placed_mut(pod) {
            placed.deleting = pod.meta.is_deleting();
            placed.start_time = pod.status.start_time;
            placed.preempted = &*pod.status.conditions.disruption_target == "PreemptionByScheduler";
        }
        if pod.meta.is_deleting() {
            self.victim_seen_going(id);
        }
    }

    fn pod_deleted(&mut self, id: PodId, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        self.victim_seen_going(id);
        self.forget_preemptor(id, pod);
        if let Some(queued) = self.queue.remove(id) {
            // Pods of no higher priority had to leave room for a nominated pod.
            if queued.info.nominated_node.is_some() {
                self.wake_below(&queued.info, scheduler, view);
            }
        } else if let Some(Assumed { pod, node }) = self.assumed.remove(&id) {
            let taken_off = self.take_off(&node, &pod.info);
            self.wake(&ClusterEvent::PodDeleted(&taken_off), scheduler, view, |_| true);
        } else if pod.node_name.is_some() {
            self.placed_pod_gone(pod, scheduler, view);
        }
    }

    /// The pod has left its node as far as a scheduler is concerned. A second call finds nothing.
    fn placed_pod_gone(&mut self, pod: &Pod, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(index) = pod.node_name.as_ref().and_then(|node| self.snapshot.find(node)) else { return };
        if let Some(info) = self.snapshot.node_mut(index).remove_pod(pod.meta.uid) {
            self.wake(&ClusterEvent::PodDeleted(&info), scheduler, view, |_| true);
        }
    }

    fn node_changed(&mut self, id: NodeId, scheduler: &dyn Scheduler, view: View<'_>) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let known = self.snapshot.find(&node.meta.name);
        let matters = known.is_none_or(|index| scheduling_properties_differ(&self.snapshot.node(index).node, node));
        self.snapshot.put_node(Arc::new(node.clone()));
        let Some(index) = self.snapshot.find(&node.meta.name) else { return };
        if known.is_some() {
            if matters {
                self.wake(&ClusterEvent::NodeUpdated(index), scheduler, view, |_| true);
            }
            return;
        }
        for (_, pod) in view.store.pods_on(&node.meta.name).filter(|(_, pod)| !pod.status.phase.is_terminal()) {
            self.place(pod);
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

    /// Namespaces and PodDisruptionBudgets are few and change rarely.
    fn other_changed(&mut self, view: View<'_>) {
        let objects = self.snapshot.objects_mut();
        objects.namespaces = view.store.namespaces.iter().map(|(_, one)| (one.meta.name.clone(), Arc::new(one.clone()))).collect();
        objects.pod_disruption_budgets = view.store.pdbs.iter().map(|(_, one)| (one.meta.key(), Arc::new(one.clone()))).collect();
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

    fn placed_mut(&mut self, pod: &Pod) -> Option<&mut PodInfo> {
        let index = self.snapshot.find(pod.node_name.as_ref()?)?;
        self.snapshot.node_mut(index).pods.iter_mut().find(|placed| placed.uid == pod.meta.uid)
    }

    fn take_off(&mut self, node: &Str, info: &PodInfo) -> PodInfo {
        let index: Option<NodeIndex> = self.snapshot.find(node);
        index.and_then(|index| self.snapshot.node_mut(index).remove_pod(info.uid)).unwrap_or_else(|| info.clone())
    }

    fn forget_preemptor(&mut self, id: PodId, pod: &Pod) {
        self.snapshot.forget_nomination(pod.meta.uid);
        self.preempting.remove(&id);
    }

    /// A victim's deletion has reached the API server; with the last one the preemptor may be tried again.
    fn victim_seen_going(&mut self, victim: PodId) {
        self.preempting.retain(|_, victims| {
            victims.remove(&victim);
            !victims.is_empty()
        });
    }

    /// PreEnqueue, then the queue; a gated pod is put aside.
    fn admit(&mut self, mut pod: QueuedPod, scheduler: &dyn Scheduler, view: View<'_>) {
        let preempting = self.preempting.contains_key(&pod.id).then(|| PREEMPTION_GATE.into());
        pod.gate = scheduler.gate(&pod.info).or(preempting);
        if pod.gate.is_some() {
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
        if self.queue.depth().unschedulable > 0 {
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
        let may_pass = |pod: &QueuedPod| match pod.gate.as_deref() {
            None => true,
            // The gate of preemption listens to deletions alone; scheduling gates to changes of the pod itself.
            Some(gate) => gate == PREEMPTION_GATE && matches!(event, ClusterEvent::PodDeleted(_)),
        };
        let worth = |pod: &QueuedPod| {
            pod.rejected_by.is_empty() || scheduler.hint(&pod.info, &pod.rejected_by, event, &self.snapshot) == QueueingHint::Queue
        };
        let woken: Vec<PodId> =
            self.queue.unschedulable().filter(|pod| may_pass(pod) && among(pod) && worth(pod)).map(|pod| pod.id).collect();
        for id in woken {
            self.requeue(id, scheduler, view);
        }
    }

    /// Sets the timers that the queue needs, each once.
    fn arm(&mut self, view: View<'_>, out: &mut Effects) {
        let settings = &view.settings.scheduler;
        if self.cycle_due.is_none() && self.queue.has_next() {
            let due = view.now + settings.cycle_time;
            self.cycle_due = Some(due);
            out.at(due, Event::SchedulingCycle);
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

/// Whether a node's change is one that plugins register for. Upstream: pkg/scheduler/framework/events.go.
fn scheduling_properties_differ(old: &Node, new: &Node) -> bool {
    old.status.allocatable != new.status.allocatable
        || old.meta.labels != new.meta.labels
        || old.spec.taints != new.spec.taints
        || old.spec.unschedulable != new.spec.unschedulable
        || old.status.info != new.status.info
}
