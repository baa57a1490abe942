//! How containers end: by themselves, by a fault, by a probe, by deletion; and what follows.
//!
//! Upstream: pkg/kubelet/container/helpers.go, kuberuntime/kuberuntime_container.go (killContainer) and
//! kuberuntime_termination_order.go.
//!
//! Invariants:
//! - Exits are planned when the stop begins: preStop, then SIGTERM, then the process's own time to stop or
//!   SIGKILL at the end of the grace, which leaves at least 2 s after preStop.
//! - Sidecars are stopped after the containers they serve, last one first.
//!
//! A process that stops by itself exits with 0, one that is killed with 137.

use api::{ContainerState, PreStop, SimDuration, SimTime};

use crate::effects::{ProcessChange, Write};
use crate::event::{KubeletTimer, ProbeKind};
use crate::random::Purpose;

use super::backoff::Backoff;
use super::pod::{Busy, Context, Life, Timer, Worker, say_present};

/// Least time the runtime gets to stop a container. Upstream: minimumGracePeriodInSeconds.
const LEAST_STOP: SimDuration = SimDuration::from_secs(2);
/// Least grace of a deletion. Upstream: pkg/kubelet/pod_workers.go.
const LEAST_GRACE: SimDuration = SimDuration::from_secs(1);
const SIGKILLED: i32 = 137;

/// How a container will stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stop {
    /// SIGTERM.
    term: SimTime,
    exit: SimTime,
    code: i32,
}

impl Worker {
    /// A container has ended.
    pub(super) fn exited(&mut self, place: u8, code: i32, reason: &'static str, cx: &mut Context<'_>) {
        let finished = cx.now();
        let run = self.run(place);
        let killed = run.busy.as_ref().is_some_and(|busy| busy.killed);
        run.state = ContainerState::Terminated { exit_code: code, reason, finished };
        (run.ready, run.started, run.last) = (false, false, Some((code, finished)));
        run.busy = None;
        if place == self.serving_place(cx.pod) {
            self.process_stopped(cx);
        }
        self.unsaid = true;
        if !cx.node.kubelet_works() {
            self.run(place).busy().killed = killed; // Nobody notices yet.
            return;
        }
        match self.life {
            Life::Starting | Life::Running => self.after_exit(place, code, killed, cx),
            Life::Finishing | Life::Terminating => self.end_if_stopped(cx),
            Life::Over => {}
        }
    }

    /// A fault stops a running container.
    pub(super) fn kill(&mut self, place: u8, code: i32, reason: &'static str, cx: &mut Context<'_>) {
        if self.run(place).is_running() {
            self.run(place).busy = None;
            self.exited(place, code, reason, cx);
            self.say(cx);
        }
    }

    /// Starts the container again, now or later, or sees whether the pod is done.
    pub(super) fn after_exit(&mut self, place: u8, code: i32, killed: bool, cx: &mut Context<'_>) {
        let never = cx.pod.spec.restart_policy == api::RestartPolicy::Never;
        if self.restarts(cx.pod, place, code) || (killed && !never) {
            self.say(cx); // How it ended is seen before it waits, or runs again.
            self.hold_back(place, cx);
        } else {
            self.finish_if_done(cx);
        }
    }

    /// Sets when a stopped container runs again.
    pub(super) fn hold_back(&mut self, place: u8, cx: &mut Context<'_>) {
        let settings = &cx.view.settings.kubelet;
        let run = self.run(place);
        let finished = run.last.map_or(cx.view.now, |(_, finished)| finished);
        let entry = run.backoff;
        let begin = Backoff::holds_until(entry, finished, settings).unwrap_or(cx.view.now).max(cx.view.now);
        if begin > cx.view.now {
            run.state = ContainerState::Waiting { reason: "CrashLoopBackOff" };
            self.unsaid = true;
            let (name, meta) = (&self.spec(cx.pod, place).name, &cx.pod.meta);
            let uid = meta.uid;
            let pod = format!("{}_{}({uid})", meta.name, meta.namespace);
            cx.event(true, "BackOff", format!("Back-off restarting failed container {name} in pod {pod}"));
        }
        self.run(place).restarts += 1; // The draws belong to the coming run.
        let takes = self.container_start(place, cx);
        self.run(place).restarts -= 1;
        let next = self.timer(begin + takes, KubeletTimer::BackoffOver(place), cx);
        self.run(place).busy = Some(Box::new(Busy { next, ..Busy::default() }));
    }

    /// A container that had stopped runs again.
    pub(super) fn restarted(&mut self, place: u8, cx: &mut Context<'_>) {
        let run = self.run(place);
        let finished = run.last.map_or(cx.view.now, |(_, finished)| finished);
        run.backoff = Some(Backoff::after_restart(run.backoff, finished, cx.view.now, &cx.view.settings.kubelet));
        run.restarts += 1;
        say_present(self.spec(cx.pod, place), cx);
        self.start(place, cx);
    }

    /// When all containers are done for good, sidecars are told to stop, and then the pod is over.
    pub(super) fn finish_if_done(&mut self, cx: &mut Context<'_>) {
        let done = |run: &super::pod::Run| matches!(run.state, ContainerState::Terminated { .. }) && run.busy.is_none();
        let regular = self.inits() as usize;
        if self.life != Life::Running || !self.runs[regular..].iter().all(done) {
            return;
        }
        self.life = Life::Finishing;
        self.stop_all(cx.now() + cx.pod.spec.termination_grace_period, cx);
        self.end_if_stopped(cx);
    }

    /// A probe has failed for good: the container is stopped, to be started again.
    pub(super) fn kill_by_probe(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let container = self.spec(cx.pod, place);
        let (probe, name) = match kind {
            ProbeKind::Startup => (&container.startup_probe, "startup"),
            ProbeKind::Liveness | ProbeKind::Readiness => (&container.liveness_probe, "liveness"),
        };
        cx.event(false, "Killing", format!("Container {} failed {name} probe, will be restarted", container.name));
        let own_grace = probe.as_ref().and_then(|probe| probe.termination_grace_period);
        let grace = own_grace.unwrap_or(cx.pod.spec.termination_grace_period);
        let stop = self.plan_stop(place, cx.now(), cx.now() + grace, cx);
        self.stop(place, stop, cx);
        self.run(place).busy().killed = true;
    }

    /// The pod's deletion was asked for, or its deadline moved.
    pub(super) fn terminate(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        let asked = cx.pod.meta.deletion.unwrap_or(now);
        if self.life == Life::Terminating {
            self.shorten(asked, cx);
            return;
        }
        if self.life == Life::Over {
            cx.write(Write::RemovePod(cx.id));
            return;
        }
        self.life = Life::Terminating;
        self.deadline = asked;
        self.drop_making();
        for place in self.places() {
            if self.run(place).is_running() {
                let name = &self.spec(cx.pod, place).name;
                cx.event(false, "Killing", format!("Stopping container {name}"));
            } else {
                self.run(place).busy = None;
            }
        }
        self.stop_all(asked.max(now + LEAST_GRACE), cx);
        self.end_if_stopped(cx);
        self.say(cx);
    }

    /// A second deletion may only shorten the grace.
    fn shorten(&mut self, asked: SimTime, cx: &mut Context<'_>) {
        if asked >= self.deadline {
            return;
        }
        self.deadline = asked;
        let deadline = asked.max(cx.now());
        for place in self.places() {
            let late = self.run(place).busy.as_ref().is_some_and(|busy| busy.next.is_set() && busy.next.due > deadline);
            if late {
                self.stop(place, Stop { term: cx.now(), exit: deadline, code: SIGKILLED }, cx);
            }
        }
    }

    /// Stops everything that runs, sidecars last.
    fn stop_all(&mut self, deadline: SimTime, cx: &mut Context<'_>) {
        let now = cx.now();
        let mut last_exit = now;
        for place in self.inits()..self.runs.len() as u8 {
            if self.run(place).is_running() {
                let stop = self.plan_stop(place, now, deadline, cx);
                last_exit = last_exit.max(stop.exit);
                self.stop(place, stop, cx);
            }
        }
        for place in (0..self.inits()).rev() {
            if self.run(place).is_running() {
                let stop = self.plan_stop(place, last_exit, deadline, cx);
                last_exit = stop.exit;
                self.stop(place, stop, cx);
            }
        }
    }

    fn plan_stop(&mut self, place: u8, begin: SimTime, deadline: SimTime, cx: &Context<'_>) -> Stop {
        let grace = deadline.since(begin);
        let pre_stop = match self.spec(cx.pod, place).pre_stop {
            Some(PreStop::Sleep(sleep)) => sleep.min(grace),
            Some(PreStop::Other) | None => SimDuration::ZERO,
        };
        let law = self.behavior.stop.as_ref().unwrap_or(&cx.view.settings.kubelet.default_stop);
        let takes = cx.draw(Purpose::Stop, place, self.runs[place as usize].restarts, law);
        let allowed = (grace - pre_stop).max(LEAST_STOP);
        let term = begin + pre_stop;
        Stop { term, exit: term + takes.min(allowed), code: if takes <= allowed { 0 } else { SIGKILLED } }
    }

    /// Liveness and startup probes end with the stop; readiness goes on.
    fn stop(&mut self, place: u8, Stop { term, exit, code }: Stop, cx: &mut Context<'_>) {
        let next = self.timer(exit, KubeletTimer::Exit(place), cx);
        let busy = self.run(place).busy();
        (busy.next, busy.exit_code) = (next, code);
        busy.probes[ProbeKind::Startup as usize] = Default::default();
        busy.probes[ProbeKind::Liveness as usize] = Default::default();
        if place != self.serving_place(cx.pod) {
            return;
        }
        if term <= cx.now() {
            self.sigterm(cx);
        } else {
            self.prestop = self.timer(term, KubeletTimer::PreStopOver, cx);
        }
    }

    /// The process that answers requests is told to stop.
    pub(super) fn sigterm(&mut self, cx: &mut Context<'_>) {
        self.prestop = Timer::default();
        if self.serving {
            cx.out.processes.push(ProcessChange::Terminating(cx.id));
        }
    }

    /// With nothing running any more the last word is said; a deleted pod goes.
    pub(super) fn end_if_stopped(&mut self, cx: &mut Context<'_>) {
        if self.runs.iter().any(super::pod::Run::is_running) {
            return;
        }
        let deleted = self.life == Life::Terminating;
        self.life = Life::Over;
        self.process_stopped(cx);
        self.unsaid = true;
        self.say(cx);
        self.release(cx);
        if deleted {
            cx.write(Write::RemovePod(cx.id));
        }
    }

    /// Gives back what the pod held of its node.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.held) {
            cx.node.held.sub(cx.pod);
        }
    }
}
