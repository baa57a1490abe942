//! The API server's objects: typed tables, resourceVersion, and what the watchers will hear.
//!
//! Invariants:
//! - Only the world calls the mutating half, when a write lands. Rooms get `&Store`.
//! - Every mutation raises the resourceVersion and appends one [`Change`].
//! - Numbers in tables are never reused in a run, so a stale id finds nothing rather than a stranger.
//! - Iteration is in order of creation; look-ups by name go through an ordered index.

mod slices;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use api::{
    ControllerRevision, CronJob, CsiDriver, CsiNode, CsiStorageCapacity, DaemonSet, Deployment, EndpointSlice, HorizontalPodAutoscaler,
    Job, Kind, Labels, LimitRange, Namespace, NetworkPolicy, Node, ObjectKey, ObjectMeta, PersistentVolume, PersistentVolumeClaim, Pod,
    PodDisruptionBudget, PriorityClass, ReplicaSet, ResourceQuota, Service, SimTime, StatefulSet, StorageClass, Str, Uid,
    VerticalPodAutoscaler, VolumeAttachment,
};
use rustc_hash::FxHashMap;

use crate::objects::{AnyObject, Kept};
use crate::random::{Draw, Purpose, Split, Streams, entity};
use crate::selected::Selected;

use self::slices::Listing;
pub(crate) use self::slices::{Behind, Who, is_managed};

/// The number of an object in its table.
pub(crate) struct Id<T>(u32, PhantomData<fn() -> T>);

impl<T> Id<T> {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number, PhantomData)
    }
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> std::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

pub(crate) type PodId = Id<Pod>;
pub(crate) type NodeId = Id<Node>;
pub(crate) type DeploymentId = Id<Deployment>;
pub(crate) type ReplicaSetId = Id<ReplicaSet>;
pub(crate) type StatefulSetId = Id<StatefulSet>;
pub(crate) type ServiceId = Id<Service>;
pub(crate) type HpaId = Id<HorizontalPodAutoscaler>;
pub(crate) type DaemonSetId = Id<DaemonSet>;
pub(crate) type JobId = Id<Job>;
pub(crate) type CronJobId = Id<CronJob>;
pub(crate) type VpaId = Id<VerticalPodAutoscaler>;

/// What every kept kind has.
pub(crate) trait Object {
    fn meta(&self) -> &ObjectMeta;

    /// Identity of the managing controller.
    fn controller(&self) -> Option<Uid> {
        self.meta().controller().map(|owner| owner.uid)
    }
    /// What the API server notes when the spec of `before` is replaced by its own.
    fn replaces(&mut self, _before: &Self) {}
    /// What a workload says of its pods: desired, current, updated, ready, available.
    fn counts(&self) -> Option<[i32; 5]> {
        None
    }
}

macro_rules! objects {
    ($($kind:ty),*) => { $(impl Object for $kind {
        fn meta(&self) -> &ObjectMeta { &self.meta }
    })* };
}
impl Object for StatefulSet {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn counts(&self) -> Option<[i32; 5]> {
        let status = &self.status;
        Some([self.replicas, status.replicas, status.updated, status.ready, status.available])
    }
}
impl Object for DaemonSet {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    /// Upstream: pkg/registry/apps/daemonset/strategy.go (PrepareForUpdate).
    fn replaces(&mut self, before: &Self) {
        self.template_changes += u64::from(self.template != before.template);
    }
    fn counts(&self) -> Option<[i32; 5]> {
        let status = &self.status;
        let (desired, current) = (status.desired_number_scheduled, status.current_number_scheduled);
        Some([desired, current, status.updated_number_scheduled, status.number_ready, status.number_available])
    }
}
/// A Job's successes are what it has to offer; its pods come and go for them.
impl Object for Job {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn counts(&self) -> Option<[i32; 5]> {
        let status = &self.status;
        Some([self.desired(), status.active, status.active, status.ready.unwrap_or(0), status.succeeded])
    }
}
objects!(
    VolumeAttachment,
    ControllerRevision,
    Namespace,
    Node,
    Pod,
    Deployment,
    ReplicaSet,
    Service,
    EndpointSlice,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    PriorityClass,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CsiNode,
    CsiDriver,
    CsiStorageCapacity,
    CronJob,
    ResourceQuota,
    LimitRange,
    NetworkPolicy,
    VerticalPodAutoscaler
);

/// Characters of generated names (upstream: apimachinery/pkg/util/rand).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Objects of one kind.
pub(crate) struct Table<T> {
    /// Boxed, so that the number of an object that is gone costs one word.
    slots: Vec<Option<Box<T>>>,
    by_key: BTreeMap<ObjectKey, Id<T>>,
    by_controller: FxHashMap<Uid, Vec<Id<T>>>,
    /// Those with labels that nobody controls, in order; looked for when they are first asked for.
    orphans: OnceCell<Vec<Id<T>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), by_key: BTreeMap::new(), by_controller: FxHashMap::default(), orphans: OnceCell::new() }
    }
}

fn is_orphan<T: Object>(object: &T) -> bool {
    object.controller().is_none() && !object.meta().labels.is_empty()
}

impl<T: Object> Table<T> {
    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        self.slots.get(id.0 as usize)?.as_deref()
    }
    pub(crate) fn find(&self, key: &ObjectKey) -> Option<Id<T>> {
        self.by_key.get(key).copied()
    }
    /// All objects, in order of creation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| slot.as_deref().map(|object| (Id::new(number as u32), object)))
    }
    /// All objects of a namespace, by name.
    pub(crate) fn in_namespace<'a>(&'a self, namespace: &Str) -> impl Iterator<Item = (Id<T>, &'a T)> + use<'a, T> {
        let namespace = namespace.clone();
        let first = ObjectKey { namespace: namespace.clone(), name: "".into() };
        self.by_key.range(first..).take_while(move |(key, _)| key.namespace == namespace).filter_map(|(_, id)| Some((*id, self.get(*id)?)))
    }
    /// All objects whose managing controller has this identity, in order of creation (or of adoption).
    pub(crate) fn of(&self, controller: Uid) -> impl Iterator<Item = (Id<T>, &T)> {
        self.by_controller.get(&controller).into_iter().flatten().filter_map(|id| Some((*id, self.get(*id)?)))
    }
    /// All objects with labels that have no managing controller, in order of creation.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        let find = || self.iter().filter(|(_, object)| is_orphan(*object)).map(|(id, _)| id).collect();
        self.orphans.get_or_init(find).iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
    /// Keeps the list of orphans, if anybody has asked for it.
    fn note_orphan(&mut self, id: Id<T>, is: bool) {
        let Some(orphans) = self.orphans.get_mut() else { return };
        match (orphans.binary_search(&id), is) {
            (Err(place), true) => orphans.insert(place, id),
            (Ok(place), false) => drop(orphans.remove(place)),
            _ => {}
        }
    }
    fn insert(&mut self, object: T) -> Id<T> {
        let id = Id::new(self.slots.len() as u32);
        self.by_key.insert(object.meta().key(), id);
        if let Some(controller) = object.controller() {
            self.by_controller.entry(controller).or_default().push(id);
        }
        self.note_orphan(id, is_orphan(&object));
        self.slots.push(Some(Box::new(object)));
        id
    }
    /// Changes an object in place; `change` says whether it changed anything. A new controller is noticed.
    fn modify(&mut self, id: Id<T>, change: impl FnOnce(&mut T) -> bool) -> bool {
        let Some(object) = self.slots.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else { return false };
        let before = object.controller();
        let changed = change(object);
        let (after, is_orphan) = (object.controller(), is_orphan(object));
        self.note_orphan(id, is_orphan);
        if before != after {
            if let Some(old) = before {
                remove_from(&mut self.by_controller, &old, id);
            }
            if let Some(new) = after {
                self.by_controller.entry(new).or_default().push(id);
            }
        }
        changed
    }
    fn remove(&mut self, id: Id<T>) -> Option<T> {
        let object = *self.slots.get_mut(id.0 as usize)?.take()?;
        self.by_key.remove(&object.meta().key());
        self.note_orphan(id, false);
        if let Some(controller) = object.controller() {
            remove_from(&mut self.by_controller, &controller, id);
        }
        Some(object)
    }
}

/// What watchers hear.
#[derive(Debug)]
pub(crate) enum Change {
    PodAdded(PodId),
    /// With what it was before, as far as watchers compare.
    PodModified(PodId, PodBefore),
    PodDeleted(PodId, Box<Pod>),
    NodeAdded(NodeId),
    NodeModified(NodeId),
    NodeDeleted(NodeId, Box<Node>),
    DeploymentChanged(DeploymentId),
    DeploymentDeleted(Box<Deployment>),
    ReplicaSetChanged(ReplicaSetId),
    ReplicaSetDeleted(Box<ReplicaSet>),
    ServiceChanged(ServiceId),
    ServiceDeleted(ServiceId, Box<Service>),
    /// A slice of a Service's, by its number.
    SliceChanged(ServiceId, u32),
    SliceDeleted(ServiceId, u32, Box<EndpointSlice>),
    HpaChanged(HpaId),
    /// Any other kind: its number in its table.
    Object(Kind, u32),
    /// Any other kind: what it was.
    ObjectDeleted(AnyObject),
}

/// What watchers hear of an object of a kind without a change of its own.
fn changed(kind: Kind, number: u32) -> Change {
    match kind {
        Kind::Deployment => Change::DeploymentChanged(Id::new(number)),
        Kind::ReplicaSet => Change::ReplicaSetChanged(Id::new(number)),
        Kind::Service => Change::ServiceChanged(Id::new(number)),
        Kind::HorizontalPodAutoscaler => Change::HpaChanged(Id::new(number)),
        _ => Change::Object(kind, number),
    }
}

fn deleted(number: u32, object: AnyObject) -> Change {
    match object {
        AnyObject::Deployment(gone) => Change::DeploymentDeleted(gone),
        AnyObject::ReplicaSet(gone) => Change::ReplicaSetDeleted(gone),
        AnyObject::Service(gone) => Change::ServiceDeleted(Id::new(number), gone),
        gone => Change::ObjectDeleted(gone),
    }
}

/// What a pod was before a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PodBefore {
    pub(crate) bound: bool,
    pub(crate) ready: bool,
    pub(crate) deleting: bool,
    pub(crate) terminal: bool,
    /// Its labels or its controller were others.
    pub(crate) relabelled: bool,
}

/// All objects.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) namespaces: Table<Namespace>,
    pub(crate) nodes: Table<Node>,
    pub(crate) pods: Table<Pod>,
    pub(crate) deployments: Table<Deployment>,
    pub(crate) replica_sets: Table<ReplicaSet>,
    pub(crate) services: Table<Service>,
    pub(crate) stateful_sets: Table<StatefulSet>,
    pub(crate) controller_revisions: Table<ControllerRevision>,
    pub(crate) hpas: Table<HorizontalPodAutoscaler>,
    pub(crate) daemon_sets: Table<DaemonSet>,
    pub(crate) jobs: Table<Job>,
    pub(crate) cron_jobs: Table<CronJob>,
    pub(crate) pdbs: Table<PodDisruptionBudget>,
    pub(crate) priority_classes: Table<PriorityClass>,
    pub(crate) persistent_volumes: Table<PersistentVolume>,
    pub(crate) persistent_volume_claims: Table<PersistentVolumeClaim>,
    pub(crate) storage_classes: Table<StorageClass>,
    pub(crate) csi_nodes: Table<CsiNode>,
    pub(crate) csi_drivers: Table<CsiDriver>,
    pub(crate) csi_storage_capacities: Table<CsiStorageCapacity>,
    pub(crate) volume_attachments: Table<VolumeAttachment>,
    pub(crate) resource_quotas: Table<ResourceQuota>,
    pub(crate) limit_ranges: Table<LimitRange>,
    pub(crate) network_policies: Table<NetworkPolicy>,
    pub(crate) vpas: Table<VerticalPodAutoscaler>,
    /// Looked up only.
    slices: FxHashMap<ServiceId, Behind>,
    pods_by_node: FxHashMap<Str, Vec<PodId>>,
    pods_by_uid: FxHashMap<Uid, PodId>,
    selected: Selected,
    /// Names generated so far, by controller.
    names: FxHashMap<Uid, u64>,
    /// How many objects of a kind and name have gone, by [`identity`].
    gone: FxHashMap<u64, u32>,
    resource_version: u64,
    changes: Vec<Change>,
}

/// Reading: what rooms may do.
impl Store {
    /// Pods bound to a node, in order of binding.
    pub(crate) fn pods_on(&self, node: &str) -> impl Iterator<Item = (PodId, &Pod)> {
        self.pods_by_node.get(node).into_iter().flatten().filter_map(|id| Some((*id, self.pods.get(*id)?)))
    }
    /// Pods whose controller has this uid, in order of creation.
    pub(crate) fn pods_of(&self, controller: Uid) -> impl Iterator<Item = (PodId, &Pod)> {
        self.pods.of(controller)
    }
    /// The node of this name.
    pub(crate) fn node_by_name(&self, name: &Str) -> Option<(NodeId, &Node)> {
        let id = self.nodes.find(&ObjectKey { namespace: Str::default(), name: name.clone() })?;
        Some((id, self.nodes.get(id)?))
    }
    /// The pod with this uid.
    pub(crate) fn pod_by_uid(&self, uid: Uid) -> Option<(PodId, &Pod)> {
        let id = *self.pods_by_uid.get(&uid)?;
        Some((id, self.pods.get(id)?))
    }
    /// What stands between a pod and the workload on top: its ReplicaSet, or its Job.
    pub(crate) fn between(&self, pod: &Pod) -> Option<&ObjectMeta> {
        let owner = pod.meta.controller()?;
        let key = ObjectKey { namespace: pod.meta.namespace.clone(), name: owner.name.clone() };
        match &*owner.kind {
            "ReplicaSet" => Some(&self.replica_sets.get(self.replica_sets.find(&key)?)?.meta),
            "Job" => Some(&self.jobs.get(self.jobs.find(&key)?)?.meta),
            _ => None,
        }
    }
    /// ReplicaSets controlled by a Deployment, in order of creation.
    pub(crate) fn replica_sets_of(&self, deployment: &Deployment) -> Vec<(ReplicaSetId, &ReplicaSet)> {
        let mut owned: Vec<_> = self.replica_sets.of(deployment.meta.uid).collect();
        owned.sort_by_key(|(id, _)| *id);
        owned
    }
    /// Services that select a pod, by name.
    pub(crate) fn services_selecting(&self, pod: &Pod) -> Vec<(ServiceId, &Service)> {
        let candidates = self.selected.services(&pod.meta.namespace, &pod.meta.labels).filter_map(|id| Some((id, self.services.get(id)?)));
        let mut services: Vec<_> = candidates.filter(|(_, service)| selects(service, pod)).collect();
        services.sort_by(|(_, one), (_, other)| one.meta.name.cmp(&other.meta.name));
        services
    }
    /// Pods that a Service selects, by name.
    pub(crate) fn pods_selected_by(&self, service: ServiceId) -> impl Iterator<Item = (PodId, &Pod)> {
        let pods = self.selected.pods(service).filter_map(|id| Some((id, self.pods.get(id)?)));
        let owner = self.services.get(service);
        // Pods of one template share their labels: the last answer mostly holds for the next pod.
        let mut last: Option<(&Arc<Labels>, bool)> = None;
        pods.filter(move |(_, pod)| {
            let answer = match last {
                Some((labels, answer)) if Arc::ptr_eq(labels, &pod.meta.labels) => answer,
                _ => owner.is_some_and(|service| selects(service, pod)),
            };
            last = Some((&pod.meta.labels, answer));
            answer
        })
    }
    /// The last resourceVersion given.
    pub(crate) const fn resource_version(&self) -> u64 {
        self.resource_version
    }
}

/// Writing: the world's half.
impl Store {
    /// What changed since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn next_version(&mut self) -> u64 {
        self.resource_version += 1;
        self.resource_version
    }

    /// A fresh identity: looks random, as real ones do, and is the same in every run of the seed, whatever else there
    /// is and in whatever order it came. What is drawn for an object is keyed by it, so that policies are compared on
    /// the same luck.
    fn stamp(&mut self, kind: impl std::fmt::Debug, meta: &mut ObjectMeta, now: SimTime, streams: &Streams) {
        let identity = identity(kind, meta);
        let gone = self.gone.get(&identity).copied().unwrap_or_default();
        meta.uid = Uid(Split::new(streams.stream(Purpose::Uid, identity).bits(), Purpose::Uid, u64::from(gone)).bits());
        meta.creation = now;
        meta.generation = 1;
        meta.resource_version = self.next_version();
    }

    /// An object is gone; the next of its name is another one.
    fn bury(&mut self, kind: impl std::fmt::Debug, meta: &ObjectMeta) {
        self.next_version();
        *self.gone.entry(identity(kind, meta)).or_default() += 1;
    }

    /// The name that the API server makes of a `generateName`: with five characters more. The n-th name of a
    /// controller is the same in every run of a seed, whatever other controllers do.
    pub(crate) fn generate_name(&mut self, meta: &ObjectMeta, streams: &Streams) -> Str {
        self.generate_name_unless(meta, streams, |store, key| store.pods.find(key).is_some())
    }

    /// The same for objects of which `is_taken` knows the names.
    fn generate_name_unless(&mut self, meta: &ObjectMeta, streams: &Streams, is_taken: impl Fn(&Self, &ObjectKey) -> bool) -> Str {
        let controller = meta.controller().map_or(meta.uid, |owner| owner.uid);
        loop {
            let ordinal = self.names.entry(controller).or_default();
            *ordinal += 1;
            // A stream of its own per name, so that no name depends on how many were drawn before it.
            let mut stream = streams.stream(Purpose::PodName, controller.0 ^ ordinal.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut name = String::with_capacity(meta.name.len() + 5);
            name.push_str(&meta.name);
            for _ in 0..5 {
                name.push(char::from(ALPHABET[stream.below(ALPHABET.len() as u64) as usize]));
            }
            let key = ObjectKey { namespace: meta.namespace.clone(), name: name.into() };
            if !is_taken(self, &key) {
                return key.name;
            }
        }
    }

    /// Adds a pod, already admitted. A name that is taken gives `None`.
    pub(crate) fn create_pod(&mut self, mut pod: Pod, now: SimTime, streams: &Streams) -> Option<PodId> {
        if self.pods.find(&pod.meta.key()).is_some() {
            return None;
        }
        self.stamp("Pod", &mut pod.meta, now, streams);
        let (uid, node) = (pod.meta.uid, pod.node_name.clone());
        let id = self.pods.insert(pod);
        self.pods_by_uid.insert(uid, id);
        if let Some(pod) = self.pods.get(id) {
            self.selected.pod_comes(id, &pod.meta);
            if pod.status.has_ip {
                let meta = pod.meta.clone();
                self.compare_endpoints_of(&meta, &meta.labels);
            }
        }
        if let Some(node) = node {
            self.pods_by_node.entry(node).or_default().push(id);
        }
        self.changes.push(Change::PodAdded(id));
        Some(id)
    }

    /// Changes a pod. `change` says whether it changed anything; a bound node is noticed.
    pub(crate) fn update_pod(&mut self, id: PodId, change: impl FnOnce(&mut Pod) -> bool) -> bool {
        let version = self.resource_version + 1;
        let Some(pod) = self.pods.get(id) else { return false };
        let mut before = PodBefore {
            bound: pod.node_name.is_some(),
            ready: pod.is_ready(),
            deleting: pod.meta.is_deleting(),
            terminal: pod.status.phase.is_terminal(),
            relabelled: false,
        };
        let (labels, controller) = (pod.meta.labels.clone(), pod.meta.controller().map(|owner| owner.uid));
        let listing = Listing::of(pod);
        let mut node = None;
        let changed = self.pods.modify(id, |pod| {
            let changed = change(pod);
            if changed {
                pod.meta.resource_version = version;
                node = pod.node_name.clone();
                before.relabelled = (!Arc::ptr_eq(&labels, &pod.meta.labels) && labels != pod.meta.labels)
                    || controller != pod.meta.controller().map(|owner| owner.uid);
            }
            changed
        });
        if !changed {
            return false;
        }
        if let (false, Some(node)) = (before.bound, node) {
            self.pods_by_node.entry(node).or_default().push(id);
        }
        if let (true, Some(pod)) = (before.relabelled, self.pods.get(id)) {
            self.selected.pod_goes(&pod.meta, &labels);
            self.selected.pod_comes(id, &pod.meta);
        }
        self.compare_endpoints_after(id, &listing, &labels, before.relabelled);
        self.resource_version = version;
        self.changes.push(Change::PodModified(id, before));
        true
    }

    /// Takes a pod away.
    pub(crate) fn remove_pod(&mut self, id: PodId) -> bool {
        let Some(pod) = self.pods.remove(id) else { return false };
        self.bury("Pod", &pod.meta);
        self.pods_by_uid.remove(&pod.meta.uid);
        self.selected.pod_goes(&pod.meta, &pod.meta.labels);
        self.compare_endpoints_of(&pod.meta, &pod.meta.labels);
        if let Some(node) = &pod.node_name {
            remove_from(&mut self.pods_by_node, node, id);
        }
        self.changes.push(Change::PodDeleted(id, Box::new(pod)));
        true
    }
}

/// A number for a kind and name.
fn identity(kind: impl std::fmt::Debug, meta: &ObjectMeta) -> u64 {
    entity(&format!("{kind:?}/{}/{}", meta.namespace, meta.name))
}

/// Whether a Service of the same namespace selects a pod.
fn selects(service: &Service, pod: &Pod) -> bool {
    let fits = |selector: &Arc<Labels>| selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value));
    service.selector.as_ref().is_some_and(fits)
}

fn remove_from<K: Eq + std::hash::Hash, T>(index: &mut FxHashMap<K, Vec<Id<T>>>, key: &K, id: Id<T>) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// Kinds kept by the one mechanism of [`crate::objects`].
impl Store {
    /// Adds an object; a name that is taken gives `None`.
    pub(crate) fn create<T: Kept>(&mut self, mut object: T, now: SimTime, streams: &Streams) -> Option<Id<T>> {
        if T::table(self).find(&object.meta().key()).is_some() {
            return None;
        }
        self.stamp(T::KIND, object.meta_mut(), now, streams);
        let id = T::table_mut(self).insert(object);
        self.file_service(T::KIND, id.0);
        self.changes.push(changed(T::KIND, id.0));
        Some(id)
    }
    /// Changes an object; `change` says whether it changed anything.
    pub(crate) fn update<T: Kept>(&mut self, id: Id<T>, change: impl FnOnce(&mut T) -> bool) -> bool {
        let version = self.resource_version + 1;
        let has_changed = T::table_mut(self).modify(id, |object| {
            let has_changed = change(object);
            if has_changed {
                object.meta_mut().resource_version = version;
            }
            has_changed
        });
        if has_changed {
            self.resource_version = version;
            self.file_service(T::KIND, id.0);
            self.changes.push(changed(T::KIND, id.0));
        }
        has_changed
    }
    /// Keeps up which pods a Service may select.
    fn file_service(&mut self, kind: Kind, number: u32) {
        let id = ServiceId::new(number);
        match self.services.get(id) {
            _ if kind != Kind::Service => {}
            Some(service) => {
                self.selected.service_comes(id, service, &self.pods);
                self.compare_endpoints_behind(id);
            }
            None => self.selected.service_goes(id),
        }
    }
    /// Takes an object away.
    pub(crate) fn remove<T: Kept>(&mut self, id: Id<T>) -> bool {
        let Some(gone) = T::table_mut(self).remove(id) else { return false };
        self.bury(T::KIND, gone.meta());
        self.file_service(T::KIND, id.0);
        self.changes.push(deleted(id.0, gone.into_any()));
        true
    }
}

/// Nodes, whose coming, changing and going watchers tell apart.
impl Store {
    /// Adds a node; a name that is taken gives `None`.
    pub(crate) fn create_node(&mut self, mut node: Node, now: SimTime, streams: &Streams) -> Option<NodeId> {
        if self.nodes.find(&node.meta.key()).is_some() {
            return None;
        }
        self.stamp("Node", &mut node.meta, now, streams);
        let name = node.meta.name.clone();
        let id = self.nodes.insert(node);
        self.compare_endpoints_on(&name);
        self.changes.push(Change::NodeAdded(id));
        Some(id)
    }
    /// Changes a node; `change` says whether it changed anything.
    pub(crate) fn update_node(&mut self, id: NodeId, change: impl FnOnce(&mut Node) -> bool) -> bool {
        let version = self.resource_version + 1;
        let mut moved = None;
        let changed = self.nodes.modify(id, |node| {
            let labels = node.meta.labels.clone();
            let changed = change(node);
            if changed {
                node.meta.resource_version = version;
                moved = (labels != node.meta.labels).then(|| node.meta.name.clone());
            }
            changed
        });
        if changed {
            self.resource_version = version;
            if let Some(name) = moved {
                self.compare_endpoints_on(&name);
            }
            self.changes.push(Change::NodeModified(id));
        }
        changed
    }
    /// Takes a node away.
    pub(crate) fn remove_node(&mut self, id: NodeId) -> bool {
        let Some(gone) = self.nodes.remove(id) else { return false };
        self.bury("Node", &gone.meta);
        self.compare_endpoints_on(&gone.meta.name);
        self.changes.push(Change::NodeDeleted(id, Box::new(gone)));
        true
    }
}
