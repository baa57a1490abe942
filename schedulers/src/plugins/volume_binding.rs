//! VolumeBinding: bound volumes have to be reachable from the node; claims that wait for their first consumer
//! get a volume there, an existing one or one that can be made.
//!
//! What a chosen node takes is assumed at once ([`assume`], upstream's Reserve), so that later pods see it.
//! Not modelled: in-tree volumes migrated to CSI, ownership of ephemeral claims, VolumeAttributesClass, and the
//! score, which is off by default. Upstream: plugins/volumebinding, component-helpers/storage/volume.

use std::sync::Arc;

use api::{CsiStorageCapacity, Labels, ObjectKey, PersistentVolume, PersistentVolumeClaim, StorageClass, Str, VolumeSource};
use port::{
    Changed, ClusterEvent, ClusterObjects, ClusterSnapshot, FilterPlugin, NodeIndex, NodeInfo, Plugin, PodInfo, PreFilterResult,
    QueueingHint, Reason, Reasons, Remedy, Reservation, Status,
};

use super::volumes::{SELECTED_NODE, claim_key, class_of, has_claim, is_fully_bound};
use super::wording;
use crate::config::args::{Reader, fields};

const REASON_NODE: &str = "node(s) didn't match PersistentVolume's node affinity";
const REASON_BIND: &str = "node(s) didn't find available persistent volumes to bind";
const REASON_SPACE: &str = "node(s) did not have enough free storage";
const REASON_NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const REASON_IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

pub(crate) struct VolumeBinding;

/// A claim that waits for its first consumer, with what may become of it.
#[derive(Clone)]
struct Waiting {
    claim: Arc<PersistentVolumeClaim>,
    class: Arc<StorageClass>,
    /// Volumes of its class, by name.
    volumes: Vec<Arc<PersistentVolume>>,
    /// Where volumes of its class can still be made; `None` when its driver does not say.
    capacities: Option<Vec<Arc<CsiStorageCapacity>>>,
}

/// The pod's claims.
#[derive(Clone, Default)]
pub(crate) struct Claims {
    /// Volumes of bound claims; `None` for one that does not exist.
    bound: Vec<Option<Arc<PersistentVolume>>>,
    waiting: Vec<Waiting>,
}

/// What a node takes.
#[derive(Default)]
struct Bindings {
    /// Existing volumes, each with the claim it is for.
    volumes: Vec<(Str, ObjectKey)>,
    /// Claims for which a volume is made.
    made: Vec<ObjectKey>,
}

/// The pod's claims, or why the pod has to wait.
fn claims_of(pod: &PodInfo, objects: &ClusterObjects) -> Result<Option<Claims>, Status> {
    let refuse = |text: String| Err(Status::unschedulable_and_unresolvable(text));
    let mut claims: Vec<&Arc<PersistentVolumeClaim>> = Vec::new();
    for volume in &pod.spec.volumes {
        let Some(key) = claim_key(pod, volume) else { continue };
        let name = &*key.name;
        let Some(claim) = objects.persistent_volume_claims.get(&key) else {
            return refuse(if matches!(volume.source, VolumeSource::Ephemeral(_)) {
                format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
            } else {
                format!("persistentvolumeclaim {name:?} not found")
            });
        };
        if &*claim.phase == "Lost" {
            return refuse(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {:?}", &*claim.volume_name));
        }
        if claim.meta.is_deleting() {
            return refuse(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        claims.push(claim);
    }
    if claims.is_empty() {
        return Ok(None);
    }
    let mut found = Claims::default();
    for claim in claims {
        if is_fully_bound(claim) {
            found.bound.push(objects.persistent_volumes.get(&claim.volume_name).cloned());
            continue;
        }
        match objects.storage_classes.get(class_of(claim)).filter(|class| class.wait_for_first_consumer) {
            Some(class) if claim.volume_name.is_empty() => found.waiting.push(waiting(claim, class, objects)),
            _ => return refuse(REASON_IMMEDIATE.to_owned()),
        }
    }
    // The smallest claim first gets the smallest volume that will do.
    found.waiting.sort_by_key(|waiting| waiting.claim.request_bytes);
    Ok(Some(found))
}

fn waiting(claim: &Arc<PersistentVolumeClaim>, class: &Arc<StorageClass>, objects: &ClusterObjects) -> Waiting {
    let of_class = |volume: &&Arc<PersistentVolume>| volume.storage_class_name == class.meta.name;
    let tracks = objects.csi_drivers.get(&class.provisioner).is_some_and(|driver| driver.storage_capacity);
    let capacities = objects.csi_storage_capacities.values().filter(|capacity| capacity.storage_class_name == class.meta.name);
    Waiting {
        claim: claim.clone(),
        class: class.clone(),
        volumes: objects.persistent_volumes.values().filter(of_class).cloned().collect(),
        capacities: tracks.then(|| capacities.cloned().collect()),
    }
}

/// Whether the volume can be reached from a node with these labels. Fields are not looked at.
fn is_reachable(volume: &PersistentVolume, labels: &Labels) -> bool {
    volume.node_affinity.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(&Str::default(), labels)))
}

/// The largest volume that can still be made, if the driver says.
fn largest(capacity: &CsiStorageCapacity) -> Option<i64> {
    capacity.maximum_volume_bytes.or(capacity.capacity_bytes)
}

impl Waiting {
    /// An existing volume for the claim: one reserved for it, else the smallest that will do.
    fn matching(&self, node: &NodeInfo, taken: &[(Str, ObjectKey)]) -> Option<&Arc<PersistentVolume>> {
        let claim = &*self.claim;
        let key = claim.meta.key().to_string();
        let mut smallest: Option<&Arc<PersistentVolume>> = None;
        for volume in self.volumes.iter().filter(|volume| taken.iter().all(|(name, _)| *name != volume.meta.name)) {
            let is_reserved = *volume.claim_ref == *key;
            let is_free = volume.claim_ref.is_empty();
            let is_large_enough = volume.capacity_bytes >= claim.request_bytes;
            if !(is_free || is_reserved) || !is_large_enough || volume.block != claim.block || volume.meta.is_deleting() {
                continue;
            }
            let reachable = is_reachable(volume, node.labels());
            if is_reserved {
                return reachable.then_some(volume);
            }
            let selected = claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels));
            let modes = claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode));
            if &*volume.phase == "Available"
                && selected
                && modes
                && reachable
                && smallest.is_none_or(|other| other.capacity_bytes > volume.capacity_bytes)
            {
                smallest = Some(volume);
            }
        }
        smallest
    }

    /// Whether a volume can be made; if not, why.
    fn can_be_made(&self, node: &NodeInfo) -> Result<(), &'static str> {
        let class = &*self.class;
        if class.provisioner.is_empty() || &*class.provisioner == NO_PROVISIONER {
            return Err(REASON_BIND);
        }
        let allowed = &class.allowed_topologies;
        if !allowed.is_empty() && !allowed.iter().any(|term| term.matches(node.name(), node.labels())) {
            return Err(REASON_BIND);
        }
        let enough = |capacity: &Arc<CsiStorageCapacity>| {
            largest(capacity).is_some_and(|limit| limit >= self.claim.request_bytes)
                && capacity.node_topology.as_ref().is_some_and(|topology| topology.matches(node.labels()))
        };
        if self.capacities.as_ref().is_none_or(|capacities| capacities.iter().any(enough)) { Ok(()) } else { Err(REASON_SPACE) }
    }
}

impl Claims {
    /// What the node would take, or every reason against it.
    fn bindings(&self, node: &NodeInfo) -> Result<Bindings, Vec<&'static str>> {
        let mut reasons = Vec::new();
        // The first claim with a fault is the one reported.
        for volume in &self.bound {
            match volume {
                None => reasons.push(REASON_NO_VOLUME),
                Some(volume) if !is_reachable(volume, node.labels()) => reasons.push(REASON_NODE),
                Some(_) => continue,
            }
            break;
        }
        match self.bind_waiting(node) {
            Ok(bindings) if reasons.is_empty() => Ok(bindings),
            Ok(_) => Err(reasons),
            Err(reason) => {
                reasons.push(reason);
                Err(reasons)
            }
        }
    }

    fn bind_waiting(&self, node: &NodeInfo) -> Result<Bindings, &'static str> {
        let mut bindings = Bindings::default();
        let (mut to_make, mut to_match): (Vec<&Waiting>, Vec<&Waiting>) = (Vec::new(), Vec::new());
        for waiting in &self.waiting {
            match waiting.claim.meta.annotations.get(SELECTED_NODE) {
                Some(selected) if selected != node.name() => return Err(REASON_BIND),
                Some(_) => to_make.push(waiting),
                None => to_match.push(waiting),
            }
        }
        for waiting in to_match {
            match waiting.matching(node, &bindings.volumes) {
                Some(volume) => bindings.volumes.push((volume.meta.name.clone(), waiting.claim.meta.key())),
                None => to_make.push(waiting),
            }
        }
        for waiting in to_make {
            waiting.can_be_made(node)?;
            bindings.made.push(waiting.claim.meta.key());
        }
        Ok(bindings)
    }
}

/// Takes what the pod's claims need on `node`: volumes become reserved, claims remember for which node their
/// volume is made. Does nothing for a pod without waiting claims.
pub(crate) fn assume(pod: &PodInfo, node: NodeIndex, snapshot: &mut ClusterSnapshot) -> Reservation {
    let mut taken = Reservation::default();
    let Ok(Some(claims)) = claims_of(pod, snapshot.objects()) else { return taken };
    let Ok(bindings) = claims.bindings(snapshot.node(node)) else { return taken };
    let node_name = snapshot.node(node).name().clone();
    let objects = snapshot.objects_mut();
    for (name, claim) in bindings.volumes {
        if let Some(volume) = objects.persistent_volumes.get_mut(&name) {
            taken.volumes.push(volume.clone());
            Arc::make_mut(volume).claim_ref = claim.to_string().into();
        }
    }
    for key in bindings.made {
        if let Some(claim) = objects.persistent_volume_claims.get_mut(&key) {
            taken.claims.push(claim.clone());
            let annotations = &mut Arc::make_mut(claim).meta.annotations;
            Arc::make_mut(annotations).insert(SELECTED_NODE.into(), node_name.clone());
        }
    }
    taken
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        super::queue_if(match event {
            ClusterEvent::PersistentVolume(_) => true,
            ClusterEvent::PersistentVolumeClaim(claim) => has_claim(pod, &claim.after.meta.key()),
            ClusterEvent::StorageClass(Changed { before, after }) => {
                before.is_none_or(|before| before.allowed_topologies != after.allowed_topologies)
            }
            // Changes count for the migration of in-tree volumes only.
            ClusterEvent::CsiNode(node) => node.before.is_none(),
            ClusterEvent::CsiDriver(Changed { before: Some(before), after }) => {
                let uses = |source: &VolumeSource| matches!(source, VolumeSource::Csi(driver) if *driver == after.meta.name);
                before.storage_capacity && !after.storage_capacity && pod.spec.volumes.iter().any(|volume| uses(&volume.source))
            }
            ClusterEvent::CsiStorageCapacity(Changed { before, after }) => before.is_none_or(|before| largest(before) < largest(after)),
            _ => super::node_came_or_was_relabelled(event, snapshot),
        })
    }
}

impl FilterPlugin for VolumeBinding {
    type Prepared = Claims;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Claims> {
        match claims_of(pod, snapshot.objects()) {
            Err(status) => PreFilterResult::Rejected(status),
            Ok(None) => PreFilterResult::Skip,
            Ok(Some(claims)) => PreFilterResult::Continue(claims),
        }
    }

    fn filter(&self, claims: &Claims, _: &PodInfo, node: &NodeInfo) -> Status {
        match claims.bindings(node) {
            Ok(_) => Status::Success,
            Err(reasons) => Status::UnschedulableAndUnresolvable(Reasons::Many(reasons.into_iter().map(Reason::Static).collect())),
        }
    }

    fn remedies(&self, claims: &Claims, _: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        let far = |volume: &&Arc<PersistentVolume>| !is_reachable(volume, node.labels());
        let mut missing: Vec<Remedy> = Vec::new();
        for volume in claims.bound.iter().flatten().filter(far) {
            let terms = volume.node_affinity.as_deref().unwrap_or_default();
            let needs = wording::terms(terms, node.name(), node.labels());
            missing.extend(needs.iter().map(|need| Remedy::new(format!("volume {} wants another node: {}", volume.meta.name, need.text))));
        }
        if claims.bind_waiting(node).is_err() {
            let names: Vec<String> = claims.waiting.iter().map(|waiting| waiting.claim.meta.key().to_string()).collect();
            missing.push(Remedy::new(format!("no volume here for {}", wording::list(&names))));
        }
        missing
    }
}

/// From its arguments (VolumeBindingArgs).
pub(crate) fn from_args(args: &Reader<'_>) -> VolumeBinding {
    fields(args, &["bindTimeoutSeconds", "shape"]);
    for (key, why) in [("bindTimeoutSeconds", "volumes are bound at once"), ("shape", "VolumeBinding gives no scores by default")] {
        if !args.get(key).is_absent() {
            args.get(key).notice(why);
        }
    }
    VolumeBinding
}
