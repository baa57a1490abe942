//! Kubelets: what nodes do with the pods bound to them.
//!
//! [`Kubelets`] holds every node's side: a [`pod::Worker`] per bound pod and what a node has (images, what its
//! pods hold, power). News come in by [`Kubelets::changed`], timers by [`Kubelets::due`], the rest by name.
//!
//! Invariants:
//! - A healthy pod has no timer; all it keeps is its worker.
//! - A node without power does nothing; a stopped kubelet notices nothing, but containers live on.
//! - Status is written as a whole, by the pod's own kubelet only.
//!
//! Not here: leases and node conditions (`controllers::node_lifecycle`), what happens inside a process
//! (`traffic`), the API server's side of a deletion (`world`).

mod admission;
mod backoff;
mod behavior;
mod exit;
mod image_gc;
mod images;
mod memory;
mod pod;
mod preemption;
mod pressure;
mod probes;
mod pulls;
mod recorder;
mod resize;
mod shutdown;
mod signals;
mod status;
mod sync;
#[cfg(test)]
mod tests;
mod ticks;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Kind, Pod, SimTime, Str, Uid};
use rustc_hash::FxHashMap;

use crate::controllers::View;
use crate::effects::{Component, Effects, ProcessChange, Write};
use crate::event::{Event, KubeletTimer, ProbeKind};
use crate::spec::{Behavior, ImageCatalog};
use crate::store::{Change, NodeId, PodId};

pub(crate) use behavior::ResolvedBehavior;
pub(crate) use memory::qos_class;
pub(crate) use probes::shortest_timeout;

use admission::Held;
use behavior::Behaviors;
use images::Images;
use pod::{Context, Life, Worker};
use ticks::Ticks;

/// One node.
#[derive(Debug)]
struct NodeState {
    powered: bool,
    /// The kubelet's process runs.
    kubelet: bool,
    /// It reaches the API server.
    connected: bool,
    ticks: Ticks,
    images: Images,
    /// Bytes per second in which it pulls.
    bandwidth: i64,
    /// Pulls were asked for or given up since they were last looked at.
    pulls_changed: bool,
    looks_at_pulls: bool,
    held: Held,
    shutdown: Option<Box<shutdown::Shutdown>>,
    pressure: pressure::Pressure,
    image_gc: image_gc::ImageGc,
    /// A pod has stopped since the shutdown was last looked at.
    stopped: bool,
    /// What containers use has changed since that was last looked at.
    uses_changed: bool,
    /// Pods whose resize waits.
    resizes: BTreeSet<PodId>,
    /// The next look at them.
    resize_timer: u32,
    /// Room has come free since they were last looked at.
    room_made: bool,
    /// Critical pods for which others go.
    preempting: Vec<preemption::Preempting>,
    numbers: u32,
    /// Pods whose objects went while nobody could stop their processes.
    orphans: Vec<Uid>,
    /// Pods whose volumes are not there yet.
    waiting: BTreeSet<PodId>,
}

impl NodeState {
    const fn kubelet_works(&self) -> bool {
        self.powered && self.kubelet
    }
    /// It hears of news and is heard.
    const fn reaches_api(&self) -> bool {
        self.kubelet_works() && self.connected
    }
}

impl NodeState {
    fn new(ticks: Ticks, images: Images, bandwidth: i64) -> Self {
        Self {
            powered: true,
            kubelet: true,
            connected: true,
            ticks,
            images,
            bandwidth,
            pulls_changed: false,
            looks_at_pulls: false,
            held: Held::default(),
            shutdown: None,
            pressure: pressure::Pressure::default(),
            image_gc: image_gc::ImageGc::default(),
            stopped: false,
            uses_changed: false,
            resizes: BTreeSet::new(),
            resize_timer: 0,
            room_made: false,
            preempting: Vec::new(),
            numbers: 0,
            orphans: Vec::new(),
            waiting: BTreeSet::new(),
        }
    }
    /// Whether it looks at a pod that it does not have yet.
    fn takes_on(&self, pod: PodId) -> bool {
        self.reaches_api() && self.preempting.iter().all(|preempting| preempting.pod != pod)
    }
    /// A number for a timer of the node; never zero.
    const fn next_number(&mut self) -> u32 {
        self.numbers = if self.numbers == u32::MAX { 1 } else { self.numbers + 1 };
        self.numbers
    }
    /// Sets a timer of the node and gives its number.
    fn numbered(&mut self, at: SimTime, event: impl FnOnce(u32) -> Event, out: &mut Effects) -> u32 {
        let number = self.next_number();
        out.at(at, event(number));
        number
    }
}

/// All kubelets.
#[derive(Default, Debug)]
pub(crate) struct Kubelets {
    behaviors: Behaviors,
    catalog: ImageCatalog,
    nodes: BTreeMap<NodeId, NodeState>,
    workers: FxHashMap<PodId, Box<Worker>>,
}

impl Kubelets {
    pub(crate) fn new(behaviors: &[Behavior], catalog: &ImageCatalog) -> Self {
        Self { behaviors: Behaviors::new(behaviors), catalog: catalog.clone(), ..Self::default() }
    }

    /// What the scenario says of a pod that a kubelet has; for whoever wires its process to traffic.
    pub(crate) fn behavior(&self, pod: PodId) -> Option<&Arc<ResolvedBehavior>> {
        self.workers.get(&pod).map(|worker| &worker.behavior)
    }

    /// Bytes that the containers of a pod use, as the kubelet's summary tells them: what their behavior gives, else, for
    /// the container that answers requests, what traffic makes it use. Containers of which nobody says are left out.
    pub(crate) fn memory_in_use(&self, id: PodId, pod: &Pod, served_bytes: Option<i64>, now: SimTime) -> Vec<(Str, i64)> {
        let Some(worker) = self.workers.get(&id) else { return Vec::new() };
        let serving = worker.serving_place(pod);
        let of = |place: u8| {
            let (run, container) = (&worker.runs[place as usize], worker.spec(pod, place));
            let pod::State::Running { started } = run.state else { return None };
            let uses = Worker::process(&worker.behavior, container, worker.is_init(place)).memory.as_ref();
            let described = uses.map(|uses| uses.at(now.since(started)));
            let bytes = described.or(served_bytes.filter(|_| place == serving)).filter(|_| run.is_alive())?;
            Some((container.name.clone(), bytes))
        };
        worker.places().filter_map(of).collect()
    }

    /// The container whose process answers requests.
    pub(crate) fn serving_container(&self, id: PodId, pod: &Pod) -> Option<Str> {
        let worker = self.workers.get(&id)?;
        Some(worker.spec(pod, worker.serving_place(pod)).name.clone())
    }

    /// A watcher's news.
    pub(crate) fn changed(&mut self, change: &Change, view: View<'_>, out: &mut Effects) {
        match change {
            Change::PodAdded(id) | Change::PodModified(id, _) => self.pod_changed(*id, view, out),
            Change::PodDeleted(id, pod) => self.pod_deleted(*id, pod, view, out),
            Change::NodeAdded(id) => self.node_added(*id, view, out),
            Change::Object(Kind::PersistentVolume | Kind::PersistentVolumeClaim | Kind::VolumeAttachment, _) => {
                self.storage_changed(view, out)
            }
            Change::NodeDeleted(id, node) => self.node_deleted(*id, &node.meta.name, view, out),
            _ => {}
        }
    }

    /// Event::Kubelet: a timer has come. Without a working kubelet only what processes do by themselves happens.
    pub(crate) fn due(&mut self, id: PodId, timer: KubeletTimer, number: u32, view: View<'_>, out: &mut Effects) {
        let by_itself =
            matches!(timer, KubeletTimer::Exit(_) | KubeletTimer::Answers(_) | KubeletTimer::PreStopOver | KubeletTimer::ReadinessGates);
        self.with(id, view, out, |worker, cx| {
            if cx.node.powered && (cx.node.kubelet || by_itself) {
                worker.due(timer, number, cx);
            }
        });
    }

    /// The node loses power. Its processes say nothing any more; the world tells traffic so.
    pub(crate) fn node_down(&mut self, node: NodeId) {
        if let Some(state) = self.nodes.get_mut(&node) {
            state.powered = false;
            state.preempting.clear();
            (state.shutdown, state.pressure) = (None, pressure::Pressure::default());
            state.images.stop_pulls();
        }
    }

    /// The node has booted: its containers are made anew.
    pub(crate) fn node_up(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node).filter(|state| !state.powered) else { return };
        (state.powered, state.kubelet) = (true, true);
        restart_ticks(state, node, view);
        self.announce(node, true, view, out);
        self.report_images(node, view, out);
        self.stop_orphans(node, out);
        for id in self.pods_of(node, view) {
            self.with(id, view, out, Worker::reboot);
            self.pod_changed(id, view, out);
        }
    }

    /// The kubelet's process ends; containers live on.
    pub(crate) fn kubelet_stopped(&mut self, node: NodeId) {
        if let Some(state) = self.nodes.get_mut(&node) {
            state.kubelet = false;
            state.preempting.clear();
            state.images.stop_pulls();
        }
    }

    /// The kubelet runs again and takes up what happened meanwhile.
    pub(crate) fn kubelet_started(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node).filter(|state| !state.kubelet) else { return };
        state.kubelet = true;
        if !state.powered {
            return;
        }
        restart_ticks(state, node, view);
        self.announce(node, false, view, out);
        self.report_images(node, view, out);
        self.stop_orphans(node, out);
        for id in self.pods_of(node, view) {
            self.with(id, view, out, Worker::resume);
            self.pod_changed(id, view, out);
        }
    }

    /// The kubelet no longer reaches the API server. It goes on with the pods it has, unheard.
    pub(crate) fn cut_off(&mut self, node: NodeId) {
        if let Some(state) = self.nodes.get_mut(&node) {
            state.connected = false;
        }
    }

    /// The kubelet reaches the API server again: it hears what has changed and says what it could not.
    pub(crate) fn reconnected(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node).filter(|state| !state.connected) else { return };
        state.connected = true;
        if !state.kubelet_works() {
            return;
        }
        self.report_images(node, view, out);
        self.stop_orphans(node, out);
        for id in self.pods_of(node, view) {
            self.with(id, view, out, Worker::catch_up);
            self.pod_changed(id, view, out);
        }
    }

    /// A fault ends a running container: the one of this name, or the first. False when there is none running.
    pub(crate) fn kill_container(
        &mut self,
        id: PodId,
        container: Option<&Str>,
        exit_code: i32,
        reason: &'static str,
        view: View<'_>,
        out: &mut Effects,
    ) -> bool {
        let mut killed = false;
        self.with(id, view, out, |worker, cx| {
            if let Some(place) = worker.find(container, cx.pod).filter(|place| cx.node.powered && worker.runs[*place as usize].is_alive()) {
                worker.kill(place, exit_code, reason, cx);
                killed = true;
            }
        });
        killed
    }

    /// A fault makes a probe of the container of this name, or of the first, fail until the container is another.
    pub(crate) fn fail_probe(&mut self, id: PodId, container: Option<&Str>, kind: ProbeKind, view: View<'_>, out: &mut Effects) {
        self.with(id, view, out, |worker, cx| {
            if let Some(place) = worker.find(container, cx.pod) {
                worker.fail_probe(place, kind, cx);
            }
        });
    }

    /// Signal::Stressed: a probe of this pod that came after `since` could fail.
    pub(crate) fn stressed(&mut self, pod: Uid, since: SimTime, view: View<'_>, out: &mut Effects) {
        self.with_uid(pod, view, out, |worker, cx| worker.stressed(since, cx));
    }

    /// Signal::Relieved: no probe of this pod can fail any more.
    pub(crate) fn relieved(&mut self, pod: Uid, view: View<'_>, out: &mut Effects) {
        self.with_uid(pod, view, out, Worker::relieved);
    }

    /// Signal::ProbeAnswered.
    pub(crate) fn probe_answered(&mut self, pod: Uid, container: u8, kind: ProbeKind, ok: bool, view: View<'_>, out: &mut Effects) {
        self.with_uid(pod, view, out, |worker, cx| {
            if cx.node.kubelet_works() {
                worker.probe_answered(container, kind, ok, cx);
            }
        });
    }

    fn with_uid(&mut self, pod: Uid, view: View<'_>, out: &mut Effects, then: impl FnOnce(&mut Worker, &mut Context<'_>)) {
        if let Some((id, _)) = view.store.pod_by_uid(pod) {
            self.with(id, view, out, then);
        }
    }

    /// Runs something on a worker whose pod and node are there.
    fn with(&mut self, id: PodId, view: View<'_>, out: &mut Effects, then: impl FnOnce(&mut Worker, &mut Context<'_>)) {
        if let (Some(worker), Some(pod)) = (self.workers.get_mut(&id), view.store.pods.get(id))
            && let Some(node) = self.nodes.get_mut(&worker.node)
        {
            then(worker, &mut Context { id, pod, node, catalog: &self.catalog, view, out });
            let id = worker.node;
            self.after(id, view, out);
        }
    }

    /// What a worker did may matter to its node.
    fn after(&mut self, id: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (stopped, pulls) = (std::mem::take(&mut node.stopped), std::mem::take(&mut node.pulls_changed));
        if std::mem::take(&mut node.uses_changed) {
            self.plan_pressure(id, view, out);
        }
        if pulls {
            self.pulls_go_on(id, view, out);
        }
        if stopped {
            self.shutdown_goes_on(id, view, out);
            self.preemption_goes_on(id, view, out);
        }
        if self.nodes.get(&id).is_some_and(|node| node.room_made && !node.resizes.is_empty()) {
            self.retry_resizes(id, view, out);
        }
    }

    fn pods_of(&self, node: NodeId, view: View<'_>) -> Vec<PodId> {
        let name = view.store.nodes.get(node).map(|node| node.meta.name.clone());
        name.map_or_else(Vec::new, |name| view.store.pods_on(&name).map(|(id, _)| id).collect())
    }

    fn pod_changed(&mut self, id: PodId, view: View<'_>, out: &mut Effects) {
        let Some(pod) = view.store.pods.get(id) else { return };
        let Some(name) = &pod.node_name else { return };
        self.look_at_volumes(id, view, out);
        self.look_at_resources(id, pod, view, out);
        if let Some(worker) = self.workers.get(&id) {
            // Most news are this kubelet's own writes.
            let contradicted = worker.is_contradicted(pod);
            if pod.meta.is_deleting() || contradicted {
                self.with(id, view, out, |worker, cx| {
                    if !cx.node.reaches_api() {
                        return;
                    }
                    if cx.pod.meta.is_deleting()
                        && (worker.life != Life::Over || cx.pod.meta.deletion_grace != Some(api::SimDuration::ZERO))
                    {
                        worker.terminate(cx);
                    } else if contradicted {
                        (worker.unsaid, worker.reported.written) = (true, 0);
                        worker.say(cx);
                    }
                });
            }
            return;
        }
        let Some((node, _)) = view.store.node_by_name(name) else { return };
        if !pod.status.phase.is_terminal() && self.nodes.get(&node).is_some_and(|state| state.takes_on(id)) {
            self.admit(id, pod, node, view, out);
        }
    }

    fn admit(&mut self, id: PodId, pod: &Pod, node_id: NodeId, view: View<'_>, out: &mut Effects) {
        let behavior = self.behaviors.resolve(pod, view.store);
        let mut worker = Worker::new(pod, node_id, behavior, view.now);
        let (Some(node), Some(object)) = (self.nodes.get_mut(&node_id), view.store.nodes.get(node_id)) else { return };
        let others = view.store.pods_on(&object.meta.name).map(|(_, other)| other);
        let verdict = admission::check(pod, object, &node.held, others);
        let verdict = match node.turns_down(pod) {
            Some((reason, message)) => Err(admission::Refusal { reason: reason.to_owned(), message }),
            None => verdict,
        };
        let makes_room = verdict.is_err() && pod.spec.priority >= shutdown::CRITICAL && node.turns_down(pod).is_none();
        let others = view.store.pods_on(&object.meta.name).map(|(_, other)| other);
        let lacks = if makes_room { admission::lacks(pod, object, &node.held, others) } else { Vec::new() };
        let verdict = match lacks.is_empty() {
            true => verdict,
            false => match self.preempt(id, lacks, node_id, view, out) {
                Ok(()) => return,
                Err(why) => {
                    let message = format!(
                        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: {why}"
                    );
                    Err(admission::Refusal { reason: "UnexpectedAdmissionError".to_owned(), message })
                }
            },
        };
        let Some(node) = self.nodes.get_mut(&node_id) else { return };
        let mut cx = Context { id, pod, node, catalog: &self.catalog, view, out };
        if let Err(refusal) = verdict {
            worker.event(true, &refusal.reason, refusal.message, &mut cx);
            cx.write(Write::PodStatus(id, Box::new(status::refused(pod, &refusal.reason, view.now))));
            worker.life = Life::Over;
        } else {
            cx.node.held.add(&pod.spec);
            worker.held = true;
            if pod.meta.is_deleting() {
                worker.life = Life::Terminating;
            }
            worker.wake(&mut cx);
            worker.say(&mut cx);
            worker.settle();
        }
        self.workers.insert(id, Box::new(worker));
        self.after(node_id, view, out);
        self.with(id, view, out, |_, _| {}); // What the first sync has changed about the node.
    }

    /// The object is gone: as the kubelet wished, or by force, and then the processes have to follow.
    fn pod_deleted(&mut self, id: PodId, pod: &Pod, view: View<'_>, out: &mut Effects) {
        let Some(worker) = self.workers.remove(&id) else { return };
        let Some(node) = self.nodes.get_mut(&worker.node) else { return };
        node.waiting.remove(&id);
        node.pulls_changed |= node.images.cancel(id);
        let looked = SimTime::from_secs(view.now.as_secs() / image_gc::PERIOD.as_secs() * image_gc::PERIOD.as_secs());
        for container in pod.spec.init_containers.iter().chain(&pod.spec.containers) {
            node.images.released(&container.image, looked);
        }
        if worker.held {
            node.held.sub(&worker.allocated);
            node.room_made = true;
        }
        node.resizes.remove(&id);
        if worker.serving && node.reaches_api() {
            out.processes.push(ProcessChange::Removed(pod.meta.uid));
        } else if worker.serving {
            node.orphans.push(pod.meta.uid);
        }
        self.after(worker.node, view, out);
    }

    /// What a kubelet says of its node when it starts. Upstream: kubelet.go and kubelet_node_status.go.
    fn announce(&self, node: NodeId, rebooted: bool, view: View<'_>, out: &mut Effects) {
        let Some(object) = view.store.nodes.get(node) else { return };
        let name = &object.meta.name;
        let mut say = |warning: bool, reason: &str, message: String| {
            out.event(Component::Kubelet, warning, reason, format!("Node/{name}"), message);
        };
        say(false, "Starting", "Starting kubelet.".to_owned());
        for reason in ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"] {
            say(false, reason, format!("Node {name} status is now: {reason}"));
        }
        if rebooted {
            let boot = view.now.as_nanos();
            say(true, "Rebooted", format!("Node {name} has been rebooted, boot id: boot-{boot}"));
        }
    }

    fn stop_orphans(&mut self, node: NodeId, out: &mut Effects) {
        let orphans = self.nodes.get_mut(&node).map(|node| std::mem::take(&mut node.orphans)).unwrap_or_default();
        out.processes.extend(orphans.into_iter().map(ProcessChange::Removed));
    }

    fn node_added(&mut self, id: NodeId, view: View<'_>, out: &mut Effects) {
        if let Some(object) = view.store.nodes.get(id) {
            let ticks = if object.meta.creation == SimTime::ZERO {
                Ticks::of_old(&object.meta.name, view.streams)
            } else {
                Ticks::of_new(&object.meta.name, view.streams, view.now)
            };
            let images = Images::new(&object.status.images);
            let bandwidth = self.catalog.bandwidth(&object.spec.provider_id).unwrap_or(view.settings.kubelet.image_pull_bandwidth_bytes);
            self.nodes.entry(id).or_insert_with(|| NodeState::new(ticks, images, bandwidth));
        }
        for pod in self.pods_of(id, view) {
            // A node of this name may have been there before: its pods are another machine's now.
            if let Some(worker) = self.workers.get_mut(&pod)
                && worker.node != id
            {
                worker.node = id;
                if worker.held
                    && let Some(node) = self.nodes.get_mut(&id)
                {
                    node.held.add(&worker.allocated);
                }
                self.with(pod, view, out, Worker::reboot);
            }
            self.pod_changed(pod, view, out);
        }
    }

    /// The machine is gone with its node.
    fn node_deleted(&mut self, id: NodeId, name: &Str, view: View<'_>, out: &mut Effects) {
        let Some(node) = self.nodes.remove(&id) else { return };
        out.processes.extend(node.orphans.into_iter().map(ProcessChange::Removed));
        for (pod, _) in view.store.pods_on(name) {
            if let Some(worker) = self.workers.get_mut(&pod).filter(|worker| worker.node == id && worker.serving) {
                worker.serving = false;
                out.processes.push(ProcessChange::Stopped(pod));
            }
        }
    }
}

/// A kubelet that starts begins with a list of the PLEG.
fn restart_ticks(state: &mut NodeState, node: NodeId, view: View<'_>) {
    if let Some(object) = view.store.nodes.get(node) {
        state.ticks = Ticks::of_new(&object.meta.name, view.streams, view.now);
    }
}
