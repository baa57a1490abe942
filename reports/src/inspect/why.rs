//! `why`: what happened to one object and who did it, from the records.

use api::{Quantity, SimDuration, SimTime, Str};

use super::{InspectError, resolve, service};
use crate::fold::{FaultLife, NodeLife, PodLife, Run};
use crate::metrics::is_eviction_by;
use crate::render::{self, ExplanationOptions};

/// Kinds that have a story.
const KINDS: [&str; 8] = ["pod", "node", "service", "deployment", "statefulset", "daemonset", "replicaset", "job"];

/// The story of `pod/NAME`, `node/NAME`, `service/NAME` or a workload (deployment, statefulset, daemonset, replicaset,
/// job), up to `at`, and shortly what came later. The namespace may be left out where the name is found once.
///
/// # Errors
/// When the kind is another one, or nothing bears the name.
pub fn why(run: &Run<'_>, object: &str, at: SimTime, options: ExplanationOptions) -> Result<String, InspectError> {
    let (kind, name) = split_kind(object)?;
    let lines = match kind.to_ascii_lowercase().as_str() {
        "pod" | "pods" | "po" => {
            let name = resolve("pod", name, run.pods.iter().map(|pod| pod.name))?;
            life_at(run, name, at).map_or_else(Vec::new, |pod| pod_story(run, pod, at, options))
        }
        "service" | "services" | "svc" => {
            let with_flows = run.flows.values().map(|flow| flow.service);
            let name = resolve("service", name, run.endpoints.keys().copied().chain(with_flows))?;
            tell(service::head(run, name, at), service::told(run, name), at)
        }
        "node" | "nodes" | "no" => {
            let name = resolve("node", name, run.nodes.iter().map(|node| node.name))?;
            let lives = || run.nodes.iter().filter(|node| node.name == name);
            let life = lives().rfind(|node| node.added <= at).or(lives().next());
            life.map_or_else(Vec::new, |node| node_story(run, node, at))
        }
        "deployment" | "deployments" | "deploy" => workload_story(run, "Deployment", "deployment", name, at)?,
        "statefulset" | "statefulsets" | "sts" => workload_story(run, "StatefulSet", "statefulset", name, at)?,
        "daemonset" | "daemonsets" | "ds" => workload_story(run, "DaemonSet", "daemonset", name, at)?,
        "replicaset" | "replicasets" | "rs" => workload_story(run, "ReplicaSet", "replicaset", name, at)?,
        "job" | "jobs" => workload_story(run, "Job", "job", name, at)?,
        _ => return Err(InspectError::UnknownKind { found: kind.to_owned(), known: &KINDS }),
    };
    Ok(lines.join("\n") + "\n")
}

fn split_kind(object: &str) -> Result<(&str, &str), InspectError> {
    object.split_once('/').ok_or_else(|| InspectError::NoKind { found: object.to_owned() })
}

/// Of several lives of a name, the one at that time; else the last before; else the first.
fn life_at<'r, 't>(run: &'r Run<'t>, name: &str, at: SimTime) -> Option<&'r PodLife<'t>> {
    let lives = || run.pods.iter().filter(|pod| pod.name == name);
    lives().find(|pod| pod.exists_at(at)).or(lives().rfind(|pod| pod.created <= at)).or(lives().next())
}

/// Scheduling decisions that a story would like to have explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decisions {
    /// `namespace/name`.
    pub pod: Str,
    /// Attempts, counted from 1: the last one that failed, and the one that placed it.
    pub attempts: Vec<u32>,
    /// When the pod was created: one of that name may have lived before.
    pub from: SimTime,
    /// The instant asked about.
    pub until: SimTime,
}

/// The decisions that matter for the story of `object` at `at`; `None` when there are none: it is no pod, or no attempt
/// was made yet.
///
/// # Errors
/// As [`why`].
pub fn decisions(run: &Run<'_>, object: &str, at: SimTime) -> Result<Option<Decisions>, InspectError> {
    let (kind, name) = split_kind(object)?;
    if !matches!(kind.to_ascii_lowercase().as_str(), "pod" | "pods" | "po") {
        return Ok(None);
    }
    let name = resolve("pod", name, run.pods.iter().map(|pod| pod.name))?;
    let Some(pod) = life_at(run, name, at) else { return Ok(None) };
    let failed = pod.unschedulable.iter().rev().find(|(when, ..)| *when <= at).map(|(_, attempt, ..)| *attempt);
    let placed = pod.scheduled.filter(|bound| bound.at <= at).map(|bound| bound.attempts);
    let attempts: Vec<u32> = failed.into_iter().chain(placed).collect();
    Ok((!attempts.is_empty()).then(|| Decisions { pod: pod.name.into(), attempts, from: pod.created, until: at }))
}

/// A sentence at a time; sorted by it before being told.
pub(super) type Told = Vec<(SimTime, String)>;

/// The head, what happened until `at`, and what came after.
fn tell(head: Vec<String>, mut told: Told, at: SimTime) -> Vec<String> {
    told.sort_by_key(|(time, _)| *time);
    let mut lines = head;
    let line = |(time, text): &(SimTime, String)| format!("{:>9}  {text}", clock(*time));
    let later = told.partition_point(|(time, _)| *time <= at);
    lines.extend(told[..later].iter().map(line));
    if later < told.len() {
        let shown = 8;
        lines.push(format!("after {}:", clock(at)));
        lines.extend(told[later..].iter().take(shown).map(line));
        if told.len() - later > shown {
            lines.push(format!("{:>9}  … and {} more", "", told.len() - later - shown));
        }
    }
    lines
}

/// Seconds with a tenth, as far as minutes are still easy to count; then `1h02m03s`.
pub(crate) fn clock(time: SimTime) -> String {
    let tenths = time.as_nanos() / 100_000_000;
    if tenths < 36_000 { format!("{}.{}s", tenths / 10, tenths % 10) } else { time.to_string() }
}

fn pod_story(run: &Run<'_>, pod: &PodLife<'_>, at: SimTime, options: ExplanationOptions) -> Vec<String> {
    let mut told: Told = Vec::new();
    let owner = if pod.controller.is_empty() { "by hand".to_owned() } else { format!("by {}", pod.controller) };
    told.push((pod.created, format!("created {owner}")));
    for same in pod.unschedulable.chunk_by(|a, b| a.2 == b.2 && (a.0 <= at) == (b.0 <= at)) {
        let ((when, first, message, _), (until, last, ..)) = (same[0], same[same.len() - 1]);
        let attempts =
            if first == last { format!("attempt {first}") } else { format!("attempts {first} to {last} (until {})", clock(until)) };
        told.push((when, format!("scheduling {attempts} found no node: {}", reasons(message))));
    }
    if let Some(bound) = pod.scheduled {
        let waited = bound.at.since(pod.created);
        let attempts = if bound.attempts == 1 { "first attempt".to_owned() } else { format!("attempt {}", bound.attempts) };
        let choice = format!("{} of {} nodes looked at were feasible", bound.feasible_nodes, bound.evaluated_nodes);
        told.push((
            bound.at,
            format!("scheduled on {} after {waited} ({attempts}; {choice}){}", bound.node, new_node(run, pod, bound.node)),
        ));
    }
    told.extend(pod.containers.iter().map(|change| (change.at, container_text(change))));
    let mut was_ready = false;
    for (when, ready, reason) in &pod.ready {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        if *ready != was_ready {
            told.push((*when, if *ready { "ready".to_owned() } else { format!("no longer ready{because}") }));
        }
        was_ready = *ready;
    }
    let ends = pod.phases.iter().filter(|(_, phase, reason)| matches!(*phase, "Failed" | "Succeeded") || !reason.is_empty());
    told.extend(ends.map(|(when, phase, reason)| {
        (*when, if reason.is_empty() { format!("phase {phase}") } else { format!("phase {phase}: {reason}") })
    }));
    if let Some((when, by, grace)) = pod.deleting {
        let what = if is_eviction_by(by) { "evicted" } else { "deleted" };
        told.push((when, format!("{what} by {by}, grace {grace}{}", blame(run, pod, when))));
    }
    told.extend(pod.removed.map(|when| (when, "gone".to_owned())));
    told.extend(said_of(run, pod));
    told.extend(struck_by(run, pod).into_iter().map(|fault| (fault.began, format!("struck by fault {} ({})", fault.name, fault.action))));
    tell(pod_head(pod, at, options), told, at)
}

/// Events about the pod that no other record tells: what the autoscalers made of it, who preempted it. One that is
/// said again and again is told once.
fn said_of(run: &Run<'_>, pod: &PodLife<'_>) -> Told {
    const TOLD: [&str; 5] = ["TriggeredScaleUp", "NotTriggerScaleUp", "ScaleDownFailed", "Preempted", "EvictedByVPA"];
    let object = format!("Pod/{}", pod.name);
    let is_meant = |at: SimTime| at >= pod.created && pod.removed.is_none_or(|removed| at <= removed);
    let mut told: Told = Vec::new();
    for event in run.events.iter().filter(|event| event.object == object && TOLD.contains(&event.reason) && is_meant(event.at)) {
        let text = format!("{}: {}", event.source, event.message);
        if told.iter().all(|(_, known)| *known != text) {
            told.push((event.at, text));
        }
    }
    told
}

/// Decisions up to `at` that the trace explains, each with its outcome.
fn explained(pod: &PodLife<'_>, at: SimTime, options: ExplanationOptions) -> Vec<String> {
    let mut lines = Vec::new();
    for (when, attempt, explanation) in pod.explanations.iter().filter(|(when, ..)| *when <= at) {
        lines.push(format!("attempt {attempt} at {}: {}", clock(*when), render::conclusion(explanation)));
        lines.extend(render::explanation(explanation, options));
    }
    lines
}

fn pod_head(pod: &PodLife<'_>, at: SimTime, options: ExplanationOptions) -> Vec<String> {
    let workload = if pod.workload.is_empty() { String::new() } else { format!(" of {}", pod.workload) };
    let (cpu, memory) = (Quantity::from_millis(pod.cpu_millis), bytes(pod.memory_bytes));
    let mut head = vec![format!("pod {}{workload}: requests cpu {cpu}, memory {memory}, priority {}", pod.name, pod.priority)];
    if at < pod.created {
        head.push(format!("not created yet at {}", clock(at)));
        return head;
    }
    if pod.removed.is_some_and(|removed| removed <= at) {
        head.push(format!("gone at {}", clock(at)));
        head.extend(explained(pod, at, options));
        return head;
    }
    let bound = pod.scheduled.filter(|bound| bound.at <= at);
    if let Some(bound) = bound {
        head.push(format!("{} on {} at {}", super::get::pod_status(pod, at), bound.node, clock(at)));
        head.extend(explained(pod, at, options));
        return head;
    }
    let tries = pod.unschedulable.iter().rev().find(|(when, ..)| *when <= at);
    let attempt = tries.map_or_else(|| "no attempt yet".to_owned(), |(when, attempt, ..)| format!("attempt {attempt} at {}", clock(*when)));
    let waits = format!("Pending since {} ({})", clock(pod.created), at.since(pod.created));
    let reasons = explained(pod, at, options);
    if !reasons.is_empty() {
        head.push(waits);
        head.extend(reasons);
        return head;
    }
    head.push(format!("{waits}; {attempt}"));
    if let Some((_, _, message, plugins)) = tries {
        head.extend(parts(message).iter().map(|part| format!("  {part}")));
        if !plugins.is_empty() {
            head.push(format!("  turned down by {}", plugins.join(", ")));
        }
    }
    head
}

fn bytes(bytes: i64) -> String {
    format!("{}Mi", bytes >> 20)
}

/// The scheduler's message in parts: its count of nodes, then one reason each, then what preemption said.
fn parts(message: &str) -> Vec<String> {
    let (main, preemption) = message.split_once(" preemption: ").map_or((message, None), |(main, rest)| (main, Some(rest)));
    let (count, list) = main.split_once(": ").unwrap_or(("", main));
    let mut parts: Vec<String> = Vec::new();
    parts.extend((!count.is_empty()).then(|| format!("{count}:")));
    let mut reasons: Vec<String> = Vec::new();
    for piece in list.trim_end_matches('.').split(", ") {
        // A comma inside a reason is not a new reason: those begin with their count.
        match reasons.last_mut() {
            Some(last) if !piece.starts_with(|first: char| first.is_ascii_digit()) => {
                last.push_str(", ");
                last.push_str(piece);
            }
            _ => reasons.push(piece.to_owned()),
        }
    }
    parts.extend(reasons.into_iter().map(|reason| format!("  {reason}")));
    parts.extend(preemption.map(|text| format!("preemption: {text}")));
    parts
}

/// What the filters said, without what PostFilter plugins added (each clause of theirs but preemption's ends with a comma).
#[must_use]
pub fn filters_said(message: &str) -> &str {
    let before = message.split(" preemption: ").next().unwrap_or(message).trim_end();
    before.strip_suffix(',').map_or(before, |rest| rest.rsplit_once(". ").map_or(rest, |(filters, _)| filters))
}

/// The reasons in a scheduler's message, without their counts of nodes.
pub(crate) fn reasons_of(message: &str) -> Vec<String> {
    let parts = parts(filters_said(message));
    let reasons = parts.iter().filter_map(|part| part.strip_prefix("  "));
    reasons.map(|reason| reason.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim().to_owned()).collect()
}

/// The same on one line, without what preemption said.
pub(crate) fn reasons(message: &str) -> String {
    let parts = parts(filters_said(message));
    parts.iter().map(|part| part.trim()).collect::<Vec<_>>().join(" ")
}

fn new_node(run: &Run<'_>, pod: &PodLife<'_>, node: &str) -> &'static str {
    let fresh = run
        .nodes
        .iter()
        .any(|life| life.name == node && life.added > pod.created && pod.scheduled.is_some_and(|bound| life.added <= bound.at));
    if fresh { ", a node that joined after the pod was created" } else { "" }
}

fn container_text(change: &crate::fold::ContainerChange<'_>) -> String {
    let name = change.container;
    let restarts = if change.restarts > 0 { format!(", restart {}", change.restarts) } else { String::new() };
    match (change.state, change.reason, change.exit_code) {
        ("Running", ..) => format!("container {name} running{restarts}"),
        ("Terminated", "OOMKilled", code) => {
            format!("container {name} killed: out of memory (exit code {}){restarts}", code.unwrap_or(137))
        }
        ("Terminated", reason, Some(code)) => format!("container {name} terminated: {reason} (exit code {code}){restarts}"),
        ("Waiting", "CrashLoopBackOff", _) => format!("container {name} waits in CrashLoopBackOff{restarts}"),
        (state, "", _) => format!("container {name} {}", state.to_lowercase()),
        (state, reason, _) => format!("container {name} {}: {reason}{restarts}", state.to_lowercase()),
    }
}

/// Faults that struck the pod, or its node while it was there.
fn struck_by<'r, 't>(run: &'r Run<'t>, pod: &PodLife<'_>) -> Vec<&'r FaultLife<'t>> {
    let strikes = |fault: &&FaultLife<'_>| {
        pod.exists_at(fault.began)
            && fault.targets.iter().any(|target| match target.split_once('/') {
                Some(("Pod", name)) => name == pod.name,
                Some(("Node", name)) => pod.scheduled.is_some_and(|bound| bound.node == name && bound.at <= fault.began),
                _ => false,
            })
    };
    run.faults.iter().filter(strikes).collect()
}

/// The fault behind a deletion: the last one that struck the pod before it.
fn blame(run: &Run<'_>, pod: &PodLife<'_>, when: SimTime) -> String {
    let struck = struck_by(run, pod);
    let before = struck.iter().rfind(|fault| fault.began <= when);
    before.map_or_else(String::new, |fault| format!(", {} after fault {} ({})", when.since(fault.began), fault.name, fault.action))
}

fn node_story(run: &Run<'_>, node: &NodeLife<'_>, at: SimTime) -> Vec<String> {
    let mut told: Told = vec![(node.added, "joined".to_owned())];
    for (when, status, reason) in &node.ready {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        told.push((*when, format!("Ready is {status}{because}")));
    }
    for (when, cordoned, taints) in &node.taints {
        let cordoned = if *cordoned { "cordoned; " } else { "" };
        let taints = if taints.is_empty() { "no taints".to_owned() } else { format!("taints {}", taints.join(", ")) };
        told.push((*when, format!("{cordoned}{taints}")));
    }
    let target = format!("Node/{}", node.name);
    for fault in run.faults.iter().filter(|fault| fault.targets.iter().any(|name| **name == *target)) {
        told.push((fault.began, format!("struck by fault {} ({})", fault.name, fault.action)));
        told.extend(fault.ended.map(|when| (when, format!("fault {} over", fault.name))));
    }
    let evicted = run.pods.iter().filter(|pod| pod.node() == Some(node.name)).filter_map(|pod| Some((pod.deleting?, pod.name)));
    let evicted: Vec<_> = evicted.filter(|((_, by, _), _)| is_eviction_by(by)).collect();
    if let (Some(first), Some(last)) =
        (evicted.iter().map(|((when, ..), _)| *when).min(), evicted.iter().map(|((when, ..), _)| *when).max())
    {
        told.push((first, format!("{} pods evicted from here, until {} ({} first)", evicted.len(), clock(last), evicted[0].1)));
    }
    told.extend(node.removed.map(|when| (when, "removed".to_owned())));
    let place = [("pool", node.pool), ("zone", node.zone)]
        .iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(what, name)| format!(", {what} {name}"))
        .collect::<String>();
    let size = format!("cpu {}, memory {}, {} pods", Quantity::from_millis(node.cpu_millis), bytes(node.memory_bytes), node.pods);
    let there = |pod: &&PodLife<'_>| pod.exists_at(at) && pod.scheduled.is_some_and(|bound| bound.node == node.name && bound.at <= at);
    let pods = run.pods.iter().filter(there).count();
    let pods = if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") };
    let carried = node.usage.iter().rev().find(|(when, _)| *when <= at).map_or_else(String::new, |(_, usage)| {
        let cpu = |millis: i64| Quantity::from_millis(millis);
        let (requested, used, all) = (usage.cpu_requested_millis, usage.cpu_used_millis, node.cpu_millis);
        let (memory, of) = (bytes(usage.memory_requested_bytes), bytes(node.memory_bytes));
        format!(": cpu {} of {} requested, {} used; memory {memory} of {of} requested", cpu(requested), cpu(all), cpu(used))
    });
    tell(vec![format!("node {}: {size}{place}", node.name), format!("{pods} at {}{carried}", clock(at))], told, at)
}

fn workload_story(run: &Run<'_>, kind: &'static str, shown: &'static str, name: &str, at: SimTime) -> Result<Vec<String>, InspectError> {
    let name = resolve(shown, name, run.workloads.keys().filter(|(of, _)| *of == kind).map(|(_, name)| *name))?;
    let history = &run.workloads[&(kind, name)];
    let mut told: Told = Vec::new();
    let mut before: Option<crate::fold::Counts> = None;
    for (when, counts) in history {
        let changed = before.is_none_or(|before| before.desired != counts.desired);
        let complete = before.is_some_and(|before| before.ready < before.desired) && counts.ready >= counts.desired;
        let broken = before.is_some_and(|before| before.ready >= before.desired) && counts.ready < counts.desired && !changed;
        if changed {
            told.push((*when, format!("{} replicas desired ({} ready)", counts.desired, counts.ready)));
        } else if complete || broken {
            told.push((*when, format!("{} of {} replicas ready", counts.ready, counts.desired)));
        }
        before = Some(*counts);
    }
    let target = format!("{kind}/{name}");
    for look in run.autoscales.iter().filter(|look| look.target == target && look.desired != look.current) {
        told.push((
            look.at,
            format!(
                "{} scales {} → {} ({}; asked for {}, {})",
                look.hpa, look.current, look.desired, look.metric, look.proposed, look.reason
            ),
        ));
    }
    let mut head = vec![target.clone()];
    let now = history.partition_point(|(when, _)| *when <= at);
    if let Some((_, counts)) = now.checked_sub(1).map(|index| history[index]) {
        head.push(format!(
            "at {}: {} desired, {} ready, {} available, {} of the newest template",
            clock(at),
            counts.desired,
            counts.ready,
            counts.available,
            counts.updated
        ));
    }
    head.extend(waiting(run, &target, at));
    Ok(tell(head, told, at))
}

/// Why pods of the workload are still without a node, most frequent message first.
fn waiting(run: &Run<'_>, workload: &str, at: SimTime) -> Option<String> {
    let pending: Vec<&PodLife<'_>> = run
        .pods
        .iter()
        .filter(|pod| pod.workload == workload && pod.exists_at(at) && pod.scheduled.is_none_or(|bound| bound.at > at))
        .collect();
    let longest = pending.iter().map(|pod| at.since(pod.created)).max().unwrap_or(SimDuration::ZERO);
    let message = pending.iter().filter_map(|pod| pod.unschedulable.iter().rev().find(|(when, ..)| *when <= at)).next_back();
    let reason = message.map_or_else(String::new, |(_, _, message, _)| format!("; last message: {}", reasons(message)));
    let first = pending.iter().min_by_key(|pod| (pod.created, pod.name))?;
    let count = if pending.len() == 1 { "1 pod".to_owned() } else { format!("{} pods", pending.len()) };
    Some(format!("{count} without a node, the longest for {longest} (pod/{}){reason}", first.name))
}
