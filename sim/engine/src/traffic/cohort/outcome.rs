//! How the attempts of a step end: shares in closed form, and tracers for how long it takes.
//!
//! How many attempts fail, and how, never comes from tracers where there is a closed form; only lateness behind calls does.

use super::super::station::Process;
use super::kernel::{DEMANDS, Kernel};
use super::tracers::Tracer;
use super::{Cohort, Due, Entry, Failure, GRAINS, QUANTUM};

/// Shares of the attempts at a service.
#[derive(Clone, Copy, Default)]
pub(super) struct Ways {
    pub(super) refused: f64,
    pub(super) silent: f64,
    pub(super) shed: f64,
    pub(super) dropped: f64,
    /// Answered with an error, among the answered.
    pub(super) error: f64,
    /// The part of `error` that is the service's own.
    pub(super) own_error: f64,
}

impl Ways {
    /// Share that is answered, with whatever.
    fn answered(&self) -> f64 {
        (1.0 - self.refused - self.silent - self.shed - self.dropped).clamp(0.0, 1.0)
    }
}

impl Cohort {
    pub(super) fn backoff(&self, route: &super::RouteState, attempt: u32) -> f64 {
        let client = &route.client;
        (client.backoff_base.as_secs_f64() * libm::exp2(f64::from(attempt - 1).min(40.0))).min(client.backoff_max.as_secs_f64())
    }

    /// How attempts would end now, callees first: what callers must know before the first step after a change.
    pub(super) fn foresee(&mut self) {
        for place in (0..self.order.len()).rev() {
            let service = self.order[place];
            for route in self.asking(service) {
                self.find_ways(service, route);
                let ways = self.routes[route as usize].ways;
                self.find_success(route, ways.answered() * (1.0 - ways.error));
            }
        }
    }

    /// Routes that lead to a service.
    fn asking(&self, service: u32) -> Vec<u32> {
        let routes = (0..).zip(&self.routes);
        routes.filter(|(_, route)| self.flows[route.flow as usize].service == service).map(|(number, _)| number).collect()
    }

    /// A step of one service: its pods move, its attempts are sorted, its calls begin.
    pub(super) fn serve(&mut self, service: u32, end: u64, d: f64) {
        let asking = self.asking(service);
        if self.services[service as usize].queue.is_some() {
            return self.serve_messages(service, &asking, d);
        }
        for route in &asking {
            let sent = self.admit(*route, end, d);
            self.send(service, *route, sent);
        }
        for program in self.services[service as usize].programs.clone() {
            if self.programs[program as usize].services.first() == Some(&service) {
                self.move_pods(program, end, d);
            }
        }
        for route in &asking {
            self.find_ways(service, *route);
        }
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

    /// Attempts of a step go to the pods behind a service, but for those that the callers leave alone.
    fn send(&mut self, service: u32, route: u32, sent: u64) {
        let targets = &self.services[service as usize].targets;
        let out = self.routes[route as usize].outliers.left_out(targets, self.now);
        let each = sent as f64 / GRAINS as f64 / (targets.len() - out.len()).max(1) as f64;
        for pod in targets.iter().filter(|pod| !out.contains(pod)) {
            let pod = &mut self.pods[*pod as usize];
            if pod.process == Process::Running {
                pod.arrivals += each;
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
            self.routes[route as usize].connected += grains;
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
                self.succeeded(*route, 1, grains, delay);
            }
            self.routes[*route as usize].succeeds = 1.0;
        }
        self.serve_queue(service, came, d);
        for program in self.services[service as usize].programs.clone() {
            self.begin_calls(program, d);
        }
    }

    /// Shares of a route's attempts at a service, after its pods have moved.
    fn find_ways(&mut self, service: u32, route: u32) {
        let state = &self.services[service as usize];
        let out = self.routes[route as usize].outliers.left_out(&state.targets, self.now);
        let count = (state.targets.len() - out.len()) as f64;
        let mut ways = Ways { refused: f64::from(u8::from(state.targets.is_empty())), ..Ways::default() };
        let mut last = (u32::MAX, 0.0, 0.0);
        let mut running = 0.0;
        for pod in state.targets.iter().filter(|pod| !out.contains(pod)) {
            let pod = &self.pods[*pod as usize];
            match pod.process {
                Process::Stopped => ways.refused += 1.0 / count,
                Process::Silent => ways.silent += 1.0 / count,
                Process::Running => {
                    ways.shed += pod.shed / count;
                    ways.dropped += pod.dropped / count;
                    if last.0 != pod.program {
                        let program = &self.programs[pod.program as usize];
                        let well: f64 = program.calls.iter().flatten().map(|planned| self.made(program, planned).ends_well()).product();
                        last = (pod.program, 1.0 - (1.0 - program.behavior.error_ratio) * well, program.behavior.error_ratio);
                    }
                    running += 1.0;
                    ways.error += (last.1 - ways.error) / running;
                    ways.own_error += (last.2 - ways.own_error) / running;
                }
            }
        }
        self.critical |= ways.shed + ways.dropped > 0.001;
        self.routes[route as usize].ways = ways;
    }

    /// Share of the attempts at one pod that fail, where this share of answers is late.
    pub(super) fn fails_at(&self, pod: u32, late: f64, ways: &Ways) -> f64 {
        let pod = &self.pods[pod as usize];
        match pod.process {
            Process::Stopped | Process::Silent => 1.0,
            Process::Running => 1.0 - (1.0 - pod.shed - pod.dropped).max(0.0) * (1.0 - late) * (1.0 - ways.error),
        }
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
        let timeout = self.routes[route as usize].timeout();
        let connect = self.routes[route as usize].client.connect_timeout.as_secs_f64();
        let ways = self.routes[route as usize].ways;
        let Ways { refused, silent, shed, dropped, error, own_error } = ways;
        let [late_well, late_failed] = self.late(service, timeout);
        let well = ((1.0 - error) / (1.0 - own_error).max(1e-12)).min(1.0);
        let late = well * late_well + (1.0 - well) * late_failed;
        let right = (1.0 - error) * (1.0 - late_well);
        // Of the answers in time; where all are late it does not matter.
        let error = (1.0 - right / (1.0 - late).max(1e-12)).clamp(0.0, 1.0);
        self.critical |= late > 0.001 && late < 0.999;
        self.find_success(route, ways.answered() * right);
        self.find_hold(route, late);
        let start = self.now as f64 / 1e9;
        let until = start + d;
        let incoming = std::mem::take(&mut self.routes[route as usize].incoming);
        self.remember_outliers(route, incoming.iter().map(|(grains, _)| grains).sum(), late);
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
            self.routes[route as usize].connected += served + parts[2] + parts[3];
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
        let timeout = self.routes[route as usize].timeout();
        let mut lates = vec![late; incoming.len()];
        let by_demand = (late > 1e-6).then(|| self.late_by_demand(service, timeout)).flatten();
        let Some((number, by_demand)) = by_demand.filter(|_| self.routes[route as usize].client.max_attempts > 1) else {
            for program in self.services[service as usize].programs.clone() {
                let program = &mut self.programs[program as usize];
                program.blend(&program.cpu.shares(), (d / timeout.max(1e-9)).min(1.0));
            }
            return lates;
        };
        let ways = &self.routes[route as usize].ways;
        let answered = ways.answered() * (1.0 - ways.error);
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

    /// How long an attempt of a route holds its connection, where that matters.
    fn find_hold(&mut self, route: u32, late: f64) {
        let state = &self.routes[route as usize];
        if !state.has_limits() {
            return;
        }
        let (timeout, ways) = (state.timeout(), &state.ways);
        let connect = state.client.connect_timeout.as_secs_f64().min(timeout);
        let answers = &self.services[self.flows[state.flow as usize].service as usize].answers;
        let (sum, count) = answers
            .iter()
            .map(|tracer| tracer.seconds)
            .filter(|seconds| *seconds <= timeout)
            .fold((0.0, 0.0), |(sum, count), seconds| (sum + seconds, count + 1.0));
        let answer = if count > 0.0 { sum / count } else { 0.0 };
        let mean = ways.silent * connect + ways.dropped * timeout + ways.answered() * (late * timeout + (1.0 - late) * answer);
        let sent = 1.0 - ways.shed - ways.refused;
        self.routes[route as usize].holds = if sent > 1e-9 { mean / sent } else { 0.0 };
    }

    /// Work that is done for nobody.
    fn orphaned(&mut self, service: u32, grains: u64) {
        if let Some(pod) = self.services[service as usize].targets.first() {
            self.pods[*pod as usize].window_orphaned += grains as f64 / GRAINS as f64;
        }
    }

    /// Attempts that failed: tried again as far as that is allowed, or over.
    pub(super) fn attempt_failed(&mut self, route: u32, attempt: u32, grains: u64, failure: Failure, delay: f64, end: u64) {
        if grains == 0 {
            return;
        }
        let state = &mut self.routes[route as usize];
        state.ended(attempt, grains);
        let again = if attempt < state.attempts() { state.allow_retries(grains, failure, &self.tables) } else { 0 };
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
