//! Ephemeral volume controller: a pod's generic ephemeral volumes get claims that go with the pod.
//!
//! Reads: Pods, claims. Writes: claims. Upstream: pkg/controller/volume/ephemeral/controller.go.
//!
//! Invariant: a claim of the right name that the pod does not own is not taken for its own.

use std::sync::Arc;

use api::{EphemeralClaim, ObjectKey, ObjectMeta, OwnerReference, PersistentVolumeClaim, Pod, VolumeSource};

use super::{claim_name, find_claim};
use crate::controllers::{View, key, object_name};
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{AnyObject, Kept};
use crate::store::{Change, PodId};

const BY: Component = Component::EphemeralVolume;

/// Which pods a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    match change {
        Change::PodAdded(id) if view.store.pods.get(*id).is_some_and(has_ephemeral) => queue(key(*id)),
        Change::ObjectDeleted(AnyObject::PersistentVolumeClaim(gone)) => {
            if let Some(owner) = gone.meta.controller()
                && let Some((id, _)) = view.store.pod_by_uid(owner.uid)
            {
                queue(key(id));
            }
        }
        _ => {}
    }
}

fn has_ephemeral(pod: &Pod) -> bool {
    pod.spec.volumes.iter().any(|volume| matches!(volume.source, VolumeSource::Ephemeral(_)))
}

/// One reconciliation.
pub(crate) fn sync(id: PodId, view: &View<'_>, out: &mut Effects) {
    let Some(pod) = view.store.pods.get(id).filter(|pod| !pod.meta.is_deleting()) else { return };
    for volume in &pod.spec.volumes {
        let (VolumeSource::Ephemeral(wanted), Some(name)) = (&volume.source, claim_name(&pod.meta, volume)) else { continue };
        let key = ObjectKey { namespace: pod.meta.namespace.clone(), name };
        match find_claim(&key, view.store) {
            None => out.write(BY, Write::Create(claim(pod, key, wanted).into_any())),
            Some((_, known)) if known.meta.controller().is_some_and(|owner| owner.uid == pod.meta.uid) => {}
            Some(_) => {
                let why = format!("PVC {key} was not created for pod {} (pod is not owner)", pod.meta.key());
                let message = format!("ephemeral volume {}: {why}", volume.name);
                out.event(BY, true, "FailedBinding", object_name("Pod", &pod.meta), message);
                return;
            }
        }
    }
}

fn claim(pod: &Pod, key: ObjectKey, wanted: &EphemeralClaim) -> PersistentVolumeClaim {
    let meta = ObjectMeta {
        namespace: key.namespace,
        name: key.name,
        labels: Arc::new(wanted.labels.clone()),
        annotations: Arc::new(wanted.annotations.clone()),
        owners: vec![OwnerReference { kind: "Pod".into(), name: pod.meta.name.clone(), uid: pod.meta.uid, controller: true }],
        ..ObjectMeta::default()
    };
    PersistentVolumeClaim {
        meta,
        request_bytes: wanted.request_bytes,
        access_modes: wanted.access_modes.clone(),
        storage_class_name: wanted.storage_class_name.clone(),
        block: wanted.block,
        selector: wanted.selector.clone(),
        ..PersistentVolumeClaim::default()
    }
}
