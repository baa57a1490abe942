//! A text becomes a scenario.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::SimDuration;
use engine::spec::{ControlPlane, WorldSpec};
use manifests::{Budget, Diagnostic, Document, Origin, Pointer, Problems, Severity, SourceFile, documents_within};
use serde_json::{Map, Value, json};
use trace::Question;

use crate::catalog::{Catalog, engine_objects, origins};
use crate::cx::{Cx, with_help};
use crate::files::FileSource;
use crate::format::{API_VERSION, Clock, File, Seeds, Spec, Trace};
use crate::{check, digest, lower, owned, set};

/// The unit in which a metric is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KnownUnit {
    /// `180s`.
    Seconds,
    /// `99.5%` or 0.995.
    Ratio,
    /// `300/s`.
    PerSecond,
    /// A plain number.
    Number,
}

/// A metric that an expectation may name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownMetric {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: KnownUnit,
    /// Keys of `where` that it takes.
    pub filters: Vec<String>,
    /// Values of `stat` that it takes; none when it is one number.
    pub stats: Vec<String>,
}

/// What only other rooms know.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Known {
    /// Names of the built-in policies.
    pub policies: Vec<String>,
    /// The metrics.
    pub metrics: Vec<KnownMetric>,
}

/// How a scenario is loaded.
pub struct Options<'a> {
    /// `--set`: paths and values, in order.
    pub set: Vec<(String, String)>,
    /// The scenario file's directory; `None` for built-in ones.
    pub base_dir: Option<String>,
    /// What only other rooms know.
    pub known: Known,
    /// Where the files it names come from.
    pub files: &'a dyn FileSource,
    /// Unknown fields of manifests, and what is accepted but not simulated, are errors.
    pub strict: bool,
}

/// A policy that is not built in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyConfig {
    /// Where it comes from, for messages.
    pub name: String,
    /// A KubeSchedulerConfiguration, as YAML or JSON.
    pub text: String,
}

/// A scenario without errors.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its one-line description, or empty.
    pub description: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Digest of all it says (but seeds and policy), with the files it includes.
    pub digest: String,
    /// Seeds to run.
    pub seeds: Vec<u64>,
    /// A built-in policy's name; with [`Self::policy_config`] only what to call it.
    pub policy: String,
    /// The policy's configuration, when the scenario brings its own.
    pub policy_config: Option<PolicyConfig>,
    /// What the engine runs.
    pub world: WorldSpec,
    /// What must hold.
    pub questions: Vec<Question>,
    /// Left out of every metric.
    pub warmup: SimDuration,
    /// What time zero is called, as RFC 3339.
    pub start: String,
    /// Defaults that were assumed, and what is accepted and not simulated.
    pub notes: Vec<String>,
    resolved: Value,
}

/// The scenario with its settings applied and its defaults filled in, as YAML.
#[must_use]
pub fn resolved_yaml(scenario: &Scenario) -> String {
    serde_yaml::to_string(&scenario.resolved).unwrap_or_default()
}

/// What time zero is called unless the scenario says so.
const START: &str = "2026-01-01T00:00:00Z";
/// Programs write scenarios, too: of ten thousand recorded pods each is a step.
const BUDGET: Budget = Budget { bytes: 32 << 20, nodes: 600_000 };
/// Longer runs are a slip.
const LONGEST: SimDuration = SimDuration::from_secs(366 * 86_400);

/// The scenario in `source`. Everything wrong goes into `problems`; `None` when there was an error.
pub fn load(source: &SourceFile, options: &Options<'_>, problems: &mut Problems) -> Option<Scenario> {
    let errors = problems.error_count();
    let mut cx = opened(source, options, problems)?;
    let scenario = envelope(&mut cx).and_then(|file| scenario(&mut cx, &file));
    scenario.filter(|_| problems.error_count() == errors)
}

/// The only document of `source`, with settings applied.
pub(crate) fn opened<'a>(source: &SourceFile, options: &'a Options<'a>, problems: &'a mut Problems) -> Option<Cx<'a>> {
    let errors = problems.error_count();
    let mut found = documents_within(source, BUDGET, problems);
    if found.is_empty() {
        if problems.error_count() == errors {
            let place = manifests::Location::new(source, 1, 1, 1);
            problems.push(Diagnostic::error("WT0101", "the file is empty").at_place(place).label("expected a scenario"));
        }
        return None;
    }
    let others = found.split_off(1);
    for other in &others {
        let diagnostic = Diagnostic::error("WT0118", "more than one document").label("a scenario file holds one");
        problems.push(diagnostic.at(other, &Pointer::root(), manifests::Part::Value).help("put manifests under `spec.manifests`"));
    }
    let mut document = found.remove(0);
    set::apply(&mut document, &options.set, problems);
    Some(Cx {
        document,
        options,
        problems,
        notes: Vec::new(),
        included: BTreeMap::new(),
        clock_start: None,
        duration: SimDuration::MAX,
        shortened: options.set.iter().any(|(path, _)| matches!(path.trim(), "duration" | "spec.duration")),
        moments: BTreeMap::new(),
        is_incomplete: false,
    })
}

/// Reads what is around the spec; `None` when the file is something else altogether.
fn envelope(cx: &mut Cx<'_>) -> Option<File> {
    let root = Pointer::root();
    if !cx.value(&root).is_some_and(Value::is_object) {
        let diagnostic = Diagnostic::error("WT0105", "not a scenario").label("expected a mapping");
        cx.push(
            diagnostic.help(format!("a scenario begins with `apiVersion: {API_VERSION}`, `kind: Scenario`, `metadata` and `spec`")),
            &root,
        );
        return None;
    }
    let kind = cx.text(&root.key("kind")).map(str::to_owned);
    if kind.as_deref() == Some("Comparison") {
        let diagnostic = Diagnostic::error("WT0108", "a Comparison is not a scenario").label("expected `Scenario`");
        cx.push(diagnostic.help("`wavetank compare FILE` runs it"), &root.key("kind"));
        return None;
    }
    let version = cx.text(&root.key("apiVersion")).map(str::to_owned);
    if let (Some(version), Some(kind)) = (&version, &kind)
        && !version.starts_with("wavetank.dev/")
    {
        let diagnostic = Diagnostic::error("WT0108", format!("a {kind} is not a scenario")).label(format!("expected `{API_VERSION}`"));
        let help = "list Kubernetes objects under `spec.manifests` of a scenario (`wavetank init` makes one); `wavetank validate` checks them by themselves";
        cx.push(diagnostic.help(help), &root.key("apiVersion"));
        return None;
    }
    let file: File = cx.read(&root)?;
    let expected = [("apiVersion", file.api_version.as_deref(), API_VERSION), ("kind", file.kind.as_deref(), "Scenario")];
    for (field, found, wanted) in expected {
        match found {
            None => cx.error("WT0107", format!("required field `{field}` is missing"), format!("expected `{field}: {wanted}`"), &root),
            Some(found) if found != wanted => {
                let diagnostic = Diagnostic::error("WT0108", format!("unknown value `{found}`")).label(format!("expected `{wanted}`"));
                cx.push(diagnostic, &root.key(field));
            }
            Some(_) => {}
        }
    }
    if file.spec.is_none() {
        cx.error("WT0107", "required field `spec` is missing", "`spec` belongs here", &root);
        return None;
    }
    Some(file)
}

fn scenario(cx: &mut Cx<'_>, file: &File) -> Option<Scenario> {
    let path = Pointer::root().key("spec");
    let spec: Spec = cx.read(&path)?;
    let warmup = times(cx, &spec, &path);
    let start = clock(cx, spec.clock.as_ref(), &path.key("clock"));
    let seeds = seeds(cx, &path.key("seeds"));
    let (policy, policy_config) = policy(cx, &path.key("policy"));
    moments(cx, &path);
    check::names(cx);

    let lower::Pools { pools, pull_bandwidth, incomplete, import } = lower::cluster(cx, &path.key("cluster"));
    let mut control_plane = lower::control_plane(cx, &path.key("controlPlane"));
    control_plane.controller_manager.clock_start = since_epoch(&start);
    let (base, objects, options) = manifests_of(cx, import, &start, &control_plane, &path);
    let applied = lower::Applied::read(cx, &base, &options, &path.key("steps"));
    let catalog = Catalog::new(std::iter::once(&objects).chain(applied.objects()), cx.names(&path.key("cluster").key("nodePools")));
    let sizes = lower::images(cx, &catalog, &path.key("images"));
    if !sizes.is_empty() && pools.iter().any(|pool| pull_bandwidth.iter().all(|(name, _)| *name != pool.name)) {
        cx.note(format!("images: {}Mi of bandwidth per node", control_plane.kubelet.image_pull_bandwidth_bytes >> 20));
    }
    let images = engine::spec::ImageCatalog { sizes, pull_bandwidth };
    let behaviors = lower::behaviors(cx, &catalog, &path.key("behaviors"));
    let (traffic, sources) = lower::traffic(cx, &catalog, &behaviors, &control_plane, &path.key("traffic"));
    let metrics = lower::metrics(cx, &catalog, !traffic.sources.is_empty(), &path.key("metrics"));
    let faults = lower::faults(cx, &path.key("faults"));
    let steps = lower::steps(cx, &applied, &path.key("steps"));
    let marks = lower::marks(cx, &path.key("marks"));
    let trace: Option<Trace> = spec.trace.is_some().then(|| cx.read(&path.key("trace"))).flatten();
    let watch = trace.and_then(|trace| trace.watch).unwrap_or(false);
    let questions = lower::expectations(cx, &catalog, &path.key("expectations"));

    check::services(cx, &catalog, &traffic, &check::asked(&traffic, &behaviors));
    check::behaviors(cx, &catalog, &behaviors, &steps);
    check::calls(cx, &catalog, &behaviors);
    check::unanswered(cx, &catalog, &behaviors, &traffic, &sources);
    check::times(cx, &faults, &steps, &marks);
    check::faults(cx, &catalog, &pools, &objects, &faults);
    check::steps(cx, &catalog, &steps);
    check::autoscalers(cx, &catalog, &objects);
    check::readiness_gates(cx, &catalog, &behaviors);
    check::served(cx, &objects, &metrics);
    check::vertical(cx, &catalog, &objects, &behaviors);
    check::endless_jobs(cx, &catalog, &behaviors);
    if !incomplete {
        check::pods_fit(cx, &catalog, &pools, &objects);
        check::capacity(cx, &catalog, &behaviors, &objects, &pools, (&traffic, &sources));
        check::tipping_points(cx, &catalog, &behaviors, &objects, &pools, (&traffic, &sources));
    }

    let mut engine_objects = engine_objects(&objects);
    lower::assume_classes(cx, &mut engine_objects, &applied.objects().collect::<Vec<_>>());
    let world = WorldSpec {
        duration: cx.duration,
        node_pools: pools,
        objects: engine_objects,
        control_plane,
        behaviors: behaviors.items.into_iter().map(|(behavior, _)| behavior).collect(),
        images,
        traffic,
        faults: plain(faults),
        steps: plain(steps),
        marks: plain(marks),
        lease_phases: BTreeMap::new(),
        metrics,
        watch,
    };
    let metadata = file.metadata.as_ref();
    let name = metadata.and_then(|metadata| metadata.name.clone()).unwrap_or_else(|| stem(&cx.document.source.name));
    if !is_name(&name) {
        let diagnostic =
            Diagnostic::error("WT0110", format!("`{name}` is no name for a scenario")).label("results go to a directory of this name");
        let help = "use letters, digits, `-`, `_` and `.`, beginning with a letter or digit";
        cx.push(diagnostic.help(help), &Pointer::root().key("metadata").key("name"));
    }
    let annotation = |key: &str| metadata.and_then(|metadata| metadata.annotations.as_ref()?.get(key).cloned());
    let resolved = resolved(cx, &world, &seeds, &policy, warmup);
    Some(Scenario {
        name,
        description: annotation("description").unwrap_or_default(),
        labels: metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default(),
        digest: digest::digest(&cx.document.value, &cx.included),
        seeds,
        policy,
        policy_config,
        world,
        questions: plain(questions),
        warmup,
        start,
        notes: notes(cx),
        resolved,
    })
}

fn plain<T>(items: Vec<(T, Pointer)>) -> Vec<T> {
    items.into_iter().map(|(item, _)| item).collect()
}

/// Whether a directory can safely be called so.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    name.len() <= 200 && name.starts_with(char::is_alphanumeric) && name.chars().all(allowed)
}

fn stem(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned()
}

/// Duration and warm-up.
fn times(cx: &mut Cx<'_>, spec: &Spec, path: &Pointer) -> SimDuration {
    let at = path.key("duration");
    match &spec.duration {
        Some(duration) => {
            if let Some(duration) = cx.duration(duration, &at) {
                if duration.is_zero() || duration > LONGEST {
                    cx.error("WT0109", format!("a run of {duration}"), format!("expected more than 0s and at most {LONGEST}"), &at);
                } else {
                    cx.duration = duration;
                }
            }
        }
        // A mistaken one has been reported.
        None if cx.value(&at).is_none() => {
            let diagnostic = Diagnostic::error("WT0107", "required field `duration` is missing").label("`duration` belongs here");
            cx.push(diagnostic.help("such as `duration: 30m`"), path);
        }
        None => {}
    }
    let at = path.key("warmup");
    let warmup = cx.optional_duration(spec.warmup.as_ref(), &at).unwrap_or_default();
    if warmup >= cx.duration {
        cx.error("WT0109", "nothing is left after the warm-up", format!("expected less than {}", cx.duration), &at);
    }
    warmup
}

fn clock(cx: &mut Cx<'_>, clock: Option<&Clock>, path: &Pointer) -> String {
    let Some(start) = clock.and_then(|clock| clock.start.clone()) else { return START.to_owned() };
    let of_day = start.split_once(['T', 't', ' ']).and_then(|(_, time)| crate::cx::seconds_of_day(time.get(..8)?));
    match (start.parse::<jiff::Timestamp>(), of_day) {
        (Ok(_), Some(of_day)) => {
            cx.clock_start = Some(of_day);
            start
        }
        _ => {
            let diagnostic = Diagnostic::error("WT0118", format!("`{start}` is not an instant")).label("expected RFC 3339");
            cx.push(diagnostic.help("such as `\"2026-11-27T00:00:00Z\"`"), &path.key("start"));
            // Times of day are then not reported as well.
            cx.clock_start = Some(0);
            START.to_owned()
        }
    }
}

/// An instant as time since the Unix epoch, which the clock cannot precede.
fn since_epoch(start: &str) -> SimDuration {
    let nanos = start.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_nanosecond);
    SimDuration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

pub(crate) fn seeds(cx: &mut Cx<'_>, path: &Pointer) -> Vec<u64> {
    const MOST: u64 = 100_000;
    let seeds: Option<Vec<u64>> = match cx.value(path) {
        None | Some(Value::Null) => Some(vec![1]),
        Some(Value::Array(_)) => cx.read(path),
        Some(Value::Object(_)) => cx.read::<Seeds>(path).and_then(|Seeds { from, count }| {
            if !(1..=MOST).contains(&u64::from(count)) {
                cx.error("WT0109", format!("{count} seeds"), format!("expected 1 to {MOST}"), &path.key("count"));
                return None;
            }
            let from = from.unwrap_or(1);
            Some((from..from.saturating_add(u64::from(count))).collect())
        }),
        Some(_) => cx.read::<u64>(path).map(|seed| vec![seed]),
    };
    let seeds = seeds.unwrap_or_else(|| vec![1]);
    let mut sorted = seeds.clone();
    sorted.sort_unstable();
    if seeds.is_empty() {
        cx.error("WT0109", "no seeds", "expected at least one", path);
    } else if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        cx.error("WT0209", "a seed is there twice", "the same run twice is the same result twice", path);
    }
    seeds
}

fn policy(cx: &mut Cx<'_>, path: &Pointer) -> (String, Option<PolicyConfig>) {
    let default = || ("default".to_owned(), None);
    let Some(value) = cx.value(path).filter(|value| !value.is_null()) else { return default() };
    if let Value::Object(fields) = value {
        let is_config = fields.get("kind").is_some_and(|kind| kind == "KubeSchedulerConfiguration");
        let text = value.to_string();
        if !is_config {
            let diagnostic = Diagnostic::error("WT0118", "not a policy").label("expected `kind: KubeSchedulerConfiguration`");
            cx.push(diagnostic, path);
        }
        let name = format!("{}:{}", cx.document.source.name, cx.place(path).line);
        return ("inline".to_owned(), Some(PolicyConfig { name, text }));
    }
    let Some(name) = cx.read::<String>(path) else { return default() };
    if cx.options.known.policies.contains(&name) {
        return (name, None);
    }
    let is_file = name.contains('/') || [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    if is_file {
        let Some(file) = cx.file(&name, path) else { return default() };
        return (stem(&name), Some(PolicyConfig { name: file.name.to_string(), text: file.text.to_string() }));
    }
    let known: Vec<&str> = cx.options.known.policies.iter().map(String::as_str).collect();
    let help = manifests::suggestion(&name, &known);
    let diagnostic = Diagnostic::error("WT0206", format!("no policy is called `{name}`")).label("neither built in nor a file");
    cx.push(with_help(diagnostic, help).note("`wavetank list policies` shows the built-in ones"), path);
    default()
}

/// Remembers where the moments with a name are written, so that others can refer to them.
fn moments(cx: &mut Cx<'_>, path: &Pointer) {
    for list in ["faults", "marks", "steps"] {
        for item in cx.items(&path.key(list)) {
            if let Some(name) = cx.text(&item.key("name")).map(str::to_owned) {
                cx.moments.entry(name).or_insert_with(|| item.key("at"));
            }
        }
    }
}

/// The objects that are there from the start, with the places they came from.
fn manifests_of(
    cx: &mut Cx<'_>,
    import: Option<String>,
    start: &str,
    control_plane: &ControlPlane,
    path: &Pointer,
) -> (Vec<Origin>, manifests::Objects, manifests::Options) {
    let mut all: Vec<Origin> = Vec::new();
    if let Some(import) = import {
        let at = path.key("cluster").key("import");
        if let Some(file) = cx.file(&import, &at) {
            let found: Vec<Arc<Document>> = cx.documents_of(&file);
            all.extend(found.iter().map(Origin::whole));
        }
    }
    let list = path.key("manifests");
    for item in cx.items(&list) {
        all.extend(origins(cx, &item));
    }
    let origin_seconds = start.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
    let hpa_scale_to_zero = control_plane.feature_gates.hpa_scale_to_zero;
    let options = manifests::Options { strict: cx.options.strict, origin_seconds, hpa_scale_to_zero, ..manifests::Options::default() };
    let mut objects = manifests::read(&all, &options, cx.problems);
    let pods = owned::make_anew(&mut objects);
    if pods > 0 {
        cx.note(format!("{pods} pods of the manifests belong to controllers that are there, too: those make them anew, at the start"));
    }
    (all, objects, options)
}

/// Assumed defaults and what the traffic engine implies, then what is accepted and not simulated.
fn notes(cx: &Cx<'_>) -> Vec<String> {
    let of_engine = |note: &String| note.starts_with("traffic engine") || note.starts_with("near a tipping point");
    let assumed = cx.notes.iter().map(|note| if of_engine(note) { note.clone() } else { format!("assumed: {note}") });
    let problems = cx.problems.sorted();
    let not_simulated = problems.iter().filter(|problem| problem.severity != Severity::Error && problem.code.starts_with("WT04"));
    let not_simulated = not_simulated.map(|problem| {
        let place = problem.primary.as_ref().map(|at| format!(" ({})", at.name())).unwrap_or_default();
        format!("{} {}{place}", problem.code, problem.message)
    });
    assumed.chain(not_simulated).collect()
}

/// The scenario with defaults filled in.
fn resolved(cx: &Cx<'_>, world: &WorldSpec, seeds: &[u64], policy: &str, warmup: SimDuration) -> Value {
    let mut value = cx.document.value.clone();
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.entry("warmup").or_insert_with(|| json!(warmup.to_string()));
        spec.entry("seeds").or_insert_with(|| json!(seeds));
        spec.entry("policy").or_insert_with(|| json!(policy));
        spec.insert("controlPlane".to_owned(), lower::defaults_of(&world.control_plane));
        for behavior in spec.get_mut("behaviors").and_then(Value::as_array_mut).into_iter().flatten() {
            let flat = crate::format::has_flat_service(behavior);
            let service = if flat { Some(behavior) } else { behavior.get_mut("service") };
            if let Some(service) = service.and_then(Value::as_object_mut) {
                service_defaults(service);
            }
        }
    }
    value
}

fn service_defaults(service: &mut Map<String, Value>) {
    service.entry("queueLimit").or_insert(json!(1024));
    service.entry("errorRatio").or_insert(json!(0));
    service.entry("cancelOnTimeout").or_insert(json!("none"));
    if !service.contains_key("latency") {
        service.entry("latencyPerRequest").or_insert(json!("0s"));
    }
}
