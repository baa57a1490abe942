//! The summary of a pipeline's run, as GitHub, GitLab and others render Markdown: the verdict, what is wrong, a table,
//! one picture, and everything else folded away.
//!
//! Invariant: at most 900 kB; GitHub refuses a summary beyond 1 MiB. What does not fit is left out from the end, and
//! the reader is told.

use super::{before_and_after, difference, expectation, gate_conclusion, what_came, worse};
use crate::gate::{Tested, Timeline};
use crate::render::text::{conclusion, seeds_text};
use crate::render::{TextOptions, text};
use crate::verdict::Outcome;

/// The most bytes.
const MOST_BYTES: usize = 900_000;

/// The document. Ends with a line feed.
#[must_use]
pub fn summary(all: &[Tested]) -> String {
    let sign = if all.iter().any(Tested::failed) { "❌" } else { "✅" };
    let mut parts = vec![format!("### {sign} wavetank: {}\n", gate_conclusion(all)), failures(all), table(all)];
    parts.extend(picture(all));
    parts.extend(all.iter().filter(|tested| !tested.was_skipped()).map(details));
    within(parts)
}

fn within(parts: Vec<String>) -> String {
    let mut document = String::new();
    let (total, mut taken) = (parts.len(), 0);
    for part in parts {
        if document.len() + part.len() > MOST_BYTES {
            break;
        }
        document.push_str(&part);
        document.push('\n');
        taken += 1;
    }
    if taken < total {
        document.push_str(&format!("{} more parts did not fit here; the results have them.\n", total - taken));
    }
    document
}

/// What is wrong, first of all.
fn failures(all: &[Tested]) -> String {
    let mut lines = Vec::new();
    for tested in all {
        let title = cell(&tested.title());
        lines.extend(tested.stopped.iter().map(|(seed, why)| format!("- **{title}**: seed {seed} was stopped early: {}", cell(why))));
        for judged in tested.verdict.expectations.iter().filter(|judged| judged.outcome != Outcome::Pass) {
            let soft = if &*judged.severity == "error" { String::new() } else { format!(" ({} only)", judged.severity) };
            lines.push(format!("- **{title}**: {}, but {}{soft}", cell(&expectation(judged)), cell(&what_came(judged))));
        }
        for standing in worse(tested) {
            let interval = difference(standing, "−");
            let interval = if interval.is_empty() { interval } else { format!(", {interval}") };
            lines.push(format!(
                "- **{title}**: {} is worse than the baseline: {}{interval}",
                cell(&standing.row.title()),
                before_and_after(standing, "→")
            ));
        }
    }
    if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}

fn table(all: &[Tested]) -> String {
    let with_baseline = all.iter().any(|tested| tested.against.is_some());
    let mut lines = vec!["| | Scenario | Runs | Expectations |".to_owned(), "|---|---|---|---|".to_owned()];
    if with_baseline {
        lines[0].push_str(" Baseline |");
        lines[1].push_str("---|");
    }
    for tested in all {
        let sign = match tested.failed() {
            _ if tested.was_skipped() => "⏭️",
            true => "❌",
            false => "✅",
        };
        let seeds: Vec<u64> = tested.runs.iter().map(|run| run.seed).collect();
        let (runs, expectations) =
            if tested.was_skipped() { ("left out".to_owned(), String::new()) } else { (seeds_text(&seeds), conclusion(&tested.verdict)) };
        let mut line = format!("| {sign} | {} | {runs} | {expectations} |", cell(&tested.title()));
        if with_baseline {
            let unknown = || if tested.was_skipped() { String::new() } else { "not in it".to_owned() };
            let against = tested.against.as_ref().map_or_else(unknown, crate::gate::Against::conclusion);
            line.push_str(&format!(" {against} |"));
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

/// Text in a table or a list: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// The timeline of the first scenario with something wrong, else of the first.
fn picture(all: &[Tested]) -> Option<String> {
    let drawn = || all.iter().filter_map(|tested| Some((tested, tested.timeline.as_ref()?)));
    let (_, timeline) = drawn().find(|(tested, _)| tested.failed()).or_else(|| drawn().next())?;
    Some(chart(timeline))
}

/// Grey for what was asked and blue for what came of it: mermaid's own first colour is nearly white.
const PALETTE: &str = r##"%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#8b96a5, #2f6fdf"}}}}%%"##;

fn chart(timeline: &Timeline) -> String {
    let top = timeline.lines.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
    let mut lines = vec![
        "```mermaid".to_owned(),
        PALETTE.to_owned(),
        "xychart-beta".to_owned(),
        format!("  title \"{}\"", timeline.title.replace('"', "'")),
        format!("  x-axis \"minutes\" 0 --> {}", tenths(timeline.minutes)),
        format!("  y-axis \"{}\" 0 --> {}", timeline.unit, tenths(top * 1.05)),
    ];
    for (name, values) in &timeline.lines {
        let values: Vec<String> = values.iter().map(|value| tenths(*value)).collect();
        lines.push(format!("  line \"{name}\" [{}]", values.join(", ")));
    }
    lines.push("```".to_owned());
    // Older versions of mermaid draw no legend.
    if let [(first, _), (second, _)] = &timeline.lines[..] {
        lines.push(format!("Grey: {first}; blue: {second}."));
    }
    lines.join("\n") + "\n"
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

/// What `wavetank run` prints of it, folded away.
fn details(tested: &Tested) -> String {
    let options = TextOptions { utf8: true, ..TextOptions::default() };
    let text = text(&tested.runs, &tested.verdict, &options);
    // A fence longer than any in the text keeps the text inside.
    let fence = "`".repeat(3.max(longest_run(&text, '`') + 1));
    let page = tested.page.as_ref().map_or_else(String::new, |page| format!("\nPage: `{page}`\n"));
    format!("<details><summary>{}</summary>\n\n{fence}text\n{text}{fence}\n{page}\n</details>\n", html(&tested.title()))
}

fn longest_run(text: &str, wanted: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
