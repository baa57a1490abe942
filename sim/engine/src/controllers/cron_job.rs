//! CronJob controller: makes a Job at every time of a schedule, and removes old ones.
//!
//! Reads: CronJobs, Jobs. Writes: Jobs created and deleted, CronJob status.
//! Upstream: pkg/controller/cronjob/{cronjob_controllerv2,utils}.go.
//!
//! Invariants:
//! - Of several missed times only the most recent one is made up for.
//! - A Job is named after the minute it is for, so that no time gets two.
//! - One timer per CronJob, at its next time and 100 ms; nothing is polled.
//!
//! Simplified: Jobs are told apart by their names in `status.active`. A schedule that changes is acted on at
//! once, which makes up for a time of the new schedule that has just passed; upstream waits for the next one.

use std::sync::Arc;

use api::{
    ConcurrencyPolicy, CronJob, Job, JobConditionType, JobStatus, Kind, ObjectMeta, Propagation, Schedule, SimDuration, SimTime, Str,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::pod_control::controller_of;
use super::{View, object_name, owning};
use crate::effects::{Component, Effects, Write};
use crate::objects::{AnyObject, Kept, Part};
use crate::store::{Change, CronJobId, JobId};

const BY: Component = Component::CronJob;
/// Upstream: nextScheduleDelta, against clocks that differ.
const PADDING: SimDuration = SimDuration::from_millis(100);
/// More missed times than this are worth a warning.
const MANY: i64 = 100;
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Which CronJobs a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(CronJobId)) {
    let store = view.store;
    let woken = match change {
        Change::Object(Kind::CronJob, number) => Some(CronJobId::new(*number)),
        Change::Object(Kind::Job, number) => store.jobs.get(JobId::new(*number)).and_then(|job| owning::<CronJob>(store, &job.meta)),
        Change::ObjectDeleted(AnyObject::Job(gone)) => owning::<CronJob>(store, &gone.meta),
        _ => None,
    };
    if let Some(id) = woken {
        queue(id);
    }
}

/// One reconciliation.
pub(crate) fn sync(id: CronJobId, view: &View<'_>, out: &mut Effects) {
    let Some(stored) = view.store.cron_jobs.get(id) else { return };
    let jobs = view.store.jobs.of(stored.meta.uid).map(|(_, job)| job).collect();
    let mut look = Look { stored, cron: stored.clone(), jobs, view, out };
    look.remove_old();
    look.follow();
    look.schedule();
    let cron = look.cron;
    if cron.status != stored.status {
        out.then();
        out.write(BY, Write::Update(cron.into_any(), Part::Status));
    }
}

/// The clock on the wall, of a schedule's zone.
struct Clock {
    /// Time zero of the run, in seconds since the Unix epoch; and what is over that, in nanoseconds.
    origin: (i64, u64),
    zone: TimeZone,
}

impl Clock {
    fn second(&self, time: SimTime) -> i64 {
        let nanos = time.since(SimTime::ZERO).as_nanos() + self.origin.1;
        self.origin.0 + (nanos / 1_000_000_000) as i64
    }
    fn time(&self, second: i64) -> Option<SimTime> {
        let since = u64::try_from(second - self.origin.0).ok()?;
        Some(SimTime::ZERO + (SimDuration::from_secs(since) - SimDuration::from_nanos(self.origin.1)))
    }
    fn next(&self, schedule: &Schedule, after: i64) -> Option<i64> {
        let offset = |second: i64| Timestamp::from_second(second).map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()));
        schedule.next(after, &offset)
    }
    /// As RFC 3339, in the zone.
    fn text(&self, second: i64) -> String {
        let Ok(at) = Timestamp::from_second(second) else { return second.to_string() };
        let zoned = at.to_zoned(self.zone.clone());
        let offset = zoned.offset().seconds();
        if offset == 0 {
            return at.to_string();
        }
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        format!("{}{sign}{:02}:{:02}", zoned.datetime(), minutes / 60, minutes % 60)
    }
}

/// What has been due since the last time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Due {
    earliest: i64,
    /// The most recent time that has passed.
    recent: Option<i64>,
    missed: i64,
}

/// Upstream: mostRecentScheduleTime. `None` for a schedule whose times never come.
fn due(schedule: &Schedule, clock: &Clock, earliest: i64, now: i64) -> Option<Due> {
    let first = clock.next(schedule, earliest)?;
    if now < first {
        return Some(Due { earliest, recent: None, missed: 0 });
    }
    let second = clock.next(schedule, first)?;
    if now < second {
        return Some(Due { earliest, recent: Some(first), missed: 0 });
    }
    let between = second - first;
    let missed = (now - first) / between + 1;
    let mut recent = None;
    let mut at = clock.next(schedule, first + (missed - 2) * between)?;
    while at <= now {
        recent = Some(at);
        at = clock.next(schedule, at)?;
    }
    Some(Due { earliest, recent, missed })
}

struct Look<'a, 'b> {
    stored: &'a CronJob,
    /// With the status that will be written.
    cron: CronJob,
    jobs: Vec<&'a Job>,
    view: &'a View<'a>,
    out: &'b mut Effects,
}

impl<'a> Look<'a, '_> {
    fn event(&mut self, warning: bool, reason: &str, message: String) {
        self.out.event(BY, warning, reason, object_name(Kind::CronJob.as_str(), &self.stored.meta), message);
    }

    fn is_active(&self, name: &Str) -> bool {
        self.cron.status.active.contains(name)
    }

    /// Deletes the oldest Jobs beyond the history limits.
    fn remove_old(&mut self) {
        let limits = [
            (JobConditionType::Complete, self.stored.successful_jobs_history_limit),
            (JobConditionType::Failed, self.stored.failed_jobs_history_limit),
        ];
        for (end, limit) in limits {
            let Some(limit) = limit else { continue };
            let mut ended: Vec<&Job> = self.jobs.iter().copied().filter(|job| has_ended(job) == Some(end)).collect();
            ended.sort_by_key(|job| (job.status.start_time.is_none(), job.status.start_time, job.meta.name.clone()));
            let surplus = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            ended.into_iter().take(surplus).for_each(|job| self.delete(job));
        }
    }

    fn delete(&mut self, job: &Job) {
        if job.meta.is_deleting() {
            return;
        }
        let write = Write::Delete(Kind::Job, job.meta.key(), Propagation::Background);
        let about = object_name(Kind::CronJob.as_str(), &self.stored.meta);
        self.out.announce(BY, write, "SuccessfulDelete", about, format!("Deleted job {}", job.meta.name));
        self.cron.status.active.retain(|name| *name != job.meta.name);
    }

    /// Sees what has become of the Jobs.
    fn follow(&mut self) {
        for job in self.jobs.clone() {
            let name = &job.meta.name;
            let Some(end) = has_ended(job) else {
                if !self.is_active(name) {
                    self.event(true, "UnexpectedJob", format!("Saw a job that the controller did not create or forgot: {name}"));
                }
                continue;
            };
            if self.is_active(name) {
                self.cron.status.active.retain(|active| active != name);
                self.event(false, "SawCompletedJob", format!("Saw completed job: {name}, condition: {}", end.as_str()));
            }
            if end == JobConditionType::Complete && job.status.completion_time > self.cron.status.last_successful_time {
                self.cron.status.last_successful_time = job.status.completion_time;
            }
        }
        let missing: Vec<Str> =
            self.cron.status.active.iter().filter(|name| self.jobs.iter().all(|job| job.meta.name != **name)).cloned().collect();
        for name in missing {
            self.cron.status.active.retain(|active| *active != name);
            self.event(false, "MissingJob", format!("Active job went missing: {name}"));
        }
    }

    /// Makes the Job that is due, if one is, and sets the time of the next look.
    fn schedule(&mut self) {
        if self.stored.meta.is_deleting() {
            return;
        }
        let zone = match &self.stored.time_zone {
            None => TimeZone::UTC,
            Some(name) => match TimeZone::get(name) {
                Ok(zone) => zone,
                Err(_) => {
                    let message = format!("invalid timeZone: {:?}: unknown time zone {name}", &**name);
                    return self.event(true, "UnknownTimeZone", message);
                }
            },
        };
        if self.stored.suspend {
            return;
        }
        let text = &self.stored.schedule;
        let schedule = match Schedule::parse(text) {
            Ok(schedule) => schedule,
            Err(error) => return self.event(true, "UnparseableSchedule", format!("unparseable schedule: {:?} : {error}", &**text)),
        };
        let origin = self.view.settings.controller_manager.clock_start;
        let clock = Clock { origin: (origin.as_secs() as i64, origin.as_nanos() % 1_000_000_000), zone };
        match self.make_due(&schedule, &clock) {
            Err(()) => {
                let message = format!("invalid schedule: {text} : time difference between two schedules is less than 1 second");
                self.event(true, "InvalidSchedule", message);
            }
            Ok(false) => {}
            Ok(true) => {
                if let Some(next) = self.next(&schedule, &clock) {
                    self.out.resync_at(next + PADDING);
                }
            }
        }
    }

    /// The first time from which on times count.
    fn earliest(&self, clock: &Clock) -> i64 {
        clock.second(self.cron.status.last_schedule_time.unwrap_or(self.stored.meta.creation))
    }

    /// Whether there is a next time to wait for.
    fn make_due(&mut self, schedule: &Schedule, clock: &Clock) -> Result<bool, ()> {
        let now = clock.second(self.view.now);
        let deadline = self.stored.starting_deadline.map(|deadline| deadline.as_secs() as i64);
        let earliest = deadline.map_or(i64::MIN, |deadline| now - deadline).max(self.earliest(clock));
        let due = due(schedule, clock, earliest, now).ok_or(())?;
        let Some(recent) = due.recent else { return Ok(true) };
        if due.missed > MANY {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.event(true, "TooManyMissedTimes", message.to_owned());
        }
        if deadline.is_some_and(|deadline| recent + deadline < now) {
            let at = Timestamp::from_second(recent).map_or(String::new(), |at| at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string());
            self.event(true, "MissSchedule", format!("Missed scheduled time to start a job: {at}"));
            return Ok(true);
        }
        let name: Str = format!("{}-{}", self.stored.meta.name, recent.div_euclid(60)).into();
        let scheduled = clock.time(recent);
        if self.is_active(&name) || (scheduled.is_some() && self.cron.status.last_schedule_time == scheduled) {
            return Ok(true);
        }
        if self.stored.concurrency == ConcurrencyPolicy::Forbid && !self.cron.status.active.is_empty() {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            self.event(false, "JobAlreadyActive", message.to_owned());
            return Ok(true);
        }
        if self.stored.concurrency == ConcurrencyPolicy::Replace {
            let active: Vec<&Job> = self.jobs.iter().copied().filter(|job| self.is_active(&job.meta.name)).collect();
            active.into_iter().for_each(|job| self.delete(job));
        }
        let known = self.view.store.jobs.find(&api::ObjectKey { namespace: self.stored.meta.namespace.clone(), name: name.clone() });
        if known.is_none() {
            self.out.then();
            self.make(&name, clock.text(recent));
        } else if self.jobs.iter().all(|job| job.meta.name != name) {
            return Ok(false); // Somebody else's Job has the name.
        }
        self.cron.status.active.push(name);
        self.cron.status.last_schedule_time = scheduled;
        Ok(true)
    }

    fn make(&mut self, name: &Str, scheduled: String) {
        let from = &self.stored.job_meta;
        let mut annotations = (*from.annotations).clone();
        annotations.insert(SCHEDULED_AT.into(), scheduled.into());
        let meta = ObjectMeta {
            namespace: self.stored.meta.namespace.clone(),
            name: name.clone(),
            labels: from.labels.clone(),
            annotations: Arc::new(annotations),
            owners: vec![controller_of(Kind::CronJob.as_str(), &self.stored.meta)],
            ..ObjectMeta::default()
        };
        let job = Job { meta, spec: self.stored.job_spec.clone(), status: JobStatus::default() };
        let said = ("SuccessfulCreate", object_name(Kind::CronJob.as_str(), &self.stored.meta), format!("Created job {name}"));
        self.out.announce_with(BY, Write::Create(job.into_any()), said, Some(("FailedCreate", "Error creating job: ")));
    }

    /// When to look again. Upstream: nextScheduleTimeDuration.
    fn next(&self, schedule: &Schedule, clock: &Clock) -> Option<SimTime> {
        let now = clock.second(self.view.now);
        let from = match due(schedule, clock, self.earliest(clock), now) {
            Some(Due { recent: Some(recent), .. }) => recent,
            Some(Due { earliest, missed: 0, .. }) => earliest,
            Some(_) | None => now,
        };
        clock.time(clock.next(schedule, from)?)
    }
}

fn has_ended(job: &Job) -> Option<JobConditionType> {
    job.status.finished().map(|condition| condition.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn clock() -> Clock {
        Clock { origin: (1_800_000_000, 0), zone: TimeZone::UTC }
    }

    #[test]
    fn only_the_most_recent_of_the_missed_times_is_due() {
        let schedule = Schedule::parse("0 * * * *").expect("a schedule");
        let start = 1_800_000_000 - 1_800_000_000 % HOUR;
        let due = |now| due(&schedule, &clock(), start, now);
        let found = |recent, missed| Some(Due { earliest: start, recent, missed });
        assert_eq!(due(start + HOUR - 1), found(None, 0));
        assert_eq!(due(start + HOUR), found(Some(start + HOUR), 0));
        assert_eq!(due(start + 3 * HOUR + 5), found(Some(start + 3 * HOUR), 3));
        assert_eq!(due(start + 200 * HOUR), found(Some(start + 200 * HOUR), 200));
    }

    #[test]
    fn times_are_written_in_their_zone() {
        let zone = TimeZone::get("Asia/Kolkata").expect("a zone of the built-in database");
        assert_eq!(Clock { origin: (0, 0), zone }.text(0), "1970-01-01T05:30:00+05:30");
        assert_eq!(clock().text(60), "1970-01-01T00:01:00Z");
    }

    #[test]
    fn the_clock_goes_both_ways() {
        let clock = Clock { origin: (100, 250_000_000), zone: TimeZone::UTC };
        assert_eq!(clock.second(SimTime::from_millis(800)), 101);
        assert_eq!(clock.time(101), Some(SimTime::from_millis(750)));
    }
}
