//! HorizontalPodAutoscaler controller: from metrics to a size, held back by windows and limits.
//!
//! Reads: HorizontalPodAutoscalers, their targets, pods and usages. Writes: the target's scale, its status.
//! Upstream: pkg/controller/podautoscaler/horizontal.go; the arithmetic is in `replica_calculator`.
//!
//! Invariants: each autoscaler is looked at every sync period from its creation, whatever happens; what is
//! recorded is every decision, and every look that differs from the one before.
//!
//! Not modelled: metrics other than cpu and memory (they fail as upstream's do without an adapter), scaling from and
//! to zero (the gate is off), the label index behind AmbiguousSelector (two autoscalers of one target are
//! ambiguous; overlapping selectors of two targets are not noticed), conditions as stored status.
//! An Event that upstream would only count once more is not repeated.

use std::collections::BTreeMap;

use api::{
    ConditionStatus, HorizontalPodAutoscaler, HpaBehavior, IntOrPercent, Kind, MetricSource, MetricSpec, MetricTarget, ObjectKey, Pod,
    ResourceName, ScalingPolicySelect, ScalingRules, SimDuration, SimTime, Str,
};
use trace::Record;

use super::metrics::PodMetrics;
use super::replica_calculator::{Measured, Proposal, Question, Readiness, Tolerances, by_average, by_utilization, no_metrics};
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
    fn replicas(self, store: &Store) -> i32 {
        match self {
            Self::Deployment(id) => store.deployments.get(id).map_or(0, |deployment| deployment.replicas),
            Self::ReplicaSet(id) => store.replica_sets.get(id).map_or(0, |set| set.replicas),
            Self::StatefulSet(id) => store.stateful_sets.get(id).map_or(0, |set| set.replicas),
        }
    }
}

/// A change of scale, for the limits of policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ScaleEvent {
    at: SimTime,
    change: i32,
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
    /// The failure told last.
    failure: String,
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

/// A metric that gives no number: the reason of its condition, and the error.
struct Invalid {
    reason: &'static str,
    error: String,
    /// The error with what upstream wraps around it further up.
    outer: String,
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
    pub(crate) fn sync(&mut self, id: HpaId, view: &View<'_>, metrics: &PodMetrics, out: &mut Effects) {
        let Some(hpa) = view.store.hpas.get(id) else {
            self.states.remove(&id);
            return;
        };
        out.at(view.now + view.settings.horizontal_pod_autoscaler.sync_period, Event::HpaSync(id));
        let state = self.states.entry(id).or_default();
        Look { id, hpa, state, view, metrics, out }.reconcile();
    }
}

/// One look at one autoscaler.
struct Look<'a, 'b> {
    id: HpaId,
    hpa: &'a HorizontalPodAutoscaler,
    state: &'b mut State,
    view: &'a View<'a>,
    metrics: &'a PodMetrics,
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
        let current = target.replicas(self.view.store);
        if self.state.recommendations.is_empty() {
            self.state.recommendations.push((self.view.now, current));
        }
        let (min, max) = (hpa.min_replicas, hpa.max_replicas);
        if current == 0 {
            self.state.scaling_active = Some((ConditionStatus::False, "ScalingDisabled"));
            self.set_status(current, current, false);
            self.record(current, current, current, "ScalingDisabled", &[]);
        } else if current > max {
            self.rescale(target, current, max, "Current number of replicas above Spec.MaxReplicas");
            self.record(current, max, max, "SucceededRescale", &[]);
        } else if current < min {
            self.rescale(target, current, min, "Current number of replicas below Spec.MinReplicas");
            self.record(current, min, min, "SucceededRescale", &[]);
        } else {
            self.follow_metrics(target, current);
        }
    }

    fn follow_metrics(&mut self, target: Target, current: i32) {
        let answers = self.ask_metrics(target, current);
        let Some(wanted) = self.combine(&answers, current) else {
            self.set_status(current, self.hpa.desired_replicas, false);
            let reason = self.state.scaling_active.map_or("", |(_, reason)| reason);
            return self.record(current, current, current, reason, &answers);
        };
        let desired = match &self.hpa.behavior {
            None => self.normalize(current, wanted.replicas),
            Some(behavior) => self.normalize_with_behavior(behavior, current, wanted.replicas),
        };
        if desired == current {
            self.set_status(current, current, false);
        } else {
            let reason = if wanted.replicas > current { format!("{} above target", wanted.name) } else { below_target(&wanted, current) };
            self.rescale(target, current, desired, &reason);
        }
        let reason = self.telling_reason();
        self.record(current, wanted.replicas, desired, reason, &answers);
    }

    // --- Metrics ---

    fn ask_metrics(&self, target: Target, current: i32) -> Vec<(String, Result<Proposal, Invalid>)> {
        let pods = target.pods(self.view.store);
        self.hpa.metrics.iter().map(|metric| self.ask_metric(metric, &pods, current)).collect()
    }

    /// Upstream's name of a metric, and what it asks for.
    fn ask_metric(&self, metric: &MetricSpec, pods: &[(PodId, &Pod)], current: i32) -> (String, Result<Proposal, Invalid>) {
        let (resource, container) = match &metric.source {
            MetricSource::Resource(resource) => (resource, None),
            MetricSource::ContainerResource(resource, container) => (resource, Some(container)),
            MetricSource::Other(kind, name) => {
                return (format!("{kind} metric {name}"), Err(other_metric(kind, name, &self.hpa.meta.namespace)));
            }
        };
        let usage = |pod: &Pod| self.metrics.get(pod, resource, container, self.view).filter(|_| is_measured(pod));
        let measured: Vec<Measured<'_>> = pods.iter().map(|(_, pod)| Measured { pod, metric: usage(pod) }).collect();
        let settings = self.settings();
        let question = Question {
            pods: &measured,
            resource,
            current,
            tolerances: tolerances(self.hpa.behavior.as_ref(), settings),
            readiness: Readiness {
                cpu_initialization_period: settings.cpu_initialization_period,
                initial_readiness_delay: settings.initial_readiness_delay,
            },
            now: self.view.now,
        };
        ask_resource(metric, &question, container)
    }

    /// The largest proposal. `None` when no metric is valid, or when one is not and the others would shrink.
    fn combine(&mut self, answers: &[(String, Result<Proposal, Invalid>)], current: i32) -> Option<Wanted> {
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
        let conditions = [self.state.able_to_scale, self.state.scaling_active, self.state.scaling_limited];
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

    fn record(&mut self, current: i32, proposed: i32, desired: i32, reason: &str, answers: &[(String, Result<Proposal, Invalid>)]) {
        let metrics = self.hpa.metrics.iter().enumerate();
        let shown = metrics.map(|(place, metric)| show(metric, answers.get(place).and_then(|(_, answer)| answer.as_ref().ok())));
        let record = Record::Autoscale {
            hpa: self.hpa.meta.key().to_string().into(),
            target: format!("{}/{}/{}", self.hpa.target_kind, self.hpa.meta.namespace, self.hpa.target_name).into(),
            current,
            proposed,
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

/// metrics-server lists running pods only.
fn is_measured(pod: &Pod) -> bool {
    pod.status.phase == api::PodPhase::Running
}

fn below_target(wanted: &Wanted, current: i32) -> String {
    // The proposal may be the current size while a limit moves it: upstream then gives no reason.
    if wanted.replicas < current { "All metrics below target".to_owned() } else { String::new() }
}

fn missing_target(hpa: &HorizontalPodAutoscaler) -> String {
    match &*hpa.target_kind {
        "Deployment" => format!("deployments.apps \"{}\" not found", hpa.target_name),
        "ReplicaSet" => format!("replicasets.apps \"{}\" not found", hpa.target_name),
        "StatefulSet" => format!("statefulsets.apps \"{}\" not found", hpa.target_name),
        kind => format!("no matches for kind \"{kind}\": it is not simulated"),
    }
}

/// Upstream: computeStatusForResourceMetricGeneric.
fn ask_resource(metric: &MetricSpec, question: &Question<'_>, container: Option<&Str>) -> (String, Result<Proposal, Invalid>) {
    let resource = question.resource;
    let reason = if container.is_some() { "FailedGetContainerResourceMetric" } else { "FailedGetResourceMetric" };
    let middle = if container.is_some() { " container" } else { "" };
    let is_known = matches!(resource, ResourceName::Cpu | ResourceName::Memory);
    let (name, answer) = match metric.target {
        MetricTarget::AverageUtilization(target) => {
            let answer = if is_known { by_utilization(question, target, container) } else { Err(no_metrics(resource)) };
            let name = format!("{resource}{middle} resource utilization (percentage of request)");
            (name, answer.map_err(|error| format!("failed to get {resource} utilization: {error}")))
        }
        MetricTarget::AverageValueMillis(target) => {
            let answer = if is_known { by_average(question, target) } else { Err(no_metrics(resource)) };
            (format!("{resource} resource"), answer.map_err(|error| format!("failed to get {resource} usage: {error}")))
        }
        MetricTarget::ValueMillis(_) => {
            let error = "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set";
            (format!("{resource} resource"), Err(error.to_owned()))
        }
    };
    let outer = |error: &str| match container {
        Some(container) => format!("failed to get {container} container metric value: {error}"),
        None => format!("failed to get {resource} resource metric value: {error}"),
    };
    (name, answer.map_err(|error| Invalid { reason, outer: outer(&error), error }))
}

/// Metrics of other kinds come from adapters, of which there are none.
fn other_metric(kind: &str, name: &str, namespace: &str) -> Invalid {
    const CUSTOM: &str = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
    const EXTERNAL: &str =
        "unable to fetch metrics from external metrics API: no external metrics API (external.metrics.k8s.io) registered";
    let (reason, error, before) = match kind {
        "Pods" => ("FailedGetPodsMetric", format!("unable to get metric {name}: {CUSTOM}"), "failed to get pods metric value".to_owned()),
        "Object" => {
            ("FailedGetObjectMetric", format!("unable to get metric {name}: {CUSTOM}"), "failed to get object metric value".to_owned())
        }
        "External" => (
            "FailedGetExternalMetric",
            format!("unable to get external metric {namespace}/{name}: {EXTERNAL}"),
            format!("failed to get {name} external metric value"),
        ),
        _ => {
            let error = format!("unknown metric source type \"{kind}\"");
            return Invalid { reason: "InvalidMetricSourceType", outer: error.clone(), error };
        }
    };
    Invalid { reason, outer: format!("{before}: {error}"), error }
}

/// A metric as kubectl shows it: `cpu: 143%/65%`.
fn show(metric: &MetricSpec, proposal: Option<&Proposal>) -> String {
    let name = match &metric.source {
        MetricSource::Resource(resource) | MetricSource::ContainerResource(resource, _) => resource.as_str(),
        MetricSource::Other(_, name) => name,
    };
    let unknown = || "<unknown>".to_owned();
    match metric.target {
        MetricTarget::AverageUtilization(target) => {
            let current = proposal.and_then(|proposal| proposal.utilization).map_or_else(unknown, |percent| format!("{percent}%"));
            format!("{name}: {current}/{target}%")
        }
        MetricTarget::AverageValueMillis(target) | MetricTarget::ValueMillis(target) => {
            let shown = if name == ResourceName::Memory.as_str() { bytes } else { millis };
            let current = proposal.map_or_else(unknown, |proposal| shown(proposal.mean_millis));
            format!("{name}: {current}/{}", shown(target))
        }
    }
}

fn bytes(millis: i64) -> String {
    api::Quantity::from_units((millis + 999) / 1000).to_string()
}

fn millis(value: i64) -> String {
    if value % 1000 == 0 { (value / 1000).to_string() } else { format!("{value}m") }
}

fn tolerances(behavior: Option<&HpaBehavior>, settings: &HpaSettings) -> Tolerances {
    let own = |rules: fn(&HpaBehavior) -> &ScalingRules| {
        behavior.and_then(|behavior| rules(behavior).tolerance_micros).map_or(settings.tolerance, |micros| micros as f64 / 1e6)
    };
    Tolerances { scale_down: own(|behavior| &behavior.scale_down), scale_up: own(|behavior| &behavior.scale_up) }
}

/// At most doubled, or four (upstream: convertDesiredReplicasWithRules).
fn limit_without_behavior(current: i32, desired: i32, min: i32, max: i32) -> (i32, &'static str) {
    let rate = current.saturating_mul(2).max(4);
    let (limit, reason) = if max > rate { (rate, "ScaleUpLimit") } else { (max, "TooManyReplicas") };
    if desired < min {
        (min, "TooFewReplicas")
    } else if desired > limit {
        (limit, reason)
    } else {
        (desired, "DesiredWithinRange")
    }
}

fn changed_within(period: SimDuration, events: &[ScaleEvent], now: SimTime) -> i32 {
    events.iter().filter(|event| event.at + period > now).map(|event| event.change).sum()
}

/// The size at the beginning of a policy's period.
fn period_start(current: i32, period: SimDuration, ups: &[ScaleEvent], downs: &[ScaleEvent], now: SimTime) -> i32 {
    current - changed_within(period, ups, now) + changed_within(period, downs, now)
}

fn scale_up_limit(current: i32, ups: &[ScaleEvent], downs: &[ScaleEvent], rules: &ScalingRules, now: SimTime) -> i32 {
    let limits = rules.policies.iter().map(|policy| {
        let start = period_start(current, policy.period, ups, downs, now);
        match policy.amount {
            IntOrPercent::Count(pods) => start.saturating_add(pods),
            // Rounded up, or a small target would never grow.
            IntOrPercent::Percent(percent) => libm::ceil(f64::from(start) * (1.0 + f64::from(percent) / 100.0)) as i32,
        }
    });
    match rules.select {
        ScalingPolicySelect::Disabled => current,
        ScalingPolicySelect::Min => limits.min().unwrap_or(i32::MAX),
        ScalingPolicySelect::Max => limits.max().unwrap_or(i32::MIN),
    }
}

fn scale_down_limit(current: i32, ups: &[ScaleEvent], downs: &[ScaleEvent], rules: &ScalingRules, now: SimTime) -> i32 {
    let limits = rules.policies.iter().map(|policy| {
        let start = period_start(current, policy.period, ups, downs, now);
        match policy.amount {
            IntOrPercent::Count(pods) => start.saturating_sub(pods),
            IntOrPercent::Percent(percent) => (f64::from(start) * (1.0 - f64::from(percent) / 100.0)) as i32, // Cut.
        }
    });
    match rules.select {
        ScalingPolicySelect::Disabled => current,
        ScalingPolicySelect::Min => limits.max().unwrap_or(i32::MIN),
        ScalingPolicySelect::Max => limits.min().unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, pod};
    use super::*;
    use crate::store::Id;
    use api::ScalingPolicy;

    const HPA: HpaId = Id::new(0);

    /// A ReplicaSet `web` with one autoscaler on it; load is shared by all its pods.
    struct Rig {
        bench: Bench,
        controller: HpaController,
        metrics: PodMetrics,
    }

    fn rig(replicas: i32, min: i32, max: i32, target: i32, behavior: Option<HpaBehavior>) -> Rig {
        let mut bench = bench().replica_set("web", replicas).at(1000);
        let metrics =
            vec![MetricSpec { source: MetricSource::Resource(ResourceName::Cpu), target: MetricTarget::AverageUtilization(target) }];
        let mut hpa = HorizontalPodAutoscaler {
            target_kind: "ReplicaSet".into(),
            target_name: "web".into(),
            min_replicas: min,
            max_replicas: max,
            metrics,
            behavior,
            ..HorizontalPodAutoscaler::default()
        };
        (hpa.meta.namespace, hpa.meta.name) = ("default".into(), "web".into());
        bench.store.create(hpa, bench.now, &bench.streams).expect("a free name");
        Rig { bench, controller: HpaController::default(), metrics: PodMetrics::default() }
    }

    impl Rig {
        /// The next look: as many old pods as wanted share the load (in millicpu, of which each asks for 100).
        fn look(&mut self, load_millis: i64) -> Vec<String> {
            self.bench.now += SimDuration::from_secs(15);
            let id = Id::new(0);
            let wanted = self.bench.store.replica_sets.get(id).expect("it is there").replicas;
            let have = self.bench.store.pods.len() as i32;
            for number in have..wanted {
                let bench = std::mem::replace(&mut self.bench, bench());
                self.bench = bench.owned_pod("web", pod(&format!("web-{number:03}")).ready_since(0));
            }
            self.measure(load_millis, wanted);
            let (now, hpa) = (self.bench.now, HPA);
            let lines = self.bench.run(|view, out| self.controller.sync(hpa, view, &self.metrics, out));
            self.follow(&lines);
            let period = now + SimDuration::from_secs(15);
            assert_eq!(lines.last(), Some(&format!("at {period}: HpaSync(#0)")), "every 15 s");
            lines[..lines.len() - 1].to_vec()
        }
        fn measure(&mut self, load_millis: i64, wanted: i32) {
            self.metrics.clear();
            let surplus: Vec<PodId> = self.bench.store.pods.iter().map(|(id, _)| id).skip(wanted as usize).collect();
            for id in surplus {
                self.bench.store.remove_pod(id);
            }
            for (_, pod) in self.bench.store.pods.iter() {
                self.metrics.set(pod.meta.uid, load_millis / i64::from(wanted), self.bench.now);
            }
        }
        /// The scale subresource of a ReplicaSet.
        fn follow(&mut self, lines: &[String]) {
            let scale = lines.iter().find_map(|line| line.split(" to ").nth(1)?.split(';').next()?.parse().ok());
            if let Some(replicas) = scale {
                self.bench.scale_replica_set("web", replicas);
            }
        }
        fn replicas(&self) -> i32 {
            self.bench.store.replica_sets.get(Id::new(0)).expect("it is there").replicas
        }
        fn sizes(&mut self, load_millis: i64, looks: usize) -> Vec<i32> {
            (0..looks)
                .map(|_| {
                    self.look(load_millis);
                    self.replicas()
                })
                .collect()
        }
    }

    #[test]
    fn a_forty_fold_load_grows_as_recorded() {
        // conformance/timelines/s06-hpa-40x-*
        let mut rig = rig(10, 10, 200, 80, None);
        assert_eq!(rig.sizes(800, 1), [10]);
        assert_eq!(
            rig.look(32_000),
            [
                "horizontal-pod-autoscaler scale ReplicaSet/default/web to 20; SuccessfulRescale HorizontalPodAutoscaler/default/web: \
                 New size: 20; reason: cpu resource utilization (percentage of request) above target",
                "horizontal-pod-autoscaler status current=10 desired=20 scaled",
                "autoscale 10 -> 400 -> 20 (cpu: 3200%/80%) ScaleUpLimit",
            ]
        );
        assert_eq!(rig.sizes(32_000, 5), [40, 80, 160, 200, 200]);
    }

    #[test]
    fn shrinking_waits_for_the_last_higher_recommendation_to_be_300_s_old() {
        let mut rig = rig(10, 10, 200, 80, None);
        rig.sizes(32_000, 5);
        rig.sizes(32_000, 1); // The last high recommendation.
        assert_eq!(rig.sizes(800, 19), [200; 19]);
        let lines = rig.look(800);
        assert!(lines[0].ends_with("New size: 10; reason: All metrics below target"), "{lines:?}");
        assert_eq!(rig.replicas(), 10);
    }

    #[test]
    fn the_trap_of_a_restart_the_first_size_seen_holds_for_300_s() {
        let mut rig = rig(10, 1, 20, 50, None);
        assert_eq!(rig.sizes(0, 20), [10; 20]);
        assert_eq!(rig.look(0)[2], "autoscale 10 -> 0 -> 1 (cpu: 0%/50%) TooFewReplicas");
    }

    fn rules(policies: &[(IntOrPercent, u64)]) -> ScalingRules {
        let policies = policies.iter().map(|(amount, seconds)| ScalingPolicy { amount: *amount, period: SimDuration::from_secs(*seconds) });
        ScalingRules { stabilization_window: None, select: ScalingPolicySelect::Max, policies: policies.collect(), tolerance_micros: None }
    }
    fn default_behavior() -> HpaBehavior {
        HpaBehavior {
            scale_up: rules(&[(IntOrPercent::Count(4), 15), (IntOrPercent::Percent(100), 15)]),
            scale_down: rules(&[(IntOrPercent::Percent(100), 15)]),
        }
    }

    #[test]
    fn four_pods_grow_to_forty_by_doubling() {
        let mut rig = rig(4, 1, 100, 50, Some(default_behavior())); // T31b of the traffic tests
        assert_eq!(rig.sizes(2000, 5), [8, 16, 32, 40, 40]);
    }

    #[test]
    fn a_policy_counts_what_was_added_in_its_period() {
        let mut behavior = default_behavior();
        behavior.scale_up = rules(&[(IntOrPercent::Count(4), 60)]);
        let mut rig = rig(4, 1, 100, 50, Some(behavior));
        assert_eq!(rig.sizes(5000, 9), [8, 8, 8, 8, 12, 12, 12, 12, 16]);
    }

    #[test]
    fn a_scale_down_policy_cuts_and_min_picks_the_smaller_step() {
        let mut behavior = default_behavior();
        behavior.scale_down = ScalingRules {
            stabilization_window: Some(SimDuration::ZERO),
            select: ScalingPolicySelect::Min,
            ..rules(&[(IntOrPercent::Percent(10), 15), (IntOrPercent::Count(3), 15)])
        };
        let mut rig = rig(15, 1, 100, 50, Some(behavior));
        // 10 % of 15 leaves trunc(13.5) = 13, three pods leave 12: the smaller step is two.
        assert_eq!(rig.sizes(0, 3), [13, 11, 9]);
    }

    #[test]
    fn an_up_window_takes_the_lowest_recommendation_in_it() {
        let mut behavior = default_behavior();
        behavior.scale_up.stabilization_window = Some(SimDuration::from_secs(60));
        let mut rig = rig(4, 1, 100, 50, Some(behavior));
        rig.look(200);
        let lines = rig.look(400);
        let status = "horizontal-pod-autoscaler status current=4 desired=4"; // AbleToScale has another reason now.
        assert_eq!(lines, [status, "autoscale 4 -> 8 -> 4 (cpu: 100%/50%) ScaleUpStabilized"]);
        assert_eq!(rig.sizes(400, 4), [4, 4, 8, 8]);
    }

    #[test]
    fn without_behavior_a_size_doubles_at_most_or_is_four() {
        // (current, asked for, least, most, size, why)
        for (current, asked, min, max, size, why) in [
            (10, 7, 1, 10, 7, "DesiredWithinRange"),
            (1, 1, 2, 10, 2, "TooFewReplicas"),
            (10, 11, 1, 10, 10, "TooManyReplicas"),
            (3, 9, 1, 10, 6, "ScaleUpLimit"),
            (1, 10, 1, 10, 4, "ScaleUpLimit"),
            (2, 4, 1, 10, 4, "DesiredWithinRange"),
            (1, 10, 1, 3, 3, "TooManyReplicas"),
            (5, 0, 3, 10, 3, "TooFewReplicas"),
            (5, 20, 1, 10, 10, "TooManyReplicas"), // Twice five is the most there may be.
        ] {
            assert_eq!(limit_without_behavior(current, asked, min, max), (size, why), "{current} {asked} {min} {max}");
        }
    }

    #[test]
    fn policies_limit_what_is_added_or_taken_in_their_periods() {
        use IntOrPercent::{Count, Percent};
        use ScalingPolicySelect::{Disabled, Max, Min};
        let now = SimTime::from_secs(1000);
        let event = |ago: u64, change| ScaleEvent { at: SimTime::from_secs(1000 - ago), change };
        let none: &[ScaleEvent] = &[];
        let (ten_ago_30, ten_ago_60) = ([event(30, 10)], [event(60, 10)]);
        // (current, added, taken, policies, which, limit up, limit down)
        type Row<'a> = (i32, &'a [ScaleEvent], &'a [ScaleEvent], &'a [(IntOrPercent, u64)], ScalingPolicySelect, i32, i32);
        let rows: [Row<'_>; 14] = [
            (100, none, none, &[(Count(4), 60)], Max, 104, 96),
            (100, none, none, &[(Percent(50), 60)], Max, 150, 50),
            (100, none, none, &[(Count(4), 60), (Percent(50), 60)], Max, 150, 50), // The larger step either way.
            (100, none, none, &[(Count(4), 60), (Percent(50), 60)], Min, 104, 96),
            (100, none, none, &[(Count(4), 60), (Percent(50), 60)], Disabled, 100, 100),
            (3, none, none, &[(Percent(10), 60)], Max, 4, 2),    // 3.3 up, 2.7 cut.
            (15, none, none, &[(Percent(10), 60)], Max, 17, 13), // 16.5 up, 13.5 cut.
            // 100 * 1.1 is 110.00000000000001 in floating point, and upstream rounds that up too.
            (100, none, none, &[(Percent(10), 60)], Max, 111, 90),
            (7, none, none, &[(Percent(100), 60)], Max, 14, 0),
            (20, &ten_ago_30, none, &[(Count(4), 60)], Max, 14, 6), // It was 10 when the period began.
            (20, none, &ten_ago_30, &[(Count(4), 60)], Max, 34, 26), // It was 30.
            (20, &ten_ago_60, none, &[(Count(4), 60)], Max, 24, 16), // Just over.
            (20, &ten_ago_30, &ten_ago_30, &[(Count(4), 60)], Max, 24, 16),
            (20, &ten_ago_30, none, &[(Count(4), 60), (Count(2), 15)], Max, 22, 6), // Each policy looks back its own period.
        ];
        for (current, added, taken, policies, select, up, down) in rows {
            let rules = ScalingRules { select, ..rules(policies) };
            let limits = (scale_up_limit(current, added, taken, &rules, now), scale_down_limit(current, added, taken, &rules, now));
            assert_eq!(limits, (up, down), "{current} {added:?} {taken:?} {policies:?} {select:?}");
        }
    }

    #[test]
    fn a_disabled_direction_stays_as_it_is() {
        let disabled = |rules: ScalingRules| ScalingRules { select: ScalingPolicySelect::Disabled, ..rules };
        let HpaBehavior { scale_up, scale_down } = default_behavior();
        let frozen_up = HpaBehavior { scale_up: disabled(scale_up), scale_down };
        assert_eq!(rig(4, 1, 100, 50, Some(frozen_up)).sizes(2000, 3), [4, 4, 4]);
        let HpaBehavior { scale_up, scale_down } = default_behavior();
        let down = ScalingRules { stabilization_window: Some(SimDuration::ZERO), ..disabled(scale_down) };
        assert_eq!(rig(4, 1, 100, 50, Some(HpaBehavior { scale_up, scale_down: down })).sizes(0, 3), [4, 4, 4]);
    }

    #[test]
    fn a_down_window_of_its_own_takes_the_highest_recommendation_in_it() {
        let mut behavior = default_behavior();
        behavior.scale_down.stabilization_window = Some(SimDuration::from_secs(60));
        let mut rig = rig(4, 1, 100, 50, Some(behavior));
        // 4 at first sight and again at the first look; three looks later both are still inside of the minute.
        assert_eq!(rig.sizes(200, 1), [4]);
        assert_eq!(rig.sizes(50, 4), [4, 4, 4, 1]);
    }

    #[test]
    fn the_largest_of_several_metrics_counts() {
        let mut rig = rig(4, 1, 100, 50, None);
        rig.look(200);
        rig.bench.store.update(HPA, |hpa| {
            let target = MetricTarget::AverageValueMillis(100_000 << 20);
            hpa.metrics.push(MetricSpec { source: MetricSource::Resource(ResourceName::Memory), target });
            true
        });
        for (memory_mib, size) in [(100, 4), (20, 4), (150, 6)] {
            rig.bench.scale_replica_set("web", 4);
            for (_, pod) in rig.bench.store.pods.iter() {
                rig.metrics.set_memory(pod.meta.uid, memory_mib << 20, rig.bench.now);
            }
            let lines = rig.bench.run(|view, out| rig.controller.sync(HPA, view, &rig.metrics, out));
            rig.follow(&lines);
            assert_eq!(rig.replicas(), size, "cpu asks for 4, memory of {memory_mib} Mi: {lines:?}");
        }
    }

    #[test]
    fn tolerance_has_a_direction() {
        let mut behavior = default_behavior();
        behavior.scale_up.tolerance_micros = Some(300_000);
        let mut tolerant = rig(10, 1, 100, 80, Some(behavior));
        assert_eq!(tolerant.sizes(10 * 92, 1), [10], "1.15 is within 0.3");
        assert_eq!(rig(10, 1, 100, 80, None).sizes(10 * 92, 1), [12], "but not within 0.1");
    }

    #[test]
    fn sizes_outside_the_bounds_are_corrected_without_metrics() {
        let mut above = rig(10, 1, 4, 50, None);
        assert!(above.look(0)[0].ends_with("New size: 4; reason: Current number of replicas above Spec.MaxReplicas"));
        let mut below = rig(1, 3, 4, 50, None);
        assert!(below.look(0)[0].ends_with("New size: 3; reason: Current number of replicas below Spec.MinReplicas"));
        let mut zero = rig(0, 1, 4, 50, None);
        let id = HPA;
        let lines = zero.bench.run(|view, out| zero.controller.sync(id, view, &zero.metrics, out));
        assert_eq!(
            lines[..2],
            ["horizontal-pod-autoscaler status current=0 desired=0", "autoscale 0 -> 0 -> 0 (cpu: <unknown>/50%) ScalingDisabled"]
        );
    }

    #[test]
    fn a_quiet_look_leaves_no_trace_and_a_failure_is_told_once() {
        let mut rig = rig(10, 1, 20, 80, None);
        assert_eq!(
            rig.look(800),
            ["horizontal-pod-autoscaler status current=10 desired=10", "autoscale 10 -> 10 -> 10 (cpu: 80%/80%) DesiredWithinRange"]
        );
        assert_eq!(rig.look(800), Vec::<String>::new());
        rig.metrics.clear();
        let id = HPA;
        let lines = rig.bench.run(|view, out| rig.controller.sync(id, view, &rig.metrics, out));
        let error = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API";
        assert_eq!(
            lines[..4],
            [
                "horizontal-pod-autoscaler status current=10 desired=10".to_owned(), // ScalingActive is False now.
                format!("Warning FailedGetResourceMetric HorizontalPodAutoscaler/default/web: {error}"),
                format!(
                    "Warning FailedComputeMetricsReplicas HorizontalPodAutoscaler/default/web: invalid metrics (1 invalid out of 1), \
                     first error is: failed to get cpu resource metric value: {error}"
                ),
                "autoscale 10 -> 10 -> 10 (cpu: <unknown>/80%) FailedGetResourceMetric".to_owned(),
            ]
        );
        let again = rig.bench.run(|view, out| rig.controller.sync(id, view, &rig.metrics, out));
        assert_eq!(again.len(), 1, "only the next period: {again:?}");
    }

    #[test]
    fn one_invalid_metric_allows_growing_but_not_shrinking() {
        let with_memory = |load| {
            let mut rig = rig(10, 1, 100, 80, None);
            rig.bench.store.update(HPA, |hpa| {
                let target = MetricTarget::AverageUtilization(50);
                hpa.metrics.push(MetricSpec { source: MetricSource::Resource(ResourceName::Memory), target });
                true
            });
            let lines = rig.look(load);
            (rig.replicas(), lines)
        };
        let (replicas, lines) = with_memory(1600);
        assert_eq!(replicas, 20);
        assert!(
            lines.contains(&"autoscale 10 -> 20 -> 20 (cpu: 160%/80%, memory: <unknown>/50%) DesiredWithinRange".to_owned()),
            "{lines:?}"
        );
        let (replicas, lines) = with_memory(100);
        assert_eq!(replicas, 10);
        assert!(lines.iter().any(|line| line.ends_with("FailedGetResourceMetric")), "{lines:?}");
    }

    #[test]
    fn memory_of_pods_and_of_containers_scales() {
        let target = MetricTarget::AverageValueMillis(100_000 << 20);
        let app = MetricSource::ContainerResource(ResourceName::Memory, "app".into());
        for (source, shown) in [(MetricSource::Resource(ResourceName::Memory), "memory resource"), (app, "memory resource")] {
            let mut rig = rig(4, 1, 100, 80, None);
            rig.look(400 * 80 / 100);
            rig.bench.store.update(HPA, |hpa| {
                hpa.metrics = vec![MetricSpec { source: source.clone(), target: target.clone() }];
                true
            });
            for (_, pod) in rig.bench.store.pods.iter() {
                rig.metrics.set_memory(pod.meta.uid, 150 << 20, rig.bench.now);
            }
            let lines = rig.bench.run(|view, out| rig.controller.sync(HPA, view, &rig.metrics, out));
            assert!(lines[0].ends_with(&format!("New size: 6; reason: {shown} above target")), "{lines:?}");
            assert!(lines.contains(&"autoscale 4 -> 6 -> 6 (memory: 150Mi/100Mi) DesiredWithinRange".to_owned()), "{lines:?}");
        }
    }
}
