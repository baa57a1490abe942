//! Two policies under one seed meet the same day: the same requests, the same failures. What differs is theirs.
//!
//! That a request takes and fails as it would anywhere else, and that who a pod is does not depend on what else there is, is tested in
//! the engine (`t37`, `store`).

mod common;

use std::fs;
use std::path::Path;

use api::SimTime;
use common::{expect_exit, wavetank};
use trace::{Record, Trace};

/// Fills nodes before it opens others, whatever topology says.
const PACKED: &str = "bin-pack:PodTopologySpread.weight=0";

fn compare(scenario: &str, flags: &[&str], out: &Path) -> serde_json::Value {
    let mut command = wavetank();
    command.args(["compare", scenario, "-p", "default", "-p", PACKED, "-o", "json", "--out"]).arg(out).args(flags);
    serde_json::from_str(&expect_exit(&mut command, 0)).unwrap()
}

/// The end of a window, a flow, and how many requests of it began.
type Arrivals = (SimTime, String, u64);
/// When a fault began, its name, and who was struck.
type Failure = (SimTime, String, Vec<String>);

/// What comes from outside.
fn from_outside(trace: &Trace) -> (Vec<Arrivals>, Vec<Failure>) {
    let (mut arrivals, mut failures) = (Vec::new(), Vec::new());
    for (at, record) in &trace.records {
        match record {
            Record::Traffic { flow, external: true, counts, .. } => arrivals.push((*at, flow.to_string(), counts.arrived)),
            Record::FaultBegan { fault, targets, .. } => {
                failures.push((*at, fault.to_string(), targets.iter().map(ToString::to_string).collect()));
            }
            _ => {}
        }
    }
    (arrivals, failures)
}

fn placements(trace: &Trace) -> Vec<String> {
    let scheduled =
        |record: &Record| if let Record::PodScheduled { pod, node, .. } = record { Some(format!("{pod} {node}")) } else { None };
    trace.records.iter().filter_map(|(_, record)| scheduled(record)).collect()
}

#[test]
fn two_policies_meet_the_same_requests_and_the_same_failures_record_by_record() {
    let scratch = tempfile::tempdir().unwrap();
    compare("crash-at-2am", &["--seeds", "1..3", "--until", "6m", "--trace", "full"], scratch.path());
    let place = scratch.path().join("compare-crash-at-2am");
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(place.join("manifest.json")).unwrap()).unwrap();
    let traces: Vec<Trace> = manifest["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| Trace::read(fs::File::open(place.join(format!("traces/{}.jsonl.gz", job["id"].as_str().unwrap()))).unwrap()).unwrap())
        .collect();
    let (spread, packed) = traces.split_at(3);
    for (one, other) in spread.iter().zip(packed) {
        assert_eq!(one.header.seed, other.header.seed);
        assert_ne!(placements(one), placements(other), "the policies do differ");
        let (arrivals, failures) = from_outside(one);
        assert!(arrivals.iter().map(|(.., arrived)| arrived).sum::<u64>() > 20_000 && failures.len() > 5);
        assert_eq!((arrivals, failures), from_outside(other));
    }
    assert_ne!(from_outside(&spread[0]), from_outside(&spread[1]), "another seed is another day");
}

#[test]
fn pairing_by_seed_leaves_less_than_half_of_the_variance() {
    let scratch = tempfile::tempdir().unwrap();
    let document = compare("crash-at-2am", &["--seeds", "1..10", "--until", "12m"], scratch.path());
    let rows = document["rows"].as_array().unwrap();
    for metric in ["recovery.total", "cpu.used.ratio"] {
        let cell = &rows.iter().find(|row| row["metric"] == metric).unwrap()["cells"][0];
        let ratio = cell["varianceRatio"].as_f64().unwrap();
        assert!(ratio <= 0.5 && cell["pairs"] == 10, "{metric}: {ratio}");
    }
}
