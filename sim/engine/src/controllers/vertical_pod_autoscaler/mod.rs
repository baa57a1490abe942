//! Vertical pod autoscaler: what containers should ask for, learned from what they use.
//!
//! `recommender.rs` watches usage and out-of-memory kills and writes recommendations; `updater.rs` evicts pods that
//! are too far from them; `admission.rs` gives them to pods as they are made. `histogram.rs` is what it remembers.
//!
//! Upstream: kubernetes/autoscaler, vertical-pod-autoscaler/pkg. Not modelled: checkpoints and history from before the
//! run, in-place resizing (InPlaceOrRecreate evicts; InPlace only sets new pods), startup boosts, several
//! recommenders, LimitRanges as caps of a recommendation (a pod that they forbid is refused), node-pressure evictions
//! as out-of-memory news. A container whose use of a resource nobody knows gets no recommendation of it.

pub(crate) mod admission;
mod histogram;
pub(crate) mod recommender;
pub(crate) mod updater;

use api::{LabelSelector, Labels, ObjectKey, ObjectMeta, Pod, ResourceList, VerticalPodAutoscaler, VpaContainerPolicy, VpaRecommendation};

use crate::select::top_controller;
use crate::store::{PodId, Store};

/// Whom the pods of a target are known by.
enum Selector<'a> {
    Of(&'a LabelSelector),
    /// A CronJob's pods have the labels of its template.
    Labels(&'a Labels),
}

/// How the pods of the target are told from others; `None` when there is no such target, or of no kind that is known.
fn selector_of<'a>(vpa: &VerticalPodAutoscaler, store: &'a Store) -> Option<Selector<'a>> {
    let key = ObjectKey { namespace: vpa.meta.namespace.clone(), name: vpa.target_name.clone() };
    macro_rules! selector {
        ($table:ident) => {
            store.$table.find(&key).and_then(|id| store.$table.get(id)).map(|object| Selector::Of(&object.selector))
        };
    }
    match &*vpa.target_kind {
        "Deployment" => selector!(deployments),
        "ReplicaSet" => selector!(replica_sets),
        "StatefulSet" => selector!(stateful_sets),
        "DaemonSet" => selector!(daemon_sets),
        "Job" => store.jobs.find(&key).and_then(|id| store.jobs.get(id)).map(|job| Selector::Labels(&job.spec.template.labels)),
        "CronJob" => {
            store.cron_jobs.find(&key).and_then(|id| store.cron_jobs.get(id)).map(|job| Selector::Labels(&job.job_spec.template.labels))
        }
        _ => None,
    }
}

impl Selector<'_> {
    fn matches(&self, pod: &Pod) -> bool {
        match self {
            Self::Of(selector) => selector.matches(&pod.meta.labels),
            Self::Labels(labels) => labels.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value)),
        }
    }
}

/// Pods that a VerticalPodAutoscaler learns from, by name.
pub(crate) fn pods_under<'a>(vpa: &VerticalPodAutoscaler, store: &'a Store) -> Vec<(PodId, &'a Pod)> {
    let Some(selector) = selector_of(vpa, store) else { return Vec::new() };
    store.pods.in_namespace(&vpa.meta.namespace).filter(|(_, pod)| selector.matches(pod)).collect()
}

/// The VerticalPodAutoscaler that a pod belongs to: whose target is its topmost controller; of several the oldest, and
/// of equally old ones the first by name (upstream: GetControllingVPAForPod).
fn controlling<'a>(pod: &Pod, store: &'a Store, may_be: impl Fn(&VerticalPodAutoscaler) -> bool) -> Option<&'a VerticalPodAutoscaler> {
    let top = top_controller(pod, store)?;
    let is_its = |vpa: &&VerticalPodAutoscaler| {
        *vpa.target_kind == *top.kind
            && vpa.target_name == top.name
            && may_be(vpa)
            && selector_of(vpa, store).is_some_and(|selector| selector.matches(pod))
    };
    let all = store.vpas.in_namespace(&pod.meta.namespace).map(|(_, vpa)| vpa);
    all.filter(is_its).min_by_key(|vpa| vpa.meta.creation)
}

/// What is recommended to a pod's container, as its policy caps it (upstream: the capping recommendation processor).
fn capped(vpa: &VerticalPodAutoscaler, container: &api::Container) -> Option<VpaRecommendation> {
    let mut capped = vpa.recommended(&container.name)?.clone();
    let policy = vpa.policy(&container.name);
    for list in [&mut capped.target, &mut capped.lower_bound, &mut capped.upper_bound] {
        cap(list, policy);
        if policy.is_some_and(|policy| policy.requests_only) {
            for (name, amount) in list.iter_mut() {
                *amount = container.limits.get(name).map_or(*amount, |limit| (*amount).min(*limit));
            }
        }
    }
    Some(capped)
}

/// Between what the policy allows at least and at most; zero allows anything.
fn cap(list: &mut ResourceList, policy: Option<&VpaContainerPolicy>) {
    let Some(policy) = policy else { return };
    for (name, amount) in list.iter_mut() {
        if let Some(least) = policy.min_allowed.get(name).filter(|least| **least > 0) {
            *amount = (*amount).max(*least);
        }
        if let Some(most) = policy.max_allowed.get(name).filter(|most| **most > 0) {
            *amount = (*amount).min(*most);
        }
    }
}

/// An object of this kind as events name it.
fn named(meta: &ObjectMeta) -> String {
    super::object_name("VerticalPodAutoscaler", meta)
}

#[cfg(test)]
mod tests;
