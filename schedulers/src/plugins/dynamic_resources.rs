//! DynamicResources, as far as it shows for pods without resource claims: a score of 0 and its words when
//! no node is left. Claims themselves are not modelled. Upstream: plugins/dynamicresources.

use port::{
    ClusterEvent, ClusterSnapshot, FailedAttempt, NodeInfo, Plugin, PodInfo, PostFilterPlugin, PostFilterResult, QueueingHint, ScorePlugin,
};

pub(crate) struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn hint(&self, _: &PodInfo, _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Skip
    }
}

impl PostFilterPlugin for DynamicResources {
    fn post_filter(&self, failed: &FailedAttempt<'_>) -> PostFilterResult {
        // Its PreFilter comes late; when one before it stopped the attempt, upstream finds no state here.
        if !failed.pre_filter_finished {
            return PostFilterResult::Error("not found".to_owned());
        }
        PostFilterResult::Unschedulable { reason: "no new claims to deallocate".to_owned(), clear_nomination: false }
    }
}

impl ScorePlugin for DynamicResources {
    type Prepared = ();

    fn score(&self, (): &(), _: &PodInfo, _: &NodeInfo) -> i64 {
        0
    }
}
