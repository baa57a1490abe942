//! Back-off: how long a container that stopped, or an image that could not be pulled, is held back.
//!
//! Upstream: client-go/util/flowcontrol/backoff.go, used by kuberuntime_manager.go (doBackOff) and image_manager.go.
//! A container's first restart is immediate and makes the entry; from then on a restart is refused until the
//! entry's delay has passed since the container finished, and doubles it.
//!
//! Not here: when the kubelet looks again (`pod`).

use api::{SimDuration, SimTime};

use crate::spec::KubeletSettings;

/// What is remembered of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Backoff {
    delay: SimDuration,
    updated: SimTime,
}

impl Backoff {
    /// Forgotten when what happened at `event` came later than twice the longest delay.
    fn is_forgotten(self, event: SimTime, settings: &KubeletSettings) -> bool {
        event.since(self.updated) > settings.crash_loop_back_off_max.times(2)
    }

    /// Until when what happened at `event` holds back; `None` when nothing is remembered (IsInBackOffSince).
    pub(super) fn holds_until(entry: Option<Self>, event: SimTime, settings: &KubeletSettings) -> Option<SimTime> {
        entry.filter(|entry| !entry.is_forgotten(event, settings)).map(|entry| event + entry.delay)
    }

    /// Until when a failure holds back that is counted from the entry's own time (IsInBackOffSinceUpdate).
    pub(super) fn holds_since_update(entry: Option<Self>, now: SimTime, settings: &KubeletSettings) -> bool {
        entry.is_some_and(|entry| !entry.is_forgotten(now, settings) && now.since(entry.updated) < entry.delay)
    }

    /// The entry once it has been passed at `now` (Next).
    pub(super) fn next(entry: Option<Self>, event: SimTime, now: SimTime, settings: &KubeletSettings) -> Self {
        let delay = match entry.filter(|entry| !entry.is_forgotten(event, settings)) {
            Some(entry) => entry.delay.times(2).min(settings.crash_loop_back_off_max),
            None => settings.crash_loop_back_off_initial,
        };
        Self { delay, updated: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits before restarts of a container that runs for each of `runs` seconds.
    fn waits(runs: &[u64]) -> Vec<u64> {
        let settings = KubeletSettings::default();
        let (mut entry, mut now, mut waits) = (None, SimTime::ZERO, Vec::new());
        for run in runs {
            let finished = now + SimDuration::from_secs(*run);
            let start = Backoff::holds_until(entry, finished, &settings).unwrap_or(finished);
            entry = Some(Backoff::next(entry, finished, start, &settings));
            waits.push(start.since(finished).as_secs());
            now = start;
        }
        waits
    }

    #[test]
    fn the_trap_of_the_first_crash_it_waits_0_and_only_then_10_20_40_80_160_300() {
        assert_eq!(waits(&[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_container_that_ran_for_more_than_ten_minutes_starts_afresh() {
        assert_eq!(waits(&[1, 1, 1, 600, 1]), [0, 10, 20, 40, 80]);
        assert_eq!(waits(&[1, 1, 1, 601, 1]), [0, 10, 20, 0, 10]);
    }

    #[test]
    fn a_failed_pull_is_tried_again_when_its_delay_has_passed() {
        let settings = KubeletSettings::default();
        let at = SimTime::from_secs;
        let first = Some(Backoff::next(None, at(5), at(5), &settings));
        assert!(Backoff::holds_since_update(first, at(14), &settings));
        assert!(!Backoff::holds_since_update(first, at(15), &settings));
        let second = Some(Backoff::next(first, at(15), at(15), &settings));
        assert!(Backoff::holds_since_update(second, at(34), &settings));
        assert!(!Backoff::holds_since_update(second, at(35), &settings));
    }

    #[test]
    fn the_trap_of_one_back_off_crashes_and_pulls_share_their_numbers_and_nothing_else() {
        let settings = KubeletSettings::default();
        let (mut entry, mut now, mut pulls) = (None, SimTime::from_secs(5), Vec::new());
        for _ in 0..8 {
            entry = Some(Backoff::next(entry, now, now, &settings));
            let wait = (0..).find(|wait| !Backoff::holds_since_update(entry, now + SimDuration::from_secs(*wait), &settings));
            pulls.push(wait.expect("it ends"));
            now += SimDuration::from_secs(wait.expect("it ends"));
        }
        assert_eq!(pulls, [10, 20, 40, 80, 160, 300, 300, 300], "a pull waits after its first failure");
        assert_eq!(waits(&[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300], "a container after its second");
        // A container is forgiven for having run, an image for not having been asked for; neither knows of the other.
        assert_eq!(waits(&[1, 1, 601]), [0, 10, 0]);
        let later = now + SimDuration::from_secs(601);
        assert_eq!(Backoff::next(entry, later, later, &settings), Backoff::next(None, later, later, &settings));
    }
}
