//! What a scenario says, as 64 hexadecimal digits.
//!
//! Invariants: the order of keys, comments and layout change nothing; every value does, in the scenario and in every
//! file it includes. Seeds and policy are left out: a run's header names them beside the digest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The digest of `scenario` with the files it includes.
pub(crate) fn digest(scenario: &Value, included: &BTreeMap<String, String>) -> String {
    let mut own = scenario.clone();
    if let Some(spec) = own.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("seeds");
        spec.remove("policy");
    }
    let mut hasher = Sha256::new();
    hasher.update(canonical(&own));
    // By what they hold, not by where they were found.
    let mut texts: Vec<&String> = included.values().collect();
    texts.sort();
    for text in texts {
        hasher.update([0]);
        hasher.update(text);
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// JSON with sorted keys and no spaces.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(entries) => {
            let sorted: BTreeMap<&String, &Value> = entries.iter().collect();
            text.push('{');
            for (index, (key, entry)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::String(key.clone()));
                write_canonical(entry, text);
            }
            text.push('}');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layout_changes_nothing_and_values_change_it() {
        let of = |value: Value, files: &[(&str, &str)]| {
            digest(&value, &files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        let one = of(json!({"spec": {"a": 1, "b": [1, 2]}}), &[("x", "t")]);
        assert_eq!(one.len(), 64);
        assert_eq!(one, of(json!({"spec": {"b": [1, 2], "a": 1, "seeds": [9], "policy": "p"}}), &[("y", "t")]));
        assert_ne!(one, of(json!({"spec": {"a": 1, "b": [2, 1]}}), &[("x", "t")]));
        assert_ne!(one, of(json!({"spec": {"a": 1, "b": [1, 2]}}), &[("x", "u")]));
    }
}
