//! What the custom and the external metrics API serve.

use std::collections::BTreeMap;

use super::{DurationText, Moment, NameText, Part, QuantityText, Selector, fields};

fields! {
    /// A metric that HorizontalPodAutoscalers of type Pods, Object or External may name: as prometheus-adapter would serve it.
    Metric as "mapping" {
        /// Its name, as autoscalers write it: `http_requests_per_second`.
        name: String,
        /// Of what: {pods: {workload: deployment/web}}, {object: {kind: Service, name: web}} or `external`.
        r#for: Part<MetricFor>,
        /// The metric's own labels; autoscalers may select by them.
        labels: Option<BTreeMap<String, String>>,
        /// How much: a quantity, a series, a CSV, or what the traffic makes it.
        value: Part<MetricAmount>,
        /// From one sample to the next. Default `controlPlane.prometheusAdapter.scrapeInterval`.
        resolution: Option<DurationText>,
        /// How long a sample takes to get to the autoscaler. Default 0s.
        lag: Option<DurationText>,
    }

    /// What a metric is of.
    MetricFor as "`external`, or mapping" {
        /// Pods, each of which has it.
        pods: Option<Part<Selector>>,
        /// One object.
        object: Option<MetricObject>,
    }

    /// An object that a metric is of.
    MetricObject as "mapping" {
        /// Its kind, such as Service or Ingress.
        kind: String,
        /// Its name: `name`, or `namespace/name`.
        name: String,
    }

    /// A metric's value over time.
    MetricAmount as "a quantity such as `100` or `500m`, or mapping" {
        /// Points {at, value}, in order of time; the first value holds before its time, the last one after it.
        series: Option<Vec<Part<MetricStep>>>,
        /// A CSV with one row per step: the first column is the time in seconds, `column` the value from then on.
        path: Option<String>,
        /// The CSV's column. Default the second.
        column: Option<NameText>,
        /// Multiplies the CSV's values. Default 1.
        scale: Option<f64>,
        /// The value goes in a straight line from point to point. Default false: it stays.
        linear: Option<bool>,
        /// Of pods: the value is of all together, divided among those that are ready. Default false.
        shared: Option<bool>,
        /// requests-per-second (that each pod answers, or that the Service is asked), in-flight, or queue-length (with the messages that wait for workers).
        traffic: Option<String>,
        /// traffic: of which Service; of pods and of a Service object itself it needs none.
        service: Option<String>,
    }

    /// A point of a series.
    MetricStep as "mapping" {
        /// When: as of a fault.
        at: Part<Moment>,
        /// The value.
        value: QuantityText,
    }
}
