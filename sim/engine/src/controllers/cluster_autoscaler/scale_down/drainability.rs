//! Drain rules: whether a pod lets its node go, and what then becomes of it.
//!
//! Upstream: simulator/drain.go and simulator/drainability/rules: the first rule with a verdict decides.
//!
//! Invariant: budgets are asked for their status, as the disruption controller left it, less what the same
//! plan has used up.
//!
//! Simplified: owners of kinds that are not kept count as existing; an emptyDir in memory counts as local storage.

use std::collections::BTreeMap;

use api::{Kind, Pod, PodPhase, RestartPolicy, SimDuration, SimTime, Uid, VolumeSource};

use super::super::super::disruption::budgets_of;
use super::super::super::{View, owning, owning_replica_set, owning_stateful_set};
use super::super::pending::is_daemon_pod;
use crate::store::Store;

/// A pod long past its grace no longer counts.
const LONG_TERMINATING: SimDuration = SimDuration::from_secs(30);
/// A kube-system pod without a budget blocks until it is this old (`--bsp-disruption-timeout`).
const SYSTEM_POD_AGE: SimDuration = SimDuration::from_secs(3600);

const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// What a pod means for its node's going.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) enum Verdict {
    /// Nothing.
    Ignored,
    /// It goes elsewhere.
    Moves,
    /// It goes with the node.
    Daemon,
    /// The node waits until it is done.
    Waits,
    /// The node stays.
    Blocks(String),
}

/// What budgets still allow.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct RemainingBudgets {
    used: BTreeMap<Uid, i32>,
}

impl RemainingBudgets {
    fn allow_one(&self, pod: &Pod, store: &Store) -> bool {
        budgets_of(pod, store).all(|budget| budget.disruptions_allowed - self.used.get(&budget.meta.uid).unwrap_or(&0) >= 1)
    }

    /// Whether all these pods may go at once; what they take is used up.
    pub(in super::super) fn take<'a>(&mut self, pods: impl Iterator<Item = &'a Pod>, store: &Store) -> bool {
        let mut enough = true;
        for pod in pods {
            enough &= self.allow_one(pod, store);
            for budget in budgets_of(pod, store) {
                *self.used.entry(budget.meta.uid).or_insert(0) += 1;
            }
        }
        enough
    }
}

/// A pod's deletion timestamp lies at the end of its grace; then as long again, and half a minute.
pub(in super::super) fn long_terminating_from(pod: &Pod) -> Option<SimTime> {
    let grace = pod.spec.termination_grace_period;
    pod.meta.deletion.map(|asked| asked + grace + grace + LONG_TERMINATING + SimDuration::from_nanos(1))
}

/// Whether a pod should long be gone.
pub(in super::super) fn is_long_terminating(pod: &Pod, now: SimTime) -> bool {
    long_terminating_from(pod).is_some_and(|from| from <= now)
}

/// Whether the kubelet made the pod from a file.
pub(in super::super) fn is_mirror(pod: &Pod) -> bool {
    pod.meta.annotations.contains_key("kubernetes.io/config.mirror")
}

/// What a pod means for its node's going.
pub(in super::super) fn verdict(pod: &Pod, budgets: &RemainingBudgets, view: &View<'_>) -> Verdict {
    if is_mirror(pod) || is_long_terminating(pod, view.now) {
        return Verdict::Ignored;
    }
    if controller_is_missing(pod, view.store) {
        return Verdict::Blocks(format!("controller of {} is not available", pod.meta.key()));
    }
    if is_daemon_pod(pod) {
        return Verdict::Daemon;
    }
    match pod.meta.annotations.get(SAFE_TO_EVICT).map_or("", |value| value) {
        "true" => return Verdict::Moves,
        _ if is_terminal(pod) => return Verdict::Moves,
        "on-completion" => return Verdict::Waits,
        _ => {}
    }
    blocked(pod, budgets, view).map_or(Verdict::Moves, Verdict::Blocks)
}

/// The rules that only say no, but for the one of old system pods.
fn blocked(pod: &Pod, budgets: &RemainingBudgets, view: &View<'_>) -> Option<String> {
    let (settings, name) = (&view.settings.cluster_autoscaler, &pod.meta.name);
    let kinds = ["ReplicationController", "Job", "ReplicaSet", "StatefulSet"];
    if !pod.meta.controller().is_some_and(|owner| kinds.contains(&&*owner.kind)) {
        return Some(format!("{} is not replicated", pod.meta.key()));
    }
    if settings.skip_nodes_with_system_pods && &*pod.meta.namespace == "kube-system" && budgets_of(pod, view.store).next().is_none() {
        let is_old = pod.meta.creation + SYSTEM_POD_AGE < view.now;
        return (!is_old).then(|| format!("non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: {name}"));
    }
    if pod.meta.annotations.get(SAFE_TO_EVICT).is_some_and(|value| &**value == "false") {
        return Some(format!("pod annotated as not safe to evict present: {name}"));
    }
    if settings.skip_nodes_with_local_storage && has_local_storage(pod) {
        return Some(format!("pod with local storage present: {name}"));
    }
    (!budgets.allow_one(pod, view.store)).then(|| format!("not enough pod disruption budget to move {}", pod.meta.key()))
}

fn has_local_storage(pod: &Pod) -> bool {
    let allowed = pod.meta.annotations.get(SAFE_LOCAL_VOLUMES).map_or("", |value| value);
    let is_local = |source: &VolumeSource| matches!(source, VolumeSource::EmptyDir | VolumeSource::HostPath);
    pod.spec.volumes.iter().any(|volume| is_local(&volume.source) && !allowed.split(',').any(|name| name == &*volume.name))
}

fn is_terminal(pod: &Pod) -> bool {
    match pod.status.phase {
        PodPhase::Failed => true,
        PodPhase::Succeeded => pod.spec.restart_policy != RestartPolicy::Always,
        _ => false,
    }
}

fn controller_is_missing(pod: &Pod, store: &Store) -> bool {
    let Some(owner) = pod.meta.controller() else { return false };
    match &*owner.kind {
        "ReplicaSet" => owning_replica_set(store, &pod.meta).is_none(),
        "StatefulSet" => owning_stateful_set(store, &pod.meta).is_none(),
        kind if kind == Kind::Job.as_str() => owning::<api::Job>(store, &pod.meta).is_none(),
        kind if kind == Kind::DaemonSet.as_str() => owning::<api::DaemonSet>(store, &pod.meta).is_none(),
        _ => false,
    }
}

/// What a node's pods mean for its going.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in super::super) struct Moves {
    /// Identities of those that go elsewhere.
    pub(in super::super) pods: Vec<Uid>,
    /// The node waits for some.
    pub(in super::super) waits: bool,
}

/// Upstream: GetPodsToMove. An error says what keeps the node.
pub(in super::super) fn pods_to_move<'p>(
    pods: impl Iterator<Item = &'p Pod>,
    budgets: &RemainingBudgets,
    view: &View<'_>,
) -> Result<Moves, String> {
    let mut moves = Moves::default();
    for pod in pods {
        match verdict(pod, budgets, view) {
            Verdict::Ignored | Verdict::Daemon => {}
            Verdict::Moves => moves.pods.push(pod.meta.uid),
            Verdict::Waits => moves.waits = true,
            Verdict::Blocks(why) => return Err(why),
        }
    }
    Ok(moves)
}
