//! How many feasible nodes an attempt looks for, and which of the best it takes.

use std::sync::Arc;

use api::Uid;
use port::{ClusterSnapshot, NodeIndex};

/// Below this many nodes all are looked at; never fewer feasible ones are looked for.
const MIN_FEASIBLE_NODES: usize = 100;

/// Draws lots for a pod: a number below the one given. Where it comes from is not the scheduler's to know.
pub type Lots = Arc<dyn Fn(Uid, u64) -> u64 + Send + Sync>;

/// Which node wins among those with the highest total.
#[derive(Clone, Default)]
pub enum TieBreak {
    /// As kube-scheduler 1.36 without extenders: by the mechanics of its heap over the order in which nodes
    /// were found.
    #[default]
    Upstream,
    /// The first by name.
    Name,
    /// One of them by lot.
    Random(Lots),
}

impl TieBreak {
    /// Names of all of them, the default of runs first.
    pub const NAMES: [&str; 3] = ["upstream", "name", "random"];

    /// The one of this name. `lots` is asked for when lots are to be drawn.
    #[must_use]
    pub fn named(name: &str, lots: impl FnOnce() -> Lots) -> Option<Self> {
        match name {
            "upstream" => Some(Self::Upstream),
            "name" => Some(Self::Name),
            "random" => Some(Self::Random(lots())),
            _ => None,
        }
    }
}

/// How many feasible nodes are looked for among `nodes`. Zero per cent is adaptive.
///
/// Upstream: schedule_one.go (numFeasibleNodesToFind).
pub(crate) fn feasible_nodes_to_find(nodes: usize, percentage: u32) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let percentage = match percentage {
        0 => 50usize.saturating_sub(nodes / 125).max(5),
        configured => configured as usize,
    };
    (nodes * percentage / 100).clamp(MIN_FEASIBLE_NODES, nodes)
}

/// The place of the chosen node in `feasible`.
pub(crate) fn select(tie_break: &TieBreak, pod: Uid, snapshot: &ClusterSnapshot, feasible: &[NodeIndex], totals: &[i64]) -> usize {
    let best = totals.iter().copied().max().unwrap_or(0);
    let mut best_places = (0..feasible.len()).filter(|place| totals[*place] == best);
    match tie_break {
        TieBreak::Upstream => heap_root(totals),
        TieBreak::Name => best_places.min_by_key(|place| snapshot.node(feasible[*place]).name()).unwrap_or(0),
        TieBreak::Random(lots) => {
            let ties = best_places.clone().count() as u64;
            // Alone it needs no lot; the order is that in which nodes were found.
            let lot = if ties > 1 { lots(pod, ties) } else { 0 };
            best_places.nth(lot as usize).unwrap_or(0)
        }
    }
}

/// The root after Go's `heap.Init` on a max-heap: from the last parent to the first, a child moves up only
/// when strictly greater, the right one only when strictly greater than the left.
///
/// Upstream: schedule_one.go (selectHost), container/heap.
fn heap_root(totals: &[i64]) -> usize {
    let mut heap: Vec<u32> = (0..totals.len() as u32).collect();
    let total = |heap: &[u32], place: usize| totals[heap[place] as usize];
    for start in (0..heap.len() / 2).rev() {
        let mut parent = start;
        loop {
            let mut child = 2 * parent + 1;
            if child >= heap.len() {
                break;
            }
            if child + 1 < heap.len() && total(&heap, child + 1) > total(&heap, child) {
                child += 1;
            }
            if total(&heap, child) <= total(&heap, parent) {
                break;
            }
            heap.swap(parent, child);
            parent = child;
        }
    }
    heap.first().map_or(0, |root| *root as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trap_of_random_ties_they_are_settled_as_the_heap_settles_them() {
        // Checked against the real scheduler's heap: neither by lot, nor always the first.
        for (totals, winner) in [
            (&[7, 7, 7, 7][..], 0),
            (&[1, 5, 5], 1),
            (&[3, 9, 9, 9], 1),
            (&[1, 1, 5, 5], 3),
            (&[1, 2, 9, 9, 9], 3),
            (&[1, 1, 1, 1, 1, 9, 9], 5),
        ] {
            assert_eq!(heap_root(totals), winner, "{totals:?}");
        }
    }

    #[test]
    fn each_way_to_settle_ties_takes_one_of_the_best() {
        let mut snapshot = ClusterSnapshot::default();
        for name in ["c", "b", "a", "d"] {
            let meta = api::ObjectMeta { name: name.into(), ..api::ObjectMeta::default() };
            snapshot.put_node(Arc::new(api::Node { meta, ..api::Node::default() }));
        }
        let feasible: Vec<NodeIndex> = (0..4).map(NodeIndex).collect();
        let lots = || -> Lots { Arc::new(|pod, below| pod.0 % below) };
        let winner = |name: &str, pod: u64, totals: &[i64]| {
            let tie_break = TieBreak::named(name, lots).expect("a known name");
            snapshot.node(feasible[select(&tie_break, Uid(pod), &snapshot, &feasible, totals)]).name().to_string()
        };
        assert_eq!(winner("upstream", 0, &[7, 7, 7, 1]), "c");
        assert_eq!(winner("name", 0, &[7, 7, 7, 1]), "a");
        assert_eq!([3, 4, 5].map(|pod| winner("random", pod, &[7, 7, 7, 1])), ["c", "b", "a"]);
        for name in TieBreak::NAMES {
            assert_eq!(winner(name, 1, &[1, 1, 1, 9]), "d", "{name}");
        }
        assert!(TieBreak::named("fair", lots).is_none());
    }

    #[test]
    fn the_number_of_nodes_looked_for_adapts_to_the_cluster() {
        for (nodes, wanted) in [(99, 99), (100, 100), (500, 230), (1000, 420), (2000, 680), (5000, 500), (10_000, 500)] {
            assert_eq!(feasible_nodes_to_find(nodes, 0), wanted, "{nodes}");
        }
        assert_eq!(feasible_nodes_to_find(5000, 100), 5000);
    }
}
