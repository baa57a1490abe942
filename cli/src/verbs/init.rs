//! `wavetank init`: a scenario of one's own, from a shipped one or from manifests.

use std::path::{Path, PathBuf};

use manifests::Problems;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;

/// Make a scenario of your own, from a shipped one or from your manifests.
#[derive(clap::Args)]
pub(crate) struct Init {
    /// Its name; the file will be NAME.yaml here.
    #[arg(default_value = "my-scenario")]
    name: String,
    /// The scenario to begin with (`wavetank list templates`).
    #[arg(short, long, default_value = "black-friday-40x")]
    template: String,
    /// Begin with these manifests instead: a file, a directory, or a pattern in quotes. Where users come in, who calls whom
    /// and how many nodes it takes is guessed, and marked so.
    #[arg(long, value_name = "PATH", conflicts_with = "template")]
    from: Option<String>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let bare = scenario_name(&self.name)?;
        let path = PathBuf::from(format!("{}.yaml", self.name.trim_end_matches(".yaml")));
        if let Some(error) = taken(&path, self.force) {
            return Err(error);
        }
        let text = match &self.from {
            Some(from) => of_manifests(bare, from, io)?,
            None => files::template(&self.template)?.replacen(&format!("name: {}", self.template), &format!("name: {bare}"), 1),
        };
        write(&path, &text, self.force, io)
    }
}

/// The name of the scenario in `NAME`, `NAME.yaml` or `FOLDER/NAME`.
pub(crate) fn scenario_name(given: &str) -> Result<&str, CliError> {
    let name = given.strip_suffix(".yaml").unwrap_or(given);
    let bare = name.rsplit('/').next().unwrap_or(name);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if bare.is_empty() || !bare.chars().all(allowed) || !bare.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(CliError::asked(
            format!("`{bare}` is no name for a scenario"),
            "use lower-case letters, digits, `-` and `.`, beginning with a letter or digit",
        ));
    }
    Ok(bare)
}

fn taken(path: &Path, force: bool) -> Option<CliError> {
    (path.exists() && !force)
        .then(|| CliError::asked(format!("`{}` is there already", path.display()), "choose another name, or replace it with `--force`"))
}

/// Writes a new scenario, and says how to go on.
pub(crate) fn write(path: &Path, text: &str, force: bool, io: &Io) -> Result<Exit, CliError> {
    if let Some(error) = taken(path, force) {
        return Err(error);
    }
    std::fs::write(path, text).map_err(|error| CliError::file("write", path, error))?;
    io.answer(&format!("{}\n", path.display()))?;
    io.say(&format!("next: edit it, then `wavetank validate {0}` and `wavetank run {0}`", path.display()));
    Ok(Exit::Success)
}

/// A first scenario for manifests; says what was guessed.
fn of_manifests(name: &str, from: &str, io: &Io) -> Result<String, CliError> {
    let mut problems = Problems::default();
    let draft = scenarios::draft(name, from, &scenarios::Disk::default(), &mut problems).map_err(|words| {
        CliError::asked(
            words,
            "give a file, a directory with .yaml, .yml or .json files right in it, or a pattern: `--from 'deploy/*/*.yaml'`",
        )
    })?;
    if problems.has_errors() {
        return Err(CliError::Invalid(problems));
    }
    let Some(draft) = draft else {
        return Err(CliError::asked(
            format!("no manifest in `{from}` makes pods"),
            "give Deployments, StatefulSets, DaemonSets, Jobs or Pods; what a chart makes is printed by `helm template`",
        ));
    };
    draft.said.iter().for_each(|words| io.say(words));
    Ok(draft.text)
}
