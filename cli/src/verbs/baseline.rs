//! `wavetank baseline`: what results are held against, kept in a file beside the scenarios.

use std::fs;
use std::path::{Path, PathBuf};

use reports::gate::{Against, Entry, Tested};
use reports::{gate, render};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::verbs::check::{read_baseline, stored};
use crate::verbs::compare::margin;

/// Keep results as the baseline of a pipeline: save, show, diff and accept.
#[derive(clap::Args)]
pub(crate) struct Baseline {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a baseline of results.
    Save(Save),
    /// Show what is in a baseline.
    Show(Show),
    /// Show where results differ from a baseline (exit code 6), for better or worse.
    Diff(Changed),
    /// Take results into a baseline in place of what it has of their scenarios; margins stay.
    Accept(Changed),
}

#[derive(clap::Args)]
struct Save {
    /// Results directories, or directories of them; out by default.
    results: Vec<PathBuf>,
    /// The file to be made; by default the profile's.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A difference of a metric that does not matter, instead of 0.1 percentage points of a share and 1% of anything
    /// else: `latency.p99=5ms`, `cost.total=2%` (may be repeated).
    #[arg(long = "margin", value_name = "METRIC=VALUE")]
    margins: Vec<String>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
struct Show {
    /// The file; by default the profile's.
    baseline: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Changed {
    /// Results directories, or directories of them; out by default.
    results: Vec<PathBuf>,
    /// The file; by default the profile's.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

impl Baseline {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        match self.action {
            Action::Save(save) => save.run(io),
            Action::Show(show) => show.run(io),
            Action::Diff(changed) => changed.diff(io),
            Action::Accept(changed) => changed.accept(io),
        }
    }
}

/// The file that is meant.
fn file(given: Option<&PathBuf>, flag: &str, io: &Io) -> Result<PathBuf, CliError> {
    given.or(io.profile.baseline.as_ref()).cloned().ok_or_else(|| CliError::Asked {
        exit: Exit::Usage,
        message: "which baseline?".into(),
        help: Some(format!("name it with `{flag}`, or as `baseline = \"FILE\"` in a profile of wavetank.toml")),
    })
}

fn write(path: &Path, baseline: &gate::Baseline) -> Result<(), CliError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| CliError::file("make", folder, error))?;
    }
    fs::write(path, baseline.text()).map_err(|error| CliError::file("write", path, error))
}

/// Entries of all results. What was cut short is none: nothing could be held against it.
fn entries(results: &[PathBuf], io: &Io) -> Result<Vec<Entry>, CliError> {
    let mut entries = Vec::new();
    for stored in stored(results, io)? {
        let tested = stored.tested(None);
        if let Some((seed, why)) = tested.stopped.first() {
            return Err(CliError::asked(
                format!("{}: seed {seed} was stopped early: {why}", tested.title()),
                "run it to its end before it becomes a baseline",
            ));
        }
        if !tested.verdict.passed {
            io.say(&format!("warning: {}: not all expectations hold; it becomes the baseline all the same", tested.title()));
        }
        entries.extend(stored.entry());
    }
    Ok(entries)
}

impl Save {
    fn run(self, io: &Io) -> Result<Exit, CliError> {
        let path = file(self.output.as_ref(), "--output FILE", io)?;
        if path.exists() && !self.force {
            return Err(CliError::asked(
                format!("`{}` is there already", path.display()),
                "`wavetank baseline accept` takes results into it; `--force` replaces it",
            ));
        }
        let margins = self.margins.iter().map(|text| margin(text)).collect::<Result<Vec<_>, _>>()?;
        let mut entries = entries(&self.results, io)?;
        for (metric, margin) in &margins {
            entries.iter_mut().for_each(|entry| entry.set_margin(metric, *margin));
        }
        let baseline = gate::Baseline::new(entries);
        write(&path, &baseline)?;
        io.answer(&format!("{}: {}\n", path.display(), contents(&baseline)))?;
        Ok(Exit::Success)
    }
}

/// `3 scenarios, 122 metrics`.
fn contents(baseline: &gate::Baseline) -> String {
    let scenarios = baseline.entries.len();
    let metrics: usize = baseline.entries.iter().map(|entry| entry.metrics.len()).sum();
    format!("{scenarios} scenario{}, {metrics} metrics", if scenarios == 1 { "" } else { "s" })
}

impl Show {
    fn run(self, io: &Io) -> Result<Exit, CliError> {
        let baseline = read_baseline(&file(self.baseline.as_ref(), "wavetank baseline show FILE", io)?)?;
        io.answer(&render::baseline_text(&baseline))?;
        Ok(Exit::Success)
    }
}

impl Changed {
    fn diff(self, io: &Io) -> Result<Exit, CliError> {
        let baseline = read_baseline(&file(self.baseline.as_ref(), "--baseline FILE", io)?)?;
        let all: Vec<Tested> = stored(&self.results, io)?.iter().map(|stored| stored.tested(Some(&baseline))).collect();
        let options = render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), wall: None, report: None };
        io.answer(&render::check_text(&all, &options))?;
        let is_new = |tested: &Tested| tested.against.as_ref().is_none_or(Against::differs);
        Ok(if all.iter().any(is_new) { Exit::Different } else { Exit::Success })
    }

    fn accept(self, io: &Io) -> Result<Exit, CliError> {
        let path = file(self.baseline.as_ref(), "--baseline FILE", io)?;
        let mut baseline = read_baseline(&path)?;
        let before = baseline.text();
        for entry in entries(&self.results, io)? {
            let what = match baseline.entry(&entry.scenario, &entry.policy) {
                None => "new",
                Some(old) if (&old.seeds, &old.trace_digests) == (&entry.seeds, &entry.trace_digests) => "as it was",
                Some(_) => "changed",
            };
            io.answer(&format!("{} (policy {}): {what}\n", entry.scenario, entry.policy))?;
            baseline.accept(entry);
        }
        if baseline.text() != before {
            write(&path, &baseline)?;
        }
        io.answer(&format!("{}: {}\n", path.display(), contents(&baseline)))?;
        Ok(Exit::Success)
    }
}
