//! Synthetic traces for tests and for looking at the page: plausible shapes, not simulations.
//!
//! Invariants: every trace keeps the laws that real ones keep (time order, conservation of requests, one `End`).
//!
//! Not here: anything a report may rely on.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime, Str};
use trace::{Header, Histogram, Question, Record, SCHEMA_VERSION, Trace, TrafficCounts};

/// Puts records in order of time.
pub struct Builder {
    header: Header,
    records: Vec<(SimTime, Record)>,
    random: u64,
}

/// An expectation as the scenario would have made it; `filter` as `key=value`.
#[must_use]
pub fn question(metric: &str, filter: &[&str], stat: &str, op: &str, value: f64, value_text: &str) -> Question {
    let pair = |text: &&str| text.split_once('=').map(|(key, value)| (Str::from(key), Str::from(value)));
    Question {
        name: metric.into(),
        metric: metric.into(),
        filter: filter.iter().filter_map(pair).collect::<BTreeMap<Str, Str>>(),
        window: SimDuration::ZERO,
        stat: stat.into(),
        over: "worst".into(),
        op: op.into(),
        value,
        value_text: value_text.into(),
        severity: "error".into(),
    }
}

fn secs(seconds: f64) -> SimTime {
    SimTime::ZERO + SimDuration::from_secs_f64(seconds)
}

impl Builder {
    /// An empty trace.
    #[must_use]
    pub fn new(scenario: &str, seed: u64, seconds: u64) -> Self {
        let header = Header {
            schema_version: SCHEMA_VERSION,
            wavetank_version: "0.1.0".into(),
            scenario: scenario.into(),
            description: "".into(),
            scenario_digest: "6f1d2c0e9b7a4853".into(),
            policy: "default".into(),
            seed,
            duration: SimDuration::from_secs(seconds),
            warmup: SimDuration::ZERO,
            start: "2026-11-27T08:00:00Z".into(),
            traffic_engine: "exact".into(),
            questions: Vec::new(),
            notes: Vec::new(),
        };
        Self { header, records: Vec::new(), random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// The header, to be changed.
    pub fn header(&mut self) -> &mut Header {
        &mut self.header
    }

    /// Adds a record; any order will do.
    pub fn at(&mut self, seconds: f64, record: Record) {
        self.records.push((secs(seconds), record));
    }

    /// The trace, in order of time, ended.
    #[must_use]
    pub fn build(mut self) -> Trace {
        let end = SimTime::ZERO + self.header.duration;
        self.records.retain(|(at, _)| *at <= end);
        self.records.sort_by_key(|(at, _)| *at);
        let events = self.records.len() as u64 * 7;
        self.records.push((end, Record::End { events, traffic_events: events * 40, reason: "horizon".into() }));
        Trace { header: self.header, records: self.records }
    }

    /// xorshift: 0 to 1.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A node that joins and turns ready.
    pub fn node(&mut self, seconds: f64, index: usize) -> Str {
        let node: Str = format!("general-{index:03}").into();
        let zone: Str = ["a", "b", "c"][index % 3].into();
        let (cpu_millis, memory_bytes, pods) = (15_890, 62 << 30, 110);
        let added =
            Record::NodeAdded { node: node.clone(), pool: "general".into(), zone, cpu_millis, memory_bytes, pods, price_per_hour: 0.68 };
        self.at(seconds, added);
        self.at(seconds, Record::NodeReady { node: node.clone(), status: "True".into(), reason: "KubeletReady".into() });
        node
    }

    /// A pod that is created.
    pub fn pod(&mut self, seconds: f64, pod: &str, workload: &str, cpu_millis: i64) {
        self.at(
            seconds,
            Record::PodCreated {
                pod: pod.into(),
                workload: workload.into(),
                controller: workload.replace("Deployment", "ReplicaSet").as_str().into(),
                cpu_millis,
                memory_bytes: 512 << 20,
                priority: 0,
            },
        );
    }

    /// A pod that is bound, starts and turns ready.
    pub fn runs(&mut self, pod: &str, node: &str, bound: f64, started: f64, ready: f64) {
        let pod: Str = pod.into();
        let container = |state: &str, reason: &str| Record::Container {
            pod: pod.clone(),
            container: "app".into(),
            state: state.into(),
            reason: reason.into(),
            exit_code: None,
            restarts: 0,
        };
        let scheduled = Record::PodScheduled { pod: pod.clone(), node: node.into(), attempts: 1, feasible_nodes: 9, evaluated_nodes: 18 };
        let message = format!("Successfully assigned {pod} to {node}");
        self.at(bound, scheduled);
        self.event(bound, "Normal", "Scheduled", &format!("Pod/{pod}"), &message, "default-scheduler");
        self.at(bound, container("Waiting", "ContainerCreating"));
        self.at(started, container("Running", ""));
        self.at(started, Record::PodPhase { pod: pod.clone(), phase: "Running".into(), reason: "".into() });
        self.at(ready, Record::PodReady { pod: pod.clone(), ready: true, reason: "".into() });
    }

    /// A pod that is deleted and goes.
    pub fn deleted(&mut self, seconds: f64, pod: &str, by: &str, gone: f64) {
        let pod: Str = pod.into();
        self.at(seconds, Record::PodDeleting { pod: pod.clone(), by: by.into(), grace: SimDuration::from_secs(30) });
        self.at(seconds, Record::PodReady { pod: pod.clone(), ready: false, reason: "".into() });
        self.at(gone, Record::PodRemoved { pod });
    }

    /// A workload's counts.
    pub fn workload(&mut self, seconds: f64, name: &str, desired: i32, current: i32, ready: i32) {
        let record =
            Record::Workload { kind: "Deployment".into(), name: name.into(), desired, current, updated: current, ready, available: ready };
        self.at(seconds, record);
    }

    /// A Kubernetes Event.
    pub fn event(&mut self, seconds: f64, kind: &str, reason: &str, object: &str, message: &str, source: &str) {
        self.at(
            seconds,
            Record::Event {
                kind: kind.into(),
                reason: reason.into(),
                object: object.into(),
                message: message.into(),
                source: source.into(),
            },
        );
    }
}

/// Requests of one flow, second by second, by a fluid model with a queue.
struct Fluid {
    flow: &'static str,
    external: bool,
    service: &'static str,
    queue: f64,
    open: u64,
    backoff: u64,
}

impl Fluid {
    /// One second: `offered` arrive, `pods` serve `per_pod` each. Gives back how full the pods are.
    fn second(&mut self, builder: &mut Builder, second: u64, offered: f64, pods: f64, per_pod: f64) -> f64 {
        let capacity = pods * per_pod;
        let pressure = (self.queue / capacity.max(1.0)).min(2.0);
        let retries = (offered * pressure * 0.7) as u64;
        let arrived = (offered + (builder.random() - 0.5) * offered.sqrt() * 2.0).max(0.0) as u64;
        let served = (self.queue + arrived as f64).min(capacity) as u64;
        let limit = capacity * 2.0;
        let waiting = self.queue + arrived as f64 - served as f64;
        let shed = (waiting - limit).max(0.0) as u64;
        let timed_out = if self.queue > capacity { (self.queue - capacity) as u64 / 2 } else { 0 };
        let before = self.open + self.backoff + arrived;
        let refused = if pods < 0.5 { arrived / 2 } else { 0 };
        let mut left = before;
        let mut take = |wanted: u64| {
            let taken = wanted.min(left);
            left -= taken;
            taken
        };
        let counts = TrafficCounts {
            arrived,
            succeeded: take(served),
            shed: take(shed),
            refused: take(refused),
            timed_out: take(timed_out),
            failed: 0,
            attempts: arrived + retries,
            retries,
            in_flight: 0,
            in_backoff: 0,
        };
        self.backoff = left / 10;
        self.open = left - self.backoff;
        self.queue = left as f64;
        let counts = TrafficCounts { in_flight: self.open, in_backoff: self.backoff, ..counts };
        let mut latency = Histogram::default();
        let middle = 0.035 + self.queue / capacity.max(1.0);
        let mut remaining = counts.succeeded;
        for (factor, share) in [(0.5, 0.2), (0.8, 0.3), (1.0, 0.25), (1.6, 0.15), (3.0, 0.08), (5.0, 0.015), (9.0, 0.005)] {
            let n = ((counts.succeeded as f64 * share) as u64).min(remaining);
            latency.record_n((middle * factor * (0.9 + 0.2 * builder.random()) * 1e9) as u64, n);
            remaining -= n;
        }
        latency.record_n((middle * 1e9) as u64, remaining);
        let (end, window) = (second as f64 + 1.0, SimDuration::from_secs(1));
        builder.at(
            end,
            Record::Traffic { flow: self.flow.into(), external: self.external, service: self.service.into(), window, counts, latency },
        );
        let busy = (served as f64 / capacity.max(1.0)).min(1.0);
        let cpu_used = SimDuration::from_secs_f64(served as f64 * 0.015);
        builder.at(
            end,
            Record::Station {
                service: self.service.into(),
                pods: pods as u32,
                queued: self.queue as u64,
                busy: (busy * pods * 8.0) as u64,
                shed,
                orphaned: timed_out / 2,
                cpu_used,
            },
        );
        busy
    }
}

/// The load of the day: 300 requests a second, forty times that from five minutes on, until 25 minutes.
fn black_friday_rate(second: f64) -> f64 {
    match second {
        s if s < 300.0 => 300.0,
        s if s < 420.0 => 300.0 + (s - 300.0) / 120.0 * 11_700.0,
        s if s < 1500.0 => 12_000.0,
        s if s < 1800.0 => 12_000.0 - (s - 1500.0) / 300.0 * 11_400.0,
        _ => 600.0,
    }
}

/// Forty times the load within two minutes: an autoscaler chases it, nodes join, users wait.
#[must_use]
pub fn black_friday(seed: u64) -> Trace {
    let mut b = Builder::new("black-friday-40x", seed, 2400);
    b.header.description = "40 times the normal traffic within two minutes, sustained for 18.".into();
    b.header.warmup = SimDuration::from_secs(60);
    let mut available = question("availability", &["service=checkout"], "", ">=", 0.995, "99.5%");
    available.name = "shop stays up".into();
    let mut pending = question("pods.pending", &[], "max", "<=", 150.0, "150");
    pending.severity = "warning".into();
    b.header.questions = vec![
        available,
        question("recovery.total", &["mark=spike-40x"], "p95", "<=", 420.0, "420s"),
        question("latency.p99", &["service=checkout", "from=15m"], "", "<", 0.4, "400ms"),
        pending,
        question("cost.total", &[], "", "<=", 60.0, "60"),
    ];
    b.header.notes = vec![
        "startup of checkout: no behaviour given, assumed median 12s, p95 20s".into(),
        "field lifecycle.postStart of Deployment cart is accepted and not simulated".into(),
    ];
    let workload = "Deployment/shop/checkout";
    let per_node = 14;
    let mut nodes = 0;
    while nodes < 3 {
        b.node(0.0, nodes);
        nodes += 1;
    }
    b.at(300.0, Record::Mark { mark: "spike-40x".into() });
    // (ready from, deleted at, pod, node)
    let mut pods: Vec<(f64, f64, String, usize)> = Vec::new();
    let mut waiting: Vec<(f64, String)> = Vec::new();
    let mut used = vec![0usize; 400];
    let (mut desired, mut made, mut asked, mut joining) = (8usize, 0usize, 3usize, Vec::<f64>::new());
    let mut fluid = Fluid { flow: "shoppers", external: true, service: "shop/checkout", queue: 0.0, open: 0, backoff: 0 };
    let mut inner = Fluid { flow: "checkout→payment", external: false, service: "shop/payment", queue: 0.0, open: 0, backoff: 0 };
    let (mut busy, mut last_counts) = (0.1, (0, 0, 0));
    let mut last_busy_scale = 0.0;
    for second in 0..2400u64 {
        let now = second as f64;
        if second.is_multiple_of(15) && second > 0 {
            let wanted = ((pods.iter().filter(|pod| pod.1.is_infinite()).count() as f64 * busy / 0.65).ceil() as usize).max(8);
            let limited = wanted.min((desired * 2).max(desired + 4)).min(400);
            if limited > desired {
                last_busy_scale = now;
            }
            let next = if limited < desired && now - last_busy_scale < 300.0 { desired } else { limited.max(8) };
            if next != desired {
                b.at(
                    now,
                    Record::Autoscale {
                        hpa: "shop/checkout".into(),
                        target: workload.into(),
                        current: desired as i32,
                        proposed: wanted as i32,
                        stabilized: if limited < desired { desired as i32 } else { wanted as i32 },
                        min: 8,
                        max: 400,
                        desired: next as i32,
                        metric: format!("cpu: {:.0}%/65%", busy * 100.0).as_str().into(),
                        reason: if wanted > 400 {
                            "TooManyReplicas"
                        } else if limited < wanted {
                            "ScaleUpLimit"
                        } else {
                            "DesiredWithinRange"
                        }
                        .into(),
                    },
                );
                let message = format!("New size: {next}; reason: cpu resource utilization (percentage of request) above target");
                b.event(now, "Normal", "SuccessfulRescale", "HorizontalPodAutoscaler/shop/checkout", &message, "horizontal-pod-autoscaler");
            }
            desired = next;
        }
        let live = pods.iter().filter(|pod| pod.1.is_infinite()).count() + waiting.len();
        for _ in live..desired {
            let name = format!("shop/checkout-7f9c-{made:04x}");
            made += 1;
            b.pod(now + 0.02, &name, workload, 1000);
            waiting.push((now, name));
        }
        let surplus: Vec<usize> =
            (0..pods.len()).rev().filter(|index| pods[*index].1.is_infinite()).take(live.saturating_sub(desired)).collect();
        for index in surplus {
            b.deleted(now + 0.1, &pods[index].2.clone(), "replicaset-controller", now + 2.0);
            pods[index].1 = now;
            used[pods[index].3] -= 1;
        }
        joining.retain(|at| {
            if *at > now {
                return true;
            }
            b.node(now, nodes);
            nodes += 1;
            false
        });
        waiting.retain(|(created, name)| {
            let Some(node) = (0..nodes).min_by_key(|node| used[*node]).filter(|node| used[*node] < per_node) else {
                if ((now - created) as u64).is_multiple_of(10) {
                    let message = format!("0/{nodes} nodes are available: {nodes} Insufficient cpu. preemption: 0/{nodes} nodes are available: {nodes} No preemption victims found for incoming pod.");
                    let attempt = 1 + ((now - created) / 10.0) as u32;
                    b.at(now + 0.05, Record::PodUnschedulable { pod: name.as_str().into(), attempt, message: message.as_str().into(), rejected_by: vec!["NodeResourcesFit".into()] });
                    b.event(now + 0.05, "Warning", "FailedScheduling", &format!("Pod/{name}"), &message, "default-scheduler");
                }
                return true;
            };
            used[node] += 1;
            let ready = now + 14.0 + b.random() * 12.0;
            b.runs(name, &format!("general-{node:03}"), now + 0.06, now + 6.0, ready);
            pods.push((ready, f64::INFINITY, name.clone(), node));
            false
        });
        if second.is_multiple_of(10) && !waiting.is_empty() {
            let need = nodes + joining.len() + waiting.len().div_ceil(per_node) - joining.len().min(waiting.len().div_ceil(per_node));
            if need > asked {
                b.at(
                    now,
                    Record::NodePool {
                        pool: "general".into(),
                        from: asked as u32,
                        to: need as u32,
                        nodes: vec![],
                        reason: "pods do not fit".into(),
                    },
                );
                for _ in asked..need {
                    let wait = 60.0 + b.random() * 40.0;
                    joining.push(now + wait);
                }
                asked = need;
            }
        }
        let ready = pods.iter().filter(|pod| pod.0 <= now && pod.1 > now).count();
        if second.is_multiple_of(5) && fluid.queue > ready as f64 * 60.0 && ready > 0 {
            let pod = pods[second as usize % pods.len()].2.clone();
            b.event(
                now + 0.5,
                "Warning",
                "Unhealthy",
                &format!("Pod/{pod}"),
                "Readiness probe failed: context deadline exceeded",
                "kubelet",
            );
        }
        let counts = (desired, pods.iter().filter(|pod| pod.1.is_infinite()).count() + waiting.len(), ready);
        if counts != last_counts {
            b.workload(now + 0.2, "shop/checkout", counts.0 as i32, counts.1 as i32, counts.2 as i32);
            b.at(now + 0.3, Record::Endpoints { service: "shop/checkout".into(), ready: counts.2 as u32, total: counts.1 as u32 });
            let (active, unschedulable) = (u32::from(counts.0 != last_counts.0), waiting.len() as u32);
            b.at(
                now + 0.3,
                Record::SchedulingQueue { active, backoff: unschedulable / 3, unschedulable: unschedulable - unschedulable / 3, gated: 0 },
            );
            last_counts = counts;
        }
        let offered = black_friday_rate(now);
        busy = fluid.second(&mut b, second, offered, ready as f64, 60.0);
        inner.second(&mut b, second, offered.min(ready as f64 * 60.0) * 0.4, 40.0, 130.0);
        if second.is_multiple_of(15) {
            for (node, pods) in used.iter().copied().enumerate().take(nodes) {
                let cpu_used_millis = (pods as f64 * busy * 1000.0 * (0.85 + 0.3 * b.random())) as i64 + 200;
                b.at(
                    now + 0.4,
                    Record::NodeUsage {
                        node: format!("general-{node:03}").as_str().into(),
                        pods: pods as u32,
                        cpu_requested_millis: pods as i64 * 1000,
                        memory_requested_bytes: pods as i64 * (512 << 20),
                        cpu_used_millis,
                    },
                );
            }
        }
    }
    b.build()
}

/// A node loses power at ten minutes: 40 s until the cluster notices, 300 s until its pods are evicted.
#[must_use]
pub fn node_failure(seed: u64) -> Trace {
    let mut b = Builder::new("node-failure-2am", seed, 1800);
    b.header.description = "One of six nodes goes dark; its pods wait out their tolerations.".into();
    b.header.questions = vec![
        question("recovery.detect", &["fault=power-loss"], "max", "<=", 55.0, "55s"),
        question("recovery.total", &["fault=power-loss"], "max", "<=", 420.0, "7m"),
        question("availability", &["service=api"], "", ">=", 0.99, "99%"),
    ];
    for node in 0..6 {
        b.node(0.0, node);
        let (pods, cpu_requested_millis, memory_requested_bytes) = (2, 2000, 1 << 30);
        let node: Str = format!("general-{node:03}").into();
        b.at(30.0, Record::NodeUsage { node, pods, cpu_requested_millis, memory_requested_bytes, cpu_used_millis: 900 });
    }
    let pod = |index: usize| format!("default/api-5d4f-{index:05}");
    for index in 0..12 {
        b.pod(0.1, &pod(index), "Deployment/default/api", 1000);
        b.runs(&pod(index), &format!("general-{:03}", index % 6), 0.2, 4.0, 10.0);
    }
    b.workload(0.1, "default/api", 12, 12, 0);
    b.workload(10.0, "default/api", 12, 12, 12);
    b.at(10.0, Record::Endpoints { service: "default/api".into(), ready: 12, total: 12 });
    let node: Str = "general-002".into();
    b.at(
        600.0,
        Record::FaultBegan { fault: "power-loss".into(), action: "node-poweroff".into(), targets: vec!["Node/general-002".into()] },
    );
    let noticed = 600.0 + 40.0 + b.random() * 5.0;
    b.at(noticed, Record::NodeReady { node: node.clone(), status: "Unknown".into(), reason: "NodeStatusUnknown".into() });
    let taints = vec![Str::from("node.kubernetes.io/unreachable:NoSchedule"), "node.kubernetes.io/unreachable:NoExecute".into()];
    b.at(noticed + 0.1, Record::NodeTaints { node: node.clone(), unschedulable: false, taints });
    b.event(noticed, "Normal", "NodeNotReady", "Node/general-002", "Node general-002 status is now: NodeNotReady", "node-controller");
    b.workload(noticed + 0.1, "default/api", 12, 12, 10);
    b.at(noticed + 0.1, Record::Endpoints { service: "default/api".into(), ready: 10, total: 12 });
    for index in [2, 8] {
        b.at(noticed, Record::PodReady { pod: pod(index).as_str().into(), ready: false, reason: "NodeNotReady".into() });
        let evicted = noticed + 300.0 + index as f64 / 100.0;
        b.at(
            evicted,
            Record::PodDeleting {
                pod: pod(index).as_str().into(),
                by: "taint-eviction-controller".into(),
                grace: SimDuration::from_secs(30),
            },
        );
        let message = format!("Marking for deletion Pod {}", pod(index));
        b.event(evicted, "Normal", "TaintManagerEviction", &format!("Pod/{}", pod(index)), &message, "taint-eviction-controller");
        let replacement = pod(100 + index);
        b.pod(evicted + 0.05, &replacement, "Deployment/default/api", 1000);
        let ready = evicted + 12.0 + b.random() * 6.0;
        b.runs(&replacement, "general-001", evicted + 0.06, evicted + 5.0, ready);
        let ready_count = if index == 2 { 11 } else { 12 };
        b.workload(ready.max(evicted + 20.0 + index as f64 / 10.0), "default/api", 12, 12, ready_count);
    }
    b.at(noticed + 321.0, Record::Endpoints { service: "default/api".into(), ready: 12, total: 12 });
    b.at(1500.0, Record::FaultEnded { fault: "power-loss".into() });
    b.at(1505.0, Record::NodeReady { node, status: "True".into(), reason: "KubeletReady".into() });
    let mut fluid = Fluid { flow: "night", external: true, service: "default/api", queue: 0.0, open: 0, backoff: 0 };
    for second in 0..1800u64 {
        // Until it is noticed, a sixth of the requests goes to a dark node.
        let dark = (600.0..noticed).contains(&(second as f64));
        fluid.second(&mut b, second, 400.0, if dark { 6.2 } else { 12.0 }, 60.0);
    }
    b.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::conservation;

    #[test]
    fn synthetic_traces_keep_the_laws_of_real_ones() {
        for trace in [black_friday(1), black_friday(2), node_failure(1)] {
            assert_eq!(conservation(&trace), Ok(()));
            assert!(trace.records.is_sorted_by_key(|(at, _)| *at));
        }
        assert_eq!(black_friday(3), black_friday(3));
    }

    #[test]
    fn a_lost_request_is_noticed() {
        let mut trace = node_failure(1);
        let counts = trace.records.iter_mut().find_map(|(_, record)| match record {
            Record::Traffic { counts, .. } => Some(counts),
            _ => None,
        });
        counts.unwrap().succeeded += 1;
        assert!(conservation(&trace).unwrap_err().contains("flow night"));
    }
}
