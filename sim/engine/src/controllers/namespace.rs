//! Namespace controller: empties a namespace that is being deleted, pods first, and lets it go.
//!
//! Reads: Namespaces and everything in them. Writes: deletions, and the finalizer of the namespace.
//! Upstream: pkg/controller/namespace (gate OrderedNamespaceDeletion: nothing else goes before the last pod).
//!
//! Invariant: the namespace goes last.
//!
//! Not modelled: the conditions that say what remains.

use api::{Namespace, SimDuration};

use super::View;
use crate::effects::{Component, Effects, Write};
use crate::objects::{AnyObject, Kept, with_kind};
use crate::store::{Change, Id};

/// The finalizer that every namespace is made with (`spec.finalizers`).
pub(crate) const FINALIZER: &str = "kubernetes";
/// So long after the deletion the contents begin to go (namespace_controller.go: namespaceDeletionGracePeriod).
const GRACE: SimDuration = SimDuration::from_secs(5);

/// Which namespace a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Id<Namespace>)) {
    if let Change::Object(api::Kind::Namespace, number) = change {
        let id = Id::new(*number);
        if view.store.namespaces.get(id).is_some_and(|namespace| namespace.meta.is_deleting()) {
            queue(id);
        }
    }
}

/// One reconciliation.
pub(crate) fn sync(id: Id<Namespace>, view: &View<'_>, out: &mut Effects) {
    let by = Component::Namespace;
    let Some(namespace) = view.store.namespaces.get(id) else { return };
    let Some(since) = namespace.meta.deletion else { return };
    if view.now < since + GRACE {
        out.resync_at(since + GRACE);
        return;
    }
    let name = &namespace.meta.name;
    let mut longest_grace = None;
    for (pod, object) in view.store.pods.in_namespace(name) {
        longest_grace = longest_grace.max(Some(object.spec.termination_grace_period));
        if !object.meta.is_deleting() {
            out.write(by, Write::DeletePod { pod, grace: None, by });
        }
    }
    if let Some(grace) = longest_grace {
        // Half of what is left to wait, and a second more, as upstream estimates it.
        out.resync_at(view.now + SimDuration::from_secs(grace.as_secs() / 2 + 1));
        return;
    }
    let mut remains = false;
    for kind in AnyObject::KINDS {
        with_kind!(*kind, T => {
            for (object, found) in T::table(view.store).in_namespace(name) {
                remains = true;
                if !found.meta.is_deleting() {
                    out.write(by, Write::DeleteNumbered(*kind, object.number(), api::Propagation::Background));
                }
            }
        }, else ());
    }
    if remains {
        out.resync_at(view.now + SimDuration::from_secs(1));
    } else {
        out.write(by, Write::RemoveFinalizer(api::Kind::Namespace, id.number(), FINALIZER.into()));
    }
}
