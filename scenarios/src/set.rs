//! `--set path=value`: changes a scenario before it is read.
//!
//! The path is dotted, with `[2]` or `[name=general]` to choose an item; the value is YAML. Problems with what was
//! set point at the flag, through [`Document::override_place`].

use std::sync::Arc;

use manifests::{Diagnostic, Document, Location, Pointer, Problems, SourceFile, documents};
use serde_json::{Map, Value};

/// Applies every setting to `document`, in order.
pub(crate) fn apply(document: &mut Arc<Document>, settings: &[(String, String)], problems: &mut Problems) {
    for (path, value) in settings {
        let flag = SourceFile::new("--set", &format!("{path}={value}"));
        let value_place = Location::new(&flag, 1, path.chars().count() as u32 + 2, value.chars().count().max(1) as u32);
        let path_place = Location::new(&flag, 1, 1, path.chars().count().max(1) as u32);
        let Some(new) = value_of(value, &value_place, problems) else { continue };
        let Some(document) = Arc::get_mut(document) else { continue };
        match parse(path).and_then(|steps| put(&mut document.value, &steps, new)) {
            Ok(pointer) => document.override_place(pointer, value_place),
            Err(words) => {
                let help = "a path is dotted, such as `spec.cluster.nodePools[name=general].count.max`";
                problems.push(Diagnostic::error("WT0119", "cannot set this").at_place(path_place).label(words).help(help));
            }
        }
    }
}

/// The value as YAML; an empty one is an empty text.
fn value_of(text: &str, place: &Location, problems: &mut Problems) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(Value::String(String::new()));
    }
    let mut own = Problems::default();
    let found = documents(&SourceFile::new("--set", text), &mut own);
    match (own.has_errors(), found.first()) {
        (false, Some(document)) => Some(document.value.clone()),
        _ => {
            let words = own.sorted().first().and_then(|problem| problem.primary.as_ref().map(|at| at.label.clone()));
            let diagnostic = Diagnostic::error("WT0119", "cannot set this").at_place(place.clone());
            problems.push(
                diagnostic
                    .label(words.unwrap_or_else(|| "not a value".to_owned()))
                    .help("the value is YAML: `10m`, `3`, `{min: 1, max: 5}`"),
            );
            None
        }
    }
}

/// One step of a path.
#[derive(Clone, PartialEq, Debug)]
enum Step {
    Key(String),
    Index(usize),
    Where(String, String),
}

fn parse(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (inside, tail) = inner.split_once(']').ok_or_else(|| "`[` without `]`".to_owned())?;
            steps.push(bracket(inside));
            rest = tail;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err("a name is missing between two dots".to_owned());
            }
            steps.push(rest[..end].parse().map_or_else(|_| Step::Key(rest[..end].to_owned()), Step::Index));
            rest = &rest[end..];
        }
        if let Some(tail) = rest.strip_prefix('.') {
            if tail.is_empty() {
                return Err("it ends with a dot".to_owned());
            }
            rest = tail;
        }
    }
    match steps.first() {
        None => Err("the path is empty".to_owned()),
        Some(Step::Key(first)) if first == "spec" || first == "metadata" => Ok(steps),
        // `cluster.nodePools…` is short for `spec.cluster.nodePools…`.
        Some(Step::Key(_)) => Ok(std::iter::once(Step::Key("spec".to_owned())).chain(steps).collect()),
        Some(_) => Err("it begins with a name".to_owned()),
    }
}

fn bracket(inside: &str) -> Step {
    match inside.split_once('=') {
        Some((key, value)) => Step::Where(key.trim().to_owned(), value.trim().to_owned()),
        None => inside.trim().parse().map_or_else(|_| Step::Key(inside.trim_matches(['"', '\'']).to_owned()), Step::Index),
    }
}

/// Puts `new` at the end of `steps`, making mappings on the way; says where that is.
fn put(root: &mut Value, steps: &[Step], new: Value) -> Result<Pointer, String> {
    let mut place = root;
    let mut pointer = Pointer::root();
    for step in steps {
        if place.is_null() && matches!(step, Step::Key(_)) {
            *place = Value::Object(Map::new());
        }
        let kind = kind_of(place);
        place = match (step, place) {
            (Step::Key(key), Value::Object(entries)) => {
                pointer = pointer.key(key);
                entries.entry(key.clone()).or_insert(Value::Null)
            }
            (Step::Index(index), Value::Array(items)) => {
                pointer = pointer.index(*index);
                let len = items.len();
                items.get_mut(*index).ok_or_else(|| format!("there is no item {index}; the list has {len}"))?
            }
            (Step::Index(number), Value::Object(entries)) => {
                pointer = pointer.key(&number.to_string());
                entries.entry(number.to_string()).or_insert(Value::Null)
            }
            (Step::Where(key, wanted), Value::Array(items)) => {
                let index = items.iter().position(|item| item.get(key).is_some_and(|found| is(found, wanted)));
                let index = index.ok_or_else(|| no_item(items, key, wanted))?;
                pointer = pointer.index(index);
                &mut items[index]
            }
            (Step::Key(key), Value::Array(_)) => {
                return Err(format!("`{pointer}` is a list: write `[0]` or `[name=…]` instead of `{key}`"));
            }
            _ => return Err(format!("`{pointer}` is {kind}, which has no parts")),
        };
    }
    *place = new;
    Ok(pointer)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn is(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        // A number or true/false, as it would be written.
        other => wanted.parse::<Value>().is_ok_and(|wanted| wanted == *other),
    }
}

fn no_item(items: &[Value], key: &str, wanted: &str) -> String {
    let known: Vec<&str> = items.iter().filter_map(|item| item.get(key)?.as_str()).collect();
    format!("no item has {key} `{wanted}`; there are: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(value: Value, path: &str, new: Value) -> Result<Value, String> {
        let mut value = value;
        parse(path).and_then(|steps| put(&mut value, &steps, new)).map(|_| value)
    }

    #[test]
    fn paths_choose_by_name_or_index_and_make_what_is_missing() {
        let base = json!({"spec": {"cluster": {"nodePools": [{"name": "a", "count": 1}, {"name": "b"}]}}});
        let changed = set(base.clone(), "spec.cluster.nodePools[name=b].count.max", json!(9)).unwrap();
        assert_eq!(changed.pointer("/spec/cluster/nodePools/1/count/max"), Some(&json!(9)));
        let changed = set(base.clone(), "cluster.nodePools[0].count", json!(5)).unwrap();
        assert_eq!(changed.pointer("/spec/cluster/nodePools/0/count"), Some(&json!(5)));
        let changed = set(base, "controlPlane.nodeLifecycle.nodeMonitorGracePeriod", json!("40s")).unwrap();
        assert_eq!(changed.pointer("/spec/controlPlane/nodeLifecycle/nodeMonitorGracePeriod"), Some(&json!("40s")));
    }

    #[test]
    fn paths_that_lead_nowhere_say_why() {
        let base = json!({"spec": {"duration": "10m", "faults": [{"name": "x"}]}});
        for (path, words) in [
            ("", "the path is empty"),
            ("spec..x", "a name is missing between two dots"),
            ("spec.faults[name=y].at", "no item has name `y`; there are: x"),
            ("spec.faults[3]", "there is no item 3; the list has 1"),
            ("spec.faults.name", "`spec.faults` is a list: write `[0]` or `[name=…]` instead of `name`"),
            ("spec.duration.seconds", "`spec.duration` is a text, which has no parts"),
            ("spec.faults[0", "`[` without `]`"),
        ] {
            assert_eq!(set(base.clone(), path, json!(1)).unwrap_err(), words, "{path}");
        }
    }
}
