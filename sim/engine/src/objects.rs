//! Kinds that the store, the writes and the world keep by one mechanism; a new kind is a line of the list below.
//!
//! Invariants:
//! - A write of the spec leaves the status as it is, and the other way round, as the API server's
//!   subresources do. What belongs to the status is said in the list.
//! - A write made with an old resourceVersion is refused (optimistic concurrency).
//!
//! Pods and Nodes have writes and changes of their own, Deployments and ReplicaSets writes of their own.

use api::{Kind, ObjectMeta};

use crate::store::{Object, Store, Table};

/// Which half of an object a write replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Everything but the status; metadata too.
    Spec,
    /// The status alone.
    Status,
    /// The status again, after the same writer's last one; refused only when the spec has changed meanwhile.
    NextStatus,
}

/// A kind of the list.
pub(crate) trait Kept: Object + Clone + PartialEq + Sized + 'static {
    /// Which kind.
    const KIND: Kind;
    /// Its metadata.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// Its table.
    fn table(store: &Store) -> &Table<Self>;
    /// Its table, for the store alone.
    fn table_mut(store: &mut Store) -> &mut Table<Self>;
    /// Takes over the status of another version of the object.
    fn take_status(&mut self, from: &Self);
    /// Without its kind.
    fn into_any(self) -> AnyObject;
}

macro_rules! kinds {
    ($($kind:ident: $type:ident, $table:ident, [$($status:ident),*];)*) => {
        /// An object of a kind of the list.
        #[derive(Clone, PartialEq, Debug)]
        pub(crate) enum AnyObject { $(
            #[doc = concat!("A ", stringify!($kind), ".")]
            $kind(Box<api::$type>),
        )* }

        impl AnyObject {
            /// The kinds of the list.
            pub(crate) const KINDS: &[Kind] = &[$(Kind::$kind,)*];
            /// Which kind.
            pub(crate) const fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }
            /// Its metadata.
            pub(crate) fn meta(&self) -> &ObjectMeta {
                match self { $(Self::$kind(object) => &object.meta,)* }
            }
        }

        $(impl Kept for api::$type {
            const KIND: Kind = Kind::$kind;
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.meta
            }
            fn table(store: &Store) -> &Table<Self> {
                &store.$table
            }
            fn table_mut(store: &mut Store) -> &mut Table<Self> {
                &mut store.$table
            }
            #[allow(unused_variables, reason = "kinds without a status")]
            fn take_status(&mut self, from: &Self) {
                $(self.$status = from.$status.clone();)*
            }
            fn into_any(self) -> AnyObject {
                AnyObject::$kind(Box::new(self))
            }
        })*

        /// Does the same with an object of whichever kind of the list.
        macro_rules! with_object {
            ($any:expr, $object:ident => $body:expr) => {
                match $any { $($crate::objects::AnyObject::$kind($object) => $body,)* }
            };
        }
        /// Does the same with the type of whichever kind of the list; `$none` for any other kind.
        macro_rules! with_kind {
            ($given:expr, $name:ident => $body:expr, else $none:expr) => {
                match $given {
                    $(api::Kind::$kind => { type $name = api::$type; $body })*
                    _ => $none,
                }
            };
        }
        pub(crate) use {with_kind, with_object};
    };
}

// kind: its noun, its table, [what controllers write as its status].
kinds! {
    Deployment: Deployment, deployments, [status, collision_count];
    ReplicaSet: ReplicaSet, replica_sets, [status];
    Namespace: Namespace, namespaces, [];
    PriorityClass: PriorityClass, priority_classes, [];
    PodDisruptionBudget: PodDisruptionBudget, pdbs, [observed_generation, disruptions_allowed, disrupted_pods, current_healthy, desired_healthy, expected_pods, disruption_allowed];
    Service: Service, services, [];
    HorizontalPodAutoscaler: HorizontalPodAutoscaler, hpas, [current_replicas, desired_replicas, last_scale, conditions];
    StatefulSet: StatefulSet, stateful_sets, [status];
    ControllerRevision: ControllerRevision, controller_revisions, [];
    StorageClass: StorageClass, storage_classes, [];
    PersistentVolume: PersistentVolume, persistent_volumes, [phase];
    PersistentVolumeClaim: PersistentVolumeClaim, persistent_volume_claims, [phase];
    DaemonSet: DaemonSet, daemon_sets, [status, template_changes];
    Job: Job, jobs, [status];
    CronJob: CronJob, cron_jobs, [status];
    CSINode: CsiNode, csi_nodes, [];
    CSIDriver: CsiDriver, csi_drivers, [];
    CSIStorageCapacity: CsiStorageCapacity, csi_storage_capacities, [];
    VolumeAttachment: VolumeAttachment, volume_attachments, [attached, unwanted_since];
    ResourceQuota: ResourceQuota, resource_quotas, [status];
    LimitRange: LimitRange, limit_ranges, [];
    NetworkPolicy: NetworkPolicy, network_policies, [];
    VerticalPodAutoscaler: VerticalPodAutoscaler, vpas, [recommendation, conditions];
}
