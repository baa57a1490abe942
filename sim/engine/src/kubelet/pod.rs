//! One bound pod as its kubelet sees it: the worker, and the way from admission to running containers.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (SyncPod). Containers are made one after the
//! other in list order: image, create, start. Only what is going on is kept; a healthy container is a start
//! time, two flags and no timer.
//!
//! Invariants:
//! - The worker is the truth; the pod's status in the store is what was last written of it.
//! - A timer is waited for by number ([`Timer`]): whatever replaces or drops it makes the event stale.
//! - `runs` are the init containers and then the containers, in the spec's order.
//!
//! Not modelled: how long init containers run (they are done at once), volumes, sandboxes, pod workers'
//! and PLEG's phases (what happens is noticed at once).

use std::sync::Arc;

use api::{Container, ContainerState, Pod, RestartPolicy, SimDuration, SimTime};

use crate::controllers::View;
use crate::effects::{Component, Effects, ProcessChange, Write};
use crate::event::{Event, KubeletTimer};
use crate::random::{Distribution, Purpose};
use crate::store::PodId;

use super::NodeState;
use super::backoff::Backoff;
use super::behavior::ResolvedBehavior;
use super::images::{Ask, Pull, go_duration};
use super::probes::ProbeRun;
use super::status::Reported;

/// Where a pod is in its kubelet's hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// Containers are made.
    Starting,
    /// All have been started.
    Running,
    /// Its work is done; sidecars are being stopped.
    Finishing,
    /// Its deletion was asked for.
    Terminating,
    /// The last word has been said.
    Over,
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

/// What is going on with a container; nothing is, when it just runs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Busy {
    pub(super) probes: [ProbeRun; 3],
    /// Its exit when it runs, its next start when it does not.
    pub(super) next: Timer,
    /// The code it will exit with.
    pub(super) exit_code: i32,
    /// A failed probe stops it: it is started again whatever its code.
    pub(super) killed: bool,
    pub(super) answers: Timer,
    /// From when on its process is able to answer.
    pub(super) answers_at: SimTime,
}

/// One container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) state: ContainerState,
    pub(super) restarts: u32,
    pub(super) ready: bool,
    pub(super) started: bool,
    /// How it ended last, and when.
    pub(super) last: Option<(i32, SimTime)>,
    pub(super) backoff: Option<Backoff>,
    pub(super) busy: Option<Box<Busy>>,
}

impl Run {
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }
}

/// The container that is being made.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Making {
    timer: Timer,
    asked: SimTime,
    takes: SimDuration,
}

/// A pod in its kubelet's hands.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) node: crate::store::NodeId,
    pub(super) behavior: Arc<ResolvedBehavior>,
    pub(super) life: Life,
    pub(super) runs: Box<[Run]>,
    /// How many of them are init containers.
    inits: u8,
    /// Which is being made, or made next.
    step: u8,
    making: Option<Box<Making>>,
    pub(super) prestop: Timer,
    /// When it has to be gone, once its deletion was asked for.
    pub(super) deadline: SimTime,
    pub(super) reported: Reported,
    numbers: u32,
    /// Its probes may fail because its process is busy.
    pub(super) stressed: bool,
    /// Its process is known to traffic.
    pub(super) serving: bool,
    /// It counts in what its node holds.
    pub(super) held: bool,
    /// What is known is not written yet.
    pub(super) unsaid: bool,
}

/// What a worker may use while it handles one thing.
pub(super) struct Context<'a> {
    pub(super) id: PodId,
    pub(super) pod: &'a Pod,
    pub(super) node: &'a mut NodeState,
    pub(super) view: View<'a>,
    pub(super) out: &'a mut Effects,
}

impl Context<'_> {
    pub(super) const fn now(&self) -> SimTime {
        self.view.now
    }
    pub(super) fn event(&mut self, warning: bool, reason: &str, message: String) {
        self.out.event(Component::Kubelet, warning, reason, format!("Pod/{}", self.pod.meta.key()), message);
    }
    pub(super) fn write(&mut self, write: Write) {
        self.out.write(Component::Kubelet, write);
    }
    /// A draw about one run of one container.
    pub(super) fn draw(&self, purpose: Purpose, container: u8, restarts: u32, law: &Distribution) -> SimDuration {
        /// An odd constant that spreads small numbers over all bits (2^64 divided by the golden ratio).
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let run = (u64::from(container) << 32) | u64::from(restarts);
        law.sample(&mut self.view.streams.stream(purpose, self.pod.meta.uid.0.wrapping_add(run.wrapping_mul(SPREAD))))
    }
}

impl Worker {
    pub(super) fn new(pod: &Pod, node: crate::store::NodeId, behavior: Arc<ResolvedBehavior>, now: SimTime) -> Self {
        let inits = pod.spec.init_containers.len();
        let waiting = |reason| Run {
            state: ContainerState::Waiting { reason },
            restarts: 0,
            ready: false,
            started: false,
            last: None,
            backoff: None,
            busy: None,
        };
        let reason = waiting_reason(pod);
        Self {
            node,
            behavior,
            life: Life::Starting,
            runs: vec![waiting(reason); inits + pod.spec.containers.len()].into_boxed_slice(),
            inits: inits as u8,
            step: 0,
            making: None,
            prestop: Timer::default(),
            deadline: SimTime::MAX,
            reported: Reported::new(now),
            numbers: 0,
            stressed: false,
            serving: false,
            held: false,
            unsaid: false,
        }
    }

    /// The spec of a container by its place in `runs`.
    pub(super) fn spec<'a>(&self, pod: &'a Pod, place: u8) -> &'a Container {
        match place.checked_sub(self.inits) {
            Some(place) => &pod.spec.containers[place as usize],
            None => &pod.spec.init_containers[place as usize],
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
    /// The container that answers requests: the first with a port, else the first.
    pub(super) fn serving_place(&self, pod: &Pod) -> u8 {
        let with_port = pod.spec.containers.iter().position(|container| !container.ports.is_empty());
        self.inits + with_port.unwrap_or(0) as u8
    }

    /// Sets a timer and gives what it is known by.
    pub(super) fn timer(&mut self, due: SimTime, timer: KubeletTimer, cx: &mut Context<'_>) -> Timer {
        self.numbers = self.numbers.checked_add(1).unwrap_or(1);
        cx.out.at(due, Event::Kubelet(cx.id, timer, self.numbers));
        Timer { number: self.numbers, due }
    }

    /// A timer has come. What is stale finds nobody waiting.
    pub(super) fn due(&mut self, timer: KubeletTimer, number: u32, cx: &mut Context<'_>) {
        let making = self.making.as_mut().is_some_and(|making| making.timer.rings(number));
        let of = |runs: &mut [Run], place: u8, slot: fn(&mut Busy) -> &mut Timer| {
            let busy = runs.get_mut(place as usize).and_then(|run| run.busy.as_deref_mut());
            busy.is_some_and(|busy| slot(busy).rings(number))
        };
        match timer {
            KubeletTimer::Pulled if making => self.pulled(cx),
            KubeletTimer::Started if making => self.made(cx),
            KubeletTimer::Exit(place) if of(&mut self.runs, place, |busy| &mut busy.next) => {
                let code = self.run(place).busy().exit_code;
                self.exited(place, code, exit_reason(code), cx);
            }
            KubeletTimer::BackoffOver(place) if of(&mut self.runs, place, |busy| &mut busy.next) => self.restarted(place, cx),
            KubeletTimer::Answers(place) if of(&mut self.runs, place, |busy| &mut busy.answers) => self.answers(place, cx),
            KubeletTimer::PreStopOver if self.prestop.rings(number) => self.sigterm(cx),
            KubeletTimer::Probe(place, kind) => {
                let busy = self.runs.get_mut(place as usize).and_then(|run| run.busy.as_deref_mut());
                if busy.is_some_and(|busy| busy.probes[kind as usize].timer.rings(number)) {
                    self.probe(place, kind, cx);
                }
            }
            _ => {}
        }
        self.say(cx);
    }

    /// Takes the pod on.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>) {
        self.unsaid = true;
        self.say(cx);
        self.make_next(cx);
        self.say(cx);
    }

    /// Starts making the next container, if there is one and what it waits for is there.
    pub(super) fn make_next(&mut self, cx: &mut Context<'_>) {
        if self.step as usize == self.runs.len() {
            self.life = Life::Running;
            return;
        }
        // A sidecar has to be started before the next one is made.
        if let Some(before) = self.step.checked_sub(1)
            && self.is_sidecar(cx.pod, before)
            && !self.run(before).started
        {
            return;
        }
        let place = self.step;
        let container = self.spec(cx.pod, place);
        let settings = &cx.view.settings.kubelet;
        let law = self.behavior.image_pull.as_ref().unwrap_or(&settings.default_image_pull);
        let (Some(node), now) = (cx.view.store.nodes.get(self.node), cx.now()) else { return };
        let ask = Ask {
            image: &container.image,
            policy: container.image_pull_policy,
            reported: &node.status.images,
            serialize: settings.serialize_image_pulls,
            now,
        };
        // Keyed by node and image: whichever pod asks first, the pull takes the same time.
        let entity = || crate::random::entity(&format!("{}/{}", node.meta.name, container.image));
        let takes = || law.sample(&mut cx.view.streams.stream(Purpose::ImagePull, entity()));
        match cx.node.images.ensure(&ask, takes) {
            Pull::Present => {
                say_present(container, cx);
                self.make(place, cx);
            }
            Pull::Until { end, takes } => {
                cx.event(false, "Pulling", format!("Pulling image \"{}\"", container.image));
                let timer = self.timer(end, KubeletTimer::Pulled, cx);
                self.making = Some(Box::new(Making { timer, asked: now, takes }));
            }
            Pull::Never => {
                let image = &container.image;
                cx.event(true, "ErrImageNeverPull", format!("Container image \"{image}\" is not present with pull policy of Never"));
                cx.event(true, "Failed", "Error: ErrImageNeverPull".to_owned());
                self.run(place).state = ContainerState::Waiting { reason: "ErrImageNeverPull" };
                self.unsaid = true;
            }
        }
    }

    fn pulled(&mut self, cx: &mut Context<'_>) {
        let Some(making) = self.making.take() else { return };
        let image = &self.spec(cx.pod, self.step).image;
        let (takes, waited) = (go_duration(making.takes), go_duration(cx.now().since(making.asked)));
        cx.event(false, "Pulled", format!("Successfully pulled image \"{image}\" in {takes} ({waited} including waiting)."));
        self.make(self.step, cx);
    }

    /// The image is there: the container is created and started.
    fn make(&mut self, place: u8, cx: &mut Context<'_>) {
        let takes = self.container_start(place, cx);
        let timer = self.timer(cx.now() + takes, KubeletTimer::Started, cx);
        self.making = Some(Box::new(Making { timer, ..Making::default() }));
    }

    pub(super) fn container_start(&mut self, place: u8, cx: &Context<'_>) -> SimDuration {
        let restarts = self.run(place).restarts;
        cx.draw(Purpose::ContainerStart, place, restarts, &cx.view.settings.kubelet.container_start)
    }

    fn made(&mut self, cx: &mut Context<'_>) {
        self.making = None;
        let place = self.step;
        self.step += 1;
        self.start(place, cx);
        if self.is_init(place) && !self.is_sidecar(cx.pod, place) {
            let run = self.run(place);
            run.state = ContainerState::Terminated { exit_code: 0, reason: "Completed", finished: cx.view.now };
            (run.started, run.ready, run.busy) = (false, true, None);
        }
        self.make_next(cx);
        self.finish_if_done(cx);
    }

    /// Forgets the container that is being made.
    pub(super) fn drop_making(&mut self) {
        self.making = None;
    }

    /// The container runs from now on.
    pub(super) fn start(&mut self, place: u8, cx: &mut Context<'_>) {
        cx.event(false, "Created", "Container created".to_owned());
        cx.event(false, "Started", "Container started".to_owned());
        let now = cx.now();
        let behavior = self.behavior.clone();
        self.unsaid = true;
        let run = self.run(place);
        let restarts = run.restarts;
        run.state = ContainerState::Running { started: now };
        (run.started, run.ready, run.busy) = (false, false, None);
        if !self.is_init(place) {
            if let Some(law) = &behavior.ready_after {
                self.run(place).busy().answers_at = now + cx.draw(Purpose::ReadyAfter, place, restarts, law);
            }
            if let Some(crash) = &behavior.crash {
                let after = cx.draw(Purpose::Crash, place, restarts, &crash.after);
                let next = self.timer(now + after, KubeletTimer::Exit(place), cx);
                let busy = self.run(place).busy();
                (busy.next, busy.exit_code) = (next, crash.exit_code);
            }
            if place == self.serving_place(cx.pod) && !behavior.never_ready {
                let answers_at = self.run(place).busy().answers_at.max(now);
                if answers_at == now {
                    self.answers(place, cx);
                } else {
                    let timer = self.timer(answers_at, KubeletTimer::Answers(place), cx);
                    self.run(place).busy().answers = timer;
                }
            }
        }
        self.begin_probes(place, cx);
        self.tidy(place, now);
    }

    /// The process is able to answer from now on.
    fn answers(&mut self, place: u8, cx: &mut Context<'_>) {
        if self.run(place).is_running() && !self.serving {
            self.serving = true;
            cx.out.processes.push(ProcessChange::Started(cx.id));
        }
        self.tidy(place, cx.now());
    }

    /// Drops what is kept of a container that just runs.
    pub(super) fn tidy(&mut self, place: u8, now: SimTime) {
        let stressed = self.stressed;
        let run = self.run(place);
        let idle = |busy: &Busy| {
            !busy.next.is_set() && !busy.answers.is_set() && busy.answers_at <= now && busy.probes.iter().all(ProbeRun::is_idle)
        };
        if !stressed && run.is_running() && run.busy.as_deref().is_some_and(idle) {
            run.busy = None;
        }
    }

    /// Whether a container that exited with this code is started again. Upstream: pkg/kubelet/container/helpers.go.
    pub(super) fn restarts(&self, pod: &Pod, place: u8, code: i32) -> bool {
        match pod.spec.restart_policy {
            _ if pod.meta.is_deleting() => false,
            _ if self.is_sidecar(pod, place) => true,
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != 0,
            RestartPolicy::Never => false,
        }
    }

    /// The node has booted: nothing runs, and all is made anew, init containers first.
    pub(super) fn reboot(&mut self, cx: &mut Context<'_>) {
        self.process_stopped(cx);
        if self.life == Life::Over {
            return;
        }
        let (now, reason) = (cx.now(), waiting_reason(cx.pod));
        let again = cx.pod.spec.restart_policy != RestartPolicy::Never && !cx.pod.meta.is_deleting();
        for run in &mut self.runs {
            let existed = !matches!(run.state, ContainerState::Waiting { .. });
            (run.ready, run.started, run.backoff, run.busy) = (false, false, None, None);
            if existed || run.last.is_some() {
                run.last = Some((137, now));
            }
            if again {
                run.restarts += u32::from(existed);
                run.state = ContainerState::Waiting { reason };
            } else {
                run.state = ContainerState::Terminated { exit_code: 137, reason: "ContainerStatusUnknown", finished: now };
            }
        }
        (self.step, self.making, self.prestop, self.stressed) = (0, None, Timer::default(), false);
        self.unsaid = true;
        if again {
            self.life = Life::Starting;
            self.begin(cx);
        } else {
            self.life = if cx.pod.meta.is_deleting() { Life::Terminating } else { Life::Finishing };
            self.end_if_stopped(cx);
        }
        self.say(cx);
    }

    /// The kubelet runs again after it was stopped: what happened meanwhile is taken up.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) {
        if cx.pod.meta.is_deleting() && !matches!(self.life, Life::Terminating | Life::Over) {
            self.terminate(cx);
            return;
        }
        self.unsaid |= self.life != Life::Over;
        match self.life {
            Life::Starting => {
                self.making = None;
                self.resume_runs(cx);
                self.make_next(cx);
            }
            Life::Running => self.resume_runs(cx),
            Life::Finishing | Life::Terminating => self.end_if_stopped(cx),
            Life::Over => {}
        }
        self.say(cx);
    }

    fn resume_runs(&mut self, cx: &mut Context<'_>) {
        for place in self.places() {
            let restartable = !self.is_init(place) || self.is_sidecar(cx.pod, place);
            let was_made = place < self.step;
            let run = self.run(place);
            match run.state {
                ContainerState::Running { .. } => self.resume_probes(place, cx),
                ContainerState::Terminated { exit_code, .. } if restartable => {
                    let killed = run.busy.take().is_some_and(|busy| busy.killed);
                    self.after_exit(place, exit_code, killed, cx);
                }
                ContainerState::Waiting { .. } if was_made && run.last.is_some() => self.hold_back(place, cx),
                ContainerState::Terminated { .. } | ContainerState::Waiting { .. } => {}
            }
        }
    }

    /// The process is gone, and with it what it was working on.
    pub(super) fn process_stopped(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.serving) {
            cx.out.processes.push(ProcessChange::Stopped(cx.id));
        }
        self.stressed = false;
    }
}

/// What a container that has never run waits for.
fn waiting_reason(pod: &Pod) -> &'static str {
    if pod.spec.init_containers.is_empty() { "ContainerCreating" } else { "PodInitializing" }
}

pub(super) const fn exit_reason(code: i32) -> &'static str {
    if code == 0 { "Completed" } else { "Error" }
}

pub(super) fn say_present(container: &Container, cx: &mut Context<'_>) {
    let image = &container.image;
    cx.event(false, "Pulled", format!("Container image \"{image}\" already present on machine and can be accessed by the pod"));
}
