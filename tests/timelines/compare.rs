//! A simulated story held against recorded ones: what must be equal, and within what.
//!
//! Chance is in both: a recording is one outcome, and so is every seed. A fact holds when some seed gives what
//! the recording, or another recording of the same group, has. Every tolerance is a row of [`TOLERANCES`], with
//! the sentence of FORMAT.md it comes from.

use std::collections::{BTreeMap, BTreeSet};

use crate::story::{Path, Story};

/// What a number may differ by.
pub(crate) struct Tolerance {
    /// Facts whose names hold all of these words; the first row that fits a fact is its.
    words: &'static [&'static str],
    /// As much as this.
    within: f64,
    /// FORMAT.md says so.
    #[expect(dead_code, reason = "the reason is for readers")]
    because: &'static str,
}

const fn row(words: &'static [&'static str], within: f64, because: &'static str) -> Tolerance {
    Tolerance { words, within, because }
}

/// From special to general. Counts of things that a clock makes are times, too.
const TOLERANCES: &[Tolerance] = &[
    row(
        &["Events told again (kubelet)"],
        8.0,
        "readiness probe phase; CrashLoopBackOff restarts (back-off + 0..~15-20 s until the next pod sync)",
    ),
    row(&["Events told again (deployment-controller)"], 8.0, "the grouping itself varies between runs"),
    row(
        &["Events told again (replicaset-controller)"],
        5.0,
        "request -> watch event 5-20 ms: a refused ReplicaSet asks again with the news it hears",
    ),
    row(&["Events told again (controllermanager)"], 1.0, "+-0.3 s on chains of controller steps"),
    row(&["Events told again (default-scheduler)"], 2.0, "other namespaces' nodes and pods make the scheduler look again"),
    row(&["Unhealthy", "objects"], 1000.0, "readiness probe phase (first probe at once, later every periodSeconds ...)"),
    row(&["ScalingReplicaSet", "objects"], 1.0, "the grouping itself varies between runs"),
    row(&["NoPods"], 1.0, "+-0.3 s on chains of controller steps"),
    row(&["created to scheduled"], 0.3, "+-0.3 s on chains of controller steps"),
    row(&["scheduled to running"], 0.3, "+-0.3 s on chains of controller steps"),
    row(&["running to ready"], 1.0, "ready comes 0..1 s after the readiness delay"),
    row(&["had not answered"], 40.0, "reconnect of a partitioned kubelet (client back-off up to 30 s)"),
    row(&["deletion to removal"], 1.2, "removal of a deleted pod 0.05..1.2 s after its container exit"),
    row(&["Node/", "True:KubeletReady"], 40.0, "reconnect of a partitioned kubelet (client back-off up to 30 s)"),
    row(&["Node/", "False:KubeletHas"], 40.0, "reconnect of a partitioned kubelet (client back-off up to 30 s)"),
    row(&["Node/", "taints", "change"], 40.0, "reconnect of a partitioned kubelet (client back-off up to 30 s)"),
    row(&["Node/", "Ready"], 16.0, "lease renewal phase 0..10 s; node monitor phase 0..5 s"),
    row(&["Node/", "Pressure"], 16.0, "lease renewal phase 0..10 s; node monitor phase 0..5 s"),
    row(&["Node/", "taints"], 16.0, "lease renewal phase 0..10 s; node monitor phase 0..5 s"),
    row(&["status.terminating"], 3.0, "the grouping itself varies between runs"),
    row(&["status.ready", "most"], 3.0, "group pods that became available between two syncs"),
    row(&["status.available", "most"], 3.0, "group pods that became available between two syncs"),
    row(&["status.", "least"], 1.0, "a sum of two statuses written at slightly different times ... may read one too many"),
    row(&["status.", "most"], 1.0, "a sum of two statuses written at slightly different times ... may read one too many"),
    row(&["change"], 1.3, "+-0.3 s on chains of controller steps and +-1 s where a one-second clock is involved"),
    row(&["deleted, after"], 1.3, "+-0.3 s on chains of controller steps and +-1 s where a one-second clock is involved"),
    row(&[], 0.0, "counts and orders hold"),
];

/// What runs without scheduling priority add: "add up to several seconds to every latency".
const CONTENTION_SECONDS: f64 = 5.0;

/// How fast the rig was when it recorded.
pub(crate) struct Rig {
    /// It ran with scheduling priority.
    pub(crate) has_priority: bool,
    /// "This run's ReplicaSets had to wait": so long at most.
    pub(crate) waited_s: f64,
}

impl Rig {
    /// What it adds to a latency.
    fn slowness_s(&self) -> f64 {
        self.waited_s + if self.has_priority { 0.0 } else { CONTENTION_SECONDS }
    }
}

/// A state that holds for less than this may go unseen: the tolerance of a chain of steps, of a one-second clock,
/// and (last) of a rig under contention.
const UNSEEN: &[f64] = &[0.0, 0.05, 0.3, 1.3, CONTENTION_SECONDS];

/// Which facts are times.
fn is_time(fact: &str) -> bool {
    ["created to", "scheduled to", "running to", "deletion to", "change", "deleted, after"].iter().any(|word| fact.contains(word))
}

fn tolerance(fact: &str) -> f64 {
    let fits = |row: &&Tolerance| row.words.iter().all(|word| fact.contains(word));
    TOLERANCES.iter().find(fits).map_or(0.0, |row| row.within)
}

/// One fact that does not hold.
pub(crate) struct Difference {
    pub(crate) fact: String,
    pub(crate) recorded: String,
    pub(crate) simulated: String,
}

/// A number of both sides, for the table.
pub(crate) struct Duration {
    pub(crate) fact: String,
    pub(crate) recorded: (f64, f64),
    pub(crate) simulated: (f64, f64),
}

/// What of `group` (the recording first) no seed's story gives.
pub(crate) fn differences(group: &[&Story], seeds: &[Story], rig: &Rig) -> Vec<Difference> {
    let mut found = Vec::new();
    exact(group, seeds, &mut found);
    paths(group, seeds, rig.has_priority, &mut found);
    numbers(group, seeds, rig, &mut found);
    found
}

fn keys<'a, T>(stories: impl Iterator<Item = &'a BTreeMap<String, T>>) -> BTreeSet<&'a String>
where
    T: 'a,
{
    stories.flat_map(BTreeMap::keys).collect()
}

fn exact(group: &[&Story], seeds: &[Story], found: &mut Vec<Difference>) {
    for fact in keys([&group[0].facts].into_iter().chain(seeds.iter().map(|story| &story.facts))) {
        let recorded: BTreeSet<Option<&String>> = group.iter().map(|story| story.facts.get(fact)).collect();
        if !seeds.iter().any(|story| recorded.contains(&story.facts.get(fact))) {
            let show = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".to_owned());
            let (recorded, simulated) = (show(group[0].facts.get(fact)), show(seeds[0].facts.get(fact)));
            found.push(Difference { fact: fact.clone(), recorded, simulated });
        }
    }
}

/// The path without states that held for less than `unseen`.
fn seen(path: &Path, unseen: f64) -> Vec<&str> {
    let mut states: Vec<&str> = Vec::new();
    for (place, (state, held)) in path.iter().enumerate() {
        let is_last = place + 1 == path.len();
        if (*held >= unseen || is_last) && states.last() != Some(&state.as_str()) {
            states.push(state);
        }
    }
    states
}

/// How many objects went which way.
fn ways(paths: Option<&Vec<Path>>, unseen: f64) -> BTreeMap<String, usize> {
    let mut ways = BTreeMap::new();
    for path in paths.into_iter().flatten() {
        let states = seen(path, unseen);
        // What nobody ever set is as good as absent.
        if states.iter().any(|state| *state != "-") {
            *ways.entry(states.join(" > ")).or_insert(0) += 1;
        }
    }
    ways
}

/// For how long a state may go unseen in this group.
fn unseen(has_priority: bool) -> &'static [f64] {
    if has_priority { &UNSEEN[..UNSEEN.len() - 1] } else { UNSEEN }
}

fn are_alike(a: Option<&Vec<Path>>, b: Option<&Vec<Path>>, has_priority: bool) -> bool {
    unseen(has_priority).iter().any(|of_a| {
        let ways_of_a = ways(a, *of_a);
        unseen(has_priority).iter().any(|of_b| ways(b, *of_b) == ways_of_a)
    })
}

/// Each way of these objects is one that some recording of the group has, and there are as many of them.
fn are_among(group: &[&Story], fact: &str, ours: Option<&Vec<Path>>, has_priority: bool) -> bool {
    let known =
        |unseen: f64| -> BTreeSet<String> { group.iter().flat_map(|story| ways(story.paths.get(fact), unseen).into_keys()).collect() };
    let total = |paths: Option<&Vec<Path>>| paths.map_or(0, Vec::len);
    group.iter().any(|story| total(story.paths.get(fact)) == total(ours))
        && unseen(has_priority).iter().any(|of_ours| {
            let ours = ways(ours, *of_ours);
            unseen(has_priority).iter().any(|unseen| {
                let known = known(*unseen);
                ours.keys().all(|way| known.contains(way))
            })
        })
}

fn paths(group: &[&Story], seeds: &[Story], has_priority: bool, found: &mut Vec<Difference>) {
    for fact in keys([&group[0].paths].into_iter().chain(seeds.iter().map(|story| &story.paths))) {
        let holds = |story: &Story| {
            let ours = story.paths.get(fact);
            group.iter().any(|recorded| are_alike(recorded.paths.get(fact), ours, has_priority))
                || are_among(group, fact, ours, has_priority)
        };
        if !seeds.iter().any(holds) {
            let show = |paths: Option<&Vec<Path>>| {
                let ways: Vec<String> = ways(paths, 0.05).into_iter().map(|(way, count)| format!("{count} x {way}")).collect();
                if ways.is_empty() { "nothing".to_owned() } else { ways.join("; ") }
            };
            found.push(Difference {
                fact: fact.clone(),
                recorded: show(group[0].paths.get(fact)),
                simulated: show(seeds[0].paths.get(fact)),
            });
        }
    }
}

fn range<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)))
}

/// The ranges of a number on both sides; `None` when one side does not have it.
fn ranges(fact: &str, group: &[&Story], seeds: &[Story]) -> Option<Duration> {
    let recorded = range(group.iter().filter_map(|story| story.numbers.get(fact)).flatten());
    let simulated = range(seeds.iter().filter_map(|story| story.numbers.get(fact)).flatten());
    (recorded.0.is_finite() && simulated.0.is_finite()).then(|| Duration { fact: fact.to_owned(), recorded, simulated })
}

fn numbers(group: &[&Story], seeds: &[Story], rig: &Rig, found: &mut Vec<Difference>) {
    for fact in keys([&group[0].numbers].into_iter().chain(seeds.iter().map(|story| &story.numbers))) {
        let time = is_time(fact);
        let within = tolerance(fact) + if time { rig.slowness_s() } else { 0.0 };
        match ranges(fact, group, seeds) {
            Some(Duration { recorded, simulated, .. }) => {
                // Both are draws from the same law: their ranges meet, and neither goes far beyond the other.
                let meets = recorded.0 <= simulated.1 + within && simulated.0 <= recorded.1 + within;
                let (least, most) = (recorded.0 - within - 1e-9, recorded.1 + within + 1e-9);
                let agrees =
                    |story: &Story| story.numbers.get(fact).is_some_and(|values| values.iter().all(|value| (least..=most).contains(value)));
                let far = simulated.0 < least && simulated.1 > most && !time && !seeds.iter().any(agrees);
                if !meets || far {
                    found.push(Difference { fact: fact.clone(), recorded: text(recorded), simulated: text(simulated) });
                }
            }
            // A change at another place of a path is a difference of the path, and said there.
            None if time => {}
            None => {
                let values = |story: &Story| story.numbers.get(fact).cloned().unwrap_or_default();
                let (recorded, simulated) = (values(group[0]), values(&seeds[0]));
                let is_seldom = tolerance(fact) > 0.0 && recorded.iter().chain(&simulated).all(|value| *value <= tolerance(fact));
                let has = |story: &Story| story.numbers.contains_key(fact);
                let may_be_absent = !group.iter().all(|story| has(story)) && !seeds.iter().all(has);
                if !is_seldom && !may_be_absent {
                    let show = |values: &[f64]| if values.is_empty() { "nothing".to_owned() } else { text(range(values.iter())) };
                    found.push(Difference { fact: fact.clone(), recorded: show(&recorded), simulated: show(&simulated) });
                }
            }
        }
    }
}

/// Every time that both sides have.
pub(crate) fn durations(group: &[&Story], seeds: &[Story]) -> Vec<Duration> {
    let facts = keys([&group[0].numbers].into_iter()).into_iter().filter(|fact| is_time(fact));
    facts.filter_map(|fact| ranges(fact, group, seeds)).collect()
}

pub(crate) fn text((least, most): (f64, f64)) -> String {
    let short = |value: f64| format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    if (most - least).abs() < 0.0005 { short(least) } else { format!("{}..{}", short(least), short(most)) }
}
