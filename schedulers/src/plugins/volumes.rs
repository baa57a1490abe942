//! What the volume plugins share: which claim a volume of a pod means, and a claim's class.

use api::{ObjectKey, PersistentVolumeClaim, PodSpec, Str, Volume, VolumeSource};
use port::{PodInfo, Status};

/// Set on a claim that is bound for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Set on a claim for which a volume is being made for this node.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The claim a volume means: the one it names, or the one made for an ephemeral volume.
pub(super) fn claim_key(pod: &PodInfo, volume: &Volume) -> Option<ObjectKey> {
    let name: Str = match &volume.source {
        VolumeSource::PersistentVolumeClaim(name) => name.clone(),
        VolumeSource::Ephemeral(_) => format!("{}-{}", pod.key.name, volume.name).into(),
        _ => return None,
    };
    Some(ObjectKey { namespace: pod.key.namespace.clone(), name })
}

/// Whether a volume of the pod means this claim.
pub(super) fn has_claim(pod: &PodInfo, claim: &ObjectKey) -> bool {
    pod.spec.volumes.iter().any(|volume| claim_key(pod, volume).as_ref() == Some(claim))
}

/// Whether the pod itself names this claim.
pub(super) fn is_named(pod: &PodInfo, claim: &PersistentVolumeClaim) -> bool {
    claim.meta.namespace == pod.key.namespace && named_claims(&pod.spec).any(|name| *name == claim.meta.name)
}

/// Names of claims the pod itself gives.
pub(super) fn named_claims(spec: &PodSpec) -> impl Iterator<Item = &Str> {
    spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::PersistentVolumeClaim(name) => Some(name),
        _ => None,
    })
}

pub(super) fn class_of(claim: &PersistentVolumeClaim) -> &str {
    claim.class()
}

pub(super) fn is_fully_bound(claim: &PersistentVolumeClaim) -> bool {
    !claim.volume_name.is_empty() && claim.meta.annotations.contains_key(BIND_COMPLETED)
}

/// How an API server says that something is not there.
pub(super) fn not_found(resource: &str, name: &str) -> Status {
    Status::unschedulable_and_unresolvable(format!("{resource} {name:?} not found"))
}
