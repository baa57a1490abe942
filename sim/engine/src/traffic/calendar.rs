//! The traffic engine's own calendar: a four-ary heap of packed 128-bit keys.
//!
//! A key is time (56 bits, 834 days of nanoseconds), sequence (40 bits) and what to do (4 bits of kind,
//! 28 bits of index), so order is one integer comparison and an entry is 16 bytes. Entries are not
//! cancelled: whoever an entry is for remembers the instant it waits for, and ignores any other.

/// What an entry is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// A source's next request.
    Arrival,
    /// A station's earliest running request has had its cpu time.
    CpuDone,
    /// The oldest deadline of a route's ring.
    Deadline,
    /// A call is tried again.
    BackoffOver,
    /// A job's time without cpu is over.
    LatencyOver,
    /// A look at whether a station can still answer probes in time.
    StressCheck,
    /// A probe's deadline.
    Probe,
}

const KINDS: [Kind; 7] =
    [Kind::Arrival, Kind::CpuDone, Kind::Deadline, Kind::BackoffOver, Kind::LatencyOver, Kind::StressCheck, Kind::Probe];

/// Instants from here on never come.
pub(super) const NEVER: u64 = 1 << 56;
const INDEX_BITS: u32 = 28;
const SEQUENCE_BITS: u32 = 40;
const TIME_SHIFT: u32 = SEQUENCE_BITS + 32;

/// Entries in order of (time, sequence).
#[derive(Default)]
pub(super) struct Calendar {
    heap: Vec<u128>,
    sequence: u64,
}

impl Calendar {
    /// Adds an entry, unless its time never comes.
    pub(super) fn push(&mut self, time: u64, kind: Kind, index: u32) {
        debug_assert!(index < 1 << INDEX_BITS && self.sequence < 1 << SEQUENCE_BITS);
        if time >= NEVER {
            return;
        }
        let what = u32::from(kind as u8) << INDEX_BITS | index;
        let key = u128::from(time) << TIME_SHIFT | u128::from(self.sequence) << 32 | u128::from(what);
        self.sequence += 1;
        self.heap.push(key);
        self.sift_up(self.heap.len() - 1);
    }

    /// The time of the first entry.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.heap.first().map(|key| (key >> TIME_SHIFT) as u64)
    }

    /// Takes the first entry.
    pub(super) fn pop(&mut self) -> Option<(u64, Kind, u32)> {
        let last = self.heap.pop()?;
        let key = match self.heap.first_mut() {
            Some(first) => {
                let key = std::mem::replace(first, last);
                self.sift_down();
                key
            }
            None => last,
        };
        let what = key as u32;
        Some(((key >> TIME_SHIFT) as u64, KINDS[(what >> INDEX_BITS) as usize], what & ((1 << INDEX_BITS) - 1)))
    }

    fn sift_up(&mut self, mut at: usize) {
        let key = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.heap[parent] <= key {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = key;
    }

    fn sift_down(&mut self) {
        let key = self.heap[0];
        let mut at = 0;
        loop {
            let first = 4 * at + 1;
            let Some(children) = self.heap.get(first..self.heap.len().min(first + 4)) else { break };
            let Some((child, least)) = children.iter().enumerate().min_by_key(|(_, child)| **child) else { break };
            if *least >= key {
                break;
            }
            self.heap[at] = *least;
            at = first + child;
        }
        self.heap[at] = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_out_by_time_and_then_as_they_went_in(times in proptest::collection::vec(0u64..20, 0..200)) {
            let mut calendar = Calendar::default();
            for (index, time) in times.iter().enumerate() {
                calendar.push(*time, KINDS[index % KINDS.len()], index as u32);
            }
            let mut expected: Vec<_> =
                times.iter().enumerate().map(|(index, time)| (*time, index as u32, KINDS[index % KINDS.len()])).collect();
            expected.sort_by_key(|(time, index, _)| (*time, *index));
            for (time, index, kind) in expected {
                prop_assert_eq!(calendar.next_time(), Some(time));
                prop_assert_eq!(calendar.pop(), Some((time, kind, index)));
            }
            prop_assert_eq!(calendar.pop(), None);
        }
    }

    #[test]
    fn what_never_comes_is_not_kept() {
        let mut calendar = Calendar::default();
        calendar.push(u64::MAX, Kind::Arrival, 0);
        assert_eq!(calendar.next_time(), None);
    }
}
