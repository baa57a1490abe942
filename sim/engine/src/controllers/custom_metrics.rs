//! The custom and the external metrics API, as Prometheus and prometheus-adapter serve them from what a scenario gives.
//!
//! Reads: the scenario's metrics; pods; what the traffic engine counts of requests, given by the caller. Writes nothing.
//!
//! Invariants: a value is never newer than the last scrape, nor than the metric's lag; a counter's rate is the rise
//! between the samples of the rate interval, of which there must be two; a pod that was not running at a scrape has no
//! sample of it; metrics that are not made by traffic are never sampled, and cost nothing.
//!
//! Upstream, for the words of failures: custom-metrics-apiserver pkg/provider/errors.go, prometheus-adapter
//! pkg/custom-provider and pkg/external-provider, pkg/controller/podautoscaler/metrics/client.go.
//!
//! Not modelled: that a new metric is only known after the adapter's next discovery, PromQL, other adapters' errors.

use std::collections::VecDeque;

use api::{DescribedObject, MetricIdentifier, ObjectKey, Pod, PodPhase, SimDuration, SimTime, Str, Uid};
use rustc_hash::FxHashMap;

use super::View;
use super::horizontal_pod_autoscaler::is_measured;
use super::metrics::{PodMetric, running_since};
use crate::effects::{Effects, RequestLoad};
use crate::event::Event;
use crate::select::selects;
use crate::spec::{Metric, MetricOf, MetricPoint, MetricValue, PodSelector, TrafficMeasure};
use crate::store::PodId;

const NO_CUSTOM_API: &str = "no custom metrics API (custom.metrics.k8s.io) registered";
const NO_EXTERNAL_API: &str = "no external metrics API (external.metrics.k8s.io) registered";
const CUSTOM: &str = "unable to fetch metrics from custom metrics API: ";
const EXTERNAL: &str = "unable to fetch metrics from external metrics API: ";

/// The window of a sample that names none (upstream: metricServerDefaultMetricWindow).
const WINDOW: SimDuration = SimDuration::from_secs(60);

/// What one scrape found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sample {
    at: SimTime,
    load: RequestLoad,
}

/// The samples that may still be asked for, oldest first.
type Samples = VecDeque<Sample>;

/// A metric with what was scraped of it.
#[derive(Debug)]
struct Scraped {
    metric: Metric,
    /// Of pods. Looked up only.
    pods: FxHashMap<Uid, Samples>,
    /// Of a Service.
    service: Samples,
}

/// Whom a scrape asks.
pub(crate) struct Exporters<'a> {
    /// Requests of a pod.
    pub(crate) pod: &'a dyn Fn(Uid) -> Option<RequestLoad>,
    /// Requests of a Service.
    pub(crate) service: &'a dyn Fn(&ObjectKey) -> Option<RequestLoad>,
}

/// Prometheus and its adapter.
#[derive(Debug, Default)]
pub(crate) struct CustomMetrics {
    metrics: Vec<Scraped>,
}

impl CustomMetrics {
    /// Serves these metrics.
    pub(crate) fn new(metrics: &[Metric]) -> Self {
        let scraped = |metric: &Metric| Scraped { metric: metric.clone(), pods: FxHashMap::default(), service: Samples::new() };
        Self { metrics: metrics.iter().map(scraped).collect() }
    }

    /// Starts to scrape what traffic makes.
    pub(crate) fn arm(&self, view: &View<'_>, out: &mut Effects) {
        for (number, scraped) in (0..).zip(&self.metrics) {
            if matches!(scraped.metric.value, MetricValue::Traffic(..)) {
                out.at(next_scrape(&scraped.metric, view), Event::CustomMetricScrape(number));
            }
        }
    }

    /// One scrape of one metric ([`Event::CustomMetricScrape`]).
    pub(crate) fn scrape(&mut self, number: u32, view: &View<'_>, exporters: &Exporters<'_>, out: &mut Effects) {
        let Some(scraped) = self.metrics.get_mut(number as usize) else { return };
        out.at(next_scrape(&scraped.metric, view), Event::CustomMetricScrape(number));
        // One sample beyond the interval, as what is asked for may lie between two.
        let span = scraped.metric.lag + view.settings.prometheus_adapter.rate_interval + resolution(&scraped.metric, view).times(2);
        let sample = |load| Sample { at: view.now, load };
        let Scraped { metric, pods, service } = scraped;
        if let MetricOf::Pods(selector) = &metric.of {
            let mut before = std::mem::take(pods);
            for (_, pod) in running(selector, view) {
                let Some(load) = (exporters.pod)(pod.meta.uid) else { continue };
                let mut samples = before.remove(&pod.meta.uid).unwrap_or_default();
                keep(&mut samples, sample(load), span);
                pods.insert(pod.meta.uid, samples);
            }
        } else if let MetricValue::Traffic(_, Some(key)) = &metric.value {
            let mut load = (exporters.service)(key).unwrap_or_default();
            for pod in behind(key, view) {
                let held = (exporters.pod)(pod.meta.uid).unwrap_or_default();
                load.in_flight += held.in_flight;
                load.queued += held.queued;
            }
            keep(service, sample(load), span);
        }
    }

    /// Each pod's value, in thousandths, in the order of `pods` (upstream: GetRawMetric).
    pub(crate) fn of_pods(
        &self,
        wanted: &MetricIdentifier,
        pods: &[(PodId, &Pod)],
        view: &View<'_>,
    ) -> Result<Vec<Option<PodMetric>>, String> {
        let named: Vec<(&Scraped, &PodSelector)> = self
            .named(&wanted.name)
            .filter_map(|scraped| match &scraped.metric.of {
                MetricOf::Pods(selector) => Some((scraped, selector)),
                MetricOf::Object { .. } | MetricOf::External => None,
            })
            .collect();
        if named.is_empty() {
            return Err(self.unknown_custom(&wanted.name, "pods"));
        }
        let mut values: Vec<Option<PodMetric>> = vec![None; pods.len()];
        for (scraped, selector) in named.into_iter().filter(|(scraped, _)| is_selected(wanted, &scraped.metric)) {
            let Some(as_of) = last_scrape(&scraped.metric, view) else { continue };
            let sharers = scraped.sharers(selector, view);
            for (value, (_, pod)) in values.iter_mut().zip(pods) {
                let was_scraped = is_measured(pod)
                    && running_since(pod).or(pod.status.start_time).is_some_and(|started| started <= as_of)
                    && selects(selector, pod, view.store);
                if let Some(millis) = was_scraped.then(|| scraped.of_pod(pod, sharers, as_of, view)).flatten() {
                    let sum = value.map_or(0, |value: PodMetric| value.value_millis).saturating_add(millis);
                    *value = Some(PodMetric { value_millis: sum, timestamp: as_of, window: WINDOW });
                }
            }
        }
        if values.iter().all(Option::is_none) { Err("no metrics returned from custom metrics API".to_owned()) } else { Ok(values) }
    }

    /// The value of one object, in thousandths (upstream: GetObjectMetric).
    pub(crate) fn of_object(
        &self,
        wanted: &MetricIdentifier,
        object: &DescribedObject,
        namespace: &Str,
        view: &View<'_>,
    ) -> Result<i64, String> {
        let of_kind: Vec<(&Scraped, &ObjectKey)> = self
            .named(&wanted.name)
            .filter_map(|scraped| match &scraped.metric.of {
                MetricOf::Object { kind, key } if *kind == object.kind => Some((scraped, key)),
                _ => None,
            })
            .collect();
        let resource = resource_of(object);
        if of_kind.is_empty() {
            return Err(self.unknown_custom(&wanted.name, &resource));
        }
        let is_it = |key: &ObjectKey| key.namespace == *namespace && key.name == object.name;
        let of_it = of_kind.into_iter().filter(|(scraped, key)| is_it(key) && is_selected(wanted, &scraped.metric));
        let value = of_it.filter_map(|(scraped, _)| scraped.alone(view)).reduce(i64::saturating_add);
        value.ok_or_else(|| format!("{CUSTOM}the server could not find the metric {} for {resource} {}", wanted.name, object.name))
    }

    /// The values of all series that are selected, in thousandths (upstream: GetExternalMetric).
    pub(crate) fn external(&self, wanted: &MetricIdentifier, view: &View<'_>) -> Result<Vec<i64>, String> {
        let named: Vec<&Scraped> = self.named(&wanted.name).filter(|scraped| scraped.metric.of == MetricOf::External).collect();
        if named.is_empty() {
            let has_api = self.metrics.iter().any(|scraped| scraped.metric.of == MetricOf::External);
            let error = if has_api { not_found(&wanted.name, "namespaces") } else { NO_EXTERNAL_API.to_owned() };
            return Err(format!("{EXTERNAL}{error}"));
        }
        let selected = named.into_iter().filter(|scraped| is_selected(wanted, &scraped.metric));
        let values: Vec<i64> = selected.filter_map(|scraped| scraped.alone(view)).collect();
        if values.is_empty() { Err("no metrics returned from external metrics API".to_owned()) } else { Ok(values) }
    }

    fn named(&self, name: &Str) -> impl Iterator<Item = &Scraped> {
        self.metrics.iter().filter(move |scraped| scraped.metric.name == *name)
    }

    fn unknown_custom(&self, name: &str, resource: &str) -> String {
        let has_api = self.metrics.iter().any(|scraped| scraped.metric.of != MetricOf::External);
        let error = if has_api { not_found(name, resource) } else { NO_CUSTOM_API.to_owned() };
        format!("{CUSTOM}{error}")
    }
}

impl Scraped {
    /// Pods among which the value is divided, or zero when each has it all.
    fn sharers(&self, selector: &PodSelector, view: &View<'_>) -> i64 {
        if !matches!(self.metric.value, MetricValue::Series { shared: true, .. }) {
            return 0;
        }
        running(selector, view).filter(|(_, pod)| shares(pod)).count() as i64
    }

    fn of_pod(&self, pod: &Pod, sharers: i64, as_of: SimTime, view: &View<'_>) -> Option<i64> {
        match &self.metric.value {
            MetricValue::Series { points, shared: false } => value_at(points, as_of),
            MetricValue::Series { .. } if !shares(pod) => Some(0),
            MetricValue::Series { points, .. } => Some(div_ceil(value_at(points, as_of)?, sharers.max(1))),
            MetricValue::Traffic(measure, _) => self.measured(*measure, self.pods.get(&pod.meta.uid)?, view),
        }
    }

    /// Of an object, or of something outside.
    fn alone(&self, view: &View<'_>) -> Option<i64> {
        match &self.metric.value {
            MetricValue::Series { points, .. } => value_at(points, last_scrape(&self.metric, view)?),
            MetricValue::Traffic(measure, _) => self.measured(*measure, &self.service, view),
        }
    }

    fn measured(&self, measure: TrafficMeasure, samples: &Samples, view: &View<'_>) -> Option<i64> {
        let asked = before(view.now, self.metric.lag)?;
        let known = samples.iter().filter(|sample| sample.at <= asked);
        let last = known.clone().next_back()?;
        match measure {
            TrafficMeasure::InFlight => Some(thousand(last.load.in_flight)),
            TrafficMeasure::QueueLength => Some(thousand(last.load.queued)),
            TrafficMeasure::RequestsPerSecond => {
                let interval = view.settings.prometheus_adapter.rate_interval;
                rate(known.copied().filter(|sample| sample.at + interval > asked))
            }
        }
    }
}

/// Thousandths of a request per second; a counter that falls began anew.
fn rate(samples: impl Iterator<Item = Sample>) -> Option<i64> {
    let (mut first, mut last): (Option<Sample>, Option<Sample>) = (None, None);
    let mut risen: u64 = 0;
    for sample in samples {
        if let Some(before) = last {
            let (from, to) = (before.load.requests, sample.load.requests);
            risen += if to < from { to } else { to - from };
        }
        first = first.or(Some(sample));
        last = Some(sample);
    }
    let span = u128::from(last?.at.since(first?.at).as_nanos());
    (u128::from(risen) * 1_000_000_000_000).checked_div(span).map(|millis| i64::try_from(millis).unwrap_or(i64::MAX))
}

/// The value of a series.
fn value_at(points: &[MetricPoint], at: SimTime) -> Option<i64> {
    let next = points.partition_point(|point| point.at <= at);
    let Some(before) = next.checked_sub(1).map(|place| points[place]) else { return points.first().map(|point| point.value_millis) };
    let Some(after) = points.get(next).filter(|_| before.linear) else { return Some(before.value_millis) };
    let (passed, span) = (i128::from(at.since(before.at).as_nanos()), i128::from(after.at.since(before.at).as_nanos()));
    let rise = i128::from(after.value_millis) - i128::from(before.value_millis);
    Some((i128::from(before.value_millis) + rise * passed / span.max(1)) as i64)
}

fn thousand(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn div_ceil(value: i64, by: i64) -> i64 {
    value / by + i64::from(value % by > 0)
}

fn keep(samples: &mut Samples, sample: Sample, span: SimDuration) {
    samples.push_back(sample);
    while samples.front().is_some_and(|oldest| oldest.at + span < sample.at) {
        samples.pop_front();
    }
}

fn resolution(metric: &Metric, view: &View<'_>) -> SimDuration {
    metric.resolution.unwrap_or(view.settings.prometheus_adapter.scrape_interval).max(SimDuration::from_nanos(1))
}

fn next_scrape(metric: &Metric, view: &View<'_>) -> SimTime {
    (view.now + SimDuration::from_nanos(1)).next_on_grid(SimTime::ZERO, resolution(metric, view))
}

fn before(now: SimTime, span: SimDuration) -> Option<SimTime> {
    now.as_nanos().checked_sub(span.as_nanos()).map(SimTime::from_nanos)
}

/// The scrape whose values are served now, if there was one.
fn last_scrape(metric: &Metric, view: &View<'_>) -> Option<SimTime> {
    let (asked, step) = (before(view.now, metric.lag)?.as_nanos(), resolution(metric, view).as_nanos());
    Some(SimTime::from_nanos(asked - asked % step))
}

fn is_selected(wanted: &MetricIdentifier, metric: &Metric) -> bool {
    wanted.selector.as_ref().is_none_or(|selector| selector.matches(&metric.labels))
}

fn running<'a>(selector: &'a PodSelector, view: &'a View<'_>) -> impl Iterator<Item = (PodId, &'a Pod)> {
    let runs = |pod: &Pod| pod.status.phase == PodPhase::Running;
    view.store.pods.iter().filter(move |(_, pod)| runs(pod) && selects(selector, pod, view.store))
}

fn shares(pod: &Pod) -> bool {
    pod.is_ready() && !pod.meta.is_deleting()
}

/// Pods that a Service selects.
fn behind<'a>(key: &ObjectKey, view: &'a View<'_>) -> impl Iterator<Item = &'a Pod> {
    let service = view.store.services.find(key).and_then(|id| view.store.services.get(id));
    let selector = service.and_then(|service| service.selector.as_ref()).filter(|selector| !selector.is_empty());
    let namespace = service.map(|service| &service.meta.namespace);
    let pods = namespace.into_iter().flat_map(|namespace| view.store.pods.in_namespace(namespace)).map(|(_, pod)| pod);
    pods.filter(move |pod| selector.is_some_and(|selector| selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value))))
}

fn not_found(name: &str, resource: &str) -> String {
    format!("the server could not find the metric {name} for {resource}")
}

/// The resource of a kind, as a REST mapping would name it: `ingresses.networking.k8s.io`.
fn resource_of(object: &DescribedObject) -> String {
    let kind = object.kind.to_ascii_lowercase();
    let plural = if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") };
    match object.api_version.split_once('/') {
        Some((group, _)) => format!("{plural}.{group}"),
        None => plural,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, pod};
    use super::*;
    use api::LabelSelector;

    fn metric(name: &str, of: MetricOf, value: MetricValue) -> Metric {
        Metric { name: name.into(), labels: api::Labels::new(), of, value, resolution: None, lag: SimDuration::ZERO }
    }
    fn series(points: &[(u64, i64)], linear: bool) -> MetricValue {
        let point = |(at, units): &(u64, i64)| MetricPoint { at: SimTime::from_secs(*at), value_millis: units * 1000, linear };
        MetricValue::Series { points: points.iter().map(point).collect(), shared: false }
    }
    fn named(name: &str) -> MetricIdentifier {
        MetricIdentifier { name: name.into(), selector: None }
    }
    fn view(bench: &Bench) -> View<'_> {
        View { store: &bench.store, settings: &bench.settings, streams: &bench.streams, now: bench.now }
    }
    fn sample(seconds: u64, requests: u64) -> Sample {
        Sample { at: SimTime::from_secs(seconds), load: RequestLoad { requests, ..RequestLoad::default() } }
    }

    #[test]
    fn a_series_holds_or_goes_in_a_straight_line() {
        let of = |value: &MetricValue, at| match value {
            MetricValue::Series { points, .. } => value_at(points, SimTime::from_secs(at)).unwrap_or(-1),
            MetricValue::Traffic(..) => -1,
        };
        let points = [(10, 5), (20, 15), (30, 0)];
        assert_eq!([0, 10, 19, 20, 29, 99].map(|at| of(&series(&points, false), at)), [5000, 5000, 5000, 15_000, 15_000, 0]);
        assert_eq!([0, 10, 12, 20, 25, 99].map(|at| of(&series(&points, true), at)), [5000, 5000, 7000, 15_000, 7500, 0]);
    }

    #[test]
    fn a_rate_is_the_rise_between_samples_and_a_counter_may_begin_anew() {
        let of = |samples: &[(u64, u64)]| rate(samples.iter().map(|(at, requests)| sample(*at, *requests)));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(60, 100)]), None, "one sample has no rise");
        assert_eq!(of(&[(60, 100), (120, 400)]), Some(5000));
        assert_eq!(of(&[(60, 400), (120, 60)]), Some(1000), "the process was restarted");
        assert_eq!(of(&[(60, 0), (120, 600), (180, 900)]), Some(7500));
    }

    #[test]
    fn values_are_as_old_as_the_last_scrape_and_the_lag() {
        let asked = |seconds: u64, lag: u64| {
            let mut metric = metric("depth", MetricOf::External, series(&[(0, 0), (1000, 1000)], true));
            metric.lag = SimDuration::from_secs(lag);
            let bench = bench().at(seconds);
            CustomMetrics::new(&[metric]).external(&named("depth"), &view(&bench))
        };
        assert_eq!(asked(59, 0), Ok(vec![0]));
        assert_eq!(asked(61, 0), Ok(vec![60_000]));
        assert_eq!(asked(119, 59), Ok(vec![60_000]));
        assert_eq!(asked(119, 60), Ok(vec![0]));
        assert_eq!(asked(59, 60), Err("no metrics returned from external metrics API".to_owned()));
    }

    #[test]
    fn an_autoscaler_selects_series_by_the_labels_of_the_metric() {
        let queue = |name: &str, depth| {
            let mut metric = metric("depth", MetricOf::External, series(&[(0, depth)], false));
            metric.labels = [("queue".into(), name.into())].into();
            metric
        };
        let served = CustomMetrics::new(&[queue("orders", 7), queue("mail", 5)]);
        let bench = bench().at(100);
        let ask = |queue: Option<&str>| {
            let selector =
                |queue: &str| LabelSelector { match_labels: [("queue".into(), queue.into())].into(), ..LabelSelector::default() };
            served.external(&MetricIdentifier { name: "depth".into(), selector: queue.map(selector) }, &view(&bench))
        };
        assert_eq!(ask(None), Ok(vec![7000, 5000]));
        assert_eq!(ask(Some("mail")), Ok(vec![5000]));
        assert_eq!(ask(Some("sms")), Err("no metrics returned from external metrics API".to_owned()));
    }

    #[test]
    fn a_value_of_all_pods_is_shared_by_those_that_are_ready() {
        let bench = bench().replica_set("web", 3).at(1000);
        let bench = bench.owned_pod("web", pod("web-0").ready_since(0)).owned_pod("web", pod("web-1").ready_since(0));
        let bench = bench.owned_pod("web", pod("web-2").pending());
        let of = |shared| {
            let MetricValue::Series { points, .. } = series(&[(0, 9)], false) else { unreachable!("a series") };
            let metric = metric("depth", MetricOf::Pods(PodSelector::default()), MetricValue::Series { points, shared });
            let pods: Vec<(PodId, &Pod)> = bench.store.pods.iter().collect();
            let values = CustomMetrics::new(&[metric]).of_pods(&named("depth"), &pods, &view(&bench));
            values.map(|values| values.into_iter().map(|value| value.map(|value| value.value_millis)).collect::<Vec<_>>())
        };
        assert_eq!(of(true), Ok(vec![Some(4500), Some(4500), None]));
        assert_eq!(of(false), Ok(vec![Some(9000), Some(9000), None]));
    }

    #[test]
    fn failures_are_worded_as_the_adapter_words_them() {
        let bench = bench().at(100);
        let view = view(&bench);
        let ingress = DescribedObject { api_version: "networking.k8s.io/v1".into(), kind: "Ingress".into(), name: "shop".into() };
        let (none, namespace): (_, Str) = (CustomMetrics::default(), "default".into());
        assert_eq!(none.of_pods(&named("depth"), &[], &view), Err(format!("{CUSTOM}{NO_CUSTOM_API}")));
        assert_eq!(none.external(&named("depth"), &view), Err(format!("{EXTERNAL}{NO_EXTERNAL_API}")));
        let of = MetricOf::Object { kind: "Ingress".into(), key: ObjectKey::new("default", "other") };
        let served = CustomMetrics::new(&[metric("hits", of, series(&[(0, 1)], false))]);
        let custom = |error: &str| Err(format!("{CUSTOM}the server could not find the metric {error}"));
        assert_eq!(served.of_object(&named("depth"), &ingress, &namespace, &view), custom("depth for ingresses.networking.k8s.io"));
        assert_eq!(served.of_object(&named("hits"), &ingress, &namespace, &view), custom("hits for ingresses.networking.k8s.io shop"));
        assert_eq!(
            served.of_pods(&named("depth"), &[], &view).map(|values| values.len()),
            Err(format!("{CUSTOM}the server could not find the metric depth for pods"))
        );
    }
}
