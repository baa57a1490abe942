//! A histogram with buckets of constant relative width, all in integers.
//!
//! Values below 128 have a bucket each; above, every power of two is cut into 64 equal buckets, so a
//! bucket's middle is within 1/128 (0.8 %) of every value in it. Counts are exact and histograms of
//! shards add up exactly, in any order. On paper: `[[bucket, count], …]`, ascending, no empty buckets.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;
/// Buckets that 64-bit values can fall into.
const BUCKETS: usize = ((64 - SUB_BITS as usize) * SUB as usize) + SUB as usize;

/// Counts by bucket.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// The bucket of `value`.
    #[must_use]
    pub fn bucket(value: u64) -> usize {
        if value < 2 * SUB {
            return value as usize;
        }
        let shift = 63 - value.leading_zeros() - SUB_BITS;
        (u64::from(shift) * SUB + (value >> shift)) as usize
    }

    /// The middle of a bucket.
    #[must_use]
    pub fn middle(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        if bucket < 2 * SUB {
            return bucket;
        }
        let shift = bucket / SUB - 1;
        let low = (bucket - shift * SUB) << shift;
        low + ((1u64 << shift) >> 1)
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts `n` equal values.
    pub fn record_n(&mut self, value: u64, n: u64) {
        self.add_bucket(Self::bucket(value), n);
    }

    fn add_bucket(&mut self, bucket: usize, n: u64) {
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += n;
        self.total += n;
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.buckets() {
            self.add_bucket(bucket, count);
        }
    }

    /// Forgets everything, keeping the room.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// How many values were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// Buckets that hold something, ascending, with their counts.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bucket, count)| (bucket, *count))
    }

    /// The value below which the share `q` (0..1) of all values lies; `None` when empty.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = ((q * self.total as f64) as u64).min(self.total.saturating_sub(1));
        let mut seen = 0;
        for (bucket, count) in self.buckets() {
            seen += count;
            if seen > rank {
                return Some(Self::middle(bucket));
            }
        }
        None
    }

    /// The mean of the buckets' middles; `None` when empty.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let sum: u128 = self.buckets().map(|(bucket, count)| u128::from(Self::middle(bucket)) * u128::from(count)).sum();
        (self.total > 0).then(|| sum as f64 / self.total as f64)
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.buckets())
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(usize, u64)>::deserialize(deserializer)?;
        let mut histogram = Self::default();
        for (bucket, count) in pairs {
            if bucket >= BUCKETS {
                return Err(D::Error::custom(format!("bucket {bucket} is beyond the last, {}", BUCKETS - 1)));
            }
            histogram.add_bucket(bucket, count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_within_one_per_cent(value in any::<u64>()) {
            let bucket = Histogram::bucket(value);
            prop_assert!(bucket < BUCKETS);
            let middle = Histogram::middle(bucket);
            prop_assert!(middle.abs_diff(value) as f64 <= value as f64 * 0.01);
            prop_assert_eq!(Histogram::bucket(middle), bucket);
        }

        #[test]
        fn merging_equals_recording_everything_in_one(a in proptest::collection::vec(any::<u64>(), 0..50), b in proptest::collection::vec(any::<u64>(), 0..50)) {
            let of = |values: &[u64]| { let mut h = Histogram::default(); values.iter().for_each(|v| h.record(*v)); h };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let whole = of(&[a, b].concat());
            prop_assert_eq!(merged.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
            let text = serde_json::to_string(&whole).unwrap();
            let back: Histogram = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
        }
    }
}
