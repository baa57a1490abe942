//! What `wavetank search` prints.

use super::Table;
use super::text::TextOptions;
use crate::search::{Place, Search, Way};

/// The answer in a sentence, then a seed per line. Ends with a line feed.
#[must_use]
pub fn search_text(search: &Search, options: &TextOptions<'_>) -> String {
    let asked = &search.searched;
    let parameter = asked.parameter.strip_prefix("spec.").unwrap_or(&asked.parameter);
    let runs: usize = search.seeds.iter().map(|seed| seed.tried).sum();
    let mut heading = vec![
        options.heading(&search.scenario),
        format!("{parameter} in {}..{}", asked.low, asked.high),
        format!("policy {}", search.policy),
        format!("{} seed{}, {runs} runs", search.seeds.len(), if search.seeds.len() == 1 { "" } else { "s" }),
    ];
    heading.extend(options.wall.map(str::to_owned));
    let mut lines = vec![heading.join("  "), String::new()];
    lines.extend(search.expectations.iter().map(|expectation| format!("holds: {expectation}")));
    lines.extend([String::new(), sentence(search), String::new()]);
    lines.extend(table(search).lines("", 3));
    lines.push(String::new());
    lines.extend(search.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.extend(options.report.map(|report| format!("report  {report}")));
    lines.push(String::new());
    lines.join("\n")
}

pub(super) fn sentence(search: &Search) -> String {
    let (seeds, unit) = (search.seeds.len(), &search.searched.unit);
    let number = |value: f64| format!("{}{unit}", (value * 100.0).round() / 100.0);
    let verb = if search.direction == Way::UntilFails { "holds up to" } else { "holds from" };
    let Some((low, high)) = search.range else {
        return format!("no answer within {}..{}", search.searched.low, search.searched.high);
    };
    let found = search.seeds.iter().filter(|seed| seed.place == Place::Edge).count();
    let mut text = match search.median {
        Some(median) => format!("{verb} {} (median of {seeds}; {} to {}", number(median), number(low), number(high)),
        None => format!("{verb} {} to {} where it has an end within the range ({found} of {seeds}", number(low), number(high)),
    };
    if let Some(mean) = search.mean {
        text += &format!("; mean {}", number(mean));
    }
    if let Some(interval) = search.interval {
        text += &format!(", 95% interval {} to {}", number(interval.low), number(interval.high));
    }
    text + ")"
}

pub(super) fn table(search: &Search) -> Table {
    let mut table = Table::new(&["SEED", "HOLDS AT", "FAILS AT", "RUNS", ""]);
    for seed in &search.seeds {
        let holds = match seed.place {
            Place::Edge => seed.holds_at.clone().unwrap_or_default(),
            Place::Everywhere => "everywhere".to_owned(),
            Place::Nowhere => "-".to_owned(),
        };
        let note = if seed.monotone { "" } else { "not monotone" };
        let fails = seed.fails_at.clone().unwrap_or_else(|| "-".to_owned());
        table.push(vec![seed.seed.to_string(), holds, fails, seed.tried.to_string(), note.to_owned()]);
    }
    table
}
