//! `wavetank run`: scenario in, verdict out.

use std::path::{Path, PathBuf};

use api::SimDuration;
use reports::{Measures, Outcome, Verdict, judge, render};

use crate::error::CliError;
use crate::exit::Exit;
use crate::experiment::{self, Done, Plan};
use crate::files::{self, LoadOptions, Policy};
use crate::io::Io;
use crate::progress::{Progress, now};
use crate::results::{Draft, Manifest, SCHEMA_VERSION};

/// Run a scenario and check its expectations.
#[derive(clap::Args)]
pub(crate) struct Run {
    /// Shipped scenarios by name (`wavetank list scenarios`), or files.
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// The scheduling policy: a built-in name (`wavetank list policies`) or a KubeSchedulerConfiguration file.
    #[arg(short, long, value_name = "NAME|FILE")]
    policy: Option<String>,
    /// One seed, instead of the scenario's.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from..to, both included, instead of the scenario's.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<SeedRange>,
    /// Change a value of the scenario: a dotted path, `=`, and YAML (may be repeated).
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Stop at this simulated time.
    #[arg(long, value_name = "TIME")]
    until: Option<SimDuration>,
    /// Where results go; each scenario gets a directory of its name in it.
    #[arg(long, default_value = "out", value_name = "DIR")]
    out: PathBuf,
    /// Do not write the page.
    #[arg(long)]
    no_report: bool,
    /// Runs at a time; all cores by default.
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    jobs: usize,
    /// The form of the answer on stdout.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    output: String,
    /// Refuse what is only accepted and not simulated.
    #[arg(long)]
    strict: bool,
    /// Do not warn of these rules (WT0411, …).
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// Say what would be run, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Stop a run after so many events, keeping what there is (exit code 8).
    #[arg(long, value_name = "N")]
    max_events: Option<u64>,
    /// Exit with 0 even when expectations fail.
    #[arg(long)]
    exit_zero: bool,
}

/// `A..B`, both included.
#[derive(Clone)]
struct SeedRange(std::ops::RangeInclusive<u64>);

fn parse_seeds(text: &str) -> Result<SeedRange, String> {
    let parsed =
        text.split_once("..").and_then(|(from, to)| Some(from.trim().parse().ok()?..=to.trim_start_matches('=').trim().parse().ok()?));
    match parsed {
        Some(range) if !range.is_empty() => Ok(SeedRange(range)),
        _ => Err(format!("`{text}` is not a range of seeds; write it as `1..30`")),
    }
}

impl Run {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let mut worst = Exit::Success;
        for name in &self.scenarios {
            let exit = self.run_one(name, io)?;
            if rank(exit) < rank(worst) {
                worst = exit;
            }
        }
        Ok(if self.exit_zero && worst == Exit::Expectations { Exit::Success } else { worst })
    }

    fn run_one(&self, name: &str, io: &Io) -> Result<Exit, CliError> {
        let until = self.until.map(|until| until.to_string());
        let options = LoadOptions { set: &self.set, until: until.as_deref(), strict: self.strict, allow: &self.allow };
        let scenario = files::load(name, &options, io)?;
        let seeds: Vec<u64> = match (&self.seed, &self.seeds) {
            (Some(seed), _) => vec![*seed],
            (None, Some(range)) => range.0.clone().collect(),
            (None, None) => scenario.seeds.clone(),
        };
        let policy = match &self.policy {
            Some(name) => Policy::named(name, io)?,
            None => Policy::of(&scenario, io)?,
        };
        if self.dry_run {
            let plan = format!(
                "{}: policy {}, {} runs (seeds {seeds:?}), {} each\n",
                scenario.name,
                policy.name(),
                seeds.len(),
                scenario.world.duration
            );
            io.answer(&plan)?;
            return Ok(Exit::Success);
        }
        let started = now();
        let plan = Plan { scenario: &scenario, policy: &policy, seeds: &seeds, threads: self.jobs, max_events: self.max_events };
        let done = experiment::run(&plan, &Progress::new(io, seeds.len(), scenario.world.duration))?;
        let wall = started.elapsed();

        let measures: Vec<Measures> = done.iter().map(|done| done.measures.clone()).collect();
        let verdict = judge(&measures);
        let place = self.out.join(&scenario.name);
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            wavetank_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.name.clone(),
            source: name.to_owned(),
            set: self.set.clone(),
            policy_override: self.policy.clone(),
            until,
            scenario_digest: scenario.digest.clone(),
            policy: policy.name().to_owned(),
            jobs: done.iter().map(|done| done.job.clone()).collect(),
        };
        self.write(&place, &manifest, &done, &measures, &verdict, wall)?;
        self.answer(io, &place, &measures, &verdict, wall)?;
        for done in &done {
            if let Some(reason) = &done.stopped {
                io.complain(&format!("warning: seed {} stopped early: {reason}", done.job.seed));
            }
        }
        Ok(exit(&done, &verdict))
    }

    fn write(
        &self,
        place: &Path,
        manifest: &Manifest,
        done: &[Done],
        measures: &[Measures],
        verdict: &Verdict,
        wall: std::time::Duration,
    ) -> Result<(), CliError> {
        let draft = Draft::begin(place)?;
        draft.write_json("manifest.json", manifest)?;
        for done in done {
            draft.write(&format!("jobs/{}.json", done.job.id), render::job(&done.job.id, &done.job.trace_digest, &done.measures))?;
            draft.write(&format!("traces/{}.jsonl.gz", done.job.id), &done.file)?;
        }
        draft.write("metrics.csv", render::metrics_csv(done.iter().map(|done| (done.job.id.as_str(), &done.measures))))?;
        draft.write("verdict.json", render::document(measures, verdict))?;
        if !self.no_report {
            let traces: Vec<&trace::Trace> = done.iter().map(|done| &done.trace).collect();
            draft.write("report.html", render::page(&traces, measures, verdict))?;
        }
        let threads = if self.jobs == 0 { rayon::current_num_threads() } else { self.jobs };
        draft.write_json("run.meta.json", &serde_json::json!({ "wallSeconds": wall.as_secs_f64(), "threads": threads }))?;
        draft.finish()
    }

    fn answer(&self, io: &Io, place: &Path, measures: &[Measures], verdict: &Verdict, wall: std::time::Duration) -> Result<(), CliError> {
        if self.output == "json" {
            return Ok(io.answer(&render::document(measures, verdict))?);
        }
        let report = (!self.no_report).then(|| place.join("report.html").display().to_string());
        let wall = format!("{:.1} s", wall.as_secs_f64());
        let options = render::TextOptions { colour: io.color_on_stdout(), utf8: utf8(), wall: Some(&wall), report: report.as_deref() };
        Ok(io.answer(&render::text(measures, verdict, &options))?)
    }
}

/// Whether the terminal says it shows more than ASCII; without a word, it does.
fn utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
    locale.is_none_or(|locale| locale.to_string_lossy().to_ascii_lowercase().replace('-', "").contains("utf8"))
}

fn exit(done: &[Done], verdict: &Verdict) -> Exit {
    if done.iter().any(|done| done.stopped.is_some()) {
        Exit::Limit
    } else if verdict.passed || verdict.outcome == Outcome::Pass {
        Exit::Success
    } else {
        Exit::Expectations
    }
}

/// Which of several exit codes is returned: the first in this order.
fn rank(exit: Exit) -> usize {
    [Exit::Unexpected, Exit::Invalid, Exit::Limit, Exit::Expectations].iter().position(|other| *other == exit).unwrap_or(usize::MAX)
}
