//! A pod on its node: one slice, and within it what the pod was doing.
//!
//! Not here: the time before it had a node.

use std::io;

use api::SimTime;
use serde_json::{Value, json};

use super::events::{Events, Moment, Place};
use crate::fold::{ContainerChange, PodLife};

/// What a pod is, for the details of its slice.
pub(super) fn about(pod: &PodLife<'_>) -> Value {
    json!({ "workload": pod.workload, "cpuMillis": pod.cpu_millis, "memoryBytes": pod.memory_bytes, "priority": pod.priority })
}

fn ended(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// When a pod no longer takes room on its node: it has ended, or it is gone.
pub(super) fn leaves(pod: &PodLife<'_>, end: SimTime) -> SimTime {
    let over = pod.phases.iter().find(|(_, phase, _)| ended(phase)).map(|(at, ..)| *at);
    over.into_iter().chain(pod.removed).min().unwrap_or(end)
}

/// Something about a pod changed.
enum Change<'t> {
    Phase(&'t str),
    Ready(bool),
    Container(&'t ContainerChange<'t>),
    Deleting,
}

/// What a pod is doing, as kubectl's STATUS would have it, but for `Ready`.
#[derive(Default)]
struct State<'t> {
    is_running: bool,
    is_ready: bool,
    is_deleting: bool,
    waiting: &'t str,
}

impl<'t> State<'t> {
    fn apply(&mut self, change: &Change<'t>) {
        match change {
            Change::Phase(phase) => self.is_running = *phase == "Running",
            Change::Ready(ready) => self.is_ready = *ready,
            Change::Deleting => self.is_deleting = true,
            Change::Container(change) => self.waiting = if change.state == "Waiting" { change.reason } else { "" },
        }
    }

    fn name(&self) -> &'t str {
        match self {
            Self { is_deleting: true, .. } => "Terminating",
            Self { is_ready: true, .. } => "Ready",
            Self { waiting, .. } if !waiting.is_empty() => waiting,
            Self { is_running: true, .. } => "Running",
            _ => "ContainerCreating",
        }
    }
}

/// The pod's slice, those within it, and the ends of its containers.
pub(super) fn slices(pod: &PodLife<'_>, place: Place, end: SimTime, events: &mut Events<'_>) -> io::Result<()> {
    let Some(scheduled) = pod.scheduled else { return Ok(()) };
    let leaves = leaves(pod, end);
    let mut args = about(pod);
    args["attempts"] = json!(scheduled.attempts);
    args["feasibleNodes"] = json!(scheduled.feasible_nodes);
    if let Some((_, by, _)) = pod.deleting {
        args["deletedBy"] = json!(by);
    }
    if let Some((_, phase, reason)) = pod.phases.iter().find(|(_, phase, _)| ended(phase)) {
        args["ended"] = json!(if reason.is_empty() { (*phase).to_owned() } else { format!("{phase}: {reason}") });
    }
    let mut told = vec![Moment { from: scheduled.at, to: Some(leaves), name: pod.name, args }];
    let mut state = State::default();
    let mut since = scheduled.at;
    let doing = |name, from, to| (from < to).then(|| Moment { from, to: Some(to), name, args: json!({}) });
    for (at, change) in changes(pod) {
        let at = at.clamp(scheduled.at, leaves);
        let before = state.name();
        state.apply(&change);
        if state.name() != before {
            told.extend(doing(before, since, at));
            since = at;
        }
        if let Change::Container(change) = change
            && change.state == "Terminated"
        {
            let args = json!({ "container": change.container, "exitCode": change.exit_code, "restarts": change.restarts });
            told.push(Moment { from: at, to: None, name: change.reason, args });
        }
    }
    told.extend(doing(state.name(), since, leaves));
    events.in_order(place, told)
}

fn changes<'t>(pod: &'t PodLife<'t>) -> Vec<(SimTime, Change<'t>)> {
    let mut all: Vec<(SimTime, Change<'t>)> = Vec::new();
    all.extend(pod.phases.iter().map(|(at, phase, _)| (*at, Change::Phase(phase))));
    all.extend(pod.ready.iter().map(|(at, ready, _)| (*at, Change::Ready(*ready))));
    all.extend(pod.containers.iter().map(|change| (change.at, Change::Container(change))));
    all.extend(pod.deleting.map(|(at, ..)| (at, Change::Deleting)));
    all.sort_by_key(|(at, _)| *at);
    all
}
