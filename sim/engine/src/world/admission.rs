//! What the API server says to a new object: defaults of the namespace, refusals, quota.
//!
//! Order as upstream: namespace lifecycle, defaults of LimitRanges, the vertical pod autoscaler's webhook, validity, limits of LimitRanges, and quota
//! last, so that nothing is charged that is refused.
//!
//! Invariant: what a ResourceQuota has admitted is charged at once, in the same step.
//!
//! Upstream: plugin/pkg/admission/{limitranger,namespace/lifecycle}, apiserver/pkg/admission/plugin/resourcequota,
//! pkg/apis/core/validation. Not here: default tolerations (`apply`), webhooks and policies.

use std::sync::Arc;

use api::{
    Container, Kind, LimitRange, LimitRangeItem, LimitType, ObjectMeta, Pod, PodSpec, Quantity, QuotaList, ResourceList, ResourceName, Str,
    quota_text,
};

use super::World;
use crate::controllers::resource_quota::{charge_of, covers, kind_quotas, pod_usage, sums};
use crate::controllers::vertical_pod_autoscaler;
use crate::effects::Refusal;
use crate::store::Id;

impl World {
    /// Refuses a pod, or completes it and charges it to its quotas.
    pub(super) fn admit_pod(&mut self, pod: &mut Pod) -> Result<(), Refusal> {
        self.admit_namespace("pods", &pod.meta)?;
        if self.store.limit_ranges.len() > 0 {
            self.default_pod(pod);
        }
        if self.store.vpas.len() > 0 {
            vertical_pod_autoscaler::admission::admit(&self.store, pod);
        }
        if self.store.limit_ranges.len() > 0 {
            self.limit_pod(pod)?;
        }
        if self.store.resource_quotas.len() == 0 {
            return Ok(());
        }
        let usage = pod_usage(pod, self.now);
        self.charge("pods", &pod.meta, &usage, Some(pod))
    }

    /// Refuses an object of another kind, or charges it to its quotas.
    pub(super) fn admit_object(&mut self, kind: Kind, meta: &ObjectMeta, usage: &QuotaList) -> Result<(), Refusal> {
        let resource = kind_quotas(kind).map_or("objects", |names| names.resource);
        self.admit_namespace(resource, meta)?;
        if self.store.resource_quotas.len() == 0 || usage.is_empty() {
            return Ok(());
        }
        self.charge(resource, meta, usage, None)
    }

    fn admit_namespace(&self, resource: &str, meta: &ObjectMeta) -> Result<(), Refusal> {
        let key = api::ObjectKey { namespace: Str::default(), name: meta.namespace.clone() };
        let namespace = self.store.namespaces.find(&key).and_then(|id| self.store.namespaces.get(id));
        if namespace.is_some_and(|namespace| namespace.meta.is_deleting()) {
            let why = format!("unable to create new content in namespace {} because it is being terminated", meta.namespace);
            return Err(Refusal::NamespaceTerminating(format!("{resource} \"{}\" is forbidden: {why}", meta.name).into()));
        }
        Ok(())
    }

    // LimitRange.

    fn default_pod(&self, pod: &mut Pod) {
        let mut spec = (*pod.spec).clone();
        let ranges = self.store.limit_ranges.in_namespace(&pod.meta.namespace).map(|(_, range)| range);
        for item in ranges.flat_map(|range| &range.limits).filter(|item| item.kind == LimitType::Container) {
            spec.containers.iter_mut().chain(&mut spec.init_containers).for_each(|container| default_resources(container, item));
        }
        if spec != *pod.spec {
            pod.spec = Arc::new(spec);
        }
    }

    fn limit_pod(&self, pod: &Pod) -> Result<(), Refusal> {
        let ranges: Vec<&LimitRange> = self.store.limit_ranges.in_namespace(&pod.meta.namespace).map(|(_, range)| range).collect();
        if ranges.is_empty() {
            return Ok(());
        }
        is_valid(pod)?;
        for range in ranges {
            let broken: Vec<String> = range.limits.iter().flat_map(|item| broken_limits(&pod.spec, item)).collect();
            if !broken.is_empty() {
                return Err(forbidden("pods", &pod.meta.name, &aggregate(&broken)));
            }
        }
        Ok(())
    }

    // ResourceQuota.

    fn charge(&mut self, resource: &str, meta: &ObjectMeta, usage: &QuotaList, pod: Option<&Pod>) -> Result<(), Refusal> {
        let mut charged = Vec::new();
        for (id, quota) in self.store.resource_quotas.in_namespace(&meta.namespace) {
            if pod.is_some_and(|pod| !covers(quota, pod)) || (pod.is_none() && !quota.scopes.is_empty()) {
                continue;
            }
            let Some(charge) = charge_of(quota, usage, pod).map_err(|why| forbidden(resource, &meta.name, &why))? else { continue };
            charged.push((id, charge));
        }
        for (id, charge) in charged {
            self.store.update(Id::new(id.number()), |quota: &mut api::ResourceQuota| {
                let Some(status) = &mut quota.status else { return false };
                charge.iter().for_each(|(name, amount)| *status.used.entry(name.clone()).or_default() += amount);
                !charge.is_empty()
            });
        }
        Ok(())
    }
}

fn forbidden(resource: &str, name: &str, why: &str) -> Refusal {
    Refusal::Forbidden(format!("{resource} \"{name}\" is forbidden: {why}").into())
}

/// Several reasons as Kubernetes joins them.
fn aggregate(reasons: &[String]) -> String {
    if let [only] = reasons { only.clone() } else { format!("[{}]", reasons.join(", ")) }
}

fn default_resources(container: &mut Container, item: &LimitRangeItem) {
    for (name, amount) in &item.default {
        container.limits.entry(name.clone()).or_insert(*amount);
    }
    for (name, amount) in &item.default_request {
        container.requests.entry(name.clone()).or_insert(*amount);
    }
}

/// A request above its limit, which defaults can bring about.
pub(super) fn is_valid(pod: &Pod) -> Result<(), Refusal> {
    let groups = [("initContainers", &pod.spec.init_containers), ("containers", &pod.spec.containers)];
    let mut wrong = Vec::new();
    for (group, containers) in groups {
        for (place, container) in containers.iter().enumerate() {
            for (name, request) in &container.requests {
                let Some(limit) = container.limits.get(name).filter(|limit| request > limit) else { continue };
                let (request, limit) = (amount_text(name, *request), amount_text(name, *limit));
                wrong.push(format!(
                    "spec.{group}[{place}].resources.requests: Invalid value: \"{request}\": must be less than or equal to {name} limit of {limit}"
                ));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("Pod \"{}\" is invalid: {}", pod.meta.name, aggregate(&wrong)).into()))
}

fn amount_text(name: &ResourceName, amount: i64) -> String {
    quota_text(name.as_str(), amount)
}

fn broken_limits(spec: &PodSpec, item: &LimitRangeItem) -> Vec<String> {
    match item.kind {
        LimitType::PersistentVolumeClaim => Vec::new(),
        LimitType::Container => {
            let all = spec.containers.iter().chain(&spec.init_containers);
            all.flat_map(|container| broken(item, &container.requests, &container.limits)).collect()
        }
        LimitType::Pod => {
            let (requests, limits) = sums(spec);
            broken(item, &requests, &limits)
        }
    }
}

fn broken(item: &LimitRangeItem, requests: &ResourceList, limits: &ResourceList) -> Vec<String> {
    let (mut found, kind) = (Vec::new(), item.kind.as_str());
    for (name, least) in &item.min {
        let bound = format!("minimum {name} usage per {kind} is {}", amount_text(name, *least));
        match requests.get(name) {
            None => found.push(format!("{bound}.  No request is specified")),
            Some(request) if request < least => found.push(format!("{bound}, but request is {}", amount_text(name, *request))),
            Some(_) => found.extend(
                limits.get(name).filter(|limit| *limit < least).map(|limit| format!("{bound}, but limit is {}", amount_text(name, *limit))),
            ),
        }
    }
    for (name, most) in &item.max {
        let bound = format!("maximum {name} usage per {kind} is {}", amount_text(name, *most));
        match limits.get(name) {
            None => found.push(format!("{bound}.  No limit is specified")),
            Some(limit) if limit > most => found.push(format!("{bound}, but limit is {}", amount_text(name, *limit))),
            Some(_) => found.extend(
                requests
                    .get(name)
                    .filter(|request| *request > most)
                    .map(|request| format!("{bound}, but request is {}", amount_text(name, *request))),
            ),
        }
    }
    for (name, ratio) in &item.max_ratio_millis {
        let bound = format!("{name} max limit to request ratio per {kind} is {}", Quantity::from_millis(*ratio));
        match (requests.get(name).copied().unwrap_or(0), limits.get(name).copied().unwrap_or(0)) {
            (0, _) => found.push(format!("{bound}, but no request is specified or request is 0")),
            (_, 0) => found.push(format!("{bound}, but no limit is specified or limit is 0")),
            (request, limit) if i128::from(limit) * 1000 > i128::from(*ratio) * i128::from(request) => {
                found.push(format!("{bound}, but provided ratio is {:.6}", limit as f64 / request as f64));
            }
            _ => {}
        }
    }
    found
}
