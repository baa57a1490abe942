//! How far a value can go: for every seed the place up to which (or from which on) its expectations hold.
//!
//! ```text
//! until it fails:  ✓ ✓ ✓ ✓|✗ ✗     how big a spike do we survive?      the last that holds
//! until it holds:  ✗ ✗|✓ ✓ ✓ ✓     how few nodes suffice?              the first that holds
//! ```
//!
//! Invariants:
//! - An edge is walked to from the side that holds, so the answer is never beyond a failure that was seen. Places that
//!   hold on the other side of it make the seed "not monotone", which is said.
//! - A seed that holds, or fails, over the whole range has no edge: the median still knows on which side it is, the mean
//!   is not given.
//!
//! Not here: which values are tried (`cli`).

use std::collections::BTreeMap;

use api::Str;
use serde::Serialize;

use crate::compare::FEW_SEEDS;
use crate::metrics::Measures;
use crate::statistics::bootstrap::{self, Interval};
use crate::statistics::mean;
use crate::verdict::judge;

/// Which end of the range holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// The low end: looked for is the last value that holds.
    UntilFails,
    /// The high end: looked for is the first value that holds.
    UntilHolds,
}

/// Two neighbours, one of which holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The last place, from the end that holds, that holds.
    pub holds: usize,
    /// The next place that was tried, which fails.
    pub fails: usize,
}

/// The way that most seeds go, seen at the ends of what was tried.
#[must_use]
pub fn way(seeds: &BTreeMap<u64, BTreeMap<usize, bool>>) -> Way {
    let ends = seeds.values().filter_map(|tried| Some((*tried.first_key_value()?.1, *tried.last_key_value()?.1)));
    let (falling, rising) = ends.fold((0, 0), |(falling, rising), ends| match ends {
        (true, false) => (falling + 1, rising),
        (false, true) => (falling, rising + 1),
        _ => (falling, rising),
    });
    if rising > falling { Way::UntilHolds } else { Way::UntilFails }
}

/// Where `tried` stops to hold; `None` when it does nowhere, or everywhere.
#[must_use]
pub fn edge(way: Way, tried: &BTreeMap<usize, bool>) -> Option<Edge> {
    let mut places: Vec<(usize, bool)> = tried.iter().map(|(place, holds)| (*place, *holds)).collect();
    if way == Way::UntilHolds {
        places.reverse();
    }
    let fails = places.iter().position(|(_, holds)| !holds)?;
    Some(Edge { holds: places[fails.checked_sub(1)?].0, fails: places[fails].0 })
}

/// Whether nothing holds beyond the first failure.
fn is_monotone(way: Way, tried: &BTreeMap<usize, bool>) -> bool {
    let Some(edge) = edge(way, tried) else { return tried.values().all(|holds| *holds) || tried.values().all(|holds| !holds) };
    let beyond = |place: usize| if way == Way::UntilFails { place > edge.fails } else { place < edge.fails };
    !tried.iter().any(|(place, holds)| *holds && beyond(*place))
}

/// One value with the runs that were made of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// As it is written in the scenario.
    pub text: String,
    /// Its number, in the parameter's unit.
    pub number: f64,
    /// Runs of some seeds.
    pub runs: Vec<Measures>,
}

/// What was searched.
#[derive(Clone, PartialEq, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Searched {
    /// Path of the value.
    pub parameter: String,
    /// The range's low end, as written.
    pub low: String,
    /// The range's high end, as written.
    pub high: String,
    /// What follows the numbers.
    pub unit: String,
    /// How close neighbours are.
    pub tolerance: f64,
    /// As asked; else what most seeds do.
    pub way: Option<Way>,
}

/// Where a seed's expectations stop to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Within the range.
    Edge,
    /// They hold at every value that was tried.
    Everywhere,
    /// They hold at none, or not at the end where they should.
    Nowhere,
}

/// One seed's answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedAnswer {
    /// The seed.
    pub seed: u64,
    /// Where it is.
    pub place: Place,
    /// The outermost value that holds.
    pub holds_at: Option<String>,
    /// The same as a number.
    pub value: Option<f64>,
    /// The value next to it, which fails.
    pub fails_at: Option<String>,
    /// Nothing was seen to hold beyond that failure.
    pub monotone: bool,
    /// Runs made.
    pub tried: usize,
}

/// Everything a search found.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// The scenario.
    pub scenario: Str,
    /// The policy.
    pub policy: Str,
    /// What was searched.
    #[serde(flatten)]
    pub searched: Searched,
    /// Which way it went.
    pub direction: Way,
    /// What has to hold.
    pub expectations: Vec<String>,
    /// One per seed.
    pub seeds: Vec<SeedAnswer>,
    /// Over all seeds; none where it lies outside the range.
    pub median: Option<f64>,
    /// Smallest and largest of the seeds that have an edge.
    pub range: Option<(f64, f64)>,
    /// When every seed has an edge.
    pub mean: Option<f64>,
    /// Between which values the mean lies, with 95 % confidence; of ten seeds or more.
    #[serde(serialize_with = "crate::compare::limits")]
    pub interval: Option<Interval>,
    /// What a reader has to know.
    pub warnings: Vec<String>,
}

/// Whether everything that decides holds in one run.
#[must_use]
pub fn holds(run: &Measures) -> bool {
    judge(std::slice::from_ref(run)).passed
}

/// Finds every seed's edge in what was tried.
#[must_use]
pub fn search(tried: &[Tried], searched: &Searched) -> Search {
    let mut tried: Vec<&Tried> = tried.iter().collect();
    tried.sort_by(|a, b| a.number.total_cmp(&b.number));
    let mut outcomes: BTreeMap<u64, BTreeMap<usize, bool>> = BTreeMap::new();
    for (place, value) in tried.iter().enumerate() {
        for run in &value.runs {
            outcomes.entry(run.seed).or_default().insert(place, holds(run));
        }
    }
    let direction = searched.way.unwrap_or_else(|| way(&outcomes));
    let seeds: Vec<SeedAnswer> = outcomes.iter().map(|(seed, outcomes)| answer(*seed, outcomes, direction, &tried)).collect();
    let first = tried.iter().flat_map(|value| &value.runs).next();
    let found: Vec<f64> = seeds.iter().filter_map(|seed| seed.value).collect();
    let all = !found.is_empty() && found.len() == seeds.len();
    let over = |pick: fn(f64, f64) -> f64| found.iter().copied().reduce(pick);
    Search {
        scenario: first.map_or_else(|| "".into(), |run| run.scenario.clone()),
        policy: first.map_or_else(|| "".into(), |run| run.policy.clone()),
        expectations: first.map_or_else(Vec::new, expectations),
        median: median(&seeds, direction),
        range: over(f64::min).zip(over(f64::max)),
        mean: all.then(|| mean(&found)),
        interval: (all && found.len() >= FEW_SEEDS)
            .then(|| bootstrap::interval(&found, crate::compare::LEVEL, bootstrap::RESAMPLES))
            .flatten(),
        warnings: warnings(&seeds, searched, direction),
        searched: searched.clone(),
        direction,
        seeds,
    }
}

fn expectations(run: &Measures) -> Vec<String> {
    let judged = judge(std::slice::from_ref(run)).expectations;
    judged
        .iter()
        .filter(|judged| &*judged.severity == "error")
        .map(|judged| format!("{} {} {}", judged.formula(), judged.op, judged.expected))
        .collect()
}

fn answer(seed: u64, outcomes: &BTreeMap<usize, bool>, way: Way, tried: &[&Tried]) -> SeedAnswer {
    let edge = edge(way, outcomes);
    let everywhere = edge.is_none() && outcomes.values().all(|holds| *holds);
    SeedAnswer {
        seed,
        place: match edge {
            Some(_) => Place::Edge,
            None if everywhere => Place::Everywhere,
            None => Place::Nowhere,
        },
        holds_at: edge.map(|edge| tried[edge.holds].text.clone()),
        value: edge.map(|edge| tried[edge.holds].number),
        fails_at: edge.map(|edge| tried[edge.fails].text.clone()),
        monotone: is_monotone(way, outcomes),
        tried: outcomes.len(),
    }
}

/// The middle of all seeds; those without an edge lie beyond one end or the other.
fn median(seeds: &[SeedAnswer], way: Way) -> Option<f64> {
    let beyond = if way == Way::UntilFails { f64::INFINITY } else { f64::NEG_INFINITY };
    let mut values: Vec<f64> = seeds
        .iter()
        .map(|seed| match seed.place {
            Place::Everywhere => beyond,
            Place::Nowhere => -beyond,
            Place::Edge => seed.value.unwrap_or(beyond),
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0).filter(|median| median.is_finite())
}

fn warnings(seeds: &[SeedAnswer], searched: &Searched, way: Way) -> Vec<String> {
    let of = |what: &dyn Fn(&SeedAnswer) -> bool| {
        let seeds: Vec<String> = seeds.iter().filter(|seed| what(seed)).map(|seed| seed.seed.to_string()).collect();
        (!seeds.is_empty()).then(|| format!("seed{} {}", if seeds.len() == 1 { "" } else { "s" }, seeds.join(", ")))
    };
    let range = format!("{}..{}", searched.low, searched.high);
    let mut warnings = Vec::new();
    if let Some(seeds) = of(&|seed| seed.place == Place::Everywhere) {
        warnings.push(format!("{seeds}: holds everywhere in {range}; the answer, if there is one, lies outside"));
    }
    if let Some(seeds) = of(&|seed| seed.place == Place::Nowhere && seed.monotone) {
        warnings.push(format!("{seeds}: holds nowhere in {range}; the answer, if there is one, lies outside"));
    }
    if let Some(seeds) = of(&|seed| seed.place == Place::Nowhere && !seed.monotone) {
        let end = if way == Way::UntilFails { &searched.low } else { &searched.high };
        warnings.push(format!("{seeds}: fails already at {end}; the answer, if there is one, lies outside"));
    }
    if let Some(seeds) = of(&|seed| !seed.monotone) {
        warnings.push(format!("{seeds}: not monotone: some values hold beyond one that fails; the first failure counts"));
    }
    if seeds.len() < FEW_SEEDS {
        let n = seeds.len();
        warnings.push(format!(
            "{n} seed{} too few for an interval: take at least {FEW_SEEDS} (`--seeds 1..{FEW_SEEDS}`)",
            if n == 1 { " is" } else { "s are" }
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(signs: &str) -> BTreeMap<usize, bool> {
        signs.chars().enumerate().filter(|(_, sign)| *sign != '.').map(|(place, sign)| (place, sign == '+')).collect()
    }

    #[test]
    fn an_edge_is_walked_to_from_the_side_that_holds() {
        use Way::{UntilFails, UntilHolds};
        for (way, tried, expected, monotone) in [
            (UntilFails, "+++--", Some((2, 3)), true),
            (UntilFails, "+.+.-", Some((2, 4)), true),
            (UntilFails, "++-+-", Some((1, 2)), false),
            (UntilFails, "+++++", None, true),
            (UntilFails, "-----", None, true),
            (UntilFails, "-+++-", None, false),
            (UntilHolds, "--+++", Some((2, 1)), true),
            (UntilHolds, "+--++", Some((3, 2)), false),
            (UntilHolds, "-...+", Some((4, 0)), true),
        ] {
            let tried_here = outcomes(tried);
            let found = edge(way, &tried_here).map(|edge| (edge.holds, edge.fails));
            assert_eq!((found, is_monotone(way, &tried_here)), (expected, monotone), "{tried}");
        }
    }

    #[test]
    fn the_way_is_that_of_most_seeds() {
        let ways = |all: &[&str]| way(&all.iter().enumerate().map(|(seed, signs)| (seed as u64, outcomes(signs))).collect());
        assert_eq!(ways(&["+-", "++", "--"]), Way::UntilFails);
        assert_eq!(ways(&["-+", "+-", "-+"]), Way::UntilHolds);
        assert_eq!(ways(&["++"]), Way::UntilFails);
    }

    #[test]
    fn seeds_beyond_an_end_count_in_the_median_and_in_nothing_else() {
        let seed = |place: Place, value: Option<f64>| SeedAnswer {
            seed: 1,
            place,
            holds_at: None,
            value,
            fails_at: None,
            monotone: true,
            tried: 2,
        };
        let at = |value: f64| seed(Place::Edge, Some(value));
        let (far, near) = (seed(Place::Everywhere, None), seed(Place::Nowhere, None));
        assert_eq!(median(&[at(3.0), at(1.0), far.clone()], Way::UntilFails), Some(3.0));
        assert_eq!(median(&[at(3.0), at(1.0), far.clone()], Way::UntilHolds), Some(1.0));
        assert_eq!(median(&[at(3.0), at(1.0), near.clone(), near], Way::UntilFails), None);
        assert_eq!(median(&[at(3.0), far.clone(), far], Way::UntilFails), None);
        assert_eq!(median(&[], Way::UntilFails), None);
    }
}
