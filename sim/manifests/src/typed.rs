//! A typed struct out of a `Value`, with every mistake named at its place.
//!
//! serde stops at the first mistake. Here the value that caused it is left out and the reading repeated, so that
//! all mistakes are found. Because this deserializer sees the list of fields that each struct knows, it also finds
//! unknown fields and can say which known one was meant. It is the only deserializer from which the types of
//! k8s-openapi are read: each further one would compile them all again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Problems, Severity};
use crate::locate::Part;
use crate::nearest::suggestion;
use crate::source::{Pointer, Step};
use crate::yaml::Document;

/// What to make of fields that the type does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnknownFields {
    /// An error WT0106, as in scenario files.
    Error,
    /// A warning WT0403, as in manifests.
    Warning,
    /// Nothing.
    Ignore,
}

/// Reads the part of `document` at `path` as a `T`. All mistakes go into `problems`; `None` when there was an error.
pub fn typed<T: DeserializeOwned>(document: &Arc<Document>, path: &Pointer, unknown: UnknownFields, problems: &mut Problems) -> Option<T> {
    let (read, sound) = read_at(document, path, unknown, problems);
    read.filter(|_| sound)
}

/// As [`typed`], but what is sound is returned in spite of mistakes elsewhere: the mistaken parts are as if missing.
pub fn typed_so_far<T: DeserializeOwned>(
    document: &Arc<Document>,
    path: &Pointer,
    unknown: UnknownFields,
    problems: &mut Problems,
) -> Option<T> {
    read_at(document, path, unknown, problems).0
}

fn read_at<T: DeserializeOwned>(
    document: &Arc<Document>,
    path: &Pointer,
    unknown: UnknownFields,
    problems: &mut Problems,
) -> (Option<T>, bool) {
    let (read, mistakes) = match path.get(&document.value) {
        Some(value) => read_value(value),
        None => (None, vec![Mistake { at: Pointer::root(), what: What::Missing(path.last().unwrap_or_default()) }]),
    };
    let mut sound = true;
    for mistake in mistakes {
        let Some(diagnostic) = mistake.diagnostic(unknown) else { continue };
        sound &= diagnostic.severity != Severity::Error;
        problems.push(diagnostic.at(document, &path.join(&mistake.at), mistake.part()));
    }
    (read, sound)
}

/// One mistake, with its path below the value that was read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Mistake {
    pub(crate) at: Pointer,
    pub(crate) what: What,
}

/// What kind of mistake.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum What {
    WrongType { found: String, expected: String },
    UnknownField { name: String, known: &'static [&'static str] },
    UnknownVariant { found: String, known: &'static [&'static str] },
    Missing(String),
    Other(String),
}

impl Mistake {
    pub(crate) fn part(&self) -> Part {
        if matches!(self.what, What::UnknownField { .. }) { Part::Key } else { Part::Value }
    }

    pub(crate) fn diagnostic(&self, unknown: UnknownFields) -> Option<Diagnostic> {
        Some(match &self.what {
            What::WrongType { found, expected } => {
                let diagnostic = Diagnostic::error("WT0105", "wrong type").label(format!("found {found}, expected {expected}"));
                if expected == "a string" && !found.starts_with(['a', 'n']) { diagnostic.help("put it in quotes") } else { diagnostic }
            }
            What::UnknownField { name, known } => {
                let (severity, code, label) = match unknown {
                    UnknownFields::Error => (Severity::Error, "WT0106", "no such field"),
                    UnknownFields::Warning => (Severity::Warning, "WT0403", "no such field; it has no effect"),
                    UnknownFields::Ignore => return None,
                };
                let diagnostic = Diagnostic::new(severity, code, format!("unknown field `{name}`")).label(label);
                match suggestion(name, known) {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
            What::UnknownVariant { found, known } => {
                let diagnostic = Diagnostic::error("WT0108", format!("unknown value `{found}`")).label("not one of the values known here");
                match suggestion(found, known) {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
            What::Missing(field) => {
                Diagnostic::error("WT0107", format!("required field `{field}` is missing")).label(format!("`{field}` belongs here"))
            }
            What::Other(message) => Diagnostic::error("WT0118", "invalid value").label(message.clone()),
        })
    }
}

/// More mistakes than this in one value are not looked for.
const ROUNDS: usize = 50;

/// Reads `value`, and says what is wrong with it. The result may be there in spite of mistakes: then all that was
/// mistaken was left out.
pub(crate) fn read_value<T: DeserializeOwned>(value: &Value) -> (Option<T>, Vec<Mistake>) {
    let state = State::default();
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut read = None;
    for _ in 0..ROUNDS {
        let error = match T::deserialize(At { value, step: &Step::Root, state: &state }) {
            Ok(found) => {
                read = Some(found);
                break;
            }
            Err(error) => error,
        };
        let at = state.error_at.take().unwrap_or_default();
        let is_consequence = matches!(&error.0, What::Missing(field) if state.left_out.borrow().contains(&at.key(field)));
        if !is_consequence {
            mistakes.push(Mistake { at: at.clone(), what: error.0 });
        }
        if !leave_out(&mut state.left_out.borrow_mut(), at) {
            break;
        }
    }
    mistakes.extend(state.unknown.into_inner().into_iter().map(|(at, known)| {
        let name = at.last().unwrap_or_default();
        Mistake { at, what: What::UnknownField { name, known } }
    }));
    (read, mistakes)
}

/// Leaves out the value at `at`, or the nearest one around it that is still there. The whole cannot be left out.
fn leave_out(left_out: &mut BTreeSet<Pointer>, mut at: Pointer) -> bool {
    while at != Pointer::root() {
        if left_out.insert(at.clone()) {
            return true;
        }
        at = at.parent();
    }
    false
}

#[derive(Default)]
struct State {
    error_at: RefCell<Option<Pointer>>,
    left_out: RefCell<BTreeSet<Pointer>>,
    unknown: RefCell<std::collections::BTreeMap<Pointer, &'static [&'static str]>>,
}

/// A value at its place.
#[derive(Clone, Copy)]
struct At<'v, 'p> {
    value: &'v Value,
    step: &'p Step<'p>,
    state: &'p State,
}

/// Why a value is not what the type wants.
#[derive(Debug)]
struct Failure(What);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(What::Other(message.to_string()))
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(What::WrongType { found: found_words(&found), expected: expected_words(&expected.to_string()) })
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self(What::UnknownVariant { found: found.to_owned(), known })
    }
    fn missing_field(field: &'static str) -> Self {
        Self(What::Missing(field.to_owned()))
    }
    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self(What::UnknownField { name: field.to_owned(), known })
    }
}

fn found_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("{value}"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) if text.chars().count() > 40 => format!("the text \"{}…\"", text.chars().take(40).collect::<String>()),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit => "nothing (null)".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

fn expected_words(expected: &str) -> String {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer",
        "u8" | "u16" | "u32" | "u64" | "usize" => "an integer not below zero",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "string" => "a string",
        "IntOrString" => "an integer or a string",
        "Quantity" => "a quantity",
        other if other.starts_with("struct ") => "a mapping",
        other => other,
    }
    .to_owned()
}

impl<'v> At<'v, '_> {
    fn wrong(&self, expected: &str) -> Failure {
        let found = match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(number) => {
                number.as_i64().map_or_else(|| Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)), Unexpected::Signed)
            }
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        self.fail(Failure(What::WrongType { found: found_words(&found), expected: expected.to_owned() }))
    }

    /// Remembers the innermost place of an error.
    fn fail(&self, error: Failure) -> Failure {
        self.state.error_at.borrow_mut().get_or_insert_with(|| self.step.pointer());
        error
    }

    fn is_left_out(&self) -> bool {
        let left_out = self.state.left_out.borrow();
        !left_out.is_empty() && left_out.contains(&self.step.pointer())
    }

    fn number<V: Visitor<'v>>(self, visitor: V, integral: bool) -> Result<V::Value, Failure> {
        let Value::Number(number) = self.value else { return self.any(visitor) };
        let result = if let Some(value) = number.as_u64() {
            visitor.visit_u64(value)
        } else if let Some(value) = number.as_i64() {
            visitor.visit_i64(value)
        } else {
            match number.as_f64().unwrap_or(f64::NAN) {
                // As in JSON, 1e3 is an integer too.
                value if integral && value.fract() == 0.0 && value.abs() < 9e15 => visitor.visit_i64(value as i64),
                value => visitor.visit_f64(value),
            }
        };
        result.map_err(|error| self.fail(error))
    }

    fn any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(_) => return self.number(visitor, false),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { at: self, items: items.iter().enumerate() }),
            Value::Object(entries) => visitor.visit_map(Entries { at: self, entries: entries.iter(), next: None, known: None }),
        }
        .map_err(|error| self.fail(error))
    }
}

macro_rules! integers {
    ($($name:ident)*) => {
        $(fn $name<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> { self.number(visitor, true) })*
    };
}

impl<'v> serde::Deserializer<'v> for At<'v, '_> {
    type Error = Failure;

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.any(visitor)
    }
    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }.map_err(|error| self.fail(error))
    }
    fn deserialize_newtype_struct<V: Visitor<'v>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        if name == "Quantity" && self.value.is_null() {
            // The API server takes a quantity that is null for zero.
            let zero: serde::de::value::StrDeserializer<'v, Failure> = "0".into_deserializer();
            return visitor.visit_newtype_struct(zero);
        }
        visitor.visit_newtype_struct(self).map_err(|error| self.fail(error))
    }
    fn deserialize_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Value::Object(entries) = self.value else { return Err(self.wrong("a mapping")) };
        visitor.visit_map(Entries { at: self, entries: entries.iter(), next: None, known: Some(known) }).map_err(|error| self.fail(error))
    }
    fn deserialize_map<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.value.is_object() { self.any(visitor) } else { Err(self.wrong("a mapping")) }
    }
    fn deserialize_seq<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.value.is_array() { self.any(visitor) } else { Err(self.wrong("a list")) }
    }
    fn deserialize_enum<V: Visitor<'v>>(
        self,
        _name: &'static str,
        _known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Object(entries) if entries.len() == 1 => match entries.iter().next() {
                Some((name, value)) => visitor.visit_enum(Variant { at: self, name, value }),
                None => return Err(self.wrong("a mapping with one key")),
            },
            Value::Object(_) => return Err(self.wrong("a mapping with one key")),
            _ => return Err(self.wrong("a string")),
        }
        .map_err(|error| self.fail(error))
    }
    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'v>>
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'v, 'p> {
    at: At<'v, 'p>,
    items: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
}

impl<'v> SeqAccess<'v> for Items<'v, '_> {
    type Error = Failure;
    fn next_element_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        for (index, value) in self.items.by_ref() {
            let step = Step::Index(self.at.step, index);
            let at = At { value, step: &step, state: self.at.state };
            if !at.is_left_out() {
                return seed.deserialize(at).map(Some);
            }
        }
        Ok(None)
    }
}

struct Entries<'v, 'p> {
    at: At<'v, 'p>,
    entries: serde_json::map::Iter<'v>,
    next: Option<(&'v String, &'v Value)>,
    known: Option<&'static [&'static str]>,
}

impl<'v> MapAccess<'v> for Entries<'v, '_> {
    type Error = Failure;
    fn next_key_seed<K: DeserializeSeed<'v>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        for (key, value) in self.entries.by_ref() {
            let step = Step::Key(self.at.step, key);
            let at = At { value, step: &step, state: self.at.state };
            if at.is_left_out() {
                continue;
            }
            if let Some(known) = self.known.filter(|known| !known.contains(&key.as_str())) {
                self.at.state.unknown.borrow_mut().insert(step.pointer(), known);
                continue;
            }
            self.next = Some((key, value));
            let text: serde::de::value::BorrowedStrDeserializer<'v, Failure> = serde::de::value::BorrowedStrDeserializer::new(key);
            return seed.deserialize(text).map(Some).map_err(|error| at.fail(error));
        }
        Ok(None)
    }
    fn next_value_seed<V: DeserializeSeed<'v>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, value)) = self.next.take() else { return Err(Failure(What::Other("a value without a key".to_owned()))) };
        let step = Step::Key(self.at.step, key);
        seed.deserialize(At { value, step: &step, state: self.at.state })
    }
}

/// `{variant: content}`.
struct Variant<'v, 'p> {
    at: At<'v, 'p>,
    name: &'v str,
    value: &'v Value,
}

impl<'v> EnumAccess<'v> for Variant<'v, '_> {
    type Error = Failure;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'v>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let step = Step::Key(self.at.step, self.name);
        let at = At { value: self.value, step: &step, state: self.at.state };
        let name: serde::de::value::StrDeserializer<'v, Failure> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|error| at.fail(error))?;
        Ok((variant, self))
    }
}

impl<'v> Variant<'v, '_> {
    fn content<T>(&self, read: impl FnOnce(At<'v, '_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let step = Step::Key(self.at.step, self.name);
        read(At { value: self.value, step: &step, state: self.at.state })
    }
}

impl<'v> VariantAccess<'v> for Variant<'v, '_> {
    type Error = Failure;
    fn unit_variant(self) -> Result<(), Failure> {
        self.content(|at| match at.value {
            Value::Null => Ok(()),
            Value::Object(entries) if entries.is_empty() => Ok(()),
            _ => Err(at.wrong("nothing")),
        })
    }
    fn newtype_variant_seed<T: DeserializeSeed<'v>>(self, seed: T) -> Result<T::Value, Failure> {
        self.content(|at| seed.deserialize(at))
    }
    fn tuple_variant<V: Visitor<'v>>(self, _len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.content(|at| serde::Deserializer::deserialize_seq(at, visitor))
    }
    fn struct_variant<V: Visitor<'v>>(self, known: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.content(|at| serde::Deserializer::deserialize_struct(at, "", known, visitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Outer {
        name: String,
        replicas: Option<i32>,
        mode: Mode,
        #[serde(default)]
        items: Vec<Item>,
    }
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        One,
        Fixed { value: u32 },
        FixedPercent(f64),
    }
    #[derive(Deserialize, Debug, PartialEq)]
    struct Item {
        at: u64,
        label: String,
    }

    fn read(value: Value) -> (Option<Outer>, Vec<(String, What)>) {
        let (read, mistakes) = read_value(&value);
        (read, mistakes.into_iter().map(|mistake| (mistake.at.to_string(), mistake.what)).collect())
    }

    #[test]
    fn right_values_are_read() {
        let (outer, mistakes) =
            read(serde_json::json!({"name": "a", "replicas": 1e3, "mode": {"fixed": {"value": 2}}, "items": [{"at": 1, "label": "x"}]}));
        assert_eq!(mistakes, []);
        let outer = outer.unwrap();
        assert_eq!((outer.replicas, outer.mode, outer.items.len()), (Some(1000), Mode::Fixed { value: 2 }, 1));
        assert_eq!(read(serde_json::json!({"name": "a", "mode": {"fixed-percent": 5}})).0.unwrap().mode, Mode::FixedPercent(5.0));
        assert_eq!(read(serde_json::json!({"name": "a", "mode": "one"})).0.unwrap().mode, Mode::One);
    }

    #[test]
    fn all_mistakes_are_found_at_their_places() {
        let (_, mistakes) = read(serde_json::json!({
            "name": 5, "replcas": 2, "replicas": "three", "mode": {"fixed": {"value": -1}},
            "items": [{"at": true, "label": "x", "lable": 1}, {"at": 2}, 7]
        }));
        let wrong = |found: &str, expected: &str| What::WrongType { found: found.into(), expected: expected.into() };
        let places: Vec<&str> = mistakes.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(places, ["name", "replicas", "mode.fixed.value", "items[0].at", "items[1]", "items[2]", "items[0].lable", "replcas"]);
        assert_eq!(mistakes[0].1, wrong("the number 5", "a string"));
        assert_eq!(mistakes[1].1, wrong("the text \"three\"", "an integer"));
        assert_eq!(mistakes[2].1, wrong("the number -1", "an integer not below zero"));
        assert_eq!(mistakes[3].1, wrong("true", "an integer not below zero"));
        assert_eq!(mistakes[4].1, What::Missing("label".into()));
        assert_eq!(mistakes[5].1, wrong("the number 7", "a mapping"));
        let (_, mistakes) = read(serde_json::json!({"name": "a", "mode": "fixd"}));
        assert_eq!(mistakes[0].1, What::UnknownVariant { found: "fixd".into(), known: &["one", "fixed", "fixed-percent"] });
    }
}
