//! What is wrong with the user's files: one type for all of it, and the place where it is collected.
//!
//! Invariants:
//! - All problems are kept, none stops the reading of the rest.
//! - A location is looked up only when a problem is kept; problems of one group share the first one's location.
//! - What may be allowed (everything but errors) is dropped by code, for all files or by a comment at the place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::locate::{Part, locate};
use crate::source::{Inclusion, Pointer, SourceFile};
use crate::yaml::Document;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, and something will not be as the user may think.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The word shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A place in a file and what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The file.
    pub file: SourceFile,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters.
    pub len: u32,
    /// What is said right at the place; may be empty.
    pub label: String,
}

impl Location {
    /// A place without a label.
    #[must_use]
    pub fn new(file: &SourceFile, line: u32, column: u32, len: u32) -> Self {
        Self { file: file.clone(), line, column, len, label: String::new() }
    }
    /// `file:line:column`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}:{}", self.file.name, self.line, self.column)
    }
    /// The place as the place of an inclusion, for the files it names.
    #[must_use]
    pub fn to_inclusion(&self) -> Inclusion {
        Inclusion { file: self.file.name.clone(), line: self.line, column: self.column }
    }
}

/// Where `path` of `document` stands.
#[must_use]
pub fn location(document: &Document, path: &Pointer, part: Part) -> Location {
    // The last one that set it holds.
    if let Some((_, place)) = document.overrides.iter().rev().find(|(set, _)| path.strip_prefix(set).is_some()) {
        return place.clone();
    }
    let span = locate(document, path, part);
    Location::new(&document.source, span.line, span.column, span.len)
}

/// One problem.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Its rule, as in `wavetank explain WT0104`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; some problems are of no one place.
    pub primary: Option<Location>,
    /// In which object, such as `at spec.replicas of Deployment/cart`.
    pub context: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// What else is good to know.
    pub notes: Vec<String>,
    /// How often this was found, with all that were grouped into it.
    pub count: u32,
    /// Contexts of the first few others in its group.
    pub also: Vec<String>,
    label: String,
    group: Option<String>,
    place: Option<(Arc<Document>, Pointer, Part)>,
}

impl Diagnostic {
    /// A problem of `severity` against rule `code`.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            primary: None,
            context: None,
            help: None,
            notes: Vec::new(),
            count: 1,
            also: Vec::new(),
            label: String::new(),
            group: None,
            place: None,
        }
    }
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }
    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }
    /// An information.
    pub fn info(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, message)
    }
    /// Found at `path` of `document`.
    #[must_use]
    pub fn at(mut self, document: &Arc<Document>, path: &Pointer, part: Part) -> Self {
        self.place = Some((Arc::clone(document), path.clone(), part));
        self
    }
    /// Found at a place that is known already.
    #[must_use]
    pub fn at_place(mut self, place: Location) -> Self {
        self.primary = Some(place);
        self
    }
    /// Says this right at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
    /// Says in which object.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }
    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// Says one thing more.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
    /// Is counted with all others of the same code and `group` instead of shown again.
    #[must_use]
    pub fn grouped(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }
}

/// How many problems are kept one by one; the rest is only counted.
const KEPT: usize = 200;
/// How many others of a group are named.
const NAMED: usize = 3;

/// All that was found.
#[derive(Clone, Default, Debug)]
pub struct Problems {
    found: Vec<Diagnostic>,
    groups: BTreeMap<(&'static str, String), usize>,
    seen: BTreeSet<(&'static str, Arc<str>, u32, u32, String)>,
    allowed: BTreeSet<String>,
    errors: u32,
    warnings: u32,
    infos: u32,
    suppressed: u32,
}

impl Problems {
    /// Drops warnings and informations of rule `code` from now on.
    pub fn allow(&mut self, code: &str) {
        self.allowed.insert(code.to_owned());
    }

    /// Keeps `diagnostic`, unless it is allowed or known.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        let can_be_allowed = diagnostic.severity != Severity::Error;
        if can_be_allowed && self.allowed.contains(diagnostic.code) {
            self.suppressed += 1;
            return;
        }
        let group = diagnostic.group.clone().and_then(|group| self.groups.get(&(diagnostic.code, group)).copied());
        let comments = can_be_allowed && diagnostic.place.as_ref().is_some_and(|(document, ..)| document.has_allowances());
        if (group.is_none() && self.found.len() < KEPT) || comments {
            resolve(&mut diagnostic);
        }
        if comments && diagnostic.primary.as_ref().is_some_and(|at| is_allowed_at(at, diagnostic.code)) {
            self.suppressed += 1;
            return;
        }
        if let Some(index) = group {
            let kept = &mut self.found[index];
            kept.count += 1;
            if kept.also.len() < NAMED {
                kept.also.extend(diagnostic.context);
            }
            return;
        }
        if let Some(at) = &diagnostic.primary {
            let key = (diagnostic.code, Arc::clone(&at.file.name), at.line, at.column, diagnostic.message.clone());
            if !self.seen.insert(key) {
                return;
            }
        }
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Info => self.infos += 1,
        }
        if self.found.len() < KEPT {
            if let Some(group) = diagnostic.group.take() {
                self.groups.insert((diagnostic.code, group), self.found.len());
            }
            self.found.push(diagnostic);
        }
    }

    /// Whether anything forbids running.
    #[must_use]
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }
    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errors + self.warnings + self.infos == 0
    }
    /// How many errors.
    #[must_use]
    pub const fn error_count(&self) -> u32 {
        self.errors
    }
    /// How many warnings.
    #[must_use]
    pub const fn warning_count(&self) -> u32 {
        self.warnings
    }
    /// How many informations.
    #[must_use]
    pub const fn info_count(&self) -> u32 {
        self.infos
    }
    /// How many were dropped because they are allowed.
    #[must_use]
    pub const fn suppressed_count(&self) -> u32 {
        self.suppressed
    }
    /// All that was kept, by file and position; what has no place comes last.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.found.iter().collect();
        all.sort_by_key(|diagnostic| match &diagnostic.primary {
            Some(at) => (false, Arc::clone(&at.file.name), at.line, at.column),
            None => (true, Arc::from(""), 0, 0),
        });
        all
    }
}

fn resolve(diagnostic: &mut Diagnostic) {
    if let Some((document, path, part)) = diagnostic.place.take() {
        diagnostic.primary = Some(location(&document, &path, part));
    }
    if let Some(at) = &mut diagnostic.primary {
        at.label = std::mem::take(&mut diagnostic.label);
    }
}

/// What a comment says that allows something.
pub(crate) const ALLOW: &str = "wavetank: allow";

/// Whether the line, or a comment line above it, says `# wavetank: allow WT0411`.
fn is_allowed_at(at: &Location, code: &str) -> bool {
    let allows = |line: &str| {
        line.split_once('#')
            .and_then(|(_, comment)| comment.split_once(ALLOW))
            .is_some_and(|(_, codes)| codes.split([',', ' ']).any(|word| word == code))
    };
    let above = at.line.saturating_sub(1);
    let above = at.file.line(above);
    allows(at.file.line(at.line)) || (at.line > 1 && above.trim_start().starts_with('#') && allows(above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::documents;

    fn read(text: &str) -> Arc<Document> {
        documents(&SourceFile::new("a.yaml", text), &mut Problems::default()).remove(0)
    }

    #[test]
    fn comments_and_options_allow_warnings_but_never_errors() {
        let document = read("a: 1 # wavetank: allow WT0411\n# wavetank: allow WT0401, WT0411\nb: 2\nc: 3\n");
        let mut problems = Problems::default();
        for key in ["/a", "/b", "/c"] {
            problems.push(Diagnostic::warning("WT0411", "w").at(&document, &Pointer::parse(key), Part::Key));
            problems.push(Diagnostic::error("WT0411", "e").at(&document, &Pointer::parse(key), Part::Key));
        }
        assert_eq!((problems.error_count(), problems.warning_count(), problems.suppressed_count()), (3, 1, 2));
        problems.allow("WT0402");
        problems.push(Diagnostic::info("WT0402", "i"));
        assert_eq!((problems.info_count(), problems.suppressed_count()), (0, 3));
    }

    #[test]
    fn a_group_is_one_problem_with_a_count_and_the_same_problem_is_kept_once() {
        let document = read("a: 1\nb: 2\n");
        let mut problems = Problems::default();
        for key in ["/a", "/b", "/a"] {
            let at = |d: Diagnostic| d.at(&document, &Pointer::parse(key), Part::Key);
            problems.push(at(Diagnostic::warning("WT0411", "w").grouped("g").context(key)));
            problems.push(at(Diagnostic::error("WT0105", "e")));
        }
        let all = problems.sorted();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].count, &all[0].also), (3, &vec!["/b".to_owned(), "/a".to_owned()]));
        assert_eq!((problems.error_count(), problems.warning_count()), (2, 1));
    }
}
