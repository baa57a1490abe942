//! Everything a run answered: plain data, a few kilobytes, the per-job JSON file.
//!
//! Invariants: holds no time of the machine's; equal traces give equal bytes.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime, Str};
use serde::{Deserialize, Serialize};
use trace::{Question, Trace, TrafficCounts};

use super::query::{Answer, Query, statistics};
use super::recovery::{Recovery, recoveries};
use super::registry::{MetricInfo, registry};
use crate::fold::Run;

/// One number of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Value {
    /// Metric.
    pub metric: Str,
    /// Statistic; empty for metrics that are one number.
    pub stat: Str,
    /// What it was asked of.
    #[serde(rename = "where", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<Str, Str>,
    /// In the metric's unit.
    pub value: f64,
}

/// The answer to one expectation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// The number, if there is one.
    pub value: Option<f64>,
    /// There is no number because what was asked for did not happen within the run.
    pub never: bool,
    /// Why there is no number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Requests of one flow, over the measured part of the run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficSummary {
    /// Flow.
    pub flow: Str,
    /// Service asked.
    pub service: Str,
    /// Users' flow.
    pub external: bool,
    /// Sums; `in_flight` and `in_backoff` as they stand at the end.
    #[serde(flatten)]
    pub counts: TrafficCounts,
    /// Median latency in seconds.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// What a run answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measures {
    /// Scenario.
    pub scenario: Str,
    /// Its digest.
    pub scenario_digest: Str,
    /// Policy.
    pub policy: Str,
    /// Seed.
    pub seed: u64,
    /// Version of the simulator.
    pub wavetank_version: Str,
    /// Simulated length.
    pub duration: SimDuration,
    /// Cut off before measuring.
    pub warmup: SimDuration,
    /// When the run ended.
    pub ended: SimTime,
    /// Why.
    pub end_reason: Str,
    /// Events the world handled.
    pub events: u64,
    /// Events inside the traffic engine.
    pub traffic_events: u64,
    /// Which traffic engine ran; empty without traffic.
    #[serde(default)]
    pub traffic_engine: Str,
    /// Assumed defaults, what is accepted but not simulated, and what the traffic engine implies.
    #[serde(default)]
    pub notes: Vec<Str>,
    /// Expectations, in the scenario's order.
    pub asked: Vec<Asked>,
    /// Faults and marks.
    pub recoveries: Vec<Recovery>,
    /// Requests by flow.
    pub traffic: Vec<TrafficSummary>,
    /// Every metric that has data.
    pub values: Vec<Value>,
    /// What NetworkPolicies did not allow, by Service, policy and flow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Denial>,
}

/// Attempts of a flow that NetworkPolicies did not allow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Denial {
    /// The policies that isolate the end that did not allow it, `namespace/name`.
    pub policy: Str,
    /// The flow.
    pub flow: Str,
    /// How many.
    pub attempts: u64,
}

fn denials(run: &Run<'_>) -> Vec<Denial> {
    let denial = |((_, policy, flow), (_, attempts)): (&(&str, &str, &str), &(SimTime, u64))| Denial {
        policy: (*policy).into(),
        flow: (*flow).into(),
        attempts: *attempts,
    };
    run.denied.iter().map(denial).collect()
}

impl Measures {
    /// Measures a trace. The one call most callers need.
    #[must_use]
    pub fn of_trace(trace: &Trace) -> Self {
        Self::of(&Run::new(trace))
    }

    /// Measures a folded run.
    #[must_use]
    pub fn of(run: &Run<'_>) -> Self {
        let header = run.header;
        Self {
            scenario: header.scenario.clone(),
            scenario_digest: header.scenario_digest.clone(),
            policy: header.policy.clone(),
            seed: header.seed,
            wavetank_version: header.wavetank_version.clone(),
            duration: header.duration,
            warmup: header.warmup,
            ended: run.end,
            end_reason: run.end_reason.into(),
            events: run.world_events,
            traffic_events: run.traffic_events,
            traffic_engine: header.traffic_engine.clone(),
            notes: header.notes.clone(),
            asked: header.questions.iter().map(|question| asked(run, question)).collect(),
            recoveries: recoveries(run).to_vec(),
            traffic: traffic(run),
            values: values(run),
            denied: denials(run),
        }
    }
}

fn asked(run: &Run<'_>, question: &Question) -> Asked {
    let answer = Query::from(question).ask(run);
    let value = answer.value();
    let (never, note) = match answer {
        Answer::Value(_) => (false, String::new()),
        Answer::Never(why) => (true, why),
        Answer::NoData(why) => (false, why),
    };
    Asked { question: question.clone(), value, never, note }
}

fn traffic(run: &Run<'_>) -> Vec<TrafficSummary> {
    let range = run.range();
    let mut summaries = Vec::new();
    for flow in run.flows.values() {
        let mut counts = TrafficCounts::default();
        for window in flow.windows.iter().filter(|window| window.start() >= range.from) {
            counts = add(counts, &window.counts);
        }
        let latency = run.latencies(flow.name);
        let quantile = |q| latency?.quantile(q).map(|nanos| nanos as f64 / 1e9);
        let (p50, p95, p99) = (quantile(0.5), quantile(0.95), quantile(0.99));
        summaries.push(TrafficSummary {
            flow: flow.name.into(),
            service: flow.service.into(),
            external: flow.external,
            counts,
            p50,
            p95,
            p99,
        });
    }
    summaries.sort_by_key(|summary| !summary.external);
    summaries
}

/// Counts of the past added up; what is under way is replaced.
pub(crate) fn add(sum: TrafficCounts, next: &TrafficCounts) -> TrafficCounts {
    TrafficCounts {
        arrived: sum.arrived + next.arrived,
        succeeded: sum.succeeded + next.succeeded,
        shed: sum.shed + next.shed,
        refused: sum.refused + next.refused,
        timed_out: sum.timed_out + next.timed_out,
        failed: sum.failed + next.failed,
        in_flight: next.in_flight,
        in_backoff: next.in_backoff,
        attempts: sum.attempts + next.attempts,
        retries: sum.retries + next.retries,
    }
}

/// Every metric, whole run: all its statistics for step functions and samples, one number for the rest; once over
/// all, and once for every service (traffic), fault and mark (recovery).
fn values(run: &Run<'_>) -> Vec<Value> {
    let none = BTreeMap::new();
    let one = |key: &str, value: &str| BTreeMap::from([(Str::from(key), Str::from(value))]);
    let services: std::collections::BTreeSet<&str> = run.flows.values().map(|flow| flow.service).collect();
    let faults: std::collections::BTreeSet<&str> = run.faults.iter().map(|fault| fault.name).collect();
    let marks: std::collections::BTreeSet<&str> = run.marks.iter().map(|(_, mark)| *mark).collect();
    let mut values = Vec::new();
    for info in registry() {
        measure(run, info, &none, &mut values);
        if info.filters.contains(&"flow") {
            services.iter().for_each(|service| measure(run, info, &one("service", service), &mut values));
        }
        if info.filters.contains(&"fault") {
            faults.iter().for_each(|fault| measure(run, info, &one("fault", fault), &mut values));
            marks.iter().for_each(|mark| measure(run, info, &one("mark", mark), &mut values));
        }
    }
    values
}

fn measure(run: &Run<'_>, info: &MetricInfo, filter: &BTreeMap<Str, Str>, into: &mut Vec<Value>) {
    for (stat, value) in statistics(run, info, filter, info.stats_of_run()) {
        into.push(Value { metric: info.name.into(), stat: stat.into(), filter: filter.clone(), value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Phase;
    use crate::testing::{Builder, black_friday, node_failure};
    use trace::Record;

    #[test]
    fn phases_add_up_to_the_total_to_the_nanosecond() {
        for trace in [black_friday(1), black_friday(5), node_failure(2), node_failure(9)] {
            for recovery in Measures::of_trace(&trace).recoveries {
                let sum: u64 = recovery.phases().iter().filter_map(|(_, phase)| phase.took()).map(SimDuration::as_nanos).sum();
                assert_eq!(Some(sum), recovery.total.map(SimDuration::as_nanos), "{}", recovery.cause);
            }
        }
    }

    #[test]
    fn a_dark_node_is_detected_its_pods_evicted_rescheduled_and_ready() {
        let recovery = Measures::of_trace(&node_failure(1)).recoveries.remove(0);
        let seconds = |phase: Phase| phase.took().map(|span| span.as_secs());
        assert_eq!(seconds(recovery.detect), Some(44));
        assert_eq!(seconds(recovery.evict), Some(300), "the default toleration");
        assert!(seconds(recovery.reschedule) < Some(1) && seconds(recovery.ready) > Some(10));
        assert_eq!(recovery.slo, Phase::Took(SimDuration::ZERO), "users were served long before");
    }

    #[test]
    fn a_fault_that_outlasts_the_run_has_no_total_and_says_what_is_missing() {
        let mut trace = node_failure(1);
        trace.records.retain(|(at, _)| *at < SimTime::from_secs(950));
        trace.records.push((SimTime::from_secs(950), Record::End { events: 0, traffic_events: 0, reason: "horizon".into() }));
        let measures = Measures::of_trace(&trace);
        let recovery = &measures.recoveries[0];
        assert_eq!((recovery.ready, recovery.total), (Phase::Never, None));
        assert_eq!(recovery.missing, "Deployment/default/api had 10 of 12 replicas ready at the end");
        let asked = &measures.asked[1];
        assert!(asked.never && asked.value.is_none() && asked.note.contains("10 of 12"));
    }

    #[test]
    fn warm_up_is_in_no_measure() {
        let mut trace = node_failure(1);
        let value = |trace: &Trace, metric: &str| {
            let values = Measures::of_trace(trace).values;
            values.into_iter().find(|value| &*value.metric == metric && value.filter.is_empty()).map(|value| value.value)
        };
        let whole = value(&trace, "requests.total").unwrap();
        trace.header.warmup = SimDuration::from_secs(900);
        let half = value(&trace, "requests.total").unwrap();
        assert!((half / whole - 0.5).abs() < 0.01, "{half} of {whole}");
        assert_eq!(value(&trace, "cost.total").map(|cost| (cost * 1000.0).round()), Some((6.0f64 * 0.68 / 4.0 * 1000.0).round()));
        assert_eq!(value(&trace, "recovery.total"), None, "the fault was in the warm-up");
    }

    #[test]
    fn every_expectation_can_be_asked_with_windows_and_filters() {
        let trace = black_friday(1);
        let run = Run::new(&trace);
        let ask = |metric: &str, filter: &[(&str, &str)], window: u64, stat: &str| {
            let filter: BTreeMap<Str, Str> = filter.iter().map(|(key, value)| (Str::from(*key), Str::from(*value))).collect();
            Query { metric, filter: &filter, window: SimDuration::from_secs(window), stat }.ask(&run)
        };
        let value = |metric: &str, filter: &[(&str, &str)], window: u64, stat: &str| ask(metric, filter, window, stat).value().unwrap();
        let whole = value("availability", &[], 0, "");
        let worst_minute = value("availability", &[], 60, "");
        let worst_second = value("availability", &[], 0, "min");
        assert!(worst_second < worst_minute && worst_minute < whole && whole < 1.0);
        assert!((value("availability", &[], 100_000, "min") - whole).abs() < 1e-12, "a window longer than the run is the run");
        assert!((value("error.rate", &[], 0, "") + whole - 1.0).abs() < 1e-12);
        assert_eq!(value("availability", &[("service", "payment")], 0, ""), 1.0, "an inner service has its callers' flow");
        assert_eq!(value("availability", &[("flow", "shoppers")], 0, ""), whole);
        assert!(value("latency.p99", &[("from", "15m")], 0, "") < value("latency.p99", &[], 0, ""));
        assert!(value("latency.p99", &[], 60, "max") >= value("latency.p99", &[], 0, ""));
        assert_eq!(value("throughput", &[], 0, ""), value("requests.succeeded", &[], 0, "") / 2340.0);
        assert!(value("replicas.desired", &[("workload", "deployment/checkout")], 0, "max") == 400.0);
        assert_eq!(value("nodes.count", &[("zone", "a"), ("to", "2m")], 0, "max"), 1.0);
        for (metric, filter, said) in [
            ("availability", ("node", "x"), "takes no `node`"),
            ("no.such", ("service", "x"), "no metric"),
            ("latency.p99", ("from", "20h"), "nothing lies between"),
            ("latency.p99", ("service", "nobody"), "nothing for"),
            ("pods.startup", ("from", "soon"), "not a duration"),
        ] {
            match ask(metric, &[filter], 0, "") {
                Answer::NoData(why) => assert!(why.contains(said), "{why}"),
                other => panic!("{metric}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_rollout_takes_from_its_step_until_all_are_new_and_available() {
        let mut builder = Builder::new("rollout", 1, 300);
        let mut counts = |seconds: f64, current: i32, updated: i32, available: i32| {
            let (kind, name) = ("Deployment".into(), "default/web".into());
            builder.at(seconds, Record::Workload { kind, name, desired: 4, current, updated, ready: available, available });
        };
        counts(1.0, 4, 4, 4);
        counts(100.5, 4, 0, 4);
        counts(101.0, 5, 1, 4);
        counts(130.0, 5, 4, 4);
        counts(140.0, 4, 4, 4);
        builder.at(100.0, Record::Step { step: "setImage deployment/web".into(), outcome: "configured".into() });
        let trace = builder.build();
        let run = Run::new(&trace);
        let query = Query { metric: "rollout.duration", filter: &BTreeMap::new(), window: SimDuration::ZERO, stat: "" };
        assert_eq!(query.ask(&run), Answer::Value(40.0));
    }

    #[test]
    fn equal_traces_give_equal_files_and_they_read_back() {
        let measures = Measures::of_trace(&node_failure(4));
        let text = crate::render::job("id", "digest", &measures);
        assert_eq!(text, crate::render::job("id", "digest", &Measures::of_trace(&node_failure(4))));
        let back: Measures = serde_json::from_str(&text).unwrap();
        assert_eq!(back, measures);
        let csv = crate::render::metrics_csv([("id", &measures)]);
        assert!(csv.starts_with("job,policy,seed,metric,stat,where,value\nid,default,4,availability,,,0."));
        assert_eq!(csv.lines().count(), measures.values.len() + 1);
    }
}
