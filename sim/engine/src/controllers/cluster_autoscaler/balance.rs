//! `--balance-similar-node-groups`: groups that are as good as one, and how new nodes are spread over them.
//!
//! Upstream: processors/nodegroupset/{compare_nodegroups,balancing_processor}.go.
//!
//! Simplified: templates are compared, not real nodes.

use std::collections::BTreeMap;

use api::{Labels, Node, ResourceName, Str};
use port::NodeInfo;

/// `--memory-difference-ratio`.
const MEMORY_TOLERANCE: f64 = 0.015;
/// `--max-allocatable-difference-ratio`, `--max-free-difference-ratio`.
const TOLERANCE: f64 = 0.05;
/// Labels that differ between groups that are alike (upstream: BasicIgnoredLabels).
const IGNORED: [&str; 7] = [
    "kubernetes.io/hostname",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "beta.kubernetes.io/fluentd-ds-ready",
    "kops.k8s.io/instancegroup",
];

/// Whether two template nodes, with their daemon pods, are of groups that are as good as one.
pub(super) fn are_similar(one: &NodeInfo, other: &NodeInfo) -> bool {
    have_equal_capacity(&one.node, &other.node)
        && are_close_all(&one.node.status.allocatable, &other.node.status.allocatable)
        && have_close_rest(one, other)
        && compared(one.labels()).eq(compared(other.labels()))
}

fn compared(labels: &Labels) -> impl Iterator<Item = (&Str, &Str)> {
    labels.iter().filter(|(key, _)| !IGNORED.contains(&&***key))
}

fn are_close(one: i64, other: i64, tolerance: f64) -> bool {
    let (larger, smaller) = (one.max(other) as f64, one.min(other) as f64);
    larger - smaller <= larger * tolerance
}

fn have_equal_capacity(one: &Node, other: &Node) -> bool {
    let (one, other) = (&one.status.capacity, &other.status.capacity);
    let alike = |name: &ResourceName, amount: i64| {
        let Some(there) = other.get(name) else { return false };
        if *name == ResourceName::Memory { are_close(amount, *there, MEMORY_TOLERANCE) } else { amount == *there }
    };
    one.len() == other.len() && one.iter().all(|(name, amount)| alike(name, *amount))
}

fn are_close_all(one: &BTreeMap<ResourceName, i64>, other: &BTreeMap<ResourceName, i64>) -> bool {
    let alike = |name: &ResourceName, amount: i64| other.get(name).is_some_and(|there| are_close(amount, *there, TOLERANCE));
    one.len() == other.len() && one.iter().all(|(name, amount)| alike(name, *amount))
}

fn have_close_rest(one: &NodeInfo, other: &NodeInfo) -> bool {
    let rest = |node: &NodeInfo, name: &ResourceName| node.allocatable.get(name) - node.requested.get(name);
    let names = [ResourceName::Cpu, ResourceName::Memory, ResourceName::EphemeralStorage];
    names.iter().all(|name| are_close(rest(one, name), rest(other, name), TOLERANCE))
}

/// A group that grows: its place, its size now, its new size, and its largest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Growth {
    pub(super) group: usize,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) max: u32,
}

/// Spreads new nodes over groups, the smallest first. Upstream: BalanceScaleUpBetweenGroups.
pub(super) fn spread(groups: impl Iterator<Item = (usize, u32, u32)>, new_nodes: u32) -> Vec<Growth> {
    let mut growths: Vec<Growth> =
        groups.filter(|(_, size, max)| size != max).map(|(group, size, max)| Growth { group, from: size, to: size, max }).collect();
    let capacity: u32 = growths.iter().map(|growth| growth.max.saturating_sub(growth.from)).sum();
    growths.sort_by_key(|growth| growth.from);
    let (mut left, mut start, mut current) = (new_nodes.min(capacity), 0, 0);
    while left > 0 {
        let full = growths[current].to >= growths[current].max;
        if full {
            growths.swap(start, current);
            start += 1;
        } else {
            growths[current].to += 1;
            left -= 1;
        }
        let is_larger = growths.get(current + 1).is_some_and(|next| growths[current].to > next.to);
        current = if is_larger { current + 1 } else { start };
    }
    growths.retain(|growth| growth.to != growth.from);
    growths
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn new_nodes_go_to_the_smallest_groups_first() {
        /// Sizes and maxima, new nodes, sizes afterwards.
        type Row = (&'static [(u32, u32)], u32, &'static [u32]);
        let rows: [Row; 6] = [
            (&[(1, 10), (1, 10), (1, 10)], 2, &[2, 2, 1]),
            (&[(3, 10), (1, 10), (2, 10)], 4, &[3, 4, 3]),
            (&[(0, 1), (0, 10)], 5, &[1, 4]),
            (&[(0, 2), (1, 2), (5, 6)], 100, &[2, 2, 6]),
            (&[(4, 4), (2, 4)], 1, &[4, 3]),
            (&[(4, 4)], 1, &[4]),
        ];
        for (groups, new_nodes, expected) in rows {
            let mut sizes: Vec<u32> = groups.iter().map(|(size, _)| *size).collect();
            let list = groups.iter().enumerate().map(|(place, (size, max))| (place, *size, *max));
            for growth in spread(list, new_nodes) {
                sizes[growth.group] = growth.to;
            }
            assert_eq!(sizes, expected, "{groups:?} + {new_nodes}");
        }
    }

    fn template(cpu_millis: i64, memory: i64, labels: &str) -> NodeInfo {
        let mut node = Node::default();
        node.meta.labels = super::super::super::bench::labels(labels);
        node.status.capacity = [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory)].into();
        node.status.allocatable = Arc::new(node.status.capacity.clone());
        NodeInfo::new(Arc::new(node))
    }

    #[test]
    fn groups_are_alike_when_only_zones_names_and_a_little_memory_differ() {
        let one = template(4000, 1000, "topology.kubernetes.io/zone=a kubernetes.io/hostname=x disk=ssd");
        for (other, alike) in [
            (template(4000, 1000, "topology.kubernetes.io/zone=b kubernetes.io/hostname=y disk=ssd"), true),
            (template(4000, 1015, "disk=ssd"), true),
            (template(4000, 1016, "disk=ssd"), false),
            (template(4001, 1000, "disk=ssd"), false),
            (template(4000, 1000, "disk=hdd"), false),
            (template(4000, 1000, "disk=ssd gpu=yes"), false),
            (template(4000, 1000, ""), false),
        ] {
            assert_eq!((are_similar(&one, &other), are_similar(&other, &one)), (alike, alike), "{other:?}");
        }
    }
}
