//! `wavetank completion`: a script for a shell.

use clap_complete::Shell;

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;

/// Print a completion script for a shell.
///
/// bash: `source <(wavetank completion bash)`, zsh: `wavetank completion zsh > ~/.zfunc/_wavetank`.
#[derive(clap::Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, io: &Io, command: &mut clap::Command) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "wavetank", &mut script);
        io.answer(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}
