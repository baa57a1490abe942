//! Recorded timelines of a real control plane, replayed: the same objects, the same script, compared fact by fact.
//!
//! `WAVETANK_TIMELINES` names another directory of recordings, raw or packed (tests/timelines/README.md says what
//! is compared, and how). Words given to the program choose recordings by parts of their names.
#![expect(clippy::print_stdout, reason = "a test program's own report")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "timelines/placement.rs"]
mod placement;
#[path = "timelines/recording.rs"]
mod recording;
#[path = "timelines/replay.rs"]
mod replay;
#[path = "timelines/story.rs"]
mod story;

use recording::Recording;
use story::{Interests, story};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let recordings = recording::recordings_in(&directory());
    let chosen = |recording: &&Recording| words.is_empty() || words.iter().any(|word| recording.name.contains(word.as_str()));
    for recording in recordings.iter().filter(chosen) {
        println!("== {}", recording.name);
        let interests = Interests { leave_out: &|_| false };
        let recorded = story(&recording.lines, recording.namespace(), &interests);
        let ours = story(&replay::replay(recording, 1), recording.namespace(), &interests);
        let keys: std::collections::BTreeSet<&String> = recorded.facts.keys().chain(ours.facts.keys()).collect();
        for key in keys {
            let (a, b) = (recorded.facts.get(key), ours.facts.get(key));
            if a != b {
                println!("  {key}\n      recorded  {}\n      simulated {}", a.map_or("-", |v| v), b.map_or("-", |v| v));
            }
        }
    }
    ExitCode::SUCCESS
}

fn directory() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a test program, not a simulation")]
    let given = std::env::var("WAVETANK_TIMELINES").ok();
    given.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timelines"), PathBuf::from)
}
