//! One picture of a run for places that draw no more than a line: requests asked and answered, or pods ready.
//!
//! Not here: the page's charts (`render::page`), which have all of it.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime};
use trace::Trace;

use crate::fold::Run;
use crate::series::{Range, Steps};

/// As many points as a narrow column shows.
const POINTS: u64 = 40;

/// Lines over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Timeline {
    /// What is drawn.
    pub title: String,
    /// What the numbers are.
    pub unit: &'static str,
    /// From the first point to the end of the last one, in minutes.
    pub minutes: f64,
    /// Names and values, equally spaced from zero to the end.
    pub lines: Vec<(&'static str, Vec<f64>)>,
}

impl Timeline {
    /// Of a run; none when nothing went on in it.
    #[must_use]
    pub fn of(trace: &Trace) -> Option<Self> {
        let run = Run::new(trace);
        let step = run.end.since(SimTime::ZERO).as_nanos() / POINTS;
        if step == 0 {
            return None;
        }
        let (unit, step, lines) = requests(&run, step).or_else(|| pods(&run, step))?;
        let title = format!("{}, seed {}: {unit}", trace.header.scenario, trace.header.seed);
        let points = lines.first().map_or(0, |(_, values)| values.len() as u64);
        Some(Self { title, unit, minutes: SimDuration::from_nanos(step).times(points).as_secs_f64() / 60.0, lines })
    }
}

/// What is drawn, from point to point, and the lines.
type Lines = (&'static str, u64, Vec<(&'static str, Vec<f64>)>);

/// What users asked and what was answered, per second. A point is as many whole windows as it takes.
fn requests(run: &Run<'_>, step: u64) -> Option<Lines> {
    let windows = || run.flows.values().filter(|flow| flow.external).flat_map(|flow| &flow.windows);
    let window = windows().map(|window| window.length.as_nanos()).max().filter(|length| *length > 0)?;
    let step = step.div_ceil(window) * window;
    let mut sums: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for window in windows() {
        let sum = sums.entry(window.start().as_nanos() / step).or_default();
        *sum = (sum.0 + window.counts.arrived, sum.1 + window.counts.succeeded);
    }
    let seconds = SimDuration::from_nanos(step).as_secs_f64();
    // The last one need not be a whole one; it would look like a fall.
    let points = run.end.since(SimTime::ZERO).as_nanos() / step;
    let rate = |pick: fn(&(u64, u64)) -> u64| (0..points).map(|place| sums.get(&place).map_or(0, pick) as f64 / seconds).collect();
    Some(("requests per second", step, vec![("asked", rate(|sum| sum.0)), ("answered", rate(|sum| sum.1))]))
}

/// Pods that are ready.
fn pods(run: &Run<'_>, step: u64) -> Option<Lines> {
    let mut deltas = Vec::new();
    run.pods.iter().for_each(|pod| pod.ready_deltas(&mut deltas));
    let ready = Steps::from_deltas(deltas);
    let at = |place: u64| SimTime::ZERO + SimDuration::from_nanos(place * step);
    let mean = |place: u64| ready.stat("mean", Range { from: at(place), to: at(place + 1) }).unwrap_or(0.0);
    (!ready.is_empty()).then(|| ("pods ready", step, vec![("ready", (0..POINTS).map(mean).collect())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::black_friday;

    #[test]
    fn a_shop_is_drawn_by_its_requests_and_a_cluster_without_any_by_its_pods() {
        let mut trace = black_friday(1);
        let timeline = Timeline::of(&trace).unwrap();
        let sum = |timeline: &Timeline, line: usize| timeline.lines[line].1.iter().sum::<f64>();
        assert_eq!((timeline.unit, timeline.lines.len()), ("requests per second", 2));
        assert!(sum(&timeline, 0) >= sum(&timeline, 1) && sum(&timeline, 1) > 0.0);
        trace.records.retain(|(_, record)| !matches!(record, trace::Record::Traffic { .. }));
        assert_eq!(Timeline::of(&trace).unwrap().unit, "pods ready");
    }
}
