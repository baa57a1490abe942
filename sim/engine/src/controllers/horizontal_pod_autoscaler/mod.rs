//! HorizontalPodAutoscaler controller: from metrics to a size, held back by windows and limits.
//!
//! Reads: HorizontalPodAutoscalers, their targets, pods and usages. Writes: the target's scale, its status.
//! Upstream: pkg/controller/podautoscaler/horizontal.go; the arithmetic is in `replica_calculator`.
//!
//! Invariants: each autoscaler is looked at every sync period from its creation, whatever happens; what is
//! recorded is every decision, and every look that differs from the one before.
//!
//! `ask.rs` asks the metrics, `limits.rs` says how far one look may go.
//!
//! Not modelled: the label index behind AmbiguousSelector (two autoscalers of one target are
//! ambiguous; overlapping selectors of two targets are not noticed), conditions as stored status.
//! An Event that upstream would only count once more is not repeated.

mod ask;
mod limits;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use api::{ConditionStatus, HorizontalPodAutoscaler, HpaBehavior, Kind, MetricSource, ObjectKey, Pod, SimDuration, SimTime};
use trace::Record;

use self::ask::{Answer, Asker, Invalid, show};
use self::limits::{ScaleEvent, limit_without_behavior, scale_down_limit, scale_up_limit};
use super::custom_metrics::CustomMetrics;
use super::metrics::PodMetrics;
use super::{View, object_name};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::spec::HpaSettings;
use crate::store::{Change, DeploymentId, HpaId, PodId, ReplicaSetId, StatefulSetId, Store};

/// What an autoscaler scales.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    Deployment(DeploymentId),
    ReplicaSet(ReplicaSetId),
    StatefulSet(StatefulSetId),
}

/// The target of an autoscaler, if it exists and is of a kind that is kept.
pub(super) fn target_of(hpa: &HorizontalPodAutoscaler, store: &Store) -> Option<Target> {
    let key = ObjectKey { namespace: hpa.meta.namespace.clone(), name: hpa.target_name.clone() };
    match &*hpa.target_kind {
        "Deployment" => store.deployments.find(&key).map(Target::Deployment),
        "ReplicaSet" => store.replica_sets.find(&key).map(Target::ReplicaSet),
        "StatefulSet" => store.stateful_sets.find(&key).map(Target::StatefulSet),
        _ => None,
    }
}

impl Target {
    /// Its pods: those of its ReplicaSets (upstream: those its selector matches).
    pub(super) fn pods(self, store: &Store) -> Vec<(PodId, &Pod)> {
        match self {
            Self::Deployment(id) => {
                let sets = store.deployments.get(id).map_or(Vec::new(), |deployment| store.replica_sets_of(deployment));
                sets.into_iter().flat_map(|(_, set)| store.pods_of(set.meta.uid)).collect()
            }
            Self::ReplicaSet(id) => store.replica_sets.get(id).map_or(Vec::new(), |set| store.pods_of(set.meta.uid).collect()),
            Self::StatefulSet(id) => store.stateful_sets.get(id).map_or(Vec::new(), |set| store.pods_of(set.meta.uid).collect()),
        }
    }
    const fn kind(self) -> Kind {
        match self {
            Self::Deployment(_) => Kind::Deployment,
            Self::ReplicaSet(_) => Kind::ReplicaSet,
            Self::StatefulSet(_) => Kind::StatefulSet,
        }
    }
    /// Its scale: replicas that are wanted, and that there are.
    fn replicas(self, store: &Store) -> (i32, i32) {
        match self {
            Self::Deployment(id) => store.deployments.get(id).map(|deployment| (deployment.replicas, deployment.status.replicas)),
            Self::ReplicaSet(id) => store.replica_sets.get(id).map(|set| (set.replicas, set.status.replicas)),
            Self::StatefulSet(id) => store.stateful_sets.get(id).map(|set| (set.replicas, set.status.replicas)),
        }
        .unwrap_or_default()
    }
}

/// A condition's status and reason.
type Condition = Option<(ConditionStatus, &'static str)>;

/// What is remembered of one autoscaler.
#[derive(Debug, Default)]
struct State {
    recommendations: Vec<(SimTime, i32)>,
    ups: Vec<ScaleEvent>,
    downs: Vec<ScaleEvent>,
    able_to_scale: Condition,
    scaling_active: Condition,
    scaling_limited: Condition,
    scaled_to_zero: Condition,
    /// The failure told last.
    failure: String,
    /// What the windows left of the last proposal.
    stabilized: Option<i32>,
    /// The last look, as recorded.
    recorded: Option<Record>,
}

/// The controller's own memory.
#[derive(Debug, Default)]
pub(crate) struct HpaController {
    states: BTreeMap<HpaId, State>,
}

/// What all metrics together ask for.
struct Wanted {
    replicas: i32,
    /// Upstream's name of the metric that asks for most.
    name: String,
}

/// Who is asked for metrics.
#[derive(Clone, Copy)]
pub(crate) struct MetricsApis<'a> {
    /// metrics.k8s.io.
    pub(crate) resource: &'a PodMetrics,
    /// custom.metrics.k8s.io and external.metrics.k8s.io.
    pub(crate) custom: &'a CustomMetrics,
}

impl HpaController {
    /// Starts the period of a new autoscaler.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        let Change::HpaChanged(id) = change else { return };
        if let (Some(hpa), false) = (view.store.hpas.get(*id), self.states.contains_key(id)) {
            self.states.insert(*id, State::default());
            out.at((hpa.meta.creation + view.settings.horizontal_pod_autoscaler.sync_period).max(view.now), Event::HpaSync(*id));
        }
    }

    /// One look ([`Event::HpaSync`]).
    pub(crate) fn sync(&mut self, id: HpaId, view: &View<'_>, apis: MetricsApis<'_>, out: &mut Effects) {
        let Some(hpa) = view.store.hpas.get(id) else {
            self.states.remove(&id);
            return;
        };
        out.at(view.now + view.settings.horizontal_pod_autoscaler.sync_period, Event::HpaSync(id));
        let state = self.states.entry(id).or_default();
        if view.settings.feature_gates.hpa_scale_to_zero {
            state.scaled_to_zero = hpa.conditions[3];
        }
        Look { id, hpa, state, view, apis, out }.reconcile();
    }
}

/// One look at one autoscaler.
struct Look<'a, 'b> {
    id: HpaId,
    hpa: &'a HorizontalPodAutoscaler,
    state: &'b mut State,
    view: &'a View<'a>,
    apis: MetricsApis<'a>,
    out: &'b mut Effects,
}

impl Look<'_, '_> {
    fn settings(&self) -> &HpaSettings {
        &self.view.settings.horizontal_pod_autoscaler
    }

    /// Upstream: reconcileAutoscaler.
    fn reconcile(mut self) {
        let hpa = self.hpa;
        let Some(target) = target_of(hpa, self.view.store) else {
            let error = missing_target(hpa);
            self.state.able_to_scale = Some((ConditionStatus::False, "FailedGetScale"));
            self.fail(vec![("FailedGetScale", error)]);
            return self.record(hpa.current_replicas, hpa.desired_replicas, hpa.desired_replicas, "FailedGetScale", &[]);
        };
        self.state.able_to_scale = Some((ConditionStatus::True, "SucceededGetScale"));
        self.state.stabilized = None;
        let (current, _) = target.replicas(self.view.store);
        if self.state.recommendations.is_empty() {
            self.state.recommendations.push((self.view.now, current));
        }
        let (min, max) = (hpa.min_replicas, hpa.max_replicas);
        if current == 0 && !self.looks_from_zero() {
            self.state.scaling_active = Some((ConditionStatus::False, "ScalingDisabled"));
            self.set_status(current, current, false);
            self.record(current, current, current, "ScalingDisabled", &[]);
        } else if current != 0 && current > max {
            self.rescale(target, current, max, "Current number of replicas above Spec.MaxReplicas");
            self.record(current, max, max, "SucceededRescale", &[]);
        } else if current != 0 && current < min {
            self.rescale(target, current, min, "Current number of replicas below Spec.MinReplicas");
            self.record(current, min, min, "SucceededRescale", &[]);
        } else {
            self.follow_metrics(target, current);
        }
    }

    fn follow_metrics(&mut self, target: Target, current: i32) {
        let answers = self.ask_metrics(target);
        let Some(wanted) = self.combine(&answers, current) else {
            self.set_status(current, self.hpa.desired_replicas, false);
            let reason = self.state.scaling_active.map_or("", |(_, reason)| reason);
            return self.record(current, current, current, reason, &answers);
        };
        let desired = match &self.hpa.behavior {
            None => self.normalize(current, wanted.replicas),
            Some(behavior) => self.normalize_with_behavior(behavior, current, wanted.replicas),
        };
        // From zero it goes to the bound that was raised meanwhile, whatever a policy allows.
        let raised = if current == 0 { desired.max(self.hpa.min_replicas) } else { desired };
        let (is_raised, desired) = (raised != desired, raised);
        if desired == current {
            self.set_status(current, current, false);
        } else {
            let reason = match wanted.replicas.cmp(&current) {
                Ordering::Greater => format!("{} above target", wanted.name),
                Ordering::Less => "All metrics below target".to_owned(),
                Ordering::Equal if is_raised => "Current number of replicas below Spec.MinReplicas".to_owned(),
                // The proposal may be the current size while a limit moves it: upstream then gives no reason.
                Ordering::Equal => String::new(),
            };
            self.rescale(target, current, desired, &reason);
        }
        let reason = self.telling_reason();
        self.record(current, wanted.replicas, desired, reason, &answers);
    }

    /// Whether a target without pods is looked at: when it was this controller that took them
    /// (upstream: shouldComputeMetricsForZeroReplicas).
    fn looks_from_zero(&self) -> bool {
        self.state.scaled_to_zero.is_some_and(|(status, _)| status == ConditionStatus::True)
            && (self.hpa.min_replicas != 0 || self.has_outer_metrics())
    }

    /// Metrics that there are without pods (upstream: hasObjectOrExternalMetrics).
    fn has_outer_metrics(&self) -> bool {
        self.hpa.metrics.iter().any(|metric| matches!(metric.source, MetricSource::Object(..) | MetricSource::External(_)))
    }

    // --- Metrics ---

    fn ask_metrics(&self, target: Target) -> Vec<Answer> {
        let pods = target.pods(self.view.store);
        let (current, status_replicas) = target.replicas(self.view.store);
        let asker = Asker { hpa: self.hpa, view: self.view, apis: &self.apis, pods: &pods, current, status_replicas };
        self.hpa.metrics.iter().map(|metric| asker.ask(metric)).collect()
    }

    /// The largest proposal. `None` when no metric is valid, or when one is not and the others would shrink.
    fn combine(&mut self, answers: &[Answer], current: i32) -> Option<Wanted> {
        if self.is_ambiguous() {
            self.state.scaling_active = Some((ConditionStatus::False, "AmbiguousSelector"));
            let error = format!("pods of {} {} are controlled by multiple HPAs", self.hpa.target_kind, self.hpa.target_name);
            self.fail(vec![("AmbiguousSelector", error.clone()), ("FailedComputeMetricsReplicas", error)]);
            return None;
        }
        let mut wanted = Wanted { replicas: 0, name: String::new() };
        let mut invalid: Vec<&Invalid> = Vec::new();
        for (name, answer) in answers {
            match answer {
                Ok(proposal) if wanted.replicas == 0 || proposal.replicas > wanted.replicas => {
                    wanted = Wanted { replicas: proposal.replicas, name: name.clone() };
                }
                Ok(_) => {}
                Err(error) => invalid.push(error),
            }
        }
        let mut failures: Vec<(&'static str, String)> = invalid.iter().map(|one| (one.reason, one.error.clone())).collect();
        let Some(first) = invalid.first().filter(|_| invalid.len() >= answers.len() || wanted.replicas < current) else {
            self.state.scaling_active = Some((ConditionStatus::True, "ValidMetricFound"));
            self.fail(failures);
            return Some(wanted);
        };
        self.state.scaling_active = Some((ConditionStatus::False, first.reason));
        let sum = format!("invalid metrics ({} invalid out of {}), first error is: {}", invalid.len(), answers.len(), first.outer);
        failures.push(("FailedComputeMetricsReplicas", sum));
        self.fail(failures);
        None
    }

    fn is_ambiguous(&self) -> bool {
        let others = self.view.store.hpas.in_namespace(&self.hpa.meta.namespace).filter(|(id, _)| *id != self.id);
        others.into_iter().any(|(_, other)| other.target_kind == self.hpa.target_kind && other.target_name == self.hpa.target_name)
    }

    // --- Normalisation ---

    /// Without `behavior` (upstream: normalizeDesiredReplicas).
    fn normalize(&mut self, current: i32, proposed: i32) -> i32 {
        let now = self.view.now;
        let window = self.settings().downscale_stabilization;
        // Upstream keeps one that is exactly as old as the window, but its looks drift by the time they take.
        self.state.recommendations.retain(|(at, _)| *at + window > now);
        let stabilized = self.state.recommendations.iter().map(|(_, size)| *size).fold(proposed, i32::max);
        self.state.recommendations.push((now, proposed));
        self.state.stabilized = Some(stabilized);
        let reason = if stabilized == proposed { "ReadyForNewScale" } else { "ScaleDownStabilized" };
        self.state.able_to_scale = Some((ConditionStatus::True, reason));
        let (desired, reason) = limit_without_behavior(current, stabilized, self.hpa.min_replicas, self.hpa.max_replicas);
        self.limited(desired != stabilized, reason);
        desired
    }

    /// With `behavior` (upstream: normalizeDesiredReplicasWithBehaviors).
    fn normalize_with_behavior(&mut self, behavior: &HpaBehavior, current: i32, proposed: i32) -> i32 {
        let now = self.view.now;
        let up_window = behavior.scale_up.stabilization_window.unwrap_or(SimDuration::ZERO);
        let down_window = behavior.scale_down.stabilization_window.unwrap_or(self.settings().downscale_stabilization);
        let sizes = |window| self.state.recommendations.iter().filter(move |(at, _)| *at + window > now).map(|(_, size)| *size);
        let (up, down) = (sizes(up_window).fold(proposed, i32::min), sizes(down_window).fold(proposed, i32::max));
        let stabilized = current.max(up).min(down);
        self.state.stabilized = Some(stabilized);
        let longest = up_window.max(down_window);
        self.state.recommendations.retain(|(at, _)| *at + longest > now);
        self.state.recommendations.push((now, proposed));
        let held = if proposed >= current { "ScaleUpStabilized" } else { "ScaleDownStabilized" };
        self.state.able_to_scale = Some((ConditionStatus::True, if stabilized == proposed { "ReadyForNewScale" } else { held }));
        let (desired, reason) = self.limit_with_behavior(behavior, current, stabilized);
        self.limited(desired != stabilized, reason);
        desired
    }

    /// Upstream: convertDesiredReplicasWithBehaviorRate.
    fn limit_with_behavior(&self, behavior: &HpaBehavior, current: i32, desired: i32) -> (i32, &'static str) {
        let State { ups, downs, .. } = &*self.state;
        let now = self.view.now;
        if desired > current {
            let rate = scale_up_limit(current, ups, downs, &behavior.scale_up, now).max(current);
            let (limit, reason) =
                if self.hpa.max_replicas > rate { (rate, "ScaleUpLimit") } else { (self.hpa.max_replicas, "TooManyReplicas") };
            if desired > limit {
                return (limit, reason);
            }
        } else if desired < current {
            let rate = scale_down_limit(current, ups, downs, &behavior.scale_down, now).min(current);
            let (limit, reason) =
                if self.hpa.min_replicas < rate { (rate, "ScaleDownLimit") } else { (self.hpa.min_replicas, "TooFewReplicas") };
            if desired < limit {
                return (limit, reason);
            }
        }
        (desired, "DesiredWithinRange")
    }

    fn limited(&mut self, is_limited: bool, reason: &'static str) {
        let status = if is_limited { ConditionStatus::True } else { ConditionStatus::False };
        self.state.scaling_limited = Some((status, reason));
    }

    // --- Effects ---

    fn rescale(&mut self, target: Target, current: i32, desired: i32, reason: &str) {
        self.state.able_to_scale = Some((ConditionStatus::True, "SucceededRescale"));
        let key = ObjectKey { namespace: self.hpa.meta.namespace.clone(), name: self.hpa.target_name.clone() };
        let message = format!("New size: {desired}; reason: {reason}");
        let object = object_name("HorizontalPodAutoscaler", &self.hpa.meta);
        let by = Component::HorizontalPodAutoscaler;
        self.out.announce(by, Write::Scale(target.kind(), key, desired), "SuccessfulRescale", object, message);
        if self.view.settings.feature_gates.hpa_scale_to_zero {
            let to_zero = current > 0 && desired == 0 && self.hpa.min_replicas == 0 && self.has_outer_metrics();
            let told = if to_zero { (ConditionStatus::True, "ScaledToZero") } else { (ConditionStatus::False, "NotScaledToZero") };
            self.state.scaled_to_zero = Some(told);
        }
        if let Some(behavior) = &self.hpa.behavior {
            let (events, rules) =
                if desired > current { (&mut self.state.ups, &behavior.scale_up) } else { (&mut self.state.downs, &behavior.scale_down) };
            let longest = rules.policies.iter().map(|policy| policy.period).max().unwrap_or(SimDuration::ZERO);
            events.retain(|event| event.at + longest > self.view.now);
            events.push(ScaleEvent { at: self.view.now, change: (desired - current).abs() });
        }
        self.set_status(current, desired, true);
    }

    fn set_status(&mut self, current: i32, desired: i32, scaled: bool) {
        let conditions = [self.state.able_to_scale, self.state.scaling_active, self.state.scaling_limited, self.state.scaled_to_zero];
        let before = (self.hpa.current_replicas, self.hpa.desired_replicas, self.hpa.conditions);
        if scaled || (current, desired, conditions) != before {
            let write = Write::HpaStatus { hpa: self.id, current, desired, scaled, conditions };
            self.out.write(Component::HorizontalPodAutoscaler, write);
        }
    }

    /// Tells failures when they are others than the last time.
    fn fail(&mut self, failures: Vec<(&'static str, String)>) {
        let text = failures.iter().map(|(reason, error)| format!("{reason}: {error}\n")).collect::<String>();
        if text == self.state.failure {
            return;
        }
        self.state.failure = text;
        for (reason, error) in failures {
            let object = object_name("HorizontalPodAutoscaler", &self.hpa.meta);
            self.out.event(Component::HorizontalPodAutoscaler, true, reason, object, error);
        }
    }

    /// The reason that explains the decision best: a limit, then a window.
    fn telling_reason(&self) -> &'static str {
        match (self.state.scaling_limited, self.state.able_to_scale) {
            (Some((ConditionStatus::True, reason)), _) => reason,
            (_, Some((_, reason @ ("ScaleDownStabilized" | "ScaleUpStabilized")))) => reason,
            (Some((_, reason)), _) => reason,
            (None, _) => "",
        }
    }

    fn record(&mut self, current: i32, proposed: i32, desired: i32, reason: &str, answers: &[Answer]) {
        let metrics = self.hpa.metrics.iter().enumerate();
        let shown = metrics.map(|(place, metric)| show(metric, answers.get(place).and_then(|(_, answer)| answer.as_ref().ok())));
        let record = Record::Autoscale {
            hpa: self.hpa.meta.key().to_string().into(),
            target: format!("{}/{}/{}", self.hpa.target_kind, self.hpa.meta.namespace, self.hpa.target_name).into(),
            current,
            proposed,
            stabilized: self.state.stabilized.unwrap_or(proposed),
            min: self.hpa.min_replicas,
            max: self.hpa.max_replicas,
            desired,
            metric: shown.collect::<Vec<_>>().join(", ").into(),
            reason: reason.into(),
        };
        if desired != current || self.state.recorded.as_ref() != Some(&record) {
            self.out.record(record.clone());
            self.state.recorded = Some(record);
        }
    }
}

/// metrics-server lists running pods only, and only those are scraped.
pub(super) fn is_measured(pod: &Pod) -> bool {
    pod.status.phase == api::PodPhase::Running
}

fn missing_target(hpa: &HorizontalPodAutoscaler) -> String {
    match &*hpa.target_kind {
        "Deployment" => format!("deployments.apps \"{}\" not found", hpa.target_name),
        "ReplicaSet" => format!("replicasets.apps \"{}\" not found", hpa.target_name),
        "StatefulSet" => format!("statefulsets.apps \"{}\" not found", hpa.target_name),
        kind => format!("no matches for kind \"{kind}\": it is not simulated"),
    }
}
