//! Memory of containers and nodes: who uses what, quality of service, and whom the kernel kills.
//!
//! Upstream: pkg/apis/core/v1/helper/qos/qos.go and pkg/kubelet/qos/policy.go.
//!
//! Not modelled: memory of containers that no behavior gives any, page cache, and the system's own use beyond what
//! the node's allocatable leaves out.

use api::{Pod, ResourceName, SimDuration, SimTime};

use crate::spec::MemoryUse;

impl MemoryUse {
    /// Bytes in use so long after the start.
    pub(super) fn at(&self, age: SimDuration) -> i64 {
        let next = self.points.partition_point(|(from, _)| *from <= age);
        let Some(before) = next.checked_sub(1).map(|place| self.points[place]) else { return 0 };
        let Some(after) = self.points.get(next) else { return before.1 };
        let (passed, span) = (i128::from((age - before.0).as_nanos()), i128::from((after.0 - before.0).as_nanos()));
        before.1 + (i128::from(after.1 - before.1) * passed / span.max(1)) as i64
    }

    /// How long after the start the use first reaches `bytes`.
    pub(super) fn first_at(&self, bytes: i64) -> Option<SimDuration> {
        let reached = self.points.iter().position(|(_, used)| *used >= bytes)?;
        let (at, used) = self.points[reached];
        let Some((from, less)) = reached.checked_sub(1).map(|place| self.points[place]) else { return Some(at) };
        let (span, missing, rise) = (i128::from((at - from).as_nanos()), i128::from(bytes - less), i128::from(used - less));
        let waits = (span * missing).div_euclid(rise.max(1)) + i128::from((span * missing).rem_euclid(rise.max(1)) != 0);
        Some(from + SimDuration::from_nanos(waits as u64))
    }

    /// Instants after `now` at which the line bends.
    pub(super) fn bends(&self, started: SimTime, now: SimTime) -> impl Iterator<Item = SimTime> {
        self.points.iter().map(move |(from, _)| started + *from).filter(move |at| *at > now)
    }
}

/// Quality of service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

pub(crate) fn qos_class(pod: &Pod) -> QosClass {
    let compute = [ResourceName::Cpu, ResourceName::Memory];
    let containers = || pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let amounts = |list: &api::ResourceList| compute.clone().map(|name| list.get(&name).copied().unwrap_or(0));
    if let (Some(requests), Some(limits)) = (&pod.spec.pod_requests, &pod.spec.pod_limits) {
        return class_of([(amounts(requests), amounts(limits))].into_iter());
    }
    class_of(containers().map(|container| (amounts(&container.requests), amounts(&container.limits))))
}

fn class_of(mut lists: impl Iterator<Item = ([i64; 2], [i64; 2])> + Clone) -> QosClass {
    if lists.clone().all(|(requests, limits)| requests == [0, 0] && limits == [0, 0]) {
        QosClass::BestEffort
    } else if lists.all(|(requests, limits)| limits.iter().all(|limit| *limit > 0) && requests == limits) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

/// How readily the kernel kills a container of the pod, out of 1000 of the node's memory.
pub(super) fn oom_score_adj(pod: &Pod, request: i64, capacity: i64) -> i64 {
    match qos_class(pod) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => (1000 - 1000 * request / capacity.max(1)).clamp(3, 999),
    }
}

/// A number of bytes as a quantity is written: in the largest binary unit that divides it.
pub(super) fn binary_si(bytes: i64) -> String {
    api::Quantity::from_units(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Container, PodSpec, ResourceList};
    use std::sync::Arc;

    #[test]
    fn memory_goes_in_straight_lines() {
        let s = SimDuration::from_secs;
        let uses = MemoryUse { points: vec![(s(0), 100), (s(10), 300), (s(20), 300), (s(30), 50)] };
        assert_eq!([0, 5, 10, 15, 25, 40].map(|age| uses.at(s(age))), [100, 200, 300, 300, 175, 50]);
        assert_eq!([50, 200, 300].map(|bytes| uses.first_at(bytes)), [Some(s(0)), Some(s(5)), Some(s(10))]);
        assert_eq!(uses.first_at(301), None);
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let list = |cpu: i64, memory: i64| ResourceList::from([(ResourceName::Cpu, cpu), (ResourceName::Memory, memory)]);
        let pod = |requests: ResourceList, limits: ResourceList| {
            let container = Container { requests, limits, ..Container::default() };
            Pod { spec: Arc::new(PodSpec { containers: vec![container], ..PodSpec::default() }), ..Pod::default() }
        };
        let none = ResourceList::new;
        for (pod, class, adjustment) in [
            (pod(none(), none()), QosClass::BestEffort, 1000),
            (pod(list(100, 64), list(100, 64)), QosClass::Guaranteed, -997),
            (pod(list(100, 250), none()), QosClass::Burstable, 750),
            (pod(list(100, 64), list(200, 64)), QosClass::Burstable, 936),
            (pod(list(100, 1000), none()), QosClass::Burstable, 3),
        ] {
            let request = pod.spec.containers[0].requests.get(&ResourceName::Memory).copied().unwrap_or(0);
            assert_eq!((qos_class(&pod), oom_score_adj(&pod, request, 1000)), (class, adjustment));
        }
    }

    #[test]
    fn bytes_read_as_quantities() {
        assert_eq!([0, 1000, 1024, 100 << 20, 3 << 29].map(binary_si), ["0", "1000", "1Ki", "100Mi", "1536Mi"]);
    }
}
