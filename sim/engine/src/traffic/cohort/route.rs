//! Routes: who asks whom, as which client, and what the callers remember.
//!
//! Callers of one route are alike: each has the mean of what is under way, of tokens and of connections, and all leave the
//! same endpoints alone. Limits that a caller meets by chance before its mean does are those of a loss or waiting system
//! with as many lines (`table.rs`), known from the mean number of lines taken.
//!
//! Invariants: `connected` counts grains between sending and the end of an attempt, `retrying` those of attempts after the
//! first, waiting or under way; who waits for a connection is in flight for everybody else.

use std::collections::VecDeque;

use super::kernel::DEMANDS;
use super::outcome::Ways;
use super::outliers::Outliers;
use super::pool::{Attempt, Callers, Left, Pool};
use super::table::{Arrivals, Shape, Table, table_of};
use super::{Cohort, Failure, GRAINS, MOST_ATTEMPTS};
use crate::spec::{Client, TokenBucket};

/// Parts in which a throttle's window is forgotten.
const THROTTLE_BINS: u64 = 12;

/// More lines than that are as good as any number.
const MOST_LINES: u32 = 20_000;

pub(super) struct RouteState {
    pub(super) flow: u32,
    pub(super) client: Client,
    /// Attempts of this step by number, with their mean time since the intended start.
    pub(super) incoming: Vec<(u64, f64)>,
    /// Retry budget, in grains.
    budget: f64,
    /// Share of wanted retries that was allowed of late.
    pub(super) allowed: f64,
    /// Throttle: requests and accepted ones by part of the window.
    bins: VecDeque<(u64, f64, f64)>,
    /// Share of calls that succeed, retries included, as of the last step.
    pub(super) succeeds: f64,
    /// Fractions of grains that calls have not made yet.
    pub(super) carry: f64,
    /// Share of attempts that fail, by demand, as of a time-out ago; once any is late.
    pub(super) fails: Option<Box<[f64; DEMANDS]>>,
    /// How attempts ended in the last step.
    pub(super) ways: Ways,
    /// Who asks; at least one.
    pub(super) callers: f64,
    /// Grains, and how many they were when this step began.
    pub(super) connected: u64,
    pub(super) taken: u64,
    retrying: u64,
    /// How long an attempt holds its connection, in the mean of the last step, in seconds.
    pub(super) holds: f64,
    /// Tokens of each caller.
    purse: f64,
    /// Lines of requests and of retries, where there is a breaker; connections, where there is a pool: their tables.
    lines: [Option<usize>; 2],
    pool: Option<Pool>,
    /// Shares of this step's attempts that the callers rejected by themselves, that found no line free, and whose time was
    /// over before they had a connection.
    pub(super) rejected: f64,
    pub(super) blocked: f64,
    pub(super) expired: f64,
    pub(super) outliers: Outliers,
}

impl RouteState {
    pub(super) fn new(flow: u32, client: &Client, tables: &mut Vec<Table>) -> Self {
        let mut lines = |workers: u32, room| {
            let shape = Shape { workers: workers.max(1), room, demand_cv2: 1.0, arrivals: Arrivals::POISSON, least_of_two: false };
            table_of(tables, shape)
        };
        let most = client.circuit_breaker.map_or([u32::MAX; 2], |breaker| [breaker.max_requests, breaker.max_retries]);
        let taken = most.map(|most| (most <= MOST_LINES).then(|| lines(most, u64::from(most))));
        let pool = client.connection_pool.filter(|most| *most <= MOST_LINES).map(|most| Pool::new(lines(most, u64::MAX), most));
        Self {
            flow,
            client: client.clone(),
            incoming: Vec::new(),
            budget: 0.0,
            allowed: 1.0,
            bins: VecDeque::new(),
            succeeds: 1.0,
            carry: 0.0,
            fails: None,
            ways: Ways::default(),
            callers: 1.0,
            connected: 0,
            taken: 0,
            retrying: 0,
            holds: 0.0,
            purse: client.token_bucket.map_or(0.0, |bucket| f64::from(bucket.capacity)),
            lines: taken,
            pool,
            rejected: 0.0,
            blocked: 0.0,
            expired: 0.0,
            outliers: Outliers::default(),
        }
    }

    /// Attempts of this step.
    pub(super) fn add(&mut self, attempt: usize, grains: u64, delay: f64) {
        if self.incoming.len() < attempt {
            self.incoming.resize(attempt, (0, 0.0));
        }
        let (sum, mean) = &mut self.incoming[attempt - 1];
        let total = *sum + grains;
        if total > 0 {
            *mean += (delay - *mean) * (grains as f64 / total as f64);
        }
        *sum = total;
    }

    /// Attempts of one request.
    pub(super) fn attempts(&self) -> u32 {
        self.client.max_attempts.min(MOST_ATTEMPTS as u32)
    }

    /// From the start of an attempt to its end, less what it has waited for a connection, in seconds.
    pub(super) fn timeout(&self) -> f64 {
        (self.client.timeout.as_secs_f64() - self.waited()).max(0.0)
    }
    /// For a connection, in seconds.
    fn waited(&self) -> f64 {
        self.pool.as_ref().map_or(0.0, |pool| pool.waited)
    }
    /// The same for those who come now, with this uniform number.
    pub(super) fn will_wait(&self, uniform: f64) -> f64 {
        self.pool.as_ref().map_or(0.0, |pool| pool.will_wait(uniform))
    }

    /// Attempts ended well.
    pub(super) fn accepted(&mut self, attempt: u32, grains: u64) {
        if let Some((_, _, accepts)) = self.bins.back_mut() {
            *accepts += grains as f64;
        }
        if let Some(TokenBucket { capacity, cost, refill, .. }) = self.client.token_bucket {
            let given = f64::from(if attempt > 1 { cost } else { refill }) * requests(grains) / self.callers;
            self.purse = (self.purse + given).min(f64::from(capacity));
        }
        self.ended(attempt, grains);
    }

    /// Attempts ended, well or not.
    pub(super) const fn ended(&mut self, attempt: u32, grains: u64) {
        if attempt > 1 {
            self.retrying = self.retrying.saturating_sub(grains);
        }
    }

    /// Share of requests that the caller rejects by itself.
    pub(super) fn rejects(&mut self, requests: u64, now: u64) -> f64 {
        let Some(throttle) = self.client.throttle else { return 0.0 };
        let part = now / (throttle.window.as_nanos() / THROTTLE_BINS).max(1);
        if self.bins.back().is_none_or(|(last, ..)| *last != part) {
            self.bins.push_back((part, 0.0, 0.0));
        }
        while self.bins.front().is_some_and(|(first, ..)| first + THROTTLE_BINS <= part) {
            self.bins.pop_front();
        }
        let (asked, accepts) = self.bins.iter().fold((0.0, 0.0), |sum, bin| (sum.0 + bin.1, sum.1 + bin.2));
        if let Some((_, asked, _)) = self.bins.back_mut() {
            *asked += requests as f64;
        }
        ((asked - throttle.k * accepts) / (asked + GRAINS as f64)).max(0.0)
    }

    /// Requests put into the retry budget. Deposits are forgotten after ten seconds: no more than those of ten seconds are kept.
    fn deposit(&mut self, grains: u64, d: f64) {
        if let Some((ratio, _)) = self.client.retry_budget {
            let deposit = ratio * grains as f64;
            self.budget = (self.budget + deposit).min(deposit / d.max(1e-9) * 10.0);
        }
    }

    /// Of attempts that failed and may be tried again, those that breaker, budget and tokens let through, paid for.
    pub(super) fn allow_retries(&mut self, grains: u64, failure: Failure, tables: &[Table]) -> u64 {
        if grains == 0 {
            return 0;
        }
        let mut again = grains;
        if let (Some(retries), Some(breaker)) = (self.lines[1], self.client.circuit_breaker) {
            let taken = requests(self.retrying) / self.callers;
            let free = 1.0 - tables[retries].at(taken).block;
            let room = (f64::from(breaker.max_retries) - taken).max(0.0) * self.callers * GRAINS as f64;
            again = ((again as f64 * free) as u64).min(room as u64);
        }
        if let Some((_, least)) = self.client.retry_budget {
            again = again.min((self.budget + least * GRAINS as f64 * 10.0).max(0.0) as u64);
        }
        if let Some(bucket) = self.client.token_bucket {
            let cost = f64::from(if failure == Failure::TimedOut { bucket.timeout_cost } else { bucket.cost }).max(1e-9);
            again = again.min((self.purse * self.callers / cost * GRAINS as f64) as u64);
            self.purse = (self.purse - requests(again) * cost / self.callers).max(0.0);
        }
        if self.client.retry_budget.is_some() {
            self.budget -= again as f64;
        }
        self.retrying += again;
        self.allowed += (again as f64 / grains as f64 - self.allowed) * 0.2;
        again
    }

    /// Share of attempts that find all of their caller's lines taken.
    fn blocked(&self, wanted: u64, d: f64, tables: &[Table]) -> f64 {
        let (Some(lines), Some(breaker)) = (self.lines[0], self.client.circuit_breaker) else { return 0.0 };
        let (taken, new) = (requests(self.taken) / self.callers, requests(wanted) / self.callers);
        // Those of a step end during it as those before them do.
        let stay = if self.holds > 0.0 { libm::exp(-d / self.holds) } else { 0.0 };
        let held = if self.holds > 0.0 { self.holds / d * (1.0 - stay) } else { 0.0 };
        let room = (f64::from(breaker.max_requests) - taken * stay).max(0.0);
        let beyond = if room <= 0.0 {
            1.0
        } else if new * held > room {
            1.0 - room / (new * held)
        } else {
            0.0
        };
        tables[lines].at(taken).block.max(beyond).min(1.0)
    }

    /// A step of the pool, if there is one: what is left of this step's attempts is sent. Gives those whose time is over.
    fn pass_pool(&mut self, now: u64, end: u64, tables: &[Table]) -> Vec<Attempt> {
        let Some(pool) = &mut self.pool else { return Vec::new() };
        let timeout = self.client.timeout.as_nanos();
        let callers = Callers { now, end, count: self.callers, taken: self.taken, holds: self.holds, timeout };
        let came = (1..).zip(std::mem::take(&mut self.incoming)).map(|(number, (grains, delay))| Attempt { number, grains, delay });
        let Left { sent, over } = pool.pass(came, &callers, tables);
        sent.into_iter().for_each(|Attempt { number, grains, delay }| self.add(number as usize, grains, delay));
        over
    }

    /// Whether its callers have a number of requests or of connections that they do not go beyond.
    pub(super) const fn has_limits(&self) -> bool {
        self.lines[0].is_some() || self.pool.is_some()
    }

    /// Whether as good as nobody waits for a connection, or is turned away for want of a line.
    fn has_room(&self) -> bool {
        let limit = self.client.circuit_breaker.map(|breaker| f64::from(breaker.max_requests));
        let taken = requests(self.taken) / self.callers;
        limit.is_none_or(|most| taken < 0.8 * most) && self.pool.as_ref().is_none_or(|pool| taken < 0.8 * pool.most)
    }
}

/// Grains as requests.
const fn requests(grains: u64) -> f64 {
    grains as f64 / GRAINS as f64
}

impl Cohort {
    /// New requests of a route.
    pub(super) fn arrive(&mut self, route: u32, grains: u64, d: f64) {
        let route = &mut self.routes[route as usize];
        self.flows[route.flow as usize].totals.arrived += grains;
        route.add(1, grains, 0.0);
        route.deposit(grains, d);
    }

    /// What a route's callers let through of this step's attempts: less what they reject by themselves, what finds no line
    /// free, and what waits for a connection. Gives the grains that are sent.
    pub(super) fn admit(&mut self, route: u32, end: u64, d: f64) -> u64 {
        let wanted = self.throttle(route);
        let state = &self.routes[route as usize];
        if !state.has_limits() {
            return wanted;
        }
        let blocked = state.blocked(wanted, d, &self.tables);
        self.routes[route as usize].blocked = blocked;
        self.critical |= blocked > 0.001;
        for attempt in 1..=self.routes[route as usize].incoming.len() as u32 {
            let (grains, delay) = &mut self.routes[route as usize].incoming[attempt as usize - 1];
            let part = (*grains as f64 * blocked) as u64;
            *grains -= part;
            let delay = *delay;
            self.attempt_failed(route, attempt, part, Failure::Shed, delay, end);
        }
        let mut expired = 0;
        for Attempt { number, grains, delay } in self.routes[route as usize].pass_pool(self.now, end, &self.tables) {
            expired += grains;
            self.attempt_failed(route, number, grains, Failure::TimedOut, delay, end);
        }
        let state = &mut self.routes[route as usize];
        let sent: u64 = state.incoming.iter().map(|(grains, _)| grains).sum();
        let overdue = state.pool.as_ref().is_some_and(|pool| pool.overdue);
        state.expired = if overdue { expired as f64 / (expired + sent).max(1) as f64 } else { 0.0 };
        self.critical |= !state.has_room();
        sent
    }

    /// What a route's callers reject by themselves; how many attempts are left.
    fn throttle(&mut self, route: u32) -> u64 {
        let now = self.now;
        let state = &mut self.routes[route as usize];
        let wanted: u64 = state.incoming.iter().map(|(grains, _)| grains).sum();
        let share = state.rejects(wanted, now);
        state.rejected = share;
        let mut rejected = 0;
        if share > 0.0 {
            for attempt in 1..=state.incoming.len() {
                let grains = &mut state.incoming[attempt - 1].0;
                let part = (*grains as f64 * share) as u64;
                *grains -= part;
                rejected += part;
                state.ended(attempt as u32, part);
            }
            self.flows[state.flow as usize].totals.shed += rejected;
        }
        wanted - rejected
    }

    /// Callers of a route remember which pods have failed them in a step; `late` is the share of late answers.
    pub(super) fn remember_outliers(&mut self, route: u32, sent: u64, late: f64) {
        let state = &self.routes[route as usize];
        let ways = state.ways;
        let Some(breaker) = state.client.circuit_breaker.filter(|breaker| breaker.consecutive > 0) else { return };
        let targets = self.services[self.flows[state.flow as usize].service as usize].targets.clone();
        let out = state.outliers.left_out(&targets, self.now);
        let asked = targets.iter().filter(|pod| !out.contains(pod));
        let each = requests(sent) / state.callers / asked.clone().count().max(1) as f64;
        let told: Vec<(u32, f64)> = asked.map(|pod| (*pod, self.fails_at(*pod, late, &ways))).collect();
        let state = &mut self.routes[route as usize];
        state.outliers.keep(&targets);
        for (pod, fails) in told {
            state.outliers.tell(&breaker, pod, each, fails, targets.len(), self.now);
        }
        self.critical |= state.outliers.any_moves(self.now);
    }

    /// Who asks by each route, after a change: pods of the programs that call, clients of a source, or one.
    pub(super) fn count_callers(&mut self) {
        let mut callers = vec![0.0; self.routes.len()];
        for program in &self.programs {
            for route in program.routes() {
                callers[route as usize] += program.pods.len() as f64;
            }
        }
        for source in &self.sources {
            callers[source.route as usize] += source.clients;
        }
        for (route, callers) in self.routes.iter_mut().zip(callers) {
            // Who is new brings a full purse.
            let (before, callers) = (route.callers, f64::max(callers, 1.0));
            if let Some(bucket) = route.client.token_bucket.filter(|_| callers > before) {
                route.purse += (f64::from(bucket.capacity) - route.purse) * (1.0 - before / callers);
            }
            route.callers = callers;
        }
    }
}
