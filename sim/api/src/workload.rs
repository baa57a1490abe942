//! Objects that make pods, scale them, or limit how they are disturbed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{LabelSelector, Labels, ObjectMeta, PersistentVolumeClaim, PodSpec, PreemptionPolicy, ResourceName, SimDuration, SimTime, Str};

/// A pod template.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodTemplate {
    /// Labels of its pods.
    pub labels: Arc<Labels>,
    /// Annotations of its pods.
    pub annotations: Arc<Labels>,
    /// What its pods ask for.
    pub spec: Arc<PodSpec>,
}

/// A count, or a percentage of some total.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IntOrPercent {
    /// A count.
    Count(i32),
    /// A percentage.
    Percent(i32),
}

impl IntOrPercent {
    /// The count out of `total`, rounding a fraction up.
    #[must_use]
    pub fn scaled_up(self, total: i32) -> i32 {
        self.scaled(total, 99)
    }
    /// The count out of `total`, rounding a fraction down.
    #[must_use]
    pub fn scaled_down(self, total: i32) -> i32 {
        self.scaled(total, 0)
    }
    fn scaled(self, total: i32, bias: i64) -> i32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => ((i64::from(percent) * i64::from(total) + bias).div_euclid(100)) as i32,
        }
    }
}

/// How a Deployment replaces pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeploymentStrategy {
    /// All old pods go before new ones come.
    Recreate,
    /// Step by step.
    RollingUpdate {
        /// How many more than wanted there may be.
        max_surge: IntOrPercent,
        /// How many fewer than wanted may be available.
        max_unavailable: IntOrPercent,
    },
}

impl Default for DeploymentStrategy {
    fn default() -> Self {
        Self::RollingUpdate { max_surge: IntOrPercent::Percent(25), max_unavailable: IntOrPercent::Percent(25) }
    }
}

/// A condition of a workload.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WorkloadCondition {
    /// True, False or Unknown.
    pub status: crate::ConditionStatus,
    /// Reason.
    pub reason: Str,
    /// Message.
    pub message: Str,
    /// Last change of status.
    pub since: SimTime,
    /// Last update (Progressing is refreshed without changing).
    pub updated: SimTime,
}

/// What is observed of a Deployment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeploymentStatus {
    /// Generation acted on.
    pub observed_generation: u64,
    /// Pods there are.
    pub replicas: i32,
    /// Of the newest template.
    pub updated: i32,
    /// Ready.
    pub ready: i32,
    /// Ready for minReadySeconds.
    pub available: i32,
    /// Wanted of all ReplicaSets together and not available.
    pub unavailable: i32,
    /// Being deleted and not finished.
    pub terminating: i32,
    /// Annotation `deployment.kubernetes.io/revision`, which is written with the status.
    pub revision: u64,
    /// Condition Available.
    pub available_condition: Option<WorkloadCondition>,
    /// Condition Progressing.
    pub progressing: Option<WorkloadCondition>,
    /// Condition ReplicaFailure: that of its newest ReplicaSet.
    pub replica_failure: Option<WorkloadCondition>,
}

/// A Deployment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Deployment {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Wanted pods.
    pub replicas: i32,
    /// Which pods are its own.
    pub selector: Arc<LabelSelector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// How pods are replaced.
    pub strategy: DeploymentStrategy,
    /// How long a pod must be ready to count as available.
    pub min_ready: SimDuration,
    /// How many old ReplicaSets are kept.
    pub revision_history_limit: i32,
    /// How long without progress until that is reported.
    pub progress_deadline: SimDuration,
    /// Holds rollouts.
    pub paused: bool,
    /// Hash collisions met.
    pub collision_count: u32,
    /// What is observed.
    pub status: DeploymentStatus,
}

/// What is observed of a ReplicaSet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReplicaSetStatus {
    /// Generation acted on.
    pub observed_generation: u64,
    /// Active pods.
    pub replicas: i32,
    /// Ready.
    pub ready: i32,
    /// Available.
    pub available: i32,
    /// Condition ReplicaFailure, while there is one.
    pub replica_failure: Option<WorkloadCondition>,
    /// Being deleted and not finished.
    pub terminating: i32,
}

/// A ReplicaSet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReplicaSet {
    /// Name, labels, owner.
    pub meta: ObjectMeta,
    /// Wanted pods.
    pub replicas: i32,
    /// Which pods are its own.
    pub selector: Arc<LabelSelector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// How long a pod must be ready to count as available.
    pub min_ready: SimDuration,
    /// The Deployment's revision this one stands for (annotation `deployment.kubernetes.io/revision`).
    pub revision: u64,
    /// Annotation `deployment.kubernetes.io/desired-replicas`.
    pub desired_annotation: Option<i32>,
    /// Annotation `deployment.kubernetes.io/max-replicas`.
    pub max_annotation: Option<i32>,
    /// What is observed.
    pub status: ReplicaSetStatus,
}

/// In which order a StatefulSet makes and removes its pods.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum PodManagementPolicy {
    #[default]
    OrderedReady,
    Parallel,
}

/// How a StatefulSet replaces pods of an old revision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StatefulSetUpdateStrategy {
    /// Whoever deletes a pod gets one of the new revision.
    OnDelete,
    /// From the highest ordinal down.
    RollingUpdate {
        /// Ordinals below it keep the current revision; absent when the manifest names the type alone.
        partition: Option<i32>,
    },
}

impl Default for StatefulSetUpdateStrategy {
    fn default() -> Self {
        Self::RollingUpdate { partition: Some(0) }
    }
}

/// When the claims of a StatefulSet go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ClaimRetentionPolicy {
    /// With the StatefulSet, instead of never.
    pub delete_when_deleted: bool,
    /// With the pod that a smaller scale removes, instead of never.
    pub delete_when_scaled: bool,
}

/// What is observed of a StatefulSet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StatefulSetStatus {
    /// Generation acted on.
    pub observed_generation: u64,
    /// Pods there are.
    pub replicas: i32,
    /// Running and ready.
    pub ready: i32,
    /// Ready for minReadySeconds.
    pub available: i32,
    /// Of the current revision.
    pub current: i32,
    /// Of the update revision.
    pub updated: i32,
    /// The revision that pods had before the update, by name.
    pub current_revision: Str,
    /// The revision that pods are to have, by name.
    pub update_revision: Str,
    /// Collisions of revision names met.
    pub collision_count: u32,
}

/// A StatefulSet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StatefulSet {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Wanted pods.
    pub replicas: i32,
    /// Which pods are its own.
    pub selector: Arc<LabelSelector>,
    /// What its pods look like, without the volumes that the claims add.
    pub template: Arc<PodTemplate>,
    /// A claim of each for every pod; its name is the volume's.
    pub volume_claim_templates: Vec<PersistentVolumeClaim>,
    /// In which order pods come and go.
    pub pod_management: PodManagementPolicy,
    /// How pods are replaced.
    pub update_strategy: StatefulSetUpdateStrategy,
    /// How long a pod must be ready to count as available.
    pub min_ready: SimDuration,
    /// How many revisions that no pod has are kept.
    pub revision_history_limit: i32,
    /// The first ordinal.
    pub ordinals_start: i32,
    /// When claims go.
    pub claim_retention: ClaimRetentionPolicy,
    /// What is observed.
    pub status: StatefulSetStatus,
}

/// A template that a StatefulSet or a DaemonSet once had.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ControllerRevision {
    /// Name, labels, owner.
    pub meta: ObjectMeta,
    /// Its place in the history; the largest is the newest.
    pub revision: u64,
    /// The template.
    pub template: Arc<PodTemplate>,
}

/// A workload kind that is kept for its place in scheduling (spread defaults) and named as not simulated.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OtherWorkload {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Which pods are its own, when it has a selector.
    pub selector: Option<Arc<LabelSelector>>,
    /// Wanted pods, where the kind has such a field.
    pub replicas: i32,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
}

/// What a HorizontalPodAutoscaler holds a metric against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetricTarget {
    /// Per cent of the request.
    AverageUtilization(i32),
    /// Per pod, in the metric's milli-units (millicpu; thousandths of a byte).
    AverageValueMillis(i64),
    /// In all, in milli-units.
    ValueMillis(i64),
    /// None that the metric's type knows; its controller says so.
    Unset,
}

/// A metric by name, and which of its series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetricIdentifier {
    /// Name.
    pub name: Str,
    /// On the metric's own labels; `None` takes all.
    pub selector: Option<LabelSelector>,
}

/// The object that a metric describes, in the autoscaler's namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "official names")]
pub struct DescribedObject {
    pub api_version: Str,
    pub kind: Str,
    pub name: Str,
}

/// Where a HorizontalPodAutoscaler's metric comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetricSource {
    /// A resource of the whole pod.
    Resource(ResourceName),
    /// A resource of one container.
    ContainerResource(ResourceName, Str),
    /// A metric that each pod has.
    Pods(MetricIdentifier),
    /// A metric of one object.
    Object(MetricIdentifier, DescribedObject),
    /// A metric of something outside of the cluster.
    External(MetricIdentifier),
}

/// One metric of a HorizontalPodAutoscaler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetricSpec {
    /// What is measured.
    pub source: MetricSource,
    /// What it should be.
    pub target: MetricTarget,
}

/// How the limits of several policies combine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ScalingPolicySelect {
    #[default]
    Max,
    Min,
    Disabled,
}

/// A limit on the speed of scaling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScalingPolicy {
    /// Pods, or per cent.
    pub amount: IntOrPercent,
    /// Within this time.
    pub period: SimDuration,
}

/// Rules for one direction of scaling, with upstream's defaults filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScalingRules {
    /// Look-back.
    pub stabilization_window: Option<SimDuration>,
    /// How policies combine.
    pub select: ScalingPolicySelect,
    /// Limits.
    pub policies: Vec<ScalingPolicy>,
    /// Tolerance in millionths; `None` takes the controller's.
    pub tolerance_micros: Option<i64>,
}

/// `spec.behavior`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HpaBehavior {
    /// Up.
    pub scale_up: ScalingRules,
    /// Down.
    pub scale_down: ScalingRules,
}

/// A HorizontalPodAutoscaler (v2).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HorizontalPodAutoscaler {
    /// Name.
    pub meta: ObjectMeta,
    /// Kind of the target.
    pub target_kind: Str,
    /// Name of the target.
    pub target_name: Str,
    /// Fewest pods.
    pub min_replicas: i32,
    /// Most pods.
    pub max_replicas: i32,
    /// Metrics; never empty after defaulting.
    pub metrics: Vec<MetricSpec>,
    /// Only when the user wrote one.
    pub behavior: Option<HpaBehavior>,
    /// `status.currentReplicas`.
    pub current_replicas: i32,
    /// `status.desiredReplicas`.
    pub desired_replicas: i32,
    /// When it last scaled.
    pub last_scale: Option<SimTime>,
    /// Conditions AbleToScale, ScalingActive, ScalingLimited and ScaledToZero, those that there are: status and reason.
    pub conditions: [Option<(crate::ConditionStatus, &'static str)>; 4],
}

/// A PodDisruptionBudget.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodDisruptionBudget {
    /// Name.
    pub meta: ObjectMeta,
    /// Which pods; absent selects none.
    pub selector: Option<LabelSelector>,
    /// Fewest healthy.
    pub min_available: Option<IntOrPercent>,
    /// Most unhealthy.
    pub max_unavailable: Option<IntOrPercent>,
    /// `unhealthyPodEvictionPolicy: AlwaysAllow`.
    pub always_allow_unhealthy: bool,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i32,
    /// `status.currentHealthy`.
    pub current_healthy: i32,
    /// `status.desiredHealthy`.
    pub desired_healthy: i32,
    /// `status.expectedPods`.
    pub expected_pods: i32,
    /// Reason of condition DisruptionAllowed, which is True when it is `SufficientPods`; `None` until it was looked at.
    pub disruption_allowed: Option<&'static str>,
    /// `status.observedGeneration`.
    pub observed_generation: u64,
    /// `status.disruptedPods`: pod name to time.
    pub disrupted_pods: BTreeMap<Str, SimTime>,
}

/// A PriorityClass.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PriorityClass {
    /// Name.
    pub meta: ObjectMeta,
    /// Value.
    pub value: i32,
    /// Applies to pods without a class.
    pub global_default: bool,
    /// Preemption policy of its pods.
    pub preemption_policy: PreemptionPolicy,
}
