//! YAML and JSON texts into documents; the only module that reads YAML.
//!
//! A text is cut at its document markers first, because YAML lets no scalar hold a line that begins with one:
//! an error in one document leaves the others readable, and a document that is JSON takes the faster road.
//! Duplicate keys, bombs and broken syntax become diagnostics, never panics.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::diagnostic::{ALLOW, Diagnostic, Location, Problems};
use crate::locate::Tree;
use crate::source::{Pointer, SourceFile};

/// How large a text may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Nodes (mappings, sequences, scalars, with aliases counted each time) of one document.
    pub nodes: usize,
}

impl Budget {
    /// For files people write: scenarios and the like.
    pub const SCENARIO: Self = Self { bytes: 4 << 20, nodes: 250_000 };
    /// For manifests and dumps of clusters.
    pub const MANIFESTS: Self = Self { bytes: 512 << 20, nodes: 50_000_000 };
}

/// One document of a text.
#[derive(Debug)]
pub struct Document {
    /// The text it is part of.
    pub source: SourceFile,
    /// Its place among the documents of that text, from 0.
    pub index: usize,
    /// What it says.
    pub value: Value,
    /// Where it stands in the text.
    pub(crate) range: Range<usize>,
    /// Whether it was read as JSON.
    pub(crate) is_json: bool,
    /// How many lines come before it.
    pub(crate) lines_before: u32,
    /// Where each part of it stands; made when first asked for.
    pub(crate) tree: OnceLock<Option<Tree>>,
    /// Whether a comment in it allows something; found out when first asked for.
    allowances: OnceLock<bool>,
    /// Parts whose value came from elsewhere, such as a command-line flag, with the place where it stands.
    pub(crate) overrides: Vec<(Pointer, Location)>,
}

impl Document {
    /// Says that the value at `path` was put there by `place`; problems at or below it point there.
    pub fn override_place(&mut self, path: Pointer, place: Location) {
        self.overrides.push((path, place));
    }
    /// Whether a comment in it allows something.
    pub(crate) fn has_allowances(&self) -> bool {
        *self.allowances.get_or_init(|| self.text().contains(ALLOW))
    }
    /// Its own text.
    pub(crate) fn text(&self) -> &str {
        &self.source.text[self.range.clone()]
    }
}

/// The documents of `source`, with the budget of files people write. What cannot be read is put into `problems`.
pub fn documents(source: &SourceFile, problems: &mut Problems) -> Vec<Arc<Document>> {
    documents_within(source, Budget::SCENARIO, problems)
}

/// The documents of `source` within `budget`. What cannot be read is put into `problems`.
pub fn documents_within(source: &SourceFile, budget: Budget, problems: &mut Problems) -> Vec<Arc<Document>> {
    if source.text.len() > budget.bytes {
        let message = format!("the file is larger than {} MiB", budget.bytes >> 20);
        problems
            .push(Diagnostic::error("WT0103", message).at_place(Location::new(source, 1, 1, 1)).help("give a smaller file, or split it"));
        return Vec::new();
    }
    let mut found = Vec::new();
    for chunk in chunks(&source.text) {
        match read_chunk(&source.text[chunk.range.clone()], &source.name, budget) {
            Ok(None) => {}
            Ok(Some((value, is_json))) => found.push(Arc::new(Document {
                source: source.clone(),
                index: found.len(),
                value,
                range: chunk.range,
                is_json,
                lines_before: chunk.lines_before,
                tree: OnceLock::new(),
                allowances: OnceLock::new(),
                overrides: Vec::new(),
            })),
            Err(mut error) => {
                error.line += chunk.lines_before;
                problems.push(error.into_diagnostic(source));
            }
        }
    }
    found
}

/// A part of a text between document markers.
struct Chunk {
    range: Range<usize>,
    lines_before: u32,
}

/// Cuts at lines that begin with `---` or `...`.
fn chunks(text: &str) -> Vec<Chunk> {
    let mut found = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let (mut offset, mut line) = (0, 0);
    let mut has_content = false;
    for text_line in text.split_inclusive('\n') {
        let marker = text_line
            .get(..3)
            .filter(|m| *m == "---" || *m == "...")
            .filter(|_| text_line[3..].chars().next().is_none_or(char::is_whitespace));
        if marker.is_some() {
            if has_content {
                found.push(Chunk { range: start..offset, lines_before: start_line });
            }
            (start, start_line) = if marker == Some("---") { (offset, line) } else { (offset + text_line.len(), line + 1) };
            has_content = marker == Some("---") && means_something(&text_line[3..]);
        } else {
            has_content |= means_something(text_line) && !text_line.starts_with('%');
        }
        offset += text_line.len();
        line += 1;
    }
    if has_content {
        found.push(Chunk { range: start..text.len(), lines_before: start_line });
    }
    found
}

fn means_something(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    !line.is_empty() && !line.starts_with('#')
}

/// Why a document cannot be read, with line and column within it.
struct SyntaxError {
    code: &'static str,
    message: String,
    label: String,
    help: Option<String>,
    line: u32,
    column: u32,
    len: u32,
}

impl SyntaxError {
    fn into_diagnostic(self, source: &SourceFile) -> Diagnostic {
        let place = Location::new(source, self.line.max(1), self.column.max(1), self.len.max(1));
        let diagnostic = Diagnostic::error(self.code, self.message).at_place(place).label(self.label);
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

fn read_chunk(text: &str, file: &str, budget: Budget) -> Result<Option<(Value, bool)>, SyntaxError> {
    let body = text.strip_prefix("---").unwrap_or(text).trim_start_matches('\u{feff}');
    if body.trim_start().starts_with(['{', '[']) {
        match read_json(body) {
            Ok(value) => return Ok(Some((value, true))),
            // Flow YAML looks like JSON; only a file that calls itself JSON is held to it.
            Err(error) if file.ends_with(".json") => return Err(error),
            Err(_) => {}
        }
    }
    let values: Vec<Value> = serde_yaml::from_multiple_with_options(text, options(budget)).map_err(|error| syntax_error(&error, text))?;
    Ok(values.into_iter().next().map(|value| (value, false)))
}

/// The settings with which all YAML is read.
pub(crate) fn options(budget: Budget) -> serde_yaml::Options {
    serde_yaml::options! {
        with_snippet: false,
        strict_booleans: true,
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::Error,
        budget: serde_yaml::budget! {
            max_depth: 64,
            flow_nesting_limit: 64,
            max_nodes: budget.nodes,
            max_events: budget.nodes.saturating_mul(4),
            max_total_scalar_bytes: budget.bytes.max(4 << 20),
        },
    }
}

fn syntax_error(error: &serde_yaml::Error, text: &str) -> SyntaxError {
    use serde_yaml::Error;
    let place = error.location();
    let (line, column) = place.map_or((1, 1), |at| (at.line() as u32, at.column() as u32));
    let len = place.map_or(1, |at| at.span().len() as u32);
    let at = |code, message: &str, label: String, help: Option<&str>| SyntaxError {
        code,
        message: message.to_owned(),
        label,
        help: help.map(str::to_owned),
        line,
        column,
        len,
    };
    let too_large = || {
        at(
            "WT0103",
            "the document is too large or too deep",
            "the budget ends here".to_owned(),
            Some("an alias counts as all the nodes it stands for, each time; 64 levels are the most"),
        )
    };
    match innermost(error) {
        Error::DuplicateMappingKey { key, .. } => {
            let name = key.as_deref().map_or_else(|| "this key".to_owned(), |key| format!("`{key}`"));
            at("WT0102", "a key appears twice in one mapping", format!("{name} is already there"), Some("keep one of the two"))
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => too_large(),
        Error::UnknownAnchor { .. } => at("WT0101", "the YAML cannot be read", "no such anchor before this place".to_owned(), None),
        other => {
            let words = clean(other);
            if words.contains("recursion limit") {
                return too_large();
            }
            let line_text = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("");
            let help = if line_text.contains("{{") {
                Some("this looks like a template: render it first (`helm template`, `kustomize build`) and give the result")
            } else if line_text.trim_start_matches(' ').starts_with('\t') {
                Some("indent with spaces")
            } else {
                None
            };
            at("WT0101", "the YAML cannot be read", words, help)
        }
    }
}

/// The error itself, without what is wrapped around it.
fn innermost(error: &serde_yaml::Error) -> &serde_yaml::Error {
    match error {
        serde_yaml::Error::WithSnippet { error, .. } | serde_yaml::Error::AliasError { error, .. } => innermost(error),
        other => other,
    }
}

/// The parser's own words without its place, which we show ourselves.
fn clean(error: &serde_yaml::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or("").trim();
    let cut = first.find(" at line ").or_else(|| first.find(", line ")).unwrap_or(first.len());
    first[..cut].trim_end_matches([':', ',']).to_owned()
}

fn read_json(text: &str) -> Result<Value, SyntaxError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    UniqueKeys.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        let text = error.to_string();
        let words = text.split(" at line ").next().unwrap_or("").to_owned();
        let duplicate = words.starts_with(DUPLICATE);
        SyntaxError {
            code: if duplicate { "WT0102" } else { "WT0101" },
            message: if duplicate { "a key appears twice in one mapping" } else { "the JSON cannot be read" }.to_owned(),
            label: words,
            help: None,
            line: error.line() as u32,
            column: error.column() as u32,
            len: 1,
        }
    })
}

const DUPLICATE: &str = "duplicate key";

/// Reads a JSON value and refuses duplicate keys, which `serde_json::Value` would swallow.
#[derive(Clone, Copy)]
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            found.push(item);
        }
        Ok(Value::Array(found))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if found.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{DUPLICATE} `{key}`")));
            }
            found.insert(key, value);
        }
        Ok(Value::Object(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<Value> {
        let mut problems = Problems::default();
        let found = documents(&SourceFile::new("a.yaml", text), &mut problems);
        assert!(!problems.has_errors(), "{}", crate::render(&problems, false));
        found.iter().map(|document| document.value.clone()).collect()
    }

    #[test]
    fn documents_are_cut_at_their_markers_and_empty_ones_do_not_count() {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            values("a: 1\n---\n# nothing\n---\nb: 2\n...\n---\n{\"c\": 3}\n"),
            [json("{\"a\":1}"), json("{\"b\":2}"), json("{\"c\":3}")]
        );
        assert_eq!(values("%YAML 1.2\n---\na: |\n  ---\n  x\n"), [json("{\"a\":\"---\\nx\\n\"}")]);
        assert_eq!(values("--- {a: b}\r\n---\r\nc: no\r\n"), [json("{\"a\":\"b\"}"), json("{\"c\":\"no\"}")]);
        assert_eq!(values("").len(), 0);
        assert_eq!(values("\u{feff}a: 1").len(), 1);
    }

    #[test]
    fn merge_keys_and_anchors_are_applied() {
        let merged = values("base: &base {x: 1, y: 2}\nuse: {<<: *base, y: 3}\n");
        assert_eq!(merged[0].pointer("/use"), Some(&serde_json::json!({"x": 1, "y": 3})));
    }

    #[test]
    fn one_broken_document_leaves_the_others_readable() {
        let mut problems = Problems::default();
        let found = documents(&SourceFile::new("a.yaml", "a: 1\n---\nb: [\n---\nc: 3\n---\nd: 1\nd: 2\n"), &mut problems);
        assert_eq!(found.len(), 2);
        assert_eq!(problems.error_count(), 2);
    }
}
