//! A traffic engine with pods of its own and no cluster around it: for tests and measurements.
//!
//! Services are pods with a node each, listed at once; what happens to them is what the bench is told. Every
//! window is folded into totals per flow, and every window's requests are counted over (`close_window`).
//!
//! Not here: endpoints that take time, probes, autoscaling; those are the world's.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ObjectKey, SimDuration, SimTime, Uid};
use trace::{Histogram, Record, TrafficCounts};

use super::{EndpointTarget, Meter, Player, PodEnd, ProcessStarted, Signal, TrafficProcess};
use crate::random::Streams;
use crate::spec::{ControlPlane, KubeProxy, ServiceBehavior, TrafficSpec, WorldSpec};

/// What each pod of a service has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PodSize {
    /// Cpu of its node, which is its own.
    pub node_cpu_millis: i64,
    /// Cpu limit; `None` means the node.
    pub cpu_limit_millis: Option<i64>,
    /// Memory limit; `None` means none.
    pub memory_limit_bytes: Option<i64>,
}

impl PodSize {
    /// A node of so many cores, all for the pod.
    #[must_use]
    pub const fn cores(cores: i64) -> Self {
        Self { node_cpu_millis: cores * 1000, cpu_limit_millis: None, memory_limit_bytes: None }
    }
}

/// A traffic engine with pods of its own, and what its records add up to.
pub struct Bench {
    pub(super) traffic: Player,
    pub(super) now: SimTime,
    pub(super) pods: BTreeMap<&'static str, Vec<Uid>>,
    pub(super) flows: BTreeMap<String, (TrafficCounts, Histogram)>,
    pub(super) orphaned: u64,
    pub(super) queued: u64,
    pub(super) cpu_nanos: u64,
    pub(super) signals: Vec<(SimTime, Signal)>,
    pub(super) digest: u64,
}

impl Bench {
    /// An engine with these sources and no pods.
    #[must_use]
    pub fn new(seed: u64, spec: &TrafficSpec) -> Self {
        Self {
            traffic: Player::new(&world(spec), Streams::new(seed)),
            now: SimTime::ZERO,
            pods: BTreeMap::new(),
            flows: BTreeMap::new(),
            orphaned: 0,
            queued: 0,
            cpu_nanos: 0,
            signals: Vec::new(),
            digest: 0,
        }
    }

    /// A service of `count` equal pods, on top of those it has.
    #[must_use]
    pub fn with_pods(mut self, name: &'static str, count: u64, size: PodSize, behavior: &ServiceBehavior) -> Self {
        let behavior = Arc::new(behavior.clone());
        let first = self.pods.values().map(Vec::len).sum::<usize>() as u64;
        for number in first..first + count {
            let started = ProcessStarted {
                pod: Uid(number + 1),
                node: format!("node-{number}").into(),
                services: vec![service_key(name)],
                caller: name.into(),
                behavior: behavior.clone(),
                cpu_limit_millis: size.cpu_limit_millis,
                cpu_request_millis: 100,
                node_cpu_millis: size.node_cpu_millis,
                memory_limit_bytes: size.memory_limit_bytes,
                probe_timeout: None,
                end: nobody(),
            };
            self.start(started);
            self.pods.entry(name).or_default().push(Uid(number + 1));
        }
        self.list(name);
        self
    }

    pub(super) fn start(&mut self, started: ProcessStarted) {
        self.traffic.process(&TrafficProcess::Started(Box::new(started)), self.now);
    }

    pub(super) fn list(&mut self, name: &'static str) {
        let targets: Vec<_> = self.pods[name].iter().map(|pod| EndpointTarget::ready(*pod)).collect();
        self.traffic.endpoints(&service_key(name), 0, &targets, self.now);
    }

    /// Gives all pods of a service other cores, as a stress fault would: their workers stay.
    pub fn set_cores(&mut self, name: &str, millis: i64) {
        for pod in self.pods.get(name).into_iter().flatten() {
            self.traffic.set_cores(*pod, millis, self.now);
        }
    }

    /// The node of a pod loses power: nothing is heard of it, and it stays listed.
    pub fn silence(&mut self, name: &str, index: usize) {
        if let Some(pod) = self.pods.get(name).and_then(|pods| pods.get(index)) {
            self.traffic.process(&TrafficProcess::Silent { pod: *pod }, self.now);
        }
    }

    /// A pod's process ends, and it stays listed.
    pub fn stop(&mut self, name: &str, index: usize) {
        if let Some(pod) = self.pods.get(name).and_then(|pods| pods.get(index)) {
            self.traffic.process(&TrafficProcess::Stopped { pod: *pod }, self.now);
        }
    }

    /// A pod is no longer listed.
    pub fn unlist(&mut self, name: &'static str, index: usize) {
        if let Some(pods) = self.pods.get_mut(name).filter(|pods| index < pods.len()) {
            pods.remove(index);
            self.list(name);
        }
    }

    /// The present.
    #[must_use]
    pub const fn now(&self) -> SimTime {
        self.now
    }

    /// Plays on to `until` in windows of at most five seconds.
    pub fn run(&mut self, until: SimTime) {
        while self.now < until {
            let end = (self.now + SimDuration::from_secs(5)).min(until);
            self.play(end);
            let mut records = Vec::new();
            self.traffic.close_window(end, &mut records);
            self.queued = 0;
            records.into_iter().for_each(|record| self.fold(record));
        }
    }

    fn play(&mut self, until: SimTime) {
        loop {
            let mut signals = Vec::new();
            let at = self.traffic.advance_to(until, &mut signals);
            self.now = at;
            if signals.is_empty() {
                return;
            }
            self.signals.extend(signals.into_iter().map(|signal| (at, signal)));
        }
    }

    fn fold(&mut self, record: Record) {
        if cfg!(test) {
            for byte in format!("{record:?}").bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        match record {
            Record::Traffic { flow, counts, latency, .. } => {
                let (sum, histogram) = self.flows.entry(flow.to_string()).or_default();
                sum.arrived += counts.arrived;
                sum.succeeded += counts.succeeded;
                sum.shed += counts.shed;
                sum.refused += counts.refused;
                sum.timed_out += counts.timed_out;
                sum.failed += counts.failed;
                sum.attempts += counts.attempts;
                sum.retries += counts.retries;
                (sum.in_flight, sum.in_backoff) = (counts.in_flight, counts.in_backoff);
                histogram.merge(&latency);
            }
            Record::Station { queued, orphaned, cpu_used, .. } => {
                self.queued += queued;
                self.orphaned += orphaned;
                self.cpu_nanos += cpu_used.as_nanos();
            }
            _ => {}
        }
    }

    /// What a flow's windows add up to (levels are the last window's); zeros when it had none.
    #[must_use]
    pub fn counts(&self, flow: &str) -> TrafficCounts {
        self.flows.get(flow).map(|(counts, _)| *counts).unwrap_or_default()
    }

    /// Latencies of a flow's successes so far.
    #[must_use]
    pub fn latency(&self, flow: &str) -> Histogram {
        self.flows.get(flow).map(|(_, latency)| latency.clone()).unwrap_or_default()
    }

    /// Forgets what was counted so far.
    pub fn forget(&mut self) {
        self.flows.clear();
        self.orphaned = 0;
    }

    /// Looks one by one at requests that come within a span of time and want a span of cpu time (exact engine only).
    pub fn measure(&mut self, came: (SimTime, SimTime), demand: (SimDuration, SimDuration)) {
        let came = (came.0.as_nanos(), came.1.as_nanos());
        self.traffic.measure(Meter { came, demand: (demand.0.as_nanos(), demand.1.as_nanos()), ..Meter::default() });
    }

    /// Of those that were answered: the mean time at the station in seconds, and the mean of that time over the demand.
    #[must_use]
    pub fn measured(&self) -> Option<(f64, f64)> {
        let meter = self.traffic.meter().filter(|meter| meter.answered > 0)?;
        let count = meter.answered as f64;
        Some((meter.sojourn_nanos as f64 / 1e9 / count, meter.slowdown / count))
    }

    /// Share of requests that find no worker free: of those looked at, or (cohort) as the first pod of `name` stands.
    #[must_use]
    pub fn waiting_share(&self, name: &str) -> Option<f64> {
        let looked_at = self.traffic.meter().filter(|meter| meter.arrived > 0);
        let of_pod = || self.traffic.waiting_share(*self.pods.get(name)?.first()?);
        looked_at.map(|meter| meter.waited as f64 / meter.arrived as f64).or_else(of_pod)
    }

    /// Work that was finished for callers who had given up.
    #[must_use]
    pub const fn orphaned(&self) -> u64 {
        self.orphaned
    }

    /// Requests that waited at the last window's end.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        self.queued
    }

    /// When a pod was first said to have reached its memory limit.
    #[must_use]
    pub fn out_of_memory_at(&self) -> Option<SimTime> {
        self.signals.iter().find(|(_, signal)| matches!(signal, Signal::OutOfMemory(_))).map(|(at, _)| *at)
    }

    /// Events played so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.traffic.events()
    }
}

/// A cluster in which everybody hears of endpoints at once.
fn world(spec: &TrafficSpec) -> WorldSpec {
    let none = SimDuration::ZERO;
    let kube_proxy = KubeProxy { min_sync_period: none, propagation_base: none, propagation_jitter: none, ..KubeProxy::default() };
    let control_plane = ControlPlane { kube_proxy, ..ControlPlane::default() };
    WorldSpec { traffic: spec.clone(), control_plane, ..WorldSpec::default() }
}

/// Whom no NetworkPolicy knows.
pub(super) fn nobody() -> PodEnd {
    PodEnd { namespace: "".into(), labels: Arc::default(), ports: Vec::new() }
}

/// The name under which the bench lists a service.
#[must_use]
pub fn service_key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "".into(), name: name.into() }
}

/// Cores that pods of one node get, each asked for more than it can do at once: by weight (cpu request) and
/// by how many requests it may work on; one whose requests want less than a core (`demand`) has that as its limit.
#[must_use]
pub fn shared_node(engine: crate::spec::TrafficEngine, node_cpu_millis: i64, pods: &[(i64, u32)], demand: &[f64]) -> Vec<f64> {
    let sources = (0..pods.len()).map(|index| crate::spec::Source {
        name: format!("users-{index}").into(),
        to: service_key(&format!("s-{index}")),
        rate: vec![crate::spec::RatePoint { at: SimTime::ZERO, per_second: 100.0, linear: false }],
        arrivals: crate::spec::Arrivals::Deterministic,
        users: None,
        client: crate::spec::Client { timeout: SimDuration::MAX, ..crate::spec::Client::default() },
        ..crate::spec::Source::default()
    });
    let mut bench = Bench::new(1, &TrafficSpec { sources: sources.collect(), engine, ..TrafficSpec::default() });
    for (index, (weight, workers)) in pods.iter().enumerate() {
        let service = service_key(&format!("s-{index}"));
        let pod = Uid(index as u64 + 1);
        bench.start(ProcessStarted {
            pod,
            node: "node".into(),
            services: vec![service.clone()],
            caller: service.name.clone(),
            behavior: Arc::new(ServiceBehavior {
                cpu_per_request: crate::random::Distribution::Constant(SimDuration::from_millis(100)),
                concurrency: Some(*workers),
                cfs_period: SimDuration::ZERO,
                ..ServiceBehavior::default()
            }),
            cpu_limit_millis: (demand[index] < 1.0).then_some((demand[index] * 1000.0) as i64),
            cpu_request_millis: *weight,
            node_cpu_millis,
            memory_limit_bytes: None,
            probe_timeout: None,
            end: nobody(),
        });
        bench.traffic.endpoints(&service, 0, &[EndpointTarget::ready(pod)], bench.now);
    }
    bench.run(SimTime::from_secs(20));
    let used = |bench: &Bench| -> Vec<f64> {
        let of = |index: usize| bench.traffic.cpu_used(Uid(index as u64 + 1), bench.now).unwrap_or_default().as_secs_f64();
        (0..pods.len()).map(of).collect()
    };
    let before = used(&bench);
    bench.run(SimTime::from_secs(220));
    used(&bench).iter().zip(before).map(|(after, before)| (after - before) / 200.0).collect()
}
