//! Tracers: how long requests take that meet pods in their present states, and walk through calls.
//!
//! A tracer is one synthetic request of a service: it meets a pod's kernel, walks through the calls with their time-outs and
//! retries, and waits. 256 of them (64 in critical steps) stand for a step's requests; their uniform numbers are spread
//! evenly and turned from step to step.
//!
//! Not here: how many attempts end in which way (`outcome.rs`).

use super::super::station::Process;
use super::calls::Planned;
use super::outcome::Ways;
use super::{Cohort, QUANTUM};
use crate::random::mix;

/// A synthetic request.
#[derive(Clone, Copy, Default)]
pub(super) struct Tracer {
    /// From its arrival to its answer, in seconds.
    pub(super) seconds: f64,
    /// All its calls succeeded.
    pub(super) ok: bool,
}

/// The golden ratio: turns of it fill the unit interval evenly.
const TURN: f64 = 0.618_033_988_749_894_9;

fn unit(bits: u64) -> f64 {
    (mix(bits) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The uniform number of the `i`-th of `of` tracers at a place of its walk: each has a part of the unit interval to itself,
/// in an order that the place draws. `of` is a power of two.
fn spread(place: u64, i: usize, of: usize) -> f64 {
    let (mask, half) = (of as u64 - 1, of.trailing_zeros().div_ceil(2));
    let mut part = i as u64 & mask;
    let mut key = mix(place);
    for _ in 0..3 {
        // Both halves of a round can be undone, so that no part is taken twice.
        part = part.wrapping_mul(key | 1).wrapping_add(key >> 32) & mask;
        part ^= part >> half;
        key = key.rotate_right(17);
    }
    (part as f64 + unit(place)) / of as f64
}

impl Cohort {
    /// All services' tracers, callees first.
    pub(super) fn compose_answers(&mut self) {
        self.tracers = if self.step > QUANTUM { 256 } else { 64 };
        for program in &mut self.programs {
            program.rest = 0.0;
        }
        for place in (0..self.order.len()).rev() {
            self.compose(self.order[place]);
        }
    }

    fn compose(&mut self, service: u32) {
        let count = self.tracers;
        let mut answers = std::mem::take(&mut self.services[service as usize].answers);
        answers.clear();
        let running = |pod: &&u32| self.pods[**pod as usize].process == Process::Running;
        let mut targets: Vec<u32> = self.services[service as usize].targets.iter().filter(running).copied().collect();
        if targets.is_empty() {
            let programs = &self.services[service as usize].programs;
            targets.extend(programs.iter().flat_map(|program| &self.programs[*program as usize].pods));
        }
        let mut rest: Vec<(u32, f64, u32)> = Vec::new();
        for i in 0..if targets.is_empty() { 0 } else { count } {
            let seed = self.steps << 20 ^ (service as u64) << 10;
            let pod = &self.pods[targets[(i + self.steps as usize) * 7919 % targets.len()] as usize];
            let number = pod.program;
            let program = &self.programs[number as usize];
            // Two different turns from step to step: with the golden one twice they would stand still.
            let turned = |by: f64, from_step: f64| {
                let value = (i as f64 + 0.5) * by + self.steps as f64 * from_step;
                value - libm::floor(value)
            };
            let stratum = (i as f64 + turned(TURN, 0.732_050_807_568_877_2).min(0.999_999)) / count as f64;
            let cpu = pod.kernel.draw(&program.cpu, stratum, turned(0.754_877_666_246_692_7, 0.569_840_290_998_053_2));
            let (mut seconds, mut ok) = (cpu, true);
            for (group, calls) in program.calls.iter().enumerate() {
                let mut longest: f64 = 0.0;
                for (place, planned) in calls.iter().enumerate() {
                    let seed = mix(seed ^ (group as u64) << 40 ^ (place as u64) << 50);
                    let known = planned.own_cache.map_or(0.0, |warmth| warmth.hits(pod.served));
                    let made = planned.probability * (1.0 - known);
                    if made >= 1.0 || spread(seed, i, self.tracers) < made {
                        let (took, well) = self.walk_planned(planned, seed, i);
                        longest = longest.max(took);
                        ok &= well;
                    }
                }
                seconds += longest;
                if !ok {
                    break;
                }
            }
            if ok {
                seconds += program.latency.quantile(spread(mix(seed ^ 0x5eed), i, self.tracers));
            }
            match rest.iter_mut().find(|(of, ..)| *of == number) {
                Some((_, sum, n)) => (*sum, *n) = (*sum + seconds - cpu, *n + 1),
                None => rest.push((number, seconds - cpu, 1)),
            }
            answers.push(Tracer { seconds, ok });
        }
        for (program, sum, n) in rest {
            if self.programs[program as usize].services.first() == Some(&service) {
                self.programs[program as usize].rest = sum / f64::from(n);
            }
        }
        self.services[service as usize].answers = answers;
    }

    /// One call, and what a cache does not know is asked elsewhere.
    fn walk_planned(&self, planned: &Planned, seed: u64, i: usize) -> (f64, bool) {
        let (took, well) = self.walk(planned.route, seed, i);
        let Some((miss, warmth)) = planned.miss else { return (took, well) };
        let targets = &self.services[self.flows[self.routes[planned.route as usize].flow as usize].service as usize].targets;
        let served = targets.get(i % targets.len().max(1)).map_or(0.0, |pod| self.pods[*pod as usize].served);
        if well && spread(seed ^ 0xcac4e, i, self.tracers) < warmth.hits(served) {
            return (took, true);
        }
        let (more, well) = self.walk(miss, mix(seed ^ 0x3155), i);
        (took + more, well)
    }

    /// One call with its attempts: how long it takes, and whether it succeeds.
    fn walk(&self, route: u32, seed: u64, i: usize) -> (f64, bool) {
        let route = &self.routes[route as usize];
        let service = &self.services[self.flows[route.flow as usize].service as usize];
        let client = &route.client;
        let waits = if route.has_limits() { route.will_wait(spread(seed ^ 0x3a17, i, self.tracers)) } else { 0.0 };
        let timeout = (client.timeout.as_secs_f64() - waits).max(0.0);
        let mut took = 0.0;
        if service.queue.is_some() {
            return (0.0, true);
        }
        for attempt in 1..=route.attempts() {
            let seed = mix(seed.wrapping_add(u64::from(attempt)));
            let way = spread(seed, i, self.tracers);
            let Ways { refused, silent, shed, dropped, own_error, .. } = route.ways;
            let before = spread(seed ^ 0xadd, i, self.tracers);
            if before < route.rejected {
                return (took, false);
            }
            if before < route.rejected + route.blocked || way < refused + shed {
                // Fails at once.
            } else if before < route.rejected + route.blocked + route.expired {
                took += client.timeout.as_secs_f64();
            } else if way < refused + shed + silent {
                took += client.connect_timeout.as_secs_f64().min(timeout);
            } else if let Some(tracer) = self.answer(service, mix(seed), i) {
                if way < refused + shed + silent + dropped || tracer.seconds > timeout {
                    took += client.timeout.as_secs_f64();
                } else {
                    took += waits + tracer.seconds;
                    if tracer.ok && spread(seed ^ 0xe44, i, self.tracers) >= own_error {
                        return (took, true);
                    }
                }
            }
            if attempt < route.attempts() {
                if spread(seed ^ 0xb0d, i, self.tracers) >= route.allowed {
                    break;
                }
                took += self.backoff(route, attempt) * if client.full_jitter { spread(seed ^ 0x1177, i, self.tracers) } else { 1.0 };
            }
        }
        (took, false)
    }

    /// How one request of a service goes; services that call nobody are asked directly, others by their tracers.
    fn answer(&self, service: &super::ServiceState, seed: u64, i: usize) -> Option<Tracer> {
        if service.answers.is_empty() {
            return None;
        }
        let one_of = |len: usize| (spread(seed, i, self.tracers) * len as f64) as usize;
        if service.leaf
            && let Some(target) = service.targets.get(one_of(service.targets.len()))
            && self.pods[*target as usize].process == Process::Running
        {
            let pod = &self.pods[*target as usize];
            let program = &self.programs[pod.program as usize];
            let cpu = pod.kernel.draw(&program.cpu, spread(seed ^ 1, i, self.tracers), spread(seed ^ 2, i, self.tracers));
            return Some(Tracer { seconds: cpu + program.latency.quantile(spread(seed ^ 3, i, self.tracers)), ok: true });
        }
        service.answers.get(one_of(service.answers.len())).copied()
    }
}
