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
                /// How its memory grows; at its memory limit the container is OOMKilled.
                memory: Option<Part<Memory>>,
                /// Accepted, not simulated here: it belongs to the calls and sources that ask this service.
                circuit_breaker: Option<Part<NotYet>>,
                /// Accepted, not simulated here: it belongs to the calls and sources that ask this service.
                client_throttle: Option<Part<NotYet>>,
                /// Accepted, not simulated here: it belongs to the calls and sources that ask this service.
                connection_pool: Option<Part<NotYet>>,
                /// Accepted, not simulated here: it belongs to the calls that ask the cache.
                cache: Option<Part<NotYet>>,
                /// A database: its connections are its concurrency, and nobody waits for one unless queueLimit says so.
                database: Option<Part<Database>>,
                /// Requests cost more cpu the more are under work (universal scalability law).
                overload_penalty: Option<Part<OverloadPenalty>>,
                /// It takes its requests from a queue; whoever asks is answered by the queue at once.
                worker: Option<Part<Worker>>,
                /// Length of the periods in which the cpu limit is accounted (CFS quota). Default 100ms; `none`: the limit is a slower core.
                cfs_period: Option<TimeoutText>,
                /// Accepted, not simulated here: it belongs to the Service's manifest.
                traffic_distribution: Option<Part<NotYet>>,
            }
        }
    )*};
}

/// Fields of a service that are accepted and not simulated yet.
pub(crate) const SERVICE_NOT_YET: &[&str] = &["circuitBreaker", "clientThrottle", "connectionPool", "cache", "trafficDistribution"];

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
        /// Which container `startup.ready`, `stop`, `postStart`, `preStop`, `crash`, `neverReady`, `memoryOverTime`, `ephemeralStorageOverTime` and `processesOverTime` are about. Default: every container but init containers and sidecars.
        container: Option<String>,
        /// Memory of a container's process: points {after, bytes} with straight lines between; the last one stays. At its limit the container is OOM-killed; a node short of memory evicts.
        memory_over_time: Option<Vec<Part<MemoryPoint>>>,
        /// What a container's process writes to its node's disk: points {after, bytes} with straight lines between; the last one stays. Beyond the limit of `ephemeral-storage` the pod is evicted; a node short of disk deletes images and evicts.
        ephemeral_storage_over_time: Option<Vec<Part<MemoryPoint>>>,
        /// Processes of a container: points {after, count} with straight lines between. They matter where `controlPlane.kubelet.evictionHard` has pid.available.
        processes_over_time: Option<Vec<Part<CountPoint>>>,
        /// From the pod's containers being ready until its readiness gates are fulfilled. Without it nobody fulfils them.
        readiness_gates: Option<Part<Law>>,
        /// Time of a postStart hook that is not a sleep: the container counts as started when it is over. Default none.
        post_start: Option<Part<Law>>,
        /// The postStart hook fails, and the container is killed for it.
        post_start_fails: Option<bool>,
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
        /// Pull time of an image the node does not have. Default its size over the node's imagePullBandwidth where `spec.images` gives the size, else 3s.
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

    /// Processes of a container at one moment of its life.
    CountPoint as "mapping" {
        /// How long after the container's start.
        after: DurationText,
        /// How many.
        count: u32,
    }

    /// Memory, or what is on disk, of a process at one moment of its life.
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
        /// A cache that answers some of it.
        cache: Option<Part<Cache>>,
        /// Limits beyond which attempts fail at once, and endpoints are left alone. Default none; `{}` takes Envoy's numbers.
        circuit_breaker: Option<Part<CircuitBreaker>>,
        /// The caller rejects requests by itself when too few are accepted. Default never; `{}` takes the SRE book's numbers.
        client_throttle: Option<Part<ClientThrottle>>,
        /// Connections of one caller, one request each.
        connection_pool: Option<Part<ConnectionPool>>,
        /// As the cluster's kube-proxy does it (the default), random (iptables, nftables), round-robin (ipvs) or least-request (a mesh: the less busy of two, for each request).
        balancing: Option<String>,
        /// Connections that are used again: all requests on one go to one endpoint. Default a new one for each attempt.
        connections: Option<Part<Connections>>,
        /// How names of headless Services are looked up.
        dns: Option<Part<Dns>>,
    }

    /// Connections that a caller uses again.
    Connections as "mapping" {
        /// http1 (default; keep-alive, one request at a time) or http2 (also gRPC: all requests of a caller on one).
        protocol: Option<String>,
        /// Requests after which a connection is closed. Default no limit.
        requests_per_connection: Option<u32>,
        /// Age at which a connection is closed. Default no limit.
        connection_lifetime: Option<DurationText>,
        /// How long a connection may rest. Default 90s.
        idle_timeout: Option<DurationText>,
        /// How long a connection may be silent, though something was asked, before it is given up: keep-alive pings, or the kernel's patience. Default 924s.
        gives_up_after: Option<DurationText>,
    }

    /// Names of headless Services.
    Dns as "mapping" {
        /// How long addresses are known before they are looked up again; `none`: for ever. Default 30s.
        ttl: Option<TimeoutText>,
        /// A caller stays with one of the addresses as long as it knows them. Default false: each connection takes one at random.
        pinned: Option<bool>,
    }

    /// A cache. With missTo the service called is the cache; without, it is in the caller's memory and only a miss makes the call.
    Cache as "mapping" {
        /// Hits of a warm cache, 0 to 1.
        hit_ratio: RatioText,
        /// After n requests since its start the ratio is hitRatio x (1 - exp(-n / warmupRequests)). Default 0: always warm.
        warmup_requests: Option<f64>,
        /// The Service asked for what the cache does not know, with the call's own timeout and retries.
        miss_to: Option<String>,
    }

    /// Envoy's circuit breaker and outlier detection, kept by each calling pod (a source is one caller).
    CircuitBreaker as "mapping" {
        /// Attempts under way at once; more fail at once. Default 1024.
        max_requests: Option<u32>,
        /// Retries waiting or under way at once. Default 3.
        max_retries: Option<u32>,
        /// Failures in a row after which an endpoint is left alone; 0: never. Default 5.
        consecutive: Option<u32>,
        /// How long, times the number of times. Default 30s.
        open_for: Option<DurationText>,
        /// At most this share of the endpoints, and at least one. Default 10%.
        max_ejection: Option<RatioText>,
    }

    /// Adaptive throttling, kept by each calling pod (a source is one caller).
    ClientThrottle as "mapping" {
        /// Requests per accepted one. Default 2.
        k: Option<f64>,
        /// Over which they are counted. Default 2m.
        window: Option<DurationText>,
    }

    /// Connections of one caller.
    ConnectionPool as "mapping" {
        /// Requests under way at once; more wait for a connection, within their timeout.
        max: u32,
    }

    /// How a process's memory grows.
    Memory as "mapping" {
        /// After its start.
        base: QuantityText,
        /// Per request that it holds, waiting or not. Default 0.
        per_inflight: Option<QuantityText>,
        /// Lost per second. Default 0.
        leak_per_second: Option<QuantityText>,
        /// Lost per request served. Default 0.
        leak_per_request: Option<QuantityText>,
    }

    /// A database.
    Database as "mapping" {
        /// Requests it works on at once; whoever finds no connection is turned away. Default 100.
        max_connections: Option<u32>,
    }

    /// Universal scalability law: cpu of a request is (1 + sigma(n-1) + kappa n(n-1)) times its own with n under work.
    OverloadPenalty as "mapping" {
        /// Contention. Default 0.
        sigma: Option<f64>,
        /// Coherence. Default 0.
        kappa: Option<f64>,
    }

    /// A service that takes its requests from a queue.
    Worker as "mapping" {
        /// What the queue is called; only for reading.
        queue: Option<String>,
        /// Messages one pod works on at once. Default 1.
        consumers_per_pod: Option<u32>,
        /// A message not done by then is delivered again. Default 30s.
        visibility_timeout: Option<DurationText>,
        /// Deliveries before a message is given up. Default 5.
        max_deliveries: Option<u32>,
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
        /// Tokens that retries cost, kept by each calling pod. Default none; `{}` takes the AWS SDKs' numbers.
        token_bucket: Option<Part<TokenBucket>>,
    }

    /// Retry tokens: a success gives refill, a retry that succeeds its cost.
    TokenBucket as "mapping" {
        /// Most tokens. Default 500.
        capacity: Option<u32>,
        /// Of a retry. Default 5.
        cost: Option<u32>,
        /// Of a retry after a timeout. Default 10.
        timeout_cost: Option<u32>,
        /// Of a success. Default 1.
        refill: Option<u32>,
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
