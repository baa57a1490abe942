//! The scheduling cycle: one pod at a time, and what follows from the decision.
//!
//! Upstream: pkg/scheduler/schedule_one.go.
//!
//! Invariants:
//! - A cycle takes its pod and its look at the cluster at its beginning, and acts `cycle_time` later; events
//!   in between are kept for the pod (upstream: in-flight events).
//! - Bindings run beside later cycles. The status patch of a failed attempt does not: the next cycle begins
//!   when it has returned (upstream patches inside scheduleOne, as long as SchedulerAsyncAPICalls is off).

use api::Str;
use port::{Decision, Detail, Outcome, Preemption, Scheduler};
use trace::Record;

use crate::controllers::View;
use crate::effects::{Component, Effects, Nomination, SchedulerCall, Write};
use crate::event::Event;
use crate::store::PodId;

use super::queue::{Queue, QueuedPod};
use super::volumes::has_claims;
use super::{Assumed, Scheduling};

/// Longest text of an event. Upstream: validation.NoteLengthLimit.
const EVENT_TEXT_BYTES: usize = 1024;

/// Reasons of PodScheduled=False.
const UNSCHEDULABLE: &str = "Unschedulable";
const SCHEDULER_ERROR: &str = "SchedulerError";

/// A pod in its scheduling cycle.
pub(super) struct InFlight {
    pub(super) pod: QueuedPod,
    pub(super) decision: Decision,
    /// The chosen node; an index would not outlive a change of the node list.
    node: Option<Str>,
    /// Something happened since that a plugin which turned the pod down asks for.
    pub(super) woken: bool,
    /// The pod's deletion was heard of.
    pub(super) gone: bool,
}

impl InFlight {
    /// Plugins that turned the pod down, as it will turn out.
    pub(super) fn rejected_by(&self) -> &[Str] {
        match &self.decision.outcome {
            Outcome::Unschedulable { rejected_by, .. } => rejected_by,
            Outcome::Scheduled { .. } | Outcome::Error { .. } => &[],
        }
    }
}

/// Why a pod goes back to the queue.
struct Failure {
    reason: &'static str,
    message: String,
    /// Nobody, when the attempt itself failed.
    rejected_by: Vec<Str>,
    nomination: Nomination,
    woken: bool,
    /// The pod is known to be gone.
    gone: bool,
}

impl Failure {
    const fn error(message: String, gone: bool) -> Self {
        Self { reason: SCHEDULER_ERROR, message, rejected_by: Vec::new(), nomination: Nomination::Clear, woken: false, gone }
    }
}

impl Scheduling {
    /// Event::SchedulingCycle: a cycle ends, begins, or both.
    pub(crate) fn cycle(&mut self, scheduler: &mut dyn Scheduler, view: View<'_>, out: &mut Effects) {
        if self.cycle_due != Some(view.now) {
            return;
        }
        self.cycle_due = None;
        if let Some(done) = self.in_flight.take() {
            self.finish(done, scheduler, view, out);
        }
        if self.patching.is_none() {
            self.begin(scheduler, view, out);
        }
        self.arm(view, out);
    }

    /// Takes the head of the queue and looks for a node.
    fn begin(&mut self, scheduler: &mut dyn Scheduler, view: View<'_>, out: &mut Effects) {
        while let Some(pod) = self.queue.pop() {
            if pod.info.deleting {
                let key = &pod.info.key;
                let message = format!("skip schedule deleting pod: {key}");
                out.event(Component::Scheduler, true, "FailedScheduling", format!("Pod/{key}"), message);
                continue;
            }
            self.explain(&pod, scheduler, view.now, out);
            let decision = scheduler.schedule(&pod.info, &self.snapshot, Detail::Outcome);
            let node = match &decision.outcome {
                Outcome::Scheduled { node } => Some(self.snapshot.node(*node).name().clone()),
                Outcome::Unschedulable { .. } | Outcome::Error { .. } => None,
            };
            self.in_flight = Some(InFlight { pod, decision, node, woken: false, gone: false });
            let due = view.now + view.settings.scheduler.cycle_time;
            self.cycle_due = Some(due);
            out.at(due, Event::SchedulingCycle);
            return;
        }
    }

    fn finish(&mut self, done: InFlight, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let InFlight { pod, decision, node, woken, gone } = done;
        let Decision { outcome, feasible_nodes, evaluated_nodes, nomination_cleared, .. } = decision;
        let failure = match (outcome, node) {
            (Outcome::Scheduled { .. }, Some(node)) => {
                return self.assume(pod, node, (feasible_nodes, evaluated_nodes), scheduler, view, out);
            }
            (Outcome::Scheduled { .. }, None) => return, // Its node was named when the cycle began.
            (Outcome::Error { message }, _) => Failure::error(message, gone),
            (Outcome::Unschedulable { message, rejected_by, preemption }, _) => {
                let id = pod.id;
                let cleared = nomination_cleared || rejected_by.is_empty();
                let nomination = match preemption {
                    Some(Preemption { node, victims, cleared_nominations }) => {
                        self.preemptions.begin(id, &pod.info, node.clone(), &victims, &cleared_nominations, view);
                        Nomination::Set(node)
                    }
                    None if cleared => Nomination::Clear,
                    None => Nomination::Keep,
                };
                Failure { reason: UNSCHEDULABLE, message, rejected_by, nomination, woken, gone }
            }
        };
        let (id, attempt) = (pod.id, pod.attempts);
        if self.fail(pod, failure, scheduler, view, out) {
            self.patching = Some((id, attempt));
        }
        self.preemptions.proceed(id, view, out);
    }

    /// The pod counts as placed at once, so that the next cycle sees it; the binding is on its way.
    fn assume(
        &mut self,
        pod: QueuedPod,
        node: Str,
        (feasible_nodes, evaluated_nodes): (u32, u32),
        scheduler: &dyn Scheduler,
        view: View<'_>,
        out: &mut Effects,
    ) {
        let id = pod.id;
        self.snapshot.forget_nomination(pod.info.uid);
        let reservation = self.snapshot.find(&node).map(|index| {
            let reservation = scheduler.reserve(&pod.info, index, &mut self.snapshot);
            self.snapshot.node_mut(index).add_pod(pod.info.clone());
            reservation
        });
        let wait = has_claims(&pod.info).then(|| self.volumes_taken(id, &node, (feasible_nodes, evaluated_nodes), view)).flatten();
        let assumed = Assumed { pod, node, reservation: reservation.unwrap_or_default(), forgotten: false };
        self.assumed.insert(id, assumed);
        match wait {
            Some(wait) => self.bind_volumes(id, wait, view, out),
            None => self.bind(id, (feasible_nodes, evaluated_nodes), scheduler, view, out),
        }
    }

    /// Asks for the binding of a pod that counts as placed.
    pub(super) fn bind(
        &mut self,
        id: PodId,
        (feasible_nodes, evaluated_nodes): (u32, u32),
        scheduler: &dyn Scheduler,
        view: View<'_>,
        out: &mut Effects,
    ) {
        let Some(Assumed { pod, node, .. }) = self.assumed.get(&id) else { return };
        if let Some((node_id, _)) = view.store.node_by_name(node) {
            let bind = Write::BindPod { pod: id, node: node_id, attempts: pod.attempts, feasible_nodes, evaluated_nodes };
            let message = format!("Successfully assigned {} to {node}", pod.info.key);
            out.announce(Component::Scheduler, bind, "Scheduled", format!("Pod/{}", pod.info.key), message);
        } else {
            // The node has gone meanwhile. Upstream binds the pod to it all the same, and PodGC removes the pod.
            self.bind_failed(id, None, scheduler, view, out);
        }
    }

    /// A request of the scheduler has returned.
    pub(crate) fn returned(
        &mut self,
        call: SchedulerCall,
        pod: PodId,
        accepted: bool,
        scheduler: &dyn Scheduler,
        view: View<'_>,
        out: &mut Effects,
    ) {
        match call {
            SchedulerCall::Bind if accepted => {}
            SchedulerCall::Bind => self.bind_failed(pod, None, scheduler, view, out),
            SchedulerCall::Status { attempt } => {
                if self.patching == Some((pod, attempt)) {
                    self.patching = None;
                }
            }
            SchedulerCall::Nomination | SchedulerCall::DisruptionTarget | SchedulerCall::Delete => {
                self.preemptions.returned(call, pod, accepted, view, out);
            }
        }
        self.arm(view, out);
    }

    /// The API server refused a binding: what was taken for the pod is given back, and the pod waits as after
    /// any error. Upstream: handleBindingCycleError.
    pub(super) fn bind_failed(&mut self, id: PodId, why: Option<&str>, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let Some(Assumed { pod, node, reservation, forgotten }) = self.assumed.remove(&id) else { return };
        self.snapshot.unreserve(reservation);
        self.forget_volumes(id, view);
        if !forgotten {
            self.free(&node, &pod.info, scheduler, view);
        }
        let refused = || format!("running Bind plugin \"DefaultBinder\": {}", refusal(&pod, &node, view));
        let message = why.map_or_else(refused, str::to_owned);
        let waits = view.store.pods.get(id).is_some_and(|live| live.node_name.is_none());
        self.fail(pod, Failure::error(message, !waits), scheduler, view, out);
    }

    /// Sends a pod back to the queue and says why. Whether a status patch is on its way.
    fn fail(&mut self, mut pod: QueuedPod, failure: Failure, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) -> bool {
        let Failure { reason, message, rejected_by, nomination, woken, gone } = failure;
        self.nominate(&pod, &nomination, gone);
        if !pod.repeats_event(view.now) {
            out.event(Component::Scheduler, true, "FailedScheduling", format!("Pod/{}", pod.info.key), truncated(&message));
        }
        if gone {
            return false;
        }
        let message: Str = message.into();
        let said = Some((reason, message.clone()));
        let moves = match &nomination {
            Nomination::Keep => false,
            Nomination::Clear => pod.info.nominated_node.is_some(),
            Nomination::Set(node) => pod.info.nominated_node.as_ref() != Some(node),
        };
        let patches = pod.said != said || moves;
        if patches {
            let rejected_by = rejected_by.clone();
            let patch = Write::PodUnschedulable { pod: pod.id, attempt: pod.attempts, reason, message, rejected_by, nomination };
            out.write(Component::Scheduler, patch);
        } else {
            let pod_name = pod.info.key.to_string().into();
            out.record(Record::PodUnschedulable { pod: pod_name, attempt: pod.attempts, message, rejected_by: rejected_by.clone() });
        }
        pod.said = said;
        if rejected_by.is_empty() {
            Queue::failed(&mut pod, view.now);
            self.admit(pod, scheduler, view);
        } else {
            Queue::rejected(&mut pod, rejected_by, view.now);
            if woken {
                self.admit(pod, scheduler, view);
            } else {
                self.queue.put_unschedulable(pod);
            }
        }
        patches
    }

    /// The scheduler's own memory of where room is made, ahead of what the API says.
    fn nominate(&mut self, pod: &QueuedPod, nomination: &Nomination, gone: bool) {
        self.snapshot.forget_nomination(pod.info.uid);
        let node = match nomination {
            Nomination::Keep => pod.info.nominated_node.as_ref(),
            Nomination::Clear => None,
            Nomination::Set(node) => Some(node),
        };
        if let Some(node) = node.filter(|_| !gone) {
            self.snapshot.nominate(node, pod.info.clone());
        }
    }
}

/// What the API server answers to a binding. Upstream: pkg/registry/core/pod/storage (setPodNodeAndMetadata).
fn refusal(pod: &QueuedPod, node: &Str, view: View<'_>) -> String {
    let name = &pod.info.key.name;
    let why = match view.store.pods.get(pod.id) {
        None => return format!("pods {:?} not found", &**name),
        Some(live) if live.meta.is_deleting() => format!("pod {name} is being deleted, cannot be assigned to a host"),
        Some(live) => match &live.node_name {
            Some(taken) => format!("pod {name} is already assigned to node {:?}", &**taken),
            None => return format!("nodes {:?} not found", &**node),
        },
    };
    format!("Operation cannot be fulfilled on pods/binding {:?}: {why}", &**name)
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
