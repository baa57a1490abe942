//! The scheduling cycle: one pod at a time, and what follows from the decision.
//!
//! Upstream: pkg/scheduler/schedule_one.go and framework/preemption/executor.go.
//!
//! Invariants: a cycle takes `cycle_time`, and the decision falls at its end, on the snapshot as it is then.
//! The binding itself runs beside later cycles.

use std::collections::BTreeSet;

use api::Str;
use port::{Detail, NodeIndex, Outcome, Preemption, Scheduler};
use trace::Record;

use crate::controllers::View;
use crate::effects::{Component, Effects, Write};
use crate::store::PodId;

use super::queue::{Queue, QueuedPod};
use super::volumes::has_claims;
use super::{Assumed, Scheduling};

/// Longest text of an event. Upstream: validation.NoteLengthLimit.
const EVENT_TEXT_BYTES: usize = 1024;

impl Scheduling {
    /// Event::SchedulingCycle: a cycle ends with a decision about the pod at the head of the queue.
    pub(crate) fn cycle(&mut self, scheduler: &mut dyn Scheduler, view: View<'_>, out: &mut Effects) {
        if self.cycle_due != Some(view.now) {
            return;
        }
        self.cycle_due = None;
        if let Some(pod) = self.queue.pop() {
            let is_waiting = view.store.pods.get(pod.id).is_some_and(|live| live.node_name.is_none() && !live.meta.is_deleting());
            if is_waiting {
                self.attempt(pod, scheduler, view, out);
            }
        }
        self.arm(view, out);
    }

    fn attempt(&mut self, mut pod: QueuedPod, scheduler: &mut dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let decision = scheduler.schedule(&pod.info, &self.snapshot, Detail::Outcome);
        if decision.nomination_cleared {
            self.clear_nomination(&mut pod, out);
        }
        match decision.outcome {
            Outcome::Scheduled { node } => {
                let counts = (decision.feasible_nodes, decision.evaluated_nodes);
                scheduler.reserve(&pod.info, node, &mut self.snapshot);
                self.assume(pod, node, counts, scheduler, view, out);
            }
            Outcome::Unschedulable { message, rejected_by, preemption } => {
                say_unschedulable(&mut pod, &message, &rejected_by, out);
                if rejected_by.is_empty() {
                    // Nobody turned it down (there is no node at all): upstream treats this as an error.
                    Queue::failed(&mut pod, view.now);
                    self.admit(pod, scheduler, view);
                    return;
                }
                Queue::rejected(&mut pod, rejected_by, view.now);
                if let Some(preemption) = preemption {
                    self.preempt(&mut pod, preemption, scheduler, view, out);
                }
                self.queue.put_unschedulable(pod);
            }
            Outcome::Error { message } => {
                say_unschedulable(&mut pod, &message, &[], out);
                Queue::failed(&mut pod, view.now);
                self.admit(pod, scheduler, view);
            }
        }
    }

    /// The pod counts as placed at once, so that the next cycle sees it; the binding is on its way.
    fn assume(
        &mut self,
        pod: QueuedPod,
        index: NodeIndex,
        (feasible_nodes, evaluated_nodes): (u32, u32),
        scheduler: &dyn Scheduler,
        view: View<'_>,
        out: &mut Effects,
    ) {
        let node = self.snapshot.node(index).name().clone();
        self.snapshot.forget_nomination(pod.info.uid);
        self.snapshot.node_mut(index).add_pod(pod.info.clone());
        let counts = (feasible_nodes, evaluated_nodes);
        match has_claims(&pod.info).then(|| self.volumes_taken(pod.id, &node, counts, view)).flatten() {
            Some(wait) => {
                let id = pod.id;
                self.assumed.insert(id, Assumed { pod, node });
                self.bind_volumes(id, wait, view, out);
            }
            None => self.bind(pod, &node, counts, scheduler, view, out),
        }
    }

    /// Asks for the binding of a pod that counts as placed.
    pub(super) fn bind(
        &mut self,
        pod: QueuedPod,
        node: &Str,
        (feasible_nodes, evaluated_nodes): (u32, u32),
        scheduler: &dyn Scheduler,
        view: View<'_>,
        out: &mut Effects,
    ) {
        let (id, node) = (pod.id, node.clone());
        if let Some((node_id, _)) = view.store.node_by_name(&node) {
            let bind = Write::BindPod { pod: id, node: node_id, attempts: pod.attempts, feasible_nodes, evaluated_nodes };
            let key = &pod.info.key;
            let message = format!("Successfully assigned {key} to {node}");
            out.announce(Component::Scheduler, bind, "Scheduled", format!("Pod/{key}"), message);
            self.assumed.insert(id, Assumed { pod, node });
        } else {
            // The node went while the news of it were on their way.
            self.assumed.insert(id, Assumed { pod, node });
            self.bind_failed(id, scheduler, view, out);
        }
    }

    fn clear_nomination(&mut self, pod: &mut QueuedPod, out: &mut Effects) {
        self.snapshot.forget_nomination(pod.info.uid);
        if pod.info.nominated_node.take().is_some() {
            out.write(Component::Scheduler, Write::NominateNode(pod.id, None));
        }
    }

    /// Nominates the pod, then asks its victims to go. Victims that are going already are not asked again.
    fn preempt(&mut self, pod: &mut QueuedPod, preemption: Preemption, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let Preemption { node, victims, cleared_nominations } = preemption;
        pod.info.nominated_node = Some(node.clone());
        self.snapshot.nominate(&node, pod.info.clone());
        out.write(Component::Scheduler, Write::NominateNode(pod.id, Some(node.clone())));
        for uid in cleared_nominations {
            let Some((id, _)) = view.store.pod_by_uid(uid) else { continue };
            self.snapshot.forget_nomination(uid);
            out.write(Component::Scheduler, Write::NominateNode(id, None));
            let Some(before) = self.queue.get(id).map(|(_, pod)| pod.info.clone()) else { continue };
            self.queue.update(id, |info| info.nominated_node = None);
            self.wake_below(&before, scheduler, view);
        }
        let mut asked: BTreeSet<PodId> = BTreeSet::new();
        for uid in victims {
            let Some((id, victim)) = view.store.pod_by_uid(uid).filter(|(_, victim)| !victim.meta.is_deleting()) else { continue };
            out.write(Component::Scheduler, Write::PodDisruptionTarget(id, "PreemptionByScheduler".into()));
            let delete = Write::DeletePod { pod: id, grace: None, by: Component::Scheduler };
            let message = format!("Preempted by pod {} on node {node}", pod.info.uid);
            out.announce(Component::Scheduler, delete, "Preempted", format!("Pod/{}", victim.meta.key()), message);
            asked.insert(id);
        }
        if !asked.is_empty() {
            self.preempting.insert(pod.id, asked);
        }
    }
}

/// The event of every failed attempt; the condition is written only when it says something new.
pub(super) fn say_unschedulable(pod: &mut QueuedPod, message: &str, rejected_by: &[Str], out: &mut Effects) {
    let object = format!("Pod/{}", pod.info.key);
    out.event(Component::Scheduler, true, "FailedScheduling", object, truncated(message));
    let (message, rejected_by): (Str, Vec<Str>) = (message.into(), rejected_by.to_vec());
    if pod.message.as_ref() == Some(&message) {
        let pod_name = pod.info.key.to_string().into();
        out.record(Record::PodUnschedulable { pod: pod_name, attempt: pod.attempts, message, rejected_by });
    } else {
        pod.message = Some(message.clone());
        out.write(Component::Scheduler, Write::PodUnschedulable { pod: pod.id, attempt: pod.attempts, message, rejected_by });
    }
}

fn truncated(text: &str) -> String {
    const SUFFIX: &str = " ...";
    if text.len() <= EVENT_TEXT_BYTES {
        return text.to_owned();
    }
    let longest = EVENT_TEXT_BYTES - SUFFIX.len();
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{SUFFIX}", &text[..end])
}
