//! In-place resize: a running pod gets other requests and limits.
//!
//! Upstream: pkg/kubelet/allocation/allocation_manager.go (who gets what, and in which order those wait who get
//! nothing yet), kuberuntime_manager.go (computePodResizeAction, doPodResizeAction) and kubelet.go (SyncPod).
//!
//! Invariants:
//! - What a pod holds of its node is what is allocated to it, not what its spec asks for.
//! - A resize that does not fit waits (PodResizePending, Deferred) and is tried again every three minutes, and when a
//!   pod of the node goes or another resize is done.
//! - Containers get what is allocated in the pod's next sync; those whose resizePolicy says so are started anew.
//!
//! Not here: what the API server refuses (`world::resize`). Not modelled: resizes that are infeasible because of swap or
//! a static cpu or memory manager, making room by preemption, resizes of pod-level resources.

use std::fmt::Write as _;
use std::sync::Arc;

use api::{Container, Pod, PodSpec, Quantity, ResourceList, ResourceName, SimDuration, SimTime};

use super::memory::{QosClass, qos_class};
use super::pod::{Context, Life, State, Worker};
use super::{Kubelets, admission};
use crate::controllers::View;
use crate::effects::{Effects, ProcessChange};
use crate::event::{Event, NodeTimer};
use crate::store::{NodeId, PodId};

/// From one look at resizes that wait to the next.
const RETRY_DELAY: SimDuration = SimDuration::from_secs(180);

/// What is kept of a pod that was ever resized.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Resize {
    /// What running containers still have, while it is not what is allocated.
    applied: Option<Arc<PodSpec>>,
    /// What is asked for does not fit: since when, and of which generation.
    pending: Option<(SimTime, u64)>,
    /// Of this generation, until the sync after the last container has it.
    in_progress: Option<u64>,
}

const RESIZED: [ResourceName; 2] = [ResourceName::Cpu, ResourceName::Memory];

/// Whether two containers have the same cpu and memory.
fn is_same(one: &Container, other: &Container) -> bool {
    RESIZED.iter().all(|name| one.requests.get(name) == other.requests.get(name) && one.limits.get(name) == other.limits.get(name))
}

/// Resources of which a container has other amounts than before.
fn changed<'a>(one: &'a Container, other: &'a Container) -> impl Iterator<Item = &'a ResourceName> {
    let differs =
        |name: &&ResourceName| one.requests.get(*name) != other.requests.get(*name) || one.limits.get(*name) != other.limits.get(*name);
    RESIZED.iter().filter(differs)
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().chain(&spec.containers)
}

impl Kubelets {
    /// What is allocated to a pod, as far as its kubelet has it.
    pub(crate) fn allocated(&self, pod: PodId) -> Option<&Arc<PodSpec>> {
        self.workers.get(&pod).map(|worker| &worker.allocated)
    }

    /// News of a pod: it may ask for other resources than it has.
    pub(super) fn look_at_resources(&mut self, id: PodId, pod: &Pod, view: View<'_>, out: &mut Effects) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(node) = self.nodes.get_mut(&worker.node).filter(|node| node.reaches_api()) else { return };
        if worker.asks_for_others(pod) {
            let generation = pod.meta.generation;
            if node.resizes.insert(id) || worker.resize.as_ref().is_none_or(|resize| resize.pending.is_some_and(|(_, of)| of != generation))
            {
                let node = worker.node;
                self.retry_resizes(node, view, out);
            }
        } else if node.resizes.remove(&id) {
            self.with(id, view, out, |worker, cx| worker.resize_withdrawn(cx));
        }
    }

    /// Gives resizes that wait what they ask for, as far as there is room.
    pub(super) fn retry_resizes(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        state.room_made = false;
        let mut waiting: Vec<(_, PodId)> = Vec::new();
        for id in state.resizes.clone() {
            match (self.workers.get(&id), view.store.pods.get(id)) {
                (Some(worker), Some(pod)) if worker.life == Life::Syncing && worker.asks_for_others(pod) => {
                    waiting.push((worker.turn(pod), id))
                }
                _ => drop(state.resizes.remove(&id)),
            }
        }
        waiting.sort();
        for (_, id) in &waiting {
            self.try_resize(*id, view, out);
        }
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let waits = !state.resizes.is_empty();
        let at = view.now + RETRY_DELAY;
        state.resize_timer = if waits { state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::Resizes, number), out) } else { 0 };
    }

    pub(super) fn resizes_due(&mut self, node: NodeId, number: u32, view: View<'_>, out: &mut Effects) {
        if self.nodes.get(&node).is_some_and(|state| state.resize_timer == number && state.reaches_api()) {
            self.retry_resizes(node, view, out);
        }
    }

    /// Upstream: handlePodResourcesResize.
    fn try_resize(&mut self, id: PodId, view: View<'_>, out: &mut Effects) {
        let (Some(worker), Some(pod)) = (self.workers.get(&id), view.store.pods.get(id)) else { return };
        let (Some(object), Some(node)) = (view.store.nodes.get(worker.node), self.nodes.get(&worker.node)) else { return };
        let mut held = node.held.clone();
        held.sub(&worker.allocated);
        let verdict = admission::check_resources(pod, object, &held);
        self.with(id, view, out, |worker, cx| match verdict {
            Ok(()) => worker.resize_begins(cx),
            Err(refusal) => worker.resize_waits(&refusal, cx),
        });
    }
}

impl Worker {
    /// Whether the pod's spec asks for other amounts than are allocated to it.
    fn asks_for_others(&self, pod: &Pod) -> bool {
        !Arc::ptr_eq(&self.allocated, &pod.spec)
            && self.life == Life::Syncing
            && !containers(&self.allocated).zip(containers(&pod.spec)).all(|(has, wants)| is_same(has, wants))
    }

    /// Whose resize comes first: those that ask for less, then by priority, quality of service and time of waiting.
    /// Upstream: sortPendingResizes.
    fn turn(&self, pod: &Pod) -> (bool, std::cmp::Reverse<i32>, bool, SimTime) {
        let (has, wants) = (self.allocated.requests(), pod.spec.requests());
        let more = wants.cpu_millis > has.cpu_millis || wants.memory_bytes > has.memory_bytes;
        let since = self.resize.as_ref().and_then(|resize| resize.pending).map_or(SimTime::MAX, |(since, _)| since);
        (more, std::cmp::Reverse(pod.spec.priority), qos_class(pod) != QosClass::Guaranteed, since)
    }

    fn resize_begins(&mut self, cx: &mut Context<'_>) {
        cx.node.held.sub(&self.allocated);
        cx.node.held.add(&cx.pod.spec);
        cx.node.resizes.remove(&cx.id);
        let before = std::mem::replace(&mut self.allocated, cx.pod.spec.clone());
        let generation = cx.pod.meta.generation;
        let resize = self.resize.get_or_insert_default();
        resize.applied.get_or_insert(before);
        (resize.pending, resize.in_progress) = (None, Some(generation));
        let message = format!("Pod resize started: {}", summary(&cx.pod.spec, generation, ""));
        self.event(false, "ResizeStarted", message, cx);
        self.resize_changed(cx);
    }

    fn resize_waits(&mut self, refusal: &admission::Refusal, cx: &mut Context<'_>) {
        let (generation, now) = (cx.pod.meta.generation, cx.now());
        let resize = self.resize.get_or_insert_default();
        let before = resize.pending.replace((resize.pending.map_or(now, |(since, _)| since), generation));
        if before.is_none_or(|(_, of)| of != generation) {
            let summary = summary(&cx.pod.spec, generation, &refusal.message);
            self.event(true, "ResizeDeferred", format!("Pod resize {}: {summary}", refusal.reason), cx);
            self.resize_changed(cx);
        }
    }

    /// The spec asks for what is allocated again.
    fn resize_withdrawn(&mut self, cx: &mut Context<'_>) {
        if let Some(resize) = &mut self.resize {
            resize.pending = None;
            self.resize_changed(cx);
        }
    }

    fn resize_changed(&mut self, cx: &mut Context<'_>) {
        self.unsaid = true;
        self.wake(cx);
        self.say(cx);
        self.settle();
    }

    /// The begin of a sync: a resize that all containers have is over.
    pub(super) fn complete_resize(&mut self, cx: &mut Context<'_>) {
        let Some(resize) = self.resize.as_mut().filter(|resize| resize.applied.is_none()) else { return };
        if let Some(generation) = resize.in_progress.take() {
            let message = format!("Pod resize completed: {}", summary(&self.allocated, generation, ""));
            self.event(false, "ResizeCompleted", message, cx);
            cx.node.room_made = true;
        }
    }

    /// Containers that have to be started anew to get what is allocated to them.
    pub(super) fn restarts_to_resize(&self, place: u8) -> bool {
        let Some(before) = self.resize.as_ref().and_then(|resize| resize.applied.as_ref()) else { return false };
        let (Some(has), Some(wants)) = (containers(before).nth(place.into()), containers(&self.allocated).nth(place.into())) else {
            return false;
        };
        self.runs[place as usize].is_running() && changed(has, wants).any(|name| wants.restarts_on_resize.contains(name))
    }

    /// Running containers get what is allocated to them, unless a limit of memory would lie below what is in use.
    /// Whether anything could not be done. Upstream: doPodResizeAction, validateMemoryResizeAction.
    pub(super) fn apply_resources(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(before) = self.resize.as_ref().and_then(|resize| resize.applied.clone()) else { return false };
        let mut errors = Vec::new();
        for (has, (place, wants)) in containers(&before).zip(self.places().zip(containers(&self.allocated.clone()))) {
            let limit = |container: &Container| container.limits.get(&ResourceName::Memory).copied();
            let (Some(used), Some(wanted)) = (self.memory_of(place, cx), limit(wants)) else { continue };
            if limit(has).is_none_or(|had| wanted < had) && used >= wanted && !self.restarts_to_resize(place) {
                let name = &wants.name;
                errors.push(format!("attempting to set container \"{name}\" memory limit ({wanted}) below current usage ({used})"));
            }
        }
        if !errors.is_empty() {
            let error = match &errors[..] {
                [one] => format!("cannot decrease memory limits: {one}"),
                all => format!("cannot decrease memory limits: [{}]", all.join(", ")),
            };
            let generation = self.resize.as_ref().and_then(|resize| resize.in_progress).unwrap_or_default();
            let summary = summary(&self.allocated, generation, &error);
            self.event(true, "ResizeError", format!("Pod resize error: {summary}"), cx);
            return true;
        }
        if let Some(resize) = &mut self.resize {
            resize.applied = None;
        }
        for place in self.places() {
            self.plan_exit(place, cx);
        }
        if self.serving {
            cx.out.processes.push(ProcessChange::Resized(cx.id));
        }
        self.active().outcome.acted = true;
        self.unsaid = true;
        false
    }

    /// Bytes that a container uses now, as far as somebody says so.
    fn memory_of(&self, place: u8, cx: &Context<'_>) -> Option<i64> {
        let State::Running { started } = self.runs[place as usize].state else { return None };
        let uses = Self::process(&self.behavior, self.spec(cx.pod, place), self.is_init(place)).memory.as_ref()?;
        Some(uses.at(cx.view.now.since(started)))
    }

    /// Whether the conditions PodResizePending and PodResizeInProgress hold.
    pub(super) fn resize_conditions(&self) -> (bool, bool) {
        let resize = self.resize.as_deref();
        (resize.is_some_and(|resize| resize.pending.is_some()), resize.is_some_and(|resize| resize.in_progress.is_some()))
    }

    /// Requests that a container has, and that are allocated to it; once the pod was resized.
    pub(super) fn reported_requests(&self, place: u8) -> Option<(ResourceList, ResourceList)> {
        let resize = self.resize.as_deref()?;
        let of = |spec: &PodSpec| containers(spec).nth(place.into()).map(|container| container.requests.clone());
        Some((of(resize.applied.as_ref().unwrap_or(&self.allocated))?, of(&self.allocated)?))
    }
}

/// What events tell of a resize. Upstream: makeResourceSummaryFromSpec in pkg/kubelet/events/resize.go.
fn summary(spec: &PodSpec, generation: u64, error: &str) -> String {
    let list = |list: &ResourceList| {
        let shown = |(name, amount): (&ResourceName, &i64)| {
            let quantity = if *name == ResourceName::Cpu { Quantity::from_millis(*amount) } else { Quantity::from_units(*amount) };
            format!("\"{name}\":\"{quantity}\"")
        };
        list.iter().map(shown).collect::<Vec<_>>().join(",")
    };
    let container = |container: &Container| {
        let lists = [("limits", &container.limits), ("requests", &container.requests)];
        let lists: Vec<String> = lists
            .into_iter()
            .filter(|(_, amounts)| !amounts.is_empty())
            .map(|(name, amounts)| format!("\"{name}\":{{{}}}", list(amounts)))
            .collect();
        format!("{{\"name\":\"{}\",\"resources\":{{{}}}}}", container.name, lists.join(","))
    };
    let mut text = "{".to_owned();
    for (name, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        if !containers.is_empty() {
            let all: Vec<String> = containers.iter().map(container).collect();
            let _ = write!(text, "\"{name}\":[{}],", all.join(","));
        }
    }
    let _ = write!(text, "\"generation\":{generation}");
    if !error.is_empty() {
        let _ = write!(text, ",\"error\":\"{}\"", error.replace('"', "\\\""));
    }
    text + "}"
}
