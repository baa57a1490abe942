//! Garbage collector: what is owned goes when its owners go.
//!
//! Reads: owner references and finalizers of every kind. Writes: deletions, finalizers and owner references.
//! Upstream: pkg/controller/garbagecollector/{garbagecollector,graph_builder}.go.
//!
//! Invariants: an object goes only when it has owners and none of them is there to stay; owners of kinds
//! that are not kept count as existing; an owner deleted in the foreground goes after the last of those
//! it controls.
//!
//! Simplified: what an object's controller owns blocks its foreground deletion (every reference that a
//! controller makes has blockOwnerDeletion); other owners' dependents are not looked for.

use api::{Kind, ObjectKey, ObjectMeta, OwnerReference, Propagation, Uid};

use super::View;
use crate::effects::{Component, Effects, Key, Write};
use crate::objects::{AnyObject, Kept, with_kind};
use crate::store::{Change, Id, PodId, Store};

/// Bits of a key that say which kind; the others are the object's number in its table.
const KIND_BITS: u32 = 5;

/// Pods are kind 0, others follow the list of kinds.
fn key_of(kind: Kind, number: u32) -> Key {
    let place = AnyObject::KINDS.iter().position(|known| *known == kind).map_or(0, |place| place as u32 + 1);
    Key(place << (u32::BITS - KIND_BITS) | number)
}

fn kind_of(key: Key) -> (Kind, u32) {
    let number = key.0 & (u32::MAX >> KIND_BITS);
    match key.0 >> (u32::BITS - KIND_BITS) {
        0 => (Kind::Pod, number),
        place => (AnyObject::KINDS[place as usize - 1], number),
    }
}

fn meta_of(kind: Kind, number: u32, store: &Store) -> Option<&ObjectMeta> {
    if kind == Kind::Pod {
        return Some(&store.pods.get(PodId::new(number))?.meta);
    }
    with_kind!(kind, T => Some(&T::table(store).get(Id::new(number))?.meta), else None)
}

/// What the object of this identity controls.
fn dependents(owner: Uid, store: &Store, hear: &mut dyn FnMut(Kind, u32)) {
    store.pods_of(owner).for_each(|(id, _)| hear(Kind::Pod, id.number()));
    for kind in AnyObject::KINDS {
        with_kind!(*kind, T => T::table(store).of(owner).for_each(|(id, _)| hear(*kind, id.number())), else ());
    }
}

/// Which objects a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Key)) {
    let store = view.store;
    match change {
        Change::PodAdded(id) => is_new(Kind::Pod, id.number(), store, queue),
        Change::PodModified(..) | Change::NodeAdded(_) | Change::NodeModified(_) => {}
        Change::SliceChanged(..) | Change::SliceDeleted(..) => {}
        Change::DeploymentChanged(id) => has_changed(Kind::Deployment, id.number(), store, queue),
        Change::ReplicaSetChanged(id) => has_changed(Kind::ReplicaSet, id.number(), store, queue),
        Change::ServiceChanged(id) => has_changed(Kind::Service, id.number(), store, queue),
        Change::HpaChanged(id) => has_changed(Kind::HorizontalPodAutoscaler, id.number(), store, queue),
        Change::Object(kind, number) => has_changed(*kind, *number, store, queue),
        Change::PodDeleted(_, gone) => is_gone(&gone.meta, store, queue),
        Change::NodeDeleted(_, gone) => is_gone(&gone.meta, store, queue),
        Change::DeploymentDeleted(gone) => is_gone(&gone.meta, store, queue),
        Change::ReplicaSetDeleted(gone) => is_gone(&gone.meta, store, queue),
        Change::ServiceDeleted(_, gone) => is_gone(&gone.meta, store, queue),
        Change::ObjectDeleted(gone) => is_gone(gone.meta(), store, queue),
    }
}

/// Made, perhaps, by a controller that had not heard yet that its owner is gone.
fn is_new(kind: Kind, number: u32, store: &Store, queue: &mut dyn FnMut(Key)) {
    if meta_of(kind, number, store).is_some_and(|meta| !meta.owners.is_empty() && !has_solid_owner(meta, store)) {
        queue(key_of(kind, number));
    }
}

fn has_changed(kind: Kind, number: u32, store: &Store, queue: &mut dyn FnMut(Key)) {
    let Some(meta) = meta_of(kind, number, store) else { return };
    if meta.waits_for_dependents() {
        queue(key_of(kind, number));
        dependents(meta.uid, store, &mut |kind, number| queue(key_of(kind, number)));
    } else if is_to_orphan(meta) {
        queue(key_of(kind, number));
    } else {
        is_new(kind, number, store, queue);
    }
}

/// Its dependents have lost an owner; owners that wait for it have to look again.
fn is_gone(gone: &ObjectMeta, store: &Store, queue: &mut dyn FnMut(Key)) {
    dependents(gone.uid, store, &mut |kind, number| queue(key_of(kind, number)));
    for owner in &gone.owners {
        if let Some((kind, number, meta)) = find(owner, gone, store)
            && meta.waits_for_dependents()
        {
            queue(key_of(kind, number));
        }
    }
}

/// One reconciliation.
pub(crate) fn sync(key: Key, view: &View<'_>, out: &mut Effects) {
    let (kind, number) = kind_of(key);
    let Some(meta) = meta_of(kind, number, view.store) else { return };
    if is_to_orphan(meta) {
        orphan(kind, number, meta, view.store, out);
    } else if meta.waits_for_dependents() {
        if !has_dependents(meta.uid, view.store) {
            remove_finalizer(kind, number, Propagation::Foreground, out);
        }
    } else if !meta.is_deleting() {
        attempt_to_delete(kind, number, meta, view.store, out);
    }
}

fn is_to_orphan(meta: &ObjectMeta) -> bool {
    meta.is_deleting() && Propagation::Orphan.finalizer().is_some_and(|name| meta.has_finalizer(name))
}

fn orphan(kind: Kind, number: u32, meta: &ObjectMeta, store: &Store, out: &mut Effects) {
    dependents(meta.uid, store, &mut |kind, number| out.write(Component::GarbageCollector, Write::Disown(kind, number, meta.uid)));
    remove_finalizer(kind, number, Propagation::Orphan, out);
}

fn remove_finalizer(kind: Kind, number: u32, propagation: Propagation, out: &mut Effects) {
    if let Some(name) = propagation.finalizer() {
        out.write(Component::GarbageCollector, Write::RemoveFinalizer(kind, number, name.into()));
    }
}

fn attempt_to_delete(kind: Kind, number: u32, meta: &ObjectMeta, store: &Store, out: &mut Effects) {
    let by = Component::GarbageCollector;
    if meta.owners.is_empty() {
        return;
    }
    let is_waiting = |owner: &OwnerReference| find(owner, meta, store).is_some_and(|(_, _, owner)| owner.waits_for_dependents());
    if has_solid_owner(meta, store) {
        // Those who are gone, or wait for this one to go, lose it instead.
        for owner in meta.owners.iter().filter(|owner| !exists(owner, meta, store) || is_waiting(owner)) {
            out.write(by, Write::Disown(kind, number, owner.uid));
        }
        return;
    }
    let waits = meta.owners.iter().any(is_waiting) && has_dependents(meta.uid, store);
    let propagation = if waits { Propagation::Foreground } else { Propagation::Background };
    out.write(by, Write::DeleteNumbered(kind, number, propagation));
}

fn has_dependents(owner: Uid, store: &Store) -> bool {
    let mut any = false;
    dependents(owner, store, &mut |_, _| any = true);
    any
}

/// An owner that is there, and does not wait for its dependents to go.
fn has_solid_owner(meta: &ObjectMeta, store: &Store) -> bool {
    let is_solid = |owner: &OwnerReference| {
        exists(owner, meta, store) && find(owner, meta, store).is_none_or(|(_, _, owner)| !owner.waits_for_dependents())
    };
    meta.owners.iter().any(is_solid)
}

/// Owners of kinds that are not kept exist.
fn exists(owner: &OwnerReference, dependent: &ObjectMeta, store: &Store) -> bool {
    kind_named(&owner.kind).is_none() || find(owner, dependent, store).is_some()
}

fn kind_named(name: &str) -> Option<Kind> {
    AnyObject::KINDS.iter().copied().chain([Kind::Pod]).find(|kind| kind.as_str() == name)
}

/// The owner, looked up in the dependent's namespace; another identity under the name is another object.
fn find<'s>(owner: &OwnerReference, dependent: &ObjectMeta, store: &'s Store) -> Option<(Kind, u32, &'s ObjectMeta)> {
    let kind = kind_named(&owner.kind)?;
    let key = ObjectKey { namespace: dependent.namespace.clone(), name: owner.name.clone() };
    let number = if kind == Kind::Pod {
        store.pods.find(&key)?.number()
    } else {
        with_kind!(kind, T => T::table(store).find(&key)?.number(), else return None)
    };
    let meta = meta_of(kind, number, store)?;
    (owner.uid.0 == 0 || owner.uid == meta.uid).then_some((kind, number, meta))
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
        bench.store.remove(id);
        assert_eq!(collect(&mut bench), ["garbage-collector delete replica set web-#", "garbage-collector delete pod web-a"]);
    }

    #[test]
    fn owners_of_unknown_kinds_keep_what_they_own() {
        let meta = ObjectMeta {
            owners: vec![OwnerReference { kind: "Database".into(), name: "db".into(), uid: api::Uid(1), controller: true }],
            ..ObjectMeta::default()
        };
        assert!(has_solid_owner(&meta, &Store::default()));
    }
}
