//! StatefulSet controller: pods with a number, a claim of their own, and an order in which they come and go.
//!
//! Reads: StatefulSets, ControllerRevisions, Pods, PersistentVolumeClaims. Writes: pods and claims made, pods
//! deleted, owners of claims, revisions, StatefulSet status.
//! Upstream: pkg/controller/statefulset/{stateful_set,stateful_set_control,stateful_set_utils}.go.
//!
//! Invariants: no ordinal has two pods, as its pod's name is taken until the old one is gone; with
//! OrderedReady one sync makes or deletes at most one pod, and nothing happens beyond the first unhealthy
//! ordinal; with Parallel all pods are worked on.
//!
//! Simplified: a pod that waits for an old claim to go is tried again when that claim goes, not every few
//! milliseconds. Not modelled: the gate MaxUnavailableStatefulSet (off), hostnames.

mod claims;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::StatefulSetUpdateStrategy;
use api::{Kind, ObjectMeta, OwnerReference, Pod, PodManagementPolicy, PodPhase, PodStatus, StatefulSet, StatefulSetStatus, Str};

use super::claim::{Claim, heirs, takes};
use super::history::{History, Revision};
use super::replica_set::{counts_differently, next_availability};
use super::{View, object_name, owning_stateful_set};
use crate::effects::{Component, Effects, Write};
use crate::objects::{AnyObject, Kept, Part};
use crate::store::{Change, Id, PodId, StatefulSetId};
use claims::Holder;

const BY: Component = Component::StatefulSet;
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";
/// The name of the revision that a pod is of.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";
/// Most pods worked on at once with Parallel (upstream: MaxBatchSize).
const MAX_BATCH: usize = 500;

/// Which StatefulSets a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(StatefulSetId)) {
    let store = view.store;
    let owner = |meta: &ObjectMeta| owning_stateful_set(store, meta);
    let woken = match change {
        Change::Object(Kind::StatefulSet, number) => Some(Id::new(*number)),
        Change::PodAdded(id) => store.pods.get(*id).and_then(|pod| owner(&pod.meta)),
        Change::PodModified(id, before) => {
            store.pods.get(*id).filter(|pod| counts_differently(pod, *before)).and_then(|pod| owner(&pod.meta))
        }
        Change::PodDeleted(_, gone) => owner(&gone.meta),
        Change::ObjectDeleted(AnyObject::PersistentVolumeClaim(gone)) => {
            let mut sets = store.stateful_sets.in_namespace(&gone.meta.namespace);
            sets.find(|(_, set)| claims::is_claim_of(set, &gone.meta.name)).map(|(id, _)| id)
        }
        _ => None,
    };
    if let Some(id) = woken {
        queue(id);
    }
    heirs::<StatefulSet>(change, view, |set, labels| takes(&set.selector, labels), queue);
}

/// One reconciliation.
pub(crate) fn sync(id: StatefulSetId, view: &View<'_>, out: &mut Effects) {
    let Some(set) = view.store.stateful_sets.get(id) else {
        return; // Deleted while queued; its pods are the garbage collector's.
    };
    let is_member = |pod: &Pod| parent_and_ordinal(&pod.meta.name).filter(|(parent, _)| *parent == &*set.meta.name).map(|(_, one)| one);
    let claim = Claim { by: BY, kind: Kind::StatefulSet, owner: &set.meta, selector: &set.selector, finalizer: None };
    let history = History::claimed(&claim, view.store, out);
    let claimed = claim.claim(Kind::Pod, &view.store.pods, |_| true, |pod| is_member(pod).is_some(), out);
    let (update, collision_count) =
        history.ensure((Kind::StatefulSet, &set.meta), &set.template, set.status.collision_count, BY, view, out);
    then(out);
    let current = history.find(&set.status.current_revision).unwrap_or_else(|| update.clone());
    let pods: Vec<Member<'_>> = claimed.into_iter().filter_map(|(id, pod)| Some(Member { id, pod, ordinal: is_member(pod)? })).collect();
    let mut look = Look { set, view: *view, current: &current, update: &update, out };
    let mut status = StatefulSetStatus { collision_count, ..look.observed(&pods) };
    if !set.meta.is_deleting() {
        look.work(&pods, &mut status);
    }
    complete_update(set, &mut status);
    if !set.min_ready.is_zero() && status.ready != status.available {
        let pods: Vec<(PodId, &Pod)> = pods.iter().map(|member| (member.id, member.pod)).collect();
        out.resync_at(next_availability(set.min_ready, &pods, view.now));
    }
    if status != set.status {
        let said = Write::Update(StatefulSet { status, ..set.clone() }.into_any(), Part::Status);
        out.finally(BY, Some(said.clone()), Some(said));
    }
    let is_live =
        |name: &Str| *name == current.name || *name == update.name || pods.iter().any(|member| revision_of(member.pod) == &**name);
    history.truncate(set.revision_history_limit, is_live, BY, out);
}

/// What follows waits until all before has landed.
fn then(out: &mut Effects) {
    if out.writes.len() > out.waves.last().copied().unwrap_or(0) {
        out.then();
    }
}

/// `db-2` is the pod with number 2 of `db`.
fn parent_and_ordinal(name: &str) -> Option<(&str, i32)> {
    let (parent, ordinal) = name.rsplit_once('-')?;
    let is_number = !ordinal.is_empty() && ordinal.bytes().all(|letter| letter.is_ascii_digit());
    Some((parent, ordinal.parse().ok().filter(|_| is_number)?))
}

fn revision_of(pod: &Pod) -> &str {
    pod.meta.labels.get(REVISION_LABEL).map_or("", |name| name)
}

/// A rollout is over when all pods that are wanted are there, ready and new.
fn complete_update(set: &StatefulSet, status: &mut StatefulSetStatus) {
    if matches!(set.update_strategy, StatefulSetUpdateStrategy::RollingUpdate { .. })
        && [status.updated, status.ready, status.replicas] == [set.replicas; 3]
    {
        status.current = status.updated;
        status.current_revision = status.update_revision.clone();
    }
}

/// A pod of the set.
#[derive(Clone, Copy)]
struct Member<'a> {
    id: PodId,
    pod: &'a Pod,
    ordinal: i32,
}

/// Whether what comes after a pod has to wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    GoOn,
    Wait,
    /// It could not be done; the sync ends, with Parallel too.
    Failed,
}

/// One look at one StatefulSet.
struct Look<'a, 'o> {
    set: &'a StatefulSet,
    view: View<'a>,
    current: &'a Revision,
    update: &'a Revision,
    out: &'o mut Effects,
}

impl<'a> Look<'a, '_> {
    fn observed(&self, pods: &[Member<'_>]) -> StatefulSetStatus {
        let count = |holds: &dyn Fn(&Pod) -> bool| pods.iter().filter(|member| holds(member.pod)).count() as i32;
        let of = |revision: &Revision| count(&|pod| !pod.meta.is_deleting() && revision_of(pod) == &*revision.name);
        StatefulSetStatus {
            observed_generation: self.set.meta.generation,
            replicas: pods.len() as i32,
            ready: count(&is_running_and_ready),
            available: count(&|pod| is_running_and_ready(pod) && self.is_available(pod)),
            current: of(self.current),
            updated: of(self.update),
            current_revision: self.current.name.clone(),
            update_revision: self.update.name.clone(),
            collision_count: 0,
        }
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pod.is_available(self.set.min_ready, self.view.now)
    }
    fn is_unavailable(&self, pod: &Pod) -> bool {
        !self.is_available(pod) || pod.meta.is_deleting()
    }
    fn is_ordered(&self) -> bool {
        self.set.pod_management == PodManagementPolicy::OrderedReady
    }

    /// Upstream: updateStatefulSet.
    fn work(&mut self, pods: &[Member<'a>], status: &mut StatefulSetStatus) {
        let (start, wanted) = (self.set.ordinals_start, usize::try_from(self.set.replicas).unwrap_or(0));
        let place = |member: &Member<'_>| usize::try_from(member.ordinal.checked_sub(start)?).ok().filter(|place| *place < wanted);
        let mut replicas: Vec<Option<Member<'a>>> = vec![None; wanted];
        let mut condemned: Vec<Member<'a>> = Vec::new();
        for member in pods {
            match place(member) {
                Some(place) => replicas[place] = Some(*member),
                None => condemned.push(*member),
            }
        }
        condemned.sort_by_key(|member| std::cmp::Reverse(member.ordinal));
        let lowest_first = condemned.iter().rev().map(|member| Some(*member));
        let is_unavailable = |slot: &Option<Member<'a>>| slot.is_none_or(|member| self.is_unavailable(member.pod));
        let first_unavailable = replicas.iter().copied().chain(lowest_first).find(is_unavailable).flatten().map(|member| member.id);

        if self.for_all(wanted, |look, place| look.replica(place, replicas[place])) == Flow::GoOn
            && self.for_all(condemned.len(), |look, place| look.fix_owners_of(condemned[place])) == Flow::GoOn
            && self.for_all(condemned.len(), |look, place| look.condemned(condemned[place], first_unavailable)) == Flow::GoOn
        {
            self.roll(&replicas, status);
        }
    }

    /// Works on pods one after the other until one has to be waited for; with Parallel on all, in growing batches
    /// of which a failed one is the last.
    fn for_all(&mut self, count: usize, mut act: impl FnMut(&mut Self, usize) -> Flow) -> Flow {
        if self.is_ordered() {
            return (0..count).map(|place| act(self, place)).find(|flow| *flow != Flow::GoOn).unwrap_or(Flow::GoOn);
        }
        let (mut from, mut size) = (0, 1);
        while from < count {
            let until = (from + size).min(count);
            let failures = (from..until).filter(|place| act(self, *place) == Flow::Failed).count();
            if failures > 0 {
                return Flow::Failed;
            }
            then(self.out);
            (from, size) = (until, (2 * size).min(MAX_BATCH));
        }
        Flow::GoOn
    }

    /// A wanted ordinal. Upstream: processReplica.
    fn replica(&mut self, place: usize, slot: Option<Member<'a>>) -> Flow {
        let Some(member) = slot else {
            let flow = self.create(self.set.ordinals_start + place as i32);
            return if flow == Flow::GoOn && self.is_ordered() { Flow::Wait } else { flow };
        };
        let pod = member.pod;
        if pod.status.phase.is_terminal() {
            if !pod.meta.is_deleting() {
                self.delete(member);
            }
            return Flow::Wait; // The next one is made when it is gone.
        }
        let holder = Holder::of(pod, member.ordinal, false);
        if pod.status.phase == PodPhase::Pending && self.create_claims(holder).is_err() {
            return Flow::Failed;
        }
        let blocks = pod.meta.is_deleting() || !is_running_and_ready(pod) || !self.is_available(pod);
        if blocks && self.is_ordered() {
            return Flow::Wait;
        }
        if self.fix_owners(holder) {
            self.say(false, "Update", &pod.meta.name, "successful");
        }
        Flow::GoOn
    }

    /// A pod beyond the wanted ordinals. Upstream: processCondemned.
    fn condemned(&mut self, member: Member<'a>, first_unavailable: Option<PodId>) -> Flow {
        let pod = member.pod;
        if pod.meta.is_deleting() {
            return Flow::Wait;
        }
        let is_healthy = is_running_and_ready(pod) && self.is_available(pod);
        if self.is_ordered() && !is_healthy && first_unavailable != Some(member.id) {
            return Flow::Wait;
        }
        self.delete(member);
        Flow::Wait
    }

    /// Deletes the highest pod of an old revision, unless a newer one above it is still coming up.
    fn roll(&mut self, replicas: &[Option<Member<'a>>], status: &mut StatefulSetStatus) {
        let StatefulSetUpdateStrategy::RollingUpdate { partition } = self.set.update_strategy else { return };
        let first = usize::try_from(partition.unwrap_or(0)).unwrap_or(0);
        for slot in replicas.iter().skip(first).rev() {
            let Some(member) = slot else { return }; // Made in this sync: to be waited for.
            if revision_of(member.pod) != &*self.update.name && !member.pod.meta.is_deleting() {
                self.delete(*member);
                status.current -= 1;
                return;
            }
            if self.is_unavailable(member.pod) {
                return;
            }
        }
    }

    /// Upstream: newVersionedStatefulSetPod.
    fn revision_for(&self, ordinal: i32) -> &'a Revision {
        let StatefulSetUpdateStrategy::RollingUpdate { partition } = self.set.update_strategy else { return self.update };
        let old = partition.unwrap_or(self.set.status.current);
        if ordinal < self.set.ordinals_start.saturating_add(old) { self.current } else { self.update }
    }

    fn create(&mut self, ordinal: i32) -> Flow {
        let set = self.set;
        let name: Str = format!("{}-{ordinal}", set.meta.name).into();
        if claims::is_stale(set, ordinal, &name, self.view.store) {
            return Flow::Wait;
        }
        let holder = Holder { name: &name, uid: None, ordinal, condemned: false };
        if let Err(error) = self.create_claims(holder) {
            self.say(true, "Create", &name, &format!("failed error: {error}"));
            return Flow::Failed;
        }
        let revision = self.revision_for(ordinal);
        let mut labels = (*revision.template.labels).clone();
        labels.insert(POD_NAME_LABEL.into(), name.clone());
        labels.insert(POD_INDEX_LABEL.into(), ordinal.to_string().into());
        labels.insert(REVISION_LABEL.into(), revision.name.clone());
        let owner = OwnerReference { kind: "StatefulSet".into(), name: set.meta.name.clone(), uid: set.meta.uid, controller: true };
        let meta = ObjectMeta {
            namespace: set.meta.namespace.clone(),
            name: name.clone(),
            labels: Arc::new(labels),
            annotations: revision.template.annotations.clone(),
            owners: vec![owner],
            ..ObjectMeta::default()
        };
        let spec = claims::with_volumes(&revision.template.spec, set, ordinal);
        let pod = Pod { meta, spec, node_name: None, status: PodStatus::default() };
        if !set.volume_claim_templates.is_empty() {
            then(self.out);
        }
        let said = ("SuccessfulCreate", object_name("StatefulSet", &set.meta), self.message("Create", &name, "successful"));
        let beginning = self.message("Create", &name, "failed error: ");
        self.out.announce_with(BY, Write::CreatePod(Box::new(pod)), said, Some(("FailedCreate", &beginning)));
        self.fix_owners(holder);
        Flow::GoOn
    }

    fn delete(&mut self, member: Member<'_>) {
        let write = Write::DeletePod { pod: member.id, grace: None, by: BY };
        let message = self.message("Delete", &member.pod.meta.name, "successful");
        self.out.announce(BY, write, "SuccessfulDelete", object_name("StatefulSet", &self.set.meta), message);
    }

    /// Makes the claims that are missing; what is wrong with those that are there.
    fn create_claims(&mut self, holder: Holder<'_>) -> Result<(), String> {
        let set = self.set;
        let mut errors: Vec<String> = Vec::new();
        for claim in claims::claims_for(set, holder.ordinal) {
            let table = &self.view.store.persistent_volume_claims;
            match table.find(&claim.meta.key()).and_then(|id| table.get(id)) {
                Some(known) if known.meta.is_deleting() => errors.push(format!("pvc {} is being deleted", claim.meta.name)),
                Some(_) => {}
                None => {
                    let message = format!("Create Claim {} Pod {} in StatefulSet {} success", claim.meta.name, holder.name, set.meta.name);
                    let object = object_name("StatefulSet", &set.meta);
                    self.out.announce(BY, Write::Create(claim.into_any()), "SuccessfulCreate", object, message);
                }
            }
        }
        match &mut errors[..] {
            [] => Ok(()),
            [error] => Err(std::mem::take(error)),
            all => Err(format!("[{}]", all.join(", "))),
        }
    }

    /// Gives the claims of a pod the owners that the retention policy says; whether any had others.
    fn fix_owners(&mut self, holder: Holder<'_>) -> bool {
        let set = self.set;
        let mut fixed = false;
        for claim in claims::existing(set, holder.ordinal, self.view.store) {
            if !claims::owners_are_right(claim, set, holder) {
                let right = claims::with_right_owners(claim, set, holder);
                self.out.write(BY, Write::Update(right.into_any(), Part::Spec));
                fixed = true;
            }
        }
        fixed
    }

    fn fix_owners_of(&mut self, member: Member<'_>) -> Flow {
        self.fix_owners(Holder::of(member.pod, member.ordinal, true));
        Flow::GoOn
    }

    fn message(&self, verb: &str, pod: &str, outcome: &str) -> String {
        format!("{verb} Pod {pod} in StatefulSet {} {outcome}", self.set.meta.name)
    }

    fn say(&mut self, failed: bool, verb: &str, pod: &str, outcome: &str) {
        let reason = format!("{}{verb}", if failed { "Failed" } else { "Successful" });
        let message = self.message(verb, pod, outcome);
        self.out.event(BY, failed, &reason, object_name("StatefulSet", &self.set.meta), message);
    }
}

fn is_running_and_ready(pod: &Pod) -> bool {
    pod.status.phase == PodPhase::Running && pod.is_ready()
}
