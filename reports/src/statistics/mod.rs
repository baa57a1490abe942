//! Statistics of paired comparison: how large a difference is, how sure that is, and how many questions were asked.
//!
//! | question | answer |
//! |---|---|
//! | how large is the mean difference | [`bootstrap::interval`]: BCa bootstrap, widened for small samples |
//! | could it be chance | [`wilcoxon::signed_rank`]: exact, ties and all |
//! | could it be chance among so many | [`holm::adjust`] |
//!
//! Invariants: equal input gives equal bytes on every platform (mathematics from `libm`, resampling from a fixed
//! stream); no function panics on empty or constant input.
//!
//! Not here: what is compared, and what a difference is worth (`compare`).

pub(crate) mod bootstrap;
pub(crate) mod distributions;
pub(crate) mod holm;
pub(crate) mod wilcoxon;

/// The arithmetic mean; zero of nothing.
#[must_use]
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The sample variance (divided by n − 1); zero of fewer than two.
#[must_use]
pub(crate) fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let centre = mean(values);
    values.iter().map(|value| (value - centre) * (value - centre)).sum::<f64>() / (values.len() - 1) as f64
}
