//! Families of metrics under the names that everybody's dashboards ask for, as step functions of simulated time.
//!
//! One file per component that exposes them in a cluster. A family is built, written and dropped before the next.
//!
//! Invariants:
//! - A series is named by its labels alone: lives of equal names and labels share one, in order of time.
//! - A value holds from its instant until the next; `None` says that the series is not there.
//! - Series come in order of their labels.
//!
//! Not here: when they are looked at (`time::Ticks`), and how they are written.

mod nodes;
mod pods;
mod scheduler;
mod traffic;
mod workloads;

use std::collections::BTreeMap;
use std::io;

use api::SimTime;

use super::time::{Stamp, Ticks, epoch_ms};
use crate::fold::Run;

/// Names and values, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Labels from borrowed text.
fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// `namespace/name` in two.
fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

/// `Kind/namespace/name` as kind and name; empty when nobody owns it.
fn owner(text: &str) -> (&str, &str) {
    let mut parts = text.splitn(3, '/');
    let (kind, name) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    (kind, name)
}

/// What kind of number a family holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
    /// Always 1; what it says is in its labels.
    Info,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What stands at the head of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    /// As dashboards ask for it, with the suffix of its kind (`_total`, `_info`).
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The component that exposes it, as kubernetes-mixin calls its scrape job; empty when the labels say it.
    pub(super) job: &'static str,
    pub(super) help: &'static str,
}

impl About {
    /// The name without the suffix of the kind: what OpenMetrics calls the family.
    pub(super) fn family(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
    /// The base unit that the name ends in.
    pub(super) fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| self.family().strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }
}

/// One of several families of a kind: its name, its help, and what it holds of each thing.
type Told<T> = (&'static str, &'static str, fn(&T) -> f64);

/// A distribution so far.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Distribution {
    /// Values up to each bound, not cumulative; one more than there are bounds.
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
}

/// Values of one series over time.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Points {
    Numbers(Vec<(SimTime, Option<f64>)>),
    /// Upper bounds, and the distribution at each instant at which it is looked at and has changed.
    Histogram(&'static [f64], Vec<(SimTime, Distribution)>),
}

/// Metrics of one name.
pub(super) struct Family {
    pub(super) about: About,
    pub(super) series: BTreeMap<Labels, Points>,
}

impl Family {
    /// Sets a series from `at` on.
    fn set(&mut self, labels: Labels, at: SimTime, value: Option<f64>) {
        if let Points::Numbers(points) = self.series.entry(labels).or_insert_with(|| Points::Numbers(Vec::new())) {
            match points.last_mut() {
                Some(last) if last.0 == at => last.1 = value,
                Some(last) if last.1 == value => {}
                None if value.is_none() => {}
                _ => points.push((at, value)),
            }
        }
    }

    /// A series that is there for a while.
    fn span(&mut self, labels: Labels, from: SimTime, to: Option<SimTime>, value: f64) {
        if to.is_none_or(|to| from < to) {
            self.set(labels.clone(), from, Some(value));
            if let Some(to) = to {
                self.set(labels, to, None);
            }
        }
    }

    /// A series that follows a step function until `to`.
    fn follow(&mut self, labels: &Labels, values: impl IntoIterator<Item = (SimTime, f64)>, to: Option<SimTime>) {
        for (at, value) in values {
            self.set(labels.clone(), at, Some(value));
        }
        if let Some(to) = to
            && self.series.contains_key(labels)
        {
            self.set(labels.clone(), to, None);
        }
    }

    /// Counts values into a histogram that is looked at at `ticks`.
    fn observe(&mut self, labels: Labels, bounds: &'static [f64], at: SimTime, values: impl IntoIterator<Item = (f64, u64)>, ticks: Ticks) {
        let fresh = || Points::Histogram(bounds, vec![(SimTime::ZERO, Distribution { counts: vec![0; bounds.len() + 1], sum: 0.0 })]);
        let Points::Histogram(_, points) = self.series.entry(labels).or_insert_with(fresh) else { return };
        let at = ticks.after(at);
        if let Some(last) = points.last().filter(|last| last.0 != at) {
            let next = (at, last.1.clone());
            points.push(next);
        }
        if let Some((_, so_far)) = points.last_mut() {
            for (value, times) in values {
                so_far.counts[bounds.partition_point(|bound| *bound < value)] += times;
                so_far.sum += value * times as f64;
            }
        }
    }
}

/// What families are made from.
pub(super) struct Source<'a, 't> {
    pub(super) run: &'a Run<'t>,
    pub(super) ticks: Ticks,
    /// What simulated time zero is called, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
}

impl<'a, 't> Source<'a, 't> {
    pub(super) fn new(run: &'a Run<'t>, resolution: api::SimDuration) -> Self {
        Self { run, ticks: Ticks { resolution, end: run.end }, start_ms: epoch_ms(&run.header.start).unwrap_or(0) }
    }

    /// An instant as a metric's value: seconds since the Unix epoch.
    fn unix(&self, at: SimTime) -> f64 {
        Stamp::of(self.start_ms, at).seconds()
    }
}

/// Hands all families on, one after the other.
pub(super) fn families(source: &Source<'_, '_>, each: Each<'_>) -> io::Result<()> {
    // One without a series is left out.
    every_family(source, &mut |family| if family.series.is_empty() { Ok(()) } else { each(family) })
}

fn every_family(source: &Source<'_, '_>, each: Each<'_>) -> io::Result<()> {
    let mut out = Out { each };
    nodes::families(source, &mut out)?;
    pods::families(source, &mut out)?;
    workloads::families(source, &mut out)?;
    scheduler::families(source, &mut out)?;
    traffic::families(source, &mut out)
}

/// Takes a family that is whole.
pub(super) type Each<'a> = &'a mut dyn FnMut(&Family) -> io::Result<()>;

/// Where families go.
struct Out<'a> {
    each: Each<'a>,
}

impl Out<'_> {
    /// Makes a family and hands it on.
    fn family(&mut self, about: About, fill: impl FnOnce(&mut Family)) -> io::Result<()> {
        let mut family = Family { about, series: BTreeMap::new() };
        fill(&mut family);
        (self.each)(&family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_is_in_the_docs_and_every_metric_of_the_docs_is_exported() {
        let docs = include_str!("../../../../docs/exports.md");
        let rows = docs.split("## Metrics").nth(1).unwrap().lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let listed: BTreeSet<&str> = rows.flat_map(|names| names.split(['`', ',', ' '])).filter(|name| !name.is_empty()).collect();
        let trace = testing::node_failure(1);
        let run = Run::new(&trace);
        let mut exported = BTreeSet::new();
        let source = Source::new(&run, api::SimDuration::from_secs(15));
        every_family(&source, &mut |family| {
            assert!(exported.insert(family.about.name), "{} twice", family.about.name);
            Ok(())
        })
        .unwrap();
        assert_eq!(listed, exported);
    }
}
