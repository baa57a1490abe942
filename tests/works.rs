//! Comparisons and sweeps: many runs as one work, done at once, in parts, or after an interruption.

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
