//! The normal distribution and Student's t: what intervals and approximations are read off.
//!
//! Not here: sampling (`engine::random`).

use libm::{erfc, exp, lgamma, log, sqrt};

/// P(Z ≤ z) of the standard normal distribution.
#[must_use]
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / std::f64::consts::SQRT_2)
}

/// The z with P(Z ≤ z) = `p`; infinite at the ends.
///
/// A rational start (Acklam 2003, 1e-9) and one step of Halley's method, which leaves machine precision.
#[must_use]
pub(crate) fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let start = if p < TAIL {
        acklam_tail(sqrt(-2.0 * log(p)))
    } else if p > 1.0 - TAIL {
        -acklam_tail(sqrt(-2.0 * log(1.0 - p)))
    } else {
        acklam_centre(p - 0.5)
    };
    let error = normal_cdf(start) - p;
    let step = error * sqrt(2.0 * std::f64::consts::PI) * exp(start * start / 2.0);
    start - step / (1.0 + start * step / 2.0)
}

const TAIL: f64 = 0.02425;

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

fn acklam_centre(q: f64) -> f64 {
    let r = q * q;
    let above = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    let below = [-54.476_098_798_224_06, 161.585_836_858_040_9, -155.698_979_859_886_6, 66.801_311_887_719_72, -13.280_681_552_885_72, 1.0];
    q * polynomial(&above, r) / polynomial(&below, r)
}

fn acklam_tail(q: f64) -> f64 {
    let above = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    let below = [0.007_784_695_709_041_462, 0.322_467_129_070_039_8, 2.445_134_137_142_996, 3.754_408_661_907_416, 1.0];
    polynomial(&above, q) / polynomial(&below, q)
}

/// P(T ≤ t) of Student's t with `degrees` of freedom.
#[must_use]
pub(crate) fn student_cdf(t: f64, degrees: f64) -> f64 {
    // From the share within ±t: near the middle the share beyond would be a difference of almost equal numbers.
    let within = incomplete_beta(0.5, degrees / 2.0, t * t / (degrees + t * t));
    if t > 0.0 { 0.5 + within / 2.0 } else { 0.5 - within / 2.0 }
}

/// The t with P(T ≤ t) = `p`, by bisection.
#[must_use]
pub(crate) fn student_quantile(p: f64, degrees: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (-1.0, 1.0);
    while student_cdf(low, degrees) > p {
        low *= 2.0;
    }
    while student_cdf(high, degrees) < p {
        high *= 2.0;
    }
    // Sixty halvings leave less than a float can tell apart.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if student_cdf(middle, degrees) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The regularised incomplete beta function, by its continued fraction (Lentz).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges quickly only on this side.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1.0 - x)) / a;
    front * continued_fraction(a, b, x)
}

fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..300 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scipy 1.x: `scipy.stats.norm.cdf/ppf`, `scipy.stats.t.cdf/ppf`.
    #[test]
    fn values_are_those_of_scipy() {
        for (found, scipy) in include!("scipy_distributions.in") {
            assert!((found - scipy).abs() <= 1e-9 * f64::max(1.0, f64::abs(scipy)), "{found} {scipy}");
        }
    }

    #[test]
    fn quantiles_invert_the_distributions() {
        for step in 1..1000 {
            let p = f64::from(step) / 1000.0;
            assert!((normal_cdf(normal_quantile(p)) - p).abs() < 1e-12);
            assert!((student_cdf(student_quantile(p, 9.0), 9.0) - p).abs() < 1e-10);
        }
    }
}
