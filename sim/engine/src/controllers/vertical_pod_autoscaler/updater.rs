//! The updater: pods that are too far from what is recommended to them are evicted, so that new ones get it.
//!
//! Reads: VerticalPodAutoscalers that recreate, their pods. Writes: evictions, which PodDisruptionBudgets may refuse.
//! Upstream: vertical-pod-autoscaler/pkg/updater/{logic,priority,restriction}.
//!
//! Invariants: of each group of replicas at most the tolerated share is away; pods that need more go before pods that
//! need less; a group with fewer pods than the least is left alone.
//!
//! Simplified: whether a budget is in the way is known as the eviction is asked for, and asked again as it lands.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use api::{
    ContainerState, Kind, Pod, PodPhase, ResourceName, SimDuration, SimTime, Str, Uid, VerticalPodAutoscaler, VpaRecommendation,
    VpaUpdateMode,
};
use rustc_hash::FxHashMap;
use trace::Record;

use super::recommender::killed_at;
use super::{capped, controlling, named, pods_under};
use crate::controllers::disruption::{Budgets, Eviction};
use crate::controllers::{View, object_name};
use crate::effects::{Announcement, Component, Effects, Write};
use crate::event::Event;
use crate::spec::VpaSettings;
use crate::store::{Change, PodId, Store};

/// The updater's own memory.
#[derive(Debug, Default)]
pub(crate) struct Updater {
    is_armed: bool,
    /// When each container of each pod was last seen to start. Looked up only.
    starts: FxHashMap<(Uid, usize), SimTime>,
    /// When it was last killed for its memory, and after how long. Looked up only.
    kills: FxHashMap<(Uid, usize), (SimTime, SimDuration)>,
}

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
    evicted: i64,
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

    fn update(&self, vpa: &VerticalPodAutoscaler, budgets: &mut Budgets, view: &View<'_>, out: &mut Effects) {
        let settings = &view.settings.vertical_pod_autoscaler;
        // Upstream sees pods that have a node and are neither over nor asked to go.
        let is_live = |pod: &Pod| pod.node_name.is_some() && !pod.status.phase.is_terminal() && !pod.meta.is_deleting();
        let is_its = |pod: &Pod| controlling(pod, view.store, recreates).is_some_and(|other| other.meta.uid == vpa.meta.uid);
        let pods: Vec<(PodId, &Pod)> = pods_under(vpa, view.store).into_iter().filter(|(_, pod)| is_live(pod) && is_its(pod)).collect();
        let mut groups = groups(vpa, &pods, settings, view.store);
        let mut urgent: Vec<(Priority, PodId, &Pod)> = Vec::new();
        for (id, pod) in &pods {
            let may_go = group_of(pod).and_then(|key| groups.get(&key)).is_some_and(|group| group.lets_go(pod));
            let was_killed = self.was_killed_quickly(vpa, pod, settings.evict_after_oom_threshold);
            if let Some(priority) = may_go.then(|| priority(vpa, pod, was_killed, settings, view.now)).flatten() {
                urgent.push((priority, *id, pod));
            }
        }
        urgent.sort_by(|a, b| b.0.compare(&a.0));
        for (_, id, pod) in urgent {
            let Some(group) = group_of(pod).and_then(|key| groups.get_mut(&key)) else { continue };
            if group.lets_go(pod) && budgets.evict(pod, view.store) == Eviction::Allowed {
                group.evicted += i64::from(pod.status.phase != PodPhase::Pending);
                evict(vpa, id, pod, out);
            }
        }
    }
}

fn recreates(vpa: &VerticalPodAutoscaler) -> bool {
    matches!(vpa.update_mode, VpaUpdateMode::Recreate | VpaUpdateMode::InPlaceOrRecreate)
}

fn evict(vpa: &VerticalPodAutoscaler, id: PodId, pod: &Pod, out: &mut Effects) {
    let by = Component::VpaUpdater;
    let event = |reason: &str, object: String, message: String| Record::Event {
        kind: "Normal".into(),
        reason: reason.into(),
        object: object.into(),
        message: message.into(),
        source: by.name().into(),
    };
    let of_pod = "Pod was evicted by VPA Updater to apply resource recommendation.".to_owned();
    let of_vpa = format!("VPA Updater evicted Pod {} to apply resource recommendation.", pod.meta.name);
    let told = |landed| Box::new(Announcement { landed, forbidden: None });
    let inner = Write::Announced(Box::new(Write::EvictPod(id)), told(event("EvictedByVPA", object_name("Pod", &pod.meta), of_pod)));
    out.write(by, Write::Announced(Box::new(inner), told(event("EvictedPod", named(&vpa.meta), of_vpa))));
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
            groups.insert(key, Group { configured, running: count - pending, tolerance, evicted: 0 });
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
    /// Upstream: CanEvict, isPodDisruptable.
    fn lets_go(&self, pod: &Pod) -> bool {
        let alive = self.running - self.evicted;
        pod.status.phase == PodPhase::Pending
            || alive > self.configured - self.tolerance
            || (self.configured == self.running && self.tolerance == 0 && self.evicted == 0)
    }
}

/// How urgently a pod should go, if it should at all (upstream: UpdatePriorityCalculator.AddPod).
fn priority(vpa: &VerticalPodAutoscaler, pod: &Pod, quick_kill: bool, settings: &VpaSettings, now: SimTime) -> Option<Priority> {
    let recommended: Vec<(&api::Container, VpaRecommendation)> =
        pod.spec.containers.iter().filter_map(|container| Some((container, capped(vpa, container)?))).collect();
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
    let is_admitted = vpa.eviction_requirements.is_empty() || recommended.iter().any(|(container, one)| meets(vpa, container, one));
    is_admitted.then_some(priority)
}

/// Upstream: GetUpdatePriority.
fn distance(recommended: &[(&api::Container, VpaRecommendation)]) -> Priority {
    let mut priority = Priority::default();
    let mut sums: BTreeMap<&ResourceName, (i64, i64)> = BTreeMap::new();
    for (container, one) in recommended {
        for (name, target) in &one.target {
            let sum = sums.entry(name).or_default();
            sum.1 = sum.1.saturating_add(*target);
            let Some(request) = container.requests.get(name) else {
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
fn meets(vpa: &VerticalPodAutoscaler, container: &api::Container, one: &VpaRecommendation) -> bool {
    let of = |list: &api::ResourceList, name: &ResourceName| list.get(name).copied();
    if [ResourceName::Cpu, ResourceName::Memory].iter().any(|name| of(&container.requests, name).is_none()) {
        return true;
    }
    vpa.eviction_requirements.iter().all(|requirement| {
        requirement.resources.iter().any(|name| {
            let (request, target) = (of(&container.requests, name).unwrap_or(0), of(&one.target, name).unwrap_or(0));
            if requirement.is_higher { target > request } else { target < request }
        })
    })
}
