//! Jobs and CronJobs.

use std::sync::Arc;

use api::{
    CompletionMode, ConcurrencyPolicy, ConditionStatus, CronJob, CronJobStatus, Job, JobSpec, JobStatus, ObjectMeta,
    PodFailurePolicyAction, PodFailurePolicyRequirement, PodFailurePolicyRule, PodReplacementPolicy, RestartPolicy, Schedule,
    SuccessPolicyRule,
};
use k8s_openapi::api::batch::v1 as batch;

use super::meta::{labels, object_meta, plain_labels, selector};
use super::pod::template;
use crate::admission::Classes;
use crate::check::{Cx, NameRule};
use crate::source::Step;

/// A Job.
pub(crate) fn job(cx: &mut Cx<'_>, from: &batch::Job, classes: &Classes) -> Job {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return Job { meta, ..Job::default() };
    };
    Job { spec: Arc::new(job_spec(cx, spec, classes, &at)), meta, status: JobStatus::default() } // Counts are the controller's own.
}

/// With the API server's defaults. Upstream: pkg/apis/batch/v1/defaults.go and pkg/apis/batch/validation.
fn job_spec(cx: &mut Cx<'_>, from: &batch::JobSpec, classes: &Classes, at: &Step<'_>) -> JobSpec {
    let template = template(cx, &from.template, classes, &at.key("template"));
    if template.spec.restart_policy == RestartPolicy::Always && !template.spec.containers.is_empty() {
        let template_at = at.key("template");
        let spec_at = template_at.key("spec");
        cx.error("WT0108", "pods of a Job do not always restart", "must be `OnFailure` or `Never`", &spec_at.key("restartPolicy"));
    }
    let modes = &[("NonIndexed", CompletionMode::NonIndexed), ("Indexed", CompletionMode::Indexed)];
    let mode = from.completion_mode.as_deref().and_then(|word| cx.word(word, modes, &at.key("completionMode"))).unwrap_or_default();
    let completions = match (from.completions, from.parallelism) {
        (None, None) => Some(1),
        (completions, _) => completions.map(|count| cx.count(count, &at.key("completions"))),
    };
    indexed_only(cx, from, mode, at);
    if mode == CompletionMode::Indexed && from.completions.is_none() {
        cx.missing("completions", at);
    }
    let failure_rules = from.pod_failure_policy.as_ref().map(|policy| failure_rules(cx, policy, template.spec.restart_policy, at));
    let replacement = replacement(cx, from, at);
    let backoff_limit = from.backoff_limit.map(|limit| cx.count(limit, &at.key("backoffLimit")));
    let mut optional = |value: Option<i32>, field: &str| value.map(|value| cx.count(value, &at.key(field)));
    let (per_index, max_failed) =
        (optional(from.backoff_limit_per_index, "backoffLimitPerIndex"), optional(from.max_failed_indexes, "maxFailedIndexes"));
    let ttl = from.ttl_seconds_after_finished.map(|ttl| cx.seconds(i64::from(ttl), &at.key("ttlSecondsAfterFinished")));
    JobSpec {
        parallelism: cx.count(from.parallelism.unwrap_or(1), &at.key("parallelism")),
        completions: if mode == CompletionMode::Indexed { completions.or(Some(1)) } else { completions },
        completion_mode: mode,
        backoff_limit: backoff_limit.unwrap_or(if per_index.is_some() { i32::MAX } else { 6 }),
        backoff_limit_per_index: per_index,
        max_failed_indexes: max_failed,
        pod_failure_policy: failure_rules,
        success_policy: from.success_policy.as_ref().map(|policy| success_rules(cx, policy, at)),
        pod_replacement_policy: replacement,
        active_deadline: from.active_deadline_seconds.map(|deadline| cx.seconds(deadline, &at.key("activeDeadlineSeconds"))),
        suspend: from.suspend.unwrap_or(false),
        ttl_after_finished: ttl,
        managed_by: from.managed_by.as_deref().map(Into::into),
        selector: from.selector.as_ref().map(|from| Arc::new(selector(cx, from, &at.key("selector")))),
        template: Arc::new(template),
    }
}

/// Fields that say something of Indexed Jobs only.
fn indexed_only(cx: &mut Cx<'_>, from: &batch::JobSpec, mode: CompletionMode, at: &Step<'_>) {
    let fields = [("backoffLimitPerIndex", from.backoff_limit_per_index.is_some()), ("successPolicy", from.success_policy.is_some())];
    for (field, _) in fields.into_iter().filter(|(_, is_given)| *is_given && mode != CompletionMode::Indexed) {
        cx.error("WT0117", format!("{field} without indexes"), "only with `completionMode: Indexed`", &at.key(field));
    }
    if from.max_failed_indexes.is_some() && from.backoff_limit_per_index.is_none() {
        cx.error("WT0117", "maxFailedIndexes without a limit per index", "only with `backoffLimitPerIndex`", &at.key("maxFailedIndexes"));
    }
}

fn replacement(cx: &mut Cx<'_>, from: &batch::JobSpec, at: &Step<'_>) -> PodReplacementPolicy {
    let words = &[("TerminatingOrFailed", PodReplacementPolicy::TerminatingOrFailed), ("Failed", PodReplacementPolicy::Failed)];
    let field_at = at.key("podReplacementPolicy");
    let given = from.pod_replacement_policy.as_deref().and_then(|word| cx.word(word, words, &field_at));
    let has_rules = from.pod_failure_policy.is_some();
    if has_rules && given == Some(PodReplacementPolicy::TerminatingOrFailed) {
        cx.error("WT0117", "TerminatingOrFailed with a podFailurePolicy", "must be `Failed`", &field_at);
    }
    if has_rules { PodReplacementPolicy::Failed } else { given.unwrap_or_default() }
}

fn failure_rules(cx: &mut Cx<'_>, from: &batch::PodFailurePolicy, restarts: RestartPolicy, at: &Step<'_>) -> Vec<PodFailurePolicyRule> {
    let policy_at = at.key("podFailurePolicy");
    if restarts != RestartPolicy::Never {
        cx.error("WT0117", "podFailurePolicy with restarts", "only with `restartPolicy: Never`", &policy_at);
    }
    let rules_at = policy_at.key("rules");
    from.rules.iter().enumerate().filter_map(|(place, rule)| failure_rule(cx, rule, &rules_at.index(place))).collect()
}

fn failure_rule(cx: &mut Cx<'_>, from: &batch::PodFailurePolicyRule, at: &Step<'_>) -> Option<PodFailurePolicyRule> {
    let actions = &[
        ("FailJob", PodFailurePolicyAction::FailJob),
        ("FailIndex", PodFailurePolicyAction::FailIndex),
        ("Ignore", PodFailurePolicyAction::Ignore),
        ("Count", PodFailurePolicyAction::Count),
    ];
    let action = cx.word(&from.action, actions, &at.key("action"));
    let requirement = match (&from.on_exit_codes, &from.on_pod_conditions) {
        (Some(codes), None) => {
            let codes_at = at.key("onExitCodes");
            let is_in = cx.word(&codes.operator, &[("In", true), ("NotIn", false)], &codes_at.key("operator"))?;
            if codes.values.is_empty() {
                cx.missing("values", &codes_at);
            }
            let container = codes.container_name.as_deref().map(Into::into);
            PodFailurePolicyRequirement::ExitCodes { container, is_in, values: codes.values.clone() }
        }
        (None, Some(patterns)) => {
            let statuses = &[("True", ConditionStatus::True), ("False", ConditionStatus::False), ("Unknown", ConditionStatus::Unknown)];
            let list_at = at.key("onPodConditions");
            let mut conditions = Vec::new();
            for (place, pattern) in patterns.iter().enumerate() {
                let pattern_at = list_at.index(place);
                let status = cx.word(pattern.status.as_deref().unwrap_or("True"), statuses, &pattern_at.key("status"))?;
                conditions.push((pattern.type_.as_str().into(), status));
            }
            PodFailurePolicyRequirement::PodConditions(conditions)
        }
        _ => {
            cx.error("WT0118", "a rule matches one thing", "either `onExitCodes` or `onPodConditions`", at);
            return None;
        }
    };
    Some(PodFailurePolicyRule { action: action?, requirement })
}

fn success_rules(cx: &mut Cx<'_>, from: &batch::SuccessPolicy, at: &Step<'_>) -> Vec<SuccessPolicyRule> {
    let policy_at = at.key("successPolicy");
    let rules_at = policy_at.key("rules");
    let mut rules = Vec::new();
    for (place, rule) in from.rules.iter().enumerate() {
        let rule_at = rules_at.index(place);
        if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
            cx.error("WT0118", "a rule that says nothing", "`succeededIndexes`, `succeededCount` or both", &rule_at);
        }
        rules.push(SuccessPolicyRule {
            succeeded_indexes: rule.succeeded_indexes.as_deref().map(Into::into),
            succeeded_count: rule.succeeded_count.map(|count| cx.count(count, &rule_at.key("succeededCount"))),
        });
    }
    rules
}

/// A CronJob.
pub(crate) fn cron_job(cx: &mut Cx<'_>, from: &batch::CronJob, classes: &Classes) -> CronJob {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    schedule(cx, &from.spec, &at);
    let policies = &[("Allow", ConcurrencyPolicy::Allow), ("Forbid", ConcurrencyPolicy::Forbid), ("Replace", ConcurrencyPolicy::Replace)];
    let concurrency = from.spec.concurrency_policy.as_deref().and_then(|word| cx.word(word, policies, &at.key("concurrencyPolicy")));
    let template_at = at.key("jobTemplate");
    let job_spec = match &from.spec.job_template.spec {
        Some(spec) => job_spec(cx, spec, classes, &template_at.key("spec")),
        None => {
            cx.missing("spec", &template_at);
            JobSpec::default()
        }
    };
    let job_meta = from.spec.job_template.metadata.as_ref();
    let job_meta = ObjectMeta {
        labels: Arc::new(labels(cx, job_meta.and_then(|meta| meta.labels.as_ref()), &template_at.key("metadata").key("labels"))),
        annotations: Arc::new(plain_labels(job_meta.and_then(|meta| meta.annotations.as_ref()))),
        ..ObjectMeta::default()
    };
    let deadline = from.spec.starting_deadline_seconds.map(|deadline| cx.seconds(deadline, &at.key("startingDeadlineSeconds")));
    let mut limit = |value: Option<i32>, default: i32, field: &str| Some(cx.count(value.unwrap_or(default), &at.key(field)));
    CronJob {
        meta,
        schedule: from.spec.schedule.as_str().into(),
        time_zone: from.spec.time_zone.as_deref().map(Into::into),
        starting_deadline: deadline,
        concurrency: concurrency.unwrap_or_default(),
        suspend: from.spec.suspend.unwrap_or(false),
        successful_jobs_history_limit: limit(from.spec.successful_jobs_history_limit, 3, "successfulJobsHistoryLimit"),
        failed_jobs_history_limit: limit(from.spec.failed_jobs_history_limit, 1, "failedJobsHistoryLimit"),
        job_meta,
        job_spec: Arc::new(job_spec),
        status: CronJobStatus::default(),
    }
}

/// What the API server refuses.
fn schedule(cx: &mut Cx<'_>, from: &batch::CronJobSpec, at: &Step<'_>) {
    let schedule_at = at.key("schedule");
    if from.schedule.is_empty() {
        cx.missing("schedule", at);
    } else if from.schedule.contains("TZ") {
        cx.error_with_help("WT0118", "a zone inside the schedule", "not allowed", "use the field `timeZone` instead", &schedule_at);
    } else if let Err(error) = Schedule::parse(&from.schedule) {
        cx.error_with_help("WT0118", "not a schedule", error.to_string(), "such as `*/15 * * * *` or `@hourly`", &schedule_at);
    }
    if let Some(zone) = &from.time_zone
        && (zone.eq_ignore_ascii_case("local") || jiff::tz::TimeZone::get(zone).is_err())
    {
        let label = "no zone of the time zone database";
        cx.error_with_help(
            "WT0118",
            format!("`{zone}` is no time zone"),
            label,
            "such as `Europe/Berlin` or `Etc/UTC`",
            &at.key("timeZone"),
        );
    }
}
