//! Recorded timelines of a real control plane, replayed: the same objects, the same script, compared fact by fact.
//!
//! `WAVETANK_TIMELINES` names another directory of recordings, raw or packed (tests/timelines/README.md says what
//! is compared, and how). Words given to the program choose recordings by parts of their names; `--all` prints
//! every difference instead of the first of each recording, `--alone` holds each recording against itself only,
//! without the others of its group, `--dump` prints the simulated timelines.
#![expect(clippy::print_stdout, reason = "a test program's own report")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rayon::prelude::*;

#[path = "timelines/compare.rs"]
mod compare;
#[path = "timelines/placement.rs"]
mod placement;
#[path = "timelines/recording.rs"]
mod recording;
#[path = "timelines/replay.rs"]
mod replay;
#[path = "timelines/story.rs"]
mod story;
#[path = "timelines/table.rs"]
mod table;

use recording::Recording;
use story::{Interests, Story, story};

/// Outcomes of chance that are looked at, and how many more at most while those do not have what was recorded.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;
const MORE_SEEDS: std::ops::RangeInclusive<u64> = 6..=40;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let tells_all = arguments.iter().any(|word| word == "--all");
    let given = given();
    let recordings = recording::recordings_in(&given.directory);
    if let Some(target) = arguments.iter().find_map(|word| word.strip_prefix("--pack=")) {
        recording::pack(&recordings, Path::new(target));
        return ExitCode::SUCCESS;
    }
    let mut groups: BTreeMap<&str, Vec<&Recording>> = BTreeMap::new();
    for recording in &recordings {
        groups.entry(recording.group()).or_default().push(recording);
    }
    let chosen = |recording: &&Recording| words.is_empty() || words.iter().any(|word| recording.name.contains(word.as_str()));
    let chosen: Vec<&Recording> = recordings.iter().filter(chosen).collect();
    if arguments.iter().any(|word| word == "--dump") {
        for recording in chosen {
            replay::replay(recording, *SEEDS.start()).iter().for_each(|line| println!("{line}"));
        }
        return ExitCode::SUCCESS;
    }
    let is_alone = arguments.iter().any(|word| word == "--alone");
    let look =
        |recording: &&Recording| look(recording, if is_alone { std::slice::from_ref(recording) } else { &groups[recording.group()] });
    let answers: Vec<Answer> = chosen.par_iter().map(look).collect();
    let (mut passed, mut failed, mut pending) = (0, 0, 0);
    let mut failing: BTreeMap<&str, bool> = BTreeMap::new();
    let durations = chosen.iter().zip(&answers).map(|(recording, answer)| (recording.group(), &*answer.durations));
    let table = table::table(durations);
    for (recording, Answer { differences, left_out, .. }) in chosen.iter().zip(answers) {
        failing.insert(&recording.name, !differences.is_empty());
        if differences.is_empty() && left_out.is_empty() {
            passed += 1;
        } else if differences.is_empty() {
            pending += 1;
            println!("{}: pending: {}", recording.name, left_out.into_iter().collect::<Vec<_>>().join(", "));
        } else {
            failed += 1;
            println!("{}: {} differences", recording.name, differences.len());
            for difference in differences.iter().take(if tells_all { usize::MAX } else { 1 }) {
                println!("  {}\n    recorded  {}\n    simulated {}", difference.fact, difference.recorded, difference.simulated);
            }
        }
    }
    show_table(&table, tells_all);
    if pending > 0 {
        println!("{pending} pending");
    }
    println!("{passed} passed, {failed} failed");
    if passed + failed + pending == 0 {
        println!("there are no such recordings");
        return ExitCode::FAILURE;
    }
    verdict(&given, &failing)
}

/// Prints the table of durations, or writes it where people read it.
fn show_table(table: &str, tells_all: bool) {
    let accepts = std::env::var_os("WAVETANK_ACCEPT").is_some();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fidelity.md");
    if accepts && !table::write(&document, table) {
        println!("docs/fidelity.md has no place for the table");
    }
    if tells_all {
        println!("{table}");
    }
}

/// Recordings of this repository that still differ are listed, and the list may only shrink: one that is not on it
/// has to pass. Recordings from elsewhere have to pass.
fn verdict(given: &Given, failing: &BTreeMap<&str, bool>) -> ExitCode {
    let known: BTreeSet<&str> = if given.is_own { include_str!("timelines/differing.txt").lines().collect() } else { BTreeSet::new() };
    let mut is_as_known = true;
    for (name, fails) in failing {
        if *fails && !known.contains(name) {
            is_as_known = false;
            println!("{name} differs, and is not in tests/timelines/differing.txt");
        } else if !fails && known.contains(name) {
            println!("{name} passes: take it out of tests/timelines/differing.txt");
        }
    }
    if is_as_known { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of a replay.
struct Answer {
    differences: Vec<compare::Difference>,
    /// Kinds that are not played yet; their objects are not compared.
    left_out: BTreeSet<String>,
    durations: Vec<compare::Duration>,
}

fn look(recording: &Recording, group: &[&Recording]) -> Answer {
    let left_out = replay::not_played(recording);
    // Objects of a kind that is not played, and what they own.
    let foreign: BTreeSet<String> =
        group.iter().flat_map(|recording| replay::foreign(recording)).map(|name| format!("Node/{name}")).collect();
    let leave_out = |subject: &str| left_out.iter().any(|kind| subject.contains(&format!("{kind}/"))) || foreign.contains(subject);
    // The rig's runtime loses its images with its process; a machine that boots has them.
    let reboots = recording.steps().iter().any(|step| step.action == "node-kill");
    let events_left_out: &[&str] = if reboots { &["Pulling", "Pulled"] } else { &[] };
    let struck = replay::struck(recording);
    let interests = Interests { leave_out: &leave_out, struck: &struck, events_left_out };
    let script = |recording: &Recording| -> Vec<f64> { recording.steps().iter().map(|step| step.t).collect() };
    let told = |recording: &Recording| {
        let struck = replay::struck(recording);
        let interests = Interests { leave_out: &leave_out, struck: &struck, events_left_out };
        story(&recording.lines, recording.namespace(), &script(recording), &interests)
    };
    let others = group.iter().filter(|other| other.name != recording.name);
    let recorded: Vec<Story> = [recording].into_iter().chain(others.copied()).map(told).collect();
    let recorded: Vec<&Story> = recorded.iter().collect();
    let simulate = |seed| story(&replay::replay(recording, seed), recording.namespace(), &script(recording), &interests);
    let has_usable_latencies = group.iter().all(|other| other.has_usable_latencies());
    let waited = group.iter().map(|other| replay::waited(other)).fold(0.0, f64::max);
    let rig = compare::Rig { has_priority: has_usable_latencies, waited_s: waited };
    let mut seeds: Vec<Story> = SEEDS.map(simulate).collect();
    let mut differences = compare::differences(&recorded, &seeds, &rig);
    if !differences.is_empty() {
        for seed in MORE_SEEDS {
            seeds.push(simulate(seed));
            differences = compare::differences(&recorded, &seeds, &rig);
            if differences.is_empty() {
                break;
            }
        }
    }
    let durations = compare::durations(&recorded, &seeds);
    Answer { differences, left_out, durations }
}

/// Where the recordings are.
struct Given {
    directory: PathBuf,
    /// They are this repository's.
    is_own: bool,
}

fn given() -> Given {
    match std::env::var_os("WAVETANK_TIMELINES") {
        Some(directory) => Given { directory: directory.into(), is_own: false },
        None => Given { directory: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timelines/recordings"), is_own: true },
    }
}
