//! OpenMetrics text with simulated timestamps, as `promtool tsdb create-blocks-from openmetrics` reads it.
//!
//! Upstream: github.com/prometheus/OpenMetrics, specification/OpenMetrics.md (version 1.0).
//!
//! Invariants: families, and series within them, are whole; times within a series rise; labels that a scraper would
//! have added (`job`, `instance`, and `cluster`, which names the run) are on every sample; the last line is `# EOF`.
//!
//! Not here: which metrics there are (`metrics`). A series ends by not being there any more: the format has no word
//! for it.

use std::fmt::Write as _;
use std::io::{self, Write};

use api::{SimDuration, SimTime};

use super::metrics::{About, Distribution, Family, Labels, Points, Source, families};
use super::time::{Stamp, Ticks};
use crate::fold::Run;

/// Writes what a scraper would have seen of the run every `resolution`.
///
/// # Errors
/// Those of the writer.
pub fn openmetrics(run: &Run<'_>, resolution: SimDuration, out: &mut dyn Write) -> io::Result<()> {
    let source = Source::new(run, resolution);
    let head = run.header;
    let cluster = format!("{}/{}/seed-{}", head.scenario, head.policy, head.seed);
    let mut text = Text { ticks: source.ticks, start_ms: source.start_ms, cluster, lines: String::new() };
    families(&source, &mut |family| text.family(family, out))?;
    out.write_all(b"# EOF\n")
}

/// The text of one series at a time.
struct Text {
    ticks: Ticks,
    start_ms: i64,
    cluster: String,
    lines: String,
}

impl Text {
    fn family(&mut self, family: &Family, out: &mut dyn Write) -> io::Result<()> {
        let about = &family.about;
        let name = about.family();
        writeln!(out, "# TYPE {name} {}", about.kind.as_str())?;
        if let Some(unit) = about.unit() {
            writeln!(out, "# UNIT {name} {unit}")?;
        }
        writeln!(out, "# HELP {name} {}", escaped(about.help))?;
        for (labels, points) in &family.series {
            self.lines.clear();
            self.series(about, labels, points);
            out.write_all(self.lines.as_bytes())?;
        }
        Ok(())
    }

    fn series(&mut self, about: &About, labels: &Labels, points: &Points) {
        let labels = self.labels(about, labels);
        match points {
            Points::Numbers(points) => {
                for (index, (from, value)) in points.iter().enumerate() {
                    let Some(value) = value else { continue };
                    for at in self.ticks.between(*from, until(points, index)) {
                        let stamp = Stamp::of(self.start_ms, at);
                        let _ = writeln!(self.lines, "{}{{{labels}}} {value} {stamp}", about.name);
                    }
                }
            }
            Points::Histogram(bounds, points) => {
                let bounds: Vec<String> = bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]).collect();
                for (index, (from, so_far)) in points.iter().enumerate() {
                    for at in self.ticks.between(*from, until(points, index)) {
                        self.distribution(about.name, &labels, &bounds, so_far, at);
                    }
                }
            }
        }
    }

    fn distribution(&mut self, name: &str, labels: &str, bounds: &[String], so_far: &Distribution, at: SimTime) {
        let stamp = Stamp::of(self.start_ms, at);
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(&so_far.counts) {
            below += count;
            let _ = writeln!(self.lines, "{name}_bucket{{{labels},le=\"{bound}\"}} {below} {stamp}");
        }
        let _ = writeln!(self.lines, "{name}_sum{{{labels}}} {} {stamp}", so_far.sum);
        let _ = writeln!(self.lines, "{name}_count{{{labels}}} {below} {stamp}");
    }

    /// A series' labels with those that a scraper adds.
    fn labels(&self, about: &About, labels: &Labels) -> String {
        let has = |wanted: &str| labels.iter().any(|(name, _)| *name == wanted);
        let mut text = format!("cluster=\"{}\"", escaped(&self.cluster));
        for name in ["job", "instance"].into_iter().filter(|name| !about.job.is_empty() && !has(name)) {
            let _ = write!(text, ",{name}=\"{}\"", about.job);
        }
        for (name, value) in labels {
            let _ = write!(text, ",{name}=\"{}\"", escaped(value));
        }
        text
    }
}

/// The end of the piece that begins with a point.
pub(super) fn until<T>(points: &[(SimTime, T)], index: usize) -> SimTime {
    points.get(index + 1).map_or(SimTime::MAX, |(at, _)| *at)
}

/// Text in quotes, and in a line of help.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
