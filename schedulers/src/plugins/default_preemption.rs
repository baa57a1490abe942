//! DefaultPreemption: when no node is left, looks for the node where the fewest and least important pods
//! would have to go.
//!
//! Per node: imagine all pods of lower priority away; if the pod then fits, put them back one by one, most
//! important first (those a PodDisruptionBudget protects before the others), and keep those that still let
//! the pod fit. Upstream draws a random start offset for the search; here it starts at the head of the list.
//! Upstream: plugins/defaultpreemption, framework/preemption.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use api::{LabelSelector, PodDisruptionBudget, PreemptionPolicy, SimTime, Uid};
use port::{
    Candidate, ClusterEvent, ClusterSnapshot, FailedAttempt, NodeIndex, Plugin, PodInfo, PostFilterPlugin, PostFilterResult, QueueingHint,
    Rehearsal, Status, StatusCode,
};

use crate::config::args::{Reader, fields};
use crate::framework::Histogram;

const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
const NO_CANDIDATE: &str = "no candidate node for preemption";
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

pub(crate) struct DefaultPreemption {
    pub(crate) min_candidate_nodes_percentage: usize,
    pub(crate) min_candidate_nodes_absolute: usize,
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    /// The plugins whose rejection preemption removes decide themselves.
    fn hint(&self, _: &PodInfo, _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Skip
    }
}

/// More important first: higher priority, then running for longer. A pod that has not started counts as
/// starting now.
fn importance(pod: &PodInfo) -> (Reverse<i32>, SimTime) {
    (Reverse(pod.spec.priority), start_time(pod))
}

fn start_time(pod: &PodInfo) -> SimTime {
    pod.start_time.unwrap_or(SimTime::MAX)
}

/// Why the pod may not preempt now, if so.
fn not_eligible(failed: &FailedAttempt<'_>) -> Option<&'static str> {
    let pod = failed.pod;
    if pod.spec.preemption_policy == PreemptionPolicy::Never {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = failed.snapshot.find(pod.nominated_node.as_deref()?)?;
    if failed.status_of(node).and_then(Status::code) == Some(StatusCode::UnschedulableAndUnresolvable) {
        return None;
    }
    let leaving = |other: &PodInfo| other.spec.priority < pod.spec.priority && other.deleting && other.preempted;
    failed.snapshot.node(node).pods.iter().any(leaving).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// Splits victims (in order of importance) into those whose budget would be overdrawn and the others.
fn split_by_budget<'a>(victims: &'a [PodInfo], snapshot: &ClusterSnapshot) -> (Vec<&'a PodInfo>, Vec<&'a PodInfo>) {
    let mut budgets: Vec<(&PodDisruptionBudget, &LabelSelector, i32)> = snapshot
        .objects()
        .pod_disruption_budgets
        .values()
        .filter_map(|budget| {
            let selector = budget.selector.as_ref().filter(|selector| !selector.is_empty())?;
            Some((&**budget, selector, budget.disruptions_allowed))
        })
        .collect();
    victims.iter().partition(|pod| {
        let mut violates = false;
        for (budget, selector, allowed) in &mut budgets {
            let applies = !pod.labels.is_empty()
                && budget.meta.namespace == pod.key.namespace
                && selector.matches(&pod.labels)
                && !budget.disrupted_pods.contains_key(&pod.key.name);
            if applies {
                *allowed -= 1;
                violates |= *allowed < 0;
            }
        }
        violates
    })
}

/// The least set of victims on one node, or why there is none.
fn victims_on(failed: &FailedAttempt<'_>, node: NodeIndex) -> Result<Candidate, Status> {
    let lower = |pod: &&PodInfo| pod.spec.priority < failed.pod.spec.priority;
    let mut potential: Vec<PodInfo> = failed.snapshot.node(node).pods.iter().filter(lower).cloned().collect();
    if potential.is_empty() {
        return Err(Status::unschedulable_and_unresolvable(NO_VICTIMS));
    }
    let mut rehearsal = failed.rehearsals.begin(node);
    for pod in &potential {
        rehearsal.remove_pod(pod);
    }
    let without_them = rehearsal.filter();
    if !without_them.is_success() {
        return Err(without_them);
    }
    potential.sort_by_key(importance);
    let (protected, others) = split_by_budget(&potential, failed.snapshot);
    let mut victims: Vec<PodInfo> = Vec::new();
    let mut stays = |pod: &PodInfo, rehearsal: &mut dyn Rehearsal| {
        rehearsal.add_pod(pod.clone());
        let fits = rehearsal.filter().is_success();
        if !fits {
            rehearsal.remove_pod(pod);
            victims.push(pod.clone());
        }
        fits
    };
    let pdb_violations = protected.iter().filter(|pod| !stays(pod, &mut *rehearsal)).count() as u32;
    for pod in others {
        stays(pod, &mut *rehearsal);
    }
    victims.sort_by_key(importance);
    Ok(Candidate { node, victims, pdb_violations })
}

/// Best first. The list is sorted by node name before, so that a full tie goes to the first name
/// (upstream: any).
fn rank(candidate: &Candidate) -> (u32, i32, i64, usize, Reverse<SimTime>) {
    let highest = candidate.victims.first().map_or(i32::MIN, |pod| pod.spec.priority);
    let sum = candidate.victims.iter().map(|pod| i64::from(pod.spec.priority) + (1 << 31)).sum();
    let most_important = candidate.victims.iter().filter(|pod| pod.spec.priority == highest);
    let earliest = most_important.map(start_time).min().unwrap_or(SimTime::MAX);
    (candidate.pdb_violations, highest, sum, candidate.victims.len(), Reverse(earliest))
}

impl DefaultPreemption {
    fn wanted_candidates(&self, nodes: usize) -> usize {
        (nodes * self.min_candidate_nodes_percentage / 100).max(self.min_candidate_nodes_absolute).min(nodes)
    }

    /// Nodes that removing pods might open, in list order.
    fn potential_nodes(failed: &FailedAttempt<'_>) -> Vec<NodeIndex> {
        let resolvable = |status: &Status| status.code() == Some(StatusCode::Unschedulable);
        let mut nodes: Vec<NodeIndex> =
            failed.statuses.iter().filter(|(_, _, status)| resolvable(status)).map(|(node, _, _)| *node).collect();
        if failed.absent.is_some_and(resolvable) {
            let looked_at: BTreeSet<NodeIndex> = failed.statuses.iter().map(|(node, _, _)| *node).collect();
            nodes.extend(failed.snapshot.list_order().iter().filter(|node| !looked_at.contains(node)));
        }
        nodes
    }
}

impl PostFilterPlugin for DefaultPreemption {
    fn post_filter(&self, failed: &FailedAttempt<'_>) -> PostFilterResult {
        if let Some(reason) = not_eligible(failed) {
            return PostFilterResult::Unschedulable { reason: format!("preemption: {reason}"), clear_nomination: false };
        }
        let nodes = Self::potential_nodes(failed);
        let wanted = self.wanted_candidates(nodes.len());
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut reasons = Histogram::default();
        let mut explained = 0;
        for node in nodes {
            if candidates.len() >= wanted && candidates.iter().any(|candidate| candidate.pdb_violations == 0) {
                break;
            }
            match victims_on(failed, node) {
                Ok(candidate) => candidates.push(candidate),
                Err(Status::Error(message)) => return PostFilterResult::Error(format!("preemption: {message}")),
                Err(status) => {
                    reasons.add(&status, 1);
                    explained += 1;
                }
            }
        }
        let snapshot = failed.snapshot;
        if !candidates.is_empty() {
            candidates = match failed.extenders.remaining(failed.pod, snapshot, candidates) {
                Ok(candidates) => candidates,
                Err(message) => return PostFilterResult::Error(format!("preemption: {message}")),
            };
            if candidates.is_empty() {
                return PostFilterResult::Unschedulable { reason: format!("preemption: {NO_CANDIDATE}"), clear_nomination: false };
            }
        }
        candidates.sort_by(|a, b| snapshot.node(a.node).name().cmp(snapshot.node(b.node).name()));
        let Some(chosen) = candidates.iter().min_by_key(|candidate| rank(candidate)).cloned() else {
            let all = snapshot.nodes().len();
            reasons.add(&Status::unschedulable_and_unresolvable(NOT_HELPFUL), all - explained);
            return PostFilterResult::Unschedulable { reason: format!("preemption: {}", reasons.message(all)), clear_nomination: true };
        };
        let cleared_nominations: Vec<Uid> = snapshot
            .nominated(snapshot.node(chosen.node).name())
            .iter()
            .filter(|other| other.spec.priority < failed.pod.spec.priority)
            .map(|other| other.uid)
            .collect();
        PostFilterResult::Nominated { chosen, cleared_nominations, candidates }
    }
}

/// From its arguments (DefaultPreemptionArgs).
pub(crate) fn from_args(args: &Reader<'_>) -> DefaultPreemption {
    fields(args, &["minCandidateNodesPercentage", "minCandidateNodesAbsolute"]);
    DefaultPreemption {
        min_candidate_nodes_percentage: args.get("minCandidateNodesPercentage").integer(10, 0..=100) as usize,
        min_candidate_nodes_absolute: args.get("minCandidateNodesAbsolute").integer(100, 0..=i64::from(i32::MAX)) as usize,
    }
}
