//! Nodes.

use std::sync::Arc;

use crate::{ConditionStatus, Labels, ObjectMeta, ResourceList, SimTime, Str, Uid};

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum TaintEffect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl TaintEffect {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A taint on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taint {
    /// Key.
    pub key: Str,
    /// Value, often empty.
    pub value: Str,
    /// Effect.
    pub effect: TaintEffect,
    /// When a NoExecute taint was put on.
    pub time_added: Option<SimTime>,
}

impl Taint {
    /// A taint with an empty value.
    #[must_use]
    pub fn new(key: &str, effect: TaintEffect) -> Self {
        Self { key: key.into(), value: "".into(), effect, time_added: None }
    }
}

/// The wanted state of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeSpec {
    /// Cordoned.
    pub unschedulable: bool,
    /// Taints, in order.
    pub taints: Vec<Taint>,
    /// The provider's name of the machine; the simulator puts the node pool's name here.
    pub provider_id: Str,
}

/// An image present on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerImage {
    /// All names of the image.
    pub names: Vec<Str>,
    /// Size.
    pub size_bytes: i64,
}

/// What the node's own software says of it; only what plugins look at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeSystemInfo {
    /// Kubelet version.
    pub kubelet_version: Str,
    /// Declared features (`status.declaredFeatures`), sorted.
    pub declared_features: Vec<Str>,
}

/// The observed state of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeStatus {
    /// Everything there is.
    pub capacity: ResourceList,
    /// What pods may request in all; never shrinks when pods bind.
    pub allocatable: Arc<ResourceList>,
    /// The Ready condition.
    pub ready: ConditionStatus,
    /// Its reason (KubeletReady, KubeletNotReady, NodeStatusUnknown).
    pub ready_reason: Str,
    /// When Ready last changed.
    pub ready_since: SimTime,
    /// MemoryPressure.
    pub memory_pressure: bool,
    /// DiskPressure.
    pub disk_pressure: bool,
    /// PIDPressure.
    pub pid_pressure: bool,
    /// Images present, as the kubelet reports them.
    pub images: Vec<ContainerImage>,
    /// Software.
    pub info: NodeSystemInfo,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Name, labels, identity.
    pub meta: ObjectMeta,
    /// Wanted state.
    pub spec: NodeSpec,
    /// Observed state.
    pub status: NodeStatus,
}

impl Node {
    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.meta.labels
    }
    /// The value of `topology.kubernetes.io/zone`, or empty.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.meta.labels.get("topology.kubernetes.io/zone").map_or("", |zone| zone)
    }
    /// Identity.
    #[must_use]
    pub const fn uid(&self) -> Uid {
        self.meta.uid
    }
}
