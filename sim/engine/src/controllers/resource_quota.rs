//! ResourceQuota controller: counts anew what a namespace uses, when something in it is gone or a limit changed.
//!
//! Reads: ResourceQuotas and what they count. Writes: their status.
//! Upstream: pkg/controller/resourcequota, pkg/quota/v1/evaluator/core/{pods,services,persistent_volume_claims}.go.
//! The API server charges what it admits (`world/admission.rs`) with the same arithmetic, which is kept here.
//!
//! Invariant: usage only falls by a count of this controller; a pod is charged until it is over.
//!
//! Not modelled: the count of everything every five minutes, resources that
//! only cloud providers serve, scope CrossNamespacePodAffinity.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Container, Kind, Pod, PodSpec, QuotaList, QuotaScope, QuotaStatus, ResourceList, ResourceName, ResourceQuota, SimTime, Str, quota_text,
};

use super::View;
use crate::effects::{Component, Effects, Write};
use crate::objects::{Kept, Part, with_kind};
use crate::store::{Change, Id, Store};

/// How quotas call a kind.
pub(crate) struct QuotaNames {
    /// As refusals call it.
    pub(crate) resource: &'static str,
    /// Its object count.
    count: &'static str,
    /// Its older name, if it has one.
    plain: Option<&'static str>,
}

const NAMES: &[(Kind, QuotaNames)] = &[
    (Kind::Service, QuotaNames { resource: "services", count: "count/services", plain: Some("services") }),
    (Kind::ResourceQuota, QuotaNames { resource: "resourcequotas", count: "count/resourcequotas", plain: Some("resourcequotas") }),
    (
        Kind::PersistentVolumeClaim,
        QuotaNames { resource: "persistentvolumeclaims", count: "count/persistentvolumeclaims", plain: Some("persistentvolumeclaims") },
    ),
    (Kind::Deployment, QuotaNames { resource: "deployments.apps", count: "count/deployments.apps", plain: None }),
    (Kind::ReplicaSet, QuotaNames { resource: "replicasets.apps", count: "count/replicasets.apps", plain: None }),
    (Kind::StatefulSet, QuotaNames { resource: "statefulsets.apps", count: "count/statefulsets.apps", plain: None }),
    (Kind::DaemonSet, QuotaNames { resource: "daemonsets.apps", count: "count/daemonsets.apps", plain: None }),
    (Kind::Job, QuotaNames { resource: "jobs.batch", count: "count/jobs.batch", plain: None }),
    (Kind::CronJob, QuotaNames { resource: "cronjobs.batch", count: "count/cronjobs.batch", plain: None }),
];

/// How quotas call a kind; `None` for kinds they do not count.
pub(crate) fn kind_quotas(kind: Kind) -> Option<&'static QuotaNames> {
    NAMES.iter().find(|(known, _)| *known == kind).map(|(_, names)| names)
}

/// Which quotas a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Id<ResourceQuota>)) {
    if view.store.resource_quotas.len() == 0 {
        return;
    }
    let namespace = match change {
        Change::Object(Kind::ResourceQuota, number) => {
            let id = Id::new(*number);
            let is_new = |quota: &ResourceQuota| quota.status.as_ref().is_none_or(|status| status.hard != quota.hard);
            if view.store.resource_quotas.get(id).is_some_and(is_new) {
                queue(id);
            }
            return;
        }
        Change::PodModified(id, before) => {
            let over = |pod: &&Pod| !before.terminal && pod.status.phase.is_terminal();
            view.store.pods.get(*id).filter(over).map(|pod| pod.meta.namespace.clone())
        }
        Change::PodDeleted(_, gone) => Some(gone.meta.namespace.clone()),
        Change::DeploymentDeleted(gone) => Some(gone.meta.namespace.clone()),
        Change::ReplicaSetDeleted(gone) => Some(gone.meta.namespace.clone()),
        Change::ServiceDeleted(_, gone) => Some(gone.meta.namespace.clone()),
        Change::ObjectDeleted(gone) => Some(gone.meta().namespace.clone()),
        _ => None,
    };
    if let Some(namespace) = namespace {
        view.store.resource_quotas.in_namespace(&namespace).for_each(|(id, _)| queue(id));
    }
}

/// One count.
pub(crate) fn sync(id: Id<ResourceQuota>, view: &View<'_>, out: &mut Effects) {
    let Some(quota) = view.store.resource_quotas.get(id) else { return };
    let mut used = usage_of(quota, view.store, view.now);
    used.retain(|name, _| quota.hard.contains_key(name));
    for name in quota.hard.keys() {
        used.entry(name.clone()).or_insert(0);
    }
    let status = Some(QuotaStatus { hard: quota.hard.clone(), used });
    if status != quota.status {
        let counted = ResourceQuota { status, ..quota.clone() };
        out.write(Component::ResourceQuota, Write::Update(counted.into_any(), Part::Status));
    }
}

fn usage_of(quota: &ResourceQuota, store: &Store, now: SimTime) -> QuotaList {
    let namespace = &quota.meta.namespace;
    let mut used = QuotaList::new();
    for (_, pod) in store.pods.in_namespace(namespace).filter(|(_, pod)| covers(quota, pod)) {
        add(&mut used, &pod_usage(pod, now));
    }
    if quota.scopes.is_empty() {
        for (kind, _) in NAMES {
            with_kind!(*kind, T => T::table(store).in_namespace(namespace).for_each(|(_, object)| {
                add(&mut used, &object_usage(*kind, &object.clone().into_any()));
            }), else ());
        }
    }
    used
}

fn add(sum: &mut QuotaList, other: &QuotaList) {
    for (name, amount) in other {
        *sum.entry(name.clone()).or_default() += amount;
    }
}

/// What an object of another kind is charged with.
pub(crate) fn object_usage(kind: Kind, object: &crate::objects::AnyObject) -> QuotaList {
    let Some(names) = kind_quotas(kind) else { return QuotaList::new() };
    let mut usage: QuotaList = [names.count].into_iter().chain(names.plain).map(|name| (name.into(), 1)).collect();
    if let crate::objects::AnyObject::PersistentVolumeClaim(claim) = object {
        usage.insert("requests.storage".into(), claim.request_bytes);
    }
    usage
}

/// What a pod is charged with: its object, and what it asks for as long as it is not over.
pub(crate) fn pod_usage(pod: &Pod, now: SimTime) -> QuotaList {
    let mut usage: QuotaList = [("count/pods".into(), 1)].into();
    let is_past_its_grace = pod.meta.deletion.is_some_and(|deadline| deadline < now);
    if pod.status.phase.is_terminal() || is_past_its_grace {
        return usage;
    }
    usage.insert("pods".into(), 1);
    let (requests, limits) = sums(&pod.spec);
    for (name, amount) in requests {
        if matches!(name, ResourceName::Cpu | ResourceName::Memory | ResourceName::EphemeralStorage)
            || name.as_str().starts_with("hugepages-")
        {
            usage.insert(name.as_str().into(), amount);
        }
        usage.insert(format!("requests.{name}").into(), amount);
    }
    usage.extend(limits.into_iter().map(|(name, amount)| (format!("limits.{name}").into(), amount)));
    usage
}

/// Requests and limits of a whole pod, of the resources that anything in it names.
pub(crate) fn sums(spec: &PodSpec) -> (ResourceList, ResourceList) {
    let sum = |of: &dyn Fn(&Container) -> &ResourceList, pod_level: Option<&ResourceList>| -> ResourceList {
        let containers = spec.containers.iter().chain(&spec.init_containers);
        let named: BTreeSet<&ResourceName> =
            containers.flat_map(|container| of(container).keys()).chain(pod_level.into_iter().flatten().map(|entry| entry.0)).collect();
        let total = spec.aggregate(false, |container| of(container).clone());
        let amount = |name: &ResourceName| pod_level.and_then(|list| list.get(name)).copied().unwrap_or_else(|| total.get(name));
        named.into_iter().map(|name| (name.clone(), amount(name))).collect()
    };
    (sum(&|container| &container.requests, spec.pod_requests.as_ref()), sum(&|container| &container.limits, spec.pod_limits.as_ref()))
}

/// Whether all scopes of a quota hold for a pod.
pub(crate) fn covers(quota: &ResourceQuota, pod: &Pod) -> bool {
    quota.scopes.iter().all(|scope| match scope {
        QuotaScope::Terminating(is) => pod.spec.active_deadline.is_some() == *is,
        QuotaScope::BestEffort(is) => is_best_effort(&pod.spec) == *is,
        QuotaScope::AnyPriorityClass(is) => pod.spec.priority_class_name.is_empty() != *is,
        QuotaScope::PriorityClass(names, among) => names.contains(&pod.spec.priority_class_name) == *among,
    })
}

fn is_best_effort(spec: &PodSpec) -> bool {
    let counts =
        |list: &ResourceList| list.iter().any(|(name, amount)| matches!(name, ResourceName::Cpu | ResourceName::Memory) && *amount > 0);
    let containers = spec.containers.iter().chain(&spec.init_containers);
    !containers.into_iter().any(|container| counts(&container.requests) || counts(&container.limits))
        && !spec.pod_requests.iter().chain(&spec.pod_limits).any(counts)
}

/// What `usage` adds to what a quota counts; `None` when it counts nothing of it, an error when it does not allow it.
pub(crate) fn charge_of(quota: &ResourceQuota, usage: &QuotaList, pod: Option<&Pod>) -> Result<Option<QuotaList>, String> {
    let name = &quota.meta.name;
    let hard = quota.status.as_ref().map_or(&quota.hard, |status| &status.hard);
    let of_pods = |quota: &str| {
        quota == "pods"
            || quota == "count/pods"
            || quota.starts_with("requests.") && quota != "requests.storage"
            || quota.starts_with("limits.")
            || matches!(quota, "cpu" | "memory" | "ephemeral-storage")
            || quota.starts_with("hugepages-")
    };
    let watched: Vec<&Str> = hard.keys().filter(|quota| if pod.is_some() { of_pods(quota) } else { usage.contains_key(*quota) }).collect();
    if watched.is_empty() {
        return Ok(None);
    }
    if let Some(missing) = pod.and_then(|pod| missing_amounts(pod, &watched)) {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let Some(status) = &quota.status else {
        let names: Vec<&str> = watched.iter().map(|name| &***name).collect();
        return Err(format!("status unknown for quota: {name}, resources: {}", names.join(",")));
    };
    let charge: QuotaList =
        watched.into_iter().filter_map(|name| Some((name.clone(), *usage.get(name)?))).filter(|(_, amount)| *amount != 0).collect();
    let used = |name: &Str| status.used.get(name).copied().unwrap_or(0);
    let exceeded: Vec<(&Str, i64)> = charge
        .iter()
        .filter(|(name, amount)| hard.get(*name).is_some_and(|limit| used(name) + **amount > *limit))
        .map(|(name, amount)| (name, *amount))
        .collect();
    if exceeded.is_empty() {
        return Ok(Some(charge));
    }
    let list = |amount: &dyn Fn(&Str, i64) -> i64| -> String {
        exceeded.iter().map(|(name, asked)| format!("{name}={}", quota_text(name, amount(name, *asked)))).collect::<Vec<_>>().join(",")
    };
    Err(format!(
        "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
        list(&|_, asked| asked),
        list(&|name, _| used(name)),
        list(&|name, _| hard.get(name).copied().unwrap_or(0))
    ))
}

/// A quota on cpu or memory makes every container name its own, unless the pod names them as a whole.
fn missing_amounts(pod: &Pod, watched: &[&Str]) -> Option<String> {
    const NAMED: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
    if pod.spec.pod_requests.is_some() || pod.spec.pod_limits.is_some() {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for quota in watched.iter().filter(|name| NAMED.contains(&&****name)) {
        let (list, resource) = match quota.split_once('.') {
            Some(("limits", resource)) => (true, resource),
            Some((_, resource)) => (false, resource),
            None => (false, &***quota),
        };
        let resource = ResourceName::new(resource);
        for container in pod.spec.containers.iter().chain(&pod.spec.init_containers) {
            let named = if list { &container.limits } else { &container.requests };
            if !named.contains_key(&resource) {
                missing.entry(quota).or_default().insert(&container.name);
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let texts = missing.iter().map(|(quota, names)| format!("{quota} for: {}", names.iter().copied().collect::<Vec<_>>().join(",")));
    Some(texts.collect::<Vec<_>>().join("; "))
}
