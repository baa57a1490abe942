//! Evictions as `kubectl drain` asks for them: one pod at a time, held back by PodDisruptionBudgets.
//!
//! The API server decides and deletes in one step, so two evictions never use the same allowance.
//! Upstream: pkg/registry/core/pod/storage/eviction.go, kubectl/pkg/drain.
//!
//! Simplified: the answer's way back and forth takes no time, and a drain has no time-out.

use api::{Pod, SimDuration};

use super::World;
use crate::controllers::disruption::{Budgets, Eviction, note_eviction};
use crate::effects::{Component, Effects};
use crate::event::Event;
use crate::store::{NodeId, PodId};

/// kubectl tries a refused eviction again after this.
const RETRY: SimDuration = SimDuration::from_secs(5);

impl World {
    /// Asks for the eviction of every pod of a node that a drain moves, in order of binding.
    pub(super) fn drain(&self, node: NodeId, out: &mut Effects) -> usize {
        let Some(node) = self.store.nodes.get(node) else { return 0 };
        let stays = |pod: &Pod| pod.meta.owners.iter().any(|owner| matches!(&*owner.kind, "DaemonSet" | "Node"));
        let moved: Vec<PodId> = self.store.pods_on(&node.meta.name).filter(|(_, pod)| !stays(pod)).map(|(id, _)| id).collect();
        // kubectl waits for the answer to its cordon first.
        let at = self.now + self.spec.control_plane.api_server.request_latency.times(2);
        for pod in &moved {
            out.at(at, Event::Evict(*pod));
        }
        moved.len()
    }

    /// Evicts a pod, or tries again later. A drain that was undone meanwhile asks for nothing.
    pub(super) fn evict(&mut self, id: PodId, out: &mut Effects) {
        let Some(pod) = self.store.pods.get(id).filter(|pod| !pod.meta.is_deleting()) else { return };
        let node = pod.node_name.as_ref().and_then(|name| self.store.node_by_name(name));
        if !node.is_some_and(|(_, node)| node.spec.unschedulable) {
            return;
        }
        let mut budgets = Budgets::default();
        match budgets.evict(pod, &self.store) {
            Eviction::Allowed => {
                let (name, now) = (pod.meta.name.clone(), self.now);
                let near = self.store.pdbs.in_namespace(&pod.meta.namespace);
                let spent = near.filter(|(_, budget)| budgets.have_spent(budget.meta.uid)).map(|(id, _)| id).next();
                if let Some(budget) = spent {
                    self.store.update(budget, |budget| note_eviction(budget, &name, now));
                }
                self.set_disruption_target(id, &"EvictionByEvictionAPI".into());
                self.delete_pod(id, None, Component::Kubectl);
            }
            Eviction::Blocked(_) | Eviction::Ambiguous => out.at(self.now + RETRY, Event::Evict(id)),
        }
    }
}
