//! Work queues: when which key of which controller is synced.
//!
//! Invariants:
//! - A key waits at most once: adding one that waits anyway changes nothing, or makes it earlier.
//! - A key is never synced while writes of its last sync are still on their way. News that come meanwhile
//!   mark it dirty; it is synced again once they have landed.
//! - Of a controller whose workers wait for their requests no more keys are synced at once than it has workers.
//! - A key whose write was refused is synced again after 5 ms, then 10 ms, 20 ms, … up to 1000 s ([`Retry`] has the
//!   controllers that differ), and later when its controller has tried more than a hundred keys again, and more than
//!   ten a second since; whether or not news wake it earlier.
//! - A wave of writes is sent when all of the wave before has landed; none is sent after a refusal, but for
//!   what the sync wants written otherwise, and its last write.
//!
//! Upstream: client-go/util/workqueue/{queue,delaying_queue,default_rate_limiters}.go. Not modelled: the
//! number of workers of other controllers (five or more, and a sync takes no time here).

use std::collections::{BTreeMap, VecDeque};

use api::{SimDuration, SimTime, Str};
use rustc_hash::FxHashMap;

use crate::clock::{Calendar, EventId};
use crate::effects::{Component, Effects, Finally, Key, Write};
use crate::event::Event;

use super::client::Bucket;

/// How a controller tries again what was refused.
struct Retry {
    /// First wait; doubled each time.
    base: SimDuration,
    /// Longest wait.
    most: SimDuration,
    /// Retries in a row; then the key is left alone until there are news of it.
    limit: u32,
    /// Whether all keys together have a rate, too.
    is_rated: bool,
}

impl Retry {
    /// Upstream: DefaultTypedControllerRateLimiter, and what the constructors of these controllers ask for instead.
    const fn of(component: Component) -> Self {
        let (base, most) = (SimDuration::from_millis(5), SimDuration::from_secs(1000));
        let default = Self { base, most, limit: u32::MAX, is_rated: true };
        match component {
            Component::Job => Self { base: SimDuration::from_secs(1), most: SimDuration::from_secs(60), is_rated: false, ..default },
            Component::EndpointSlice => Self { base: SimDuration::from_secs(1), limit: 15, ..default },
            Component::Deployment => Self { limit: 15, ..default },
            Component::Namespace => Self { most: SimDuration::from_secs(60), ..default },
            _ => default,
        }
    }
}

/// `rate.NewLimiter(rate.Limit(10), 100)` of the same.
const RETRIES_PER_SECOND: f64 = 10.0;
const RETRIES_AT_ONCE: u32 = 100;

/// Upstream: scheduler.UpdateWorkerSize, which the node lifecycle controller has for NoSchedule taints.
const fn workers(component: Component) -> Option<u32> {
    match component {
        Component::NodeLifecycle => Some(8),
        _ => None,
    }
}

/// Writes of one component.
pub(super) type Wave = Vec<(Component, Write)>;

/// What a sync still wants to write, and when its key wants to be synced again.
#[derive(Default)]
pub(super) struct Rest {
    waves: VecDeque<Wave>,
    /// Instead of the last waves, as many as these, when a write before those was refused.
    otherwise: VecDeque<Wave>,
    finally: Option<Box<Finally>>,
    resync: Option<SimTime>,
}

impl Rest {
    /// Leaves the first wave in `out`.
    pub(super) fn take(out: &mut Effects) -> Self {
        let mut waves = VecDeque::new();
        for place in std::mem::take(&mut out.waves).into_iter().rev() {
            let wave = out.writes.split_off(place.min(out.writes.len()));
            if !wave.is_empty() {
                waves.push_front(wave);
            }
        }
        Self { waves, otherwise: std::mem::take(&mut out.otherwise).into(), finally: out.finally.take(), resync: out.resync.take() }
    }
}

#[derive(Default)]
struct Item {
    /// The sync it waits for.
    due: Option<(SimTime, EventId)>,
    /// When it is to be synced again, whether or not news wake it earlier: after a refusal, or a while after news.
    later: Option<SimTime>,
    /// Writes of its last sync that have not been answered.
    in_flight: u32,
    /// What its last sync writes after those.
    rest: Rest,
    /// Why the first of them that was refused was.
    refused: Option<Str>,
    /// The same, once what is written otherwise is on its way.
    failed: Option<Str>,
    /// Something happened since its last sync began.
    dirty: bool,
    /// Refusals in a row.
    failures: u32,
    /// It waits for a worker.
    is_waiting: bool,
}

/// All work queues. Looked up by key only.
#[derive(Default)]
pub(super) struct Queues {
    items: FxHashMap<(Component, Key), Item>,
    /// Workers at work, and keys that wait for one. Looked up by component only.
    at_work: FxHashMap<Component, (u32, VecDeque<Key>)>,
    /// What is left of each controller's rate of retries.
    rates: BTreeMap<Component, Bucket>,
}

impl Queues {
    /// Puts a key into its queue.
    pub(super) fn add(&mut self, component: Component, key: Key, now: SimTime, calendar: &mut Calendar<Event>) {
        let item = self.items.entry((component, key)).or_default();
        if item.in_flight > 0 {
            item.dirty = true;
        } else if !item.is_waiting {
            item.wait_until(now, component, key, calendar);
        }
    }

    /// Puts a key into its queue at a later time, or at the one set before when that is earlier. News meanwhile
    /// lead to a sync of their own.
    pub(super) fn add_after(&mut self, component: Component, key: Key, at: SimTime, calendar: &mut Calendar<Event>) {
        self.items.entry((component, key)).or_default().sync_by(at, component, key, calendar);
    }

    /// A key's time has come. Whether it may be synced now.
    pub(super) fn begin(&mut self, component: Component, key: Key, now: SimTime) -> bool {
        let item = self.items.entry((component, key)).or_default();
        item.due = None;
        item.later = item.later.filter(|at| *at > now);
        if item.in_flight > 0 {
            item.dirty = true;
            return false;
        }
        if item.is_waiting {
            return false;
        }
        if let Some(most) = workers(component) {
            let (busy, waiting) = self.at_work.entry(component).or_default();
            if *busy >= most {
                item.is_waiting = true;
                waiting.push_back(key);
                return false;
            }
            *busy += 1;
        }
        item.dirty = false;
        true
    }

    /// Its sync is done: so many writes are on their way, and there is a rest. What is to be sent next.
    pub(super) fn synced(
        &mut self,
        (component, key): (Component, Key),
        writes: u32,
        rest: Rest,
        now: SimTime,
        calendar: &mut Calendar<Event>,
    ) -> Wave {
        let item = self.items.entry((component, key)).or_default();
        item.in_flight = writes;
        if let Some(at) = rest.resync.into_iter().chain(item.later).min() {
            item.wait_until(at.max(now), component, key, calendar);
        }
        item.rest = rest;
        if writes == 0 { self.go_on(component, key, now, calendar) } else { Wave::new() }
    }

    /// One of its writes has been answered. What is to be sent next.
    pub(super) fn landed(
        &mut self,
        component: Component,
        key: Key,
        refused: Option<Str>,
        now: SimTime,
        calendar: &mut Calendar<Event>,
    ) -> Wave {
        let Some(item) = self.items.get_mut(&(component, key)) else { return Wave::new() };
        item.refused = item.refused.take().or(refused);
        item.in_flight = item.in_flight.saturating_sub(1);
        if item.in_flight > 0 { Wave::new() } else { self.go_on(component, key, now, calendar) }
    }

    /// Nothing is on its way: the next wave, or the end of the sync.
    fn go_on(&mut self, component: Component, key: Key, now: SimTime, calendar: &mut Calendar<Event>) -> Wave {
        let Some(item) = self.items.get_mut(&(component, key)) else { return Wave::new() };
        let next = item.next_wave();
        if !next.is_empty() {
            item.in_flight = next.len() as u32;
            return next;
        }
        let free = workers(component).and_then(|_| self.at_work.get_mut(&component)).and_then(|(busy, waiting)| {
            *busy = busy.saturating_sub(1);
            waiting.pop_front()
        });
        if item.refused.take().or(item.failed.take()).is_some() {
            let retry = Retry::of(component);
            if item.failures < retry.limit {
                let mut at = now + retry.base.times(1 << item.failures.min(20)).min(retry.most);
                if retry.is_rated {
                    let rate = self.rates.entry(component).or_insert_with(|| Bucket::new(RETRIES_PER_SECOND, RETRIES_AT_ONCE));
                    at = at.max(rate.take(now));
                }
                item.failures += 1;
                item.sync_by(at, component, key, calendar);
            } else {
                item.failures = 0;
            }
        } else {
            item.failures = 0;
        }
        if std::mem::take(&mut item.dirty) {
            item.wait_until(now, component, key, calendar);
        }
        if item.due.is_none() && item.failures == 0 {
            self.items.remove(&(component, key));
        }
        if let Some(item) = free.and_then(|key| self.items.get_mut(&(component, key))) {
            item.is_waiting = false;
            item.wait_until(now, component, free.unwrap_or(key), calendar);
        }
        Wave::new()
    }
}

impl Item {
    fn next_wave(&mut self) -> Wave {
        if self.refused.is_some() {
            let is_before = self.rest.waves.len() >= self.rest.otherwise.len();
            let otherwise = std::mem::take(&mut self.rest.otherwise);
            if is_before && !otherwise.is_empty() {
                self.rest.waves = otherwise;
                self.failed = self.refused.take();
            } else {
                self.rest.waves.clear();
            }
        }
        if let Some(wave) = self.rest.waves.pop_front() {
            return wave;
        }
        let Some(finally) = self.rest.finally.take() else { return Wave::new() };
        let write = match self.refused.as_ref().or(self.failed.as_ref()) {
            None => finally.landed,
            Some(why) => finally.refused.map(|mut write| {
                write.learn(why);
                write
            }),
        };
        write.into_iter().map(|write| (finally.by, write)).collect()
    }
    /// At this time in any case; news that wake it earlier do not change that.
    fn sync_by(&mut self, at: SimTime, component: Component, key: Key, calendar: &mut Calendar<Event>) {
        self.later = Some(self.later.map_or(at, |known| known.min(at)));
        self.wait_until(at, component, key, calendar);
    }
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
        assert!(queues.begin(WHO.0, WHO.1, SimTime::ZERO));
        queues.synced(WHO, 2, Rest::default(), SimTime::ZERO, &mut calendar);
        queues.add(WHO.0, WHO.1, SimTime::from_millis(1), &mut calendar);
        queues.landed(WHO.0, WHO.1, None, SimTime::from_millis(5), &mut calendar);
        assert_eq!(calendar.len(), 0);
        queues.landed(WHO.0, WHO.1, None, SimTime::from_millis(6), &mut calendar);
        assert_eq!(due(&mut calendar), [6]);
    }

    #[test]
    fn refused_writes_are_retried_ever_more_slowly() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        let mut now = SimTime::ZERO;
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert!(queues.begin(WHO.0, WHO.1, now));
            queues.synced(WHO, 1, Rest::default(), now, &mut calendar);
            queues.landed(WHO.0, WHO.1, Some("no".into()), now, &mut calendar);
            let due = calendar.pop().map_or(now, |(at, _)| at);
            waits.push(due.since(now).as_millis());
            now = due;
        }
        assert_eq!(waits, [5, 10, 20, 40]);
    }

    /// How long a key waits after each of so many refusals in a row; it ends when the key is left alone.
    fn waits(component: Component, refusals: usize) -> Vec<u64> {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        let mut now = SimTime::ZERO;
        let once = |_| {
            assert!(queues.begin(component, WHO.1, now));
            queues.synced((component, WHO.1), 1, Rest::default(), now, &mut calendar);
            queues.landed(component, WHO.1, Some("no".into()), now, &mut calendar);
            let (due, _) = calendar.pop()?;
            let wait = due.since(now).as_millis();
            now = due;
            Some(wait)
        };
        (0..refusals).map_while(once).collect()
    }

    #[test]
    fn controllers_try_again_as_their_constructors_say() {
        assert_eq!(waits(Component::ReplicaSet, 20)[16..], [327_680, 655_360, 1_000_000, 1_000_000]);
        assert_eq!(waits(Component::Job, 8), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(waits(Component::Namespace, 16)[13..], [40_960, 60_000, 60_000]);
        assert_eq!(waits(Component::EndpointSlice, 99)[..4], [1000, 2000, 4000, 8000]);
        for component in [Component::EndpointSlice, Component::Deployment] {
            assert_eq!(waits(component, 99).len(), 15, "{component:?} leaves it alone then");
        }
    }

    #[test]
    fn a_controller_tries_a_hundred_keys_again_at_once_and_then_ten_per_second() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        let now = SimTime::ZERO;
        for number in 0..103 {
            let key = Key(number);
            assert!(queues.begin(WHO.0, key, now));
            queues.synced((WHO.0, key), 1, Rest::default(), now, &mut calendar);
            queues.landed(WHO.0, key, Some("no".into()), now, &mut calendar);
        }
        assert_eq!(due(&mut calendar)[99..], [5, 100, 200, 300]);
    }

    #[test]
    fn waves_follow_each_other_and_stop_at_a_refusal() {
        let write = || (WHO.0, Write::RemovePod(crate::store::PodId::new(0)));
        let rest = || {
            let mut out = Effects::default();
            for wave in [1, 2, 4] {
                (0..wave).for_each(|_| out.writes.push(write()));
                out.then();
            }
            out.finally(WHO.0, None, Some(write().1));
            (Rest::take(&mut out), out.writes.len())
        };
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        let now = SimTime::ZERO;
        let (plan, first) = rest();
        assert!(queues.begin(WHO.0, WHO.1, now) && first == 1);
        assert!(queues.synced(WHO, 1, plan, now, &mut calendar).is_empty());
        let mut answer = |accepted: bool| queues.landed(WHO.0, WHO.1, (!accepted).then(|| "no".into()), now, &mut calendar).len();
        assert_eq!(answer(true), 2, "the second wave");
        assert_eq!((answer(true), answer(false)), (0, 1), "after a refusal only the last write");
        assert_eq!(answer(true), 0);
        assert_eq!(due(&mut calendar), [5], "and a retry");
    }

    #[test]
    fn a_sync_that_was_refused_a_wave_goes_on_with_what_it_wants_otherwise() {
        let write = || (WHO.0, Write::RemovePod(crate::store::PodId::new(0)));
        let plan = || {
            let mut out = Effects::default();
            for wave in [1, 2, 3] {
                out.then();
                (0..wave).for_each(|_| out.writes.push(write()));
            }
            out.otherwise = vec![vec![write(); 5], vec![write(); 7]];
            Rest::take(&mut out)
        };
        let now = SimTime::ZERO;
        for (answers, sent) in [(vec![true], vec![1, 2]), (vec![false], vec![1, 5]), (vec![true, true, false], vec![1, 2, 0])] {
            let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
            assert!(queues.begin(WHO.0, WHO.1, now));
            let mut waves = vec![queues.synced(WHO, 0, plan(), now, &mut calendar).len()];
            for answer in answers {
                let refused = (!answer).then(|| Str::from("no"));
                let is_last = queues.items[&WHO].in_flight == 1;
                let next = queues.landed(WHO.0, WHO.1, refused, now, &mut calendar).len();
                if is_last {
                    waves.push(next);
                }
            }
            assert_eq!(waves, sent);
        }
    }

    #[test]
    fn a_key_added_for_later_is_synced_then_even_if_news_come_first() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        queues.add_after(WHO.0, WHO.1, SimTime::from_secs(6), &mut calendar);
        queues.add_after(WHO.0, WHO.1, SimTime::from_secs(9), &mut calendar);
        queues.add(WHO.0, WHO.1, SimTime::from_secs(2), &mut calendar);
        assert_eq!(calendar.pop().map(|(at, _)| at), Some(SimTime::from_secs(2)));
        assert!(queues.begin(WHO.0, WHO.1, SimTime::from_secs(2)));
        queues.synced(WHO, 0, Rest::default(), SimTime::from_secs(2), &mut calendar);
        assert_eq!(due(&mut calendar), [6000]);
    }

    #[test]
    fn an_earlier_time_replaces_a_later_one() {
        let (mut queues, mut calendar) = (Queues::default(), Calendar::default());
        assert!(queues.begin(WHO.0, WHO.1, SimTime::ZERO));
        queues.synced(WHO, 0, Rest { resync: Some(SimTime::from_secs(30)), ..Rest::default() }, SimTime::ZERO, &mut calendar);
        queues.add(WHO.0, WHO.1, SimTime::from_secs(2), &mut calendar);
        assert_eq!(due(&mut calendar), [2000]);
    }
}
