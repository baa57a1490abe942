//! What every object carries: name, labels, owner, version, times.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Labels, SimDuration, SimTime, Str};

/// An object's identity over its whole life. Never reused in a run; its order means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u64);

/// Sixteen hexadecimal digits, as events show it.
impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The kinds the simulator keeps objects of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "official names")]
pub enum Kind {
    Namespace,
    Node,
    Pod,
    Deployment,
    ReplicaSet,
    StatefulSet,
    ControllerRevision,
    DaemonSet,
    Job,
    CronJob,
    ReplicationController,
    Service,
    EndpointSlice,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    PriorityClass,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CSINode,
    CSIDriver,
    CSIStorageCapacity,
    VolumeAttachment,
    ResourceQuota,
    LimitRange,
    NetworkPolicy,
    VerticalPodAutoscaler,
}

impl Kind {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::ControllerRevision => "ControllerRevision",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::ReplicationController => "ReplicationController",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::PriorityClass => "PriorityClass",
            Self::PersistentVolume => "PersistentVolume",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::StorageClass => "StorageClass",
            Self::CSINode => "CSINode",
            Self::CSIDriver => "CSIDriver",
            Self::CSIStorageCapacity => "CSIStorageCapacity",
            Self::VolumeAttachment => "VolumeAttachment",
            Self::ResourceQuota => "ResourceQuota",
            Self::LimitRange => "LimitRange",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::VerticalPodAutoscaler => "VerticalPodAutoscaler",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Namespace and name. The namespace is empty for cluster-scoped kinds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ObjectKey {
    /// Namespace, or empty.
    pub namespace: Str,
    /// Name.
    pub name: Str,
}

impl ObjectKey {
    /// The key of `namespace`/`name`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// `namespace/name`, or the bare name when there is no namespace.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// The owner that controls an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerReference {
    /// Kind of the owner; kinds the simulator does not keep are only a name.
    pub kind: Str,
    /// Name of the owner, in the object's namespace.
    pub name: Str,
    /// Identity of the owner; zero when a manifest did not say.
    pub uid: Uid,
    /// Whether it is the managing controller.
    pub controller: bool,
}

/// What becomes of the objects that a deleted object owns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Propagation {
    /// They go after it.
    #[default]
    Background,
    /// They go before it.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

impl Propagation {
    /// The finalizer that stands for it.
    #[must_use]
    pub const fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some("foregroundDeletion"),
            Self::Orphan => Some("orphan"),
        }
    }
}

/// What every object carries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectMeta {
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// Identity; assigned by the store.
    pub uid: Uid,
    /// Labels, shared between the pods of one template.
    pub labels: Arc<Labels>,
    /// Annotations that mean something to the simulator, and all others as found.
    pub annotations: Arc<Labels>,
    /// Owners; at most one is the controller.
    pub owners: Vec<OwnerReference>,
    /// What must be done before it may go, by those who wrote it here.
    pub finalizers: Vec<Str>,
    /// When it was created.
    pub creation: SimTime,
    /// When its graceful deletion was asked for, plus the grace: the official `deletionTimestamp`.
    pub deletion: Option<SimTime>,
    /// The grace given with it.
    pub deletion_grace: Option<SimDuration>,
    /// The version of its last write; assigned by the store.
    pub resource_version: u64,
    /// Raised by every change of its spec; assigned by the store.
    pub generation: u64,
}

impl ObjectMeta {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
    /// The managing controller, if there is one.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.controller)
    }
    /// Whether it has this finalizer.
    #[must_use]
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|finalizer| &**finalizer == name)
    }
    /// Whether its dependents go before it.
    #[must_use]
    pub fn waits_for_dependents(&self) -> bool {
        self.is_deleting() && Propagation::Foreground.finalizer().is_some_and(|name| self.has_finalizer(name))
    }
    /// Whether its deletion was asked for.
    #[must_use]
    pub const fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }
}
