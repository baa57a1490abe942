//! Recordings as they are kept: raw directories as the rig wrote them, and the packed copies of this repository.
//!
//! A packed recording is `<name>.jsonl.gz`: the first line holds `objects` and `script` (their YAML texts) and
//! `summary`; every other line is a line of `timeline.jsonl`.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use manifests::{Document, Problems, SourceFile};
use serde_json::{Map, Value, json};

/// One line of a timeline: what a watch told, and when.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) t: f64,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) ev: String,
    pub(crate) set: Map<String, Value>,
}

impl Line {
    fn read(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).expect("a JSON object per line");
        Self {
            t: value["t"].as_f64().expect("t"),
            kind: string(&value["kind"]),
            name: string(&value["name"]),
            ev: string(&value["ev"]),
            set: value.get("set").and_then(Value::as_object).cloned().unwrap_or_default(),
        }
    }
}

/// As in a `timeline.jsonl`.
impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { t, kind, name, ev, set } = self;
        let t = (t * 1000.0).round() / 1000.0;
        write!(f, "{}", json!({ "t": t, "kind": kind, "name": name, "ev": ev, "set": set }))
    }
}

/// A recorded run.
pub(crate) struct Recording {
    /// `<scenario>-<variant>-r<run>`.
    pub(crate) name: String,
    pub(crate) objects: String,
    pub(crate) script_text: String,
    pub(crate) script: Value,
    pub(crate) summary: Value,
    pub(crate) lines: Vec<Line>,
    timeline: String,
}

impl Recording {
    fn new(name: &str, objects: String, script_text: String, summary: Value, timeline: String) -> Self {
        let script = yaml(&script_text).into_iter().next().expect("a script");
        let lines = timeline.lines().filter(|line| !line.is_empty()).map(Line::read).collect();
        Self { name: name.to_owned(), objects, script_text, script, summary, lines, timeline }
    }

    /// The scenario and its variant: recordings of one group differ in nothing but chance.
    pub(crate) fn group(&self) -> &str {
        match self.name.rsplit_once("-r") {
            Some((group, run)) if run.bytes().all(|byte| byte.is_ascii_digit()) => group,
            _ => &self.name,
        }
    }
    pub(crate) fn namespace(&self) -> &str {
        self.script["namespace"].as_str().unwrap_or("default")
    }
    /// Whether its latencies can be used: the rig ran with scheduling priority.
    pub(crate) fn has_usable_latencies(&self) -> bool {
        self.summary["rigPriority"].as_bool().unwrap_or(true)
    }
    /// The steps of the script.
    pub(crate) fn steps(&self) -> Vec<Step<'_>> {
        let steps = self.script["steps"].as_array().map_or(&[][..], Vec::as_slice);
        steps.iter().map(|step| Step { t: step["t"].as_f64().unwrap_or(0.0), action: step["do"].as_str().unwrap_or(""), step }).collect()
    }

    /// The packed form.
    fn packed(&self) -> Vec<u8> {
        let keep = ["rigPriority", "replicaSetControllerThrottledByOtherNamespaces", "notes", "key", "leases"];
        let summary: Map<String, Value> =
            keep.iter().filter_map(|field| Some(((*field).to_owned(), self.summary.get(*field)?.clone()))).collect();
        let head = json!({ "objects": self.objects, "script": self.script_text, "summary": summary });
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        writeln!(encoder, "{head}").and_then(|()| encoder.write_all(self.timeline.as_bytes())).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }
}

/// A step of a script.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) t: f64,
    pub(crate) action: &'a str,
    pub(crate) step: &'a Value,
}

impl<'a> Step<'a> {
    pub(crate) fn text(&self, field: &str) -> &'a str {
        self.step[field].as_str().unwrap_or("")
    }
}

/// The documents of a YAML text.
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    documents(text).iter().map(|document| document.value.clone()).collect()
}

pub(crate) fn documents(text: &str) -> Vec<std::sync::Arc<Document>> {
    let mut problems = Problems::default();
    let found = manifests::documents(&SourceFile::new("recording.yaml", text), &mut problems);
    assert!(!problems.has_errors(), "{}", manifests::render(&problems, false));
    found
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The recordings below `directory`, raw or packed, by name.
pub(crate) fn recordings_in(directory: &Path) -> Vec<Recording> {
    let mut found: Vec<Recording> = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of recordings").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if let Some(name) = name.strip_suffix(".jsonl.gz") {
            found.push(unpack(name, &std::fs::read(&path).expect("a readable file")));
        } else if path.join("script.yaml").is_file() {
            let read = |file: &str| std::fs::read_to_string(path.join(file)).unwrap_or_default();
            let summary = serde_json::from_str(&read("summary.json")).unwrap_or(Value::Null);
            found.push(Recording::new(&name, read("objects.yaml"), read("script.yaml"), summary, read("timeline.jsonl")));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn unpack(name: &str, bytes: &[u8]) -> Recording {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).expect("a gzip of text");
    let (head, timeline) = text.split_once('\n').expect("a first line");
    let head: Value = serde_json::from_str(head).expect("a JSON object");
    Recording::new(name, string(&head["objects"]), string(&head["script"]), head["summary"].clone(), timeline.to_owned())
}

/// Writes the packed form of every recording into `directory`.
pub(crate) fn pack(recordings: &[Recording], directory: &Path) {
    for recording in recordings {
        std::fs::write(directory.join(format!("{}.jsonl.gz", recording.name)), recording.packed()).expect("a writable directory");
    }
}
