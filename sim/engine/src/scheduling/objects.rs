//! Cluster objects besides nodes and pods: kept in the snapshot as watchers hear of them, so that one
//! change costs one entry, and pods that wait for them are asked again.

use std::sync::Arc;

use api::Kind;
use port::{Changed, ClusterEvent, Scheduler};

use super::Scheduling;
use crate::controllers::View;
use crate::effects::Effects;
use crate::objects::AnyObject;
use crate::store::{Id, StatefulSetId};

/// Copies one object of the store into the snapshot; gives what it was there and what it is.
macro_rules! keep {
    ($self:ident, $view:ident, $number:ident, $table:ident, $map:ident, $key:expr) => {{
        $view.store.$table.get(Id::new($number)).map(|object| {
            let after = Arc::new(object.clone());
            let before = $self.snapshot.objects_mut().$map.insert($key(&after.meta), after.clone());
            (before, after)
        })
    }};
}

/// Tells the pods that wait for such objects.
macro_rules! tell {
    ($self:ident, $kept:expr, $event:ident, $scheduler:ident, $view:ident) => {
        if let Some((before, after)) = $kept {
            let event = ClusterEvent::$event(Changed { before: before.as_deref(), after: &after });
            $self.wake(&event, $scheduler, $view, |_| true);
        }
    };
}

impl Scheduling {
    /// An object came or changed.
    pub(super) fn object_changed(&mut self, kind: Kind, number: u32, scheduler: &dyn Scheduler, view: View<'_>, out: &mut Effects) {
        let name = |meta: &api::ObjectMeta| meta.name.clone();
        let key = |meta: &api::ObjectMeta| meta.key();
        match kind {
            Kind::Namespace => drop(keep!(self, view, number, namespaces, namespaces, name)),
            Kind::PodDisruptionBudget => drop(keep!(self, view, number, pdbs, pod_disruption_budgets, key)),
            Kind::StatefulSet => self.stateful_set_changed(Id::new(number), view),
            Kind::PersistentVolume => {
                let kept = keep!(self, view, number, persistent_volumes, persistent_volumes, name);
                self.take_again(view);
                tell!(self, kept, PersistentVolume, scheduler, view);
            }
            Kind::PersistentVolumeClaim => {
                let kept = keep!(self, view, number, persistent_volume_claims, persistent_volume_claims, key);
                if let Some((_, claim)) = &kept {
                    self.claim_changed(&claim.meta.key(), view, out);
                }
                tell!(self, kept, PersistentVolumeClaim, scheduler, view);
            }
            Kind::StorageClass => {
                let kept = keep!(self, view, number, storage_classes, storage_classes, name);
                tell!(self, kept, StorageClass, scheduler, view);
            }
            Kind::CSINode => tell!(self, keep!(self, view, number, csi_nodes, csi_nodes, name), CsiNode, scheduler, view),
            Kind::CSIDriver => tell!(self, keep!(self, view, number, csi_drivers, csi_drivers, name), CsiDriver, scheduler, view),
            Kind::CSIStorageCapacity => {
                let kept = keep!(self, view, number, csi_storage_capacities, csi_storage_capacities, key);
                tell!(self, kept, CsiStorageCapacity, scheduler, view);
            }
            _ => {}
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
            Kind::PersistentVolumeClaim => drop(objects.persistent_volume_claims.remove(&key)),
            Kind::VolumeAttachment => self.wake(&ClusterEvent::VolumeAttachmentDeleted, scheduler, view, |_| true),
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
}
