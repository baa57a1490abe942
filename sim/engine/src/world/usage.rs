//! What nodes carry: sums of requests, kept as pods come and go, and sampled for the trace.
//!
//! Invariant: a node's sums are those of the pods bound to it that are not terminal; `check` recounts.
//! Nothing is sampled while nothing changes.

use std::collections::BTreeSet;

use api::{Pod, SimTime, Uid};
use trace::Record;

use crate::store::{NodeId, Store};

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Load {
    pub(super) pods: u32,
    pub(super) cpu_millis: i64,
    pub(super) memory_bytes: i64,
    cpu_used_millis: i64,
}

impl Load {
    /// Whether the sums of requests are the same.
    pub(super) fn is_same_sum(&self, other: &Self) -> bool {
        (self.pods, self.cpu_millis, self.memory_bytes) == (other.pods, other.cpu_millis, other.memory_bytes)
    }
}

/// Sums by node.
#[derive(Default)]
pub(super) struct Usage {
    loads: Vec<Load>,
    said: Vec<Load>,
    /// cpu time used by a node's pods up to the last sample, in nanoseconds.
    used_nanos: Vec<u64>,
    touched: BTreeSet<NodeId>,
    #[cfg(debug_assertions)]
    counted: Vec<NodeId>,
    sampled_at: SimTime,
    /// When the next sample is due.
    pub(super) armed: Option<SimTime>,
}

impl Usage {
    /// A pod counts on its node from now on, or no longer.
    pub(super) fn count(&mut self, node: NodeId, pod: &Pod, comes: bool) {
        let requests = pod.allocated_requests();
        let sign = if comes { 1 } else { -1 };
        let load = self.load_mut(node);
        load.pods = load.pods.saturating_add_signed(sign as i32);
        load.cpu_millis += sign * requests.cpu_millis;
        load.memory_bytes += sign * requests.memory_bytes;
        self.touched.insert(node);
        #[cfg(debug_assertions)]
        self.counted.push(node);
    }

    /// Nodes whose sums have changed since this was last asked.
    #[cfg(debug_assertions)]
    pub(super) fn take_counted(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.counted)
    }

    /// What a node uses may change from now on.
    pub(super) fn touch(&mut self, node: NodeId) {
        self.load_mut(node);
        self.touched.insert(node);
    }

    pub(super) fn load(&self, node: NodeId) -> Load {
        self.loads.get(node.number() as usize).copied().unwrap_or_default()
    }

    /// Whether anything may have changed since the last sample.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Says what changed since the last sample.
    pub(super) fn sample(&mut self, store: &Store, now: SimTime, used: impl Fn(Uid) -> Option<u64>, records: &mut Vec<Record>) {
        let span = now.since(self.sampled_at).as_nanos();
        self.sampled_at = now;
        for id in std::mem::take(&mut self.touched) {
            let Some(node) = store.nodes.get(id) else { continue };
            let mut serves = false;
            let total: u64 = store.pods_on(&node.meta.name).filter_map(|(_, pod)| used(pod.meta.uid)).inspect(|_| serves = true).sum();
            self.load_mut(id);
            let place = id.number() as usize;
            // Pods that left take their past with them, so the sum may fall.
            let used_nanos = total.saturating_sub(std::mem::replace(&mut self.used_nanos[place], total));
            let cpu_used_millis = (u128::from(used_nanos) * 1000).checked_div(u128::from(span)).unwrap_or(0) as i64;
            let load = Load { cpu_used_millis, ..self.loads[place] };
            if std::mem::replace(&mut self.said[place], load) != load {
                records.push(Record::NodeUsage {
                    node: node.meta.name.clone(),
                    pods: load.pods,
                    cpu_requested_millis: load.cpu_millis,
                    memory_requested_bytes: load.memory_bytes,
                    cpu_used_millis,
                });
            }
            if serves {
                self.touched.insert(id); // It may use more or less by the next sample.
            }
        }
    }

    fn load_mut(&mut self, node: NodeId) -> &mut Load {
        let place = node.number() as usize;
        if self.loads.len() <= place {
            self.loads.resize(place + 1, Load::default());
            self.said.resize(place + 1, Load::default());
            self.used_nanos.resize(place + 1, 0);
        }
        &mut self.loads[place]
    }
}
