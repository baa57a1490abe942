//! A comparison file: policies, seeds and margins that are worth keeping.
//!
//! It says what flags of `wavetank compare` say, and is read as a scenario is: every mistake with its place. Names of policies and
//! metrics are checked here, values of the scenario when it is loaded with them.
//!
//! Not here: what is made of it (`cli`, `reports`).

use api::SimDuration;
use manifests::{Diagnostic, Pointer, Problems, SourceFile};

use crate::cx::{Cx, with_help};
use crate::format::{API_VERSION, AmountText, ComparedMetric, Comparison as Fields, ComparisonFile, Subject};
use crate::load::{Options, opened, seeds};
use crate::{KnownMetric, KnownUnit, library};

/// A comparison without errors.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// A shipped scenario, or a path from the working directory.
    pub scenario: String,
    /// What is compared.
    pub subjects: Vec<Compared>,
    /// The name of the one that others are measured against.
    pub reference: Option<String>,
    /// Seeds; the scenario's when empty.
    pub seeds: Vec<u64>,
    /// Metrics as `--metric` takes them; the usual ones when empty.
    pub metrics: Vec<String>,
    /// Margins as `--margin` takes them: `METRIC=VALUE`.
    pub margins: Vec<String>,
    /// The chance of any false finding.
    pub alpha: Option<f64>,
}

/// One policy or variation.
#[derive(Clone, PartialEq, Debug)]
pub struct Compared {
    /// As the file calls it.
    pub name: Option<String>,
    /// A built-in policy, with options or without, or a path from the working directory.
    pub policy: Option<String>,
    /// `PATH=VALUE`.
    pub set: Vec<String>,
}

/// Whether a text is a comparison: its first `kind` says.
#[must_use]
pub fn is_comparison(text: &str) -> bool {
    text.lines().find_map(|line| line.strip_prefix("kind:")).is_some_and(|kind| kind.trim().trim_matches(['"', '\'']) == "Comparison")
}

/// The comparison in `source`. Everything wrong goes into `problems`; `None` when there was an error.
pub fn comparison(source: &SourceFile, options: &Options<'_>, problems: &mut Problems) -> Option<Comparison> {
    let errors = problems.error_count();
    let mut cx = opened(source, options, problems)?;
    let read = whole(&mut cx);
    read.filter(|_| problems.error_count() == errors)
}

fn whole(cx: &mut Cx<'_>) -> Option<Comparison> {
    let root = Pointer::root();
    let file: ComparisonFile = cx.read(&root)?;
    if file.api_version.as_deref() != Some(API_VERSION) {
        cx.error("WT0108", "not a version of this format", format!("expected `apiVersion: {API_VERSION}`"), &root.key("apiVersion"));
    }
    if file.spec.is_none() {
        cx.error("WT0107", "required field `spec` is missing", "`spec` belongs here", &root);
        return None;
    }
    let path = root.key("spec");
    let fields: Fields = cx.read(&path)?;
    let scenario = scenario(cx, &fields.scenario, &path.key("scenario"));
    let subjects: Vec<Compared> = cx.items(&path.key("policies")).into_iter().filter_map(|item| subject(cx, &item)).collect();
    if fields.policies.len() < 2 {
        cx.error("WT0109", "there is nothing to compare with", "expected two policies or more", &path.key("policies"));
    }
    let mut margins = Vec::new();
    let metrics: Vec<String> = cx.items(&path.key("metrics")).into_iter().filter_map(|item| metric(cx, &item, &mut margins)).collect();
    for (name, amount) in fields.equivalence.iter().flatten() {
        let at = path.key("equivalence").key(name);
        if let Some(known) = known_metric(cx, name, &at) {
            margins.extend(margin(cx, &known, amount, &at));
        }
    }
    if let Some(alpha) = fields.alpha.filter(|alpha| !(*alpha > 0.0 && *alpha < 1.0)) {
        cx.error("WT0109", format!("{alpha} is no probability"), "expected more than 0 and less than 1, such as 0.05", &path.key("alpha"));
    }
    let seeds = if fields.seeds.is_some() { seeds(cx, &path.key("seeds")) } else { Vec::new() };
    Some(Comparison { scenario: scenario?, subjects, reference: fields.reference, seeds, metrics, margins, alpha: fields.alpha })
}

fn scenario(cx: &mut Cx<'_>, name: &str, at: &Pointer) -> Option<String> {
    if library::get(name).is_some() {
        return Some(name.to_owned());
    }
    cx.file(name, at).map(|file| file.name.to_string())
}

fn subject(cx: &mut Cx<'_>, path: &Pointer) -> Option<Compared> {
    let fields: Subject = cx.read(path)?;
    if fields.policy.is_none() && fields.set.is_none() {
        cx.error("WT0107", "neither `policy` nor `set`", "nothing is said of it", path);
    }
    let policy = fields.policy.and_then(|name| policy(cx, name, &path.key("policy")));
    let set = fields.set.iter().flatten().map(|(path, value)| format!("{path}={}", value.text));
    Some(Compared { name: fields.name, policy, set: set.collect() })
}

fn policy(cx: &mut Cx<'_>, name: String, at: &Pointer) -> Option<String> {
    let base = name.split_once(':').map_or(name.as_str(), |(base, _)| base);
    if cx.options.known.policies.iter().any(|known| known == base) {
        return Some(name);
    }
    if name.contains('/') || [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) {
        return cx.file(&name, at).map(|file| file.name.to_string());
    }
    let known: Vec<&str> = cx.options.known.policies.iter().map(String::as_str).collect();
    let diagnostic = Diagnostic::error("WT0206", format!("no policy is called `{name}`")).label("neither built in nor a file");
    let diagnostic = with_help(diagnostic, manifests::suggestion(base, &known));
    cx.push(diagnostic.note("`wavetank list policies` shows the built-in ones"), at);
    None
}

fn metric(cx: &mut Cx<'_>, path: &Pointer, margins: &mut Vec<String>) -> Option<String> {
    let fields: ComparedMetric = cx.read(path)?;
    let known = known_metric(cx, &fields.metric, &path.key("metric"))?;
    if let Some(amount) = &fields.equivalence {
        margins.extend(margin(cx, &known, amount, &path.key("equivalence")));
    }
    Some(fields.metric)
}

/// The metric that `text` begins with: what follows it are its statistic and filters.
fn known_metric(cx: &mut Cx<'_>, text: &str, at: &Pointer) -> Option<KnownMetric> {
    let head = text.split('(').next().unwrap_or_default();
    let is_it = |metric: &&KnownMetric| {
        head.strip_prefix(metric.name.as_str()).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('.').is_some_and(|stat| metric.stats.iter().any(|known| known == stat))
        })
    };
    let known = &cx.options.known.metrics;
    if let Some(metric) = known.iter().find(is_it) {
        return Some(metric.clone());
    }
    let names: Vec<&str> = known.iter().map(|metric| metric.name.as_str()).collect();
    let near = manifests::did_you_mean(head, names).map(|near| format!("did you mean `{near}`?"));
    let diagnostic = Diagnostic::error("WT0207", format!("unknown metric `{head}` in a comparison")).label("no such metric");
    cx.push(with_help(diagnostic.note("`wavetank list metrics` shows them all"), near), at);
    None
}

/// `METRIC=VALUE`, when the value is an amount of the metric.
fn margin(cx: &mut Cx<'_>, metric: &KnownMetric, amount: &AmountText, at: &Pointer) -> Option<String> {
    let number =
        |ending: &str| amount.text.strip_suffix(ending).and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| *number >= 0.0);
    let (own, expected) = match metric.unit {
        KnownUnit::Ratio => (number("pp").is_some(), "percentage points such as `0.1pp`"),
        KnownUnit::Seconds => (amount.text.parse::<SimDuration>().is_ok(), "a duration such as `5ms`"),
        KnownUnit::PerSecond | KnownUnit::Number => (number("").is_some(), "a number"),
    };
    if !own && number("%").is_none() {
        let label = format!("expected {expected}, or a share of the reference such as `2%`");
        cx.error("WT0118", format!("`{}` is no margin of {}", amount.text, metric.name), label, at);
        return None;
    }
    Some(format!("{}={}", metric.name, amount.text))
}
