//! Sources of the cohort engine: how many requests come until when.
//!
//! An open source offers the integral of its rate; in bursts, that times the factor of the phase, whose lengths are drawn as
//! the exact engine draws them, from the same stream. Who thinks asks at the rate 1/Z, implicit in the step.
//!
//! Invariants: nothing that is offered is lost to rounding; a step has one phase.

use api::SimTime;

use super::super::arrivals::Bursts;
use super::{Cohort, GRAINS};
use crate::random::{Purpose, Streams, entity};
use crate::spec::{Arrivals, RatePoint, Source};

pub(super) struct SourceState {
    pub(super) route: u32,
    rate: Vec<RatePoint>,
    /// Requests offered before each point.
    before: Vec<f64>,
    /// Closed source: users and mean think time in seconds, from when.
    pub(super) users: Option<(f64, f64, u64)>,
    bursts: Option<Phases>,
    /// Who asks, each by itself.
    pub(super) clients: f64,
    /// Squared coefficient of variation of the time between two arrivals.
    pub(super) cv2: f64,
    /// In grains.
    offered: u64,
    carry: f64,
}

/// The phase of a source that has bursts.
struct Phases {
    bursts: Bursts,
    /// Since when, and requests offered so far.
    began_at: u64,
    offered: f64,
}

impl Cohort {
    /// Requests of the sources.
    pub(super) fn offer(&mut self, end: u64, d: f64) {
        for place in 0..self.sources.len() {
            let route = self.sources[place].route;
            let flow = self.routes[route as usize].flow as usize;
            let open = self.flows[flow].open();
            let source = &mut self.sources[place];
            let grains = match source.users {
                None => source.offer(self.now, end),
                Some((count, think, from)) if end > from => {
                    // Who thinks asks at the rate 1/Z; implicit in the step, so that it cannot ask twice.
                    let thinking = (count - open as f64 / GRAINS as f64).max(0.0);
                    let asked = thinking * (d / (think.max(1e-3) + d)) * GRAINS as f64 + source.carry;
                    source.carry = asked - libm::floor(asked);
                    self.critical = true;
                    asked as u64
                }
                Some(_) => 0,
            };
            self.arrive(route, grains, d);
        }
    }
}

impl SourceState {
    pub(super) fn new(source: &Source, route: u32, streams: Streams) -> Self {
        let mut before = vec![0.0];
        for pair in source.rate.windows(2) {
            let last = before[before.len() - 1];
            before.push(last + requests(pair[0], Some(pair[1]), pair[1].at.since(pair[0].at).as_secs_f64()));
        }
        let users = source.users.as_ref().map(|users| (f64::from(users.count), users.think.mean().as_secs_f64(), users.from.as_nanos()));
        let bursts = match source.arrivals {
            // Who thinks asks as he thinks.
            Arrivals::Bursts { factor, burst, calm } if users.is_none() => {
                let stream = streams.stream(Purpose::Bursts, entity(&source.name));
                let bursts = Bursts::new(factor, burst.as_secs_f64(), calm.as_secs_f64(), stream);
                Some(Phases { bursts, began_at: 0, offered: 0.0 })
            }
            _ => None,
        };
        let cv2 = if source.arrivals == Arrivals::Deterministic { 0.0 } else { 1.0 };
        let clients = users.map_or(f64::from(source.clients.unwrap_or(1).max(1)), |(count, ..)| count);
        Self { route, rate: source.rate.clone(), before, users, bursts, clients, cv2, offered: 0, carry: 0.0 }
    }

    /// Grains of a step between two instants.
    fn offer(&mut self, now: u64, end: u64) -> u64 {
        let mut offered = self.until(end);
        if let Some(phases) = &mut self.bursts {
            phases.offered += (offered - offered_until(&self.rate, &self.before, now)) * phases.bursts.factor();
            offered = phases.offered;
            phases.bursts.pass(end as f64 / 1e9);
            if phases.bursts.ends_at() <= end {
                phases.bursts.next_phase();
                phases.began_at = end;
            }
        }
        let new = ((offered * GRAINS as f64) as u64).saturating_sub(self.offered);
        self.offered += new;
        new
    }

    /// The next instant after `now` at which its rate is not what led up to it.
    pub(super) fn next_jump(&self, now: u64) -> Option<u64> {
        let next = self.rate.partition_point(|point| point.at.as_nanos() <= now);
        let jump = (next..self.rate.len()).find(|place| self.is_jump(*place)).map(|place| self.rate[place].at.as_nanos());
        let phase = self.bursts.as_ref().map(|phases| phases.bursts.ends_at().max(now + 1));
        jump.into_iter().chain(phase).min()
    }
    pub(super) fn jumps_at(&self, nanos: u64) -> bool {
        if self.bursts.as_ref().is_some_and(|phases| phases.began_at == nanos) {
            return true;
        }
        let place = self.rate.partition_point(|point| point.at.as_nanos() < nanos);
        self.rate.get(place).is_some_and(|point| point.at.as_nanos() == nanos) && self.is_jump(place)
    }
    fn is_jump(&self, place: usize) -> bool {
        let before = match place.checked_sub(1).map(|before| self.rate[before]) {
            None => 0.0,
            Some(point) if point.linear => self.rate[place].per_second,
            Some(point) => point.per_second,
        };
        (self.rate[place].per_second - before).abs() > 0.01 * before.max(self.rate[place].per_second)
    }
    /// Requests offered until `nanos`, but for bursts.
    fn until(&self, nanos: u64) -> f64 {
        offered_until(&self.rate, &self.before, nanos)
    }
}

/// Requests that a rate offers until `nanos`, given what it has offered before each point.
fn offered_until(rate: &[RatePoint], before: &[f64], nanos: u64) -> f64 {
    let at = SimTime::from_nanos(nanos);
    let Some(place) = rate.partition_point(|point| point.at <= at).checked_sub(1) else { return 0.0 };
    let point = rate[place];
    before[place] + requests(point, rate.get(place + 1).copied(), at.since(point.at).as_secs_f64())
}

/// Requests that a piece of a load shape offers in its first `seconds`.
fn requests(point: RatePoint, next: Option<RatePoint>, seconds: f64) -> f64 {
    let rate = point.per_second.max(0.0);
    match next.filter(|_| point.linear) {
        Some(next) => {
            let length = next.at.since(point.at).as_secs_f64();
            let slope = if length > 0.0 { (next.per_second.max(0.0) - rate) / length } else { 0.0 };
            rate * seconds + slope * seconds * seconds / 2.0
        }
        None => rate * seconds,
    }
}
