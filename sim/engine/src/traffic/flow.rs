//! The client side's data: flows (what is counted), routes (how attempts are made), calls (one request of a flow).
//!
//! Invariants: a call is in exactly one of in flight, in back-off, or over and counted; deadlines of a
//! route are in order, because its timeout is constant, so a ring holds them and only the ring's head is in the calendar.

use std::collections::VecDeque;

use api::Str;
use trace::{Histogram, TrafficCounts};

use super::slab::NONE;
use crate::random::Stream;
use crate::spec::{Client, Via};

/// A source, or all calls of one caller to one callee.
pub(super) struct Flow {
    pub(super) name: Str,
    pub(super) external: bool,
    pub(super) service: u32,
    pub(super) counts: TrafficCounts,
    /// Attempts in the windows before.
    pub(super) attempts_before: u64,
    /// `in_flight + in_backoff` at the last window's end.
    pub(super) open_before: u64,
    pub(super) latency: Histogram,
    /// What a source's requests draw from, one number each.
    pub(super) requests: Stream,
}

/// One way in which a flow's attempts are made.
pub(super) struct Route {
    pub(super) flow: u32,
    pub(super) client: Client,
    pub(super) role: Role,
    /// Its callers remember something.
    pub(super) linked: bool,
    pub(super) budget: Option<Budget>,
    pub(super) deadlines: [Ring; 2],
    /// Of a source: where it comes in, from which address, and how many clients it has (zero: nobody knows).
    pub(super) via: Via,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) clients: u32,
}

/// What a route is for, beyond making attempts.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) enum Role {
    /// Nothing.
    #[default]
    Plain,
    /// Users of this source wait for the answers.
    Users(u32),
    /// Messages of this service's queue.
    Messages(u32),
    /// A cache: what it does not know is asked there.
    Cache {
        /// Route.
        miss: u32,
        /// Hits of a warm cache.
        hit_ratio: f64,
        /// Requests after which it is warm by two thirds.
        warmup_requests: f64,
    },
}

/// Hits of a cache that has seen `n` requests.
pub(super) fn hit_ratio(warm: f64, warmup_requests: f64, n: u64) -> f64 {
    if warmup_requests > 0.0 { -warm * libm::expm1(-(n as f64) / warmup_requests) } else { warm }
}

/// Which of a route's two constant delays a deadline has.
pub(super) const ANSWER: usize = 0;
pub(super) const CONNECT: usize = 1;

/// Deadlines in order, with the calls that they are for. Stale ones stay until they reach the head.
#[derive(Default)]
pub(super) struct Ring {
    pub(super) entries: VecDeque<(u64, u32)>,
    pub(super) armed: bool,
}

/// What a call is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallState {
    Over,
    InFlight,
    Backoff,
}

/// One request of a flow, with the attempt under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Intended start.
    pub(super) start: u64,
    /// Deadline of the attempt, or end of the back-off.
    pub(super) due: u64,
    /// Everything random about it.
    pub(super) luck: u64,
    pub(super) route: u32,
    /// The job that makes it; `NONE` for a source's.
    pub(super) parent: u32,
    /// The job that the attempt is, at the callee.
    pub(super) job: u32,
    /// What its caller remembers; `NONE` when nothing is to be.
    pub(super) link: u32,
    /// Whom the attempt went to.
    pub(super) station: u32,
    /// Which of its source's clients makes it; `NONE` when nobody is known.
    pub(super) client: u32,
    /// The node on which its connection is counted; `NONE` when it is not.
    pub(super) counted_by: u32,
    pub(super) attempt: u16,
    pub(super) state: CallState,
    /// It holds a connection of its link.
    pub(super) connected: bool,
}

impl Call {
    /// Of which nothing is known.
    pub(super) const NEW: Self = Self {
        start: 0,
        due: 0,
        luck: 0,
        route: NONE,
        parent: NONE,
        job: NONE,
        link: NONE,
        station: NONE,
        client: NONE,
        counted_by: NONE,
        attempt: 0,
        state: CallState::Backoff,
        connected: false,
    };
}

/// How an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    Shed,
    Refused,
    TimedOut,
    Failed,
}

impl Failure {
    /// Counts a call that was given up.
    pub(super) const fn count(self, counts: &mut TrafficCounts) {
        match self {
            Self::Shed => counts.shed += 1,
            Self::Refused => counts.refused += 1,
            Self::TimedOut => counts.timed_out += 1,
            Self::Failed => counts.failed += 1,
        }
    }
}

const BUDGET_SECONDS: u64 = 10;
/// One retry, in the budget's units.
const RETRY: i64 = 1000;

/// Finagle's RetryBudget: in any ten seconds no more retries than `ratio` per request plus a reserve per second.
pub(super) struct Budget {
    ratio: i64,
    reserve: i64,
    /// Deposits minus withdrawals by second.
    bins: [i64; BUDGET_SECONDS as usize],
    second: u64,
}

impl Budget {
    pub(super) fn new((ratio, min_per_second): (f64, f64)) -> Self {
        let units = |retries: f64| (retries * RETRY as f64 + 0.5) as i64;
        Self { ratio: units(ratio), reserve: units(min_per_second * BUDGET_SECONDS as f64), bins: [0; BUDGET_SECONDS as usize], second: 0 }
    }

    fn bin(&mut self, now: u64) -> &mut i64 {
        let second = now / 1_000_000_000;
        let passed = (second - self.second).min(BUDGET_SECONDS);
        for gone in 0..passed {
            self.bins[((second - gone) % BUDGET_SECONDS) as usize] = 0;
        }
        self.second = second;
        &mut self.bins[(second % BUDGET_SECONDS) as usize]
    }

    pub(super) fn deposit(&mut self, now: u64) {
        let ratio = self.ratio;
        *self.bin(now) += ratio;
    }

    pub(super) fn withdraw(&mut self, now: u64) -> bool {
        self.bin(now);
        if self.bins.iter().sum::<i64>() + self.reserve < RETRY {
            return false;
        }
        *self.bin(now) -= RETRY;
        true
    }
}
