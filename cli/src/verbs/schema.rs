//! `wavetank schema`: the format for editors.

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;

/// Print the format of scenarios as a JSON Schema: fields with their meanings, as editors complete and check them.
///
/// `wavetank schema > wavetank.schema.json`, and in a scenario's first line
/// `# yaml-language-server: $schema=./wavetank.schema.json`.
#[derive(clap::Args)]
pub(crate) struct Schema {
    /// Of which kind of file.
    #[arg(value_enum, default_value = "scenario")]
    kind: SchemaKind,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SchemaKind {
    /// `kind: Scenario`.
    Scenario,
    /// `kind: Comparison`.
    Comparison,
}

impl Schema {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        io.answer(&format!("{:#}\n", scenarios::schema(self.kind == SchemaKind::Comparison)))?;
        Ok(Exit::Success)
    }
}
