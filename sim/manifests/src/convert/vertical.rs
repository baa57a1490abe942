//! VerticalPodAutoscalers, which come as a custom resource (kubernetes/autoscaler, autoscaling.k8s.io/v1).
//!
//! Their types are here, since k8s-openapi has only those of Kubernetes itself. Rules upstream:
//! vertical-pod-autoscaler/pkg/admission-controller/resource/vpa/validation.go.

use std::collections::BTreeMap;

use api::{ResourceList, ResourceName, VerticalPodAutoscaler, VpaContainerPolicy, VpaEvictionRequirement, VpaUpdateMode};
use k8s_openapi::api::autoscaling::v1::CrossVersionObjectReference;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::meta::object_meta;
use crate::check::{Cx, NameRule};
use crate::source::Step;

macro_rules! raw {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Deserialize, Debug)]
        #[serde(rename_all = "camelCase")]
        #[allow(dead_code, reason = "read to be known, whether or not they are looked at")]
        pub(crate) struct $name { $( $(#[$attribute])* pub(crate) $field: Option<$type>, )* }
    )*};
}
raw! {
    RawAutoscaler { api_version: String, kind: String, metadata: ObjectMeta, spec: RawSpec, status: Value }
    RawSpec {
        target_ref: CrossVersionObjectReference,
        update_policy: RawUpdatePolicy,
        resource_policy: RawResourcePolicy,
        recommenders: Vec<Value>,
        startup_boost: Value,
    }
    RawUpdatePolicy {
        update_mode: String,
        min_replicas: i32,
        eviction_requirements: Vec<RawRequirement>,
        #[serde(rename = "evictAfterOOMSeconds")]
        evict_after_oom_seconds: i32,
    }
    RawRequirement { resources: Vec<String>, change_requirement: String }
    RawResourcePolicy { container_policies: Vec<RawContainerPolicy> }
    RawContainerPolicy {
        container_name: String,
        mode: String,
        min_allowed: BTreeMap<String, Quantity>,
        max_allowed: BTreeMap<String, Quantity>,
        controlled_resources: Vec<String>,
        controlled_values: String,
        oom_bump_up_ratio: Quantity,
        oom_min_bump_up: Quantity,
        memory_aggregation_interval_seconds: i32,
        memory_aggregation_interval_count: i64,
        startup_boost: Value,
    }
}

const MODES: &[(&str, VpaUpdateMode)] = &[
    ("Off", VpaUpdateMode::Off),
    ("Initial", VpaUpdateMode::Initial),
    ("Recreate", VpaUpdateMode::Recreate),
    ("Auto", VpaUpdateMode::Recreate),
    ("InPlaceOrRecreate", VpaUpdateMode::InPlaceOrRecreate),
    ("InPlace", VpaUpdateMode::InPlace),
];

/// A VerticalPodAutoscaler.
pub(crate) fn autoscaler(cx: &mut Cx<'_>, from: &RawAutoscaler) -> VerticalPodAutoscaler {
    let root = Step::Root;
    let at = root.key("spec");
    let meta = object_meta(cx, &from.metadata.clone().unwrap_or_default(), true, NameRule::Subdomain);
    let mut found = VerticalPodAutoscaler { meta, ..VerticalPodAutoscaler::default() };
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return found;
    };
    match &spec.target_ref {
        Some(target) => {
            let target_at = at.key("targetRef");
            for (field, text) in [("kind", &target.kind), ("name", &target.name)] {
                if text.is_empty() {
                    cx.missing(field, &target_at);
                }
            }
            (found.target_kind, found.target_name) = (target.kind.as_str().into(), target.name.as_str().into());
        }
        None => cx.missing("targetRef", &at),
    }
    if let Some(policy) = &spec.update_policy {
        update_policy(cx, policy, &mut found, &at.key("updatePolicy"));
    }
    let policies_at = at.key("resourcePolicy");
    let policies_at = policies_at.key("containerPolicies");
    let policies = spec.resource_policy.as_ref().and_then(|policy| policy.container_policies.as_ref());
    for (index, policy) in policies.into_iter().flatten().enumerate() {
        let policy = container_policy(cx, policy, &policies_at.index(index));
        found.container_policies.push(policy);
    }
    found
}

fn update_policy(cx: &mut Cx<'_>, from: &RawUpdatePolicy, found: &mut VerticalPodAutoscaler, at: &Step<'_>) {
    if let Some(mode) = from.update_mode.as_deref().and_then(|mode| cx.word(mode, MODES, &at.key("updateMode"))) {
        found.update_mode = mode;
    }
    if let Some(least) = from.min_replicas {
        found.min_replicas = cx.ranged(least, 1..=i32::MAX, &at.key("minReplicas"));
    }
    let requirements_at = at.key("evictionRequirements");
    for (index, from) in from.eviction_requirements.iter().flatten().enumerate() {
        let here = requirements_at.index(index);
        let words = &[("TargetHigherThanRequests", true), ("TargetLowerThanRequests", false)];
        let change = from.change_requirement.as_deref().unwrap_or_default();
        let Some(is_higher) = cx.word(change, words, &here.key("changeRequirement")) else { continue };
        let resources = from.resources.iter().flatten().map(|name| ResourceName::new(name)).collect();
        found.eviction_requirements.push(VpaEvictionRequirement { resources, is_higher });
    }
}

fn container_policy(cx: &mut Cx<'_>, from: &RawContainerPolicy, at: &Step<'_>) -> VpaContainerPolicy {
    let container = from.container_name.as_deref().unwrap_or_default();
    if container.is_empty() {
        cx.missing("containerName", at);
    }
    let mut word = |text: &Option<String>, known: &[(&'static str, bool)], field| {
        text.as_deref().and_then(|text| cx.word(text, known, &at.key(field))).unwrap_or(false)
    };
    let is_off = word(&from.mode, &[("Auto", false), ("Off", true)], "mode");
    let requests_only = word(&from.controlled_values, &[("RequestsAndLimits", false), ("RequestsOnly", true)], "controlledValues");
    if is_off && from.controlled_values.is_some() {
        let label = "controlledValues shouldn't be specified if container scaling mode is off";
        cx.error("WT0117", "values of a container that is left alone", label, &at.key("controlledValues"));
    }
    let min_allowed = from.min_allowed.as_ref().map_or_else(ResourceList::new, |list| cx.resources(list, &at.key("minAllowed")));
    let max_allowed = from.max_allowed.as_ref().map_or_else(ResourceList::new, |list| cx.resources(list, &at.key("maxAllowed")));
    for (name, least) in &min_allowed {
        if max_allowed.get(name).is_some_and(|most| most < least) {
            let label = format!("max resource for {name} is lower than min");
            let most_at = at.key("maxAllowed");
            cx.error("WT0109", "maxAllowed is less than minAllowed", label, &most_at.key(name.as_str()));
        }
    }
    let controlled = from.controlled_resources.as_ref();
    VpaContainerPolicy {
        container: container.into(),
        is_off,
        min_allowed,
        max_allowed,
        controlled_resources: controlled.map(|names| names.iter().map(|name| ResourceName::new(name)).collect()),
        requests_only,
    }
}
