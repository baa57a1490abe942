//! EndpointSlices: which pod is listed where, and which is not listed as it should be.
//!
//! Invariants:
//! - A pod is in no more than one slice of a Service; the endpoints of a slice are ordered by pod name.
//! - [`Behind::differing`] holds exactly the pods whose endpoint is not the one that pod, Service and node ask for now,
//!   so that a reconciliation looks at those and costs the same however many others there are.
//! - Numbers of slices are never reused.
//!
//! Not here: into which slice a new endpoint goes (`controllers/endpoint_slice.rs`), and Services without a selector,
//! whose endpoints nobody manages.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use api::{Endpoint, EndpointSlice, Kind, Labels, ObjectKey, ObjectMeta, Pod, Service, SimTime, Str, Uid};
use rustc_hash::FxHashMap;

use super::{Change, PodId, ServiceId, Store, selects};
use crate::random::Streams;

/// A pod, as slices are ordered by: names are reused, identities are not.
pub(crate) type Who = (Str, Uid);

/// The EndpointSlices of one Service.
#[derive(Default)]
pub(crate) struct Behind {
    slices: Vec<Option<Box<EndpointSlice>>>,
    /// Fewest endpoints first, and of equal ones the newest.
    by_length: BTreeSet<(usize, Reverse<u32>)>,
    /// The slice that lists a pod. Looked up only.
    slice_of: FxHashMap<Uid, u32>,
    ready: usize,
    differing: BTreeSet<Who>,
}

impl Behind {
    /// One slice.
    pub(crate) fn slice(&self, number: u32) -> Option<&EndpointSlice> {
        self.slices.get(number as usize)?.as_deref()
    }
    /// All slices, in order of creation.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (u32, &EndpointSlice)> {
        (0..).zip(&self.slices).filter_map(|(number, slice)| Some((number, slice.as_deref()?)))
    }
    /// Everything listed, slice by slice.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.slices().flat_map(|(_, slice)| &slice.endpoints)
    }
    /// How many slices there are.
    pub(crate) fn len(&self) -> usize {
        self.by_length.len()
    }
    /// Ready endpoints, and all.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.ready, self.slice_of.len())
    }
    /// The slice that lists a pod.
    pub(crate) fn slice_of(&self, pod: Uid) -> Option<u32> {
        self.slice_of.get(&pod).copied()
    }
    /// Slices with this many endpoints or fewer, the fullest first and of equal ones the oldest.
    pub(crate) fn fullest_up_to(&self, most: usize) -> impl Iterator<Item = u32> {
        self.by_length.range(..=(most, Reverse(0))).rev().map(|(_, Reverse(number))| *number)
    }
    /// Pods whose endpoint is not what it should be, by name.
    pub(crate) fn differing(&self) -> &BTreeSet<Who> {
        &self.differing
    }

    fn endpoint(&self, (name, uid): &Who) -> Option<&Endpoint> {
        let slice = self.slice(self.slice_of(*uid)?)?;
        let place = slice.endpoints.binary_search_by(|endpoint| (&endpoint.pod_name, endpoint.pod).cmp(&(name, *uid)));
        slice.endpoints.get(place.ok()?)
    }

    /// Puts a slice in a place, or takes it away; what was there.
    fn put(&mut self, number: u32, slice: Option<Box<EndpointSlice>>) -> Option<Box<EndpointSlice>> {
        if self.slices.len() <= number as usize {
            self.slices.resize_with(number as usize + 1, || None);
        }
        if let Some(new) = &slice {
            self.by_length.insert((new.endpoints.len(), Reverse(number)));
        }
        let before = std::mem::replace(&mut self.slices[number as usize], slice);
        if let Some(old) = &before {
            let length = old.endpoints.len();
            if self.slice(number).is_none_or(|new| new.endpoints.len() != length) {
                self.by_length.remove(&(length, Reverse(number)));
            }
            old.endpoints.iter().for_each(|endpoint| {
                self.slice_of.remove(&endpoint.pod);
                self.ready -= usize::from(endpoint.ready);
            });
        }
        if let Some(new) = self.slices[number as usize].as_deref() {
            new.endpoints.iter().for_each(|endpoint| {
                self.slice_of.insert(endpoint.pod, number);
                self.ready += usize::from(endpoint.ready);
            });
        }
        before
    }
}

/// What of a pod its endpoints are made of, beside its names and labels.
#[derive(PartialEq, Eq)]
pub(super) struct Listing {
    is_listed: bool,
    is_ready: bool,
    is_deleting: bool,
    is_bound: bool,
}

impl Listing {
    pub(super) fn of(pod: &Pod) -> Self {
        Self { is_listed: is_listed(pod), is_ready: pod.is_ready(), is_deleting: pod.meta.is_deleting(), is_bound: pod.node_name.is_some() }
    }
}

/// Upstream: staging/src/k8s.io/endpointslice/util/controller_utils.go, ShouldPodBeInEndpoints.
const fn is_listed(pod: &Pod) -> bool {
    pod.status.has_ip && !pod.status.phase.is_terminal()
}

/// Upstream: staging/src/k8s.io/endpointslice/utils.go, podToEndpoint.
fn endpoint(pod: &Pod, node: &Str, service: &Service, store: &Store) -> Endpoint {
    let (serving, terminating) = (pod.is_ready(), pod.meta.is_deleting());
    let ready = service.publish_not_ready_addresses || (serving && !terminating);
    let (zone_hint, node_hint) = if ready { hints(&service.traffic_distribution, node, store) } else { (None, None) };
    Endpoint {
        pod: pod.meta.uid,
        pod_name: pod.meta.name.clone(),
        node_name: node.clone(),
        ready,
        serving,
        terminating,
        zone_hint,
        node_hint,
    }
}

/// Who should use an endpoint: its own zone, or its own node first.
/// Upstream: staging/src/k8s.io/endpointslice/trafficdist/trafficdist.go.
fn hints(traffic_distribution: &str, node: &Str, store: &Store) -> (Option<Str>, Option<Str>) {
    let same_node = traffic_distribution == "PreferSameNode";
    if !same_node && !matches!(traffic_distribution, "PreferClose" | "PreferSameZone") {
        return (None, None);
    }
    let zone = store.node_by_name(node).and_then(|(_, node)| node.meta.labels.get("topology.kubernetes.io/zone").cloned());
    (zone, same_node.then(|| node.clone()))
}

/// Whether somebody manages the endpoints of a Service. The API server drops an empty selector.
pub(crate) fn is_managed(service: &Service) -> bool {
    service.selector.as_ref().is_some_and(|selector| !selector.is_empty())
}

/// Reading.
impl Store {
    /// The EndpointSlices of a Service, once there have been any.
    pub(crate) fn slices(&self, service: ServiceId) -> Option<&Behind> {
        self.slices.get(&service)
    }

    /// The endpoint that a Service should have for a pod; `None` when it should have none.
    pub(crate) fn wanted_endpoint(&self, service: ServiceId, pod: Uid) -> Option<Endpoint> {
        let service = self.services.get(service).filter(|service| is_managed(service))?;
        let (_, pod) = self.pod_by_uid(pod)?;
        let is_selected = pod.meta.namespace == service.meta.namespace && is_listed(pod) && selects(service, pod);
        if is_selected { Some(endpoint(pod, pod.node_name.as_ref()?, service, self)) } else { None }
    }
}

/// Writing.
impl Store {
    /// Adds a slice to a Service; a Service that is gone gets none.
    pub(crate) fn create_slice(&mut self, id: ServiceId, endpoints: Vec<Endpoint>, now: SimTime, streams: &Streams) -> bool {
        let Some(owner) = self.services.get(id) else { return false };
        let (namespace, service) = (owner.meta.namespace.clone(), owner.meta.name.clone());
        let prefix =
            ObjectMeta { namespace: namespace.clone(), name: format!("{service}-").into(), uid: owner.meta.uid, ..ObjectMeta::default() };
        let is_taken = |store: &Self, key: &ObjectKey| {
            store.slices(id).is_some_and(|behind| behind.slices().any(|(_, slice)| slice.meta.name == key.name))
        };
        let name = self.generate_name_unless(&prefix, streams, is_taken);
        let mut meta = ObjectMeta { namespace, name, ..ObjectMeta::default() };
        self.stamp(Kind::EndpointSlice, &mut meta, now, streams);
        let number = self.slices.get(&id).map_or(0, |behind| behind.slices.len() as u32);
        self.put_slice(id, number, Some(Box::new(EndpointSlice { meta, service, endpoints })));
        self.changes.push(Change::SliceChanged(id, number));
        true
    }

    /// Replaces the endpoints of a slice; one that is gone stays so.
    pub(crate) fn update_slice(&mut self, id: ServiceId, number: u32, endpoints: Vec<Endpoint>) -> bool {
        let Some(slice) = self.services.get(id).and_then(|_| self.slices.get(&id)?.slice(number)) else { return false };
        let mut slice = EndpointSlice { meta: slice.meta.clone(), service: slice.service.clone(), endpoints };
        slice.meta.resource_version = self.next_version();
        slice.meta.generation += 1;
        self.put_slice(id, number, Some(Box::new(slice)));
        self.changes.push(Change::SliceChanged(id, number));
        true
    }

    /// Takes a slice away.
    pub(crate) fn remove_slice(&mut self, id: ServiceId, number: u32) -> bool {
        if self.slices.get(&id).and_then(|behind| behind.slice(number)).is_none() {
            return false;
        }
        let Some(gone) = self.put_slice(id, number, None) else { return false };
        self.bury(Kind::EndpointSlice, &gone.meta);
        self.changes.push(Change::SliceDeleted(id, number, gone));
        true
    }

    /// A Service is gone, and its slices with it; their numbers.
    pub(crate) fn forget_slices(&mut self, id: ServiceId) -> Vec<u32> {
        self.slices.remove(&id).map_or_else(Vec::new, |behind| behind.slices().map(|(number, _)| number).collect())
    }

    fn put_slice(&mut self, id: ServiceId, number: u32, slice: Option<Box<EndpointSlice>>) -> Option<Box<EndpointSlice>> {
        let listed = |slice: &Option<Box<EndpointSlice>>| -> Vec<Who> {
            slice.iter().flat_map(|slice| &slice.endpoints).map(|endpoint| (endpoint.pod_name.clone(), endpoint.pod)).collect()
        };
        let mut touched = listed(&slice);
        let before = self.slices.entry(id).or_default().put(number, slice);
        touched.extend(listed(&before));
        touched.into_iter().for_each(|who| self.compare_endpoint(id, who));
        before
    }

    /// Notes whether a Service lists a pod as it should.
    fn compare_endpoint(&mut self, id: ServiceId, who: Who) {
        let Some(service) = self.services.get(id) else { return };
        let is_managed = is_managed(service);
        let wanted = self.wanted_endpoint(id, who.1);
        let behind = self.slices.entry(id).or_default();
        if is_managed && behind.endpoint(&who) != wanted.as_ref() {
            behind.differing.insert(who);
        } else {
            behind.differing.remove(&who);
        }
    }

    /// A pod has come, changed or gone: Services that select these labels may have to list it otherwise.
    pub(super) fn compare_endpoints_of(&mut self, pod: &ObjectMeta, labels: &Labels) {
        let services: Vec<ServiceId> = self.selected.services(&pod.namespace, labels).collect();
        for id in services {
            let selects = self.services.get(id).and_then(|service| service.selector.as_ref());
            if selects.is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value))) {
                self.compare_endpoint(id, (pod.name.clone(), pod.uid));
            }
        }
    }

    /// A node's zone is another: that of the pods on it.
    pub(super) fn compare_endpoints_on(&mut self, node: &str) {
        let pods: Vec<ObjectMeta> = self.pods_on(node).map(|(_, pod)| pod.meta.clone()).collect();
        pods.iter().for_each(|pod| self.compare_endpoints_of(pod, &pod.labels));
    }

    /// A Service has come or changed, or is gone.
    pub(super) fn compare_endpoints_behind(&mut self, id: ServiceId) {
        let selected = self.pods_selected_by(id).map(|(_, pod)| (pod.meta.name.clone(), pod.meta.uid));
        let listed = self.slices(id).into_iter().flat_map(Behind::endpoints).map(|endpoint| (endpoint.pod_name.clone(), endpoint.pod));
        let all: BTreeSet<Who> = selected.chain(listed).collect();
        if let Some(behind) = self.slices.get_mut(&id) {
            behind.differing.clear();
        }
        all.into_iter().for_each(|who| self.compare_endpoint(id, who));
    }

    /// Before and after a change of a pod.
    pub(super) fn compare_endpoints_after(&mut self, id: PodId, before: &Listing, labels: &Labels, is_relabelled: bool) {
        let Some(pod) = self.pods.get(id) else { return };
        if !is_relabelled && Listing::of(pod) == *before {
            return;
        }
        let meta = pod.meta.clone();
        if is_relabelled {
            self.compare_endpoints_of(&meta, labels);
        }
        self.compare_endpoints_of(&meta, &meta.labels);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::NodeId;
    use super::*;

    /// What may happen; names are few, so that they meet.
    #[derive(Clone, Debug)]
    enum Step {
        Pod(u8, u8),
        Change(u8, u8),
        Label(u8, u8),
        RemovePod(u8),
        Service(u8, u8, u8),
        RemoveService(u8),
        Node(u8, u8),
        RemoveNode(u8),
        /// A slice of a Service lists these pods and no others.
        List(u8, u8, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (pod, service, node) = (|| 0u8..6, || 0u8..3, || 0u8..2);
        prop_oneof![
            (pod(), any::<u8>()).prop_map(|(pod, how)| Step::Pod(pod, how)),
            (pod(), any::<u8>()).prop_map(|(pod, how)| Step::Change(pod, how)),
            (pod(), 0u8..3).prop_map(|(pod, label)| Step::Label(pod, label)),
            pod().prop_map(Step::RemovePod),
            (service(), 0u8..4, 0u8..8).prop_map(|(service, selector, how)| Step::Service(service, selector, how)),
            service().prop_map(Step::RemoveService),
            (node(), 0u8..3).prop_map(|(node, zone)| Step::Node(node, zone)),
            node().prop_map(Step::RemoveNode),
            (service(), 0u8..3, any::<u8>()).prop_map(|(service, slice, pods)| Step::List(service, slice, pods)),
        ]
    }

    fn name(prefix: &str, number: u8) -> ObjectMeta {
        let namespace = if prefix == "n" { "" } else { "default" };
        ObjectMeta { namespace: namespace.into(), name: format!("{prefix}{number}").into(), ..ObjectMeta::default() }
    }
    fn labels(number: u8) -> Arc<Labels> {
        Arc::new(Labels::from([("app".into(), format!("{number}").into())]))
    }
    fn set_pod(pod: &mut Pod, how: u8) {
        let status = if how & 1 > 0 { api::ConditionStatus::True } else { api::ConditionStatus::False };
        pod.status.conditions.ready.status = status;
        pod.status.has_ip = how & 6 > 0;
        pod.status.phase = if how & 24 == 0 { api::PodPhase::Failed } else { api::PodPhase::Running };
        pod.meta.deletion = (how & 96 == 0).then_some(SimTime::ZERO);
        if how & 128 > 0 && pod.node_name.is_none() {
            pod.node_name = Some(format!("n{}", how & 1).into());
        }
    }

    fn take(store: &mut Store, step: &Step) {
        let streams = Streams::new(1);
        let pod = |store: &Store, number: u8| store.pods.find(&name("p", number).key());
        let service = |store: &Store, number: u8| store.services.find(&name("s", number).key());
        let node = |store: &Store, number: u8| -> Option<NodeId> { store.nodes.find(&name("n", number).key()) };
        match *step {
            Step::Pod(number, how) => {
                let mut new = Pod { meta: ObjectMeta { labels: labels(number % 3), ..name("p", number) }, ..Pod::default() };
                set_pod(&mut new, how);
                store.create_pod(new, SimTime::ZERO, &streams);
            }
            Step::Change(number, how) => {
                let Some(id) = pod(store, number) else { return };
                store.update_pod(id, |pod| {
                    set_pod(pod, how);
                    true
                });
            }
            Step::Label(number, label) => {
                let Some(id) = pod(store, number) else { return };
                store.update_pod(id, |pod| {
                    pod.meta.labels = labels(label);
                    true
                });
            }
            Step::RemovePod(number) => drop(pod(store, number).map(|id| store.remove_pod(id))),
            Step::Service(number, selector, how) => {
                let change = |service: &mut Service| {
                    service.selector = (selector < 3).then(|| labels(selector));
                    service.publish_not_ready_addresses = how & 1 > 0;
                    service.traffic_distribution = ["", "PreferClose", "PreferSameNode"][usize::from(how >> 1) % 3].into();
                    true
                };
                if let Some(id) = service(store, number) {
                    store.update(id, change);
                } else {
                    let mut new = Service { meta: name("s", number), ..Service::default() };
                    change(&mut new);
                    store.create(new, SimTime::ZERO, &streams);
                }
            }
            Step::RemoveService(number) => drop(service(store, number).map(|id| store.remove(id))),
            Step::Node(number, zone) => {
                let labels: Labels = [("topology.kubernetes.io/zone".into(), format!("z{zone}").into())].into();
                let labels = Arc::new(labels);
                if let Some(id) = node(store, number) {
                    store.update_node(id, |node| {
                        node.meta.labels = labels;
                        true
                    });
                } else {
                    let meta = ObjectMeta { labels, ..name("n", number) };
                    store.create_node(api::Node { meta, ..api::Node::default() }, SimTime::ZERO, &streams);
                }
            }
            Step::RemoveNode(number) => drop(node(store, number).map(|id| store.remove_node(id))),
            Step::List(number, slice, pods) => list(store, service(store, number), slice, pods),
        }
    }

    fn list(store: &mut Store, service: Option<ServiceId>, slice: u8, pods: u8) {
        let Some(id) = service else { return };
        let uids: Vec<Uid> = store.pods.iter().map(|(_, pod)| pod.meta.uid).collect();
        let elsewhere =
            |pod: &Uid| store.slices(id).and_then(|behind| behind.slice_of(*pod)).is_some_and(|other| other != u32::from(slice));
        let chosen = uids.iter().enumerate().filter(|(place, pod)| pods >> place & 1 > 0 && !elsewhere(pod));
        let mut endpoints: Vec<Endpoint> = chosen.filter_map(|(_, pod)| store.wanted_endpoint(id, *pod)).collect();
        endpoints.sort_by_key(|endpoint| (endpoint.pod_name.clone(), endpoint.pod));
        let number = u32::from(slice);
        match store.slices(id).and_then(|behind| behind.slice(number)) {
            Some(_) if endpoints.is_empty() => drop(store.remove_slice(id, number)),
            Some(_) => drop(store.update_slice(id, number, endpoints)),
            None if store.slices(id).map_or(0, |behind| behind.slices.len() as u32) == number => {
                store.create_slice(id, endpoints, SimTime::ZERO, &Streams::new(1));
            }
            None => {}
        }
    }

    proptest! {
        #[test]
        fn what_differs_is_what_a_look_at_everything_finds(steps in proptest::collection::vec(step(), 1..120)) {
            let mut store = Store::default();
            for step in steps {
                take(&mut store, &step);
                for (id, service) in store.services.iter().filter(|(_, service)| is_managed(service)) {
                    let none = Behind::default();
                    let behind = store.slices(id).unwrap_or(&none);
                    let listed: Vec<&Endpoint> = behind.slices().flat_map(|(_, slice)| &slice.endpoints).collect();
                    let selected = store.pods.iter().map(|(_, pod)| pod).filter(|pod| selects(service, pod) && is_listed(pod));
                    let wanted: Vec<Endpoint> =
                        selected.filter_map(|pod| Some(endpoint(pod, pod.node_name.as_ref()?, service, &store))).collect();
                    let who = |endpoint: &Endpoint| (endpoint.pod_name.clone(), endpoint.pod);
                    let mut plain: BTreeSet<Who> = wanted.iter().filter(|endpoint| !listed.contains(endpoint)).map(who).collect();
                    plain.extend(listed.iter().filter(|endpoint| !wanted.contains(endpoint)).map(|endpoint| who(endpoint)));
                    prop_assert_eq!(behind.differing(), &plain);
                    let ready = listed.iter().filter(|endpoint| endpoint.ready).count();
                    prop_assert_eq!(behind.counts(), (ready, listed.len()));
                    let mut by_length: Vec<_> = behind.slices().map(|(number, slice)| (Reverse(slice.endpoints.len()), number)).collect();
                    by_length.sort_unstable();
                    prop_assert_eq!(behind.fullest_up_to(100).collect::<Vec<_>>(), by_length.iter().map(|(_, number)| *number).collect::<Vec<_>>());
                }
            }
        }
    }
}
