//! One bound pod as its kubelet sees it: the pod worker, who syncs it step by step.
//!
//! Upstream: pkg/kubelet/pod_workers.go (podWorkerLoop). A pod is synced when something about it is news: its
//! object, a container that the PLEG finds ended or begun, a probe's result, or its turn in the work queue. One sync
//! at a time; what comes meanwhile makes one more. A sync waits until the PLEG has listed containers after the
//! sync before it, which is why phases follow each other a second apart.
//!
//! Invariants:
//! - The worker is the truth; the pod's status in the store is what was last written of it.
//! - A timer is waited for by number ([`Timer`]): whatever replaces or drops it makes the event stale.
//! - `runs` are the init containers and then the containers, in the spec's order.
//! - What is going on is in [`Active`] and [`Busy`]; a healthy pod has neither, and no timer.
//!
//! Not modelled: the PLEG's and the sync loop's own running time (their ticks do not drift), volumes, and looking
//! regularly at pods of which nothing can be new.

use std::sync::Arc;

use api::{Container, Pod, PodSpec, PodStatus, SimDuration, SimTime, Termination};

use crate::controllers::View;
use crate::effects::{Component, Effects, ProcessChange, Write};
use crate::event::{Event, KubeletTimer, ProbeKind};
use crate::random::{Distribution, Purpose};
use crate::spec::ImageCatalog;
use crate::store::PodId;

use super::NodeState;
use super::backoff::Backoff;
use super::behavior::{ProcessBehavior, ResolvedBehavior};
use super::probes::ProbeRun;
use super::recorder::Tokens;
use super::resize::Resize;
use super::status::Reported;

/// Instead of an instant that has not been.
pub(super) const NEVER: SimTime = SimTime::MAX;
/// Least wait after a sync that failed. Upstream: backOffPeriod in pkg/kubelet/kubelet.go.
const BACK_OFF_PERIOD: SimDuration = SimDuration::from_secs(10);
/// Waits in the work queue are up to half as long again. Upstream: worker*JitterFactor in pod_workers.go.
const JITTER_FACTOR: f64 = 0.5;

/// Which kind of sync the pod gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// SyncPod: containers are made and kept.
    Syncing,
    /// SyncTerminatingPod: they are stopped.
    Terminating,
    /// SyncTerminatedPod: they have stopped.
    Terminated,
    /// The last word has been said.
    Over,
}

/// What the worker does at present.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Doing {
    #[default]
    Nothing,
    /// A sync waits for the PLEG.
    Waiting,
    /// Containers are made, one after the other.
    Making,
    /// Containers are killed before others are made.
    Killing,
    /// The pod's containers are being stopped for good.
    Stopping,
}

/// A timer that is waited for. Number zero is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Timer {
    number: u32,
    pub(super) due: SimTime,
}

impl Timer {
    pub(super) const fn is_set(self) -> bool {
        self.number != 0
    }
    /// Whether the event with this number is the one; it is no longer waited for then.
    fn rings(&mut self, number: u32) -> bool {
        let rings = self.number == number && number != 0;
        if rings {
            *self = Self::default();
        }
        rings
    }
}

/// What a sync has come to so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Outcome {
    /// Containers or the sandbox were made or killed.
    pub(super) acted: bool,
    /// Something could not be done.
    pub(super) failed: bool,
    /// When the first back-off ends that was in the way.
    pub(super) retry_at: Option<SimTime>,
}

/// What is going on with a pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Active {
    pub(super) doing: Doing,
    /// Another sync is wanted after this one.
    pending: bool,
    /// The end of what is being done.
    pub(super) step: Timer,
    /// The pod's place in the work queue.
    retry: Timer,
    relist: Timer,
    status: Timer,
    pub(super) deadline: Timer,
    pub(super) prestop: Timer,
    /// When the pod's containers are killed, once they are being stopped.
    pub(super) kill_at: SimTime,
    /// When the last status update has reached the API server.
    pub(super) through_at: SimTime,
    /// Containers to make, the next one last.
    pub(super) queue: Vec<u8>,
    /// Containers that this sync killed; its own view of how they ended is the time before.
    pub(super) killed: Vec<u8>,
    /// What is being killed is removed then, and made anew.
    pub(super) resets: bool,
    pub(super) outcome: Outcome,
    /// The next container waits for its image.
    pub(super) pulls: bool,
    /// The container that was started last is busy with its postStart hook; nothing is said of it before that is over.
    pub(super) hooks: bool,
}

/// What is going on with a container; nothing is, when it just runs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Busy {
    pub(super) probes: [ProbeRun; 3],
    /// Its exit.
    pub(super) exit: Timer,
    /// What it will exit with.
    pub(super) exit_code: i32,
    /// It will exit because it reaches its memory limit.
    pub(super) over_limit: bool,
    /// How it ended, as long as the kubelet does not know.
    pub(super) ended: Option<Termination>,
    /// Probes that fail whatever its process does.
    pub(super) failing: [bool; 3],
    /// The probe for which it is to be killed.
    pub(super) unhealthy: Option<ProbeKind>,
    /// It was told to stop.
    pub(super) stopping: bool,
    pub(super) answers: Timer,
    /// From when on its process is able to answer.
    pub(super) answers_at: SimTime,
    /// Why it could not be started (upstream: reasonCache).
    pub(super) reason: Option<&'static str>,
    pub(super) pull_backoff: Option<Backoff>,
}

/// What the kubelet sees of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It has not run, or not in this sandbox.
    Waiting,
    Running {
        started: SimTime,
    },
    /// As its past tells.
    Exited,
}

/// How a container ended, and what follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Past {
    pub(super) latest: Termination,
    pub(super) before: Option<Termination>,
    pub(super) backoff: Option<Backoff>,
}

/// One container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) state: State,
    pub(super) restarts: u32,
    /// The runtime knows it.
    pub(super) exists: bool,
    /// Its next start is counted in `restarts` already.
    pub(super) counted: bool,
    pub(super) ready: bool,
    pub(super) started: bool,
    pub(super) past: Option<Box<Past>>,
    pub(super) busy: Option<Box<Busy>>,
}

impl Run {
    const NEW: Self =
        Self { state: State::Waiting, restarts: 0, exists: false, counted: false, ready: false, started: false, past: None, busy: None };

    /// It runs, as far as the kubelet knows.
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
    /// Its process is there, whatever the kubelet knows.
    pub(super) fn is_alive(&self) -> bool {
        self.is_running() && self.busy.as_ref().is_none_or(|busy| busy.ended.is_none())
    }
    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }
    pub(super) fn latest(&self) -> Option<Termination> {
        self.past.as_ref().map(|past| past.latest)
    }
    /// The kubelet learns how it ended.
    pub(super) fn end(&mut self, latest: Termination) {
        let old = self.past.as_ref().map(|past| (past.latest, past.backoff));
        let (before, backoff) = old.map_or((None, None), |(latest, backoff)| (Some(latest), backoff));
        self.past = Some(Box::new(Past { latest, before, backoff }));
        (self.state, self.ready, self.started) = (State::Exited, false, false);
        let pull_backoff = self.busy.take().and_then(|busy| busy.pull_backoff);
        if pull_backoff.is_some() {
            self.busy().pull_backoff = pull_backoff;
        }
    }
}

/// Why the kubelet itself ends the pod (eviction, shutdown, deadline).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ending {
    pub(super) reason: &'static str,
    /// Grace of its containers, where it differs from the pod's.
    pub(super) grace: Option<SimDuration>,
    /// The node is the reason, and not the pod's time.
    pub(super) evicts: bool,
    /// It is told in the DisruptionTarget condition.
    pub(super) disrupts: bool,
}

/// A pod in its kubelet's hands.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) node: crate::store::NodeId,
    pub(super) behavior: Arc<ResolvedBehavior>,
    pub(super) life: Life,
    /// What it holds of its node, and its containers have or get.
    pub(super) allocated: Arc<PodSpec>,
    /// `None` when it was never resized.
    pub(super) resize: Option<Box<Resize>>,
    pub(super) runs: Box<[Run]>,
    /// How many of them are init containers.
    inits: u8,
    pub(super) active: Option<Box<Active>>,
    pub(super) ending: Option<Box<Ending>>,
    /// The end of the last sync.
    synced: SimTime,
    /// The first sync; liveness and startup probes lie on its grid.
    pub(super) probed_since: SimTime,
    pub(super) reported: Reported,
    tokens: [Tokens; 2],
    numbers: u32,
    /// How often it was put into the work queue, for the draws.
    queued: u16,
    /// The runtime has its sandbox.
    pub(super) sandbox: bool,
    /// Its probes may fail because its process is busy.
    pub(super) stressed: bool,
    /// Its process is known to traffic.
    pub(super) serving: bool,
    /// It counts in what its node holds.
    pub(super) held: bool,
    /// What is known is not written yet.
    pub(super) unsaid: bool,
    /// When its readiness gates are fulfilled, once its containers have been ready.
    gates: Timer,
    pub(super) gates_fulfilled: bool,
}

/// What a worker may use while it handles one thing.
pub(super) struct Context<'a> {
    pub(super) id: PodId,
    pub(super) pod: &'a Pod,
    pub(super) node: &'a mut NodeState,
    pub(super) catalog: &'a ImageCatalog,
    pub(super) view: View<'a>,
    pub(super) out: &'a mut Effects,
}

impl Context<'_> {
    pub(super) const fn now(&self) -> SimTime {
        self.view.now
    }
    pub(super) fn write(&mut self, write: Write) {
        self.out.write(Component::Kubelet, write);
    }
    /// Records an event whatever was said before.
    pub(super) fn event(&mut self, warning: bool, reason: &str, message: String) {
        self.out.event(Component::Kubelet, warning, reason, format!("Pod/{}", self.pod.meta.key()), message);
    }
    /// A draw about one run of one container.
    pub(super) fn draw(&self, purpose: Purpose, container: u8, restarts: u32, law: &Distribution) -> SimDuration {
        law.sample(&mut self.view.streams.stream(purpose, self.entity(container, restarts)))
    }
    fn entity(&self, container: u8, number: u32) -> u64 {
        /// An odd constant that spreads small numbers over all bits (2^64 divided by the golden ratio).
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let run = (u64::from(container) << 32) | u64::from(number);
        self.pod.meta.uid.0.wrapping_add(run.wrapping_mul(SPREAD))
    }
}

impl Worker {
    pub(super) fn new(pod: &Pod, node: crate::store::NodeId, behavior: Arc<ResolvedBehavior>, now: SimTime) -> Self {
        let inits = pod.spec.init_containers.len();
        Self {
            node,
            behavior,
            life: Life::Syncing,
            allocated: pod.spec.clone(),
            resize: None,
            runs: vec![Run::NEW; inits + pod.spec.containers.len()].into_boxed_slice(),
            inits: inits as u8,
            active: None,
            ending: None,
            synced: NEVER,
            probed_since: NEVER,
            reported: Reported::new(now),
            tokens: [Tokens::default(); 2],
            numbers: 0,
            queued: 0,
            sandbox: false,
            stressed: false,
            serving: false,
            held: false,
            unsaid: false,
            gates: Timer::default(),
            gates_fulfilled: pod.spec.readiness_gates.is_empty(),
        }
    }

    /// The spec of a container by its place in `runs`.
    pub(super) fn spec<'a>(&self, pod: &'a Pod, place: u8) -> &'a Container {
        self.spec_of(&pod.spec, place)
    }
    pub(super) fn spec_of<'a>(&self, spec: &'a PodSpec, place: u8) -> &'a Container {
        match place.checked_sub(self.inits) {
            Some(place) => &spec.containers[place as usize],
            None => &spec.init_containers[place as usize],
        }
    }
    pub(super) fn run(&mut self, place: u8) -> &mut Run {
        &mut self.runs[place as usize]
    }
    pub(super) const fn is_init(&self, place: u8) -> bool {
        place < self.inits
    }
    pub(super) const fn inits(&self) -> u8 {
        self.inits
    }
    pub(super) fn places(&self) -> std::ops::Range<u8> {
        0..self.runs.len() as u8
    }
    pub(super) fn is_sidecar(&self, pod: &Pod, place: u8) -> bool {
        self.is_init(place) && self.spec(pod, place).is_sidecar
    }
    /// What the scenario says of a container's process.
    pub(super) fn process<'a>(behavior: &'a ResolvedBehavior, container: &Container, is_init: bool) -> &'a ProcessBehavior {
        behavior.process(&container.name, is_init)
    }
    /// The container that answers requests: the first with a port, else the first.
    pub(super) fn serving_place(&self, pod: &Pod) -> u8 {
        let with_port = pod.spec.containers.iter().position(|container| !container.ports.is_empty());
        self.inits + with_port.unwrap_or(0) as u8
    }
    pub(super) fn active(&mut self) -> &mut Active {
        self.active.get_or_insert_default()
    }
    pub(super) fn doing(&self) -> Doing {
        self.active.as_ref().map_or(Doing::Nothing, |active| active.doing)
    }

    /// Records an event of the pod, as far as the recorder lets it.
    pub(super) fn event(&mut self, warning: bool, reason: &str, message: String, cx: &mut Context<'_>) {
        if self.tokens[usize::from(warning)].take(cx.view.now) {
            cx.event(warning, reason, message);
        }
    }
    /// From when on a warning would be recorded.
    pub(super) fn next_warning(&self) -> SimTime {
        self.tokens[1].next()
    }

    /// Sets a timer and gives what it is known by.
    pub(super) fn timer(&mut self, due: SimTime, timer: KubeletTimer, cx: &mut Context<'_>) -> Timer {
        self.numbers = self.numbers.checked_add(1).unwrap_or(1);
        cx.out.at(due, Event::Kubelet(cx.id, timer, self.numbers));
        Timer { number: self.numbers, due }
    }

    /// A timer has come. What is stale finds nobody waiting.
    pub(super) fn due(&mut self, timer: KubeletTimer, number: u32, cx: &mut Context<'_>) {
        let of_pod = |active: &mut Option<Box<Active>>, slot: fn(&mut Active) -> &mut Timer| {
            active.as_deref_mut().is_some_and(|active| slot(active).rings(number))
        };
        let of = |runs: &mut [Run], place: u8, slot: fn(&mut Busy) -> &mut Timer| {
            let busy = runs.get_mut(place as usize).and_then(|run| run.busy.as_deref_mut());
            busy.is_some_and(|busy| slot(busy).rings(number))
        };
        match timer {
            KubeletTimer::Sync if of_pod(&mut self.active, |active| &mut active.step) => self.sync(false, cx),
            KubeletTimer::Relist if of_pod(&mut self.active, |active| &mut active.relist) => {
                self.notice(false, cx);
                self.wake(cx);
            }
            KubeletTimer::Retry if of_pod(&mut self.active, |active| &mut active.retry) => self.wake(cx),
            KubeletTimer::Status if of_pod(&mut self.active, |active| &mut active.status) => {}
            KubeletTimer::Deadline if of_pod(&mut self.active, |active| &mut active.deadline) => self.wake(cx),
            KubeletTimer::ReadinessGates if self.gates.rings(number) => (self.gates_fulfilled, self.unsaid) = (true, true),
            KubeletTimer::PostStartOver if of_pod(&mut self.active, |active| &mut active.step) => self.post_start_over(cx),
            KubeletTimer::Started if of_pod(&mut self.active, |active| &mut active.step) => self.made(cx),
            KubeletTimer::Exit(place) if of(&mut self.runs, place, |busy| &mut busy.exit) => {
                let busy = self.run(place).busy();
                let (code, over_limit) = (busy.exit_code, busy.over_limit);
                self.exited(place, code, if over_limit { "OOMKilled" } else { exit_reason(code) }, cx);
            }
            KubeletTimer::Answers(place) if of(&mut self.runs, place, |busy| &mut busy.answers) => self.answers(place, cx),
            KubeletTimer::PreStopOver if of_pod(&mut self.active, |active| &mut active.prestop) => self.sigterm(cx),
            KubeletTimer::Probe(place, kind) => {
                let busy = self.runs.get_mut(place as usize).and_then(|run| run.busy.as_deref_mut());
                if busy.is_some_and(|busy| busy.probes[kind as usize].timer.rings(number)) {
                    self.probe(place, kind, cx);
                }
            }
            _ => {}
        }
        self.say(cx);
        self.settle();
    }

    /// Drops what is kept of a pod of which nothing is going on.
    pub(super) fn settle(&mut self) {
        let idle = |active: &Active| {
            active.doing == Doing::Nothing && ![active.retry, active.relist, active.status, active.deadline].into_iter().any(Timer::is_set)
        };
        if self.active.as_deref().is_some_and(idle) {
            self.active = None;
        }
    }

    /// There is news: a sync is wanted.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>) {
        if self.life == Life::Over || !cx.node.kubelet_works() {
            return;
        }
        if self.doing() == Doing::Nothing {
            self.begin_sync(false, cx);
        } else {
            self.active().pending = true;
        }
    }

    /// Syncs once the PLEG has listed the pod's containers after the last sync; `fresh` when it has just done so.
    fn begin_sync(&mut self, fresh: bool, cx: &mut Context<'_>) {
        let seen = if self.synced == NEVER { SimTime::ZERO } else { cx.node.ticks.relist_after(self.synced) };
        if fresh || seen <= cx.now() {
            self.sync(fresh, cx);
        } else {
            let step = self.timer(seen, KubeletTimer::Sync, cx);
            let active = self.active();
            (active.doing, active.step) = (Doing::Waiting, step);
        }
    }

    fn sync(&mut self, fresh: bool, cx: &mut Context<'_>) {
        let active = self.active();
        (active.doing, active.outcome) = (Doing::Nothing, Outcome::default());
        self.notice(fresh, cx);
        match self.life {
            Life::Syncing => self.sync_pod(cx),
            Life::Terminating => self.sync_terminating(cx),
            Life::Terminated => self.sync_terminated(cx),
            Life::Over => {}
        }
    }

    /// The sync is over; `terminal` when nothing of the pod will run again.
    pub(super) fn end_sync(&mut self, terminal: bool, cx: &mut Context<'_>) {
        let now = cx.now();
        self.synced = now;
        let active = self.active();
        active.killed.clear();
        let (outcome, pending) = (active.outcome, std::mem::take(&mut active.pending));
        (active.doing, active.retry) = (Doing::Nothing, Timer::default());
        self.requeue(outcome, cx);
        if terminal && self.life == Life::Syncing {
            self.life = Life::Terminating;
            self.begin_sync(false, cx);
        } else if outcome.acted && !outcome.failed {
            self.begin_sync(true, cx); // The pod is listed on demand after a sync that did something.
        } else if outcome.acted {
            self.relist(now, cx);
            if pending {
                self.begin_sync(false, cx);
            }
        } else if pending || self.life != Life::Syncing {
            self.begin_sync(false, cx);
        }
    }

    /// The work queue: soon after a failure, else after the sync interval, as far as that could show anything.
    fn requeue(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        let interval = cx.view.settings.kubelet.sync_frequency;
        let wait = match outcome {
            Outcome { failed: true, retry_at: Some(at), .. } => at.since(cx.now()).min(interval),
            Outcome { failed: true, retry_at: None, .. } => BACK_OFF_PERIOD,
            _ if self.is_waiting_to_be_ready(cx.pod) => interval,
            _ => return,
        };
        self.queued = self.queued.wrapping_add(1);
        let mut stream = cx.view.streams.stream(Purpose::PodSyncJitter, cx.entity(0, u32::from(self.queued)));
        let jitter = SimDuration::from_secs_f64(wait.as_secs_f64() * JITTER_FACTOR * stream.unit());
        let at = cx.node.ticks.sync_at(cx.now() + wait + jitter);
        let retry = self.timer(at, KubeletTimer::Retry, cx);
        self.active().retry = retry;
    }

    /// The PLEG will find something new of this pod that happened at `at`.
    pub(super) fn relist(&mut self, at: SimTime, cx: &mut Context<'_>) {
        let due = cx.node.ticks.relist_after(at).max(cx.now());
        if !self.active().relist.is_set() {
            let relist = self.timer(due, KubeletTimer::Relist, cx);
            self.active().relist = relist;
        }
    }

    /// Takes in what the PLEG has listed: with `fresh` everything, else what had ended before its last tick.
    pub(super) fn notice(&mut self, fresh: bool, cx: &Context<'_>) {
        for run in &mut self.runs {
            let ended = run.busy.as_ref().and_then(|busy| busy.ended);
            if let Some(ended) = ended.filter(|ended| fresh || cx.node.ticks.relist_after(ended.finished) <= cx.view.now) {
                run.end(ended);
            }
        }
    }

    /// Sends the status that is not sent yet, if there is a kubelet to do so and the one before is through.
    pub(super) fn say(&mut self, cx: &mut Context<'_>) {
        let hooks = self.active.as_ref().is_some_and(|active| active.hooks);
        if !self.unsaid || hooks || !cx.node.reaches_api() {
            return;
        }
        let through = self.active.as_ref().map_or(SimTime::ZERO, |active| active.through_at);
        if cx.now() < through {
            if !self.active().status.is_set() {
                let timer = self.timer(through, KubeletTimer::Status, cx);
                self.active().status = timer;
            }
            return;
        }
        self.unsaid = false;
        let status = self.status(cx.pod, cx.now());
        self.await_gates(&status, cx);
        let written = super::status::fingerprint(&status);
        if self.reported.written != written {
            self.reported.written = written;
            let through_at = cx.now() + cx.view.settings.api_server.request_latency.mean();
            if let Some(active) = &mut self.active {
                active.through_at = through_at; // With nothing going on there is nothing to wait for it.
            }
            cx.write(Write::PodStatus(cx.id, Box::new(status)));
        }
    }

    /// With its containers ready, the pod waits for whoever fulfils its readiness gates.
    fn await_gates(&mut self, status: &PodStatus, cx: &mut Context<'_>) {
        if self.gates_fulfilled || self.gates.is_set() || !status.conditions.containers_ready.status.is_true() {
            return;
        }
        if let Some(law) = self.behavior.clone().readiness_gates.as_ref() {
            let takes = cx.draw(Purpose::ReadinessGates, 0, 0, law);
            self.gates = self.timer(cx.now() + takes, KubeletTimer::ReadinessGates, cx);
        }
    }

    /// The process is able to answer from now on.
    pub(super) fn answers(&mut self, place: u8, cx: &mut Context<'_>) {
        if self.run(place).is_alive() && !self.serving {
            self.serving = true;
            cx.out.processes.push(ProcessChange::Started(cx.id));
        }
        self.tidy(place, cx.now());
    }

    /// The place of the container of this name, or of the first that is no init container.
    pub(super) fn find(&self, container: Option<&api::Str>, pod: &Pod) -> Option<u8> {
        match container {
            None => (self.inits()..self.places().end).next(),
            Some(name) => self.places().find(|place| self.spec(pod, *place).name == *name),
        }
    }

    /// Drops what is kept of a container that just runs.
    pub(super) fn tidy(&mut self, place: u8, now: SimTime) {
        let stressed = self.stressed;
        let run = self.run(place);
        let idle = |busy: &Busy| {
            let Busy {
                probes,
                exit,
                exit_code: _,
                over_limit: _,
                ended,
                failing,
                unhealthy,
                stopping,
                answers,
                answers_at,
                reason,
                pull_backoff,
            } = busy;
            !exit.is_set()
                && !answers.is_set()
                && *answers_at <= now
                && *failing == [false; 3]
                && (ended.is_none() && unhealthy.is_none() && !stopping && reason.is_none() && pull_backoff.is_none())
                && probes.iter().all(ProbeRun::is_idle)
        };
        if !stressed && run.is_running() && run.busy.as_deref().is_some_and(idle) {
            run.busy = None;
        }
    }

    /// The kubelet reaches the API server again.
    pub(super) fn catch_up(&mut self, cx: &mut Context<'_>) {
        if self.life == Life::Terminated && self.doing() == Doing::Nothing {
            self.begin_sync(false, cx);
        }
        self.say(cx);
        self.settle();
    }

    /// The node has booted: nothing runs, the runtime knows nothing, and all is made anew.
    pub(super) fn reboot(&mut self, cx: &mut Context<'_>) {
        self.process_stopped(cx);
        if self.life == Life::Over {
            return;
        }
        let (finished, deleting) = (cx.now(), cx.pod.meta.is_deleting());
        for run in &mut self.runs {
            let was_running = run.is_running();
            (run.exists, run.counted, run.ready, run.started, run.busy) = (false, false, false, false, None);
            if was_running {
                run.state = State::Waiting;
                if run.past.is_none() {
                    let latest = Termination { exit_code: SIGKILLED, reason: STATUS_UNKNOWN, finished };
                    run.past = Some(Box::new(Past { latest, before: None, backoff: None }));
                    run.counted = !deleting;
                    run.restarts += u32::from(!deleting);
                }
            }
            if let Some(past) = &mut run.past {
                past.backoff = None;
            }
        }
        self.forget(cx);
        (self.sandbox, self.reported.has_ip) = (false, false);
        self.life = if deleting || self.ending.is_some() { Life::Terminating } else { Life::Syncing };
        self.begin_at_start(cx);
    }

    /// The kubelet runs again after it was stopped; containers have lived on. All it knew is gone but what
    /// the runtime and the API server tell.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) {
        if self.life == Life::Over {
            return;
        }
        for run in &mut self.runs {
            let busy = run.busy.take();
            let ended = busy.as_ref().and_then(|busy| busy.ended);
            if let Some(busy) = busy.filter(|_| run.is_running() && ended.is_none()) {
                let Busy { exit, exit_code, over_limit, failing, answers, answers_at, stopping, .. } = *busy;
                run.busy = Some(Box::new(Busy { exit, exit_code, over_limit, failing, answers, answers_at, stopping, ..Busy::default() }));
            }
            if let Some(ended) = ended {
                run.end(ended);
            }
            if let Some(past) = &mut run.past {
                past.backoff = None;
            }
        }
        self.forget(cx);
        if cx.pod.meta.is_deleting() && self.life == Life::Syncing {
            self.life = Life::Terminating;
        }
        for place in self.places() {
            if self.run(place).is_running() {
                self.resume_probes(place, cx);
            }
        }
        self.begin_at_start(cx);
    }

    /// A new kubelet process knows nothing of what was going on.
    fn forget(&mut self, cx: &Context<'_>) {
        (self.active, self.stressed) = (None, false);
        (self.synced, self.probed_since) = (NEVER, cx.view.now);
        (self.unsaid, self.reported.written) = (false, 0);
    }

    /// Pods are synced once the new kubelet's PLEG has listed containers twice (upstream: syncLoop waits for it).
    fn begin_at_start(&mut self, cx: &mut Context<'_>) {
        let at = cx.node.ticks.relist_after(cx.now());
        let step = self.timer(at, KubeletTimer::Sync, cx);
        let active = self.active();
        (active.doing, active.step) = (Doing::Waiting, step);
    }

    /// The process is gone, and with it what it was working on.
    pub(super) fn process_stopped(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.serving) {
            cx.out.processes.push(ProcessChange::Stopped(cx.id));
        }
        self.stressed = false;
    }
}

/// Exit code of a process that was killed.
pub(super) const SIGKILLED: i32 = 137;
/// Reason of a container that the runtime no longer knows.
pub(super) const STATUS_UNKNOWN: &str = "ContainerStatusUnknown";

pub(super) const fn exit_reason(code: i32) -> &'static str {
    if code == 0 { "Completed" } else { "Error" }
}
