//! Many runs as one piece of work: points (a scenario changed in some way, under some policy) times seeds.
//!
//! ```text
//! points × seeds ──► jobs, each named by the digest of what determines it ──► shard ──► pool ──► store ──► merge
//! ```
//!
//! Invariants:
//! - A job's id is the digest of scenario, policy, parameters and seed, so a result that is there need not be made again,
//!   on whatever machine it was made; two points that are the same share their jobs.
//! - What is in a store does not depend on how it came there: one machine or many, in any order, interrupted or not.
//!
//! Not here: what a single run is (`experiment`), and what comparisons and sweeps make of the measures (`verbs`).

pub(crate) mod decisions;
pub(crate) mod emit;
pub(crate) mod grid;
pub(crate) mod merge;
pub(crate) mod pool;
pub(crate) mod shard;
pub(crate) mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::experiment::job_id_of;
use crate::files::{Policy, Prepared};

/// The version of the manifest.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// What the work is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Comparison,
    Sweep,
    Search,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Comparison => "compare",
            Self::Sweep => "sweep",
            Self::Search => "search",
        }
    }
}

/// One point, ready to be run.
pub(crate) struct Point {
    pub(crate) about: AboutPoint,
    pub(crate) prepared: Prepared,
}

/// What a manifest says of a point.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AboutPoint {
    /// What tables call it.
    pub(crate) name: String,
    /// The policy as given; empty takes the scenario's.
    pub(crate) policy_source: String,
    /// The policy's own name.
    pub(crate) policy: String,
    /// Changes of the scenario, `PATH=VALUE`.
    pub(crate) set: Vec<String>,
    /// What a sweep varies, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Digest of the resolved scenario.
    pub(crate) scenario_digest: String,
}

/// One run of one point.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobRef {
    pub(crate) id: String,
    /// Place of the point in the manifest.
    pub(crate) point: usize,
    pub(crate) seed: u64,
}

/// Part of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part {
    /// From 1.
    pub(crate) index: usize,
    pub(crate) count: usize,
    /// Jobs go by their ids instead of by their place.
    pub(crate) by_hash: bool,
}

/// `manifest.json` of a directory of jobs: the whole work, whatever part of it is there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) wavetank_version: String,
    pub(crate) kind: Kind,
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// A shipped scenario's name, or the path that was given.
    pub(crate) source: String,
    /// `--until` as given.
    pub(crate) until: Option<String>,
    /// What the other points are measured against.
    pub(crate) reference: String,
    /// How it is judged: kept so that merging says what running would have said.
    pub(crate) judging: Judging,
    /// `--param` of a sweep as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) asked: Vec<String>,
    /// `--lhs` as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lhs: Option<usize>,
    /// What a search looks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) search: Option<reports::search::Searched>,
    pub(crate) points: Vec<AboutPoint>,
    /// All jobs, in the order of points and seeds.
    pub(crate) jobs: Vec<JobRef>,
    /// The part that this directory holds; `None` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shard: Option<Part>,
}

/// What a comparison asks beyond the scenario.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Judging {
    /// `--metric` as given; empty takes the usual ones.
    #[serde(default)]
    pub(crate) metrics: Vec<String>,
    /// `--margin` as given.
    #[serde(default)]
    pub(crate) margins: Vec<String>,
    pub(crate) alpha: f64,
}

impl Manifest {
    /// Seeds of all jobs, ascending.
    pub(crate) fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.jobs.iter().map(|job| job.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// Place of the point that the others are measured against.
    pub(crate) fn reference_place(&self) -> usize {
        self.points.iter().position(|point| point.name == self.reference).unwrap_or(0)
    }

    /// The same work without saying which part of it this is.
    pub(crate) fn whole(&self) -> Self {
        Self { shard: None, ..self.clone() }
    }
}

/// All jobs of `points`, in their order.
pub(crate) fn jobs_of(points: &[Point], seeds: &[u64]) -> Vec<JobRef> {
    let of_point = |(index, point): (usize, &Point)| {
        let Prepared { scenario, policy } = &point.prepared;
        seeds.iter().map(|seed| JobRef { id: job_id_of(scenario, policy, *seed), point: index, seed: *seed }).collect::<Vec<_>>()
    };
    points.iter().enumerate().flat_map(of_point).collect()
}

/// Whether any point asks a process outside, which only one run at a time may do.
pub(crate) fn asks_outside(points: &[Point]) -> bool {
    points.iter().any(|point| !Policy::extenders(&point.prepared.policy).is_empty())
}
