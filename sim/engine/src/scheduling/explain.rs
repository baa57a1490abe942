//! Explanations of decisions that somebody asks about, as records.
//!
//! Invariant: a run with explanations is the same run: the scheduler says what it is about to do before it does it, and
//! nothing but the record comes of that.

use api::{SimTime, Str};
use port::Scheduler;
use trace::Record;

use crate::effects::Effects;

use super::Scheduling;
use super::queue::QueuedPod;

/// Which decisions to explain: some attempts of one pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Explain {
    /// `namespace/name`.
    pub pod: Str,
    /// Attempts, counted from 1.
    pub attempts: Vec<u32>,
    /// A pod of that name may have lived before: nothing earlier is meant.
    pub from: SimTime,
    /// Nor anything later.
    pub until: SimTime,
}

impl Scheduling {
    /// From now on explains these decisions.
    pub(crate) fn want(&mut self, wanted: Explain) {
        self.wanted = Some(wanted);
    }

    /// Records why the attempt that is about to be made will come to what it will come to, if anybody asked.
    pub(super) fn explain(&self, pod: &QueuedPod, scheduler: &dyn Scheduler, now: SimTime, out: &mut Effects) {
        let Some(wanted) = &self.wanted else { return };
        let is_meant = now >= wanted.from && now <= wanted.until && wanted.attempts.contains(&pod.attempts);
        if !is_meant || pod.info.key.to_string() != *wanted.pod {
            return;
        }
        if let Some(explanation) = scheduler.explain(&pod.info, &self.snapshot) {
            let explanation = Box::new(explanation);
            out.record(Record::Explanation { pod: wanted.pod.clone(), attempt: pod.attempts, explanation });
        }
    }
}
