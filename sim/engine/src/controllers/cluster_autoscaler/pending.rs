//! Pods that the cluster autoscaler may help: which they are, and which of them are alike.
//!
//! Upstream: core/podlistprocessor, core/scaleup/equivalence, utils/kubernetes/listers.go.
//!
//! Invariants:
//! - Only what the scheduler has tried in vain is looked at, most important pods first.
//! - Pods on nodes that are being drained look for a place like pending ones until they are deleted.
//! - Of one controller at most ten kinds of pods are told apart; further ones each stand alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ConditionStatus, Pod, SimDuration, SimTime, Uid};
use port::PodInfo;

use super::super::View;
use super::simulation::{Simulation, fresh, info_of};
use crate::store::PodId;

/// While the oldest pending pod is younger than this, more are expected.
const POD_BUFFER: SimDuration = SimDuration::from_secs(2);
/// The same for pods that ask for GPUs.
const GPU_POD_BUFFER: SimDuration = SimDuration::from_secs(30);
const GPUS: [&str; 5] = ["nvidia.com/gpu", "habana.ai/gaudi", "gpu.intel.com/xe", "amd.com/gpu", "microsoft.com/directx"];
/// A pod that changes so long after it became unschedulable no longer starts a loop at once.
const RECENT: SimDuration = SimDuration::from_secs(10);
const MOST_KINDS_PER_CONTROLLER: usize = 10;

/// A pod without a place.
pub(super) struct Pending {
    pub(super) id: PodId,
    pub(super) info: PodInfo,
    creation: SimTime,
}

/// Pods of one controller and one shape: one of them answers for all.
pub(super) struct PodGroup {
    pub(super) pods: Vec<Pending>,
}

impl PodGroup {
    /// The one that is asked.
    pub(super) fn exemplar(&self) -> &PodInfo {
        &self.pods[0].info
    }
}

/// The scheduler has tried it in vain.
pub(super) fn is_unschedulable(pod: &Pod) -> bool {
    let condition = &pod.status.conditions.scheduled;
    pod.is_active() && pod.node_name.is_none() && condition.status == ConditionStatus::False && &*condition.reason == "Unschedulable"
}

/// Whether a change of this pod starts a loop at once. Upstream: loop/trigger.go (isRecentUnschedulablePod).
pub(super) fn starts_a_loop(pod: &Pod, now: SimTime) -> bool {
    is_unschedulable(pod) && pod.status.conditions.scheduled.since + RECENT >= now
}

/// Whether the DaemonSet controller made it.
pub(super) fn is_daemon_pod(pod: &Pod) -> bool {
    pod.meta.controller().is_some_and(|owner| &*owner.kind == "DaemonSet")
        || pod.meta.annotations.get("cluster-autoscaler.kubernetes.io/daemonset-pod").is_some_and(|value| &**value == "true")
}

/// Pods that fit nowhere, those that do having been put where they fit.
pub(super) fn without_place(pending: impl Iterator<Item = PodId>, drained: &[PodId], simulation: &mut Simulation<'_>) -> Vec<PodGroup> {
    let view = simulation.view;
    let cutoff = view.settings.cluster_autoscaler.expendable_pods_priority_cutoff;
    let waits = |pod: &Pod| is_unschedulable(pod) && pod.status.nominated_node_name.is_none() && pod.spec.priority >= cutoff;
    let find = |id: PodId| Some((id, view.store.pods.get(id)?));
    let waiting = pending.filter_map(find).filter(|(_, pod)| waits(pod));
    let mut pods: Vec<(PodId, &Pod)> = waiting.chain(drained.iter().copied().filter_map(find)).collect();
    pods.sort_by_key(|(_, pod)| std::cmp::Reverse(pod.spec.priority));
    let mut kinds = Kinds::default();
    let mut placeless: Vec<bool> = Vec::new();
    for (id, pod) in pods {
        let kind = kinds.of(id, pod);
        placeless.resize(kinds.groups.len(), false);
        let Some(pending) = kinds.groups[kind].pods.last() else { continue };
        if !placeless[kind] && simulation.place_anywhere(&pending.info, 0, &|_| true).is_some() {
            kinds.groups[kind].pods.pop();
        } else {
            placeless[kind] = true;
        }
    }
    let helps = |pending: &Pending| view.store.pods.get(pending.id).is_some_and(|pod| !is_daemon_pod(pod) && is_old_enough(pod, view));
    kinds.groups.iter_mut().for_each(|group| group.pods.retain(helps));
    kinds.groups.retain(|group| !group.pods.is_empty());
    kinds.groups
}

/// How old a pod must be: `--new-pod-scale-up-delay`, or more when it is annotated so.
fn delay_of(pod: &Pod, view: &View<'_>) -> SimDuration {
    let least = view.settings.cluster_autoscaler.new_pod_scale_up_delay;
    let own = pod.meta.annotations.get("cluster-autoscaler.kubernetes.io/pod-scale-up-delay");
    own.and_then(|text| text.parse().ok()).filter(|own| *own > least).unwrap_or(least)
}

fn is_old_enough(pod: &Pod, view: &View<'_>) -> bool {
    pod.meta.creation + delay_of(pod, view) < view.now
}

/// When the next pod will be old enough.
pub(super) fn next_old_enough(pending: impl Iterator<Item = PodId>, view: &View<'_>) -> Option<SimTime> {
    let pods = pending.filter_map(|id| view.store.pods.get(id));
    let due = pods.map(|pod| pod.meta.creation + delay_of(pod, view) + SimDuration::from_nanos(1));
    due.filter(|due| *due > view.now).min()
}

/// More pods are expected soon. Upstream: allPodsAreNew.
pub(super) fn are_new(groups: &[PodGroup], now: SimTime) -> bool {
    let pods = || groups.iter().flat_map(|group| &group.pods);
    let is_new = |oldest: Option<SimTime>, buffer: SimDuration| oldest.is_some_and(|oldest| oldest + buffer > now);
    let with_gpu = pods().filter(|pod| GPUS.iter().any(|gpu| pod.info.requests.requests.scalars.contains_key(*gpu)));
    is_new(pods().map(|pod| pod.creation).min(), POD_BUFFER) || is_new(with_gpu.map(|pod| pod.creation).min(), GPU_POD_BUFFER)
}

/// Tells kinds of pods apart.
#[derive(Default)]
struct Kinds {
    groups: Vec<PodGroup>,
    /// The first pod of each.
    shapes: Vec<PodInfo>,
    by_controller: BTreeMap<Uid, Vec<usize>>,
}

impl Kinds {
    /// The kind of a pod, which has been added to it.
    fn of(&mut self, id: PodId, pod: &Pod) -> usize {
        let controller = pod.meta.controller().filter(|_| !is_daemon_pod(pod)).map(|owner| owner.uid);
        let siblings = controller.and_then(|uid| self.by_controller.get(&uid));
        let known = siblings.into_iter().flatten().copied().find(|kind| is_alike(&self.shapes[*kind], pod));
        let info = match known {
            Some(kind) => fresh(PodInfo::new(pod, self.shapes[kind].requests.clone())),
            None => info_of(pod),
        };
        let pending = Pending { id, info, creation: pod.meta.creation };
        if let Some(kind) = known {
            self.groups[kind].pods.push(pending);
            return kind;
        }
        self.shapes.push(pending.info.clone());
        self.groups.push(PodGroup { pods: vec![pending] });
        let kind = self.groups.len() - 1;
        if let Some(uid) = controller {
            let kinds = self.by_controller.entry(uid).or_default();
            if kinds.len() < MOST_KINDS_PER_CONTROLLER {
                kinds.push(kind);
            }
        }
        kind
    }
}

fn is_alike(first: &PodInfo, pod: &Pod) -> bool {
    (Arc::ptr_eq(&first.spec, &pod.spec) || first.spec == pod.spec) && first.labels == pod.meta.labels
}
