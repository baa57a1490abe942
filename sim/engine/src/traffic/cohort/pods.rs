//! Pods of the cohort engine: processes that come and go, their queues, their cpu and memory.
//!
//! A pod whose requests make calls or wait without cpu has three parts: an accept queue (`accept`), cpu work
//! (`queue`), and what holds a slot afterwards (`after`); `cpu + after <= concurrency`. Others are one queue with a
//! bounded room. Equal pods in equal states are computed once: the step of the pod before is taken over.

use api::{ObjectKey, SimDuration, SimTime, Str, Uid};

use super::super::sharing::{LEAST_WEIGHT, Share, water_fill};
use super::super::station::{Memory, Process};
use super::super::{ProcessStarted, Signal};
use super::calls::{Planned, Warmth};
use super::kernel::{DEMANDS, Kernel, Law};
use super::station::Queue;
use super::step::{After, Before, Line, move_pod};
use super::table::{Arrivals, Shape, table_of};
use super::{Cohort, Due, Failure, GRAINS, NodeState, ProgramState, QueueState, drops};
use crate::effects::RequestLoad;
use crate::spec::{Balancing, Cache, Call, Client};

pub(super) struct PodState {
    pub(super) uid: Uid,
    pub(super) process: Process,
    pub(super) program: u32,
    node: u32,
    pub(super) workers: u32,
    /// Cpu it may use, its weight on its node, and what it gets, in millicores.
    pub(super) cores_millis: i64,
    pub(super) weight: i64,
    pub(super) granted_millis: f64,
    pub(super) concurrency: u32,
    queue_limit: u32,
    /// Of its workers, and of as many as there are cores for: a lone worker may have all of less than a core for each.
    table: usize,
    of_cores: usize,
    queue: Queue,
    accept: f64,
    after: f64,
    /// Where work leaves at its deadline: what is really in line, by when it came. `queue` is what of it will be served.
    line: Line,
    /// Requests that came in this step.
    pub(super) arrivals: f64,
    /// Served per second, and how many wait for a worker in the mean.
    rate: f64,
    in_line: f64,
    pub(super) penalty: f64,
    /// Share of this step's arrivals that was turned away, and that was dropped at its deadline.
    pub(super) shed: f64,
    pub(super) dropped: f64,
    pub(super) kernel: Kernel,
    pub(super) cpu_nanos: f64,
    pub(super) cpu_told: f64,
    pub(super) cores_used: f64,
    pub(super) served: f64,
    pub(super) window_shed: f64,
    pub(super) window_orphaned: f64,
    pub(super) memory: Option<Memory>,
    stress_limit: u64,
    stressed: bool,
    pub(super) listed: u32,
    gone: bool,
}

impl PodState {
    fn unknown(uid: Uid) -> Self {
        Self {
            uid,
            process: Process::Stopped,
            program: 0,
            node: 0,
            workers: 1,
            cores_millis: 0,
            weight: LEAST_WEIGHT,
            granted_millis: 0.0,
            concurrency: 0,
            queue_limit: 0,
            table: 0,
            of_cores: 0,
            queue: Queue::default(),
            accept: 0.0,
            after: 0.0,
            line: Line::default(),
            arrivals: 0.0,
            rate: 0.0,
            in_line: 0.0,
            penalty: 1.0,
            shed: 0.0,
            dropped: 0.0,
            kernel: Kernel::default(),
            cpu_nanos: 0.0,
            cpu_told: 0.0,
            cores_used: 0.0,
            served: 0.0,
            window_shed: 0.0,
            window_orphaned: 0.0,
            memory: None,
            stress_limit: super::super::calendar::NEVER,
            stressed: false,
            listed: 0,
            gone: false,
        }
    }

    /// Requests that it holds.
    pub(super) fn held(&self) -> f64 {
        self.queue.x.max(self.line.sum) + self.accept + self.after
    }
    /// Those of them that have no slot.
    pub(super) fn queued(&self) -> f64 {
        let slots = if self.concurrency == u32::MAX { f64::INFINITY } else { f64::from(self.concurrency) };
        // In the mean of a queue that is short of slots only now and then, those in line are known, not the mean's excess.
        let in_line = if slots <= f64::from(self.workers) { self.in_line } else { 0.0 };
        self.accept + in_line.max(self.queue.x.max(self.line.sum) - slots).max(0.0)
    }
    /// Those of them that wait for a worker or a slot, as far as they will be served.
    fn waiting(&self) -> f64 {
        self.accept + (self.queue.x - f64::from(self.workers)).max(0.0)
    }
    /// In whole requests, when its process runs.
    pub(super) fn load(&self) -> Option<RequestLoad> {
        let whole = |requests: f64| (requests + 0.5) as u64;
        let load = RequestLoad { requests: self.served as u64, in_flight: whole(self.held()), queued: whole(self.waiting()) };
        (self.process == Process::Running).then_some(load)
    }
    fn wait_nanos(&self) -> u64 {
        let waiting = self.waiting();
        if waiting <= 0.0 { 0 } else { (waiting / self.rate.max(1e-9) * 1e9) as u64 }
    }
    /// What it could serve per second of requests of this mean demand.
    pub(super) fn served_per_second(&self, mean: f64) -> f64 {
        let workers = f64::from(self.workers);
        (self.granted_millis / 1000.0).min(workers) / mean
    }
    fn is_full(&self) -> bool {
        self.shed > 0.5
    }

    /// After which time a probe is answered, or fails.
    pub(super) fn probe(&self, timeout: SimDuration) -> (u64, bool) {
        match self.process {
            Process::Stopped => (0, false),
            Process::Silent => (timeout.as_nanos(), false),
            Process::Running if self.is_full() => (0, false),
            Process::Running => {
                let wait = self.wait_nanos();
                if wait < timeout.as_nanos() { (wait, true) } else { (timeout.as_nanos(), false) }
            }
        }
    }

    /// What its process uses now.
    pub(super) fn memory_bytes(&self, now: u64) -> Option<i64> {
        let memory = self.memory.as_ref().filter(|_| self.process == Process::Running)?;
        Some(memory.bytes((self.held() + 0.5) as u64, self.served as u64, now))
    }

    /// When its memory reaches its limit by what it loses per second.
    pub(super) fn memory_full_at(&self, now: u64) -> u64 {
        let running = self.process == Process::Running;
        self.memory
            .as_ref()
            .filter(|memory| running && !memory.told)
            .map_or(u64::MAX, |memory| memory.full_at((self.held() + 0.5) as u64, self.served as u64, now))
    }
}

impl Cohort {
    pub(super) fn pod(&mut self, uid: Uid) -> u32 {
        if let Some(pod) = self.pod_by_uid.get(&uid) {
            return *pod;
        }
        let pod = match self.free_pods.pop() {
            Some(pod) => {
                self.pods[pod as usize] = PodState::unknown(uid);
                pod
            }
            None => {
                self.pods.push(PodState::unknown(uid));
                (self.pods.len() - 1) as u32
            }
        };
        self.pod_by_uid.insert(uid, pod);
        pod
    }

    fn program(&mut self, started: &ProcessStarted) -> u32 {
        let services: Vec<u32> = started.services.iter().map(|key| self.service(key)).collect();
        let same = |program: &ProgramState| {
            program.caller == started.caller && program.services == services && program.behavior == started.behavior
        };
        if let Some(program) = self.programs.iter().position(same) {
            return program as u32;
        }
        let behavior = started.behavior.clone();
        let calls = behavior.calls.iter().map(|group| group.iter().map(|call| self.planned(&started.caller, call)).collect()).collect();
        let (cpu, latency) = (Law::new(&behavior.cpu_per_request), Law::new(&behavior.latency_per_request));
        let number = self.programs.len() as u32;
        for service in &services {
            self.services[*service as usize].programs.push(number);
        }
        let rest = latency.mean;
        let mix = cpu.shares();
        self.programs.push(ProgramState {
            caller: started.caller.clone(),
            services,
            behavior,
            cpu,
            latency,
            calls,
            pods: Vec::new(),
            rest,
            departed: 0.0,
            mix,
            heavier: 1.0,
        });
        number
    }

    fn planned(&mut self, caller: &Str, call: &Call) -> Planned {
        let route = self.call_route(caller, &call.to, &call.client);
        let mut planned = Planned { route, probability: call.probability, own_cache: None, miss: None };
        if let Some(Cache { hit_ratio, warmup_requests, miss_to }) = &call.cache {
            let warmth = Warmth { hit_ratio: *hit_ratio, warmup_requests: *warmup_requests };
            match miss_to {
                None => planned.own_cache = Some(warmth),
                Some((to, client)) => planned.miss = Some((self.call_route(caller, to, client), warmth)),
            }
        }
        planned
    }

    fn call_route(&mut self, caller: &Str, to: &ObjectKey, client: &Client) -> u32 {
        let service = self.service(to);
        let flow = self.flow(format!("{caller}→{to}").into(), false, service);
        self.route(flow, client)
    }

    pub(super) fn process_started(&mut self, started: &ProcessStarted) {
        let pod = self.pod(started.pod);
        if self.pods[pod as usize].process == Process::Running {
            self.process_ended(started.pod, Process::Stopped);
        }
        let program = self.program(started);
        let node_cpu_millis = started.node_cpu_millis.max(0);
        let node = *self.node_by_name.entry(started.node.clone()).or_insert_with(|| {
            self.nodes.push(NodeState { cpu_millis: node_cpu_millis, pods: Vec::new() });
            (self.nodes.len() - 1) as u32
        });
        let behavior = &started.behavior;
        let worker = behavior.worker;
        let concurrency = worker.map(|worker| worker.consumers_per_pod).or(behavior.concurrency).map(|slots| slots.max(1));
        let state = &mut self.pods[pod as usize];
        state.process = Process::Running;
        (state.program, state.node) = (program, node);
        state.concurrency = concurrency.unwrap_or(u32::MAX);
        state.queue_limit = if worker.is_some() { 0 } else { behavior.queue_limit };
        state.served = 0.0;
        state.memory = behavior.memory.map(|uses| Memory {
            uses,
            limit_bytes: started.memory_limit_bytes.unwrap_or(i64::MAX),
            started_at: self.now,
            told: false,
        });
        state.stress_limit = started.probe_timeout.map_or(super::super::calendar::NEVER, |timeout| timeout.as_nanos() / 10);
        state.stressed = false;
        state.gone = false;
        self.give_cpu(pod, started);
        self.nodes[node as usize].pods.push(pod);
        self.programs[program as usize].pods.push(pod);
        for service in self.programs[program as usize].services.clone() {
            self.services[service as usize].pods += 1;
            if worker.is_some() && self.services[service as usize].queue.is_none() {
                let name = format!("{} queue", self.services[service as usize].name);
                let flow = self.flow(name.into(), false, service);
                self.services[service as usize].queue = Some(QueueState { flow, waiting: Default::default(), level: 0 });
            }
        }
    }

    /// The process is gone, or nothing is heard of it any more: its share of what is under way is lost.
    pub(super) fn process_ended(&mut self, uid: Uid, process: Process) {
        let Some(pod) = self.pod_by_uid.get(&uid).copied() else { return };
        let before = std::mem::replace(&mut self.pods[pod as usize].process, process);
        if before != Process::Running {
            return;
        }
        let program = self.pods[pod as usize].program as usize;
        for service in self.programs[program].services.clone() {
            let held = |pods: &[u32]| pods.iter().map(|pod| self.pods[*pod as usize].held()).sum::<f64>();
            let of_all: f64 =
                self.services[service as usize].programs.iter().map(|program| held(&self.programs[*program as usize].pods)).sum();
            let share = if of_all > 0.0 { (self.pods[pod as usize].held() / of_all).min(1.0) } else { 0.0 };
            self.services[service as usize].pods -= 1;
            self.lose(service, share, process);
        }
        self.programs[program].pods.retain(|other| *other != pod);
        let node = self.pods[pod as usize].node as usize;
        self.nodes[node].pods.retain(|other| *other != pod);
        let state = &mut self.pods[pod as usize];
        (state.queue, state.accept, state.after, state.line) = (Queue::default(), 0.0, 0.0, Line::default());
        state.in_line = 0.0;
        (state.rate, state.shed, state.dropped, state.cores_used, state.arrivals) = (0.0, 0.0, 0.0, 0.0, 0.0);
        state.stressed = false;
    }

    /// A share of the attempts under way at a service is reset (`Stopped`) or never answered (`Silent`).
    fn lose(&mut self, service: u32, share: f64, process: Process) {
        if share <= 0.0 {
            return;
        }
        let mut lost = Vec::new();
        for entry in self.ring.values_mut().flatten() {
            let waits = matches!(entry.due, Due::Ok | Due::Fail(Failure::Failed));
            if waits && self.flows[self.routes[entry.route as usize].flow as usize].service == service {
                let grains = (entry.grains as f64 * share) as u64;
                entry.grains -= grains;
                lost.push(super::Entry { grains, ..*entry });
            }
        }
        let (now, start) = (self.now, self.now as f64 / 1e9);
        for entry in lost {
            if process == Process::Stopped {
                self.hang_up(entry.route, entry.grains);
                self.attempt_failed(entry.route, entry.attempt, entry.grains, Failure::Failed, entry.delay, now);
            } else {
                let timeout = self.routes[entry.route as usize].client.timeout.as_secs_f64();
                self.put(start + timeout, now, super::Entry { due: Due::Fail(Failure::TimedOut), ..entry });
            }
        }
    }

    pub(super) fn pod_removed(&mut self, uid: Uid) {
        self.process_ended(uid, Process::Stopped);
        if let Some(pod) = self.pod_by_uid.get(&uid) {
            self.pods[*pod as usize].gone = true;
        }
    }

    /// Gives back the places of pods that are gone for good.
    pub(super) fn let_go(&mut self) {
        for (place, pod) in self.pods.iter_mut().enumerate() {
            if pod.gone && pod.listed == 0 && self.pod_by_uid.remove(&pod.uid).is_some() {
                pod.gone = false;
                self.free_pods.push(place as u32);
            }
        }
    }

    /// Finds each pod's table.
    pub(super) fn share_tables(&mut self) {
        for number in 0..self.programs.len() {
            let program = &self.programs[number];
            let has_rest = program.has_rest();
            let asks = |route: &&super::RouteState| program.services.contains(&self.flows[route.flow as usize].service);
            let least_of_two = self.routes.iter().filter(asks).any(|route| route.client.balancing == Balancing::LeastRequest);
            let arrivals = self.arrivals_at(program);
            for pod in &program.pods {
                let pod = &mut self.pods[*pod as usize];
                let bounded = pod.concurrency != u32::MAX && !has_rest;
                let room = u64::from(pod.concurrency) + u64::from(pod.queue_limit);
                let sharing = pod.concurrency == u32::MAX;
                let shape = Shape {
                    workers: pod.workers,
                    room: if bounded && pod.queue_limit != u32::MAX { room } else { u64::MAX },
                    demand_cv2: if sharing { 1.0 } else { program.cpu.cv2 },
                    arrivals,
                    least_of_two,
                };
                let cores = ((pod.cores_millis.max(0) as u64).div_ceil(1000)).clamp(1, u64::from(pod.workers)) as u32;
                pod.table = table_of(&mut self.tables, shape);
                pod.of_cores = table_of(&mut self.tables, Shape { workers: cores, ..shape });
            }
        }
    }

    /// How evenly requests come to each of a program's pods: as the least even of its callers sends them. A part of a stream
    /// that is drawn at random tends to Poisson, a part taken in turn becomes more even.
    fn arrivals_at(&self, program: &ProgramState) -> Arrivals {
        const STEPS: f64 = 32.0;
        let one_of = program.services.iter().map(|service| self.services[*service as usize].targets.len()).min().unwrap_or(1);
        let part = 1.0 / one_of.max(1) as f64;
        let of = |(number, route): (usize, &super::RouteState)| {
            let source = self.sources.iter().find(|source| source.route as usize == number && source.users.is_none());
            let cv2 = source.map_or(1.0, |source| source.cv2);
            match route.client.balancing {
                Balancing::RoundRobin => {
                    let callers = if source.is_some() { 1 } else { self.nodes_of_callers(number as u32) };
                    Arrivals { cv2: cv2 * part, callers }
                }
                _ => Arrivals { cv2: cv2 * part + 1.0 - part, callers: 1 },
            }
        };
        let asks = |(_, route): &(usize, &super::RouteState)| program.services.contains(&self.flows[route.flow as usize].service);
        let routes = self.routes.iter().enumerate().filter(asks).map(of);
        let least = routes.fold(Arrivals { cv2: 0.0, callers: 1 }, |least, of| {
            let at_half = |of: Arrivals| of.together(0.5);
            if at_half(of) >= at_half(least) { of } else { least }
        });
        // Few tables do for all.
        Arrivals { cv2: libm::round(least.cv2 * STEPS) / STEPS, callers: least.callers.next_power_of_two().min(64) }
    }

    /// Nodes on which somebody calls by this route: each takes its own turns.
    fn nodes_of_callers(&self, route: u32) -> u32 {
        let calls = |program: &&ProgramState| program.routes().any(|of| of == route);
        let pods = self.programs.iter().filter(calls).flat_map(|program| &program.pods);
        let nodes: std::collections::BTreeSet<u32> = pods.map(|pod| self.pods[*pod as usize].node).collect();
        nodes.len().max(1) as u32
    }

    /// Shares out the cpu of nodes whose pods could want more than there is.
    pub(super) fn share_nodes(&mut self) {
        let mut shares = Vec::new();
        for node in &self.nodes {
            let most: i64 = node.pods.iter().map(|pod| self.pods[*pod as usize].cores_millis).sum();
            shares.clear();
            for pod in &node.pods {
                let state = &self.pods[*pod as usize];
                let backlog = state.queue.x > 2.0 * f64::from(state.workers);
                let wanted = (state.cores_used * 1000.0) as i64 + 1;
                let demand = if backlog || most <= node.cpu_millis { state.cores_millis } else { wanted.min(state.cores_millis) };
                shares.push(Share { station: *pod, weight: state.weight, demand, granted: 0.0 });
            }
            let wanted: i64 = shares.iter().map(|share| share.demand).sum();
            if wanted > node.cpu_millis {
                water_fill(node.cpu_millis, &mut shares);
                let weights: i64 = shares.iter().map(|share| share.weight).sum();
                for share in &shares {
                    let pod = &mut self.pods[share.station as usize];
                    // Whoever asks for less than his part could have all of it at once.
                    let part = node.cpu_millis as f64 * share.weight as f64 / weights.max(1) as f64;
                    let asks_less = share.demand < pod.cores_millis && share.granted >= share.demand as f64;
                    let granted = if asks_less { (share.granted * 1.2).max(part) } else { share.granted };
                    pod.granted_millis = granted.min(pod.cores_millis as f64);
                }
            } else {
                for share in &shares {
                    let pod = &mut self.pods[share.station as usize];
                    let left = node.cpu_millis - wanted + share.demand;
                    pod.granted_millis = pod.cores_millis.min(left.max(share.demand)) as f64;
                }
            }
        }
    }

    /// A share of the slots of a program's pods is free again.
    pub(super) fn release_slots(&mut self, program: u32, amount: f64) {
        let pods = &self.programs[program as usize].pods;
        let all: f64 = pods.iter().map(|pod| self.pods[*pod as usize].after).sum();
        let kept = if all > amount { 1.0 - amount / all } else { 0.0 };
        for pod in pods {
            self.pods[*pod as usize].after *= kept;
        }
    }

    /// One step of all pods of a program.
    pub(super) fn move_pods(&mut self, number: u32, end: u64, d: f64) {
        let feedback = self.feedback(number);
        let timeout = self.deadline(number);
        let program = &self.programs[number as usize];
        let mut last: Option<(Before, After)> = None;
        let (mut departed, mut held_after) = (0.0, 0.0);
        let (mut rescued, mut per_second) = (0.0, 0.0);
        let mut critical = 0;
        for pod in &program.pods {
            let state = &mut self.pods[*pod as usize];
            let before = Before {
                table: state.table,
                of_cores: state.of_cores,
                queue: state.queue,
                accept: state.accept,
                after: state.after,
                granted_millis: state.granted_millis,
                arrivals: std::mem::take(&mut state.arrivals),
                concurrency: state.concurrency,
                queue_limit: state.queue_limit,
                line: [state.line.sum, state.line.granted_millis, state.line.rate],
            };
            let after = match last {
                Some((same, after)) if same == before => after,
                _ => move_pod(&before, program, &self.tables, d, timeout, feedback),
            };
            last = Some((before, after));
            (state.queue, state.accept, state.after) = (after.queue, after.accept, after.after);
            (state.rate, state.in_line, state.penalty) = (after.rate, after.in_line, after.penalty);
            (state.shed, state.dropped, state.kernel) = (after.shed, after.dropped, after.kernel);
            if timeout.is_finite() {
                let deadline = (end as f64 - timeout * 1e9).max(0.0) as u64;
                let workers = f64::from(state.workers);
                state.line.moved(end, before.arrivals * (1.0 - after.shed), after.departed, workers, deadline);
                state.line.granted_millis = state.granted_millis;
                state.line.rate = after.line_rate;
            }
            state.window_shed += after.shed * before.arrivals;
            let demand = program.cpu.mean * program.heavier * after.penalty;
            state.cpu_nanos += after.departed * demand * 1e9;
            state.cores_used = after.departed / d * demand;
            state.served += after.departed;
            critical += usize::from(after.critical);
            departed += after.departed;
            (rescued, per_second) = (rescued + after.rescued.0, per_second + after.rescued.1);
            held_after += after.departed * program.held_beyond(d);
        }
        let all = program.pods.len();
        self.critical |= critical > self.unnoticed(all);
        let rest = program.rest;
        self.programs[number as usize].departed = departed;
        if rescued > 0.0 {
            self.rescue(number, rescued, per_second, end);
        }
        if held_after > 0.0 {
            let start = self.now as f64 / 1e9;
            let entry = super::Entry { due: Due::Slots(held_after), route: number, attempt: 0, grains: 0, delay: 0.0 };
            self.put_evenly(start + rest.max(d), start + d + rest, end, entry);
        }
    }

    /// What a closed source asks less for each request that is here.
    fn feedback(&self, program: u32) -> f64 {
        let program = &self.programs[program as usize];
        let pods = program.pods.len().max(1) as f64;
        let of = |source: &super::SourceState| {
            let to = self.flows[self.routes[source.route as usize].flow as usize].service;
            source.users.filter(|_| program.services.contains(&to)).map_or(0.0, |(_, think, _)| 1.0 / (think.max(1e-3) * pods))
        };
        self.sources.iter().map(of).sum()
    }

    /// The shortest timeout after which work leaves a program's queues; infinite when none does.
    fn deadline(&self, number: u32) -> f64 {
        let program = &self.programs[number as usize];
        if !drops(&program.behavior) {
            return f64::INFINITY;
        }
        let asks = |route: &&super::RouteState| program.services.contains(&self.flows[route.flow as usize].service);
        self.routes.iter().filter(asks).map(|route| route.client.timeout.as_secs_f64()).fold(f64::INFINITY, f64::min)
    }

    /// Pods that are under stress, or out of memory.
    pub(super) fn look_at_pods(&mut self) {
        for pod in &mut self.pods {
            if pod.process != Process::Running {
                continue;
            }
            let wait = pod.wait_nanos();
            let (full, limit) = (pod.is_full(), pod.stress_limit);
            let was = pod.stressed;
            pod.stressed = limit < super::super::calendar::NEVER && (full || wait > if was { limit / 2 } else { limit });
            if was != pod.stressed {
                let since = SimTime::from_nanos(self.now);
                let signal = if was { Signal::Relieved(pod.uid) } else { Signal::Stressed { pod: pod.uid, since } };
                self.signals.entry(self.now).or_default().push(signal);
            }
            if pod.memory_full_at(self.now) <= self.now
                && let Some(memory) = &mut pod.memory
            {
                memory.told = true;
                self.signals.entry(self.now).or_default().push(Signal::OutOfMemory(pod.uid));
            }
        }
    }

    /// Messages that consumers take from a queue in this step.
    pub(super) fn serve_queue(&mut self, service: u32, came: u64, d: f64) {
        let Some(mut queue) = self.services[service as usize].queue.take() else { return };
        let middle = self.now + (d * 5e8) as u64;
        queue.level += came;
        if came > 0 {
            queue.waiting.push_back((middle, came));
        }
        let mut latency = Vec::new();
        for number in self.services[service as usize].programs.clone() {
            let program = &self.programs[number as usize];
            let per_second = |pod: &u32| {
                let pod = &self.pods[*pod as usize];
                let speed = (pod.granted_millis / (1000.0 * f64::from(pod.workers))).min(1.0);
                let seconds = program.cpu.mean / speed.max(1e-9) + program.rest;
                f64::from(pod.concurrency) / seconds.max(1e-9)
            };
            let capacity: f64 = program.pods.iter().map(per_second).sum::<f64>() * d;
            let mut left = ((capacity * GRAINS as f64) as u64).min(queue.level);
            queue.level -= left;
            let (taken, count) = (left as f64 / GRAINS as f64, program.pods.len().max(1) as f64);
            let own = program.cpu.mean + program.rest;
            while let Some((came_at, grains)) = queue.waiting.front_mut().filter(|_| left > 0) {
                let part = left.min(*grains);
                latency.push((middle.saturating_sub(*came_at) + (own * 1e9) as u64, part));
                (*grains, left) = (*grains - part, left - part);
                if *grains == 0 {
                    queue.waiting.pop_front();
                }
            }
            let (mean, pods) = (program.cpu.mean, program.pods.clone());
            self.programs[number as usize].departed = taken;
            for pod in pods {
                let pod = &mut self.pods[pod as usize];
                pod.cpu_nanos += taken / count * mean * 1e9;
                pod.cores_used = taken / count * mean / d;
                pod.served += taken / count;
            }
        }
        let flow = &mut self.flows[queue.flow as usize];
        flow.totals.arrived += came;
        for (nanos, grains) in latency {
            flow.totals.attempts += grains;
            flow.totals.succeeded += grains;
            flow.latency.record_n(nanos, grains);
        }
        flow.backoff = queue.level;
        self.critical |= queue.level > came;
        self.services[service as usize].queue = Some(queue);
    }
}

impl ProgramState {
    /// Attempts come with demands in these shares: those known before give way to them by `lag`.
    pub(super) fn blend(&mut self, shares: &[f64; DEMANDS], lag: f64) {
        let demands = || self.cpu.atoms.iter().map(|(demand, _)| demand);
        self.mix.iter_mut().zip(shares).for_each(|(mix, share)| *mix += (share - *mix) * lag);
        let mean = |shares: &[f64; DEMANDS]| demands().zip(shares).map(|(demand, share)| demand * share).sum::<f64>();
        let plain = mean(&self.cpu.shares());
        self.heavier = if plain > 0.0 { (mean(&self.mix) / plain).max(1.0) } else { 1.0 };
    }

    /// Whether requests hold their slot after the cpu work.
    pub(super) fn has_rest(&self) -> bool {
        self.latency.mean > 0.0 || self.calls.iter().any(|group| !group.is_empty())
    }
    /// Of those whose cpu work ends in a step of `d` seconds, the share that holds a slot beyond its end.
    pub(super) fn held_beyond(&self, d: f64) -> f64 {
        if self.has_rest() { (self.rest / d).min(1.0) } else { 0.0 }
    }
}
