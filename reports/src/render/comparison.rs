//! What `wavetank compare` prints.

use super::Table;
use super::text::{TextOptions, seeds_text};
use crate::compare::{Cell, Comparison, Finding, LEVEL, Row, Sample};
use crate::metrics::{Better, Unit};

/// A metric per line, a policy per column, then what was won and lost. Ends with a line feed.
#[must_use]
pub fn comparison_text(comparison: &Comparison, options: &TextOptions<'_>) -> String {
    let mut lines = vec![header(comparison, options), String::new()];
    lines.extend(table(comparison, options));
    lines.push(String::new());
    lines.extend(super::decisions::decisions(comparison, options));
    lines.extend(footnotes(comparison));
    lines.extend(comparison.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.extend(options.report.map(|report| format!("report  {report}")));
    lines.push(String::new());
    lines.join("\n")
}

fn header(comparison: &Comparison, options: &TextOptions<'_>) -> String {
    let mut parts = vec![
        options.heading(&comparison.scenario),
        format!("{} policies", comparison.subjects.len()),
        seeds_text(&comparison.seeds).replace(" runs)", " pairs)"),
        format!("reference {}", comparison.reference),
    ];
    parts.extend(options.wall.map(str::to_owned));
    parts.join("  ")
}

fn table(comparison: &Comparison, options: &TextOptions<'_>) -> Vec<String> {
    let mut columns = vec!["METRIC".to_owned(), String::new(), comparison.reference.to_string()];
    let others: Vec<&str> = comparison.subjects.iter().map(|name| &**name).filter(|name| *name != &*comparison.reference).collect();
    columns.extend(others.iter().map(|name| format!("{name} (difference, 95% interval)")));
    let mut table = Table { columns, rows: Vec::new() };
    for row in &comparison.rows {
        let mut cells = vec![row.title(), arrow(row.better, options.utf8).to_owned(), mean_text(row.unit, &row.reference)];
        cells.extend(row.cells.iter().map(|cell| cell_text(row, cell, options)));
        table.push(cells);
    }
    let mut sums = vec!["better / no difference or unclear / worse".to_owned(), String::new(), String::new()];
    sums.extend(others.iter().map(|name| {
        let (wins, ties, losses) = comparison.wins_ties_losses(name);
        format!("{wins} / {ties} / {losses}")
    }));
    table.push(sums);
    table.lines("", 2)
}

const fn arrow(better: Better, utf8: bool) -> &'static str {
    match (better, utf8) {
        (Better::Higher, true) => "↑",
        (Better::Lower, true) => "↓",
        (Better::Higher, false) => "higher",
        (Better::Lower, false) => "lower",
        (Better::Neither, _) => "",
    }
}

pub(super) fn mean_text(unit: Unit, sample: &Sample) -> String {
    let never = if sample.never > 0 { format!(" ({} of {} never)", sample.never, sample.values.len()) } else { String::new() };
    sample.mean.map_or_else(|| if sample.never > 0 { "never".to_owned() } else { "no data".to_owned() }, |mean| unit.format(mean) + &never)
}

fn cell_text(row: &Row, cell: &Cell, options: &TextOptions<'_>) -> String {
    let finding = match cell.finding {
        // Capitals carry it where there is no colour.
        Finding::Better => "BETTER",
        finding => finding.as_str(),
    };
    if cell.finding == Finding::Identical {
        return finding.to_owned();
    }
    let never =
        if cell.sample.never > 0 { format!(" ({} of {} never)", cell.sample.never, cell.sample.values.len()) } else { String::new() };
    let minus = if options.utf8 { "−" } else { "-" };
    let signed = |value: f64| signed(row.unit, value, minus);
    match (cell.difference, cell.interval) {
        (Some(difference), Some(interval)) => {
            format!("{} [{}, {}] {finding}{never}", signed(difference), signed(interval.low), signed(interval.high))
        }
        (Some(difference), None) => format!("{} {finding}{never}", signed(difference)),
        _ if cell.sample.never > 0 => format!("never {finding}"),
        _ => "no data".to_owned(),
    }
}

/// A difference in the metric's unit: `+38s`, `−0.21pp`.
#[must_use]
pub fn signed(unit: Unit, value: f64, minus: &str) -> String {
    let sign = if value < 0.0 { minus } else { "+" };
    let size = match unit {
        Unit::Ratio => format!("{:.2}pp", value.abs() * 100.0),
        _ => unit.format(value.abs()),
    };
    format!("{sign}{size}")
}

fn footnotes(comparison: &Comparison) -> Vec<String> {
    // Of cells that are identical the ratio is nothing over something, and says nothing.
    let told = |cell: &&Cell| cell.finding != Finding::Identical;
    let pairing: Vec<f64> = comparison.rows.iter().flat_map(|row| &row.cells).filter(told).filter_map(|cell| cell.variance_ratio).collect();
    let mut notes = vec![format!(
        "paired by seed, n={}; intervals: {:.0}% BCa bootstrap of the mean difference; better or worse: Wilcoxon signed-rank, Holm over {} questions, alpha={}",
        comparison.seeds.len(),
        LEVEL * 100.0,
        comparison.rows.iter().map(|row| row.cells.len()).sum::<usize>(),
        comparison.alpha
    )];
    notes.push(
        "no difference: the interval lies within the margin (0.1 percentage points of a share, 1% of anything else, unless the metric has its own); \
         unclear: neither shown nor excluded. No overall winner: pick by metric."
            .to_owned(),
    );
    if let Some(median) = crate::series::stat_of("p50", &pairing) {
        notes.push(format!("variance of paired differences over that of unpaired ones, median of all that differ: {median:.2}"));
    }
    notes
}

/// A line per metric and policy.
#[must_use]
pub fn comparison_csv(comparison: &Comparison) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let head = [
        "metric",
        "unit",
        "better",
        "policy",
        "reference",
        "referenceMean",
        "mean",
        "pairs",
        "difference",
        "low",
        "high",
        "p",
        "adjustedP",
        "finding",
    ];
    let mut result = writer.write_record(head);
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in &comparison.rows {
        for cell in &row.cells {
            let line = [
                row.title(),
                row.unit.as_str().to_owned(),
                row.better.as_str().to_owned(),
                cell.sample.subject.to_string(),
                comparison.reference.to_string(),
                number(row.reference.mean),
                number(cell.sample.mean),
                cell.pairs.to_string(),
                number(cell.difference),
                number(cell.interval.map(|interval| interval.low)),
                number(cell.interval.map(|interval| interval.high)),
                cell.p.to_string(),
                cell.adjusted_p.to_string(),
                cell.finding.as_str().to_owned(),
            ];
            result = result.and_then(|()| writer.write_record(&line));
        }
    }
    let bytes = result.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
