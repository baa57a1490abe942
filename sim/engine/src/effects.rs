//! What a room wants done: writes to the API server, timers, records. The world does it.
//!
//! A room fills a reused [`Effects`] buffer. Writes of a component go through its own client (QPS,
//! burst, latency) and reach the store later, in order; a controller's key stays locked until its
//! writes have landed, which is what expectations achieve upstream.
//!
//! Invariants: effects are applied in the order they were given; a write to an object that is gone, or
//! that no longer is as its condition says, is dropped and the key synced again.

use api::{
    ConditionStatus, Deployment, DeploymentStatus, Endpoint, Kind, Node, ObjectKey, OwnerReference, Pod, PodStatus, Propagation,
    ReplicaSet, SimDuration, SimTime, Str, Taint, TaintEffect, Uid,
};
use trace::Record;

use crate::event::{Event, ProbeKind};
use crate::objects::{AnyObject, Part};
use crate::spec::PodResize;
use crate::store::{DeploymentId, HpaId, NodeId, PodId, ReplicaSetId, ServiceId};

/// Who acts. Each has a client, and as a controller a work queue, of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Component {
    Deployment,
    ReplicaSet,
    StatefulSet,
    PersistentVolumeBinder,
    EphemeralVolume,
    StorageProtection,
    AttachDetach,
    CsiDriver,
    EndpointSlice,
    /// Node lifecycle: its work queue.
    NodeLifecycle,
    /// Node lifecycle: its monitor and its tainting pass, which wait for each of their requests.
    NodeMonitor,
    TaintEviction,
    PodGc,
    GarbageCollector,
    HorizontalPodAutoscaler,
    DaemonSet,
    Job,
    CronJob,
    TtlAfterFinished,
    ResourceQuota,
    Disruption,
    Namespace,
    ClusterAutoscaler,
    VpaRecommender,
    VpaUpdater,
    Scheduler,
    Kubelet,
    Kubectl,
}

/// A process of the control plane that remembers nothing once it has died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Process {
    /// kube-scheduler.
    Scheduler,
    /// kube-controller-manager, with all its controllers.
    ControllerManager,
}

impl Component {
    /// The process it is a part of, when that is one of the control plane.
    pub(crate) const fn process(self) -> Option<Process> {
        match self {
            Self::Scheduler => Some(Process::Scheduler),
            Self::Kubelet | Self::Kubectl | Self::ClusterAutoscaler | Self::VpaRecommender | Self::VpaUpdater | Self::CsiDriver => None,
            _ => Some(Process::ControllerManager),
        }
    }
    /// The name in events and records.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment-controller",
            Self::ReplicaSet => "replicaset-controller",
            Self::StatefulSet => "statefulset-controller",
            Self::PersistentVolumeBinder => "persistentvolume-controller",
            Self::EphemeralVolume => "ephemeral_volume",
            Self::StorageProtection => "storage-protection-controller",
            Self::AttachDetach => "attachdetach-controller",
            Self::CsiDriver => "csi-driver",
            Self::EndpointSlice => "endpoint-slice-controller",
            Self::NodeLifecycle | Self::NodeMonitor => "node-controller",
            Self::TaintEviction => "taint-eviction-controller",
            Self::PodGc => "pod-garbage-collector",
            Self::GarbageCollector => "garbage-collector",
            Self::HorizontalPodAutoscaler => "horizontal-pod-autoscaler",
            Self::DaemonSet => "daemonset-controller",
            Self::Job => "job-controller",
            Self::CronJob => "cronjob-controller",
            Self::TtlAfterFinished => "ttl-after-finished-controller",
            Self::ResourceQuota => "resourcequota-controller",
            Self::Disruption => "controllermanager",
            Self::Namespace => "namespace-controller",
            Self::ClusterAutoscaler => "cluster-autoscaler",
            Self::VpaRecommender => "vpa-recommender",
            Self::VpaUpdater => "vpa-updater",
            Self::Scheduler => "default-scheduler",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
        }
    }
}

/// A key in a component's work queue: the number of an object in the table of the kind it syncs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key(pub(crate) u32);

/// A write on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct WriteId(pub(crate) u32);

/// A request to the API server.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Write {
    /// A read: it takes its turn at the client and changes nothing.
    Read,
    /// Creates a pod; the store gives it its uid, and completes a name that ends in `-` (`generateName`).
    CreatePod(Box<Pod>),
    /// Asks for a pod's deletion; `None` takes the pod's own grace, zero removes it at once.
    DeletePod { pod: PodId, grace: Option<SimDuration>, by: Component },
    /// The kubelet's last word, or a forced deletion: the object goes.
    RemovePod(PodId),
    /// Replaces a pod's status.
    PodStatus(PodId, Box<PodStatus>),
    /// The resize subresource: other cpu and memory for containers of a pod.
    ResizePod(PodId, Vec<PodResize>),
    /// Sets only the Ready condition to False with a reason (node controller).
    PodNotReady(PodId, Str),
    /// Asks the eviction API to let a pod go; refused when a PodDisruptionBudget is in the way.
    EvictPod(PodId),
    /// Sets DisruptionTarget with a reason before an eviction.
    PodDisruptionTarget(PodId, Str),
    /// Where preemption makes room; `None` clears it.
    NominateNode(PodId, Option<Str>),
    /// One patch after a failed attempt: the PodScheduled condition, and where preemption makes room.
    PodUnschedulable { pod: PodId, attempt: u32, reason: &'static str, message: Str, rejected_by: Vec<Str>, nomination: Nomination },
    /// Binds a pod to a node.
    BindPod { pod: PodId, node: NodeId, attempts: u32, feasible_nodes: u32, evaluated_nodes: u32 },
    /// Creates a ReplicaSet.
    CreateReplicaSet(Box<ReplicaSet>),
    /// Replaces a ReplicaSet's spec and annotations (its status stays).
    UpdateReplicaSet(ReplicaSetId, Box<ReplicaSet>),
    /// Replaces a ReplicaSet's status.
    ReplicaSetStatus(ReplicaSetId, api::ReplicaSetStatus),
    /// Creates a Deployment.
    CreateDeployment(Box<Deployment>),
    /// Replaces a Deployment's spec (its status stays).
    UpdateDeployment(DeploymentId, Box<Deployment>),
    /// Replaces a Deployment's status.
    DeploymentStatus(DeploymentId, Box<DeploymentStatus>),
    /// The scale subresource of a Deployment or ReplicaSet.
    Scale(Kind, ObjectKey, i32),
    /// Something about an EndpointSlice of a Service.
    EndpointSlice(ServiceId, SliceWrite),
    /// Replaces a HorizontalPodAutoscaler's status fields.
    HpaStatus { hpa: HpaId, current: i32, desired: i32, scaled: bool, conditions: [Option<(ConditionStatus, &'static str)>; 4] },
    /// Creates a node.
    CreateNode(Box<Node>),
    /// Adds taints (replacing those of equal key and effect), takes others off by key and effect, and
    /// cordons or uncordons: a patch of what the node is when it lands, so that two writers lose nothing.
    PatchNode { node: NodeId, add: Vec<Taint>, remove: Vec<(Str, TaintEffect)>, unschedulable: Option<bool> },
    /// Cordons a node, and when that has landed asks for the eviction of its pods (`kubectl drain`).
    Drain(NodeId),
    /// Replaces a node's labels.
    NodeLabels(NodeId, api::Labels),
    /// Sets a node's Ready condition.
    NodeReady { node: NodeId, status: api::ConditionStatus, reason: &'static str },
    /// Replaces the images that a node reports.
    NodeImages(NodeId, Vec<api::ContainerImage>),
    /// Sets one of a node's conditions of pressure.
    NodePressure(NodeId, NodePressure, bool),
    /// Removes a node.
    DeleteNode(NodeId),
    /// Creates an object of another kind; refused when the name is taken.
    Create(AnyObject),
    /// Makes an object of another kind, or replaces what a manifest says of it (`kubectl apply`).
    Apply(AnyObject),
    /// Replaces one half of an object of another kind; refused when it is not the version that was read.
    Update(AnyObject, Part),
    /// Deletes an object by name.
    Delete(Kind, ObjectKey, Propagation),
    /// Deletes an object by its number in its table.
    DeleteNumbered(Kind, u32, Propagation),
    /// Takes a finalizer off an object, by its number in its table.
    RemoveFinalizer(Kind, u32, Str),
    /// Takes an owner off an object, by its number in its table.
    Disown(Kind, u32, Uid),
    /// Gives a controller (and a finalizer) to an object that has none, by its number in its table; refused when it
    /// is gone, going, or controlled meanwhile.
    Adopt(Kind, u32, Box<OwnerReference>, Option<Str>),
    /// Replaces a pod's labels.
    PodLabels(PodId, api::Labels),
    /// The second when admission forbids the first.
    OrElse(Box<Self>, Box<Self>),
    /// A write, and what is said of it once it has been answered.
    Announced(Box<Self>, Box<Announcement>),
}

/// What becomes of an EndpointSlice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SliceWrite {
    /// A new one.
    Create(Vec<Endpoint>),
    /// Other endpoints, by its number.
    Update(u32, Vec<Endpoint>),
    /// None, by its number.
    Delete(u32),
}

/// What a node can be short of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum NodePressure {
    Memory,
    Disk,
    Pid,
}

/// What a component says once a write of its own has been answered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Announcement {
    /// When it has landed; `{name}` in an event's message is the name of the pod it made.
    pub(crate) landed: Record,
    /// When the API server forbade it: reason and beginning of the message of a Warning, which the answer completes.
    pub(crate) forbidden: Option<(Str, Str)>,
}

/// Why a write changed nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The object is gone, or not the version that was read, or there already.
    Conflict,
    /// Admission said no, with this text.
    Forbidden(Str),
    /// The same because the namespace is being deleted, which controllers take quietly: all of this will end.
    NamespaceTerminating(Str),
}

impl Refusal {
    /// What the API server answers.
    pub(crate) fn text(&self) -> Str {
        match self {
            Self::Conflict => "the object has been modified; please apply your changes to the latest version and try again".into(),
            Self::Forbidden(why) | Self::NamespaceTerminating(why) => why.clone(),
        }
    }
}

/// The last write of a sync, made once all others have been answered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Finally {
    /// Whose.
    pub(crate) by: Component,
    /// When all landed.
    pub(crate) landed: Option<Write>,
    /// When one was refused; those behind it were not sent.
    pub(crate) refused: Option<Write>,
}

impl Write {
    /// The pod that a kubelet speaks of.
    pub(crate) fn pod(&self) -> Option<PodId> {
        match self {
            Self::PodStatus(pod, _) | Self::RemovePod(pod) => Some(*pod),
            Self::Announced(write, _) => write.pod(),
            _ => None,
        }
    }

    /// Tells a sync's last write why an earlier one was refused.
    pub(crate) fn learn(&mut self, why: &Str) {
        if let Self::ReplicaSetStatus(_, status) = self
            && let Some(failure) = status.replica_failure.as_mut().filter(|failure| failure.message.is_empty())
        {
            failure.message = why.clone();
        }
    }

    /// What the scheduler waits for when it sends this write.
    pub(crate) fn scheduler_call(&self) -> Option<(SchedulerCall, PodId)> {
        match self {
            Self::BindPod { pod, .. } => Some((SchedulerCall::Bind, *pod)),
            Self::PodUnschedulable { pod, attempt, .. } => Some((SchedulerCall::Status { attempt: *attempt }, *pod)),
            Self::NominateNode(pod, _) => Some((SchedulerCall::Nomination, *pod)),
            Self::PodDisruptionTarget(pod, _) => Some((SchedulerCall::DisruptionTarget, *pod)),
            Self::DeletePod { pod, .. } => Some((SchedulerCall::Delete, *pod)),
            Self::Announced(write, _) => write.scheduler_call(),
            _ => None,
        }
    }
}

/// A request of the scheduler whose return it acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SchedulerCall {
    /// A binding.
    Bind,
    /// The status patch of a failed attempt, upon which the next cycle begins.
    Status { attempt: u32 },
    /// A nomination that is cleared.
    Nomination,
    /// The condition that a victim gets before it is deleted.
    DisruptionTarget,
    /// The deletion of a victim.
    Delete,
}

/// What a failed attempt makes of the pod's nomination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Nomination {
    Keep,
    Clear,
    Set(Str),
}

/// What a kubelet says of a pod's processes; the world tells the traffic engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProcessChange {
    /// They answer from now on.
    Started(PodId),
    /// SIGTERM: they work on what they have, and on what still comes, until they stop.
    Terminating(PodId),
    /// They have other cpu and memory from now on.
    Resized(PodId),
    /// They are gone, and what they were working on with them.
    Stopped(PodId),
    /// The same, after the pod's object went by force.
    Removed(Uid),
}

/// A probe that the traffic engine is to answer, because the process may be too busy to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProbeRequest {
    pub(crate) pod: Uid,
    pub(crate) container: u8,
    pub(crate) kind: ProbeKind,
    pub(crate) timeout: SimDuration,
}

/// What an exporter would count of requests: of a pod's process, or of a Service.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct RequestLoad {
    /// Answered by the process since its start; attempts at the Service since the run's.
    pub(crate) requests: u64,
    /// In the process, waiting or worked on; zero for a Service, whose pods hold them.
    pub(crate) in_flight: u64,
    /// Those of them that wait; for a Service, messages that no worker has taken yet.
    pub(crate) queued: u64,
}

/// What a room wants done.
#[derive(Default, Debug)]
pub(crate) struct Effects {
    /// Requests to the API server, with who makes them.
    pub(crate) writes: Vec<(Component, Write)>,
    /// Requests of the node monitor, which goes on with its answers; with its own numbers for them.
    pub(crate) calls: Vec<(Key, Write)>,
    /// Events at later instants.
    pub(crate) timers: Vec<(SimTime, Event)>,
    /// Facts for the trace.
    pub(crate) records: Vec<Record>,
    /// What becomes of processes, for the traffic engine.
    pub(crate) processes: Vec<ProcessChange>,
    /// Probes of processes that may be too busy to answer.
    pub(crate) probes: Vec<ProbeRequest>,
    /// The key that was synced wants another sync at this time (work-queue AddAfter).
    pub(crate) resync: Option<SimTime>,
    /// Places among the writes before which all earlier ones must have landed; later ones are not sent otherwise.
    pub(crate) waves: Vec<usize>,
    /// What is written instead of the last waves, as many as these, when a write before those was refused.
    pub(crate) otherwise: Vec<Vec<(Component, Write)>>,
    /// The sync's last write.
    pub(crate) finally: Option<Box<Finally>>,
}

impl Effects {
    /// Asks for a write.
    pub(crate) fn write(&mut self, by: Component, write: Write) {
        self.writes.push((by, write));
    }
    /// Asks for a request of the node monitor.
    pub(crate) fn call(&mut self, call: Key, write: Write) {
        self.calls.push((call, write));
    }
    /// What a sync writes from here on waits until all before has landed, and is not sent when that was refused.
    pub(crate) fn then(&mut self) {
        self.waves.push(self.writes.len());
    }
    /// A sync's last write.
    pub(crate) fn finally(&mut self, by: Component, landed: Option<Write>, refused: Option<Write>) {
        self.finally = Some(Box::new(Finally { by, landed, refused }));
    }
    /// Sets a timer.
    pub(crate) fn at(&mut self, time: SimTime, event: Event) {
        self.timers.push((time, event));
    }
    /// Asks for another sync of the same key, no later than `time`.
    pub(crate) fn resync_at(&mut self, time: SimTime) {
        self.resync = Some(self.resync.map_or(time, |earlier| earlier.min(time)));
    }
    /// Records a Kubernetes Event.
    pub(crate) fn event(&mut self, by: Component, warning: bool, reason: &str, object: String, message: String) {
        let kind = if warning { "Warning" } else { "Normal" };
        let (object, message) = (object.into(), message.into());
        self.records.push(Record::Event { kind: kind.into(), reason: reason.into(), object, message, source: by.name().into() });
    }
    /// Asks for a write whose success is told by a Kubernetes Event, as upstream tells it after the call returned.
    pub(crate) fn announce(&mut self, by: Component, write: Write, reason: &str, object: String, message: String) {
        self.announce_with(by, write, (reason, object, message), None);
    }
    /// The same; a Warning with this reason and beginning tells why the API server forbade it.
    pub(crate) fn announce_with(
        &mut self,
        by: Component,
        write: Write,
        (reason, object, message): (&str, String, String),
        forbidden: Option<(&str, &str)>,
    ) {
        let (object, message) = (object.into(), message.into());
        let landed = Record::Event { kind: "Normal".into(), reason: reason.into(), object, message, source: by.name().into() };
        let forbidden = forbidden.map(|(reason, beginning)| (reason.into(), beginning.into()));
        self.writes.push((by, Write::Announced(Box::new(write), Box::new(Announcement { landed, forbidden }))));
    }
    /// Records a fact.
    pub(crate) fn record(&mut self, record: Record) {
        self.records.push(record);
    }
    /// Forgets everything, keeping the room.
    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.calls.clear();
        self.timers.clear();
        self.records.clear();
        self.processes.clear();
        self.probes.clear();
        self.resync = None;
        self.waves.clear();
        self.otherwise.clear();
        self.finally = None;
    }
}
