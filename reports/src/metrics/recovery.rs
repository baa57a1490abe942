//! How a run came back: every fault and every mark, in phases that add up.
//!
//! ```text
//! fault ── detect ── evict ── reschedule ── ready ── slo ──►  total = the sum, in whole nanoseconds
//! ```
//!
//! A disturbance is a mark, or the episodes of one fault that follow each other before the earlier ones have been
//! recovered from. It is over at the last bad instant that belongs to it. Bad is
//!
//! - *users harmed*: an external flow below its availability goal, over the next [`HOLD`] taken together. Belongs
//!   to the disturbance before it, however much later it sets in.
//! - *workloads unsettled*: fewer replicas ready than desired, or (Deployments) of the newest template. Belongs to
//!   a fault that struck the workload, or to a mark within [`REACT`]; and, from the first on, when it sets in
//!   before [`HOLD`] has passed without trouble. An autoscaler that corrects itself an hour later does not count,
//!   nor does scaling down: fewer desired replicas leave no replica unready.
//!
//! What sets in after the next disturbance is that one's. What is bad at the end of the run, or has not been good
//! for [`HOLD`] by then, has not recovered.
//!
//! Each phase ends at an instant taken from the records, never before the end of the phase before; a phase
//! whose instant does not exist is skipped and takes no time. The instants:
//!
//! - *detect*: a struck node's Ready leaves True; a struck pod's container terminates, or it turns unready, or
//!   its deletion is asked for. Mark: something is scaled up or rolled out, or a workload loses ready replicas.
//! - *evict*: the last deletion of a struck pod by anyone but its own controllers.
//! - *reschedule*: the last binding of a pod created since, of a workload that was unsettled.
//! - *ready*: the workloads are settled.
//! - *slo*: users are served as expected.
//!
//! Not here: `recovery.*` as metrics with filters and statistics (`query`).

use std::collections::{BTreeMap, BTreeSet};

use api::{SimDuration, SimTime, Str};
use serde::{Deserialize, Serialize};

use super::name_matches;
use crate::fold::{Counts, FaultLife, NodeLife, PodLife, Run, finished};

/// How long a good state must last to count as recovered.
const HOLD: SimDuration = SimDuration::from_secs(30);
/// What a flow must reach when no expectation says more.
const AVAILABILITY: f64 = 0.99;
/// Requests that may be lost within [`HOLD`] whatever the goal, unless they are half of all: noise.
const NOISE: u64 = 4;
/// How long after a mark what a cluster does by itself is taken for a reaction to it.
const REACT: SimDuration = SimDuration::from_secs(300);
/// How long after its end a fault's signs are still looked for.
const LOOK: SimDuration = SimDuration::from_secs(60);

/// One part of a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// There was nothing to do.
    Skipped,
    /// It took this long.
    Took(SimDuration),
    /// It should have ended and did not within the run.
    Never,
}

impl Phase {
    /// How long it took, if it did.
    #[must_use]
    pub const fn took(self) -> Option<SimDuration> {
        match self {
            Self::Took(span) => Some(span),
            Self::Skipped | Self::Never => None,
        }
    }
}

/// One disturbance: a mark, or a fault with the episodes that followed before it was recovered from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The fault's or the mark's name.
    pub cause: String,
    /// Whether it is a mark.
    pub is_mark: bool,
    /// The fault's action; empty for marks.
    pub action: String,
    /// When it began: the first episode.
    pub at: SimTime,
    /// When each episode began; empty for marks.
    #[serde(default)]
    pub episodes: Vec<SimTime>,
    /// When the last episode ended, if it did.
    pub ended: Option<SimTime>,
    /// Begin to first sign.
    pub detect: Phase,
    /// First sign to last eviction.
    pub evict: Phase,
    /// To the last replacement being bound.
    pub reschedule: Phase,
    /// To all replicas ready.
    pub ready: Phase,
    /// To users being served as expected.
    pub slo: Phase,
    /// The sum; `None` when it did not recover within the run.
    pub total: Option<SimDuration>,
    /// What was still missing at the end, when something was.
    pub missing: String,
}

impl Recovery {
    /// The five phases with their names, in order.
    #[must_use]
    pub const fn phases(&self) -> [(&'static str, Phase); 5] {
        [("detect", self.detect), ("evict", self.evict), ("reschedule", self.reschedule), ("ready", self.ready), ("slo", self.slo)]
    }

    pub(crate) fn total_phase(&self) -> Phase {
        self.total.map_or(Phase::Never, Phase::Took)
    }

    /// Why there is no total.
    pub(crate) fn explain(&self) -> String {
        format!("{} (at {}) was not recovered from within the run: {}", self.cause, self.at, self.missing)
    }
}

/// Every disturbance, by time.
pub(crate) fn recoveries<'r>(run: &'r Run<'_>) -> &'r [Recovery] {
    run.recoveries.get_or_init(|| all_recoveries(run))
}

fn all_recoveries(run: &Run<'_>) -> Vec<Recovery> {
    if run.faults.is_empty() && run.marks.is_empty() {
        return Vec::new();
    }
    let context = Context::new(run);
    let mut by_name: BTreeMap<&str, Vec<&FaultLife<'_>>> = BTreeMap::new();
    for fault in &run.faults {
        by_name.entry(fault.name).or_default().push(fault);
    }
    let faults = by_name.values().flat_map(|episodes| context.of_fault(episodes));
    let marks = run.marks.iter().map(|(at, mark)| context.of_mark(*at, mark));
    let mut all: Vec<Recovery> = faults.chain(marks).collect();
    all.sort_by(|a, b| (a.at, a.is_mark, &a.cause).cmp(&(b.at, b.is_mark, &b.cause)));
    all
}

/// A span in which something is not as it should be; one that is still open at the end of the run ends never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Bad {
    from: SimTime,
    to: SimTime,
}

struct Context<'r, 't> {
    run: &'r Run<'t>,
    /// Lives of each pod name.
    pods: BTreeMap<&'t str, Vec<usize>>,
    /// Lives of the pods of each workload (`Kind/namespace/name`).
    by_workload: BTreeMap<&'t str, Vec<usize>>,
    /// When each workload that keeps replicas was unsettled, by onset.
    unsettled: Vec<(Bad, &'t str)>,
    /// When users of any flow were harmed, by onset.
    harmed: Vec<Bad>,
    has_traffic: bool,
    /// (name, when) of all marks and episodes, by time.
    disturbances: Vec<(SimTime, &'t str)>,
}

/// What a disturbance concerns, before any phase is known.
#[derive(Clone)]
struct Affected<'t> {
    cause: &'t str,
    is_mark: bool,
    action: &'t str,
    episodes: Vec<SimTime>,
    began: SimTime,
    ended: Option<SimTime>,
    detected: Option<SimTime>,
    evicted: Option<SimTime>,
    /// Struck workloads; for a mark all.
    workloads: BTreeSet<&'t str>,
}

impl<'t> Affected<'t> {
    /// Together with the episode that follows.
    fn and(mut self, next: &Self) -> Self {
        self.episodes.extend(&next.episodes);
        self.ended = self.ended.and(next.ended);
        self.detected = self.detected.into_iter().chain(next.detected).min();
        self.evicted = self.evicted.max(next.evicted);
        self.workloads.extend(&next.workloads);
        self
    }
}

impl<'r, 't> Context<'r, 't> {
    fn new(run: &'r Run<'t>) -> Self {
        let mut pods: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut by_workload: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, pod) in run.pods.iter().enumerate() {
            pods.entry(pod.name).or_default().push(index);
            by_workload.entry(pod.workload).or_default().push(index);
        }
        let mut unsettled = Vec::new();
        for workload in by_workload.keys().copied().filter(|workload| has_replicas(workload)) {
            let key = workload.split_once('/').unwrap_or(("", workload));
            let counts = run.workloads.get(&key).map_or(&[][..], Vec::as_slice);
            unsettled.extend(unsettled_spans(key.0, counts).into_iter().map(|span| (span, workload)));
        }
        unsettled.sort_unstable();
        let external = || run.flows.values().filter(|flow| flow.external);
        let mut harmed: Vec<Bad> = external()
            .flat_map(|flow| {
                let windows = flow.windows.iter().map(|w| (w.start(), w.end, w.counts.succeeded, finished(&w.counts)));
                harmed_spans(&windows.collect::<Vec<_>>(), goal_of(run, flow.service), run.end)
            })
            .collect();
        harmed.sort_unstable();
        let mut disturbances: Vec<(SimTime, &str)> =
            run.faults.iter().map(|fault| (fault.began, fault.name)).chain(run.marks.iter().copied()).collect();
        disturbances.sort_unstable();
        Self { run, pods, by_workload, unsettled, harmed, has_traffic: external().next().is_some(), disturbances }
    }

    /// When the next disturbance of another name than `cause` begins.
    fn next_other(&self, after: SimTime, cause: &str) -> SimTime {
        let others = &self.disturbances[self.disturbances.partition_point(|(at, _)| *at <= after)..];
        others.iter().find(|(_, name)| *name != cause).map_or(SimTime::MAX, |(at, _)| *at)
    }

    /// Episodes that follow before the earlier ones have been recovered from are one disturbance.
    fn of_fault(&self, episodes: &[&FaultLife<'t>]) -> Vec<Recovery> {
        let mut all = Vec::new();
        let mut series: Option<(Affected<'t>, Recovery)> = None;
        for (index, episode) in episodes.iter().enumerate() {
            let next_same = episodes[index + 1..].iter().map(|next| next.began).find(|at| *at > episode.began);
            let until = self.next_other(episode.began, episode.name).min(next_same.unwrap_or(SimTime::MAX));
            let mut affected = self.affected(episode);
            if let Some((before, recovery)) = series.take() {
                let is_over = recovery.total.is_some_and(|total| recovery.at + total + HOLD <= episode.began);
                if is_over && recovery.ended.is_some_and(|ended| ended <= episode.began) {
                    all.push(recovery);
                } else {
                    affected = before.and(&affected);
                }
            }
            let recovery = self.recovery(&affected, until);
            series = Some((affected, recovery));
        }
        all.extend(series.map(|(_, recovery)| recovery));
        all
    }

    fn affected(&self, fault: &FaultLife<'t>) -> Affected<'t> {
        let nodes: BTreeSet<&str> = fault.targets.iter().filter_map(|target| target.strip_prefix("Node/")).collect();
        let named: BTreeSet<&str> = fault.targets.iter().filter_map(|target| target.strip_prefix("Pod/")).collect();
        let struck = self.struck_pods(fault.began, &nodes, &named);
        // What befalls them long after it ended is another story.
        let look_until = fault.ended.map_or(SimTime::MAX, |ended| ended + LOOK);
        let inside = |at: &SimTime| *at >= fault.began && *at <= look_until;
        let unready_node = |node: &&NodeLife<'_>| nodes.contains(node.name);
        let node_signs = self.run.nodes.iter().filter(unready_node).flat_map(|node| {
            let left_true = node.ready.iter().filter(|(_, status, _)| *status != "True").map(|(at, ..)| *at);
            left_true.chain(node.removed)
        });
        let pod_signs = struck.iter().filter(|pod| named.contains(pod.name)).flat_map(|pod| {
            let terminated = pod.containers.iter().filter(|change| change.state == "Terminated").map(|change| change.at);
            let unready = pod.ready.iter().filter(|(_, ready, _)| !ready).map(|(at, ..)| *at);
            terminated.chain(unready).chain(pod.deleting.map(|(at, ..)| at))
        });
        let evictions = struck.iter().filter_map(|pod| pod.deleting).filter(|(_, by, _)| !is_own_controller(by)).map(|(at, ..)| at);
        Affected {
            cause: fault.name,
            is_mark: false,
            action: fault.action,
            episodes: vec![fault.began],
            began: fault.began,
            ended: fault.ended,
            detected: node_signs.chain(pod_signs).filter(inside).min(),
            evicted: evictions.filter(inside).max(),
            workloads: struck.iter().map(|pod| pod.workload).filter(|workload| has_replicas(workload)).collect(),
        }
    }

    fn of_mark(&self, at: SimTime, mark: &'t str) -> Recovery {
        let until = self.next_other(at, mark);
        let harm_over = self.harm_over(at, until).filter(|over| *over < SimTime::MAX).unwrap_or(at);
        let affected = Affected {
            cause: mark,
            is_mark: true,
            action: "",
            episodes: Vec::new(),
            began: at,
            ended: None,
            detected: self.first_reaction(at, until.min(harm_over.max(at + REACT))),
            evicted: None,
            workloads: self.by_workload.keys().copied().filter(|workload| has_replicas(workload)).collect(),
        };
        self.recovery(&affected, until)
    }

    /// The first thing that a cluster did, or that was seen to go wrong in it, from `from` on and before `until`.
    fn first_reaction(&self, from: SimTime, until: SimTime) -> Option<SimTime> {
        let scaled = self.run.autoscales.iter().filter(|look| look.desired > look.current).map(|look| look.at);
        let pools = self.run.pool_changes.iter().filter(|change| change.to > change.from).map(|change| change.at);
        let unsettled = self.unsettled.iter().map(|(span, _)| span.from);
        scaled.chain(pools).chain(unsettled).filter(|at| *at >= from && *at < until).min()
    }

    /// The lives of pods that were there when it began, on a struck node or struck by name.
    fn struck_pods(&self, at: SimTime, nodes: &BTreeSet<&str>, named: &BTreeSet<&str>) -> Vec<&'r PodLife<'t>> {
        let there = |pod: &&PodLife<'_>| pod.exists_at(at) || pod.removed == Some(at);
        let by_name = named.iter().filter_map(|name| self.pods.get(name)).flatten().map(|index| &self.run.pods[*index]).filter(there);
        let on_nodes = self.run.pods.iter().filter(|pod| {
            !nodes.is_empty() && pod.scheduled.is_some_and(|bound| bound.at <= at && nodes.contains(bound.node)) && there(pod)
        });
        by_name.chain(on_nodes).collect()
    }

    /// The end of the last harm to users that is under way at `from` or sets in before `until`, if there is any.
    fn harm_over(&self, from: SimTime, until: SimTime) -> Option<SimTime> {
        self.harmed.iter().filter(|span| span.to > from && span.from < until).map(|span| span.to).max()
    }

    /// When the workloads are settled, and which of them were not.
    fn settled(&self, affected: &Affected<'t>, from: SimTime, harm_over: SimTime, until: SimTime) -> (SimTime, BTreeSet<&'t str>) {
        let mut at = from;
        let mut joined = BTreeSet::new();
        let mut reach = from.max(harm_over);
        if affected.is_mark {
            reach = reach.max(affected.began + REACT - HOLD);
        }
        for (span, workload) in &self.unsettled {
            let is_next = span.to > from && span.from < reach.min(self.run.end) + HOLD && span.from < until.max(from);
            if !is_next || !affected.workloads.contains(workload) {
                continue;
            }
            // From the first on, only what follows closely or what users feel too.
            at = at.max(span.to);
            reach = at.max(harm_over);
            joined.insert(*workload);
        }
        (at, joined)
    }

    fn recovery(&self, affected: &Affected<'t>, until: SimTime) -> Recovery {
        let mut recovery = Recovery {
            cause: affected.cause.to_owned(),
            is_mark: affected.is_mark,
            action: affected.action.to_owned(),
            at: affected.began,
            episodes: affected.episodes.clone(),
            ended: affected.ended,
            detect: Phase::Skipped,
            evict: Phase::Skipped,
            reschedule: Phase::Skipped,
            ready: Phase::Skipped,
            slo: Phase::Skipped,
            total: None,
            missing: String::new(),
        };
        let mut now = affected.began;
        recovery.detect = advance(&mut now, affected.detected);
        recovery.evict = advance(&mut now, affected.evicted);
        let harm_over = self.harm_over(affected.began, until);
        let (settled, joined) = self.settled(affected, now, harm_over.unwrap_or(now), until);
        let watched = if affected.is_mark { &joined } else { &affected.workloads };
        if !watched.is_empty() {
            let bound = self.last_binding(watched, affected.began, settled);
            recovery.reschedule = advance(&mut now, bound);
            if !joined.is_empty() && !self.is_known(settled) {
                recovery.ready = Phase::Never;
                recovery.missing = self.missing_replicas(&joined);
                return recovery;
            }
            recovery.ready = advance(&mut now, Some(settled));
        }
        if self.has_traffic {
            if harm_over.is_some_and(|over| !self.is_known(over)) {
                recovery.slo = Phase::Never;
                recovery.missing = "users were not served as expected again".to_owned();
                return recovery;
            }
            let served = harm_over.unwrap_or(now);
            recovery.slo = advance(&mut now, Some(served));
        }
        recovery.total = Some(now.since(affected.began));
        recovery
    }

    /// Whether the run goes on for long enough to tell that what ended at `at` stays over.
    fn is_known(&self, at: SimTime) -> bool {
        at < SimTime::MAX && at + HOLD <= self.run.end
    }

    fn missing_replicas(&self, workloads: &BTreeSet<&'t str>) -> String {
        let short = workloads.iter().filter_map(|workload| {
            let (kind, name) = workload.split_once('/')?;
            let (_, counts) = self.run.workloads.get(&(kind, name))?.last()?;
            is_unsettled(kind, counts).then(|| {
                let good = if counts.ready < counts.desired { (counts.ready, "ready") } else { (counts.updated, "of the newest template") };
                format!("{workload} had {} of {} replicas {} at the end", good.0, counts.desired, good.1)
            })
        });
        let short: Vec<String> = short.collect();
        if short.is_empty() { "its workloads were not ready for 30 s before the end".to_owned() } else { short.join(", ") }
    }

    fn last_binding(&self, workloads: &BTreeSet<&str>, since: SimTime, until: SimTime) -> Option<SimTime> {
        let lives = workloads.iter().filter_map(|workload| self.by_workload.get(workload)).flatten();
        lives
            .map(|index| &self.run.pods[*index])
            .filter(|pod| pod.created >= since)
            .filter_map(|pod| pod.scheduled.map(|bound| bound.at))
            .filter(|at| *at <= until)
            .max()
    }
}

fn is_unsettled(kind: &str, counts: &Counts) -> bool {
    counts.ready < counts.desired || (kind == "Deployment" && counts.updated < counts.desired)
}

fn unsettled_spans(kind: &str, history: &[(SimTime, Counts)]) -> Vec<Bad> {
    let mut spans = Vec::new();
    let mut since = None;
    for (at, counts) in history {
        match (since, is_unsettled(kind, counts)) {
            (None, true) => since = Some(*at),
            (Some(from), false) => {
                spans.push(Bad { from, to: *at });
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.map(|from| Bad { from, to: SimTime::MAX }));
    spans
}

/// Spans in which a flow falls short of `goal`. A window (start, end, succeeded, finished) is bad when it and what
/// follows within [`HOLD`] fall short together; a span begins with the first loss, and ends where what follows is good.
fn harmed_spans(windows: &[(SimTime, SimTime, u64, u64)], goal: f64, run_end: SimTime) -> Vec<Bad> {
    let mut spans: Vec<Bad> = Vec::new();
    let (mut succeeded, mut all, mut next) = (0, 0, 0);
    let mut since: Option<usize> = None;
    let loss_from = |first: usize| windows[first..].iter().find(|(_, _, ok, of)| ok < of).map_or(windows[first].0, |(start, ..)| *start);
    for (index, (start, _, own_ok, own_of)) in windows.iter().enumerate() {
        while let Some((_, end, ok, of)) = windows.get(next)
            && (next <= index || *end <= *start + HOLD)
        {
            (succeeded, all, next) = (succeeded + ok, all + of, next + 1);
        }
        let lost: u64 = all - succeeded;
        let is_bad = (succeeded as f64) < goal * all as f64 && (lost > NOISE || lost * 2 >= all);
        match (since, is_bad) {
            (None, true) => since = Some(index),
            (Some(first), false) => {
                spans.push(Bad { from: loss_from(first), to: *start });
                since = None;
            }
            _ => {}
        }
        (succeeded, all) = (succeeded - own_ok, all - own_of);
    }
    if let (Some(first), Some((_, end, ..))) = (since, windows.last()) {
        let to = if *end < run_end { *end } else { SimTime::MAX };
        spans.push(Bad { from: loss_from(first), to });
    }
    // Where losses were spread thinly the first of them may lie past the span's end.
    spans.retain(|span| span.from < span.to);
    spans
}

/// Moves on to `to`, if it lies ahead, and says how long that took.
fn advance(now: &mut SimTime, to: Option<SimTime>) -> Phase {
    let Some(to) = to else { return Phase::Skipped };
    let took = to.since(*now);
    *now = (*now).max(to);
    Phase::Took(took)
}

/// Workloads that keep a number of replicas wherever there is room.
fn has_replicas(workload: &str) -> bool {
    ["Deployment/", "ReplicaSet/", "StatefulSet/", "ReplicationController/"].iter().any(|kind| workload.starts_with(kind))
}

fn is_own_controller(by: &str) -> bool {
    by == "garbage-collector"
        || ["replicaset", "replication-controller", "statefulset", "daemon", "job", "deployment"].iter().any(|kind| by.contains(kind))
}

/// The strictest availability that an expectation asks of `service` (or of everything).
fn goal_of(run: &Run<'_>, service: &str) -> f64 {
    let asks = |filter: &BTreeMap<Str, Str>| filter.get("service").is_none_or(|wanted| name_matches(wanted, service));
    let questions = run.header.questions.iter();
    let goals = questions
        .filter(|question| &*question.metric == "availability" && question.op.starts_with('>') && asks(&question.filter))
        .map(|question| question.value);
    goals.max_by(f64::total_cmp).unwrap_or(AVAILABILITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, question};
    use proptest::prelude::*;
    use trace::{Histogram, Record, Trace, TrafficCounts};

    const fn secs(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    const fn span(from: u64, to: u64) -> Bad {
        Bad { from: secs(from), to: secs(to) }
    }

    /// A hundred requests every second, of which `lost` fail.
    fn traffic(builder: &mut Builder, seconds: u64, lost: impl Fn(u64) -> u64) {
        for second in 0..seconds {
            let failed = lost(second);
            let counts = TrafficCounts { arrived: 100, succeeded: 100 - failed, failed, attempts: 100, ..TrafficCounts::default() };
            let (flow, service) = ("users".into(), "default/web".into());
            let window = SimDuration::from_secs(1);
            builder
                .at(second as f64 + 1.0, Record::Traffic { flow, external: true, service, window, counts, latency: Histogram::default() });
        }
    }

    /// A Deployment of ten replicas that were ready before anything happened.
    fn shop(seconds: u64, lost: impl Fn(u64) -> u64) -> Builder {
        let mut builder = Builder::new("story", 1, seconds);
        builder.pod(0.0, "default/web-0", "Deployment/default/web", 100);
        builder.workload(1.0, "default/web", 10, 10, 10);
        traffic(&mut builder, seconds, lost);
        builder
    }

    fn mark(builder: &mut Builder, seconds: f64, mark: &str) {
        builder.at(seconds, Record::Mark { mark: mark.into() });
    }

    fn crash(builder: &mut Builder, seconds: f64, back: f64) {
        let targets = vec!["Pod/default/web-0".into()];
        builder.at(seconds, Record::FaultBegan { fault: "crashes".into(), action: "container-kill".into(), targets });
        builder.at(seconds, Record::FaultEnded { fault: "crashes".into() });
        let (pod, container, state) = ("default/web-0".into(), "app".into(), "Terminated".into());
        builder.at(seconds + 0.005, Record::Container { pod, container, state, reason: "Error".into(), exit_code: Some(137), restarts: 1 });
        builder.workload(seconds + 0.01, "default/web", 10, 10, 9);
        builder.workload(back, "default/web", 10, 10, 10);
    }

    fn all(builder: Builder) -> Vec<Recovery> {
        let trace: Trace = builder.build();
        all_recoveries(&Run::new(&trace))
    }

    fn total_secs(recovery: &Recovery) -> Option<u64> {
        recovery.total.map(SimDuration::as_secs)
    }

    #[test]
    fn a_site_that_goes_down_minutes_after_the_mark_has_recovered_when_it_is_up_again() {
        let mut builder = shop(720, |second| if (250..600).contains(&second) { 80 } else { 0 });
        mark(&mut builder, 180.0, "spike");
        builder.workload(268.0, "default/web", 10, 10, 9);
        builder.workload(300.0, "default/web", 10, 10, 10);
        builder.workload(350.0, "default/web", 10, 10, 2);
        builder.workload(642.0, "default/web", 10, 10, 10);
        let recovery = &all(builder)[0];
        assert_eq!(recovery.detect, Phase::Took(SimDuration::from_secs(88)), "the first replica that turned unready");
        assert_eq!(total_secs(recovery), Some(462), "the last replica was back after the users were");
        assert_eq!(recovery.slo, Phase::Took(SimDuration::ZERO));
    }

    #[test]
    fn users_who_are_harmed_to_the_end_or_nearly_have_not_recovered() {
        for (until, total) in [(720, None), (700, None), (680, Some(500))] {
            let mut builder = shop(720, |second| if (400..until).contains(&second) { 100 } else { 0 });
            mark(&mut builder, 180.0, "spike");
            let recovery = &all(builder)[0];
            assert_eq!((recovery.total.is_some(), total_secs(recovery)), (total.is_some(), total), "down until {until}");
            assert_eq!(recovery.slo == Phase::Never, total.is_none());
            assert_eq!(recovery.detect, Phase::Skipped, "nobody but the users noticed");
        }
    }

    #[test]
    fn a_release_that_hangs_has_recovered_once_all_replicas_are_of_one_template_again() {
        let mut builder = shop(1200, |_| 0);
        mark(&mut builder, 300.0, "bad release");
        let counts = |updated: i32| {
            let (kind, name) = ("Deployment".into(), "default/web".into());
            Record::Workload { kind, name, desired: 10, current: 10, updated, ready: 10, available: 10 }
        };
        builder.at(300.015, counts(0));
        builder.at(301.0, counts(3));
        builder.at(729.0, counts(10));
        let recovery = &all(builder)[0];
        assert_eq!(recovery.detect, Phase::Took(SimDuration::from_millis(15)));
        assert_eq!(total_secs(recovery), Some(429), "though no replica was ever missing");
    }

    #[test]
    fn scaling_down_and_corrections_much_later_are_no_part_of_a_recovery() {
        let mut builder = shop(3600, |_| 0);
        mark(&mut builder, 300.0, "spike");
        for (at, desired, ready) in [
            (330.0, 20, 10),
            (345.0, 20, 20),
            (360.0, 40, 20),
            (380.0, 40, 40),
            (900.0, 20, 40),
            (905.0, 20, 20),
            (1500.0, 22, 20),
            (1510.0, 22, 22),
        ] {
            builder.workload(at, "default/web", desired, ready, ready);
        }
        let recovery = &all(builder)[0];
        assert_eq!((recovery.detect, total_secs(recovery)), (Phase::Took(SimDuration::from_secs(30)), Some(80)));
    }

    #[test]
    fn what_sets_in_after_the_next_mark_belongs_to_that_one() {
        let mut builder = shop(1200, |second| if (600..700).contains(&second) { 50 } else { 0 });
        mark(&mut builder, 100.0, "first");
        mark(&mut builder, 500.0, "second");
        let both = all(builder);
        assert_eq!(both.iter().map(total_secs).collect::<Vec<_>>(), [Some(0), Some(200)]);
    }

    #[test]
    fn crashes_that_follow_before_the_last_was_recovered_from_are_one_disturbance() {
        let mut builder = shop(1200, |_| 0);
        (0..15).for_each(|n| crash(&mut builder, 180.0 + f64::from(n) * 20.0, 190.0 + f64::from(n) * 20.0));
        let series = all(builder);
        assert_eq!(series.len(), 1);
        assert_eq!((series[0].episodes.len(), total_secs(&series[0])), (15, Some(290)), "first crash to last restart");
        assert_eq!(series[0].detect, Phase::Took(SimDuration::from_millis(5)));

        let mut builder = shop(1200, |_| 0);
        [(200.0, 210.0), (500.0, 540.0), (800.0, 805.0)].iter().for_each(|(at, back)| crash(&mut builder, *at, *back));
        let apart: Vec<_> = all(builder).iter().map(|recovery| (recovery.episodes.len(), total_secs(recovery))).collect();
        assert_eq!(apart, [(1, Some(10)), (1, Some(40)), (1, Some(5))]);
    }

    #[test]
    fn a_few_lost_requests_are_noise_whatever_the_goal() {
        for (lost, harmed) in [(4, false), (5, true)] {
            let mut builder = shop(600, |second| if second == 300 { lost } else { 0 });
            builder.header().questions = vec![question("availability", &["service=web"], "", ">=", 0.9999, "99.99%")];
            mark(&mut builder, 100.0, "any");
            assert_eq!(total_secs(&all(builder)[0]), Some(if harmed { 201 } else { 0 }), "{lost} of 3000");
        }
    }

    #[test]
    fn harm_begins_with_the_first_loss_and_ends_where_what_follows_is_good() {
        let windows =
            |bad: std::ops::Range<u64>| (0..200).map(move |n| (secs(n), secs(n + 1), if bad.contains(&n) { 0 } else { 100 }, 100));
        let spans = |bad| harmed_spans(&windows(bad).collect::<Vec<_>>(), 0.99, secs(200));
        assert_eq!(spans(20..60), [span(20, 60)]);
        assert_eq!(spans(150..200), [Bad { from: secs(150), to: SimTime::MAX }], "still bad at the end");
        assert_eq!(spans(0..0), []);
        let stops: Vec<_> = windows(90..100).take(100).collect();
        assert_eq!(harmed_spans(&stops, 0.99, secs(200)), [span(90, 100)], "no requests, no harm");
    }

    proptest! {
        #[test]
        fn harm_comes_in_spans_that_are_apart_and_in_order(
            lost in proptest::collection::vec(prop_oneof![4 => Just(0u64), 1 => 0u64..100], 1..300), goal in 0.5f64..1.0,
        ) {
            let windows: Vec<_> = (0..).zip(&lost).map(|(n, lost)| (secs(n), secs(n + 1), 100 - lost, 100)).collect();
            let spans = harmed_spans(&windows, goal, secs(lost.len() as u64));
            prop_assert!(spans.iter().all(|span| span.from < span.to));
            prop_assert!(spans.windows(2).all(|pair| pair[0].to <= pair[1].from));
            prop_assert!(lost.iter().any(|lost| *lost > 0) || spans.is_empty());
        }

        #[test]
        fn phases_add_up_whatever_happens(
            lost in proptest::collection::vec(prop_oneof![6 => Just(0u64), 1 => 0u64..100], 600),
            ready in proptest::collection::vec((1u64..600, 0i32..14, 0i32..14), 0..20),
            marks in proptest::collection::vec(1u64..600, 0..4),
            crashes in proptest::collection::vec(1u64..600, 0..6),
        ) {
            let mut builder = shop(600, |second| lost[second as usize]);
            for (at, desired, ready) in &ready {
                builder.workload(*at as f64 + 0.5, "default/web", *desired, *ready, *ready);
            }
            marks.iter().for_each(|at| mark(&mut builder, *at as f64, &format!("mark {at}")));
            crashes.iter().for_each(|at| crash(&mut builder, *at as f64, *at as f64 + 7.0));
            let all = all(builder);
            prop_assert_eq!(all.iter().map(|recovery| recovery.episodes.len()).sum::<usize>(), crashes.len());
            for recovery in &all {
                let sum: u64 = recovery.phases().iter().filter_map(|(_, phase)| phase.took()).map(SimDuration::as_nanos).sum();
                let is_never = recovery.phases().iter().any(|(_, phase)| *phase == Phase::Never);
                prop_assert_eq!(recovery.total.is_none(), is_never);
                prop_assert_eq!(recovery.missing.is_empty(), !is_never);
                prop_assert!(is_never || recovery.total.map(SimDuration::as_nanos) == Some(sum));
            }
        }
    }
}
