//! One file per controller: read the store, return the writes wanted.
//!
//! Each has a `sync` that is level-triggered: it looks at what is, not at what changed. Which changes
//! put which key into which work queue is in [`interested`]; queues, clients and retries are the world's.
//! Controllers with a clock of their own (node lifecycle, taint eviction, autoscalers, PodGC) keep what
//! they have observed, and hear of changes through their `changed`.
//!
//! Invariants: nothing here changes the store; whatever order objects are looked at in is fixed.

use api::{ObjectKey, ObjectMeta, OwnerReference, SimTime};

use crate::effects::{Component, Effects, Key};
use crate::objects::Kept;
use crate::random::Streams;
use crate::spec::ControlPlane;
use crate::store::{Change, DeploymentId, Id, NodeId, PodId, ReplicaSetId, StatefulSetId, Store};

#[cfg(test)]
mod bench;
mod claim;
pub(crate) mod cluster_autoscaler;
pub(crate) mod cron_job;
pub(crate) mod custom_metrics;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod disruption;
pub(crate) mod endpoint_slice;
pub(crate) mod garbage_collector;
pub(crate) mod history;
pub(crate) mod horizontal_pod_autoscaler;
pub(crate) mod job;
pub(crate) mod metrics;
pub(crate) mod namespace;
pub(crate) mod node_lifecycle;
mod pod_control;
pub(crate) mod pod_gc;
mod replica_calculator;
pub(crate) mod replica_set;
pub(crate) mod resource_quota;
pub(crate) mod stateful_set;
pub(crate) mod taint_eviction;
pub(crate) mod ttl_after_finished;
pub(crate) mod vertical_pod_autoscaler;
pub(crate) mod volume;

/// What a room may read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a Store,
    pub(crate) settings: &'a ControlPlane,
    pub(crate) streams: &'a Streams,
    pub(crate) now: SimTime,
}

/// Informer event handlers: which keys `change` puts into which work queues.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Component, Key)) {
    replica_set::interested(change, view, &mut |id| queue(Component::ReplicaSet, key(id)));
    deployment::interested(change, view, &mut |id| queue(Component::Deployment, key(id)));
    endpoint_slice::interested(change, view, &mut |id| queue(Component::EndpointSlice, key(id)));
    daemon_set::interested(change, view, &mut |id| queue(Component::DaemonSet, key(id)));
    cron_job::interested(change, view, &mut |id| queue(Component::CronJob, key(id)));
    ttl_after_finished::interested(change, view, &mut |id| queue(Component::TtlAfterFinished, key(id)));
    job::interested(change, view, &mut |key| queue(Component::Job, key));
    stateful_set::interested(change, view, &mut |id| queue(Component::StatefulSet, key(id)));
    volume::binder::interested(change, view, &mut |key| queue(Component::PersistentVolumeBinder, key));
    volume::ephemeral::interested(change, view, &mut |key| queue(Component::EphemeralVolume, key));
    volume::protection::interested(change, view, &mut |key| queue(Component::StorageProtection, key));
    volume::attach_detach::interested(change, view, &mut |key| queue(Component::AttachDetach, key));
    garbage_collector::interested(change, view, &mut |key| queue(Component::GarbageCollector, key));
    disruption::interested(change, view, &mut |id| queue(Component::Disruption, key(id)));
    resource_quota::interested(change, view, &mut |id| queue(Component::ResourceQuota, key(id)));
    namespace::interested(change, view, &mut |id| queue(Component::Namespace, key(id)));
    if let Change::NodeModified(id) | Change::NodeAdded(id) = change
        && view.store.nodes.get(*id).is_some_and(|node| node_lifecycle::no_schedule_patch(node).is_some())
    {
        queue(Component::NodeLifecycle, key(*id));
    }
}

/// The same, for queues that wait a while so that what happens meanwhile is dealt with at once.
pub(crate) fn interested_later(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Component, Key, SimTime)) {
    daemon_set::interested_later(change, view, &mut |id, at| queue(Component::DaemonSet, key(id), at));
    job::interested_later(change, view, &mut |id, at| queue(Component::Job, key(id), at));
}

/// One reconciliation of one key.
pub(crate) fn sync(component: Component, key: Key, view: &View<'_>, out: &mut Effects) {
    match component {
        Component::Deployment => deployment::sync(DeploymentId::new(key.0), view, out),
        Component::ReplicaSet => replica_set::sync(ReplicaSetId::new(key.0), view, out),
        Component::StatefulSet => stateful_set::sync(StatefulSetId::new(key.0), view, out),
        Component::PersistentVolumeBinder => volume::binder::sync(key, view, out),
        Component::EphemeralVolume => volume::ephemeral::sync(PodId::new(key.0), view, out),
        Component::StorageProtection => volume::protection::sync(key, view, out),
        Component::AttachDetach => volume::attach_detach::sync(Id::new(key.0), view, out),
        Component::EndpointSlice => endpoint_slice::sync(Id::new(key.0), view, out),
        Component::Disruption => disruption::sync(Id::new(key.0), view, out),
        Component::ResourceQuota => resource_quota::sync(Id::new(key.0), view, out),
        Component::Namespace => namespace::sync(Id::new(key.0), view, out),
        Component::GarbageCollector => garbage_collector::sync(key, view, out),
        Component::NodeLifecycle => node_lifecycle::sync(NodeId::new(key.0), view, out),
        Component::DaemonSet => daemon_set::sync(Id::new(key.0), view, out),
        Component::CronJob => cron_job::sync(Id::new(key.0), view, out),
        Component::TtlAfterFinished => ttl_after_finished::sync(Id::new(key.0), view, out),
        Component::Job => job::sync(key, view, out),
        Component::TaintEviction
        | Component::NodeMonitor
        | Component::PodGc
        | Component::HorizontalPodAutoscaler
        | Component::ClusterAutoscaler
        | Component::VpaRecommender
        | Component::VpaUpdater
        | Component::Scheduler
        | Component::Kubelet
        | Component::CsiDriver
        | Component::Kubectl => {} // They have no work queue: timers and changes drive them.
    }
}

const fn key<T>(id: Id<T>) -> Key {
    Key(id.number())
}

/// An object as records and events name it: `Kind/namespace/name`.
fn object_name(kind: &str, meta: &ObjectMeta) -> String {
    if meta.namespace.is_empty() { format!("{kind}/{}", meta.name) } else { format!("{kind}/{}/{}", meta.namespace, meta.name) }
}

/// The Deployment an owner reference means, in the namespace of the owned object.
fn owning_deployment(store: &Store, meta: &ObjectMeta) -> Option<DeploymentId> {
    let id = store.deployments.find(&owner_key(meta, meta.controller()?, "Deployment")?)?;
    is_owner(meta, &store.deployments.get(id)?.meta).then_some(id)
}

/// The ReplicaSet an owner reference means, in the namespace of the owned object.
fn owning_replica_set(store: &Store, meta: &ObjectMeta) -> Option<ReplicaSetId> {
    let id = store.replica_sets.find(&owner_key(meta, meta.controller()?, "ReplicaSet")?)?;
    is_owner(meta, &store.replica_sets.get(id)?.meta).then_some(id)
}

/// The StatefulSet an owner reference means, in the namespace of the owned object.
fn owning_stateful_set(store: &Store, meta: &ObjectMeta) -> Option<StatefulSetId> {
    owning::<api::StatefulSet>(store, meta)
}

/// The object of a kind of the store's list that an owner reference means, in the namespace of the owned object.
fn owning<T: Kept>(store: &Store, meta: &ObjectMeta) -> Option<Id<T>> {
    let id = T::table(store).find(&owner_key(meta, meta.controller()?, T::KIND.as_str())?)?;
    is_owner(meta, T::table(store).get(id)?.meta()).then_some(id)
}

fn owner_key(owned: &ObjectMeta, owner: &OwnerReference, kind: &str) -> Option<ObjectKey> {
    (&*owner.kind == kind).then(|| ObjectKey { namespace: owned.namespace.clone(), name: owner.name.clone() })
}

/// Names are reused, identities are not. A reference without an identity is taken at its name.
fn is_owner(owned: &ObjectMeta, owner: &ObjectMeta) -> bool {
    owned.controller().is_some_and(|reference| reference.uid.0 == 0 || reference.uid == owner.uid)
}

/// The instant as the API server keeps it: in whole seconds, rounded down.
const fn whole_second(time: SimTime) -> SimTime {
    SimTime::from_secs(time.as_secs())
}
