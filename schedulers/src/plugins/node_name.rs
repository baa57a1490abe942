//! NodeName: a pod that names its node runs there or nowhere.
//!
//! A pod in a real queue never names a node; a what-if may. Upstream: plugins/nodename.

use port::{ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Remedy, Status};

const REASON: &str = "node(s) didn't match the requested node name";

pub(crate) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn hint(&self, _: &PodInfo, event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        // Upstream asks nothing of the new node: any counts.
        super::queue_if(matches!(event, ClusterEvent::NodeAdded(_)))
    }
}

fn matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    pod.requested_node.as_ref().is_none_or(|name| name == node.name())
}

impl FilterPlugin for NodeName {
    type Prepared = ();

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<()> {
        if pod.requested_node.is_none() { PreFilterResult::Skip } else { PreFilterResult::Continue(()) }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if matches(pod, node) { Status::Success } else { Status::unschedulable_and_unresolvable(REASON) }
    }

    fn remedies(&self, (): &(), pod: &PodInfo, _: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        pod.requested_node.iter().map(|name| Remedy::new(format!("the pod asks for node {name}"))).collect()
    }
}
