//! Progress of runs on stderr: a bar for people, a plain line every ten seconds for logs.
//!
//! Not here: anything that a result could depend on. Wall time is read here and in `experiment` only.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::{SimDuration, SimTime};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};

use crate::io::{Io, ProgressStyle};

/// Before this share of the work nothing is said of how long the rest will take.
const PACE_KNOWN: f64 = 0.02;

/// Progress of a few runs at once.
pub(crate) struct Progress<'a> {
    io: &'a Io,
    bar: Option<ProgressBar>,
    plain: Option<Mutex<Instant>>,
    total_nanos: u64,
    done_nanos: AtomicU64,
    /// What there is more than one of: where a single run is says more than that it is the only one.
    noun: Option<&'static str>,
    jobs: usize,
    done_jobs: AtomicUsize,
    started: Instant,
}

impl<'a> Progress<'a> {
    /// Of `runs` runs of this length each.
    pub(crate) fn new(io: &'a Io, runs: usize, duration: SimDuration) -> Self {
        let noun = (runs > 1).then_some("runs");
        Self { noun, ..Self::of_jobs(io, runs, duration.as_nanos().saturating_mul(runs as u64)) }
    }

    /// Of many jobs, `total_nanos` of simulated time in all.
    pub(crate) fn of_jobs(io: &'a Io, jobs: usize, total_nanos: u64) -> Self {
        let total_nanos = total_nanos.max(1);
        let style = io.progress_style();
        let bar = (style == ProgressStyle::Auto).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total_nanos), ProgressDrawTarget::stderr_with_hz(10));
            let template = "{bar:30} {percent:>3}%  {msg}  {elapsed} elapsed";
            bar.set_style(BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()));
            bar
        });
        let plain = (style == ProgressStyle::Plain).then(|| Mutex::new(now()));
        let (done_nanos, done_jobs) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { io, bar, plain, total_nanos, done_nanos, noun: Some("jobs"), jobs, done_jobs, started: now() }
    }

    /// A run has come from `from` to `to`.
    pub(crate) fn advance(&self, from: SimTime, to: SimTime) {
        let step = to.since(from).as_nanos();
        let done = self.done_nanos.fetch_add(step, Ordering::Relaxed) + step;
        let share = done as f64 / self.total_nanos as f64;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(self.place(to) + &self.left(share));
        }
        let Some(last) = &self.plain else { return };
        if let Ok(mut last) = last.try_lock()
            && last.elapsed() >= Duration::from_secs(10)
        {
            *last = now();
            self.io.say(&format!("{:3.0}% simulated, {}{}", share * 100.0, self.place(to), self.left(share)));
        }
    }

    /// A job, or one of several runs, is done.
    pub(crate) fn job_done(&self) {
        self.done_jobs.fetch_add(1, Ordering::Relaxed);
    }

    fn place(&self, at: SimTime) -> String {
        self.noun
            .map_or_else(|| format!("at {at}"), |noun| format!("{} of {} {noun} done", self.done_jobs.load(Ordering::Relaxed), self.jobs))
    }

    /// What is left at the pace so far, in simulated time; nothing before there is a pace. Jobs are done in the order of
    /// their ids, which mixes cheap points with expensive ones, so that what is done stands for what is not.
    fn left(&self, share: f64) -> String {
        let gone = self.started.elapsed().as_secs_f64();
        if self.noun != Some("jobs") || share < PACE_KNOWN {
            return String::new();
        }
        format!(", about {} left", reports::metrics::seconds((gone / share - gone).max(1.0)))
    }

    /// All runs are over.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The wall clock: for progress and run.meta.json.
#[expect(clippy::disallowed_methods, reason = "wall time for people; no result depends on it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
