//! What a pipeline takes with it: a JUnit file, a Markdown summary, annotations. Flags say where; the profile of
//! wavetank.toml says it for flags that are not given.
//!
//! Not here: what these documents say (`reports::render`).

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use reports::gate::{Tested, Timeline};
use reports::render;
use trace::Trace;

use crate::config::{Annotations, GITHUB};
use crate::error::CliError;
use crate::files;
use crate::io::Io;

/// Flags of outputs for pipelines.
#[derive(clap::Args)]
pub(crate) struct OutputArgs {
    /// Write a JUnit file: a suite per scenario, a case per expectation.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a summary in Markdown; `github` adds it to the summary of the step that this runs in.
    #[arg(long, value_name = "FILE|github")]
    summary: Option<PathBuf>,
    /// Annotate lines of scenarios in a pull request (on stderr, where GitHub Actions looks for it, too).
    #[arg(long, value_name = "WHERE")]
    annotations: Option<Annotations>,
}

impl OutputArgs {
    fn summary<'a>(&'a self, io: &'a Io) -> Option<&'a Path> {
        self.summary.as_ref().or(io.profile.summary.as_ref()).map(PathBuf::as_path)
    }

    /// The picture for the summary, where one is written: of the seed that speaks for all.
    pub(crate) fn timeline<'t>(
        &self,
        tested: &Tested,
        trace: impl FnOnce(u64) -> Option<std::borrow::Cow<'t, Trace>>,
        io: &Io,
    ) -> Option<Timeline> {
        self.summary(io)?;
        Timeline::of(&*trace(tested.verdict.worst_seed?)?)
    }

    /// Writes what is wanted of it.
    pub(crate) fn write(&self, all: &mut [Tested], io: &Io) -> Result<(), CliError> {
        if let Some(path) = self.junit.as_ref().or(io.profile.junit.as_ref()) {
            write(path, &render::junit(all))?;
        }
        if let Some(path) = self.summary(io) {
            let text = render::summary(all);
            if path.as_os_str() == GITHUB { add_to_step(&text, io)? } else { write(path, &text)? }
        }
        if self.annotations.or(io.profile.annotations).is_some() {
            for tested in &mut *all {
                tested.lines = files::expectation_lines(&tested.source, tested.verdict.expectations.len());
            }
            let text = render::github_annotations(&render::tested_annotations(all));
            if !text.is_empty() {
                io.complain(&text);
            }
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| CliError::file("make", folder, error))?;
    }
    fs::write(path, text).map_err(|error| CliError::file("write", path, error))
}

/// GitHub shows what is appended to the file that it names.
fn add_to_step(text: &str, io: &Io) -> Result<(), CliError> {
    let Some(path) = crate::io::variable("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        io.say("note: no summary is written: GITHUB_STEP_SUMMARY is not set, so this is no step of GitHub Actions");
        return Ok(());
    };
    let path = Path::new(&path);
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| CliError::file("write", path, error))
}
