//! Garbage collector: what is owned goes when all its owners are gone.
//!
//! Reads: owner references and the owners they name. Writes: deletions of what they owned.
//! Upstream: pkg/controller/garbagecollector.
//!
//! Invariants: an object goes only when it has owners and none of them exists; owners of kinds that are
//! not kept count as existing.
//!
//! Not modelled: foreground propagation for other kinds than Jobs, orphan propagation (everything else is
//! deleted in the background, as kubectl does), stripping of single dangling references.

use api::{CronJob, Job, Kind, ObjectKey, ObjectMeta, OwnerReference, Uid};

use super::{View, key, owning};
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{AnyObject, FOREGROUND, Kept, Part};
use crate::store::{Change, JobId, PodId, ReplicaSetId, Store};

/// Keys are numbers of pods, or with this bit numbers of ReplicaSets.
const REPLICA_SET: u32 = 1 << 31;
/// With this one, of Jobs.
const JOB: u32 = 1 << 30;

/// Which dependents a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let store = view.store;
    match change {
        Change::ReplicaSetDeleted(gone) => store.pods_of(gone.meta.uid).for_each(|(id, _)| queue(key(id))),
        Change::DeploymentDeleted(gone) => {
            for (id, _) in store.replica_sets_of(gone) {
                queue(Key(id.number() | REPLICA_SET));
            }
        }
        Change::ObjectDeleted(AnyObject::Job(gone)) => store.pods_of(gone.meta.uid).for_each(|(id, _)| queue(key(id))),
        Change::ObjectDeleted(AnyObject::CronJob(gone)) => {
            store.jobs.of(gone.meta.uid).for_each(|(id, _)| queue(Key(id.number() | JOB)));
        }
        Change::Object(Kind::Job, number) => {
            let job = store.jobs.get(JobId::new(*number));
            if job.is_some_and(|job| job.meta.has_finalizer(FOREGROUND) || is_garbage(&job.meta, store)) {
                queue(Key(number | JOB));
            }
        }
        Change::PodDeleted(_, gone) => {
            let job = owning::<Job>(store, &gone.meta).and_then(|id| Some((id, store.jobs.get(id)?)));
            if let Some((id, _)) = job.filter(|(_, job)| job.meta.has_finalizer(FOREGROUND)) {
                queue(Key(id.number() | JOB));
            }
        }
        // Made by a controller that had not heard yet.
        Change::PodAdded(id) if store.pods.get(*id).is_some_and(|pod| is_garbage(&pod.meta, store)) => queue(key(*id)),
        Change::ReplicaSetChanged(id) if store.replica_sets.get(*id).is_some_and(|set| is_garbage(&set.meta, store)) => {
            queue(Key(id.number() | REPLICA_SET));
        }
        _ => {}
    }
}

/// One reconciliation.
pub(crate) fn sync(key: Key, view: &View<'_>, out: &mut Effects) {
    let by = Component::GarbageCollector;
    if key.0 & JOB != 0 {
        sync_job(JobId::new(key.0 & !JOB), view, out);
    } else if key.0 & REPLICA_SET == 0 {
        let pod = PodId::new(key.0);
        if view.store.pods.get(pod).is_some_and(|object| !object.meta.is_deleting() && is_garbage(&object.meta, view.store)) {
            out.write(by, Write::DeletePod { pod, grace: None, by });
        }
    } else {
        let id = ReplicaSetId::new(key.0 & !REPLICA_SET);
        if view.store.replica_sets.get(id).is_some_and(|object| is_garbage(&object.meta, view.store)) {
            out.write(by, Write::DeleteReplicaSet(id));
        }
    }
}

/// A Job whose owner is gone goes; one that is deleted in the foreground goes after its pods.
fn sync_job(id: JobId, view: &View<'_>, out: &mut Effects) {
    let (by, store) = (Component::GarbageCollector, view.store);
    let Some(job) = store.jobs.get(id) else { return };
    if !job.meta.has_finalizer(FOREGROUND) {
        if is_garbage(&job.meta, store) {
            out.write(by, Write::Delete(Kind::Job, job.meta.key()));
        }
        return;
    }
    let pods: Vec<PodId> = store.pods_of(job.meta.uid).filter(|(_, pod)| !pod.meta.is_deleting()).map(|(id, _)| id).collect();
    for pod in pods {
        out.write(by, Write::DeletePod { pod, grace: None, by });
    }
    if store.pods_of(job.meta.uid).next().is_none() {
        let mut freed = job.clone();
        freed.meta.finalizers.retain(|finalizer| &**finalizer != FOREGROUND);
        out.write(by, Write::Update(freed.into_any(), Part::Spec));
    }
}

fn is_garbage(meta: &ObjectMeta, store: &Store) -> bool {
    !meta.owners.is_empty() && !meta.owners.iter().any(|owner| exists(owner, meta, store))
}

/// Owners are looked up in the dependent's namespace; another identity under the name is another object.
fn exists(owner: &OwnerReference, dependent: &ObjectMeta, store: &Store) -> bool {
    let name = ObjectKey { namespace: dependent.namespace.clone(), name: owner.name.clone() };
    let found = match &*owner.kind {
        "ReplicaSet" => store.replica_sets.find(&name).and_then(|id| Some(store.replica_sets.get(id)?.meta.uid)),
        "Deployment" => store.deployments.find(&name).and_then(|id| Some(store.deployments.get(id)?.meta.uid)),
        "Job" => uid_of::<Job>(store, &name),
        "CronJob" => uid_of::<CronJob>(store, &name),
        _ => return true,
    };
    found.is_some_and(|uid| owner.uid.0 == 0 || owner.uid == uid)
}

fn uid_of<T: Kept>(store: &Store, name: &ObjectKey) -> Option<Uid> {
    T::table(store).find(name).and_then(|id| Some(T::table(store).get(id)?.meta().uid))
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, pod};
    use super::super::{deployment, interested};
    use super::*;

    /// Hears all changes and syncs what they put into the collector's queue, until there are none.
    fn collect(bench: &mut Bench) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let changes = bench.store.take_changes();
            let mut keys = Vec::new();
            for change in &changes {
                interested(change, &bench.view(), &mut |component, key| {
                    if component == Component::GarbageCollector {
                        keys.push(key);
                    }
                });
            }
            if changes.is_empty() {
                return lines;
            }
            for key in keys {
                lines.extend(bench.run(|view, out| sync(key, view, out)));
            }
        }
    }

    #[test]
    fn a_deleted_deployment_takes_its_replica_sets_and_their_pods_along() {
        let mut bench = bench().deployment("web", 1, |_| {});
        let id = bench.store.deployments.iter().next().expect("one").0;
        bench.run(|view, out| deployment::sync(id, view, out));
        let name = bench.store.replica_sets.iter().next().expect("one").1.meta.name.clone();
        let mut bench = bench.owned_pod(&name, pod("web-a").ready_since(0)).pod(pod("bare"));
        assert_eq!(collect(&mut bench), Vec::<String>::new());
        bench.store.remove_deployment(id);
        assert_eq!(collect(&mut bench), ["garbage-collector delete replica set web-#", "garbage-collector delete pod web-a"]);
    }

    #[test]
    fn owners_of_unknown_kinds_keep_what_they_own() {
        let meta = ObjectMeta {
            owners: vec![OwnerReference { kind: "StatefulSet".into(), name: "db".into(), uid: api::Uid(1), controller: true }],
            ..ObjectMeta::default()
        };
        assert!(!is_garbage(&meta, &Store::default()));
    }
}
