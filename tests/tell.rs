//! What the program tells of runs that are over: where two of them part, where the decisions of two policies do, and why.

mod common;

use std::fs;
use std::path::Path;

use common::{contents, expect_exit, wavetank};

const FINE: &str = "tests/broken/fine.yaml";

/// Runs `wavetank` with words, and returns exit code and stderr.
fn said(words: &[&str]) -> (Option<i32>, String) {
    let output = wavetank().args(words).output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(scenario: &str, out: &Path, flags: &[&str]) -> String {
    expect_exit(wavetank().args(["run", scenario, "--exit-zero", "--out"]).arg(out).args(flags), 0)
}

#[test]
fn two_runs_are_laid_side_by_side() {
    let scratch = tempfile::tempdir().unwrap();
    run(FINE, scratch.path(), &["--until", "2m", "--seeds", "1..2"]);
    let shop = scratch.path().join("shop");
    let diff = |one: &Path, other: &Path, flags: &[&str], code| expect_exit(wavetank().arg("diff").args([one, other]).args(flags), code);
    assert!(diff(&shop, &shop, &[], 0).starts_with("equal: all "));
    let told = diff(&shop.join("seed-1"), &shop.join("seed-2"), &[], 6);
    assert!(["FIRST DIFFERENCE", "seed      1        2", "METRICS", "RECORDS"].iter().all(|part| told.contains(part)), "{told}");
    // A trace file is as good as its directory; asked for nothing else, the same seed is taken of both.
    let file = fs::read_dir(shop.join("traces")).unwrap().flatten().next().unwrap().path();
    let seed = trace::Trace::read(fs::File::open(&file).unwrap()).unwrap().header.seed.to_string();
    let document: serde_json::Value = serde_json::from_str(&diff(&file, &shop, &["-o", "json", "--seed", &seed], 0)).unwrap();
    assert_eq!(document["equal"], true);
    let busy = scratch.path().join("busy");
    run(FINE, &busy, &["--until", "2m", "--seeds", "2..3", "--set", "spec.traffic.sources[0].rate=51/s"]);
    let told = diff(&shop, &busy.join("shop"), &[], 6);
    assert!(told.contains("--set") && told.contains("spec.traffic.sources[0].rate=51/s") && !told.contains("\nseed "), "{told}");
    // Points of a work, where it kept its traces.
    let compare = |flags: &[&str]| {
        let words = ["compare", FINE, "-p", "default", "-p", "bin-pack", "--until", "1m", "--seeds", "1..1", "--out"];
        expect_exit(wavetank().args(words).arg(scratch.path()).args(flags), 0);
        scratch.path().join("compare-shop")
    };
    let work = compare(&["--trace", "full"]);
    assert!(diff(&work, &work.join("bin-pack"), &[], 0).contains("policy    default   bin-pack"));
    let wrong = |path: &Path| said(&["diff", path.to_str().unwrap(), work.to_str().unwrap()]);
    assert!(wrong(&work.join("nonsense")).1.contains("it has default, bin-pack"));
    assert!(wrong(&work.join("bin-pack/seed-7")).1.contains("it has seeds 1"));
    compare(&[]);
    assert!(wrong(&work).1.contains("run it again with `--trace full`"));
}

/// The scenario of two sizes of nodes: bin-pack takes the small ones.
const SIZES: &[&str] = &[
    "compare",
    FINE,
    "--set",
    "spec.cluster.nodePools=[{name: small, count: 2, template: {capacity: {cpu: '4', memory: 16Gi, pods: '110'}}}, \
     {name: large, count: 2, template: {capacity: {cpu: '16', memory: 64Gi, pods: '110'}}}]",
    "--until",
    "1m",
    "--seeds",
    "1..3",
    "-p",
    "default",
    "-p",
    "bin-pack",
];

#[test]
fn the_first_decision_that_differs_is_told_with_what_tipped_it_however_the_work_was_divided() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let compare = |out: &str, flags: &[&str]| expect_exit(wavetank().args(SIZES).args(flags).arg("--out").arg(place(out)), 0);
    let told = compare("whole", &[]);
    let expected =
        ["FIRST DECISION THAT DIFFERS  bin-pack against default, seed 1", "* tipped by NodeResourcesFit: ", "3 of 3 pods elsewhere"];
    assert!(expected.iter().all(|part| told.contains(part)), "{told}");
    let whole = contents(&place("whole/compare-shop"));
    let document: serde_json::Value = serde_json::from_slice(&whole["comparison.json"]).unwrap();
    assert_eq!(document["decisions"][0]["first"]["tippedBy"], "NodeResourcesFit", "{document:#}");
    // Done again from what is there, with the first seed's jobs missing or not; and in parts.
    for id in [None, document["decisions"][0]["seed"].as_u64().map(|_| "decisions.json")] {
        if let Some(file) = id {
            fs::remove_file(place("whole/compare-shop").join(file)).unwrap();
        }
        compare("whole", &["--resume"]);
        assert!(contents(&place("whole/compare-shop")) == whole, "{id:?}");
    }
    let parts = [1, 2, 3].map(|part| {
        compare(&format!("{part}-of-3"), &["--shard", &format!("{part}/3")]);
        place(&format!("{part}-of-3"))
    });
    expect_exit(wavetank().arg("merge").args(parts.iter().rev()).arg("--out").arg(place("merged")), 0);
    assert!(contents(&place("merged")) == whole);
}

/// Questions about the world of troubles, and when.
const QUESTIONS: &[(&str, &str)] = &[
    ("hpa/shop", "6m"),
    ("deployment/shop", "90s"),
    ("deployment/wide", "7m"),
    ("deployment/trainer", "7m"),
    ("deployment/crowd", "7m"),
    ("deployment/typo", "7m"),
    ("deployment/leak", "7m"),
    ("job/report", "7m"),
    ("node/general-1", "10m"),
    ("node/general-3", "7m"),
    ("pod/trainer", "7m"),
    ("pod/typo", "7m"),
    ("pod/leak", "7m"),
    ("pod/report", "7m"),
];

#[test]
fn why_is_told_across_scheduler_autoscalers_controllers_and_kubelet() {
    let scratch = tempfile::tempdir().unwrap();
    run("tests/tell/troubles.yaml", scratch.path(), &[]);
    let results = scratch.path().join("troubles");
    let ask = |words: &[&str]| expect_exit(wavetank().args(words).arg("--run").arg(&results), 0);
    let mut told = String::new();
    for (object, at) in QUESTIONS {
        // Pods have made-up names: the last one of the workload is meant.
        let object = match object.strip_prefix("pod/") {
            Some(workload) => {
                let pods = ask(&["get", "pods", "--at", at]);
                let name = pods.lines().filter_map(|line| line.split_whitespace().nth(1)).rfind(|name| name.starts_with(workload));
                format!("pod/{}", name.unwrap_or_default())
            }
            None => (*object).to_owned(),
        };
        told += &format!("$ why {object} --at {at}\n{}\n", ask(&["why", &object, "--at", at, "--trace-only"]));
    }
    insta::assert_snapshot!(told);
}
