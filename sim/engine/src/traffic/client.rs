//! The client side: calls, attempts, deadlines, retries.

use super::calendar::{Kind, NEVER};
use super::flow::{ANSWER, CONNECT, Call, CallState, Failure, Role, hit_ratio};
use super::link::Link;
use super::reach::Reached;
use super::slab::NONE;
use super::station::Process;
use super::{Traffic, UsersState};
use crate::random::{Draw, Purpose, Split, entity, mix};

/// Set in the number under which a client's link is found.
const CLIENTS: u32 = 1 << 31;

impl Traffic {
    /// A source's request.
    pub(super) fn arrival(&mut self, source: u32) {
        let (route, profile) = &mut self.sources[source as usize];
        let route = *route;
        if let Some(next) = profile.next() {
            // A rate beyond one per nanosecond would come out of order.
            self.calendar.push(next.max(self.now), Kind::Arrival, source);
        }
        self.source_request(route, NONE);
    }

    /// One of a source's users has thought, and asks.
    pub(super) fn user_asks(&mut self, user: u32) {
        let place = self.users.partition_point(|(_, users)| users.first <= user) - 1;
        self.source_request(self.users[place].0, user);
    }

    fn source_request(&mut self, route: u32, user: u32) {
        let ways = &self.routes[route as usize];
        let luck = Draw::bits(&mut self.flows[ways.flow as usize].requests);
        let client = match ways.clients {
            0 => user,
            clients => Split::new(luck, Purpose::ClientIdentity, 0).below(u64::from(clients)) as u32,
        };
        self.begin_call(route, NONE, client, luck);
    }

    /// A user (by number) has his answer, or begins at `from`: he thinks.
    pub(super) fn think(&mut self, role: Role, user: u32, from: u64) {
        if let Role::Users(users) = role {
            let UsersState { think, stream, .. } = &mut self.users[users as usize].1;
            let until = from.saturating_add(think.sample(stream).as_nanos());
            self.calendar.push(until, Kind::UserReady, user);
        }
    }

    /// A request of a flow begins, with its first attempt.
    pub(super) fn begin_call(&mut self, route: u32, parent: u32, client: u32, luck: u64) {
        let ways = &mut self.routes[route as usize];
        let flow = &mut self.flows[ways.flow as usize];
        flow.counts.arrived += 1;
        if let Some(queue) = &self.services[flow.service as usize].queue {
            let messages = queue.route;
            flow.counts.attempts += 1;
            flow.counts.succeeded += 1;
            flow.latency.record(0);
            self.message(messages, luck);
            return self.over(route, parent, client, true);
        }
        if let Some(budget) = &mut ways.budget {
            budget.deposit(self.now);
        }
        let link = if ways.linked { self.link(route, parent, client) } else { NONE };
        // It counts as in back-off until the attempt is on its way.
        let call = self.calls.insert(Call { start: self.now, luck, route, parent, client, link, ..Call::NEW });
        self.attempt(call);
    }

    /// What the caller remembers of the callee.
    fn link(&mut self, route: u32, parent: u32, client: u32) -> u32 {
        let caller = if parent == NONE { client } else { self.jobs[parent].station };
        // Clients are numbered apart from stations, which end and take what they remember with them.
        let key = if parent == NONE && client != NONE { client | CLIENTS } else { caller };
        if let Some(link) = self.link_by_caller.get(&(route, key)) {
            return *link;
        }
        let ways = &self.routes[route as usize];
        let pod = match (parent, caller) {
            (NONE, NONE) => 0,
            (NONE, client) => mix(u64::from(client)),
            (_, station) => self.stations[station].pod.0,
        };
        let stream = self.streams.stream(Purpose::Throttle, mix(entity(&self.flows[ways.flow as usize].name) ^ pod));
        let link = self.links.insert(Link::new(&ways.client, stream));
        self.link_by_caller.insert((route, key), link);
        link
    }

    /// A process and all it knew of others is gone; nobody calls in its name any more.
    pub(super) fn forget_links(&mut self, station: u32) {
        if self.link_by_caller.is_empty() {
            return;
        }
        for route in 0..self.routes.len() as u32 {
            if let Some(link) = self.link_by_caller.remove(&(route, station)) {
                self.freed.retain(|other| *other != link);
                self.links.free(link);
            }
        }
    }

    /// Makes the next attempt of a call that is neither in flight nor counted as in back-off.
    fn attempt(&mut self, call: u32) {
        let Call { route, link, .. } = self.calls[call];
        self.calls[call].attempt += 1;
        if link != NONE {
            let client = &self.routes[route as usize].client;
            let state = &mut self.links[link];
            if client.throttle.as_ref().is_some_and(|throttle| state.rejects(throttle, self.now)) {
                self.attempt_ended(call, false, false);
                return self.call_failed(call, Failure::Shed);
            }
            if client.circuit_breaker.as_ref().is_some_and(|breaker| state.connected >= breaker.max_requests) {
                self.attempt_ended(call, false, false);
                return self.attempt_failed(call, Failure::Shed);
            }
            if client.connection_pool.is_some_and(|most| state.connected >= most) {
                self.in_flight(call, route, NONE, ANSWER);
                let due = self.calls[call].due;
                self.links[link].waiting.push_back((due, call));
                return;
            }
        }
        match self.send(call) {
            Ok((job, until)) => self.in_flight(call, route, job, until),
            Err(failure) => {
                self.attempt_ended(call, false, false);
                self.attempt_failed(call, failure);
            }
        }
    }

    /// Sends an attempt to an endpoint: the job it becomes, or that it is not heard.
    fn send(&mut self, call: u32) -> Result<(u32, usize), Failure> {
        let Call { route, luck, attempt, link, .. } = self.calls[call];
        let flow = self.routes[route as usize].flow as usize;
        let counts = &mut self.flows[flow].counts;
        counts.attempts += 1;
        counts.retries += u64::from(attempt > 1);
        if link != NONE {
            self.links[link].connected += 1;
            self.calls[call].connected = true;
        }
        self.calls[call].station = NONE;
        let station = match self.kept_connection(call) {
            Some((station, true)) => station,
            Some((station, false)) => {
                self.calls[call].station = station;
                return Ok((NONE, ANSWER));
            }
            None => match self.connect(call) {
                Reached::Station(station, via) => {
                    self.keep_connection(call, station, via);
                    station
                }
                Reached::Refused => return Err(Failure::Refused),
                Reached::Unanswered => return Ok((NONE, CONNECT)),
            },
        };
        self.calls[call].station = station;
        match self.stations[station].process {
            Process::Stopped => Err(Failure::Refused),
            Process::Silent => Ok((NONE, CONNECT)),
            Process::Running => self.admit(station, call, luck, attempt).map(|job| (job, ANSWER)).ok_or(Failure::Shed),
        }
    }

    /// An attempt is on its way, or waits for a connection: it ends by its answer or its deadline.
    pub(super) fn in_flight(&mut self, call: u32, route: u32, job: u32, until: usize) {
        let Self { routes, flows, calls, now, .. } = self;
        let ways = &mut routes[route as usize];
        flows[ways.flow as usize].counts.in_flight += 1;
        let timeout = ways.client.timeout.as_nanos();
        let connect = ways.client.connect_timeout.as_nanos();
        let (until, span) = if until == CONNECT && connect < timeout { (CONNECT, connect) } else { (ANSWER, timeout) };
        let due = now.saturating_add(span);
        let state = &mut calls[call];
        (state.state, state.due, state.job) = (CallState::InFlight, due, job);
        self.await_deadline(call, until);
    }

    /// Puts a call's deadline into the ring of its length.
    fn await_deadline(&mut self, call: u32, until: usize) {
        let Call { route, due, .. } = self.calls[call];
        if due < NEVER {
            let ring = &mut self.routes[route as usize].deadlines[until];
            ring.entries.push_back((due, call));
            if !ring.armed {
                ring.armed = true;
                self.calendar.push(due, Kind::Deadline, route << 1 | until as u32);
            }
        }
    }

    /// A connection has become free: who waited longest and still waits takes it.
    pub(super) fn connection_freed(&mut self, link: u32) {
        let Some((due, call)) = self.links[link].waiting.pop_front() else { return };
        let Call { state, due: present, job, route, connected, link: of, .. } = self.calls[call];
        let waits = of == link && state == CallState::InFlight && present == due && job == NONE && !connected;
        if !waits {
            return self.freed.push(link);
        }
        match self.send(call) {
            Ok((job, until)) => {
                self.calls[call].job = job;
                let connect = self.now.saturating_add(self.routes[route as usize].client.connect_timeout.as_nanos());
                if until == CONNECT && connect < due {
                    self.calls[call].due = connect;
                    self.await_deadline(call, CONNECT);
                }
            }
            Err(failure) => {
                self.flows[self.routes[route as usize].flow as usize].counts.in_flight -= 1;
                self.attempt_ended(call, false, false);
                self.attempt_failed(call, failure);
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
        self.calls[call].job = NONE;
        self.flows[self.routes[route as usize].flow as usize].counts.in_flight -= 1;
        if job != NONE {
            self.orphan(job);
        }
        self.attempt_ended(call, false, true);
    }

    /// An attempt that was sent is over: its connection is free (or `broken`, when nothing was heard on it), and its
    /// caller remembers how it went.
    fn attempt_ended(&mut self, call: u32, ok: bool, broken: bool) {
        let Call { route, link, station, attempt, connected, counted_by, .. } = self.calls[call];
        if counted_by != NONE {
            self.uncount(call);
        }
        if link == NONE {
            return;
        }
        let ways = &self.routes[route as usize];
        let state = &mut self.links[link];
        state.retries -= u32::from(attempt > 1);
        if !connected {
            return;
        }
        self.calls[call].connected = false;
        state.connected -= 1;
        if !state.waiting.is_empty() {
            self.freed.push(link);
        }
        if let Some(settings) = &ways.client.connections {
            state.kept.give_back(settings, station, broken, self.now);
        }
        if let Some(breaker) = ways.client.circuit_breaker.as_ref().filter(|_| station != NONE) {
            let of = self.services[self.flows[ways.flow as usize].service as usize].endpoints.present().len();
            state.tell(breaker, station, ok, of, self.now);
        }
        if let (true, Some(throttle)) = (ok, &ways.client.throttle) {
            state.accepted(throttle, self.now);
        }
        if let (true, Some(bucket)) = (ok, &ways.client.token_bucket) {
            state.refund(bucket, attempt > 1);
        }
    }

    /// The attempt in flight was answered.
    pub(super) fn answered(&mut self, call: u32, ok: bool) {
        let Call { route, start, parent, .. } = self.calls[call];
        let ways = &self.routes[route as usize];
        if !ok && matches!(ways.role, Role::Messages(_)) {
            self.calls[call].job = NONE; // Nobody acknowledges it; it comes back when its time is over.
            return;
        }
        let flow = &mut self.flows[ways.flow as usize];
        flow.counts.in_flight -= 1;
        if ok {
            flow.counts.succeeded += 1;
            flow.latency.record(self.now - start);
        }
        self.attempt_ended(call, ok, false);
        if ok { self.call_over(call, parent, true) } else { self.attempt_failed(call, Failure::Failed) }
    }

    /// An attempt failed that is not in flight (any more): another one, or the call is over.
    pub(super) fn attempt_failed(&mut self, call: u32, failure: Failure) {
        let Call { route, attempt, luck, .. } = self.calls[call];
        let ways = &self.routes[route as usize];
        let may_retry = u32::from(attempt) < ways.client.max_attempts && attempt < u16::MAX;
        if !may_retry || !self.allows_retry(call, failure) {
            return self.call_failed(call, failure);
        }
        let ways = &self.routes[route as usize];
        if matches!(ways.role, Role::Messages(_)) {
            return self.message_waits(call);
        }
        let flow = &mut self.flows[ways.flow as usize];
        let doubled = ways.client.backoff_base.times(1u64 << (attempt - 1).min(62));
        let longest = doubled.min(ways.client.backoff_max).as_nanos();
        let mut draw = Split::new(luck, Purpose::RetryJitter, u64::from(attempt));
        let span = if ways.client.full_jitter { draw.below(longest.saturating_add(1)) } else { longest };
        flow.counts.in_backoff += 1;
        let due = self.now.saturating_add(span);
        let state = &mut self.calls[call];
        (state.state, state.due, state.job) = (CallState::Backoff, due, NONE);
        self.calendar.push(due, Kind::BackoffOver, call);
    }

    /// Whether budget, tokens and breaker let a call be tried again; what that costs is paid.
    fn allows_retry(&mut self, call: u32, failure: Failure) -> bool {
        let Call { route, link, .. } = self.calls[call];
        let ways = &mut self.routes[route as usize];
        if link != NONE && ways.client.circuit_breaker.as_ref().is_some_and(|breaker| self.links[link].retries >= breaker.max_retries) {
            return false;
        }
        if ways.budget.as_mut().is_some_and(|budget| !budget.withdraw(self.now)) {
            return false;
        }
        if link == NONE {
            return true;
        }
        let state = &mut self.links[link];
        let paid = ways.client.token_bucket.as_ref().is_none_or(|bucket| state.pay(bucket, failure == Failure::TimedOut));
        state.retries += u32::from(paid);
        paid
    }

    /// A call is given up.
    fn call_failed(&mut self, call: u32, failure: Failure) {
        let Call { route, parent, .. } = self.calls[call];
        failure.count(&mut self.flows[self.routes[route as usize].flow as usize].counts);
        self.call_over(call, parent, false);
    }

    fn call_over(&mut self, call: u32, parent: u32, ok: bool) {
        let Call { route, luck, station, client, .. } = self.calls[call];
        self.calls[call].state = CallState::Over;
        self.calls.free(call);
        if let (Role::Cache { miss, hit_ratio: warm, warmup_requests }, true) = (self.routes[route as usize].role, parent != NONE) {
            let served = if station == NONE { 0 } else { self.stations[station].served };
            let hits = hit_ratio(warm, warmup_requests, served);
            if !ok || Split::new(luck, Purpose::Cache, 0).unit() >= hits {
                return self.begin_call(miss, parent, NONE, mix(luck));
            }
        }
        self.over(route, parent, client, ok);
    }

    /// Whoever made a call hears of its end.
    fn over(&mut self, route: u32, parent: u32, client: u32, ok: bool) {
        if parent != NONE {
            self.returns.push((parent, ok));
        } else {
            self.think(self.routes[route as usize].role, client, self.now);
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
        let Call { route, state, link, .. } = self.calls[call];
        let flow = self.routes[route as usize].flow as usize;
        match state {
            CallState::Over => return,
            CallState::InFlight => self.give_up_attempt(call),
            CallState::Backoff => {
                self.flows[flow].counts.in_backoff -= 1;
                if link != NONE {
                    self.links[link].retries -= 1;
                }
            }
        }
        Failure::Failed.count(&mut self.flows[flow].counts);
        self.calls[call].state = CallState::Over;
        self.calls.free(call);
    }
}
