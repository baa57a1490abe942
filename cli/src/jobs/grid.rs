//! Values that a sweep takes: lists, ranges, latin hypercubes.
//!
//! ```text
//! PATH=1,2,5            these
//! PATH=10..50:10        10, 20, 30, 40, 50
//! PATH=100/s..400/s/4   four, equally far apart
//! PATH=10s..60s         between these (with --lhs)
//! ```
//!
//! Numbers may have a unit, the same at both ends. A latin hypercube of N points has one in each of N equal slices of
//! every range; which slices meet is drawn from a fixed stream.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::CliError;

/// More points than this are a slip.
pub(crate) const MOST_POINTS: usize = 100_000;

/// What one parameter may be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Values {
    Listed(Vec<String>),
    Between(Range),
}

/// Two ends with one unit.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) unit: String,
    /// Both ends are whole numbers, so all between them are.
    pub(crate) whole: bool,
}

impl Range {
    /// Reads `LOW..HIGH`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (low, high) = text.split_once("..")?;
        let ((low, low_unit), (high, high_unit)) = (quantity(low)?, quantity(high)?);
        let unit = if low_unit.is_empty() { high_unit } else { low_unit };
        let same = low_unit.is_empty() || low_unit == high_unit;
        let whole = low.fract() == 0.0 && high.fract() == 0.0;
        (same && low <= high).then(|| Self { low, high, unit: unit.to_owned(), whole })
    }

    /// A value in it, as it is written.
    pub(crate) fn write(&self, value: f64) -> String {
        // Twelve digits: what steps of 0.1 leave behind is not meant.
        let value = if self.whole { value.round() } else { (value * 1e9).round() / 1e9 };
        format!("{value}{}", self.unit)
    }
}

/// A number and what follows it.
pub(crate) fn quantity(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || ".-+_".contains(c))).unwrap_or(text.len());
    Some((text[..end].replace('_', "").parse().ok()?, &text[end..]))
}

fn usage(message: String) -> CliError {
    CliError::usage(
        message,
        "write `--param PATH=1,2,5`, `PATH=10..50:10` (in steps), `PATH=10..50/5` (five values) or, with `--lhs N`, `PATH=10..50`",
    )
}

/// Reads `PATH=VALUES`; the path may hold `=` in brackets.
pub(crate) fn parse(text: &str) -> Result<(String, Values), CliError> {
    let mut depth = 0_i32;
    let equals = text.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == '=' && depth <= 0
    });
    let Some(at) = equals else { return Err(usage(format!("`--param {text}` has no `=`"))) };
    let (path, values) = (&text[..at], text[at + 1..].trim());
    if path.is_empty() || values.is_empty() {
        return Err(usage(format!("`--param {text}` has no {}", if path.is_empty() { "path" } else { "values" })));
    }
    Ok((path.to_owned(), read_values(values).ok_or_else(|| usage(format!("`--param {text}`: `{values}` is no range")))?))
}

fn read_values(text: &str) -> Option<Values> {
    if !text.contains("..") || text.starts_with(['{', '[', '"', '\'']) {
        return Some(Values::Listed(listed(text)));
    }
    let high = text.split_once("..")?.1;
    if let Some((_, step)) = high.rsplit_once(':') {
        let range = Range::parse(&text[..text.len() - step.len() - 1])?;
        let (step, _) = quantity(step)?;
        let count = ((range.high - range.low) / step + 1e-9).floor();
        if !(step > 0.0 && count < MOST_POINTS as f64) {
            return None;
        }
        let range = Range { whole: range.whole && step.fract() == 0.0, ..range };
        return Some(Values::Listed((0..=count as usize).map(|index| range.write(range.low + index as f64 * step)).collect()));
    }
    // `/N` at the end, where N is whole; `/s` is a unit.
    if let Some((head, count)) = text.rsplit_once('/')
        && let Ok(count @ 2..=MOST_POINTS) = count.parse::<usize>()
    {
        let range = Range::parse(head)?;
        let at = |index: usize| range.low + (range.high - range.low) * index as f64 / (count - 1) as f64;
        return Some(Values::Listed((0..count).map(|index| range.write(at(index))).collect()));
    }
    Range::parse(text).map(Values::Between)
}

/// Values between commas that are in no brackets or quotes.
fn listed(text: &str) -> Vec<String> {
    let (mut depth, mut quote, mut values) = (0_i32, None, vec![String::new()]);
    for c in text.chars() {
        match (c, quote) {
            (',', None) if depth == 0 => {
                values.push(String::new());
                continue;
            }
            ('[' | '{', None) => depth += 1,
            (']' | '}', None) => depth -= 1,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        if let Some(last) = values.last_mut() {
            last.push(c);
        }
    }
    values.into_iter().map(|value| value.trim().to_owned()).collect()
}

/// Every combination, the last parameter fastest; or a latin hypercube of `lhs` points.
pub(crate) fn points(parameters: &[(String, Values)], lhs: Option<usize>) -> Result<Vec<Vec<(String, String)>>, CliError> {
    if let Some(count) = lhs {
        return hypercube(parameters, count);
    }
    let mut points: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (path, values) in parameters {
        let Values::Listed(values) = values else {
            return Err(usage(format!("`--param {path}` is a range without steps")));
        };
        if points.len().saturating_mul(values.len()) > MOST_POINTS {
            return Err(usage(format!("these are more than {MOST_POINTS} points")));
        }
        let with = |point: &Vec<(String, String)>| -> Vec<Vec<(String, String)>> {
            values.iter().map(|value| point.iter().cloned().chain([(path.clone(), value.clone())]).collect()).collect()
        };
        points = points.iter().flat_map(with).collect();
    }
    Ok(points)
}

fn hypercube(parameters: &[(String, Values)], count: usize) -> Result<Vec<Vec<(String, String)>>, CliError> {
    if count == 0 || count > MOST_POINTS {
        return Err(usage(format!("`--lhs {count}`: take 1 to {MOST_POINTS} points")));
    }
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut points: Vec<Vec<(String, String)>> = vec![Vec::new(); count];
    for (path, values) in parameters {
        let mut slices: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            slices.swap(last, below(&mut random, last + 1));
        }
        for (point, slice) in points.iter_mut().zip(slices) {
            let within = (f64::from(random.next_u32()) + 0.5) / 4_294_967_296.0;
            let share = (slice as f64 + within) / count as f64;
            let value = match values {
                Values::Between(range) => range.write(range.low + share * (range.high - range.low)),
                // Of a list each gets its share of the points.
                Values::Listed(values) => values[(share * values.len() as f64) as usize].clone(),
            };
            point.push((path.clone(), value));
        }
    }
    Ok(points)
}

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    ((u64::from(random.next_u32()) * bound as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        match parse(&format!("spec.x={text}")).map(|(_, values)| values) {
            Ok(Values::Listed(values)) => values,
            Ok(Values::Between(range)) => vec![format!("between {} and {}", range.write(range.low), range.write(range.high))],
            Err(_) => vec!["refused".to_owned()],
        }
    }

    #[test]
    fn lists_and_ranges_are_read_as_they_are_meant() {
        for (text, expected) in [
            ("1,2,5", &["1", "2", "5"] as &[_]),
            ("true", &["true"]),
            ("{min: 1, max: 5},{min: 2, max: 5}", &["{min: 1, max: 5}", "{min: 2, max: 5}"]),
            ("\"a,b\",c", &["\"a,b\"", "c"]),
            ("10..50:10", &["10", "20", "30", "40", "50"]),
            ("0.1..0.3:0.1", &["0.1", "0.2", "0.3"]),
            ("10s..60s/3", &["10s", "35s", "60s"]),
            ("100/s..400/s/4", &["100/s", "200/s", "300/s", "400/s"]),
            ("100/s..400/s", &["between 100/s and 400/s"]),
            ("1..2", &["between 1 and 2"]),
            ("5..1:1", &["refused"]),
            ("1..5:0", &["refused"]),
            ("1s..5m", &["refused"]),
            ("", &["refused"]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
        let path = parse("spec.cluster.nodePools[name=general].count=1,2").ok().map(|(path, _)| path);
        assert_eq!(path.as_deref(), Some("spec.cluster.nodePools[name=general].count"));
    }

    #[test]
    fn a_grid_has_every_combination_and_a_hypercube_every_slice() {
        let read = |texts: &[&str]| -> Vec<(String, Values)> { texts.iter().filter_map(|text| parse(text).ok()).collect() };
        let grid = points(&read(&["a=1,2", "b=x,y,z"]), None).ok().unwrap();
        assert_eq!(grid.len(), 6);
        assert_eq!(grid[1], [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "y".to_owned())]);
        assert!(points(&read(&["a=1..2"]), None).is_err(), "a range needs steps");
        let cube = points(&read(&["a=0..1000", "b=0.5..1.5"]), Some(10)).ok().unwrap();
        for column in 0..2 {
            let (low, width) = [(0.0, 1000.0), (0.5, 1.0)][column];
            let mut slices: Vec<usize> =
                cube.iter().map(|point| ((point[column].1.parse::<f64>().unwrap() - low) / width * 9.9999) as usize).collect();
            slices.sort_unstable();
            slices.dedup();
            assert!(slices.len() >= 9, "{slices:?}");
        }
    }
}
