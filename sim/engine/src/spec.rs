//! What a run is made of: the engine's own input, already validated.
//!
//! `scenarios` lowers a file to this; tests build it directly. Every default of a component lives here,
//! under the component's own flag name and with the default of Kubernetes 1.36.
//!
//! Not here: how any of it is written in a file (`scenarios`), and what is expected of the run (`reports`).

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    CronJob, CsiDriver, CsiNode, CsiStorageCapacity, DaemonSet, Deployment, HorizontalPodAutoscaler, Job, Kind, LabelSelector, Labels,
    LimitRange, Namespace, NetworkPolicy, Node, ObjectKey, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget,
    PriorityClass, Propagation, ReplicaSet, ResourceList, ResourceQuota, Service, SimDuration, SimTime, StatefulSet, StorageClass, Str,
    Taint, VerticalPodAutoscaler,
};

pub use crate::event::ProbeKind;
use crate::random::Distribution;
use crate::select::like;

/// Everything that determines a run, but for the scheduler and the seed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorldSpec {
    /// Length of the run.
    pub duration: SimDuration,
    /// Pools of equal nodes, which the cluster autoscaler may resize.
    pub node_pools: Vec<NodePool>,
    /// Objects that are there from the start, in the order of their files.
    pub objects: Objects,
    /// Settings of the components.
    pub control_plane: ControlPlane,
    /// What manifests do not say about workloads. The first that selects a pod holds, field by field.
    pub behaviors: Vec<Behavior>,
    /// What is known of container images, and how fast nodes pull them.
    pub images: ImageCatalog,
    /// Requests from outside.
    pub traffic: TrafficSpec,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What an operator does.
    pub steps: Vec<Step>,
    /// Moments with a name.
    pub marks: Vec<Mark>,
    /// An instant at which the kubelet of a node that is there from the start renews its lease; drawn for other nodes.
    pub lease_phases: BTreeMap<Str, SimTime>,
    /// What the custom and the external metrics API serve.
    pub metrics: Vec<Metric>,
    /// Records what a watch of the whole API would tell ([`trace::Record::Watch`]).
    pub watch: bool,
}

/// Kubernetes objects of the kinds that the engine keeps.
#[derive(Clone, PartialEq, Debug, Default)]
#[expect(missing_docs, reason = "official names")]
pub struct Objects {
    pub namespaces: Vec<Namespace>,
    pub priority_classes: Vec<PriorityClass>,
    pub nodes: Vec<Node>,
    pub pods: Vec<Pod>,
    pub deployments: Vec<Deployment>,
    pub replica_sets: Vec<ReplicaSet>,
    pub daemon_sets: Vec<DaemonSet>,
    pub jobs: Vec<Job>,
    pub cron_jobs: Vec<CronJob>,
    pub stateful_sets: Vec<StatefulSet>,
    pub storage_classes: Vec<StorageClass>,
    pub csi_drivers: Vec<CsiDriver>,
    pub csi_nodes: Vec<CsiNode>,
    pub csi_storage_capacities: Vec<CsiStorageCapacity>,
    pub persistent_volumes: Vec<PersistentVolume>,
    pub persistent_volume_claims: Vec<PersistentVolumeClaim>,
    pub services: Vec<Service>,
    pub horizontal_pod_autoscalers: Vec<HorizontalPodAutoscaler>,
    pub pod_disruption_budgets: Vec<PodDisruptionBudget>,
    pub resource_quotas: Vec<ResourceQuota>,
    pub limit_ranges: Vec<LimitRange>,
    pub network_policies: Vec<NetworkPolicy>,
    pub vertical_pod_autoscalers: Vec<VerticalPodAutoscaler>,
}

/// A pool of equal nodes.
#[derive(Clone, PartialEq, Debug)]
pub struct NodePool {
    /// Name; nodes are called `<name>-<n>`.
    pub name: Str,
    /// Nodes at the start.
    pub initial: u32,
    /// Fewest nodes the cluster autoscaler leaves; `None` means it leaves the pool alone.
    pub autoscaling: Option<(u32, u32)>,
    /// What each node looks like; name, zone and hostname labels are filled in.
    pub template: Node,
    /// Zones the nodes take in turn; empty means none.
    pub zones: Vec<Str>,
    /// Price of one node.
    pub price_per_hour: f64,
    /// From the order to a registered, Ready node.
    pub provisioning: Distribution,
    /// The cluster autoscaler gives it all its nodes or none (upstream: ZeroOrMaxNodeScaling).
    pub zero_or_max: bool,
}

/// What is known of container images, and how fast nodes pull them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageCatalog {
    /// Sizes in bytes by name of the image, with `*` for any text; the first that fits holds.
    pub sizes: Vec<(Str, i64)>,
    /// Bytes per second that each node of a pool pulls, by name of the pool; others have the kubelets' own.
    pub pull_bandwidth: Vec<(Str, i64)>,
}

impl ImageCatalog {
    /// Bytes of an image, if somebody gives them.
    pub(crate) fn size(&self, image: &str) -> Option<i64> {
        self.sizes.iter().find(|(pattern, _)| like(pattern, image)).map(|(_, size)| *size)
    }
    /// Bytes per second of a pool's nodes.
    pub(crate) fn bandwidth(&self, pool: &Str) -> Option<i64> {
        self.pull_bandwidth.iter().find(|(name, _)| name == pool).map(|(_, bandwidth)| *bandwidth)
    }
}

/// Settings of the components.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ControlPlane {
    /// kube-apiserver.
    pub api_server: ApiServer,
    /// Leader election of kube-scheduler and kube-controller-manager.
    pub leader_election: LeaderElection,
    /// kube-scheduler's queue and client.
    pub scheduler: SchedulerSettings,
    /// kube-controller-manager as a whole.
    pub controller_manager: ControllerManager,
    /// Node lifecycle controller.
    pub node_lifecycle: NodeLifecycle,
    /// HorizontalPodAutoscaler controller.
    pub horizontal_pod_autoscaler: HpaSettings,
    /// Cluster autoscaler.
    pub cluster_autoscaler: ClusterAutoscaler,
    /// metrics-server.
    pub metrics_server: MetricsServer,
    /// Vertical pod autoscaler.
    pub vertical_pod_autoscaler: VpaSettings,
    /// Prometheus and prometheus-adapter.
    pub prometheus_adapter: PrometheusAdapter,
    /// Feature gates that are off unless they are asked for.
    pub feature_gates: FeatureGates,
    /// Kubelets.
    pub kubelet: KubeletSettings,
    /// kube-proxy and the way of endpoints to nodes.
    pub kube_proxy: KubeProxy,
    /// Load balancers in front of the nodes.
    pub load_balancer: LoadBalancer,
    /// Whoever enforces NetworkPolicies.
    pub network_policy: NetworkPolicySettings,
    /// Provisioners and attachers of volumes.
    pub volumes: VolumeSettings,
}

macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        impl Default for $name {
            fn default() -> Self { Self { $($field: $default,)* } }
        }
    };
}

const fn s(seconds: u64) -> SimDuration {
    SimDuration::from_secs(seconds)
}
const fn ms(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}

settings! {
    /// kube-apiserver.
    ApiServer {
        /// From a request to its effect, for each request anew.
        request_latency: Distribution = Distribution::Constant(ms(5)),
        /// On top of that, for each request anew.
        request_jitter: Distribution = Distribution::Constant(ms(0)),
        /// From the effect to the watchers, who hear of everything in order.
        watch_latency: Distribution = Distribution::Constant(ms(5)),
        /// `--default-not-ready-toleration-seconds`.
        default_not_ready_toleration_seconds: i64 = 300,
        /// `--default-unreachable-toleration-seconds`.
        default_unreachable_toleration_seconds: i64 = 300,
    }
}
settings! {
    /// Leader election, by which one of several instances works.
    LeaderElection {
        /// `--leader-elect`.
        leader_elect: bool = true,
        /// `--leader-elect-lease-duration`.
        lease_duration: SimDuration = s(15),
        /// `--leader-elect-renew-deadline`.
        renew_deadline: SimDuration = s(10),
        /// `--leader-elect-retry-period`.
        retry_period: SimDuration = s(2),
        /// Instances of kube-scheduler.
        scheduler_replicas: u32 = 1,
        /// Instances of kube-controller-manager.
        controller_manager_replicas: u32 = 1,
    }
}
settings! {
    /// kube-scheduler's queue and client.
    SchedulerSettings {
        /// `podInitialBackoffSeconds`.
        pod_initial_backoff: SimDuration = s(1),
        /// `podMaxBackoffSeconds`.
        pod_max_backoff: SimDuration = s(10),
        /// Unschedulable pods are tried again after this in any case.
        pod_max_in_unschedulable: SimDuration = s(300),
        /// `clientConnection.qps`.
        qps: f64 = 50.0,
        /// `clientConnection.burst`.
        burst: u32 = 100,
        /// Time one scheduling cycle takes.
        cycle_time: SimDuration = ms(1),
        /// Which of several best nodes is taken: upstream, name or random.
        tie_break: Str = "upstream".into(),
    }
}
settings! {
    /// kube-controller-manager: every controller has a client of its own.
    ControllerManager {
        /// `--kube-api-qps`.
        kube_api_qps: f64 = 20.0,
        /// `--kube-api-burst`.
        kube_api_burst: u32 = 30,
        /// What its clock shows at time zero: time since the Unix epoch. Schedules are by this clock.
        clock_start: SimDuration = s(0),
    }
}
settings! {
    /// Node lifecycle controller.
    NodeLifecycle {
        /// `--node-monitor-period`.
        node_monitor_period: SimDuration = s(5),
        /// `--node-monitor-grace-period`.
        node_monitor_grace_period: SimDuration = s(50),
        /// `--node-startup-grace-period`.
        node_startup_grace_period: SimDuration = s(60),
        /// `--node-eviction-rate`, nodes per second.
        node_eviction_rate: f64 = 0.1,
        /// `--secondary-node-eviction-rate`, nodes per second.
        secondary_node_eviction_rate: f64 = 0.01,
        /// `--unhealthy-zone-threshold`.
        unhealthy_zone_threshold: f64 = 0.55,
        /// `--large-cluster-size-threshold`.
        large_cluster_size_threshold: u32 = 50,
    }
}
settings! {
    /// HorizontalPodAutoscaler controller.
    HpaSettings {
        /// `--horizontal-pod-autoscaler-sync-period`.
        sync_period: SimDuration = s(15),
        /// `--horizontal-pod-autoscaler-downscale-stabilization`.
        downscale_stabilization: SimDuration = s(300),
        /// `--horizontal-pod-autoscaler-tolerance`.
        tolerance: f64 = 0.1,
        /// `--horizontal-pod-autoscaler-cpu-initialization-period`.
        cpu_initialization_period: SimDuration = s(300),
        /// `--horizontal-pod-autoscaler-initial-readiness-delay`.
        initial_readiness_delay: SimDuration = s(30),
    }
}
settings! {
    /// Cluster autoscaler (release 1.36.1).
    ClusterAutoscaler {
        /// `--scan-interval`.
        scan_interval: SimDuration = s(10),
        /// `--scale-down-enabled`.
        scale_down_enabled: bool = true,
        /// `--scale-down-unneeded-time`.
        scale_down_unneeded_time: SimDuration = s(600),
        /// `--scale-down-utilization-threshold`.
        scale_down_utilization_threshold: f64 = 0.5,
        /// `--scale-down-delay-after-add`.
        scale_down_delay_after_add: SimDuration = s(600),
        /// `--scale-down-unready-time`.
        scale_down_unready_time: SimDuration = s(1200),
        /// `--scale-down-delay-after-delete`.
        scale_down_delay_after_delete: SimDuration = s(0),
        /// `--max-node-provision-time`.
        max_node_provision_time: SimDuration = s(900),
        /// `--max-total-unready-percentage`.
        max_total_unready_percentage: f64 = 45.0,
        /// `--ok-total-unready-count`.
        ok_total_unready_count: u32 = 3,
        /// `--expander`: least-waste, most-pods, least-nodes, random, price, priority, or several with commas between.
        expander: Str = "least-waste".into(),
        /// ConfigMap cluster-autoscaler-priority-expander: priorities and patterns of pool names.
        expander_priorities: Vec<(i64, Str)> = Vec::new(),
        /// `--balance-similar-node-groups`.
        balance_similar_node_groups: bool = false,
        /// `--new-pod-scale-up-delay`.
        new_pod_scale_up_delay: SimDuration = s(0),
        /// `--expendable-pods-priority-cutoff`.
        expendable_pods_priority_cutoff: i32 = -10,
        /// `--skip-nodes-with-local-storage`.
        skip_nodes_with_local_storage: bool = true,
        /// `--skip-nodes-with-system-pods`.
        skip_nodes_with_system_pods: bool = true,
        /// `--max-bulk-soft-taint-count`; zero means no soft taints.
        max_bulk_soft_taint_count: u32 = 10,
        /// `--cores-total`: least and most cores of the cluster.
        cores_total: (u32, u32) = (0, 320_000),
        /// `--memory-total`: least and most memory of the cluster, in GiB.
        memory_total_gib: (u32, u32) = (0, 6_400_000),
        /// `--max-scale-down-parallelism`.
        max_scale_down_parallelism: u32 = 10,
        /// `--max-drain-parallelism`.
        max_drain_parallelism: u32 = 1,
        /// `--max-nodes-total`; zero means no limit.
        max_nodes_total: u32 = 0,
    }
}
settings! {
    /// metrics-server.
    MetricsServer {
        /// `--metric-resolution`.
        resolution: SimDuration = s(15),
    }
}
settings! {
    /// Vertical pod autoscaler: recommender and updater.
    VpaSettings {
        /// `--recommender-interval`.
        recommender_interval: SimDuration = s(60),
        /// `--recommendation-margin-fraction`.
        recommendation_margin_fraction: f64 = 0.15,
        /// `--pod-recommendation-min-cpu-millicores`.
        pod_recommendation_min_cpu_millicores: u32 = 25,
        /// `--pod-recommendation-min-memory-mb`, in bytes.
        pod_recommendation_min_memory_bytes: i64 = 250 << 20,
        /// `--target-cpu-percentile`.
        target_cpu_percentile: f64 = 0.9,
        /// `--recommendation-lower-bound-cpu-percentile`.
        lower_bound_cpu_percentile: f64 = 0.5,
        /// `--recommendation-upper-bound-cpu-percentile`.
        upper_bound_cpu_percentile: f64 = 0.95,
        /// `--target-memory-percentile`.
        target_memory_percentile: f64 = 0.9,
        /// `--recommendation-lower-bound-memory-percentile`.
        lower_bound_memory_percentile: f64 = 0.5,
        /// `--recommendation-upper-bound-memory-percentile`.
        upper_bound_memory_percentile: f64 = 0.95,
        /// `--confidence-interval-cpu` and `--confidence-interval-memory`.
        confidence_interval: SimDuration = s(86_400),
        /// `--cpu-histogram-decay-half-life`.
        cpu_histogram_decay_half_life: SimDuration = s(86_400),
        /// `--memory-histogram-decay-half-life`.
        memory_histogram_decay_half_life: SimDuration = s(86_400),
        /// `--memory-aggregation-interval`.
        memory_aggregation_interval: SimDuration = s(86_400),
        /// `--oom-bump-up-ratio`.
        oom_bump_up_ratio: f64 = 1.2,
        /// `--oom-min-bump-up-bytes`.
        oom_min_bump_up_bytes: i64 = 100 << 20,
        /// `--updater-interval`.
        updater_interval: SimDuration = s(60),
        /// `--min-replicas` of the updater.
        min_replicas: u32 = 2,
        /// `--eviction-tolerance`.
        eviction_tolerance: f64 = 0.5,
        /// `--pod-update-threshold`.
        pod_update_threshold: f64 = 0.1,
        /// `--in-recommendation-bounds-eviction-lifetime-threshold`.
        lifetime_threshold: SimDuration = s(43_200),
        /// `--evict-after-oom-threshold`.
        evict_after_oom_threshold: SimDuration = s(600),
    }
}
settings! {
    /// Prometheus and prometheus-adapter: who serves metrics that are no resources.
    PrometheusAdapter {
        /// Prometheus' `global.scrape_interval`.
        scrape_interval: SimDuration = s(60),
        /// Over which a counter's rate is taken (docs/sample-config.yaml of prometheus-adapter: `rate(...[2m])`).
        rate_interval: SimDuration = s(120),
    }
}
settings! {
    /// Feature gates that are off unless they are asked for.
    FeatureGates {
        /// `HPAScaleToZero`.
        hpa_scale_to_zero: bool = false,
    }
}
settings! {
    /// Kubelets.
    KubeletSettings {
        /// Renewal of the node's lease.
        lease_renew_interval: SimDuration = s(10),
        /// `nodeStatusUpdateFrequency`.
        node_status_update_frequency: SimDuration = s(10),
        /// `serializeImagePulls`.
        serialize_image_pulls: bool = true,
        /// `maxParallelImagePulls`, of kubelets that do not serialize them; zero means no limit.
        max_parallel_image_pulls: u32 = 0,
        /// `registryPullQPS`: a pull beyond it fails; zero means no limit.
        registry_pull_qps: f64 = 5.0,
        /// `registryBurst`.
        registry_burst: u32 = 10,
        /// Bytes per second of a node's pulls together, of images whose size is known and time is not.
        image_pull_bandwidth_bytes: i64 = 32 << 20,
        /// Pull time of an image of which neither time nor size is known.
        default_image_pull: Distribution = Distribution::Constant(s(3)),
        /// Pull time of an image that the node has: the registry is asked for it all the same.
        image_check: Distribution = Distribution::Constant(ms(300)),
        /// From a pulled image to a running container.
        container_start: Distribution = Distribution::Constant(ms(300)),
        /// `syncFrequency`: a pod is looked at again after this, and up to half as much more.
        sync_frequency: SimDuration = s(60),
        /// Size of an image of which nothing is known.
        default_image_size_bytes: i64 = 52_428_800,
        /// `evictionHard[memory.available]`, in bytes.
        eviction_hard_memory_available_bytes: i64 = 100 << 20,
        /// `evictionMinimumReclaim[memory.available]`, in bytes.
        eviction_minimum_reclaim_memory_bytes: i64 = 0,
        /// `evictionHard`: replaces all defaults (memory as above, 10 % of nodefs, 15 % of imagefs).
        eviction_hard: Option<Vec<(EvictionSignal, EvictionValue)>> = None,
        /// `evictionSoft`.
        eviction_soft: Vec<(EvictionSignal, EvictionValue)> = Vec::new(),
        /// `evictionSoftGracePeriod`.
        eviction_soft_grace_period: Vec<(EvictionSignal, SimDuration)> = Vec::new(),
        /// `evictionMinimumReclaim`.
        eviction_minimum_reclaim: Vec<(EvictionSignal, EvictionValue)> = Vec::new(),
        /// `evictionMaxPodGracePeriod`, of pods evicted for a soft threshold.
        eviction_max_pod_grace_period: SimDuration = s(0),
        /// Processes that a node can have.
        max_pids: i64 = 4_194_304,
        /// `imageGCHighThresholdPercent`.
        image_gc_high_threshold_percent: u32 = 85,
        /// `imageGCLowThresholdPercent`.
        image_gc_low_threshold_percent: u32 = 80,
        /// `imageMinimumGCAge`.
        image_minimum_gc_age: SimDuration = s(120),
        /// `evictionPressureTransitionPeriod`.
        eviction_pressure_transition_period: SimDuration = s(300),
        /// `shutdownGracePeriod`; zero means that a shutdown waits for no pod.
        shutdown_grace_period: SimDuration = s(0),
        /// `shutdownGracePeriodCriticalPods`, the last part of it.
        shutdown_grace_period_critical_pods: SimDuration = s(0),
        /// `shutdownGracePeriodByPodPriority`, instead of both: from this priority on, so long.
        shutdown_grace_period_by_pod_priority: Vec<(i32, SimDuration)> = Vec::new(),
        /// `--housekeeping-interval`: cAdvisor looks at a container again after this, and up to as much more.
        housekeeping_interval: SimDuration = s(10),
        /// First back-off of a crashing container.
        crash_loop_back_off_initial: SimDuration = s(10),
        /// `crashLoopBackOff.maxContainerRestartPeriod`.
        crash_loop_back_off_max: SimDuration = s(300),
        /// Longest back-off of a client that cannot reach the API server, which it may have to sit out once it could.
        reconnect_back_off_max: SimDuration = s(30),
        /// Time from SIGTERM to exit of a workload that no behavior speaks of.
        default_stop: Distribution = Distribution::Constant(ms(500)),
    }
}
/// What a kubelet watches to evict pods before its node has none left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "official names, in another case")]
pub enum EvictionSignal {
    MemoryAvailable,
    NodefsAvailable,
    ImagefsAvailable,
    PidAvailable,
}

impl EvictionSignal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MemoryAvailable, Self::NodefsAvailable, Self::ImagefsAvailable, Self::PidAvailable];

    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "memory.available",
            Self::NodefsAvailable => "nodefs.available",
            Self::ImagefsAvailable => "imagefs.available",
            Self::PidAvailable => "pid.available",
        }
    }
}

/// How much of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum EvictionValue {
    /// Bytes, or processes.
    Amount(i64),
    /// 0 to 100, of what there is.
    Percent(f64),
}

settings! {
    /// Provisioners and attachers of volumes, and how long the scheduler waits for them.
    VolumeSettings {
        /// From a claim that asks for a volume to the volume.
        provision: Distribution = Distribution::Constant(s(3)),
        /// From a released volume that is to be deleted to its end.
        delete: Distribution = Distribution::Constant(s(3)),
        /// From a pod's binding to its volume on the node.
        attach: Distribution = Distribution::Constant(s(3)),
        /// From the end of a volume's last pod on a node to the end of its attachment.
        detach: Distribution = Distribution::Constant(s(3)),
        /// `bindTimeoutSeconds` of the VolumeBinding plugin.
        bind_timeout: SimDuration = s(600),
    }
}
settings! {
    /// kube-proxy, one on every node.
    KubeProxy {
        /// `mode`: iptables, nftables (both at random) or ipvs (as `ipvs_scheduler` says).
        mode: Str = "iptables".into(),
        /// `ipvs.scheduler`: rr (in turn), lc (fewest connections of this node) or sh (by the client's address).
        ipvs_scheduler: Str = "rr".into(),
        /// `minSyncPeriod`: from one writing of all rules of a node to the next.
        min_sync_period: SimDuration = s(1),
        /// From a changed EndpointSlice to the first node that hears of it.
        propagation_base: SimDuration = ms(500),
        /// From the first node to the last.
        propagation_jitter: SimDuration = s(1),
    }
}
settings! {
    /// Load balancers in front of the nodes. Defaults: health checks of the GCE provider, every 8 s, one good or three
    /// bad in a row (cloud-provider-gcp, providers/gce/gce_healthchecks.go).
    LoadBalancer {
        /// A node gets connections when it has been healthy for so long.
        target_registration: SimDuration = s(8),
        /// A node gets no new connections when it has been unhealthy for so long.
        target_deregistration: SimDuration = s(24),
    }
}
settings! {
    /// Whoever enforces NetworkPolicies.
    NetworkPolicySettings {
        /// What becomes of a connection that is not allowed: drop (nobody answers) or reject (refused at once).
        denied: Str = "drop".into(),
    }
}

/// Which pods a behavior or fault speaks of. All that is given must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PodSelector {
    /// A workload by kind and name.
    pub workload: Option<(Kind, ObjectKey)>,
    /// Namespaces; empty means all.
    pub namespaces: Vec<Str>,
    /// Labels; `None` means all.
    pub labels: Option<LabelSelector>,
    /// An image of one of its containers, with `*` for any text.
    pub image: Option<Str>,
    /// Names of pods; empty means all.
    pub names: Vec<Str>,
    /// Labels of the node they are on; `None` means all.
    pub node_labels: Option<LabelSelector>,
}

/// What a manifest does not say about a workload. `None` leaves a default.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Behavior {
    /// Whose.
    pub selector: PodSelector,
    /// Which container its process fields (`ready_after` to `pre_stop`) are about; `None` means every container but
    /// init containers and sidecars, which only learn how they stop.
    pub container: Option<Str>,
    /// Pull time of each image that the node does not have.
    pub image_pull: Option<Distribution>,
    /// Pulls fail after their pull time, with this text of the runtime.
    pub image_pull_error: Option<Str>,
    /// From the container's start until it could answer a readiness probe.
    pub ready_after: Option<Distribution>,
    /// It never gets ready.
    pub never_ready: bool,
    /// From SIGTERM to exit.
    pub stop: Option<Distribution>,
    /// It exits by itself after this, again after each restart.
    pub crash: Option<Crash>,
    /// Memory of its process over time. `None` means that it matters to nobody.
    pub memory: Option<MemoryUse>,
    /// Bytes that it wrote to its node's disk, over time.
    pub storage: Option<MemoryUse>,
    /// Processes that it has, over time.
    pub pids: Option<MemoryUse>,
    /// From the pod's containers being ready until somebody fulfils its readiness gates; `None` means nobody does.
    pub readiness_gates: Option<Distribution>,
    /// Time of a postStart hook that is not a sleep.
    pub post_start: Option<Distribution>,
    /// Its postStart hook fails, and the container is killed for it.
    pub post_start_fails: bool,
    /// Time of a preStop hook that is not a sleep.
    pub pre_stop: Option<Distribution>,
    /// How it answers requests.
    pub service: Option<ServiceBehavior>,
}

/// Memory that a container's process uses.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MemoryUse {
    /// Bytes from so long after its start on, ascending; in a straight line from point to point.
    pub points: Vec<(SimDuration, i64)>,
}

/// A container that exits by itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Crash {
    /// After its start.
    pub after: Distribution,
    /// With this code.
    pub exit_code: i32,
    /// Only its first so many starts; later ones run for ever. `None` means every start.
    pub times: Option<u32>,
}

/// How a workload answers requests (traffic/TRAFFIC-MODEL: section 3 and 7).
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceBehavior {
    /// cpu time of one request.
    pub cpu_per_request: Distribution,
    /// Time of one request that uses no cpu.
    pub latency_per_request: Distribution,
    /// Requests a pod works on at once; `None` means no limit.
    pub concurrency: Option<u32>,
    /// Requests that wait for a slot; more are shed.
    pub queue_limit: u32,
    /// Share of requests answered with an error.
    pub error_ratio: f64,
    /// What becomes of work whose caller gave up.
    pub cancel_on_timeout: CancelOnTimeout,
    /// Calls to other services, made one group after the other once the cpu work is done, the slot held.
    pub calls: Vec<Vec<Call>>,
    /// How its memory grows; `None` means that it never matters.
    pub memory: Option<ServiceMemory>,
    /// Universal scalability law: cpu of a request is `1 + sigma(n-1) + kappa n(n-1)` times its own with `n` under work.
    pub overload_penalty: (f64, f64),
    /// Length of the periods in which a cpu limit is accounted (CFS quota); zero: a limit is a slower core.
    pub cfs_period: SimDuration,
    /// It takes its requests from a queue instead of being connected to.
    pub worker: Option<WorkerQueue>,
}

/// `--cpu-cfs-quota-period` of the kubelet.
pub const CFS_PERIOD: SimDuration = ms(100);

impl Default for ServiceBehavior {
    fn default() -> Self {
        Self {
            cpu_per_request: Distribution::Constant(SimDuration::ZERO),
            latency_per_request: Distribution::Constant(SimDuration::ZERO),
            concurrency: None,
            queue_limit: u32::MAX,
            error_ratio: 0.0,
            cancel_on_timeout: CancelOnTimeout::None,
            calls: Vec::new(),
            memory: None,
            overload_penalty: (0.0, 0.0),
            cfs_period: CFS_PERIOD,
            worker: None,
        }
    }
}

/// How a process's memory grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceMemory {
    /// After its start.
    pub base_bytes: i64,
    /// Per request that it holds, waiting or not.
    pub per_in_flight_bytes: i64,
    /// Lost per second.
    pub leak_per_second_bytes: i64,
    /// Lost per request served.
    pub leak_per_request_bytes: i64,
}

/// A queue between those who ask and the pods that do the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkerQueue {
    /// Messages one pod works on at once.
    pub consumers_per_pod: u32,
    /// A message not done by then is delivered again.
    pub visibility_timeout: SimDuration,
    /// Deliveries before a message is given up.
    pub max_deliveries: u32,
}

/// What becomes of work whose caller gave up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum CancelOnTimeout {
    /// It is done for nothing.
    #[default]
    None,
    /// It is dropped when its turn comes.
    Queued,
    /// The same, and what is being worked on is dropped at once.
    InFlight,
}

/// A call from one service to another.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The Service called.
    pub to: ObjectKey,
    /// How often a request makes it.
    pub probability: f64,
    /// How it is made.
    pub client: Client,
    /// A cache that answers some of it.
    pub cache: Option<Cache>,
}

/// A cache. With `miss_to` it is the service called, and a miss (or a cache that does not answer) asks
/// there as well; without, it is in the caller's own memory, and only a miss makes the call.
#[derive(Clone, PartialEq, Debug)]
pub struct Cache {
    /// Hits of a warm cache.
    pub hit_ratio: f64,
    /// After `n` requests since its start the ratio is `hit_ratio * (1 - exp(-n / warmup_requests))`; zero: always warm.
    pub warmup_requests: f64,
    /// Who knows what the cache does not, and how it is asked.
    pub miss_to: Option<(ObjectKey, Client)>,
}

/// How a caller waits and tries again.
#[derive(Clone, PartialEq, Debug)]
pub struct Client {
    /// From intended start to answer, for one attempt.
    pub timeout: SimDuration,
    /// Time until a silent address is given up.
    pub connect_timeout: SimDuration,
    /// Attempts in all; 1 means no retry.
    pub max_attempts: u32,
    /// First back-off; doubles per attempt.
    pub backoff_base: SimDuration,
    /// Longest back-off.
    pub backoff_max: SimDuration,
    /// Back-off is uniform between zero and its length.
    pub full_jitter: bool,
    /// Retries per request, and per second, that are allowed; `None` means no limit.
    pub retry_budget: Option<(f64, f64)>,
    /// Tokens that retries cost; `None` means no limit.
    pub token_bucket: Option<TokenBucket>,
    /// Limits beyond which attempts fail at once, and endpoints are left alone.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Requests are rejected at the caller when too few are accepted; `None` means never.
    pub throttle: Option<ClientThrottle>,
    /// Connections of one caller, one request each; whoever finds none waits. `None` means no limit.
    pub connection_pool: Option<u32>,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// Connections that are used again; `None` means one for each attempt.
    pub connections: Option<Connections>,
    /// How names of headless Services are looked up.
    pub dns: Dns,
}

/// How an endpoint is chosen: per connection, or by a mesh per request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Balancing {
    /// As the cluster's kube-proxy does it.
    #[default]
    KubeProxy,
    /// At random, as kube-proxy with iptables or nftables.
    Random,
    /// In turn, per node of callers, as kube-proxy with ipvs.
    RoundRobin,
    /// The less busy of two chosen at random, for each request (a mesh, which does without kube-proxy).
    LeastRequest,
}

/// Connections of one caller that are used again: all its requests on them go to one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connections {
    /// Any number of requests at once on one connection (HTTP/2, gRPC); else one after the other (HTTP/1.1 keep-alive).
    pub multiplexed: bool,
    /// Requests after which a connection is closed; `None` means no limit.
    pub most_requests: Option<u32>,
    /// Age at which a connection is closed; `None` means no limit.
    pub lifetime: Option<SimDuration>,
    /// A connection without a request for so long is closed.
    pub idle_timeout: SimDuration,
    /// A connection on which nothing was heard for so long, while something was asked, is given up.
    pub gives_up_after: SimDuration,
}

impl Default for Connections {
    /// Go's net/http for idle connections (IdleConnTimeout); Linux' net.ipv4.tcp_retries2 for silent ones (about 924 s).
    fn default() -> Self {
        Self { multiplexed: false, most_requests: None, lifetime: None, idle_timeout: s(90), gives_up_after: s(924) }
    }
}

/// How long a caller knows the addresses behind a headless Service, and what it does with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dns {
    /// Addresses are looked up again after this (CoreDNS' and node caches; kubeadm's Corefile says 30).
    pub ttl: SimDuration,
    /// A caller stays with one address as long as it knows it.
    pub pinned: bool,
}

impl Default for Dns {
    fn default() -> Self {
        Self { ttl: s(30), pinned: false }
    }
}

/// Retry tokens of one caller, as AWS SDKs keep them: a success gives `refill`, a retry that succeeds its cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named by what they cost or give")]
pub struct TokenBucket {
    pub capacity: u32,
    pub cost: u32,
    pub timeout_cost: u32,
    pub refill: u32,
}

impl Default for TokenBucket {
    fn default() -> Self {
        Self { capacity: 500, cost: 5, timeout_cost: 10, refill: 1 }
    }
}

/// Envoy's circuit breaker and outlier detection, kept by each caller.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CircuitBreaker {
    /// Attempts under way at once; more fail at once.
    pub max_requests: u32,
    /// Retries under way or waiting at once; more are not made.
    pub max_retries: u32,
    /// An endpoint that fails so often in a row is left alone; zero: never.
    pub consecutive: u32,
    /// For so long, times the number of times it happened.
    pub open_for: SimDuration,
    /// At most this share of the endpoints (and at least one).
    pub max_ejection: f64,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { max_requests: 1024, max_retries: 3, consecutive: 5, open_for: s(30), max_ejection: 0.1 }
    }
}

/// Adaptive throttling (Site Reliability Engineering, chapter 21), kept by each caller.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClientThrottle {
    /// Requests per accepted one.
    pub k: f64,
    /// Over which they are counted.
    pub window: SimDuration,
}

impl Default for ClientThrottle {
    fn default() -> Self {
        Self { k: 2.0, window: s(120) }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            timeout: s(15),
            connect_timeout: s(1),
            max_attempts: 1,
            backoff_base: ms(25),
            backoff_max: ms(250),
            full_jitter: true,
            retry_budget: None,
            token_bucket: None,
            circuit_breaker: None,
            throttle: None,
            connection_pool: None,
            balancing: Balancing::KubeProxy,
            connections: None,
            dns: Dns::default(),
        }
    }
}

/// Requests from outside.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TrafficSpec {
    /// Length of the windows in which requests are counted; zero takes 5 s.
    pub window: SimDuration,
    /// Where they come from.
    pub sources: Vec<Source>,
    /// Which engine plays them.
    pub engine: TrafficEngine,
    /// What answers beyond the cluster.
    pub external: Vec<ExternalService>,
}

/// What answers behind a Service that has no pods: one address beyond the cluster, always there.
#[derive(Clone, PartialEq, Debug)]
pub struct ExternalService {
    /// The Service: an ExternalName, or one without a selector.
    pub service: ObjectKey,
    /// How it answers; its cpu is its own affair.
    pub behavior: Arc<ServiceBehavior>,
}

/// Who plays the requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum TrafficEngine {
    /// Every request by itself.
    #[default]
    Exact,
    /// Requests that arrive together are counted together; cost does not depend on their number.
    Cohort,
}

/// A source of requests.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Source {
    /// Name.
    pub name: Str,
    /// The Service asked.
    pub to: ObjectKey,
    /// Requests per second over time: (from, rate), ascending, linear between points that say so.
    pub rate: Vec<RatePoint>,
    /// How arrivals are drawn from the rate.
    pub arrivals: Arrivals,
    /// Users who wait for their answers; `rate` then does not count.
    pub users: Option<Users>,
    /// How callers wait and try again.
    pub client: Client,
    /// Where it comes in.
    pub via: Via,
    /// How many clients of their own address it has; `None` means that each request is another's.
    /// Each user of a closed source is a client.
    pub clients: Option<u32>,
    /// The address it has for NetworkPolicies; `None` is one that nobody speaks of.
    pub address: Option<std::net::IpAddr>,
}

/// Where a source's requests come in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Via {
    /// From clients on the nodes, evenly.
    #[default]
    ClusterIp,
    /// Through any node.
    NodePort,
    /// Through the nodes that a load balancer has found healthy.
    LoadBalancer,
    /// Through an ingress controller, which knows the endpoints and asks them in turn.
    Ingress,
}

/// A closed source: each user asks, waits for the answer, thinks, and asks again.
#[derive(Clone, PartialEq, Debug)]
pub struct Users {
    /// How many.
    pub count: u32,
    /// From an answer to the next request; the first request comes after one of these, too.
    pub think: Distribution,
    /// When they begin.
    pub from: SimTime,
}

/// A point of a load shape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RatePoint {
    /// When.
    pub at: SimTime,
    /// Requests per second from then on.
    pub per_second: f64,
    /// Whether the rate goes in a straight line to the next point instead of staying.
    pub linear: bool,
}

/// How arrivals are drawn from a rate.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub enum Arrivals {
    /// Independent of each other.
    #[default]
    Poisson,
    /// Evenly spaced.
    Deterministic,
    /// Poisson with the rate in two phases of exponential length (MMPP-2); the mean stays what the rate says.
    Bursts {
        /// Rate in a burst over the mean rate; at least 1.
        factor: f64,
        /// Mean length of a burst.
        burst: SimDuration,
        /// Mean length of the time between.
        calm: SimDuration,
    },
}

/// Something that goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// Name.
    pub name: Str,
    /// When it begins.
    pub at: SimTime,
    /// When it is undone; `None` means never (or that nothing needs undoing).
    pub duration: Option<SimDuration>,
    /// Again every so often, so many times in all.
    pub schedule: Option<(SimDuration, u32)>,
    /// What happens.
    pub action: FaultAction,
    /// To how many of those selected.
    pub mode: FaultMode,
    /// To which nodes (node actions) or pods (pod actions).
    pub target: FaultTarget,
}

/// What a fault does. Names as in Litmus (nodes) and Chaos Mesh (pods).
#[derive(Clone, PartialEq, Debug)]
pub enum FaultAction {
    /// The node loses power: nothing is announced, nothing answers. Undone: it boots with the same name.
    NodePoweroff,
    /// The node restarts: as power-off, coming back by itself after this time.
    NodeRestart(SimDuration),
    /// The node is shut down in order: its kubelet ends pods as its shutdown grace periods say, then the power
    /// goes. Undone: it boots with the same name.
    NodeShutdown,
    /// The kubelet stops; containers go on. Undone: it starts again.
    KubeletServiceKill,
    /// The node's kubelet cannot reach the API server, nor the API server the kubelet; pods go on. Undone: the
    /// kubelet connects again and says what it has to say.
    NodeNetworkPartition,
    /// The node is cordoned and its pods are evicted. Undone: it is uncordoned.
    NodeDrain,
    /// The node gets a taint. Undone: it loses it.
    NodeTaint(Taint),
    /// A container exits with this code; the kubelet starts it again.
    ContainerKill {
        /// The container; `None` means the first.
        container: Option<Str>,
        /// Its exit code.
        exit_code: i32,
    },
    /// A probe of a container fails until the container is another.
    ProbeFailure {
        /// The container; `None` means the first.
        container: Option<Str>,
        /// Which probe.
        probe: ProbeKind,
    },
    /// A part of the control plane is away. Undone: it starts again.
    ControlPlaneKill(ControlPlaneComponent),
    /// The pod is deleted with this grace.
    PodKill {
        /// Grace.
        grace: SimDuration,
    },
    /// Nodes that the cluster autoscaler orders do not come. Undone: orders made from then on do.
    ProvisioningFailure(ProvisioningFailure),
}

/// How orders of nodes fail.
#[derive(Clone, PartialEq, Debug)]
pub struct ProvisioningFailure {
    /// Which pools; none means all.
    pub pools: Vec<Str>,
    /// Why.
    pub reason: ProvisioningFailureReason,
    /// What the cloud says.
    pub message: Str,
    /// Share of the ordered nodes that fail.
    pub share: f64,
    /// From the order until the cloud says so.
    pub after: SimDuration,
}

/// Why ordered nodes do not come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProvisioningFailureReason {
    /// The cloud has no such machines left, and says so of each instance.
    OutOfResources,
    /// The project's quota is used up, which the cloud says of each instance.
    QuotaExceeded,
    /// The cloud refuses the order.
    Refused,
    /// The cloud takes the order and makes no instance.
    NeverCreated,
    /// The instance is made, and never becomes a node.
    NeverRegisters,
}

impl ProvisioningFailureReason {
    /// The error code of an instance, as GCE has it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutOfResources => "RESOURCE_POOL_EXHAUSTED",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::Refused | Self::NeverCreated | Self::NeverRegisters => "OTHER",
        }
    }
}

/// A part of the control plane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ControlPlaneComponent {
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Etcd,
}

impl ControlPlaneComponent {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Etcd => "etcd",
        }
    }
}

/// How many of those selected are struck.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum FaultMode {
    /// One at random.
    One,
    /// All.
    All,
    /// So many at random.
    Fixed(u32),
    /// This share (0..100) at random, rounded down, at least one.
    FixedPercent(f64),
    /// Up to this share, drawn.
    RandomMaxPercent(f64),
}

/// Whom a fault may strike.
#[derive(Clone, PartialEq, Debug)]
pub enum FaultTarget {
    /// What the action itself names.
    Cloud,
    /// Nodes with these labels (`None`: all) or names (empty: all).
    Nodes {
        /// Labels.
        labels: Option<LabelSelector>,
        /// Names.
        names: Vec<Str>,
    },
    /// Nodes that run at least one of these pods.
    NodesOfPods(PodSelector),
    /// Running pods.
    Pods(PodSelector),
    /// The control plane, which the action names.
    ControlPlane,
}

/// A metric of the custom or the external metrics API.
#[derive(Clone, PartialEq, Debug)]
pub struct Metric {
    /// Name.
    pub name: Str,
    /// Its own labels, which an autoscaler may select by.
    pub labels: Labels,
    /// Of what.
    pub of: MetricOf,
    /// Its value over time.
    pub value: MetricValue,
    /// From one sample to the next; `None` is Prometheus' own interval.
    pub resolution: Option<SimDuration>,
    /// How long a sample takes to get to the adapter.
    pub lag: SimDuration,
}

/// What a metric is of.
#[derive(Clone, PartialEq, Debug)]
pub enum MetricOf {
    /// Of each of these pods.
    Pods(PodSelector),
    /// Of one object.
    Object {
        /// Its kind; any.
        kind: Str,
        /// Its name.
        key: ObjectKey,
    },
    /// Of something outside of the cluster.
    External,
}

/// A metric's value over time.
#[derive(Clone, PartialEq, Debug)]
pub enum MetricValue {
    /// As written. The first point's value holds before it, the last one's after it.
    Series {
        /// Ascending; never empty.
        points: Vec<MetricPoint>,
        /// It is of all pods together, shared by those that are ready.
        shared: bool,
    },
    /// As the traffic makes it, of each pod or of a Service.
    Traffic(TrafficMeasure, Option<ObjectKey>),
}

/// A point of a metric's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricPoint {
    /// When.
    pub at: SimTime,
    /// The value from then on, in thousandths.
    pub value_millis: i64,
    /// Whether it goes in a straight line to the next point instead of staying.
    pub linear: bool,
}

/// What is counted of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrafficMeasure {
    /// Requests that a pod has answered, or that a Service was asked, per second.
    RequestsPerSecond,
    /// Requests in pods, waiting or worked on.
    InFlight,
    /// Requests that wait in pods, and messages that wait for a worker.
    QueueLength,
}

/// cpu that pods use without any request being played, as an autoscaler is shown it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CpuLoad {
    /// Whose.
    pub selector: PodSelector,
    /// Of all together, shared by those that are ready; zero gives each its own.
    pub total_millis: i64,
    /// Of each that is ready.
    pub per_pod_millis: i64,
    /// The most one can use.
    pub cap_millis: Option<i64>,
}

/// Something an operator does, as kubectl would.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// What reports call it.
    pub name: Str,
    /// When.
    pub at: SimTime,
    /// What.
    pub action: StepAction,
}

/// What an operator does.
#[derive(Clone, PartialEq, Debug)]
pub enum StepAction {
    /// `kubectl apply`: objects are made, or their specs replaced.
    Apply(Arc<Objects>),
    /// `kubectl delete --cascade`.
    Delete(Kind, ObjectKey, Propagation),
    /// `kubectl scale`.
    Scale(Kind, ObjectKey, i32),
    /// `kubectl set image`: container (or `*`) and image.
    SetImage(Kind, ObjectKey, Vec<(Str, Str)>),
    /// `kubectl patch --subresource resize` of all pods of a workload, or of one.
    Resize(Kind, ObjectKey, PodResize),
    /// `kubectl rollout undo`, to a revision or to the one before.
    RolloutUndo(Kind, ObjectKey, Option<u64>),
    /// `kubectl rollout restart`.
    RolloutRestart(Kind, ObjectKey),
    /// `kubectl patch` of `spec.suspend` of a Job or CronJob.
    Suspend(Kind, ObjectKey, bool),
    /// `kubectl rollout pause` (true) or `resume` (false).
    RolloutPause(Kind, ObjectKey, bool),
    /// `kubectl cordon` (true) or `uncordon` (false).
    Cordon(Str, bool),
    /// `kubectl drain --ignore-daemonsets --delete-emptydir-data`.
    Drain(Str),
    /// `kubectl taint`: puts a taint on, or takes those with its key and effect off.
    Taint(Str, Taint, bool),
    /// `kubectl label node`; an empty value takes the label off.
    LabelNode(Str, Labels),
    /// `kubectl label pod`: of these pods all, or the first so many by name; an empty value takes the label off.
    LabelPods(PodSelector, Option<u32>, Labels),
    /// Pods use so much cpu from now on.
    SetLoad(CpuLoad),
}

/// What containers are to have from now on; what is not said stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodResize {
    /// `None` means every container.
    pub container: Option<Str>,
    /// cpu and memory.
    pub requests: ResourceList,
    /// cpu and memory.
    pub limits: ResourceList,
}

/// A moment with a name, from which recovery is measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Mark {
    /// Name.
    pub name: Str,
    /// When.
    pub at: SimTime,
}
