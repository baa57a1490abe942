//! What a write does when it reaches the API server: admission, the change itself, and its records.
//!
//! Invariants:
//! - This is the only place where objects change, and every change goes through the store.
//! - A write to an object that is gone, or that is no longer as the writer saw it, changes nothing and
//!   says so, upon which the writer's key is synced again.
//! - `generation` is raised by a change of the spec and by nothing else.
//!
//! Not here: whose turn it is (`queues`, `client`).

use std::any::Any;
use std::sync::Arc;

use api::{
    ConditionStatus, ContainerState, ContainerStatus, Deployment, Kind, Node, ObjectKey, ObjectMeta, PersistentVolume,
    PersistentVolumeClaim, Pod, PodSpec, PodStatus, QuotaList, ReplicaSet, SimTime, Str, Taint, TaintEffect, Toleration,
    TolerationOperator, WorkloadCondition,
};
use trace::Record;

use super::World;
use super::resize::keep_allocated;
use crate::controllers::namespace;
use crate::controllers::resource_quota::object_usage;
use crate::controllers::volume::{binder, protection};
use crate::effects::{Announcement, Component, NodePressure, Nomination, Refusal, SliceWrite, Write};
use crate::objects::{AnyObject, Kept, Part, with_object};
use crate::store::{Behind, DeploymentId, Id, NodeId, Object, PodId, ReplicaSetId, ServiceId, Store};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl World {
    /// Does what a write asks.
    pub(super) fn perform(&mut self, by: Component, write: Write) -> Result<(), Refusal> {
        match write {
            Write::CreatePod(pod) => self.create_pod(*pod).map(drop),
            Write::ResizePod(pod, resizes) => self.resize_pod(pod, &resizes),
            Write::OrElse(first, second) => match self.perform(by, *first) {
                Err(Refusal::Forbidden(_)) => self.perform(by, *second),
                answer => answer,
            },
            Write::Create(object) => with_object!(object, object => self.create_kept(*object)),
            Write::Apply(object) => self.apply_object(object),
            Write::Announced(write, announcement) => match *write {
                Write::CreatePod(pod) => {
                    let answer = self.create_pod(*pod);
                    let name = answer.as_ref().ok().and_then(|id| Some(self.store.pods.get(*id)?.meta.name.clone()));
                    self.announce(by, answer.map(|_| name.unwrap_or_default()), *announcement)
                }
                write => {
                    let answer = self.perform(by, write);
                    self.announce(by, answer.map(|()| Str::default()), *announcement)
                }
            },
            write => self.change(by, write).then_some(()).ok_or(Refusal::Conflict),
        }
    }

    fn announce(&mut self, by: Component, answer: Result<Str, Refusal>, announcement: Announcement) -> Result<(), Refusal> {
        match (&answer, announcement.landed, announcement.forbidden) {
            (Ok(name), Record::Event { kind, reason, object, message, source }, _) => {
                let message = if name.is_empty() { message } else { message.replace("{name}", name).into() };
                self.records.push(Record::Event { kind, reason, object, message, source });
            }
            (Ok(_), landed, _) => self.records.push(landed),
            (Err(Refusal::Forbidden(why)), Record::Event { object, .. }, Some((reason, beginning))) => {
                let message = format!("{beginning}{why}").into();
                self.records.push(Record::Event { kind: "Warning".into(), reason, object, message, source: by.name().into() });
            }
            _ => {}
        }
        answer.map(drop)
    }

    /// Makes a change that admission has nothing to say to; `false` when its object is gone or another version.
    fn change(&mut self, by: Component, write: Write) -> bool {
        match write {
            Write::DeletePod { pod, grace, by } => self.delete_pod(pod, grace, by),
            Write::RemovePod(pod) => {
                if by == Component::Kubelet {
                    self.forget_process(pod);
                }
                self.remove_pod(pod)
            }
            Write::PodStatus(pod, status) => self.set_pod_status(pod, *status),
            Write::PodNotReady(pod, reason) => self.set_pod_not_ready(pod, &reason),
            Write::PodDisruptionTarget(pod, reason) => self.set_disruption_target(pod, &reason),
            Write::NominateNode(pod, node) => self.nominate(pod, node),
            Write::PodUnschedulable { pod, attempt, reason, message, rejected_by, nomination } => {
                self.set_unschedulable(pod, reason, nomination, (attempt, message, rejected_by))
            }
            Write::BindPod { pod, node, attempts, feasible_nodes, evaluated_nodes } => {
                self.bind(pod, node, (attempts, feasible_nodes, evaluated_nodes))
            }
            Write::CreateReplicaSet(set) => self.create_replica_set(*set),
            Write::UpdateReplicaSet(id, set) => self.update_replica_set(by, id, *set),
            Write::ReplicaSetStatus(id, status) => self.change_replica_set(id, |set| replace(&mut set.status, status)),
            Write::CreateDeployment(deployment) => self.create_deployment(*deployment),
            Write::UpdateDeployment(id, deployment) => self.update_deployment(by, id, *deployment),
            Write::DeploymentStatus(id, status) => self.change_deployment(id, |deployment| replace(&mut deployment.status, *status)),
            Write::Scale(kind, key, replicas) => self.scale(kind, &key, replicas),
            Write::EndpointSlice(service, write) => self.write_slice(service, write),
            Write::HpaStatus { hpa, current, desired, scaled, conditions } => {
                let now = self.now;
                let exists = self.store.hpas.get(hpa).is_some();
                self.store.update(hpa, |hpa| {
                    let last_scale = if scaled { Some(now) } else { hpa.last_scale };
                    let before = (hpa.current_replicas, hpa.desired_replicas, hpa.last_scale);
                    (hpa.current_replicas, hpa.desired_replicas, hpa.last_scale) = (current, desired, last_scale);
                    replace(&mut hpa.conditions, conditions) || before != (current, desired, last_scale)
                });
                exists
            }
            Write::CreateNode(mut node) => {
                // Admission plugin TaintNodesByCondition: nothing comes until the node controller has seen it Ready.
                if !node.spec.taints.iter().any(|taint| &*taint.key == NOT_READY) {
                    node.spec.taints.push(Taint::new(NOT_READY, TaintEffect::NoSchedule));
                }
                self.create_node(*node, 0.0)
            }
            Write::PatchNode { node, add, remove, unschedulable } => {
                let now = self.now;
                self.change_node(node, |node| patch_node(node, &add, &remove, unschedulable, now))
            }
            Write::Drain(node) => {
                let now = self.now;
                self.change_node(node, |node| patch_node(node, &[], &[], Some(true), now)) && self.drain(node)
            }
            Write::NodeLabels(node, labels) => {
                self.store.nodes.get(node).is_some() && {
                    self.store.update_node(node, |node| replace(Arc::make_mut(&mut node.meta.labels), labels));
                    true
                }
            }
            Write::NodeReady { node, status, reason } => self.set_node_ready(node, status, reason),
            Write::NodeImages(node, images) => self.change_node_status(node, |node| node.status.images = images),
            Write::NodePressure(node, condition, holds) => self.change_node_status(node, |node| match condition {
                NodePressure::Memory => node.status.memory_pressure = holds,
                NodePressure::Disk => node.status.disk_pressure = holds,
                NodePressure::Pid => node.status.pid_pressure = holds,
            }),
            Write::DeleteNode(node) => self.delete_node(node),
            Write::Update(object, part) => with_object!(object, object => self.update_object(*object, part)),
            Write::EvictPod(pod) => self.evict_once(pod, by),
            Write::Delete(kind, key, propagation) => self.delete(by, kind, &key, propagation),
            Write::DeleteNumbered(kind, number, propagation) => self.delete_numbered(by, kind, number, propagation),
            Write::RemoveFinalizer(kind, number, name) => self.remove_finalizer(kind, number, &name),
            Write::Disown(kind, number, owner) => self.disown(kind, number, owner),
            Write::Adopt(kind, number, owner, finalizer) => self.adopt(kind, number, &owner, finalizer.as_ref()),
            Write::PodLabels(id, labels) => {
                self.store.update_pod(id, |pod| *pod.meta.labels != labels && replace(&mut pod.meta.labels, Arc::new(labels)));
                self.store.pods.get(id).is_some()
            }
            Write::Read => true,
            Write::CreatePod(_) | Write::ResizePod(..) | Write::OrElse(..) | Write::Create(_) | Write::Apply(_) | Write::Announced(..) => {
                false
            } // The caller's.
        }
    }

    // Pods.

    pub(super) fn create_pod(&mut self, mut pod: Pod) -> Result<PodId, Refusal> {
        if pod.meta.name.ends_with('-') {
            pod.meta.name = self.store.generate_name(&pod.meta, &self.streams);
        }
        self.admit_pod(&mut pod)?;
        pod.spec = self.admitted(&pod.spec);
        if pod.status.conditions.scheduled.status != ConditionStatus::True && pod.node_name.is_some() {
            pod.status.conditions.scheduled = condition(ConditionStatus::True, "", self.now);
        } else if pod.node_name.is_none() && !pod.spec.scheduling_gates.is_empty() {
            // Upstream: pkg/registry/core/pod/strategy.go (applySchedulingGatedCondition).
            pod.status.conditions.scheduled = condition(ConditionStatus::False, "SchedulingGated", self.now);
        }
        let id = self.store.create_pod(pod, self.now, &self.streams).ok_or(Refusal::Conflict)?;
        let pod = self.store.pods.get(id).ok_or(Refusal::Conflict)?;
        let requests = pod.spec.requests();
        self.records.push(Record::PodCreated {
            pod: pod_name(pod),
            workload: workload_of(pod, &self.store),
            controller: controller_name(&pod.meta),
            cpu_millis: requests.cpu_millis,
            memory_bytes: requests.memory_bytes,
            priority: pod.spec.priority,
        });
        if let Some(name) = pod.node_name.clone() {
            let record =
                Record::PodScheduled { pod: pod_name(pod), node: name.clone(), attempts: 0, feasible_nodes: 0, evaluated_nodes: 0 };
            self.records.push(record);
            if !pod.status.phase.is_terminal()
                && let Some((node, _)) = self.store.node_by_name(&name)
            {
                self.usage.count(node, pod, true);
            }
        }
        Ok(id)
    }

    /// The spec with the tolerations that admission adds. Equal specs share one, so that what is worked out
    /// per template is worked out once for them.
    /// Upstream: plugin/pkg/admission/defaulttolerationseconds/admission.go.
    fn admitted(&mut self, spec: &Arc<PodSpec>) -> Arc<PodSpec> {
        if let Some(admitted) = self.admitted.get(spec) {
            return admitted.clone();
        }
        let settings = &self.spec.control_plane.api_server;
        let mut tolerations = spec.tolerations.clone();
        let defaults =
            [(NOT_READY, settings.default_not_ready_toleration_seconds), (UNREACHABLE, settings.default_unreachable_toleration_seconds)];
        for (key, seconds) in defaults {
            let is_tolerated = |toleration: &Toleration| {
                (toleration.key.is_empty() || &*toleration.key == key)
                    && toleration.effect.is_none_or(|effect| effect == TaintEffect::NoExecute)
            };
            if !spec.tolerations.iter().any(is_tolerated) {
                tolerations.push(Toleration {
                    key: key.into(),
                    operator: TolerationOperator::Exists,
                    effect: Some(TaintEffect::NoExecute),
                    toleration_seconds: Some(seconds),
                    ..Toleration::default()
                });
            }
        }
        let admitted =
            if tolerations.len() == spec.tolerations.len() { spec.clone() } else { Arc::new(PodSpec { tolerations, ..(**spec).clone() }) };
        self.admitted.insert(spec.clone(), admitted.clone());
        admitted
    }

    pub(super) fn count_on_node(&mut self, id: PodId, comes: bool) {
        let Some(pod) = self.store.pods.get(id) else { return };
        if let Some((node, _)) = pod.node_name.as_ref().and_then(|name| self.store.node_by_name(name)) {
            self.usage.count(node, pod, comes);
        }
    }

    /// The kubelet's word replaces everything but what others say of a pod.
    fn set_pod_status(&mut self, id: PodId, mut status: PodStatus) -> bool {
        let Some(pod) = self.store.pods.get(id) else { return true };
        let old = &pod.status;
        if old.phase.is_terminal() && !status.phase.is_terminal() {
            return true; // Terminal is for ever; the kubelet will hear of it.
        }
        status.conditions.scheduled = old.conditions.scheduled.clone();
        status.nominated_node_name = old.nominated_node_name.clone();
        if status.conditions.disruption_target.is_empty() {
            status.conditions.disruption_target = old.conditions.disruption_target.clone();
        }
        keep_allocated(&mut status, old);
        let reallocates = status.containers.iter().zip(&old.containers).any(|(new, old)| new.allocated != old.allocated);
        let name = pod_name(pod);
        say_containers(&name, pod, &status, &mut self.records);
        if old.phase != status.phase {
            let record = Record::PodPhase { pod: name.clone(), phase: status.phase.as_str().into(), reason: status.reason.clone() };
            self.records.push(record);
        }
        let (was_ready, ready) = (pod.is_ready(), status.conditions.ready.status.is_true());
        if was_ready != ready {
            self.records.push(Record::PodReady { pod: name, ready, reason: status.conditions.ready.reason.clone() });
        }
        let counts = !old.phase.is_terminal();
        let goes = counts && status.phase.is_terminal();
        if goes || (counts && reallocates) {
            self.count_on_node(id, false);
        }
        self.store.update_pod(id, |pod| replace(&mut pod.status, status));
        if counts && !goes && reallocates {
            self.count_on_node(id, true);
        }
        true
    }

    fn set_pod_not_ready(&mut self, id: PodId, reason: &Str) -> bool {
        let now = self.now;
        let changed = self.store.update_pod(id, |pod| {
            let ready = &mut pod.status.conditions.ready;
            let changes = ready.status.is_true();
            if changes {
                // The node controller changes the status and leaves the reason, of which a ready pod has none.
                // Upstream: pkg/controller/util/node/controller_utils.go (MarkPodsNotReady).
                *ready = condition(ConditionStatus::False, "", now);
            }
            changes
        });
        if let (true, Some(pod)) = (changed, self.store.pods.get(id)) {
            self.records.push(Record::PodReady { pod: pod_name(pod), ready: false, reason: reason.clone() });
        }
        true
    }

    /// Refused when the pod is gone.
    pub(super) fn set_disruption_target(&mut self, id: PodId, reason: &Str) -> bool {
        self.store.update_pod(id, |pod| replace(&mut pod.status.conditions.disruption_target, reason.clone()));
        self.store.pods.get(id).is_some()
    }

    fn nominate(&mut self, id: PodId, node: Option<Str>) -> bool {
        self.store.update_pod(id, |pod| replace(&mut pod.status.nominated_node_name, node));
        true
    }

    fn set_unschedulable(
        &mut self,
        id: PodId,
        reason: &str,
        nomination: Nomination,
        (attempt, message, rejected_by): (u32, Str, Vec<Str>),
    ) -> bool {
        let now = self.now;
        let Some(pod) = self.store.pods.get(id) else { return true };
        if pod.node_name.is_some() {
            return true;
        }
        self.records.push(Record::PodUnschedulable { pod: pod_name(pod), attempt, message, rejected_by });
        self.store.update_pod(id, |pod| {
            let mut wanted = condition(ConditionStatus::False, reason, now);
            let scheduled = &mut pod.status.conditions.scheduled;
            if scheduled.status == wanted.status {
                wanted.since = scheduled.since; // The time of the last change of the status.
            }
            *scheduled = wanted;
            match nomination {
                Nomination::Keep => {}
                Nomination::Clear => pod.status.nominated_node_name = None,
                Nomination::Set(node) => pod.status.nominated_node_name = Some(node),
            }
            true // A new message is a change.
        });
        true
    }

    fn bind(&mut self, id: PodId, node: NodeId, (attempts, feasible_nodes, evaluated_nodes): (u32, u32, u32)) -> bool {
        let now = self.now;
        let (Some(pod), Some(node)) = (self.store.pods.get(id), self.store.nodes.get(node)) else { return false };
        if pod.node_name.is_some() || pod.meta.is_deleting() {
            return false;
        }
        let node_name = node.meta.name.clone();
        self.records.push(Record::PodScheduled { pod: pod_name(pod), node: node_name.clone(), attempts, feasible_nodes, evaluated_nodes });
        self.store.update_pod(id, |pod| {
            pod.node_name = Some(node_name);
            pod.status.nominated_node_name = None;
            pod.status.conditions.scheduled = condition(ConditionStatus::True, "", now);
            true
        });
        self.count_on_node(id, true);
        true
    }

    // Workloads.

    pub(super) fn create_replica_set(&mut self, set: ReplicaSet) -> bool {
        let Some(id) = self.store.create(set, self.now, &self.streams) else { return false };
        self.say_replica_set(id, None);
        true
    }

    pub(super) fn create_deployment(&mut self, deployment: Deployment) -> bool {
        let Some(id) = self.store.create(deployment, self.now, &self.streams) else { return false };
        self.say_deployment(id, None);
        true
    }

    fn update_replica_set(&mut self, by: Component, id: ReplicaSetId, new: ReplicaSet) -> bool {
        let Some(old) = self.store.replica_sets.get(id) else { return false };
        if is_conflict(by, &old.meta, &new.meta) {
            return false;
        }
        self.change_replica_set(id, |set| {
            let spec_changes =
                (set.replicas, &set.selector, &set.template, set.min_ready) != (new.replicas, &new.selector, &new.template, new.min_ready);
            let meta = updated_meta(&set.meta, &new.meta, spec_changes);
            let new = ReplicaSet { meta, status: std::mem::take(&mut set.status), ..new };
            replace(set, new) || spec_changes
        })
    }

    fn update_deployment(&mut self, by: Component, id: DeploymentId, new: Deployment) -> bool {
        let Some(old) = self.store.deployments.get(id) else { return false };
        if is_conflict(by, &old.meta, &new.meta) {
            return false;
        }
        self.change_deployment(id, |deployment| {
            let spec = |deployment: &Deployment| Deployment {
                meta: ObjectMeta::default(),
                status: api::DeploymentStatus::default(),
                collision_count: 0,
                ..deployment.clone()
            };
            let spec_changes = spec(deployment) != spec(&new);
            let meta = updated_meta(&deployment.meta, &new.meta, spec_changes);
            let new = Deployment { meta, status: deployment.status.clone(), ..new };
            replace(deployment, new)
        })
    }

    /// Changes a Deployment and says so when its counts changed; `false` when it is gone.
    fn change_deployment(&mut self, id: DeploymentId, change: impl FnOnce(&mut Deployment) -> bool) -> bool {
        let Some(deployment) = self.store.deployments.get(id) else { return false };
        let (before, conditions) = (deployment_counts(deployment), deployment_conditions(deployment));
        self.store.update(id, change);
        self.say_deployment(id, Some(before));
        self.say_conditions(id, &conditions);
        true
    }

    fn change_replica_set(&mut self, id: ReplicaSetId, change: impl FnOnce(&mut ReplicaSet) -> bool) -> bool {
        let Some(before) = self.store.replica_sets.get(id).map(replica_set_counts) else { return false };
        self.store.update(id, change);
        self.say_replica_set(id, Some(before));
        true
    }

    fn say_deployment(&mut self, id: DeploymentId, before: Option<[i32; 5]>) {
        let Some(deployment) = self.store.deployments.get(id) else { return };
        let counts = deployment_counts(deployment);
        if before != Some(counts) {
            self.records.push(workload_record(Kind::Deployment, &deployment.meta, counts));
        }
    }

    /// Says which conditions have another status or another reason than before.
    fn say_conditions(&mut self, id: DeploymentId, before: &DeploymentConditions) {
        let Some(deployment) = self.store.deployments.get(id) else { return };
        let told = |condition: &Option<WorkloadCondition>| condition.as_ref().map(|condition| (condition.status, condition.reason.clone()));
        for ((name, now), (_, then)) in deployment_conditions(deployment).iter().zip(before) {
            let Some(condition) = now.as_ref().filter(|_| told(now) != told(then)) else { continue };
            self.records.push(Record::Condition {
                kind: Kind::Deployment.as_str().into(),
                name: deployment.meta.key().to_string().into(),
                condition: (*name).into(),
                status: condition.status.as_str().into(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
            });
        }
    }

    fn say_replica_set(&mut self, id: ReplicaSetId, before: Option<[i32; 5]>) {
        let Some(set) = self.store.replica_sets.get(id) else { return };
        let counts = replica_set_counts(set);
        if before != Some(counts) {
            self.records.push(workload_record(Kind::ReplicaSet, &set.meta, counts));
        }
    }

    pub(super) fn scale(&mut self, kind: Kind, key: &ObjectKey, replicas: i32) -> bool {
        match kind {
            Kind::Deployment => self.store.deployments.find(key).is_some_and(|id| {
                self.change_deployment(id, |deployment| set_replicas(&mut deployment.meta, &mut deployment.replicas, replicas))
            }),
            Kind::ReplicaSet => self
                .store
                .replica_sets
                .find(key)
                .is_some_and(|id| self.change_replica_set(id, |set| set_replicas(&mut set.meta, &mut set.replicas, replicas))),
            Kind::StatefulSet => {
                let Some(id) = self.store.stateful_sets.find(key) else { return false };
                let before = self.store.stateful_sets.get(id).and_then(|set| set.counts());
                self.store.update(id, |set| set_replicas(&mut set.meta, &mut set.replicas, replicas));
                self.say_counts(id, before);
                true
            }
            _ => false,
        }
    }

    fn write_slice(&mut self, id: ServiceId, write: SliceWrite) -> bool {
        let Some(service) = self.store.services.get(id).map(|service| service.meta.key()) else { return false };
        let counts = |world: &Self| world.store.slices(id).filter(|behind| behind.len() > 0).map(Behind::counts);
        let before = counts(self);
        let is_done = match write {
            SliceWrite::Create(endpoints) => self.store.create_slice(id, endpoints, self.now, &self.streams),
            SliceWrite::Update(number, endpoints) => self.store.update_slice(id, number, endpoints),
            SliceWrite::Delete(number) => self.store.remove_slice(id, number),
        };
        if let Some((ready, total)) = counts(self).filter(|after| before != Some(*after)) {
            let service = service.to_string().into();
            self.records.push(Record::Endpoints { service, ready: ready as u32, total: total as u32 });
        }
        is_done
    }

    // Nodes.

    pub(super) fn create_node(&mut self, node: Node, price_per_hour: f64) -> bool {
        let Some(id) = self.store.create_node(node, self.now, &self.streams) else { return false };
        let Some(node) = self.store.nodes.get(id) else { return false };
        let allocatable = api::Resources::from_list(&node.status.allocatable);
        let name = node.meta.name.clone();
        let pool = self.spec.node_pools.iter().map(|pool| &pool.name).find(|pool| **pool == node.spec.provider_id).cloned();
        self.records.push(Record::NodeAdded {
            node: name.clone(),
            pool: pool.unwrap_or_default(),
            zone: node.zone().into(),
            cpu_millis: allocatable.cpu_millis,
            memory_bytes: allocatable.memory_bytes,
            pods: allocatable.pods,
            price_per_hour,
        });
        let (status, reason) = (node.status.ready.as_str().into(), node.status.ready_reason.clone());
        self.records.push(Record::NodeReady { node: name, status, reason });
        if node.spec.unschedulable || !node.spec.taints.is_empty() {
            self.records.push(taints_record(node));
        }
        self.node_registered(id);
        true
    }

    /// Changes a node's taints or cordon; `false` when it is gone.
    fn change_node(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) -> bool {
        if self.store.nodes.get(id).is_none() {
            return false;
        }
        let mut cordon_changes = false;
        let changed = self.store.update_node(id, |node| {
            let before = node.spec.clone();
            change(node);
            let changes = before != node.spec;
            cordon_changes = before.unschedulable != node.spec.unschedulable;
            node.meta.generation += u64::from(changes);
            changes
        });
        if let (true, Some(node)) = (changed, self.store.nodes.get(id)) {
            self.records.push(taints_record(node));
            if cordon_changes {
                self.records.push(schedulable_event(node));
            }
        }
        true
    }

    /// What the node's kubelet says of it.
    fn change_node_status(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) -> bool {
        self.store.update_node(id, |node| {
            let before = node.status.clone();
            change(node);
            before != node.status
        });
        self.store.nodes.get(id).is_some()
    }

    pub(super) fn set_node_ready(&mut self, id: NodeId, status: ConditionStatus, reason: &'static str) -> bool {
        let now = self.now;
        let Some(node) = self.store.nodes.get(id) else { return false };
        let (name, known) = (node.meta.name.clone(), (node.status.ready, &*node.status.ready_reason));
        if known == (status, reason) {
            return true;
        }
        self.store.update_node(id, |node| {
            if node.status.ready != status {
                node.status.ready_since = now;
            }
            node.status.ready = status;
            node.status.ready_reason = reason.into();
            true
        });
        self.records.push(Record::NodeReady { node: name, status: status.as_str().into(), reason: reason.into() });
        true
    }

    pub(super) fn delete_node(&mut self, id: NodeId) -> bool {
        let Some(node) = self.store.nodes.get(id) else { return true };
        self.records.push(Record::NodeRemoved { node: node.meta.name.clone() });
        self.node_goes(id);
        self.store.remove_node(id)
    }

    // Everything else.

    /// Makes the object, or replaces what a manifest says of it where it is.
    pub(super) fn apply_object(&mut self, object: AnyObject) -> Result<(), Refusal> {
        with_object!(object, object => self.apply_kept(*object))
    }

    /// Makes an object that admission has let pass.
    fn create_kept<T: Kept>(&mut self, mut object: T) -> Result<(), Refusal> {
        let meta = object.meta().clone();
        if !meta.namespace.is_empty() {
            let usage =
                if self.store.resource_quotas.len() > 0 { object_usage(T::KIND, &object.clone().into_any()) } else { QuotaList::new() };
            self.admit_object(T::KIND, &meta, &usage)?;
        }
        if T::KIND == Kind::Namespace {
            object.meta_mut().finalizers = vec![namespace::FINALIZER.into()];
        }
        admit_storage(&mut object, &self.store);
        let id = self.store.create(object, self.now, &self.streams).ok_or(Refusal::Conflict)?;
        self.say_counts(id, None);
        Ok(())
    }

    fn apply_kept<T: Kept>(&mut self, mut object: T) -> Result<(), Refusal> {
        let Some(id) = T::table(&self.store).find(&object.meta().key()) else { return self.create_kept(object) };
        if let Some(stored) = T::table(&self.store).get(id) {
            object.meta_mut().finalizers = stored.meta().finalizers.clone(); // kubectl takes off nothing that it did not put on.
        }
        self.replace_object(id, object, Part::Spec);
        Ok(())
    }

    /// Says what a workload's counts are when they changed.
    fn say_counts<T: Kept>(&mut self, id: Id<T>, before: Option<[i32; 5]>) {
        let Some(object) = T::table(&self.store).get(id) else { return };
        if let Some(counts) = object.counts().filter(|counts| before != Some(*counts)) {
            self.records.push(workload_record(T::KIND, object.meta(), counts));
        }
    }

    /// A write of somebody who has read the object: refused when it is gone, or another version by now.
    fn update_object<T: Kept>(&mut self, new: T, part: Part) -> bool {
        let Some(id) = T::table(&self.store).find(&new.meta().key()) else { return false };
        let version = |meta: &ObjectMeta| match part {
            Part::NextStatus => (meta.uid, meta.generation),
            Part::Spec | Part::Status => (meta.uid, meta.resource_version),
        };
        let is_current = |old: &T| version(old.meta()) == version(new.meta());
        T::table(&self.store).get(id).is_some_and(is_current) && self.replace_object(id, new, part)
    }

    /// Changes one half of an object. One whose deletion was asked for goes with its last finalizer.
    fn replace_object<T: Kept>(&mut self, id: Id<T>, mut new: T, part: Part) -> bool {
        let before = T::table(&self.store).get(id).and_then(|object| object.counts());
        self.store.update(id, |old| {
            if part != Part::Spec {
                let before = old.clone();
                old.take_status(&new);
                return *old != before;
            }
            new.take_status(old);
            let given = std::mem::replace(new.meta_mut(), old.meta().clone());
            let spec_changes = *old != new;
            new.replaces(old);
            *new.meta_mut() = updated_meta(old.meta(), &given, spec_changes);
            replace(old, new)
        });
        self.say_counts(id, before);
        self.settle(id);
        true
    }
}

fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changes = *place != value;
    if changes {
        *place = value;
    }
    changes
}

fn condition(status: ConditionStatus, reason: &str, since: SimTime) -> api::Condition {
    let reason = if reason.is_empty() { Str::default() } else { reason.into() };
    api::Condition { status, reason, since }
}

/// A controller writes with the version it read; only a changed spec makes that a conflict here, since
/// status and spec are written apart. kubectl's patches never conflict.
fn is_conflict(by: Component, stored: &ObjectMeta, given: &ObjectMeta) -> bool {
    by != Component::Kubectl && stored.generation != given.generation
}

/// Identity and birth stay; labels, annotations and owners are the writer's.
fn updated_meta(stored: &ObjectMeta, given: &ObjectMeta, spec_changes: bool) -> ObjectMeta {
    ObjectMeta {
        labels: given.labels.clone(),
        annotations: given.annotations.clone(),
        owners: given.owners.clone(),
        finalizers: given.finalizers.clone(),
        generation: stored.generation + u64::from(spec_changes),
        ..stored.clone()
    }
}

/// Claims get a class and a phase, and what may be in use is protected.
/// Upstream: plugin/pkg/admission/storage/{storageobjectinuseprotection,storageclass/setdefault}.
fn admit_storage(object: &mut dyn Any, store: &Store) {
    let protect = |meta: &mut ObjectMeta, finalizer: &str| {
        if !meta.has_finalizer(finalizer) {
            meta.finalizers.push(finalizer.into());
        }
    };
    let pend = |phase: &mut Str| {
        if phase.is_empty() {
            *phase = "Pending".into();
        }
    };
    if let Some(claim) = object.downcast_mut::<PersistentVolumeClaim>() {
        protect(&mut claim.meta, protection::CLAIM);
        pend(&mut claim.phase);
        binder::with_default_class(claim, store);
    } else if let Some(volume) = object.downcast_mut::<PersistentVolume>() {
        protect(&mut volume.meta, protection::VOLUME);
        pend(&mut volume.phase);
    }
}

fn set_replicas(meta: &mut ObjectMeta, place: &mut i32, replicas: i32) -> bool {
    let changes = replace(place, replicas);
    meta.generation += u64::from(changes);
    changes
}

fn patch_node(node: &mut Node, add: &[Taint], remove: &[(Str, TaintEffect)], unschedulable: Option<bool>, now: SimTime) {
    let taints = &mut node.spec.taints;
    taints.retain(|taint| !remove.iter().any(|(key, effect)| (&taint.key, taint.effect) == (key, *effect)));
    for new in add {
        let time_added = new.time_added.or((new.effect == TaintEffect::NoExecute).then_some(now));
        let new = Taint { time_added, ..new.clone() };
        match taints.iter_mut().find(|taint| (&taint.key, taint.effect) == (&new.key, new.effect)) {
            Some(taint) if taint.value == new.value => {}
            Some(taint) => *taint = new,
            None => taints.push(new),
        }
    }
    node.spec.unschedulable = unschedulable.unwrap_or(node.spec.unschedulable);
}

/// The kubelet tells of a cordon when it posts its status next; here at once.
/// Upstream: pkg/kubelet/kubelet_node_status.go (recordNodeSchedulableEvent).
fn schedulable_event(node: &Node) -> Record {
    let reason = if node.spec.unschedulable { "NodeNotSchedulable" } else { "NodeSchedulable" };
    let name = &node.meta.name;
    Record::Event {
        kind: "Normal".into(),
        reason: reason.into(),
        object: format!("Node/{name}").into(),
        message: format!("Node {name} status is now: {reason}").into(),
        source: Component::Kubelet.name().into(),
    }
}

/// `key:effect` or `key=value:effect`.
pub(super) fn taint_text(taint: &Taint) -> Str {
    let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
    format!("{}{value}:{}", taint.key, taint.effect.as_str()).into()
}

fn taints_record(node: &Node) -> Record {
    let taints = node.spec.taints.iter().map(taint_text).collect();
    Record::NodeTaints { node: node.meta.name.clone(), unschedulable: node.spec.unschedulable, taints }
}

fn deployment_counts(deployment: &Deployment) -> [i32; 5] {
    let status = &deployment.status;
    [deployment.replicas, status.replicas, status.updated, status.ready, status.available]
}

/// Conditions of a Deployment, by type.
type DeploymentConditions = [(&'static str, Option<WorkloadCondition>); 3];

fn deployment_conditions(deployment: &Deployment) -> DeploymentConditions {
    let status = &deployment.status;
    [
        ("Available", status.available_condition.clone()),
        ("Progressing", status.progressing.clone()),
        ("ReplicaFailure", status.replica_failure.clone()),
    ]
}

fn replica_set_counts(set: &ReplicaSet) -> [i32; 5] {
    let status = &set.status;
    [set.replicas, status.replicas, status.replicas, status.ready, status.available]
}

fn workload_record(kind: Kind, meta: &ObjectMeta, [desired, current, updated, ready, available]: [i32; 5]) -> Record {
    let name = meta.key().to_string().into();
    Record::Workload { kind: kind.as_str().into(), name, desired, current, updated, ready, available }
}

/// `namespace/name`.
pub(super) fn pod_name(pod: &Pod) -> Str {
    pod.meta.key().to_string().into()
}

/// `Kind/namespace/name` of the managing controller, or empty.
fn controller_name(meta: &ObjectMeta) -> Str {
    meta.controller().map_or_else(Str::default, |owner| format!("{}/{}/{}", owner.kind, meta.namespace, owner.name).into())
}

/// `Kind/namespace/name` of the workload on top, or empty.
pub(super) fn workload_of(pod: &Pod, store: &Store) -> Str {
    match store.between(pod).map(controller_name) {
        Some(top) if !top.is_empty() => top,
        _ => controller_name(&pod.meta),
    }
}

/// Says which containers changed.
fn say_containers(name: &Str, pod: &Pod, status: &PodStatus, records: &mut Vec<Record>) {
    let groups = [
        (&pod.spec.init_containers, &pod.status.init_containers, &status.init_containers),
        (&pod.spec.containers, &pod.status.containers, &status.containers),
    ];
    for (specs, old, new) in groups {
        for (place, (spec, new)) in specs.iter().zip(new).enumerate() {
            let old = old.get(place);
            if old.map(|old| (&old.state, old.restart_count)) != Some((&new.state, new.restart_count)) {
                records.push(container_record(name, &spec.name, new));
            }
        }
    }
}

fn container_record(pod: &Str, container: &Str, status: &ContainerStatus) -> Record {
    let (state, reason, exit_code) = match status.state {
        ContainerState::Waiting { reason } => ("Waiting", reason, None),
        ContainerState::Running { .. } => ("Running", "", None),
        ContainerState::Terminated { exit_code, reason, .. } => ("Terminated", reason, Some(exit_code)),
    };
    let (state, reason) = (state.into(), reason.into());
    Record::Container { pod: pod.clone(), container: container.clone(), state, reason, exit_code, restarts: status.restart_count }
}
