//! What is known of a queue from its mean alone: stationary laws of birth-death queues, tabulated once.
//!
//! A pod with `c` workers and room for `K` requests under a constant rate has a stationary law with one
//! parameter, the offered load. Along it lie the mean `x`, the variance `Vs = dx/dln(lambda)`, the used
//! share `u`, the share turned away and the share that waits. The table inverts this: everything as a
//! function of `x`. A queue that is not stationary has another variance `V`; its idle share is corrected.
//! - `V < Vs` (it fills, or is in overload): by what a truncated normal law has near nothing, relative to the
//!   exponential one of a queue at rest. A queue that grows from nothing at load 1 is half a normal law, exactly.
//!   Few workers and small queues are better met by the ratio of two negative binomial laws; the larger counts.
//! - It drains: some pods have a backlog still and the others are at rest ([`Table::parts`]). A backlog that was piled up
//!   is a normal law that moves down; one that was chance is exponential.
//!
//! Invariants: `u` and `block` do not fall with `x`; beyond the last point the queue is never idle.

/// Values of `V/Vs` for which the correction is tabulated: powers of 1/sqrt(2).
const KAPPAS: usize = 13;
/// Largest room that is tabulated; a larger one is as good as none.
const MOST_ROOM: u64 = 20_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    /// The tabulated point below, and how far on the way to the next.
    place: u32,
    part: f64,
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
    /// The same of the time between arrivals.
    pub(super) arrival_cv2: f64,
}

/// Pods of one kind in a drain: some have a backlog still, the others are at rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// Share of those with a backlog, its mean and mean square among them, and what they use of their workers.
    pub(super) share: f64,
    pub(super) loaded: f64,
    pub(super) squares: f64,
    used: f64,
    pub(super) rest: Point,
    /// How much this counts: nothing for a queue as good as at rest.
    pub(super) weight: f64,
}

/// A queue's mean and variance now: which share of the workers works, and how strongly that depends on the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Busy {
    pub(super) share: f64,
    /// Covariance of the number in the queue and the working share.
    pub(super) covariance: f64,
}

/// Which queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Shape {
    pub(super) workers: u32,
    /// Requests it can hold.
    pub(super) room: u64,
    /// Squared coefficient of variation of demand; 1 for processor sharing, whose queue does not depend on it.
    pub(super) demand_cv2: f64,
    /// Who asks.
    pub(super) arrivals: Arrivals,
    /// Requests go to the less busy of two.
    pub(super) least_of_two: bool,
}

/// How evenly requests come to a queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Arrivals {
    /// Squared coefficient of variation of the time between two of one caller.
    pub(super) cv2: f64,
    /// Callers that do not know of each other.
    pub(super) callers: u32,
}

impl Arrivals {
    pub(super) const POISSON: Self = Self { cv2: 1.0, callers: 1 };

    /// Of all callers together, for a queue under this load: many are a Poisson process for a queue that forgets soon, and
    /// as even as each of them for one that does not (Whitt 1983, the queueing network analyzer, eq. 29 and 33).
    pub(super) fn together(self, load: f64) -> f64 {
        let (far, others) = (1.0 - load.min(1.0), f64::from(self.callers.max(1)) - 1.0);
        let weight = 1.0 / (1.0 + 4.0 * far * far * others);
        weight * self.cv2 + 1.0 - weight
    }
}

impl Shape {
    /// Queueing relative to exponential demand and Poisson arrivals, `(ca^2 + cs^2) / 2` (Allen and Cunneen), less where
    /// arrivals are more even than Poisson (Kraemer and Langenbach-Belz).
    fn queue_factor(&self, arrival_cv2: f64, load: f64) -> f64 {
        let both = arrival_cv2 + self.demand_cv2;
        let uneven = 1.0 - arrival_cv2;
        let less = if uneven > 0.0 && both > 0.0 && load < 1.0 {
            libm::exp(-2.0 * (1.0 - load) * uneven * uneven / (3.0 * load.max(1e-9) * both))
        } else {
            1.0
        };
        both / 2.0 * less
    }
}

pub(super) struct Table {
    pub(super) shape: Shape,
    points: Vec<Point>,
    /// Their means, close together: what is searched most.
    means: Vec<f64>,
    /// Correction of the idle share by point, for falling `V/Vs`.
    idle: Vec<[f64; KAPPAS]>,
    /// Normal laws cut off at zero, by falling mean square over squared mean: that, and the share above zero.
    cut: Vec<[f64; 2]>,
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
            // What queues is spread the less the more even it comes and goes; what does not is never more than a part of one.
            let spread = f64::midpoint(points[i].arrival_cv2, shape.demand_cv2);
            let variance = if spread < 1.0 { spread * variance + (1.0 - spread) * points[i].x.min(0.25) } else { variance };
            points[i].variance = variance.max(points[i].x.min(1.0) * 1e-6);
        }
        let normal: Vec<f64> = (0..KAPPAS).map(|step| truncated_normal(kappa(step))).collect();
        let corrections = |point: &Point| {
            let full = idle_share(shape.workers, point.x, point.variance).max(1e-300);
            std::array::from_fn(|step| {
                let counted = idle_share(shape.workers, point.x, point.variance * kappa(step)) / full;
                counted.max(normal[step])
            })
        };
        let idle = points.iter().map(corrections).collect();
        for (place, point) in points.iter_mut().enumerate() {
            point.place = place as u32;
        }
        let cut = (0..=600).map(|step| cut_normal(-4.0 + f64::from(step) / 50.0)).collect();
        let means = points.iter().map(|point| point.x).collect();
        Self { shape, points, means, idle, cut }
    }

    /// Everything at the mean `x`.
    pub(super) fn at(&self, x: f64) -> Point {
        let Some(last) = self.points.last() else { return Point::default() };
        if x >= last.x {
            if self.shape.room <= MOST_ROOM {
                return *last;
            }
            let place = last.place;
            return Point { place, part: 1.0, x, used: 1.0, variance: x * x, block: 0.0, waits: 1.0, wait_cv2: 1.0, ..*last };
        }
        let above = self.means.partition_point(|mean| *mean <= x).clamp(1, self.points.len() - 1);
        self.between(above, |point| point.x, x)
    }

    /// The queue at rest that uses this share of its workers; `None` when none does.
    fn at_rest(&self, used: f64) -> Option<Point> {
        let above = self.points.partition_point(|point| point.used <= used);
        (above > 0 && above < self.points.len()).then(|| self.between(above, |point| point.used, used))
    }

    fn between(&self, above: usize, by: impl Fn(&Point) -> f64, value: f64) -> Point {
        let (a, b) = (&self.points[above - 1], &self.points[above]);
        let part = if by(b) > by(a) { ((value - by(a)) / (by(b) - by(a))).clamp(0.0, 1.0) } else { 0.0 };
        let mix = |a: f64, b: f64| a + (b - a) * part;
        Point {
            place: a.place,
            part,
            x: mix(a.x, b.x),
            used: mix(a.used, b.used),
            variance: mix(a.variance, b.variance),
            block: mix(a.block, b.block),
            waits: mix(a.waits, b.waits),
            wait_cv2: mix(a.wait_cv2, b.wait_cv2),
            arrival_cv2: mix(a.arrival_cv2, b.arrival_cv2),
        }
    }

    /// Idle share relative to the one at rest, for this variance.
    pub(super) fn correction(&self, point: &Point, variance: f64) -> f64 {
        if point.part >= 1.0 {
            return 0.0; // Beyond the table: never idle.
        }
        if point.variance <= 0.0 || variance >= point.variance {
            return 1.0;
        }
        let kappa = variance / point.variance;
        let place = (-2.0 * log2(kappa.max(1e-9))).clamp(0.0, (KAPPAS - 1) as f64);
        let low = (place as usize).min(KAPPAS - 2);
        let part = place - low as f64;
        let at = |place: usize| {
            let row = &self.idle[place.min(self.idle.len() - 1)];
            row[low] + (row[low + 1] - row[low]) * part
        };
        let (a, b) = (at(point.place as usize), at(point.place as usize + 1));
        a + (b - a) * point.part
    }

    /// A queue that was `piled` up, or is more spread than it would be at rest, drains; `load` is what is offered.
    /// Mean and variance of all are those of the queue.
    pub(super) fn parts(&self, point: &Point, variance: f64, load: f64, piled: bool) -> Option<Parts> {
        if load >= 1.0 || !piled && variance <= point.variance * 1.001 {
            return None;
        }
        let rest = self.at_rest(load)?;
        let weight = (point.x / rest.x.max(1e-12) - 1.0).min(1.0);
        if weight <= 1e-6 {
            return None;
        }
        let (squares, rest_squares) = (variance + point.x * point.x, rest.variance + rest.x * rest.x);
        if piled {
            let (mut share, mut mean, mut square) = (1.0, 0.0, 0.0);
            for _ in 0..4 {
                mean = (point.x - rest.x * (1.0 - share)).max(1e-9);
                square = (squares - rest_squares * (1.0 - share)).max(mean * mean);
                share = self.above_zero(square / (mean * mean));
            }
            return Some(Parts { share, loaded: mean / share, squares: square / share, used: 1.0, rest, weight });
        }
        // Exponential.
        let excess = point.x - rest.x;
        let loaded = (squares - rest_squares) / (2.0 * excess) - rest.x;
        let share = excess / (loaded - rest.x);
        let used = self.at(loaded).used;
        (loaded > rest.x && share < 1.0).then_some(Parts { share, loaded, squares: 2.0 * loaded * loaded, used, rest, weight })
    }

    /// Share above zero of the normal law whose part above zero has this mean square over its squared mean.
    fn above_zero(&self, ratio: f64) -> f64 {
        let above = self.cut.partition_point(|[of, _]| *of > ratio).clamp(1, self.cut.len() - 1);
        let ([a, low], [b, high]) = (self.cut[above - 1], self.cut[above]);
        low + (high - low) * ((a - ratio) / (a - b).max(1e-300)).clamp(0.0, 1.0)
    }

    /// What works of the workers, for this variance and offered load.
    pub(super) fn busy(&self, point: &Point, variance: f64, load: f64, piled: bool) -> Busy {
        let correction = self.correction(point, variance);
        // Near rest a variance goes back to that of the queue at rest.
        let strength = if point.variance > 0.0 { (variance / point.variance).max(1.0) } else { 1.0 };
        let share = (1.0 - (1.0 - point.used) * correction).clamp(0.0, 1.0);
        // What comes and goes evenly spreads less, and what spread there is goes back as slowly.
        let spread = f64::midpoint(point.arrival_cv2, self.shape.demand_cv2);
        let plain = Busy { share, covariance: point.used * correction * strength * spread };
        let Some(Parts { share, loaded, used, rest, weight, .. }) = self.parts(point, variance, load, piled) else { return plain };
        let busy = (1.0 - share) * rest.used + share * used;
        // What idles does so with few in it: E[N (c - N)+], as at rest, of either part.
        let few = (1.0 - share) * (rest.x * (1.0 - rest.used) - rest.used)
            + if used < 1.0 { share * (loaded * (1.0 - used) - used) } else { 0.0 };
        let covariance = (point.x * (1.0 - busy) - few).max(0.0);
        let mix = |a: f64, b: f64| a + (b - a) * weight;
        Busy { share: mix(plain.share, busy), covariance: mix(plain.covariance, covariance) }
    }
}

/// The table of a shape, made when there is none yet.
pub(super) fn table_of(tables: &mut Vec<Table>, shape: Shape) -> usize {
    tables.iter().position(|table| table.shape == shape).unwrap_or_else(|| {
        tables.push(Table::new(shape));
        tables.len() - 1
    })
}

/// The logarithm to base 2 of a normal positive number, to 1e-7: a table that is interpolated needs no more.
fn log2(value: f64) -> f64 {
    const BIAS: i64 = 1023;
    const HALF_OF_LN_2: f64 = core::f64::consts::LN_2 / 2.0;
    // As 2^exponent times a mantissa between 1/sqrt(2) and sqrt(2).
    let bits = value.to_bits();
    let (mut exponent, mut mantissa) = ((bits >> 52) as i64 - BIAS, f64::from_bits(bits & ((1 << 52) - 1) | (BIAS as u64) << 52));
    if mantissa > core::f64::consts::SQRT_2 {
        (exponent, mantissa) = (exponent + 1, mantissa / 2.0);
    }
    // ln m = 2 artanh((m - 1) / (m + 1)).
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    exponent as f64 + s * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0)))) / HALF_OF_LN_2
}

/// `V/Vs` of a place in the table of corrections.
fn kappa(step: usize) -> f64 {
    libm::pow(0.5, step as f64 / 2.0)
}

/// Density at zero times the mean, of a normal law cut off at zero with this squared coefficient of variation: 1 for the
/// exponential limit, 2/pi for half a normal law.
fn truncated_normal(cv2: f64) -> f64 {
    // z is the mean of the uncut law in its standard deviations; h is phi(z) / Phi(z).
    let of = |z: f64| {
        let h = libm::exp(-z * z / 2.0) / (libm::sqrt(2.0 * core::f64::consts::PI) * 0.5 * libm::erfc(-z / core::f64::consts::SQRT_2));
        let mean = z + h;
        ((1.0 - h * mean) / (mean * mean), h * mean)
    };
    let (mut low, mut high) = (-30.0, 30.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if of(middle).0 > cv2 { low = middle } else { high = middle }
    }
    of(low).1.clamp(0.0, 1.0)
}

/// Of a normal law with mean `z` and deviation 1, what is above zero: mean square over squared mean, and its share.
fn cut_normal(z: f64) -> [f64; 2] {
    let density = libm::exp(-z * z / 2.0) / libm::sqrt(2.0 * core::f64::consts::PI);
    let above = 0.5 * libm::erfc(-z / core::f64::consts::SQRT_2);
    let mean = density + z * above;
    [((1.0 + z * z) * above + z * density) / (mean * mean), above]
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
    let arrival_cv2 = shape.arrivals.together(load);
    let mut queue = waits * load / (1.0 - load) * shape.queue_factor(arrival_cv2, load);
    // Who comes evenly meets free workers more often: GI/M/1, whose queue is load s / (1 - s) where a share s waits.
    let even = Shape { demand_cv2: 1.0, ..shape }.queue_factor(arrival_cv2, load);
    let waits = waits * even / (1.0 - load + even * load);
    if shape.least_of_two {
        // The supermarket model: the share of queues with at least k is load^(2^k - 1); for c > 1 the gain over M/M/1 is taken over.
        let mut sum = 0.0;
        for k in 1..12 {
            sum += libm::pow(load, libm::exp2(f64::from(k)) - 1.0);
        }
        let one = load * load / (1.0 - load);
        queue *= if one > 0.0 { (sum - load).max(0.0) / one } else { 1.0 };
    }
    Point { x: offered + queue, used: load, waits, wait_cv2: 1.0, arrival_cv2, ..Point::default() }
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
    let arrival_cv2 = shape.arrivals.together(load);
    let x = (in_work + (x - in_work) * shape.queue_factor(arrival_cv2, load)).min(room as f64);
    let wait_cv2 = if wait1 > 0.0 { (wait2 * wait / (wait1 * wait1) - 1.0).max(0.0) } else { 1.0 };
    let waits = (wait / all / (1.0 - block).max(1e-12)).min(1.0);
    Point { x, used: in_work / c, block, waits, wait_cv2, arrival_cv2, ..Point::default() }
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
        Shape { workers, room, demand_cv2: 1.0, arrivals: Arrivals::POISSON, least_of_two: false }
    }

    #[test]
    fn the_short_logarithm_is_that_of_the_library() {
        for step in 0..2000 {
            let value = libm::pow(10.0, -9.0 + f64::from(step) / 200.0);
            assert!((log2(value) - libm::log2(value)).abs() < 1e-7, "{value}");
        }
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
            assert!(
                table.busy(&point, point.variance / 4.0, 2.0, false).share >= table.busy(&point, point.variance, 2.0, false).share - 1e-9
            );
        }
    }
}
