//! The files a scenario names: manifests, dumps, CSVs. The only place of this crate that opens anything.
//!
//! A path is looked for beside the file that names it, then in the working directory; built-in scenarios have only
//! the latter. What is missing is said with every place that was tried.

use std::fs;
use std::path::{Path, PathBuf};

/// Where files come from.
pub trait FileSource {
    /// The text of the file at `path`; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// In words, when it is there and cannot be read.
    fn read(&self, path: &str) -> Result<Option<String>, String>;
    /// Paths that match `pattern`, in which `*` stands for any text but `/`; sorted.
    fn matching(&self, pattern: &str) -> Vec<String>;
}

/// Files on disk. Relative paths start from the working directory given.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Where relative paths start; empty is the process's own.
    pub working_dir: PathBuf,
}

impl FileSource for Disk {
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        match fs::read(self.working_dir.join(path)) {
            Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| "the file is not UTF-8 text".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => Err("it is a directory".to_owned()),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        let absolute = pattern.starts_with('/');
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            found = found.iter().flat_map(|dir| self.step(dir, part, absolute && index == 0, last)).collect();
        }
        found.sort();
        found
    }
}

impl Disk {
    /// The entries of `dir` that match `part`.
    fn step(&self, dir: &str, part: &str, from_root: bool, last: bool) -> Vec<String> {
        let join = |name: &str| match (dir, from_root) {
            ("", true) => format!("/{name}"),
            ("", false) => name.to_owned(),
            (dir, _) => format!("{dir}/{name}"),
        };
        if !part.contains('*') {
            let path = join(part);
            let on_disk = self.working_dir.join(&path);
            return if if last { on_disk.is_file() } else { on_disk.is_dir() } { vec![path] } else { Vec::new() };
        }
        let base = if from_root { Path::new("/").to_owned() } else { self.working_dir.join(if dir.is_empty() { "." } else { dir }) };
        let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
        let wanted = |entry: &fs::DirEntry| entry.path().is_dir() != last;
        let names = entries.flatten().filter(wanted).filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !name.starts_with('.') && glob_matches(part, name)).map(|name| join(&name)).collect()
    }
}

/// The files that `place` stands for when it is a pattern or a directory: of a directory, those right in it that may hold
/// manifests.
pub(crate) fn several(files: &dyn FileSource, place: &str) -> Vec<String> {
    if place.contains('*') {
        return files.matching(place);
    }
    let mut found = files.matching(&format!("{}/*", place.trim_end_matches('/')));
    found.retain(|path| [".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending)));
    found
}

/// Whether `text` is `pattern`, in which `*` stands for any text.
pub(crate) fn glob_matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// The places where `path`, named by a file in `base_dir`, may be.
pub(crate) fn candidates(path: &str, base_dir: Option<&str>) -> Vec<String> {
    let mut places = Vec::new();
    if let Some(dir) = base_dir.filter(|dir| !dir.is_empty() && *dir != "." && !path.starts_with('/')) {
        places.push(tidy(&format!("{dir}/{path}")));
    }
    let own = tidy(path);
    if !places.contains(&own) {
        places.push(own);
    }
    places
}

/// `a/./b/../c` as `a/c`; a leading `..` stays.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let text = parts.join("/");
    if path.starts_with('/') { format!("/{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, holds) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("registry/*:2", "registry/app:2", true),
            ("plain", "plain", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob_matches(pattern, text), holds, "{pattern} {text}");
        }
    }

    #[test]
    fn a_path_is_looked_for_beside_its_file_and_then_in_the_working_directory() {
        assert_eq!(candidates("../x.csv", Some("scenarios/library")), ["scenarios/x.csv", "../x.csv"]);
        assert_eq!(candidates("./m/a.yaml", None), ["m/a.yaml"]);
        assert_eq!(candidates("/etc/x", Some("dir")), ["/etc/x"]);
        assert_eq!(candidates("a/../../b", Some(".")), ["../b"]);
    }

    #[test]
    fn patterns_find_files_in_order() {
        let disk = Disk { working_dir: env!("CARGO_MANIFEST_DIR").into() };
        let found = disk.matching("library/rolling-*.yaml");
        assert_eq!(found, ["library/rolling-update.yaml"]);
        assert_eq!(disk.matching("lib*/rolling-update.yaml"), found);
        assert!(disk.matching("nowhere/*.yaml").is_empty());
    }
}
