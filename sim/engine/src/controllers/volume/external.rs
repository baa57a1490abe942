//! What storage vendors run beside Kubernetes: a provisioner that makes and deletes volumes, an attacher that
//! brings them to nodes. Both only take time; they never fail.
//!
//! Reads: claims, volumes, classes, VolumeAttachments. Writes: volumes, status and finalizers of VolumeAttachments.
//! Upstream: sigs.k8s.io/sig-storage-lib-external-provisioner, kubernetes-csi/external-attacher.
//!
//! Invariants: nothing is done twice at a time; what is no longer wanted when the time has come is not done.
//!
//! Simplified: a volume made for a node is reachable from that node's zone (label topology.kubernetes.io/zone), or,
//! without a node, where its class allows. Capacity that a driver reports does not shrink.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{
    Kind, Labels, NodeSelectorTerm, ObjectMeta, Operator, PersistentVolume, PersistentVolumeClaim, Propagation, Requirement, StorageClass,
    Str, VolumeAttachment,
};

use trace::Record;

use super::attach_detach::users;
use super::{ClaimId, PROVISIONED_BY, PROVISIONER, SELECTED_NODE, VolumeId, find_class, find_volume};
use crate::controllers::{View, object_name};
use crate::effects::{Announcement, Component, Effects, Write};
use crate::event::{Event, StorageWork as Work};
use crate::objects::{AnyObject, Kept, Part};
use crate::random::{Distribution, Purpose, entity};
use crate::store::{Change, Id, Store};

const BY: Component = Component::CsiDriver;
const ZONE: &str = "topology.kubernetes.io/zone";
/// Keeps a VolumeAttachment until its volume has left the node.
pub(super) const ATTACHER: &str = "external-attacher";

/// All drivers.
#[derive(Default, Debug)]
pub(crate) struct CsiDrivers {
    at_work: BTreeSet<Work>,
}

impl CsiDrivers {
    /// A watcher's news.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        match change {
            Change::Object(Kind::PersistentVolumeClaim, number) => {
                let work = Work::Provision(Id::new(*number));
                if let Some((claim, _)) = wanted_volume(Id::new(*number), view.store).filter(|_| !self.at_work.contains(&work)) {
                    let message = format!("External provisioner is provisioning volume for claim \"{}\"", claim.meta.key());
                    out.event(BY, false, "Provisioning", object_name("PersistentVolumeClaim", &claim.meta), message);
                    self.begin(work, &view.settings.volumes.provision, (Purpose::VolumeProvision, claim.meta.uid.0), view, out);
                }
            }
            Change::Object(Kind::PersistentVolume, number) => self.delete(Id::new(*number), view, out),
            Change::ObjectDeleted(AnyObject::VolumeAttachment(gone)) => {
                if let Some((id, _)) = find_volume(&gone.volume_name, view.store) {
                    self.delete(id, view, out);
                }
            }
            Change::Object(Kind::VolumeAttachment, number) => {
                let Some(attachment) = view.store.volume_attachments.get(Id::new(*number)) else { return };
                let which = |purpose| (purpose, entity(&attachment.meta.name));
                if attachment.meta.is_deleting() {
                    self.begin(Work::Detach(Id::new(*number)), &view.settings.volumes.detach, which(Purpose::VolumeDetach), view, out);
                } else if !attachment.attached {
                    self.begin(Work::Attach(Id::new(*number)), &view.settings.volumes.attach, which(Purpose::VolumeAttach), view, out);
                }
            }
            _ => {}
        }
    }

    /// A released volume is deleted once it has left its last node.
    fn delete(&mut self, id: VolumeId, view: &View<'_>, out: &mut Effects) {
        if let Some(volume) = view.store.persistent_volumes.get(id).filter(|volume| is_to_delete(volume, view.store)) {
            let which = (Purpose::VolumeDelete, entity(&volume.meta.name));
            self.begin(Work::Delete(id), &view.settings.volumes.delete, which, view, out);
        }
    }

    fn begin(&mut self, work: Work, takes: &Distribution, (purpose, which): (Purpose, u64), view: &View<'_>, out: &mut Effects) {
        if self.at_work.insert(work) {
            let takes = takes.sample(&mut view.streams.stream(purpose, which));
            out.at(view.now + takes, Event::CsiDriver(work));
        }
    }

    /// Event::CsiDriver: it is done, unless nobody wants it any more.
    pub(crate) fn due(&mut self, work: Work, view: &View<'_>, out: &mut Effects) {
        if !self.at_work.remove(&work) {
            return;
        }
        match work {
            Work::Provision(id) => {
                if let Some((claim, class)) = wanted_volume(id, view.store) {
                    let volume = volume_for(claim, class, view.store);
                    let message = format!("Successfully provisioned volume {}", volume.meta.name);
                    let object = object_name("PersistentVolumeClaim", &claim.meta);
                    out.announce(BY, Write::Create(volume.into_any()), "ProvisioningSucceeded", object, message);
                }
            }
            Work::Delete(id) => {
                if let Some(volume) = view.store.persistent_volumes.get(id).filter(|volume| is_to_delete(volume, view.store)) {
                    out.write(BY, Write::Delete(Kind::PersistentVolume, volume.meta.key(), Propagation::Background));
                }
            }
            Work::Attach(id) => {
                if let Some(attachment) = view.store.volume_attachments.get(id).filter(|one| !one.meta.is_deleting()) {
                    let said = VolumeAttachment { attached: true, ..attachment.clone() };
                    let write = Write::Update(said.into_any(), Part::Status);
                    let volume = find_volume(&attachment.volume_name, view.store);
                    let users = volume.map_or(Vec::new(), |(_, volume)| users(volume, view.store));
                    match users.iter().find(|pod| pod.node_name.as_ref() == Some(&attachment.node_name)) {
                        // The attach/detach controller's word, when it sees it.
                        Some(pod) => {
                            let message = format!("AttachVolume.Attach succeeded for volume \"{}\" ", attachment.volume_name);
                            let landed = Record::Event {
                                kind: "Normal".into(),
                                reason: "SuccessfulAttachVolume".into(),
                                object: object_name("Pod", &pod.meta).into(),
                                message: message.into(),
                                source: Component::AttachDetach.name().into(),
                            };
                            out.write(BY, Write::Announced(Box::new(write), Box::new(Announcement { landed, forbidden: None })));
                        }
                        None => out.write(BY, write),
                    }
                }
            }
            Work::Detach(id) => out.write(BY, Write::RemoveFinalizer(Kind::VolumeAttachment, id.number(), ATTACHER.into())),
        }
    }
}

/// The claim, when a volume is to be made for it, and its class.
fn wanted_volume(id: ClaimId, store: &Store) -> Option<(&PersistentVolumeClaim, &StorageClass)> {
    let claim = store.persistent_volume_claims.get(id)?;
    let class = find_class(claim.class(), store)?;
    let annotations = &claim.meta.annotations;
    let is_asked = annotations.get(PROVISIONER) == Some(&class.provisioner);
    let has_place = !class.wait_for_first_consumer || annotations.contains_key(SELECTED_NODE);
    (claim.volume_name.is_empty() && !claim.meta.is_deleting() && is_asked && has_place).then_some((claim, class))
}

fn is_to_delete(volume: &PersistentVolume, store: &Store) -> bool {
    let is_attached = || store.volume_attachments.iter().any(|(_, one)| one.volume_name == volume.meta.name);
    &*volume.phase == "Released"
        && volume.deletes_when_released
        && volume.meta.annotations.contains_key(PROVISIONED_BY)
        && !volume.meta.is_deleting()
        && !is_attached()
}

fn volume_for(claim: &PersistentVolumeClaim, class: &StorageClass, store: &Store) -> PersistentVolume {
    let name: Str = format!("pvc-{}", claim.meta.uid).into();
    let annotations = Labels::from([(PROVISIONED_BY.into(), class.provisioner.clone())]);
    PersistentVolume {
        meta: ObjectMeta { name: name.clone(), annotations: Arc::new(annotations), ..ObjectMeta::default() },
        capacity_bytes: claim.request_bytes,
        access_modes: claim.access_modes.clone(),
        storage_class_name: class.meta.name.clone(),
        block: claim.block,
        node_affinity: reach(claim, class, store),
        claim_ref: claim.meta.key().to_string().into(),
        claim_uid: claim.meta.uid,
        deletes_when_released: class.deletes_when_released,
        csi: Some((class.provisioner.clone(), name)),
        phase: Str::default(),
    }
}

/// From where the new volume can be reached.
fn reach(claim: &PersistentVolumeClaim, class: &StorageClass, store: &Store) -> Option<Vec<NodeSelectorTerm>> {
    let node = claim.meta.annotations.get(SELECTED_NODE).and_then(|name| store.node_by_name(name));
    match node.map(|(_, node)| node.meta.labels.get(ZONE)) {
        Some(zone) => zone.map(|zone| {
            let in_zone = Requirement { key: ZONE.into(), operator: Operator::In, values: vec![zone.clone()] };
            vec![NodeSelectorTerm { match_expressions: vec![in_zone], match_fields: Vec::new() }]
        }),
        None => (!class.allowed_topologies.is_empty()).then(|| class.allowed_topologies.clone()),
    }
}
