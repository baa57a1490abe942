//! The table of recorded and simulated durations that docs/fidelity.md shows.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compare::{Duration, text};

/// What is shown: facts whose names end or begin so, and what they are called.
const SHOWN: &[(&str, &str)] = &[
    ("running to ready", "container runs → pod Ready"),
    ("deletion to removal", "deletion asked → pod gone"),
    ("change to True:NewReplicaSetAvailable", "rollout, from its start"),
    ("change to False:ProgressDeadlineExceeded", "progress deadline, from the last progress"),
    ("Ready, change to Unknown:NodeStatusUnknown", "node silent → Ready Unknown"),
    ("specReplicas, change", "next change of a size"),
];
const BEGIN: &str = "<!-- timelines: written by WAVETANK_ACCEPT=1 cargo test --test timelines -->\n";
const END: &str = "<!-- timelines end -->";

/// Widest ranges by scenario and what is measured.
type Rows = BTreeMap<(String, usize), [(f64, f64); 2]>;

/// The table, as Markdown, of the durations of each group of recordings.
pub(crate) fn table<'a>(durations: impl Iterator<Item = (&'a str, &'a [Duration])>) -> String {
    let mut rows = Rows::new();
    for (group, durations) in durations {
        for Duration { fact, recorded, simulated } in durations {
            let Some(place) = SHOWN.iter().position(|(words, _)| fact.contains(words)) else { continue };
            let ranges = rows.entry((group.to_owned(), place)).or_insert([*recorded, *simulated]);
            for (range, new) in ranges.iter_mut().zip([recorded, simulated]) {
                *range = (range.0.min(new.0), range.1.max(new.1));
            }
        }
    }
    let mut lines = "| scenario | from … to, seconds | recorded | simulated |\n|---|---|---|---|\n".to_owned();
    for ((group, place), [recorded, simulated]) in rows {
        lines.push_str(&format!("| {group} | {} | {} | {} |\n", SHOWN[place].1, text(recorded), text(simulated)));
    }
    lines
}

/// Puts the table between its marks in the document; `false` when the marks are not there.
pub(crate) fn write(document: &Path, table: &str) -> bool {
    let Ok(before) = std::fs::read_to_string(document) else { return false };
    let Some((head, rest)) = before.split_once(BEGIN) else { return false };
    let Some((_, tail)) = rest.split_once(END) else { return false };
    std::fs::write(document, format!("{head}{BEGIN}{table}{END}{tail}")).is_ok()
}
