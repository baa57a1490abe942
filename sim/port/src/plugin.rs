//! What a scheduling-framework plugin is: one trait per extension point, named as upstream names them.
//!
//! A plugin implements [`Plugin`] and the traits of the points it takes part in, then says so with
//! [`PluginPoints`]. What PreFilter or PreScore computed is a type of the plugin's own (`Prepared`); the
//! adapter below erases it once per attempt, so no plugin ever casts.
//!
//! Order of one attempt: PreFilter (all plugins) → Filter (node by node, first failure wins) → PostFilter if
//! no node is left, else PreScore → Score → NormalizeScore → × weight → sum.
//! Upstream: staging/src/k8s.io/kube-scheduler/framework/interface.go.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use api::{Remedy, SimTime, Str, Uid};

use crate::{ClusterEvent, ClusterSnapshot, NodeIndex, NodeInfo, PodInfo, QueueingHint, StatusCode};

/// The largest score a plugin may give after normalisation.
pub const MAX_NODE_SCORE: i64 = 100;

/// One reason, as users read it and as the event counts it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// A constant text.
    Static(&'static str),
    /// A text made once and shared.
    Shared(Str),
}

impl Reason {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}
impl From<Str> for Reason {
    fn from(text: Str) -> Self {
        Self::Shared(text)
    }
}
impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reason, or several. One costs no allocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reasons {
    /// The usual case.
    One(Reason),
    /// All that apply, in the plugin's order.
    Many(Vec<Reason>),
}

impl Reasons {
    /// The reasons as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Reason] {
        match self {
            Self::One(reason) => std::slice::from_ref(reason),
            Self::Many(reasons) => reasons,
        }
    }
}

/// A plugin's answer for a pod or a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// No objection.
    Success,
    /// Not now; preemption might help.
    Unschedulable(Reasons),
    /// Not here, and removing pods would not help.
    UnschedulableAndUnresolvable(Reasons),
    /// The attempt itself failed.
    Error(Str),
}

impl Status {
    /// Not now, for one reason.
    #[must_use]
    pub fn unschedulable(reason: impl Into<Reason>) -> Self {
        Self::Unschedulable(Reasons::One(reason.into()))
    }
    /// Not here, for one reason that removing pods does not remove.
    #[must_use]
    pub fn unschedulable_and_unresolvable(reason: impl Into<Reason>) -> Self {
        Self::UnschedulableAndUnresolvable(Reasons::One(reason.into()))
    }
    /// Whether there is no objection.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
    /// The official code; `None` for success.
    #[must_use]
    pub const fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Success => None,
            Self::Unschedulable(_) => Some(StatusCode::Unschedulable),
            Self::UnschedulableAndUnresolvable(_) => Some(StatusCode::UnschedulableAndUnresolvable),
            Self::Error(_) => Some(StatusCode::Error),
        }
    }
    /// Why; empty for success and for errors.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Unschedulable(reasons) | Self::UnschedulableAndUnresolvable(reasons) => reasons.as_slice(),
            Self::Success | Self::Error(_) => &[],
        }
    }
}

/// What PreFilter says of a pod.
pub enum PreFilterResult<T> {
    /// This plugin has nothing to say about this pod: its Filter is not run.
    Skip,
    /// Filter every node with this.
    Continue(T),
    /// Filter these nodes only (by name) with this.
    Restrict(T, BTreeSet<Str>),
    /// No node will do, or the attempt failed.
    Rejected(Status),
}

/// What PreScore says of a pod.
pub enum PreScoreResult<T> {
    /// This plugin gives this pod no scores: it is absent from the sum.
    Skip,
    /// Score every feasible node with this.
    Continue(T),
}

/// Every plugin.
pub trait Plugin: Send + Sync {
    /// Its official name, under which configurations know it.
    fn name(&self) -> &'static str;

    /// Whether `event` may have made `pod` schedulable, which this plugin turned down.
    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let _ = (pod, event, snapshot);
        QueueingHint::Queue
    }
}

/// A pod in the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueuedPod<'a> {
    /// The pod.
    pub pod: &'a PodInfo,
    /// When it came, or when its last attempt ended.
    pub timestamp: SimTime,
}

/// Orders the queue. One per profile.
pub trait QueueSortPlugin: Plugin {
    /// `Less` when `a` goes first.
    fn compare(&self, a: &QueuedPod<'_>, b: &QueuedPod<'_>) -> Ordering;
}

/// Lets pods into the queue.
pub trait PreEnqueuePlugin: Plugin {
    /// Success, or why the pod has to wait outside.
    fn pre_enqueue(&self, pod: &PodInfo) -> Status;
}

/// Says which nodes a pod may run on (PreFilter with its extensions, and Filter).
pub trait FilterPlugin: Plugin {
    /// What PreFilter computes for one attempt. Cloned before pods are added to or removed from it.
    type Prepared: Clone + Default + 'static;

    /// Looks at the pod and the whole cluster once.
    fn pre_filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Self::Prepared> {
        let _ = (pod, snapshot);
        PreFilterResult::Continue(Self::Prepared::default())
    }
    /// Looks at one node. Called for thousands of nodes: no allocation when there is no objection.
    fn filter(&self, prepared: &Self::Prepared, pod: &PodInfo, node: &NodeInfo) -> Status;
    /// What would make `filter` pass a node it turned down: one remedy for each thing in the way. For people; asked
    /// only when someone wants an explanation, so it may take its time.
    fn remedies(&self, prepared: &Self::Prepared, pod: &PodInfo, node: &NodeInfo, snapshot: &ClusterSnapshot) -> Vec<Remedy> {
        let _ = (prepared, pod, node, snapshot);
        Vec::new()
    }
    /// Keeps `prepared` true when `added` is imagined on `node` (nominated pods, reprieved victims).
    fn add_pod(&self, prepared: &mut Self::Prepared, pod: &PodInfo, added: &PodInfo, node: &NodeInfo) {
        let _ = (prepared, pod, added, node);
    }
    /// Keeps `prepared` true when `removed` is imagined away from `node` (preemption).
    fn remove_pod(&self, prepared: &mut Self::Prepared, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo) {
        let _ = (prepared, pod, removed, node);
    }
}

/// Says which of the feasible nodes is better (PreScore, Score, NormalizeScore).
pub trait ScorePlugin: Plugin {
    /// What PreScore computes for one attempt.
    type Prepared: Default + 'static;

    /// Looks at the pod and the feasible nodes once.
    fn pre_score(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex]) -> PreScoreResult<Self::Prepared> {
        let _ = (pod, snapshot, feasible);
        PreScoreResult::Continue(Self::Prepared::default())
    }
    /// The raw score of one node; larger is better unless [`ScorePlugin::normalize_score`] turns it round.
    fn score(&self, prepared: &Self::Prepared, pod: &PodInfo, node: &NodeInfo) -> i64;
    /// The same for a node of the snapshot: for plugins that keep something per node.
    fn score_at(&self, prepared: &Self::Prepared, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> i64 {
        self.score(prepared, pod, snapshot.node(node))
    }
    /// Brings raw scores, which stand in the order of the feasible nodes, into `0..=100`. Nothing by default.
    fn normalize_score(&self, prepared: &Self::Prepared, scores: &mut [i64]) {
        let _ = (prepared, scores);
    }
}

/// Tries to make room when no node is left (preemption).
pub trait PostFilterPlugin: Plugin {
    /// Looks at why every node was turned down.
    fn post_filter(&self, failed: &FailedAttempt<'_>) -> PostFilterResult;
}

/// Why an attempt found no node, and a way to try changes out.
pub struct FailedAttempt<'a> {
    /// The pod.
    pub pod: &'a PodInfo,
    /// The cluster.
    pub snapshot: &'a ClusterSnapshot,
    /// What was said of nodes that were looked at, in list order.
    pub statuses: &'a [(NodeIndex, &'static str, Status)],
    /// What counts for nodes that were not looked at; `None` when there are none such.
    pub absent: Option<&'a Status>,
    /// Whether PreFilter ran to its end; if not, plugins after the one that stopped it have no state.
    pub pre_filter_finished: bool,
    /// Tries changes out on a copy of a node.
    pub rehearsals: &'a dyn Rehearsals,
    /// Has a say in which candidates for preemption remain.
    pub extenders: &'a dyn CandidateFilter,
}

/// Narrows the candidates for preemption down, as extenders with a preempt verb do.
pub trait CandidateFilter {
    /// Candidates that remain, with the victims that are to go.
    ///
    /// # Errors
    /// When an extender that must not be ignored fails.
    fn remaining(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, String>;
}

impl FailedAttempt<'_> {
    /// What was said of a node.
    #[must_use]
    pub fn status_of(&self, node: NodeIndex) -> Option<&Status> {
        self.statuses.iter().find(|(index, _, _)| *index == node).map(|(_, _, status)| status).or(self.absent)
    }
}

/// Gives copies of nodes to try changes on.
pub trait Rehearsals {
    /// A copy of `node`.
    fn begin(&self, node: NodeIndex) -> Box<dyn Rehearsal + '_>;
}

/// A node with imagined changes.
pub trait Rehearsal {
    /// The node as imagined.
    fn node(&self) -> &NodeInfo;
    /// Imagines a pod away.
    fn remove_pod(&mut self, pod: &PodInfo);
    /// Imagines a pod on the node.
    fn add_pod(&mut self, pod: PodInfo);
    /// Runs the Filter plugins on the node as imagined, with and without its nominated pods.
    fn filter(&self) -> Status;
}

/// A node on which removing pods would make room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The node.
    pub node: NodeIndex,
    /// Who would go, most important first.
    pub victims: Vec<PodInfo>,
    /// How many of them a PodDisruptionBudget protects.
    pub pdb_violations: u32,
}

/// What PostFilter found.
pub enum PostFilterResult {
    /// Room can be made.
    Nominated {
        /// Where, and who goes.
        chosen: Candidate,
        /// Pods of lower priority that lose their nomination to this node.
        cleared_nominations: Vec<Uid>,
        /// Every node that would have done, by node name.
        candidates: Vec<Candidate>,
    },
    /// It cannot, for this reason.
    Unschedulable {
        /// As the event says it.
        reason: String,
        /// A nomination the pod still has is over.
        clear_nomination: bool,
    },
    /// It failed; later plugins are not asked.
    Error(String),
}

/// A [`FilterPlugin`] whose state is erased.
pub trait DynFilter: Plugin {
    /// Runs PreFilter.
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Box<dyn PreparedFilter<'a> + 'a>>;
}

/// A Filter plugin ready for one attempt.
pub trait PreparedFilter<'a> {
    /// Looks at one node.
    fn filter(&self, node: &NodeInfo) -> Status;
    /// See [`FilterPlugin::remedies`].
    fn remedies(&self, node: &NodeInfo, snapshot: &ClusterSnapshot) -> Vec<Remedy>;
    /// See [`FilterPlugin::add_pod`].
    fn add_pod(&mut self, added: &PodInfo, node: &NodeInfo);
    /// See [`FilterPlugin::remove_pod`].
    fn remove_pod(&mut self, removed: &PodInfo, node: &NodeInfo);
    /// A copy for imagined changes.
    fn fork(&self) -> Box<dyn PreparedFilter<'a> + 'a>;
}

struct ReadyFilter<'a, P: FilterPlugin> {
    plugin: &'a P,
    pod: &'a PodInfo,
    prepared: P::Prepared,
}

impl<P: FilterPlugin> DynFilter for P {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &ClusterSnapshot) -> PreFilterResult<Box<dyn PreparedFilter<'a> + 'a>> {
        let ready = |prepared| -> Box<dyn PreparedFilter<'a> + 'a> { Box::new(ReadyFilter { plugin: self, pod, prepared }) };
        match self.pre_filter(pod, snapshot) {
            PreFilterResult::Skip => PreFilterResult::Skip,
            PreFilterResult::Continue(prepared) => PreFilterResult::Continue(ready(prepared)),
            PreFilterResult::Restrict(prepared, nodes) => PreFilterResult::Restrict(ready(prepared), nodes),
            PreFilterResult::Rejected(status) => PreFilterResult::Rejected(status),
        }
    }
}

impl<'a, P: FilterPlugin> PreparedFilter<'a> for ReadyFilter<'a, P> {
    fn filter(&self, node: &NodeInfo) -> Status {
        self.plugin.filter(&self.prepared, self.pod, node)
    }
    fn remedies(&self, node: &NodeInfo, snapshot: &ClusterSnapshot) -> Vec<Remedy> {
        self.plugin.remedies(&self.prepared, self.pod, node, snapshot)
    }
    fn add_pod(&mut self, added: &PodInfo, node: &NodeInfo) {
        self.plugin.add_pod(&mut self.prepared, self.pod, added, node);
    }
    fn remove_pod(&mut self, removed: &PodInfo, node: &NodeInfo) {
        self.plugin.remove_pod(&mut self.prepared, self.pod, removed, node);
    }
    fn fork(&self) -> Box<dyn PreparedFilter<'a> + 'a> {
        Box::new(ReadyFilter { plugin: self.plugin, pod: self.pod, prepared: self.prepared.clone() })
    }
}

/// A [`ScorePlugin`] whose state is erased.
pub trait DynScore: Plugin {
    /// Runs PreScore, Score and NormalizeScore over the feasible nodes, in their order, into `scores`
    /// (emptied first). `false` when the plugin skips this pod.
    fn score_all(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex], scores: &mut Vec<i64>) -> bool;
    /// The scores before NormalizeScore, for people; `None` when the plugin skips this pod.
    fn raw_scores(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex]) -> Option<Vec<i64>>;
}

impl<P: ScorePlugin> DynScore for P {
    fn score_all(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex], scores: &mut Vec<i64>) -> bool {
        scores.clear();
        let PreScoreResult::Continue(prepared) = self.pre_score(pod, snapshot, feasible) else { return false };
        scores.extend(feasible.iter().map(|index| self.score_at(&prepared, pod, snapshot, *index)));
        self.normalize_score(&prepared, scores);
        true
    }
    fn raw_scores(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex]) -> Option<Vec<i64>> {
        let PreScoreResult::Continue(prepared) = self.pre_score(pod, snapshot, feasible) else { return None };
        Some(feasible.iter().map(|index| self.score(&prepared, pod, snapshot.node(*index))).collect())
    }
}

/// A plugin with the extension points it takes part in.
#[derive(Clone)]
pub struct PluginPoints {
    /// Its name.
    pub name: &'static str,
    /// For hints.
    pub plugin: Arc<dyn Plugin>,
    /// QueueSort.
    pub queue_sort: Option<Arc<dyn QueueSortPlugin>>,
    /// PreEnqueue.
    pub pre_enqueue: Option<Arc<dyn PreEnqueuePlugin>>,
    /// PreFilter and Filter.
    pub filter: Option<Arc<dyn DynFilter>>,
    /// PostFilter.
    pub post_filter: Option<Arc<dyn PostFilterPlugin>>,
    /// PreScore and Score.
    pub score: Option<Arc<dyn DynScore>>,
}

/// Collects the extension points of one plugin: `Register::new(Mine).filter().score().done()`.
pub struct Register<P> {
    plugin: Arc<P>,
    points: PluginPoints,
}

impl<P: Plugin + 'static> Register<P> {
    /// A plugin without extension points.
    pub fn new(plugin: P) -> Self {
        let plugin = Arc::new(plugin);
        let points = PluginPoints {
            name: plugin.name(),
            plugin: plugin.clone(),
            queue_sort: None,
            pre_enqueue: None,
            filter: None,
            post_filter: None,
            score: None,
        };
        Self { plugin, points }
    }
    /// It sorts the queue.
    #[must_use]
    pub fn queue_sort(mut self) -> Self
    where
        P: QueueSortPlugin,
    {
        self.points.queue_sort = Some(self.plugin.clone());
        self
    }
    /// It lets pods into the queue.
    #[must_use]
    pub fn pre_enqueue(mut self) -> Self
    where
        P: PreEnqueuePlugin,
    {
        self.points.pre_enqueue = Some(self.plugin.clone());
        self
    }
    /// It filters.
    #[must_use]
    pub fn filter(mut self) -> Self
    where
        P: FilterPlugin,
    {
        self.points.filter = Some(self.plugin.clone());
        self
    }
    /// It makes room.
    #[must_use]
    pub fn post_filter(mut self) -> Self
    where
        P: PostFilterPlugin,
    {
        self.points.post_filter = Some(self.plugin.clone());
        self
    }
    /// It scores.
    #[must_use]
    pub fn score(mut self) -> Self
    where
        P: ScorePlugin,
    {
        self.points.score = Some(self.plugin.clone());
        self
    }
    /// The plugin with all its points.
    #[must_use]
    pub fn done(self) -> PluginPoints {
        self.points
    }
}
