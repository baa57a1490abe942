//! What pipelines read: JUnit, a Markdown summary, annotations at lines of files, and the text of `wavetank check`.

mod annotations;
mod check;
mod junit;
mod summary;

use crate::gate::{Change, Standing, Tested};
use crate::verdict::{Judged, Outcome};

pub use self::annotations::{Annotation, Level, github_annotations, tested_annotations};
pub use self::check::{baseline_text, check_document, check_text};
pub use self::junit::junit;
pub use self::summary::summary;

use super::signed;

/// An expectation as users call it: `rollout is done: rollout.duration(workload=deployment/web) <= 3m`.
fn expectation(judged: &Judged) -> String {
    let formula = format!("{} {} {}", judged.formula(), judged.op, judged.expected);
    if judged.name == judged.metric { formula } else { format!("{}: {formula}", judged.name) }
}

/// What came instead: `64s [58s .. 64s], seed 1 worst`.
fn what_came(judged: &Judged) -> String {
    let mut text = judged.value_text.clone();
    let interval = judged.interval();
    if !interval.is_empty() {
        text = format!("{text} {interval}");
    }
    if let Some(seed) = judged.worst_seed.filter(|_| judged.seeds.len() > 1 && judged.outcome != Outcome::Pass) {
        text = format!("{text}, seed {seed} worst");
    }
    if judged.note.is_empty() { text } else { format!("{text}: {}", judged.note) }
}

/// The mean on both sides: `32s -> 64s`.
fn before_and_after(standing: &Standing, arrow: &str) -> String {
    let row = &standing.row;
    let text = |mean: Option<f64>, never: usize| match mean {
        Some(mean) if never == 0 => row.unit.format(mean),
        Some(mean) => format!("{} ({never} never)", row.unit.format(mean)),
        None if never > 0 => "never".to_owned(),
        None => "no data".to_owned(),
    };
    let now = row.cells.first().map_or_else(String::new, |cell| text(cell.sample.mean, cell.sample.never));
    format!("{} {arrow} {now}", text(row.reference.mean, row.reference.never))
}

/// The mean difference with its interval: `+32s [+30s, +34s]`.
fn difference(standing: &Standing, minus: &str) -> String {
    let Some(cell) = standing.row.cells.first() else { return String::new() };
    let signed = |value: f64| signed(standing.row.unit, value, minus);
    match (cell.difference, cell.interval) {
        (Some(difference), Some(interval)) => format!("{} [{}, {}]", signed(difference), signed(interval.low), signed(interval.high)),
        (Some(difference), None) => signed(difference),
        _ => String::new(),
    }
}

/// What a standing says in a sentence.
fn standing_text(standing: &Standing) -> String {
    let difference = difference(standing, "-");
    let difference = if difference.is_empty() { difference } else { format!(", {difference}") };
    format!(
        "{} than the baseline: {}{difference}; margin {}",
        standing.change.as_str(),
        before_and_after(standing, "->"),
        standing.row.margin_text
    )
}

/// Metrics that are worse than the baseline.
fn worse(tested: &Tested) -> impl Iterator<Item = &Standing> {
    tested.against.iter().flat_map(|against| &against.standings).filter(|standing| standing.change == Change::Worse)
}

/// All scenarios in a line: `2 of 3 scenarios as expected, 1 failed`.
#[must_use]
pub fn gate_conclusion(all: &[Tested]) -> String {
    let count = |what: &dyn Fn(&Tested) -> bool| all.iter().filter(|tested| what(tested)).count();
    let failed = count(&|tested| !tested.was_skipped() && !tested.verdict.passed);
    let worse = count(&|tested| tested.is_worse());
    let stopped = count(&|tested| !tested.stopped.is_empty());
    let skipped = count(&Tested::was_skipped);
    let total = all.len();
    let scenarios = if total == 1 { "scenario" } else { "scenarios" };
    let mut parts: Vec<String> = Vec::new();
    let mut say = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{number} of {total} {scenarios} {what}"));
        }
    };
    say(failed, if failed == 1 { "is not as expected" } else { "are not as expected" });
    say(worse, if worse == 1 { "is worse than the baseline" } else { "are worse than the baseline" });
    say(stopped, if stopped == 1 { "was stopped early" } else { "were stopped early" });
    say(skipped, if skipped == 1 { "was left out" } else { "were left out" });
    if parts.is_empty() {
        return match total {
            1 => "the scenario is as expected".to_owned(),
            _ => format!("all {total} scenarios are as expected"),
        };
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests;
