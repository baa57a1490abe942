//! One loop's picture of the cluster, in which it tries things out with the scheduler's own filters.
//!
//! Invariants:
//! - The scheduler's snapshot is never touched: this is a copy.
//! - Pods with a nominated node count as being there; expendable pods do not count at all.
//! - A search for a node begins where the last one found one (upstream: lastIndexOrderMapping).
//!
//! Not modelled: hints, by which upstream first tries the node a pod went to in the loop before.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{DaemonSet, Node, ObjectMeta, Pod, Str, Uid};
use port::{ClusterSnapshot, NodeIndex, NodeInfo, PodInfo, PodRequests, Scheduler};

use super::super::View;
use super::super::daemon_set::{daemon_spec, fit};
use super::super::pod_control::controller_of;
use super::cloud::{Cloud, pool_node};
use super::cluster_state::ClusterState;
use crate::spec::NodePool;
use crate::store::{PodId, Store};

/// The filters of the scheduler.
pub(crate) trait Filters {
    /// Whether a pod passes all of them on a node.
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool;
    /// Why not, in the words of the first that turns it down.
    fn reasons(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Vec<Str>;
}

/// A scheduler's filters.
pub(crate) struct FiltersOf<'a>(pub(crate) &'a dyn Scheduler);

impl Filters for FiltersOf<'_> {
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        self.0.fits(pod, snapshot, node)
    }
    fn reasons(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Vec<Str> {
        self.0.rejection(pod, snapshot, node).map_or_else(Vec::new, |rejection| rejection.reasons)
    }
}

/// The picture.
pub(super) struct Simulation<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) filters: &'a dyn Filters,
    pub(super) scratch: ClusterSnapshot,
    /// Names of nodes that are not there yet.
    pub(super) upcoming: BTreeSet<Str>,
    cursor: usize,
    daemons: Vec<PodInfo>,
}

impl<'a> Simulation<'a> {
    /// A copy of what the scheduler sees.
    pub(super) fn new(
        view: &'a View<'a>,
        snapshot: &ClusterSnapshot,
        filters: &'a dyn Filters,
        expendable: impl Iterator<Item = PodId>,
    ) -> Self {
        let daemons = daemons(view.store);
        let mut simulation = Self { view, filters, scratch: snapshot.clone(), upcoming: BTreeSet::new(), cursor: 0, daemons };
        simulation.place_nominated();
        for pod in expendable.filter_map(|id| view.store.pods.get(id)) {
            simulation.take_off(pod.node_name.as_ref().or(pod.status.nominated_node_name.as_ref()), pod.meta.uid);
        }
        simulation
    }

    fn place_nominated(&mut self) {
        if !self.scratch.has_nominated() {
            return;
        }
        let names: Vec<Str> = self.scratch.nodes().iter().map(|node| node.name().clone()).collect();
        for name in names {
            let pods = self.scratch.nominated(&name).to_vec();
            let Some(index) = self.scratch.find(&name).filter(|_| !pods.is_empty()) else { continue };
            for pod in pods {
                self.scratch.forget_nomination(pod.uid);
                self.scratch.node_mut(index).add_pod(pod);
            }
        }
    }

    fn take_off(&mut self, node: Option<&Str>, uid: Uid) {
        if let Some(index) = node.and_then(|name| self.scratch.find(name)) {
            self.scratch.node_mut(index).remove_pod(uid);
        }
    }

    /// Puts nodes on their way into the picture, in place of those that have registered but not started.
    pub(super) fn add_upcoming(&mut self, cloud: &Cloud, state: &ClusterState) {
        for (place, group) in cloud.groups.iter().enumerate() {
            let count = state.upcoming(place, cloud, self.view.now);
            if count == 0 {
                continue;
            }
            for ordinal in cloud.coming(place, count, self.view.now) {
                let node = pool_node(&group.pool, ordinal);
                if self.scratch.find(&node.meta.name).is_none() {
                    self.upcoming.insert(node.meta.name.clone());
                    self.put_new(node);
                }
            }
            for node in state.readiness[place].not_started.iter().filter_map(|id| self.view.store.nodes.get(*id)) {
                self.scratch.remove_node(&node.meta.name);
            }
        }
    }

    /// A node that is not there yet, with the daemon pods it will have.
    fn put_new(&mut self, node: Node) -> NodeIndex {
        let own: Vec<PodInfo> = self.daemons.iter().filter(|daemon| fit(&node, &daemon.spec).runs).cloned().collect();
        let index = NodeIndex(self.scratch.nodes().len() as u32);
        self.scratch.put_node(Arc::new(node));
        own.into_iter().for_each(|daemon| self.scratch.node_mut(index).add_pod(daemon));
        index
    }

    /// A node that is not there yet, on its own.
    pub(super) fn new_node_info(&self, node: Node) -> NodeInfo {
        let mut info = NodeInfo::new(Arc::new(node));
        let own: Vec<PodInfo> = self.daemons.iter().filter(|daemon| fit(&info.node, &daemon.spec).runs).cloned().collect();
        own.into_iter().for_each(|daemon| info.add_pod(daemon));
        info
    }

    /// A new node of a pool.
    pub(super) fn add_new_node(&mut self, pool: &NodePool, ordinal: u32) -> NodeIndex {
        self.put_new(pool_node(pool, ordinal))
    }

    /// Takes away the nodes that were added last, down to so many.
    pub(super) fn drop_new_nodes(&mut self, count: usize) {
        while self.scratch.nodes().len() > count {
            let Some(last) = self.scratch.nodes().last().map(|node| node.name().clone()) else { return };
            self.scratch.remove_node(&last);
        }
    }

    /// Whether a pod fits on a node.
    pub(super) fn fits(&self, pod: &PodInfo, index: NodeIndex) -> bool {
        has_room(pod, self.scratch.node(index)) && self.filters.fits(pod, &self.scratch, index)
    }

    /// Why it does not.
    pub(super) fn reasons(&self, pod: &PodInfo, index: NodeIndex) -> Vec<Str> {
        let reasons = self.filters.reasons(pod, &self.scratch, index);
        if reasons.is_empty() { vec!["node(s) did not fit the pod".into()] } else { reasons }
    }

    /// Puts a pod on a node.
    pub(super) fn place(&mut self, pod: &PodInfo, index: NodeIndex) {
        self.scratch.node_mut(index).add_pod(pod.clone());
    }

    /// The next node on which a pod fits, of those from `first` on that are allowed; the pod is put there.
    pub(super) fn place_anywhere(&mut self, pod: &PodInfo, first: usize, allowed: &dyn Fn(&NodeInfo) -> bool) -> Option<NodeIndex> {
        let count = self.scratch.nodes().len();
        let span = count.checked_sub(first).filter(|span| *span > 0)?;
        let start = self.cursor.max(first) - first;
        for step in 0..span {
            let place = first + (start + step) % span;
            let (node, index) = (&self.scratch.nodes()[place], NodeIndex(place as u32));
            if !node.is_unschedulable() && has_room(pod, node) && allowed(node) && self.filters.fits(pod, &self.scratch, index) {
                self.cursor = place;
                self.place(pod, index);
                return Some(index);
            }
        }
        None
    }
}

/// A pod as it would be if it were made anew.
pub(super) fn fresh(mut pod: PodInfo) -> PodInfo {
    (pod.requested_node, pod.nominated_node, pod.deleting, pod.start_time) = (None, None, false, None);
    pod
}

/// What a scheduler sees of a pod.
pub(super) fn info_of(pod: &Pod) -> PodInfo {
    fresh(PodInfo::new(pod, Arc::new(PodRequests::of_pod(pod))))
}

/// The pods that DaemonSets would make, before a node is known.
fn daemons(store: &Store) -> Vec<PodInfo> {
    let pod = |set: &DaemonSet| {
        let meta = ObjectMeta { uid: set.meta.uid, owners: vec![controller_of("DaemonSet", &set.meta)], ..set.meta.clone() };
        let pod = Pod { meta, spec: Arc::new(daemon_spec(&set.template)), ..Pod::default() };
        PodInfo::new(&pod, Arc::new(PodRequests::of(&pod.spec)))
    };
    store.daemon_sets.iter().map(|(_, set)| pod(set)).collect()
}

/// A quick look before all filters are asked.
fn has_room(pod: &PodInfo, node: &NodeInfo) -> bool {
    let (wanted, used, all) = (&pod.requests.requests, &node.requested, &node.allocatable);
    (wanted.cpu_millis == 0 || wanted.cpu_millis <= all.cpu_millis - used.cpu_millis)
        && (wanted.memory_bytes == 0 || wanted.memory_bytes <= all.memory_bytes - used.memory_bytes)
}
