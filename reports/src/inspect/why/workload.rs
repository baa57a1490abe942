//! The story of a workload: its sizes, what holds its pods back, and what its controller says.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime};

use super::autoscaler::asked;
use super::{Told, clock, named, reasons, said_of, several, tell};
use crate::fold::{Autoscale, ConditionChange, Counts, Event, PodLife, Run};
use crate::inspect::{InspectError, resolve};

pub(super) fn workload_story(
    run: &Run<'_>,
    kind: &'static str,
    shown: &'static str,
    name: &str,
    at: SimTime,
) -> Result<Vec<String>, InspectError> {
    let name = resolve(shown, name, run.workloads.keys().filter(|(of, _)| *of == kind).map(|(_, name)| *name))?;
    let history = &run.workloads[&(kind, name)];
    let target = format!("{kind}/{name}");
    let mut told: Told = Vec::new();
    let noun = if kind == "Job" { "pod" } else { "replica" };
    let mut before: Option<Counts> = None;
    for (when, counts) in history {
        let changed = before.is_none_or(|before| before.desired != counts.desired);
        let complete = before.is_some_and(|before| before.ready < before.desired) && counts.ready >= counts.desired;
        let broken = before.is_some_and(|before| before.ready >= before.desired) && counts.ready < counts.desired && !changed;
        // What an autoscaler has just done is told by it, with why.
        let is_it = |look: &Autoscale<'_>| look.target == target && look.desired == counts.desired && look.at <= *when;
        let scaled = changed && run.autoscales.iter().any(|look| is_it(look) && when.since(look.at) <= SimDuration::from_secs(1));
        if changed && !scaled {
            told.push((*when, format!("{} desired ({} ready)", several(usize::try_from(counts.desired).unwrap_or(0), noun), counts.ready)));
        } else if complete || broken {
            told.push((*when, format!("{} of {} {noun}s ready", counts.ready, counts.desired)));
        }
        before = Some(*counts);
    }
    for look in run.autoscales.iter().filter(|look| look.target == target && look.desired != look.current) {
        told.push((look.at, format!("{} scales {} → {}: {}", look.hpa, look.current, look.desired, asked(look))));
    }
    told.extend(rollouts(run, &target));
    let mut was_stuck = false;
    for change in conditions(run, kind, name) {
        told.extend(condition_text(change, was_stuck).map(|text| (change.at, text)));
        was_stuck = if change.condition == "Progressing" { change.status == "False" } else { was_stuck };
    }
    told.extend(said_of(spoken(run, kind, name)));
    let mut head = vec![target.clone()];
    let now = history.partition_point(|(when, _)| *when <= at);
    if let Some((_, counts)) = now.checked_sub(1).map(|index| history[index]) {
        let Counts { desired, ready, available, updated, .. } = counts;
        head.push(match kind {
            "Job" => format!("at {}: {ready} of {desired} pods ready, {available} succeeded", clock(at)),
            _ => format!("at {}: {desired} desired, {ready} ready, {available} available, {updated} of the newest template", clock(at)),
        });
    }
    head.extend(stuck(run, kind, name, at));
    head.extend(missing(run, kind, name, at));
    head.extend(waiting(run, &target, at));
    head.extend(unready(run, &target, at));
    Ok(tell(head, told, at))
}

/// Why pods of the workload are still without a node, most frequent message first.
fn waiting(run: &Run<'_>, workload: &str, at: SimTime) -> Vec<String> {
    let pending: Vec<&PodLife<'_>> = run
        .pods
        .iter()
        .filter(|pod| pod.workload == workload && pod.exists_at(at) && pod.scheduled.is_none_or(|bound| bound.at > at))
        .collect();
    let longest = pending.iter().map(|pod| at.since(pod.created)).max().unwrap_or(SimDuration::ZERO);
    let message = pending.iter().filter_map(|pod| pod.unschedulable.iter().rev().find(|(when, ..)| *when <= at)).next_back();
    let reason = message.map_or_else(String::new, |(_, _, message, _)| format!("; last message: {}", reasons(message)));
    let Some(first) = pending.iter().min_by_key(|pod| (pod.created, pod.name)) else { return Vec::new() };
    let count = several(pending.len(), "pod");
    let mut lines = vec![format!("{count} without a node, the longest for {longest} (pod/{}){reason}", first.name)];
    lines.extend(super::pod::autoscaler(run, first, at));
    lines
}

fn conditions<'r>(run: &'r Run<'_>, kind: &'r str, name: &'r str) -> impl DoubleEndedIterator<Item = &'r ConditionChange<'r>> {
    run.conditions.get(&(kind, name)).map_or(&[][..], Vec::as_slice).iter()
}

/// A template that takes over from another: when its ReplicaSet makes its first pod after one of another.
fn rollouts(run: &Run<'_>, workload: &str) -> Told {
    let mut told: Told = Vec::new();
    let mut newest = "";
    for pod in run.pods.iter().filter(|pod| pod.workload == workload && pod.controller.starts_with("ReplicaSet/")) {
        if !newest.is_empty() && newest != pod.controller {
            told.push((pod.created, format!("rollout of {} begins", pod.controller)));
        }
        newest = pod.controller;
    }
    told
}

/// Conditions that are news: a rollout that is stuck or paused. Pods that cannot be created are told by events.
fn condition_text(change: &ConditionChange<'_>, was_stuck: bool) -> Option<String> {
    let ConditionChange { condition, status, reason, message, .. } = change;
    let is_news = matches!((*condition, *status, *reason), ("Progressing", "False", _) | ("Progressing", _, "DeploymentPaused"));
    (is_news || (was_stuck && *condition == "Progressing")).then(|| format!("{condition} is {status}: {reason}: {message}"))
}

/// A rollout that has missed its deadline.
fn stuck(run: &Run<'_>, kind: &str, name: &str, at: SimTime) -> Option<String> {
    let last = conditions(run, kind, name).rfind(|change| change.condition == "Progressing" && change.at <= at)?;
    (last.reason == "ProgressDeadlineExceeded").then(|| format!("rollout stuck since {}: {}", clock(last.at), last.message))
}

/// Why pods cannot even be created: what the one who creates them said last, while there are fewer than wanted.
fn missing(run: &Run<'_>, kind: &str, name: &str, at: SimTime) -> Option<String> {
    let history = run.workloads.get(&(kind, name))?;
    let (_, counts) = history.iter().rev().find(|(when, _)| *when <= at)?;
    let own = format!("{kind}/{name}");
    let there = run.pods.iter().filter(|pod| pod.workload == own && pod.exists_at(at)).count();
    let refused = spoken(run, kind, name).filter(|event| event.at <= at && event.reason == "FailedCreate").last()?;
    let short = usize::try_from(counts.desired).unwrap_or(0).saturating_sub(there);
    (short > 0).then(|| format!("{} not created: {}", several(short, "pod"), refused.message))
}

/// Warnings about the workload and the ReplicaSets that its pods came from, and how a Job ended.
fn spoken<'r>(run: &'r Run<'_>, kind: &str, name: &str) -> impl Iterator<Item = &'r Event<'r>> {
    const TOLD: [&str; 4] = ["Completed", "Suspended", "Resumed", "DeploymentRollback"];
    let own = format!("{kind}/{name}");
    // A ReplicaSet that was refused its first pod has none: it goes by the name that its Deployment gave it.
    let is_of = move |object: &str| {
        let set_of_it =
            |set: &str| own.strip_prefix("Deployment/").is_some_and(|own| set.rsplit_once('-').is_some_and(|(stem, _)| stem == own));
        object == own || object.strip_prefix("ReplicaSet/").is_some_and(set_of_it)
    };
    run.events.iter().filter(move |event| (event.kind == "Warning" || TOLD.contains(&event.reason)) && is_of(event.object))
}

/// Why pods that have a node are not ready, those with the same trouble counted together.
fn unready(run: &Run<'_>, workload: &str, at: SimTime) -> Vec<String> {
    const SHOWN: usize = 4;
    const FAILED: &str = "failed: ";
    let mut troubles: BTreeMap<String, (Vec<&str>, u32)> = BTreeMap::new();
    let is_up = |pod: &&PodLife<'_>| {
        let bound = pod.scheduled.is_some_and(|bound| bound.at <= at);
        pod.workload == workload && pod.exists_at(at) && bound && pod.deleting.is_none_or(|(when, ..)| when > at)
    };
    for pod in run.pods.iter().filter(is_up) {
        if let Some(trouble) = super::pod::unready(run, pod, at) {
            let failed = if pod.phase_at(at).0 == "Failed" { FAILED } else { "" };
            let (pods, restarts) = troubles.entry(format!("{failed}{}", trouble.why)).or_default();
            pods.push(pod.name);
            *restarts = trouble.restarts.max(*restarts);
        }
    }
    let mut troubles: Vec<(String, (Vec<&str>, u32))> = troubles.into_iter().collect();
    troubles.sort_by_key(|(why, (pods, _))| (std::cmp::Reverse(pods.len()), why.clone()));
    let line = |(why, (pods, restarts)): &(String, (Vec<&str>, u32))| {
        let state = if why.starts_with(FAILED) { "" } else { " not ready:" };
        let restarts = if *restarts > 0 { format!(", up to {}", several(*restarts as usize, "restart")) } else { String::new() };
        format!("{}{state} {why}{restarts} (pod/{})", several(pods.len(), "pod"), named(pods))
    };
    troubles.iter().take(SHOWN).map(line).collect()
}
