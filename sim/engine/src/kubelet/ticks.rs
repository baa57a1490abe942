//! The two one-second clocks of a kubelet: the PLEG's lists and the sync loop's look into the work queue.
//!
//! Upstream: pkg/kubelet/pleg/generic.go (relistPeriod) and kubelet.go (syncTicker). Each kubelet has phases of its own.
//!
//! Not here: lists of single pods on demand, which a sync asks for that did something (`pod`).

use api::{SimDuration, SimTime, Str};

use crate::random::{Purpose, Streams, entity};

const PERIOD: SimDuration = SimDuration::from_secs(1);
const TICK: SimDuration = SimDuration::from_nanos(1);

/// The clocks of one kubelet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticks {
    relist: SimTime,
    sync: SimTime,
}

impl Ticks {
    /// Of a kubelet that started long ago.
    pub(super) fn of_old(node: &Str, streams: &Streams) -> Self {
        let mut stream = streams.stream(Purpose::KubeletPhases, entity(node));
        let mut phase = || SimTime::from_nanos(stream.below(PERIOD.as_nanos()));
        Self { relist: phase(), sync: phase() }
    }

    /// With these phases.
    #[cfg(test)]
    pub(super) const fn at(relist: SimTime, sync: SimTime) -> Self {
        Self { relist, sync }
    }

    /// Of a kubelet that starts now.
    pub(super) fn of_new(node: &Str, streams: &Streams, now: SimTime) -> Self {
        let old = Self::of_old(node, streams);
        Self { relist: now, sync: now + old.sync.since(SimTime::ZERO) }
    }

    /// The PLEG's first list after `at`.
    pub(super) const fn relist_after(self, at: SimTime) -> SimTime {
        SimTime::from_nanos(at.as_nanos().saturating_add(TICK.as_nanos())).next_on_grid(self.relist, PERIOD)
    }

    /// The sync loop's first look into the work queue from `at` on.
    pub(super) const fn sync_at(self, at: SimTime) -> SimTime {
        at.next_on_grid(self.sync, PERIOD)
    }
}
