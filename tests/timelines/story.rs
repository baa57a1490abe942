//! What happened, told without what chance decides: names, hashes, addresses, which of several equals.
//!
//! A timeline, recorded or simulated, becomes a [`Story`]: facts by subject. Subjects are objects whose names
//! mean something (`Deployment/web`, `Node/g1`), the n-th ReplicaSet of a Deployment (`ReplicaSet/web#1`), and
//! for pods whose names are drawn the group of their owner: there a fact says how many pods went which way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::recording::Line;

/// The values that a fact of an object took, each with how long it held.
pub(crate) type Path = Vec<(String, f64)>;

/// Facts of a run: what is exact, and when things happened.
#[derive(Default, Debug)]
pub(crate) struct Story {
    /// What has to be equal, by subject and fact.
    pub(crate) facts: BTreeMap<String, String>,
    /// What went through the same values, by subject and fact: the path of every object of the subject.
    pub(crate) paths: BTreeMap<String, Vec<Path>>,
    /// What is a number of things or a time, by subject and fact: every value there was.
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
}

/// An object's life under one name.
struct Life {
    kind: String,
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
    /// A path with how long each value held.
    fn told(&self, path: &[(f64, &Value)], names: &Names, end: f64) -> Path {
        let end = self.deleted.unwrap_or(end);
        let until = path.iter().skip(1).map(|(t, _)| *t).chain([end]);
        path.iter().zip(until).map(|((from, value), until)| (names.text(&show(value)), until - from)).collect()
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

/// Reads a timeline. `script` is when the steps of the script were.
pub(crate) fn story(lines: &[Line], namespace: &str, script: &[f64], interests: &Interests<'_>) -> Story {
    let names = Names::new(lines, namespace, interests);
    let lives = lives(lines, &names, interests);
    let end = script.last().copied().unwrap_or(0.0);
    let mut story = Story::default();
    tell_objects(&lives, &names, script, end, &mut story);
    tell_pods(&lives, &names, end, &mut story);
    tell_slices(&lives, &names, end, interests, &mut story);
    tell_events(lines, &names, interests, &mut story);
    story
}

/// What the story is asked about.
pub(crate) struct Interests<'a> {
    /// Subjects left out: their kinds are not simulated.
    pub(crate) leave_out: &'a dyn Fn(&str) -> bool,
    /// Nodes that something was done to, by name. Which of them is noticed first is chance.
    pub(crate) struck: &'a BTreeSet<String>,
    /// Reasons of Events that say nothing here.
    pub(crate) events_left_out: &'a [&'a str],
}

/// Names that chance decides, and what they are called here.
struct Names {
    called: BTreeMap<String, String>,
    subjects: BTreeMap<(String, String), String>,
    /// Images by order of appearance.
    namespace: String,
}

impl Names {
    fn new(lines: &[Line], namespace: &str, interests: &Interests<'_>) -> Self {
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
                "Node" if interests.struck.contains(&line.name) => names.call_node(line),
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
        for line in lines.iter().filter(|line| line.kind == "StatefulSet") {
            for revision in ["currentRevision", "updateRevision"].iter().filter_map(|fact| line.set.get(*fact)?.as_str()) {
                let start = format!("revision of {}#", line.name);
                let number = names.called.values().filter(|called| called.starts_with(&start)).count() + 1;
                names.called.entry(revision.to_owned()).or_insert_with(|| format!("{start}{number}"));
            }
        }
        names
    }

    fn call_node(&mut self, line: &Line) {
        let zone = line.set.get("labels").and_then(|labels| labels["topology.kubernetes.io/zone"].as_str()).unwrap_or("no zone");
        self.called.insert(line.name.clone(), "<node>".to_owned());
        self.subjects.insert(("Node".to_owned(), line.name.clone()), format!("Node/struck ones of {zone}"));
    }

    fn call_pod(&mut self, line: &Line) {
        let subject = match line.set.get("owner").and_then(Value::as_str).and_then(|owner| owner.split_once('/')) {
            Some((kind @ ("ReplicaSet" | "DaemonSet" | "Job"), name)) => format!("Pods of {kind}/{}", self.call(name)),
            Some((kind, name)) => format!("Pod/{} of {kind}/{name}", line.name),
            None => format!("Pod/{}", line.name),
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
        // A pod that was never there: its ReplicaSet's name and five characters.
        if let Some((set, tail_of_name)) = bare.rsplit_once('-')
            && tail_of_name.len() == 5
            && self.called.get(set).is_some_and(|called| called.contains('#'))
        {
            return format!("<pod>{tail}");
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

/// Events are told apart; of the others nothing is played.
const KINDS_NOT_COMPARED: &[&str] = &["Event", "Namespace", "ControllerRevision"];

fn lives(lines: &[Line], names: &Names, interests: &Interests<'_>) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut now: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| !KINDS_NOT_COMPARED.contains(&line.kind.as_str())) {
        let key = (line.kind.as_str(), line.name.as_str());
        if matches!(&*line.ev, "ADDED" | "INITIAL") {
            let subject = names.subject(&line.kind, &line.name);
            if (interests.leave_out)(&subject) {
                continue;
            }
            now.insert(key, lives.len());
            lives.push(Life { kind: line.kind.clone(), subject, created: line.t, deleted: None, changes: Vec::new() });
        }
        let Some(life) = now.get(&key).and_then(|place| lives.get_mut(*place)) else { continue };
        if line.ev == "DELETED" {
            life.deleted = Some(line.t);
            now.remove(&key);
            continue;
        }
        let told = |fact: &str, value: &Value| match value {
            value if value.is_null() || !PRESENCES.contains(&fact) => value.clone(),
            _ => Value::from("<set>"),
        };
        life.changes.extend(line.set.iter().map(|(fact, value)| (line.t, fact.clone(), told(fact, value))));
    }
    lives
}

/// Facts that are not told of here, and why.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("hash", "a name that is drawn; which pods share one is told by their ReplicaSets"),
    ("labels", "they are given, and do not change"),
    ("specFinalizers", "given, and does not change"),
    ("owner", "it is in the name of the subject"),
    ("endpoints", "told of by pod"),
    ("uncounted", "identities, and their grouping varies between runs; what comes of them is counted in the status"),
    ("clusterIP", "the rig tells the same of headless Services"),
    ("metrics", "the simulator keeps no metrics in an autoscaler's status; the sizes they lead to are compared"),
];

/// Facts of which only matters whether, and when, they are there: addresses, places and clocks.
const PRESENCES: &[&str] = &["podIP", "nominatedNode", "startTime", "completionTime", "lastScaleTime"];

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

fn tell_objects(lives: &[Life], names: &Names, script: &[f64], end: f64, story: &mut Story) {
    for life in lives.iter().filter(|life| !matches!(&*life.kind, "Pod" | "EndpointSlice")) {
        let subject = &life.subject;
        *story.numbers.entry(format!("{} objects there were", life.kind)).or_insert(vec![0.0]).first_mut().expect("one") += 1.0;
        let facts: BTreeSet<&String> = life.changes.iter().map(|(_, name, _)| name).collect();
        for fact in facts.into_iter().filter(|name| !NOT_COMPARED.iter().any(|(known, _)| known == name)) {
            match fact.as_str() {
                "conditions" => {
                    for condition in life.fields(fact) {
                        tell_path(life, &condition, &life.field(fact, &condition), names, script, end, story);
                    }
                }
                "status" => {
                    for count in life.fields(fact) {
                        tell_count(subject, &count, &life.field(fact, &count), story);
                    }
                }
                _ => tell_path(life, fact, &life.path(fact), names, script, end, story),
            }
        }
        *story.numbers.entry(format!("{subject} there at the end")).or_insert(vec![0.0]).first_mut().expect("one") +=
            f64::from(u8::from(life.deleted.is_none()));
        if let Some(deleted) = life.deleted {
            let changed = life.changes.last().map_or(life.created, |(t, ..)| *t);
            let after = (deleted - changed).min(since(deleted, script));
            story.numbers.entry(format!("{subject} deleted, after its last change")).or_default().push(after);
        }
    }
}

/// A path, and how long after the change before it, or the last step of the script, each change came.
fn tell_path(life: &Life, fact: &str, path: &[(f64, &Value)], names: &Names, script: &[f64], end: f64, story: &mut Story) {
    let subject = &life.subject;
    for pair in path.windows(2) {
        let ((from, before), (t, value)) = (pair[0], pair[1]);
        let after = (t - from).min(since(t, script));
        let step = script.iter().filter(|step| **step <= t).count();
        // Sizes are passed in steps that vary.
        let before = if fact == "specReplicas" { format!("from {} ", show(before)) } else { String::new() };
        let key = format!("{subject} {fact}, change {before}to {} after step {step}", names.text(&show(value)));
        story.numbers.entry(key).or_default().push(after);
    }
    story.paths.entry(format!("{subject} {fact}")).or_default().push(life.told(path, names, end));
}

/// How long after the last step of the script.
fn since(t: f64, script: &[f64]) -> f64 {
    script.iter().rfind(|step| **step <= t).map_or(t, |step| t - step)
}

/// A count's first and last values are exact; what it reached in between is a number.
fn tell_count(subject: &str, count: &str, path: &[(f64, &Value)], story: &mut Story) {
    let values: Vec<f64> = path.iter().map(|(_, value)| value.as_f64().unwrap_or(0.0)).collect();
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
    story.facts.insert(format!("{subject} status.{count}, first and last"), format!("{first}, {last}"));
    for (what, value) in
        [("least", values.iter().copied().fold(f64::MAX, f64::min)), ("most", values.iter().copied().fold(f64::MIN, f64::max))]
    {
        story.numbers.insert(format!("{subject} status.{count}, {what}"), vec![value]);
    }
}

/// How the pods of each group went.
fn tell_pods(lives: &[Life], names: &Names, end: f64, story: &mut Story) {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for life in lives.iter().filter(|life| life.kind == "Pod") {
        let subject = &life.subject;
        *counts.entry(format!("{subject} created")).or_default() += 1.0;
        *counts.entry(format!("{subject} removed")).or_default() += f64::from(u8::from(life.deleted.is_some()));
        let mut tell = |fact: &str, path: Path| story.paths.entry(format!("{subject} {fact}")).or_default().push(path);
        for fact in ["phase", "deletionGraceSeconds", "priority", "finalizers", "podIP", "nominatedNode", "image"] {
            let path = life.path(fact);
            if !path.is_empty() {
                tell(fact, life.told(&path, names, end));
            }
        }
        for condition in life.fields("conditions") {
            tell(&condition, life.told(&life.field("conditions", &condition), names, end));
        }
        for container in life.fields("containers") {
            let path = life.field("containers", &container);
            for field in ["ready", "restarts", "state", "last"] {
                let mut values: Vec<(f64, &Value)> = path.iter().map(|(t, value)| (*t, value.get(field).unwrap_or(&Value::Null))).collect();
                values.dedup_by(|next, kept| next.1 == kept.1);
                tell(&format!("container {container} {field}"), life.told(&values, names, end));
            }
        }
        tell_pod_times(life, story);
    }
    story.numbers.extend(counts.into_iter().map(|(fact, count)| (fact, vec![count])));
}

/// Longer than any grace of the scripts.
const LONGEST_GRACE_SECONDS: f64 = 35.0;

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
    let removal = match (first("deleting"), life.deleted) {
        (Some(asked), Some(gone)) if gone - asked > LONGEST_GRACE_SECONDS => "deletion to removal by a node that had not answered",
        _ => "deletion to removal",
    };
    number(removal, first("deleting"), life.deleted);
}

/// How the pods of each group went through a Service's endpoints.
fn tell_slices(lives: &[Life], names: &Names, end: f64, interests: &Interests<'_>, story: &mut Story) {
    for life in lives.iter().filter(|life| life.kind == "EndpointSlice") {
        for pod in life.fields("endpoints") {
            let path = life.field("endpoints", &pod);
            let path: Vec<(f64, &Value)> = path.into_iter().skip_while(|(_, value)| value.is_null()).collect();
            let subject = names.subject("Pod", &pod);
            if (interests.leave_out)(&subject) {
                continue;
            }
            let fact = format!("{} endpoints, {subject}", life.subject);
            story.paths.entry(fact).or_default().push(life.told(&path, names, end));
        }
    }
}

/// Events that are not compared, by component and reason, and why.
const EVENTS_NOT_COMPARED: &[(&str, &str, &str)] = &[
    ("kubelet", "ImageGCFailed", "the rig has no cadvisor"),
    ("kubelet", "NodeHasSufficientMemory", "counted over all runs of the rig"),
    ("kubelet", "NodeHasNoDiskPressure", "counted over all runs of the rig"),
    ("kubelet", "NodeHasSufficientPID", "counted over all runs of the rig"),
    ("kubelet", "NodeReady", "counted over all runs of the rig"),
    ("kubelet", "Starting", "counted over all runs of the rig"),
    ("kubelet", "Rebooted", "the rig's processes share one boot id"),
];

/// Which Events were told of how many objects, and how often each.
fn tell_events(lines: &[Line], names: &Names, interests: &Interests<'_>, story: &mut Story) {
    let mut told: BTreeMap<Told, BTreeMap<&str, u64>> = BTreeMap::new();
    // A later line of an Event says how often it was told so far and nothing else: it is the one that was told
    // once less.
    let mut last: Vec<(&str, u64, Told)> = Vec::new();
    for line in lines.iter().filter(|line| line.kind == "Event") {
        let text = |field: &str| line.set.get(field).and_then(Value::as_str).unwrap_or("");
        // Without a count it is never told again.
        let count = line.set.get("count").and_then(Value::as_u64).unwrap_or(u64::MAX);
        // Ours say everything again; recorded ones only what has changed.
        let known = line.ev == "MODIFIED" && !line.set.contains_key("object");
        if known {
            // Those that the spam filter holds back are counted and not told.
            let before = |(_, (name, told, _)): &(usize, &(&str, u64, Told))| *name == line.name && *told < count;
            let before = last.iter().enumerate().filter(before).max_by_key(|(_, (_, told, _))| *told);
            if let Some(place) = before.map(|(place, _)| place) {
                let (name, _, event) = last.remove(place);
                *told.entry(event.clone()).or_default().entry(name).or_default() += 1;
                last.push((name, count, event));
            }
            continue;
        }
        let Some((kind, name)) = text("object").split_once('/') else { continue };
        let (mut object, reason, source) = (names.subject(kind, name), text("reason"), text("source"));
        let is_left_out = EVENTS_NOT_COMPARED.iter().any(|(of, known, _)| (*of, *known) == (source, reason))
            || interests.events_left_out.contains(&reason);
        if (interests.leave_out)(&object) || is_left_out {
            continue;
        }
        // Which pod of several that come to a node at once asks for an image is chance.
        if matches!(reason, "Pulling" | "Pulled") && object.starts_with("Pods of") {
            object = "Pods of any owner".to_owned();
        }
        let message = match reason {
            "FailedScheduling" => "<message>".to_owned(), // It counts other namespaces' nodes and pods.
            // Placement is compared as counts.
            "Scheduled" | "Preempted" => names.text(text("message")).rsplit_once(' ').map_or_else(String::new, |(rest, _)| rest.to_owned()),
            // The sizes are facts of their own.
            "ScalingReplicaSet" => {
                names.text(text("message")).replace(|c: char| c.is_ascii_digit(), "").replace(" from  to ", " from n to n")
            }
            _ => names.text(text("message")),
        };
        let message = match message.strip_prefix("(combined from similar events)") {
            Some(_) => "(combined from similar events)".to_owned(),
            None => message,
        };
        let event = Told { kind: text("type").into(), reason: reason.into(), object, message, source: source.into() };
        *told.entry(event.clone()).or_default().entry(line.name.as_str()).or_default() += 1;
        last.push((line.name.as_str(), count, event));
    }
    // A recorded repeat says how often its Event was told so far, and not which Event of the object it is.
    let mut told_again: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for (Told { kind, reason, object, message, source }, objects) in told {
        let fact = format!("{object} Event {kind} {reason} ({source}): {message}");
        story.numbers.insert(format!("{fact}, objects"), vec![objects.len() as f64]);
        if object.starts_with("Node/") {
            continue; // Nodes outlive the runs of the rig, and so do the counts of their Events.
        }
        let again = told_again.entry(format!("{object} Events told again ({source})")).or_default();
        for (name, count) in &objects {
            *again.entry((*name).to_owned()).or_default() += (count - 1) as f64;
        }
    }
    story.numbers.extend(told_again.into_iter().map(|(fact, of_objects)| (fact, of_objects.into_values().collect())));
}
