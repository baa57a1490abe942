//! The server side: attempts at stations, from the accept queue to the answer.
//!
//! accept queue → slot → cpu → groups of calls, one after the other, the calls of a group together →
//! time without cpu → answer. The slot is held throughout. A call that failed for good lets its group
//! end, then the request is answered with an error at once: later groups and the time without cpu are left out.

use api::SimTime;

use super::calendar::Kind;
use super::flow::CallState;
use super::flow::hit_ratio;
use super::sharing::water_fill;
use super::slab::NONE;
use super::station::Process;
use super::{Planned, Share, Signal, Traffic};
use crate::random::{Draw, Purpose, Split, mix};
use crate::spec::CancelOnTimeout;

/// What a job is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Over,
    /// In the accept queue, waiting for a worker, or on one.
    Cpu,
    /// Waiting for its calls.
    Calls,
    /// Waiting without using cpu.
    Latency,
    /// Dropped while its calls were under way; its slot is given back, its calls are not called back.
    Cancelled,
}

/// One attempt at one pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// Everything random about it but its cpu demand, which is the request's.
    pub(super) luck: u64,
    pub(super) demand_nanos: u64,
    /// When it came; in the last phase, when that ends.
    pub(super) instant: u64,
    pub(super) station: u32,
    /// Whom to answer: a call, or a probe; `NONE` for an orphan.
    pub(super) call: u32,
    /// Calls of its group that are not over.
    pub(super) pending: u32,
    pub(super) group: u16,
    pub(super) failed: bool,
    pub(super) probe: bool,
    pub(super) phase: Phase,
}

impl Traffic {
    /// An attempt reaches a process; `None` when its queue is full.
    pub(super) fn admit(&mut self, station: u32, call: u32, luck: u64, attempt: u16) -> Option<u32> {
        self.activate(station);
        let state = &mut self.stations[station];
        if state.is_full() {
            state.window.shed += 1;
            self.raise_stress(station, self.now);
            return None;
        }
        let program = &self.programs[state.program as usize];
        let demand_nanos = program.cpu.sample(&mut Split::new(luck, Purpose::CpuDemand, 0)).as_nanos();
        let luck = mix(luck.wrapping_add(u64::from(attempt)));
        Some(self.enqueue(station, call, luck, demand_nanos, false))
    }

    /// A probe reaches a process: it queues like everyone and needs no cpu.
    pub(super) fn admit_probe(&mut self, station: u32, probe: u32) -> Option<u32> {
        self.activate(station);
        (!self.stations[station].is_full()).then(|| self.enqueue(station, probe, 0, 0, true))
    }

    fn activate(&mut self, station: u32) {
        let window = &mut self.stations[station].window;
        if !std::mem::replace(&mut window.active, true) {
            self.active.push(station);
        }
    }

    fn enqueue(&mut self, station: u32, call: u32, luck: u64, demand_nanos: u64, probe: bool) -> u32 {
        let (instant, phase) = (self.now, Phase::Cpu);
        let job = Job { luck, demand_nanos, instant, station, call, pending: 0, group: 0, failed: false, probe, phase };
        let job = self.jobs.insert(job);
        if let Some(meter) = self.meter.as_mut().filter(|meter| !probe && meter.is_about(self.now, demand_nanos)) {
            let state = &self.stations[station];
            meter.arrived += 1;
            meter.waited += u64::from(state.is_exhausted() || state.running() >= state.workers);
        }
        let state = &mut self.stations[station];
        if state.is_exhausted() {
            state.accept.push_back(job);
            state.ahead += demand_nanos;
            self.someone_waits(station);
        } else {
            self.take_slot(station);
            let state = &self.stations[station];
            if state.running() < state.workers {
                self.start(station, job, demand_nanos);
                self.settle(station);
            } else {
                let state = &mut self.stations[station];
                state.waiting.push_back(job);
                state.ahead += demand_nanos;
                self.someone_waits(station);
            }
        }
        if self.stations[station].memory.is_some() {
            self.look_at_memory(station);
        }
        job
    }

    /// A request begins its cpu time; the more are at work, the longer it takes (universal scalability law).
    fn start(&mut self, station: u32, job: u32, demand_nanos: u64) {
        let state = &mut self.stations[station];
        let (sigma, kappa) = self.programs[state.program as usize].overload;
        let n = f64::from(state.slots_used);
        let penalty = 1.0 + (n - 1.0) * (sigma + kappa * n);
        let demand_nanos = if penalty > 1.0 { (demand_nanos as f64 * penalty) as u64 } else { demand_nanos };
        state.start(job, demand_nanos, self.now);
    }

    /// A pod's memory grows; once it has reached its limit, that is said, once.
    pub(super) fn look_at_memory(&mut self, station: u32) {
        let state = &mut self.stations[station];
        let held = state.accept.len() as u64 + u64::from(state.slots_used);
        let Some(memory) = &mut state.memory else { return };
        if memory.told {
            return;
        }
        let full_at = memory.full_at(held, state.served, self.now);
        if full_at <= self.now {
            memory.told = true;
            self.signals.push(Signal::OutOfMemory(state.pod));
        } else if self.now == memory.started_at {
            self.calendar.push(full_at, Kind::Memory, station);
        }
    }

    /// A pod's memory may have reached its limit by what it loses per second.
    pub(super) fn memory_due(&mut self, station: u32) {
        let state = &self.stations[station];
        let held = state.accept.len() as u64 + u64::from(state.slots_used);
        let Some(memory) = state.memory.as_ref().filter(|_| state.process == Process::Running) else { return };
        let full_at = memory.full_at(held, state.served, self.now);
        if full_at > self.now {
            self.calendar.push(full_at, Kind::Memory, station);
        }
        self.look_at_memory(station);
    }

    fn take_slot(&mut self, station: u32) {
        let state = &mut self.stations[station];
        state.slots_used += 1;
        if state.is_exhausted() {
            state.exhausted_at = self.now;
            if state.queue_limit == 0 {
                self.raise_stress(station, self.now);
            }
            self.look_later(station);
        }
    }

    /// Moves on whoever can: from the accept queue to slots, from there to workers.
    pub(super) fn pump(&mut self, station: u32) {
        let cancel = self.programs[self.stations[station].program as usize].cancel;
        loop {
            let state = &mut self.stations[station];
            if state.running() < state.workers
                && let Some(job) = state.waiting.pop_front()
            {
                let demand_nanos = self.jobs[job].demand_nanos;
                state.ahead -= demand_nanos;
                if self.is_cancelled(job, cancel) {
                    self.stations[station].slots_used -= 1;
                    self.free_job(job);
                } else {
                    self.start(station, job, demand_nanos);
                }
            } else if !state.is_exhausted()
                && let Some(job) = state.accept.pop_front()
            {
                if self.is_cancelled(job, cancel) {
                    self.stations[station].ahead -= self.jobs[job].demand_nanos;
                    self.free_job(job);
                } else {
                    self.stations[station].waiting.push_back(job);
                    self.take_slot(station);
                }
            } else {
                break;
            }
        }
        self.settle(station);
    }

    fn is_cancelled(&self, job: u32, cancel: CancelOnTimeout) -> bool {
        cancel != CancelOnTimeout::None && self.jobs[job].call == NONE
    }

    /// Nobody waits for a job any more.
    pub(super) fn orphan(&mut self, job: u32) {
        self.jobs[job].call = NONE;
        let Job { station, phase, .. } = self.jobs[job];
        let program = self.stations[station].program as usize;
        if self.programs[program].cancel != CancelOnTimeout::InFlight {
            return;
        }
        match phase {
            Phase::Over | Phase::Cancelled => return,
            // One that waits is dropped when its turn comes.
            Phase::Cpu if !self.stations[station].take_off(job, self.now) => return,
            Phase::Calls => self.jobs[job].phase = Phase::Cancelled,
            Phase::Cpu | Phase::Latency => self.free_job(job),
        }
        self.stations[station].slots_used -= 1;
        self.pump(station);
    }

    fn free_job(&mut self, job: u32) {
        self.jobs[job].phase = Phase::Over;
        self.jobs.free(job);
    }

    /// The number of running requests may have changed: speeds follow, and the calendar.
    fn settle(&mut self, station: u32) {
        let state = &mut self.stations[station];
        let node = &mut self.nodes[state.node as usize];
        if !node.tight {
            if state.running() > 0 {
                state.set_rate(state.own_rate(), self.now);
            }
            return self.arm(station);
        }
        let wanted = state.wanted_millis();
        if wanted == state.demand_millis {
            let rate = if node.contended { state.rate_with(state.granted_millis) } else { state.own_rate() };
            state.set_rate(rate, self.now);
            return self.arm(station);
        }
        node.demand_millis += wanted - state.demand_millis;
        state.demand_millis = wanted;
        let was_contended = node.contended;
        node.contended = node.demand_millis > node.cpu_millis;
        if was_contended || node.contended {
            let node = self.stations[station].node;
            self.share_node(node);
        } else {
            state.set_rate(state.own_rate(), self.now);
            self.arm(station);
        }
    }

    /// Which pods are on a node has changed.
    pub(super) fn node_changed(&mut self, node: u32) {
        let Self { nodes, stations, .. } = self;
        let state = &mut nodes[node as usize];
        let most = state.stations.iter().fold(0i64, |sum, station| sum.saturating_add(stations[*station].most_millis()));
        state.tight = most > state.cpu_millis;
        state.demand_millis = 0;
        for station in &state.stations {
            let station = &mut stations[*station];
            station.demand_millis = station.wanted_millis();
            state.demand_millis += station.demand_millis;
        }
        state.contended = state.demand_millis > state.cpu_millis;
        self.share_node(node);
    }

    /// Gives every station of a node its speed anew.
    fn share_node(&mut self, node: u32) {
        let state = &self.nodes[node as usize];
        let mut shares = std::mem::take(&mut self.shares);
        shares.clear();
        for station in &state.stations {
            let of = &self.stations[*station];
            if of.running() > 0 {
                shares.push(Share { station: *station, weight: of.weight_millis, demand: of.wanted_millis(), granted: 0.0 });
            }
        }
        let contended = state.contended;
        if contended {
            water_fill(state.cpu_millis, &mut shares);
        }
        for share in &shares {
            let station = &mut self.stations[share.station];
            station.granted_millis = share.granted;
            let rate = if contended { station.rate_with(share.granted) } else { station.own_rate() };
            station.set_rate(rate, self.now);
            self.arm(share.station);
        }
        self.shares = shares;
    }

    /// Puts the station's next completion into the calendar, unless an earlier look is there already.
    fn arm(&mut self, station: u32) {
        let state = &mut self.stations[station];
        let due = state.quota_due(self.now);
        if due != u64::MAX && (state.quota.armed_at == 0 || due < state.quota.armed_at) {
            state.quota.armed_at = due;
            self.calendar.push(due, Kind::Quota, station);
        }
        let time = state.next_completion(self.now);
        if time < state.armed_at {
            state.armed_at = time;
            self.calendar.push(time, Kind::CpuDone, station);
        }
        if time.saturating_sub(self.now) > state.stress.limit_nanos && time != u64::MAX && state.running() >= state.workers {
            self.raise_stress(station, self.now);
        }
    }

    /// A station's first running request should have had its cpu time.
    pub(super) fn cpu_done(&mut self, station: u32) {
        let state = &mut self.stations[station];
        if state.armed_at != self.now {
            return;
        }
        state.armed_at = u64::MAX;
        let mut finished = std::mem::take(&mut self.finished);
        finished.extend(std::iter::from_fn(|| state.take_finished(self.now)));
        for job in finished.drain(..) {
            self.cpu_over(job);
        }
        self.finished = finished;
        self.pump(station);
    }

    /// A station's cpu quota is used up, or comes anew.
    pub(super) fn quota_due(&mut self, station: u32) {
        let state = &mut self.stations[station];
        if state.quota.armed_at != self.now {
            return;
        }
        state.quota.armed_at = 0;
        state.quota_check(self.now);
        self.settle(station);
    }

    fn cpu_over(&mut self, job: u32) {
        let Job { station, call, probe, .. } = self.jobs[job];
        if probe {
            if call != NONE {
                self.probe_answered(call);
            }
            self.stations[station].slots_used -= 1;
            self.free_job(job);
        } else {
            self.next_group(job);
        }
    }

    /// Makes the calls of the next group that has any, or goes on to the last phase. Does not pump.
    fn next_group(&mut self, job: u32) {
        let Job { station, luck, .. } = self.jobs[job];
        let program = self.stations[station].program as usize;
        loop {
            let group = self.jobs[job].group as usize;
            let Some(calls) = self.programs[program].calls.get(group) else { break };
            let len = calls.len();
            let place = |index: usize| (group << 32 | index) as u64;
            let made = |traffic: &Self, index: usize| {
                let Planned { route, probability, own_cache } = traffic.programs[program].calls[group][index];
                let made = probability >= 1.0 || Split::new(luck, Purpose::Calls, place(index)).unit() < probability;
                let known = own_cache.is_some_and(|(warm, warmup)| {
                    let hits = hit_ratio(warm, warmup, traffic.stations[station].served);
                    Split::new(luck, Purpose::Cache, place(index)).unit() < hits
                });
                (made && !known).then_some(route)
            };
            let pending = (0..len).filter(|index| made(self, *index).is_some()).count() as u32;
            if pending == 0 {
                self.jobs[job].group += 1;
                continue;
            }
            self.jobs[job].phase = Phase::Calls;
            self.jobs[job].pending = pending;
            for index in 0..len {
                if let Some(route) = made(self, index) {
                    let luck = Split::new(luck, Purpose::Arrivals, place(index)).bits();
                    self.begin_call(route, job, NONE, luck);
                }
            }
            return;
        }
        let latency = self.programs[program].latency.sample(&mut Split::new(luck, Purpose::RequestLatency, 0));
        if latency.is_zero() {
            return self.answer(job);
        }
        let state = &mut self.jobs[job];
        state.phase = Phase::Latency;
        state.instant = self.now.saturating_add(latency.as_nanos());
        self.calendar.push(state.instant, Kind::LatencyOver, job);
    }

    pub(super) fn latency_over(&mut self, job: u32) {
        let Job { phase, instant, station, .. } = self.jobs[job];
        if phase == Phase::Latency && instant == self.now {
            self.answer(job);
            self.pump(station);
        }
    }

    /// Calls that are over go back to the jobs that made them.
    pub(super) fn work_off_returns(&mut self) {
        loop {
            let Some((job, ok)) = self.returns.pop() else {
                match self.freed.pop() {
                    Some(link) => self.connection_freed(link),
                    None => return,
                }
                continue;
            };
            let state = &mut self.jobs[job];
            state.pending -= 1;
            state.failed |= !ok;
            let station = state.station;
            if state.pending > 0 {
                continue;
            }
            if state.phase == Phase::Cancelled {
                self.free_job(job);
                continue;
            }
            if state.failed {
                self.answer(job);
            } else {
                state.group += 1;
                self.next_group(job);
            }
            self.pump(station);
        }
    }

    /// The job is over: answers, if someone waits, and gives the slot back. Does not pump.
    fn answer(&mut self, job: u32) {
        let Job { station, call, luck, failed, demand_nanos, instant, phase, .. } = self.jobs[job];
        self.free_job(job);
        if let Some(meter) = self.meter.as_mut().filter(|meter| phase != Phase::Latency && meter.is_about(instant, demand_nanos)) {
            meter.answered += 1;
            meter.sojourn_nanos += u128::from(self.now - instant);
            meter.slowdown += (self.now - instant) as f64 / demand_nanos.max(1) as f64;
        }
        let state = &mut self.stations[station];
        state.slots_used -= 1;
        state.served += 1;
        let leaks = state.memory.as_ref().is_some_and(|memory| memory.uses.leak_per_request_bytes > 0);
        if leaks {
            self.look_at_memory(station);
        }
        self.consumer_free(station);
        let state = &mut self.stations[station];
        if call == NONE {
            state.window.orphaned += 1;
            return;
        }
        let error_ratio = self.programs[state.program as usize].error_ratio;
        let error = failed || (error_ratio > 0.0 && Split::new(luck, Purpose::Errors, 0).unit() < error_ratio);
        self.answered(call, !error);
    }

    /// A station lost everything it held, and its callers learn it (`Stopped`) or not (`Silent`).
    pub(super) fn break_off(&mut self, station: u32, process: Process) {
        let numbers = self.jobs.numbers();
        let of_station = |job: &u32| self.jobs[*job].phase != Phase::Over && self.jobs[*job].station == station;
        let lost: Vec<u32> = numbers.filter(of_station).collect();
        if lost.iter().any(|job| self.jobs[*job].pending > 0) {
            for call in self.calls.numbers() {
                let state = &self.calls[call];
                if state.state != CallState::Over && state.parent != NONE && self.jobs[state.parent].station == station {
                    self.abandon(call);
                }
            }
        }
        // All callers are known before the first is told: what he then asks of others may take a place freed here.
        let callers: Vec<(u32, bool)> = lost.iter().map(|job| (self.jobs[*job].call, self.jobs[*job].probe)).collect();
        for job in lost {
            self.free_job(job);
        }
        for (call, probe) in callers.into_iter().filter(|(call, _)| *call != NONE) {
            if probe {
                self.probes[call].job = NONE;
            } else {
                self.calls[call].job = NONE;
                if process == Process::Stopped {
                    self.answered(call, false);
                }
            }
        }
    }

    /// Someone has to wait at a station.
    fn someone_waits(&mut self, station: u32) {
        let state = &self.stations[station];
        if state.stress.stressed || state.stress.limit_nanos == super::NEVER {
            return;
        }
        if state.is_full() || state.expected_wait_nanos(self.now) > state.stress.limit_nanos {
            self.raise_stress(station, self.now);
        }
    }

    /// From `since` on, a probe could fail.
    fn raise_stress(&mut self, station: u32, since: u64) {
        let state = &mut self.stations[station];
        if state.stress.stressed || state.stress.limit_nanos == super::NEVER {
            return;
        }
        state.stress.stressed = true;
        let since = SimTime::from_nanos(since.max(state.stress.relieved_at));
        self.signals.push(Signal::Stressed { pod: state.pod, since });
        self.look_later(station);
    }

    /// Looks at a station again: soon while it is stressed, else when its slots could be stuck for too long.
    fn look_later(&mut self, station: u32) {
        let stress = &mut self.stations[station].stress;
        if stress.look_armed || stress.limit_nanos == super::NEVER {
            return;
        }
        stress.look_armed = true;
        let span = if stress.stressed { stress.limit_nanos / 2 } else { stress.limit_nanos };
        self.calendar.push(self.now + span.max(1), Kind::StressCheck, station);
    }

    pub(super) fn stress_check(&mut self, station: u32) {
        self.stations[station].stress.look_armed = false;
        let state = &self.stations[station];
        let first_in_line = state.accept.front().map(|job| self.jobs[*job].instant);
        let stuck_nanos = state.stuck_since(first_in_line).map(|since| self.now - since);
        let limit = state.stress.limit_nanos;
        if state.process != Process::Running {
            return;
        }
        if state.stress.stressed {
            let half = limit / 2;
            let stuck = stuck_nanos.is_some_and(|nanos| nanos >= half);
            if !state.is_full() && !stuck && state.expected_wait_nanos(self.now) <= half {
                self.signals.push(Signal::Relieved(state.pod));
                let stress = &mut self.stations[station].stress;
                (stress.stressed, stress.relieved_at) = (false, self.now);
                if stuck_nanos.is_some() {
                    self.look_later(station);
                }
            } else {
                self.look_later(station);
            }
        } else if let Some(nanos) = stuck_nanos {
            if nanos >= limit {
                self.raise_stress(station, self.now - nanos);
            } else {
                self.look_later(station);
            }
        }
    }
}
