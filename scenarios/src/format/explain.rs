//! `wavetank explain spec.…`: a field's type, meaning and own fields, in the manner of `kubectl explain`.

use std::fmt::Write as _;

use super::{API_VERSION, ComparisonFile, Described as _, Field, File};
use manifests::did_you_mean;

/// What the format says of the field at `path` (`spec.cluster.nodePools.count`; empty for the whole file). With `comparison` in
/// front it is a field of a comparison file.
///
/// # Errors
/// A sentence, when there is no such field.
pub fn explain(path: &str) -> Result<String, String> {
    let is_comparison = path.split(['.', '/']).next().is_some_and(|word| word.eq_ignore_ascii_case("comparison"));
    let (kind, about, mut fields) = if is_comparison {
        (
            "Comparison",
            "Policies and variations of a scenario, side by side: what `wavetank compare FILE` runs.",
            ComparisonFile::shape().fields,
        )
    } else {
        ("Scenario", "A cluster, its traffic, what goes wrong, and what is expected.", File::shape().fields)
    };
    let mut found: Option<Field> = None;
    let mut walked = String::new();
    let words = path.split(['.', '/']).map(|word| word.split('[').next().unwrap_or("")).filter(|word| !word.is_empty());
    for word in words.filter(|word| !word.bytes().all(|b| b.is_ascii_digit())).skip_while(|word| word.eq_ignore_ascii_case(kind)) {
        let Some(field) = fields.iter().find(|field| field.name == word) else { return Err(no_such_field(&walked, word, &fields)) };
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(word);
        let field = field.clone();
        fields = field.shape.fields.clone();
        found = Some(field);
    }
    Ok(page((kind, about), &walked, found.as_ref(), &fields))
}

fn no_such_field(walked: &str, word: &str, fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let place = if walked.is_empty() { "a scenario".to_owned() } else { format!("`{walked}`") };
    if names.is_empty() {
        return format!("{place} has no fields");
    }
    match did_you_mean(word, names.iter().copied()) {
        Some(near) => format!("{place} has no field `{word}`; did you mean `{near}`?"),
        None => format!("{place} has no field `{word}`; it has {}", names.join(", ")),
    }
}

fn page((kind, about): (&str, &str), path: &str, field: Option<&Field>, fields: &[Field]) -> String {
    let mut text = format!("KIND:     {kind}\nVERSION:  {API_VERSION}\n\n");
    if let Some(field) = field {
        let required = if field.required { "  -required-" } else { "" };
        let _ = write!(text, "FIELD:    {path}  <{}>{required}\n\nDESCRIPTION:\n", field.shape.words);
        fold(&mut text, &field.meaning, 2);
    } else {
        let _ = writeln!(text, "DESCRIPTION:\n  {about}");
    }
    if !fields.is_empty() {
        text.push_str("\nFIELDS:\n");
    }
    for field in fields {
        let required = if field.required { "  -required-" } else { "" };
        let _ = writeln!(text, "  {}  <{}>{required}", field.name, field.shape.words);
        fold(&mut text, &field.meaning, 6);
    }
    text
}

/// Appends `meaning` in lines of at most 100 columns, indented.
fn fold(text: &mut String, meaning: &str, indent: usize) {
    let mut column = 0;
    for word in meaning.split_whitespace() {
        let len = word.chars().count();
        if column == 0 || column + 1 + len > 100 {
            if column > 0 {
                text.push('\n');
            }
            let _ = write!(text, "{:indent$}{word}", "");
            column = indent + len;
        } else {
            text.push(' ');
            text.push_str(word);
            column += 1 + len;
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_explained_with_its_own_fields() {
        insta::assert_snapshot!(explain("spec.cluster.nodePools[0].count").unwrap());
    }

    #[test]
    fn an_unknown_field_names_the_nearest_one() {
        assert_eq!(explain("spec.cluster.nodePool").unwrap_err(), "`spec.cluster` has no field `nodePool`; did you mean `nodePools`?");
        assert_eq!(explain("spec.warmup.length").unwrap_err(), "`spec.warmup` has no fields");
    }

    #[test]
    fn every_field_says_what_it_means() {
        fn walk(path: &str, fields: &[Field]) {
            for field in fields {
                let path = format!("{path}.{}", field.name);
                assert!(field.meaning.ends_with('.') || field.meaning.ends_with("NoSchedule`"), "{path}: {:?}", field.meaning);
                walk(&path, &field.shape.fields);
            }
        }
        walk("", &File::shape().fields);
        walk("", &ComparisonFile::shape().fields);
    }
}
