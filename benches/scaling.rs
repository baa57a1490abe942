//! What a second core is worth: 64 short jobs of a sweep with `-j1` and with `-j2`, on the built program.
//!
//! Prints wall and processor time of the best of three of each, throughput of two cores over one, and what one more run at
//! a time takes in memory. The figure means something on an idle machine only, so that nothing is checked here beyond the
//! results being the same; processor time is told because it says more on a busy one: it grows when threads get in each
//! other's way; and so is what two processes with half the jobs each reach, which no program can do better than.
//!
//! `cargo bench --bench scaling`; Linux (memory and processor time are read from /proc).

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::disallowed_methods, reason = "wall time is what is measured")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One measured sweep.
#[derive(Clone, Copy)]
struct Measured {
    wall: Duration,
    processor: Duration,
    peak_kib: u64,
}

fn sweep(threads: u32, shard: Option<&str>, out: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_wavetank"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--quiet", "sweep", "tests/broken/fine.yaml", "--seeds", "1..16", "--no-report"])
        .args(["--param", "spec.traffic.sources[name=shoppers].rate=40/s,50/s,60/s,70/s", "-o", "csv"])
        .arg(format!("-j{threads}"))
        .args(shard.map(|shard| format!("--shard={shard}")))
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Peak memory and processor time so far, while the process lives.
fn looked_at(child: &Child) -> Option<(u64, Duration)> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // After the name in brackets come state and numbers; user and system time are the 12th and 13th of them.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Some((peak, Duration::from_millis(ticks * 10)))
}

fn measure(threads: u32, out: &Path) -> Measured {
    let started = Instant::now();
    let mut child = sweep(threads, None, out);
    let mut last = (0, Duration::ZERO);
    while child.try_wait().expect("the program can be waited for").is_none() {
        last = looked_at(&child).unwrap_or(last);
        std::thread::sleep(Duration::from_millis(2));
    }
    let wall = started.elapsed();
    assert!(child.wait().is_ok_and(|status| status.success()), "the sweep failed");
    Measured { wall, processor: last.1, peak_kib: last.0 }
}

/// Two processes with half the jobs each share nothing: what the machine's second core is worth at all.
fn two_processes(scratch: &Path) -> Duration {
    let started = Instant::now();
    let halves = ["1/2", "2/2"].map(|shard| sweep(1, Some(shard), &scratch.join(shard.replace('/', "-of-"))));
    for mut half in halves {
        assert!(half.wait().is_ok_and(|status| status.success()), "the sweep failed");
    }
    started.elapsed()
}

fn main() {
    let scratch = tempfile::tempdir().expect("a place for results");
    let place = |threads: u32| scratch.path().join(format!("j{threads}"));
    // Turn about, so that both have the same share of whatever else the machine does.
    let runs: Vec<[Measured; 2]> = (0..3).map(|_| [1, 2].map(|threads| measure(threads, &place(threads)))).collect();
    let results = [1, 2].map(|threads| fs::read(place(threads).join("sweep-shop/jobs.jsonl")).expect("results were written"));
    assert!(results[0] == results[1], "-j1 and -j2 must give the same bytes");
    let best = [0, 1].map(|which| runs.iter().map(|pair| pair[which]).min_by_key(|one| one.wall).expect("three runs"));
    for (threads, Measured { wall, processor, peak_kib }) in [1, 2].into_iter().zip(best) {
        let (wall, processor) = (wall.as_secs_f64(), processor.as_secs_f64());
        println!(
            "-j{threads}: {wall:.2} s, {:.1} jobs/s, processor {processor:.2} s, peak {:.1} MiB",
            64.0 / wall,
            peak_kib as f64 / 1024.0
        );
    }
    let apart = (0..3).map(|_| two_processes(scratch.path())).min().expect("three runs");
    let over = |wall: Duration| best[0].wall.as_secs_f64() / wall.as_secs_f64();
    println!("two cores over one: {:.2} (two processes that share nothing: {:.2})", over(best[1].wall), over(apart));
    println!("memory of one more run at a time: {:.1} MiB", (best[1].peak_kib as f64 - best[0].peak_kib as f64) / 1024.0);
}
