//! One window of traffic as records: what each flow did, where its requests wait.

use api::{SimDuration, SimTime};
use trace::{Record, TrafficCounts};

use super::Traffic;
use super::flow::Flow;
use super::station::Process;

/// A flow whose requests do not add up: a bug.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unaccounted {
    /// The flow.
    pub(crate) flow: api::Str,
    /// Open before, plus arrived.
    pub(crate) came: u64,
    /// Over, plus open now.
    pub(crate) found: u64,
}

/// What is known of the pods behind a Service.
#[derive(Clone, Copy, Default)]
struct Behind {
    queued: u64,
    busy: u64,
    shed: u64,
    orphaned: u64,
    cpu_nanos: u64,
}

impl Traffic {
    /// Ends a window: its records, flows first, sources before calls, then Services; each by name.
    pub(crate) fn close_window(&mut self, now: SimTime, out: &mut Vec<Record>) {
        self.enter(now);
        let accounts = self.check_accounts();
        assert_eq!(accounts, Ok(()));
        let window = SimDuration::from_nanos(self.now - self.window_start);
        self.window_start = self.now;
        self.close_flows(window, out);
        self.close_stations(window, out);
        self.close_denied(out);
    }

    /// Attempts that NetworkPolicies did not allow.
    fn close_denied(&mut self, out: &mut Vec<Record>) {
        let denied = std::mem::take(&mut self.denied);
        out.extend(denied.into_iter().map(|((flow, policy), attempts)| {
            let of = &self.flows[flow as usize];
            let service = self.services[of.service as usize].name.clone();
            Record::Denied { flow: of.name.clone(), service, policy: self.policies.name(policy), attempts }
        }));
    }

    /// Whether every request of every flow is accounted for: open before + arrived = over + open now.
    pub(crate) fn check_accounts(&self) -> Result<(), Unaccounted> {
        for flow in &self.flows {
            let counts = &flow.counts;
            let came = flow.open_before + counts.arrived;
            let over = counts.succeeded + counts.shed + counts.refused + counts.timed_out + counts.failed;
            let found = over + counts.in_flight + counts.in_backoff;
            if came != found {
                return Err(Unaccounted { flow: flow.name.clone(), came, found });
            }
        }
        Ok(())
    }

    fn close_flows(&mut self, window: SimDuration, out: &mut Vec<Record>) {
        for external in [true, false] {
            for index in self.flow_by_name.values() {
                let flow = &mut self.flows[*index as usize];
                if flow.external == external && flow.has_news(window) {
                    let service = self.services[flow.service as usize].name.clone();
                    out.push(flow.close(service, window));
                }
            }
        }
    }

    fn close_stations(&mut self, window: SimDuration, out: &mut Vec<Record>) {
        let mut behind = vec![Behind::default(); self.services.len()];
        let mut active = std::mem::take(&mut self.active);
        active.retain(|number| {
            let station = &mut self.stations[*number];
            let used = station.cpu_used_nanos(self.now);
            let seen = Behind {
                queued: station.accept.len() as u64,
                busy: u64::from(station.slots_used),
                shed: std::mem::take(&mut station.window.shed),
                orphaned: std::mem::take(&mut station.window.orphaned),
                cpu_nanos: used - station.window.cpu_before_nanos,
            };
            station.window.cpu_before_nanos = used;
            station.window.active = !station.is_empty();
            for service in &self.programs[station.program as usize].services {
                behind[*service as usize].add(seen);
            }
            station.window.active
        });
        self.active = active;
        for service in self.service_by_key.values() {
            let (Behind { queued, busy, shed, orphaned, cpu_nanos }, state) =
                (behind[*service as usize], &self.services[*service as usize]);
            // What only stands there is said once per instant.
            let levels = if window.is_zero() { 0 } else { queued + busy };
            if levels + shed + orphaned + cpu_nanos > 0 {
                let cpu_used = SimDuration::from_nanos(cpu_nanos);
                out.push(Record::Station { service: state.name.clone(), pods: state.pods, queued, busy, shed, orphaned, cpu_used });
            }
        }
        self.let_go();
    }

    /// Gives back the places of pods that are gone for good.
    fn let_go(&mut self) {
        if !self.leaving.is_empty() {
            (0..self.services.len() as u32).for_each(|service| self.forget_versions(service));
        }
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|number| {
            let station = &self.stations[*number];
            if !station.gone || station.process != Process::Stopped {
                return false;
            }
            if station.listed > 0 || station.window.active || station.stress.look_armed {
                return true;
            }
            self.station_by_pod.remove(&station.pod);
            self.stations.free(*number);
            false
        });
        self.leaving = leaving;
    }
}

impl Behind {
    const fn add(&mut self, other: Self) {
        self.queued += other.queued;
        self.busy += other.busy;
        self.shed += other.shed;
        self.orphaned += other.orphaned;
        self.cpu_nanos += other.cpu_nanos;
    }
}

impl Flow {
    /// Whether anything happened, or is open at the end of a window of some length.
    fn has_news(&self, window: SimDuration) -> bool {
        let TrafficCounts { in_flight, in_backoff, .. } = self.counts;
        let standing = TrafficCounts { in_flight, in_backoff, ..TrafficCounts::default() };
        self.counts != standing || (!window.is_zero() && in_flight + in_backoff > 0)
    }

    fn close(&mut self, service: api::Str, window: SimDuration) -> Record {
        let TrafficCounts { in_flight, in_backoff, .. } = self.counts;
        self.open_before = in_flight + in_backoff;
        self.attempts_before += self.counts.attempts;
        let counts = std::mem::replace(&mut self.counts, TrafficCounts { in_flight, in_backoff, ..TrafficCounts::default() });
        let latency = std::mem::take(&mut self.latency);
        Record::Traffic { flow: self.name.clone(), external: self.external, service, window, counts, latency }
    }
}
