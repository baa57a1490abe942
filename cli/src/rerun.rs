//! Runs a finished run again from its manifest: for `replay`, and for what `why` wants to know beyond the trace.
//!
//! Invariant: what is run is what was run, or nothing is: the digest of the scenario and the name of the policy (which
//! holds the digest of its configuration) are compared first.

use engine::Explain;
use reports::inspect::Decisions;
use scenarios::Scenario;
use trace::{Record, Trace};

use crate::error::CliError;
use crate::exit::Exit;
use crate::experiment::{self, Plan};
use crate::files::{self, LoadOptions, Policy};
use crate::io::Io;
use crate::progress::Progress;
use crate::results::{Job, Results};

/// The inputs of a run, found again.
pub(crate) struct Inputs {
    pub(crate) scenario: Scenario,
    pub(crate) policy: Policy,
}

/// Reads the inputs of `results` from where they were read before, and makes sure that they are still the same.
pub(crate) fn inputs(results: &mut Results, io: &Io) -> Result<Inputs, CliError> {
    results.go_to_sources()?;
    let manifest = &results.manifest;
    let until = manifest.until.as_deref().and_then(|until| until.parse().ok());
    let options = LoadOptions { set: &manifest.set, until, ..Default::default() };
    let scenario = files::load(&manifest.source, &options, io)?;
    let different = |message: String, help: &str| CliError::Asked { exit: Exit::Different, message, help: Some(help.to_owned()) };
    if scenario.digest != manifest.scenario_digest {
        return Err(different(
            format!("`{}` is no longer what was run: its digest is {}, not {}", manifest.source, scenario.digest, manifest.scenario_digest),
            "bring the old files back, or run the scenario again",
        ));
    }
    let policy = match &manifest.policy_override {
        Some(name) => Policy::named(name, io)?,
        None => Policy::of(&scenario, io)?,
    };
    if policy.name() != manifest.policy {
        return Err(different(
            format!("the policy is no longer what was run: it is `{}`, not `{}`", policy.name(), manifest.policy),
            "bring the old file back, or run the scenario again",
        ));
    }
    Ok(Inputs { scenario, policy })
}

/// Has decisions explained by running again up to them, and puts what comes of it into `trace`. Where that cannot be
/// done, the story is told without, and the reader is told why.
pub(crate) fn explain(results: &mut Results, job: &Job, trace: &mut Trace, wanted: &Decisions, io: &Io) -> Result<(), CliError> {
    let leave_out = |reason: &str| io.say(&format!("note: without scores and nearest fits: {reason}"));
    if results.manifest.wavetank_version != env!("CARGO_PKG_VERSION") {
        leave_out(&format!("this was run by wavetank {}, which may decide otherwise", results.manifest.wavetank_version));
        return Ok(());
    }
    let Inputs { scenario, policy } = match inputs(results, &io.hushed()) {
        Ok(inputs) => inputs,
        Err(CliError::Asked { message, .. }) => {
            leave_out(&message);
            return Ok(());
        }
        Err(_) => {
            leave_out(&format!("`{}` can no longer be run", results.manifest.source));
            return Ok(());
        }
    };
    let plan = Plan { threads: 1, ..Plan::of(&scenario, &policy, std::slice::from_ref(&job.seed)) };
    let decisions = Explain { pod: wanted.pod.clone(), attempts: wanted.attempts.clone(), from: wanted.from, until: wanted.until };
    let progress = Progress::new(io, 1, wanted.until.since(api::SimTime::ZERO));
    match experiment::explain(&plan, decisions, Some(&*trace), &progress)? {
        Some(records) => insert(trace, records),
        None => leave_out("run again, it takes another course"),
    }
    Ok(())
}

/// Puts records in their place in time.
fn insert(trace: &mut Trace, records: Vec<(api::SimTime, Record)>) {
    for (at, record) in records {
        let place = trace.records.partition_point(|(time, _)| *time <= at);
        trace.records.insert(place, (at, record));
    }
}
