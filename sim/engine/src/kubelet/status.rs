//! What a kubelet writes of a pod: phase, conditions and container states.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go (getPhase, convertToAPIContainerStatuses), pkg/kubelet/status/generate.go
//! and status_manager.go (mergePodStatus).
//!
//! Invariants:
//! - A condition's time moves only when its status does.
//! - A pod is not said to have ended while a container of it may run; its conditions already say so.

use std::hash::{Hash, Hasher};

use api::{
    Condition, ConditionStatus, ContainerState, ContainerStatus, Pod, PodConditions, PodPhase, PodStatus, SimTime, Str, Termination,
};

use rustc_hash::FxHasher;

use super::pod::{Life, Run, State, Worker};

/// What was written last, as far as the next status needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reported {
    ready_since: SimTime,
    /// The API server keeps whole seconds.
    start_seconds: u32,
    /// The fingerprint of the last update; zero when it has to be sent again.
    pub(super) written: u32,
    ready: bool,
    phase: PodPhase,
    /// The pod's address is known.
    pub(super) has_ip: bool,
}

impl Reported {
    pub(super) const fn new(now: SimTime) -> Self {
        Self { ready_since: now, start_seconds: now.as_secs() as u32, written: 0, ready: false, phase: PodPhase::Pending, has_ip: false }
    }
    pub(super) const fn start_time(&self) -> SimTime {
        SimTime::from_secs(self.start_seconds as u64)
    }
}

/// What containers of a kind have come to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Count {
    pending_init: u32,
    /// A sidecar is not started yet.
    pending_sidecar: u32,
    failed_init: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    restartable: u32,
    succeeded: u32,
}

impl Worker {
    /// Whether what the store says of readiness is what the kubelet last wrote.
    pub(super) fn is_contradicted(&self, pod: &Pod) -> bool {
        self.reported.ready && !pod.is_ready() && pod.status.conditions.containers_ready.status.is_true()
    }

    /// The phase as it follows from the containers. Upstream: getPhase.
    pub(super) fn computed_phase(&self, pod: &Pod) -> PodPhase {
        let stopped = matches!(self.life, Life::Terminated | Life::Over);
        match &self.ending {
            Some(ending) if !ending.evicts => PodPhase::Failed,
            // A pod that was made to end and stopped in order has succeeded, whatever the kubelet's reason.
            Some(_) if stopped && !self.phase_of_containers(pod).is_terminal() => PodPhase::Failed,
            _ => self.phase_of_containers(pod),
        }
    }

    fn phase_of_containers(&self, pod: &Pod) -> PodPhase {
        let count = self.count(pod);
        let regular = &self.runs[self.inits() as usize..];
        let has_initialized = regular.iter().any(|run| run.exists && run.is_running());
        if count.failed_init > 0 {
            PodPhase::Failed
        } else if count.pending_init > 0 || (count.pending_sidecar > 0 && !has_initialized) || count.waiting > 0 {
            PodPhase::Pending
        } else if count.running > 0 {
            PodPhase::Running
        } else if count.stopped == 0 {
            PodPhase::Pending
        } else if matches!(self.life, Life::Terminated | Life::Over) || count.restartable == 0 {
            if count.stopped == count.succeeded { PodPhase::Succeeded } else { PodPhase::Failed }
        } else {
            PodPhase::Running
        }
    }

    fn count(&self, pod: &Pod) -> Count {
        let mut count = Count::default();
        for place in self.places() {
            let run = &self.runs[place as usize];
            let restartable = self.is_restartable(pod, place);
            // A container that is to start again waits, but has stopped as far as the phase is concerned.
            let has_run = run.past.is_some();
            if self.is_init(place) && !self.is_sidecar(pod, place) {
                match run.state {
                    State::Exited | State::Waiting if run.latest().is_some_and(|end| end.exit_code != 0) => {
                        count.failed_init += u32::from(!restartable);
                        // One that was lost with its node is not shown as terminated.
                        count.pending_init += u32::from(run.state == State::Waiting && !has_run);
                    }
                    State::Exited => {}
                    State::Running { .. } | State::Waiting => count.pending_init += 1,
                }
                continue;
            }
            let is_sidecar = self.is_init(place);
            match run.state {
                State::Running { .. } => {
                    count.running += 1;
                    count.pending_sidecar += u32::from(is_sidecar && !run.started);
                }
                State::Waiting if !has_run => {
                    count.waiting += 1;
                    count.pending_sidecar += u32::from(is_sidecar);
                }
                State::Waiting | State::Exited if is_sidecar => {}
                State::Waiting | State::Exited => {
                    count.stopped += 1;
                    count.restartable += u32::from(restartable);
                    count.succeeded += u32::from(run.state == State::Exited && run.latest().is_some_and(|end| end.exit_code == 0));
                }
            }
        }
        count
    }

    /// The status to write now.
    pub(super) fn status(&mut self, pod: &Pod, now: SimTime) -> PodStatus {
        let computed = self.computed_phase(pod);
        let may_run = matches!(self.life, Life::Syncing | Life::Terminating);
        let phase = if computed.is_terminal() && may_run { self.reported.phase } else { computed };
        self.reported.phase = phase;
        let conditions = self.conditions(pod, computed, now);
        let ending = self.ending.as_ref().filter(|_| phase == PodPhase::Failed);
        let of = |places: std::ops::Range<u8>| places.map(|place| self.container_status(pod, place)).collect();
        PodStatus {
            phase,
            reason: ending.map_or_else(Str::default, |ending| ending.reason.into()),
            conditions,
            containers: of(self.inits()..self.runs.len() as u8),
            init_containers: of(0..self.inits()),
            has_ip: self.reported.has_ip,
            start_time: Some(self.reported.start_time()),
            nominated_node_name: None,
        }
    }

    fn conditions(&mut self, pod: &Pod, phase: PodPhase, now: SimTime) -> PodConditions {
        let (inits, regular) = self.runs.split_at(self.inits() as usize);
        let sidecars_ready = inits.iter().zip(&pod.spec.init_containers).filter(|(_, spec)| spec.is_sidecar).all(|(run, _)| run.ready);
        let containers_ready = !phase.is_terminal() && sidecars_ready && regular.iter().all(|run| run.ready);
        let ready = containers_ready && self.gates_fulfilled;
        let done = |run: &Run| run.state == State::Exited && run.latest().is_some_and(|end| end.exit_code == 0);
        let has_started = |run: &Run| run.is_running() || run.past.is_some();
        let initialized = phase == PodPhase::Succeeded
            || regular.iter().any(has_started)
            || inits.iter().zip(&pod.spec.init_containers).all(|(run, spec)| if spec.is_sidecar { run.started } else { done(run) });

        let why_not = match phase {
            PodPhase::Succeeded => "PodCompleted",
            PodPhase::Failed => "PodFailed",
            _ => "ContainersNotReady",
        };
        let why_not_ready = if containers_ready { "ReadinessGatesNotReady" } else { why_not };
        let why_initialized = match (initialized, phase) {
            (_, PodPhase::Succeeded) => "PodCompleted",
            (true, _) => "",
            (false, _) => "ContainersNotInitialized",
        };
        if self.reported.ready != ready {
            (self.reported.ready, self.reported.ready_since) = (ready, now);
        }
        let ready_since = self.reported.ready_since;
        let old = &pod.status.conditions;
        let initialized_before = old.ready_to_start_containers.is_some() && old.initialized.status.is_true() == initialized;
        let initialized_since = if initialized_before { old.initialized.since } else { now };
        let disrupts = self.ending.as_ref().is_some_and(|ending| ending.disrupts) && self.life != Life::Terminating;
        let (resize_deferred, resize_in_progress) = self.resize_conditions();
        PodConditions {
            scheduled: old.scheduled.clone(),
            ready_to_start_containers: Some(self.sandbox),
            initialized: condition(initialized, why_initialized, initialized_since),
            containers_ready: condition(containers_ready, if containers_ready { "" } else { why_not }, ready_since),
            ready: condition(ready, if ready { "" } else { why_not_ready }, ready_since),
            disruption_target: if disrupts { "TerminationByKubelet".into() } else { old.disruption_target.clone() },
            resize_infeasible: old.resize_infeasible,
            resize_deferred,
            resize_in_progress,
        }
    }

    fn container_status(&self, pod: &Pod, place: u8) -> ContainerStatus {
        let run = &self.runs[place as usize];
        let past = run.past.as_deref();
        let reason = run.busy.as_ref().and_then(|busy| busy.reason).filter(|_| self.should_restart(pod, place));
        let default = if self.inits() > 0 { "PodInitializing" } else { "ContainerCreating" };
        let (state, last) = match (run.state, reason, past) {
            (State::Running { started }, _, _) => (ContainerState::Running { started }, run.latest()),
            (_, Some(reason), _) => (ContainerState::Waiting { reason }, run.latest()),
            (State::Exited, None, Some(past)) => {
                let Termination { exit_code, reason, finished } = past.latest;
                (ContainerState::Terminated { exit_code, reason, finished }, past.before)
            }
            (State::Exited | State::Waiting, None, _) => (ContainerState::Waiting { reason: default }, run.latest()),
        };
        // An init container that is done counts as ready.
        let done = self.is_init(place)
            && !self.is_sidecar(pod, place)
            && run.state == State::Exited
            && run.latest().is_some_and(|end| end.exit_code == 0);
        let (requests, allocated) = self.reported_requests(place).unzip();
        ContainerStatus {
            state,
            ready: run.ready || done,
            started: run.started,
            restart_count: run.restarts,
            last: last.map(Box::new),
            requests: requests.map(Box::new),
            allocated: allocated.map(Box::new),
        }
    }
}

fn condition(holds: bool, reason: &str, since: SimTime) -> Condition {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    // A text of its own would cost every healthy pod 16 bytes a condition; the empty default is shared.
    let reason = if reason.is_empty() { Str::default() } else { reason.into() };
    Condition { status, reason, since }
}

/// A number for what is the kubelet's to tell in a status: equal numbers, equal statuses. Never zero.
pub(super) fn fingerprint(status: &PodStatus) -> u32 {
    let mut hasher = FxHasher::default();
    let PodConditions {
        initialized,
        ready_to_start_containers,
        containers_ready,
        ready,
        disruption_target,
        resize_deferred,
        resize_in_progress,
        ..
    } = &status.conditions;
    let condition = |condition: &Condition| (condition.status, condition.reason.clone());
    (status.phase, &status.reason, status.has_ip, status.start_time).hash(&mut hasher);
    (condition(initialized), condition(containers_ready), condition(ready), ready_to_start_containers, disruption_target).hash(&mut hasher);
    (resize_deferred, resize_in_progress).hash(&mut hasher);
    for container in status.init_containers.iter().chain(&status.containers) {
        (&container.requests, &container.allocated).hash(&mut hasher);
        let state = match container.state {
            ContainerState::Waiting { reason } => (0, reason, SimTime::ZERO),
            ContainerState::Running { started } => (1, "", started),
            ContainerState::Terminated { exit_code, reason, finished } => (i64::from(exit_code) + 2, reason, finished),
        };
        let last = container.last.as_ref().map(|last| (last.exit_code, last.reason, last.finished));
        (state, last, container.ready, container.started, container.restart_count).hash(&mut hasher);
    }
    let bits = hasher.finish();
    ((bits >> 32) as u32 ^ bits as u32).max(1)
}

/// The status of a pod that was turned down at admission.
pub(super) fn refused(pod: &Pod, reason: &str, now: SimTime) -> PodStatus {
    let not = || condition(false, "PodFailed", now);
    let conditions = PodConditions { ready: not(), containers_ready: not(), ..pod.status.conditions.clone() };
    PodStatus {
        phase: PodPhase::Failed,
        reason: reason.into(),
        conditions,
        start_time: Some(SimTime::from_secs(now.as_secs())),
        ..pod.status.clone()
    }
}
