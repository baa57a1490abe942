//! What an exporter would show of requests counted together: whole ones, as of the last step.

use api::{ObjectKey, Uid};

use super::{Cohort, GRAINS};
use crate::effects::RequestLoad;

impl Cohort {
    /// Of a pod whose process runs.
    pub(crate) fn pod_load(&self, pod: Uid) -> Option<RequestLoad> {
        self.pods[*self.pod_by_uid.get(&pod)? as usize].load()
    }

    /// Of a Service that somebody asks or that pods stand behind.
    pub(crate) fn service_load(&self, service: &ObjectKey) -> Option<RequestLoad> {
        let number = *self.service_by_key.get(service)?;
        let queue = self.services[number as usize].queue.as_ref();
        let messages = queue.map(|queue| queue.flow);
        let asked = (0..).zip(&self.flows).filter(|(index, flow)| flow.service == number && Some(*index) != messages);
        let grains: u64 = asked.map(|(_, flow)| flow.totals.attempts).sum();
        let queued = queue.map_or(0, |queue| queue.level / GRAINS);
        Some(RequestLoad { requests: grains / GRAINS, in_flight: 0, queued })
    }
}
