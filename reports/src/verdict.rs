//! From answers and expectations to pass, fail or inconclusive.
//!
//! One value per seed; `over` says which of them (or what of them) is compared: the worst, unless the
//! expectation says mean, median or p95.
//!
//! Invariants:
//! - The order of the seeds changes nothing.
//! - What did not happen and should have (no recovery within the run) fails. What has no data is inconclusive:
//!   it neither passes nor is called a failure, and the whole verdict is not a pass.
//! - Only severity `error` decides the verdict.
//!
//! Not here: exit codes (`cli`), and the comparison of policies.

use std::collections::BTreeMap;

use api::{SimDuration, Str};
use serde::Serialize;

use crate::metrics::{Asked, Better, Measures, Unit, metric};
use crate::series::stat_of;

/// How something came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As expected.
    Pass,
    /// Not as expected.
    Fail,
    /// No data to tell.
    Inconclusive,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One seed's value.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SeedValue {
    /// Seed.
    pub seed: u64,
    /// Its value, if there is one.
    pub value: Option<f64>,
    /// It should have happened and did not.
    pub never: bool,
}

/// One expectation, judged.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// What the user calls it.
    pub name: Str,
    /// Metric.
    pub metric: Str,
    /// `where`.
    #[serde(rename = "where")]
    pub filter: BTreeMap<Str, Str>,
    /// Window; zero for the whole run.
    pub window: SimDuration,
    /// Statistic as asked for.
    pub stat: Str,
    /// Across seeds.
    pub over: Str,
    /// Comparison.
    pub op: Str,
    /// What is expected, as written.
    pub expected: Str,
    /// What is expected, in the metric's unit.
    pub threshold: f64,
    /// error, warning or info.
    pub severity: Str,
    /// Pass, fail or inconclusive.
    pub outcome: Outcome,
    /// `outcome` is pass.
    pub passed: bool,
    /// The value compared.
    pub value: Option<f64>,
    /// The same, as people read it.
    pub value_text: String,
    /// Smallest and largest over seeds.
    pub range: Option<(f64, f64)>,
    /// The seed that is furthest on the wrong side.
    pub worst_seed: Option<u64>,
    /// Every seed, ascending.
    pub seeds: Vec<SeedValue>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Judged {
    /// The metric's unit.
    #[must_use]
    pub fn unit(&self) -> Unit {
        metric(&self.metric).map_or(Unit::Count, |info| info.unit)
    }

    /// The expectation without its threshold: `availability(service=shop, window=5m).min`.
    #[must_use]
    pub fn formula(&self) -> String {
        let mut filters: Vec<String> = self.filter.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if !self.window.is_zero() {
            filters.push(format!("window={}", short(self.window)));
        }
        let filters = if filters.is_empty() { String::new() } else { format!("({})", filters.join(", ")) };
        let stat = if self.stat.is_empty() { String::new() } else { format!(".{}", self.stat) };
        format!("{}{filters}{stat}", self.metric)
    }

    /// The interval over seeds, when there are several: `[99.58% .. 99.80%]`.
    #[must_use]
    pub fn interval(&self) -> String {
        match self.range {
            Some((low, high)) if self.seeds.len() > 1 => {
                let (low, high) = (self.unit().format(low), self.unit().format(high));
                if low == high { "every seed".to_owned() } else { format!("[{low} .. {high}]") }
            }
            _ => String::new(),
        }
    }
}

/// `5m` rather than `5m00s`.
pub(crate) fn short(span: SimDuration) -> String {
    let text = span.to_string();
    let text = text.strip_suffix("00s").filter(|rest| rest.ends_with('m')).unwrap_or(&text);
    text.strip_suffix("00m").filter(|rest| rest.ends_with('h')).unwrap_or(text).to_owned()
}

/// The verdict over all expectations and seeds.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether every expectation of severity `error` passed.
    pub passed: bool,
    /// Pass, fail, or inconclusive.
    pub outcome: Outcome,
    /// How many expectations of severity `error` failed.
    pub failed: usize,
    /// How many expectations of severity `error` had no data.
    pub inconclusive: usize,
    /// The seed that speaks for all: the worst of the first failed expectation, else the worst of the first one.
    pub worst_seed: Option<u64>,
    /// All expectations, in the scenario's order.
    pub expectations: Vec<Judged>,
}

/// Judges the runs of one scenario and one policy, in any order.
#[must_use]
pub fn judge(runs: &[Measures]) -> Verdict {
    let mut runs: Vec<&Measures> = runs.iter().collect();
    runs.sort_by_key(|run| run.seed);
    let questions = runs.first().map_or(0, |run| run.asked.len());
    let expectations: Vec<Judged> = (0..questions).map(|index| judge_one(&runs, index)).collect();
    let decisive = |outcome| expectations.iter().filter(|judged| &*judged.severity == "error" && judged.outcome == outcome).count();
    let (failed, inconclusive) = (decisive(Outcome::Fail), decisive(Outcome::Inconclusive));
    let outcome = match (failed, inconclusive) {
        (0, 0) => Outcome::Pass,
        (0, _) => Outcome::Inconclusive,
        _ => Outcome::Fail,
    };
    let first_failed = expectations.iter().find(|judged| judged.outcome == Outcome::Fail);
    let speaks = first_failed.or(expectations.first()).and_then(|judged| judged.worst_seed);
    Verdict {
        passed: outcome == Outcome::Pass,
        outcome,
        failed,
        inconclusive,
        worst_seed: speaks.or(runs.first().map(|run| run.seed)),
        expectations,
    }
}

fn judge_one(runs: &[&Measures], index: usize) -> Judged {
    let asked: Vec<(u64, &Asked)> = runs.iter().filter_map(|run| Some((run.seed, run.asked.get(index)?))).collect();
    let question = &asked[0].1.question;
    let seeds: Vec<SeedValue> =
        asked.iter().map(|(seed, asked)| SeedValue { seed: *seed, value: asked.value, never: asked.never }).collect();
    let values: Vec<f64> = seeds.iter().filter_map(|seed| seed.value).collect();
    let never = seeds.iter().any(|seed| seed.never);
    // One seed without data among several makes a mean of the others a lie; so nothing is said.
    let complete = values.len() == seeds.len();
    let value = if complete { across(&values, question) } else { None };
    let unit = metric(&question.metric).map_or(Unit::Count, |info| info.unit);
    let outcome = match value {
        _ if never => Outcome::Fail,
        None => Outcome::Inconclusive,
        Some(value) if holds(value, &question.op, question.value) => Outcome::Pass,
        Some(_) => Outcome::Fail,
    };
    let note = asked.iter().map(|(_, asked)| &asked.note).find(|note| !note.is_empty()).cloned().unwrap_or_default();
    let value_text = match value {
        _ if never => "not within the run".to_owned(),
        None => "no data".to_owned(),
        Some(value) => unit.format(value),
    };
    let extreme = |worse: fn(f64, f64) -> f64| values.iter().copied().reduce(worse);
    Judged {
        name: question.name.clone(),
        metric: question.metric.clone(),
        filter: question.filter.clone(),
        window: question.window,
        stat: question.stat.clone(),
        over: question.over.clone(),
        op: question.op.clone(),
        expected: question.value_text.clone(),
        threshold: question.value,
        severity: question.severity.clone(),
        outcome,
        passed: outcome == Outcome::Pass,
        value,
        value_text,
        range: extreme(f64::min).zip(extreme(f64::max)),
        worst_seed: worst_seed(&seeds, question),
        seeds,
        note,
    }
}

/// One value out of those of all seeds.
fn across(values: &[f64], question: &trace::Question) -> Option<f64> {
    match &*question.over {
        "mean" => stat_of("mean", values),
        "median" => stat_of("median", values),
        "p95" => stat_of("p95", values),
        "seeds" if !question.stat.is_empty() => stat_of(&question.stat, values),
        _ => values.iter().copied().max_by(|a, b| wrongness(*a, question).total_cmp(&wrongness(*b, question))),
    }
}

/// Larger is worse, as the expectation sees it.
fn wrongness(value: f64, question: &trace::Question) -> f64 {
    match &*question.op {
        ">=" | ">" => -value,
        "<=" | "<" => value,
        "==" => (value - question.value).abs(),
        "!=" => -(value - question.value).abs(),
        _ => match metric(&question.metric).map(|info| info.better) {
            Some(Better::Higher) => -value,
            _ => value,
        },
    }
}

fn worst_seed(seeds: &[SeedValue], question: &trace::Question) -> Option<u64> {
    let badness = |seed: &SeedValue| match seed.value {
        _ if seed.never => f64::INFINITY,
        Some(value) => wrongness(value, question),
        None => f64::NEG_INFINITY,
    };
    // Of equals the first: seeds are ascending.
    seeds.iter().rev().max_by(|a, b| badness(a).total_cmp(&badness(b))).map(|seed| seed.seed)
}

fn holds(value: f64, op: &str, threshold: f64) -> bool {
    match op {
        ">=" => value >= threshold,
        ">" => value > threshold,
        "<=" => value <= threshold,
        "<" => value < threshold,
        "==" => value == threshold,
        "!=" => value != threshold,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{black_friday, node_failure, question};
    use proptest::prelude::*;
    use trace::{Question, Trace};

    /// Runs that answered `values`, one per seed, to one question. `None`: no data; infinity: never.
    fn answered(question: &Question, values: &[Option<f64>]) -> Vec<Measures> {
        let mut trace: Trace = node_failure(1);
        trace.records.truncate(0);
        trace.header.questions = vec![question.clone()];
        let runs = values.iter().enumerate().map(|(index, value)| {
            trace.header.seed = index as u64 + 1;
            let mut run = Measures::of_trace(&trace);
            run.asked[0].never = *value == Some(f64::INFINITY);
            run.asked[0].value = value.filter(|value| value.is_finite());
            run
        });
        runs.collect()
    }

    #[test]
    fn the_worst_seed_decides_unless_the_expectation_says_otherwise() {
        let mut asked = question("pods.pending", &[], "", "<=", 10.0, "10");
        let values = [Some(4.0), Some(12.0), Some(5.0), Some(6.0)];
        for (over, value, outcome) in [
            ("", 12.0, Outcome::Fail),
            ("worst", 12.0, Outcome::Fail),
            ("mean", 6.75, Outcome::Pass),
            ("median", 5.0, Outcome::Pass),
            ("p95", 12.0, Outcome::Fail),
        ] {
            asked.over = over.into();
            let judged = judge(&answered(&asked, &values)).expectations.remove(0);
            assert_eq!((judged.value, judged.outcome, judged.worst_seed), (Some(value), outcome, Some(2)), "{over}");
            assert_eq!(judged.interval(), "[4 .. 12]");
        }
        // `stat: p50, over: seeds` says it the other way round.
        (asked.over, asked.stat) = ("seeds".into(), "p50".into());
        assert_eq!(judge(&answered(&asked, &values)).expectations[0].value, Some(5.0));
    }

    #[test]
    fn what_has_no_data_is_neither_passed_nor_failed() {
        let asked = question("latency.p99", &[], "", "<", 0.4, "400ms");
        let verdict = judge(&answered(&asked, &[Some(0.1), None]));
        assert_eq!((verdict.outcome, verdict.passed, verdict.inconclusive, verdict.failed), (Outcome::Inconclusive, false, 1, 0));
        let json = serde_json::to_value(judge(&answered(&asked, &[Some(0.1)]))).unwrap();
        assert_eq!(json["passed"], true);
    }

    #[test]
    fn what_never_happened_fails_whatever_the_others_did() {
        let asked = question("recovery.total", &[], "", "<=", 100.0, "100s");
        let verdict = judge(&answered(&asked, &[Some(10.0), Some(f64::INFINITY), Some(11.0)]));
        let judged = &verdict.expectations[0];
        assert_eq!((verdict.outcome, judged.worst_seed, &*judged.value_text), (Outcome::Fail, Some(2), "not within the run"));
    }

    #[test]
    fn warnings_and_remarks_do_not_fail_a_run() {
        let mut asked = question("pods.pending", &[], "", "<=", 1.0, "1");
        for severity in ["warning", "info"] {
            asked.severity = severity.into();
            let verdict = judge(&answered(&asked, &[Some(5.0)]));
            assert_eq!((verdict.passed, verdict.expectations[0].outcome), (true, Outcome::Fail), "{severity}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_seeds_changes_nothing(order in Just((0..4).collect::<Vec<usize>>()).prop_shuffle()) {
            // Equal seeds give equal runs; four small ones are enough to shuffle.
            static RUNS: std::sync::OnceLock<Vec<Measures>> = std::sync::OnceLock::new();
            let runs = RUNS.get_or_init(|| (1..=4).map(|seed| Measures::of_trace(&node_failure(seed))).collect());
            let shuffled: Vec<Measures> = order.iter().map(|index| runs[*index].clone()).collect();
            prop_assert_eq!(judge(runs), judge(&shuffled));
            let options = crate::render::TextOptions::default();
            prop_assert_eq!(crate::render::text(runs, &judge(runs), &options), crate::render::text(&shuffled, &judge(&shuffled), &options));
        }
    }

    #[test]
    fn a_run_of_a_shop_on_a_bad_day_is_told_in_a_screenful() {
        let runs: Vec<Measures> = (1..=3).map(|seed| Measures::of_trace(&black_friday(seed))).collect();
        let options =
            crate::render::TextOptions { utf8: true, wall: Some("6.1 s"), report: Some("out/black-friday-40x/report.html"), colour: false };
        insta::assert_snapshot!(crate::render::text(&runs, &judge(&runs), &options));
    }
}
