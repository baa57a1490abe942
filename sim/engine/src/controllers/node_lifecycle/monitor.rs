//! The monitor's ticks in closed form, and a pass over the nodes with its workers.
//!
//! Upstream: monitorNodeHealth, run by wait.UntilWithContext: the next tick is a period after the end of the pass
//! before, and a pass takes as long as its own requests.

use std::collections::VecDeque;

use api::{SimDuration, SimTime};
use trace::Record;

use crate::effects::Write;
use crate::store::NodeId;

/// When the monitor looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticks {
    /// The last pass that took time began here.
    began: SimTime,
    /// The tick after it; further ones follow a period apart.
    next: SimTime,
    period: SimDuration,
}

impl Ticks {
    pub(super) const fn new(phase: SimTime, period: SimDuration) -> Self {
        Self { began: phase, next: phase, period }
    }

    /// A pass has come to its end.
    pub(super) fn passed(&mut self, began: SimTime, ended: SimTime) {
        (self.began, self.next) = (began, ended + self.period);
    }

    /// The first tick that is not before `time`.
    pub(super) fn from(&self, time: SimTime) -> SimTime {
        if time <= self.began {
            let back = self.began.since(time).as_nanos() / self.period.as_nanos();
            self.began - self.period.times(back)
        } else {
            time.next_on_grid(self.next, self.period)
        }
    }

    pub(super) fn after(&self, time: SimTime) -> SimTime {
        self.from(time + SimDuration::from_nanos(1))
    }
}

/// Upstream: scheduler.UpdateWorkerSize.
pub(super) const WORKERS: usize = 8;

/// A pass over the nodes: workers take one node each, and send one request after the other.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) began: SimTime,
    /// Nodes that nobody has taken yet.
    pub(super) nodes: VecDeque<NodeId>,
    pub(super) workers: [Option<Worker>; WORKERS],
    /// What the pass does after its nodes: NoExecute taints that go because everything is down.
    pub(super) clearing: Option<VecDeque<Write>>,
}

/// What one worker is at.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) node: NodeId,
    /// When this pass came to it.
    pub(super) was_ready: bool,
    /// The node's condition is on its way; what follows is decided when it has landed.
    pub(super) is_posting: bool,
    /// Requests, and what is told once each has landed.
    pub(super) requests: VecDeque<(Write, Option<Record>)>,
    /// What is told once the request on its way has landed.
    pub(super) then: Option<Record>,
}

impl Pass {
    pub(super) const fn new(began: SimTime, nodes: VecDeque<NodeId>) -> Self {
        Self { began, nodes, workers: [const { None }; WORKERS], clearing: None }
    }
    pub(super) fn is_through(&self) -> bool {
        self.nodes.is_empty() && self.workers.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_period_after_the_end_of_a_pass_that_took_time() {
        let seconds = SimTime::from_secs;
        let mut ticks = Ticks::new(seconds(3), SimDuration::from_secs(5));
        assert_eq!([0, 3, 4, 13].map(|at| ticks.from(seconds(at)).as_secs()), [3, 3, 8, 13]);
        ticks.passed(seconds(13), seconds(15));
        assert_eq!([4, 13, 14, 16, 20, 21].map(|at| ticks.from(seconds(at)).as_secs()), [8, 13, 20, 20, 20, 25]);
        assert_eq!(ticks.after(seconds(20)).as_secs(), 25);
    }
}
