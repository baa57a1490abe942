//! What is simulated, simplified or only taken, of every kind and field: one source for three readers.
//!
//! The data are in [`fields`] and in `kinds`. From them come the warnings WT0401 and WT0411 ([`check`]), the answers
//! of `wavetank explain KIND.field` ([`explain_object`]) and a section of docs/fidelity.md ([`fidelity_tables`]).
//! Invariant: the data name every field of the API types that are read (tests of `schema`).

mod explain;
mod fields;
mod schema;
mod tables;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use api::Kind;
use serde_json::Value;

use crate::check::Cx;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kinds;
use crate::locate::Part;
use crate::source::Step;

pub use explain::explain_object;
pub use tables::fidelity_tables;

/// How faithful a kind or field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It does what upstream does.
    Simulated,
    /// It does so in another way, which is told.
    Simplified,
    /// A real cluster would act on it where the simulator does not; the user is warned.
    Accepted,
    /// It decides nothing that is simulated; the user is not warned.
    Carried,
}

impl State {
    const ALL: [Self; 4] = [Self::Simulated, Self::Simplified, Self::Accepted, Self::Carried];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Simplified => "simplified",
            Self::Accepted => "accepted",
            Self::Carried => "carried",
        }
    }
}

/// Which values of a field a row speaks of.
#[derive(Clone, Copy, Debug)]
enum Values {
    All,
    Only(&'static [&'static str]),
    Except(&'static [&'static str]),
}

/// Fields of one type that share a state.
#[derive(Debug)]
struct Row {
    state: State,
    /// Names, separated by blanks; `name:Type` where the fields below have a section of their own.
    fields: &'static str,
    /// What is different, or what happens instead; empty where nothing is.
    how: &'static str,
    values: Values,
}

impl Row {
    const fn only(self, values: &'static [&'static str]) -> Self {
        Self { values: Values::Only(values), ..self }
    }

    const fn except(self, values: &'static [&'static str]) -> Self {
        Self { values: Values::Except(values), ..self }
    }

    fn speaks_of(&self, value: &Value) -> bool {
        let is_among = |words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
        match self.values {
            Values::All => !value.is_null(),
            Values::Only(words) => is_among(words),
            Values::Except(words) => value.is_string() && !is_among(words),
        }
    }

    /// The state in words: `accepted where it is not cpu`.
    fn state_words(&self) -> String {
        let list = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        match self.values {
            Values::All => self.state.as_str().to_owned(),
            Values::Only(words) => format!("{} where it is {}", self.state.as_str(), list(words)),
            Values::Except(words) => format!("{} where it is not {}", self.state.as_str(), list(words)),
        }
    }
}

const fn row(state: State, fields: &'static str, how: &'static str) -> Row {
    Row { state, fields, how, values: Values::All }
}

const fn simulated(fields: &'static str) -> Row {
    row(State::Simulated, fields, "")
}

const fn simplified(fields: &'static str, how: &'static str) -> Row {
    row(State::Simplified, fields, how)
}

const fn accepted(fields: &'static str, how: &'static str) -> Row {
    row(State::Accepted, fields, how)
}

const fn carried(fields: &'static str, how: &'static str) -> Row {
    row(State::Carried, fields, how)
}

/// The fields of one type of the API.
#[derive(Debug)]
struct Type {
    name: &'static str,
    rows: &'static [Row],
}

/// One field, ready for look-up. The first row is its state; further ones are of some of its values.
#[derive(Default)]
struct Field {
    rows: Vec<&'static Row>,
    /// The section of the fields below it.
    below: Option<&'static str>,
}

type Section = BTreeMap<&'static str, Field>;

/// The sections by type.
fn sections() -> &'static BTreeMap<&'static str, Section> {
    static SECTIONS: OnceLock<BTreeMap<&'static str, Section>> = OnceLock::new();
    SECTIONS.get_or_init(|| {
        let mut sections = BTreeMap::<_, Section>::new();
        for section in fields::TYPES {
            let found = sections.entry(section.name).or_default();
            for row in section.rows {
                for name in row.fields.split(' ') {
                    let (name, below) = name.split_once(':').map_or((name, None), |(name, below)| (name, Some(below)));
                    let field = found.entry(name).or_default();
                    field.rows.push(row);
                    field.below = field.below.or(below);
                }
            }
        }
        sections
    })
}

/// The type of an object; autoscaling/v1 has an older one.
fn root_type(kind: &'static str, api_version: &str) -> &'static str {
    if kind == Kind::HorizontalPodAutoscaler.as_str() && api_version == "autoscaling/v1" { "HorizontalPodAutoscaler/v1" } else { kind }
}

/// The severity of what is not simulated.
pub(crate) const fn severity(strict: bool) -> Severity {
    if strict { Severity::Error } else { Severity::Warning }
}

/// Says which fields of the object, and whether the object itself, are not simulated.
pub(crate) fn check(cx: &mut Cx<'_>, kind: Kind, value: &Value) {
    if !cx.options.fidelity {
        return;
    }
    if let Some(row) = kinds::row(kind.as_str()).filter(|row| row.state == State::Accepted) {
        let message = format!("{kind} is accepted, not simulated");
        let diagnostic = Diagnostic::new(severity(cx.options.strict), "WT0401", message).label(row.how);
        cx.push(diagnostic.grouped(kind.as_str()), &Step::Root.key("kind"), Part::Value);
        return; // its pods never run, so that their fields do not matter
    }
    let mut say = |group: String, how: &'static str, at: &Step<'_>| {
        let diagnostic = Diagnostic::new(severity(cx.options.strict), "WT0411", "a field is accepted, not simulated").label(how);
        cx.push(diagnostic.grouped(group), at, Part::Key);
    };
    let annotations = value.get("metadata").and_then(|meta| meta.get("annotations"));
    for (_, key, how) in fields::ANNOTATIONS.iter().filter(|known| known.0 == kind.as_str()) {
        if annotations.is_some_and(|annotations| annotations.get(key).is_some()) {
            say((*key).to_owned(), how, &Step::Root.key("metadata").key("annotations").key(key));
        }
    }
    let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or("");
    walk(value, root_type(kind.as_str(), api_version), &Step::Root, &mut say);
}

/// Says every accepted field below `value`, which is a `name` or a list of such.
fn walk(value: &Value, name: &'static str, at: &Step<'_>, say: &mut dyn FnMut(String, &'static str, &Step<'_>)) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, name, &at.index(index), say);
            }
        }
        Value::Object(entries) => {
            let Some(section) = sections().get(name) else { return };
            for (key, value) in entries {
                let Some(field) = section.get(key.as_str()) else { continue };
                for row in field.rows.iter().filter(|row| row.state == State::Accepted && row.speaks_of(value)) {
                    say(format!("{name}.{key}"), row.how, &at.key(key));
                }
                if let Some(below) = field.below {
                    walk(value, below, &at.key(key), say);
                }
            }
        }
        _ => {}
    }
}
