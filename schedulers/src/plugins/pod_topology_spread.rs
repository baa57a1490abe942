//! PodTopologySpread: keeps the pods that a selector matches evenly spread over the values of a node label.
//!
//! DoNotSchedule constraints filter, ScheduleAnyway constraints score. A pod without constraints of its own
//! gets the profile's defaults, with a selector made of its Services and its owner.
//! Upstream: plugins/podtopologyspread, plugins/helper/spread.go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{LabelSelector, Labels, ObjectKey, Operator, Requirement, Str, Taint, TaintEffect, TopologySpreadConstraint, WhenUnsatisfiable};
use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, MAX_NODE_SCORE, NodeIndex, NodeInfo, Plugin, PodInfo, PreFilterResult, PreScoreResult,
    QueueingHint, Remedy, ScorePlugin, Status,
};

use super::node_affinity::required_matches;
use super::wording;

const REASON_SKEW: &str = "node(s) didn't match pod topology spread constraints";
const REASON_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const HOSTNAME: &str = "kubernetes.io/hostname";

pub(crate) struct PodTopologySpread {
    pub(crate) default_constraints: Vec<TopologySpreadConstraint>,
    /// The defaults are the built-in ones (defaultingType System).
    pub(crate) system_defaulted: bool,
    pub(crate) comparison_operators: bool,
}

/// The built-in defaults.
pub(crate) fn system_defaults() -> Vec<TopologySpreadConstraint> {
    [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)]
        .map(|(key, max_skew)| TopologySpreadConstraint {
            max_skew,
            topology_key: key.into(),
            when_unsatisfiable: WhenUnsatisfiable::ScheduleAnyway,
            label_selector: None,
            min_domains: None,
            honor_node_affinity: true,
            honor_node_taints: false,
            match_label_keys: Vec::new(),
        })
        .to_vec()
}

/// A constraint with its selector worked out.
#[derive(Clone)]
pub(crate) struct Constraint {
    key: Str,
    max_skew: i64,
    min_domains: i64,
    /// `None` matches nothing.
    selector: Option<LabelSelector>,
    honor_node_affinity: bool,
    honor_node_taints: bool,
}

impl Constraint {
    fn selects(&self, pod: &PodInfo) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels))
    }

    /// Pods on the node that count. An empty selector counts nobody (upstream: countPodsMatchSelector).
    fn count(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(selector) = self.selector.as_ref().filter(|selector| !selector.is_empty()) else { return 0 };
        let mut count = 0;
        // Pods of one template share their labels, and stand together often.
        let mut last: Option<(&Arc<Labels>, bool)> = None;
        for other in node.pods.iter().filter(|other| !other.deleting && other.key.namespace == pod.key.namespace) {
            let selected = match last {
                Some((labels, selected)) if Arc::ptr_eq(labels, &other.labels) => selected,
                _ => selector.matches(&other.labels),
            };
            last = Some((&other.labels, selected));
            count += i64::from(selected);
        }
        count
    }

    fn includes(&self, pod: &PodInfo, node: &NodeInfo, comparison_operators: bool) -> bool {
        let tolerated = |taint: &Taint| {
            taint.effect == TaintEffect::PreferNoSchedule
                || pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, comparison_operators))
        };
        (!self.honor_node_affinity || required_matches(pod, node))
            && (!self.honor_node_taints || !node.has_hard_taints() || node.node.spec.taints.iter().all(tolerated))
    }
}

fn has_all_keys(constraints: &[Constraint], node: &NodeInfo) -> bool {
    constraints.iter().all(|constraint| node.labels().contains_key(&constraint.key))
}

/// Constraints of one kind, with the pod's own values merged in for matchLabelKeys.
fn of_kind(constraints: &[TopologySpreadConstraint], pod: &PodInfo, kind: WhenUnsatisfiable) -> Vec<Constraint> {
    let with_own_values = |constraint: &TopologySpreadConstraint| {
        let mut selector = constraint.label_selector.clone()?;
        for key in &constraint.match_label_keys {
            if let Some(value) = pod.labels.get(key) {
                let requirement = Requirement { key: key.clone(), operator: Operator::In, values: vec![value.clone()] };
                selector.match_expressions.push(requirement);
            }
        }
        Some(selector)
    };
    constraints
        .iter()
        .filter(|constraint| constraint.when_unsatisfiable == kind)
        .map(|constraint| Constraint {
            key: constraint.topology_key.clone(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
            selector: with_own_values(constraint),
            honor_node_affinity: constraint.honor_node_affinity,
            honor_node_taints: constraint.honor_node_taints,
        })
        .collect()
}

/// What the pod's Services and its owner select; `None` when that is nothing.
fn default_selector(pod: &PodInfo, snapshot: &ClusterSnapshot) -> Option<LabelSelector> {
    let objects = snapshot.objects();
    let mut merged = LabelSelector::default();
    let first = ObjectKey { namespace: pod.key.namespace.clone(), name: "".into() };
    for (_, service) in objects.services.range(first..).take_while(|(key, _)| key.namespace == pod.key.namespace) {
        if let Some(labels) = &service.selector
            && labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        {
            merged.match_labels.extend(labels.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    if let Some(owner) = &pod.controller {
        let key = ObjectKey { namespace: pod.key.namespace.clone(), name: owner.name.clone() };
        let selector = match &*owner.kind {
            "ReplicationController" => objects.replication_controllers.get(&key).and_then(|found| found.selector.clone()),
            "ReplicaSet" => objects.replica_sets.get(&key).map(|found| found.selector.clone()),
            "StatefulSet" => objects.stateful_sets.get(&key).map(|found| found.selector.clone()),
            _ => None,
        };
        if let Some(selector) = selector {
            add_selector(&mut merged, &selector);
        }
    }
    (!merged.is_empty()).then_some(merged)
}

/// ANDs `other` into `merged`. Both match the pod, so that labels do not conflict; where they do (an owner
/// that does not select its pod) both demands are kept.
fn add_selector(merged: &mut LabelSelector, other: &LabelSelector) {
    for (key, value) in &other.match_labels {
        match merged.match_labels.get(key) {
            Some(known) if known != value => {
                merged.match_expressions.push(Requirement { key: key.clone(), operator: Operator::In, values: vec![value.clone()] })
            }
            _ => {
                merged.match_labels.insert(key.clone(), value.clone());
            }
        }
    }
    merged.match_expressions.extend(other.match_expressions.iter().cloned());
}

impl PodTopologySpread {
    fn constraints(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, kind: WhenUnsatisfiable) -> Vec<Constraint> {
        let own = &pod.spec.topology_spread_constraints;
        if !own.is_empty() {
            return of_kind(own, pod, kind);
        }
        let mut constraints = of_kind(&self.default_constraints, pod, kind);
        if constraints.is_empty() {
            return constraints;
        }
        match default_selector(pod, snapshot) {
            None => constraints.clear(),
            Some(selector) => constraints.iter_mut().for_each(|constraint| constraint.selector = Some(selector.clone())),
        }
        constraints
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let constraints = self.constraints(pod, snapshot, WhenUnsatisfiable::DoNotSchedule);
        super::queue_if(match event {
            ClusterEvent::PodAdded(other) | ClusterEvent::PodDeleted(other) => {
                other.key.namespace == pod.key.namespace && constraints.iter().any(|constraint| constraint.selects(other))
            }
            ClusterEvent::PodUpdated { before, pod: changed } => {
                let is_own = changed.uid == pod.uid;
                let taints_matter = || constraints.iter().any(|constraint| constraint.honor_node_taints);
                let moves = |constraint: &Constraint| constraint.selects(before) != constraint.selects(changed);
                let involved = is_own || (changed.requested_node.is_some() && changed.key.namespace == pod.key.namespace);
                involved
                    && ((is_own && super::tolerations_grew(before, changed) && taints_matter())
                        || (before.labels != changed.labels && constraints.iter().any(moves)))
            }
            ClusterEvent::NodeAdded(node) => has_all_keys(&constraints, snapshot.node(*node)),
            ClusterEvent::NodeDeleted(node) => has_all_keys(&constraints, node),
            ClusterEvent::NodeUpdated { before, node } => {
                let after = snapshot.node(*node);
                let moved = |constraint: &Constraint| before.labels().get(&constraint.key) != after.labels().get(&constraint.key);
                match (has_all_keys(&constraints, before), has_all_keys(&constraints, after)) {
                    (true, true) => constraints.iter().any(moved) || before.node.spec.taints != after.node.spec.taints,
                    (had, has) => had != has,
                }
            }
            ClusterEvent::ObjectChanged(..) => false,
        })
    }
}

/// Matching pods per topology value, for each hard constraint.
#[derive(Clone, Default)]
pub(crate) struct Spread {
    constraints: Arc<[Constraint]>,
    self_match: Arc<[i64]>,
    counts: Vec<BTreeMap<Str, i64>>,
    /// The least count of each constraint, or none when no domain is known.
    least: Vec<i64>,
}

impl Spread {
    fn find_least(&mut self) {
        // Upstream starts from MaxInt32 where no node counted.
        self.least = self.counts.iter().map(|counts| counts.values().copied().min().unwrap_or(i64::from(i32::MAX))).collect();
    }

    /// The skew of constraint `at` were the pod placed where its key has this value.
    fn skew(&self, at: usize, value: &Str) -> i64 {
        let counts = &self.counts[at];
        let least = if (counts.len() as i64) < self.constraints[at].min_domains { 0 } else { self.least[at] };
        counts.get(value).copied().unwrap_or(0) + self.self_match[at] - least
    }

    /// What keeps the node from meeting constraint `at`.
    fn remedy(&self, at: usize, node: &NodeInfo) -> Option<Remedy> {
        let Constraint { key, max_skew, min_domains, .. } = &self.constraints[at];
        let Some(value) = node.labels().get(key) else { return Some(Remedy::new(format!("label {key} is missing"))) };
        let skew = self.skew(at, value);
        let excess = skew - max_skew;
        if excess <= 0 {
            return None;
        }
        let counts = &self.counts[at];
        let cure = if (counts.len() as i64) < *min_domains {
            format!("{key} has {} domains, minDomains {min_domains}", counts.len())
        } else {
            // Every domain has to come within reach of this one.
            let wanted = counts.get(value).copied().unwrap_or(0) + self.self_match[at] - max_skew;
            let behind = counts.iter().filter(|(_, count)| **count < wanted);
            let first: Vec<String> = behind.map(|(domain, count)| format!("{} in {domain}", wanted - count)).collect();
            format!("place {} first", wording::list(&first))
        };
        Some(Remedy::short(format!("skew over {key} would be {skew}, maxSkew {max_skew}: {cure}"), excess, skew))
    }

    fn change(&mut self, plugin: &PodTopologySpread, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, amount: i64) {
        if other.key.namespace != pod.key.namespace || !has_all_keys(&self.constraints, node) {
            return;
        }
        for (constraint, counts) in self.constraints.iter().zip(&mut self.counts) {
            if constraint.selects(other) && constraint.includes(pod, node, plugin.comparison_operators) {
                *counts.entry(node.labels()[&constraint.key].clone()).or_default() += amount;
            }
        }
        self.find_least();
    }
}

impl FilterPlugin for PodTopologySpread {
    type Prepared = Spread;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Spread> {
        let constraints = self.constraints(pod, snapshot, WhenUnsatisfiable::DoNotSchedule);
        if constraints.is_empty() {
            return PreFilterResult::Skip;
        }
        let mut counts = vec![BTreeMap::<Str, i64>::new(); constraints.len()];
        for node in snapshot.nodes().iter().filter(|node| has_all_keys(&constraints, node)) {
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if constraint.includes(pod, node, self.comparison_operators) {
                    *counts.entry(node.labels()[&constraint.key].clone()).or_default() += constraint.count(pod, node);
                }
            }
        }
        let self_match = constraints.iter().map(|constraint| i64::from(constraint.selects(pod))).collect();
        let mut spread = Spread { constraints: constraints.into(), self_match, counts, least: Vec::new() };
        spread.find_least();
        PreFilterResult::Continue(spread)
    }

    fn filter(&self, spread: &Spread, _: &PodInfo, node: &NodeInfo) -> Status {
        for (at, constraint) in spread.constraints.iter().enumerate() {
            let Some(value) = node.labels().get(&constraint.key) else {
                return Status::unschedulable_and_unresolvable(REASON_LABEL);
            };
            if spread.skew(at, value) > constraint.max_skew {
                return Status::unschedulable(REASON_SKEW);
            }
        }
        Status::Success
    }

    fn remedies(&self, spread: &Spread, _: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        (0..spread.constraints.len()).filter_map(|at| spread.remedy(at, node)).collect()
    }

    fn add_pod(&self, spread: &mut Spread, pod: &PodInfo, added: &PodInfo, node: &NodeInfo) {
        spread.change(self, pod, added, node, 1);
    }

    fn remove_pod(&self, spread: &mut Spread, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo) {
        spread.change(self, pod, removed, node, -1);
    }
}

/// What the score needs, for each soft constraint.
#[derive(Default)]
pub(crate) struct SoftSpread {
    constraints: Vec<Constraint>,
    counts: Vec<BTreeMap<Str, i64>>,
    /// `ln(size + 2)` of each constraint, so that small topologies are not drowned by large ones.
    weights: Vec<f64>,
    require_all_keys: bool,
    /// Places of feasible nodes that lack a key and take no part.
    ignored: BTreeSet<usize>,
}

impl SoftSpread {
    fn new(constraints: Vec<Constraint>, require_all_keys: bool, snapshot: &ClusterSnapshot, feasible: &[NodeIndex]) -> Self {
        let mut counts = vec![BTreeMap::<Str, i64>::new(); constraints.len()];
        let mut ignored = BTreeSet::new();
        for (place, index) in feasible.iter().enumerate() {
            let node = snapshot.node(*index);
            if require_all_keys && !has_all_keys(&constraints, node) {
                ignored.insert(place);
                continue;
            }
            for (constraint, counts) in constraints.iter().zip(&mut counts).filter(|(constraint, _)| &*constraint.key != HOSTNAME) {
                // A missing value is one more domain here (upstream reads the label without asking).
                counts.entry(node.labels().get(&constraint.key).cloned().unwrap_or_default()).or_default();
            }
        }
        let size = |(constraint, counts): (&Constraint, &BTreeMap<Str, i64>)| {
            if &*constraint.key == HOSTNAME { feasible.len() - ignored.len() } else { counts.len() }
        };
        let weights = constraints.iter().zip(&counts).map(size).map(|size| libm::log((size + 2) as f64)).collect();
        Self { constraints, counts, weights, require_all_keys, ignored }
    }
}

impl ScorePlugin for PodTopologySpread {
    type Prepared = SoftSpread;

    fn pre_score(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex]) -> PreScoreResult<SoftSpread> {
        let constraints = self.constraints(pod, snapshot, WhenUnsatisfiable::ScheduleAnyway);
        if constraints.is_empty() {
            return PreScoreResult::Skip;
        }
        let require_all_keys = !pod.spec.topology_spread_constraints.is_empty() || !self.system_defaulted;
        let mut soft = SoftSpread::new(constraints, require_all_keys, snapshot, feasible);
        if soft.counts.iter().all(BTreeMap::is_empty) {
            return PreScoreResult::Continue(soft); // Only hostnames: counted node by node.
        }
        for node in snapshot.nodes() {
            if require_all_keys && !has_all_keys(&soft.constraints, node) {
                continue;
            }
            for (constraint, counts) in soft.constraints.iter().zip(&mut soft.counts) {
                let place = match node.labels().get(&constraint.key) {
                    Some(value) => counts.get_mut(value),
                    None => counts.get_mut(""),
                };
                if let Some(place) = place
                    && constraint.includes(pod, node, self.comparison_operators)
                {
                    *place += constraint.count(pod, node);
                }
            }
        }
        PreScoreResult::Continue(soft)
    }

    fn score(&self, soft: &SoftSpread, pod: &PodInfo, node: &NodeInfo) -> i64 {
        if soft.require_all_keys && !has_all_keys(&soft.constraints, node) {
            return 0;
        }
        let mut score = 0.0;
        for (at, constraint) in soft.constraints.iter().enumerate() {
            let Some(value) = node.labels().get(&constraint.key) else { continue };
            let count =
                if &*constraint.key == HOSTNAME { constraint.count(pod, node) } else { soft.counts[at].get(value).copied().unwrap_or(0) };
            score += count as f64 * soft.weights[at] + (constraint.max_skew - 1) as f64;
        }
        score.round() as i64
    }

    fn normalize_score(&self, soft: &SoftSpread, scores: &mut [i64]) {
        let taking_part = || scores.iter().enumerate().filter(|(place, _)| !soft.ignored.contains(place)).map(|(_, score)| *score);
        let (min, max) = (taking_part().min().unwrap_or(i64::MAX), taking_part().max().unwrap_or(0).max(0));
        for (place, score) in scores.iter_mut().enumerate() {
            *score = if soft.ignored.contains(&place) {
                0
            } else if max == 0 {
                MAX_NODE_SCORE
            } else {
                MAX_NODE_SCORE * (max + min - *score) / max
            };
        }
    }
}
