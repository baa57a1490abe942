//! What a manifest does not say about its workload.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Described, DurationText, Law, NameText, Part, PercentText, QuantityText, RatioText, Shape, TimeoutText, fields};

/// Declares the fields of a service once for the two places where they may stand: below `service`, or right in the
/// behavior.
macro_rules! with_service_fields {
    ($( $(#[doc = $doc:literal])* $name:ident as $words:literal { $($own:tt)* } )*) => {$(
        fields! {
            $(#[doc = $doc])*
            $name as $words {
                $($own)*
                /// cpu time of one request: a mean such as `20ms` (cv 1, so exponential), or a distribution such as {mean: 20ms, cv: 0.5}. From your metrics: cpu seconds used / requests served.
                cpu_per_request: Option<Part<Law>>,
                /// Time of one request that uses no cpu: disk, external systems, a GPU. Default 0.
                latency_per_request: Option<Part<Law>>,
                /// Another word for latencyPerRequest.
                latency: Option<Part<Law>>,
                /// Requests one pod works on at once: threads or workers. Default no limit.
                concurrency: Option<u32>,
                /// Another word for concurrency.
                max_in_flight_per_pod: Option<u32>,
                /// Requests that wait in one pod for a free place; more are shed. Default 1024.
                queue_limit: Option<u32>,
                /// fifo (default with concurrency) or ps: processor sharing (default without).
                discipline: Option<String>,
                /// Share of requests that are answered with an error. Default 0.
                error_ratio: Option<RatioText>,
                /// What becomes of work whose caller gave up: none (done for nothing, the default), queued (dropped when its turn comes), inflight (dropped at once).
                cancel_on_timeout: Option<String>,
                /// How long callers wait who do not say themselves. Default 15s.
                timeout: Option<TimeoutText>,
                /// Calls this service makes to others for a request, one after the other; calls of one group at once.
                calls: Option<Vec<Part<Call>>>,
                /// Accepted, not simulated yet: {base, perInflight, leakPerSecond, leakPerRequest}.
                memory: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                circuit_breaker: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                client_throttle: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                connection_pool: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                database: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                overload_penalty: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                cache: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                worker: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                cfs_period: Option<Part<NotYet>>,
                /// Accepted, not simulated yet.
                traffic_distribution: Option<Part<NotYet>>,
            }
        }
    )*};
}

/// Fields of a service that are accepted and not simulated yet.
pub(crate) const SERVICE_NOT_YET: &[&str] = &[
    "memory",
    "circuitBreaker",
    "clientThrottle",
    "connectionPool",
    "database",
    "overloadPenalty",
    "cache",
    "worker",
    "cfsPeriod",
    "trafficDistribution",
];

with_service_fields! {
    /// What a manifest does not say about a workload. The service's fields may stand here too, without `service`.
    Behavior as "mapping" {
        /// Only for reading.
        name: Option<String>,
        /// Whose: `deployment/checkout`, or `deployment/<namespace>/checkout`.
        workload: Option<String>,
        /// Whose: by labels, namespaces or image; instead of workload.
        selector: Option<Part<Selector>>,
        /// From binding to ready.
        startup: Option<Startup>,
        /// Which container `startup.ready`, `stop`, `preStop`, `crash`, `neverReady` and `memoryOverTime` are about. Default: every container but init containers and sidecars.
        container: Option<String>,
        /// Memory of a container's process: points {after, bytes} with straight lines between; the last one stays. At its limit the container is OOM-killed; a node short of memory evicts.
        memory_over_time: Option<Vec<Part<MemoryPoint>>>,
        /// Time of a preStop hook that is not a sleep. Default none.
        pre_stop: Option<Part<Law>>,
        /// From SIGTERM to exit. Default 500ms.
        stop: Option<Part<Law>>,
        /// The container exits by itself, again after each restart.
        crash: Option<Part<Crash>>,
        /// The container's work is done after this, and it exits with code 0. For the pods of Jobs.
        completes: Option<Part<Law>>,
        /// It never gets ready.
        never_ready: Option<bool>,
        /// How it answers requests.
        service: Option<Part<ServiceFields>>,
    }
    /// How a workload answers requests.
    ServiceFields as "mapping" {}
}

fields! {
    /// Whom a behavior or a fault is about. All that is given must hold.
    Selector as "mapping" {
        /// Namespaces. Default all.
        namespaces: Option<Vec<String>>,
        /// Labels of pods.
        label_selectors: Option<BTreeMap<String, String>>,
        /// Expressions on labels of pods: {key, operator: In|NotIn|Exists|DoesNotExist, values}.
        expression_selectors: Option<Vec<Part<Expression>>>,
        /// A workload: `deployment/checkout`.
        workload: Option<String>,
        /// Image of one of the containers, with `*` for any text.
        image: Option<String>,
        /// Pods by name, by namespace: {shop: [cart-0]}.
        pods: Option<BTreeMap<String, Vec<String>>>,
        /// Nodes by name.
        nodes: Option<Vec<String>>,
        /// Labels of nodes.
        node_selectors: Option<BTreeMap<String, String>>,
        /// Faults of nodes only: `node-of-pod` strikes the nodes on which the selected pods run.
        target: Option<String>,
    }

    /// An expression on labels.
    Expression as "mapping" {
        /// The label.
        key: String,
        /// In, NotIn, Exists or DoesNotExist.
        operator: String,
        /// The values of In and NotIn.
        values: Option<Vec<String>>,
    }

    /// From binding to ready.
    Startup as "mapping" {
        /// Pull time of an image the node does not have. Default 3s.
        image_pull: Option<Part<Law>>,
        /// Its images cannot be pulled: what the runtime says, such as `manifest unknown`.
        image_pull_error: Option<String>,
        /// From the container's start until it could answer a readiness probe. Default at once.
        ready: Option<Part<Law>>,
    }

    /// A container that exits by itself.
    Crash as "mapping" {
        /// How long after its start.
        after: Part<Law>,
        /// With this code. Default 1.
        exit_code: Option<i32>,
        /// Only its first so many starts; later ones run for ever. Default every start.
        times: Option<u32>,
    }

    /// Memory of a process at one moment of its life.
    MemoryPoint as "mapping" {
        /// How long after the container's start.
        after: DurationText,
        /// How much: a quantity such as `300Mi`.
        bytes: QuantityText,
    }

    /// A call to another service.
    Call as "mapping" {
        /// The Service called: `name`, or `namespace/name`.
        to: String,
        /// How often a request makes it, 0 to 1. Default 1.
        probability: Option<RatioText>,
        /// From intended start to answer, for one attempt. Default 15s; `none` waits for ever.
        timeout: Option<TimeoutText>,
        /// How long a silent address is tried. Default 1s.
        connect_timeout: Option<DurationText>,
        /// Trying again. Default never.
        retries: Option<Part<Retries>>,
        /// Neighbouring calls of the same group are made at once.
        group: Option<NameText>,
        /// Accepted, not simulated yet.
        cache: Option<Part<NotYet>>,
        /// Accepted, not simulated yet.
        circuit_breaker: Option<Part<NotYet>>,
        /// Accepted, not simulated yet.
        client_throttle: Option<Part<NotYet>>,
        /// Accepted, not simulated yet.
        connection_pool: Option<Part<NotYet>>,
    }

    /// How a caller tries again.
    Retries as "mapping" {
        /// Attempts in all; 1 means no retry.
        max_attempts: Option<u32>,
        /// Attempts after the first one; instead of maxAttempts.
        max: Option<u32>,
        /// Wait before the next attempt: the first one's as a duration, or {base, max}; doubles per attempt. Default {base: 25ms, max: 250ms}.
        backoff: Option<Part<Backoff>>,
        /// full (default): each wait is drawn between zero and its length; none: exactly its length.
        jitter: Option<String>,
        /// Retries allowed. Default no limit.
        budget: Option<Part<RetryBudget>>,
        /// Accepted, not simulated yet.
        token_bucket: Option<Part<NotYet>>,
    }

    /// Waits between attempts.
    Backoff as "a duration, or mapping" {
        /// The first wait. Default 25ms.
        base: Option<DurationText>,
        /// The longest wait. Default 250ms, or ten times the base.
        max: Option<DurationText>,
    }

    /// Retries allowed.
    RetryBudget as "mapping" {
        /// Per request. Default 0.2.
        ratio: Option<PercentText>,
        /// Per second in any case. Default 10.
        min_per_second: Option<f64>,
    }
}

/// Fields of a call that are accepted and not simulated yet.
pub(crate) const CALL_NOT_YET: &[&str] = &["cache", "circuitBreaker", "clientThrottle", "connectionPool"];

/// The fields that may stand in a behavior without `service`.
pub(crate) fn is_service_field(name: &str) -> bool {
    ServiceFields::shape().fields.iter().any(|field| field.name == name)
}

/// Something the format accepts and the engine does not have yet.
#[derive(Debug)]
pub(crate) enum NotYet {}

impl Described for NotYet {
    fn shape() -> Shape {
        Shape { words: "anything".to_owned(), fields: Vec::new() }
    }
}

/// Whether `behavior` says anything about how requests are answered.
pub(crate) fn has_flat_service(behavior: &Value) -> bool {
    behavior.as_object().is_some_and(|fields| fields.keys().any(|key| is_service_field(key)))
}
