//! Attach/detach controller: volumes are attached to the nodes of their pods and to no others.
//!
//! Reads: Pods, claims, volumes, CSIDrivers. Writes: VolumeAttachments.
//! Upstream: pkg/controller/volume/attachdetach.
//!
//! Invariant: a volume that one node at a time may have is attached to the next node only when it has left the last.
//!
//! A volume leaves a node when its kubelet's next status says that it is no longer mounted, so that a pod that comes
//! back at once finds it there; from a silent node it is taken after six minutes, or at once when the node is marked
//! as out of service.
//!
//! Simplified: no loop of 100 ms; nodes report on a grid of `nodeStatusUpdateFrequency` with a phase of their own.

use api::{ConditionStatus, Kind, ObjectMeta, PersistentVolume, Pod, Propagation, SimDuration, SimTime, Str, VolumeAttachment};

use super::external::ATTACHER;
use super::{VolumeId, bound_volume, claim_key, claims_of, find_claim, find_volume, holds_volumes};
use crate::controllers::{View, key, object_name};
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{AnyObject, Kept, Part};
use crate::random::entity;
use crate::store::{Change, Store};

const BY: Component = Component::AttachDetach;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Upstream: reconcilerMaxWaitForUnmountDuration.
const MAX_WAIT_FOR_UNMOUNT: SimDuration = SimDuration::from_secs(360);

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
        let is_wanted = users.iter().any(|pod| pod.node_name.as_ref() == Some(&attachment.node_name));
        match (is_wanted, release(attachment, view)) {
            (true, _) => remember(attachment, None, out),
            (false, Release::Now) => {
                out.write(BY, Write::Delete(Kind::VolumeAttachment, attachment.meta.key(), Propagation::Background));
            }
            (false, Release::At(time)) => out.resync_at(time),
            (false, Release::SixMinutesFrom(since)) => {
                remember(attachment, Some(since), out);
                out.resync_at(since + MAX_WAIT_FOR_UNMOUNT);
            }
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

/// When a volume that no pod wants may be taken off its node.
enum Release {
    Now,
    At(SimTime),
    SixMinutesFrom(SimTime),
}

fn release(attachment: &VolumeAttachment, view: &View<'_>) -> Release {
    let node = view.store.node_by_name(&attachment.node_name).map(|(_, node)| node);
    if node.is_some_and(|node| node.spec.taints.iter().any(|taint| &*taint.key == OUT_OF_SERVICE)) {
        return Release::Now;
    }
    if node.is_some_and(|node| node.status.ready == ConditionStatus::True) {
        let period = view.settings.kubelet.node_status_update_frequency.max(SimDuration::from_nanos(1));
        let phase = SimDuration::from_nanos(entity(&attachment.node_name) % period.as_nanos());
        let report = view.now.next_on_grid(SimTime::ZERO + phase, period);
        return if report == view.now { Release::Now } else { Release::At(report) };
    }
    let since = attachment.unwanted_since.unwrap_or(view.now);
    if since + MAX_WAIT_FOR_UNMOUNT <= view.now { Release::Now } else { Release::SixMinutesFrom(since) }
}

fn remember(attachment: &VolumeAttachment, since: Option<SimTime>, out: &mut Effects) {
    if attachment.unwanted_since != since {
        let noted = VolumeAttachment { unwanted_since: since, ..attachment.clone() };
        out.write(BY, Write::Update(noted.into_any(), Part::Status));
    }
}

/// The pods that have, or are to have, the volume.
pub(super) fn users<'s>(volume: &PersistentVolume, store: &'s Store) -> Vec<&'s Pod> {
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
    VolumeAttachment { meta, node_name: node.clone(), volume_name: volume.meta.name.clone(), ..VolumeAttachment::default() }
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
