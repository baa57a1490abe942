//! The section of docs/fidelity.md on kinds and fields, as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Row, State, fields, root_type, sections};
use crate::kinds::{KINDS, KindRow};

/// A table of kinds, and for each kind that is read a table of its fields.
#[must_use]
pub fn fidelity_tables() -> String {
    let mut text = "| kind | state |\n|---|---|\n".to_owned();
    for state in State::ALL {
        for (how, names) in by_how(KINDS.iter().filter(|row| row.state == state)) {
            let code = match (state, names[0].kind) {
                (State::Accepted, Some(_)) => ", WT0401",
                (State::Accepted, None) => ", WT0402 as a warning",
                (State::Carried, _) => ", WT0402 as a note",
                _ => "",
            };
            let names: Vec<&str> = names.iter().map(|row| row.name).collect();
            let how = if how.is_empty() { String::new() } else { format!(": {how}") };
            let _ = writeln!(text, "| {} | {}{code}{how} |", names.join(", "), state.as_str());
        }
    }
    let mut told = BTreeSet::new();
    for kind in KINDS {
        for version in kind.versions {
            let _ = write!(text, "\n### {} ({version})\n\n| where | fields | state |\n|---|---|---|\n", kind.name);
            section(&mut text, root_type(kind.name, version), "", &mut told);
        }
    }
    text
}

/// Kinds that share what is said of them, in the order of their first.
fn by_how<'k>(rows: impl Iterator<Item = &'k KindRow>) -> Vec<(&'static str, Vec<&'k KindRow>)> {
    let mut groups: Vec<(&'static str, Vec<&KindRow>)> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|(how, _)| *how == row.how) {
            Some((_, names)) => names.push(row),
            None => groups.push((row.how, vec![row])),
        }
    }
    groups
}

/// The rows of a type and of those below it, where the type comes first.
fn section(text: &mut String, name: &'static str, at: &str, told: &mut BTreeSet<&'static str>) {
    if !told.insert(name) {
        return;
    }
    let place = if at.is_empty() { String::new() } else { format!("`{at}` ({})", type_name(name)) };
    for row in fields::TYPES.iter().filter(|section| section.name == name).flat_map(|section| section.rows) {
        let names = row.fields.split(' ').map(|field| match field.split_once(':') {
            Some((field, below)) => format!("`{field}` ({})", type_name(below)),
            None => format!("`{field}`"),
        });
        let _ = writeln!(text, "| {place} | {} | {} |", names.collect::<Vec<_>>().join(", "), state(row));
    }
    for (field, below) in sections().get(name).into_iter().flatten().filter_map(|(field, row)| Some((field, row.below?))) {
        let at = if at.is_empty() { (*field).to_owned() } else { format!("{at}.{field}") };
        section(text, below, &at, told);
    }
}

/// The name in the API: without the version that tells two of one name apart.
fn type_name(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

fn state(row: &Row) -> String {
    let how = if row.how.is_empty() { String::new() } else { format!(": {}", row.how) };
    let code = if row.state == State::Accepted { ", WT0411" } else { "" };
    format!("{}{code}{how}", row.state_words())
}
