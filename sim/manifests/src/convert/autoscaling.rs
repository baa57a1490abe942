//! HorizontalPodAutoscalers, v2 and v1.
//!
//! Defaults upstream: pkg/apis/autoscaling/v2/defaults.go. Missing rules of a direction are filled in only when the
//! user wrote a `behavior`; without one the controller's own rules hold, which differ in the look-back.

use api::{
    HorizontalPodAutoscaler, HpaBehavior, IntOrPercent, MetricSource, MetricSpec, MetricTarget, ResourceName, ScalingPolicy,
    ScalingPolicySelect, ScalingRules, SimDuration,
};
use k8s_openapi::api::autoscaling::{v1, v2};

use super::meta::object_meta;
use crate::check::{Cx, NameRule};
use crate::source::Step;

/// A HorizontalPodAutoscaler of autoscaling/v2.
pub(crate) fn autoscaler(cx: &mut Cx<'_>, from: &v2::HorizontalPodAutoscaler) -> HorizontalPodAutoscaler {
    let root = Step::Root;
    let at = root.key("spec");
    let spec = &from.spec;
    let target = (&*spec.scale_target_ref.kind, &*spec.scale_target_ref.name);
    let mut found = common(cx, &from.metadata, target, spec.min_replicas, spec.max_replicas);
    let metrics_at = at.key("metrics");
    for (index, from) in spec.metrics.iter().flatten().enumerate() {
        found.metrics.extend(metric(cx, from, &metrics_at.index(index)));
    }
    if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
        found.metrics.push(cpu_utilization(80));
    }
    let behavior_at = at.key("behavior");
    found.behavior = spec.behavior.as_ref().map(|from| HpaBehavior {
        scale_up: rules(cx, from.scale_up.as_ref(), scale_up_defaults(), &behavior_at.key("scaleUp")),
        scale_down: rules(cx, from.scale_down.as_ref(), scale_down_defaults(), &behavior_at.key("scaleDown")),
    });
    if let Some(status) = &from.status {
        found.current_replicas = status.current_replicas.unwrap_or(0);
        found.desired_replicas = status.desired_replicas;
        found.last_scale = status.last_scale_time.as_ref().map(|time| cx.instant(time));
    }
    found
}

/// A HorizontalPodAutoscaler of autoscaling/v1, which knows cpu alone.
pub(crate) fn autoscaler_v1(cx: &mut Cx<'_>, from: &v1::HorizontalPodAutoscaler) -> HorizontalPodAutoscaler {
    let root = Step::Root;
    let at = root.key("spec");
    let spec = &from.spec;
    let target = (&*spec.scale_target_ref.kind, &*spec.scale_target_ref.name);
    let mut found = common(cx, &from.metadata, target, spec.min_replicas, spec.max_replicas);
    let per_cent = spec.target_cpu_utilization_percentage;
    if let Some(per_cent) = per_cent {
        cx.ranged(per_cent, 1..=i32::MAX, &at.key("targetCPUUtilizationPercentage"));
    }
    found.metrics.push(cpu_utilization(per_cent.unwrap_or(80)));
    found
}

fn cpu_utilization(per_cent: i32) -> MetricSpec {
    MetricSpec { source: MetricSource::Resource(ResourceName::Cpu), target: MetricTarget::AverageUtilization(per_cent) }
}

fn common(
    cx: &mut Cx<'_>,
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    (target_kind, target_name): (&str, &str),
    min_replicas: Option<i32>,
    max_replicas: i32,
) -> HorizontalPodAutoscaler {
    let root = Step::Root;
    let at = root.key("spec");
    let target_at = at.key("scaleTargetRef");
    let meta = object_meta(cx, meta, true, NameRule::Subdomain);
    if target_kind.is_empty() {
        cx.missing("kind", &target_at);
    }
    if target_name.is_empty() {
        cx.missing("name", &target_at);
    }
    let min = min_replicas.unwrap_or(1);
    cx.ranged(min, 1..=i32::MAX, &at.key("minReplicas"));
    if max_replicas == 0 {
        cx.missing("maxReplicas", &at);
    } else if max_replicas < min {
        cx.error("WT0109", "maxReplicas is less than minReplicas", format!("minReplicas is {min}"), &at.key("maxReplicas"));
    }
    HorizontalPodAutoscaler {
        meta,
        target_kind: target_kind.into(),
        target_name: target_name.into(),
        min_replicas: min,
        max_replicas,
        ..HorizontalPodAutoscaler::default()
    }
}

fn metric(cx: &mut Cx<'_>, from: &v2::MetricSpec, at: &Step<'_>) -> Option<MetricSpec> {
    let fields = &[
        ("Resource", "resource"),
        ("ContainerResource", "containerResource"),
        ("Pods", "pods"),
        ("Object", "object"),
        ("External", "external"),
    ];
    let field = cx.word(&from.type_, fields, &at.key("type"))?;
    let source_at = at.key(field);
    let other = |name: &str| MetricSource::Other(from.type_.as_str().into(), name.into());
    let (source, target) = match field {
        "resource" => from.resource.as_ref().map(|from| (MetricSource::Resource(ResourceName::new(&from.name)), &from.target)),
        "containerResource" => from
            .container_resource
            .as_ref()
            .map(|from| (MetricSource::ContainerResource(ResourceName::new(&from.name), from.container.as_str().into()), &from.target)),
        "pods" => from.pods.as_ref().map(|from| (other(&from.metric.name), &from.target)),
        "object" => from.object.as_ref().map(|from| (other(&from.metric.name), &from.target)),
        _ => from.external.as_ref().map(|from| (other(&from.metric.name), &from.target)),
    }
    .or_else(|| {
        cx.missing(field, at);
        None
    })?;
    let target = metric_target(cx, target, &source_at.key("target"))?;
    Some(MetricSpec { source, target })
}

fn metric_target(cx: &mut Cx<'_>, from: &v2::MetricTarget, at: &Step<'_>) -> Option<MetricTarget> {
    let fields = &[("Utilization", "averageUtilization"), ("AverageValue", "averageValue"), ("Value", "value")];
    let field = cx.word(&from.type_, fields, &at.key("type"))?;
    let found = match field {
        "averageUtilization" => from.average_utilization.map(MetricTarget::AverageUtilization),
        "averageValue" => from
            .average_value
            .as_ref()
            .and_then(|raw| cx.quantity(raw, &at.key(field)))
            .map(|quantity| MetricTarget::AverageValueMillis(quantity.milli_value())),
        _ => from
            .value
            .as_ref()
            .and_then(|raw| cx.quantity(raw, &at.key(field)))
            .map(|quantity| MetricTarget::ValueMillis(quantity.milli_value())),
    };
    let is_there = from.average_utilization.is_some() || from.average_value.is_some() || from.value.is_some();
    match &found {
        None if !is_there => cx.missing(field, at),
        Some(MetricTarget::AverageUtilization(per_cent)) => {
            cx.ranged(*per_cent, 1..=i32::MAX, &at.key(field));
        }
        _ => {}
    }
    found
}

const WINDOW: SimDuration = SimDuration::from_secs(15);

fn scale_up_defaults() -> ScalingRules {
    let policies = [IntOrPercent::Count(4), IntOrPercent::Percent(100)];
    ScalingRules {
        stabilization_window: Some(SimDuration::ZERO),
        select: ScalingPolicySelect::Max,
        policies: policies.map(|amount| ScalingPolicy { amount, period: WINDOW }).to_vec(),
        tolerance_micros: None,
    }
}

fn scale_down_defaults() -> ScalingRules {
    ScalingRules {
        stabilization_window: None,
        select: ScalingPolicySelect::Max,
        policies: vec![ScalingPolicy { amount: IntOrPercent::Percent(100), period: WINDOW }],
        tolerance_micros: None,
    }
}

fn rules(cx: &mut Cx<'_>, from: Option<&v2::HPAScalingRules>, mut rules: ScalingRules, at: &Step<'_>) -> ScalingRules {
    let Some(from) = from else { return rules };
    let words = &[("Max", ScalingPolicySelect::Max), ("Min", ScalingPolicySelect::Min), ("Disabled", ScalingPolicySelect::Disabled)];
    if let Some(select) = from.select_policy.as_deref().and_then(|word| cx.word(word, words, &at.key("selectPolicy"))) {
        rules.select = select;
    }
    if let Some(seconds) = from.stabilization_window_seconds {
        let seconds = cx.ranged(seconds, 0..=3600, &at.key("stabilizationWindowSeconds")).unwrap_or(0);
        rules.stabilization_window = Some(SimDuration::from_secs(u64::from(seconds.unsigned_abs())));
    }
    if let Some(from) = &from.policies {
        let policies_at = at.key("policies");
        if from.is_empty() {
            cx.error("WT0107", "rules without a policy", "at least one policy belongs here", &policies_at);
        }
        rules.policies.clear();
        for (index, from) in from.iter().enumerate() {
            rules.policies.extend(policy(cx, from, &policies_at.index(index)));
        }
    }
    if let Some(quantity) = from.tolerance.as_ref().and_then(|raw| cx.quantity(raw, &at.key("tolerance"))) {
        rules.tolerance_micros = Some((quantity.as_f64() * 1e6).round() as i64);
    }
    rules
}

fn policy(cx: &mut Cx<'_>, from: &v2::HPAScalingPolicy, at: &Step<'_>) -> Option<ScalingPolicy> {
    let is_percent = cx.word(&from.type_, &[("Pods", false), ("Percent", true)], &at.key("type"))?;
    let amount = if is_percent { IntOrPercent::Percent(from.value) } else { IntOrPercent::Count(from.value) };
    cx.ranged(from.value, 1..=i32::MAX, &at.key("value"));
    let period = cx.ranged(from.period_seconds, 1..=1800, &at.key("periodSeconds"))?;
    Some(ScalingPolicy { amount, period: SimDuration::from_secs(u64::from(period.unsigned_abs())) })
}
