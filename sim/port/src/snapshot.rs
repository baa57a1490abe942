//! What a scheduler may look at: nodes with what is placed on them.
//!
//! Invariants:
//! - `requested` of a node is the sum over its pods; `allocatable` never shrinks when pods bind.
//! - The order of [`ClusterSnapshot::nodes`] is the scheduler's node list: zones in order of first
//!   appearance, one node of each zone in turn (upstream: backend/cache/node_tree.go). It is rebuilt
//!   only when nodes come or go; a [`NodeIndex`] is valid until then.
//! - Assumed pods (chosen, not yet bound) are on their node already.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Labels, Node, ObjectKey, OwnerReference, Pod, PodSpec, Resources, SimTime, Str, Uid};

/// The place of a node in [`ClusterSnapshot::nodes`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeIndex(pub u32);

/// What a pod asks for, worked out once per template.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodRequests {
    /// What the filter counts.
    pub requests: Resources,
    /// cpu that resource scores count: 100m for each container that names none.
    pub nonzero_cpu_millis: i64,
    /// Memory that resource scores count: 200Mi for each container that names none.
    pub nonzero_memory_bytes: i64,
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
}

/// A node and what is on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// The node.
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
}

impl NodeInfo {
    /// An empty node.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        let allocatable = Resources::from_list(&node.status.allocatable);
        Self { node, allocatable, requested: Resources::default(), nonzero_cpu_millis: 0, nonzero_memory_bytes: 0, pods: Vec::new() }
    }
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Str {
        &self.node.meta.name
    }
    /// Puts a pod on it.
    pub fn add_pod(&mut self, pod: PodInfo) {
        self.requested.add(&pod.requests.requests);
        self.nonzero_cpu_millis += pod.requests.nonzero_cpu_millis;
        self.nonzero_memory_bytes += pod.requests.nonzero_memory_bytes;
        self.pods.push(pod);
    }
    /// Takes a pod off it; `None` when it is not there.
    pub fn remove_pod(&mut self, uid: Uid) -> Option<PodInfo> {
        let position = self.pods.iter().position(|pod| pod.uid == uid)?;
        let pod = self.pods.remove(position);
        self.requested.sub(&pod.requests.requests);
        self.nonzero_cpu_millis -= pod.requests.nonzero_cpu_millis;
        self.nonzero_memory_bytes -= pod.requests.nonzero_memory_bytes;
        Some(pod)
    }
}

/// The cluster at one instant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClusterSnapshot {
    nodes: Vec<NodeInfo>,
    index: BTreeMap<Str, NodeIndex>,
    /// Names in order of arrival, per zone in order of first appearance.
    zones: Vec<(String, Vec<Str>)>,
    /// Pods that wait for room on a node, by node name; in order of nomination.
    nominated: BTreeMap<Str, Vec<PodInfo>>,
}

impl ClusterSnapshot {
    /// Nodes in list order.
    #[must_use]
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }
    /// One node.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &NodeInfo {
        &self.nodes[index.0 as usize]
    }
    /// One node, to put pods on or take them off.
    pub fn node_mut(&mut self, index: NodeIndex) -> &mut NodeInfo {
        &mut self.nodes[index.0 as usize]
    }
    /// Where the node of this name stands.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.index.get(name).copied()
    }
    /// Adds a node, or replaces its description and keeps its pods.
    pub fn put_node(&mut self, node: Arc<Node>) {
        let name = node.meta.name.clone();
        if let Some(index) = self.find(&name) {
            let info = self.node_mut(index);
            let same_zone = zone_key(&info.node) == zone_key(&node);
            info.allocatable = Resources::from_list(&node.status.allocatable);
            let old = std::mem::replace(&mut info.node, node);
            if same_zone {
                return;
            }
            self.leave_zone(&zone_key(&old), &name);
        } else {
            self.nodes.push(NodeInfo::new(node));
            self.index.insert(name.clone(), NodeIndex(self.nodes.len() as u32 - 1));
        }
        let zone = zone_key(&self.nodes[self.index[&name].0 as usize].node);
        match self.zones.iter_mut().find(|(key, _)| *key == zone) {
            Some((_, names)) => names.push(name),
            None => self.zones.push((zone, vec![name])),
        }
        self.reorder();
    }
    /// Takes a node away, with what is on it.
    pub fn remove_node(&mut self, name: &str) -> Option<NodeInfo> {
        let index = self.index.remove(name)?;
        let info = self.nodes.remove(index.0 as usize);
        self.leave_zone(&zone_key(&info.node), name);
        self.reorder();
        Some(info)
    }
    /// Pods nominated to a node.
    #[must_use]
    pub fn nominated(&self, node: &str) -> &[PodInfo] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }
    /// Remembers that `pod` waits for room on `node`.
    pub fn nominate(&mut self, node: &Str, pod: PodInfo) {
        self.forget_nomination(pod.uid);
        self.nominated.entry(node.clone()).or_default().push(pod);
    }
    /// Forgets where a pod waited.
    pub fn forget_nomination(&mut self, uid: Uid) {
        self.nominated.retain(|_, pods| {
            pods.retain(|pod| pod.uid != uid);
            !pods.is_empty()
        });
    }

    fn leave_zone(&mut self, zone: &str, name: &str) {
        for (key, names) in &mut self.zones {
            if key == zone {
                names.retain(|other| &**other != name);
            }
        }
        self.zones.retain(|(_, names)| !names.is_empty());
    }

    /// One node of each zone in turn.
    fn reorder(&mut self) {
        let mut by_name: BTreeMap<Str, NodeInfo> = self.nodes.drain(..).map(|info| (info.name().clone(), info)).collect();
        let longest = self.zones.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
        for round in 0..longest {
            for (_, names) in &self.zones {
                if let Some(info) = names.get(round).and_then(|name| by_name.remove(name)) {
                    self.nodes.push(info);
                }
            }
        }
        self.index = self.nodes.iter().enumerate().map(|(place, info)| (info.name().clone(), NodeIndex(place as u32))).collect();
    }
}

/// Region and zone in one; nodes without either share one key.
fn zone_key(node: &Node) -> String {
    let label = |key: &str| node.meta.labels.get(key).map_or("", |value| value);
    let (region, zone) = (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\u{0}:{zone}") }
}

impl PodRequests {
    /// What an incoming pod asks for.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Self {
        const DEFAULT_CPU_MILLIS: i64 = 100;
        const DEFAULT_MEMORY_BYTES: i64 = 200 << 20;
        // Scores ignore pod-level requests of an incoming pod (upstream quirk).
        let nonzero = spec.aggregate(false, |container| {
            let mut list = container.requests.clone();
            list.entry(api::ResourceName::Cpu).or_insert(DEFAULT_CPU_MILLIS);
            list.entry(api::ResourceName::Memory).or_insert(DEFAULT_MEMORY_BYTES);
            list
        });
        Self { requests: spec.requests(), nonzero_cpu_millis: nonzero.cpu_millis, nonzero_memory_bytes: nonzero.memory_bytes }
    }
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
        }
    }
}
