//! How containers end: by themselves, by a fault, by a probe, by deletion; and the syncs that end a pod.
//!
//! Upstream: pkg/kubelet/kubelet.go (SyncTerminatingPod, SyncTerminatedPod), kuberuntime/kuberuntime_container.go
//! (killContainer) and kuberuntime_termination_order.go.
//!
//! Invariants:
//! - Exits are planned when the stop begins: preStop, then SIGTERM, then the process's own time to stop or
//!   SIGKILL at the end of the grace, which leaves at least 2 s after preStop.
//! - Sidecars are stopped after the containers they serve, last one first.
//! - The kubelet knows at once of the end of what it stops itself; the rest it finds with the PLEG's next list.
//!
//! A process that stops by itself exits with 0, one that is killed with 137.

use api::{LifecycleHandler, SimDuration, SimTime, Termination};

use crate::effects::{ProcessChange, Write};
use crate::event::{KubeletTimer, ProbeKind};
use crate::random::Purpose;

use super::pod::{Context, Doing, Ending, Life, Past, Run, SIGKILLED, STATUS_UNKNOWN, State, Timer, Worker};
use super::sync::{deadly_probe, restart_policy};

/// Least time the runtime gets to stop a container. Upstream: minimumGracePeriodInSeconds.
const LEAST_STOP: SimDuration = SimDuration::from_secs(2);
/// Least grace of a deletion. Upstream: pkg/kubelet/pod_workers.go.
const LEAST_GRACE: SimDuration = SimDuration::from_secs(1);

/// How a container will stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stop {
    /// SIGTERM.
    term: SimTime,
    exit: SimTime,
    code: i32,
}

impl Worker {
    /// A container's process has ended.
    pub(super) fn exited(&mut self, place: u8, exit_code: i32, reason: &'static str, cx: &mut Context<'_>) {
        let ended = Termination { exit_code, reason, finished: cx.now() };
        let busy = self.run(place).busy();
        (busy.ended, busy.exit, busy.answers) = (Some(ended), Timer::default(), Timer::default());
        let stopped = std::mem::take(&mut busy.stopping);
        if place == self.serving_place(cx.pod) {
            self.process_stopped(cx);
        }
        cx.node.uses_changed |= Self::process(&self.behavior, self.spec(cx.pod, place), self.is_init(place)).is_described();
        if !cx.node.kubelet_works() {
            return;
        }
        match self.doing() {
            Doing::Killing if stopped => {
                self.run(place).end(ended);
                self.active().killed.push(place);
                self.go_on(cx);
            }
            Doing::Stopping if stopped => self.end_if_stopped(cx),
            Doing::Making if stopped && self.active().hooks => {
                self.run(place).end(ended);
                self.hook_failed(place, cx);
            }
            _ => self.relist(cx.now(), cx),
        }
    }

    /// A fault stops a running container.
    pub(super) fn kill(&mut self, place: u8, code: i32, reason: &'static str, cx: &mut Context<'_>) {
        if self.run(place).is_alive() {
            self.exited(place, code, reason, cx);
            self.say(cx);
            self.settle();
        }
    }

    /// A probe has failed for good: the container is stopped, to be started again.
    pub(super) fn kill_unhealthy(&mut self, place: u8, cx: &mut Context<'_>) {
        let container = self.spec(cx.pod, place);
        let kind = self.runs[place as usize].busy.as_ref().and_then(|busy| busy.unhealthy).unwrap_or(ProbeKind::Liveness);
        let name = if kind == ProbeKind::Startup { "startup" } else { "liveness" };
        let what = if self.is_init(place) { "Init container" } else { "Container" };
        let again = !self.is_init(place) && restart_policy(cx.pod, container) != api::RestartPolicy::Never;
        let again = if again { ", will be restarted" } else { "" };
        self.event(false, "Killing", format!("{what} {} failed {name} probe{again}", container.name), cx);
        let own_grace = deadly_probe(container, kind).and_then(|probe| probe.termination_grace_period);
        let grace = own_grace.unwrap_or(cx.pod.spec.termination_grace_period);
        let stop = self.plan_stop(place, cx.now(), cx.now() + grace, cx);
        self.stop(place, stop, cx);
    }

    /// A container gets other resources by being started anew. Upstream: computePodResizeAction.
    pub(super) fn kill_to_resize(&mut self, place: u8, cx: &mut Context<'_>) {
        let message = format!("Container {} resize requires restart", self.spec(cx.pod, place).name);
        self.event(false, "Killing", message, cx);
        let stop = self.plan_stop(place, cx.now(), cx.now() + cx.pod.spec.termination_grace_period, cx);
        self.stop(place, stop, cx);
    }

    /// A container whose postStart hook failed is stopped as if the pod ended.
    pub(super) fn kill_for_hook(&mut self, place: u8, cx: &mut Context<'_>) {
        self.event(false, "Killing", "FailedPostStartHook".to_owned(), cx);
        let stop = self.plan_stop(place, cx.now(), cx.now() + cx.pod.spec.termination_grace_period, cx);
        self.stop(place, stop, cx);
    }

    /// The kubelet hears that the pod is to end, or that it has to end sooner.
    pub(super) fn terminate(&mut self, cx: &mut Context<'_>) {
        match self.life {
            Life::Syncing => {
                self.life = Life::Terminating;
                if self.active.as_ref().is_some_and(|active| active.pulls) {
                    self.give_up_pull(cx);
                } else {
                    self.wake(cx);
                }
            }
            Life::Terminating if self.doing() == Doing::Stopping => self.shorten(cx),
            Life::Terminating | Life::Terminated => {}
            Life::Over => cx.write(Write::RemovePod(cx.id)),
        }
        self.say(cx);
        self.settle();
    }

    /// The kubelet itself ends the pod.
    pub(super) fn end_by_kubelet(&mut self, ending: Ending, cx: &mut Context<'_>) {
        if matches!(self.life, Life::Terminated | Life::Over) {
            return;
        }
        self.ending.get_or_insert_with(|| Box::new(ending));
        self.terminate(cx);
    }

    /// SyncTerminatingPod.
    pub(super) fn sync_terminating(&mut self, cx: &mut Context<'_>) {
        self.reported.has_ip |= self.sandbox;
        self.unsaid = true;
        self.say(cx);
        let kill_at = cx.now() + self.grace(cx).max(LEAST_GRACE);
        let active = self.active();
        (active.doing, active.kill_at) = (Doing::Stopping, kill_at);
        self.stop_all(kill_at, cx);
        self.end_if_stopped(cx);
    }

    fn grace(&self, cx: &Context<'_>) -> SimDuration {
        let own = cx.pod.meta.deletion_grace.unwrap_or(cx.pod.spec.termination_grace_period);
        self.ending.as_ref().and_then(|ending| ending.grace).map_or(own, |grace| grace.min(own))
    }

    /// A second deletion may only shorten the grace: the runtime is told to stop once more.
    fn shorten(&mut self, cx: &mut Context<'_>) {
        let deadline = cx.now() + self.grace(cx).max(LEAST_STOP);
        if deadline >= self.active().kill_at {
            return;
        }
        self.active().kill_at = deadline;
        for place in self.places() {
            if !self.run(place).is_alive() {
                continue;
            }
            let message = format!("Stopping container {}", self.spec(cx.pod, place).name);
            self.event(false, "Killing", message, cx);
            if self.run(place).busy().exit.due > deadline {
                self.stop(place, Stop { term: cx.now(), exit: deadline, code: SIGKILLED }, cx);
            }
        }
    }

    /// Stops everything that runs, sidecars last.
    pub(super) fn stop_all(&mut self, deadline: SimTime, cx: &mut Context<'_>) {
        let now = cx.now();
        let mut last_exit = now;
        for place in self.inits()..self.runs.len() as u8 {
            last_exit = last_exit.max(self.stop_one(place, now, deadline, cx));
        }
        for place in (0..self.inits()).rev() {
            last_exit = last_exit.max(self.stop_one(place, last_exit, deadline, cx));
        }
    }

    /// Stops a container if it runs; when it will be gone.
    fn stop_one(&mut self, place: u8, begin: SimTime, deadline: SimTime, cx: &mut Context<'_>) -> SimTime {
        if !self.run(place).is_running() {
            return SimTime::ZERO;
        }
        let message = format!("Stopping container {}", self.spec(cx.pod, place).name);
        self.event(false, "Killing", message, cx);
        if !self.run(place).is_alive() {
            return SimTime::ZERO; // Its end is not known yet.
        }
        let stop = self.plan_stop(place, begin, deadline, cx);
        self.stop(place, stop, cx);
        self.run(place).busy().exit.due
    }

    /// Stops a container without grace, but for what the runtime always gets.
    pub(super) fn kill_at_once(&mut self, place: u8, cx: &mut Context<'_>) {
        if self.run(place).is_running() && self.run(place).is_alive() {
            self.event(false, "Killing", "killing".to_owned(), cx);
            let stop = self.plan_stop(place, cx.now(), cx.now(), cx);
            self.stop(place, stop, cx);
        }
    }

    fn plan_stop(&mut self, place: u8, begin: SimTime, deadline: SimTime, cx: &Context<'_>) -> Stop {
        let grace = deadline.since(begin);
        let container = self.spec(cx.pod, place);
        let process = Self::process(&self.behavior, container, self.is_init(place));
        let restarts = self.runs[place as usize].restarts;
        let hook = match (&container.pre_stop, &process.pre_stop) {
            (Some(LifecycleHandler::Sleep(sleep)), _) => *sleep,
            (Some(LifecycleHandler::Other), Some(law)) => cx.draw(Purpose::PreStop, place, restarts, law),
            (Some(LifecycleHandler::Other), None) | (None, _) => SimDuration::ZERO,
        };
        let pre_stop = hook.min(grace);
        let law = process.stop.as_ref().unwrap_or(&cx.view.settings.kubelet.default_stop);
        let takes = cx.draw(Purpose::Stop, place, restarts, law);
        // What the hook took is counted in whole seconds.
        let allowed = (grace - SimDuration::from_secs(pre_stop.as_secs())).max(LEAST_STOP);
        let term = begin + pre_stop;
        Stop { term, exit: term + takes.min(allowed), code: if takes <= allowed { 0 } else { SIGKILLED } }
    }

    /// Liveness and startup probes end with the stop; readiness goes on. A process that exits sooner by itself does so.
    fn stop(&mut self, place: u8, Stop { term, exit, code }: Stop, cx: &mut Context<'_>) {
        let own = self.run(place).busy().exit;
        if !own.is_set() || own.due > exit || self.run(place).busy().stopping {
            let timer = self.timer(exit, KubeletTimer::Exit(place), cx);
            let busy = self.run(place).busy();
            (busy.exit, busy.exit_code) = (timer, code);
        }
        let busy = self.run(place).busy();
        (busy.stopping, busy.unhealthy) = (true, None);
        busy.probes[ProbeKind::Startup as usize] = Default::default();
        busy.probes[ProbeKind::Liveness as usize] = Default::default();
        if place != self.serving_place(cx.pod) {
            return;
        }
        if term <= cx.now() {
            self.sigterm(cx);
        } else {
            self.active().prestop = self.timer(term, KubeletTimer::PreStopOver, cx);
        }
    }

    /// The process that answers requests is told to stop.
    pub(super) fn sigterm(&mut self, cx: &mut Context<'_>) {
        self.active().prestop = Timer::default();
        if self.serving {
            cx.out.processes.push(ProcessChange::Terminating(cx.id));
        }
    }

    /// The end of SyncTerminatingPod, with nothing running any more.
    fn end_if_stopped(&mut self, cx: &mut Context<'_>) {
        if self.runs.iter().any(Run::is_alive) {
            return;
        }
        self.notice(true, cx);
        self.process_stopped(cx);
        self.life = Life::Terminated;
        self.sandbox = false;
        cx.node.stopped = true;
        self.unsaid = true;
        self.say(cx);
        self.release(cx);
        self.end_sync(false, cx);
    }

    /// SyncTerminatedPod: what never ended properly is said to have, and a deleted pod goes.
    pub(super) fn sync_terminated(&mut self, cx: &mut Context<'_>) {
        if !cx.node.reaches_api() {
            return; // Once it does, it says all at once.
        }
        self.life = Life::Over;
        let inits = self.inits() as usize;
        let initialized = self.runs[..inits].iter().all(|run| run.state == State::Exited);
        let finished = cx.now();
        for (place, run) in self.runs.iter_mut().enumerate() {
            if run.state == State::Waiting && (place < inits || initialized) && (place >= inits || run.past.is_some()) {
                let latest = Termination { exit_code: SIGKILLED, reason: STATUS_UNKNOWN, finished };
                let before = run.latest();
                run.past = Some(Box::new(Past { latest, before, backoff: None }));
                run.state = State::Exited;
            }
        }
        self.unsaid = true;
        self.active().through_at = cx.now(); // What is on its way gets there before the pod may go.
        self.say(cx);
        for run in &mut self.runs {
            run.busy = None;
        }
        self.active = None;
        if cx.pod.meta.is_deleting() {
            cx.write(Write::RemovePod(cx.id));
        }
    }

    /// Gives back what the pod held of its node.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.held) {
            cx.node.held.sub(&self.allocated);
            cx.node.room_made = true;
        }
    }
}
