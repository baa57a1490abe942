//! `wavetank init`: a scenario of one's own, from a shipped one.

use std::path::PathBuf;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;

/// Make a scenario of your own from a shipped one.
#[derive(clap::Args)]
pub(crate) struct Init {
    /// Its name; the file will be NAME.yaml here.
    #[arg(default_value = "my-scenario")]
    name: String,
    /// The scenario to begin with (`wavetank list templates`).
    #[arg(short, long, default_value = "black-friday-40x")]
    template: String,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let name = self.name.strip_suffix(".yaml").unwrap_or(&self.name);
        let bare = name.rsplit('/').next().unwrap_or(name);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if bare.is_empty() || !bare.chars().all(allowed) || !bare.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(CliError::asked(
                format!("`{bare}` is no name for a scenario"),
                "use lower-case letters, digits, `-` and `.`, beginning with a letter or digit",
            ));
        }
        let text = files::template(&self.template)?;
        let path = PathBuf::from(format!("{name}.yaml"));
        if path.exists() && !self.force {
            return Err(CliError::asked(
                format!("`{}` is there already", path.display()),
                "choose another name, or replace it with `--force`",
            ));
        }
        let renamed = text.replacen(&format!("name: {}", self.template), &format!("name: {bare}"), 1);
        std::fs::write(&path, renamed).map_err(|error| CliError::file("write", &path, error))?;
        io.answer(&format!("{}\n", path.display()))?;
        io.say(&format!("next: edit it, then `wavetank validate {0}` and `wavetank run {0}`", path.display()));
        Ok(Exit::Success)
    }
}
