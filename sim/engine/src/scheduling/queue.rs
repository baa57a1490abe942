//! The scheduling queue: activeQ, backoffQ and unschedulablePods.
//!
//! Upstream: pkg/scheduler/backend/queue/{scheduling_queue,active_queue,backoff_queue}.go.
//!
//! Invariants:
//! - A pod is in one place only. Moving between places does not change its timestamp.
//! - activeQ is ordered by priority (descending), then timestamp, then arrival.
//! - A back-off ends at a whole second: floor(timestamp + duration); the pod leaves with the first tick
//!   of a later second, so it waits floor(t + d) + 1 − t. An empty activeQ takes from backoffQ early
//!   (SchedulerPopFromBackoffQ), but never a pod that failed by error.
//!
//! Not here: gates, hints, the pod in its cycle and what a scheduler decides (`mod.rs`, `cycle.rs`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use api::{SimDuration, SimTime, Str};
use port::PodInfo;

use crate::spec::SchedulerSettings;
use crate::store::PodId;

const SECOND: SimDuration = SimDuration::from_secs(1);

/// A pod that waits for a node.
#[derive(Clone, Debug)]
pub(crate) struct QueuedPod {
    pub(crate) id: PodId,
    pub(crate) info: PodInfo,
    /// Attempts so far.
    pub(crate) attempts: u32,
    /// Plugins that turned it down at the last attempt, or held it back since.
    pub(crate) rejected_by: Vec<Str>,
    /// The plugin that holds it back (PreEnqueue).
    pub(crate) gate: Option<Str>,
    /// Reason and message of its PodScheduled condition, as last said.
    pub(crate) said: Option<(&'static str, Str)>,
    /// Its resourceVersion, as far as the scheduler has heard.
    version: u64,
    /// The version and time at which its last FailedScheduling Event was counted.
    last_event: Option<(u64, SimTime)>,
    /// Arrival in the queue, or the end of the last failed attempt.
    timestamp: SimTime,
    /// Order of arrival.
    sequence: u64,
    unschedulable_count: u32,
    consecutive_errors: u32,
    /// The end of its back-off when it went into backoffQ.
    backoff_end: SimTime,
}

/// Where a pod waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Active,
    Backoff,
    ErrorBackoff,
    Unschedulable,
}

type ActiveKey = (Reverse<i32>, SimTime, u64, PodId);
type BackoffKey = (SimTime, ActiveKey);

/// How many pods wait where.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Depth {
    pub(crate) active: u32,
    pub(crate) backoff: u32,
    pub(crate) unschedulable: u32,
    pub(crate) gated: u32,
}

/// The three places.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pods: BTreeMap<PodId, (Place, QueuedPod)>,
    active: BTreeSet<ActiveKey>,
    backoff: BTreeSet<BackoffKey>,
    error_backoff: BTreeSet<BackoffKey>,
    unschedulable: BTreeSet<PodId>,
    gated: u32,
    arrivals: u64,
}

impl QueuedPod {
    /// Counts a FailedScheduling Event. Whether it only adds to the series of one that is there: Events are
    /// one when they are about the same version of the pod, and none is forgotten in between.
    ///
    /// Upstream: client-go/tools/events/event_broadcaster.go (getKey, finishSeries).
    pub(crate) fn repeats_event(&mut self, now: SimTime) -> bool {
        /// How long the recorder remembers, and how often it looks.
        const FINISH_TIME: SimDuration = SimDuration::from_secs(360);
        let last_check = SimTime::from_secs(now.as_secs() / FINISH_TIME.as_secs() * FINISH_TIME.as_secs());
        let repeats = self.last_event.is_some_and(|(version, at)| version == self.version && at + FINISH_TIME >= last_check);
        self.last_event = Some((self.version, now));
        repeats
    }

    /// What the scheduler has just heard of the pod; what it was before.
    pub(crate) fn heard(&mut self, info: PodInfo, version: u64) -> PodInfo {
        self.version = version;
        std::mem::replace(&mut self.info, info)
    }

    fn active_key(&self) -> ActiveKey {
        (Reverse(self.info.spec.priority), self.timestamp, self.sequence, self.id)
    }

    fn backoff_key(&self) -> BackoffKey {
        (self.backoff_end, self.active_key())
    }

    /// When its back-off ends: a whole second, or never if it needs none.
    fn backoff_ends(&self, settings: &SchedulerSettings) -> Option<SimTime> {
        let count = if self.consecutive_errors > 0 { self.consecutive_errors } else { self.unschedulable_count };
        if count == 0 || settings.pod_max_backoff.is_zero() {
            return None;
        }
        let doubled = settings.pod_initial_backoff.times(1u64.checked_shl(count - 1).unwrap_or(u64::MAX));
        Some(whole_second(self.timestamp + doubled.min(settings.pod_max_backoff)))
    }

    fn is_backing_off(&self, settings: &SchedulerSettings, now: SimTime) -> bool {
        self.backoff_ends(settings).is_some_and(|ends| ends >= whole_second(now))
    }
}

const fn whole_second(time: SimTime) -> SimTime {
    SimTime::from_secs(time.as_secs())
}

impl Queue {
    /// A pod new to the queue; it still has to be put somewhere.
    pub(crate) fn arrive(&mut self, id: PodId, info: PodInfo, version: u64, now: SimTime) -> QueuedPod {
        self.arrivals += 1;
        QueuedPod {
            id,
            info,
            attempts: 0,
            rejected_by: Vec::new(),
            gate: None,
            said: None,
            version,
            last_event: None,
            timestamp: now,
            sequence: self.arrivals,
            unschedulable_count: 0,
            consecutive_errors: 0,
            backoff_end: SimTime::ZERO,
        }
    }

    /// Puts a pod into activeQ, or into backoffQ if its back-off is not over.
    pub(crate) fn put(&mut self, pod: QueuedPod, settings: &SchedulerSettings, now: SimTime) {
        if pod.is_backing_off(settings, now) {
            self.put_backoff(pod, settings);
        } else {
            self.active.insert(pod.active_key());
            self.pods.insert(pod.id, (Place::Active, pod));
        }
    }

    /// Puts a pod aside until an event, or time, brings it back.
    pub(crate) fn put_unschedulable(&mut self, pod: QueuedPod) {
        self.gated += u32::from(pod.gate.is_some());
        self.unschedulable.insert(pod.id);
        self.pods.insert(pod.id, (Place::Unschedulable, pod));
    }

    fn put_backoff(&mut self, mut pod: QueuedPod, settings: &SchedulerSettings) {
        pod.backoff_end = pod.backoff_ends(settings).unwrap_or_default();
        let key = pod.backoff_key();
        let place = if pod.rejected_by.is_empty() { Place::ErrorBackoff } else { Place::Backoff };
        let heap = if place == Place::Backoff { &mut self.backoff } else { &mut self.error_backoff };
        heap.insert(key);
        self.pods.insert(pod.id, (place, pod));
    }

    /// Notes an attempt that found no node. The pod then belongs where a hint or nothing sends it.
    pub(crate) fn rejected(pod: &mut QueuedPod, rejected_by: Vec<Str>, now: SimTime) {
        pod.unschedulable_count += 1;
        pod.consecutive_errors = 0;
        pod.rejected_by = rejected_by;
        pod.timestamp = now;
    }

    /// Notes an attempt that failed by itself.
    pub(crate) fn failed(pod: &mut QueuedPod, now: SimTime) {
        pod.consecutive_errors += 1;
        pod.rejected_by.clear();
        pod.timestamp = now;
    }

    /// The next pod to look at, now in nobody's hands but the caller's.
    pub(crate) fn pop(&mut self) -> Option<QueuedPod> {
        let id = match self.active.first() {
            Some(key) => key.3,
            None => self.backoff.first()?.1.3,
        };
        let mut pod = self.remove(id)?;
        pod.attempts += 1;
        Some(pod)
    }

    /// Whether there is a pod to look at.
    pub(crate) fn has_next(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// Takes a pod out, wherever it waits.
    pub(crate) fn remove(&mut self, id: PodId) -> Option<QueuedPod> {
        let (place, pod) = self.pods.remove(&id)?;
        match place {
            Place::Active => {
                self.active.remove(&pod.active_key());
            }
            Place::Backoff => {
                self.backoff.remove(&pod.backoff_key());
            }
            Place::ErrorBackoff => {
                self.error_backoff.remove(&pod.backoff_key());
            }
            Place::Unschedulable => {
                self.unschedulable.remove(&id);
                self.gated -= u32::from(pod.gate.is_some());
            }
        }
        Some(pod)
    }

    /// Where a pod waits, and what it is.
    pub(crate) fn get(&self, id: PodId) -> Option<(Place, &QueuedPod)> {
        self.pods.get(&id).map(|(place, pod)| (*place, pod))
    }

    /// Notes what is new of a waiting pod; what it was. Its place and order stay.
    pub(crate) fn heard(&mut self, id: PodId, info: PodInfo, version: u64) -> Option<PodInfo> {
        Some(self.pods.get_mut(&id)?.1.heard(info, version))
    }

    /// Pods put aside, in order of creation.
    pub(crate) fn unschedulable(&self) -> impl Iterator<Item = &QueuedPod> {
        self.unschedulable.iter().filter_map(|id| self.pods.get(id)).map(|(_, pod)| pod)
    }

    /// Moves every pod whose back-off is over to activeQ.
    pub(crate) fn flush_backoff(&mut self, now: SimTime) {
        for error in [false, true] {
            loop {
                let heap = if error { &mut self.error_backoff } else { &mut self.backoff };
                let Some((_, key)) = heap.pop_first_if(|(ends, _)| *ends < whole_second(now)) else { break };
                if let Some((place, pod)) = self.pods.get_mut(&key.3) {
                    *place = Place::Active;
                    self.active.insert(pod.active_key());
                }
            }
        }
    }

    /// The first whole second at which a back-off is over.
    pub(crate) fn next_backoff_flush(&self) -> Option<SimTime> {
        let first = |heap: &BTreeSet<BackoffKey>| heap.first().map(|(ends, _)| *ends + SECOND);
        first(&self.backoff).into_iter().chain(first(&self.error_backoff)).min()
    }

    /// Ungated pods that were put aside longer ago than the limit.
    pub(crate) fn leftovers(&self, settings: &SchedulerSettings, now: SimTime) -> Vec<PodId> {
        let old = |pod: &&QueuedPod| pod.gate.is_none() && now.since(pod.timestamp) > settings.pod_max_in_unschedulable;
        self.unschedulable().filter(old).map(|pod| pod.id).collect()
    }

    /// The first check at which a pod now put aside counts as left over.
    pub(crate) fn next_leftover(&self, settings: &SchedulerSettings) -> Option<SimTime> {
        let oldest = self.unschedulable().filter(|pod| pod.gate.is_none()).map(|pod| pod.timestamp).min()?;
        Some(Self::leftover_check(oldest, settings))
    }

    /// The first check at which a pod put aside at `timestamp` counts as left over.
    pub(crate) fn leftover_check(timestamp: SimTime, settings: &SchedulerSettings) -> SimTime {
        /// Upstream: flushUnschedulablePodsLeftover runs every 30 s from the scheduler's start.
        const CHECK_PERIOD: SimDuration = SimDuration::from_secs(30);
        let later_than = timestamp + settings.pod_max_in_unschedulable + SimDuration::from_nanos(1);
        later_than.next_on_grid(SimTime::ZERO, CHECK_PERIOD)
    }

    /// How many pods wait where.
    pub(crate) fn depth(&self) -> Depth {
        Depth {
            active: self.active.len() as u32,
            backoff: (self.backoff.len() + self.error_backoff.len()) as u32,
            unschedulable: self.unschedulable.len() as u32 - self.gated,
            gated: self.gated,
        }
    }
}

/// `BTreeSet::pop_first` with a condition.
trait PopFirstIf<T> {
    fn pop_first_if(&mut self, holds: impl FnOnce(&T) -> bool) -> Option<T>;
}

impl<T: Ord> PopFirstIf<T> for BTreeSet<T> {
    fn pop_first_if(&mut self, holds: impl FnOnce(&T) -> bool) -> Option<T> {
        if holds(self.first()?) { self.pop_first() } else { None }
    }
}
