//! Simulated time: whole nanoseconds since the start of the run.
//!
//! Invariants: arithmetic saturates, so a configured "never" stays never; nothing here reads a clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instant of the run, in nanoseconds since its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime(u64);

/// A span of simulated time, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimDuration(u64);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl SimTime {
    /// The start of the run.
    pub const ZERO: Self = Self(0);
    /// Later than every event: "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
    /// The instant `seconds` seconds after the start.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }
    /// The instant `millis` milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// Whole seconds since the start, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }
    /// Seconds since the start; for reports and formulas, never for ordering.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }
    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
    /// The earliest instant at or after `self` that lies on the grid `phase + k·period`.
    ///
    /// # Panics
    /// When `period` is zero.
    #[must_use]
    pub const fn next_on_grid(self, phase: Self, period: SimDuration) -> Self {
        assert!(period.0 > 0, "a grid needs a period");
        if self.0 <= phase.0 {
            return phase;
        }
        let steps = (self.0 - phase.0).div_ceil(period.0);
        Self(phase.0.saturating_add(steps.saturating_mul(period.0)))
    }
}

impl SimDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than every run: "never".
    pub const MAX: Self = Self(u64::MAX);

    /// `nanos` nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
    /// `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }
    /// `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
    /// `seconds` seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }
    /// The nearest whole nanosecond to `seconds`; negative and NaN become zero, too large becomes [`Self::MAX`].
    #[must_use]
    pub fn from_secs_f64(seconds: f64) -> Self {
        let nanos = seconds * NANOS_PER_SECOND as f64 + 0.5;
        Self(nanos as u64) // `as` saturates and maps NaN to zero.
    }
    /// Nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }
    /// Seconds; for reports and formulas, never for ordering.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }
    /// `factor` times as long.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
    /// Whether this is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add<SimDuration> for SimTime {
    type Output = Self;
    fn add(self, span: SimDuration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, span: SimDuration) {
        *self = *self + span;
    }
}

impl Sub<SimDuration> for SimTime {
    type Output = Self;
    fn sub(self, span: SimDuration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for SimDuration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for SimDuration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SimDuration(self.0).fmt(f)
    }
}

/// Short and readable: `0s`, `350ms`, `12.5s`, `3m20s`, `1h02m03s`.
impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX {
            return f.write_str("never");
        }
        let text = if self.0 == 0 {
            "0s".to_owned()
        } else if self.0 < 1_000_000 {
            format!("{}us", trim(self.0, 1_000))
        } else if self.0 < NANOS_PER_SECOND {
            format!("{}ms", trim(self.0 / 1_000, 1_000))
        } else if self.0 < 60 * NANOS_PER_SECOND {
            format!("{}s", trim(self.0 / 1_000_000, 1_000))
        } else {
            let seconds = self.0 / NANOS_PER_SECOND;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            match (hours, minutes) {
                (0, _) => format!("{minutes}m{seconds:02}s"),
                _ => format!("{hours}h{minutes:02}m{seconds:02}s"),
            }
        };
        f.pad(&text)
    }
}

/// `value / unit` with up to three decimals and no trailing zeros.
fn trim(value: u64, unit: u64) -> String {
    let text = format!("{}.{:03}", value / unit, value % unit * 1000 / unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Why a text is not a duration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurationError {
    /// The text as found.
    pub found: String,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a duration; write it as `300s`, `5m`, `1h30m` or `250ms`", self.found)
    }
}

impl std::error::Error for DurationError {}

/// Go's duration syntax (`1h30m`, `1.5h`, `300ms`, `10us`), non-negative; a bare `0` is allowed.
impl FromStr for SimDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { found: text.to_owned() };
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(error());
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, tail) = rest.split_at(number_len);
            let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_len);
            let unit_nanos: u128 = match unit {
                "ns" => 1,
                "us" | "µs" => 1_000,
                "ms" => 1_000_000,
                "s" => u128::from(NANOS_PER_SECOND),
                "m" => 60 * u128::from(NANOS_PER_SECOND),
                "h" => 3600 * u128::from(NANOS_PER_SECOND),
                "d" => 86_400 * u128::from(NANOS_PER_SECOND),
                _ => return Err(error()),
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 18 || whole.len() > 18 {
                return Err(error());
            }
            let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| error())? };
            total += whole * unit_nanos;
            if !fraction.is_empty() {
                let digits: u128 = fraction.parse().map_err(|_| error())?;
                total += digits * unit_nanos / 10u128.pow(fraction.len() as u32);
            }
            rest = tail;
        }
        u64::try_from(total).map(Self).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_exactly() {
        for (text, nanos) in
            [("1h30m", 5_400_000_000_000), ("1.5h", 5_400_000_000_000), ("300ms", 300_000_000), ("10us", 10_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(SimDuration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "5 minutes", "-3s", "1x", ".s", "1.2.3s", "99999999999999999999h"] {
            assert!(text.parse::<SimDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_like_a_person_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (350_000_000, "350ms"),
            (12_500_000_000, "12.5s"),
            (200_000_000_000, "3m20s"),
            (3_723_000_000_000, "1h02m03s"),
            (1_500, "1.5us"),
        ] {
            assert_eq!(SimDuration::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn the_next_grid_point_is_never_earlier() {
        let grid = |at| SimTime::from_secs(at).next_on_grid(SimTime::from_secs(3), SimDuration::from_secs(5)).as_secs();
        assert_eq!([grid(0), grid(3), grid(4), grid(8), grid(9)], [3, 3, 8, 8, 13]);
    }
}
