//! Cluster objects other than nodes and pods that plugins look at.
//!
//! Shared by `Arc` with whoever keeps them (the engine's store), so that a change costs one map entry.
//! Keyed as the API keys them: by name when cluster-scoped, by namespace and name otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    CsiDriver, CsiNode, CsiStorageCapacity, Namespace, ObjectKey, OtherWorkload, PersistentVolume, PersistentVolumeClaim,
    PodDisruptionBudget, ReplicaSet, Service, StatefulSet, StorageClass, Str,
};

/// What there is besides nodes and pods. An object that is not here does not exist.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClusterObjects {
    /// Namespaces: selectors of inter-pod affinity ask for their labels.
    pub namespaces: BTreeMap<Str, Arc<Namespace>>,
    /// Services: default spreading selects by them.
    pub services: BTreeMap<ObjectKey, Arc<Service>>,
    /// ReplicaSets: default spreading, as owners.
    pub replica_sets: BTreeMap<ObjectKey, Arc<ReplicaSet>>,
    /// StatefulSets: default spreading, as owners.
    pub stateful_sets: BTreeMap<ObjectKey, Arc<StatefulSet>>,
    /// ReplicationControllers: default spreading, as owners.
    pub replication_controllers: BTreeMap<ObjectKey, Arc<OtherWorkload>>,
    /// PodDisruptionBudgets: preemption spares what they protect.
    pub pod_disruption_budgets: BTreeMap<ObjectKey, Arc<PodDisruptionBudget>>,
    /// PersistentVolumes.
    pub persistent_volumes: BTreeMap<Str, Arc<PersistentVolume>>,
    /// PersistentVolumeClaims.
    pub persistent_volume_claims: BTreeMap<ObjectKey, Arc<PersistentVolumeClaim>>,
    /// StorageClasses.
    pub storage_classes: BTreeMap<Str, Arc<StorageClass>>,
    /// CSINodes, by node name.
    pub csi_nodes: BTreeMap<Str, Arc<CsiNode>>,
    /// CSIDrivers.
    pub csi_drivers: BTreeMap<Str, Arc<CsiDriver>>,
    /// CSIStorageCapacities.
    pub csi_storage_capacities: BTreeMap<ObjectKey, Arc<CsiStorageCapacity>>,
}
