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
    /// Expectations, in the scenario's order.
    pub asked: Vec<Asked>,
    /// Faults and marks.
    pub recoveries: Vec<Recovery>,
    /// Requests by flow.
    pub traffic: Vec<TrafficSummary>,
    /// Every metric that has data.
    pub values: Vec<Value>,
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
            asked: header.questions.iter().map(|question| asked(run, question)).collect(),
            recoveries: recoveries(run).to_vec(),
            traffic: traffic(run),
            values: values(run),
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
        let mut latency = trace::Histogram::default();
        for window in flow.windows.iter().filter(|window| window.start() >= range.from) {
            counts = add(counts, &window.counts);
            latency.merge(window.latency);
        }
        let quantile = |q| latency.quantile(q).map(|nanos| nanos as f64 / 1e9);
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
    // Over the whole run a ratio, a rate and a count are one number; asking for more statistics would repeat it.
    let varies = info.stats.contains(&"time-mean") || info.stats.first() == Some(&"p95") || info.filters.contains(&"fault");
    let stats: &[&'static str] = if varies { info.stats } else { &[""] };
    for (stat, value) in statistics(run, info, filter, stats) {
        into.push(Value { metric: info.name.into(), stat: stat.into(), filter: filter.clone(), value });
    }
}
