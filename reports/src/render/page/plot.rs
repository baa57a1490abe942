//! Small pictures in SVG: two axes with points, lines and words. They need no script, and take their colours from the
//! style sheet, so they follow the theme and the printer.
//!
//! Invariants: a series differs from the others in marker and dash as well as in colour. Ticks are 1, 2 or 5 times a
//! power of ten, read from decimal text, so equal data give equal bytes.

use std::fmt::Write as _;

use super::encode::escape;
use crate::metrics::Unit;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// The place of a series in palette and marker list; the style sheet has as many.
pub(super) const LOOKS: usize = 8;

/// A span of values with round ends.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub title: String,
    unit: Unit,
    /// One step is `factor` times ten to the `exponent`.
    factor: i64,
    exponent: i32,
    /// Ends, in steps.
    first: i64,
    last: i64,
    /// What stands at 0, 1, …, when it is no number.
    names: Vec<String>,
}

impl Axis {
    /// Places for things that are no numbers: 0, 1, ….
    pub(super) fn named(title: &str, names: Vec<String>) -> Self {
        let last = i64::try_from(names.len()).unwrap_or(1).max(1) - 1;
        Self { title: title.to_owned(), unit: Unit::Count, factor: 1, exponent: 0, first: 0, last, names }
    }

    /// An axis over `values`; without any it is from 0 to 1.
    pub(super) fn over(title: &str, unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.filter(|value| value.is_finite()).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // A single value stands in the middle of its surroundings; differences in the last digits are none.
        let least = low.abs().max(high.abs()) * 1e-6;
        let (low, high) = match high - low {
            span if span > least => (low, high),
            _ if low == 0.0 => (0.0, 1.0),
            _ => (low - low.abs() * 0.1, high + high.abs() * 0.1),
        };
        let raw = (high - low) / 4.0;
        let (factor, exponent) = if unit == Unit::Seconds && raw > 30.0 { clock_step(raw) } else { round_step(raw) };
        let mut axis = Self { title: title.to_owned(), unit, factor, exponent, first: 0, last: 0, names: Vec::new() };
        let step = axis.at(1);
        axis.first = (low / step + 1e-9).floor() as i64;
        axis.last = (high / step - 1e-9).ceil() as i64;
        axis
    }

    /// The value of a tick, exact as its decimals say.
    fn at(&self, tick: i64) -> f64 {
        format!("{}e{}", tick.saturating_mul(self.factor), self.exponent).parse().unwrap_or_default()
    }

    fn share(&self, value: f64) -> f64 {
        if !self.names.is_empty() {
            return (value + 0.5) / self.names.len() as f64;
        }
        let (low, high) = (self.at(self.first), self.at(self.last));
        if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        (self.first..=self.last).map(|tick| (self.at(tick), self.label(self.at(tick))))
    }

    /// As short as the step allows.
    fn label(&self, value: f64) -> String {
        if let Some(name) = self.names.get(value as usize) {
            return escape(name);
        }
        let decimals = |exponent: i32| usize::try_from(-exponent).unwrap_or(0);
        match self.unit {
            Unit::Ratio => format!("{:.*}%", decimals(self.exponent + 2), value * 100.0),
            Unit::Count | Unit::Factor | Unit::Money => format!("{value:.*}", decimals(self.exponent)),
            Unit::PerSecond => format!("{value:.*}/s", decimals(self.exponent)),
            Unit::Seconds if self.factor >= 60 => in_minutes(value),
            Unit::Seconds if value < 0.0 => format!("−{}", self.unit.format(-value)),
            Unit::Seconds => self.unit.format(value),
        }
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(raw: f64) -> (i64, i32) {
    let text = format!("{raw:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or(("1", "0"));
    let (mantissa, exponent) = (mantissa.parse::<f64>().unwrap_or(1.0), exponent.parse::<i32>().unwrap_or(0));
    match mantissa {
        m if m <= 1.0 => (1, exponent),
        m if m <= 2.0 => (2, exponent),
        m if m <= 5.0 => (5, exponent),
        _ => (1, exponent + 1),
    }
}

/// The next of the steps that clocks go in.
fn clock_step(raw: f64) -> (i64, i32) {
    let steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200];
    let days = || (raw / 86400.0).ceil() as i64 * 86400;
    (steps.into_iter().find(|step| *step as f64 >= raw).unwrap_or_else(days), 0)
}

fn in_minutes(value: f64) -> String {
    let minutes = (value / 60.0).round() as i64;
    let (sign, minutes) = (if minutes < 0 { "−" } else { "" }, minutes.abs());
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{sign}{minutes}m"),
        (hours, 0) => format!("{sign}{hours}h"),
        (hours, minutes) => format!("{sign}{hours}h{minutes:02}m"),
    }
}

/// A picture in the making.
pub(super) struct Plot {
    svg: String,
    x: Axis,
    y: Axis,
    /// Where words are: from, to, and their line.
    taken: Vec<(f64, f64, f64)>,
}

impl Plot {
    /// Axes with their names; `label` says in words what is to be seen.
    pub(super) fn new(label: &str, x: Axis, y: Axis) -> Self {
        let mut svg = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\" role=\"img\" aria-label=\"{}\"><g class=\"axes\">",
            escape(label)
        );
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in x.ticks() {
            let at = LEFT + x.share(value) * (right - LEFT);
            let _ = write!(
                svg,
                "<path d=\"M{at:.1} {TOP}V{bottom}\"/><text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{text}</text>",
                bottom + 14.0
            );
        }
        for (value, text) in y.ticks() {
            let at = bottom - y.share(value) * (bottom - TOP);
            let _ = write!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 6.0,
                at + 3.8
            );
        }
        // A picture's own heading may say what goes upwards.
        let y_title = match &*y.title {
            "" => String::new(),
            title => format!(
                "<text class=\"title\" transform=\"translate(11 {TOP}) rotate(-90)\" text-anchor=\"end\">{} →</text>",
                escape(title)
            ),
        };
        let _ = write!(
            svg,
            "<text class=\"title\" x=\"{right}\" y=\"{:.0}\" text-anchor=\"end\">{} →</text>{y_title}</g>",
            HEIGHT - 6.0,
            escape(&x.title),
        );
        Self { svg, x, y, taken: Vec::new() }
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (LEFT + self.x.share(x) * (WIDTH - RIGHT - LEFT), HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - BOTTOM - TOP))
    }

    /// Lines through `points` in the look of a series.
    pub(super) fn line(&mut self, look: usize, class: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        let _ = write!(self.svg, "<path class=\"line k{} {class}\" d=\"{path}\"/>", look % LOOKS);
    }

    /// An area of no series.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        let _ = write!(self.svg, "<path class=\"{class}\" d=\"{path}Z\"/>");
    }

    /// A stroke of no series.
    pub(super) fn rule(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        let _ = write!(self.svg, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let (x, y) = self.place(*x, *y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        path
    }

    /// A marker in the look of a series, with words for the pointer.
    pub(super) fn point(&mut self, look: usize, class: &str, at: (f64, f64), radius: f64, words: &str) {
        let (x, y) = self.place(at.0, at.1);
        let shape = marker(look, x, y, radius);
        let _ = write!(self.svg, "<path class=\"pt k{} {class}\" d=\"{shape}\"><title>{}</title></path>", look % LOOKS, escape(words));
    }

    /// Words beside a point, where there is room.
    pub(super) fn words(&mut self, at: (f64, f64), text: &str) {
        let (x, y) = self.place(at.0, at.1);
        let (x, anchor) = if x > WIDTH * 0.6 { (x - 10.0, "end") } else { (x + 10.0, "start") };
        let wide = 7.0 * text.chars().count() as f64;
        let (from, to) = if anchor == "end" { (x - wide, x) } else { (x, x + wide) };
        let place = |lift: f64| (y + 4.0 - lift).clamp(TOP + 10.0, HEIGHT - BOTTOM - 4.0);
        let is_free = |lift: &f64| !self.taken.iter().any(|(a, b, line)| from < *b && *a < to && (place(*lift) - line).abs() < 13.0);
        let y = place([11.0, -13.0, 25.0, -27.0, 39.0, -41.0, 53.0, -55.0].into_iter().find(is_free).unwrap_or(11.0));
        self.taken.push((from, to, y));
        let _ = write!(self.svg, "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text));
    }

    /// Words in a corner.
    pub(super) fn corner(&mut self, right: bool, bottom: bool, text: &str) {
        let (x, anchor) = if right { (WIDTH - RIGHT - 6.0, "end") } else { (LEFT + 6.0, "start") };
        let y = if bottom { HEIGHT - BOTTOM - 7.0 } else { TOP + 13.0 };
        let _ = write!(self.svg, "<text class=\"good\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escape(text));
    }

    /// Lowest and highest x, and lowest and highest y.
    pub(super) fn ends(&self) -> [f64; 4] {
        [self.x.at(self.x.first), self.x.at(self.x.last), self.y.at(self.y.first), self.y.at(self.y.last)]
    }

    pub(super) fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

/// Circle, square, triangle, rhombus, triangle upside down, cross, bar, star: the same for the same series everywhere.
fn marker(look: usize, x: f64, y: f64, r: f64) -> String {
    let polygon = |corners: &[(f64, f64)]| {
        let mut path = String::new();
        for (index, (dx, dy)) in corners.iter().enumerate() {
            let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x + dx * r, y + dy * r);
        }
        path + "Z"
    };
    match look % LOOKS {
        0 => format!("M{:.1} {y:.1}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z", x - r, d = 2.0 * r),
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
        3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        4 => polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
        5 => {
            let (a, b) = (0.4, 1.2);
            let cross = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)];
            polygon(&cross)
        }
        6 => polygon(&[(-1.3, -0.5), (1.3, -0.5), (1.3, 0.5), (-1.3, 0.5)]),
        _ => polygon(&[(0.0, -1.4), (0.4, -0.4), (1.4, 0.0), (0.4, 0.4), (0.0, 1.4), (-0.4, 0.4), (-1.4, 0.0), (-0.4, -0.4)]),
    }
}

/// Which look is whose: a marker and a name each.
pub(super) fn key(html: &mut String, names: &[&str]) {
    html.push_str("<p class=\"key\">");
    for (look, name) in names.iter().enumerate() {
        let _ = write!(
            html,
            "<span><svg class=\"plot mark\" viewBox=\"0 0 30 14\" width=\"30\" height=\"14\" aria-hidden=\"true\"><path class=\"line k{k}\" d=\"M1 7H29\"/><path class=\"pt k{k}\" d=\"{}\"/></svg>{}</span>",
            marker(look, 15.0, 7.0, 4.5),
            escape(name),
            k = look % LOOKS,
        );
    }
    html.push_str("</p>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_in_round_numbers_around_their_values() {
        for (unit, values, labels) in [
            (Unit::Count, [0.0, 7.0], vec!["0", "2", "4", "6", "8"]),
            (Unit::Ratio, [0.9127, 1.0], vec!["90%", "95%", "100%"]),
            (Unit::Ratio, [0.99951, 0.9999], vec!["99.95%", "99.96%", "99.97%", "99.98%", "99.99%"]),
            (Unit::Seconds, [0.080, 1.03], vec!["0s", "500ms", "1s", "1.5s"]),
            (Unit::Seconds, [200.0, 650.0], vec!["2m", "4m", "6m", "8m", "10m", "12m"]),
            (Unit::Money, [1.87, 1.87], vec!["1.6", "1.7", "1.8", "1.9", "2.0", "2.1"]),
            (Unit::Count, [-3.0, 4.0], vec!["-4", "-2", "0", "2", "4"]),
        ] {
            let axis = Axis::over("", unit, values.into_iter());
            assert_eq!(axis.ticks().map(|(_, label)| label).collect::<Vec<_>>(), labels, "{values:?}");
            assert!(values.iter().all(|value| (0.0..=1.0).contains(&axis.share(*value))));
        }
        let empty = Axis::over("", Unit::Count, std::iter::empty());
        assert_eq!((empty.share(0.0), empty.share(1.0)), (0.0, 1.0));
    }
}
