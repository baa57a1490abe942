//! EndpointSlice controller: the addresses behind a Service.
//!
//! Reads: Services, Pods. Writes: the endpoints of a Service, ordered by pod name.
//! Upstream: pkg/controller/endpointslice, staging/src/k8s.io/endpointslice.
//!
//! Invariants: a pod is listed while it has an address and is not finished, terminating or not.
//!
//! Not modelled: slices of at most 100 endpoints and their fragmentation, the topology-mode annotation, batching,
//! ports (a pod without the Service's port is listed too), Services without a selector.

use api::{Endpoint, Pod, Service, Str};

use super::View;
use crate::effects::{Component, Effects, Write};
use crate::store::{Change, ServiceId};

/// Which Services a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(ServiceId)) {
    match change {
        Change::ServiceChanged(id) => queue(*id),
        Change::PodAdded(id) => {
            if let Some(pod) = view.store.pods.get(*id).filter(|pod| pod.status.has_ip) {
                wake_services_of(pod, view, queue);
            }
        }
        // A pod that ends loses its address with that very change, and has to be taken off the list.
        Change::PodModified(id, before) if before.relabelled => {
            // Those that selected it before have to take it off their lists.
            if let Some(pod) = view.store.pods.get(*id) {
                view.store.services.in_namespace(&pod.meta.namespace).for_each(|(id, _)| queue(id));
            }
        }
        Change::PodModified(id, before) => {
            let matters = |pod: &&Pod| pod.status.has_ip || (pod.status.phase.is_terminal() && !before.terminal);
            if let Some(pod) = view.store.pods.get(*id).filter(matters) {
                wake_services_of(pod, view, queue);
            }
        }
        // A pod may be gone before the news of its end have come: it has no address any more, but was listed.
        Change::PodDeleted(_, gone) if gone.status.has_ip || gone.status.phase.is_terminal() => wake_services_of(gone, view, queue),
        _ => {}
    }
}

fn wake_services_of(pod: &Pod, view: &View<'_>, queue: &mut dyn FnMut(ServiceId)) {
    view.store.services_selecting(pod).into_iter().for_each(|(id, _)| queue(id));
}

/// One reconciliation.
pub(crate) fn sync(id: ServiceId, view: &View<'_>, out: &mut Effects) {
    let Some(service) = view.store.services.get(id) else { return };
    if service.selector.as_ref().is_none_or(|selector| selector.is_empty()) {
        return; // Nobody manages its endpoints.
    }
    let endpoints = endpoints_of(id, service, view);
    if view.store.endpoints(id).is_none_or(|slice| slice.endpoints != endpoints) {
        out.write(Component::EndpointSlice, Write::Endpoints(id, endpoints));
    }
}

fn endpoints_of(id: ServiceId, service: &Service, view: &View<'_>) -> Vec<Endpoint> {
    let listed = view.store.pods_selected_by(id).filter(|(_, pod)| is_listed(pod));
    listed.filter_map(|(_, pod)| Some(endpoint(pod, pod.node_name.as_ref()?, service, view))).collect()
}

const fn is_listed(pod: &Pod) -> bool {
    pod.status.has_ip && !pod.status.phase.is_terminal()
}

fn endpoint(pod: &Pod, node: &Str, service: &Service, view: &View<'_>) -> Endpoint {
    let (serving, terminating) = (pod.is_ready(), pod.meta.is_deleting());
    let ready = service.publish_not_ready_addresses || (serving && !terminating);
    let (zone_hint, node_hint) = if ready { hints(&service.traffic_distribution, node, view) } else { (None, None) };
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
fn hints(traffic_distribution: &str, node: &Str, view: &View<'_>) -> (Option<Str>, Option<Str>) {
    let same_node = traffic_distribution == "PreferSameNode";
    if !same_node && !matches!(traffic_distribution, "PreferClose" | "PreferSameZone") {
        return (None, None);
    }
    let zone = view.store.node_by_name(node).and_then(|(_, node)| node.meta.labels.get("topology.kubernetes.io/zone").cloned());
    (zone, same_node.then(|| node.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::bench::{bench, pod};
    use super::*;
    use crate::store::{Id, PodBefore};

    #[test]
    fn flags_follow_readiness_and_deletion() {
        let app = "app=web";
        let mut bench = bench()
            .service("web", Some(app))
            .pod(pod("d-terminating").labels(app).on("n").ready_since(0).deleting())
            .pod(pod("c-not-ready").labels(app).on("n"))
            .pod(pod("b-ready").labels(app).on("n").ready_since(0))
            .pod(pod("a-other").labels("app=db").on("n").ready_since(0))
            .pod(pod("e-failed").labels(app).on("n").failed())
            .pod(pod("f-pending").labels(app).unschedulable());
        let service = Id::new(0);
        let expected = ["endpoint-slice-controller endpoints b-ready=RS- c-not-ready=--- d-terminating=-ST"];
        assert_eq!(bench.run(|view, out| sync(service, view, out)), expected);
        assert_eq!(bench.run(|view, out| sync(service, view, out)), Vec::<String>::new(), "the second time nothing differs");
    }

    #[test]
    fn a_service_without_selector_is_left_alone() {
        let mut bench = bench().service("manual", None).pod(pod("a").on("n").ready_since(0));
        assert_eq!(bench.run(|view, out| sync(Id::new(0), view, out)), Vec::<String>::new());
    }

    #[test]
    fn only_services_that_select_the_pod_are_woken() {
        let bench = bench().service("web", Some("app=web")).service("db", Some("app=db")).pod(pod("a").labels("app=db x=y").on("n"));
        let mut woken = Vec::new();
        interested(&Change::PodAdded(bench.pod_id("a")), &bench.view(), &mut |id| woken.push(id));
        assert_eq!(woken, [Id::new(1)]);
    }

    #[test]
    fn a_pod_that_ends_wakes_its_services_once_although_it_has_no_address_any_more() {
        let bench = bench().service("web", Some("app=web")).pod(pod("a").labels("app=web").on("n").failed());
        let id = bench.pod_id("a");
        let woken = |terminal| {
            let mut woken = Vec::new();
            let before = PodBefore { bound: true, ready: false, deleting: true, terminal, relabelled: false };
            interested(&Change::PodModified(id, before), &bench.view(), &mut |id| woken.push(id));
            woken
        };
        assert_eq!(woken(false), [Id::new(0)]);
        assert_eq!(woken(true), []);
        let mut last = Vec::new();
        let gone = bench.store.pods.get(id).unwrap().clone();
        interested(&Change::PodDeleted(id, Box::new(gone)), &bench.view(), &mut |id| last.push(id));
        assert_eq!(last, [Id::new(0)], "it may be gone before the news of its end have come");
    }
}
