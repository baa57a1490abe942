//! What happened, as a short list of turning points found in the records.
//!
//! Each kind of turning point is told once, at its first time (with how often or how far, where that says more),
//! so that a cascade reads as a chain: queues, timeouts, retries, failing probes, endpoints gone.
//!
//! Not here: causes. The list orders facts by time; what led to what is the reader's conclusion.

use api::{SimDuration, SimTime};

use crate::fold::{Run, finished, lost};
use crate::metrics::{Recovery, recoveries};
use crate::render::magnitude;
use crate::series::Steps;

/// How serious a turning point is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tone {
    Cause,
    Note,
    Bad,
    Good,
}

impl Tone {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Note => "plain",
            Self::Bad => "bad",
            Self::Good => "good",
        }
    }
}

/// A turning point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub at: SimTime,
    pub tone: Tone,
    pub text: String,
}

/// Waiting requests per serving pod from which a queue is worth a line.
const QUEUE_PER_POD: f64 = 5.0;
/// Attempts per request from which retries are worth a line.
const AMPLIFICATION: f64 = 1.5;
/// At most this many lines.
const LINES: usize = 40;

/// The turning points, by time.
pub(crate) fn story(run: &Run<'_>) -> Vec<Point> {
    let mut points = Vec::new();
    causes(run, &mut points);
    traffic(run, &mut points);
    cluster(run, &mut points);
    scaling(run, &mut points);
    rollouts(run, &mut points);
    for recovery in recoveries(run) {
        recovered(recovery, &mut points);
    }
    let range = run.range();
    points.retain(|point| point.at >= range.from);
    points.sort_by_key(|point| (point.at, point.tone));
    if points.len() > LINES {
        let more = points.len() - (LINES - 1);
        points.truncate(LINES - 1);
        let at = points.last().map_or(SimTime::ZERO, |point| point.at);
        points.push(Point { at, tone: Tone::Note, text: format!("… and {more} more turning points; see the events") });
    }
    points
}

fn causes(run: &Run<'_>, points: &mut Vec<Point>) {
    let mut seen = std::collections::BTreeMap::new();
    for fault in &run.faults {
        seen.entry(fault.name).or_insert((fault, 0)).1 += 1;
    }
    for (name, (fault, times)) in seen {
        let shown = 3;
        let mut targets: Vec<&str> = fault.targets.iter().take(shown).map(|target| &**target).collect();
        let more = format!("and {} more", fault.targets.len().saturating_sub(shown));
        targets.extend((fault.targets.len() > shown).then_some(&*more));
        let targets = if targets.is_empty() { String::new() } else { format!(" strikes {}", targets.join(", ")) };
        let times = if times > 1 { format!(" (first of {times} times)") } else { String::new() };
        points.push(Point { at: fault.began, tone: Tone::Cause, text: format!("fault {name}: {}{targets}{times}", fault.action) });
        if let (Some(ended), 1) = (fault.ended, seen_times(run, name)) {
            points.push(Point { at: ended, tone: Tone::Note, text: format!("fault {name} over") });
        }
    }
    points.extend(run.marks.iter().map(|(at, mark)| Point { at: *at, tone: Tone::Cause, text: format!("mark {mark}") }));
    let shown = run.steps.iter().filter(|(_, step, _)| !is_load(run, step)).take(8);
    points.extend(shown.map(|(at, step, outcome)| Point { at: *at, tone: Tone::Cause, text: format!("step {step}: {outcome}") }));
    let mut told: Vec<&str> = Vec::new();
    for (at, step, outcome) in run.steps.iter().filter(|(_, step, _)| is_load(run, step)) {
        if !told.contains(step) {
            told.push(step);
            let same = || run.steps.iter().filter(|(_, other, _)| other == step);
            let until = same().map(|(at, ..)| *at).max().unwrap_or(*at);
            let text = format!("step {step}: {outcome} (the first of {}, until {until})", same().count());
            points.push(Point { at: *at, tone: Tone::Cause, text });
        }
    }
}

/// Steps of one name that come as often as this are the load itself: a workload that was recorded, pod by pod.
const LOAD: usize = 25;

/// Whether a step is one of a load's.
pub(crate) fn is_load(run: &Run<'_>, step: &str) -> bool {
    run.steps.iter().filter(|(_, other, _)| *other == step).nth(LOAD).is_some()
}

fn seen_times(run: &Run<'_>, name: &str) -> usize {
    run.faults.iter().filter(|fault| fault.name == name).count()
}

fn traffic(run: &Run<'_>, points: &mut Vec<Point>) {
    let from = run.range().from;
    for (service, windows) in &run.stations {
        let windows = &windows[windows.partition_point(|window| window.end <= from)..];
        let full = |window: &&crate::fold::StationWindow| window.queued as f64 > QUEUE_PER_POD * f64::from(window.pods.max(1));
        if let Some(first) = windows.iter().find(full) {
            let peak = windows.iter().max_by_key(|window| window.queued).unwrap_or(first);
            let text = format!(
                "queues grow at {service}: {} requests wait at {} pods (peak {} at {})",
                magnitude(first.queued),
                first.pods,
                magnitude(peak.queued),
                peak.end
            );
            points.push(Point { at: first.end, tone: Tone::Bad, text });
        }
        if let Some(first) = windows.iter().find(|window| window.orphaned > 0) {
            let total: u64 = windows.iter().map(|window| window.orphaned).sum();
            let text = format!("{service} works for callers that have given up ({} answers for nobody in all)", magnitude(total));
            points.push(Point { at: first.end, tone: Tone::Bad, text });
        }
        if let Some(first) = windows.iter().find(|window| window.shed > 0) {
            points.push(Point { at: first.end, tone: Tone::Bad, text: format!("{service} turns requests away: queues are full") });
        }
    }
    for flow in run.flows.values() {
        let windows = &flow.windows[flow.windows.partition_point(|window| window.end <= from)..];
        let mut first_lost = |what: &str, of: fn(&trace::TrafficCounts) -> u64| {
            if let Some(window) = windows.iter().find(|window| of(&window.counts) > 0) {
                let total: u64 = windows.iter().map(|window| of(&window.counts)).sum();
                points.push(Point {
                    at: window.end,
                    tone: Tone::Bad,
                    text: format!("{}: first requests {what} ({} in all)", flow.name, magnitude(total)),
                });
            }
        };
        first_lost("timed out", |counts| counts.timed_out);
        first_lost("refused, nobody to talk to", |counts| counts.refused);
        first_lost("failed", |counts| counts.failed);
        let amplified = |window: &&crate::fold::Window<'_>| {
            window.counts.arrived >= 10 && window.counts.attempts as f64 > AMPLIFICATION * window.counts.arrived as f64
        };
        if let Some(window) = windows.iter().find(amplified) {
            let factor = window.counts.attempts as f64 / window.counts.arrived as f64;
            let text = format!("{}: retries make {factor:.1} attempts of every request", flow.name);
            points.push(Point { at: window.end, tone: Tone::Bad, text });
        }
        if flow.external {
            worst(flow.name, windows, points);
        }
    }
    let mut unhealthy = run.failing_probes();
    unhealthy.retain(|event| event.at >= from);
    if let Some(first) = unhealthy.first() {
        let pod = first.object.strip_prefix("Pod/").unwrap_or(first.object);
        let text = format!("probes fail: {pod}: {} ({})", probe_said(first.message), in_all(unhealthy.len(), "time"));
        points.push(Point { at: first.at, tone: Tone::Bad, text });
    }
    for (service, history) in &run.endpoints {
        let fell = history.windows(2).find(|pair| pair[1].0 >= from && pair[0].1 > 0 && pair[1].1 == 0);
        if let Some(pair) = fell {
            points.push(Point {
                at: pair[1].0,
                tone: Tone::Bad,
                text: format!("{service} has no ready endpoint left ({} before)", pair[0].1),
            });
        }
    }
}

/// Which probe, and the last that is said of why: `Readiness probe failed: context deadline exceeded`.
fn probe_said(message: &str) -> String {
    let Some((what, rest)) = message.split_once(": ") else { return message.to_owned() };
    let why = rest.split(" (").next().unwrap_or(rest);
    format!("{what}: {}", why.rsplit_once(": ").map_or(why, |(_, why)| why))
}

/// The window in which a flow fared worst, if it fared badly.
fn worst(flow: &str, windows: &[crate::fold::Window<'_>], points: &mut Vec<Point>) {
    let share = |window: &&crate::fold::Window<'_>| lost(&window.counts) as f64 / finished(&window.counts).max(1) as f64;
    let worst = windows.iter().filter(|window| finished(&window.counts) >= 10).rev().max_by(|a, b| share(a).total_cmp(&share(b)));
    if let Some(window) = worst.filter(|window| share(window) > 0.05) {
        let text = format!("{flow}: worst moment, {:.0} % of finished requests lost", share(&window) * 100.0);
        points.push(Point { at: window.end, tone: Tone::Bad, text });
    }
}

fn cluster(run: &Run<'_>, points: &mut Vec<Point>) {
    let from = run.range().from;
    let unready: Vec<(SimTime, &str)> = run
        .nodes
        .iter()
        .filter_map(|node| {
            let was_ready = node.ready.iter().position(|(_, status, _)| *status == "True")?;
            node.ready[was_ready..].iter().find(|(at, status, _)| *at >= from && *status != "True").map(|(at, ..)| (*at, node.name))
        })
        .collect();
    if let Some((at, node)) = unready.iter().min() {
        let more = if unready.len() > 1 { format!(", first of {} nodes", unready.len()) } else { String::new() };
        points.push(Point { at: *at, tone: Tone::Bad, text: format!("node {node} is no longer Ready{more}") });
    }
    let evicted = run.pods.iter().filter_map(|pod| pod.deleting.filter(|(at, by, _)| *at >= from && crate::metrics::is_eviction_by(by)));
    let evicted: Vec<_> = evicted.collect();
    if let Some((at, by, _)) = evicted.iter().min_by_key(|(at, ..)| *at) {
        points.push(Point { at: *at, tone: Tone::Bad, text: format!("{by} begins to evict pods ({})", in_all(evicted.len(), "pod")) });
    }
    let oom = run.pods.iter().flat_map(|pod| {
        pod.containers.iter().filter(|change| change.at >= from && change.reason == "OOMKilled").map(|change| (change.at, pod.name))
    });
    let oom: Vec<_> = oom.collect();
    if let Some((at, pod)) = oom.iter().min() {
        points.push(Point {
            at: *at,
            tone: Tone::Bad,
            text: format!("{pod} runs out of memory (OOMKilled {})", in_all(oom.len(), "time")),
        });
    }
    restarts(run, points);
    let mut unscheduled: Vec<_> = run
        .pods
        .iter()
        .filter_map(|pod| pod.unschedulable.iter().find(|(at, ..)| *at >= from).map(|(at, _, message, _)| (*at, pod.name, *message)))
        .collect();
    unscheduled.sort_unstable();
    if let Some((at, pod, message)) = unscheduled.first() {
        let count = unscheduled.len();
        points.push(Point {
            at: *at,
            tone: Tone::Bad,
            text: format!("no room for {pod}: {} ({})", crate::inspect::reasons(message), in_all(count, "pod")),
        });
    }
    let pending = run.pod_steps(|_| true, |pod, into| pod.phase_deltas("Pending", into));
    let peak = pending.points().iter().filter(|(at, _)| *at >= from).rev().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((at, count)) = peak.filter(|(_, count)| *count >= 5.0) {
        points.push(Point { at: *at, tone: Tone::Note, text: format!("most pods pending at once: {count}") });
    }
    let preempted = run
        .pods
        .iter()
        .filter_map(|pod| pod.deleting.filter(|(at, by, _)| *at >= from && by.ends_with("scheduler")).map(|(at, ..)| (at, pod.name)));
    let preempted: Vec<_> = preempted.collect();
    if let Some((at, pod)) = preempted.iter().min() {
        points.push(Point {
            at: *at,
            tone: Tone::Note,
            text: format!("the scheduler preempts {pod} ({})", in_all(preempted.len(), "pod")),
        });
    }
}

fn restarts(run: &Run<'_>, points: &mut Vec<Point>) {
    let from = run.range().from;
    let mut restarted = Vec::new();
    for pod in &run.pods {
        let mut known: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
        for change in &pod.containers {
            let before = known.insert(change.container, change.restarts).unwrap_or(0);
            if change.restarts > before && change.at >= from {
                restarted.push((change.at, pod.name));
            }
        }
    }
    if let Some((at, pod)) = restarted.iter().min() {
        points.push(Point { at: *at, tone: Tone::Bad, text: format!("{pod} is restarted ({})", in_all(restarted.len(), "restart")) });
    }
}

fn scaling(run: &Run<'_>, points: &mut Vec<Point>) {
    let mut seen: std::collections::BTreeMap<&str, (bool, bool)> = std::collections::BTreeMap::new();
    for look in run.autoscales.iter().filter(|look| look.at >= run.range().from) {
        let (told_up, told_max) = seen.entry(look.hpa).or_default();
        if look.desired > look.current && !*told_up {
            *told_up = true;
            points.push(Point {
                at: look.at,
                tone: Tone::Note,
                text: format!("{} begins to scale up: {} → {} ({})", look.hpa, look.current, look.desired, look.metric),
            });
        }
        if look.reason == "TooManyReplicas" && !*told_max {
            *told_max = true;
            points.push(Point {
                at: look.at,
                tone: Tone::Bad,
                text: format!("{} is at its maximum: {} replicas, {} wanted", look.hpa, look.desired, look.proposed),
            });
        }
    }
    let grown: Vec<_> = run.pool_changes.iter().filter(|change| change.at >= run.range().from && change.to > change.from).collect();
    if let Some(first) = grown.first() {
        points.push(Point {
            at: first.at,
            tone: Tone::Note,
            text: format!("pool {} grows: {} → {} nodes ({})", first.pool, first.from, first.to, first.reason),
        });
        let mut nodes = Steps::default();
        let joined = run.nodes.iter().filter(|node| node.added > first.at);
        joined.clone().for_each(|node| nodes.set(node.added, 1.0));
        if let Some((at, _)) = nodes.points().first() {
            let wait = at.since(first.at);
            points.push(Point {
                at: *at,
                tone: Tone::Good,
                text: format!("first new node joins, {} after it was asked for ({} in all)", said(wait), joined.count()),
            });
        }
    }
}

/// `1 pod in all`, `12 pods in all`.
fn in_all(count: usize, noun: &str) -> String {
    format!("{} {noun}{} in all", magnitude(count as u64), if count == 1 { "" } else { "s" })
}

/// Ten seconds and more in whole seconds.
fn said(span: SimDuration) -> String {
    let half = SimDuration::from_millis(500);
    if span < SimDuration::from_secs(10) { span.to_string() } else { SimDuration::from_secs((span + half).as_secs()).to_string() }
}

/// Rollouts that ended, the first few.
fn rollouts(run: &Run<'_>, points: &mut Vec<Point>) {
    let all = crate::metrics::rollouts_of(run, &std::collections::BTreeMap::new(), run.range());
    for rollout in all.iter().take(5) {
        let (kind, name) = rollout.workload;
        let Some(done) = rollout.done else { continue };
        let text = format!("the rollout of {kind} {name} is over, {} after it began", said(done.since(rollout.began)));
        points.push(Point { at: done, tone: Tone::Good, text });
    }
}

fn recovered(recovery: &Recovery, points: &mut Vec<Point>) {
    let Some(total) = recovery.total.filter(|total| *total > SimDuration::ZERO) else { return };
    points.push(Point {
        at: recovery.at + total,
        tone: Tone::Good,
        text: format!("recovered from {}, {} after it began", recovery.cause, said(total)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{black_friday, node_failure};

    /// The order of these words among the turning points.
    fn check(trace: &trace::Trace, chain: &[&str]) {
        let run = Run::new(trace);
        let told: Vec<String> = story(&run).into_iter().map(|point| point.text).collect();
        let places = chain.iter().map(|words| told.iter().position(|text| text.contains(words)));
        let places: Vec<Option<usize>> = places.collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{chain:?} at {places:?} in {told:#?}");
    }

    #[test]
    fn a_load_that_is_made_of_steps_is_told_once() {
        let mut builder = crate::testing::Builder::new("recorded", 1, 1000);
        let step = |name: &str, outcome: &str| trace::Record::Step { step: name.into(), outcome: outcome.into() };
        (0..300).for_each(|index| builder.at(f64::from(index), step("apply", &format!("pod/job-{index} created"))));
        builder.at(500.0, step("drain", "node/a drained"));
        let trace = builder.build();
        let told: Vec<String> = story(&Run::new(&trace)).into_iter().map(|point| point.text).collect();
        assert_eq!(told, ["step apply: pod/job-0 created (the first of 300, until 4m59s)", "step drain: node/a drained"]);
    }

    #[test]
    fn a_spike_is_told_as_a_chain() {
        let chain = [
            "mark spike-40x",
            "queues grow at shop/checkout",
            "retries make",
            "timed out",
            "probes fail",
            "begins to scale up",
            "no room for",
        ];
        check(&black_friday(1), &chain);
        check(&black_friday(1), &["pool general grows", "first new node joins", "at its maximum", "recovered from spike-40x"]);
    }

    #[test]
    fn a_dark_node_is_told_as_a_chain() {
        let chain = [
            "fault power-loss: node-poweroff strikes Node/general-002",
            "timed out",
            "no longer Ready",
            "begins to evict",
            "recovered",
            "over",
        ];
        check(&node_failure(1), &chain);
    }

    #[test]
    fn what_is_ordinary_is_not_told_as_trouble() {
        let mut builder = crate::testing::Builder::new("start", 1, 100);
        builder.pod(0.0, "default/web-0", "Deployment/default/web", 100);
        builder.runs("default/web-0", "general-000", 1.0, 2.0, 10.0);
        let refused = "Readiness probe failed: Get \"http://web-0/\": dial tcp web-0: connect: connection refused";
        builder.event(5.0, "Warning", "Unhealthy", "Pod/default/web-0", refused, "kubelet");
        let told = |builder: crate::testing::Builder| -> Vec<String> {
            let trace = builder.build();
            story(&Run::new(&trace)).into_iter().map(|point| point.text).collect()
        };
        let mut later = crate::testing::Builder::new("start", 1, 100);
        later.pod(0.0, "default/web-0", "Deployment/default/web", 100);
        later.runs("default/web-0", "general-000", 1.0, 2.0, 10.0);
        later.event(50.0, "Warning", "Unhealthy", "Pod/default/web-0", refused, "kubelet");
        assert_eq!(told(builder), [""; 0], "a pod that starts refuses probes");
        assert_eq!(told(later), ["probes fail: default/web-0: Readiness probe failed: connection refused (1 time in all)"]);
    }

    #[test]
    fn the_reasons_of_filters_are_told_without_those_of_post_filters() {
        let message = "0/8 nodes are available: 8 Insufficient cpu. no new claims to deallocate, preemption: 0/8 nodes are available: 8 No preemption victims found for incoming pod.";
        assert_eq!(crate::inspect::reasons(message), "0/8 nodes are available: 8 Insufficient cpu");
        assert_eq!(crate::inspect::reasons_of(message), ["Insufficient cpu"]);
    }
}
