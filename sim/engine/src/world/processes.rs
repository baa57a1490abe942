//! What the traffic engine must know of pods: which processes answer, how, and with what cpu.

use api::{ObjectKey, Pod, Resources, Str};

use super::World;
use super::apply::workload_of;
use crate::effects::{ProbeRequest, ProcessChange};
use crate::kubelet::shortest_timeout;
use crate::store::{NodeId, PodId};
use crate::traffic::{PodEnd, ProcessStarted, TrafficProcess};

impl World {
    /// A kubelet says what became of a pod's processes.
    pub(super) fn process_changed(&mut self, change: ProcessChange) {
        if self.traffic.is_none() {
            return;
        }
        let uid = |id: PodId| self.store.pods.get(id).map(|pod| pod.meta.uid);
        let told = match change {
            ProcessChange::Started(id) => self.started(id).map(TrafficProcess::Started),
            ProcessChange::Resized(id) => self.started(id).map(TrafficProcess::Resized),
            ProcessChange::Terminating(id) => uid(id).map(|pod| TrafficProcess::Terminating { pod }),
            ProcessChange::Stopped(id) => uid(id).map(|pod| TrafficProcess::Stopped { pod }),
            ProcessChange::Removed(pod) => Some(TrafficProcess::Removed { pod }),
        };
        if let (Some(TrafficProcess::Started(started)), Some(_)) = (&told, &self.traffic)
            && let Some((node, _)) = self.store.node_by_name(&started.node)
        {
            self.usage.touch(node);
        }
        if let (Some(told), Some(traffic)) = (told, &mut self.traffic) {
            traffic.process(&told, self.now);
        }
    }

    /// A pod whose kubelet has had its last word is forgotten.
    pub(super) fn forget_process(&mut self, id: PodId) {
        if let (Some(traffic), Some(pod)) = (&mut self.traffic, self.store.pods.get(id)) {
            traffic.process(&TrafficProcess::Removed { pod: pod.meta.uid }, self.now);
        }
    }

    /// Everything on a node falls silent: it has lost power.
    pub(super) fn silence(&mut self, id: NodeId) {
        let (Some(traffic), Some(node)) = (&mut self.traffic, self.store.nodes.get(id)) else { return };
        for (_, pod) in self.store.pods_on(&node.meta.name) {
            traffic.process(&TrafficProcess::Silent { pod: pod.meta.uid }, self.now);
        }
        self.propagation.dark.insert(id);
        self.tell_node(id);
    }

    /// Only pods with a service behavior answer requests.
    fn started(&self, id: PodId) -> Option<Box<ProcessStarted>> {
        let pod = self.store.pods.get(id)?;
        let behavior = self.kubelets.behavior(id)?.service.clone()?;
        let (_, node) = self.store.node_by_name(pod.node_name.as_ref()?)?;
        let spec = self.kubelets.allocated(id).unwrap_or(&pod.spec);
        let limits = spec.aggregate(false, |container| container.limits.clone());
        // Without a limit on every container the pod may use what the node has.
        let is_limited = spec.containers.iter().all(|container| container.limits.contains_key(&api::ResourceName::Cpu));
        let has_memory_limit = spec.containers.iter().all(|container| container.limits.contains_key(&api::ResourceName::Memory));
        let services = self.services_of(pod);
        let caller = services.first().map_or_else(|| workload_of(pod, &self.store), |service| service.to_string().into());
        Some(Box::new(ProcessStarted {
            pod: pod.meta.uid,
            node: node.meta.name.clone(),
            services,
            caller,
            behavior,
            cpu_limit_millis: is_limited.then_some(limits.cpu_millis),
            cpu_request_millis: spec.requests().cpu_millis,
            node_cpu_millis: Resources::from_list(&node.status.allocatable).cpu_millis,
            memory_limit_bytes: has_memory_limit.then_some(limits.memory_bytes),
            probe_timeout: shortest_timeout(pod),
            end: PodEnd { namespace: pod.meta.namespace.clone(), labels: pod.meta.labels.clone(), ports: named_ports(pod) },
        }))
    }

    /// Services that select the pod, by name.
    fn services_of(&self, pod: &Pod) -> Vec<ObjectKey> {
        self.store.services_selecting(pod).into_iter().map(|(_, service)| service.meta.key()).collect()
    }

    /// A probe of a process that may be too busy; without traffic no process is ever busy.
    pub(super) fn ask(&mut self, probe: ProbeRequest) {
        let ProbeRequest { pod, container, kind, timeout } = probe;
        if let Some(traffic) = &mut self.traffic {
            traffic.probe(pod, container, kind, timeout, self.now);
        }
    }
}

/// Ports of its containers that have a name.
fn named_ports(pod: &Pod) -> Vec<(Str, u16)> {
    let ports = pod.spec.containers.iter().flat_map(|container| &container.ports);
    ports.filter(|port| !port.name.is_empty()).map(|port| (port.name.clone(), port.container_port)).collect()
}
