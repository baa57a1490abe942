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

/// How likely so one-sided `differences` are when their signs fall by chance (two-sided p). One when nothing differs.
#[must_use]
pub(crate) fn signed_rank(differences: &[f64]) -> f64 {
    let (doubled, positive) = doubled_ranks(differences);
    if doubled.is_empty() {
        return 1.0;
    }
    let total: u64 = doubled.iter().sum();
    let smaller = positive.min(total - positive);
    let p = if doubled.len() <= MOST_EXACT { exact(&doubled, smaller) } else { approximate(&doubled, smaller) };
    p.min(1.0)
}

/// Twice the rank of every difference that is one, by size, and the sum of those that are positive.
fn doubled_ranks(differences: &[f64]) -> (Vec<u64>, u64) {
    let mut sizes: Vec<f64> = differences.iter().copied().filter(|value| *value != 0.0 && !value.is_nan()).collect();
    sizes.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let doubled = doubled_midranks(&sizes);
    let positive = sizes.iter().zip(&doubled).filter(|(size, _)| **size > 0.0).map(|(_, rank)| rank).sum();
    (doubled, positive)
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
            assert_eq!(doubled_ranks(&differences).1 as f64 / 2.0, rank_sum, "{differences:?}");
            let found = signed_rank(&differences);
            assert!((found - p).abs() < 1e-9, "{differences:?}: {found} {p}");
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
        assert_eq!(signed_rank(&[]), 1.0);
        assert_eq!(signed_rank(&[0.0; 30]), 1.0);
        let never = signed_rank(&[f64::INFINITY, f64::INFINITY, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(never, 2.0 / 64.0, "who never got there is furthest away");
    }
}
