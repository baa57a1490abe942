//! VerticalPodAutoscaler (autoscaling.k8s.io/v1): what a workload's containers should ask for.

use crate::{ConditionStatus, ObjectMeta, ResourceList, ResourceName, Str};

/// When recommendations are applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum VpaUpdateMode {
    Off,
    Initial,
    /// Also `Auto`, its old name.
    #[default]
    Recreate,
    InPlaceOrRecreate,
    InPlace,
}

impl VpaUpdateMode {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Initial => "Initial",
            Self::Recreate => "Recreate",
            Self::InPlaceOrRecreate => "InPlaceOrRecreate",
            Self::InPlace => "InPlace",
        }
    }
}

/// A condition under which a pod may be evicted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VpaEvictionRequirement {
    /// One of these must change so.
    pub resources: Vec<ResourceName>,
    /// TargetHigherThanRequests; otherwise TargetLowerThanRequests.
    pub is_higher: bool,
}

/// How one container, or every other one (`*`), is scaled.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct VpaContainerPolicy {
    /// The container, or `*`.
    pub container: Str,
    /// `mode: Off`: it is left alone.
    pub is_off: bool,
    /// Least that is recommended.
    pub min_allowed: ResourceList,
    /// Most that is recommended.
    pub max_allowed: ResourceList,
    /// Resources that are recommended; `None` means cpu and memory.
    pub controlled_resources: Option<Vec<ResourceName>>,
    /// `controlledValues: RequestsOnly`: limits stay.
    pub requests_only: bool,
}

/// What is recommended for one container.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct VpaRecommendation {
    /// The container.
    pub container: Str,
    /// What it should ask for.
    pub target: ResourceList,
    /// Below this it is worth an eviction.
    pub lower_bound: ResourceList,
    /// And above this.
    pub upper_bound: ResourceList,
    /// The target before the policy.
    pub uncapped_target: ResourceList,
}

/// A VerticalPodAutoscaler.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct VerticalPodAutoscaler {
    /// Name.
    pub meta: ObjectMeta,
    /// Kind of the target.
    pub target_kind: Str,
    /// Name of the target.
    pub target_name: Str,
    /// When recommendations are applied.
    pub update_mode: VpaUpdateMode,
    /// Fewest pods that must live for one to be evicted; `None` leaves the updater's own.
    pub min_replicas: Option<i32>,
    /// All must hold for an eviction.
    pub eviction_requirements: Vec<VpaEvictionRequirement>,
    /// By container.
    pub container_policies: Vec<VpaContainerPolicy>,
    /// `status.recommendation`, by container.
    pub recommendation: Vec<VpaRecommendation>,
    /// Conditions ConfigUnsupported, NoPodsMatched and RecommendationProvided, those that there are: status and reason.
    pub conditions: [Option<(ConditionStatus, &'static str)>; 3],
}

impl VerticalPodAutoscaler {
    /// The policy of a container: its own, or that of all others.
    #[must_use]
    pub fn policy(&self, container: &str) -> Option<&VpaContainerPolicy> {
        let of = |name: &str| self.container_policies.iter().find(|policy| &*policy.container == name);
        of(container).or_else(|| of("*"))
    }
    /// What is recommended for a container.
    #[must_use]
    pub fn recommended(&self, container: &str) -> Option<&VpaRecommendation> {
        self.recommendation.iter().find(|one| &*one.container == container)
    }
}
