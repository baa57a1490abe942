//! Completion indexes as Jobs write them: `0-2,5`.
//!
//! Upstream: pkg/controller/job/indexed_job_utils.go.
//!
//! Invariant: intervals are in order, and at least one index lies between two of them.

use std::fmt;

/// A set of indexes as intervals, both ends included.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads `0-2,5`, leaving out what is not below `completions` and what is no number.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let mut indexes = Self::default();
        for interval in text.split(',').filter(|interval| !interval.is_empty()) {
            let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
            if first >= completions {
                break;
            }
            indexes.push(first, last.min(completions - 1));
        }
        indexes
    }

    fn push(&mut self, first: i32, last: i32) {
        match self.0.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
            _ => self.0.push((first, last)),
        }
    }

    /// With those of `other` too.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut all: Vec<(i32, i32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut merged = Self::default();
        all.into_iter().for_each(|(first, last)| merged.push(first, last));
        merged
    }

    /// How many.
    pub(super) fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether this one is among them.
    pub(super) fn has(&self, index: i32) -> bool {
        let place = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(place).is_some_and(|(first, _)| *first <= index)
    }

    /// How many are in both.
    pub(super) fn common(&self, other: &Self) -> i32 {
        let overlap = |(first, last): &(i32, i32)| {
            other.0.iter().map(|(other_first, other_last)| (last.min(other_last) - first.max(other_first) + 1).max(0)).sum::<i32>()
        };
        self.0.iter().map(overlap).sum()
    }

    /// The first `count` below `completions` that are not among them.
    pub(super) fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            while candidate < first.min(completions) && missing.len() < count {
                missing.push(candidate);
                candidate += 1;
            }
            candidate = candidate.max(last.saturating_add(1));
        }
        missing
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<I: IntoIterator<Item = i32>>(indexes: I) -> Self {
        let mut sorted: Vec<i32> = indexes.into_iter().collect();
        sorted.sort_unstable();
        let mut set = Self::default();
        sorted.into_iter().for_each(|index| set.push(index, index));
        set
    }
}

/// Two neighbours are `0,1`, three are `0-2`.
impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexes(text: &str) -> Indexes {
        Indexes::parse(text, 100)
    }

    #[test]
    fn indexes_are_written_as_upstream_writes_them() {
        for (given, written) in [("", ""), ("3", "3"), ("0,1", "0,1"), ("0,1,2", "0-2"), ("0-2,5,6-8", "0-2,5-8"), ("x,4", "4")] {
            assert_eq!(indexes(given).to_string(), written, "{given}");
        }
        assert_eq!(Indexes::parse("0-7,9", 5).to_string(), "0-4");
        assert_eq!(Indexes::from_iter([4, 0, 1, 4]).to_string(), "0,1,4");
    }

    #[test]
    fn sets_are_united_counted_and_searched() {
        let set = indexes("0-2,7").with(&indexes("3,9"));
        assert_eq!((set.to_string().as_str(), set.total()), ("0-3,7,9", 6));
        assert_eq!([2, 4, 7, 8, 9, 10].map(|index| set.has(index)), [true, false, true, false, true, false]);
        assert_eq!(set.common(&indexes("2-7,9-12")), 4);
    }

    #[test]
    fn the_lowest_missing_indexes_come_first() {
        assert_eq!(indexes("1,3-4").missing(3, 7), [0, 2, 5]);
        assert_eq!(indexes("0-4").missing(9, 7), [5, 6]);
        assert_eq!(indexes("").missing(2, 2), [0, 1]);
        assert_eq!(indexes("0-1").missing(2, 2), [0; 0]);
    }
}
