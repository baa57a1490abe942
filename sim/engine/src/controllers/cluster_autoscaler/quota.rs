//! Limits of the cluster as a whole: `--cores-total` and `--memory-total`.
//!
//! Upstream: resourcequotas/tracker.go.

use api::{Node, ResourceName};
use port::NodeInfo;

use crate::spec::ClusterAutoscaler as Settings;

const GIB: i64 = 1 << 30;

/// What may still be added to the cluster, or taken from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    cores: i64,
    memory_bytes: i64,
}

/// Cores, in whole ones, and bytes of memory.
fn size_of(node: &Node) -> (i64, i64) {
    let amount = |name: &ResourceName| node.status.capacity.get(name).copied().unwrap_or(0);
    (amount(&ResourceName::Cpu).div_euclid(1000) + i64::from(amount(&ResourceName::Cpu) % 1000 > 0), amount(&ResourceName::Memory))
}

fn used<'a>(nodes: impl Iterator<Item = &'a NodeInfo>) -> (i64, i64) {
    nodes.map(|node| size_of(&node.node)).fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
}

impl Quota {
    /// What may be added.
    pub(super) fn to_add<'a>(settings: &Settings, nodes: impl Iterator<Item = &'a NodeInfo>) -> Self {
        let (cores, memory) = used(nodes);
        let limits = (i64::from(settings.cores_total.1), i64::from(settings.memory_total_gib.1) * GIB);
        Self { cores: (limits.0 - cores).max(0), memory_bytes: (limits.1 - memory).max(0) }
    }

    /// What may be taken away.
    pub(super) fn to_remove<'a>(settings: &Settings, nodes: impl Iterator<Item = &'a NodeInfo>) -> Self {
        let (cores, memory) = used(nodes);
        let limits = (i64::from(settings.cores_total.0), i64::from(settings.memory_total_gib.0) * GIB);
        Self { cores: (cores - limits.0).max(0), memory_bytes: (memory - limits.1).max(0) }
    }

    /// How many nodes like this one, of so many, are within the limits.
    pub(super) fn allows(&self, node: &Node, count: u32) -> u32 {
        let (cores, memory) = size_of(node);
        let share = |left: i64, each: i64| if each > 0 { u32::try_from(left / each).unwrap_or(u32::MAX) } else { u32::MAX };
        count.min(share(self.cores, cores)).min(share(self.memory_bytes, memory))
    }

    /// What so many nodes would exceed, in upstream's words.
    pub(super) fn exceeded(&self, node: &Node, count: u32) -> Option<String> {
        let (cores, memory) = size_of(node);
        let over = [
            ("cpu", cores > 0 && self.cores < cores * i64::from(count)),
            ("memory", memory > 0 && self.memory_bytes < memory * i64::from(count)),
        ];
        let names: Vec<&str> = over.iter().filter(|(_, exceeds)| *exceeds).map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| format!("exceeded quota: \"cluster-wide\", resources: {}", names.join(", ")))
    }

    /// Uses up what so many nodes take; false, and nothing used, when they do not all fit.
    pub(super) fn consume(&mut self, node: &Node, count: u32) -> bool {
        if self.allows(node, count) < count {
            return false;
        }
        let (cores, memory) = size_of(node);
        self.cores -= cores * i64::from(count);
        self.memory_bytes -= memory * i64::from(count);
        true
    }
}
