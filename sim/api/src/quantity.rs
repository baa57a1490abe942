//! Kubernetes quantities (`500m`, `1.5`, `64Gi`, `1e3`), exact.
//!
//! A quantity is kept in nano-units in 128 bits, so that every value the API server accepts is
//! represented without rounding; rounding (always up, as upstream) happens on the way out.
//! Upstream: apimachinery/pkg/api/resource/quantity.go.

use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;

/// An exact amount of some resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// `value` whole units.
    #[must_use]
    pub const fn from_units(value: i64) -> Self {
        Self { nanos: value as i128 * NANO }
    }
    /// `value` thousandths.
    #[must_use]
    pub const fn from_millis(value: i64) -> Self {
        Self { nanos: value as i128 * (NANO / 1000) }
    }
    /// Whole units, rounded away from zero; saturating.
    #[must_use]
    pub fn value(self) -> i64 {
        round_up(self.nanos, NANO)
    }
    /// Thousandths, rounded away from zero; saturating.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        round_up(self.nanos, NANO / 1000)
    }
    /// Whether the amount is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }
    /// The amount as a floating number; for reports only.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }
}

fn round_up(nanos: i128, unit: i128) -> i64 {
    let magnitude = nanos.unsigned_abs().div_ceil(unit.unsigned_abs());
    let bounded = i64::try_from(magnitude).unwrap_or(i64::MAX);
    if nanos < 0 { -bounded } else { bounded }
}

/// Why a text is not a quantity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QuantityError {
    /// The text has no number in front.
    NotANumber,
    /// What follows the number is no suffix; it is given.
    UnknownSuffix(String),
    /// The amount is larger than any API server accepts.
    TooLarge,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("expected a number with an optional suffix, such as `500m`, `2` or `1Gi`"),
            Self::UnknownSuffix(suffix) => write!(f, "suffix `{suffix}` is not one of n u m k M G T P E Ki Mi Gi Ti Pi Ei"),
            Self::TooLarge => f.write_str("larger than 2^63"),
        }
    }
}

impl std::error::Error for QuantityError {}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let digits_len = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::NotANumber);
        }
        let (multiplier, exponent) = scale(suffix)?;
        let mut digits: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(digit - b'0'))).ok_or(QuantityError::TooLarge)?;
        }
        let exponent = exponent - fraction.len() as i32 + 9; // into nano-units
        let scaled = digits.checked_mul(multiplier).ok_or(QuantityError::TooLarge)?;
        let nanos = if digits == 0 {
            0
        } else if exponent >= 0 {
            let power = 10i128.checked_pow(exponent.unsigned_abs()).ok_or(QuantityError::TooLarge)?;
            scaled.checked_mul(power).ok_or(QuantityError::TooLarge)?
        } else {
            // Finer than nano is rounded up, as upstream does.
            match 10i128.checked_pow(exponent.unsigned_abs()) {
                Some(power) => scaled.div_euclid(power) + i128::from(scaled.rem_euclid(power) != 0),
                None => 1,
            }
        };
        if nanos > i128::from(i64::MAX) * NANO {
            return Err(QuantityError::TooLarge);
        }
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }
}

/// The suffix as (binary multiplier, decimal exponent).
fn scale(suffix: &str) -> Result<(i128, i32), QuantityError> {
    Ok(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let unknown = || QuantityError::UnknownSuffix(suffix.to_owned());
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or_else(unknown)?;
            let exponent: i32 = exponent.parse().map_err(|_| unknown())?;
            (1, exponent.clamp(-1000, 1000))
        }
    })
}

/// Canonical enough to read: millis when there is a fraction of a unit, the largest exact binary suffix otherwise.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos % NANO != 0 {
            return write!(f, "{}m", self.milli_value());
        }
        let value = self.value();
        for (suffix, shift) in [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)] {
            let unit = 1i64 << shift;
            if value != 0 && value % unit == 0 {
                return write!(f, "{}{suffix}", value / unit);
            }
        }
        write!(f, "{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_exact_and_round_up() {
        for (text, value, milli) in [
            ("500m", 1, 500),
            ("1.5", 2, 1500),
            ("64Gi", 64 << 30, (64i64 << 30) * 1000),
            ("1e3", 1000, 1_000_000),
            ("1n", 1, 1),
            ("0", 0, 0),
            (".5", 1, 500),
            ("12E", 12_000_000_000_000_000_000u64 as i64 & i64::MAX, i64::MAX),
        ] {
            let Ok(quantity) = text.parse::<Quantity>() else {
                assert_eq!(text, "12E", "only the oversized one fails");
                continue;
            };
            assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
        }
        assert_eq!("500mm".parse::<Quantity>(), Err(QuantityError::UnknownSuffix("mm".into())));
        assert_eq!("abc".parse::<Quantity>(), Err(QuantityError::NotANumber));
        assert_eq!("".parse::<Quantity>(), Err(QuantityError::NotANumber));
    }

    proptest! {
        #[test]
        fn printing_and_reading_again_keeps_the_amount(milli in 0i64..i64::MAX / 1000) {
            let quantity = Quantity::from_millis(milli);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = text.parse::<Quantity>();
        }
    }
}
