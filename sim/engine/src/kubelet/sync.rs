//! SyncPod: from what is there to what should be, one container after the other.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions, SyncPod) and
//! kuberuntime_container.go (computeInitContainerActions, startContainer).
//!
//! Invariants:
//! - What has to be done is worked out once, from what the kubelet knew when the sync began.
//! - Containers are started in list order; each may take its time (image, create, start), and the next waits.
//! - A container that is held back, or whose image cannot be had, fails the sync but not the containers after it,
//!   unless it is an init container.

use api::{Container, LifecycleHandler, Pod, ResourceName, RestartPolicy, SimDuration, SimTime, Str, Termination};

use crate::event::{KubeletTimer, ProbeKind};
use crate::random::{Distribution, Purpose};

use super::backoff::Backoff;
use super::images::{Presence, go_duration};
use super::pod::{Busy, Context, Doing, Ending, NEVER, Run, SIGKILLED, State, Worker};
use super::pulls::{Ended, Request, Work};

/// What a sync is to do.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Actions {
    /// Everything that still runs is stopped: only sidecars do.
    kill_pod: bool,
    kill: Vec<u8>,
    create_sandbox: bool,
    /// In order.
    start: Vec<u8>,
}

impl Worker {
    pub(super) fn sync_pod(&mut self, cx: &mut Context<'_>) {
        self.reported.has_ip |= self.sandbox;
        self.complete_resize(cx);
        self.enforce_deadline(cx);
        self.unsaid = true;
        self.say(cx);
        if self.computed_phase(cx.pod).is_terminal() {
            self.end_sync(true, cx);
            return;
        }
        if self.waits_for_volumes(cx) {
            return;
        }
        self.ask_unready(cx);
        let first = self.probed_since == NEVER;
        self.probed_since = self.probed_since.min(cx.view.now);
        if first {
            self.watch_deadline(cx);
        }
        if self.wants_restart_of_all(cx.pod) {
            self.reset(cx);
            return;
        }
        let actions = self.actions(cx.pod);
        let active = self.active();
        active.queue = actions.start;
        active.queue.reverse();
        active.outcome.acted = actions.kill_pod || !actions.kill.is_empty() || actions.create_sandbox;
        if actions.kill_pod {
            self.active().doing = Doing::Killing;
            self.stop_all(cx.now() + cx.pod.spec.termination_grace_period, cx);
        }
        for place in actions.kill {
            self.active().doing = Doing::Killing;
            if self.restarts_to_resize(place) {
                self.kill_to_resize(place, cx);
            } else {
                self.kill_unhealthy(place, cx);
            }
        }
        if self.apply_resources(cx) {
            self.active().outcome.failed = true;
        }
        if actions.create_sandbox {
            self.sandbox = true;
            self.unsaid = true;
            self.say(cx);
        }
        self.go_on(cx);
    }

    /// activeDeadlineSeconds. Upstream: pkg/kubelet/active_deadline.go.
    fn enforce_deadline(&mut self, cx: &mut Context<'_>) {
        let over = self.deadline_at(cx.pod).is_some_and(|at| at <= cx.now());
        if over && !cx.pod.meta.is_deleting() && !self.computed_phase(cx.pod).is_terminal() {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.event(false, "DeadlineExceeded", message, cx);
            self.ending = Some(Box::new(Ending { reason: "DeadlineExceeded", grace: None, evicts: false, disrupts: false }));
        }
    }

    /// The start as the API server keeps it: in whole seconds.
    fn deadline_at(&self, pod: &Pod) -> Option<SimTime> {
        pod.spec.active_deadline.map(|span| self.reported.start_time() + span)
    }

    fn watch_deadline(&mut self, cx: &mut Context<'_>) {
        if let Some(at) = self.deadline_at(cx.pod) {
            // The sync loop asks every second which pods are past it.
            let at = cx.node.ticks.sync_at(at.max(cx.now()));
            let deadline = self.timer(at, KubeletTimer::Deadline, cx);
            self.active().deadline = deadline;
        }
    }

    /// Goes on once nothing is being killed any more.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.doing() == Doing::Killing && self.runs.iter().any(|run| run.busy.as_ref().is_some_and(|busy| busy.stopping)) {
            return;
        }
        if std::mem::take(&mut self.active().resets) {
            self.remove_all(cx);
        }
        self.active().doing = Doing::Making;
        while let Some(place) = self.active().queue.pop() {
            match self.begin_start(place, cx) {
                Begun::Done => {}
                Begun::TakesTime => {
                    self.active().queue.push(place);
                    return;
                }
                Begun::Failed => self.start_failed(place, cx.pod),
            }
        }
        self.end_sync(false, cx);
    }

    /// A container has ended in the way for which its rules restart the whole pod in place.
    fn wants_restart_of_all(&self, pod: &Pod) -> bool {
        let wants = |place: u8| {
            let run = &self.runs[place as usize];
            let ended = run.latest().filter(|_| run.exists && run.state == State::Exited);
            ended.and_then(|end| self.spec(pod, place).restart_rule(end.exit_code)).is_some_and(|rule| rule.restarts_all)
        };
        !pod.meta.is_deleting() && self.places().any(wants)
    }

    /// Kills all containers without grace, to remove them.
    fn reset(&mut self, cx: &mut Context<'_>) {
        let active = self.active();
        (active.doing, active.resets, active.outcome.acted) = (Doing::Killing, true, true);
        for place in self.places() {
            self.kill_at_once(place, cx);
        }
        self.go_on(cx);
    }

    /// The runtime knows none of the containers any more: the next sync makes them anew, init containers first.
    fn remove_all(&mut self, cx: &Context<'_>) {
        for run in self.runs.iter_mut().filter(|run| run.exists) {
            run.end(Termination { exit_code: SIGKILLED, reason: RESTARTING_ALL, finished: cx.view.now });
            (run.state, run.exists, run.counted) = (State::Waiting, false, true);
            run.restarts += 1;
            run.busy().reason = Some(RESTARTING_ALL);
        }
    }

    fn start_failed(&mut self, place: u8, pod: &Pod) {
        let is_plain_init = self.is_init(place) && !self.is_sidecar(pod, place);
        let active = self.active();
        active.outcome.failed = true;
        if is_plain_init {
            active.queue.clear();
        }
    }

    fn begin_start(&mut self, place: u8, cx: &mut Context<'_>) -> Begun {
        if let Some(until) = self.held_back_until(place, cx) {
            let (name, meta) = (&self.spec(cx.pod, place).name, &cx.pod.meta);
            let message = format!("Back-off restarting failed container {name} in pod {}_{}({})", meta.name, meta.namespace, meta.uid);
            self.event(true, "BackOff", message, cx);
            self.run(place).busy().reason = Some("CrashLoopBackOff");
            let outcome = &mut self.active().outcome;
            outcome.retry_at = Some(outcome.retry_at.map_or(until, |earlier| earlier.min(until)));
            return Begun::Failed;
        }
        self.begin_image(place, cx)
    }

    /// Until when a container's start is refused; its back-off is passed, and doubled, when it is not.
    fn held_back_until(&mut self, place: u8, cx: &Context<'_>) -> Option<SimTime> {
        let (settings, now) = (&cx.view.settings.kubelet, cx.view.now);
        let killed = self.active().killed.contains(&place);
        let run = self.run(place);
        let exists = run.exists;
        let past = run.past.as_deref_mut().filter(|_| exists)?;
        let seen = if killed { past.before? } else { past.latest };
        let until = Backoff::holds_until(past.backoff, seen.finished, settings);
        if until.is_some_and(|until| now < until) {
            return until;
        }
        past.backoff = Some(Backoff::next(past.backoff, seen.finished, now, settings));
        None
    }

    /// Upstream: EnsureImageExists in pkg/kubelet/images/image_manager.go.
    fn begin_image(&mut self, place: u8, cx: &mut Context<'_>) -> Begun {
        let container = self.spec(cx.pod, place);
        let image = &container.image;
        match cx.node.images.look(image, container.image_pull_policy) {
            Presence::Present => {
                let message = format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
                self.event(false, "Pulled", message, cx);
                return self.make(place, cx);
            }
            Presence::Never => {
                let message = format!("Container image \"{image}\" is not present with pull policy of Never");
                self.event(true, "ErrImageNeverPull", message, cx);
                return self.image_failed(place, "ErrImageNeverPull", cx);
            }
            Presence::Absent => {}
        }
        let settings = &cx.view.settings.kubelet;
        let backoff = self.runs[place as usize].busy.as_ref().and_then(|busy| busy.pull_backoff);
        if Backoff::holds_since_update(backoff, cx.now(), settings) {
            self.event(false, "BackOff", format!("Back-off pulling image \"{image}\""), cx);
            return self.image_failed(place, "ImagePullBackOff", cx);
        }
        let Some(request) = self.request_image(image, cx) else { return Begun::Failed };
        self.event(false, "Pulling", format!("Pulling image \"{image}\""), cx);
        cx.node.images.pull(request);
        cx.node.pulls_changed = true;
        self.active().pulls = true;
        Begun::TakesTime
    }

    /// A given time holds before a known size, and that before the default time.
    fn request_image(&self, image: &Str, cx: &Context<'_>) -> Option<Request> {
        let settings = &cx.view.settings.kubelet;
        let node = cx.view.store.nodes.get(self.node)?;
        // Keyed by node and image: whichever pod asks first, the pull takes the same time.
        let entity = crate::random::entity(&format!("{}/{image}", node.meta.name));
        let draw = |law: &Distribution| law.sample(&mut cx.view.streams.stream(Purpose::ImagePull, entity));
        let size = cx.catalog.size(image);
        let whole = match (&self.behavior.image_pull, size) {
            (Some(law), _) => Work::Time(draw(law)),
            (None, Some(bytes)) => Work::Bytes(bytes),
            (None, None) => Work::Time(draw(&settings.default_image_pull)),
        };
        Some(Request {
            pod: cx.id,
            image: image.clone(),
            whole,
            check: draw(&settings.image_check),
            size: size.unwrap_or(settings.default_image_size_bytes),
            fails: self.behavior.image_pull_error.is_some(),
            asked: cx.now(),
        })
    }

    fn image_failed(&mut self, place: u8, reason: &'static str, cx: &mut Context<'_>) -> Begun {
        self.event(true, "Failed", format!("Error: {reason}"), cx);
        self.run(place).busy().reason = Some(reason);
        Begun::Failed
    }

    fn take_time(&mut self, until: SimTime, timer: KubeletTimer, cx: &mut Context<'_>) -> Begun {
        let step = self.timer(until, timer, cx);
        self.active().step = step;
        Begun::TakesTime
    }

    /// The pull is over.
    pub(super) fn pulled(&mut self, ended: &Ended, cx: &mut Context<'_>) {
        self.active().pulls = false;
        let Some(place) = self.active().queue.pop() else { return };
        let begun = self.end_pull(place, ended, cx);
        self.begun(place, begun, cx);
        self.say(cx);
        self.settle();
    }

    /// The pod is to end: its pull is given up, and with it the sync.
    pub(super) fn give_up_pull(&mut self, cx: &mut Context<'_>) {
        self.active().pulls = false;
        cx.node.pulls_changed |= cx.node.images.cancel(cx.id);
        if let Some(place) = self.active().queue.pop() {
            self.pull_failed(place, "rpc error: code = Canceled desc = context canceled", cx);
        }
        self.active().queue.clear();
        self.active().outcome.failed = true;
        self.end_sync(false, cx);
    }

    /// The container has been created and started.
    pub(super) fn made(&mut self, cx: &mut Context<'_>) {
        let Some(place) = self.active().queue.pop() else { return };
        let begun = self.start(place, cx);
        self.begun(place, begun, cx);
    }

    /// Upstream: startContainer in kuberuntime_container.go: a hook that failed costs the container its life.
    pub(super) fn post_start_over(&mut self, cx: &mut Context<'_>) {
        let Some(place) = self.active().queue.last().copied() else { return };
        let container = self.spec(cx.pod, place);
        let fails = Self::process(&self.behavior, container, self.is_init(place)).post_start_fails;
        if fails && self.run(place).is_alive() {
            self.event(true, "FailedPostStartHook", "PostStartHook failed".to_owned(), cx);
            self.kill_for_hook(place, cx);
            return;
        }
        self.end_hook();
        self.active().queue.pop();
        if self.run(place).is_alive() {
            self.begin_probes(place, cx);
            self.tidy(place, cx.now());
        }
        self.begun(place, if fails { Begun::Failed } else { Begun::Done }, cx);
    }

    /// The container that was killed for its hook has stopped.
    pub(super) fn hook_failed(&mut self, place: u8, cx: &mut Context<'_>) {
        self.end_hook();
        self.active().queue.pop();
        self.run(place).busy().reason = Some("PostStartHookError");
        self.begun(place, Begun::Failed, cx);
    }

    fn end_hook(&mut self) {
        self.active().hooks = false;
        self.unsaid = true;
    }

    fn begun(&mut self, place: u8, begun: Begun, cx: &mut Context<'_>) {
        match begun {
            Begun::Done => self.go_on(cx),
            Begun::TakesTime => self.active().queue.push(place),
            Begun::Failed => {
                self.start_failed(place, cx.pod);
                self.go_on(cx);
            }
        }
    }

    fn end_pull(&mut self, place: u8, ended: &Ended, cx: &mut Context<'_>) -> Begun {
        if ended.refused {
            return self.pull_failed(place, "pull QPS exceeded", cx);
        }
        if let Some(error) = self.behavior.image_pull_error.clone() {
            return self.pull_failed(place, &error, cx);
        }
        let Request { image, size, asked, .. } = &ended.request;
        let (takes, waited) = (go_duration(ended.took), go_duration(cx.now().since(*asked)));
        let message = format!("Successfully pulled image \"{image}\" in {takes} ({waited} including waiting). Image size: {size} bytes.");
        self.event(false, "Pulled", message, cx);
        self.make(place, cx)
    }

    fn pull_failed(&mut self, place: u8, error: &str, cx: &mut Context<'_>) -> Begun {
        let (image, now) = (&self.spec(cx.pod, place).image, cx.now());
        self.event(true, "Failed", format!("Failed to pull image \"{image}\": {error}"), cx);
        let settings = &cx.view.settings.kubelet;
        let busy = self.run(place).busy();
        busy.pull_backoff = Some(Backoff::next(busy.pull_backoff, now, now, settings));
        self.image_failed(place, "ErrImagePull", cx)
    }

    /// The image is there: the container is created and started.
    fn make(&mut self, place: u8, cx: &mut Context<'_>) -> Begun {
        let next = self.runs[place as usize].next_restarts();
        let takes = cx.draw(Purpose::ContainerStart, place, next, &cx.view.settings.kubelet.container_start);
        if takes.is_zero() {
            return self.start(place, cx);
        }
        self.take_time(cx.now() + takes, KubeletTimer::Started, cx)
    }

    /// The container runs from now on.
    fn start(&mut self, place: u8, cx: &mut Context<'_>) -> Begun {
        self.event(false, "Created", "Container created".to_owned(), cx);
        self.event(false, "Started", "Container started".to_owned(), cx);
        let now = cx.now();
        let behavior = self.behavior.clone();
        let process = Self::process(&behavior, self.spec(cx.pod, place), self.is_init(place));
        self.active().outcome.acted = true;
        let run = self.run(place);
        let restarts = run.next_restarts();
        (run.restarts, run.exists, run.counted) = (restarts, true, false);
        run.state = State::Running { started: now };
        (run.started, run.ready) = (false, false);
        run.busy = Some(Box::new(Busy { answers_at: now, ..Busy::default() }));
        if let Some(law) = &process.ready_after {
            self.run(place).busy().answers_at = now + cx.draw(Purpose::ReadyAfter, place, restarts, law);
        }
        self.plan_exit(place, cx);
        cx.node.uses_changed |= process.is_described();
        if place == self.serving_place(cx.pod) && !process.never_ready {
            let answers_at = self.run(place).busy().answers_at;
            if answers_at == now {
                self.answers(place, cx);
            } else {
                let timer = self.timer(answers_at, KubeletTimer::Answers(place), cx);
                self.run(place).busy().answers = timer;
            }
        }
        self.unsaid = true;
        if let Some(takes) = self.post_start_takes(place, restarts, cx) {
            self.active().hooks = true;
            return self.take_time(now + takes, KubeletTimer::PostStartOver, cx);
        }
        self.begin_probes(place, cx);
        self.tidy(place, now);
        Begun::Done
    }

    /// How long the container's postStart hook keeps the kubelet; `None` without one.
    fn post_start_takes(&self, place: u8, restarts: u32, cx: &Context<'_>) -> Option<SimDuration> {
        let container = self.spec(cx.pod, place);
        let law = Self::process(&self.behavior, container, self.is_init(place)).post_start.as_ref();
        match (container.post_start.as_ref()?, law) {
            (LifecycleHandler::Sleep(sleep), _) => Some(*sleep),
            (LifecycleHandler::Other, Some(law)) => Some(cx.draw(Purpose::PostStart, place, restarts, law)),
            (LifecycleHandler::Other, None) => Some(SimDuration::ZERO),
        }
    }

    /// How a running container will end by itself, with the limits it has now; one that is told to stop does that.
    pub(super) fn plan_exit(&mut self, place: u8, cx: &mut Context<'_>) {
        let Run { state: State::Running { started }, restarts, .. } = self.runs[place as usize] else { return };
        let stopping = self.runs[place as usize].busy.as_ref().is_some_and(|busy| busy.stopping);
        if stopping || !self.run(place).is_alive() {
            return;
        }
        let behavior = self.behavior.clone();
        let process = Self::process(&behavior, self.spec(cx.pod, place), self.is_init(place));
        let is_plain_init = self.is_init(place) && !self.is_sidecar(cx.pod, place);
        let crash = process.crash.as_ref().filter(|crash| crash.times.is_none_or(|times| restarts < times));
        let exit = match crash {
            Some(crash) => Some((started + cx.draw(Purpose::Crash, place, restarts, &crash.after), crash.exit_code)),
            None => is_plain_init.then_some((started, 0)), // Init containers that nobody speaks of are done at once.
        };
        let exit = exit.map(|(at, code)| (at, code, false));
        let exit = exit.into_iter().chain(self.over_limit_at(place, started)).min_by_key(|(at, ..)| *at);
        let planned = self.runs[place as usize].busy.as_ref().filter(|busy| busy.exit.is_set()).map(|busy| busy.exit.due);
        match exit {
            Some((at, ..)) if Some(at) == planned => {}
            Some((at, code, over_limit)) => {
                let exit = self.timer(at.max(cx.now()), KubeletTimer::Exit(place), cx);
                let busy = self.run(place).busy();
                (busy.exit, busy.exit_code, busy.over_limit) = (exit, code, over_limit);
            }
            None if planned.is_some() => self.run(place).busy().exit = Default::default(),
            None => {}
        }
    }

    /// When a container that started then reaches its memory limit, and is killed for it.
    fn over_limit_at(&self, place: u8, started: SimTime) -> Option<(SimTime, i32, bool)> {
        let container = self.spec_of(&self.allocated, place);
        let uses = Self::process(&self.behavior, container, self.is_init(place)).memory.as_ref()?;
        let limit = container.limits.get(&ResourceName::Memory)?;
        Some((started + uses.first_at(*limit)?, SIGKILLED, true))
    }

    /// Upstream: computePodActions.
    fn actions(&self, pod: &Pod) -> Actions {
        let mut actions = Actions::default();
        if !self.sandbox {
            return self.actions_without_sandbox(pod);
        }
        if !self.init_actions(pod, &mut actions) {
            return actions;
        }
        let mut kept = false;
        for place in self.inits()..self.runs.len() as u8 {
            let run = &self.runs[place as usize];
            if !run.is_running() {
                if self.should_restart(pod, place) {
                    actions.start.push(place);
                }
            } else if self.restarts_to_resize(place) {
                actions.kill.push(place);
                actions.start.push(place);
            } else if run.busy.as_ref().is_some_and(|busy| busy.unhealthy.is_some()) {
                actions.kill.push(place);
                if restart_policy(pod, self.spec(pod, place)) != RestartPolicy::Never {
                    actions.start.push(place);
                }
            } else {
                kept = true;
            }
        }
        let starts_regular = actions.start.iter().any(|place| !self.is_init(*place));
        if !kept && !starts_regular {
            actions = Actions { kill_pod: self.runs.iter().any(Run::is_running), ..Actions::default() };
        }
        actions
    }

    fn actions_without_sandbox(&self, pod: &Pod) -> Actions {
        let done = |run: &Run| run.exists && run.state == State::Exited && run.latest().is_some_and(|end| end.exit_code == 0);
        let once = |place: u8| restart_policy(pod, self.spec(pod, place)) == RestartPolicy::OnFailure;
        let regular = (self.inits()..self.runs.len() as u8).filter(|place| !(once(*place) && done(&self.runs[*place as usize])));
        let start = if self.inits() > 0 { vec![0] } else { regular.collect() };
        Actions { create_sandbox: true, start, ..Actions::default() }
    }

    /// Upstream: computeInitContainerActions. Whether the pod is initialized.
    fn init_actions(&self, pod: &Pod, actions: &mut Actions) -> bool {
        let regular = &self.runs[self.inits() as usize..];
        let mut initialized = self.inits() == 0 || regular.iter().any(|run| run.exists && run.is_running());
        let mut later = initialized;
        for place in (0..self.inits()).rev() {
            let (run, is_sidecar) = (&self.runs[place as usize], self.is_sidecar(pod, place));
            if !run.exists {
                if later && is_sidecar {
                    actions.start.push(place);
                }
                continue;
            }
            if later && !is_sidecar {
                continue;
            }
            let is_last = place + 1 == self.inits();
            let done = match run.state {
                State::Running { .. } => {
                    if self.restarts_to_resize(place) || run.busy.as_ref().is_some_and(|busy| busy.unhealthy.is_some()) {
                        actions.kill.push(place);
                        actions.start.push(place);
                        false
                    } else {
                        is_sidecar && run.started
                    }
                }
                State::Exited if is_sidecar => {
                    actions.start.push(place);
                    false
                }
                State::Waiting | State::Exited => {
                    let done = run.latest().is_some_and(|end| end.exit_code == 0);
                    if !done {
                        actions.start.push(place); // Where it may not be, the pod has failed before.
                    }
                    done
                }
            };
            if done && is_last {
                initialized = true;
            } else if done && !later {
                actions.start.push(place + 1);
            }
            later = true;
        }
        if !later {
            actions.start.push(0);
        }
        actions.start.reverse();
        initialized
    }

    /// Whether a container that does not run is started. Upstream: pkg/kubelet/container/helpers.go.
    pub(super) fn should_restart(&self, pod: &Pod, place: u8) -> bool {
        let run = &self.runs[place as usize];
        match run.state {
            _ if pod.meta.is_deleting() => false,
            State::Running { .. } => false,
            State::Exited if run.exists => self.is_restartable(pod, place),
            State::Waiting | State::Exited => true,
        }
    }

    /// Whether a container that ended as it last did may be started again.
    pub(super) fn is_restartable(&self, pod: &Pod, place: u8) -> bool {
        let code = self.runs[place as usize].latest().map_or(0, |end| end.exit_code);
        let container = self.spec(pod, place);
        if container.restart_rule(code).is_some() || self.runs[place as usize].latest().is_some_and(|end| end.reason == RESTARTING_ALL) {
            return true;
        }
        match restart_policy(pod, container) {
            RestartPolicy::Always => !self.is_init(place) || self.is_sidecar(pod, place) || code != 0,
            RestartPolicy::OnFailure => code != 0,
            RestartPolicy::Never => false,
        }
    }
}

/// Reason of containers that are removed because all of the pod restart.
const RESTARTING_ALL: &str = "RestartingAllContainers";

/// How a start went on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    Done,
    TakesTime,
    Failed,
}

impl Run {
    /// What its next start will count.
    fn next_restarts(&self) -> u32 {
        self.restarts + u32::from(!self.counted && self.past.is_some())
    }
}

/// The container's own restart policy, or the pod's.
pub(super) fn restart_policy(pod: &Pod, container: &Container) -> RestartPolicy {
    if container.is_sidecar { RestartPolicy::Always } else { container.restart_policy.unwrap_or(pod.spec.restart_policy) }
}

/// The probe that decides whether a container lives.
pub(super) const fn deadly_probe(container: &Container, kind: ProbeKind) -> Option<&api::Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness | ProbeKind::Readiness => container.liveness_probe.as_ref(),
    }
}
