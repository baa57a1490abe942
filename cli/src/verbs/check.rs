//! `wavetank check`: stored results judged again, and held against a baseline. Nothing is simulated.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use api::Str;
use reports::export::Benchmarked;
use reports::gate::{Baseline, Tested, against};
use reports::{Measures, render};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::merge;
use crate::outputs::OutputArgs;
use crate::results::{Results, is_work};

/// Judge stored results again, and hold them against a baseline: nothing is run.
#[derive(clap::Args)]
pub(crate) struct Check {
    /// Results directories, or directories of them, such as out.
    results: Vec<PathBuf>,
    /// The baseline (`wavetank baseline save` makes one); without it, only expectations are judged.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// The form of the answer on stdout.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    output: String,
    /// Exit with 0 even when expectations fail or something is worse.
    #[arg(long)]
    exit_zero: bool,
}

impl Check {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let baseline = match self.baseline.as_ref().or(io.profile.baseline.as_ref()) {
            Some(path) => Some(read_baseline(path)?),
            None => None,
        };
        let mut all: Vec<Tested> = Vec::new();
        for stored in stored(&self.results, io)? {
            let mut tested = stored.tested(baseline.as_ref());
            tested.timeline = self.outputs.timeline(&tested, |seed| stored.trace(seed).map(Cow::Owned), io);
            all.push(tested);
        }
        if let Some(baseline) = &baseline {
            tell_unmatched(baseline, &all, io)?;
        }
        let exit = all.iter().map(Exit::of).fold(Exit::Success, Exit::or).or_zero(self.exit_zero);
        let options = render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), wall: None, report: None };
        match self.output.as_str() {
            "json" => io.answer(&render::check_document(&all))?,
            _ => io.answer(&render::check_text(&all, &options))?,
        }
        self.outputs.write(&mut all, io)?;
        Ok(exit)
    }
}

/// Says which scenarios are on one side only. A baseline that has none of them, or other seeds, is the wrong one: a gate
/// that compares nothing must not be open.
fn tell_unmatched(baseline: &Baseline, all: &[Tested], io: &Io) -> Result<(), CliError> {
    let here = |entry: &reports::gate::Entry| all.iter().any(|tested| entry.is_of(&tested.scenario, &tested.policy));
    if !baseline.entries.iter().any(here) {
        let known: Vec<String> = baseline.entries.iter().map(|entry| format!("{} ({})", entry.scenario, entry.policy)).collect();
        return Err(CliError::Asked {
            exit: Exit::Nothing,
            message: "the baseline has none of these scenarios".into(),
            help: Some(format!("it has {}; `wavetank baseline accept` adds what is new", known.join(", "))),
        });
    }
    for tested in all {
        let Some(entry) = baseline.entry(&tested.scenario, &tested.policy) else { continue };
        if tested.against.as_ref().is_some_and(|against| against.seeds.is_empty()) {
            let seeds: Vec<String> = entry.seeds.iter().map(u64::to_string).collect();
            return Err(CliError::asked(
                format!("{} has no seed in common with the baseline, so nothing can be compared", tested.title()),
                format!("the baseline has seeds {}; run those, or `wavetank baseline accept` these", seeds.join(", ")),
            ));
        }
    }
    for entry in baseline.entries.iter().filter(|entry| !here(entry)) {
        io.say(&format!("note: {} (policy {}) is in the baseline and not in these results", entry.scenario, entry.policy));
    }
    for tested in all.iter().filter(|tested| tested.against.is_none()) {
        io.say(&format!("note: {} (policy {}) is not in the baseline; `wavetank baseline accept` adds it", tested.scenario, tested.policy));
    }
    Ok(())
}

/// Reads a baseline.
pub(crate) fn read_baseline(path: &Path) -> Result<Baseline, CliError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            return Err(CliError::asked(
                format!("there is no baseline `{path}`"),
                format!("`wavetank baseline save RESULTS -o {path}` makes one"),
            ));
        }
        text => text.map_err(|error| CliError::file("read", path, error))?,
    };
    Baseline::read(&text)
        .map_err(|why| CliError::asked(format!("`{}` is no baseline: {why}", path.display()), "`wavetank baseline save` writes one"))
}

/// Results on disk with everything that was measured.
pub(crate) struct Stored {
    results: Results,
    runs: Vec<Measures>,
}

/// Reads the results in the directories given; `out` when none is.
pub(crate) fn stored(given: &[PathBuf], io: &Io) -> Result<Vec<Stored>, CliError> {
    let given = if given.is_empty() { vec![io.profile.out.clone().unwrap_or_else(|| PathBuf::from("out"))] } else { given.to_vec() };
    let mut all: Vec<Stored> = Vec::new();
    for place in merge::find(&given, "give what `wavetank run` wrote: a results directory, or one that has some, such as out")? {
        if is_work(&place) {
            if given.contains(&place) {
                return Err(CliError::asked(
                    format!("`{}` holds a comparison or a sweep", place.display()),
                    "give what `wavetank run` wrote",
                ));
            }
            io.say(&format!("note: `{}` is passed over: it holds a comparison or a sweep", place.display()));
            continue;
        }
        let results = Results::open(Some(&place), None)?;
        let runs = results.measures()?;
        let of = |stored: &&Stored| stored.key() == (&results.manifest.scenario, &results.manifest.policy);
        if let Some(other) = all.iter().find(of) {
            return Err(CliError::asked(
                format!("`{}` and `{}` are of one scenario and policy", other.results.place.display(), place.display()),
                "give one of them",
            ));
        }
        all.push(Stored { results, runs });
    }
    if all.is_empty() {
        return Err(CliError::Asked { exit: Exit::Nothing, message: "there are no results of `wavetank run` there".into(), help: None });
    }
    Ok(all)
}

impl Stored {
    fn key(&self) -> (&String, &String) {
        (&self.results.manifest.scenario, &self.results.manifest.policy)
    }

    /// The digest of each seed's trace.
    fn digests(&self) -> BTreeMap<u64, Str> {
        self.results.manifest.jobs.iter().map(|job| (job.seed, job.trace_digest.as_str().into())).collect()
    }

    fn trace(&self, seed: u64) -> Option<trace::Trace> {
        let job = self.results.manifest.jobs.iter().find(|job| job.seed == seed)?;
        self.results.trace(job).ok()
    }

    /// Judged, and held against a baseline.
    pub(crate) fn tested(&self, baseline: Option<&Baseline>) -> Tested {
        let manifest = &self.results.manifest;
        let mut tested = Tested::of(&manifest.source, &manifest.scenario, &manifest.policy, self.runs.clone());
        tested.against = baseline
            .and_then(|baseline| baseline.entry(&manifest.scenario, &manifest.policy))
            .map(|entry| against(entry, &self.runs, &self.digests()));
        let page = self.results.place.join("report.html");
        tested.page = page.exists().then(|| page.display().to_string());
        tested
    }

    /// As a benchmark, of all seeds or of one.
    pub(crate) fn benchmarked(&self, seed: Option<u64>) -> Benchmarked {
        let tested = self.tested(None);
        let is_meant = |run: &Measures| seed.is_none_or(|seed| run.seed == seed);
        Benchmarked { title: tested.title(), runs: tested.runs.into_iter().filter(is_meant).collect() }
    }

    /// As an entry of a baseline.
    pub(crate) fn entry(&self) -> Option<reports::gate::Entry> {
        reports::gate::Entry::of(&self.runs, &self.digests())
    }
}
