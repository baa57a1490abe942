//! Attempts as JSON, full or compact.

use api::Str;
use port::{ClusterSnapshot, NodeIndex, PodInfo, Status, StatusCode};
use serde_json::{Map, Value, json};

use crate::framework::Attempt;

/// Which attempt it is.
pub(super) struct Step {
    pub(super) seq: usize,
    pub(super) pod: String,
    pub(super) attempt: u32,
    pub(super) compact: bool,
}

/// What there is to say about it.
pub(super) enum Entry<'a> {
    /// No profile answers to the pod's schedulerName.
    NoProfile,
    /// PreEnqueue holds it back.
    Gated { plugin: &'static str, code: StatusCode, reasons: &'a [Str] },
    /// It was tried.
    Attempted { attempt: &'a Attempt, snapshot: &'a ClusterSnapshot, sampling: bool, had_nomination: bool, cleared: &'a [String] },
}

pub(super) fn document(attempts: Vec<Value>) -> Value {
    json!({"schemaVersion": 1, "attempts": attempts})
}

pub(super) fn entry(step: &Step, entry: &Entry<'_>) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("seq", json!(step.seq));
    put("pod", json!(step.pod));
    put("attempt", json!(step.attempt));
    put("result", json!(result(entry)));
    let chosen = match entry {
        Entry::Attempted { attempt, snapshot, .. } => attempt.chosen.map(|node| snapshot.node(node).name().clone()),
        _ => None,
    };
    put("chosen", json!(chosen));
    if let Entry::Attempted { attempt, snapshot, sampling, .. } = entry
        && step.compact
    {
        compact(attempt, snapshot, *sampling, &mut fields);
    } else if step.compact {
        put("total", json!(0));
        put("argmaxSize", json!(0));
    } else {
        full(entry, &mut fields);
    }
    Value::Object(fields)
}

const fn result(entry: &Entry<'_>) -> &'static str {
    match entry {
        Entry::NoProfile => "no-profile",
        Entry::Gated { .. } => "gated",
        Entry::Attempted { attempt, .. } => {
            if attempt.error.is_some() {
                "error"
            } else if attempt.chosen.is_some() {
                "scheduled"
            } else if attempt.preemption.is_some() {
                "nominated"
            } else {
                "unschedulable"
            }
        }
    }
}

fn names(pods: &[PodInfo]) -> Vec<String> {
    pods.iter().map(|pod| pod.key.to_string()).collect()
}

fn compact(attempt: &Attempt, snapshot: &ClusterSnapshot, sampling: bool, fields: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("total", json!(attempt.total));
    put("argmaxSize", json!(attempt.argmax_size));
    if let Some((chosen, ..)) = &attempt.preemption {
        put("preemption", json!({"nominatedNode": snapshot.node(chosen.node).name(), "victims": names(&chosen.victims)}));
    }
    if sampling {
        let looked_at = attempt.sampling;
        put("sampling", json!({"feasible": looked_at.feasible, "processed": looked_at.processed, "nextStart": looked_at.next_start}));
    }
}

fn full(entry: &Entry<'_>, fields: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    let (mut argmax, mut feasible, mut infeasible) = (Vec::new(), Map::new(), Map::new());
    match entry {
        Entry::NoProfile => {}
        Entry::Gated { plugin, code, reasons } => {
            put("gate", json!({"plugin": plugin, "code": code_name(*code), "reasons": reasons}));
        }
        Entry::Attempted { attempt, snapshot, had_nomination, cleared, .. } => {
            let name = |node: NodeIndex| snapshot.node(node).name();
            if attempt.via_nominated_node {
                put("via", json!("nominatedNode"));
            }
            if let Some(rejection) = &attempt.pre_filter {
                put("preFilter", status(rejection.plugin, &rejection.status));
            }
            if let Some(nodes) = &attempt.pre_filter_nodes {
                put("preFilterNodes", json!(nodes));
            }
            if let Some(message) = attempt.error.as_ref().or(attempt.message.as_ref()) {
                put("message", json!(message));
            }
            if attempt.post_filter_failed {
                put("postFilterError", json!(true));
            }
            if let Some((chosen, _, candidates)) = &attempt.preemption {
                let candidates: Vec<Value> = candidates
                    .iter()
                    .map(|candidate| {
                        json!({"node": name(candidate.node), "victims": names(&candidate.victims),
                            "numPDBViolations": candidate.pdb_violations})
                    })
                    .collect();
                put(
                    "preemption",
                    json!({"nominatedNode": name(chosen.node), "victims": names(&chosen.victims),
                        "clearedNominations": cleared, "candidates": candidates}),
                );
            }
            if attempt.clear_nomination && *had_nomination {
                put("nominationCleared", json!(true));
            }
            let mut nodes: Vec<_> = attempt.feasible.iter().collect();
            nodes.sort_unstable_by_key(|found| name(found.node));
            for found in nodes {
                if found.total == attempt.total {
                    argmax.push(name(found.node).clone());
                }
                let mut scores = found.scores.clone();
                scores.sort_unstable();
                let scores: Map<String, Value> = scores.iter().map(|(plugin, score)| ((*plugin).to_owned(), json!(score))).collect();
                feasible.insert(name(found.node).to_string(), json!({"total": found.total, "scores": scores}));
            }
            let mut nodes: Vec<_> = attempt.rejected.iter().collect();
            nodes.sort_unstable_by_key(|(node, ..)| name(*node));
            for (node, plugin, answer) in nodes {
                infeasible.insert(name(*node).to_string(), status(plugin, answer));
            }
        }
    }
    put("argmax", json!(argmax));
    put("feasible", Value::Object(feasible));
    put("infeasible", Value::Object(infeasible));
}

const fn code_name(code: StatusCode) -> &'static str {
    match code {
        StatusCode::Unschedulable => "Unschedulable",
        StatusCode::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
        StatusCode::Error => "Error",
    }
}

fn status(plugin: &str, status: &Status) -> Value {
    let mut reasons: Vec<&str> = status.reasons().iter().map(port::Reason::as_str).collect();
    reasons.sort_unstable();
    json!({"plugin": plugin, "code": status.code().map(code_name), "reasons": reasons})
}
