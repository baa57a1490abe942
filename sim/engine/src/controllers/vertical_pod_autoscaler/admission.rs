//! The admission controller: a pod that is made gets what is recommended to it.
//!
//! Upstream: vertical-pod-autoscaler/pkg/admission-controller/resource/pod,
//! vertical-pod-autoscaler/pkg/utils/vpa/limit_and_request_scaling.go.
//!
//! Invariants: limits keep their ratio to the requests unless the policy speaks of requests only; a limit that there is
//! not is not made; the workload's own template stays as it is.

use std::sync::Arc;

use api::{Container, Pod, ResourceList, ResourceName, VerticalPodAutoscaler, VpaUpdateMode};

use super::{capped, controlling};
use crate::store::Store;

const OBSERVED: &str = "vpaObservedContainers";
const UPDATES: &str = "vpaUpdates";

/// Sets the requests and limits of a pod that belongs to a VerticalPodAutoscaler.
pub(crate) fn admit(store: &Store, pod: &mut Pod) {
    let Some(vpa) = controlling(pod, store, |vpa| vpa.update_mode != VpaUpdateMode::Off) else { return };
    let mut spec = (*pod.spec).clone();
    let mut updates = Vec::new();
    for (place, container) in spec.containers.iter_mut().enumerate() {
        let Some((requests, limits)) = wanted(vpa, container) else { continue };
        let told = [(&requests, "request"), (&limits, "limit")];
        let told = told.iter().flat_map(|(list, word)| list.keys().map(move |name| format!("{name} {word}")));
        updates.push(format!("container {place}: {}", told.collect::<Vec<_>>().join(", ")));
        container.requests.extend(requests);
        container.limits.extend(limits);
    }
    let names: Vec<&str> = spec.containers.iter().map(|container| &*container.name).collect();
    let annotations = Arc::make_mut(&mut pod.meta.annotations);
    annotations.insert(OBSERVED.into(), names.join(", ").into());
    if !updates.is_empty() {
        annotations.insert(UPDATES.into(), format!("Pod resources updated by {}: {}", vpa.meta.name, updates.join("; ")).into());
        pod.spec = Arc::new(spec);
    }
}

/// Requests and limits that a container should have; what is not named stays.
pub(super) fn wanted(vpa: &VerticalPodAutoscaler, container: &Container) -> Option<(ResourceList, ResourceList)> {
    let target = capped(vpa, container)?.target;
    let requests_only = vpa.policy(&container.name).is_some_and(|policy| policy.requests_only);
    let limits = if requests_only { ResourceList::new() } else { proportional(container, &target) };
    Some((target, limits))
}

/// Limits in their old ratio to the new requests (upstream: GetProportionalLimit).
fn proportional(container: &Container, target: &ResourceList) -> ResourceList {
    let limit = |name: &ResourceName| {
        let (request, limit, target) =
            (container.requests.get(name), container.limits.get(name).filter(|limit| **limit > 0)?, *target.get(name)?);
        match request.filter(|request| **request > 0 && *request != limit) {
            None => Some(target),
            Some(request) => i64::try_from(i128::from(*limit) * i128::from(target) / i128::from(*request)).ok(),
        }
    };
    [ResourceName::Cpu, ResourceName::Memory].into_iter().filter_map(|name| limit(&name).map(|limit| (name, limit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_keep_their_ratio_to_requests() {
        let list = |cpu: i64| -> ResourceList { if cpu == 0 { ResourceList::new() } else { [(ResourceName::Cpu, cpu)].into() } };
        for (request, limit, target, expected) in [
            (100, 200, 300, 600),
            (100, 100, 300, 300), // Guaranteed stays so.
            (0, 200, 300, 300),
            (100, 0, 300, 0), // No limit stays no limit.
            (300, 1000, 100, 333),
        ] {
            let container = Container { requests: list(request), limits: list(limit), ..Container::default() };
            assert_eq!(proportional(&container, &list(target)), list(expected), "{request} {limit} {target}");
        }
    }
}
