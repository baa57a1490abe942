//! The claims of a StatefulSet's pods: one of every template for every ordinal, and whom they go with.
//!
//! Upstream: pkg/controller/statefulset/{stateful_pod_control,stateful_set_utils}.go.
//!
//! Invariant: claims that somebody else owns, or that an earlier owner of the name left, are not touched.

use std::sync::Arc;

use api::{ObjectKey, ObjectMeta, OwnerReference, PersistentVolumeClaim, Pod, PodSpec, StatefulSet, Str, Uid, Volume, VolumeSource};

use crate::store::Store;

const SET: &str = "StatefulSet";
const POD: &str = "Pod";

/// A pod of the set, there or about to be.
#[derive(Clone, Copy)]
pub(super) struct Holder<'a> {
    pub(super) name: &'a Str,
    /// `None` while it is not made.
    pub(super) uid: Option<Uid>,
    pub(super) ordinal: i32,
    /// Its ordinal is beyond the wanted replicas.
    pub(super) condemned: bool,
}

impl<'a> Holder<'a> {
    pub(super) const fn of(pod: &'a Pod, ordinal: i32, condemned: bool) -> Self {
        Self { name: &pod.meta.name, uid: Some(pod.meta.uid), ordinal, condemned }
    }
}

/// `<template>-<set>-<ordinal>`.
fn claim_name(template: &PersistentVolumeClaim, set: &StatefulSet, ordinal: i32) -> Str {
    format!("{}-{}-{ordinal}", template.meta.name, set.meta.name).into()
}

/// Whether a claim of this name belongs to a pod of the set.
pub(super) fn is_claim_of(set: &StatefulSet, name: &str) -> bool {
    set.volume_claim_templates.iter().any(|template| {
        let ordinal = name.strip_prefix(&format!("{}-{}-", template.meta.name, set.meta.name));
        ordinal.is_some_and(|ordinal| ordinal.parse::<i32>().is_ok())
    })
}

/// The claims that the pod of an ordinal has.
pub(super) fn claims_for(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let claim = |template: &PersistentVolumeClaim| {
        let mut labels = (*template.meta.labels).clone();
        labels.extend(set.selector.match_labels.iter().map(|(key, value)| (key.clone(), value.clone())));
        let meta = ObjectMeta {
            namespace: set.meta.namespace.clone(),
            name: claim_name(template, set, ordinal),
            labels: Arc::new(labels),
            ..template.meta.clone()
        };
        PersistentVolumeClaim { meta, ..template.clone() }
    };
    set.volume_claim_templates.iter().map(claim).collect()
}

/// The template's spec with a volume for every claim. Volumes of the same name are replaced.
pub(super) fn with_volumes(spec: &Arc<PodSpec>, set: &StatefulSet, ordinal: i32) -> Arc<PodSpec> {
    let templates = &set.volume_claim_templates;
    if templates.is_empty() {
        return spec.clone();
    }
    let mut spec = (**spec).clone();
    let claims = templates.iter().map(|template| Volume {
        name: template.meta.name.clone(),
        source: VolumeSource::PersistentVolumeClaim(claim_name(template, set, ordinal)),
    });
    let others = spec.volumes.into_iter().filter(|volume| templates.iter().all(|template| template.meta.name != volume.name));
    spec.volumes = claims.chain(others).collect();
    Arc::new(spec)
}

/// The claims of a pod that exist.
pub(super) fn existing<'a>(set: &StatefulSet, ordinal: i32, store: &'a Store) -> Vec<&'a PersistentVolumeClaim> {
    let table = &store.persistent_volume_claims;
    let key = |template| ObjectKey { namespace: set.meta.namespace.clone(), name: claim_name(template, set, ordinal) };
    set.volume_claim_templates.iter().filter_map(|template| table.get(table.find(&key(template))?)).collect()
}

/// A claim that waits for its deletion with an earlier pod of the name holds up the next one.
pub(super) fn is_stale(set: &StatefulSet, ordinal: i32, name: &Str, store: &Store) -> bool {
    let left = |claim: &&PersistentVolumeClaim| has_stale_owner(claim, POD, name, None);
    set.claim_retention.delete_when_scaled && existing(set, ordinal, store).iter().any(left)
}

fn is_owner(owner: &OwnerReference, kind: &str, name: &Str) -> bool {
    &*owner.kind == kind && owner.name == *name
}

fn has_owner(claim: &PersistentVolumeClaim, uid: Option<Uid>) -> bool {
    claim.meta.owners.iter().any(|owner| Some(owner.uid) == uid)
}

fn has_stale_owner(claim: &PersistentVolumeClaim, kind: &str, name: &Str, uid: Option<Uid>) -> bool {
    claim.meta.owners.iter().find(|owner| is_owner(owner, kind, name)).is_some_and(|owner| Some(owner.uid) != uid)
}

/// Somebody else manages the claim. With nothing to delete that is nobody's business.
fn has_other_controller(claim: &PersistentVolumeClaim, set: &StatefulSet, pod: Holder<'_>) -> bool {
    let policy = set.claim_retention;
    if !policy.delete_when_deleted && !policy.delete_when_scaled {
        return false;
    }
    claim.meta.owners.iter().any(|owner| {
        if is_owner(owner, SET, &set.meta.name) {
            owner.uid != set.meta.uid
        } else if is_owner(owner, POD, pod.name) {
            Some(owner.uid) != pod.uid
        } else {
            owner.controller
        }
    })
}

/// The owners that the policy gives a claim: the set, the pod.
const fn wanted_owners(set: &StatefulSet, pod: Holder<'_>) -> (bool, bool) {
    let policy = set.claim_retention;
    let with_pod = policy.delete_when_scaled && pod.condemned;
    (policy.delete_when_deleted && !with_pod, with_pod)
}

/// Whether the claim's owners are what the policy says.
pub(super) fn owners_are_right(claim: &PersistentVolumeClaim, set: &StatefulSet, pod: Holder<'_>) -> bool {
    if has_stale_owner(claim, SET, &set.meta.name, Some(set.meta.uid)) || has_stale_owner(claim, POD, pod.name, pod.uid) {
        return true;
    }
    let (of_set, of_pod) = (has_owner(claim, Some(set.meta.uid)), has_owner(claim, pod.uid));
    if has_other_controller(claim, set, pod) {
        return !of_set && !of_pod;
    }
    let is_ours = |owner: &&OwnerReference| owner.uid == set.meta.uid || Some(owner.uid) == pod.uid;
    if claim.meta.owners.iter().filter(is_ours).any(|owner| !owner.controller) {
        return false;
    }
    (of_set, of_pod) == wanted_owners(set, pod)
}

/// The claim with the owners that the policy says.
pub(super) fn with_right_owners(claim: &PersistentVolumeClaim, set: &StatefulSet, pod: Holder<'_>) -> PersistentVolumeClaim {
    let mut claim = claim.clone();
    let contested = has_other_controller(&claim, set, pod);
    claim.meta.owners.retain(|owner| !is_owner(owner, SET, &set.meta.name) && !is_owner(owner, POD, pod.name));
    if contested {
        return claim;
    }
    let (of_set, of_pod) = wanted_owners(set, pod);
    let mut add = |kind: &str, name: &Str, uid: Uid| {
        claim.meta.owners.push(OwnerReference { kind: kind.into(), name: name.clone(), uid, controller: true });
    };
    if of_set {
        add(SET, &set.meta.name, set.meta.uid);
    }
    if let (true, Some(uid)) = (of_pod, pod.uid) {
        add(POD, pod.name, uid);
    }
    claim
}
