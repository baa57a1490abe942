//! `wavetank get`: what kubectl would have shown at an instant of a finished run.

use std::path::PathBuf;

use api::{SimDuration, SimTime};
use reports::{Run, inspect};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::results::Results;

/// Show the objects of a finished run as kubectl would have shown them at some time.
#[derive(clap::Args)]
pub(crate) struct Get {
    /// What: pods, nodes, events, deployments, replicasets, hpa or services.
    kind: String,
    #[command(flatten)]
    moment: Moment,
    /// table or wide.
    #[arg(short, long, default_value = "table", value_parser = ["table", "wide"])]
    output: String,
}

/// Which run, and when.
#[derive(clap::Args)]
pub(crate) struct Moment {
    /// The results directory, such as out/black-friday-40x or out/black-friday-40x/seed-3.
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The seed of the run; the first one by default.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Simulated time, such as 90s, 2m or 1h30m; the end of the run by default.
    #[arg(long, value_name = "TIME")]
    at: Option<SimDuration>,
}

impl Moment {
    /// The trace, and the instant.
    pub(crate) fn open(&self) -> Result<(trace::Trace, SimTime), CliError> {
        let results = Results::open(self.run.as_deref(), self.seed)?;
        let trace = results.trace(results.job()?)?;
        let end = SimTime::ZERO + trace.header.duration;
        let at = self.at.map_or(end, |at| SimTime::ZERO + at);
        if at > end {
            return Err(CliError::asked(format!("{at} is after the end of the run at {end}"), "choose an earlier time with `--at`"));
        }
        Ok((trace, at))
    }
}

/// Nothing of that name, or no such kind.
pub(crate) fn not_found(error: &inspect::InspectError) -> CliError {
    CliError::Asked { exit: Exit::Nothing, message: error.to_string(), help: None }
}

impl Get {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let (trace, at) = self.moment.open()?;
        let table = inspect::get(&Run::new(&trace), &self.kind, at, self.output == "wide").map_err(|error| not_found(&error))?;
        let lines = table.lines("", 3);
        if lines.len() < 2 {
            io.say(&format!("no {} at {at}", self.kind));
            return Ok(Exit::Success);
        }
        io.answer(&(lines.join("\n") + "\n"))?;
        Ok(Exit::Success)
    }
}
