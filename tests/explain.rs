//! Explanations as people read them: what `schedule -o wide` and `why` say, and that what they say can be trusted.

mod common;

use std::fs;
use std::path::Path;

use common::{expect_exit, root, wavetank};

/// A pod on a cluster of three small nodes that are full.
const FULL: &str = "tests/explain/full.yaml";

fn run(directory: &Path, flags: &[&str]) {
    expect_exit(wavetank().args(["run", FULL, "--exit-zero", "--no-report", "--out"]).arg(directory).args(flags), 0);
}

fn why(directory: &Path, words: &[&str]) -> String {
    expect_exit(wavetank().arg("why").args(words).arg("--run").arg(directory.join("full")), 0)
}

/// The first pod that a table of the run's events says found no node.
fn first_pending(directory: &Path) -> String {
    let events = expect_exit(wavetank().args(["get", "events", "--run"]).arg(directory.join("full")), 0);
    let failed = events.lines().find(|line| line.contains("FailedScheduling")).expect("a pod that found no node");
    failed.split_whitespace().find(|word| word.starts_with("pod/")).expect("its name").to_owned()
}

#[test]
fn every_name_that_is_listed_has_something_said_about_it() {
    let listed = |what: &str| expect_exit(wavetank().args(["list", what, "--output", "name"]), 0);
    for what in ["metrics", "rules", "faults", "policies", "scenarios"] {
        for name in listed(what).lines() {
            let told = expect_exit(wavetank().args(["explain", name]), 0);
            assert!(told.contains(name) && told.lines().count() > 2, "{told}");
        }
        let document = expect_exit(wavetank().args(["list", what, "-o", "json"]), 0);
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        let names: Vec<&str> = document["items"].as_array().unwrap().iter().filter_map(|item| item["name"].as_str()).collect();
        assert_eq!(names, listed(what).lines().collect::<Vec<_>>());
    }
    let told = |what: &str| expect_exit(wavetank().args(["explain", what]), 0);
    assert_eq!(told("traffic.sources"), told("spec.traffic.sources"), "`spec.` may be left out");
}

#[test]
fn the_schema_is_a_document_that_knows_every_field_that_explain_knows() {
    for (kind, field) in [("scenario", "spec"), ("comparison", "comparison.spec")] {
        let schema = expect_exit(wavetank().args(["schema", kind]), 0);
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        let known = schema["properties"]["spec"]["properties"].as_object().unwrap();
        let told = expect_exit(wavetank().args(["explain", field]), 0);
        for name in known.keys() {
            assert!(told.contains(&format!("\n  {name}  <")), "{name}: {told}");
        }
        assert!(known.len() > 3, "{kind}");
    }
}

#[test]
fn every_plugin_says_what_would_make_a_node_fit() {
    let words = ["schedule", "--cluster", "tests/explain/cluster.yaml", "--pods", "tests/explain/pods.yaml", "-o", "wide"];
    let text = expect_exit(wavetank().args(words), 0);
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(100), "{longest:?} columns");
    insta::assert_snapshot!(text);
}

#[test]
fn the_document_of_schedule_is_the_same_with_and_without_explanations() {
    let words = ["schedule", "--cluster", "tests/explain/cluster.yaml", "--pods", "tests/explain/pods.yaml"];
    let json = expect_exit(wavetank().args(words).args(["-o", "json"]), 0);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let results = |form: &str| -> Vec<(String, String)> {
        let table = expect_exit(wavetank().args(words).args(["-o", form]), 0);
        let cells = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let rows = table.lines().skip(1).take_while(|line| !line.is_empty()).map(cells);
        rows.map(|row| (row[0].clone(), row[1].clone())).collect()
    };
    let attempts = document["attempts"].as_array().unwrap();
    let told: Vec<(String, String)> =
        attempts.iter().map(|attempt| (attempt["pod"].as_str().unwrap().into(), attempt["result"].as_str().unwrap().into())).collect();
    assert_eq!(results("table"), told);
    assert_eq!(results("wide"), told);
}

#[test]
fn a_pending_pod_of_a_run_is_explained_node_by_node() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &[]);
    let pod = first_pending(scratch.path());
    let story = why(scratch.path(), &[&pod, "--at", "1m"]);
    // The API server draws the names of pods.
    let nameless = |word: &str| if word.starts_with("default/full-") { "default/POD".to_owned() } else { word.to_owned() };
    insta::assert_snapshot!(story.split(' ').map(nameless).collect::<Vec<_>>().join(" "));
    assert!(why(scratch.path(), &[&pod, "--at", "1m", "--all"]).contains("general-5"));
    let document: serde_json::Value = serde_json::from_str(&why(scratch.path(), &[&pod, "--at", "1m", "-o", "json"])).unwrap();
    let explanation = &document["decisions"][0]["explanation"];
    assert_eq!((&document["schemaVersion"], explanation["turnedDown"].as_array().map(Vec::len)), (&1.into(), Some(6)));
    assert_eq!(explanation["turnedDown"][0]["objections"][0]["plugin"], "NodeResourcesFit");
    assert!(why(scratch.path(), &["deployment/full", "--at", "1m"]).contains("6 pods without a node"));
    let from_trace = why(scratch.path(), &[&pod, "--at", "1m", "--trace-only"]);
    assert!(from_trace.contains("turned down by NodeResourcesFit") && !from_trace.contains("nearest fit"), "{from_trace}");
}

#[test]
fn a_placed_pod_is_explained_score_by_score() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &[]);
    let pods = expect_exit(wavetank().args(["get", "pods", "--at", "1m", "--run"]).arg(scratch.path().join("full")), 0);
    let running = pods.lines().find(|line| line.contains("Running")).unwrap().split_whitespace().next().unwrap();
    let story = why(scratch.path(), &[&format!("pod/{running}"), "--at", "1m"]);
    assert!(story.contains("SCORED BY") && story.contains("NodeResourcesFit ×1") && story.contains("total"), "{story}");
}

#[test]
fn a_run_is_repeated_from_where_it_was_started() {
    let (scratch, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(scratch.path(), &[]);
    let place = scratch.path().join("full");
    let text = expect_exit(wavetank().current_dir(elsewhere.path()).args(["replay", "--verify"]).arg(&place), 0);
    assert!(text.contains("identical"), "{text}");
    let pod = first_pending(scratch.path());
    let story = expect_exit(wavetank().current_dir(elsewhere.path()).args(["why", &pod, "--at", "1m", "--run"]).arg(&place), 0);
    assert!(story.contains("nearest fits"), "{story}");
}

#[test]
fn what_can_no_longer_be_run_is_told_from_the_trace_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("own.yaml");
    let text = fs::read_to_string(root().join(FULL)).unwrap();
    fs::write(&file, &text).unwrap();
    expect_exit(wavetank().arg("run").arg(&file).args(["--exit-zero", "--no-report", "--out"]).arg(scratch.path()), 0);
    let pod = first_pending(scratch.path());
    let told_without = |because: &str| {
        // Not quiet: what it says beside the story is what this is about.
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wavetank"));
        let output = command.args(["why", &pod, "--at", "1m", "--run"]).arg(scratch.path().join("full")).output().unwrap();
        let (story, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(story.contains("turned down by NodeResourcesFit") && !story.contains("nearest fit"), "{story}");
        assert!(said.contains("note: without scores and nearest fits:") && said.contains(because), "{said}");
    };
    fs::write(&file, text.replace("replicas: 30", "replicas: 31")).unwrap();
    told_without("is no longer what was run");
    fs::write(&file, "spec: {").unwrap();
    told_without("can no longer be run");
    fs::remove_file(&file).unwrap();
    told_without("there is no file");
    fs::write(&file, &text).unwrap();
    let manifest = scratch.path().join("full/manifest.json");
    let written = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, written.replace(env!("CARGO_PKG_VERSION"), "0.0.0-other")).unwrap();
    told_without("0.0.0-other, which may decide otherwise");
}

#[test]
fn a_service_has_a_story_and_wrong_names_get_a_hint() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &[]);
    assert!(why(scratch.path(), &["service/full"]).contains("endpoints ready"));
    for (object, hint) in [
        ("service/ful", "did you mean `default/full`?"),
        ("pot/x", "did you mean `pod`?"),
        ("full", "write it as `pod/full`"),
        ("node/general-9", "did you mean `general-"),
    ] {
        let output = wavetank().args(["why", object, "--run"]).arg(scratch.path().join("full")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(7), "{object}: {said}");
        assert!(said.contains(hint), "{object}: {said}");
    }
}

#[test]
fn get_takes_a_name_and_gives_one_document() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &[]);
    let get = |words: &[&str]| expect_exit(wavetank().arg("get").args(words).arg("--run").arg(scratch.path().join("full")), 0);
    assert_eq!(get(&["nodes", "general-1"]).lines().count(), 2);
    assert_eq!(get(&["node/general-1"]), get(&["no", "general-1"]));
    let pod = first_pending(scratch.path());
    let events = get(&["events", &pod]);
    assert!(events.lines().skip(1).all(|line| line.contains(&pod)), "{events}");
    let document: serde_json::Value = serde_json::from_str(&get(&["deployments", "full", "-o", "json"])).unwrap();
    assert_eq!((&document["schemaVersion"], &document["kind"]), (&1.into(), &"deployments".into()));
    let item = &document["items"][0];
    assert_eq!((&item["namespace"], &item["name"], &item["upToDate"]), (&"default".into(), &"full".into(), &"30".into()));
    let output = wavetank().args(["get", "nodes", "general-x", "--run"]).arg(scratch.path().join("full")).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `general-"));
}

#[test]
fn several_scenarios_give_one_document() {
    let scratch = tempfile::tempdir().unwrap();
    let words = ["run", FULL, "tests/broken/fine.yaml", "--until", "1m", "--exit-zero", "--no-report", "-o", "json"];
    for extra in [&[][..], &["--dry-run"]] {
        let text = expect_exit(wavetank().args(words).args(extra).arg("--out").arg(scratch.path()), 0);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> = document["scenarios"].as_array().unwrap().iter().map(|one| one["scenario"].as_str().unwrap()).collect();
        assert_eq!((&document["schemaVersion"], names), (&1.into(), vec!["full", "shop"]));
    }
}

#[test]
fn a_run_without_time_stops_with_what_it_has_and_stops_there_again() {
    let scratch = tempfile::tempdir().unwrap();
    let flags = ["run", "node-failure-2am", "--seed", "1", "--max-wall", "1ms", "--no-report", "--out"];
    expect_exit(wavetank().args(flags).arg(scratch.path()), 8);
    let text = expect_exit(wavetank().args(["replay", "--verify"]).arg(scratch.path().join("node-failure-2am")), 0);
    assert!(text.contains("identical"), "{text}");
}
