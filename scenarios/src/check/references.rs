//! Names that refer to nothing, selectors that select nothing, moments outside the run.

use std::collections::{BTreeMap, BTreeSet};

use api::{Kind, LabelSelector, Labels, ObjectKey, SimTime, Str};
use engine::spec::{Fault, FaultAction, FaultTarget, Mark, NodePool, PodSelector, Step, StepAction, TrafficSpec};
use manifests::{Diagnostic, Found, Pointer};

use crate::catalog::{Catalog, Workload};
use crate::cx::Cx;
use crate::files::glob_matches;
use crate::lower::{Behaviors, selects};

/// Parts that are told apart by name have one each.
pub(crate) fn names(cx: &mut Cx<'_>) {
    let spec = Pointer::root().key("spec");
    let traffic = spec.key("traffic");
    let sources = if cx.value(&traffic).is_some_and(serde_json::Value::is_array) { traffic } else { traffic.key("sources") };
    let lists = [
        ("node pool", vec![spec.key("cluster").key("nodePools")]),
        ("traffic source", vec![sources]),
        ("fault or mark", vec![spec.key("faults"), spec.key("marks")]),
        ("step", vec![spec.key("steps")]),
        ("expectation", vec![spec.key("expectations")]),
    ];
    for (what, lists) in lists {
        let mut seen: BTreeMap<String, Pointer> = BTreeMap::new();
        let items: Vec<Pointer> = lists.iter().flat_map(|list| cx.items(list)).collect();
        for item in items {
            let at = item.key("name");
            let Some(name) = cx.text(&at).map(str::to_owned) else { continue };
            if let Some(first) = seen.get(&name).map(|first| cx.place(first).line) {
                cx.error("WT0209", format!("more than one {what} is called `{name}`"), format!("the first one is in line {first}"), &at);
            } else {
                seen.insert(name, at);
            }
        }
    }
}

/// Services that select no pod: an error for those that are asked.
pub(crate) fn services(cx: &mut Cx<'_>, catalog: &Catalog<'_>, traffic: &TrafficSpec, asked: &BTreeSet<ObjectKey>) {
    for service in &catalog.services {
        let key = service.meta.key();
        let Some(selector) = &service.selector else { continue };
        let others = catalog.workloads.iter().filter(|workload| workload.key.namespace == key.namespace);
        let behind = catalog.behind(&key);
        let is_asked = asked.contains(&key);
        if is_asked && let Some(idle) = behind.first().filter(|_| behind.iter().all(|workload| makes_no_pods(workload.kind))) {
            let message = format!("Service `{}` has no pods in the simulation", key.name);
            let diagnostic = Diagnostic::warning("WT0210", message).label("its requests are all refused");
            push_at(cx, service, diagnostic.note(format!("{} is accepted, not simulated", idle.title())), "/spec/selector");
        }
        if selector.is_empty() || !behind.is_empty() {
            continue;
        }
        let message = format!("Service `{}` selects no pod", key.name);
        let diagnostic = if is_asked { Diagnostic::error("WT0210", message) } else { Diagnostic::warning("WT0210", message) };
        let label = if is_asked { "nobody would answer its requests" } else { "it has no endpoints" };
        let mut diagnostic = diagnostic.label(label);
        if let Some(help) = nearest(selector, others) {
            diagnostic = diagnostic.help(help);
        }
        push_at(cx, service, diagnostic, "/spec/selector");
    }
    for key in asked {
        let beyond = traffic.external.iter().any(|external| external.service == *key);
        if let Some(service) =
            catalog.find_service(key).filter(|service| !beyond && service.selector.as_ref().is_none_or(|selector| selector.is_empty()))
        {
            let diagnostic =
                Diagnostic::error("WT0210", format!("Service `{}` has no selector", key.name)).label("nobody would answer its requests");
            let help =
                format!("say how what is beyond the cluster answers: `traffic: {{external: [{{service: {}, latency: 50ms}}]}}`", key.name);
            push_at(cx, service, diagnostic.help(help), "/spec");
        }
    }
}

const fn makes_no_pods(kind: Kind) -> bool {
    matches!(kind, Kind::ReplicationController)
}

/// The workload that a selector misses by the fewest labels, and those labels.
fn nearest<'c>(selector: &Labels, workloads: impl Iterator<Item = &'c Workload<'c>>) -> Option<String> {
    let missed = |workload: &Workload<'_>| selector.iter().filter(|(key, value)| workload.labels.get(*key) != Some(value)).count();
    let related = |workload: &&Workload<'_>| workload.labels.keys().any(|label| selector.contains_key(label));
    let near = workloads.filter(related).min_by_key(|workload| missed(workload))?;
    let asked: Labels = selector
        .iter()
        .filter(|(key, value)| near.labels.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let has: Labels =
        near.labels.iter().filter(|(key, _)| asked.contains_key(*key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    let has = if has.is_empty() { "does not have that".to_owned() } else { format!("has {}", shown(&has)) };
    Some(format!("the selector asks for {}; {} {has}", shown(&asked), near.title()))
}

fn push_at<T>(cx: &mut Cx<'_>, found: &Found<T>, diagnostic: Diagnostic, path: &str) {
    cx.problems.push(found.origin.locate(diagnostic, &Pointer::parse(path), manifests::Part::Value));
}

fn shown(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn container_names(workload: &Workload<'_>) -> Vec<String> {
    let spec = workload.spec;
    spec.init_containers.iter().chain(&spec.containers).map(|container| container.name.to_string()).collect()
}

/// A behavior of a container that no pod it selects has.
fn container(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behavior: &engine::spec::Behavior, path: &Pointer) {
    let Some(name) = &behavior.container else { return };
    let selected = || catalog.workloads.iter().filter(|workload| selects(&behavior.selector, &workload.subject()));
    let mut known: Vec<String> = selected().flat_map(container_names).collect();
    known.sort();
    known.dedup();
    if !known.is_empty() && !known.iter().any(|known| **known == **name) {
        let owners: Vec<String> = selected().map(Workload::title).take(3).collect();
        cx.no_such(&format!("container of {}", owners.join(", ")), name, &known, &path.key("container"));
    }
}

/// Behaviors that select nothing.
pub(crate) fn behaviors(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behaviors: &Behaviors, steps: &[(Step, Pointer)]) {
    for (behavior, path) in &behaviors.items {
        container(cx, catalog, behavior, path);
        let selector = &behavior.selector;
        if let Some((kind, key)) = &selector.workload {
            let at = path.key("workload");
            let at = if cx.value(&at).is_some() { at } else { path.key("selector").key("workload") };
            catalog.must_exist(cx, *kind, key, &at);
            continue;
        }
        let later = |image: &Str| steps.iter().any(|(step, _)| sets_image(&step.action, image));
        let by_image = selector.image.as_ref().is_some_and(later);
        let without_image = PodSelector { image: None, ..selector.clone() };
        let selector = if by_image { &without_image } else { selector };
        if !catalog.workloads.iter().any(|workload| selects(selector, &workload.subject())) {
            let diagnostic = Diagnostic::warning("WT0210", "this behavior is nobody's").label("selects no pod of the scenario");
            cx.push(diagnostic, &path.key("selector"));
        }
    }
}

fn sets_image(action: &StepAction, pattern: &str) -> bool {
    matches!(action, StepAction::SetImage(_, _, images) if images.iter().any(|(_, image)| glob_matches(pattern, image)))
}

/// Calls that go in a circle.
pub(crate) fn calls(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behaviors: &Behaviors) {
    let mut edges: BTreeMap<usize, Vec<(usize, Pointer)>> = BTreeMap::new();
    for (index, (behavior, path)) in behaviors.items.iter().enumerate() {
        let Some(service) = &behavior.service else { continue };
        let list = if cx.value(&path.key("service")).is_some() { path.key("service").key("calls") } else { path.key("calls") };
        for (place, call) in service.calls.iter().flatten().enumerate() {
            for to in callees(call) {
                if let Some(callee) = behaviors.of_service(catalog, to) {
                    edges.entry(index).or_default().push((callee, list.index(place).key("to")));
                }
            }
        }
    }
    // Takes away, again and again, what calls nobody that is left; what stays is on a circle or leads to one.
    let mut left: BTreeSet<usize> = edges.keys().copied().collect();
    loop {
        let free: Vec<usize> = left.iter().copied().filter(|index| edges[index].iter().all(|(callee, _)| !left.contains(callee))).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|index| !free.contains(index));
    }
    for index in &left {
        for (callee, at) in edges[index].iter().filter(|(callee, _)| reaches(&edges, *callee, *index)) {
            let words = if callee == index { "a service calls itself" } else { "calls go in a circle" };
            cx.error("WT0211", words, "this call leads back to its caller", at);
        }
    }
}

fn reaches(edges: &BTreeMap<usize, Vec<(usize, Pointer)>>, from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            next.extend(edges.get(&at).into_iter().flatten().map(|(callee, _)| *callee));
        }
    }
    false
}

/// Moments outside the run.
pub(crate) fn times(cx: &mut Cx<'_>, faults: &[(Fault, Pointer)], steps: &[(Step, Pointer)], marks: &[(Mark, Pointer)]) {
    let end = SimTime::ZERO + cx.duration;
    for (fault, path) in faults {
        if fault.at >= end {
            cx.too_late("WT0303", format!("fault `{}` begins after the run", fault.name), &path.key("at"));
        } else if fault.duration.is_some_and(|span| fault.at + span > end) {
            let diagnostic = Diagnostic::warning("WT0303", format!("fault `{}` outlasts the run", fault.name))
                .label(format!("the run lasts {}", cx.duration));
            cx.push(diagnostic.help("recovery from it cannot be measured"), &path.key("duration"));
        }
    }
    let others = steps.iter().map(|(step, path)| ("step", &step.name, step.at, path));
    let others = others.chain(marks.iter().map(|(mark, path)| ("mark", &mark.name, mark.at, path)));
    for (what, name, at, path) in others.filter(|(_, _, at, _)| *at >= end) {
        cx.too_late("WT0109", format!("{what} `{name}` lies behind the end of the run ({at})"), &path.key("at"));
    }
}

/// Faults that strike nobody.
pub(crate) fn faults(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    pools: &[NodePool],
    objects: &manifests::Objects,
    faults: &[(Fault, Pointer)],
) {
    for (fault, path) in faults {
        let at = path.key("selector");
        let at = if cx.value(&at).is_some() { at } else { path.clone() };
        match &fault.target {
            FaultTarget::ControlPlane => {}
            FaultTarget::Cloud => orders(cx, pools, fault, path),
            FaultTarget::Nodes { labels, names } => {
                for name in names {
                    catalog.node(cx, name, &at.key("nodes"));
                }
                if !labels.as_ref().is_none_or(|labels| some_node(labels, pools, objects)) {
                    nobody(cx, fault, "no node has these labels", &at.key("nodeSelectors"));
                }
            }
            FaultTarget::NodesOfPods(pods) | FaultTarget::Pods(pods) => {
                if let Some((kind, key)) = &pods.workload {
                    catalog.must_exist(cx, *kind, key, &at.key("workload"));
                } else if !catalog.workloads.iter().any(|workload| selects(pods, &workload.subject())) {
                    nobody(cx, fault, "no pod of the scenario is selected", &at);
                }
                if !pods.node_labels.as_ref().is_none_or(|labels| some_node(labels, pools, objects)) {
                    nobody(cx, fault, "no node has these labels", &at.key("nodeSelectors"));
                }
            }
        }
        if let FaultAction::ContainerKill { container: Some(name), .. } | FaultAction::ProbeFailure { container: Some(name), .. } =
            &fault.action
            && !catalog.workloads.iter().any(|workload| workload.spec.containers.iter().any(|container| container.name == *name))
        {
            nobody(cx, fault, "no pod has a container of this name", &path.key("containerNames"));
        }
    }
}

/// Orders of pools that nobody resizes cannot fail.
fn orders(cx: &mut Cx<'_>, pools: &[NodePool], fault: &Fault, path: &Pointer) {
    let FaultAction::ProvisioningFailure(failure) = &fault.action else { return };
    let resized: Vec<&str> = pools.iter().filter(|pool| pool.autoscaling.is_some()).map(|pool| &*pool.name).collect();
    if resized.is_empty() {
        return nobody(cx, fault, "the cluster autoscaler resizes no node pool: none has a `count` with `min` and `max`", path);
    }
    for (place, name) in failure.pools.iter().enumerate().filter(|(_, name)| !resized.contains(&&***name)) {
        let label = format!("no node pool that the cluster autoscaler resizes is called `{name}`; those are {}", resized.join(", "));
        nobody(cx, fault, &label, &path.key("nodePools").index(place));
    }
}

fn nobody(cx: &mut Cx<'_>, fault: &Fault, label: &str, at: &Pointer) {
    cx.error("WT0302", format!("fault `{}` strikes nobody", fault.name), label, at);
}

fn some_node(labels: &LabelSelector, pools: &[NodePool], objects: &manifests::Objects) -> bool {
    let of_pool = |pool: &NodePool| pool_labels(pool).iter().any(|own| labels.matches(own));
    pools.iter().any(of_pool) || objects.nodes.iter().any(|node| labels.matches(node.labels()))
}

/// The labels that nodes of a pool may have, one set per zone. A hostname label matches by its key alone.
pub(crate) fn pool_labels(pool: &NodePool) -> Vec<Labels> {
    let with = |zone: Option<&Str>| {
        let mut labels = (*pool.template.meta.labels).clone();
        labels.entry("kubernetes.io/os".into()).or_insert_with(|| "linux".into());
        labels.entry("kubernetes.io/arch".into()).or_insert_with(|| "amd64".into());
        if let Some(zone) = zone {
            labels.insert("topology.kubernetes.io/zone".into(), zone.clone());
        }
        labels
    };
    if pool.zones.is_empty() { vec![with(None)] } else { pool.zones.iter().map(|zone| with(Some(zone))).collect() }
}

/// What steps refer to.
pub(crate) fn steps(cx: &mut Cx<'_>, catalog: &Catalog<'_>, steps: &[(Step, Pointer)]) {
    for (step, path) in steps {
        let of = |action: &str| {
            let at = path.key(action);
            (at.key("workload"), at)
        };
        match &step.action {
            StepAction::Scale(kind, key, _) => catalog.must_exist(cx, *kind, key, &of("scale").0),
            StepAction::SetImage(kind, key, images) => {
                catalog.must_exist(cx, *kind, key, &of("setImage").0);
                containers(cx, catalog, *kind, key, images, &of("setImage").1);
            }
            StepAction::Resize(kind, key, resize) => {
                catalog.must_exist(cx, *kind, key, &of("resize").0);
                let known = catalog.find(*kind, key).map(container_names);
                if let (Some(known), Some(name)) = (known, &resize.container)
                    && !known.iter().any(|known| **known == **name)
                {
                    cx.no_such("container of this workload", name, &known, &of("resize").1.key("container"));
                }
            }
            StepAction::RolloutUndo(kind, key, _) => catalog.must_exist(cx, *kind, key, &of("rolloutUndo").1),
            StepAction::RolloutRestart(kind, key) => catalog.must_exist(cx, *kind, key, &of("rolloutRestart").1),
            StepAction::RolloutPause(kind, key, pause) => {
                catalog.must_exist(cx, *kind, key, &of(if *pause { "rolloutPause" } else { "rolloutResume" }).1);
            }
            StepAction::Suspend(kind, key, suspend) => {
                catalog.must_exist(cx, *kind, key, &of(if *suspend { "suspend" } else { "resume" }).1);
            }
            StepAction::Cordon(node, on) => catalog.node(cx, node, &of(if *on { "cordon" } else { "uncordon" }).1),
            StepAction::Drain(node) => catalog.node(cx, node, &of("drain").1),
            StepAction::Taint(node, ..) => catalog.node(cx, node, &of("taint").1.key("node")),
            StepAction::LabelNode(node, _) => catalog.node(cx, node, &of("label").1.key("node")),
            StepAction::LabelPods(pods, ..) => {
                if let Some((kind, key)) = &pods.workload {
                    catalog.must_exist(cx, *kind, key, &of("label").1.key("pods").key("workload"));
                }
            }
            StepAction::Apply(_) | StepAction::Delete(..) | StepAction::SetLoad(_) => {}
        }
    }
}

fn containers(cx: &mut Cx<'_>, catalog: &Catalog<'_>, kind: Kind, key: &ObjectKey, images: &[(Str, Str)], at: &Pointer) {
    let Some(workload) = catalog.find(kind, key) else { return };
    let known: Vec<String> = workload.spec.containers.iter().map(|container| container.name.to_string()).collect();
    for (container, _) in images {
        if &**container != "*" && !known.iter().any(|name| **name == **container) {
            let single = at.key("container");
            let at = if cx.value(&single).is_some() { single } else { at.key("containers").key(container) };
            cx.no_such("container of this workload", container, &known, &at);
        }
    }
}

/// Pods that never become Ready because nobody fulfils their readiness gates.
pub(crate) fn readiness_gates(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behaviors: &Behaviors) {
    for workload in catalog.workloads.iter().filter(|workload| !workload.spec.readiness_gates.is_empty()) {
        let mut fulfil = behaviors.items.iter().map(|(behavior, _)| behavior).filter(|behavior| behavior.readiness_gates.is_some());
        if !fulfil.any(|behavior| selects(&behavior.selector, &workload.subject())) {
            let message = format!("nobody fulfils the readiness gates of {}", workload.title());
            let diagnostic = Diagnostic::warning("WT0411", message).label("its pods never become Ready");
            let diagnostic = diagnostic.help("say in `behaviors` when they are: `readinessGates: 5s` after the containers are ready");
            let at = Pointer::parse(&format!("{}/readinessGates", workload.spec_path));
            cx.problems.push(workload.origin.locate(diagnostic, &at, manifests::Part::Key));
        }
    }
}

/// Jobs whose pods would run for ever, which is noted.
pub(crate) fn endless_jobs(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behaviors: &Behaviors) {
    for workload in catalog.workloads.iter().filter(|workload| matches!(workload.kind, Kind::Job | Kind::CronJob)) {
        let mut ends = behaviors.items.iter().map(|(behavior, _)| behavior).filter(|behavior| behavior.crash.is_some());
        if !ends.any(|behavior| selects(&behavior.selector, &workload.subject())) {
            cx.note(format!("pods of {} never end by themselves; `completes` of a behavior says when they do", workload.title()));
        }
    }
}

/// The Services that anyone asks.
pub(crate) fn asked(traffic: &TrafficSpec, behaviors: &Behaviors) -> BTreeSet<ObjectKey> {
    let called =
        behaviors.items.iter().filter_map(|(behavior, _)| behavior.service.as_ref()).flat_map(|service| service.calls.iter().flatten());
    traffic.sources.iter().map(|source| source.to.clone()).chain(called.flat_map(callees).cloned()).collect()
}

/// Whom a call may ask.
fn callees(call: &engine::spec::Call) -> impl Iterator<Item = &ObjectKey> {
    let miss_to = call.cache.iter().filter_map(|cache| cache.miss_to.as_ref()).map(|(to, _)| to);
    std::iter::once(&call.to).chain(miss_to)
}

/// Services that are asked, and whose way of answering nobody described.
pub(crate) fn unanswered(cx: &mut Cx<'_>, catalog: &Catalog<'_>, behaviors: &Behaviors, traffic: &TrafficSpec, places: &[Pointer]) {
    // A behavior that could not be read was reported where it stands.
    if cx.problems.has_errors() {
        return;
    }
    let from_outside = traffic.sources.iter().zip(places).map(|(source, place)| {
        let at = place.key("to");
        (source.to.clone(), if cx.value(&at).is_some() { at } else { place.key("target").key("service") })
    });
    let mut asked: Vec<(ObjectKey, Pointer)> = from_outside.collect();
    for (behavior, path) in &behaviors.items {
        let list = if cx.value(&path.key("service")).is_some() { path.key("service").key("calls") } else { path.key("calls") };
        let calls = behavior.service.iter().flat_map(|service| service.calls.iter().flatten());
        for (index, call) in calls.enumerate() {
            let names = [list.index(index).key("to"), list.index(index).key("cache").key("missTo")];
            asked.extend(callees(call).cloned().zip(names));
        }
    }
    for (key, at) in asked {
        let behind = catalog.behind(&key);
        if behind.is_empty() || behaviors.of_service(catalog, &key).is_some() {
            continue;
        }
        let diagnostic = Diagnostic::error("WT0107", format!("how does Service `{}` answer requests?", key.name))
            .label("no behavior says what a request costs");
        let name = behind[0].title();
        let name = name.split_once('/').map_or(name.clone(), |(kind, rest)| format!("{}/{rest}", kind.to_ascii_lowercase()));
        cx.push(diagnostic.help(format!("add `behaviors: [{{workload: {name}, service: {{cpuPerRequest: {{mean: 5ms}}}}}}]`")), &at);
    }
}
