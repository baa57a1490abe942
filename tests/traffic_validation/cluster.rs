//! Rows that need a whole cluster: the autoscaler's arithmetic, how failures are noticed, how often enough pods are there.
//!
//! Each is a scenario as a user would write it, run as a user would run it; only its records are looked at.

use std::sync::Arc;

use api::{SimDuration, SimTime};
use engine::spec::WorldSpec;
use engine::{Limits, World};
use scenarios::{FileSource, Known, Options};
use trace::{MemorySink, Record, TraceSink};

use super::Measured;

struct NoFiles;

impl FileSource for NoFiles {
    fn read(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn matching(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn world(spec: &str) -> Arc<WorldSpec> {
    let text = format!("apiVersion: wavetank.dev/v1\nkind: Scenario\nmetadata: {{name: row}}\nspec:\n{spec}");
    let mut problems = manifests::Problems::default();
    let options = Options { set: Vec::new(), base_dir: None, known: Known::default(), files: &NoFiles, strict: false };
    let scenario = scenarios::load(&manifests::SourceFile::new("row.yaml", &text), &options, &mut problems);
    let scenario = scenario.unwrap_or_else(|| panic!("{}", manifests::render(&problems, false)));
    Arc::new(scenario.world.clone())
}

fn run(spec: &Arc<WorldSpec>, seed: u64, sink: &mut dyn TraceSink) {
    let scheduler = schedulers::policy("default").expect("a built-in policy");
    World::new(spec.clone(), scheduler, seed).run(sink, &Limits::default(), &mut |_| true);
}

fn records(spec: &Arc<WorldSpec>, seed: u64) -> Vec<(SimTime, Record)> {
    let mut sink = MemorySink::default();
    run(spec, seed, &mut sink);
    sink.records
}

/// A Deployment `app`, its Service, and an autoscaler of cpu.
fn autoscaled(replicas: u32, request: &str, limit: &str, most: u32, traffic: &str) -> Arc<WorldSpec> {
    world(&format!(
        r#"
  duration: 20m
  cluster: {{nodePools: [{{name: n, count: 4, template: {{capacity: {{cpu: "64", memory: 64Gi}}}}}}]}}
  manifests:
    - {{apiVersion: v1, kind: Service, metadata: {{name: app}}, spec: {{selector: {{app: app}}, ports: [{{port: 80}}]}}}}
    - apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: app}}
      spec:
        replicas: {replicas}
        selector: {{matchLabels: {{app: app}}}}
        template:
          metadata: {{labels: {{app: app}}}}
          spec: {{containers: [{{name: app, image: "app:1", resources: {{requests: {{cpu: {request}}}, limits: {{cpu: "{limit}"}}}}}}]}}
    - apiVersion: autoscaling/v2
      kind: HorizontalPodAutoscaler
      metadata: {{name: app}}
      spec:
        scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: app}}
        minReplicas: {replicas}
        maxReplicas: {most}
        metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
{traffic}"#
    ))
}

fn decisions(spec: &Arc<WorldSpec>) -> Vec<(SimTime, i32, i32)> {
    let seen = |(at, record): &(SimTime, Record)| match record {
        Record::Autoscale { current, desired, .. } => Some((*at, *current, *desired)),
        _ => None,
    };
    records(spec, 31).iter().filter_map(seen).collect()
}

/// Ten pods, each asked in turn for 9 ms of cpu every 10 ms; and four pods that are asked for more than forty could do.
pub(crate) fn t31() -> Measured {
    // What is used is read at the scrape itself: the row is about the formula.
    let even = "  controlPlane: {kubelet: {housekeepingInterval: 0s}}\n  behaviors: [{workload: deployment/app, service: {cpuPerRequest: {distribution: constant, value: 9ms}, concurrency: 64}}]\n  \
                traffic: {sources: [{name: users, to: app, rate: {shape: step, base: 0/s, peak: 1000/s, at: 10m}, arrivals: deterministic, \
                balancing: round-robin}]}";
    let asked = decisions(&autoscaled(10, "\"1\"", "1", 100, even)).last().map_or(f64::NAN, |(_, _, desired)| f64::from(*desired));
    let flood = "  behaviors: [{workload: deployment/app, service: {cpuPerRequest: {distribution: constant, value: 100ms}, concurrency: 1, queueLimit: 1}}]\n  \
                 traffic: {sources: [{name: users, to: app, rate: {shape: step, base: 0/s, peak: 1000/s, at: 10m}, arrivals: deterministic}]}";
    let steps = decisions(&autoscaled(4, "100m", "1", 40, flood));
    let first = steps.iter().position(|(_, current, desired)| desired > current).unwrap_or(steps.len());
    let replicas_after = |sync: usize| {
        // A sync that changes nothing may say nothing: what held before holds.
        let until = steps.get(first).map_or(SimTime::ZERO, |(at, ..)| *at) + SimDuration::from_secs(15 * (sync as u64 - 1) + 7);
        steps.iter().rev().find(|(at, ..)| *at <= until).map_or(f64::NAN, |(_, _, desired)| f64::from(*desired))
    };
    let ids = ["T31b-1", "T31b-2", "T31b-3", "T31b-4", "T31b-5"];
    let mut found = vec![("T31a", asked)];
    found.extend(ids.into_iter().zip(1..).map(|(id, sync)| (id, replicas_after(sync))));
    found
}

/// 20 nodes lose power at once, in 40 clusters: lease phases are the nodes' own, the monitor's phase is the cluster's.
/// More nodes at once would wait for the controller's client, which writes 20 statuses a second.
/// Then 600 pods, each on its own one worker, get a request that never ends: their liveness probes have phases of their own.
pub(crate) fn t32() -> Measured {
    let outage = world(
        "  duration: 4m\n  cluster: {nodePools: [{name: node, count: 20, template: {capacity: {cpu: \"4\", memory: 16Gi}}}]}\n  \
         faults: [{name: outage, at: 2m, kind: NodeChaos, action: node-poweroff, mode: all}]\n",
    );
    let mut noticed: Vec<f64> = Vec::new();
    for seed in 1..=40 {
        let unknown = |(at, record): &(SimTime, Record)| match record {
            Record::NodeReady { status, .. } if &**status == "Unknown" => Some(at.since(SimTime::from_secs(120)).as_secs_f64()),
            _ => None,
        };
        noticed.extend(records(&outage, seed).iter().filter_map(unknown));
    }
    let hung = world(
        r#"
  duration: 12m
  cluster: {nodePools: [{name: n, count: 10, template: {capacity: {cpu: "128", memory: 64Gi, pods: "110"}}}]}
  manifests:
    - {apiVersion: v1, kind: Service, metadata: {name: app}, spec: {selector: {app: app}, ports: [{port: 80}]}}
    - apiVersion: apps/v1
      kind: Deployment
      metadata: {name: app}
      spec:
        replicas: 600
        selector: {matchLabels: {app: app}}
        template:
          metadata: {labels: {app: app}}
          spec: {containers: [{name: app, image: "app:1", livenessProbe: {httpGet: {path: /, port: 80}}}]}
  behaviors: [{workload: deployment/app, service: {latencyPerRequest: 3h, concurrency: 1, queueLimit: 1000}}]
  traffic: {sources: [{name: users, to: app, rate: {shape: step, base: 0/s, peak: 6000000/s, at: 10m, hold: 100us}, arrivals: deterministic, balancing: round-robin, timeout: none}]}
"#,
    );
    // The third failure in a row decides; the pod's worker kills the container a moment later.
    let mut failures: std::collections::BTreeMap<api::Str, u32> = std::collections::BTreeMap::new();
    let mut decisive = |(at, record): &(SimTime, Record)| match record {
        Record::Event { reason, message, object, .. } if &**reason == "Unhealthy" && message.starts_with("Liveness") => {
            let count = failures.entry(object.clone()).or_default();
            *count += 1;
            (*count == 3).then(|| at.since(SimTime::from_secs(600)).as_secs_f64())
        }
        _ => None,
    };
    let decided: Vec<f64> = records(&hung, 1).iter().filter_map(&mut decisive).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    // Fewer than the row asks for would be no measurement.
    let enough = |values: &[f64]| if values.len() >= 500 { 1.0 } else { f64::NAN };
    vec![
        ("T32a", mean(&noticed) * enough(&noticed)),
        ("T32a-least", least(&noticed)),
        ("T32a-most", most(&noticed)),
        ("T32c", mean(&decided) * enough(&decided)),
        ("T32c-least", least(&decided)),
        ("T32c-most", most(&decided)),
    ]
}

/// How long fewer than two pods of three were ready, and how often one failed.
#[derive(Default)]
struct Availability {
    ready: std::collections::BTreeMap<api::Str, (i32, SimTime)>,
    short: SimDuration,
    failures: u64,
}

impl TraceSink for Availability {
    fn record(&mut self, at: SimTime, record: &Record) {
        match record {
            Record::Workload { kind, name, ready, .. } if &**kind == "Deployment" => {
                let (before, since) = self.ready.insert(name.clone(), (*ready, at)).unwrap_or((3, at));
                // What is still being set up is not broken.
                if before < 2 && since > SimTime::from_secs(3600 * 24 * 7) {
                    self.short = self.short + at.since(since);
                }
            }
            Record::Container { state, .. } if &**state == "Terminated" => self.failures += 1,
            _ => {}
        }
    }
}

/// A hundred times three pods that fail every thousand hours and take an hour to start again, for 380 years.
pub(crate) fn t34() -> Measured {
    let mut spec =
        "  duration: 1h\n  cluster: {nodePools: [{name: n, count: 3, template: {capacity: {cpu: \"64\", memory: 64Gi, pods: \"110\"}}}]}\n  \
         controlPlane: {kubelet: {containerStart: {distribution: exponential, mean: 1h}, syncFrequency: 24h}}\n  \
         behaviors: [{selector: {labelSelectors: {tier: app}}, crash: {after: {distribution: exponential, mean: 1000h}}}]\n  manifests:\n".to_owned();
    for number in 0..100 {
        spec += &format!(
            "    - {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a-{number}}}, spec: {{replicas: 3, selector: {{matchLabels: {{app: a-{number}}}}}, \
             template: {{metadata: {{labels: {{app: a-{number}, tier: app}}}}, spec: {{containers: [{{name: app, image: \"app:1\"}}]}}}}}}}}\n"
        );
    }
    // A scenario may not be as long as that; the engine may.
    let mut spec = Arc::unwrap_or_clone(world(&spec));
    spec.duration = SimDuration::from_secs(3_340_000 * 3600);
    let spec = Arc::new(spec);
    let mut seen = Availability::default();
    run(&spec, 34, &mut seen);
    let time = 100.0 * spec.duration.as_secs_f64();
    vec![("T34a", 1.0 - seen.short.as_secs_f64() / time), ("T34a-failures", seen.failures as f64)]
}
