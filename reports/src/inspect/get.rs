//! `get`: tables of what there was at a time.

use api::{SimDuration, SimTime};

use super::InspectError;
use crate::fold::{NodeLife, PodLife, Run};
use crate::render::Table;

/// The kinds that can be listed.
pub const KINDS: [&str; 10] = [
    "pods",
    "nodes",
    "events",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "horizontalpodautoscalers",
    "verticalpodautoscalers",
    "services",
];

/// How much a table shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Columns {
    /// kubectl's usual columns; the namespace when there are several.
    Usual,
    /// Those of `-o wide`.
    Wide,
    /// Those of `-o wide`, and the namespace always: for programs.
    All,
}

/// What there was of a kind at `at`, by name, or the one object called `name` (of events: those about it). `kind` may
/// be plural, singular or kubectl's short name; a name may have its namespace in front.
///
/// # Errors
/// When nothing here is called `kind`, or nothing of the kind `name`.
pub fn get(run: &Run<'_>, kind: &str, name: Option<&str>, at: SimTime, columns: Columns) -> Result<Table, InspectError> {
    let (table, kind): (Table, &'static str) = match kind.to_ascii_lowercase().as_str() {
        "pods" | "pod" | "po" => (pods(run, at, columns), "pod"),
        "nodes" | "node" | "no" => (nodes(run, at, columns), "node"),
        "events" | "event" | "ev" => (events(run, at, columns), "events of"),
        "deployments" | "deployment" | "deploy" => (deployments(run, at, columns), "deployment"),
        "replicasets" | "replicaset" | "rs" => (replicated(run, "ReplicaSet", at, columns), "replicaset"),
        "statefulsets" | "statefulset" | "sts" => (replicated(run, "StatefulSet", at, columns), "statefulset"),
        "daemonsets" | "daemonset" | "ds" => (replicated(run, "DaemonSet", at, columns), "daemonset"),
        "horizontalpodautoscalers" | "horizontalpodautoscaler" | "hpa" => (autoscalers(run, at, columns), "horizontalpodautoscaler"),
        "verticalpodautoscalers" | "verticalpodautoscaler" | "vpa" => (recommendations(run, at, columns), "verticalpodautoscaler"),
        "services" | "service" | "svc" | "endpoints" | "ep" => (services(run, at, columns), "service"),
        _ => return Err(InspectError::UnknownKind { found: kind.to_owned(), known: &KINDS }),
    };
    match name {
        Some(name) => only(table, kind, name),
        None => Ok(table),
    }
}

/// The rows of a table that are about `wanted`.
fn only(mut table: Table, kind: &'static str, wanted: &str) -> Result<Table, InspectError> {
    let column = |heading: &str| table.columns.iter().position(|column| column == heading);
    let (namespace, name, object) = (column("NAMESPACE"), column("NAME"), column("OBJECT"));
    let full = |row: &Vec<String>| -> String {
        match (namespace, name, object) {
            (Some(namespace), Some(name), _) => format!("{}/{}", row[namespace], row[name]),
            (None, Some(name), _) => row[name].clone(),
            (.., Some(object)) => row[object].clone(),
            _ => String::new(),
        }
    };
    let names: Vec<String> = table.rows.iter().map(full).collect();
    // Without a column of namespaces there is but one, which may be named all the same.
    let has_namespaces = namespace.is_some() || object.is_some();
    let bare = if has_namespaces { wanted } else { split(wanted).1 };
    if object.is_some() {
        let mut about = names.iter().map(|name| name == wanted || split(name).1 == split(wanted).1);
        table.rows.retain(|_| about.next().unwrap_or(false));
        return Ok(table);
    }
    let found = super::resolve(kind, bare, names.iter().map(String::as_str))?.to_owned();
    table.rows.retain(|row| full(row) == found);
    Ok(table)
}

/// As kubectl prints an age (`duration.HumanDuration`): two units while small, one when large.
pub(super) fn age(span: SimDuration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair =
        |big: u64, unit: char, rest: u64, small: char| if rest == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{rest}{small}") };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => pair(days, 'd', hours % 24, 'h'),
        () => format!("{days}d"),
    }
}

/// Puts the namespace in front when there is more than one.
struct Namespaced {
    several: bool,
}

impl Namespaced {
    fn of<'n>(names: impl Iterator<Item = &'n str>, columns: Columns) -> Self {
        let mut first = None;
        let several =
            columns == Columns::All || names.map(|name| split(name).0).any(|namespace| *first.get_or_insert(namespace) != namespace);
        Self { several }
    }
    fn table(&self, columns: &[&str]) -> Table {
        let front: &[&str] = if self.several { &["NAMESPACE"] } else { &[] };
        Table::new(&[front, columns].concat())
    }
    fn row(&self, name: &str, rest: Vec<String>) -> Vec<String> {
        let (namespace, bare) = split(name);
        let mut row = if self.several { vec![namespace.to_owned()] } else { vec![] };
        row.push(bare.to_owned());
        row.extend(rest);
        row
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

/// The last entry of a history at or before `at`.
fn last_at<T: Copy>(history: &[T], at: SimTime, time: impl Fn(&T) -> SimTime) -> Option<T> {
    let after = history.partition_point(|entry| time(entry) <= at);
    after.checked_sub(1).map(|index| history[index])
}

fn pods(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown != Columns::Usual;
    let mut pods: Vec<&PodLife<'_>> = run.pods.iter().filter(|pod| pod.exists_at(at)).collect();
    pods.sort_by_key(|pod| pod.name);
    let namespaced = Namespaced::of(pods.iter().map(|pod| pod.name), shown);
    let columns: &[&str] = &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE", "OWNER"];
    let mut table = namespaced.table(if wide { columns } else { &columns[..6] });
    for pod in pods {
        let containers = containers_at(pod, at);
        let count = containers.len().max(1);
        let ready = if pod.ready_at(at) { count } else { 0 };
        let restarts: u32 = containers.iter().map(|change| change.restarts).sum();
        let node = pod.scheduled.filter(|bound| bound.at <= at).map_or("<none>", |bound| bound.node);
        let status = pod_status(pod, at).to_owned();
        let mut row = vec![format!("{ready}/{count}"), status, restarts.to_string(), age(at.since(pod.created)), node.to_owned()];
        if wide {
            row.push(if pod.controller.is_empty() { "<none>".to_owned() } else { pod.controller.to_owned() });
        }
        table.push(namespaced.row(pod.name, row));
    }
    table
}

/// The last change of each container, in order of first appearance.
fn containers_at<'t>(pod: &PodLife<'t>, at: SimTime) -> Vec<crate::fold::ContainerChange<'t>> {
    let mut latest: Vec<crate::fold::ContainerChange<'t>> = Vec::new();
    for change in pod.containers.iter().take_while(|change| change.at <= at) {
        match latest.iter_mut().find(|known| known.container == change.container) {
            Some(known) => *known = *change,
            None => latest.push(*change),
        }
    }
    latest
}

/// kubectl's STATUS column (`printPod`): deletion over container reasons over the pod's reason over its phase.
pub(super) fn pod_status<'t>(pod: &PodLife<'t>, at: SimTime) -> &'t str {
    if pod.deleting.is_some_and(|(when, ..)| when <= at) {
        return "Terminating";
    }
    let (phase, reason) = pod.phase_at(at);
    let containers = containers_at(pod, at);
    let troubled = containers.iter().rev().find(|change| change.state != "Running" && !change.reason.is_empty());
    match troubled {
        Some(change) if phase == "Pending" || phase == "Running" => change.reason,
        _ if !reason.is_empty() && phase != "Running" => reason,
        Some(change) if phase == "Failed" => change.reason,
        _ if phase == "Succeeded" => "Completed",
        _ if phase == "Failed" => "Error",
        _ => phase,
    }
}

fn nodes(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown != Columns::Usual;
    let there = |node: &&NodeLife<'_>| node.added <= at && node.removed.is_none_or(|removed| at < removed);
    let mut nodes: Vec<&NodeLife<'_>> = run.nodes.iter().filter(there).collect();
    nodes.sort_by_key(|node| node.name);
    let columns: &[&str] = &["NAME", "STATUS", "AGE", "POOL", "ZONE", "PODS", "CPU-REQUESTED", "MEMORY-REQUESTED", "CPU-USED", "TAINTS"];
    let mut table = Table::new(if wide { columns } else { &columns[..3] });
    for node in nodes {
        let mut row = vec![node.name.to_owned(), node_status(node, at), age(at.since(node.added))];
        if wide {
            let usage = last_at(&node.usage, at, |(time, _)| *time).map(|(_, usage)| usage).unwrap_or_default();
            let share = |part: i64, whole: i64| if whole == 0 { 0 } else { part * 100 / whole };
            let or_none = |text: &str| if text.is_empty() { "<none>".to_owned() } else { text.to_owned() };
            row.extend([or_none(node.pool), or_none(node.zone), format!("{}/{}", usage.pods, node.pods)]);
            row.push(format!("{}m ({}%)", usage.cpu_requested_millis, share(usage.cpu_requested_millis, node.cpu_millis)));
            row.push(format!("{}Mi ({}%)", usage.memory_requested_bytes >> 20, share(usage.memory_requested_bytes, node.memory_bytes)));
            row.push(format!("{}m ({}%)", usage.cpu_used_millis, share(usage.cpu_used_millis, node.cpu_millis)));
            let taints = last_at(&node.taints, at, |(time, ..)| *time).map_or(&[][..], |(.., taints)| taints);
            row.push(or_none(&taints.join(",")));
        }
        table.push(row);
    }
    table
}

fn node_status(node: &NodeLife<'_>, at: SimTime) -> String {
    let ready = last_at(&node.ready, at, |(time, ..)| *time).map_or("Unknown", |(_, status, _)| status);
    let ready = if ready == "True" { "Ready" } else { "NotReady" };
    let cordoned = last_at(&node.taints, at, |(time, ..)| *time).is_some_and(|(_, cordoned, _)| cordoned);
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

/// Events of the hour before, as the apiserver forgets older ones.
fn events(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown != Columns::Usual;
    let columns: &[&str] = &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE", "SOURCE"];
    let mut table = Table::new(if wide { columns } else { &columns[..5] });
    let from = at - SimDuration::from_secs(3600);
    let first = run.events.partition_point(|event| event.at < from);
    for event in run.events[first..].iter().take_while(|event| event.at <= at) {
        let (kind, name) = split(event.object);
        let object = format!("{}/{}", kind.to_ascii_lowercase(), split(name).1);
        let mut row = vec![age(at.since(event.at)), event.kind.to_owned(), event.reason.to_owned(), object, event.message.to_owned()];
        if wide {
            row.push(event.source.to_owned());
        }
        table.push(row);
    }
    table
}

/// (name, counts, age) of the workloads of a kind.
fn workloads<'t>(run: &Run<'t>, kind: &str, at: SimTime) -> Vec<(&'t str, crate::fold::Counts, String)> {
    let mut found = Vec::new();
    for ((of, name), history) in &run.workloads {
        if *of == kind
            && let Some((_, counts)) = last_at(history, at, |(time, _)| *time)
        {
            found.push((*name, counts, age(at.since(history[0].0))));
        }
    }
    found
}

fn deployments(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let found = workloads(run, "Deployment", at);
    let namespaced = Namespaced::of(found.iter().map(|(name, ..)| *name), shown);
    let mut table = namespaced.table(&["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    for (name, counts, age) in found {
        let ready = format!("{}/{}", counts.ready, counts.desired);
        table.push(namespaced.row(name, vec![ready, counts.updated.to_string(), counts.available.to_string(), age]));
    }
    table
}

fn replicated(run: &Run<'_>, kind: &str, at: SimTime, shown: Columns) -> Table {
    let found = workloads(run, kind, at);
    let namespaced = Namespaced::of(found.iter().map(|(name, ..)| *name), shown);
    let mut table = namespaced.table(&["NAME", "DESIRED", "CURRENT", "READY", "AGE"]);
    for (name, counts, age) in found {
        table.push(namespaced.row(name, vec![counts.desired.to_string(), counts.current.to_string(), counts.ready.to_string(), age]));
    }
    table
}

fn autoscalers(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown != Columns::Usual;
    let mut latest: std::collections::BTreeMap<&str, (SimTime, crate::fold::Autoscale<'_>)> = std::collections::BTreeMap::new();
    for look in run.autoscales.iter().take_while(|look| look.at <= at) {
        latest.entry(look.hpa).or_insert((look.at, *look)).1 = *look;
    }
    let namespaced = Namespaced::of(latest.keys().copied(), shown);
    let columns: &[&str] = &["NAME", "REFERENCE", "TARGETS", "REPLICAS", "AGE", "REASON"];
    let mut table = namespaced.table(if wide { columns } else { &columns[..5] });
    for (name, (first, look)) in latest {
        let (kind, target) = split(look.target);
        let reference = format!("{kind}/{}", split(target).1);
        let mut row = vec![reference, look.metric.to_owned(), look.desired.to_string(), age(at.since(first))];
        if wide {
            row.push(look.reason.to_owned());
        }
        table.push(namespaced.row(name, row));
    }
    table
}

/// What is recommended, a row for each container: targets, and the bounds beyond which a pod is worth an eviction.
fn recommendations(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown != Columns::Usual;
    type Latest<'t> = std::collections::BTreeMap<(&'t str, &'t str), (SimTime, crate::fold::Recommendation<'t>)>;
    let mut latest = Latest::new();
    for told in run.recommendations.iter().take_while(|told| told.at <= at) {
        latest.entry((told.vpa, told.container)).or_insert((told.at, *told)).1 = *told;
    }
    let namespaced = Namespaced::of(latest.keys().map(|(vpa, _)| *vpa), shown);
    let columns: &[&str] = &["NAME", "REFERENCE", "MODE", "CONTAINER", "CPU", "MEM", "AGE", "CPU-BOUNDS", "MEM-BOUNDS"];
    let mut table = namespaced.table(if wide { columns } else { &columns[..7] });
    for ((name, container), (first, told)) in latest {
        let (kind, target) = split(told.target);
        let known = |amount: i64, text: String| if amount == 0 { "<none>".to_owned() } else { text };
        let cpu = |amount: i64| known(amount, api::Quantity::from_millis(amount).to_string());
        let memory = |amount: i64| known(amount, format!("{}Mi", (amount + (1 << 20) - 1) >> 20));
        let ([cpu_least, cpu_target, cpu_most], [least, wanted, most]) = (told.cpu_millis, told.memory_bytes);
        let reference = format!("{kind}/{}", split(target).1);
        let mut row = vec![reference, told.mode.to_owned(), container.to_owned(), cpu(cpu_target), memory(wanted), age(at.since(first))];
        if wide {
            row.extend([format!("{}..{}", cpu(cpu_least), cpu(cpu_most)), format!("{}..{}", memory(least), memory(most))]);
        }
        table.push(namespaced.row(name, row));
    }
    table
}

fn services(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let namespaced = Namespaced::of(run.endpoints.keys().copied(), shown);
    let mut table = namespaced.table(&["NAME", "READY", "ENDPOINTS", "AGE"]);
    for (name, history) in &run.endpoints {
        if let Some((_, ready, total)) = last_at(history, at, |(time, ..)| *time) {
            table.push(namespaced.row(name, vec![ready.to_string(), total.to_string(), age(at.since(history[0].0))]));
        }
    }
    table
}
