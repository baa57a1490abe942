//! Attempts that wait for a connection: as many are under way for each caller as its pool has, the others stand in line.
//!
//! How many stand in line is known from a queue with as many workers as there are connections, each held as long as an
//! attempt takes; who is sent has waited as long as the line says, first in first out. Callers run out of time together.

use std::collections::VecDeque;

use super::kernel::gamma_quantile;
use super::station::Queue;
use super::table::Table;
use super::{GRAINS, QUANTUM};

/// Waits are not spread more than that; what is spread more is mostly nothing.
const MOST_CV2: f64 = 4.0;

pub(super) struct Pool {
    table: usize,
    /// Connections of one caller.
    pub(super) most: f64,
    waiting: VecDeque<Waiting>,
    grains: u64,
    /// Those of one caller that wait or have a connection.
    queue: Queue,
    /// How long those waited that were sent last, and how long those will who come now, in seconds.
    pub(super) waited: f64,
    ahead: f64,
    /// Squared coefficient of variation of that: some callers have more in line than others.
    ahead_cv2: f64,
    /// Some of those who come now will not be sent in time.
    pub(super) overdue: bool,
}

struct Waiting {
    since: u64,
    attempt: Attempt,
}

/// Attempts that are alike.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) grains: u64,
    /// Mean time since the intended start, in seconds.
    pub(super) delay: f64,
}

/// A step, and the callers in it.
#[derive(Clone, Copy)]
pub(super) struct Callers {
    pub(super) now: u64,
    pub(super) end: u64,
    pub(super) count: f64,
    /// Grains that had a connection when the step began, and for how long each has it, in seconds.
    pub(super) taken: u64,
    pub(super) holds: f64,
    /// After which an attempt is over, in nanoseconds.
    pub(super) timeout: u64,
}

impl Callers {
    fn seconds(&self) -> f64 {
        (self.end - self.now) as f64 / 1e9
    }
    /// Much shorter than the step, a wait is known in the mean only (Little), and nobody's time is over.
    const fn is_long(&self) -> bool {
        self.end - self.now > 2 * QUANTUM
    }
    fn of_each(&self, grains: u64) -> f64 {
        grains as f64 / GRAINS as f64 / self.count
    }
}

/// Who leaves the line in a step: some with a connection, some because their time is over.
#[derive(Default)]
pub(super) struct Left {
    pub(super) sent: Vec<Attempt>,
    pub(super) over: Vec<Attempt>,
}

impl Pool {
    pub(super) fn new(table: usize, most: u32) -> Self {
        Self {
            table,
            most: f64::from(most.max(1)),
            waiting: VecDeque::new(),
            grains: 0,
            queue: Queue::default(),
            waited: 0.0,
            ahead: 0.0,
            ahead_cv2: 0.0,
            overdue: false,
        }
    }

    /// A step: who came waits in line, and as many are sent as find a connection.
    pub(super) fn pass(&mut self, came: impl Iterator<Item = Attempt>, callers: &Callers, tables: &[Table]) -> Left {
        let before = self.grains;
        for attempt in came.filter(|attempt| attempt.grains > 0) {
            self.grains += attempt.grains;
            self.waiting.push_back(Waiting { since: callers.now, attempt });
        }
        let arrivals = callers.of_each(self.grains - before) / callers.seconds();
        let capacity = self.most / callers.holds.max(1e-6);
        let in_line = self.stand(&tables[self.table], arrivals, capacity, before, callers);
        let left = self.leave(in_line, callers);
        if !left.over.is_empty() && arrivals > capacity {
            // What waits falls short of the deadline by an exponential of the excess.
            let short = capacity / (arrivals - capacity);
            self.queue.variance = self.queue.variance.min(short * (1.0 + short));
        }
        self.look_ahead(callers);
        left
    }

    /// Grains that stand in line at the step's end.
    fn stand(&mut self, table: &Table, arrivals: f64, capacity: f64, before: u64, callers: &Callers) -> u64 {
        self.queue.x = callers.of_each(before + callers.taken);
        if callers.is_long() {
            self.queue.variance = table.at(self.queue.x).variance;
        }
        self.queue = self.queue.moved(table, callers.seconds(), arrivals, capacity, 0.0).queue;
        let Queue { x, variance, piled } = self.queue;
        let busy = table.busy(&table.at(x), variance, arrivals / capacity, piled).share;
        ((x - self.most * busy).max(0.0) * callers.count * GRAINS as f64) as u64
    }

    /// The first in line leave, down to what stands there at the end.
    fn leave(&mut self, in_line: u64, callers: &Callers) -> Left {
        let mut left = Left::default();
        let all = self.grains.saturating_sub(in_line);
        let (mut most, mut waited) = (all, 0.0);
        let (long, mean_wait) = (callers.is_long(), callers.seconds() * in_line as f64 / all.max(1) as f64);
        while let Some(Waiting { since, attempt }) = self.waiting.front_mut() {
            let late = !long && *since < callers.now && since.saturating_add(callers.timeout) <= callers.end;
            let grains = if late { attempt.grains } else { attempt.grains.min(most) };
            if grains == 0 {
                break;
            }
            self.grains -= grains;
            let after = |seconds: f64| Attempt { grains, delay: attempt.delay + seconds, ..*attempt };
            if late {
                left.over.push(after(callers.timeout as f64 / 1e9));
            } else {
                let age = if long { mean_wait } else { (callers.now - *since) as f64 / 1e9 };
                waited += age * grains as f64;
                most -= grains;
                left.sent.push(after(age));
            }
            attempt.grains -= grains;
            if attempt.grains == 0 {
                self.waiting.pop_front();
            }
        }
        if long {
            self.waiting.iter_mut().for_each(|waiting| waiting.since = callers.end);
        }
        if all > most {
            self.waited = waited / (all - most) as f64;
        }
        left
    }

    /// Who comes now has as many before him, and they leave as fast as connections come free.
    fn look_ahead(&mut self, callers: &Callers) {
        let taken = callers.of_each(callers.taken).max(1.0 / callers.count);
        let in_line = callers.of_each(self.grains);
        let ahead = in_line * callers.holds / taken;
        self.overdue = ahead > 0.9 * callers.timeout as f64 / 1e9;
        (self.ahead, self.ahead_cv2) =
            if self.overdue { (self.waited, 0.0) } else { (ahead, (self.queue.variance / (in_line * in_line).max(1.0)).min(MOST_CV2)) };
    }

    /// How long one waits who comes now, with this uniform number, in seconds.
    pub(super) fn will_wait(&self, uniform: f64) -> f64 {
        gamma_quantile(self.ahead, self.ahead_cv2, uniform)
    }
}
