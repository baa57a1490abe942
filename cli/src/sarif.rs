//! Problems as SARIF 2.1.0, for code scanning, and as annotations of a pull request.
//!
//! Invariant: what the standard requires is there: version, tool and its rules, and for each result a message, a rule
//! by id and index, and a place.

use manifests::{Diagnostic, Problems, Severity};
use reports::render::{Annotation, Level};
use serde_json::{Value, json};

/// What was found in one file.
pub(crate) struct Checked {
    pub(crate) file: String,
    pub(crate) problems: Problems,
    /// Why it could not be checked at all.
    pub(crate) unread: Option<String>,
}

/// The document.
pub(crate) fn sarif(all: &[Checked]) -> Value {
    let found: Vec<(&Checked, &Diagnostic)> =
        all.iter().flat_map(|checked| checked.problems.sorted().into_iter().map(move |diagnostic| (checked, diagnostic))).collect();
    let mut codes: Vec<&str> = found.iter().map(|(_, diagnostic)| diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let results: Vec<Value> = found.iter().map(|(checked, diagnostic)| result(checked, diagnostic, &codes)).collect();
    let notifications: Vec<Value> = all
        .iter()
        .filter_map(|checked| {
            let why = checked.unread.as_ref()?;
            Some(json!({
                "level": "error",
                "message": { "text": why },
                "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(&checked.file) } } }],
            }))
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "wavetank",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": codes.iter().map(|code| rule(code)).collect::<Vec<_>>(),
                },
            },
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": notifications.is_empty(), "toolExecutionNotifications": notifications }],
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    let known = manifests::rule(code);
    let title = known.map_or(code, |rule| rule.title);
    let about = known.map_or(code, |rule| rule.explanation);
    json!({
        "id": code,
        "shortDescription": { "text": title },
        "fullDescription": { "text": about },
        "help": { "text": format!("{about}\n\n`wavetank explain {code}` says this, too.") },
    })
}

fn result(checked: &Checked, diagnostic: &Diagnostic, codes: &[&str]) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let (file, region) = match &diagnostic.primary {
        Some(at) => {
            let end = at.column + at.len.max(1);
            let region = json!({ "startLine": at.line, "startColumn": at.column, "endLine": at.line, "endColumn": end });
            (&*at.file.name, region)
        }
        None => (checked.file.as_str(), json!({ "startLine": 1 })),
    };
    json!({
        "ruleId": diagnostic.code,
        "ruleIndex": codes.binary_search(&diagnostic.code).unwrap_or_default(),
        "level": level,
        "message": { "text": message(diagnostic) },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(file) }, "region": region } }],
    })
}

/// The problem, where it is, and what to do.
fn message(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message.clone();
    let label = diagnostic.primary.as_ref().map_or("", |at| at.label.as_str());
    if !label.is_empty() {
        text = format!("{text}: {label}");
    }
    for more in diagnostic.context.iter().chain(&diagnostic.notes).chain(&diagnostic.help) {
        text = format!("{text}\n{more}");
    }
    if diagnostic.count > 1 {
        text = format!("{text}\nfound {} times", diagnostic.count);
    }
    text
}

/// A path as a URI: what is no part of one is escaped.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=@".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The same for GitHub's annotations.
pub(crate) fn annotations(all: &[Checked]) -> Vec<Annotation> {
    let of_file = |checked: &Checked| {
        let at = |level, file: &str, line, column, title: String, message| Annotation {
            level,
            file: Some(file.to_owned()),
            line,
            column,
            title,
            message,
        };
        let unread = checked.unread.iter().map(|why| at(Level::Error, &checked.file, 0, 0, "cannot be checked".to_owned(), why.clone()));
        let found = checked.problems.sorted().into_iter().map(|diagnostic| {
            let level = match diagnostic.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
                Severity::Info => Level::Notice,
            };
            let title = format!("{} {}", diagnostic.code, manifests::rule(diagnostic.code).map_or("", |rule| rule.title));
            match &diagnostic.primary {
                Some(place) => at(level, &place.file.name, place.line, place.column, title, message(diagnostic)),
                None => at(level, &checked.file, 0, 0, title, message(diagnostic)),
            }
        });
        unread.chain(found).collect::<Vec<_>>()
    };
    all.iter().flat_map(of_file).collect()
}
