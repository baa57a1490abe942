//! Requests: sources, calls between services, stations. The exact engine, one request at a time, and beside it
//! the cohort engine (`cohort`), which counts requests together; `player.rs` is the door to whichever plays.
//!
//! An inner calendar of its own; the world advances it, as one actor, up to its own next instant. What
//! the cluster can see of it comes back as [`Signal`]s, cpu readings and one set of records per window.
//!
//! The client side (`client.rs`): a *call* is one request of a flow; it makes attempts until one
//! succeeds or it gives up. The server side (`server.rs`): a *job* is one attempt at one pod; when its
//! caller gives up it stays as an orphan and is done for nothing. `station.rs` is the queue of one pod.
//!
//! Invariants:
//! - Every call is accounted for, by flow, as integers, in every window; [`Traffic::close_window`] asserts it.
//! - What is random about a request is drawn from the request's own bits, given in order of arrival of
//!   its source: a change in the cluster moves no arrival and no demand.
//! - A deadline, a completion or a back-off that no longer holds is recognised by its instant, never searched for.
//! - Nothing is allocated per request once the run has warmed up.
//!
//! How a connection finds its endpoint is `reach.rs` (with `proxy.rs`, `kept.rs` and `policy.rs`).
//!
//! Not here: network latency and bandwidth.

mod arrivals;
pub mod bench;
mod calendar;
mod client;
pub(crate) mod cohort;
#[cfg(test)]
mod conservation_tests;
mod flow;
pub mod graph;
mod kept;
mod link;
mod load;
#[cfg(test)]
mod network_tests;
mod player;
mod policy;
mod proxy;
mod queue;
mod reach;
mod server;
mod sharing;
mod slab;
mod slices;
mod station;
#[cfg(test)]
mod validation;
mod versions;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Labels, NetworkPolicy, ObjectKey, SimDuration, SimTime, Str, Uid};
use rustc_hash::FxHashMap;
use trace::{Histogram, TrafficCounts};

use self::arrivals::Profile;
use self::calendar::{Calendar, Kind, NEVER};
use self::flow::{Budget, Call, Flow, Role, Route};
use self::link::Link;
pub(crate) use self::player::Player;
pub use self::player::unsupported_by_cohort;
pub(crate) use self::policy::PodEnd;
use self::policy::Policies;
use self::proxy::{Known, Proxies};
use self::queue::Queue;
use self::reach::Network;
pub(crate) use self::reach::{NodePlace, ServiceRules};
use self::server::Job;
use self::sharing::Share;
use self::slab::{NONE, Slab};
use self::station::{Memory, Process, Station};
use self::versions::Endpoints;
use crate::event::ProbeKind;
use crate::random::{Distribution, Purpose, Stream, Streams, entity};
use crate::spec::{Cache, Call as CallSpec, CancelOnTimeout, Client, ServiceBehavior, Source, Via, WorldSpec};

/// What the kubelets say about a pod's process.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum TrafficProcess {
    /// It takes requests from now on, as far as a Service lists it.
    Started(Box<ProcessStarted>),
    /// It has other cpu and memory from now on, and goes on.
    Resized(Box<ProcessStarted>),
    /// It got SIGTERM: it goes on with what it has and what still comes.
    Terminating {
        /// The pod.
        pod: Uid,
    },
    /// It is gone: what it was doing is reset, whoever comes is refused.
    Stopped {
        /// The pod.
        pod: Uid,
    },
    /// Its node lost power or is cut off: nothing it was doing is answered, whoever comes waits.
    Silent {
        /// The pod.
        pod: Uid,
    },
    /// The pod object is gone for good.
    Removed {
        /// The pod.
        pod: Uid,
    },
}

/// A process that begins to take requests.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ProcessStarted {
    /// The pod.
    pub(crate) pod: Uid,
    /// Its node.
    pub(crate) node: Str,
    /// Services that select it, for the records.
    pub(crate) services: Vec<ObjectKey>,
    /// What its calls come from in flow names: its Service, or its workload when it has none.
    pub(crate) caller: Str,
    /// How it answers.
    pub(crate) behavior: Arc<ServiceBehavior>,
    /// Cpu limit; `None` means the whole node.
    pub(crate) cpu_limit_millis: Option<i64>,
    /// Cpu request: its weight on a full node.
    pub(crate) cpu_request_millis: i64,
    /// Cpu of the node.
    pub(crate) node_cpu_millis: i64,
    /// Memory limit; `None` means none.
    pub(crate) memory_limit_bytes: Option<i64>,
    /// The shortest timeout of its HTTP, TCP and gRPC probes; `None` when it has none.
    pub(crate) probe_timeout: Option<SimDuration>,
    /// What NetworkPolicies know it as.
    pub(crate) end: PodEnd,
}

/// A pod behind a Service, as the client nodes see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EndpointTarget {
    /// The pod.
    pub(crate) pod: Uid,
    /// Takes new connections.
    pub(crate) ready: bool,
    /// Is terminating, but serves: used only when nobody is ready.
    pub(crate) draining: bool,
    /// The zone that should use it.
    pub(crate) zone_hint: Option<Str>,
    /// The node that should use it.
    pub(crate) node_hint: Option<Str>,
}

impl EndpointTarget {
    /// A ready one, for everybody.
    pub(crate) const fn ready(pod: Uid) -> Self {
        Self { pod, ready: true, draining: false, zone_hint: None, node_hint: None }
    }
}

impl From<&api::Endpoint> for EndpointTarget {
    fn from(endpoint: &api::Endpoint) -> Self {
        Self {
            pod: endpoint.pod,
            ready: endpoint.ready,
            draining: endpoint.serving && endpoint.terminating,
            zone_hint: endpoint.zone_hint.clone(),
            node_hint: endpoint.node_hint.clone(),
        }
    }
}

/// What the cluster notices of traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    /// A network probe of this pod could fail: one that came after `since`, which may be a little while ago.
    Stressed {
        /// The pod.
        pod: Uid,
        /// When it began.
        since: SimTime,
    },
    /// It no longer can.
    Relieved(Uid),
    /// Its memory has reached its limit: the kernel kills it.
    OutOfMemory(Uid),
    /// The answer to [`Traffic::probe`].
    ProbeAnswered {
        /// The pod.
        pod: Uid,
        /// Index of the container.
        container: u8,
        /// Which probe.
        kind: ProbeKind,
        /// Answered in time.
        ok: bool,
    },
}

/// A Service that somebody calls, or that pods stand behind.
struct ServiceState {
    name: Str,
    /// What a request goes to.
    endpoints: Endpoints,
    /// Processes behind it.
    pods: u32,
    /// It is worked on from a queue.
    queue: Option<Box<Queue>>,
}

/// A behavior, with its names looked up.
struct Program {
    behavior: Arc<ServiceBehavior>,
    caller: Str,
    services: Vec<u32>,
    cpu: Distribution,
    latency: Distribution,
    error_ratio: f64,
    cancel: CancelOnTimeout,
    /// Groups of calls.
    calls: Vec<Vec<Planned>>,
    overload: (f64, f64),
}

/// A call that requests may make.
#[derive(Clone, Copy)]
struct Planned {
    route: u32,
    probability: f64,
    /// Hits of the caller's own cache when warm, and requests until then.
    own_cache: Option<(f64, f64)>,
}

/// Users of a closed source.
struct UsersState {
    think: Distribution,
    stream: Stream,
    /// The number of the first; those of later sources follow.
    first: u32,
}

/// A node that has stations on it.
struct NodeState {
    name: Str,
    place: NodePlace,
    /// What its kube-proxy knows.
    known: Known,
    cpu_millis: i64,
    stations: Vec<u32>,
    /// Its stations could together want more than it has.
    tight: bool,
    /// They do.
    contended: bool,
    demand_millis: i64,
}

/// Requests looked at one by one, of those that came in a span of time and want a span of cpu time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Meter {
    /// When they came.
    pub(crate) came: (u64, u64),
    /// Their demand.
    pub(crate) demand: (u64, u64),
    /// Answers, their time at the station, and that time over their demand.
    pub(crate) answered: u64,
    pub(crate) sojourn_nanos: u128,
    pub(crate) slowdown: f64,
    /// Requests that came, and those of them that found no worker free.
    pub(crate) arrived: u64,
    pub(crate) waited: u64,
}

impl Meter {
    const fn is_about(&self, came: u64, demand: u64) -> bool {
        came >= self.came.0 && came < self.came.1 && demand >= self.demand.0 && demand < self.demand.1
    }
}

/// A probe under way.
#[derive(Clone, Copy)]
struct Probe {
    pod: Uid,
    container: u8,
    kind: ProbeKind,
    /// Its place in the pod's queue.
    job: u32,
    /// When it is taken for failed; `u64::MAX` once answered.
    deadline: u64,
}

/// The exact traffic engine.
pub(crate) struct Traffic {
    streams: Streams,
    now: u64,
    calendar: Calendar,
    events: u64,
    sources: Vec<(u32, Profile)>,
    users: Vec<(u32, UsersState)>,
    flows: Vec<Flow>,
    flow_by_name: BTreeMap<Str, u32>,
    routes: Vec<Route>,
    links: Slab<Link>,
    /// By route and the calling station (`NONE` for a source). Looked up only.
    link_by_caller: FxHashMap<(u32, u32), u32>,
    /// Links that have a connection free, and somebody waiting.
    freed: Vec<u32>,
    /// Whose turn it is: of a node's proxy by Service, or of its callers by flow. Looked up only.
    turns: FxHashMap<(bool, u32, u32), u32>,
    network: Network,
    proxies: Proxies,
    policies: Policies,
    /// Attempts of this window that were denied, by flow and policy.
    denied: BTreeMap<(u32, u32), u64>,
    /// Processes that began or were told to end so far.
    epochs: u32,
    /// What the bench wants to know beside what is recorded.
    meter: Option<Box<Meter>>,
    services: Vec<ServiceState>,
    service_by_key: BTreeMap<ObjectKey, u32>,
    programs: Vec<Program>,
    nodes: Vec<NodeState>,
    node_by_name: BTreeMap<Str, u32>,
    stations: Slab<Station>,
    station_by_pod: FxHashMap<Uid, u32>,
    calls: Slab<Call>,
    jobs: Slab<Job>,
    probes: Slab<Probe>,
    /// Jobs one of whose calls is over, with how it went; worked off before the next event.
    returns: Vec<(u32, bool)>,
    signals: Vec<Signal>,
    /// Stations that saw anything in this window, or hold something.
    active: Vec<u32>,
    /// Stations whose pod is gone but that are listed or active still.
    leaving: Vec<u32>,
    window_start: u64,
    finished: Vec<u32>,
    shares: Vec<Share>,
}

impl Traffic {
    /// All sources of `world`, no pod yet.
    pub(crate) fn new(world: &WorldSpec, streams: Streams) -> Self {
        let spec = &world.traffic;
        let proxies = Proxies::new(&world.control_plane.kube_proxy);
        let mut traffic = Self {
            streams,
            now: 0,
            calendar: Calendar::default(),
            events: 0,
            sources: Vec::new(),
            users: Vec::new(),
            flows: Vec::new(),
            flow_by_name: BTreeMap::new(),
            routes: Vec::new(),
            links: Slab::default(),
            link_by_caller: FxHashMap::default(),
            freed: Vec::new(),
            turns: FxHashMap::default(),
            network: Network::new(&world.control_plane, proxies.up_to_date(0)),
            proxies,
            policies: Policies::default(),
            denied: BTreeMap::new(),
            epochs: 0,
            meter: None,
            services: Vec::new(),
            service_by_key: BTreeMap::new(),
            programs: Vec::new(),
            nodes: Vec::new(),
            node_by_name: BTreeMap::new(),
            stations: Slab::default(),
            station_by_pod: FxHashMap::default(),
            calls: Slab::default(),
            jobs: Slab::default(),
            probes: Slab::default(),
            returns: Vec::new(),
            signals: Vec::new(),
            active: Vec::new(),
            leaving: Vec::new(),
            window_start: 0,
            finished: Vec::new(),
            shares: Vec::new(),
        };
        let mut first = 0;
        for source in &spec.sources {
            let service = traffic.service(&source.to);
            let flow = traffic.flow(source.name.clone(), true, service);
            if let Some(users) = &source.users {
                let role = Role::Users(traffic.users.len() as u32);
                let route = traffic.source_route(flow, source, role);
                let stream = streams.stream(Purpose::ThinkTime, entity(&source.name));
                traffic.users.push((route, UsersState { think: users.think.clone(), stream, first }));
                (first..first + users.count).for_each(|user| traffic.think(role, user, users.from.as_nanos()));
                first += users.count;
                continue;
            }
            let route = traffic.source_route(flow, source, Role::Plain);
            let bursts = streams.stream(Purpose::Bursts, entity(&source.name));
            let arrivals = streams.stream(Purpose::Arrivals, entity(&source.name));
            let mut profile = Profile::new(&source.rate, source.arrivals, arrivals, bursts);
            if let Some(first) = profile.next() {
                traffic.calendar.push(first, Kind::Arrival, traffic.sources.len() as u32);
            }
            traffic.sources.push((route, profile));
        }
        traffic
    }

    fn source_route(&mut self, flow: u32, source: &Source, role: Role) -> u32 {
        let number = self.route(flow, &source.client, role);
        let route = &mut self.routes[number as usize];
        (route.via, route.address, route.clients) = (source.via, source.address, source.clients.unwrap_or(0));
        number
    }

    /// Plays up to and including `until`, or up to the first event that raises a signal; says where it stopped.
    pub(crate) fn advance_to(&mut self, until: SimTime, signals: &mut Vec<Signal>) -> SimTime {
        let until = until.as_nanos();
        while self.signals.is_empty() {
            let Some(time) = self.calendar.next_time().filter(|time| *time <= until) else {
                self.now = self.now.max(until);
                return SimTime::from_nanos(until);
            };
            self.now = time;
            self.step();
        }
        signals.append(&mut self.signals);
        SimTime::from_nanos(self.now)
    }

    fn step(&mut self) {
        let Some((time, kind, index)) = self.calendar.pop() else { return };
        debug_assert_eq!(time, self.now);
        self.events += 1;
        match kind {
            Kind::Arrival => self.arrival(index),
            Kind::CpuDone => self.cpu_done(index),
            Kind::Deadline => self.deadline(index),
            Kind::BackoffOver => self.backoff_over(index),
            Kind::LatencyOver => self.latency_over(index),
            Kind::StressCheck => self.stress_check(index),
            Kind::Probe => self.probe_over(index),
            Kind::UserReady => self.user_asks(index),
            Kind::Quota => self.quota_due(index),
            Kind::Memory => self.memory_due(index),
        }
        self.work_off_returns();
    }

    /// Something about a pod's process.
    pub(crate) fn process(&mut self, change: &TrafficProcess, now: SimTime) {
        self.enter(now);
        match change {
            TrafficProcess::Started(started) => self.process_started(started),
            TrafficProcess::Resized(resized) => self.process_resized(resized),
            TrafficProcess::Terminating { pod } => self.terminating(*pod),
            TrafficProcess::Stopped { pod } => self.process_ended(*pod, Process::Stopped),
            TrafficProcess::Silent { pod } => self.process_ended(*pod, Process::Silent),
            TrafficProcess::Removed { pod } => self.pod_removed(*pod),
        }
        self.work_off_returns();
    }

    /// Asks a pod's process whether it is there; the answer is a [`Signal::ProbeAnswered`].
    pub(crate) fn probe(&mut self, pod: Uid, container: u8, kind: ProbeKind, timeout: SimDuration, now: SimTime) {
        self.enter(now);
        let deadline = (now + timeout).as_nanos();
        let probe = self.probes.insert(Probe { pod, container, kind, job: NONE, deadline });
        let station = self.station_by_pod.get(&pod).map(|station| (*station, self.stations[*station].process));
        match station {
            Some((_, Process::Silent)) => {}
            Some((station, Process::Running)) => match self.admit_probe(station, probe) {
                Some(job) => self.probes[probe].job = job,
                None => self.probes[probe].deadline = self.now,
            },
            Some((_, Process::Stopped)) | None => self.probes[probe].deadline = self.now,
        }
        self.calendar.push(self.probes[probe].deadline, Kind::Probe, probe);
    }

    /// Cpu time that the processes of a pod have used so far; `None` when it never had one.
    pub(crate) fn cpu_used(&self, pod: Uid, now: SimTime) -> Option<SimDuration> {
        let station = &self.stations[*self.station_by_pod.get(&pod)?];
        Some(SimDuration::from_nanos(station.cpu_used_nanos(now.as_nanos().max(self.now))))
    }

    /// Bytes that a pod's running process uses.
    pub(crate) fn memory_bytes(&self, pod: Uid, now: SimTime) -> Option<i64> {
        let station = &self.stations[*self.station_by_pod.get(&pod)?];
        let memory = station.memory.as_ref().filter(|_| station.process == Process::Running)?;
        let held = station.accept.len() as u64 + u64::from(station.slots_used);
        Some(memory.bytes(held, station.served, now.as_nanos().max(self.now)))
    }

    /// Events played so far.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    fn enter(&mut self, now: SimTime) {
        let next = self.calendar.next_time();
        debug_assert!(next.is_none_or(|time| time >= now.as_nanos()), "advance_to comes first");
        self.now = self.now.max(now.as_nanos());
    }

    fn probe_over(&mut self, probe: u32) {
        let Probe { pod, container, kind, job, deadline } = self.probes[probe];
        if deadline != u64::MAX {
            if job != NONE {
                self.jobs[job].call = NONE;
            }
            self.signals.push(Signal::ProbeAnswered { pod, container, kind, ok: false });
        }
        self.probes.free(probe);
    }

    fn probe_answered(&mut self, probe: u32) {
        let Probe { pod, container, kind, .. } = self.probes[probe];
        self.probes[probe].deadline = u64::MAX;
        self.signals.push(Signal::ProbeAnswered { pod, container, kind, ok: true });
    }

    fn service(&mut self, key: &ObjectKey) -> u32 {
        if let Some(service) = self.service_by_key.get(key) {
            return *service;
        }
        let service = self.services.len() as u32;
        let endpoints = Endpoints { plain: true, ..Endpoints::default() };
        self.services.push(ServiceState { name: key.to_string().into(), endpoints, pods: 0, queue: None });
        self.service_by_key.insert(key.clone(), service);
        service
    }

    fn flow(&mut self, name: Str, external: bool, service: u32) -> u32 {
        if let Some(flow) = self.flow_by_name.get(&name) {
            return *flow;
        }
        let flow = self.flows.len() as u32;
        let number = entity(&name);
        self.flows.push(Flow {
            name: name.clone(),
            external,
            service,
            counts: TrafficCounts::default(),
            attempts_before: 0,
            open_before: 0,
            latency: Histogram::default(),
            requests: self.streams.stream(Purpose::CpuDemand, number),
        });
        self.flow_by_name.insert(name, flow);
        flow
    }

    fn route(&mut self, flow: u32, client: &Client, role: Role) -> u32 {
        let same = |route: &Route| route.flow == flow && route.client == *client && route.role == role;
        if let Some(route) = self.routes.iter().position(same) {
            return route as u32;
        }
        let budget = client.retry_budget.map(Budget::new);
        let linked = Link::is_needed(client);
        self.routes.push(Route {
            flow,
            client: client.clone(),
            role,
            linked,
            budget,
            deadlines: Default::default(),
            via: Via::ClusterIp,
            address: None,
            clients: 0,
        });
        (self.routes.len() - 1) as u32
    }

    fn program(&mut self, started: &ProcessStarted) -> u32 {
        let services: Vec<u32> = started.services.iter().map(|key| self.service(key)).collect();
        let same = |program: &Program| {
            program.caller == started.caller
                && program.services == services
                && (Arc::ptr_eq(&program.behavior, &started.behavior) || program.behavior == started.behavior)
        };
        if let Some(program) = self.programs.iter().position(same) {
            return program as u32;
        }
        let behavior = started.behavior.clone();
        let calls = behavior.calls.iter().map(|group| group.iter().map(|call| self.call_route(&started.caller, call)).collect()).collect();
        self.programs.push(Program {
            caller: started.caller.clone(),
            services,
            cpu: behavior.cpu_per_request.clone(),
            latency: behavior.latency_per_request.clone(),
            error_ratio: behavior.error_ratio,
            cancel: behavior.cancel_on_timeout,
            calls,
            overload: behavior.overload_penalty,
            behavior,
        });
        (self.programs.len() - 1) as u32
    }

    fn call_route(&mut self, caller: &Str, call: &CallSpec) -> Planned {
        let (mut role, mut own_cache) = (Role::Plain, None);
        if let Some(Cache { hit_ratio, warmup_requests, miss_to }) = &call.cache {
            match miss_to {
                None => own_cache = Some((*hit_ratio, *warmup_requests)),
                Some((to, client)) => {
                    let flow = self.call_flow(caller, to);
                    let miss = self.route(flow, client, Role::Plain);
                    role = Role::Cache { miss, hit_ratio: *hit_ratio, warmup_requests: *warmup_requests };
                }
            }
        }
        let flow = self.call_flow(caller, &call.to);
        Planned { route: self.route(flow, &call.client, role), probability: call.probability, own_cache }
    }

    fn call_flow(&mut self, caller: &Str, to: &ObjectKey) -> u32 {
        let service = self.service(to);
        self.flow(format!("{caller}→{to}").into(), false, service)
    }

    fn station(&mut self, pod: Uid) -> u32 {
        if let Some(station) = self.station_by_pod.get(&pod) {
            return *station;
        }
        let station = self.stations.insert(Station::unknown(pod));
        self.station_by_pod.insert(pod, station);
        station
    }

    fn node(&mut self, name: &Str, cpu_millis: Option<i64>) -> u32 {
        if let Some(node) = self.node_by_name.get(name) {
            let state = &mut self.nodes[*node as usize];
            state.cpu_millis = cpu_millis.unwrap_or(state.cpu_millis);
            return *node;
        }
        let node = self.nodes.len() as u32;
        let place = NodePlace { zone: "".into(), exists: false, up: true, eligible: false };
        let (known, cpu_millis) = (self.proxies.up_to_date(entity(name)), cpu_millis.unwrap_or(0));
        self.nodes.push(NodeState {
            name: name.clone(),
            place,
            known,
            cpu_millis,
            stations: Vec::new(),
            tight: false,
            contended: false,
            demand_millis: 0,
        });
        self.node_by_name.insert(name.clone(), node);
        node
    }

    fn process_started(&mut self, started: &ProcessStarted) {
        let station = self.station(started.pod);
        if self.stations[station].process == Process::Running {
            self.process_ended(started.pod, Process::Stopped);
        }
        let program = self.program(started);
        let node_cpu_millis = started.node_cpu_millis.max(0);
        let node = self.node(&started.node, Some(node_cpu_millis));
        let (end, epoch) = (self.policies.end(started.end.clone()), self.new_epoch());
        let worker = started.behavior.worker;
        let concurrency = worker.map(|worker| worker.consumers_per_pod).or(started.behavior.concurrency).map(|slots| slots.max(1));
        let state = &mut self.stations[station];
        state.process = Process::Running;
        state.program = program;
        state.node = node;
        (state.end, state.epoch) = (end, epoch);
        state.concurrency = concurrency.unwrap_or(u32::MAX);
        state.queue_limit = if worker.is_some() { 0 } else { started.behavior.queue_limit };
        state.served = 0;
        state.give_cpu(started, self.now);
        state.memory = started
            .behavior
            .memory
            .map(|uses| (uses, started.memory_limit_bytes.unwrap_or(i64::MAX)))
            .map(|(uses, limit_bytes)| Box::new(Memory { uses, limit_bytes, started_at: self.now, told: false }));
        state.stress.limit_nanos = started.probe_timeout.map_or(NEVER, |timeout| timeout.as_nanos() / 10);
        state.gone = false;
        for service in &self.programs[program as usize].services {
            self.services[*service as usize].pods += 1;
        }
        self.nodes[node as usize].stations.push(station);
        self.node_changed(node);
        self.look_at_memory(station);
        if let Some(worker) = worker {
            self.consumer_started(station, &worker);
        }
    }

    /// The process goes on with other cpu and memory.
    fn process_resized(&mut self, resized: &ProcessStarted) {
        let Some(station) = self.station_by_pod.get(&resized.pod).copied() else { return };
        let state = &mut self.stations[station];
        if state.process != Process::Running {
            return;
        }
        state.give_cpu(resized, self.now);
        if let Some(memory) = &mut state.memory {
            (memory.limit_bytes, memory.told) = (resized.memory_limit_bytes.unwrap_or(i64::MAX), false);
        }
        let node = state.node;
        self.pump(station);
        self.node_changed(node);
        self.memory_due(station);
    }

    /// The process is gone, or nothing is heard of it any more.
    fn process_ended(&mut self, pod: Uid, process: Process) {
        let Some(station) = self.station_by_pod.get(&pod).copied() else { return };
        let before = std::mem::replace(&mut self.stations[station].process, process);
        if process == Process::Stopped {
            self.stations[station].epoch = self.new_epoch();
        }
        if before != Process::Running {
            return;
        }
        let Station { program, node, .. } = self.stations[station];
        for service in &self.programs[program as usize].services {
            self.services[*service as usize].pods -= 1;
        }
        let state = &mut self.nodes[node as usize];
        state.stations.retain(|other| *other != station);
        state.demand_millis -= std::mem::take(&mut self.stations[station].demand_millis);
        // A request that was cancelled while its calls were under way holds no slot any more, but they are its own.
        let may_call = self.programs[program as usize].cancel == CancelOnTimeout::InFlight;
        let idle = self.stations[station].is_empty() && !may_call;
        self.stations[station].drop_work(self.now);
        self.node_changed(node);
        if !idle {
            self.break_off(station, process);
        }
        self.forget_links(station);
    }

    fn new_epoch(&mut self) -> u32 {
        self.epochs += 1;
        self.epochs
    }

    /// A process that is told to end closes its connections when they are done with: servers shut down gracefully.
    fn terminating(&mut self, pod: Uid) {
        if let Some(station) = self.station_by_pod.get(&pod).copied() {
            self.stations[station].epoch = self.new_epoch();
        }
    }

    /// NetworkPolicies from now on, and the labels of namespaces.
    pub(crate) fn network_policies(&mut self, policies: Vec<NetworkPolicy>, namespaces: BTreeMap<Str, Labels>, now: SimTime) {
        self.enter(now);
        self.policies.set(policies, namespaces);
    }

    fn pod_removed(&mut self, pod: Uid) {
        self.process_ended(pod, Process::Stopped);
        if let Some(station) = self.station_by_pod.get(&pod).copied()
            && !std::mem::replace(&mut self.stations[station].gone, true)
        {
            self.leaving.push(station);
        }
    }
}

impl Traffic {
    /// Gives a pod other cores, as a stress fault would: its workers stay.
    fn set_cores(&mut self, pod: Uid, millis: i64, now: SimTime) {
        self.enter(now);
        let station = self.station(pod);
        self.stations[station].cores_millis = millis;
        self.node_changed(self.stations[station].node);
    }

    /// Looks at requests one by one from now on.
    fn measure(&mut self, meter: Meter) {
        self.meter = Some(Box::new(meter));
    }
}
