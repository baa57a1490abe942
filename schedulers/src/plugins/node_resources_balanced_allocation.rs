//! NodeResourcesBalancedAllocation: prefers nodes whose resources the pod would bring into balance.
//!
//! The score is the *change* of balance that the pod makes, not the balance reached: about
//! 75 for none. Uses real requests, without defaults. Upstream: plugins/noderesources/balanced_allocation.go.

use port::{
    ClusterEvent, ClusterSnapshot, MAX_NODE_SCORE, NodeIndex, NodeInfo, Plugin, PodInfo, PreScoreResult, QueueingHint, ScorePlugin,
};

use super::node_resources_fit::{ResourceSpec, amounts};
use crate::config::args::{Reader, fields, resources};

pub(crate) struct NodeResourcesBalancedAllocation {
    pub(crate) resources: Vec<ResourceSpec>,
}

/// Fractions of the resources that count on a node. The first two are kept, because two resources have a
/// formula of their own and are what almost every profile looks at.
#[derive(Default)]
struct Balance {
    count: usize,
    sum: f64,
    first: [f64; 2],
}

impl Balance {
    fn add(&mut self, fraction: f64) {
        if let Some(place) = self.first.get_mut(self.count) {
            *place = fraction;
        }
        self.count += 1;
        self.sum += fraction;
    }
    /// `fractions` gives them all again, for the mean square of more than two.
    fn score<I: Iterator<Item = f64>>(&self, fractions: impl FnOnce() -> I) -> i64 {
        let std = match self.count {
            0 | 1 => 0.0,
            2 => ((self.first[0] - self.first[1]) / 2.0).abs(),
            count => {
                let mean = self.sum / count as f64;
                let squares = fractions().fold(0.0, |sum, fraction| sum + (fraction - mean) * (fraction - mean));
                (squares / count as f64).sqrt()
            }
        };
        ((1.0 - std) * MAX_NODE_SCORE as f64) as i64
    }
}

impl NodeResourcesBalancedAllocation {
    /// Fractions requested without and with the pod, of the resources that count on the node.
    fn fractions<'a>(&'a self, node: &'a NodeInfo, requests: &'a [i64]) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.resources.iter().zip(requests).filter_map(|(resource, request)| {
            let (requested, allocatable) = amounts(node, &resource.name, *request, false)?;
            let fraction = |requested: i64| (requested as f64 / allocatable as f64).min(1.0);
            Some((fraction(requested), fraction(requested + request)))
        })
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn hint(&self, _: &PodInfo, _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Skip
    }
}

impl ScorePlugin for NodeResourcesBalancedAllocation {
    /// What the pod adds, in the order of `resources`.
    type Prepared = Vec<i64>;

    fn pre_score(&self, pod: &PodInfo, _: &ClusterSnapshot, _: &[NodeIndex]) -> PreScoreResult<Vec<i64>> {
        let requests: Vec<i64> = self.resources.iter().map(|resource| pod.requests.requests.get(&resource.name)).collect();
        if requests.iter().all(|request| *request == 0) { PreScoreResult::Skip } else { PreScoreResult::Continue(requests) }
    }

    fn score(&self, requests: &Vec<i64>, _: &PodInfo, node: &NodeInfo) -> i64 {
        let (mut without, mut with) = (Balance::default(), Balance::default());
        for (before, after) in self.fractions(node, requests) {
            without.add(before);
            with.add(after);
        }
        let again = || self.fractions(node, requests);
        let change = with.score(|| again().map(|(_, after)| after)) - without.score(|| again().map(|(before, _)| before));
        MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + change) / 2
    }
}

/// From its arguments (NodeResourcesBalancedAllocationArgs).
pub(crate) fn from_args(args: &Reader<'_>) -> NodeResourcesBalancedAllocation {
    fields(args, &["resources"]);
    NodeResourcesBalancedAllocation { resources: resources(&args.get("resources")) }
}
