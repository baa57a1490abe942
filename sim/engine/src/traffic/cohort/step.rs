//! One step of one pod: what came goes through the accept queue and the cpu work, and holds a slot afterwards.
//!
//! A pure function of the pod's state ([`Before`]), so that equal pods are computed once. Where work leaves at its
//! deadline the queue holds what will be served, and [`Line`] everything that really stands in line.

use std::collections::VecDeque;

use super::kernel::Kernel;
use super::station::{Moved, Queue};
use super::table::{Parts, Point, Table};
use super::{ProgramState, QUANTUM};

/// Over which time what comes beyond what is served is averaged, where work leaves at its deadline.
const EXCESS_SECONDS: f64 = 0.2;
/// Far beyond any run.
const FOR_EVER: f64 = 1e7;

/// Requests in line where work leaves at its deadline.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Line {
    /// Until when they came, and how many.
    pub(super) pieces: VecDeque<(u64, f64)>,
    pub(super) sum: f64,
    /// Cpu at the last step, in millicores.
    pub(super) granted_millis: f64,
    /// What came per second of late.
    pub(super) rate: f64,
}

impl Line {
    /// A step until `end`: some came, some were served, and those leave who came before `deadline` and are not in work.
    pub(super) fn moved(&mut self, end: u64, came: f64, served: f64, in_work: f64, deadline: u64) {
        self.pieces.push_back((end, came));
        self.sum += came;
        let mut served = served.min(self.sum);
        self.sum -= served;
        while let Some((_, piece)) = self.pieces.front_mut() {
            let part = served.min(*piece);
            (*piece, served) = (*piece - part, served - part);
            if *piece > 1e-9 {
                break;
            }
            self.pieces.pop_front();
        }
        while let Some((came_at, piece)) = self.pieces.front_mut() {
            let part = piece.min(self.sum - in_work);
            if *came_at > deadline || part <= 0.0 {
                break;
            }
            (*piece, self.sum) = (*piece - part, self.sum - part);
            if *piece > 1e-9 {
                break;
            }
            self.pieces.pop_front();
        }
    }
}

/// What the step of a pod depends on.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Before {
    /// By its workers, and by the cores they share.
    pub(super) table: usize,
    pub(super) of_cores: usize,
    pub(super) queue: Queue,
    pub(super) accept: f64,
    pub(super) after: f64,
    pub(super) granted_millis: f64,
    pub(super) arrivals: f64,
    pub(super) concurrency: u32,
    pub(super) queue_limit: u32,
    /// Where work leaves at its deadline: those in line, the cpu they counted on, and what came per second of late.
    pub(super) line: [f64; 3],
}

/// And what it comes to.
#[derive(Clone, Copy)]
pub(super) struct After {
    pub(super) queue: Queue,
    pub(super) accept: f64,
    pub(super) after: f64,
    pub(super) rate: f64,
    pub(super) in_line: f64,
    pub(super) shed: f64,
    pub(super) dropped: f64,
    pub(super) departed: f64,
    /// How much longer requests are at work for the work of others.
    pub(super) penalty: f64,
    /// It got quicker, so that of those in line so many will be served, who were thought lost; and how many per second.
    pub(super) rescued: (f64, f64),
    pub(super) line_rate: f64,
    pub(super) kernel: Kernel,
    pub(super) critical: bool,
}

/// Share of the arrivals that wait, and the squared coefficient of variation of their wait.
fn waiting(table: &Table, point: &Point, queue: Queue, load: f64, in_line: f64) -> (f64, f64) {
    if let Some(Parts { share, loaded, squares, rest, weight, .. }) = table.parts(point, queue.variance, load, queue.piled)
        && weight > 0.25
    {
        // Those at rest wait exponentially, the others for what is before them.
        let workers = f64::from(table.shape.workers);
        let calm = (1.0 - share) * rest.waits;
        let short = (rest.x - rest.used * workers + rest.waits) / rest.waits.max(1e-12);
        let long = (loaded - workers + 1.0).max(1.0);
        let spread = (squares - loaded * loaded).max(0.0) + long;
        let waits = calm + share;
        let mean = (calm * short + share * long) / waits.max(1e-12);
        let squares = (calm * 2.0 * short * short + share * (long * long + spread)) / waits.max(1e-12);
        return (waits.clamp(0.0, 1.0), (squares / (mean * mean) - 1.0).max(0.0));
    }
    let spread = if point.variance > 0.0 { queue.variance / point.variance } else { 1.0 };
    let waits = 1.0 - (1.0 - point.waits) * table.correction(point, queue.variance);
    (waits.clamp(0.0, 1.0), point.wait_cv2.min(point.wait_cv2 * spread + 1.0 / (1.0 + in_line)))
}

/// The least stretching under processor sharing, and how much what is beyond varies. One worker: the squared coefficient of
/// variation rho/(2-rho) (Coffman, Muntz, Trotter). Several: nobody is stretched who meets a free one; what others meet
/// is a geometric law, and evens out over the request as it does with one.
fn stretching(point: &Point, queue: Queue, busy: f64, workers: u32, speed: f64) -> (f64, f64) {
    let spread = if point.variance > 0.0 { (queue.variance / point.variance).min(1.0) } else { 1.0 };
    if workers == 1 {
        return (0.0, busy / (2.0 - busy) * spread);
    }
    (1.0 / speed.max(1e-9), ((1.0 + busy) / point.waits.max(1e-9) - 1.0) / (2.0 - busy) * spread)
}

/// By how much the work of others makes a request's own longer (universal scalability law): `1 + (n - 1)(sigma + kappa n)`,
/// where `n` hold a slot when it begins, itself among them.
fn penalty(before: &Before, program: &ProgramState) -> f64 {
    let (sigma, kappa) = program.behavior.overload_penalty;
    if sigma == 0.0 && kappa == 0.0 {
        return 1.0;
    }
    let held = before.queue.x + before.after;
    if before.concurrency == u32::MAX {
        // E[n (n + 1)] for n others.
        return 1.0 + sigma * held + kappa * (before.queue.variance + held * held + held);
    }
    let others = held.min(f64::from(before.concurrency) - 1.0);
    1.0 + others * (sigma + kappa * (others + 1.0))
}

pub(super) fn move_pod(before: &Before, program: &ProgramState, tables: &[Table], d: f64, timeout: f64, feedback: f64) -> After {
    let (table, of_cores) = (&tables[before.table], &tables[before.of_cores]);
    let workers = f64::from(table.shape.workers);
    let speed = (before.granted_millis / (1000.0 * workers)).min(1.0);
    let penalty = penalty(before, program);
    let mean = program.cpu.mean * program.heavier * penalty;
    let (rest, has_rest) = (program.rest, program.has_rest());
    let capacity = if mean > 0.0 { workers * speed / mean } else { f64::INFINITY };
    let mut arrivals = before.arrivals;
    let (mut accept, mut shed) = (before.accept, 0.0);
    let mut critical = false;
    // Slots: what holds one after its cpu work leaves less for the others.
    if has_rest && before.concurrency != u32::MAX {
        let slots = f64::from(before.concurrency);
        let held = before.queue.x + before.after;
        let holds = mean / speed.max(1e-9) + rest;
        let turnover = if holds < d { slots * d / holds.max(1e-12) } else { 0.0 };
        // A slot that turns over more than once in a step is given again as often as the cpu gets through with it in time.
        let most = (slots - held).max(turnover).min(slots - held + capacity * (d - rest).max(0.0)).max(0.0);
        let wants = arrivals + accept;
        let admitted = wants.min(most);
        accept = wants - admitted;
        let over = (accept - f64::from(before.queue_limit)).max(0.0);
        accept -= over;
        shed = over.min(arrivals);
        arrivals = admitted;
        critical = held > 0.8 * slots || accept > 0.0;
    }
    // Slots come free one after the other, each after it was held.
    let slot_wait = |held: f64| accept * (held + rest) / f64::from(before.concurrency.max(1));
    if mean <= 0.0 {
        let slot_wait = slot_wait(0.0);
        let after = before.after + arrivals * program.held_beyond(d);
        let kernel = Kernel { slowdown: 1.0, slot_wait, ..Kernel::default() };
        let shed = if before.arrivals > 0.0 { shed / before.arrivals } else { 0.0 };
        let rate = arrivals / d;
        let queue = Queue::default();
        return After {
            queue,
            accept,
            after,
            rate,
            in_line: 0.0,
            shed,
            dropped: 0.0,
            departed: arrivals,
            penalty,
            rescued: (0.0, 0.0),
            line_rate: 0.0,
            kernel,
            critical,
        };
    }
    let mut queue = before.queue;
    if timeout.is_finite() && before.granted_millis > before.line[1] * 1.01 {
        // It got quicker: of those in line more will be served.
        queue.x = queue.x.max(before.line[0].min(workers + capacity * timeout));
    }
    // Those in work and next in line are answered as foreseen: about half of what was to be served before the change.
    let rescued = if queue.x > before.queue.x { (queue.x - before.queue.x / 2.0, capacity) } else { (0.0, 0.0) };
    // While others wait for a slot it is a closed source that asks, of those who hold one elsewhere.
    let feedback = feedback + if has_rest { accept.min(1.0) / rest.max(1e-9) } else { 0.0 };
    let Moved { mut queue, mut rate, block, mut departed } = queue.moved(of_cores, d, arrivals / d, capacity, feedback);
    // What is still in line at its deadline leaves.
    let mut dropped = 0.0;
    if timeout.is_finite() {
        dropped = (queue.x - workers - capacity * timeout).max(0.0);
        queue.x -= dropped;
        let excess = arrivals / d - capacity;
        if dropped > 0.0 && excess > 0.0 {
            // What is in line falls short of the deadline by an exponential of the excess.
            let short = capacity / excess;
            queue.variance = queue.variance.min(short * (1.0 + short));
        }
    }
    departed = departed.min(before.queue.x.max(before.line[0]) + arrivals);
    if rate <= 0.0 {
        rate = capacity.min(departed / d);
    }
    let point = table.at(queue.x);
    let load = if capacity > 0.0 { arrivals / d / capacity } else { f64::INFINITY };
    let busy = table.busy(&point, queue.variance, load, queue.piled).share;
    let in_line = (queue.x - workers * busy).max(0.0);
    // The cpu is what slots wait for: who gets one comes as another leaves, and behind as many as there are slots.
    let full = accept > 0.5 && in_line > 1.0;
    let (waits, wait_cv2) = if full {
        (1.0, (program.cpu.cv2 * (in_line + accept) / (in_line * in_line)).min(1.0))
    } else {
        waiting(table, &point, queue, load, in_line)
    };
    let sojourn = if queue.x <= 0.0 {
        mean / speed.max(1e-9)
    } else if !full && capacity > 0.0 && point.block <= 0.0 && !table.shape.least_of_two {
        // Arrivals see the queue as it is: those in line, and if all workers work the one that ends first.
        mean / speed.max(1e-9) + (in_line + f64::midpoint(point.arrival_cv2, table.shape.demand_cv2) * waits) / capacity
    } else if rate > 0.0 {
        (queue.x / rate).max(mean / speed.max(1e-9)).min(FOR_EVER)
    } else {
        FOR_EVER
    };
    // Those of this step come in its middle on average, and the tracers that are drawn now are those of the next one.
    let pace = if capacity > 0.0 { capacity } else { f64::INFINITY };
    let drift = if d <= QUANTUM as f64 / 1e9 { (queue.x - before.queue.x) / pace } else { 0.0 };
    let sojourn = (sojourn - drift / 2.0).max(mean / speed.max(1e-9));
    // What is served has waited an exponential of the excess less than the deadline: the excess of more than one step.
    let line_rate = before.line[2] + (arrivals / d - before.line[2]) * (d / EXCESS_SECONDS).min(1.0);
    let excess = line_rate - capacity;
    let binding = dropped > 0.01 * arrivals && excess > 0.0;
    let shares = before.arrivals.max(1e-300);
    shed = (shed + block * arrivals).min(before.arrivals) / shares;
    let kernel = Kernel {
        mean: sojourn,
        drift,
        slowdown: penalty / speed.max(1e-9),
        waits,
        wait_cv2,
        sharing: (before.concurrency == u32::MAX).then(|| stretching(&point, queue, busy, table.shape.workers, speed / penalty)),
        slot_wait: slot_wait(sojourn),
        deadline: binding.then(|| (timeout, program.slack(line_rate, workers * speed / penalty, excess))),
    };
    let after = before.after + departed * program.held_beyond(d);
    let moves = (queue.x - before.queue.x).abs() > 0.005 * (1.0 + queue.x);
    critical |= moves || point.used > 0.92 || block > 0.001 || dropped > 0.0;
    let dropped = match before.arrivals {
        0.0 => 0.0,
        _ if binding => (excess / line_rate).min(1.0 - shed),
        arrivals => (dropped / arrivals).min(1.0 - shed),
    };
    After { queue, accept, after, rate, in_line, shed, dropped, departed, penalty, rescued, line_rate, kernel, critical }
}

impl ProgramState {
    /// By how much per second the slack of what is served, its deadline less its wait, is exponential: near the deadline the
    /// density of the wait that arrivals meet grows as `exp(slack w)`, where `slack = rate (1 - E exp(-slack S / cores))`. With
    /// exponential demand that is `rate - capacity`; what comes again wants more, and more unevenly.
    fn slack(&self, rate: f64, cores: f64, guess: f64) -> f64 {
        let atoms = || self.cpu.atoms.iter().zip(&self.mix);
        // Atoms stand for the law's mean, as what is served does.
        let scale = self.cpu.mean / atoms().zip(self.cpu.shares()).map(|(((demand, _), _), share)| demand * share).sum::<f64>() / cores;
        let mut slack = rate;
        for _ in 0..20 {
            let (value, slope) = atoms().fold((rate - slack, -1.0), |(value, slope), ((demand, _), share)| {
                let seconds = demand * scale;
                let gone = rate * share * libm::exp(-slack * seconds);
                (value - gone, slope + gone * seconds)
            });
            // The function is concave: from above, steps do not pass its root.
            let step = value / slope;
            slack -= step;
            if step.abs() <= 1e-9 * rate || slack <= 0.0 || slack.is_nan() {
                break;
            }
        }
        if slack > 0.0 { slack } else { guess }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_in_line_is_lost_or_stays_beyond_the_deadline(steps in proptest::collection::vec((0.0f64..50.0, 0.0f64..50.0), 1..200)) {
            const TIMEOUT: u64 = 10;
            let mut line = Line::default();
            let (mut all, mut gone) = (0.0, 0.0);
            for (number, (came, served)) in steps.into_iter().enumerate() {
                let end = number as u64 + 1;
                let before = line.sum + came;
                all += came;
                line.moved(end, came, served, 2.0, end.saturating_sub(TIMEOUT));
                gone += before - line.sum;
                let pieces: f64 = line.pieces.iter().map(|(_, piece)| piece).sum();
                prop_assert!((pieces - line.sum).abs() < 1e-6 && (gone + line.sum - all).abs() < 1e-6);
                let late: f64 = line.pieces.iter().filter(|(at, _)| *at <= end.saturating_sub(TIMEOUT)).map(|(_, piece)| piece).sum();
                prop_assert!(late <= 2.0 + 1e-6, "{late} beyond their deadline");
            }
        }
    }
}
