//! A baseline: what a set of scenarios gave when somebody looked and agreed.
//!
//! One JSON file, kept beside the scenarios and reviewed like a snapshot, so a metric is a line. Margins are part of it
//! and may be edited by hand.
//!
//! Invariants:
//! - Equal results give equal bytes; accepting what is there already changes nothing.
//! - What is read was written by the same version of the format, or is refused.

use std::collections::BTreeMap;

use api::Str;
use serde::{Deserialize, Serialize};

use crate::Measures;
use crate::compare::{Answer, Margin, Wanted, answer, every};
use crate::metrics::metric;

/// The version of the file.
const SCHEMA_VERSION: u32 = 1;

/// The file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Baseline {
    schema_version: u32,
    /// What is in it, by scenario and policy.
    pub entries: Vec<Entry>,
}

/// One scenario under one policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Scenario.
    pub scenario: Str,
    /// Policy.
    pub policy: Str,
    /// Version of the simulator that ran it.
    pub wavetank_version: Str,
    /// Digest of the resolved scenario.
    pub scenario_digest: Str,
    /// Seeds, ascending.
    pub seeds: Vec<u64>,
    /// Digest of each seed's trace.
    pub trace_digests: Vec<Str>,
    /// Every metric that had data.
    pub metrics: Vec<SavedMetric>,
}

/// One metric.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedMetric {
    /// Metric.
    pub metric: Str,
    /// Statistic; empty for metrics that are one number.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub stat: Str,
    /// What it was asked of.
    #[serde(rename = "where", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<Str, Str>,
    /// A difference that does not matter.
    pub margin: String,
    /// One per seed.
    pub values: Vec<Saved>,
}

fn is_empty(text: &Str) -> bool {
    text.is_empty()
}

/// One seed's answer: a number, `"never"`, or null.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Saved {
    /// The number.
    Value(f64),
    /// It did not happen within the run.
    Never(Never),
    /// No data.
    NoData(()),
}

/// The word for what did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Never {
    /// Within the run.
    Never,
}

impl From<Answer> for Saved {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Value(value) => Self::Value(value),
            Answer::Never => Self::Never(Never::Never),
            Answer::NoData => Self::NoData(()),
        }
    }
}

impl From<Saved> for Answer {
    fn from(saved: Saved) -> Self {
        match saved {
            Saved::Value(value) => Self::Value(value),
            Saved::Never(_) => Self::Never,
            Saved::NoData(()) => Self::NoData,
        }
    }
}

impl SavedMetric {
    /// As a row to compare; none when there is no such metric any more.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        let mut wanted = Wanted::of(metric(&self.metric)?, &self.stat, self.filter.clone());
        wanted.margin = Margin::parse(&self.margin, wanted.unit)?;
        Some(wanted)
    }

    pub(super) fn is_of(&self, wanted: &Wanted) -> bool {
        (&self.metric, &self.stat, &self.filter) == (&wanted.metric, &wanted.stat, &wanted.filter)
    }
}

impl Entry {
    /// What `runs` gave; `digests` are those of their traces. Margins are the usual ones.
    #[must_use]
    pub fn of(runs: &[Measures], digests: &BTreeMap<u64, Str>) -> Option<Self> {
        let mut runs: Vec<&Measures> = runs.iter().collect();
        runs.sort_by_key(|run| run.seed);
        let first = *runs.first()?;
        let owned: Vec<Measures> = runs.iter().map(|run| (*run).clone()).collect();
        let saved = |wanted: Wanted| SavedMetric {
            margin: wanted.margin.text(wanted.unit),
            values: runs.iter().map(|run| answer(run, &wanted).into()).collect(),
            metric: wanted.metric,
            stat: wanted.stat,
            filter: wanted.filter,
        };
        let has_data = |metric: &SavedMetric| metric.values.iter().any(|value| *value != Saved::NoData(()));
        Some(Self {
            scenario: first.scenario.clone(),
            policy: first.policy.clone(),
            wavetank_version: first.wavetank_version.clone(),
            scenario_digest: first.scenario_digest.clone(),
            seeds: runs.iter().map(|run| run.seed).collect(),
            trace_digests: runs.iter().map(|run| digests.get(&run.seed).cloned().unwrap_or_else(|| "".into())).collect(),
            metrics: every(&owned).into_iter().map(saved).filter(has_data).collect(),
        })
    }

    /// Takes over the margins that `earlier` has for the same metrics.
    fn keep_margins(&mut self, earlier: &Self) {
        for metric in &mut self.metrics {
            let same = |old: &&SavedMetric| (&old.metric, &old.stat, &old.filter) == (&metric.metric, &metric.stat, &metric.filter);
            if let Some(old) = earlier.metrics.iter().find(same) {
                metric.margin.clone_from(&old.margin);
            }
        }
    }

    /// Sets a metric's margin, for all its rows.
    pub fn set_margin(&mut self, name: &str, margin: Margin) {
        for saved in self.metrics.iter_mut().filter(|saved| &*saved.metric == name) {
            if let Some(info) = metric(name) {
                saved.margin = margin.text(info.unit);
            }
        }
    }

    /// Whether it is of the same scenario and policy.
    #[must_use]
    pub fn is_of(&self, scenario: &str, policy: &str) -> bool {
        &*self.scenario == scenario && &*self.policy == policy
    }
}

impl Baseline {
    /// Of these entries.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| (&a.scenario, &a.policy).cmp(&(&b.scenario, &b.policy)));
        Self { schema_version: SCHEMA_VERSION, entries }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Says what is wrong, with line and column where the text is.
    pub fn read(text: &str) -> Result<Self, String> {
        let baseline: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if baseline.schema_version != SCHEMA_VERSION {
            return Err(format!("it has version {}; this program reads version {SCHEMA_VERSION}", baseline.schema_version));
        }
        for entry in &baseline.entries {
            let place = |what: &str| format!("{} ({}): {what}", entry.scenario, entry.policy);
            if !entry.seeds.is_sorted_by(|a, b| a < b) || entry.trace_digests.len() != entry.seeds.len() {
                return Err(place("`seeds` and `traceDigests` do not go together"));
            }
            for saved in &entry.metrics {
                if saved.values.len() != entry.seeds.len() {
                    return Err(place(&format!("`{}` has {} values for {} seeds", saved.metric, saved.values.len(), entry.seeds.len())));
                }
                if let Some(info) = metric(&saved.metric).filter(|info| Margin::parse(&saved.margin, info.unit).is_none()) {
                    let unit = info.unit.as_str();
                    return Err(place(&format!(
                        "`{}`: margin `{}` is neither a share (`2%`) nor an amount of {unit}",
                        saved.metric, saved.margin
                    )));
                }
            }
        }
        Ok(baseline)
    }

    /// The entry of a scenario and a policy.
    #[must_use]
    pub fn entry(&self, scenario: &str, policy: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_of(scenario, policy))
    }

    /// Takes `entry` in place of the one of its scenario and policy, whose margins stay.
    pub fn accept(&mut self, mut entry: Entry) {
        if let Some(old) = self.entry(&entry.scenario, &entry.policy) {
            entry.keep_margins(old);
        }
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|other| !other.is_of(&entry.scenario, &entry.policy));
        entries.push(entry);
        *self = Self::new(entries);
    }

    /// The file: a metric is a line. Ends with a line feed.
    #[must_use]
    pub fn text(&self) -> String {
        // These types have text keys and finite numbers only; serde_json writes them without fail.
        let line = |value: &dyn Fn() -> Result<String, serde_json::Error>| value().unwrap_or_default();
        let entries: Vec<String> = self
            .entries
            .iter()
            .map(|entry| {
                let field = |name: &str, value: String| format!("      \"{name}\": {value}");
                let metrics: Vec<String> =
                    entry.metrics.iter().map(|metric| format!("        {}", line(&|| serde_json::to_string(metric)))).collect();
                let fields = [
                    field("scenario", line(&|| serde_json::to_string(&entry.scenario))),
                    field("policy", line(&|| serde_json::to_string(&entry.policy))),
                    field("wavetankVersion", line(&|| serde_json::to_string(&entry.wavetank_version))),
                    field("scenarioDigest", line(&|| serde_json::to_string(&entry.scenario_digest))),
                    field("seeds", line(&|| serde_json::to_string(&entry.seeds))),
                    field("traceDigests", line(&|| serde_json::to_string(&entry.trace_digests))),
                    field("metrics", format!("[\n{}\n      ]", metrics.join(",\n"))),
                ];
                format!("    {{\n{}\n    }}", fields.join(",\n"))
            })
            .collect();
        format!("{{\n  \"schemaVersion\": {SCHEMA_VERSION},\n  \"entries\": [\n{}\n  ]\n}}\n", entries.join(",\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node_failure;

    fn entry(seeds: u64) -> Entry {
        let runs: Vec<Measures> = (1..=seeds).map(|seed| Measures::of_trace(&node_failure(seed))).collect();
        Entry::of(&runs, &BTreeMap::from([(1, "abc".into())])).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_and_a_metric_is_a_line() {
        let baseline = Baseline::new(vec![entry(3)]);
        let text = baseline.text();
        assert_eq!(Baseline::read(&text).unwrap(), baseline);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("\"recovery.total\"")).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| line.matches(',').count() >= 3), "{lines:?}");
        assert_eq!(Baseline::new(vec![entry(3)]).text(), text);
    }

    #[test]
    fn accepting_keeps_the_margins_and_the_others() {
        let other = Entry { scenario: "another".into(), ..entry(1) };
        let mut baseline = Baseline::new(vec![entry(2), other.clone()]);
        baseline.entries[1].set_margin("availability", Margin::Absolute(0.02));
        baseline.accept(entry(3));
        assert_eq!(baseline.entries[0], other);
        let accepted = &baseline.entries[1];
        assert_eq!(accepted.seeds, [1, 2, 3]);
        let margins: Vec<&str> =
            accepted.metrics.iter().filter(|saved| &*saved.metric == "availability").map(|saved| &*saved.margin).collect();
        assert!(!margins.is_empty() && margins.iter().all(|margin| *margin == "2pp"), "{margins:?}");
    }

    #[test]
    fn a_file_that_was_spoilt_by_hand_is_refused_with_the_reason() {
        let text = Baseline::new(vec![entry(2)]).text();
        for (from, to, reason) in [
            ("\"schemaVersion\": 1", "\"schemaVersion\": 9", "version 9"),
            ("\"seeds\": [1,2]", "\"seeds\": [2,1]", "do not go together"),
            ("\"seeds\": [1,2]", "\"seeds\": [1]", "do not go together"),
            ("\"margin\":\"0.1pp\"", "\"margin\":\"little\"", "margin `little` is neither"),
            ("\"policy\"", "\"polizy\"", "unknown field `polizy`"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Baseline::read(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
