//! Policies side by side: the same seeds for each, differences pair by pair, and what they are worth.
//!
//! ```text
//! Subject (policy + Measures of each seed) ──► compare ──► Comparison (a row per metric, a cell per policy) ──► render
//! ```
//!
//! All runs of one seed share their arrivals, failures and service times (common random numbers: each stream is keyed
//! by what it is for, not by the order of calls), so a difference within a seed is the policy's doing.
//!
//! Invariants:
//! - A finding is one of six ([`Finding`]); "no difference" is one of them and has to be earned by an interval that
//!   lies inside the metric's equivalence margin. What is neither shown nor excluded is called unclear.
//! - p values are Holm's, over all policies and metrics of the comparison.
//! - A seed in which something never happened (no recovery within the run) is no number: it ranks worst in the test,
//!   stays out of the interval, and is counted in the open.
//! - There is no score over metrics: each row has its own winners.
//!
//! Not here: which metrics are asked for by default (`select`), and how it is said (`render`).

mod decisions;
mod finding;
mod select;

use std::collections::BTreeMap;

use api::Str;
use serde::Serialize;

use crate::metrics::{Better, Measures, Unit};
use crate::statistics::{bootstrap, holm, mean, variance, wilcoxon};

pub use crate::statistics::bootstrap::Interval;
pub(crate) use decisions::lead;
pub use decisions::{Choice, DecisionDiff, Decisions, FirstDecision, Moved, PluginPart, Standing};
pub use finding::Finding;
pub use select::{Margin, Wanted, answer, every, wanted};

/// Fewer pairs than this are too few to rely on.
pub(crate) const FEW_SEEDS: usize = 10;

/// The level of every interval.
pub(crate) const LEVEL: f64 = 0.95;

/// One policy or variation with its runs.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What the user calls it.
    pub name: Str,
    /// One run per seed, ascending.
    pub runs: Vec<Measures>,
}

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// The chance of any false "better" or "worse" in the whole table.
    pub alpha: f64,
    /// Place of the policy that the others are measured against.
    pub reference: usize,
    /// The rows.
    pub wanted: Vec<Wanted>,
}

/// A policy's values of one metric.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The policy.
    pub subject: Str,
    /// One per seed, in the order of [`Comparison::seeds`].
    pub values: Vec<Option<f64>>,
    /// Seeds in which it never happened.
    pub never: usize,
    /// Over the seeds that have a value.
    pub mean: Option<f64>,
}

/// A policy against the reference, in one metric.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// Its values.
    #[serde(flatten)]
    pub sample: Sample,
    /// Seeds in which both have a value.
    pub pairs: usize,
    /// Mean of policy minus reference over the pairs.
    pub difference: Option<f64>,
    /// Between which values that lies, with 95 % confidence.
    #[serde(serialize_with = "limits")]
    pub interval: Option<Interval>,
    /// Wilcoxon's signed-rank test, two-sided.
    pub p: f64,
    /// The same, corrected for the number of questions.
    pub adjusted_p: f64,
    /// Variance of the paired differences over the sum of the two variances: one would be as good as other seeds for each.
    pub variance_ratio: Option<f64>,
    /// What it is worth.
    pub finding: Finding,
}

pub(crate) fn limits<S: serde::Serializer>(interval: &Option<Interval>, serializer: S) -> Result<S::Ok, S::Error> {
    interval.map(|interval| [interval.low, interval.high]).serialize(serializer)
}

/// One metric.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Metric.
    pub metric: Str,
    /// Statistic; empty for metrics that are one number.
    pub stat: Str,
    /// `where`.
    #[serde(rename = "where")]
    pub filter: BTreeMap<Str, Str>,
    /// Its unit.
    #[serde(serialize_with = "unit_name")]
    pub unit: Unit,
    /// Which way is good.
    #[serde(serialize_with = "better_name")]
    pub better: Better,
    /// Differences up to this are none.
    pub margin: f64,
    /// What the margin was taken from.
    pub margin_text: String,
    /// The reference.
    pub reference: Sample,
    /// The others, in the order given.
    pub cells: Vec<Cell>,
    /// Policies that no other beats here.
    pub winners: Vec<Str>,
}

fn unit_name<S: serde::Serializer>(unit: &Unit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(unit.as_str())
}

fn better_name<S: serde::Serializer>(better: &Better, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(better.as_str())
}

impl Row {
    /// The metric with what it is asked of: `recovery.total(mark=spike)`.
    #[must_use]
    pub fn title(&self) -> String {
        title(&self.metric, &self.filter, &self.stat)
    }
}

fn title(metric: &str, filter: &BTreeMap<Str, Str>, stat: &str) -> String {
    let filters: Vec<String> = filter.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let filters = if filters.is_empty() { String::new() } else { format!("({})", filters.join(", ")) };
    let stat = if stat.is_empty() { String::new() } else { format!(".{stat}") };
    format!("{metric}{filters}{stat}")
}

/// Everything that was found.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The scenario.
    pub scenario: Str,
    /// What the others are measured against.
    pub reference: Str,
    /// All policies, the reference among them, in the order given.
    pub subjects: Vec<Str>,
    /// Seeds that every policy has.
    pub seeds: Vec<u64>,
    /// The chance of any false finding.
    pub alpha: f64,
    /// One per metric.
    pub rows: Vec<Row>,
    /// What a reader has to know.
    pub warnings: Vec<String>,
    /// Where the policies' decisions part, each against the reference, in the first seed; empty when nobody looked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionDiff>,
}

impl Comparison {
    /// How often a policy was better, not different or unclear, and worse than the reference.
    #[must_use]
    pub(crate) fn wins_ties_losses(&self, subject: &str) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for row in &self.rows {
            match row.cells.iter().find(|cell| &*cell.sample.subject == subject).map(|cell| cell.finding) {
                Some(Finding::Better) => counts.0 += 1,
                Some(Finding::Worse) => counts.2 += 1,
                Some(_) => counts.1 += 1,
                None => {}
            }
        }
        counts
    }
}

/// Compares policies over the seeds that all of them have.
#[must_use]
pub fn compare(subjects: &[Subject], options: &Options) -> Comparison {
    let seeds = common_seeds(subjects);
    let reference = options.reference.min(subjects.len().saturating_sub(1));
    let mut rows: Vec<Row> = options.wanted.iter().filter_map(|wanted| row(subjects, reference, &seeds, wanted)).collect();
    correct(&mut rows, options.alpha);
    Comparison {
        scenario: subjects.first().and_then(|subject| subject.runs.first()).map_or_else(|| "".into(), |run| run.scenario.clone()),
        reference: subjects.get(reference).map_or_else(|| "".into(), |subject| subject.name.clone()),
        subjects: subjects.iter().map(|subject| subject.name.clone()).collect(),
        warnings: warnings(subjects, &seeds),
        seeds,
        alpha: options.alpha,
        rows,
        decisions: Vec::new(),
    }
}

/// A metric of two single runs, side by side.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// The metric with what it is asked of.
    pub metric: String,
    /// Its unit.
    #[serde(serialize_with = "unit_name")]
    pub unit: Unit,
    /// Which way is good.
    #[serde(serialize_with = "better_name")]
    pub better: Better,
    /// What the two runs answer; `None` when there is no number.
    pub values: [Option<f64>; 2],
    /// It never happened within the run.
    pub never: [bool; 2],
}

impl Pair {
    /// Whether the runs answer differently.
    #[must_use]
    pub(crate) fn is_different(&self) -> bool {
        self.values[0] != self.values[1] || self.never[0] != self.never[1]
    }
}

/// The usual metrics of two runs, and their scenarios' expectations; those that neither has data for are left out.
#[must_use]
pub fn pairs(one: &Measures, other: &Measures) -> Vec<Pair> {
    let value = |answer: Answer| if let Answer::Value(value) = answer { Some(value) } else { None };
    let pair = |wanted: &Wanted| {
        let answers = [select::answer(one, wanted), select::answer(other, wanted)];
        (answers != [Answer::NoData; 2]).then(|| Pair {
            metric: title(&wanted.metric, &wanted.filter, &wanted.stat),
            unit: wanted.unit,
            better: wanted.better,
            values: answers.map(value),
            never: answers.map(|answer| answer == Answer::Never),
        })
    };
    // An expectation is known by its place, so those of two scenarios cannot be laid side by side.
    let same_questions = one.asked.iter().map(|asked| &asked.question).eq(other.asked.iter().map(|asked| &asked.question));
    let wanted = wanted(&[one.clone(), other.clone()]);
    wanted.iter().filter(|wanted| same_questions || !wanted.is_question()).filter_map(pair).collect()
}

fn common_seeds(subjects: &[Subject]) -> Vec<u64> {
    let Some(first) = subjects.first() else { return Vec::new() };
    let everywhere = |seed: &u64| subjects.iter().all(|subject| subject.runs.iter().any(|run| run.seed == *seed));
    let mut seeds: Vec<u64> = first.runs.iter().map(|run| run.seed).filter(everywhere).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn warnings(subjects: &[Subject], seeds: &[u64]) -> Vec<String> {
    let mut warnings = Vec::new();
    if seeds.len() < FEW_SEEDS {
        let n = seeds.len();
        warnings.push(format!(
            "{n} seed{} are too few to rely on: take at least {FEW_SEEDS}, better 30 (`--seeds 1..30`)",
            if n == 1 { "" } else { "s" }
        ));
    }
    for subject in subjects {
        let left: Vec<String> =
            subject.runs.iter().map(|run| run.seed).filter(|seed| !seeds.contains(seed)).map(|seed| seed.to_string()).collect();
        if !left.is_empty() {
            warnings.push(format!("seeds {} of {} have no counterpart and are left out", left.join(", "), subject.name));
        }
    }
    warnings
}

/// One seed's answer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer {
    /// The number.
    Value(f64),
    /// It did not happen within the run.
    Never,
    /// The run has nothing to say.
    NoData,
}

/// Compares answers that are known already, such as those of a baseline: for each metric a list per subject, seed by
/// seed. The first subject is the reference.
#[must_use]
pub(crate) fn rows_of(subjects: &[Str], questions: &[(Wanted, Vec<Vec<Answer>>)], alpha: f64) -> Vec<Row> {
    let mut rows: Vec<Row> = questions.iter().filter_map(|(wanted, answers)| row_of(subjects, 0, wanted, answers)).collect();
    correct(&mut rows, alpha);
    rows
}

fn row(subjects: &[Subject], reference: usize, seeds: &[u64], wanted: &Wanted) -> Option<Row> {
    let answers: Vec<Vec<Answer>> = subjects
        .iter()
        .map(|subject| {
            let run = |seed: &u64| subject.runs.iter().find(|run| run.seed == *seed);
            seeds.iter().map(|seed| run(seed).map_or(Answer::NoData, |run| answer(run, wanted))).collect()
        })
        .collect();
    let names: Vec<Str> = subjects.iter().map(|subject| subject.name.clone()).collect();
    row_of(&names, reference, wanted, &answers)
}

fn row_of(subjects: &[Str], reference: usize, wanted: &Wanted, answers: &[Vec<Answer>]) -> Option<Row> {
    // A metric that nobody has data for is no row.
    if answers.iter().flatten().all(|answer| *answer == Answer::NoData) {
        return None;
    }
    let samples: Vec<Sample> = subjects.iter().zip(answers).map(|(subject, answers)| sample(subject, answers)).collect();
    let (better, unit) = (wanted.better, wanted.unit);
    let (margin, margin_text) = wanted.margin_of(samples[reference].mean.unwrap_or(0.0));
    let others = (0..subjects.len()).filter(|index| *index != reference);
    let cells = others.map(|index| cell(samples[index].clone(), &answers[index], &answers[reference], better)).collect();
    Some(Row {
        metric: wanted.metric.clone(),
        stat: wanted.stat.clone(),
        filter: wanted.filter.clone(),
        unit,
        better,
        margin,
        margin_text,
        winners: finding::winners(&samples, answers, better, margin),
        reference: samples[reference].clone(),
        cells,
    })
}

fn sample(subject: &Str, answers: &[Answer]) -> Sample {
    let values: Vec<Option<f64>> =
        answers.iter().map(|answer| if let Answer::Value(value) = answer { Some(*value) } else { None }).collect();
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    Sample {
        subject: subject.clone(),
        never: answers.iter().filter(|answer| **answer == Answer::Never).count(),
        mean: (!known.is_empty()).then(|| mean(&known)),
        values,
    }
}

fn cell(sample: Sample, answers: &[Answer], reference: &[Answer], better: Better) -> Cell {
    let pairs: Vec<(f64, f64)> = answers
        .iter()
        .zip(reference)
        .filter_map(|(one, other)| match (one, other) {
            (Answer::Value(one), Answer::Value(other)) => Some((*one, *other)),
            _ => None,
        })
        .collect();
    let differences: Vec<f64> = pairs.iter().map(|(one, other)| one - other).collect();
    let p = wilcoxon::signed_rank(&ranked(answers, reference, better));
    let sides: (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let unpaired = variance(&sides.0) + variance(&sides.1);
    Cell {
        sample,
        pairs: pairs.len(),
        difference: (!differences.is_empty()).then(|| mean(&differences)),
        interval: bootstrap::interval(&differences, LEVEL, bootstrap::RESAMPLES),
        p,
        adjusted_p: p,
        variance_ratio: (unpaired > 0.0).then(|| variance(&differences) / unpaired),
        finding: Finding::Unclear,
    }
}

/// Differences as the test sees them: what never happened is worse than anything that did.
fn ranked(answers: &[Answer], reference: &[Answer], better: Better) -> Vec<f64> {
    let worst = if better == Better::Higher { f64::NEG_INFINITY } else { f64::INFINITY };
    let rank = |pair: (&Answer, &Answer)| match pair {
        (Answer::Value(one), Answer::Value(other)) => Some(one - other),
        (Answer::Never, Answer::Value(_)) => Some(worst),
        (Answer::Value(_), Answer::Never) => Some(-worst),
        (Answer::Never, Answer::Never) => Some(0.0),
        _ => None,
    };
    answers.iter().zip(reference).filter_map(rank).collect()
}

/// Corrects p for the number of questions, and judges every cell.
fn correct(rows: &mut [Row], alpha: f64) {
    let all: Vec<f64> = rows.iter().flat_map(|row| &row.cells).map(|cell| cell.p).collect();
    let mut adjusted = holm::adjust(&all).into_iter();
    for row in rows {
        let (better, margin, reference) = (row.better, row.margin, row.reference.clone());
        for cell in &mut row.cells {
            cell.adjusted_p = adjusted.next().unwrap_or(1.0);
            cell.finding = finding::judge(cell, &reference, better, margin, alpha);
        }
    }
}

#[cfg(test)]
mod tests;
