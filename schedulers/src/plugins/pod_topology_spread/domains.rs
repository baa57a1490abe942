//! Matching pods per topology value, for the constraints of one pod: a tally, so that an attempt looks only
//! at nodes that changed since the last attempt of such a pod.
//!
//! Invariant: a value is known as long as a node with it counts, be it with no pods.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::{PodSpec, Str};
use port::{NodeInfo, Tally};
use rustc_hash::FxHashMap;

use super::{Constraint, HOSTNAME, has_all_keys};

/// The least count where no node counted, as upstream starts from it.
const NO_DOMAIN: i64 = i32::MAX as i64;

#[derive(Clone, Copy, Default)]
struct Domain {
    pods: i64,
    nodes: i64,
}

/// The values of one constraint's key.
#[derive(Clone, Default)]
pub(crate) struct Domains {
    by_value: FxHashMap<Str, Domain>,
    /// How many values have so many pods: its first key is the least.
    by_pods: BTreeMap<i64, usize>,
}

impl Domains {
    /// How many values are known.
    pub(super) fn len(&self) -> usize {
        self.by_value.len()
    }
    /// Matching pods at a value.
    pub(super) fn pods(&self, value: &Str) -> i64 {
        self.by_value.get(value).map_or(0, |domain| domain.pods)
    }
    /// The least of all values.
    pub(super) fn least(&self) -> i64 {
        self.by_pods.first_key_value().map_or(NO_DOMAIN, |(pods, _)| *pods)
    }
    /// Values with fewer matching pods than this, in order, and how many they have.
    pub(super) fn with_fewer(&self, pods: i64) -> Vec<(&Str, i64)> {
        let behind = self.by_value.iter().filter(|(_, domain)| domain.pods < pods);
        let mut found: Vec<(&Str, i64)> = behind.map(|(value, domain)| (value, domain.pods)).collect();
        found.sort_unstable();
        found
    }
    /// A pod more or less on a node that counts.
    pub(super) fn add_pods(&mut self, value: &Str, pods: i64) {
        self.change(value, Domain { pods, nodes: 0 });
    }

    fn change(&mut self, value: &Str, by: Domain) {
        let Some(domain) = self.by_value.get_mut(value) else {
            self.by_value.insert(value.clone(), by);
            *self.by_pods.entry(by.pods).or_default() += 1;
            return;
        };
        if let Some(values) = self.by_pods.get_mut(&domain.pods) {
            *values -= 1;
            if *values == 0 {
                self.by_pods.remove(&domain.pods);
            }
        }
        *domain = Domain { pods: domain.pods + by.pods, nodes: domain.nodes + by.nodes };
        if domain.nodes == 0 && by.nodes < 0 {
            self.by_value.remove(value);
        } else {
            *self.by_pods.entry(domain.pods).or_default() += 1;
        }
    }
}

/// Where a constraint counts: what of the incoming pod decides whether a node is looked at.
#[derive(Clone)]
pub(super) struct Eligibility {
    pub(super) spec: Arc<PodSpec>,
    pub(super) comparison_operators: bool,
}

impl Eligibility {
    fn of_node(&self) -> impl Hash + PartialEq + '_ {
        let spec = &self.spec;
        (&spec.node_selector, spec.affinity.node.as_ref().map(|affinity| &affinity.required), &spec.tolerations, self.comparison_operators)
    }
}

impl PartialEq for Eligibility {
    fn eq(&self, other: &Self) -> bool {
        self.of_node() == other.of_node()
    }
}
impl Eq for Eligibility {}
impl Hash for Eligibility {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of_node().hash(state);
    }
}

/// The constraints of one kind of a pod.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spreading {
    pub(super) namespace: Str,
    pub(super) constraints: Arc<[Constraint]>,
    pub(super) eligibility: Eligibility,
    /// Nodes that lack a key take no part. Without this a missing value is one more domain (upstream reads
    /// the label without asking).
    pub(super) needs_all_keys: bool,
    /// Host names are not summed up, since a score counts them node by node.
    pub(super) is_soft: bool,
}

/// What a node contributes to one constraint.
#[derive(Clone, PartialEq)]
pub(crate) struct Counted {
    /// Matching pods on the node.
    pub(super) pods: i64,
    /// The domain they count for.
    value: Option<Str>,
}

impl Spreading {
    fn value(&self, constraint: &Constraint, node: &NodeInfo) -> Option<Str> {
        if self.is_soft && &*constraint.key == HOSTNAME {
            return None;
        }
        let includes = constraint.includes(&self.eligibility, node);
        includes.then(|| node.labels().get(&constraint.key).cloned().unwrap_or_default())
    }

    fn change(total: &mut Arc<Vec<Domains>>, part: &[Counted], sign: i64) {
        if part.iter().all(|counted| counted.value.is_none()) {
            return;
        }
        let total = Arc::make_mut(total);
        total.resize_with(part.len(), Domains::default);
        for (domains, counted) in total.iter_mut().zip(part) {
            if let Some(value) = &counted.value {
                domains.change(value, Domain { pods: sign * counted.pods, nodes: sign });
            }
        }
    }
}

impl Tally for Spreading {
    /// One entry per constraint; none when the node takes no part.
    type Part = Vec<Counted>;
    /// One entry per constraint; none when no node takes part.
    type Total = Arc<Vec<Domains>>;

    fn part(&self, node: &NodeInfo) -> Vec<Counted> {
        if self.needs_all_keys && !has_all_keys(&self.constraints, node) {
            return Vec::new();
        }
        let mut part: Vec<Counted> = Vec::with_capacity(self.constraints.len());
        for (at, constraint) in self.constraints.iter().enumerate() {
            // Default constraints share one selector.
            let same = at > 0 && self.constraints[at - 1].selector == constraint.selector;
            let pods = if same { part[at - 1].pods } else { constraint.count(&self.namespace, node) };
            part.push(Counted { pods, value: self.value(constraint, node) });
        }
        part
    }

    fn add(&self, total: &mut Arc<Vec<Domains>>, part: &Vec<Counted>) {
        Self::change(total, part, 1);
    }

    fn subtract(&self, total: &mut Arc<Vec<Domains>>, part: &Vec<Counted>) {
        Self::change(total, part, -1);
    }
}
