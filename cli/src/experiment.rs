//! One run per seed, spread over threads; each alone deterministic.
//!
//! Invariants: results come back in the order of the seeds, whatever the threads did; a run's bytes do not
//! depend on which outputs are wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::SimTime;
use engine::{Limits, World};
use rayon::prelude::*;
use reports::{Measures, Run};
use scenarios::Scenario;
use trace::{Header, JsonlWriter, MemorySink, SCHEMA_VERSION, Tee, Trace, TraceSink};

use crate::error::CliError;
use crate::extenders;
use crate::files::Policy;
use crate::progress::Progress;
use crate::results::Job;

/// What one run left.
pub(crate) struct Done {
    pub(crate) job: Job,
    /// The compressed trace file.
    pub(crate) file: Vec<u8>,
    pub(crate) trace: Trace,
    pub(crate) measures: Measures,
    /// Why it ended, when not at its horizon.
    pub(crate) stopped: Option<String>,
}

/// How to run.
pub(crate) struct Plan<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) policy: &'a Policy,
    pub(crate) seeds: &'a [u64],
    pub(crate) threads: usize,
    pub(crate) max_events: Option<u64>,
}

/// Runs every seed.
pub(crate) fn run(plan: &Plan<'_>, progress: &Progress<'_>) -> Result<Vec<Done>, CliError> {
    let world = Arc::new(plan.scenario.world.clone());
    let failed = AtomicBool::new(false);
    // A thread takes a run; more threads than runs would only be made to wait.
    let threads = if plan.threads == 0 { rayon::current_num_threads() } else { plan.threads };
    // Runs that ask one process take turns, so that it meets them in one order.
    let most = if plan.policy.extenders().is_empty() { plan.seeds.len() } else { 1 };
    let threads = threads.min(most).max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(anyhow::Error::new)?;
    let done: Vec<Result<Done, CliError>> = pool.install(|| {
        plan.seeds
            .par_iter()
            .map(|seed| {
                let done = run_one(plan, &world, *seed, progress, &failed);
                failed.fetch_or(done.is_err(), Ordering::Relaxed);
                done
            })
            .collect()
    });
    progress.finish();
    done.into_iter().collect()
}

fn run_one(
    plan: &Plan<'_>,
    spec: &Arc<engine::spec::WorldSpec>,
    seed: u64,
    progress: &Progress<'_>,
    failed: &AtomicBool,
) -> Result<Done, CliError> {
    let scheduler = plan.policy.make(&spec.control_plane.scheduler.tie_break, seed)?;
    let header = header(plan.scenario, plan.policy, seed);
    let id = job_id(&header);
    let mut world = World::new(spec.clone(), scheduler, seed);
    let mut memory = MemorySink::default();
    let mut file = JsonlWriter::new(Vec::new(), &header);
    let mut last = SimTime::ZERO;
    let summary = world.run(&mut Tee(&mut memory, &mut file) as &mut dyn TraceSink, &Limits { max_events: plan.max_events }, &mut |at| {
        progress.advance(last, at.now);
        last = at.now;
        !failed.load(Ordering::Relaxed)
    });
    let (file, trace_digest) = file.finish()?;
    let trace = Trace { header, records: memory.records };
    let measures = Measures::of(&Run::new(&trace));
    let job = Job { id, seed, trace_digest, events: summary.events, traffic_events: summary.traffic_events };
    let stopped = (summary.reason != "horizon").then(|| summary.reason.to_string());
    Ok(Done { job, file, trace, measures, stopped })
}

fn header(scenario: &Scenario, policy: &Policy, seed: u64) -> Header {
    let extenders = policy.extenders().into_iter().map(|url| extenders::note(&url).into());
    Header {
        schema_version: SCHEMA_VERSION,
        wavetank_version: env!("CARGO_PKG_VERSION").into(),
        scenario: scenario.name.as_str().into(),
        description: scenario.description.as_str().into(),
        scenario_digest: scenario.digest.as_str().into(),
        policy: policy.name().into(),
        seed,
        duration: scenario.world.duration,
        warmup: scenario.warmup,
        start: scenario.start.as_str().into(),
        traffic_engine: if scenario.world.traffic.sources.is_empty() { "" } else { "exact" }.into(),
        questions: scenario.questions.clone(),
        notes: scenario.notes.iter().map(|note| note.as_str().into()).chain(extenders).collect(),
    }
}

/// The digest of what determines a run, short enough for a file name.
fn job_id(header: &Header) -> String {
    let digest = trace::Digest::new(header).finish();
    digest[..12].to_owned()
}
