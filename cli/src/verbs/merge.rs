//! `wavetank merge`: puts the parts of a work together, as if it had been done in one place.

use std::path::PathBuf;

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::merge;
use crate::verbs::findings::{Answer, conclude};

/// Put the parts of a comparison or a sweep together.
#[derive(clap::Args)]
pub(crate) struct Merge {
    /// The parts: directories that `--shard` runs wrote.
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    /// Where the whole goes.
    #[arg(long, default_value = "out/merged", value_name = "DIR")]
    out: PathBuf,
    /// Make do with what there is.
    #[arg(long)]
    allow_missing: bool,
    /// Do not write the page.
    #[arg(long)]
    no_report: bool,
    /// The form of the answer on stdout.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json", "csv"])]
    output: String,
}

impl Merge {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let parts = merge::find(&self.parts, "give the `--out` directories of the parts")?;
        let (store, manifest) = merge::merge(&parts, &self.out, self.allow_missing)?;
        conclude(&store, &manifest, &Answer { output: &self.output, wall: None, page: !self.no_report }, io)
    }
}
