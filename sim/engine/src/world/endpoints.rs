//! The way of a changed EndpointSlice to the nodes that send requests.
//!
//! Each change becomes visible after `propagation_base` and a share of `propagation_jitter` drawn from the
//! Service's own stream; kube-proxy writes its rules at most once per `min_sync_period`, and changes that
//! arrive meanwhile are written together. Changes of one Service never overtake each other.
//!
//! Simplified: all callers see a change at once; that real nodes learn of it one after the other is what
//! the jitter stands for. One Service's rules do not wait for another's.

use std::collections::{BTreeMap, VecDeque};

use api::{Endpoint, ObjectKey, SimDuration, SimTime};

use super::World;
use crate::event::Event;
use crate::random::{Purpose, Stream, entity};
use crate::store::ServiceId;
use crate::traffic::EndpointTarget;

struct OnTheWay {
    key: ObjectKey,
    jitter: Stream,
    /// In the order in which they become visible.
    waiting: VecDeque<Vec<Endpoint>>,
    /// When its rules are written next, or were written last.
    last: SimTime,
}

/// Endpoint changes on their way, by Service.
#[derive(Default)]
pub(super) struct Propagation {
    services: BTreeMap<ServiceId, OnTheWay>,
}

impl World {
    /// The endpoints of a Service have changed.
    pub(super) fn propagate(&mut self, id: ServiceId) {
        if let (Some(slice), Some(service)) = (self.store.endpoints(id), self.store.services.get(id)) {
            self.send_to_nodes(id, &service.meta.key(), slice.endpoints.clone());
        }
    }

    /// A Service is gone, and what stood behind it can no longer be found.
    pub(super) fn propagate_end(&mut self, id: ServiceId, key: &ObjectKey) {
        self.send_to_nodes(id, key, Vec::new());
    }

    fn send_to_nodes(&mut self, id: ServiceId, key: &ObjectKey, endpoints: Vec<Endpoint>) {
        if self.traffic.is_none() {
            return;
        }
        let settings = &self.spec.control_plane.kube_proxy;
        let streams = &self.streams;
        let way = self.propagation.services.entry(id).or_insert_with(|| OnTheWay {
            key: key.clone(),
            jitter: streams.stream(Purpose::EndpointPropagation, entity(&key.to_string())),
            waiting: VecDeque::new(),
            last: SimTime::ZERO,
        });
        let jitter = SimDuration::from_secs_f64(settings.propagation_jitter.as_secs_f64() * way.jitter.unit());
        let arrival = self.now + settings.propagation_base + jitter;
        if let (true, Some(waiting)) = (arrival <= way.last, way.waiting.back_mut()) {
            *waiting = endpoints;
            return;
        }
        let at = if way.last > SimTime::ZERO { arrival.max(way.last + settings.min_sync_period) } else { arrival };
        way.last = at;
        way.waiting.push_back(endpoints);
        self.calendar.schedule(at, Event::EndpointsVisible(id.number()));
    }

    /// A change has reached those who send requests.
    pub(super) fn endpoints_visible(&mut self, service: u32) {
        let Some(way) = self.propagation.services.get_mut(&ServiceId::new(service)) else { return };
        if let (Some(endpoints), Some(traffic)) = (way.waiting.pop_front(), &mut self.traffic) {
            let targets: Vec<EndpointTarget> = endpoints.iter().map(EndpointTarget::from).collect();
            traffic.endpoints(&way.key, &targets, self.now);
        }
    }
}
