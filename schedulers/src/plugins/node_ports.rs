//! NodePorts: two pods cannot have the same port of a node.
//!
//! Ports of containers and sidecars count, of ordinary init containers not. `0.0.0.0` (also written as no
//! address) conflicts with every address. Upstream: plugins/nodeports, framework/types.go (HostPortInfo).

use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, HostPort, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Remedy, Status,
};

use super::wording;

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

pub(crate) struct NodePorts;

fn conflicts<'a>(wanted: &[HostPort], used: impl IntoIterator<Item = &'a HostPort>) -> bool {
    used.into_iter().any(|used| wanted.iter().any(|want| want.conflicts(used)))
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        let wakes = match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodDeleted(deleted) => {
                let freed: Vec<HostPort> = HostPort::of(&deleted.spec).collect();
                conflicts(&HostPort::of(&pod.spec).collect::<Vec<_>>(), &freed)
            }
            _ => false,
        };
        super::queue_if(wakes)
    }
}

impl FilterPlugin for NodePorts {
    type Prepared = Vec<HostPort>;

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<Vec<HostPort>> {
        let wanted: Vec<HostPort> = HostPort::of(&pod.spec).collect();
        if wanted.is_empty() { PreFilterResult::Skip } else { PreFilterResult::Continue(wanted) }
    }

    fn filter(&self, wanted: &Vec<HostPort>, _: &PodInfo, node: &NodeInfo) -> Status {
        if conflicts(wanted, node.used_ports()) { Status::unschedulable(REASON) } else { Status::Success }
    }

    fn remedies(&self, wanted: &Vec<HostPort>, _: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        let taken = wanted.iter().filter(|want| conflicts(std::slice::from_ref(*want), node.used_ports()));
        let by = |want: &HostPort| wording::pods(node.pods.iter().filter(|pod| HostPort::of(&pod.spec).any(|used| used.conflicts(want))));
        taken.map(|want| Remedy::new(format!("port {}/{} is taken by {}", want.port, want.protocol, by(want)))).collect()
    }
}
