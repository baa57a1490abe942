//! Liveness: once the faults of a random scenario have ended, every workload is what it is meant to be within
//! [`case::BOUND_SECONDS`], or the trace says why it cannot be, and what it says is so.
//!
//! `case` draws the scenarios, `oracle` says what must be so in the end and which reasons are true, `kubectl` what
//! operators have left behind.
//!
//! `WAVETANK_LIVENESS=3000 cargo test -p wavetank-engine liveness` runs that many cases, up to the first that fails;
//! `WAVETANK_LIVENESS_SEED=7` draws others. The same with `--release … -- --ignored a_long_search` goes on after a
//! failure, and tells of each kind of failure the smallest case it found.

mod case;
mod kubectl;
mod oracle;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};

use super::*;
use case::{BETWEEN_LOOKS_SECONDS, Case, DeploymentCase, JobCase, LOOKS, StatefulSetCase, cases, world};
use oracle::{Findings, findings};

const CASES: u32 = 40;

/// Plays a case to its end; what was wrong whenever it was looked at.
fn play(case: &Case, seed: u64) -> (Run, Findings) {
    let spec = world(case);
    let end = SimTime::ZERO + spec.duration;
    let policy = || schedulers::policy("default").expect("a built-in policy");
    let world = World::new(Arc::new(spec), policy(), seed);
    let summary = Summary { events: 0, traffic_events: 0, reason: "horizon" };
    let mut run = Run { records: Vec::new(), summary, world };
    let mut lasting: Option<Findings> = None;
    for look in (1..=LOOKS).rev() {
        let at = end.since(SimTime::from_secs(look * BETWEEN_LOOKS_SECONDS - 37));
        let mut sink = MemorySink::default();
        while run.world.next_event().is_some_and(|next| next <= SimTime::ZERO + at) && run.world.step(&mut sink).is_some() {}
        run.records.append(&mut sink.records);
        let now = findings(case, &run, &mut *policy());
        lasting = Some(match lasting {
            Some(before) => now.into_iter().filter(|(about, _)| before.contains_key(about)).collect(),
            None => now,
        });
    }
    (run, lasting.unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "a longer search by hand")]
fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: from_environment("WAVETANK_LIVENESS").unwrap_or(CASES),
        rng_seed: RngSeed::Fixed(from_environment("WAVETANK_LIVENESS_SEED").unwrap_or(1)),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}

fn text(findings: &Findings) -> String {
    findings.iter().map(|(about, what)| format!("{about}: {what}\n")).collect()
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn once_faults_end_every_workload_is_complete_or_says_why_it_is_not(case in cases(), seed in 0u64..1000) {
        let (_, findings) = play(&case, seed);
        prop_assert!(findings.is_empty(), "{}", text(&findings));
    }
}

/// A finding without names and numbers.
fn kind(about: &str, what: &str) -> String {
    let what = what.split(':').next().unwrap_or_default();
    let words = what.split(' ').filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    format!("{}: {}", about.split(' ').next().unwrap_or_default(), words.collect::<Vec<_>>().join(" "))
}

fn kinds(case: &Case, seed: u64) -> std::collections::BTreeMap<String, Findings> {
    let mut kinds = std::collections::BTreeMap::<String, Findings>::new();
    for (about, what) in play(case, seed).1 {
        kinds.entry(kind(&about, &what)).or_default().insert(about, what);
    }
    kinds
}

#[test]
#[ignore = "as long as one likes"]
fn a_long_search_finds_nothing() {
    let mut runner = TestRunner::new(config());
    let mut found = std::collections::BTreeMap::new();
    for _ in 0..config().cases {
        let mut tree = (cases(), 0u64..1000).new_tree(&mut runner).expect("every draw is a case");
        let (case, seed) = tree.current();
        for (kind, findings) in kinds(&case, seed) {
            let (count, _) = found.entry(kind.clone()).or_insert((0, String::new()));
            *count += 1;
            if *count == 1 {
                let text = format!("{}in {case:?}, seed {seed}", text(&findings));
                found.insert(kind.clone(), (1, smallest(&mut tree, &kind).unwrap_or(text)));
            }
        }
    }
    let all: String = found.iter().map(|(kind, (count, text))| format!("{count} times {kind}\n{text}\n\n")).collect();
    assert!(found.is_empty(), "{all}");
}

/// The smallest case that still has this kind of finding.
fn smallest(tree: &mut impl ValueTree<Value = (Case, u64)>, kind: &str) -> Option<String> {
    let mut best = None;
    let mut goes_on = tree.simplify();
    for _ in 0..150 {
        if !goes_on {
            break;
        }
        let (case, seed) = tree.current();
        goes_on = match kinds(&case, seed).remove(kind) {
            Some(findings) => {
                best = Some(format!("{}in {case:?}, seed {seed}", text(&findings)));
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    best
}

/// The pod that used the quota up ends while no controller-manager leads, so that nobody sees it end.
#[test]
fn a_new_leader_counts_what_ended_while_nobody_led() {
    let case = Case {
        nodes: 1,
        zones: 1,
        deployments: vec![DeploymentCase { replicas: 2, cpu_millis: 100, ..DeploymentCase::default() }],
        jobs: vec![JobCase { completions: 2, parallelism: 1, ..JobCase::default() }],
        quota_pods: Some(1),
        faults: vec![(8, 222, 0, 0), (104, 113, 10, 0)],
        ..Case::default()
    };
    let (run, findings) = play(&case, 0);
    assert_eq!(text(&findings), "");
    assert_eq!(run.world.store.pods.iter().filter(|(_, pod)| pod.is_active()).count(), 1, "the quota's one pod is in use again");
}

/// The driver's word that a volume has left its node comes when nobody answers, and the controller-manager is elected anew.
#[test]
fn a_storage_driver_remembers_what_no_api_server_heard() {
    let case = Case {
        nodes: 2,
        zones: 1,
        stateful_sets: vec![StatefulSetCase { replicas: 1, cpu_millis: 100, claims: true, ..StatefulSetCase::default() }],
        faults: vec![(295, 11, 9, 0), (284, 22, 3, 0)],
        ..Case::default()
    };
    let (run, findings) = play(&case, 83);
    assert_eq!(text(&findings), "");
    assert_eq!(run.world.store.pods.iter().filter(|(_, pod)| pod.is_ready()).count(), 1);
}
/// The quota lets no other pod of the Job in, since somebody else was quicker; a drain deletes the one that has ended.
#[test]
fn a_job_counts_and_lets_go_of_what_has_ended_while_it_can_make_no_others() {
    let deployment = |replicas, fate| DeploymentCase { replicas, cpu_millis: 100, fate, ..DeploymentCase::default() };
    let set = |replicas, claims| StatefulSetCase { replicas, claims, cpu_millis: 100, parallel: !claims, ..StatefulSetCase::default() };
    let case = Case {
        nodes: 1,
        zones: 1,
        deployments: vec![deployment(4, case::Fate::BadImage), deployment(1, case::Fate::Well)],
        stateful_sets: vec![set(3, false), set(1, true)],
        jobs: vec![JobCase { completions: 3, parallelism: 1, ..JobCase::default() }],
        quota_pods: Some(1),
        faults: vec![(25, 5, 3, 0)],
        steps: vec![(5, 0, 2)],
        ..Case::default()
    };
    let (run, findings) = play(&case, 146);
    assert_eq!(text(&findings), "");
    let counted = run.world.store.jobs.iter().map(|(_, job)| (job.status.succeeded, job.status.active)).next();
    let refused = !run.events_of("Job/default/j0").is_empty();
    assert_eq!((counted, refused), (Some((1, 0)), true), "it could make one");
}
