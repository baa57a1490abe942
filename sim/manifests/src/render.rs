//! Problems as text for people and as JSON for machines.

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Location, Problems, Severity};

/// How many problems are shown; the summary counts all.
const SHOWN: usize = 100;
/// Longer lines are not quoted.
const LINE_CHARS: usize = 2000;

/// All problems, by file and position, with a summary at the end. Empty when there are none.
#[must_use]
pub fn render(problems: &Problems, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(140);
    let all = problems.sorted();
    let mut text = String::new();
    for diagnostic in all.iter().take(SHOWN) {
        text.push_str(&render_one(diagnostic, &renderer));
        text.push_str("\n\n");
    }
    let total = (problems.error_count() + problems.warning_count() + problems.info_count()) as usize;
    if total > SHOWN {
        text.push_str(&format!("… and {} more not shown\n\n", total - all.len().min(SHOWN)));
    }
    text.push_str(&advice(&all));
    text.push_str(&summary(problems));
    text
}

/// How to learn more, and how to be left alone, by the example of the first error and warning.
fn advice(all: &[&Diagnostic]) -> String {
    let first = |severity| all.iter().find(|diagnostic| diagnostic.severity == severity).map(|diagnostic| diagnostic.code);
    let explain = first(Severity::Error).or_else(|| first(Severity::Warning));
    let explain = explain.map(|code| format!("`wavetank explain {code}` says more about it\n"));
    let allow = first(Severity::Warning)
        .map(|code| format!("`--allow {code}`, or a comment `# wavetank: allow {code}` at the place, hides a warning\n"));
    explain.into_iter().chain(allow).collect()
}

/// The last line: what was found in numbers, and whether anything runs. Empty when nothing was found.
#[must_use]
pub fn summary(problems: &Problems) -> String {
    let count = |number: u32, noun: &str| match number {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{number} {noun}s")),
    };
    let parts: Vec<String> =
        [count(problems.error_count(), "error"), count(problems.warning_count(), "warning"), count(problems.info_count(), "note")]
            .into_iter()
            .flatten()
            .collect();
    match (parts.is_empty(), problems.has_errors()) {
        (true, _) => String::new(),
        (false, true) => format!("{}; nothing was run\n", parts.join(", ")),
        (false, false) => format!("{}\n", parts.join(", ")),
    }
}

fn render_one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = annotate_snippets::Group::with_title(title);
    let window = diagnostic.primary.as_ref().map(Window::new);
    if let Some(window) = &window {
        group = window.add_to(group);
    }
    if let Some(context) = context(diagnostic) {
        group = group.element(Level::NOTE.with_name("at").message(context));
    }
    if let Some(inclusion) = diagnostic.primary.as_ref().and_then(|at| at.file.included_from.as_ref()) {
        group = group.element(Level::NOTE.message(format!("included by {inclusion}")));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let text = renderer.render(&[group]);
    // The snippet of a long line is padded on the right; people's editors strip that, and so do we.
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The object, and how many others have the same problem.
fn context(diagnostic: &Diagnostic) -> Option<String> {
    let own = diagnostic.context.as_ref()?;
    let own = own.strip_prefix("at ").unwrap_or(own);
    let others = diagnostic.count as usize - 1;
    if others == 0 {
        return Some(own.to_owned());
    }
    let named: Vec<&str> = diagnostic.also.iter().map(|also| also.rsplit(" of ").next().unwrap_or(also)).collect();
    let more = if others > named.len() { ", …" } else { "" };
    Some(format!("{own}; the same {others} more time{} ({}{more})", if others == 1 { "" } else { "s" }, named.join(", ")))
}

/// The quoted line with the bytes that are meant.
struct Window<'d> {
    at: &'d Location,
    line: &'d str,
    range: std::ops::Range<usize>,
}

impl<'d> Window<'d> {
    fn new(at: &'d Location) -> Self {
        let line = at.file.line(at.line);
        let byte = |chars: u32| line.char_indices().nth(chars as usize).map_or(line.len(), |(index, _)| index);
        let start = byte(at.column.saturating_sub(1));
        let end = byte(at.column.saturating_sub(1).saturating_add(at.len.max(1))).max(start);
        Self { at, line, range: start..end }
    }

    fn add_to<'a>(&'a self, group: annotate_snippets::Group<'a>) -> annotate_snippets::Group<'a> {
        let name: &str = &self.at.file.name;
        if self.line.trim().is_empty() || self.line.len() > LINE_CHARS {
            let origin = Origin::path(name).line(self.at.line as usize).char_column(self.at.column as usize);
            let group = group.element(origin);
            return if self.at.label.is_empty() { group } else { group.element(Level::NOTE.message(self.at.label.as_str())) };
        }
        let annotation = AnnotationKind::Primary.span(self.range.clone());
        let annotation = if self.at.label.is_empty() { annotation } else { annotation.label(self.at.label.as_str()) };
        group.element(Snippet::source(self.line).line_start(self.at.line as usize).path(name).annotation(annotation))
    }
}

/// All problems as one JSON document.
#[must_use]
pub fn to_json(problems: &Problems) -> Value {
    let diagnostics: Vec<Value> = problems.sorted().into_iter().map(diagnostic_json).collect();
    json!({
        "schemaVersion": 1,
        "errors": problems.error_count(),
        "warnings": problems.warning_count(),
        "infos": problems.info_count(),
        "suppressed": problems.suppressed_count(),
        "diagnostics": diagnostics,
    })
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let location = diagnostic.primary.as_ref().map(|at| {
        json!({
            "file": &*at.file.name,
            "line": at.line,
            "column": at.column,
            "length": at.len,
            "label": at.label,
            "includedFrom": at.file.included_from.as_ref().map(|from| json!({"file": &*from.file, "line": from.line, "column": from.column})),
        })
    });
    json!({
        "code": diagnostic.code,
        "severity": diagnostic.severity.as_str(),
        "message": diagnostic.message,
        "location": location,
        "context": diagnostic.context,
        "help": diagnostic.help,
        "notes": diagnostic.notes,
        "count": diagnostic.count,
    })
}
