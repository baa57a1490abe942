//! What happened, told without what chance decides: names, hashes, addresses, which of several equals.
//!
//! A timeline, recorded or simulated, becomes a [`Story`]: facts by subject. Subjects are objects whose names
//! mean something (`Deployment/web`, `Node/g1`), the n-th ReplicaSet of a Deployment (`ReplicaSet/web#1`), and
//! for pods whose names are drawn the group of their owner: there a fact says how many pods went which way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::recording::Line;

/// Facts of a run: what is exact, and when things happened.
#[derive(Default, Debug)]
pub(crate) struct Story {
    /// What has to be equal, by subject and fact.
    pub(crate) facts: BTreeMap<String, String>,
    /// What is a number of things or a time, by subject and fact: every value there was.
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
}

/// An object's life under one name.
struct Life {
    kind: String,
    name: String,
    subject: String,
    created: f64,
    deleted: Option<f64>,
    /// (time, fact, value), in order; the first of each fact comes with the object.
    changes: Vec<(f64, String, Value)>,
}

impl Life {
    /// The values a fact took, one after the other.
    fn path(&self, fact: &str) -> Vec<(f64, &Value)> {
        let mut path: Vec<(f64, &Value)> = Vec::new();
        for (t, name, value) in &self.changes {
            if name == fact && path.last().is_none_or(|(_, last)| *last != value) {
                path.push((*t, value));
            }
        }
        path
    }
    /// The values of one field of a fact that is an object; absent is null.
    fn field(&self, fact: &str, field: &str) -> Vec<(f64, &Value)> {
        let mut path: Vec<(f64, &Value)> = Vec::new();
        for (t, value) in self.path(fact) {
            let value = value.get(field).unwrap_or(&Value::Null);
            if path.last().is_none_or(|(_, last)| *last != value) {
                path.push((t, value));
            }
        }
        path
    }
    fn fields(&self, fact: &str) -> BTreeSet<String> {
        let objects = self.path(fact).into_iter().filter_map(|(_, value)| value.as_object());
        objects.flat_map(Map::keys).cloned().collect()
    }
    /// When a condition first became True.
    fn first_true(&self, condition: &str) -> Option<f64> {
        let path = self.field("conditions", condition);
        path.into_iter().find(|(_, value)| value.as_str().is_some_and(|text| text.starts_with("True"))).map(|(t, _)| t)
    }
}

/// One Kubernetes Event with how often it was told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    kind: String,
    reason: String,
    object: String,
    message: String,
    source: String,
}

/// Reads a timeline.
pub(crate) fn story(lines: &[Line], namespace: &str, interests: &Interests<'_>) -> Story {
    let mut names = Names::new(lines, namespace);
    let lives = lives(lines, &mut names);
    let mut story = Story::default();
    tell_objects(&lives, interests, &mut story);
    tell_pods(&lives, &mut story);
    tell_slices(&lives, &names, &mut story);
    tell_events(lines, &names, interests, &mut story);
    story
}

/// What the story is asked about.
pub(crate) struct Interests<'a> {
    /// Subjects left out: their kinds are not simulated.
    pub(crate) leave_out: &'a dyn Fn(&str) -> bool,
}

/// Names that chance decides, and what they are called here.
struct Names {
    called: BTreeMap<String, String>,
    subjects: BTreeMap<(String, String), String>,
    /// Images by order of appearance.
    namespace: String,
}

impl Names {
    fn new(lines: &[Line], namespace: &str) -> Self {
        let mut names = Self { called: BTreeMap::new(), subjects: BTreeMap::new(), namespace: namespace.to_owned() };
        let mut sets: BTreeMap<String, u32> = BTreeMap::new();
        let added = || lines.iter().filter(|line| matches!(&*line.ev, "ADDED" | "INITIAL"));
        for line in added().filter(|line| line.kind == "ReplicaSet") {
            let owner = line.set.get("owner").and_then(Value::as_str).unwrap_or(&line.name);
            let owner = owner.split_once('/').map_or(owner, |(_, name)| name).to_owned();
            let number = sets.entry(owner.clone()).or_default();
            *number += 1;
            names.called.insert(line.name.clone(), format!("{owner}#{number}"));
        }
        for line in added() {
            match &*line.kind {
                "Pod" => names.call_pod(line),
                "Node" => drop(names.called.insert(line.name.clone(), line.name.clone())),
                "EndpointSlice" => {
                    let service = line.set.get("service").and_then(Value::as_str).unwrap_or(&line.name);
                    names.called.insert(line.name.clone(), service.to_owned());
                }
                _ => {}
            }
            if let Some(images) = line.set.get("image").and_then(Value::as_array) {
                for image in images.iter().filter_map(Value::as_str) {
                    let number = names.called.values().filter(|called| called.starts_with("image#")).count() + 1;
                    names.called.entry(image.to_owned()).or_insert_with(|| format!("image#{number}"));
                }
            }
        }
        names
    }

    fn call_pod(&mut self, line: &Line) {
        let subject = match line.set.get("owner").and_then(Value::as_str).and_then(|owner| owner.split_once('/')) {
            Some((kind @ ("ReplicaSet" | "DaemonSet" | "Job"), name)) => format!("Pods of {kind}/{}", self.call(name)),
            _ => format!("Pod/{}", line.name),
        };
        let called = if subject.starts_with("Pods of") { "<pod>".to_owned() } else { line.name.clone() };
        self.called.insert(line.name.clone(), called);
        self.subjects.insert(("Pod".to_owned(), line.name.clone()), subject);
    }

    fn call<'a>(&'a self, name: &'a str) -> &'a str {
        self.called.get(name).map_or(name, String::as_str)
    }

    fn subject(&self, kind: &str, name: &str) -> String {
        let known = self.subjects.get(&(kind.to_owned(), name.to_owned()));
        known.cloned().unwrap_or_else(|| format!("{kind}/{}", self.call(name)))
    }

    /// A text without what chance decides.
    fn text(&self, text: &str) -> String {
        let mut told = String::new();
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                told.push_str(&rest[..next]);
                rest = &rest[next..];
                continue;
            }
            told.push_str(&self.word(&rest[..end]));
            rest = &rest[end..];
        }
        told
    }

    fn word(&self, word: &str) -> String {
        let bare = word.trim_end_matches(['.', ':', ',']);
        let tail = &word[bare.len()..];
        if let Some(called) = self.called.get(bare) {
            return format!("{called}{tail}");
        }
        if bare == self.namespace {
            return format!("<namespace>{tail}");
        }
        if is_duration(bare) {
            return format!("<duration>{tail}");
        }
        if is_identity(bare) {
            return format!("<uid>{tail}");
        }
        for separator in ['/', '_'] {
            if let Some((head, last)) = bare.split_once(separator).filter(|(head, _)| !head.is_empty()) {
                let parts = (self.word(head), self.word(last));
                if (parts.0.as_str(), parts.1.as_str()) != (head, last) {
                    return format!("{}{separator}{}{tail}", parts.0, parts.1);
                }
            }
        }
        word.to_owned()
    }
}

/// `2.001s`, `12ms`, `1m2s`.
fn is_duration(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with('s')
        && word.chars().all(|c| c.is_ascii_digit() || ".hmsµun".contains(c))
}

/// A uid: 36 characters of a UUID, or sixteen hexadecimal digits.
fn is_identity(word: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    matches!(word.len(), 16 | 36) && word.chars().all(is_hex)
}

fn lives(lines: &[Line], names: &mut Names) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut now: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.kind != "Event" && line.kind != "Namespace") {
        let key = (line.kind.as_str(), line.name.as_str());
        if matches!(&*line.ev, "ADDED" | "INITIAL") {
            let subject = names.subject(&line.kind, &line.name);
            now.insert(key, lives.len());
            let (kind, name) = (line.kind.clone(), line.name.clone());
            lives.push(Life { kind, name, subject, created: line.t, deleted: None, changes: Vec::new() });
        }
        let Some(life) = now.get(&key).and_then(|place| lives.get_mut(*place)) else { continue };
        if line.ev == "DELETED" {
            life.deleted = Some(line.t);
            now.remove(&key);
            continue;
        }
        life.changes.extend(line.set.iter().map(|(fact, value)| (line.t, fact.clone(), value.clone())));
    }
    lives
}

/// Facts that are names, clocks or said in another way.
const NOT_COMPARED: &[&str] = &[
    "podIP",
    "node",
    "nominatedNode",
    "hash",
    "image",
    "labels",
    "generation",
    "observedGeneration",
    "lastScaleTime",
    "metrics",
    "endpoints",
    "startTime",
    "completionTime",
    "uncounted",
    "clusterIP",
    "currentRevision",
    "updateRevision",
    "owner",
    "specFinalizers",
];

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

fn shown(path: &[(f64, &Value)]) -> String {
    path.iter().map(|(_, value)| show(value)).collect::<Vec<_>>().join(" > ")
}

/// First, last, and every value at which a count turned round.
fn turning_points(path: &[(f64, &Value)]) -> String {
    let values: Vec<i64> = path.iter().map(|(_, value)| value.as_i64().unwrap_or(0)).collect();
    let turns = |place: usize| {
        place == 0 || place + 1 == values.len() || (values[place] > values[place - 1]) != (values[place + 1] > values[place])
    };
    let kept = (0..values.len()).filter(|place| turns(*place)).map(|place| values[place].to_string());
    kept.collect::<Vec<_>>().join(" > ")
}

fn tell_objects(lives: &[Life], interests: &Interests<'_>, story: &mut Story) {
    for life in lives.iter().filter(|life| !matches!(&*life.kind, "Pod" | "EndpointSlice") && !(interests.leave_out)(&life.subject)) {
        let subject = &life.subject;
        let mut fact = |name: &str, value: String| drop(story.facts.insert(format!("{subject} {name}"), value));
        let names: BTreeSet<&String> = life.changes.iter().map(|(_, name, _)| name).collect();
        for name in names.into_iter().filter(|name| !NOT_COMPARED.contains(&name.as_str())) {
            match name.as_str() {
                "conditions" => {
                    for condition in life.fields(name) {
                        fact(&condition, shown(&life.field(name, &condition)));
                    }
                }
                "status" => {
                    for count in life.fields(name) {
                        let path = life.field(name, &count);
                        fact(&format!("status.{count}"), turning_points(&path));
                    }
                }
                _ => fact(name, shown(&life.path(name))),
            }
        }
        fact("is there at the end", life.deleted.is_none().to_string());
    }
    tell_object_times(lives, interests, story);
}

fn tell_object_times(lives: &[Life], interests: &Interests<'_>, story: &mut Story) {
    for life in lives.iter().filter(|life| !matches!(&*life.kind, "Pod" | "EndpointSlice") && !(interests.leave_out)(&life.subject)) {
        for (place, (t, value)) in life.path("specReplicas").into_iter().enumerate().skip(1) {
            story.numbers.insert(format!("{} specReplicas, change {place} to {}", life.subject, show(value)), vec![t]);
        }
        for condition in life.fields("conditions") {
            for (place, (t, value)) in life.field("conditions", &condition).into_iter().enumerate().skip(1) {
                story.numbers.insert(format!("{} {condition}, change {place} to {}", life.subject, show(value)), vec![t]);
            }
        }
        for (place, (t, value)) in life.path("taints").into_iter().enumerate().skip(1) {
            story.numbers.insert(format!("{} taints, change {place} to {}", life.subject, show(value)), vec![t]);
        }
        if let Some(t) = life.deleted {
            story.numbers.insert(format!("{} deleted", life.subject), vec![t]);
        }
    }
}

/// How many pods of each group went which way.
fn tell_pods(lives: &[Life], story: &mut Story) {
    let mut counts: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for life in lives.iter().filter(|life| life.kind == "Pod") {
        let subject = &life.subject;
        let mut count = |fact: String, value: String| *counts.entry(fact).or_default().entry(value).or_default() += 1;
        count(format!("{subject} created"), "pods".to_owned());
        if life.deleted.is_some() {
            count(format!("{subject} removed"), "pods".to_owned());
        }
        for fact in ["phase", "deletionGraceSeconds", "priority", "finalizers"] {
            let path = life.path(fact);
            if !path.is_empty() {
                count(format!("{subject} {fact}"), shown(&path));
            }
        }
        for condition in life.fields("conditions") {
            count(format!("{subject} {condition}"), shown(&life.field("conditions", &condition)));
        }
        for container in life.fields("containers") {
            let path = life.field("containers", &container);
            for field in ["ready", "restarts", "state", "last"] {
                let mut values: Vec<String> = path.iter().map(|(_, value)| show(value.get(field).unwrap_or(&Value::Null))).collect();
                values.dedup();
                count(format!("{subject} container {container} {field}"), values.join(" > "));
            }
        }
        tell_pod_times(life, story);
    }
    for (fact, values) in counts {
        let text = values.iter().map(|(value, count)| format!("{count} x {value}")).collect::<Vec<_>>().join("; ");
        story.facts.insert(fact, text);
    }
}

fn tell_pod_times(life: &Life, story: &mut Story) {
    let mut number = |what: &str, from: Option<f64>, to: Option<f64>| {
        if let (Some(from), Some(to)) = (from, to) {
            story.numbers.entry(format!("{} {what}", life.subject)).or_default().push(to - from);
        }
    };
    let first = |fact: &str| life.path(fact).first().map(|(t, _)| *t);
    let running = life.path("phase").into_iter().find(|(_, value)| value.as_str() == Some("Running")).map(|(t, _)| t);
    number("created to scheduled", Some(life.created), first("node"));
    number("scheduled to running", first("node"), running);
    number("running to ready", running, life.first_true("Ready"));
    number("deletion to removal", first("deleting"), life.deleted);
}

/// How many pods went which way through a Service's endpoints.
fn tell_slices(lives: &[Life], names: &Names, story: &mut Story) {
    for life in lives.iter().filter(|life| life.kind == "EndpointSlice") {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for pod in life.fields("endpoints") {
            let group = names.subject("Pod", &pod);
            let path = life.field("endpoints", &pod);
            let path: Vec<(f64, &Value)> = path.into_iter().skip_while(|(_, value)| value.is_null()).collect();
            *counts.entry(format!("{group}: {}", shown(&path))).or_default() += 1;
        }
        let text = counts.iter().map(|(path, count)| format!("{count} x {path}")).collect::<Vec<_>>().join("; ");
        story.facts.insert(format!("{} endpoints", life.subject), text);
    }
}

/// Which Events were told of how many objects, and how often in all.
fn tell_events(lines: &[Line], names: &Names, interests: &Interests<'_>, story: &mut Story) {
    let mut told: BTreeMap<Told, BTreeMap<&str, u64>> = BTreeMap::new();
    // A later line of an Event is known by the object's name and what it counts; series are told apart by order.
    let mut last: BTreeMap<(&str, u64), Told> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.kind == "Event") {
        let text = |field: &str| line.set.get(field).and_then(Value::as_str).unwrap_or("");
        let count = line.set.get("count").and_then(Value::as_u64).unwrap_or(1);
        if line.ev == "ADDED" {
            let Some((kind, name)) = text("object").split_once('/') else { continue };
            let object = names.subject(kind, name);
            if (interests.leave_out)(&object) {
                continue;
            }
            let event = Told {
                kind: text("type").into(),
                reason: text("reason").into(),
                object,
                message: names.text(text("message")),
                source: text("source").into(),
            };
            *told.entry(event.clone()).or_default().entry(line.name.as_str()).or_default() += count;
            last.insert((line.name.as_str(), count), event);
        } else if line.ev == "MODIFIED"
            && let Some(event) = last.remove(&(line.name.as_str(), count.saturating_sub(1)))
        {
            *told.entry(event.clone()).or_default().entry(line.name.as_str()).or_default() += 1;
            last.insert((line.name.as_str(), count), event);
        }
    }
    for (Told { kind, reason, object, message, source }, objects) in told {
        let fact = format!("{object} Event {kind} {reason} ({source}): {message}");
        story.facts.insert(fact.clone(), format!("told of {}", objects.len()));
        story.numbers.insert(format!("{fact}, times"), objects.values().map(|count| *count as f64).collect());
    }
}
