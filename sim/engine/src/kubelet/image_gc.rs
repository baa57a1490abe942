//! Image garbage collection: when a node's disk is too full, images that nobody uses go, the longest unused first.
//!
//! Upstream: pkg/kubelet/images/image_gc_manager.go, every five minutes, and the eviction manager's own call. When the
//! disk will be too full is worked out ahead: a node with room costs no event.
//!
//! Invariants:
//! - An image is detected at the next look after it came, and may go two minutes later at the earliest.
//! - Images of containers that the runtime knows stay, whether they run or have ended.
//!
//! Not modelled: the maximum age of images (off by default), pinned images.

use std::collections::BTreeSet;

use api::{SimDuration, SimTime, Str};

use super::Kubelets;
use super::images::tagged;
use super::signals::Resource;
use crate::controllers::View;
use crate::effects::{Component, Effects};
use crate::event::{Event, NodeTimer};
use crate::store::NodeId;

/// Upstream: ImageGCPeriod in pkg/kubelet/kubelet.go, and how often images are detected.
pub(super) const PERIOD: SimDuration = SimDuration::from_secs(300);

/// What the collector of a node remembers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct ImageGc {
    timer: u32,
    /// The last collection freed too little.
    failed: bool,
}

impl Kubelets {
    /// When the disk will be fuller than the high threshold allows.
    pub(super) fn plan_image_gc(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let high = i64::from(view.settings.kubelet.image_gc_high_threshold_percent);
        let room = self.room(Resource::Storage, node, view).filter(|_| high < 100);
        // Available percent are rounded down: 85 % are used when less than 16 % are left.
        let full = room.and_then(|room| room.first_below(((101 - high) * room.capacity + 99) / 100, view.now));
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let phase = state.ticks.sync_at(SimTime::ZERO);
        let tick = full.map(|at| (at.max(view.now) + SimDuration::from_nanos(1)).next_on_grid(phase, PERIOD));
        state.image_gc.timer = tick.map_or(0, |at| state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::ImageGc, number), out));
    }

    /// Upstream: GarbageCollect.
    pub(super) fn image_gc_due(&mut self, node: NodeId, number: u32, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get(&node).filter(|state| state.image_gc.timer == number && state.kubelet_works()) else { return };
        let had_failed = state.image_gc.failed;
        let Some(room) = self.room(Resource::Storage, node, view) else { return };
        let (capacity, available) = (room.capacity, room.available(view.now).min(room.capacity));
        drop(room);
        let settings = &view.settings.kubelet;
        let used_percent = 100 - i128::from(available) * 100 / i128::from(capacity);
        let mut failed = false;
        if used_percent >= i128::from(settings.image_gc_high_threshold_percent) {
            let wanted = capacity / 100 * i64::from(100 - settings.image_gc_low_threshold_percent.min(100)) - available;
            let freed = self.free_images(node, wanted, false, view, out);
            failed = freed < wanted;
            if failed && let Some(object) = view.store.nodes.get(node) {
                let message = format!(
                    "Insufficient free disk space on the node's image filesystem ({used_percent}% of {} used). Failed to free sufficient \
                     space by deleting unused images (freed {freed} bytes). Investigate disk usage, as it could be used by active images, \
                     logs, volumes, or other data.",
                    size_text(capacity)
                );
                let name = format!("Node/{}", object.meta.name);
                out.event(Component::Kubelet, true, "FreeDiskSpaceFailed", name.clone(), message.clone());
                if had_failed {
                    out.event(Component::Kubelet, true, "ImageGCFailed", name, message);
                }
            }
        }
        if let Some(state) = self.nodes.get_mut(&node) {
            state.image_gc.failed = failed;
        }
        self.plan_pressure(node, view, out);
    }

    /// The eviction manager's remedy: all unused images go, and with them those of containers that have ended.
    pub(super) fn delete_unused_images(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        self.free_images(node, i64::MAX, true, view, out);
    }

    /// Deletes unused images until so many bytes are freed; how many were. Upstream: freeSpace.
    fn free_images(&mut self, node: NodeId, wanted: i64, only_running: bool, view: View<'_>, out: &mut Effects) -> i64 {
        let mut used: BTreeSet<Str> = BTreeSet::new();
        for id in self.pods_of(node, view) {
            let (Some(worker), Some(pod)) = (self.workers.get(&id), view.store.pods.get(id)) else { continue };
            let known = |place: &u8| {
                let run = &worker.runs[*place as usize];
                run.is_alive() || (!only_running && run.exists)
            };
            used.extend(worker.places().filter(known).map(|place| tagged(&worker.spec(pod, place).image)));
        }
        let age = view.settings.kubelet.image_minimum_gc_age;
        let Some(state) = self.nodes.get_mut(&node) else { return 0 };
        let freed = state.images.free(wanted, &used, view.now, age);
        self.report_images(node, view, out);
        freed
    }
}

/// Upstream: formatSize.
fn size_text(bytes: i64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, shift)| bytes >= 1 << shift);
    unit.map_or_else(|| format!("{bytes} B"), |(unit, shift)| format!("{:.1} {unit}", bytes as f64 / (1_i64 << shift) as f64))
}
