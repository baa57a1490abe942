//! Storage classes that a cluster has and manifests do not bring along.
//!
//! Invariant: nothing is assumed once a scenario says anything of its own about classes or volumes.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{ObjectMeta, PersistentVolumeClaim, StorageClass, Str};
use engine::spec::Objects;

use crate::cx::Cx;

const DEFAULT: &str = "standard";

/// Every managed cluster has a default class, and manifests name those of their cloud: without them all claims
/// would wait for ever. Volumes are made when a pod comes, and go with their claim.
pub(crate) fn assume_classes(cx: &mut Cx<'_>, objects: &mut Objects, applied: &[&manifests::Objects]) {
    let says_so = |objects: &&manifests::Objects| !objects.storage_classes.is_empty() || !objects.persistent_volumes.is_empty();
    if !objects.storage_classes.is_empty() || !objects.persistent_volumes.is_empty() || applied.iter().any(says_so) {
        return;
    }
    let of_steps = applied.iter().flat_map(|objects| {
        let own = objects.persistent_volume_claims.iter().map(|found| &found.object);
        own.chain(objects.stateful_sets.iter().flat_map(|found| &found.object.volume_claim_templates))
    });
    let of_sets = objects.stateful_sets.iter().flat_map(|set| &set.volume_claim_templates);
    let claims = objects.persistent_volume_claims.iter().chain(of_sets).chain(of_steps);
    let names: BTreeSet<Str> = claims.filter(|claim| claim.volume_name.is_empty()).filter_map(class_of).collect();
    for name in names {
        cx.note(format!("StorageClass `{name}`: volumes are made when a pod comes, and go with their claim (no manifest has a class)"));
        objects.storage_classes.push(class(name));
    }
}

/// The class that a claim means; an empty name asks for none.
fn class_of(claim: &PersistentVolumeClaim) -> Option<Str> {
    match &claim.storage_class_name {
        None => Some(DEFAULT.into()),
        Some(name) if name.is_empty() => None,
        Some(name) => Some(name.clone()),
    }
}

fn class(name: Str) -> StorageClass {
    let is_default = &*name == DEFAULT;
    let annotations = is_default.then(|| ("storageclass.kubernetes.io/is-default-class".into(), "true".into()));
    StorageClass {
        meta: ObjectMeta { name, annotations: Arc::new(annotations.into_iter().collect()), ..ObjectMeta::default() },
        provisioner: "assumed.wavetank.dev".into(),
        wait_for_first_consumer: true,
        deletes_when_released: true,
        ..StorageClass::default()
    }
}
