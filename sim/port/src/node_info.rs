//! Pods and nodes as a scheduler sees them, with their requests worked out.
//!
//! Invariants:
//! - `requested` of a node is the sum over its pods; `allocatable` never shrinks when pods bind.
//! - Counts of pods with some trait (affinity terms, host ports) are of the pods on the node now.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{
    Container, ContainerStatus, Labels, Node, ObjectKey, OwnerReference, Pod, PodSpec, ResourceList, ResourceName, Resources, SimTime, Str,
    TaintEffect, Uid,
};

/// cpu that scores count for a container that names none. Upstream: pkg/scheduler/util/pod_resources.go.
const DEFAULT_CPU_MILLIS: i64 = 100;
/// Memory that scores count for a container that names none.
const DEFAULT_MEMORY_BYTES: i64 = 200 << 20;

/// What a pod asks for, worked out once per template.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodRequests {
    /// What the filter counts.
    pub requests: Resources,
    /// cpu that resource scores count once the pod is on a node: 100m for each container that names none.
    pub nonzero_cpu_millis: i64,
    /// Memory that resource scores count once the pod is on a node: 200Mi for each container that names none.
    pub nonzero_memory_bytes: i64,
    /// What NodeResourcesFit's score counts for the pod while it is incoming. It differs from the rest in
    /// that pod-level requests are ignored (upstream builds those scorers without that feature).
    pub incoming: Resources,
}

impl PodRequests {
    /// What a pod of this spec asks for.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Self {
        Self::build(spec, &|container| container.requests.clone())
    }

    /// What this pod asks for, counting what its kubelet reports while a resize is under way: per container
    /// the largest of spec, applied and allocated requests, without spec when the resize is infeasible.
    ///
    /// Upstream: staging/src/k8s.io/component-helpers/resource/helpers.go (determineContainerReqs).
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        let reported = pod.status.containers.iter().chain(&pod.status.init_containers).any(|status| status.requests.is_some());
        if !reported {
            return Self::of(&pod.spec);
        }
        let infeasible = pod.status.conditions.resize_infeasible;
        Self::build(&pod.spec, &|container| {
            status_of(pod, container).map_or_else(|| container.requests.clone(), |status| resized(container, status, infeasible))
        })
    }

    fn build(spec: &PodSpec, of: &dyn Fn(&Container) -> ResourceList) -> Self {
        let placed_defaults = placed_defaults(spec, of);
        let incoming = spec.aggregate(false, |container| with_defaults(of(container), [true, true]));
        let placed = spec.aggregate(true, |container| with_defaults(of(container), placed_defaults));
        Self {
            requests: spec.aggregate(true, of),
            nonzero_cpu_millis: placed.cpu_millis,
            nonzero_memory_bytes: placed.memory_bytes,
            incoming,
        }
    }
}

/// Whether cpu and memory get their scoring defaults. With pod-level requests only what is named nowhere does.
///
/// Upstream: pkg/scheduler/framework/types.go (getNonMissingContainerRequests).
fn placed_defaults(spec: &PodSpec, of: &dyn Fn(&Container) -> ResourceList) -> [bool; 2] {
    let Some(pod_level) = spec.pod_requests.as_ref().filter(|list| !list.is_empty()) else { return [true, true] };
    [ResourceName::Cpu, ResourceName::Memory].map(|name| {
        let named_by_container = || spec.containers.iter().chain(&spec.init_containers).any(|container| of(container).contains_key(&name));
        !(pod_level.contains_key(&name) || spec.overhead.contains_key(&name) || named_by_container())
    })
}

fn with_defaults(mut list: ResourceList, [cpu, memory]: [bool; 2]) -> ResourceList {
    if cpu {
        list.entry(ResourceName::Cpu).or_insert(DEFAULT_CPU_MILLIS);
    }
    if memory {
        list.entry(ResourceName::Memory).or_insert(DEFAULT_MEMORY_BYTES);
    }
    list
}

/// Statuses stand in the spec's order.
fn status_of<'a>(pod: &'a Pod, container: &Container) -> Option<&'a ContainerStatus> {
    let place = |list: &[Container]| list.iter().position(|other| other.name == container.name);
    match place(&pod.spec.containers) {
        Some(at) => pod.status.containers.get(at),
        None => place(&pod.spec.init_containers).and_then(|at| pod.status.init_containers.get(at)),
    }
    .filter(|status| status.requests.is_some())
}

fn resized(container: &Container, status: &ContainerStatus, infeasible: bool) -> ResourceList {
    let mut list = if infeasible { ResourceList::new() } else { container.requests.clone() };
    for reported in status.requests.iter().chain(&status.allocated) {
        for (name, amount) in &**reported {
            let place = list.entry(name.clone()).or_insert(*amount);
            *place = (*place).max(*amount);
        }
    }
    list
}

/// A pod as a scheduler sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodInfo {
    /// Identity.
    pub uid: Uid,
    /// Namespace and name.
    pub key: ObjectKey,
    /// Labels.
    pub labels: Arc<Labels>,
    /// Its managing controller.
    pub controller: Option<Arc<OwnerReference>>,
    /// What it asks for.
    pub spec: Arc<PodSpec>,
    /// The same in numbers.
    pub requests: Arc<PodRequests>,
    /// When a kubelet took it on.
    pub start_time: Option<SimTime>,
    /// Its deletion was asked for.
    pub deleting: bool,
    /// It is going because a preemptor asked.
    pub preempted: bool,
    /// Where preemption made room for it.
    pub nominated_node: Option<Str>,
    /// The node it names itself (`spec.nodeName`); of a waiting pod only in a what-if.
    pub requested_node: Option<Str>,
}

impl PodInfo {
    /// `pod` as a scheduler sees it, with requests worked out before.
    #[must_use]
    pub fn new(pod: &Pod, requests: Arc<PodRequests>) -> Self {
        Self {
            uid: pod.meta.uid,
            key: pod.meta.key(),
            labels: pod.meta.labels.clone(),
            controller: pod.meta.controller().map(|owner| Arc::new(owner.clone())),
            spec: pod.spec.clone(),
            requests,
            start_time: pod.status.start_time,
            deleting: pod.meta.is_deleting(),
            preempted: &*pod.status.conditions.disruption_target == "PreemptionByScheduler",
            nominated_node: pod.status.nominated_node_name.clone(),
            requested_node: pod.node_name.clone(),
        }
    }

    /// Whether it has any term about other pods.
    #[must_use]
    pub fn has_pod_affinity(&self) -> bool {
        self.spec.affinity.pod.is_some() || self.spec.affinity.pod_anti.is_some()
    }

    /// Whether it has a required term against other pods.
    #[must_use]
    pub fn has_required_anti_affinity(&self) -> bool {
        self.spec.affinity.pod_anti.as_ref().is_some_and(|anti| !anti.required.is_empty())
    }
}

/// A port of a node that a pod takes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HostPort {
    /// The address; `0.0.0.0` is all of them.
    pub ip: Str,
    /// TCP, UDP or SCTP.
    pub protocol: Str,
    /// The number.
    pub port: u16,
}

impl HostPort {
    /// The address that stands for all.
    const ANY: &str = "0.0.0.0";

    /// What a pod of this spec takes: ports of containers and sidecars, of ordinary init containers none.
    pub fn of(spec: &PodSpec) -> impl Iterator<Item = Self> {
        let sidecars = spec.init_containers.iter().filter(|container| container.is_sidecar);
        let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports).filter(|port| port.host_port > 0);
        ports.map(|port| Self {
            ip: if port.host_ip.is_empty() { Self::ANY.into() } else { port.host_ip.clone() },
            protocol: if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() },
            port: port.host_port,
        })
    }
    /// Whether both cannot be taken on one node.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || &*self.ip == Self::ANY || &*other.ip == Self::ANY)
    }
}

/// What a scan over many nodes asks first, kept beside the sums so that it costs no pointer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct NodeFlags {
    unschedulable: bool,
    hard_taints: bool,
    soft_taints: bool,
}

/// A node and what is on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// The node. Replaced with [`NodeInfo::set_node`], which keeps what is derived from it.
    pub node: Arc<Node>,
    /// What pods may request in all.
    pub allocatable: Resources,
    /// What its pods request.
    pub requested: Resources,
    /// The same with the score's defaults for containers that name nothing.
    pub nonzero_cpu_millis: i64,
    /// The same for memory.
    pub nonzero_memory_bytes: i64,
    /// Its pods, in the order they were placed.
    pub pods: Vec<PodInfo>,
    /// Ports its pods take. A set as upstream's: of two pods that hold one port, the first to go frees it.
    used_ports: BTreeSet<HostPort>,
    flags: NodeFlags,
    affinity_pods: u32,
    required_anti_affinity_pods: u32,
}

impl NodeInfo {
    /// An empty node.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        let mut info = Self {
            node: node.clone(),
            allocatable: Resources::default(),
            requested: Resources::default(),
            nonzero_cpu_millis: 0,
            nonzero_memory_bytes: 0,
            pods: Vec::new(),
            used_ports: BTreeSet::new(),
            flags: NodeFlags::default(),
            affinity_pods: 0,
            required_anti_affinity_pods: 0,
        };
        info.set_node(node);
        info
    }
    /// Replaces the node's description and keeps its pods.
    pub fn set_node(&mut self, node: Arc<Node>) {
        self.allocatable = Resources::from_list(&node.status.allocatable);
        self.flags = NodeFlags {
            unschedulable: node.spec.unschedulable,
            hard_taints: node.spec.taints.iter().any(|taint| taint.effect != TaintEffect::PreferNoSchedule),
            soft_taints: node.spec.taints.iter().any(|taint| taint.effect == TaintEffect::PreferNoSchedule),
        };
        self.node = node;
    }
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Str {
        &self.node.meta.name
    }
    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.node.meta.labels
    }
    /// Whether it is cordoned.
    #[must_use]
    pub const fn is_unschedulable(&self) -> bool {
        self.flags.unschedulable
    }
    /// Whether it has a NoSchedule or NoExecute taint.
    #[must_use]
    pub const fn has_hard_taints(&self) -> bool {
        self.flags.hard_taints
    }
    /// Whether it has a PreferNoSchedule taint.
    #[must_use]
    pub const fn has_soft_taints(&self) -> bool {
        self.flags.soft_taints
    }
    /// Whether a pod on it has terms about other pods.
    #[must_use]
    pub const fn has_pods_with_affinity(&self) -> bool {
        self.affinity_pods > 0
    }
    /// Whether a pod on it has a required term against other pods.
    #[must_use]
    pub const fn has_pods_with_required_anti_affinity(&self) -> bool {
        self.required_anti_affinity_pods > 0
    }
    /// Ports of it that are taken.
    #[must_use]
    pub const fn used_ports(&self) -> &BTreeSet<HostPort> {
        &self.used_ports
    }
    /// Puts a pod on it.
    pub fn add_pod(&mut self, pod: PodInfo) {
        self.requested.add(&pod.requests.requests);
        self.nonzero_cpu_millis += pod.requests.nonzero_cpu_millis;
        self.nonzero_memory_bytes += pod.requests.nonzero_memory_bytes;
        self.affinity_pods += u32::from(pod.has_pod_affinity());
        self.required_anti_affinity_pods += u32::from(pod.has_required_anti_affinity());
        self.used_ports.extend(HostPort::of(&pod.spec));
        if self.pods.len() == self.pods.capacity() {
            self.pods.reserve_exact((self.pods.len() / 4).max(4)); // There are many nodes, and few that fill up.
        }
        self.pods.push(pod);
    }
    /// Takes a pod off it; `None` when it is not there.
    pub fn remove_pod(&mut self, uid: Uid) -> Option<PodInfo> {
        let position = self.pods.iter().position(|pod| pod.uid == uid)?;
        let pod = self.pods.remove(position);
        self.requested.sub(&pod.requests.requests);
        self.nonzero_cpu_millis -= pod.requests.nonzero_cpu_millis;
        self.nonzero_memory_bytes -= pod.requests.nonzero_memory_bytes;
        self.affinity_pods -= u32::from(pod.has_pod_affinity());
        self.required_anti_affinity_pods -= u32::from(pod.has_required_anti_affinity());
        for port in HostPort::of(&pod.spec) {
            self.used_ports.remove(&port);
        }
        Some(pod)
    }
}
