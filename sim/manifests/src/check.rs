//! What is checked of every object, and how a mistake in one is said.
//!
//! The rules are those of API validation (pkg/apis/*/validation), limited to what users get wrong; an object that
//! passes here may still fail in a real cluster for reasons that do not matter to a simulation.

use std::fmt::Display;
use std::ops::RangeInclusive;

use api::{Quantity, ResourceList, ResourceName, SimDuration, SimTime, Str};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::diagnostic::{Diagnostic, Problems};
use crate::locate::Part;
use crate::nearest::suggestion;
use crate::objects::{Options, Origin};
use crate::source::{Pointer, Step};

/// The object being read, and where its problems go.
pub(crate) struct Cx<'a> {
    pub(crate) origin: &'a Origin,
    /// `Deployment/cart`.
    pub(crate) who: &'a str,
    pub(crate) options: &'a Options,
    pub(crate) problems: &'a mut Problems,
    /// Values of the wrong type, which were left out; what follows from that is not said.
    pub(crate) left_out: Vec<Pointer>,
}

impl Cx<'_> {
    /// Keeps `diagnostic` at a place below the object.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic, at: &Step<'_>, part: Part) {
        let path = at.pointer();
        if self.left_out.iter().any(|left_out| path.strip_prefix(left_out).is_some()) {
            return;
        }
        let context = if matches!(path.as_str(), "" | "/kind") { self.who.to_owned() } else { format!("{path} of {}", self.who) };
        self.problems.push(self.origin.locate(diagnostic, &path, part).context(context));
    }
    /// An error at a value.
    pub(crate) fn error(&mut self, code: &'static str, message: impl Into<String>, label: impl Into<String>, at: &Step<'_>) {
        self.push(Diagnostic::error(code, message).label(label), at, Part::Value);
    }
    /// An error at a value, with advice.
    pub(crate) fn error_with_help(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
        at: &Step<'_>,
    ) {
        self.push(Diagnostic::error(code, message).label(label).help(help), at, Part::Value);
    }
    /// A required field that is not there.
    pub(crate) fn missing(&mut self, field: &str, at: &Step<'_>) {
        let message = format!("required field `{field}` is missing");
        self.error("WT0107", message, format!("`{field}` belongs here"), &at.key(field));
    }

    /// The meaning of a word out of a few.
    pub(crate) fn word<T: Copy>(&mut self, text: &str, known: &[(&'static str, T)], at: &Step<'_>) -> Option<T> {
        if let Some((_, meaning)) = known.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
        let message = format!("unknown value `{text}`");
        let help = suggestion(text, &words).unwrap_or_default();
        self.error_with_help("WT0108", message, "not one of the values known here", help, at);
        None
    }

    /// `value`, if it lies in `range`.
    pub(crate) fn ranged<T: PartialOrd + Display + Copy>(&mut self, value: T, range: RangeInclusive<T>, at: &Step<'_>) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (start, end) = (range.start(), range.end().to_string());
        let expected = if end == i32::MAX.to_string() { format!("expected {start} or more") } else { format!("expected {start} to {end}") };
        self.error("WT0109", format!("{value} is out of range"), expected, at);
        None
    }

    /// A number of seconds, not below zero.
    pub(crate) fn seconds(&mut self, value: i64, at: &Step<'_>) -> SimDuration {
        if value < 0 {
            self.error("WT0109", format!("{value} seconds"), "a time cannot be negative", at);
        }
        SimDuration::from_secs(value.max(0).unsigned_abs())
    }

    /// A count not below zero.
    pub(crate) fn count(&mut self, value: i32, at: &Step<'_>) -> i32 {
        if value < 0 {
            self.error("WT0109", format!("{value} is out of range"), "a number cannot be negative here", at);
        }
        value.max(0)
    }

    /// A quantity not below zero.
    pub(crate) fn quantity(&mut self, raw: &RawQuantity, at: &Step<'_>) -> Option<Quantity> {
        match raw.0.parse::<Quantity>() {
            Ok(quantity) if quantity.is_negative() => {
                self.error("WT0109", format!("{} is out of range", raw.0), "an amount cannot be negative", at);
                None
            }
            Ok(quantity) => Some(quantity),
            Err(error) => {
                self.error("WT0104", "not a quantity", error.to_string(), at);
                None
            }
        }
    }

    /// A list of amounts by resource.
    pub(crate) fn resources<'q>(&mut self, raw: impl IntoIterator<Item = (&'q String, &'q RawQuantity)>, at: &Step<'_>) -> ResourceList {
        let mut list = ResourceList::new();
        for (name, raw) in raw {
            let name_at = at.key(name);
            let known = self.is_resource(name, &name_at);
            if let Some(quantity) = self.quantity(raw, &name_at).filter(|_| known) {
                let name = ResourceName::new(name);
                let amount = name.amount(quantity);
                list.insert(name, amount);
            }
        }
        list
    }

    fn is_resource(&mut self, name: &str, at: &Step<'_>) -> bool {
        const NATIVE: &[&str] = &["cpu", "memory", "ephemeral-storage", "pods", "storage"];
        let is_extended = name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-");
        if NATIVE.contains(&name) || is_extended {
            return true;
        }
        let help = suggestion(name, NATIVE).unwrap_or_default();
        let diagnostic = Diagnostic::error("WT0108", format!("unknown resource `{name}`"));
        self.push(diagnostic.label("no standard resource, and no `domain/name`").help(help), at, Part::Key);
        false
    }

    /// A count or a percentage.
    pub(crate) fn int_or_percent(&mut self, raw: &IntOrString, at: &Step<'_>) -> Option<api::IntOrPercent> {
        let expected = "expected a whole number or a percentage such as `25%`";
        match raw {
            IntOrString::Int(count) if *count < 0 => {
                self.error("WT0109", format!("{count} is out of range"), "a number of pods cannot be negative", at)
            }
            IntOrString::Int(count) => return Some(api::IntOrPercent::Count(*count)),
            IntOrString::String(text) => match text.strip_suffix('%').map(str::parse::<u16>) {
                Some(Ok(percent)) => return Some(api::IntOrPercent::Percent(i32::from(percent))),
                _ => self.error("WT0112", "not a count or a percentage", expected, at),
            },
        }
        None
    }

    /// An instant on the run's clock.
    pub(crate) fn instant(&self, time: &Time) -> SimTime {
        let Some(origin) = self.options.origin_seconds else { return SimTime::ZERO };
        let nanos = time.0.as_nanosecond() - i128::from(origin) * 1_000_000_000;
        SimTime::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }

    /// The name of an object or part: a DNS-1123 subdomain, or only a label of one.
    pub(crate) fn name(&mut self, name: &str, rule: NameRule, at: &Step<'_>) {
        let fault = match rule {
            NameRule::Subdomain if name.len() > 253 => Some("longer than 253 characters"),
            NameRule::Subdomain => name.split('.').find_map(|label| label_fault(label, 253)),
            NameRule::Label => label_fault(name, 63),
        };
        let Some(fault) = fault else { return };
        let dots = if rule == NameRule::Subdomain { ", `-` and `.`" } else { " and `-`" };
        let help = format!("use lower-case letters, digits{dots}, beginning and ending with a letter or digit");
        self.error_with_help("WT0110", format!("`{name}` is not a valid name"), fault, help, at);
    }

    /// Keys and values of labels.
    pub(crate) fn labels<'l>(&mut self, labels: impl IntoIterator<Item = (&'l String, &'l String)>, at: &Step<'_>) {
        for (key, value) in labels {
            let at = at.key(key);
            if !is_qualified_name(key) {
                let diagnostic = Diagnostic::error("WT0110", format!("`{key}` is not a valid label key"));
                self.push(
                    diagnostic.label("expected up to 63 letters, digits, `-`, `_`, `.`, with an optional `domain/` before"),
                    &at,
                    Part::Key,
                );
            }
            if !value.is_empty() && !is_label_value(value) {
                self.error(
                    "WT0110",
                    format!("`{value}` is not a valid label value"),
                    "expected up to 63 letters, digits, `-`, `_`, `.`",
                    &at,
                );
            }
        }
    }
}

/// Which names are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NameRule {
    Subdomain,
    Label,
}

fn label_fault(label: &str, most: usize) -> Option<&'static str> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = label.as_bytes();
    if bytes.is_empty() {
        Some("a part of the name is empty")
    } else if bytes.len() > most {
        Some("longer than 63 characters")
    } else if bytes.iter().any(u8::is_ascii_uppercase) {
        Some("upper-case letters are not allowed")
    } else if !bytes.iter().copied().all(inner) {
        Some("characters other than letters, digits and `-` are not allowed")
    } else if !outer(bytes.first()) || !outer(bytes.last()) {
        Some("begins or ends with something other than a letter or digit")
    } else {
        None
    }
}

/// Up to 63 letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit.
fn is_label_value(value: &str) -> bool {
    let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= 63
        && outer(bytes.first())
        && outer(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(|label| label_fault(label, 253).is_none()) && is_label_value(name)
        }
        None => is_label_value(key),
    }
}

/// A shared string out of an optional one.
pub(crate) fn text(value: Option<&String>) -> Str {
    value.map_or_else(Str::default, |value| value.as_str().into())
}

/// Shared strings.
pub(crate) fn texts(values: Option<&Vec<String>>) -> Vec<Str> {
    values.into_iter().flatten().map(|value| value.as_str().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_follow_the_api_servers_rules() {
        for (name, valid) in
            [("cart", true), ("a-1", true), ("-a", false), ("a-", false), ("Cart", false), ("a_b", false), ("", false), ("a.b", false)]
        {
            assert_eq!(label_fault(name, 63).is_none(), valid, "{name}");
        }
        for (key, valid) in [
            ("app", true),
            ("app.kubernetes.io/name", true),
            ("A_b.c", true),
            ("/x", false),
            ("a/b/c", false),
            ("Foo.io/x", false),
            ("x/", false),
        ] {
            assert_eq!(is_qualified_name(key), valid, "{key}");
        }
        assert!(is_label_value(&"a".repeat(63)) && !is_label_value(&"a".repeat(64)));
    }
}
