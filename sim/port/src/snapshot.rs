//! What a scheduler may look at: nodes with what is placed on them, and the objects that plugins ask for.
//!
//! Invariants:
//! - A [`NodeIndex`] stays valid until a node is removed; adding nodes never moves one.
//! - [`ClusterSnapshot::list_order`] is the scheduler's node list: zones in order of first appearance, one
//!   node of each zone in turn (upstream: backend/cache/node_tree.go). It is worked out when first asked
//!   for after nodes came or went, so that adding many nodes costs no more than adding them.
//! - Assumed pods (chosen, not yet bound) are on their node already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use api::{Node, PersistentVolume, PersistentVolumeClaim, Str, Uid};

use crate::tally::{Changes, Shelves};
use crate::{ClusterObjects, NodeInfo, PodInfo, Tallied, Tally};

/// The place of a node in [`ClusterSnapshot::nodes`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeIndex(pub u32);

/// An image that some node has.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ImageState {
    /// Its size as the first node reported it.
    pub size_bytes: i64,
    /// Names of the nodes that have it.
    pub nodes: BTreeSet<Str>,
}

/// What Reserve changed for a pod, as it was before.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reservation {
    /// Volumes that were free.
    pub volumes: Vec<Arc<PersistentVolume>>,
    /// Claims that waited for their first consumer.
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
}

/// The cluster at one instant.
#[derive(Clone, Default, Debug)]
pub struct ClusterSnapshot {
    nodes: Vec<NodeInfo>,
    index: BTreeMap<Str, NodeIndex>,
    /// Names in order of arrival, per zone in order of first appearance.
    zones: Vec<(String, Vec<Str>)>,
    /// Filled when first asked for, emptied when nodes come or go.
    list_order: OnceLock<Vec<NodeIndex>>,
    /// Pods that wait for room on a node, by node name; in order of nomination.
    nominated: BTreeMap<Str, Vec<PodInfo>>,
    images: BTreeMap<Str, ImageState>,
    objects: ClusterObjects,
    changes: Changes,
    /// Filled by tallies that are asked for.
    shelves: Shelves,
}

/// The list order and what tallies keep follow from the rest.
impl PartialEq for ClusterSnapshot {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes
            && self.zones == other.zones
            && self.nominated == other.nominated
            && self.images == other.images
            && self.objects == other.objects
    }
}

impl Eq for ClusterSnapshot {}

impl ClusterSnapshot {
    /// All nodes; a [`NodeIndex`] is a place in this slice. The order means nothing to a scheduler: see
    /// [`ClusterSnapshot::list_order`].
    #[must_use]
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }
    /// The order in which kube-scheduler looks at nodes.
    #[must_use]
    pub fn list_order(&self) -> &[NodeIndex] {
        self.list_order.get_or_init(|| {
            let mut order = Vec::with_capacity(self.nodes.len());
            let longest = self.zones.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
            for round in 0..longest {
                order.extend(self.zones.iter().filter_map(|(_, names)| names.get(round)).map(|name| self.index[name]));
            }
            order
        })
    }
    /// One node.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &NodeInfo {
        &self.nodes[index.0 as usize]
    }
    /// One node, to put pods on or take them off.
    pub fn node_mut(&mut self, index: NodeIndex) -> &mut NodeInfo {
        self.changes.mark(index.0 as usize);
        &mut self.nodes[index.0 as usize]
    }
    /// Where the node of this name stands.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.index.get(name).copied()
    }
    /// Adds a node, or replaces its description and keeps its pods.
    pub fn put_node(&mut self, node: Arc<Node>) {
        let name = node.meta.name.clone();
        let zone = zone_key(&node);
        if let Some(index) = self.find(&name) {
            self.changes.mark(index.0 as usize);
            let info = &mut self.nodes[index.0 as usize];
            let old = info.node.clone();
            info.set_node(node.clone());
            if old.status.images != node.status.images {
                self.forget_images(&old);
                self.remember_images(&node);
            }
            let old_zone = zone_key(&old);
            if old_zone == zone {
                return;
            }
            self.leave_zone(&old_zone, &name);
        } else {
            self.index.insert(name.clone(), NodeIndex(self.nodes.len() as u32));
            self.remember_images(&node);
            self.changes.mark(self.nodes.len());
            self.nodes.push(NodeInfo::new(node));
        }
        match self.zones.iter_mut().find(|(key, _)| *key == zone) {
            Some((_, names)) => names.push(name),
            None => self.zones.push((zone, vec![name])),
        }
        self.list_order.take();
    }
    /// Takes a node away, with what is on it. Indices found before are no longer valid.
    pub fn remove_node(&mut self, name: &str) -> Option<NodeInfo> {
        let index = self.index.remove(name)?;
        let info = self.nodes.swap_remove(index.0 as usize);
        if let Some(moved) = self.nodes.get(index.0 as usize) {
            self.index.insert(moved.name().clone(), index);
            self.changes.mark(index.0 as usize);
        }
        self.changes.drop_last();
        self.leave_zone(&zone_key(&info.node), name);
        self.forget_images(&info.node);
        self.list_order.take();
        Some(info)
    }
    /// A sum over all nodes, kept up to date from one question to the next.
    #[must_use]
    pub fn tally<T: Tally>(&self, tally: T) -> Arc<Tallied<T>> {
        self.shelves.tally(tally, &self.nodes, &self.changes)
    }
    /// The image of this name, if a node has it.
    #[must_use]
    pub fn image(&self, name: &str) -> Option<&ImageState> {
        self.images.get(name)
    }
    /// Whether any node reports any image.
    #[must_use]
    pub fn has_images(&self) -> bool {
        !self.images.is_empty()
    }
    /// Objects other than nodes and pods.
    #[must_use]
    pub fn objects(&self) -> &ClusterObjects {
        &self.objects
    }
    /// Objects other than nodes and pods, to keep them up to date.
    pub fn objects_mut(&mut self) -> &mut ClusterObjects {
        &mut self.objects
    }
    /// Takes back what Reserve had taken for a pod that is not bound after all.
    pub fn unreserve(&mut self, reservation: Reservation) {
        for volume in reservation.volumes {
            self.objects.persistent_volumes.insert(volume.meta.name.clone(), volume);
        }
        for claim in reservation.claims {
            self.objects.persistent_volume_claims.insert(claim.meta.key(), claim);
        }
    }
    /// Pods nominated to a node.
    #[must_use]
    pub fn nominated(&self, node: &str) -> &[PodInfo] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }
    /// Whether any pod is nominated anywhere.
    #[must_use]
    pub fn has_nominated(&self) -> bool {
        !self.nominated.is_empty()
    }
    /// Remembers that `pod` waits for room on `node`.
    pub fn nominate(&mut self, node: &Str, pod: PodInfo) {
        self.forget_nomination(pod.uid);
        self.nominated.entry(node.clone()).or_default().push(pod);
    }
    /// Forgets where a pod waited.
    pub fn forget_nomination(&mut self, uid: Uid) {
        self.nominated.retain(|_, pods| {
            pods.retain(|pod| pod.uid != uid);
            !pods.is_empty()
        });
    }

    fn leave_zone(&mut self, zone: &str, name: &str) {
        for (key, names) in &mut self.zones {
            if key == zone {
                names.retain(|other| &**other != name);
            }
        }
        self.zones.retain(|(_, names)| !names.is_empty());
    }

    /// The first node with an image decides its size (upstream: backend/cache/cache.go, addNodeImageStates).
    fn remember_images(&mut self, node: &Node) {
        for image in &node.status.images {
            for name in &image.names {
                let state = self.images.entry(name.clone()).or_default();
                if state.nodes.is_empty() {
                    state.size_bytes = image.size_bytes;
                }
                state.nodes.insert(node.meta.name.clone());
            }
        }
    }

    fn forget_images(&mut self, node: &Node) {
        for name in node.status.images.iter().flat_map(|image| &image.names) {
            if let Some(state) = self.images.get_mut(name) {
                state.nodes.remove(&node.meta.name);
                if state.nodes.is_empty() {
                    self.images.remove(name);
                }
            }
        }
    }
}

/// Region and zone in one; nodes without either share one key.
fn zone_key(node: &Node) -> String {
    let label = |key: &str| node.meta.labels.get(key).map_or("", |value| value);
    let (region, zone) = (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\u{0}:{zone}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::ObjectMeta;

    fn node(name: &str, zone: &str) -> Arc<Node> {
        let labels = Arc::new([("topology.kubernetes.io/zone".into(), zone.into())].into());
        Arc::new(Node { meta: ObjectMeta { name: name.into(), labels, ..ObjectMeta::default() }, ..Node::default() })
    }

    fn listed(snapshot: &ClusterSnapshot) -> Vec<&str> {
        snapshot.list_order().iter().map(|index| &**snapshot.node(*index).name()).collect()
    }

    #[test]
    fn the_list_takes_one_node_of_each_zone_in_turn() {
        let mut snapshot = ClusterSnapshot::default();
        for (name, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("c1", "c"), ("b2", "b")] {
            snapshot.put_node(node(name, zone));
        }
        assert_eq!(listed(&snapshot), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(snapshot.remove_node("a1").map(|info| info.name().clone()).as_deref(), Some("a1"));
        assert_eq!(listed(&snapshot), ["a2", "b1", "c1", "a3", "b2"]);
        snapshot.put_node(node("c1", "b"));
        assert_eq!(listed(&snapshot), ["a2", "b1", "a3", "b2", "c1"]);
        for name in ["a2", "b1", "a3", "b2", "c1"] {
            assert_eq!(snapshot.find(name).map(|index| &**snapshot.node(index).name()), Some(name));
        }
    }

    #[test]
    fn adding_a_node_moves_no_other() {
        let mut snapshot = ClusterSnapshot::default();
        snapshot.put_node(node("a1", "a"));
        snapshot.put_node(node("a2", "a"));
        let before = snapshot.find("a2");
        snapshot.put_node(node("b1", "b"));
        assert_eq!(snapshot.find("a2"), before);
    }
}
