//! A pod's volumes before its containers: these are made when its claims are bound and its volumes are on the node.
//!
//! Upstream: pkg/kubelet/kubelet.go (SyncPod), pkg/kubelet/volumemanager (WaitForAttachAndMount).
//!
//! Invariant: a sync that waits for volumes has no timer; news of storage wake it.
//!
//! Simplified: mounting takes no time and does not fail; volumes are looked at once storage has changed and not every
//! 300 ms, and a wait has no end. (Upstream's ends after 123 s, without a word: an interrupted wait is no FailedMount.)

use api::Pod;

use super::Kubelets;
use super::pod::{Context, Worker};
use crate::controllers::View;
use crate::controllers::volume::attach_detach::{is_attached, needs_attach};
use crate::controllers::volume::{bound_volume, claims_of, find_claim};
use crate::effects::Effects;
use crate::store::{PodId, Store};

impl Kubelets {
    /// A claim, a volume or an attachment has changed.
    pub(super) fn storage_changed(&mut self, view: View<'_>, out: &mut Effects) {
        let waiting: Vec<PodId> = self.nodes.values().flat_map(|node| node.waiting.iter().copied()).collect();
        for id in waiting {
            self.look_at_volumes(id, view, out);
        }
    }

    /// Goes on with a pod that waited for its volumes, if they are there.
    pub(super) fn look_at_volumes(&mut self, id: PodId, view: View<'_>, out: &mut Effects) {
        self.with(id, view, out, |worker, cx| {
            if cx.node.reaches_api() && cx.node.waiting.contains(&id) && are_there(cx.pod, view.store) {
                cx.node.waiting.remove(&id);
                worker.wake(cx);
                worker.say(cx);
                worker.settle();
            }
        });
    }
}

impl Worker {
    /// Whether the pod has to wait for its volumes before anything of it is made.
    pub(super) fn waits_for_volumes(&self, cx: &mut Context<'_>) -> bool {
        let waits = !self.sandbox && !cx.pod.spec.volumes.is_empty() && !are_there(cx.pod, cx.view.store);
        if waits {
            cx.node.waiting.insert(cx.id);
        }
        waits
    }
}

fn are_there(pod: &Pod, store: &Store) -> bool {
    let Some(node) = &pod.node_name else { return false };
    claims_of(pod).all(|key| {
        let volume = find_claim(&key, store).and_then(|(_, claim)| bound_volume(claim, store));
        volume.is_some_and(|(_, volume)| !needs_attach(volume, store) || is_attached(volume, node, store))
    })
}
