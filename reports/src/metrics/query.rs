//! One question about one run: metric, filter, window, statistic.
//!
//! A metric becomes one of a few shapes of data (ratios by window, latencies by window, step functions,
//! samples, counts, one number); the shapes know how to take windows and statistics.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime, Str};
use trace::{Histogram, Question, TrafficCounts};

use super::recovery::{Phase, Recovery, recoveries};
use super::registry::{Measure, MetricInfo, metric};
use crate::fold::{Flow, NodeLife, PodLife, Run, Window, finished, lost, node_readiness};
use crate::series::{Range, Steps, stat_of};

/// A question.
#[derive(Clone, PartialEq, Debug)]
pub struct Query<'q> {
    /// Name of the metric.
    pub metric: &'q str,
    /// `where`.
    pub filter: &'q BTreeMap<Str, Str>,
    /// Window; zero for the whole run.
    pub window: SimDuration,
    /// Statistic; empty for the metric's own.
    pub stat: &'q str,
}

/// What a run answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// A number in the metric's unit.
    Value(f64),
    /// It did not happen within the run, and it should have. In words.
    Never(String),
    /// The run has nothing to say. In words.
    NoData(String),
}

impl Answer {
    /// The number, if there is one.
    #[must_use]
    pub const fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Never(_) | Self::NoData(_) => None,
        }
    }
}

impl<'q> From<&'q Question> for Query<'q> {
    fn from(question: &'q Question) -> Self {
        // `over: seeds` says that `stat` is the one across seeds.
        let stat = if &*question.over == "seeds" { "" } else { &*question.stat };
        Self { metric: &question.metric, filter: &question.filter, window: question.window, stat }
    }
}

impl Query<'_> {
    /// Asks a run.
    #[must_use]
    pub fn ask(&self, run: &Run<'_>) -> Answer {
        let Some(info) = metric(self.metric) else {
            return Answer::NoData(format!("there is no metric `{}`", self.metric));
        };
        if let Some(unknown) = self.filter.keys().find(|key| !info.filters.contains(&&***key)) {
            return Answer::NoData(format!("{} takes no `{unknown}`; it takes {}", info.name, info.filters.join(", ")));
        }
        match range_of(run, self.filter) {
            Ok(range) => data(run, info, self.filter, range).answer(info, self.stat, self.window, range),
            Err(problem) => Answer::NoData(problem),
        }
    }
}

/// How a metric goes over the run.
pub(crate) struct Course {
    /// One per span of equal length: the ratio, quantile, mean or rate within it, or the count; none where nothing was.
    pub values: Vec<Option<f64>>,
    /// They are counts per span, not values like the answer.
    pub counted: bool,
}

/// How `query` goes over the measured run in `spans`; none for what is a single number.
pub(crate) fn course(run: &Run<'_>, query: &Query<'_>, spans: usize) -> Option<Course> {
    let info = metric(query.metric)?;
    let range = range_of(run, query.filter).ok()?;
    let length = range.length().as_nanos();
    let at = |index: usize| range.from + SimDuration::from_nanos((u128::from(length) * index as u128 / spans as u128) as u64);
    // Windows belong to the span that their end is in.
    let span_of =
        |end: SimTime| (u128::from(end.since(range.from).as_nanos().saturating_sub(1)) * spans as u128 / u128::from(length)) as usize;
    let totals = |counts: &[(SimTime, u64)]| {
        let mut sums = vec![0.0; spans];
        for (at, count) in counts.iter().filter(|(at, _)| range.contains(*at)) {
            sums[span_of(*at + SimDuration::from_nanos(1)).min(spans - 1)] += *count as f64;
        }
        sums
    };
    let values = match data(run, info, query.filter, range) {
        Data::Ratios(windows) => {
            let mut sums = vec![(0, 0); spans];
            for (window, part, all) in windows {
                let sum = &mut sums[span_of(window.to).min(spans - 1)];
                *sum = (sum.0 + part, sum.1 + all);
            }
            sums.into_iter().map(|(part, all)| (all > 0).then(|| part as f64 / all as f64)).collect()
        }
        Data::Latencies { windows, quantile, .. } => {
            let mut sums = vec![Sliding::default(); spans];
            windows.into_iter().for_each(|(window, latency)| sums[span_of(window.to).min(spans - 1)].add(latency));
            sums.into_iter().map(|sum| sum.value(quantile).map(|nanos| nanos / 1e9)).collect()
        }
        Data::Steps(steps) => (0..spans).map(|index| steps.stat("mean", Range { from: at(index), to: at(index + 1) })).collect(),
        Data::Rate(counts) => {
            let seconds = range.length().as_secs_f64() / spans as f64;
            totals(&counts).into_iter().map(|sum| Some(sum / seconds)).collect()
        }
        Data::Counts(counts) => return Some(Course { values: totals(&counts).into_iter().map(Some).collect(), counted: true }),
        Data::Samples(_) | Data::Phases(_) | Data::Number(_) => return None,
    };
    Some(Course { values, counted: false })
}

/// Every statistic of one metric over the whole run.
pub(crate) fn statistics(
    run: &Run<'_>,
    info: &MetricInfo,
    filter: &BTreeMap<Str, Str>,
    stats: &[&'static str],
) -> Vec<(&'static str, f64)> {
    let range = run.range();
    let data = data(run, info, filter, range);
    stats.iter().filter_map(|stat| Some((*stat, data.answer(info, stat, SimDuration::ZERO, range).value()?))).collect()
}

/// The run after its warm-up, cut by `from` and `to`.
fn range_of(run: &Run<'_>, filter: &BTreeMap<Str, Str>) -> Result<Range, String> {
    let mut range = run.range();
    let time = |key: &str| -> Result<Option<SimTime>, String> {
        let Some(text) = filter.get(key) else { return Ok(None) };
        text.parse::<SimDuration>().map(|span| Some(SimTime::ZERO + span)).map_err(|error| format!("`{key}`: {error}"))
    };
    if let Some(from) = time("from")? {
        range.from = range.from.max(from);
    }
    if let Some(to) = time("to")? {
        range.to = range.to.min(to);
    }
    if range.to <= range.from { Err(format!("nothing lies between {} and {}", range.from, range.to)) } else { Ok(range) }
}

/// Whether `pattern` names `full` (`namespace/name`): in full, or its last part.
pub(crate) fn name_matches(pattern: &str, full: &str) -> bool {
    full == pattern || full.rsplit_once('/').is_some_and(|(_, name)| name == pattern)
}

/// Whether `pattern` (`name`, `kind/name`, `namespace/name` or `kind/namespace/name`) names a workload.
pub(crate) fn workload_matches(pattern: &str, kind: &str, full: &str) -> bool {
    let (namespace, name) = full.split_once('/').unwrap_or(("", full));
    match pattern.split('/').collect::<Vec<_>>()[..] {
        [only] => only == name,
        [first, second] => second == name && (first.eq_ignore_ascii_case(kind) || first == namespace),
        [first, second, third] => first.eq_ignore_ascii_case(kind) && second == namespace && third == name,
        _ => false,
    }
}

/// What to count of a pod, and when.
type PodCounts<'f, 't> = &'f dyn Fn(&PodLife<'t>, &mut Vec<(SimTime, u64)>);

/// The shapes of data.
enum Data<'t> {
    /// Numerator / denominator by window of traffic, in order of their ends.
    Ratios(Vec<(Range, u64, u64)>),
    /// Latencies by window of traffic.
    Latencies {
        windows: Vec<(Range, &'t Histogram)>,
        /// The quantile, or `None` for the mean.
        quantile: Option<f64>,
        /// All of them, where somebody has merged them already.
        whole: Option<Histogram>,
    },
    Steps(Steps),
    Samples(Vec<f64>),
    Phases(Vec<(Phase, String)>),
    /// (when, how many), in any order.
    Counts(Vec<(SimTime, u64)>),
    /// The same, per second.
    Rate(Vec<(SimTime, u64)>),
    Number(Option<f64>),
}

fn data<'t>(run: &Run<'t>, info: &MetricInfo, filter: &BTreeMap<Str, Str>, range: Range) -> Data<'t> {
    let flow_counts = |of: fn(&TrafficCounts) -> u64| -> Vec<(SimTime, u64)> {
        windows(run, filter, range).iter().map(|window| (window.start(), of(&window.counts))).collect()
    };
    let ratios = |of: fn(&TrafficCounts) -> (u64, u64)| {
        let of_window = |window: &&Window<'_>| {
            let (numerator, denominator) = of(&window.counts);
            (Range { from: window.start(), to: window.end }, numerator, denominator)
        };
        Data::Ratios(windows(run, filter, range).iter().map(of_window).collect())
    };
    let latencies = |quantile: Option<f64>| {
        let of_window = |window: &&Window<'t>| (Range { from: window.start(), to: window.end }, window.latency);
        let merge = |flow: &Flow<'t>, mut all: Histogram| {
            run.latencies(flow.name).into_iter().for_each(|latency| all.merge(latency));
            all
        };
        let whole = (range == run.range()).then(|| flows(run, filter).into_iter().fold(Histogram::default(), |all, flow| merge(flow, all)));
        Data::Latencies { windows: windows(run, filter, range).iter().map(of_window).collect(), quantile, whole }
    };
    let phases = |of: fn(&Recovery) -> Phase| Data::Phases(episodes(run, filter, range).iter().map(|r| (of(r), r.explain())).collect());
    let wanted_pod = |pod: &PodLife<'t>| pod_wanted(pod, filter);
    let wanted_node = |node: &NodeLife<'t>| node_wanted(node, filter);
    let pod_counts = |of: PodCounts<'_, 't>| {
        let mut counts = Vec::new();
        run.pods.iter().filter(|pod| wanted_pod(pod)).for_each(|pod| of(pod, &mut counts));
        Data::Counts(counts)
    };
    match info.measure {
        Measure::Availability => ratios(|counts| (counts.succeeded, finished(counts))),
        Measure::ErrorRate => ratios(|counts| (lost(counts), finished(counts))),
        Measure::RetryAmplification => ratios(|counts| (counts.attempts, counts.arrived)),
        Measure::LatencyP50 => latencies(Some(0.5)),
        Measure::LatencyP95 => latencies(Some(0.95)),
        Measure::LatencyP99 => latencies(Some(0.99)),
        Measure::LatencyMean => latencies(None),
        Measure::Throughput => Data::Rate(flow_counts(|counts| counts.succeeded)),
        Measure::Offered => Data::Rate(flow_counts(|counts| counts.arrived)),
        Measure::Requests => Data::Counts(flow_counts(|counts| counts.arrived)),
        Measure::Succeeded => Data::Counts(flow_counts(|counts| counts.succeeded)),
        Measure::Failed => Data::Counts(flow_counts(|counts| counts.failed)),
        Measure::Shed => Data::Counts(flow_counts(|counts| counts.shed)),
        Measure::Refused => Data::Counts(flow_counts(|counts| counts.refused)),
        Measure::TimedOut => Data::Counts(flow_counts(|counts| counts.timed_out)),
        Measure::Retries => Data::Counts(flow_counts(|counts| counts.retries)),
        Measure::Detect => phases(|recovery| recovery.detect),
        Measure::Evict => phases(|recovery| recovery.evict),
        Measure::Reschedule => phases(|recovery| recovery.reschedule),
        Measure::Ready => phases(|recovery| recovery.ready),
        Measure::Slo => phases(|recovery| recovery.slo),
        Measure::Total => phases(Recovery::total_phase),
        Measure::PodsPending => Data::Steps(run.pod_steps(wanted_pod, |pod, into| pod.phase_deltas("Pending", into))),
        Measure::PodsRunning => Data::Steps(run.pod_steps(wanted_pod, |pod, into| pod.phase_deltas("Running", into))),
        Measure::PodsReady => Data::Steps(run.pod_steps(wanted_pod, PodLife::ready_deltas)),
        Measure::PodsUnscheduled => Data::Steps(run.pod_steps(wanted_pod, unscheduled_deltas)),
        Measure::PodsRestarts => pod_counts(&restarts),
        Measure::PodsOomKilled => pod_counts(&|pod, into| {
            into.extend(pod.containers.iter().filter(|change| change.reason == "OOMKilled").map(|change| (change.at, 1)));
        }),
        Measure::SchedulingLatency => Data::Samples(
            run.pods
                .iter()
                .filter(|pod| wanted_pod(pod))
                .filter_map(|pod| pod.scheduled.map(|scheduled| (pod.created, scheduled.at)))
                .filter(|(_, at)| range.contains(*at))
                .map(|(created, at)| at.since(created).as_secs_f64())
                .collect(),
        ),
        Measure::Startup => Data::Samples(
            run.pods
                .iter()
                .filter(|pod| wanted_pod(pod))
                .filter_map(|pod| Some((pod.scheduled?.at, pod.ready.iter().find(|(_, ready, _)| *ready)?.0)))
                .filter(|(_, ready)| range.contains(*ready))
                .map(|(scheduled, ready)| ready.since(scheduled).as_secs_f64())
                .collect(),
        ),
        Measure::Attempts => pod_counts(&|pod, into| {
            into.extend(pod.unschedulable.iter().map(|(at, ..)| (*at, 1)));
            into.extend(pod.scheduled.map(|scheduled| (scheduled.at, 1)));
        }),
        Measure::Failures => pod_counts(&|pod, into| into.extend(pod.unschedulable.iter().map(|(at, ..)| (*at, 1)))),
        Measure::QueueDepth => {
            let mut steps = Steps::default();
            run.queue
                .iter()
                .for_each(|(at, [active, backoff, unschedulable, _])| steps.set(*at, f64::from(active + backoff + unschedulable)));
            Data::Steps(steps)
        }
        Measure::Preemptions => pod_counts(&|pod, into| {
            into.extend(pod.deleting.filter(|(_, by, _)| by.ends_with("scheduler")).map(|(at, ..)| (at, 1)));
        }),
        Measure::Evictions => pod_counts(&|pod, into| {
            let evicted = pod.phases.iter().find(|(_, _, reason)| *reason == "Evicted").map(|(at, ..)| *at);
            let deleted = pod.deleting.filter(|(_, by, _)| is_eviction(by)).map(|(at, ..)| at);
            into.extend(evicted.or(deleted).map(|at| (at, 1)));
        }),
        Measure::ReplicasDesired => workload_sum(run, filter, |counts| counts.desired),
        Measure::ReplicasReady => workload_sum(run, filter, |counts| counts.ready),
        Measure::ReplicasMissing => workload_sum(run, filter, |counts| (counts.desired - counts.ready).max(0)),
        Measure::RolloutDuration => Data::Phases(rollouts(run, filter, range)),
        Measure::ScaleUps => Data::Counts(autoscales(run, filter, |current, desired| desired > current)),
        Measure::ScaleDowns => Data::Counts(autoscales(run, filter, |current, desired| desired < current)),
        Measure::EndpointsReady => {
            let mut deltas = Vec::new();
            for (_, points) in run.endpoints.iter().filter(|(name, _)| filter.get("service").is_none_or(|p| name_matches(p, name))) {
                let mut value = 0;
                for (at, ready, _) in points {
                    deltas.push((*at, i64::from(*ready) - value));
                    value = i64::from(*ready);
                }
            }
            Data::Steps(Steps::from_deltas(deltas))
        }
        Measure::Unhealthy => Data::Counts(unhealthy(run, filter)),
        Measure::NodesCount => Data::Steps(run.node_steps(wanted_node, |node| vec![(node.added, 1)])),
        Measure::NodesReady => Data::Steps(run.node_steps(wanted_node, node_readiness)),
        Measure::CpuRequested => ratio_of_nodes(run, wanted_node, |node| node.cpu_millis, |usage| usage.cpu_requested_millis),
        Measure::CpuUsed => ratio_of_nodes(run, wanted_node, |node| node.cpu_millis, |usage| usage.cpu_used_millis),
        Measure::MemoryRequested => ratio_of_nodes(run, wanted_node, |node| node.memory_bytes, |usage| usage.memory_requested_bytes),
        Measure::CostTotal => Data::Number(cost(run, wanted_node, range)),
        Measure::NodeHours => Data::Number(Some(run.node_steps(wanted_node, |node| vec![(node.added, 1)]).integral_hours(range))),
        Measure::CostPerMillion => {
            let served: u64 = flow_counts(|counts| counts.succeeded).iter().map(|(_, count)| count).sum();
            Data::Number(cost(run, |_| true, range).filter(|_| served > 0).map(|cost| cost / served as f64 * 1e6))
        }
    }
}

/// The flows a filter chooses: `flow` by name; `service` those to it, users' flows before internal ones;
/// nothing: all of users' flows.
fn flows<'r, 't>(run: &'r Run<'t>, filter: &BTreeMap<Str, Str>) -> Vec<&'r Flow<'t>> {
    if let Some(name) = filter.get("flow") {
        return run.flows.values().filter(|flow| flow.name == &**name).collect();
    }
    let to_service: Vec<&Flow<'t>> =
        run.flows.values().filter(|flow| filter.get("service").is_none_or(|service| name_matches(service, flow.service))).collect();
    if filter.contains_key("service") && !to_service.iter().any(|flow| flow.external) {
        return to_service;
    }
    to_service.into_iter().filter(|flow| flow.external).collect()
}

/// Windows of the chosen flows that lie wholly in the range, by their ends.
fn windows<'r, 't>(run: &'r Run<'t>, filter: &BTreeMap<Str, Str>, range: Range) -> Vec<&'r Window<'t>> {
    let mut windows: Vec<&Window<'t>> = flows(run, filter)
        .into_iter()
        .flat_map(|flow| &flow.windows)
        .filter(|window| window.start() >= range.from && window.end <= range.to)
        .collect();
    windows.sort_by_key(|window| window.end);
    windows
}

fn episodes<'r>(run: &'r Run<'_>, filter: &BTreeMap<Str, Str>, range: Range) -> Vec<&'r Recovery> {
    let chosen = |recovery: &Recovery| {
        let (fault, mark) = (filter.get("fault"), filter.get("mark"));
        let wanted = if recovery.is_mark { mark } else { fault };
        wanted.map_or(fault.is_none() && mark.is_none(), |name| **name == *recovery.cause)
    };
    recoveries(run).iter().filter(|recovery| chosen(recovery) && range.contains(recovery.at)).collect()
}

fn pod_wanted(pod: &PodLife<'_>, filter: &BTreeMap<Str, Str>) -> bool {
    let workload = |pattern: &Str| pod.workload.split_once('/').is_some_and(|(kind, name)| workload_matches(pattern, kind, name));
    filter.get("workload").is_none_or(workload)
        && filter.get("namespace").is_none_or(|namespace| pod.namespace() == &**namespace)
        && filter.get("node").is_none_or(|node| pod.node() == Some(&**node))
}

fn node_wanted(node: &NodeLife<'_>, filter: &BTreeMap<Str, Str>) -> bool {
    let is = |key: &str, value: &str| filter.get(key).is_none_or(|wanted| &**wanted == value);
    is("node", node.name) && is("pool", node.pool) && is("zone", node.zone)
}

fn unscheduled_deltas(pod: &PodLife<'_>, into: &mut Vec<(SimTime, i64)>) {
    into.push((pod.created, 1));
    let leaves = pod.scheduled.map(|scheduled| scheduled.at).into_iter().chain(pod.removed).min();
    into.extend(leaves.map(|at| (at, -1)));
}

fn restarts(pod: &PodLife<'_>, into: &mut Vec<(SimTime, u64)>) {
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    for change in &pod.containers {
        let before = known.entry(change.container).or_insert(0);
        if change.restarts > *before {
            into.push((change.at, u64::from(change.restarts - *before)));
            *before = change.restarts;
        }
    }
}

/// Who deletes pods that should have stayed: everybody but their own controllers, the scheduler and people.
pub(crate) fn is_eviction(by: &str) -> bool {
    ["evict", "node-controller", "node-lifecycle", "pod-garbage-collector", "drain", "cluster-autoscaler", "kubelet"]
        .iter()
        .any(|word| by.contains(word))
}

fn workload_chosen(kind: &str, name: &str, filter: &BTreeMap<Str, Str>) -> bool {
    filter.get("workload").is_none_or(|pattern| workload_matches(pattern, kind, name))
        && filter.get("namespace").is_none_or(|namespace| name.split_once('/').is_some_and(|(found, _)| found == &**namespace))
}

fn workload_sum<'t>(run: &Run<'t>, filter: &BTreeMap<Str, Str>, of: impl Fn(&crate::fold::Counts) -> i32) -> Data<'t> {
    let mut deltas = Vec::new();
    for (kind, name) in run.top_workloads().filter(|(kind, name)| workload_chosen(kind, name, filter)) {
        let mut value = 0;
        for (at, counts) in &run.workloads[&(kind, name)] {
            deltas.push((*at, i64::from(of(counts)) - value));
            value = i64::from(of(counts));
        }
    }
    Data::Steps(Steps::from_deltas(deltas))
}

/// A rollout of a workload that began in the range, as far as it came.
pub(crate) struct Rollout<'t> {
    pub workload: (&'t str, &'t str),
    pub began: SimTime,
    pub done: Option<SimTime>,
}

fn rollouts(run: &Run<'_>, filter: &BTreeMap<Str, Str>, range: Range) -> Vec<(Phase, String)> {
    let phase = |rollout: Rollout<'_>| {
        let ((kind, name), began) = (rollout.workload, rollout.began);
        rollout.done.map_or_else(
            || (Phase::Never, format!("the rollout of {kind} {name} that began at {began} did not end within the run")),
            |done| (Phase::Took(done.since(began)), String::new()),
        )
    };
    rollouts_of(run, filter, range).into_iter().map(phase).collect()
}

/// Rollouts that began in the range. A rollout begins when fewer replicas are of the newest template than
/// there are replicas: growing alone never makes it so.
pub(crate) fn rollouts_of<'t>(run: &Run<'t>, filter: &BTreeMap<Str, Str>, range: Range) -> Vec<Rollout<'t>> {
    let mut found = Vec::new();
    for (kind, name) in run.top_workloads().filter(|(kind, name)| workload_chosen(kind, name, filter)) {
        let mut began: Option<SimTime> = None;
        for (at, counts) in &run.workloads[&(kind, name)] {
            if began.is_none() && counts.updated < counts.current.min(counts.desired) {
                let step = run.steps.iter().rev().find(|(step, ..)| step <= at && at.since(*step) <= SimDuration::from_secs(10));
                began = Some(step.map_or(*at, |(step, ..)| *step));
            }
            let done = counts.updated == counts.desired && counts.current == counts.desired && counts.available >= counts.desired;
            if done && let Some(start) = began.take().filter(|start| range.contains(*start)) {
                found.push(Rollout { workload: (kind, name), began: start, done: Some(*at) });
            }
        }
        if let Some(start) = began.filter(|start| range.contains(*start)) {
            found.push(Rollout { workload: (kind, name), began: start, done: None });
        }
    }
    found
}

fn autoscales(run: &Run<'_>, filter: &BTreeMap<Str, Str>, counted: impl Fn(i32, i32) -> bool) -> Vec<(SimTime, u64)> {
    let chosen = |target: &str| target.split_once('/').is_some_and(|(kind, name)| workload_chosen(kind, name, filter));
    run.autoscales.iter().filter(|look| chosen(look.target) && counted(look.current, look.desired)).map(|look| (look.at, 1)).collect()
}

fn unhealthy(run: &Run<'_>, filter: &BTreeMap<Str, Str>) -> Vec<(SimTime, u64)> {
    let pods: BTreeMap<&str, &PodLife<'_>> = run.pods.iter().map(|pod| (pod.name, pod)).collect();
    let no_filter = filter.keys().all(|key| matches!(&**key, "from" | "to"));
    let chosen =
        |object: &str| no_filter || object.strip_prefix("Pod/").and_then(|name| pods.get(name)).is_some_and(|pod| pod_wanted(pod, filter));
    run.events.iter().filter(|event| event.reason == "Unhealthy" && chosen(event.object)).map(|event| (event.at, 1)).collect()
}

/// numerator / denominator at every change of either, where there is a denominator.
fn ratio_of_nodes<'t>(
    run: &Run<'t>,
    wanted: impl Fn(&NodeLife<'t>) -> bool,
    whole: impl Fn(&NodeLife<'t>) -> i64,
    part: impl Fn(&crate::fold::Usage) -> i64,
) -> Data<'t> {
    let parts = run.node_steps(&wanted, |node| node.usage.iter().map(|(at, usage)| (*at, part(usage))).collect());
    let wholes = run.node_steps(&wanted, |node| vec![(node.added, whole(node))]);
    Data::Steps(divide(&parts, &wholes))
}

/// One step function by another; zero where the divisor is.
pub(crate) fn divide(parts: &Steps, wholes: &Steps) -> Steps {
    let mut ratio = Steps::default();
    let (mut part, mut whole) = (parts.points().iter().peekable(), wholes.points().iter().peekable());
    let (mut numerator, mut denominator) = (0.0, 0.0);
    while let Some(at) = [part.peek(), whole.peek()].into_iter().flatten().map(|(at, _)| *at).min() {
        while let Some((_, value)) = part.next_if(|(time, _)| *time == at) {
            numerator = *value;
        }
        while let Some((_, value)) = whole.next_if(|(time, _)| *time == at) {
            denominator = *value;
        }
        ratio.set(at, if denominator > 0.0 { numerator / denominator } else { 0.0 });
    }
    ratio
}

fn cost<'t>(run: &Run<'t>, wanted: impl Fn(&NodeLife<'t>) -> bool, range: Range) -> Option<f64> {
    let hours = |node: &NodeLife<'_>| {
        let to = node.removed.unwrap_or(range.to).min(range.to);
        to.since(node.added.max(range.from)).as_secs_f64() / 3600.0
    };
    let nodes: Vec<&NodeLife<'t>> = run.nodes.iter().filter(|node| wanted(node)).collect();
    (!nodes.is_empty()).then(|| nodes.iter().map(|node| hours(node) * node.price_per_hour).sum())
}

impl Data<'_> {
    fn answer(&self, info: &MetricInfo, stat: &str, window: SimDuration, range: Range) -> Answer {
        let whole_run = window.is_zero() && matches!(stat, "" | "mean" | "time-mean");
        let stat = if stat.is_empty() { info.own_stat() } else { stat };
        // A window of a nanosecond over a day must not ask for 10^14 of them.
        let finest = SimDuration::from_nanos(range.length().as_nanos() / 1_000_000);
        let window = if window.is_zero() { window } else { window.max(finest) };
        let value = match self {
            Self::Ratios(windows) => {
                let windows = if whole_run { vec![sum(windows)] } else { slide(windows, window, range) };
                let ratios: Vec<f64> = windows.iter().filter(|(_, all)| *all > 0).map(|(part, all)| *part as f64 / *all as f64).collect();
                stat_of(stat, &ratios)
            }
            Self::Latencies { whole: Some(whole), quantile, .. } if whole_run => {
                Sliding::of(whole).value(*quantile).map(|nanos| nanos / 1e9)
            }
            Self::Latencies { windows, quantile, .. } => {
                let window = if whole_run { range.length() } else { window };
                stat_of(stat, &slide_latencies(windows, window, range, *quantile))
            }
            Self::Steps(steps) if steps.is_empty() => None,
            Self::Steps(steps) if window.is_zero() => steps.stat(stat, range),
            Self::Steps(steps) => stat_of(stat, &steps.windows(range, window)),
            Self::Samples(samples) => stat_of(stat, samples),
            Self::Phases(phases) => return phases_answer(info, stat, phases),
            Self::Counts(counts) if window.is_zero() => {
                Some(counts.iter().filter(|(at, _)| range.contains(*at)).map(|(_, n)| *n as f64).fold(0.0, |sum, n| sum + n))
            }
            Self::Counts(counts) => stat_of(stat, &tumble(counts, window, range)),
            Self::Rate(counts) if counts.is_empty() => None,
            Self::Rate(counts) => {
                let window = if window.is_zero() { range.length() } else { window };
                let rates: Vec<f64> = tumble(counts, window, range).iter().map(|count| count / window.as_secs_f64()).collect();
                stat_of(stat, &rates)
            }
            Self::Number(number) => *number,
        };
        value.map_or_else(|| Answer::NoData(format!("the trace has nothing for {}", info.name)), Answer::Value)
    }
}

fn phases_answer(info: &MetricInfo, stat: &str, phases: &[(Phase, String)]) -> Answer {
    if let Some((_, why)) = phases.iter().find(|(phase, _)| *phase == Phase::Never) {
        return Answer::Never(why.clone());
    }
    let took: Vec<f64> = phases.iter().filter_map(|(phase, _)| phase.took()).map(SimDuration::as_secs_f64).collect();
    let nothing = || Answer::NoData(format!("nothing to measure {} of in the range", info.name));
    stat_of(stat, &took).map_or_else(nothing, Answer::Value)
}

fn sum(windows: &[(Range, u64, u64)]) -> (u64, u64) {
    windows.iter().fold((0, 0), |(part, all), (_, p, a)| (part + p, all + a))
}

/// Whether a whole window of `length` ends at `end`.
fn slides_over(length: SimDuration, range: Range, end: SimTime) -> bool {
    range.from + length <= end
}

/// Sums over the window of `length` that ends with each recorded one; the whole when it is longer than the
/// range; each recorded window by itself when `length` is shorter than those.
fn slide(windows: &[(Range, u64, u64)], length: SimDuration, range: Range) -> Vec<(u64, u64)> {
    if length.is_zero() {
        return by_end(windows);
    }
    if length >= range.length() {
        return vec![sum(windows)];
    }
    let mut sums = Vec::new();
    let (mut part, mut all, mut oldest) = (0, 0, 0);
    for (index, (span, p, a)) in windows.iter().enumerate() {
        (part, all) = (part + p, all + a);
        while oldest < index && windows[oldest].0.from + length < span.to {
            (part, all) = (part - windows[oldest].1, all - windows[oldest].2);
            oldest += 1;
        }
        let last_of_instant = windows.get(index + 1).is_none_or(|(next, ..)| next.to > span.to);
        if last_of_instant && slides_over(length, range, span.to) {
            sums.push((part, all));
        }
    }
    sums
}

/// Flows that share a window's end, added up.
fn by_end(windows: &[(Range, u64, u64)]) -> Vec<(u64, u64)> {
    windows.chunk_by(|a, b| a.0.to == b.0.to).map(sum).collect()
}

/// The latency of the same sliding windows.
fn slide_latencies(windows: &[(Range, &Histogram)], length: SimDuration, range: Range, quantile: Option<f64>) -> Vec<f64> {
    let whole = length >= range.length();
    let mut counts = Sliding::default();
    let mut values = Vec::new();
    let mut oldest = 0;
    for (index, (span, latency)) in windows.iter().enumerate() {
        counts.add(latency);
        let too_old = |from: SimTime| if length.is_zero() { from < span.from } else { !whole && from + length < span.to };
        while oldest < index && too_old(windows[oldest].0.from) {
            counts.remove(windows[oldest].1);
            oldest += 1;
        }
        let next = windows.get(index + 1);
        let is_due =
            if whole { next.is_none() } else { next.is_none_or(|(next, _)| next.to > span.to) && slides_over(length, range, span.to) };
        if is_due {
            values.extend(counts.value(quantile).map(|nanos| nanos / 1e9));
        }
    }
    values
}

/// A histogram that can forget.
#[derive(Default, Clone)]
struct Sliding {
    counts: Vec<u64>,
    total: u64,
}

impl Sliding {
    fn of(histogram: &Histogram) -> Self {
        let mut sliding = Self::default();
        sliding.add(histogram);
        sliding
    }
    fn add(&mut self, histogram: &Histogram) {
        for (bucket, count) in histogram.buckets() {
            if bucket >= self.counts.len() {
                self.counts.resize(bucket + 1, 0);
            }
            self.counts[bucket] += count;
            self.total += count;
        }
    }
    fn remove(&mut self, histogram: &Histogram) {
        for (bucket, count) in histogram.buckets() {
            self.counts[bucket] -= count;
            self.total -= count;
        }
    }
    /// The quantile, or the mean; the same rank as [`Histogram::quantile`].
    fn value(&self, quantile: Option<f64>) -> Option<f64> {
        let filled = || self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        if self.total == 0 {
            return None;
        }
        let Some(q) = quantile else {
            let sum: u128 = filled().map(|(bucket, count)| u128::from(Histogram::middle(bucket)) * u128::from(*count)).sum();
            return Some(sum as f64 / self.total as f64);
        };
        let rank = ((q * self.total as f64) as u64).min(self.total - 1);
        let mut seen = 0;
        filled().find_map(|(bucket, count)| {
            seen += count;
            (seen > rank).then(|| Histogram::middle(bucket) as f64)
        })
    }
}

/// Counts in each whole window of the range, one after the other.
fn tumble(counts: &[(SimTime, u64)], length: SimDuration, range: Range) -> Vec<f64> {
    let windows = range.length().as_nanos() / length.as_nanos().max(1);
    let mut sums = vec![0.0; windows as usize];
    for (at, count) in counts.iter().filter(|(at, _)| range.contains(*at)) {
        let index = (at.since(range.from).as_nanos() / length.as_nanos().max(1)) as usize;
        if let Some(sum) = sums.get_mut(index) {
            *sum += *count as f64;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn secs(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    proptest! {
        /// The clever sums (two ends of a window moving along) against the plain ones (every window by itself).
        #[test]
        fn sliding_windows_equal_adding_up_each_window(
            counts in proptest::collection::btree_map(0u64..120, (0u64..50, 1u64..100), 1..60),
            length in 1u64..40,
        ) {
            let range = Range { from: secs(0), to: secs(121) };
            let mut histograms = Vec::new();
            for (second, (part, all)) in &counts {
                let mut histogram = Histogram::default();
                histogram.record_n(*part + 1, *all);
                histograms.push((Range { from: secs(*second), to: secs(second + 1) }, histogram));
            }
            let windows: Vec<_> = counts.iter().map(|(second, (part, all))| (Range { from: secs(*second), to: secs(second + 1) }, *part, *all)).collect();
            let ends = || windows.iter().map(|(span, ..)| span.to).filter(|end| *end >= secs(length));
            let inside = |end: SimTime, span: Range| span.to <= end && span.from + SimDuration::from_secs(length) >= end;
            let plain: Vec<(u64, u64)> = ends()
                .map(|end| sum(&windows.iter().filter(|(span, ..)| inside(end, *span)).copied().collect::<Vec<_>>()))
                .collect();
            prop_assert_eq!(slide(&windows, SimDuration::from_secs(length), range), plain);
            let plain: Vec<f64> = ends()
                .map(|end| {
                    let mut merged = Histogram::default();
                    histograms.iter().filter(|(span, _)| inside(end, *span)).for_each(|(_, histogram)| merged.merge(histogram));
                    merged.quantile(0.95).map_or(-1.0, |nanos| nanos as f64 / 1e9)
                })
                .collect();
            let borrowed: Vec<(Range, &Histogram)> = histograms.iter().map(|(span, histogram)| (*span, histogram)).collect();
            prop_assert_eq!(slide_latencies(&borrowed, SimDuration::from_secs(length), range, Some(0.95)), plain);
        }
    }

    #[test]
    fn names_may_be_given_short_or_in_full() {
        for pattern in ["web", "deployment/web", "Deployment/shop/web", "shop/web"] {
            assert!(workload_matches(pattern, "Deployment", "shop/web"), "{pattern}");
        }
        for pattern in ["we", "statefulset/web", "Deployment/other/web", "other/web", "a/b/c/web"] {
            assert!(!workload_matches(pattern, "Deployment", "shop/web"), "{pattern}");
        }
        assert!(name_matches("web", "shop/web") && name_matches("shop/web", "shop/web") && !name_matches("eb", "shop/web"));
    }
}
