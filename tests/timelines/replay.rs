//! A recording's objects and script as a world, run and told as a timeline of its own.
//!
//! Nothing here knows a scenario: images, arguments and probes mean what FORMAT.md says they mean to the rig's
//! runtime, steps what it says they did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Kind, LabelSelector, ObjectKey, Propagation, SimDuration, SimTime, Str, Taint, TaintEffect};
use engine::random::Distribution;
use engine::spec::{
    Behavior, ControlPlane, CpuLoad, Crash, Fault, FaultAction, FaultMode, FaultTarget, Objects, PodSelector, ProbeKind, Step, StepAction,
    WorldSpec,
};
use engine::{Limits, World};
use manifests::Problems;
use serde_json::{Value, json};
use trace::{MemorySink, Record};

use crate::placement::AsRecorded;
use crate::recording::{self, Line, Recording, documents};

/// Runs the recording's script under a seed.
pub(crate) fn replay(recording: &Recording, seed: u64) -> Vec<Line> {
    let spec = Arc::new(Lowering::new(recording).world());
    let scheduler = AsRecorded::new(recording);
    let mut world = World::new(spec, Box::new(scheduler), seed);
    let mut sink = MemorySink::default();
    world.run(&mut sink, &Limits::default(), &mut |_| true);
    let namespace = recording.namespace();
    sink.records.iter().filter_map(|(at, record)| line(at.as_secs_f64(), record, namespace)).collect()
}

/// A record as a watch line.
fn line(t: f64, record: &Record, namespace: &str) -> Option<Line> {
    let Record::Watch { kind, name, ev, set } = record else { return None };
    let local = |name: &str| name.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name).to_owned();
    let mut set = set.clone();
    if let Some(Value::String(object)) = set.get_mut("object")
        && let Some((kind, name)) = object.split_once('/')
    {
        *object = format!("{kind}/{}", local(name));
    }
    Some(Line { t, kind: kind.to_string(), name: local(name), ev: ev.to_string(), set })
}

/// Kinds that the simulator does not play yet. A recording that needs one is listed as pending.
pub(crate) const NOT_PLAYED: &[&str] = &[];

/// The kinds a recording needs that are not played, with the objects of those kinds.
pub(crate) fn not_played(recording: &Recording) -> BTreeSet<String> {
    let kinds = recording::yaml(&recording.objects).into_iter();
    kinds.map(|object| object["kind"].as_str().unwrap_or("").to_owned()).filter(|kind| NOT_PLAYED.contains(&kind.as_str())).collect()
}

/// Objects as the script has left them so far, and what becomes of them.
struct Lowering<'a> {
    recording: &'a Recording,
    /// By kind and name, in the form they were sent.
    objects: BTreeMap<(String, String), Value>,
    priority_classes: Vec<Value>,
    spec: WorldSpec,
}

impl<'a> Lowering<'a> {
    fn new(recording: &'a Recording) -> Self {
        let key = |object: &Value| (text(object, "/kind"), text(object, "/metadata/name"));
        let objects: BTreeMap<_, _> = recording::yaml(&recording.objects).into_iter().map(|object| (key(&object), object)).collect();
        let priority_classes = objects.values().filter(|object| object["kind"] == "PriorityClass").cloned().collect();
        Self { recording, objects, priority_classes, spec: WorldSpec { watch: true, ..WorldSpec::default() } }
    }

    fn world(mut self) -> WorldSpec {
        self.spec.control_plane = settings();
        let joins: BTreeSet<String> =
            self.recording.steps().iter().filter(|step| step.action == "node-join").map(|step| step.text("node").to_owned()).collect();
        // "INITIAL (state just before t=0: nodes, namespace)": objects.yaml names nodes that come later, too.
        let initial =
            |name: &String| self.recording.lines.iter().any(|line| line.ev == "INITIAL" && line.kind == "Node" && line.name == *name);
        let nodes = self.objects.iter().filter(|((kind, name), _)| kind == "Node" && !joins.contains(name) && initial(name));
        let mut nodes: Vec<Value> = nodes.map(|(_, node)| node.clone()).collect();
        nodes.iter_mut().for_each(|node| as_before(node, self.recording));
        self.spec.objects = self.read(&nodes);
        self.spec.lease_phases = lease_phases(self.recording);
        for (place, step) in self.recording.steps().into_iter().enumerate() {
            self.step(place, step);
        }
        self.spec
    }

    /// The API objects that these values describe.
    fn read(&self, values: &[Value]) -> Objects {
        let mut problems = Problems::default();
        let classes = self.priority_classes.iter().filter(|class| !values.contains(class));
        let text: Vec<String> = values.iter().chain(classes).map(Value::to_string).collect();
        let documents = documents(&text.join("\n---\n"));
        let options = manifests::Options { fidelity: false, namespace: self.recording.namespace().into(), ..manifests::Options::default() };
        let found = manifests::read_documents(&documents, &options, &mut problems);
        assert!(!problems.has_errors(), "{}", manifests::render(&problems, false));
        scenarios::engine_objects(&found)
    }

    fn act(&mut self, t: f64, what: &str, action: StepAction) {
        self.spec.steps.push(Step { name: what.into(), at: time(t), action });
    }

    fn apply(&mut self, t: f64, kind: &str, name: &str) {
        if NOT_PLAYED.contains(&kind) {
            return;
        }
        let Some(object) = self.objects.get(&(kind.to_owned(), name.to_owned())).cloned() else { return };
        self.behave(kind, name, &object);
        let objects = self.read(&[object]);
        self.act(t, "apply", StepAction::Apply(Arc::new(objects)));
    }

    fn step(&mut self, place: usize, step: recording::Step<'_>) {
        let (t, kind, name) = (step.t, step.text("kind"), step.text("object"));
        match step.action {
            "create" => self.apply(t, kind, name),
            "end" => self.spec.duration = SimDuration::from_secs_f64(t.max(0.001)),
            "delete" => self.delete(t, kind, name, step.text("propagationPolicy")),
            "kubectl" => self.kubectl(t, step.text("args")),
            "node-join" => self.apply(t, "Node", step.text("node")),
            "delete-node" => {
                self.act(t, "delete node", StepAction::Delete(Kind::Node, ObjectKey::new("", step.text("node")), Propagation::Background))
            }
            "taint" | "untaint" => self.taint(place, step),
            "node-partition" => self.strike(place, &[step.text("node")], t, FaultAction::NodeNetworkPartition),
            // "`node-freeze`: SIGSTOP/SIGCONT": its connections last, so that there is nothing to back off from.
            "node-freeze" => {
                self.spec.control_plane.kubelet.reconnect_back_off_max = SimDuration::ZERO;
                self.strike(place, &[step.text("node")], t, FaultAction::NodeNetworkPartition);
            }
            "node-kill" => self.strike(place, &[step.text("node")], t, FaultAction::NodePoweroff),
            "nodes-stop-renewing-leases" => {
                let names = range(step.text("nodes"));
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                // "Only Node+Lease objects": there is no kubelet that would have to find out.
                self.strike(place, &names, t, FaultAction::KubeletServiceKill);
            }
            "crash" => self.crash(step),
            "liveness-fails" => {
                let probe = ProbeKind::Liveness;
                self.strike_pod(t, step.text("pod"), FaultAction::ProbeFailure { container: None, probe });
            }
            "set-load" => self.load(step),
            _ if step.step.get("patch").is_some() => self.patch(t, kind, name, &step.step["patch"]),
            _ => {}
        }
    }

    fn delete(&mut self, t: f64, kind: &str, name: &str, propagation: &str) {
        if kind == "Pod" { self.delete_pod(t, name) } else { self.delete_object(t, kind, name, propagation) }
    }

    fn delete_object(&mut self, t: f64, kind: &str, name: &str, propagation: &str) {
        let Some(kind) = KINDS.iter().find(|(known, _)| *known == kind).map(|(_, kind)| *kind) else { return };
        let propagation = match propagation {
            "Foreground" => Propagation::Foreground,
            "Orphan" => Propagation::Orphan,
            _ => Propagation::Background,
        };
        self.act(t, "delete", StepAction::Delete(kind, ObjectKey::new(self.recording.namespace(), name), propagation));
    }

    fn patch(&mut self, t: f64, kind: &str, name: &str, patch: &Value) {
        let key = (kind.to_owned(), name.to_owned());
        if NOT_PLAYED.contains(&kind) {
            return;
        }
        if let Some(object) = self.objects.get_mut(&key) {
            merge(object, patch);
        }
        let scaled = patch["spec"].as_object().filter(|spec| spec.len() == 1).and_then(|spec| spec.get("replicas")?.as_i64());
        match (scaled, KINDS.iter().find(|(known, _)| *known == kind)) {
            (Some(replicas), Some((_, kind))) => {
                let key = ObjectKey::new(self.recording.namespace(), name);
                self.act(t, "scale", StepAction::Scale(*kind, key, replicas as i32));
            }
            _ => self.apply(t, kind, name),
        }
    }

    fn kubectl(&mut self, t: f64, args: &str) {
        let words: Vec<&str> = args.split_whitespace().filter(|word| !word.starts_with('-')).collect();
        let action = match words.as_slice() {
            ["drain", node, ..] => StepAction::Drain((*node).into()),
            [verb @ ("cordon" | "uncordon"), node, ..] => StepAction::Cordon((*node).into(), *verb == "cordon"),
            ["rollout", verb, target, ..] => {
                let Some((_, name)) = target.split_once('/') else { return };
                let key = ObjectKey::new(self.recording.namespace(), name);
                match *verb {
                    "undo" => StepAction::RolloutUndo(Kind::Deployment, key, None),
                    "restart" => StepAction::RolloutRestart(Kind::Deployment, key),
                    "pause" | "resume" => StepAction::RolloutPause(Kind::Deployment, key, *verb == "pause"),
                    _ => return,
                }
            }
            _ => return,
        };
        self.act(t, args, action);
    }

    /// The rig replaces the taints it has put on itself: those of the key `rig`.
    fn taint(&mut self, place: usize, step: recording::Step<'_>) {
        let node: Str = step.text("node").into();
        let before: Vec<Taint> = self.recording.steps()[..place]
            .iter()
            .filter(|other| other.action == "taint" && other.text("node") == &*node)
            .filter_map(|other| taint(other.text("taint")))
            .collect();
        for old in before {
            self.act(step.t, "untaint", StepAction::Taint(node.clone(), old, false));
        }
        if let Some(new) = taint(step.text("taint")).filter(|_| step.action == "taint") {
            self.act(step.t, "taint", StepAction::Taint(node, new, true));
        }
    }

    /// A fault of nodes, undone by the next step that names one of them, or all.
    fn strike(&mut self, place: usize, names: &[&str], t: f64, action: FaultAction) {
        let undone = self.recording.steps()[place + 1..].iter().find_map(|step| match step.action {
            "node-rejoin" | "node-thaw" | "node-unfreeze" if names.contains(&step.text("node")) => Some(step.t),
            "nodes-renew-again" => Some(step.t),
            _ => None,
        });
        self.spec.faults.push(Fault {
            name: format!("fault {place}").into(),
            at: time(t),
            duration: undone.map(|undone| SimDuration::from_secs_f64(undone - t)),
            schedule: None,
            action,
            mode: FaultMode::All,
            target: FaultTarget::Nodes { labels: None, names: names.iter().map(|name| Str::from(*name)).collect() },
        });
    }

    fn crash(&mut self, step: recording::Step<'_>) {
        let exit_code = step.step["exitCode"].as_i64().unwrap_or(1) as i32;
        self.strike_pod(step.t, step.text("pod"), FaultAction::ContainerKill { container: None, exit_code });
    }

    /// Something that happens to one pod of this name in the recording.
    fn strike_pod(&mut self, t: f64, name: &str, action: FaultAction) {
        let target = FaultTarget::Pods(self.one_pod(name));
        self.spec.faults.push(Fault {
            name: "strike".into(),
            at: time(t),
            duration: None,
            schedule: None,
            action,
            mode: FaultMode::One,
            target,
        });
    }

    /// A pod whose name the simulation has, too; else one of the same workload on the same node, where the
    /// recording's choice of nodes has put one.
    fn one_pod(&self, name: &str) -> PodSelector {
        let namespaces = vec![self.recording.namespace().into()];
        let told = |fact: &str| {
            let lines = self.recording.lines.iter().filter(|line| line.kind == "Pod" && line.name == name);
            lines.filter_map(|line| line.set.get(fact)?.as_str()).next().unwrap_or("").to_owned()
        };
        let (owner, node) = (told("owner"), told("node"));
        let workload = match owner.split_once('/') {
            // A ReplicaSet's name is its Deployment's and a hash.
            Some(("ReplicaSet", set)) => {
                let deployment = set.strip_suffix(&told("hash")).map_or(set, |name| name.trim_end_matches('-'));
                let kind = if deployment == set { Kind::ReplicaSet } else { Kind::Deployment };
                Some((kind, ObjectKey::new(self.recording.namespace(), deployment)))
            }
            Some(("DaemonSet", set)) => Some((Kind::DaemonSet, ObjectKey::new(self.recording.namespace(), set))),
            Some(("Job", job)) => Some((Kind::Job, ObjectKey::new(self.recording.namespace(), job))),
            _ => None,
        };
        let names = if workload.is_none() { vec![name.into()] } else { Vec::new() };
        let on_node =
            LabelSelector { match_labels: [("kubernetes.io/hostname".into(), node.as_str().into())].into(), ..LabelSelector::default() };
        let node_labels = (workload.is_some() && !node.is_empty()).then_some(on_node);
        PodSelector { namespaces, workload, names, node_labels, ..PodSelector::default() }
    }

    /// A pod whose name is drawn is deleted with the grace that the recording tells of.
    fn delete_pod(&mut self, t: f64, name: &str) {
        let selector = self.one_pod(name);
        if selector.workload.is_none() {
            return self.delete_object(t, "Pod", name, "");
        }
        let lines = self.recording.lines.iter().filter(|line| line.kind == "Pod" && line.name == name);
        let grace = lines.filter_map(|line| line.set.get("deletionGraceSeconds")?.as_u64()).next().unwrap_or(30);
        self.strike_pod(t, name, FaultAction::PodKill { grace: SimDuration::from_secs(grace) });
    }

    fn load(&mut self, step: recording::Step<'_>) {
        let millis = |field: &str| step.step[field].as_i64().unwrap_or(0);
        let labels = LabelSelector { match_labels: [("app".into(), step.text("app").into())].into(), ..LabelSelector::default() };
        let namespaces = vec![self.recording.namespace().into()];
        let load = CpuLoad {
            selector: PodSelector { namespaces, labels: Some(labels), ..PodSelector::default() },
            total_millis: millis("totalMillicores"),
            per_pod_millis: millis("perPodMillicores"),
            cap_millis: Some(millis("capMillicores")).filter(|cap| *cap > 0),
        };
        self.act(step.t, "set load", StepAction::SetLoad(load));
    }

    /// What the rig's runtime does with the pods of a workload.
    fn behave(&mut self, kind: &str, name: &str, object: &Value) {
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == kind) else { return };
        let spec = object.pointer("/spec/template/spec").or_else(|| object.pointer("/spec").filter(|_| *kind == Kind::Pod));
        let Some(container) = spec.and_then(|spec| spec["containers"].get(0)) else { return };
        let image = text(container, "/image");
        let args: Vec<&str> = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let value = |name: &str| args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
        let constant = |text: &str| text.parse().ok().map(Distribution::Constant);
        let command: Vec<&str> = container
            .pointer("/readinessProbe/exec/command")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let key = ObjectKey::new(self.recording.namespace(), name);
        let fails = image.ends_with("pullfail");
        let crash = value("exit-after").and_then(constant).map(|after| Crash {
            after,
            exit_code: value("exit-code").and_then(|code| code.parse().ok()).unwrap_or(0),
            times: value("fail-times").and_then(|times| times.parse().ok()),
        });
        // "`fail-pods=-1` (only pods whose name ends so)": a workload's pods that have numbers.
        let names: Vec<Str> = value("fail-pods").map(|suffix| format!("{name}{suffix}").into()).into_iter().collect();
        if let (false, Some(_)) = (names.is_empty(), &crash) {
            let selector = PodSelector { workload: Some((*kind, key.clone())), names, ..PodSelector::default() };
            self.spec.behaviors.push(Behavior { selector, crash: crash.clone(), ..Behavior::default() });
        }
        let crash = crash.filter(|_| value("fail-pods").is_none());
        self.spec.behaviors.insert(
            0,
            Behavior {
                selector: PodSelector { workload: Some((*kind, key)), image: Some(image.as_str().into()), ..PodSelector::default() },
                // "`pullfail` fails after 0.2 s with NotFound."
                image_pull: if fails { constant("200ms") } else { image.rsplit_once("pull").and_then(|(_, takes)| constant(takes)) },
                image_pull_error: fails.then(|| "rpc error: code = NotFound desc = failed to pull and unpack image: not found".into()),
                ready_after: match command.as_slice() {
                    ["ready", after] => constant(after),
                    _ => None,
                },
                never_ready: command == ["never"],
                stop: value("stop-takes").and_then(constant),
                crash,
                ..Behavior::default()
            },
        );
    }
}

const KINDS: &[(&str, Kind)] = &[
    ("Pod", Kind::Pod),
    ("Deployment", Kind::Deployment),
    ("ReplicaSet", Kind::ReplicaSet),
    ("StatefulSet", Kind::StatefulSet),
    ("DaemonSet", Kind::DaemonSet),
    ("Job", Kind::Job),
    ("Service", Kind::Service),
    ("Node", Kind::Node),
    ("HorizontalPodAutoscaler", Kind::HorizontalPodAutoscaler),
    ("PodDisruptionBudget", Kind::PodDisruptionBudget),
];

/// When kubelets renewed their leases, as far as the recording tells.
fn lease_phases(recording: &Recording) -> BTreeMap<Str, SimTime> {
    let leases = recording.summary["leases"].as_object().into_iter().flatten();
    leases.filter_map(|(node, told)| Some((node.as_str().into(), time(told["lastRenewBefore"].as_f64()?)))).collect()
}

/// A node as it was just before the script: its taints, and the images that earlier runs had left on it. Those
/// are seen by the first pod that runs such an image there: it finds it present.
fn as_before(node: &mut Value, recording: &Recording) {
    let name = text(node, "/metadata/name");
    let initial = recording.lines.iter().find(|line| line.kind == "Node" && line.ev == "INITIAL" && line.name == name);
    let taints = initial.and_then(|line| line.set.get("taints")).and_then(Value::as_array).into_iter().flatten();
    let taints: Vec<Value> = taints
        .filter_map(|told| taint(told.as_str()?))
        .map(|taint| json!({ "key": &*taint.key, "value": &*taint.value, "effect": taint.effect.as_str() }))
        .collect();
    node["spec"]["taints"] = Value::Array(taints);
    let on_node: BTreeSet<&str> = recording
        .lines
        .iter()
        .filter(|line| line.kind == "Pod" && line.set.get("node").and_then(Value::as_str) == Some(&name))
        .map(|line| line.name.as_str())
        .collect();
    let (mut seen, mut images) = (BTreeSet::new(), Vec::new());
    for line in recording.lines.iter().filter(|line| line.kind == "Event" && on_node.contains(line.name.as_str())) {
        let of = |field: &str| line.set.get(field).and_then(Value::as_str).unwrap_or("");
        let Some(image) = of("message").split('"').nth(1).filter(|_| matches!(of("reason"), "Pulling" | "Pulled")) else { continue };
        if seen.insert(image) && of("reason") == "Pulled" {
            images.push(json!({ "names": [image], "sizeBytes": 0 }));
        }
    }
    node["status"]["images"] = Value::Array(images);
}

/// "Flags (everything else default)" and "Constants of the fake runtime" of FORMAT.md.
fn settings() -> ControlPlane {
    let mut settings = ControlPlane::default();
    let nothing = Distribution::Constant(SimDuration::ZERO);
    settings.kubelet.default_image_pull = nothing.clone();
    settings.kubelet.image_check = nothing.clone();
    // "request -> watch event 5-20 ms ... scheduled -> running 20-70 ms".
    settings.api_server.request_latency = Distribution::Uniform { min: SimDuration::from_millis(3), max: SimDuration::from_millis(13) };
    settings.kubelet.container_start = Distribution::Uniform { min: SimDuration::from_millis(5), max: SimDuration::from_millis(40) };
    settings.kubelet.default_stop = nothing;
    settings
}

fn time(seconds: f64) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs_f64(seconds.max(0.0))
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `key=value:Effect`.
fn taint(text: &str) -> Option<Taint> {
    let (rest, effect) = text.rsplit_once(':')?;
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    let effects = [TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute];
    let effect = effects.into_iter().find(|known| known.as_str() == effect)?;
    Some(Taint { key: key.into(), value: value.into(), effect, time_added: None })
}

/// Nodes that this run's script never speaks of, and that something happened to: other runs of the rig shared them.
pub(crate) fn foreign(recording: &Recording) -> BTreeSet<String> {
    let mut spoken_of = struck(recording);
    spoken_of.extend(recording.steps().iter().flat_map(|step| step.text("args").split_whitespace()).map(str::to_owned));
    let changed = recording.lines.iter().filter(|line| line.kind == "Node" && line.ev == "MODIFIED");
    changed.map(|line| line.name.clone()).filter(|name| !spoken_of.contains(name)).collect()
}

/// `--kube-api-burst` of the controller-manager.
const CLIENT_BURST: i64 = 30;

/// How long the ReplicaSet controller's client, which all runs of the rig shared, let this run's ReplicaSets wait: from
/// a new size until the first status that tells of it. What was refused, and what is more than the client's burst,
/// waits for reasons of its own.
pub(crate) fn waited(recording: &Recording) -> f64 {
    let text = |line: &Line, fact: &str| line.set.get(fact).and_then(Value::as_str).unwrap_or("").to_owned();
    if recording.lines.iter().any(|line| line.kind == "Event" && text(line, "reason") == "FailedCreate") {
        return 0.0;
    }
    let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
    let mut longest: f64 = 0.0;
    for (place, line) in recording.lines.iter().enumerate().filter(|(_, line)| line.kind == "ReplicaSet") {
        let Some(size) = line.set.get("specReplicas").and_then(Value::as_i64) else { continue };
        let change = size - sizes.insert(&line.name, size).unwrap_or(0);
        if (1..=CLIENT_BURST).contains(&change.abs()) {
            let is_told = |other: &&Line| other.kind == "ReplicaSet" && other.name == line.name && other.set.contains_key("status");
            longest = recording.lines[place + 1..].iter().find(is_told).map_or(longest, |told| longest.max(told.t - line.t));
        }
    }
    longest
}

/// The nodes that steps of the script name.
pub(crate) fn struck(recording: &Recording) -> BTreeSet<String> {
    let steps = recording.steps();
    let named = steps.iter().flat_map(|step| [step.text("node").to_owned()].into_iter().chain(range(step.text("nodes"))));
    named.filter(|name| !name.is_empty()).collect()
}

/// `la1..la40`.
fn range(text: &str) -> Vec<String> {
    let Some((first, last)) = text.split_once("..") else { return vec![text.to_owned()] };
    let split = |name: &str| -> (String, u32) {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        (name[..name.len() - digits.len()].to_owned(), digits.parse().unwrap_or(0))
    };
    let ((prefix, first), (_, last)) = (split(first), split(last));
    (first..=last).map(|number| format!("{prefix}{number}")).collect()
}

/// A strategic merge patch, as far as the scripts need it: containers are merged by name, null takes a field away.
fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (field, value) in patch {
                if value.is_null() {
                    object.remove(field);
                } else {
                    merge(object.entry(field.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(items), Value::Array(patches)) if patches.iter().all(|patch| patch["name"].is_string()) => {
            for patch in patches {
                match items.iter_mut().find(|item| item["name"] == patch["name"]) {
                    Some(item) => merge(item, patch),
                    None => items.push(patch.clone()),
                }
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}
