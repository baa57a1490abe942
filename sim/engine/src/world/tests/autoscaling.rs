//! Whole clusters whose size follows metrics that are no resources.

use super::*;
use crate::spec::{
    Arrivals, Behavior, Client, MemoryUse, Metric, MetricOf, MetricPoint, MetricValue, PodSelector, RatePoint, ServiceBehavior, Source,
    TrafficEngine, TrafficMeasure, WorkerQueue,
};
use api::{Kind, MetricIdentifier, MetricSource, MetricSpec, MetricTarget};

/// The small cluster with an autoscaler of 3 to 20 pods on this metric.
fn scaled(duration_s: u64, source: MetricSource, target: MetricTarget) -> WorldSpec {
    let mut spec = small(duration_s);
    spec.node_pools = vec![pool("node", 4, 8000)];
    spec.objects.horizontal_pod_autoscalers.push(api::HorizontalPodAutoscaler {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        target_kind: "Deployment".into(),
        target_name: "web".into(),
        min_replicas: 3,
        max_replicas: 20,
        metrics: vec![MetricSpec { source, target }],
        ..api::HorizontalPodAutoscaler::default()
    });
    spec
}

fn named(name: &str) -> MetricIdentifier {
    MetricIdentifier { name: name.into(), selector: None }
}

fn web() -> PodSelector {
    PodSelector { workload: Some((Kind::Deployment, key("web"))), ..PodSelector::default() }
}

/// A Service `web` whose requests take 100 ms of nothing but time, so many per second from two minutes on.
fn asked(spec: &mut WorldSpec, per_second: f64, worker: Option<WorkerQueue>) {
    spec.objects.services.push(api::Service {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(labels("web")),
        ..api::Service::default()
    });
    spec.behaviors.push(Behavior {
        service: Some(ServiceBehavior {
            latency_per_request: Distribution::Constant(SimDuration::from_millis(100)),
            concurrency: Some(worker.map_or(64, |worker| worker.consumers_per_pod)),
            worker,
            ..ServiceBehavior::default()
        }),
        ..Behavior::default()
    });
    let point = |at, per_second| RatePoint { at: SimTime::from_secs(at), per_second, linear: false };
    spec.traffic.sources.push(Source {
        name: "users".into(),
        to: key("web"),
        rate: vec![point(0, 1.0), point(120, per_second)],
        arrivals: Arrivals::Deterministic,
        users: None,
        via: Default::default(),
        clients: None,
        address: None,
        client: Client::default(),
    });
}

fn measured(name: &str, of: MetricOf, measure: TrafficMeasure, service: Option<&str>) -> Metric {
    Metric {
        name: name.into(),
        labels: Labels::new(),
        of,
        value: MetricValue::Traffic(measure, service.map(key)),
        resolution: Some(SimDuration::from_secs(15)),
        lag: SimDuration::ZERO,
    }
}

fn sizes(run: &Run) -> Vec<(u64, i32)> {
    let decisions = run.all(|record| match record {
        Record::Autoscale { current, desired, .. } if desired != current => Some(*desired),
        _ => None,
    });
    decisions.into_iter().map(|(at, size)| (at.as_secs(), size)).collect()
}

#[test]
fn requests_per_second_and_pod_scale_in_both_engines() {
    for engine in [TrafficEngine::Exact, TrafficEngine::Cohort] {
        let mut spec = scaled(600, MetricSource::Pods(named("http_requests_per_second")), MetricTarget::AverageValueMillis(10_000));
        asked(&mut spec, 100.0, None);
        spec.traffic.engine = engine;
        spec.metrics.push(measured("http_requests_per_second", MetricOf::Pods(web()), TrafficMeasure::RequestsPerSecond, None));
        let run = run(spec);
        // 100 requests a second at 10 for each pod; the rate looks two minutes back.
        let [desired, _, _, ready, _] = run.workload("default/web");
        assert!((10..=11).contains(&desired) && ready == desired, "{engine:?}: {desired} {ready}");
        let first = sizes(&run)[0].0;
        assert!((125..200).contains(&first), "{engine:?}: {first}");
    }
}

#[test]
fn the_depth_of_a_worker_queue_scales_its_workers() {
    for engine in [TrafficEngine::Exact, TrafficEngine::Cohort] {
        let mut spec = scaled(900, MetricSource::External(named("queue_depth")), MetricTarget::AverageValueMillis(30_000));
        // Three pods with two consumers each do 60 messages a second.
        let worker = WorkerQueue { consumers_per_pod: 2, visibility_timeout: SimDuration::from_secs(30), max_deliveries: 5 };
        asked(&mut spec, 90.0, Some(worker));
        spec.traffic.engine = engine;
        spec.metrics.push(measured("queue_depth", MetricOf::External, TrafficMeasure::QueueLength, Some("web")));
        let run = run(spec);
        let most = sizes(&run).into_iter().map(|(_, size)| size).max().unwrap_or(0);
        assert!((5..=20).contains(&most), "{engine:?}: {:?}", sizes(&run));
        let waiting = run.all(|record| match record {
            Record::Traffic { flow, counts, .. } if &**flow == "default/web queue" => Some(counts.in_backoff),
            _ => None,
        });
        let (_, left) = waiting.last().expect("a queue");
        assert!(*left < 30, "{engine:?}: the queue is empty again: {left}");
    }
}

#[test]
fn an_external_series_scales_with_its_lag() {
    let mut spec = scaled(1500, MetricSource::External(named("orders")), MetricTarget::AverageValueMillis(100_000));
    let point = |at, units: i64| MetricPoint { at: SimTime::from_secs(at), value_millis: units * 1000, linear: false };
    spec.metrics.push(Metric {
        name: "orders".into(),
        labels: Labels::new(),
        of: MetricOf::External,
        value: MetricValue::Series { points: vec![point(0, 300), point(300, 800), point(600, 300)], shared: false },
        resolution: Some(SimDuration::from_secs(60)),
        lag: SimDuration::from_secs(90),
    });
    let run = run(spec);
    let sizes = sizes(&run);
    assert_eq!(sizes.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [6, 8, 3], "{sizes:?}");
    assert_eq!(sizes[0].0, 390, "the sample of 300 s, 90 s late");
    assert_eq!(sizes[2].0, 975, "the last look at 800 was at 675 s, and held for 300 s");
}

#[test]
fn memory_scales_too() {
    let target = MetricTarget::AverageUtilization(50);
    let mut spec = scaled(600, MetricSource::Resource(ResourceName::Memory), target);
    let points = vec![(SimDuration::ZERO, 32 << 20), (SimDuration::from_secs(60), 96 << 20)];
    spec.behaviors.push(Behavior { memory: Some(MemoryUse { points }), ..Behavior::default() });
    let run = run(spec);
    // 96Mi of 128Mi are 75 %, and no further pod makes it less.
    let sizes: Vec<i32> = sizes(&run).into_iter().map(|(_, size)| size).collect();
    assert_eq!(sizes.last(), Some(&20), "{sizes:?}");
    assert!(
        run.events_of("HorizontalPodAutoscaler/default/web")
            .iter()
            .any(|(_, text)| { text.contains("reason: memory resource utilization (percentage of request) above target") })
    );
}
