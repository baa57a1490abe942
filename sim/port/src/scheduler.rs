//! The scheduler's side of the contract: one pod and a snapshot in, one decision out.

use api::{CsiDriver, CsiNode, CsiStorageCapacity, Explanation, PersistentVolume, PersistentVolumeClaim, StorageClass, Str, Uid};

use crate::{ClusterSnapshot, NodeIndex, NodeInfo, PodInfo, Reservation};

/// Why a node or a pod was turned down, as upstream codes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum StatusCode {
    Unschedulable,
    UnschedulableAndUnresolvable,
    Error,
}

/// How much a decision should say about itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Detail {
    /// The outcome alone: the fast way.
    Outcome,
    /// Every node's rejection or score, for people and for parity tests.
    Full,
}

/// Why a node was turned down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRejection {
    /// The plugin that said no.
    pub plugin: Str,
    /// How final it is.
    pub code: StatusCode,
    /// Its reasons, sorted.
    pub reasons: Vec<Str>,
}

/// Room made for a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preemption {
    /// Where.
    pub node: Str,
    /// Whose place it takes, most important first.
    pub victims: Vec<Uid>,
    /// Pods of lower priority that lose their nomination to this node.
    pub cleared_nominations: Vec<Uid>,
}

/// What came of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A node was chosen.
    Scheduled {
        /// The node.
        node: NodeIndex,
    },
    /// No node will do.
    Unschedulable {
        /// The event's text: `0/5 nodes are available: …`.
        message: String,
        /// Plugins that turned nodes or the pod down, sorted; queueing hints ask them.
        rejected_by: Vec<Str>,
        /// Room that will be made by preemption.
        preemption: Option<Preemption>,
    },
    /// The attempt itself failed.
    Error {
        /// Why.
        message: String,
    },
}

/// One attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What came of it.
    pub outcome: Outcome,
    /// Nodes looked at.
    pub evaluated_nodes: u32,
    /// Nodes that would do.
    pub feasible_nodes: u32,
    /// With [`Detail::Full`]: nodes that would do, each with (plugin, weighted score), by node name.
    pub scores: Vec<(Str, Vec<(Str, i64)>)>,
    /// With [`Detail::Full`]: nodes that will not do, by node name.
    pub rejections: Vec<(Str, NodeRejection)>,
    /// The pod's nomination, if it has one, is over (preemption answered with an explicit empty one).
    pub nomination_cleared: bool,
}

impl Decision {
    /// A decision that says nothing about itself but its outcome.
    #[must_use]
    pub const fn new(outcome: Outcome) -> Self {
        Self { outcome, evaluated_nodes: 0, feasible_nodes: 0, scores: Vec::new(), rejections: Vec::new(), nomination_cleared: false }
    }
}

/// A change in the cluster after which a pod that was turned down may be worth another look.
///
/// Upstream's AssignedPod and Node events; one event here may be several of upstream's (a node's new labels
/// and taints come as one), so a plugin looks at the change it registers for upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterEvent<'a> {
    /// A node came.
    NodeAdded(NodeIndex),
    /// A node's labels, taints, allocatable, annotations, features or readiness changed, or it was uncordoned.
    NodeUpdated {
        /// What it was, without its pods.
        before: &'a NodeInfo,
        /// What it is.
        node: NodeIndex,
    },
    /// A node went; with what was on it.
    NodeDeleted(&'a NodeInfo),
    /// A placed pod went or became terminal, or a nominated one lost its nomination.
    PodDeleted(&'a PodInfo),
    /// A pod was placed.
    PodAdded(&'a PodInfo),
    /// A placed pod, or the waiting pod itself, changed: labels, requests, tolerations or scheduling gates.
    PodUpdated {
        /// What it was.
        before: &'a PodInfo,
        /// What it is.
        pod: &'a PodInfo,
    },
    /// A volume came or changed.
    PersistentVolume(Changed<'a, PersistentVolume>),
    /// A claim came or changed.
    PersistentVolumeClaim(Changed<'a, PersistentVolumeClaim>),
    /// A storage class came or changed.
    StorageClass(Changed<'a, StorageClass>),
    /// What CSI drivers a node has came or changed.
    CsiNode(Changed<'a, CsiNode>),
    /// A CSI driver came or changed.
    CsiDriver(Changed<'a, CsiDriver>),
    /// What a CSI driver can still make somewhere came or changed.
    CsiStorageCapacity(Changed<'a, CsiStorageCapacity>),
    /// A volume was detached from a node.
    VolumeAttachmentDeleted,
}

/// An object that came or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Changed<'a, T> {
    /// What it was; `None` when it came.
    pub before: Option<&'a T>,
    /// What it is.
    pub after: &'a T,
}

/// What a change means for a waiting pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QueueingHint {
    /// Try again.
    Queue,
    /// It changes nothing for this pod.
    Skip,
}

/// A scheduling policy.
///
/// Called from one thread, one pod at a time, in the order of the run. It may keep state between calls
/// (caches, a rotating start), as long as equal histories give equal answers.
pub trait Scheduler: Send {
    /// The policy's name in reports.
    fn name(&self) -> &str;

    /// Whether a profile of this policy answers to `scheduler_name`. Others' pods stay Pending.
    fn is_responsible_for(&self, scheduler_name: &str) -> bool;

    /// Whether `pod` may enter the queue at all; otherwise the plugin that holds it back (PreEnqueue).
    fn gate(&self, pod: &PodInfo) -> Option<Str>;

    /// Chooses a node for `pod`. The caller then assumes the pod on that node in its snapshot.
    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, detail: Detail) -> Decision;

    /// What [`Scheduler::schedule`] would decide of `pod` now, and why, with what would have to be otherwise. It changes
    /// nothing, so that a run with explanations is the same run. `None` when the policy cannot say.
    fn explain(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> Option<Explanation> {
        let _ = (pod, snapshot);
        None
    }

    /// Takes what else `pod` needs on the node chosen for it (Reserve): volumes for its claims, in the
    /// caller's snapshot. Called before the pod is assumed there. What it gives can be taken back with
    /// [`ClusterSnapshot::unreserve`].
    fn reserve(&self, pod: &PodInfo, node: NodeIndex, snapshot: &mut ClusterSnapshot) -> Reservation {
        let _ = (pod, node, snapshot);
        Reservation::default()
    }

    /// Whether every filter lets `pod` onto this one node as the snapshot stands. What-if questions of the
    /// cluster autoscaler and of kubelet admission; it must not change the policy's state.
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool;

    /// Why [`Scheduler::fits`] says no: the first filter that turns the pod down, and its reasons. `None` when it says yes.
    fn rejection(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Option<NodeRejection> {
        let rejection = || NodeRejection { plugin: "".into(), code: StatusCode::Unschedulable, reasons: Vec::new() };
        (!self.fits(pod, snapshot, node)).then(rejection)
    }

    /// Whether `event` may have made `pod` schedulable, which `rejected_by` turned down.
    fn hint(&self, pod: &PodInfo, rejected_by: &[Str], event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint;
}
