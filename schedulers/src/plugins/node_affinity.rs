//! NodeAffinity: nodeSelector, required and preferred node affinity, and the profile's addedAffinity.
//!
//! Invariants: terms are ORed, what stands in a term is ANDed, an empty term matches nothing; nodeSelector,
//! required affinity and addedAffinity must all hold. Upstream: plugins/nodeaffinity.

use std::collections::BTreeSet;

use crate::config::args::{Reader, fields, term};
use api::{NodeSelectorTerm, Operator, PodSpec, PreferredSchedulingTerm, Str};
use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, NodeIndex, NodeInfo, Plugin, PodInfo, PreFilterResult, PreScoreResult, QueueingHint,
    Remedy, ScorePlugin, Status,
};

use super::wording;

const REASON_POD: &str = "node(s) didn't match Pod's node affinity/selector";
const REASON_ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";
const REASON_CONFLICT: &str = "pod affinity terms conflict";

#[derive(Default)]
pub(crate) struct NodeAffinity {
    pub(crate) added_required: Option<Vec<NodeSelectorTerm>>,
    pub(crate) added_preferred: Vec<PreferredSchedulingTerm>,
}

/// Whether the pod's own nodeSelector and required affinity admit the node.
pub(crate) fn required_matches(spec: &PodSpec, node: &NodeInfo) -> bool {
    let labels = node.labels();
    spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required_terms(spec).is_none_or(|terms| any_term_matches(terms, node))
}

fn required_terms(spec: &PodSpec) -> Option<&Vec<NodeSelectorTerm>> {
    spec.affinity.node.as_ref().and_then(|affinity| affinity.required.as_ref())
}

fn any_term_matches(terms: &[NodeSelectorTerm], node: &NodeInfo) -> bool {
    terms.iter().any(|term| term.matches(node.name(), node.labels()))
}

fn preferred_sum(terms: &[PreferredSchedulingTerm], node: &NodeInfo) -> i64 {
    terms.iter().filter(|term| term.preference.matches(node.name(), node.labels())).map(|term| i64::from(term.weight)).sum()
}

/// The nodes named by `metadata.name`, when every term names some: intersection in a term, union over terms.
fn named_nodes(terms: &[NodeSelectorTerm]) -> Option<BTreeSet<Str>> {
    let mut nodes = BTreeSet::new();
    for term in terms {
        let mut of_term: Option<BTreeSet<Str>> = None;
        for field in &term.match_fields {
            if &*field.key == "metadata.name" && field.operator == Operator::In {
                let named: BTreeSet<Str> = field.values.iter().cloned().collect();
                of_term = Some(of_term.map_or_else(|| named.clone(), |before| before.intersection(&named).cloned().collect()));
            }
        }
        nodes.extend(of_term?);
    }
    Some(nodes)
}

impl NodeAffinity {
    fn admits(&self, node: &NodeInfo) -> bool {
        self.added_required.as_ref().is_none_or(|terms| any_term_matches(terms, node))
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let admitted = |node: &NodeInfo| self.admits(node) && required_matches(&pod.spec, node);
        super::queue_if(match event {
            ClusterEvent::NodeAdded(node) => admitted(snapshot.node(*node)),
            // A change of what addedAffinity asks for does not count, as upstream.
            ClusterEvent::NodeUpdated { before, node } => !required_matches(&pod.spec, before) && admitted(snapshot.node(*node)),
            _ => false,
        })
    }
}

impl FilterPlugin for NodeAffinity {
    type Prepared = ();

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<()> {
        let required = required_terms(&pod.spec);
        if required.is_none() && self.added_required.is_none() && pod.spec.node_selector.is_empty() {
            return PreFilterResult::Skip;
        }
        match required.filter(|terms| !terms.is_empty()).and_then(|terms| named_nodes(terms)) {
            None => PreFilterResult::Continue(()),
            Some(nodes) if nodes.is_empty() => PreFilterResult::Rejected(Status::unschedulable_and_unresolvable(REASON_CONFLICT)),
            Some(nodes) => PreFilterResult::Restrict((), nodes),
        }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if !self.admits(node) {
            return Status::unschedulable_and_unresolvable(REASON_ENFORCED);
        }
        if required_matches(&pod.spec, node) { Status::Success } else { Status::unschedulable_and_unresolvable(REASON_POD) }
    }

    fn remedies(&self, (): &(), pod: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        let (name, labels) = (node.name(), node.labels());
        let mut missing: Vec<Remedy> =
            pod.spec.node_selector.iter().filter_map(|(key, value)| wording::label(key, value, labels)).collect();
        for terms in [self.added_required.as_ref(), required_terms(&pod.spec)].into_iter().flatten() {
            if !any_term_matches(terms, node) {
                missing.extend(wording::terms(terms, name, labels));
            }
        }
        missing
    }
}

fn own_preferred(pod: &PodInfo) -> &[PreferredSchedulingTerm] {
    pod.spec.affinity.node.as_ref().map_or(&[], |affinity| &affinity.preferred)
}

impl ScorePlugin for NodeAffinity {
    type Prepared = ();

    fn pre_score(&self, pod: &PodInfo, _: &ClusterSnapshot, _: &[NodeIndex]) -> PreScoreResult<()> {
        if own_preferred(pod).is_empty() && self.added_preferred.is_empty() { PreScoreResult::Skip } else { PreScoreResult::Continue(()) }
    }

    fn score(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        preferred_sum(&self.added_preferred, node) + preferred_sum(own_preferred(pod), node)
    }

    fn normalize_score(&self, (): &(), scores: &mut [i64]) {
        super::default_normalize(scores, false);
    }
}

/// From its arguments (NodeAffinityArgs).
pub(crate) fn from_args(args: &Reader<'_>) -> NodeAffinity {
    fields(args, &["addedAffinity"]);
    let added = args.get("addedAffinity");
    let (required, preferred) = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    added.fields(&[required, preferred]);
    let required = added.get(required);
    required.fields(&["nodeSelectorTerms"]);
    let terms = required.get("nodeSelectorTerms").list();
    let weighted = added.get(preferred).list();
    NodeAffinity {
        added_required: (!required.is_absent()).then(|| terms.iter().map(term).collect()),
        added_preferred: weighted
            .iter()
            .map(|item| {
                item.fields(&["weight", "preference"]);
                PreferredSchedulingTerm { weight: item.get("weight").integer(1, 1..=100) as i32, preference: term(&item.get("preference")) }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use api::Labels;
    use serde_json::json;

    use super::*;
    use crate::config::reader::Findings;

    #[test]
    fn added_affinity_is_read_as_a_pods_is() {
        let findings = RefCell::new(Findings::default());
        let value = json!({"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["4"]}]}]}}});
        let plugin = from_args(&Reader::new("args", &value, &findings));
        let admits = |generation: &str| {
            let labels = Labels::from([("gen".into(), generation.into())]);
            plugin.added_required.iter().flatten().any(|term| term.matches(&"n".into(), &labels))
        };
        assert!(admits("5") && !admits("4"));
    }
}
