//! `wavetank why`: the story of one object, up to an instant.

use reports::render::ExplanationOptions;
use reports::{Run, inspect};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::rerun;
use crate::verbs::get::{Moment, not_found};

/// Explain why an object is as it is: pending, placed, evicted, restarted, scaled.
///
/// What the scheduler thought of every node is more than a trace holds: for a pod, the run is repeated up to its last
/// decisions, from the files it was made of.
#[derive(clap::Args)]
pub(crate) struct Why {
    /// The object: pod/NAME, node/NAME, service/NAME or deployment/NAME; with its namespace when the name is not unique.
    object: String,
    #[command(flatten)]
    moment: Moment,
    /// Every node, instead of the best and the nearest ones.
    #[arg(long)]
    all: bool,
    /// Answer from the trace alone, without repeating the run.
    #[arg(long)]
    trace_only: bool,
}

impl Why {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let (mut results, mut trace, at) = self.moment.open()?;
        let wanted = inspect::decisions(&Run::new(&trace), &self.object, at).map_err(|error| not_found(&error))?;
        if let Some(wanted) = wanted.filter(|_| !self.trace_only) {
            let job = results.job()?.clone();
            rerun::explain(&mut results, &job, &mut trace, &wanted, io)?;
        }
        let options = ExplanationOptions { all: self.all, ..Default::default() };
        let story = inspect::why(&Run::new(&trace), &self.object, at, options).map_err(|error| not_found(&error))?;
        io.answer(&story)?;
        Ok(Exit::Success)
    }
}
