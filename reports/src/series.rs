//! Values over time, and the few statistics that reports take of them.
//!
//! Invariants: points are in order of time; a [`Steps`] value holds from its point until the next, and is
//! zero before the first. A statistic of nothing is `None`, never zero.

use api::{SimDuration, SimTime};

/// A half-open span of simulated time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First instant inside.
    pub from: SimTime,
    /// First instant outside.
    pub to: SimTime,
}

impl Range {
    /// How long it is.
    #[must_use]
    pub fn length(&self) -> SimDuration {
        self.to.since(self.from)
    }
    pub(crate) fn contains(&self, at: SimTime) -> bool {
        self.from <= at && at < self.to
    }
}

/// A step function.
#[derive(Clone, Default, Debug)]
pub(crate) struct Steps {
    points: Vec<(SimTime, f64)>,
}

impl Steps {
    /// Sets the value from `at` on. Of several values at one instant the last counts.
    pub(crate) fn set(&mut self, at: SimTime, value: f64) {
        if let Some(last) = self.points.last_mut()
            && last.0 == at
        {
            last.1 = value;
            return;
        }
        if self.points.last().map_or(0.0, |last| last.1) != value || self.points.is_empty() {
            self.points.push((at, value));
        }
    }

    /// The running sum of changes, given in any order.
    pub(crate) fn from_deltas(mut deltas: Vec<(SimTime, i64)>) -> Self {
        deltas.sort_by_key(|(at, _)| *at);
        let mut steps = Self::default();
        let mut sum = 0;
        for (at, delta) in deltas {
            sum += delta;
            steps.set(at, sum as f64);
        }
        steps
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(crate) fn points(&self) -> &[(SimTime, f64)] {
        &self.points
    }

    /// The value at `at`.
    pub(crate) fn at(&self, at: SimTime) -> f64 {
        let after = self.points.partition_point(|(time, _)| *time <= at);
        if after == 0 { 0.0 } else { self.points[after - 1].1 }
    }

    /// `(value, how long)` inside `range`, in order.
    pub(crate) fn pieces(&self, range: Range) -> Vec<(f64, SimDuration)> {
        let mut pieces = Vec::new();
        if range.to <= range.from {
            return pieces;
        }
        let mut since = range.from;
        let mut value = self.at(range.from);
        let first = self.points.partition_point(|(time, _)| *time <= range.from);
        for (at, next) in self.points[first..].iter().take_while(|(at, _)| *at < range.to) {
            pieces.push((value, at.since(since)));
            (since, value) = (*at, *next);
        }
        pieces.push((value, range.to.since(since)));
        pieces
    }

    /// Value × hours, summed.
    pub(crate) fn integral_hours(&self, range: Range) -> f64 {
        self.pieces(range).iter().map(|(value, length)| value * length.as_secs_f64()).sum::<f64>() / 3600.0
    }

    /// A statistic over time, each value weighing as long as it held.
    pub(crate) fn stat(&self, stat: &str, range: Range) -> Option<f64> {
        if self.points.is_empty() {
            return None;
        }
        let pieces = self.pieces(range);
        weighted(stat, pieces.iter().map(|(value, length)| (*value, length.as_nanos())).collect())
    }

    /// The time-mean of each whole window of `length` in `range`.
    pub(crate) fn windows(&self, range: Range, length: SimDuration) -> Vec<f64> {
        let mut means = Vec::new();
        if self.points.is_empty() {
            return means;
        }
        let mut from = range.from;
        while from + length <= range.to {
            means.extend(self.stat("mean", Range { from, to: from + length }));
            from += length;
        }
        means
    }
}

/// A statistic of samples of equal weight.
pub(crate) fn stat_of(stat: &str, samples: &[f64]) -> Option<f64> {
    weighted(stat, samples.iter().map(|value| (*value, 1)).collect())
}

/// A statistic of weighted values in order of time. Quantiles are those values below which at most the
/// share `q` of the weight lies (no interpolation, so a quantile is always a value that was there).
fn weighted(stat: &str, mut values: Vec<(f64, u64)>) -> Option<f64> {
    let total: u128 = values.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if total == 0 {
        return None;
    }
    let quantile = |values: &mut Vec<(f64, u64)>, q: f64| {
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rank = q * total as f64;
        let mut seen = 0.0;
        for (value, weight) in values.iter() {
            seen += *weight as f64;
            if seen >= rank && *weight > 0 {
                return Some(*value);
            }
        }
        values.last().map(|(value, _)| *value)
    };
    let present = || values.iter().filter(|(_, weight)| *weight > 0).map(|(value, _)| *value);
    match stat {
        "min" => present().min_by(f64::total_cmp),
        "max" => present().max_by(f64::total_cmp),
        "last" => present().next_back(),
        "sum" => Some(present().fold(0.0, |sum, value| sum + value)), // an empty sum of floats would be -0
        "p50" | "median" => quantile(&mut values, 0.5),
        "p95" => quantile(&mut values, 0.95),
        "p99" => quantile(&mut values, 0.99),
        _ => Some(values.iter().map(|(value, weight)| value * *weight as f64).sum::<f64>() / total as f64),
    }
}

/// Keeps the shape of a line in at most `limit` points: of each bucket its lowest and its highest value,
/// in their order. Gives back the chosen positions, ascending; first and last are always among them.
pub(crate) fn min_max(values: &[Option<f64>], limit: usize) -> Vec<usize> {
    if values.len() <= limit || limit < 4 {
        return (0..values.len()).collect();
    }
    let buckets = (limit - 2) / 2;
    let mut kept = vec![0];
    for bucket in 0..buckets {
        let span = bucket * values.len() / buckets..(bucket + 1) * values.len() / buckets;
        let known = || span.clone().filter_map(|index| values[index].map(|value| (value, index)));
        let low = known().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(span.start, |(_, index)| index);
        let high = known().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(span.start, |(_, index)| index);
        kept.extend([low.min(high), low.max(high)]);
    }
    kept.push(values.len() - 1);
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    #[test]
    fn a_value_weighs_as_long_as_it_held() {
        let steps = Steps::from_deltas(vec![(secs(10), 4), (secs(40), -3), (secs(0), 1)]);
        let range = Range { from: secs(0), to: secs(50) };
        for (stat, value) in [("min", 1.0), ("max", 5.0), ("last", 2.0), ("mean", (10.0 + 150.0 + 20.0) / 50.0), ("p50", 5.0)] {
            assert_eq!(steps.stat(stat, range), Some(value), "{stat}");
        }
        assert_eq!(Steps::default().stat("max", range), None, "nothing known is not zero");
        assert_eq!(steps.windows(range, SimDuration::from_secs(20)), [3.0, 5.0], "only whole windows");
    }

    proptest! {
        #[test]
        fn thinning_keeps_the_extremes_and_the_limit(values in proptest::collection::vec(-1e6f64..1e6, 1..3000), limit in 4usize..500) {
            let values: Vec<Option<f64>> = values.into_iter().map(Some).collect();
            let kept = min_max(&values, limit);
            prop_assert!(kept.len() <= limit.max(1) || values.len() <= limit);
            prop_assert!(kept.is_sorted());
            let extreme = |of: &dyn Fn(f64, f64) -> f64, indices: &mut dyn Iterator<Item = usize>| indices.filter_map(|i| values[i]).reduce(of);
            prop_assert_eq!(extreme(&f64::max, &mut kept.iter().copied()), extreme(&f64::max, &mut (0..values.len())));
            prop_assert_eq!(extreme(&f64::min, &mut kept.iter().copied()), extreme(&f64::min, &mut (0..values.len())));
        }
    }
}
