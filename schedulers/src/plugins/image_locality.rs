//! ImageLocality: prefers nodes that already have the pod's images, the more the larger and the more
//! widely spread they are. Upstream: plugins/imagelocality.

use std::collections::BTreeMap;

use api::{Str, VolumeSource};
use port::{
    ClusterEvent, ClusterSnapshot, MAX_NODE_SCORE, NodeIndex, NodeInfo, Plugin, PodInfo, PreScoreResult, QueueingHint, ScorePlugin,
};

const MIN_THRESHOLD_BYTES: i64 = 23 << 20;
const MAX_CONTAINER_THRESHOLD_BYTES: i64 = 1000 << 20;

pub(crate) struct ImageLocality;

/// The pod's images that some node has: bytes counted for each node by name.
type BytesByNode = BTreeMap<Str, i64>;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn hint(&self, _: &PodInfo, _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Skip
    }
}

/// The name with `:latest` when it has no tag.
fn normalized(name: &str) -> Str {
    let last = |c: char| name.rfind(c).map_or(-1, |at| at as i64);
    if last(':') <= last('/') { format!("{name}:latest").into() } else { name.into() }
}

fn images(pod: &PodInfo) -> impl Iterator<Item = &Str> {
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers).map(|container| &container.image);
    let volumes = pod.spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Image(reference) => Some(reference),
        _ => None,
    });
    containers.chain(volumes)
}

impl ScorePlugin for ImageLocality {
    type Prepared = BytesByNode;

    fn pre_score(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, _: &[NodeIndex]) -> PreScoreResult<BytesByNode> {
        let mut bytes = BytesByNode::new();
        if snapshot.has_images() {
            for state in images(pod).filter_map(|image| snapshot.image(&normalized(image))) {
                let spread = state.nodes.len() as f64 / snapshot.nodes().len() as f64;
                for node in &state.nodes {
                    *bytes.entry(node.clone()).or_default() += (state.size_bytes as f64 * spread) as i64;
                }
            }
        }
        PreScoreResult::Continue(bytes)
    }

    fn score(&self, bytes: &BytesByNode, pod: &PodInfo, node: &NodeInfo) -> i64 {
        if bytes.is_empty() {
            return 0;
        }
        let containers = (pod.spec.init_containers.len() + pod.spec.containers.len()) as i64;
        let most = MAX_CONTAINER_THRESHOLD_BYTES * containers;
        let sum = bytes.get(node.name()).copied().unwrap_or(0);
        let sum = if sum < MIN_THRESHOLD_BYTES { MIN_THRESHOLD_BYTES } else { sum.min(most) };
        MAX_NODE_SCORE * (sum - MIN_THRESHOLD_BYTES) / (most - MIN_THRESHOLD_BYTES).max(1)
    }
}
