//! What manifests tell of things that they do not say: who calls whom, where users come in, how large nodes have to be.
//!
//! A call is guessed from addresses: a pod that has a Service's name as a host in its environment, its arguments or a
//! ConfigMap that it names, calls it. An entry is what an Ingress or a route leads to, else what the outside reaches by
//! its type, else one that nobody calls.
//!
//! Not here: how it is written down ([`super`]).

use std::collections::{BTreeMap, BTreeSet};

use api::{Kind, ObjectKey, PodSpec, ResourceName, Service, ServiceType};
use manifests::{Found, Objects};
use serde_json::Value;

use crate::catalog::{Catalog, Workload};
use crate::check::most_replicas;

/// A pod serves so many requests at a time.
pub(super) const CONCURRENCY: u32 = 32;
/// The entry takes so much cpu per request, and what it calls so much.
pub(super) const ENTRY_MILLIS: f64 = 5.0;
pub(super) const CALLED_MILLIS: f64 = 2.0;

/// One kind of pod that answers requests.
pub(super) struct Server<'c, 'o> {
    pub(super) workload: &'c Workload<'o>,
    /// The Services that it calls; none leads back to it.
    pub(super) calls: Vec<ObjectKey>,
    pub(super) is_entry: bool,
}

/// A machine of the pool.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Machine {
    pub(super) cpu: i64,
    pub(super) memory_gib: i64,
    pub(super) initial: i64,
    pub(super) most: i64,
}

/// The Services at which users come in, the first of each group of pods.
pub(super) fn entries(catalog: &Catalog<'_>, objects: &Objects) -> Vec<ObjectKey> {
    let served: Vec<&Found<Service>> = catalog
        .services
        .iter()
        .copied()
        .filter(|service| catalog.behind(&service.meta.key()).iter().any(|w| w.kind != Kind::Job))
        .collect();
    let routed = routed(objects);
    let is_routed = |service: &&&Found<Service>| routed.contains(&service.meta.key());
    let is_outside = |service: &&&Found<Service>| matches!(service.service_type, ServiceType::LoadBalancer | ServiceType::NodePort);
    let called: BTreeSet<ObjectKey> = catalog
        .workloads
        .iter()
        .filter(|workload| served.iter().any(|service| stands_behind(catalog, workload, &service.meta.key())))
        .flat_map(|workload| called_by(catalog, objects, workload))
        .collect();
    let is_uncalled = |service: &&&Found<Service>| !called.contains(&service.meta.key()) && !service.headless;
    let keys = |wanted: &dyn Fn(&&&Found<Service>) -> bool| -> Vec<ObjectKey> {
        served.iter().filter(wanted).map(|service| service.meta.key()).collect()
    };
    let mut found = keys(&is_routed);
    if found.is_empty() {
        found = keys(&is_outside);
    }
    // Nothing says so: one of those that nobody calls, by its name.
    for wanted in [&is_uncalled as &dyn Fn(&&&Found<Service>) -> bool, &|_| true] {
        if found.is_empty() {
            found = keys(wanted).into_iter().min_by_key(|service| (rank(&service.name), service.name.len())).into_iter().collect();
        }
    }
    // Several Services before the same pods are one entry: the one of the workload's own name, if there is.
    let mut seen: Vec<ObjectKey> = Vec::new();
    found.retain(|service| {
        let behind: Vec<&ObjectKey> = catalog.behind(service).iter().map(|workload| &workload.key).collect();
        let is_new = !behind.iter().any(|key| seen.contains(key));
        seen.extend(behind.into_iter().cloned());
        is_new
    });
    for service in &mut found {
        let own = catalog.behind(service).first().map(|workload| workload.key.clone());
        if let Some(own) = own.filter(|own| catalog.find_service(own).is_some() && stands_for(catalog, own, service)) {
            *service = own;
        }
    }
    found
}

/// How little the name of a Service sounds like one that users come to.
fn rank(name: &str) -> usize {
    const SOUND: [&str; 8] = ["front", "web", "gateway", "shop", "www", "ui", "api", "server"];
    SOUND.iter().position(|word| name.contains(word)).unwrap_or(SOUND.len())
}

/// Whether two Services have the same pods behind them.
fn stands_for(catalog: &Catalog<'_>, a: &ObjectKey, b: &ObjectKey) -> bool {
    let keys = |service| catalog.behind(service).iter().map(|workload| workload.key.clone()).collect::<Vec<_>>();
    keys(a) == keys(b)
}

fn stands_behind(catalog: &Catalog<'_>, workload: &Workload<'_>, service: &ObjectKey) -> bool {
    catalog.behind(service).iter().any(|behind| behind.kind == workload.kind && behind.key == workload.key)
}

/// Services that an Ingress or a route of the Gateway API leads to.
fn routed(objects: &Objects) -> BTreeSet<ObjectKey> {
    let mut found = BTreeSet::new();
    for carried in objects.carried.iter().filter(|carried| &*carried.kind == "Ingress" || carried.kind.ends_with("Route")) {
        let namespace = if carried.namespace.is_empty() { "default" } else { &*carried.namespace };
        let mut take = |value: &Value| {
            // `backend.service.name` of an Ingress, `backendRefs[].name` of a route.
            let ingress = value.get("service").and_then(|service| service.get("name"));
            let route = value.get("backendRefs").and_then(Value::as_array);
            let names = ingress.into_iter().chain(route.into_iter().flatten().filter_map(|backend| backend.get("name")));
            found.extend(names.filter_map(Value::as_str).map(|name| ObjectKey::new(namespace, name)));
        };
        walk(carried.origin.value(), &mut take);
    }
    found
}

/// Calls `take` with every mapping in a value.
fn walk(value: &Value, take: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            take(value);
            fields.values().for_each(|field| walk(field, take));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, take)),
        _ => {}
    }
}

/// The Services whose addresses a workload's pods are given, in order of their names.
fn called_by(catalog: &Catalog<'_>, objects: &Objects, workload: &Workload<'_>) -> BTreeSet<ObjectKey> {
    let pod = manifests::Pointer::parse(workload.spec_path);
    let Some(spec) = pod.get(workload.origin.value()) else { return BTreeSet::new() };
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut maps: BTreeSet<String> = BTreeSet::new();
    let mut take = |value: &Value| {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        if let (Some(name), Some(value)) = (text("name"), text("value")) {
            texts.push((name, value));
        }
        for field in ["args", "command"] {
            let words = value.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            texts.extend(words.map(|word| (String::new(), word.to_owned())));
        }
        for field in ["configMapRef", "configMapKeyRef", "configMap"] {
            maps.extend(value.get(field).and_then(|reference| reference.get("name")).and_then(Value::as_str).map(str::to_owned));
        }
    };
    walk(spec, &mut take);
    for map in objects.carried.iter().filter(|carried| &*carried.kind == "ConfigMap" && maps.contains(&*carried.name)) {
        let data = map.origin.value().get("data").and_then(Value::as_object);
        texts.extend(data.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
    }
    let is_called = |service: &ObjectKey| {
        !stands_behind(catalog, workload, service)
            && !catalog.behind(service).is_empty()
            && texts.iter().any(|(key, text)| is_address(key, text, service, &workload.key.namespace))
    };
    catalog.services.iter().map(|service| service.meta.key()).filter(is_called).collect()
}

/// Whether `text`, found under `key`, has the host of a Service in it.
fn is_address(key: &str, text: &str, service: &ObjectKey, from: &str) -> bool {
    let name = &*service.name;
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        if before.ends_with(is_of_name)
            || after.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
        {
            return false;
        }
        let same_namespace = from == &*service.namespace;
        let qualified = after.strip_prefix('.').is_some_and(|rest| {
            let namespace = rest.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')).next();
            namespace == Some(&*service.namespace)
        });
        let has_port = after.strip_prefix(':').is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
        let is_host = before.ends_with("//") || before.ends_with('@');
        let is_named = before.is_empty() && after.is_empty() && tells_of_a_host(key);
        qualified || (same_namespace && !after.starts_with('.') && (has_port || is_host || is_named))
    })
}

fn tells_of_a_host(key: &str) -> bool {
    let key = key.to_ascii_uppercase();
    ["HOST", "ADDR", "URL", "URI", "SERVER", "ENDPOINT", "SERVICE"].iter().any(|word| key.contains(word))
}

/// Everything that answers requests when users come in at `entries`, entries first, then as they are called.
pub(super) fn servers<'c, 'o>(catalog: &'c Catalog<'o>, objects: &Objects, entries: &[ObjectKey]) -> Vec<Server<'c, 'o>> {
    let mut servers: Vec<Server<'c, 'o>> = Vec::new();
    let mut waiting: Vec<(ObjectKey, bool)> = entries.iter().map(|entry| (entry.clone(), true)).collect();
    let mut next = 0;
    while let Some((service, is_entry)) = waiting.get(next).cloned() {
        next += 1;
        for workload in catalog.behind(&service) {
            if servers.iter().any(|known| known.workload.kind == workload.kind && known.workload.key == workload.key) {
                continue;
            }
            let calls: Vec<ObjectKey> = called_by(catalog, objects, workload).into_iter().collect();
            waiting.extend(calls.iter().map(|call| (call.clone(), false)));
            servers.push(Server { workload, calls, is_entry });
        }
    }
    break_circles(catalog, &mut servers);
    servers
}

/// Calls that lead back to their caller are left out: a scenario has none.
fn break_circles(catalog: &Catalog<'_>, servers: &mut [Server<'_, '_>]) {
    let mut edges: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..servers.len() {
        let calls = std::mem::take(&mut servers[index].calls);
        for call in calls {
            let behind: Vec<usize> = (0..servers.len()).filter(|other| stands_behind(catalog, servers[*other].workload, &call)).collect();
            if behind.iter().any(|other| *other == index || reaches(&edges, *other, index)) {
                continue;
            }
            edges.entry(index).or_default().extend(behind);
            servers[index].calls.push(call);
        }
    }
}

fn reaches(edges: &BTreeMap<usize, Vec<usize>>, from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(next) = waiting.pop() {
        let callees = edges.get(&next).into_iter().flatten();
        waiting.extend(callees.filter(|callee| seen.insert(**callee)));
    }
    seen.contains(&to)
}

/// Requests per second at one entry that would take all the cpu that the pods of some server request.
pub(super) fn capacity(catalog: &Catalog<'_>, servers: &[Server<'_, '_>], entries: &[ObjectKey]) -> f64 {
    let callees: Vec<Vec<usize>> = servers
        .iter()
        .map(|server| {
            let of_call = |call| (0..servers.len()).filter(move |other| stands_behind(catalog, servers[*other].workload, call));
            server.calls.iter().flat_map(of_call).collect()
        })
        .collect();
    let entered = |server: &Server<'_, '_>| entries.iter().filter(|entry| stands_behind(catalog, server.workload, entry)).count() as f64;
    let mut visits: Vec<f64> = servers.iter().map(entered).collect();
    // Nobody passes requests on before all of its callers have.
    let mut callers = vec![0; servers.len()];
    callees.iter().flatten().for_each(|callee| callers[*callee] += 1);
    let mut free: Vec<usize> = (0..servers.len()).filter(|index| callers[*index] == 0).collect();
    while let Some(index) = free.pop() {
        for callee in &callees[index] {
            visits[*callee] += visits[index];
            callers[*callee] -= 1;
            if callers[*callee] == 0 {
                free.push(*callee);
            }
        }
    }
    let of = |(server, visits): (&Server<'_, '_>, &f64)| {
        let cost = if server.is_entry { ENTRY_MILLIS } else { CALLED_MILLIS } / 1000.0;
        f64::from(server.workload.replicas.max(1)) * reserved(server.workload.spec) / cost / visits.max(1.0)
    };
    servers.iter().zip(&visits).map(of).fold(f64::INFINITY, f64::min)
}

/// The cpus that a pod counts on: what it requests, else its limit, else half a one.
fn reserved(spec: &PodSpec) -> f64 {
    let limit: i64 = spec.containers.iter().filter_map(|container| container.limits.get(&ResourceName::Cpu)).sum();
    let millis = [spec.requests().cpu_millis, limit].into_iter().find(|millis| *millis > 0);
    millis.map_or(0.5, |millis| millis as f64 / 1000.0)
}

/// Machines on which all pods find room: the smallest usual size that is twice the largest pod and needs no crowd of them.
pub(super) fn machine(catalog: &Catalog<'_>, objects: &Objects) -> Machine {
    const SIZES: [(i64, i64); 6] = [(4, 16), (8, 32), (16, 64), (32, 128), (64, 256), (96, 384)];
    /// More of them than this and the next size is taken.
    const CROWD: i64 = 12;
    let lasting = || catalog.workloads.iter().filter(|workload| !matches!(workload.kind, Kind::ReplicationController));
    let on_each = lasting().filter(|workload| workload.kind == Kind::DaemonSet).fold((0, 0), |(cpu, memory), workload| {
        let requests = workload.spec.requests();
        (cpu + requests.cpu_millis, memory + requests.memory_bytes)
    });
    let sum = |replicas: &dyn Fn(&Workload<'_>) -> i32| {
        lasting().fold((0, 0), |(cpu, memory), workload| {
            let (requests, count) = (workload.spec.requests(), i64::from(replicas(workload)));
            (cpu + requests.cpu_millis * count, memory + requests.memory_bytes * count)
        })
    };
    let largest = lasting()
        .map(|workload| workload.spec.requests())
        .fold((0, 0), |(cpu, memory), requests| (cpu.max(requests.cpu_millis), memory.max(requests.memory_bytes)));
    let now = sum(&|workload| workload.replicas);
    let later = sum(&|workload| most_replicas(objects, workload));
    let mut chosen = None;
    for (cpu, memory_gib) in SIZES {
        let room = ((cpu * 900 - on_each.0).max(1), ((memory_gib << 30) / 10 * 9 - on_each.1).max(1));
        let count = |(cpu, memory): (i64, i64)| (cpu * 10 / 7 / room.0).max(memory * 10 / 7 / room.1) + 1;
        let machine = Machine { cpu, memory_gib, initial: count(now).max(3), most: (count(later) * 3 / 2).max(count(now) * 2).max(6) };
        let fits = largest.0 * 2 <= room.0 && largest.1 * 2 <= room.1;
        if fits && machine.initial <= CROWD {
            return machine;
        }
        // Of those that are too many or too small, the last is the best.
        chosen = Some(machine);
    }
    chosen.unwrap_or(Machine { cpu: 4, memory_gib: 16, initial: 3, most: 6 })
}

/// What else nodes must have: labels that pods select, and resources beyond cpu and memory.
pub(super) fn demands(catalog: &Catalog<'_>) -> (BTreeMap<String, String>, BTreeMap<String, i64>) {
    let mut labels = BTreeMap::new();
    let mut resources: BTreeMap<String, i64> = BTreeMap::new();
    for workload in &catalog.workloads {
        for (key, value) in &workload.spec.node_selector {
            labels.entry(key.to_string()).or_insert_with(|| value.to_string());
        }
        for (name, amount) in workload.spec.containers.iter().flat_map(|container| &container.requests) {
            if let ResourceName::Scalar(name) = name {
                let most = resources.entry(name.to_string()).or_default();
                *most = (*most).max(*amount);
            }
        }
    }
    (labels, resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_found_behind_any_number_of_others() {
        // Twenty layers of two, each calling both of the next: a million paths, forty places.
        let edges: BTreeMap<usize, Vec<usize>> = (0..40).map(|at| (at, vec![at / 2 * 2 + 2, at / 2 * 2 + 3])).collect();
        assert!(reaches(&edges, 0, 41) && reaches(&edges, 1, 40) && !reaches(&edges, 2, 1) && !reaches(&edges, 40, 0));
    }

    #[test]
    fn an_address_is_a_host_and_not_any_word() {
        let cart = ObjectKey::new("shop", "cart");
        for (key, text, from, is_one) in [
            ("CART_ADDR", "cart:7070", "shop", true),
            ("X", "http://cart/items", "shop", true),
            ("X", "redis://user:pass@cart:6379/0", "shop", true),
            ("X", "cart.shop.svc.cluster.local:80", "elsewhere", true),
            ("X", "a:1,cart:7070,b:2", "shop", true),
            ("CART_HOST", "cart", "shop", true),
            ("MODE", "cart", "shop", false),
            ("X", "cart:7070", "elsewhere", false),
            ("X", "cart.other:80", "shop", false),
            ("X", "my-cart:7070", "shop", false),
            ("X", "cart-db:7070", "shop", false),
            ("X", "cart:v2", "shop", false),
        ] {
            assert_eq!(is_address(key, text, &cart, from), is_one, "{key}={text} in {from}");
        }
    }
}
