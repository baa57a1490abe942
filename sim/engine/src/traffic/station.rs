//! One pod's process as a queueing station: accept queue, slots, cpu.
//!
//! Cpu time is kept as virtual time: `V` grows at `rate` (cpu nanoseconds that each running request
//! gets per nanosecond, at most 1), a request that starts at `V` and needs `demand` is done when `V`
//! reaches `V + demand`. A change of speed moves nobody's tag, so work is conserved to the nanosecond,
//! and one calendar entry per station is enough, however many requests run.
//!
//! A cpu limit is a quota (CFS bandwidth control, kernel/sched/fair.c): in every period of 100 ms the pod runs
//! at full speed until `limit x period` of cpu is used, then not at all until the next period. Periods are
//! counted from the start of the process. Without a period the limit is a slower core.
//!
//! Workers (FIFO, `concurrency` given) run at most `min(concurrency, ceil(cores))` requests at once;
//! without a limit on concurrency all run at once (processor sharing). In both, `rate = min(1, cores/running)`.
//!
//! Invariants: `running <= workers`, `slots_used <= concurrency`, `accept.len() <= queue_limit`;
//! `rate·running <= cores`; cpu used = finished demands + what the running ones have had.
//! Not here: who calls, what a request does after its cpu time (`server.rs`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use api::Uid;

use super::ProcessStarted;
use super::calendar::NEVER;
use super::sharing::LEAST_WEIGHT;
use super::slab::NONE;

/// A rate of one cpu nanosecond per nanosecond, in 2^-32.
pub(super) const FULL_RATE: u64 = 1 << 32;

/// Whether there is a process, and whether it can be heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Process {
    /// Nobody listens: refused at once.
    Stopped,
    /// Serves, terminating or not.
    Running,
    /// Nothing comes back.
    Silent,
}

pub(super) struct Station {
    pub(super) pod: Uid,
    pub(super) process: Process,
    pub(super) program: u32,
    pub(super) node: u32,
    /// What NetworkPolicies know it as.
    pub(super) end: u32,
    /// Its process by number: connections to another are no longer any good.
    pub(super) epoch: u32,
    /// Cpu the pod may use, and its weight among the node's pods, in millicores.
    pub(super) cores_millis: i64,
    pub(super) weight_millis: i64,
    /// Cpu it could use right now, as its node knows it.
    pub(super) demand_millis: i64,
    /// Cpu it got when its full node last shared out.
    pub(super) granted_millis: f64,
    pub(super) concurrency: u32,
    pub(super) workers: u32,
    pub(super) queue_limit: u32,
    /// Requests waiting for a slot.
    pub(super) accept: VecDeque<u32>,
    pub(super) slots_used: u32,
    /// Requests with a slot, waiting for a worker.
    pub(super) waiting: VecDeque<u32>,
    /// Requests on a worker, by the virtual time at which they are done.
    running: BinaryHeap<Reverse<(u64, u32)>>,
    /// Demand of everything in `accept` and `waiting`, in cpu nanoseconds.
    pub(super) ahead: u64,
    /// `V` at `anchor`, growing at `rate` since.
    virtual_nanos: u64,
    anchor: u64,
    rate: u64,
    /// The instant of its valid calendar entry.
    pub(super) armed_at: u64,
    /// Finished demand minus the virtual start times of what runs.
    cpu_base: i128,
    /// Since when all slots were taken.
    pub(super) exhausted_at: u64,
    /// Requests served by this process.
    pub(super) served: u64,
    pub(super) quota: Quota,
    pub(super) memory: Option<Box<Memory>>,
    pub(super) stress: Stress,
    pub(super) window: StationWindow,
    /// Services that list it.
    pub(super) listed: u32,
    /// The pod object is gone; the place is given back once nobody lists it.
    pub(super) gone: bool,
}

/// CFS bandwidth control of one pod.
#[derive(Clone, Copy, Default)]
pub(super) struct Quota {
    /// Cpu time per period; zero: no quota.
    pub(super) quota_nanos: u64,
    pub(super) period_nanos: u64,
    period_end: u64,
    /// Cpu used when the period began.
    used_before: u64,
    throttled: bool,
    /// The instant of its valid calendar entry; zero: none.
    pub(super) armed_at: u64,
}

/// Memory of one process.
pub(super) struct Memory {
    pub(super) uses: crate::spec::ServiceMemory,
    pub(super) limit_bytes: i64,
    pub(super) started_at: u64,
    /// It was said that it is beyond its limit.
    pub(super) told: bool,
}

impl Memory {
    /// What it takes now.
    pub(super) fn bytes(&self, held: u64, served: u64, now: u64) -> i64 {
        let leaked = i128::from(now - self.started_at) * i128::from(self.uses.leak_per_second_bytes) / 1_000_000_000;
        let bytes = i128::from(self.uses.base_bytes)
            + leaked
            + i128::from(held) * i128::from(self.uses.per_in_flight_bytes)
            + i128::from(served) * i128::from(self.uses.leak_per_request_bytes);
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    /// When it reaches its limit by what it loses per second alone; `NEVER` when it does not.
    pub(super) fn full_at(&self, held: u64, served: u64, now: u64) -> u64 {
        let left = self.limit_bytes.saturating_sub(self.bytes(held, served, now));
        let per_second = self.uses.leak_per_second_bytes;
        if left <= 0 {
            return now;
        }
        if per_second <= 0 {
            return NEVER;
        }
        let nanos = (i128::from(left) * 1_000_000_000 + i128::from(per_second) - 1) / i128::from(per_second);
        now.saturating_add(u64::try_from(nanos).unwrap_or(NEVER))
    }
}

/// Whether probes could fail.
#[derive(Clone, Copy)]
pub(super) struct Stress {
    /// A wait beyond this makes a probe doubtful; `NEVER` when nobody probes.
    pub(super) limit_nanos: u64,
    pub(super) stressed: bool,
    /// A look is in the calendar.
    pub(super) look_armed: bool,
    /// When the last stress was over.
    pub(super) relieved_at: u64,
}

/// What is counted per window.
#[derive(Default)]
pub(super) struct StationWindow {
    pub(super) active: bool,
    pub(super) shed: u64,
    pub(super) orphaned: u64,
    pub(super) cpu_before_nanos: u64,
}

impl Station {
    /// A pod of which nothing is known but that it is listed.
    pub(super) fn unknown(pod: Uid) -> Self {
        Self {
            pod,
            process: Process::Stopped,
            program: 0,
            node: NONE,
            end: NONE,
            epoch: 0,
            cores_millis: 0,
            weight_millis: 0,
            demand_millis: 0,
            granted_millis: 0.0,
            concurrency: 0,
            workers: 0,
            queue_limit: 0,
            accept: VecDeque::new(),
            slots_used: 0,
            waiting: VecDeque::new(),
            running: BinaryHeap::new(),
            ahead: 0,
            virtual_nanos: 0,
            anchor: 0,
            rate: FULL_RATE,
            armed_at: u64::MAX,
            cpu_base: 0,
            exhausted_at: 0,
            served: 0,
            quota: Quota::default(),
            memory: None,
            stress: Stress { limit_nanos: NEVER, stressed: false, look_armed: false, relieved_at: 0 },
            window: StationWindow::default(),
            listed: 0,
            gone: false,
        }
    }

    /// Requests on workers.
    pub(super) fn running(&self) -> u32 {
        self.running.len() as u32
    }
    /// Whether all slots are taken.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.slots_used >= self.concurrency
    }
    /// Whether a request that came now would be turned away.
    pub(super) fn is_full(&self) -> bool {
        self.is_exhausted() && self.accept.len() >= self.queue_limit as usize
    }
    /// Whether it holds no request at all.
    pub(super) fn is_empty(&self) -> bool {
        self.slots_used == 0 && self.accept.is_empty()
    }

    const fn virtual_at(&self, now: u64) -> u64 {
        let elapsed = now - self.anchor;
        if self.rate == FULL_RATE {
            return self.virtual_nanos + elapsed;
        }
        self.virtual_nanos + ((elapsed as u128 * self.rate as u128) >> 32) as u64
    }

    /// Cpu time used since the first process of the pod started.
    pub(super) fn cpu_used_nanos(&self, now: u64) -> u64 {
        (self.cpu_base + self.running.len() as i128 * i128::from(self.virtual_at(now))) as u64
    }

    /// Puts a request on a worker.
    pub(super) fn start(&mut self, job: u32, demand_nanos: u64, now: u64) {
        self.begin_periods(now);
        let start = self.virtual_at(now);
        self.cpu_base -= i128::from(start);
        self.running.push(Reverse((start.saturating_add(demand_nanos), job)));
    }

    /// Takes off its worker a request that has had its cpu time.
    pub(super) fn take_finished(&mut self, now: u64) -> Option<u32> {
        let Reverse((tag, job)) = *self.running.peek()?;
        if tag > self.virtual_at(now) {
            return None;
        }
        self.begin_periods(now);
        self.running.pop();
        self.cpu_base += i128::from(tag);
        Some(job)
    }

    /// Takes a request off its worker before its time; `false` when it is on none.
    pub(super) fn take_off(&mut self, job: u32, now: u64) -> bool {
        let before = self.running.len();
        self.begin_periods(now);
        self.running.retain(|Reverse((_, other))| *other != job);
        if self.running.len() == before {
            return false;
        }
        self.cpu_base += i128::from(self.virtual_at(now));
        true
    }

    /// Gives the process a cpu quota, its first period beginning now; zero: none.
    /// Gives it the cpu that a process has: cores, quota and weight, and how many requests its workers run at once.
    pub(super) fn give_cpu(&mut self, process: &ProcessStarted, now: u64) {
        let node_cpu_millis = process.node_cpu_millis.max(0);
        let limit = process.cpu_limit_millis.filter(|limit| *limit > 0).unwrap_or(node_cpu_millis);
        let period = process.behavior.cfs_period.as_nanos();
        let has_quota = period > 0 && limit < node_cpu_millis;
        let quota_nanos = if has_quota { (u128::from(period) * limit as u128 / 1000).max(1) as u64 } else { 0 };
        self.cores_millis = if has_quota { node_cpu_millis } else { limit.min(node_cpu_millis) };
        self.weight_millis = process.cpu_request_millis.max(LEAST_WEIGHT);
        let cores = (self.cores_millis as u64).div_ceil(1000).clamp(1, u64::from(u32::MAX)) as u32;
        self.workers = if self.concurrency == u32::MAX { u32::MAX } else { self.concurrency.min(cores) };
        self.set_quota(quota_nanos, period, now);
    }

    pub(super) fn set_quota(&mut self, quota_nanos: u64, period_nanos: u64, now: u64) {
        let period_end = now.saturating_add(period_nanos);
        let used_before = self.cpu_used_nanos(now);
        let armed_at = self.quota.armed_at;
        self.quota = Quota { quota_nanos, period_nanos, period_end, used_before, throttled: false, armed_at };
    }

    /// Periods that have passed since the last change, none of which can have used up its quota.
    fn begin_periods(&mut self, now: u64) {
        let Quota { quota_nanos, period_nanos, period_end, throttled, .. } = self.quota;
        if quota_nanos == 0 || now < period_end || throttled {
            return;
        }
        let begun = period_end + (now - period_end) / period_nanos * period_nanos;
        let since = (u128::from(self.rate) * self.running.len() as u128 * u128::from(now - begun)) >> 32;
        self.quota.used_before = self.cpu_used_nanos(now).saturating_sub(since as u64);
        self.quota.period_end = begun + period_nanos;
    }

    /// When its quota will be used up, or comes anew, as things stand; `u64::MAX` when nothing will change.
    pub(super) fn quota_due(&mut self, now: u64) -> u64 {
        if self.quota.quota_nanos == 0 {
            return u64::MAX;
        }
        if self.quota.throttled {
            return self.quota.period_end;
        }
        self.begin_periods(now);
        let Quota { quota_nanos, period_nanos, period_end, used_before, .. } = self.quota;
        let speed = u128::from(self.rate) * self.running.len() as u128;
        if speed == 0 {
            return u64::MAX;
        }
        let span = |cpu: u64| u64::try_from((u128::from(cpu) << 32).div_ceil(speed)).unwrap_or(NEVER);
        let left = quota_nanos.saturating_sub(self.cpu_used_nanos(now) - used_before);
        let here = now.saturating_add(span(left));
        if here < period_end {
            here
        } else if span(quota_nanos) < period_nanos {
            period_end + span(quota_nanos)
        } else {
            u64::MAX
        }
    }

    /// What [`Self::quota_due`] foresaw may have come.
    pub(super) fn quota_check(&mut self, now: u64) {
        if self.quota.throttled {
            if now >= self.quota.period_end {
                self.quota.throttled = false;
                self.quota.used_before = self.cpu_used_nanos(now);
                self.quota.period_end = now + self.quota.period_nanos;
            }
            return;
        }
        self.begin_periods(now);
        let used = self.cpu_used_nanos(now) - self.quota.used_before;
        // Each running request may be short of a nanosecond by rounding.
        if used + self.running.len() as u64 >= self.quota.quota_nanos {
            self.quota.throttled = true;
        }
    }

    /// When the first running request will have had its cpu time, as things stand; `u64::MAX` when none will.
    pub(super) fn next_completion(&self, now: u64) -> u64 {
        let Some(Reverse((tag, _))) = self.running.peek() else { return u64::MAX };
        let left = tag.saturating_sub(self.virtual_nanos);
        // `V` is whole nanoseconds, so work that takes none, such as a probe's, would be over before it began.
        now.max(match self.rate {
            0 => u64::MAX,
            FULL_RATE => self.anchor.saturating_add(left),
            rate => {
                let nanos = (u128::from(left) << 32).div_ceil(u128::from(rate));
                u64::try_from(u128::from(self.anchor) + nanos).unwrap_or(u64::MAX)
            }
        })
    }

    /// Its rate when the node has cpu enough for everyone.
    pub(super) fn own_rate(&self) -> u64 {
        if self.quota.throttled {
            return 0;
        }
        let wanted = self.running.len() as u64 * 1000;
        let cores = self.cores_millis as u64;
        if wanted <= cores { FULL_RATE } else { (cores << 32) / wanted }
    }

    /// Its rate with so many millicores.
    pub(super) fn rate_with(&self, granted_millis: f64) -> u64 {
        if self.quota.throttled {
            return 0;
        }
        let part = granted_millis / (self.running.len().max(1) as f64 * 1000.0);
        ((part * FULL_RATE as f64) as u64).min(FULL_RATE)
    }

    /// Cpu that it could use, in millicores.
    pub(super) fn wanted_millis(&self) -> i64 {
        if self.quota.throttled {
            return 0;
        }
        (self.running.len() as i64).saturating_mul(1000).min(self.cores_millis)
    }

    /// The most cpu that it could ever use, in millicores.
    pub(super) fn most_millis(&self) -> i64 {
        i64::from(self.workers).saturating_mul(1000).min(self.cores_millis)
    }

    /// Goes on at another speed.
    pub(super) fn set_rate(&mut self, rate: u64, now: u64) {
        if rate != self.rate {
            self.begin_periods(now);
            self.virtual_nanos = self.virtual_at(now);
            self.anchor = now;
            self.rate = rate;
        }
    }

    /// How long a request that came now would wait for a worker, were its slot free.
    pub(super) fn expected_wait_nanos(&self, now: u64) -> u64 {
        if self.running() < self.workers {
            return 0;
        }
        let mut speed = u128::from(self.rate) * self.running.len() as u128;
        let mut first = self.next_completion(now).saturating_sub(now);
        let Quota { quota_nanos, period_nanos, period_end, throttled, .. } = self.quota;
        if quota_nanos > 0 {
            let share = (u128::from(quota_nanos) << 32) / u128::from(period_nanos.max(1));
            if throttled {
                (speed, first) = (share, period_end.saturating_sub(now));
            }
            speed = speed.min(share);
        }
        let queue = (u128::from(self.ahead) << 32).checked_div(speed).unwrap_or(u128::from(NEVER));
        let queue = u64::try_from(queue).unwrap_or(NEVER);
        first.saturating_add(queue)
    }

    /// Since when nobody has got a slot, if all are taken.
    pub(super) fn stuck_since(&self, first_in_line: Option<u64>) -> Option<u64> {
        self.is_exhausted().then(|| first_in_line.unwrap_or(self.exhausted_at))
    }

    /// Forgets everything it held; cpu already used stays used.
    pub(super) fn drop_work(&mut self, now: u64) {
        self.begin_periods(now);
        self.cpu_base = i128::from(self.cpu_used_nanos(now));
        self.accept.clear();
        self.waiting.clear();
        self.running.clear();
        self.slots_used = 0;
        self.ahead = 0;
        self.armed_at = u64::MAX;
        self.stress.stressed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(cores_millis: i64) -> Station {
        Station { process: Process::Running, cores_millis, workers: 4, concurrency: 4, ..Station::unknown(Uid(1)) }
    }

    #[test]
    fn work_is_conserved_to_the_nanosecond_however_often_the_speed_changes() {
        let mut station = station(4000);
        station.start(0, 1_000_003, 0);
        station.start(1, 2_000_001, 17);
        let mut now = 17;
        for step in 1..2000u64 {
            now += step % 7;
            station.set_rate(FULL_RATE / (1 + step % 5) - step % 3, now);
        }
        let mut done = Vec::new();
        while station.running() > 0 {
            now = station.next_completion(now);
            done.extend(station.take_finished(now));
        }
        assert_eq!(done, [0, 1]);
        assert_eq!(station.cpu_used_nanos(now), 3_000_004);
    }

    #[test]
    fn the_instant_of_a_completion_is_the_first_at_which_the_work_is_done() {
        for rate in [1, 3, FULL_RATE / 3, FULL_RATE / 2 + 1, FULL_RATE - 1, FULL_RATE] {
            let mut station = station(4000);
            station.set_rate(rate, 0);
            station.start(0, 12_345, 0);
            let at = station.next_completion(0);
            assert_eq!(station.take_finished(at - 1), None);
            assert_eq!(station.take_finished(at), Some(0));
            assert_eq!(station.cpu_used_nanos(at), 12_345);
        }
    }

    #[test]
    fn work_that_takes_no_time_is_not_over_before_it_begins() {
        for now in 1..100 {
            let mut station = station(4000);
            station.set_rate(FULL_RATE / 3 * 2, 0);
            station.start(0, 0, now);
            assert_eq!(station.next_completion(now), now);
            assert_eq!(station.take_finished(now), Some(0));
        }
    }

    #[test]
    fn running_requests_share_what_cores_there_are() {
        let mut station = station(1500);
        station.start(0, 1_000, 0);
        assert_eq!(station.own_rate(), FULL_RATE);
        station.start(1, 1_000, 0);
        assert_eq!(station.own_rate(), FULL_RATE / 4 * 3);
    }
}
