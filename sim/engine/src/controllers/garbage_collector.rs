//! Garbage collector: what is owned goes when all its owners are gone.
//!
//! Reads: owner references and the owners they mean. Writes: deletions of what may have owners ([`DEPENDENTS`]).
//! Upstream: pkg/controller/garbagecollector.
//!
//! Invariants: an object goes only when it has owners and none of them exists; owners of kinds that are
//! not kept count as existing.
//!
//! Not modelled: foreground and orphan propagation (everything is deleted in the background, as kubectl
//! does), stripping of single dangling references.

use api::{Kind, ObjectKey, ObjectMeta, OwnerReference, Uid};

use super::View;
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{Kept, with_kind};
use crate::store::{Change, Id, Object, PodId, ReplicaSetId, Store, Table};

/// Kinds that may have owners. A key is a number in the kind's table, with the kind's place here in the upper bits.
const DEPENDENTS: [Kind; 4] = [Kind::Pod, Kind::ReplicaSet, Kind::ControllerRevision, Kind::PersistentVolumeClaim];
const KIND_SHIFT: u32 = 28;

fn dependent<T>(kind: Kind, id: Id<T>) -> Option<Key> {
    let place = DEPENDENTS.iter().position(|known| *known == kind)?;
    Some(Key(id.number() | (place as u32) << KIND_SHIFT))
}

/// Which dependents a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let store = view.store;
    match change {
        Change::DeploymentDeleted(gone) => owned_by(gone.meta.uid, store, queue),
        Change::ReplicaSetDeleted(gone) => owned_by(gone.meta.uid, store, queue),
        Change::PodDeleted(_, gone) => owned_by(gone.meta.uid, store, queue),
        Change::ObjectDeleted(gone) => owned_by(gone.meta().uid, store, queue),
        // Made by a controller that had not heard yet, or owned by nobody any more.
        Change::PodAdded(id) => doubt(Kind::Pod, &store.pods, *id, store, queue),
        Change::ReplicaSetChanged(id) => doubt(Kind::ReplicaSet, &store.replica_sets, *id, store, queue),
        Change::Object(kind, number) if DEPENDENTS.contains(kind) => {
            with_kind!(*kind, T => doubt(*kind, T::table(store), Id::<T>::new(*number), store, queue), else ());
        }
        _ => {}
    }
}

/// Everything that an owner controlled.
fn owned_by(owner: Uid, store: &Store, queue: &mut dyn FnMut(Key)) {
    for kind in DEPENDENTS {
        let mut add = |number: Option<Key>| number.into_iter().for_each(&mut *queue);
        match kind {
            Kind::Pod => store.pods.of(owner).for_each(|(id, _)| add(dependent(kind, id))),
            Kind::ReplicaSet => store.replica_sets.of(owner).for_each(|(id, _)| add(dependent(kind, id))),
            _ => with_kind!(kind, T => T::table(store).of(owner).for_each(|(id, _)| add(dependent(kind, id))), else ()),
        }
    }
}

fn doubt<T: Object>(kind: Kind, table: &Table<T>, id: Id<T>, store: &Store, queue: &mut dyn FnMut(Key)) {
    if table.get(id).is_some_and(|object| is_garbage(object.meta(), store)) {
        dependent(kind, id).into_iter().for_each(queue);
    }
}

/// One reconciliation.
pub(crate) fn sync(key: Key, view: &View<'_>, out: &mut Effects) {
    let by = Component::GarbageCollector;
    let (number, store) = (key.0 & ((1 << KIND_SHIFT) - 1), view.store);
    let Some(kind) = DEPENDENTS.get((key.0 >> KIND_SHIFT) as usize).copied() else { return };
    let goes = |meta: &ObjectMeta| !meta.is_deleting() && is_garbage(meta, store);
    match kind {
        Kind::Pod => {
            let pod = PodId::new(number);
            if store.pods.get(pod).is_some_and(|object| goes(&object.meta)) {
                out.write(by, Write::DeletePod { pod, grace: None, by });
            }
        }
        Kind::ReplicaSet => {
            let id = ReplicaSetId::new(number);
            if store.replica_sets.get(id).is_some_and(|object| goes(&object.meta)) {
                out.write(by, Write::DeleteReplicaSet(id));
            }
        }
        _ => with_kind!(kind, T => if let Some(object) = T::table(store).get(Id::new(number)).filter(|object| goes(object.meta())) {
            out.write(by, Write::Delete(kind, object.meta().key()));
        }, else ()),
    }
}

fn is_garbage(meta: &ObjectMeta, store: &Store) -> bool {
    !meta.owners.is_empty() && !meta.owners.iter().any(|owner| exists(owner, meta, store))
}

/// Owners are looked up in the dependent's namespace; another identity under the name is another object.
fn exists(owner: &OwnerReference, dependent: &ObjectMeta, store: &Store) -> bool {
    let name = ObjectKey { namespace: dependent.namespace.clone(), name: owner.name.clone() };
    fn uid<T: Object>(table: &Table<T>, name: &ObjectKey) -> Option<Uid> {
        Some(table.get(table.find(name)?)?.meta().uid)
    }
    let found = match &*owner.kind {
        "ReplicaSet" => uid(&store.replica_sets, &name),
        "Deployment" => uid(&store.deployments, &name),
        "StatefulSet" => uid(&store.stateful_sets, &name),
        "Pod" => uid(&store.pods, &name),
        _ => return true,
    };
    found.is_some_and(|uid| owner.uid.0 == 0 || owner.uid == uid)
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
            owners: vec![OwnerReference { kind: "Cluster".into(), name: "db".into(), uid: api::Uid(1), controller: true }],
            ..ObjectMeta::default()
        };
        assert!(!is_garbage(&meta, &Store::default()));
    }
}
