//! Pods: what a template asks for, and what a kubelet reports.
//!
//! The spec holds everything a scheduler, a kubelet or a controller of 1.36 looks at. It is shared by
//! all pods of one template (`Arc<PodSpec>`); what differs between them is in [`Pod`] itself.

use std::sync::Arc;

use crate::{
    EphemeralClaim, LabelSelector, Labels, ObjectMeta, Operator, Requirement, ResourceList, ResourceName, Resources, SimDuration, SimTime,
    Str, Taint, TaintEffect,
};

/// True, False or Unknown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ConditionStatus {
    True,
    #[default]
    False,
    Unknown,
}

impl ConditionStatus {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
    /// Whether it is True.
    #[must_use]
    pub const fn is_true(self) -> bool {
        matches!(self, Self::True)
    }
}

/// One condition of a pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Condition {
    /// Status.
    pub status: ConditionStatus,
    /// Reason; empty when there is none.
    pub reason: Str,
    /// When the status last changed.
    pub since: SimTime,
}

/// What an image pull does when the image is on the node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ImagePullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// When a stopped container is started again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// A port of a container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerPort {
    /// Name, or empty.
    pub name: Str,
    /// Port in the pod.
    pub container_port: u16,
    /// Port on the node; zero when none.
    pub host_port: u16,
    /// Address on the node; empty means all.
    pub host_ip: Str,
    /// TCP, UDP or SCTP.
    pub protocol: Str,
}

/// How a probe asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProbeHandler {
    /// An HTTP request that the workload itself answers.
    HttpGet,
    /// A TCP connection.
    TcpSocket,
    /// A gRPC health check.
    Grpc,
    /// A command inside the container, with its words.
    Exec(Vec<Str>),
}

/// A probe, with upstream's defaults filled in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Probe {
    /// How it asks.
    pub handler: ProbeHandler,
    /// Wait after the container's start.
    pub initial_delay: SimDuration,
    /// Time for an answer.
    pub timeout: SimDuration,
    /// Time between attempts.
    pub period: SimDuration,
    /// Successes in a row that count.
    pub success_threshold: u32,
    /// Failures in a row that count.
    pub failure_threshold: u32,
    /// Grace of a kill by this probe, if it differs from the pod's.
    pub termination_grace_period: Option<SimDuration>,
}

/// What runs before a container is told to stop.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LifecycleHandler {
    /// Sleeps this long.
    Sleep(SimDuration),
    /// A command or request whose time a behavior gives; none is assumed otherwise.
    Other,
}

/// A container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Container {
    /// Name.
    pub name: Str,
    /// Image reference as written.
    pub image: Str,
    /// Pull policy, defaulted from the tag.
    pub image_pull_policy: ImagePullPolicy,
    /// Arguments (`command` then `args`).
    pub args: Vec<Str>,
    /// Requests, defaulted from limits.
    pub requests: ResourceList,
    /// Limits.
    pub limits: ResourceList,
    /// Ports.
    pub ports: Vec<ContainerPort>,
    /// Startup probe.
    pub startup_probe: Option<Probe>,
    /// Liveness probe.
    pub liveness_probe: Option<Probe>,
    /// Readiness probe.
    pub readiness_probe: Option<Probe>,
    /// postStart hook.
    pub post_start: Option<LifecycleHandler>,
    /// preStop hook.
    pub pre_stop: Option<LifecycleHandler>,
    /// An init container with `restartPolicy: Always`.
    pub is_sidecar: bool,
    /// Its own restart policy; `None` takes the pod's.
    pub restart_policy: Option<RestartPolicy>,
    /// What goes before its own restart policy, by exit code; the first that matches holds.
    pub restart_rules: Vec<ContainerRestartRule>,
    /// Resources whose resize starts it anew (`resizePolicy`).
    pub restarts_on_resize: Vec<ResourceName>,
}

/// What an exit with certain codes leads to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerRestartRule {
    /// Whether the codes are those that match (`In`), or those that do not (`NotIn`).
    pub matches_listed: bool,
    /// Exit codes.
    pub exit_codes: Vec<i32>,
    /// `RestartAllContainers` instead of `Restart`.
    pub restarts_all: bool,
}

impl Container {
    /// The rule for an exit with this code. Rules hold only beside a restart policy of the container's own.
    /// Upstream: FindMatchingContainerRestartRule in pkg/api/v1/pod/util.go.
    #[must_use]
    pub fn restart_rule(&self, exit_code: i32) -> Option<&ContainerRestartRule> {
        self.restart_policy?;
        self.restart_rules.iter().find(|rule| rule.exit_codes.contains(&exit_code) == rule.matches_listed)
    }
}

/// One term of a node selector: all expressions and all fields must match. Empty matches nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct NodeSelectorTerm {
    /// On labels.
    pub match_expressions: Vec<Requirement>,
    /// On fields; only `metadata.name` exists.
    pub match_fields: Vec<Requirement>,
}

impl NodeSelectorTerm {
    /// Whether a node with this name and these labels matches.
    #[must_use]
    pub fn matches(&self, node_name: &Str, labels: &Labels) -> bool {
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return false;
        }
        let name_field = || Labels::from([("metadata.name".into(), node_name.clone())]);
        self.match_expressions.iter().all(|requirement| requirement.matches(labels))
            && (self.match_fields.is_empty() || self.match_fields.iter().all(|requirement| requirement.matches(&name_field())))
    }
}

/// A term with a weight.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PreferredSchedulingTerm {
    /// 1..100.
    pub weight: i32,
    /// The preference.
    pub preference: NodeSelectorTerm,
}

/// Attraction to nodes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct NodeAffinity {
    /// Terms of which one must match; `None` asks nothing.
    pub required: Option<Vec<NodeSelectorTerm>>,
    /// Weighted wishes.
    pub preferred: Vec<PreferredSchedulingTerm>,
}

/// A term about other pods.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodAffinityTerm {
    /// Which pods; absent matches none, empty matches all.
    pub label_selector: Option<LabelSelector>,
    /// Namespaces by name.
    pub namespaces: Vec<Str>,
    /// Namespaces by label; absent adds none, empty adds all.
    pub namespace_selector: Option<LabelSelector>,
    /// The label that makes nodes one domain.
    pub topology_key: Str,
    /// Keys whose own value is added to the selector as `In`.
    pub match_label_keys: Vec<Str>,
    /// Keys whose own value is added to the selector as `NotIn`.
    pub mismatch_label_keys: Vec<Str>,
}

/// A weighted term about other pods.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WeightedPodAffinityTerm {
    /// 1..100.
    pub weight: i32,
    /// The term.
    pub term: PodAffinityTerm,
}

/// Attraction to, or repulsion from, other pods.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PodAffinity {
    /// Terms that must hold.
    pub required: Vec<PodAffinityTerm>,
    /// Weighted wishes.
    pub preferred: Vec<WeightedPodAffinityTerm>,
}

/// All affinities of a pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Affinity {
    /// To nodes.
    pub node: Option<NodeAffinity>,
    /// To pods.
    pub pod: Option<PodAffinity>,
    /// Away from pods.
    pub pod_anti: Option<PodAffinity>,
}

/// How a toleration compares the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum TolerationOperator {
    #[default]
    Equal,
    Exists,
    Gt,
    Lt,
}

/// A toleration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Toleration {
    /// Key; empty with Exists tolerates every key.
    pub key: Str,
    /// Operator.
    pub operator: TolerationOperator,
    /// Value.
    pub value: Str,
    /// Effect; absent tolerates every effect.
    pub effect: Option<TaintEffect>,
    /// How long a NoExecute taint is tolerated; absent means for ever. Negative acts as zero.
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    /// Whether `taint` is tolerated. `comparison_operators` is the gate TaintTolerationComparisonOperators
    /// (off in 1.36), without which Gt and Lt match nothing.
    ///
    /// Upstream: staging/src/k8s.io/api/core/v1/toleration.go.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint, comparison_operators: bool) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) || (!self.key.is_empty() && self.key != taint.key) {
            return false;
        }
        let compare = |holds: fn(i64, i64) -> bool| {
            comparison_operators
                && matches!((taint.value.parse::<i64>(), self.value.parse::<i64>()), (Ok(taint), Ok(own)) if holds(taint, own))
        };
        match self.operator {
            TolerationOperator::Equal => self.value == taint.value,
            TolerationOperator::Exists => true,
            TolerationOperator::Gt => compare(|taint, own| taint > own),
            TolerationOperator::Lt => compare(|taint, own| taint < own),
        }
    }
}

/// What happens when a spread constraint cannot be met.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum WhenUnsatisfiable {
    DoNotSchedule,
    ScheduleAnyway,
}

/// A topology spread constraint, with upstream's defaults filled in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopologySpreadConstraint {
    /// Allowed difference.
    pub max_skew: i32,
    /// The label that makes nodes one domain.
    pub topology_key: Str,
    /// Hard or soft.
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// Which pods are counted.
    pub label_selector: Option<LabelSelector>,
    /// Fewer domains than this count as a minimum of zero.
    pub min_domains: Option<i32>,
    /// Whether nodes the pod's own affinity excludes are left out (default true: Honor).
    pub honor_node_affinity: bool,
    /// Whether nodes with untolerated taints are left out (default false: Ignore).
    pub honor_node_taints: bool,
    /// Keys whose own value is added to the selector.
    pub match_label_keys: Vec<Str>,
}

/// Whether a pod may push others out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum PreemptionPolicy {
    #[default]
    PreemptLowerPriority,
    Never,
}

/// A volume, as far as scheduling and eviction look at it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VolumeSource {
    /// A claim by name.
    PersistentVolumeClaim(Str),
    /// A generic ephemeral volume: the claim is named `<pod>-<volume>`.
    Ephemeral(Box<EphemeralClaim>),
    /// emptyDir.
    EmptyDir,
    /// hostPath.
    HostPath,
    /// A CSI inline volume of this driver.
    Csi(Str),
    /// A GCE persistent disk.
    GcePersistentDisk {
        /// Disk name.
        name: Str,
        /// Mounted read-only.
        read_only: bool,
    },
    /// An AWS EBS volume.
    AwsElasticBlockStore {
        /// Volume id.
        id: Str,
        /// Mounted read-only.
        read_only: bool,
    },
    /// An iSCSI target.
    Iscsi {
        /// Qualified name, portal and lun in one.
        iqn: Str,
        /// Mounted read-only.
        read_only: bool,
    },
    /// A Ceph RBD image.
    Rbd {
        /// Monitors, in order.
        monitors: Vec<Str>,
        /// Pool.
        pool: Str,
        /// Image.
        image: Str,
        /// Mounted read-only.
        read_only: bool,
    },
    /// An OCI image mounted as a volume, by reference.
    Image(Str),
    /// Anything that neither scheduling nor the kubelet model looks at (configMap, secret, projected, …).
    Other,
}

/// A named volume.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Volume {
    /// Name.
    pub name: Str,
    /// Source.
    pub source: VolumeSource,
}

/// What a pod asks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodSpec {
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers and sidecars, in order.
    pub init_containers: Vec<Container>,
    /// Pod-level requests; `None` when `spec.resources` is absent.
    pub pod_requests: Option<ResourceList>,
    /// Pod-level limits.
    pub pod_limits: Option<ResourceList>,
    /// Overhead of its runtime class.
    pub overhead: ResourceList,
    /// Labels a node must have.
    pub node_selector: Labels,
    /// Affinities.
    pub affinity: Affinity,
    /// Tolerations, in order.
    pub tolerations: Vec<Toleration>,
    /// Topology spread constraints.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority after admission.
    pub priority: i32,
    /// Priority class by name, or empty.
    pub priority_class_name: Str,
    /// Whether it may preempt.
    pub preemption_policy: PreemptionPolicy,
    /// The profile that schedules it.
    pub scheduler_name: Str,
    /// Gates that hold it back.
    pub scheduling_gates: Vec<Str>,
    /// Uses the node's network.
    pub host_network: bool,
    /// Features that its node has to declare, as kube-scheduler infers them from the rest of the spec.
    pub required_node_features: Vec<Str>,
    /// Restart policy.
    pub restart_policy: RestartPolicy,
    /// Grace at deletion.
    pub termination_grace_period: SimDuration,
    /// Longest life since its start.
    pub active_deadline: Option<SimDuration>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Condition types that Ready waits for.
    pub readiness_gates: Vec<Str>,
}

impl Default for PodSpec {
    fn default() -> Self {
        Self {
            containers: Vec::new(),
            init_containers: Vec::new(),
            pod_requests: None,
            pod_limits: None,
            overhead: ResourceList::new(),
            node_selector: Labels::new(),
            affinity: Affinity::default(),
            tolerations: Vec::new(),
            topology_spread_constraints: Vec::new(),
            priority: 0,
            priority_class_name: Str::default(),
            preemption_policy: PreemptionPolicy::default(),
            scheduler_name: "default-scheduler".into(),
            scheduling_gates: Vec::new(),
            host_network: false,
            required_node_features: Vec::new(),
            restart_policy: RestartPolicy::default(),
            termination_grace_period: SimDuration::from_secs(30),
            active_deadline: None,
            volumes: Vec::new(),
            readiness_gates: Vec::new(),
        }
    }
}

impl PodSpec {
    /// What the pod asks of its node: the larger of what its containers and sidecars ask together and what
    /// each init container asks beside the sidecars before it; pod-level requests replace the result per
    /// resource; overhead comes on top.
    ///
    /// `of` gives a container's own list (its requests, or its requests with defaults filled in).
    /// Upstream: staging/src/k8s.io/component-helpers/resource/helpers.go.
    pub fn aggregate(&self, use_pod_level: bool, of: impl Fn(&Container) -> ResourceList) -> Resources {
        let mut running = Resources::default();
        for container in &self.containers {
            running.add_list(&of(container));
        }
        let mut sidecars = Resources::default();
        let mut starting = Resources::default();
        for container in &self.init_containers {
            let own = of(container);
            if container.is_sidecar {
                sidecars.add_list(&own);
                running.add_list(&own);
                starting.max(&sidecars);
            } else {
                let mut beside = sidecars.clone();
                beside.add_list(&own);
                starting.max(&beside);
            }
        }
        running.max(&starting);
        if let (true, Some(pod_level)) = (use_pod_level, &self.pod_requests) {
            for (name, amount) in pod_level {
                let replaces = matches!(name, ResourceName::Cpu | ResourceName::Memory) || name.as_str().starts_with("hugepages-");
                if replaces {
                    *running.get_mut(name) = *amount;
                }
            }
        }
        running.add_list(&self.overhead);
        running
    }

    /// Merges `matchLabelKeys` and `mismatchLabelKeys` into the selectors beside them, with the values that the pod's
    /// own `labels` have, as the API server does when a pod is created. Keys that the pod lacks, and selectors that
    /// are absent, are left alone.
    ///
    /// Upstream: pkg/registry/core/pod/strategy.go.
    pub fn merge_match_label_keys(&mut self, labels: &Labels) {
        let merge = |selector: &mut Option<LabelSelector>, keys: &[Str], operator: Operator| {
            let Some(selector) = selector else { return };
            for key in keys {
                if let Some(value) = labels.get(key) {
                    selector.match_expressions.push(Requirement { key: key.clone(), operator, values: vec![value.clone()] });
                }
            }
        };
        for affinity in [&mut self.affinity.pod, &mut self.affinity.pod_anti].into_iter().flatten() {
            let preferred = affinity.preferred.iter_mut().map(|weighted| &mut weighted.term);
            for term in affinity.required.iter_mut().chain(preferred) {
                merge(&mut term.label_selector, &term.match_label_keys, Operator::In);
                merge(&mut term.label_selector, &term.mismatch_label_keys, Operator::NotIn);
            }
        }
        for constraint in &mut self.topology_spread_constraints {
            merge(&mut constraint.label_selector, &constraint.match_label_keys, Operator::In);
        }
    }

    /// What the pod asks of its node.
    #[must_use]
    pub fn requests(&self) -> Resources {
        self.aggregate(true, |container| container.requests.clone())
    }
}

/// Where a pod is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum PodPhase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl PodPhase {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
    /// Whether it is over.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What a container does now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContainerState {
    /// Not running yet, or not again; with the reason (ContainerCreating, CrashLoopBackOff, ImagePullBackOff, …).
    Waiting {
        /// Reason.
        reason: &'static str,
    },
    /// Running since.
    Running {
        /// Start.
        started: SimTime,
    },
    /// Stopped.
    Terminated {
        /// Exit code.
        exit_code: i32,
        /// Completed, Error, OOMKilled, …
        reason: &'static str,
        /// End.
        finished: SimTime,
    },
}

/// How a container ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termination {
    /// Exit code.
    pub exit_code: i32,
    /// Completed, Error, OOMKilled, …
    pub reason: &'static str,
    /// End.
    pub finished: SimTime,
}

/// What the kubelet reports of one container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerStatus {
    /// Now.
    pub state: ContainerState,
    /// Ready.
    pub ready: bool,
    /// Startup probe passed, or running without one.
    pub started: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// How it ended before (`lastState.terminated`).
    pub last: Option<Box<Termination>>,
    /// Requests the kubelet has applied (`status.containerStatuses[].resources.requests`), when they are reported.
    pub requests: Option<Box<ResourceList>>,
    /// `status.containerStatuses[].allocatedResources`, when reported.
    pub allocated: Option<Box<ResourceList>>,
}

/// The conditions of a pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodConditions {
    /// PodScheduled.
    pub scheduled: Condition,
    /// PodReadyToStartContainers; `None` until a kubelet says so. It has no reason.
    pub ready_to_start_containers: Option<bool>,
    /// Initialized.
    pub initialized: Condition,
    /// ContainersReady.
    pub containers_ready: Condition,
    /// Ready.
    pub ready: Condition,
    /// Reason of DisruptionTarget=True; empty when it is not set.
    pub disruption_target: Str,
    /// PodResizePending with reason Infeasible.
    pub resize_infeasible: bool,
    /// PodResizePending with reason Deferred.
    pub resize_deferred: bool,
    /// PodResizeInProgress.
    pub resize_in_progress: bool,
}

/// What is observed of a pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodStatus {
    /// Phase.
    pub phase: PodPhase,
    /// Why, when it is unusual (Evicted, …); empty otherwise.
    pub reason: Str,
    /// Conditions.
    pub conditions: PodConditions,
    /// Containers, in the spec's order.
    pub containers: Vec<ContainerStatus>,
    /// Init containers, in the spec's order.
    pub init_containers: Vec<ContainerStatus>,
    /// Whether it has an address.
    pub has_ip: bool,
    /// When the kubelet took it on.
    pub start_time: Option<SimTime>,
    /// Where preemption made room for it.
    pub nominated_node_name: Option<Str>,
}

/// A pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Pod {
    /// Name, labels, owner.
    pub meta: ObjectMeta,
    /// What it asks for.
    pub spec: Arc<PodSpec>,
    /// Where it is bound.
    pub node_name: Option<Str>,
    /// What is observed.
    pub status: PodStatus,
}

impl Pod {
    /// Not finished and not being deleted.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.status.phase.is_terminal() && !self.meta.is_deleting()
    }
    /// The Ready condition is True.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.status.conditions.ready.status.is_true()
    }
    /// Ready for at least `min_ready` at `now`.
    #[must_use]
    pub fn is_available(&self, min_ready: SimDuration, now: SimTime) -> bool {
        self.is_ready() && (min_ready.is_zero() || self.ready_since() + min_ready <= now)
    }
    /// What it holds of its node: what is allocated to its containers where that is reported, else what they ask for.
    #[must_use]
    pub fn allocated_requests(&self) -> Resources {
        let statuses = self.status.containers.iter().chain(&self.status.init_containers);
        if statuses.clone().all(|status| status.allocated.is_none()) {
            return self.spec.requests();
        }
        self.spec.aggregate(true, |container| self.allocated(container).unwrap_or(&container.requests).clone())
    }
    /// Statuses stand in the spec's order.
    fn allocated(&self, container: &Container) -> Option<&ResourceList> {
        let place = |list: &[Container]| list.iter().position(|other| other.name == container.name);
        let status = match place(&self.spec.containers) {
            Some(at) => self.status.containers.get(at),
            None => place(&self.spec.init_containers).and_then(|at| self.status.init_containers.get(at)),
        };
        status?.allocated.as_deref()
    }
    /// When Ready last changed, as the API server keeps it: in whole seconds, rounded down.
    #[must_use]
    pub const fn ready_since(&self) -> SimTime {
        SimTime::from_secs(self.status.conditions.ready.since.as_secs())
    }
    /// Restarts of all containers together.
    #[must_use]
    pub fn restart_count(&self) -> u32 {
        self.status.containers.iter().chain(&self.status.init_containers).map(|container| container.restart_count).sum()
    }
}
