//! The image puller of a node: who waits for which image, and how far each pull has come.
//!
//! Upstream: pkg/kubelet/images/puller.go (serial: one after the other; parallel: so many at once, or all) and
//! helpers.go (the limit of pulls per second, beyond which a pull fails at once).
//!
//! Invariants:
//! - Pulls begin in the order in which they were asked for.
//! - Pulls of a known size share the node's bandwidth evenly; a given time is nobody's but its own.
//! - An image is fetched once: whoever asks for it meanwhile is done when that pull is.
//!
//! Not modelled: layers that images share, and the queue's own length of ten.

use std::collections::VecDeque;

use api::{SimDuration, SimTime, Str};

use crate::spec::KubeletSettings;
use crate::store::PodId;

/// What it costs to fetch an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// A given time.
    Time(SimDuration),
    /// So many bytes.
    Bytes(i64),
}

/// A pull that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) pod: PodId,
    pub(super) image: Str,
    /// When the node lacks the image.
    pub(super) whole: Work,
    /// When it has it: the registry is only asked.
    pub(super) check: SimDuration,
    /// Bytes on disk afterwards.
    pub(super) size: i64,
    /// It will end in an error.
    pub(super) fails: bool,
    pub(super) asked: SimTime,
}

/// A pull that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    pub(super) request: Request,
    /// How long it took once its turn had come.
    pub(super) took: SimDuration,
    /// There were too many in a short time.
    pub(super) refused: bool,
    /// It brought the image here.
    pub(super) fetched: bool,
}

/// How far a pull is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    Until(SimTime),
    /// Bytes times nanoseconds per second.
    Bytes(u128),
    /// Another pull fetches the same image.
    Behind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Pull {
    request: Request,
    began: SimTime,
    left: Left,
    refused: bool,
    fetches: bool,
}

/// What a puller goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Limits {
    /// Pulls at once.
    at_once: usize,
    qps: f64,
    burst: u32,
    /// Bytes per second.
    pub(super) bandwidth: i64,
}

impl Limits {
    pub(super) fn new(settings: &KubeletSettings, bandwidth: i64) -> Self {
        let at_once = match (settings.serialize_image_pulls, settings.max_parallel_image_pulls) {
            (true, _) => 1,
            (false, 0) => usize::MAX,
            (false, most) => most as usize,
        };
        Self { at_once, qps: settings.registry_pull_qps, burst: settings.registry_burst, bandwidth: bandwidth.max(1) }
    }
}

/// The pulls of one node.
#[derive(Default, Debug)]
pub(super) struct Puller {
    waiting: VecDeque<Request>,
    running: Vec<Pull>,
    /// Until when the running ones have been brought forward.
    seen: SimTime,
    /// When the bucket of pulls per second is full again.
    full_at: SimTime,
}

const SECOND: u128 = 1_000_000_000;

impl Puller {
    pub(super) fn ask(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// Forgets what this pod waits for; whether it did.
    pub(super) fn cancel(&mut self, pod: PodId) -> bool {
        let before = self.waiting.len() + self.running.len();
        self.waiting.retain(|request| request.pod != pod);
        self.running.retain(|pull| pull.request.pod != pod);
        self.lead();
        before != self.waiting.len() + self.running.len()
    }

    /// Whoever asks has gone.
    pub(super) fn clear(&mut self) {
        (self.waiting, self.running) = (VecDeque::new(), Vec::new());
    }

    /// Brings all forward to `now`, begins what can begin, and gives what has ended, in the order of beginning.
    /// `has` says whether the node has an image.
    pub(super) fn advance(&mut self, now: SimTime, limits: &Limits, has: impl Fn(&Str) -> bool) -> Option<Ended> {
        self.progress(now, limits);
        while self.running.len() < limits.at_once {
            let Some(request) = self.waiting.pop_front() else { break };
            self.begin(request, now, limits, &has);
        }
        let over = |pull: &Pull| matches!(pull.left, Left::Until(at) if at <= now) || pull.left == Left::Bytes(0);
        let place = self.running.iter().position(over)?;
        let Pull { request, began, refused, fetches, .. } = self.running.remove(place);
        if self.waiting.is_empty() && self.running.is_empty() {
            // An idle node keeps no room for pulls: at a start they take kilobytes of it.
            self.clear();
        }
        if fetches && !request.fails {
            for behind in self.running.iter_mut().filter(|pull| pull.left == Left::Behind && pull.request.image == request.image) {
                behind.left = Left::Until(now);
            }
        }
        self.lead();
        let fetched = fetches && !request.fails;
        Some(Ended { request, took: now.since(began), refused, fetched })
    }

    /// When the next pull ends, as things stand.
    pub(super) fn next_end(&self, limits: &Limits) -> Option<SimTime> {
        let sharers = self.sharers();
        let end = |pull: &Pull| match pull.left {
            Left::Until(at) => Some(at),
            Left::Bytes(left) => {
                let takes = (left * sharers).div_ceil(limits.bandwidth as u128);
                Some(self.seen + SimDuration::from_nanos(u64::try_from(takes).unwrap_or(u64::MAX)))
            }
            Left::Behind => None,
        };
        self.running.iter().filter_map(end).min()
    }

    fn begin(&mut self, request: Request, now: SimTime, limits: &Limits, has: impl Fn(&Str) -> bool) {
        let refused = !self.accepts(now, limits);
        let under_way = self.running.iter().any(|pull| pull.fetches && pull.request.image == request.image);
        let (left, fetches) = if refused {
            (Left::Until(now), false)
        } else if has(&request.image) {
            (Left::Until(now + request.check), false)
        } else if under_way {
            (Left::Behind, false)
        } else {
            (whole(&request, now), true)
        };
        self.running.push(Pull { request, began: now, left, refused, fetches });
    }

    /// Upstream: flowcontrol.NewTokenBucketRateLimiter (TryAccept).
    fn accepts(&mut self, now: SimTime, limits: &Limits) -> bool {
        if limits.qps <= 0.0 {
            return true;
        }
        let token = SimDuration::from_secs_f64(1.0 / limits.qps);
        let there = self.full_at <= now + token.times(u64::from(limits.burst.saturating_sub(1)));
        if there {
            self.full_at = self.full_at.max(now) + token;
        }
        there
    }

    /// Of those that wait for a pull that is no more, the first fetches its image itself.
    fn lead(&mut self) {
        for place in 0..self.running.len() {
            let image = &self.running[place].request.image;
            let led = self.running.iter().any(|pull| pull.fetches && pull.request.image == *image);
            if self.running[place].left == Left::Behind && !led {
                let pull = &mut self.running[place];
                (pull.left, pull.fetches) = (whole(&pull.request, self.seen), true);
            }
        }
    }

    fn sharers(&self) -> u128 {
        self.running.iter().filter(|pull| matches!(pull.left, Left::Bytes(_))).count().max(1) as u128
    }

    fn progress(&mut self, now: SimTime, limits: &Limits) {
        let (span, sharers) = (u128::from(now.since(self.seen).as_nanos()), self.sharers());
        let done = span * limits.bandwidth as u128;
        for pull in &mut self.running {
            if let Left::Bytes(left) = &mut pull.left {
                *left = left.saturating_sub(done.div_ceil(sharers));
            }
        }
        self.seen = self.seen.max(now);
    }
}

fn whole(request: &Request, now: SimTime) -> Left {
    match request.whole {
        Work::Time(takes) => Left::Until(now + takes),
        Work::Bytes(bytes) => Left::Bytes(bytes.max(0) as u128 * SECOND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    fn limits(at_once: usize) -> Limits {
        Limits { at_once, qps: 5.0, burst: 10, bandwidth: 100 }
    }

    /// Asks for images at given seconds and says when each pull ended: image, end in ms, own time in ms, and whether
    /// it was refused.
    fn play(limits: &Limits, asks: &[(u64, &str, Work)]) -> Vec<(String, u64, u64, bool)> {
        let (mut puller, mut there, mut ended): (Puller, Vec<Str>, Vec<_>) = (Puller::default(), Vec::new(), Vec::new());
        let mut asks: VecDeque<_> = asks.iter().copied().enumerate().collect();
        let mut now = SimTime::ZERO;
        loop {
            while let Some((place, (_, image, whole))) = asks.front().copied().filter(|(_, (at, ..))| s(*at) <= now) {
                asks.pop_front();
                let (pod, check) = (PodId::new(place as u32), SimDuration::from_secs(1));
                puller.ask(Request { pod, image: image.into(), whole, check, size: 1, fails: false, asked: now });
            }
            while let Some(end) = puller.advance(now, limits, |image| there.contains(image)) {
                if end.fetched {
                    there.push(end.request.image.clone());
                }
                ended.push((end.request.image.to_string(), now.since(SimTime::ZERO).as_millis(), end.took.as_millis(), end.refused));
            }
            let next = puller.next_end(limits).into_iter().chain(asks.front().map(|(_, (at, ..))| s(*at))).min();
            match next {
                Some(next) => now = next,
                None => return ended,
            }
        }
    }

    fn seen(ended: &[(String, u64, u64, bool)]) -> Vec<(&str, u64, u64)> {
        ended.iter().map(|(image, at, took, _)| (image.as_str(), *at, *took)).collect()
    }

    #[test]
    fn serial_pulls_wait_for_their_turn_and_what_is_there_is_only_asked_for() {
        let asks = [(0, "a", Work::Bytes(300)), (1, "b", Work::Time(SimDuration::from_secs(2))), (2, "a", Work::Bytes(300))];
        assert_eq!(seen(&play(&limits(1), &asks)), [("a", 3000, 3000), ("b", 5000, 2000), ("a", 6000, 1000)]);
    }

    #[test]
    fn parallel_pulls_share_the_bandwidth_and_a_given_time_does_not() {
        // a alone for 1 s (100 of 300 bytes), then with b: b's 100 bytes take 2 s, a's last 100 take 1 s alone.
        let asks = [(0, "a", Work::Bytes(300)), (1, "b", Work::Bytes(100)), (1, "c", Work::Time(SimDuration::from_secs(2)))];
        assert_eq!(seen(&play(&limits(usize::MAX), &asks)), [("b", 3000, 2000), ("c", 3000, 2000), ("a", 4000, 4000)]);
        // With one more than two at once the third has to wait.
        assert_eq!(seen(&play(&limits(2), &asks)), [("b", 3000, 2000), ("a", 4000, 4000), ("c", 5000, 2000)]);
    }

    #[test]
    fn an_image_is_fetched_once_however_many_ask() {
        let asks = [(0, "a", Work::Bytes(300)), (1, "a", Work::Bytes(300)), (2, "a", Work::Bytes(300))];
        assert_eq!(seen(&play(&limits(usize::MAX), &asks)), [("a", 3000, 3000), ("a", 3000, 2000), ("a", 3000, 1000)]);
    }

    #[test]
    fn who_waits_for_a_pull_that_is_given_up_fetches_the_image_itself() {
        let (mut puller, limits) = (Puller::default(), limits(usize::MAX));
        for pod in 0..2 {
            let whole = Work::Bytes(300);
            let (pod, image, check) = (PodId::new(pod), "a".into(), SimDuration::ZERO);
            puller.ask(Request { pod, image, whole, check, size: 1, fails: false, asked: SimTime::ZERO });
        }
        assert_eq!(puller.advance(s(0), &limits, |_| false), None);
        assert_eq!(puller.advance(s(1), &limits, |_| false), None);
        assert!(puller.cancel(PodId::new(0)));
        assert_eq!(puller.next_end(&limits), Some(s(4)));
    }

    #[test]
    fn pulls_beyond_the_registrys_burst_fail_at_once() {
        let asks: Vec<(u64, String)> = (0..12).map(|number| (0, format!("i{number}"))).chain([(1, "late".to_owned())]).collect();
        let asks: Vec<(u64, &str, Work)> = asks.iter().map(|(at, image)| (*at, image.as_str(), Work::Bytes(1))).collect();
        let refused: Vec<String> = play(&limits(usize::MAX), &asks).into_iter().filter(|end| end.3).map(|end| end.0).collect();
        assert_eq!(refused, ["i10", "i11"]);
    }
}
