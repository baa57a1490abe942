//! Persistent volume controller: finds a volume for every claim, or asks for one to be made; says what became
//! of both.
//!
//! Reads: claims, volumes, classes, pods. Writes: claims and volumes, spec and status.
//! Upstream: pkg/controller/volume/persistentvolume/{pv_controller,index}.go.
//!
//! Invariants: a volume is for one claim at most; who is bound stays bound.
//!
//! Simplified: a volume or class that comes later is found at once, not at the next resync of 15 s; events are
//! not repeated every 15 s. Not modelled: recycling, volumes of in-tree plugins, VolumeAttributesClass.

use std::sync::Arc;

use api::{Kind, ObjectKey, ObjectMeta, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass, Str};

use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, ClaimId, NO_PROVISIONER, PROVISIONED_BY, PROVISIONER, SELECTED_NODE, VolumeId, claim_key,
    claims_of, default_class, find_claim, find_class, find_volume, is_for,
};
use crate::controllers::{View, object_name};
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{AnyObject, Kept, Part};
use crate::store::{Change, Id, Store};

const BY: Component = Component::PersistentVolumeBinder;
/// Keys are numbers of claims, or with this bit numbers of volumes.
const VOLUME: u32 = 1 << 31;

const fn of_claim(id: ClaimId) -> Key {
    Key(id.number())
}
const fn of_volume(id: VolumeId) -> Key {
    Key(id.number() | VOLUME)
}

/// Which claims and volumes a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let store = view.store;
    match change {
        Change::Object(Kind::PersistentVolumeClaim, number) => queue(of_claim(Id::new(*number))),
        Change::Object(Kind::PersistentVolume, number) => {
            let id = VolumeId::new(*number);
            queue(of_volume(id));
            match store.persistent_volumes.get(id).map(|volume| claim_key(&volume.claim_ref)) {
                Some(Some(key)) => find_claim(&key, store).into_iter().for_each(|(id, _)| queue(of_claim(id))),
                Some(None) => waiting(store, |_| true, queue),
                None => {}
            }
        }
        Change::Object(Kind::StorageClass, number) => {
            let name = store.storage_classes.get(Id::new(*number)).map(|class: &StorageClass| class.meta.name.clone());
            waiting(store, |claim| claim.storage_class_name.is_none() || claim.storage_class_name == name, queue);
        }
        Change::ObjectDeleted(AnyObject::PersistentVolumeClaim(gone)) => {
            find_volume(&gone.volume_name, store).into_iter().for_each(|(id, _)| queue(of_volume(id)));
        }
        Change::ObjectDeleted(AnyObject::PersistentVolume(gone)) => {
            let claim = claim_key(&gone.claim_ref).and_then(|key| find_claim(&key, store));
            claim.into_iter().for_each(|(id, _)| queue(of_claim(id)));
        }
        _ => {}
    }
}

/// Claims that are not bound.
fn waiting(store: &Store, among: impl Fn(&PersistentVolumeClaim) -> bool, queue: &mut dyn FnMut(Key)) {
    for (id, claim) in store.persistent_volume_claims.iter() {
        if !is_bound(claim) && among(claim) {
            queue(of_claim(id));
        }
    }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.meta.annotations.contains_key(BIND_COMPLETED)
}

/// One reconciliation.
pub(crate) fn sync(key: Key, view: &View<'_>, out: &mut Effects) {
    let mut look = Look { store: view.store, out };
    if key.0 & VOLUME != 0 {
        if let Some(volume) = view.store.persistent_volumes.get(Id::new(key.0 & !VOLUME)) {
            look.volume(volume);
        }
    } else if let Some(claim) = view.store.persistent_volume_claims.get(Id::new(key.0)) {
        if is_bound(claim) { look.bound_claim(claim) } else { look.unbound_claim(claim) }
    }
}

struct Look<'a, 'o> {
    store: &'a Store,
    out: &'o mut Effects,
}

impl Look<'_, '_> {
    fn say(&mut self, kind: &str, meta: &ObjectMeta, warning: bool, reason: &str, message: String) {
        self.out.event(BY, warning, reason, object_name(kind, meta), message);
    }
    fn say_claim(&mut self, claim: &PersistentVolumeClaim, warning: bool, reason: &str, message: String) {
        self.say("PersistentVolumeClaim", &claim.meta, warning, reason, message);
    }
    fn set_claim_phase(&mut self, claim: &PersistentVolumeClaim, phase: &'static str) {
        if *claim.phase != *phase {
            let said = PersistentVolumeClaim { phase: phase.into(), ..claim.clone() };
            self.out.write(BY, Write::Update(said.into_any(), Part::Status));
        }
    }
    fn set_volume_phase(&mut self, volume: &PersistentVolume, phase: &'static str) {
        if *volume.phase != *phase {
            let said = PersistentVolume { phase: phase.into(), ..volume.clone() };
            self.out.write(BY, Write::Update(said.into_any(), Part::Status));
        }
    }

    /// Upstream: syncUnboundClaim.
    fn unbound_claim(&mut self, claim: &PersistentVolumeClaim) {
        if claim.volume_name.is_empty() {
            self.any_volume(claim);
        } else if let Some((_, volume)) = find_volume(&claim.volume_name, self.store) {
            self.named_volume(claim, volume);
        } else {
            self.set_claim_phase(claim, "Pending");
        }
    }

    fn any_volume(&mut self, claim: &PersistentVolumeClaim) {
        let class = find_class(claim.class(), self.store);
        let delays = class.is_some_and(|class| class.wait_for_first_consumer);
        if let Some(volume) = best_match(claim, delays, self.store) {
            return self.bind(volume, claim);
        }
        if let (None, Some(default)) = (&claim.storage_class_name, default_class(self.store)) {
            let given = PersistentVolumeClaim { storage_class_name: Some(default.meta.name.clone()), ..claim.clone() };
            return self.out.write(BY, Write::Update(given.into_any(), Part::Spec));
        }
        if delays && !claim.meta.annotations.contains_key(SELECTED_NODE) {
            self.say_delay(claim);
        } else if !claim.class().is_empty() {
            return self.provision(claim, class);
        } else {
            let message = "no persistent volumes available for this claim and no storage class is set";
            self.say_claim(claim, false, "FailedBinding", message.to_owned());
        }
        self.set_claim_phase(claim, "Pending");
    }

    /// Upstream: emitEventForUnboundDelayBindingClaim.
    fn say_delay(&mut self, claim: &PersistentVolumeClaim) {
        let key = claim.meta.key();
        let pods = self.store.pods.in_namespace(&claim.meta.namespace);
        let waits = |pod: &Pod| pod.node_name.is_none() && claims_of(pod).any(|other| other == key);
        let names: Vec<&str> = pods.filter(|(_, pod)| waits(pod)).map(|(_, pod)| &*pod.meta.name).collect();
        let (reason, message) = match &names[..] {
            [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned()),
            [name] => ("WaitForPodScheduled", format!("waiting for pod {name} to be scheduled")),
            names => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", names.join(","))),
        };
        self.say_claim(claim, false, reason, message);
    }

    /// Upstream: provisionClaim, provisionClaimOperationExternal.
    fn provision(&mut self, claim: &PersistentVolumeClaim, class: Option<&StorageClass>) {
        let Some(class) = class else {
            let message = format!("storageclass.storage.k8s.io \"{}\" not found", claim.class());
            return self.say_claim(claim, true, "ProvisioningFailed", message);
        };
        let provisioner = &class.provisioner;
        if &**provisioner == NO_PROVISIONER {
            return self.say_claim(claim, true, "ProvisioningFailed", format!("no volume plugin matched name: {provisioner}"));
        }
        if claim.meta.annotations.get(PROVISIONER) == Some(provisioner) {
            return;
        }
        let asked =
            annotated(claim, &[(PROVISIONER, provisioner.clone()), ("volume.beta.kubernetes.io/storage-provisioner", provisioner.clone())]);
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. \
             If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        let object = object_name("PersistentVolumeClaim", &claim.meta);
        self.out.announce(BY, Write::Update(asked.into_any(), Part::Spec), "ExternalProvisioning", object, message);
    }

    fn named_volume(&mut self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) {
        if is_for(volume, claim) {
            return self.bind(volume, claim);
        }
        if volume.claim_ref.is_empty() {
            match mismatch(volume, claim) {
                None => return self.bind(volume, claim),
                Some(why) => {
                    let message = format!("Cannot bind to requested volume \"{}\": {why}", volume.meta.name);
                    self.say_claim(claim, true, "VolumeMismatch", message);
                }
            }
        } else {
            let message = format!("volume \"{}\" already bound to a different claim.", volume.meta.name);
            self.say_claim(claim, true, "FailedBinding", message);
        }
        self.set_claim_phase(claim, "Pending");
    }

    /// Upstream: syncBoundClaim.
    fn bound_claim(&mut self, claim: &PersistentVolumeClaim) {
        let lost = if claim.volume_name.is_empty() {
            ("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
        } else {
            match find_volume(&claim.volume_name, self.store) {
                Some((_, volume)) if volume.claim_ref.is_empty() || is_for(volume, claim) => return self.bind(volume, claim),
                Some(_) => ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"),
                None => ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
            }
        };
        if &*claim.phase != "Lost" {
            self.set_claim_phase(claim, "Lost");
            self.say_claim(claim, true, lost.0, lost.1.to_owned());
        }
    }

    /// Each tells of the other; then both say that they are bound.
    fn bind(&mut self, volume: &PersistentVolume, claim: &PersistentVolumeClaim) {
        let mut changed = false;
        if !is_for(volume, claim) || volume.claim_uid != claim.meta.uid {
            self.out.write(BY, Write::Update(reserved(volume, claim).into_any(), Part::Spec));
            self.out.then();
            changed = true;
        }
        if claim.volume_name != volume.meta.name || !is_bound(claim) {
            let mut annotations = vec![(BIND_COMPLETED, "yes".into())];
            if claim.volume_name.is_empty() {
                annotations.push((BOUND_BY_CONTROLLER, "yes".into()));
            }
            let bound = PersistentVolumeClaim { volume_name: volume.meta.name.clone(), ..annotated(claim, &annotations) };
            self.out.write(BY, Write::Update(bound.into_any(), Part::Spec));
            changed = true;
        }
        if !changed {
            self.set_volume_phase(volume, "Bound");
            self.set_claim_phase(claim, "Bound");
        }
    }

    /// Upstream: syncVolume.
    fn volume(&mut self, volume: &PersistentVolume) {
        let Some(key) = claim_key(&volume.claim_ref).filter(|_| volume.claim_uid.0 != 0) else {
            return self.set_volume_phase(volume, "Available");
        };
        match find_claim(&key, self.store).filter(|(_, claim)| claim.meta.uid == volume.claim_uid) {
            None => self.release(volume),
            Some((_, claim)) if claim.volume_name.is_empty() => {} // The claim's own sync binds it.
            Some((_, claim)) if claim.volume_name == volume.meta.name => self.set_volume_phase(volume, "Bound"),
            Some(_) if is_dynamic(volume) && volume.deletes_when_released => self.release(volume),
            Some(_) if volume.meta.annotations.contains_key(BOUND_BY_CONTROLLER) => self.unbind(volume),
            Some(_) => {}
        }
    }

    /// The claim is gone. Who made the volume deletes it when it is to be deleted.
    fn release(&mut self, volume: &PersistentVolume) {
        if volume.deletes_when_released && !is_dynamic(volume) {
            if &*volume.phase != "Failed" {
                let message =
                    format!("error getting deleter volume plugin for volume \"{}\": no deletable volume plugin matched", volume.meta.name);
                self.set_volume_phase(volume, "Failed");
                self.say("PersistentVolume", &volume.meta, true, "VolumeFailedDelete", message);
            }
        } else if &*volume.phase != "Failed" {
            self.set_volume_phase(volume, "Released");
        }
    }

    fn unbind(&mut self, volume: &PersistentVolume) {
        let mut free = volume.clone();
        (free.claim_ref, free.claim_uid) = (Str::default(), api::Uid::default());
        Arc::make_mut(&mut free.meta.annotations).remove(BOUND_BY_CONTROLLER);
        self.out.write(BY, Write::Update(free.into_any(), Part::Spec));
    }
}

fn is_dynamic(volume: &PersistentVolume) -> bool {
    volume.meta.annotations.contains_key(PROVISIONED_BY)
}

fn annotated(claim: &PersistentVolumeClaim, annotations: &[(&str, Str)]) -> PersistentVolumeClaim {
    let mut claim = claim.clone();
    Arc::make_mut(&mut claim.meta.annotations).extend(annotations.iter().map(|(key, value)| (Str::from(*key), value.clone())));
    claim
}

/// The volume, reserved for the claim.
pub(crate) fn reserved(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut volume = volume.clone();
    if volume.claim_ref.is_empty() {
        Arc::make_mut(&mut volume.meta.annotations).insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    (volume.claim_ref, volume.claim_uid) = (claim.meta.key().to_string().into(), claim.meta.uid);
    volume
}

/// A volume reserved for the claim, else the smallest that will do. A claim that waits for its first consumer
/// gets only what is reserved for it.
/// Upstream: component-helpers/storage/volume/pv_helpers.go, FindMatchingVolume.
fn best_match<'s>(claim: &PersistentVolumeClaim, delays: bool, store: &'s Store) -> Option<&'s PersistentVolume> {
    let volumes = || store.persistent_volumes.iter().map(|(_, volume)| volume);
    let large_enough = |volume: &&PersistentVolume| {
        volume.capacity_bytes >= claim.request_bytes && volume.block == claim.block && !volume.meta.is_deleting()
    };
    let is_reserved = |volume: &&PersistentVolume| !volume.claim_ref.is_empty() && is_for(volume, claim);
    if let Some(volume) = volumes().filter(large_enough).find(is_reserved) {
        return Some(volume);
    }
    if delays {
        return None;
    }
    let will_do = |volume: &&PersistentVolume| {
        volume.claim_ref.is_empty()
            && &*volume.phase == "Available"
            && *volume.storage_class_name == *claim.class()
            && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels))
            && has_modes(volume, claim)
    };
    volumes().filter(large_enough).filter(will_do).min_by_key(|volume| volume.capacity_bytes)
}

fn has_modes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode))
}

/// Why a volume that a claim asks for by name will not do. Upstream: checkVolumeSatisfyClaim.
fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    if volume.meta.is_deleting() {
        Some(format!("the volume is marked for deletion \"{}\"", volume.meta.name))
    } else if volume.capacity_bytes < claim.request_bytes {
        Some("requested PV is too small".to_owned())
    } else if *volume.storage_class_name != *claim.class() {
        Some("storageClassName does not match".to_owned())
    } else if volume.block != claim.block {
        Some("incompatible volumeMode".to_owned())
    } else if !has_modes(volume, claim) {
        Some("incompatible accessMode".to_owned())
    } else {
        None
    }
}

/// What admission gives a claim that names no class. Upstream: plugin/pkg/admission/storage/storageclass/setdefault.
pub(crate) fn with_default_class(claim: &mut PersistentVolumeClaim, store: &Store) {
    if claim.storage_class_name.is_none() {
        claim.storage_class_name = default_class(store).map(|class| class.meta.name.clone());
    }
}

/// The keys of all claims of a pod, for whoever waits for them.
pub(crate) fn unbound_claims(keys: &[ObjectKey], store: &Store) -> bool {
    keys.iter().any(|key| find_claim(key, store).is_none_or(|(_, claim)| super::bound_volume(claim, store).is_none()))
}
