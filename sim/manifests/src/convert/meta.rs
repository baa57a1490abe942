//! What every object carries, and selectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{LabelSelector, Labels, ObjectMeta, Operator, OwnerReference, Requirement, SimDuration, Str, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as raw;

use crate::check::{Cx, NameRule, text, texts};
use crate::source::Step;

/// Labels or annotations as they are.
pub(crate) fn plain_labels(from: Option<&BTreeMap<String, String>>) -> Labels {
    from.into_iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

/// Checked labels.
pub(crate) fn labels(cx: &mut Cx<'_>, from: Option<&BTreeMap<String, String>>, at: &Step<'_>) -> Labels {
    cx.labels(from.into_iter().flatten(), at);
    plain_labels(from)
}

/// The metadata of an object. An object without a name but with `generateName` gets a name made of it and its
/// place among the objects.
pub(crate) fn object_meta(cx: &mut Cx<'_>, from: &raw::ObjectMeta, namespaced: bool, rule: NameRule) -> ObjectMeta {
    let root = Step::Root;
    let at = root.key("metadata");
    let name: Str = match (from.name.as_deref(), from.generate_name.as_deref()) {
        (Some(name), _) if !name.is_empty() => {
            cx.name(name, rule, &at.key("name"));
            name.into()
        }
        (_, Some(prefix)) if !prefix.is_empty() => format!("{prefix}{:05}", cx.origin.document.index).as_str().into(),
        _ => {
            cx.missing("name", &at);
            Str::default()
        }
    };
    let namespace = match from.namespace.as_deref() {
        _ if !namespaced => Str::default(),
        None | Some("") => cx.options.namespace.clone(),
        Some(namespace) => {
            cx.name(namespace, NameRule::Label, &at.key("namespace"));
            namespace.into()
        }
    };
    ObjectMeta {
        namespace,
        name,
        labels: Arc::new(labels(cx, from.labels.as_ref(), &at.key("labels"))),
        annotations: Arc::new(plain_labels(from.annotations.as_ref())),
        owners: from.owner_references.iter().flatten().map(owner).collect(),
        creation: from.creation_timestamp.as_ref().map(|time| cx.instant(time)).unwrap_or_default(),
        deletion: from.deletion_timestamp.as_ref().map(|time| cx.instant(time)),
        deletion_grace: from.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(SimDuration::from_secs),
        ..ObjectMeta::default()
    }
}

fn owner(from: &raw::OwnerReference) -> OwnerReference {
    OwnerReference {
        kind: from.kind.as_str().into(),
        name: from.name.as_str().into(),
        uid: Uid::default(),
        controller: from.controller.unwrap_or(false),
    }
}

const OPERATORS: &[(&str, Operator)] =
    &[("In", Operator::In), ("NotIn", Operator::NotIn), ("Exists", Operator::Exists), ("DoesNotExist", Operator::DoesNotExist)];

/// A label selector.
pub(crate) fn selector(cx: &mut Cx<'_>, from: &raw::LabelSelector, at: &Step<'_>) -> LabelSelector {
    let match_labels = labels(cx, from.match_labels.as_ref(), &at.key("matchLabels"));
    let expressions_at = at.key("matchExpressions");
    let mut match_expressions = Vec::new();
    for (index, from) in from.match_expressions.iter().flatten().enumerate() {
        let at = expressions_at.index(index);
        match_expressions.extend(requirement(cx, &from.key, &from.operator, from.values.as_ref(), OPERATORS, &at));
    }
    LabelSelector { match_labels, match_expressions }
}

/// One expression of a selector whose operators are `operators`.
pub(crate) fn requirement(
    cx: &mut Cx<'_>,
    key: &str,
    operator: &str,
    values: Option<&Vec<String>>,
    operators: &[(&'static str, Operator)],
    at: &Step<'_>,
) -> Option<Requirement> {
    if key.is_empty() {
        cx.missing("key", at);
    }
    let operator = cx.word(operator, operators, &at.key("operator"))?;
    let count = values.map_or(0, Vec::len);
    let values_at = at.key("values");
    match operator {
        Operator::In | Operator::NotIn if count == 0 => {
            cx.error("WT0118", "an expression without values", "In and NotIn need at least one value", &values_at)
        }
        Operator::Exists | Operator::DoesNotExist if count > 0 => {
            cx.error("WT0117", "values that are never looked at", "Exists and DoesNotExist take no values", &values_at);
        }
        Operator::Gt | Operator::Lt if count != 1 => {
            cx.error("WT0118", "an expression without its value", "Gt and Lt need exactly one value", &values_at)
        }
        _ => {}
    }
    Some(Requirement { key: key.into(), operator, values: texts(values) })
}

/// An optional selector.
pub(crate) fn optional_selector(cx: &mut Cx<'_>, from: Option<&raw::LabelSelector>, at: &Step<'_>) -> Option<LabelSelector> {
    from.map(|from| selector(cx, from, at))
}

/// An annotation.
pub(crate) fn annotation(from: &raw::ObjectMeta, key: &str) -> Str {
    text(from.annotations.as_ref().and_then(|annotations| annotations.get(key)))
}
