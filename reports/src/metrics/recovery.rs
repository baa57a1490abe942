//! How a run came back: every fault and every mark, in phases that add up.
//!
//! ```text
//! fault ── detect ── evict ── reschedule ── ready ── slo ──►  total = the sum, in whole nanoseconds
//! ```
//!
//! Each phase ends at an instant taken from the records, never before the end of the phase before; a phase
//! whose instant does not exist is skipped and takes no time. The instants:
//!
//! - *detect*: a struck node's Ready leaves True; a struck pod's container terminates, or it turns unready, or
//!   its deletion is asked for. Mark: an autoscaler raises something, or a workload's desired count goes up.
//! - *evict*: the last deletion of a struck pod by anyone but its own controllers, until it is ready again.
//! - *reschedule*: the last binding of a pod created since, of a struck (grown) workload, until those are ready.
//! - *ready*: every struck (grown) workload has its desired replicas ready, and still has [`HOLD`] later.
//! - *slo*: the next [`HOLD`] of every external flow, taken together, meet its availability expectation.
//!
//! Not here: `recovery.*` as metrics with filters and statistics (`query`).

use std::collections::{BTreeMap, BTreeSet};

use api::{SimDuration, SimTime, Str};
use serde::{Deserialize, Serialize};

use super::name_matches;
use crate::fold::{FaultLife, PodLife, Run, finished};

/// How long a good state must last to count as recovered.
const HOLD: SimDuration = SimDuration::from_secs(30);
/// What a flow must reach when no expectation says more.
const AVAILABILITY: f64 = 0.99;
/// Where a fault that strikes no pod is looked for in the traffic, when it has no end of its own.
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

/// One episode of a fault, or one mark.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The fault's or the mark's name.
    pub cause: String,
    /// Whether it is a mark.
    pub is_mark: bool,
    /// The fault's action; empty for marks.
    pub action: String,
    /// When it began.
    pub at: SimTime,
    /// When the fault ended, if it did.
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

/// Every episode of every fault and every mark, by time.
pub(crate) fn recoveries<'r>(run: &'r Run<'_>) -> &'r [Recovery] {
    run.recoveries.get_or_init(|| all_recoveries(run))
}

fn all_recoveries(run: &Run<'_>) -> Vec<Recovery> {
    if run.faults.is_empty() && run.marks.is_empty() {
        return Vec::new();
    }
    let context = Context::new(run);
    let faults = run.faults.iter().map(|fault| context.of_fault(fault));
    let marks = run.marks.iter().map(|(at, mark)| context.of_mark(*at, mark));
    let mut all: Vec<Recovery> = faults.chain(marks).collect();
    all.sort_by(|a, b| (a.at, a.is_mark, &a.cause).cmp(&(b.at, b.is_mark, &b.cause)));
    all
}

/// Spans in which something is not as it should be, ascending; an open one ends never.
type Bad = Vec<(SimTime, SimTime)>;

struct Context<'r, 't> {
    run: &'r Run<'t>,
    /// Lives of each pod name.
    pods: BTreeMap<&'t str, Vec<usize>>,
    /// Lives of the pods of each workload (`Kind/namespace/name`).
    by_workload: BTreeMap<&'t str, Vec<usize>>,
    traffic: Vec<FlowGoal>,
}

/// An external flow, as (window start, window end, succeeded, finished), and what it must reach.
struct FlowGoal {
    windows: Vec<(SimTime, SimTime, u64, u64)>,
    goal: f64,
}

/// What a fault or mark concerns, before any phase is known.
struct Affected<'t> {
    began: SimTime,
    detected: Option<SimTime>,
    evicted: Option<SimTime>,
    workloads: BTreeSet<&'t str>,
    /// Where to look for harm to the traffic when no workload was struck.
    look_until: SimTime,
}

impl<'r, 't> Context<'r, 't> {
    fn new(run: &'r Run<'t>) -> Self {
        let mut pods: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut by_workload: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, pod) in run.pods.iter().enumerate() {
            pods.entry(pod.name).or_default().push(index);
            by_workload.entry(pod.workload).or_default().push(index);
        }
        let external = run.flows.values().filter(|flow| flow.external);
        let traffic = external.map(|flow| FlowGoal {
            windows: flow.windows.iter().map(|w| (w.start(), w.end, w.counts.succeeded, finished(&w.counts))).collect(),
            goal: goal_of(run, flow.service),
        });
        Self { run, pods, by_workload, traffic: traffic.collect() }
    }

    fn of_fault(&self, fault: &FaultLife<'t>) -> Recovery {
        let nodes: BTreeSet<&str> = fault.targets.iter().filter_map(|target| target.strip_prefix("Node/")).collect();
        let named: BTreeSet<&str> = fault.targets.iter().filter_map(|target| target.strip_prefix("Pod/")).collect();
        let struck = self.struck_pods(fault.began, &nodes, &named);
        let unready_node = |node: &&crate::fold::NodeLife<'_>| nodes.contains(node.name);
        let node_signs = self.run.nodes.iter().filter(unready_node).flat_map(|node| {
            let left_true = node.ready.iter().filter(|(_, status, _)| *status != "True").map(|(at, ..)| *at);
            left_true.chain(node.removed)
        });
        let pod_signs = struck.iter().filter(|pod| named.contains(pod.name)).flat_map(|pod| {
            let terminated = pod.containers.iter().filter(|change| change.state == "Terminated").map(|change| change.at);
            let unready = pod.ready.iter().filter(|(_, ready, _)| !ready).map(|(at, ..)| *at);
            terminated.chain(unready).chain(pod.deleting.map(|(at, ..)| at))
        });
        let detected = node_signs.chain(pod_signs).filter(|at| *at >= fault.began).min();
        // A deletion long after the pod's node came back is another story.
        let until = fault.ended.map_or(SimTime::MAX, |ended| ended + LOOK);
        let evictions =
            struck.iter().filter_map(|pod| pod.deleting).filter(|(at, by, _)| *at >= fault.began && *at <= until && !is_own_controller(by));
        let affected = Affected {
            began: fault.began,
            detected,
            evicted: evictions.map(|(at, ..)| at).max(),
            workloads: struck.iter().map(|pod| pod.workload).filter(|workload| has_replicas(workload)).collect(),
            look_until: fault.ended.unwrap_or(fault.began + LOOK),
        };
        self.recovery(affected, fault.name, fault.action, fault.ended, false)
    }

    fn of_mark(&self, at: SimTime, mark: &str) -> Recovery {
        // Other marks and faults bound what this one answers for.
        let next = self.run.marks.iter().map(|(other, _)| *other).filter(|other| *other > at).min().unwrap_or(SimTime::MAX);
        let inside = |when: SimTime| when >= at && when < next;
        let scaled = self.run.autoscales.iter().filter(|look| look.desired > look.current && inside(look.at)).map(|look| look.at);
        let pools = self.run.pool_changes.iter().filter(|change| change.to > change.from && inside(change.at)).map(|change| change.at);
        let mut grown = BTreeSet::new();
        let mut raised = Vec::new();
        for (key, counts) in &self.run.workloads {
            let rises = counts.windows(2).filter(|pair| pair[1].1.desired > pair[0].1.desired && inside(pair[1].0));
            let first = rises.map(|pair| pair[1].0).min();
            raised.extend(first);
            if first.is_some()
                && let Some(workload) = self.workload_name(*key)
            {
                grown.insert(workload);
            }
        }
        let affected = Affected {
            began: at,
            detected: scaled.chain(pools).chain(raised).min(),
            evicted: None,
            workloads: grown.into_iter().filter(|workload| has_replicas(workload)).collect(),
            look_until: at + LOOK,
        };
        self.recovery(affected, mark, "", None, true)
    }

    fn workload_name(&self, (kind, name): (&str, &str)) -> Option<&'t str> {
        let wanted = format!("{kind}/{name}");
        self.by_workload.get_key_value(wanted.as_str()).map(|(name, _)| *name)
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

    fn recovery(&self, affected: Affected<'t>, cause: &str, action: &str, ended: Option<SimTime>, is_mark: bool) -> Recovery {
        let mut recovery = Recovery {
            cause: cause.to_owned(),
            is_mark,
            action: action.to_owned(),
            at: affected.began,
            ended,
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
        if !affected.workloads.is_empty() {
            let ready_at = settled(&self.short_of_replicas(&affected.workloads), now, self.run.end);
            let bound = self.last_binding(&affected, ready_at.unwrap_or(self.run.end));
            recovery.reschedule = advance(&mut now, bound);
            let Some(ready_at) = ready_at else {
                recovery.ready = Phase::Never;
                recovery.missing = self.missing_replicas(&affected.workloads);
                return recovery;
            };
            recovery.ready = advance(&mut now, Some(ready_at));
        }
        if !self.traffic.is_empty() {
            let Some(served_at) = self.served(now, &affected) else {
                recovery.slo = Phase::Never;
                recovery.missing = "users were not served as expected again".to_owned();
                return recovery;
            };
            recovery.slo = advance(&mut now, Some(served_at));
        }
        recovery.total = Some(now.since(affected.began));
        recovery
    }

    fn counts(&self, workload: &'t str) -> &'r [(SimTime, crate::fold::Counts)] {
        let key = workload.split_once('/').unwrap_or(("", workload));
        self.run.workloads.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Spans in which any of the workloads has fewer ready replicas than it wants.
    fn short_of_replicas(&self, workloads: &BTreeSet<&'t str>) -> Bad {
        let mut spans = Vec::new();
        for workload in workloads {
            let mut since = None;
            for (at, counts) in self.counts(workload) {
                match (since, counts.ready < counts.desired) {
                    (None, true) => since = Some(*at),
                    (Some(from), false) => {
                        spans.push((from, *at));
                        since = None;
                    }
                    _ => {}
                }
            }
            spans.extend(since.map(|from| (from, SimTime::MAX)));
        }
        spans.sort_unstable();
        spans
    }

    fn missing_replicas(&self, workloads: &BTreeSet<&'t str>) -> String {
        let short = workloads.iter().filter_map(|workload| {
            let (_, counts) = self.counts(workload).last()?;
            (counts.ready < counts.desired)
                .then(|| format!("{workload} had {} of {} replicas ready at the end", counts.ready, counts.desired))
        });
        let short: Vec<String> = short.collect();
        if short.is_empty() { "its workloads were not ready for 30 s before the end".to_owned() } else { short.join(", ") }
    }

    fn last_binding(&self, affected: &Affected<'_>, until: SimTime) -> Option<SimTime> {
        let lives = affected.workloads.iter().filter_map(|workload| self.by_workload.get(workload)).flatten();
        lives
            .map(|index| &self.run.pods[*index])
            .filter(|pod| pod.created >= affected.began)
            .filter_map(|pod| pod.scheduled.map(|bound| bound.at))
            .filter(|at| *at <= until)
            .max()
    }

    /// When users are served again, at the earliest at `ready`. When nothing was struck that could tell, the first
    /// harm is looked for while the fault lasts.
    fn served(&self, ready: SimTime, affected: &Affected<'_>) -> Option<SimTime> {
        let mut from = ready;
        if affected.workloads.is_empty() && affected.detected.is_none() {
            let harmed = self.traffic.iter().filter_map(|flow| flow.first_bad(affected.began, affected.look_until)).min();
            let Some(harmed) = harmed else { return Some(ready) };
            from = harmed.max(ready);
        }
        loop {
            let mut next = from;
            for flow in &self.traffic {
                next = flow.next_good(next)?;
            }
            if next == from {
                let is_known = from == ready || from + HOLD <= self.run.end;
                return is_known.then_some(from);
            }
            from = next;
        }
    }
}

impl FlowGoal {
    fn meets(&self, succeeded: u64, all: u64) -> bool {
        succeeded as f64 >= self.goal * all as f64
    }

    /// The first instant from which [`HOLD`], taken together, falls short; looked for before `until`.
    fn first_bad(&self, from: SimTime, until: SimTime) -> Option<SimTime> {
        self.scan(from, false).filter(|at| *at < until)
    }

    /// The first instant from which [`HOLD`], taken together, is good.
    fn next_good(&self, from: SimTime) -> Option<SimTime> {
        self.scan(from, true)
    }

    /// Looks at `from`, then at the start of every window after it.
    fn scan(&self, from: SimTime, wanted: bool) -> Option<SimTime> {
        let mut first = self.windows.partition_point(|(start, ..)| *start < from);
        let (mut succeeded, mut all, mut next) = (0, 0, first);
        let mut start = from;
        loop {
            while let Some((_, _, ok, of)) = self.windows.get(next).filter(|(_, end, ..)| *end <= start + HOLD) {
                (succeeded, all, next) = (succeeded + ok, all + of, next + 1);
            }
            if self.meets(succeeded, all) == wanted {
                return Some(start);
            }
            let (_, end, ok, of) = self.windows.get(first)?;
            if first < next {
                (succeeded, all) = (succeeded - ok, all - of);
            } else {
                next = first + 1;
            }
            first += 1;
            start = self.windows.get(first).map_or(*end, |(start, ..)| *start);
        }
    }
}

/// Moves on to `to`, if it lies ahead, and says how long that took.
fn advance(now: &mut SimTime, to: Option<SimTime>) -> Phase {
    let Some(to) = to else { return Phase::Skipped };
    let took = to.since(*now);
    *now = (*now).max(to);
    Phase::Took(took)
}

/// The first instant from `start` on that is followed by [`HOLD`] without anything bad. `None` when the run ends before.
fn settled(bad: &Bad, start: SimTime, end: SimTime) -> Option<SimTime> {
    let mut at = start;
    for (from, to) in bad {
        if *to <= at {
            continue;
        }
        if *from >= at + HOLD {
            break;
        }
        at = *to;
    }
    (at == start || (at < SimTime::MAX && at + HOLD <= end)).then_some(at)
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

    const fn secs(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    #[test]
    fn a_good_state_counts_once_it_has_held_for_thirty_seconds() {
        let bad = vec![(secs(10), secs(20)), (secs(40), secs(45)), (secs(200), SimTime::MAX)];
        for (start, end, at) in [
            (5, 1000, Some(45)),  // 20 s of peace between the first two are not enough
            (60, 1000, Some(60)), // the next trouble is far away
            (180, 1000, None),    // and never ends
            (12, 60, None),       // the run ends too early to know
            (46, 60, Some(46)),   // nothing was bad: nothing to wait for
        ] {
            assert_eq!(settled(&bad, secs(start), secs(end)), at.map(secs), "from {start}");
        }
    }

    #[test]
    fn users_are_served_again_when_the_next_thirty_seconds_are_good_together() {
        let window = |index: u64| {
            let bad = (20..60).contains(&index);
            (secs(index), secs(index + 1), if bad { 0 } else { 100 }, 100)
        };
        let flow = FlowGoal { windows: (0..200).map(window).collect(), goal: 0.99 };
        assert_eq!(flow.next_good(secs(0)), Some(secs(60)), "a span that reaches into the bad one is not good");
        assert_eq!(flow.next_good(secs(80)), Some(secs(80)));
        assert_eq!(flow.next_good(secs(500)), Some(secs(500)), "no requests, no harm");
        assert_eq!(flow.first_bad(secs(70), secs(120)), None);
        assert_eq!(flow.first_bad(secs(0), secs(40)), Some(secs(0)), "trouble within the next 30 s");
    }
}
