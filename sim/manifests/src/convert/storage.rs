//! Volumes, claims, classes and drivers.

use std::sync::Arc;

use api::{
    CsiDriver, CsiNode, CsiStorageCapacity, EphemeralClaim, NodeSelectorTerm, ObjectMeta, Operator, PersistentVolume,
    PersistentVolumeClaim, Requirement, ResourceName, StorageClass, Str, Uid,
};
use k8s_openapi::api::{core::v1 as core, storage::v1 as storage};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as raw_meta;

use super::affinity::node_selector;
use super::meta::{annotation, labels, object_meta, optional_selector, plain_labels};
use crate::check::{Cx, NameRule, text, texts};
use crate::source::Step;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const MODES: &[(&str, ())] = &[("ReadWriteOnce", ()), ("ReadOnlyMany", ()), ("ReadWriteMany", ()), ("ReadWriteOncePod", ())];

fn access_modes(cx: &mut Cx<'_>, from: Option<&Vec<String>>, at: &Step<'_>) -> Vec<Str> {
    if from.is_none_or(Vec::is_empty) {
        cx.missing("accessModes", at);
    }
    let modes_at = at.key("accessModes");
    for (index, mode) in from.into_iter().flatten().enumerate() {
        cx.word(mode, MODES, &modes_at.index(index));
    }
    texts(from)
}

fn is_block(cx: &mut Cx<'_>, mode: Option<&String>, at: &Step<'_>) -> bool {
    mode.and_then(|word| cx.word(word, &[("Filesystem", false), ("Block", true)], &at.key("volumeMode"))).unwrap_or(false)
}

/// A PersistentVolume.
pub(crate) fn volume(cx: &mut Cx<'_>, from: &core::PersistentVolume) -> PersistentVolume {
    let meta = object_meta(cx, &from.metadata, false, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return PersistentVolume { meta, ..PersistentVolume::default() };
    };
    let capacity_at = at.key("capacity");
    let capacity = cx.resources(spec.capacity.iter().flatten(), &capacity_at);
    let size = capacity.get(&ResourceName::new("storage"));
    if spec.capacity.as_ref().is_none_or(|capacity| !capacity.contains_key("storage")) {
        cx.missing("storage", &capacity_at);
    }
    let affinity_at = at.key("nodeAffinity");
    let affinity = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    let class = annotation(&from.metadata, CLASS_ANNOTATION);
    PersistentVolume {
        capacity_bytes: size.copied().unwrap_or(0),
        access_modes: access_modes(cx, spec.access_modes.as_ref(), &at),
        storage_class_name: if class.is_empty() { text(spec.storage_class_name.as_ref()) } else { class },
        block: is_block(cx, spec.volume_mode.as_ref(), &at),
        node_affinity: affinity.map(|from| node_selector(cx, from, &affinity_at.key("required"))),
        claim_ref: spec.claim_ref.as_ref().map_or_else(Str::default, |claim| {
            format!("{}/{}", claim.namespace.as_deref().unwrap_or("default"), claim.name.as_deref().unwrap_or("")).as_str().into()
        }),
        deletes_when_released: spec
            .persistent_volume_reclaim_policy
            .as_deref()
            .and_then(|word| {
                cx.word(word, &[("Retain", false), ("Delete", true), ("Recycle", false)], &at.key("persistentVolumeReclaimPolicy"))
            })
            .unwrap_or(false),
        claim_uid: Uid::default(), // identities are the store's own
        csi: spec.csi.as_ref().map(|csi| (csi.driver.as_str().into(), csi.volume_handle.as_str().into())),
        phase: text(from.status.as_ref().and_then(|status| status.phase.as_ref())),
        meta,
    }
}

/// A PersistentVolumeClaim.
pub(crate) fn claim(cx: &mut Cx<'_>, from: &core::PersistentVolumeClaim) -> PersistentVolumeClaim {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let phase = text(from.status.as_ref().and_then(|status| status.phase.as_ref()));
    let spec = claim_spec(cx, &from.metadata, from.spec.as_ref(), &Step::Root);
    PersistentVolumeClaim { meta, phase, ..spec }
}

/// A claim of a StatefulSet's `volumeClaimTemplates`; its pods' claims are named after it.
pub(crate) fn claim_template(cx: &mut Cx<'_>, from: &core::PersistentVolumeClaim, at: &Step<'_>) -> PersistentVolumeClaim {
    let meta_at = at.key("metadata");
    let name = from.metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        cx.missing("name", &meta_at);
    } else {
        cx.name(name, NameRule::Label, &meta_at.key("name"));
    }
    let meta = ObjectMeta {
        name: name.into(),
        labels: Arc::new(labels(cx, from.metadata.labels.as_ref(), &meta_at.key("labels"))),
        annotations: Arc::new(plain_labels(from.metadata.annotations.as_ref())),
        ..ObjectMeta::default()
    };
    PersistentVolumeClaim { meta, ..claim_spec(cx, &from.metadata, from.spec.as_ref(), at) }
}

/// The claim that a generic ephemeral volume asks for; `at` is its `volumeClaimTemplate`.
pub(crate) fn ephemeral_claim(cx: &mut Cx<'_>, from: Option<&core::PersistentVolumeClaimTemplate>, at: &Step<'_>) -> EphemeralClaim {
    let Some(from) = from else {
        cx.missing("volumeClaimTemplate", at);
        return EphemeralClaim::default();
    };
    let meta = from.metadata.clone().unwrap_or_default();
    let spec = claim_spec(cx, &meta, Some(&from.spec), at);
    EphemeralClaim {
        labels: labels(cx, meta.labels.as_ref(), &at.key("metadata").key("labels")),
        annotations: plain_labels(meta.annotations.as_ref()),
        request_bytes: spec.request_bytes,
        access_modes: spec.access_modes,
        storage_class_name: spec.storage_class_name,
        block: spec.block,
        selector: spec.selector,
    }
}

/// Everything but metadata and status; `at` is the claim.
fn claim_spec(
    cx: &mut Cx<'_>,
    meta: &raw_meta::ObjectMeta,
    from: Option<&core::PersistentVolumeClaimSpec>,
    at: &Step<'_>,
) -> PersistentVolumeClaim {
    let Some(spec) = from else {
        cx.missing("spec", at);
        return PersistentVolumeClaim::default();
    };
    let at = at.key("spec");
    let resources_at = at.key("resources");
    let requests_at = resources_at.key("requests");
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let amounts = cx.resources(requests.into_iter().flatten(), &requests_at);
    if requests.is_none_or(|requests| !requests.contains_key("storage")) {
        cx.missing("storage", &requests_at);
    }
    let class = annotation(meta, CLASS_ANNOTATION);
    PersistentVolumeClaim {
        request_bytes: amounts.get(&ResourceName::new("storage")).copied().unwrap_or(0),
        access_modes: access_modes(cx, spec.access_modes.as_ref(), &at),
        storage_class_name: if class.is_empty() { spec.storage_class_name.as_deref().map(Str::from) } else { Some(class) },
        block: is_block(cx, spec.volume_mode.as_ref(), &at),
        selector: optional_selector(cx, spec.selector.as_ref(), &at.key("selector")),
        volume_name: text(spec.volume_name.as_ref()),
        ..PersistentVolumeClaim::default()
    }
}

/// A StorageClass.
pub(crate) fn class(cx: &mut Cx<'_>, from: &storage::StorageClass) -> StorageClass {
    let meta = object_meta(cx, &from.metadata, false, NameRule::Subdomain);
    let root = Step::Root;
    if from.provisioner.is_empty() {
        cx.missing("provisioner", &root);
    }
    let modes = &[("Immediate", false), ("WaitForFirstConsumer", true)];
    let waits = from.volume_binding_mode.as_deref().and_then(|word| cx.word(word, modes, &root.key("volumeBindingMode")));
    let policies = &[("Delete", true), ("Retain", false)];
    let deletes = from.reclaim_policy.as_deref().and_then(|word| cx.word(word, policies, &root.key("reclaimPolicy")));
    StorageClass {
        meta,
        provisioner: from.provisioner.as_str().into(),
        wait_for_first_consumer: waits.unwrap_or(false),
        deletes_when_released: deletes.unwrap_or(true),
        allowed_topologies: from.allowed_topologies.iter().flatten().map(topology_term).collect(),
    }
}

fn topology_term(from: &core::TopologySelectorTerm) -> NodeSelectorTerm {
    let expressions = from.match_label_expressions.iter().flatten();
    NodeSelectorTerm {
        match_expressions: expressions
            .map(|from| Requirement { key: from.key.as_str().into(), operator: Operator::In, values: texts(Some(&from.values)) })
            .collect(),
        match_fields: Vec::new(),
    }
}

/// A CSINode.
pub(crate) fn csi_node(cx: &mut Cx<'_>, from: &storage::CSINode) -> CsiNode {
    let meta = object_meta(cx, &from.metadata, false, NameRule::Subdomain);
    let drivers = from.spec.drivers.iter();
    let limit = |driver: &storage::CSINodeDriver| driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
    CsiNode { meta, drivers: drivers.map(|driver| (driver.name.as_str().into(), limit(driver))).collect() }
}

/// A CSIDriver.
pub(crate) fn csi_driver(cx: &mut Cx<'_>, from: &storage::CSIDriver) -> CsiDriver {
    let meta = object_meta(cx, &from.metadata, false, NameRule::Subdomain);
    CsiDriver {
        meta,
        storage_capacity: from.spec.storage_capacity.unwrap_or(false),
        skips_attach: from.spec.attach_required == Some(false),
    }
}

/// A CSIStorageCapacity.
pub(crate) fn csi_storage_capacity(cx: &mut Cx<'_>, from: &storage::CSIStorageCapacity) -> CsiStorageCapacity {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let mut bytes = |raw: Option<&_>, field: &str| raw.and_then(|raw| cx.quantity(raw, &root.key(field))).map(api::Quantity::value);
    let capacity_bytes = bytes(from.capacity.as_ref(), "capacity");
    let maximum_volume_bytes = bytes(from.maximum_volume_size.as_ref(), "maximumVolumeSize");
    CsiStorageCapacity {
        meta,
        storage_class_name: from.storage_class_name.as_str().into(),
        node_topology: optional_selector(cx, from.node_topology.as_ref(), &root.key("nodeTopology")),
        capacity_bytes,
        maximum_volume_bytes,
    }
}
