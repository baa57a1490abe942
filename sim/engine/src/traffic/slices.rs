//! Whom new connections choose among, kept up slice by slice.
//!
//! Ready endpoints, or those that drain when nobody is ready: one list of all slices, in the order of their numbers.
//! A slice that changes replaces its own part of the list; all of it is made anew only when the first endpoint gets
//! ready or the last one no longer is.
//!
//! Not here: hints, `Local` policies and who knows of what (`reach.rs`).

use std::collections::BTreeMap;
use std::ops::Range;

use api::Uid;

use super::EndpointTarget;

/// The endpoints of a Service that somebody may choose.
#[derive(Default)]
pub(super) struct Slices {
    slices: BTreeMap<u32, Slice>,
    /// Ready endpoints of all slices.
    ready: usize,
}

#[derive(Default)]
struct Slice {
    ready: Vec<Uid>,
    draining: Vec<Uid>,
}

impl Slice {
    const fn chosen(&self, any_ready: bool) -> &Vec<Uid> {
        if any_ready { &self.ready } else { &self.draining }
    }
}

impl Slices {
    /// Replaces a slice: which part of the list of those chosen among is another, and what is there instead.
    pub(super) fn replace(&mut self, number: u32, targets: &[EndpointTarget]) -> (Range<usize>, Vec<Uid>) {
        let (any_before, all_before) = (self.ready > 0, self.chosen(..));
        let start = self.chosen(..number);
        let of = |holds: fn(&EndpointTarget) -> bool| targets.iter().filter(|target| holds(target)).map(|target| target.pod).collect();
        let slice = Slice { ready: of(|target| target.ready), draining: of(|target| target.draining) };
        self.ready += slice.ready.len();
        let chosen = slice.chosen(any_before).clone();
        let before = if targets.is_empty() { self.slices.remove(&number) } else { self.slices.insert(number, slice) };
        let before = before.unwrap_or_default();
        self.ready -= before.ready.len();
        let any_ready = self.ready > 0;
        if any_before == any_ready {
            return (start..start + before.chosen(any_before).len(), chosen);
        }
        (0..all_before, self.slices.values().flat_map(|slice| slice.chosen(any_ready)).copied().collect())
    }

    /// How many of some slices are chosen among.
    fn chosen(&self, numbers: impl std::ops::RangeBounds<u32>) -> usize {
        let any_ready = self.ready > 0;
        self.slices.range(numbers).map(|(_, slice)| slice.chosen(any_ready).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_list_is_what_a_look_at_all_endpoints_gives(
            steps in proptest::collection::vec((0u32..4, proptest::collection::vec((any::<bool>(), any::<bool>()), 0..4)), 1..40)
        ) {
            let (mut slices, mut list) = (Slices::default(), Vec::new());
            let mut all: BTreeMap<u32, Vec<EndpointTarget>> = BTreeMap::new();
            for (step, (number, flags)) in steps.into_iter().enumerate() {
                let pods = (0..).map(|place| Uid(step as u64 * 100 + place));
                let target = |(pod, (ready, serves))| EndpointTarget { ready, draining: serves && !ready, ..EndpointTarget::ready(pod) };
                let targets: Vec<EndpointTarget> = pods.zip(flags).map(target).collect();
                let (part, pods) = slices.replace(number, &targets);
                list.splice(part, pods);
                all.insert(number, targets);
                let any_ready = all.values().flatten().any(|target| target.ready);
                let chosen = all.values().flatten().filter(|target| if any_ready { target.ready } else { target.draining });
                prop_assert_eq!(&list, &chosen.map(|target| target.pod).collect::<Vec<_>>());
            }
        }
    }
}
