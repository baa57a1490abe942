//! Sums over all nodes that are kept from attempt to attempt: how many pods a selector matches per zone, which
//! topology values an anti-affinity term closes.
//!
//! A [`Tally`] says what one node contributes. [`crate::ClusterSnapshot::tally`] adds the contributions up when
//! first asked and, from then on, looks again only at nodes that changed since. So an attempt costs what
//! changed, not what there is.
//!
//! Invariants:
//! - What is kept equals what [`Tallied::counted_anew`] gives; `schedulers/tests/properties.rs` holds them together.
//! - Nothing kept reaches a decision except through these sums, so when and whether something is kept is not
//!   observable. A copy of a snapshot starts with nothing kept.
//! - A tally reads the node it is given and itself. Whatever else it needs to know (the labels of namespaces,
//!   say) is part of its key.

use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::{NodeIndex, NodeInfo};

/// Changes that are remembered in order. Who asks less often looks at all nodes' stamps.
const REMEMBERED_CHANGES: usize = 4096;
/// Contributions kept per kind of tally (nodes × tallies) before those that are not in use are dropped.
const KEPT_PARTS: usize = 1 << 19;

/// A sum over nodes. Equal tallies have equal sums.
pub trait Tally: Eq + Hash + Send + Sync + 'static {
    /// What one node contributes. The default contributes nothing.
    type Part: Clone + Default + PartialEq + Send + Sync + 'static;
    /// The sum. The default is that of no nodes.
    type Total: Clone + Default + Send + Sync + 'static;

    /// Looks at one node.
    fn part(&self, node: &NodeInfo) -> Self::Part;
    /// Adds a contribution.
    fn add(&self, total: &mut Self::Total, part: &Self::Part);
    /// Takes a contribution back. Afterwards the sum is as if it had never been added.
    fn subtract(&self, total: &mut Self::Total, part: &Self::Part);
}

/// A sum with what each node contributes to it.
pub struct Tallied<T: Tally> {
    /// By [`NodeIndex`].
    parts: Vec<T::Part>,
    /// The sum.
    pub total: T::Total,
}

impl<T: Tally> Clone for Tallied<T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), total: self.total.clone() }
    }
}

impl<T: Tally> Default for Tallied<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), total: T::Total::default() }
    }
}

impl<T: Tally> Tallied<T> {
    /// The plain way: every node is looked at.
    #[must_use]
    pub fn counted_anew(tally: &T, nodes: &[NodeInfo]) -> Self {
        let mut counted = Self::default();
        for node in nodes {
            let part = tally.part(node);
            tally.add(&mut counted.total, &part);
            counted.parts.push(part);
        }
        counted
    }

    /// What a node contributes.
    #[must_use]
    pub fn part(&self, node: NodeIndex) -> &T::Part {
        &self.parts[node.0 as usize]
    }

    /// Makes the list of contributions as long as that of nodes. Newcomers contribute when they are looked at.
    fn resize(&mut self, tally: &T, nodes: usize) {
        for part in self.parts.drain(nodes.min(self.parts.len())..) {
            tally.subtract(&mut self.total, &part);
        }
        self.parts.resize_with(nodes, T::Part::default);
    }

    fn look_again(&mut self, tally: &T, at: usize, nodes: &[NodeInfo]) {
        let Some(node) = nodes.get(at) else { return }; // It went since.
        let part = tally.part(node);
        if part != self.parts[at] {
            tally.subtract(&mut self.total, &self.parts[at]);
            tally.add(&mut self.total, &part);
            self.parts[at] = part;
        }
    }
}

/// Which nodes changed, and when. Time is counted in changes.
#[derive(Clone, Default, Debug)]
pub(crate) struct Changes {
    now: u64,
    /// The last change of each node, by place.
    stamps: Vec<u64>,
    /// The places of the last changes, the newest at the back.
    latest: VecDeque<u32>,
}

impl Changes {
    /// The node at this place came, changed, or took the place of another.
    pub(crate) fn mark(&mut self, at: usize) {
        self.now += 1;
        if at == self.stamps.len() {
            self.stamps.push(self.now);
        } else {
            self.stamps[at] = self.now;
        }
        if self.latest.len() == REMEMBERED_CHANGES {
            self.latest.pop_front();
        }
        self.latest.push_back(at as u32);
    }
    /// The last place goes, which is a change too.
    pub(crate) fn drop_last(&mut self) {
        if let Some(last) = self.stamps.len().checked_sub(1) {
            self.mark(last);
            self.stamps.pop();
        }
    }
    /// Calls `visit` with each place that changed after `since`, some of them more than once.
    fn after(&self, since: u64, mut visit: impl FnMut(usize)) {
        let changes = (self.now - since) as usize;
        if changes <= self.latest.len() {
            self.latest.range(self.latest.len() - changes..).for_each(|at| visit(*at as usize));
        } else {
            self.stamps.iter().enumerate().filter(|(_, stamp)| **stamp > since).for_each(|(at, _)| visit(at));
        }
    }
}

struct Kept<T: Tally> {
    tallied: Arc<Tallied<T>>,
    /// Up to which change it is true.
    seen: u64,
    /// The round in which somebody asked last.
    round: u64,
}

/// Everything kept of one kind.
struct Shelf<T: Tally> {
    kept: FxHashMap<T, Kept<T>>,
    round: u64,
}

impl<T: Tally> Shelf<T> {
    const fn new(kept: FxHashMap<T, Kept<T>>) -> Self {
        Self { kept, round: 0 }
    }

    fn tally(&mut self, tally: T, nodes: &[NodeInfo], changes: &Changes) -> Arc<Tallied<T>> {
        if let Some(kept) = self.kept.get_mut(&tally) {
            kept.round = self.round;
            if kept.seen != changes.now {
                let tallied = Arc::make_mut(&mut kept.tallied);
                tallied.resize(&tally, nodes.len());
                changes.after(kept.seen, |at| tallied.look_again(&tally, at, nodes));
                kept.seen = changes.now;
            }
            return kept.tallied.clone();
        }
        self.make_room(nodes.len());
        let tallied = Arc::new(Tallied::counted_anew(&tally, nodes));
        self.kept.insert(tally, Kept { tallied: tallied.clone(), seen: changes.now, round: self.round });
        tallied
    }

    /// When there is too much, what nobody asked for since the last time goes; if that is not enough, all of it.
    fn make_room(&mut self, nodes: usize) {
        let is_full = |kept: &FxHashMap<T, Kept<T>>| (kept.len() + 1) * nodes.max(64) > KEPT_PARTS;
        if is_full(&self.kept) {
            self.kept.retain(|_, kept| kept.round == self.round);
            self.round += 1;
            if is_full(&self.kept) {
                self.kept.clear();
            }
        }
    }
}

/// What is kept, one shelf per kind of tally.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<Vec<(TypeId, Box<dyn Any + Send>)>>);

impl Shelves {
    pub(crate) fn tally<T: Tally>(&self, tally: T, nodes: &[NodeInfo], changes: &Changes) -> Arc<Tallied<T>> {
        // A panic in between leaves at worst a sum that is not used again: the run is over then.
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = TypeId::of::<T>();
        let at = shelves.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            shelves.push((kind, Box::new(Shelf::<T>::new(FxHashMap::default()))));
            shelves.len() - 1
        });
        match shelves[at].1.downcast_mut::<Shelf<T>>() {
            Some(shelf) => shelf.tally(tally, nodes, changes),
            None => Arc::new(Tallied::counted_anew(&tally, nodes)),
        }
    }
}

/// A copy starts with nothing kept.
impl Clone for Shelves {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Shelves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelves")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::{Node, ObjectMeta, Pod, Uid};
    use proptest::prelude::*;

    use super::*;
    use crate::{ClusterSnapshot, PodInfo, PodRequests};

    /// How many nodes have so many pods, of nodes whose name ends in this digit.
    #[derive(PartialEq, Eq, Hash)]
    struct Crowds(char);

    impl Tally for Crowds {
        type Part = Option<usize>;
        type Total = BTreeMap<usize, u32>;

        fn part(&self, node: &NodeInfo) -> Option<usize> {
            node.name().ends_with(self.0).then_some(node.pods.len())
        }
        fn add(&self, total: &mut Self::Total, part: &Option<usize>) {
            if let Some(pods) = part {
                *total.entry(*pods).or_default() += 1;
            }
        }
        fn subtract(&self, total: &mut Self::Total, part: &Option<usize>) {
            if let Some(pods) = part
                && let Some(nodes) = total.get_mut(pods)
            {
                *nodes -= 1;
                if *nodes == 0 {
                    total.remove(pods);
                }
            }
        }
    }

    fn node(number: u8) -> Arc<Node> {
        let name = format!("node-{number}").into();
        Arc::new(Node { meta: ObjectMeta { name, ..ObjectMeta::default() }, ..Node::default() })
    }

    fn pod(number: u64) -> PodInfo {
        let meta = ObjectMeta { uid: Uid(number), ..ObjectMeta::default() };
        PodInfo::new(&Pod { meta, ..Pod::default() }, Arc::new(PodRequests::default()))
    }

    proptest! {
        #[test]
        fn what_is_kept_equals_what_is_counted_anew(
            steps in prop::collection::vec((0..6_u8, 0..30_u8), 1..200),
            rarely in 0..4_u8,
        ) {
            let mut snapshot = ClusterSnapshot::default();
            for (number, (what, which)) in steps.into_iter().enumerate() {
                let name = format!("node-{which}");
                match (what, snapshot.find(&name)) {
                    (0 | 1, _) => snapshot.put_node(node(which)),
                    (2, _) => {
                        snapshot.remove_node(&name);
                    }
                    (3 | 4, Some(at)) => snapshot.node_mut(at).add_pod(pod(number as u64)),
                    (_, Some(at)) => snapshot.node_mut(at).pods.truncate(1),
                    _ => {}
                }
                if which % 4 < rarely {
                    continue;
                }
                for digit in ['0', '7'] {
                    let kept = snapshot.tally(Crowds(digit));
                    let anew = Tallied::counted_anew(&Crowds(digit), snapshot.nodes());
                    prop_assert_eq!(&kept.total, &anew.total);
                    prop_assert_eq!(&kept.parts, &anew.parts);
                }
            }
        }
    }

    #[test]
    fn who_asks_after_more_changes_than_are_remembered_is_told_the_truth() {
        let mut snapshot = ClusterSnapshot::default();
        (0..20).for_each(|number| snapshot.put_node(node(number)));
        assert_eq!(snapshot.tally(Crowds('1')).total, BTreeMap::from([(0, 2)]));
        for number in 0..2 * REMEMBERED_CHANGES as u64 {
            snapshot.node_mut(NodeIndex(1)).add_pod(pod(number));
        }
        assert_eq!(snapshot.tally(Crowds('1')).total, BTreeMap::from([(0, 1), (2 * REMEMBERED_CHANGES, 1)]));
    }

    #[test]
    fn there_is_a_bound_to_what_is_kept() {
        let (changes, nodes) = (Changes::default(), Vec::new());
        let mut shelf = Shelf::new(FxHashMap::default());
        for which in 0..3 * (KEPT_PARTS / 64) as u32 {
            shelf.tally(Crowds(char::from_u32(which).unwrap_or('x')), &nodes, &changes);
            assert!(shelf.kept.len() <= KEPT_PARTS / 64);
        }
    }
}
