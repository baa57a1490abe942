//! Back-off of node groups that failed to grow.
//!
//! Upstream: utils/backoff/exponential_backoff.go; 5 to 30 minutes, forgotten after three hours.
//!
//! Invariant: a group that fails while it is backed off does not wait longer, only anew.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime};

/// `--initial-node-group-backoff-duration`.
const INITIAL: SimDuration = SimDuration::from_secs(300);
/// `--max-node-group-backoff-duration`.
const LONGEST: SimDuration = SimDuration::from_secs(1800);
/// `--node-group-backoff-reset-timeout`.
const RESET: SimDuration = SimDuration::from_secs(3 * 3600);

#[derive(Clone, Copy, Debug)]
struct Entry {
    duration: SimDuration,
    until: SimTime,
    failed: SimTime,
}

/// Which groups wait, and until when.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    entries: BTreeMap<usize, Entry>,
}

impl Backoff {
    /// A group failed; until when it waits.
    pub(super) fn failed(&mut self, group: usize, now: SimTime) -> SimTime {
        let duration = match self.entries.get(&group) {
            None => INITIAL,
            Some(entry) if entry.until < now => entry.duration.times(2).min(LONGEST),
            Some(entry) => entry.duration,
        };
        let until = now + duration;
        self.entries.insert(group, Entry { duration, until, failed: now });
        until
    }

    /// Whether a group waits now.
    pub(super) fn holds(&self, group: usize, now: SimTime) -> bool {
        self.entries.get(&group).is_some_and(|entry| entry.until >= now)
    }

    /// Forgets failures of long ago.
    pub(super) fn forget(&mut self, now: SimTime) {
        self.entries.retain(|_, entry| entry.failed + RESET >= now);
    }

    /// When the next group may be tried again.
    pub(super) fn next_end(&self, now: SimTime) -> Option<SimTime> {
        let after = |entry: &Entry| entry.until + SimDuration::from_nanos(1);
        self.entries.values().map(after).filter(|end| *end > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_only_when_the_former_is_over_and_is_forgotten_after_three_hours() {
        let mut backoff = Backoff::default();
        // (failure at, waits until), in seconds.
        for (at, until) in [
            (0, 300),
            (100, 400),   // Still waiting: the same five minutes anew.
            (400, 700),   // To the second is still waiting.
            (701, 1301),  // Ten minutes.
            (1400, 2600), // Twenty.
            (2700, 4500), // Thirty at most.
            (5000, 6800),
            (20_000, 20_300), // More than three hours later.
        ] {
            let now = SimTime::from_secs(at);
            backoff.forget(now);
            backoff.failed(0, now);
            let end = SimTime::from_secs(until);
            assert!(backoff.holds(0, end) && !backoff.holds(0, end + SimDuration::from_nanos(1)), "{at}");
            assert_eq!(backoff.next_end(now), Some(end + SimDuration::from_nanos(1)), "{at}");
        }
        assert!(!backoff.holds(1, SimTime::ZERO), "every group for itself");
    }
}
