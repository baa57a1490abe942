//! Jobs and CronJobs: work that ends.

use std::sync::Arc;

use crate::{ConditionStatus, LabelSelector, ObjectMeta, PodTemplate, SimDuration, SimTime, Str, Uid};

/// What counts as the completion of a Job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum CompletionMode {
    #[default]
    NonIndexed,
    Indexed,
}

/// When a Job replaces a pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum PodReplacementPolicy {
    #[default]
    TerminatingOrFailed,
    Failed,
}

/// What a failed pod means for its Job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum PodFailurePolicyAction {
    FailJob,
    FailIndex,
    Ignore,
    Count,
}

impl PodFailurePolicyAction {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailJob => "FailJob",
            Self::FailIndex => "FailIndex",
            Self::Ignore => "Ignore",
            Self::Count => "Count",
        }
    }
}

/// Which failed pods a rule is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PodFailurePolicyRequirement {
    /// A container (any, or the one of this name) ended with an exit code other than zero that is in the list, or
    /// that is not.
    ExitCodes {
        /// The container; `None` means any.
        container: Option<Str>,
        /// `In` (true) or `NotIn`.
        is_in: bool,
        /// The codes.
        values: Vec<i32>,
    },
    /// One of these conditions, by type, has this status.
    PodConditions(Vec<(Str, ConditionStatus)>),
}

/// A rule of `spec.podFailurePolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodFailurePolicyRule {
    /// What a match means.
    pub action: PodFailurePolicyAction,
    /// What matches.
    pub requirement: PodFailurePolicyRequirement,
}

/// A rule of `spec.successPolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuccessPolicyRule {
    /// Of these indexes (`0-2,5`); `None` means of all.
    pub succeeded_indexes: Option<Str>,
    /// So many; `None` means all of them.
    pub succeeded_count: Option<i32>,
}

/// What a Job is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobSpec {
    /// Most pods at a time.
    pub parallelism: i32,
    /// Successes wanted; `None` means that any success is the Job's.
    pub completions: Option<i32>,
    /// What counts as a completion.
    pub completion_mode: CompletionMode,
    /// Failures allowed.
    pub backoff_limit: i32,
    /// Failures allowed in each index.
    pub backoff_limit_per_index: Option<i32>,
    /// Indexes that may fail.
    pub max_failed_indexes: Option<i32>,
    /// What failed pods mean; `None` means that each counts.
    pub pod_failure_policy: Option<Vec<PodFailurePolicyRule>>,
    /// When enough indexes have succeeded; `None` means all of them.
    pub success_policy: Option<Vec<SuccessPolicyRule>>,
    /// When pods are replaced.
    pub pod_replacement_policy: PodReplacementPolicy,
    /// Longest active time.
    pub active_deadline: Option<SimDuration>,
    /// No pods for now.
    pub suspend: bool,
    /// How long it stays when it has finished; `None` means for ever.
    pub ttl_after_finished: Option<SimDuration>,
    /// Another controller's Job; `None` means the Job controller's.
    pub managed_by: Option<Str>,
    /// Which pods are its own, when the user chose that.
    pub selector: Option<Arc<LabelSelector>>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            parallelism: 1,
            completions: Some(1),
            completion_mode: CompletionMode::default(),
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            pod_failure_policy: None,
            success_policy: None,
            pod_replacement_policy: PodReplacementPolicy::default(),
            active_deadline: None,
            suspend: false,
            ttl_after_finished: None,
            managed_by: None,
            selector: None,
            template: Arc::default(),
        }
    }
}

/// Types of a Job's conditions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum JobConditionType {
    Suspended,
    FailureTarget,
    SuccessCriteriaMet,
    Failed,
    Complete,
}

impl JobConditionType {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::FailureTarget => "FailureTarget",
            Self::SuccessCriteriaMet => "SuccessCriteriaMet",
            Self::Failed => "Failed",
            Self::Complete => "Complete",
        }
    }
}

/// A condition of a Job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobCondition {
    /// Type.
    pub kind: JobConditionType,
    /// True or False.
    pub status: ConditionStatus,
    /// Reason.
    pub reason: Str,
    /// Text.
    pub message: Str,
    /// Last change of status.
    pub since: SimTime,
}

/// Pods that have ended and whose finalizer is being removed, before they are counted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UncountedTerminatedPods {
    /// Succeeded ones.
    pub succeeded: Vec<Uid>,
    /// Failed ones.
    pub failed: Vec<Uid>,
}

/// What is observed of a Job.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct JobStatus {
    /// Generation acted on. Not an official field: upstream's controller compares what it hears of.
    pub observed_generation: u64,
    /// When it first was active, or was resumed.
    pub start_time: Option<SimTime>,
    /// When it was complete.
    pub completion_time: Option<SimTime>,
    /// Pods that have not ended.
    pub active: i32,
    /// Ready ones among them.
    pub ready: Option<i32>,
    /// Pods being deleted.
    pub terminating: Option<i32>,
    /// Successes counted.
    pub succeeded: i32,
    /// Failures counted.
    pub failed: i32,
    /// Indexes that succeeded, such as `0-2,5`.
    pub completed_indexes: Str,
    /// Indexes that failed, with a limit per index.
    pub failed_indexes: Option<Str>,
    /// Pods that are being counted.
    pub uncounted: UncountedTerminatedPods,
    /// Conditions, in order of their appearance.
    pub conditions: Vec<JobCondition>,
    /// Failures since the last success. Not an official field: upstream's controller has it in its memory.
    pub failures_after_last_success: i32,
    /// When the last of them ended. Not an official field either.
    pub last_failure: Option<SimTime>,
}

impl JobStatus {
    /// The condition of this type, if it is there.
    #[must_use]
    pub fn condition(&self, kind: JobConditionType) -> Option<&JobCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
    /// The condition of this type, if it is True.
    #[must_use]
    pub fn true_condition(&self, kind: JobConditionType) -> Option<&JobCondition> {
        self.condition(kind).filter(|condition| condition.status.is_true())
    }
    /// Complete or Failed, when it is one of them.
    #[must_use]
    pub fn finished(&self) -> Option<&JobCondition> {
        let is_end = |condition: &&JobCondition| matches!(condition.kind, JobConditionType::Complete | JobConditionType::Failed);
        self.conditions.iter().filter(is_end).find(|condition| condition.status.is_true())
    }
}

/// A Job.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Job {
    /// Name, labels, owner.
    pub meta: ObjectMeta,
    /// What it is to do.
    pub spec: Arc<JobSpec>,
    /// What is observed.
    pub status: JobStatus,
}

impl Job {
    /// Whether its pods have indexes.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode == CompletionMode::Indexed
    }
    /// Successes wanted, or pods at a time when any success is the Job's.
    #[must_use]
    pub fn desired(&self) -> i32 {
        self.spec.completions.unwrap_or(self.spec.parallelism)
    }
}

/// What a CronJob does when the run before is not over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ConcurrencyPolicy {
    #[default]
    Allow,
    Forbid,
    Replace,
}

/// What is observed of a CronJob.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CronJobStatus {
    /// Jobs that have not finished, by name.
    pub active: Vec<Str>,
    /// The last time for which a Job was made.
    pub last_schedule_time: Option<SimTime>,
    /// When a Job last completed.
    pub last_successful_time: Option<SimTime>,
}

/// A CronJob.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CronJob {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// When, as [`crate::Schedule`] reads it.
    pub schedule: Str,
    /// The zone of the schedule by name; `None` means UTC.
    pub time_zone: Option<Str>,
    /// How late a Job may be made; `None` means any.
    pub starting_deadline: Option<SimDuration>,
    /// What happens when the last Job is not over.
    pub concurrency: ConcurrencyPolicy,
    /// No Jobs for now.
    pub suspend: bool,
    /// Complete Jobs that are kept; `None` keeps all.
    pub successful_jobs_history_limit: Option<i32>,
    /// Failed Jobs that are kept; `None` keeps all.
    pub failed_jobs_history_limit: Option<i32>,
    /// Labels and annotations of its Jobs.
    pub job_meta: ObjectMeta,
    /// What its Jobs do.
    pub job_spec: Arc<JobSpec>,
    /// What is observed.
    pub status: CronJobStatus,
}
