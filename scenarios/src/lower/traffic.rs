//! Requests from outside: every way of writing a load becomes points of one rate over time.

use std::sync::Arc;

use api::{ObjectKey, ServiceType, SimDuration, SimTime};
use engine::spec::{Arrivals, ControlPlane, ExternalService, RatePoint, ServiceBehavior, Source, TrafficEngine, TrafficSpec, Users, Via};
use manifests::{Diagnostic, Pointer};
use serde_json::Value;

use super::Behaviors;
use super::behavior::{client, protections};
use super::load::rates;
use crate::catalog::Catalog;
use crate::cx::Cx;
use crate::format::{self, DurationText, Rate, RateText, Stage, Traffic};

/// A source that sends more than this is a slip; requests would come closer than the clock can tell apart.
pub(crate) const MOST_PER_SECOND: f64 = 100_000_000.0;

/// The traffic at `path`, each source with its place.
pub(crate) fn traffic(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    behaviors: &Behaviors,
    control_plane: &ControlPlane,
    path: &Pointer,
) -> (TrafficSpec, Vec<Pointer>) {
    let mut spec = TrafficSpec::default();
    let list = match cx.value(path) {
        None | Some(Value::Null) => return (spec, Vec::new()),
        Some(Value::Array(_)) => path.clone(),
        Some(_) => {
            settings(cx, &mut spec, path);
            spec.external = external(cx, catalog, &path.key("external"));
            path.key("sources")
        }
    };
    let mut places = Vec::new();
    for item in cx.items(&list) {
        if let Some(source) = source(cx, catalog, behaviors, &item) {
            spec.sources.push(source);
            places.push(item);
        }
    }
    choose_engine(cx, catalog, behaviors, control_plane, &mut spec, path);
    (spec, places)
}

/// Events that are played one by one: five to ten seconds of work.
const EXACT_EVENTS: u64 = 50_000_000;
/// Events of one request at one service.
const EVENTS_PER_CALL: f64 = 3.0;
/// With fewer pods behind a service than this their noise is the answer.
const FEWEST_PODS: i32 = 5;
/// What counting together implies.
const TOGETHER: &str = "requests are counted together, without noise: counts within 3 %, p50 within 5 %, p99 within 10 % at rest and 25 % in \
                        transients, a cpu quota is a slower core, and within 5 % of a tipping point its verdict needs `engine: exact`";

/// Which engine plays the requests, and why.
fn choose_engine(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    behaviors: &Behaviors,
    control_plane: &ControlPlane,
    spec: &mut TrafficSpec,
    path: &Pointer,
) {
    let fields = if cx.value(path).is_some_and(Value::is_object) { cx.read::<Traffic>(path) } else { None };
    let (word, budget) = fields.map_or((None, None), |fields| (fields.engine, fields.exact_event_budget));
    let at = path.key("engine");
    let words = [("auto", None), ("exact", Some(TrafficEngine::Exact)), ("cohort", Some(TrafficEngine::Cohort))];
    let chosen = word.as_ref().and_then(|word| cx.word(word, &words, &at)).flatten();
    if spec.sources.is_empty() {
        spec.engine = chosen.unwrap_or_default();
        return;
    }
    let all: Vec<_> = behaviors.items.iter().map(|(behavior, _)| behavior.clone()).collect();
    let services: Vec<&api::Service> = catalog.services.iter().map(|found| &found.object).collect();
    let missing = engine::unsupported_by_cohort(spec, &all, control_plane, &services, catalog.has_network_policies);
    if let (Some(TrafficEngine::Cohort), Some(name)) = (chosen, missing) {
        let diagnostic = Diagnostic::error("WT0117", format!("`engine: cohort` has no `{name}`")).label("requests are counted together");
        cx.push(diagnostic.help("write `engine: exact`, or leave it to auto"), &at);
    }
    let events = expected_events(cx.duration, catalog, behaviors, spec);
    let many = events > budget.unwrap_or(EXACT_EVENTS) as f64;
    let millions = format!("about {} million events", round(events / 1e6));
    let few = spec.sources.iter().find_map(|source| few_pods(catalog, behaviors, &source.to, 0));
    let (engine, why) = match (chosen, missing, few) {
        (Some(TrafficEngine::Exact), ..) => (TrafficEngine::Exact, format!("as the scenario asks: every request by itself, {millions}")),
        (Some(TrafficEngine::Cohort), None, _) => (TrafficEngine::Cohort, format!("as the scenario asks: {TOGETHER}")),
        (None, ..) if !many => (TrafficEngine::Exact, format!("(auto): every request by itself, {millions}")),
        (_, Some(name), _) => (TrafficEngine::Exact, format!("(auto): {millions}, because counting together has no `{name}`")),
        (None, None, Some((service, pods))) => {
            let why = format!("(auto): {millions}, because {pods} pods behind `{}` are too few to count together", service.name);
            (TrafficEngine::Exact, why)
        }
        (None, None, None) => (TrafficEngine::Cohort, format!("(auto), because one by one they would be {millions}: {TOGETHER}")),
    };
    spec.engine = engine;
    let name = if engine == TrafficEngine::Exact { "exact" } else { "cohort" };
    cx.note(format!("traffic engine {name} {why}"));
}

fn expected_events(duration: SimDuration, catalog: &Catalog<'_>, behaviors: &Behaviors, spec: &TrafficSpec) -> f64 {
    let of = |source: &Source| {
        let offered = match &source.users {
            Some(users) => f64::from(users.count) * duration.as_secs_f64() / users.think.mean().as_secs_f64().max(0.1),
            None => offered(&source.rate, duration),
        };
        offered * EVENTS_PER_CALL * super::behavior::requests_per_request(catalog, behaviors, &source.to, 0)
    };
    spec.sources.iter().map(of).sum()
}

/// A service on the way of requests with few pods behind it, and how many; who has no workload at all has nobody to be noisy.
fn few_pods(catalog: &Catalog<'_>, behaviors: &Behaviors, service: &ObjectKey, depth: u32) -> Option<(ObjectKey, i32)> {
    let workloads = catalog.behind(service);
    let pods = workloads.iter().map(|workload| workload.replicas).sum();
    if !workloads.is_empty() && pods < FEWEST_PODS {
        return Some((service.clone(), pods));
    }
    // Circles are an error of their own.
    let index = behaviors.of_service(catalog, service).filter(|_| depth < 16)?;
    let calls = behaviors.items[index].0.service.iter().flat_map(|service| service.calls.iter().flatten());
    calls.into_iter().find_map(|call| few_pods(catalog, behaviors, &call.to, depth + 1))
}

fn round(number: f64) -> String {
    if number >= 10.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// Requests that a rate offers within the run.
fn offered(points: &[RatePoint], duration: SimDuration) -> f64 {
    let end = SimTime::ZERO + duration;
    let piece = |(index, point): (usize, &RatePoint)| {
        let next = points.get(index + 1);
        let until = next.map_or(end, |next| next.at.min(end));
        if until <= point.at {
            return 0.0;
        }
        let last = next.filter(|_| point.linear).map_or(point.per_second, |next| next.per_second);
        f64::midpoint(point.per_second, last) * until.since(point.at).as_secs_f64()
    };
    points.iter().enumerate().map(piece).sum()
}

fn settings(cx: &mut Cx<'_>, spec: &mut TrafficSpec, path: &Pointer) {
    let Some(fields) = cx.read::<Traffic>(path) else { return };
    let at = path.key("window");
    if let Some(window) = cx.optional_duration(fields.window.as_ref(), &at) {
        if window < SimDuration::from_millis(100) {
            cx.error("WT0109", format!("a window of {window}"), "expected at least 100ms", &at);
        } else {
            spec.window = window;
        }
    }
}

fn source(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behaviors: &Behaviors, path: &Pointer) -> Option<Source> {
    let fields: format::Source = cx.read(path)?;
    let users = users(cx, &fields, path);
    let to = match (&fields.to, &fields.target) {
        (Some(name), None) => catalog.service(cx, name, &path.key("to")),
        (None, Some(target)) => catalog.service(cx, &target.service, &path.key("target").key("service")),
        (None, None) => {
            cx.error("WT0107", "required field `to` is missing", "which Service is asked?", path);
            None
        }
        (Some(_), Some(_)) => {
            cx.error("WT0117", "`to` and `target` exclude each other", "keep one of the two", &path.key("target"));
            None
        }
    };
    let rate = if users.is_some() { Some(Vec::new()) } else { load(cx, &fields, path) };
    if rate.iter().flatten().any(|point| point.per_second > MOST_PER_SECOND) {
        let at = ["rate", "stages", "path"]
            .iter()
            .map(|field| path.key(field))
            .find(|at| cx.value(at).is_some())
            .unwrap_or_else(|| path.clone());
        cx.error("WT0109", "a rate beyond all reason", format!("expected at most {MOST_PER_SECOND}/s"), &at);
    }
    let arrivals = match &fields.arrivals {
        None => Some(Arrivals::Poisson),
        Some(word) if word == "mmpp" => bursts(cx, path),
        Some(word) => cx.word(word, &[("poisson", Arrivals::Poisson), ("deterministic", Arrivals::Deterministic)], &path.key("arrivals")),
    };
    let own = fields.timeout.as_ref().and_then(|timeout| cx.timeout(timeout, &path.key("timeout")));
    let timeout = own.or_else(|| behaviors.timeout_of(catalog, to.as_ref()?));
    if timeout.is_none() {
        cx.note(format!("traffic source {}: timeout 15s", fields.name));
    }
    let connect = cx.optional_duration(fields.connect_timeout.as_ref(), &path.key("connectTimeout"));
    let mut client = client(cx, timeout, connect, fields.retries.is_some(), path);
    protections(cx, &mut client, path);
    let via = via(cx, catalog, &fields, to.as_ref(), path);
    let clients = clients(cx, catalog, &fields, to.as_ref(), users.is_some(), path);
    let address = fields.address.as_ref().and_then(|text| {
        let address = text.parse().ok();
        if address.is_none() {
            cx.error("WT0104", format!("`{text}` is no address"), "expected such as 203.0.113.7", &path.key("address"));
        }
        address
    });
    Some(Source {
        name: fields.name.as_str().into(),
        to: to?,
        rate: rate?,
        arrivals: arrivals?,
        users: users.unwrap_or(None),
        client,
        via,
        clients,
        address,
    })
}

/// Where a source's requests come in: its Service must have such a door.
fn via(cx: &mut Cx<'_>, catalog: &Catalog<'_>, fields: &format::Source, to: Option<&ObjectKey>, path: &Pointer) -> Via {
    const WORDS: &[(&str, Via)] =
        &[("ClusterIP", Via::ClusterIp), ("NodePort", Via::NodePort), ("LoadBalancer", Via::LoadBalancer), ("Ingress", Via::Ingress)];
    let at = path.key("via");
    let via = fields.via.as_ref().and_then(|word| cx.word(word, WORDS, &at)).unwrap_or_default();
    let Some(service) = to.and_then(|key| catalog.find_service(key)) else { return via };
    let fits = match via {
        Via::NodePort => matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer),
        Via::LoadBalancer => service.service_type == ServiceType::LoadBalancer,
        Via::ClusterIp | Via::Ingress => true,
    };
    if !fits {
        let found = format!("Service `{}` is of type {:?}", service.meta.name, service.service_type);
        let expected = if via == Via::LoadBalancer { "type: LoadBalancer" } else { "type: NodePort or LoadBalancer" };
        cx.error("WT0117", found, format!("nobody comes in by this door; the manifest would have to say {expected}"), &at);
    }
    via
}

/// Clients with an address of their own.
fn clients(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    fields: &format::Source,
    to: Option<&ObjectKey>,
    closed: bool,
    path: &Pointer,
) -> Option<u32> {
    let at = path.key("clients");
    match fields.clients {
        Some(0) => cx.error("WT0109", "no clients", "expected at least 1", &at),
        Some(_) if closed => cx.error("WT0117", "`clients` and `users` exclude each other", "each user is a client", &at),
        None if !closed => {
            let stays = to.and_then(|key| catalog.find_service(key)).is_some_and(|service| service.client_ip_affinity.is_some());
            if stays || fields.connections.is_some() {
                let what = if stays { "sessionAffinity has no effect on it" } else { "its connections are those of one client" };
                cx.note(format!("traffic source {}: no `clients`, so {what}", fields.name));
            }
        }
        _ => {}
    }
    fields.clients.filter(|_| !closed)
}

/// What answers beyond the cluster.
fn external(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Vec<ExternalService> {
    let mut found: Vec<ExternalService> = Vec::new();
    for item in cx.items(path) {
        let Some(fields) = cx.read::<format::External>(&item) else { continue };
        let at = item.key("service");
        let Some(service) = catalog.service(cx, &fields.service, &at) else { continue };
        if catalog.find_service(&service).is_some_and(|service| service.selector.is_some()) {
            let label = "its selector says which pods answer; expected an ExternalName, or a Service without a selector";
            cx.error("WT0117", format!("Service `{}` is in the cluster", service.name), label, &at);
        }
        if found.iter().any(|other| other.service == service) {
            cx.error("WT0116", format!("`{}` is described twice", fields.service), "keep one of the two", &at);
        }
        let none = engine::random::Distribution::Constant(SimDuration::ZERO);
        let latency = match &fields.latency {
            Some(_) => super::law(cx, &item.key("latency"), super::Bare::Constant),
            None => Some(none),
        };
        let error_ratio = fields.error_ratio.as_ref().map_or(Some(0.0), |ratio| cx.share(ratio, &item.key("errorRatio")));
        if fields.concurrency == Some(0) {
            cx.error("WT0109", "a concurrency of 0", "no request could ever be answered", &item.key("concurrency"));
        }
        let (Some(latency_per_request), Some(error_ratio)) = (latency, error_ratio) else { continue };
        let behavior = ServiceBehavior {
            latency_per_request,
            error_ratio,
            concurrency: fields.concurrency,
            queue_limit: fields.queue_limit.unwrap_or(1024),
            ..ServiceBehavior::default()
        };
        found.push(ExternalService { service, behavior: Arc::new(behavior) });
    }
    found
}

/// Users of a closed source: `None` when it is an open one, `Some(None)` when they could not be read.
fn users(cx: &mut Cx<'_>, fields: &format::Source, path: &Pointer) -> Option<Option<Users>> {
    let word = fields.model.as_ref().and_then(|word| cx.word(word, &[("open", false), ("closed", true)], &path.key("model")));
    let by_executor = fields.executor.as_deref() == Some("constant-vus");
    let Some(count) = fields.users else {
        if word == Some(true) || by_executor {
            let diagnostic = Diagnostic::error("WT0107", "a closed source without users").label("`users` is missing");
            cx.push(diagnostic.help("such as `users: 200, thinkTime: 5s`"), path);
            return Some(None);
        }
        return None;
    };
    let load = ["rate", "stages", "path"].into_iter().find(|name| cx.value(&path.key(name)).is_some());
    if let Some(name) = load {
        cx.error("WT0117", format!("`users` and `{name}` exclude each other"), "users ask when they have their answer", &path.key(name));
    }
    if word == Some(false) {
        cx.error("WT0117", "an open source with users", "users wait for their answers: `model: closed`", &path.key("model"));
    }
    let think = match &fields.think_time {
        Some(_) => super::law(cx, &path.key("thinkTime"), super::Bare::Mean),
        None => Some(engine::random::Distribution::Constant(SimDuration::ZERO)),
    };
    let start = cx.optional_duration(fields.start_time.as_ref(), &path.key("startTime")).unwrap_or_default();
    Some(think.map(|think| Users { count, think, from: SimTime::ZERO + start }))
}

fn bursts(cx: &mut Cx<'_>, path: &Pointer) -> Option<Arrivals> {
    let at = path.key("bursts");
    let fields: Option<format::Bursts> = if cx.value(&at).is_some() { Some(cx.read(&at)?) } else { None };
    let given = |pick: fn(&format::Bursts) -> Option<&DurationText>| fields.as_ref().and_then(pick);
    let second = SimDuration::from_secs(1);
    let burst = cx.optional_duration(given(|fields| fields.burst.as_ref()), &at.key("burst")).unwrap_or(second.times(10));
    let calm = cx.optional_duration(given(|fields| fields.calm.as_ref()), &at.key("calm")).unwrap_or(second.times(50));
    let factor = fields.as_ref().and_then(|fields| fields.factor).unwrap_or(3.0);
    let factor = cx.within(factor, 1.0, "a factor", &at.key("factor"))?;
    let most = (burst.as_secs_f64() + calm.as_secs_f64()) / burst.as_secs_f64();
    if burst.is_zero() || calm.is_zero() || factor > most {
        let label = format!("with these lengths the mean can only be kept by a factor of at most {most:.1}");
        cx.error("WT0109", "bursts that cannot be", label, &at);
        return None;
    }
    Some(Arrivals::Bursts { factor, burst, calm })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Executor {
    Ramping,
    Constant,
    Replay,
}

/// The load of a source: exactly one of its three ways.
fn load(cx: &mut Cx<'_>, fields: &format::Source, path: &Pointer) -> Option<Vec<RatePoint>> {
    const EXECUTORS: &[(&str, Executor)] =
        &[("ramping-arrival-rate", Executor::Ramping), ("constant-arrival-rate", Executor::Constant), ("replay", Executor::Replay)];
    let given = [
        (fields.stages.is_some(), "stages", Executor::Ramping),
        (fields.rate.is_some(), "rate", Executor::Constant),
        (fields.path.is_some(), "path", Executor::Replay),
    ];
    let said: Vec<_> = given.iter().filter(|(given, ..)| *given).collect();
    let executor = match (&fields.executor, &said[..]) {
        (Some(word), _) => cx.word(word, EXECUTORS, &path.key("executor"))?,
        (None, [(_, _, only)]) => *only,
        (None, []) => {
            let diagnostic = Diagnostic::error("WT0107", "a source without a load").label("`rate`, `stages` or `path` is missing");
            cx.push(diagnostic.help("such as `rate: 300/s`, or stages: [{duration: 2m, target: 12000/s}]"), path);
            return None;
        }
        (None, [_, (_, second, _), ..]) => {
            cx.error("WT0117", "`rate`, `stages` and `path` exclude each other", "each is a whole load", &path.key(second));
            return None;
        }
    };
    let (_, field, _) = given.iter().find(|(_, _, way)| *way == executor)?;
    if !said.iter().any(|(_, name, _)| name == field) {
        cx.error("WT0107", format!("required field `{field}` is missing"), "this executor needs it", &path.key("executor"));
        return None;
    }
    let points = match executor {
        Executor::Ramping => stages(cx, fields, path),
        Executor::Constant => rate(cx, &path.key("rate")),
        Executor::Replay => {
            let column = fields.column.as_ref().map(|column| column.text.as_str());
            replay(cx, fields.path.as_deref()?, column, fields.scale, path)
        }
    }?;
    let start = cx.optional_duration(fields.start_time.as_ref(), &path.key("startTime")).unwrap_or_default();
    Some(shifted(points, start))
}

/// `points` beginning `start` later, with nothing before.
fn shifted(mut points: Vec<RatePoint>, start: SimDuration) -> Vec<RatePoint> {
    for point in &mut points {
        point.at += start;
    }
    if points.first().is_none_or(|first| first.at > SimTime::ZERO) {
        points.insert(0, step(SimDuration::ZERO, 0.0));
    }
    points
}

const fn point(at: SimDuration, per_second: f64, linear: bool) -> RatePoint {
    RatePoint { at: SimTime::from_nanos(at.as_nanos()), per_second, linear }
}
const fn step(at: SimDuration, per_second: f64) -> RatePoint {
    point(at, per_second, false)
}
const fn slope(at: SimDuration, per_second: f64) -> RatePoint {
    point(at, per_second, true)
}

/// k6's stages: straight lines from target to target.
fn stages(cx: &mut Cx<'_>, fields: &format::Source, path: &Pointer) -> Option<Vec<RatePoint>> {
    let mut level = fields.start_rate.as_ref().map_or(Some(0.0), |rate| cx.rate(rate, &path.key("startRate")))?;
    let mut at = SimDuration::ZERO;
    let mut points = Vec::new();
    let list = path.key("stages");
    let items = cx.items(&list);
    if items.is_empty() {
        cx.error("WT0118", "no stages", "expected at least one {duration, target}", &list);
    }
    let mut sound = !items.is_empty();
    for item in items {
        let Some(stage) = cx.read::<Stage>(&item) else {
            sound = false;
            continue;
        };
        let span = cx.duration(&stage.duration, &item.key("duration"));
        let target = cx.rate(&stage.target, &item.key("target"));
        let (Some(span), Some(target)) = (span, target) else {
            sound = false;
            continue;
        };
        if !span.is_zero() {
            points.push(point(at, level, level != target));
        }
        at = at + span;
        level = target;
    }
    points.push(step(at, level));
    sound.then_some(points)
}

fn replay(cx: &mut Cx<'_>, file: &str, column: Option<&str>, scale: Option<f64>, path: &Pointer) -> Option<Vec<RatePoint>> {
    let scale = cx.within(scale.unwrap_or(1.0), 0.0, "a scale", &path.key("scale"))?;
    let at = path.key("path");
    if file.ends_with(".gz") {
        cx.error("WT0118", "a compressed file", "unpack it first", &at);
        return None;
    }
    let file = cx.file(file, &at)?;
    rates(cx, &file, column, scale, &at)
}

/// `rate` of a source: one number, or a shape.
fn rate(cx: &mut Cx<'_>, path: &Pointer) -> Option<Vec<RatePoint>> {
    if cx.value(path).is_some_and(Value::is_object) {
        let fields: Rate = cx.read(path)?;
        return Shape { cx, path, fields: &fields }.points();
    }
    let scalar: RateText = cx.read(path)?;
    Some(vec![step(SimDuration::ZERO, cx.rate(&scalar, path)?)])
}

#[derive(Clone, Copy)]
enum Form {
    Constant,
    Step,
    Ramp,
    Spike,
    FlashCrowd,
    Diurnal,
    Csv,
}

const FORMS: &[(&str, Form)] = &[
    ("constant", Form::Constant),
    ("step", Form::Step),
    ("ramp", Form::Ramp),
    ("spike", Form::Spike),
    ("flash-crowd", Form::FlashCrowd),
    ("diurnal", Form::Diurnal),
    ("csv", Form::Csv),
];

struct Shape<'c, 'a> {
    cx: &'c mut Cx<'a>,
    path: &'c Pointer,
    fields: &'c Rate,
}

impl Shape<'_, '_> {
    fn points(mut self) -> Option<Vec<RatePoint>> {
        let fields = self.fields;
        let form = self.cx.word(&fields.shape, FORMS, &self.path.key("shape"))?;
        let zero = SimDuration::ZERO;
        match form {
            Form::Constant => Some(vec![step(zero, self.rate("rate", fields.rate.as_ref())?)]),
            Form::Step => {
                let (base, peak, at) = self.base_peak_at()?;
                let mut points = vec![step(zero, base), step(at, peak)];
                if fields.hold.is_some() {
                    points.push(step(at + self.span("hold", fields.hold.as_ref(), None)?, base));
                }
                Some(tidy(points))
            }
            Form::Ramp => {
                let (from, to) = (self.rate("from", fields.from.as_ref())?, self.rate("to", fields.to.as_ref())?);
                let at = self.span("at", fields.at.as_ref(), Some(zero))?;
                let length = self.span("duration", fields.duration.as_ref(), None)?;
                Some(tidy(vec![step(zero, from), slope(at, from), step(at + length, to)]))
            }
            Form::Spike => self.spike(),
            Form::FlashCrowd => {
                let (base, peak, at) = self.base_peak_at()?;
                let decay = self.span("decay", fields.decay.as_ref(), None)?;
                // Straight pieces of a sixteenth of the decay are off by at most 0.05 % of the excess.
                let piece = SimDuration::from_nanos((decay.as_nanos() / 16).max(1));
                let mut points = vec![step(zero, base)];
                points.extend((0..=128).map(|i| slope(at + piece.times(i), base + (peak - base) * libm::exp(-(i as f64) / 16.0))));
                points.push(step(at + piece.times(129), base));
                Some(tidy(points))
            }
            Form::Diurnal => self.diurnal(),
            Form::Csv => {
                let Some(file) = &fields.path else { return self.missing("path") };
                let column = fields.column.as_ref().map(|column| column.text.as_str());
                replay(self.cx, file, column, fields.scale, self.path)
            }
        }
    }

    fn spike(&mut self) -> Option<Vec<RatePoint>> {
        let zero = SimDuration::ZERO;
        let fields = self.fields;
        let (base, peak, at) = self.base_peak_at()?;
        let up = self.span("rampUp", fields.ramp_up.as_ref(), Some(zero))?;
        let mut points = vec![step(zero, base), slope(at, base), step(at + up, peak)];
        if fields.hold.is_some() {
            let hold = self.span("hold", fields.hold.as_ref(), None)?;
            let down = self.span("rampDown", fields.ramp_down.as_ref(), Some(zero))?;
            points.push(slope(at + up + hold, peak));
            points.push(step(at + up + hold + down, base));
        } else if fields.ramp_down.is_some() {
            return self.missing("hold");
        }
        Some(tidy(points))
    }

    /// A day as 96 straight pieces, lowest and highest exactly met.
    fn diurnal(&mut self) -> Option<Vec<RatePoint>> {
        let (base, peak, top) = self.base_peak_at()?;
        let period = self.span("period", self.fields.period.as_ref(), Some(SimDuration::from_secs(86_400)))?;
        if period < SimDuration::from_secs(60) {
            self.cx.error("WT0109", format!("a day of {period}"), "expected at least 1m", &self.path.key("period"));
            return None;
        }
        let piece = SimDuration::from_nanos(period.as_nanos() / 96);
        let pieces = self.cx.duration.as_nanos() / piece.as_nanos() + 1;
        let level = |at: SimDuration| {
            let angle = (at.as_secs_f64() - top.as_secs_f64()) / period.as_secs_f64() * 2.0 * core::f64::consts::PI;
            base + (peak - base) * (1.0 + libm::cos(angle)) / 2.0
        };
        Some((0..=pieces.min(1_000_000)).map(|i| slope(piece.times(i), level(piece.times(i)))).collect())
    }

    fn base_peak_at(&mut self) -> Option<(f64, f64, SimDuration)> {
        let base = self.rate("base", self.fields.base.as_ref());
        let peak = self.rate("peak", self.fields.peak.as_ref());
        let at = self.span("at", self.fields.at.as_ref(), Some(SimDuration::ZERO));
        Some((base?, peak?, at?))
    }
    fn rate(&mut self, name: &str, rate: Option<&RateText>) -> Option<f64> {
        match rate {
            Some(rate) => self.cx.rate(rate, &self.path.key(name)),
            None => self.missing(name),
        }
    }
    fn span(&mut self, name: &str, span: Option<&DurationText>, usual: Option<SimDuration>) -> Option<SimDuration> {
        match (span, usual) {
            (Some(span), _) => self.cx.duration(span, &self.path.key(name)),
            (None, Some(usual)) => Some(usual),
            (None, None) => self.missing(name),
        }
    }
    fn missing<T>(&mut self, name: &str) -> Option<T> {
        let message = format!("required field `{name}` is missing");
        self.cx.error("WT0107", message, format!("`{}` needs `{name}`", self.fields.shape), self.path);
        None
    }
}

/// Of points at one time only the last holds.
fn tidy(points: Vec<RatePoint>) -> Vec<RatePoint> {
    let mut kept: Vec<RatePoint> = Vec::with_capacity(points.len());
    for point in points {
        if kept.last().is_some_and(|last| last.at >= point.at) {
            kept.pop();
        }
        kept.push(point);
    }
    kept
}
