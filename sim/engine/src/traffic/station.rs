//! One pod's process as a queueing station: accept queue, slots, cpu.
//!
//! Cpu time is kept as virtual time: `V` grows at `rate` (cpu nanoseconds that each running request
//! gets per nanosecond, at most 1), a request that starts at `V` and needs `demand` is done when `V`
//! reaches `V + demand`. A change of speed moves nobody's tag, so work is conserved to the nanosecond,
//! and one calendar entry per station is enough, however many requests run.
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

use super::calendar::NEVER;

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
    pub(super) stress: Stress,
    pub(super) window: StationWindow,
    /// Services that list it.
    pub(super) listed: u32,
    /// The pod object is gone; the place is given back once nobody lists it.
    pub(super) gone: bool,
}

/// Whether probes could fail.
#[derive(Clone, Copy)]
pub(super) struct Stress {
    /// A wait beyond this makes a probe doubtful; `NEVER` when nobody probes.
    pub(super) limit_nanos: u64,
    pub(super) stressed: bool,
    /// A look is in the calendar.
    pub(super) look_armed: bool,
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
            node: 0,
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
            stress: Stress { limit_nanos: NEVER, stressed: false, look_armed: false },
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
        self.running.pop();
        self.cpu_base += i128::from(tag);
        Some(job)
    }

    /// When the first running request will have had its cpu time, as things stand; `u64::MAX` when none will.
    pub(super) fn next_completion(&self) -> u64 {
        let Some(Reverse((tag, _))) = self.running.peek() else { return u64::MAX };
        let left = tag.saturating_sub(self.virtual_nanos);
        match self.rate {
            0 => u64::MAX,
            FULL_RATE => self.anchor.saturating_add(left),
            rate => {
                let nanos = (u128::from(left) << 32).div_ceil(u128::from(rate));
                u64::try_from(u128::from(self.anchor) + nanos).unwrap_or(u64::MAX)
            }
        }
    }

    /// Its rate when the node has cpu enough for everyone.
    pub(super) fn own_rate(&self) -> u64 {
        let wanted = self.running.len() as u64 * 1000;
        let cores = self.cores_millis as u64;
        if wanted <= cores { FULL_RATE } else { (cores << 32) / wanted }
    }

    /// Its rate with so many millicores.
    pub(super) fn rate_with(&self, granted_millis: f64) -> u64 {
        let part = granted_millis / (self.running.len().max(1) as f64 * 1000.0);
        ((part * FULL_RATE as f64) as u64).min(FULL_RATE)
    }

    /// Cpu that it could use, in millicores.
    pub(super) fn wanted_millis(&self) -> i64 {
        (self.running.len() as i64).saturating_mul(1000).min(self.cores_millis)
    }

    /// The most cpu that it could ever use, in millicores.
    pub(super) fn most_millis(&self) -> i64 {
        i64::from(self.workers).saturating_mul(1000).min(self.cores_millis)
    }

    /// Goes on at another speed.
    pub(super) fn set_rate(&mut self, rate: u64, now: u64) {
        if rate != self.rate {
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
        let speed = u128::from(self.rate) * self.running.len() as u128;
        let queue = (u128::from(self.ahead) << 32).checked_div(speed).unwrap_or(u128::from(NEVER));
        let queue = u64::try_from(queue).unwrap_or(NEVER);
        self.next_completion().saturating_sub(now).saturating_add(queue)
    }

    /// Since when nobody has got a slot, if all are taken.
    pub(super) fn stuck_since(&self, first_in_line: Option<u64>) -> Option<u64> {
        self.is_exhausted().then(|| first_in_line.unwrap_or(self.exhausted_at))
    }

    /// Forgets everything it held; cpu already used stays used.
    pub(super) fn drop_work(&mut self, now: u64) {
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
            now = station.next_completion();
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
            let at = station.next_completion();
            assert_eq!(station.take_finished(at - 1), None);
            assert_eq!(station.take_finished(at), Some(0));
            assert_eq!(station.cpu_used_nanos(at), 12_345);
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
