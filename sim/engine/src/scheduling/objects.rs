//! Cluster objects besides nodes and pods: kept in the snapshot as watchers hear of them, so that one
//! change costs one entry, and pods that wait for them are asked again.

use std::sync::Arc;

use api::{Kind, ObjectKey};
use port::{ClusterEvent, Scheduler};

use super::Scheduling;
use crate::controllers::View;
use crate::effects::Effects;
use crate::objects::AnyObject;
use crate::store::{Id, StatefulSetId};

/// Copies one object of the store into the snapshot; gives its key.
macro_rules! keep {
    ($self:ident, $view:ident, $number:ident, $table:ident, $map:ident, $key:expr) => {{
        let object = $view.store.$table.get(Id::new($number));
        object.map(|object| {
            $self.snapshot.objects_mut().$map.insert($key(&object.meta), Arc::new(object.clone()));
            object.meta.key()
        })
    }};
}

impl Scheduling {
    /// An object came or changed.
    pub(super) fn object_changed(&mut self, kind: Kind, number: u32, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let name = |meta: &api::ObjectMeta| meta.name.clone();
        let key = |meta: &api::ObjectMeta| meta.key();
        let changed = match kind {
            Kind::Namespace => {
                let _ = keep!(self, view, number, namespaces, namespaces, name);
                return;
            }
            Kind::PodDisruptionBudget => {
                let _ = keep!(self, view, number, pdbs, pod_disruption_budgets, key);
                return;
            }
            Kind::StatefulSet => return self.stateful_set_changed(Id::new(number), view),
            Kind::PersistentVolume => keep!(self, view, number, persistent_volumes, persistent_volumes, name),
            Kind::PersistentVolumeClaim => keep!(self, view, number, persistent_volume_claims, persistent_volume_claims, key),
            Kind::StorageClass => keep!(self, view, number, storage_classes, storage_classes, name),
            Kind::CSINode => keep!(self, view, number, csi_nodes, csi_nodes, name),
            Kind::CSIDriver => keep!(self, view, number, csi_drivers, csi_drivers, name),
            Kind::CSIStorageCapacity => keep!(self, view, number, csi_storage_capacities, csi_storage_capacities, key),
            _ => return,
        };
        if let Some(key) = changed {
            match kind {
                Kind::PersistentVolumeClaim => self.claim_changed(&key, view, out),
                Kind::PersistentVolume => self.take_again(view),
                _ => {}
            }
            self.wake_for_object(kind, &key, scheduler, view);
        }
    }

    /// An object went.
    pub(super) fn object_deleted(&mut self, gone: &AnyObject, scheduler: &dyn Scheduler, view: View<'_>) {
        let (meta, objects) = (gone.meta(), self.snapshot.objects_mut());
        let (key, name) = (meta.key(), &meta.name);
        match gone.kind() {
            Kind::Namespace => drop(objects.namespaces.remove(name)),
            Kind::PodDisruptionBudget => drop(objects.pod_disruption_budgets.remove(&key)),
            Kind::StatefulSet => drop(objects.stateful_sets.remove(&key)),
            Kind::PersistentVolume => drop(objects.persistent_volumes.remove(name)),
            Kind::PersistentVolumeClaim => {
                objects.persistent_volume_claims.remove(&key);
                self.wake_for_object(Kind::PersistentVolumeClaim, &key, scheduler, view);
            }
            Kind::StorageClass => drop(objects.storage_classes.remove(name)),
            Kind::CSINode => drop(objects.csi_nodes.remove(name)),
            Kind::CSIDriver => drop(objects.csi_drivers.remove(name)),
            Kind::CSIStorageCapacity => drop(objects.csi_storage_capacities.remove(&key)),
            _ => {}
        }
    }

    /// Plugins look at a StatefulSet's selector only, so that a new status is no news.
    fn stateful_set_changed(&mut self, id: StatefulSetId, view: View<'_>) {
        let Some(set) = view.store.stateful_sets.get(id) else { return };
        let sets = &mut self.snapshot.objects_mut().stateful_sets;
        let key = set.meta.key();
        if sets.get(&key).is_none_or(|known| known.selector != set.selector || known.meta.uid != set.meta.uid) {
            sets.insert(key, Arc::new(set.clone()));
        }
    }

    fn wake_for_object(&mut self, kind: Kind, key: &ObjectKey, scheduler: &dyn Scheduler, view: View<'_>) {
        if self.queue.depth().unschedulable > 0 {
            self.wake(&ClusterEvent::ObjectChanged(kind, key), scheduler, view, |_| true);
        }
    }
}
