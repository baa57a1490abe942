//! One attempt, explained: what every plugin gave every node, and what would make the others fit.
//!
//! Invariants:
//! - It reads an attempt that was made and changes nothing: neither the snapshot nor the rotating start.
//! - Every filter is asked about a node that was turned down, not only up to the first that says no: a node in whose
//!   way stands one thing is nearer than one with two.

use api::{Explanation, Hypothetical, Objection, PluginScore, PreemptionPolicy, Room, ScoredNode, Str, TurnedDown};
use port::{Candidate, ClusterSnapshot, Detail, NodeIndex, NodeInfo, PodInfo, Status, StatusCode};

use super::{Attempt, Filters, Profile, Ready, Scratch, Settings, TieBreak, fork, pre_filter};
use crate::extenders::Extenders;

/// Why `attempt`, which was made of `pod` on `snapshot`, came to what it came to.
pub(crate) fn explain(profile: &Profile, pod: &PodInfo, snapshot: &ClusterSnapshot, attempt: &Attempt) -> Explanation {
    let name = |node: NodeIndex| snapshot.node(node).name().clone();
    let mut explanation = Explanation {
        nodes: snapshot.nodes().len() as u32,
        evaluated_nodes: attempt.evaluated_nodes as u32,
        chosen: attempt.chosen.map(name),
        via_nominated_node: attempt.via_nominated_node,
        pod_objections: attempt.pre_filter.iter().filter_map(|rejection| objection(rejection.plugin, &rejection.status)).collect(),
        scored: scored(profile, pod, snapshot, attempt),
        message: attempt.error.as_ref().or(attempt.message.as_ref()).map(String::as_str).unwrap_or_default().into(),
        ..Explanation::default()
    };
    if let Some((chosen, _, candidates)) = &attempt.preemption {
        let others = candidates.iter().filter(|other| other.node != chosen.node);
        explanation.rooms = std::iter::once(chosen).chain(others).map(|candidate| room(candidate, snapshot)).collect();
    }
    if attempt.pre_filter.is_none() && attempt.error.is_none() {
        explanation.turned_down = turned_down(profile, pod, snapshot, attempt);
        if attempt.chosen.is_none() && attempt.preemption.is_none() {
            explanation.hypothetical = hypothetical(profile, pod, snapshot);
        }
    }
    explanation
}

/// A pod that PreEnqueue holds back, explained.
pub(crate) fn explain_gate(snapshot: &ClusterSnapshot, plugin: &str, code: StatusCode, reasons: Vec<Str>) -> Explanation {
    let held = Objection { plugin: plugin.into(), code: code_name(code).into(), reasons, remedies: Vec::new() };
    Explanation { nodes: snapshot.nodes().len() as u32, pod_objections: vec![held], ..Explanation::default() }
}

const fn code_name(code: StatusCode) -> &'static str {
    match code {
        StatusCode::Unschedulable => "Unschedulable",
        StatusCode::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
        StatusCode::Error => "Error",
    }
}

/// What `status` holds against a node; `None` when that is nothing.
fn objection(plugin: &str, status: &Status) -> Option<Objection> {
    let mut reasons: Vec<Str> = status.reasons().iter().map(|reason| reason.as_str().into()).collect();
    if let Status::Error(message) = status {
        reasons.push(message.clone());
    }
    reasons.sort_unstable();
    Some(Objection { plugin: plugin.into(), code: code_name(status.code()?).into(), reasons, remedies: Vec::new() })
}

fn room(candidate: &Candidate, snapshot: &ClusterSnapshot) -> Room {
    Room {
        node: snapshot.node(candidate.node).name().clone(),
        victims: candidate.victims.iter().map(|victim| victim.key.to_string().into()).collect(),
        pdb_violations: candidate.pdb_violations,
    }
}

fn scored(profile: &Profile, pod: &PodInfo, snapshot: &ClusterSnapshot, attempt: &Attempt) -> Vec<ScoredNode> {
    let nodes: Vec<NodeIndex> = attempt.feasible.iter().map(|found| found.node).collect();
    let mut scored: Vec<ScoredNode> = attempt
        .feasible
        .iter()
        .map(|found| ScoredNode { node: snapshot.node(found.node).name().clone(), total: found.total, scores: Vec::new() })
        .collect();
    let mut normalized = Vec::new();
    for (plugin, weight) in &profile.scores {
        let Some(raw) = plugin.raw_scores(pod, snapshot, &nodes) else { continue };
        plugin.score_all(pod, snapshot, &nodes, &mut normalized);
        for ((node, raw), normalized) in scored.iter_mut().zip(raw).zip(&normalized) {
            let (normalized, weight) = (*normalized, *weight);
            node.scores.push(PluginScore { plugin: plugin.name().into(), raw, normalized, weight });
        }
    }
    // What no plugin of the profile gave.
    for node in &mut scored {
        let others = node.total - node.scores.iter().map(PluginScore::weighted).sum::<i64>();
        if others != 0 {
            node.scores.push(PluginScore { plugin: "others".into(), raw: others, normalized: others, weight: 1 });
        }
    }
    scored.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.node.cmp(&b.node)));
    scored
}

/// Every node that was looked at in vain, or that PreFilter left out, nearest first.
fn turned_down(profile: &Profile, pod: &PodInfo, snapshot: &ClusterSnapshot, attempt: &Attempt) -> Vec<TurnedDown> {
    let Ok(pre_filtered) = pre_filter(profile, pod, snapshot) else { return Vec::new() };
    let filters = &pre_filtered.filters;
    let mut nodes: Vec<(TurnedDown, u64)> = Vec::new();
    let mut add = |info: &NodeInfo, objections: Vec<Objection>| {
        let node = TurnedDown { node: info.name().clone(), objections };
        let missing = node.missing_permille();
        nodes.push((node, missing));
    };
    for (index, plugin, status) in &attempt.rejected {
        let info = snapshot.node(*index);
        let mut objections = all_objections(filters, info);
        // Whoever turned it down and is no filter of the profile cannot be asked again.
        if !objections.iter().any(|objection| *objection.plugin == **plugin) {
            objections.extend(objection(plugin, status));
        }
        objections.sort_by_key(|objection| *objection.plugin != **plugin);
        add(info, objections);
    }
    if let (Some((names, plugins)), None) = (&pre_filtered.restricted, attempt.chosen) {
        for info in snapshot.nodes().iter().filter(|info| !names.contains(info.name())) {
            let mut objections = all_objections(filters, info);
            if !objections.iter().any(|objection| plugins.contains(&&*objection.plugin)) {
                let left_out = Status::unschedulable_and_unresolvable("node(s) left out by PreFilter");
                objections.extend(plugins.iter().filter_map(|plugin| objection(plugin, &left_out)));
            }
            add(info, objections);
        }
    }
    nodes.sort_by(|(a, a_missing), (b, b_missing)| (a.obstacles(), a_missing, &a.node).cmp(&(b.obstacles(), b_missing, &b.node)));
    nodes.into_iter().map(|(node, _)| node).collect()
}

/// What every filter holds against a node, with and without the pods nominated to it.
fn all_objections(filters: &Filters<'_>, info: &NodeInfo) -> Vec<Objection> {
    let mut found = Vec::new();
    let nominated = filters.nominated(info);
    if !nominated.is_empty() {
        let mut imagined = info.clone();
        let mut forked = fork(&filters.ready);
        for other in nominated {
            imagined.add_pod(other.clone());
            forked.iter_mut().for_each(|ready| ready.filter.add_pod(other, &imagined));
        }
        ask(&forked, &imagined, filters.snapshot, &mut found);
    }
    ask(&filters.ready, info, filters.snapshot, &mut found);
    found
}

fn ask(ready: &[Ready<'_>], info: &NodeInfo, snapshot: &ClusterSnapshot, found: &mut Vec<Objection>) {
    for Ready { name, filter } in ready {
        if found.iter().any(|known| &*known.plugin == *name) {
            continue;
        }
        if let Some(mut no) = objection(name, &filter.filter(info)) {
            no.remedies = filter.remedies(info, snapshot);
            found.push(no);
        }
    }
}

/// Whether preemption would make room for the pod were it more important, and from which priority on. Extenders
/// are not asked: they would take it for a real attempt.
fn hypothetical(profile: &Profile, pod: &PodInfo, snapshot: &ClusterSnapshot) -> Option<Hypothetical> {
    let mut spec = (*pod.spec).clone();
    spec.priority = i32::MAX;
    spec.preemption_policy = PreemptionPolicy::PreemptLowerPriority;
    let ambitious = PodInfo { spec: spec.into(), nominated_node: None, ..pod.clone() };
    let extenders = Extenders::default();
    let settings = Settings { tie_break: &TieBreak::Name, extenders: &extenders, detail: Detail::Outcome };
    let attempt = super::attempt(profile, &ambitious, snapshot, &settings, &mut 0, &mut Scratch::default());
    let (chosen, ..) = attempt.preemption?;
    let highest = chosen.victims.first()?.spec.priority;
    let priority_above = (pod.spec.priority <= highest).then_some(highest);
    let never_preempts = pod.spec.preemption_policy == PreemptionPolicy::Never;
    (priority_above.is_some() || never_preempts).then(|| Hypothetical { priority_above, never_preempts, room: room(&chosen, snapshot) })
}
