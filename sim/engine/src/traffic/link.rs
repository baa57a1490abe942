//! What one caller remembers of one callee: connections, retry tokens, who failed, what was rejected.
//!
//! A link exists for each pair of a route and the process that makes its calls (each client of a source, or the source),
//! and only where the route has something to remember. All of it ends with the process.
//!
//! Invariants: `connected` counts attempts between sending and their end; `retries` those that are not
//! first ones, waiting or under way; whoever waits for a connection is in flight for everybody else.

use std::collections::VecDeque;

use api::Uid;

use super::kept::Pool;
use crate::random::Stream;
use crate::spec::{CircuitBreaker, Client, ClientThrottle, TokenBucket};

/// Parts in which a throttle's window is forgotten.
const THROTTLE_BINS: u64 = 12;

pub(super) struct Link {
    pub(super) connected: u32,
    pub(super) retries: u32,
    /// Calls that wait for a connection, with the deadline they had when they came.
    pub(super) waiting: VecDeque<(u64, u32)>,
    tokens: i64,
    throttle: Throttle,
    outliers: Vec<Outlier>,
    /// Connections that are used again.
    pub(super) kept: Pool,
    /// The pod behind a headless Service that it stays with, and until when.
    pub(super) pinned: Option<(Uid, u64)>,
}

/// An endpoint that has failed lately.
struct Outlier {
    station: u32,
    in_a_row: u32,
    times: u32,
    ejected_until: u64,
}

struct Throttle {
    /// Requests and accepted ones by part of the window.
    bins: [(u32, u32); THROTTLE_BINS as usize],
    part: u64,
    stream: Stream,
}

impl Link {
    /// Whether calls made so leave anything to remember.
    pub(super) const fn is_needed(client: &Client) -> bool {
        client.token_bucket.is_some()
            || client.circuit_breaker.is_some()
            || client.throttle.is_some()
            || client.connection_pool.is_some()
            || client.connections.is_some()
            || client.dns.pinned
    }

    pub(super) fn new(client: &Client, stream: Stream) -> Self {
        Self {
            connected: 0,
            retries: 0,
            waiting: VecDeque::new(),
            tokens: client.token_bucket.map_or(0, |bucket| i64::from(bucket.capacity)),
            throttle: Throttle { bins: [(0, 0); THROTTLE_BINS as usize], part: 0, stream },
            outliers: Vec::new(),
            kept: Pool::default(),
            pinned: None,
        }
    }

    /// Pays for a retry.
    pub(super) fn pay(&mut self, bucket: &TokenBucket, timed_out: bool) -> bool {
        let cost = i64::from(if timed_out { bucket.timeout_cost } else { bucket.cost });
        if self.tokens < cost {
            return false;
        }
        self.tokens -= cost;
        true
    }

    /// A success gives tokens; that of a retry what the retry has cost.
    pub(super) fn refund(&mut self, bucket: &TokenBucket, retry: bool) {
        let given = if retry { bucket.cost } else { bucket.refill };
        self.tokens = (self.tokens + i64::from(given)).min(i64::from(bucket.capacity));
    }

    /// Whether the caller itself rejects a request: with probability `(requests - k accepts) / (requests + 1)`.
    pub(super) fn rejects(&mut self, throttle: &ClientThrottle, now: u64) -> bool {
        self.throttle.forget(throttle, now);
        let (requests, accepts) = self.throttle.sums();
        let excess = (requests - throttle.k * accepts) / (requests + 1.0);
        self.throttle.current().0 += 1;
        excess > 0.0 && self.throttle.stream.unit() < excess
    }

    /// The callee has accepted a request.
    pub(super) fn accepted(&mut self, throttle: &ClientThrottle, now: u64) {
        self.throttle.forget(throttle, now);
        self.throttle.current().1 += 1;
    }

    /// How an attempt at an endpoint ended; `of` endpoints are listed.
    pub(super) fn tell(&mut self, breaker: &CircuitBreaker, station: u32, ok: bool, of: usize, now: u64) {
        if breaker.consecutive == 0 {
            return;
        }
        let ejected = self.outliers.iter().filter(|outlier| outlier.ejected_until > now).count();
        let place = match self.outliers.iter().position(|outlier| outlier.station == station) {
            Some(place) => place,
            None if ok => return,
            None => {
                self.outliers.push(Outlier { station, in_a_row: 0, times: 0, ejected_until: 0 });
                self.outliers.len() - 1
            }
        };
        let outlier = &mut self.outliers[place];
        outlier.in_a_row = if ok { 0 } else { outlier.in_a_row + 1 };
        // Envoy ejects one endpoint at least, however small the share.
        let room = ejected == 0 || ((ejected + 1) as f64) <= breaker.max_ejection * of as f64;
        if outlier.in_a_row >= breaker.consecutive && outlier.ejected_until <= now && room {
            outlier.in_a_row = 0;
            outlier.times += 1;
            outlier.ejected_until = now.saturating_add(breaker.open_for.times(u64::from(outlier.times)).as_nanos());
        }
    }

    /// Whether any endpoint is left alone at present.
    pub(super) fn leaves_out_any(&self, now: u64) -> bool {
        self.outliers.iter().any(|outlier| outlier.ejected_until > now)
    }

    /// Whether this endpoint is left alone.
    pub(super) fn leaves_out(&self, station: u32, now: u64) -> bool {
        self.outliers.iter().any(|outlier| outlier.station == station && outlier.ejected_until > now)
    }
}

impl Throttle {
    fn forget(&mut self, settings: &ClientThrottle, now: u64) {
        let part = now / (settings.window.as_nanos() / THROTTLE_BINS).max(1);
        for gone in 0..(part - self.part).min(THROTTLE_BINS) {
            self.bins[((part - gone) % THROTTLE_BINS) as usize] = (0, 0);
        }
        self.part = part;
    }
    fn current(&mut self) -> &mut (u32, u32) {
        &mut self.bins[(self.part % THROTTLE_BINS) as usize]
    }
    fn sums(&self) -> (f64, f64) {
        let sums = self.bins.iter().fold((0u64, 0u64), |sum, bin| (sum.0 + u64::from(bin.0), sum.1 + u64::from(bin.1)));
        (sums.0 as f64, sums.1 as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Streams};

    fn link(client: &Client) -> Link {
        Link::new(client, Streams::new(1).stream(Purpose::Throttle, 1))
    }

    #[test]
    fn retry_tokens_run_out_and_come_back_with_successes() {
        let bucket = TokenBucket { capacity: 20, ..TokenBucket::default() };
        let mut link = link(&Client { token_bucket: Some(bucket), ..Client::default() });
        assert_eq!([false, true, false, false].map(|timed_out| link.pay(&bucket, timed_out)), [true, true, true, false]);
        (0..4).for_each(|_| link.refund(&bucket, false));
        assert!(!link.pay(&bucket, false));
        link.refund(&bucket, true);
        assert!(link.pay(&bucket, false));
    }

    #[test]
    fn five_failures_in_a_row_leave_an_endpoint_alone_for_ever_longer() {
        let breaker = CircuitBreaker::default();
        let mut link = link(&Client::default());
        let second = 1_000_000_000;
        for (failures, ok) in [(4, true), (4, false)] {
            (0..failures).for_each(|_| link.tell(&breaker, 7, false, 10, 0));
            assert!(!link.leaves_out_any(0));
            link.tell(&breaker, 7, ok, 10, 0);
        }
        assert!(link.leaves_out(7, 0) && link.leaves_out(7, 30 * second - 1) && !link.leaves_out(7, 30 * second));
        (0..9).for_each(|_| link.tell(&breaker, 8, false, 10, second));
        assert!(!link.leaves_out(8, second), "a tenth of ten is one");
        (0..5).for_each(|_| link.tell(&breaker, 7, false, 10, 30 * second));
        assert!(link.leaves_out(7, 89 * second));
    }
}
