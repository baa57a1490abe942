//! Which changes end a step: those that somebody could feel.
//!
//! A step moves every pod, so that a step for each pod that comes or goes makes a Service cost the square of its pods.
//! Behind a Service of very many one more or less is felt by nobody: changes of a few count as at the last step's end
//! until they have lasted as long as one of all would in [`UNFELT`], and the next step is no shorter for them. In the
//! same way a few pods that are far from rest do not make all steps short.
//!
//! Invariants: with up to [`MANY`] pods every change is felt; a change of [`FELT`] of the pods is felt at once.

use api::{ObjectKey, SimTime, Uid};

use super::super::TrafficProcess;
use super::super::station::Process;
use super::{Cohort, QUANTUM};

/// A Service of more pods than these is one of very many.
pub(super) const MANY: usize = 200;
/// How long, in nanoseconds, a change of all pods may count as at the last step's end; a change of a part of them as
/// much longer as the part is smaller.
const UNFELT: f64 = 500_000.0;
/// A share of the pods.
const FELT: f64 = 0.01;

impl Cohort {
    /// Brings everything up to a change of some of so many pods, if anybody could tell.
    pub(super) fn feel(&mut self, now: SimTime, changed: usize, pods: usize) {
        if pods > self.many {
            self.unfelt += changed as f64 / pods as f64;
            let since = now.as_nanos().saturating_sub(self.now) as f64;
            if self.unfelt < FELT && since * self.unfelt <= UNFELT {
                self.told_now = self.told_now.max(now.as_nanos());
                return;
            }
            if self.unfelt < FELT {
                return self.enter(now, false);
            }
        }
        self.enter(now, false);
        self.step = QUANTUM.min(self.step);
    }

    /// Of so many pods, how many may be far from rest.
    pub(super) fn unnoticed(&self, pods: usize) -> usize {
        if pods > self.many { (pods as f64 * FELT) as usize } else { 0 }
    }

    /// Pods behind the smallest Service of the pod that changes; none when nobody calls it.
    pub(super) fn pods_beside(&self, change: &TrafficProcess) -> usize {
        let behind = |service: &u32| self.services[*service as usize].pods as usize;
        let by_key = |key: &ObjectKey| self.service_by_key.get(key).map_or(0, behind);
        let beside = |pod: &Uid| {
            let state = &self.pods[*self.pod_by_uid.get(pod)? as usize];
            let program = (state.process == Process::Running).then(|| &self.programs[state.program as usize])?;
            program.services.iter().map(behind).min()
        };
        match change {
            TrafficProcess::Started(started) | TrafficProcess::Resized(started) => started.services.iter().map(by_key).min().unwrap_or(0),
            TrafficProcess::Terminating { pod }
            | TrafficProcess::Stopped { pod }
            | TrafficProcess::Silent { pod }
            | TrafficProcess::Removed { pod } => beside(pod).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::{ObjectKey, SimDuration};
    use trace::Record;

    use super::super::super::{EndpointTarget, PodEnd, ProcessStarted};
    use super::*;
    use crate::random::{Distribution, Streams};
    use crate::spec::{Client, RatePoint, ServiceBehavior, Source, TrafficSpec};

    fn key() -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: "app".into() }
    }

    fn start(engine: &mut Cohort, pod: u64, now: SimTime) {
        let cpu_per_request = Distribution::Exponential { mean: SimDuration::from_millis(20) };
        let started = ProcessStarted {
            pod: Uid(pod),
            node: format!("n{}", pod / 8).into(),
            services: vec![key()],
            caller: "app".into(),
            behavior: Arc::new(ServiceBehavior { cpu_per_request, ..ServiceBehavior::default() }),
            cpu_limit_millis: Some(1000),
            cpu_request_millis: 1000,
            node_cpu_millis: 16_000,
            memory_limit_bytes: None,
            probe_timeout: None,
            end: PodEnd { namespace: "default".into(), labels: Arc::default(), ports: Vec::new() },
        };
        engine.process(&TrafficProcess::Started(Box::new(started)), now);
    }

    /// 1,600 pods, one more every 50 ms until there are 1,800, 160 of which then fall silent at once, and are taken off
    /// the list one by one: in each window who was answered, who was not in time, and how many steps it took.
    fn windows(many: usize) -> (Vec<[u64; 3]>, u64) {
        let rate = vec![RatePoint { at: SimTime::ZERO, per_second: 60_000.0, linear: false }];
        let client = Client { timeout: SimDuration::from_secs(1), ..Client::default() };
        let source = Source { name: "users".into(), to: key(), rate, client, ..Source::default() };
        let spec = TrafficSpec { sources: vec![source], ..TrafficSpec::default() };
        let mut engine = Cohort::new(&spec, Streams::new(1));
        engine.many = many;
        let mut listed: Vec<u64> = (0..1600).collect();
        let list = |engine: &mut Cohort, listed: &[u64], slice: u64, now| {
            let targets: Vec<_> = listed.iter().filter(|pod| *pod / 100 == slice).map(|pod| EndpointTarget::ready(Uid(*pod))).collect();
            engine.endpoints(&key(), slice as u32, &targets, now);
        };
        (0..1600).for_each(|pod| start(&mut engine, pod, SimTime::ZERO));
        (0..16).for_each(|slice| list(&mut engine, &listed, slice, SimTime::ZERO));
        let (mut told, mut signals) = (Vec::new(), Vec::new());
        for tick in 1..=800u64 {
            let now = SimTime::from_millis(tick * 50);
            engine.advance_to(now, &mut signals);
            match tick {
                100..300 => {
                    start(&mut engine, tick + 1500, now);
                    listed.push(tick + 1500);
                    list(&mut engine, &listed, (tick + 1500) / 100, now);
                }
                400 => (0..160).for_each(|pod| engine.process(&TrafficProcess::Silent { pod: Uid(pod) }, now)),
                401..561 => {
                    listed.retain(|pod| *pod != tick - 401);
                    list(&mut engine, &listed, (tick - 401) / 100, now);
                }
                _ => {}
            }
            if tick % 100 == 0 {
                let mut records = Vec::new();
                engine.close_window(now, &mut records);
                told.extend(records.iter().find_map(|record| match record {
                    Record::Traffic { counts, .. } => Some([counts.succeeded, counts.timed_out, counts.in_flight]),
                    _ => None,
                }));
            }
        }
        (told, engine.events())
    }

    #[test]
    fn requests_fare_as_if_every_change_were_felt() {
        let ((plain, all_steps), (quick, steps)) = (windows(usize::MAX), windows(MANY));
        assert!(steps * 3 < all_steps * 2, "{steps} steps of {all_steps}");
        for (plain, quick) in plain.iter().zip(&quick) {
            for (plain, quick) in plain.iter().zip(quick) {
                assert!(plain.abs_diff(*quick) < 300_000 / 250, "{plain} and {quick} of 300,000 requests");
            }
        }
    }
}
