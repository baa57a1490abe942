//! How results stand against a baseline: identical traces first, then metric by metric.
//!
//! The same seeds on both sides, so differences are taken pair by pair, as in a comparison of policies. A metric is
//! worse when its mean is, by more than its margin, and either
//! - the paired test says so (Wilcoxon; Holm over the metrics in which any seed differs by more than the margin: those
//!   in which none does ask no question), or
//! - it is plain to see: every single seed is worse by more than the margin and, unless the scenario expects something
//!   of this very metric, the best of at least three seeds is worse than the worst one was. Tests need seeds; this is
//!   what few of them can show. Chance alone separates two times three values in one of twenty metrics, two times five
//!   in one of 252.
//!
//! Invariants: equal traces are never looked into; no metric without a good side is called better or worse; a metric
//! that is on one side only is named, and decides nothing.

use std::collections::BTreeMap;

use api::Str;
use serde::Serialize;

use super::baseline::{Entry, SavedMetric};
use crate::Measures;
use crate::compare::{Answer, FEW_SEEDS, Finding, Row, Wanted, answer, every, rows_of};
use crate::metrics::Better;
use crate::statistics::mean;

/// The chance of any false finding by test in a scenario.
const ALPHA: f64 = 0.05;

/// What became of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// To the bad side, by more than the margin.
    Worse,
    /// To the good side, by more than the margin.
    Better,
    /// By more than the margin, in a metric that has no good side.
    Different,
    /// Neither shown nor excluded.
    Unclear,
    /// Within the margin.
    NoDifference,
    /// The same number in every seed.
    Identical,
}

impl Change {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Different => "different",
            Self::Unclear => "unclear",
            Self::NoDifference => "no difference",
            Self::Identical => "identical",
        }
    }
}

/// One metric against its baseline.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What became of it.
    pub change: Change,
    /// The values of both sides; the baseline is the reference.
    #[serde(flatten)]
    pub row: Row,
}

/// A scenario against its baseline.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Against {
    /// Whether the traces are the same to the byte, so that nothing else was looked at.
    pub identical: bool,
    /// Whether the scenario itself is another than that of the baseline.
    pub scenario_changed: bool,
    /// Seeds that both sides have.
    pub seeds: Vec<u64>,
    /// Metrics, the worst first.
    pub standings: Vec<Standing>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

impl Against {
    fn count(&self, change: Change) -> usize {
        self.standings.iter().filter(|standing| standing.change == change).count()
    }
    /// How many metrics are worse.
    #[must_use]
    pub fn worse(&self) -> usize {
        self.count(Change::Worse)
    }
    /// Whether a seed's trace is another.
    #[must_use]
    pub const fn differs(&self) -> bool {
        !self.identical
    }

    /// In a line: `the same bytes as the baseline`, or `41 metrics compared: 2 worse, 39 identical`.
    #[must_use]
    pub fn conclusion(&self) -> String {
        if self.identical {
            return "the same bytes as the baseline".to_owned();
        }
        if self.seeds.is_empty() {
            return "no seed in common with the baseline, 0 metrics compared".to_owned();
        }
        let all = [Change::Worse, Change::Better, Change::Different, Change::Unclear, Change::NoDifference, Change::Identical];
        let counts: Vec<String> = all
            .into_iter()
            .filter(|change| self.count(*change) > 0)
            .map(|change| format!("{} {}", self.count(change), change.as_str()))
            .collect();
        format!("{} metrics compared: {}", self.standings.len(), counts.join(", "))
    }
}

/// Compares `runs`, whose traces have these digests, with their baseline.
#[must_use]
pub fn against(entry: &Entry, runs: &[Measures], digests: &BTreeMap<u64, Str>) -> Against {
    let seeds: Vec<u64> = entry.seeds.iter().copied().filter(|seed| runs.iter().any(|run| run.seed == *seed)).collect();
    let is_same = |seed: &u64| entry.seeds.binary_search(seed).is_ok_and(|place| digests.get(seed) == Some(&entry.trace_digests[place]));
    let identical = !runs.is_empty() && runs.iter().all(|run| is_same(&run.seed));
    let scenario_changed = runs.first().is_some_and(|run| run.scenario_digest != entry.scenario_digest);
    let mut notes = seed_notes(entry, runs, &seeds);
    if identical || seeds.is_empty() {
        return Against { identical, scenario_changed, seeds, standings: Vec::new(), notes };
    }
    let (questions, unmatched) = questions(entry, runs, &seeds);
    notes.extend(unmatched);
    if seeds.len() < FEW_SEEDS {
        notes.push(format!(
            "{} seed{} are few: a difference that is not plain to see stays unclear; take at least {FEW_SEEDS}",
            seeds.len(),
            if seeds.len() == 1 { "" } else { "s" }
        ));
    }
    let mut standings = standings(&questions);
    standings.sort_by_key(|standing| standing.change);
    Against { identical, scenario_changed, seeds, standings, notes }
}

fn seed_notes(entry: &Entry, runs: &[Measures], common: &[u64]) -> Vec<String> {
    let list = |seeds: Vec<u64>, whose: &str| {
        let shown: Vec<String> = seeds.iter().take(6).map(u64::to_string).collect();
        let more = if seeds.len() > 6 { ", …" } else { "" };
        (!seeds.is_empty()).then(|| format!("seeds {}{more} are in {whose} only and are left out", shown.join(", ")))
    };
    let here = runs.iter().map(|run| run.seed).filter(|seed| !common.contains(seed)).collect();
    let there = entry.seeds.iter().copied().filter(|seed| !common.contains(seed)).collect();
    list(here, "these results").into_iter().chain(list(there, "the baseline")).collect()
}

/// A metric with the answers of both sides: the baseline's first.
type Question = (Wanted, Vec<Vec<Answer>>);

/// Metrics that both sides have, and what is to be said of the others.
fn questions(entry: &Entry, runs: &[Measures], seeds: &[u64]) -> (Vec<Question>, Vec<String>) {
    let mut asked = every(runs);
    let (mut questions, mut gone, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for saved in &entry.metrics {
        let Some(mut wanted) = saved.wanted() else {
            unknown.push(saved.metric.to_string());
            continue;
        };
        // What the scenario asks now knows where its answer is.
        if let Some(place) = asked.iter().position(|asked| saved.is_of(asked)) {
            let margin = std::mem::replace(&mut wanted, asked.remove(place)).margin;
            wanted.margin = margin;
        }
        let then: Vec<Answer> = seeds.iter().map(|seed| saved_answer(entry, saved, *seed)).collect();
        let now: Vec<Answer> =
            seeds.iter().map(|seed| runs.iter().find(|run| run.seed == *seed).map_or(Answer::NoData, |run| answer(run, &wanted))).collect();
        if now.iter().all(|answer| *answer == Answer::NoData) && then.iter().any(|answer| *answer != Answer::NoData) {
            gone.push(wanted.title());
        } else {
            questions.push((wanted, vec![then, now]));
        }
    }
    let has_data = |wanted: &Wanted| runs.iter().any(|run| answer(run, wanted) != Answer::NoData);
    let new: Vec<String> = asked.iter().filter(|wanted| has_data(wanted)).map(Wanted::title).collect();
    let note = |names: Vec<String>, what: &str| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    let notes = [
        note(gone, "in the baseline, without data now"),
        note(new, "not in the baseline"),
        note(unknown, "in the baseline, and no metric any more"),
    ];
    (questions, notes.into_iter().flatten().collect())
}

fn saved_answer(entry: &Entry, saved: &SavedMetric, seed: u64) -> Answer {
    entry.seeds.binary_search(&seed).map_or(Answer::NoData, |place| saved.values[place].into())
}

fn standings(questions: &[Question]) -> Vec<Standing> {
    let subjects: [Str; 2] = ["baseline".into(), "now".into()];
    // Metrics in which no seed differs by more than the margin are no questions: which these are does not depend on
    // the side that differences are on, so the test of the others stays what it is.
    let (asking, quiet): (Vec<&Question>, Vec<&Question>) = questions.iter().partition(|question| asks(question));
    tested_together(&subjects, &asking).chain(tested_together(&subjects, &quiet)).collect()
}

/// The standings of metrics that are tested together.
fn tested_together(subjects: &[Str], questions: &[&Question]) -> impl Iterator<Item = Standing> {
    let with_data = |question: &&&Question| question.1.iter().flatten().any(|answer| *answer != Answer::NoData);
    let questions: Vec<Question> = questions.iter().filter(with_data).map(|question| (*question).clone()).collect();
    let rows = rows_of(subjects, &questions, ALPHA);
    rows.into_iter().zip(questions).map(|(row, (wanted, answers))| {
        let change = change(&row, &answers[0], &answers[1], wanted.is_expected());
        Standing { change, row }
    })
}

fn asks((wanted, answers): &Question) -> bool {
    let margin = margin_of(wanted, &answers[0]);
    answers[0].iter().zip(&answers[1]).any(|pair| match pair {
        (Answer::Value(then), Answer::Value(now)) => (now - then).abs() > margin,
        (then, now) => then != now,
    })
}

fn margin_of(wanted: &Wanted, then: &[Answer]) -> f64 {
    let values: Vec<f64> = then.iter().filter_map(|answer| if let Answer::Value(value) = answer { Some(*value) } else { None }).collect();
    wanted.margin_of(mean(&values)).0
}

/// What a row says, under the rule above.
fn change(row: &Row, then: &[Answer], now: &[Answer], is_expected: bool) -> Change {
    let worse: Vec<Option<f64>> = then.iter().zip(now).map(|(then, now)| how_much_worse(*then, *now, row.better)).collect();
    let every = |sign: f64| worse.iter().all(|worse| worse.is_some_and(|worse| sign * worse > row.margin));
    let apart = |lower: &[Answer], upper: &[Answer]| worse.len() >= FEWEST_APART && are_apart(lower, upper, row.better);
    let plainly = |sign: f64| every(sign) && (is_expected || if sign > 0.0 { apart(then, now) } else { apart(now, then) });
    // Where something never happened there is no mean, and the test alone decides.
    let known: Vec<f64> = worse.iter().copied().flatten().collect();
    let by_mean = |sign: f64| known.iter().any(|worse| worse.is_infinite()) || sign * mean(&known) > row.margin;
    match row.cells.first().map(|cell| cell.finding) {
        Some(Finding::Identical) => Change::Identical,
        Some(Finding::NoDifference) => Change::NoDifference,
        Some(Finding::Worse) if by_mean(1.0) => Change::Worse,
        Some(Finding::Better) if by_mean(-1.0) => Change::Better,
        Some(Finding::Different) if by_mean(1.0) || by_mean(-1.0) => Change::Different,
        _ if row.better == Better::Neither && (plainly(1.0) || plainly(-1.0)) => Change::Different,
        _ if plainly(1.0) => Change::Worse,
        _ if plainly(-1.0) => Change::Better,
        _ => Change::Unclear,
    }
}

/// With fewer seeds, values stand apart by chance too often.
const FEWEST_APART: usize = 3;

/// Whether the worst of `good` is better than the best of `bad`.
fn are_apart(good: &[Answer], bad: &[Answer], better: Better) -> bool {
    let badness = |answer: &Answer| match answer {
        Answer::Value(value) if better == Better::Higher => -value,
        Answer::Value(value) => *value,
        Answer::Never | Answer::NoData => f64::INFINITY,
    };
    let worst = good.iter().map(badness).fold(f64::NEG_INFINITY, f64::max);
    bad.iter().map(badness).all(|bad| bad > worst)
}

/// By how much a seed is worse than it was; less than zero when it is better, and nothing when that cannot be told.
fn how_much_worse(then: Answer, now: Answer, better: Better) -> Option<f64> {
    match (then, now) {
        (Answer::Value(then), Answer::Value(now)) if better == Better::Higher => Some(then - now),
        (Answer::Value(then), Answer::Value(now)) => Some(now - then),
        (Answer::Value(_), Answer::Never) => Some(f64::INFINITY),
        (Answer::Never, Answer::Value(_)) => Some(f64::NEG_INFINITY),
        (Answer::Never, Answer::Never) => Some(0.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::metric;
    use proptest::prelude::*;

    /// What becomes of `rollout.duration` (1 %, lower is better), of which the scenario expects nothing, among `others`
    /// metrics that differ by chance.
    fn became(then: &[f64], now: &[f64], others: usize) -> Change {
        let answers = |values: &[f64]| -> Vec<Answer> {
            values.iter().map(|value| if value.is_finite() { Answer::Value(*value) } else { Answer::Never }).collect()
        };
        let wanted = |name: &str| Wanted::of(metric(name).unwrap(), "", BTreeMap::new());
        let mut questions = vec![(wanted("rollout.duration"), vec![answers(then), answers(now)])];
        let noisy: Vec<f64> = then.iter().enumerate().map(|(index, value)| value * if index % 2 == 0 { 1.1 } else { 0.9 }).collect();
        questions.extend((0..others).map(|_| (wanted("evictions"), vec![answers(then), answers(&noisy)])));
        standings(&questions).into_iter().find(|standing| &*standing.row.metric == "rollout.duration").unwrap().change
    }

    fn plus(values: &[f64], by: &[f64]) -> Vec<f64> {
        values.iter().zip(by.iter().cycle()).map(|(value, by)| value + by).collect()
    }

    #[test]
    fn a_metric_is_worse_when_the_test_says_so_or_it_is_plain_to_see() {
        let ten: Vec<f64> = (0..10).map(|seed| 100.0 + f64::from(seed)).collect();
        let thirty: Vec<f64> = (0..30).map(|seed| 100.0 + f64::from(seed)).collect();
        for (then, by, change) in [
            (&ten, &[0.0][..], Change::Identical),
            (&ten, &[0.5, -0.4, 0.3], Change::NoDifference),
            (&ten, &[30.0, 25.0, 35.0], Change::Worse),
            (&ten, &[-30.0, -25.0], Change::Better),
            (&ten, &[30.0, -25.0], Change::Unclear),
            // Nine of ten are no unanimity, and no test among twenty metrics finds it; of thirty it does.
            (&ten, &[20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, -5.0], Change::Unclear),
            (&thirty, &[20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, -5.0], Change::Worse),
            // Shown beyond doubt, and too little to matter.
            (&thirty, &[0.7, 1.7, 0.9], Change::Unclear),
            // Few seeds show what is plain, and one or two show nothing by themselves.
            (&vec![100.0, 104.0, 108.0], &[30.0], Change::Worse),
            (&vec![100.0, 104.0, 108.0], &[-30.0], Change::Better),
            (&vec![100.0, 104.0, 108.0], &[5.0], Change::Unclear),
            (&vec![100.0, 104.0, 108.0], &[30.0, 30.0, 0.5], Change::Unclear),
            (&vec![100.0, 104.0], &[30.0], Change::Unclear),
        ] {
            assert_eq!(became(then, &plus(then, by), 20), change, "{by:?} of {}", then.len());
        }
    }

    #[test]
    fn of_what_is_expected_every_seed_counts_however_few() {
        let questions = [(Wanted::of(metric("rollout.duration").unwrap(), "", BTreeMap::new()), vec![vec![Answer::Value(100.0)]; 2])];
        let row = &standings(&questions)[0].row;
        let unclear = Row { cells: vec![crate::compare::Cell { finding: Finding::Unclear, ..row.cells[0].clone() }], ..row.clone() };
        for (now, is_expected, change_is) in [
            (Answer::Value(130.0), true, Change::Worse),
            (Answer::Value(130.0), false, Change::Unclear),
            (Answer::Value(70.0), true, Change::Better),
            (Answer::Value(100.5), true, Change::Unclear),
            (Answer::Never, true, Change::Worse),
            (Answer::NoData, true, Change::Unclear),
        ] {
            assert_eq!(change(&unclear, &[Answer::Value(100.0)], &[now], is_expected), change_is, "{now:?}");
        }
    }

    #[test]
    fn what_never_happens_any_more_is_worse_than_any_number() {
        let then = [100.0; 10];
        assert_eq!(became(&then, &[f64::INFINITY; 10], 3), Change::Worse);
        assert_eq!(became(&[f64::INFINITY; 10], &then, 3), Change::Better);
        assert_eq!(became(&[f64::INFINITY; 3], &[f64::INFINITY; 3], 3), Change::Identical);
        let mut once = then;
        once[4] = f64::INFINITY;
        assert_eq!(became(&then, &once, 3), Change::Unclear);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn turning_both_sides_round_turns_the_finding_round(now in proptest::collection::vec(80.0f64..120.0, 12)) {
            let then = [100.0; 12];
            let mirrored: Vec<f64> = now.iter().map(|value| 200.0 - value).collect();
            let turned = match became(&then, &now, 0) {
                Change::Worse => Change::Better,
                Change::Better => Change::Worse,
                same => same,
            };
            prop_assert_eq!(became(&then, &mirrored, 0), turned);
        }
    }
}
