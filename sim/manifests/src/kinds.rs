//! What is known about kinds: data only.

use api::Kind;

/// Kinds that are read, with the API versions of 1.36 that serve them.
pub(crate) const READ: &[(&str, &[&str], Kind)] = &[
    ("Namespace", &["v1"], Kind::Namespace),
    ("Node", &["v1"], Kind::Node),
    ("Pod", &["v1"], Kind::Pod),
    ("Deployment", &["apps/v1"], Kind::Deployment),
    ("ReplicaSet", &["apps/v1"], Kind::ReplicaSet),
    ("StatefulSet", &["apps/v1"], Kind::StatefulSet),
    ("DaemonSet", &["apps/v1"], Kind::DaemonSet),
    ("Job", &["batch/v1"], Kind::Job),
    ("CronJob", &["batch/v1"], Kind::CronJob),
    ("ReplicationController", &["v1"], Kind::ReplicationController),
    ("Service", &["v1"], Kind::Service),
    ("HorizontalPodAutoscaler", &["autoscaling/v2", "autoscaling/v1"], Kind::HorizontalPodAutoscaler),
    ("PodDisruptionBudget", &["policy/v1"], Kind::PodDisruptionBudget),
    ("PriorityClass", &["scheduling.k8s.io/v1"], Kind::PriorityClass),
    ("PersistentVolume", &["v1"], Kind::PersistentVolume),
    ("PersistentVolumeClaim", &["v1"], Kind::PersistentVolumeClaim),
    ("StorageClass", &["storage.k8s.io/v1"], Kind::StorageClass),
    ("CSINode", &["storage.k8s.io/v1"], Kind::CSINode),
    ("CSIDriver", &["storage.k8s.io/v1"], Kind::CSIDriver),
    ("CSIStorageCapacity", &["storage.k8s.io/v1"], Kind::CSIStorageCapacity),
    ("ResourceQuota", &["v1"], Kind::ResourceQuota),
    ("LimitRange", &["v1"], Kind::LimitRange),
];

/// API groups in which those kinds live or lived; the same kind elsewhere is something else (Knative's Service).
pub(crate) const GROUPS: &[&str] = &["", "apps", "extensions", "batch", "autoscaling", "policy", "scheduling.k8s.io", "storage.k8s.io"];

/// Kubernetes' own kinds that change nothing in what is simulated.
pub(crate) const WITHOUT_EFFECT: &[&str] = &[
    "APIService",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "ControllerRevision",
    "CustomResourceDefinition",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "FlowSchema",
    "IngressClass",
    "Lease",
    "PodTemplate",
    "PriorityLevelConfiguration",
    "Role",
    "RoleBinding",
    "Secret",
    "ServiceAccount",
    "VolumeAttachment",
    "VolumeAttributesClass",
    "VolumeSnapshotClass",
];

/// Kubernetes' own kinds that a real cluster would act on, and what that is.
pub(crate) const NOT_SIMULATED: &[(&str, &str)] = &[
    ("DeviceClass", "dynamic resource allocation"),
    ("Ingress", "entry from outside; traffic goes to Services"),
    ("MutatingAdmissionPolicy", "changes of objects at admission"),
    ("MutatingAdmissionPolicyBinding", "changes of objects at admission"),
    ("MutatingWebhookConfiguration", "changes of objects at admission"),
    ("NetworkPolicy", "blocked traffic"),
    ("ResourceClaim", "dynamic resource allocation"),
    ("ResourceClaimTemplate", "dynamic resource allocation"),
    ("ResourceSlice", "dynamic resource allocation"),
    ("RuntimeClass", "pod overhead and node selection by runtime"),
    ("ValidatingAdmissionPolicy", "refusals at admission"),
    ("ValidatingAdmissionPolicyBinding", "refusals at admission"),
    ("ValidatingWebhookConfiguration", "refusals at admission"),
    ("VerticalPodAutoscaler", "changes of requests"),
];

/// Groups whose objects are faults, which scenarios translate and report on themselves.
pub(crate) const FAULT_GROUP: &str = "chaos-mesh.org";

/// Kinds that make pods and whose controller is not simulated.
pub(crate) const IDLE_WORKLOADS: &[Kind] = &[Kind::ReplicationController];

/// Files that look like manifests and are not, by the group of their apiVersion, with what to do.
pub(crate) const NOT_OBJECTS: &[(&str, &str)] = &[
    ("kustomize.config.k8s.io", "give the result of `kustomize build` instead"),
    ("kubescheduler.config.k8s.io", "a scheduler's configuration belongs under `policy`"),
    ("kind.x-k8s.io", "this configures another tool"),
    ("kubeadm.k8s.io", "this configures another tool"),
    ("wavetank.dev", "a scenario is run, not listed among manifests"),
];

/// Fields that a real cluster acts on and the simulator does not.
///
/// The first column says where the pattern begins: `pod` at every pod spec, otherwise a kind. `*` stands for every
/// item of a list.
pub(crate) const FIELDS_NOT_SIMULATED: &[(&str, &[&str], &str)] = &[
    ("pod", &["containers", "*", "lifecycle", "postStart"], "a container counts as started without waiting for it"),
    ("pod", &["containers", "*", "lifecycle", "preStop", "exec"], "it takes no time unless `behaviors` says how long"),
    ("pod", &["containers", "*", "lifecycle", "preStop", "httpGet"], "it takes no time unless `behaviors` says how long"),
    ("pod", &["containers", "*", "lifecycle", "preStop", "tcpSocket"], "it takes no time unless `behaviors` says how long"),
    ("pod", &["containers", "*", "restartPolicyRules"], "containers restart by the pod's restartPolicy alone"),
    ("pod", &["initContainers", "*", "restartPolicyRules"], "containers restart by the pod's restartPolicy alone"),
    ("pod", &["ephemeralContainers"], "debugging containers are not started"),
    ("pod", &["resourceClaims"], "dynamic resource allocation is not simulated; the pod needs no device"),
    ("pod", &["runtimeClassName"], "overhead and node selection of the RuntimeClass are not applied"),
    ("pod", &["schedulingGroup"], "pods are scheduled one by one, not as a gang"),
    ("PersistentVolumeClaim", &["spec", "dataSource"], "the volume begins empty"),
    ("PersistentVolumeClaim", &["spec", "dataSourceRef"], "the volume begins empty"),
    ("PersistentVolumeClaim", &["spec", "volumeAttributesClassName"], "volumes have no attributes"),
    (
        "Service",
        &["metadata", "annotations", "service.kubernetes.io/topology-mode"],
        "traffic is spread over all endpoints, without topology hints",
    ),
    ("Service", &["spec", "trafficDistribution"], "traffic is spread over all endpoints, without preference for near ones"),
    (
        "HorizontalPodAutoscaler",
        &["spec", "metrics", "*", "pods"],
        "custom metrics do not exist in the simulation; the metric is never available",
    ),
    (
        "HorizontalPodAutoscaler",
        &["spec", "metrics", "*", "object"],
        "custom metrics do not exist in the simulation; the metric is never available",
    ),
    (
        "HorizontalPodAutoscaler",
        &["spec", "metrics", "*", "external"],
        "external metrics do not exist in the simulation; the metric is never available",
    ),
];
