//! What `wavetank diff` prints: the first difference, then a summary; and its document for programs.

use api::SimTime;

use super::comparison::signed;
use super::{Table, TextOptions};
use crate::compare::Pair;
use crate::difference::{Difference, Parting, Told};

/// Rows of a table before the rest is only counted.
const ROWS: usize = 12;

/// To the millisecond: what parts two runs may be little.
fn clock(at: SimTime) -> String {
    let millis = at.as_nanos() / 1_000_000;
    format!("{}.{:03}s", millis / 1000, millis % 1000)
}

/// Settings, the parting, and what came of it. `names` are what the two sides are called. Ends with a line feed.
#[must_use]
pub fn difference_text(difference: &Difference, names: [&str; 2], all: bool, options: &TextOptions<'_>) -> String {
    let mut lines = Vec::new();
    if !difference.settings.is_empty() {
        let mut table = Table::new(&["SETTING", names[0], names[1]]);
        for setting in &difference.settings {
            table.push(std::iter::once(setting.setting.clone()).chain(setting.values.iter().map(|value| shortened(value))).collect());
        }
        lines.extend(table.lines("", 3));
        lines.push(String::new());
    }
    let Some(parting) = &difference.parting else {
        let records: u64 = difference.counts.iter().map(|count| count.counts[0]).sum();
        lines.push(format!("equal: all {records} records of the two runs are the same"));
        lines.push(String::new());
        return lines.join("\n");
    };
    let at = parting.one.first().into_iter().chain(&parting.other).map(|told| told.at).min();
    let at = at.map_or_else(String::new, |at| format!("at {}, ", clock(at)));
    lines.push(format!("{}  {at}record {}", options.heading("FIRST DIFFERENCE"), parting.record));
    lines.extend(parting_lines(parting, names));
    lines.push(String::new());
    lines.extend(elsewhere(difference, names, all, options));
    lines.extend(metrics(difference, names, all, options));
    lines.extend(counts(difference, names, all, options));
    lines.join("\n")
}

/// The records around a parting: those before it, then one side's, then the other's.
#[must_use]
pub fn parting_lines(parting: &Parting, names: [&str; 2]) -> Vec<String> {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |name: &str, told: &Told| format!("  {name:width$}  {:>9}  {}", clock(told.at), cut(&told.text));
    let mut lines: Vec<String> = parting.before.iter().map(|told| line("", told)).collect();
    for (name, side) in [(names[0], &parting.one), (names[1], &parting.other)] {
        lines.extend(side.iter().map(|told| line(name, told)));
        if side.is_empty() {
            lines.push(format!("  {name:width$}  {:>9}  has ended", ""));
        }
    }
    // Two records may read the same: then they are shown as they stand.
    if let (Some(one), Some(other)) = (parting.one.first(), parting.other.first())
        && (one.at, &one.text) == (other.at, &other.text)
    {
        let raw = |told: &Told| serde_json::to_string(&told.record).unwrap_or_default();
        let apart = distinct(&raw(one), &raw(other));
        lines.extend([names[0], names[1]].iter().zip(apart).map(|(name, text)| format!("  {name:width$}  {:>9}  {text}", "")));
    }
    lines
}

/// From a little before the first letter that differs, a line of each.
fn distinct(one: &str, other: &str) -> [String; 2] {
    const LEAD: usize = 30;
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(LEAD);
    [one, other].map(|text| {
        let front = if from > 0 { "…" } else { "" };
        cut(&format!("{front}{}", text.chars().skip(from).collect::<String>()))
    })
}

/// At most as long as a line should be.
fn cut(text: &str) -> String {
    const LONGEST: usize = 140;
    if text.chars().count() > LONGEST { text.chars().take(LONGEST).chain(['…']).collect() } else { text.to_owned() }
}

fn shortened(value: &str) -> String {
    const LONGEST: usize = 40;
    if value.chars().count() > LONGEST { value.chars().take(LONGEST).chain(['…']).collect() } else { value.to_owned() }
}

/// A table's first rows, and how many more there are.
fn told(heading: &str, table: Table, all: bool) -> Vec<String> {
    let mut lines = vec![heading.to_owned()];
    let rows = table.lines("  ", 3);
    let shown = if all { rows.len() } else { rows.len().min(ROWS + 1) };
    lines.extend_from_slice(&rows[..shown]);
    if shown < rows.len() {
        lines.push(format!("  and {} more (--all)", rows.len() - shown));
    }
    lines.push(String::new());
    lines
}

fn elsewhere(difference: &Difference, names: [&str; 2], all: bool, options: &TextOptions<'_>) -> Vec<String> {
    let heading = options.heading("PODS");
    let mut moved: Vec<_> = difference.moved.iter().filter(|moved| moved.is_any()).collect();
    if moved.is_empty() {
        return vec![format!("{heading}  all placed on the same nodes"), String::new()];
    }
    moved.sort_by_key(|moved| (std::cmp::Reverse(moved.elsewhere), &moved.workload));
    let only = names.map(|name| format!("ONLY IN {name}"));
    let mut table = Table::new(&["WORKLOAD", "IN BOTH", "PLACED ELSEWHERE", &only[0], &only[1]]);
    for moved in moved {
        let counts = [moved.pods, moved.elsewhere, moved.only_one, moved.only_other].map(|count| count.to_string());
        table.push(std::iter::once(moved.workload.to_string()).chain(counts).collect());
    }
    told(&format!("{heading}  {} placed elsewhere", difference.elsewhere()), table, all)
}

fn metrics(difference: &Difference, names: [&str; 2], all: bool, options: &TextOptions<'_>) -> Vec<String> {
    if difference.metrics.is_empty() {
        return Vec::new();
    }
    let different: Vec<&Pair> = difference.metrics.iter().filter(|pair| pair.is_different()).collect();
    let same = difference.metrics.len() - different.len();
    let mut table = Table::new(&["METRIC", names[0], names[1], "DIFFERENCE"]);
    for pair in different {
        let value = |side: usize| match (pair.values[side], pair.never[side]) {
            (Some(value), _) => pair.unit.format(value),
            (None, true) => "never".to_owned(),
            (None, false) => "no data".to_owned(),
        };
        let minus = if options.utf8 { "−" } else { "-" };
        let by = match pair.values {
            [Some(one), Some(other)] => signed(pair.unit, other - one, minus),
            _ => String::new(),
        };
        table.push(vec![pair.metric.clone(), value(0), value(1), by]);
    }
    let heading = options.heading("METRICS");
    match (table.rows.is_empty(), same) {
        (true, same) => vec![format!("{heading}  all {same} the same"), String::new()],
        (false, 0) => told(&heading, table, all),
        (false, 1) => told(&format!("{heading}  one other is the same"), table, all),
        (false, same) => told(&format!("{heading}  {same} others are the same"), table, all),
    }
}

fn counts(difference: &Difference, names: [&str; 2], all: bool, options: &TextOptions<'_>) -> Vec<String> {
    let heading = options.heading("RECORDS");
    let mut different: Vec<_> = difference.counts.iter().filter(|count| count.counts[0] != count.counts[1]).collect();
    if different.is_empty() {
        return vec![format!("{heading}  as many of every kind"), String::new()];
    }
    different.sort_by_key(|count| (std::cmp::Reverse(count.counts[0].abs_diff(count.counts[1])), &count.record));
    let mut table = Table::new(&["KIND", names[0], names[1]]);
    for count in different {
        table.push(vec![count.record.clone(), count.counts[0].to_string(), count.counts[1].to_string()]);
    }
    told(&heading, table, all)
}

/// The document for programs. Ends with a line feed.
#[must_use]
pub fn difference_document(difference: &Difference, names: [&str; 2]) -> String {
    let mut document = serde_json::json!({ "schemaVersion": 1, "runs": names, "equal": difference.is_equal() });
    if let (Some(document), Ok(serde_json::Value::Object(fields))) = (document.as_object_mut(), serde_json::to_value(difference)) {
        document.extend(fields);
    }
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use trace::{Record, Trace};

    use super::*;
    use crate::testing::{black_friday, node_failure};
    use crate::{Measures, Run, compare, difference};

    fn compared(one: &Trace, other: &Trace) -> Difference {
        let records = |trace: &Trace| trace.records.clone().into_iter().map(Ok::<_, Infallible>);
        let Ok(mut difference) = difference::of([&one.header, &other.header], records(one), records(other));
        difference.metrics = compare::pairs(&Measures::of(&Run::new(one)), &Measures::of(&Run::new(other)));
        difference
    }

    fn told(one: &Trace, other: &Trace) -> String {
        difference_text(&compared(one, other), ["default", "mine"], false, &TextOptions { utf8: true, ..TextOptions::default() })
    }

    #[test]
    fn two_runs_are_told_apart_in_a_screenful() {
        let one = node_failure(1);
        let mut other = one.clone();
        other.header.policy = "mine".into();
        other.header.questions.clear();
        for (_, record) in &mut other.records {
            if let Record::PodScheduled { node, feasible_nodes, .. } = record
                && *feasible_nodes > 5
            {
                *node = "general-000".into();
            }
        }
        let mut shorter = one.clone();
        shorter.records.truncate(40);
        let mut subtle = one.clone();
        if let Some((_, Record::NodeAdded { cpu_millis, .. })) = subtle.records.first_mut() {
            *cpu_millis += 1;
        }
        let texts = [told(&one, &one), told(&one, &other), told(&one, &shorter), told(&one, &subtle), told(&one, &black_friday(2))];
        insta::assert_snapshot!(texts.join("\n----\n"));
    }

    #[test]
    fn the_document_has_the_parting_and_says_whether_there_is_one() {
        let one = node_failure(1);
        let mut other = one.clone();
        other.records[7].0 = other.records[8].0 + api::SimDuration::from_millis(1);
        let document = |other: &Trace| -> serde_json::Value {
            serde_json::from_str(&difference_document(&compared(&one, other), ["a", "b"])).unwrap_or_default()
        };
        assert_eq!((&document(&one)["equal"], &document(&one)["parting"]), (&true.into(), &serde_json::Value::Null));
        let parted = document(&other);
        assert_eq!((&parted["equal"], &parted["parting"]["record"]), (&false.into(), &8.into()));
        assert_eq!(parted["parting"]["one"][0]["record"]["record"], "NodeReady");
    }
}
