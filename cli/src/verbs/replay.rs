//! `wavetank replay`: runs a finished run again from its manifest, and with --verify compares every byte.

use std::convert::Infallible;
use std::path::PathBuf;

use reports::{difference, render};
use trace::Trace;

use crate::error::CliError;
use crate::exit::Exit;
use crate::experiment::{self, Plan};
use crate::io::Io;
use crate::progress::Progress;
use crate::rerun::{self, Inputs};
use crate::results::Results;

/// Run a finished run again; with --verify, say whether it gives the same bytes.
#[derive(clap::Args)]
pub(crate) struct Replay {
    /// The results directory, such as out/black-friday-40x.
    run: Option<PathBuf>,
    /// Exit with 6 and name the first difference unless every trace is the same to the byte.
    #[arg(long)]
    verify: bool,
    /// Runs at a time; all cores by default.
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    jobs: usize,
}

impl Replay {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let mut results = Results::open(self.run.as_deref(), None)?;
        let Inputs { scenario, policy } = rerun::inputs(&mut results, io)?;
        let manifest = &results.manifest;
        let seeds: Vec<u64> = manifest.jobs.iter().map(|job| job.seed).collect();
        if manifest.wavetank_version != env!("CARGO_PKG_VERSION") {
            io.say(&format!("warning: this was run by wavetank {}; results are the same within a version", manifest.wavetank_version));
        }
        let interrupted_at = manifest.jobs.iter().filter(|job| job.interrupted).map(|job| (job.seed, job.events)).collect();
        let plan = Plan { threads: self.jobs, max_events: manifest.max_events, interrupted_at, ..Plan::of(&scenario, &policy, &seeds) };
        let done = experiment::run(&plan, &Progress::new(io, seeds.len(), scenario.world.duration))?;
        let mut different = 0;
        for (job, again) in manifest.jobs.iter().zip(&done) {
            if job.trace_digest == again.job.trace_digest {
                io.answer(&format!("seed {}: identical ({})\n", job.seed, &job.trace_digest[..16]))?;
                continue;
            }
            different += 1;
            io.answer(&format!("seed {}: DIFFERENT\n{}\n", job.seed, first_difference(&results.trace(job)?, &again.trace)))?;
        }
        Ok(if self.verify && different > 0 { Exit::Different } else { Exit::Success })
    }
}

/// Where two traces part.
fn first_difference(before: &Trace, after: &Trace) -> String {
    let records = |trace: &Trace| trace.records.clone().into_iter().map(Ok::<_, Infallible>);
    let Ok(found) = difference::of([&before.header, &after.header], records(before), records(after));
    let mut lines: Vec<String> =
        found.settings.iter().map(|setting| format!("  {} was {}, is {}", setting.setting, setting.values[0], setting.values[1])).collect();
    if let Some(parting) = &found.parting {
        lines.push(format!("  record {}", parting.record));
        lines.extend(render::parting_lines(parting, ["was", "is"]));
    }
    lines.join("\n")
}
