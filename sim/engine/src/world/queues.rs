//! Work queues: when which key of which controller is synced.
//!
//! Invariants:
//! - A key waits at most once: adding one that waits anyway changes nothing, or makes it earlier.
//! - A key is never synced while writes of its last sync are still on their way. News that come meanwhile
//!   mark it dirty; it is synced again once they have landed.
//! - A key whose write was refused is synced again after 5 ms, then 10 ms, 20 ms, … up to 1000 s (Jobs: 1 s up to 1 min).
//!
//! Upstream: client-go/util/workqueue/{queue,delaying_queue,default_rate_limiters}.go. Not modelled: the
//! number of workers (each controller has five or more, and a sync takes no time here), the global limit
//! of 10 retries per second.

use api::{SimDuration, SimTime};
use rustc_hash::FxHashMap;

use crate::clock::{Calendar, EventId};
use crate::effects::{Component, Key};
use crate::event::Event;

const RETRY_BASE: SimDuration = SimDuration::from_millis(5);
const RETRY_MAX: SimDuration = SimDuration::from_secs(1000);

/// First and longest wait after a refusal. Upstream: DefaultJobApiBackOff and MaxJobApiBackOff of the Job controller.
const fn retry(component: Component) -> (SimDuration, SimDuration) {
    match component {
        Component::Job => (SimDuration::from_secs(1), SimDuration::from_secs(60)),
        _ => (RETRY_BASE, RETRY_MAX),
    }
}

#[derive(Default)]
struct Item {
    /// The sync it waits for.
    due: Option<(SimTime, EventId)>,
    /// Writes of its last sync that have not landed.
    in_flight: u32,
    /// One of them was refused.
    refused: bool,
    /// Something happened since its last sync began.
    dirty: bool,
    /// Refusals in a row.
    failures: u32,
}

/// All work queues. Looked up by key only.
#[derive(Default)]
pub(super) struct Queues {
    items: FxHashMap<(Component, Key), Item>,
}

impl Queues {
    /// Puts a key into its queue.
    pub(super) fn add(&mut self, component: Component, key: Key, now: SimTime, calendar: &mut Calendar<Event>) {
        let item = self.items.entry((component, key)).or_default();
        if item.in_flight > 0 {
            item.dirty = true;
        } else {
            item.wait_until(now, component, key, calendar);
        }
    }

    /// Puts a key into its queue at a later time; whichever time was set before and is earlier holds.
    pub(super) fn add_after(&mut self, component: Component, key: Key, at: SimTime, calendar: &mut Calendar<Event>) {
        self.items.entry((component, key)).or_default().wait_until(at, component, key, calendar);
    }

    /// One more write of its last sync is on its way.
    pub(super) fn sent(&mut self, component: Component, key: Key) {
        self.items.entry((component, key)).or_default().in_flight += 1;
    }

    /// A key's time has come. Whether it may be synced now.
    pub(super) fn begin(&mut self, component: Component, key: Key) -> bool {
        let item = self.items.entry((component, key)).or_default();
        item.due = None;
        if item.in_flight > 0 {
            item.dirty = true;
            return false;
        }
        item.dirty = false;
        true
    }

    /// Its sync is done: so many writes are on their way, and it wants to be synced again at `resync`.
    pub(super) fn synced(
        &mut self,
        (component, key): (Component, Key),
        writes: u32,
        resync: Option<SimTime>,
        now: SimTime,
        calendar: &mut Calendar<Event>,
    ) {
        let item = self.items.entry((component, key)).or_default();
        item.in_flight = writes;
        if let Some(at) = resync {
            item.wait_until(at.max(now), component, key, calendar);
        }
        if writes == 0 {
            item.failures = 0;
            if item.due.is_none() {
                self.items.remove(&(component, key));
            }
        }
    }

    /// One of its writes has landed, or was refused.
    pub(super) fn landed(&mut self, component: Component, key: Key, accepted: bool, now: SimTime, calendar: &mut Calendar<Event>) {
        let Some(item) = self.items.get_mut(&(component, key)) else { return };
        item.refused |= !accepted;
        item.in_flight = item.in_flight.saturating_sub(1);
        if item.in_flight > 0 {
            return;
        }
        if std::mem::take(&mut item.refused) {
            let (base, most) = retry(component);
            let wait = base.times(1 << item.failures.min(20)).min(most);
            item.failures += 1;
            item.dirty = false;
            item.wait_until(now + wait, component, key, calendar);
        } else {
            item.failures = 0;
            if std::mem::take(&mut item.dirty) {
                item.wait_until(now, component, key, calendar);
            } else if item.due.is_none() {
                self.items.remove(&(component, key));
            }
        }
    }
}

impl Item {
    fn wait_until(&mut self, at: SimTime, component: Component, key: Key, calendar: &mut Calendar<Event>) {
        match self.due {
            Some((due, _)) if due <= at => return,
            Some((_, later)) => drop(calendar.cancel(later)),
            None => {}
        }
        self.due = Some((at, calendar.schedule(at, Event::Sync(component, key))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: (Component, Key) = (Component::ReplicaSet, Key(7));

    fn due(calendar: &mut Calendar<Event>) -> Vec<u64> {
        std::iter::from_fn(|| calendar.pop().map(|(at, _)| at.since(SimTime::ZERO).as_millis())).collect()
    }

    #[test]
    fn a_key_that_waits_is_not_added_twice() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        for _ in 0..3 {
            queues.add(WHO.0, WHO.1, SimTime::ZERO, &mut calendar);
        }
        assert_eq!(due(&mut calendar), [0]);
    }

    #[test]
    fn news_during_processing_lead_to_one_more_sync_after_the_writes_have_landed() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        assert!(queues.begin(WHO.0, WHO.1));
        queues.synced(WHO, 2, None, SimTime::ZERO, &mut calendar);
        queues.add(WHO.0, WHO.1, SimTime::from_millis(1), &mut calendar);
        queues.landed(WHO.0, WHO.1, true, SimTime::from_millis(5), &mut calendar);
        assert_eq!(calendar.len(), 0);
        queues.landed(WHO.0, WHO.1, true, SimTime::from_millis(6), &mut calendar);
        assert_eq!(due(&mut calendar), [6]);
    }

    #[test]
    fn refused_writes_are_retried_ever_more_slowly() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        let mut now = SimTime::ZERO;
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert!(queues.begin(WHO.0, WHO.1));
            queues.synced(WHO, 1, None, now, &mut calendar);
            queues.landed(WHO.0, WHO.1, false, now, &mut calendar);
            let due = calendar.pop().map_or(now, |(at, _)| at);
            waits.push(due.since(now).as_millis());
            now = due;
        }
        assert_eq!(waits, [5, 10, 20, 40]);
    }

    #[test]
    fn an_earlier_time_replaces_a_later_one() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        assert!(queues.begin(WHO.0, WHO.1));
        queues.synced(WHO, 0, Some(SimTime::from_secs(30)), SimTime::ZERO, &mut calendar);
        queues.add(WHO.0, WHO.1, SimTime::from_secs(2), &mut calendar);
        assert_eq!(due(&mut calendar), [2000]);
    }
}
