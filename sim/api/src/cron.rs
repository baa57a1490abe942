//! Schedules of CronJobs: five fields, names such as `@daily`, or `@every 90s`.
//!
//! The grammar and the search are those of github.com/robfig/cron v3, which upstream uses, zone changes
//! included: a time that a clock change skips is left out, one that comes twice counts twice.
//!
//! Zones themselves are not known here: whoever asks brings the offset at an instant.

use std::fmt;

use crate::SimDuration;

/// The values that a field allows, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Field {
    bits: u64,
    /// `*` or `?`, without a step.
    is_star: bool,
}

impl Field {
    const fn allows(self, value: i64) -> bool {
        self.bits & (1 << value) != 0
    }
}

/// When a CronJob is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Fields { minute: Field, hour: Field, day: Field, month: Field, weekday: Field },
    Every(i64),
}

/// What is wrong with a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleError(String);

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScheduleError {}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Name, smallest and largest value, and names of values.
const FIELDS: [(&str, u32, u32, &[&str]); 5] =
    [("minute", 0, 59, &[]), ("hour", 0, 23, &[]), ("day of month", 1, 31, &[]), ("month", 1, 12, MONTHS), ("day of week", 0, 6, WEEKDAYS)];
const NAMED: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
/// How far the next time is looked for.
const YEARS: i64 = 5;
const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
const MINUTE: i64 = 60;

impl Schedule {
    /// Reads a schedule without a zone.
    ///
    /// # Errors
    /// What is wrong, in a sentence without a subject.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let wrong = |words: String| Err(ScheduleError(words));
        if let Some(every) = text.strip_prefix("@every ") {
            let every: SimDuration = every.parse().map_err(|error| ScheduleError(format!("`{every}` is no duration: {error}")))?;
            return Ok(Self(Kind::Every((every.as_secs() as i64).max(1))));
        }
        let fields = match NAMED.iter().find(|(name, _)| *name == text) {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => {
                return wrong(format!("`{text}` is none of @yearly, @monthly, @weekly, @daily, @hourly, @every"));
            }
            None => text,
        };
        let words: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words[..] else {
            return wrong(format!("expected 5 fields (minute, hour, day of month, month, day of week), found {}", words.len()));
        };
        let field = |place: usize, text: &str| field(text, FIELDS[place]);
        Ok(Self(Kind::Fields {
            minute: field(0, minute)?,
            hour: field(1, hour)?,
            day: field(2, day)?,
            month: field(3, month)?,
            weekday: field(4, weekday)?,
        }))
    }

    /// The first time after `after` (seconds since the Unix epoch) in a zone whose offset from UTC, in seconds, is
    /// `offset` at an instant; `None` when there is none in the next five years.
    pub fn next(&self, after: i64, offset: &dyn Fn(i64) -> i64) -> Option<i64> {
        match self.0 {
            Kind::Every(seconds) => Some(after + seconds),
            Kind::Fields { minute, hour, day, month, weekday } => {
                Search { minute, hour, day, month, weekday, offset, at: after + 1, is_cut: false }.find()
            }
        }
    }
}

fn field(text: &str, shape: (&str, u32, u32, &[&str])) -> Result<Field, ScheduleError> {
    let mut all = Field { bits: 0, is_star: false };
    for range in text.split(',') {
        let one = range_of(range, shape).ok_or_else(|| {
            let (name, least, most, _) = shape;
            ScheduleError(format!("`{range}` is no {name}: expected {least} to {most}, a range `a-b`, `*`, each with `/step` if need be"))
        })?;
        all = Field { bits: all.bits | one.bits, is_star: all.is_star || one.is_star };
    }
    Ok(all)
}

/// `*`, `a`, `a-b`, `*/n`, `a/n` (from a on) or `a-b/n`.
fn range_of(text: &str, (_, least, most, names): (&str, u32, u32, &[&str])) -> Option<Field> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|place| place as u32 + least);
        named.or_else(|| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?)
    };
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
        None => (text, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (least, most),
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, if step.is_some() { most } else { number(range)? }),
    };
    if first < least || last > most || first > last {
        return None;
    }
    let bits = (first..=last).step_by(step.unwrap_or(1) as usize).fold(0, |bits, value| bits | 1 << value);
    Some(Field { bits, is_star: matches!(range, "*" | "?") && step.unwrap_or(1) == 1 })
}

/// A moment by the clock on the wall.
struct Local {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

struct Search<'a> {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    offset: &'a dyn Fn(i64) -> i64,
    /// The candidate, in seconds since the epoch.
    at: i64,
    /// Whether smaller units have been set to their beginning.
    is_cut: bool,
}

impl Search<'_> {
    fn find(mut self) -> Option<i64> {
        let last_year = self.local().year + YEARS;
        'again: while self.local().year <= last_year {
            while !self.month.allows(self.local().month) {
                let Local { year, month, .. } = self.local();
                let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                self.go_to(days_from_civil(year, month, 1) * DAY);
                if month == 1 {
                    continue 'again;
                }
            }
            while !self.day_matches() {
                let Local { year, month, day, .. } = self.local();
                self.go_to((days_from_civil(year, month, day) + 1) * DAY);
                // A clock change at midnight.
                match self.local().second_of_day / HOUR {
                    0 => {}
                    hour if hour > 12 => self.at += (24 - hour) * HOUR,
                    hour => self.at -= hour * HOUR,
                }
                if self.local().day == 1 {
                    continue 'again;
                }
            }
            while !self.hour.allows(self.local().second_of_day / HOUR) {
                let Local { year, month, day, second_of_day } = self.local();
                if !self.is_cut {
                    self.go_to(days_from_civil(year, month, day) * DAY + second_of_day / HOUR * HOUR);
                }
                self.at += HOUR;
                if self.local().second_of_day / HOUR == 0 {
                    continue 'again;
                }
            }
            while !self.minute.allows(self.local().second_of_day / MINUTE % 60) {
                self.at += MINUTE - self.local().second_of_day % MINUTE;
                self.is_cut = true;
                if self.local().second_of_day / MINUTE % 60 == 0 {
                    continue 'again;
                }
            }
            let past = self.local().second_of_day % MINUTE;
            if past == 0 {
                return Some(self.at);
            }
            // Schedules of five fields are due at second zero.
            self.at += MINUTE - past;
            self.is_cut = true;
        }
        None
    }

    fn local(&self) -> Local {
        let second = self.at + (self.offset)(self.at);
        let (year, month, day) = civil_from_days(second.div_euclid(DAY));
        Local { year, month, day, second_of_day: second.rem_euclid(DAY) }
    }

    /// To a moment by the clock on the wall; of two the one that Go's time.Date takes.
    fn go_to(&mut self, local_second: i64) {
        let guess = local_second - (self.offset)(local_second);
        self.at = local_second - (self.offset)(guess);
        self.is_cut = true;
    }

    /// With both days given, either will do.
    fn day_matches(&self) -> bool {
        let Local { year, month, day, .. } = self.local();
        let weekday = (days_from_civil(year, month, day) + 4).rem_euclid(7);
        let (by_day, by_weekday) = (self.day.allows(day), self.weekday.allows(weekday));
        if self.day.is_star || self.weekday.is_star { by_day && by_weekday } else { by_day || by_weekday }
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (the algorithm is Howard Hinnant's).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + (month <= 2) as i64, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `2026-11-27 00:05` as seconds since the epoch.
    fn at(text: &str) -> i64 {
        let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("a number");
        days_from_civil(number(0..4), number(5..7), number(8..10)) * DAY + number(11..13) * HOUR + number(14..16) * MINUTE
    }

    fn text(second: i64) -> String {
        let (year, month, day) = civil_from_days(second.div_euclid(DAY));
        let of_day = second.rem_euclid(DAY);
        format!("{year}-{month:02}-{day:02} {:02}:{:02}", of_day / HOUR, of_day / MINUTE % 60)
    }

    fn next(schedule: &str, after: &str) -> Option<String> {
        Schedule::parse(schedule).expect("a schedule").next(at(after), &|_| 0).map(text)
    }

    #[test]
    fn the_next_time_is_found() {
        for (schedule, after, expected) in [
            ("*/15 * * * *", "2026-11-27 00:00", "2026-11-27 00:15"),
            ("5-10/5 * * * *", "2026-11-27 00:05", "2026-11-27 00:10"),
            ("40/10 * * * *", "2026-11-27 00:45", "2026-11-27 00:50"),
            ("0 2 * * *", "2026-11-27 02:00", "2026-11-28 02:00"),
            ("@hourly", "2026-11-27 23:59", "2026-11-28 00:00"),
            ("@monthly", "2026-12-01 00:00", "2027-01-01 00:00"),
            ("@every 90s", "2026-11-27 00:00", "2026-11-27 00:01"),
            ("0 0 29 2 *", "2026-11-27 00:00", "2028-02-29 00:00"),
            ("0 9 * * mon-fri", "2026-11-27 09:00", "2026-11-30 09:00"),
            ("0 9 * JAN,jul *", "2026-11-27 09:00", "2027-01-01 09:00"),
            // Both days given: the 13th, or a Friday.
            ("0 0 13 * fri", "2026-11-28 00:00", "2026-12-04 00:00"),
            ("0 0 */10 * *", "2026-11-27 00:00", "2026-12-01 00:00"),
        ] {
            assert_eq!(next(schedule, after).as_deref(), Some(expected), "{schedule}");
        }
        assert_eq!(next("59 23 31 2 *", "2026-11-27 00:00"), None, "a day that never comes");
    }

    #[test]
    fn what_is_no_schedule_is_said() {
        for (schedule, part) in [
            ("* * * *", "found 4"),
            ("60 * * * *", "`60` is no minute"),
            ("* 5-2 * * *", "`5-2` is no hour"),
            ("* * 0 * *", "`0` is no day of month"),
            ("* * * * 7", "`7` is no day of week"),
            ("*/0 * * * *", "`*/0` is no minute"),
            ("@noon", "none of @yearly"),
            ("@every soon", "`soon` is no duration"),
        ] {
            let error = Schedule::parse(schedule).expect_err(schedule).to_string();
            assert!(error.contains(part), "{schedule}: {error}");
        }
    }

    #[test]
    fn clock_changes_skip_and_repeat() {
        // A zone that is one hour ahead until 2026-03-29 01:00 UTC, then two, and from 2026-10-25 01:00 UTC one again.
        let zone = |second: i64| if (at("2026-03-29 01:00")..at("2026-10-25 01:00")).contains(&second) { 2 * HOUR } else { HOUR };
        let daily = Schedule::parse("30 2 * * *").expect("a schedule");
        let spring = daily.next(at("2026-03-28 12:00"), &zone).map(text);
        assert_eq!(spring.as_deref(), Some("2026-03-30 00:30"), "02:30 does not exist on the 29th");
        let autumn = daily.next(at("2026-10-24 12:00"), &zone).expect("a time");
        assert_eq!(text(autumn), "2026-10-25 00:30");
        assert_eq!(daily.next(autumn, &zone).map(text).as_deref(), Some("2026-10-25 01:30"), "02:30 comes twice on the 25th");
    }

    #[test]
    fn dates_survive_the_way_there_and_back() {
        for days in (-800_000..800_000).step_by(331) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
