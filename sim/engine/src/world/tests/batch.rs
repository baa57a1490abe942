//! Jobs from their first pod to their end, and CronJobs, in a small cluster.

use api::{
    CompletionMode, ConcurrencyPolicy, ConditionStatus, CronJob, Job, JobConditionType, JobSpec, Kind, PodFailurePolicyAction,
    PodFailurePolicyRequirement,
};
use api::{PodFailurePolicyRule, RestartPolicy, SuccessPolicyRule};

use super::*;
use crate::spec::{Behavior, Crash, PodSelector, Step, StepAction};

/// A Job whose pods end after a second with this code, unless the name says otherwise.
fn job(name: &str, change: impl FnOnce(&mut JobSpec)) -> Job {
    let mut template = (*template(name, "work:v1", 100)).clone();
    Arc::make_mut(&mut template.spec).restart_policy = RestartPolicy::Never;
    let mut spec = JobSpec { template: Arc::new(template), ..JobSpec::default() };
    change(&mut spec);
    Job {
        meta: ObjectMeta { namespace: "default".into(), name: name.into(), ..ObjectMeta::default() },
        spec: Arc::new(spec),
        ..Job::default()
    }
}

/// Pods of this Job run so long and end with this code.
fn ends(job: &str, after_ms: u64, exit_code: i32) -> Behavior {
    Behavior {
        selector: PodSelector { workload: Some((Kind::Job, key(job))), ..PodSelector::default() },
        crash: Some(Crash { after: Distribution::Constant(SimDuration::from_millis(after_ms)), exit_code, times: None }),
        image_pull: Some(Distribution::Constant(SimDuration::ZERO)),
        ..Behavior::default()
    }
}

fn cluster(duration_s: u64, jobs: Vec<Job>, behaviors: Vec<Behavior>) -> WorldSpec {
    let mut spec = WorldSpec {
        duration: SimDuration::from_secs(duration_s),
        node_pools: vec![pool("node", 2, 4000)],
        behaviors,
        ..WorldSpec::default()
    };
    spec.objects.jobs = jobs;
    spec
}

fn step(at_s: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_secs(at_s), action }
}

impl Run {
    fn job(&self, name: &str) -> &Job {
        let id = self.world.store.jobs.find(&key(name)).expect("a Job of this name");
        self.world.store.jobs.get(id).expect("just found")
    }
    /// Seconds at which pods of a Job were made.
    fn made(&self, job: &str) -> Vec<u64> {
        self.events_of(&format!("Job/default/{job}"))
            .into_iter()
            .filter(|(_, text)| text.starts_with("SuccessfulCreate"))
            .map(|(at, _)| at)
            .collect()
    }
    fn conditions(&self, job: &str) -> Vec<String> {
        let text =
            |condition: &api::JobCondition| format!("{}={}:{}", condition.kind.as_str(), condition.status.as_str(), condition.reason);
        self.job(job).status.conditions.iter().map(text).collect()
    }
    fn phases(&self) -> Vec<String> {
        self.world.store.pods.iter().map(|(_, pod)| pod.status.phase.as_str().to_owned()).collect()
    }
}

#[test]
fn a_job_keeps_its_parallelism_until_it_has_its_completions() {
    let six = job("six", |spec| (spec.completions, spec.parallelism) = (Some(6), 2));
    let run = run(cluster(60, vec![six], vec![ends("six", 5000, 0)]));
    let status = &run.job("six").status;
    assert_eq!((status.succeeded, status.failed, status.active, status.terminating), (6, 0, 0, Some(0)));
    assert_eq!(run.conditions("six"), ["SuccessCriteriaMet=True:CompletionsReached", "Complete=True:CompletionsReached"]);
    // Each runs for five seconds; ends are noticed by the kubelet's next look, and by the Job a second later.
    let made = run.made("six");
    assert_eq!((made.len(), &made[..2]), (6, &[0, 0][..]));
    assert!(made.windows(3).all(|three| three[2] - three[0] >= 5), "never more than two: {made:?}");
    assert!(made[5] <= 18, "{made:?}");
    assert_eq!(run.events_of("Job/default/six").last().map(|(_, text)| text.as_str()), Some("Completed: Job completed"));
    assert_eq!(run.phases(), ["Succeeded"; 6], "finished pods stay, without their finalizers");
    assert!(run.world.store.pods.iter().all(|(_, pod)| pod.meta.finalizers.is_empty()));
}

#[test]
fn counts_rise_after_the_finalizers_have_gone() {
    let one = job("one", |_| {});
    let run = run(cluster(20, vec![one], vec![ends("one", 1000, 0)]));
    let counts = run.all(|record| match record {
        Record::Workload { kind, current, ready, available, .. } if &**kind == "Job" => Some([*current, *ready, *available]),
        _ => None,
    });
    let counts: Vec<[i32; 3]> = counts.into_iter().map(|(_, counts)| counts).collect();
    assert!(counts.starts_with(&[[0, 0, 0], [1, 0, 0], [1, 1, 0]]), "{counts:?}");
    assert!(counts.ends_with(&[[0, 0, 0], [0, 0, 1]]), "{counts:?}");
}

#[test]
fn failures_are_backed_off_from_their_end_and_doubled_up_to_the_limit() {
    let never = job("never", |spec| spec.backoff_limit = 4);
    let run = run(cluster(200, vec![never], vec![ends("never", 1000, 1)]));
    // Pods end about 1.3 s after they were made; 10, 20, 40 and 80 s later there are new ones.
    let made = run.made("never");
    let gaps: Vec<u64> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), 4, "{made:?}");
    for (gap, wait) in gaps.iter().zip([10, 20, 40, 80]) {
        assert!((wait..=wait + 2).contains(gap), "{made:?}");
    }
    assert_eq!(run.job("never").status.failed, 5);
    assert_eq!(run.conditions("never"), ["FailureTarget=True:BackoffLimitExceeded", "Failed=True:BackoffLimitExceeded"]);
    let last = run.events_of("Job/default/never").pop().expect("an event").1;
    assert_eq!(last, "BackoffLimitExceeded: Job has reached the specified backoff limit");
}

#[test]
fn an_indexed_job_has_a_pod_for_every_index() {
    let indexed = job("idx", |spec| (spec.completions, spec.parallelism, spec.completion_mode) = (Some(4), 4, CompletionMode::Indexed));
    let run = run(cluster(30, vec![indexed], vec![ends("idx", 5000, 0)]));
    assert_eq!(&*run.job("idx").status.completed_indexes, "0-3");
    let mut indexes: Vec<String> = run.world.store.pods.iter().map(|(_, pod)| pod.meta.name[..6].to_owned()).collect();
    indexes.sort();
    assert_eq!(indexes, ["idx-0-", "idx-1-", "idx-2-", "idx-3-"]);
    let labelled = |pod: &api::Pod| pod.meta.labels.contains_key("batch.kubernetes.io/job-completion-index");
    assert!(run.world.store.pods.iter().all(|(_, pod)| labelled(pod)));
}

#[test]
fn each_index_has_its_own_limit() {
    let per_index = job("idx", |spec| {
        (spec.completions, spec.parallelism, spec.completion_mode) = (Some(3), 3, CompletionMode::Indexed);
        (spec.backoff_limit, spec.backoff_limit_per_index) = (i32::MAX, Some(1));
    });
    let run = run(cluster(60, vec![per_index], vec![ends("idx", 1000, 1)]));
    let status = &run.job("idx").status;
    assert_eq!((status.failed, status.failed_indexes.as_deref(), run.made("idx").len()), (6, Some("0-2"), 6));
    assert_eq!(run.conditions("idx"), ["FailureTarget=True:FailedIndexes", "Failed=True:FailedIndexes"]);
}

#[test]
fn a_job_fails_early_when_too_many_of_its_indexes_have() {
    let per_index = job("idx", |spec| {
        (spec.completions, spec.parallelism, spec.completion_mode) = (Some(10), 2, CompletionMode::Indexed);
        (spec.backoff_limit, spec.backoff_limit_per_index, spec.max_failed_indexes) = (i32::MAX, Some(0), Some(2));
    });
    let run = run(cluster(60, vec![per_index], vec![ends("idx", 1000, 1)]));
    assert_eq!(run.conditions("idx")[1], "Failed=True:MaxFailedIndexesExceeded");
    assert_eq!(run.job("idx").status.failed_indexes.as_deref(), Some("0-3"));
}

#[test]
fn a_success_policy_ends_a_job_with_fewer_indexes() {
    let leader = job("idx", |spec| {
        (spec.completions, spec.parallelism, spec.completion_mode) = (Some(5), 2, CompletionMode::Indexed);
        spec.success_policy = Some(vec![SuccessPolicyRule { succeeded_indexes: None, succeeded_count: Some(2) }]);
    });
    let run = run(cluster(30, vec![leader], vec![ends("idx", 2000, 0)]));
    assert_eq!(run.conditions("idx"), ["SuccessCriteriaMet=True:SuccessPolicy", "Complete=True:SuccessPolicy"]);
    assert_eq!(run.job("idx").status.succeeded, 2);
}

#[test]
fn a_deadline_ends_a_job_and_its_pods() {
    let late = job("late", |spec| spec.active_deadline = Some(SimDuration::from_secs(20)));
    let run = run(cluster(60, vec![late], Vec::new()));
    assert_eq!(run.conditions("late"), ["FailureTarget=True:DeadlineExceeded", "Failed=True:DeadlineExceeded"]);
    assert_eq!((run.job("late").status.failed, run.world.store.pods.len()), (1, 0));
    let deleted = run.events_of("Job/default/late").into_iter().find(|(_, text)| text.starts_with("SuccessfulDelete")).expect("a deletion");
    assert_eq!(deleted.0, 20);
}

#[test]
fn a_pod_failure_policy_ignores_counts_or_ends() {
    let rule = |action, values: &[i32]| PodFailurePolicyRule {
        action,
        requirement: PodFailurePolicyRequirement::ExitCodes { container: None, is_in: true, values: values.to_vec() },
    };
    let rules = vec![rule(PodFailurePolicyAction::FailJob, &[42]), rule(PodFailurePolicyAction::Ignore, &[7])];
    let of = |name: &str| {
        job(name, |spec| {
            (spec.backoff_limit, spec.pod_failure_policy) = (0, Some(rules.clone()));
            spec.pod_replacement_policy = api::PodReplacementPolicy::Failed;
        })
    };
    let run = run(cluster(60, vec![of("fatal"), of("ignored")], vec![ends("fatal", 1000, 42), ends("ignored", 1000, 7)]));
    assert_eq!(run.conditions("fatal")[1], "Failed=True:PodFailurePolicy");
    let message = &run.job("fatal").status.condition(JobConditionType::Failed).expect("it failed").message;
    assert!(message.ends_with("failed with exit code 42 matching FailJob rule at index 0"), "{message}");
    let status = &run.job("ignored").status;
    assert_eq!((status.failed, run.conditions("ignored").len()), (0, 0), "what is ignored never counts");
    assert!(run.made("ignored").len() >= 3, "and is replaced");
}

#[test]
fn restarts_count_when_the_kubelet_restarts() {
    let restarting = job("on", |spec| {
        Arc::make_mut(&mut Arc::make_mut(&mut spec.template).spec).restart_policy = RestartPolicy::OnFailure;
        spec.backoff_limit = 2;
    });
    let run = run(cluster(120, vec![restarting], vec![ends("on", 1000, 1)]));
    assert_eq!(run.conditions("on")[1], "Failed=True:BackoffLimitExceeded");
    assert_eq!((run.made("on").len(), run.job("on").status.failed), (1, 1), "one pod, which counts once it is deleted");
}

#[test]
fn a_suspended_job_loses_its_pods_and_gets_new_ones_when_it_resumes() {
    let two = job("two", |spec| (spec.completions, spec.parallelism) = (Some(2), 2));
    let mut spec = cluster(80, vec![two], vec![ends("two", 20_000, 0)]);
    spec.steps =
        vec![step(8, StepAction::Suspend(Kind::Job, key("two"), true)), step(16, StepAction::Suspend(Kind::Job, key("two"), false))];
    let run = run(spec);
    let texts: Vec<(u64, String)> =
        run.events_of("Job/default/two").into_iter().map(|(at, text)| (at, text.split(':').next().unwrap_or("").to_owned())).collect();
    let expected = [
        (0, "SuccessfulCreate"),
        (0, "SuccessfulCreate"),
        (8, "SuccessfulDelete"),
        (8, "SuccessfulDelete"),
        (8, "Suspended"),
        (16, "SuccessfulCreate"),
        (16, "SuccessfulCreate"),
        (16, "Resumed"),
    ];
    assert_eq!(texts[..8], expected.map(|(at, text)| (at, text.to_owned())));
    let status = &run.job("two").status;
    assert_eq!((status.succeeded, status.failed, status.start_time), (2, 0, Some(SimTime::from_secs(16))));
    let suspended = status.condition(JobConditionType::Suspended).expect("it was");
    assert_eq!((suspended.status, &*suspended.reason), (ConditionStatus::False, "JobResumed"));
}

#[test]
fn the_pods_of_a_deleted_job_go_with_their_finalizers() {
    let two = job("two", |spec| (spec.completions, spec.parallelism) = (Some(2), 2));
    let mut spec = cluster(60, vec![two], Vec::new());
    spec.steps = vec![step(8, StepAction::Delete(Kind::Job, key("two"), api::Propagation::Background))];
    let run = run(spec);
    assert_eq!((run.world.store.jobs.len(), run.world.store.pods.len()), (0, 0));
}

#[test]
fn a_finished_job_goes_with_its_pods_when_its_time_is_over() {
    let short = job("short", |spec| spec.ttl_after_finished = Some(SimDuration::from_secs(15)));
    let run = run(cluster(60, vec![short], vec![ends("short", 1000, 0)]));
    assert_eq!((run.world.store.jobs.len(), run.world.store.pods.len()), (0, 0));
    let completed = run.events_of("Job/default/short").pop().expect("an event").0;
    let removed = run.all(|record| matches!(record, Record::PodRemoved { .. }).then_some(()));
    assert_eq!(removed.first().expect("it went").0.as_secs(), completed + 15);
}

// CronJobs.

/// A CronJob whose Jobs run for this long; the clock shows 12:00:00 on a Friday at time zero.
fn cron(duration_s: u64, runs_ms: u64, exit_code: i32, change: impl FnOnce(&mut CronJob)) -> Run {
    let mut cron = CronJob {
        meta: ObjectMeta { namespace: "default".into(), name: "nightly".into(), ..ObjectMeta::default() },
        schedule: "*/5 * * * *".into(),
        successful_jobs_history_limit: Some(3),
        failed_jobs_history_limit: Some(1),
        job_spec: job("nightly", |spec| spec.backoff_limit = 0).spec,
        ..CronJob::default()
    };
    change(&mut cron);
    let mut spec = cluster(duration_s, Vec::new(), vec![Behavior { selector: PodSelector::default(), ..ends("", runs_ms, exit_code) }]);
    spec.control_plane.controller_manager.clock_start = SimDuration::from_secs(NOON);
    spec.objects.cron_jobs = vec![cron];
    run(spec)
}

/// 2026-11-27 12:00:00 UTC.
const NOON: u64 = 1_795_780_800;

impl Run {
    /// Seconds at which the CronJob made Jobs.
    fn scheduled(&self) -> Vec<u64> {
        let events = self.events_of("CronJob/default/nightly").into_iter();
        events.filter(|(_, text)| text.starts_with("SuccessfulCreate")).map(|(at, _)| at).collect()
    }
    fn times_said(&self, reason: &str) -> usize {
        self.events_of("CronJob/default/nightly").iter().filter(|(_, text)| text.starts_with(reason)).count()
    }
    fn cron(&self) -> &CronJob {
        self.world.store.cron_jobs.iter().next().expect("a CronJob").1
    }
}

#[test]
fn a_cron_job_makes_a_job_at_every_time_and_keeps_the_last_three() {
    let run = cron(1800, 10_000, 0, |_| {});
    assert_eq!(run.scheduled(), [300, 600, 900, 1200, 1500]);
    let names: Vec<String> = run.world.store.jobs.iter().map(|(_, job)| job.meta.name.to_string()).collect();
    let name = |minute: u64| format!("nightly-{}", NOON / 60 + minute);
    assert_eq!(names, [name(15), name(20), name(25)]);
    assert_eq!((run.times_said("SawCompletedJob"), run.times_said("SuccessfulDelete")), (5, 2));
    let status = &run.cron().status;
    assert_eq!((status.active.len(), status.last_schedule_time), (0, Some(SimTime::from_secs(1500))));
    assert!(status.last_successful_time > Some(SimTime::from_secs(1500)));
    assert!(run.summary.events < 1500, "nothing is polled: {}", run.summary.events);
}

#[test]
fn a_zone_moves_the_times() {
    // 18:00 in Kolkata is 12:30 UTC.
    let run = cron(3600, 1000, 0, |cron| (cron.schedule, cron.time_zone) = ("0 18 * * *".into(), Some("Asia/Kolkata".into())));
    assert_eq!(run.scheduled(), [1800]);
    let unknown = cron(600, 1000, 0, |cron| cron.time_zone = Some("Mars/Olympus".into()));
    assert_eq!((unknown.scheduled(), unknown.times_said("UnknownTimeZone")), (Vec::new(), 1));
}

#[test]
fn what_happens_to_a_run_that_is_not_over_is_the_policys() {
    let with = |policy| cron(1000, 400_000, 0, move |cron| cron.concurrency = policy);
    let allowed = with(ConcurrencyPolicy::Allow);
    assert_eq!((allowed.scheduled(), allowed.cron().status.active.len()), (vec![300, 600, 900], 2));
    // The time of 600 s is made up for when the first run ends, since it still is the most recent one.
    let forbidden = with(ConcurrencyPolicy::Forbid);
    let times = forbidden.scheduled();
    assert_eq!((times[0], times.len()), (300, 2));
    assert!((700..720).contains(&times[1]), "{times:?}");
    assert!(forbidden.times_said("JobAlreadyActive") > 0);
    let replaced = with(ConcurrencyPolicy::Replace);
    assert_eq!((replaced.scheduled(), replaced.world.store.jobs.len()), (vec![300, 600, 900], 1));
}

#[test]
fn a_run_that_would_begin_too_late_is_left_out() {
    let run = cron(1000, 400_000, 0, |cron| {
        (cron.concurrency, cron.starting_deadline) = (ConcurrencyPolicy::Forbid, Some(SimDuration::from_secs(30)));
    });
    assert_eq!(run.scheduled(), [300, 900]);
}

#[test]
fn failed_runs_are_kept_apart() {
    let run = cron(1800, 1000, 1, |_| {});
    assert_eq!((run.scheduled().len(), run.world.store.jobs.len()), (5, 1));
    assert!(run.events_of("CronJob/default/nightly").iter().any(|(_, text)| text.ends_with("condition: Failed")));
}

#[test]
fn a_suspended_cron_job_makes_nothing_and_an_impossible_one_says_so() {
    assert_eq!(cron(1000, 1000, 0, |cron| cron.suspend = true).scheduled(), [0; 0]);
    let never = cron(600, 1000, 0, |cron| cron.schedule = "0 0 31 2 *".into());
    assert_eq!((never.scheduled(), never.times_said("InvalidSchedule")), (Vec::new(), 1));
}
