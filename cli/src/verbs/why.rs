//! `wavetank why`: the story of one object, up to an instant.

use reports::{Run, inspect};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::verbs::get::{Moment, not_found};

/// Explain why an object is as it is: pending, placed, evicted, restarted, scaled.
#[derive(clap::Args)]
pub(crate) struct Why {
    /// The object: pod/NAME, node/NAME or deployment/NAME; with its namespace when the name is not unique.
    object: String,
    #[command(flatten)]
    moment: Moment,
}

impl Why {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let (trace, at) = self.moment.open()?;
        let story = inspect::why(&Run::new(&trace), &self.object, at).map_err(|error| not_found(&error))?;
        io.answer(&story)?;
        Ok(Exit::Success)
    }
}
