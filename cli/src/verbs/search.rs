//! `wavetank search`: how far one value can go, by bisection, seed by seed.
//!
//! Runs are jobs as those of a sweep: stored as they end, used again with `--resume`. A round is made of what every seed asks
//! next; the first asks five values over the whole range, so that an answer that is not monotone has a chance to be seen.

use std::collections::{BTreeMap, BTreeSet};

use reports::Measures;
use reports::search::{self, Searched, Tried, Way};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::grid::{self, Range, Values};
use crate::jobs::store::Store;
use crate::jobs::{Judging, Kind, Manifest, Point, jobs_of};
use crate::progress::now;
use crate::verbs::compare::asked_metric;
use crate::verbs::findings::{Answer, conclude};
use crate::verbs::work::{Asked, Draft, WorkArgs};

/// Find the largest value up to which a scenario holds, or the smallest from which on it does.
///
/// "How big a spike do we survive?" goes up until expectations fail; "how few nodes suffice?" down from where they hold.
/// Every seed has an answer of its own; the median, the range and an interval of the mean are told.
#[derive(clap::Args)]
pub(crate) struct Search {
    /// A shipped scenario by name, or a file.
    scenario: String,
    /// The value and its range: `PATH=LOW..HIGH`.
    #[arg(long = "param", value_name = "PATH=LOW..HIGH")]
    parameter: String,
    /// What has to hold, instead of the scenario's expectations (may be repeated): `latency.p99 < 400ms`,
    /// `availability(service=cart) >= 99.9%`.
    #[arg(long = "metric", value_name = "METRIC OP VALUE")]
    metrics: Vec<String>,
    /// The low end holds: look for the last value that does. By default the way that most seeds go.
    #[arg(long, conflicts_with = "until_holds")]
    until_fails: bool,
    /// The high end holds: look for the first value that does.
    #[arg(long)]
    until_holds: bool,
    /// How exact the answer is to be; a 64th of the range by default, whole numbers stay whole.
    #[arg(long, value_name = "VALUE")]
    tolerance: Option<String>,
    #[command(flatten)]
    work: WorkArgs,
}

/// Values at equal distances.
struct Ladder {
    path: String,
    range: Range,
    step: f64,
    places: usize,
}

/// More places than this need more digits than they mean.
const MOST_PLACES: f64 = 1e6;

impl Ladder {
    fn new(parameter: &str, tolerance: Option<&str>) -> Result<Self, CliError> {
        let (path, Values::Between(mut range)) = grid::parse(parameter)? else {
            return Err(CliError::usage(
                format!("`--param {parameter}` is no range"),
                "write it as `--param PATH=LOW..HIGH`, such as `PATH=50/s..800/s`",
            ));
        };
        let width = range.high - range.low;
        let step = match tolerance {
            None if range.whole => (width / 64.0).ceil(),
            None => width / 64.0,
            Some(text) => grid::quantity(text).filter(|(_, unit)| unit.is_empty() || *unit == range.unit).map_or(0.0, |(step, _)| step),
        };
        if !(step > 0.0 && step <= width && width / step <= MOST_PLACES) {
            let message = tolerance.map_or_else(
                || format!("`--param {parameter}`: there is nothing between its ends"),
                |text| format!("`--tolerance {text}` is no part of {}..{}", range.write(range.low), range.write(range.high)),
            );
            return Err(CliError::usage(message, "give a range that is wider than the tolerance, both in one unit"));
        }
        range.whole &= step.fract() == 0.0;
        Ok(Self { path, places: (width / step - 1e-9).ceil() as usize, step, range })
    }

    /// The value at a place, as it is written.
    fn value(&self, place: usize) -> String {
        self.range.write((self.range.low + place as f64 * self.step).min(self.range.high))
    }

    /// Where every seed begins.
    fn first(&self) -> BTreeSet<usize> {
        (0..=4).map(|quarter| self.places * quarter / 4).collect()
    }

    fn searched(&self, way: Option<Way>) -> Searched {
        Searched {
            parameter: self.path.clone(),
            low: self.value(0),
            high: self.value(self.places),
            unit: self.range.unit.clone(),
            tolerance: self.step,
            way,
        }
    }
}

impl Search {
    pub(crate) fn run(mut self, io: &Io) -> Result<Exit, CliError> {
        self.check()?;
        let ladder = Ladder::new(&self.parameter, self.tolerance.as_deref())?;
        let own = self.metrics.iter().map(|text| expectation(text)).collect::<Result<Vec<_>, _>>()?;
        if !own.is_empty() {
            self.work.set.push(format!("spec.expectations={}", serde_json::Value::from(own)));
        }
        let way = if self.until_holds { Some(Way::UntilHolds) } else { self.until_fails.then_some(Way::UntilFails) };
        let searched = ladder.searched(way);
        let mut points = self.points(&ladder, &ladder.first(), io)?;
        let mut manifest = self.work.manifest(
            Asked { search: Some(searched), ..Asked::of(Kind::Search, &self.scenario, Judging::default()) },
            &points,
            io,
        )?;
        if points.iter().any(|point| !point.prepared.scenario.questions.iter().any(|asked| &*asked.severity == "error")) {
            return Err(CliError::usage(
                format!("`{}` expects nothing, so nothing tells how far it can go", manifest.scenario),
                "say what has to hold: `--metric 'availability >= 99.9%'`",
            ));
        }
        if self.work.dry_run {
            return self.work.tell(&points, &manifest, io);
        }
        let started = now();
        let store = Store::open(&self.work.place(&manifest), &manifest, self.work.resume)?;
        let (mut way, mut is_first, later) = (way, true, io.hushed());
        loop {
            self.work.fill(&points, &manifest, &store, if is_first { io } else { &later })?;
            is_first = false;
            let outcomes = outcomes(&ladder, &store, &manifest);
            let going = *way.get_or_insert_with(|| search::way(&outcomes));
            let wanted = next(going, &outcomes);
            if wanted.is_empty() {
                break;
            }
            let places: BTreeSet<usize> = wanted.iter().map(|(place, _)| *place).collect();
            self.go_on(&ladder, &places, &wanted, &mut points, &mut manifest, io)?;
            store.write_json("manifest.json", &manifest)?;
        }
        self.work.write_meta(&store, started.elapsed())?;
        let wall = format!("{:.1} s", started.elapsed().as_secs_f64());
        conclude(&store, &manifest, &Answer { output: &self.work.output, wall: Some(&wall), page: !self.work.no_report }, io)
    }

    fn check(&self) -> Result<(), CliError> {
        if self.work.shard.is_some() || self.work.emit.is_some() {
            return Err(CliError::usage(
                "a search cannot be done in parts: what it runs next depends on what it has found",
                "`wavetank sweep` over the same range can; `-j` takes more cores",
            ));
        }
        if self.work.policies.len() > 1 {
            return Err(CliError::usage("a search has one policy", "search once for each, with an `--out` of its own"));
        }
        Ok(())
    }

    /// Reads the scenario with the values at some places.
    fn points(&self, ladder: &Ladder, places: &BTreeSet<usize>, io: &Io) -> Result<Vec<Point>, CliError> {
        let draft = |place: &usize| {
            let change = format!("{}={}", ladder.path, ladder.value(*place));
            Draft {
                name: change.clone(),
                policy: self.work.policies.first().cloned(),
                set: vec![change],
                parameters: BTreeMap::from([(ladder.path.clone(), ladder.value(*place))]),
            }
        };
        self.work.points(&self.scenario, &places.iter().map(draft).collect::<Vec<_>>(), io)
    }

    /// Adds another round to the work.
    fn go_on(
        &self,
        ladder: &Ladder,
        places: &BTreeSet<usize>,
        wanted: &[(usize, u64)],
        points: &mut Vec<Point>,
        manifest: &mut Manifest,
        io: &Io,
    ) -> Result<(), CliError> {
        let known = |place: &usize| points.iter().any(|point| point.about.parameters.get(&ladder.path) == Some(&ladder.value(*place)));
        let new: BTreeSet<usize> = places.iter().copied().filter(|place| !known(place)).collect();
        points.extend(self.points(ladder, &new, &io.hushed())?);
        manifest.points = points.iter().map(|point| point.about.clone()).collect();
        for (place, seed) in wanted {
            let value = ladder.value(*place);
            let Some(index) = points.iter().position(|point| point.about.parameters.get(&ladder.path) == Some(&value)) else { continue };
            let mut jobs = jobs_of(std::slice::from_ref(&points[index]), &[*seed]);
            jobs.iter_mut().for_each(|job| job.point = index);
            manifest.jobs.extend(jobs);
        }
        Ok(())
    }
}

/// What every seed asks next: the middle between its two sides.
fn next(way: Way, outcomes: &BTreeMap<u64, BTreeMap<usize, bool>>) -> Vec<(usize, u64)> {
    let middle = |(seed, tried): (&u64, &BTreeMap<usize, bool>)| {
        let edge = search::edge(way, tried)?;
        (edge.holds.abs_diff(edge.fails) > 1).then(|| (usize::midpoint(edge.holds, edge.fails), *seed))
    };
    outcomes.iter().filter_map(middle).collect()
}

/// What held where, by seed.
fn outcomes(ladder: &Ladder, store: &Store, manifest: &Manifest) -> BTreeMap<u64, BTreeMap<usize, bool>> {
    let places: BTreeMap<String, usize> = (0..=ladder.places).map(|place| (ladder.value(place), place)).collect();
    let mut outcomes: BTreeMap<u64, BTreeMap<usize, bool>> = BTreeMap::new();
    for (about, runs) in manifest.points.iter().zip(store.by_point(manifest)) {
        let place = about.parameters.get(&ladder.path).and_then(|value| places.get(value));
        for run in place.iter().flat_map(|_| &runs) {
            outcomes.entry(run.seed).or_default().insert(*place.unwrap_or(&0), search::holds(run));
        }
    }
    outcomes
}

/// `METRIC[.STAT][(KEY=VALUE, …)] OP VALUE`, as an expectation of a scenario.
fn expectation(text: &str) -> Result<serde_json::Value, CliError> {
    // Operators within brackets belong to filters.
    let after = text.rfind(')').unwrap_or(0);
    let found = [">=", "<=", "==", "!=", ">", "<"].iter().find_map(|op| text[after..].find(op).map(|at| (after + at, *op)));
    let Some((at, op)) = found else {
        return Err(CliError::usage(
            format!("`--metric {text}` has no comparison"),
            "write it as `--metric 'latency.p99 < 400ms'` or `--metric 'availability(service=cart) >= 99.9%'`",
        ));
    };
    let (info, stat, filter) = asked_metric(text[..at].trim())?;
    let mut expectation = serde_json::json!({ "metric": info.name, "op": op, "value": text[at + op.len()..].trim() });
    if !stat.is_empty() {
        expectation["stat"] = stat.into();
    }
    if !filter.is_empty() {
        expectation["where"] = serde_json::to_value(filter).map_err(anyhow::Error::new)?;
    }
    Ok(expectation)
}

/// A value that was tried, without its unit.
pub(crate) fn number(text: &str) -> f64 {
    grid::quantity(text).map_or(f64::NAN, |(number, _)| number)
}

/// Judges what is in a store.
pub(crate) fn judge(store: &Store, manifest: &Manifest) -> Result<search::Search, CliError> {
    let Some(searched) = &manifest.search else {
        return Err(CliError::asked(format!("`{}` does not say what was searched", store.place.display()), "search again"));
    };
    let tried: Vec<Tried> = manifest
        .points
        .iter()
        .zip(store.by_point(manifest))
        .map(|(about, runs): (_, Vec<Measures>)| {
            let text = about.parameters.get(&searched.parameter).cloned().unwrap_or_default();
            Tried { number: number(&text), text, runs }
        })
        .collect();
    Ok(search::search(&tried, searched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bisection_ends_between_two_neighbours() {
        for (edge, way) in [(0, Way::UntilFails), (37, Way::UntilFails), (99, Way::UntilFails), (1, Way::UntilHolds), (64, Way::UntilHolds)]
        {
            let holds = |place: usize| if way == Way::UntilFails { place <= edge } else { place >= edge };
            let mut tried: BTreeMap<usize, bool> = [0, 25, 50, 75, 100].into_iter().map(|place| (place, holds(place))).collect();
            for round in 0.. {
                let wanted = next(way, &BTreeMap::from([(1, tried.clone())]));
                let Some((place, _)) = wanted.first() else { break };
                assert!(round < 6, "five halvings of 25 are enough");
                tried.insert(*place, holds(*place));
            }
            assert_eq!(search::edge(way, &tried).map(|found| found.holds), Some(edge), "{way:?}");
        }
    }

    #[test]
    fn what_has_to_hold_is_read_as_an_expectation() {
        let read = |text: &str| expectation(text).map(|value| value.to_string()).unwrap_or_else(|_| "refused".to_owned());
        assert_eq!(read("latency.p99 < 400ms"), r#"{"metric":"latency.p99","op":"<","value":"400ms"}"#);
        assert_eq!(read("pods.pending.max<=5"), r#"{"metric":"pods.pending","op":"<=","value":"5","stat":"max"}"#);
        assert_eq!(
            read("availability(service=cart) >= 99.9%"),
            r#"{"metric":"availability","op":">=","value":"99.9%","where":{"service":"cart"}}"#
        );
        assert_eq!(read("availability"), "refused");
        assert_eq!(read("nonsense > 1"), "refused");
    }

    #[test]
    fn a_ladder_has_both_ends_and_whole_numbers_stay_whole() {
        let values = |parameter: &str, tolerance: Option<&str>| {
            let ladder = Ladder::new(parameter, tolerance).ok()?;
            Some((ladder.places, ladder.value(0), ladder.value(1), ladder.value(ladder.places)))
        };
        let text = |places, low: &str, second: &str, high: &str| Some((places, low.to_owned(), second.to_owned(), high.to_owned()));
        assert_eq!(values("a=2..9", None), text(7, "2", "3", "9"));
        assert_eq!(values("a=100/s..1380/s", None), text(64, "100/s", "120/s", "1380/s"));
        assert_eq!(values("a=0..10", Some("4")), text(3, "0", "4", "10"));
        assert_eq!(values("a=1s..2s", Some("0.5s")), text(2, "1s", "1.5s", "2s"));
        for (parameter, tolerance) in
            [("a=1..1", None), ("a=1,2", None), ("a=1..9", Some("20")), ("a=1..9", Some("0")), ("a=1s..9s", Some("1m"))]
        {
            assert_eq!(values(parameter, tolerance), None, "{parameter} {tolerance:?}");
        }
    }
}
