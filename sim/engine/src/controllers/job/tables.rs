//! What one sync of a Job makes of its pods: cases of upstream's own unit tests
//! (pkg/controller/job/{job_controller,backoff_utils}_test.go) and others worked out by hand.

use api::{CompletionMode, JobSpec, SuccessPolicyRule};

use super::super::bench::{bench, pod, template};
use super::*;

/// What one sync did, and the status it leaves once all of it has landed.
#[derive(Default, PartialEq, Eq, Debug)]
struct Outcome {
    made: usize,
    deleted: usize,
    /// Finalizers taken off.
    released: usize,
    active: i32,
    ready: i32,
    succeeded: i32,
    failed: i32,
    terminating: i32,
    completed: &'static str,
    failed_indexes: Option<&'static str>,
    /// Indexes of the pods made.
    indexes: &'static [i32],
    /// Its conditions as `type:reason`.
    end: &'static str,
}

/// Pods by words: `P`ending, `R`unning, ready (`r`), `S`ucceeded, `F`ailed or `T`erminating, then perhaps the index
/// behind a colon, and how often its index failed before it behind an at sign.
fn pod_of(word: &str, place: usize, job: &Job) -> Pod {
    let (word, failures) = word.split_once('@').unwrap_or((word, ""));
    let (letter, index) = word.split_once(':').unwrap_or((word, ""));
    let plain = pod(&format!("pod-{place}")).on("n");
    let mut pod = match letter {
        "P" => plain.pending(),
        "R" => plain,
        "r" => plain.ready_since(0),
        "T" => plain.deleting(),
        "F" => plain.failed(),
        "S" => plain,
        other => panic!("{other} is no pod"),
    }
    .build();
    if letter == "S" {
        pod.status.phase = PodPhase::Succeeded;
    }
    pod.meta.owners = vec![controller_of("Job", &job.meta)];
    pod.meta.labels = Arc::new([(CONTROLLER_UID.into(), job.meta.uid.to_string().into())].into());
    pod.meta.finalizers = vec![TRACKING.into()];
    let annotations = [(COMPLETION_INDEX, index), (INDEX_FAILURE_COUNT, failures)].into_iter().filter(|(_, value)| !value.is_empty());
    pod.meta.annotations = Arc::new(annotations.map(|(key, value)| (key.into(), value.into())).collect());
    pod
}

/// One sync, long after the pods were made, of a Job with two pods at a time, five completions and six retries
/// that `change` makes another.
fn synced(pods: &str, change: impl FnOnce(&mut Job, &mut JobSpec)) -> Outcome {
    let mut bench = bench().at(1000);
    let mut spec = JobSpec { parallelism: 2, completions: Some(5), template: template("job", "work:v1"), ..JobSpec::default() };
    let meta = ObjectMeta { namespace: "default".into(), name: "job".into(), ..ObjectMeta::default() };
    let mut job = Job { meta, ..Job::default() };
    change(&mut job, &mut spec);
    job.spec = Arc::new(spec);
    let id = bench.store.create(job, SimTime::ZERO, &bench.streams).expect("a free name");
    let job = bench.store.jobs.get(id).expect("just made").clone();
    for (place, word) in pods.split_whitespace().enumerate() {
        bench.store.create_pod(pod_of(word, place, &job), SimTime::ZERO, &bench.streams).expect("a free name");
    }
    let lines = bench.run(|view, out| sync(Key(id.number()), view, out));
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    let status = &bench.store.jobs.get(id).expect("it is there").status;
    let end = status.conditions.iter().map(|condition| format!("{}:{}", condition.kind.as_str(), condition.reason)).collect::<Vec<_>>();
    let indexes: Vec<i32> =
        lines.iter().filter_map(|line| line.split(" create pod job-").nth(1)?.split('-').next()?.parse().ok()).collect();
    Outcome {
        made: count(" create pod "),
        deleted: count(" delete pod "),
        released: count("RemoveFinalizer"),
        active: status.active,
        ready: status.ready.unwrap_or(-1),
        succeeded: status.succeeded,
        failed: status.failed,
        terminating: status.terminating.unwrap_or(-1),
        completed: status.completed_indexes.to_string().leak(),
        failed_indexes: status.failed_indexes.as_ref().map(|indexes| &*indexes.to_string().leak()),
        indexes: indexes.leak(),
        end: end.join(" ").leak(),
    }
}

type Case = (&'static str, &'static str, fn(&mut Job, &mut JobSpec), Outcome);

fn check(cases: &[Case]) {
    for (what, pods, change, expected) in cases {
        assert_eq!(synced(pods, *change), *expected, "{what}: {pods}");
    }
}

/// The rest of an [`Outcome`].
fn none() -> Outcome {
    Outcome::default()
}

#[test]
fn a_job_has_as_many_pods_as_it_may_and_needs() {
    check(&[
        ("it starts", "", |_, _| {}, Outcome { made: 2, active: 2, ..none() }),
        ("without completions", "", |_, spec| spec.completions = None, Outcome { made: 2, active: 2, ..none() }),
        ("pending pods count", "P P", |_, _| {}, Outcome { active: 2, ..none() }),
        ("ready ones are told", "r r R", |_, spec| spec.parallelism = 3, Outcome { active: 3, ready: 2, ..none() }),
        ("one has succeeded", "R S", |_, _| {}, Outcome { made: 1, released: 1, active: 2, succeeded: 1, ..none() }),
        ("too few of a work queue", "R", |_, spec| spec.completions = None, Outcome { made: 1, active: 2, ..none() }),
        ("too many", "R R R", |_, _| {}, Outcome { deleted: 1, released: 1, active: 2, terminating: 1, ..none() }),
        ("too many, all ready", "r r r", |_, _| {}, Outcome { deleted: 1, released: 1, active: 2, ready: 2, terminating: 1, ..none() }),
        ("far too many", "R R R R R R R R R R", |_, _| {}, Outcome { deleted: 8, released: 8, active: 2, terminating: 8, ..none() }),
        (
            "more than are left to do",
            "R R R S S",
            |_, spec| (spec.parallelism, spec.completions) = (3, Some(4)),
            Outcome { deleted: 1, released: 3, active: 2, succeeded: 2, terminating: 1, ..none() },
        ),
        ("two have succeeded", "R R S S", |_, _| {}, Outcome { released: 2, active: 2, succeeded: 2, ..none() }),
        ("one has failed", "R F", |_, _| {}, Outcome { made: 1, released: 1, active: 2, failed: 1, ..none() }),
        ("one of each", "R S F", |_, _| {}, Outcome { made: 1, released: 2, active: 2, succeeded: 1, failed: 1, ..none() }),
        (
            "a suspended one loses its pods",
            "R R",
            |_, spec| spec.suspend = true,
            Outcome { deleted: 2, released: 2, terminating: 2, end: "Suspended:JobSuspended", ..none() },
        ),
        (
            "nothing is made for one that is being deleted",
            "P R S",
            |job, _| job.meta.deletion = Some(SimTime::ZERO),
            Outcome { released: 3, active: 2, succeeded: 1, ..none() },
        ),
    ]);
}

#[test]
fn a_job_ends_when_enough_have_succeeded_or_too_many_have_failed() {
    let complete = "SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached";
    let failed = "FailureTarget:BackoffLimitExceeded Failed:BackoffLimitExceeded";
    check(&[
        ("all of five", "S S S S S", |_, _| {}, Outcome { released: 5, succeeded: 5, end: complete, ..none() }),
        (
            "a work queue waits for the others",
            "R S",
            |_, spec| spec.completions = None,
            Outcome { released: 1, active: 1, succeeded: 1, ..none() },
        ),
        (
            "and has ended when none is left",
            "S S",
            |_, spec| spec.completions = None,
            Outcome { released: 2, succeeded: 2, end: complete, ..none() },
        ),
        (
            "whatever failed on the way",
            "S F",
            |_, spec| spec.completions = None,
            Outcome { released: 2, succeeded: 1, failed: 1, end: complete, ..none() },
        ),
        ("one failure too many", "F", |_, spec| spec.backoff_limit = 0, Outcome { released: 1, failed: 1, end: failed, ..none() }),
        (
            "two are not more than two",
            "F F",
            |_, spec| spec.backoff_limit = 2,
            Outcome { made: 2, released: 2, active: 2, failed: 2, ..none() },
        ),
        (
            "failures counted before add up",
            "F",
            |job, spec| (job.status.failed, spec.backoff_limit) = (6, 6),
            Outcome { released: 1, failed: 7, end: failed, ..none() },
        ),
        // The others fail with it, and it has failed once they are gone.
        (
            "running ones go",
            "r r F",
            |_, spec| spec.backoff_limit = 0,
            Outcome { deleted: 2, released: 3, failed: 3, terminating: 2, end: "FailureTarget:BackoffLimitExceeded", ..none() },
        ),
        (
            "a deadline",
            "R",
            |job, spec| (job.status.start_time, spec.active_deadline) = (Some(SimTime::from_secs(400)), Some(SimDuration::from_secs(600))),
            Outcome { deleted: 1, released: 1, failed: 1, terminating: 1, end: "FailureTarget:DeadlineExceeded", ..none() },
        ),
        (
            "not a second before",
            "R",
            |job, spec| (job.status.start_time, spec.active_deadline) = (Some(SimTime::from_secs(401)), Some(SimDuration::from_secs(600))),
            Outcome { made: 1, active: 2, ..none() },
        ),
    ]);
}

#[test]
fn terminating_pods_are_replaced_at_once_or_when_they_have_failed() {
    let failed_only: fn(&mut Job, &mut JobSpec) = |_, spec| {
        (spec.parallelism, spec.completions, spec.pod_replacement_policy) = (1, Some(1), PodReplacementPolicy::Failed);
    };
    let by_policy: fn(&mut Job, &mut JobSpec) = |_, spec| {
        (spec.parallelism, spec.completions, spec.pod_failure_policy) = (1, Some(1), Some(Vec::new()));
    };
    check(&[
        (
            "they count as failed",
            "R F T",
            |_, spec| (spec.parallelism, spec.completions) = (1, Some(1)),
            Outcome { released: 2, active: 1, failed: 2, terminating: 1, ..none() },
        ),
        ("or not yet", "R F T", failed_only, Outcome { released: 1, active: 1, failed: 1, terminating: 1, ..none() }),
        ("and take their place", "T", failed_only, Outcome { terminating: 1, ..none() }),
        ("which they do not otherwise", "T", |_, _| {}, Outcome { made: 2, released: 1, active: 2, failed: 1, terminating: 1, ..none() }),
        (
            "more than there may be at a time",
            "R R T T T T",
            failed_only,
            Outcome { deleted: 1, released: 1, active: 1, terminating: 5, ..none() },
        ),
        (
            "the same under a podFailurePolicy",
            "R R T T T T",
            by_policy,
            Outcome { deleted: 1, released: 1, active: 1, terminating: 5, ..none() },
        ),
    ]);
}

/// So many pods at a time and completions, indexed.
fn indexed(spec: &mut JobSpec, parallelism: i32, completions: i32) {
    (spec.parallelism, spec.completions, spec.completion_mode) = (parallelism, Some(completions), CompletionMode::Indexed);
}

#[test]
fn an_indexed_job_fills_the_lowest_indexes_and_keeps_one_pod_of_each() {
    check(&[
        ("it starts", "", |_, spec| indexed(spec, 2, 5), Outcome { made: 2, active: 2, indexes: &[0, 1], ..none() }),
        (
            "a terminating pod takes a place",
            "T",
            |_, spec| {
                indexed(spec, 2, 5);
                spec.pod_replacement_policy = PodReplacementPolicy::Failed;
            },
            Outcome { made: 1, active: 1, terminating: 1, indexes: &[0], ..none() },
        ),
        (
            "or none, and without an index does not count",
            "T",
            |_, spec| indexed(spec, 2, 5),
            Outcome { made: 2, released: 1, active: 2, terminating: 1, indexes: &[0, 1], ..none() },
        ),
        (
            "all succeeded",
            "S:0 F:1 S:1 S:2",
            |_, spec| indexed(spec, 2, 3),
            Outcome {
                released: 4,
                succeeded: 3,
                failed: 1,
                completed: "0-2",
                end: "SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached",
                ..none()
            },
        ),
        (
            "too many failures",
            "S:0 F:1 R:2",
            |_, spec| {
                indexed(spec, 2, 3);
                spec.backoff_limit = 0;
            },
            Outcome {
                deleted: 1,
                released: 3,
                succeeded: 1,
                failed: 2,
                terminating: 1,
                completed: "0",
                end: "FailureTarget:BackoffLimitExceeded",
                ..none()
            },
        ),
        (
            "an index succeeds once",
            "S:0 S:1 S:1",
            |_, spec| indexed(spec, 2, 3),
            Outcome { made: 1, released: 3, active: 1, succeeded: 2, completed: "0,1", indexes: &[2], ..none() },
        ),
        (
            "gaps are filled",
            "R:0 S:2 P:3 S:4 S:5 S:7 S:8 S:9",
            |_, spec| indexed(spec, 8, 20),
            Outcome { made: 6, released: 6, active: 8, succeeded: 6, completed: "2,4,5,7-9", indexes: &[1, 6, 10, 11, 12, 13], ..none() },
        ),
        (
            "failed indexes are tried again",
            "F:0 P:1 F:2",
            |_, spec| indexed(spec, 3, 4),
            Outcome { made: 2, released: 2, active: 3, failed: 2, indexes: &[0, 2], ..none() },
        ),
        (
            "pods without an index go",
            "R S F R:x S:x F:x P:x S:0 R:1 R:2",
            |_, spec| indexed(spec, 2, 5),
            Outcome { deleted: 3, released: 8, active: 2, succeeded: 1, terminating: 3, completed: "0", ..none() },
        ),
        (
            "second pods of an index go",
            "S F R:x S:0 R:1 R:2 P:2",
            |_, spec| indexed(spec, 5, 5),
            Outcome { deleted: 2, released: 5, active: 2, succeeded: 1, terminating: 2, completed: "0", ..none() },
        ),
        (
            "indexes out of range",
            "S:0 R:5 S:6 P:7 F:8",
            |_, spec| indexed(spec, 2, 5),
            Outcome { deleted: 2, released: 5, succeeded: 1, terminating: 2, completed: "0", ..none() },
        ),
    ]);
}

/// The same with so many failures allowed in each index.
fn limited(spec: &mut JobSpec, completions: i32, limit: i32) {
    indexed(spec, 2, completions);
    (spec.backoff_limit, spec.backoff_limit_per_index) = (i32::MAX, Some(limit));
}

#[test]
fn an_index_fails_when_it_has_used_up_its_own_limit() {
    let none = || Outcome { failed_indexes: Some(""), ..none() };
    check(&[
        // The last failed pod of an index stays uncounted until another carries its count on.
        (
            "the first failure of an index",
            "F:0@0",
            |_, spec| limited(spec, 3, 1),
            Outcome { made: 2, active: 2, indexes: &[0, 1], ..none() },
        ),
        (
            "it is replaced",
            "F:0@0 R:0@1",
            |_, spec| limited(spec, 3, 1),
            Outcome { made: 1, released: 1, active: 2, failed: 1, indexes: &[1], ..none() },
        ),
        (
            "the second is one too many",
            "F:0@1 R:1@0",
            |_, spec| limited(spec, 3, 1),
            Outcome { made: 1, released: 1, active: 2, failed: 1, failed_indexes: Some("0"), indexes: &[2], ..none() },
        ),
        (
            "with no failure allowed the first is",
            "F:0@0 R:1@0",
            |_, spec| limited(spec, 3, 0),
            Outcome { made: 1, released: 1, active: 2, failed: 1, failed_indexes: Some("0"), indexes: &[2], ..none() },
        ),
        (
            "every index is over",
            "F:0@1 S:1@0",
            |_, spec| limited(spec, 2, 1),
            Outcome {
                released: 2,
                succeeded: 1,
                failed: 1,
                completed: "1",
                failed_indexes: Some("0"),
                end: "FailureTarget:FailedIndexes Failed:FailedIndexes",
                ..none()
            },
        ),
        (
            "more indexes than may fail",
            "F:0@1 R:1@0",
            |_, spec| {
                limited(spec, 3, 1);
                spec.max_failed_indexes = Some(0);
            },
            Outcome {
                deleted: 1,
                released: 2,
                failed: 2,
                terminating: 1,
                failed_indexes: Some("0"),
                end: "FailureTarget:MaxFailedIndexesExceeded",
                ..none()
            },
        ),
        (
            "as many as may",
            "F:0@1 R:1@0",
            |_, spec| {
                limited(spec, 3, 1);
                spec.max_failed_indexes = Some(1);
            },
            Outcome { made: 1, released: 1, active: 2, failed: 1, failed_indexes: Some("0"), indexes: &[2], ..none() },
        ),
    ]);
}

#[test]
fn a_success_policy_ends_a_job_before_all_indexes_have_succeeded() {
    let met = |rule: SuccessPolicyRule| {
        let outcome = synced("S:0 R:1 R:2", |_, spec| {
            indexed(spec, 3, 4);
            spec.success_policy = Some(vec![rule]);
        });
        (outcome.deleted, outcome.made, outcome.succeeded, outcome.end)
    };
    let rule = |indexes: Option<&str>, count| SuccessPolicyRule { succeeded_indexes: indexes.map(Into::into), succeeded_count: count };
    let ends = (2, 0, 1, "SuccessCriteriaMet:SuccessPolicy");
    let goes_on = (0, 1, 1, "");
    for (indexes, count, expected) in [
        (Some("0"), None, ends),
        (Some("0,1"), None, goes_on),
        (Some("0,1"), Some(1), ends),
        (Some("1-3"), Some(1), goes_on),
        (None, Some(1), ends),
        (None, Some(2), goes_on),
    ] {
        assert_eq!(met(rule(indexes, count)), expected, "{indexes:?} {count:?}");
    }
}

#[test]
fn nothing_is_made_while_a_job_backs_off() {
    // Failures since the last success, and when the last was; the sync is at 1000 s.
    for (failures, last, made) in [
        (0, 1000, 1),
        (1, 1000, 0),
        (1, 991, 0),
        (1, 989, 1),
        (2, 981, 0),
        (2, 979, 1),
        (7, 401, 0), // 640 s would be longer than ten minutes.
        (7, 399, 1),
    ] {
        let outcome = synced("", |job, spec| {
            (spec.parallelism, spec.completions, job.status.start_time) = (1, Some(1), Some(SimTime::ZERO));
            (job.status.failures_after_last_success, job.status.last_failure) = (failures, Some(SimTime::from_secs(last)));
        });
        assert_eq!((outcome.made, outcome.active), (made, made as i32), "{failures} {last}");
    }
}

#[test]
fn failures_in_a_row_are_counted_from_the_last_success() {
    let at = |seconds: u64, letter: &str| {
        let mut pod = pod_of(letter, 0, &Job::default());
        pod.meta.creation = SimTime::from_secs(seconds); // Without states of containers this is when it ended.
        pod
    };
    let known = JobStatus { failures_after_last_success: 3, last_failure: Some(SimTime::from_secs(10)), ..JobStatus::default() };
    // (succeeded, failed, failures, the last of them)
    type Row = (&'static [u64], &'static [u64], i32, Option<u64>);
    let rows: [Row; 7] = [
        (&[], &[], 3, Some(10)),
        (&[], &[50], 4, Some(50)),
        (&[], &[50, 30], 5, Some(50)),
        (&[40], &[30, 50], 1, Some(50)),
        (&[20, 40], &[30, 45, 50], 2, Some(50)),
        (&[60], &[30, 50], 0, None),
        (&[50], &[50], 0, None), // In the same second it does not come later.
    ];
    for (succeeded, failed, failures, last) in rows {
        let (good, bad): (Vec<Pod>, Vec<Pod>) =
            (succeeded.iter().map(|end| at(*end, "S")).collect(), failed.iter().map(|end| at(*end, "F")).collect());
        let record = backoff::Record::new(&known, &good.iter().collect::<Vec<_>>(), &bad.iter().collect::<Vec<_>>());
        assert_eq!((record.failures, record.last.map(SimTime::as_secs)), (failures, last), "{succeeded:?} {failed:?}");
    }
}

#[test]
fn restarts_count_against_the_limit_when_the_kubelet_restarts() {
    // (limit, restarts of running and failed pods, whether the Job fails)
    for (limit, running, ended, fails) in [(0, 0, 0, false), (0, 1, 0, true), (3, 2, 9, false), (3, 3, 0, true), (3, 4, 0, true)] {
        let mut spec = JobSpec { backoff_limit: limit, template: template("job", "work:v1"), ..JobSpec::default() };
        let mut changed = (*spec.template).clone();
        Arc::make_mut(&mut changed.spec).restart_policy = RestartPolicy::OnFailure;
        spec.template = Arc::new(changed);
        let job = Job { spec: Arc::new(spec), ..Job::default() };
        let mut bench = bench();
        let id = bench.store.create(job, SimTime::ZERO, &bench.streams).expect("a free name");
        let job = bench.store.jobs.get(id).expect("just made").clone();
        for (place, (restarts, letter)) in [(running, "R"), (ended, "S")].into_iter().enumerate() {
            let mut pod = pod_of(letter, place, &job);
            pod.status.containers = super::super::bench::pod("x").restarts(restarts).build().status.containers;
            bench.store.create_pod(pod, SimTime::ZERO, &bench.streams).expect("a free name");
        }
        assert_eq!(Sync::new(&job, &bench.view(), &mut Effects::default()).restarts_exceed_limit(), fails, "{limit} {running} {ended}");
    }
}

#[test]
fn at_most_500_pods_are_counted_in_one_sync() {
    let pods = "S ".repeat(600);
    let many: fn(&mut Job, &mut JobSpec) = |_, spec| (spec.parallelism, spec.completions) = (600, Some(600));
    assert_eq!(synced(&pods, many), Outcome { released: 500, succeeded: 500, end: "SuccessCriteriaMet:CompletionsReached", ..none() });
    let words: Vec<String> = (0..600).map(|index| format!("S:{index}")).collect();
    let outcome = synced(&words.join(" "), |_, spec| indexed(spec, 600, 600));
    // An index is counted once its pod is known to have succeeded, whether or not its finalizer has gone.
    assert_eq!((outcome.released, outcome.completed, outcome.end), (500, "0-599", "SuccessCriteriaMet:CompletionsReached"));
}
