//! What a kubelet writes of a pod: phase, conditions and container states.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go (getPhase) and pkg/kubelet/status/generate.go.
//!
//! Invariant: a condition's time moves only when its status does.

use api::{Condition, ConditionStatus, ContainerState, ContainerStatus, Pod, PodConditions, PodPhase, PodStatus, SimTime, Str};

use crate::effects::Write;

use super::pod::{Context, Life, Run, Worker};

/// What was written last, as far as the next status needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reported {
    pub(super) start_time: SimTime,
    initialized: (bool, SimTime),
    ready: (bool, SimTime),
}

impl Reported {
    pub(super) const fn new(now: SimTime) -> Self {
        Self { start_time: now, initialized: (false, now), ready: (false, now) }
    }
}

impl Worker {
    /// Writes what is not written yet, if there is a kubelet to do so.
    pub(super) fn say(&mut self, cx: &mut Context<'_>) {
        if self.unsaid && cx.node.kubelet_works() {
            self.unsaid = false;
            let status = self.status(cx.pod, cx.now());
            cx.write(Write::PodStatus(cx.id, Box::new(status)));
        }
    }

    /// Whether what the store says of readiness is what the kubelet last wrote.
    pub(super) fn is_contradicted(&self, pod: &Pod) -> bool {
        self.reported.ready.0 && !pod.is_ready() && pod.status.conditions.containers_ready.status.is_true()
    }

    fn phase(&self, pod: &Pod) -> PodPhase {
        let (inits, regular) = self.runs.split_at(self.inits() as usize);
        if self.life == Life::Over {
            let succeeded = regular.iter().all(|run| run.last.is_some_and(|(code, _)| code == 0));
            return if succeeded { PodPhase::Succeeded } else { PodPhase::Failed };
        }
        let init_done = |(place, run): (usize, &Run)| match run.state {
            ContainerState::Terminated { exit_code, .. } => exit_code == 0,
            _ => pod.spec.init_containers[place].is_sidecar && (run.started || run.last.is_some()),
        };
        let never_ran = |run: &Run| matches!(run.state, ContainerState::Waiting { .. }) && run.last.is_none();
        let initialized = inits.iter().enumerate().all(init_done) || regular.iter().any(|run| run.last.is_some());
        if !initialized || regular.iter().any(never_ran) { PodPhase::Pending } else { PodPhase::Running }
    }

    fn status(&mut self, pod: &Pod, now: SimTime) -> PodStatus {
        let phase = self.phase(pod);
        let (inits, regular) = self.runs.split_at(self.inits() as usize);
        let sidecars_ready = inits.iter().zip(&pod.spec.init_containers).filter(|(_, spec)| spec.is_sidecar).all(|(run, _)| run.ready);
        let containers_ready = !phase.is_terminal() && sidecars_ready && regular.iter().all(|run| run.ready);
        let ready = containers_ready && pod.spec.readiness_gates.is_empty();
        let initialized = regular.iter().any(|run| run.is_running() || run.last.is_some())
            || inits.iter().zip(&pod.spec.init_containers).all(|(run, spec)| if spec.is_sidecar { run.started } else { run.ready });

        let why_not = match phase {
            PodPhase::Succeeded => "PodCompleted",
            PodPhase::Failed => "PodFailed",
            _ => "ContainersNotReady",
        };
        let why_not_ready = if containers_ready { "ReadinessGatesNotReady" } else { why_not };
        let why_not_initialized = if initialized { "" } else { "ContainersNotInitialized" };
        let changed = |kept: &mut (bool, SimTime), holds: bool| {
            if kept.0 != holds {
                *kept = (holds, now);
            }
            kept.1
        };
        let ready_since = changed(&mut self.reported.ready, ready);
        let initialized_since = changed(&mut self.reported.initialized, initialized);
        let conditions = PodConditions {
            scheduled: pod.status.conditions.scheduled.clone(),
            ready_to_start_containers: None,
            initialized: condition(initialized, why_not_initialized, initialized_since),
            containers_ready: condition(containers_ready, why_not, ready_since),
            ready: condition(ready, why_not_ready, ready_since),
            disruption_target: pod.status.conditions.disruption_target.clone(),
            resize_infeasible: pod.status.conditions.resize_infeasible,
        };
        let of = |runs: &[Run]| runs.iter().map(container_status).collect();
        PodStatus {
            phase,
            reason: Str::default(),
            conditions,
            containers: of(regular),
            init_containers: of(inits),
            has_ip: !phase.is_terminal() && self.runs.iter().any(|run| run.is_running() || run.last.is_some()),
            start_time: Some(self.reported.start_time),
            nominated_node_name: None,
        }
    }
}

fn condition(holds: bool, why_not: &str, since: SimTime) -> Condition {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    Condition { status, reason: if holds { Str::default() } else { why_not.into() }, since }
}

fn container_status(run: &Run) -> ContainerStatus {
    ContainerStatus {
        state: run.state.clone(),
        ready: run.ready,
        started: run.started,
        restart_count: run.restarts,
        last: None,
        requests: None,
        allocated: None,
    }
}

/// The status of a pod that was turned down at admission.
pub(super) fn refused(pod: &Pod, reason: &str, now: SimTime) -> PodStatus {
    let not = || condition(false, "PodFailed", now);
    let conditions = PodConditions { ready: not(), containers_ready: not(), ..pod.status.conditions.clone() };
    PodStatus { phase: PodPhase::Failed, reason: reason.into(), conditions, start_time: Some(now), ..pod.status.clone() }
}
