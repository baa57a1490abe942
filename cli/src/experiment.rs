//! One run per seed, spread over threads; each alone deterministic.
//!
//! Invariants: results come back in the order of the seeds, whatever the threads did; a run's bytes do not
//! depend on which outputs are wanted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::SimTime;
use engine::spec::{TrafficEngine, TrafficSpec};
use engine::{Explain, Limits, World};
use rayon::prelude::*;
use reports::{Measures, Run};
use scenarios::Scenario;
use trace::{Header, JsonlWriter, MemorySink, Record, SCHEMA_VERSION, Tee, Trace, TraceSink};

use crate::error::CliError;
use crate::extenders;
use crate::files::Policy;
use crate::progress::{Progress, now};
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
    /// Zero takes all cores.
    pub(crate) threads: usize,
    pub(crate) max_events: Option<u64>,
    /// Real time for each run.
    pub(crate) max_wall: Option<Duration>,
    /// Runs that were cut short by real time, with the events they had handled: cut short again there.
    pub(crate) interrupted_at: BTreeMap<u64, u64>,
}

impl<'a> Plan<'a> {
    /// Without limits, on all cores.
    pub(crate) const fn of(scenario: &'a Scenario, policy: &'a Policy, seeds: &'a [u64]) -> Self {
        Self { scenario, policy, seeds, threads: 0, max_events: None, max_wall: None, interrupted_at: BTreeMap::new() }
    }
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
                progress.job_done();
                done
            })
            .collect()
    });
    progress.finish();
    done.into_iter().collect()
}

/// Runs one seed. The bytes of what it leaves do not depend on what else runs.
pub(crate) fn run_one(
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
    let (started, interrupted_at) = (now(), plan.interrupted_at.get(&seed));
    let summary = world.run(&mut Tee(&mut memory, &mut file) as &mut dyn TraceSink, &Limits { max_events: plan.max_events }, &mut |at| {
        progress.advance(last, at.now);
        last = at.now;
        let is_over = match interrupted_at {
            Some(events) => at.events >= *events,
            None => plan.max_wall.is_some_and(|most| started.elapsed() >= most),
        };
        !is_over && !failed.load(Ordering::Relaxed)
    });
    let (file, trace_digest) = file.finish()?;
    let trace = Trace { header, records: memory.records };
    let measures = Measures::of(&Run::new(&trace));
    let interrupted = summary.reason == "interrupted";
    let job = Job { id, seed, trace_digest, events: summary.events, traffic_events: summary.traffic_events, interrupted };
    let stopped = match summary.reason {
        "horizon" => None,
        "interrupted" => Some("max-wall".to_owned()),
        reason => Some(reason.to_owned()),
    };
    Ok(Done { job, file, trace, measures, stopped })
}

/// Runs a seed to its end for whoever listens, and leaves nothing.
pub(crate) fn listen(plan: &Plan<'_>, seed: u64, sink: &mut dyn TraceSink, progress: &Progress<'_>) -> Result<(), CliError> {
    let world = Arc::new(plan.scenario.world.clone());
    let scheduler = plan.policy.make(&world.control_plane.scheduler.tie_break, seed)?;
    let mut last = SimTime::ZERO;
    World::new(world, scheduler, seed).run(sink, &Limits { max_events: plan.max_events }, &mut |at| {
        progress.advance(last, at.now);
        last = at.now;
        true
    });
    progress.finish();
    Ok(())
}

/// Listens to a run that is repeated, and hears where it takes another course.
struct Comparing<'t> {
    /// What was recorded before; `None` where nobody kept it.
    recorded: Option<std::slice::Iter<'t, (SimTime, Record)>>,
    parted: bool,
    explanations: Vec<(SimTime, Record)>,
}

impl TraceSink for Comparing<'_> {
    fn record(&mut self, at: SimTime, record: &Record) {
        if matches!(record, Record::Explanation { .. }) {
            self.explanations.push((at, record.clone()));
        } else if let Some(recorded) = self.recorded.as_mut().filter(|_| !self.parted) {
            self.parted = recorded.next().is_none_or(|(then, before)| *then != at || before != record);
        }
    }
}

/// Runs again up to the decisions asked about, and gives their explanations; `None` when the run is not the one of
/// `recorded`, where there is one.
pub(crate) fn explain(
    plan: &Plan<'_>,
    wanted: Explain,
    recorded: Option<&Trace>,
    progress: &Progress<'_>,
) -> Result<Option<Vec<(SimTime, Record)>>, CliError> {
    let Some(seed) = plan.seeds.first() else { return Ok(None) };
    if recorded.is_some_and(|recorded| header(plan.scenario, plan.policy, *seed) != recorded.header) {
        return Ok(None);
    }
    let mut world = World::new(
        Arc::new(plan.scenario.world.clone()),
        plan.policy.make(&plan.scenario.world.control_plane.scheduler.tie_break, *seed)?,
        *seed,
    );
    let (attempts, until) = (wanted.attempts.len(), wanted.until);
    world.explain(wanted);
    let mut sink = Comparing { recorded: recorded.map(|trace| trace.records.iter()), parted: false, explanations: Vec::new() };
    let (mut last, mut steps) = (SimTime::ZERO, 0_u64);
    while sink.explanations.len() < attempts && !sink.parted {
        let Some(now) = world.step(&mut sink).filter(|now| *now <= until) else { break };
        steps += 1;
        if steps.is_multiple_of(STEPS_PER_REPORT) {
            progress.advance(last, now);
            last = now;
        }
    }
    progress.finish();
    Ok((!sink.parted).then_some(sink.explanations))
}

/// How often a repeated run says how far it has come.
const STEPS_PER_REPORT: u64 = 4096;

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
        traffic_engine: traffic_engine(&scenario.world.traffic).into(),
        questions: scenario.questions.clone(),
        notes: scenario.notes.iter().map(|note| note.as_str().into()).chain(extenders).collect(),
    }
}

/// What plays a scenario's requests; empty without any.
fn traffic_engine(traffic: &TrafficSpec) -> &'static str {
    match traffic.engine {
        _ if traffic.sources.is_empty() => "",
        TrafficEngine::Exact => "exact",
        TrafficEngine::Cohort => "cohort",
    }
}

/// The id of the job that a scenario, a policy and a seed make.
pub(crate) fn job_id_of(scenario: &Scenario, policy: &Policy, seed: u64) -> String {
    job_id(&header(scenario, policy, seed))
}

/// The digest of what determines a run, short enough for a file name.
fn job_id(header: &Header) -> String {
    let digest = trace::Digest::new(header).finish();
    digest[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_run_is_heard_to_take_another_course() {
        let mark = |name: &str| Record::Mark { mark: name.into() };
        let recorded = [(SimTime::ZERO, mark("a")), (SimTime::from_secs(1), mark("b"))];
        let explanation = || Record::Explanation { pod: "ns/pod".into(), attempt: 1, explanation: Box::default() };
        let parts = |again: &[(SimTime, Record)]| {
            let mut sink = Comparing { recorded: Some(recorded.iter()), parted: false, explanations: Vec::new() };
            again.iter().for_each(|(at, record)| sink.record(*at, record));
            (sink.parted, sink.explanations.len())
        };
        let [a, b] = &recorded;
        assert_eq!(parts(&[a.clone(), (SimTime::ZERO, explanation()), b.clone()]), (false, 1), "explanations are no difference");
        assert_eq!(parts(std::slice::from_ref(a)), (false, 0), "it need not go to the end");
        assert_eq!(parts(&[a.clone(), a.clone()]), (true, 0), "another record");
        assert_eq!(parts(&[a.clone(), (SimTime::from_secs(2), mark("b"))]), (true, 0), "another time");
        assert_eq!(parts(&[a.clone(), b.clone(), b.clone()]), (true, 0), "one more");
    }
}
