//! The in-tree plugins, one file each, named as upstream names them.
//!
//! Each follows its upstream plugin to the letter in what it answers (codes, reasons, integer arithmetic);
//! how it gets there is its own.

use api::Labels;
use port::{ClusterEvent, ClusterSnapshot, MAX_NODE_SCORE, PodInfo, QueueingHint};

pub(crate) mod default_preemption;
pub(crate) mod dynamic_resources;
#[cfg(test)]
mod hint_tests;
pub(crate) mod image_locality;
pub(crate) mod inter_pod_affinity;
pub(crate) mod node_affinity;
pub(crate) mod node_name;
pub(crate) mod node_ports;
pub(crate) mod node_resources_balanced_allocation;
pub(crate) mod node_resources_fit;
pub(crate) mod node_unschedulable;
pub(crate) mod node_volume_limits;
pub(crate) mod pod_topology_spread;
pub(crate) mod queue;
pub(crate) mod taint_toleration;
pub(crate) mod volume_binding;
pub(crate) mod volume_restrictions;
pub(crate) mod volume_zone;
mod volumes;
mod wording;

/// Brings scores into 0..=100 by the largest, turned round when `reverse`.
///
/// Upstream: plugins/helper/normalize_score.go.
pub(crate) fn default_normalize(scores: &mut [i64], reverse: bool) {
    let max = scores.iter().copied().max().unwrap_or(0);
    if max == 0 {
        if reverse {
            scores.fill(MAX_NODE_SCORE);
        }
        return;
    }
    for score in scores {
        let share = MAX_NODE_SCORE * *score / max;
        *score = if reverse { MAX_NODE_SCORE - share } else { share };
    }
}

pub(crate) const fn queue_if(wakes: bool) -> QueueingHint {
    if wakes { QueueingHint::Queue } else { QueueingHint::Skip }
}

/// What a plugin that depends on node labels registers for without looking closer.
pub(crate) fn node_came_or_was_relabelled(event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> bool {
    match event {
        ClusterEvent::NodeAdded(_) => true,
        ClusterEvent::NodeUpdated { before, node } => before.labels() != snapshot.node(*node).labels(),
        _ => false,
    }
}

/// Tolerations can only be added, so their number tells (upstream: framework/events.go).
pub(crate) fn tolerations_grew(before: &PodInfo, after: &PodInfo) -> bool {
    before.spec.tolerations.len() != after.spec.tolerations.len()
}

/// The labels of a namespace; none when it is not known.
pub(crate) fn namespace_labels(snapshot: &ClusterSnapshot, namespace: &str) -> Labels {
    snapshot.objects().namespaces.get(namespace).map(|found| found.labels()).unwrap_or_default()
}
