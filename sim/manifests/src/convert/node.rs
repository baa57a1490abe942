//! Nodes and namespaces.

use std::sync::Arc;

use api::{ConditionStatus, ContainerImage, Namespace, Node, NodeSpec, NodeStatus, NodeSystemInfo};
use k8s_openapi::api::core::v1 as core;

use super::affinity::taint;
use super::meta::object_meta;
use super::status::condition_status;
use crate::check::{Cx, NameRule, text, texts};
use crate::source::Step;

/// A node. One that reports no conditions at all counts as Ready: a kubelet would say so at once.
pub(crate) fn node(cx: &mut Cx<'_>, from: &core::Node) -> Node {
    let root = Step::Root;
    let spec_at = root.key("spec");
    let taints_at = spec_at.key("taints");
    let meta = object_meta(cx, &from.metadata, false, NameRule::Subdomain);
    let mut spec = NodeSpec::default();
    if let Some(from) = &from.spec {
        spec.unschedulable = from.unschedulable.unwrap_or(false);
        spec.provider_id = text(from.provider_id.as_ref());
        for (index, from) in from.taints.iter().flatten().enumerate() {
            spec.taints.extend(taint(cx, from, &taints_at.index(index)));
        }
    }
    let status = match &from.status {
        Some(from) => node_status(cx, from, &root.key("status")),
        None => NodeStatus { ready: ConditionStatus::True, ready_reason: READY.into(), ..NodeStatus::default() },
    };
    Node { meta, spec, status }
}

const READY: &str = "KubeletReady";

fn node_status(cx: &mut Cx<'_>, from: &core::NodeStatus, at: &Step<'_>) -> NodeStatus {
    let capacity = cx.resources(from.capacity.iter().flatten(), &at.key("capacity"));
    let mut allocatable = cx.resources(from.allocatable.iter().flatten(), &at.key("allocatable"));
    if from.allocatable.is_none() {
        allocatable.clone_from(&capacity);
    }
    let conditions = from.conditions.as_deref().unwrap_or_default();
    let find = |name: &str| conditions.iter().find(|condition| condition.type_ == name);
    let is_true = |name: &str| find(name).is_some_and(|condition| condition.status == "True");
    let ready = find("Ready");
    let mut declared_features = texts(from.declared_features.as_ref());
    declared_features.sort();
    NodeStatus {
        capacity,
        allocatable: Arc::new(allocatable),
        ready: match ready {
            Some(condition) => condition_status(&condition.status),
            None => ConditionStatus::True,
        },
        ready_reason: ready.map_or_else(|| READY.into(), |condition| text(condition.reason.as_ref())),
        ready_since: ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| cx.instant(time)).unwrap_or_default(),
        memory_pressure: is_true("MemoryPressure"),
        disk_pressure: is_true("DiskPressure"),
        pid_pressure: is_true("PIDPressure"),
        images: from.images.iter().flatten().map(image).collect(),
        info: NodeSystemInfo {
            kubelet_version: from.node_info.as_ref().map_or("", |info| &info.kubelet_version).into(),
            declared_features,
        },
    }
}

fn image(from: &core::ContainerImage) -> ContainerImage {
    ContainerImage { names: texts(from.names.as_ref()), size_bytes: from.size_bytes.unwrap_or(0) }
}

/// A namespace.
pub(crate) fn namespace(cx: &mut Cx<'_>, from: &core::Namespace) -> Namespace {
    Namespace { meta: object_meta(cx, &from.metadata, false, NameRule::Label) }
}
