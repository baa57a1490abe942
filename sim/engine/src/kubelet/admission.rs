//! What a kubelet checks before it takes a pod on: the scheduler's filters about the node itself, once more.
//!
//! Upstream: pkg/kubelet/lifecycle/predicate.go and pkg/scheduler/eventhandlers.go (AdmissionCheck). The first
//! reason wins, and the pod is Failed for good.
//!
//! Not here: what becomes of critical pods that lack resources (`preemption`), node pressure (`pressure`). Not modelled:
//! device, cpu and topology managers.

use api::{Node, Pod, PodSpec, ResourceName, Resources, TaintEffect};

/// Why a pod was turned down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) message: String,
}

/// What the pods taken on so far hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    requested: Resources,
    pods: i64,
}

impl Held {
    pub(super) fn add(&mut self, spec: &PodSpec) {
        self.requested.add(&spec.requests());
        self.pods += 1;
    }
    pub(super) fn sub(&mut self, spec: &PodSpec) {
        self.requested.sub(&spec.requests());
        self.pods -= 1;
    }
    /// How many pods they are.
    #[cfg(test)]
    pub(super) const fn pods(&self) -> i64 {
        self.pods
    }
}

/// Whether the node takes the pod on; `others` are the pods on it.
pub(super) fn check<'a>(pod: &Pod, node: &Node, held: &Held, others: impl Iterator<Item = &'a Pod>) -> Result<(), Refusal> {
    check_resources(pod, node, held)?;
    check_node(pod, node, others)
}

fn check_node<'a>(pod: &Pod, node: &Node, mut others: impl Iterator<Item = &'a Pod>) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err(Refusal { reason: reason.to_owned(), message: format!("Predicate {reason} failed") });
    if !selects_node(pod, node) {
        return refuse("NodeAffinity");
    }
    if others.any(|other| host_ports_conflict(pod, other)) {
        return refuse("NodePorts");
    }
    let tolerated = |taint: &api::Taint| pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, false));
    if node.spec.taints.iter().any(|taint| taint.effect == TaintEffect::NoExecute && !tolerated(taint)) {
        return refuse("TaintToleration");
    }
    Ok(())
}

/// How much more of a resource the node would have to have free.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lack {
    pub(super) name: ResourceName,
    pub(super) amount: i64,
}

/// All that is lacking, when nothing else is in the way.
pub(super) fn lacks<'a>(pod: &Pod, node: &Node, held: &Held, others: impl Iterator<Item = &'a Pod>) -> Vec<Lack> {
    if check_node(pod, node, others).is_err() {
        return Vec::new();
    }
    wants(pod, node, held)
        .filter(|(_, wanted, used, capacity)| *wanted > 0 && *wanted > capacity - used)
        .map(|(name, wanted, used, capacity)| Lack { name, amount: wanted - (capacity - used) })
        .collect()
}

/// What a pod asks for, is in use, and is there, by resource: pods first.
fn wants<'a>(pod: &'a Pod, node: &'a Node, held: &'a Held) -> impl Iterator<Item = (ResourceName, i64, i64, i64)> + 'a {
    let allocatable = Resources::from_list(&node.status.allocatable);
    let asked = pod.spec.requests();
    // Extended resources that the node does not know are somebody else's.
    let scalars: Vec<ResourceName> = asked.scalars.keys().map(|name| ResourceName::Scalar(name.clone())).collect();
    let scalars = scalars.into_iter().filter(|name| node.status.allocatable.contains_key(name));
    let pods = (ResourceName::Pods, 1, held.pods, allocatable.pods);
    let named = [ResourceName::Cpu, ResourceName::Memory, ResourceName::EphemeralStorage].into_iter().chain(scalars);
    std::iter::once(pods).chain(named.map(move |name| {
        let (wanted, used, capacity) = (asked.get(&name), held.requested.get(&name), allocatable.get(&name));
        (name, wanted, used, capacity)
    }))
}

/// Upstream: pkg/scheduler/framework/plugins/noderesources/fit.go (fitsRequest): pods first, then what is asked for.
pub(super) fn check_resources(pod: &Pod, node: &Node, held: &Held) -> Result<(), Refusal> {
    for (name, wanted, used, capacity) in wants(pod, node, held) {
        if wanted > 0 && wanted > capacity - used {
            return Err(insufficient(&name, wanted, used, capacity));
        }
    }
    Ok(())
}

fn insufficient(name: &ResourceName, wanted: i64, used: i64, capacity: i64) -> Refusal {
    let message = format!("Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}");
    Refusal { reason: format!("OutOf{name}"), message }
}

fn selects_node(pod: &Pod, node: &Node) -> bool {
    let labels = &node.meta.labels;
    let required = pod.spec.affinity.node.as_ref().and_then(|affinity| affinity.required.as_ref());
    pod.spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|terms| terms.iter().any(|term| term.matches(&node.meta.name, labels)))
}

fn host_ports_conflict(pod: &Pod, other: &Pod) -> bool {
    if pod.meta.uid == other.meta.uid || other.status.phase.is_terminal() {
        return false;
    }
    let ports = |pod: &Pod| {
        let ports = pod.spec.containers.iter().flat_map(|container| &container.ports).filter(|port| port.host_port > 0);
        ports.map(|port| (port.host_port, port.protocol.clone(), port.host_ip.clone())).collect::<Vec<_>>()
    };
    let any_address = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
    let theirs = ports(other);
    ports(pod).iter().any(|(port, protocol, ip)| {
        theirs.iter().any(|(other_port, other_protocol, other_ip)| {
            port == other_port && protocol == other_protocol && (ip == other_ip || any_address(ip) || any_address(other_ip))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Container, NodeStatus, Taint};
    use std::sync::Arc;

    fn pod(cpu: i64) -> Pod {
        let container = Container { requests: [(ResourceName::Cpu, cpu)].into(), ..Container::default() };
        Pod { spec: Arc::new(PodSpec { containers: vec![container], ..PodSpec::default() }), ..Pod::default() }
    }

    fn node() -> Node {
        let allocatable = Arc::new([(ResourceName::Cpu, 1000), (ResourceName::Pods, 2)].into());
        Node { status: NodeStatus { allocatable, ..NodeStatus::default() }, ..Node::default() }
    }

    #[test]
    fn the_first_lack_is_the_reason() {
        let mut held = Held::default();
        assert_eq!(check(&pod(1000), &node(), &held, [].iter()), Ok(()));
        held.add(&pod(600).spec);
        let refusal = check(&pod(500), &node(), &held, [].iter()).expect_err("there is no room");
        assert_eq!(refusal.reason, "OutOfcpu");
        assert_eq!(refusal.message, "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000");
        held.add(&pod(0).spec);
        assert_eq!(check(&pod(500), &node(), &held, [].iter()).expect_err("two pods are enough").reason, "OutOfpods");
        held.sub(&pod(600).spec);
        assert_eq!(check(&pod(500), &node(), &held, [].iter()), Ok(()));
    }

    #[test]
    fn a_taint_that_would_evict_the_pod_keeps_it_out() {
        let mut tainted = node();
        tainted.spec.taints.push(Taint::new("maintenance", TaintEffect::NoExecute));
        assert_eq!(check(&pod(1), &tainted, &Held::default(), [].iter()).expect_err("it is not tolerated").reason, "TaintToleration");
    }

    #[test]
    fn labels_that_changed_since_scheduling_keep_it_out() {
        let mut spec = PodSpec::default();
        spec.node_selector.insert("disk".into(), "ssd".into());
        let picky = Pod { spec: Arc::new(spec), ..Pod::default() };
        assert_eq!(check(&picky, &node(), &Held::default(), [].iter()).expect_err("no such label").reason, "NodeAffinity");
    }
}
