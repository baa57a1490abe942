//! The way of a changed EndpointSlice to the nodes that send requests.
//!
//! Each change becomes visible after `propagation_base` and a share of `propagation_jitter` drawn from the
//! Service's own stream; kube-proxy writes its rules at most once per `min_sync_period`, and changes that
//! arrive meanwhile are written together. Changes of one Service never overtake each other.
//!
//! The exact traffic engine knows by itself when each node hears of a change (`traffic/proxy.rs`) and is told at once;
//! what is above is for the other one. Simplified there: all callers see a change at once, and that real nodes learn of
//! it one after the other is what the jitter stands for. One Service's rules do not wait for another's.
//!
//! Also: what else the traffic engine must know of the network: nodes, Services, NetworkPolicies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::{ConditionStatus, Kind, Node, ObjectKey, SimDuration, SimTime, Str};

use super::World;
use crate::event::Event;
use crate::objects::AnyObject;
use crate::random::{Purpose, Stream, entity};
use crate::store::{Change, NodeId, ServiceId};
use crate::traffic::{EndpointTarget, NodePlace};

struct OnTheWay {
    key: ObjectKey,
    jitter: Stream,
    /// In the order in which they become visible: the slices that are others then.
    waiting: VecDeque<BTreeMap<u32, Vec<EndpointTarget>>>,
    /// When its rules are written next, or were written last.
    last: SimTime,
}

/// Endpoint changes on their way, by Service.
#[derive(Default)]
pub(super) struct Propagation {
    services: BTreeMap<ServiceId, OnTheWay>,
    /// Nodes without power.
    pub(super) dark: BTreeSet<NodeId>,
}

impl World {
    /// A slice of a Service has changed, or is gone.
    pub(super) fn propagate(&mut self, id: ServiceId, number: u32) {
        let Some(service) = self.store.services.get(id).filter(|_| self.traffic.is_some()) else { return };
        let slice = self.store.slices(id).and_then(|behind| behind.slice(number));
        let targets = slice.into_iter().flat_map(|slice| &slice.endpoints).map(EndpointTarget::from).collect();
        self.send_to_nodes(id, &service.meta.key(), BTreeMap::from([(number, targets)]));
    }

    /// A Service is gone, and what stood behind it can no longer be found.
    pub(super) fn propagate_end(&mut self, id: ServiceId, key: &ObjectKey) {
        let gone = self.store.forget_slices(id).into_iter().map(|number| (number, Vec::new())).collect();
        self.send_to_nodes(id, key, gone);
    }

    fn send_to_nodes(&mut self, id: ServiceId, key: &ObjectKey, slices: BTreeMap<u32, Vec<EndpointTarget>>) {
        let Some(traffic) = &mut self.traffic else { return };
        if traffic.has_proxies() {
            return slices.iter().for_each(|(number, targets)| traffic.endpoints(key, *number, targets, self.now));
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
            waiting.extend(slices);
            return;
        }
        let at = if way.last > SimTime::ZERO { arrival.max(way.last + settings.min_sync_period) } else { arrival };
        way.last = at;
        way.waiting.push_back(slices);
        self.calendar.schedule(at, Event::EndpointsVisible(id.number()));
    }

    /// Nodes, Services and policies, as far as connections depend on them.
    pub(super) fn tell_network(&mut self, change: &Change) {
        if self.traffic.is_none() {
            return;
        }
        match change {
            Change::NodeAdded(id) | Change::NodeModified(id) => self.tell_node(*id),
            Change::NodeDeleted(_, gone) => {
                let place = NodePlace { zone: zone_of(gone), exists: false, up: false, eligible: false };
                if let Some(traffic) = &mut self.traffic {
                    traffic.node_place(&gone.meta.name, &place, self.now);
                }
            }
            Change::ServiceChanged(id) => {
                if let (Some(service), Some(traffic)) = (self.store.services.get(*id), &mut self.traffic) {
                    traffic.service_rules(&service.meta.key(), service.into(), self.now);
                }
            }
            Change::Object(Kind::NetworkPolicy | Kind::Namespace, _)
            | Change::ObjectDeleted(AnyObject::NetworkPolicy(_) | AnyObject::Namespace(_)) => self.tell_policies(),
            _ => {}
        }
    }

    /// A node, and whether it has power.
    pub(super) fn tell_node(&mut self, id: NodeId) {
        let (Some(node), Some(traffic)) = (self.store.nodes.get(id), &mut self.traffic) else { return };
        // Upstream: staging/src/k8s.io/cloud-provider/controllers/service/controller.go, stableNodeSetPredicates and nodeReadyPredicate.
        let excluded = node.meta.labels.contains_key("node.kubernetes.io/exclude-from-external-load-balancers");
        let leaves = node.spec.taints.iter().any(|taint| &*taint.key == "ToBeDeletedByClusterAutoscaler");
        let eligible = (node.status.ready == ConditionStatus::True) && !excluded && !leaves && !node.meta.is_deleting();
        let place = NodePlace { zone: zone_of(node), exists: true, up: !self.propagation.dark.contains(&id), eligible };
        traffic.node_place(&node.meta.name, &place, self.now);
    }

    fn tell_policies(&mut self) {
        let Some(traffic) = &mut self.traffic else { return };
        let policies = self.store.network_policies.iter().map(|(_, policy)| policy.clone()).collect();
        let namespaces = self.store.namespaces.iter().map(|(_, namespace)| (namespace.meta.name.clone(), namespace.labels())).collect();
        traffic.network_policies(policies, namespaces, self.now);
    }

    /// A change has reached those who send requests.
    pub(super) fn endpoints_visible(&mut self, service: u32) {
        let Some(way) = self.propagation.services.get_mut(&ServiceId::new(service)) else { return };
        if let (Some(slices), Some(traffic)) = (way.waiting.pop_front(), &mut self.traffic) {
            slices.iter().for_each(|(number, targets)| traffic.endpoints(&way.key, *number, targets, self.now));
        }
    }
}

fn zone_of(node: &Node) -> Str {
    node.meta.labels.get("topology.kubernetes.io/zone").cloned().unwrap_or_default()
}
