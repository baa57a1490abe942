//! What can never work, seen without running: pods that fit nowhere, autoscalers without a measure, load beyond reach.

use std::collections::BTreeMap;

use api::{Kind, Labels, MetricSource, MetricTarget, ObjectKey, PodSpec, ResourceName, Resources, SimDuration, Taint, TaintEffect};
use engine::spec::{NodePool, RatePoint, TrafficSpec};
use manifests::{Diagnostic, Found, Part, Pointer};

use super::references::pool_labels;
use crate::catalog::{Catalog, Workload, title};
use crate::cx::{Cx, with_help};
use crate::lower::{Behaviors, MOST_PER_SECOND};

/// A kind of machine that there is, or that the cluster autoscaler could order.
struct Machine {
    name: String,
    labels: Vec<Labels>,
    taints: Vec<Taint>,
    allocatable: Resources,
    node_name: api::Str,
}

fn machines(pools: &[NodePool], objects: &manifests::Objects) -> Vec<Machine> {
    let of_pool = |pool: &NodePool| Machine {
        name: format!("pool `{}`", pool.name),
        labels: pool_labels(pool),
        taints: pool.template.spec.taints.clone(),
        allocatable: Resources::from_list(&pool.template.status.allocatable),
        node_name: "".into(),
    };
    let usable = |pool: &&NodePool| pool.autoscaling.map_or(pool.initial, |(_, max)| max.max(pool.initial)) > 0;
    let of_node = |node: &Found<api::Node>| Machine {
        name: format!("node `{}`", node.meta.name),
        labels: vec![(*node.meta.labels).clone()],
        taints: node.spec.taints.clone(),
        allocatable: Resources::from_list(&node.status.allocatable),
        node_name: node.meta.name.clone(),
    };
    pools.iter().filter(usable).map(of_pool).chain(objects.nodes.iter().map(of_node)).collect()
}

/// Why a pod cannot be on a machine, and which field of its spec says so.
struct Misfit {
    words: String,
    path: Pointer,
}

fn misfit(spec: &PodSpec, machine: &Machine) -> Option<Misfit> {
    let at = |path: &str| Pointer::parse(path);
    let wanted = spec.requests();
    let scalars = wanted.scalars.keys().map(|name| ResourceName::Scalar(name.clone()));
    for name in [ResourceName::Cpu, ResourceName::Memory, ResourceName::EphemeralStorage].into_iter().chain(scalars) {
        let (asked, there) = (wanted.get(&name), machine.allocatable.get(&name));
        let unlimited = name == ResourceName::EphemeralStorage && there == 0;
        if asked > there && !unlimited {
            let words = format!("{} has {name} {}, and the pod asks for {}", machine.name, amount(&name, there), amount(&name, asked));
            return Some(Misfit { words, path: at("/containers/0/resources/requests").key(name.as_str()) });
        }
    }
    if machine.allocatable.pods == 0 {
        return Some(Misfit { words: format!("{} takes no pods at all", machine.name), path: at("") });
    }
    let selected =
        |labels: &Labels| spec.node_selector.iter().all(|(key, value)| key.ends_with("/hostname") || labels.get(key) == Some(value));
    if !machine.labels.iter().any(selected) {
        return Some(Misfit { words: format!("{} has other labels than nodeSelector asks for", machine.name), path: at("/nodeSelector") });
    }
    if let Some(required) = spec.affinity.node.as_ref().and_then(|affinity| affinity.required.as_ref()) {
        let by_name = required.iter().any(|term| !term.match_fields.is_empty()) && machine.node_name.is_empty();
        let matches = |labels: &Labels| required.iter().any(|term| term.matches(&machine.node_name, labels));
        if !by_name && !machine.labels.iter().any(matches) {
            return Some(Misfit { words: format!("{} does not match the required node affinity", machine.name), path: at("/affinity") });
        }
    }
    let repels =
        |taint: &&Taint| taint.effect != TaintEffect::PreferNoSchedule && !spec.tolerations.iter().any(|own| own.tolerates(taint, false));
    machine.taints.iter().find(repels).map(|taint| Misfit {
        words: format!(
            "{} has the taint {}={}:{}, which the pod does not tolerate",
            machine.name,
            taint.key,
            taint.value,
            taint.effect.as_str()
        ),
        path: at("/tolerations"),
    })
}

fn amount(name: &ResourceName, amount: i64) -> String {
    match name {
        ResourceName::Cpu if amount % 1000 == 0 => (amount / 1000).to_string(),
        ResourceName::Cpu => format!("{amount}m"),
        ResourceName::Memory | ResourceName::EphemeralStorage if amount >= 1 << 30 && amount % (1 << 30) == 0 => {
            format!("{}Gi", amount >> 30)
        }
        ResourceName::Memory | ResourceName::EphemeralStorage if amount >= 1 << 20 => format!("{}Mi", amount >> 20),
        _ => amount.to_string(),
    }
}

/// Pods that fit no machine.
pub(crate) fn pods_fit(cx: &mut Cx<'_>, catalog: &Catalog<'_>, pools: &[NodePool], objects: &manifests::Objects) {
    let machines = machines(pools, objects);
    let simulated = |workload: &&Workload<'_>| workload.kind != Kind::ReplicationController;
    if machines.is_empty() {
        if catalog.workloads.iter().any(|workload| simulated(&workload)) && !cx.problems.has_errors() {
            let diagnostic = Diagnostic::error("WT0501", "the scenario has no nodes").label("pods have nowhere to go");
            cx.push(
                diagnostic
                    .help("add `cluster: {nodePools: [{name: general, count: 3, template: {capacity: {cpu: \"4\", memory: 16Gi}}}]}`"),
                &Pointer::root().key("spec"),
            );
        }
        return;
    }
    for workload in catalog.workloads.iter().filter(simulated) {
        let misfits: Vec<Misfit> = machines.iter().map_while(|machine| misfit(workload.spec, machine)).collect();
        if misfits.len() < machines.len() {
            continue;
        }
        let first = &misfits[0];
        let path = Pointer::parse(workload.spec_path).join(&first.path);
        let mut diagnostic = Diagnostic::error("WT0501", format!("pods of {} fit no node", workload.title())).label(first.words.clone());
        for other in misfits.iter().skip(1).take(3) {
            diagnostic = diagnostic.note(other.words.clone());
        }
        let diagnostic =
            diagnostic.help("ask for less, or add a node pool with nodes that are large enough and have the labels and taints");
        cx.problems.push(workload.origin.locate(diagnostic, &path, Part::Value));
    }
}

/// Autoscalers that cannot work.
pub(crate) fn autoscalers(cx: &mut Cx<'_>, catalog: &Catalog<'_>, objects: &manifests::Objects) {
    for scaler in &objects.horizontal_pod_autoscalers {
        let Some(kind) =
            [Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet].into_iter().find(|kind| kind.as_str() == &*scaler.target_kind)
        else {
            continue;
        };
        let key = ObjectKey { namespace: scaler.meta.namespace.clone(), name: scaler.target_name.clone() };
        let Some(workload) = catalog.find(kind, &key) else {
            let known: Vec<String> =
                catalog.workloads.iter().filter(|workload| workload.kind == kind).map(|workload| workload.key.name.to_string()).collect();
            let words: Vec<&str> = known.iter().map(String::as_str).collect();
            let diagnostic = Diagnostic::error("WT0203", format!("autoscaler `{}` scales nothing", scaler.meta.name))
                .label(format!("no {}", title(kind, &key)));
            let diagnostic = with_help(diagnostic, manifests::suggestion(&scaler.target_name, &words));
            cx.problems.push(scaler.origin.locate(diagnostic, &Pointer::parse("/spec/scaleTargetRef/name"), Part::Value));
            continue;
        };
        measurable(cx, scaler, workload);
    }
}

fn measurable(cx: &mut Cx<'_>, scaler: &Found<api::HorizontalPodAutoscaler>, workload: &Workload<'_>) {
    for (index, metric) in scaler.metrics.iter().enumerate() {
        let (MetricTarget::AverageUtilization(_), MetricSource::Resource(name) | MetricSource::ContainerResource(name, _)) =
            (&metric.target, &metric.source)
        else {
            continue;
        };
        let wanted = |container: &&api::Container| match &metric.source {
            MetricSource::ContainerResource(_, only) => container.name == *only,
            _ => true,
        };
        let without =
            workload.spec.containers.iter().filter(wanted).find(|container| container.requests.get(name).is_none_or(|amount| *amount == 0));
        if let Some(container) = without.filter(|_| workload.spec.pod_requests.is_none()) {
            let message = format!("autoscaler `{}` cannot compute a utilization of {name}", scaler.meta.name);
            let label = format!("container `{}` of {} requests no {name}", container.name, workload.title());
            let diagnostic = Diagnostic::error("WT0504", message)
                .label(label)
                .help(format!("add `resources: {{requests: {{{name}: …}}}}` to the container"));
            let path = Pointer::parse("/spec/metrics").index(index);
            let field = if matches!(metric.source, MetricSource::Resource(_)) { "resource" } else { "containerResource" };
            let path = path.key(field).key("name");
            cx.problems.push(scaler.origin.locate(diagnostic, &path, Part::Value));
        }
    }
}

/// cpu of the largest machine that there is or could be.
pub(super) fn largest_millis(pools: &[NodePool], objects: &manifests::Objects) -> i64 {
    machines(pools, objects).iter().map(|machine| machine.allocatable.cpu_millis).max().unwrap_or(0)
}

/// Load beyond what all replicas together could serve.
pub(crate) fn capacity(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    behaviors: &Behaviors,
    objects: &manifests::Objects,
    pools: &[NodePool],
    traffic: (&TrafficSpec, &[Pointer]),
) {
    let largest = largest_millis(pools, objects);
    if largest == 0 {
        return;
    }
    let (spec, places) = traffic;
    let mut offered: BTreeMap<ObjectKey, f64> = BTreeMap::new();
    for source in &spec.sources {
        let peak = sustained_peak(&source.rate, cx.duration);
        spread(catalog, behaviors, &source.to, peak, 0, &mut offered);
    }
    for (service, rate) in &offered {
        let Some(index) = behaviors.of_service(catalog, service) else { continue };
        let Some(behavior) = &behaviors.items[index].0.service else { continue };
        let cpu = behavior.cpu_per_request.mean().as_secs_f64();
        let mut per_second = 0.0;
        let mut words = Vec::new();
        for workload in catalog.behind(service) {
            let replicas = most_replicas(objects, workload);
            let cores = cores(workload.spec, largest, behavior.concurrency);
            let noun = if replicas == 1 { "replica" } else { "replicas" };
            words.push(format!("{} has at most {replicas} {noun} × {cores} cpu", workload.title()));
            per_second += f64::from(replicas) * cores / cpu;
        }
        // A rate that is refused anyway is no news.
        if cpu > 0.0 && !words.is_empty() && *rate > per_second && *rate <= MOST_PER_SECOND {
            let asked = spec.sources.iter().position(|source| source.to == *service).unwrap_or(0);
            let Some(place) = places.get(asked) else { continue };
            let mean = SimDuration::from_secs_f64(cpu);
            let message = format!("the peak is beyond what Service `{}` can serve", service.name);
            let label = format!("{} requests/s × {mean} cpu each, and {}", round(*rate), words.join(", "));
            let diagnostic = Diagnostic::warning("WT0503", message).label(label);
            let at = ["stages", "rate", "path"]
                .iter()
                .map(|field| place.key(field))
                .find(|at| cx.value(at).is_some())
                .unwrap_or_else(|| place.clone());
            cx.push(diagnostic.note(format!("it can serve about {}/s", round(per_second))), &at);
        }
    }
}

/// What a queue may be expected to absorb.
const SUSTAINED: SimDuration = SimDuration::from_secs(30);

/// The highest rate that lasts: averaged over any 30 s of the run.
pub(super) fn sustained_peak(points: &[RatePoint], duration: SimDuration) -> f64 {
    let load = Cumulative::of(points);
    let length = SUSTAINED.as_secs_f64().min(duration.as_secs_f64());
    let last = duration.as_secs_f64() - length;
    let starts = points.iter().map(|point| point.at.as_secs_f64());
    // The average is highest where a window begins or ends at a point.
    let candidates = starts.flat_map(|at| [at, at - length]).map(|at| at.clamp(0.0, last));
    candidates.map(|at| (load.until(at + length) - load.until(at)) / length).fold(0.0, f64::max)
}

/// Requests offered until each point.
struct Cumulative<'p> {
    points: &'p [RatePoint],
    until: Vec<f64>,
}

impl<'p> Cumulative<'p> {
    fn of(points: &'p [RatePoint]) -> Self {
        let mut sum = 0.0;
        let mut until = vec![0.0];
        for pair in points.windows(2) {
            sum += piece(pair[0], Some(pair[1]), pair[1].at.as_secs_f64());
            until.push(sum);
        }
        Self { points, until }
    }
    fn until(&self, seconds: f64) -> f64 {
        let after = self.points.partition_point(|point| point.at.as_secs_f64() <= seconds);
        let Some(index) = after.checked_sub(1) else { return 0.0 };
        self.until[index] + piece(self.points[index], self.points.get(after).copied(), seconds)
    }
}

/// Requests between a point and `seconds`, which lies before the next one.
fn piece(point: RatePoint, next: Option<RatePoint>, seconds: f64) -> f64 {
    let span = seconds - point.at.as_secs_f64();
    let slope = match next.filter(|_| point.linear) {
        Some(next) => (next.per_second - point.per_second) / next.at.since(point.at).as_secs_f64(),
        None => 0.0,
    };
    span * (point.per_second + slope * span / 2.0)
}

fn round(number: f64) -> String {
    if number >= 10.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// Adds what a request rate to `service` means for it and for those it calls.
pub(super) fn spread(
    catalog: &Catalog<'_>,
    behaviors: &Behaviors,
    service: &ObjectKey,
    rate: f64,
    depth: u32,
    offered: &mut BTreeMap<ObjectKey, f64>,
) {
    *offered.entry(service.clone()).or_default() += rate;
    // Circles are an error of their own.
    if depth > 16 {
        return;
    }
    let calls = behaviors.of_service(catalog, service).and_then(|index| behaviors.items[index].0.service.as_ref());
    for call in calls.into_iter().flat_map(|service| service.calls.iter().flatten()) {
        let rate = rate * call.probability;
        // What is served is judged by what warm caches let through.
        let missed = rate * call.cache.as_ref().map_or(1.0, |cache| 1.0 - cache.hit_ratio);
        match call.cache.as_ref().map(|cache| &cache.miss_to) {
            None => spread(catalog, behaviors, &call.to, rate, depth + 1, offered),
            Some(None) => spread(catalog, behaviors, &call.to, missed, depth + 1, offered),
            Some(Some((to, _))) => {
                spread(catalog, behaviors, &call.to, rate, depth + 1, offered);
                spread(catalog, behaviors, to, missed, depth + 1, offered);
            }
        }
    }
}

pub(crate) fn most_replicas(objects: &manifests::Objects, workload: &Workload<'_>) -> i32 {
    let scaler = objects.horizontal_pod_autoscalers.iter().find(|scaler| {
        scaler.target_name == workload.key.name
            && scaler.meta.namespace == workload.key.namespace
            && *scaler.target_kind == *workload.kind.as_str()
    });
    scaler.map_or(workload.replicas, |scaler| scaler.max_replicas)
}

/// cpus that one pod may use at once.
pub(super) fn cores(spec: &PodSpec, largest_millis: i64, concurrency: Option<u32>) -> f64 {
    let limits: Vec<Option<i64>> = spec.containers.iter().map(|container| container.limits.get(&ResourceName::Cpu).copied()).collect();
    let limit = limits.into_iter().sum::<Option<i64>>().unwrap_or(largest_millis).min(largest_millis);
    let cores = limit as f64 / 1000.0;
    concurrency.map_or(cores, |slots| cores.min(f64::from(slots)))
}

#[cfg(test)]
mod tests {
    use api::SimTime;

    use super::*;

    #[test]
    fn only_a_peak_that_lasts_counts() {
        let point = |at: u64, per_second: f64, linear: bool| RatePoint { at: SimTime::from_secs(at), per_second, linear };
        let long = SimDuration::from_secs(600);
        for (points, peak) in [
            (vec![point(0, 50.0, false)], 50.0),
            (vec![point(0, 0.0, false), point(100, 300.0, false), point(101, 0.0, false)], 10.0),
            (vec![point(0, 10.0, false), point(100, 10.0, true), point(160, 70.0, false), point(220, 10.0, false)], 70.0),
            (vec![point(0, 0.0, true), point(60, 60.0, false), point(60, 0.0, false)], 45.0),
            (vec![point(0, 1.0, false), point(900, 99.0, false)], 1.0),
        ] {
            let found = sustained_peak(&points, long);
            assert!((found - peak).abs() < 1e-9, "{points:?}: {found}");
        }
    }
}
