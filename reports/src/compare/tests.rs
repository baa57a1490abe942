//! Comparisons of runs whose numbers are known.

use super::*;
use crate::metrics::metric;
use crate::render::{TextOptions, comparison_text, findings};
use crate::testing::{black_friday, node_failure};

fn subject(name: &str, runs: impl Iterator<Item = Measures>) -> Subject {
    Subject { name: name.into(), runs: runs.collect() }
}

/// Runs of one scenario in which `metric` has these values, one per seed; infinity for never.
fn runs(metric: &str, values: &[f64]) -> Vec<Measures> {
    let base = Measures::of_trace(&node_failure(1));
    let one = |(index, value): (usize, &f64)| {
        let mut run = base.clone();
        run.seed = index as u64 + 1;
        run.asked.clear();
        run.values.retain(|known| &*known.metric != metric);
        if value.is_finite() {
            run.values.push(crate::metrics::Value { metric: metric.into(), stat: "".into(), filter: BTreeMap::new(), value: *value });
        } else {
            run.recoveries.iter_mut().for_each(|recovery| recovery.total = None);
        }
        run
    };
    values.iter().enumerate().map(one).collect()
}

fn one_row(metric_name: &str, reference: &[f64], other: &[f64]) -> Row {
    let mut wanted = Wanted::of(metric(metric_name).unwrap(), "", BTreeMap::new());
    wanted.stat = "".into();
    let subjects = [subject("a", runs(metric_name, reference).into_iter()), subject("b", runs(metric_name, other).into_iter())];
    let options = Options { alpha: 0.05, reference: 0, wanted: vec![wanted] };
    compare(&subjects, &options).rows.remove(0)
}

/// `centre` and a little that depends on the seed.
fn around(centre: f64, spread: f64) -> Vec<f64> {
    (0..30).map(|seed| centre + spread * (f64::from(seed * 7 % 30) / 29.0 - 0.5)).collect()
}

#[test]
fn a_policy_against_itself_is_identical_everywhere() {
    let measured = |name| subject(name, (1..=4).map(|seed| Measures::of_trace(&black_friday(seed))));
    let subjects = [measured("a"), measured("b")];
    let wanted = wanted(&subjects[0].runs);
    let comparison = compare(&subjects, &Options { alpha: 0.05, reference: 0, wanted });
    assert!(comparison.rows.len() > 8);
    for row in &comparison.rows {
        assert_eq!(row.cells[0].finding, Finding::Identical, "{}", row.title());
        assert!(row.better == Better::Neither || row.winners.len() == 2, "{}", row.title());
    }
    assert_eq!(comparison.wins_ties_losses("b"), (0, comparison.rows.len(), 0));
    assert!(comparison.warnings[0].contains("4 seeds are too few"));
}

#[test]
fn findings_follow_the_interval_the_margin_and_the_good_side() {
    for (metric, reference, other, expected) in [
        ("cost.total", around(100.0, 20.0), around(90.0, 18.0), Finding::Better),
        ("cost.total", around(100.0, 20.0), around(110.0, 22.0), Finding::Worse),
        ("availability", around(0.95, 0.01), around(0.97, 0.012), Finding::Better),
        ("nodes.hours", around(100.0, 20.0), around(100.2, 20.2), Finding::NoDifference),
        ("requests.total", around(100.0, 20.0), around(110.0, 25.0), Finding::Different),
    ] {
        let row = one_row(metric, &reference, &other);
        assert_eq!(row.cells[0].finding, expected, "{metric} {:?}", row.cells[0]);
        let winner: &[Str] = match expected {
            Finding::Better => &["b".into()],
            Finding::Worse => &["a".into()],
            Finding::Different => &[],
            _ => &["a".into(), "b".into()],
        };
        assert_eq!(row.winners, winner, "{metric}");
    }
    // Noise of which a direction cannot be told, and which is wider than the margin.
    let noise: Vec<f64> = (0..30).map(|seed| 100.0 + 20.0 * f64::from(seed * 11 % 30) / 29.0).collect();
    let shifted: Vec<f64> = (0..30).map(|seed| 100.5 + 20.0 * f64::from(seed * 17 % 30) / 29.0).collect();
    assert_eq!(one_row("cost.total", &noise, &shifted).cells[0].finding, Finding::Unclear);
}

#[test]
fn what_never_happens_ranks_worst_and_is_counted() {
    let mut other = around(100.0, 10.0);
    other[..8].fill(f64::INFINITY);
    let row = |reference: &[f64], other: &[f64]| {
        let fault = BTreeMap::from([("fault".into(), Measures::of_trace(&node_failure(1)).recoveries[0].cause.as_str().into())]);
        let mut wanted = Wanted::of(metric("recovery.total").unwrap(), "", fault.clone());
        wanted.stat = "".into();
        let with_filter = |values: &[f64]| {
            let mut runs = runs("recovery.total", values);
            runs.iter_mut().for_each(|run| {
                run.values.iter_mut().filter(|value| &*value.metric == "recovery.total").for_each(|value| value.filter = fault.clone())
            });
            runs
        };
        let subjects = [subject("a", with_filter(reference).into_iter()), subject("b", with_filter(other).into_iter())];
        compare(&subjects, &Options { alpha: 0.05, reference: 0, wanted: vec![wanted] }).rows.remove(0)
    };
    let worse = row(&around(100.0, 10.0), &other);
    assert_eq!((worse.cells[0].sample.never, worse.cells[0].pairs, worse.cells[0].finding), (8, 22, Finding::Worse));
    assert_eq!(worse.winners, ["a".into()] as [Str; 1]);
    let better = row(&other, &around(100.0, 10.0));
    assert_eq!((better.reference.never, better.cells[0].finding), (8, Finding::Better));
}

#[test]
fn a_comparison_is_told_in_a_table() {
    let shop = |name, slower: u64| {
        let measured = (1..=12).map(move |seed| {
            let mut run = Measures::of_trace(&black_friday(seed));
            let moved = slower as f64 * (1.0 + seed as f64 / 10.0);
            run.values.iter_mut().filter(|value| &*value.metric == "nodes.hours").for_each(|value| value.value -= moved);
            run.values.iter_mut().filter(|value| &*value.metric == "evictions").for_each(|value| value.value += moved);
            run.values.iter_mut().filter(|value| &*value.metric == "latency.p50").for_each(|value| value.value += moved * 1e-5);
            run
        });
        subject(name, measured)
    };
    let subjects = [shop("default", 0), shop("bin-pack", 1)];
    let wanted = wanted(&subjects[0].runs);
    let comparison = compare(&subjects, &Options { alpha: 0.05, reference: 0, wanted });
    insta::assert_snapshot!(comparison_text(&comparison, &TextOptions { utf8: true, ..TextOptions::default() }));
    let document: serde_json::Value = serde_json::from_str(&findings(&comparison)).unwrap();
    assert_eq!((&document["schemaVersion"], &document["reference"]), (&1.into(), &"default".into()));
}
