//! From a mean to a distribution: how long requests take that meet a queue in a given state.
//!
//! First in, first out: own demand plus a wait that is nothing for some and gamma for the others.
//! Processor sharing: own demand, stretched by a gamma factor of mean `m/S`. Quantiles are closed forms
//! (Wilson-Hilferty for gamma, Acklam for the normal), so a draw needs two uniform numbers and no search.

use crate::random::Distribution;

/// Standard normal quantile (Acklam's rational approximation, relative error below 1.2e-9).
#[expect(clippy::excessive_precision, reason = "coefficients as published")]
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.383577518672690e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01, -1.328068155288572e+01];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 4] = [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00];
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    let tail = |q: f64| {
        (((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5]) / ((((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1.0)
    };
    if p < 0.02425 {
        return tail(libm::sqrt(-2.0 * libm::log(p)));
    }
    if p > 1.0 - 0.02425 {
        return -tail(libm::sqrt(-2.0 * libm::log(1.0 - p)));
    }
    let q = p - 0.5;
    let r = q * q;
    (((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5]) * q
        / (((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1.0)
}

/// Quantile of a gamma law of this mean and squared coefficient of variation.
pub(super) fn gamma_quantile(mean: f64, cv2: f64, p: f64) -> f64 {
    if cv2 <= 1e-9 {
        return mean;
    }
    let root = 1.0 - cv2 / 9.0 + normal_quantile(p) * libm::sqrt(cv2) / 3.0;
    mean * (root * root * root).max(0.0)
}

/// Survival of a gamma law of this mean and squared coefficient of variation (Wilson-Hilferty).
fn gamma_beyond(mean: f64, cv2: f64, value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    if cv2 <= 1e-9 || mean <= 0.0 {
        return f64::from(u8::from(value < mean));
    }
    let z = (libm::cbrt(value / mean) - (1.0 - cv2 / 9.0)) * 3.0 / libm::sqrt(cv2);
    0.5 * libm::erfc(z / core::f64::consts::SQRT_2)
}

/// Demands told apart where a request that failed comes back with the same demand: bounds of their shares.
pub(super) const DEMANDS: usize = 30;
fn demand_bound(place: usize) -> f64 {
    const TAIL: [f64; 7] = [0.9, 0.94, 0.97, 0.985, 0.995, 0.999, 1.0];
    if place < 24 { place as f64 * 0.0375 } else { TAIL[place - 24] }
}

/// A law of demand as quantiles, in seconds.
pub(super) struct Law {
    law: Distribution,
    pub(super) mean: f64,
    /// Squared coefficient of variation.
    pub(super) cv2: f64,
    /// Demands and their shares.
    pub(super) atoms: Vec<(f64, f64)>,
}

impl Law {
    pub(super) fn new(law: &Distribution) -> Self {
        let mut this = Self { law: law.clone(), mean: 0.0, cv2: 0.0, atoms: Vec::new() };
        (this.mean, this.cv2) = match law {
            Distribution::Constant(value) => (value.as_secs_f64(), 0.0),
            Distribution::Exponential { mean } => (mean.as_secs_f64(), 1.0),
            Distribution::Lognormal { sigma, .. } => (law.mean().as_secs_f64(), libm::expm1(sigma * sigma)),
            _ => this.moments(),
        };
        let atom = |place: usize| {
            let (low, high) = (demand_bound(place), demand_bound(place + 1));
            (this.quantile(f64::midpoint(low, high)), high - low)
        };
        this.atoms = (0..DEMANDS).map(atom).collect();
        this
    }

    /// Shares of its atoms.
    pub(super) fn shares(&self) -> [f64; DEMANDS] {
        std::array::from_fn(|place| self.atoms[place].1)
    }

    fn moments(&self) -> (f64, f64) {
        let values = (0..4096).map(|i| self.quantile((f64::from(i) + 0.5) / 4096.0));
        let (sum, squares) = values.fold((0.0, 0.0), |(sum, squares), value| (sum + value, squares + value * value));
        let mean = sum / 4096.0;
        (mean, if mean > 0.0 { (squares / 4096.0 / (mean * mean) - 1.0).max(0.0) } else { 0.0 })
    }

    /// The demand below which the share `p` lies.
    pub(super) fn quantile(&self, p: f64) -> f64 {
        match &self.law {
            Distribution::Constant(value) => value.as_secs_f64(),
            Distribution::Exponential { mean } => -libm::log1p(-p) * mean.as_secs_f64(),
            Distribution::Lognormal { mu, sigma } => libm::exp(mu + sigma * normal_quantile(p)),
            Distribution::Uniform { min, max } => min.as_secs_f64() + (max.as_secs_f64() - min.as_secs_f64()) * p,
            Distribution::Weibull { scale, shape } => scale.as_secs_f64() * libm::pow(-libm::log1p(-p), 1.0 / shape),
            Distribution::Empirical(values) => empirical(values, p),
        }
    }

    /// Share of demands beyond `seconds`.
    pub(super) fn beyond(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 1.0;
        }
        match &self.law {
            Distribution::Constant(value) => f64::from(u8::from(value.as_secs_f64() > seconds)),
            Distribution::Exponential { mean } if !mean.is_zero() => libm::exp(-seconds / mean.as_secs_f64()),
            Distribution::Lognormal { mu, sigma } if *sigma > 0.0 => {
                0.5 * libm::erfc((libm::log(seconds) - mu) / (sigma * core::f64::consts::SQRT_2))
            }
            _ => {
                let (mut low, mut high) = (0.0, 1.0);
                for _ in 0..30 {
                    let middle = f64::midpoint(low, high);
                    if self.quantile(middle) > seconds { high = middle } else { low = middle }
                }
                1.0 - low
            }
        }
    }
}

fn empirical(values: &[api::SimDuration], p: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = p * last as f64;
    let index = (place as usize).min(last);
    let (a, b) = (values[index].as_secs_f64(), values[(index + 1).min(last)].as_secs_f64());
    a + (b - a) * (place - index as f64)
}

/// How long requests take that come to a queue in this state.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Kernel {
    /// Mean time from arrival to the end of the cpu work, in seconds.
    pub(super) mean: f64,
    /// By how much that mean grows from one step to the next.
    pub(super) drift: f64,
    /// Own demand over the speed of a worker.
    pub(super) slowdown: f64,
    /// Share that waits, and squared coefficient of variation of their wait.
    pub(super) waits: f64,
    pub(super) wait_cv2: f64,
    /// Processor sharing: the least stretching, and the squared coefficient of variation of what is beyond it.
    pub(super) sharing: Option<(f64, f64)>,
    /// A wait of the same length for all, for a slot.
    pub(super) slot_wait: f64,
    /// Work leaves the queue after so many seconds, and more comes per second than is served: what is served
    /// has waited nearly that long, short of an exponential of the excess.
    pub(super) deadline: Option<(f64, f64)>,
}

impl Kernel {
    fn wait_mean(&self, law: &Law) -> f64 {
        (self.mean - law.mean * self.slowdown).max(0.0) / self.waits.max(1e-12)
    }

    /// Mean stretching beyond the least.
    fn stretch(&self, law: &Law, least: f64) -> f64 {
        if law.mean > 0.0 { (self.mean / law.mean - least).max(0.0) } else { 0.0 }
    }

    /// Share of requests of this demand that take longer than `seconds`.
    pub(super) fn beyond_with(&self, law: &Law, demand: f64, seconds: f64) -> f64 {
        let left = seconds - self.slot_wait;
        if let Some((least, cv2)) = self.sharing {
            let over = left / demand.max(1e-12) - least;
            return if over <= 0.0 { 1.0 } else { gamma_beyond(self.stretch(law, least), cv2, over) };
        }
        let left = left - demand * self.slowdown;
        if left <= 0.0 {
            return 1.0;
        }
        if let Some((timeout, excess)) = self.deadline {
            // What is served has waited an exponential of the excess less than the deadline.
            return if left >= timeout { 0.0 } else { 1.0 - libm::exp(-excess * (timeout - left)) };
        }
        self.waits * gamma_beyond(self.wait_mean(law), self.wait_cv2, left)
    }

    /// The time of a request of the next step with these two uniform numbers.
    pub(super) fn draw(&self, law: &Law, demand: f64, wait: f64) -> f64 {
        let ahead = Self { mean: (self.mean + self.drift).max(0.0), ..*self };
        ahead.draw_now(law, demand, wait)
    }

    fn draw_now(&self, law: &Law, demand: f64, wait: f64) -> f64 {
        let own = law.quantile(demand);
        if let Some((least, cv2)) = self.sharing {
            return self.slot_wait + own * (least + gamma_quantile(self.stretch(law, least), cv2, wait));
        }
        if let Some((timeout, excess)) = self.deadline {
            return own * self.slowdown + (timeout + libm::log(wait.max(1e-12)) / excess).max(0.0);
        }
        let idle = 1.0 - self.waits;
        let waited =
            if wait < idle { 0.0 } else { gamma_quantile(self.wait_mean(law), self.wait_cv2, (wait - idle) / self.waits.max(1e-12)) };
        self.slot_wait + own * self.slowdown + waited
    }

    /// Share of requests that take longer than `seconds`.
    pub(super) fn beyond(&self, law: &Law, seconds: f64) -> f64 {
        const ATOMS: u32 = 32;
        let left = seconds - self.slot_wait;
        if left <= 0.0 {
            return 1.0;
        }
        let middles = (0..ATOMS).map(|i| (f64::from(i) + 0.5) / f64::from(ATOMS));
        if let Some((least, cv2)) = self.sharing {
            let stretch = self.stretch(law, least);
            let beyond = |p: f64| law.beyond(left / (least + gamma_quantile(stretch, cv2, p)).max(1e-12));
            return middles.map(beyond).sum::<f64>() / f64::from(ATOMS);
        }
        let slow = self.slowdown.max(1e-12);
        if let Some((timeout, excess)) = self.deadline {
            let left = |p: f64| seconds - (timeout + libm::log(p) / excess).max(0.0);
            return middles.map(|p| law.beyond(left(p) / slow)).sum::<f64>() / f64::from(ATOMS);
        }
        let wait = self.wait_mean(law);
        let waiting = if self.waits > 1e-9 {
            middles.map(|p| law.beyond((left - gamma_quantile(wait, self.wait_cv2, p)) / slow)).sum::<f64>() / f64::from(ATOMS)
        } else {
            0.0
        };
        (1.0 - self.waits) * law.beyond(left / slow) + self.waits * waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::SimDuration;

    #[test]
    fn quantiles_of_the_normal_and_of_the_exponential_as_a_gamma() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_964), (0.01, -2.326_348)] {
            assert!((normal_quantile(p) - z).abs() < 1e-5);
        }
        // How good the cube-root approximation is for the exponential, whose shape suits it least.
        for (p, within) in [(0.5, 0.014), (0.9, 0.011), (0.99, 0.002), (0.999, 0.024)] {
            let error = (gamma_quantile(2.0, 1.0, p) / (-2.0 * libm::log1p(-p)) - 1.0).abs();
            assert!(error < within, "{p}: {error}");
        }
    }

    #[test]
    fn draws_and_the_share_beyond_agree() {
        let law = Law::new(&Distribution::Exponential { mean: SimDuration::from_millis(10) });
        let kernel = Kernel { mean: 0.05, slowdown: 1.0, waits: 0.8, wait_cv2: 1.0, ..Kernel::default() };
        let n = 400;
        let beyond = (0..n * n).filter(|i| {
            let (a, b) = (f64::from(i / n) + 0.5, f64::from(i % n) + 0.5);
            kernel.draw(&law, a / f64::from(n), b / f64::from(n)) > 0.1
        });
        let share = beyond.count() as f64 / f64::from(n * n);
        assert!((share - kernel.beyond(&law, 0.1)).abs() < 0.005, "{share}");
        assert!((share - libm::exp(-2.0)).abs() < 0.01, "M/M/1 at 0.8: {share}");
    }
}
