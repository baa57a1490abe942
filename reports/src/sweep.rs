//! One scenario at many points: what each was asked, and how it came out.
//!
//! Not here: which points there are (`cli`), and statistics between them (`compare`).

use std::collections::BTreeMap;

use api::Str;
use serde::Serialize;

use crate::metrics::{Measures, Unit};
use crate::verdict::{Outcome, judge};

/// A point with its runs.
#[derive(Clone, Debug)]
pub struct SweepPoint {
    /// What is varied, by path.
    pub parameters: BTreeMap<String, String>,
    /// The policy.
    pub policy: Str,
    /// One run per seed.
    pub runs: Vec<Measures>,
}

/// One expectation at one point.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepCell {
    /// The value that is judged, in the metric's unit; none without data, or when it never happened.
    pub value: Option<f64>,
    /// The same, as people read it.
    pub value_text: String,
    /// Smallest and largest over seeds.
    pub range: Option<(f64, f64)>,
    /// Pass, fail or inconclusive.
    pub outcome: Outcome,
}

/// One point.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepRow {
    /// What is varied, by path.
    pub parameters: BTreeMap<String, String>,
    /// The policy.
    pub policy: Str,
    /// All its expectations together.
    pub outcome: Outcome,
    /// Runs behind it.
    pub runs: usize,
    /// One per column.
    pub cells: Vec<SweepCell>,
}

/// One expectation over all points.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepColumn {
    /// The expectation without its threshold.
    pub formula: String,
    /// Comparison and threshold, as written.
    pub expected: String,
    /// error, warning or info.
    pub severity: Str,
    /// The threshold in the metric's unit.
    pub threshold: f64,
    /// Name of the unit.
    pub unit: &'static str,
    /// The unit itself.
    #[serde(skip)]
    pub unit_kind: Unit,
}

/// Everything a sweep found.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// The scenario.
    pub scenario: Str,
    /// Paths that are varied.
    pub parameters: Vec<String>,
    /// Whether policies are varied too.
    pub policies: bool,
    /// The expectations.
    pub columns: Vec<SweepColumn>,
    /// The points, in the order given.
    pub rows: Vec<SweepRow>,
}

/// Judges every point.
#[must_use]
pub fn sweep(points: &[SweepPoint]) -> Sweep {
    let verdicts: Vec<_> = points.iter().map(|point| judge(&point.runs)).collect();
    let columns = verdicts.iter().find(|verdict| !verdict.expectations.is_empty()).map_or_else(Vec::new, |verdict| {
        let column = |judged: &crate::Judged| SweepColumn {
            formula: judged.formula(),
            expected: format!("{} {}", judged.op, judged.expected),
            severity: judged.severity.clone(),
            threshold: judged.threshold,
            unit: judged.unit().as_str(),
            unit_kind: judged.unit(),
        };
        verdict.expectations.iter().map(column).collect()
    });
    let rows = points.iter().zip(&verdicts).map(|(point, verdict)| SweepRow {
        parameters: point.parameters.clone(),
        policy: point.policy.clone(),
        outcome: if point.runs.is_empty() { Outcome::Inconclusive } else { verdict.outcome },
        runs: point.runs.len(),
        cells: verdict
            .expectations
            .iter()
            .map(|judged| SweepCell {
                value: judged.value,
                value_text: judged.value_text.clone(),
                range: judged.range,
                outcome: judged.outcome,
            })
            .collect(),
    });
    let mut parameters: Vec<String> = points.iter().flat_map(|point| point.parameters.keys().cloned()).collect();
    parameters.sort();
    parameters.dedup();
    Sweep {
        scenario: points.iter().flat_map(|point| &point.runs).next().map_or_else(|| "".into(), |run| run.scenario.clone()),
        policies: points.windows(2).any(|pair| pair[0].policy != pair[1].policy),
        parameters,
        columns,
        rows: rows.collect(),
    }
}
