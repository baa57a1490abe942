//! Volumes and classes, in the depth that scheduling needs.

use std::collections::BTreeMap;

use crate::{LabelSelector, Labels, NodeSelectorTerm, ObjectMeta, SimTime, Str, Uid};

/// A persistent volume.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PersistentVolume {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Size.
    pub capacity_bytes: i64,
    /// ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod.
    pub access_modes: Vec<Str>,
    /// Class name, or empty.
    pub storage_class_name: Str,
    /// Block instead of Filesystem.
    pub block: bool,
    /// Terms of which one must match the node.
    pub node_affinity: Option<Vec<NodeSelectorTerm>>,
    /// The claim it is bound to or reserved for, as `namespace/name`; empty when free.
    pub claim_ref: Str,
    /// Identity of that claim; zero while it is only reserved.
    pub claim_uid: Uid,
    /// `persistentVolumeReclaimPolicy: Delete`.
    pub deletes_when_released: bool,
    /// CSI driver and handle, when it is a CSI volume.
    pub csi: Option<(Str, Str)>,
    /// Phase, or empty.
    pub phase: Str,
}

/// A claim.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PersistentVolumeClaim {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Asked size.
    pub request_bytes: i64,
    /// Access modes.
    pub access_modes: Vec<Str>,
    /// Class name; `None` when the field is absent.
    pub storage_class_name: Option<Str>,
    /// Block instead of Filesystem.
    pub block: bool,
    /// Which volumes will do.
    pub selector: Option<LabelSelector>,
    /// The bound volume, or empty.
    pub volume_name: Str,
    /// Phase, or empty.
    pub phase: Str,
}

impl PersistentVolumeClaim {
    /// Its class, or empty.
    #[must_use]
    pub fn class(&self) -> &str {
        self.storage_class_name.as_deref().unwrap_or("")
    }
}

/// What a generic ephemeral volume asks of the claim that is made for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct EphemeralClaim {
    /// Labels of the claim.
    pub labels: Labels,
    /// Annotations of the claim.
    pub annotations: Labels,
    /// Asked size.
    pub request_bytes: i64,
    /// Access modes.
    pub access_modes: Vec<Str>,
    /// Class name; `None` when the field is absent.
    pub storage_class_name: Option<Str>,
    /// Block instead of Filesystem.
    pub block: bool,
    /// Which volumes will do.
    pub selector: Option<LabelSelector>,
}

/// A storage class.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StorageClass {
    /// Name, annotations.
    pub meta: ObjectMeta,
    /// Provisioner.
    pub provisioner: Str,
    /// Binds when a pod comes instead of at once.
    pub wait_for_first_consumer: bool,
    /// `reclaimPolicy: Delete` of the volumes it makes.
    pub deletes_when_released: bool,
    /// Where volumes may be made; one term must match.
    pub allowed_topologies: Vec<NodeSelectorTerm>,
}

/// A volume on a node, or on its way to or from it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct VolumeAttachment {
    /// Name, finalizers.
    pub meta: ObjectMeta,
    /// The node.
    pub node_name: Str,
    /// The volume.
    pub volume_name: Str,
    /// It is there.
    pub attached: bool,
    /// Since when no pod on a silent node wants it. Not an official field: the controller remembers it.
    pub unwanted_since: Option<SimTime>,
}

/// Volume drivers on a node.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CsiNode {
    /// The node's name, annotations.
    pub meta: ObjectMeta,
    /// Volume limit per driver; `None` means no limit.
    pub drivers: BTreeMap<Str, Option<i32>>,
}

/// A volume driver.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CsiDriver {
    /// Name.
    pub meta: ObjectMeta,
    /// Publishes capacity.
    pub storage_capacity: bool,
    /// `attachRequired: false`: its volumes need no attaching.
    pub skips_attach: bool,
}

/// Free capacity that a driver reports.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CsiStorageCapacity {
    /// Name.
    pub meta: ObjectMeta,
    /// Class.
    pub storage_class_name: Str,
    /// Nodes it speaks of; `None` means none.
    pub node_topology: Option<LabelSelector>,
    /// Free bytes; `None` when not said.
    pub capacity_bytes: Option<i64>,
    /// Largest volume; `None` when not said.
    pub maximum_volume_bytes: Option<i64>,
}

/// A namespace.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Namespace {
    /// Name, labels.
    pub meta: ObjectMeta,
}

impl Namespace {
    /// Its labels with the name label that the API server adds.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let mut labels = (*self.meta.labels).clone();
        labels.insert("kubernetes.io/metadata.name".into(), self.meta.name.clone());
        labels
    }
}
