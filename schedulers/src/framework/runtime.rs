//! One attempt: PreFilter, Filter, then PreScore and Score or PostFilter.
//!
//! Invariants:
//! - The first failing Filter plugin of a node is the one reported.
//! - A pod with a nominated node tries that node first and alone.
//! - With one feasible node nothing is scored, unless all details are asked for.
//! - Between calls only the rotating start of sampling is kept.

mod explain;

use api::Str;
use port::{
    Candidate, ClusterSnapshot, Detail, FailedAttempt, NodeIndex, NodeInfo, PodInfo, PostFilterResult, PreFilterResult, PreparedFilter,
    Rehearsal, Rehearsals, Status,
};

use super::message::Histogram;
use super::profile::Profile;
use super::selection::{TieBreak, feasible_nodes_to_find, select};
use crate::extenders::Extenders;

pub(crate) use explain::{explain, explain_gate};

/// A feasible node with its scores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeasibleNode {
    /// The node.
    pub node: NodeIndex,
    /// The sum of its weighted scores.
    pub total: i64,
    /// Weighted normalised scores by plugin, in the order of the profile.
    pub scores: Vec<(&'static str, i64)>,
}

/// A node that was turned down.
pub type RejectedNode = (NodeIndex, &'static str, Status);

/// A pod that was turned down before any node was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreFilterRejection {
    /// Who said no; none when several plugins' node names do not meet.
    pub plugin: &'static str,
    /// What it said.
    pub status: Status,
}

/// How much of the node list was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sampling {
    /// Feasible nodes kept.
    pub feasible: usize,
    /// Nodes looked at that count for the rotating start.
    pub processed: usize,
    /// Where the next attempt starts.
    pub next_start: usize,
}

/// Everything there is to say of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// How much it says about itself.
    pub detail: Detail,
    /// The chosen node.
    pub chosen: Option<NodeIndex>,
    /// Its total, when nodes were scored.
    pub total: i64,
    /// How many nodes had that total.
    pub argmax_size: usize,
    /// The nominated node passed and no other was looked at.
    pub via_nominated_node: bool,
    /// PreFilter turned the pod down.
    pub pre_filter: Option<PreFilterRejection>,
    /// PreFilter left only these nodes, by name.
    pub pre_filter_nodes: Option<Vec<Str>>,
    /// With [`Detail::Full`]: feasible nodes in the order found.
    pub feasible: Vec<FeasibleNode>,
    /// Nodes turned down, in the order looked at; with [`Detail::Full`], or when no node was left.
    pub rejected: Vec<RejectedNode>,
    /// The event's text when no node was left.
    pub message: Option<String>,
    /// PostFilter failed with an error.
    pub post_filter_failed: bool,
    /// Room that preemption would make, the pods that lose their nomination, and every node that would do.
    pub preemption: Option<(Candidate, Vec<api::Uid>, Vec<Candidate>)>,
    /// PostFilter answered with an explicit empty nomination.
    pub clear_nomination: bool,
    /// Plugins that turned nodes or the pod down, sorted.
    pub rejected_by: Vec<&'static str>,
    /// The attempt itself failed.
    pub error: Option<String>,
    /// How much was looked at.
    pub sampling: Sampling,
    /// Nodes found feasible.
    pub feasible_nodes: usize,
    /// Nodes looked at.
    pub evaluated_nodes: usize,
}

impl Attempt {
    const fn new(detail: Detail) -> Self {
        Self {
            detail,
            chosen: None,
            total: 0,
            argmax_size: 0,
            via_nominated_node: false,
            pre_filter: None,
            pre_filter_nodes: None,
            feasible: Vec::new(),
            rejected: Vec::new(),
            message: None,
            post_filter_failed: false,
            preemption: None,
            clear_nomination: false,
            rejected_by: Vec::new(),
            error: None,
            sampling: Sampling { feasible: 0, processed: 0, next_start: 0 },
            feasible_nodes: 0,
            evaluated_nodes: 0,
        }
    }
}

/// What the policy decides for all profiles.
pub(crate) struct Settings<'a> {
    pub(crate) tie_break: &'a TieBreak,
    pub(crate) extenders: &'a Extenders,
    pub(crate) detail: Detail,
}

/// Buffers that live from attempt to attempt.
#[derive(Default)]
pub(crate) struct Scratch {
    feasible: Vec<NodeIndex>,
    rejected: Vec<RejectedNode>,
    totals: Vec<i64>,
    scores: Vec<i64>,
}

struct Ready<'a> {
    name: &'static str,
    filter: Box<dyn PreparedFilter<'a> + 'a>,
}

/// What PreFilter left.
struct Filters<'a> {
    pod: &'a PodInfo,
    snapshot: &'a ClusterSnapshot,
    ready: Vec<Ready<'a>>,
}

type Rejection = (&'static str, Status);

fn run_filters(ready: &[Ready<'_>], node: &NodeInfo) -> Result<(), Rejection> {
    for Ready { name, filter } in ready {
        let status = filter.filter(node);
        if !status.is_success() {
            return Err((name, status));
        }
    }
    Ok(())
}

impl Filters<'_> {
    /// Pods nominated to the node that this pod has to respect.
    fn nominated(&self, node: &NodeInfo) -> Vec<&PodInfo> {
        let respected = |other: &&PodInfo| other.spec.priority >= self.pod.spec.priority && other.uid != self.pod.uid;
        self.snapshot.nominated(node.name()).iter().filter(respected).collect()
    }

    /// Filters with the nominated pods of equal or higher priority in place and, if that passes, again
    /// without them: they may go elsewhere, and the pod may have counted on them.
    fn check(&self, ready: &[Ready<'_>], node: &NodeInfo) -> Result<(), Rejection> {
        if self.snapshot.has_nominated() {
            let nominated = self.nominated(node);
            if !nominated.is_empty() {
                let mut imagined = node.clone();
                let mut forked = fork(ready);
                for other in nominated {
                    imagined.add_pod(other.clone());
                    forked.iter_mut().for_each(|ready| ready.filter.add_pod(other, &imagined));
                }
                run_filters(&forked, &imagined)?;
            }
        }
        run_filters(ready, node)
    }
}

fn fork<'a>(ready: &[Ready<'a>]) -> Vec<Ready<'a>> {
    ready.iter().map(|ready| Ready { name: ready.name, filter: ready.filter.fork() }).collect()
}

impl Rehearsals for Filters<'_> {
    fn begin(&self, node: NodeIndex) -> Box<dyn Rehearsal + '_> {
        Box::new(Imagined { filters: self, node: self.snapshot.node(node).clone(), ready: fork(&self.ready) })
    }
}

struct Imagined<'f, 'a> {
    filters: &'f Filters<'a>,
    node: NodeInfo,
    ready: Vec<Ready<'a>>,
}

impl Rehearsal for Imagined<'_, '_> {
    fn node(&self) -> &NodeInfo {
        &self.node
    }
    fn remove_pod(&mut self, pod: &PodInfo) {
        if let Some(removed) = self.node.remove_pod(pod.uid) {
            self.ready.iter_mut().for_each(|ready| ready.filter.remove_pod(&removed, &self.node));
        }
    }
    fn add_pod(&mut self, pod: PodInfo) {
        self.node.add_pod(pod.clone());
        self.ready.iter_mut().for_each(|ready| ready.filter.add_pod(&pod, &self.node));
    }
    fn filter(&self) -> Status {
        self.filters.check(&self.ready, &self.node).err().map_or(Status::Success, |(_, status)| status)
    }
}

/// What PreFilter of all plugins comes to.
struct PreFiltered<'a> {
    filters: Filters<'a>,
    /// The only nodes left, and the plugins that said so.
    restricted: Option<(std::collections::BTreeSet<Str>, Vec<&'static str>)>,
    rejection: Option<PreFilterRejection>,
    finished: bool,
}

/// Upstream: framework/runtime/framework.go (RunPreFilterPlugins). An Unschedulable answer lets the others
/// run, because preemption may come later; an unresolvable one stops at once.
fn pre_filter<'a>(profile: &'a Profile, pod: &'a PodInfo, snapshot: &'a ClusterSnapshot) -> Result<PreFiltered<'a>, String> {
    let mut result =
        PreFiltered { filters: Filters { pod, snapshot, ready: Vec::new() }, restricted: None, rejection: None, finished: true };
    for plugin in &profile.filters {
        let name = plugin.name();
        let filter = match plugin.prepare(pod, snapshot) {
            PreFilterResult::Skip => continue,
            PreFilterResult::Continue(filter) => filter,
            PreFilterResult::Rejected(Status::Error(message)) => return Err(format!("running PreFilter plugin {name:?}: {message}")),
            PreFilterResult::Rejected(status) => {
                let stop = matches!(status, Status::UnschedulableAndUnresolvable(_));
                result.rejection = Some(PreFilterRejection { plugin: name, status });
                if stop {
                    result.finished = false;
                    return Ok(result);
                }
                continue;
            }
            PreFilterResult::Restrict(filter, nodes) => {
                let (names, plugins) = match result.restricted.take() {
                    None => (nodes, vec![name]),
                    Some((known, mut plugins)) => {
                        plugins.push(name);
                        plugins.sort_unstable();
                        (known.intersection(&nodes).cloned().collect(), plugins)
                    }
                };
                let none_left = names.is_empty();
                let reason = match plugins.as_slice() {
                    [only] => format!("node(s) didn't satisfy plugin {only}"),
                    several => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", several.join(" ")),
                };
                result.restricted = Some((names, plugins));
                if none_left {
                    let status = Status::unschedulable_and_unresolvable(reason);
                    result.rejection = Some(PreFilterRejection { plugin: name, status });
                    result.finished = false;
                    return Ok(result);
                }
                filter
            }
        };
        result.filters.ready.push(Ready { name, filter });
    }
    Ok(result)
}

/// Runs one attempt. `start` is where the node list begins, and is moved on.
pub(crate) fn attempt(
    profile: &Profile,
    pod: &PodInfo,
    snapshot: &ClusterSnapshot,
    settings: &Settings<'_>,
    start: &mut usize,
    scratch: &mut Scratch,
) -> Attempt {
    scratch.feasible.clear();
    scratch.rejected.clear();
    let mut attempt = Attempt::new(settings.detail);
    if snapshot.nodes().is_empty() {
        attempt.message = Some("no nodes available to schedule pods".to_owned());
        return attempt;
    }
    let pre_filtered = match pre_filter(profile, pod, snapshot) {
        Ok(pre_filtered) => pre_filtered,
        Err(message) => return Attempt { error: Some(message), ..attempt },
    };
    if let Some(rejection) = &pre_filtered.rejection {
        attempt.rejected_by.push(rejection.plugin);
        attempt.pre_filter = Some(rejection.clone());
        let message = rejection.status.reasons().iter().map(port::Reason::as_str).collect::<Vec<_>>().join(", ");
        attempt.message = Some(format!("0/{} nodes are available: {message}.", snapshot.nodes().len()));
        post_filter(profile, &pre_filtered, Some(&rejection.status), settings.extenders, &mut attempt);
        return attempt;
    }
    let absent = restrict(&pre_filtered, &mut attempt);
    if let Err(message) = find_feasible(profile, &pre_filtered, settings.extenders, start, scratch, &mut attempt) {
        return Attempt { error: Some(message), ..attempt };
    }
    attempt.feasible_nodes = scratch.feasible.len();
    if scratch.feasible.is_empty() {
        attempt.rejected = std::mem::take(&mut scratch.rejected);
        no_node_left(profile, &pre_filtered, absent.as_ref(), settings.extenders, &mut attempt);
    } else if let Err(message) = choose(profile, pod, snapshot, settings, scratch, &mut attempt) {
        return Attempt { error: Some(message), ..attempt };
    } else if settings.detail == Detail::Full {
        attempt.rejected = std::mem::take(&mut scratch.rejected);
    }
    attempt
}

/// Whether every filter lets `pod` onto `node`.
pub(crate) fn fits(profile: &Profile, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
    let Ok(PreFiltered { filters, restricted, rejection: None, .. }) = pre_filter(profile, pod, snapshot) else { return false };
    let info = snapshot.node(node);
    restricted.is_none_or(|(names, _)| names.contains(info.name())) && filters.check(&filters.ready, info).is_ok()
}

/// The first filter that keeps `pod` off `node`, and what it says.
pub(crate) fn rejection(profile: &Profile, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Option<(&'static str, Status)> {
    let PreFiltered { filters, restricted, rejection, .. } = pre_filter(profile, pod, snapshot).ok()?;
    if let Some(PreFilterRejection { plugin, status }) = rejection {
        return Some((plugin, status));
    }
    let info = snapshot.node(node);
    if let Some((_, plugins)) = restricted.filter(|(names, _)| !names.contains(info.name())) {
        let text = format!("node(s) didn't satisfy plugin(s) [{}]", plugins.join(" "));
        return Some((plugins.first().copied().unwrap_or(""), Status::unschedulable_and_unresolvable(text)));
    }
    filters.check(&filters.ready, info).err()
}

/// Notes the restriction to named nodes; gives the status of all others.
fn restrict(pre_filtered: &PreFiltered<'_>, attempt: &mut Attempt) -> Option<Status> {
    let (names, plugins) = pre_filtered.restricted.as_ref()?;
    attempt.pre_filter_nodes = Some(names.iter().cloned().collect());
    attempt.rejected_by.extend(plugins);
    Some(Status::unschedulable_and_unresolvable(format!("node(s) didn't satisfy plugin(s) [{}]", plugins.join(" "))))
}

/// Fills `scratch.feasible` and `scratch.rejected`.
fn find_feasible(
    profile: &Profile,
    pre_filtered: &PreFiltered<'_>,
    extenders: &Extenders,
    start: &mut usize,
    scratch: &mut Scratch,
    attempt: &mut Attempt,
) -> Result<(), String> {
    let filters = &pre_filtered.filters;
    let snapshot = filters.snapshot;
    let mut tried: Option<NodeIndex> = None;
    if let Some(nominated) = filters.pod.nominated_node.as_ref().and_then(|name| snapshot.find(name)) {
        match filters.check(&filters.ready, snapshot.node(nominated)) {
            Ok(()) => {
                attempt.via_nominated_node = true;
                attempt.evaluated_nodes = 1;
                attempt.sampling = Sampling { feasible: 1, processed: 0, next_start: *start };
                scratch.feasible.push(nominated);
                if pass_extenders(extenders, filters, scratch, attempt).is_ok() && !scratch.feasible.is_empty() {
                    return Ok(());
                }
                // Turned down, or an extender failed: upstream goes on with all nodes, this one among them.
                scratch.feasible.clear();
                attempt.via_nominated_node = false;
            }
            Err((_, Status::Error(message))) => return Err(message.to_string()),
            Err((name, status)) => {
                tried = Some(nominated);
                scratch.rejected.push((nominated, name, status));
            }
        }
    }
    let named: Option<Vec<NodeIndex>> =
        pre_filtered.restricted.as_ref().map(|(names, _)| names.iter().filter_map(|name| snapshot.find(name)).collect());
    let nodes = named.as_deref().unwrap_or_else(|| snapshot.list_order());
    let any_will_do = profile.scores.is_empty() && !extenders.filter_or_prioritize();
    let wanted = if any_will_do { 1 } else { feasible_nodes_to_find(nodes.len(), profile.percentage_of_nodes_to_score) };
    for step in 0..nodes.len() {
        let index = nodes[(*start + step) % nodes.len()];
        match filters.check(&filters.ready, snapshot.node(index)) {
            // One more than wanted ends the search; that one is dropped.
            Ok(()) if scratch.feasible.len() == wanted => break,
            Ok(()) => scratch.feasible.push(index),
            Err((_, Status::Error(message))) => return Err(message.to_string()),
            Err((_, _)) if tried == Some(index) => {}
            Err((name, status)) => scratch.rejected.push((index, name, status)),
        }
    }
    let processed = scratch.feasible.len() + scratch.rejected.len();
    *start = (*start + processed) % snapshot.nodes().len();
    attempt.sampling = Sampling { feasible: scratch.feasible.len(), processed, next_start: *start };
    pass_extenders(extenders, filters, scratch, attempt)?;
    attempt.evaluated_nodes = scratch.feasible.len() + scratch.rejected.len();
    Ok(())
}

/// Lets extenders turn feasible nodes down.
fn pass_extenders(extenders: &Extenders, filters: &Filters<'_>, scratch: &mut Scratch, attempt: &mut Attempt) -> Result<(), String> {
    if extenders.is_empty() {
        return Ok(());
    }
    let before = scratch.feasible.len();
    extenders.filter(filters.pod, filters.snapshot, &mut scratch.feasible, &mut scratch.rejected)?;
    if scratch.feasible.len() != before && !attempt.rejected_by.contains(&Extenders::NAME) {
        attempt.rejected_by.push(Extenders::NAME);
    }
    Ok(())
}

fn no_node_left(profile: &Profile, pre_filtered: &PreFiltered<'_>, absent: Option<&Status>, extenders: &Extenders, attempt: &mut Attempt) {
    let all = pre_filtered.filters.snapshot.nodes().len();
    let mut reasons = Histogram::default();
    for (_, name, status) in &attempt.rejected {
        reasons.add(status, 1);
        if !attempt.rejected_by.contains(name) {
            attempt.rejected_by.push(name);
        }
    }
    if let Some(status) = absent {
        reasons.add(status, all - attempt.rejected.len());
    }
    attempt.rejected_by.sort_unstable();
    attempt.message = Some(reasons.message(all));
    post_filter(profile, pre_filtered, absent, extenders, attempt);
}

/// Upstream: framework/runtime/framework.go (RunPostFilterPlugins).
fn post_filter(profile: &Profile, pre_filtered: &PreFiltered<'_>, absent: Option<&Status>, extenders: &Extenders, attempt: &mut Attempt) {
    let rejected = std::mem::take(&mut attempt.rejected);
    let failed = FailedAttempt {
        pod: pre_filtered.filters.pod,
        snapshot: pre_filtered.filters.snapshot,
        statuses: &rejected,
        absent,
        pre_filter_finished: pre_filtered.finished,
        rehearsals: &pre_filtered.filters,
        extenders,
    };
    let mut reasons: Vec<String> = Vec::new();
    for plugin in &profile.post_filters {
        match plugin.post_filter(&failed) {
            PostFilterResult::Nominated { chosen, cleared_nominations, candidates } => {
                attempt.preemption = Some((chosen, cleared_nominations, candidates));
                attempt.clear_nomination = false;
                reasons.clear();
                break;
            }
            PostFilterResult::Unschedulable { reason, clear_nomination } => {
                reasons.push(reason);
                attempt.clear_nomination |= clear_nomination;
            }
            PostFilterResult::Error(message) => {
                attempt.post_filter_failed = true;
                attempt.clear_nomination = false;
                reasons = vec![message];
                break;
            }
        }
    }
    attempt.rejected = rejected;
    if let (Some(message), false) = (&mut attempt.message, reasons.is_empty()) {
        message.push(' ');
        message.push_str(&reasons.join(", "));
    }
}

/// Scores the feasible nodes and takes one.
fn choose(
    profile: &Profile,
    pod: &PodInfo,
    snapshot: &ClusterSnapshot,
    settings: &Settings<'_>,
    scratch: &mut Scratch,
    attempt: &mut Attempt,
) -> Result<(), String> {
    let Scratch { feasible, totals, scores, .. } = scratch;
    let full = settings.detail == Detail::Full;
    if feasible.len() == 1 && !full {
        attempt.chosen = Some(feasible[0]);
        attempt.argmax_size = 1;
        return Ok(());
    }
    totals.clear();
    totals.resize(feasible.len(), 0);
    if full {
        attempt.feasible = feasible.iter().map(|node| FeasibleNode { node: *node, total: 0, scores: Vec::new() }).collect();
    }
    for (plugin, weight) in &profile.scores {
        if !plugin.score_all(pod, snapshot, feasible, scores) {
            continue;
        }
        for (total, score) in totals.iter_mut().zip(scores.iter()) {
            *total += score * weight;
        }
        if let Some(wrong) = scores.iter().find(|score| !(0..=port::MAX_NODE_SCORE).contains(*score)) {
            let name = plugin.name();
            return Err(format!("plugin {name:?} returns an invalid score {wrong}, it should in the range of [0, 100] after normalizing"));
        }
        for (node, score) in attempt.feasible.iter_mut().zip(scores.iter()) {
            node.scores.push((plugin.name(), score * weight));
        }
    }
    if !settings.extenders.is_empty() {
        settings.extenders.prioritize(pod, snapshot, feasible, scores);
        totals.iter_mut().zip(scores.iter()).for_each(|(total, score)| *total += score);
        for (node, score) in attempt.feasible.iter_mut().zip(scores.iter()).filter(|(_, score)| **score != 0) {
            node.scores.push((Extenders::NAME, *score));
        }
    }
    for (node, total) in attempt.feasible.iter_mut().zip(totals.iter()) {
        node.total = *total;
    }
    let place = select(settings.tie_break, pod.uid, snapshot, feasible, totals);
    attempt.chosen = Some(feasible[place]);
    attempt.total = totals[place];
    attempt.argmax_size = totals.iter().filter(|total| **total == attempt.total).count();
    Ok(())
}
