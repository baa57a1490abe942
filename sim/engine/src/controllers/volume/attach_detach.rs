//! Attach/detach controller: volumes are attached to the nodes of their pods and to no others.
//!
//! Reads: Pods, claims, volumes, CSIDrivers. Writes: VolumeAttachments.
//! Upstream: pkg/controller/volume/attachdetach.
//!
//! Invariant: a volume that one node at a time may have is attached to the next node only when it has left the last.
//!
//! Simplified: a volume leaves a node as soon as the objects of its pods are gone, even when that node is silent
//! (upstream waits six minutes unless the node is out of service); no loop of 100 ms.

use api::{Kind, ObjectMeta, PersistentVolume, Pod, Propagation, Str, VolumeAttachment};

use super::external::ATTACHER;
use super::{VolumeId, bound_volume, claim_key, claims_of, find_claim, find_volume, holds_volumes};
use crate::controllers::{View, key, object_name};
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{AnyObject, Kept};
use crate::store::{Change, Store};

const BY: Component = Component::AttachDetach;

/// Which volumes a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let store = view.store;
    match change {
        Change::PodAdded(id) => {
            if let Some(pod) = store.pods.get(*id).filter(|pod| pod.node_name.is_some()) {
                volumes_of(pod, store, queue);
            }
        }
        Change::PodModified(id, before) => {
            if let Some(pod) = store.pods.get(*id).filter(|pod| !before.bound || before.terminal != pod.status.phase.is_terminal()) {
                volumes_of(pod, store, queue);
            }
        }
        Change::PodDeleted(_, gone) => volumes_of(gone, store, queue),
        Change::Object(Kind::PersistentVolume, number) => queue(key(VolumeId::new(*number))),
        Change::Object(Kind::PersistentVolumeClaim, number) => {
            let claim = store.persistent_volume_claims.get(super::ClaimId::new(*number));
            claim.and_then(|claim| bound_volume(claim, store)).into_iter().for_each(|(id, _)| queue(key(id)));
        }
        Change::ObjectDeleted(AnyObject::VolumeAttachment(gone)) => {
            find_volume(&gone.volume_name, store).into_iter().for_each(|(id, _)| queue(key(id)));
        }
        _ => {}
    }
}

fn volumes_of(pod: &Pod, store: &Store, queue: &mut dyn FnMut(Key)) {
    if pod.spec.volumes.is_empty() {
        return;
    }
    for claim in claims_of(pod) {
        let volume = find_claim(&claim, store).and_then(|(_, claim)| bound_volume(claim, store));
        volume.into_iter().for_each(|(id, _)| queue(key(id)));
    }
}

/// Whether a volume has to be attached before a node can mount it.
pub(crate) fn needs_attach(volume: &PersistentVolume, store: &Store) -> bool {
    volume.csi.as_ref().is_some_and(|(driver, _)| {
        let object = store.csi_drivers.find(&api::ObjectKey::new("", driver)).and_then(|id| store.csi_drivers.get(id));
        object.is_none_or(|driver| !driver.skips_attach)
    })
}

/// `csi-<volume>-<node>`; upstream hashes the same parts.
pub(crate) fn attachment_name(volume: &str, node: &str) -> Str {
    format!("csi-{volume}-{node}").into()
}

/// Whether a volume is on a node.
pub(crate) fn is_attached(volume: &PersistentVolume, node: &str, store: &Store) -> bool {
    let name = attachment_name(&volume.meta.name, node);
    let table = &store.volume_attachments;
    let found = table.find(&api::ObjectKey { namespace: "".into(), name }).and_then(|id| table.get(id));
    found.is_some_and(|attachment| attachment.attached && !attachment.meta.is_deleting())
}

/// One reconciliation.
pub(crate) fn sync(id: VolumeId, view: &View<'_>, out: &mut Effects) {
    let store = view.store;
    let Some(volume) = store.persistent_volumes.get(id).filter(|volume| needs_attach(volume, store)) else { return };
    let attachments = || store.volume_attachments.iter().map(|(_, one)| one).filter(|one| one.volume_name == volume.meta.name);
    let users = users(volume, store);
    for attachment in attachments().filter(|one| !one.meta.is_deleting()) {
        if users.iter().all(|pod| pod.node_name.as_ref() != Some(&attachment.node_name)) {
            out.write(BY, Write::Delete(Kind::VolumeAttachment, attachment.meta.key(), Propagation::Background));
        }
    }
    let is_exclusive = volume.access_modes.iter().all(|mode| matches!(&**mode, "ReadWriteOnce" | "ReadWriteOncePod"));
    let mut nodes: Vec<&Str> = Vec::new();
    for pod in &users {
        let Some(node) = pod.node_name.as_ref().filter(|node| !nodes.contains(node)) else { continue };
        if attachments().any(|one| one.node_name == *node) {
            nodes.push(node);
            continue;
        }
        if is_exclusive && (!nodes.is_empty() || attachments().next().is_some()) {
            say_multi_attach(volume, pod, &users, out);
            continue;
        }
        nodes.push(node);
        out.write(BY, Write::Create(attachment(volume, node).into_any()));
    }
}

/// The pods that have, or are to have, the volume.
fn users<'s>(volume: &PersistentVolume, store: &'s Store) -> Vec<&'s Pod> {
    let Some(claim) = claim_key(&volume.claim_ref) else { return Vec::new() };
    let is_bound = find_claim(&claim, store).is_some_and(|(_, found)| found.volume_name == volume.meta.name);
    let mut pods: Vec<_> = store
        .pods
        .in_namespace(&claim.namespace)
        .filter(|(_, pod)| is_bound && holds_volumes(pod) && claims_of(pod).any(|other| other == claim))
        .collect();
    pods.sort_by_key(|(id, _)| *id);
    pods.into_iter().map(|(_, pod)| pod).collect()
}

fn attachment(volume: &PersistentVolume, node: &Str) -> VolumeAttachment {
    let meta = ObjectMeta { name: attachment_name(&volume.meta.name, node), finalizers: vec![ATTACHER.into()], ..ObjectMeta::default() };
    VolumeAttachment { meta, node_name: node.clone(), volume_name: volume.meta.name.clone(), attached: false }
}

/// Upstream: attachdetach/reconciler/reconciler.go, reportMultiAttachError.
fn say_multi_attach(volume: &PersistentVolume, pod: &Pod, users: &[&Pod], out: &mut Effects) {
    let others: Vec<&str> = users.iter().filter(|other| other.node_name != pod.node_name).map(|other| &*other.meta.name).collect();
    let why = if others.is_empty() {
        "Volume is already exclusively attached to one node and can't be attached to another".to_owned()
    } else {
        format!("Volume is already used by pod(s) {}", others.join(", "))
    };
    let message = format!("Multi-Attach error for volume \"{}\" {why}", volume.meta.name);
    out.event(BY, true, "FailedAttachVolume", object_name("Pod", &pod.meta), message);
}
