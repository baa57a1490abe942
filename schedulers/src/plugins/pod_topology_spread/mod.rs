//! PodTopologySpread: keeps the pods that a selector matches evenly spread over the values of a node label.
//!
//! DoNotSchedule constraints filter, ScheduleAnyway constraints score. A pod without constraints of its own
//! gets the profile's defaults, with a selector made of its Services and its owner.
//! Upstream: plugins/podtopologyspread, plugins/helper/spread.go.

mod domains;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{LabelSelector, Labels, ObjectKey, Operator, Requirement, Str, Taint, TaintEffect, TopologySpreadConstraint, WhenUnsatisfiable};
use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, MAX_NODE_SCORE, NodeIndex, NodeInfo, Plugin, PodInfo, PreFilterResult, PreScoreResult,
    QueueingHint, Remedy, ScorePlugin, Status, Tallied,
};

use super::node_affinity::required_matches;
use super::wording;
use crate::config::args::{Reader, fields};
use domains::{Domains, Eligibility, Spreading};

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
#[derive(Clone, PartialEq, Eq, Hash)]
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
    fn count(&self, namespace: &Str, node: &NodeInfo) -> i64 {
        let Some(selector) = self.selector.as_ref().filter(|selector| !selector.is_empty()) else { return 0 };
        let mut count = 0;
        // Pods of one template share their labels, and stand together often.
        let mut last: Option<(&Arc<Labels>, bool)> = None;
        for other in node.pods.iter().filter(|other| !other.deleting && other.key.namespace == *namespace) {
            let selected = match last {
                Some((labels, selected)) if Arc::ptr_eq(labels, &other.labels) => selected,
                _ => selector.matches(&other.labels),
            };
            last = Some((&other.labels, selected));
            count += i64::from(selected);
        }
        count
    }

    fn includes(&self, pod: &Eligibility, node: &NodeInfo) -> bool {
        let tolerated = |taint: &Taint| {
            taint.effect == TaintEffect::PreferNoSchedule
                || pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, pod.comparison_operators))
        };
        (!self.honor_node_affinity || required_matches(&pod.spec, node))
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
            _ => false,
        })
    }
}

/// Matching pods per topology value, for each hard constraint.
#[derive(Clone, Default)]
pub(crate) struct Spread {
    constraints: Arc<[Constraint]>,
    /// What decides where constraints count; absent only where there are none.
    eligibility: Option<Eligibility>,
    self_match: Arc<[i64]>,
    /// Shared with the tally until a change is imagined. Shorter than `constraints` when no node takes part.
    domains: Arc<Vec<Domains>>,
    /// The least count of each constraint.
    least: Vec<i64>,
}

impl Spread {
    fn find_least(&mut self) {
        self.least = self.domains.iter().map(Domains::least).collect();
    }

    /// Values known of the key of constraint `at`, and matching pods at one of them with the pod itself.
    fn known(&self, at: usize, value: &Str) -> (i64, i64) {
        let domains = self.domains.get(at);
        (domains.map_or(0, Domains::len) as i64, domains.map_or(0, |domains| domains.pods(value)) + self.self_match[at])
    }

    /// The skew of constraint `at` were the pod placed where its key has this value.
    fn skew(&self, at: usize, value: &Str) -> i64 {
        let (domains, pods) = self.known(at, value);
        let least = if domains < self.constraints[at].min_domains { 0 } else { self.least.get(at).copied().unwrap_or(0) };
        pods - least
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
        let (domains, pods) = self.known(at, value);
        let cure = if domains < *min_domains {
            format!("{key} has {domains} domains, minDomains {min_domains}")
        } else {
            // Every domain has to come within reach of this one.
            let wanted = pods - max_skew;
            let behind = self.domains.get(at).map_or_else(Vec::new, |domains| domains.with_fewer(wanted));
            let first: Vec<String> = behind.into_iter().map(|(domain, count)| format!("{} in {domain}", wanted - count)).collect();
            format!("place {} first", wording::list(&first))
        };
        Some(Remedy::short(format!("skew over {key} would be {skew}, maxSkew {max_skew}: {cure}"), excess, skew))
    }

    fn change(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, amount: i64) {
        let Some(eligibility) = &self.eligibility else { return };
        if other.key.namespace != pod.key.namespace || !has_all_keys(&self.constraints, node) {
            return;
        }
        for (at, constraint) in self.constraints.iter().enumerate() {
            if constraint.selects(other) && constraint.includes(eligibility, node) {
                let domains = Arc::make_mut(&mut self.domains);
                domains.resize_with(self.constraints.len(), Domains::default);
                domains[at].add_pods(&node.labels()[&constraint.key], amount);
            }
        }
        self.find_least();
    }
}

impl PodTopologySpread {
    fn spreading(&self, pod: &PodInfo, constraints: Vec<Constraint>) -> Spreading {
        Spreading {
            namespace: pod.key.namespace.clone(),
            constraints: constraints.into(),
            eligibility: Eligibility { spec: pod.spec.clone(), comparison_operators: self.comparison_operators },
            needs_all_keys: true,
            is_soft: false,
        }
    }
}

impl FilterPlugin for PodTopologySpread {
    type Prepared = Spread;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Spread> {
        let constraints = self.constraints(pod, snapshot, WhenUnsatisfiable::DoNotSchedule);
        if constraints.is_empty() {
            return PreFilterResult::Skip;
        }
        let spreading = self.spreading(pod, constraints);
        let mut spread = Spread {
            constraints: spreading.constraints.clone(),
            eligibility: Some(spreading.eligibility.clone()),
            self_match: spreading.constraints.iter().map(|constraint| i64::from(constraint.selects(pod))).collect(),
            domains: snapshot.tally(spreading).total.clone(),
            least: Vec::new(),
        };
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
        spread.change(pod, added, node, 1);
    }

    fn remove_pod(&self, spread: &mut Spread, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo) {
        spread.change(pod, removed, node, -1);
    }
}

/// What the score needs, for each soft constraint.
#[derive(Default)]
pub(crate) struct SoftSpread {
    constraints: Arc<[Constraint]>,
    counted: Arc<Tallied<Spreading>>,
    /// `ln(size + 2)` of each constraint, so that small topologies are not drowned by large ones.
    weights: Vec<f64>,
    require_all_keys: bool,
    /// Places of feasible nodes that lack a key and take no part.
    ignored: BTreeSet<usize>,
}

impl SoftSpread {
    fn new(spreading: Spreading, snapshot: &ClusterSnapshot, feasible: &[NodeIndex]) -> Self {
        let (constraints, require_all_keys) = (spreading.constraints.clone(), spreading.needs_all_keys);
        let mut ignored = BTreeSet::new();
        if require_all_keys {
            let lacking = |index: &NodeIndex| !has_all_keys(&constraints, snapshot.node(*index));
            ignored.extend(feasible.iter().enumerate().filter(|(_, index)| lacking(index)).map(|(place, _)| place));
        }
        let taking_part = || feasible.iter().enumerate().filter(|(place, _)| !ignored.contains(place)).map(|(_, index)| index);
        let size = |constraint: &Constraint| {
            if &*constraint.key == HOSTNAME {
                return feasible.len() - ignored.len();
            }
            // A missing value is one more domain here (upstream reads the label without asking).
            let value = |index: &NodeIndex| snapshot.node(*index).labels().get(&constraint.key).map_or("", |value| value);
            taking_part().map(value).collect::<BTreeSet<&str>>().len()
        };
        let weights = constraints.iter().map(|constraint| libm::log((size(constraint) + 2) as f64)).collect();
        Self { constraints, counted: snapshot.tally(spreading), weights, require_all_keys, ignored }
    }

    /// The raw score of a node; `pods_here` counts the pods on the node that the constraint at a place matches.
    fn score(&self, node: &NodeInfo, pods_here: impl Fn(usize) -> i64) -> i64 {
        if self.require_all_keys && !has_all_keys(&self.constraints, node) {
            return 0;
        }
        let mut score = 0.0;
        for (at, constraint) in self.constraints.iter().enumerate() {
            let Some(value) = node.labels().get(&constraint.key) else { continue };
            let count = if &*constraint.key == HOSTNAME {
                pods_here(at)
            } else {
                self.counted.total.get(at).map_or(0, |domains| domains.pods(value))
            };
            score += count as f64 * self.weights[at] + (constraint.max_skew - 1) as f64;
        }
        score.round() as i64
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
        let spreading = Spreading { needs_all_keys: require_all_keys, is_soft: true, ..self.spreading(pod, constraints) };
        PreScoreResult::Continue(SoftSpread::new(spreading, snapshot, feasible))
    }

    fn score(&self, soft: &SoftSpread, pod: &PodInfo, node: &NodeInfo) -> i64 {
        soft.score(node, |at| soft.constraints[at].count(&pod.key.namespace, node))
    }

    /// As [`ScorePlugin::score`], with the node's pods counted before.
    fn score_at(&self, soft: &SoftSpread, _: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> i64 {
        soft.score(snapshot.node(node), |at| soft.counted.part(node).get(at).map_or(0, |counted| counted.pods))
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

fn spread_constraint(item: &Reader<'_>) -> TopologySpreadConstraint {
    item.fields(&["maxSkew", "topologyKey", "whenUnsatisfiable", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy", "labelSelector"]);
    if !item.get("labelSelector").is_absent() {
        item.get("labelSelector").error("a default constraint has no selector; it is made from the pod's Services and owner");
    }
    let key = item.get("topologyKey").text("");
    if key.is_empty() {
        item.error("topologyKey is needed");
    }
    let when_unsatisfiable = match item.get("whenUnsatisfiable").text("") {
        "DoNotSchedule" => WhenUnsatisfiable::DoNotSchedule,
        "ScheduleAnyway" => WhenUnsatisfiable::ScheduleAnyway,
        other => {
            item.get("whenUnsatisfiable").error(format!("{other:?} is neither DoNotSchedule nor ScheduleAnyway"));
            WhenUnsatisfiable::ScheduleAnyway
        }
    };
    let honours = |key: &str, default: &'static str| match item.get(key).text(default) {
        "Honor" => true,
        "Ignore" => false,
        other => {
            item.get(key).error(format!("{other:?} is neither Honor nor Ignore"));
            false
        }
    };
    let min_domains = item.get("minDomains");
    TopologySpreadConstraint {
        max_skew: item.get("maxSkew").integer(1, 1..=i64::from(i32::MAX)) as i32,
        topology_key: key.into(),
        when_unsatisfiable,
        label_selector: None,
        min_domains: (!min_domains.is_absent()).then(|| min_domains.integer(1, 1..=i64::from(i32::MAX)) as i32),
        honor_node_affinity: honours("nodeAffinityPolicy", "Honor"),
        honor_node_taints: honours("nodeTaintsPolicy", "Ignore"),
        match_label_keys: Vec::new(),
    }
}

/// From its arguments (PodTopologySpreadArgs).
pub(crate) fn from_args(args: &Reader<'_>, comparison_operators: bool) -> PodTopologySpread {
    fields(args, &["defaultConstraints", "defaultingType"]);
    let kind = args.get("defaultingType");
    let own: Vec<TopologySpreadConstraint> = args.get("defaultConstraints").list().iter().map(spread_constraint).collect();
    let system_defaulted = match kind.text("System") {
        "System" => true,
        "List" => false,
        other => {
            kind.error(format!("{other:?} is neither System nor List"));
            true
        }
    };
    if system_defaulted && !own.is_empty() {
        args.get("defaultConstraints").error("constraints are only taken with defaultingType: List");
    }
    PodTopologySpread {
        default_constraints: if system_defaulted { system_defaults() } else { own },
        system_defaulted,
        comparison_operators,
    }
}
