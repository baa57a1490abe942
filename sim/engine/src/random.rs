//! Named random streams and the distributions drawn from them.
//!
//! Every draw comes from a stream keyed by (seed, purpose, entity), never by the order of asking: two
//! policies under one seed meet the same arrivals, failures and service times, and a new draw in one
//! room moves no other. ChaCha8 with the purpose and entity as its stream number.
//!
//! Invariants: no platform mathematics (`libm` only); a golden-value test pins the generator.

use api::SimDuration;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a draw is for. The numbers are part of the run's identity: never reuse or renumber one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u16)]
#[expect(missing_docs, reason = "each names its use")]
pub enum Purpose {
    Uid = 1,
    PodName = 2,
    LeasePhase = 3,
    MonitorPhase = 4,
    ImagePull = 5,
    ContainerStart = 6,
    ReadyAfter = 7,
    Stop = 8,
    Crash = 9,
    ProbePhase = 10,
    Provisioning = 11,
    FaultTargets = 12,
    Arrivals = 13,
    CpuDemand = 14,
    RequestLatency = 15,
    Balancing = 16,
    Calls = 17,
    Errors = 18,
    RetryJitter = 19,
    EndpointPropagation = 20,
    HpaPhase = 21,
    TieBreak = 22,
    Expander = 23,
}

/// The streams of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams under `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream for `purpose` and `entity`. Entities are identities that do not depend on order:
    /// a uid, or [`entity`] of a name.
    #[must_use]
    pub fn stream(&self, purpose: Purpose, entity: u64) -> Stream {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..10].copy_from_slice(&(purpose as u16).to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(entity);
        Stream { rng }
    }
}

/// A stable number for a name (FNV-1a, 64 bit).
#[must_use]
pub fn entity(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// One sequence of draws.
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }
    /// Uniform in [0, 1), 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
    /// Uniform in 0..n; zero when `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }
    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log1p(-self.unit())
    }
    /// Standard normal (Box-Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(2.0 * core::f64::consts::PI * self.unit())
    }
}

/// A law for a span of time.
#[derive(Clone, PartialEq, Debug)]
pub enum Distribution {
    /// Always the same.
    Constant(SimDuration),
    /// Exponential.
    Exponential {
        /// Mean.
        mean: SimDuration,
    },
    /// Lognormal: the logarithm (of seconds) is normal.
    Lognormal {
        /// Mean of the logarithm of seconds.
        mu: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Uniform.
    Uniform {
        /// Least.
        min: SimDuration,
        /// Most.
        max: SimDuration,
    },
    /// Weibull.
    Weibull {
        /// Scale.
        scale: SimDuration,
        /// Shape.
        shape: f64,
    },
    /// Inverse of an empirical distribution: equally likely values, ascending, linear between.
    Empirical(Vec<SimDuration>),
}

/// The standard normal's quantiles used to fit a lognormal.
const Z_95: f64 = 1.644_853_626_951_472_6;
const Z_99: f64 = 2.326_347_874_040_840_8;

impl Distribution {
    /// Lognormal with this median and 95th percentile.
    #[must_use]
    pub fn lognormal_median_p95(median: SimDuration, p95: SimDuration) -> Self {
        Self::lognormal_median_quantile(median, p95, Z_95)
    }
    /// Lognormal with this median and 99th percentile.
    #[must_use]
    pub fn lognormal_median_p99(median: SimDuration, p99: SimDuration) -> Self {
        Self::lognormal_median_quantile(median, p99, Z_99)
    }
    fn lognormal_median_quantile(median: SimDuration, quantile: SimDuration, z: f64) -> Self {
        let mu = libm::log(median.as_secs_f64());
        Self::Lognormal { mu, sigma: (libm::log(quantile.as_secs_f64()) - mu) / z }
    }
    /// Lognormal with this mean and coefficient of variation.
    #[must_use]
    pub fn lognormal_mean_cv(mean: SimDuration, cv: f64) -> Self {
        let variance = libm::log1p(cv * cv);
        Self::Lognormal { mu: libm::log(mean.as_secs_f64()) - variance / 2.0, sigma: libm::sqrt(variance) }
    }
    /// With this mean: constant for a coefficient of variation of 0, exponential for 1, else lognormal.
    #[must_use]
    pub fn mean_cv(mean: SimDuration, cv: f64) -> Self {
        if cv == 0.0 || mean.is_zero() {
            Self::Constant(mean)
        } else if cv == 1.0 {
            Self::Exponential { mean }
        } else {
            Self::lognormal_mean_cv(mean, cv)
        }
    }
    /// One draw.
    pub fn sample(&self, stream: &mut Stream) -> SimDuration {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential { mean } => scaled(*mean, stream.exponential()),
            Self::Lognormal { mu, sigma } => SimDuration::from_secs_f64(libm::exp(mu + sigma * stream.normal())),
            Self::Uniform { min, max } => *min + scaled(*max - *min, stream.unit()),
            Self::Weibull { scale, shape } => scaled(*scale, libm::pow(stream.exponential(), 1.0 / shape)),
            Self::Empirical(values) => empirical(values, stream.unit()),
        }
    }
    /// The mean, where it has a closed form here; for feasibility checks and reports.
    #[must_use]
    pub fn mean(&self) -> SimDuration {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential { mean } => *mean,
            Self::Lognormal { mu, sigma } => SimDuration::from_secs_f64(libm::exp(mu + sigma * sigma / 2.0)),
            Self::Uniform { min, max } => SimDuration::from_nanos(u64::midpoint(min.as_nanos(), max.as_nanos())),
            Self::Weibull { scale, shape } => scaled(*scale, libm::tgamma(1.0 + 1.0 / shape)),
            Self::Empirical(values) => {
                let sum: u128 = values.iter().map(|value| u128::from(value.as_nanos())).sum();
                SimDuration::from_nanos(sum.checked_div(values.len() as u128).unwrap_or(0) as u64)
            }
        }
    }
}

fn scaled(span: SimDuration, factor: f64) -> SimDuration {
    SimDuration::from_nanos((span.as_nanos() as f64 * factor + 0.5) as u64)
}

fn empirical(values: &[SimDuration], unit: f64) -> SimDuration {
    let Some(last) = values.len().checked_sub(1) else { return SimDuration::ZERO };
    let place = unit * last as f64;
    let index = (place as usize).min(last.saturating_sub(1));
    let (low, high) = (values[index], values[(index + 1).min(last)]);
    low + scaled(high - low, place - index as f64)
}
