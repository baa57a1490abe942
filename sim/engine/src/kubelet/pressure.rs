//! The eviction manager: when a node runs short of memory, pods are evicted one by one; when it has none left, the
//! kernel kills.
//!
//! Upstream: pkg/kubelet/eviction. It looks every ten seconds; what it would see is worked out ahead, so that a node
//! whose memory nobody describes, or that has enough, costs no event.
//!
//! Invariants:
//! - One pod at a time: the next look comes when the last one's containers are gone (at most 30 s later).
//! - The MemoryPressure condition stays for the transition period after it was last seen.
//!
//! Not modelled: signals other than memory.available, soft thresholds, memory of pods whose behavior gives none.

use api::{Pod, ResourceName, SimDuration, SimTime, TaintEffect};

use super::memory::{QosClass, binary_si, oom_score_adj, qos_class};
use super::pod::{Ending, Life, SIGKILLED, State};
use super::shutdown::CRITICAL;
use super::{Kubelets, NodeState};
use crate::controllers::View;
use crate::effects::{Component, Effects, Write};
use crate::event::{Event, NodeTimer};
use crate::spec::MemoryUse;
use crate::store::{NodeId, PodId};

/// Upstream: evictionMonitoringPeriod in pkg/kubelet/kubelet.go.
const MONITORING_PERIOD: SimDuration = SimDuration::from_secs(10);
/// While an evicted pod is cleaned up. Upstream: podCleanupPollFreq and podCleanupTimeout.
const CLEANUP_POLL: SimDuration = SimDuration::from_secs(1);
const CLEANUP_TIMEOUT: SimDuration = SimDuration::from_secs(30);
/// Grace of a pod evicted for a hard threshold. Upstream: immediateEvictionGracePeriodSeconds.
const HARD_GRACE: SimDuration = SimDuration::from_secs(1);

/// What the eviction manager of a node remembers.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pressure {
    timer: u32,
    out_of_memory: u32,
    /// The threshold is crossed, and what was reclaimed does not suffice yet.
    met: bool,
    /// When the threshold was last seen crossed, while the condition is True.
    observed: Option<SimTime>,
    evicted: Option<(PodId, SimTime)>,
}

impl Pressure {
    pub(super) const fn is_condition(&self) -> bool {
        self.observed.is_some()
    }
}

/// A container whose memory is known.
struct User<'a> {
    pod: PodId,
    place: u8,
    started: SimTime,
    uses: &'a MemoryUse,
    request: i64,
}

/// A node's memory: capacity, and what the system takes of it.
#[derive(Clone, Copy)]
struct Room {
    capacity: i64,
    system: i64,
    threshold: i64,
}

impl Room {
    fn available(self, users: &[User<'_>], at: SimTime) -> i64 {
        self.capacity - self.system - users.iter().map(|user| user.uses.at(at.since(user.started))).sum::<i64>()
    }
}

impl Kubelets {
    /// A kubelet's timer for its node has come.
    pub(crate) fn node_due(&mut self, node: NodeId, timer: NodeTimer, number: u32, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get(&node) else { return };
        let (works, pressure) = (state.kubelet_works(), state.pressure);
        match timer {
            NodeTimer::Shutdown => self.shutdown_due(node, number, view, out),
            NodeTimer::Pressure if pressure.timer == number && works => self.synchronize(node, view, out),
            NodeTimer::OutOfMemory if pressure.out_of_memory == number && state.powered => self.kernel_kills(node, view, out),
            NodeTimer::Pressure | NodeTimer::OutOfMemory => {}
        }
    }

    /// Containers of known memory that run on the node.
    fn users<'a>(&'a self, node: NodeId, view: View<'a>) -> Vec<User<'a>> {
        let mut users = Vec::new();
        for id in self.pods_of(node, view) {
            let (Some(worker), Some(pod)) = (self.workers.get(&id), view.store.pods.get(id)) else { continue };
            for place in worker.places() {
                let run = &worker.runs[place as usize];
                let container = worker.spec(pod, place);
                let uses = super::pod::Worker::process(&worker.behavior, container, worker.is_init(place)).memory.as_ref();
                if let (State::Running { started }, Some(uses), true) = (run.state, uses, run.is_alive()) {
                    let request = container.requests.get(&ResourceName::Memory).copied().unwrap_or(0);
                    users.push(User { pod: id, place, started, uses, request });
                }
            }
        }
        users
    }

    fn room(node: NodeId, view: View<'_>) -> Option<Room> {
        let status = &view.store.nodes.get(node)?.status;
        let of = |list: &api::ResourceList| list.get(&ResourceName::Memory).copied();
        let threshold = view.settings.kubelet.eviction_hard_memory_available_bytes;
        let allocatable = of(&status.allocatable)?;
        let capacity = of(&status.capacity).unwrap_or(allocatable);
        // What is neither allocatable nor kept free is the system's.
        Some(Room { capacity, system: (capacity - allocatable - threshold).max(0), threshold })
    }

    /// Something that uses memory has started or ended: when will there be too little?
    pub(super) fn plan_pressure(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(room) = Self::room(node, view) else { return };
        let users = self.users(node, view);
        let settings = &view.settings.kubelet;
        let (short, empty) = (first_below(room, &users, room.threshold, view.now), first_below(room, &users, 0, view.now));
        let Some(state) = self.nodes.get(&node) else { return };
        let clears = state.pressure.observed.map(|seen| seen + settings.eviction_pressure_transition_period);
        let phase = state.ticks.sync_at(SimTime::ZERO);
        let busy = state.pressure.evicted.is_some() || state.pressure.met;
        let look = if busy { Some(view.now + CLEANUP_POLL) } else { [short, clears].into_iter().flatten().min() };
        let look = look.map(|at| if busy { at } else { at.max(view.now).next_on_grid(phase, MONITORING_PERIOD) });
        let Some(state) = self.nodes.get_mut(&node) else { return };
        state.pressure.timer = look.map_or(0, |at| state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::Pressure, number), out));
        state.pressure.out_of_memory =
            empty.map_or(0, |at| state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::OutOfMemory, number), out));
    }

    /// One look of the eviction manager.
    fn synchronize(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let (Some(room), Some(state)) = (Self::room(node, view), self.nodes.get(&node)) else { return };
        let mut pressure = state.pressure;
        if let Some((pod, since)) = pressure.evicted {
            let stopped = self.workers.get(&pod).is_none_or(|worker| worker.life == Life::Over);
            if !stopped && view.now.since(since) < CLEANUP_TIMEOUT {
                self.plan_pressure(node, view, out);
                return;
            }
            pressure.evicted = None;
        }
        let users = self.users(node, view);
        let available = room.available(&users, view.now);
        let reclaim = if pressure.met { view.settings.kubelet.eviction_minimum_reclaim_memory_bytes } else { 0 };
        pressure.met = available < room.threshold + reclaim;
        let had = pressure.is_condition();
        if pressure.met {
            pressure.observed = Some(view.now);
        } else if pressure.observed.is_some_and(|seen| seen + view.settings.kubelet.eviction_pressure_transition_period <= view.now) {
            pressure.observed = None;
        }
        if had != pressure.is_condition() {
            say_condition(node, pressure.is_condition(), view, out);
        }
        let victim = if pressure.met { self.victim(node, &users, view) } else { None };
        if let Some(id) = victim {
            let message = eviction_message(room, available, id, &users, view);
            pressure.evicted = Some((id, view.now));
            if let Some(object) = view.store.nodes.get(node) {
                let name = format!("Node/{}", object.meta.name);
                out.event(Component::Kubelet, true, "EvictionThresholdMet", name, "Attempting to reclaim memory".to_owned());
            }
            drop(users);
            self.with(id, view, out, |worker, cx| {
                worker.event(true, "Evicted", message, cx);
                worker.end_by_kubelet(Ending { reason: "Evicted", grace: Some(HARD_GRACE), disrupts: true }, cx);
            });
        }
        if let Some(state) = self.nodes.get_mut(&node) {
            state.pressure = pressure;
        }
        self.plan_pressure(node, view, out);
    }

    /// The pod to evict: above its request before below, then by priority, then by use above request.
    fn victim(&self, node: NodeId, users: &[User<'_>], view: View<'_>) -> Option<PodId> {
        let candidates = self.pods_of(node, view).into_iter().filter_map(|id| {
            let (worker, pod) = (self.workers.get(&id)?, view.store.pods.get(id)?);
            let active = worker.life == Life::Syncing && pod.spec.priority < CRITICAL;
            let used: i64 = users.iter().filter(|user| user.pod == id).map(|user| user.uses.at(view.now.since(user.started))).sum();
            let above = used - pod.spec.requests().memory_bytes;
            active.then_some((above <= 0, pod.spec.priority, -above, id))
        });
        candidates.min().map(|(.., id)| id)
    }

    /// The node's memory is used up: the kernel kills the container with the highest score.
    fn kernel_kills(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(room) = Self::room(node, view) else { return };
        let users = self.users(node, view);
        let score = |user: &User<'_>| {
            let pod = view.store.pods.get(user.pod)?;
            let used = user.uses.at(view.now.since(user.started));
            Some(1000 * used / room.capacity.max(1) + oom_score_adj(pod, user.request, room.capacity))
        };
        let worst = users.iter().rev().max_by_key(|user| score(user)).map(|user| (user.pod, user.place));
        drop(users);
        if let Some((id, place)) = worst {
            self.with(id, view, out, |worker, cx| worker.kill(place, SIGKILLED, "OOMKilled", cx));
        }
        self.plan_pressure(node, view, out);
    }
}

/// When the available memory first falls below `least`, from `now` on.
fn first_below(room: Room, users: &[User<'_>], least: i64, now: SimTime) -> Option<SimTime> {
    let mut instants: Vec<SimTime> = users.iter().flat_map(|user| user.uses.bends(user.started, now)).collect();
    instants.push(now);
    instants.sort();
    instants.dedup();
    let mut before: Option<(SimTime, i64)> = None;
    for at in instants {
        let available = room.available(users, at);
        if available < least {
            let Some((from, more)) = before else { return Some(at) };
            // A straight line from one bend to the next; the first instant strictly below.
            let (span, fall) = (i128::from(at.since(from).as_nanos()), i128::from(more - available));
            let waits = span * i128::from(more - least) / fall + 1;
            return Some((from + SimDuration::from_nanos(waits as u64)).min(at));
        }
        before = Some((at, available));
    }
    None
}

fn say_condition(node: NodeId, pressure: bool, view: View<'_>, out: &mut Effects) {
    out.write(Component::Kubelet, Write::NodeMemoryPressure(node, pressure));
    if let Some(object) = view.store.nodes.get(node) {
        let reason = if pressure { "NodeHasInsufficientMemory" } else { "NodeHasSufficientMemory" };
        let name = &object.meta.name;
        out.event(Component::Kubelet, false, reason, format!("Node/{name}"), format!("Node {name} status is now: {reason}"));
    }
}

/// Upstream: evictionMessage.
fn eviction_message(room: Room, available: i64, id: PodId, users: &[User<'_>], view: View<'_>) -> String {
    let pages = |bytes: i64| binary_si(bytes & !4095); // Memory is counted in pages.
    let (threshold, available) = (binary_si(room.threshold), pages(available));
    let mut message = format!("The node was low on resource: memory. Threshold quantity: {threshold}, available: {available}. ");
    let Some(pod) = view.store.pods.get(id) else { return message };
    let inits = pod.spec.init_containers.len();
    for user in users.iter().filter(|user| user.pod == id) {
        let place = user.place as usize;
        let container = place.checked_sub(inits).map_or_else(|| &pod.spec.init_containers[place], |place| &pod.spec.containers[place]);
        let used = user.uses.at(view.now.since(user.started));
        if used > user.request {
            let (used, request) = (pages(used), binary_si(user.request));
            let name = &container.name;
            message += &format!("Container {name} was using {used}, request is {request}, has larger consumption of memory. ");
        }
    }
    message
}

impl NodeState {
    /// Whether the node is in a state in which it takes no such pod on, with reason and message.
    pub(super) fn turns_down(&self, pod: &Pod) -> Option<(&'static str, String)> {
        if self.shutdown.is_some() {
            return Some(("NodeShutdown", "Pod was rejected as the node is shutting down.".to_owned()));
        }
        let tolerates = || {
            let taint = api::Taint::new("node.kubernetes.io/memory-pressure", TaintEffect::NoSchedule);
            pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(&taint, false))
        };
        let passes =
            !self.pressure.is_condition() || pod.spec.priority >= CRITICAL || qos_class(pod) != QosClass::BestEffort || tolerates();
        (!passes).then(|| ("Evicted", "The node had condition: [MemoryPressure]. ".to_owned()))
    }
}
