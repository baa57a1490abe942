//! The format as a JSON Schema, for editors: names, types and meanings of all fields, out of what reads them.
//!
//! Invariant: whatever a scenario may say is allowed here. The schema knows less than the program: that a name exists, that
//! a quantity can be read, or that two fields go together is for `wavetank validate` to say.

use serde_json::{Map, Value, json};

use super::{API_VERSION, ComparisonFile, Described as _, Field, File, Shape};

/// The schema of scenarios, or of comparisons.
#[must_use]
pub fn schema(comparison: bool) -> Value {
    let (kind, about, shape) = if comparison {
        ("Comparison", "Policies and variations of a scenario, side by side: what `wavetank compare FILE` runs.", ComparisonFile::shape())
    } else {
        ("Scenario", "A cluster, its traffic, what goes wrong, and what is expected.", File::shape())
    };
    let mut schema = object(&shape.fields);
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = format!("wavetank {kind}").into();
    schema["description"] = about.into();
    schema["properties"]["apiVersion"]["const"] = API_VERSION.into();
    schema["properties"]["kind"]["const"] = kind.into();
    schema["required"] = json!(["apiVersion", "kind", "spec"]);
    schema
}

/// A mapping with these fields and no others.
fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.clone(), described(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn described(field: &Field) -> Value {
    let mut schema = of(&field.shape.words, &field.shape);
    schema["description"] = field.meaning.clone().into();
    schema
}

/// What the words that `explain` has for a type mean.
fn of(words: &str, shape: &Shape) -> Value {
    let scalar = || json!({ "type": ["string", "number"] });
    let either = |one: Value, other: Value| json!({ "anyOf": [one, other] });
    match words {
        "text" => scalar(),
        "true or false" => json!({ "type": "boolean" }),
        "whole number" | "whole numbers" => json!({ "type": "integer" }),
        "number" => json!({ "type": "number" }),
        "anything" => json!({}),
        "mapping" => object(&shape.fields),
        "a duration, or a distribution" => json!({ "type": ["string", "number", "object"] }),
        "name, path, or a KubeSchedulerConfiguration" => json!({ "type": ["string", "object"] }),
        // Of an object only the API knows the fields; `path` is described all the same.
        "a Kubernetes object, or mapping" => {
            let mut open = object(&shape.fields);
            open["additionalProperties"] = true.into();
            open.as_object_mut().map(|fields| fields.remove("required"));
            open
        }
        "mapping, or list of sources" => {
            let sources = shape.fields.iter().find(|field| field.name == "sources");
            either(object(&shape.fields), sources.map_or_else(|| json!({ "type": "array" }), described))
        }
        "list of whole numbers, or mapping" => either(json!({ "type": "array", "items": { "type": "integer" } }), object(&shape.fields)),
        _ => {
            if words.starts_with("mapping of ") {
                json!({ "type": "object" })
            } else if words.starts_with("list of {") {
                json!({ "type": "array", "items": { "type": "object" } })
            } else if let Some(item) = words.strip_prefix("list of ") {
                json!({ "type": "array", "items": of(item, shape) })
            } else if let Some(value) = words.strip_prefix("names with ").and_then(|rest| rest.strip_suffix(" each")) {
                json!({ "type": "object", "additionalProperties": of(value, shape) })
            } else if words.ends_with(", or mapping") {
                let one = if words.starts_with("whole number") { json!({ "type": "integer" }) } else { scalar() };
                either(one, object(&shape.fields))
            } else {
                scalar()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library;

    /// The first thing about `value` that `schema` does not allow; only of what this file writes.
    fn refused(schema: &Value, value: &Value, path: &str) -> Option<String> {
        if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            let all: Vec<String> = any.iter().filter_map(|one| refused(one, value, path)).collect();
            return (all.len() == any.len()).then(|| all.join(" and "));
        }
        if schema.get("const").is_some_and(|wanted| wanted != value) {
            return Some(format!("{path}: another constant"));
        }
        let is_a = |kind: &Value| match kind.as_str().unwrap_or_default() {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            _ => value.is_object(),
        };
        match schema.get("type") {
            Some(Value::Array(kinds)) if !kinds.iter().any(is_a) => return Some(format!("{path}: none of {kinds:?}")),
            Some(kind @ Value::String(_)) if !is_a(kind) => return Some(format!("{path}: no {kind}")),
            _ => {}
        }
        if let Some(items) = value.as_array() {
            return items.iter().enumerate().find_map(|(index, item)| refused(schema.get("items")?, item, &format!("{path}[{index}]")));
        }
        let fields = value.as_object()?;
        let missing = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        if let Some(missing) = missing.into_iter().find(|name| !fields.contains_key(*name)) {
            return Some(format!("{path}: {missing} is missing"));
        }
        fields.iter().find_map(|(name, field)| {
            let here = format!("{path}.{name}");
            match (schema.get("properties").and_then(|properties| properties.get(name)), schema.get("additionalProperties")) {
                (Some(schema), _) => refused(schema, field, &here),
                (None, Some(Value::Bool(false))) => Some(format!("{here}: no such field")),
                (None, Some(schema @ Value::Object(_))) => refused(schema, field, &here),
                _ => None,
            }
        })
    }

    fn scenario(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap_or_default()
    }

    #[test]
    fn every_shipped_scenario_is_allowed() {
        let schema = schema(false);
        for name in library::names() {
            let text = library::get(name).unwrap_or_default();
            assert_eq!(refused(&schema, &scenario(text), name), None);
        }
    }

    #[test]
    fn what_is_misspelt_or_of_another_type_is_not() {
        let schema = schema(false);
        let text = library::get("node-failure-2am").unwrap_or_default();
        for (from, to, what) in [
            ("expectations:", "expectaions:", "spec.expectaions: no such field"),
            ("duration: 20m", "duration: [1]", "spec.duration: none of"),
            ("kind: Scenario", "kind: Comparison", "kind: another constant"),
            ("      at: \"02:00\"\n", "", "at is missing"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from} is there");
            let words = refused(&schema, &scenario(&changed), "it").unwrap_or_default();
            assert!(words.contains(what), "{from}: {words}");
        }
    }

    #[test]
    fn every_type_that_explain_has_words_for_is_one_that_the_schema_knows() {
        fn walk(path: &str, fields: &[Field]) {
            for field in fields {
                let words = &field.shape.words;
                let schema = of(words, &field.shape);
                let plain = schema == json!({ "type": ["string", "number"] });
                // Scalars are texts with units; whatever has fields is more than that.
                assert!(!plain || field.shape.fields.is_empty(), "{path}.{}: {words}", field.name);
                assert!(!plain || !words.contains("mapping") && !words.contains("list"), "{path}.{}: {words}", field.name);
                walk(&format!("{path}.{}", field.name), &field.shape.fields);
            }
        }
        walk("", &File::shape().fields);
        walk("", &ComparisonFile::shape().fields);
    }
}
