//! How many new nodes of a pool would take which pods: first fit, largest pods first.
//!
//! Upstream: estimator/binpacking_estimator.go and decreasing_pod_orderer.go.
//!
//! Invariants:
//! - The picture is afterwards what it was before.
//! - Once a pod of a group has not fitted any new node, only the last one is looked at, so that the work
//!   grows with the number of pods and not with pods times nodes.
//!
//! Not modelled: `--fastpath-binpacking` and limits of the time it may take.

use std::collections::BTreeSet;

use port::{NodeIndex, PodInfo};

use super::pending::PodGroup;
use super::simulation::Simulation;
use crate::spec::NodePool;

const SPREAD_REASON: &str = "node(s) didn't match pod topology spread constraints";

/// A pod by the group it is of, and its place there.
pub(super) type PodPlace = (usize, usize);

/// What a pool would do.
pub(super) struct Estimate {
    pub(super) nodes: u32,
    pub(super) pods: Vec<PodPlace>,
}

/// New nodes being filled.
struct Packing<'s, 'a> {
    simulation: &'s mut Simulation<'a>,
    pool: &'s NodePool,
    first_ordinal: u32,
    /// How many nodes there were before.
    before: usize,
    /// Most new nodes.
    limit: u32,
    /// Which new nodes have pods.
    used: Vec<bool>,
    /// Pods that found a place on a node that was there before.
    elsewhere: Vec<(NodeIndex, api::Uid)>,
    pods: Vec<PodPlace>,
}

/// Packs those `groups` that are `schedulable` onto new nodes of `pool`.
pub(super) fn estimate(
    simulation: &mut Simulation<'_>,
    (pool, first_ordinal, limit): (&NodePool, u32, u32),
    groups: &[PodGroup],
    schedulable: &[usize],
) -> Estimate {
    let before = simulation.scratch.nodes().len();
    let mut order: Vec<(usize, f64)> = schedulable.iter().map(|place| (*place, size(groups[*place].exemplar(), pool))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1)); // Stable: equal groups stay in order.
    let mut packing = Packing { simulation, pool, first_ordinal, before, limit, used: vec![], elsewhere: vec![], pods: vec![] };
    let mut more_nodes = true;
    for (place, _) in order {
        let rest = packing.fill_new_nodes(place, &groups[place]);
        more_nodes = more_nodes && packing.add_nodes(place, &groups[place], rest);
    }
    packing.finish()
}

impl Packing<'_, '_> {
    /// Puts pods on the new nodes there are; gives the place of the first that fits none.
    fn fill_new_nodes(&mut self, place: usize, group: &PodGroup) -> usize {
        for (number, pod) in group.pods.iter().enumerate() {
            let Some(index) = self.simulation.place_anywhere(&pod.info, self.before, &|_| true) else { return number };
            self.count(index, (place, number));
        }
        group.pods.len()
    }

    /// Puts the rest on the last new node, and adds nodes as long as that helps. False once the limit is reached.
    fn add_nodes(&mut self, place: usize, group: &PodGroup, first: usize) -> bool {
        for (number, pod) in group.pods.iter().enumerate().skip(first) {
            let last = self.last();
            if let Some(last) = last {
                if self.simulation.fits(&pod.info, last) {
                    self.put(&pod.info, last, (place, number));
                    continue;
                }
                if self.fits_elsewhere(&pod.info, last, (place, number)) {
                    continue;
                }
                // If the last node is empty and did not do, neither will another one.
                if !self.used[last.0 as usize - self.before] {
                    return true;
                }
            }
            if self.used.len() as u32 >= self.limit {
                return false;
            }
            let index = self.simulation.add_new_node(self.pool, self.first_ordinal + self.used.len() as u32);
            self.used.push(false);
            if !self.simulation.fits(&pod.info, index) {
                return true;
            }
            self.put(&pod.info, index, (place, number));
        }
        true
    }

    /// A pod that is spread over nodes may fit any other node though it does not fit the last.
    fn fits_elsewhere(&mut self, pod: &PodInfo, last: NodeIndex, place: PodPlace) -> bool {
        let spreads = pod.spec.topology_spread_constraints.iter().any(|constraint| &*constraint.topology_key == "kubernetes.io/hostname");
        if !spreads || !self.simulation.reasons(pod, last).iter().any(|reason| &**reason == SPREAD_REASON) {
            return false;
        }
        let name = self.simulation.scratch.node(last).name().clone();
        let Some(index) = self.simulation.place_anywhere(pod, 0, &|node| *node.name() != name) else { return false };
        if (index.0 as usize) < self.before {
            self.elsewhere.push((index, pod.uid));
            self.pods.push(place);
        } else {
            self.count(index, place);
        }
        true
    }

    fn last(&self) -> Option<NodeIndex> {
        self.used.len().checked_sub(1).map(|last| NodeIndex((self.before + last) as u32))
    }

    fn put(&mut self, pod: &PodInfo, index: NodeIndex, place: PodPlace) {
        self.simulation.place(pod, index);
        self.count(index, place);
    }

    fn count(&mut self, index: NodeIndex, place: PodPlace) {
        self.used[index.0 as usize - self.before] = true;
        self.pods.push(place);
    }

    fn finish(self) -> Estimate {
        for (index, uid) in &self.elsewhere {
            self.simulation.scratch.node_mut(*index).remove_pod(*uid);
        }
        self.simulation.drop_new_nodes(self.before);
        // Upstream counts a node that was there already like a new one.
        let old: BTreeSet<NodeIndex> = self.elsewhere.iter().map(|(index, _)| *index).collect();
        Estimate { nodes: (self.used.iter().filter(|used| **used).count() + old.len()) as u32, pods: self.pods }
    }
}

/// Share of a node's allocatable that a pod asks for: cpu and memory together.
fn size(pod: &PodInfo, pool: &NodePool) -> f64 {
    let share = |name: &api::ResourceName, wanted: i64| {
        let all = pool.template.status.allocatable.get(name).copied().unwrap_or(0);
        if all > 0 { wanted as f64 / all as f64 } else { 0.0 }
    };
    let wanted = &pod.requests.requests;
    share(&api::ResourceName::Cpu, wanted.cpu_millis) + share(&api::ResourceName::Memory, wanted.memory_bytes)
}

/// What an estimate's pods ask for in all.
pub(super) fn requested(estimate: &Estimate, groups: &[PodGroup], name: &api::ResourceName) -> i64 {
    estimate.pods.iter().map(|(group, place)| groups[*group].pods[*place].info.requests.requests.get(name)).sum()
}
