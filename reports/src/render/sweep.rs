//! What `wavetank sweep` prints.

use super::Table;
use super::text::TextOptions;
use crate::sweep::{Sweep, SweepCell};
use crate::verdict::Outcome;

/// A point per line. Ends with a line feed.
#[must_use]
pub fn sweep_text(sweep: &Sweep, options: &TextOptions<'_>) -> String {
    let mut parts = vec![options.heading(&sweep.scenario), format!("{} points", sweep.rows.len())];
    parts.push(format!("{} runs", sweep.rows.iter().map(|row| row.runs).sum::<usize>()));
    parts.extend(options.wall.map(str::to_owned));
    let mut columns: Vec<String> = sweep.parameters.iter().map(|path| path.strip_prefix("spec.").unwrap_or(path).to_owned()).collect();
    if sweep.policies {
        columns.push("POLICY".into());
    }
    columns.push("VERDICT".into());
    columns.extend(sweep.columns.iter().map(|column| format!("{} {}", column.formula, column.expected)));
    let mut table = Table { columns, rows: Vec::new() };
    for row in &sweep.rows {
        let mut cells: Vec<String> = sweep.parameters.iter().map(|path| row.parameters.get(path).cloned().unwrap_or_default()).collect();
        if sweep.policies {
            cells.push(row.policy.to_string());
        }
        cells.push(row.outcome.as_str().to_owned());
        cells.extend(row.cells.iter().map(|cell| cell_text(cell, options.utf8)));
        table.push(cells);
    }
    let mut lines = vec![parts.join("  "), String::new()];
    lines.extend(table.lines("", 2));
    lines.push(String::new());
    lines.extend(options.report.map(|report| format!("report  {report}")));
    lines.push(String::new());
    lines.join("\n")
}

fn cell_text(cell: &SweepCell, utf8: bool) -> String {
    let sign = match (cell.outcome, utf8) {
        (Outcome::Pass, true) => "✓",
        (Outcome::Fail, true) => "✗",
        (Outcome::Inconclusive, _) => "?",
        (Outcome::Pass, false) => "ok",
        (Outcome::Fail, false) => "FAIL",
    };
    format!("{sign} {}", cell.value_text)
}
