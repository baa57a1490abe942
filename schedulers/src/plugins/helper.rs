//! What several plugins need. Upstream: plugins/helper.

use api::Labels;
use port::{ClusterEvent, ClusterSnapshot, MAX_NODE_SCORE, NodeInfo, QueueingHint};

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

/// The hint of a plugin that only nodes can satisfy: a new or changed node that it would accept.
pub(crate) fn hint_on_node(event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot, accepts: impl Fn(&NodeInfo) -> bool) -> QueueingHint {
    match event {
        ClusterEvent::NodeAdded(node) | ClusterEvent::NodeUpdated(node) => queue_if(accepts(snapshot.node(*node))),
        ClusterEvent::PodAdded(_) | ClusterEvent::PodDeleted(_) => QueueingHint::Skip,
    }
}

/// The labels of a namespace; none when it is not known.
pub(crate) fn namespace_labels(snapshot: &ClusterSnapshot, namespace: &str) -> Labels {
    snapshot.objects().namespaces.get(namespace).map(|found| found.labels()).unwrap_or_default()
}
