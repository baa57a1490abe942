//! NodeUnschedulable: keeps pods off cordoned nodes unless they tolerate the cordon's taint.
//!
//! Upstream: plugins/nodeunschedulable.

use api::{Taint, TaintEffect};
use port::{ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, QueueingHint, Remedy, Status};

const REASON: &str = "node(s) were unschedulable";
/// The same words as TaintToleration has for the taint that a cordon puts on.
pub(super) const UNCORDON: &str = "uncordon the node";

pub(crate) struct NodeUnschedulable {
    pub(crate) comparison_operators: bool,
}

impl NodeUnschedulable {
    fn tolerates(&self, pod: &PodInfo) -> bool {
        let taint = Taint::new("node.kubernetes.io/unschedulable", TaintEffect::NoSchedule);
        pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(&taint, self.comparison_operators))
    }
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        super::queue_if(match event {
            ClusterEvent::NodeAdded(node) => !snapshot.node(*node).is_unschedulable(),
            ClusterEvent::NodeUpdated { before, node } => before.is_unschedulable() && !snapshot.node(*node).is_unschedulable(),
            ClusterEvent::PodUpdated { before, pod: changed } => {
                changed.uid == pod.uid && super::tolerations_grew(before, changed) && self.tolerates(changed)
            }
            _ => false,
        })
    }
}

impl FilterPlugin for NodeUnschedulable {
    type Prepared = ();

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if !node.is_unschedulable() || self.tolerates(pod) {
            return Status::Success;
        }
        // Preemption cannot uncordon a node, so do not let it try.
        Status::unschedulable_and_unresolvable(REASON)
    }

    fn remedies(&self, (): &(), _: &PodInfo, _: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        vec![Remedy::new(UNCORDON)]
    }
}
