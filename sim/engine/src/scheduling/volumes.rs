//! PreBind of the VolumeBinding plugin: what a pod's claims take on the chosen node is written, and the pod is
//! bound when its claims are.
//!
//! Upstream: pkg/scheduler/framework/plugins/volumebinding/binder.go, BindPodVolumes.
//!
//! Invariants: while a pod waits, what it takes counts as taken in the snapshot; claims are looked at on a grid
//! of one second from the decision on, and only when one of them has changed.
//!
//! Simplified: what the scheduler has reserved is read off the snapshot, so that any policy that reserves there
//! is served; a policy that does not is bound at once, and the kubelet waits.

use std::sync::Arc;

use api::{ObjectKey, PersistentVolumeClaim, SimDuration, SimTime, Str};
use port::{PodInfo, Reservation, Scheduler};

use super::Scheduling;
use crate::controllers::View;
use crate::controllers::volume::binder::{reserved, unbound_claims};
use crate::controllers::volume::{SELECTED_NODE, claims_of, find_claim, find_volume};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::objects::{Kept, Part};
use crate::store::PodId;

const TOO_LATE: &str = "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";
const PERIOD: SimDuration = SimDuration::from_secs(1);

/// A pod whose claims are being bound.
pub(super) struct VolumeWait {
    node: Str,
    /// Feasible and evaluated nodes, for the record of the binding.
    counts: (u32, u32),
    since: SimTime,
    claims: Vec<ObjectKey>,
    /// Volumes reserved, each for a claim.
    volumes: Vec<(Str, ObjectKey)>,
    /// Claims for which a volume is made on the node.
    made: Vec<ObjectKey>,
    looks_at: Option<SimTime>,
}

impl Scheduling {
    /// What the claims of a pod have taken in the snapshot; `None` when they are bound, or nothing was taken.
    pub(super) fn volumes_taken(&self, id: PodId, node: &Str, counts: (u32, u32), view: View<'_>) -> Option<VolumeWait> {
        let pod = view.store.pods.get(id).filter(|pod| !pod.spec.volumes.is_empty())?;
        let claims: Vec<ObjectKey> = claims_of(pod).collect();
        if claims.is_empty() || !unbound_claims(&claims, view.store) {
            return None;
        }
        let objects = self.snapshot.objects();
        let is_bound = |key: &&ObjectKey| !unbound_claims(std::slice::from_ref(*key), view.store);
        let (mut volumes, mut made) = (Vec::new(), Vec::new());
        for key in claims.iter().filter(|key| !is_bound(key)) {
            let reference = key.to_string();
            if let Some(volume) = objects.persistent_volumes.values().find(|volume| *volume.claim_ref == *reference) {
                volumes.push((volume.meta.name.clone(), key.clone()));
            } else if objects.persistent_volume_claims.get(key).is_some_and(|claim| claim.meta.annotations.get(SELECTED_NODE) == Some(node))
            {
                made.push(key.clone());
            }
        }
        let takes = !volumes.is_empty() || !made.is_empty();
        takes.then(|| VolumeWait { node: node.clone(), counts, since: view.now, claims, volumes, made, looks_at: None })
    }

    /// Writes what a pod takes, and waits.
    pub(super) fn bind_volumes(&mut self, id: PodId, mut wait: VolumeWait, view: View<'_>, out: &mut Effects) {
        write_taken(&wait, view, out);
        let first = wait.since + PERIOD;
        wait.looks_at = Some(first);
        out.at(first, Event::VolumesBound(id));
        out.at(wait.since + view.settings.volumes.bind_timeout, Event::VolumesBound(id));
        self.binding.insert(id, wait);
    }

    /// Event::VolumesBound: the pod is bound when its claims are, and given up after too long.
    pub(crate) fn volumes_bound(&mut self, id: PodId, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let Some(wait) = self.binding.get_mut(&id) else { return };
        let is_late = view.now >= wait.since + view.settings.volumes.bind_timeout;
        if !is_late && wait.looks_at != Some(view.now) {
            return;
        }
        wait.looks_at = None;
        if !unbound_claims(&wait.claims, view.store) {
            let Some(wait) = self.binding.remove(&id) else { return };
            if let Some(assumed) = self.assumed.get_mut(&id) {
                assumed.reservation = Reservation::default(); // It is the API server's by now.
                self.bind(id, wait.counts, scheduler, view, out);
            }
        } else if is_late {
            self.bind_failed(id, Some(TOO_LATE), scheduler, view, out);
        } else if write_taken(wait, view, out) {
            // Somebody else had changed the object before: asked for again.
            let next = view.now + PERIOD;
            wait.looks_at = Some(next);
            out.at(next, Event::VolumesBound(id));
        }
        self.arm(view, out);
    }

    /// The pod no longer waits; what it had taken is as the API server has it.
    pub(super) fn forget_volumes(&mut self, id: PodId, view: View<'_>) {
        let Some(wait) = self.binding.remove(&id) else { return };
        let objects = self.snapshot.objects_mut();
        for (name, _) in &wait.volumes {
            if let Some((_, volume)) = find_volume(name, view.store) {
                objects.persistent_volumes.insert(name.clone(), Arc::new(volume.clone()));
            }
        }
        for key in &wait.made {
            if let Some((_, claim)) = find_claim(key, view.store) {
                objects.persistent_volume_claims.insert(key.clone(), Arc::new(claim.clone()));
            }
        }
    }

    /// A claim has changed: those who wait for it look at it when their next second is full.
    pub(super) fn claim_changed(&mut self, key: &ObjectKey, view: View<'_>, out: &mut Effects) {
        for (id, wait) in &mut self.binding {
            if wait.looks_at.is_none() && wait.claims.contains(key) && !unbound_claims(&wait.claims, view.store) {
                let at = view.now.next_on_grid(wait.since, PERIOD);
                wait.looks_at = Some(at);
                out.at(at, Event::VolumesBound(*id));
            }
        }
        self.take_again(view);
    }

    /// News from the API server do not undo what is on its way there.
    pub(super) fn take_again(&mut self, view: View<'_>) {
        let objects = self.snapshot.objects_mut();
        for wait in self.binding.values() {
            for (name, key) in &wait.volumes {
                if let (Some(volume), Some((_, claim))) = (objects.persistent_volumes.get_mut(name), find_claim(key, view.store))
                    && volume.claim_ref.is_empty()
                {
                    *volume = Arc::new(reserved(volume, claim));
                }
            }
            for key in &wait.made {
                if let Some(claim) = objects.persistent_volume_claims.get_mut(key)
                    && !claim.meta.annotations.contains_key(SELECTED_NODE)
                {
                    *claim = Arc::new(with_node(claim, &wait.node));
                }
            }
        }
    }
}

fn with_node(claim: &PersistentVolumeClaim, node: &Str) -> PersistentVolumeClaim {
    let mut claim = claim.clone();
    Arc::make_mut(&mut claim.meta.annotations).insert(SELECTED_NODE.into(), node.clone());
    claim
}

/// Asks for what is not written yet; whether there was anything.
fn write_taken(wait: &VolumeWait, view: View<'_>, out: &mut Effects) -> bool {
    let before = out.writes.len();
    for (name, key) in &wait.volumes {
        if let (Some((_, volume)), Some((_, claim))) = (find_volume(name, view.store), find_claim(key, view.store))
            && volume.claim_ref.is_empty()
        {
            out.write(Component::Scheduler, Write::Update(reserved(volume, claim).into_any(), Part::Spec));
        }
    }
    for key in &wait.made {
        if let Some((_, claim)) = find_claim(key, view.store)
            && claim.meta.annotations.get(SELECTED_NODE) != Some(&wait.node)
        {
            out.write(Component::Scheduler, Write::Update(with_node(claim, &wait.node).into_any(), Part::Spec));
        }
    }
    out.writes.len() > before
}

/// Whether this is a pod with claims at all; most have none.
pub(super) fn has_claims(pod: &PodInfo) -> bool {
    use api::VolumeSource::{Ephemeral, PersistentVolumeClaim};
    pod.spec.volumes.iter().any(|volume| matches!(volume.source, PersistentVolumeClaim(_) | Ephemeral(_)))
}
