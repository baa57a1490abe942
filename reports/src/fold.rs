//! One pass over a trace: the lives of its nodes, pods and workloads, and its windows of traffic.
//!
//! Everything else in this crate reads a [`Run`] and never the records again. It borrows from the trace.
//!
//! Invariants:
//! - Linear in the number of records (times a name look-up).
//! - Nothing is left out here: warm-up is cut where a measure is taken.
//! - Names may live twice (a StatefulSet's pod, a node that comes back): each life is its own entry.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use api::{Explanation, SimDuration, SimTime, Str};
use trace::{Header, Histogram, Record, Trace, TrafficCounts};

use crate::metrics::Recovery;
use crate::series::{Range, Steps};

/// A node from joining to leaving.
pub(crate) struct NodeLife<'t> {
    pub name: &'t str,
    pub pool: &'t str,
    pub zone: &'t str,
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub pods: i64,
    pub price_per_hour: f64,
    pub added: SimTime,
    pub removed: Option<SimTime>,
    /// (when, status, reason) of the Ready condition.
    pub ready: Vec<(SimTime, &'t str, &'t str)>,
    /// (when, cordoned, taints).
    pub taints: Vec<(SimTime, bool, &'t [Str])>,
    pub usage: Vec<(SimTime, Usage)>,
}

/// One sample of what a node carries.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub pods: u32,
    pub cpu_requested_millis: i64,
    pub memory_requested_bytes: i64,
    pub cpu_used_millis: i64,
}

/// A change of a container's state.
#[derive(Clone, Copy)]
pub(crate) struct ContainerChange<'t> {
    pub at: SimTime,
    pub container: &'t str,
    pub state: &'t str,
    pub reason: &'t str,
    pub exit_code: Option<i32>,
    pub restarts: u32,
}

/// A pod from creation to removal.
pub(crate) struct PodLife<'t> {
    pub name: &'t str,
    pub workload: &'t str,
    pub controller: &'t str,
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub priority: i32,
    pub created: SimTime,
    /// Attempts that found no node: (when, attempt, message, plugins).
    pub unschedulable: Vec<(SimTime, u32, &'t str, &'t [Str])>,
    pub scheduled: Option<Scheduled<'t>>,
    /// Decisions on it that were explained: (when, attempt, why).
    pub explanations: Vec<(SimTime, u32, &'t Explanation)>,
    pub containers: Vec<ContainerChange<'t>>,
    pub phases: Vec<(SimTime, &'t str, &'t str)>,
    pub ready: Vec<(SimTime, bool, &'t str)>,
    /// (when, by whom, grace): the first time.
    pub deleting: Option<(SimTime, &'t str, SimDuration)>,
    pub removed: Option<SimTime>,
}

/// A binding.
#[derive(Clone, Copy)]
pub(crate) struct Scheduled<'t> {
    pub at: SimTime,
    pub node: &'t str,
    pub attempts: u32,
    pub feasible_nodes: u32,
    pub evaluated_nodes: u32,
}

impl<'t> PodLife<'t> {
    /// The node it is bound to.
    pub(crate) fn node(&self) -> Option<&'t str> {
        self.scheduled.map(|scheduled| scheduled.node)
    }
    /// Its phase at `at`; Pending until a record says otherwise.
    pub(crate) fn phase_at(&self, at: SimTime) -> (&'t str, &'t str) {
        self.phases.iter().rev().find(|(time, ..)| *time <= at).map_or(("Pending", ""), |(_, phase, reason)| (phase, reason))
    }
    pub(crate) fn ready_at(&self, at: SimTime) -> bool {
        self.ready.iter().rev().find(|(time, ..)| *time <= at).is_some_and(|(_, ready, _)| *ready)
    }
    pub(crate) fn exists_at(&self, at: SimTime) -> bool {
        self.created <= at && self.removed.is_none_or(|removed| at < removed)
    }
    /// Spans in which `inside` holds for (phase).
    pub(crate) fn phase_deltas(&self, wanted: &str, into: &mut Vec<(SimTime, i64)>) {
        let mut phase = "Pending";
        let mut since = self.created;
        for (at, next, _) in &self.phases {
            if phase == wanted && *next != wanted {
                into.extend([(since, 1), (*at, -1)]);
            }
            if phase != *next {
                (phase, since) = (next, *at);
            }
        }
        if phase == wanted {
            into.push((since, 1));
            into.extend(self.removed.map(|removed| (removed, -1)));
        }
    }
    pub(crate) fn ready_deltas(&self, into: &mut Vec<(SimTime, i64)>) {
        let mut is_ready = false;
        for (at, ready, _) in &self.ready {
            if *ready != is_ready {
                into.push((*at, if *ready { 1 } else { -1 }));
                is_ready = *ready;
            }
        }
        if is_ready {
            into.extend(self.removed.map(|removed| (removed, -1)));
        }
    }
    /// `namespace`, or empty.
    pub(crate) fn namespace(&self) -> &'t str {
        self.name.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

/// A workload's counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub desired: i32,
    pub current: i32,
    pub updated: i32,
    pub ready: i32,
    pub available: i32,
}

/// One window of one flow.
pub(crate) struct Window<'t> {
    pub end: SimTime,
    pub length: SimDuration,
    pub counts: TrafficCounts,
    pub latency: &'t Histogram,
}

impl Window<'_> {
    pub(crate) fn start(&self) -> SimTime {
        self.end - self.length
    }
}

/// Requests that came to an end, well or not.
pub(crate) fn finished(counts: &TrafficCounts) -> u64 {
    counts.succeeded + lost(counts)
}

/// Requests that came to a bad end.
pub(crate) fn lost(counts: &TrafficCounts) -> u64 {
    counts.shed + counts.refused + counts.timed_out + counts.failed
}

/// One flow of requests.
pub(crate) struct Flow<'t> {
    pub name: &'t str,
    pub external: bool,
    pub service: &'t str,
    pub windows: Vec<Window<'t>>,
}

/// One window of a Service's pods.
#[derive(Clone, Copy)]
pub(crate) struct StationWindow {
    pub end: SimTime,
    pub pods: u32,
    pub queued: u64,
    pub busy: u64,
    pub shed: u64,
    pub orphaned: u64,
    pub cpu_used: SimDuration,
}

/// One look of a HorizontalPodAutoscaler.
#[derive(Clone, Copy)]
pub(crate) struct Autoscale<'t> {
    pub at: SimTime,
    pub hpa: &'t str,
    pub target: &'t str,
    pub current: i32,
    pub proposed: i32,
    /// What the windows left of the proposal.
    pub stabilized: i32,
    pub min: i32,
    pub max: i32,
    pub desired: i32,
    pub metric: &'t str,
    pub reason: &'t str,
}

/// What a VerticalPodAutoscaler recommends to a container.
#[derive(Clone, Copy)]
pub(crate) struct Recommendation<'t> {
    pub at: SimTime,
    pub vpa: &'t str,
    pub target: &'t str,
    pub mode: &'t str,
    pub container: &'t str,
    /// Lower bound, target, upper bound.
    pub cpu_millis: [i64; 3],
    pub memory_bytes: [i64; 3],
}

/// A change of a workload's condition.
#[derive(Clone, Copy)]
pub(crate) struct ConditionChange<'t> {
    pub at: SimTime,
    pub condition: &'t str,
    pub status: &'t str,
    pub reason: &'t str,
    pub message: &'t str,
}

/// Pods that no node pool would help.
pub(crate) struct NotTriggered<'t> {
    pub at: SimTime,
    pub pods: &'t [Str],
    pub pools: &'t BTreeMap<Str, Str>,
    pub message: &'t str,
}

/// A change of a node pool's size.
pub(crate) struct PoolChange<'t> {
    pub at: SimTime,
    pub pool: &'t str,
    pub from: u32,
    pub to: u32,
    /// Ordered or taken away.
    pub nodes: &'t [Str],
    pub reason: &'t str,
}

/// A Kubernetes Event.
#[derive(Clone, Copy)]
pub(crate) struct Event<'t> {
    pub at: SimTime,
    pub kind: &'t str,
    pub reason: &'t str,
    pub object: &'t str,
    pub message: &'t str,
    pub source: &'t str,
}

/// A fault from beginning to end.
pub(crate) struct FaultLife<'t> {
    pub name: &'t str,
    pub action: &'t str,
    pub targets: &'t [Str],
    pub began: SimTime,
    pub ended: Option<SimTime>,
}

/// A trace, folded once.
pub struct Run<'t> {
    pub(crate) header: &'t Header,
    pub(crate) end: SimTime,
    pub(crate) end_reason: &'t str,
    pub(crate) world_events: u64,
    pub(crate) traffic_events: u64,
    pub(crate) nodes: Vec<NodeLife<'t>>,
    pub(crate) pods: Vec<PodLife<'t>>,
    /// By (kind, `namespace/name`).
    pub(crate) workloads: BTreeMap<(&'t str, &'t str), Vec<(SimTime, Counts)>>,
    pub(crate) flows: BTreeMap<&'t str, Flow<'t>>,
    pub(crate) stations: BTreeMap<&'t str, Vec<StationWindow>>,
    /// What NetworkPolicies did not allow, by Service, policy and flow: when first, attempts.
    pub(crate) denied: BTreeMap<(&'t str, &'t str, &'t str), (SimTime, u64)>,
    /// (when, ready, total), by Service.
    pub(crate) endpoints: BTreeMap<&'t str, Vec<(SimTime, u32, u32)>>,
    pub(crate) autoscales: Vec<Autoscale<'t>>,
    pub(crate) recommendations: Vec<Recommendation<'t>>,
    pub(crate) pool_changes: Vec<PoolChange<'t>>,
    /// (when, pool, until when it is left alone).
    pub(crate) backoffs: Vec<(SimTime, &'t str, SimTime)>,
    pub(crate) not_triggered: Vec<NotTriggered<'t>>,
    /// By (kind, `namespace/name`).
    pub(crate) conditions: BTreeMap<(&'t str, &'t str), Vec<ConditionChange<'t>>>,
    /// active, backoff, unschedulable, gated.
    pub(crate) queue: Vec<(SimTime, [u32; 4])>,
    pub(crate) faults: Vec<FaultLife<'t>>,
    pub(crate) marks: Vec<(SimTime, &'t str)>,
    pub(crate) steps: Vec<(SimTime, &'t str, &'t str)>,
    pub(crate) events: Vec<Event<'t>>,
    /// Asked for by many metrics, computed once.
    pub(crate) recoveries: OnceLock<Vec<Recovery>>,
    /// All latencies of each flow after the warm-up; asked for by many metrics, merged once.
    latencies: OnceLock<BTreeMap<String, Histogram>>,
}

#[derive(Default)]
struct Living<'t> {
    nodes: BTreeMap<&'t str, usize>,
    pods: BTreeMap<&'t str, usize>,
}

impl<'t> Run<'t> {
    /// Folds a trace.
    #[must_use]
    pub fn new(trace: &'t Trace) -> Self {
        let mut run = Self {
            header: &trace.header,
            end: trace.records.last().map_or(SimTime::ZERO, |(at, _)| *at),
            end_reason: "",
            world_events: 0,
            traffic_events: 0,
            nodes: Vec::new(),
            pods: Vec::new(),
            workloads: BTreeMap::new(),
            flows: BTreeMap::new(),
            stations: BTreeMap::new(),
            denied: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            autoscales: Vec::new(),
            recommendations: Vec::new(),
            pool_changes: Vec::new(),
            backoffs: Vec::new(),
            not_triggered: Vec::new(),
            conditions: BTreeMap::new(),
            queue: Vec::new(),
            faults: Vec::new(),
            marks: Vec::new(),
            steps: Vec::new(),
            events: Vec::new(),
            recoveries: OnceLock::new(),
            latencies: OnceLock::new(),
        };
        let mut living = Living::default();
        for (at, record) in &trace.records {
            run.fold_cluster(*at, record, &mut living);
        }
        run
    }

    /// What a measure looks at when nobody says otherwise: everything after the warm-up.
    #[must_use]
    pub fn range(&self) -> Range {
        let from = (SimTime::ZERO + self.header.warmup).min(self.end);
        Range { from, to: self.end }
    }

    /// All latencies of a flow after the warm-up.
    pub(crate) fn latencies(&self, flow: &str) -> Option<&Histogram> {
        let from = self.range().from;
        let merge = |flow: &Flow<'t>| {
            let mut all = Histogram::default();
            flow.windows.iter().filter(|window| window.start() >= from).for_each(|window| all.merge(window.latency));
            (flow.name.to_owned(), all)
        };
        self.latencies.get_or_init(|| self.flows.values().map(merge).collect()).get(flow)
    }

    fn fold_cluster(&mut self, at: SimTime, record: &'t Record, living: &mut Living<'t>) {
        match record {
            Record::NodeAdded { node, pool, zone, cpu_millis, memory_bytes, pods, price_per_hour } => {
                living.nodes.insert(node, self.nodes.len());
                self.nodes.push(NodeLife {
                    name: node,
                    pool,
                    zone,
                    cpu_millis: *cpu_millis,
                    memory_bytes: *memory_bytes,
                    pods: *pods,
                    price_per_hour: *price_per_hour,
                    added: at,
                    removed: None,
                    ready: Vec::new(),
                    taints: Vec::new(),
                    usage: Vec::new(),
                });
            }
            Record::NodeReady { node, status, reason } => {
                self.with_node(living, node, |life| life.ready.push((at, status, reason)));
            }
            Record::NodeTaints { node, unschedulable, taints } => {
                self.with_node(living, node, |life| life.taints.push((at, *unschedulable, taints)));
            }
            Record::NodeRemoved { node } => self.with_node(living, node, |life| life.removed = Some(at)),
            Record::NodeUsage { node, pods, cpu_requested_millis, memory_requested_bytes, cpu_used_millis } => {
                let usage = Usage {
                    pods: *pods,
                    cpu_requested_millis: *cpu_requested_millis,
                    memory_requested_bytes: *memory_requested_bytes,
                    cpu_used_millis: *cpu_used_millis,
                };
                self.with_node(living, node, |life| life.usage.push((at, usage)));
            }
            Record::PodCreated { pod, workload, controller, cpu_millis, memory_bytes, priority } => {
                living.pods.insert(pod, self.pods.len());
                self.pods.push(PodLife {
                    name: pod,
                    workload,
                    controller,
                    cpu_millis: *cpu_millis,
                    memory_bytes: *memory_bytes,
                    priority: *priority,
                    created: at,
                    unschedulable: Vec::new(),
                    scheduled: None,
                    explanations: Vec::new(),
                    containers: Vec::new(),
                    phases: Vec::new(),
                    ready: Vec::new(),
                    deleting: None,
                    removed: None,
                });
            }
            _ => self.fold_pod(at, record, living),
        }
    }

    fn fold_pod(&mut self, at: SimTime, record: &'t Record, living: &Living<'t>) {
        match record {
            Record::PodUnschedulable { pod, attempt, message, rejected_by } => {
                self.with_pod(living, pod, |life| life.unschedulable.push((at, *attempt, message, rejected_by)));
            }
            Record::Explanation { pod, attempt, explanation } => {
                self.with_pod(living, pod, |life| life.explanations.push((at, *attempt, explanation)));
            }
            Record::PodScheduled { pod, node, attempts, feasible_nodes, evaluated_nodes } => {
                let (attempts, feasible_nodes, evaluated_nodes) = (*attempts, *feasible_nodes, *evaluated_nodes);
                self.with_pod(living, pod, |life| {
                    life.scheduled = Some(Scheduled { at, node, attempts, feasible_nodes, evaluated_nodes });
                });
            }
            Record::Container { pod, container, state, reason, exit_code, restarts } => {
                let change = ContainerChange { at, container, state, reason, exit_code: *exit_code, restarts: *restarts };
                self.with_pod(living, pod, |life| life.containers.push(change));
            }
            Record::PodPhase { pod, phase, reason } => self.with_pod(living, pod, |life| life.phases.push((at, phase, reason))),
            Record::PodReady { pod, ready, reason } => self.with_pod(living, pod, |life| life.ready.push((at, *ready, reason))),
            Record::PodDeleting { pod, by, grace } => self.with_pod(living, pod, |life| {
                life.deleting.get_or_insert((at, by, *grace));
            }),
            Record::PodRemoved { pod } => self.with_pod(living, pod, |life| life.removed = Some(at)),
            _ => self.fold_rest(at, record),
        }
    }

    fn fold_rest(&mut self, at: SimTime, record: &'t Record) {
        match record {
            Record::Workload { kind, name, desired, current, updated, ready, available } => {
                let counts = Counts { desired: *desired, current: *current, updated: *updated, ready: *ready, available: *available };
                self.workloads.entry((kind, name)).or_default().push((at, counts));
            }
            Record::Condition { kind, name, condition, status, reason, message } => {
                let change = ConditionChange { at, condition, status, reason, message };
                self.conditions.entry((kind, name)).or_default().push(change);
            }
            Record::NodePoolBackoff { pool, until } => self.backoffs.push((at, pool, *until)),
            Record::NotTriggerScaleUp { pods, pools, message } => self.not_triggered.push(NotTriggered { at, pods, pools, message }),
            Record::Autoscale { hpa, target, current, proposed, stabilized, min, max, desired, metric, reason } => {
                self.autoscales.push(Autoscale {
                    at,
                    hpa,
                    target,
                    current: *current,
                    proposed: *proposed,
                    stabilized: *stabilized,
                    min: *min,
                    max: *max,
                    desired: *desired,
                    metric,
                    reason,
                })
            }
            Record::Recommendation { vpa, target, mode, container, cpu_millis, memory_bytes } => self
                .recommendations
                .push(Recommendation { at, vpa, target, mode, container, cpu_millis: *cpu_millis, memory_bytes: *memory_bytes }),
            Record::NodePool { pool, from, to, nodes, reason } => {
                self.pool_changes.push(PoolChange { at, pool, from: *from, to: *to, nodes, reason });
            }
            Record::Endpoints { service, ready, total } => self.endpoints.entry(service).or_default().push((at, *ready, *total)),
            Record::Event { kind, reason, object, message, source } => {
                self.events.push(Event { at, kind, reason, object, message, source });
            }
            Record::FaultBegan { fault, action, targets } => {
                self.faults.push(FaultLife { name: fault, action, targets, began: at, ended: None });
            }
            Record::FaultEnded { fault } => {
                // The oldest episode that is still open: episodes of one fault end in the order they began.
                if let Some(life) = self.faults.iter_mut().find(|life| life.name == &**fault && life.ended.is_none()) {
                    life.ended = Some(at);
                }
            }
            Record::Mark { mark } => self.marks.push((at, mark)),
            Record::Step { step, outcome } => self.steps.push((at, step, outcome)),
            Record::SchedulingQueue { active, backoff, unschedulable, gated } => {
                self.queue.push((at, [*active, *backoff, *unschedulable, *gated]));
            }
            Record::Traffic { flow, external, service, window, counts, latency } => {
                let flow = self.flows.entry(flow).or_insert_with(|| Flow { name: flow, external: *external, service, windows: Vec::new() });
                flow.windows.push(Window { end: at, length: *window, counts: *counts, latency });
            }
            Record::Denied { flow, service, policy, attempts } => {
                self.denied.entry((service, policy, flow)).or_insert((at, 0)).1 += attempts;
            }
            Record::Station { service, pods, queued, busy, shed, orphaned, cpu_used } => {
                let (pods, queued, busy, shed, orphaned, cpu_used) = (*pods, *queued, *busy, *shed, *orphaned, *cpu_used);
                let window = StationWindow { end: at, pods, queued, busy, shed, orphaned, cpu_used };
                self.stations.entry(service).or_default().push(window);
            }
            Record::End { events, traffic_events, reason } => {
                (self.end, self.end_reason) = (at, reason);
                (self.world_events, self.traffic_events) = (*events, *traffic_events);
            }
            _ => {} // Nodes and pods were met above.
        }
    }

    fn with_node(&mut self, living: &Living<'t>, node: &str, change: impl FnOnce(&mut NodeLife<'t>)) {
        if let Some(index) = living.nodes.get(node) {
            change(&mut self.nodes[*index]);
        }
    }

    fn with_pod(&mut self, living: &Living<'t>, pod: &str, change: impl FnOnce(&mut PodLife<'t>)) {
        if let Some(index) = living.pods.get(pod) {
            change(&mut self.pods[*index]);
        }
    }

    /// Probes that failed at pods that had been ready before: those of pods that still start are the ordinary way.
    pub(crate) fn failing_probes(&self) -> Vec<&Event<'t>> {
        let mut first_ready: BTreeMap<&str, SimTime> = BTreeMap::new();
        for pod in &self.pods {
            if let Some((at, ..)) = pod.ready.iter().find(|(_, ready, _)| *ready) {
                first_ready.entry(pod.name).or_insert(*at);
            }
        }
        let was_ready = |event: &&Event<'t>| {
            let since = event.object.strip_prefix("Pod/").and_then(|pod| first_ready.get(pod));
            event.reason == "Unhealthy" && since.is_some_and(|since| *since < event.at)
        };
        self.events.iter().filter(was_ready).collect()
    }

    /// Workloads that nobody else manages: all but the ReplicaSets of Deployments.
    pub(crate) fn top_workloads(&self) -> impl Iterator<Item = (&'t str, &'t str)> + '_ {
        let bare: std::collections::BTreeSet<&str> = self.pods.iter().filter_map(|pod| pod.workload.strip_prefix("ReplicaSet/")).collect();
        self.workloads.keys().copied().filter(move |(kind, name)| *kind != "ReplicaSet" || bare.contains(name))
    }

    /// The running number of pods that `deltas` counts, among those `wanted`.
    pub(crate) fn pod_steps(
        &self,
        wanted: impl Fn(&PodLife<'t>) -> bool,
        deltas: impl Fn(&PodLife<'t>, &mut Vec<(SimTime, i64)>),
    ) -> Steps {
        let mut all = Vec::new();
        self.pods.iter().filter(|pod| wanted(pod)).for_each(|pod| deltas(pod, &mut all));
        Steps::from_deltas(all)
    }

    /// The sum over `wanted` nodes of something sampled per node.
    pub(crate) fn node_steps(&self, wanted: impl Fn(&NodeLife<'t>) -> bool, of: impl Fn(&NodeLife<'t>) -> Vec<(SimTime, i64)>) -> Steps {
        let mut deltas = Vec::new();
        for node in self.nodes.iter().filter(|node| wanted(node)) {
            let mut value = 0;
            for (at, next) in of(node) {
                deltas.push((at, next - value));
                value = next;
            }
            deltas.extend(node.removed.map(|removed| (removed, -value)));
        }
        Steps::from_deltas(deltas)
    }
}

/// 1 while the node's Ready condition is True.
pub(crate) fn node_readiness(node: &NodeLife<'_>) -> Vec<(SimTime, i64)> {
    node.ready.iter().map(|(at, status, _)| (*at, i64::from(*status == "True"))).collect()
}
