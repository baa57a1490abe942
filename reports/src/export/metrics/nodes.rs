//! Nodes as kube-state-metrics and their kubelets tell of them.
//!
//! Not here: capacity (the trace holds what is allocatable), memory in use.

use std::io;

use api::SimTime;

use super::{About, Family, Kind, Labels, Out, Source, labels};
use crate::fold::NodeLife;

const fn gauge(name: &'static str, help: &'static str) -> About {
    About { name, kind: Kind::Gauge, job: "kube-state-metrics", help }
}

pub(super) fn families(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let nodes = &source.run.nodes;
    up(source, out)?;
    let about = About { kind: Kind::Info, ..gauge("kube_node_info", "Information about a cluster node.") };
    out.family(about, |family| {
        for node in nodes {
            family.span(labels([("node", node.name)]), node.added, node.removed, 1.0);
        }
    })?;
    out.family(gauge("kube_node_created", "Unix creation timestamp"), |family| {
        for node in nodes {
            family.span(labels([("node", node.name)]), node.added, node.removed, source.unix(node.added));
        }
    })?;
    out.family(gauge("kube_node_labels", "Kubernetes labels converted to Prometheus labels."), |family| {
        for node in nodes {
            let named = labels([("label_topology_kubernetes_io_zone", node.zone), ("node", node.name)]);
            family.span(named, node.added, node.removed, 1.0);
        }
    })?;
    let help = "The allocatable for different resources of a node that are available for scheduling.";
    out.family(gauge("kube_node_status_allocatable", help), |family| {
        for node in nodes {
            let amounts = [
                ("cpu", "core", node.cpu_millis as f64 / 1000.0),
                ("memory", "byte", node.memory_bytes as f64),
                ("pods", "integer", node.pods as f64),
            ];
            for (resource, unit, amount) in amounts {
                let named = labels([("node", node.name), ("resource", resource), ("unit", unit)]);
                family.span(named, node.added, node.removed, amount);
            }
        }
    })?;
    out.family(gauge("kube_node_status_condition", "The condition of a cluster node."), |family| {
        nodes.iter().for_each(|node| ready_condition(family, node));
    })?;
    out.family(gauge("kube_node_spec_unschedulable", "Whether a node can schedule new pods."), |family| {
        for node in nodes {
            let changes = node.taints.iter().map(|(at, cordoned, _)| (*at, f64::from(u8::from(*cordoned))));
            family.follow(&labels([("node", node.name)]), [(node.added, 0.0)].into_iter().chain(changes), node.removed);
        }
    })?;
    out.family(gauge("kube_node_spec_taint", "The taint of a cluster node."), |family| nodes.iter().for_each(|node| taints(family, node)))?;
    usage(source, out)
}

/// What a scraper would say of each component; dashboards look for clusters in it. A kubelet that has gone silent is
/// down from the moment at which its node is said to be Unknown.
fn up(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let about = About { name: "up", kind: Kind::Gauge, job: "", help: "Whether the last scrape succeeded." };
    out.family(about, |family| {
        for job in ["kube-state-metrics", "kube-scheduler"] {
            family.set(labels([("job", job), ("instance", job)]), SimTime::ZERO, Some(1.0));
        }
        for node in &source.run.nodes {
            for job in ["cadvisor", "kubelet"] {
                let answers = node.ready.iter().map(|(at, status, _)| (*at, f64::from(u8::from(*status != "Unknown"))));
                family.follow(&labels([("job", job), ("instance", node.name)]), answers, node.removed);
            }
        }
    })
}

/// One of true, false and unknown.
fn ready_condition(family: &mut Family, node: &NodeLife<'_>) {
    for status in ["true", "false", "unknown"] {
        let named = labels([("node", node.name), ("condition", "Ready"), ("status", status)]);
        let changes = node.ready.iter().map(|(at, now, _)| (*at, f64::from(u8::from(now.eq_ignore_ascii_case(status)))));
        family.follow(&named, changes, node.removed);
    }
}

/// `key=value:effect`, value optional.
fn taints(family: &mut Family, node: &NodeLife<'_>) {
    let named = |taint: &str| -> Labels {
        let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        labels([("node", node.name), ("key", key), ("value", value), ("effect", effect)])
    };
    let mut before: &[api::Str] = &[];
    for (at, _, now) in &node.taints {
        before.iter().filter(|taint| !now.contains(taint)).for_each(|taint| family.set(named(taint), *at, None));
        now.iter().filter(|taint| !before.contains(taint)).for_each(|taint| family.set(named(taint), *at, Some(1.0)));
        before = now;
    }
    if let Some(removed) = node.removed {
        before.iter().for_each(|taint| family.set(named(taint), removed, None));
    }
}

/// cpu time from the samples of metrics-server: each is the mean since the sample before.
fn usage(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let nodes = &source.run.nodes;
    let period = nodes.iter().flat_map(|node| &node.usage).fold(0, |all, (at, _)| gcd(all, at.as_nanos()));
    let seconds = |node: &NodeLife<'_>| -> Vec<(SimTime, f64)> {
        let end = node.removed.unwrap_or(source.run.end).as_nanos();
        let (mut total, mut rate, mut since) = (0_u128, 0_u128, node.added.as_nanos());
        let mut points = vec![(node.added, 0.0)];
        let mut until = |to: u64, rate: u128, total: &mut u128| {
            // A step per sample, as a scraper would have seen it; nothing new while nothing is used.
            while rate > 0 && period > 0 && since + period <= to {
                since += period;
                *total += rate * u128::from(period);
                points.push((SimTime::from_nanos(since), *total as f64 / 1e12));
            }
            since = since.max(to);
        };
        for (at, sample) in &node.usage {
            let at = at.as_nanos();
            until(at.saturating_sub(period), rate, &mut total);
            rate = sample.cpu_used_millis.max(0) as u128;
            until(at, rate, &mut total);
        }
        until(end, rate, &mut total);
        points
    };
    let kubelet = About {
        name: "node_cpu_usage_seconds_total",
        kind: Kind::Counter,
        job: "kubelet",
        help: "Cumulative cpu time consumed by the node in core-seconds.",
    };
    out.family(kubelet, |family| {
        for node in nodes {
            family.follow(&labels([("instance", node.name), ("node", node.name)]), seconds(node), node.removed);
        }
    })?;
    let cadvisor = About {
        name: "container_cpu_usage_seconds_total",
        kind: Kind::Counter,
        job: "cadvisor",
        help: "Cumulative cpu time consumed in seconds; of the whole node, whose cgroup is \"/\".",
    };
    out.family(cadvisor, |family| {
        for node in nodes {
            let named = labels([("id", "/"), ("instance", node.name), ("node", node.name)]);
            family.follow(&named, seconds(node), node.removed);
        }
    })
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
