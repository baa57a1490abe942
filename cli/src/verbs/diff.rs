//! `wavetank diff`: where two runs part, and what came of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use reports::{Measures, Run, compare, difference, render};
use trace::{Reader, Trace};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::store::Store;
use crate::results::{Results, split_seed};

/// Say where two runs part, and what came of it.
///
/// Names the first record in which they differ with those around it, then pods placed elsewhere, metrics and counts
/// side by side. Exits with 0 when every record is the same, with 6 when not.
#[derive(clap::Args)]
pub(crate) struct Diff {
    /// A results directory, such as out/black-friday-40x or out/black-friday-40x/seed-3; a point of a comparison or a
    /// sweep that kept its traces (`--trace full`), such as out/compare-shop/bin-pack; or a trace file.
    #[arg(value_name = "RUN_A")]
    one: PathBuf,
    /// What it is compared with.
    #[arg(value_name = "RUN_B")]
    other: PathBuf,
    /// The seed of both; by default the first one that both have.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Every row of every table, instead of the first ones.
    #[arg(long)]
    all: bool,
    /// text, or json (one document).
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

impl Diff {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let places = [Place::find(&self.one)?, Place::find(&self.other)?];
        let seed = self.seed.or_else(|| common_seed(&places));
        let [one, other] = places;
        let sides = [one.side(self.seed, seed)?, other.side(self.seed, seed)?];
        let readers = [sides[0].reader()?, sides[1].reader()?];
        let headers = [readers[0].header.clone(), readers[1].header.clone()];
        let [one, other] = readers;
        let failed = |error: trace::ReadError| CliError::asked(format!("a trace cannot be read: {error}"), "run the scenario again");
        let mut difference = difference::of([&headers[0], &headers[1]], one, other).map_err(failed)?;
        for place in 0..sides[0].settings.len().max(sides[1].settings.len()) {
            let of = |side: &Side| side.settings.get(place).cloned().unwrap_or_default();
            let name = sides.iter().find_map(|side| side.settings.get(place)).map_or("", |(name, _)| name);
            difference.setting(name, [of(&sides[0]).1, of(&sides[1]).1]);
        }
        if !difference.is_equal() {
            difference.metrics = compare::pairs(&sides[0].measures()?, &sides[1].measures()?);
        }
        let names = names(&sides, &headers);
        let names = [names[0].as_str(), names[1].as_str()];
        let answer = if self.output == "json" {
            render::difference_document(&difference, names)
        } else {
            let options = render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), ..Default::default() };
            render::difference_text(&difference, names, self.all, &options)
        };
        io.answer(&answer)?;
        Ok(if difference.is_equal() { Exit::Success } else { Exit::Different })
    }
}

/// Where one side's runs are.
enum Place {
    File(PathBuf),
    Results(Box<Results>),
    /// A comparison or a sweep, with the point that is meant.
    Work {
        store: Store,
        manifest: Box<crate::jobs::Manifest>,
        point: usize,
        seed: Option<u64>,
    },
}

/// One run.
struct Side {
    given: String,
    trace: PathBuf,
    /// Where its measures are kept.
    job: Option<PathBuf>,
    /// What it is called where it is one of several.
    point: Option<String>,
    /// What was asked beside what a trace's header says: the same names in the same order for every kind of place.
    settings: Vec<(&'static str, String)>,
}

impl Place {
    fn find(given: &Path) -> Result<Self, CliError> {
        if given.is_file() {
            return Ok(Self::File(given.to_owned()));
        }
        let Some(place) = given.ancestors().find(|place| place.join("manifest.json").is_file()) else {
            return Err(CliError::asked(
                format!("`{}` is no results directory and no trace file", given.display()),
                "name a directory that `run`, `compare` or `sweep` made, or a file of its traces/",
            ));
        };
        let manifest = place.join("manifest.json");
        let text = fs::read_to_string(&manifest).map_err(|error| CliError::file("read", &manifest, error))?;
        let is_work = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|manifest| manifest.get("kind").is_some());
        if !is_work {
            return Results::open(Some(given), None).map(|results| Self::Results(Box::new(results)));
        }
        let (store, manifest) = Store::existing(place)?;
        let (rest, seed) = split_seed(given);
        let point = rest.strip_prefix(place).map(|rest| rest.to_string_lossy().into_owned()).unwrap_or_default();
        let known = || manifest.points.iter().map(|point| point.name.as_str());
        let named = if point.is_empty() { manifest.reference.as_str() } else { point.as_str() };
        // A sweep has no reference: its first point stands for it.
        let Some(place) = known().position(|name| name == named).or((point.is_empty()).then_some(0)) else {
            return Err(CliError::asked(
                format!("`{}` has no point `{point}`", place.display()),
                format!("it has {}", known().collect::<Vec<_>>().join(", ")),
            ));
        };
        Ok(Self::Work { store, manifest: Box::new(manifest), point: place, seed })
    }

    /// Seeds there are; one when the path names it.
    fn seeds(&self) -> Vec<u64> {
        match self {
            Self::File(_) => Vec::new(),
            Self::Results(results) => {
                results.named_seed().map_or_else(|| results.manifest.jobs.iter().map(|job| job.seed).collect(), |seed| vec![seed])
            }
            Self::Work { seed: Some(seed), .. } => vec![*seed],
            Self::Work { manifest, .. } => manifest.seeds(),
        }
    }

    /// The run of a seed: the one asked for, else the one of the path, else `common`, else the first.
    fn side(self, asked: Option<u64>, common: Option<u64>) -> Result<Side, CliError> {
        let seeds = self.seeds();
        let wanted = asked.or(common.filter(|seed| seeds.contains(seed))).or(seeds.first().copied());
        match self {
            Self::File(path) => {
                let trace = path.clone();
                Ok(Side { given: path.display().to_string(), trace, job: None, point: None, settings: Vec::new() })
            }
            Self::Results(mut results) => {
                results.choose(wanted);
                let job = results.job()?;
                let manifest = &results.manifest;
                Ok(Side {
                    given: results.place.display().to_string(),
                    trace: results.trace_path(job),
                    job: Some(results.place.join(format!("jobs/{}.json", job.id))),
                    point: None,
                    settings: settings(&manifest.source, &manifest.set, manifest.until.as_deref()),
                })
            }
            Self::Work { store, manifest, point, .. } => {
                let job = manifest.jobs.iter().find(|job| job.point == point && Some(job.seed) == wanted).ok_or_else(|| {
                    let known: Vec<String> = manifest.seeds().iter().map(u64::to_string).collect();
                    CliError::asked(
                        format!("`{}` has no run of seed {}", store.place.display(), wanted.unwrap_or_default()),
                        format!("it has seeds {}", known.join(", ")),
                    )
                })?;
                let trace = store.place.join(format!("traces/{}.jsonl.gz", job.id));
                if !trace.exists() {
                    return Err(CliError::asked(
                        format!("`{}` kept no trace of seed {}", store.place.display(), job.seed),
                        "run it again with `--trace full`",
                    ));
                }
                let about = &manifest.points[point];
                Ok(Side {
                    given: store.place.display().to_string(),
                    trace,
                    job: Some(store.place.join(format!("jobs/{}.json", job.id))),
                    point: Some(about.name.clone()),
                    settings: settings(&manifest.source, &about.set, manifest.until.as_deref()),
                })
            }
        }
    }
}

fn settings(source: &str, set: &[String], until: Option<&str>) -> Vec<(&'static str, String)> {
    vec![("file", source.to_owned()), ("--set", set.join(" ")), ("--until", until.unwrap_or_default().to_owned())]
}

/// The first seed that both sides have.
fn common_seed(places: &[Place; 2]) -> Option<u64> {
    let others = places[1].seeds();
    places[0].seeds().into_iter().find(|seed| others.contains(seed))
}

impl Side {
    fn reader(&self) -> Result<Reader<File>, CliError> {
        let file = File::open(&self.trace).map_err(|error| CliError::file("open", &self.trace, error))?;
        Reader::new(file).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &trace::ReadError) -> CliError {
        CliError::asked(format!("`{}`: {error}", self.trace.display()), "run the scenario again")
    }

    /// What was measured: as it was kept, else from the trace.
    fn measures(&self) -> Result<Measures, CliError> {
        let kept = self.job.as_ref().and_then(|path| serde_json::from_slice(&fs::read(path).ok()?).ok());
        if let Some(measures) = kept {
            return Ok(measures);
        }
        let file = File::open(&self.trace).map_err(|error| CliError::file("open", &self.trace, error))?;
        let trace = Trace::read(file).map_err(|error| self.unreadable(&error))?;
        Ok(Measures::of(&Run::new(&trace)))
    }
}

/// What the two are called: by the first thing that tells them apart.
fn names(sides: &[Side; 2], headers: &[trace::Header; 2]) -> [String; 2] {
    let each = |of: &dyn Fn(usize) -> String| [of(0), of(1)];
    let candidates = [
        each(&|side| sides[side].point.clone().unwrap_or_else(|| headers[side].policy.to_string())),
        each(&|side| format!("seed {}", headers[side].seed)),
        each(&|side| Path::new(&sides[side].given).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())),
    ];
    candidates.into_iter().find(|[one, other]| one != other).unwrap_or_else(|| ["A".to_owned(), "B".to_owned()])
}
