//! What an exporter would show of requests: counters since the start, and how many there are.
//!
//! Invariant: reading changes nothing; the cohort engine shows its last step.

use api::{ObjectKey, Uid};

use super::Traffic;
use super::player::Player;
use super::station::Process;
use crate::effects::RequestLoad;

impl Player {
    /// Of a pod whose process runs.
    pub(crate) fn pod_load(&self, pod: Uid) -> Option<RequestLoad> {
        match self {
            Self::Exact(engine) => engine.pod_load(pod),
            Self::Cohort(engine) => engine.pod_load(pod),
        }
    }
    /// Of a Service that somebody asks or that pods stand behind.
    pub(crate) fn service_load(&self, service: &ObjectKey) -> Option<RequestLoad> {
        match self {
            Self::Exact(engine) => engine.service_load(service),
            Self::Cohort(engine) => engine.service_load(service),
        }
    }
}

impl Traffic {
    fn pod_load(&self, pod: Uid) -> Option<RequestLoad> {
        let station = &self.stations[*self.station_by_pod.get(&pod)?];
        let queued = station.accept.len() as u64;
        let load = RequestLoad { requests: station.served, in_flight: queued + u64::from(station.slots_used), queued };
        (station.process == Process::Running).then_some(load)
    }

    fn service_load(&self, service: &ObjectKey) -> Option<RequestLoad> {
        let number = *self.service_by_key.get(service)?;
        let queue = self.services[number as usize].queue.as_ref();
        let messages = queue.map(|queue| self.routes[queue.route as usize].flow);
        let asked = (0..).zip(&self.flows).filter(|(index, flow)| flow.service == number && Some(*index) != messages);
        let requests = asked.map(|(_, flow)| flow.attempts_before + flow.counts.attempts).sum();
        Some(RequestLoad { requests, in_flight: 0, queued: queue.map_or(0, |queue| queue.waiting()) })
    }
}
