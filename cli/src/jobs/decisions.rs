//! Where the policies of a comparison first decide otherwise, in its first seed, and why.
//!
//! What was decided is heard while that seed is run; a job that was done before is run again. Why is asked of the
//! schedulers by repeating both runs up to that decision.
//!
//! Invariants:
//! - Nothing here depends on how the work was divided: the part that has the reference's first run writes the file, and
//!   merging copies it.
//! - The file names the jobs that it is about, and is used for those only.

use std::collections::BTreeMap;

use engine::Explain;
use rayon::prelude::*;
use reports::compare::{Choice, DecisionDiff, Decisions, FirstDecision};
use serde::{Deserialize, Serialize};

use super::store::Store;
use super::{JobRef, Manifest, Point, asks_outside, shard};
use crate::error::CliError;
use crate::experiment::{self, Plan};
use crate::io::Io;
use crate::progress::Progress;

/// Its place in a store.
pub(crate) const FILE: &str = "decisions.json";

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    schema_version: u32,
    /// The jobs of the first seed, in the order of the points.
    jobs: Vec<String>,
    decisions: Vec<DecisionDiff>,
}

/// The seed that is looked at: the first one.
pub(crate) fn seed(manifest: &Manifest) -> Option<u64> {
    manifest.seeds().first().copied()
}

/// The jobs of that seed, one for each point.
fn jobs(manifest: &Manifest) -> Vec<&JobRef> {
    let first = seed(manifest);
    manifest.jobs.iter().filter(|job| Some(job.seed) == first).collect()
}

/// What is known of a store's comparison; nothing when nobody has looked.
pub(crate) fn kept(store: &Store, manifest: &Manifest) -> Vec<DecisionDiff> {
    let wanted = jobs(manifest).into_iter().map(|job| &job.id);
    let kept = store.read(FILE).ok().and_then(|text| serde_json::from_str::<Kept>(&text).ok());
    kept.filter(|kept| wanted.eq(&kept.jobs)).map(|kept| kept.decisions).unwrap_or_default()
}

/// Looks where the decisions part, if that falls to this part of the work and is not there yet. `heard` are decisions
/// of jobs that were done just now; zero `threads` takes all cores.
pub(crate) fn look(
    points: &[Point],
    manifest: &Manifest,
    store: &Store,
    mut heard: BTreeMap<String, Decisions>,
    threads: usize,
    io: &Io,
) -> Result<(), CliError> {
    let reference = manifest.reference_place();
    let wanted = jobs(manifest);
    let Some(first) = wanted.iter().find(|job| job.point == reference) else { return Ok(()) };
    let mine = shard::select(&manifest.jobs, manifest.shard).iter().any(|job| job.id == first.id);
    if !mine || !kept(store, manifest).is_empty() {
        return Ok(());
    }
    // Runs that ask one process take turns.
    let threads = if asks_outside(points) { 1 } else { threads };
    let missing: Vec<&JobRef> = wanted.iter().copied().filter(|job| !heard.contains_key(&job.id)).collect();
    heard.extend(each(&missing, threads, |job| Ok((job.id.clone(), listen(points, job, io)?)))?);
    let others: Vec<&JobRef> = wanted.iter().copied().filter(|job| job.point != reference).collect();
    let decisions = each(&others, threads, |job| compared(points, manifest, (first, job), &heard, io))?;
    let jobs = wanted.iter().map(|job| job.id.clone()).collect();
    store.write_json(FILE, &Kept { schema_version: super::SCHEMA_VERSION, jobs, decisions })
}

/// Does something for each job, on as many threads as there may be; in order whatever they do.
fn each<'j, T: Send>(
    jobs: &[&'j JobRef],
    threads: usize,
    of: impl Fn(&'j JobRef) -> Result<T, CliError> + Sync,
) -> Result<Vec<T>, CliError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(anyhow::Error::new)?;
    pool.install(|| jobs.par_iter().map(|job| of(job)).collect())
}

/// Runs a job again to hear what it decides.
fn listen(points: &[Point], job: &JobRef, io: &Io) -> Result<Decisions, CliError> {
    let prepared = &points[job.point].prepared;
    let plan = Plan::of(&prepared.scenario, &prepared.policy, std::slice::from_ref(&job.seed));
    let mut decisions = Decisions::default();
    let progress = Progress::new(io, 1, prepared.scenario.world.duration);
    experiment::listen(&plan, job.seed, &mut decisions, &progress)?;
    Ok(decisions)
}

/// A point against the reference.
fn compared(
    points: &[Point],
    manifest: &Manifest,
    (reference, subject): (&JobRef, &JobRef),
    heard: &BTreeMap<String, Decisions>,
    io: &Io,
) -> Result<DecisionDiff, CliError> {
    let nothing = Decisions::default();
    let of = |job: &JobRef| heard.get(&job.id).unwrap_or(&nothing);
    let (one, other) = (of(reference), of(subject));
    let first = match one.first_difference(other) {
        Some((mine, theirs)) => {
            let explanations = (explain(points, reference, &mine, io)?, explain(points, subject, &theirs, io)?);
            Some(FirstDecision::new((mine, theirs), (explanations.0.as_ref(), explanations.1.as_ref())))
        }
        None => None,
    };
    let name = manifest.points[subject.point].name.as_str().into();
    Ok(DecisionDiff { subject: name, seed: subject.seed, first, moved: one.moved(other) })
}

/// Asks the scheduler of a job why it decided so.
fn explain(points: &[Point], job: &JobRef, choice: &Choice, io: &Io) -> Result<Option<api::Explanation>, CliError> {
    let prepared = &points[job.point].prepared;
    let plan = Plan::of(&prepared.scenario, &prepared.policy, std::slice::from_ref(&job.seed));
    let wanted = Explain { pod: choice.pod.clone(), attempts: vec![choice.attempt], from: choice.created, until: choice.at };
    let progress = Progress::new(io, 1, choice.at.since(api::SimTime::ZERO));
    let found = experiment::explain(&plan, wanted, None, &progress)?.unwrap_or_default();
    Ok(found.into_iter().find_map(|(_, record)| match record {
        trace::Record::Explanation { explanation, .. } => Some(*explanation),
        _ => None,
    }))
}
