//! What `compare`, `sweep` and `merge` have in common: the flags of a work, and how it is done and stored.

use std::path::PathBuf;

use api::SimDuration;
use reports::search::Searched;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files::{self, LoadOptions, Policy, Prepared};
use crate::io::Io;
use crate::jobs::decisions;
use crate::jobs::pool::{self, How};
use crate::jobs::store::Store;
use crate::jobs::{AboutPoint, Judging, Kind, Manifest, Point, SCHEMA_VERSION, emit, jobs_of, shard};
use crate::progress::now;
use crate::verbs::findings::{Answer, conclude};
use crate::verbs::run::{SeedRange, parse_seeds};

/// Flags of a work.
#[derive(clap::Args)]
pub(crate) struct WorkArgs {
    /// A policy (may be repeated; the first is what others are measured against); the scenario's by default.
    #[arg(short, long = "policy", value_name = "NAME[:KEY=VALUE,…]|FILE")]
    pub(crate) policies: Vec<String>,
    /// Seeds from..to, both included, instead of the scenario's.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub(crate) seeds: Option<SeedRange>,
    /// Seeds that a comparison file asks for; flags go before them.
    #[arg(skip)]
    pub(crate) own_seeds: Vec<u64>,
    /// As many seeds, from 1 on.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) reps: Option<u64>,
    /// Change a value of the scenario for every point: a dotted path, `=`, and YAML (may be repeated).
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Stop at this simulated time, before the scenario's own end.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<SimDuration>,
    /// Where results go; the work gets a directory of its name in it.
    #[arg(long, default_value = "out", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Runs at a time; all cores by default.
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    pub(crate) jobs: usize,
    /// Use results that are there already, of this or an earlier work.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Do one part of the work: `3/16`, or `auto` inside a batch system; `wavetank merge` puts parts together.
    #[arg(long, value_name = "I/N|auto")]
    pub(crate) shard: Option<String>,
    /// How jobs fall to parts: in turn, or by their ids (a job stays in its part when others come or go).
    #[arg(long, default_value = "slice", value_parser = ["slice", "hash"], value_name = "HOW")]
    pub(crate) shard_by: String,
    /// Print what a batch system needs to do this work, and stop: an Indexed Job of Kubernetes.
    #[arg(long, value_parser = ["k8s-job"], value_name = "WHAT", conflicts_with = "shard")]
    pub(crate) emit: Option<String>,
    /// How many parts `--emit` makes of it; 8 by default, at most one per job.
    #[arg(long, value_name = "N", requires = "emit")]
    pub(crate) parts: Option<usize>,
    /// Keep the record of every run: `full`; or only what was measured: `none`.
    #[arg(long, default_value = "none", value_parser = ["none", "full"], value_name = "WHAT")]
    pub(crate) trace: String,
    /// Do not write the page.
    #[arg(long)]
    pub(crate) no_report: bool,
    /// The form of the answer on stdout.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json", "csv"])]
    pub(crate) output: String,
    /// Refuse what is only accepted and not simulated.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Do not warn of these rules (WT0411, …).
    #[arg(long, value_name = "CODE")]
    pub(crate) allow: Vec<String>,
    /// Say what would be run, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// As many parts as `--emit` makes of a work, unless told.
const PARTS: usize = 8;

/// What is asked of a work.
pub(crate) struct Asked<'a> {
    pub(crate) kind: Kind,
    /// A shipped scenario's name, or a path.
    pub(crate) source: &'a str,
    /// What the other points are measured against.
    pub(crate) reference: String,
    pub(crate) judging: Judging,
    pub(crate) search: Option<Searched>,
    /// `--param` of a sweep, and its `--lhs`.
    pub(crate) parameters: Vec<String>,
    pub(crate) lhs: Option<usize>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(kind: Kind, source: &'a str, judging: Judging) -> Self {
        Self { kind, source, reference: String::new(), judging, search: None, parameters: Vec::new(), lhs: None }
    }
}

/// A point before it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    /// `None` takes the scenario's.
    pub(crate) policy: Option<String>,
    pub(crate) set: Vec<String>,
    pub(crate) parameters: std::collections::BTreeMap<String, String>,
}

/// A work that has been done, as far as it was asked for here.
pub(crate) struct Done {
    pub(crate) store: Store,
    pub(crate) manifest: Manifest,
    pub(crate) wall: std::time::Duration,
    /// Only a part of the work is here: there is nothing to judge yet.
    pub(crate) is_part: bool,
}

impl WorkArgs {
    /// Reads every point. Warnings are told once, with the first.
    pub(crate) fn points(&self, source: &str, drafts: &[Draft], io: &Io) -> Result<Vec<Point>, CliError> {
        let hushed = io.hushed();
        let read = |(index, draft): (usize, &Draft)| {
            let io = if index == 0 { io } else { &hushed };
            let set: Vec<String> = self.set.iter().chain(&draft.set).cloned().collect();
            let options = LoadOptions { set: &set, until: self.until, strict: self.strict, allow: &self.allow, ..Default::default() };
            let scenario = files::load(source, &options, io)?;
            let policy = match &draft.policy {
                Some(name) => Policy::named(name, io)?,
                None => Policy::of(&scenario, io)?,
            };
            let about = AboutPoint {
                name: draft.name.clone(),
                policy_source: draft.policy.clone().unwrap_or_default(),
                policy: policy.name().to_owned(),
                set,
                parameters: draft.parameters.clone(),
                scenario_digest: scenario.digest.clone(),
            };
            Ok(Point { about, prepared: Prepared { scenario, policy } })
        };
        drafts.iter().enumerate().map(read).collect()
    }

    /// The seeds asked for, else the scenario's.
    pub(crate) fn seeds(&self, point: &Point) -> Vec<u64> {
        match (&self.seeds, self.reps) {
            (Some(range), _) => range.0.clone().collect(),
            (None, Some(count)) => (1..=count.max(1)).collect(),
            (None, None) if !self.own_seeds.is_empty() => self.own_seeds.clone(),
            (None, None) => point.prepared.scenario.seeds.clone(),
        }
    }

    /// All of it: reads the points, does what is asked for here, and answers.
    pub(crate) fn carry_out(&self, drafts: &[Draft], asked: Asked<'_>, io: &Io) -> Result<Exit, CliError> {
        let points = self.points(asked.source, drafts, io)?;
        let manifest = self.manifest(asked, &points, io)?;
        if self.dry_run {
            return self.tell(&points, &manifest, io);
        }
        if self.emit.is_some() {
            return self.emit(drafts, &manifest, io);
        }
        let done = self.work(&points, manifest, io)?;
        if done.is_part {
            return self.tell_part(&done, io);
        }
        let wall = format!("{:.1} s", done.wall.as_secs_f64());
        conclude(&done.store, &done.manifest, &Answer { output: &self.output, wall: Some(&wall), page: !self.no_report }, io)
    }

    /// Prints what another engine needs to do this work.
    fn emit(&self, drafts: &[Draft], manifest: &Manifest, io: &Io) -> Result<Exit, CliError> {
        let jobs = shard::select(&manifest.jobs, None).len();
        let words = emit::words(std::env::args());
        let policies = drafts.iter().filter_map(|draft| draft.policy.as_deref());
        // A comparison file is among the words only.
        let files = emit::files(&manifest.source, &self.set, policies.chain(words.iter().map(String::as_str)))?;
        let parts = self.parts.unwrap_or(PARTS).clamp(1, jobs.max(1));
        io.answer(&emit::k8s_job(manifest, parts, &words, &files))?;
        Ok(Exit::Success)
    }

    /// What is to be done.
    pub(crate) fn manifest(&self, asked: Asked<'_>, points: &[Point], io: &Io) -> Result<Manifest, CliError> {
        let first =
            points.first().ok_or_else(|| CliError::Asked { exit: Exit::Nothing, message: "there is nothing to run".into(), help: None })?;
        let shard = match &self.shard {
            Some(text) => {
                let (part, from) = shard::parse(text, self.shard_by == "hash", &crate::io::variable)?;
                if !from.is_empty() {
                    io.say(&format!("part {} of {} ({from})", part.index, part.count));
                }
                Some(part)
            }
            None => None,
        };
        Ok(Manifest {
            schema_version: SCHEMA_VERSION,
            wavetank_version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: asked.kind,
            scenario: first.prepared.scenario.name.clone(),
            source: asked.source.to_owned(),
            until: self.until.map(|until| until.to_string()),
            reference: asked.reference,
            judging: asked.judging,
            asked: asked.parameters,
            lhs: asked.lhs,
            search: asked.search,
            points: points.iter().map(|point| point.about.clone()).collect(),
            jobs: jobs_of(points, &self.seeds(first)),
            shard,
        })
    }

    /// Tells what would be done.
    pub(crate) fn tell(&self, points: &[Point], manifest: &Manifest, io: &Io) -> Result<Exit, CliError> {
        let (mine, all) = (shard::select(&manifest.jobs, manifest.shard), shard::select(&manifest.jobs, None));
        if self.output == "json" {
            io.answer(&format!("{:#}\n", serde_json::json!({ "dryRun": true, "runs": mine.len(), "manifest": manifest })))?;
            return Ok(Exit::Success);
        }
        let duration = points.first().map(|point| point.prepared.scenario.world.duration).unwrap_or_default();
        let part = if mine.len() == all.len() { String::new() } else { format!(" of {}", all.len()) };
        let seeds = manifest.seeds().len();
        io.answer(&format!("{}: {} points, {seeds} seeds, {}{part} runs of {duration}\n", manifest.scenario, points.len(), mine.len()))?;
        for point in &manifest.points {
            let set = if point.set.is_empty() { String::new() } else { format!("  {}", point.set.join(" ")) };
            io.answer(&format!("  {}  policy {}{set}\n", point.name, point.policy))?;
        }
        Ok(Exit::Success)
    }

    /// Does the work and stores it.
    pub(crate) fn work(&self, points: &[Point], manifest: Manifest, io: &Io) -> Result<Done, CliError> {
        let started = now();
        let store = Store::open(&self.place(&manifest), &manifest, self.resume)?;
        self.fill(points, &manifest, &store, io)?;
        let wall = started.elapsed();
        self.write_meta(&store, wall)?;
        let is_part = manifest.shard.is_some();
        Ok(Done { store, manifest, wall, is_part })
    }

    /// Where a work goes.
    pub(crate) fn place(&self, manifest: &Manifest) -> PathBuf {
        self.out.join(format!("{}-{}", manifest.kind.as_str(), manifest.scenario))
    }

    /// Does the jobs that are to be done here and are not there yet.
    pub(crate) fn fill(&self, points: &[Point], manifest: &Manifest, store: &Store, io: &Io) -> Result<(), CliError> {
        let mine = shard::select(&manifest.jobs, manifest.shard);
        let missing = store.missing(&mine);
        if self.resume && missing.len() < mine.len() {
            io.say(&format!("{} of {} jobs are there already", mine.len() - missing.len(), mine.len()));
        } else if !self.resume && missing.len() > 1 {
            io.say(&format!("{} jobs, kept in {}: after an interruption, `--resume` goes on", missing.len(), store.place.display()));
        }
        let decisions_of = (manifest.kind == Kind::Comparison).then(|| decisions::seed(manifest)).flatten();
        let how = How { threads: self.jobs, traces: self.trace == "full", decisions_of };
        let heard = pool::work(points, &missing, store, how, io)?;
        if decisions_of.is_some() {
            decisions::look(points, manifest, store, heard, self.jobs, io)?;
        }
        Ok(())
    }

    /// Writes the only file that may differ between equal works.
    pub(crate) fn write_meta(&self, store: &Store, wall: std::time::Duration) -> Result<(), CliError> {
        let threads = if self.jobs == 0 { rayon::current_num_threads() } else { self.jobs };
        let directory = std::env::current_dir().ok();
        store.write_json(
            "run.meta.json",
            &serde_json::json!({ "wallSeconds": wall.as_secs_f64(), "threads": threads, "directory": directory }),
        )
    }

    /// What a part says when it is done.
    pub(crate) fn tell_part(&self, done: &Done, io: &Io) -> Result<Exit, CliError> {
        done.store.finish(&done.manifest, &[])?;
        let mine = shard::select(&done.manifest.jobs, done.manifest.shard).len();
        io.answer(&format!("{mine} jobs in {}; put the parts together with `wavetank merge`\n", done.store.place.display()))?;
        Ok(Exit::Success)
    }
}
