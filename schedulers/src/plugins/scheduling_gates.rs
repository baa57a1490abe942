//! SchedulingGates: who is not ready for the queue stays outside. Upstream: plugins/schedulinggates.

use port::{ClusterEvent, ClusterSnapshot, Plugin, PodInfo, PreEnqueuePlugin, QueueingHint, Status};

/// Holds pods back that still have scheduling gates.
pub(crate) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    /// Only the pod's own last gate counts.
    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        super::queue_if(match event {
            ClusterEvent::PodUpdated { before, pod: changed } => {
                changed.uid == pod.uid && !before.spec.scheduling_gates.is_empty() && changed.spec.scheduling_gates.is_empty()
            }
            _ => false,
        })
    }
}

impl PreEnqueuePlugin for SchedulingGates {
    fn pre_enqueue(&self, pod: &PodInfo) -> Status {
        if pod.spec.scheduling_gates.is_empty() {
            return Status::Success;
        }
        let gates: Vec<&str> = pod.spec.scheduling_gates.iter().map(|gate| &**gate).collect();
        Status::unschedulable_and_unresolvable(format!("waiting for scheduling gates: [{}]", gates.join(" ")))
    }
}
