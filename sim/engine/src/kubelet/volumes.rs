//! A pod's volumes before the pod: it is taken on when its claims are bound and its volumes are on the node.
//!
//! Upstream: pkg/kubelet/volumemanager (WaitForAttachAndMount).
//!
//! Invariant: a pod that is asked to go does not wait.
//!
//! Simplified: the wait comes before admission instead of after it; mounting takes no time; no FailedMount events.

use api::{Pod, Str};

use super::Kubelets;
use crate::controllers::View;
use crate::controllers::volume::attach_detach::{is_attached, needs_attach};
use crate::controllers::volume::{bound_volume, claims_of, find_claim};
use crate::effects::Effects;
use crate::store::{PodId, Store};

impl Kubelets {
    /// Whether a pod has to wait; it is looked at again when something about storage changes.
    pub(super) fn waits_for_volumes(&mut self, id: PodId, pod: &Pod, node: &Str, view: View<'_>) -> bool {
        let waits = !pod.spec.volumes.is_empty() && !pod.meta.is_deleting() && !are_there(pod, node, view.store);
        if waits {
            self.waiting.insert(id);
        } else {
            self.waiting.remove(&id);
        }
        waits
    }

    /// A claim, a volume or an attachment has changed.
    pub(super) fn storage_changed(&mut self, view: View<'_>, out: &mut Effects) {
        for id in self.waiting.iter().copied().collect::<Vec<_>>() {
            self.pod_changed(id, view, out);
        }
    }
}

fn are_there(pod: &Pod, node: &Str, store: &Store) -> bool {
    claims_of(pod).all(|key| {
        let volume = find_claim(&key, store).and_then(|(_, claim)| bound_volume(claim, store));
        volume.is_some_and(|(_, volume)| !needs_attach(volume, store) || is_attached(volume, node, store))
    })
}
