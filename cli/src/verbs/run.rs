//! `wavetank run`: scenario in, verdict out.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use api::SimDuration;
use reports::gate::Tested;
use reports::{Measures, Verdict, judge, render};
use scenarios::Scenario;

use crate::error::CliError;
use crate::exit::Exit;
use crate::experiment::{self, Done, Plan};
use crate::files::{self, LoadOptions, Policy};
use crate::io::Io;
use crate::outputs::OutputArgs;
use crate::pages;
use crate::progress::{Progress, now};
use crate::results::{Draft, Manifest, SCHEMA_VERSION};

/// Run a scenario and check its expectations.
#[derive(clap::Args)]
pub(crate) struct Run {
    /// Shipped scenarios by name (`wavetank list scenarios`), files, or directories of them.
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Of these scenarios, run those with this text in their names (may be repeated).
    #[arg(short = 'k', long = "filter", value_name = "TEXT")]
    filters: Vec<String>,
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
    /// Stop at this simulated time, before the scenario's own end.
    #[arg(long, value_name = "TIME")]
    until: Option<SimDuration>,
    /// Where results go; each scenario gets a directory of its name in it. `out` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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
    /// Stop a run after so many events of the cluster (requests not counted), keeping what there is (exit code 8).
    #[arg(long, value_name = "N")]
    max_events: Option<u64>,
    /// Stop a run after so much real time, keeping what there is (exit code 8).
    #[arg(long, value_name = "TIME")]
    max_wall: Option<SimDuration>,
    /// Leave the rest out after the first scenario that is not as expected.
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    outputs: OutputArgs,
    /// Exit with 0 even when expectations fail.
    #[arg(long)]
    exit_zero: bool,
}

/// `A..B`, both included.
#[derive(Clone)]
pub(crate) struct SeedRange(pub(crate) std::ops::RangeInclusive<u64>);

/// More seeds than this are a slip.
const MOST_SEEDS: u64 = 100_000;

pub(crate) fn parse_seeds(text: &str) -> Result<SeedRange, String> {
    let parsed =
        text.split_once("..").and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim_start_matches('=').trim().parse().ok()?)));
    match parsed {
        Some((from, to)) if from <= to && to - from < MOST_SEEDS => Ok(SeedRange(from..=to)),
        Some((from, to)) if from <= to => Err(format!("`{text}` are more than {MOST_SEEDS} seeds")),
        _ => Err(format!("`{text}` is not a range of seeds; write it as `1..30`")),
    }
}

/// A scenario ready to be run.
struct Ready<'a> {
    /// A shipped scenario's name, or the path that was given.
    source: &'a str,
    scenario: Scenario,
    policy: Policy,
    seeds: Vec<u64>,
}

/// What came out of one scenario.
struct Outcomes<'a> {
    done: &'a [Done],
    measures: &'a [Measures],
    verdict: &'a Verdict,
    /// The scenario with its defaults.
    resolved: &'a str,
    wall: std::time::Duration,
}

impl Run {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let sources = files::expand(&self.scenarios, false)?;
        let ready: Vec<Ready<'_>> = sources.iter().map(|name| self.prepare(name, io)).collect::<Result<_, _>>()?;
        let ready = self.chosen(ready)?;
        different_names(&ready)?;
        let mut worst = Exit::Success;
        let mut documents: Vec<String> = Vec::new();
        let mut all: Vec<Tested> = Vec::new();
        for ready in &ready {
            if self.dry_run {
                documents.extend(self.tell(ready, io)?);
            } else if self.fail_fast && worst != Exit::Success {
                all.push(Tested::of(ready.source, &ready.scenario.name, ready.policy.name(), Vec::new()));
            } else {
                let (tested, document) = self.run_one(ready, io)?;
                worst = worst.or(Exit::of(&tested));
                documents.extend(document);
                all.push(tested);
            }
        }
        if self.output == "json" {
            io.answer(&one_document(&documents)?)?;
        } else if all.len() > 1 {
            io.answer(&format!("{}\n", render::gate_conclusion(&all)))?;
        }
        if !self.dry_run {
            self.outputs.write(&mut all, io)?;
        }
        Ok(worst.or_zero(self.exit_zero))
    }

    /// Those that `--filter` leaves.
    fn chosen<'a>(&self, ready: Vec<Ready<'a>>) -> Result<Vec<Ready<'a>>, CliError> {
        let names: Vec<String> = ready.iter().map(|ready| ready.scenario.name.clone()).collect();
        let is_chosen = |ready: &Ready<'_>| self.filters.is_empty() || self.filters.iter().any(|text| ready.scenario.name.contains(text));
        let chosen: Vec<Ready<'a>> = ready.into_iter().filter(is_chosen).collect();
        if chosen.is_empty() {
            let filters: Vec<String> = self.filters.iter().map(|text| format!("`{text}`")).collect();
            return Err(CliError::Asked {
                exit: Exit::Nothing,
                message: format!("no scenario has {} in its name", filters.join(" or ")),
                help: Some(format!("there are {}", names.join(", "))),
            });
        }
        Ok(chosen)
    }

    fn prepare<'a>(&self, source: &'a str, io: &Io) -> Result<Ready<'a>, CliError> {
        let options = LoadOptions { set: &self.set, until: self.until, strict: self.strict, allow: &self.allow, ..Default::default() };
        let scenario = files::load(source, &options, io)?;
        let seeds: Vec<u64> = match (&self.seed, &self.seeds) {
            (Some(seed), _) => vec![*seed],
            (None, Some(range)) => range.0.clone().collect(),
            (None, None) => scenario.seeds.clone(),
        };
        let policy = match &self.policy {
            Some(name) => Policy::named(name, io)?,
            None => Policy::of(&scenario, io)?,
        };
        Ok(Ready { source, scenario, policy, seeds })
    }

    /// What would be run: told at once, or given back as a document.
    fn tell(&self, ready: &Ready<'_>, io: &Io) -> Result<Option<String>, CliError> {
        let Ready { scenario, policy, seeds, .. } = ready;
        if self.output == "json" {
            let plan = serde_json::json!({
                "schemaVersion": SCHEMA_VERSION,
                "dryRun": true,
                "scenario": scenario.name,
                "scenarioDigest": scenario.digest,
                "policy": policy.name(),
                "seeds": seeds,
                "durationSeconds": scenario.world.duration.as_secs_f64(),
            });
            return Ok(Some(format!("{plan:#}\n")));
        }
        let runs = if seeds.len() == 1 { "1 run".to_owned() } else { format!("{} runs", seeds.len()) };
        let (name, duration) = (&scenario.name, scenario.world.duration);
        io.answer(&format!("{name}: policy {}, {}, {runs} of {duration}\n", policy.name(), seeds_in_words(seeds)))?;
        Ok(None)
    }

    /// Runs one scenario. Its answer is given at once, or given back as a document.
    fn run_one(&self, ready: &Ready<'_>, io: &Io) -> Result<(Tested, Option<String>), CliError> {
        let Ready { source, scenario, policy, seeds } = ready;
        let started = now();
        let max_wall = self.max_wall.map(|most| std::time::Duration::from_nanos(most.as_nanos()));
        let plan = Plan { threads: self.jobs, max_events: self.max_events, max_wall, ..Plan::of(scenario, policy, seeds) };
        let done = experiment::run(&plan, &Progress::new(io, seeds.len(), scenario.world.duration))?;
        let wall = started.elapsed();

        let measures: Vec<Measures> = done.iter().map(|done| done.measures.clone()).collect();
        let verdict = judge(&measures);
        let out = self.out.as_ref().or(io.profile.out.as_ref()).map_or_else(|| Path::new("out"), PathBuf::as_path);
        let place = out.join(&scenario.name);
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            wavetank_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.name.clone(),
            source: (*source).to_owned(),
            set: self.set.clone(),
            policy_override: self.policy.clone(),
            until: self.until.map(|until| until.to_string()),
            max_events: self.max_events,
            scenario_digest: scenario.digest.clone(),
            policy: policy.name().to_owned(),
            extenders: policy.extenders(),
            jobs: done.iter().map(|done| done.job.clone()).collect(),
        };
        let resolved = scenarios::resolved_yaml(scenario);
        self.write(&place, &manifest, &Outcomes { done: &done, measures: &measures, verdict: &verdict, resolved: &resolved, wall })?;
        let document = self.answer(io, &place, &measures, &verdict, wall)?;
        for done in &done {
            if let Some(reason) = &done.stopped {
                io.complain(&format!("warning: seed {} stopped early: {reason}", done.job.seed));
            }
        }
        let mut tested = Tested::of(source, &scenario.name, policy.name(), measures);
        let trace = |seed| done.iter().find(|done| done.job.seed == seed).map(|done| Cow::Borrowed(&done.trace));
        tested.timeline = self.outputs.timeline(&tested, trace, io);
        tested.page = (!self.no_report).then(|| place.join("report.html").display().to_string());
        Ok((tested, document))
    }

    fn write(&self, place: &Path, manifest: &Manifest, outcomes: &Outcomes<'_>) -> Result<(), CliError> {
        let Outcomes { done, measures, verdict, resolved, wall } = *outcomes;
        let draft = Draft::begin(place)?;
        draft.write_json("manifest.json", manifest)?;
        draft.write("scenario.yaml", resolved)?;
        for done in done {
            draft.write(&format!("jobs/{}.json", done.job.id), render::job(&done.job.id, &done.job.trace_digest, &done.measures))?;
            draft.write(&format!("traces/{}.jsonl.gz", done.job.id), &done.file)?;
        }
        draft.write("metrics.csv", render::metrics_csv(done.iter().map(|done| (done.job.id.as_str(), &done.measures))))?;
        draft.write("verdict.json", render::document(measures, verdict))?;
        let mut page = Ok(None);
        if !self.no_report {
            let traces: Vec<&trace::Trace> = done.iter().map(|done| &done.trace).collect();
            let reproduce = pages::run_command(manifest);
            let options = render::PageOptions { reproduce: Some(&reproduce), scenario: Some(resolved), seed: None };
            page = pages::fitting(render::page(&traces, measures, verdict, &options)).map(Some);
        }
        if let Ok(Some(page)) = &page {
            draft.write("report.html", page)?;
        }
        let threads = if self.jobs == 0 { rayon::current_num_threads() } else { self.jobs };
        let directory = std::env::current_dir().ok();
        let meta = serde_json::json!({ "wallSeconds": wall.as_secs_f64(), "threads": threads, "directory": directory });
        draft.write_json("run.meta.json", &meta)?;
        draft.finish()?;
        page.map(|_| ())
    }

    fn answer(
        &self,
        io: &Io,
        place: &Path,
        measures: &[Measures],
        verdict: &Verdict,
        wall: std::time::Duration,
    ) -> Result<Option<String>, CliError> {
        if self.output == "json" {
            return Ok(Some(render::document(measures, verdict)));
        }
        let report = (!self.no_report).then(|| place.join("report.html").display().to_string());
        let wall = format!("{:.1} s", wall.as_secs_f64());
        let options = render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), wall: Some(&wall), report: report.as_deref() };
        io.answer(&render::text(measures, verdict, &options))?;
        Ok(None)
    }
}

/// A scenario's document as it is; those of several in one.
fn one_document(documents: &[String]) -> Result<String, CliError> {
    if let [only] = documents {
        return Ok(only.clone());
    }
    let parsed: Result<Vec<serde_json::Value>, _> = documents.iter().map(|text| serde_json::from_str(text)).collect();
    let document = serde_json::json!({ "schemaVersion": SCHEMA_VERSION, "scenarios": parsed.map_err(anyhow::Error::new)? });
    Ok(format!("{document:#}\n"))
}

/// Results go to a directory of the scenario's name, so that two of one name would overwrite each other.
fn different_names(ready: &[Ready<'_>]) -> Result<(), CliError> {
    for (index, one) in ready.iter().enumerate() {
        if let Some(other) = ready[..index].iter().find(|other| other.scenario.name == one.scenario.name) {
            return Err(CliError::asked(
                format!("`{}` and `{}` are both called `{}`", other.source, one.source, one.scenario.name),
                "their results would be in one directory; change a `metadata.name`, or run them one by one with `--out DIR`",
            ));
        }
    }
    Ok(())
}

fn seeds_in_words(seeds: &[u64]) -> String {
    match seeds {
        [seed] => format!("seed {seed}"),
        [first, .., last] if seeds.windows(2).all(|pair| pair[1] == pair[0] + 1) => format!("seeds {first}..{last}"),
        _ => format!("seeds {}", seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}
