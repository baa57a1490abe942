//! Services that work from a queue: who asks is answered by the queue, who works takes from it.
//!
//! A request to such a service succeeds at once; a message goes into the queue. Pods with a free consumer
//! take messages in order. A message that is not done within its visibility timeout (its pod died, it was
//! answered with an error, it took too long) comes back, until it has been delivered often enough.
//! Messages are a flow of their own, `<service> queue`: waiting ones are in back-off, delivered ones in
//! flight, and their latency is their age when they are done.
//!
//! Invariant: a message waits only while no consumer is free.

use std::collections::VecDeque;

use super::Traffic;
use super::flow::{ANSWER, Call, CallState, Role};
use super::station::Process;
use crate::random::mix;
use crate::spec::{Client, WorkerQueue};

/// Messages of one service, and who works on them.
pub(super) struct Queue {
    pub(super) route: u32,
    waiting: VecDeque<u32>,
    consumers: Vec<u32>,
    /// Where the search for a free consumer begins.
    turn: usize,
}

impl Queue {
    /// Messages that nobody has taken yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }
}

impl Traffic {
    /// A process begins to take messages.
    pub(super) fn consumer_started(&mut self, station: u32, worker: &WorkerQueue) {
        for service in self.programs[self.stations[station].program as usize].services.clone() {
            if self.services[service as usize].queue.is_none() {
                let name = format!("{} queue", self.services[service as usize].name);
                let flow = self.flow(name.into(), false, service);
                let client = Client { timeout: worker.visibility_timeout, max_attempts: worker.max_deliveries.max(1), ..Client::default() };
                let route = self.route(flow, &client, Role::Messages(service));
                let queue = Queue { route, waiting: VecDeque::new(), consumers: Vec::new(), turn: 0 };
                self.services[service as usize].queue = Some(Box::new(queue));
            }
            if let Some(queue) = &mut self.services[service as usize].queue {
                queue.consumers.retain(|other| *other != station);
                queue.consumers.push(station);
            }
        }
        self.consumer_free(station);
    }

    /// Puts a new message into a queue.
    pub(super) fn message(&mut self, route: u32, luck: u64) {
        let flow = self.routes[route as usize].flow as usize;
        self.flows[flow].counts.arrived += 1;
        let (start, state, luck) = (self.now, CallState::Backoff, mix(luck));
        let call = Call { start, luck, route, state, ..Call::NEW };
        let call = self.calls.insert(call);
        self.message_waits(call);
    }

    /// A message is there to be taken.
    pub(super) fn message_waits(&mut self, call: u32) {
        let Call { route, .. } = self.calls[call];
        let Role::Messages(service) = self.routes[route as usize].role else { return };
        self.flows[self.routes[route as usize].flow as usize].counts.in_backoff += 1;
        self.calls[call].state = CallState::Backoff;
        let stations = &self.stations;
        let Some(queue) = &mut self.services[service as usize].queue else { return };
        queue.waiting.push_back(call);
        if queue.waiting.len() > 1 {
            return; // Nobody was free for those before.
        }
        queue.consumers.retain(|station| stations[*station].process == Process::Running);
        let count = queue.consumers.len();
        let free = (0..count).map(|step| (queue.turn + step) % count).find(|place| !stations[queue.consumers[*place]].is_exhausted());
        if let Some(place) = free {
            queue.turn = (place + 1) % count;
            let station = queue.consumers[place];
            self.consumer_free(station);
        }
    }

    /// A consumer may take the next messages.
    pub(super) fn consumer_free(&mut self, station: u32) {
        let program = self.stations[station].program as usize;
        if self.programs[program].behavior.worker.is_none() {
            return;
        }
        for place in 0..self.programs[program].services.len() {
            let service = self.programs[program].services[place] as usize;
            while self.stations[station].process == Process::Running
                && !self.stations[station].is_exhausted()
                && let Some(call) = self.services[service].queue.as_mut().and_then(|queue| queue.waiting.pop_front())
            {
                self.deliver(call, station);
            }
        }
    }

    fn deliver(&mut self, call: u32, station: u32) {
        let Call { route, luck, .. } = self.calls[call];
        let state = &mut self.calls[call];
        state.attempt += 1;
        state.station = station;
        let attempt = state.attempt;
        let counts = &mut self.flows[self.routes[route as usize].flow as usize].counts;
        counts.in_backoff -= 1;
        counts.attempts += 1;
        counts.retries += u64::from(attempt > 1);
        if let Some(job) = self.admit(station, call, luck, attempt) {
            self.in_flight(call, route, job, ANSWER);
        }
    }
}
