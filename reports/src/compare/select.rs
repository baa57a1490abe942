//! Which metrics a comparison looks at, where their values are, and how much of a difference matters.

use std::collections::BTreeMap;

use api::Str;

use super::Answer;
use crate::metrics::{Better, Measures, MetricInfo, Unit, metric, registry};

/// A difference that does not matter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Margin {
    /// In the metric's unit.
    Absolute(f64),
    /// Of the reference's mean.
    Relative(f64),
}

impl Margin {
    /// Reads a margin: a share of the reference (`2%`), or an amount in the metric's unit (`5ms`; for shares `0.1pp`).
    #[must_use]
    pub fn parse(text: &str, unit: Unit) -> Option<Self> {
        let number =
            |ending: &str| text.strip_suffix(ending).and_then(|number| number.trim().parse::<f64>().ok()).filter(|number| *number >= 0.0);
        let absolute = match unit {
            Unit::Ratio => number("pp").map(|points| points / 100.0),
            Unit::Seconds => text.parse::<api::SimDuration>().ok().map(|span| span.as_secs_f64()),
            _ => number(""),
        };
        absolute.map(Self::Absolute).or_else(|| number("%").map(|percent| Self::Relative(percent / 100.0)))
    }

    /// As [`Margin::parse`] reads it.
    #[must_use]
    pub fn text(self, unit: Unit) -> String {
        match (self, unit) {
            (Self::Relative(share), _) => format!("{}%", rounded(share * 100.0)),
            (Self::Absolute(points), Unit::Ratio) => format!("{}pp", rounded(points * 100.0)),
            (Self::Absolute(seconds), Unit::Seconds) => format!("{}ms", rounded(seconds * 1000.0)),
            (Self::Absolute(amount), _) => amount.to_string(),
        }
    }
}

/// Without what the last multiplication brought in.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

/// One metric to compare.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Metric.
    pub metric: Str,
    /// Statistic; empty for metrics that are one number.
    pub stat: Str,
    /// `where`.
    pub filter: BTreeMap<Str, Str>,
    /// Its unit.
    pub unit: Unit,
    /// Which way is good.
    pub better: Better,
    /// What does not matter.
    pub margin: Margin,
    /// Place of the expectation that asks the same, which may have a window.
    question: Option<usize>,
}

impl Wanted {
    /// A row for a metric of the registry; its own statistic when `stat` is empty.
    #[must_use]
    pub fn of(info: &MetricInfo, stat: &str, filter: BTreeMap<Str, Str>) -> Self {
        let stat = if stat.is_empty() { info.stats_of_run().first().copied().unwrap_or("") } else { stat };
        Self {
            metric: info.name.into(),
            stat: stat.into(),
            filter,
            unit: info.unit,
            better: info.better,
            margin: default_margin(info.unit),
            question: None,
        }
    }

    /// Whether an expectation asks it.
    pub(super) const fn is_question(&self) -> bool {
        self.question.is_some()
    }

    /// Whether an expectation of the scenario asks the same.
    #[must_use]
    pub const fn is_expected(&self) -> bool {
        self.question.is_some()
    }

    /// The metric with what it is asked of: `recovery.total(mark=spike)`.
    #[must_use]
    pub fn title(&self) -> String {
        super::title(&self.metric, &self.filter, &self.stat)
    }

    /// The margin in the metric's unit, and what it was taken from.
    pub(crate) fn margin_of(&self, reference: f64) -> (f64, String) {
        match self.margin {
            Margin::Absolute(margin) if self.unit == Unit::Ratio => (margin, self.margin.text(self.unit)),
            Margin::Absolute(margin) => (margin, self.unit.format(margin)),
            Margin::Relative(share) => (share * reference.abs(), format!("{}% of the reference", share * 100.0)),
        }
    }
}

/// A tenth of a percentage point for shares, a hundredth of the reference for everything else.
const fn default_margin(unit: Unit) -> Margin {
    match unit {
        Unit::Ratio => Margin::Absolute(0.001),
        _ => Margin::Relative(0.01),
    }
}

/// What everybody asks of a policy, beside the scenario's own expectations.
const HEADLINE: &[(&str, &str)] = &[
    ("availability", ""),
    ("latency.p50", ""),
    ("latency.p99", ""),
    ("pods.pending", "max"),
    ("pods.scheduling.latency", "p95"),
    ("preemptions", ""),
    ("evictions", ""),
    ("cpu.requested.ratio", "time-mean"),
    ("cpu.used.ratio", "time-mean"),
    ("memory.requested.ratio", "time-mean"),
    ("nodes.count", "max"),
    ("nodes.hours", ""),
    ("cost.total", ""),
];

/// The rows of a comparison: the scenario's expectations in their order, recovery from every fault and mark, and what
/// everybody asks. A row that two of them name is there once.
#[must_use]
pub fn wanted(runs: &[Measures]) -> Vec<Wanted> {
    let mut rows: Vec<Wanted> = Vec::new();
    for (index, asked) in runs.first().map_or(&[][..], |run| &run.asked).iter().enumerate() {
        let Some(info) = metric(&asked.question.metric) else { continue };
        let mut row = Wanted::of(info, &asked.question.stat, asked.question.filter.clone());
        if !asked.question.window.is_zero() {
            row.filter.insert("window".into(), crate::verdict::short(asked.question.window).into());
        }
        row.question = Some(index);
        push(&mut rows, row);
    }
    for recovery in runs.iter().flat_map(|run| &run.recoveries) {
        let key = if recovery.is_mark { "mark" } else { "fault" };
        let asked = rows.iter().any(|row| &*row.metric == "recovery.total" && row.filter.values().any(|cause| **cause == *recovery.cause));
        if let Some(info) = metric("recovery.total").filter(|_| !asked) {
            push(&mut rows, Wanted::of(info, "", BTreeMap::from([(key.into(), recovery.cause.as_str().into())])));
        }
    }
    for (name, stat) in HEADLINE {
        if let Some(info) = metric(name) {
            push(&mut rows, Wanted::of(info, stat, BTreeMap::new()));
        }
    }
    rows
}

fn push(rows: &mut Vec<Wanted>, row: Wanted) {
    let known = rows.iter().any(|known| (&known.metric, &known.stat, &known.filter) == (&row.metric, &row.stat, &row.filter));
    if !known {
        rows.push(row);
    }
}

/// The rows of a baseline: those of a comparison, and every other metric there is, as a whole.
#[must_use]
pub fn every(runs: &[Measures]) -> Vec<Wanted> {
    let mut rows = wanted(runs);
    for info in registry() {
        push(&mut rows, Wanted::of(info, "", BTreeMap::new()));
    }
    rows
}

/// What a run answers.
#[must_use]
pub fn answer(run: &Measures, wanted: &Wanted) -> Answer {
    if let Some(asked) = wanted.question.and_then(|index| run.asked.get(index)) {
        return match asked.value {
            Some(value) => Answer::Value(value),
            None if asked.never => Answer::Never,
            None => Answer::NoData,
        };
    }
    let same = |value: &&crate::metrics::Value| value.metric == wanted.metric && value.stat == wanted.stat && value.filter == wanted.filter;
    if let Some(found) = run.values.iter().find(same) {
        return Answer::Value(found.value);
    }
    let caused = |recovery: &crate::metrics::Recovery| wanted.filter.values().any(|cause| **cause == *recovery.cause);
    let unfinished =
        wanted.metric.starts_with("recovery.") && run.recoveries.iter().any(|recovery| caused(recovery) && recovery.total.is_none());
    if unfinished { Answer::Never } else { Answer::NoData }
}
