//! DaemonSets: a pod on every node that is meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{IntOrPercent, LabelSelector, ObjectMeta, PodTemplate, SimDuration, SimTime, Str};

/// How a DaemonSet replaces pods of an old template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DaemonSetUpdateStrategy {
    /// Whoever deletes a pod gets one of the new template.
    OnDelete,
    /// Step by step.
    RollingUpdate {
        /// On how many nodes an old and a new pod may be at once.
        max_surge: IntOrPercent,
        /// On how many nodes no pod may be available.
        max_unavailable: IntOrPercent,
    },
}

impl Default for DaemonSetUpdateStrategy {
    fn default() -> Self {
        Self::RollingUpdate { max_surge: IntOrPercent::Count(0), max_unavailable: IntOrPercent::Count(1) }
    }
}

/// What is observed of a DaemonSet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DaemonSetStatus {
    /// Generation acted on.
    pub observed_generation: u64,
    /// Nodes that should run a pod.
    pub desired_number_scheduled: i32,
    /// Those of them that have one.
    pub current_number_scheduled: i32,
    /// Nodes that have one and should not.
    pub number_misscheduled: i32,
    /// Nodes whose pod is ready.
    pub number_ready: i32,
    /// Nodes whose pod is of the newest template.
    pub updated_number_scheduled: i32,
    /// Nodes whose pod is available.
    pub number_available: i32,
    /// Nodes whose pod is not.
    pub number_unavailable: i32,
    /// Collisions of revision names met.
    pub collision_count: u32,
    /// How long failed pods stay before they are replaced, by node, and since when. Not an official field: upstream's
    /// controller has it in its memory.
    pub failed_pods: BTreeMap<Str, (SimDuration, SimTime)>,
}

/// A DaemonSet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DaemonSet {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Which pods are its own.
    pub selector: Arc<LabelSelector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// How pods are replaced.
    pub update_strategy: DaemonSetUpdateStrategy,
    /// How long a pod must be ready to count as available.
    pub min_ready: SimDuration,
    /// How many old revisions are kept.
    pub revision_history_limit: i32,
    /// How often its template has been changed: one less than annotation `deprecated.daemonset.template.generation`.
    pub template_changes: u64,
    /// What is observed.
    pub status: DaemonSetStatus,
}
