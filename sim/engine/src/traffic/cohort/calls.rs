//! What a program calls: how often, how well it goes, and what caches know.
//!
//! Calls begin in the step in which the cpu work ends. A cache that a caller keeps itself makes calls fewer; of one that is
//! asked, what it does not know and what it fails to answer is asked for elsewhere, in the same step.

use super::super::flow::hit_ratio;
use super::{Cohort, GRAINS, ProgramState};

/// A call that a program makes.
pub(super) struct Planned {
    pub(super) route: u32,
    pub(super) probability: f64,
    /// What the caller itself remembers is not asked.
    pub(super) own_cache: Option<Warmth>,
    /// The callee is a cache: by which route the rest is asked.
    pub(super) miss: Option<(u32, Warmth)>,
}

/// How a cache warms up.
#[derive(Clone, Copy)]
pub(super) struct Warmth {
    pub(super) hit_ratio: f64,
    pub(super) warmup_requests: f64,
}

impl Warmth {
    /// Share of hits after so many requests.
    pub(super) fn hits(self, served: f64) -> f64 {
        hit_ratio(self.hit_ratio, self.warmup_requests, served as u64)
    }
}

/// A planned call as things stand, for each request of its program.
pub(super) struct Made {
    /// How often it is made.
    pub(super) share: f64,
    /// How often it ends well when it is made.
    pub(super) well: f64,
    /// How often it then goes on to where the rest is asked.
    misses: f64,
}

impl Made {
    /// How often a request does not fail by this call.
    pub(super) fn ends_well(&self) -> f64 {
        1.0 - self.share * (1.0 - self.well)
    }
}

impl ProgramState {
    /// All routes by which it calls.
    pub(super) fn routes(&self) -> impl Iterator<Item = u32> {
        let of = |planned: &Planned| [Some(planned.route), planned.miss.map(|(route, _)| route)];
        self.calls.iter().flatten().flat_map(of).flatten()
    }
}

impl Cohort {
    /// How often a program makes a call, and how that goes.
    pub(super) fn made(&self, program: &ProgramState, planned: &Planned) -> Made {
        let own = planned.own_cache.map_or(0.0, |warmth| self.mean_hits(warmth, &program.pods));
        let route = &self.routes[planned.route as usize];
        let share = planned.probability * (1.0 - own);
        let Some((miss, warmth)) = planned.miss else { return Made { share, well: route.succeeds, misses: 0.0 } };
        let targets = &self.services[self.flows[route.flow as usize].service as usize].targets;
        let known = route.succeeds * self.mean_hits(warmth, targets);
        Made { share, well: known + (1.0 - known) * self.routes[miss as usize].succeeds, misses: 1.0 - known }
    }

    fn mean_hits(&self, warmth: Warmth, pods: &[u32]) -> f64 {
        pods.iter().map(|pod| warmth.hits(self.pods[*pod as usize].served)).sum::<f64>() / pods.len().max(1) as f64
    }

    /// Share of a route's calls that succeed within their attempts, when one attempt does with probability `one`.
    pub(super) fn find_success(&mut self, route: u32, one: f64) {
        let route = &mut self.routes[route as usize];
        let one = (one * (1.0 - route.blocked) * (1.0 - route.expired)).clamp(0.0, 1.0);
        let mut well = 0.0;
        for _ in 0..route.attempts() {
            // Whom the caller rejects does not try again.
            well = (1.0 - route.rejected) * (one + (1.0 - one) * route.allowed * well);
        }
        route.succeeds = well;
    }

    /// Requests whose cpu work is done make their calls.
    pub(super) fn begin_calls(&mut self, number: u32, d: f64) {
        let departed = self.programs[number as usize].departed;
        let mut well = 1.0;
        for group in 0..self.programs[number as usize].calls.len() {
            let mut all = 1.0;
            for place in 0..self.programs[number as usize].calls[group].len() {
                let program = &self.programs[number as usize];
                let planned = &program.calls[group][place];
                let (route, miss) = (planned.route, planned.miss.map(|(route, _)| route));
                let made = self.made(program, planned);
                all *= made.ends_well();
                self.call(route, departed * made.share * well, d);
                if let Some(miss) = miss {
                    self.call(miss, departed * made.share * well * made.misses, d);
                }
            }
            well *= all;
        }
    }

    fn call(&mut self, route: u32, requests: f64, d: f64) {
        let state = &mut self.routes[route as usize];
        let made = requests * GRAINS as f64 + state.carry;
        let grains = libm::floor(made + 0.5).max(0.0);
        state.carry = made - grains;
        self.arrive(route, grains as u64, d);
    }
}
