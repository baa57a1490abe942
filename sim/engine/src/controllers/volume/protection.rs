//! Storage protection: claims that a pod has, and volumes that are bound, do not go.
//!
//! Reads: claims, volumes, Pods. Writes: their protecting finalizers.
//! Upstream: pkg/controller/volume/{pvcprotection,pvprotection}.
//!
//! Invariant: a finalizer goes only from an object whose deletion was asked for.

use api::{Kind, ObjectMeta, PersistentVolumeClaim};

use super::{ClaimId, VolumeId, claims_of, find_claim};
use crate::controllers::View;
use crate::effects::{Component, Effects, Key, Write};
use crate::store::{Change, Id, Store};

/// The finalizer of claims.
pub(crate) const CLAIM: &str = "kubernetes.io/pvc-protection";
/// The finalizer of volumes.
pub(crate) const VOLUME: &str = "kubernetes.io/pv-protection";

/// Keys are numbers of claims, or with this bit numbers of volumes.
const OF_VOLUME: u32 = 1 << 31;

fn is_candidate(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.is_deleting() && meta.has_finalizer(finalizer)
}

/// Which claims and volumes a change may set free.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let store = view.store;
    match change {
        Change::Object(Kind::PersistentVolumeClaim, number) => {
            let claim = store.persistent_volume_claims.get(ClaimId::new(*number));
            if claim.is_some_and(|claim| is_candidate(&claim.meta, CLAIM)) {
                queue(Key(*number));
            }
        }
        Change::Object(Kind::PersistentVolume, number) => {
            let volume = store.persistent_volumes.get(VolumeId::new(*number));
            if volume.is_some_and(|volume| is_candidate(&volume.meta, VOLUME)) {
                queue(Key(*number | OF_VOLUME));
            }
        }
        Change::PodDeleted(_, gone) if !gone.spec.volumes.is_empty() => {
            for key in claims_of(gone) {
                if let Some((id, _)) = find_claim(&key, store).filter(|(_, claim)| is_candidate(&claim.meta, CLAIM)) {
                    queue(Key(id.number()));
                }
            }
        }
        _ => {}
    }
}

/// One reconciliation.
pub(crate) fn sync(key: Key, view: &View<'_>, out: &mut Effects) {
    let store = view.store;
    let by = Component::StorageProtection;
    if key.0 & OF_VOLUME != 0 {
        let id = VolumeId::new(key.0 & !OF_VOLUME);
        let volume = store.persistent_volumes.get(id).filter(|volume| is_candidate(&volume.meta, VOLUME));
        if volume.is_some_and(|volume| &*volume.phase != "Bound") {
            out.write(by, Write::RemoveFinalizer(Kind::PersistentVolume, id.number(), VOLUME.into()));
        }
    } else {
        let id: ClaimId = Id::new(key.0);
        let claim = store.persistent_volume_claims.get(id).filter(|claim| is_candidate(&claim.meta, CLAIM));
        if claim.is_some_and(|claim| !is_used(claim, store)) {
            out.write(by, Write::RemoveFinalizer(Kind::PersistentVolumeClaim, id.number(), CLAIM.into()));
        }
    }
}

/// A pod with a node may have it; one without would not be started.
fn is_used(claim: &PersistentVolumeClaim, store: &Store) -> bool {
    let key = claim.meta.key();
    let mut pods = store.pods.in_namespace(&claim.meta.namespace);
    pods.any(|(_, pod)| pod.node_name.is_some() && claims_of(pod).any(|other| other == key))
}
