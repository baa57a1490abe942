//! What a difference is worth.

use api::Str;
use serde::Serialize;

use super::{Answer, Cell, Sample, ranked};
use crate::metrics::Better;
use crate::statistics::bootstrap::{self, Interval};
use crate::statistics::{mean, wilcoxon};

/// What was found of a policy in one metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// Every seed gave the same number.
    Identical,
    /// Significantly to the good side, and by more than the margin may hide.
    Better,
    /// The same to the bad side.
    Worse,
    /// Significantly different, in a metric that has no good side.
    Different,
    /// The interval lies within the equivalence margin: whatever difference there is does not matter.
    NoDifference,
    /// Neither shown nor excluded: more seeds would tell.
    Unclear,
}

impl Finding {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Different => "different",
            Self::NoDifference => "no difference",
            Self::Unclear => "unclear",
        }
    }
}

/// Judges a cell whose p has been corrected.
pub(super) fn judge(cell: &Cell, reference: &Sample, better: Better, margin: f64, alpha: f64) -> Finding {
    let never = cell.sample.never + reference.never;
    if cell.p >= 1.0 && cell.sample.values == reference.values && cell.sample.never == reference.never {
        return Finding::Identical;
    }
    // Equivalence cannot be shown by seeds that have no number.
    if never == 0 && cell.interval.is_some_and(|interval| within(&interval, margin)) {
        return Finding::NoDifference;
    }
    let significant = cell.adjusted_p <= alpha;
    let side = match cell.interval {
        Some(interval) if never == 0 && interval.contains(0.0) => return Finding::Unclear,
        Some(_) if never == 0 => cell.difference.unwrap_or(0.0),
        // With seeds that never got there the test alone decides; the side is theirs.
        _ => censored_side(cell, reference, better),
    };
    match (significant, better) {
        (false, _) => Finding::Unclear,
        (true, Better::Neither) => Finding::Different,
        (true, Better::Higher) if side > 0.0 => Finding::Better,
        (true, Better::Lower) if side < 0.0 => Finding::Better,
        (true, _) => Finding::Worse,
    }
}

fn within(interval: &Interval, margin: f64) -> bool {
    -margin <= interval.low && interval.high <= margin
}

/// Which way a comparison with unfinished seeds leans, as a difference would.
fn censored_side(cell: &Cell, reference: &Sample, better: Better) -> f64 {
    let worse = if better == Better::Higher { -1.0 } else { 1.0 };
    match cell.sample.never.cmp(&reference.never) {
        std::cmp::Ordering::Greater => worse,
        std::cmp::Ordering::Less => -worse,
        std::cmp::Ordering::Equal => cell.difference.unwrap_or(0.0),
    }
}

/// The policies that no other beats: the one with the best mean, and all that are not shown to be worse than it.
pub(super) fn winners(samples: &[Sample], answers: &[Vec<Answer>], better: Better, margin: f64) -> Vec<Str> {
    let sign = match better {
        Better::Higher => -1.0,
        Better::Lower => 1.0,
        Better::Neither => return Vec::new(),
    };
    let rank = |index: &usize| (samples[*index].never, samples[*index].mean.map_or(f64::INFINITY, |mean| sign * mean));
    let Some(best) = (0..samples.len()).min_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    }) else {
        return Vec::new();
    };
    let unbeaten = |index: &usize| *index == best || !is_beaten(&answers[*index], &answers[best], better, margin);
    (0..samples.len()).filter(unbeaten).map(|index| samples[index].subject.clone()).collect()
}

/// Whether `answers` are shown to be worse than those of `best`, by more than the margin allows.
fn is_beaten(answers: &[Answer], best: &[Answer], better: Better, margin: f64) -> bool {
    let ranked = ranked(answers, best, better);
    if wilcoxon::signed_rank(&ranked) > 0.05 {
        return false;
    }
    let finite: Vec<f64> = ranked.iter().copied().filter(|value| value.is_finite()).collect();
    let all_finite = finite.len() == ranked.len();
    match bootstrap::interval(&finite, super::LEVEL, bootstrap::RESAMPLES) {
        Some(interval) if all_finite => !interval.contains(0.0) && !within(&interval, margin),
        _ => !all_finite || mean(&finite) != 0.0,
    }
}
