//! `get`: tables of what there was at a time.

use std::borrow::Cow;

use api::{SimDuration, SimTime};

use super::{InspectError, pools};
use crate::fold::{ContainerChange, NodeLife, PodLife, Run};
use crate::render::Table;

/// The kinds that can be listed.
pub const KINDS: [&str; 12] = [
    "pods",
    "nodes",
    "events",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "jobs",
    "horizontalpodautoscalers",
    "verticalpodautoscalers",
    "services",
    "nodepools",
];

/// How much a table shows: kubectl's usual columns, and the namespace when there are several, unless more is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Columns {
    /// Those of `-o wide`.
    pub wide: bool,
    /// The namespace always.
    pub namespace: bool,
}

/// What there was of a kind at `at`, by name, or the one object called `name` (of events: those about it), in all
/// namespaces or in one. `kind` may be plural, singular or kubectl's short name; a name may have its namespace in front.
///
/// # Errors
/// When nothing here is called `kind`, or nothing of the kind `name`.
pub fn get(
    run: &Run<'_>,
    kind: &str,
    name: Option<&str>,
    namespace: Option<&str>,
    at: SimTime,
    columns: Columns,
) -> Result<Table, InspectError> {
    let asked = columns;
    let columns = Columns { namespace: columns.namespace || namespace.is_some(), ..columns };
    let (mut table, kind): (Table, &'static str) = match kind.to_ascii_lowercase().as_str() {
        "pods" | "pod" | "po" => (pods(run, at, columns), "pod"),
        "nodes" | "node" | "no" => (nodes(run, at, columns), "node"),
        "events" | "event" | "ev" => (events(run, at, columns), "events of"),
        "deployments" | "deployment" | "deploy" => (deployments(run, at, columns), "deployment"),
        "replicasets" | "replicaset" | "rs" => (replicated(run, "ReplicaSet", at, columns), "replicaset"),
        "statefulsets" | "statefulset" | "sts" => (replicated(run, "StatefulSet", at, columns), "statefulset"),
        "daemonsets" | "daemonset" | "ds" => (replicated(run, "DaemonSet", at, columns), "daemonset"),
        "jobs" | "job" => (jobs(run, at, columns), "job"),
        "horizontalpodautoscalers" | "horizontalpodautoscaler" | "hpa" => (autoscalers(run, at, columns), "horizontalpodautoscaler"),
        "verticalpodautoscalers" | "verticalpodautoscaler" | "vpa" => (recommendations(run, at, columns), "verticalpodautoscaler"),
        "services" | "service" | "svc" | "endpoints" | "ep" => (services(run, at, columns), "service"),
        "nodepools" | "nodepool" | "pools" | "pool" => (pools::table(run, at, columns), "nodepool"),
        _ => return Err(InspectError::UnknownKind { found: kind.to_owned(), known: &KINDS }),
    };
    // What belongs to no namespace has no such column, and is in all of them.
    if let (Some(wanted), Some(place)) = (namespace, table.columns.iter().position(|column| column == "NAMESPACE")) {
        table.rows.retain(|row| row[place] == wanted);
        if !asked.namespace {
            table.columns.remove(place);
            table.rows.iter_mut().for_each(|row| drop(row.remove(place)));
        }
    }
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
        let several = columns.namespace || names.map(|name| split(name).0).any(|namespace| *first.get_or_insert(namespace) != namespace);
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

pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

/// The last entry of a history at or before `at`.
pub(super) fn last_at<T: Copy>(history: &[T], at: SimTime, time: impl Fn(&T) -> SimTime) -> Option<T> {
    let after = history.partition_point(|entry| time(entry) <= at);
    after.checked_sub(1).map(|index| history[index])
}

fn pods(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown.wide;
    let mut pods: Vec<&PodLife<'_>> = run.pods.iter().filter(|pod| pod.exists_at(at)).collect();
    pods.sort_by_key(|pod| pod.name);
    let namespaced = Namespaced::of(pods.iter().map(|pod| pod.name), shown);
    let columns: &[&str] = &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE", "OWNER"];
    let mut table = namespaced.table(if wide { columns } else { &columns[..6] });
    for pod in pods {
        let (init, main) = containers_at(pod, at);
        let count = main.len().max(1);
        let ready = if pod.ready_at(at) { count } else { 0 };
        // While init containers run, theirs count; then those of the others.
        let counted = if initializing(&init).is_some() { &init } else { &main };
        let restarts: u32 = counted.iter().map(|change| change.restarts).sum();
        let node = pod.scheduled.filter(|bound| bound.at <= at).map_or("<none>", |bound| bound.node);
        let status = pod_status(pod, at).into_owned();
        let mut row = vec![format!("{ready}/{count}"), status, restarts.to_string(), age(at.since(pod.created)), node.to_owned()];
        if wide {
            row.push(if pod.controller.is_empty() { "<none>".to_owned() } else { pod.controller.to_owned() });
        }
        table.push(namespaced.row(pod.name, row));
    }
    table
}

/// The last change of each container, in order of first appearance: init containers, then the others.
fn containers_at<'t>(pod: &PodLife<'t>, at: SimTime) -> (Vec<ContainerChange<'t>>, Vec<ContainerChange<'t>>) {
    let mut latest: Vec<ContainerChange<'t>> = Vec::new();
    for change in pod.containers.iter().take_while(|change| change.at <= at) {
        match latest.iter_mut().find(|known| known.container == change.container) {
            Some(known) => *known = *change,
            None => latest.push(*change),
        }
    }
    let main = latest.split_off(init_containers(pod).min(latest.len()));
    (latest, main)
}

/// How many of a pod's containers are init containers, by what only they do: they run one after the other, to an end,
/// while those behind them wait with reason PodInitializing. The first of several that wait so is one; the last is not.
/// One that never ends beside others (a sidecar) counts with them, as kubectl counts it.
fn init_containers(pod: &PodLife<'_>) -> usize {
    let waits = |change: &&ContainerChange<'_>| change.reason == "PodInitializing";
    let mut names: Vec<&str> = Vec::new();
    for change in pod.containers.iter().filter(waits) {
        if !names.contains(&change.container) {
            names.push(change.container);
        }
    }
    let of = |name: &str, wanted: fn(&ContainerChange<'_>) -> bool| {
        pod.containers.iter().find(|change| change.container == name && wanted(change)).map(|change| change.at)
    };
    let is_init = |index: &usize| {
        let ended = of(names[*index], |change| change.exit_code == Some(0));
        let next_began = of(names[*index + 1], |change| change.state != "Waiting");
        match (ended, next_began) {
            (Some(ended), Some(next_began)) => ended <= next_began,
            (None, Some(_)) => false,
            (Some(_), None) => true,
            (None, None) => *index == 0 || of(names[*index], |change| change.state != "Waiting").is_some(),
        }
    };
    (0..names.len().saturating_sub(1)).take_while(is_init).count()
}

/// kubectl's STATUS while init containers have not all ended well: `Init:0/2`, `Init:CrashLoopBackOff`.
fn initializing(init: &[ContainerChange<'_>]) -> Option<String> {
    let (index, change) = init.iter().enumerate().find(|(_, change)| change.exit_code != Some(0) || change.state != "Terminated")?;
    Some(match (change.state, change.reason) {
        ("Terminated", reason) => format!("Init:{reason}"),
        ("Waiting", reason) if !reason.is_empty() && reason != "PodInitializing" => format!("Init:{reason}"),
        _ => format!("Init:{index}/{}", init.len()),
    })
}

/// kubectl's STATUS column (`printPod`): deletion over container reasons over the pod's reason over its phase.
pub(super) fn pod_status<'t>(pod: &PodLife<'t>, at: SimTime) -> Cow<'t, str> {
    if pod.deleting.is_some_and(|(when, ..)| when <= at) {
        return "Terminating".into();
    }
    let (phase, reason) = pod.phase_at(at);
    let (init, main) = containers_at(pod, at);
    let troubled = main.iter().rev().find(|change| change.state != "Running" && !change.reason.is_empty());
    let status = match troubled {
        _ if phase == "Pending"
            && let Some(status) = initializing(&init) =>
        {
            return status.into();
        }
        Some(change) if phase == "Pending" || phase == "Running" => change.reason,
        _ if !reason.is_empty() && phase != "Running" => reason,
        Some(change) if phase == "Failed" => change.reason,
        _ if phase == "Succeeded" => "Completed",
        _ if phase == "Failed" => "Error",
        _ => phase,
    };
    status.into()
}

fn nodes(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let wide = shown.wide;
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
    let wide = shown.wide;
    let columns: &[&str] = &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE", "SOURCE"];
    // Events of what has no namespace are in `default`, as kubectl shows them.
    let namespaced = Namespaced { several: shown.namespace };
    let mut table = namespaced.table(if wide { columns } else { &columns[..5] });
    let from = at - SimDuration::from_secs(3600);
    let first = run.events.partition_point(|event| event.at < from);
    for event in run.events[first..].iter().take_while(|event| event.at <= at) {
        let (kind, name) = split(event.object);
        let object = format!("{}/{}", kind.to_ascii_lowercase(), split(name).1);
        let mut row = vec![event.kind.to_owned(), event.reason.to_owned(), object, event.message.to_owned()];
        if wide {
            row.push(event.source.to_owned());
        }
        let namespace = name.split_once('/').map_or("default", |(namespace, _)| namespace);
        table.push(namespaced.row(&format!("{namespace}/{}", age(at.since(event.at))), row));
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

/// Pods that succeeded, those under way, and those of them that are ready. No record says how many are to succeed.
fn jobs(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let found = workloads(run, "Job", at);
    let namespaced = Namespaced::of(found.iter().map(|(name, ..)| *name), shown);
    let mut table = namespaced.table(&["NAME", "SUCCEEDED", "ACTIVE", "READY", "AGE"]);
    for (name, counts, age) in found {
        table.push(namespaced.row(name, vec![counts.available.to_string(), counts.current.to_string(), counts.ready.to_string(), age]));
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
    let wide = shown.wide;
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
    let wide = shown.wide;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Builder;
    use trace::Record;

    /// READY, STATUS and RESTARTS of a pod with two init containers and one more, second by second.
    #[test]
    fn init_containers_are_told_as_kubectl_tells_them_and_not_counted_when_they_are_done() {
        let mut builder = Builder::new("init", 1, 100);
        builder.pod(0.0, "default/web-1", "Deployment/default/web", 100);
        let change = |container: &str, state: &str, reason: &str, exit_code, restarts| Record::Container {
            pod: "default/web-1".into(),
            container: container.into(),
            state: state.into(),
            reason: reason.into(),
            exit_code,
            restarts,
        };
        for container in ["fetch", "migrate", "app"] {
            builder.at(1.0, change(container, "Waiting", "PodInitializing", None, 0));
        }
        builder.at(2.0, change("fetch", "Running", "", None, 0));
        builder.at(4.0, change("fetch", "Terminated", "Completed", Some(0), 0));
        builder.at(5.0, change("migrate", "Running", "", None, 0));
        builder.at(7.0, change("migrate", "Waiting", "CrashLoopBackOff", None, 1));
        builder.at(17.0, change("migrate", "Running", "", None, 1));
        builder.at(19.0, change("migrate", "Terminated", "Completed", Some(0), 1));
        builder.at(21.0, change("app", "Running", "", None, 0));
        builder.at(21.0, Record::PodPhase { pod: "default/web-1".into(), phase: "Running".into(), reason: "".into() });
        builder.at(25.0, Record::PodReady { pod: "default/web-1".into(), ready: true, reason: "".into() });
        let trace = builder.build();
        let run = Run::new(&trace);
        let row =
            |seconds| get(&run, "pods", None, None, SimTime::from_secs(seconds), Columns::default()).unwrap_or_default().rows.remove(0);
        for (seconds, ready, status, restarts) in [
            (1, "0/1", "Init:0/2", "0"),
            (3, "0/1", "Init:0/2", "0"),
            (6, "0/1", "Init:1/2", "0"),
            (8, "0/1", "Init:CrashLoopBackOff", "1"),
            (18, "0/1", "Init:1/2", "1"),
            (20, "0/1", "PodInitializing", "0"),
            (22, "0/1", "Running", "0"),
            (30, "1/1", "Running", "0"),
        ] {
            assert_eq!(row(seconds)[1..4], [ready, status, restarts], "at {seconds} s");
        }
    }
}
