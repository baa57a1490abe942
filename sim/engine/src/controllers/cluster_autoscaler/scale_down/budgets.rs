//! How many nodes may go at once.
//!
//! Upstream: core/scaledown/budgets/budgets.go.
//!
//! Invariants: at most `--max-scale-down-parallelism` nodes are on their way out, of which at most
//! `--max-drain-parallelism` have pods. One zero-or-max group may exceed that, as it goes as a whole.

use super::super::actuator::Actuator;
use super::super::cloud::Cloud;
use super::Removable;
use crate::spec::ClusterAutoscaler as Settings;
use crate::store::{NodeId, Store};

/// Nodes by their group, groups in order of their first node.
fn by_group(nodes: &[NodeId], cloud: &Cloud, store: &Store, atomic: bool) -> Vec<(usize, Vec<NodeId>)> {
    let mut groups: Vec<(usize, Vec<NodeId>)> = Vec::new();
    for id in nodes {
        let Some(group) = store.nodes.get(*id).and_then(|node| cloud.group_of(node)) else { continue };
        if cloud.groups[group].pool.zero_or_max != atomic {
            continue;
        }
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, nodes)) => nodes.push(*id),
            None => groups.push((group, vec![*id])),
        }
    }
    groups
}

/// What of `removable` may go now.
pub(in super::super) fn crop(removable: &Removable, cloud: &Cloud, actuator: &Actuator, settings: &Settings, store: &Store) -> Removable {
    let (empty_now, drain_now) = actuator.in_progress();
    let mut all = i64::from(settings.max_scale_down_parallelism) - i64::from(empty_now + drain_now);
    let mut drains = i64::from(settings.max_drain_parallelism) - i64::from(drain_now);
    let mut cropped = Removable::default();
    let mut may_overflow = true;
    let drain_atomic = by_group(&removable.drain, cloud, store, true);
    let empty_atomic = by_group(&removable.empty, cloud, store, true);
    for (group, nodes) in &empty_atomic {
        let with_pods = drain_atomic.iter().find(|(other, _)| other == group).map_or(&[][..], |(_, nodes)| nodes);
        let (count, to_drain) = ((nodes.len() + with_pods.len()) as i64, with_pods.len() as i64);
        let over = all < count || drains < to_drain;
        if over && (all <= 0 || (to_drain > 0 && drains <= 0) || !may_overflow) {
            break;
        }
        cropped.empty.extend(nodes);
        cropped.drain.extend(with_pods);
        (all, drains, may_overflow) = (all - count, drains - to_drain, false);
    }
    drains = drains.min(all);
    for (group, nodes) in &drain_atomic {
        if empty_atomic.iter().any(|(other, _)| other == group) {
            continue;
        }
        let count = nodes.len() as i64;
        if drains < count && (drains <= 0 || !may_overflow) {
            break;
        }
        cropped.drain.extend(nodes);
        (all, drains, may_overflow) = (all - count, drains - count, false);
    }
    all -= take(&mut cropped.empty, by_group(&removable.empty, cloud, store, false), all);
    drains = drains.min(all);
    take(&mut cropped.drain, by_group(&removable.drain, cloud, store, false), drains);
    cropped
}

/// Takes as many as allowed, group by group; gives how many.
fn take(into: &mut Vec<NodeId>, groups: Vec<(usize, Vec<NodeId>)>, allowed: i64) -> i64 {
    let nodes = groups.into_iter().flat_map(|(_, nodes)| nodes).take(usize::try_from(allowed).unwrap_or(0));
    let before = into.len();
    into.extend(nodes);
    (into.len() - before) as i64
}
