//! The documents of pipelines, as they are read.

use std::collections::BTreeMap;

use api::Str;

use super::*;
use crate::gate::{Baseline, Entry, Timeline, against};
use crate::render::TextOptions;
use crate::testing::{black_friday, node_failure};
use crate::{Measures, Run};

fn digests(of: &str) -> BTreeMap<u64, Str> {
    (1..=3).map(|seed| (seed, format!("{of}{seed}").into())).collect()
}

/// A shop that has become slower, one that is as it was, and one that was left out.
fn suite() -> Vec<Tested> {
    let shop: Vec<Measures> = (1..=3).map(|seed| Measures::of(&Run::new(&black_friday(seed)))).collect();
    let slower: Vec<Measures> = shop
        .iter()
        .map(|run| {
            let mut run = run.clone();
            run.values.iter_mut().filter(|value| &*value.metric == "latency.p50").for_each(|value| value.value *= 1.5);
            run
        })
        .collect();
    let night: Vec<Measures> = (1..=3).map(|seed| Measures::of(&Run::new(&node_failure(seed)))).collect();
    let mut first = Tested::of("scenarios/ci/shop.yaml", &shop[0].scenario, "default", slower.clone());
    first.against = Entry::of(&shop, &digests("a")).map(|entry| against(&entry, &slower, &digests("b")));
    first.timeline = Timeline::of(&black_friday(1));
    first.lines = (60..).take(first.verdict.expectations.len()).collect();
    first.page = Some("out/shop/report.html".into());
    let mut second = Tested::of("node-failure-2am", &night[0].scenario, "bin-pack", night.clone());
    second.against = Entry::of(&night, &digests("a")).map(|entry| against(&entry, &night, &digests("a")));
    let third = Tested::of("scenarios/ci/last.yaml", "last|one", "default", Vec::new());
    vec![first, second, third]
}

#[test]
fn a_pipeline_reads_what_is_wrong_first() {
    insta::assert_snapshot!(summary(&suite()));
}

#[test]
fn a_check_says_what_is_worse_by_how_much_and_how_sure_that_is() {
    let all = suite();
    insta::assert_snapshot!(check_text(&all[..2], &TextOptions { utf8: true, ..TextOptions::default() }));
    let document: serde_json::Value = serde_json::from_str(&check_document(&all)).unwrap();
    assert_eq!((&document["passed"], &document["scenarios"][1]["baseline"]["identical"]), (&false.into(), &true.into()));
}

#[test]
fn annotations_stand_at_the_expectations_they_are_about() {
    insta::assert_snapshot!(github_annotations(&tested_annotations(&suite())));
}

#[test]
fn the_junit_file_counts_what_failed_and_reads_back() {
    let all = suite();
    let text = junit(&all);
    assert_eq!(junit(&all), text);
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    let failed = all[0].verdict.failed + all[1].verdict.failed + all[0].against.as_ref().unwrap().worse();
    assert_eq!((report.test_suites.len(), report.failures), (3, failed));
    let cases: Vec<&str> = report.test_suites[0].test_cases.iter().map(|case| case.name.as_str()).collect();
    assert!(cases.contains(&"baseline: latency.p50") && cases[0] == "runs to its end", "{cases:?}");
    assert_eq!(report.test_suites[2].skipped, 1);
}

#[test]
fn a_baseline_is_shown_metric_by_metric() {
    let night: Vec<Measures> = (1..=3).map(|seed| Measures::of(&Run::new(&node_failure(seed)))).collect();
    let text = baseline_text(&Baseline::new(vec![Entry::of(&night, &digests("a")).unwrap()]));
    assert!(text.lines().any(|line| line.contains("availability") && line.contains("0.1pp")), "{text}");
}

#[test]
fn a_summary_that_would_be_refused_is_cut_between_its_parts() {
    let mut all = suite();
    let long = Tested { runs: all[0].runs.clone(), ..all[0].clone() };
    all.extend((0..2000).map(|_| long.clone()));
    let text = summary(&all);
    assert!(text.len() < 1_000_000, "{}", text.len());
    assert!(text.contains("more parts did not fit here"), "{}", &text[text.len() - 200..]);
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
}
