//! What a pipeline is told: scenarios that were run or read again, their expectations, and how they stand against a
//! baseline.
//!
//! ```text
//! Measures of each seed ──┬─ judge ───────────────────┐
//!                         └─ Baseline ──► against ────┴─► Tested ──► render::{junit, summary, annotations, check_text}
//! ```
//!
//! Invariants: the same results and the same baseline give the same verdict, byte for byte, wherever and however often
//! they are judged; no wall time is looked at.
//!
//! Not here: files, exit codes and flags (`cli`).

mod against;
mod baseline;
mod timeline;

use api::Str;

use crate::Measures;
use crate::verdict::{Verdict, judge};

pub use against::{Against, Change, Standing, against};
pub use baseline::{Baseline, Entry, Saved, SavedMetric};
pub use timeline::Timeline;

/// One scenario under one policy, as a pipeline is told of it.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The file it is from, or the name of a shipped scenario.
    pub source: String,
    /// Its name.
    pub scenario: Str,
    /// The policy.
    pub policy: Str,
    /// One per seed; none when it was not run.
    pub runs: Vec<Measures>,
    /// What became of its expectations.
    pub verdict: Verdict,
    /// Where each expectation stands in its file, as lines from 1; zero when that is not known.
    pub lines: Vec<u32>,
    /// Seeds that were stopped before their end, and why.
    pub stopped: Vec<(u64, String)>,
    /// How it stands against a baseline, if there is one.
    pub against: Option<Against>,
    /// One picture of it.
    pub timeline: Option<Timeline>,
    /// Where its page is.
    pub page: Option<String>,
}

impl Tested {
    /// Runs of one scenario and one policy, judged. Without runs it is one that was left out.
    #[must_use]
    pub fn of(source: &str, scenario: &str, policy: &str, runs: Vec<Measures>) -> Self {
        let early = |run: &&Measures| &*run.end_reason != "horizon";
        let why = |run: &Measures| if &*run.end_reason == "interrupted" { "max-wall".to_owned() } else { run.end_reason.to_string() };
        Self {
            source: source.to_owned(),
            scenario: scenario.into(),
            policy: policy.into(),
            verdict: judge(&runs),
            lines: Vec::new(),
            stopped: runs.iter().filter(early).map(|run| (run.seed, why(run))).collect(),
            against: None,
            timeline: None,
            page: None,
            runs,
        }
    }

    /// Whether it was left out after another failed.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether anything is worse than its baseline.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.against.as_ref().is_some_and(|against| against.worse() > 0)
    }

    /// Whether a pipeline should stop here.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.was_skipped() && (!self.verdict.passed || self.is_worse() || !self.stopped.is_empty())
    }

    /// The scenario, with its policy where that is not the usual one.
    #[must_use]
    pub fn title(&self) -> String {
        if &*self.policy == "default" { self.scenario.to_string() } else { format!("{} ({})", self.scenario, self.policy) }
    }
}
