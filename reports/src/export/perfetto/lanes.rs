//! Which lane a slice goes to, so that no two overlap in one.
//!
//! Invariant: the lowest free lane is taken, so there are as many lanes as slices at the busiest instant.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use api::SimTime;

/// Lanes, counted from 1.
#[derive(Default)]
pub(super) struct Lanes {
    free: BTreeSet<usize>,
    taken: BinaryHeap<Reverse<(SimTime, usize)>>,
    count: usize,
}

impl Lanes {
    /// A lane that is free from `from` to `to`, and whether it is a new one. Ask in order of `from`.
    pub(super) fn take(&mut self, from: SimTime, to: SimTime) -> (usize, bool) {
        while let Some(Reverse((until, lane))) = self.taken.peek().copied()
            && until <= from
        {
            self.taken.pop();
            self.free.insert(lane);
        }
        let known = self.free.pop_first();
        let lane = known.unwrap_or(self.count + 1);
        self.count = self.count.max(lane);
        self.taken.push(Reverse((to, lane)));
        (lane, known.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_of_a_lane_do_not_overlap_and_no_lane_is_wasted(mut spans in proptest::collection::vec((0u64..50, 0u64..20), 1..60)) {
            spans.sort_unstable();
            let at = SimTime::from_secs;
            let mut lanes = Lanes::default();
            let mut until = std::collections::BTreeMap::<usize, u64>::new();
            for (from, length) in &spans {
                let (lane, is_new) = lanes.take(at(*from), at(from + length));
                prop_assert_eq!(is_new, !until.contains_key(&lane));
                prop_assert!(until.insert(lane, from + length).is_none_or(|end| end <= *from));
            }
            let busiest = (0..70).map(|now| spans.iter().filter(|(from, length)| *from <= now && now < from + length).count()).max();
            let without_length = spans.iter().filter(|(_, length)| *length == 0).count();
            prop_assert!(until.len() <= busiest.unwrap_or(0) + without_length);
        }
    }
}
