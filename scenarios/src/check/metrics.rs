//! Autoscalers that would never know anything: of a metric which nobody serves, or of pods of which nothing is said.

use api::{DescribedObject, Kind, MetricIdentifier, MetricSource, ObjectKey};
use engine::spec::{Behavior, Metric, MetricOf};
use manifests::{Diagnostic, Found, Part, Pointer};

use crate::catalog::{Catalog, title};
use crate::cx::{Cx, with_help};
use crate::lower::{Behaviors, selects};

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

/// Kinds that a VerticalPodAutoscaler may scale.
const VERTICAL: [Kind; 6] = [Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::CronJob];

/// VerticalPodAutoscalers of nothing, or of pods of whose use nothing is said.
pub(crate) fn vertical(cx: &mut Cx<'_>, catalog: &Catalog<'_>, objects: &manifests::Objects, behaviors: &Behaviors) {
    for scaler in &objects.vertical_pod_autoscalers {
        let key = ObjectKey { namespace: scaler.meta.namespace.clone(), name: scaler.target_name.clone() };
        let Some(kind) = VERTICAL.into_iter().find(|kind| kind.as_str() == &*scaler.target_kind) else { continue };
        let path = Pointer::parse("/spec/targetRef/name");
        let Some(workload) = catalog.find(kind, &key) else {
            let of_kind = catalog.workloads.iter().filter(|workload| workload.kind == kind);
            let known: Vec<String> = of_kind.map(|workload| workload.key.name.to_string()).collect();
            let words: Vec<&str> = known.iter().map(String::as_str).collect();
            let diagnostic = Diagnostic::error("WT0203", format!("autoscaler `{}` scales nothing", scaler.meta.name))
                .label(format!("no {}", title(kind, &key)));
            let diagnostic = with_help(diagnostic, manifests::suggestion(&scaler.target_name, &words));
            cx.problems.push(scaler.origin.locate(diagnostic, &path, Part::Value));
            continue;
        };
        let says = |behavior: &Behavior| behavior.memory.is_some() || behavior.service.is_some();
        if !behaviors.items.iter().any(|(behavior, _)| says(behavior) && selects(&behavior.selector, &workload.subject())) {
            let diagnostic = Diagnostic::warning("WT0506", format!("autoscaler `{}` will recommend nothing", scaler.meta.name))
                .label(format!("no behavior says what pods of {} use", workload.title()))
                .help("add `memoryOverTime` or a `service` to `behaviors`");
            cx.problems.push(scaler.origin.locate(diagnostic, &path, Part::Value));
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
