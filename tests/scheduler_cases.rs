//! Every answer of the real kube-scheduler in tests/scheduler_cases, compared with ours attempt by attempt.
//!
//! A case is left out only when its objects or options need a feature that the schedulers say they do not
//! cover ([`schedulers::harness::features_used`]); which those are is printed.
#![expect(clippy::print_stdout, reason = "a test program's own report")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use flate2::read::GzDecoder;
use manifests::{Document, Origin, Problems, SourceFile};
use schedulers::harness::{Feature, Input, Options, features_used, schedule};
use serde_json::Value;

type Files = BTreeMap<String, String>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    #[expect(clippy::disallowed_methods, reason = "a test program, not a simulation")]
    let directory = std::env::var("WAVETANK_SCHEDULER_CASES").ok();
    let cases = match directory {
        Some(directory) => cases_in(Path::new(&directory)),
        None => packed_cases(),
    };
    let (mut passed, mut failed) = (0, 0);
    let mut left_out: BTreeMap<Feature, usize> = BTreeMap::new();
    let mut not_covered = 0;
    for (name, files) in cases.iter().filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))) {
        match run(files) {
            Answer::Same => passed += 1,
            Answer::Different(difference) => {
                failed += 1;
                println!("{name}: {difference}");
            }
            Answer::NotCovered(features) => {
                not_covered += 1;
                features.into_iter().for_each(|feature| *left_out.entry(feature).or_default() += 1);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if not_covered > 0 {
        let by_feature: Vec<String> = left_out.iter().map(|(feature, count)| format!("{feature} {count}")).collect();
        println!("{not_covered} not covered yet: {}", by_feature.join(", "));
    }
    if passed + failed + not_covered == 0 {
        println!("there are no such cases");
        return ExitCode::FAILURE;
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The cases of this repository.
fn packed_cases() -> Vec<(String, Files)> {
    let packed = include_bytes!("scheduler_cases/cases.jsonl.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("a gzip of text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON object per line"));
    let files = |case: &Value| case["files"].as_object().expect("files").iter().map(|(name, text)| (name.clone(), string(text))).collect();
    lines.map(|case| (string(&case["name"]), files(&case))).collect()
}

fn string(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// One case per directory; files may be compressed.
fn cases_in(directory: &Path) -> Vec<(String, Files)> {
    let entries = std::fs::read_dir(directory).expect("a directory of cases");
    let mut cases: Vec<(String, Files)> = Vec::new();
    for case in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let mut files = Files::new();
        for file in std::fs::read_dir(case.path()).expect("a case").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let bytes = std::fs::read(file.path()).expect("a readable file");
            let mut text = String::new();
            match name.strip_suffix(".gz") {
                Some(_) => GzDecoder::new(&bytes[..]).read_to_string(&mut text).map(|_| ()),
                None => (&bytes[..]).read_to_string(&mut text).map(|_| ()),
            }
            .expect("text");
            files.insert(name.strip_suffix(".gz").unwrap_or(&name).to_owned(), text);
        }
        cases.push((case.file_name().to_string_lossy().into_owned(), files));
    }
    cases.sort();
    cases
}

enum Answer {
    Same,
    Different(String),
    NotCovered(Vec<Feature>),
}

fn run(files: &Files) -> Answer {
    let input = match input(files) {
        Ok(input) => input,
        Err(problem) => return Answer::Different(problem),
    };
    let mut features = features_used(&input);
    features.retain(|feature| !feature.is_covered());
    if !features.is_empty() {
        return Answer::NotCovered(features);
    }
    let expected: Value = serde_json::from_str(files.get("expected.json").map_or("", String::as_str)).expect("expected.json");
    let answer = match schedule(input) {
        Ok(document) => document["attempts"].clone(),
        Err(error) => return Answer::Different(error.to_string()),
    };
    first_difference("", &answer, &expected).map_or(Answer::Same, Answer::Different)
}

fn documents(files: &Files, name: &str, problems: &mut Problems) -> Vec<Arc<Document>> {
    files.get(name).map_or_else(Vec::new, |text| manifests::documents(&SourceFile::new(name, text), problems))
}

fn input(files: &Files) -> Result<Input, String> {
    let mut problems = Problems::default();
    let documents_of = |name: &str, problems: &mut Problems| documents(files, name, problems);
    let mut origins: Vec<Origin> = Vec::new();
    for name in ["cluster.yaml", "queue.yaml"] {
        origins.extend(documents_of(name, &mut problems).iter().map(Origin::whole));
    }
    let single = |name: &str, problems: &mut Problems| {
        documents(files, name, problems).first().map_or(Value::Null, |document| document.value.clone())
    };
    let config = single("scheduler-config.yaml", &mut problems);
    let options = single("options.yaml", &mut problems);
    let reading = manifests::Options { fidelity: false, origin_seconds: Some(0), ..manifests::Options::default() };
    let objects = manifests::read(&origins, &reading, &mut problems);
    if problems.has_errors() {
        return Err(manifests::render(&problems, false));
    }
    let options = Options::from_value(&options).map_err(|error| error.to_string())?;
    let (queue, pods): (Vec<_>, Vec<_>) = objects.pods.iter().partition(|pod| &*pod.origin.document.source.name == "queue.yaml");
    Ok(Input {
        nodes: objects.nodes.iter().map(|node| node.object.clone()).collect(),
        pods: pods.into_iter().map(|pod| pod.object.clone()).collect(),
        queue: queue.into_iter().map(|pod| pod.object.clone()).collect(),
        objects: objects.cluster_objects(),
        config,
        options,
        ..Input::default()
    })
}

/// Where two values first differ, and how.
fn first_difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = b.keys().chain(a.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (ours, theirs) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                first_difference(&format!("{path}.{key}"), ours, theirs)
            })
        }
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len())).find_map(|at| {
            let (ours, theirs) = (a.get(at).unwrap_or(&Value::Null), b.get(at).unwrap_or(&Value::Null));
            first_difference(&format!("{path}[{at}]"), ours, theirs)
        }),
        _ => (ours != theirs).then(|| format!("{path}: ours {ours}, kube-scheduler's {theirs}")),
    }
}
