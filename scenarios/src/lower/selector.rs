//! Whom a behavior or a fault is about.

use std::collections::BTreeMap;

use api::{Kind, LabelSelector, Labels, ObjectKey, Operator, Requirement, Str};
use engine::spec::PodSelector;
use manifests::{Diagnostic, Pointer};

use crate::cx::{Cx, with_help};
use crate::files::glob_matches;
use crate::format::{Expression, Selector};

const KINDS: &[(&str, Kind)] = &[
    ("deployment", Kind::Deployment),
    ("deployments", Kind::Deployment),
    ("deploy", Kind::Deployment),
    ("replicaset", Kind::ReplicaSet),
    ("replicasets", Kind::ReplicaSet),
    ("rs", Kind::ReplicaSet),
    ("statefulset", Kind::StatefulSet),
    ("statefulsets", Kind::StatefulSet),
    ("sts", Kind::StatefulSet),
    ("daemonset", Kind::DaemonSet),
    ("daemonsets", Kind::DaemonSet),
    ("ds", Kind::DaemonSet),
    ("job", Kind::Job),
    ("jobs", Kind::Job),
    ("cronjob", Kind::CronJob),
    ("cronjobs", Kind::CronJob),
    ("cj", Kind::CronJob),
    ("pod", Kind::Pod),
    ("pods", Kind::Pod),
    ("po", Kind::Pod),
    ("service", Kind::Service),
    ("svc", Kind::Service),
    ("horizontalpodautoscaler", Kind::HorizontalPodAutoscaler),
    ("hpa", Kind::HorizontalPodAutoscaler),
    ("verticalpodautoscaler", Kind::VerticalPodAutoscaler),
    ("vpa", Kind::VerticalPodAutoscaler),
    ("poddisruptionbudget", Kind::PodDisruptionBudget),
    ("pdb", Kind::PodDisruptionBudget),
    ("node", Kind::Node),
];

/// `deployment/checkout` or `deployment/shop/checkout`, as kubectl names things.
pub(crate) fn parse_workload(cx: &mut Cx<'_>, text: &str, path: &Pointer) -> Option<(Kind, ObjectKey)> {
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts[..] {
        [kind, name] => (kind, "default", name),
        [kind, namespace, name] => (kind, namespace, name),
        [name] => ("deployment", "default", name),
        _ => ("", "", ""),
    };
    if name.is_empty() || namespace.is_empty() {
        let diagnostic = Diagnostic::error("WT0118", format!("`{text}` names no object")).label("expected kind/name");
        cx.push(diagnostic.help("such as `deployment/checkout`, or `deployment/shop/checkout` in namespace shop"), path);
        return None;
    }
    let lower = kind.to_ascii_lowercase();
    let Some((_, kind)) = KINDS.iter().find(|(word, _)| *word == lower) else {
        let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        let diagnostic = Diagnostic::error("WT0108", format!("unknown kind `{kind}`")).label("expected kind/name");
        let near = manifests::did_you_mean(&lower, words).map(|near| format!("did you mean `{near}`?"));
        cx.push(with_help(diagnostic, near.or_else(|| Some("such as `deployment/checkout`".to_owned()))), path);
        return None;
    };
    Some((*kind, ObjectKey::new(if *kind == Kind::Node { "" } else { namespace }, name)))
}

/// The selector at `path`, and the fields that speak of nodes.
pub(crate) fn selector(cx: &mut Cx<'_>, path: &Pointer) -> Option<(PodSelector, Selector)> {
    let fields: Selector = cx.read(path)?;
    let mut selector = PodSelector {
        namespaces: fields.namespaces.iter().flatten().map(|name| name.as_str().into()).collect(),
        labels: labels(cx, &fields, path),
        image: fields.image.as_deref().map(Into::into),
        node_labels: fields.node_selectors.as_ref().map(match_labels),
        ..PodSelector::default()
    };
    if let Some(workload) = &fields.workload {
        selector.workload = Some(parse_workload(cx, workload, &path.key("workload"))?);
    }
    for (namespace, names) in fields.pods.iter().flatten() {
        selector.names.extend(names.iter().map(|name| Str::from(name.as_str())));
        if !selector.namespaces.iter().any(|known| **known == **namespace) {
            selector.namespaces.push(namespace.as_str().into());
        }
    }
    Some((selector, fields))
}

pub(crate) fn match_labels(labels: &BTreeMap<String, String>) -> LabelSelector {
    let match_labels: Labels = labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    LabelSelector { match_labels, match_expressions: Vec::new() }
}

fn labels(cx: &mut Cx<'_>, fields: &Selector, path: &Pointer) -> Option<LabelSelector> {
    let mut selector = fields.label_selectors.as_ref().map(match_labels);
    if fields.expression_selectors.is_some() {
        let list = path.key("expressionSelectors");
        let expressions: Vec<Requirement> = cx.items(&list).iter().filter_map(|item| expression(cx, item)).collect();
        selector.get_or_insert_default().match_expressions = expressions;
    }
    selector
}

fn expression(cx: &mut Cx<'_>, path: &Pointer) -> Option<Requirement> {
    const OPERATORS: &[(&str, Operator)] =
        &[("In", Operator::In), ("NotIn", Operator::NotIn), ("Exists", Operator::Exists), ("DoesNotExist", Operator::DoesNotExist)];
    let fields: Expression = cx.read(path)?;
    let operator = cx.word(&fields.operator, OPERATORS, &path.key("operator"))?;
    let values: Vec<Str> = fields.values.iter().flatten().map(|value| value.as_str().into()).collect();
    if matches!(operator, Operator::In | Operator::NotIn) == values.is_empty() {
        let words = if values.is_empty() { "values are missing" } else { "this operator takes no values" };
        cx.error("WT0118", "an expression that says nothing", words, path);
        return None;
    }
    Some(Requirement { key: fields.key.as_str().into(), operator, values })
}

/// What is known of a pod before it exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) kind: Kind,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) labels: &'a Labels,
    pub(crate) images: &'a [Str],
}

/// Whether `selector` may select pods of `subject`; names of pods are not known before.
pub(crate) fn selects(selector: &PodSelector, subject: &Subject<'_>) -> bool {
    let of_workload =
        |(kind, key): &(Kind, ObjectKey)| *kind == subject.kind && *key.namespace == *subject.namespace && *key.name == *subject.name;
    let named = |name: &Str| **name == *subject.name || name.strip_prefix(subject.name).is_some_and(|rest| rest.starts_with('-'));
    selector.workload.as_ref().is_none_or(of_workload)
        && (selector.namespaces.is_empty() || selector.namespaces.iter().any(|namespace| **namespace == *subject.namespace))
        && selector.labels.as_ref().is_none_or(|labels| labels.matches(subject.labels))
        && selector.image.as_ref().is_none_or(|image| subject.images.iter().any(|own| glob_matches(image, own)))
        && (selector.names.is_empty() || selector.names.iter().any(named))
}
