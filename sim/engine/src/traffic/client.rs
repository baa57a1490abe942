//! The client side: calls, attempts, deadlines, retries.

use super::Traffic;
use super::calendar::{Kind, NEVER};
use super::flow::{ANSWER, CONNECT, Call, CallState, Failure};
use super::slab::NONE;
use super::station::Process;
use crate::random::Draw;

impl Traffic {
    /// A source's request.
    pub(super) fn arrival(&mut self, source: u32) {
        let (route, profile) = &mut self.sources[source as usize];
        let route = *route;
        if let Some(next) = profile.next() {
            // A rate beyond one per nanosecond would come out of order.
            self.calendar.push(next.max(self.now), Kind::Arrival, source);
        }
        let flow = self.routes[route as usize].flow as usize;
        let luck = Draw::bits(&mut self.flows[flow].requests);
        self.begin_call(route, NONE, luck);
    }

    /// A request of a flow begins, with its first attempt.
    pub(super) fn begin_call(&mut self, route: u32, parent: u32, luck: u64) {
        let state = CallState::Backoff; // Until the attempt is on its way.
        let call = Call { start: self.now, due: 0, luck, route, parent, job: NONE, attempt: 0, state };
        let call = self.calls.insert(call);
        let route = &mut self.routes[route as usize];
        if let Some(budget) = &mut route.budget {
            budget.deposit(self.now);
        }
        self.flows[route.flow as usize].counts.arrived += 1;
        self.attempt(call);
    }

    /// Sends the next attempt of a call that is neither in flight nor counted as in back-off.
    fn attempt(&mut self, call: u32) {
        let Call { route, luck, .. } = self.calls[call];
        self.calls[call].attempt += 1;
        let attempt = self.calls[call].attempt;
        let flow = &mut self.flows[self.routes[route as usize].flow as usize];
        flow.counts.attempts += 1;
        flow.counts.retries += u64::from(attempt > 1);
        let targets = &self.services[flow.service as usize].targets;
        let station = match targets.len() {
            0 => return self.attempt_failed(call, Failure::Refused),
            1 => targets[0],
            n => targets[Draw::below(&mut flow.balancing, n as u64) as usize],
        };
        match self.stations[station].process {
            Process::Stopped => self.attempt_failed(call, Failure::Refused),
            Process::Silent => self.in_flight(call, route, NONE, CONNECT),
            Process::Running => match self.admit(station, call, luck, attempt) {
                Some(job) => self.in_flight(call, route, job, ANSWER),
                None => self.attempt_failed(call, Failure::Shed),
            },
        }
    }

    /// An attempt is on its way: it ends by its answer or its deadline.
    fn in_flight(&mut self, call: u32, route: u32, job: u32, until: usize) {
        let Self { routes, flows, calls, calendar, now, .. } = self;
        let ways = &mut routes[route as usize];
        flows[ways.flow as usize].counts.in_flight += 1;
        let timeout = ways.client.timeout.as_nanos();
        let connect = ways.client.connect_timeout.as_nanos();
        let (until, span) = if until == CONNECT && connect < timeout { (CONNECT, connect) } else { (ANSWER, timeout) };
        let due = now.saturating_add(span);
        let state = &mut calls[call];
        (state.state, state.due, state.job) = (CallState::InFlight, due, job);
        if due < NEVER {
            let ring = &mut ways.deadlines[until];
            ring.entries.push_back((due, call));
            if !ring.armed {
                ring.armed = true;
                calendar.push(due, Kind::Deadline, route << 1 | until as u32);
            }
        }
    }

    /// The oldest deadline of a ring has come.
    pub(super) fn deadline(&mut self, index: u32) {
        let (route, which) = (index >> 1, (index & 1) as usize);
        let failure = if which == CONNECT { Failure::Refused } else { Failure::TimedOut };
        loop {
            let ring = &mut self.routes[route as usize].deadlines[which];
            let Some((due, call)) = ring.entries.front().copied() else {
                ring.armed = false;
                return;
            };
            // A place that was freed, or that waits for something else by now, has another instant.
            let state = &self.calls[call];
            let stale = state.state != CallState::InFlight || state.due != due;
            if !stale && due > self.now {
                self.calendar.push(due, Kind::Deadline, index);
                return;
            }
            ring.entries.pop_front();
            if !stale {
                self.give_up_attempt(call);
                self.attempt_failed(call, failure);
            }
        }
    }

    /// Nobody waits for the attempt any more; its job, if there is one, becomes an orphan.
    fn give_up_attempt(&mut self, call: u32) {
        let Call { route, job, .. } = self.calls[call];
        if job != NONE {
            self.jobs[job].call = NONE;
        }
        self.calls[call].job = NONE;
        self.flows[self.routes[route as usize].flow as usize].counts.in_flight -= 1;
    }

    /// The attempt in flight was answered.
    pub(super) fn answered(&mut self, call: u32, ok: bool) {
        let Call { route, start, parent, .. } = self.calls[call];
        let flow = &mut self.flows[self.routes[route as usize].flow as usize];
        flow.counts.in_flight -= 1;
        if !ok {
            return self.attempt_failed(call, Failure::Failed);
        }
        flow.counts.succeeded += 1;
        flow.latency.record(self.now - start);
        self.call_over(call, parent, true);
    }

    /// An attempt failed that is not in flight (any more): another one, or the call is over.
    pub(super) fn attempt_failed(&mut self, call: u32, failure: Failure) {
        let Call { route, parent, attempt, .. } = self.calls[call];
        let ways = &mut self.routes[route as usize];
        let flow = &mut self.flows[ways.flow as usize];
        let may_retry = u32::from(attempt) < ways.client.max_attempts && attempt < u16::MAX;
        if may_retry && ways.budget.as_mut().is_none_or(|budget| budget.withdraw(self.now)) {
            let doubled = ways.client.backoff_base.times(1u64 << (attempt - 1).min(62));
            let longest = doubled.min(ways.client.backoff_max).as_nanos();
            let span = if ways.client.full_jitter { Draw::below(&mut flow.jitter, longest.saturating_add(1)) } else { longest };
            flow.counts.in_backoff += 1;
            let due = self.now.saturating_add(span);
            let state = &mut self.calls[call];
            (state.state, state.due, state.job) = (CallState::Backoff, due, NONE);
            self.calendar.push(due, Kind::BackoffOver, call);
            return;
        }
        failure.count(&mut flow.counts);
        self.call_over(call, parent, false);
    }

    fn call_over(&mut self, call: u32, parent: u32, ok: bool) {
        self.calls[call].state = CallState::Over;
        self.calls.free(call);
        if parent != NONE {
            self.returns.push((parent, ok));
        }
    }

    /// A back-off is over.
    pub(super) fn backoff_over(&mut self, call: u32) {
        let Call { state, due, route, .. } = self.calls[call];
        if state != CallState::Backoff || due != self.now {
            return; // Its caller's process ended meanwhile.
        }
        self.flows[self.routes[route as usize].flow as usize].counts.in_backoff -= 1;
        self.attempt(call);
    }

    /// The caller of a call is no more: it is broken off and counted as failed.
    pub(super) fn abandon(&mut self, call: u32) {
        let Call { route, state, .. } = self.calls[call];
        let flow = self.routes[route as usize].flow as usize;
        match state {
            CallState::Over => return,
            CallState::InFlight => self.give_up_attempt(call),
            CallState::Backoff => self.flows[flow].counts.in_backoff -= 1,
        }
        Failure::Failed.count(&mut self.flows[flow].counts);
        self.call_over(call, NONE, false);
    }
}
