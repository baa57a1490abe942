//! The text a user gave us, and the paths with which everything else points into it.
//!
//! Invariants: a [`SourceFile`] is a name to show and a text; nothing here opens a file. A [`Pointer`] is a
//! JSON pointer (RFC 6901), so that `serde_json::Value::pointer` understands it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A text with the name under which it is shown. Clones share everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// Name to show, usually a path.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
    /// The place that asked for this file, if one did.
    pub included_from: Option<Arc<Inclusion>>,
}

/// The place in another file that asked for a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inclusion {
    /// Name of the including file.
    pub file: Arc<str>,
    /// Line in it, from 1.
    pub line: u32,
    /// Column in it, from 1.
    pub column: u32,
}

impl fmt::Display for Inclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl SourceFile {
    /// A text called `name`.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into(), included_from: None }
    }
    /// The same text, asked for by `inclusion`.
    #[must_use]
    pub fn included_from(mut self, inclusion: Inclusion) -> Self {
        self.included_from = Some(Arc::new(inclusion));
        self
    }
    /// Line `number` (from 1) without its end, or empty when there is no such line.
    #[must_use]
    pub fn line(&self, number: u32) -> &str {
        self.text.lines().nth((number as usize).saturating_sub(1)).unwrap_or("")
    }
}

/// A path into a document: keys and indexes, as a JSON pointer. Empty is the whole document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }
    /// The path `text`, already a JSON pointer (`/spec/containers/0/name`).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }
    /// The entry `key` of this mapping.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut text = self.0.clone();
        text.push('/');
        if key.contains(['~', '/']) {
            text.push_str(&key.replace('~', "~0").replace('/', "~1"));
        } else {
            text.push_str(key);
        }
        Self(text)
    }
    /// The item `index` of this sequence.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }
    /// The path that continues this one with `rest`.
    #[must_use]
    pub fn join(&self, rest: &Self) -> Self {
        Self(format!("{}{}", self.0, rest.0))
    }
    /// The mapping or sequence that holds this place; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.rfind('/').map_or_else(String::new, |cut| self.0[..cut].to_owned()))
    }
    /// The last key or index, unescaped.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.segments().last()
    }
    /// Keys and indexes in order, unescaped.
    pub fn segments(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"))
    }
    /// What follows `prefix`, if this path lies under it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&prefix.0)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| Self(rest.to_owned()))
    }
    /// The JSON pointer itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The value at this path.
    #[must_use]
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.0)
    }
}

/// As people write it: `spec.containers[0].resources`, with odd keys in brackets (`labels[app.kubernetes.io/name]`).
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for segment in self.segments() {
            if segment.bytes().all(|b| b.is_ascii_digit()) || segment.contains(['.', '/']) {
                write!(f, "[{segment}]")?;
            } else {
                write!(f, "{}{segment}", if first { "" } else { "." })?;
            }
            first = false;
        }
        Ok(())
    }
}

/// How a value was reached, on the stack; turned into a pointer only when there is something to report.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'p> {
    Root,
    Key(&'p Step<'p>, &'p str),
    Index(&'p Step<'p>, usize),
}

impl<'p> Step<'p> {
    pub(crate) const fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }
    pub(crate) const fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }
    pub(crate) fn pointer(&self) -> Pointer {
        match self {
            Self::Root => Pointer::root(),
            Self::Key(parent, key) => parent.pointer().key(key),
            Self::Index(parent, index) => parent.pointer().index(*index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_slashes_and_read_well() {
        let path = Pointer::root().key("metadata").key("labels").key("app.kubernetes.io/name");
        assert_eq!(path.as_str(), "/metadata/labels/app.kubernetes.io~1name");
        assert_eq!(path.to_string(), "metadata.labels[app.kubernetes.io/name]");
        assert_eq!(path.last().as_deref(), Some("app.kubernetes.io/name"));
        assert_eq!(path.strip_prefix(&Pointer::parse("/metadata")), Some(Pointer::parse("/labels/app.kubernetes.io~1name")));
        assert_eq!(path.strip_prefix(&Pointer::parse("/meta")), None);
        assert_eq!(Pointer::root().key("a").index(3).key("b").to_string(), "a[3].b");
        assert_eq!(Pointer::root().parent(), Pointer::root());
    }
}
