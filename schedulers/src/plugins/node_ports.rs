//! NodePorts: two pods cannot have the same port of a node.
//!
//! Ports of containers and sidecars count, of ordinary init containers not. `0.0.0.0` (also written as no
//! address) conflicts with every address. Upstream: plugins/nodeports, framework/types.go (HostPortInfo).

use api::{ContainerPort, Str};
use port::{ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Status};

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

pub(crate) struct NodePorts;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    ip: Str,
    protocol: Str,
    port: u16,
}

fn host_ports(pod: &PodInfo) -> impl Iterator<Item = &ContainerPort> {
    let sidecars = pod.spec.init_containers.iter().filter(|container| container.is_sidecar);
    pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports).filter(|port| port.host_port > 0)
}

fn is_any(ip: &str) -> bool {
    ip.is_empty() || ip == "0.0.0.0"
}

fn conflicts(wanted: &[HostPort], pod: &PodInfo) -> bool {
    host_ports(pod).any(|used| {
        wanted.iter().any(|want| {
            want.port == used.host_port
                && want.protocol == used.protocol
                && (is_any(&want.ip) || is_any(&used.host_ip) || want.ip == used.host_ip)
        })
    })
}

impl NodePorts {
    fn wanted(pod: &PodInfo) -> Vec<HostPort> {
        host_ports(pod)
            .map(|port| HostPort { ip: port.host_ip.clone(), protocol: port.protocol.clone(), port: port.host_port })
            .collect()
    }
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        let wakes = match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodDeleted(deleted) => conflicts(&Self::wanted(pod), deleted),
            ClusterEvent::NodeUpdated(_) | ClusterEvent::PodAdded(_) => false,
        };
        super::queue_if(wakes)
    }
}

impl FilterPlugin for NodePorts {
    type Prepared = Vec<HostPort>;

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<Vec<HostPort>> {
        let wanted = Self::wanted(pod);
        if wanted.is_empty() { PreFilterResult::Skip } else { PreFilterResult::Continue(wanted) }
    }

    fn filter(&self, wanted: &Vec<HostPort>, _: &PodInfo, node: &NodeInfo) -> Status {
        if node.pods.iter().any(|pod| conflicts(wanted, pod)) { Status::unschedulable(REASON) } else { Status::Success }
    }
}
