//! What several plugins need. Upstream: plugins/helper.

use api::Labels;
use port::{ClusterEvent, ClusterSnapshot, MAX_NODE_SCORE, PodInfo, QueueingHint};

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
