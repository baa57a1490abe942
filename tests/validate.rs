//! What `wavetank validate` says about broken files: every problem, its place, what is accepted, what to do.

mod common;

use std::process::Output;

use common::{root, wavetank};

/// Exit code and everything printed, for one file of tests/broken.
fn validate(name: &str) -> String {
    let Output { status, stdout, stderr } =
        wavetank().args(["validate", &format!("tests/broken/{name}.yaml")]).output().expect("the program starts");
    format!("exit {}\n{}{}", status.code().unwrap_or(-1), String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

#[test]
fn the_file_that_the_broken_ones_are_made_from_is_fine() {
    let printed = validate("fine");
    assert!(printed.starts_with("exit 0\n"), "{printed}");
}

#[test]
fn every_broken_file_is_refused_with_its_place_and_a_way_out() {
    let mut names: Vec<String> = std::fs::read_dir(root().join("tests/broken"))
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned))
        .filter(|name| name != "fine")
        .collect();
    names.sort();
    assert_eq!(names.len(), 10);
    for name in names {
        let printed = validate(&name);
        assert!(printed.starts_with("exit 3\n"), "{name}: {printed}");
        assert!(printed.contains(&format!("tests/broken/{name}.yaml:")), "{name} names no place: {printed}");
        insta::assert_snapshot!(name, printed);
    }
}

/// `wavetank validate` in another form, on every broken file at once.
fn formatted(format: &str) -> String {
    let output = wavetank().args(["validate", "tests/broken", "tests/nowhere.yaml", "--format", format]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What the schema of SARIF 2.1.0 requires, and what code scanning wants beyond it.
#[test]
fn sarif_has_what_the_standard_requires() {
    let document: serde_json::Value = serde_json::from_str(&formatted("sarif")).unwrap();
    assert_eq!((&document["version"], document["runs"].as_array().map(Vec::len)), (&"2.1.0".into(), Some(1)));
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "wavetank");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["id"].is_string() && rule["shortDescription"]["text"].is_string()), "{rules:#?}");
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 10);
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(result["ruleId"], rule["id"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().is_some_and(|uri| uri.starts_with("tests/broken/")), "{result:#}");
        assert!(place["region"]["startLine"].as_u64().is_some_and(|line| line > 0));
    }
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert!(invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().is_some_and(|text| text.contains("nowhere.yaml")));
}

#[test]
fn a_pull_request_is_annotated_at_the_lines() {
    let text = formatted("github");
    assert!(text.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")), "{text}");
    assert!(text.contains("::error file=tests/broken/bad-quantity.yaml,line=27"), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("::error ")).count() <= 10);
}
