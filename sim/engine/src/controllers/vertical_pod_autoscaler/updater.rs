//! The updater: pods that are too far from what is recommended to them are resized in place, or evicted so that new
//! ones get it.
//!
//! Reads: VerticalPodAutoscalers that recreate, their pods. Writes: resizes, and evictions, which PodDisruptionBudgets may refuse.
//! Upstream: vertical-pod-autoscaler/pkg/updater/{logic,priority,restriction}.
//!
//! Invariants: of each group of replicas at most the tolerated share is away; pods that need more go before pods that
//! need less; a group with fewer pods than the least is left alone.
//!
//! Simplified: whether a budget is in the way is known as the eviction is asked for, and asked again as it lands.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use api::{
    ContainerState, Kind, Pod, PodPhase, ResourceList, ResourceName, SimDuration, SimTime, Str, Uid, VerticalPodAutoscaler,
    VpaRecommendation, VpaUpdateMode,
};
use rustc_hash::FxHashMap;
use trace::Record;

use super::admission::wanted;
use super::recommender::killed_at;
use super::{capped, controlling, named, pods_under};
use crate::controllers::disruption::{Budgets, Eviction};
use crate::controllers::{View, object_name};
use crate::effects::{Announcement, Component, Effects, Write};
use crate::event::Event;
use crate::spec::{PodResize, VpaSettings};
use crate::store::{Change, PodId, Store};

/// The updater's own memory.
#[derive(Debug, Default)]
pub(crate) struct Updater {
    is_armed: bool,
    /// When each container of each pod was last seen to start. Looked up only.
    starts: FxHashMap<(Uid, usize), SimTime>,
    /// When it was last killed for its memory, and after how long. Looked up only.
    kills: FxHashMap<(Uid, usize), (SimTime, SimDuration)>,
    /// When each pod was first seen to be resized; kept, as upstream keeps it. Looked up only.
    resizing: FxHashMap<Uid, SimTime>,
}

/// What is done with a pod that should change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Wait,
    Resize,
    Evict,
}

/// A resize that the node put off for longer is given up (upstream: DeferredResizeUpdateTimeout).
const DEFERRED: SimDuration = SimDuration::from_secs(300);
/// And one that is under way for longer (upstream: InProgressResizeUpdateTimeout).
const IN_PROGRESS: SimDuration = SimDuration::from_secs(3600);

/// How urgently a pod should change.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
struct Priority {
    is_outside: bool,
    needs_more: bool,
    difference: f64,
}

/// Pods of one controller.
#[derive(Clone, Copy, Default, Debug)]
struct Group {
    configured: i64,
    running: i64,
    tolerance: i64,
    /// Evicted or resized in this loop.
    disrupted: i64,
}

impl Updater {
    /// Begins with the first VerticalPodAutoscaler.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        match change {
            Change::Object(Kind::VerticalPodAutoscaler, _) if !self.is_armed => self.arm(view, out),
            Change::PodModified(id, _) if self.is_armed => {
                if let Some(pod) = view.store.pods.get(*id) {
                    self.hear(pod);
                }
            }
            Change::PodDeleted(_, pod) if self.is_armed => {
                self.resizing.remove(&pod.meta.uid);
                for place in 0..pod.spec.containers.len() {
                    self.starts.remove(&(pod.meta.uid, place));
                    self.kills.remove(&(pod.meta.uid, place));
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, pod: &Pod) {
        for (place, status) in pod.status.containers.iter().enumerate() {
            let key = (pod.meta.uid, place);
            if let Some(at) = killed_at(status).filter(|at| self.kills.get(&key).is_none_or(|(known, _)| known != at)) {
                let lived = self.starts.get(&key).map_or(SimDuration::ZERO, |start| at.since((*start).min(at)));
                self.kills.insert(key, (at, lived));
            }
            if let ContainerState::Running { started } = status.state {
                self.starts.insert(key, started);
            }
        }
    }

    /// Whether the last end of a container that is scaled was a kill for its memory, soon after its start.
    fn was_killed_quickly(&self, vpa: &VerticalPodAutoscaler, pod: &Pod, soon: SimDuration) -> bool {
        let is_scaled = |name: &str| !vpa.policy(name).is_some_and(|policy| policy.is_off);
        let mut containers = pod.status.containers.iter().zip(&pod.spec.containers).enumerate();
        containers.any(|(place, (status, container))| {
            let kill = self.kills.get(&(pod.meta.uid, place)).filter(|(at, _)| killed_at(status) == Some(*at));
            is_scaled(&container.name) && kill.is_some_and(|(_, lived)| *lived < soon)
        })
    }

    fn arm(&mut self, view: &View<'_>, out: &mut Effects) {
        self.is_armed = view.store.vpas.len() > 0;
        if self.is_armed {
            let interval = view.settings.vertical_pod_autoscaler.updater_interval;
            out.at((view.now + SimDuration::from_nanos(1)).next_on_grid(SimTime::ZERO, interval), Event::VpaUpdater);
        }
    }

    /// One loop ([`Event::VpaUpdater`]).
    pub(crate) fn run(&mut self, view: &View<'_>, out: &mut Effects) {
        self.arm(view, out);
        let mut budgets = Budgets::default();
        for (_, vpa) in view.store.vpas.iter().filter(|(_, vpa)| recreates(vpa)) {
            self.update(vpa, &mut budgets, view, out);
        }
    }

    fn update(&mut self, vpa: &VerticalPodAutoscaler, budgets: &mut Budgets, view: &View<'_>, out: &mut Effects) {
        let settings = &view.settings.vertical_pod_autoscaler;
        // Upstream sees pods that have a node and are neither over nor asked to go.
        let is_live = |pod: &Pod| pod.node_name.is_some() && !pod.status.phase.is_terminal() && !pod.meta.is_deleting();
        let is_its = |pod: &Pod| controlling(pod, view.store, recreates).is_some_and(|other| other.meta.uid == vpa.meta.uid);
        let pods: Vec<(PodId, &Pod)> = pods_under(vpa, view.store).into_iter().filter(|(_, pod)| is_live(pod) && is_its(pod)).collect();
        let mut groups = groups(vpa, &pods, settings, view.store);
        let mut urgent: Vec<(Priority, PodId, &Pod)> = Vec::new();
        for (id, pod) in &pods {
            let Some(group) = group_of(pod).and_then(|key| groups.get(&key)) else { continue };
            if self.way(vpa, pod, group, view.now) == Way::Wait {
                continue;
            }
            let was_killed = self.was_killed_quickly(vpa, pod, settings.evict_after_oom_threshold);
            urgent.extend(priority(vpa, pod, was_killed, settings, view.now).map(|priority| (priority, *id, *pod)));
        }
        urgent.sort_by(|a, b| b.0.compare(&a.0));
        for (_, id, pod) in urgent {
            let Some(group) = group_of(pod).and_then(|key| groups.get_mut(&key)) else { continue };
            match self.way(vpa, pod, group, view.now) {
                Way::Wait => {}
                Way::Resize => {
                    group.disrupted += 1;
                    out.write(Component::VpaUpdater, Write::OrElse(Box::new(resize(vpa, id, pod)), Box::new(evict(vpa, id, pod))));
                }
                Way::Evict if budgets.evict(pod, view.store) == Eviction::Allowed => {
                    group.disrupted += i64::from(pod.status.phase != PodPhase::Pending);
                    out.write(Component::VpaUpdater, evict(vpa, id, pod));
                }
                Way::Evict => {}
            }
        }
    }

    /// Upstream: CanInPlaceUpdate, CanEvict, CanEvictInPlacingPod.
    fn way(&mut self, vpa: &VerticalPodAutoscaler, pod: &Pod, group: &Group, now: SimTime) -> Way {
        let conditions = &pod.status.conditions;
        let is_in_place = vpa.update_mode == VpaUpdateMode::InPlaceOrRecreate;
        if pod.status.phase == PodPhase::Pending {
            return if is_in_place { Way::Wait } else { Way::Evict };
        }
        let is_pending = conditions.resize_infeasible || conditions.resize_deferred;
        if is_pending || conditions.resize_in_progress {
            let since = *self.resizing.entry(pod.meta.uid).or_insert(now);
            let patience = match (conditions.resize_infeasible, conditions.resize_deferred) {
                (true, _) => SimDuration::ZERO,
                (false, true) => DEFERRED,
                (false, false) => IN_PROGRESS,
            };
            let is_over = conditions.resize_infeasible || now > since + patience;
            return if is_over && group.is_disruptable() { Way::Evict } else { Way::Wait };
        }
        match (group.is_disruptable(), is_in_place) {
            (false, _) => Way::Wait,
            (true, true) => Way::Resize,
            (true, false) => Way::Evict,
        }
    }
}

fn recreates(vpa: &VerticalPodAutoscaler) -> bool {
    matches!(vpa.update_mode, VpaUpdateMode::Recreate | VpaUpdateMode::InPlaceOrRecreate)
}

/// A write, and the event that tells of it once it has landed.
fn told(write: Write, reason: &str, object: String, message: String) -> Write {
    let source = Component::VpaUpdater.name().into();
    let (kind, reason, object, message) = ("Normal".into(), reason.into(), object.into(), message.into());
    let landed = Record::Event { kind, reason, object, message, source };
    Write::Announced(Box::new(write), Box::new(Announcement { landed, forbidden: None }))
}

fn evict(vpa: &VerticalPodAutoscaler, id: PodId, pod: &Pod) -> Write {
    let of_pod = "Pod was evicted by VPA Updater to apply resource recommendation.".to_owned();
    let of_vpa = format!("VPA Updater evicted Pod {} to apply resource recommendation.", pod.meta.name);
    let write = told(Write::EvictPod(id), "EvictedByVPA", object_name("Pod", &pod.meta), of_pod);
    told(write, "EvictedPod", named(&vpa.meta), of_vpa)
}

fn resize(vpa: &VerticalPodAutoscaler, id: PodId, pod: &Pod) -> Write {
    let resize = |container: &api::Container| {
        let (requests, limits) = wanted(vpa, container)?;
        Some(PodResize { container: Some(container.name.clone()), requests, limits })
    };
    let resizes = pod.spec.containers.iter().filter_map(resize).collect();
    let message = "Pod was resized in place by VPA Updater.".to_owned();
    told(Write::ResizePod(id, resizes), "InPlaceResizedByVPA", object_name("Pod", &pod.meta), message)
}

type GroupKey = (Str, Str);

fn group_of(pod: &Pod) -> Option<GroupKey> {
    pod.meta.controller().map(|owner| (owner.kind.clone(), owner.name.clone()))
}

/// Upstream: GetCreatorMaps. Groups that are too small are left out.
fn groups(vpa: &VerticalPodAutoscaler, pods: &[(PodId, &Pod)], settings: &VpaSettings, store: &Store) -> BTreeMap<GroupKey, Group> {
    let mut live: BTreeMap<GroupKey, Vec<&Pod>> = BTreeMap::new();
    for (_, pod) in pods {
        if let Some(key) = group_of(pod) {
            live.entry(key).or_default().push(pod);
        }
    }
    let least = vpa.min_replicas.map_or(i64::from(settings.min_replicas), i64::from);
    let mut groups = BTreeMap::new();
    for (key, pods) in live {
        let count = pods.len() as i64;
        let configured = configured(&key, &vpa.meta.namespace, count, store);
        if let Some(configured) = configured.filter(|_| count >= least) {
            let pending = pods.iter().filter(|pod| pod.status.phase == PodPhase::Pending).count() as i64;
            let tolerance = (configured as f64 * settings.eviction_tolerance) as i64;
            groups.insert(key, Group { configured, running: count - pending, tolerance, disrupted: 0 });
        }
    }
    groups
}

/// Replicas that a controller is to have; `None` for none, or none that is known.
fn configured((kind, name): &GroupKey, namespace: &Str, live: i64, store: &Store) -> Option<i64> {
    let key = api::ObjectKey { namespace: namespace.clone(), name: name.clone() };
    let replicas = match &**kind {
        "ReplicaSet" => store.replica_sets.get(store.replica_sets.find(&key)?)?.replicas.into(),
        "StatefulSet" => store.stateful_sets.get(store.stateful_sets.find(&key)?)?.replicas.into(),
        "DaemonSet" => store.daemon_sets.get(store.daemon_sets.find(&key)?)?.status.number_ready.into(),
        "Job" => live,
        _ => 0,
    };
    Some(replicas).filter(|replicas| *replicas > 0)
}

impl Group {
    /// Upstream: isPodDisruptable.
    const fn is_disruptable(&self) -> bool {
        self.running - self.disrupted > self.configured - self.tolerance
            || (self.configured == self.running && self.tolerance == 0 && self.disrupted == 0)
    }
}

/// How urgently a pod should go, if it should at all (upstream: UpdatePriorityCalculator.AddPod).
fn priority(vpa: &VerticalPodAutoscaler, pod: &Pod, quick_kill: bool, settings: &VpaSettings, now: SimTime) -> Option<Priority> {
    // What the kubelet has applied, where it says so, and not what is asked of it.
    let applied = |place: usize| pod.status.containers.get(place).and_then(|status| status.requests.as_deref());
    let recommended: Vec<Recommended<'_>> = pod
        .spec
        .containers
        .iter()
        .enumerate()
        .filter_map(|(place, container)| Some((applied(place).unwrap_or(&container.requests), capped(vpa, container)?)))
        .collect();
    let priority = distance(&recommended);
    if !priority.is_outside && !quick_kill {
        let is_old = pod.status.start_time.is_some_and(|start| now >= start + settings.lifetime_threshold);
        if !is_old || priority.difference < settings.pod_update_threshold {
            return None;
        }
    }
    if quick_kill && priority.difference == 0.0 {
        return None;
    }
    let is_admitted = vpa.eviction_requirements.is_empty() || recommended.iter().any(|(requests, one)| meets(vpa, requests, one));
    is_admitted.then_some(priority)
}

/// What a container asks for, and should.
type Recommended<'a> = (&'a ResourceList, VpaRecommendation);

/// Upstream: GetUpdatePriority.
fn distance(recommended: &[Recommended<'_>]) -> Priority {
    let mut priority = Priority::default();
    let mut sums: BTreeMap<&ResourceName, (i64, i64)> = BTreeMap::new();
    for (requests, one) in recommended {
        for (name, target) in &one.target {
            let sum = sums.entry(name).or_default();
            sum.1 = sum.1.saturating_add(*target);
            let Some(request) = requests.get(name) else {
                (priority.is_outside, priority.needs_more) = (true, true);
                continue;
            };
            sum.0 = sum.0.saturating_add(*request);
            priority.needs_more |= target > request;
            let is_below = one.lower_bound.get(name).is_some_and(|bound| request < bound);
            let is_above = one.upper_bound.get(name).is_some_and(|bound| request > bound);
            priority.is_outside |= is_below || is_above;
        }
    }
    for (requested, target) in sums.into_values() {
        let requested = (requested as f64).max(1.0);
        priority.difference += (requested - target as f64).abs() / requested;
    }
    priority
}

impl Priority {
    fn compare(&self, other: &Self) -> Ordering {
        self.needs_more.cmp(&other.needs_more).then(self.difference.total_cmp(&other.difference))
    }
}

/// Whether all requirements hold for a container.
fn meets(vpa: &VerticalPodAutoscaler, requests: &ResourceList, one: &VpaRecommendation) -> bool {
    let of = |list: &ResourceList, name: &ResourceName| list.get(name).copied();
    if [ResourceName::Cpu, ResourceName::Memory].iter().any(|name| of(requests, name).is_none()) {
        return true;
    }
    vpa.eviction_requirements.iter().all(|requirement| {
        requirement.resources.iter().any(|name| {
            let (request, target) = (of(requests, name).unwrap_or(0), of(&one.target, name).unwrap_or(0));
            if requirement.is_higher { target > request } else { target < request }
        })
    })
}
