//! Probes, in closed form as long as the answer is known, one by one while a process is too busy to be sure of.
//!
//! Upstream: pkg/kubelet/prober/worker.go. Attempts lie on a grid: the first at once (for readiness and
//! liveness: once started), then every period; those within the initial delay do not count. A result has
//! to repeat its threshold times in a row.
//!
//! Invariants:
//! - A process that is able to answer and not stressed passes; one that is not able yet fails. Only the
//!   attempt that decides something gets a timer, so a healthy container has none.
//! - A stressed pod's HTTP, TCP and gRPC probes run on the grid and are answered by the traffic engine.
//! - A row of failures is told by one Unhealthy event.
//!
//! Simplified: liveness and startup probes depend on the same ability to answer as readiness, but a workload
//! that never gets ready is alive. The first attempt's extra run after a status update is left out, so is
//! the random delay after a kubelet's start.

use api::{ContainerState, Pod, Probe, ProbeHandler, SimDuration, SimTime};

use crate::effects::ProbeRequest;
use crate::event::{KubeletTimer, ProbeKind};

use super::pod::{Busy, Context, Timer, Worker};

const KINDS: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];
/// Shortest distance to a later instant.
const TICK: SimDuration = SimDuration::from_nanos(1);

/// One probe of one container.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct ProbeRun {
    /// The next attempt that is looked at.
    pub(super) timer: Timer,
    /// Where its grid begins.
    phase: SimTime,
    last_ok: bool,
    /// How often the last result came in a row.
    row: u32,
    /// This row of failures has been told.
    told: bool,
    /// Traffic has not answered yet.
    outstanding: bool,
}

impl ProbeRun {
    pub(super) const fn is_idle(&self) -> bool {
        !self.timer.is_set() && !self.outstanding
    }
}

/// What a probe of this kind asks of a container.
fn probe_of(container: &api::Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// Whether the workload's own process answers, so that it matters how busy it is.
const fn asks_process(probe: &Probe) -> bool {
    !matches!(probe.handler, ProbeHandler::Exec(_))
}

/// The shortest time that any probe gives the pod's process to answer; `None` when no probe asks it.
pub(crate) fn shortest_timeout(pod: &Pod) -> Option<SimDuration> {
    let probes = pod.spec.containers.iter().flat_map(|container| KINDS.into_iter().filter_map(|kind| probe_of(container, kind)));
    probes.filter(|probe| asks_process(probe)).map(|probe| probe.timeout).min()
}

impl Worker {
    fn probe_spec<'a>(&self, pod: &'a Pod, place: u8, kind: ProbeKind) -> Option<&'a Probe> {
        probe_of(self.spec(pod, place), kind)
    }

    fn started_at(&self, place: u8) -> Option<SimTime> {
        match self.runs[place as usize].state {
            ContainerState::Running { started } => Some(started),
            _ => None,
        }
    }

    /// The container has just begun to run.
    pub(super) fn begin_probes(&mut self, place: u8, cx: &mut Context<'_>) {
        if self.probe_spec(cx.pod, place, ProbeKind::Startup).is_some() {
            self.first_attempt(place, ProbeKind::Startup, cx.now(), cx);
        } else {
            self.begin_steady_probes(place, cx);
        }
    }

    /// The container counts as started.
    fn begin_steady_probes(&mut self, place: u8, cx: &mut Context<'_>) {
        let now = cx.now();
        let Some(begun) = self.started_at(place) else { return };
        self.run(place).started = true;
        self.unsaid = true;
        if self.probe_spec(cx.pod, place, ProbeKind::Readiness).is_some() {
            self.first_attempt(place, ProbeKind::Readiness, now, cx);
        } else {
            self.run(place).ready = true;
        }
        if self.probe_spec(cx.pod, place, ProbeKind::Liveness).is_some() {
            self.first_attempt(place, ProbeKind::Liveness, begun, cx);
        }
    }

    fn first_attempt(&mut self, place: u8, kind: ProbeKind, phase: SimTime, cx: &mut Context<'_>) {
        let (Some(probe), Some(begun)) = (self.probe_spec(cx.pod, place, kind), self.started_at(place)) else { return };
        let at = cx.now().max(begun + probe.initial_delay).next_on_grid(phase, period(probe));
        self.run(place).busy().probes[kind as usize] = ProbeRun { phase, ..ProbeRun::default() };
        if at == cx.now() {
            self.probe(place, kind, cx);
        } else {
            self.set_probe(place, kind, at, cx);
        }
    }

    fn set_probe(&mut self, place: u8, kind: ProbeKind, at: SimTime, cx: &mut Context<'_>) {
        let timer = self.timer(at, KubeletTimer::Probe(place, kind), cx);
        self.run(place).busy().probes[kind as usize].timer = timer;
    }

    /// Whether the process could answer this kind of probe at `at`, were it not busy.
    fn is_able(&self, place: u8, kind: ProbeKind, at: SimTime) -> bool {
        let answers_at = self.runs[place as usize].busy.as_ref().map_or(SimTime::ZERO, |busy| busy.answers_at);
        at >= answers_at && !(kind == ProbeKind::Readiness && self.behavior.never_ready && !self.is_init(place))
    }

    /// An attempt.
    pub(super) fn probe(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let able = self.is_able(place, kind, cx.now());
        if !(able && self.stressed && asks_process(probe)) {
            let text = if able { String::new() } else { self.refusal(cx.pod, place, probe, cx.now()) };
            self.probe_result(place, kind, able, &text, cx);
            self.next_attempt(place, kind, cx);
            return;
        }
        let run = &mut self.run(place).busy().probes[kind as usize];
        if !std::mem::replace(&mut run.outstanding, true) {
            cx.out.probes.push(ProbeRequest { pod: cx.pod.meta.uid, container: place, kind, timeout: probe.timeout });
        }
        self.next_attempt(place, kind, cx);
    }

    /// Traffic has answered a probe.
    pub(super) fn probe_answered(&mut self, place: u8, kind: ProbeKind, ok: bool, cx: &mut Context<'_>) {
        let busy = self.runs.get_mut(place as usize).and_then(|run| run.busy.as_deref_mut());
        let asked = busy.is_some_and(|busy| std::mem::take(&mut busy.probes[kind as usize].outstanding));
        if let (true, Some(probe)) = (asked, self.probe_spec(cx.pod, place, kind)) {
            let text = timeout_text(cx.pod, probe);
            self.probe_result(place, kind, ok, &text, cx);
            if !self.stressed {
                self.next_attempt(place, kind, cx);
            }
            self.tidy(place, cx.now());
            self.say(cx);
        }
    }

    fn probe_result(&mut self, place: u8, kind: ProbeKind, ok: bool, text: &str, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let run = &mut self.run(place).busy().probes[kind as usize];
        run.row = if run.last_ok == ok { run.row.saturating_add(1) } else { 1 };
        run.last_ok = ok;
        let tell = !ok && !run.told;
        run.told = !ok;
        let decided = run.row >= if ok { probe.success_threshold } else { probe.failure_threshold };
        if tell {
            cx.event(true, "Unhealthy", format!("{} probe failed: {text}", kind_name(kind)));
        }
        if !decided {
            return;
        }
        match (kind, ok) {
            (ProbeKind::Readiness, _) => {
                self.unsaid |= self.run(place).ready != ok;
                self.run(place).ready = ok;
            }
            (ProbeKind::Startup, true) => {
                self.run(place).busy().probes[kind as usize] = ProbeRun::default();
                self.begin_steady_probes(place, cx);
                if self.is_init(place) {
                    self.make_next(cx);
                }
            }
            (ProbeKind::Liveness | ProbeKind::Startup, false) => self.kill_by_probe(place, kind, cx),
            (ProbeKind::Liveness, true) => {}
        }
    }

    /// Whether attempts of this kind are made now: a probe that has decided for good holds until the container is another.
    fn is_probed(&self, pod: &Pod, place: u8, kind: ProbeKind) -> bool {
        let run = &self.runs[place as usize];
        let stopping = pod.meta.is_deleting() || run.busy.as_ref().is_some_and(|busy| busy.killed);
        run.is_running()
            && match kind {
                ProbeKind::Startup => !run.started && !stopping,
                ProbeKind::Liveness => run.started && !stopping,
                ProbeKind::Readiness => run.started,
            }
    }

    /// Sets the next attempt that is looked at: every one while the process is busy, else the one that decides.
    fn next_attempt(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        if !self.is_probed(cx.pod, place, kind) {
            return;
        }
        let run = self.run(place).busy().probes[kind as usize];
        let next = (cx.now() + TICK).next_on_grid(run.phase, period(probe));
        if self.stressed && asks_process(probe) {
            self.set_probe(place, kind, next, cx);
        } else if let Some((at, row, ok)) = self.deciding_attempt(place, kind, probe, next) {
            let run = &mut self.run(place).busy().probes[kind as usize];
            // The attempts in between have the same result; they are counted here.
            (run.row, run.last_ok) = (row, ok);
            self.set_probe(place, kind, at, cx);
        } else {
            self.tidy(place, cx.now());
        }
    }

    /// The attempt that decides, from `next` on, with the row of results before it and what they are.
    fn deciding_attempt(&self, place: u8, kind: ProbeKind, probe: &Probe, next: SimTime) -> Option<(SimTime, u32, bool)> {
        let container = &self.runs[place as usize];
        let busy = container.busy.as_deref()?;
        let run = busy.probes[kind as usize];
        let after = |attempts: u32| next + period(probe).times(u64::from(attempts));
        let row_of = |ok: bool| if run.last_ok == ok { run.row } else { 0 };
        if self.is_able(place, kind, next) {
            let wanted = match kind {
                ProbeKind::Startup => true,
                ProbeKind::Readiness => !container.ready,
                ProbeKind::Liveness => false,
            };
            let more = probe.success_threshold.saturating_sub(row_of(true)).max(1);
            return wanted.then(|| (after(more - 1), probe.success_threshold - 1, true));
        }
        let able_at = busy.answers_at.next_on_grid(run.phase, period(probe));
        let more = probe.failure_threshold.saturating_sub(row_of(false)).max(1);
        let fails_at = after(more - 1);
        let fails_first = !self.is_able(place, kind, fails_at);
        match kind {
            // A row of failures makes a ready container unready, and kills by liveness or startup.
            ProbeKind::Readiness if container.ready && fails_first => Some((fails_at, probe.failure_threshold - 1, false)),
            ProbeKind::Liveness | ProbeKind::Startup if fails_first => Some((fails_at, probe.failure_threshold - 1, false)),
            ProbeKind::Readiness if self.behavior.never_ready && !self.is_init(place) => None,
            ProbeKind::Liveness => None,
            ProbeKind::Readiness | ProbeKind::Startup => {
                let more = u64::from(probe.success_threshold.max(1) - 1);
                Some((able_at + period(probe).times(more), probe.success_threshold.max(1) - 1, true))
            }
        }
    }

    /// The pod's process may be too busy to answer from now on.
    pub(super) fn stressed(&mut self, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.stressed, true) {
            self.for_each_probe(cx, Self::count_and_attempt);
        }
    }

    /// It is not any more: what is known decides again.
    pub(super) fn relieved(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.stressed) {
            self.for_each_probe(cx, Self::next_attempt);
            for place in self.places() {
                self.tidy(place, cx.now());
            }
        }
    }

    /// The kubelet runs again: attempts go on from now.
    pub(super) fn resume_probes(&mut self, place: u8, cx: &mut Context<'_>) {
        if self.probe_spec(cx.pod, place, ProbeKind::Startup).is_none() && !self.run(place).started {
            self.begin_steady_probes(place, cx);
            return;
        }
        for kind in KINDS {
            let ready = self.run(place).ready;
            if let Some(busy) = self.run(place).busy.as_deref_mut() {
                let run = &mut busy.probes[kind as usize];
                (run.timer, run.outstanding, run.row) = (Timer::default(), false, 0);
                run.last_ok = kind != ProbeKind::Readiness || ready;
                self.next_attempt(place, kind, cx);
            }
        }
    }

    fn for_each_probe(&mut self, cx: &mut Context<'_>, mut then: impl FnMut(&mut Self, u8, ProbeKind, &mut Context<'_>)) {
        for place in self.places() {
            for kind in KINDS {
                if self.probe_spec(cx.pod, place, kind).is_some_and(asks_process) && self.is_probed(cx.pod, place, kind) {
                    then(self, place, kind, cx);
                }
            }
        }
    }

    /// From the deciding attempt to every attempt: the row counted ahead is taken back to where it is now.
    fn count_and_attempt(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let (Some(probe), Some(begun)) = (self.probe_spec(cx.pod, place, kind), self.started_at(place)) else { return };
        let run = self.run(place);
        let (healthy, phase) = (run.busy.is_none(), begun);
        let busy: &mut Busy = run.busy();
        let run = &mut busy.probes[kind as usize];
        if healthy || run.phase < begun {
            *run = ProbeRun { phase, last_ok: true, row: 1, ..ProbeRun::default() };
        } else if run.timer.is_set() {
            let next = (cx.view.now + TICK).next_on_grid(run.phase, period(probe));
            let to_come = run.timer.due.since(next).as_nanos() / period(probe).as_nanos();
            run.row = run.row.saturating_sub(u32::try_from(to_come).unwrap_or(u32::MAX));
        }
        self.next_attempt(place, kind, cx);
    }

    fn refusal(&self, pod: &Pod, place: u8, probe: &Probe, now: SimTime) -> String {
        let name = &pod.meta.name;
        // A process that has started but never gets ready says so; one that has not started does not listen.
        let listens = self.runs[place as usize].busy.as_ref().is_none_or(|busy| busy.answers_at <= now);
        match &probe.handler {
            ProbeHandler::HttpGet if listens => "HTTP probe failed with statuscode: 503".to_owned(),
            ProbeHandler::HttpGet => format!("Get \"http://{name}/\": dial tcp {name}: connect: connection refused"),
            ProbeHandler::TcpSocket => format!("dial tcp {name}: connect: connection refused"),
            ProbeHandler::Grpc => "service unhealthy (responded with \"NOT_SERVING\")".to_owned(),
            ProbeHandler::Exec(_) => "not ready".to_owned(),
        }
    }
}

/// A period of at least one second, as the API server's defaults have it.
fn period(probe: &Probe) -> SimDuration {
    probe.period.max(SimDuration::from_secs(1))
}

const fn kind_name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "Startup",
        ProbeKind::Liveness => "Liveness",
        ProbeKind::Readiness => "Readiness",
    }
}

fn timeout_text(pod: &Pod, probe: &Probe) -> String {
    let name = &pod.meta.name;
    match &probe.handler {
        ProbeHandler::HttpGet => {
            format!("Get \"http://{name}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
        }
        ProbeHandler::TcpSocket => format!("dial tcp {name}: i/o timeout"),
        ProbeHandler::Grpc => format!("timeout: health rpc did not complete within {}", super::images::go_duration(probe.timeout)),
        ProbeHandler::Exec(_) => "command timed out".to_owned(),
    }
}
