//! Autoscalers that name a metric which nobody serves.

use api::{DescribedObject, MetricIdentifier, MetricSource, ObjectKey};
use engine::spec::{Metric, MetricOf};
use manifests::{Diagnostic, Found, Part, Pointer};

use crate::cx::{Cx, with_help};

/// Warns of metrics that autoscalers name and the scenario does not give.
pub(crate) fn served(cx: &mut Cx<'_>, objects: &manifests::Objects, metrics: &[Metric]) {
    for scaler in &objects.horizontal_pod_autoscalers {
        for (index, metric) in scaler.metrics.iter().enumerate() {
            let (field, named, reason, example) = match &metric.source {
                MetricSource::Pods(named) => ("pods", named, "FailedGetPodsMetric", "{pods: {workload: …}}".to_owned()),
                MetricSource::Object(named, object) => {
                    ("object", named, "FailedGetObjectMetric", format!("{{object: {{kind: {}, name: {}}}}}", object.kind, object.name))
                }
                MetricSource::External(named) => ("external", named, "FailedGetExternalMetric", "external".to_owned()),
                MetricSource::Resource(_) | MetricSource::ContainerResource(..) => continue,
            };
            let candidates: Vec<&Metric> = metrics.iter().filter(|given| is_of(&given.of, &metric.source, scaler)).collect();
            if candidates.iter().any(|given| given.name == named.name && is_selected(named, given)) {
                continue;
            }
            let known: Vec<&str> = candidates.iter().map(|given| &*given.name).collect();
            let help = manifests::did_you_mean(&named.name, known.clone()).filter(|near| **near != *named.name);
            let help = match help {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.contains(&&*named.name) => "no metric of this name has the labels that are asked for".to_owned(),
                None => format!("add it: `spec: {{metrics: [{{name: {}, for: {example}, value: …}}]}}`", named.name),
            };
            let diagnostic = Diagnostic::warning("WT0505", format!("nobody serves metric `{}`", named.name))
                .label(format!("autoscaler `{}` will report {reason}", scaler.meta.name));
            let path = Pointer::parse("/spec/metrics").index(index).key(field).key("metric").key("name");
            cx.problems.push(scaler.origin.locate(with_help(diagnostic, Some(help)), &path, Part::Value));
        }
    }
}

fn is_of(of: &MetricOf, source: &MetricSource, scaler: &Found<api::HorizontalPodAutoscaler>) -> bool {
    match (of, source) {
        (MetricOf::Pods(_), MetricSource::Pods(_)) | (MetricOf::External, MetricSource::External(_)) => true,
        (MetricOf::Object { kind, key }, MetricSource::Object(_, object)) => {
            let DescribedObject { kind: wanted, name, .. } = object;
            kind == wanted && *key == ObjectKey { namespace: scaler.meta.namespace.clone(), name: name.clone() }
        }
        _ => false,
    }
}

fn is_selected(named: &MetricIdentifier, given: &Metric) -> bool {
    named.selector.as_ref().is_none_or(|selector| selector.matches(&given.labels))
}
