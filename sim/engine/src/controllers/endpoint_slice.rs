//! EndpointSlice controller: the addresses behind a Service, in slices of at most a hundred.
//!
//! Reads: Services, Pods, EndpointSlices. Writes: EndpointSlices, one after the other as a sync's worker does.
//! Upstream: pkg/controller/endpointslice, staging/src/k8s.io/endpointslice/reconciler.go.
//!
//! Invariants: a pod is listed while it has an address and is not finished, terminating or not; a slice that loses all
//! its endpoints goes, but for the last one of a Service. Slices are never balanced: fragments stay.
//!
//! A sync looks at the pods that are not listed as they should be (the store keeps them), and its cost is theirs.
//! Where upstream takes what a Go map gives first, endpoints go by pod name here and slices by age.
//!
//! Not modelled: the topology-mode annotation, batching, ports (a pod without the Service's port is listed too),
//! Services without a selector.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use api::{Endpoint, Pod};

use super::View;
use crate::effects::{Component, Effects, SliceWrite, Write};
use crate::store::{Behind, Change, ServiceId, Who, is_managed};

/// `--max-endpoints-per-slice`.
const MOST: usize = 100;

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
    if !view.store.services.get(id).is_some_and(is_managed) {
        return; // Nobody manages its endpoints.
    }
    let none = Behind::default();
    let behind = view.store.slices(id).unwrap_or(&none);
    let wanted = behind.differing().iter().map(|who| (who, view.store.wanted_endpoint(id, who.1)));
    for write in reconcile(wanted, behind, MOST) {
        out.write(Component::EndpointSlice, Write::EndpointSlice(id, write));
        out.then();
    }
}

/// What becomes of the slices of a Service whose endpoints for these pods should be these, and whose others are right.
fn reconcile<'a>(wanted: impl Iterator<Item = (&'a Who, Option<Endpoint>)>, behind: &Behind, most: usize) -> Vec<SliceWrite> {
    // Endpoints that are listed are changed, or taken off, where they are.
    let mut changed: BTreeMap<u32, Vec<Endpoint>> = BTreeMap::new();
    let mut new = Vec::new();
    for ((_, pod), wanted) in wanted {
        match behind.slice_of(*pod) {
            Some(number) => {
                let listed = || behind.slice(number).map_or_else(Vec::new, |slice| slice.endpoints.clone());
                let endpoints = changed.entry(number).or_insert_with(listed);
                if let Some(place) = endpoints.iter().position(|endpoint| endpoint.pod == *pod) {
                    endpoints.splice(place..=place, wanted);
                }
            }
            None => new.extend(wanted),
        }
    }
    let mut deleted: Vec<u32> = changed.iter().filter(|(_, endpoints)| endpoints.is_empty()).map(|(number, _)| *number).collect();
    if !new.is_empty() {
        // What kept the place of a Service without pods has no ports, so that it is none of the slices to be filled.
        deleted.extend(behind.fullest_up_to(0));
    }
    changed.retain(|_, endpoints| !endpoints.is_empty());
    let mut new = new.into_iter();
    let mut fill = |endpoints: &mut Vec<Endpoint>| endpoints.extend(new.by_ref().take(most.saturating_sub(endpoints.len())));

    // Slices that are written anyway are filled first, beginning with the fullest.
    let mut fullest: Vec<(Reverse<usize>, u32)> = changed.iter().map(|(number, endpoints)| (Reverse(endpoints.len()), *number)).collect();
    fullest.sort_unstable();
    for (_, number) in fullest {
        changed.entry(number).and_modify(&mut fill);
    }

    // The rest goes into the fullest slice that can take all of it, or into new ones.
    let mut created = Vec::new();
    while new.len() > 0 {
        let is_free = |number: &u32| !changed.contains_key(number) && !deleted.contains(number);
        let room = if new.len() < most { behind.fullest_up_to(most - new.len()).find(is_free) } else { None };
        let mut endpoints = room.and_then(|number| behind.slice(number)).map_or_else(Vec::new, |slice| slice.endpoints.clone());
        endpoints.extend(new.by_ref().take(most - endpoints.len()));
        match room {
            Some(number) => drop(changed.insert(number, endpoints)),
            None => created.push(endpoints),
        }
    }
    finish(changed, created, deleted, behind)
}

/// The writes, in their order.
fn finish(
    mut changed: BTreeMap<u32, Vec<Endpoint>>,
    mut created: Vec<Vec<Endpoint>>,
    deleted: Vec<u32>,
    behind: &Behind,
) -> Vec<SliceWrite> {
    if deleted.len() == behind.len() && created.is_empty() {
        created.push(Vec::new()); // An empty one keeps the place.
    }
    // What would be made anew takes the place of what would go.
    let mut deleted = deleted.into_iter();
    while !created.is_empty()
        && let Some(number) = deleted.next()
        && let Some(endpoints) = created.pop()
    {
        changed.insert(number, endpoints);
    }
    let mut writes: Vec<SliceWrite> = created.into_iter().map(SliceWrite::Create).collect();
    writes.extend(changed.into_iter().map(|(number, endpoints)| SliceWrite::Update(number, endpoints)));
    for write in &mut writes {
        if let SliceWrite::Create(endpoints) | SliceWrite::Update(_, endpoints) = write {
            endpoints.sort_by(|one, other| (&one.pod_name, one.pod).cmp(&(&other.pod_name, other.pod)));
        }
    }
    writes.extend(deleted.map(SliceWrite::Delete));
    writes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::bench::{Bench, bench, pod};
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
        let expected = ["endpoint-slice-controller new slice b-ready=RS- c-not-ready=--- d-terminating=-ST"];
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

    #[test]
    fn slices_hold_a_hundred_and_only_those_that_change_are_written() {
        let mut bench = bench().service("web", Some("app=web"));
        let service = Id::new(0);
        let lengths = |bench: &Bench| -> Vec<(u32, usize)> {
            let behind = bench.store.slices(service).expect("there are some");
            behind.slices().map(|(number, slice)| (number, slice.endpoints.len())).collect()
        };
        assert_eq!(bench.run(|view, out| sync(service, view, out)), ["endpoint-slice-controller new slice"], "it keeps the place");
        for number in 0..250 {
            bench.add_pod(pod(&format!("p{number:03}")).labels("app=web").on("n").ready_since(0));
        }
        assert_eq!(bench.run(|view, out| sync(service, view, out)).len(), 3);
        assert_eq!(lengths(&bench), [(0, 50), (1, 100), (2, 100)], "the empty one gets what was packed last");
        bench.add_pod(pod("new").labels("app=web").on("n").ready_since(0));
        assert_eq!(bench.run(|view, out| sync(service, view, out)).len(), 1);
        assert_eq!(lengths(&bench), [(0, 51), (1, 100), (2, 100)]);
        for number in 0..100 {
            bench.store.remove_pod(bench.pod_id(&format!("p{number:03}")));
        }
        assert_eq!(bench.run(|view, out| sync(service, view, out)), ["endpoint-slice-controller no slice 1"]);
        assert_eq!(lengths(&bench), [(0, 51), (2, 100)]);
    }

    /// The plain twin: `reconcileByPortMapping` and `finalize`, which look at everything.
    fn reconcile_plainly(mut desired: BTreeMap<Who, Endpoint>, behind: &Behind, most: usize) -> Vec<SliceWrite> {
        let mut existing: BTreeMap<u32, Vec<Endpoint>> = behind.slices().map(|(number, slice)| (number, slice.endpoints.clone())).collect();
        let placeholders: Vec<u32> = existing.iter().filter(|(_, listed)| listed.is_empty()).map(|(number, _)| *number).collect();
        let count = existing.len();
        let any_desired = !desired.is_empty();
        let (mut unchanged, mut update, mut delete) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        existing.retain(|number, _| !placeholders.contains(number));
        for (number, listed) in &mut existing {
            let kept: Vec<Endpoint> = listed.iter().filter_map(|one| desired.remove(&(one.pod_name.clone(), one.pod))).collect();
            if kept == *listed {
                unchanged.insert(*number);
            } else if kept.is_empty() {
                delete.push(*number);
            } else {
                update.insert(*number);
            }
            *listed = kept;
        }
        if any_desired {
            delete.extend(&placeholders);
        }
        let fill = |listed: &mut Vec<Endpoint>, desired: &mut BTreeMap<Who, Endpoint>| {
            while listed.len() < most
                && let Some((_, endpoint)) = desired.pop_first()
            {
                listed.push(endpoint);
            }
        };
        let mut by_length: Vec<u32> = update.iter().copied().collect();
        by_length.sort_by_key(|number| Reverse(existing[number].len()));
        by_length.iter().for_each(|number| fill(existing.get_mut(number).expect("it is there"), &mut desired));
        let mut create = Vec::new();
        while !desired.is_empty() {
            let room = |number: &&u32| existing[*number].len() + desired.len() <= most;
            let closest = if desired.len() < most { unchanged.iter().filter(room).min_by_key(|n| most - existing[n].len()) } else { None };
            if let Some(number) = closest.copied() {
                fill(existing.get_mut(&number).expect("it is there"), &mut desired);
                unchanged.remove(&number);
                update.insert(number);
            } else {
                let mut listed = Vec::new();
                fill(&mut listed, &mut desired);
                create.push(listed);
            }
        }
        if !any_desired && count == delete.len() {
            create.push(Vec::new());
        }
        while !create.is_empty() && !delete.is_empty() {
            let number = delete.remove(0);
            existing.insert(number, create.pop().expect("not empty"));
            update.insert(number);
        }
        let create = create.into_iter().map(SliceWrite::Create);
        let update = update.into_iter().map(|number| SliceWrite::Update(number, existing[&number].clone()));
        let mut writes: Vec<SliceWrite> = create.chain(update).chain(delete.iter().copied().map(SliceWrite::Delete)).collect();
        for write in &mut writes {
            if let SliceWrite::Create(listed) | SliceWrite::Update(_, listed) = write {
                listed.sort_by_key(|one| (one.pod_name.clone(), one.pod));
            }
        }
        writes
    }

    /// What may happen between two syncs, by pods that are few enough to meet again.
    #[derive(Clone, Debug)]
    enum Step {
        Come(u8),
        Go(u8),
        Ready(u8, bool),
        Relabel(u8, bool),
        Publish(bool),
        /// So many of the writes land.
        Sync(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0u8..40).prop_map(Step::Come),
            4 => (0u8..40).prop_map(Step::Go),
            2 => (0u8..40, any::<bool>()).prop_map(|(pod, is)| Step::Ready(pod, is)),
            1 => (0u8..40, any::<bool>()).prop_map(|(pod, is)| Step::Relabel(pod, is)),
            1 => any::<bool>().prop_map(Step::Publish),
            4 => (0usize..8).prop_map(Step::Sync),
        ]
    }

    proptest! {
        #[test]
        fn what_differs_leads_to_what_a_look_at_everything_leads_to(steps in proptest::collection::vec(step(), 1..120), most in 1usize..7) {
            let mut bench = bench().service("web", Some("app=web"));
            let service = Id::new(0);
            let find = |bench: &Bench, number: u8| bench.store.pods.find(&api::ObjectKey { namespace: "default".into(), name: format!("p{number}").into() });
            for step in steps {
                match step {
                    Step::Come(number) if find(&bench, number).is_none() => {
                        bench.add_pod(pod(&format!("p{number}")).labels("app=web").on("n"));
                    }
                    Step::Go(number) => {
                        let _ = find(&bench, number).is_some_and(|id| bench.store.remove_pod(id));
                    }
                    Step::Ready(number, is) => {
                        let status = if is { api::ConditionStatus::True } else { api::ConditionStatus::False };
                        let set = |pod: &mut Pod| std::mem::replace(&mut pod.status.conditions.ready.status, status) != status;
                        let _ = find(&bench, number).is_some_and(|id| bench.store.update_pod(id, set));
                    }
                    Step::Relabel(number, is) => {
                        let labels = super::super::bench::labels(if is { "app=web" } else { "app=other" });
                        let set = |pod: &mut Pod| std::mem::replace(&mut pod.meta.labels, labels.clone()) != labels;
                        let _ = find(&bench, number).is_some_and(|id| bench.store.update_pod(id, set));
                    }
                    Step::Publish(is) => {
                        let set = |service: &mut api::Service| std::mem::replace(&mut service.publish_not_ready_addresses, is) != is;
                        bench.store.update(service, set);
                    }
                    Step::Sync(landed) => {
                        let store = &bench.store;
                        let none = Behind::default();
                        let behind = store.slices(service).unwrap_or(&none);
                        let wanted = behind.differing().iter().map(|who| (who, store.wanted_endpoint(service, who.1)));
                        let writes = reconcile(wanted, behind, most);
                        let all = store.pods.iter().filter_map(|(_, pod)| store.wanted_endpoint(service, pod.meta.uid));
                        let desired = all.map(|endpoint| ((endpoint.pod_name.clone(), endpoint.pod), endpoint)).collect();
                        prop_assert_eq!(&writes, &reconcile_plainly(desired, behind, most));
                        for write in writes.into_iter().take(landed) {
                            bench.land(Write::EndpointSlice(service, write));
                        }
                    }
                    Step::Come(_) => {}
                }
            }
        }
    }
}
