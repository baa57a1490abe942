//! What controllers share that make and delete pods: ownership, order of victims.
//!
//! Upstream: pkg/controller/controller_utils.go.

use std::cmp::Reverse;

use api::{ObjectMeta, OwnerReference, Pod};

use super::replica_set::{max_restarts, phase_order};

/// Longest beginning of a generated name: 63 less the API server's suffix.
pub(super) const LONGEST_PREFIX: usize = 58;

/// The reference by which `owner` controls an object.
pub(super) fn controller_of(kind: &str, owner: &ObjectMeta) -> OwnerReference {
    OwnerReference { kind: kind.into(), name: owner.name.clone(), uid: owner.uid, controller: true }
}

/// Where a pod stands in upstream's order of victims without ranks (ActivePods); the smallest goes first.
pub(super) fn victim_order(pod: &Pod) -> impl Ord + use<> {
    let ready_since = pod.is_ready().then(|| pod.ready_since());
    (
        pod.node_name.is_some(),
        phase_order(pod),
        pod.is_ready(),
        Reverse(ready_since),
        Reverse(max_restarts(pod)),
        Reverse(pod.meta.creation.as_secs()),
    )
}
