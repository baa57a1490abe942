//! Disruption budgets and priority classes.

use api::{PodDisruptionBudget, PriorityClass};
use k8s_openapi::api::{policy::v1 as policy, scheduling::v1 as scheduling};

use super::meta::{object_meta, optional_selector};
use super::pod::PREEMPTION;
use crate::check::{Cx, NameRule};
use crate::source::Step;

/// A PodDisruptionBudget.
pub(crate) fn disruption_budget(cx: &mut Cx<'_>, from: &policy::PodDisruptionBudget) -> PodDisruptionBudget {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return PodDisruptionBudget { meta, ..PodDisruptionBudget::default() };
    };
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        cx.error_with_help(
            "WT0117",
            "minAvailable and maxUnavailable together",
            "only one of the two",
            "keep the one you mean",
            &at.key("maxUnavailable"),
        );
    }
    let words = &[("AlwaysAllow", true), ("IfHealthyBudget", false)];
    let always = spec.unhealthy_pod_eviction_policy.as_deref().and_then(|word| cx.word(word, words, &at.key("unhealthyPodEvictionPolicy")));
    let status = from.status.as_ref();
    let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
    PodDisruptionBudget {
        meta,
        selector: optional_selector(cx, spec.selector.as_ref(), &at.key("selector")),
        min_available: spec.min_available.as_ref().and_then(|raw| cx.int_or_percent(raw, &at.key("minAvailable"))),
        max_unavailable: spec.max_unavailable.as_ref().and_then(|raw| cx.int_or_percent(raw, &at.key("maxUnavailable"))),
        always_allow_unhealthy: always.unwrap_or(false),
        disruptions_allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
        current_healthy: status.and_then(|status| status.current_healthy).unwrap_or(0),
        desired_healthy: status.and_then(|status| status.desired_healthy).unwrap_or(0),
        expected_pods: status.and_then(|status| status.expected_pods).unwrap_or(0),
        disruption_allowed: None,
        observed_generation: 0, // The controller has yet to look.
        disrupted_pods: disrupted.into_iter().flatten().map(|(name, time)| (name.as_str().into(), cx.instant(time))).collect(),
    }
}

/// The highest value of a class that users make. Upstream: pkg/apis/scheduling/types.go.
const HIGHEST: i32 = 1_000_000_000;

/// A PriorityClass.
pub(crate) fn priority_class(cx: &mut Cx<'_>, from: &scheduling::PriorityClass) -> PriorityClass {
    let meta = object_meta(cx, &from.metadata, false, NameRule::Subdomain);
    let root = Step::Root;
    match from.value {
        None => cx.missing("value", &root),
        Some(value) if value > HIGHEST && !meta.name.starts_with("system-") => {
            cx.ranged(value, i32::MIN..=HIGHEST, &root.key("value"));
        }
        Some(_) => {}
    }
    let policy = from.preemption_policy.as_deref().and_then(|word| cx.word(word, PREEMPTION, &root.key("preemptionPolicy")));
    PriorityClass {
        meta,
        value: from.value.unwrap_or(0),
        global_default: from.global_default.unwrap_or(false),
        preemption_policy: policy.unwrap_or_default(),
    }
}
