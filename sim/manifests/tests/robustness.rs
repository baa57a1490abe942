//! No text makes the reader panic, and what it reports can always be shown.

use proptest::prelude::*;
use wavetank_manifests::{Options, Problems, SourceFile, documents, read_documents, render, to_json};

const SEED: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart, labels: {a: b}}\nspec:\n  replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 25%}}\n  selector: {matchLabels: {app: cart}}\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      tolerations: [{key: a, operator: Exists}]\n      containers:\n      - name: app\n        image: cart:1\n        resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: 1}}\n        readinessProbe: {httpGet: {port: 80}, periodSeconds: 5}\n---\n{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"n\"}, \"status\": {\"capacity\": {\"cpu\": 4}}}]}\n";

fn survives(text: &str) {
    let mut problems = Problems::default();
    let found = documents(&SourceFile::new("any.yaml", text), &mut problems);
    read_documents(&found, &Options::default(), &mut problems);
    let shown = render(&problems, false);
    assert_eq!(problems.is_empty(), shown.is_empty());
    assert_eq!(to_json(&problems)["errors"], problems.error_count());
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn any_yaml_like_text_is_survived(text in "([a-c:{}\\[\\]\"'&*!|>#,\\-? \n\t]|: |- |\n  |---\n|é){0,60}") {
        survives(&text);
    }

    #[test]
    fn a_manifest_with_a_piece_replaced_is_survived(at in 0..SEED.len(), len in 0usize..12, with in "[-a-z0-9{}\\[\\]:,\"'%. \n]{0,6}") {
        let mut bytes = SEED.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_manifest_with_a_value_replaced_is_survived(pick in any::<prop::sample::Index>(), with in prop::sample::select(vec!["null", "[]", "{}", "-1", "1e99", "99999999999999999999", "true", "\"\"", "[{}]", "{a: {b: c}}", "1.5", "\u{1F30A}"])) {
        let ends: Vec<usize> = SEED.match_indices(": ").map(|(at, _)| at + 2).collect();
        let at = ends[pick.index(ends.len())];
        let rest = &SEED[at..];
        let end = rest.find([',', '}', '\n']).unwrap_or(rest.len());
        survives(&format!("{}{with}{}", &SEED[..at], &rest[end..]));
    }
}
