//! Requests counted together: the cohort engine.
//!
//! A step of at most a second (20 ms while anything is critical) moves every pod's queue by its mean and
//! variance (`station.rs`, `table.rs`), sorts the step's attempts by how they end, and puts each share of
//! them where it is due: answered, failed, tried again. Cost does not depend on the number of requests.
//! Nothing is random but what the cluster does and the phases of bursts: the same rates give the same counts under every seed.
//!
//! How long requests take comes from kernels of each pod's state (`kernel.rs`), drawn by *tracers*, which also
//! walk through the calls; how many end in which way comes from shares in closed form where there is one.
//!
//! Invariants:
//! - Requests are integers of 2^-20; each moves from one place to another, so every flow adds up exactly.
//! - Steps end where processes or endpoints change (to 10 ms, and behind a Service of very many pods where anybody
//!   could feel it: `felt.rs`), and at every window.
//!
//! Not here, so that `player.rs` names it and the exact engine plays it: connections that are used again, and of the network
//! all but endpoints at random or in turn. A cpu quota is a slower core here.

mod calls;
mod cores;
mod felt;
mod kernel;
mod load;
mod outcome;
mod outliers;
mod pods;
mod pool;
mod records;
mod route;
mod source;
mod station;
mod step;
mod table;
mod tracers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use api::{ObjectKey, SimDuration, SimTime, Str, Uid};
use rustc_hash::FxHashMap;
use trace::Histogram;

use self::calls::Planned;
use self::kernel::Law;
use self::pods::PodState;
use self::route::RouteState;
use self::source::SourceState;
use self::table::Table;
use self::tracers::Tracer;
use super::slices::Slices;
use super::{EndpointTarget, Signal, TrafficProcess};
use crate::event::ProbeKind;
use crate::random::Streams;
use crate::spec::{CancelOnTimeout, Client, ServiceBehavior, TrafficSpec};

/// One request.
const GRAINS: u64 = 1 << 20;
/// Time between two places of the ring, and the step while anything is critical.
const QUANTUM: u64 = 20_000_000;
/// The longest step.
const LONGEST: u64 = 1_000_000_000;
/// Changes closer than this to the last step's end count as at that end.
const NEAR: u64 = 10_000_000;
/// Attempts of one request that are told apart.
const MOST_ATTEMPTS: usize = 64;

/// What is counted of a flow, in grains since the start.
#[derive(Clone, Copy, Default)]
struct Totals {
    arrived: u64,
    attempts: u64,
    retries: u64,
    succeeded: u64,
    shed: u64,
    refused: u64,
    timed_out: u64,
    failed: u64,
}

struct FlowState {
    name: Str,
    external: bool,
    service: u32,
    totals: Totals,
    /// The same in whole requests, as told so far.
    told: Totals,
    /// Waiting to be tried again, or in a queue.
    backoff: u64,
    /// Latencies of this window, in grains.
    latency: Histogram,
}

struct ServiceState {
    name: Str,
    slices: Slices,
    targets: Vec<u32>,
    pods: u32,
    programs: Vec<u32>,
    answers: Vec<Tracer>,
    queue: Option<QueueState>,
    /// None of its programs calls anybody.
    leaf: bool,
    /// Attempts that met only pods without any cpu: how they end is not known before there is some.
    held: Vec<Held>,
}

/// Attempts at a service that stands still, and how many were in each pod before them.
struct Held {
    entry: Entry,
    at: f64,
    ahead: f64,
}

/// Messages of a worker service.
struct QueueState {
    flow: u32,
    waiting: VecDeque<(u64, u64)>,
    level: u64,
}

struct ProgramState {
    caller: Str,
    services: Vec<u32>,
    behavior: Arc<ServiceBehavior>,
    cpu: Law,
    latency: Law,
    calls: Vec<Vec<Planned>>,
    pods: Vec<u32>,
    /// Mean time after the cpu work, in seconds.
    rest: f64,
    /// Requests whose cpu work ended in this step.
    departed: f64,
    /// Shares of the attempts by demand, and their mean demand over that of requests: who wants much fails more often, and
    /// comes back.
    mix: [f64; kernel::DEMANDS],
    heavier: f64,
}

struct NodeState {
    cpu_millis: i64,
    pods: Vec<u32>,
}

/// How an attempt ended badly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Shed,
    Refused,
    TimedOut,
    Failed,
}

/// Something that is due.
#[derive(Clone, Copy)]
enum Due {
    Ok,
    Fail(Failure),
    Again,
    /// Slots of a program's pods that calls or waiting held; `route` is the program.
    Slots(f64),
}

#[derive(Clone, Copy)]
struct Entry {
    due: Due,
    route: u32,
    attempt: u32,
    grains: u64,
    /// Seconds since the intended start.
    delay: f64,
}

/// The cohort engine.
pub(crate) struct Cohort {
    now: u64,
    told_now: u64,
    step: u64,
    steps: u64,
    /// Tracers of each service in this step.
    tracers: usize,
    sources: Vec<SourceState>,
    flows: Vec<FlowState>,
    flow_by_name: BTreeMap<Str, u32>,
    routes: Vec<RouteState>,
    services: Vec<ServiceState>,
    service_by_key: BTreeMap<ObjectKey, u32>,
    programs: Vec<ProgramState>,
    nodes: Vec<NodeState>,
    node_by_name: BTreeMap<Str, u32>,
    pods: Vec<PodState>,
    free_pods: Vec<u32>,
    pod_by_uid: FxHashMap<Uid, u32>,
    tables: Vec<Table>,
    /// Programs some of whose pods got other cores since the last step, and the millicores they had in the mean.
    resized: BTreeMap<u32, f64>,
    ring: BTreeMap<u64, Vec<Entry>>,
    signals: BTreeMap<u64, Vec<Signal>>,
    /// Services, callers first.
    order: Vec<u32>,
    changed: bool,
    /// Share of the pods of a Service that changed since the last step (`felt.rs`).
    unfelt: f64,
    /// Pods beyond which a Service is one of very many.
    many: usize,
    /// Something is far from rest.
    critical: bool,
    window_start: u64,
}

impl Cohort {
    /// All sources of `spec`, no pod yet.
    pub(crate) fn new(spec: &TrafficSpec, streams: Streams) -> Self {
        let mut this = Self {
            now: 0,
            told_now: 0,
            step: QUANTUM,
            steps: 0,
            tracers: 64,
            sources: Vec::new(),
            flows: Vec::new(),
            flow_by_name: BTreeMap::new(),
            routes: Vec::new(),
            services: Vec::new(),
            service_by_key: BTreeMap::new(),
            programs: Vec::new(),
            nodes: Vec::new(),
            node_by_name: BTreeMap::new(),
            pods: Vec::new(),
            free_pods: Vec::new(),
            pod_by_uid: FxHashMap::default(),
            tables: Vec::new(),
            resized: BTreeMap::new(),
            ring: BTreeMap::new(),
            signals: BTreeMap::new(),
            order: Vec::new(),
            changed: true,
            unfelt: 0.0,
            many: felt::MANY,
            critical: true,
            window_start: 0,
        };
        for source in &spec.sources {
            let service = this.service(&source.to);
            let flow = this.flow(source.name.clone(), true, service);
            let route = this.route(flow, &source.client);
            this.sources.push(SourceState::new(source, route, streams));
        }
        this
    }

    /// Plays up to and including `until`, or up to the first signal; says where it stopped.
    pub(crate) fn advance_to(&mut self, until: SimTime, signals: &mut Vec<Signal>) -> SimTime {
        let until = until.as_nanos();
        while self.now + self.step <= until {
            let end = self.step_end(self.now + self.step);
            self.play(end);
            if self.take_signals(self.now, signals) {
                return SimTime::from_nanos(self.now.max(self.told_now));
            }
        }
        self.told_now = self.told_now.max(until);
        if self.take_signals(until, signals) {
            return SimTime::from_nanos(until);
        }
        SimTime::from_nanos(until)
    }

    fn take_signals(&mut self, until: u64, out: &mut Vec<Signal>) -> bool {
        while let Some(first) = self.signals.first_entry().filter(|first| *first.key() <= until) {
            out.append(&mut first.remove());
        }
        !out.is_empty()
    }

    /// A step ends where a pod's memory is full, where a source's rate jumps, and where callers come back to an endpoint.
    fn step_end(&self, end: u64) -> u64 {
        let jump = self.sources.iter().filter_map(|source| source.next_jump(self.now));
        let back = self.routes.iter().filter_map(|route| route.outliers.next_return(self.now));
        let end = jump.chain(back).fold(end, u64::min);
        let full = self.pods.iter().filter(|pod| pod.memory.is_some()).map(|pod| pod.memory_full_at(self.now));
        full.filter(|at| *at > self.now).fold(end, u64::min)
    }

    /// Brings everything up to `now`, unless it is nearly there.
    fn enter(&mut self, now: SimTime, exactly: bool) {
        let now = now.as_nanos().max(self.told_now);
        self.told_now = now;
        while self.now < now && (exactly || now - self.now >= NEAR) {
            let end = self.step_end((self.now + self.step).min(now));
            self.play(end);
        }
    }

    /// One step.
    fn play(&mut self, end: u64) {
        let d = (end - self.now) as f64 / 1e9;
        if d <= 0.0 {
            return;
        }
        self.steps += 1;
        self.unfelt = 0.0;
        if std::mem::take(&mut self.changed) {
            self.find_order();
            self.count_callers();
            self.share_tables();
            self.foresee();
        }
        self.critical = false;
        self.share_nodes();
        self.feel_resized();
        self.compose_answers();
        for route in &mut self.routes {
            route.taken = route.connected;
        }
        self.deliver(end);
        self.offer(end, d);
        for place in 0..self.order.len() {
            let service = self.order[place];
            self.serve(service, end, d);
        }
        self.now = end;
        self.look_at_pods();
        // From one step to the next it at most doubles, so that what begins slowly is not passed over.
        let returns = self.routes.iter().any(|route| route.outliers.next_return(end - 1) == Some(end));
        let jumps = returns || self.sources.iter().any(|source| source.jumps_at(end));
        let longest = if self.critical || jumps { QUANTUM } else { (self.step * 2).min(LONGEST) };
        self.step = longest.max(1);
    }

    /// What is due until `end`.
    fn deliver(&mut self, end: u64) {
        while let Some(first) = self.ring.first_entry().filter(|first| first.key() * QUANTUM < end) {
            for entry in first.remove() {
                self.happen(entry, end);
            }
        }
    }

    fn happen(&mut self, entry: Entry, end: u64) {
        let Entry { due, route, attempt, grains, delay } = entry;
        match due {
            Due::Slots(amount) => self.release_slots(route, amount),
            Due::Ok => {
                self.hang_up(route, grains);
                self.succeeded(route, attempt, grains, delay);
            }
            Due::Fail(failure) => {
                self.hang_up(route, grains);
                self.attempt_failed(route, attempt, grains, failure, delay, end);
            }
            Due::Again => {
                let route = &mut self.routes[route as usize];
                self.flows[route.flow as usize].backoff -= grains;
                route.add(attempt as usize, grains, delay);
            }
        }
    }

    /// Attempts that were sent are over.
    fn hang_up(&mut self, route: u32, grains: u64) {
        let route = &mut self.routes[route as usize];
        route.connected = route.connected.saturating_sub(grains);
    }

    fn succeeded(&mut self, route: u32, attempt: u32, grains: u64, delay: f64) {
        let flow = &mut self.flows[self.routes[route as usize].flow as usize];
        flow.totals.succeeded += grains;
        flow.latency.record_n((delay * 1e9) as u64, grains);
        self.routes[route as usize].accepted(attempt, grains);
    }

    /// Puts an entry where it is due, or lets it happen when that is within this step.
    fn put(&mut self, at: f64, end: u64, entry: Entry) {
        if entry.grains == 0 && !matches!(entry.due, Due::Slots(_)) {
            return;
        }
        let at = (at * 1e9) as u64;
        if at < end && !matches!(entry.due, Due::Again) {
            return self.happen(entry, end);
        }
        let place = (at / QUANTUM).max(end.div_ceil(QUANTUM));
        self.ring.entry(place).or_default().push(entry);
    }

    /// Puts an entry that is due evenly over a span.
    fn put_evenly(&mut self, from: f64, until: f64, end: u64, entry: Entry) {
        let quantum = QUANTUM as f64 / 1e9;
        let parts = ((until - from) / quantum).ceil().clamp(1.0, 64.0) as u64;
        let amount = if let Due::Slots(amount) = entry.due { amount } else { 0.0 };
        let (mut left, width) = (entry.grains, (until - from) / parts as f64);
        for part in 0..parts {
            let grains = left / (parts - part);
            left -= grains;
            let due = if amount > 0.0 { Due::Slots(amount / parts as f64) } else { entry.due };
            let (low, high) = (from + width * part as f64, from + width * (part + 1) as f64);
            // A span across two places is split where they meet.
            let meet = libm::floor(high / quantum) * quantum;
            if meet > low && meet < high {
                let share = (meet - low) / (high - low);
                let first = (grains as f64 * share) as u64;
                let of = |share: f64| if let Due::Slots(amount) = due { Due::Slots(amount * share) } else { due };
                self.put(low, end, Entry { grains: first, due: of(share), ..entry });
                self.put(meet, end, Entry { grains: grains - first, due: of(1.0 - share), ..entry });
            } else {
                self.put(low, end, Entry { grains, due, ..entry });
            }
        }
    }

    /// Something about a pod's process.
    pub(crate) fn process(&mut self, change: &TrafficProcess, now: SimTime) {
        self.feel(now, 1, self.pods_beside(change));
        match change {
            TrafficProcess::Started(started) => self.process_started(started),
            TrafficProcess::Resized(resized) => self.process_resized(resized),
            TrafficProcess::Terminating { .. } => {}
            TrafficProcess::Stopped { pod } => self.process_ended(*pod, super::station::Process::Stopped),
            TrafficProcess::Silent { pod } => self.process_ended(*pod, super::station::Process::Silent),
            TrafficProcess::Removed { pod } => self.pod_removed(*pod),
        }
        self.changed = true;
    }

    /// What the client nodes see in a slice of a Service's endpoints from now on.
    pub(crate) fn endpoints(&mut self, service: &ObjectKey, slice: u32, targets: &[EndpointTarget], now: SimTime) {
        let service = self.service(service);
        let state = &mut self.services[service as usize];
        let (part, chosen) = state.slices.replace(slice, targets);
        let before: BTreeSet<Uid> = state.targets[part.clone()].iter().map(|pod| self.pods[*pod as usize].uid).collect();
        let new = chosen.iter().filter(|pod| !before.contains(pod)).count();
        let (changed, all) = (new + before.len() + new - chosen.len(), state.targets.len());
        self.feel(now, changed, all);
        let chosen: Vec<u32> = chosen.into_iter().map(|pod| self.pod(pod)).collect();
        for pod in &chosen {
            self.pods[*pod as usize].listed += 1;
        }
        for pod in self.services[service as usize].targets.splice(part, chosen) {
            self.pods[pod as usize].listed -= 1;
        }
        self.changed = true;
    }

    /// Asks a pod's process whether it is there.
    pub(crate) fn probe(&mut self, pod: Uid, container: u8, kind: ProbeKind, timeout: SimDuration, now: SimTime) {
        self.enter(now, false);
        let now = now.as_nanos();
        let (after, ok) = self.pod_by_uid.get(&pod).map_or((0, false), |pod| self.pods[*pod as usize].probe(timeout));
        self.signals.entry(now.saturating_add(after)).or_default().push(Signal::ProbeAnswered { pod, container, kind, ok });
    }

    /// Cpu time that the processes of a pod have used so far.
    pub(crate) fn cpu_used(&self, pod: Uid, now: SimTime) -> Option<SimDuration> {
        let state = &self.pods[*self.pod_by_uid.get(&pod)? as usize];
        let since = now.as_nanos().saturating_sub(self.now) as f64;
        Some(SimDuration::from_nanos((state.cpu_nanos + state.cores_used * since) as u64))
    }

    /// Share of a pod's requests that find no worker free, as it stands now.
    pub(crate) fn waiting_share(&self, pod: Uid) -> Option<f64> {
        self.pod_by_uid.get(&pod).map(|pod| self.pods[*pod as usize].kernel.waits)
    }

    /// Bytes that a pod's running process uses, as of the last step.
    pub(crate) fn memory_bytes(&self, pod: Uid, now: SimTime) -> Option<i64> {
        let state = &self.pods[*self.pod_by_uid.get(&pod)? as usize];
        state.memory_bytes(now.as_nanos().max(self.now))
    }

    /// Steps of pods played so far.
    pub(crate) const fn events(&self) -> u64 {
        self.steps
    }

    fn service(&mut self, key: &ObjectKey) -> u32 {
        if let Some(service) = self.service_by_key.get(key) {
            return *service;
        }
        let service = self.services.len() as u32;
        self.services.push(ServiceState {
            name: key.to_string().into(),
            slices: Slices::default(),
            targets: Vec::new(),
            pods: 0,
            programs: Vec::new(),
            answers: Vec::new(),
            queue: None,
            leaf: true,
            held: Vec::new(),
        });
        self.service_by_key.insert(key.clone(), service);
        self.changed = true;
        service
    }

    fn flow(&mut self, name: Str, external: bool, service: u32) -> u32 {
        if let Some(flow) = self.flow_by_name.get(&name) {
            return *flow;
        }
        let flow = self.flows.len() as u32;
        self.flows.push(FlowState {
            name: name.clone(),
            external,
            service,
            totals: Totals::default(),
            told: Totals::default(),
            backoff: 0,
            latency: Histogram::default(),
        });
        self.flow_by_name.insert(name, flow);
        flow
    }

    fn route(&mut self, flow: u32, client: &Client) -> u32 {
        if let Some(route) = self.routes.iter().position(|route| route.flow == flow && route.client == *client) {
            return route as u32;
        }
        self.routes.push(RouteState::new(flow, client, &mut self.tables));
        (self.routes.len() - 1) as u32
    }

    /// Callers before callees; services on a circle as they come.
    fn find_order(&mut self) {
        let count = self.services.len();
        let mut edges: Vec<Vec<u32>> = vec![Vec::new(); count];
        for program in &self.programs {
            for route in program.routes() {
                let to = self.flows[self.routes[route as usize].flow as usize].service;
                program.services.iter().for_each(|from| edges[*from as usize].push(to));
            }
        }
        let mut order = Vec::with_capacity(count);
        let mut seen = vec![false; count];
        for start in 0..count as u32 {
            visit(start, &edges, &mut seen, &mut order);
        }
        order.reverse();
        for (service, edges) in self.services.iter_mut().zip(&edges) {
            service.leaf = edges.is_empty();
        }
        self.order = order;
    }
}

fn visit(service: u32, edges: &[Vec<u32>], seen: &mut [bool], order: &mut Vec<u32>) {
    if std::mem::replace(&mut seen[service as usize], true) {
        return;
    }
    edges[service as usize].iter().for_each(|to| visit(*to, edges, seen, order));
    order.push(service);
}

impl FlowState {
    /// Under way or waiting, in grains.
    fn open(&self) -> u64 {
        self.totals.open()
    }
}

/// Whether work whose caller has given up leaves the queue.
fn drops(behavior: &ServiceBehavior) -> bool {
    behavior.cancel_on_timeout != CancelOnTimeout::None
}
