//! Volumes: from a claim to a volume that is where its pod is.
//!
//! - [`binder`] finds or asks for a volume for every claim, and says what became of both;
//! - [`ephemeral`] makes the claims of generic ephemeral volumes;
//! - [`attach_detach`] wants volumes on the nodes of their pods and nowhere else;
//! - [`external`] stands for what storage vendors run beside Kubernetes: provisioner and attacher;
//! - [`protection`] keeps what is in use from going.
//!
//! Not here: which node's volumes a pod takes (`schedulers`), how a pod waits for them (`scheduling`, `kubelet`).

pub(crate) mod attach_detach;
pub(crate) mod binder;
pub(crate) mod ephemeral;
pub(crate) mod external;
pub(crate) mod protection;

use api::{ObjectKey, ObjectMeta, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass, Str, Volume, VolumeSource};

use crate::store::{Id, Store};

pub(crate) type ClaimId = Id<PersistentVolumeClaim>;
pub(crate) type VolumeId = Id<PersistentVolume>;

/// Set on a claim that is bound for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Set on what the binder, and not a user, has bound.
pub(crate) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Set on a volume that a provisioner has made.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Set on a claim for which a volume is to be made.
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// Set on a claim for which a volume is to be made for this node.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The name of the claim that a volume of a pod means.
fn claim_name(pod: &ObjectMeta, volume: &Volume) -> Option<Str> {
    match &volume.source {
        VolumeSource::PersistentVolumeClaim(name) => Some(name.clone()),
        VolumeSource::Ephemeral(_) => Some(format!("{}-{}", pod.name, volume.name).into()),
        _ => None,
    }
}

/// The claims that a pod means.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = ObjectKey> {
    let key = |name| ObjectKey { namespace: pod.meta.namespace.clone(), name };
    pod.spec.volumes.iter().filter_map(move |volume| claim_name(&pod.meta, volume).map(key))
}

/// A claim by its key.
pub(crate) fn find_claim<'s>(key: &ObjectKey, store: &'s Store) -> Option<(ClaimId, &'s PersistentVolumeClaim)> {
    let id = store.persistent_volume_claims.find(key)?;
    Some((id, store.persistent_volume_claims.get(id)?))
}

/// A volume by its name.
pub(crate) fn find_volume<'s>(name: &Str, store: &'s Store) -> Option<(VolumeId, &'s PersistentVolume)> {
    let id = store.persistent_volumes.find(&ObjectKey { namespace: "".into(), name: name.clone() })?;
    Some((id, store.persistent_volumes.get(id)?))
}

fn find_class<'s>(name: &str, store: &'s Store) -> Option<&'s StorageClass> {
    let id = store.storage_classes.find(&ObjectKey::new("", name))?;
    store.storage_classes.get(id)
}

/// The volume of a claim that is bound for good.
pub(crate) fn bound_volume<'s>(claim: &PersistentVolumeClaim, store: &'s Store) -> Option<(VolumeId, &'s PersistentVolume)> {
    let is_bound = !claim.volume_name.is_empty() && claim.meta.annotations.contains_key(BIND_COMPLETED);
    find_volume(&claim.volume_name, store).filter(|_| is_bound)
}

/// The class of claims that name none: the newest of those marked as default, then the first by name.
/// Upstream: pkg/volume/util/storageclass.go.
pub(crate) fn default_class(store: &Store) -> Option<&StorageClass> {
    let is_default = |class: &&StorageClass| class.meta.annotations.get(DEFAULT_CLASS).is_some_and(|word| &**word == "true");
    let classes = store.storage_classes.iter().map(|(_, class)| class).filter(is_default);
    classes.min_by_key(|class| (std::cmp::Reverse(class.meta.creation.as_secs()), class.meta.name.clone()))
}

/// Whether the volume's claimRef means this claim.
fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    *volume.claim_ref == *claim.meta.key().to_string() && (volume.claim_uid.0 == 0 || volume.claim_uid == claim.meta.uid)
}

/// The claim that a claimRef names.
fn claim_key(reference: &str) -> Option<ObjectKey> {
    let (namespace, name) = reference.split_once('/')?;
    Some(ObjectKey::new(namespace, name))
}

/// Whether a pod may still have its volumes on a node.
fn holds_volumes(pod: &Pod) -> bool {
    pod.node_name.is_some() && !pod.status.phase.is_terminal()
}
