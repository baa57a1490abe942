//! Numbers for services that keep a history of benchmarks: github-action-benchmark and Bencher.
//!
//! What is exported are the rows of a comparison (expectations, recoveries, what everybody asks): the mean over seeds,
//! with the smallest and the largest. Simulated numbers do not depend on the machine, so their history has no noise.
//!
//! Invariant: a metric that some seed has no number for is left out, since a mean of the others would flatter it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Measures;
use crate::compare::{Answer, Wanted, answer, wanted};
use crate::metrics::{Better, Unit};

/// One scenario under one policy, with its runs.
#[derive(Clone, Debug)]
pub struct Benchmarked {
    /// What it is called.
    pub title: String,
    /// One per seed.
    pub runs: Vec<Measures>,
}

struct Point {
    name: String,
    unit: Unit,
    better: Better,
    mean: f64,
    low: f64,
    high: f64,
    seeds: usize,
}

fn points(benchmarked: &Benchmarked) -> Vec<Point> {
    let point = |wanted: Wanted| {
        let value = |run: &Measures| if let Answer::Value(value) = answer(run, &wanted) { Some(value) } else { None };
        let values: Vec<f64> = benchmarked.runs.iter().map(value).collect::<Option<_>>()?;
        let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        let mean = crate::statistics::mean(&values);
        Some(Point { name: wanted.title(), unit: wanted.unit, better: wanted.better, mean, low, high, seeds: values.len() })
    };
    wanted(&benchmarked.runs).into_iter().filter_map(point).collect()
}

/// For github-action-benchmark: a list of numbers that are all better when smaller (`customSmallerIsBetter`) or all
/// better when bigger (`customBiggerIsBetter`), as `better` says. Ends with a line feed.
#[must_use]
pub fn gh_bench(all: &[Benchmarked], better: Better) -> String {
    let entry = |title: &str, point: &Point| {
        let (low, high) = (point.unit.format(point.low), point.unit.format(point.high));
        let seeds = if point.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", point.seeds) };
        let (value, unit) = match point.unit {
            Unit::Ratio => (point.mean * 100.0, "%"),
            unit => (point.mean, unit.as_str()),
        };
        json!({ "name": format!("{title}: {}", point.name), "unit": unit, "value": value, "range": format!("{low} .. {high}"), "extra": seeds })
    };
    let of_one = |benchmarked: &Benchmarked| -> Vec<Value> {
        let points = points(benchmarked);
        points.iter().filter(|point| point.better == better).map(|point| entry(&benchmarked.title, point)).collect()
    };
    format!("{:#}\n", Value::from(all.iter().flat_map(of_one).collect::<Vec<Value>>()))
}

/// Bencher's metric format: benchmarks, and in each its measures with a value and its limits. Ends with a line feed.
#[must_use]
pub fn bencher(all: &[Benchmarked]) -> String {
    let measure = |point: Point| (point.name, json!({ "value": point.mean, "lower_value": point.low, "upper_value": point.high }));
    let of_one = |benchmarked: &Benchmarked| {
        let measures: serde_json::Map<String, Value> = points(benchmarked).into_iter().map(measure).collect();
        (benchmarked.title.clone(), measures)
    };
    let document: BTreeMap<String, serde_json::Map<String, Value>> = all.iter().map(of_one).collect();
    format!("{:#}\n", json!(document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::black_friday;

    #[test]
    fn numbers_go_to_the_list_of_their_good_side_and_never_to_both() {
        let runs: Vec<Measures> = (1..=2).map(|seed| Measures::of_trace(&black_friday(seed))).collect();
        let all = [Benchmarked { title: "shop".into(), runs }];
        let names = |text: &str| -> Vec<String> {
            let list: Vec<Value> = serde_json::from_str(text).unwrap();
            assert!(list.iter().all(|entry| entry["value"].is_f64() && entry["unit"].is_string()), "{text}");
            list.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
        };
        let (smaller, bigger) = (names(&gh_bench(&all, Better::Lower)), names(&gh_bench(&all, Better::Higher)));
        assert!(smaller.contains(&"shop: latency.p99".to_owned()) && bigger.contains(&"shop: availability".to_owned()));
        assert!(smaller.iter().all(|name| !bigger.contains(name)));
        let document: Value = serde_json::from_str(&bencher(&all)).unwrap();
        let measure = &document["shop"]["latency.p99"];
        assert!(
            measure["lower_value"].as_f64() <= measure["value"].as_f64() && measure["value"].as_f64() <= measure["upper_value"].as_f64()
        );
    }
}
