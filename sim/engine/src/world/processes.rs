//! What the traffic engine must know of pods: which processes answer, how, and with what cpu.

use std::sync::Arc;

use api::{ObjectKey, Pod, ProbeHandler, Resources, Service, SimDuration};

use super::World;
use super::apply::workload_of;
use crate::effects::ProcessChange;
use crate::select::selects;
use crate::spec::{Behavior, PodSelector, ServiceBehavior, WorldSpec};
use crate::store::NodeId;
use crate::traffic::{ProcessStarted, TrafficProcess};

impl World {
    /// A kubelet says what became of a pod's processes.
    pub(super) fn process_changed(&mut self, change: ProcessChange) {
        if self.traffic.is_none() {
            return;
        }
        let (ProcessChange::Started(id) | ProcessChange::Terminating(id) | ProcessChange::Stopped(id)) = change;
        let Some(pod) = self.store.pods.get(id) else { return };
        let uid = pod.meta.uid;
        let told = match change {
            ProcessChange::Started(_) => self.started(pod),
            ProcessChange::Terminating(_) => Some(TrafficProcess::Terminating { pod: uid }),
            ProcessChange::Stopped(_) => Some(TrafficProcess::Stopped { pod: uid }),
        };
        if let (Some(told), Some(traffic)) = (told, &mut self.traffic) {
            traffic.process(&told, self.now);
        }
    }

    /// Everything on a node falls silent: it has lost power.
    pub(super) fn silence(&mut self, node: NodeId) {
        let (Some(traffic), Some(node)) = (&mut self.traffic, self.store.nodes.get(node)) else { return };
        for (_, pod) in self.store.pods_on(&node.meta.name) {
            traffic.process(&TrafficProcess::Silent { pod: pod.meta.uid }, self.now);
        }
    }

    /// Only pods with a service behavior answer requests.
    fn started(&self, pod: &Pod) -> Option<TrafficProcess> {
        let behavior = self.service_behavior(pod)?;
        let (_, node) = self.store.node_by_name(pod.node_name.as_ref()?)?;
        let limits = pod.spec.aggregate(false, |container| container.limits.clone());
        // Without a limit on every container the pod may use what the node has.
        let is_limited = pod.spec.containers.iter().all(|container| container.limits.contains_key(&api::ResourceName::Cpu));
        let services = self.services_of(pod);
        let caller = services.first().map_or_else(|| workload_of(pod, &self.store), |service| service.to_string().into());
        Some(TrafficProcess::Started(Box::new(ProcessStarted {
            pod: pod.meta.uid,
            node: node.meta.name.clone(),
            services,
            caller,
            behavior,
            cpu_limit_millis: is_limited.then_some(limits.cpu_millis),
            cpu_request_millis: pod.spec.requests().cpu_millis,
            node_cpu_millis: Resources::from_list(&node.status.allocatable).cpu_millis,
            probe_timeout: shortest_probe_timeout(pod),
        })))
    }

    /// Services that select the pod, by name.
    fn services_of(&self, pod: &Pod) -> Vec<ObjectKey> {
        let selects = |service: &Service| {
            let selector = service.selector.as_ref().filter(|selector| !selector.is_empty());
            selector.is_some_and(|selector| selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value)))
        };
        let services = self.store.services.in_namespace(&pod.meta.namespace);
        services.filter(|(_, service)| selects(service)).map(|(_, service)| service.meta.key()).collect()
    }

    /// The first behavior that selects the pod and says how it answers.
    fn service_behavior(&self, pod: &Pod) -> Option<Arc<ServiceBehavior>> {
        let (_, behavior) = self.service_behaviors.iter().find(|(selector, _)| selects(selector, pod, &self.store))?;
        Some(behavior.clone())
    }
}

/// Behaviors that say how requests are answered, each shared by all pods it speaks of.
pub(super) fn service_behaviors(spec: &WorldSpec) -> Vec<(PodSelector, Arc<ServiceBehavior>)> {
    let shared = |behavior: &Behavior| Some((behavior.selector.clone(), Arc::new(behavior.service.clone()?)));
    spec.behaviors.iter().filter_map(shared).collect()
}

/// Probes that the workload itself answers.
fn shortest_probe_timeout(pod: &Pod) -> Option<SimDuration> {
    let probes = pod.spec.containers.iter().flat_map(|container| [&container.liveness_probe, &container.readiness_probe]);
    probes.flatten().filter(|probe| !matches!(probe.handler, ProbeHandler::Exec(_))).map(|probe| probe.timeout).min()
}
