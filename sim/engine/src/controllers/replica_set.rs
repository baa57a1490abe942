//! ReplicaSet controller: keeps the number of active pods equal to `spec.replicas`.
//!
//! Reads: ReplicaSets, Pods. Writes: pods created and deleted, ReplicaSet status.
//! Upstream: pkg/controller/replicaset/replica_set.go, pkg/controller/controller_utils.go.
//!
//! Invariants: at most [`BURST`] pods are made or deleted in one sync; pods are made in waves of 1, 2, 4, …,
//! and a refusal ends the sync, so that a full quota costs one request and not hundreds.
//!
//! Not modelled: `fullyLabeledReplicas`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use api::{
    ConditionStatus, Kind, ObjectMeta, OwnerReference, Pod, PodPhase, PodStatus, ReplicaSet, ReplicaSetStatus, SimDuration, SimTime, Uid,
    WorkloadCondition,
};

use super::claim::{Claim, heirs, takes};
use super::{View, object_name, owning_replica_set};
use crate::effects::{Component, Effects, Write};
use crate::store::{Change, PodBefore, PodId, ReplicaSetId, Store};

/// Most pods made or deleted in one sync (upstream: BurstReplicas).
const BURST: usize = 500;

/// Which ReplicaSets a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(ReplicaSetId)) {
    let owner = match change {
        Change::ReplicaSetChanged(id) => Some(*id),
        Change::PodAdded(id) => view.store.pods.get(*id).and_then(|pod| owning_replica_set(view.store, &pod.meta)),
        Change::PodModified(id, before) => view
            .store
            .pods
            .get(*id)
            .and_then(|pod| Some((pod, owning_replica_set(view.store, &pod.meta)?)))
            .filter(|(pod, owner)| counts_differently(pod, *before) || is_refused(*owner, view))
            .map(|(_, owner)| owner),
        Change::PodDeleted(_, gone) => owning_replica_set(view.store, &gone.meta),
        _ => None,
    };
    if let Some(id) = owner {
        queue(id);
    }
    heirs::<ReplicaSet>(change, view, |set, labels| takes(&set.selector, labels), queue);
}

/// Every news of a pod makes it ask again, and be refused again, which makes its back-off longer.
fn is_refused(id: ReplicaSetId, view: &View<'_>) -> bool {
    view.store.replica_sets.get(id).is_some_and(|set| set.status.replica_failure.is_some())
}

/// Other changes of a pod lead to a sync that finds nothing to do.
pub(super) fn counts_differently(pod: &Pod, before: PodBefore) -> bool {
    let now = PodBefore { ready: pod.is_ready(), deleting: pod.meta.is_deleting(), terminal: pod.status.phase.is_terminal(), ..before };
    before != PodBefore { relabelled: false, ..now }
}

/// One reconciliation.
pub(crate) fn sync(id: ReplicaSetId, view: &View<'_>, out: &mut Effects) {
    let Some(replica_set) = view.store.replica_sets.get(id) else {
        return; // Deleted while queued; its pods are the garbage collector's.
    };
    let claim = Claim {
        by: Component::ReplicaSet,
        kind: Kind::ReplicaSet,
        owner: &replica_set.meta,
        selector: &replica_set.selector,
        finalizer: None,
    };
    let active: Vec<(PodId, &Pod)> = claim.claim(Kind::Pod, &view.store.pods, Pod::is_active, |_| true, out);
    let plan = if replica_set.meta.is_deleting() { Plan::Keep } else { plan(replica_set.replicas, active.len()) };
    match plan {
        Plan::Keep => {}
        Plan::Create { count } => create_pods(replica_set, count, out),
        Plan::Delete { count } => delete_pods(replica_set, &active, count, view, out),
    }
    let is_terminating =
        |pod: &Pod| pod.meta.is_deleting() && !pod.status.phase.is_terminal() && replica_set.selector.matches(&pod.meta.labels);
    let terminating = view.store.pods_of(replica_set.meta.uid).filter(|(_, pod)| is_terminating(pod)).count() as i32;
    let status = ReplicaSetStatus { terminating, ..count_pods(replica_set, &active, view.now) };
    if !replica_set.min_ready.is_zero() && status.ready != status.available {
        out.resync_at(next_availability(replica_set.min_ready, &active, view.now));
    }
    let changed = |status: ReplicaSetStatus| (status != replica_set.status).then(|| Write::ReplicaSetStatus(id, status));
    out.finally(Component::ReplicaSet, changed(status.clone()), changed(with_failure(status, &replica_set.status, plan, view.now)));
}

/// The status with the condition that says why there are too few or too many pods.
fn with_failure(status: ReplicaSetStatus, before: &ReplicaSetStatus, plan: Plan, now: SimTime) -> ReplicaSetStatus {
    let reason = match plan {
        Plan::Keep => return status,
        Plan::Create { .. } => "FailedCreate",
        Plan::Delete { .. } => "FailedDelete",
    };
    // The first failure stays until it is over; each has another pod's name in it.
    let failure = before.replica_failure.clone().unwrap_or_else(|| WorkloadCondition {
        status: ConditionStatus::True,
        reason: reason.into(),
        since: now,
        updated: now,
        ..WorkloadCondition::default()
    });
    ReplicaSetStatus { replica_failure: Some(failure), ..status }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    Keep,
    Create { count: usize },
    Delete { count: usize },
}

/// Terminating pods do not count: each is replaced at once.
fn plan(desired: i32, active: usize) -> Plan {
    let desired = usize::try_from(desired).unwrap_or(0);
    match active.cmp(&desired) {
        Ordering::Equal => Plan::Keep,
        Ordering::Less => Plan::Create { count: (desired - active).min(BURST) },
        Ordering::Greater => Plan::Delete { count: (active - desired).min(BURST) },
    }
}

/// Asks for `count` pods, a few first and twice as many after each wave that nobody refused.
/// Upstream: controller_utils.go, slowStartBatch.
fn create_pods(replica_set: &ReplicaSet, count: usize, out: &mut Effects) {
    let owner =
        OwnerReference { kind: "ReplicaSet".into(), name: replica_set.meta.name.clone(), uid: replica_set.meta.uid, controller: true };
    let template = &replica_set.template;
    let meta = ObjectMeta {
        namespace: replica_set.meta.namespace.clone(),
        name: format!("{}-", replica_set.meta.name).into(), // The API server completes it.
        labels: template.labels.clone(),
        annotations: template.annotations.clone(),
        owners: vec![owner],
        ..ObjectMeta::default()
    };
    let pod = Pod { meta, spec: template.spec.clone(), node_name: None, status: PodStatus::default() };
    let by = Component::ReplicaSet;
    for place in 0..count {
        if place > 0 && (place + 1).is_power_of_two() {
            out.then();
        }
        let said = ("SuccessfulCreate", object_name("ReplicaSet", &replica_set.meta), "Created pod: {name}".to_owned());
        out.announce_with(by, Write::CreatePod(Box::new(pod.clone())), said, Some(("FailedCreate", "Error creating: ")));
    }
}

fn delete_pods(replica_set: &ReplicaSet, active: &[(PodId, &Pod)], count: usize, view: &View<'_>, out: &mut Effects) {
    let victims = if count >= active.len() {
        active.iter().map(|(id, pod)| Candidate { id: *id, pod, rank: 0 }).collect() // All of them: upstream does not rank.
    } else {
        first_to_delete(active, &related_pods_per_node(replica_set, view.store), count, view.now)
    };
    for Candidate { id, pod, .. } in victims {
        let write = Write::DeletePod { pod: id, grace: None, by: Component::ReplicaSet };
        let message = format!("Deleted pod: {}", pod.meta.name);
        out.announce(Component::ReplicaSet, write, "SuccessfulDelete", object_name("ReplicaSet", &replica_set.meta), message);
    }
}

/// Active pods per node of all ReplicaSets with the same controller. A bare ReplicaSet ranks nothing.
fn related_pods_per_node<'a>(replica_set: &ReplicaSet, store: &'a Store) -> BTreeMap<&'a str, u32> {
    let mut per_node = BTreeMap::new();
    let Some(owner) = replica_set.meta.controller() else { return per_node };
    for (_, related) in store.replica_sets.in_namespace(&replica_set.meta.namespace) {
        if related.meta.controller().is_some_and(|other| other.uid == owner.uid) {
            for (_, pod) in store.pods_of(related.meta.uid).filter(|(_, pod)| pod.is_active()) {
                *per_node.entry(pod.node_name.as_deref().unwrap_or_default()).or_insert(0) += 1;
            }
        }
    }
    per_node
}

/// A pod that may be deleted, with how many related pods share its node.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    id: PodId,
    pod: &'a Pod,
    rank: u32,
}

fn first_to_delete<'a>(pods: &[(PodId, &'a Pod)], per_node: &BTreeMap<&str, u32>, count: usize, now: SimTime) -> Vec<Candidate<'a>> {
    let rank = |pod: &Pod| per_node.get(pod.node_name.as_deref().unwrap_or_default()).copied().unwrap_or(0);
    let candidates: Vec<Candidate<'a>> = pods.iter().map(|(id, pod)| Candidate { id: *id, pod, rank: rank(pod) }).collect();
    let mut sorted = merge_sort(candidates, &|a, b| deleted_before(a, b, now));
    sorted.truncate(count);
    sorted
}

/// Upstream's order of victims (ActivePodsWithRanks.Less).
fn deleted_before(a: &Candidate<'_>, b: &Candidate<'_>, now: SimTime) -> bool {
    let (first, second) = (a.pod, b.pod);
    if first.node_name.is_none() != second.node_name.is_none() {
        return first.node_name.is_none();
    }
    if phase_order(first) != phase_order(second) {
        return phase_order(first) < phase_order(second);
    }
    if first.is_ready() != second.is_ready() {
        return !first.is_ready();
    }
    if deletion_cost(first) != deletion_cost(second) {
        return deletion_cost(first) < deletion_cost(second);
    }
    if a.rank != b.rank {
        return a.rank > b.rank;
    }
    if first.is_ready() && first.ready_since() != second.ready_since() {
        return younger(first.ready_since(), second.ready_since(), first.meta.uid, second.meta.uid, now);
    }
    if max_restarts(first) != max_restarts(second) {
        return max_restarts(first) > max_restarts(second);
    }
    // Equal seconds fall through upstream and leave the order to the informer; the identity decides here as well.
    let created = |pod: &Pod| SimTime::from_secs(pod.meta.creation.as_secs());
    younger(created(first), created(second), first.meta.uid, second.meta.uid, now)
}

pub(super) const fn phase_order(pod: &Pod) -> u8 {
    match pod.status.phase {
        PodPhase::Pending => 0,
        PodPhase::Unknown => 1,
        PodPhase::Running | PodPhase::Succeeded | PodPhase::Failed => 2,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    pod.meta.annotations.get("controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// Most restarts of a regular container, then of a sidecar.
pub(super) fn max_restarts(pod: &Pod) -> (u32, u32) {
    let regular = pod.status.containers.iter().map(|status| status.restart_count).max().unwrap_or(0);
    let sidecars = pod.spec.init_containers.iter().zip(&pod.status.init_containers).filter(|(container, _)| container.is_sidecar);
    (regular, sidecars.map(|(_, status)| status.restart_count).max().unwrap_or(0))
}

/// Ages are compared by the floor of their logarithm, equal ones by identity (gate LogarithmicScaleDown).
fn younger(a: SimTime, b: SimTime, a_uid: Uid, b_uid: Uid, now: SimTime) -> bool {
    let magnitude = |since: SimTime| now.since(since).as_nanos().checked_ilog2().map_or(-1, i64::from);
    match magnitude(a).cmp(&magnitude(b)) {
        Ordering::Equal => a_uid < b_uid,
        order => order == Ordering::Less,
    }
}

/// A stable merge sort. Upstream's order is not transitive (equal seconds fall through to other rules),
/// which the standard library's sort may answer with a panic.
fn merge_sort<T: Copy>(mut items: Vec<T>, before: &impl Fn(&T, &T) -> bool) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let right = merge_sort(items.split_off(items.len() / 2), before);
    let left = merge_sort(items, before);
    let (mut merged, mut left, mut right) = (Vec::with_capacity(left.len() + right.len()), left.into_iter().peekable(), right.into_iter());
    for item in right.by_ref() {
        while let Some(other) = left.next_if(|other| !before(&item, other)) {
            merged.push(other);
        }
        merged.push(item);
    }
    merged.extend(left);
    merged
}

fn count_pods(replica_set: &ReplicaSet, active: &[(PodId, &Pod)], now: SimTime) -> ReplicaSetStatus {
    let count = |holds: &dyn Fn(&Pod) -> bool| active.iter().filter(|(_, pod)| holds(pod)).count() as i32;
    ReplicaSetStatus {
        observed_generation: replica_set.meta.generation,
        replicas: active.len() as i32,
        ready: count(&|pod| pod.is_ready()),
        available: count(&|pod| pod.is_available(replica_set.min_ready, now)),
        terminating: 0,
        replica_failure: None,
    }
}

/// When the next pod becomes available by the passing of time alone.
pub(super) fn next_availability(min_ready: SimDuration, pods: &[(PodId, &Pod)], now: SimTime) -> SimTime {
    let due = pods.iter().filter(|(_, pod)| pod.is_ready()).map(|(_, pod)| pod.ready_since() + min_ready);
    due.filter(|due| *due > now).min().unwrap_or(now + min_ready)
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, pod};
    use super::*;

    fn synced(bench: &mut Bench) -> Vec<String> {
        let id = bench.store.replica_sets.iter().next().expect("a ReplicaSet").0;
        bench.run(|view, out| sync(id, view, out))
    }

    #[test]
    fn missing_pods_are_made_and_counted_one_sync_later() {
        let mut bench = bench().replica_set("web", 3);
        let first = synced(&mut bench);
        assert_eq!(first.len(), 4, "{first:?}");
        assert!(first[0].starts_with("replicaset-controller create pod web-"), "{first:?}");
        assert!(
            first[0].ends_with(&format!("; SuccessfulCreate ReplicaSet/default/web: Created pod: {}", bench.pod_names()[0])),
            "{first:?}"
        );
        assert_eq!(first[3], "replicaset-controller status web replicas=0 ready=0 available=0");
        assert_eq!(synced(&mut bench), ["replicaset-controller status web replicas=3 ready=0 available=0"]);
        assert_eq!(synced(&mut bench), Vec::<String>::new());
    }

    #[test]
    fn names_use_the_official_alphabet_and_do_not_depend_on_other_replica_sets() {
        let mut alone = bench().replica_set("web", 2);
        synced(&mut alone);
        let names = alone.pod_names();
        assert!(
            names.iter().all(|name| name[4..].bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)) && name.len() == 9),
            "{names:?}"
        );
        let mut again = bench().replica_set("web", 1);
        synced(&mut again);
        again.scale_replica_set("web", 2);
        synced(&mut again);
        assert_eq!(again.pod_names(), names, "asking for one after the other gives the same names");
    }

    #[test]
    fn a_terminating_pod_is_replaced_at_once() {
        let mut bench = bench().replica_set("web", 1).owned_pod("web", pod("web-a").ready_since(0).deleting());
        let effects = synced(&mut bench);
        assert!(effects[0].contains("create pod"), "{effects:?}");
    }

    #[test]
    fn at_most_500_pods_are_made_in_one_sync() {
        assert_eq!(plan(1200, 0), Plan::Create { count: 500 });
        assert_eq!(plan(0, 1200), Plan::Delete { count: 500 });
        assert_eq!(plan(3, 3), Plan::Keep);
        assert_eq!(plan(-1, 0), Plan::Keep);
    }

    #[test]
    fn the_trap_of_the_newest_pod_victims_go_in_upstreams_order() {
        // Each row: the one that goes first, the one that stays, and why.
        let rows = [
            (pod("a").pending(), pod("b").on("n").pending(), "not assigned"),
            (pod("a").on("n").pending(), pod("b").on("n"), "pending before running"),
            (pod("a").on("n"), pod("b").on("n").ready_since(0), "not ready before ready"),
            (pod("a").on("n").ready_since(0).deletion_cost(-5), pod("b").on("n").ready_since(0), "lower cost"),
            (pod("a").on("crowded").ready_since(0), pod("b").on("n").ready_since(3000), "crowded node"),
            (pod("a").on("n").ready_since(3599), pod("b").on("n").ready_since(0), "ready more recently"),
            (pod("a").on("n").ready_since(0).restarts(2), pod("b").on("n").ready_since(0), "more restarts"),
            (pod("a").on("n").created(3599), pod("b").on("n").created(0), "created more recently"),
        ];
        let per_node = BTreeMap::from([("crowded", 3), ("n", 2)]);
        for (goes, stays, why) in rows {
            let (goes, stays) = (goes.build(), stays.build());
            let pods = [(PodId::new(1), &stays), (PodId::new(0), &goes)];
            let first = first_to_delete(&pods, &per_node, 1, SimTime::from_secs(3600));
            assert_eq!(&*first[0].pod.meta.name, "a", "{why}");
        }
    }

    #[test]
    fn the_trap_of_the_newest_pod_40_and_60_minutes_are_as_good_as_equal() {
        // 2^41 ns is 36.6 min, 2^42 ns is 73.3 min: one bucket, so the smaller identity goes.
        let (mut old, mut new) = (pod("old").on("n").ready_since(0).build(), pod("new").on("n").ready_since(1200).build());
        (old.meta.uid, new.meta.uid) = (Uid(1), Uid(2));
        let first = first_to_delete(&[(PodId::new(0), &new), (PodId::new(1), &old)], &BTreeMap::new(), 1, SimTime::from_secs(3600));
        assert_eq!(&*first[0].pod.meta.name, "old");
    }

    #[test]
    fn availability_is_looked_at_again_when_time_alone_brings_it() {
        let mut bench =
            bench().replica_set("web", 1).min_ready("web", 10).owned_pod("web", pod("web-a").on("n").ready_since_ms(5700)).at_ms(5710);
        assert_eq!(synced(&mut bench), ["replicaset-controller status web replicas=1 ready=1 available=0", "resync at 15s"]);
        bench = bench.at_ms(15_000);
        assert_eq!(synced(&mut bench), ["replicaset-controller status web replicas=1 ready=1 available=1"]);
    }
}
