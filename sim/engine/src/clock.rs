//! The calendar: every event that has been scheduled and has not yet happened.
//!
//! The world pops from here and nowhere else, so the order of this queue *is* the order of the run.
//!
//! Invariants:
//! - Time never goes back: nothing is scheduled before the event popped last.
//! - Equal times are broken by order of scheduling (FIFO). Two runs with one seed pop the same sequence.
//! - Cancelling leaves a tombstone; it never reorders what remains.
//!
//! A key is one integer: time (64 bit), sequence (40 bit), slot (24 bit). That allows 2^40 events in a run
//! and 2^24 pending at once; both limits are asserted. Payloads lie in a slab beside the heap, so sifting
//! moves 16 bytes whatever an event carries. The place of the event popped last stays open until the next
//! one is scheduled, which then sifts down once instead of a removal and an insertion.
//!
//! Not here: what an event means (`world`), and random delays (`random`, drawn before scheduling).

use api::SimTime;

const SLOT_BITS: u32 = 24;
const SEQUENCE_BITS: u32 = 40;
const SLOT_MASK: u128 = (1 << SLOT_BITS) - 1;
/// Children per heap entry; four 16-byte keys share one cache line.
const ARITY: usize = 4;

/// Slots that are kept when nothing is pending.
const KEPT: usize = 1024;

/// A scheduled event, to cancel it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventId {
    slot: u32,
    sequence: u64,
}

struct Slot<E> {
    sequence: u64,
    /// `None`: free, or cancelled while its key is still in the heap.
    event: Option<E>,
}

/// Events ordered by time, then by order of scheduling.
pub struct Calendar<E> {
    heap: Vec<u128>,
    /// The entry at the top was popped; its place is open.
    open: bool,
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    sequence: u64,
    /// Keys in the heap whose event was cancelled.
    tombstones: usize,
    now: SimTime,
}

impl<E> Default for Calendar<E> {
    fn default() -> Self {
        Self { heap: Vec::new(), open: false, slots: Vec::new(), free: Vec::new(), sequence: 0, tombstones: 0, now: SimTime::ZERO }
    }
}

const fn time_of(key: u128) -> SimTime {
    SimTime::from_nanos((key >> (SLOT_BITS + SEQUENCE_BITS)) as u64)
}

impl<E> Calendar<E> {
    /// An empty calendar with room for `capacity` pending events.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { heap: Vec::with_capacity(capacity + 1), slots: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Schedules `event`.
    ///
    /// # Panics
    /// When `at` lies before the event popped last, or a limit of the key is reached.
    pub fn schedule(&mut self, at: SimTime, event: E) -> EventId {
        assert!(at >= self.now, "scheduled at {at}, before now ({})", self.now);
        let sequence = self.sequence;
        assert!(sequence >> SEQUENCE_BITS == 0, "more than 2^40 events in one run");
        self.sequence += 1;
        let filled = Slot { sequence, event: Some(event) };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = filled;
            slot
        } else {
            self.slots.push(filled);
            self.slots.len() as u32 - 1
        };
        assert!(slot >> SLOT_BITS == 0, "more than 2^24 pending events");
        let key = (u128::from(at.as_nanos()) << (SEQUENCE_BITS + SLOT_BITS)) | (u128::from(sequence) << SLOT_BITS) | u128::from(slot);
        if self.open {
            self.open = false;
            self.sift_down(key);
        } else {
            self.heap.push(key);
            self.sift_up(self.heap.len() - 1, key);
        }
        EventId { slot, sequence }
    }

    /// Takes back an event that has not happened; gives it back, or `None` when it has.
    pub fn cancel(&mut self, id: EventId) -> Option<E> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.sequence == id.sequence)?;
        let event = slot.event.take()?;
        self.tombstones += 1;
        Some(event)
    }

    /// Takes back all events of which `is_meant` holds.
    pub fn cancel_all(&mut self, is_meant: impl Fn(&E) -> bool) {
        for slot in &mut self.slots {
            if slot.event.as_ref().is_some_and(&is_meant) {
                slot.event = None;
                self.tombstones += 1;
            }
        }
    }

    /// When the next event happens.
    pub fn peek_time(&mut self) -> Option<SimTime> {
        self.clear_top();
        self.heap.first().map(|key| time_of(*key))
    }

    /// The next event, with its time.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        self.clear_top();
        let key = *self.heap.first()?;
        self.open = true;
        let number = (key & SLOT_MASK) as u32;
        let event = self.slots[number as usize].event.take()?;
        self.free.push(number);
        self.now = time_of(key);
        if self.free.len() > KEPT && self.free.len() * 8 > self.slots.len() * 7 {
            self.trim();
        }
        Some((self.now, event))
    }

    /// Events that are still to happen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len() - usize::from(self.open) - self.tombstones
    }

    /// Whether nothing is to happen any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events scheduled so far.
    #[must_use]
    pub const fn scheduled(&self) -> u64 {
        self.sequence
    }

    /// Gives back room that a burst of events left behind, once the slots at the end are free again.
    fn trim(&mut self) {
        let used = self.slots.iter().rposition(|slot| slot.event.is_some()).map_or(0, |last| last + 1);
        // The key of a tombstone still means its slot.
        if used > self.slots.len() / 2 || self.tombstones > 0 {
            return;
        }
        self.slots.truncate(used);
        self.slots.shrink_to(KEPT);
        self.free.retain(|slot| (*slot as usize) < used);
        self.free.shrink_to(KEPT);
        self.heap.shrink_to(KEPT);
    }

    /// Closes the open place and drops tombstones until a living event is on top.
    fn clear_top(&mut self) {
        if self.open {
            self.remove_top();
        }
        while self.tombstones > 0 {
            let Some(number) = self.heap.first().map(|key| (key & SLOT_MASK) as u32) else { return };
            if self.slots[number as usize].event.is_some() {
                return;
            }
            self.tombstones -= 1;
            self.free.push(number);
            self.remove_top();
        }
    }

    fn remove_top(&mut self) {
        self.open = false;
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sift_down(last);
        }
    }

    fn sift_up(&mut self, mut place: usize, key: u128) {
        while place > 0 {
            let parent = (place - 1) / ARITY;
            let above = self.heap[parent];
            if above <= key {
                break;
            }
            self.heap[place] = above;
            place = parent;
        }
        self.heap[place] = key;
    }

    /// Puts `key` at the top and lets it sink.
    fn sift_down(&mut self, key: u128) {
        let heap = self.heap.as_mut_slice();
        let mut place = 0;
        loop {
            let first = place * ARITY + 1;
            let (child, least) = if let Some(children) = heap.get(first..first + ARITY) {
                least_of_four(first, children)
            } else if let Some(rest) = heap.get(first..)
                && let Some((offset, least)) = rest.iter().enumerate().min_by_key(|(_, key)| **key)
            {
                (first + offset, *least)
            } else {
                break;
            };
            if key <= least {
                break;
            }
            heap[place] = least;
            place = child;
        }
        heap[place] = key;
    }
}

/// As a small tournament: two comparisons that do not wait for each other, then one.
#[inline]
fn least_of_four(first: usize, children: &[u128]) -> (usize, u128) {
    let low = if children[1] < children[0] { (first + 1, children[1]) } else { (first, children[0]) };
    let high = if children[3] < children[2] { (first + 3, children[3]) } else { (first + 2, children[2]) };
    if high.1 < low.1 { high } else { low }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_times_come_out_in_order_of_scheduling() {
        let mut calendar = Calendar::default();
        for event in 0..100 {
            calendar.schedule(SimTime::from_secs(u64::from(event % 2 == 0)), event);
        }
        let order: Vec<u32> = std::iter::from_fn(|| calendar.pop().map(|(_, event)| event)).collect();
        let expected: Vec<u32> = (0..100).filter(|event| event % 2 == 1).chain((0..100).filter(|event| event % 2 == 0)).collect();
        assert_eq!(order, expected);
    }

    #[test]
    #[should_panic(expected = "before now")]
    fn nothing_is_scheduled_in_the_past() {
        let mut calendar = Calendar::default();
        calendar.schedule(SimTime::from_secs(2), ());
        calendar.pop();
        calendar.schedule(SimTime::from_secs(1), ());
    }

    #[test]
    fn an_id_of_an_event_that_happened_cancels_nothing() {
        let mut calendar = Calendar::default();
        let first = calendar.schedule(SimTime::from_secs(1), 'a');
        assert_eq!(calendar.pop(), Some((SimTime::from_secs(1), 'a')));
        let second = calendar.schedule(SimTime::from_secs(1), 'b');
        assert_eq!(calendar.cancel(first), None);
        assert_eq!(calendar.cancel(second), Some('b'));
        assert_eq!(calendar.cancel(second), None);
        assert_eq!((calendar.peek_time(), calendar.len()), (None, 0));
    }

    #[test]
    fn a_burst_gives_its_room_back_and_ids_stay_true() {
        let mut calendar = Calendar::default();
        let keeper = calendar.schedule(SimTime::from_secs(1000), 0);
        let mut late = Vec::new();
        for round in 0..3u64 {
            for event in 1..10_000u64 {
                calendar.schedule(SimTime::from_secs(round * 100 + event % 50), event);
            }
            late.push(calendar.schedule(SimTime::from_secs(900 + round), round));
            let mut last = SimTime::ZERO;
            while calendar.len() > 1 + late.len() {
                let (at, _) = calendar.pop().expect("it is pending");
                assert!(at >= last);
                last = at;
            }
        }
        assert_eq!(calendar.cancel(late[0]), Some(0));
        let rest: Vec<_> = std::iter::from_fn(|| calendar.pop()).collect();
        assert_eq!(rest, [(SimTime::from_secs(901), 1), (SimTime::from_secs(902), 2), (SimTime::from_secs(1000), 0)]);
        assert!(calendar.slots.capacity() <= 2 * KEPT && calendar.cancel(keeper).is_none());
    }

    /// The plain twin.
    #[derive(Default)]
    struct Plain {
        events: BTreeMap<(SimTime, u64), u32>,
        sequence: u64,
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Schedule(u64),
        Pop,
        Peek,
        Cancel(usize),
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let one = prop_oneof![
            5 => (0u64..20).prop_map(Operation::Schedule),
            4 => Just(Operation::Pop),
            1 => Just(Operation::Peek),
            1 => (0usize..400).prop_map(Operation::Cancel),
        ];
        prop::collection::vec(one, 0..400)
    }

    proptest! {
        #[test]
        fn the_calendar_is_an_ordered_map(operations in operations()) {
            let (mut calendar, mut plain) = (Calendar::default(), Plain::default());
            let mut now = SimTime::ZERO;
            let mut ids = Vec::new();
            for operation in operations {
                match operation {
                    Operation::Schedule(delay) => {
                        let at = SimTime::from_nanos(now.as_nanos() + delay);
                        let event = plain.sequence as u32;
                        plain.events.insert((at, plain.sequence), event);
                        ids.push((calendar.schedule(at, event), (at, plain.sequence)));
                        plain.sequence += 1;
                    }
                    Operation::Pop => {
                        let popped = plain.events.pop_first().map(|((at, _), event)| (at, event));
                        prop_assert_eq!(calendar.pop(), popped);
                        now = popped.map_or(now, |(at, _)| at);
                    }
                    Operation::Peek => prop_assert_eq!(calendar.peek_time(), plain.events.keys().next().map(|key| key.0)),
                    Operation::Cancel(which) => {
                        if let Some((id, key)) = ids.get(which) {
                            prop_assert_eq!(calendar.cancel(*id), plain.events.remove(key));
                        }
                    }
                }
                prop_assert_eq!(calendar.len(), plain.events.len());
            }
            while let Some(((at, _), event)) = plain.events.pop_first() {
                prop_assert_eq!(calendar.pop(), Some((at, event)));
            }
            prop_assert!(calendar.pop().is_none());
        }
    }
}
