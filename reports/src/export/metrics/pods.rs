//! Pods as kube-state-metrics tells of them.
//!
//! The trace says of a pod what it requests in all, and of its containers what they do. So requests are the pod's,
//! under its container's name where it has one, else under [`WHOLE_POD`]; sums over a pod are right either way.
//!
//! Not here: limits, images, IP addresses, uids, what a container uses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use api::SimTime;

use super::{About, Family, Kind, Labels, Out, Source, labels, owner, split};
use crate::fold::PodLife;

/// The container of requests that cannot be told apart.
const WHOLE_POD: &str = "all";

const fn gauge(name: &'static str, help: &'static str) -> About {
    About { name, kind: Kind::Gauge, job: "kube-state-metrics", help }
}

fn named(pod: &PodLife<'_>) -> Labels {
    let (namespace, name) = split(pod.name);
    labels([("namespace", namespace), ("pod", name)])
}

/// The labels of a pod and more.
fn with<const N: usize>(pod: &PodLife<'_>, more: [(&'static str, &str); N]) -> Labels {
    named(pod).into_iter().chain(labels(more)).collect()
}

/// The spans in which a pod has no node, and has one.
fn on_nodes<'t>(pod: &PodLife<'t>) -> impl Iterator<Item = (&'t str, SimTime, Option<SimTime>)> {
    let bound = pod.scheduled.map(|scheduled| scheduled.at);
    let before = ("", pod.created, bound.or(pod.removed));
    let after = pod.scheduled.map(|scheduled| (scheduled.node, scheduled.at, pod.removed));
    [Some(before), after].into_iter().flatten()
}

pub(super) fn families(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let pods = &source.run.pods;
    let about = About { kind: Kind::Info, ..gauge("kube_pod_info", "Information about pod.") };
    out.family(about, |family| {
        for pod in pods {
            let (kind, name) = owner(pod.controller);
            for (node, from, to) in on_nodes(pod) {
                family.span(with(pod, [("node", node), ("created_by_kind", kind), ("created_by_name", name)]), from, to, 1.0);
            }
        }
    })?;
    out.family(gauge("kube_pod_owner", "Information about the Pod's owner."), |family| {
        for pod in pods {
            let (kind, name) = owner(pod.controller);
            let controls = if kind.is_empty() { "false" } else { "true" };
            let more = [("owner_kind", kind), ("owner_name", name), ("owner_is_controller", controls)];
            family.span(with(pod, more), pod.created, pod.removed, 1.0);
        }
    })?;
    out.family(gauge("kube_pod_created", "Unix creation timestamp"), |family| {
        for pod in pods {
            family.span(named(pod), pod.created, pod.removed, source.unix(pod.created));
        }
    })?;
    out.family(gauge("kube_pod_deletion_timestamp", "Unix deletion timestamp"), |family| {
        for pod in pods {
            if let Some((at, _, grace)) = pod.deleting {
                family.span(named(pod), at, pod.removed, source.unix(at + grace));
            }
        }
    })?;
    status(pods, out)?;
    containers(pods, out)?;
    let help = "The number of requested request resource by a container.";
    out.family(gauge("kube_pod_container_resource_requests", help), |family| pods.iter().for_each(|pod| requests(family, pod)))
}

fn status(pods: &[PodLife<'_>], out: &mut Out<'_>) -> io::Result<()> {
    out.family(gauge("kube_pod_status_phase", "The pods current phase."), |family| {
        for pod in pods {
            for phase in ["Pending", "Succeeded", "Failed", "Unknown", "Running"] {
                let first = (pod.created, if phase == "Pending" { 1.0 } else { 0.0 });
                let changes = pod.phases.iter().map(|(at, now, _)| (*at, f64::from(u8::from(*now == phase))));
                family.follow(&with(pod, [("phase", phase)]), [first].into_iter().chain(changes), pod.removed);
            }
        }
    })?;
    out.family(gauge("kube_pod_status_reason", "The pod status reasons"), |family| {
        for pod in pods {
            for (index, (at, _, reason)) in pod.phases.iter().enumerate().filter(|(_, (.., reason))| !reason.is_empty()) {
                let to = pod.phases.get(index + 1).map(|(next, ..)| *next).or(pod.removed);
                family.span(with(pod, [("reason", reason)]), *at, to, 1.0);
            }
        }
    })?;
    out.family(gauge("kube_pod_status_ready", "Describes whether the pod is ready to serve requests."), |family| {
        for pod in pods {
            for (condition, when) in [("true", Some(true)), ("false", Some(false)), ("unknown", None)] {
                let value = |ready: bool| f64::from(u8::from(Some(ready) == when));
                let changes = pod.ready.iter().map(|(at, ready, _)| (*at, value(*ready)));
                // The condition is there once a kubelet knows of the pod.
                let first = pod.scheduled.map(|scheduled| (scheduled.at, value(false)));
                family.follow(&with(pod, [("condition", condition)]), first.into_iter().chain(changes), pod.removed);
            }
        }
    })?;
    out.family(gauge("kube_pod_status_unschedulable", "Describes the unschedulable status for the pod."), |family| {
        for pod in pods {
            if let Some((first, ..)) = pod.unschedulable.first() {
                family.span(named(pod), *first, pod.scheduled.map(|scheduled| scheduled.at).or(pod.removed), 1.0);
            }
        }
    })
}

fn containers(pods: &[PodLife<'_>], out: &mut Out<'_>) -> io::Result<()> {
    let restarts = About {
        kind: Kind::Counter,
        ..gauge("kube_pod_container_status_restarts_total", "The number of container restarts per container.")
    };
    out.family(restarts, |family| {
        for pod in pods {
            for change in &pod.containers {
                family.set(with(pod, [("container", change.container)]), change.at, Some(f64::from(change.restarts)));
            }
            end(family, pod);
        }
    })?;
    for (name, state, help) in [
        ("kube_pod_container_status_waiting", "Waiting", "Describes whether the container is currently in waiting state."),
        ("kube_pod_container_status_running", "Running", "Describes whether the container is currently in running state."),
        ("kube_pod_container_status_terminated", "Terminated", "Describes whether the container is currently in terminated state."),
    ] {
        out.family(gauge(name, help), |family| {
            for pod in pods {
                for change in &pod.containers {
                    let value = f64::from(u8::from(change.state == state));
                    family.set(with(pod, [("container", change.container)]), change.at, Some(value));
                }
                end(family, pod);
            }
        })?;
    }
    let help = "Describes the reason the container is currently in waiting state.";
    out.family(gauge("kube_pod_container_status_waiting_reason", help), |family| reasons(family, pods, "Waiting", false))?;
    let help = "Describes the last reason the container was in terminated state.";
    out.family(gauge("kube_pod_container_status_last_terminated_reason", help), |family| reasons(family, pods, "Terminated", true))
}

/// Ends the series of a pod's containers with the pod.
fn end(family: &mut Family, pod: &PodLife<'_>) {
    let Some(removed) = pod.removed else { return };
    let names: BTreeSet<&str> = pod.containers.iter().map(|change| change.container).collect();
    for container in names {
        family.set(with(pod, [("container", container)]), removed, None);
    }
}

/// Why containers are in a state, while they are; or why they were in it last, from when they left it.
fn reasons(family: &mut Family, pods: &[PodLife<'_>], state: &str, last: bool) {
    for pod in pods {
        let mut before: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        let mut said: BTreeMap<&str, &str> = BTreeMap::new();
        for change in &pod.containers {
            let (was, why) = before.insert(change.container, (change.state, change.reason)).unwrap_or_default();
            let now = match last {
                false if change.state == state => change.reason,
                false => "",
                true if was == state && change.state != state => why,
                true => continue,
            };
            let old = said.insert(change.container, now).unwrap_or_default();
            for (reason, value) in [(old, None), (now, Some(1.0))] {
                if !reason.is_empty() {
                    family.set(with(pod, [("container", change.container), ("reason", reason)]), change.at, value);
                }
            }
        }
        for (container, reason) in said.into_iter().filter(|(_, reason)| !reason.is_empty()) {
            if let Some(removed) = pod.removed {
                family.set(with(pod, [("container", container), ("reason", reason)]), removed, None);
            }
        }
    }
}

fn requests(family: &mut Family, pod: &PodLife<'_>) {
    let mut names = pod.containers.iter().map(|change| change.container);
    let container = match names.next() {
        Some(first) if names.all(|name| name == first) => first,
        _ => WHOLE_POD,
    };
    for (resource, unit, amount) in [("cpu", "core", pod.cpu_millis as f64 / 1000.0), ("memory", "byte", pod.memory_bytes as f64)] {
        if amount > 0.0 {
            for (node, from, to) in on_nodes(pod) {
                let more = [("container", container), ("node", node), ("resource", resource), ("unit", unit)];
                family.span(with(pod, more), from, to, amount);
            }
        }
    }
}
