//! InterPodAffinity: pods that want to be near, or away from, other pods.
//!
//! Both directions count: the incoming pod's terms over existing pods, and existing pods' terms over the
//! incoming pod. Counts are kept per topology pair (key and value). Terminating pods count.
//! Upstream: plugins/interpodaffinity.

mod pairs;

use std::sync::Arc;

use api::{LabelSelector, Labels, PodAffinityTerm, Str, WeightedPodAffinityTerm};
use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, MAX_NODE_SCORE, NodeIndex, NodeInfo, Plugin, PodInfo, PreFilterResult, PreScoreResult,
    QueueingHint, Remedy, ScorePlugin, Status,
};

use super::{namespace_labels, wording};
use crate::config::args::{Reader, fields};
use pairs::{ExistingAntiAffinity, Matching, NodesWithTerms, PairCounts, Target, Weights};

const REASON_AFFINITY: &str = "node(s) didn't match pod affinity rules";
const REASON_ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const REASON_EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

pub(crate) struct InterPodAffinity {
    pub(crate) hard_pod_affinity_weight: i64,
    pub(crate) ignore_preferred_terms_of_existing_pods: bool,
}

fn required(affinity: Option<&api::PodAffinity>) -> &[PodAffinityTerm] {
    affinity.map_or(&[], |affinity| &affinity.required)
}

fn preferred(affinity: Option<&api::PodAffinity>) -> &[WeightedPodAffinityTerm] {
    affinity.map_or(&[], |affinity| &affinity.preferred)
}

fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_some_and(|selector| selector.matches(labels))
}

/// Whether `term` of a pod in `owner_namespace` is about `target`.
fn matches(term: &PodAffinityTerm, owner_namespace: &Str, target: &Target) -> bool {
    if !selects(term.label_selector.as_ref(), &target.labels) {
        return false;
    }
    let namespace = &target.namespace;
    if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        return namespace == owner_namespace;
    }
    term.namespaces.contains(namespace) || selects(term.namespace_selector.as_ref(), &target.namespace_labels)
}

/// `pod` as terms of others see it.
fn target(pod: &PodInfo, snapshot: &ClusterSnapshot) -> Target {
    Target {
        namespace: pod.key.namespace.clone(),
        labels: pod.labels.clone(),
        namespace_labels: Arc::new(namespace_labels(snapshot, &pod.key.namespace)),
    }
}

/// A term of the incoming pod with its namespaces worked out.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnTerm {
    key: Str,
    selector: Option<LabelSelector>,
    /// `None` is every namespace.
    namespaces: Option<Vec<Str>>,
    weight: i64,
}

impl OwnTerm {
    fn new(term: &PodAffinityTerm, weight: i64, pod: &PodInfo, snapshot: &ClusterSnapshot) -> Self {
        let mut namespaces = term.namespaces.clone();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(pod.key.namespace.clone());
        }
        let everywhere = term.namespace_selector.as_ref().is_some_and(LabelSelector::is_empty);
        if let Some(selector) = term.namespace_selector.as_ref().filter(|_| !everywhere) {
            let selected = snapshot.objects().namespaces.values().filter(|namespace| selector.matches(&namespace.labels()));
            namespaces.extend(selected.map(|namespace| namespace.meta.name.clone()));
        }
        Self {
            key: term.topology_key.clone(),
            selector: term.label_selector.clone(),
            namespaces: (!everywhere).then_some(namespaces),
            weight,
        }
    }
    /// What keeps this affinity term from holding on `node`.
    fn nobody_near(&self, counts: &Counts, node: &NodeInfo) -> Option<Remedy> {
        let Some(value) = node.labels().get(&self.key) else { return Some(Remedy::new(format!("label {} is missing", self.key))) };
        let wanted = self.selector.as_ref().map_or_else(|| "nothing".to_owned(), wording::selector);
        let text = || format!("no pod with {wanted} in {}", wording::domain(&self.key, value));
        (counts.affinity.get(&self.key, value) <= 0).then(|| Remedy::new(text()))
    }
    fn matches(&self, target: &PodInfo) -> bool {
        self.namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(&target.key.namespace))
            && selects(self.selector.as_ref(), &target.labels)
    }
}

/// Says which pods near `node` are in the way; `None` when there are none.
fn keeps_away<'a>(near: impl Iterator<Item = &'a PodInfo>, why: &str, key: &Str, node: &NodeInfo) -> Option<Remedy> {
    let names = wording::pods(near);
    let value = node.labels().get(key)?;
    (!names.is_empty()).then(|| Remedy::new(format!("{why} {names}, in {}", wording::domain(key, value))))
}

fn matches_all(terms: &[OwnTerm], target: &PodInfo) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(target))
}

/// Counts by topology pair, and the incoming pod's own terms. Counts are shared with the tallies until a
/// change is imagined.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    affinity_terms: Arc<[OwnTerm]>,
    anti_affinity_terms: Arc<[OwnTerm]>,
    /// Absent only where there is nothing to count.
    target: Option<Target>,
    /// Existing pods that match all of the pod's required terms.
    affinity: Arc<PairCounts>,
    /// Existing pods that match a required anti-affinity term.
    anti_affinity: Arc<PairCounts>,
    /// Existing pods' required anti-affinity terms that match the pod.
    existing_anti_affinity: Arc<PairCounts>,
}

impl Counts {
    fn own_affinity(&self) -> Matching {
        Matching { terms: self.affinity_terms.clone(), each: false }
    }
    fn own_anti_affinity(&self) -> Matching {
        Matching { terms: self.anti_affinity_terms.clone(), each: true }
    }

    /// Counts an existing pod in (`sign` 1) or out (-1).
    fn count(&mut self, existing: &PodInfo, node: &NodeInfo, sign: i64) {
        let Some(target) = &self.target else { return };
        let change = |counts: &mut Arc<PairCounts>, key: &Str| {
            if let Some(value) = node.labels().get(key) {
                Arc::make_mut(counts).change(key, value, sign, sign);
            }
        };
        for term in required(existing.spec.affinity.pod_anti.as_ref()) {
            if matches(term, &existing.key.namespace, target) {
                change(&mut self.existing_anti_affinity, &term.topology_key);
            }
        }
        self.own_affinity().keys(existing).for_each(|key| change(&mut self.affinity, key));
        self.own_anti_affinity().keys(existing).for_each(|key| change(&mut self.anti_affinity, key));
    }

    fn affinity_holds(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        let mut pods_exist = true;
        for term in &*self.affinity_terms {
            let Some(value) = node.labels().get(&term.key) else { return false };
            pods_exist &= self.affinity.get(&term.key, value) > 0;
        }
        // The first pod of a group that wants to be together has nobody to be near.
        pods_exist || (self.affinity.is_empty() && matches_all(&self.affinity_terms, pod))
    }
    fn anti_affinity_holds(&self, node: &NodeInfo) -> bool {
        self.anti_affinity_terms
            .iter()
            .all(|term| node.labels().get(&term.key).is_none_or(|value| self.anti_affinity.get(&term.key, value) <= 0))
    }
    fn existing_anti_affinity_holds(&self, node: &NodeInfo) -> bool {
        self.existing_anti_affinity.of_node(node).all(|count| count <= 0)
    }
}

/// Whether all of `other`'s own required anti-affinity terms are about `pod`.
fn objects_to(other: &PodInfo, pod: &PodInfo, snapshot: &ClusterSnapshot) -> bool {
    let theirs = required(other.spec.affinity.pod_anti.as_ref());
    let target = target(pod, snapshot);
    !theirs.is_empty() && theirs.iter().all(|term| matches(term, &other.key.namespace, &target))
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let affinity = &pod.spec.affinity;
        let own = |affinity: Option<&api::PodAffinity>| -> Vec<OwnTerm> {
            required(affinity).iter().map(|term| OwnTerm::new(term, 0, pod, snapshot)).collect()
        };
        let (near, away) = (required(affinity.pod.as_ref()), required(affinity.pod_anti.as_ref()));
        super::queue_if(match event {
            ClusterEvent::PodAdded(added) => matches_all(&own(affinity.pod.as_ref()), added),
            // All terms at once, also of anti-affinity: upstream asks no less.
            ClusterEvent::PodDeleted(deleted) => {
                matches_all(&own(affinity.pod_anti.as_ref()), deleted) || objects_to(deleted, pod, snapshot)
            }
            ClusterEvent::PodUpdated { before, pod: changed } => {
                let became = |terms: &[OwnTerm], from: &PodInfo, to: &PodInfo| !matches_all(terms, from) && matches_all(terms, to);
                before.labels != changed.labels
                    && (changed.uid == pod.uid
                        || (changed.requested_node.is_some()
                            && (became(&own(affinity.pod.as_ref()), before, changed)
                                || became(&own(affinity.pod_anti.as_ref()), changed, before))))
            }
            ClusterEvent::NodeAdded(node) => {
                let labels = snapshot.node(*node).labels();
                near.iter().any(|term| labels.contains_key(&term.topology_key)) || !away.is_empty()
            }
            ClusterEvent::NodeUpdated { before, node } => {
                let value = |of: &Labels, term: &PodAffinityTerm| of.get(&term.topology_key).cloned();
                let values = |term: &PodAffinityTerm| (value(before.labels(), term), value(snapshot.node(*node).labels(), term));
                let differ = |(old, new): (Option<Str>, Option<Str>)| old.is_some() && new.is_some() && old != new;
                let came = |(old, new): (Option<Str>, Option<Str>)| old.is_none() && new.is_some();
                let went = |(old, new): (Option<Str>, Option<Str>)| old.is_some() && new.is_none();
                near.iter().any(|term| came(values(term)) || differ(values(term)))
                    || away.iter().any(|term| went(values(term)) || differ(values(term)))
            }
            _ => false,
        })
    }
}

impl FilterPlugin for InterPodAffinity {
    type Prepared = Counts;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Counts> {
        let own =
            |affinity: Option<&api::PodAffinity>| required(affinity).iter().map(|term| OwnTerm::new(term, 0, pod, snapshot)).collect();
        let affinity = &pod.spec.affinity;
        let mut counts = Counts {
            affinity_terms: own(affinity.pod.as_ref()),
            anti_affinity_terms: own(affinity.pod_anti.as_ref()),
            ..Counts::default()
        };
        let has_own = !counts.affinity_terms.is_empty() || !counts.anti_affinity_terms.is_empty();
        let (_, against_others) = snapshot.tally(NodesWithTerms).total;
        if !has_own && against_others == 0 {
            return PreFilterResult::Skip;
        }
        let target = target(pod, snapshot);
        if against_others > 0 {
            counts.existing_anti_affinity = snapshot.tally(ExistingAntiAffinity(target.clone())).total.clone();
        }
        if !has_own && counts.existing_anti_affinity.is_empty() {
            return PreFilterResult::Skip;
        }
        counts.target = Some(target);
        if !counts.affinity_terms.is_empty() {
            counts.affinity = snapshot.tally(counts.own_affinity()).total.clone();
        }
        if !counts.anti_affinity_terms.is_empty() {
            counts.anti_affinity = snapshot.tally(counts.own_anti_affinity()).total.clone();
        }
        PreFilterResult::Continue(counts)
    }

    fn filter(&self, counts: &Counts, pod: &PodInfo, node: &NodeInfo) -> Status {
        if !counts.affinity_holds(pod, node) {
            // Removing pods brings no friend, so preemption is no help.
            return Status::unschedulable_and_unresolvable(REASON_AFFINITY);
        }
        if !counts.anti_affinity_holds(node) {
            return Status::unschedulable(REASON_ANTI_AFFINITY);
        }
        if !counts.existing_anti_affinity_holds(node) {
            return Status::unschedulable(REASON_EXISTING);
        }
        Status::Success
    }

    fn remedies(&self, counts: &Counts, pod: &PodInfo, node: &NodeInfo, snapshot: &ClusterSnapshot) -> Vec<Remedy> {
        let nodes = snapshot.nodes();
        let mut missing = Vec::new();
        if !counts.affinity_holds(pod, node) {
            missing.extend(counts.affinity_terms.iter().filter_map(|term| term.nobody_near(counts, node)));
        }
        for term in &*counts.anti_affinity_terms {
            let near = wording::same_domain(nodes, node, &term.key).flat_map(|node| &node.pods).filter(|other| term.matches(other));
            missing.extend(keeps_away(near, "its anti-affinity forbids", &term.key, node));
        }
        let Some(target) = &counts.target else { return missing };
        for key in counts.existing_anti_affinity.keys() {
            let forbids = |other: &&PodInfo| {
                let terms = required(other.spec.affinity.pod_anti.as_ref()).iter().filter(|term| term.topology_key == *key);
                terms.into_iter().any(|term| matches(term, &other.key.namespace, target))
            };
            let near = wording::same_domain(nodes, node, key).flat_map(|node| &node.pods).filter(forbids);
            missing.extend(keeps_away(near, "kept away by", key, node));
        }
        missing
    }

    fn add_pod(&self, counts: &mut Counts, _: &PodInfo, added: &PodInfo, node: &NodeInfo) {
        counts.count(added, node, 1);
    }

    fn remove_pod(&self, counts: &mut Counts, _: &PodInfo, removed: &PodInfo, node: &NodeInfo) {
        counts.count(removed, node, -1);
    }
}

impl ScorePlugin for InterPodAffinity {
    /// The sum of weights per topology pair.
    type Prepared = Arc<PairCounts>;

    fn pre_score(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, _: &[NodeIndex]) -> PreScoreResult<Arc<PairCounts>> {
        let affinity = &pod.spec.affinity;
        let (near, away) = (preferred(affinity.pod.as_ref()), preferred(affinity.pod_anti.as_ref()));
        let has_own = !near.is_empty() || !away.is_empty();
        if !has_own && (self.ignore_preferred_terms_of_existing_pods || snapshot.tally(NodesWithTerms).total.0 == 0) {
            return PreScoreResult::Skip;
        }
        let own = |terms: &[WeightedPodAffinityTerm]| {
            terms.iter().map(|term| OwnTerm::new(&term.term, i64::from(term.weight), pod, snapshot)).collect()
        };
        let weights = Weights {
            near: own(near),
            away: own(away),
            target: target(pod, snapshot),
            hard_pod_affinity_weight: self.hard_pod_affinity_weight,
        };
        let sums = snapshot.tally(weights).total.clone();
        if sums.is_empty() { PreScoreResult::Skip } else { PreScoreResult::Continue(sums) }
    }

    fn score(&self, sums: &Arc<PairCounts>, _: &PodInfo, node: &NodeInfo) -> i64 {
        sums.of_node(node).sum()
    }

    fn normalize_score(&self, _: &Arc<PairCounts>, scores: &mut [i64]) {
        let (Some(min), Some(max)) = (scores.iter().copied().min(), scores.iter().copied().max()) else { return };
        for score in scores {
            let share = if max > min { MAX_NODE_SCORE as f64 * ((*score - min) as f64 / (max - min) as f64) } else { 0.0 };
            *score = share as i64;
        }
    }
}

/// From its arguments (InterPodAffinityArgs).
pub(crate) fn from_args(args: &Reader<'_>) -> InterPodAffinity {
    fields(args, &["hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"]);
    InterPodAffinity {
        hard_pod_affinity_weight: args.get("hardPodAffinityWeight").integer(1, 0..=100),
        ignore_preferred_terms_of_existing_pods: args.get("ignorePreferredTermsOfExistingPods").boolean(false),
    }
}
