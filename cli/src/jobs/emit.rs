//! What a batch system needs to do a work: an Indexed Job of Kubernetes, one part per index.
//!
//! The Job runs the same command that printed it, with `--shard auto`, and each index writes to a directory of its own. The
//! files that the work is made of go along in a ConfigMap, so that what is applied is what was tried here.
//!
//! Not here: an image with the program, and the claim that results go to; both are the cluster's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use manifests::Problems;
use scenarios::{Disk, FileSource};

use super::Manifest;
use crate::error::CliError;
use crate::files::{self, LoadOptions};

/// What a ConfigMap can hold.
const MOST_BYTES: usize = 1 << 20;

/// Files that remember which of them were read.
#[derive(Default)]
struct Remembering {
    disk: Disk,
    read: RefCell<BTreeMap<String, String>>,
}

impl FileSource for Remembering {
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        let text = self.disk.read(path)?;
        if let Some(text) = &text {
            self.read.borrow_mut().insert(path.to_owned(), text.clone());
        }
        Ok(text)
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        self.disk.matching(pattern)
    }
}

/// Every file that a scenario and policies are made of, by the path that the command knows it by.
pub(crate) fn files<'a>(
    source: &'a str,
    set: &[String],
    policies: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, CliError> {
    let remembering = Remembering::default();
    let options = LoadOptions { set, files: Some(&remembering), ..Default::default() };
    files::check(source, None, &options, &mut Problems::default())?;
    let mut found = remembering.read.into_inner();
    let own = policies.chain((!files::is_shipped(source)).then_some(source));
    for path in own.filter(|path| Path::new(path).is_file()) {
        found.insert(path.to_owned(), files::read_text(path)?);
    }
    if let Some(outside) = found.keys().find(|path| path.starts_with('/') || path.split('/').any(|part| part == "..")) {
        return Err(CliError::asked(
            format!("`{outside}` is not below this directory, so the Job cannot bring it along"),
            "start in a directory that is above all files of the work, and name them from there",
        ));
    }
    let bytes: usize = found.values().map(String::len).sum();
    if bytes > MOST_BYTES {
        return Err(CliError::asked(
            format!("the files of this work are {} KiB; a ConfigMap holds {} KiB", bytes >> 10, MOST_BYTES >> 10),
            "put them into the image instead, and write the Job after `docs/scale-out.md`",
        ));
    }
    Ok(found)
}

/// The words of this command that a part of it needs: the verb and what follows, without what belongs to this machine.
pub(crate) fn words(all: impl Iterator<Item = String>) -> Vec<String> {
    const WITH_VALUE: [&str; 8] = ["--emit", "--parts", "--out", "--output", "-o", "--jobs", "-j", "--shard"];
    let mut kept = Vec::new();
    let mut words = all.skip(1).skip_while(|word| !["compare", "sweep"].contains(&word.as_str()));
    while let Some(word) = words.next() {
        let short = |flag: &&str| flag.len() == 2 && word.starts_with(*flag) && word.len() > 2;
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !WITH_VALUE.iter().any(|flag| word.starts_with(&format!("{flag}=")) || short(flag)) && word != "--resume" {
            kept.push(word);
        }
    }
    kept
}

/// A JSON string is a YAML string too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// In the words of a command, `$(…)` would be replaced by a variable.
fn argument(word: &str) -> String {
    quoted(&word.replace("$(", "$$("))
}

/// A name that Kubernetes takes: lower case, digits, dashes, short enough for an index behind it.
fn name(manifest: &Manifest) -> String {
    let text = format!("{}-{}", manifest.kind.as_str(), manifest.scenario).to_lowercase();
    let tame: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    format!("wavetank-{}", tame.trim_end_matches('-'))
}

/// The manifest of an Indexed Job that does a work in `parts`.
pub(crate) fn k8s_job(manifest: &Manifest, parts: usize, words: &[String], files: &BTreeMap<String, String>) -> String {
    let name = name(manifest);
    let args: String = words.iter().map(|word| format!("            - {}\n", argument(word))).collect();
    let (mount, volume) = if files.is_empty() { (String::new(), String::new()) } else { (MOUNT.to_owned(), brought(&name, files)) };
    format!(
        "\
# {kind} of {scenario} in {parts} parts. It needs
#   - an image with the program in it (docs/scale-out.md has one in three lines): change `image`;
#   - a PersistentVolumeClaim that many pods may write to (ReadWriteMany): change `claimName`.
# When the Job is complete, put the parts together where the claim is mounted:
#   wavetank merge /results/{name}/* --out /results/{name}-whole
{config}apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
spec:
  completionMode: Indexed
  completions: {parts}
  parallelism: {parts}
  backoffLimitPerIndex: 3
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: wavetank
          image: wavetank:{version}
          workingDir: /work
          command: [wavetank]
          args:
{args}            - --shard=auto
            - --resume
            - --jobs=1
            - --out=/results/{name}/$(JOB_COMPLETION_INDEX)
          env:
            - {{name: WAVETANK_SHARDS, value: \"{parts}\"}}
          resources:
            requests: {{cpu: \"1\", memory: 256Mi}}
            limits: {{memory: 1Gi}}
          volumeMounts:
            - {{name: results, mountPath: /results}}
{mount}      volumes:
        - name: results
          persistentVolumeClaim: {{claimName: wavetank-results}}
{volume}",
        kind = manifest.kind.as_str(),
        scenario = manifest.scenario,
        config = config_map(&name, files),
        version = manifest.wavetank_version,
    )
}

const MOUNT: &str = "            - {name: files, mountPath: /work, readOnly: true}\n";

/// Keys of a ConfigMap have no slashes: files are numbered, and get their paths back where they are mounted.
fn brought(name: &str, files: &BTreeMap<String, String>) -> String {
    let item = |(number, path): (usize, &String)| format!("              - {{key: file-{number}, path: {}}}\n", quoted(path));
    let items: String = files.keys().enumerate().map(item).collect();
    format!("        - name: files\n          configMap:\n            name: {name}\n            items:\n{items}")
}

fn config_map(name: &str, files: &BTreeMap<String, String>) -> String {
    if files.is_empty() {
        return String::new();
    }
    let entry = |(number, text): (usize, &String)| format!("  file-{number}: {}\n", quoted(text));
    let data: String = files.values().enumerate().map(entry).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{data}---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_repeats_the_command_without_what_belongs_to_this_machine() {
        for (said, kept) in [
            ("wavetank -q sweep s.yaml --param a=1,2 --emit k8s-job --parts 4", "sweep s.yaml --param a=1,2"),
            ("wavetank compare x -p a -p b -j4 --out=here -o json --resume", "compare x -p a -p b"),
            ("wavetank sweep x --out there --jobs 3 --param=b=1 --emit=k8s-job", "sweep x --param=b=1"),
        ] {
            assert_eq!(words(said.split(' ').map(str::to_owned)).join(" "), kept);
        }
    }
}
