//! TaintToleration: keeps pods off nodes whose NoSchedule and NoExecute taints they do not tolerate, and
//! prefers nodes with fewer untolerated PreferNoSchedule taints.
//!
//! Upstream: plugins/tainttoleration.

use api::{Taint, TaintEffect, Toleration};
use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, NodeIndex, NodeInfo, Plugin, PodInfo, PreScoreResult, QueueingHint, Remedy, ScorePlugin,
    Status,
};

use super::node_unschedulable::UNCORDON;

const REASON: &str = "node(s) had untolerated taint(s)";

pub(crate) struct TaintToleration {
    pub(crate) comparison_operators: bool,
}

impl TaintToleration {
    fn tolerated(&self, taint: &Taint, tolerations: &[Toleration]) -> bool {
        tolerations.iter().any(|toleration| toleration.tolerates(taint, self.comparison_operators))
    }

    /// Whether the pod tolerates every taint that keeps pods off.
    fn fits(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        !node.has_hard_taints()
            || node
                .node
                .spec
                .taints
                .iter()
                .all(|taint| taint.effect == TaintEffect::PreferNoSchedule || self.tolerated(taint, &pod.spec.tolerations))
    }
}

/// Taints of the node's own condition go by themselves, or never: farther away than those that users put on.
const CONDITION_PERMILLE: u32 = 3 * Remedy::ALL_MISSING;

fn remedy(taint: &Taint) -> Remedy {
    let equals = if taint.value.is_empty() { "" } else { "=" };
    let text = format!("{}{equals}{}:{}", taint.key, taint.value, taint.effect.as_str());
    match taint.key.strip_prefix("node.kubernetes.io/") {
        Some("unschedulable") => Remedy::new(UNCORDON),
        Some(condition) => Remedy { text: format!("the node is {condition} ({text})").into(), missing_permille: CONDITION_PERMILLE },
        None => Remedy::new(format!("tolerate {text}")),
    }
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        super::queue_if(match event {
            ClusterEvent::NodeAdded(node) => self.fits(pod, snapshot.node(*node)),
            ClusterEvent::NodeUpdated { before, node } => !self.fits(pod, before) && self.fits(pod, snapshot.node(*node)),
            ClusterEvent::PodUpdated { before, pod: changed } => changed.uid == pod.uid && super::tolerations_grew(before, changed),
            _ => false,
        })
    }
}

impl FilterPlugin for TaintToleration {
    type Prepared = ();

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if self.fits(pod, node) { Status::Success } else { Status::unschedulable_and_unresolvable(REASON) }
    }

    fn remedies(&self, (): &(), pod: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        let hard = node.node.spec.taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
        hard.filter(|taint| !self.tolerated(taint, &pod.spec.tolerations)).map(remedy).collect()
    }
}

impl ScorePlugin for TaintToleration {
    /// Tolerations that can answer a PreferNoSchedule taint.
    type Prepared = Vec<Toleration>;

    fn pre_score(&self, pod: &PodInfo, _: &ClusterSnapshot, _: &[NodeIndex]) -> PreScoreResult<Vec<Toleration>> {
        let soft = |toleration: &&Toleration| toleration.effect.is_none_or(|effect| effect == TaintEffect::PreferNoSchedule);
        PreScoreResult::Continue(pod.spec.tolerations.iter().filter(soft).cloned().collect())
    }

    fn score(&self, tolerations: &Vec<Toleration>, _: &PodInfo, node: &NodeInfo) -> i64 {
        if !node.has_soft_taints() {
            return 0;
        }
        let taints = node.node.spec.taints.iter().filter(|taint| taint.effect == TaintEffect::PreferNoSchedule);
        taints.filter(|taint| !self.tolerated(taint, tolerations)).count() as i64
    }

    fn normalize_score(&self, _: &Vec<Toleration>, scores: &mut [i64]) {
        super::default_normalize(scores, true);
    }
}
