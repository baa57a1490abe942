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
    /// A user has thought.
    UserReady,
    /// A station's cpu quota may be used up, or comes anew.
    Quota,
    /// A station's memory may have reached its limit.
    Memory,
}

const KINDS: [Kind; 10] = [
    Kind::Arrival,
    Kind::CpuDone,
    Kind::Deadline,
    Kind::BackoffOver,
    Kind::LatencyOver,
    Kind::StressCheck,
    Kind::Probe,
    Kind::UserReady,
    Kind::Quota,
    Kind::Memory,
];

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
    /// The root was taken and nothing has come in its place yet: most events push one entry, which goes
    /// there in one pass instead of the two of a pop and a push.
    vacant: bool,
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
        if std::mem::take(&mut self.vacant) {
            self.sift_down(key);
        } else {
            self.heap.push(key);
            self.sift_up(key);
        }
    }

    /// The time of the first entry.
    pub(super) fn next_time(&mut self) -> Option<u64> {
        self.fill();
        self.heap.first().map(|key| (key >> TIME_SHIFT) as u64)
    }

    /// Takes the first entry.
    pub(super) fn pop(&mut self) -> Option<(u64, Kind, u32)> {
        self.fill();
        let key = *self.heap.first()?;
        self.vacant = true;
        let what = key as u32;
        Some(((key >> TIME_SHIFT) as u64, KINDS[(what >> INDEX_BITS) as usize], what & ((1 << INDEX_BITS) - 1)))
    }

    /// Puts the last entry in the place of a root that was taken.
    fn fill(&mut self) {
        if std::mem::take(&mut self.vacant)
            && let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sift_down(last);
        }
    }

    fn sift_up(&mut self, key: u128) {
        let mut at = self.heap.len() - 1;
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

    fn sift_down(&mut self, key: u128) {
        let heap = &mut self.heap[..];
        let mut at = 0;
        loop {
            let first = 4 * at + 1;
            let child = match heap.get(first..first + 4) {
                // A tournament without branches: which child is least cannot be predicted.
                Some(&[a, b, c, d]) => {
                    let (left, right) = (usize::from(b < a), usize::from(d < c));
                    let (low, high) = (if b < a { b } else { a }, if d < c { d } else { c });
                    first + if high < low { 2 + right } else { left }
                }
                _ => match (first..heap.len()).min_by_key(|child| heap[*child]) {
                    Some(child) => child,
                    None => break,
                },
            };
            if heap[child] >= key {
                break;
            }
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pushes_and_pops_in_any_order_agree_with_a_sorted_list(steps in proptest::collection::vec(proptest::option::of(0u64..50), 0..300)) {
            let mut calendar = Calendar::default();
            let mut list: Vec<(u64, u32)> = Vec::new();
            for (index, step) in steps.into_iter().enumerate() {
                if let Some(time) = step {
                    calendar.push(time, Kind::Arrival, index as u32);
                    list.push((time, index as u32));
                } else {
                    let first = list.iter().enumerate().min_by_key(|(_, entry)| **entry).map(|(place, _)| place);
                    let expected = first.map(|place| list.remove(place));
                    prop_assert_eq!(calendar.pop().map(|(time, _, index)| (time, index)), expected);
                }
            }
        }

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
