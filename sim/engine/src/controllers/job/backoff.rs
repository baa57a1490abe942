//! How long a Job waits before it replaces failed pods.
//!
//! Upstream: pkg/controller/job/backoff_utils.go.
//!
//! Invariant: 10 s after the last failure, doubled by every failure since the last success, at most 10 min.

use api::{ConditionStatus, ContainerState, JobStatus, Pod, SimDuration, SimTime};

const FIRST: SimDuration = SimDuration::from_secs(10);
const MOST: SimDuration = SimDuration::from_secs(600);

/// Failures since the last success, and when the last was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) failures: i32,
    pub(super) last: Option<SimTime>,
}

impl Record {
    /// What is known, and what the pods add that have not been counted.
    pub(super) fn new(status: &JobStatus, succeeded: &[&Pod], failed: &[&Pod]) -> Self {
        let known = Self { failures: status.failures_after_last_success, last: status.last_failure };
        let last_success = succeeded.iter().map(|pod| finished_at(pod)).max();
        let last_failure = failed.iter().map(|pod| finished_at(pod)).max();
        let Some(success) = last_success else {
            return Self { failures: known.failures.saturating_add(failed.len() as i32), last: last_failure.or(known.last) };
        };
        let later: Vec<SimTime> = failed.iter().map(|pod| finished_at(pod)).filter(|time| *time > success).collect();
        Self { failures: later.len() as i32, last: later.into_iter().max() }
    }

    /// How long nothing is made yet.
    pub(super) fn remaining(self, now: SimTime) -> SimDuration {
        self.last.map_or(SimDuration::ZERO, |last| remaining(self.failures, last, now))
    }
}

/// How long nothing is made yet after so many failures in a row, the last of which was at `last`.
pub(super) fn remaining(failures: i32, last: SimTime, now: SimTime) -> SimDuration {
    if failures <= 0 {
        return SimDuration::ZERO;
    }
    let wait = FIRST.times(1 << (failures - 1).min(10)).min(MOST);
    let passed = now.since(last);
    if wait < passed { SimDuration::ZERO } else { wait - passed }
}

/// When a pod ended, in whole seconds as the API server keeps it.
pub(super) fn finished_at(pod: &Pod) -> SimTime {
    let sidecars = pod.spec.init_containers.iter().zip(&pod.status.init_containers).filter(|(spec, _)| spec.is_sidecar);
    let statuses = pod.status.containers.iter().chain(sidecars.map(|(_, status)| status));
    let ends: Option<Vec<SimTime>> = statuses
        .map(|status| match status.state {
            ContainerState::Terminated { finished, .. } => Some(finished),
            _ => None,
        })
        .collect();
    let ready = &pod.status.conditions.ready;
    let unready = (ready.status == ConditionStatus::False && ready.since > SimTime::ZERO).then_some(ready.since);
    let asked = pod.meta.deletion.map(|deadline| deadline - pod.meta.deletion_grace.unwrap_or_default());
    let at = ends.and_then(|ends| ends.into_iter().max()).or(unready).or(asked).unwrap_or(pod.meta.creation);
    SimTime::from_secs(at.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_ends_at_ten_minutes() {
        let last = SimTime::from_secs(100);
        let waits: Vec<u64> = [0, 1, 2, 3, 4, 6, 7, 8, i32::MAX].map(|failures| remaining(failures, last, last).as_secs()).to_vec();
        assert_eq!(waits, [0, 10, 20, 40, 80, 320, 600, 600, 600]);
        assert_eq!(remaining(1, last, SimTime::from_secs(104)).as_secs(), 6);
        assert_eq!(remaining(1, last, SimTime::from_secs(111)), SimDuration::ZERO);
    }
}
