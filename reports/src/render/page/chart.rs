//! What the page draws: lines on a shared time axis, thinned.
//!
//! Invariants:
//! - No chart has more than its limit of points. Where there are more, each bin of time keeps every line's lowest
//!   and highest value, so no peak is lost; percentiles are taken of each bin's requests together.
//! - Numbers are rounded to four digits: these are pictures, the exact ones are in the result files.

use std::collections::BTreeMap;

use api::SimTime;
use serde::Serialize;
use trace::{Histogram, Trace, TrafficCounts};

use crate::fold::{Flow, Run, lost};
use crate::metrics::name_matches;
use crate::series::{Range, Steps};

/// Points of a large chart, and of a small one.
pub(super) const LIMIT: usize = 2000;
const SMALL_LIMIT: usize = 800;
/// Services that get charts of their own.
pub(super) const SERVICES: usize = 12;

/// How a chart's numbers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Scale {
    Count,
    PerSecond,
    Seconds,
    Cores,
    Gibibytes,
    Money,
}

/// One line.
#[derive(Serialize)]
pub(super) struct Series {
    pub label: &'static str,
    /// Index into the palette.
    pub color: usize,
    /// Index into the dash patterns; 0 is solid.
    pub dash: usize,
    /// Piled on the stacked lines before it.
    pub stack: bool,
    /// Holds its value until the next point.
    pub step: bool,
    pub y: Vec<Option<f64>>,
}

/// One chart.
#[derive(Serialize)]
pub(super) struct Chart {
    pub id: String,
    pub title: String,
    #[serde(skip)]
    pub caption: String,
    pub scale: Scale,
    pub log: bool,
    /// Seconds.
    pub x: Vec<f64>,
    pub series: Vec<Series>,
    /// Thinned from this many points.
    #[serde(skip)]
    pub thinned_from: Option<usize>,
    /// Between which values all seeds lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Envelope>,
}

/// The lowest and the highest value of all seeds, by span of time.
#[derive(Serialize)]
pub(super) struct Envelope {
    /// How many seeds.
    pub count: usize,
    /// Spans of equal length over the longest run.
    pub end: f64,
    /// By series; empty for those that are piled on others.
    pub low: Vec<Vec<Option<f64>>>,
    pub high: Vec<Vec<Option<f64>>>,
}

/// Spans of an envelope.
const SPANS: usize = 200;

impl Envelope {
    fn new(chart: &Chart, end: f64) -> Self {
        let mut piled = false;
        let spans = |series: &Series| {
            let is_base = !(piled && series.stack);
            piled |= series.stack;
            if is_base { vec![None; SPANS] } else { Vec::new() }
        };
        let low: Vec<Vec<Option<f64>>> = chart.series.iter().map(spans).collect();
        Self { count: 0, end, high: low.clone(), low }
    }

    /// Takes in another seed's chart.
    fn widen(&mut self, chart: &Chart, labels: &[&str]) {
        self.count += 1;
        for (index, label) in labels.iter().enumerate() {
            let Some(series) = chart.series.iter().find(|series| series.label == *label) else { continue };
            let (low, high) = (&mut self.low[index], &mut self.high[index]);
            if low.is_empty() {
                continue;
            }
            let mut take = |span: usize, value: f64| {
                low[span] = Some(low[span].map_or(value, |least| least.min(value)));
                high[span] = Some(high[span].map_or(value, |most| most.max(value)));
            };
            let mut before: Option<(usize, f64)> = None;
            for (x, y) in chart.x.iter().zip(&series.y) {
                let span = ((x / self.end * SPANS as f64) as usize).min(SPANS - 1);
                // A step lasts until the next one.
                if let Some((from, value)) = before.filter(|_| series.step) {
                    (from..=span).for_each(|span| take(span, value));
                }
                before = y.map(|value| (span, value));
                if let Some(value) = y {
                    take(span, *value);
                }
            }
        }
    }
}

impl Chart {
    /// Whether it has anything to show.
    fn has_data(&self) -> bool {
        self.x.len() > 1 && self.series.iter().any(|series| series.y.iter().any(Option::is_some))
    }
}

impl Chart {
    fn is_ever_above_zero(&self) -> bool {
        self.series.iter().any(|series| series.y.iter().any(|value| *value > Some(0.0)))
    }
}

/// A line before it is thinned.
struct Line {
    label: &'static str,
    color: usize,
    dash: usize,
    stack: bool,
    shape: Shape,
}

enum Shape {
    Steps(Steps),
    /// A value per window, at its end; nothing between.
    Samples(Vec<(SimTime, Option<f64>)>),
}

impl Line {
    fn steps(label: &'static str, color: usize, steps: Steps) -> Self {
        Self { label, color, dash: 0, stack: false, shape: Shape::Steps(steps) }
    }
    fn samples(label: &'static str, color: usize, samples: Vec<(SimTime, Option<f64>)>) -> Self {
        Self { label, color, dash: 0, stack: false, shape: Shape::Samples(samples) }
    }
    fn dashed(mut self, dash: usize) -> Self {
        self.dash = dash;
        self
    }
    fn stacked(mut self) -> Self {
        self.stack = true;
        self
    }
    fn times(&self) -> Box<dyn Iterator<Item = SimTime> + '_> {
        match &self.shape {
            Shape::Steps(steps) => Box::new(steps.points().iter().map(|(at, _)| *at)),
            Shape::Samples(samples) => Box::new(samples.iter().map(|(at, _)| *at)),
        }
    }
    /// Its values at all of `times`.
    fn exact(&self, times: &[SimTime]) -> Vec<Option<f64>> {
        match &self.shape {
            Shape::Steps(steps) => times.iter().map(|at| Some(round(steps.at(*at)))).collect(),
            Shape::Samples(samples) => {
                let known: BTreeMap<SimTime, Option<f64>> = samples.iter().copied().collect();
                times.iter().map(|at| known.get(at).copied().flatten().map(round)).collect()
            }
        }
    }
    /// Two values per bin: the lowest and the highest, in their order.
    fn thinned(&self, bins: &[Range]) -> Vec<Option<f64>> {
        let mut values = Vec::with_capacity(bins.len() * 2);
        let mut next = 0;
        for bin in bins {
            let inside: Vec<f64> = match &self.shape {
                Shape::Steps(steps) => steps.pieces(*bin).iter().map(|(value, _)| *value).collect(),
                Shape::Samples(samples) => {
                    let from = next;
                    while samples.get(next).is_some_and(|(at, _)| *at <= bin.to) {
                        next += 1;
                    }
                    samples[from..next].iter().filter_map(|(_, value)| *value).collect()
                }
            };
            let extreme = |low: bool| {
                let best = inside.iter().enumerate().reduce(|a, b| if (b.1 < a.1) == low && a.1 != b.1 { b } else { a });
                best.map(|(index, value)| (index, *value))
            };
            match (extreme(true), extreme(false)) {
                (Some(low), Some(high)) => {
                    let (first, second) = if low.0 <= high.0 { (low.1, high.1) } else { (high.1, low.1) };
                    values.extend([Some(round(first)), Some(round(second))]);
                }
                _ => values.extend([None, None]),
            }
        }
        // The axis ends with the run, whatever the last bin's middle is.
        values.push(values.last().copied().flatten());
        values
    }
}

/// Four digits, or whole.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let mut scale = 1.0;
    while (value * scale).abs() < 1000.0 && scale < 1e9 {
        scale *= 10.0;
    }
    (value * scale + if value < 0.0 { -0.5 } else { 0.5 }).trunc() / scale
}

fn chart(run: &Run<'_>, id: &str, title: &str, caption: &str, scale: Scale, limit: usize, lines: Vec<Line>) -> Chart {
    let mut times: Vec<SimTime> = lines.iter().flat_map(Line::times).chain([SimTime::ZERO, run.end]).collect();
    times.sort_unstable();
    times.dedup();
    let thinned_from = (times.len() > limit).then_some(times.len());
    let series = |line: &Line, y| Series {
        label: line.label,
        color: line.color,
        dash: line.dash,
        stack: line.stack,
        step: matches!(line.shape, Shape::Steps(_)),
        y,
    };
    let (x, series): (Vec<f64>, Vec<Series>) = if thinned_from.is_none() {
        let x = times.iter().map(|at| round_time(at.as_secs_f64())).collect();
        (x, lines.iter().map(|line| series(line, line.exact(&times))).collect())
    } else {
        let bins = bins(run.end, limit / 2 - 1);
        let x = bins.iter().flat_map(|bin| {
            let middle = bin.from.as_nanos() / 2 + bin.to.as_nanos() / 2;
            [bin.from, SimTime::from_nanos(middle)].map(|at| round_time(at.as_secs_f64()))
        });
        let x = x.chain([round_time(run.end.as_secs_f64())]).collect();
        (x, lines.iter().map(|line| series(line, line.thinned(&bins))).collect())
    };
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        scale,
        log: false,
        x,
        series,
        thinned_from,
        seeds: None,
    }
}

/// Milliseconds are fine enough for a picture.
fn round_time(seconds: f64) -> f64 {
    (seconds * 1000.0 + 0.5).trunc() / 1000.0
}

/// Equal spans over the run.
pub(super) fn bins(end: SimTime, count: usize) -> Vec<Range> {
    let at = |index: usize| SimTime::from_nanos((u128::from(end.as_nanos()) * index as u128 / count as u128) as u64);
    (0..count).map(|index| Range { from: at(index), to: at(index + 1) }).collect()
}

/// Charts by section. Those without data are left out.
pub(super) struct Charts {
    pub timeline: Vec<Chart>,
    /// By service, most queued first.
    pub services: Vec<(String, Vec<Chart>)>,
    /// Services beyond the limit.
    pub services_left_out: usize,
    pub utilisation: Vec<Chart>,
    pub scheduling: Vec<Chart>,
    pub cost: Vec<Chart>,
}

impl Charts {
    pub(super) fn new(run: &Run<'_>) -> Self {
        let names = services_by_queue(run);
        let services = names.iter().take(SERVICES).enumerate();
        let services: Vec<_> = services.map(|(index, name)| ((*name).to_owned(), shown(service_charts(run, index, name)))).collect();
        Self {
            timeline: timeline(run),
            services: services.into_iter().filter(|(_, charts)| !charts.is_empty()).collect(),
            services_left_out: names.len().saturating_sub(SERVICES),
            utilisation: shown(vec![cpu(run), memory(run)]),
            // A queue that nobody waited in is said in words.
            scheduling: shown(vec![queue(run)]).into_iter().filter(Chart::is_ever_above_zero).collect(),
            cost: shown(vec![price(run)]),
        }
    }

    /// Shows on the timeline between which values all of `traces` lie.
    pub(super) fn compare_seeds(&mut self, traces: &[&Trace]) {
        let runs: Vec<Run<'_>> = traces.iter().map(|trace| Run::new(trace)).collect();
        let end = runs.iter().map(|run| run.end.as_secs_f64()).fold(0.0, f64::max).max(1e-9);
        let others: Vec<Vec<Chart>> = runs.iter().map(timeline).collect();
        for chart in &mut self.timeline {
            let labels: Vec<&str> = chart.series.iter().map(|series| series.label).collect();
            let mut envelope = Envelope::new(chart, end);
            others.iter().flatten().filter(|other| other.id == chart.id).for_each(|other| envelope.widen(other, &labels));
            chart.seeds = Some(envelope);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Chart> {
        let services = self.services.iter().flat_map(|(_, charts)| charts);
        self.timeline.iter().chain(services).chain(&self.utilisation).chain(&self.scheduling).chain(&self.cost)
    }
}

fn shown(charts: Vec<Chart>) -> Vec<Chart> {
    charts.into_iter().filter(Chart::has_data).collect()
}

fn timeline(run: &Run<'_>) -> Vec<Chart> {
    shown(vec![rate(run), replicas(run), latency(run), nodes(run)])
}

/// Counts of the flows summed by window, per second. Silence counts as zero.
fn rates(flows: &[&Flow<'_>], of: impl Fn(&TrafficCounts) -> u64) -> Vec<(SimTime, Option<f64>)> {
    let mut sums: BTreeMap<SimTime, (f64, SimTime)> = BTreeMap::new();
    for window in flows.iter().flat_map(|flow| &flow.windows) {
        let seconds = window.length.as_secs_f64();
        let sum = sums.entry(window.end).or_insert((0.0, window.start()));
        sum.0 += if seconds > 0.0 { of(&window.counts) as f64 / seconds } else { 0.0 };
    }
    let mut samples = Vec::with_capacity(sums.len());
    let mut last = None;
    for (end, (rate, start)) in sums {
        if let Some(before) = last
            && before < start
        {
            samples.extend([(before + api::SimDuration::from_millis(1), Some(0.0)), (start, Some(0.0))]);
        }
        samples.push((end, Some(rate)));
        last = Some(end);
    }
    samples.dedup_by_key(|(at, _)| *at);
    samples
}

fn external<'r, 't>(run: &'r Run<'t>) -> Vec<&'r Flow<'t>> {
    run.flows.values().filter(|flow| flow.external).collect()
}

fn rate(run: &Run<'_>) -> Chart {
    let flows = external(run);
    let lines = vec![
        Line::samples("offered", 7, rates(&flows, |counts| counts.arrived)).dashed(1),
        Line::samples("served", 0, rates(&flows, |counts| counts.succeeded)),
        Line::samples("lost", 3, rates(&flows, lost)).dashed(2),
    ];
    let caption = "Requests per second of all users' flows: begun, answered in time, and given up (shed, refused, timed out or failed).";
    chart(run, "rate", "Requests", caption, Scale::PerSecond, LIMIT, lines)
}

fn replicas(run: &Run<'_>) -> Chart {
    let sum = |of: &dyn Fn(&crate::fold::Counts) -> i32| {
        let mut deltas = Vec::new();
        for key in run.top_workloads() {
            let mut value = 0;
            for (at, counts) in &run.workloads[&key] {
                deltas.push((*at, i64::from(of(counts)) - value));
                value = i64::from(of(counts));
            }
        }
        Steps::from_deltas(deltas)
    };
    let lines = vec![
        Line::steps("ready", 2, sum(&|counts| counts.ready)).stacked(),
        Line::steps("not ready yet", 1, sum(&|counts| (counts.current - counts.ready).max(0))).stacked(),
        Line::steps("desired", 7, sum(&|counts| counts.desired)).dashed(1),
        Line::steps("pods pending", 3, run.pod_steps(|_| true, |pod, into| pod.phase_deltas("Pending", into))).dashed(2),
    ];
    let caption = "Replicas of all workloads: ready, there but not ready yet (stacked), wanted; and pods in phase Pending.";
    chart(run, "replicas", "Replicas", caption, Scale::Count, LIMIT, lines)
}

/// Percentiles per window, or per bin when there are more windows than points.
fn quantiles(run: &Run<'_>, flows: &[&Flow<'_>], limit: usize) -> [Vec<(SimTime, Option<f64>)>; 3] {
    let bins = bins(run.end, limit);
    let mut merged: BTreeMap<SimTime, Histogram> = BTreeMap::new();
    let ends: std::collections::BTreeSet<SimTime> = flows.iter().flat_map(|flow| flow.windows.iter().map(|window| window.end)).collect();
    let binned = ends.len() > limit;
    for window in flows.iter().flat_map(|flow| &flow.windows) {
        let at = if binned { bins[bins.partition_point(|bin| bin.to < window.end).min(bins.len() - 1)].to } else { window.end };
        merged.entry(at).or_default().merge(window.latency);
    }
    [0.5, 0.95, 0.99].map(|q| merged.iter().map(|(at, histogram)| (*at, histogram.quantile(q).map(|nanos| nanos as f64 / 1e9))).collect())
}

fn latency(run: &Run<'_>) -> Chart {
    let [p50, p95, p99] = quantiles(run, &external(run), LIMIT / 2);
    let lines = vec![Line::samples("p50", 4, p50), Line::samples("p95", 0, p95).dashed(1), Line::samples("p99", 5, p99).dashed(2)];
    let caption =
        "Time from intended start to answer of users' requests that succeeded, logarithmic. Requests that were lost have no latency.";
    let mut chart = chart(run, "latency", "Latency", caption, Scale::Seconds, LIMIT, lines);
    chart.log = true;
    chart
}

fn nodes(run: &Run<'_>) -> Chart {
    let mut states: [Vec<(SimTime, i64)>; 3] = Default::default();
    for node in &run.nodes {
        let mut changes: Vec<SimTime> =
            node.ready.iter().map(|(at, ..)| *at).chain(node.taints.iter().map(|(at, ..)| *at)).chain([node.added]).collect();
        changes.sort_unstable();
        changes.dedup();
        let mut state: Option<usize> = None;
        for at in changes {
            let is_ready = node.ready.iter().rev().find(|(time, ..)| *time <= at).is_some_and(|(_, status, _)| *status == "True");
            let is_cordoned = node.taints.iter().rev().find(|(time, ..)| *time <= at).is_some_and(|(_, cordoned, _)| *cordoned);
            let next = if !is_ready { 2 } else { usize::from(is_cordoned) };
            if let Some(before) = state {
                states[before].push((at, -1));
            }
            states[next].push((at, 1));
            state = Some(next);
        }
        if let (Some(last), Some(removed)) = (state, node.removed) {
            states[last].push((removed, -1));
        }
    }
    let [ready, cordoned, unready] = states;
    let mut lines = vec![Line::steps("ready", 2, Steps::from_deltas(ready)).stacked()];
    if !cordoned.is_empty() {
        lines.push(Line::steps("cordoned", 4, Steps::from_deltas(cordoned)).stacked().dashed(1));
    }
    lines.push(Line::steps("not ready", 3, Steps::from_deltas(unready)).stacked().dashed(2));
    chart(run, "nodes", "Nodes", "Nodes by state, stacked.", Scale::Count, LIMIT, lines)
}

/// Services that anybody asks, those with the longest queues first.
fn services_by_queue<'t>(run: &Run<'t>) -> Vec<&'t str> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for flow in run.flows.values() {
        names.entry(flow.service).or_default();
    }
    for (service, windows) in &run.stations {
        *names.entry(service).or_default() = windows.iter().map(|window| window.queued).max().unwrap_or(0);
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|(name, queued)| (std::cmp::Reverse(*queued), *name));
    names.into_iter().map(|(name, _)| name).collect()
}

fn service_charts(run: &Run<'_>, index: usize, service: &str) -> Vec<Chart> {
    let flows: Vec<&Flow<'_>> = run.flows.values().filter(|flow| flow.service == service).collect();
    let station = |of: &dyn Fn(&crate::fold::StationWindow) -> f64| -> Vec<(SimTime, Option<f64>)> {
        run.stations.get(service).into_iter().flatten().map(|window| (window.end, Some(of(window)))).collect()
    };
    let small = |what: &str, title: &str, caption: &str, scale: Scale, lines: Vec<Line>| {
        chart(run, &format!("service-{index}-{what}"), title, caption, scale, SMALL_LIMIT, lines)
    };
    let waiting = vec![
        Line::samples("queued", 3, station(&|window| window.queued as f64)),
        Line::samples("busy", 0, station(&|window| window.busy as f64)).dashed(1),
        Line::samples("pods", 2, station(&|window| f64::from(window.pods))).dashed(2),
    ];
    let mut fates = vec![
        Line::samples("timed out", 3, rates(&flows, |counts| counts.timed_out)),
        Line::samples("shed", 1, rates(&flows, |counts| counts.shed)).dashed(1),
        Line::samples("refused", 5, rates(&flows, |counts| counts.refused)).dashed(2),
        Line::samples("failed", 7, rates(&flows, |counts| counts.failed)).dashed(3),
    ];
    // A fate nobody met is a line at zero, and left out; with all of them goes the chart.
    let met = |line: &Line| matches!(&line.shape, Shape::Samples(samples) if samples.iter().any(|(_, value)| *value > Some(0.0)));
    fates.retain(met);
    let tries = vec![
        Line::samples("requests", 7, rates(&flows, |counts| counts.arrived)).dashed(1),
        Line::samples("attempts", 0, rates(&flows, |counts| counts.attempts)),
        Line::samples("retries", 3, rates(&flows, |counts| counts.retries)).dashed(2),
    ];
    let mut behind = Vec::new();
    if let Some(points) = run.endpoints.get(service) {
        let (mut ready, mut total) = (Steps::default(), Steps::default());
        points.iter().for_each(|(at, up, all)| {
            ready.set(*at, f64::from(*up));
            total.set(*at, f64::from(*all));
        });
        behind.extend([Line::steps("ready", 2, ready), Line::steps("all", 7, total).dashed(1)]);
    }
    behind.extend(failed_probes(run, service));
    vec![
        small("queue", "Queues", "Requests waiting in the pods' queues, request slots in use, pods serving.", Scale::Count, waiting),
        small("lost", "Lost requests", "Requests given up per second, by what their last attempt met.", Scale::PerSecond, fates),
        small("tries", "Attempts", "Requests begun, attempts made of them, and retries among those, per second.", Scale::PerSecond, tries),
        small(
            "endpoints",
            "Endpoints",
            "Ready endpoints, all endpoints, and failed probes per hundredth of the run: Unhealthy events of the workload that is named like the Service, since traces do not say whom a Service selects.",
            Scale::Count,
            behind,
        ),
    ]
}

/// Unhealthy events of the pods of a service, counted in a hundred bins. The pods are those of the workload named
/// like the service: no record says which pods a Service selects.
fn failed_probes(run: &Run<'_>, service: &str) -> Option<Line> {
    let name = service.rsplit_once('/').map_or(service, |(_, name)| name);
    let workloads: BTreeMap<&str, &str> = run.pods.iter().map(|pod| (pod.name, pod.workload)).collect();
    let belongs = |object: &str| {
        let workload = object.strip_prefix("Pod/").and_then(|pod| workloads.get(pod));
        workload.is_some_and(|workload| name_matches(name, workload))
    };
    let times: Vec<SimTime> =
        run.events.iter().filter(|event| event.reason == "Unhealthy" && belongs(event.object)).map(|event| event.at).collect();
    if times.is_empty() {
        return None;
    }
    let mut steps = Steps::default();
    let mut next = 0;
    for bin in bins(run.end, 100) {
        let from = next;
        next += times[from..].iter().take_while(|at| **at < bin.to).count();
        steps.set(bin.from, (next - from) as f64);
    }
    Some(Line::steps("failed probes", 3, steps).dashed(2))
}

fn cpu(run: &Run<'_>) -> Chart {
    let cores = |steps: Steps| scaled(&steps, 1e-3);
    let usage = |of: fn(&crate::fold::Usage) -> i64| {
        cores(run.node_steps(|_| true, |node| node.usage.iter().map(|(at, usage)| (*at, of(usage))).collect()))
    };
    let lines = vec![
        Line::steps("allocatable", 7, cores(run.node_steps(|_| true, |node| vec![(node.added, node.cpu_millis)]))).dashed(1),
        Line::steps("requested", 0, usage(|usage| usage.cpu_requested_millis)),
        Line::steps("used", 1, usage(|usage| usage.cpu_used_millis)).dashed(2),
    ];
    let caption = "Cores of all nodes: what they have, what pods reserve of it, what pods use of it.";
    chart(run, "cpu", "cpu", caption, Scale::Cores, LIMIT, lines)
}

fn memory(run: &Run<'_>) -> Chart {
    let gib = |steps: Steps| scaled(&steps, 1.0 / (1u64 << 30) as f64);
    let requested = run.node_steps(|_| true, |node| node.usage.iter().map(|(at, usage)| (*at, usage.memory_requested_bytes)).collect());
    let lines = vec![
        Line::steps("allocatable", 7, gib(run.node_steps(|_| true, |node| vec![(node.added, node.memory_bytes)]))).dashed(1),
        Line::steps("requested", 0, gib(requested)),
    ];
    let caption = "GiB of all nodes: what they have and what pods reserve of it. Use over time is not recorded.";
    chart(run, "memory", "Memory", caption, Scale::Gibibytes, LIMIT, lines)
}

fn scaled(steps: &Steps, factor: f64) -> Steps {
    let mut scaled = Steps::default();
    steps.points().iter().for_each(|(at, value)| scaled.set(*at, value * factor));
    scaled
}

fn queue(run: &Run<'_>) -> Chart {
    let depth = |index: usize| {
        let mut steps = Steps::default();
        run.queue.iter().for_each(|(at, depths)| steps.set(*at, f64::from(depths[index])));
        steps
    };
    let mut lines = vec![
        Line::steps("activeQ", 0, depth(0)).stacked(),
        Line::steps("backoffQ", 1, depth(1)).stacked().dashed(1),
        Line::steps("unschedulablePods", 3, depth(2)).stacked().dashed(2),
    ];
    if run.queue.iter().any(|(_, depths)| depths[3] > 0) {
        lines.push(Line::steps("gated", 5, depth(3)).stacked().dashed(3));
    }
    chart(run, "queue", "Scheduling queue", "Pods waiting to be scheduled, by queue, stacked.", Scale::Count, LIMIT, lines)
}

fn price(run: &Run<'_>) -> Chart {
    // Prices in ten-thousandths, so that sums of them are exact.
    let per_hour = run.node_steps(|_| true, |node| vec![(node.added, (node.price_per_hour * 1e4 + 0.5) as i64)]);
    let free = run.nodes.iter().all(|node| node.price_per_hour == 0.0);
    let lines = if free { vec![] } else { vec![Line::steps("per hour", 5, scaled(&per_hour, 1e-4))] };
    chart(run, "price", "Price of the nodes", "What an hour of the nodes that are there costs.", Scale::Money, LIMIT, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::black_friday;

    #[test]
    fn no_chart_is_larger_than_its_limit_and_no_peak_is_lost() {
        let trace = black_friday(1);
        let run = Run::new(&trace);
        let charts = Charts::new(&run);
        for chart in charts.all() {
            assert!(chart.x.len() <= LIMIT, "{} has {} points", chart.id, chart.x.len());
            assert!(chart.x.is_sorted(), "{}", chart.id);
            assert!(chart.series.iter().all(|series| series.y.len() == chart.x.len()), "{}", chart.id);
        }
        let peak = |series: &[Option<f64>]| series.iter().flatten().copied().fold(0.0, f64::max);
        let offered = &charts.timeline[0].series[0];
        let exact = run.flows["shoppers"].windows.iter().map(|window| window.counts.arrived as f64).fold(0.0, f64::max);
        assert!((peak(&offered.y) - exact).abs() <= exact / 1000.0);
    }
}
