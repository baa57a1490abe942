//! What is simulated of every field of every kind that is read: data only.
//!
//! A section is a type of the Kubernetes API (the OpenAPI definition's name; `/v1` behind it where two versions have a
//! type of that name). A row lists fields that share a state; `field:Type` leads to the type's own section. Fields
//! below one without a type share its state.
//!
//! Invariant, held by the tests of this module: the sections name every field of the types of 1.36, and no other.

use super::{Row, Type, accepted, carried, simplified, simulated};

const STATUS: &str = "the simulation makes its own; of a given one only what it goes on from is read";
const NO_LOOKUP: &str = "names and addresses of hosts are not looked up";
const NO_USERS: &str = "rights and users inside a container are not modelled";
const NO_DISK: &str = "what is on a disk is not modelled";
const HOOK: &str = "it takes no time unless `behaviors` says how long";
const SPARE_DRIVER: &str = "such a volume is there at once, whatever is asked of it";
const VPA_ALPHA: &str = "alpha: the gates of the vertical pod autoscaler are off";
const GIVEN_METRIC: &str = "there is what the scenario's `metrics` give; any other metric is never available";

const fn of(name: &'static str, rows: &'static [Row]) -> Type {
    Type { name, rows }
}

/// All sections.
pub(super) const TYPES: &[Type] = &[
    of("Namespace", &[simulated("apiVersion kind metadata:ObjectMeta"), carried("spec status", "a namespace goes when it is empty")]),
    of(
        "Node",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:NodeSpec"),
            simplified(
                "status",
                "of a given one: capacity, allocatable, images, nodeInfo.kubeletVersion, declaredFeatures, and the conditions Ready, MemoryPressure, DiskPressure and PIDPressure",
            ),
        ],
    ),
    of(
        "NodeSpec",
        &[
            simulated("taints:Taint unschedulable"),
            simplified("providerID", "tells nodes apart for the cluster-autoscaler"),
            carried("configSource externalID podCIDR podCIDRs", "addresses are not modelled"),
        ],
    ),
    of("Taint", &[simulated("effect key timeAdded value")]),
    of(
        "ObjectMeta",
        &[
            simulated(
                "creationTimestamp deletionGracePeriodSeconds deletionTimestamp labels name namespace ownerReferences:OwnerReference",
            ),
            simplified("annotations", "those that upstream's controllers look at count where they are simulated"),
            simplified("generateName", "an object of a file gets a name of it and of its place among the objects"),
            carried("finalizers", "those of manifests are left out; the simulation puts on and takes off its own"),
            carried("generation managedFields resourceVersion selfLink uid", "the simulation's API server gives its own"),
        ],
    ),
    of(
        "OwnerReference",
        &[
            simulated("controller kind name"),
            simplified("uid", "an owner is found by kind and name"),
            simplified("blockOwnerDeletion", "counts as set where the reference is a controller's"),
            carried("apiVersion", "kinds are told apart by name"),
        ],
    ),
    of(
        "Pod",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:PodSpec"),
            simplified(
                "status",
                "of a given one: phase, reason, conditions, states and resources of containers, startTime, nominatedNodeName and whether it has an address",
            ),
        ],
    ),
    of(
        "PodTemplateSpec",
        &[simulated("spec:PodSpec"), simplified("metadata", "labels and annotations; nothing else goes into pods upstream either")],
    ),
    of(
        "PodSpec",
        &[
            simulated(
                "activeDeadlineSeconds affinity:Affinity containers:Container hostNetwork initContainers:Container nodeName nodeSelector overhead preemptionPolicy priority priorityClassName resources:ResourceRequirements restartPolicy schedulerName schedulingGates:PodSchedulingGate terminationGracePeriodSeconds tolerations:Toleration topologySpreadConstraints:TopologySpreadConstraint volumes:Volume",
            ),
            simplified("hostUsers", "with hostNetwork the scheduler asks for nodes that declare the feature; nothing else"),
            simplified("readinessGates", "fulfilled when `readinessGates` of a behavior says so, else never; all at once"),
            accepted("ephemeralContainers", "debugging containers are not started"),
            accepted("resourceClaims", "dynamic resource allocation is not simulated; the pod needs no device"),
            accepted("runtimeClassName", "overhead and node selection of the RuntimeClass are not applied"),
            accepted("schedulingGroup", "pods are scheduled one by one, not as a gang"),
            carried("os", "a kubelet here refuses no pod for its operating system"),
            carried("dnsConfig dnsPolicy hostAliases hostname hostnameOverride setHostnameAsFQDN subdomain", NO_LOOKUP),
            carried(
                "automountServiceAccountToken enableServiceLinks serviceAccount serviceAccountName",
                "what a container is told of the cluster is not modelled",
            ),
            carried("hostIPC hostPID securityContext shareProcessNamespace", NO_USERS),
            carried("imagePullSecrets", "pulls need no credentials"),
        ],
    ),
    of("PodSchedulingGate", &[simulated("name")]),
    of(
        "Container",
        &[
            simulated(
                "image imagePullPolicy lifecycle:Lifecycle livenessProbe:Probe name ports:ContainerPort readinessProbe:Probe resources:ResourceRequirements startupProbe:Probe",
            ),
            simulated("restartPolicy restartPolicyRules:ContainerRestartRule"),
            simplified("volumeMounts", "must name volumes of the pod; mounting takes no time"),
            carried("volumeDevices", "block devices take no time"),
            carried("args command env envFrom stdin stdinOnce tty workingDir", "what a container does is said by `behaviors`"),
            simulated("resizePolicy:ContainerResizePolicy"),
            carried("securityContext", NO_USERS),
            carried("terminationMessagePath terminationMessagePolicy", "containers leave no messages"),
        ],
    ),
    of("ContainerResizePolicy", &[simulated("resourceName restartPolicy")]),
    of("ContainerRestartRule", &[simulated("action exitCodes:ContainerRestartRuleOnExitCodes")]),
    of("ContainerRestartRuleOnExitCodes", &[simulated("operator values")]),
    of(
        "Lifecycle",
        &[simulated("postStart:LifecycleHandler preStop:LifecycleHandler"), carried("stopSignal", "its feature gate is off in 1.36")],
    ),
    of("LifecycleHandler", &[simulated("sleep:SleepAction"), accepted("exec httpGet tcpSocket", HOOK)]),
    of("SleepAction", &[simulated("seconds")]),
    of(
        "Probe",
        &[
            simulated("failureThreshold initialDelaySeconds periodSeconds successThreshold terminationGracePeriodSeconds timeoutSeconds"),
            simplified(
                "grpc httpGet tcpSocket",
                "answered by the pod's process as `behaviors` and its load have it; host, port, path and headers do not matter",
            ),
            simplified("exec", "answered as `behaviors` has it, however busy the pod is; the command does not matter"),
        ],
    ),
    of(
        "ContainerPort",
        &[
            simulated("hostIP hostPort protocol"),
            simplified("containerPort", "a pod's process is its first container with a port; the number does not matter"),
            carried("name", "ports are not looked up by name"),
        ],
    ),
    of(
        "ResourceRequirements",
        &[simulated("limits requests"), accepted("claims", "dynamic resource allocation is not simulated; the container needs no device")],
    ),
    of("Affinity", &[simulated("nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity")]),
    of(
        "NodeAffinity",
        &[simulated(
            "preferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm requiredDuringSchedulingIgnoredDuringExecution:NodeSelector",
        )],
    ),
    of("PreferredSchedulingTerm", &[simulated("preference:NodeSelectorTerm weight")]),
    of("NodeSelector", &[simulated("nodeSelectorTerms:NodeSelectorTerm")]),
    of("NodeSelectorTerm", &[simulated("matchExpressions:NodeSelectorRequirement matchFields:NodeSelectorRequirement")]),
    of("NodeSelectorRequirement", &[simulated("key operator values")]),
    of(
        "PodAffinity",
        &[simulated(
            "preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm",
        )],
    ),
    of(
        "PodAntiAffinity",
        &[simulated(
            "preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm",
        )],
    ),
    of("WeightedPodAffinityTerm", &[simulated("podAffinityTerm:PodAffinityTerm weight")]),
    of(
        "PodAffinityTerm",
        &[simulated("labelSelector:LabelSelector matchLabelKeys mismatchLabelKeys namespaceSelector:LabelSelector namespaces topologyKey")],
    ),
    of("LabelSelector", &[simulated("matchExpressions:LabelSelectorRequirement matchLabels")]),
    of("LabelSelectorRequirement", &[simulated("key operator values")]),
    of("Toleration", &[simulated("effect key operator tolerationSeconds value")]),
    of(
        "TopologySpreadConstraint",
        &[simulated(
            "labelSelector:LabelSelector matchLabelKeys maxSkew minDomains nodeAffinityPolicy nodeTaintsPolicy topologyKey whenUnsatisfiable",
        )],
    ),
    of(
        "Volume",
        &[
            simulated("ephemeral:EphemeralVolumeSource name persistentVolumeClaim:PersistentVolumeClaimVolumeSource"),
            simplified(
                "awsElasticBlockStore gcePersistentDisk iscsi rbd",
                "the scheduler keeps pods apart that may not share it; it is never attached",
            ),
            simplified("csi", "the driver counts against the node's limit of volumes; mounting takes no time"),
            simplified("emptyDir hostPath", "counts where the cluster-autoscaler looks for local storage; what is written is not modelled"),
            simplified("image", "ImageLocality counts it; it is not pulled"),
            carried("configMap downwardAPI gitRepo projected secret", "what is in it is not modelled; a missing one holds no pod up"),
            carried(
                "azureDisk azureFile cephfs cinder fc flexVolume flocker glusterfs nfs photonPersistentDisk portworxVolume quobyte scaleIO storageos vsphereVolume",
                SPARE_DRIVER,
            ),
        ],
    ),
    of("EphemeralVolumeSource", &[simulated("volumeClaimTemplate:PersistentVolumeClaimTemplate")]),
    of(
        "PersistentVolumeClaimTemplate",
        &[simplified("metadata", "labels and annotations go into the claim"), simulated("spec:PersistentVolumeClaimSpec")],
    ),
    of("PersistentVolumeClaimVolumeSource", &[simulated("claimName"), carried("readOnly", NO_DISK)]),
    of("Deployment", &[simulated("apiVersion kind metadata:ObjectMeta spec:DeploymentSpec"), simplified("status", STATUS)]),
    of(
        "DeploymentSpec",
        &[simulated(
            "minReadySeconds paused progressDeadlineSeconds replicas revisionHistoryLimit selector:LabelSelector strategy:DeploymentStrategy template:PodTemplateSpec",
        )],
    ),
    of("DeploymentStrategy", &[simulated("rollingUpdate:RollingUpdateDeployment type")]),
    of("RollingUpdateDeployment", &[simulated("maxSurge maxUnavailable")]),
    of("ReplicaSet", &[simulated("apiVersion kind metadata:ObjectMeta spec:ReplicaSetSpec"), simplified("status", STATUS)]),
    of("ReplicaSetSpec", &[simulated("minReadySeconds replicas selector:LabelSelector template:PodTemplateSpec")]),
    of(
        "StatefulSet",
        &[simulated("apiVersion kind metadata:ObjectMeta spec:StatefulSetSpec"), carried("status", "the controller makes its own")],
    ),
    of(
        "StatefulSetSpec",
        &[
            simulated(
                "minReadySeconds ordinals:StatefulSetOrdinals persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy podManagementPolicy replicas revisionHistoryLimit selector:LabelSelector template:PodTemplateSpec updateStrategy:StatefulSetUpdateStrategy volumeClaimTemplates:PersistentVolumeClaim",
            ),
            carried("serviceName", NO_LOOKUP),
        ],
    ),
    of("StatefulSetOrdinals", &[simulated("start")]),
    of("StatefulSetPersistentVolumeClaimRetentionPolicy", &[simulated("whenDeleted whenScaled")]),
    of("StatefulSetUpdateStrategy", &[simulated("rollingUpdate:RollingUpdateStatefulSetStrategy type")]),
    of(
        "RollingUpdateStatefulSetStrategy",
        &[simulated("partition"), carried("maxUnavailable", "its feature gate is off in 1.36: pods are replaced one at a time")],
    ),
    of(
        "DaemonSet",
        &[simulated("apiVersion kind metadata:ObjectMeta spec:DaemonSetSpec"), carried("status", "the controller makes its own")],
    ),
    of(
        "DaemonSetSpec",
        &[simulated(
            "minReadySeconds revisionHistoryLimit selector:LabelSelector template:PodTemplateSpec updateStrategy:DaemonSetUpdateStrategy",
        )],
    ),
    of("DaemonSetUpdateStrategy", &[simulated("rollingUpdate:RollingUpdateDaemonSet type")]),
    of("RollingUpdateDaemonSet", &[simulated("maxSurge maxUnavailable")]),
    of("Job", &[simulated("apiVersion kind metadata:ObjectMeta spec:JobSpec"), carried("status", "the controller makes its own")]),
    of(
        "JobSpec",
        &[
            simulated(
                "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions maxFailedIndexes parallelism podFailurePolicy:PodFailurePolicy podReplacementPolicy selector:LabelSelector successPolicy:SuccessPolicy suspend template:PodTemplateSpec ttlSecondsAfterFinished",
            ),
            simplified("manualSelector", "pods get the labels of a generated selector all the same"),
            simplified("managedBy", "a Job of another controller makes no pods"),
        ],
    ),
    of("PodFailurePolicy", &[simulated("rules:PodFailurePolicyRule")]),
    of(
        "PodFailurePolicyRule",
        &[simulated("action onExitCodes:PodFailurePolicyOnExitCodesRequirement onPodConditions:PodFailurePolicyOnPodConditionsPattern")],
    ),
    of("PodFailurePolicyOnExitCodesRequirement", &[simulated("containerName operator values")]),
    of("PodFailurePolicyOnPodConditionsPattern", &[simulated("status type")]),
    of("SuccessPolicy", &[simulated("rules:SuccessPolicyRule")]),
    of("SuccessPolicyRule", &[simulated("succeededCount succeededIndexes")]),
    of("CronJob", &[simulated("apiVersion kind metadata:ObjectMeta spec:CronJobSpec"), carried("status", "the controller makes its own")]),
    of(
        "CronJobSpec",
        &[simulated(
            "concurrencyPolicy failedJobsHistoryLimit jobTemplate:JobTemplateSpec schedule startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone",
        )],
    ),
    of(
        "JobTemplateSpec",
        &[simplified("metadata", "labels and annotations; nothing else goes into Jobs upstream either"), simulated("spec:JobSpec")],
    ),
    of(
        "ReplicationController",
        &[simulated("apiVersion kind metadata:ObjectMeta spec:ReplicationControllerSpec"), carried("status", "it makes no pods here")],
    ),
    of(
        "ReplicationControllerSpec",
        &[
            simplified("selector", "default spreading counts its pods"),
            carried("minReadySeconds replicas template", "it makes no pods here"),
        ],
    ),
    of(
        "Service",
        &[simulated("apiVersion kind metadata:ObjectMeta spec:ServiceSpec"), carried("status", "load balancers are not modelled")],
    ),
    of(
        "ServiceSpec",
        &[
            simulated("externalTrafficPolicy internalTrafficPolicy publishNotReadyAddresses selector sessionAffinity trafficDistribution"),
            simplified(
                "type",
                "a source says where it comes in (`via`); what an ExternalName stands for is described in `traffic.external`",
            ),
            simplified("ports", "checked; requests go to the first, and NetworkPolicies see its targetPort"),
            simplified("sessionAffinityConfig", "the time-out of ClientIP"),
            simplified("clusterIP clusterIPs", "`None` makes it headless; addresses are not looked up"),
            carried(
                "allocateLoadBalancerNodePorts externalIPs externalName healthCheckNodePort ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP loadBalancerSourceRanges",
                NO_LOOKUP,
            ),
        ],
    ),
    of(
        "HorizontalPodAutoscaler",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:HorizontalPodAutoscalerSpec"),
            simplified("status", "of a given one: currentReplicas, desiredReplicas and lastScaleTime"),
        ],
    ),
    of(
        "HorizontalPodAutoscalerSpec",
        &[
            simulated("behavior:HorizontalPodAutoscalerBehavior maxReplicas metrics:MetricSpec scaleTargetRef:CrossVersionObjectReference"),
            simulated("minReplicas"),
        ],
    ),
    of("CrossVersionObjectReference", &[simulated("kind name"), carried("apiVersion", "kinds are told apart by name")]),
    of("HorizontalPodAutoscalerBehavior", &[simulated("scaleDown:HPAScalingRules scaleUp:HPAScalingRules")]),
    of("HPAScalingRules", &[simulated("policies:HPAScalingPolicy selectPolicy stabilizationWindowSeconds tolerance")]),
    of("HPAScalingPolicy", &[simulated("periodSeconds type value")]),
    of(
        "MetricSpec",
        &[
            simulated("containerResource:ContainerResourceMetricSource external:ExternalMetricSource object:ObjectMetricSource"),
            simulated("pods:PodsMetricSource resource:ResourceMetricSource type"),
        ],
    ),
    of(
        "ContainerResourceMetricSource",
        &[
            simplified(
                "container",
                "cpu is that of the container that answers requests, the first with ports; memory is each container's own",
            ),
            simulated("name"),
            accepted("name", "only cpu and memory have a usage in the simulation").except(&["cpu", "memory"]),
            simulated("target:MetricTarget"),
        ],
    ),
    of(
        "ResourceMetricSource",
        &[
            simulated("name target:MetricTarget"),
            accepted("name", "only cpu and memory have a usage in the simulation").except(&["cpu", "memory"]),
        ],
    ),
    of("PodsMetricSource", &[simulated("metric:MetricIdentifier target:MetricTarget")]),
    of("ObjectMetricSource", &[simulated("describedObject:CrossVersionObjectReference metric:MetricIdentifier target:MetricTarget")]),
    of("ExternalMetricSource", &[simulated("metric:MetricIdentifier target:MetricTarget")]),
    of("MetricIdentifier", &[simplified("name", GIVEN_METRIC), simulated("selector:LabelSelector")]),
    of("MetricTarget", &[simulated("averageUtilization averageValue type value")]),
    of(
        "HorizontalPodAutoscaler/v1",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:HorizontalPodAutoscalerSpec/v1"),
            carried("status", "the controller makes its own"),
        ],
    ),
    of(
        "HorizontalPodAutoscalerSpec/v1",
        &[simulated("maxReplicas scaleTargetRef:CrossVersionObjectReference targetCPUUtilizationPercentage"), simulated("minReplicas")],
    ),
    of(
        "VerticalPodAutoscaler",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:VerticalPodAutoscalerSpec"),
            carried("status", "the recommender makes its own, without history from before the run"),
        ],
    ),
    of(
        "VerticalPodAutoscalerSpec",
        &[
            simulated("resourcePolicy:PodResourcePolicy targetRef:CrossVersionObjectReference updatePolicy:PodUpdatePolicy"),
            accepted("recommenders", "there is one recommender, which is the default one"),
            carried("startupBoost", VPA_ALPHA),
        ],
    ),
    of(
        "PodUpdatePolicy",
        &[simulated("evictionRequirements:EvictionRequirement minReplicas updateMode"), carried("evictAfterOOMSeconds", VPA_ALPHA)],
    ),
    of("EvictionRequirement", &[simulated("changeRequirement resources")]),
    of("PodResourcePolicy", &[simulated("containerPolicies:ContainerResourcePolicy")]),
    of(
        "ContainerResourcePolicy",
        &[
            simulated("containerName controlledResources controlledValues maxAllowed minAllowed mode"),
            carried("memoryAggregationIntervalCount memoryAggregationIntervalSeconds oomBumpUpRatio oomMinBumpUp startupBoost", VPA_ALPHA),
        ],
    ),
    of(
        "PodDisruptionBudget",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:PodDisruptionBudgetSpec"),
            simplified("status", "of a given one: its counts and disruptedPods"),
        ],
    ),
    of("PodDisruptionBudgetSpec", &[simulated("maxUnavailable minAvailable selector:LabelSelector unhealthyPodEvictionPolicy")]),
    of(
        "PriorityClass",
        &[
            simulated("apiVersion kind globalDefault metadata:ObjectMeta preemptionPolicy value"),
            carried("description", "words for people"),
        ],
    ),
    of(
        "PersistentVolume",
        &[simulated("apiVersion kind metadata:ObjectMeta spec:PersistentVolumeSpec"), simplified("status", "of a given one: the phase")],
    ),
    of(
        "PersistentVolumeSpec",
        &[
            simulated("accessModes capacity nodeAffinity:VolumeNodeAffinity storageClassName volumeMode"),
            simplified("claimRef", "namespace and name; the uid of a given one is not compared"),
            simplified("csi", "driver and volumeHandle, for attaching and the limits of nodes; parameters and secrets do not matter"),
            simulated("persistentVolumeReclaimPolicy"),
            accepted("persistentVolumeReclaimPolicy", "recycling is not simulated; the volume is retained").only(&["Recycle"]),
            accepted("volumeAttributesClassName", "volumes have no attributes"),
            carried("mountOptions", NO_DISK),
            carried(
                "awsElasticBlockStore azureDisk azureFile cephfs cinder fc flexVolume flocker gcePersistentDisk glusterfs hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume",
                "where the data lie; such a volume needs no attaching here",
            ),
        ],
    ),
    of("VolumeNodeAffinity", &[simulated("required:NodeSelector")]),
    of(
        "PersistentVolumeClaim",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:PersistentVolumeClaimSpec"),
            simplified("status", "of a given one: the phase"),
        ],
    ),
    of(
        "PersistentVolumeClaimSpec",
        &[
            simulated("accessModes selector:LabelSelector storageClassName volumeMode volumeName"),
            simplified("resources", "requests.storage; a claim does not grow, and limits do not matter"),
            accepted("dataSource dataSourceRef", "the volume begins empty"),
            accepted("volumeAttributesClassName", "volumes have no attributes"),
        ],
    ),
    of(
        "StorageClass",
        &[
            simulated(
                "apiVersion kind allowedTopologies:TopologySelectorTerm metadata:ObjectMeta provisioner reclaimPolicy volumeBindingMode",
            ),
            carried("allowVolumeExpansion", "claims do not grow"),
            carried("mountOptions parameters", "every provisioner takes the time that `controlPlane.volumes` says"),
        ],
    ),
    of("TopologySelectorTerm", &[simulated("matchLabelExpressions:TopologySelectorLabelRequirement")]),
    of("TopologySelectorLabelRequirement", &[simulated("key values")]),
    of("CSINode", &[simulated("apiVersion kind metadata:ObjectMeta spec:CSINodeSpec")]),
    of("CSINodeSpec", &[simulated("drivers:CSINodeDriver")]),
    of(
        "CSINodeDriver",
        &[
            simulated("allocatable:VolumeNodeResources name"),
            carried("nodeID", "nodes go by their names"),
            carried("topologyKeys", "a volume made for a node is reachable from that node's zone"),
        ],
    ),
    of("VolumeNodeResources", &[simulated("count")]),
    of("CSIDriver", &[simulated("apiVersion kind metadata:ObjectMeta spec:CSIDriverSpec")]),
    of(
        "CSIDriverSpec",
        &[
            simulated("attachRequired storageCapacity"),
            carried("preventPodSchedulingIfMissing", "a node without the driver is not refused"),
            carried(
                "fsGroupPolicy nodeAllocatableUpdatePeriodSeconds podInfoOnMount requiresRepublish seLinuxMount serviceAccountTokenInSecrets tokenRequests volumeLifecycleModes",
                "mounting takes no time",
            ),
        ],
    ),
    of(
        "CSIStorageCapacity",
        &[simulated("apiVersion kind capacity maximumVolumeSize metadata:ObjectMeta nodeTopology:LabelSelector storageClassName")],
    ),
    of(
        "ResourceQuota",
        &[
            simulated("apiVersion kind metadata:ObjectMeta spec:ResourceQuotaSpec"),
            simplified("status", "of a given one: hard and used, until the controller counts"),
        ],
    ),
    of(
        "ResourceQuotaSpec",
        &[
            simplified("hard", "pods and what they ask for, and counts of the kinds that are kept"),
            simulated("scopeSelector:ScopeSelector scopes"),
        ],
    ),
    of("ScopeSelector", &[simulated("matchExpressions:ScopedResourceSelectorRequirement")]),
    of("ScopedResourceSelectorRequirement", &[simulated("operator scopeName values")]),
    of("NetworkPolicy", &[simulated("apiVersion kind metadata:ObjectMeta spec:NetworkPolicySpec")]),
    of(
        "NetworkPolicySpec",
        &[simulated("podSelector:LabelSelector policyTypes ingress:NetworkPolicyIngressRule egress:NetworkPolicyEgressRule")],
    ),
    of("NetworkPolicyIngressRule", &[simulated("from:NetworkPolicyPeer ports:NetworkPolicyPort")]),
    of("NetworkPolicyEgressRule", &[simulated("to:NetworkPolicyPeer ports:NetworkPolicyPort")]),
    of(
        "NetworkPolicyPeer",
        &[
            simulated("podSelector:LabelSelector namespaceSelector:LabelSelector"),
            simplified("ipBlock", "holds for sources (`address`); for pods, which have no addresses here, only where it is /0"),
        ],
    ),
    of(
        "NetworkPolicyPort",
        &[simulated("endPort protocol"), simplified("port", "compared with the targetPort of the Service's first port")],
    ),
    of("LimitRange", &[simulated("apiVersion kind metadata:ObjectMeta spec:LimitRangeSpec")]),
    of("LimitRangeSpec", &[simulated("limits:LimitRangeItem")]),
    of("LimitRangeItem", &[simulated("default defaultRequest max maxLimitRequestRatio min type")]),
];

/// Annotations that a real cluster acts on and the simulator does not: kind, key, what happens instead.
pub(super) const ANNOTATIONS: &[(&str, &str, &str)] =
    &[("Service", "service.kubernetes.io/topology-mode", "traffic is spread over all endpoints, without topology hints")];
