//! The story of a pod: what the scheduler, the cluster autoscaler and the kubelet made of it.

use api::{Quantity, SimTime};

use super::super::get;
use super::{Told, clock, parts, reasons, said_of, tell};
use crate::fold::{ContainerChange, Event, FaultLife, NotTriggered, PodLife, Run};
use crate::metrics::is_eviction_by;
use crate::render::{self, ExplanationOptions};

pub(super) fn story(run: &Run<'_>, pod: &PodLife<'_>, at: SimTime, options: ExplanationOptions) -> Vec<String> {
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
    told.extend(said_of(spoken(run, pod)));
    told.extend(not_triggered(run, pod).map(|no| (no.at, no_pool(no))));
    told.extend(struck_by(run, pod).into_iter().map(|fault| (fault.began, format!("struck by fault {} ({})", fault.name, fault.action))));
    tell(pod_head(run, pod, at, options), told, at)
}

/// Events about the pod that no other record tells: what the autoscaler did for it, who preempted it, how its images
/// were pulled and its probes went.
fn spoken<'r>(run: &'r Run<'_>, pod: &'r PodLife<'_>) -> impl Iterator<Item = &'r Event<'r>> {
    // Told by records, with more to them.
    const KNOWN: [&str; 3] = ["FailedScheduling", "NotTriggerScaleUp", "BackOff"];
    const TOLD: [&str; 6] = ["TriggeredScaleUp", "Preempted", "EvictedByVPA", "Evicted", "Killing", "Pulled"];
    let is_meant = |event: &&Event<'_>| {
        let is_told = TOLD.contains(&event.reason) || (event.kind == "Warning" && !KNOWN.contains(&event.reason));
        // An image that was there already is no news, nor is a state that its container's record tells.
        let is_known = (event.reason == "Pulled" && !event.message.starts_with("Successfully")) || event.message.starts_with("Error: ");
        is_told && !is_known
    };
    about(run, pod).filter(is_meant)
}

/// Events about this life of the pod.
fn about<'r>(run: &'r Run<'_>, pod: &'r PodLife<'_>) -> impl DoubleEndedIterator<Item = &'r Event<'r>> {
    let is_this = |event: &&Event<'_>| {
        let lived = event.at >= pod.created && pod.removed.is_none_or(|removed| event.at <= removed);
        lived && event.object.strip_prefix("Pod/") == Some(pod.name)
    };
    run.events.iter().filter(is_this)
}

fn not_triggered<'r>(run: &'r Run<'_>, pod: &'r PodLife<'_>) -> impl DoubleEndedIterator<Item = &'r NotTriggered<'r>> {
    let lived = |at: SimTime| at >= pod.created && pod.removed.is_none_or(|removed| at <= removed);
    run.not_triggered.iter().filter(move |no| lived(no.at) && no.pods.iter().any(|name| **name == *pod.name))
}

fn no_pool(no: &NotTriggered<'_>) -> String {
    if no.pools.is_empty() {
        return format!("cluster-autoscaler: no node pool helps: {}", no.message);
    }
    let each: Vec<String> = no.pools.iter().map(|(pool, why)| format!("{pool}: {why}")).collect();
    format!("cluster-autoscaler: no node pool helps: {}", each.join("; "))
}

/// Pools that are left alone at `at`, and what came of their last order.
fn backoffs(run: &Run<'_>, at: SimTime) -> Vec<String> {
    const FAILED: [&str; 3] = ["ScaleUpFailed", "ScaleUpTimedOut", "FailedToScaleUpGroup"];
    let mut lines = Vec::new();
    for (since, pool, until) in run.backoffs.iter().filter(|(since, _, until)| *since <= at && *until > at) {
        let said = run.events.iter().find(|event| event.at == *since && FAILED.contains(&event.reason) && event.message.contains(pool));
        let said = said.map_or_else(String::new, |event| format!(": {}", event.message));
        lines.push(format!("  pool {pool} is left alone until {}, since {}{said}", clock(*until), clock(*since)));
    }
    lines
}

/// What the cluster autoscaler does for a pod that waits: ordered nodes, or why it orders none.
pub(super) fn autoscaler(run: &Run<'_>, pod: &PodLife<'_>, at: SimTime) -> Vec<String> {
    let ordered = about(run, pod).rfind(|event| event.reason == "TriggeredScaleUp" && event.at <= at);
    let refused = not_triggered(run, pod).rfind(|no| no.at <= at);
    let mut lines = Vec::new();
    match (ordered, refused) {
        (Some(order), no) if no.is_none_or(|no| no.at < order.at) => {
            lines.push(format!("  cluster-autoscaler at {}: {}", clock(order.at), order.message));
            let joined = run.nodes.iter().filter(|node| node.added > order.at && node.added <= at).count();
            lines.push(format!("  since then {} joined", super::several(joined, "node")));
        }
        (_, Some(no)) => {
            lines.push(format!("  {} (since {})", no_pool(no), clock(no.at)));
            lines.extend(backoffs(run, at));
        }
        _ => {}
    }
    lines
}

/// Why a pod that has a node is not ready.
pub(super) struct Unready {
    /// What holds it back, in words that fit every pod with the same trouble.
    pub(super) why: String,
    /// Restarts so far.
    pub(super) restarts: u32,
}

impl Unready {
    fn text(&self) -> String {
        let restarts = if self.restarts > 0 { format!(", restart {}", self.restarts) } else { String::new() };
        format!("{}{restarts}", self.why)
    }
}

/// Why a pod that has a node is not ready, by what its kubelet said last.
pub(super) fn unready(run: &Run<'_>, pod: &PodLife<'_>, at: SimTime) -> Option<Unready> {
    if pod.ready_at(at) || pod.phase_at(at).0 == "Succeeded" {
        return None;
    }
    let last = pod.containers.iter().rev().find(|change| change.at <= at);
    let restarts = last.map_or(0, |change| change.restarts);
    if let Some(change) = last.filter(|change| change.state != "Running") {
        // That it backs off says the state already, and a probe that found nobody there is no cause.
        let is_news = |event: &&Event<'_>| {
            event.kind == "Warning"
                && event.at <= at
                && event.source == "kubelet"
                && !["BackOff", "Unhealthy"].contains(&event.reason)
                && !event.message.starts_with("Error: ")
        };
        let said = about(run, pod).rfind(is_news).map_or_else(String::new, |event| format!(" ({}: {})", event.reason, event.message));
        let ended = pod.containers.iter().rfind(|end| change.state == "Waiting" && end.at <= at && end.state == "Terminated");
        let without_count = |change: &ContainerChange<'_>| container_text(&ContainerChange { restarts: 0, ..*change });
        let ended = ended.map_or_else(String::new, |end| format!(" after {}", without_count(end)));
        return Some(Unready { why: without_count(change) + &ended + &said, restarts });
    }
    let is_of_probe =
        |event: &&Event<'_>| event.reason == "Unhealthy" && event.at <= at && last.is_some_and(|change| event.at >= change.at);
    let probe = about(run, pod).rfind(is_of_probe);
    let reason = pod.ready.iter().rev().find(|(when, ..)| *when <= at).map_or("", |(_, _, reason)| reason);
    let why = match (probe, last) {
        (Some(event), _) => event.message.replace(pod.name.rsplit('/').next().unwrap_or(pod.name), "<pod>"),
        (None, _) if !reason.is_empty() && reason != "ContainersNotReady" => reason.to_owned(),
        (None, Some(_)) => "its containers run, and no probe has succeeded yet".to_owned(),
        (None, None) => "its kubelet has not started it yet".to_owned(),
    };
    Some(Unready { why, restarts })
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

fn pod_head(run: &Run<'_>, pod: &PodLife<'_>, at: SimTime, options: ExplanationOptions) -> Vec<String> {
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
        head.push(format!("{} on {} at {}", get::pod_status(pod, at), bound.node, clock(at)));
        head.extend(unready(run, pod, at).map(|trouble| format!("  not ready: {}", trouble.text())));
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
        head.extend(autoscaler(run, pod, at));
        return head;
    }
    head.push(format!("{waits}; {attempt}"));
    if let Some((_, _, message, plugins)) = tries {
        head.extend(parts(message).iter().map(|part| format!("  {part}")));
        if !plugins.is_empty() {
            head.push(format!("  turned down by {}", plugins.join(", ")));
        }
    }
    head.extend(autoscaler(run, pod, at));
    head
}

pub(super) fn bytes(bytes: i64) -> String {
    format!("{}Mi", bytes >> 20)
}

fn new_node(run: &Run<'_>, pod: &PodLife<'_>, node: &str) -> &'static str {
    let fresh = run
        .nodes
        .iter()
        .any(|life| life.name == node && life.added > pod.created && pod.scheduled.is_some_and(|bound| life.added <= bound.at));
    if fresh { ", a node that joined after the pod was created" } else { "" }
}

fn container_text(change: &ContainerChange<'_>) -> String {
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
