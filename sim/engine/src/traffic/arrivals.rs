//! When requests come: exact inversion of a piecewise-linear rate.
//!
//! With L(t) the integral of the rate, arrivals are the instants at which L passes the points of a unit
//! process: a Poisson process of rate 1, or the whole numbers. No thinning, so one draw per arrival,
//! and no drift: what is added up is the number of requests, not time.

use crate::random::Stream;
use crate::spec::{Arrivals, RatePoint};

struct Segment {
    start_nanos: u64,
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
    /// The segment of the last arrival, and how many requests it had offered by then.
    current: usize,
    offered: f64,
}

impl Profile {
    /// The arrivals under `points`, ascending in time.
    pub(super) fn new(points: &[RatePoint], arrivals: Arrivals, stream: Stream) -> Self {
        let segments = points.iter().enumerate().map(|(index, point)| segment(point, points.get(index + 1))).collect();
        Self { segments, arrivals, stream, current: 0, offered: 0.0 }
    }

    /// The next arrival, in nanoseconds of the run; `None` when no more come.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.offered += match self.arrivals {
            Arrivals::Poisson => self.stream.exponential(),
            Arrivals::Deterministic => 1.0,
        };
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

fn segment(point: &RatePoint, next: Option<&RatePoint>) -> Segment {
    let rate = point.per_second.max(0.0);
    let start_nanos = point.at.as_nanos();
    let Some(next) = next else {
        let requests = if rate > 0.0 { f64::INFINITY } else { 0.0 };
        return Segment { start_nanos, rate, slope: 0.0, requests };
    };
    let seconds = next.at.since(point.at).as_secs_f64();
    let end = if point.linear { next.per_second.max(0.0) } else { rate };
    let slope = if seconds > 0.0 { (end - rate) / seconds } else { 0.0 };
    Segment { start_nanos, rate, slope, requests: f64::midpoint(rate, end) * seconds }
}

impl Segment {
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
    use api::SimTime;

    fn profile(arrivals: Arrivals, points: &[(u64, f64, bool)]) -> Profile {
        let points = points.iter().map(|(at, per_second, linear)| RatePoint {
            at: SimTime::from_secs(*at),
            per_second: *per_second,
            linear: *linear,
        });
        let points: Vec<_> = points.collect();
        Profile::new(&points, arrivals, Streams::new(1).stream(Purpose::Arrivals, 0))
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
    fn a_rate_of_zero_is_passed_over_and_at_the_end_ends_it() {
        let mut profile = profile(Arrivals::Deterministic, &[(0, 1.0, false), (2, 0.0, false), (10, 2.0, true), (12, 0.0, false)]);
        let times: Vec<_> = std::iter::from_fn(|| profile.next()).map(|nanos| nanos / 1_000_000).collect();
        assert_eq!(times, [1_000, 2_000, 10_585, 12_000]);
    }
}
