//! CrashLoopBackOff: how long a container that stopped is held back.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (doBackOff) and client-go/util/flowcontrol/backoff.go.
//! The first restart is immediate and makes the entry; from then on a restart waits until the entry's delay
//! has passed since the container finished, and doubles it.
//!
//! Not modelled: the time until the kubelet's next look at the pod (restarts come on time, not up to some
//! seconds late).

use api::{SimDuration, SimTime};

use crate::spec::KubeletSettings;

/// What is remembered of a container's restarts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Backoff {
    delay: SimDuration,
    updated: SimTime,
}

impl Backoff {
    /// Forgotten when the container ran longer than twice the longest delay.
    fn is_forgotten(self, finished: SimTime, settings: &KubeletSettings) -> bool {
        finished.since(self.updated) > settings.crash_loop_back_off_max.times(2)
    }

    /// Until when a container that `finished` is held back; `None` lets it start again at once.
    pub(super) fn holds_until(entry: Option<Self>, finished: SimTime, settings: &KubeletSettings) -> Option<SimTime> {
        entry.filter(|entry| !entry.is_forgotten(finished, settings)).map(|entry| finished + entry.delay)
    }

    /// The entry once the container is started again at `now`.
    pub(super) fn after_restart(entry: Option<Self>, finished: SimTime, now: SimTime, settings: &KubeletSettings) -> Self {
        let delay = match entry.filter(|entry| !entry.is_forgotten(finished, settings)) {
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
            entry = Some(Backoff::after_restart(entry, finished, start, &settings));
            waits.push(start.since(finished).as_secs());
            now = start;
        }
        waits
    }

    #[test]
    fn a_container_that_fails_at_once_waits_0_10_20_40_80_160_300() {
        assert_eq!(waits(&[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_container_that_ran_for_more_than_ten_minutes_starts_afresh() {
        assert_eq!(waits(&[1, 1, 1, 600, 1]), [0, 10, 20, 40, 80]);
        assert_eq!(waits(&[1, 1, 1, 601, 1]), [0, 10, 20, 0, 10]);
    }
}
