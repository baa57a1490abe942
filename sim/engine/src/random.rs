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
    ThinkTime = 24,
    Bursts = 25,
    Throttle = 26,
    Cache = 27,
    KubeletPhases = 40,
    PodSyncJitter = 41,
    PreStop = 42,
    PostStart = 43,
    ReadinessGates = 44,
    Reconnect = 60,
    VolumeProvision = 70,
    VolumeDelete = 71,
    VolumeAttach = 72,
    VolumeDetach = 73,
    Housekeeping = 80,
    LeaderElection = 50,
    ApiLatency = 51,
    WatchLatency = 52,
    EntryNode = 90,
    ClientIdentity = 91,
    Dns = 92,
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

/// A sequence of random numbers.
pub trait Draw {
    /// 64 random bits.
    fn bits(&mut self) -> u64;
    /// Uniform in [0, 1), 53 bits.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
    /// Uniform in 0..n; zero when `n` is zero.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }
    /// Exponential with mean 1.
    fn exponential(&mut self) -> f64 {
        -libm::log1p(-self.unit())
    }
    /// Standard normal (Box-Muller, one of the pair).
    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(2.0 * core::f64::consts::PI * self.unit())
    }
}

/// One sequence of draws.
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Draw for Stream {
    fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        Draw::bits(self)
    }
    /// Uniform in [0, 1), 53 bits.
    pub fn unit(&mut self) -> f64 {
        Draw::unit(self)
    }
    /// Uniform in 0..n; zero when `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        Draw::below(self, n)
    }
    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        Draw::exponential(self)
    }
    /// Standard normal (Box-Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        Draw::normal(self)
    }
}

/// A short sequence split off from 64 bits that a [`Stream`] gave (SplitMix64): whatever concerns one
/// request is drawn from that request's own bits, so that no other request can shift it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split(u64);

/// The golden ratio in 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of 64 bits in which every bit depends on every other (SplitMix64's finalizer).
#[must_use]
pub const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Split {
    /// The `index`-th sequence for `purpose` under `bits`.
    #[must_use]
    pub const fn new(bits: u64, purpose: Purpose, index: u64) -> Self {
        let place = ((purpose as u64) << 48).wrapping_add(index).wrapping_add(1);
        Self(mix(bits ^ mix(place.wrapping_mul(GOLDEN))))
    }
}

impl Draw for Split {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
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
    pub fn sample(&self, stream: &mut impl Draw) -> SimDuration {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(n: u32, mut draw: impl FnMut() -> f64) -> f64 {
        (0..n).map(|_| draw()).sum::<f64>() / f64::from(n)
    }

    #[test]
    fn the_generator_is_pinned() {
        let mut stream = Streams::new(42).stream(Purpose::Arrivals, entity("users"));
        assert_eq!([stream.bits(), stream.bits()], [10_881_950_966_122_439_186, 10_832_212_175_712_826_884]);
        assert_eq!(entity("users"), 4767205828091196211);
        assert_eq!(Split::new(42, Purpose::CpuDemand, 7).bits(), 16273031820703077690);
    }

    #[test]
    fn streams_do_not_know_of_each_other() {
        let streams = Streams::new(7);
        let mut alone = streams.stream(Purpose::Balancing, 1);
        let expected: Vec<u64> = (0..100).map(|_| alone.bits()).collect();
        let (mut one, mut other) = (streams.stream(Purpose::Balancing, 1), streams.stream(Purpose::Balancing, 2));
        let mixed: Vec<u64> = (0..100).map(|_| (one.bits(), other.bits()).0).collect();
        assert_eq!(mixed, expected);
        let first = |purpose, entity, seed| Streams::new(seed).stream(purpose, entity).bits();
        let all = [first(Purpose::Calls, 1, 7), first(Purpose::Errors, 1, 7), first(Purpose::Calls, 2, 7), first(Purpose::Calls, 1, 8)];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
    }

    #[test]
    fn splits_are_uniform_and_differ_by_purpose_and_index() {
        let unit = |bits, purpose, index| Split::new(bits, purpose, index).unit();
        for (purpose, index) in [(Purpose::CpuDemand, 0), (Purpose::Errors, 0), (Purpose::Calls, 1 << 32 | 5)] {
            let mut bits = 0;
            let average = mean(100_000, || {
                bits += 1; // The worst seeds there are.
                unit(bits, purpose, index)
            });
            assert!((average - 0.5).abs() < 0.004, "{average}");
        }
        // Two sequences of one request are not correlated.
        let mut bits = 0;
        let product = mean(100_000, || {
            bits += 1;
            (unit(bits, Purpose::Errors, 0) - 0.5) * (unit(bits, Purpose::CpuDemand, 0) - 0.5)
        });
        assert!(product.abs() < 0.001, "{product}");
    }

    #[test]
    fn every_distribution_has_the_mean_that_it_says() {
        let ms = SimDuration::from_millis;
        for law in [
            Distribution::Constant(ms(10)),
            Distribution::Exponential { mean: ms(10) },
            Distribution::lognormal_mean_cv(ms(10), 0.5),
            Distribution::lognormal_median_p95(ms(10), ms(30)),
            Distribution::lognormal_median_p99(ms(10), ms(30)),
            Distribution::Uniform { min: ms(5), max: ms(20) },
            Distribution::Weibull { scale: ms(10), shape: 1.5 },
            Distribution::Empirical(vec![ms(1), ms(2), ms(9)]),
        ] {
            let mut stream = Streams::new(3).stream(Purpose::CpuDemand, 1);
            let found = mean(200_000, || law.sample(&mut stream).as_secs_f64());
            let expected = match &law {
                Distribution::Empirical(_) => 0.0035, // Linear between values: (1.5 + 5.5) / 2.
                _ => law.mean().as_secs_f64(),
            };
            assert!((found / expected - 1.0).abs() < 0.01, "{law:?}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_lognormal_has_the_quantiles_that_it_was_made_from() {
        let ms = SimDuration::from_millis;
        let law = Distribution::lognormal_median_p95(ms(10), ms(30));
        let mut stream = Streams::new(4).stream(Purpose::CpuDemand, 1);
        let mut values: Vec<_> = (0..200_000).map(|_| law.sample(&mut stream).as_secs_f64() * 1e3).collect();
        values.sort_by(f64::total_cmp);
        assert!((values[100_000] / 10.0 - 1.0).abs() < 0.01 && (values[190_000] / 30.0 - 1.0).abs() < 0.02);
    }

    #[test]
    fn mean_cv_chooses_the_law_by_its_variation() {
        let mean = SimDuration::from_millis(10);
        assert_eq!(Distribution::mean_cv(mean, 0.0), Distribution::Constant(mean));
        assert_eq!(Distribution::mean_cv(mean, 1.0), Distribution::Exponential { mean });
        assert!(matches!(Distribution::mean_cv(mean, 2.0), Distribution::Lognormal { .. }));
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut stream = Streams::new(5).stream(Purpose::Balancing, 1);
        let mut seen = [0u32; 7];
        (0..7000).for_each(|_| seen[stream.below(7) as usize] += 1);
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
        assert_eq!(stream.below(0), 0);
    }
}
