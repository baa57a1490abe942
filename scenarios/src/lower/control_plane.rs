//! Settings of the components, as one table: its name in files, its meaning, and its place in the engine's input.
//!
//! Reading, explaining and printing defaults all go through the table, so none can know a setting the others do not.

use api::{SimDuration, Str};
use engine::pattern::Pattern;
use engine::random::Distribution;
use engine::spec::{ControlPlane, EvictionSignal, EvictionValue};
use manifests::{Diagnostic, Pointer};
use serde_json::{Map, Value, json};

use super::{Bare, law};
use crate::cx::{Cx, with_help};
use crate::format::{Described, DurationText, Field, QuantityText, RatioText, Shape, ShutdownGracePeriod};

/// The place of a setting, and how it is written.
enum Slot<'a> {
    /// A duration; a bare number is seconds.
    Time(&'a mut SimDuration),
    /// A duration that is not zero.
    Period(&'a mut SimDuration),
    /// A whole number of seconds, by the flag's name.
    Seconds(&'a mut i64),
    Count(&'a mut u32),
    /// An amount of memory.
    Bytes(&'a mut i64),
    /// A number per second that is not zero.
    Positive(&'a mut f64),
    /// A number per second.
    Rate(&'a mut f64),
    Share(&'a mut f64),
    Switch(&'a mut bool),
    Word(&'a mut Str, &'static [(&'static str, ())]),
    /// Amounts by eviction signal, instead of others.
    EvictionHard(&'a mut Option<Vec<(EvictionSignal, EvictionValue)>>),
    /// Amounts by eviction signal.
    Eviction(&'a mut Vec<(EvictionSignal, EvictionValue)>),
    /// Spans of time by eviction signal.
    Graces(&'a mut Vec<(EvictionSignal, SimDuration)>),
    /// A number of things.
    Amount(&'a mut i64),
    /// Periods by priority.
    Periods(&'a mut Vec<(i32, SimDuration)>),
    /// Bytes per second.
    Bandwidth(&'a mut i64),
    Law(&'a mut Distribution),
    /// A whole number that may be negative.
    Whole(&'a mut i32),
    /// Least and most, `min:max`, as in the flags of that kind.
    Range(&'a mut (u32, u32)),
    /// Words with commas between.
    Chain(&'a mut Str, &'static [(&'static str, ())]),
    /// Patterns of names by their priority.
    Priorities(&'a mut Vec<(i64, Str)>),
}

struct Setting {
    name: &'static str,
    meaning: &'static str,
    slot: fn(&mut ControlPlane) -> Slot<'_>,
}

struct Component {
    name: &'static str,
    meaning: &'static str,
    settings: &'static [Setting],
    /// Official settings that are accepted and change nothing yet.
    not_yet: &'static [&'static str],
}

macro_rules! component {
    ($name:literal, $meaning:literal, $field:ident { $($setting:literal $kind:ident $place:ident $meaning_of:literal $(of $words:expr)?,)* } not yet [$($not_yet:literal),*]) => {
        Component {
            name: $name,
            meaning: $meaning,
            settings: &[$(Setting { name: $setting, meaning: $meaning_of, slot: |plane| Slot::$kind(&mut plane.$field.$place $(, $words)?) }),*],
            not_yet: &[$($not_yet),*],
        }
    };
}

const TIE_BREAKS: &[(&str, ())] = &[("upstream", ()), ("name", ()), ("random", ())];
const PROXY_MODES: &[(&str, ())] = &[("iptables", ()), ("nftables", ()), ("ipvs", ())];
const IPVS_SCHEDULERS: &[(&str, ())] = &[("rr", ()), ("lc", ()), ("sh", ())];
const DENIED: &[(&str, ())] = &[("drop", ()), ("reject", ())];
const EXPANDERS: &[(&str, ())] =
    &[("least-waste", ()), ("most-pods", ()), ("least-nodes", ()), ("random", ()), ("price", ()), ("priority", ())];

#[rustfmt::skip]
const COMPONENTS: &[Component] = &[
    component!("apiServer", "kube-apiserver.", api_server {
        "requestLatency" Law request_latency "From a request to its effect, drawn for each request.",
        "requestJitter" Law request_jitter "Added to requestLatency, drawn for each request.",
        "watchLatency" Law watch_latency "From the effect to those who watch, who hear of everything in order.",
        "defaultNotReadyTolerationSeconds" Seconds default_not_ready_toleration_seconds "How long pods stay on a node that is not ready.",
        "defaultUnreachableTolerationSeconds" Seconds default_unreachable_toleration_seconds "How long pods stay on a node that cannot be reached.",
    } not yet []),
    component!("leaderElection", "Leader election of kube-scheduler and kube-controller-manager.", leader_election {
        "leaderElect" Switch leader_elect "Whether they elect a leader at all.",
        "leaseDuration" Time lease_duration "How long a lease must stand still before somebody else takes it.",
        "renewDeadline" Time renew_deadline "How long a leader tries to renew its lease before it gives up.",
        "retryPeriod" Period retry_period "From one attempt to take or renew a lease to the next.",
        "schedulerReplicas" Count scheduler_replicas "Instances of kube-scheduler; the second is a standby.",
        "controllerManagerReplicas" Count controller_manager_replicas "Instances of kube-controller-manager; the second is a standby.",
    } not yet []),
    component!("scheduler", "kube-scheduler's queue and client. What it decides by belongs to `policy`.", scheduler {
        "podInitialBackoffSeconds" Time pod_initial_backoff "First wait of a pod that found no node.",
        "podMaxBackoffSeconds" Time pod_max_backoff "Longest wait of a pod that found no node.",
        "podMaxInUnschedulablePodsDuration" Time pod_max_in_unschedulable "Unschedulable pods are tried again after this in any case.",
        "kubeApiQps" Positive qps "Requests per second to the API server (clientConnection.qps).",
        "kubeApiBurst" Count burst "Requests at once to the API server (clientConnection.burst).",
        "cycleTime" Time cycle_time "Time that one scheduling cycle takes.",
        "tieBreak" Word tie_break "Which of several best nodes is taken: upstream (as kube-scheduler 1.36), name (the first by name) or random (by lot)." of TIE_BREAKS,
    } not yet ["percentageOfNodesToScore", "parallelism"]),
    component!("controllerManager", "kube-controller-manager: every controller has a client of its own.", controller_manager {
        "kubeApiQps" Positive kube_api_qps "Requests per second to the API server.",
        "kubeApiBurst" Count kube_api_burst "Requests at once to the API server.",
    } not yet ["concurrentDeploymentSyncs", "concurrentReplicasetSyncs", "concurrentServiceEndpointSyncs"]),
    component!("nodeLifecycle", "The node lifecycle controller: who notices that a node is gone.", node_lifecycle {
        "nodeMonitorPeriod" Period node_monitor_period "From one look at all nodes to the next.",
        "nodeMonitorGracePeriod" Time node_monitor_grace_period "How long a node may be silent before it counts as unreachable.",
        "nodeEvictionRate" Rate node_eviction_rate "Nodes per second that are emptied.",
        "secondaryNodeEvictionRate" Rate secondary_node_eviction_rate "The same in a zone that is unhealthy as a whole.",
        "unhealthyZoneThreshold" Share unhealthy_zone_threshold "Share of nodes that makes a zone unhealthy.",
        "largeClusterSizeThreshold" Count large_cluster_size_threshold "An unhealthy zone of at most so many nodes is not emptied at all.",
    } not yet ["nodeStartupGracePeriod", "terminatedPodGcThreshold"]),
    component!("horizontalPodAutoscaler", "The HorizontalPodAutoscaler controller.", horizontal_pod_autoscaler {
        "syncPeriod" Period sync_period "From one look at an autoscaler to the next.",
        "downscaleStabilization" Time downscale_stabilization "Goes down only to the highest recommendation of this past.",
        "tolerance" Share tolerance "How far a metric may be off before anything is done.",
        "cpuInitializationPeriod" Time cpu_initialization_period "How long after its start a pod's cpu is doubted.",
        "initialReadinessDelay" Time initial_readiness_delay "How long after its start a pod's turning ready counts as the first time.",
    } not yet []),
    component!("clusterAutoscaler", "The cluster autoscaler, release 1.36.", cluster_autoscaler {
        "scanInterval" Period scan_interval "From one look to the next.",
        "scaleDownEnabled" Switch scale_down_enabled "Whether nodes are ever removed.",
        "scaleDownUnneededTime" Time scale_down_unneeded_time "How long a node must be unneeded.",
        "scaleDownUnreadyTime" Time scale_down_unready_time "The same for a node that is not ready.",
        "scaleDownUtilizationThreshold" Share scale_down_utilization_threshold "A node with less of it requested is a candidate.",
        "scaleDownDelayAfterAdd" Time scale_down_delay_after_add "How long after adding a node none is removed.",
        "scaleDownDelayAfterDelete" Time scale_down_delay_after_delete "How long after nodes began to be removed no further one is.",
        "maxNodeProvisionTime" Period max_node_provision_time "How long an ordered node may take to register; then it is given up, and its pool backed off.",
        "maxTotalUnreadyPercentage" Rate max_total_unready_percentage "With more unready nodes than this, in percent, the autoscaler does nothing.",
        "okTotalUnreadyCount" Count ok_total_unready_count "So many unready nodes are always all right.",
        "expander" Chain expander "Which pool grows: least-waste, most-pods, least-nodes, random, price or priority; several with commas between are asked in turn." of EXPANDERS,
        "expanderPriorities" Priorities expander_priorities "For expander priority: patterns of pool names by priority, as in ConfigMap cluster-autoscaler-priority-expander; the highest wins.",
        "balanceSimilarNodeGroups" Switch balance_similar_node_groups "Whether pools that are alike but for their zone grow evenly.",
        "newPodScaleUpDelay" Time new_pod_scale_up_delay "Younger pods do not order nodes.",
        "expendablePodsPriorityCutoff" Whole expendable_pods_priority_cutoff "Pods of lower priority neither order nodes nor keep them.",
        "skipNodesWithLocalStorage" Switch skip_nodes_with_local_storage "Whether pods with emptyDir or hostPath keep their node.",
        "skipNodesWithSystemPods" Switch skip_nodes_with_system_pods "Whether pods of kube-system keep their node (for an hour, without a disruption budget).",
        "maxBulkSoftTaintCount" Count max_bulk_soft_taint_count "Unneeded nodes marked PreferNoSchedule per loop; 0 marks none.",
        "coresTotal" Range cores_total "Least and most cores of the cluster.",
        "memoryTotal" Range memory_total_gib "Least and most memory of the cluster, in GiB.",
        "maxScaleDownParallelism" Count max_scale_down_parallelism "Nodes removed at once.",
        "maxDrainParallelism" Count max_drain_parallelism "Nodes with pods removed at once.",
        "maxNodesTotal" Count max_nodes_total "Most nodes in all; 0 means no limit.",
    } not yet ["scaleDownDelayAfterFailure"]),
    component!("metricsServer", "metrics-server.", metrics_server {
        "metricResolution" Period resolution "From one scrape of the kubelets to the next.",
        "resolution" Period resolution "Another word for metricResolution.",
    } not yet []),
    component!("verticalPodAutoscaler", "The vertical pod autoscaler: recommender and updater.", vertical_pod_autoscaler {
        "recommenderInterval" Period recommender_interval "From one look at usages to the next.",
        "recommendationMarginFraction" Rate recommendation_margin_fraction "Added to what was used.",
        "podRecommendationMinCpuMillicores" Count pod_recommendation_min_cpu_millicores "Least cpu of a pod that is recommended.",
        "podRecommendationMinMemory" Bytes pod_recommendation_min_memory_bytes "Least memory of a pod that is recommended (--pod-recommendation-min-memory-mb).",
        "targetCpuPercentile" Share target_cpu_percentile "Share of cpu samples that the target covers.",
        "recommendationLowerBoundCpuPercentile" Share lower_bound_cpu_percentile "The same of the lower bound.",
        "recommendationUpperBoundCpuPercentile" Share upper_bound_cpu_percentile "The same of the upper bound.",
        "targetMemoryPercentile" Share target_memory_percentile "Share of memory peaks that the target covers.",
        "recommendationLowerBoundMemoryPercentile" Share lower_bound_memory_percentile "The same of the lower bound.",
        "recommendationUpperBoundMemoryPercentile" Share upper_bound_memory_percentile "The same of the upper bound.",
        "confidenceInterval" Period confidence_interval "History with which the upper bound is twice what it would be (--confidence-interval-cpu and -memory).",
        "cpuHistogramDecayHalfLife" Period cpu_histogram_decay_half_life "In which a cpu sample loses half of its weight.",
        "memoryHistogramDecayHalfLife" Period memory_histogram_decay_half_life "In which a memory peak loses half of its weight.",
        "memoryAggregationInterval" Period memory_aggregation_interval "Memory counts as one peak in each of these.",
        "oomBumpUpRatio" Rate oom_bump_up_ratio "Memory after an out-of-memory kill, over what was used.",
        "oomMinBumpUp" Bytes oom_min_bump_up_bytes "The least that is added after such a kill (--oom-min-bump-up-bytes).",
        "updaterInterval" Period updater_interval "From one look at pods to the next.",
        "minReplicas" Count min_replicas "A group with fewer live pods is left alone.",
        "evictionTolerance" Share eviction_tolerance "Share of a group that may be away.",
        "podUpdateThreshold" Rate pod_update_threshold "A smaller relative change is not worth an eviction.",
        "inRecommendationBoundsEvictionLifetimeThreshold" Time lifetime_threshold "A pod within its bounds is only evicted when it is as old as this.",
        "evictAfterOomThreshold" Time evict_after_oom_threshold "A container killed for its memory sooner after its start makes its pod change at once.",
    } not yet []),
    component!("prometheusAdapter", "Prometheus and prometheus-adapter, which serve what `metrics` give.", prometheus_adapter {
        "scrapeInterval" Period scrape_interval "From one scrape to the next (Prometheus' global.scrape_interval).",
        "rateInterval" Period rate_interval "Over which requests per second are taken (prometheus-adapter's sample-config.yaml: `rate(...[2m])`).",
    } not yet []),
    component!("featureGates", "Feature gates of the control plane that are off in Kubernetes 1.36.", feature_gates {
        "HPAScaleToZero" Switch hpa_scale_to_zero "Whether HorizontalPodAutoscalers may have minReplicas 0.",
    } not yet []),
    component!("kubelet", "Every node's kubelet.", kubelet {
        "nodeLeaseRenewInterval" Period lease_renew_interval "From one renewal of the node's lease to the next.",
        "serializeImagePulls" Switch serialize_image_pulls "Whether a node pulls one image at a time.",
        "maxParallelImagePulls" Count max_parallel_image_pulls "Most pulls at once, of a node that does not serialize them; 0 means no limit. More than 1 turns serializeImagePulls off.",
        "registryPullQPS" Rate registry_pull_qps "Pulls per second of one node; one beyond it fails. 0 means no limit.",
        "registryBurst" Count registry_burst "Pulls at once of one node, within registryPullQPS.",
        "imagePullBandwidth" Bandwidth image_pull_bandwidth_bytes "Bytes per second in which a node pulls images whose size `spec.images` gives, all pulls together.",
        "imagePull" Law default_image_pull "Pull time of images of which neither a behavior nor `spec.images` speaks.",
        "imageCheck" Law image_check "Pull time of an image that the node has: the registry is asked all the same.",
        "containerStart" Law container_start "From a pulled image to a running container.",
        "crashLoopBackOffInitial" Time crash_loop_back_off_initial "First wait before a crashed container is started again.",
        "maxContainerRestartPeriod" Time crash_loop_back_off_max "Longest wait before a crashed container is started again (crashLoopBackOff.maxContainerRestartPeriod).",
        "stop" Law default_stop "From SIGTERM to exit of workloads that no behavior speaks of.",
        "housekeepingInterval" Time housekeeping_interval "From one look of cAdvisor at a container to the next, and up to as much more; metrics are that old. Zero: as old as the scrape.",
        "syncFrequency" Period sync_frequency "How long a pod that is not as it should be waits for the next look at it; up to half as much more.",
        "evictionHardMemoryAvailable" Bytes eviction_hard_memory_available_bytes "Pods are evicted when the node has less memory than this (evictionHard[memory.available]).",
        "evictionMinimumReclaimMemory" Bytes eviction_minimum_reclaim_memory_bytes "So much more is made available then (evictionMinimumReclaim[memory.available]).",
        "evictionHard" EvictionHard eviction_hard "Pods are evicted when the node has less than this of memory.available, nodefs.available, imagefs.available or pid.available: amounts, or percentages of what there is. Setting one replaces all defaults. A node's disk is its capacity of ephemeral-storage; without it, it never runs short.",
        "evictionSoft" Eviction eviction_soft "The same, once it has lasted for evictionSoftGracePeriod.",
        "evictionSoftGracePeriod" Graces eviction_soft_grace_period "How long a threshold of evictionSoft has to be crossed, by signal.",
        "evictionMinimumReclaim" Eviction eviction_minimum_reclaim "So much more is made available once a threshold was crossed, by signal.",
        "evictionMaxPodGracePeriod" Time eviction_max_pod_grace_period "Longest grace of pods that are evicted for a soft threshold.",
        "maxPids" Amount max_pids "Processes that a node can have, for pid.available.",
        "imageGCHighThresholdPercent" Count image_gc_high_threshold_percent "Images that nobody uses are deleted when this share of a node's disk is used; 100: never.",
        "imageGCLowThresholdPercent" Count image_gc_low_threshold_percent "Until no more than this share is used.",
        "imageMinimumGCAge" Time image_minimum_gc_age "Images detected later than so long ago stay.",
        "evictionPressureTransitionPeriod" Time eviction_pressure_transition_period "How long a condition such as MemoryPressure stays after it was last seen.",
        "shutdownGracePeriod" Time shutdown_grace_period "How long a node that is shut down waits for its pods.",
        "shutdownGracePeriodCriticalPods" Time shutdown_grace_period_critical_pods "The last part of shutdownGracePeriod, for critical pods.",
        "shutdownGracePeriodByPodPriority" Periods shutdown_grace_period_by_pod_priority "Instead of both: how long pods of at least this priority get, lowest priorities first.",
    } not yet ["nodeStatusUpdateFrequency", "maxPods"]),
    component!("volumes", "Provisioners and attachers of volumes, and how long the scheduler waits for them.", volumes {
        "provision" Law provision "From a claim that asks for a volume to the volume.",
        "delete" Law delete "From a released volume that is to be deleted to its end.",
        "attach" Law attach "From a pod's binding to its volume on the node.",
        "detach" Law detach "From the end of a volume's last pod on a node to its being free for the next.",
        "bindTimeoutSeconds" Time bind_timeout "How long a pod waits for its claims before it is scheduled anew (VolumeBinding's argument).",
    } not yet []),
    component!("kubeProxy", "kube-proxy, and the way of endpoints to the nodes.", kube_proxy {
        "mode" Word mode "How an endpoint is chosen for a connection: iptables or nftables (at random), or ipvs (as ipvsScheduler says)." of PROXY_MODES,
        "ipvsScheduler" Word ipvs_scheduler "ipvs.scheduler: rr (in turn on each node), lc (the one with fewest connections of that node) or sh (by the client's address)." of IPVS_SCHEDULERS,
        "minSyncPeriod" Time min_sync_period "From one writing of a node's rules to the next.",
        "propagationBase" Time propagation_base "From a changed EndpointSlice to the first node that hears of it.",
        "propagationJitter" Time propagation_jitter "From the first node to the last.",
    } not yet ["syncPeriod"]),
    component!("loadBalancer", "Load balancers in front of the nodes: their health checks, as two delays.", load_balancer {
        "targetRegistration" Time target_registration "How long a node must be healthy before it gets connections.",
        "targetDeregistration" Time target_deregistration "How long a node must be unhealthy before it gets none.",
    } not yet []),
    component!("networkPolicy", "Whoever enforces NetworkPolicies.", network_policy {
        "denied" Word denied "What becomes of a connection that is not allowed: drop (nobody answers, until connectTimeout) or reject (refused at once)." of DENIED,
    } not yet []),
];

/// `spec.controlPlane` as the format describes it.
#[derive(Debug)]
pub(crate) enum ControlPlaneFields {}

impl Described for ControlPlaneFields {
    fn shape() -> Shape {
        let defaults = ControlPlane::default();
        let leaf = |name: &str, words: &str, meaning: String| Field {
            name: name.to_owned(),
            meaning,
            required: false,
            shape: Shape { words: words.to_owned(), fields: Vec::new() },
        };
        let component = |component: &Component| {
            let settings = component.settings.iter().map(|setting| {
                let mut plane = defaults.clone();
                let slot = (setting.slot)(&mut plane);
                let default = text_of(&shown(&slot));
                leaf(setting.name, words(&slot), format!("{} Default {default}.", setting.meaning))
            });
            let not_yet = component.not_yet.iter().map(|name| leaf(name, "anything", "Accepted, not simulated yet.".to_owned()));
            Field {
                name: component.name.to_owned(),
                meaning: component.meaning.to_owned(),
                required: false,
                shape: Shape { words: "mapping".to_owned(), fields: settings.chain(not_yet).collect() },
            }
        };
        Shape { words: "mapping".to_owned(), fields: COMPONENTS.iter().map(component).collect() }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const fn words(slot: &Slot<'_>) -> &'static str {
    match slot {
        Slot::Time(_) | Slot::Period(_) | Slot::Seconds(_) => "a duration, or seconds",
        Slot::Count(_) => "whole number",
        Slot::Bytes(_) => "a quantity such as `100Mi`",
        Slot::Bandwidth(_) => "bytes per second: a quantity such as `64Mi`",
        Slot::EvictionHard(_) | Slot::Eviction(_) => "mapping of eviction signals to quantities or percentages",
        Slot::Graces(_) => "mapping of eviction signals to durations",
        Slot::Amount(_) => "whole number",
        Slot::Periods(_) => "list of {priority, shutdownGracePeriodSeconds}",
        Slot::Rate(_) | Slot::Positive(_) => "number",
        Slot::Share(_) => "a share such as 0.1 or `10%`",
        Slot::Switch(_) => "true or false",
        Slot::Word(..) => "word",
        Slot::Whole(_) => "whole number",
        Slot::Range(_) => "`min:max`",
        Slot::Chain(..) => "words with commas between",
        Slot::Priorities(_) => "mapping of priorities to lists of patterns",
        Slot::Law(_) => "a duration, or a distribution",
    }
}

/// A setting's value as a file would write it.
fn shown(slot: &Slot<'_>) -> Value {
    match slot {
        Slot::Time(span) | Slot::Period(span) => json!(span.to_string()),
        Slot::Seconds(seconds) => json!(seconds),
        Slot::Count(count) => json!(count),
        Slot::EvictionHard(None) => json!({ "memory.available": "100Mi", "nodefs.available": "10%", "imagefs.available": "15%" }),
        Slot::EvictionHard(Some(amounts)) => by_signal(amounts, eviction_text),
        Slot::Eviction(amounts) => by_signal(amounts, eviction_text),
        Slot::Graces(graces) => by_signal(graces, SimDuration::to_string),
        Slot::Amount(number) => json!(number),
        Slot::Periods(periods) => periods
            .iter()
            .map(|(priority, period)| json!({ "priority": priority, "shutdownGracePeriodSeconds": period.as_secs() }))
            .collect(),
        Slot::Bytes(bytes) | Slot::Bandwidth(bytes) if **bytes % (1 << 20) == 0 => json!(format!("{}Mi", **bytes >> 20)),
        Slot::Bytes(bytes) | Slot::Bandwidth(bytes) => json!(bytes),
        Slot::Rate(number) | Slot::Positive(number) | Slot::Share(number) => json!(number),
        Slot::Switch(on) => json!(on),
        Slot::Word(word, _) | Slot::Chain(word, _) => json!(word.to_string()),
        Slot::Whole(number) => json!(number),
        Slot::Range((least, most)) => json!(format!("{least}:{most}")),
        Slot::Priorities(list) => {
            let mut all: Map<String, Value> = Map::new();
            for (priority, pattern) in list.iter() {
                let patterns = all.entry(priority.to_string()).or_insert_with(|| json!([]));
                patterns.as_array_mut().into_iter().for_each(|patterns| patterns.push(json!(pattern.to_string())));
            }
            Value::Object(all)
        }
        Slot::Law(Distribution::Constant(span)) => json!(span.to_string()),
        Slot::Law(other) => json!({ "mean": other.mean().to_string() }),
    }
}

fn by_signal<T>(list: &[(EvictionSignal, T)], text: impl Fn(&T) -> String) -> Value {
    Value::Object(list.iter().map(|(signal, amount)| (signal.as_str().to_owned(), json!(text(amount)))).collect())
}

fn eviction_text(value: &EvictionValue) -> String {
    match value {
        EvictionValue::Amount(amount) => api::Quantity::from_units(*amount).to_string(),
        EvictionValue::Percent(percent) => format!("{percent}%"),
    }
}

/// All settings of `plane`, as a file would write them.
pub(crate) fn defaults_of(plane: &ControlPlane) -> Value {
    let mut all = Map::new();
    for component in COMPONENTS {
        let mut own = Map::new();
        let said_otherwise = if plane.kubelet.eviction_hard.is_none() { "evictionHard" } else { "evictionHardMemoryAvailable" };
        for setting in component.settings.iter().filter(|setting| ![said_otherwise, "resolution"].contains(&setting.name)) {
            own.insert(setting.name.to_owned(), shown(&(setting.slot)(&mut plane.clone())));
        }
        all.insert(component.name.to_owned(), Value::Object(own));
    }
    Value::Object(all)
}

/// The settings at `path`.
pub(crate) fn control_plane(cx: &mut Cx<'_>, path: &Pointer) -> ControlPlane {
    let mut plane = ControlPlane::default();
    for (name, at) in entries(cx, path) {
        match COMPONENTS.iter().find(|component| component.name == name) {
            Some(component) => read_component(cx, component, &mut plane, &at),
            None => unknown(cx, &name, COMPONENTS.iter().map(|component| component.name).collect(), &at),
        }
    }
    kubelet_fits_together(cx, &mut plane, &path.key("kubelet"));
    plane
}

/// What a kubelet refuses to start with. Upstream: ValidateKubeletConfiguration.
fn kubelet_fits_together(cx: &mut Cx<'_>, plane: &mut ControlPlane, path: &Pointer) {
    let settings = &mut plane.kubelet;
    let given = |cx: &Cx<'_>, name: &str| cx.value(&path.key(name)).is_some();
    if settings.max_parallel_image_pulls > 1 && !given(cx, "serializeImagePulls") {
        settings.serialize_image_pulls = false;
    } else if settings.max_parallel_image_pulls > 1 && settings.serialize_image_pulls {
        let label = "one at a time, as serializeImagePulls says";
        cx.error("WT0117", "maxParallelImagePulls and serializeImagePulls exclude each other", label, &path.key("maxParallelImagePulls"));
    }
    if given(cx, "evictionHard") && given(cx, "evictionHardMemoryAvailable") {
        let label = "it is another word for evictionHard[memory.available]";
        cx.error(
            "WT0117",
            "evictionHardMemoryAvailable and evictionHard exclude each other",
            label,
            &path.key("evictionHardMemoryAvailable"),
        );
    }
    if let Some(hard) = &settings.eviction_hard {
        let has = |signal: &EvictionSignal| hard.iter().any(|(given, _)| given == signal);
        let defaults = [EvictionSignal::MemoryAvailable, EvictionSignal::NodefsAvailable, EvictionSignal::ImagefsAvailable];
        let lost: Vec<&str> = defaults.into_iter().filter(|signal| !has(signal)).map(EvictionSignal::as_str).collect();
        if !lost.is_empty() {
            cx.note(format!("controlPlane.kubelet: evictionHard replaces all defaults, so there is none for {}", lost.join(", ")));
        }
    }
    for (signal, _) in &settings.eviction_soft {
        if !settings.eviction_soft_grace_period.iter().any(|(given, _)| given == signal) {
            let name = signal.as_str();
            let message = format!("evictionSoft has no grace period for {name}");
            let diagnostic = Diagnostic::error("WT0107", message).label("how long has it to be crossed?");
            cx.push(diagnostic.help(format!("such as `evictionSoftGracePeriod: {{{name}: 1m}}`")), &path.key("evictionSoft").key(name));
        }
    }
    if settings.image_gc_low_threshold_percent >= settings.image_gc_high_threshold_percent || settings.image_gc_high_threshold_percent > 100
    {
        let at = ["imageGCHighThresholdPercent", "imageGCLowThresholdPercent"].into_iter().find(|name| given(cx, name));
        let message = "imageGCLowThresholdPercent is not less than imageGCHighThresholdPercent";
        let label = format!("{} and {}", settings.image_gc_low_threshold_percent, settings.image_gc_high_threshold_percent);
        cx.error("WT0109", message, label, &path.key(at.unwrap_or("imageGCHighThresholdPercent")));
    }
    let plain = !settings.shutdown_grace_period.is_zero() || !settings.shutdown_grace_period_critical_pods.is_zero();
    if plain && !settings.shutdown_grace_period_by_pod_priority.is_empty() {
        let message = "shutdownGracePeriodByPodPriority and shutdownGracePeriod exclude each other";
        cx.error("WT0117", message, "keep one of the two", &path.key("shutdownGracePeriodByPodPriority"));
    }
}

fn read_component(cx: &mut Cx<'_>, component: &Component, plane: &mut ControlPlane, path: &Pointer) {
    for (name, at) in entries(cx, path) {
        if component.not_yet.contains(&name.as_str()) {
            cx.not_simulated(&at, "this flag changes nothing yet");
        } else if let Some(setting) = component.settings.iter().find(|setting| setting.name == name) {
            read_setting(cx, (setting.slot)(plane), &at);
        } else {
            let known = component.settings.iter().map(|setting| setting.name).chain(component.not_yet.iter().copied()).collect();
            unknown(cx, &name, known, &at);
        }
    }
}

fn unknown(cx: &mut Cx<'_>, name: &str, known: Vec<&'static str>, at: &Pointer) {
    let diagnostic = Diagnostic::error("WT0106", format!("unknown field `{name}`")).label("no such field");
    let diagnostic = with_help(diagnostic, manifests::suggestion(name, &known));
    cx.problems.push(diagnostic.at(&cx.document, at, manifests::Part::Key));
}

/// Entries of the mapping at `path`; anything else is a mistake.
fn entries(cx: &mut Cx<'_>, path: &Pointer) -> Vec<(String, Pointer)> {
    match cx.value(path) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(entries)) => entries.keys().map(|key| (key.clone(), path.key(key))).collect(),
        Some(_) => {
            cx.error("WT0105", "wrong type", "expected a mapping", path);
            Vec::new()
        }
    }
}

fn read_setting(cx: &mut Cx<'_>, slot: Slot<'_>, path: &Pointer) {
    match slot {
        Slot::Time(place) => replace(place, span(cx, path)),
        Slot::Period(place) => {
            let found = span(cx, path);
            if found == Some(SimDuration::ZERO) {
                cx.error("WT0109", "a period of nothing", "expected more than 0s", path);
            }
            replace(place, found.filter(|span| !span.is_zero()));
        }
        Slot::Seconds(place) => replace(place, span(cx, path).map(|span| i64::try_from(span.as_secs()).unwrap_or(i64::MAX))),
        Slot::Count(place) => replace(place, cx.read(path)),
        Slot::Bytes(place) => {
            let text = cx.read::<QuantityText>(path);
            replace(place, text.and_then(|text| super::cluster::memory(cx, &text, path)));
        }
        Slot::EvictionHard(place) => *place = Some(signals(cx, path, eviction_value)),
        Slot::Eviction(place) => *place = signals(cx, path, eviction_value),
        Slot::Graces(place) => *place = signals(cx, path, span),
        Slot::Amount(place) => replace(place, cx.read::<u32>(path).map(i64::from)),
        Slot::Bandwidth(place) => {
            let text = cx.read::<QuantityText>(path);
            replace(place, text.and_then(|text| super::cluster::bandwidth(cx, &text, path)));
        }
        Slot::Periods(place) => {
            if !cx.value(path).is_some_and(Value::is_array) {
                cx.error("WT0105", "wrong type", "expected a list of {priority, shutdownGracePeriodSeconds}", path);
            }
            for item in cx.items(path) {
                let Some(fields) = cx.read::<ShutdownGracePeriod>(&item) else { continue };
                let at = item.key("shutdownGracePeriodSeconds");
                if let Some(period) = span(cx, &at) {
                    place.push((fields.priority, period));
                }
            }
        }
        Slot::Positive(place) => {
            let number = cx.read::<f64>(path);
            replace(place, number.and_then(|number| cx.within(number, 0.001, "a rate", path)));
        }
        Slot::Rate(place) => {
            let number = cx.read::<f64>(path);
            replace(place, number.and_then(|number| cx.within(number, 0.0, "a rate", path)));
        }
        Slot::Share(place) => {
            let share = cx.read::<RatioText>(path);
            replace(place, share.and_then(|share| cx.share(&share, path)));
        }
        Slot::Switch(place) => replace(place, cx.read(path)),
        Slot::Word(place, known) => {
            let word = cx.read::<String>(path).filter(|word| cx.word(word, known, path).is_some());
            replace(place, word.map(Str::from));
        }
        Slot::Law(place) => replace(place, law(cx, path, Bare::Constant)),
        Slot::Whole(place) => replace(place, cx.read(path)),
        Slot::Range(place) => replace(place, range(cx, path)),
        Slot::Chain(place, known) => {
            let words = cx.read::<String>(path);
            let all_known = |words: &String| words.split(',').all(|word| cx.word(word.trim(), known, path).is_some());
            replace(place, words.filter(all_known).map(Str::from));
        }
        Slot::Priorities(place) => replace(place, priorities(cx, path)),
    }
}

/// Official signals that nothing here depends on.
const OTHER_SIGNALS: &[&str] =
    &["allocatableMemory.available", "nodefs.inodesFree", "imagefs.inodesFree", "containerfs.available", "containerfs.inodesFree"];

/// What a mapping gives for eviction signals.
fn signals<T>(cx: &mut Cx<'_>, path: &Pointer, value: fn(&mut Cx<'_>, &Pointer) -> Option<T>) -> Vec<(EvictionSignal, T)> {
    let mut found = Vec::new();
    for (name, at) in entries(cx, path) {
        match EvictionSignal::ALL.into_iter().find(|signal| signal.as_str() == name) {
            Some(signal) => found.extend(value(cx, &at).map(|value| (signal, value))),
            None if OTHER_SIGNALS.contains(&name.as_str()) => cx.not_simulated(&at, "nodes here never run short of it"),
            None => {
                let known = EvictionSignal::ALL.into_iter().map(EvictionSignal::as_str).chain(OTHER_SIGNALS.iter().copied());
                unknown(cx, &name, known.collect(), &at);
            }
        }
    }
    found.sort_by_key(|(signal, _)| *signal);
    found
}

/// A quantity, or a percentage of what there is.
fn eviction_value(cx: &mut Cx<'_>, path: &Pointer) -> Option<EvictionValue> {
    let text: QuantityText = cx.read(path)?;
    let Some(percent) = text.text.strip_suffix('%') else {
        return super::cluster::memory(cx, &text, path).map(EvictionValue::Amount);
    };
    match percent.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Some(EvictionValue::Percent(percent)),
        _ => {
            cx.error("WT0118", format!("`{}` is not a threshold", text.text), "expected a quantity such as `500Mi`, or `10%`", path);
            None
        }
    }
}

/// `min:max`.
fn range(cx: &mut Cx<'_>, path: &Pointer) -> Option<(u32, u32)> {
    let text = cx.read::<String>(path)?;
    let both = text.split_once(':').and_then(|(least, most)| Some((least.parse::<u32>().ok()?, most.parse::<u32>().ok()?)));
    let found = both.filter(|(least, most)| least <= most);
    if found.is_none() {
        let diagnostic = Diagnostic::error("WT0118", format!("`{text}` is not a range")).label("expected `min:max` in whole numbers");
        cx.push(diagnostic.help("such as `0:320000`"), path);
    }
    found
}

/// Lists of patterns by priority.
fn priorities(cx: &mut Cx<'_>, path: &Pointer) -> Option<Vec<(i64, Str)>> {
    let (mut all, mut sound) = (Vec::new(), true);
    for (name, at) in entries(cx, path) {
        let priority = name.parse::<i64>().ok();
        if priority.is_none() {
            cx.error("WT0118", format!("`{name}` is not a priority"), "expected a whole number as the key", &at);
        }
        for item in cx.items(&at) {
            let pattern = pattern(cx, &item);
            sound &= pattern.is_some();
            all.extend(priority.zip(pattern));
        }
        sound &= priority.is_some();
    }
    all.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    sound.then_some(all)
}

/// A pattern of pool names.
fn pattern(cx: &mut Cx<'_>, path: &Pointer) -> Option<Str> {
    let text = cx.read::<String>(path)?;
    let Err(why) = Pattern::new(&text) else { return Some(text.into()) };
    let diagnostic = Diagnostic::error("WT0118", format!("`{text}` is not a pattern")).label(why);
    cx.push(diagnostic.help("a regular expression that is looked for in names of pools, such as `.*spot.*`"), path);
    None
}

fn replace<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}

/// A duration; a bare number is seconds, as in flags whose names end in Seconds.
fn span(cx: &mut Cx<'_>, path: &Pointer) -> Option<SimDuration> {
    let scalar: DurationText = cx.read(path)?;
    match scalar.number {
        Some(seconds) => cx.within(seconds, 0.0, "a duration", path).map(SimDuration::from_secs_f64),
        None => cx.duration(&scalar, path),
    }
}
