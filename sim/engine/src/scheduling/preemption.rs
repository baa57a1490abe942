//! Preemptions under way: the API calls that make room for a pod, and the gate that holds the pod back meanwhile.
//!
//! Upstream: pkg/scheduler/framework/preemption/executor.go (prepareCandidateAsync, IsPodRunningPreemption).
//! Nominations of less important pods to the node are cleared one after another; then all victims but the
//! last are asked to go, side by side; then the last. A victim is first given its DisruptionTarget condition,
//! then deleted. Scheduling cycles go on beside all this.
//!
//! Invariants: of two preemptions that ask the same victim the earlier call returns first, because calls of
//! one client never overtake each other; a victim that is gone already counts as asked.
//!
//! Not here: which victims (`schedulers`), and errors of the API server, of which there are none.

use std::collections::{BTreeMap, VecDeque};

use api::{Str, Uid};
use port::PodInfo;

use crate::controllers::View;
use crate::effects::{Component, Effects, SchedulerCall, Write};
use crate::store::PodId;

const REASON: &str = "PreemptionByScheduler";

/// One preemption.
#[derive(Debug)]
struct Running {
    preemptor: Uid,
    node: Str,
    /// Pods whose nomination is still to be cleared.
    nominated: VecDeque<PodId>,
    /// Victims but the last that are still to be asked.
    victims: Vec<PodId>,
    /// Victims that are being asked.
    outstanding: usize,
    last: PodId,
    last_asked: bool,
    /// The scheduler has heard that the last victim is going.
    last_going: bool,
}

/// All of them, by preemptor.
#[derive(Debug, Default)]
pub(super) struct Preemptions {
    running: BTreeMap<PodId, Running>,
    /// Calls on their way in the order they were sent, each with the preemptor it is for.
    calls: VecDeque<(SchedulerCall, PodId, PodId)>,
}

impl Preemptions {
    /// Whether the pod's own preemption holds it back: not any more once the last victim is known to be going,
    /// so that the victims' end cannot come while the gate is still shut.
    pub(super) fn holds_back(&self, pod: PodId) -> bool {
        self.running.get(&pod).is_some_and(|running| !(running.last_asked && running.last_going))
    }

    /// Notes a preemption, if there is a victim that has not been asked yet; `nominated` are the pods that
    /// lose their nomination. Nothing is sent before [`Preemptions::proceed`].
    pub(super) fn begin(&mut self, pod: PodId, preemptor: &PodInfo, node: Str, victims: &[Uid], nominated: &[Uid], view: View<'_>) {
        let by_uid = |uid: &Uid| view.store.pod_by_uid(*uid);
        let mut victims: Vec<PodId> =
            victims.iter().filter_map(by_uid).filter(|(_, victim)| !victim.meta.is_deleting()).map(|(id, _)| id).collect();
        let Some(last) = victims.pop() else { return };
        let nominated = nominated.iter().filter_map(by_uid).map(|(id, _)| id).collect();
        let running =
            Running { preemptor: preemptor.uid, node, nominated, victims, outstanding: 0, last, last_asked: false, last_going: false };
        self.running.insert(pod, running);
    }

    /// Sends what is due next.
    pub(super) fn proceed(&mut self, pod: PodId, view: View<'_>, out: &mut Effects) {
        let Some(running) = self.running.get_mut(&pod) else { return };
        while let Some(nominated) = running.nominated.pop_front() {
            if view.store.pods.get(nominated).is_some_and(|pod| pod.status.nominated_node_name.is_some()) {
                out.write(Component::Scheduler, Write::NominateNode(nominated, None));
                self.calls.push_back((SchedulerCall::Nomination, nominated, pod));
                return;
            }
        }
        let mut asked = std::mem::take(&mut running.victims);
        if asked.is_empty() && running.outstanding == 0 && !running.last_asked {
            running.last_asked = true;
            asked.push(running.last);
        }
        running.outstanding += asked.len();
        if running.outstanding == 0 {
            self.running.remove(&pod);
        }
        for victim in asked {
            self.ask(victim, pod, view, out);
        }
    }

    /// One of a preemption's calls has returned; `accepted` is false when the pod was gone.
    pub(super) fn returned(&mut self, call: SchedulerCall, pod: PodId, accepted: bool, view: View<'_>, out: &mut Effects) {
        let Some(place) = self.calls.iter().position(|(kind, id, _)| (*kind, *id) == (call, pod)) else { return };
        let Some((_, _, preemptor)) = self.calls.remove(place) else { return };
        match call {
            SchedulerCall::DisruptionTarget if accepted => return self.delete(pod, preemptor, view, out),
            SchedulerCall::DisruptionTarget | SchedulerCall::Delete => {
                if let Some(running) = self.running.get_mut(&preemptor) {
                    running.outstanding -= 1;
                    if running.outstanding > 0 {
                        return;
                    }
                }
            }
            SchedulerCall::Nomination | SchedulerCall::Bind | SchedulerCall::Status { .. } => {}
        }
        self.proceed(preemptor, view, out);
    }

    /// News of a pod that is going or gone.
    pub(super) fn going(&mut self, pod: PodId) {
        for running in self.running.values_mut().filter(|running| running.last == pod) {
            running.last_going = true;
        }
    }

    fn ask(&mut self, victim: PodId, preemptor: PodId, view: View<'_>, out: &mut Effects) {
        let known = view.store.pods.get(victim).is_some_and(|pod| &*pod.status.conditions.disruption_target == REASON);
        if known {
            self.delete(victim, preemptor, view, out);
        } else {
            out.write(Component::Scheduler, Write::PodDisruptionTarget(victim, REASON.into()));
            self.calls.push_back((SchedulerCall::DisruptionTarget, victim, preemptor));
        }
    }

    fn delete(&mut self, victim: PodId, preemptor: PodId, view: View<'_>, out: &mut Effects) {
        let delete = Write::DeletePod { pod: victim, grace: None, by: Component::Scheduler };
        let running = self.running.get(&preemptor);
        match (view.store.pods.get(victim), running) {
            (Some(pod), Some(running)) => {
                let message = format!("Preempted by pod {} on node {}", running.preemptor, running.node);
                out.announce(Component::Scheduler, delete, "Preempted", format!("Pod/{}", pod.meta.key()), message);
            }
            _ => out.write(Component::Scheduler, delete),
        }
        self.calls.push_back((SchedulerCall::Delete, victim, preemptor));
    }
}
