//! Affinities, tolerations, taints and topology spread constraints.

use api::{
    Affinity, NodeAffinity, NodeSelectorTerm, Operator, PodAffinity, PodAffinityTerm, PreferredSchedulingTerm, Requirement, Taint,
    TaintEffect, Toleration, TolerationOperator, TopologySpreadConstraint, WeightedPodAffinityTerm, WhenUnsatisfiable,
};
use k8s_openapi::api::core::v1 as core;

use super::meta::{optional_selector, requirement};
use crate::check::{Cx, text, texts};
use crate::source::Step;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// All affinities of a pod.
pub(crate) fn affinity(cx: &mut Cx<'_>, from: &core::Affinity, at: &Step<'_>) -> Affinity {
    Affinity {
        node: from.node_affinity.as_ref().map(|from| node_affinity(cx, from, &at.key("nodeAffinity"))),
        pod: from.pod_affinity.as_ref().map(|from| {
            let required = from.required_during_scheduling_ignored_during_execution.as_deref();
            let preferred = from.preferred_during_scheduling_ignored_during_execution.as_deref();
            pod_affinity(cx, required, preferred, &at.key("podAffinity"))
        }),
        pod_anti: from.pod_anti_affinity.as_ref().map(|from| {
            let required = from.required_during_scheduling_ignored_during_execution.as_deref();
            let preferred = from.preferred_during_scheduling_ignored_during_execution.as_deref();
            pod_affinity(cx, required, preferred, &at.key("podAntiAffinity"))
        }),
    }
}

fn node_affinity(cx: &mut Cx<'_>, from: &core::NodeAffinity, at: &Step<'_>) -> NodeAffinity {
    let required_at = at.key(REQUIRED);
    let preferred_at = at.key(PREFERRED);
    let required = from.required_during_scheduling_ignored_during_execution.as_ref().map(|from| node_selector(cx, from, &required_at));
    let mut preferred = Vec::new();
    for (index, from) in from.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
        let at = preferred_at.index(index);
        cx.ranged(from.weight, 1..=100, &at.key("weight"));
        preferred.push(PreferredSchedulingTerm {
            weight: from.weight,
            preference: node_selector_term(cx, &from.preference, &at.key("preference")),
        });
    }
    NodeAffinity { required, preferred }
}

/// The terms of a node selector.
pub(crate) fn node_selector(cx: &mut Cx<'_>, from: &core::NodeSelector, at: &Step<'_>) -> Vec<NodeSelectorTerm> {
    if from.node_selector_terms.is_empty() {
        cx.missing("nodeSelectorTerms", at);
    }
    let terms_at = at.key("nodeSelectorTerms");
    let mut terms = Vec::new();
    for (index, from) in from.node_selector_terms.iter().enumerate() {
        terms.push(node_selector_term(cx, from, &terms_at.index(index)));
    }
    terms
}

const OPERATORS: &[(&str, Operator)] = &[
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
    ("Gt", Operator::Gt),
    ("Lt", Operator::Lt),
];
const FIELD_OPERATORS: &[(&str, Operator)] = &[("In", Operator::In), ("NotIn", Operator::NotIn)];

fn node_selector_term(cx: &mut Cx<'_>, from: &core::NodeSelectorTerm, at: &Step<'_>) -> NodeSelectorTerm {
    let mut list =
        |from: Option<&Vec<core::NodeSelectorRequirement>>, operators: &[(&'static str, Operator)], at: Step<'_>| -> Vec<Requirement> {
            let mut found = Vec::new();
            for (index, from) in from.into_iter().flatten().enumerate() {
                found.extend(requirement(cx, &from.key, &from.operator, from.values.as_ref(), operators, &at.index(index)));
            }
            found
        };
    let match_expressions = list(from.match_expressions.as_ref(), OPERATORS, at.key("matchExpressions"));
    let match_fields = list(from.match_fields.as_ref(), FIELD_OPERATORS, at.key("matchFields"));
    for (index, field) in from.match_fields.iter().flatten().enumerate() {
        let fields_at = at.key("matchFields");
        let at = fields_at.index(index);
        cx.word(&field.key, &[("metadata.name", ())], &at.key("key"));
    }
    NodeSelectorTerm { match_expressions, match_fields }
}

fn pod_affinity(
    cx: &mut Cx<'_>,
    required: Option<&[core::PodAffinityTerm]>,
    preferred: Option<&[core::WeightedPodAffinityTerm]>,
    at: &Step<'_>,
) -> PodAffinity {
    let mut found = PodAffinity::default();
    let (required_at, preferred_at) = (at.key(REQUIRED), at.key(PREFERRED));
    for (index, from) in required.into_iter().flatten().enumerate() {
        found.required.push(pod_affinity_term(cx, from, &required_at.index(index)));
    }
    for (index, from) in preferred.into_iter().flatten().enumerate() {
        let at = preferred_at.index(index);
        cx.ranged(from.weight, 1..=100, &at.key("weight"));
        let term = pod_affinity_term(cx, &from.pod_affinity_term, &at.key("podAffinityTerm"));
        found.preferred.push(WeightedPodAffinityTerm { weight: from.weight, term });
    }
    found
}

fn pod_affinity_term(cx: &mut Cx<'_>, from: &core::PodAffinityTerm, at: &Step<'_>) -> PodAffinityTerm {
    if from.topology_key.is_empty() {
        cx.missing("topologyKey", at);
    }
    PodAffinityTerm {
        label_selector: optional_selector(cx, from.label_selector.as_ref(), &at.key("labelSelector")),
        namespaces: texts(from.namespaces.as_ref()),
        namespace_selector: optional_selector(cx, from.namespace_selector.as_ref(), &at.key("namespaceSelector")),
        topology_key: from.topology_key.as_str().into(),
        match_label_keys: texts(from.match_label_keys.as_ref()),
        mismatch_label_keys: texts(from.mismatch_label_keys.as_ref()),
    }
}

const EFFECTS: &[(&str, TaintEffect)] =
    &[("NoSchedule", TaintEffect::NoSchedule), ("PreferNoSchedule", TaintEffect::PreferNoSchedule), ("NoExecute", TaintEffect::NoExecute)];

/// A taint of a node.
pub(crate) fn taint(cx: &mut Cx<'_>, from: &core::Taint, at: &Step<'_>) -> Option<Taint> {
    if from.key.is_empty() {
        cx.missing("key", at);
    }
    let effect = cx.word(&from.effect, EFFECTS, &at.key("effect"))?;
    let time_added = from.time_added.as_ref().map(|time| cx.instant(time));
    Some(Taint { key: from.key.as_str().into(), value: text(from.value.as_ref()), effect, time_added })
}

/// A toleration.
pub(crate) fn toleration(cx: &mut Cx<'_>, from: &core::Toleration, at: &Step<'_>) -> Toleration {
    let known = &[
        ("Equal", TolerationOperator::Equal),
        ("Exists", TolerationOperator::Exists),
        ("Gt", TolerationOperator::Gt),
        ("Lt", TolerationOperator::Lt),
        ("", TolerationOperator::Equal),
    ];
    let operator = from.operator.as_deref().and_then(|word| cx.word(word, known, &at.key("operator"))).unwrap_or_default();
    let effect = from.effect.as_deref().filter(|word| !word.is_empty()).and_then(|word| cx.word(word, EFFECTS, &at.key("effect")));
    let has_key = from.key.as_ref().is_some_and(|key| !key.is_empty());
    let has_value = from.value.as_ref().is_some_and(|value| !value.is_empty());
    if !has_key && operator != TolerationOperator::Exists {
        cx.error_with_help("WT0107", "a toleration without a key", "`key` belongs here", "without a key the operator must be `Exists`", at);
    }
    if has_value && operator == TolerationOperator::Exists {
        cx.error("WT0117", "a value that is never looked at", "`Exists` takes no value", &at.key("value"));
    }
    if from.toleration_seconds.is_some() && effect != Some(TaintEffect::NoExecute) {
        cx.error("WT0117", "tolerationSeconds without NoExecute", "only for the effect `NoExecute`", &at.key("tolerationSeconds"));
    }
    Toleration {
        key: text(from.key.as_ref()),
        operator,
        value: text(from.value.as_ref()),
        effect,
        toleration_seconds: from.toleration_seconds,
    }
}

/// A topology spread constraint.
pub(crate) fn spread(cx: &mut Cx<'_>, from: &core::TopologySpreadConstraint, at: &Step<'_>) -> Option<TopologySpreadConstraint> {
    let policy = &[("Honor", true), ("Ignore", false)];
    let known = &[("DoNotSchedule", WhenUnsatisfiable::DoNotSchedule), ("ScheduleAnyway", WhenUnsatisfiable::ScheduleAnyway)];
    if from.topology_key.is_empty() {
        cx.missing("topologyKey", at);
    }
    cx.ranged(from.max_skew, 1..=i32::MAX, &at.key("maxSkew"));
    if from.when_unsatisfiable.is_empty() {
        cx.missing("whenUnsatisfiable", at);
        return None;
    }
    let when_unsatisfiable = cx.word(&from.when_unsatisfiable, known, &at.key("whenUnsatisfiable"))?;
    if let Some(domains) = from.min_domains {
        cx.ranged(domains, 1..=i32::MAX, &at.key("minDomains"));
        if when_unsatisfiable == WhenUnsatisfiable::ScheduleAnyway {
            cx.error("WT0117", "minDomains with ScheduleAnyway", "only for `DoNotSchedule`", &at.key("minDomains"));
        }
    }
    let affinity = from.node_affinity_policy.as_deref().and_then(|word| cx.word(word, policy, &at.key("nodeAffinityPolicy")));
    let taints = from.node_taints_policy.as_deref().and_then(|word| cx.word(word, policy, &at.key("nodeTaintsPolicy")));
    Some(TopologySpreadConstraint {
        max_skew: from.max_skew,
        topology_key: from.topology_key.as_str().into(),
        when_unsatisfiable,
        label_selector: optional_selector(cx, from.label_selector.as_ref(), &at.key("labelSelector")),
        min_domains: from.min_domains,
        honor_node_affinity: affinity.unwrap_or(true),
        honor_node_taints: taints.unwrap_or(false),
        match_label_keys: texts(from.match_label_keys.as_ref()),
    })
}
