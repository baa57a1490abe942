//! Probes, in closed form as long as the answer is known, one by one while a process is too busy to be sure of.
//!
//! Upstream: pkg/kubelet/prober/worker.go and prober_manager.go. Liveness and startup attempts lie on the grid that
//! began with the pod's first sync; those within the initial delay are left out. A readiness probe is asked at once
//! whenever a status is made of a started container that is not ready, and its grid begins anew there: when the
//! container has started, at the PLEG's next list, and whenever the work queue hands the pod out. A result has to
//! repeat its threshold times in a row.
//!
//! Invariants:
//! - A process that is able to answer and not stressed passes; one that is not able yet fails. Only attempts that
//!   decide or say something get a timer, so a healthy container has none.
//! - A stressed pod's HTTP, TCP and gRPC probes run on the grid and are answered by the traffic engine.
//! - A failure is told by an Unhealthy event, as long as the event recorder lets it through.
//!
//! Simplified: liveness and startup probes depend on the same ability to answer as readiness, but a workload
//! that never gets ready is alive. Each attempt takes no time.

use api::{Pod, Probe, ProbeHandler, SimDuration, SimTime};

use crate::effects::ProbeRequest;
use crate::event::{KubeletTimer, ProbeKind};
use crate::random::Purpose;

use super::pod::{Context, Life, NEVER, State, Timer, Worker};

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
    /// The first attempt that is still to be counted; those before the timer all have the same result.
    counted_from: SimTime,
    /// The container has been asked before.
    known: bool,
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
            State::Running { started } => Some(started),
            State::Waiting | State::Exited => None,
        }
    }

    /// The container has just begun to run.
    pub(super) fn begin_probes(&mut self, place: u8, cx: &mut Context<'_>) {
        if self.probe_spec(cx.pod, place, ProbeKind::Startup).is_some() {
            self.begin_probe(place, ProbeKind::Startup, cx);
        } else {
            self.begin_steady_probes(place, cx);
        }
    }

    /// The container counts as started. Its readiness is asked for when its next status is made.
    fn begin_steady_probes(&mut self, place: u8, cx: &mut Context<'_>) {
        let has_probe = self.probe_spec(cx.pod, place, ProbeKind::Readiness).is_some();
        let run = self.run(place);
        (run.started, run.ready) = (true, !has_probe);
        self.unsaid = true;
        if has_probe {
            self.run(place).busy().probes[ProbeKind::Readiness as usize].phase = cx.now();
        }
        if self.probe_spec(cx.pod, place, ProbeKind::Liveness).is_some() {
            self.begin_probe(place, ProbeKind::Liveness, cx);
        }
    }

    /// The first attempt on the grid of the pod's first sync.
    fn begin_probe(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let phase = self.run(place).busy.as_ref().map_or(SimTime::ZERO, |busy| busy.probes[kind as usize].phase);
        let phase = phase.max(if self.probed_since == NEVER { cx.view.now } else { self.probed_since });
        let first = self.first_allowed(place, probe, cx.now()).next_on_grid(phase, period(probe));
        self.run(place).busy().probes[kind as usize] = ProbeRun { phase, last_ok: kind == ProbeKind::Liveness, ..ProbeRun::default() };
        self.plan(place, kind, first, cx);
    }

    /// The first instant from `at` on at which the initial delay is over; whole seconds count.
    fn first_allowed(&self, place: u8, probe: &Probe, at: SimTime) -> SimTime {
        self.started_at(place).map_or(at, |started| at.max(started + probe.initial_delay))
    }

    /// Whether some container waits for its readiness probe.
    pub(super) fn is_waiting_to_be_ready(&self, pod: &Pod) -> bool {
        self.places().any(|place| self.is_to_be_asked(pod, place))
    }

    fn is_to_be_asked(&self, pod: &Pod, place: u8) -> bool {
        let run = &self.runs[place as usize];
        run.is_running() && run.started && !run.ready && self.probe_spec(pod, place, ProbeKind::Readiness).is_some()
    }

    /// A status has been made: containers that are started and not ready are asked at once.
    /// Upstream: UpdatePodStatus in prober_manager.go.
    pub(super) fn ask_unready(&mut self, cx: &mut Context<'_>) {
        if self.probed_since == NEVER {
            return; // There are no probe workers yet.
        }
        for place in self.places() {
            if self.is_to_be_asked(cx.pod, place) {
                self.kick(place, cx);
            }
        }
    }

    fn kick(&mut self, place: u8, cx: &mut Context<'_>) {
        let kind = ProbeKind::Readiness;
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let now = cx.now();
        self.count_passed(place, kind, probe, now);
        let allowed = self.first_allowed(place, probe, now) <= now;
        let run = &mut self.run(place).busy().probes[kind as usize];
        run.phase = now;
        run.timer = Timer::default();
        if allowed {
            self.probe(place, kind, cx);
        } else {
            self.plan_next(place, kind, cx);
        }
        // The first answer about a container is news of its own, which the next sync is about.
        let run = self.run(place);
        let first = !std::mem::replace(&mut run.busy().probes[kind as usize].known, true);
        let unready = run.is_running() && !run.ready;
        self.tidy(place, now);
        if first && unready {
            self.wake(cx);
        }
    }

    /// Whether the process could answer this kind of probe at `at`, were it not busy.
    fn is_able(&self, pod: &Pod, place: u8, kind: ProbeKind, at: SimTime) -> bool {
        let busy = self.runs[place as usize].busy.as_deref();
        let process = Self::process(&self.behavior, self.spec(pod, place), self.is_init(place));
        let never = kind == ProbeKind::Readiness && process.never_ready;
        busy.is_none_or(|busy| at >= busy.answers_at && busy.ended.is_none() && !busy.failing[kind as usize]) && !never
    }

    /// An attempt.
    pub(super) fn probe(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        if !self.is_probed(cx.pod, place, kind) {
            return;
        }
        let now = cx.now();
        self.count_passed(place, kind, probe, now);
        let able = self.is_able(cx.pod, place, kind, now);
        if able && self.stressed && asks_process(probe) {
            self.ask_process(place, kind, probe.timeout, cx);
        } else {
            let text = if able { String::new() } else { self.refusal(cx.pod, place, kind, probe, now) };
            self.probe_result(place, kind, able, &text, cx);
        }
        self.plan_next(place, kind, cx);
    }

    /// Lets the traffic engine answer, unless the worker still waits for the answer before.
    fn ask_process(&mut self, place: u8, kind: ProbeKind, timeout: SimDuration, cx: &mut Context<'_>) {
        let run = &mut self.run(place).busy().probes[kind as usize];
        if !std::mem::replace(&mut run.outstanding, true) {
            cx.out.probes.push(ProbeRequest { pod: cx.pod.meta.uid, container: place, kind, timeout });
        }
    }

    /// Attempts before `now` that had no timer are counted: they all had the result of the last one.
    fn count_passed(&mut self, place: u8, kind: ProbeKind, probe: &Probe, now: SimTime) {
        let run = &mut self.run(place).busy().probes[kind as usize];
        if run.counted_from < now && run.counted_from > SimTime::ZERO {
            let passed = now.since(run.counted_from).as_nanos().div_ceil(period(probe).as_nanos());
            run.row = run.row.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        }
        run.counted_from = SimTime::ZERO;
    }

    /// Traffic has answered a probe.
    pub(super) fn probe_answered(&mut self, place: u8, kind: ProbeKind, ok: bool, cx: &mut Context<'_>) {
        let busy = self.runs.get_mut(place as usize).and_then(|run| run.busy.as_deref_mut());
        let asked = busy.is_some_and(|busy| std::mem::take(&mut busy.probes[kind as usize].outstanding));
        if let (true, Some(probe)) = (asked, self.probe_spec(cx.pod, place, kind)) {
            let text = timeout_text(cx.pod, probe);
            self.probe_result(place, kind, ok, &text, cx);
            if !self.stressed {
                self.plan_next(place, kind, cx);
            }
            self.tidy(place, cx.now());
            self.say(cx);
            self.settle();
        }
    }

    fn probe_result(&mut self, place: u8, kind: ProbeKind, ok: bool, text: &str, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let run = &mut self.run(place).busy().probes[kind as usize];
        run.row = if run.last_ok == ok { run.row.saturating_add(1) } else { 1 };
        run.last_ok = ok;
        let decided = run.row >= if ok { probe.success_threshold } else { probe.failure_threshold };
        if !ok {
            self.event(true, "Unhealthy", format!("{} probe failed: {text}", kind_name(kind)), cx);
        }
        if !decided {
            return;
        }
        match (kind, ok) {
            (ProbeKind::Readiness, _) => {
                if self.run(place).ready != ok {
                    self.run(place).ready = ok;
                    self.unsaid = true;
                    if !ok {
                        self.wake(cx);
                    }
                }
            }
            (ProbeKind::Startup, true) => {
                self.run(place).busy().probes[kind as usize] = ProbeRun::default();
                self.begin_steady_probes(place, cx);
                self.wake(cx);
            }
            (ProbeKind::Liveness | ProbeKind::Startup, false) => {
                let busy = self.run(place).busy();
                busy.unhealthy = Some(kind);
                busy.probes[kind as usize] = ProbeRun { phase: busy.probes[kind as usize].phase, ..ProbeRun::default() };
                self.wake(cx);
            }
            (ProbeKind::Liveness, true) => {}
        }
    }

    /// Whether attempts of this kind are made now: a probe that has decided for good holds until the container is another.
    fn is_probed(&self, pod: &Pod, place: u8, kind: ProbeKind) -> bool {
        let run = &self.runs[place as usize];
        let ends = pod.meta.is_deleting() || run.busy.as_ref().is_some_and(|busy| busy.unhealthy.is_some() || busy.stopping);
        run.is_running()
            && !matches!(self.life, Life::Terminated | Life::Over)
            && match kind {
                ProbeKind::Startup => !run.started && !ends,
                ProbeKind::Liveness => run.started && !ends,
                ProbeKind::Readiness => run.started,
            }
    }

    fn plan_next(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let phase = self.run(place).busy().probes[kind as usize].phase;
        let from = self.first_allowed(place, probe, cx.now() + TICK);
        self.plan(place, kind, from.next_on_grid(phase, period(probe)), cx);
    }

    /// Sets the next attempt that is looked at, from `next` on: every one while the process is busy, else the one that
    /// decides, or has something to say.
    fn plan(&mut self, place: u8, kind: ProbeKind, next: SimTime, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        if !self.is_probed(cx.pod, place, kind) {
            return;
        }
        let stressed = self.stressed && asks_process(probe);
        let at = if stressed { Some(next) } else { self.attempt_that_matters(place, kind, probe, next, cx.pod) };
        if let Some(at) = at {
            let timer = self.timer(at.max(cx.now()), KubeletTimer::Probe(place, kind), cx);
            let run = &mut self.run(place).busy().probes[kind as usize];
            (run.timer, run.counted_from) = (timer, next);
        } else {
            let run = &mut self.run(place).busy().probes[kind as usize];
            (run.timer, run.counted_from) = (Timer::default(), SimTime::ZERO);
        }
    }

    /// Of the attempts from `next` on, the first that decides or is told; those before it all have its result.
    fn attempt_that_matters(&self, place: u8, kind: ProbeKind, probe: &Probe, next: SimTime, pod: &Pod) -> Option<SimTime> {
        let container = &self.runs[place as usize];
        let run = container.busy.as_deref()?.probes[kind as usize];
        let row_of = |ok: bool| if run.last_ok == ok { run.row } else { 0 };
        let nth = |attempts: u32| next + period(probe).times(u64::from(attempts.max(1) - 1));
        if self.is_able(pod, place, kind, next) {
            let wanted = match kind {
                ProbeKind::Startup => true,
                ProbeKind::Readiness => !container.ready,
                ProbeKind::Liveness => false,
            };
            // The result may turn from failures to successes only at an attempt with a timer.
            let first = if run.last_ok { nth(probe.success_threshold.saturating_sub(row_of(true))) } else { next };
            return (wanted || !run.last_ok).then_some(first);
        }
        if run.last_ok {
            return Some(next);
        }
        let answers_at = container.busy.as_ref().map_or(SimTime::ZERO, |busy| busy.answers_at);
        let never = answers_at <= next; // Not able, and no time will change that.
        let able = (!never).then(|| answers_at.next_on_grid(run.phase, period(probe)).max(next));
        let decides = match kind {
            ProbeKind::Readiness if !container.ready => None,
            _ => Some(nth(probe.failure_threshold.saturating_sub(row_of(false)))),
        };
        let told = self.next_warning().max(next).next_on_grid(run.phase, period(probe)).max(next);
        [able, decides, Some(told)].into_iter().flatten().min()
    }

    /// The pod's process may have been too busy to answer since then: an attempt that nobody looked at is made up
    /// for, with what is left of its time.
    pub(super) fn stressed(&mut self, since: SimTime, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.stressed, true) {
            return;
        }
        self.for_each_probe(cx, |worker, place, kind, cx| {
            let missed = worker.passed_over(place, kind, since, cx);
            worker.attempt_each(place, kind, cx);
            if let Some((at, probe)) = missed {
                let left = probe.timeout - cx.now().since(at);
                worker.ask_process(place, kind, left, cx);
            }
        });
    }

    /// The first attempt after `since` that had no timer, as its answer seemed sure.
    fn passed_over<'a>(&self, place: u8, kind: ProbeKind, since: SimTime, cx: &Context<'a>) -> Option<(SimTime, &'a Probe)> {
        let probe = self.probe_spec(cx.pod, place, kind)?;
        let run = self.runs[place as usize].busy.as_deref().map(|busy| busy.probes[kind as usize]).unwrap_or_default();
        let phase = run.phase.max(self.probed_since.min(cx.view.now));
        let at = self.first_allowed(place, probe, since + TICK).next_on_grid(phase, period(probe));
        let unseen = at <= cx.now() && run.counted_from <= at && !run.outstanding;
        (unseen && self.is_able(cx.pod, place, kind, at)).then_some((at, probe))
    }

    /// It is not any more: what is known decides again.
    pub(super) fn relieved(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.stressed) {
            self.for_each_probe(cx, Self::plan_next);
            for place in self.places() {
                self.tidy(place, cx.now());
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

    /// From its next attempt on, a probe fails until the container is another.
    pub(super) fn fail_probe(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        if self.probe_spec(cx.pod, place, kind).is_none() || !self.is_probed(cx.pod, place, kind) {
            return;
        }
        if cx.node.kubelet_works() {
            self.attempt_each(place, kind, cx);
        }
        self.run(place).busy().failing[kind as usize] = true;
        if cx.node.kubelet_works() {
            self.plan_next(place, kind, cx);
        }
    }

    /// From the attempt that matters to every attempt.
    fn attempt_each(&mut self, place: u8, kind: ProbeKind, cx: &mut Context<'_>) {
        let Some(probe) = self.probe_spec(cx.pod, place, kind) else { return };
        let (now, since) = (cx.now(), self.probed_since.min(cx.view.now));
        self.count_passed(place, kind, probe, now);
        let healthy = self.run(place).busy.is_none();
        let run = &mut self.run(place).busy().probes[kind as usize];
        if healthy || run.row == 0 {
            // What nobody looked at has succeeded all along.
            *run = ProbeRun { phase: run.phase.max(since), last_ok: true, row: 1, known: true, ..ProbeRun::default() };
        }
        self.plan_next(place, kind, cx);
    }

    /// The kubelet runs again: its probe workers begin at random instants within a period, and a container that was
    /// ready stays so until it fails. Upstream: setReadyStateOnKubeletRestart.
    pub(super) fn resume_probes(&mut self, place: u8, cx: &mut Context<'_>) {
        let container = self.spec(cx.pod, place);
        let restarts = self.runs[place as usize].restarts;
        let was_ready = self.runs[place as usize].ready && cx.pod.is_ready();
        self.run(place).ready = was_ready || container.readiness_probe.is_none();
        for kind in KINDS {
            let Some(probe) = probe_of(container, kind) else { continue };
            let law = crate::random::Distribution::Uniform { min: SimDuration::ZERO, max: period(probe) };
            let wait = cx.draw(Purpose::ProbePhase, place, restarts.wrapping_mul(4).wrapping_add(kind as u32), &law);
            let phase = cx.now() + wait;
            let last_ok = kind == ProbeKind::Liveness || (kind == ProbeKind::Readiness && was_ready);
            self.run(place).busy().probes[kind as usize] = ProbeRun { phase, last_ok, known: true, ..ProbeRun::default() };
            self.plan(place, kind, phase, cx);
        }
        self.tidy(place, cx.now());
    }

    fn refusal(&self, pod: &Pod, place: u8, kind: ProbeKind, probe: &Probe, now: SimTime) -> String {
        let name = &pod.meta.name;
        // A process that has started but never gets ready says so; one that has not started does not listen.
        let listens = self.runs[place as usize].busy.as_ref().is_none_or(|busy| busy.answers_at <= now);
        match &probe.handler {
            ProbeHandler::HttpGet if listens => "HTTP probe failed with statuscode: 503".to_owned(),
            ProbeHandler::HttpGet => format!("Get \"http://{name}/\": dial tcp {name}: connect: connection refused"),
            ProbeHandler::TcpSocket => format!("dial tcp {name}: connect: connection refused"),
            ProbeHandler::Grpc => "service unhealthy (responded with \"NOT_SERVING\")".to_owned(),
            ProbeHandler::Exec(_) if kind == ProbeKind::Readiness && listens => "never ready".to_owned(),
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
