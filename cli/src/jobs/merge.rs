//! Puts the parts of a work together. The order of the parts changes nothing.
//!
//! A job that two parts have must be the same to the byte: if it is not, something that decides results is not in its
//! id, or a machine computes otherwise. That is an alarm, with the first place where the two differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use reports::{difference, render};
use trace::Reader;

use super::store::Store;
use super::{Manifest, Part, decisions, shard};
use crate::error::CliError;
use crate::exit::Exit;

/// Finds the directories of jobs in what was given: the directory itself, or those right inside.
pub(crate) fn find(given: &[PathBuf], help: &str) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for place in given {
        if place.join("manifest.json").exists() {
            found.push(place.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> = fs::read_dir(place)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("manifest.json").exists())
            .collect();
        inside.sort();
        if inside.is_empty() {
            return Err(CliError::asked(format!("there are no results in `{}`", place.display()), help));
        }
        found.extend(inside);
    }
    Ok(found)
}

/// Copies the jobs of all `parts` into a new directory, and gives the manifest of the whole.
pub(crate) fn merge(parts: &[PathBuf], out: &Path, allow_missing: bool) -> Result<(Store, Manifest), CliError> {
    let stores: Vec<(Store, Manifest)> = parts.iter().map(|place| Store::existing(place)).collect::<Result<_, _>>()?;
    let whole = agreed(&stores)?;
    let found = union(&stores, &whole)?;
    let missing: Vec<_> = shard::select(&whole.jobs, None).into_iter().filter(|job| !found.contains_key(job.id.as_str())).collect();
    if !missing.is_empty() && !allow_missing {
        let message =
            format!("{} of {} jobs are in none of the parts: {}", missing.len(), shard::select(&whole.jobs, None).len(), ids(&missing));
        return Err(CliError::Asked { exit: Exit::Invalid, message, help: Some(who_makes(&stores, &missing)) });
    }
    let store = Store::open(out, &whole, false)?;
    for (id, (bytes, from)) in found {
        store.write(&format!("jobs/{id}.json"), bytes)?;
        let trace = from.join(format!("traces/{id}.jsonl.gz"));
        if let Ok(bytes) = fs::read(&trace) {
            store.write(&format!("traces/{id}.jsonl.gz"), bytes)?;
        }
    }
    // All parts that have it say the same of the same jobs.
    if let Some(decisions) = stores.iter().find_map(|(part, _)| part.read(decisions::FILE).ok()) {
        store.write(decisions::FILE, decisions)?;
    }
    Ok((store, whole))
}

fn ids(jobs: &[super::JobRef]) -> String {
    let shown: Vec<&str> = jobs.iter().take(5).map(|job| job.id.as_str()).collect();
    shown.join(", ") + if jobs.len() > 5 { ", …" } else { "" }
}

/// The command that would make what is missing.
fn who_makes(stores: &[(Store, Manifest)], missing: &[super::JobRef]) -> String {
    let counts: Vec<Part> = stores.iter().filter_map(|(_, manifest)| manifest.shard).collect();
    let Some(part) = counts.first() else {
        return "run it again with `--resume`, or merge what there is with `--allow-missing`".to_owned();
    };
    let (_, manifest) = &stores[0];
    let is_of = |index: &usize| {
        let mine = shard::select(&manifest.jobs, Some(Part { index: *index, ..*part }));
        mine.iter().any(|job| missing.iter().any(|other| other.id == job.id))
    };
    let shards: Vec<String> = (1..=part.count).filter(is_of).map(|index| format!("`--shard {index}/{}`", part.count)).collect();
    format!("they come from {}; or merge what there is with `--allow-missing`", shards.join(", "))
}

/// The work that all parts are of.
fn agreed(stores: &[(Store, Manifest)]) -> Result<Manifest, CliError> {
    let Some((first_store, first)) = stores.first() else {
        return Err(CliError::asked("there is nothing to merge", "give the `--out` directories of the parts"));
    };
    let whole = first.whole();
    for (store, manifest) in &stores[1..] {
        if manifest.whole() == whole {
            continue;
        }
        let (a, b) = (first_store.place.display(), store.place.display());
        let what = difference(&whole, &manifest.whole());
        return Err(CliError::Asked {
            exit: Exit::Different,
            message: format!("`{a}` and `{b}` are parts of different works: {what}"),
            help: Some("merge parts that were made by one command with one version".into()),
        });
    }
    Ok(whole)
}

fn difference(a: &Manifest, b: &Manifest) -> String {
    let json = |manifest: &Manifest| serde_json::to_value(manifest).unwrap_or_default();
    first_difference(&json(a), &json(b), "").unwrap_or_else(|| "they differ".to_owned())
}

/// Where two documents first differ, and what stands there.
pub(crate) fn first_difference(a: &serde_json::Value, b: &serde_json::Value, path: &str) -> Option<String> {
    use serde_json::Value;
    let short = |value: Option<&Value>| {
        let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
        if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
    };
    match (a, b) {
        (Value::Object(one), Value::Object(other)) => {
            one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))).find_map(|key| match (one.get(key), other.get(key)) {
                (Some(one), Some(other)) => first_difference(one, other, &format!("{path}/{key}")),
                (one, other) => Some(format!("{path}/{key} is {} in one and {} in the other", short(one), short(other))),
            })
        }
        (Value::Array(one), Value::Array(other)) => {
            (0..one.len().max(other.len())).find_map(|index| match (one.get(index), other.get(index)) {
                (Some(one), Some(other)) => first_difference(one, other, &format!("{path}/{index}")),
                (one, other) => Some(format!("{path}/{index} is {} in one and {} in the other", short(one), short(other))),
            })
        }
        _ if a == b => None,
        _ => Some(format!("{path} is {} in one and {} in the other", short(Some(a)), short(Some(b)))),
    }
}

/// Every job once, by id, with the part it is from.
fn union<'a>(stores: &'a [(Store, Manifest)], whole: &Manifest) -> Result<BTreeMap<String, (Vec<u8>, &'a Path)>, CliError> {
    let mut found: BTreeMap<String, (Vec<u8>, &Path)> = BTreeMap::new();
    for (store, _) in stores {
        for job in shard::select(&whole.jobs, None) {
            let Some(stored) = store.job(&job.id) else { continue };
            match found.get(&job.id) {
                Some((bytes, other)) if *bytes != stored.bytes => return Err(alarm(&job.id, other, bytes, &store.place, &stored.bytes)),
                Some(_) => {}
                None => {
                    found.insert(job.id, (stored.bytes, &store.place));
                }
            }
        }
    }
    Ok(found)
}

/// One job, two results.
fn alarm(id: &str, one: &Path, one_bytes: &[u8], other: &Path, other_bytes: &[u8]) -> CliError {
    let parsed = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
    let in_traces = first_record(&one.join(format!("traces/{id}.jsonl.gz")), &other.join(format!("traces/{id}.jsonl.gz")));
    let place = in_traces
        .or_else(|| first_difference(&parsed(one_bytes), &parsed(other_bytes), ""))
        .unwrap_or_else(|| "their bytes differ".to_owned());
    CliError::Asked {
        exit: Exit::Different,
        message: format!("determinism alarm: job {id} has two results, in `{}` and in `{}`: {place}", one.display(), other.display()),
        help: Some("one job must give the same bytes everywhere; please report this with both directories".into()),
    }
}

/// The first record in which two traces differ.
fn first_record(one: &Path, other: &Path) -> Option<String> {
    let read = |path: &Path| Reader::new(fs::File::open(path).ok()?).ok();
    let (one, other) = (read(one)?, read(other)?);
    let headers = [one.header.clone(), other.header.clone()];
    let parting = difference::of([&headers[0], &headers[1]], one, other).ok()?.parting?;
    Some(format!("record {}\n{}", parting.record, render::parting_lines(&parting, ["one", "other"]).join("\n")))
}
