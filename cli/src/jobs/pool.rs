//! Does the jobs of a work that are not there yet, on all cores, and stores each as it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use reports::compare::Decisions;
use reports::render;

use super::store::Store;
use super::{JobRef, Point, asks_outside};
use crate::error::CliError;
use crate::experiment::{self, Plan};
use crate::io::Io;
use crate::progress::Progress;

/// How to do the work.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// Zero takes all cores.
    pub(crate) threads: usize,
    /// Keep the record of each run too.
    pub(crate) traces: bool,
    /// The seed of which the decisions are wanted.
    pub(crate) decisions_of: Option<u64>,
}

/// Does `jobs`, of which each is stored when it is done. Gives what was decided in those whose decisions are wanted.
pub(crate) fn work(points: &[Point], jobs: &[JobRef], store: &Store, how: How, io: &Io) -> Result<BTreeMap<String, Decisions>, CliError> {
    if jobs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let worlds: Vec<_> = points.iter().map(|point| Arc::new(point.prepared.scenario.world.clone())).collect();
    let total = jobs.iter().map(|job| points[job.point].prepared.scenario.world.duration.as_nanos()).fold(0, u64::saturating_add);
    let progress = Progress::of_jobs(io, jobs.len(), total);
    let failed = AtomicBool::new(false);
    let most = if asks_outside(points) { 1 } else { jobs.len() };
    let threads = if how.threads == 0 { rayon::current_num_threads() } else { how.threads };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.min(most).max(1)).build().map_err(anyhow::Error::new)?;
    let one = |job: &JobRef| -> Result<Option<(String, Decisions)>, CliError> {
        let prepared = &points[job.point].prepared;
        let plan = Plan::of(&prepared.scenario, &prepared.policy, std::slice::from_ref(&job.seed));
        let done = experiment::run_one(&plan, &worlds[job.point], job.seed, &progress, &failed)?;
        // A run that was broken off because another failed is no result.
        if failed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if how.traces {
            store.write(&format!("traces/{}.jsonl.gz", job.id), &done.file)?;
        }
        store.write(&format!("jobs/{}.json", job.id), render::job(&job.id, &done.job.trace_digest, &done.measures))?;
        progress.job_done();
        Ok((how.decisions_of == Some(job.seed)).then(|| (job.id.clone(), Decisions::of(&done.trace))))
    };
    let results: Vec<Result<Option<(String, Decisions)>, CliError>> = pool.install(|| {
        // One at a time per thread, so that the last ones are spread too.
        jobs.par_iter()
            .with_max_len(1)
            .map(|job| {
                if failed.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let result = one(job);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
            .collect()
    });
    progress.finish();
    results.into_iter().filter_map(Result::transpose).collect()
}
