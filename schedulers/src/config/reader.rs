//! A value of a configuration with its path; what is wrong with it is collected.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::Notice;

/// What was found while reading.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<String>,
    pub(crate) notices: Vec<Notice>,
}

/// A value at its path.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    path: String,
    value: &'a Value,
    findings: &'a RefCell<Findings>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &str, value: &'a Value, findings: &'a RefCell<Findings>) -> Self {
        Self { path: path.to_owned(), value, findings }
    }
    pub(crate) fn is_absent(&self) -> bool {
        self.value.is_null()
    }
    /// Says that something is wrong here.
    pub(crate) fn error(&self, why: impl AsRef<str>) {
        let path = if self.path.is_empty() { "the configuration" } else { &self.path };
        self.findings.borrow_mut().errors.push(format!("{path}: {}", why.as_ref()));
    }
    /// Says that what stands here is accepted and not simulated.
    pub(crate) fn notice(&self, why: &str) {
        self.findings.borrow_mut().notices.push(Notice { path: self.path.clone(), why: why.to_owned() });
    }
    /// The value under `key`, absent when there is none.
    pub(crate) fn get(&self, key: &str) -> Self {
        const ABSENT: &Value = &Value::Null;
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, value: self.value.get(key).unwrap_or(ABSENT), findings: self.findings }
    }
    /// Demands a mapping (or nothing) with only these keys.
    pub(crate) fn fields(&self, known: &[&str]) {
        match self.value {
            Value::Null => {}
            Value::Object(map) => {
                for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
                    self.error(format!("unknown field {key:?}; known: {}", known.join(", ")));
                }
            }
            _ => self.error("has to be a mapping"),
        }
    }
    /// The items of a list.
    pub(crate) fn list(&self) -> Vec<Self> {
        match self.value {
            Value::Null => Vec::new(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, value)| Self { path: format!("{}[{at}]", self.path), value, findings: self.findings })
                .collect(),
            _ => {
                self.error("has to be a list");
                Vec::new()
            }
        }
    }
    pub(crate) fn texts(&self) -> Vec<&'a str> {
        self.list().iter().map(|item| item.text("")).collect()
    }
    pub(crate) fn text(&self, default: &'a str) -> &'a str {
        match self.value {
            Value::Null => default,
            Value::String(text) => text,
            _ => {
                self.error("has to be a string");
                default
            }
        }
    }
    pub(crate) fn boolean(&self, default: bool) -> bool {
        match self.value {
            Value::Null => default,
            Value::Bool(value) => *value,
            _ => {
                self.error("has to be true or false");
                default
            }
        }
    }
    pub(crate) fn integer(&self, default: i64, range: RangeInclusive<i64>) -> i64 {
        if self.is_absent() {
            return default;
        }
        match self.value.as_i64() {
            Some(value) if range.contains(&value) => value,
            Some(value) => {
                self.error(format!("{value} is not in the range {} to {}", range.start(), range.end()));
                default
            }
            None => {
                self.error("has to be a whole number");
                default
            }
        }
    }
}
