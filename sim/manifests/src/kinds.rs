//! What is known about kinds: data only.

use api::Kind;

use crate::fidelity::State;

/// One kind of object.
#[derive(Debug)]
pub(crate) struct KindRow {
    pub(crate) name: &'static str,
    /// The API versions of 1.36 that serve it, best first; empty for kinds that are carried unread, whose versions do not matter.
    pub(crate) versions: &'static [&'static str],
    /// As what it is read; `None` for kinds that are carried unread.
    pub(crate) kind: Option<Kind>,
    pub(crate) state: State,
    /// What is different; empty where nothing is.
    pub(crate) how: &'static str,
}

const fn read(kind: Kind, versions: &'static [&'static str], state: State, how: &'static str) -> KindRow {
    KindRow { name: kind.as_str(), versions, kind: Some(kind), state, how }
}

const fn unread(name: &'static str, state: State, how: &'static str) -> KindRow {
    KindRow { name, versions: &[], kind: None, state, how }
}

const OWN: &str = "runs make their own";
const NOTHING: &str = "nothing that is simulated looks at it";
const DEVICES: &str = "dynamic resource allocation";
const CHANGES: &str = "changes of objects at admission";
const REFUSALS: &str = "refusals at admission";

/// Kubernetes' own kinds: what is simulated of them, and what a real cluster would do with those that are not.
pub(crate) const KINDS: &[KindRow] = &[
    read(Kind::Namespace, &["v1"], State::Simulated, ""),
    read(Kind::Node, &["v1"], State::Simulated, ""),
    read(Kind::Pod, &["v1"], State::Simulated, ""),
    read(Kind::Deployment, &["apps/v1"], State::Simulated, ""),
    read(Kind::ReplicaSet, &["apps/v1"], State::Simulated, ""),
    read(Kind::StatefulSet, &["apps/v1"], State::Simulated, ""),
    read(Kind::DaemonSet, &["apps/v1"], State::Simulated, ""),
    read(Kind::Job, &["batch/v1"], State::Simulated, ""),
    read(Kind::CronJob, &["batch/v1"], State::Simulated, ""),
    read(Kind::ReplicationController, &["v1"], State::Accepted, "its controller makes no pods here"),
    read(Kind::Service, &["v1"], State::Simulated, ""),
    read(Kind::HorizontalPodAutoscaler, &["autoscaling/v2", "autoscaling/v1"], State::Simulated, ""),
    read(Kind::PodDisruptionBudget, &["policy/v1"], State::Simulated, ""),
    read(Kind::PriorityClass, &["scheduling.k8s.io/v1"], State::Simulated, ""),
    read(Kind::PersistentVolume, &["v1"], State::Simulated, ""),
    read(Kind::PersistentVolumeClaim, &["v1"], State::Simulated, ""),
    read(Kind::StorageClass, &["storage.k8s.io/v1"], State::Simulated, ""),
    read(Kind::CSINode, &["storage.k8s.io/v1"], State::Simulated, ""),
    read(Kind::CSIDriver, &["storage.k8s.io/v1"], State::Simulated, ""),
    read(Kind::CSIStorageCapacity, &["storage.k8s.io/v1"], State::Simulated, ""),
    read(Kind::ResourceQuota, &["v1"], State::Simulated, ""),
    read(Kind::LimitRange, &["v1"], State::Simulated, ""),
    read(Kind::NetworkPolicy, &["networking.k8s.io/v1"], State::Simulated, ""),
    read(Kind::VerticalPodAutoscaler, &["autoscaling.k8s.io/v1"], State::Simulated, ""),
    unread("APIService", State::Carried, NOTHING),
    unread("CertificateSigningRequest", State::Carried, NOTHING),
    unread("ClusterRole", State::Carried, NOTHING),
    unread("ClusterRoleBinding", State::Carried, NOTHING),
    unread("ConfigMap", State::Carried, NOTHING),
    unread("ControllerRevision", State::Carried, OWN),
    unread("CustomResourceDefinition", State::Carried, NOTHING),
    unread("DeviceClass", State::Accepted, DEVICES),
    unread("EndpointSlice", State::Carried, OWN),
    unread("Endpoints", State::Carried, OWN),
    unread("Event", State::Carried, OWN),
    unread("FlowSchema", State::Carried, NOTHING),
    unread("Ingress", State::Accepted, "entry from outside; traffic goes to Services"),
    unread("IngressClass", State::Carried, NOTHING),
    unread("Lease", State::Carried, OWN),
    unread("MutatingAdmissionPolicy", State::Accepted, CHANGES),
    unread("MutatingAdmissionPolicyBinding", State::Accepted, CHANGES),
    unread("MutatingWebhookConfiguration", State::Accepted, CHANGES),
    unread("PodTemplate", State::Carried, NOTHING),
    unread("PriorityLevelConfiguration", State::Carried, NOTHING),
    unread("ResourceClaim", State::Accepted, DEVICES),
    unread("ResourceClaimTemplate", State::Accepted, DEVICES),
    unread("ResourceSlice", State::Accepted, DEVICES),
    unread("Role", State::Carried, NOTHING),
    unread("RoleBinding", State::Carried, NOTHING),
    unread("RuntimeClass", State::Accepted, "pod overhead and node selection by runtime"),
    unread("Secret", State::Carried, NOTHING),
    unread("ServiceAccount", State::Carried, NOTHING),
    unread("ValidatingAdmissionPolicy", State::Accepted, REFUSALS),
    unread("ValidatingAdmissionPolicyBinding", State::Accepted, REFUSALS),
    unread("ValidatingWebhookConfiguration", State::Accepted, REFUSALS),
    unread("VolumeAttachment", State::Carried, OWN),
    unread("VolumeAttributesClass", State::Carried, NOTHING),
    unread("VolumeSnapshotClass", State::Carried, NOTHING),
];

/// The row of a kind.
pub(crate) fn row(name: &str) -> Option<&'static KindRow> {
    KINDS.iter().find(|row| row.name == name)
}

/// API groups in which those kinds live or lived; the same kind elsewhere is something else (Knative's Service).
pub(crate) const GROUPS: &[&str] =
    &["", "apps", "extensions", "batch", "autoscaling", "policy", "scheduling.k8s.io", "storage.k8s.io", "networking.k8s.io"];

/// Groups whose objects are faults, which scenarios translate and report on themselves.
pub(crate) const FAULT_GROUP: &str = "chaos-mesh.org";

/// Files that look like manifests and are not, by the group of their apiVersion, with what to do.
pub(crate) const NOT_OBJECTS: &[(&str, &str)] = &[
    ("kustomize.config.k8s.io", "give the result of `kustomize build` instead"),
    ("kubescheduler.config.k8s.io", "a scheduler's configuration belongs under `policy`"),
    ("kind.x-k8s.io", "this configures another tool"),
    ("kubeadm.k8s.io", "this configures another tool"),
    ("wavetank.dev", "a scenario is run, not listed among manifests"),
];
