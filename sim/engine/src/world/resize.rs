//! The resize subresource of pods: what the API server lets pass, and what the object shows before its kubelet answers.
//!
//! Upstream: pkg/apis/core/validation (ValidatePodResize) and plugin/pkg/admission/podresize.
//!
//! Invariant: once a pod was resized its status tells what is allocated to it; its node counts that, not its spec.
//!
//! Not modelled: quotas and limit ranges at a resize.

use std::sync::Arc;

use api::{Container, ContainerStatus, Pod, PodSpec, PodStatus, ResourceName, Resources};

use super::World;
use crate::effects::Refusal;
use crate::kubelet::qos_class;
use crate::spec::PodResize;
use crate::store::PodId;

impl World {
    /// Asks for other cpu and memory of a pod's containers.
    pub(super) fn resize_pod(&mut self, id: PodId, resizes: &[PodResize]) -> Result<(), Refusal> {
        let pod = self.store.pods.get(id).ok_or(Refusal::Conflict)?;
        let mut spec = PodSpec::clone(&pod.spec);
        for resize in resizes {
            let containers = spec.init_containers.iter_mut().filter(|container| container.is_sidecar).chain(&mut spec.containers);
            for container in containers.filter(|container| resize.container.as_ref().is_none_or(|name| container.name == *name)) {
                change(container, resize);
            }
        }
        if spec == *pod.spec {
            return Ok(());
        }
        let name = pod.meta.name.clone();
        let wanted = Pod { spec: Arc::new(spec), ..pod.clone() };
        if qos_class(&wanted) != qos_class(pod) {
            let why = format!("spec: Invalid value: \"{:?}\": Pod QOS Class may not change as a result of resizing", qos_class(&wanted));
            return Err(Refusal::Forbidden(format!("Pod \"{name}\" is invalid: {why}").into()));
        }
        super::admission::is_valid(&wanted)?;
        if let Some(why) = self.exceeds_node(&wanted) {
            return Err(Refusal::Forbidden(
                format!("pods \"{name}\" is forbidden: node didn't have enough allocatable resources: {why}").into(),
            ));
        }
        self.store.update_pod(id, |pod| {
            let before = std::mem::replace(&mut pod.spec, wanted.spec);
            show_allocated(&mut pod.status, &before);
            pod.meta.generation += 1;
            true
        });
        Ok(())
    }

    /// Upstream: validateRequestsWithinAllocatable.
    fn exceeds_node(&self, pod: &Pod) -> Option<String> {
        let (_, node) = self.store.node_by_name(pod.node_name.as_ref()?)?;
        let (asked, has) = (pod.spec.requests(), Resources::from_list(&node.status.allocatable));
        let sums = [("cpu", asked.cpu_millis, has.cpu_millis), ("memory", asked.memory_bytes, has.memory_bytes)];
        let over: Vec<String> = sums
            .iter()
            .filter(|(_, asked, has)| asked > has)
            .map(|(name, asked, has)| format!("{name}, requested: {asked}, allocatable: {has}"))
            .collect();
        (!over.is_empty()).then(|| over.join("; "))
    }
}

/// What is not said stays; a request that was never given is the limit.
fn change(container: &mut Container, resize: &PodResize) {
    let resizable = |(name, _): &(&ResourceName, &i64)| matches!(name, ResourceName::Cpu | ResourceName::Memory);
    for (name, amount) in resize.requests.iter().filter(resizable) {
        container.requests.insert(name.clone(), *amount);
    }
    for (name, amount) in resize.limits.iter().filter(resizable) {
        container.limits.insert(name.clone(), *amount);
        container.requests.entry(name.clone()).or_insert(*amount);
    }
}

/// A status that tells nothing of what is allocated means what the spec said before.
fn show_allocated(status: &mut PodStatus, before: &PodSpec) {
    let show = |status: &mut ContainerStatus, container: &Container| {
        let has = || Box::new(container.requests.clone());
        status.requests.get_or_insert_with(has);
        status.allocated.get_or_insert_with(has);
    };
    status.containers.iter_mut().zip(&before.containers).for_each(|(status, container)| show(status, container));
    status.init_containers.iter_mut().zip(&before.init_containers).for_each(|(status, container)| show(status, container));
}

/// A status written by a kubelet that had not heard of the resize leaves what the object shows of it.
pub(super) fn keep_allocated(status: &mut PodStatus, old: &PodStatus) {
    let keep = |(new, old): (&mut ContainerStatus, &ContainerStatus)| {
        if new.allocated.is_none() {
            (new.requests, new.allocated) = (old.requests.clone(), old.allocated.clone());
        }
    };
    status.containers.iter_mut().zip(&old.containers).for_each(keep);
    status.init_containers.iter_mut().zip(&old.init_containers).for_each(keep);
}
