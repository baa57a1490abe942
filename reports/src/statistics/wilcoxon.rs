//! The Wilcoxon signed-rank test of paired differences.
//!
//! Exact: the distribution of the rank sum under all 2ⁿ choices of signs, counted by dynamic programming over the
//! ranks that the data have, so that ties need no approximation. Beyond 200 pairs the normal
//! approximation with ties and continuity corrected.
//!
//! Differences of zero say nothing of a direction and are left out (Wilcoxon's own way). Infinite differences (one
//! side never got there) rank above all others.

use libm::sqrt;

use super::distributions::normal_cdf;

/// Up to here the test is exact.
const MOST_EXACT: usize = 200;

/// What the test found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SignedRank {
    /// Pairs that differ.
    pub n: usize,
    /// Sum of the ranks of positive differences.
    pub positive_ranks: f64,
    /// Two-sided: how likely so one-sided a sum is when signs fall by chance. One when nothing differs.
    pub p: f64,
}

/// Tests whether `differences` lie to one side of zero.
#[must_use]
pub fn signed_rank(differences: &[f64]) -> SignedRank {
    let mut sizes: Vec<f64> = differences.iter().copied().filter(|value| *value != 0.0 && !value.is_nan()).collect();
    sizes.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = sizes.len();
    if n == 0 {
        return SignedRank { n, positive_ranks: 0.0, p: 1.0 };
    }
    let doubled = doubled_midranks(&sizes);
    let positive: u64 = sizes.iter().zip(&doubled).filter(|(size, _)| **size > 0.0).map(|(_, rank)| rank).sum();
    let total: u64 = doubled.iter().sum();
    let smaller = positive.min(total - positive);
    let p = if n <= MOST_EXACT { exact(&doubled, smaller) } else { approximate(&doubled, smaller) };
    SignedRank { n, positive_ranks: positive as f64 / 2.0, p: p.min(1.0) }
}

/// Twice each rank: equal sizes share the mean of their ranks, and twice that is whole.
fn doubled_midranks(sorted: &[f64]) -> Vec<u64> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let (first, last) = (ranks.len() as u64 + 1, (ranks.len() + group.len()) as u64);
        ranks.extend(std::iter::repeat_n(first + last, group.len()));
    }
    ranks
}

/// Twice the share of sign choices whose sum is at most `smaller`.
fn exact(doubled: &[u64], smaller: u64) -> f64 {
    // Shares instead of counts: each rank is in the sum with probability one half.
    let most = smaller as usize;
    let mut share = vec![0.0; most + 1];
    share[0] = 1.0;
    for rank in doubled {
        let rank = *rank as usize;
        for sum in (0..=most).rev() {
            let with = if sum >= rank { share[sum - rank] } else { 0.0 };
            share[sum] = 0.5 * (share[sum] + with);
        }
    }
    2.0 * share.iter().sum::<f64>()
}

fn approximate(doubled: &[u64], smaller: u64) -> f64 {
    let total: u64 = doubled.iter().sum();
    let variance: f64 = doubled.iter().map(|rank| (*rank as f64 / 4.0) * (*rank as f64 / 4.0)).sum();
    let z = (smaller as f64 / 2.0 - total as f64 / 4.0 + 0.5) / sqrt(variance);
    2.0 * normal_cdf(z.min(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_scipy() {
        let cases: Vec<(Vec<f64>, f64, f64)> = include!("scipy_wilcoxon.in");
        for (differences, rank_sum, p) in cases {
            let found = signed_rank(&differences);
            assert_eq!(found.positive_ranks, rank_sum, "{differences:?}");
            assert!((found.p - p).abs() < 1e-9, "{differences:?}: {} {p}", found.p);
        }
    }

    #[test]
    fn the_approximation_agrees_with_the_count() {
        let ranks: Vec<u64> = (1..=80).map(|rank| 2 * rank).collect();
        for smaller in [1000, 1800, 2400, 3000, 3240] {
            let (counted, approximated) = (exact(&ranks, smaller).min(1.0), approximate(&ranks, smaller).min(1.0));
            assert!((counted - approximated).abs() < 0.003, "{smaller}: {counted} {approximated}");
        }
    }

    #[test]
    fn nothing_that_differs_is_no_evidence() {
        assert_eq!(signed_rank(&[]).p, 1.0);
        assert_eq!(signed_rank(&[0.0; 30]), SignedRank { n: 0, positive_ranks: 0.0, p: 1.0 });
        let never = signed_rank(&[f64::INFINITY, f64::INFINITY, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!((never.n, never.p), (6, 2.0 / 64.0), "who never got there is furthest away");
    }
}
