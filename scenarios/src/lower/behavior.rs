//! What manifests do not say about workloads.

use api::{ObjectKey, ResourceName, SimDuration};
use engine::spec::{
    Balancing, Behavior, CFS_PERIOD, Cache, Call, CancelOnTimeout, CircuitBreaker, Client, ClientThrottle, Connections, Crash, Dns,
    MemoryUse, PodSelector, ServiceBehavior, ServiceMemory, TokenBucket, WorkerQueue,
};
use manifests::{Diagnostic, Pointer};
use serde_json::Value;

use super::selector::{parse_workload, selector};
use super::{Bare, law};
use crate::catalog::Catalog;
use crate::cx::Cx;
use crate::format::{self, Backoff, PercentText, QuantityText, Retries, RetryBudget, SERVICE_NOT_YET, ServiceFields, has_flat_service};

/// Behaviors in order, with their places.
#[derive(Default)]
pub(crate) struct Behaviors {
    pub(crate) items: Vec<(Behavior, Pointer)>,
    /// How long callers of a behavior's pods wait who do not say themselves.
    timeouts: Vec<Option<SimDuration>>,
}

impl Behaviors {
    /// The behavior that says how pods behind `service` answer requests.
    pub(crate) fn of_service(&self, catalog: &Catalog<'_>, service: &ObjectKey) -> Option<usize> {
        let subjects = catalog.behind(service);
        let holds = |(behavior, _): &(Behavior, Pointer)| {
            behavior.service.is_some() && subjects.iter().any(|subject| super::selects(&behavior.selector, &subject.subject()))
        };
        self.items.iter().position(holds)
    }
    /// How long callers of `service` wait who do not say themselves.
    pub(crate) fn timeout_of(&self, catalog: &Catalog<'_>, service: &ObjectKey) -> Option<SimDuration> {
        self.timeouts[self.of_service(catalog, service)?]
    }
}

/// The behaviors at `path`.
pub(crate) fn behaviors(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Behaviors {
    let mut found = Behaviors::default();
    let mut unset = Vec::new();
    for item in cx.items(path) {
        let Some((behavior, timeout, calls)) = behavior(cx, catalog, &item) else { continue };
        unset.push(calls);
        found.items.push((behavior, item));
        found.timeouts.push(timeout);
    }
    // Only now is it known how long callees let their callers wait.
    for (index, left) in unset.into_iter().enumerate() {
        for (group, place) in left {
            let to = found.items[index].0.service.as_ref().map(|service| service.calls[group][place].to.clone());
            let timeout = to.and_then(|to| found.timeout_of(catalog, &to));
            if let (Some(timeout), Some(service)) = (timeout, &mut found.items[index].0.service) {
                service.calls[group][place].client.timeout = timeout;
            }
        }
    }
    found
}

/// Calls, by group and place, whose timeout was left to the callee.
type Unset = Vec<(usize, usize)>;

fn behavior(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Option<(Behavior, Option<SimDuration>, Unset)> {
    let fields: format::Behavior = cx.read(path)?;
    let selector = whose(cx, &fields, path);
    let startup = fields.startup.as_ref();
    let at = path.key("startup");
    let mut law_at = |given: bool, at: Pointer| if given { law(cx, &at, Bare::Constant) } else { None };
    let image_pull = law_at(startup.is_some_and(|startup| startup.image_pull.is_some()), at.key("imagePull"));
    let ready_after = law_at(startup.is_some_and(|startup| startup.ready.is_some()), at.key("ready"));
    let stop = law_at(fields.stop.is_some(), path.key("stop"));
    let post_start = law_at(fields.post_start.is_some(), path.key("postStart"));
    let pre_stop = law_at(fields.pre_stop.is_some(), path.key("preStop"));
    let completes = law_at(fields.completes.is_some(), path.key("completes")).map(|after| Crash { after, exit_code: 0, times: None });
    let readiness_gates = law_at(fields.readiness_gates.is_some(), path.key("readinessGates"));
    let memory = fields.memory_over_time.is_some().then(|| bytes_over_time(cx, &path.key("memoryOverTime"))).flatten();
    let storage_at = path.key("ephemeralStorageOverTime");
    let storage = fields.ephemeral_storage_over_time.is_some().then(|| bytes_over_time(cx, &storage_at)).flatten();
    let pids = fields.processes_over_time.is_some().then(|| processes_over_time(cx, &path.key("processesOverTime"))).flatten();
    let crash = if fields.crash.is_some() { crash(cx, &path.key("crash")) } else { None };
    if completes.is_some() && crash.is_some() {
        cx.error("WT0117", "`completes` and `crash` exclude each other", "a container ends in one way", &path.key("completes"));
    }
    let crash = crash.or(completes);
    let flat = cx.value(path).is_some_and(has_flat_service);
    let place = match (fields.service.is_some(), flat) {
        (true, true) => {
            let label = "its fields stand both here and in the behavior itself";
            cx.error("WT0117", "`service` is said twice", label, &path.key("service"));
            None
        }
        (true, false) => Some(path.key("service")),
        (false, true) => Some(path.clone()),
        (false, false) => None,
    };
    let service = place.and_then(|place| service(cx, catalog, &place, flat));
    let (service, timeout, unset) = service.map_or((None, None, Unset::new()), |(service, timeout, unset)| (Some(service), timeout, unset));
    let never_ready = fields.never_ready.unwrap_or(false);
    let container = fields.container.as_deref().map(Into::into);
    let image_pull_error = startup.and_then(|startup| startup.image_pull_error.as_deref()).map(Into::into);
    let behavior = Behavior {
        selector: selector?,
        image_pull,
        ready_after,
        never_ready,
        stop,
        crash,
        service,
        container,
        image_pull_error,
        post_start,
        post_start_fails: fields.post_start_fails.unwrap_or(false),
        pre_stop,
        readiness_gates,
        memory,
        storage,
        pids,
    };
    Some((behavior, timeout, unset))
}

fn whose(cx: &mut Cx<'_>, fields: &format::Behavior, path: &Pointer) -> Option<PodSelector> {
    match (&fields.workload, &fields.selector) {
        (Some(workload), None) => {
            let workload = parse_workload(cx, workload, &path.key("workload"))?;
            Some(PodSelector { workload: Some(workload), ..PodSelector::default() })
        }
        (None, Some(_)) => {
            let at = path.key("selector");
            let (selector, raw) = selector(cx, &at)?;
            if raw.nodes.is_some() || raw.target.is_some() || raw.node_selectors.is_some() {
                cx.error("WT0118", "a behavior is about pods", "nodes, nodeSelectors and target belong to faults", &at);
            }
            if selector == PodSelector::default() {
                cx.error("WT0118", "an empty selector", "say whose behavior this is", &at);
                return None;
            }
            Some(selector)
        }
        (Some(_), Some(_)) => {
            cx.error("WT0117", "`workload` and `selector` exclude each other", "keep one of the two", &path.key("selector"));
            None
        }
        (None, None) => {
            let diagnostic = Diagnostic::error("WT0107", "whose behavior is this?").label("`workload` or `selector` is missing");
            cx.push(diagnostic.help("such as `workload: deployment/checkout`, or `selector: {labelSelectors: {app: checkout}}`"), path);
            None
        }
    }
}

fn bytes_over_time(cx: &mut Cx<'_>, path: &Pointer) -> Option<MemoryUse> {
    over_time(cx, path, |cx, at| {
        let fields: format::MemoryPoint = cx.read(at)?;
        Some((cx.duration(&fields.after, &at.key("after"))?, super::cluster::memory(cx, &fields.bytes, &at.key("bytes"))?))
    })
}

fn processes_over_time(cx: &mut Cx<'_>, path: &Pointer) -> Option<MemoryUse> {
    over_time(cx, path, |cx, at| {
        let fields: format::CountPoint = cx.read(at)?;
        Some((cx.duration(&fields.after, &at.key("after"))?, i64::from(fields.count)))
    })
}

/// Points that go up in time.
fn over_time(cx: &mut Cx<'_>, path: &Pointer, point: impl Fn(&mut Cx<'_>, &Pointer) -> Option<(SimDuration, i64)>) -> Option<MemoryUse> {
    let mut points: Vec<(SimDuration, i64)> = Vec::new();
    for at in cx.items(path) {
        let (after, amount) = point(cx, &at)?;
        if points.last().is_some_and(|(before, _)| *before >= after) {
            cx.error("WT0118", "the points do not go up in time", "later than the point before it", &at.key("after"));
            return None;
        }
        points.push((after, amount));
    }
    Some(MemoryUse { points })
}

fn crash(cx: &mut Cx<'_>, path: &Pointer) -> Option<Crash> {
    let fields: format::Crash = cx.read(path)?;
    let after = law(cx, &path.key("after"), Bare::Constant)?;
    Some(Crash { after, exit_code: fields.exit_code.unwrap_or(1), times: fields.times })
}

/// The default of `queueLimit`, as Envoy's max_pending_requests.
const QUEUE_LIMIT: u32 = 1024;

fn service(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer, flat: bool) -> Option<(ServiceBehavior, Option<SimDuration>, Unset)> {
    let fields: ServiceFields = if flat { cx.read_among_others(path)? } else { cx.read(path)? };
    for name in SERVICE_NOT_YET {
        let at = path.key(name);
        if cx.value(&at).is_some() {
            cx.not_simulated(&at, "no effect on the run");
        }
    }
    let cpu = match fields.cpu_per_request {
        Some(_) => law(cx, &path.key("cpuPerRequest"), Bare::Mean),
        None if fields.latency_per_request.is_some() || fields.latency.is_some() => Some(zero()),
        None => {
            let diagnostic = Diagnostic::error("WT0107", "required field `cpuPerRequest` is missing").label("what does a request cost?");
            cx.push(diagnostic.help("cpu seconds used / requests served, from your metrics; such as `cpuPerRequest: {mean: 5ms}`"), path);
            None
        }
    };
    let latency = latency(cx, &fields, path);
    let concurrency = concurrency(cx, &fields, path);
    discipline(cx, &fields, path);
    if fields.queue_limit.is_none() && fields.database.is_none() && fields.worker.is_none() {
        cx.note(format!("{}: queueLimit {QUEUE_LIMIT}", path.parent_name()));
    }
    let error_ratio = fields.error_ratio.as_ref().map_or(Some(0.0), |ratio| cx.share(ratio, &path.key("errorRatio")));
    let timeout = fields.timeout.as_ref().and_then(|timeout| cx.timeout(timeout, &path.key("timeout")));
    let cancel = cancel(cx, &fields, path);
    let (calls, unset) = calls(cx, catalog, &path.key("calls"));
    let extras = Extras::read(cx, &fields, path);
    let concurrency = concurrency.map(|given| given.or(extras.connections));
    let queue_limit = if extras.connections.is_some() { 0 } else { QUEUE_LIMIT };
    let service = ServiceBehavior {
        cpu_per_request: cpu?,
        latency_per_request: latency?,
        concurrency: concurrency?,
        queue_limit: fields.queue_limit.unwrap_or(queue_limit),
        error_ratio: error_ratio?,
        cancel_on_timeout: cancel?,
        calls,
        memory: extras.memory,
        overload_penalty: extras.overload_penalty,
        cfs_period: extras.cfs_period,
        worker: extras.worker,
    };
    Some((service, timeout, unset))
}

fn zero() -> engine::random::Distribution {
    engine::random::Distribution::Constant(SimDuration::ZERO)
}

fn latency(cx: &mut Cx<'_>, fields: &ServiceFields, path: &Pointer) -> Option<engine::random::Distribution> {
    match (&fields.latency_per_request, &fields.latency) {
        (None, None) => Some(zero()),
        (Some(_), None) => law(cx, &path.key("latencyPerRequest"), Bare::Constant),
        (None, Some(_)) => law(cx, &path.key("latency"), Bare::Constant),
        (Some(_), Some(_)) => {
            cx.error("WT0117", "`latency` is another word for `latencyPerRequest`", "keep one of the two", &path.key("latency"));
            None
        }
    }
}

fn concurrency(cx: &mut Cx<'_>, fields: &ServiceFields, path: &Pointer) -> Option<Option<u32>> {
    let (name, found) = match (fields.concurrency, fields.max_in_flight_per_pod) {
        (Some(_), Some(_)) => {
            let at = path.key("maxInFlightPerPod");
            cx.error("WT0117", "`maxInFlightPerPod` is another word for `concurrency`", "keep one of the two", &at);
            return None;
        }
        (Some(count), None) => ("concurrency", Some(count)),
        (None, other) => ("maxInFlightPerPod", other),
    };
    if found == Some(0) {
        cx.error("WT0109", "a concurrency of 0", "no request could ever be answered", &path.key(name));
        return None;
    }
    Some(found)
}

fn discipline(cx: &mut Cx<'_>, fields: &ServiceFields, path: &Pointer) {
    let Some(word) = &fields.discipline else { return };
    let at = path.key("discipline");
    let limited = fields.concurrency.is_some() || fields.max_in_flight_per_pod.is_some();
    match cx.word(word, &[("fifo", true), ("ps", false)], &at) {
        Some(fifo) if fifo != limited => {
            let label = if fifo {
                "without `concurrency` a pod shares its cpu between all requests"
            } else {
                "with `concurrency` requests wait in line"
            };
            cx.not_simulated(&at, label);
        }
        _ => {}
    }
}

fn cancel(cx: &mut Cx<'_>, fields: &ServiceFields, path: &Pointer) -> Option<CancelOnTimeout> {
    let Some(word) = &fields.cancel_on_timeout else { return Some(CancelOnTimeout::None) };
    let at = path.key("cancelOnTimeout");
    let words = [("none", CancelOnTimeout::None), ("queued", CancelOnTimeout::Queued), ("inflight", CancelOnTimeout::InFlight)];
    cx.word(word, &words, &at)
}

/// Calls by group, and which of them leave their timeout to the callee.
fn calls(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> (Vec<Vec<Call>>, Unset) {
    let mut groups: Vec<Vec<Call>> = Vec::new();
    let mut unset = Unset::new();
    let mut last: Option<String> = None;
    for item in cx.items(path) {
        let Some((call, group, has_timeout)) = call(cx, catalog, &item) else { continue };
        match groups.last_mut() {
            Some(same) if group.is_some() && group == last => same.push(call),
            _ => groups.push(vec![call]),
        }
        if !has_timeout {
            unset.push((groups.len() - 1, groups.last().map_or(0, |group| group.len() - 1)));
        }
        last = group;
    }
    (groups, unset)
}

fn call(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Option<(Call, Option<String>, bool)> {
    let fields: format::Call = cx.read(path)?;
    let probability = fields.probability.as_ref().map_or(Some(1.0), |share| cx.share(share, &path.key("probability")));
    let timeout = fields.timeout.as_ref().and_then(|timeout| cx.timeout(timeout, &path.key("timeout")));
    let connect = cx.optional_duration(fields.connect_timeout.as_ref(), &path.key("connectTimeout"));
    let mut client = client(cx, timeout, connect, fields.retries.is_some(), path);
    protections(cx, &mut client, path);
    let to = catalog.service(cx, &fields.to, &path.key("to"))?;
    let cache = if fields.cache.is_some() { cache(cx, catalog, &client, &path.key("cache")) } else { None };
    let call = Call { to, probability: probability?, client, cache };
    Some((call, fields.group.map(|group| group.text), fields.timeout.is_some()))
}

fn cache(cx: &mut Cx<'_>, catalog: &Catalog<'_>, client: &Client, path: &Pointer) -> Option<Cache> {
    let fields: format::Cache = cx.read(path)?;
    let hit_ratio = cx.share(&fields.hit_ratio, &path.key("hitRatio"))?;
    let warmup_requests = cx.within(fields.warmup_requests.unwrap_or(0.0), 0.0, "a number of requests", &path.key("warmupRequests"))?;
    let miss_to = match &fields.miss_to {
        Some(name) => Some((catalog.service(cx, name, &path.key("missTo"))?, client.clone())),
        None => None,
    };
    Some(Cache { hit_ratio, warmup_requests, miss_to })
}

/// What keeps a caller from asking too much of a callee, as said at `path`.
pub(crate) fn protections(cx: &mut Cx<'_>, client: &mut Client, path: &Pointer) {
    let at = path.key("circuitBreaker");
    if cx.value(&at).is_some() {
        client.circuit_breaker = circuit_breaker(cx, &at);
    }
    let at = path.key("clientThrottle");
    if cx.value(&at).is_some() {
        client.throttle = client_throttle(cx, &at);
    }
    let at = path.key("connectionPool");
    if cx.value(&at).is_some() {
        client.connection_pool = cx.read::<format::ConnectionPool>(&at).and_then(|fields| at_least_one(cx, fields.max, &at.key("max")));
    }
    let at = path.key("balancing");
    if let Some(word) = cx.text(&at).map(str::to_owned) {
        let words = [("random", Balancing::Random), ("round-robin", Balancing::RoundRobin), ("least-request", Balancing::LeastRequest)];
        client.balancing = cx.word(&word, &words, &at).unwrap_or_default();
    }
    let at = path.key("connections");
    if cx.value(&at).is_some() {
        client.connections = connections(cx, &at);
        if client.balancing == Balancing::LeastRequest {
            cx.error("WT0117", "`connections` and `balancing: least-request` exclude each other", "a mesh chooses for each request", &at);
        }
    }
    let at = path.key("dns");
    if cx.value(&at).is_some()
        && let Some(fields) = cx.read::<format::Dns>(&at)
    {
        let ttl = fields.ttl.as_ref().and_then(|ttl| cx.timeout(ttl, &at.key("ttl"))).unwrap_or(client.dns.ttl);
        client.dns = Dns { ttl, pinned: fields.pinned.unwrap_or(false) };
    }
}

fn connections(cx: &mut Cx<'_>, path: &Pointer) -> Option<Connections> {
    let fields: format::Connections = cx.read(path)?;
    let usual = Connections::default();
    let word = fields.protocol.as_deref().unwrap_or("http1");
    let multiplexed = cx.word(word, &[("http1", false), ("http2", true)], &path.key("protocol"))?;
    let most_requests = match fields.requests_per_connection {
        Some(count) => Some(at_least_one(cx, count, &path.key("requestsPerConnection"))?),
        None => None,
    };
    let lifetime = cx.optional_duration(fields.connection_lifetime.as_ref(), &path.key("connectionLifetime"));
    let idle_timeout = cx.optional_duration(fields.idle_timeout.as_ref(), &path.key("idleTimeout")).unwrap_or(usual.idle_timeout);
    let given_up = cx.optional_duration(fields.gives_up_after.as_ref(), &path.key("givesUpAfter"));
    Some(Connections { multiplexed, most_requests, lifetime, idle_timeout, gives_up_after: given_up.unwrap_or(usual.gives_up_after) })
}

fn circuit_breaker(cx: &mut Cx<'_>, path: &Pointer) -> Option<CircuitBreaker> {
    let fields: format::CircuitBreaker = cx.read(path)?;
    let usual = CircuitBreaker::default();
    let max_ejection = fields.max_ejection.as_ref().map_or(Some(usual.max_ejection), |share| cx.share(share, &path.key("maxEjection")))?;
    Some(CircuitBreaker {
        max_requests: fields.max_requests.unwrap_or(usual.max_requests),
        max_retries: fields.max_retries.unwrap_or(usual.max_retries),
        consecutive: fields.consecutive.unwrap_or(usual.consecutive),
        open_for: cx.optional_duration(fields.open_for.as_ref(), &path.key("openFor")).unwrap_or(usual.open_for),
        max_ejection,
    })
}

fn client_throttle(cx: &mut Cx<'_>, path: &Pointer) -> Option<ClientThrottle> {
    let fields: format::ClientThrottle = cx.read(path)?;
    let usual = ClientThrottle::default();
    let k = cx.within(fields.k.unwrap_or(usual.k), 1.0, "a k", &path.key("k"))?;
    let at = path.key("window");
    let window = cx.optional_duration(fields.window.as_ref(), &at).unwrap_or(usual.window);
    if window < SimDuration::from_secs(1) {
        cx.error("WT0109", format!("a window of {window}"), "expected at least 1s", &at);
        return None;
    }
    Some(ClientThrottle { k, window })
}

fn at_least_one(cx: &mut Cx<'_>, count: u32, path: &Pointer) -> Option<u32> {
    if count == 0 {
        cx.error("WT0109", "a limit of 0", "no request could ever be answered; expected at least 1", path);
        return None;
    }
    Some(count)
}

/// What a service may have beside its requests' cost.
#[derive(Default)]
struct Extras {
    memory: Option<ServiceMemory>,
    overload_penalty: (f64, f64),
    cfs_period: SimDuration,
    worker: Option<WorkerQueue>,
    connections: Option<u32>,
}

impl Extras {
    fn read(cx: &mut Cx<'_>, fields: &ServiceFields, path: &Pointer) -> Self {
        let mut extras = Self { cfs_period: CFS_PERIOD, ..Self::default() };
        if fields.memory.is_some() {
            extras.memory = memory(cx, &path.key("memory"));
        }
        let at = path.key("overloadPenalty");
        if fields.overload_penalty.is_some()
            && let Some(law) = cx.read::<format::OverloadPenalty>(&at)
        {
            let sigma = cx.within(law.sigma.unwrap_or(0.0), 0.0, "a sigma", &at.key("sigma"));
            let kappa = cx.within(law.kappa.unwrap_or(0.0), 0.0, "a kappa", &at.key("kappa"));
            extras.overload_penalty = (sigma.unwrap_or(0.0), kappa.unwrap_or(0.0));
        }
        let at = path.key("cfsPeriod");
        if let Some(scalar) = &fields.cfs_period {
            extras.cfs_period = match &*scalar.text {
                "none" => SimDuration::ZERO,
                _ => cx.duration(scalar, &at).unwrap_or(CFS_PERIOD),
            };
            // The kernel takes 1 ms to 1 s.
            if scalar.text != "none" && !(SimDuration::from_millis(1)..=SimDuration::from_secs(1)).contains(&extras.cfs_period) {
                cx.error("WT0109", format!("a period of {}", extras.cfs_period), "expected 1ms to 1s, or `none`", &at);
            }
        }
        let at = path.key("worker");
        if fields.worker.is_some() {
            extras.worker = worker(cx, &at);
        }
        let at = path.key("database");
        if fields.database.is_some()
            && let Some(database) = cx.read::<format::Database>(&at)
        {
            if fields.concurrency.is_some() || fields.max_in_flight_per_pod.is_some() {
                cx.error("WT0117", "`database` and `concurrency` exclude each other", "its connections are its concurrency", &at);
            }
            extras.connections = at_least_one(cx, database.max_connections.unwrap_or(100), &at.key("maxConnections"));
        }
        extras
    }
}

fn memory(cx: &mut Cx<'_>, path: &Pointer) -> Option<ServiceMemory> {
    let fields: format::Memory = cx.read(path)?;
    let mut bytes = |scalar: Option<&QuantityText>, name: &str| match scalar {
        Some(scalar) => cx.quantity(&ResourceName::Memory, scalar, &path.key(name)),
        None => Some(0),
    };
    Some(ServiceMemory {
        base_bytes: bytes(Some(&fields.base), "base")?,
        per_in_flight_bytes: bytes(fields.per_inflight.as_ref(), "perInflight")?,
        leak_per_second_bytes: bytes(fields.leak_per_second.as_ref(), "leakPerSecond")?,
        leak_per_request_bytes: bytes(fields.leak_per_request.as_ref(), "leakPerRequest")?,
    })
}

fn worker(cx: &mut Cx<'_>, path: &Pointer) -> Option<WorkerQueue> {
    let fields: format::Worker = cx.read(path)?;
    let visibility = cx.optional_duration(fields.visibility_timeout.as_ref(), &path.key("visibilityTimeout"));
    Some(WorkerQueue {
        consumers_per_pod: at_least_one(cx, fields.consumers_per_pod.unwrap_or(1), &path.key("consumersPerPod"))?,
        visibility_timeout: visibility.unwrap_or(SimDuration::from_secs(30)),
        max_deliveries: at_least_one(cx, fields.max_deliveries.unwrap_or(5), &path.key("maxDeliveries"))?,
    })
}

/// How a caller waits and tries again; the retries are at `path`.
pub(crate) fn client(cx: &mut Cx<'_>, timeout: Option<SimDuration>, connect: Option<SimDuration>, retries: bool, path: &Pointer) -> Client {
    let mut client = Client::default();
    client.timeout = timeout.unwrap_or(client.timeout);
    client.connect_timeout = connect.unwrap_or(client.connect_timeout);
    if retries {
        read_retries(cx, &mut client, &path.key("retries"));
    }
    client
}

fn read_retries(cx: &mut Cx<'_>, client: &mut Client, path: &Pointer) {
    let Some(fields) = cx.read::<Retries>(path) else { return };
    let at = path.key("tokenBucket");
    if fields.token_bucket.is_some()
        && let Some(bucket) = cx.read::<format::TokenBucket>(&at)
    {
        let usual = TokenBucket::default();
        client.token_bucket = Some(TokenBucket {
            capacity: bucket.capacity.unwrap_or(usual.capacity),
            cost: bucket.cost.unwrap_or(usual.cost),
            timeout_cost: bucket.timeout_cost.unwrap_or(usual.timeout_cost),
            refill: bucket.refill.unwrap_or(usual.refill),
        });
    }
    match (fields.max_attempts, fields.max) {
        (Some(0), None) => {
            cx.error("WT0109", "maxAttempts of 0", "the first attempt counts: expected at least 1", &path.key("maxAttempts"))
        }
        (Some(attempts), None) => client.max_attempts = attempts,
        (None, Some(more)) => client.max_attempts = more.saturating_add(1),
        (Some(_), Some(_)) => cx.error("WT0117", "`max` and `maxAttempts` exclude each other", "keep one of the two", &path.key("max")),
        (None, None) => cx.error("WT0107", "required field `maxAttempts` is missing", "how often?", path),
    }
    if let Some(word) = &fields.jitter {
        client.full_jitter = cx.word(word, &[("full", true), ("none", false)], &path.key("jitter")).unwrap_or(true);
    }
    if fields.backoff.is_some() {
        read_backoff(cx, client, &path.key("backoff"));
    }
    if fields.budget.is_some() {
        client.retry_budget = budget(cx, &path.key("budget"));
    }
}

fn read_backoff(cx: &mut Cx<'_>, client: &mut Client, path: &Pointer) {
    let (base, max) = if cx.value(path).is_some_and(Value::is_object) {
        let Some(fields) = cx.read::<Backoff>(path) else { return };
        (cx.optional_duration(fields.base.as_ref(), &path.key("base")), cx.optional_duration(fields.max.as_ref(), &path.key("max")))
    } else {
        let scalar = cx.read::<format::DurationText>(path);
        (cx.optional_duration(scalar.as_ref(), path), None)
    };
    client.backoff_base = base.unwrap_or(client.backoff_base);
    client.backoff_max = max.unwrap_or_else(|| base.map_or(client.backoff_max, |base| base.times(10)));
    if client.backoff_max < client.backoff_base {
        cx.error("WT0109", "`max` is less than `base`", format!("expected at least {}", client.backoff_base), &path.key("max"));
    }
}

fn budget(cx: &mut Cx<'_>, path: &Pointer) -> Option<(f64, f64)> {
    let fields: RetryBudget = cx.read(path)?;
    let at = path.key("ratio");
    let ratio = match &fields.ratio {
        None => 0.2,
        Some(text) => ratio(cx, text, &at)?,
    };
    let least = cx.within(fields.min_per_second.unwrap_or(10.0), 0.0, "a rate", &path.key("minPerSecond"))?;
    Some((ratio, least))
}

/// A ratio that may exceed 1.
fn ratio(cx: &mut Cx<'_>, text: &PercentText, at: &Pointer) -> Option<f64> {
    let number = crate::cx::share(&text.text).or_else(|| text.text.parse().ok());
    match number {
        Some(number) => cx.within(number, 0.0, "a ratio", at),
        None => {
            cx.error("WT0118", format!("`{}` is not a ratio", text.text), "expected a number such as 0.2 or `20%`", at);
            None
        }
    }
}

/// Requests that one request to `service` becomes, its own included.
pub(crate) fn requests_per_request(catalog: &Catalog<'_>, behaviors: &Behaviors, service: &ObjectKey, depth: u32) -> f64 {
    // Circles are an error of their own.
    if depth > 16 {
        return 1.0;
    }
    let calls = behaviors.of_service(catalog, service).and_then(|index| behaviors.items[index].0.service.as_ref());
    let calls = calls.into_iter().flat_map(|service| service.calls.iter().flatten());
    1.0 + calls.map(|call| call.probability * requests_per_request(catalog, behaviors, &call.to, depth + 1)).sum::<f64>()
}

/// Names a behavior in notes.
trait ParentName {
    fn parent_name(&self) -> String;
}
impl ParentName for Pointer {
    fn parent_name(&self) -> String {
        let own = if self.last().as_deref() == Some("service") { self.parent() } else { self.clone() };
        own.to_string().trim_start_matches("spec.").to_owned()
    }
}
