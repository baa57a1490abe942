//! PrioritySort: the order of the queue. Upstream: plugins/queuesort.

use std::cmp::Ordering;

use port::{Plugin, QueueSortPlugin, QueuedPod};

/// Higher priority first, then who waits longer.
pub(crate) struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }
}

impl QueueSortPlugin for PrioritySort {
    fn compare(&self, a: &QueuedPod<'_>, b: &QueuedPod<'_>) -> Ordering {
        b.pod.spec.priority.cmp(&a.pod.spec.priority).then(a.timestamp.cmp(&b.timestamp))
    }
}
