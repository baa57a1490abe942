//! Everything that can happen, as one closed enum. The world dispatches each arm in one line.
//!
//! Payloads are small: ids, not objects. An id whose object is gone is no error; the room finds nothing to do.

use api::{PersistentVolume, PersistentVolumeClaim, VolumeAttachment};

use crate::effects::{Component, Key, Process, WriteId};
use crate::store::{HpaId, Id, NodeId, PodId};

/// Something that happens at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A controller's work queue hands out a key.
    Sync(Component, Key),
    /// A request reaches the API server.
    Write(WriteId),
    /// What has landed reaches those who watch.
    Watch,
    /// The scheduler looks at the head of its queue, if it is not looking already.
    SchedulingCycle,
    /// The back-off queue's whole-second tick.
    BackoffFlush,
    /// Pods that were unschedulable for too long are tried again.
    UnschedulableFlush,
    /// A kubelet's timer for a pod; stale when its number is not the one the kubelet waits for.
    Kubelet(PodId, KubeletTimer, u32),
    /// A kubelet's timer for its node; stale when its number is not the one the kubelet waits for.
    KubeletNode(NodeId, NodeTimer, u32),
    /// A node that was shut down loses its power.
    NodePowersOff(NodeId),
    /// The node lifecycle controller's monitor could see something new; stale when it waits for another tick.
    NodeMonitor,
    /// A zone's rate limiter lets the next node be tainted NoExecute; stale like a tick.
    NodeEviction,
    /// A pod's toleration ends.
    TaintEviction(PodId),
    /// A HorizontalPodAutoscaler's own period.
    HpaSync(HpaId),
    /// A storage driver has done a piece of work.
    CsiDriver(StorageWork),
    /// The volumes of a pod that has been given a node may be bound by now, or it has been too long.
    VolumesBound(PodId),
    /// metrics-server scrapes.
    MetricsScrape,
    /// The loop of the vertical pod autoscaler's recommender.
    VpaRecommender,
    /// The loop of its updater.
    VpaUpdater,
    /// Prometheus scrapes the metric of this number.
    CustomMetricScrape(u32),
    /// The cluster autoscaler's loop.
    ClusterAutoscaler,
    /// An ordered node has booted.
    NodeProvisioned {
        /// Index of the pool.
        pool: u32,
        /// Which node of the pool.
        ordinal: u32,
    },
    /// PodGC's period.
    PodGc,
    /// An endpoint change has reached the client nodes.
    EndpointsVisible(u32),
    /// The traffic engine closes a window.
    TrafficWindow,
    /// What nodes carry is sampled.
    UsageSample,
    /// A drain tries again to evict a pod that its disruption budgets protected.
    Evict(PodId),
    /// A client of a kubelet that was cut off reaches the API server again.
    Reconnected(NodeId, KubeletClient),
    /// A process that lost its lease leads again.
    LeaderElected(Process),
    /// A fault begins; with how often it began before.
    FaultBegins(u32, u32),
    /// A fault is undone.
    FaultEnds(u32, u32),
    /// An operator's step.
    Step(u32),
    /// A named moment.
    Mark(u32),
    /// The run is over.
    Horizon,
}

impl Event {
    /// The process of the control plane whose timer this is, if it is one's.
    pub(crate) const fn process(self) -> Option<Process> {
        match self {
            Self::Sync(component, _) => component.process(),
            Self::SchedulingCycle | Self::BackoffFlush | Self::UnschedulableFlush => Some(Process::Scheduler),
            Self::NodeMonitor | Self::NodeEviction | Self::TaintEviction(_) | Self::HpaSync(_) | Self::PodGc => {
                Some(Process::ControllerManager)
            }
            _ => None,
        }
    }
}

/// What a storage driver is at work on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum StorageWork {
    Provision(Id<PersistentVolumeClaim>),
    Delete(Id<PersistentVolume>),
    Attach(Id<VolumeAttachment>),
    Detach(Id<VolumeAttachment>),
}

/// What a kubelet asks the API server for, each with a back-off of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KubeletClient {
    /// Its watch of pods.
    Pods,
    /// Its lease.
    Lease,
    /// Its node's status.
    NodeStatus,
}

/// What a kubelet's timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KubeletTimer {
    /// The PLEG lists containers anew, for which a sync waits.
    Sync,
    /// The PLEG lists containers anew, and one of the pod has ended or begun.
    Relist,
    /// The work queue hands the pod out again.
    Retry,
    /// The status update before is through, so that the next may be sent.
    Status,
    /// activeDeadlineSeconds are over.
    Deadline,
    /// The next container runs.
    Started,
    /// Somebody fulfils the pod's readiness gates.
    ReadinessGates,
    /// The postStart hook of the container that was started last is over.
    PostStartOver,
    /// A probe is due: container index, and which probe.
    Probe(u8, ProbeKind),
    /// A container exits: by itself, after SIGTERM, or by SIGKILL.
    Exit(u8),
    /// A container's process is able to answer.
    Answers(u8),
    /// preStop is over: SIGTERM.
    PreStopOver,
}

/// What a kubelet's timer for its node is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NodeTimer {
    /// The pods that a shutdown ends have had their time.
    Shutdown,
    /// An image is there, or cannot be had.
    ImagePull,
    /// Image garbage collection.
    ImageGc,
    /// Resizes that wait are tried again.
    Resizes,
    /// Images that came or went are told in the node's status.
    Images,
    /// The eviction manager looks at the node's memory.
    Pressure,
    /// The node's memory is used up.
    OutOfMemory,
}

/// Which probe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}
