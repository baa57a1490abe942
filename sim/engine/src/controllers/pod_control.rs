//! What controllers share that make and delete pods: names, order of victims, ownership.
//!
//! Upstream: pkg/controller/controller_utils.go, apiserver/pkg/storage/names/generate.go.
//!
//! Invariant: the n-th pod that an owner ever makes has the same name in every run of a seed, whatever
//! other owners do.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use api::{ObjectKey, ObjectMeta, OwnerReference, Pod, PodPhase, Str, Uid};

use super::View;
use crate::random::{Purpose, Streams};

/// Characters of generated names (upstream: apimachinery/pkg/util/rand).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Longest prefix of a generated name: 63 less the suffix.
pub(super) const LONGEST_PREFIX: usize = 58;

/// `prefix` and five characters, drawn for the `ordinal`-th pod of `owner`.
pub(super) fn generated_name(prefix: &str, owner: Uid, ordinal: u64, streams: &Streams) -> Str {
    // A stream of its own per pod, so that no name depends on how many were drawn before it.
    let entity = owner.0 ^ (ordinal + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut stream = streams.stream(Purpose::PodName, entity);
    let mut name = prefix.get(..LONGEST_PREFIX).unwrap_or(prefix).to_owned();
    name.extend((0..5).map(|_| char::from(ALPHABET[stream.below(ALPHABET.len() as u64) as usize])));
    name.into()
}

/// Gives an owner's pods their names.
pub(super) struct PodNames<'a> {
    view: &'a View<'a>,
    owner: &'a ObjectMeta,
    /// How many were drawn in all.
    pub(super) drawn: u64,
    taken: BTreeSet<Str>,
}

impl<'a> PodNames<'a> {
    /// Goes on after the `drawn` names that the owner has used.
    pub(super) const fn new(owner: &'a ObjectMeta, drawn: u64, view: &'a View<'a>) -> Self {
        Self { view, owner, drawn, taken: BTreeSet::new() }
    }
    /// The next name that nobody has.
    pub(super) fn next(&mut self, prefix: &str) -> Str {
        loop {
            let name = generated_name(prefix, self.owner.uid, self.drawn, self.view.streams);
            self.drawn += 1;
            let key = ObjectKey { namespace: self.owner.namespace.clone(), name: name.clone() };
            if self.view.store.pods.find(&key).is_none() && self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

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

/// Pending, then Unknown, then Running.
pub(super) const fn phase_order(pod: &Pod) -> u8 {
    match pod.status.phase {
        PodPhase::Pending => 0,
        PodPhase::Unknown => 1,
        PodPhase::Running | PodPhase::Succeeded | PodPhase::Failed => 2,
    }
}

/// Most restarts of a regular container, then of a sidecar.
pub(super) fn max_restarts(pod: &Pod) -> (u32, u32) {
    let regular = pod.status.containers.iter().map(|status| status.restart_count).max().unwrap_or(0);
    let sidecars = pod.spec.init_containers.iter().zip(&pod.status.init_containers).filter(|(container, _)| container.is_sidecar);
    (regular, sidecars.map(|(_, status)| status.restart_count).max().unwrap_or(0))
}
