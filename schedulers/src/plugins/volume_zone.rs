//! VolumeZone: a volume with zone labels is used in its zone.
//!
//! Upstream: plugins/volumezone.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{ObjectKey, PersistentVolume, Str};
use port::{
    Changed, ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Remedy, Status,
};

use super::volumes::{class_of, is_named, named_claims, not_found};
use super::wording;

const REASON: &str = "node(s) had no available volume zone";

/// Labels that say where a volume is, each with the name it has today.
const TOPOLOGY_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

pub(crate) struct VolumeZone;

/// A label that the node needs, its name of today, and the values that will do.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    label: &'static str,
    label_today: &'static str,
    values: Arc<BTreeSet<Str>>,
}

/// The zones a label lists; several are joined with `__`. A list with an empty part counts as none.
fn zones(value: &str) -> Option<BTreeSet<Str>> {
    value.split("__").map(str::trim).map(|zone| (!zone.is_empty()).then(|| zone.into())).collect()
}

fn demands(volume: &PersistentVolume) -> impl Iterator<Item = Demand> {
    TOPOLOGY_LABELS.iter().filter_map(|(label, label_today)| {
        let values = zones(volume.meta.labels.get(*label)?)?;
        Some(Demand { label, label_today, values: Arc::new(values) })
    })
}

/// What the volumes of the pod's claims demand.
fn demands_of(pod: &PodInfo, snapshot: &ClusterSnapshot) -> Result<Vec<Demand>, Status> {
    let objects = snapshot.objects();
    let mut all = Vec::new();
    for name in named_claims(&pod.spec) {
        let key = ObjectKey { namespace: pod.key.namespace.clone(), name: name.clone() };
        let claim = objects.persistent_volume_claims.get(&key).ok_or_else(|| not_found("persistentvolumeclaim", name))?;
        if claim.volume_name.is_empty() {
            let class = class_of(claim);
            if class.is_empty() {
                return Err(Status::unschedulable_and_unresolvable("PersistentVolumeClaim had no pv name and storageClass name"));
            }
            let class = objects.storage_classes.get(class).ok_or_else(|| not_found("storageclass.storage.k8s.io", class))?;
            if !class.wait_for_first_consumer {
                return Err(Status::unschedulable_and_unresolvable("PersistentVolume had no name"));
            }
            continue;
        }
        let volume = objects.persistent_volumes.get(&claim.volume_name);
        all.extend(demands(volume.ok_or_else(|| not_found("persistentvolume", &claim.volume_name))?));
    }
    Ok(all)
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let differ = |before: &PersistentVolume, after: &PersistentVolume| !demands(before).eq(demands(after));
        super::queue_if(match event {
            ClusterEvent::PersistentVolume(Changed { before, after }) => before.is_none_or(|before| differ(before, after)),
            ClusterEvent::PersistentVolumeClaim(claim) => is_named(pod, claim.after),
            ClusterEvent::StorageClass(class) => class.before.is_none() && class.after.wait_for_first_consumer,
            _ => super::node_came_or_was_relabelled(event, snapshot),
        })
    }
}

impl FilterPlugin for VolumeZone {
    type Prepared = Vec<Demand>;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Vec<Demand>> {
        match demands_of(pod, snapshot) {
            Err(status) => PreFilterResult::Rejected(status),
            Ok(demands) if demands.is_empty() => PreFilterResult::Skip,
            Ok(demands) => PreFilterResult::Continue(demands),
        }
    }

    fn filter(&self, demands: &Vec<Demand>, _: &PodInfo, node: &NodeInfo) -> Status {
        let labels = node.labels();
        // A cluster whose nodes say nothing has one zone.
        if TOPOLOGY_LABELS.iter().all(|(label, _)| !labels.contains_key(*label)) {
            return Status::Success;
        }
        let met = |demand: &Demand| {
            let value = labels.get(demand.label).or_else(|| labels.get(demand.label_today));
            value.is_some_and(|value| demand.values.contains(value))
        };
        if demands.iter().all(met) { Status::Success } else { Status::unschedulable_and_unresolvable(REASON) }
    }

    fn remedies(&self, demands: &Vec<Demand>, _: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        let labels = node.labels();
        let found = |demand: &Demand| labels.get(demand.label).or_else(|| labels.get(demand.label_today)).cloned();
        let unmet = demands.iter().filter(|demand| found(demand).is_none_or(|value| !demand.values.contains(&value)));
        let text = |demand: &Demand| {
            let values = wording::list(&demand.values.iter().map(Str::to_string).collect::<Vec<_>>());
            let found = found(demand).map_or_else(|| "none".to_owned(), |value| value.to_string());
            format!("a volume of the pod is in {} {values}, the node in {found}", demand.label_today)
        };
        unmet.map(|demand| Remedy::new(text(demand))).collect()
    }
}
