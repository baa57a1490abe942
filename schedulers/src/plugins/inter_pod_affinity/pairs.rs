//! Sums per topology pair (key and value), and the tallies that keep them from attempt to attempt.
//!
//! Invariant: a pair is there as long as some term counts for it, whatever the sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Labels, Str};
use port::{NodeInfo, PodInfo, Tally};
use rustc_hash::FxHashMap;

use super::{OwnTerm, matches, matches_all, preferred, required};

/// What counts for one topology pair.
#[derive(Clone, Copy, PartialEq, Default)]
pub(crate) struct Pair {
    sum: i64,
    /// Terms of pods that count for it.
    terms: i64,
}

/// A number per topology key and value.
#[derive(Clone, Default)]
pub(crate) struct PairCounts(BTreeMap<Str, FxHashMap<Str, Pair>>);

impl PairCounts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Topology keys of all pairs, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Str> {
        self.0.keys()
    }
    /// The number of one pair.
    pub(super) fn get(&self, key: &Str, value: &Str) -> i64 {
        self.0.get(key).and_then(|values| values.get(value)).map_or(0, |pair| pair.sum)
    }
    /// The numbers of a node's pairs.
    pub(super) fn of_node(&self, node: &NodeInfo) -> impl Iterator<Item = i64> {
        self.0.iter().filter_map(|(key, values)| values.get(node.labels().get(key)?)).map(|pair| pair.sum)
    }
    /// Adds the amount of some terms to a pair, or takes it back (both negated).
    pub(super) fn change(&mut self, key: &Str, value: &Str, amount: i64, terms: i64) {
        if !self.0.contains_key(key) {
            self.0.insert(key.clone(), FxHashMap::default());
        }
        let Some(values) = self.0.get_mut(key) else { return };
        let by = Pair { sum: amount, terms };
        let Some(pair) = values.get_mut(value) else {
            values.insert(value.clone(), by);
            return;
        };
        *pair = Pair { sum: pair.sum + amount, terms: pair.terms + terms };
        if pair.terms == 0 {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }
}

/// What a node's pods add to its pairs: one entry per key.
pub(crate) type Amounts = Vec<(Str, Str, Pair)>;

fn push(amounts: &mut Amounts, node: &NodeInfo, key: &Str, amount: i64) {
    if let Some((_, _, pair)) = amounts.iter_mut().find(|(known, ..)| known == key) {
        *pair = Pair { sum: pair.sum + amount, terms: pair.terms + 1 };
    } else if let Some(value) = node.labels().get(key) {
        amounts.push((key.clone(), value.clone(), Pair { sum: amount, terms: 1 }));
    }
}

fn change(total: &mut Arc<PairCounts>, amounts: &Amounts, sign: i64) {
    if !amounts.is_empty() {
        let total = Arc::make_mut(total);
        amounts.iter().for_each(|(key, value, pair)| total.change(key, value, sign * pair.sum, sign * pair.terms));
    }
}

/// How many nodes have pods with terms about others, and with required terms against others.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct NodesWithTerms;

impl Tally for NodesWithTerms {
    type Part = (bool, bool);
    type Total = (usize, usize);

    fn part(&self, node: &NodeInfo) -> (bool, bool) {
        (node.has_pods_with_affinity(), node.has_pods_with_required_anti_affinity())
    }
    fn add(&self, (any, against): &mut (usize, usize), part: &(bool, bool)) {
        *any += usize::from(part.0);
        *against += usize::from(part.1);
    }
    fn subtract(&self, (any, against): &mut (usize, usize), part: &(bool, bool)) {
        *any -= usize::from(part.0);
        *against -= usize::from(part.1);
    }
}

/// The incoming pod as terms of others see it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) namespace: Str,
    pub(super) labels: Arc<Labels>,
    pub(super) namespace_labels: Arc<Labels>,
}

/// Existing pods' required terms against pods like this one.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct ExistingAntiAffinity(pub(super) Target);

impl Tally for ExistingAntiAffinity {
    type Part = Amounts;
    type Total = Arc<PairCounts>;

    fn part(&self, node: &NodeInfo) -> Amounts {
        let mut amounts = Amounts::new();
        if node.has_pods_with_required_anti_affinity() {
            for existing in &node.pods {
                for term in required(existing.spec.affinity.pod_anti.as_ref()) {
                    if matches(term, &existing.key.namespace, &self.0) {
                        push(&mut amounts, node, &term.topology_key, 1);
                    }
                }
            }
        }
        amounts
    }
    fn add(&self, total: &mut Arc<PairCounts>, part: &Amounts) {
        change(total, part, 1);
    }
    fn subtract(&self, total: &mut Arc<PairCounts>, part: &Amounts) {
        change(total, part, -1);
    }
}

/// Existing pods that all of these terms are about; or, `each` by itself, that one of them is about.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Matching {
    pub(super) terms: Arc<[OwnTerm]>,
    pub(super) each: bool,
}

impl Matching {
    /// The topology keys for which an existing pod counts.
    pub(super) fn keys<'a>(&'a self, existing: &'a PodInfo) -> impl Iterator<Item = &'a Str> {
        let all = !self.each && matches_all(&self.terms, existing);
        self.terms.iter().filter(move |term| all || (self.each && term.matches(existing))).map(|term| &term.key)
    }
}

impl Tally for Matching {
    type Part = Amounts;
    type Total = Arc<PairCounts>;

    fn part(&self, node: &NodeInfo) -> Amounts {
        let mut amounts = Amounts::new();
        if !self.terms.is_empty() {
            for existing in &node.pods {
                self.keys(existing).for_each(|key| push(&mut amounts, node, key, 1));
            }
        }
        amounts
    }
    fn add(&self, total: &mut Arc<PairCounts>, part: &Amounts) {
        change(total, part, 1);
    }
    fn subtract(&self, total: &mut Arc<PairCounts>, part: &Amounts) {
        change(total, part, -1);
    }
}

/// The weights of preferences, both ways: the pod's about existing pods, and theirs about it.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Weights {
    pub(super) near: Vec<OwnTerm>,
    pub(super) away: Vec<OwnTerm>,
    pub(super) target: Target,
    pub(super) hard_pod_affinity_weight: i64,
}

impl Weights {
    fn weigh(&self, amounts: &mut Amounts, existing: &PodInfo, node: &NodeInfo) {
        for (terms, sign) in [(&self.near, 1), (&self.away, -1)] {
            for term in terms.iter().filter(|term| term.matches(existing)) {
                push(amounts, node, &term.key, sign * term.weight);
            }
        }
        let affinity = &existing.spec.affinity;
        let mut theirs = |term: &api::PodAffinityTerm, weight: i64| {
            if matches(term, &existing.key.namespace, &self.target) {
                push(amounts, node, &term.topology_key, weight);
            }
        };
        if self.hard_pod_affinity_weight > 0 {
            for term in required(affinity.pod.as_ref()) {
                theirs(term, self.hard_pod_affinity_weight);
            }
        }
        for term in preferred(affinity.pod.as_ref()) {
            theirs(&term.term, i64::from(term.weight));
        }
        for term in preferred(affinity.pod_anti.as_ref()) {
            theirs(&term.term, -i64::from(term.weight));
        }
    }
}

impl Tally for Weights {
    type Part = Amounts;
    type Total = Arc<PairCounts>;

    fn part(&self, node: &NodeInfo) -> Amounts {
        let mut amounts = Amounts::new();
        let has_own = !self.near.is_empty() || !self.away.is_empty();
        if has_own || node.has_pods_with_affinity() {
            for existing in &node.pods {
                self.weigh(&mut amounts, existing, node);
            }
        }
        amounts
    }
    fn add(&self, total: &mut Arc<PairCounts>, part: &Amounts) {
        change(total, part, 1);
    }
    fn subtract(&self, total: &mut Arc<PairCounts>, part: &Amounts) {
        change(total, part, -1);
    }
}
