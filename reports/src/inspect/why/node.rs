//! The story of a node: who ordered it and for whom, what befell it, and why it left.

use api::{Quantity, SimTime};

use super::pod::bytes;
use super::{Told, clock, named, said_of, several, tell};
use crate::fold::{Event, NodeLife, PodLife, PoolChange, Run};
use crate::metrics::is_eviction_by;

pub(super) fn story(run: &Run<'_>, node: &NodeLife<'_>, at: SimTime) -> Vec<String> {
    let order = order_of(run, node);
    let mut told: Told = vec![(node.added, "joined".to_owned())];
    told.extend(order.map(|change| (change.at, ordered(run, change))));
    told.extend(gone_for(run, node));
    told.extend(said_of(spoken(run, node)));
    for (when, status, reason) in &node.ready {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        told.push((*when, format!("Ready is {status}{because}")));
    }
    for (when, cordoned, taints) in &node.taints {
        let cordoned = if *cordoned { "cordoned; " } else { "" };
        let taints = if taints.is_empty() { "no taints".to_owned() } else { format!("taints {}", taints.join(", ")) };
        told.push((*when, format!("{cordoned}{taints}")));
    }
    let target = format!("Node/{}", node.name);
    for fault in run.faults.iter().filter(|fault| fault.targets.iter().any(|name| **name == *target)) {
        told.push((fault.began, format!("struck by fault {} ({})", fault.name, fault.action)));
        told.extend(fault.ended.map(|when| (when, format!("fault {} over", fault.name))));
    }
    let evicted = run.pods.iter().filter(|pod| pod.node() == Some(node.name)).filter_map(|pod| Some((pod.deleting?, pod.name)));
    let evicted: Vec<_> = evicted.filter(|((_, by, _), _)| is_eviction_by(by)).collect();
    if let (Some(first), Some(last)) =
        (evicted.iter().map(|((when, ..), _)| *when).min(), evicted.iter().map(|((when, ..), _)| *when).max())
    {
        told.push((first, format!("{} pods evicted from here, until {} ({} first)", evicted.len(), clock(last), evicted[0].1)));
    }
    told.extend(node.removed.map(|when| (when, "removed".to_owned())));
    let place = [("pool", node.pool), ("zone", node.zone)]
        .iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(what, name)| format!(", {what} {name}"))
        .collect::<String>();
    let size = format!("cpu {}, memory {}, {} pods", Quantity::from_millis(node.cpu_millis), bytes(node.memory_bytes), node.pods);
    let there = |pod: &&PodLife<'_>| pod.exists_at(at) && pod.scheduled.is_some_and(|bound| bound.node == node.name && bound.at <= at);
    let pods = run.pods.iter().filter(there).count();
    let pods = if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") };
    let carried = node.usage.iter().rev().find(|(when, _)| *when <= at).map_or_else(String::new, |(_, usage)| {
        let cpu = |millis: i64| Quantity::from_millis(millis);
        let (requested, used, all) = (usage.cpu_requested_millis, usage.cpu_used_millis, node.cpu_millis);
        let (memory, of) = (bytes(usage.memory_requested_bytes), bytes(node.memory_bytes));
        format!(": cpu {} of {} requested, {} used; memory {memory} of {of} requested", cpu(requested), cpu(all), cpu(used))
    });
    let mut head = vec![format!("node {}: {size}{place}", node.name)];
    head.push(match () {
        () if node.added > at => format!("not there yet at {}", clock(at)),
        () if node.removed.is_some_and(|removed| removed <= at) => format!("gone at {}", clock(at)),
        () => format!("{pods} at {}{carried}", clock(at)),
    });
    head.extend(unready(run, node, at));
    tell(head, told, at)
}

/// The order that the node came of.
fn order_of<'r, 't>(run: &'r Run<'t>, node: &NodeLife<'_>) -> Option<&'r PoolChange<'t>> {
    run.pool_changes.iter().rfind(|change| change.to > change.from && change.at <= node.added && is_of(change, node))
}

fn is_of(change: &PoolChange<'_>, node: &NodeLife<'_>) -> bool {
    change.nodes.iter().any(|name| **name == *node.name)
}

pub(in crate::inspect) fn ordered(run: &Run<'_>, change: &PoolChange<'_>) -> String {
    let triggered = |event: &&Event<'_>| event.reason == "TriggeredScaleUp" && event.at == change.at && event.message.contains(change.pool);
    let pods: Vec<&str> = run.events.iter().filter(triggered).filter_map(|event| event.object.strip_prefix("Pod/")).collect();
    let of = if pods.is_empty() { change.reason.to_owned() } else { format!("for {}: {}", several(pods.len(), "pod"), named(&pods)) };
    format!("ordered: pool {} {} → {}, {of}", change.pool, change.from, change.to)
}

/// What the cluster autoscaler took it away for.
fn gone_for(run: &Run<'_>, node: &NodeLife<'_>) -> Option<(SimTime, String)> {
    let change = run.pool_changes.iter().find(|change| change.to < change.from && change.at >= node.added && is_of(change, node))?;
    // The reason of a scale-down begins with the node's name.
    let why = change.reason.strip_prefix(node.name).unwrap_or(change.reason).trim_start();
    Some((change.at, format!("taken away by the cluster autoscaler: {why} (pool {} {} → {})", change.pool, change.from, change.to)))
}

/// Events about the node beside those of an ordinary life.
fn spoken<'r>(run: &'r Run<'_>, node: &'r NodeLife<'_>) -> impl Iterator<Item = &'r Event<'r>> {
    const TOLD: [&str; 6] =
        ["ScaleDown", "NodeHasDiskPressure", "NodeHasMemoryPressure", "NodeHasInsufficientPID", "Shutdown", "DeletingNode"];
    let is_meant = |event: &&Event<'_>| {
        let lived = event.at >= node.added && node.removed.is_none_or(|removed| event.at <= removed);
        let this = event.object.strip_prefix("Node/") == Some(node.name);
        this && lived && (event.kind == "Warning" || TOLD.contains(&event.reason))
    };
    run.events.iter().filter(is_meant)
}

/// Since when and why it is not ready.
fn unready(run: &Run<'_>, node: &NodeLife<'_>, at: SimTime) -> Option<String> {
    let until_now = node.ready.partition_point(|(when, ..)| *when <= at);
    let (_, status, reason) = node.ready[..until_now].last().filter(|(_, status, _)| *status != "True")?;
    if node.removed.is_some_and(|removed| removed <= at) {
        return None;
    }
    let well = node.ready[..until_now].iter().rposition(|(_, status, _)| *status == "True").map_or(0, |place| place + 1);
    let since = node.ready[well].0;
    let target = format!("Node/{}", node.name);
    let struck = run.faults.iter().rfind(|fault| fault.began <= since && fault.targets.iter().any(|name| **name == *target));
    let after = struck.map_or_else(String::new, |fault| {
        format!(", {} after fault {} ({}) struck it", since.since(fault.began), fault.name, fault.action)
    });
    Some(format!("not ready since {}: Ready is {status} ({reason}){after}", clock(since)))
}
