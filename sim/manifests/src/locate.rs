//! Where a path stands in the text: line, column, length.
//!
//! Nothing carries locations around; when there is something to report, the document is read once more into a
//! tree of spans, and the path is looked up in it. The tree is kept with its document. JSON is scanned instead.

use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;

use crate::locate_json;
use crate::source::Pointer;
use crate::yaml::{Budget, Document, options};

/// Which part of an entry is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The key of the mapping's entry.
    Key,
    /// The value; for a mapping or a sequence its key stands for it.
    Value,
}

/// A place in a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters, at least 1.
    pub len: u32,
}

/// Where `path` stands in the text of `document`. When there is no such path, the deepest part of it that exists;
/// when nothing of it exists, the document's beginning.
#[must_use]
pub fn locate(document: &Document, path: &Pointer, part: Part) -> Span {
    if document.is_json {
        return locate_json(document, path, part);
    }
    let start = Span { line: document.lines_before + 1, column: 1, len: 1 };
    let Some(tree) = document.tree.get_or_init(|| Tree::read(document)) else { return start };
    let mut best = tree.own.unwrap_or(start);
    let mut node = &tree.root;
    let segments: Vec<String> = path.segments().collect();
    for (depth, segment) in segments.iter().enumerate() {
        let (key, child) = match &node.inner {
            Inner::Map(entries) => match entries.iter().find(|entry| entry.0 == *segment) {
                Some(entry) => (entry.1, &entry.2),
                None => return best,
            },
            Inner::Seq(items) => match segment.parse::<usize>().ok().and_then(|index| items.get(index)) {
                Some(item) => (None, item),
                None => return best,
            },
            Inner::Scalar => return best,
        };
        let wants_key = depth + 1 == segments.len() && part == Part::Key;
        let is_scalar = matches!(child.inner, Inner::Scalar);
        best = match (key, child.span) {
            (Some(key), _) if wants_key || !is_scalar => key,
            (_, Some(own)) => own,
            (Some(key), None) => key,
            (None, None) => best,
        };
        node = child;
    }
    best
}

fn locate_json(document: &Document, path: &Pointer, part: Part) -> Span {
    let text = document.text();
    let body = text.len() - text.strip_prefix("---").unwrap_or(text).trim_start_matches('\u{feff}').len();
    let segments: Vec<String> = path.segments().collect();
    let found = locate_json::find(&text[body..], &segments, part);
    let (before, rest) = text.split_at(body + found.start);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let len = rest.get(..found.len()).map_or(1, |found| found.chars().count());
    Span {
        line: document.lines_before + 1 + before.bytes().filter(|byte| *byte == b'\n').count() as u32,
        column: before[line_start..].chars().count() as u32 + 1,
        len: len.max(1) as u32,
    }
}

/// The spans of one document.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Node,
    own: Option<Span>,
}

#[derive(Debug)]
struct Node {
    span: Option<Span>,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Scalar,
    Seq(Vec<Node>),
    /// Key, where it stands, and the value.
    Map(Vec<(String, Option<Span>, Node)>),
}

impl Tree {
    fn read(document: &Document) -> Option<Self> {
        let read: Vec<Spanned<Raw>> = serde_yaml::from_multiple_with_options(document.text(), options(Budget::MANIFESTS)).ok()?;
        let root = node(read.into_iter().next()?, document.lines_before);
        let own = match &root.inner {
            Inner::Map(entries) => entries.first().and_then(|entry| entry.1),
            _ => root.span,
        };
        Some(Self { root, own })
    }
}

fn node(raw: Spanned<Raw>, lines_before: u32) -> Node {
    let span = span(&raw, lines_before);
    let inner = match raw.value {
        Raw::Scalar => Inner::Scalar,
        Raw::Seq(items) => Inner::Seq(items.into_iter().map(|item| node(item, lines_before)).collect()),
        Raw::Map(entries) => Inner::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key_span = self::span(&key, lines_before);
                    (key.value, key_span, node(value, lines_before))
                })
                .collect(),
        ),
    };
    Node { span, inner }
}

fn span<T>(spanned: &Spanned<T>, lines_before: u32) -> Option<Span> {
    let at = if spanned.defined.line() > 0 { spanned.defined } else { spanned.referenced };
    (at.line() > 0).then(|| Span {
        line: (at.line() as u32).saturating_add(lines_before),
        column: at.column() as u32,
        len: (at.span().len() as u32).clamp(1, 1 << 20),
    })
}

/// Only the shape; the values themselves are known already.
enum Raw {
    Scalar,
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_str<E>(self, _: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar)
    }
    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Raw::Seq(found))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            found.push(entry);
        }
        Ok(Raw::Map(found))
    }
    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<Raw, A::Error> {
        let _: (IgnoredAny, A::Variant) = data.variant()?;
        Ok(Raw::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Problems;
    use crate::source::SourceFile;
    use crate::yaml::documents;

    #[test]
    fn paths_are_found_in_block_and_flow_style_in_every_document_and_in_json() {
        let text = "a: 1\n---\n# comment\nspec:\n  containers:\n  - name: app\n    resources: {requests: {cpu: 500mm, memory: 1Gi}}\n  - {name: b}\n---\n{\"x\": [1,\n {\"y\": \"é\", \"z\": true}]}\n";
        let mut problems = Problems::default();
        let documents = documents(&SourceFile::new("a.yaml", text), &mut problems);
        let at = |document: usize, path: &str, part| {
            let span = locate(&documents[document], &Pointer::parse(path), part);
            (span.line, span.column, span.len)
        };
        assert_eq!(at(0, "/a", Part::Value), (1, 4, 1));
        assert_eq!(at(1, "", Part::Value), (4, 1, 4));
        assert_eq!(at(1, "/spec/containers/0/resources/requests/cpu", Part::Value), (7, 33, 5));
        assert_eq!(at(1, "/spec/containers/0/resources/requests/cpu", Part::Key), (7, 28, 3));
        assert_eq!(at(1, "/spec/containers/0/resources/limits/cpu", Part::Value), (7, 5, 9));
        assert_eq!(at(1, "/spec/containers/1/name", Part::Value), (8, 12, 1));
        assert_eq!(at(1, "/spec/containers", Part::Value), (5, 3, 10));
        assert_eq!(at(2, "/x/1/z", Part::Value), (11, 18, 4));
        assert_eq!(at(2, "/nothing/here", Part::Value), (10, 1, 1));
    }
}
