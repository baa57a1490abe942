//! Pods and pod templates.

use std::sync::Arc;

use api::{
    Container, Pod, PodSpec, PodTemplate, PreemptionPolicy, ResourceList, ResourceName, RestartPolicy, SimDuration, Str, Volume,
    VolumeSource,
};
use k8s_openapi::api::core::v1 as core;

use super::affinity::{affinity, spread, toleration};
use super::container::{Role, container, mounts, requirements};
use super::meta::{labels, object_meta, plain_labels};
use super::status;
use super::storage::ephemeral_claim;
use crate::admission::Classes;
use crate::check::{Cx, NameRule, text};
use crate::source::Step;

/// A pod as the API server stores it: defaulted, with its priority resolved and its matchLabelKeys merged.
pub(crate) fn pod(cx: &mut Cx<'_>, from: &core::Pod, classes: &Classes) -> Pod {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let Some(raw) = &from.spec else {
        cx.missing("spec", &root);
        return Pod { meta, ..Pod::default() };
    };
    let mut spec = pod_spec(cx, raw, classes, &root.key("spec"));
    spec.merge_match_label_keys(&meta.labels);
    Pod {
        meta,
        node_name: raw.node_name.as_deref().filter(|name| !name.is_empty()).map(Str::from),
        status: from.status.as_ref().map(|from| status::pod_status(cx, from, &spec, &root.key("status"))).unwrap_or_default(),
        spec: Arc::new(spec),
    }
}

/// A template. What depends on the pod's own labels (matchLabelKeys) is left for the pod's making.
pub(crate) fn template(cx: &mut Cx<'_>, from: &core::PodTemplateSpec, classes: &Classes, at: &Step<'_>) -> PodTemplate {
    let meta_at = at.key("metadata");
    let meta = from.metadata.as_ref();
    let Some(raw) = &from.spec else {
        cx.missing("spec", at);
        return PodTemplate::default();
    };
    PodTemplate {
        labels: Arc::new(labels(cx, meta.and_then(|meta| meta.labels.as_ref()), &meta_at.key("labels"))),
        annotations: Arc::new(plain_labels(meta.and_then(|meta| meta.annotations.as_ref()))),
        spec: Arc::new(pod_spec(cx, raw, classes, &at.key("spec"))),
    }
}

/// Upstream: component-helpers/nodedeclaredfeatures/features (InferForScheduling of each).
fn required_node_features(from: &core::PodSpec) -> Vec<Str> {
    let containers = from.containers.iter().chain(from.init_containers.iter().flatten());
    let mut rules = containers.flat_map(|container| container.restart_policy_rules.iter().flatten());
    let restarts_all = rules.any(|rule| rule.action == "RestartAllContainers");
    let host_network_of_its_own_users = from.host_network == Some(true) && from.host_users == Some(false);
    let features =
        [(restarts_all, "RestartAllContainersOnContainerExits"), (host_network_of_its_own_users, "UserNamespacesHostNetworkSupport")];
    features.into_iter().filter(|(needed, _)| *needed).map(|(_, name)| name.into()).collect()
}

fn pod_spec(cx: &mut Cx<'_>, from: &core::PodSpec, classes: &Classes, at: &Step<'_>) -> PodSpec {
    let host_network = from.host_network.unwrap_or(false);
    if from.containers.is_empty() {
        cx.missing("containers", at);
    }
    let volumes = volumes(cx, from.volumes.as_deref().unwrap_or_default(), at);
    let inits = from.init_containers.as_deref().unwrap_or_default();
    let (containers_at, inits_at) = (at.key("containers"), at.key("initContainers"));
    unique_containers(cx, &from.containers, inits, &containers_at, &inits_at);
    let volume_names: Vec<Str> = volumes.iter().map(|volume| volume.name.clone()).collect();
    let mut list = |from: &[core::Container], role: Role, list_at: &Step<'_>| -> Vec<Container> {
        let mut found = Vec::new();
        for (index, from) in from.iter().enumerate() {
            let at = list_at.index(index);
            mounts(cx, from, &volume_names, &at);
            found.push(container(cx, from, role, host_network, &at));
        }
        found
    };
    let containers = list(&from.containers, Role::Main, &containers_at);
    let init_containers = list(inits, Role::Init, &inits_at);
    let policies = &[
        ("Always", RestartPolicy::Always),
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
        ("", RestartPolicy::Always),
    ];
    let restart_policy =
        from.restart_policy.as_deref().and_then(|word| cx.word(word, policies, &at.key("restartPolicy"))).unwrap_or_default();
    let priority = classes.admit(cx, from, at);
    let grace = from.termination_grace_period_seconds.map(|value| cx.seconds(value, &at.key("terminationGracePeriodSeconds")));
    let mut spec = PodSpec {
        containers,
        init_containers,
        pod_requests: None,
        pod_limits: None,
        overhead: from.overhead.as_ref().map(|from| cx.resources(from, &at.key("overhead"))).unwrap_or_default(),
        node_selector: labels(cx, from.node_selector.as_ref(), &at.key("nodeSelector")),
        affinity: from.affinity.as_ref().map(|from| affinity(cx, from, &at.key("affinity"))).unwrap_or_default(),
        tolerations: Vec::new(),
        topology_spread_constraints: Vec::new(),
        priority: priority.0,
        priority_class_name: text(from.priority_class_name.as_ref()),
        preemption_policy: priority.1,
        scheduler_name: from.scheduler_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default-scheduler").into(),
        scheduling_gates: from.scheduling_gates.iter().flatten().map(|gate| gate.name.as_str().into()).collect(),
        host_network,
        required_node_features: required_node_features(from),
        restart_policy,
        termination_grace_period: grace.unwrap_or(SimDuration::from_secs(30)),
        active_deadline: from.active_deadline_seconds.map(|value| cx.seconds(value, &at.key("activeDeadlineSeconds"))),
        volumes,
        readiness_gates: from.readiness_gates.iter().flatten().map(|gate| gate.condition_type.as_str().into()).collect(),
    };
    let (tolerations_at, spread_at) = (at.key("tolerations"), at.key("topologySpreadConstraints"));
    for (index, from) in from.tolerations.iter().flatten().enumerate() {
        spec.tolerations.push(toleration(cx, from, &tolerations_at.index(index)));
    }
    for (index, from) in from.topology_spread_constraints.iter().flatten().enumerate() {
        spec.topology_spread_constraints.extend(spread(cx, from, &spread_at.index(index)));
    }
    if let Some(from) = &from.resources {
        let (requests, limits) = requirements(cx, from, false, &at.key("resources"));
        fill_pod_level(&mut spec, requests, limits);
    }
    spec
}

fn unique_containers(
    cx: &mut Cx<'_>,
    containers: &[core::Container],
    inits: &[core::Container],
    containers_at: &Step<'_>,
    inits_at: &Step<'_>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (list, list_at) in [(containers, containers_at), (inits, inits_at)] {
        for (index, container) in list.iter().enumerate() {
            if !container.name.is_empty() && seen.contains(&container.name.as_str()) {
                let at = list_at.index(index);
                cx.error("WT0116", format!("two containers are called `{}`", container.name), "this name is taken", &at.key("name"));
            }
            seen.push(&container.name);
        }
    }
}

/// Pod-level requests: where pod-level limits are set, a missing one becomes what the containers ask together, or
/// else the limit. Upstream: defaultPodRequests in pkg/apis/core/v1/defaults.go.
fn fill_pod_level(spec: &mut PodSpec, mut requests: ResourceList, mut limits: ResourceList) {
    let is_huge = |name: &ResourceName| name.as_str().starts_with("hugepages-");
    if !limits.is_empty() || !requests.is_empty() {
        for (name, amount) in aggregate(spec, |container| container.limits.clone()) {
            if is_huge(&name) && !requests.contains_key(&name) {
                limits.entry(name).or_insert(amount);
            }
        }
    }
    if !limits.is_empty() {
        for (name, amount) in aggregate(spec, |container| container.requests.clone()) {
            if matches!(name, ResourceName::Cpu | ResourceName::Memory) {
                requests.entry(name).or_insert(amount);
            }
        }
        for (name, limit) in &limits {
            if matches!(name, ResourceName::Cpu | ResourceName::Memory) || is_huge(name) {
                requests.entry(name.clone()).or_insert(*limit);
            }
        }
    }
    spec.pod_requests = Some(requests);
    spec.pod_limits = Some(limits);
}

/// What all containers ask together, by the resources that any of them names; without overhead.
fn aggregate(spec: &PodSpec, of: impl Fn(&Container) -> ResourceList) -> ResourceList {
    let bare = PodSpec { overhead: ResourceList::new(), ..spec.clone() };
    let sum = bare.aggregate(false, &of);
    let named = bare.containers.iter().chain(&bare.init_containers).flat_map(|container| of(container).into_keys());
    named.map(|name| (name.clone(), sum.get(&name))).collect()
}

fn volumes(cx: &mut Cx<'_>, from: &[core::Volume], at: &Step<'_>) -> Vec<Volume> {
    let volumes_at = at.key("volumes");
    let mut found: Vec<Volume> = Vec::new();
    for (index, from) in from.iter().enumerate() {
        let at = volumes_at.index(index);
        if from.name.is_empty() {
            cx.missing("name", &at);
        } else {
            cx.name(&from.name, NameRule::Label, &at.key("name"));
        }
        if found.iter().any(|volume| *volume.name == *from.name) {
            cx.error("WT0116", format!("two volumes are called `{}`", from.name), "this name is taken", &at.key("name"));
        }
        found.push(Volume { name: from.name.as_str().into(), source: volume_source(cx, from, &at) });
    }
    found
}

fn volume_source(cx: &mut Cx<'_>, from: &core::Volume, at: &Step<'_>) -> VolumeSource {
    if let Some(claim) = &from.persistent_volume_claim {
        if claim.claim_name.is_empty() {
            cx.missing("claimName", &at.key("persistentVolumeClaim"));
        }
        return VolumeSource::PersistentVolumeClaim(claim.claim_name.as_str().into());
    }
    if let Some(ephemeral) = &from.ephemeral {
        let at = at.key("ephemeral");
        let claim = ephemeral_claim(cx, ephemeral.volume_claim_template.as_ref(), &at.key("volumeClaimTemplate"));
        VolumeSource::Ephemeral(Box::new(claim))
    } else if from.empty_dir.is_some() {
        VolumeSource::EmptyDir
    } else if from.host_path.is_some() {
        VolumeSource::HostPath
    } else if let Some(csi) = &from.csi {
        VolumeSource::Csi(csi.driver.as_str().into())
    } else if let Some(disk) = &from.gce_persistent_disk {
        VolumeSource::GcePersistentDisk { name: disk.pd_name.as_str().into(), read_only: disk.read_only.unwrap_or(false) }
    } else if let Some(disk) = &from.aws_elastic_block_store {
        VolumeSource::AwsElasticBlockStore { id: disk.volume_id.as_str().into(), read_only: disk.read_only.unwrap_or(false) }
    } else if let Some(target) = &from.iscsi {
        // The scheduler compares qualified names alone (VolumeRestrictions).
        VolumeSource::Iscsi { iqn: target.iqn.as_str().into(), read_only: target.read_only.unwrap_or(false) }
    } else if let Some(image) = &from.rbd {
        VolumeSource::Rbd {
            monitors: image.monitors.iter().map(|monitor| monitor.as_str().into()).collect(),
            pool: image.pool.as_deref().unwrap_or("rbd").into(),
            image: image.image.as_str().into(),
            read_only: image.read_only.unwrap_or(false),
        }
    } else if let Some(image) = &from.image {
        VolumeSource::Image(text(image.reference.as_ref()))
    } else if *from == (core::Volume { name: from.name.clone(), ..core::Volume::default() }) {
        VolumeSource::EmptyDir // a volume without a source is one
    } else {
        VolumeSource::Other
    }
}

/// The default preemption policy, by its official words.
pub(crate) const PREEMPTION: &[(&str, PreemptionPolicy)] =
    &[("PreemptLowerPriority", PreemptionPolicy::PreemptLowerPriority), ("Never", PreemptionPolicy::Never)];
