//! What is recorded. Adding a variant or an optional field keeps the version; anything else raises it.

use std::collections::BTreeMap;

use api::{Explanation, SimDuration, SimTime, Str};
use serde::{Deserialize, Serialize};

use crate::Histogram;

/// The version of the file format.
pub const SCHEMA_VERSION: u32 = 1;

/// The first line of a trace: everything that determines the rest, and the question asked of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The simulator's version.
    pub wavetank_version: Str,
    /// The scenario's name.
    pub scenario: Str,
    /// Its one-line description.
    pub description: Str,
    /// Digest of the resolved scenario with all it includes.
    pub scenario_digest: Str,
    /// The policy's name.
    pub policy: Str,
    /// The seed.
    pub seed: u64,
    /// Simulated length.
    pub duration: SimDuration,
    /// Left out of every measure; cut by the analysis, never by the engine.
    pub warmup: SimDuration,
    /// What simulated time zero is called, as RFC 3339; only for labels.
    pub start: Str,
    /// Which traffic engine ran; empty without traffic.
    pub traffic_engine: Str,
    /// What the verdict will be about.
    pub questions: Vec<Question>,
    /// Assumed defaults and things accepted but not simulated, for the report's appendix.
    pub notes: Vec<Str>,
}

/// One expectation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// What the user calls it; the metric when unnamed.
    pub name: Str,
    /// The metric, such as `availability` or `recovery.total`.
    pub metric: Str,
    /// What it is asked of: `service`, `workload`, `fault`, `mark`, `node`, `from`, `to` (durations as text).
    #[serde(rename = "where")]
    pub filter: BTreeMap<Str, Str>,
    /// Look at windows of this length; zero looks at the whole run.
    pub window: SimDuration,
    /// min, max, mean, last, p50, p95, p99, time-mean; empty takes the metric's own.
    pub stat: Str,
    /// Across seeds: worst (default), mean, median, p95.
    pub over: Str,
    /// `>=`, `>`, `<=`, `<`, `==`, `!=`.
    pub op: Str,
    /// In the metric's base unit: seconds, ratio 0..1, requests, pods, dollars.
    pub value: f64,
    /// As written (`99.5%`, `180s`).
    pub value_text: Str,
    /// error, warning or info. Only `error` fails a run.
    pub severity: Str,
}

/// How requests of one flow fared in one window, as integers.
///
/// Always: previous `in_flight + in_backoff` + `arrived` = `succeeded + shed + refused + timed_out + failed`
/// + `in_flight + in_backoff`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficCounts {
    /// Requests that began.
    pub arrived: u64,
    /// Answered in time.
    pub succeeded: u64,
    /// Given up after the last attempt found a full queue.
    pub shed: u64,
    /// Given up after the last attempt found nobody to talk to.
    pub refused: u64,
    /// Given up after the last attempt had no answer in time.
    pub timed_out: u64,
    /// Given up after the last attempt was answered with an error or broken off.
    pub failed: u64,
    /// Under way at the window's end.
    pub in_flight: u64,
    /// Waiting to be tried again at the window's end.
    pub in_backoff: u64,
    /// Attempts sent, first ones and retries.
    pub attempts: u64,
    /// Retries among them.
    pub retries: u64,
}

/// One fact. Objects are named `namespace/name`; nodes by name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all_fields = "camelCase")]
pub enum Record {
    /// A node joined.
    NodeAdded {
        /// Node.
        node: Str,
        /// Node pool, or empty.
        pool: Str,
        /// Zone, or empty.
        zone: Str,
        /// Allocatable cpu.
        cpu_millis: i64,
        /// Allocatable memory.
        memory_bytes: i64,
        /// Allocatable pods.
        pods: i64,
        /// Price, in the scenario's currency.
        price_per_hour: f64,
    },
    /// A node's Ready condition changed.
    NodeReady {
        /// Node.
        node: Str,
        /// True, False or Unknown.
        status: Str,
        /// Reason.
        reason: Str,
    },
    /// A node's taints or cordon changed.
    NodeTaints {
        /// Node.
        node: Str,
        /// Cordoned.
        unschedulable: bool,
        /// `key:effect` or `key=value:effect`, in order.
        taints: Vec<Str>,
    },
    /// A node left.
    NodeRemoved {
        /// Node.
        node: Str,
    },
    /// A pod was created.
    PodCreated {
        /// Pod.
        pod: Str,
        /// The workload on top: `Deployment/ns/name`; empty for a bare pod.
        workload: Str,
        /// Its direct controller: `ReplicaSet/ns/name`; empty for a bare pod.
        controller: Str,
        /// Requested cpu.
        cpu_millis: i64,
        /// Requested memory.
        memory_bytes: i64,
        /// Priority.
        priority: i32,
    },
    /// The scheduler looked at a pod and found no node.
    PodUnschedulable {
        /// Pod.
        pod: Str,
        /// Which attempt.
        attempt: u32,
        /// The scheduler's own text.
        message: Str,
        /// Plugins that turned it down.
        rejected_by: Vec<Str>,
    },
    /// A pod was bound.
    PodScheduled {
        /// Pod.
        pod: Str,
        /// Node.
        node: Str,
        /// Attempts it took.
        attempts: u32,
        /// Nodes that would have done.
        feasible_nodes: u32,
        /// Nodes looked at.
        evaluated_nodes: u32,
    },
    /// Why an attempt to place a pod came to what it came to; only in a run that was asked to explain it.
    Explanation {
        /// Pod.
        pod: Str,
        /// Which attempt.
        attempt: u32,
        /// Every node's scores, or what is in its way.
        explanation: Box<Explanation>,
    },
    /// A container's state changed.
    Container {
        /// Pod.
        pod: Str,
        /// Container.
        container: Str,
        /// Waiting, Running or Terminated.
        state: Str,
        /// Reason (ContainerCreating, CrashLoopBackOff, Completed, Error, OOMKilled, …); empty when running.
        reason: Str,
        /// Exit code, when terminated.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        exit_code: Option<i32>,
        /// Restarts so far.
        restarts: u32,
    },
    /// A pod's phase changed.
    PodPhase {
        /// Pod.
        pod: Str,
        /// Phase.
        phase: Str,
        /// Reason, or empty.
        reason: Str,
    },
    /// A pod's Ready condition changed.
    PodReady {
        /// Pod.
        pod: Str,
        /// True or False.
        ready: bool,
        /// Reason, or empty.
        reason: Str,
    },
    /// A pod's deletion was asked for.
    PodDeleting {
        /// Pod.
        pod: Str,
        /// Who asked: replicaset-controller, taint-eviction-controller, cluster-autoscaler, kubectl, …
        by: Str,
        /// Grace.
        grace: SimDuration,
    },
    /// A pod object went.
    PodRemoved {
        /// Pod.
        pod: Str,
    },
    /// A workload's counts changed.
    Workload {
        /// Kind.
        kind: Str,
        /// `namespace/name`.
        name: Str,
        /// Wanted.
        desired: i32,
        /// There.
        current: i32,
        /// Of the newest template.
        updated: i32,
        /// Ready.
        ready: i32,
        /// Available.
        available: i32,
    },
    /// A condition of a workload changed: its status or its reason.
    Condition {
        /// Kind.
        kind: Str,
        /// `namespace/name`.
        name: Str,
        /// Available, Progressing or ReplicaFailure.
        condition: Str,
        /// True, False or Unknown.
        status: Str,
        /// Reason.
        reason: Str,
        /// Text.
        message: Str,
    },
    /// A HorizontalPodAutoscaler looked at its metrics.
    Autoscale {
        /// The autoscaler.
        hpa: Str,
        /// Its target: `Deployment/ns/name`.
        target: Str,
        /// Replicas before.
        current: i32,
        /// What the metrics ask for, before limits.
        proposed: i32,
        /// Replicas after.
        desired: i32,
        /// The metric as kubectl shows it: `cpu: 143%/65%`.
        metric: Str,
        /// What the stabilization windows leave of that; as proposed where they hold nothing.
        #[serde(default)]
        stabilized: i32,
        /// `minReplicas`.
        #[serde(default)]
        min: i32,
        /// `maxReplicas`.
        #[serde(default)]
        max: i32,
        /// Why it is what it is: official condition reason (DesiredWithinRange, TooManyReplicas, ScaleUpLimit, ScaleDownStabilized, FailedGetResourceMetric…).
        reason: Str,
    },
    /// A VerticalPodAutoscaler recommends something else to a container.
    Recommendation {
        /// The autoscaler.
        vpa: Str,
        /// Its target: `Deployment/ns/name`.
        target: Str,
        /// When it is applied: Off, Initial, Recreate, InPlaceOrRecreate, InPlace.
        mode: Str,
        /// The container.
        container: Str,
        /// Millicores: lower bound, target, upper bound; zeros when nothing is known of its cpu.
        cpu_millis: [i64; 3],
        /// Bytes: lower bound, target, upper bound; zeros when nothing is known of its memory.
        memory_bytes: [i64; 3],
    },
    /// The cluster autoscaler changed a node pool's target size.
    NodePool {
        /// Pool.
        pool: Str,
        /// Size before.
        from: u32,
        /// Size after.
        to: u32,
        /// The nodes that were ordered or taken away, where they have names.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        nodes: Vec<Str>,
        /// Why.
        reason: Str,
    },
    /// A node pool that failed to grow is left alone for a while.
    NodePoolBackoff {
        /// Pool.
        pool: Str,
        /// Until when.
        until: SimTime,
    },
    /// The cluster autoscaler found no node pool that would help pods, for the first time or for another reason.
    NotTriggerScaleUp {
        /// Pods that are alike.
        pods: Vec<Str>,
        /// What stands in the way of each pool; empty when it is none of theirs (`message`).
        pools: BTreeMap<Str, Str>,
        /// As the pods are told.
        message: Str,
    },
    /// What stands behind a Service changed.
    Endpoints {
        /// Service.
        service: Str,
        /// Ready endpoints.
        ready: u32,
        /// All endpoints.
        total: u32,
    },
    /// A Kubernetes Event.
    Event {
        /// Normal or Warning.
        #[serde(rename = "type")]
        kind: Str,
        /// Reason.
        reason: Str,
        /// `Kind/namespace/name`.
        object: Str,
        /// Text.
        message: Str,
        /// Component.
        source: Str,
    },
    /// A fault began.
    FaultBegan {
        /// The fault's name.
        fault: Str,
        /// Its action (node-poweroff, container-kill, …).
        action: Str,
        /// What it struck: `Node/name`, `Pod/ns/name`.
        targets: Vec<Str>,
    },
    /// A fault ended.
    FaultEnded {
        /// The fault's name.
        fault: Str,
    },
    /// A moment the scenario names.
    Mark {
        /// Its name.
        mark: Str,
    },
    /// A step of the scenario was done, as kubectl would.
    Step {
        /// Its name or text.
        step: Str,
        /// What came of it.
        outcome: Str,
    },
    /// Depth of the scheduling queue, when it changed since the last second.
    SchedulingQueue {
        /// activeQ.
        active: u32,
        /// backoffQ.
        backoff: u32,
        /// unschedulablePods.
        unschedulable: u32,
        /// Held back by a gate.
        gated: u32,
    },
    /// One window of one flow of requests. Only windows in which anything happened.
    Traffic {
        /// The flow: a source's name, or `caller→callee`.
        flow: Str,
        /// True for a source's flow (what users see), false for calls between services.
        external: bool,
        /// The Service asked.
        service: Str,
        /// The window's length.
        window: SimDuration,
        /// Counts.
        #[serde(flatten)]
        counts: TrafficCounts,
        /// Time from intended start to answer of those that succeeded, in nanoseconds.
        latency: Histogram,
    },
    /// Connections of one flow that NetworkPolicies did not allow in a window.
    Denied {
        /// The flow.
        flow: Str,
        /// The Service asked.
        service: Str,
        /// The policies that isolate the end that did not allow it, `namespace/name`.
        policy: Str,
        /// Attempts.
        attempts: u64,
    },
    /// One window of the pods behind a Service: where requests wait.
    Station {
        /// Service.
        service: Str,
        /// Pods that serve.
        pods: u32,
        /// Requests waiting in their queues at the window's end.
        queued: u64,
        /// Request slots in use at the window's end.
        busy: u64,
        /// Attempts turned away by a full queue.
        shed: u64,
        /// Work finished for callers that had given up.
        orphaned: u64,
        /// cpu time used in the window.
        cpu_used: SimDuration,
    },
    /// What a node carries, when it changed since the last sample.
    NodeUsage {
        /// Node.
        node: Str,
        /// Pods on it.
        pods: u32,
        /// Requested cpu.
        cpu_requested_millis: i64,
        /// Requested memory.
        memory_requested_bytes: i64,
        /// Used cpu, mean since the last sample.
        cpu_used_millis: i64,
    },
    /// What a watch of the whole API tells of an object; only when the run asks for it.
    Watch {
        /// Kind; `HPA` and `PDB` for the two with long names.
        kind: Str,
        /// `namespace/name`; the name alone where there is no namespace.
        name: Str,
        /// ADDED, MODIFIED or DELETED.
        ev: Str,
        /// Facts that changed, by name; null when one is no longer there.
        set: serde_json::Map<String, serde_json::Value>,
    },
    /// The last line.
    End {
        /// Events the world handled.
        events: u64,
        /// Events inside the traffic engine.
        traffic_events: u64,
        /// Why it ended: `horizon`, or a limit.
        reason: Str,
    },
}

/// A record with its time.
pub(crate) type Timed = (SimTime, Record);
