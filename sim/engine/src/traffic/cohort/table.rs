//! What is known of a queue from its mean alone: stationary laws of birth-death queues, tabulated once.
//!
//! A pod with `c` workers and room for `K` requests under a constant rate has a stationary law with one
//! parameter, the offered load. Along it lie the mean `x`, the variance `Vs = dx/dln(lambda)`, the used
//! share `u`, the share turned away and the share that waits. The table inverts this: everything as a
//! function of `x`. A queue that is not stationary has another variance `V`; its idle share is corrected by
//! the ratio of the idle shares of two negative binomial laws, of variance `V` and of variance `Vs`.
//!
//! Invariants: `u` and `block` do not fall with `x`; beyond the last point the queue is never idle.

/// Values of `V/Vs` for which the correction is tabulated: powers of 1/sqrt(2).
const KAPPAS: usize = 9;
/// Largest room that is tabulated; a larger one is as good as none.
const MOST_ROOM: u64 = 20_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    pub(super) x: f64,
    /// Share of the workers that work.
    pub(super) used: f64,
    /// Variance in the stationary state.
    pub(super) variance: f64,
    /// Share of arrivals that find no room.
    pub(super) block: f64,
    /// Share of the accepted that wait.
    pub(super) waits: f64,
    /// Squared coefficient of variation of the wait of those that wait.
    pub(super) wait_cv2: f64,
    idle: [f64; KAPPAS],
}

/// Which queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Shape {
    pub(super) workers: u32,
    /// Requests it can hold.
    pub(super) room: u64,
    /// Queueing relative to exponential demand, `(1 + cv^2) / 2` (Allen-Cunneen); 1 for processor sharing.
    pub(super) queue_factor: f64,
    /// Requests go to the less busy of two.
    pub(super) least_of_two: bool,
}

pub(super) struct Table {
    pub(super) shape: Shape,
    points: Vec<Point>,
}

impl Table {
    pub(super) fn new(shape: Shape) -> Self {
        let mut shape = shape;
        shape.workers = shape.workers.max(1);
        let bounded = shape.room <= MOST_ROOM;
        let mut loads: Vec<f64> = (0..=400).map(|i| 1.0 - libm::pow(10.0, -4.0 * f64::from(i) / 400.0)).collect();
        if bounded {
            loads.extend((0..=200).map(|i| libm::pow(10.0, f64::from(i) / 150.0)));
        }
        let mut points: Vec<Point> =
            loads.iter().map(|load| if bounded { bounded_point(shape, *load) } else { open_point(shape, *load) }).collect();
        // Vs = dx/dln(lambda), from one point to the next.
        for i in 0..points.len() {
            let (low, high) = (i.saturating_sub(1), (i + 1).min(points.len() - 1));
            let span = loads[high] - loads[low];
            let variance = if span > 0.0 { loads[i] * (points[high].x - points[low].x) / span } else { 0.0 };
            points[i].variance = variance.max(points[i].x.min(1.0) * 1e-6);
        }
        let workers = shape.workers;
        for point in &mut points {
            let full = idle_share(workers, point.x, point.variance).max(1e-300);
            for (step, idle) in point.idle.iter_mut().enumerate() {
                *idle = idle_share(workers, point.x, point.variance * libm::pow(0.5, step as f64 / 2.0)) / full;
            }
        }
        Self { shape, points }
    }

    /// Everything at the mean `x`.
    pub(super) fn at(&self, x: f64) -> Point {
        let Some(last) = self.points.last() else { return Point::default() };
        if x >= last.x {
            if self.shape.room <= MOST_ROOM {
                return *last;
            }
            return Point { x, used: 1.0, variance: x * x, block: 0.0, waits: 1.0, wait_cv2: 1.0, idle: [0.0; KAPPAS] };
        }
        let above = self.points.partition_point(|point| point.x <= x).clamp(1, self.points.len() - 1);
        let (a, b) = (&self.points[above - 1], &self.points[above]);
        let part = if b.x > a.x { ((x - a.x) / (b.x - a.x)).clamp(0.0, 1.0) } else { 0.0 };
        let mix = |a: f64, b: f64| a + (b - a) * part;
        let mut idle = [0.0; KAPPAS];
        for (place, value) in idle.iter_mut().enumerate() {
            *value = mix(a.idle[place], b.idle[place]);
        }
        Point {
            x,
            used: mix(a.used, b.used),
            variance: mix(a.variance, b.variance),
            block: mix(a.block, b.block),
            waits: mix(a.waits, b.waits),
            wait_cv2: mix(a.wait_cv2, b.wait_cv2),
            idle,
        }
    }
}

impl Point {
    /// Idle share relative to the stationary one, for this variance.
    pub(super) fn correction(&self, variance: f64) -> f64 {
        let kappa = if self.variance > 0.0 { (variance / self.variance).clamp(1.0 / 16.0, 1.0) } else { 1.0 };
        let place = (-2.0 * libm::log2(kappa)).clamp(0.0, (KAPPAS - 1) as f64);
        let low = (place as usize).min(KAPPAS - 2);
        let part = place - low as f64;
        self.idle[low] + (self.idle[low + 1] - self.idle[low]) * part
    }
    /// Share of the workers that work, for this variance.
    pub(super) fn busy(&self, variance: f64) -> f64 {
        (1.0 - (1.0 - self.used) * self.correction(variance)).clamp(0.0, 1.0)
    }
}

/// Room without limit, load below 1: Erlang C.
fn open_point(shape: Shape, load: f64) -> Point {
    let c = f64::from(shape.workers);
    let offered = load * c;
    let mut blocked = 1.0;
    for n in 1..=shape.workers {
        blocked = offered * blocked / (f64::from(n) + offered * blocked);
    }
    let waits = blocked / (1.0 - load * (1.0 - blocked));
    let mut queue = waits * load / (1.0 - load) * shape.queue_factor;
    if shape.least_of_two {
        // The supermarket model: the share of queues with at least k is load^(2^k - 1); for c > 1 the gain over M/M/1 is taken over.
        let mut sum = 0.0;
        for k in 1..12 {
            sum += libm::pow(load, libm::exp2(f64::from(k)) - 1.0);
        }
        let one = load * load / (1.0 - load);
        queue *= if one > 0.0 { (sum - load).max(0.0) / one } else { 1.0 };
    }
    Point { x: offered + queue, used: load, waits, wait_cv2: 1.0, ..Point::default() }
}

/// Room for `room` requests, any load.
fn bounded_point(shape: Shape, load: f64) -> Point {
    let c = f64::from(shape.workers);
    let room = shape.room.max(u64::from(shape.workers));
    let offered = load * c;
    let (mut p, mut all, mut first, mut busy, mut wait, mut wait1, mut wait2) = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for n in 0..=room {
        let number = n as f64;
        if n > 0 {
            p *= offered / number.min(c);
        }
        all += p;
        first += number * p;
        busy += number.min(c) * p;
        if number >= c && n < room {
            let stages = number - c + 1.0;
            wait += p;
            wait1 += stages * p;
            wait2 += stages * (stages + 1.0) * p;
        }
        if all > 1e200 {
            for sum in [&mut p, &mut all, &mut first, &mut busy, &mut wait, &mut wait1, &mut wait2] {
                *sum *= 1e-200;
            }
        }
    }
    let block = p / all;
    let (x, in_work) = (first / all, busy / all);
    let x = (in_work + (x - in_work) * shape.queue_factor).min(room as f64);
    let wait_cv2 = if wait1 > 0.0 { (wait2 * wait / (wait1 * wait1) - 1.0).max(0.0) } else { 1.0 };
    Point { x, used: in_work / c, block, waits: (wait / all / (1.0 - block).max(1e-12)).min(1.0), wait_cv2, ..Point::default() }
}

/// Idle share of `c` workers when the number in the system is negative binomial (Poisson when the variance is no larger than the mean).
fn idle_share(workers: u32, mean: f64, variance: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    let c = f64::from(workers);
    let overdispersed = variance > mean * 1.000_001;
    let r = if overdispersed { mean * mean / (variance - mean) } else { f64::INFINITY };
    let mut p = if overdispersed { libm::exp(-r * libm::log1p(mean / r)) } else { libm::exp(-mean) };
    let mut idle = 0.0;
    for n in 0..workers {
        let number = f64::from(n);
        idle += (c - number) * p;
        p *= if overdispersed { (number + r) / (number + 1.0) * (mean / (mean + r)) } else { mean / (number + 1.0) };
    }
    idle / c
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(workers: u32, room: u64) -> Shape {
        Shape { workers, room, queue_factor: 1.0, least_of_two: false }
    }

    #[test]
    fn a_single_worker_is_busy_for_x_over_one_plus_x() {
        let table = Table::new(shape(1, u64::MAX));
        for x in [0.1, 1.0, 4.0, 19.0, 200.0] {
            let point = table.at(x);
            assert!((point.used / (x / (1.0 + x)) - 1.0).abs() < 0.002, "{x}: {}", point.used);
            assert!((point.variance / (x * (1.0 + x)) - 1.0).abs() < 0.02, "{x}: {}", point.variance);
        }
    }

    #[test]
    fn a_full_room_turns_away_as_erlang_b_says() {
        // 8 erlang on 10 lines: 12.166 % are blocked, so 7.0267 lines are busy.
        let point = Table::new(shape(10, 10)).at(8.0 * (1.0 - 0.121_661_064));
        assert!((point.block - 0.121_661_064).abs() < 0.001, "{}", point.block);
    }

    #[test]
    fn less_variance_means_less_idling_and_used_never_falls() {
        let table = Table::new(shape(4, 100));
        let mut before = 0.0;
        for step in 0..200 {
            let point = table.at(f64::from(step) / 2.0);
            assert!(point.used >= before - 1e-12);
            before = point.used;
            assert!(point.busy(point.variance / 4.0) >= point.busy(point.variance) - 1e-9);
        }
    }
}
