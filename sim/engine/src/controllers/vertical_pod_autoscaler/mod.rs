//! Vertical pod autoscaler: what containers should ask for, learned from what they use.
//!
//! `recommender.rs` watches usage and out-of-memory kills and writes recommendations; `updater.rs` evicts pods that
//! are too far from them; `admission.rs` gives them to pods as they are made. `histogram.rs` is what it remembers.
//!
//! Upstream: kubernetes/autoscaler, vertical-pod-autoscaler/pkg. Not modelled: checkpoints and history from before the
//! run, mode InPlace beyond new pods (its gate is off), startup boosts, several
//! recommenders, LimitRanges as caps of a recommendation (a pod that they forbid is refused), node-pressure evictions
//! as out-of-memory news. A container whose use of a resource nobody knows gets no recommendation of it.

pub(crate) mod admission;
mod histogram;
pub(crate) mod recommender;
pub(crate) mod updater;

use api::{ObjectKey, ObjectMeta, Pod, ResourceList, Uid, VerticalPodAutoscaler, VpaContainerPolicy, VpaRecommendation};

use crate::select::top_controller;
use crate::store::{PodId, Store};

/// Who controls the pods of the target directly; `None` when there is no such target, or of no kind that is known.
fn controllers_of(vpa: &VerticalPodAutoscaler, store: &Store) -> Option<Vec<Uid>> {
    let key = ObjectKey { namespace: vpa.meta.namespace.clone(), name: vpa.target_name.clone() };
    macro_rules! target {
        ($table:ident) => {
            store.$table.find(&key).and_then(|id| store.$table.get(id))?
        };
    }
    Some(match &*vpa.target_kind {
        "Deployment" => store.replica_sets_of(target!(deployments)).into_iter().map(|(_, set)| set.meta.uid).collect(),
        "CronJob" => store.jobs.of(target!(cron_jobs).meta.uid).map(|(_, job)| job.meta.uid).collect(),
        "ReplicaSet" => vec![target!(replica_sets).meta.uid],
        "StatefulSet" => vec![target!(stateful_sets).meta.uid],
        "DaemonSet" => vec![target!(daemon_sets).meta.uid],
        "Job" => vec![target!(jobs).meta.uid],
        _ => return None,
    })
}

/// Pods that a VerticalPodAutoscaler learns from: those of its target (upstream: those its selector matches).
pub(crate) fn pods_under<'a>(vpa: &VerticalPodAutoscaler, store: &'a Store) -> Vec<(PodId, &'a Pod)> {
    controllers_of(vpa, store).into_iter().flatten().flat_map(|controller| store.pods_of(controller)).collect()
}

/// The VerticalPodAutoscaler that a pod belongs to: whose target is its topmost controller; of several the oldest, and
/// of equally old ones the first by name (upstream: GetControllingVPAForPod).
fn controlling<'a>(pod: &Pod, store: &'a Store, may_be: impl Fn(&VerticalPodAutoscaler) -> bool) -> Option<&'a VerticalPodAutoscaler> {
    let top = top_controller(pod, store)?;
    let is_its = |vpa: &&VerticalPodAutoscaler| *vpa.target_kind == *top.kind && vpa.target_name == top.name && may_be(vpa);
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
