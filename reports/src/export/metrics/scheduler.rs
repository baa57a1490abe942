//! What kube-scheduler tells of itself.
//!
//! Upstream: pkg/scheduler/metrics/metrics.go. Waiting counts from a pod's creation; it enters the queue a few
//! milliseconds later, when the scheduler is told of it.
//!
//! Not here: how long the scheduler itself takes to decide (a scenario's constant, not a measure).

use std::io;

use api::SimTime;

use super::{About, Kind, Out, Source, labels};

/// ExponentialBuckets(0.01, 2, 20).
const SLI_SECONDS: [f64; 20] = exponential(0.01);
/// ExponentialBuckets(1, 2, 5).
const ATTEMPTS: [f64; 5] = exponential(1.0);

const fn exponential<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut index = 1;
    while index < N {
        bounds[index] = bounds[index - 1] * 2.0;
        index += 1;
    }
    bounds
}

const fn about(name: &'static str, kind: Kind, help: &'static str) -> About {
    About { name, kind, job: "kube-scheduler", help }
}

pub(super) fn families(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let help = "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.";
    out.family(about("scheduler_pending_pods", Kind::Gauge, help), |family| {
        for (index, queue) in ["active", "backoff", "unschedulable", "gated"].into_iter().enumerate() {
            let depths = source.run.queue.iter().map(|(at, depth)| (*at, f64::from(depth[index])));
            family.follow(&labels([("queue", queue)]), [(SimTime::ZERO, 0.0)].into_iter().chain(depths), None);
        }
    })?;
    let pods = &source.run.pods;
    let help = "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.";
    out.family(about("scheduler_schedule_attempts_total", Kind::Counter, help), |family| {
        let scheduled = pods.iter().filter_map(|pod| pod.scheduled.map(|scheduled| scheduled.at)).collect();
        let turned_down = pods.iter().flat_map(|pod| pod.unschedulable.iter().map(|(at, ..)| *at)).collect();
        for (result, instants) in [("scheduled", scheduled), ("unschedulable", turned_down)] {
            family.follow(&labels([("result", result)]), counted(instants), None);
        }
    })?;
    let mut placed: Vec<(SimTime, SimTime, u32)> =
        pods.iter().filter_map(|pod| pod.scheduled.map(|scheduled| (scheduled.at, pod.created, scheduled.attempts))).collect();
    placed.sort_unstable();
    let help = "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.";
    out.family(about("scheduler_pod_scheduling_sli_duration_seconds", Kind::Histogram, help), |family| {
        for (at, created, attempts) in &placed {
            // Upstream: pkg/scheduler/schedule_one.go (getAttemptsLabel).
            let named = vec![("attempts", if *attempts >= 15 { "15+".to_owned() } else { attempts.to_string() })];
            family.observe(named, &SLI_SECONDS, *at, [(at.since(*created).as_secs_f64(), 1)], source.ticks);
        }
    })?;
    let help = "Number of attempts to successfully schedule a pod.";
    out.family(about("scheduler_pod_scheduling_attempts", Kind::Histogram, help), |family| {
        for (at, _, attempts) in &placed {
            family.observe(Vec::new(), &ATTEMPTS, *at, [(f64::from(*attempts), 1)], source.ticks);
        }
    })
}

/// A counter that is one higher from each of `instants` on.
fn counted(mut instants: Vec<SimTime>) -> Vec<(SimTime, f64)> {
    instants.sort_unstable();
    let steps = instants.into_iter().enumerate().map(|(before, at)| (at, before as f64 + 1.0));
    [(SimTime::ZERO, 0.0)].into_iter().chain(steps).collect()
}
