//! What the custom and the external metrics API serve: every way of writing a value becomes points, or a measure.

use api::{Labels, ObjectKey, ResourceName, SimDuration, SimTime};
use engine::spec::{Metric, MetricOf, MetricPoint, MetricValue, TrafficMeasure};
use manifests::{Diagnostic, Pointer};
use serde_json::Value;

use super::load::levels;
use super::selector::selector;
use crate::catalog::Catalog;
use crate::cx::Cx;
use crate::format::{self, MetricAmount, MetricFor, MetricStep, QuantityText};

const MEASURES: &[(&str, TrafficMeasure)] = &[
    ("requests-per-second", TrafficMeasure::RequestsPerSecond),
    ("in-flight", TrafficMeasure::InFlight),
    ("queue-length", TrafficMeasure::QueueLength),
];

/// The metrics at `path`.
pub(crate) fn metrics(cx: &mut Cx<'_>, catalog: &Catalog<'_>, has_traffic: bool, path: &Pointer) -> Vec<Metric> {
    cx.items(path).iter().filter_map(|item| metric(cx, catalog, has_traffic, item)).collect()
}

fn metric(cx: &mut Cx<'_>, catalog: &Catalog<'_>, has_traffic: bool, path: &Pointer) -> Option<Metric> {
    let fields: format::Metric = cx.read(path)?;
    let of = of(cx, catalog, &path.key("for"));
    let value = value(cx, catalog, of.as_ref(), has_traffic, &path.key("value"));
    let at = path.key("resolution");
    let resolution = cx.optional_duration(fields.resolution.as_ref(), &at);
    if resolution == Some(SimDuration::ZERO) {
        cx.error("WT0109", "a period of nothing", "expected more than 0s", &at);
    }
    let lag = cx.optional_duration(fields.lag.as_ref(), &path.key("lag")).unwrap_or_default();
    let labels: Labels = fields.labels.iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    Some(Metric { name: fields.name.as_str().into(), labels, of: of?, value: value?, resolution, lag })
}

fn of(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Option<MetricOf> {
    if let Some(word) = cx.text(path).map(str::to_owned) {
        return cx.word(&word, &[("external", ())], path).map(|()| MetricOf::External);
    }
    let fields: MetricFor = cx.read(path)?;
    match (&fields.pods, &fields.object) {
        (Some(_), None) => {
            let at = path.key("pods");
            let (selector, _) = selector(cx, &at)?;
            if let Some((kind, key)) = &selector.workload {
                catalog.must_exist(cx, *kind, key, &at.key("workload"));
            }
            Some(MetricOf::Pods(selector))
        }
        (None, Some(object)) => {
            let at = path.key("object").key("name");
            let key = if object.kind == "Service" {
                catalog.service(cx, &object.name, &at)?
            } else {
                let (namespace, name) = object.name.split_once('/').unwrap_or(("default", &object.name));
                ObjectKey::new(namespace, name)
            };
            Some(MetricOf::Object { kind: object.kind.as_str().into(), key })
        }
        (None, None) => {
            let diagnostic = Diagnostic::error("WT0107", "a metric of nothing").label("expected `pods`, `object` or `external`");
            cx.push(diagnostic.help("such as `for: {pods: {workload: deployment/web}}`, or `for: external`"), path);
            None
        }
        (Some(_), Some(_)) => {
            cx.error("WT0117", "`pods` and `object` exclude each other", "a metric is of the one or of the other", &path.key("object"));
            None
        }
    }
}

fn value(cx: &mut Cx<'_>, catalog: &Catalog<'_>, of: Option<&MetricOf>, has_traffic: bool, path: &Pointer) -> Option<MetricValue> {
    if !cx.value(path).is_some_and(Value::is_object) {
        let text: QuantityText = cx.read(path)?;
        let point = MetricPoint { at: SimTime::ZERO, value_millis: millis(cx, &text, path)?, linear: false };
        return Some(MetricValue::Series { points: vec![point], shared: false });
    }
    let fields: MetricAmount = cx.read(path)?;
    let given = [("series", fields.series.is_some()), ("path", fields.path.is_some()), ("traffic", fields.traffic.is_some())];
    let mut given = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
    let Some(first) = given.next() else {
        let diagnostic = Diagnostic::error("WT0107", "a metric without a value").label("expected `series`, `path` or `traffic`");
        cx.push(diagnostic.help("such as `value: 100`, or `value: {series: [{at: 0s, value: 10}, {at: 5m, value: 100}]}`"), path);
        return None;
    };
    if let Some(second) = given.next() {
        let message = format!("`{first}` and `{second}` exclude each other");
        cx.error("WT0117", message, "a value is written in one way", &path.key(second));
        return None;
    }
    if first == "traffic" {
        return measured(cx, catalog, of, &fields, has_traffic, path);
    }
    let shared = fields.shared.unwrap_or(false);
    if shared && !matches!(of, None | Some(MetricOf::Pods(_))) {
        cx.error("WT0117", "only pods share a value", "this metric is of no pods", &path.key("shared"));
    }
    let linear = fields.linear.unwrap_or(false);
    let points = if first == "series" { series(cx, linear, &path.key("series")) } else { recorded(cx, &fields, linear, path) }?;
    Some(MetricValue::Series { points, shared })
}

fn series(cx: &mut Cx<'_>, linear: bool, path: &Pointer) -> Option<Vec<MetricPoint>> {
    let mut points: Vec<MetricPoint> = Vec::new();
    for item in cx.items(path) {
        let step: MetricStep = cx.read(&item)?;
        let at = cx.moment(&item.key("at"))?;
        let value_millis = millis(cx, &step.value, &item.key("value"))?;
        if points.last().is_some_and(|last| last.at >= at) {
            cx.error("WT0118", "the time does not go up", "expected points in order of time", &item.key("at"));
            return None;
        }
        points.push(MetricPoint { at, value_millis, linear });
    }
    if points.is_empty() {
        cx.error("WT0107", "a series without points", "at least one point belongs here", path);
        return None;
    }
    Some(points)
}

fn recorded(cx: &mut Cx<'_>, fields: &MetricAmount, linear: bool, path: &Pointer) -> Option<Vec<MetricPoint>> {
    let at = path.key("path");
    let scale = cx.within(fields.scale.unwrap_or(1.0), 0.0, "a scale", &path.key("scale"))?;
    let file = cx.file(fields.path.as_deref()?, &at)?;
    let column = fields.column.as_ref().map(|column| column.text.as_str());
    let levels = levels(cx, &file, column, &at)?;
    let point = |(at, level): (SimTime, f64)| MetricPoint { at, value_millis: (level * scale * 1000.0).round() as i64, linear };
    Some(levels.into_iter().map(point).collect())
}

fn measured(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    of: Option<&MetricOf>,
    fields: &MetricAmount,
    has_traffic: bool,
    path: &Pointer,
) -> Option<MetricValue> {
    let at = path.key("traffic");
    let measure = cx.word(fields.traffic.as_deref()?, MEASURES, &at)?;
    if !has_traffic {
        let diagnostic = Diagnostic::error("WT0118", "nothing sends requests").label("there would never be a value");
        cx.push(diagnostic.help("add `traffic`, or write the value as a series"), &at);
        return None;
    }
    let at = path.key("service");
    let service = match (&fields.service, of?) {
        (Some(_), MetricOf::Pods(_)) => {
            cx.error("WT0117", "a Service has no say here", "each pod is asked for its own requests", &at);
            return None;
        }
        (Some(name), _) => Some(catalog.service(cx, name, &at)?),
        (None, MetricOf::Pods(_)) => None,
        (None, MetricOf::Object { kind, key }) if &**kind == "Service" => Some(key.clone()),
        (None, _) => {
            cx.error("WT0107", "required field `service` is missing", "requests of which Service?", path);
            return None;
        }
    };
    Some(MetricValue::Traffic(measure, service))
}

fn millis(cx: &mut Cx<'_>, text: &QuantityText, path: &Pointer) -> Option<i64> {
    cx.quantity(&ResourceName::Cpu, text, path)
}
