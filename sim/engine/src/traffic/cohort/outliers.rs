//! Endpoints that have failed lately: callers leave them alone for a while, as Envoy's outlier detection does.
//!
//! All callers of a route leave the same endpoints alone at the same time: how far they are on the way there is the share of
//! the attempts that one needs, in the mean, until so many in a row have failed.

use crate::spec::CircuitBreaker;

/// Of one route.
#[derive(Default)]
pub(super) struct Outliers {
    pods: Vec<Outlier>,
}

struct Outlier {
    pod: u32,
    progress: f64,
    times: u32,
    ejected_until: u64,
}

impl Outliers {
    /// When the next endpoint is asked again that is left alone now.
    pub(super) fn next_return(&self, now: u64) -> Option<u64> {
        self.pods.iter().map(|outlier| outlier.ejected_until).filter(|until| *until > now).min()
    }

    /// Those of the targets that are left alone now: none when that would be more than half of them (the panic threshold).
    pub(super) fn left_out(&self, targets: &[u32], now: u64) -> Vec<u32> {
        let ejected = self.pods.iter().filter(|outlier| outlier.ejected_until > now).map(|outlier| outlier.pod);
        let out: Vec<u32> = ejected.filter(|pod| targets.contains(pod)).collect();
        if out.len() * 2 > targets.len() { Vec::new() } else { out }
    }

    /// Forgets what is no target any more.
    pub(super) fn keep(&mut self, targets: &[u32]) {
        self.pods.retain(|outlier| targets.contains(&outlier.pod));
    }

    /// A pod was asked so often by each caller, and failed this share of it; `of` pods are targets.
    pub(super) fn tell(&mut self, breaker: &CircuitBreaker, pod: u32, asked: f64, fails: f64, of: usize, now: u64) {
        let place = match self.pods.iter().position(|outlier| outlier.pod == pod) {
            Some(place) => place,
            None if fails < 1e-3 => return,
            None => {
                self.pods.push(Outlier { pod, progress: 0.0, times: 0, ejected_until: 0 });
                self.pods.len() - 1
            }
        };
        let ejected = self.pods.iter().filter(|outlier| outlier.ejected_until > now).count();
        let outlier = &mut self.pods[place];
        if outlier.ejected_until > now {
            return;
        }
        outlier.progress += asked / attempts_until(breaker.consecutive, fails);
        let room = ejected == 0 || ((ejected + 1) as f64) <= breaker.max_ejection * of as f64;
        if outlier.progress >= 1.0 && room {
            outlier.progress = 0.0;
            outlier.times += 1;
            outlier.ejected_until = now.saturating_add(breaker.open_for.times(u64::from(outlier.times)).as_nanos());
        }
    }

    /// One is on its way to be left alone, or is asked again since just now.
    pub(super) fn any_moves(&self, now: u64) -> bool {
        self.pods.iter().any(|outlier| outlier.progress > 0.1 || outlier.times > 0 && outlier.ejected_until <= now)
    }
}

/// Attempts until so many in a row have failed, in the mean: `(1 - f^k) / ((1 - f) f^k)`.
fn attempts_until(in_a_row: u32, fails: f64) -> f64 {
    let row = libm::pow(fails, f64::from(in_a_row));
    if fails > 0.999_999 { f64::from(in_a_row) } else { (1.0 - row) / ((1.0 - fails) * row).max(1e-300) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn so_many_in_a_row_take_as_many_attempts_as_coins_say() {
        assert!((attempts_until(5, 1.0) - 5.0).abs() < 1e-12);
        assert!((attempts_until(5, 0.5) - 62.0).abs() < 1e-9, "2 + 4 + 8 + 16 + 32");
        assert!((attempts_until(1, 0.25) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn who_always_fails_is_left_alone_for_ever_longer_and_half_of_all_never() {
        let breaker = CircuitBreaker::default();
        let (mut outliers, targets) = (Outliers::default(), [1, 2, 3, 4]);
        outliers.tell(&breaker, 1, 4.0, 1.0, 4, 0);
        assert!(outliers.left_out(&targets, 0).is_empty());
        outliers.tell(&breaker, 1, 1.0, 1.0, 4, 0);
        assert_eq!(outliers.left_out(&targets, 0), [1]);
        assert_eq!(outliers.next_return(0), Some(30 * SECOND));
        outliers.tell(&breaker, 2, 5.0, 1.0, 4, SECOND);
        assert_eq!(outliers.left_out(&targets, SECOND), [1], "a tenth of four is one");
        assert!(outliers.left_out(&[1], SECOND).is_empty(), "more than half of all would be left alone");
        outliers.tell(&breaker, 1, 5.0, 1.0, 4, 30 * SECOND);
        assert_eq!(outliers.next_return(30 * SECOND), Some(90 * SECOND));
    }
}
