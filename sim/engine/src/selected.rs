//! Which pods a Service may select, and which Services a pod, without looking at all there are in the namespace.
//!
//! A Service is filed under one pair of its selector, the one with the fewest Services then; so are the pods that have
//! that pair. A label that everything has (`app.kubernetes.io/part-of`) thus files no more than one Service.
//!
//! Invariants: for every Service with a selector, the pods filed under its pair are exactly those of its namespace that
//! have the pair. Whether the rest of the selector fits is for whoever asks.
//!
//! Not here: Services without a selector (nobody manages their endpoints; an empty one counts as none, as the API
//! server drops it), and what endpoints are made of.

use std::collections::BTreeMap;

use api::{Labels, ObjectMeta, Pod, Service, Str};
use rustc_hash::FxHashMap;

use crate::store::{PodId, ServiceId, Table};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pair {
    namespace: Str,
    key: Str,
    value: Str,
}

#[derive(Default)]
struct Filed {
    services: Vec<ServiceId>,
    pods: BTreeMap<Str, PodId>,
}

/// Services and pods by pairs of labels.
#[derive(Default)]
pub(crate) struct Selected {
    by_pair: FxHashMap<Pair, Filed>,
    pair_of: FxHashMap<ServiceId, Pair>,
}

impl Selected {
    /// Services of a namespace that may select a pod of these labels, in no order.
    pub(crate) fn services<'a>(&'a self, namespace: &'a Str, labels: &'a Labels) -> impl Iterator<Item = ServiceId> + 'a {
        let filed = move |(key, value)| self.by_pair.get(&pair(namespace, key, value));
        // With no Service in sight, no pair needs to be made.
        let labels = if self.by_pair.is_empty() { None } else { Some(labels.iter()) };
        labels.into_iter().flatten().filter_map(filed).flat_map(|filed| filed.services.iter().copied())
    }
    /// Pods that a Service may select, by name.
    pub(crate) fn pods(&self, service: ServiceId) -> impl Iterator<Item = PodId> + '_ {
        self.pair_of.get(&service).and_then(|pair| self.by_pair.get(pair)).into_iter().flat_map(|filed| filed.pods.values().copied())
    }

    pub(crate) fn pod_comes(&mut self, id: PodId, pod: &ObjectMeta) {
        self.for_each_pair(pod, &pod.labels, |filed| {
            filed.pods.insert(pod.name.clone(), id);
        });
    }
    /// A pod that had these labels goes, or gets others.
    pub(crate) fn pod_goes(&mut self, pod: &ObjectMeta, labels: &Labels) {
        self.for_each_pair(pod, labels, |filed| {
            filed.pods.remove(&pod.name);
        });
    }
    fn for_each_pair(&mut self, pod: &ObjectMeta, labels: &Labels, mut then: impl FnMut(&mut Filed)) {
        if self.by_pair.is_empty() {
            return;
        }
        for (key, value) in labels {
            if let Some(filed) = self.by_pair.get_mut(&pair(&pod.namespace, key, value)) {
                then(filed);
            }
        }
    }

    /// A Service is there, or its selector is another.
    pub(crate) fn service_comes(&mut self, id: ServiceId, service: &Service, pods: &Table<Pod>) {
        let selector = service.selector.as_deref();
        let stays = |pair: &Pair| selector.is_some_and(|selector| selector.get(&pair.key) == Some(&pair.value));
        if self.pair_of.get(&id).is_some_and(stays) {
            return;
        }
        self.service_goes(id);
        let namespace = &service.meta.namespace;
        let pairs = selector.into_iter().flatten().map(|(key, value)| pair(namespace, key, value));
        let Some(pair) = pairs.min_by_key(|pair| self.by_pair.get(pair).map_or(0, |filed| filed.services.len())) else { return };
        let filed = self.by_pair.entry(pair.clone()).or_default();
        if filed.services.is_empty() {
            let has = |pod: &Pod| pod.meta.labels.get(&pair.key) == Some(&pair.value);
            filed.pods.extend(pods.in_namespace(namespace).filter(|(_, pod)| has(pod)).map(|(id, pod)| (pod.meta.name.clone(), id)));
        }
        filed.services.push(id);
        self.pair_of.insert(id, pair);
    }
    /// A Service is gone.
    pub(crate) fn service_goes(&mut self, id: ServiceId) {
        let Some(pair) = self.pair_of.remove(&id) else { return };
        if let Some(filed) = self.by_pair.get_mut(&pair) {
            filed.services.retain(|other| *other != id);
            if filed.services.is_empty() {
                self.by_pair.remove(&pair);
            }
        }
    }
}

fn pair(namespace: &Str, key: &Str, value: &Str) -> Pair {
    Pair { namespace: namespace.clone(), key: key.clone(), value: value.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::SimTime;
    use proptest::prelude::*;

    use super::*;
    use crate::random::Streams;
    use crate::store::Store;

    /// What may happen; names and labels are few, so that they meet.
    #[derive(Clone, Debug)]
    enum Step {
        AddPod(u8, u8, Labels),
        Relabel(usize, Labels),
        RemovePod(usize),
        AddService(u8, u8, Option<Labels>),
        Reselect(usize, Option<Labels>),
        RemoveService(usize),
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let text = |letter: char| (0u8..3).prop_map(move |number| Str::from(format!("{letter}{number}")));
        proptest::collection::btree_map(text('k'), text('v'), 0..4)
    }

    fn step() -> impl Strategy<Value = Step> {
        let selector = || proptest::option::of(labels());
        prop_oneof![
            (0u8..2, 0u8..20, labels()).prop_map(|(namespace, name, labels)| Step::AddPod(namespace, name, labels)),
            (any::<usize>(), labels()).prop_map(|(which, labels)| Step::Relabel(which, labels)),
            any::<usize>().prop_map(Step::RemovePod),
            (0u8..2, 0u8..6, selector()).prop_map(|(namespace, name, selector)| Step::AddService(namespace, name, selector)),
            (any::<usize>(), selector()).prop_map(|(which, selector)| Step::Reselect(which, selector)),
            any::<usize>().prop_map(Step::RemoveService),
        ]
    }

    fn meta(namespace: u8, name: u8) -> ObjectMeta {
        ObjectMeta { namespace: format!("ns{namespace}").into(), name: format!("n{name}").into(), ..ObjectMeta::default() }
    }

    fn take(store: &mut Store, step: Step) {
        let streams = Streams::new(1);
        let pod = |store: &Store, which: usize| store.pods.iter().nth(which % store.pods.len().max(1)).map(|(id, _)| id);
        let service = |store: &Store, which: usize| store.services.iter().nth(which % store.services.len().max(1)).map(|(id, _)| id);
        match step {
            Step::AddPod(namespace, name, labels) => {
                let meta = ObjectMeta { labels: Arc::new(labels), ..meta(namespace, name) };
                store.create_pod(Pod { meta, ..Pod::default() }, SimTime::ZERO, &streams);
            }
            Step::Relabel(which, labels) => {
                let Some(id) = pod(store, which) else { return };
                store.update_pod(id, |pod| {
                    pod.meta.labels = Arc::new(labels);
                    true
                });
            }
            Step::RemovePod(which) => {
                let Some(id) = pod(store, which) else { return };
                store.remove_pod(id);
            }
            Step::AddService(namespace, name, selector) => {
                let service = Service { meta: meta(namespace, name), selector: selector.map(Arc::new), ..Service::default() };
                store.create(service, SimTime::ZERO, &streams);
            }
            Step::Reselect(which, selector) => {
                let Some(id) = service(store, which) else { return };
                store.update(id, |service: &mut Service| {
                    service.selector = selector.map(Arc::new);
                    true
                });
            }
            Step::RemoveService(which) => {
                let Some(id) = service(store, which) else { return };
                store.remove(id);
            }
        }
    }

    /// The plain twin: everything of the namespace is looked at.
    fn selects(service: &Service, pod: &Pod) -> bool {
        let selector = service.selector.as_deref().filter(|selector| !selector.is_empty());
        let fits = |selector: &Labels| selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value));
        service.meta.namespace == pod.meta.namespace && selector.is_some_and(fits)
    }

    proptest! {
        #[test]
        fn both_directions_answer_what_a_look_at_everything_answers(steps in proptest::collection::vec(step(), 1..60)) {
            let mut store = Store::default();
            for step in steps {
                take(&mut store, step);
                for (id, service) in store.services.iter() {
                    let all = store.pods.in_namespace(&service.meta.namespace);
                    let plain: Vec<PodId> = all.filter(|(_, pod)| selects(service, pod)).map(|(id, _)| id).collect();
                    prop_assert_eq!(store.pods_selected_by(id).map(|(id, _)| id).collect::<Vec<_>>(), plain);
                }
                for (_, pod) in store.pods.iter() {
                    let all = store.services.in_namespace(&pod.meta.namespace);
                    let plain: Vec<ServiceId> = all.filter(|(_, service)| selects(service, pod)).map(|(id, _)| id).collect();
                    prop_assert_eq!(store.services_selecting(pod).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), plain);
                }
            }
        }
    }
}
