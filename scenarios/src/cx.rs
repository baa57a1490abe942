//! What every part of a scenario is read with: the document, the place for problems, and the units.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Quantity, QuantityError, ResourceName, SimDuration, SimTime};
use manifests::{
    Budget, Diagnostic, Document, Location, Part as Place, Pointer, Problems, Severity, SourceFile, UnknownFields, documents_within,
    location,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Options;
use crate::files::{candidates, several};
use crate::format::Scalar;

/// The scenario being read.
pub(crate) struct Cx<'a> {
    pub(crate) document: Arc<Document>,
    pub(crate) options: &'a Options<'a>,
    pub(crate) problems: &'a mut Problems,
    /// Defaults assumed, for the report.
    pub(crate) notes: Vec<String>,
    /// What was read beside the scenario: path to canonical text, for the digest.
    pub(crate) included: BTreeMap<String, String>,
    /// Seconds of the day at which the scenario's clock starts, if it has one.
    pub(crate) clock_start: Option<u64>,
    /// Length of the run; `MAX` while unknown.
    pub(crate) duration: SimDuration,
    /// Whether a flag set that length: then what lies behind the end is only warned of.
    pub(crate) shortened: bool,
    /// Known moments by name: faults, marks, steps.
    pub(crate) moments: BTreeMap<String, Pointer>,
    /// A file that the scenario names is missing or cannot be read: what refers to its objects is not held against it.
    pub(crate) is_incomplete: bool,
}

impl Cx<'_> {
    /// What stands at `path`.
    pub(crate) fn value(&self, path: &Pointer) -> Option<&Value> {
        path.get(&self.document.value)
    }
    /// The text at `path`.
    pub(crate) fn text(&self, path: &Pointer) -> Option<&str> {
        self.value(path)?.as_str()
    }
    /// The mapping at `path`. Mistakes are reported; what is sound is returned, unless something required is missing.
    pub(crate) fn read<T: DeserializeOwned>(&mut self, path: &Pointer) -> Option<T> {
        manifests::typed_so_far(&self.document, path, UnknownFields::Error, self.problems)
    }
    /// As [`Self::read`], with whatever else stands there.
    pub(crate) fn read_among_others<T: DeserializeOwned>(&mut self, path: &Pointer) -> Option<T> {
        manifests::typed_so_far(&self.document, path, UnknownFields::Ignore, self.problems)
    }
    /// Paths of the items of the list at `path`.
    pub(crate) fn items(&self, path: &Pointer) -> Vec<Pointer> {
        let len = self.value(path).and_then(Value::as_array).map_or(0, Vec::len);
        (0..len).map(|index| path.index(index)).collect()
    }
    /// The names of the items of the list at `path`, as far as they have any.
    pub(crate) fn names(&self, path: &Pointer) -> Vec<String> {
        let items = self.value(path).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(|item| item.get("name")?.as_str().map(str::to_owned)).collect()
    }
    /// Where the value at `path` stands.
    pub(crate) fn place(&self, path: &Pointer) -> Location {
        location(&self.document, path, Place::Value)
    }

    /// Keeps `diagnostic`, at the value of `path`.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic, path: &Pointer) {
        self.problems.push(diagnostic.at(&self.document, path, Place::Value));
    }
    /// An error at a value.
    pub(crate) fn error(&mut self, code: &'static str, message: impl Into<String>, label: impl Into<String>, path: &Pointer) {
        self.push(Diagnostic::error(code, message).label(label), path);
    }
    /// Something that lies behind the end of the run.
    pub(crate) fn too_late(&mut self, code: &'static str, message: impl Into<String>, path: &Pointer) {
        let severity = if self.shortened { Severity::Warning } else { Severity::Error };
        let label = format!("the run lasts {}", self.duration);
        self.push(Diagnostic::new(severity, code, message).label(label), path);
    }
    /// A warning that the field at `path` is accepted and not simulated.
    pub(crate) fn not_simulated(&mut self, path: &Pointer, label: &str) {
        let name = path.last().unwrap_or_default();
        let diagnostic = Diagnostic::warning("WT0411", format!("`{name}` is accepted, not simulated yet")).label(label);
        self.problems.push(diagnostic.at(&self.document, path, Place::Key));
    }
    /// An assumed default, for the report.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref().to_owned();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
    /// The word at `path` out of a few.
    pub(crate) fn word<T: Copy>(&mut self, text: &str, known: &[(&'static str, T)], path: &Pointer) -> Option<T> {
        if let Some((_, meaning)) = known.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let diagnostic = Diagnostic::error("WT0108", format!("unknown value `{text}`")).label("not one of the values known here");
        self.push(with_help(diagnostic, manifests::suggestion(text, &words)), path);
        None
    }

    /// A duration.
    pub(crate) fn duration<U>(&mut self, scalar: &Scalar<U>, path: &Pointer) -> Option<SimDuration> {
        if scalar.number == Some(0.0) {
            return Some(SimDuration::ZERO);
        }
        if let Ok(duration) = scalar.text.parse() {
            return Some(duration);
        }
        let (label, help) = match scalar.number {
            Some(number) if number < 0.0 => ("durations are not negative".to_owned(), None),
            Some(_) => {
                ("the unit is missing".to_owned(), Some(format!("write `{}s` for seconds; units are ns us ms s m h d", scalar.text)))
            }
            None if scalar.text.starts_with('-') => ("durations are not negative".to_owned(), None),
            None if shortened(&scalar.text).parse::<SimDuration>().is_ok() => {
                ("longer than simulated time can be: 584 years".to_owned(), None)
            }
            None => (
                "expected numbers with units: ns us ms s m h d".to_owned(),
                Some("write it as `300s`, `5m`, `1h30m` or `250ms`".to_owned()),
            ),
        };
        let diagnostic = Diagnostic::error("WT0111", format!("`{}` is not a duration", scalar.text)).label(label);
        self.push(with_help(diagnostic, help), path);
        None
    }
    /// The duration at `path` that may be missing; the mistaken one is as if missing.
    pub(crate) fn optional_duration<U>(&mut self, scalar: Option<&Scalar<U>>, path: &Pointer) -> Option<SimDuration> {
        scalar.and_then(|scalar| self.duration(scalar, path))
    }
    /// A duration, or `none` for ever.
    pub(crate) fn timeout<U>(&mut self, scalar: &Scalar<U>, path: &Pointer) -> Option<SimDuration> {
        if scalar.text == "none" {
            return Some(SimDuration::MAX);
        }
        let timeout = self.duration(scalar, path)?;
        if timeout.is_zero() {
            self.error("WT0109", "a timeout of nothing", "no answer could ever be in time; `none` waits for ever", path);
        }
        Some(timeout)
    }
    /// A rate per second.
    pub(crate) fn rate<U>(&mut self, scalar: &Scalar<U>, path: &Pointer) -> Option<f64> {
        match rate(&scalar.text) {
            Some(rate) if rate < 0.0 => {
                self.error("WT0109", "a rate below zero", "rates are zero or more", path);
                None
            }
            Some(rate) => Some(rate),
            None => {
                let diagnostic =
                    Diagnostic::error("WT0118", format!("`{}` is not a rate", scalar.text)).label("expected requests per time");
                self.push(diagnostic.help("write it as `300/s`, `18000/m`, `1000/h`, or as a number per second"), path);
                None
            }
        }
    }
    /// A share from 0 to 1.
    pub(crate) fn share<U>(&mut self, scalar: &Scalar<U>, path: &Pointer) -> Option<f64> {
        let found = share(&scalar.text).or_else(|| scalar.text.parse::<f64>().ok());
        match found {
            Some(share) if (0.0..=1.0).contains(&share) => Some(share),
            Some(_) => {
                self.error("WT0109", format!("`{}` is not a share", scalar.text), "shares are from 0 to 1, or from 0% to 100%", path);
                None
            }
            None => {
                self.error("WT0118", format!("`{}` is not a share", scalar.text), "expected a share such as 0.05 or `5%`", path);
                None
            }
        }
    }
    /// A number within limits that is not NaN.
    pub(crate) fn within(&mut self, number: f64, least: f64, what: &str, path: &Pointer) -> Option<f64> {
        if number.is_finite() && number >= least {
            return Some(number);
        }
        self.error("WT0109", format!("{what} of {number}"), format!("expected a number of at least {least}"), path);
        None
    }
    /// An amount of a resource.
    pub(crate) fn quantity<U>(&mut self, resource: &ResourceName, scalar: &Scalar<U>, path: &Pointer) -> Option<i64> {
        let label = match scalar.text.parse::<Quantity>() {
            Ok(quantity) if resource.amount(quantity) < 0 => "amounts are not negative".to_owned(),
            Ok(quantity) => return Some(resource.amount(quantity)),
            Err(QuantityError::UnknownSuffix(suffix)) => {
                format!("suffix `{suffix}` is not one of n u m k M G T P E Ki Mi Gi Ti Pi Ei")
            }
            Err(_) => "expected a number with an optional suffix: n u m k M G T P E Ki Mi Gi Ti Pi Ei".to_owned(),
        };
        self.error("WT0104", "not a quantity", label, path);
        None
    }

    /// The text of the file that the value at `at` names, and its name as found. What is missing is reported.
    pub(crate) fn file(&mut self, path: &str, at: &Pointer) -> Option<SourceFile> {
        let places = candidates(path, self.options.base_dir.as_deref());
        for place in &places {
            match self.options.files.read(place) {
                Ok(Some(text)) => {
                    let inclusion = self.place(at).to_inclusion();
                    return Some(SourceFile::new(place, &text).included_from(inclusion));
                }
                Ok(None) => {}
                Err(words) => {
                    self.error("WT0208", format!("`{place}` cannot be read"), words, at);
                    self.is_incomplete = true;
                    return None;
                }
            }
        }
        self.missing_file(path, &places, at);
        None
    }
    /// The files that match the pattern the value at `at` holds; of a directory every YAML and JSON file right in it, as
    /// `kubectl apply -f` takes them.
    pub(crate) fn files(&mut self, pattern: &str, at: &Pointer) -> Vec<SourceFile> {
        let places = candidates(pattern, self.options.base_dir.as_deref());
        let is_pattern = pattern.contains('*');
        for place in &places {
            let found = several(self.options.files, place);
            if !found.is_empty() {
                return found.iter().filter_map(|path| self.included(path, at)).collect();
            }
        }
        if !is_pattern {
            return self.file(pattern, at).into_iter().collect();
        }
        self.missing_file(pattern, &places, at);
        Vec::new()
    }
    /// A file that is known to be there. That it cannot be read is reported.
    fn included(&mut self, path: &str, at: &Pointer) -> Option<SourceFile> {
        match self.options.files.read(path) {
            Ok(text) => {
                let inclusion = self.place(at).to_inclusion();
                Some(SourceFile::new(path, &text?).included_from(inclusion))
            }
            Err(words) => {
                self.error("WT0208", format!("`{path}` cannot be read"), words, at);
                self.is_incomplete = true;
                None
            }
        }
    }
    fn missing_file(&mut self, path: &str, places: &[String], at: &Pointer) {
        self.is_incomplete = true;
        let tried: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
        let mut diagnostic = Diagnostic::error("WT0208", format!("file not found: `{path}`"))
            .label("not there")
            .note(format!("tried {}: relative to the scenario file, then to the working directory", tried.join(", then ")));
        if path.contains("shared/traces") {
            diagnostic = diagnostic
                .help("this is recorded data of others, which is not part of the repository; put it there, or set another `path`");
        }
        self.push(diagnostic, at);
    }
    /// The documents of an included file; remembered for the digest.
    pub(crate) fn documents_of(&mut self, file: &SourceFile) -> Vec<Arc<Document>> {
        let found = documents_within(file, Budget::MANIFESTS, self.problems);
        let values: Vec<&Value> = found.iter().map(|document| &document.value).collect();
        self.included.insert(file.name.to_string(), values.iter().map(|value| crate::digest::canonical(value)).collect());
        found
    }

    /// The moment that the value at `path` names.
    pub(crate) fn moment(&mut self, path: &Pointer) -> Option<SimTime> {
        self.moment_after(path, &mut Vec::new())
    }
    fn moment_after(&mut self, path: &Pointer, before: &mut Vec<Pointer>) -> Option<SimTime> {
        match self.value(path) {
            None => None,
            Some(Value::Object(_)) => self.relative_moment(path, before),
            Some(Value::String(text)) if text.contains(':') && text.parse::<SimDuration>().is_err() => {
                let text = text.clone();
                self.wall_clock(&text, path)
            }
            Some(_) => {
                let scalar: crate::format::DurationText = self.read(path)?;
                self.duration(&scalar, path).map(|span| SimTime::ZERO + span)
            }
        }
    }
    fn relative_moment(&mut self, path: &Pointer, before: &mut Vec<Pointer>) -> Option<SimTime> {
        let moment: crate::format::Moment = self.read(path)?;
        let delay = self.optional_duration(moment.delay.as_ref(), &path.key("delay")).unwrap_or_default();
        let Some(other) = self.moments.get(&moment.after).cloned() else {
            let known: Vec<String> = self.moments.keys().cloned().collect();
            self.no_such("fault, mark or step", &moment.after, &known, &path.key("after"));
            return None;
        };
        if before.contains(&other) || other == *path {
            self.error("WT0118", "moments that wait for each other", "this comes after itself", &path.key("after"));
            return None;
        }
        before.push(other.clone());
        // What is wrong with the other one is said where it stands.
        self.moment_after(&other, before).map(|at| at + delay)
    }
    fn wall_clock(&mut self, text: &str, path: &Pointer) -> Option<SimTime> {
        let Some(of_day) = seconds_of_day(text) else {
            let diagnostic = Diagnostic::error("WT0111", format!("`{text}` is not a moment")).label("expected a duration or a time of day");
            self.push(
                diagnostic.help("write `2h` since the start, `\"02:00\"` of the scenario's clock, or {after: name, delay: 5m}"),
                path,
            );
            return None;
        };
        let Some(start) = self.clock_start else {
            let diagnostic = Diagnostic::error("WT0107", "a time of day needs the scenario's clock").label("`spec.clock.start` is missing");
            self.push(diagnostic.help("add `clock: {start: \"2026-11-27T00:00:00Z\"}`, or write a duration since the start"), path);
            return None;
        };
        const DAY: u64 = 86_400;
        Some(SimTime::from_secs((of_day + DAY - start) % DAY))
    }

    /// A name that refers to nothing.
    pub(crate) fn no_such(&mut self, what: &str, name: &str, known: &[String], path: &Pointer) {
        let words: Vec<&str> = known.iter().map(String::as_str).collect();
        let diagnostic = Diagnostic::error("WT0205", format!("no {what} is called `{name}`")).label("no such name in the scenario");
        let help = if known.is_empty() { Some(format!("the scenario has no {what} at all")) } else { manifests::suggestion(name, &words) };
        self.push(with_help(diagnostic, help), path);
    }
}

/// The text with a 1 in place of every number: a duration of the same form that is certainly not too long.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if short.ends_with('1') => {}
            '0'..='9' => short.push('1'),
            letter => short.push(letter),
        }
    }
    short
}

/// `diagnostic` with advice, if there is some.
pub(crate) fn with_help(diagnostic: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// `300/s`, `18000/m`, `1000/h`, `300rps` or a number, per second.
pub(crate) fn rate(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, seconds) = match text.split_once('/') {
        Some((number, unit)) => (
            number,
            match unit.trim() {
                "s" | "1s" | "sec" | "second" => 1.0,
                "m" | "1m" | "min" | "minute" => 60.0,
                "h" | "1h" | "hour" => 3600.0,
                _ => return None,
            },
        ),
        None => (text.strip_suffix("rps").unwrap_or(text), 1.0),
    };
    let number: f64 = number.trim().parse().ok()?;
    number.is_finite().then_some(number / seconds)
}

/// `99.5%` as 99.5.
pub(crate) fn percent(text: &str) -> Option<f64> {
    text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok()).filter(|number: &f64| number.is_finite())
}

/// A percentage as a share, to the last digit: divided by 100, `99.9%` would be 0.9990000000000001.
pub(crate) fn share(text: &str) -> Option<f64> {
    let percent = percent(text)?;
    let number = text.trim().trim_end_matches('%').trim_end();
    // A number that has an exponent of its own takes no second one.
    format!("{number}e-2").parse().ok().or(Some(percent / 100.0))
}

/// `02:00` or `14:30:05` in seconds since midnight.
pub(crate) fn seconds_of_day(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) || parts.iter().any(|part| part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let number = |index: usize| parts.get(index).map_or(Some(0), |part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (number(0)?, number(1)?, number(2)?);
    (hours < 24 && minutes < 60 && seconds < 60).then_some(hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_shares_to_the_last_digit() {
        for (text, expected) in [
            ("99.9%", Some(0.999)),
            ("99.95 %", Some(0.9995)),
            ("7%", Some(0.07)),
            (".5%", Some(0.005)),
            ("1e1%", Some(0.1)),
            ("5", None),
            ("inf%", None),
        ] {
            assert_eq!(share(text), expected, "{text}");
        }
    }

    #[test]
    fn rates_are_per_second_whatever_their_unit() {
        for (text, per_second) in [
            ("300/s", Some(300.0)),
            ("18000/m", Some(300.0)),
            ("3600/h", Some(1.0)),
            ("12.5", Some(12.5)),
            ("40rps", Some(40.0)),
            ("a/s", None),
            ("5/x", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(rate(text), per_second, "{text}");
        }
    }

    #[test]
    fn times_of_day_have_two_digits_each() {
        for (text, seconds) in
            [("02:00", Some(7200)), ("23:59:59", Some(86_399)), ("24:00", None), ("2:00", None), ("02:00:00:00", None), ("ab:cd", None)]
        {
            assert_eq!(seconds_of_day(text), seconds, "{text}");
        }
    }
}
