//! When requests come: exact inversion of a piecewise-linear rate.
//!
//! With L(t) the integral of the rate, arrivals are the instants at which L passes the points of a unit
//! process: a Poisson process of rate 1, or the whole numbers. No thinning, so one draw per arrival,
//! and no drift: what is added up is the number of requests, not time.

use crate::random::Stream;
use crate::spec::{Arrivals, RatePoint};

struct Segment {
    start_nanos: u64,
    seconds: f64,
    /// Requests per second at its start.
    rate: f64,
    /// Change of the rate per second.
    slope: f64,
    /// Requests offered in it.
    requests: f64,
}

/// A source's arrivals.
pub(super) struct Profile {
    segments: Vec<Segment>,
    arrivals: Arrivals,
    stream: Stream,
    bursts: Option<Bursts>,
    /// The segment of the last arrival, and how many requests it had offered by then.
    current: usize,
    offered: f64,
}

impl Profile {
    /// The arrivals under `points`, ascending in time; phases of bursts are drawn from `phases`.
    pub(super) fn new(points: &[RatePoint], arrivals: Arrivals, stream: Stream, phases: Stream) -> Self {
        let segments = points.iter().enumerate().map(|(index, point)| segment(point, points.get(index + 1))).collect();
        let bursts = match arrivals {
            Arrivals::Bursts { factor, burst, calm } => Some(Bursts::new(factor, burst.as_secs_f64(), calm.as_secs_f64(), phases)),
            Arrivals::Poisson | Arrivals::Deterministic => None,
        };
        Self { segments, arrivals, stream, bursts, current: 0, offered: 0.0 }
    }

    /// The next arrival, in nanoseconds of the run; `None` when no more come.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.offered += match self.arrivals {
            Arrivals::Poisson | Arrivals::Bursts { .. } => self.stream.exponential(),
            Arrivals::Deterministic => 1.0,
        };
        if self.bursts.is_some() {
            return self.next_in_bursts();
        }
        loop {
            let segment = self.segments.get(self.current)?;
            if segment.requests > 0.0 && self.offered <= segment.requests {
                let seconds = segment.seconds_until(self.offered);
                return Some(segment.start_nanos.saturating_add((seconds * 1e9 + 0.5) as u64));
            }
            self.offered -= segment.requests;
            self.current += 1;
        }
    }
}

impl Profile {
    /// The rate times that of the phase: from phase to phase until what is offered is used up.
    fn next_in_bursts(&mut self) -> Option<u64> {
        let bursts = self.bursts.as_mut()?;
        loop {
            let segment = self.segments.get(self.current)?;
            let from = (bursts.at - segment.start_nanos as f64 / 1e9).max(0.0);
            let length = segment.length();
            let until = (from + bursts.left).min(length);
            let offered = segment.requests_until(until) - segment.requests_until(from);
            let requests = offered * bursts.factor();
            if requests > 0.0 && self.offered <= requests {
                let target = segment.requests_until(from) + self.offered / bursts.factor();
                let at = segment.seconds_until(target);
                self.offered = 0.0;
                bursts.pass(segment.start_nanos as f64 / 1e9 + at);
                return Some(segment.start_nanos.saturating_add((at * 1e9 + 0.5) as u64));
            }
            if length == f64::INFINITY && segment.rate <= 0.0 {
                return None;
            }
            self.offered -= requests;
            bursts.pass(segment.start_nanos as f64 / 1e9 + until);
            if until >= length {
                self.current += 1;
            } else {
                bursts.next_phase();
            }
        }
    }
}

/// Two phases of exponential length that take turns; the mean of the factors over time is 1.
pub(super) struct Bursts {
    factors: [f64; 2],
    lengths: [f64; 2],
    phase: usize,
    /// Seconds of the run, and what is left of the phase then.
    at: f64,
    left: f64,
    stream: Stream,
}

impl Bursts {
    pub(super) fn new(factor: f64, burst: f64, calm: f64, stream: Stream) -> Self {
        let share = burst / (burst + calm);
        let factor = factor.clamp(1.0, 1.0 / share);
        let low = (1.0 - share * factor) / (1.0 - share);
        let mut bursts = Self { factors: [low.max(0.0), factor], lengths: [calm, burst], phase: 0, at: 0.0, left: 0.0, stream };
        bursts.phase = usize::from(bursts.stream.unit() < share);
        bursts.left = bursts.length();
        bursts
    }
    /// The rate of the present phase over the mean rate.
    pub(super) const fn factor(&self) -> f64 {
        self.factors[self.phase]
    }
    /// When the present phase ends, in whole nanoseconds.
    pub(super) fn ends_at(&self) -> u64 {
        ((self.at + self.left) * 1e9) as u64
    }
    fn length(&mut self) -> f64 {
        // A phase of no length would never let time go on.
        (self.lengths[self.phase] * self.stream.exponential()).max(1e-6)
    }
    /// Time goes on within the phase.
    pub(super) fn pass(&mut self, at: f64) {
        self.left = (self.left - (at - self.at).max(0.0)).max(0.0);
        self.at = self.at.max(at);
    }
    /// The other phase begins.
    pub(super) fn next_phase(&mut self) {
        self.phase = 1 - self.phase;
        self.left = self.length();
    }
}

fn segment(point: &RatePoint, next: Option<&RatePoint>) -> Segment {
    let rate = point.per_second.max(0.0);
    let start_nanos = point.at.as_nanos();
    let Some(next) = next else {
        let requests = if rate > 0.0 { f64::INFINITY } else { 0.0 };
        return Segment { start_nanos, seconds: f64::INFINITY, rate, slope: 0.0, requests };
    };
    let seconds = next.at.since(point.at).as_secs_f64();
    let end = if point.linear { next.per_second.max(0.0) } else { rate };
    let slope = if seconds > 0.0 { (end - rate) / seconds } else { 0.0 };
    Segment { start_nanos, seconds, rate, slope, requests: f64::midpoint(rate, end) * seconds }
}

impl Segment {
    const fn length(&self) -> f64 {
        self.seconds
    }

    /// Requests offered in its first `seconds`.
    fn requests_until(&self, seconds: f64) -> f64 {
        if seconds == f64::INFINITY { self.requests } else { self.rate * seconds + self.slope * seconds * seconds / 2.0 }
    }

    /// Solves `rate·t + slope·t²/2 = requests`, in the form that loses nothing when the slope is small.
    fn seconds_until(&self, requests: f64) -> f64 {
        let root = (self.rate * self.rate + 2.0 * self.slope * requests).max(0.0).sqrt();
        2.0 * requests / (self.rate + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Streams};
    use api::{SimDuration, SimTime};

    fn profile(arrivals: Arrivals, points: &[(u64, f64, bool)]) -> Profile {
        let points = points.iter().map(|(at, per_second, linear)| RatePoint {
            at: SimTime::from_secs(*at),
            per_second: *per_second,
            linear: *linear,
        });
        let points: Vec<_> = points.collect();
        let streams = Streams::new(1);
        Profile::new(&points, arrivals, streams.stream(Purpose::Arrivals, 0), streams.stream(Purpose::Bursts, 0))
    }

    #[test]
    fn evenly_spaced_arrivals_do_not_drift() {
        let mut profile = profile(Arrivals::Deterministic, &[(10, 3.0, false)]);
        let times: Vec<_> = (0..30_000).map(|_| profile.next().unwrap()).collect();
        assert_eq!(times[2], 11_000_000_000);
        assert_eq!(times[29_999], 10_010_000_000_000);
    }

    #[test]
    fn t35a_a_ramp_offers_what_its_integral_says() {
        let mut ramp = profile(Arrivals::Deterministic, &[(0, 200.0, true), (7200, 8000.0, false), (7200, 0.0, false)]);
        let (mut count, mut last) = (0u32, 0);
        while let Some(time) = ramp.next() {
            assert!(time >= last);
            (count, last) = (count + 1, time);
        }
        assert!(count.abs_diff(29_520_000) <= 1, "{count}");
        let mut random = profile(Arrivals::Poisson, &[(0, 20.0, true), (720, 800.0, false), (720, 0.0, false)]);
        let count = std::iter::from_fn(|| random.next()).count();
        assert!(count.abs_diff(295_200) < 4 * 543, "4 sigma: {count}");
    }

    #[test]
    fn bursts_keep_the_mean_and_spread_the_counts() {
        let arrivals = Arrivals::Bursts { factor: 4.0, burst: SimDuration::from_secs(2), calm: SimDuration::from_secs(10) };
        let mut profile = profile(arrivals, &[(0, 10.0, true), (10_000, 30.0, false), (20_000, 0.0, false)]);
        let (mut last, mut per_second) = (0, vec![0u32; 20_000]);
        while let Some(time) = profile.next() {
            assert!(time >= last);
            last = time;
            per_second[(time / 1_000_000_000) as usize] += 1;
        }
        let total: u32 = per_second.iter().sum();
        assert!((f64::from(total) / 500_000.0 - 1.0).abs() < 0.03, "{total}");
        let mean = f64::from(per_second[10_000..].iter().sum::<u32>()) / 10_000.0;
        let variance = per_second[10_000..].iter().map(|n| (f64::from(*n) - mean) * (f64::from(*n) - mean)).sum::<f64>() / 10_000.0;
        assert!(variance > 5.0 * mean, "Poisson would have {mean}, bursts have {variance}");
    }

    #[test]
    fn a_rate_of_zero_is_passed_over_and_at_the_end_ends_it() {
        let mut profile = profile(Arrivals::Deterministic, &[(0, 1.0, false), (2, 0.0, false), (10, 2.0, true), (12, 0.0, false)]);
        let times: Vec<_> = std::iter::from_fn(|| profile.next()).map(|nanos| nanos / 1_000_000).collect();
        assert_eq!(times, [1_000, 2_000, 10_585, 12_000]);
    }
}
