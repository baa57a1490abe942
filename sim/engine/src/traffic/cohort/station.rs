//! One step of one pod's queue: its mean and variance under constant rates.
//!
//! `x' = x + d (lambda (1 - B(x')) - Phi(x', V))`, solved for `x'`, and
//! `V' = (V + d (lambda (1 - B) ca2 + Phi cs2)) / (1 + 2 d (Cov/V + feedback))`. For a birth-death queue the stationary
//! mean, variance, loss and throughput are exact; in overload it is the fluid with its diffusion.

use super::table::Table;

/// A queue's state.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Queue {
    /// Mean number in it, and the variance.
    pub(super) x: f64,
    pub(super) variance: f64,
    /// It was in overload, and has not come to rest since.
    pub(super) piled: bool,
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Moved {
    pub(super) queue: Queue,
    /// Served per second at the step's end.
    pub(super) rate: f64,
    /// Share turned away.
    pub(super) block: f64,
    /// Left in the step.
    pub(super) departed: f64,
}

impl Queue {
    /// Moves by `d` seconds: `arrivals` per second, at most `capacity` served per second; a closed source
    /// asks less by `feedback` per second for each that is here.
    pub(super) fn moved(self, table: &Table, d: f64, arrivals: f64, capacity: f64, feedback: f64) -> Moved {
        const PARTS: u32 = 8;
        let whole = self.moved_once(table, d, arrivals, capacity, feedback);
        if (whole.queue.x - self.x).abs() < 0.02 * (1.0 + self.x) {
            return whole;
        }
        // It is far from rest: the implicit step lags behind, shorter ones less.
        let (mut moved, mut departed, mut block) = (Moved { queue: self, ..whole }, 0.0, 0.0);
        for _ in 0..PARTS {
            moved = moved.queue.moved_once(table, d / f64::from(PARTS), arrivals, capacity, feedback);
            departed += moved.departed;
            block += moved.block / f64::from(PARTS);
        }
        Moved { departed, block, ..moved }
    }

    fn moved_once(self, table: &Table, d: f64, arrivals: f64, capacity: f64, feedback: f64) -> Moved {
        let load = if capacity > 0.0 { arrivals / capacity } else { f64::INFINITY };
        let excess = |x: f64| {
            let point = table.at(x);
            x - self.x - d * (arrivals * (1.0 - point.block) - capacity * table.busy(&point, self.variance, load, self.piled).share)
        };
        let x = root(excess, self.x, self.x + d * arrivals);
        let point = table.at(x);
        let busy = table.busy(&point, self.variance, load, self.piled);
        let served = capacity * busy.share;
        let accepted = arrivals * (1.0 - point.block);
        let least = 0.25 * x.min(point.variance);
        let back = if x > 0.0 { capacity * busy.covariance.max(0.0) / self.variance.max(least).max(1e-12) } else { 0.0 };
        let (come, go) = (point.arrival_cv2, table.shape.demand_cv2);
        let variance = (self.variance + d * (accepted * come + served * go)) / (1.0 + 2.0 * d * (back + feedback));
        let departed = (self.x + d * accepted - x).max(0.0);
        // As good as never idle: the law of what is there has come away from zero.
        let far = x > 3.0 * f64::from(table.shape.workers) && variance < 0.5 * point.variance;
        let piled = far || self.piled && (load >= 1.0 || table.parts(&point, variance, load, true).is_some());
        Moved { queue: Self { x, variance, piled }, rate: served, block: point.block, departed }
    }
}

/// Where a function passes zero between 0 and `high`, probably near `guess` (Illinois). Where it rises by at least 1, as a
/// queue's does, it does so no further from the guess than its value there.
fn root(f: impl Fn(f64) -> f64, guess: f64, high: f64) -> f64 {
    let close = 1e-10 * (1.0 + high);
    let at_guess = f(guess);
    if at_guess.abs() <= close {
        return guess;
    }
    let near = (guess - at_guess).clamp(0.0, high);
    let at_near = f(near);
    let (mut a, mut fa, mut b, mut fb) = match (at_guess > 0.0, at_near > 0.0) {
        (true, false) => (near, at_near, guess, at_guess),
        (true, true) => (0.0, f(0.0), near, at_near),
        (false, true) => (guess, at_guess, near, at_near),
        (false, false) => (near, at_near, high, f(high)),
    };
    if fa >= 0.0 {
        return a;
    }
    if fb <= 0.0 {
        return b;
    }
    let mut side = 0;
    for _ in 0..60 {
        let middle = (a * fb - b * fa) / (fb - fa);
        let value = f(middle);
        if value.abs() <= close || b - a <= 1e-12 * (1.0 + high) {
            return middle;
        }
        if value > 0.0 {
            (b, fb) = (middle, value);
            if side == 1 {
                fa *= 0.5;
            }
            side = 1;
        } else {
            (a, fa) = (middle, value);
            if side == -1 {
                fb *= 0.5;
            }
            side = -1;
        }
    }
    f64::midpoint(a, b)
}

#[cfg(test)]
mod tests {
    use super::super::table::{Arrivals, Shape};
    use super::*;

    fn table(workers: u32, room: u64) -> Table {
        Table::new(Shape { workers, room, demand_cv2: 1.0, arrivals: Arrivals::POISSON, least_of_two: false })
    }

    #[test]
    fn it_comes_to_rest_at_the_stationary_mean_and_variance() {
        let table = table(4, u64::MAX);
        let mut queue = Queue::default();
        for _ in 0..20_000 {
            queue = queue.moved(&table, 0.02, 360.0, 400.0, 0.0).queue;
        }
        // M/M/4 at 0.9: 3.6 in work and 7.0897 waiting.
        assert!((queue.x / 10.6897 - 1.0).abs() < 0.005, "{queue:?}");
        assert!((queue.variance / table.at(queue.x).variance - 1.0).abs() < 0.02, "{queue:?}");
    }

    #[test]
    fn it_fills_as_the_kolmogorov_equations_say() {
        let table = table(1, u64::MAX);
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue = queue.moved(&table, 0.005, 90.0, 100.0, 0.0).queue;
        }
        assert!((queue.x / 5.12247972 - 1.0).abs() < 0.02, "{queue:?}");
    }

    #[test]
    fn in_overload_it_is_the_fluid() {
        let table = table(2, u64::MAX);
        let mut queue = Queue::default();
        let mut departed = 0.0;
        for _ in 0..750 {
            let moved = queue.moved(&table, 0.02, 240.0, 200.0, 0.0);
            (queue, departed) = (moved.queue, departed + moved.departed);
        }
        assert!((queue.x / 600.0 - 1.0).abs() < 0.04 && (departed + queue.x - 3600.0).abs() < 1e-6, "{queue:?}");
    }
}
