//! Exports, opened by the programs they are for.
//!
//! Needs promtool (Debian: prometheus). Where there is none its test says so and passes, unless
//! WAVETANK_REQUIRE_PROMTOOL is set.

#![expect(clippy::print_stdout, reason = "a test says what it could not do here")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{expect_exit, wavetank};
use trace::{Record, Trace};

const FINE: &str = "tests/broken/fine.yaml";

/// A finished run, and its trace.
fn finished(scratch: &Path) -> (PathBuf, Trace) {
    expect_exit(wavetank().args(["run", FINE, "--exit-zero", "--no-report", "--out"]).arg(scratch), 0);
    let place = scratch.join("shop");
    let file = fs::read_dir(place.join("traces")).unwrap().next().unwrap().unwrap().path();
    let trace = Trace::read(fs::File::open(file).unwrap()).unwrap();
    (place, trace)
}

fn exported(place: &Path, form: &str) -> String {
    expect_exit(wavetank().arg("export").arg(place).args(["--to", form]), 0)
}

fn promtool() -> Option<&'static str> {
    let found = Command::new("promtool").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("WAVETANK_REQUIRE_PROMTOOL").is_none(), "promtool is required here and not installed");
    found.then_some("promtool")
}

/// `labels → value` of a metric at the last instant at which it was looked at.
fn last_values(dump: &str, metric: &str) -> BTreeMap<String, f64> {
    let mut last = BTreeMap::new();
    for line in dump.lines().filter(|line| line.contains(&format!("__name__=\"{metric}\""))) {
        let (labels, rest) = line.split_once("} ").expect("labels, value, time");
        let value = rest.split(' ').next().unwrap().parse().unwrap();
        last.insert(labels.to_owned(), value);
    }
    last
}

#[test]
fn prometheus_opens_the_blocks_and_answers_what_the_trace_says() {
    let Some(promtool) = promtool() else {
        println!("not run: no promtool here");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let (place, trace) = finished(scratch.path());
    let (file, blocks) = (scratch.path().join("metrics.om"), scratch.path().join("blocks"));
    expect_exit(wavetank().arg("export").arg(&place).args(["--to", "openmetrics", "-o"]).arg(&file), 0);
    expect_exit(Command::new(promtool).args(["tsdb", "create-blocks-from", "openmetrics"]).args([&file, &blocks]), 0);
    fs::create_dir_all(blocks.join("wal")).unwrap(); // this promtool does not dump without one
    let samples = fs::read_to_string(&file).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    let list = expect_exit(Command::new(promtool).args(["tsdb", "list"]).arg(&blocks), 0);
    assert!(list.lines().count() > 1, "a heading and blocks: {list}");
    let dump = expect_exit(Command::new(promtool).args(["tsdb", "dump"]).arg(&blocks), 0);
    assert_eq!(dump.lines().count(), samples, "no sample is lost on the way");
    let mut succeeded = 0;
    let mut bound = 0;
    let mut ready = BTreeMap::new();
    for (_, record) in &trace.records {
        match record {
            Record::Traffic { counts, .. } => succeeded += counts.succeeded,
            Record::PodScheduled { .. } => bound += 1,
            Record::Workload { kind, name, ready: now, .. } if &**kind == "Deployment" => {
                ready.insert(name.to_string(), *now);
            }
            _ => {}
        }
    }
    let total = |metric: &str, label: &str| -> f64 {
        last_values(&dump, metric).iter().filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value).sum()
    };
    assert!(succeeded > 1000 && bound > 0, "the run has something to tell: {succeeded}, {bound}");
    assert_eq!(total("http_requests_total", "outcome=\"succeeded\""), succeeded as f64);
    assert_eq!(total("http_request_duration_seconds_count", ""), succeeded as f64);
    assert_eq!(total("scheduler_schedule_attempts_total", "result=\"scheduled\""), f64::from(bound));
    assert_eq!(total("kube_deployment_status_replicas_ready", ""), f64::from(ready.values().sum::<i32>()));
}

#[test]
fn equal_runs_are_exported_to_equal_bytes_and_to_a_file_as_to_stdout() {
    let scratch = tempfile::tempdir().unwrap();
    let (one, _) = finished(&scratch.path().join("one"));
    let (two, _) = finished(&scratch.path().join("two"));
    for form in ["openmetrics", "perfetto", "csv", "events-csv"] {
        let text = exported(&one, form);
        assert!(text.len() > 1000, "{form}");
        assert!(text == exported(&two, form), "{form}");
        let file = scratch.path().join(form);
        expect_exit(wavetank().arg("export").arg(&one).args(["--to", form, "--output"]).arg(&file), 0);
        assert!(text == fs::read_to_string(&file).unwrap(), "{form}");
    }
}

#[test]
fn a_table_has_the_samples_of_the_metrics() {
    let scratch = tempfile::tempdir().unwrap();
    let (place, _) = finished(scratch.path());
    let metrics = exported(&place, "openmetrics");
    let samples = metrics.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(exported(&place, "csv").lines().count(), samples + 1);
}
