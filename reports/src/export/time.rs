//! Simulated instants as the wall clock of the scenario would have shown them.
//!
//! Not here: a calendar beyond what RFC 3339 needs; leap seconds.

use std::fmt;

use api::{SimDuration, SimTime};

/// Milliseconds since the Unix epoch of an RFC 3339 instant; `None` when it is none.
pub(super) fn epoch_ms(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let sign_at = |place: usize, sign: &[u8]| text.as_bytes().get(place).is_some_and(|byte| sign.contains(byte));
    if !(sign_at(4, b"-") && sign_at(7, b"-") && sign_at(10, b"Tt ") && sign_at(13, b":") && sign_at(16, b":")) {
        return None;
    }
    let days = days_since_epoch(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((seconds - zone_seconds(zone)?) * 1000 + millis)
}

/// `Z`, or `+02:00`.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let offset = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    match zone.as_bytes().first()? {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// An instant in seconds since the Unix epoch, to the millisecond, as OpenMetrics writes it.
#[derive(Clone, Copy)]
pub(super) struct Stamp(pub(super) i64);

impl Stamp {
    /// `at`, when time zero is at `start_ms`.
    pub(super) fn of(start_ms: i64, at: SimTime) -> Self {
        Self(start_ms.saturating_add(i64::try_from(at.as_nanos() / 1_000_000).unwrap_or(i64::MAX)))
    }
    pub(super) fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (seconds, millis) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        if millis == 0 { write!(f, "{sign}{seconds}") } else { write!(f, "{sign}{seconds}.{millis:03}") }
    }
}

/// The instants at which a scraper looks: every `resolution` from time zero to the end.
#[derive(Clone, Copy)]
pub(super) struct Ticks {
    pub(super) resolution: SimDuration,
    pub(super) end: SimTime,
}

impl Ticks {
    /// Those from `from` on, before `to`.
    pub(super) fn between(self, from: SimTime, to: SimTime) -> impl Iterator<Item = SimTime> {
        let step = self.resolution.as_nanos().max(1);
        let last = self.end.as_nanos();
        let first = from.as_nanos().div_ceil(step);
        (first..)
            .map(move |tick| tick.saturating_mul(step))
            .take_while(move |at| *at <= last && *at < to.as_nanos())
            .map(SimTime::from_nanos)
    }
    /// The first one at or after `at`; it may lie beyond the end.
    pub(super) fn after(self, at: SimTime) -> SimTime {
        let step = self.resolution.as_nanos().max(1);
        SimTime::from_nanos(at.as_nanos().div_ceil(step).saturating_mul(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_date_reads_them() {
        // GNU date: `date -u -d TEXT +%s%3N`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-27T08:00:00Z", 1_795_766_400_000),
            ("2026-11-27T08:00:00.25+02:00", 1_795_759_200_250),
            ("2024-02-29T23:59:59-05:30", 1_709_270_999_000),
            ("2000-03-01T00:00:00z", 951_868_800_000),
            ("1969-12-31T23:59:59.5Z", -500),
        ] {
            assert_eq!(epoch_ms(text), Some(expected), "{text}");
        }
        for text in ["", "soon", "2026-11-27", "2026-11-27T08:00:00", "2026-11-27T08:00:00 CET", "2026-11-27T08:00:0éZ"] {
            assert_eq!(epoch_ms(text), None, "{text}");
        }
        assert_eq!(Stamp(-500).to_string(), "-0.500");
        assert_eq!(Stamp(1_795_766_400_025).to_string(), "1795766400.025");
    }

    #[test]
    fn a_tick_belongs_to_the_span_that_begins_with_it() {
        let ticks = Ticks { resolution: SimDuration::from_secs(15), end: SimTime::from_secs(45) };
        let between = |from, to| ticks.between(SimTime::from_secs(from), SimTime::from_secs(to)).map(SimTime::as_secs).collect::<Vec<_>>();
        assert_eq!(between(0, 100), [0, 15, 30, 45], "the last instant of the run is looked at");
        assert_eq!(between(15, 30), [15]);
        assert_eq!(between(16, 30), Vec::<u64>::new());
        assert_eq!(ticks.after(SimTime::from_millis(15_001)), SimTime::from_secs(30));
    }
}
