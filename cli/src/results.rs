//! The results directory: what a run leaves behind, and how later verbs find it again.
//!
//! ```text
//! out/NAME/manifest.json         what was run: enough to run it again
//! out/NAME/scenario.yaml         the scenario with its settings applied and every default filled in
//! out/NAME/jobs/<id>.json        metrics of one job, and the digest of its trace
//! out/NAME/metrics.csv           the same in tidy long form
//! out/NAME/verdict.json          what was expected, and what came
//! out/NAME/traces/<id>.jsonl.gz  the record of one job
//! out/NAME/report.html           the page
//! out/NAME/run.meta.json         wall time, threads, working directory: the only file that may differ between equal runs
//! ```
//!
//! Invariants: a job's id is the digest of what determines it (scenario, policy, seed); everything but
//! `run.meta.json` is deterministic to the byte; a directory appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use reports::Measures;
use serde::{Deserialize, Serialize};
use trace::Trace;

use crate::error::CliError;

/// The version of the directory's JSON files.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// What was run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) wavetank_version: String,
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// A shipped scenario's name, or the path that was given.
    pub(crate) source: String,
    /// `--set` as given.
    pub(crate) set: Vec<String>,
    /// `--policy` as given; `None` takes the scenario's.
    pub(crate) policy_override: Option<String>,
    /// `--until` as given.
    pub(crate) until: Option<String>,
    /// `--max-events` as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_events: Option<u64>,
    /// Digest of the resolved scenario.
    pub(crate) scenario_digest: String,
    pub(crate) policy: String,
    /// URLs of extenders: processes without which the runs cannot be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extenders: Vec<String>,
    pub(crate) jobs: Vec<Job>,
}

/// One run of one seed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) seed: u64,
    /// Digest of the uncompressed trace.
    pub(crate) trace_digest: String,
    pub(crate) events: u64,
    pub(crate) traffic_events: u64,
    /// Stopped by `--max-wall` after that many events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) interrupted: bool,
}

/// A directory under construction; it replaces the one of its name when it is whole.
///
/// Its name is this process's own, so that two commands with one `--out` do not write into each other's.
pub(crate) struct Draft {
    place: PathBuf,
    draft: PathBuf,
}

impl Draft {
    /// Begins the directory that will be called `place`.
    pub(crate) fn begin(place: &Path) -> Result<Self, CliError> {
        let draft = beside(place, "part");
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(|error| CliError::file("clear", &draft, error))?;
        }
        fs::create_dir_all(&draft).map_err(|error| CliError::file("make", &draft, error))?;
        Ok(Self { place: place.to_owned(), draft })
    }

    /// Writes one file into it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), CliError> {
        let path = self.draft.join(name);
        let folder = path.parent().unwrap_or(&self.draft);
        fs::create_dir_all(folder).map_err(|error| CliError::file("make", folder, error))?;
        fs::write(&path, bytes).map_err(|error| CliError::file("write", &path, error))
    }

    /// Writes one document into it.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value).map_err(anyhow::Error::new)?;
        text.push('\n');
        self.write(name, text)
    }

    /// Puts it in place. Only a directory that an earlier run left is replaced; of two runs, the last one stays.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        let mut tries = 0;
        loop {
            self.clear_place()?;
            match fs::rename(&self.draft, &self.place) {
                Ok(()) => return Ok(()),
                // Another command has put its own there in between.
                Err(_) if self.place.exists() && tries < 10 => tries += 1,
                Err(error) => return Err(CliError::file("finish", &self.place, error)),
            }
        }
    }

    /// Takes away what an earlier run left.
    fn clear_place(&self) -> Result<(), CliError> {
        if !self.place.exists() {
            return Ok(());
        }
        let empty = fs::read_dir(&self.place).is_ok_and(|mut entries| entries.next().is_none());
        // Asked again: another command may be replacing it at this moment.
        if !empty && !self.place.join("manifest.json").exists() && self.place.exists() {
            return Err(CliError::asked(
                format!("`{}` exists and is not a results directory", self.place.display()),
                "choose another place with `--out DIR`",
            ));
        }
        let old = beside(&self.place, "old");
        match fs::rename(&self.place, &old) {
            Ok(()) => fs::remove_dir_all(&old).map_err(|error| CliError::file("clear", &old, error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CliError::file("replace", &self.place, error)),
        }
    }
}

impl Drop for Draft {
    /// Nothing half-written is left.
    fn drop(&mut self) {
        if self.draft.exists() {
            let _ = fs::remove_dir_all(&self.draft);
        }
    }
}

/// A hidden name of this process beside `place`.
fn beside(place: &Path, ending: &str) -> PathBuf {
    let name = place.file_name().map_or_else(|| "results".to_owned(), |name| name.to_string_lossy().into_owned());
    place.with_file_name(format!(".{name}.{}.{ending}", std::process::id()))
}

/// A results directory that is there.
pub(crate) struct Results {
    pub(crate) place: PathBuf,
    pub(crate) manifest: Manifest,
    /// The seed that the given path or flag names.
    seed: Option<u64>,
}

impl Results {
    /// Opens `given`, which may end in `/seed-N`; without it, the only directory under `out`.
    pub(crate) fn open(given: Option<&Path>, seed: Option<u64>) -> Result<Self, CliError> {
        let given = match given {
            Some(path) => path.to_owned(),
            None => only_directory(Path::new("out"))?,
        };
        let (place, named_seed) = split_seed(&given);
        let path = place.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(|_| {
            CliError::asked(
                format!("`{}` is no results directory: it has no manifest.json", place.display()),
                "name one with `--run DIR`; `wavetank run SCENARIO` makes one under out/",
            )
        })?;
        if is_work(&place) {
            return Err(of_work(&place));
        }
        let manifest: Manifest = serde_json::from_str(&text).map_err(|error| {
            CliError::asked(format!("`{}`: {error}", path.display()), "was it written by another version? run the scenario again")
        })?;
        if manifest.schema_version != SCHEMA_VERSION {
            let found = manifest.schema_version;
            return Err(CliError::asked(
                format!("`{}` has version {found}; this program reads version {SCHEMA_VERSION}", path.display()),
                "run the scenario again",
            ));
        }
        Ok(Self { place, manifest, seed: seed.or(named_seed) })
    }

    /// The job asked for: the one of the seed, else the first.
    pub(crate) fn job(&self) -> Result<&Job, CliError> {
        let wanted = self.seed.or(self.manifest.jobs.first().map(|job| job.seed));
        self.manifest.jobs.iter().find(|job| Some(job.seed) == wanted).ok_or_else(|| {
            let known: Vec<String> = self.manifest.jobs.iter().map(|job| job.seed.to_string()).collect();
            CliError::asked(
                format!("`{}` has no run of seed {}", self.place.display(), wanted.unwrap_or_default()),
                format!("it has seeds {}", known.join(", ")),
            )
        })
    }

    /// The seed that the given path or flag names.
    pub(crate) const fn named_seed(&self) -> Option<u64> {
        self.seed
    }

    /// From now on means the run of this seed.
    pub(crate) const fn choose(&mut self, seed: Option<u64>) {
        self.seed = seed;
    }

    /// Goes where the run was started, if that place is known and still there: paths in the manifest begin there.
    pub(crate) fn go_to_sources(&mut self) -> Result<(), CliError> {
        let meta = fs::read_to_string(self.place.join("run.meta.json")).unwrap_or_default();
        let meta: serde_json::Value = serde_json::from_str(&meta).unwrap_or_default();
        let Some(directory) = meta["directory"].as_str().map(Path::new).filter(|directory| directory.is_dir()) else { return Ok(()) };
        let named = [Some(&self.manifest.source), self.manifest.policy_override.as_ref()];
        // A directory that has been moved since brings its files along: then they are found from here, or nowhere.
        if named.into_iter().flatten().any(|name| directory.join(name).exists()) {
            self.place = fs::canonicalize(&self.place).map_err(|error| CliError::file("open", &self.place, error))?;
            std::env::set_current_dir(directory).map_err(|error| CliError::file("go to", directory, error))?;
        }
        Ok(())
    }

    /// Where a job's trace is.
    pub(crate) fn trace_path(&self, job: &Job) -> PathBuf {
        self.place.join("traces").join(format!("{}.jsonl.gz", job.id))
    }

    /// A job's trace.
    pub(crate) fn trace(&self, job: &Job) -> Result<Trace, CliError> {
        let path = self.trace_path(job);
        let file = fs::File::open(&path).map_err(|error| CliError::file("open", &path, error))?;
        Trace::read(file).map_err(|error| CliError::asked(format!("`{}`: {error}", path.display()), "run the scenario again"))
    }

    /// What every job measured, in the order of the jobs.
    pub(crate) fn measures(&self) -> Result<Vec<Measures>, CliError> {
        let read = |job: &Job| {
            let path = self.place.join(format!("jobs/{}.json", job.id));
            let bytes = fs::read(&path).map_err(|error| CliError::file("read", &path, error))?;
            serde_json::from_slice(&bytes)
                .map_err(|error| CliError::asked(format!("`{}`: {error}", path.display()), "run the scenario again"))
        };
        self.manifest.jobs.iter().map(read).collect()
    }

    /// All traces, in the order of the jobs.
    pub(crate) fn traces(&self) -> Result<Vec<Trace>, CliError> {
        self.manifest.jobs.iter().map(|job| self.trace(job)).collect()
    }
}

/// Whether a directory is of many points, as `compare` and `sweep` write them.
pub(crate) fn is_work(place: &Path) -> bool {
    let text = fs::read(place.join("manifest.json")).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|manifest| manifest.get("kind").is_some())
}

/// What to do about a directory of many points where one run is wanted.
fn of_work(place: &Path) -> CliError {
    let kept = fs::read_dir(place.join("traces")).is_ok_and(|mut entries| entries.next().is_some());
    CliError::asked(
        format!("`{}` holds a comparison, a sweep or a search, not one run", place.display()),
        if kept {
            "`wavetank diff` takes its points with traces; `wavetank report` makes its page again"
        } else {
            "run the point in question with `wavetank run --set …`; `wavetank report` makes the page of the whole again"
        },
    )
}

/// A path without the `/seed-N` at its end, and that seed.
pub(crate) fn split_seed(path: &Path) -> (PathBuf, Option<u64>) {
    let seed = path.file_name().and_then(|name| name.to_str()?.strip_prefix("seed-")?.parse().ok());
    match (seed, path.parent()) {
        (Some(seed), Some(parent)) if !path.exists() => (parent.to_owned(), Some(seed)),
        _ => (path.to_owned(), None),
    }
}

fn only_directory(out: &Path) -> Result<PathBuf, CliError> {
    let hidden = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let entries = fs::read_dir(out).into_iter().flatten().flatten().filter(|entry| !hidden(entry));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.join("manifest.json").exists()).collect();
    found.sort();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(CliError::asked("there are no results under out/", "run a scenario first: `wavetank run black-friday-40x`")),
        more => {
            const SHOWN: usize = 5;
            let names: Vec<String> = found.iter().take(SHOWN).map(|path| format!("`{}`", path.display())).collect();
            let rest = if more > SHOWN { format!(" and {} more", more - SHOWN) } else { String::new() };
            Err(CliError::asked("there are several results under out/", format!("name one, such as {}{rest}", names.join(", "))))
        }
    }
}
