//! Job controller: makes pods until enough of them have succeeded, or too many have failed.
//!
//! Reads: Jobs, Pods. Writes: pods created and deleted, their tracking finalizer, Job status.
//! Upstream: pkg/controller/job/job_controller.go. The order of evaluation in [`Sync`] is upstream's.
//!
//! Invariants:
//! - Every pod is counted exactly once: its identity goes into the status, then its finalizer goes, then the
//!   counter rises. A refused write ends the sync before the next one.
//! - A Job is Complete or Failed only when no pod is terminating and none is left to be counted.
//! - News of pods lead to a sync a second later, a changed spec at once.
//!
//! Not modelled: gang scheduling of Jobs
//! (off by default).

mod backoff;
mod indexes;
mod policy;
#[cfg(test)]
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    ConditionStatus, Job, JobCondition, JobConditionType, JobStatus, Kind, LabelSelector, Labels, ObjectMeta, Pod, PodPhase,
    PodReplacementPolicy, PodStatus, RestartPolicy, SimDuration, SimTime, Str, Uid,
};
use trace::Record;

use super::claim::{Claim, heirs};
use super::pod_control::{LONGEST_PREFIX, controller_of, victim_order};
use super::{View, object_name, owning, whole_second};
use crate::effects::{Announcement, Component, Effects, Key, Write};
use crate::objects::{AnyObject, Part};
use crate::store::{Change, JobId, PodId, Store};
use indexes::Indexes;

/// What holds a pod until its Job has counted it.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
const INDEX_IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Upstream: SyncJobBatchPeriod.
const BATCH_PERIOD: SimDuration = SimDuration::from_secs(1);
/// Upstream: MaxPodCreateDeletePerSync.
const BURST: usize = 500;
/// Most pods counted in one sync, and listed as being counted. Upstream: MaxUncountedPods.
const MAX_UNCOUNTED: usize = 500;
/// Keys are numbers of Jobs, or with this bit numbers of pods that no Job counts any more.
const ORPHAN: u32 = 1 << 31;

/// What is synced at once: Jobs that are new or whose spec has changed, and pods that nobody counts.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let orphans_of = |uid: Uid, queue: &mut dyn FnMut(Key)| {
        for (id, _) in view.store.pods_of(uid).filter(|(_, pod)| pod.meta.has_finalizer(TRACKING)) {
            queue(Key(id.number() | ORPHAN));
        }
    };
    match change {
        Change::Object(Kind::Job, number) => {
            let Some(job) = view.store.jobs.get(JobId::new(*number)) else { return };
            if job.status.finished().is_some() {
                orphans_of(job.meta.uid, queue);
            } else if job.meta.generation != job.status.observed_generation {
                queue(Key(*number));
            }
        }
        Change::ObjectDeleted(AnyObject::Job(gone)) => orphans_of(gone.meta.uid, queue),
        Change::PodAdded(id) | Change::PodModified(id, _) => {
            let Some(pod) = view.store.pods.get(*id) else { return };
            if pod.meta.is_deleting() && is_orphan(pod, view.store) {
                queue(Key(id.number() | ORPHAN));
            }
        }
        _ => {}
    }
}

/// What is synced within a second.
pub(crate) fn interested_later(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(JobId, SimTime)) {
    let store = view.store;
    let job = match change {
        Change::Object(Kind::Job, number) => Some(JobId::new(*number)),
        Change::PodAdded(id) | Change::PodModified(id, _) => store.pods.get(*id).and_then(|pod| owning::<Job>(store, &pod.meta)),
        Change::PodDeleted(_, gone) => owning::<Job>(store, &gone.meta),
        _ => None,
    };
    let mut heir = |id| queue(id, view.now + BATCH_PERIOD);
    heirs::<Job>(change, view, |job, labels| job.status.finished().is_none() && selector(job).matches(labels), &mut heir);
    let Some((id, job)) = job.and_then(|id| Some((id, store.jobs.get(id)?))) else { return };
    if job.status.finished().is_none() {
        queue(id, view.now + BATCH_PERIOD);
    }
}

/// Which pods are a Job's: by the label that each gets from its identity, or as the user chose.
fn selector(job: &Job) -> LabelSelector {
    job.spec.selector.as_deref().cloned().unwrap_or_else(|| LabelSelector {
        match_labels: [(CONTROLLER_UID.into(), job.meta.uid.to_string().into())].into(),
        ..LabelSelector::default()
    })
}

/// Whether its finalizer is left, and no Job will take it off.
fn is_orphan(pod: &Pod, store: &Store) -> bool {
    let of_job = pod.meta.controller().is_none_or(|owner| &*owner.kind == Kind::Job.as_str());
    let job = owning::<Job>(store, &pod.meta).and_then(|id| store.jobs.get(id));
    of_job && pod.meta.has_finalizer(TRACKING) && job.is_none_or(|job| job.status.finished().is_some())
}

/// One reconciliation.
pub(crate) fn sync(key: Key, view: &View<'_>, out: &mut Effects) {
    if key.0 & ORPHAN != 0 {
        let id = PodId::new(key.0 & !ORPHAN);
        if view.store.pods.get(id).is_some_and(|pod| is_orphan(pod, view.store)) {
            out.write(Component::Job, release(id));
        }
        return;
    }
    let Some(job) = view.store.jobs.get(JobId::new(key.0)) else { return };
    let is_ours = job.spec.managed_by.as_ref().is_none_or(|name| &**name == "kubernetes.io/job-controller");
    if is_ours && job.status.finished().is_none() {
        Sync::new(job, view, out).run(out);
    }
}

/// One sync of one Job.
struct Sync<'a> {
    job: &'a Job,
    view: &'a View<'a>,
    /// All its pods.
    pods: Vec<(PodId, &'a Pod)>,
    /// Those that have neither ended nor are being deleted.
    active: Vec<(PodId, &'a Pod)>,
    /// The status that will be written.
    status: JobStatus,
    backoff: backoff::Record,
    terminating: i32,
    ready: i32,
    succeeded: i32,
    failed: i32,
    known_succeeded: Indexes,
    succeeded_indexes: Indexes,
    failed_indexes: Option<Indexes>,
    /// Failed pods that stay until there is a pod which carries on their count, by index.
    delayed: BTreeMap<i32, &'a Pod>,
    /// How the Job ends, if it does.
    finished: Option<JobCondition>,
    /// Pods made or deleted, each batch after the one before has landed.
    pod_writes: Vec<Vec<Write>>,
    /// How many are made.
    made: i32,
    event: Option<Record>,
}

impl<'a> Sync<'a> {
    fn new(job: &'a Job, view: &'a View<'a>, out: &mut Effects) -> Self {
        let claim = Claim { by: Component::Job, kind: Kind::Job, owner: &job.meta, selector: &selector(job), finalizer: Some(TRACKING) };
        let pods: Vec<(PodId, &Pod)> = claim.claim(Kind::Pod, &view.store.pods, |_| true, |_| true, out);
        let active: Vec<(PodId, &Pod)> = pods.iter().filter(|(_, pod)| pod.is_active()).copied().collect();
        let is_terminating = |pod: &Pod| pod.meta.is_deleting() && !pod.status.phase.is_terminal();
        Self {
            terminating: pods.iter().filter(|(_, pod)| is_terminating(pod)).count() as i32,
            ready: active.iter().filter(|(_, pod)| pod.is_ready()).count() as i32,
            status: job.status.clone(),
            backoff: backoff::Record { failures: 0, last: None },
            succeeded: 0,
            failed: 0,
            known_succeeded: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            delayed: BTreeMap::new(),
            finished: None,
            pod_writes: Vec::new(),
            made: 0,
            event: None,
            job,
            view,
            pods,
            active,
        }
    }

    fn run(mut self, out: &mut Effects) {
        let now = self.view.now;
        self.count_finished();
        if self.status.start_time.is_none() && !self.job.spec.suspend {
            self.status.start_time = Some(now);
        }
        self.finished = self.failure(out);
        if self.job.is_indexed() {
            self.judge_indexes();
        }
        let mut active = self.active.len() as i32;
        let mut suspension_changes = false;
        if self.finished.is_some() {
            self.delete_active();
            active = 0;
        } else {
            let managed = !self.job.meta.is_deleting();
            if managed {
                active = self.manage(out);
            }
            let is_complete = match self.job.spec.completions {
                None => self.succeeded > 0 && active == 0,
                Some(completions) => self.succeeded >= completions && active == 0,
            };
            if is_complete {
                let message = "Reached expected number of succeeded pods";
                self.finished = Some(self.condition(JobConditionType::SuccessCriteriaMet, "CompletionsReached", message));
            } else if managed {
                suspension_changes = self.suspend_or_resume();
            }
        }
        let (ready, terminating) = (Some(self.ready), Some(self.terminating));
        let changes = (self.status.active, self.status.ready, self.status.terminating) != (active, ready, terminating);
        (self.status.active, self.status.ready, self.status.terminating) = (active, ready, terminating);
        self.track(suspension_changes || changes, out);
    }

    fn condition(&self, kind: JobConditionType, reason: &str, message: &str) -> JobCondition {
        let since = whole_second(self.view.now);
        JobCondition { kind, status: ConditionStatus::True, reason: reason.into(), message: message.into(), since }
    }

    // What has happened to the pods.

    /// Pods that have a finalizer, are not being counted yet and, in an Indexed Job, have an index.
    fn valid(&self, counted: &'a [Uid]) -> impl Iterator<Item = &'a Pod> + use<'a, '_> {
        self.pods.iter().map(|(_, pod)| *pod).filter(move |pod| {
            let has_index = !self.job.is_indexed() || self.index(pod).is_some();
            pod.meta.has_finalizer(TRACKING) && !counted.contains(&pod.meta.uid) && has_index
        })
    }

    fn count_finished(&mut self) {
        let uncounted = &self.job.status.uncounted;
        let succeeded: Vec<&Pod> = self.valid(&uncounted.succeeded).filter(|pod| pod.status.phase == PodPhase::Succeeded).collect();
        let failed: Vec<&Pod> = self.valid(&uncounted.failed).filter(|pod| is_failed(pod, self.job)).collect();
        let failures = failed.iter().filter(|pod| policy::judge(self.job, pod).counts).count();
        self.succeeded = self.job.status.succeeded + (succeeded.len() + uncounted.succeeded.len()) as i32;
        self.failed = self.job.status.failed + (failures + uncounted.failed.len()) as i32;
        self.backoff = backoff::Record::new(&self.job.status, &succeeded, &failed);
    }

    /// How the Job fails, or ends as was decided in an earlier sync.
    fn failure(&self, out: &mut Effects) -> Option<JobCondition> {
        let (job, spec, now) = (self.job, &self.job.spec, self.view.now);
        if let Some(met) = job.status.true_condition(JobConditionType::SuccessCriteriaMet) {
            return Some(met.clone());
        }
        if let Some(target) = job.status.true_condition(JobConditionType::FailureTarget) {
            return Some(self.condition(JobConditionType::Failed, &target.reason, &target.message));
        }
        let failed = self.pods.iter().filter(|(_, pod)| is_failed(pod, job));
        if spec.pod_failure_policy.is_some()
            && let Some(message) = failed.into_iter().find_map(|(_, pod)| policy::judge(job, pod).fails_job)
        {
            return Some(self.condition(JobConditionType::FailureTarget, "PodFailurePolicy", &message));
        }
        if self.failed > spec.backoff_limit || self.restarts_exceed_limit() {
            let message = "Job has reached the specified backoff limit";
            return Some(self.condition(JobConditionType::FailureTarget, "BackoffLimitExceeded", message));
        }
        if let (Some(limit), Some(start), false) = (spec.active_deadline, self.status.start_time, spec.suspend) {
            if now.since(start) >= limit {
                let message = "Job was active longer than specified deadline";
                return Some(self.condition(JobConditionType::FailureTarget, "DeadlineExceeded", message));
            }
            out.resync_at(start + limit);
        }
        None
    }

    /// With restartPolicy OnFailure the restarts of containers count instead of failed pods.
    fn restarts_exceed_limit(&self) -> bool {
        if self.job.spec.template.spec.restart_policy != RestartPolicy::OnFailure {
            return false;
        }
        let lives = |pod: &Pod| matches!(pod.status.phase, PodPhase::Running | PodPhase::Pending);
        let restarts: i64 = self.pods.iter().filter(|(_, pod)| lives(pod)).map(|(_, pod)| i64::from(pod.restart_count())).sum();
        if self.job.spec.backoff_limit == 0 { restarts > 0 } else { restarts >= i64::from(self.job.spec.backoff_limit) }
    }

    // Indexes.

    /// The completion index of a pod, if it is one of the Job's.
    fn index(&self, pod: &Pod) -> Option<i32> {
        completion_index(pod).filter(|index| *index < self.completions())
    }

    fn completions(&self) -> i32 {
        self.job.spec.completions.unwrap_or(0)
    }

    fn judge_indexes(&mut self) {
        let (job, completions) = (self.job, self.completions());
        let uncounted = || self.pods.iter().map(|(_, pod)| *pod).filter(|pod| pod.meta.has_finalizer(TRACKING));
        self.known_succeeded = Indexes::parse(&job.status.completed_indexes, completions);
        let succeeded: Indexes =
            uncounted().filter(|pod| pod.status.phase == PodPhase::Succeeded).filter_map(|pod| self.index(pod)).collect();
        self.succeeded_indexes = self.known_succeeded.with(&succeeded);
        self.succeeded = self.succeeded_indexes.total();
        if let Some(limit) = job.spec.backoff_limit_per_index {
            let known = Indexes::parse(job.status.failed_indexes.as_deref().unwrap_or_default(), completions);
            let failed: Indexes = uncounted().filter(|pod| fails_index(pod, job, limit)).filter_map(|pod| self.index(pod)).collect();
            let failed = known.with(&failed);
            if self.finished.is_none() {
                self.finished = self.index_failure(&failed);
            }
            self.failed_indexes = Some(failed);
            self.delayed = self.delayed_pods();
        }
        if self.finished.is_none()
            && let Some(rules) = &job.spec.success_policy
            && let Some(message) = policy::success(rules, &self.succeeded_indexes, completions)
        {
            self.finished = Some(self.condition(JobConditionType::SuccessCriteriaMet, "SuccessPolicy", &message));
        }
    }

    fn index_failure(&self, failed: &Indexes) -> Option<JobCondition> {
        let (reason, message) = if self.job.spec.max_failed_indexes.is_some_and(|most| failed.total() > most) {
            ("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
        } else if failed.total() > 0 && failed.total() + self.succeeded_indexes.total() >= self.completions() {
            ("FailedIndexes", "Job has failed indexes")
        } else {
            return None;
        };
        Some(self.condition(JobConditionType::FailureTarget, reason, message))
    }

    /// The last failed pod of every index that waits for a new one, which takes over its count.
    fn delayed_pods(&self) -> BTreeMap<i32, &'a Pod> {
        let active: Indexes = self.active.iter().filter_map(|(_, pod)| completion_index(pod)).collect();
        let mut delayed: BTreeMap<i32, &Pod> = BTreeMap::new();
        for pod in self.valid(&[]).filter(|pod| is_failed(pod, self.job)) {
            let Some(index) = self.index(pod) else { continue };
            let is_over = self.succeeded_indexes.has(index) || self.failed_indexes.as_ref().is_some_and(|failed| failed.has(index));
            if is_over || active.has(index) {
                continue;
            }
            let is_later = |other: &Pod| failures_of(other) <= failures_of(pod) && backoff::finished_at(pod) >= backoff::finished_at(other);
            if delayed.get(&index).is_none_or(|other| is_later(other)) {
                delayed.insert(index, pod);
            }
        }
        delayed
    }

    // Pods.

    fn delete_active(&mut self) {
        let active = self.active.clone();
        self.pod_writes = vec![active.iter().map(|(id, pod)| self.deletion(*id, pod)).collect()];
        (self.terminating, self.ready) = (self.terminating + active.len() as i32, 0);
    }

    fn deletion(&self, pod: PodId, object: &Pod) -> Write {
        let write = Write::DeletePod { pod, grace: None, by: Component::Job };
        self.announced(write, "SuccessfulDelete", format!("Deleted pod: {}", object.meta.name))
    }

    fn announced(&self, write: Write, reason: &str, message: String) -> Write {
        let landed = self.event("Normal", reason, &message);
        let forbidden = (reason == "SuccessfulCreate").then(|| ("FailedCreate".into(), "Error creating: ".into()));
        Write::Announced(Box::new(write), Box::new(Announcement { landed, forbidden }))
    }

    fn event(&self, kind: &str, reason: &str, message: &str) -> Record {
        let object = object_name(Kind::Job.as_str(), &self.job.meta).into();
        let source = Component::Job.name().into();
        Record::Event { kind: kind.into(), reason: reason.into(), object, message: message.into(), source }
    }

    /// Makes or deletes pods; how many are active then.
    fn manage(&mut self, out: &mut Effects) -> i32 {
        let (spec, active) = (&self.job.spec, self.active.len() as i32);
        if spec.suspend {
            return self.remove(active as usize);
        }
        let wanted = match spec.completions {
            None if self.succeeded > 0 => active,
            None => spec.parallelism,
            Some(completions) => (completions - self.succeeded).min(spec.parallelism).max(0),
        };
        let surplus = usize::try_from(active - wanted).unwrap_or(0);
        let victims = self.victims(surplus);
        if !victims.is_empty() {
            return self.remove(surplus);
        }
        let terminating = if only_replaces_failed(self.job) { self.terminating } else { 0 };
        let missing = usize::try_from(wanted - terminating - active).unwrap_or(0);
        if missing == 0 { active } else { self.create(missing.min(BURST), out) }
    }

    /// Deletes the surplus; pods that are not needed are not counted.
    fn remove(&mut self, at_least: usize) -> i32 {
        let mut victims = self.victims(at_least);
        if !self.job.spec.suspend {
            victims.truncate(BURST);
        }
        let releases = victims.iter().filter(|(_, pod)| pod.meta.has_finalizer(TRACKING)).map(|(id, _)| release(*id)).collect();
        let deletions = victims.iter().map(|(id, pod)| self.deletion(*id, pod)).collect();
        self.pod_writes = vec![releases, deletions];
        self.terminating += victims.len() as i32;
        self.ready -= victims.iter().filter(|(_, pod)| pod.is_ready()).count() as i32;
        (self.active.len() - victims.len()) as i32
    }

    /// Pods without a place in the Job, and `at_least` so many.
    fn victims(&self, at_least: usize) -> Vec<(PodId, &'a Pod)> {
        let mut left: Vec<(PodId, &Pod)> = self.active.clone();
        left.sort_by_cached_key(|(_, pod)| victim_order(pod));
        let mut victims = Vec::new();
        if self.job.is_indexed() {
            // Of several pods of an index the last in the order of victims stays.
            let mut kept: BTreeMap<i32, (PodId, &Pod)> = BTreeMap::new();
            for (id, pod) in left.drain(..) {
                match self.index(pod) {
                    Some(index) => victims.extend(kept.insert(index, (id, pod))),
                    None => victims.push((id, pod)),
                }
            }
            left = kept.into_values().collect();
            left.sort_by_cached_key(|(_, pod)| victim_order(pod));
        }
        let more = at_least.saturating_sub(victims.len());
        victims.extend(left.into_iter().take(more));
        victims
    }

    fn create(&mut self, mut missing: usize, out: &mut Effects) -> i32 {
        let (now, per_index) = (self.view.now, self.job.spec.backoff_limit_per_index.is_some());
        let mut wait = if per_index { SimDuration::ZERO } else { self.backoff.remaining(now) };
        let mut indexes = Vec::new();
        if wait.is_zero() && self.job.is_indexed() {
            indexes = self.taken().missing(missing, self.completions());
            if per_index {
                (indexes, wait) = self.creatable(indexes);
            }
            missing = indexes.len();
        }
        if !wait.is_zero() {
            out.resync_at(now + wait.max(BATCH_PERIOD));
            return 0; // As upstream: nothing counts as active while the back-off runs.
        }
        let labels = Arc::new(self.labels());
        let indexes = indexes.into_iter().map(Some).chain(std::iter::repeat(None)).take(missing);
        for (place, index) in indexes.enumerate() {
            // Batches of 1, 2, 4, …, so that what cannot be made is found out early.
            if (place + 1).is_power_of_two() {
                self.pod_writes.push(Vec::new());
            }
            let creation = self.creation(index, &labels);
            if let Some(batch) = self.pod_writes.last_mut() {
                batch.push(creation);
            }
        }
        self.made = missing as i32;
        self.active.len() as i32 + self.made
    }

    /// Indexes that need no pod now.
    fn taken(&self) -> Indexes {
        let terminating = self.pods.iter().filter(|(_, pod)| pod.meta.is_deleting() && !pod.status.phase.is_terminal());
        let terminating = terminating.filter(|_| only_replaces_failed(self.job));
        let pods = self.active.iter().chain(terminating).filter_map(|(_, pod)| completion_index(pod)).collect();
        let taken = self.succeeded_indexes.with(&pods);
        self.failed_indexes.as_ref().map_or_else(|| taken.clone(), |failed| taken.with(failed))
    }

    /// Those whose own back-off is over; when there are none, the shortest wait.
    fn creatable(&self, indexes: Vec<i32>) -> (Vec<i32>, SimDuration) {
        let wait = |index: &i32| {
            self.delayed.get(index).map_or(SimDuration::ZERO, |pod| {
                backoff::remaining(failures_of(pod).saturating_add(1), backoff::finished_at(pod), self.view.now)
            })
        };
        let shortest = indexes.iter().map(wait).min().unwrap_or_default();
        (indexes.into_iter().filter(|index| wait(index).is_zero()).collect(), shortest)
    }

    /// What the API server writes on a Job's template.
    fn labels(&self) -> Labels {
        let mut labels = (*self.job.spec.template.labels).clone();
        let (uid, name): (Str, Str) = (self.job.meta.uid.to_string().into(), self.job.meta.name.clone());
        let own = [(CONTROLLER_UID, &uid), ("batch.kubernetes.io/job-name", &name), ("controller-uid", &uid), ("job-name", &name)];
        for (key, value) in own {
            labels.insert(key.into(), value.clone());
        }
        labels
    }

    fn creation(&self, index: Option<i32>, labels: &Arc<Labels>) -> Write {
        let (job, template) = (self.job, &self.job.spec.template);
        let mut meta = ObjectMeta {
            namespace: job.meta.namespace.clone(),
            labels: labels.clone(),
            annotations: template.annotations.clone(),
            owners: vec![controller_of(Kind::Job.as_str(), &job.meta)],
            finalizers: vec![TRACKING.into()],
            ..ObjectMeta::default()
        };
        meta.name = match index {
            None => format!("{}-", job.meta.name).into(), // The API server completes it.
            Some(index) => {
                let value: Str = index.to_string().into();
                Arc::make_mut(&mut meta.labels).insert(COMPLETION_INDEX.into(), value.clone());
                let annotations = Arc::make_mut(&mut meta.annotations);
                annotations.insert(COMPLETION_INDEX.into(), value);
                if job.spec.backoff_limit_per_index.is_some() {
                    self.carry_failures(index, annotations);
                }
                let suffix = format!("-{index}-");
                let room = LONGEST_PREFIX - suffix.len();
                format!("{}{suffix}", job.meta.name.get(..room).unwrap_or(&job.meta.name)).into()
            }
        };
        let pod = Pod { meta, spec: template.spec.clone(), node_name: None, status: PodStatus::default() };
        self.announced(Write::CreatePod(Box::new(pod)), "SuccessfulCreate", "Created pod: {name}".to_owned())
    }

    fn carry_failures(&self, index: i32, annotations: &mut Labels) {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(before) = self.delayed.get(&index) {
            (counted, ignored) = (failure_count(before, INDEX_FAILURE_COUNT), failure_count(before, INDEX_IGNORED_FAILURE_COUNT));
            *(if policy::judge(self.job, before).counts { &mut counted } else { &mut ignored }) += 1;
        }
        annotations.insert(INDEX_FAILURE_COUNT.into(), counted.to_string().into());
        if ignored > 0 {
            annotations.insert(INDEX_IGNORED_FAILURE_COUNT.into(), ignored.to_string().into());
        }
    }

    /// Keeps the Suspended condition; whether it changed.
    fn suspend_or_resume(&mut self) -> bool {
        let suspend = self.job.spec.suspend;
        let (status, reason, message) = match suspend {
            true => (ConditionStatus::True, "JobSuspended", "Job suspended"),
            false => (ConditionStatus::False, "JobResumed", "Job resumed"),
        };
        let wanted = JobCondition { status, ..self.condition(JobConditionType::Suspended, reason, message) };
        if !ensure_condition(&mut self.status.conditions, wanted) {
            return false;
        }
        self.event = Some(self.event("Normal", if suspend { "Suspended" } else { "Resumed" }, message));
        self.status.start_time = (!suspend).then_some(self.view.now);
        true
    }

    // Counting.

    /// Writes what is about to be counted, takes the finalizers off, and writes what has been counted.
    fn track(mut self, mut flush: bool, out: &mut Effects) {
        if self.job.is_indexed() {
            self.pods.sort_by_key(|(_, pod)| completion_index(pod).unwrap_or(-1));
        }
        let mut held: Vec<Uid> =
            self.pods.iter().filter(|(_, pod)| pod.meta.has_finalizer(TRACKING)).map(|(_, pod)| pod.meta.uid).collect();
        flush |= count_released(&mut self.status, &held);
        let (done, adds, is_full) = self.add_uncounted();
        flush |= adds;
        flush |= self.job.is_indexed() && self.write_indexes(&done);
        flush |= self.announce_end();

        let pod_writes = std::mem::take(&mut self.pod_writes);
        let mut batches = Vec::new();
        let mut part = Part::Status;
        if flush {
            (self.status.failures_after_last_success, self.status.last_failure) = (self.backoff.failures, self.backoff.last);
            let event = self.event.take();
            batches.push(vec![self.status_write(part, event)]);
            part = Part::NextStatus;
        }
        batches.push(done.iter().map(|(id, _)| release(*id)).collect());
        held.retain(|uid| !done.iter().any(|(_, pod)| pod.meta.uid == *uid));
        let counted = count_released(&mut self.status, &held);
        let ends = !is_full && self.end();
        if counted || ends {
            let mut write = self.status_write(part, None);
            if ends {
                for landed in self.farewell() {
                    write = Write::Announced(Box::new(write), Box::new(Announcement { landed, forbidden: None }));
                }
            }
            batches.push(vec![write]);
        }
        let mut waves: Vec<Vec<_>> = pod_writes.into_iter().filter(|batch| !batch.is_empty()).map(as_job).collect();
        let counting = batches.into_iter().filter(|batch: &Vec<Write>| !batch.is_empty()).map(as_job);
        if waves.is_empty() || self.finished.is_some() {
            waves.extend(counting);
        } else {
            // What has ended is counted even if others cannot be made (upstream: `manageJobErr` is returned last).
            let counting: Vec<Vec<_>> = counting.collect();
            out.otherwise = counting.clone();
            out.otherwise.iter_mut().flatten().for_each(|(_, write)| forget_made(write, self.made));
            waves.extend(counting);
        }
        for wave in waves {
            out.then();
            out.writes.extend(wave);
        }
    }

    fn status_write(&self, part: Part, event: Option<Record>) -> Write {
        let mut job = self.job.clone();
        job.status = self.status.clone();
        job.status.start_time = job.status.start_time.map(whole_second);
        job.status.observed_generation = job.meta.generation;
        let write = Write::Update(AnyObject::Job(Box::new(job)), part);
        match event {
            Some(landed) => Write::Announced(Box::new(write), Box::new(Announcement { landed, forbidden: None })),
            None => write,
        }
    }

    /// The pods whose finalizer goes, whether any of them is to be counted, and whether there may be more of them.
    fn add_uncounted(&mut self) -> (Vec<(PodId, &'a Pod)>, bool, bool) {
        let job = self.job;
        let fails_all = self.finished.as_ref().is_some_and(|condition| condition.kind != JobConditionType::SuccessCriteriaMet);
        let (mut done, mut adds, mut new_indexes) = (Vec::new(), false, 0);
        for (id, pod) in self.pods.iter().copied().filter(|(_, pod)| pod.meta.has_finalizer(TRACKING)) {
            let (uid, failed) = (pod.meta.uid, is_failed(pod, job));
            if !self.can_release(pod, failed) {
                continue;
            }
            done.push((id, pod));
            let is_counted = self.status.uncounted.failed.contains(&uid);
            let has_place = !job.is_indexed() || self.index(pod).is_some();
            if pod.status.phase == PodPhase::Succeeded && !is_counted {
                if job.is_indexed() {
                    let is_new = self.index(pod).is_some_and(|index| !self.known_succeeded.has(index));
                    new_indexes += usize::from(is_new);
                    adds |= is_new;
                } else if !self.status.uncounted.succeeded.contains(&uid) {
                    self.status.uncounted.succeeded.push(uid);
                    adds = true;
                }
            } else if (failed || fails_all) && !is_counted && has_place && policy::judge(job, pod).counts {
                self.status.uncounted.failed.push(uid);
                adds = true;
            }
            let uncounted = &self.status.uncounted;
            if new_indexes + uncounted.succeeded.len() + uncounted.failed.len() >= MAX_UNCOUNTED {
                return (done, adds, true); // What this sync writes brings the next one.
            }
        }
        (done, adds, false)
    }

    fn can_release(&self, pod: &Pod, failed: bool) -> bool {
        if self.job.meta.is_deleting() || self.finished.is_some() || pod.status.phase == PodPhase::Succeeded {
            return true;
        }
        let is_delayed =
            || completion_index(pod).and_then(|index| self.delayed.get(&index)).is_some_and(|last| last.meta.uid == pod.meta.uid);
        failed && !(self.job.spec.backoff_limit_per_index.is_some() && is_delayed())
    }

    /// Whether what is known of the indexes has changed.
    fn write_indexes(&mut self, done: &[(PodId, &Pod)]) -> bool {
        let succeeded =
            done.iter().filter(|(_, pod)| pod.status.phase == PodPhase::Succeeded).filter_map(|(_, pod)| self.index(pod)).collect();
        let succeeded = self.succeeded_indexes.with(&succeeded);
        let (completed, failed): (Str, Option<Str>) =
            (succeeded.to_string().into(), self.failed_indexes.as_ref().map(|failed| failed.to_string().into()));
        let changes = completed != self.status.completed_indexes || failed != self.status.failed_indexes;
        (self.status.succeeded, self.status.completed_indexes, self.status.failed_indexes) = (succeeded.total(), completed, failed);
        changes
    }

    /// Writes how the Job will end, before it has; whether that is new.
    fn announce_end(&mut self) -> bool {
        let Some(condition) = self.finished.take() else { return false };
        let end = match condition.kind {
            JobConditionType::FailureTarget => JobConditionType::Failed,
            JobConditionType::SuccessCriteriaMet => JobConditionType::Complete,
            _ => {
                self.finished = Some(condition);
                return false;
            }
        };
        self.finished = Some(self.condition(end, &condition.reason, &condition.message));
        let is_new = self.status.true_condition(condition.kind).is_none();
        if is_new {
            self.status.conditions.push(condition);
        }
        is_new
    }

    /// Writes that the Job has ended, if it has.
    fn end(&mut self) -> bool {
        let Some(condition) = self.finished.clone() else { return false };
        let uncounted = &self.status.uncounted;
        if !uncounted.succeeded.is_empty() || !uncounted.failed.is_empty() || self.terminating > 0 {
            return false;
        }
        if condition.kind == JobConditionType::Complete {
            self.status.completion_time = Some(condition.since);
        }
        ensure_condition(&mut self.status.conditions, condition);
        true
    }

    fn farewell(&self) -> Vec<Record> {
        let Some(condition) = &self.finished else { return Vec::new() };
        if condition.kind == JobConditionType::Failed {
            return vec![self.event("Warning", &condition.reason, &condition.message)];
        }
        let too_many = self.job.spec.completions.is_some_and(|completions| self.status.succeeded > completions);
        let message = "Too many succeeded pods running after completion count reached";
        let too_many = too_many.then(|| self.event("Warning", "TooManySucceededPods", message));
        too_many.into_iter().chain([self.event("Normal", "Completed", "Job completed")]).collect()
    }
}

fn as_job(batch: Vec<Write>) -> Vec<(Component, Write)> {
    batch.into_iter().map(|write| (Component::Job, write)).collect()
}

/// Takes pods that were not made out of a status.
fn forget_made(write: &mut Write, made: i32) {
    match write {
        Write::Announced(write, _) => forget_made(write, made),
        Write::Update(AnyObject::Job(job), _) => job.status.active -= made,
        _ => {}
    }
}

fn release(pod: PodId) -> Write {
    Write::RemoveFinalizer(Kind::Pod, pod.number(), TRACKING.into())
}

/// Counts those whose finalizer is gone; whether there were any.
fn count_released(status: &mut JobStatus, held: &[Uid]) -> bool {
    let release = |uncounted: &mut Vec<Uid>, counter: &mut i32| {
        let before = uncounted.len();
        uncounted.retain(|uid| held.contains(uid));
        *counter += (before - uncounted.len()) as i32;
        before != uncounted.len()
    };
    let succeeded = release(&mut status.uncounted.succeeded, &mut status.succeeded);
    release(&mut status.uncounted.failed, &mut status.failed) || succeeded
}

/// Sets a condition; a new one only when it is True. Whether anything changed.
fn ensure_condition(conditions: &mut Vec<JobCondition>, wanted: JobCondition) -> bool {
    match conditions.iter_mut().find(|condition| condition.kind == wanted.kind) {
        Some(known) if (known.status, &known.reason, &known.message) == (wanted.status, &wanted.reason, &wanted.message) => false,
        Some(known) => {
            *known = wanted;
            true
        }
        None if wanted.status.is_true() => {
            conditions.push(wanted);
            true
        }
        None => false,
    }
}

fn only_replaces_failed(job: &Job) -> bool {
    job.spec.pod_replacement_policy == PodReplacementPolicy::Failed || job.spec.pod_failure_policy.is_some()
}

/// A pod that is being deleted counts as failed before it has ended, unless only ended ones are replaced.
fn is_failed(pod: &Pod, job: &Job) -> bool {
    let lost = pod.meta.is_deleting() && pod.status.phase != PodPhase::Succeeded;
    pod.status.phase == PodPhase::Failed || (lost && !only_replaces_failed(job))
}

/// Whether the failure of this pod is the one too many of its index.
fn fails_index(pod: &Pod, job: &Job, limit: i32) -> bool {
    let verdict = policy::judge(job, pod);
    let fails = verdict.action == Some(api::PodFailurePolicyAction::FailIndex);
    is_failed(pod, job) && (fails || (verdict.counts && failure_count(pod, INDEX_FAILURE_COUNT) >= limit))
}

fn completion_index(pod: &Pod) -> Option<i32> {
    pod.meta.annotations.get(COMPLETION_INDEX)?.parse().ok().filter(|index| *index >= 0)
}

fn failure_count(pod: &Pod, annotation: &str) -> i32 {
    pod.meta.annotations.get(annotation).and_then(|count| count.parse().ok()).filter(|count| *count >= 0).unwrap_or(0)
}

/// Failures of its index before it, counted and ignored.
fn failures_of(pod: &Pod) -> i32 {
    failure_count(pod, INDEX_FAILURE_COUNT).saturating_add(failure_count(pod, INDEX_IGNORED_FAILURE_COUNT))
}
