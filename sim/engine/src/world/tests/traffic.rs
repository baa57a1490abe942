//! Requests and the cluster: who is asked, who answers, and what the autoscaler makes of it.

use super::*;
use crate::spec::{
    Arrivals, Behavior, Client, Fault, FaultAction, FaultMode, FaultTarget, RatePoint, ServiceBehavior, Source, TrafficEngine,
};
use api::{MetricSource, MetricSpec, MetricTarget};

/// The small cluster with a Service in front, each request taking 10 ms of cpu, and so many requests per second.
pub(super) fn served(duration_s: u64, rates: &[(u64, f64)]) -> WorldSpec {
    let mut spec = small(duration_s);
    spec.objects.services.push(api::Service {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(labels("web")),
        ..api::Service::default()
    });
    spec.behaviors.push(Behavior {
        ready_after: Some(Distribution::Constant(SimDuration::from_secs(2))),
        service: Some(ServiceBehavior {
            cpu_per_request: Distribution::Constant(SimDuration::from_millis(10)),
            concurrency: Some(64),
            queue_limit: 256,
            ..ServiceBehavior::default()
        }),
        ..Behavior::default()
    });
    let point = |(at, per_second): &(u64, f64)| RatePoint { at: SimTime::from_secs(*at), per_second: *per_second, linear: false };
    spec.traffic.sources.push(Source {
        name: "users".into(),
        to: key("web"),
        rate: rates.iter().map(point).collect(),
        arrivals: Arrivals::Poisson,
        client: Client { timeout: SimDuration::from_secs(2), ..Client::default() },
        ..Source::default()
    });
    spec
}

#[test]
fn requests_are_answered_once_pods_are_ready() {
    let run = run(served(120, &[(0, 0.0), (20, 20.0)]));
    let [arrived, succeeded, lost] = run.requests("users");
    assert!((1800..2200).contains(&arrived), "{arrived}");
    assert_eq!((succeeded, lost), (arrived - (arrived - succeeded), 0));
    assert!(arrived - succeeded < 5, "only what is under way at the end is missing");
    assert!(run.summary.traffic_events > arrived);
}

#[test]
fn without_a_ready_pod_requests_are_refused() {
    let mut spec = served(60, &[(0, 10.0)]);
    spec.objects.deployments[0].replicas = 0;
    let run = run(spec);
    let [arrived, succeeded, lost] = run.requests("users");
    assert!(arrived > 400);
    assert_eq!((succeeded, lost), (0, arrived));
}

#[test]
fn a_silent_node_costs_requests_until_it_is_noticed() {
    let mut spec = served(300, &[(20, 20.0)]);
    spec.faults.push(Fault {
        name: "outage".into(),
        at: SimTime::from_secs(120),
        duration: None,
        schedule: None,
        action: FaultAction::NodePoweroff,
        mode: FaultMode::All,
        target: FaultTarget::Nodes { labels: None, names: vec!["node-0".into()] },
    });
    let run = run(spec);
    let lost_in = |from: u64, to: u64| {
        let windows = run.all(|record| match record {
            Record::Traffic { counts, .. } => Some(counts.timed_out + counts.failed + counts.refused),
            _ => None,
        });
        let inside = windows.iter().filter(|(at, _)| *at > SimTime::from_secs(from) && *at <= SimTime::from_secs(to));
        inside.map(|(_, lost)| *lost).sum::<u64>()
    };
    assert_eq!(lost_in(30, 115), 0);
    assert!(lost_in(120, 170) > 100, "{}", lost_in(120, 170));
    assert_eq!(lost_in(200, 300), 0, "the endpoints are gone after detection");
}

#[test]
fn load_makes_the_autoscaler_add_pods() {
    let mut spec = served(600, &[(0, 10.0), (120, 130.0)]);
    spec.objects.horizontal_pod_autoscalers.push(api::HorizontalPodAutoscaler {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        target_kind: "Deployment".into(),
        target_name: "web".into(),
        min_replicas: 3,
        max_replicas: 8,
        metrics: vec![MetricSpec { source: MetricSource::Resource(ResourceName::Cpu), target: MetricTarget::AverageUtilization(50) }],
        ..api::HorizontalPodAutoscaler::default()
    });
    let run = run(spec);
    // 130/s at 10 ms of cpu are 1.3 cpus; at 50 % of 500m each that asks for 6 pods.
    let [desired, _, _, ready, _] = run.workload("default/web");
    assert!((5..=7).contains(&desired) && ready == desired, "{desired} {ready}");
    let decisions = run.all(|record| match record {
        Record::Autoscale { current, desired, .. } if desired > current => Some(*desired),
        _ => None,
    });
    let first = decisions.first().expect("it scales up").0;
    assert!(first > SimTime::from_secs(120) && first < SimTime::from_secs(180), "{first}");
    assert!(run.all(|record| matches!(record, Record::NodeUsage { cpu_used_millis: 100.., .. }).then_some(())).len() > 2);
}

#[test]
fn counted_together_requests_fare_as_they_do_one_by_one() {
    let with = |engine| {
        let mut spec = served(300, &[(20, 40.0)]);
        spec.traffic.engine = engine;
        spec.faults.push(Fault {
            name: "outage".into(),
            at: SimTime::from_secs(120),
            duration: None,
            schedule: None,
            action: FaultAction::NodePoweroff,
            mode: FaultMode::All,
            target: FaultTarget::Nodes { labels: None, names: vec!["node-0".into()] },
        });
        run(spec).requests("users").map(|count| count as f64)
    };
    let [exact, cohort] = [TrafficEngine::Exact, TrafficEngine::Cohort].map(with);
    for (place, slack) in [(0, 0.04), (1, 0.06), (2, 0.2)] {
        assert!((cohort[place] / exact[place] - 1.0).abs() < slack, "{exact:?} {cohort:?}");
    }
    assert_eq!(with(TrafficEngine::Cohort), cohort, "and again the same");
}
