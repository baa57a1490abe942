//! Deletion as the API server does it: at once, after a grace, or when the finalizers are gone.
//!
//! Invariants:
//! - An object with finalizers stays, with a deletionTimestamp, until the last one is taken off; then it goes.
//! - A deletionTimestamp is never taken back and never moves later.
//!
//! Upstream: apiserver/pkg/registry/generic/registry/store.go, pkg/registry/core/pod/strategy.go.

use api::{Kind, ObjectKey, Propagation, SimDuration};
use trace::Record;

use super::World;
use super::apply::pod_name;
use crate::effects::Component;
use crate::objects::{Kept, with_kind};
use crate::store::{Id, NodeId, PodId};

impl World {
    /// Deletes an object by name.
    pub(super) fn delete(&mut self, by: Component, kind: Kind, key: &ObjectKey, propagation: Propagation) -> bool {
        match kind {
            Kind::Pod => self.store.pods.find(key).is_some_and(|id| self.delete_pod(id, None, by)),
            Kind::Node => self.store.nodes.find(key).is_some_and(|id| self.delete_node(id)),
            _ => {
                with_kind!(kind, T => T::table(&self.store).find(key).is_some_and(|id| self.delete_object::<T>(id, propagation)), else false)
            }
        }
    }

    /// Deletes an object by its number in its table.
    pub(super) fn delete_numbered(&mut self, by: Component, kind: Kind, number: u32, propagation: Propagation) -> bool {
        match kind {
            Kind::Pod => self.delete_pod(PodId::new(number), None, by),
            Kind::Node => self.delete_node(NodeId::new(number)),
            _ => with_kind!(kind, T => self.delete_object::<T>(Id::new(number), propagation), else false),
        }
    }

    fn delete_object<T: Kept>(&mut self, id: Id<T>, propagation: Propagation) -> bool {
        let now = self.now;
        self.store.update(id, |object| {
            let meta = object.meta_mut();
            let before = meta.clone();
            meta.finalizers.retain(|name| !matches!(&**name, "orphan" | "foregroundDeletion"));
            meta.finalizers.extend(propagation.finalizer().map(Into::into));
            if meta.finalizers.is_empty() {
                return false; // It goes at once, and nobody hears of anything else.
            }
            if meta.deletion.is_none() {
                meta.generation += 1;
                meta.deletion = Some(now);
                meta.deletion_grace = Some(SimDuration::ZERO);
            }
            *meta != before
        });
        let goes_at_once = T::table(&self.store).get(id).is_some_and(|object| object.meta().finalizers.is_empty());
        if goes_at_once {
            self.store.remove(id);
        }
        true // Gone already is what was wanted.
    }

    /// Takes a finalizer off; the object goes with its last one when it was only waiting for that.
    pub(super) fn remove_finalizer(&mut self, kind: Kind, number: u32, name: &str) -> bool {
        if kind == Kind::Pod {
            let id = PodId::new(number);
            let taken = self.store.update_pod(id, |pod| take(&mut pod.meta.finalizers, name));
            if taken
                && self.store.pods.get(id).is_some_and(|pod| pod.meta.is_deleting() && pod.meta.deletion_grace == Some(SimDuration::ZERO))
            {
                self.remove_pod(id);
            }
            return true;
        }
        with_kind!(kind, T => {
            let id = Id::<T>::new(number);
            self.store.update(id, |object| take(&mut object.meta_mut().finalizers, name));
            self.settle(id);
        }, else ());
        true
    }

    /// Lets an object go whose last finalizer has been taken off.
    pub(super) fn settle<T: Kept>(&mut self, id: Id<T>) {
        let is_done =
            T::table(&self.store).get(id).is_some_and(|object| object.meta().is_deleting() && object.meta().finalizers.is_empty());
        if is_done {
            self.store.remove(id);
        }
    }

    /// Takes an owner off an object; what else is said of it stays.
    pub(super) fn disown(&mut self, kind: Kind, number: u32, owner: api::Uid) -> bool {
        fn strip(owners: &mut Vec<api::OwnerReference>, owner: api::Uid) -> bool {
            let before = owners.len();
            owners.retain(|reference| reference.uid != owner);
            owners.len() != before
        }
        if kind == Kind::Pod {
            self.store.update_pod(PodId::new(number), |pod| strip(&mut pod.meta.owners, owner));
        } else {
            with_kind!(kind, T => { self.store.update(Id::<T>::new(number), |object| strip(&mut object.meta_mut().owners, owner)); }, else ());
        }
        true
    }

    /// Gives a controller to an object that has none and stays.
    pub(super) fn adopt(&mut self, kind: Kind, number: u32, owner: &api::OwnerReference, finalizer: Option<&api::Str>) -> bool {
        let take = |meta: &mut api::ObjectMeta| {
            let free = meta.controller().is_none() && !meta.is_deleting();
            if free {
                meta.owners.push(owner.clone());
                meta.finalizers.extend(finalizer.filter(|name| !meta.has_finalizer(name)).cloned());
            }
            free
        };
        if kind == Kind::Pod {
            return self.store.update_pod(PodId::new(number), |pod| take(&mut pod.meta));
        }
        with_kind!(kind, T => self.store.update(Id::<T>::new(number), |object| take(object.meta_mut())), else false)
    }

    /// Asks for a pod's deletion; `None` takes its own grace.
    pub(super) fn delete_pod(&mut self, id: PodId, grace: Option<SimDuration>, by: Component) -> bool {
        let Some(pod) = self.store.pods.get(id) else { return true }; // Gone already is what was wanted.
        let grace = grace.unwrap_or(pod.spec.termination_grace_period);
        let at_once = grace.is_zero() || pod.node_name.is_none() || pod.status.phase.is_terminal();
        let grace = if at_once { SimDuration::ZERO } else { grace };
        if !pod.meta.is_deleting() {
            self.records.push(Record::PodDeleting { pod: pod_name(pod), by: by.name().into(), grace });
        }
        if at_once {
            return self.remove_pod(id);
        }
        self.mark_deleting(id, grace);
        true
    }

    fn mark_deleting(&mut self, id: PodId, grace: SimDuration) {
        let deadline = self.now + grace;
        self.store.update_pod(id, |pod| {
            let meta = &mut pod.meta;
            let shorter = meta.deletion.is_none_or(|known| deadline < known);
            if shorter {
                meta.generation += u64::from(meta.deletion.is_none());
                meta.deletion = Some(deadline);
                meta.deletion_grace = Some(grace);
            }
            shorter
        });
    }

    /// The kubelet's last word, or a forced deletion: the pod goes, unless a finalizer keeps its object.
    pub(super) fn remove_pod(&mut self, id: PodId) -> bool {
        let Some(pod) = self.store.pods.get(id) else { return true };
        if !pod.meta.finalizers.is_empty() {
            let now = self.now;
            self.store.update_pod(id, |pod| {
                let meta = &mut pod.meta;
                let changes = meta.deletion_grace != Some(SimDuration::ZERO);
                meta.generation += u64::from(meta.deletion.is_none());
                meta.deletion = Some(meta.deletion.map_or(now, |known| known.min(now)));
                meta.deletion_grace = Some(SimDuration::ZERO);
                changes
            });
            return true;
        }
        self.records.push(Record::PodRemoved { pod: pod_name(pod) });
        if !pod.status.phase.is_terminal() {
            self.count_on_node(id, false);
        }
        self.store.remove_pod(id)
    }
}

fn take(finalizers: &mut Vec<api::Str>, name: &str) -> bool {
    let before = finalizers.len();
    finalizers.retain(|finalizer| &**finalizer != name);
    finalizers.len() != before
}
