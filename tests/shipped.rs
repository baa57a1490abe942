//! The shipped scenarios: each repeats to the byte, and each still gives the result that is pinned.
//!
//! A changed digest is a changed model. When that is meant, `WAVETANK_ACCEPT=1 cargo test --test shipped`
//! writes the new digests, and CHANGELOG.md says why under "The model".

#![expect(clippy::print_stdout, reason = "a test says what it could not do here")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{contents, expect_exit, program, root, wavetank};

/// Name, exit code, and whether it replays a file that a clone alone does not have.
const SHIPPED: &[(&str, i32, bool)] = &[
    ("black-friday-40x", 0, false),
    ("black-friday-40x-no-autoscaling", 4, false),
    ("black-friday-200-nodes", 0, false),
    ("node-failure-2am", 0, false),
    ("crash-at-2am", 0, false),
    ("rolling-update", 0, false),
    ("broken-release", 0, false),
    ("llm-inference-burst", 0, true),
];

fn load() -> &'static Path {
    Path::new("../shared/traces/rates/azure_llm_code_1s.csv")
}

fn present(needs_load: bool) -> bool {
    !needs_load || root().join(load()).exists()
}

fn run(mut command: Command, name: &str, exit: i32, out: &Path, flags: &[&str]) -> BTreeMap<String, Vec<u8>> {
    expect_exit(command.args(["run", name, "--out"]).arg(out).args(flags), exit);
    contents(&out.join(name))
}

fn digests(files: &BTreeMap<String, Vec<u8>>) -> Vec<(u64, String)> {
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let jobs = manifest["jobs"].as_array().unwrap();
    jobs.iter().map(|job| (job["seed"].as_u64().unwrap(), job["traceDigest"].as_str().unwrap().to_owned())).collect()
}

/// Every request of every flow is accounted for, in every window of every trace.
fn requests_add_up(files: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let is_trace = |bytes: &[u8]| bytes.starts_with(&[0x1f, 0x8b]);
    let traces: Vec<_> = files.values().filter(|bytes| is_trace(bytes)).map(|bytes| trace::Trace::read(&bytes[..])).collect();
    if traces.is_empty() {
        return Err("there is no trace".to_owned());
    }
    traces.into_iter().try_for_each(|trace| reports::metrics::conservation(&trace.map_err(|error| error.to_string())?))
}

/// The scenarios that requests counted together can play, each by its first seed.
#[test]
fn requests_of_shipped_scenarios_add_up_when_they_are_counted_together_too() {
    let scratch = tempfile::tempdir().unwrap();
    let mut played = 0;
    for (name, _, needs_load) in SHIPPED.iter().filter(|(_, _, needs_load)| present(*needs_load)) {
        let mut command = wavetank();
        command.args(["run", name, "--no-report", "--seed", "1", "--set", "spec.traffic.engine=cohort", "--out"]).arg(scratch.path());
        let output = command.output().unwrap();
        let refused = output.status.code() == Some(3);
        assert!(refused || matches!(output.status.code(), Some(0 | 4)), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        if !refused {
            assert_eq!(requests_add_up(&contents(&scratch.path().join(name))), Ok(()), "{name}, load file: {needs_load}");
            played += 1;
        }
    }
    assert!(played >= 5, "{played}");
}

#[test]
fn every_listed_scenario_is_shipped_and_every_shipped_one_is_listed() {
    let printed = expect_exit(wavetank().args(["list", "scenarios", "-o", "name"]), 0);
    let mut listed: Vec<&str> = SHIPPED.iter().map(|(name, ..)| *name).collect();
    let mut shipped: Vec<&str> = printed.lines().collect();
    listed.sort_unstable();
    shipped.sort_unstable();
    assert_eq!(listed, shipped);
}

/// Threads, repetition and the page change nothing; neither does the kind of build, where one is given.
#[test]
fn shipped_scenarios_repeat_to_the_byte_and_match_their_pinned_digests() {
    let pinned_path = root().join("tests/shipped_digests.json");
    let accept = std::env::var_os("WAVETANK_ACCEPT").is_some();
    let pinned: BTreeMap<String, Vec<(u64, String)>> =
        fs::read(&pinned_path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let mut found = pinned.clone();
    let other_build = std::env::var_os("WAVETANK_OTHER_BUILD").map(PathBuf::from);
    let scratch = tempfile::tempdir().unwrap();
    for (name, exit, needs_load) in SHIPPED {
        if !present(*needs_load) {
            println!("{name}: not run, {} is not here", load().display());
            continue;
        }
        let once = run(wavetank(), name, *exit, &scratch.path().join("once"), &["-j", "1"]);
        let mut again = match &other_build {
            Some(path) => run(program(path), name, *exit, &scratch.path().join("again"), &["-j", "2", "--no-report"]),
            None => run(wavetank(), name, *exit, &scratch.path().join("again"), &["-j", "2", "--no-report"]),
        };
        assert!(!again.contains_key("report.html"), "{name}: --no-report wrote a page");
        let page = once.get("report.html").unwrap_or_else(|| panic!("{name}: no page")).clone();
        again.insert("report.html".to_owned(), page);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&once), names(&again), "{name}");
        for (file, bytes) in &once {
            assert!(again[file] == *bytes, "{name}: {file} differs between -j1 and -j2");
        }
        assert_eq!(requests_add_up(&once), Ok(()), "{name}");
        found.insert((*name).to_owned(), digests(&once));
    }
    if accept {
        fs::write(&pinned_path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    } else {
        assert_eq!(found, pinned, "results changed; see the head of tests/shipped.rs");
    }
}
