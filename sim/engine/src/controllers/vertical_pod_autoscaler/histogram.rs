//! How often which usage was seen: buckets that grow, weights that fade.
//!
//! Upstream: vertical-pod-autoscaler/pkg/recommender/util/{histogram,decaying_histogram,histogram_options}.go.
//!
//! Invariants: bucket 0 begins at zero, bucket n at `first * (1.05^n - 1) / 0.05`; a sample's weight is multiplied with
//! two to the number of half-lives since the reference, so that nothing has to fade by itself; when that number gets
//! large the reference moves on and all weights shrink.
//!
//! Differs: the first reference is the run's start, where upstream takes the day before the first sample; a common
//! factor changes no percentile.

use api::{SimDuration, SimTime};

/// Each bucket is so much wider than the one before.
const GROWTH: f64 = 1.05;
/// The least weight that counts: a thousandth of that of a cpu sample.
const EPSILON: f64 = 0.0001;
/// Half-lives after which the reference moves on.
const MOST_HALF_LIVES: u64 = 100;

/// A decaying histogram.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Histogram {
    first: f64,
    half_life: SimDuration,
    reference: SimTime,
    weights: Vec<f64>,
    total: f64,
    min: usize,
    max: usize,
}

impl Histogram {
    /// Of cpu, in cores.
    pub(super) fn of_cpu(half_life: SimDuration) -> Self {
        Self::new(0.01, 1000.0, half_life)
    }
    /// Of memory, in bytes.
    pub(super) fn of_memory(half_life: SimDuration) -> Self {
        Self::new(1e7, 1e12, half_life)
    }

    fn new(first: f64, most: f64, half_life: SimDuration) -> Self {
        let count = libm::ceil(log_growth(most * (GROWTH - 1.0) / first + 1.0)) as usize + 1;
        let half_life = half_life.max(SimDuration::from_nanos(1));
        Self { first, half_life, reference: SimTime::ZERO, weights: vec![0.0; count], total: 0.0, min: count - 1, max: 0 }
    }

    /// A sample of this weight.
    pub(super) fn add(&mut self, value: f64, weight: f64, at: SimTime) {
        let weight = weight * self.factor(at);
        let bucket = self.bucket(value);
        self.weights[bucket] += weight;
        self.total += weight;
        if self.weights[bucket] >= EPSILON {
            self.min = self.min.min(bucket);
            self.max = self.max.max(bucket);
        }
    }

    /// Takes a sample back.
    pub(super) fn subtract(&mut self, value: f64, weight: f64, at: SimTime) {
        let weight = weight * self.factor(at);
        let bucket = self.bucket(value);
        let less = |from: f64| if from - weight < EPSILON { 0.0 } else { from - weight };
        self.total = less(self.total);
        self.weights[bucket] = less(self.weights[bucket]);
        self.narrow();
    }

    /// The upper end of the bucket in which this share of the weight is reached; zero without samples.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let threshold = share * self.total;
        let (mut sum, mut bucket) = (0.0, self.min);
        while bucket < self.max {
            sum += self.weights[bucket];
            if sum >= threshold {
                break;
            }
            bucket += 1;
        }
        self.start((bucket + 1).min(self.weights.len() - 1))
    }

    /// Whether there is nothing that counts.
    pub(super) fn is_empty(&self) -> bool {
        self.weights[self.min] < EPSILON
    }

    fn bucket(&self, value: f64) -> usize {
        if value < self.first {
            return 0;
        }
        (log_growth(value * (GROWTH - 1.0) / self.first + 1.0) as usize).min(self.weights.len() - 1)
    }

    fn start(&self, bucket: usize) -> f64 {
        if bucket == 0 { 0.0 } else { self.first * (libm::pow(GROWTH, bucket as f64) - 1.0) / (GROWTH - 1.0) }
    }

    fn factor(&mut self, at: SimTime) -> f64 {
        if at > self.reference + self.half_life.times(MOST_HALF_LIVES) {
            let (span, half) = (at.as_nanos(), self.half_life.as_nanos());
            let reference = SimTime::from_nanos((span + half / 2) / half * half);
            let scale = libm::exp2(-self.half_lives(self.reference, reference));
            self.weights.iter_mut().for_each(|weight| *weight *= scale);
            self.total *= scale;
            self.reference = reference;
            self.narrow();
        }
        libm::exp2(self.half_lives(self.reference, at))
    }

    fn half_lives(&self, from: SimTime, to: SimTime) -> f64 {
        (to.as_nanos() as f64 - from.as_nanos() as f64) / self.half_life.as_nanos() as f64
    }

    fn narrow(&mut self) {
        while self.weights[self.min] < EPSILON && self.min + 1 < self.weights.len() {
            self.min += 1;
        }
        while self.weights[self.max] < EPSILON && self.max > 0 {
            self.max -= 1;
        }
    }
}

fn log_growth(value: f64) -> f64 {
    libm::log(value) / libm::log(GROWTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SimDuration = SimDuration::from_secs(86_400);

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} {expected}");
    }

    #[test]
    fn percentiles_are_upper_ends_of_buckets() {
        let mut cpu = Histogram::of_cpu(DAY);
        near(cpu.percentile(0.9), 0.0);
        cpu.add(0.005, 0.1, SimTime::ZERO);
        near(cpu.percentile(0.5), 0.01); // The first bucket ends at 10 millicores.
        cpu.add(0.015, 0.1, SimTime::ZERO);
        near(cpu.percentile(0.5), 0.01);
        near(cpu.percentile(0.9), 0.01 + 0.01 * 1.05); // The second is five per cent wider.
        let mut memory = Histogram::of_memory(DAY);
        memory.add(5e6, 1.0, SimTime::ZERO);
        near(memory.percentile(0.9), 1e7);
        memory.add(9e12, 1.0, SimTime::ZERO);
        assert!(memory.percentile(1.0) >= 1e12, "beyond the last bucket everything is in it");
    }

    #[test]
    fn samples_lose_half_of_their_weight_in_a_half_life() {
        let mut cpu = Histogram::of_cpu(DAY);
        let day = |days: u64| SimTime::ZERO + DAY.times(days);
        // Three old samples weigh as much as 3/8 of one three days younger.
        for _ in 0..3 {
            cpu.add(5.0, 0.1, day(0));
        }
        cpu.add(0.005, 0.1, day(3));
        near(cpu.percentile(0.7), 0.01);
        assert!(cpu.percentile(0.75) > 5.0);
    }

    #[test]
    fn what_was_added_can_be_taken_back() {
        let mut memory = Histogram::of_memory(DAY);
        memory.add(2e7, 1.0, SimTime::ZERO);
        let before = memory.clone();
        memory.add(9e8, 1.0, SimTime::ZERO);
        memory.subtract(9e8, 1.0, SimTime::ZERO);
        assert_eq!(memory, before);
        memory.subtract(2e7, 1.0, SimTime::ZERO);
        assert!(memory.is_empty());
    }

    #[test]
    fn the_reference_moves_on_and_the_past_is_forgotten() {
        let mut cpu = Histogram::of_cpu(DAY);
        cpu.add(5.0, 0.1, SimTime::ZERO);
        cpu.add(0.005, 0.1, SimTime::ZERO + DAY.times(150));
        near(cpu.percentile(1.0), 0.01);
        assert_eq!(cpu.reference, SimTime::ZERO + DAY.times(150));
    }
}
