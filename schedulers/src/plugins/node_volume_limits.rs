//! NodeVolumeLimits: a CSI driver can attach only so many volumes to a node.
//!
//! Distinct volumes count, not mounts. In-tree volumes that were migrated to CSI are not counted.
//! Upstream: plugins/nodevolumelimits/csi.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{CsiNode, ObjectKey, PersistentVolumeClaim, Str};
use port::{
    Changed, ClusterEvent, ClusterObjects, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Reason,
    Remedy, Status,
};

use super::volumes::{claim_key, class_of, has_claim, named_claims};

const REASON: &str = "node(s) exceed max volume count";

/// Provisioners whose volumes count only once a node says that it migrated them.
const MIGRATABLE: [&str; 7] = [
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/azure-file",
    "kubernetes.io/cinder",
    "kubernetes.io/gce-pd",
    "kubernetes.io/portworx-volume",
    "kubernetes.io/vsphere-volume",
];

pub(crate) struct NodeVolumeLimits;

/// A volume: its driver and its handle.
type Handle = (Str, Str);

/// What is known of volumes when the attempt begins.
#[derive(Clone, Default)]
pub(crate) struct Volumes {
    wanted: Arc<[Handle]>,
    /// A claim of the pod that is not there.
    missing: Option<Reason>,
    /// CSI volumes of all claims.
    by_claim: Arc<BTreeMap<ObjectKey, Handle>>,
    nodes: Arc<BTreeMap<Str, Arc<CsiNode>>>,
}

/// The CSI volume of a claim, or the one that will be made for it.
fn handle_of(claim: &PersistentVolumeClaim, objects: &ClusterObjects) -> Option<Handle> {
    if let Some(volume) = objects.persistent_volumes.get(&claim.volume_name) {
        return volume.csi.clone();
    }
    let provisioner = &objects.storage_classes.get(class_of(claim))?.provisioner;
    // No real handle looks like this.
    let handle = format!("\u{0}{}", claim.meta.key());
    (!MIGRATABLE.contains(&&**provisioner)).then(|| (provisioner.clone(), handle.into()))
}

/// Drivers of which the node would have too many volumes with the pod: how many too many, and the limit.
fn exceeded<'a>(volumes: &'a Volumes, node: &NodeInfo) -> Vec<(&'a Str, i64, i64)> {
    let Some(limits) = volumes.nodes.get(node.name()).map(|csi_node| &csi_node.drivers) else { return Vec::new() };
    if volumes.wanted.is_empty() || limits.values().all(Option::is_none) {
        return Vec::new();
    }
    let keys = node.pods.iter().flat_map(|pod| pod.spec.volumes.iter().filter_map(|volume| claim_key(pod, volume)));
    let mut attached: Vec<&Handle> = keys.filter_map(|key| volumes.by_claim.get(&key)).collect();
    attached.sort_unstable();
    attached.dedup();
    let new: Vec<&Handle> = volumes.wanted.iter().filter(|handle| attached.binary_search(handle).is_err()).collect();
    let mut drivers: Vec<&Str> = new.iter().map(|(driver, _)| driver).collect();
    drivers.dedup();
    let of_driver = |handles: &[&Handle], driver: &Str| handles.iter().filter(|handle| handle.0 == *driver).count() as i64;
    let excess = |driver: &'a Str| {
        let limit = i64::from((*limits.get(driver)?)?);
        let more = of_driver(&attached, driver) + of_driver(&new, driver) - limit;
        (more > 0).then_some((driver, more, limit))
    };
    drivers.into_iter().filter_map(excess).collect()
}

/// A driver without a limit counts as one with limit zero, as upstream.
fn any_limit_grew(before: &CsiNode, after: &CsiNode) -> bool {
    let limit = |of: &CsiNode, driver: &Str| of.drivers.get(driver).copied().flatten().unwrap_or(0);
    after.drivers.keys().any(|driver| limit(after, driver) > limit(before, driver))
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        let detaches = |deleted: &PodInfo| deleted.spec.volumes.iter().any(|volume| claim_key(deleted, volume).is_some());
        super::queue_if(match event {
            ClusterEvent::PodDeleted(deleted) => detaches(deleted),
            // A new node counts through its CSINode.
            ClusterEvent::CsiNode(Changed { before, after }) => before.is_none_or(|before| any_limit_grew(before, after)),
            ClusterEvent::PersistentVolumeClaim(claim) => claim.before.is_none() && has_claim(pod, &claim.after.meta.key()),
            ClusterEvent::VolumeAttachmentDeleted => named_claims(&pod.spec).next().is_some(),
            _ => false,
        })
    }
}

impl FilterPlugin for NodeVolumeLimits {
    type Prepared = Volumes;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Volumes> {
        let keys: Vec<ObjectKey> = pod.spec.volumes.iter().filter_map(|volume| claim_key(pod, volume)).collect();
        if keys.is_empty() {
            return PreFilterResult::Skip;
        }
        let objects = snapshot.objects();
        let claims = objects.persistent_volume_claims.iter();
        let by_claim: BTreeMap<ObjectKey, Handle> =
            claims.filter_map(|(key, claim)| Some((key.clone(), handle_of(claim, objects)?))).collect();
        let missing = keys.iter().find(|key| !objects.persistent_volume_claims.contains_key(key));
        let missing = missing.map(|key| format!("looking up PVC {key}: persistentvolumeclaim {:?} not found", &*key.name).into());
        let mut wanted: Vec<Handle> = keys.iter().filter_map(|key| by_claim.get(key).cloned()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let nodes = Arc::new(objects.csi_nodes.clone());
        PreFilterResult::Continue(Volumes { wanted: wanted.into(), missing, by_claim: Arc::new(by_claim), nodes })
    }

    fn filter(&self, volumes: &Volumes, _: &PodInfo, node: &NodeInfo) -> Status {
        if let Some(reason) = &volumes.missing {
            return Status::unschedulable_and_unresolvable(reason.clone());
        }
        if exceeded(volumes, node).is_empty() { Status::Success } else { Status::unschedulable(REASON) }
    }

    fn remedies(&self, volumes: &Volumes, _: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        if volumes.missing.is_some() {
            return Vec::new();
        }
        let text =
            |(driver, more, limit): &(&Str, i64, i64)| format!("volumes of {driver} would be {more} over the node's limit of {limit}");
        exceeded(volumes, node).iter().map(|full| Remedy::new(text(full))).collect()
    }
}
