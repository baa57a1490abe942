//! The cluster at time zero: nodes that are Ready, and objects as kubectl would have made them.
//!
//! Invariant: set-up takes time linear in the number of objects, and makes no events that a running
//! cluster would not have.

use std::sync::Arc;

use api::{ConditionStatus, Labels, Node, SimDuration, SimTime, Str};

use trace::Record;

use super::{World, view};
use crate::controllers::View;
use crate::effects::{Effects, Refusal};
use crate::event::Event;
use crate::objects::{AnyObject, Kept};
use crate::random::{Purpose, entity};
use crate::spec::NodePool;
use crate::store::NodeId;

const REGISTRATION_RETRY: SimDuration = SimDuration::from_secs(7);
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

impl World {
    pub(super) fn set_up(&mut self) {
        let spec = self.spec.clone();
        self.calendar.schedule(SimTime::ZERO + spec.duration, Event::Horizon);
        for namespace in &spec.objects.namespaces {
            self.set_up_object(namespace.clone().into_any());
        }
        for class in &spec.objects.priority_classes {
            self.set_up_object(class.clone().into_any());
        }
        self.set_up_all(&spec.objects.storage_classes);
        self.set_up_all(&spec.objects.csi_drivers);
        self.set_up_all(&spec.objects.csi_nodes);
        self.set_up_all(&spec.objects.csi_storage_capacities);
        self.set_up_all(&spec.objects.persistent_volumes);
        for pool in &spec.node_pools {
            for ordinal in 0..pool.initial {
                self.create_node(pool_node(pool, ordinal), pool.price_per_hour);
            }
        }
        for node in &spec.objects.nodes {
            self.create_node(static_node(node), 0.0);
        }
        for range in &spec.objects.limit_ranges {
            self.set_up_object(range.clone().into_any());
        }
        for quota in &spec.objects.resource_quotas {
            // Counted before the run begins; what is made below is charged as it comes.
            let status =
                Some(api::QuotaStatus { hard: quota.hard.clone(), used: quota.hard.keys().map(|name| (name.clone(), 0)).collect() });
            self.set_up_object(api::ResourceQuota { status, ..quota.clone() }.into_any());
        }
        for budget in &spec.objects.pod_disruption_budgets {
            self.set_up_object(budget.clone().into_any());
        }
        self.set_up_all(&spec.objects.network_policies);
        self.set_up_all(&spec.objects.persistent_volume_claims);
        for service in &spec.objects.services {
            self.set_up_object(service.clone().into_any());
        }
        // Before the pods: their requests are set as they are made.
        self.set_up_all(&spec.objects.vertical_pod_autoscalers);
        for deployment in &spec.objects.deployments {
            self.create_deployment(deployment.clone());
        }
        for set in &spec.objects.replica_sets {
            self.create_replica_set(set.clone());
        }
        self.set_up_all(&spec.objects.stateful_sets);
        self.set_up_all(&spec.objects.daemon_sets);
        self.set_up_all(&spec.objects.jobs);
        self.set_up_all(&spec.objects.cron_jobs);
        for pod in &spec.objects.pods {
            let answer = self.create_pod(pod.clone());
            self.say_refused(format!("create pod {}", pod.meta.key()), answer.err());
        }
        for hpa in &spec.objects.horizontal_pod_autoscalers {
            self.set_up_object(hpa.clone().into_any());
        }
        self.plan();
        self.publish();
    }

    fn set_up_all<T: Kept>(&mut self, objects: &[T]) {
        for object in objects {
            self.set_up_object(object.clone().into_any());
        }
    }

    /// Makes an object, or says why the API server would not.
    fn set_up_object(&mut self, object: AnyObject) {
        let step = format!("create {} {}", object.kind().as_str().to_lowercase(), object.meta().key());
        let answer = self.apply_object(object);
        self.say_refused(step, answer.err());
    }

    fn say_refused(&mut self, step: String, refusal: Option<Refusal>) {
        if let Some(Refusal::Forbidden(why) | Refusal::NamespaceTerminating(why)) = refusal {
            self.records.push(Record::Step { step: step.into(), outcome: format!("Error from server (Forbidden): {why}").into() });
        }
    }

    /// Everything that the spec sets a time for.
    fn plan(&mut self) {
        let spec = self.spec.clone();
        for (number, step) in (0..).zip(&spec.steps) {
            self.calendar.schedule(step.at, Event::Step(number));
        }
        for (number, fault) in (0..).zip(&spec.faults) {
            let (every, times) = fault.schedule.unwrap_or((SimDuration::ZERO, 1));
            for occurrence in 0..times {
                self.calendar.schedule(fault.at + every.times(u64::from(occurrence)), Event::FaultBegins(number, occurrence));
            }
        }
        for (number, mark) in (0..).zip(&spec.marks) {
            self.calendar.schedule(mark.at, Event::Mark(number));
        }
        if self.traffic.is_some() {
            self.calendar.schedule(SimTime::ZERO + self.window(), Event::TrafficWindow);
        }
        let mut out = Effects::default();
        self.custom_metrics.arm(&view!(self), &mut out);
        self.apply(&mut out, None);
    }

    /// A machine that was ordered has booted, registered and become Ready.
    pub(super) fn node_provisioned(&mut self, pool: u32, ordinal: u32) {
        if self.outage.api_server_is_away() {
            // Upstream: pkg/kubelet/kubelet_node_status.go (registerWithAPIServer), which tries every 7 s in the end.
            self.calendar.schedule(self.now + REGISTRATION_RETRY, Event::NodeProvisioned { pool, ordinal });
            return;
        }
        let spec = self.spec.clone();
        if !self.cluster_autoscaler.arrives(pool, ordinal) {
            return; // It was deleted before it came.
        }
        if let Some(pool) = spec.node_pools.get(pool as usize) {
            self.create_node(pool_node(pool, ordinal), pool.price_per_hour);
        }
    }

    /// Its kubelet renews the node's lease from now on, at a phase of its own.
    pub(super) fn node_registered(&mut self, id: NodeId) {
        let Some(node) = self.store.nodes.get(id) else { return };
        let interval = self.spec.control_plane.kubelet.lease_renew_interval;
        let mut stream = self.streams.stream(Purpose::LeasePhase, entity(&node.meta.name));
        let drawn = SimDuration::from_nanos(stream.below(interval.as_nanos()));
        let known = self.spec.lease_phases.get(&node.meta.name).filter(|_| self.now == SimTime::ZERO);
        let phase = known.map_or(drawn, |known| SimDuration::from_nanos(known.as_nanos() % interval.as_nanos().max(1)));
        let mut out = Effects::default();
        self.node_lifecycle.node_registered(id, phase, &view!(self), &mut out);
        self.apply(&mut out, None);
    }
}

/// The `ordinal`-th node of a pool.
fn pool_node(pool: &NodePool, ordinal: u32) -> Node {
    let mut node = pool.template.clone();
    node.meta.name = format!("{}-{ordinal}", pool.name).into();
    node.spec.provider_id = pool.name.clone();
    let labels = Arc::make_mut(&mut node.meta.labels);
    if let Some(place) = (ordinal as usize).checked_rem(pool.zones.len()) {
        labels.insert(ZONE.into(), pool.zones[place].clone());
    }
    label_as_kubelet(labels, &node.meta.name);
    ready(&mut node);
    node
}

/// A node that a manifest describes keeps what it says of its state.
pub(super) fn static_node(node: &Node) -> Node {
    let mut node = node.clone();
    label_as_kubelet(Arc::make_mut(&mut node.meta.labels), &node.meta.name);
    if node.status.ready_reason.is_empty() {
        ready(&mut node);
    }
    node
}

/// Upstream: pkg/kubelet/kubelet_node_status.go, initialNode.
fn label_as_kubelet(labels: &mut Labels, name: &Str) {
    let own: [(&str, Str); 3] = [(HOSTNAME, name.clone()), ("kubernetes.io/arch", "amd64".into()), ("kubernetes.io/os", "linux".into())];
    for (key, value) in own {
        labels.entry(key.into()).or_insert(value);
    }
}

fn ready(node: &mut Node) {
    node.status.ready = ConditionStatus::True;
    node.status.ready_reason = "KubeletReady".into();
}
