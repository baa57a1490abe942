//! What `wavetank check` and `wavetank baseline show` print, and the documents of `check` for programs.

use super::{before_and_after, difference, gate_conclusion};
use crate::gate::{Against, Baseline, Change, Entry, Saved, Tested};
use crate::metrics::metric;
use crate::render::text::{conclusion, seeds_text};
use crate::render::{Table, TextOptions};
use crate::verdict::Outcome;

/// A line per scenario, under it what is wrong and what has changed, and what it comes to. Ends with a line feed.
#[must_use]
pub fn check_text(all: &[Tested], options: &TextOptions<'_>) -> String {
    let mut lines = Vec::new();
    for tested in all {
        let seeds: Vec<u64> = tested.runs.iter().map(|run| run.seed).collect();
        let against = tested.against.as_ref().map(Against::conclusion);
        let said = [against, Some(conclusion(&tested.verdict))].into_iter().flatten().collect::<Vec<_>>().join("; ");
        lines.push(format!("{}  policy {}  {}  {said}", options.heading(&tested.scenario), tested.policy, seeds_text(&seeds)));
        lines.extend(stopped(tested));
        lines.extend(unmet(tested, options));
        if let Some(against) = &tested.against {
            lines.extend(changed(against, options));
            if against.scenario_changed {
                lines.push("  note: the scenario is another than that of the baseline".to_owned());
            }
            lines.extend(against.notes.iter().map(|note| format!("  note: {note}")));
        }
    }
    lines.push(gate_conclusion(all));
    lines.push(String::new());
    lines.join("\n")
}

fn stopped(tested: &Tested) -> impl Iterator<Item = String> {
    tested.stopped.iter().map(|(seed, why)| format!("  seed {seed} was stopped early: {why}"))
}

/// Expectations that do not hold.
fn unmet(tested: &Tested, options: &TextOptions<'_>) -> Vec<String> {
    let mut table = Table::new(&["", ""]);
    let unmet: Vec<_> = tested.verdict.expectations.iter().filter(|judged| judged.outcome != Outcome::Pass).collect();
    unmet.iter().for_each(|judged| table.push(vec![super::expectation(judged), super::what_came(judged)]));
    let lines = table.lines("", 2);
    lines.into_iter().zip(&unmet).map(|(line, judged)| format!("  {} {line}", options.mark(judged))).collect()
}

/// As many metrics of which nothing is certain are listed.
const UNCLEAR_SHOWN: usize = 5;

/// Metrics that are not what they were, beyond doubt or possibly.
fn changed(against: &Against, options: &TextOptions<'_>) -> Vec<String> {
    let (arrow, minus) = if options.utf8 { ("→", "−") } else { ("->", "-") };
    let of = |change: Change| against.standings.iter().filter(move |standing| standing.change == change);
    let certain = [Change::Worse, Change::Better, Change::Different].into_iter().flat_map(of);
    let mut table = Table::new(&["", "", "", "", ""]);
    for standing in certain.chain(of(Change::Unclear).take(UNCLEAR_SHOWN)) {
        table.push(vec![
            // Capitals carry it where there is no colour.
            if standing.change == Change::Worse { "WORSE".to_owned() } else { standing.change.as_str().to_owned() },
            standing.row.title(),
            before_and_after(standing, arrow),
            difference(standing, minus),
            format!("margin {}", standing.row.margin_text),
        ]);
    }
    let mut lines = table.lines("  ", 2);
    let left = of(Change::Unclear).count().saturating_sub(UNCLEAR_SHOWN);
    if left > 0 {
        lines.push(format!("  and {left} more that are unclear"));
    }
    lines
}

/// The document for programs. Ends with a line feed.
#[must_use]
pub fn check_document(all: &[Tested]) -> String {
    let scenario = |tested: &Tested| {
        serde_json::json!({
            "scenario": tested.scenario,
            "policy": tested.policy,
            "seeds": tested.runs.iter().map(|run| run.seed).collect::<Vec<_>>(),
            "passed": !tested.failed(),
            "stopped": tested.stopped.iter().map(|(seed, why)| serde_json::json!({ "seed": seed, "why": why })).collect::<Vec<_>>(),
            "verdict": tested.verdict,
            "baseline": tested.against,
        })
    };
    let document = serde_json::json!({
        "schemaVersion": 1,
        "passed": !all.iter().any(Tested::failed),
        "scenarios": all.iter().map(scenario).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

/// What is in a baseline, metric by metric. Ends with a line feed.
#[must_use]
pub fn baseline_text(baseline: &Baseline) -> String {
    let mut lines = Vec::new();
    for entry in &baseline.entries {
        lines.push(format!(
            "{}  policy {}  {}  by wavetank {}",
            entry.scenario,
            entry.policy,
            seeds_text(&entry.seeds),
            entry.wavetank_version
        ));
        lines.extend(metrics(entry).lines("  ", 2));
        lines.push(String::new());
    }
    lines.join("\n")
}

fn metrics(entry: &Entry) -> Table {
    let mut table = Table::new(&["METRIC", "MEAN", "OVER SEEDS", "MARGIN"]);
    for saved in &entry.metrics {
        let Some((wanted, info)) = saved.wanted().zip(metric(&saved.metric)) else {
            table.push(vec![saved.metric.to_string(), "no metric any more".to_owned()]);
            continue;
        };
        let values: Vec<f64> =
            saved.values.iter().filter_map(|value| if let Saved::Value(value) = value { Some(*value) } else { None }).collect();
        let never = saved.values.iter().filter(|value| matches!(value, Saved::Never(_))).count();
        let extreme = |worse: fn(f64, f64) -> f64| values.iter().copied().reduce(worse).map(|value| info.unit.format(value));
        let range = match extreme(f64::min).zip(extreme(f64::max)) {
            Some((low, high)) if low == high => "every seed".to_owned(),
            Some((low, high)) => format!("[{low} .. {high}]"),
            None => String::new(),
        };
        let never = if never > 0 { format!(" ({never} never)") } else { String::new() };
        let mean = if values.is_empty() { "-".to_owned() } else { info.unit.format(crate::statistics::mean(&values)) };
        table.push(vec![wanted.title(), mean + &never, range, saved.margin.clone()]);
    }
    table
}
