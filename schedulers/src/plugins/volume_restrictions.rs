//! VolumeRestrictions: disks that only one node, or one pod, may have.
//!
//! Upstream: plugins/volumerestrictions.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{ObjectKey, PodSpec, Str, VolumeSource};
use port::{ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Remedy, Status};

use super::volumes::{is_named, named_claims, not_found};
use super::wording;

const REASON_DISK: &str = "node(s) had no available disk";
const REASON_ONE_POD: &str =
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

pub(crate) struct VolumeRestrictions;

/// Whether a volume of this kind is looked at.
const fn is_restricted(source: &VolumeSource) -> bool {
    matches!(
        source,
        VolumeSource::GcePersistentDisk { .. }
            | VolumeSource::AwsElasticBlockStore { .. }
            | VolumeSource::Iscsi { .. }
            | VolumeSource::Rbd { .. }
    )
}

/// Whether both cannot be on one node.
fn conflicts(a: &VolumeSource, b: &VolumeSource) -> bool {
    use VolumeSource::{AwsElasticBlockStore, GcePersistentDisk, Iscsi, Rbd};
    match (a, b) {
        (GcePersistentDisk { name, read_only }, GcePersistentDisk { name: other, read_only: other_read_only }) => {
            name == other && !(*read_only && *other_read_only)
        }
        (AwsElasticBlockStore { id, .. }, AwsElasticBlockStore { id: other, .. }) => id == other,
        (Iscsi { iqn, read_only }, Iscsi { iqn: other, read_only: other_read_only }) => iqn == other && !(*read_only && *other_read_only),
        (
            Rbd { monitors, pool, image, read_only },
            Rbd { monitors: other_monitors, pool: other_pool, image: other_image, read_only: other_read_only },
        ) => {
            monitors.iter().any(|monitor| other_monitors.contains(monitor))
                && pool == other_pool
                && image == other_image
                && !(*read_only && *other_read_only)
        }
        _ => false,
    }
}

fn restricted(spec: &PodSpec) -> impl Iterator<Item = &VolumeSource> {
    spec.volumes.iter().map(|volume| &volume.source).filter(|source| is_restricted(source))
}

/// Whether `deleted` had something that `waiting` may have been turned down for.
fn releases(deleted: &PodSpec, waiting: &PodSpec) -> bool {
    restricted(waiting).any(|wanted| restricted(deleted).any(|used| conflicts(wanted, used)))
        || named_claims(waiting).any(|name| named_claims(deleted).any(|used| used == name))
}

/// The pod's ReadWriteOncePod claims, and how often pods that are placed refer to them.
#[derive(Clone, Default)]
pub(crate) struct Claims {
    names: Arc<BTreeSet<Str>>,
    references: i64,
}

impl Claims {
    /// By name alone, as upstream: pods of other namespaces count as well here.
    fn references_of(&self, pod: &PodInfo) -> i64 {
        if self.names.is_empty() {
            return 0;
        }
        named_claims(&pod.spec).filter(|name| self.names.contains(*name)).count() as i64
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    /// A pod that went counts when it had a disk that conflicts, or a claim of the same name.
    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        super::queue_if(match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodDeleted(deleted) => deleted.key.namespace == pod.key.namespace && releases(&deleted.spec, &pod.spec),
            ClusterEvent::PersistentVolumeClaim(claim) => claim.before.is_none() && is_named(pod, claim.after),
            _ => false,
        })
    }
}

impl FilterPlugin for VolumeRestrictions {
    type Prepared = Claims;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Claims> {
        if pod.spec.volumes.is_empty() {
            return PreFilterResult::Skip;
        }
        let mut names = BTreeSet::new();
        for name in named_claims(&pod.spec) {
            let key = ObjectKey { namespace: pod.key.namespace.clone(), name: name.clone() };
            let Some(claim) = snapshot.objects().persistent_volume_claims.get(&key) else {
                return PreFilterResult::Rejected(not_found("persistentvolumeclaim", name));
            };
            if claim.access_modes.iter().any(|mode| &**mode == "ReadWriteOncePod") {
                names.insert(name.clone());
            }
        }
        let is_used = |name: &&Str| {
            let uses = |other: &PodInfo| other.key.namespace == pod.key.namespace && named_claims(&other.spec).any(|used| used == *name);
            snapshot.nodes().iter().any(|node| node.pods.iter().any(uses))
        };
        let references = names.iter().filter(is_used).count() as i64;
        if references == 0 && restricted(&pod.spec).next().is_none() {
            return PreFilterResult::Skip;
        }
        PreFilterResult::Continue(Claims { names: Arc::new(names), references })
    }

    fn filter(&self, claims: &Claims, pod: &PodInfo, node: &NodeInfo) -> Status {
        let is_taken = |wanted: &VolumeSource| node.pods.iter().any(|other| restricted(&other.spec).any(|used| conflicts(wanted, used)));
        if restricted(&pod.spec).any(is_taken) {
            return Status::unschedulable(REASON_DISK);
        }
        if claims.references > 0 { Status::unschedulable(REASON_ONE_POD) } else { Status::Success }
    }

    fn remedies(&self, claims: &Claims, pod: &PodInfo, node: &NodeInfo, snapshot: &ClusterSnapshot) -> Vec<Remedy> {
        let takes = |other: &&PodInfo| restricted(&pod.spec).any(|wanted| restricted(&other.spec).any(|used| conflicts(wanted, used)));
        let uses = |other: &&PodInfo| claims.references_of(other) > 0 && other.key.namespace == pod.key.namespace;
        let on_disk = wording::pods(node.pods.iter().filter(takes));
        let in_use = wording::pods(snapshot.nodes().iter().flat_map(|node| &node.pods).filter(uses));
        let taken = [("the disk is in use by", on_disk), ("its ReadWriteOncePod claim is in use by", in_use)];
        taken.into_iter().filter(|(_, by)| !by.is_empty()).map(|(what, by)| Remedy::new(format!("{what} {by}"))).collect()
    }

    fn add_pod(&self, claims: &mut Claims, _: &PodInfo, added: &PodInfo, _: &NodeInfo) {
        claims.references += claims.references_of(added);
    }

    fn remove_pod(&self, claims: &mut Claims, _: &PodInfo, removed: &PodInfo, _: &NodeInfo) {
        claims.references -= claims.references_of(removed);
    }
}
