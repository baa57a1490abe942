//! Evictions as `kubectl drain` and the vertical pod autoscaler ask for them: one pod at a time, held back by
//! PodDisruptionBudgets.
//!
//! The API server decides and deletes in one step, so two evictions never use the same allowance.
//! Upstream: pkg/registry/core/pod/storage/eviction.go, kubectl/pkg/drain.
//!
//! Simplified: the answer's way back and forth takes no time, and a drain has no time-out.

use api::{ObjectKey, Pod, SimDuration};
use trace::Record;

use super::World;
use super::outage::REFUSED;
use crate::controllers::disruption::{Budgets, Eviction, note_eviction};
use crate::effects::{Component, Effects};
use crate::event::Event;
use crate::store::{NodeId, PodId};

/// kubectl tries a refused eviction again after this.
const RETRY: SimDuration = SimDuration::from_secs(5);

impl World {
    /// The pods of a node that a drain moves, in order of binding.
    pub(super) fn moved_by_drain(&self, node: NodeId) -> Vec<PodId> {
        let Some(node) = self.store.nodes.get(node) else { return Vec::new() };
        let stays = |pod: &Pod| pod.meta.owners.iter().any(|owner| matches!(&*owner.kind, "DaemonSet" | "Node"));
        self.store.pods_on(&node.meta.name).filter(|(_, pod)| !stays(pod)).map(|(id, _)| id).collect()
    }

    /// The node is cordoned; once kubectl has heard so, it asks for the eviction of the pods.
    pub(super) fn drain(&mut self, node: NodeId) -> bool {
        let at = self.now + self.spec.control_plane.api_server.request_latency.mean();
        for pod in self.moved_by_drain(node) {
            self.calendar.schedule(at, Event::Evict(pod));
        }
        true
    }

    /// Evicts a pod, or tries again later. A drain that was undone meanwhile asks for nothing.
    pub(super) fn evict(&mut self, id: PodId, out: &mut Effects) {
        let Some(pod) = self.store.pods.get(id).filter(|pod| !pod.meta.is_deleting()) else { return };
        let node = pod.node_name.as_ref().and_then(|name| self.store.node_by_name(name));
        if !node.is_some_and(|(_, node)| node.spec.unschedulable) {
            return;
        }
        if self.outage.api_server_is_away() {
            return self.give_up(pod.meta.key());
        }
        let mut budgets = Budgets::default();
        match budgets.evict(pod, &self.store) {
            Eviction::Allowed => self.let_go(id, &budgets, Component::Kubectl),
            Eviction::Blocked(_) | Eviction::Ambiguous => out.at(self.now + RETRY, Event::Evict(id)),
        }
    }

    /// kubectl tries again what a budget refused, and nothing else.
    fn give_up(&mut self, key: ObjectKey) {
        let ObjectKey { namespace, name } = &key;
        let outcome = format!("error when evicting pods/\"{name}\" -n \"{namespace}\": {REFUSED}").into();
        self.records.push(Record::Step { step: format!("kubectl drain: evict pod {key}").into(), outcome });
    }

    /// Evicts a pod, or says that a budget is in the way.
    pub(super) fn evict_once(&mut self, id: PodId, by: Component) -> bool {
        let Some(pod) = self.store.pods.get(id).filter(|pod| !pod.meta.is_deleting()) else { return false };
        let mut budgets = Budgets::default();
        let is_allowed = matches!(budgets.evict(pod, &self.store), Eviction::Allowed);
        if is_allowed {
            self.let_go(id, &budgets, by);
        }
        is_allowed
    }

    /// Uses up what the pod's budget allows, if it was let go by that.
    fn let_go(&mut self, id: PodId, budgets: &Budgets, by: Component) {
        let Some(pod) = self.store.pods.get(id) else { return };
        let (name, now) = (pod.meta.name.clone(), self.now);
        let near = self.store.pdbs.in_namespace(&pod.meta.namespace);
        let spent = near.filter(|(_, budget)| budgets.have_spent(budget.meta.uid)).map(|(id, _)| id).next();
        if let Some(budget) = spent {
            self.store.update(budget, |budget| note_eviction(budget, &name, now));
        }
        self.set_disruption_target(id, &"EvictionByEvictionAPI".into());
        self.delete_pod(id, None, by);
    }
}
