//! Two traces side by side: what was asked differently, the first record that differs, and what came of it.
//!
//! ```text
//! Header + records ──┐
//! Header + records ──┴─► of ──► Difference ──► render::difference_text, difference_document
//! ```
//!
//! Invariants:
//! - One pass over both at once; kept are the records around the parting, counts, and decisions: a trace may be larger
//!   than memory.
//! - Two runs are equal when every record and its time are equal; what was asked may then still have other names.
//!
//! Not here: files (`cli`), and metrics, which come from what each run measured ([`crate::compare::pairs`]).

use std::collections::{BTreeMap, VecDeque};

use api::SimTime;
use serde::{Serialize, Serializer};
use trace::{Header, Record, TraceSink};

use crate::compare::{Decisions, Moved, Pair};

/// Records shown before the parting.
const BEFORE: usize = 3;
/// Records shown of each side from the parting on.
const AFTER: usize = 4;

/// A record with its time.
type Timed = (SimTime, Record);

/// Something that was asked or set otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// What.
    pub setting: String,
    /// In the one and in the other.
    pub values: [String; 2],
}

/// A record at its time, in words.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// When.
    #[serde(rename = "atSeconds", serialize_with = "seconds")]
    pub at: SimTime,
    /// In words.
    pub text: String,
    /// As it stands in the trace.
    pub record: Record,
}

fn seconds<S: Serializer>(at: &SimTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_nanos() as f64 / 1e9)
}

/// Where two traces part.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parting {
    /// Place of the first record that differs, from 1.
    pub record: u64,
    /// The last ones that both have.
    pub before: Vec<Told>,
    /// The one from there on; empty when it has ended.
    pub one: Vec<Told>,
    /// The other from there on.
    pub other: Vec<Told>,
}

/// How many records of a kind there are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Kind.
    pub record: String,
    /// In the one and in the other.
    pub counts: [u64; 2],
}

/// Two traces, compared.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What was asked otherwise.
    pub settings: Vec<Setting>,
    /// Where they part; `None` when every record is equal.
    pub parting: Option<Parting>,
    /// Kinds of records that there are, by name.
    pub counts: Vec<Count>,
    /// Pods of each workload.
    pub moved: Vec<Moved>,
    /// Metrics of both; added by whoever has them.
    pub metrics: Vec<Pair>,
}

impl Difference {
    /// Whether the two runs went the same way.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.parting.is_none()
    }
}

/// Compares two traces, record by record.
///
/// # Errors
/// The first that reading either gives.
pub fn of<E>(
    headers: [&Header; 2],
    mut one: impl Iterator<Item = Result<Timed, E>>,
    mut other: impl Iterator<Item = Result<Timed, E>>,
) -> Result<Difference, E> {
    let mut both = Both::default();
    loop {
        let pair = (one.next().transpose()?, other.next().transpose()?);
        if pair == (None, None) {
            break;
        }
        both.hear(pair);
    }
    Ok(both.finish(headers))
}

/// Both sides, as far as they have been read.
#[derive(Default)]
struct Both {
    read: u64,
    /// The last records that both have.
    common: VecDeque<Timed>,
    /// Place of the first record that differs.
    parted: Option<u64>,
    tails: [Vec<Timed>; 2],
    counts: BTreeMap<&'static str, [u64; 2]>,
    decisions: [Decisions; 2],
}

impl Both {
    fn hear(&mut self, pair: (Option<Timed>, Option<Timed>)) {
        self.read += 1;
        if self.parted.is_none() && pair.0 != pair.1 {
            self.parted = Some(self.read);
        }
        let is_common = self.parted.is_none();
        for (side, timed) in [pair.0, pair.1].into_iter().enumerate() {
            let Some((at, record)) = timed else { continue };
            self.counts.entry(crate::render::record_kind(&record)).or_default()[side] += 1;
            self.decisions[side].record(at, &record);
            if !is_common && self.tails[side].len() < AFTER {
                self.tails[side].push((at, record));
            } else if is_common && side == 0 {
                self.common.push_back((at, record));
                if self.common.len() > BEFORE {
                    self.common.pop_front();
                }
            }
        }
    }

    fn finish(self, headers: [&Header; 2]) -> Difference {
        let told =
            |records: Vec<Timed>| records.into_iter().map(|(at, record)| Told { at, text: crate::render::record_words(&record), record });
        let [one, other] = self.tails;
        let common = Vec::from(self.common);
        let parting = self.parted.map(|record| Parting {
            record,
            before: told(common).collect(),
            one: told(one).collect(),
            other: told(other).collect(),
        });
        let [mine, theirs] = &self.decisions;
        Difference {
            settings: settings(headers),
            parting,
            counts: self.counts.into_iter().map(|(record, counts)| Count { record: record.to_owned(), counts }).collect(),
            moved: mine.moved(theirs),
            metrics: Vec::new(),
        }
    }
}

/// Fields of the headers that differ. Lists say what only one of them has.
fn settings(headers: [&Header; 2]) -> Vec<Setting> {
    let [one, other] = headers.map(|header| match serde_json::to_value(header) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    });
    let mut found: Vec<Setting> = Vec::new();
    for (name, value) in &one {
        let against = other.get(name).unwrap_or(&serde_json::Value::Null);
        if value != against {
            found.push(Setting { setting: words(name), values: values(headers, name, value, against) });
        }
    }
    found
}

fn values(headers: [&Header; 2], name: &str, one: &serde_json::Value, other: &serde_json::Value) -> [String; 2] {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (name, one, other) {
        ("duration", ..) => headers.map(|header| header.duration.to_string()),
        ("warmup", ..) => headers.map(|header| header.warmup.to_string()),
        (_, serde_json::Value::Array(left), serde_json::Value::Array(right)) => {
            let only = |these: &[serde_json::Value], those: &[serde_json::Value]| {
                let only: Vec<&serde_json::Value> = these.iter().filter(|item| !those.contains(item)).collect();
                let first = only.first().map(|item| item["metric"].as_str().map_or_else(|| text(item), str::to_owned));
                match (only.len(), first) {
                    _ if these.is_empty() => "none".to_owned(),
                    (0, _) | (_, None) => format!("{} of these", these.len()),
                    (1, Some(first)) => first,
                    (more, Some(first)) => format!("{first} and {} more", more - 1),
                }
            };
            [only(left, right), only(right, left)]
        }
        _ => [text(one), text(other)],
    }
}

/// `scenarioDigest` as `scenario digest`.
fn words(name: &str) -> String {
    name.chars()
        .flat_map(|letter| if letter.is_ascii_uppercase() { vec![' ', letter.to_ascii_lowercase()] } else { vec![letter] })
        .collect()
}

/// What only the caller knows of the two: results, sources, changes.
impl Difference {
    /// Adds a setting unless it is the same in both.
    pub fn setting(&mut self, name: &str, values: [String; 2]) {
        if values[0] != values[1] {
            self.settings.push(Setting { setting: name.to_owned(), values });
        }
    }

    /// Pods whose first node is another one.
    #[must_use]
    pub fn elsewhere(&self) -> u64 {
        self.moved.iter().map(|moved| moved.elsewhere).sum()
    }
}
