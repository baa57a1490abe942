//! The eviction manager: when a node runs short of memory, disk or pids, images are deleted and pods are evicted, one
//! by one; when it has no memory left, the kernel kills.
//!
//! Upstream: pkg/kubelet/eviction/eviction_manager.go. It looks every ten seconds; what it would see is worked out
//! ahead, so that a node of which nobody describes what containers use, or that has enough, costs no event.
//!
//! Invariants:
//! - One pod at a time, but for pods beyond their own limits: the next look comes when their containers are gone (at
//!   most 30 s later).
//! - A condition stays for the transition period after its threshold was last seen crossed.
//!
//! Not modelled: what `signals` leaves out, the size limit of an emptyDir, memory of containers that answer requests.

use api::{Pod, SimDuration, SimTime, TaintEffect};

use super::memory::{QosClass, binary_si, oom_score_adj, qos_class};
use super::pod::{Ending, Life, SIGKILLED, State, Worker};
use super::shutdown::CRITICAL;
use super::signals::{Resource, Room, Threshold, User, first_below, thresholds};
use super::{Kubelets, NodeState};
use crate::controllers::View;
use crate::effects::{Component, Effects, NodePressure, Write};
use crate::event::{Event, NodeTimer};
use crate::store::{NodeId, PodId};

/// Upstream: evictionMonitoringPeriod in pkg/kubelet/kubelet.go.
const MONITORING_PERIOD: SimDuration = SimDuration::from_secs(10);
/// While evicted pods are cleaned up. Upstream: podCleanupPollFreq and podCleanupTimeout.
const CLEANUP_POLL: SimDuration = SimDuration::from_secs(1);
const CLEANUP_TIMEOUT: SimDuration = SimDuration::from_secs(30);
/// Grace of a pod evicted for a hard threshold. Upstream: immediateEvictionGracePeriodSeconds.
const HARD_GRACE: SimDuration = SimDuration::from_secs(1);

/// What the eviction manager of a node remembers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Pressure {
    timer: u32,
    out_of_memory: u32,
    /// By threshold: since when it has been crossed, or was and too little was reclaimed.
    first_seen: Vec<Option<SimTime>>,
    /// By threshold: it drives evictions.
    met: Vec<bool>,
    /// By resource: when a threshold was last seen crossed, while the condition is True.
    observed: [Option<SimTime>; 3],
    /// Pods evicted last, and when.
    evicted: Option<(Vec<PodId>, SimTime)>,
}

impl Pressure {
    pub(super) const fn is_condition(&self, resource: Resource) -> bool {
        self.observed[resource as usize].is_some()
    }
    fn conditions(&self) -> impl Iterator<Item = Resource> {
        Resource::ALL.into_iter().filter(|resource| self.is_condition(*resource))
    }
}

/// A threshold that drives evictions, and what is available.
struct Crossed {
    threshold: Threshold,
    least: i64,
    available: i64,
}

impl Kubelets {
    /// A kubelet's timer for its node has come.
    pub(crate) fn node_due(&mut self, node: NodeId, timer: NodeTimer, number: u32, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get(&node) else { return };
        let (works, pressure) = (state.kubelet_works(), &state.pressure);
        match timer {
            NodeTimer::Shutdown => self.shutdown_due(node, number, view, out),
            NodeTimer::Resizes => self.resizes_due(node, number, view, out),
            NodeTimer::ImagePull | NodeTimer::Images => self.images_due(node, timer, number, view, out),
            NodeTimer::ImageGc => self.image_gc_due(node, number, view, out),
            NodeTimer::Pressure if pressure.timer == number && works => self.synchronize(node, view, out),
            NodeTimer::OutOfMemory if pressure.out_of_memory == number && state.powered => self.kernel_kills(node, view, out),
            NodeTimer::Pressure | NodeTimer::OutOfMemory => {}
        }
    }

    /// Containers of a node that run, with what they use of a resource, as far as somebody says so.
    fn users<'a>(&'a self, resource: Resource, node: NodeId, view: View<'a>) -> Vec<User<'a>> {
        let mut users = Vec::new();
        for id in self.pods_of(node, view) {
            let (Some(worker), Some(pod)) = (self.workers.get(&id), view.store.pods.get(id)) else { continue };
            for place in worker.places() {
                let (run, container) = (&worker.runs[place as usize], worker.spec(pod, place));
                let uses = Worker::process(&worker.behavior, container, worker.is_init(place)).uses(resource);
                if let (State::Running { started }, Some(uses), true) = (run.state, uses, run.is_alive()) {
                    let request = resource.requested().and_then(|name| container.requests.get(&name).copied()).unwrap_or(0);
                    users.push(User { pod: id, place, started, uses, request });
                }
            }
        }
        users
    }

    /// How much of a resource the node has, and who uses it; `None` when nobody says how much it has.
    pub(super) fn room<'a>(&'a self, resource: Resource, node: NodeId, view: View<'a>) -> Option<Room<'a>> {
        let status = &view.store.nodes.get(node)?.status;
        let settings = &view.settings.kubelet;
        let (capacity, taken) = match resource {
            Resource::Memory => {
                let name = api::ResourceName::Memory;
                let allocatable = status.allocatable.get(&name).copied()?;
                let capacity = status.capacity.get(&name).copied().unwrap_or(allocatable);
                // What is neither allocatable nor kept free is the system's.
                let hard = thresholds(settings).into_iter().find(|threshold| threshold.resource() == resource && threshold.grace.is_none());
                (capacity, (capacity - allocatable - hard.map_or(0, |hard| hard.least(capacity))).max(0))
            }
            Resource::Storage => {
                let capacity = status.capacity.get(&api::ResourceName::EphemeralStorage).copied().filter(|capacity| *capacity > 0)?;
                (capacity, self.nodes.get(&node)?.images.bytes())
            }
            Resource::Pids => (settings.max_pids, 0),
        };
        Some(Room { capacity, taken, users: self.users(resource, node, view) })
    }

    /// What containers use has changed, or what is on disk: when will there be too little?
    pub(super) fn plan_pressure(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get(&node) else { return };
        let (settings, now, pressure) = (&view.settings.kubelet, view.now, &state.pressure);
        let rooms = Resource::ALL.map(|resource| self.room(resource, node, view));
        let crossed = thresholds(settings).into_iter().filter_map(|threshold| {
            let room = rooms[threshold.resource() as usize].as_ref()?;
            room.first_below(threshold.least(room.capacity), now)
        });
        let clears = pressure.observed.iter().flatten().map(|seen| *seen + settings.eviction_pressure_transition_period);
        let look = crossed.chain(clears).chain(self.first_over_own_limit(node, view)).min();
        let busy = pressure.evicted.is_some() || pressure.first_seen.iter().any(Option::is_some);
        let phase = state.ticks.sync_at(SimTime::ZERO);
        let cleans = pressure.evicted.is_some();
        let look = match look {
            _ if cleans => Some(now + CLEANUP_POLL),
            // Between two looks nothing is seen; what is crossed now is looked at again with the next.
            look => look
                .or(busy.then_some(now))
                .map(|at| at.max(now + SimDuration::from_nanos(u64::from(busy))).next_on_grid(phase, MONITORING_PERIOD)),
        };
        let empty = rooms[Resource::Memory as usize].as_ref().and_then(|room| room.first_below(0, now));
        drop(rooms);
        let Some(state) = self.nodes.get_mut(&node) else { return };
        state.pressure.timer = look.map_or(0, |at| state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::Pressure, number), out));
        state.pressure.out_of_memory =
            empty.map_or(0, |at| state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::OutOfMemory, number), out));
        self.plan_image_gc(node, view, out);
    }

    /// One look of the eviction manager.
    fn synchronize(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get(&node) else { return };
        if let Some((pods, since)) = &state.pressure.evicted {
            let stopped = pods.iter().all(|pod| self.workers.get(pod).is_none_or(|worker| worker.life == Life::Over));
            if !stopped && view.now.since(*since) < CLEANUP_TIMEOUT {
                self.plan_pressure(node, view, out);
                return;
            }
        }
        let crossed = self.observe(node, view, out);
        let over_own_limit = self.over_own_limit(node, view);
        if !over_own_limit.is_empty() {
            let pods = over_own_limit.iter().map(|(id, _)| *id).collect();
            for (id, message) in over_own_limit {
                self.evict(id, message, HARD_GRACE, false, view, out);
            }
            self.evicted(node, pods, view);
        } else if let Some(first) = crossed.first() {
            self.reclaim(node, first, view, out);
        }
        self.plan_pressure(node, view, out);
    }

    /// Takes in what is available: conditions, and the thresholds that drive evictions, those of memory first.
    fn observe(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) -> Vec<Crossed> {
        let (settings, now) = (&view.settings.kubelet, view.now);
        let all = thresholds(settings);
        let Some(state) = self.nodes.get(&node) else { return Vec::new() };
        let mut pressure = Pressure { evicted: None, ..state.pressure.clone() };
        pressure.first_seen.resize(all.len(), None);
        pressure.met.resize(all.len(), false);
        let had = Resource::ALL.map(|resource| pressure.is_condition(resource));
        let mut crossed = Vec::new();
        for (place, threshold) in all.into_iter().enumerate() {
            let Some(room) = self.room(threshold.resource(), node, view) else { continue };
            let available = room.available(now);
            let least = threshold.least(room.capacity);
            if available < least || (pressure.met[place] && available < threshold.enough(room.capacity)) {
                let first = *pressure.first_seen[place].get_or_insert(now);
                pressure.met[place] = now.since(first) >= threshold.grace.unwrap_or_default();
                pressure.observed[threshold.resource() as usize] = Some(now);
                if pressure.met[place] {
                    crossed.push(Crossed { threshold, least, available });
                }
            } else {
                (pressure.first_seen[place], pressure.met[place]) = (None, false);
            }
        }
        for seen in &mut pressure.observed {
            *seen = seen.filter(|seen| now.since(*seen) < settings.eviction_pressure_transition_period);
        }
        for (resource, had) in Resource::ALL.into_iter().zip(had) {
            if had != pressure.is_condition(resource) {
                say_condition(node, resource, pressure.is_condition(resource), view, out);
            }
        }
        if let Some(state) = self.nodes.get_mut(&node) {
            state.pressure = pressure;
        }
        crossed.sort_by_key(|crossed| crossed.threshold.resource());
        crossed
    }

    /// Images first, where that is a remedy, then a pod.
    fn reclaim(&mut self, node: NodeId, first: &Crossed, view: View<'_>, out: &mut Effects) {
        let resource = first.threshold.resource();
        if let Some(object) = view.store.nodes.get(node) {
            let (name, message) = (format!("Node/{}", object.meta.name), format!("Attempting to reclaim {}", resource.as_str()));
            out.event(Component::Kubelet, true, "EvictionThresholdMet", name, message);
        }
        if resource == Resource::Storage {
            self.delete_unused_images(node, view, out);
            let short = |threshold: &Threshold| {
                let room = self.room(threshold.resource(), node, view);
                room.is_some_and(|room| room.available(view.now) < threshold.enough(room.capacity))
            };
            if !thresholds(&view.settings.kubelet).iter().any(short) {
                return;
            }
        }
        let Some((id, message)) = self.victim(node, first, view) else { return };
        let own = view.store.pods.get(id).map_or(SimDuration::ZERO, |pod| pod.spec.termination_grace_period);
        let grace = match first.threshold.grace {
            None => HARD_GRACE,
            Some(_) => view.settings.kubelet.eviction_max_pod_grace_period.min(own),
        };
        self.evict(id, message, grace, true, view, out);
        self.evicted(node, vec![id], view);
    }

    fn evicted(&mut self, node: NodeId, pods: Vec<PodId>, view: View<'_>) {
        if let Some(state) = self.nodes.get_mut(&node) {
            state.pressure.evicted = Some((pods, view.now));
        }
    }

    fn evict(&mut self, id: PodId, message: String, grace: SimDuration, disrupts: bool, view: View<'_>, out: &mut Effects) {
        self.with(id, view, out, |worker, cx| {
            worker.event(true, "Evicted", message, cx);
            worker.end_by_kubelet(Ending { reason: "Evicted", grace: Some(grace), evicts: true, disrupts }, cx);
        });
    }

    /// The pod to evict: above its request before below, then by priority, then by use above request; for pids by
    /// priority and use. Upstream: rankMemoryPressure, rankDiskPressureFunc, rankPIDPressure.
    fn victim(&self, node: NodeId, crossed: &Crossed, view: View<'_>) -> Option<(PodId, String)> {
        let resource = crossed.threshold.resource();
        let room = self.room(resource, node, view)?;
        let candidates = self.evictable(node, view).filter_map(|id| {
            let pod = view.store.pods.get(id)?;
            let request = resource.requested().map_or(0, |name| pod.spec.requests().get(&name));
            let above = room.used_by(id, view.now) - request;
            let within = resource.requested().is_some() && above <= 0;
            Some((within, pod.spec.priority, -above, id))
        });
        let (.., id) = candidates.min()?;
        Some((id, eviction_message(crossed, id, &room, view)))
    }

    /// Pods that run and are not critical.
    fn evictable<'a>(&'a self, node: NodeId, view: View<'a>) -> impl Iterator<Item = PodId> + 'a {
        self.pods_of(node, view).into_iter().filter(move |id| {
            let critical = view.store.pods.get(*id).is_none_or(|pod| pod.spec.priority >= CRITICAL);
            !critical && self.workers.get(id).is_some_and(|worker| worker.life == Life::Syncing)
        })
    }

    /// Pods that wrote more than their limits allow, with what is said of them.
    /// Upstream: podEphemeralStorageLimitEviction, containerEphemeralStorageLimitEviction.
    fn over_own_limit(&self, node: NodeId, view: View<'_>) -> Vec<(PodId, String)> {
        let users = self.users(Resource::Storage, node, view);
        let of_pod = |id: PodId| {
            let pod = view.store.pods.get(id)?;
            let own = users.iter().filter(|user| user.pod == id);
            let (limit, used) = (pod_limit(pod)?, own.clone().map(|user| user.at(view.now)).sum::<i64>());
            if used > limit {
                let limit = binary_si(limit);
                return Some((id, format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ")));
            }
            let over = |user: &User<'_>| {
                let container = pod.spec.containers.get(usize::from(user.place).checked_sub(pod.spec.init_containers.len())?)?;
                let limit = container.limits.get(&api::ResourceName::EphemeralStorage).filter(|limit| user.at(view.now) > **limit)?;
                let (name, limit) = (&container.name, binary_si(*limit));
                Some(format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "))
            };
            own.clone().find_map(over).map(|message| (id, message))
        };
        self.evictable(node, view).filter_map(of_pod).collect()
    }

    /// When the first pod will have written more than its limits allow.
    fn first_over_own_limit(&self, node: NodeId, view: View<'_>) -> Option<SimTime> {
        let mut users = self.users(Resource::Storage, node, view);
        let evictable: Vec<PodId> = self.evictable(node, view).collect();
        let mut first = None;
        while let Some(id) = users.first().map(|user| user.pod) {
            let (own, others): (Vec<_>, Vec<_>) = users.into_iter().partition(|user| user.pod == id);
            users = others;
            let Some(pod) = view.store.pods.get(id).filter(|_| evictable.contains(&id)) else { continue };
            let Some(limit) = pod_limit(pod) else { continue };
            let of_all = first_below(&own, view.now, |at| limit - own.iter().map(|user| user.at(at)).sum::<i64>(), 0);
            let of_each = own.iter().filter_map(|user| {
                let container = pod.spec.containers.get(usize::from(user.place).checked_sub(pod.spec.init_containers.len())?)?;
                let limit = *container.limits.get(&api::ResourceName::EphemeralStorage)?;
                first_below(std::slice::from_ref(user), view.now, |at| limit - user.at(at), 0)
            });
            first = of_each.chain(of_all).chain(first).min();
        }
        first
    }

    /// The node's memory is used up: the kernel kills the container with the highest score.
    fn kernel_kills(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(room) = self.room(Resource::Memory, node, view) else { return };
        let score = |user: &User<'_>| {
            let pod = view.store.pods.get(user.pod)?;
            Some(1000 * user.at(view.now) / room.capacity.max(1) + oom_score_adj(pod, user.request, room.capacity))
        };
        let worst = room.users.iter().rev().max_by_key(|user| score(user)).map(|user| (user.pod, user.place));
        drop(room);
        if let Some((id, place)) = worst {
            self.with(id, view, out, |worker, cx| worker.kill(place, SIGKILLED, "OOMKilled", cx));
        }
        self.plan_pressure(node, view, out);
    }
}

/// The sum of its containers' limits, when one has any. Upstream: resourcehelper.PodLimits.
fn pod_limit(pod: &Pod) -> Option<i64> {
    let name = api::ResourceName::EphemeralStorage;
    let is_limited = pod.spec.init_containers.iter().chain(&pod.spec.containers).any(|container| container.limits.contains_key(&name));
    is_limited.then(|| pod.spec.aggregate(true, |container| container.limits.clone()).get(&name))
}

fn say_condition(node: NodeId, resource: Resource, pressure: bool, view: View<'_>, out: &mut Effects) {
    let condition = match resource {
        Resource::Memory => NodePressure::Memory,
        Resource::Storage => NodePressure::Disk,
        Resource::Pids => NodePressure::Pid,
    };
    out.write(Component::Kubelet, Write::NodePressure(node, condition, pressure));
    if let Some(object) = view.store.nodes.get(node) {
        let [_, is, is_not] = resource.condition();
        let (name, reason) = (&object.meta.name, if pressure { is } else { is_not });
        out.event(Component::Kubelet, false, reason, format!("Node/{name}"), format!("Node {name} status is now: {reason}"));
    }
}

/// Upstream: evictionMessage.
fn eviction_message(crossed: &Crossed, id: PodId, room: &Room<'_>, view: View<'_>) -> String {
    let resource = crossed.threshold.resource();
    // Memory is counted in pages.
    let shown = |amount: i64| binary_si(if resource == Resource::Memory { amount & !4095 } else { amount });
    let (threshold, available, name) = (binary_si(crossed.least), shown(crossed.available), resource.as_str());
    let mut message = format!("The node was low on resource: {name}. Threshold quantity: {threshold}, available: {available}. ");
    let Some(pod) = view.store.pods.get(id).filter(|_| resource.requested().is_some()) else { return message };
    let inits = pod.spec.init_containers.len();
    for user in room.users.iter().filter(|user| user.pod == id) {
        let place = user.place as usize;
        let container = place.checked_sub(inits).map_or_else(|| &pod.spec.init_containers[place], |place| &pod.spec.containers[place]);
        let used = user.at(view.now);
        if used > user.request {
            let (used, request, container) = (shown(used), binary_si(user.request), &container.name);
            message += &format!("Container {container} was using {used}, request is {request}, has larger consumption of {name}. ");
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
        let conditions: Vec<&str> = self.pressure.conditions().map(|resource| resource.condition()[0]).collect();
        let tolerates = || {
            let taint = api::Taint::new("node.kubernetes.io/memory-pressure", TaintEffect::NoSchedule);
            pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(&taint, false))
        };
        let passes = conditions.is_empty()
            || pod.spec.priority >= CRITICAL
            || (conditions == ["MemoryPressure"] && (qos_class(pod) != QosClass::BestEffort || tolerates()));
        (!passes).then(|| ("Evicted", format!("The node had condition: [{}]. ", conditions.join(" "))))
    }
}
