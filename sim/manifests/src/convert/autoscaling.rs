//! HorizontalPodAutoscalers, v2 and v1.
//!
//! Defaults upstream: pkg/apis/autoscaling/v2/defaults.go. Missing rules of a direction are filled in only when the
//! user wrote a `behavior`; without one the controller's own rules hold, which differ in the look-back.

use api::{
    DescribedObject, HorizontalPodAutoscaler, HpaBehavior, IntOrPercent, MetricIdentifier, MetricSource, MetricSpec, MetricTarget,
    ResourceName, ScalingPolicy, ScalingPolicySelect, ScalingRules, SimDuration,
};
use k8s_openapi::api::autoscaling::{v1, v2};

use super::meta::{object_meta, optional_selector};
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
    check_scale_to_zero(cx, &found);
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
    check_scale_to_zero(cx, &found);
    found
}

/// Without pods there are no metrics of pods.
fn check_scale_to_zero(cx: &mut Cx<'_>, found: &HorizontalPodAutoscaler) {
    let has_outer = found.metrics.iter().any(|metric| matches!(metric.source, MetricSource::Object(..) | MetricSource::External(_)));
    if found.min_replicas == 0 && cx.options.hpa_scale_to_zero && !has_outer {
        let label = "must specify at least one Object or External metric to support scaling to zero replicas";
        let root = Step::Root;
        cx.error("WT0118", "an autoscaler that could not come back from zero", label, &root.key("spec").key("minReplicas"));
    }
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
    let least = if cx.options.hpa_scale_to_zero { 0 } else { 1 };
    if min == 0 && least == 1 {
        let help = "feature gate HPAScaleToZero allows it; a scenario sets it with `controlPlane: {featureGates: {HPAScaleToZero: true}}`";
        let label = "must be greater than or equal to 1";
        cx.error_with_help("WT0109", "0 is out of range", label, help, &at.key("minReplicas"));
    } else {
        cx.ranged(min, least..=i32::MAX, &at.key("minReplicas"));
    }
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
    let found = match field {
        "resource" => from.resource.as_ref().map(|from| {
            let target = target(cx, &from.target, &[AVERAGE_VALUE, UTILIZATION], &source_at);
            (MetricSource::Resource(ResourceName::new(&from.name)), target)
        }),
        "containerResource" => from.container_resource.as_ref().map(|from| {
            let target = target(cx, &from.target, &[AVERAGE_VALUE, UTILIZATION], &source_at);
            (MetricSource::ContainerResource(ResourceName::new(&from.name), from.container.as_str().into()), target)
        }),
        "pods" => from.pods.as_ref().map(|from| {
            let target = target(cx, &from.target, &[AVERAGE_VALUE], &source_at);
            (MetricSource::Pods(identifier(cx, &from.metric, &source_at)), target)
        }),
        "object" => from.object.as_ref().map(|from| {
            let own: &[&str] = match &*from.target.type_ {
                "Value" => &[VALUE],
                "AverageValue" => &[AVERAGE_VALUE],
                _ => &[],
            };
            let mut target = target(cx, &from.target, &[VALUE, AVERAGE_VALUE], &source_at);
            if !is_among(&target, own) {
                target = MetricTarget::Unset; // The controller goes by the type alone, and then finds no value.
            }
            (MetricSource::Object(identifier(cx, &from.metric, &source_at), described(cx, &from.described_object, &source_at)), target)
        }),
        _ => from.external.as_ref().map(|from| {
            let target_at = source_at.key("target");
            if from.target.value.is_some() && from.target.average_value.is_some() {
                let label = "may not set both a target value for metric and a per-pod target";
                cx.error("WT0117", "`value` and `averageValue` exclude each other", label, &target_at.key("value"));
            }
            let target = target(cx, &from.target, &[AVERAGE_VALUE, VALUE], &source_at);
            (MetricSource::External(identifier(cx, &from.metric, &source_at)), target)
        }),
    };
    let Some((source, target)) = found else {
        cx.missing(field, at);
        return None;
    };
    Some(MetricSpec { source, target })
}

fn identifier(cx: &mut Cx<'_>, from: &v2::MetricIdentifier, source_at: &Step<'_>) -> MetricIdentifier {
    let at = source_at.key("metric");
    if from.name.is_empty() {
        cx.missing("name", &at);
    }
    MetricIdentifier { name: from.name.as_str().into(), selector: optional_selector(cx, from.selector.as_ref(), &at.key("selector")) }
}

fn described(cx: &mut Cx<'_>, from: &v2::CrossVersionObjectReference, source_at: &Step<'_>) -> DescribedObject {
    let at = source_at.key("describedObject");
    for (field, text) in [("kind", &from.kind), ("name", &from.name)] {
        if text.is_empty() {
            cx.missing(field, &at);
        }
    }
    DescribedObject {
        api_version: from.api_version.as_deref().unwrap_or_default().into(),
        kind: from.kind.as_str().into(),
        name: from.name.as_str().into(),
    }
}

const UTILIZATION: &str = "averageUtilization";
const AVERAGE_VALUE: &str = "averageValue";
const VALUE: &str = "value";

fn is_among(target: &MetricTarget, fields: &[&str]) -> bool {
    let field = match target {
        MetricTarget::AverageUtilization(_) => UTILIZATION,
        MetricTarget::AverageValueMillis(_) => AVERAGE_VALUE,
        MetricTarget::ValueMillis(_) => VALUE,
        MetricTarget::Unset => return true,
    };
    fields.contains(&field)
}

/// The target in the first of `fields` that is set, which is the order in which the controller looks for it; the
/// target's type is checked and otherwise left alone.
fn target(cx: &mut Cx<'_>, from: &v2::MetricTarget, fields: &[&'static str], source_at: &Step<'_>) -> MetricTarget {
    let at = source_at.key("target");
    cx.word(&from.type_, &[("Utilization", ()), ("AverageValue", ()), ("Value", ())], &at.key("type"));
    let mut positive = |raw: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>, field| {
        let millis = cx.quantity(raw?, &at.key(field))?.milli_value();
        if millis <= 0 {
            cx.error("WT0109", format!("a target of {}", raw?.0), "must be positive", &at.key(field));
        }
        Some(millis.max(1))
    };
    let value = positive(from.value.as_ref(), VALUE).map(MetricTarget::ValueMillis);
    let average_value = positive(from.average_value.as_ref(), AVERAGE_VALUE).map(MetricTarget::AverageValueMillis);
    if let Some(per_cent) = from.average_utilization {
        cx.ranged(per_cent, 1..=i32::MAX, &at.key(UTILIZATION));
    }
    let utilization = from.average_utilization.map(|per_cent| MetricTarget::AverageUtilization(per_cent.max(1)));
    let mut found = fields.iter().filter_map(|field| match *field {
        UTILIZATION => utilization.clone(),
        AVERAGE_VALUE => average_value.clone(),
        _ => value.clone(),
    });
    let found = found.next();
    let is_given = |field: &str| match field {
        UTILIZATION => from.average_utilization.is_some(),
        AVERAGE_VALUE => from.average_value.is_some(),
        _ => from.value.is_some(),
    };
    // A quantity that is none has been told of.
    if found.is_none() && !fields.iter().any(|field| is_given(field)) {
        let word = fields.iter().find(|field| type_of(field) == from.type_).or_else(|| fields.last());
        cx.missing(word.unwrap_or(&VALUE), &at);
    }
    found.unwrap_or(MetricTarget::Unset)
}

fn type_of(field: &str) -> &'static str {
    match field {
        UTILIZATION => "Utilization",
        AVERAGE_VALUE => "AverageValue",
        _ => "Value",
    }
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
