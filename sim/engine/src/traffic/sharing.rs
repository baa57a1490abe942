//! A node's cpu among its pods: weighted max-min (water filling), as CFS weights and quotas achieve.
//!
//! Weights are cpu requests, caps what a pod can use: its limit, and a core per running request.

/// Weight of a pod without a cpu request, in millicores (the kernel's least, 2 shares).
pub(super) const LEAST_WEIGHT: i64 = 2;

/// What one pod asks for and gets, in millicores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Share {
    pub(super) station: u32,
    pub(super) weight: i64,
    pub(super) demand: i64,
    pub(super) granted: f64,
}

/// Fills `granted`. Whoever asks for no more than his part gets what he asks for; the others share the rest by weight.
pub(super) fn water_fill(capacity: i64, shares: &mut [Share]) {
    let mut rest = capacity as f64;
    let mut weights = shares.iter().map(|share| share.weight).sum::<i64>() as f64;
    shares.iter_mut().for_each(|share| share.granted = -1.0);
    loop {
        let level = if weights > 0.0 { rest / weights } else { 0.0 };
        let (mut taken, mut settled) = (0.0, 0.0);
        for share in shares.iter_mut().filter(|share| share.granted < 0.0) {
            if share.demand as f64 <= level * share.weight as f64 {
                share.granted = share.demand as f64;
                taken += share.granted;
                settled += share.weight as f64;
            }
        }
        if settled == 0.0 {
            for share in shares.iter_mut().filter(|share| share.granted < 0.0) {
                share.granted = level * share.weight as f64;
            }
            return;
        }
        rest -= taken;
        weights -= settled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(of: &[(i64, i64)]) -> Vec<Share> {
        of.iter().map(|(weight, demand)| Share { station: 0, weight: *weight, demand: *demand, granted: 0.0 }).collect()
    }

    #[test]
    fn t29a_weights_on_a_full_node() {
        let mut pods = shares(&[(1000, 3000), (2000, 3000), (500, 250)]);
        water_fill(4000, &mut pods);
        let granted: Vec<_> = pods.iter().map(|share| share.granted / 1000.0).collect();
        for (granted, expected) in granted.into_iter().zip([1.25, 2.5, 0.25]) {
            assert!((granted - expected).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn no_node_gives_more_than_it_has_and_none_is_left_while_someone_wants_it(
            capacity in 0i64..10_000, of in proptest::collection::vec((2i64..4000, 0i64..5000), 0..12)
        ) {
            let mut pods = shares(&of);
            water_fill(capacity, &mut pods);
            let (granted, wanted) = (pods.iter().map(|s| s.granted).sum::<f64>(), pods.iter().map(|s| s.demand).sum::<i64>() as f64);
            prop_assert!((granted - wanted.min(capacity as f64)).abs() < 1e-6);
            for share in &pods {
                prop_assert!(share.granted >= 0.0 && share.granted <= share.demand as f64 + 1e-9);
            }
        }
    }
}
