//! Deployment controller: rolls ReplicaSets from one template to the next.
//!
//! Reads: Deployments, ReplicaSets, Pods (Recreate only). Writes: ReplicaSets, Deployment status.
//! Upstream: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go and util/.
//!
//! Invariants: one step of a rollout per sync, scaling up before scaling down; the name of a ReplicaSet is
//! a function of the template and the collision count alone.
//!
//! Not modelled: the deprecated rollback annotation, the revision-history annotation (`rollout undo` is the operator's, see world).

use std::cmp::Reverse;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use api::{
    ConditionStatus, Deployment, DeploymentStatus, DeploymentStrategy, Kind, LabelSelector, Labels, ObjectKey, ObjectMeta, OwnerReference,
    PodTemplate, Propagation, ReplicaSet, ReplicaSetStatus, SimDuration, SimTime, Str, WorkloadCondition,
};

use super::claim::{Claim, takes};
use super::{View, object_name, owning_deployment, owning_replica_set, whole_second};
use crate::effects::{Component, Effects, Write};
use crate::store::{Change, DeploymentId, ReplicaSetId};

/// The label that tells a Deployment's ReplicaSets, and their pods, apart.
const HASH_LABEL: &str = "pod-template-hash";
/// `progressDeadlineSeconds` that means there is none (upstream: MaxInt32).
const NO_DEADLINE: SimDuration = SimDuration::from_secs(i32::MAX as u64);
/// Annotations of a Deployment that its ReplicaSets do not get.
const ANNOTATIONS_TO_SKIP: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// Which Deployments a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(DeploymentId)) {
    let store = view.store;
    let woken = match change {
        Change::DeploymentChanged(id) => Some(*id),
        Change::ReplicaSetChanged(id) => store.replica_sets.get(*id).and_then(|set| owning_deployment(store, &set.meta)),
        Change::ReplicaSetDeleted(gone) => owning_deployment(store, &gone.meta),
        Change::PodDeleted(_, gone) => owning_replica_set(store, &gone.meta)
            .and_then(|id| owning_deployment(store, &store.replica_sets.get(id)?.meta))
            .filter(|id| store.deployments.get(*id).is_some_and(|deployment| waits_for_last_pod(deployment, view))),
        _ => None,
    };
    if let Some(id) = woken {
        queue(id);
    }
    // Nobody's ReplicaSet wakes those that would take it over.
    let Change::ReplicaSetChanged(id) = change else { return };
    if let Some(orphan) = store.replica_sets.get(*id).filter(|set| set.meta.controller().is_none() && !set.meta.is_deleting()) {
        let near = store.deployments.in_namespace(&orphan.meta.namespace);
        near.filter(|(_, deployment)| takes(&deployment.selector, &orphan.meta.labels)).for_each(|(id, _)| queue(id));
    }
}

/// Recreate goes on when the last old pod is gone; nobody else cares about single pods.
fn waits_for_last_pod(deployment: &Deployment, view: &View<'_>) -> bool {
    deployment.strategy == DeploymentStrategy::Recreate
        && view.store.replica_sets_of(deployment).iter().all(|(_, set)| view.store.pods_of(set.meta.uid).next().is_none())
}

/// One reconciliation.
pub(crate) fn sync(id: DeploymentId, view: &View<'_>, out: &mut Effects) {
    let Some(deployment) = view.store.deployments.get(id) else { return };
    if deployment.selector.is_empty() {
        return select_all(id, deployment, out);
    }
    let mut rollout = Rollout::new(id, deployment, view, out);
    if rollout.deployment.meta.is_deleting() {
        return rollout.sync_status();
    }
    rollout.note_pause();
    if rollout.deployment.paused {
        return rollout.sync_scale();
    }
    rollout.sync_revision();
    if rollout.is_scaling_event() {
        return rollout.sync_scale();
    }
    match rollout.deployment.strategy {
        DeploymentStrategy::Recreate => rollout.recreate(),
        DeploymentStrategy::RollingUpdate { .. } => rollout.roll(),
    }
}

fn select_all(id: DeploymentId, deployment: &Deployment, out: &mut Effects) {
    if deployment.status.observed_generation < deployment.meta.generation {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        out.event(Component::Deployment, true, "SelectingAll", object_name("Deployment", &deployment.meta), message.to_owned());
        let status = DeploymentStatus { observed_generation: deployment.meta.generation, ..deployment.status.clone() };
        out.write(Component::Deployment, Write::DeploymentStatus(id, Box::new(status)));
    }
}

/// A ReplicaSet as this sync leaves it; `id` is missing until it has been created.
struct Owned {
    id: Option<ReplicaSetId>,
    set: ReplicaSet,
}

/// One sync: the Deployment and its ReplicaSets as this sync leaves them, oldest first.
struct Rollout<'a, 'b> {
    id: DeploymentId,
    deployment: Deployment,
    owned: Vec<Owned>,
    /// Place of the ReplicaSet with the Deployment's template.
    newest: Option<usize>,
    view: &'a View<'a>,
    out: &'b mut Effects,
}

impl<'a, 'b> Rollout<'a, 'b> {
    fn new(id: DeploymentId, deployment: &Deployment, view: &'a View<'a>, out: &'b mut Effects) -> Self {
        let claim = Claim {
            by: Component::Deployment,
            kind: Kind::Deployment,
            owner: &deployment.meta,
            selector: &deployment.selector,
            finalizer: None,
        };
        let claimed = claim.claim(Kind::ReplicaSet, &view.store.replica_sets, |_| true, |_| true, out);
        let mut owned: Vec<Owned> = claimed.into_iter().map(|(id, set)| Owned { id: Some(id), set: set.clone() }).collect();
        owned.sort_by(|a, b| by_creation(&a.set).cmp(&by_creation(&b.set)));
        let newest = owned.iter().position(|other| equal_but_for_hash(&other.set.template, &deployment.template));
        Self { id, deployment: deployment.clone(), owned, newest, view, out }
    }

    /// Places of the ReplicaSets of former templates, oldest first.
    fn old(&self) -> Vec<usize> {
        (0..self.owned.len()).filter(|place| Some(*place) != self.newest).collect()
    }
    fn active_old(&self) -> Vec<usize> {
        self.old().into_iter().filter(|place| self.owned[*place].set.replicas > 0).collect()
    }
    fn sum(&self, of: impl Fn(&ReplicaSet) -> i32) -> i32 {
        self.owned.iter().map(|owned| of(&owned.set)).sum()
    }
    fn write_status(&mut self) {
        let status = Box::new(self.deployment.status.clone());
        self.out.write(Component::Deployment, Write::DeploymentStatus(self.id, status));
    }

    /// Pausing stops the clock of the progress deadline, resuming starts it anew.
    fn note_pause(&mut self) {
        if !has_deadline(&self.deployment) {
            return;
        }
        let reason = self.deployment.status.progressing.as_ref().map(|condition| &*condition.reason);
        let noted = reason == Some("DeploymentPaused");
        if reason == Some("ProgressDeadlineExceeded") || noted == self.deployment.paused {
            return;
        }
        let (reason, message) = if self.deployment.paused {
            ("DeploymentPaused", "Deployment is paused")
        } else {
            ("DeploymentResumed", "Deployment is resumed")
        };
        set_condition(&mut self.deployment.status.progressing, ConditionStatus::Unknown, reason, message.into(), self.view.now);
        self.write_status();
    }

    /// Brings revision, annotations and minReadySeconds of the newest ReplicaSet up to date.
    fn sync_revision(&mut self) {
        let revision = self.next_revision();
        let Some(place) = self.newest else { return };
        let set = &mut self.owned[place].set;
        let annotations = merged_annotations(&self.deployment.meta.annotations, &set.meta.annotations);
        if set.revision < revision || set.min_ready != self.deployment.min_ready || annotations.is_some() {
            set.revision = set.revision.max(revision);
            set.min_ready = self.deployment.min_ready;
            set.meta.annotations = annotations.unwrap_or_else(|| set.meta.annotations.clone());
            self.write_set(place);
        }
        let mut changes =
            std::mem::replace(&mut self.deployment.status.revision, self.owned[place].set.revision) != self.owned[place].set.revision;
        if has_deadline(&self.deployment) && self.deployment.status.progressing.is_none() {
            let message = format!("Found new replica set \"{}\"", self.owned[place].set.meta.name);
            set_condition(&mut self.deployment.status.progressing, ConditionStatus::True, "FoundNewReplicaSet", message, self.view.now);
            changes = true;
        }
        if changes {
            self.write_status();
        }
    }

    fn next_revision(&self) -> u64 {
        self.old().into_iter().map(|place| self.owned[place].set.revision).max().unwrap_or(0) + 1
    }

    fn write_set(&mut self, place: usize) {
        let Owned { id: Some(id), set } = &self.owned[place] else { return };
        self.out.write(Component::Deployment, Write::UpdateReplicaSet(*id, Box::new(set.clone())));
    }

    /// Creates the ReplicaSet of the current template. `false` when its name belongs to another template:
    /// the collision count then gives another name next time.
    fn create_newest(&mut self) -> bool {
        let hash = template_hash(&self.deployment.template, self.deployment.collision_count);
        let mut set = new_replica_set(&self.deployment, &hash, self.next_revision());
        let key = ObjectKey { namespace: set.meta.namespace.clone(), name: set.meta.name.clone() };
        if self.view.store.replica_sets.find(&key).is_some() {
            let changed = Deployment { collision_count: self.deployment.collision_count + 1, ..self.deployment.clone() };
            self.out.write(Component::Deployment, Write::UpdateDeployment(self.id, Box::new(changed)));
            return false;
        }
        set.meta.creation = self.view.now; // The youngest, for every order by age in this sync.
        set.replicas = self.new_size(&set, self.sum(|other| other.replicas));
        let write = Write::CreateReplicaSet(Box::new(set.clone()));
        if set.replicas > 0 {
            let message = format!("Scaled up replica set {} from 0 to {}", set.meta.name, set.replicas);
            self.out.announce(Component::Deployment, write, "ScalingReplicaSet", object_name("Deployment", &self.deployment.meta), message);
        } else {
            self.out.write(Component::Deployment, write);
        }
        let (name, revision) = (set.meta.name.clone(), set.revision);
        self.newest = Some(self.owned.len());
        self.owned.push(Owned { id: None, set });
        if has_deadline(&self.deployment) {
            let message = format!("Created new replica set \"{name}\"");
            set_condition(&mut self.deployment.status.progressing, ConditionStatus::True, "NewReplicaSetCreated", message, self.view.now);
        }
        self.deployment.status.revision = revision;
        self.write_status();
        true
    }

    /// The size the newest ReplicaSet may have, `total` being wanted of all together now.
    fn new_size(&self, newest: &ReplicaSet, total: i32) -> i32 {
        let deployment = &self.deployment;
        let DeploymentStrategy::RollingUpdate { max_surge, .. } = deployment.strategy else { return deployment.replicas };
        let limit = deployment.replicas + max_surge.scaled_up(deployment.replicas);
        if total >= limit {
            return newest.replicas;
        }
        newest.replicas + (limit - total).min(deployment.replicas - newest.replicas)
    }

    /// Resizes a ReplicaSet and notes the sizes its share was worked out for. Says whether its size changed.
    fn scale(&mut self, place: usize, replicas: i32, even_if_equal: bool) -> bool {
        let (desired, max) = (self.deployment.replicas, self.deployment.replicas + max_surge(&self.deployment));
        let Owned { id: Some(id), set } = &mut self.owned[place] else { return false };
        let (before, id) = (set.replicas, *id);
        let noted = set.desired_annotation == Some(desired) && set.max_annotation == Some(max);
        if before == replicas && (noted || !even_if_equal) {
            return false;
        }
        (set.replicas, set.desired_annotation, set.max_annotation) = (replicas, Some(desired), Some(max));
        let write = Write::UpdateReplicaSet(id, Box::new(set.clone()));
        if before == replicas {
            self.out.write(Component::Deployment, write);
            return false;
        }
        let direction = if before < replicas { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {before} to {replicas}", set.meta.name);
        self.out.announce(Component::Deployment, write, "ScalingReplicaSet", object_name("Deployment", &self.deployment.meta), message);
        true
    }

    // --- Scaling events and pauses (upstream: sync.go) ---

    fn is_scaling_event(&self) -> bool {
        let differs = |set: &ReplicaSet| set.desired_annotation.is_some_and(|desired| desired != self.deployment.replicas);
        self.owned.iter().any(|owned| owned.set.replicas > 0 && differs(&owned.set))
    }

    fn sync_scale(&mut self) {
        if self.deployment.paused {
            self.sync_revision();
        }
        self.scale_all();
        if self.deployment.paused {
            self.clean_up();
        }
        self.sync_status();
    }

    fn scale_all(&mut self) {
        let active: Vec<usize> = (0..self.owned.len()).filter(|place| self.owned[*place].set.replicas > 0).collect();
        let only = match active.as_slice() {
            [] => self.newest.or_else(|| self.owned.len().checked_sub(1)),
            [only] => Some(*only),
            _ => None,
        };
        if let Some(place) = only {
            self.scale(place, self.deployment.replicas, false);
        } else if self.is_saturated() {
            for place in self.active_old() {
                self.scale(place, 0, false);
            }
        } else if active.len() > 1 && matches!(self.deployment.strategy, DeploymentStrategy::RollingUpdate { .. }) {
            self.scale_proportionally(active);
        }
    }

    fn is_saturated(&self) -> bool {
        let desired = self.deployment.replicas;
        self.newest.map(|place| &self.owned[place].set).is_some_and(|newest| {
            newest.replicas == desired && newest.desired_annotation == Some(desired) && newest.status.available == desired
        })
    }

    /// Shares the pods to add or remove among the active ReplicaSets by their size.
    fn scale_proportionally(&mut self, mut active: Vec<usize>) {
        let deployment = &self.deployment;
        let allowed = if deployment.replicas > 0 { deployment.replicas + max_surge(deployment) } else { 0 };
        let to_add = allowed - active.iter().map(|place| self.owned[*place].set.replicas).sum::<i32>();
        if to_add > 0 {
            active.reverse(); // The newest first among equals; the sort is stable.
        }
        if to_add != 0 {
            active.sort_by_key(|place| Reverse(self.owned[*place].set.replicas));
        }
        let mut added = 0;
        let mut sizes = Vec::with_capacity(active.len());
        for place in &active {
            let set = &self.owned[*place].set;
            let share = if to_add == 0 { 0 } else { proportion(set, deployment, to_add, added) };
            added += share;
            sizes.push(set.replicas + share);
        }
        if to_add != 0 {
            sizes[0] = (sizes[0] + to_add - added).max(0); // What rounding left over goes to the largest.
        }
        for (place, size) in active.into_iter().zip(sizes) {
            self.scale(place, size, true);
        }
    }

    // --- Rolling update (upstream: rolling.go) ---

    fn roll(&mut self) {
        if self.newest.is_none() && !self.create_newest() {
            return;
        }
        let Some(newest) = self.newest else { return };
        if self.grow_newest(newest) || self.shrink_old(newest) {
            return self.sync_rollout_status();
        }
        if is_complete(&self.deployment, &self.deployment.status) {
            self.clean_up();
        }
        self.sync_rollout_status();
    }

    fn grow_newest(&mut self, newest: usize) -> bool {
        let (size, wanted) = (self.owned[newest].set.replicas, self.deployment.replicas);
        if size == wanted {
            return false;
        }
        let size = if size > wanted { wanted } else { self.new_size(&self.owned[newest].set, self.sum(|set| set.replicas)) };
        self.scale(newest, size, false)
    }

    fn shrink_old(&mut self, newest: usize) -> bool {
        let old = self.active_old();
        let min_available = self.deployment.replicas - max_unavailable(&self.deployment);
        let new_unavailable = self.owned[newest].set.replicas - self.owned[newest].set.status.available;
        let budget = self.sum(|set| set.replicas) - min_available - new_unavailable;
        if old.is_empty() || budget <= 0 {
            return false;
        }
        // Its last reduction is not in its status yet: whom to count on cannot be known, so nothing is
        // taken off in this sync (upstream: cleanupUnhealthyReplicas fails on it).
        if old.iter().map(|place| &self.owned[*place].set).any(|set| set.status.available > set.replicas) {
            return false;
        }
        let cleaned = self.shrink(&old, budget, |set| set.replicas - set.status.available);
        let spare = old.iter().chain([&newest]).map(|place| self.owned[*place].set.status.available).sum::<i32>() - min_available;
        let scaled_down = if spare > 0 { self.shrink(&old, spare, |set| set.replicas) } else { 0 };
        cleaned + scaled_down > 0
    }

    /// Takes up to `budget` pods off the old ReplicaSets, the oldest first, from each at most `of` it.
    fn shrink(&mut self, old: &[usize], budget: i32, of: impl Fn(&ReplicaSet) -> i32) -> i32 {
        let mut taken = 0;
        for place in old {
            let set = &self.owned[*place].set;
            let count = of(set).min(budget - taken);
            if count > 0 && set.replicas > 0 {
                let size = set.replicas - count;
                self.scale(*place, size, false);
                taken += count;
            }
        }
        taken
    }

    // --- Recreate (upstream: recreate.go) ---

    fn recreate(&mut self) {
        let active = self.active_old();
        let mut scaled = false;
        for place in active {
            scaled |= self.scale(place, 0, false);
        }
        if scaled || self.old_pods_run() {
            return self.sync_rollout_status();
        }
        if self.newest.is_none() && !self.create_newest() {
            return;
        }
        if let Some(newest) = self.newest {
            self.scale(newest, self.deployment.replicas, false);
        }
        if is_complete(&self.deployment, &self.deployment.status) {
            self.clean_up();
        }
        self.sync_rollout_status();
    }

    /// Terminating pods still run.
    fn old_pods_run(&self) -> bool {
        self.old()
            .into_iter()
            .map(|place| &self.owned[place].set)
            .any(|set| set.status.replicas > 0 || self.view.store.pods_of(set.meta.uid).any(|(_, pod)| !pod.status.phase.is_terminal()))
    }

    // --- History and status (upstream: sync.go, progress.go) ---

    fn clean_up(&mut self) {
        let mut old: Vec<&Owned> =
            self.old().into_iter().map(|place| &self.owned[place]).filter(|owned| !owned.set.meta.is_deleting()).collect();
        let surplus = old.len().saturating_sub(usize::try_from(self.deployment.revision_history_limit).unwrap_or(usize::MAX));
        old.sort_by_key(|owned| owned.set.revision);
        for Owned { id, set } in old.into_iter().take(surplus) {
            let empty = set.replicas == 0 && set.status.replicas == 0 && set.meta.generation <= set.status.observed_generation;
            if let (true, Some(id)) = (empty, id) {
                self.out.write(Component::Deployment, Write::DeleteNumbered(Kind::ReplicaSet, id.number(), Propagation::Background));
            }
        }
    }

    fn observed(&self) -> DeploymentStatus {
        let deployment = &self.deployment;
        let available = self.sum(|set| set.status.available);
        let mut status = DeploymentStatus {
            observed_generation: deployment.meta.generation,
            replicas: self.sum(|set| set.status.replicas),
            updated: self.newest.map_or(0, |place| self.owned[place].set.status.replicas),
            ready: self.sum(|set| set.status.ready),
            available,
            unavailable: (self.sum(|set| set.replicas) - available).max(0),
            terminating: self.sum(|set| set.status.terminating),
            ..deployment.status.clone()
        };
        let (is, reason, message) = if available >= deployment.replicas - max_unavailable(deployment) {
            (ConditionStatus::True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (ConditionStatus::False, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set_condition(&mut status.available_condition, is, reason, message.into(), self.view.now);
        status
    }

    fn sync_status(&mut self) {
        let status = self.observed();
        if status != self.deployment.status {
            self.deployment.status = status;
            self.write_status();
        }
    }

    /// That of the newest ReplicaSet; before there is one, that of any other.
    fn replica_failure(&self) -> Option<WorkloadCondition> {
        match self.newest {
            Some(place) => self.owned[place].set.status.replica_failure.clone(),
            None => self.owned.iter().find_map(|owned| owned.set.status.replica_failure.clone()),
        }
    }

    fn sync_rollout_status(&mut self) {
        let mut status = self.observed();
        let newest = self.newest.map(|place| self.owned[place].set.meta.name.clone());
        estimate_progress(&self.deployment, newest, &mut status, self.view.now);
        status.replica_failure = self.replica_failure();
        if status == self.deployment.status {
            if let Some(time) = next_progress_check(&self.deployment, self.view.now) {
                self.out.resync_at(time);
            }
            return;
        }
        self.deployment.status = status;
        self.write_status();
    }
}

/// Sets condition Progressing of the new `status`.
fn estimate_progress(deployment: &Deployment, newest: Option<Str>, status: &mut DeploymentStatus, now: SimTime) {
    if !has_deadline(deployment) {
        status.progressing = None;
        return;
    }
    let current = deployment.status.progressing.as_ref();
    if status.replicas == status.updated && current.is_some_and(|condition| &*condition.reason == "NewReplicaSetAvailable") {
        return; // Nothing is being rolled out.
    }
    let what = newest.map_or_else(|| format!("Deployment \"{}\"", deployment.meta.name), |name| format!("ReplicaSet \"{name}\""));
    if is_complete(deployment, status) {
        let message = format!("{what} has successfully progressed.");
        set_condition(&mut status.progressing, ConditionStatus::True, "NewReplicaSetAvailable", message, now);
    } else if has_progressed(&deployment.status, status) {
        let since = current.filter(|condition| condition.status.is_true()).map_or(whole_second(now), |condition| condition.since);
        let updated = whole_second(now);
        let (reason, message) = ("ReplicaSetUpdated".into(), format!("{what} is progressing.").into());
        status.progressing = Some(WorkloadCondition { status: ConditionStatus::True, reason, message, since, updated });
    } else if has_timed_out(deployment, current, now) {
        let message = format!("{what} has timed out progressing.");
        set_condition(&mut status.progressing, ConditionStatus::False, "ProgressDeadlineExceeded", message, now);
    }
}

fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    [status.updated, status.replicas, status.available].iter().all(|count| *count == deployment.replicas)
        && status.observed_generation >= deployment.meta.generation
}

fn has_progressed(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    after.updated > before.updated
        || after.replicas - after.updated < before.replicas - before.updated
        || after.ready > before.ready
        || after.available > before.available
}

fn has_timed_out(deployment: &Deployment, condition: Option<&WorkloadCondition>, now: SimTime) -> bool {
    condition.is_some_and(|condition| match &*condition.reason {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => condition.updated + deployment.progress_deadline < now,
    })
}

/// When a rollout that stands still is looked at again.
fn next_progress_check(deployment: &Deployment, now: SimTime) -> Option<SimTime> {
    let condition = deployment.status.progressing.as_ref().filter(|_| has_deadline(deployment))?;
    if is_complete(deployment, &deployment.status) || &*condition.reason == "ProgressDeadlineExceeded" {
        return None;
    }
    let deadline = condition.updated + deployment.progress_deadline;
    // Upstream tries again every few milliseconds in the last second; this is where that ends.
    let late = now + SimDuration::from_secs(1) > deadline;
    if late && &*condition.reason == "NewReplicaSetAvailable" {
        return None; // A finished rollout never times out; upstream looks ever more rarely and finds nothing.
    }
    Some(if late { deadline.max(now) + SimDuration::from_millis(1) } else { deadline + SimDuration::from_secs(1) })
}

/// A condition that stays as it is keeps its times.
fn set_condition(place: &mut Option<WorkloadCondition>, status: ConditionStatus, reason: &str, message: String, now: SimTime) {
    let now = whole_second(now);
    let since = match place {
        Some(current) if current.status == status && &*current.reason == reason => return,
        Some(current) if current.status == status => current.since,
        _ => now,
    };
    *place = Some(WorkloadCondition { status, reason: reason.into(), message: message.into(), since, updated: now });
}

fn has_deadline(deployment: &Deployment) -> bool {
    deployment.progress_deadline < NO_DEADLINE
}

/// maxSurge and maxUnavailable as counts. Both zero would stop every rollout: the second becomes one.
fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let DeploymentStrategy::RollingUpdate { max_surge, max_unavailable } = deployment.strategy else { return (0, 0) };
    let (surge, unavailable) = (max_surge.scaled_up(deployment.replicas), max_unavailable.scaled_down(deployment.replicas));
    (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable })
}

fn max_surge(deployment: &Deployment) -> i32 {
    fenceposts(deployment).0
}

fn max_unavailable(deployment: &Deployment) -> i32 {
    if deployment.replicas == 0 { 0 } else { fenceposts(deployment).1.min(deployment.replicas) }
}

/// A ReplicaSet's share of the pods to add (or, below zero, to remove).
fn proportion(set: &ReplicaSet, deployment: &Deployment, to_add: i32, added: i32) -> i32 {
    if set.replicas == 0 || to_add == added {
        return 0;
    }
    let fraction = if deployment.replicas == 0 { -set.replicas } else { fraction(set, deployment) };
    if to_add > 0 { fraction.min(to_add - added) } else { fraction.max(to_add - added) }
}

fn fraction(set: &ReplicaSet, deployment: &Deployment) -> i32 {
    let before = set.max_annotation.filter(|max| *max > 0).unwrap_or(deployment.status.replicas);
    if before == 0 {
        return 0;
    }
    let max = deployment.replicas + max_surge(deployment);
    let size = (f64::from(set.replicas) * f64::from(max)) / f64::from(before);
    libm::round(size) as i32 - set.replicas // Half away from zero, as upstream's RoundToInt32.
}

/// The annotations of a ReplicaSet with its Deployment's on top; `None` when that changes nothing.
fn merged_annotations(of_deployment: &Labels, own: &Labels) -> Option<Arc<Labels>> {
    let wanted = |(key, _): &(&Str, &Str)| !ANNOTATIONS_TO_SKIP.contains(&&***key);
    if of_deployment.iter().filter(wanted).all(|(key, value)| own.get(key) == Some(value)) {
        return None;
    }
    let mut merged = own.clone();
    merged.extend(of_deployment.iter().filter(wanted).map(|(key, value)| (key.clone(), value.clone())));
    Some(Arc::new(merged))
}

fn new_replica_set(deployment: &Deployment, hash: &str, revision: u64) -> ReplicaSet {
    let with_hash = |labels: &Labels| {
        let mut labels = labels.clone();
        labels.insert(HASH_LABEL.into(), hash.into());
        labels
    };
    let labels = Arc::new(with_hash(&deployment.template.labels));
    let owner =
        OwnerReference { kind: "Deployment".into(), name: deployment.meta.name.clone(), uid: deployment.meta.uid, controller: true };
    ReplicaSet {
        meta: ObjectMeta {
            namespace: deployment.meta.namespace.clone(),
            name: format!("{}-{hash}", deployment.meta.name).into(),
            labels: labels.clone(),
            annotations: merged_annotations(&deployment.meta.annotations, &Labels::new()).unwrap_or_default(),
            owners: vec![owner],
            ..ObjectMeta::default()
        },
        replicas: 0,
        selector: Arc::new(LabelSelector {
            match_labels: with_hash(&deployment.selector.match_labels),
            match_expressions: deployment.selector.match_expressions.clone(),
        }),
        template: Arc::new(PodTemplate {
            labels,
            annotations: deployment.template.annotations.clone(),
            spec: deployment.template.spec.clone(),
        }),
        min_ready: deployment.min_ready,
        revision,
        desired_annotation: Some(deployment.replicas),
        max_annotation: Some(deployment.replicas + max_surge(deployment)),
        status: ReplicaSetStatus::default(),
    }
}

/// Creation has whole seconds; equal ones are told apart by name.
fn by_creation(set: &ReplicaSet) -> (u64, &str) {
    (set.meta.creation.as_secs(), &set.meta.name)
}

fn equal_but_for_hash(a: &PodTemplate, b: &PodTemplate) -> bool {
    let labels = |template: &PodTemplate| -> Vec<(Str, Str)> {
        template.labels.iter().filter(|(key, _)| &***key != HASH_LABEL).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    (Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec) && a.annotations == b.annotations && labels(a) == labels(b)
}

/// A hash of the template in the alphabet upstream uses for it: FNV-1a over its plain rendering, in decimal,
/// each digit made a letter that cannot spell anything (apimachinery/pkg/util/rand.SafeEncodeString).
pub(super) fn template_hash(template: &PodTemplate, collisions: u32) -> String {
    struct Fnv(u64);
    impl fmt::Write for Fnv {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
            Ok(())
        }
    }
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let _ = write!(hash, "{template:?}{collisions}"); // Writing into a number cannot fail.
    let folded = (hash.0 >> 32) as u32 ^ hash.0 as u32;
    folded.to_string().bytes().map(|digit| char::from(b"456789bcdf"[usize::from(digit - b'0')])).collect()
}

#[cfg(test)]
mod tables;
#[cfg(test)]
mod tests;
