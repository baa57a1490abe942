//! What the tests of this crate share: the metrics and policies they know, and loading with everything printed.
#![allow(dead_code, reason = "each test file uses a part")]

use manifests::{Problems, SourceFile};
use scenarios::{Disk, FileSource, Known, KnownMetric, KnownUnit, Options, Scenario};

/// As the metrics of `reports` are, as far as the tests name them.
pub(crate) fn known() -> Known {
    use KnownUnit::{Number, PerSecond, Ratio, Seconds};
    const TRAFFIC: &[&str] = &["service", "flow", "from", "to"];
    const CAUSE: &[&str] = &["fault", "mark", "from", "to"];
    const PODS: &[&str] = &["workload", "namespace", "node", "from", "to"];
    let metric = |name: &str, unit, filters: &[&str], stats: &[&str]| KnownMetric {
        name: name.to_owned(),
        unit,
        filters: filters.iter().map(|text| (*text).to_owned()).collect(),
        stats: stats.iter().map(|text| (*text).to_owned()).collect(),
    };
    let stats = &["min", "mean", "max", "last", "p50", "p95", "p99"];
    Known {
        policies: vec!["default".to_owned(), "bin-pack".to_owned()],
        metrics: vec![
            metric("availability", Ratio, TRAFFIC, stats),
            metric("error.rate", Ratio, TRAFFIC, stats),
            metric("latency.p50", Seconds, TRAFFIC, stats),
            metric("latency.p95", Seconds, TRAFFIC, stats),
            metric("latency.p99", Seconds, TRAFFIC, stats),
            metric("throughput", PerSecond, TRAFFIC, stats),
            metric("retry.amplification", Number, TRAFFIC, stats),
            metric("recovery.detect", Seconds, CAUSE, stats),
            metric("recovery.total", Seconds, CAUSE, stats),
            metric("pods.pending", Number, PODS, stats),
            metric("pods.restarts", Number, PODS, stats),
            metric("replicas.desired", Number, PODS, stats),
            metric("replicas.ready", Number, PODS, stats),
            metric("rollout.duration", Seconds, PODS, stats),
            metric("endpoints.ready", Number, &["service", "from", "to"], stats),
            metric("cost.total", Number, &["from", "to"], &[]),
        ],
    }
}

/// No files at all.
pub(crate) struct Nothing;

impl FileSource for Nothing {
    fn read(&self, _path: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn matching(&self, _pattern: &str) -> Vec<String> {
        Vec::new()
    }
}

/// The repository's root as working directory.
pub(crate) fn disk() -> Disk {
    Disk { working_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/..").into() }
}

/// Loads `text`; gives the scenario and all that was said.
pub(crate) fn load(name: &str, text: &str, files: &dyn FileSource, set: &[(&str, &str)]) -> (Option<Scenario>, String) {
    let mut problems = Problems::default();
    let set = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    let base_dir = name.rsplit_once('/').map(|(dir, _)| dir.to_owned());
    let options = Options { set, base_dir, known: known(), files, strict: false };
    let scenario = scenarios::load(&SourceFile::new(name, text), &options, &mut problems);
    let said = if problems.is_empty() { String::new() } else { manifests::render(&problems, false) };
    (scenario, said)
}

/// A small sound scenario.
pub(crate) const FINE: &str = include_str!("fine.yaml");

/// The scenario that `text` is, which must be sound.
pub(crate) fn sound(text: &str) -> Scenario {
    let (scenario, said) = load("test.yaml", text, &Nothing, &[]);
    scenario.unwrap_or_else(|| panic!("{said}"))
}
