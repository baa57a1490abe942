//! Workloads and autoscalers as kube-state-metrics and the cluster autoscaler tell of them.
//!
//! Not here: their ends (the trace does not say when a workload is deleted: its last counts stay).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use api::SimTime;

use super::{About, Kind, Out, Source, Told, labels, owner, split};
use crate::fold::{Autoscale, Counts};

const fn gauge(name: &'static str, help: &'static str) -> About {
    About { name, kind: Kind::Gauge, job: "kube-state-metrics", help }
}

/// What is told of a kind of workload: its label, and which count goes by which name.
struct Workload {
    kind: &'static str,
    label: &'static str,
    counts: &'static [Told<Counts>],
}

/// Pods that are missing. Upstream: pkg/controller/deployment/sync.go (calculateStatus), pkg/controller/daemon.
fn missing(of: i32, available: i32) -> f64 {
    f64::from((of - available).max(0))
}

const WORKLOADS: [Workload; 5] = [
    Workload {
        kind: "Deployment",
        label: "deployment",
        counts: &[
            ("kube_deployment_spec_replicas", "Number of desired pods for a deployment.", |c| f64::from(c.desired)),
            ("kube_deployment_status_replicas", "The number of replicas per deployment.", |c| f64::from(c.current)),
            ("kube_deployment_status_replicas_updated", "The number of updated replicas per deployment.", |c| f64::from(c.updated)),
            ("kube_deployment_status_replicas_ready", "The number of ready replicas per deployment.", |c| f64::from(c.ready)),
            ("kube_deployment_status_replicas_available", "The number of available replicas per deployment.", |c| f64::from(c.available)),
            ("kube_deployment_status_replicas_unavailable", "The number of unavailable replicas per deployment.", |c| {
                missing(c.current, c.available)
            }),
        ],
    },
    Workload {
        kind: "ReplicaSet",
        label: "replicaset",
        counts: &[
            ("kube_replicaset_spec_replicas", "Number of desired pods for a ReplicaSet.", |c| f64::from(c.desired)),
            ("kube_replicaset_status_replicas", "The number of replicas per ReplicaSet.", |c| f64::from(c.current)),
            ("kube_replicaset_status_ready_replicas", "The number of ready replicas per ReplicaSet.", |c| f64::from(c.ready)),
        ],
    },
    Workload {
        kind: "StatefulSet",
        label: "statefulset",
        counts: &[
            ("kube_statefulset_replicas", "Number of desired pods for a StatefulSet.", |c| f64::from(c.desired)),
            ("kube_statefulset_status_replicas", "The number of replicas per StatefulSet.", |c| f64::from(c.current)),
            ("kube_statefulset_status_replicas_updated", "The number of updated replicas per StatefulSet.", |c| f64::from(c.updated)),
            ("kube_statefulset_status_replicas_ready", "The number of ready replicas per StatefulSet.", |c| f64::from(c.ready)),
            ("kube_statefulset_status_replicas_available", "The number of available replicas per StatefulSet.", |c| f64::from(c.available)),
        ],
    },
    Workload {
        kind: "DaemonSet",
        label: "daemonset",
        counts: &[
            ("kube_daemonset_status_desired_number_scheduled", "The number of nodes that should be running the daemon pod.", |c| {
                f64::from(c.desired)
            }),
            (
                "kube_daemonset_status_current_number_scheduled",
                "The number of nodes running at least one daemon pod and are supposed to.",
                |c| f64::from(c.current),
            ),
            ("kube_daemonset_status_updated_number_scheduled", "The total number of nodes that are running updated daemon pod.", |c| {
                f64::from(c.updated)
            }),
            (
                "kube_daemonset_status_number_ready",
                "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and ready.",
                |c| f64::from(c.ready),
            ),
            (
                "kube_daemonset_status_number_available",
                "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available.",
                |c| f64::from(c.available),
            ),
            (
                "kube_daemonset_status_number_unavailable",
                "The number of nodes that should be running the daemon pod and have none of the daemon pod running and available.",
                |c| missing(c.desired, c.available),
            ),
        ],
    },
    // The trace counts a Job's successes as what it has to offer.
    Workload {
        kind: "Job",
        label: "job_name",
        counts: &[
            ("kube_job_status_active", "The number of actively running pods.", |c| f64::from(c.current)),
            ("kube_job_status_ready", "The number of ready pods that belong to this Job.", |c| f64::from(c.ready)),
            ("kube_job_status_succeeded", "The number of pods which reached Phase Succeeded.", |c| f64::from(c.available)),
        ],
    },
];

pub(super) fn families(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    for told in &WORKLOADS {
        for (name, help, of) in told.counts {
            out.family(gauge(name, help), |family| {
                for ((_, workload), counts) in source.run.workloads.iter().filter(|((kind, _), _)| *kind == told.kind) {
                    let (namespace, name) = split(workload);
                    let named = labels([("namespace", namespace), (told.label, name)]);
                    family.follow(&named, counts.iter().map(|(at, counts)| (*at, of(counts))), None);
                }
            })?;
        }
    }
    deployment_conditions(source, out)?;
    replica_set_owners(source, out)?;
    autoscalers(source, out)?;
    node_groups(source, out)
}

/// A series per reason and status, while a condition has that reason.
fn deployment_conditions(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    out.family(gauge("kube_deployment_status_condition", "The current status conditions of a deployment."), |family| {
        for ((_, workload), changes) in source.run.conditions.iter().filter(|((kind, _), _)| *kind == "Deployment") {
            let (namespace, name) = split(workload);
            let named = |reason: &str, condition: &str, status: &str| {
                let of_workload = [("namespace", namespace), ("deployment", name)];
                let of_condition = [("reason", reason), ("condition", condition), ("status", status)];
                labels(of_workload).into_iter().chain(labels(of_condition)).collect()
            };
            let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
            for change in changes {
                let before = reasons.insert(change.condition, change.reason);
                for status in ["true", "false", "unknown"] {
                    if let Some(before) = before.filter(|before| *before != change.reason) {
                        family.set(named(before, change.condition, status), change.at, None);
                    }
                    let value = f64::from(u8::from(change.status.eq_ignore_ascii_case(status)));
                    family.set(named(change.reason, change.condition, status), change.at, Some(value));
                }
            }
        }
    })
}

/// Which Deployment a ReplicaSet belongs to, as far as its pods tell.
fn replica_set_owners(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let pairs: BTreeSet<(&str, &str)> = source.run.pods.iter().map(|pod| (pod.controller, pod.workload)).collect();
    out.family(gauge("kube_replicaset_owner", "Information about the ReplicaSet's owner."), |family| {
        for (controller, top) in pairs.into_iter().filter(|(controller, top)| controller != top) {
            let Some(set) = controller.strip_prefix("ReplicaSet/") else { continue };
            let since =
                source.run.workloads.get(&("ReplicaSet", set)).and_then(|counts| counts.first()).map_or(SimTime::ZERO, |first| first.0);
            let ((namespace, name), (kind, owner)) = (split(set), owner(top));
            let named = labels([
                ("namespace", namespace),
                ("replicaset", name),
                ("owner_kind", kind),
                ("owner_name", owner),
                ("owner_is_controller", "true"),
            ]);
            family.set(named, since, Some(1.0));
        }
    })
}

fn autoscalers(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let looks = &source.run.autoscales;
    let about = About { kind: Kind::Info, ..gauge("kube_horizontalpodautoscaler_info", "Information about this autoscaler.") };
    out.family(about, |family| {
        for look in looks {
            let ((namespace, name), (kind, target)) = (split(look.hpa), owner(look.target));
            let named = labels([
                ("namespace", namespace),
                ("horizontalpodautoscaler", name),
                ("scaletargetref_kind", kind),
                ("scaletargetref_name", target),
            ]);
            family.set(named, look.at, Some(1.0));
        }
    })?;
    let limits: [Told<Autoscale<'_>>; 2] = [
        (
            "kube_horizontalpodautoscaler_spec_min_replicas",
            "Lower limit for the number of pods that can be set by the autoscaler.",
            |look| f64::from(look.min),
        ),
        (
            "kube_horizontalpodautoscaler_spec_max_replicas",
            "Upper limit for the number of pods that can be set by the autoscaler.",
            |look| f64::from(look.max),
        ),
    ];
    let sizes: [Told<Autoscale<'_>>; 2] = [
        (
            "kube_horizontalpodautoscaler_status_current_replicas",
            "Current number of replicas of pods managed by this autoscaler.",
            |look| f64::from(look.current),
        ),
        (
            "kube_horizontalpodautoscaler_status_desired_replicas",
            "Desired number of replicas of pods managed by this autoscaler.",
            |look| f64::from(look.desired),
        ),
    ];
    // Traces of earlier versions have no limits.
    let limits = limits.into_iter().map(|told| (told, true));
    for ((name, help, of), is_limit) in limits.chain(sizes.into_iter().map(|told| (told, false))) {
        out.family(gauge(name, help), |family| {
            for look in looks.iter().filter(|look| !is_limit || look.max > 0) {
                let (namespace, name) = split(look.hpa);
                family.set(labels([("namespace", namespace), ("horizontalpodautoscaler", name)]), look.at, Some(of(look)));
            }
        })?;
    }
    Ok(())
}

/// Upstream: cluster-autoscaler/metrics/metrics.go.
fn node_groups(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let about = About {
        name: "cluster_autoscaler_node_group_target_count",
        kind: Kind::Gauge,
        job: "cluster-autoscaler",
        help: "Target number of nodes in the node group by CA.",
    };
    out.family(about, |family| {
        for change in &source.run.pool_changes {
            let named = labels([("node_group", change.pool)]);
            if !family.series.contains_key(&named) {
                family.set(named.clone(), SimTime::ZERO, Some(f64::from(change.from)));
            }
            family.set(named, change.at, Some(f64::from(change.to)));
        }
    })
}
