//! A directory of jobs: each result is a file of its own, whole or not there.
//!
//! ```text
//! DIR/manifest.json          the whole work: points, seeds, jobs
//! DIR/jobs/<id>.json         metrics of one job, and the digest of its trace; written when it is done
//! DIR/traces/<id>.jsonl.gz   its record, when asked for
//! DIR/decisions.json         where the policies of a comparison first decide otherwise, and why
//! DIR/jobs.jsonl             all jobs, a line each, in the order of the work
//! DIR/metrics.csv            the same in tidy long form
//! DIR/report.html            the page about all jobs together
//! DIR/run.meta.json          wall time and threads: the only file that may differ between equal works
//! ```
//!
//! Invariants: a file appears under its name only when it is complete, so a process may be killed at any moment; what
//! is there is used again only when the same job is asked for, by id.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reports::{Measures, render};
use serde::Serialize;

use super::{JobRef, Manifest, decisions};
use crate::error::CliError;
use crate::pages;

/// A directory that jobs are put into.
pub(crate) struct Store {
    pub(crate) place: PathBuf,
}

/// One job's file.
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    pub(crate) measures: Measures,
}

impl Store {
    /// Begins or goes on. Without `resume`, what an earlier work left is cleared away.
    pub(crate) fn open(place: &Path, manifest: &Manifest, resume: bool) -> Result<Self, CliError> {
        let store = Self { place: place.to_owned() };
        let is_results = place.join("manifest.json").exists();
        let is_empty = fs::read_dir(place).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !is_results {
            return Err(CliError::asked(
                format!("`{}` exists and is not a results directory", place.display()),
                "choose another place with `--out DIR`",
            ));
        }
        if !is_empty && !resume {
            fs::remove_dir_all(place).map_err(|error| CliError::file("clear", place, error))?;
        }
        fs::create_dir_all(place.join("jobs")).map_err(|error| CliError::file("make", place, error))?;
        store.write_json("manifest.json", manifest)?;
        store.clear_leavings()?;
        Ok(store)
    }

    /// A directory that is there.
    pub(crate) fn existing(place: &Path) -> Result<(Self, Manifest), CliError> {
        let path = place.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(|error| CliError::file("read", &path, error))?;
        let manifest = serde_json::from_str(&text).map_err(|error| {
            CliError::asked(
                format!("`{}` is no manifest of a comparison or a sweep: {error}", path.display()),
                "give a directory that `compare` or `sweep` wrote",
            )
        })?;
        Ok((Self { place: place.to_owned() }, manifest))
    }

    /// Takes away files that were being written when a process ended, and what was made of all jobs.
    fn clear_leavings(&self) -> Result<(), CliError> {
        self.remove("", |name| !["manifest.json", decisions::FILE].contains(&name))?;
        ["jobs", "traces"].iter().try_for_each(|folder| self.remove(folder, |name| name.ends_with(".part")))
    }

    /// Takes away jobs that are not of this work: an earlier one may have left them, and any could have been of use.
    fn clear_foreign(&self, manifest: &Manifest) -> Result<(), CliError> {
        let own: BTreeSet<&str> = manifest.jobs.iter().map(|job| job.id.as_str()).collect();
        let foreign = |name: &str| !own.contains(name.split('.').next().unwrap_or_default());
        ["jobs", "traces"].iter().try_for_each(|folder| self.remove(folder, foreign))
    }

    /// Removes the files of a folder that are `unwanted` by their names.
    fn remove(&self, folder: &str, unwanted: impl Fn(&str) -> bool) -> Result<(), CliError> {
        for entry in fs::read_dir(self.place.join(folder)).into_iter().flatten().flatten() {
            if unwanted(&entry.file_name().to_string_lossy()) && entry.path().is_file() {
                fs::remove_file(entry.path()).map_err(|error| CliError::file("remove", &entry.path(), error))?;
            }
        }
        Ok(())
    }

    /// Writes a file that appears when it is whole.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), CliError> {
        let path = self.place.join(name);
        let folder = path.parent().unwrap_or(&self.place);
        fs::create_dir_all(folder).map_err(|error| CliError::file("make", folder, error))?;
        let draft = path.with_extension(format!("{}.part", std::process::id()));
        fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, &path)).map_err(|error| CliError::file("write", &path, error))
    }

    /// Writes a document.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value).map_err(anyhow::Error::new)?;
        text.push('\n');
        self.write(name, text)
    }

    /// A file that is there.
    pub(crate) fn read(&self, name: &str) -> Result<String, CliError> {
        let path = self.place.join(name);
        fs::read_to_string(&path).map_err(|error| CliError::file("read", &path, error))
    }

    /// A job's result, if it is there and can be read.
    pub(crate) fn job(&self, id: &str) -> Option<Stored> {
        let bytes = fs::read(self.place.join(format!("jobs/{id}.json"))).ok()?;
        let measures = serde_json::from_slice(&bytes).ok()?;
        Some(Stored { bytes, measures })
    }

    /// Jobs of `wanted` that are not there.
    pub(crate) fn missing(&self, wanted: &[JobRef]) -> Vec<JobRef> {
        wanted.iter().filter(|job| self.job(&job.id).is_none()).cloned().collect()
    }

    /// The measures of every point, in the order of the seeds; jobs that are not there are left out.
    pub(crate) fn by_point(&self, manifest: &Manifest) -> Vec<Vec<Measures>> {
        let mut points = vec![Vec::new(); manifest.points.len()];
        for job in &manifest.jobs {
            if let Some(stored) = self.job(&job.id) {
                points[job.point].push(stored.measures);
            }
        }
        points
    }

    /// Writes the page, and says where it is.
    pub(crate) fn page(&self, page: String) -> Result<String, CliError> {
        self.write("report.html", pages::fitting(page)?)?;
        Ok(self.place.join("report.html").display().to_string())
    }

    /// Takes away what is not of this work, and writes what is made of all jobs together, with the extra files given.
    pub(crate) fn finish(&self, manifest: &Manifest, extra: &[(&str, String)]) -> Result<(), CliError> {
        self.clear_foreign(manifest)?;
        let mut lines = Vec::new();
        let mut numbers = Vec::new();
        let mut seen = BTreeSet::new();
        for job in &manifest.jobs {
            let Some(stored) = self.job(&job.id) else { continue };
            if seen.insert(job.id.as_str()) {
                let value: serde_json::Value = serde_json::from_slice(&stored.bytes).map_err(anyhow::Error::new)?;
                lines.push(value.to_string() + "\n");
            }
            let point = &manifest.points[job.point];
            numbers.push((render::CsvPoint { job: &job.id, point: &point.name, parameters: &point.parameters }, stored.measures));
        }
        self.write("jobs.jsonl", lines.concat())?;
        self.write("metrics.csv", render::points_csv(numbers.iter().map(|(point, measures)| (point, measures))))?;
        extra.iter().try_for_each(|(name, text)| self.write(name, text))
    }
}
