//! How the attempts of a step end: shares in closed form, and tracers for how long it takes.
//!
//! A tracer is one synthetic request of a service: it meets a pod's kernel, walks through the calls with their
//! time-outs and retries, and waits. 256 of them (64 in critical steps) stand for a step's requests; their
//! uniform numbers are spread evenly and turned from step to step. How many attempts fail, and how, never
//! comes from tracers where there is a closed form; only lateness behind calls does.

use super::super::station::Process;
use super::kernel::{DEMANDS, Kernel};
use super::{Cohort, Due, Entry, Failure, GRAINS, MOST_ATTEMPTS, QUANTUM};
use crate::random::mix;

/// A synthetic request.
#[derive(Clone, Copy, Default)]
pub(super) struct Tracer {
    /// From its arrival to its answer, in seconds.
    seconds: f64,
    /// All its calls succeeded.
    ok: bool,
}

/// Shares of the attempts at a service.
#[derive(Clone, Copy, Default)]
pub(super) struct Ways {
    refused: f64,
    silent: f64,
    shed: f64,
    dropped: f64,
    /// Answered with an error, among the answered.
    error: f64,
    /// The part of `error` that is the service's own.
    own_error: f64,
}

/// The golden ratio: turns of it fill the unit interval evenly.
const TURN: f64 = 0.618_033_988_749_894_9;

fn unit(bits: u64) -> f64 {
    (mix(bits) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The uniform number of the `i`-th tracer at a place of its walk: those of all tracers are spread evenly, by a step and from
/// a start that the place draws.
fn spread(place: u64, i: usize) -> f64 {
    let value = unit(place) + (i as f64 + 0.5) * (0.25 + 0.5 * unit(place ^ 0x57e9));
    value - libm::floor(value)
}

impl Cohort {
    /// All services' tracers, callees first.
    pub(super) fn compose_answers(&mut self) {
        let count = if self.step > QUANTUM { 256 } else { 64 };
        for program in &mut self.programs {
            program.rest = 0.0;
        }
        for place in (0..self.order.len()).rev() {
            self.compose(self.order[place], count);
        }
    }

    fn compose(&mut self, service: u32, count: usize) {
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
                for (place, (route, probability)) in calls.iter().enumerate() {
                    let seed = mix(seed ^ (group as u64) << 40 ^ (place as u64) << 50);
                    if *probability >= 1.0 || spread(seed, i) < *probability {
                        let (took, well) = self.walk(*route, seed, i);
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
                seconds += program.latency.quantile(spread(mix(seed ^ 0x5eed), i));
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

    /// One call with its attempts: how long it takes, and whether it succeeds.
    fn walk(&self, route: u32, seed: u64, i: usize) -> (f64, bool) {
        let route = &self.routes[route as usize];
        let service = &self.services[self.flows[route.flow as usize].service as usize];
        let client = &route.client;
        let timeout = client.timeout.as_secs_f64();
        let mut took = 0.0;
        if service.queue.is_some() {
            return (0.0, true);
        }
        for attempt in 1..=client.max_attempts.min(MOST_ATTEMPTS as u32) {
            let seed = mix(seed.wrapping_add(u64::from(attempt)));
            let way = spread(seed, i);
            let Ways { refused, silent, shed, dropped, own_error, .. } = service.ways;
            if way < refused + shed {
                // Fails at once.
            } else if way < refused + shed + silent {
                took += client.connect_timeout.as_secs_f64().min(timeout);
            } else if let Some(tracer) = self.answer(service, mix(seed), i) {
                if way < refused + shed + silent + dropped || tracer.seconds > timeout {
                    took += timeout;
                } else {
                    took += tracer.seconds;
                    if tracer.ok && spread(seed ^ 0xe44, i) >= own_error {
                        return (took, true);
                    }
                }
            }
            if attempt < client.max_attempts {
                if spread(seed ^ 0xb0d, i) >= route.allowed {
                    break;
                }
                took += self.backoff(route, attempt) * if client.full_jitter { spread(seed ^ 0x1177, i) } else { 1.0 };
            }
        }
        (took, false)
    }

    /// How one request of a service goes; services that call nobody are asked directly, others by their tracers.
    fn answer(&self, service: &super::ServiceState, seed: u64, i: usize) -> Option<Tracer> {
        if service.answers.is_empty() {
            return None;
        }
        let one_of = |len: usize| (spread(seed, i) * len as f64) as usize;
        if service.leaf
            && let Some(target) = service.targets.get(one_of(service.targets.len()))
            && self.pods[*target as usize].process == Process::Running
        {
            let pod = &self.pods[*target as usize];
            let program = &self.programs[pod.program as usize];
            let cpu = pod.kernel.draw(&program.cpu, spread(seed ^ 1, i), spread(seed ^ 2, i));
            return Some(Tracer { seconds: cpu + program.latency.quantile(spread(seed ^ 3, i)), ok: true });
        }
        service.answers.get(one_of(service.answers.len())).copied()
    }

    fn backoff(&self, route: &super::RouteState, attempt: u32) -> f64 {
        let client = &route.client;
        (client.backoff_base.as_secs_f64() * libm::exp2(f64::from(attempt - 1).min(40.0))).min(client.backoff_max.as_secs_f64())
    }

    /// How attempts would end now, callees first: what callers must know before the first step after a change.
    pub(super) fn foresee(&mut self) {
        for place in (0..self.order.len()).rev() {
            let service = self.order[place];
            self.find_ways(service);
            let Ways { refused, silent, shed, dropped, error, .. } = self.services[service as usize].ways;
            for route in 0..self.routes.len() as u32 {
                if self.flows[self.routes[route as usize].flow as usize].service == service {
                    self.find_success(route, (1.0 - refused - silent - shed - dropped).max(0.0) * (1.0 - error));
                }
            }
        }
    }

    /// A step of one service: its pods move, its attempts are sorted, its calls begin.
    pub(super) fn serve(&mut self, service: u32, end: u64, d: f64) {
        let asking: Vec<u32> = (0..self.routes.len() as u32)
            .filter(|route| self.flows[self.routes[*route as usize].flow as usize].service == service)
            .collect();
        if self.services[service as usize].queue.is_some() {
            return self.serve_messages(service, &asking, d);
        }
        let mut attempts = 0u64;
        for route in &asking {
            attempts += self.throttle(*route);
        }
        let state = &self.services[service as usize];
        let each = attempts as f64 / GRAINS as f64 / state.targets.len().max(1) as f64;
        for pod in &state.targets {
            let pod = &mut self.pods[*pod as usize];
            if pod.process == Process::Running {
                pod.arrivals += each;
            }
        }
        for program in self.services[service as usize].programs.clone() {
            if self.programs[program as usize].services.first() == Some(&service) {
                self.move_pods(program, end, d);
            }
        }
        self.find_ways(service);
        let speed = self.served_per_second(service);
        if speed.is_some_and(|speed| speed > 0.0) {
            self.release(service, speed.unwrap_or(1.0), end);
        }
        for route in asking {
            if speed == Some(0.0) { self.hold(service, route, d) } else { self.sort(route, end, d) }
        }
        for program in self.services[service as usize].programs.clone() {
            if self.programs[program as usize].services.first() == Some(&service) {
                self.begin_calls(program, d);
            }
        }
    }

    /// What one of a service's pods could serve per second; `None` when none runs or none needs cpu.
    fn served_per_second(&self, service: u32) -> Option<f64> {
        let pods = self.services[service as usize].targets.iter().map(|pod| &self.pods[*pod as usize]);
        let running = pods.filter(|pod| pod.process == Process::Running && self.programs[pod.program as usize].cpu.mean > 0.0);
        running.map(|pod| pod.served_per_second(self.programs[pod.program as usize].cpu.mean)).reduce(f64::max)
    }

    /// Attempts at a service that stands still.
    fn hold(&mut self, service: u32, route: u32, d: f64) {
        let state = &self.services[service as usize];
        let ahead = state.targets.iter().map(|pod| self.pods[*pod as usize].held()).sum::<f64>() / state.targets.len().max(1) as f64;
        let at = self.now as f64 / 1e9 + d / 2.0;
        for (place, (grains, delay)) in std::mem::take(&mut self.routes[route as usize].incoming).into_iter().enumerate() {
            let attempt = place as u32 + 1;
            let totals = &mut self.flows[self.routes[route as usize].flow as usize].totals;
            totals.attempts += grains;
            totals.retries += if attempt > 1 { grains } else { 0 };
            let entry = Entry { due: Due::Ok, route, attempt, grains, delay };
            self.services[service as usize].held.push(super::Held { entry, at, ahead });
        }
        self.critical = true;
    }

    /// The service moves again: those who were held are served in turn, if they still wait.
    fn release(&mut self, service: u32, speed: f64, end: u64) {
        let now = self.now as f64 / 1e9;
        for super::Held { entry, at, ahead } in std::mem::take(&mut self.services[service as usize].held) {
            let seconds = now - at + (ahead + 1.0) / speed;
            let timeout = self.routes[entry.route as usize].client.timeout.as_secs_f64();
            let late = seconds > timeout;
            let due = if late { Due::Fail(Failure::TimedOut) } else { Due::Ok };
            let seconds = seconds.min(timeout);
            self.put((at + seconds).max(now), end, Entry { due, delay: entry.delay + seconds, ..entry });
        }
    }

    fn serve_messages(&mut self, service: u32, asking: &[u32], d: f64) {
        let mut came = 0;
        for route in asking {
            for (grains, delay) in std::mem::take(&mut self.routes[*route as usize].incoming) {
                came += grains;
                self.flows[self.routes[*route as usize].flow as usize].totals.attempts += grains;
                self.succeeded(*route, grains, delay);
            }
            self.routes[*route as usize].succeeds = 1.0;
        }
        self.serve_queue(service, came, d);
        for program in self.services[service as usize].programs.clone() {
            self.begin_calls(program, d);
        }
    }

    /// What a route's callers reject by themselves; how many attempts are sent.
    fn throttle(&mut self, route: u32) -> u64 {
        let now = self.now;
        let state = &mut self.routes[route as usize];
        let wanted: u64 = state.incoming.iter().map(|(grains, _)| grains).sum();
        let share = state.rejects(wanted, now);
        let mut rejected = 0;
        if share > 0.0 {
            for (grains, _) in &mut state.incoming {
                let part = (*grains as f64 * share) as u64;
                *grains -= part;
                rejected += part;
            }
            self.flows[state.flow as usize].totals.shed += rejected;
        }
        wanted - rejected
    }

    /// Shares of the attempts at a service, after its pods have moved.
    fn find_ways(&mut self, service: u32) {
        let state = &self.services[service as usize];
        let count = state.targets.len() as f64;
        let mut ways = Ways { refused: f64::from(u8::from(state.targets.is_empty())), ..Ways::default() };
        let mut last = (u32::MAX, 0.0, 0.0);
        let mut running = 0.0;
        for pod in &state.targets {
            let pod = &self.pods[*pod as usize];
            match pod.process {
                Process::Stopped => ways.refused += 1.0 / count,
                Process::Silent => ways.silent += 1.0 / count,
                Process::Running => {
                    ways.shed += pod.shed / count;
                    ways.dropped += pod.dropped / count;
                    if last.0 != pod.program {
                        let program = &self.programs[pod.program as usize];
                        let fails = |(route, probability): &(u32, f64)| 1.0 - probability * (1.0 - self.routes[*route as usize].succeeds);
                        let well: f64 = program.calls.iter().flatten().map(fails).product();
                        last = (pod.program, 1.0 - (1.0 - program.behavior.error_ratio) * well, program.behavior.error_ratio);
                    }
                    running += 1.0;
                    ways.error += (last.1 - ways.error) / running;
                    ways.own_error += (last.2 - ways.own_error) / running;
                }
            }
        }
        self.critical |= ways.shed + ways.dropped > 0.001;
        self.services[service as usize].ways = ways;
    }

    /// Shares of the answered attempts whose answer comes after `timeout`: of those whose calls succeed, and of the others,
    /// whose calls took all their attempts.
    fn late(&self, service: u32, timeout: f64) -> [f64; 2] {
        if timeout > 1e8 {
            return [0.0; 2];
        }
        let state = &self.services[service as usize];
        let behind_calls = state.programs.iter().any(|program| self.programs[*program as usize].has_rest());
        if !behind_calls {
            return [self.late_itself(service, timeout); 2];
        }
        let share = |ok: bool| {
            let ended = || state.answers.iter().filter(move |tracer| tracer.ok == ok);
            let late = ended().filter(|tracer| tracer.seconds > timeout).count();
            (late as f64, ended().count() as f64)
        };
        let ((late, well), (late_failed, failed)) = (share(true), share(false));
        let all = (late + late_failed) / (well + failed).max(1.0);
        let of = |late: f64, ended: f64| if ended > 0.0 { late / ended } else { all };
        [of(late, well), of(late_failed, failed)]
    }

    /// The same where the cpu work is all there is.
    fn late_itself(&self, service: u32, timeout: f64) -> f64 {
        let state = &self.services[service as usize];
        let (mut sum, mut count) = (0.0, 0.0);
        let mut last = None;
        for pod in &state.targets {
            let pod = &self.pods[*pod as usize];
            if pod.process != Process::Running {
                continue;
            }
            let share = match last {
                Some((kernel, share)) if kernel == pod.kernel => share,
                // Nothing of a queue with this mean lasts that long.
                _ if timeout > 60.0 * (pod.kernel.mean + pod.kernel.slot_wait) && self.programs[pod.program as usize].cpu.cv2 <= 1.0 => 0.0,
                _ => pod.kernel.beyond(&self.programs[pod.program as usize].cpu, timeout),
            };
            last = Some((pod.kernel, share));
            sum += share;
            count += 1.0;
        }
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// The same by demand, as shares of the demands of the first program behind the service; `None` where the
    /// time of an answer is not that of its cpu work.
    fn late_by_demand(&self, service: u32, timeout: f64) -> Option<(u32, [f64; DEMANDS])> {
        let state = &self.services[service as usize];
        if state.programs.iter().any(|program| self.programs[*program as usize].has_rest()) {
            return None;
        }
        let running = || state.targets.iter().map(|pod| &self.pods[*pod as usize]).filter(|pod| pod.process == Process::Running);
        let program = running().next()?.program;
        let law = &self.programs[program as usize].cpu;
        let (mut sum, mut count) = ([0.0; DEMANDS], 0.0);
        let mut last: Option<(Kernel, [f64; DEMANDS])> = None;
        for pod in running().filter(|pod| pod.program == program) {
            let shares = match last {
                Some((kernel, shares)) if kernel == pod.kernel => shares,
                _ => std::array::from_fn(|place| pod.kernel.beyond_with(law, law.atoms[place].0, timeout)),
            };
            last = Some((pod.kernel, shares));
            count += 1.0;
            sum.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        (count > 0.0).then(|| (program, sum.map(|share| share / count)))
    }

    /// Puts each share of a route's attempts where it is due.
    fn sort(&mut self, route: u32, end: u64, d: f64) {
        let flow = self.routes[route as usize].flow as usize;
        let service = self.flows[flow].service;
        let client = &self.routes[route as usize].client;
        let (timeout, connect) = (client.timeout.as_secs_f64(), client.connect_timeout.as_secs_f64());
        let Ways { refused, silent, shed, dropped, error, own_error } = self.services[service as usize].ways;
        let [late_well, late_failed] = self.late(service, timeout);
        let well = ((1.0 - error) / (1.0 - own_error).max(1e-12)).min(1.0);
        let late = well * late_well + (1.0 - well) * late_failed;
        let right = (1.0 - error) * (1.0 - late_well);
        // Of the answers in time; where all are late it does not matter.
        let error = (1.0 - right / (1.0 - late).max(1e-12)).clamp(0.0, 1.0);
        self.critical |= late > 0.001 && late < 0.999;
        self.find_success(route, (1.0 - refused - silent - shed - dropped).max(0.0) * right);
        let start = self.now as f64 / 1e9;
        let until = start + d;
        let incoming = std::mem::take(&mut self.routes[route as usize].incoming);
        let lates = self.late_by_attempt(service, route, &incoming, late, d);
        for (place, (grains, delay)) in incoming.into_iter().enumerate() {
            if grains == 0 {
                continue;
            }
            let attempt = place as u32 + 1;
            let late = lates[place];
            let totals = &mut self.flows[flow].totals;
            totals.attempts += grains;
            totals.retries += if attempt > 1 { grains } else { 0 };
            let mut left = grains;
            let mut take = |share: f64, of: u64| {
                let part = ((of as f64 * share + 0.5) as u64).min(left);
                left -= part;
                part
            };
            let parts = [shed, refused, silent, dropped].map(|share| take(share, grains));
            let served = grains - parts.iter().sum::<u64>();
            let late = take(late, served);
            let wrong = take(error, served - late);
            let entry = |due, grains, delay| Entry { due, route, attempt, grains, delay };
            self.attempt_failed(route, attempt, parts[0], Failure::Shed, delay, end);
            self.attempt_failed(route, attempt, parts[1], Failure::Refused, delay, end);
            let (wait, kind) = if connect < timeout { (connect, Failure::Refused) } else { (timeout, Failure::TimedOut) };
            self.put_evenly(start + wait, until + wait, end, entry(Due::Fail(kind), parts[2], delay + wait));
            let gone = entry(Due::Fail(Failure::TimedOut), parts[3] + late, delay + timeout);
            if gone.grains > 0 {
                self.put_evenly(start + timeout, until + timeout, end, gone);
                self.orphaned(service, late);
            }
            self.put_answers(service, entry(Due::Fail(Failure::Failed), wrong, delay), timeout, end, d);
            self.put_answers(service, entry(Due::Ok, left, delay), timeout, end, d);
        }
    }

    /// The share of late answers by attempt: a request has the same demand every time, so who failed is likelier to fail
    /// again, and the attempts' mean demand is beyond the requests'.
    fn late_by_attempt(&mut self, service: u32, route: u32, incoming: &[(u64, f64)], late: f64, d: f64) -> Vec<f64> {
        let timeout = self.routes[route as usize].client.timeout.as_secs_f64();
        let mut lates = vec![late; incoming.len()];
        let by_demand = (late > 1e-6).then(|| self.late_by_demand(service, timeout)).flatten();
        let Some((number, by_demand)) = by_demand.filter(|_| self.routes[route as usize].client.max_attempts > 1) else {
            for program in self.services[service as usize].programs.clone() {
                let program = &mut self.programs[program as usize];
                program.blend(&program.cpu.shares(), (d / timeout.max(1e-9)).min(1.0));
            }
            return lates;
        };
        let Ways { refused, silent, shed, dropped, error, .. } = self.services[service as usize].ways;
        let answered = (1.0 - refused - silent - shed - dropped).clamp(0.0, 1.0) * (1.0 - error);
        // Who comes again failed a time-out ago, more or less.
        let fails = self.routes[route as usize].fails.get_or_insert_with(|| Box::new([1e-6; DEMANDS]));
        let lag = (2.0 * d / timeout.max(1e-9)).min(1.0);
        for (fails, late) in fails.iter_mut().zip(&by_demand) {
            *fails += (1.0 - answered * (1.0 - late) - *fails) * lag;
        }
        let program = &mut self.programs[number as usize];
        let mut weights = program.cpu.shares();
        let (mut first, mut mix, mut all) = (0.0, [0.0; DEMANDS], 0.0);
        for (place, (grains, _)) in incoming.iter().enumerate() {
            let sum: f64 = weights.iter().sum();
            if sum <= 1e-300 {
                break;
            }
            let share = weights.iter().zip(&by_demand).map(|(weight, late)| weight * late).sum::<f64>() / sum;
            if place == 0 {
                first = share;
            }
            if first > 1e-9 {
                // What the atoms say of this attempt against the first; the first is known better.
                lates[place] = (1.0 - (1.0 - late) * (1.0 - share) / (1.0 - first).max(1e-9)).clamp(0.0, 1.0);
            }
            mix.iter_mut().zip(&weights).for_each(|(mix, weight)| *mix += weight / sum * *grains as f64);
            all += *grains as f64;
            weights.iter_mut().zip(fails.iter()).for_each(|(weight, fails)| *weight *= fails);
        }
        if all > 0.0 {
            program.blend(&mix.map(|share| share / all), lag);
        }
        lates
    }

    /// Spreads answers over the times of the tracers that are in time.
    fn put_answers(&mut self, service: u32, entry: Entry, timeout: f64, end: u64, d: f64) {
        if entry.grains == 0 {
            return;
        }
        let answers = std::mem::take(&mut self.services[service as usize].answers);
        let wanted_ok = matches!(entry.due, Due::Ok);
        let in_time = |tracer: &&Tracer| tracer.seconds <= timeout && (!wanted_ok || tracer.ok);
        let count = answers.iter().filter(in_time).count() as u64;
        let start = self.now as f64 / 1e9;
        let mut left = entry.grains;
        // Answers that take next to nothing of a long step: all but the step's last are in it, those come together.
        let (mut soon, mut soon_seconds) = (0, 0.0);
        for (place, tracer) in answers.iter().filter(in_time).enumerate() {
            let mut grains = left / (count - place as u64);
            left -= grains;
            let answer = Entry { delay: entry.delay + tracer.seconds, ..entry };
            if d > QUANTUM as f64 / 1e9 && tracer.seconds < 0.02 * d {
                let later = (tracer.seconds / d * grains as f64) as u64;
                (soon, soon_seconds) = (soon + later, soon_seconds + later as f64 * tracer.seconds);
                grains -= later;
                self.happen(Entry { grains, ..answer }, end);
            } else {
                self.put_answer(Entry { grains, ..answer }, start, tracer.seconds, end, d);
            }
        }
        if soon > 0 {
            let seconds = soon_seconds / soon as f64;
            self.put(start + d + seconds / 2.0, end, Entry { grains: soon, delay: entry.delay + seconds, ..entry });
        }
        if left > 0 {
            // Nobody was in time although some are: they just made it.
            let seconds = if timeout < 1e8 { timeout } else { 0.0 };
            self.put_answer(Entry { grains: left, delay: entry.delay + seconds, ..entry }, start, seconds, end, d);
        }
        self.services[service as usize].answers = answers;
    }

    fn put_answer(&mut self, entry: Entry, start: f64, seconds: f64, end: u64, d: f64) {
        if d <= QUANTUM as f64 / 1e9 {
            return self.put_evenly(start + seconds, start + d + seconds, end, entry);
        }
        // In a long step nothing changes: what came early enough is answered in it.
        let now = ((1.0 - seconds / d).max(0.0) * entry.grains as f64) as u64;
        self.happen(Entry { grains: now, ..entry }, end);
        let later = if seconds < d { start + d + seconds / 2.0 } else { start + d / 2.0 + seconds };
        self.put(later, end, Entry { grains: entry.grains - now, ..entry });
    }

    /// Work that is done for nobody.
    fn orphaned(&mut self, service: u32, grains: u64) {
        if let Some(pod) = self.services[service as usize].targets.first() {
            self.pods[*pod as usize].window_orphaned += grains as f64 / GRAINS as f64;
        }
    }

    /// Share of a route's calls that succeed within their attempts, when one attempt does with probability `one`.
    fn find_success(&mut self, route: u32, one: f64) {
        let route = &mut self.routes[route as usize];
        let fails = (1.0 - one).clamp(0.0, 1.0);
        let mut all = fails;
        for _ in 1..route.client.max_attempts.min(MOST_ATTEMPTS as u32) {
            all = fails * (1.0 - route.allowed + route.allowed * all);
        }
        route.succeeds = 1.0 - all;
    }

    /// Requests whose cpu work is done make their calls.
    fn begin_calls(&mut self, program: u32, d: f64) {
        let departed = self.programs[program as usize].departed;
        let mut well = 1.0;
        for group in 0..self.programs[program as usize].calls.len() {
            let mut all = 1.0;
            for place in 0..self.programs[program as usize].calls[group].len() {
                let (route, probability) = self.programs[program as usize].calls[group][place];
                let state = &mut self.routes[route as usize];
                let made = departed * probability * well * GRAINS as f64 + state.carry;
                let grains = libm::floor(made + 0.5).max(0.0);
                state.carry = made - grains;
                all *= 1.0 - probability * (1.0 - state.succeeds);
                self.arrive(route, grains as u64, d);
            }
            well *= all;
        }
    }

    /// Attempts that failed: tried again as far as that is allowed, or over.
    pub(super) fn attempt_failed(&mut self, route: u32, attempt: u32, grains: u64, failure: Failure, delay: f64, end: u64) {
        if grains == 0 {
            return;
        }
        let state = &mut self.routes[route as usize];
        let mut again = 0;
        if attempt < state.client.max_attempts.min(MOST_ATTEMPTS as u32) {
            again = grains;
            if let Some((_, least)) = state.client.retry_budget {
                again = grains.min((state.tokens + least * GRAINS as f64 * 10.0).max(0.0) as u64);
                state.tokens -= again as f64;
                let share = again as f64 / grains as f64;
                state.allowed += (share - state.allowed) * 0.2;
            }
        }
        let totals = &mut self.flows[state.flow as usize].totals;
        let over = grains - again;
        match failure {
            Failure::Shed => totals.shed += over,
            Failure::Refused => totals.refused += over,
            Failure::TimedOut => totals.timed_out += over,
            Failure::Failed => totals.failed += over,
        }
        if again == 0 {
            return;
        }
        self.flows[state.flow as usize].backoff += again;
        let (start, until) = (self.now as f64 / 1e9, end as f64 / 1e9);
        let full_jitter = state.client.full_jitter;
        let span = self.backoff(&self.routes[route as usize], attempt);
        let mean = if full_jitter { span / 2.0 } else { span };
        let entry = Entry { due: Due::Again, route, attempt: attempt + 1, grains: again, delay: delay + mean };
        let from = if full_jitter { start } else { start + span };
        self.put_evenly(from, until + span, end, entry);
    }
}
