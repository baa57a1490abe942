//! Connections that a caller uses again: whoever has one goes where it leads, whatever the endpoints are by now.
//!
//! HTTP/1.1 keep-alive has one request at a time on a connection and takes the one used last; HTTP/2 (gRPC) has
//! all of a caller's requests on one. A connection ends with its server's process (also when that is told to
//! terminate: no new request on it), by its age, its number of requests, or its idle time; one that has become
//! silent is only given up after long (`gives_up_after`), and under HTTP/1.1 by the first request that times out.
//!
//! Not here: how a new connection finds its endpoint (`reach.rs`).

use crate::spec::Connections;

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) station: u32,
    /// The server's process, by number.
    pub(super) epoch: u32,
    /// The node it came in by; `NONE` when by none.
    pub(super) via: u32,
    opened_at: u64,
    used_at: u64,
    pub(super) heard_at: u64,
    requests: u32,
    /// Requests on it now.
    streams: u32,
}

/// The connections of one caller to one Service.
#[derive(Default)]
pub(super) struct Pool {
    /// Nobody's, the one used last at the end.
    idle: Vec<Kept>,
    busy: Vec<Kept>,
}

impl Pool {
    /// A connection for one more request, if there is one: its station, and the node it came in by.
    pub(super) fn take(&mut self, settings: &Connections, now: u64, alive: impl Fn(&Kept) -> bool) -> Option<(u32, u32)> {
        let old = |kept: &Kept| {
            settings.lifetime.is_some_and(|most| now - kept.opened_at >= most.as_nanos())
                || settings.most_requests.is_some_and(|most| kept.requests >= most)
        };
        let rested = |kept: &Kept| now - kept.used_at >= settings.idle_timeout.as_nanos();
        if settings.multiplexed
            && let Some(kept) = self.busy.iter_mut().find(|kept| alive(kept) && !old(kept))
        {
            kept.requests += 1;
            kept.streams += 1;
            return Some((kept.station, kept.via));
        }
        while let Some(mut kept) = self.idle.pop() {
            if alive(&kept) && !old(&kept) && !rested(&kept) {
                kept.requests += 1;
                kept.streams = 1;
                self.busy.push(kept);
                return Some((kept.station, kept.via));
            }
        }
        None
    }

    /// A new connection, with its first request.
    pub(super) fn open(&mut self, station: u32, epoch: u32, via: u32, now: u64) {
        self.busy.push(Kept { station, epoch, via, opened_at: now, used_at: now, heard_at: now, requests: 1, streams: 1 });
    }

    /// A request on a connection to `station` is over; unless it is `broken`, others may follow it.
    pub(super) fn give_back(&mut self, settings: &Connections, station: u32, broken: bool, now: u64) {
        let Some(place) = self.busy.iter().position(|kept| kept.station == station) else { return };
        let kept = &mut self.busy[place];
        kept.streams -= 1;
        kept.used_at = now;
        if !broken {
            kept.heard_at = now;
        }
        if kept.streams == 0 {
            let kept = self.busy.swap_remove(place);
            if !broken || settings.multiplexed {
                self.idle.push(kept);
            }
        }
    }

    /// Connections, used or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.len() + self.busy.len()
    }
}

#[cfg(test)]
mod tests {
    use api::SimDuration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn one_request_at_a_time_under_http_1_and_all_at_once_under_http_2() {
        let mut pool = Pool::default();
        let plain = Connections::default();
        pool.open(1, 0, 9, 0);
        assert_eq!(pool.take(&plain, 0, |_| true), None, "the only one is busy");
        pool.open(2, 0, 9, 0);
        pool.give_back(&plain, 1, false, 1);
        pool.give_back(&plain, 2, false, 2);
        assert_eq!(pool.take(&plain, 3, |_| true), Some((2, 9)), "the one used last");
        assert_eq!(pool.len(), 2);
        let shared = Connections { multiplexed: true, ..plain };
        assert_eq!(pool.take(&shared, 3, |_| true), Some((2, 9)));
        pool.give_back(&shared, 2, true, 4);
        assert_eq!(pool.take(&shared, 3, |_| true), Some((2, 9)), "a time-out ends no HTTP/2 connection");
    }

    #[test]
    fn a_connection_ends_by_age_requests_rest_timeouts_and_its_server() {
        let usual = Connections::default();
        let after = |settings: Connections, broken, at: u64, alive: bool| {
            let mut pool = Pool::default();
            pool.open(1, 0, 9, 0);
            pool.give_back(&settings, 1, broken, SECOND);
            pool.take(&settings, at, |_| alive).is_some()
        };
        assert!(after(usual, false, 90 * SECOND, true));
        assert!(!after(usual, false, 91 * SECOND, true), "idle for 90 s");
        assert!(!after(usual, true, 2 * SECOND, true), "timed out");
        assert!(!after(usual, false, 2 * SECOND, false), "its server is gone");
        assert!(!after(Connections { most_requests: Some(1), ..usual }, false, 2 * SECOND, true));
        assert!(!after(Connections { lifetime: Some(SimDuration::from_secs(2)), ..usual }, false, 2 * SECOND, true));
    }
}
