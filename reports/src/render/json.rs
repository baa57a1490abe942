//! JSON: one document for a set of runs, one per job, and one for what many jobs say together.

use serde::Serialize;

use crate::{Measures, Verdict};

/// The version of all documents.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    scenario: &'a str,
    scenario_digest: &'a str,
    policy: &'a str,
    wavetank_version: &'a str,
    passed: bool,
    verdict: &'a Verdict,
    runs: Vec<&'a Measures>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    schema_version: u32,
    job: &'a str,
    trace_digest: &'a str,
    #[serde(flatten)]
    measures: &'a Measures,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    found: &'a T,
}

/// One document: the verdict and everything measured, runs by seed. Ends with a line feed.
#[must_use]
pub fn document(runs: &[Measures], verdict: &Verdict) -> String {
    let mut runs: Vec<&Measures> = runs.iter().collect();
    runs.sort_by_key(|run| run.seed);
    let first = runs.first();
    lines(&Document {
        schema_version: SCHEMA_VERSION,
        scenario: first.map_or("", |run| &run.scenario),
        scenario_digest: first.map_or("", |run| &run.scenario_digest),
        policy: first.map_or("", |run| &run.policy),
        wavetank_version: first.map_or("", |run| &run.wavetank_version),
        passed: verdict.passed,
        verdict,
        runs,
    })
}

/// `jobs/<id>.json`: the measures of one run, with the digest of its trace. Reads back as [`Measures`].
#[must_use]
pub fn job(id: &str, trace_digest: &str, measures: &Measures) -> String {
    lines(&Job { schema_version: SCHEMA_VERSION, job: id, trace_digest, measures })
}

/// What a comparison, a sweep or a search found, as one document for programs. Ends with a line feed.
#[must_use]
pub fn findings(found: &impl Serialize) -> String {
    lines(&Findings { schema_version: SCHEMA_VERSION, found })
}

fn lines(value: &impl Serialize) -> String {
    // These types have text keys and finite numbers only; serde_json writes them without fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
