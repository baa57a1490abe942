//! Comparisons, sweeps and searches: many runs as one work, done at once, in parts, or after an interruption.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{contents, expect_exit, wavetank};

const SWEEP: &[&str] = &[
    "sweep",
    "tests/broken/fine.yaml",
    "--until",
    "2m",
    "--seeds",
    "1..4",
    "--param",
    "spec.traffic.sources[name=shoppers].rate=20/s,40/s,60/s,80/s",
    "--param",
    "spec.cluster.nodePools[0].count=1..4:1",
];

fn sweep(out: &Path, flags: &[&str]) -> Command {
    let mut command = wavetank();
    command.args(SWEEP).args(flags).arg("--out").arg(out);
    command
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn parts_put_together_in_any_order_are_the_whole_to_the_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    expect_exit(&mut sweep(&place("whole"), &[]), 0);
    let whole = contents(&place("whole/sweep-shop"));
    assert_eq!(whole.keys().filter(|name| name.starts_with("jobs/")).count(), 64);
    for count in 2..=7 {
        let mut parts: Vec<PathBuf> = (1..=count).map(|index| place(&format!("{index}-of-{count}"))).collect();
        for (index, part) in parts.iter().enumerate() {
            expect_exit(&mut sweep(part, &["-j1", "--shard", &format!("{}/{count}", index + 1)]), 0);
        }
        parts.rotate_left(count / 2);
        expect_exit(wavetank().arg("merge").args(&parts).arg("--out").arg(place("merged")), 0);
        assert!(contents(&place("merged")) == whole, "{count} parts");
    }
    // What is missing is named, with who makes it.
    let (code, words) = said(wavetank().arg("merge").arg(place("1-of-2")).arg("--out").arg(place("half")));
    assert!(code == Some(3) && words.contains("32 of 64 jobs") && words.contains("`--shard 2/2`"), "{words}");
    assert!(!place("half").exists());
    expect_exit(wavetank().args(["merge", "--allow-missing"]).arg(place("1-of-2")).arg("--out").arg(place("half")), 0);
    // One job with two results is an alarm.
    let jobs = place("2-of-3/sweep-shop/jobs");
    let job = fs::read_dir(&jobs).unwrap().flatten().next().unwrap().path();
    let copy = place("1-of-3/sweep-shop/jobs").join(job.file_name().unwrap());
    fs::write(copy, fs::read_to_string(&job).unwrap().replacen("\"events\": ", "\"events\": 1", 1)).unwrap();
    let (code, words) =
        said(wavetank().arg("merge").args([place("1-of-3"), place("2-of-3"), place("3-of-3")]).arg("--out").arg(place("odd")));
    assert!(code == Some(6) && words.contains("determinism alarm") && words.contains("/events is"), "{words}");
}

#[test]
fn a_sweep_that_was_killed_goes_on_where_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    expect_exit(&mut sweep(&place("whole"), &[]), 0);
    for round in 0..20u64 {
        let mut child = sweep(&place("killed"), &["--resume"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Any moment will do: before the first job, between two, while a file is being written.
        std::thread::sleep(Duration::from_millis(round * 37 % 113));
        child.kill().unwrap();
        child.wait().unwrap();
        // Begun anew now and then, so that every stretch of the work is met.
        if round % 7 == 6 {
            let _ = fs::remove_dir_all(place("killed"));
        }
    }
    expect_exit(&mut sweep(&place("killed"), &["--resume"]), 0);
    assert!(contents(&place("killed")) == contents(&place("whole")), "it is as if nothing had happened");
}

#[test]
fn an_interruption_keeps_what_is_done_and_a_message_has_said_how_to_go_on() {
    use std::os::unix::process::ExitStatusExt;
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    // Who runs the tests in the background may have them ignore interruptions; a terminal does not.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_wavetank")]);
    command.current_dir(common::root()).args(SWEEP).args(["-j1", "--out"]).arg(&out).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let jobs = out.join("sweep-shop/jobs");
    while fs::read_dir(&jobs).map_or(0, Iterator::count) < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    // A shell calls this 130.
    assert_eq!(output.status.signal(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("64 jobs, kept in") && words.contains("`--resume` goes on"), "{words}");
    assert!(fs::read_dir(&jobs).unwrap().count() >= 3);
}

#[test]
fn a_policy_compared_with_itself_is_identical_in_everything() {
    let scratch = tempfile::tempdir().unwrap();
    let compare = |flags: &[&str]| {
        let mut command = wavetank();
        command.args(["compare", "tests/broken/fine.yaml", "--until", "2m", "--seeds", "1..3", "-p", "default"]).args(flags);
        command.arg("--out").arg(scratch.path());
        command
    };
    let document: serde_json::Value = serde_json::from_str(&expect_exit(&mut compare(&["-p", "default", "-o", "json"]), 0)).unwrap();
    let rows = document["rows"].as_array().unwrap();
    assert!(rows.len() > 5 && rows.iter().all(|row| row["cells"][0]["finding"] == "identical"), "{document:#}");
    let told = expect_exit(&mut compare(&["--variant", "busy:spec.traffic.sources[0].rate=100/s", "--metric", "requests.total"]), 0);
    assert!(told.contains("busy (difference, 95% interval)") && told.contains("requests.total"), "{told}");
    for (flags, code, part) in [
        (&[][..], 2, "there is nothing to compare with"),
        (&["-p", "nonsense"], 3, "there is no policy `nonsense`"),
        (&["-p", "default:NodeResourcesFit.weight=no"], 3, "default:NodeResourcesFit.weight=no"),
        (&["-p", "default:Nonsense.weight=1"], 3, "there is no plugin `Nonsense`"),
        (&["-p", "bin-pack", "--metric", "latency.p9"], 2, "there is no metric `latency.p9`"),
        (&["-p", "bin-pack", "--margin", "cost.total=much"], 2, "is not an amount"),
        (&["-p", "bin-pack", "--alpha", "2"], 2, "is no probability"),
        (&["-p", "bin-pack", "--reference", "mine"], 2, "there are default, bin-pack"),
        (&["--variant", "fast"], 2, "is no variation"),
        (&["-p", "bin-pack", "--shard", "5/4"], 2, "there is no part 5 of 4"),
    ] {
        let (exit, words) = said(&mut compare(flags));
        assert!(exit == Some(code) && words.contains(part), "{flags:?}: {exit:?} {words}");
    }
}

#[test]
fn parts_of_a_comparison_are_the_whole_and_two_results_of_one_job_are_told_by_their_first_record() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let compare = |out: &Path, flags: &[&str]| {
        let mut command = wavetank();
        command.args(["compare", "tests/broken/fine.yaml", "--until", "1m", "--seeds", "1..3", "-p", "default", "-p", "bin-pack"]);
        command.args(["--trace", "full", "--out"]).arg(out).args(flags);
        command
    };
    expect_exit(&mut compare(&place("whole"), &["-j2"]), 0);
    let parts = ["1", "2", "3"].map(place);
    for (part, shard) in parts.iter().zip(["1/3", "2/3", "3/3"]) {
        expect_exit(&mut compare(part, &["-j1", "--shard", shard, "--shard-by", "hash"]), 0);
    }
    expect_exit(wavetank().arg("merge").args(parts.iter().rev()).arg("--out").arg(place("merged")), 0);
    let whole = contents(&place("whole/compare-shop"));
    assert!(contents(&place("merged")) == whole && whole.keys().any(|name| name.starts_with("traces/")));
    // Another job's record and numbers under this job's name.
    let manifest: serde_json::Value = serde_json::from_slice(&whole["manifest.json"]).unwrap();
    let id = |place: usize| manifest["jobs"][place]["id"].as_str().unwrap();
    let (one, other) = (id(0), id(1));
    for (folder, ending) in [("jobs", "json"), ("traces", "jsonl.gz")] {
        fs::copy(place(&format!("merged/{folder}/{one}.{ending}")), place(&format!("merged/{folder}/{other}.{ending}"))).unwrap();
    }
    let (code, words) = said(wavetank().arg("merge").args([place("whole"), place("merged")]).arg("--out").arg(place("odd")));
    assert!(code == Some(6) && words.contains(&format!("job {other} has two results")) && words.contains(": record "), "{words}");
}

#[test]
fn a_search_finds_what_is_known_and_goes_on_where_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let search = |out: &Path, flags: &[&str]| {
        let mut command = wavetank();
        command.args(["search", "tests/broken/fine.yaml", "--until", "1m", "--seeds", "1..2"]).arg("--out").arg(out).args(flags);
        command
    };
    let nodes = ["--param", "spec.cluster.nodePools[0].count=1..9", "--metric", "nodes.count.max >= 4"];
    let told = expect_exit(&mut search(&place("nodes"), &nodes), 0);
    assert!(told.contains("holds from 4 (median of 2; 4 to 4; mean 4)"), "{told}");
    // Requests come at random, a rate's worth of them within a few hundredths.
    let rate =
        ["--param", "spec.traffic.sources[0].rate=10/s..170/s", "--tolerance", "5/s", "--metric", "requests.total<=3000", "--until-fails"];
    let json = expect_exit(&mut search(&place("rate"), &[&rate[..], &["-o", "json"]].concat()), 0);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let median = found["median"].as_f64().unwrap();
    assert!((45.0..=55.0).contains(&median) && found["seeds"][0]["monotone"] == true, "{found:#}");
    // Killed anywhere, with one job at a time: the same in the end.
    for millis in [30, 90, 200, 400] {
        let flags = [&rate[..], &["--resume", "-j1"]].concat();
        let mut child = search(&place("killed"), &flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    expect_exit(&mut search(&place("killed"), &[&rate[..], &["--resume", "-j1"]].concat()), 0);
    assert!(contents(&place("killed")) == contents(&place("rate")));
    // Outside the range, and what cannot be asked.
    let told = expect_exit(&mut search(&place("out"), &[&nodes[..2], &["--metric", "nodes.count.max >= 0"]].concat()), 0);
    assert!(told.contains("holds everywhere in 1..9; the answer, if there is one, lies outside"), "{told}");
    for (flags, part) in [
        (&["--param", "spec.cluster.nodePools[0].count=1,2"][..], "is no range"),
        (&["--param", "spec.cluster.nodePools[0].count=5..5"], "there is nothing between its ends"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "--tolerance", "9"], "`--tolerance 9` is no part of 1..5"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "--metric", "availability"], "has no comparison"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "--metric", "availabel > 1"], "there is no metric `availabel`"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "--shard", "1/2"], "cannot be done in parts"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "-p", "default", "-p", "bin-pack"], "has one policy"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "--set", "spec.expectations=[]"], "expects nothing"),
        (&["--param", "spec.cluster.nodePools[0].count=1..5", "--until-fails", "--until-holds"], "cannot be used with"),
    ] {
        let (code, words) = said(&mut search(&place("wrong"), flags));
        assert!(code == Some(2) && words.contains(part), "{flags:?}: {code:?} {words}");
    }
}

#[test]
fn a_comparison_file_says_what_flags_say_and_flags_go_before_it() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("night.yaml");
    fs::copy(common::root().join("tests/broken/fine.yaml"), scratch.path().join("fine.yaml")).unwrap();
    let scenario = scratch.path().join("fine.yaml");
    fs::write(
        &file,
        "apiVersion: wavetank.dev/v1\nkind: Comparison\nspec:\n  scenario: fine.yaml\n  policies:\n    - {policy: default}\n    - {name: busy, \
         policy: default, set: {\"spec.traffic.sources[0].rate\": 100/s}}\n  seeds: [1, 2]\n  metrics:\n    - {metric: latency.p99, \
         equivalence: 5ms}\n    - {metric: requests.total}\n  equivalence: {requests.total: 2%}\n  alpha: 0.1\n",
    )
    .unwrap();
    let compare = |what: &Path, out: &str, flags: &[&str]| {
        let mut command = wavetank();
        command.arg("compare").arg(what).args(["--until", "1m"]).args(flags).arg("--out").arg(scratch.path().join(out));
        command
    };
    expect_exit(&mut compare(&file, "file", &[]), 0);
    let flags = ["-p", "default", "--variant", "busy:spec.traffic.sources[0].rate=100/s", "--seeds", "1..2", "--metric", "latency.p99"];
    let more = ["--metric", "requests.total", "--margin", "latency.p99=5ms", "--margin", "requests.total=2%", "--alpha", "0.1"];
    expect_exit(&mut compare(&scenario, "flags", &[&flags[..], &more[..]].concat()), 0);
    assert!(contents(&scratch.path().join("file")) == contents(&scratch.path().join("flags")));
    let told = expect_exit(&mut compare(&file, "other", &["--seeds", "5..7", "--dry-run"]), 0);
    assert!(told.starts_with("shop: 2 points, 3 seeds, 6 runs of 1m00s"), "{told}");
    let job = expect_exit(
        Command::new(env!("CARGO_BIN_EXE_wavetank")).current_dir(scratch.path()).args(["compare", "night.yaml", "--emit", "k8s-job"]),
        0,
    );
    assert!(job.contains("path: \"night.yaml\"") && job.contains("path: \"fine.yaml\""), "{job}");
    expect_exit(wavetank().args(["validate", "examples/policies.yaml"]), 0);
    expect_exit(wavetank().args(["compare", "examples/policies.yaml", "--dry-run"]), 0);
    let (code, words) = said(wavetank().args(["run", "examples/policies.yaml"]));
    assert!(code == Some(3) && words.contains("`wavetank compare FILE` runs it"), "{words}");
}

#[test]
fn the_page_of_a_sweep_has_the_command_that_makes_the_same_points() {
    let scratch = tempfile::tempdir().unwrap();
    let words = ["sweep", "tests/broken/fine.yaml", "--param", "spec.duration=1m..3m", "--lhs", "3", "--seeds", "1..2"];
    expect_exit(wavetank().args(words).arg("--out").arg(scratch.path()), 0);
    let page = fs::read_to_string(scratch.path().join("sweep-shop/report.html")).unwrap();
    let command = format!("wavetank {}", words.join(" "));
    assert!(page.contains(&command), "{command}");
}

#[test]
fn the_report_of_a_work_is_made_again_from_what_it_left() {
    let scratch = tempfile::tempdir().unwrap();
    let fine = "tests/broken/fine.yaml";
    let rate = "spec.traffic.sources[name=shoppers].rate";
    let (some, range) = (format!("{rate}=20/s,60/s"), format!("{rate}=20/s..2000/s"));
    let words: [(&str, Vec<&str>); 3] = [
        ("compare", vec!["-p", "default", "-p", "bin-pack"]),
        ("sweep", vec!["--param", &some]),
        ("search", vec!["--param", &range, "--tolerance", "500/s", "--metric", "availability >= 99%"]),
    ];
    for (verb, flags) in words {
        let place = scratch.path().join(format!("{verb}-shop"));
        expect_exit(wavetank().args([verb, fine, "--until", "1m", "--seeds", "1..2", "--out"]).arg(scratch.path()).args(flags), 0);
        let page = fs::read(place.join("report.html")).unwrap();
        fs::remove_file(place.join("report.html")).unwrap();
        expect_exit(wavetank().arg("report").arg(&place), 0);
        assert!(fs::read(place.join("report.html")).unwrap() == page, "{verb}: the page is another");
        for (format, begins) in [("text", "shop  "), ("json", "{"), ("csv", "")] {
            let told = expect_exit(wavetank().args(["report", "-f", format]).arg(&place), 0);
            assert!(told.starts_with(begins) && told.lines().count() > 2, "{verb} {format}: {told}");
        }
        // It is not one run, and whoever asks for one is told.
        let (code, told) = said(wavetank().args(["get", "pods", "--run"]).arg(&place));
        assert!(code == Some(3) && told.contains("not one run"), "{verb}: {told}");
    }
}
