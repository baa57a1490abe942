//! A timeline for ui.perfetto.dev and chrome://tracing: nodes are processes, pods are slices in lanes.
//!
//! The format is Chrome's trace events as JSON ("Trace Event Format", docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
//!
//! ```text
//! cluster         faults as slices, marks and steps as instants; counters of requests, latency and pods
//! kube-scheduler  an instant per decision, with its reasons; depth of the queues
//! unscheduled     pods that wait for a node
//! node …          a lane per pod at a time; Ready condition, load
//! ```
//!
//! Invariants:
//! - Slices of a lane do not overlap: within a pod's slice lie those of what it was doing. Lanes are as few as can be.
//! - Times of a lane or counter do not go back. They are whole microseconds, rounded down, so that what lies inside
//!   stays inside.
//!
//! Not here: which lanes are shown first (the order of processes is all we say).

mod events;
mod lanes;
mod pods;

use std::collections::BTreeMap;
use std::io::{self, Write};

use api::SimTime;
use serde_json::json;

use self::events::{CLUSTER, Events, FIRST_NODE, SCHEDULER, UNSCHEDULED};
use self::lanes::Lanes;
use crate::fold::{Flow, NodeLife, PodLife, Run, Window, finished};

/// Writes the timeline of a run.
///
/// # Errors
/// Those of the writer.
pub fn perfetto(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let head = run.header;
    let about = json!({ "scenario": head.scenario, "policy": head.policy, "seed": head.seed, "wavetank": head.wavetank_version, "timeZero": head.start });
    write!(out, "{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},\"traceEvents\":[")?;
    let mut events = Events::new(out, run.end);
    cluster(run, &mut events)?;
    scheduler(run, &mut events)?;
    unscheduled(run, &mut events)?;
    nodes(run, &mut events)?;
    events.finish()
}

fn cluster(run: &Run<'_>, events: &mut Events<'_>) -> io::Result<()> {
    events.process(CLUSTER, "cluster")?;
    events.lane(CLUSTER, 0, "marks and steps")?;
    let mut instants: Vec<(SimTime, &str, &str)> = run.marks.iter().map(|(at, mark)| (*at, *mark, "")).collect();
    instants.extend(&run.steps);
    instants.sort_by_key(|(at, ..)| *at);
    for (at, name, outcome) in instants {
        let args = if outcome.is_empty() { json!({}) } else { json!({ "outcome": outcome }) };
        events.instant((CLUSTER, 0), at, name, &args)?;
    }
    let mut lanes = Lanes::default();
    for fault in &run.faults {
        let ended = fault.ended.unwrap_or(run.end);
        let (lane, is_new) = lanes.take(fault.began, ended);
        if is_new {
            events.lane(CLUSTER, lane, &format!("faults {lane}"))?;
        }
        let args = json!({ "action": fault.action, "targets": fault.targets });
        events.slice((CLUSTER, lane), fault.began, ended, fault.name, &args)?;
    }
    let pending = run.pod_steps(|_| true, |pod, deltas| pod.phase_deltas("Pending", deltas));
    let ready = run.pod_steps(|_| true, PodLife::ready_deltas);
    for (name, steps) in [("pods pending", pending), ("pods ready", ready)] {
        for (at, value) in steps.points() {
            events.counter(CLUSTER, *at, name, &json!({ "pods": value }))?;
        }
    }
    for (service, changes) in &run.endpoints {
        for (at, ready, _) in changes {
            events.counter(CLUSTER, *at, &format!("endpoints of {service}"), &json!({ "ready": ready }))?;
        }
    }
    run.flows.values().try_for_each(|flow| requests(flow, events))
}

/// What a flow did in each window; nothing in between.
fn requests(flow: &Flow<'_>, events: &mut Events<'_>) -> io::Result<()> {
    let (rate_name, latency_name) = (format!("{} requests/s", flow.name), format!("{} p99", flow.name));
    let rates = |counts: &trace::TrafficCounts, seconds: f64| {
        let per_second = |count: u64| count as f64 / seconds;
        json!({ "arrived": per_second(counts.arrived), "succeeded": per_second(counts.succeeded), "lost": per_second(finished(counts) - counts.succeeded) })
    };
    for (index, window) in flow.windows.iter().enumerate().filter(|(_, window)| !window.length.is_zero()) {
        let at = window.start();
        events.counter(CLUSTER, at, &rate_name, &rates(&window.counts, window.length.as_secs_f64()))?;
        if let Some(nanos) = window.latency.quantile(0.99) {
            events.counter(CLUSTER, at, &latency_name, &json!({ "ms": nanos as f64 / 1e6 }))?;
        }
        if flow.windows.get(index + 1).map(Window::start).is_none_or(|next| next > window.end) {
            events.counter(CLUSTER, window.end, &rate_name, &rates(&trace::TrafficCounts::default(), 1.0))?;
        }
    }
    Ok(())
}

fn scheduler(run: &Run<'_>, events: &mut Events<'_>) -> io::Result<()> {
    events.process(SCHEDULER, "kube-scheduler")?;
    events.lane(SCHEDULER, 0, "decisions")?;
    let mut decisions = Vec::new();
    for pod in &run.pods {
        for (at, attempt, message, plugins) in &pod.unschedulable {
            let args = json!({ "pod": pod.name, "attempt": attempt, "message": message, "rejectedBy": plugins });
            decisions.push((*at, "Unschedulable", args));
        }
        if let Some(scheduled) = pod.scheduled {
            let args = json!({
                "pod": pod.name,
                "node": scheduled.node,
                "attempt": scheduled.attempts,
                "feasibleNodes": scheduled.feasible_nodes,
                "evaluatedNodes": scheduled.evaluated_nodes,
            });
            decisions.push((scheduled.at, "Scheduled", args));
        }
    }
    decisions.sort_by_key(|(at, ..)| *at);
    for (at, name, args) in decisions {
        events.instant((SCHEDULER, 0), at, name, &args)?;
    }
    for (at, [active, backoff, unschedulable, gated]) in &run.queue {
        let depths = json!({ "active": active, "backoff": backoff, "unschedulable": unschedulable, "gated": gated });
        events.counter(SCHEDULER, *at, "scheduling queue", &depths)?;
    }
    Ok(())
}

fn unscheduled(run: &Run<'_>, events: &mut Events<'_>) -> io::Result<()> {
    events.process(UNSCHEDULED, "unscheduled")?;
    let mut lanes = Lanes::default();
    for pod in &run.pods {
        let until = pod.scheduled.map(|scheduled| scheduled.at).or(pod.removed).unwrap_or(run.end);
        let (lane, is_new) = lanes.take(pod.created, until);
        if is_new {
            events.lane(UNSCHEDULED, lane, &format!("waiting {lane}"))?;
        }
        let mut args = pods::about(pod);
        if let Some((_, attempt, message, _)) = pod.unschedulable.last() {
            args["attempts"] = json!(attempt);
            args["message"] = json!(message);
        }
        events.slice((UNSCHEDULED, lane), pod.created, until, pod.name, &args)?;
    }
    Ok(())
}

fn nodes(run: &Run<'_>, events: &mut Events<'_>) -> io::Result<()> {
    let mut bound: BTreeMap<&str, Vec<(SimTime, &PodLife<'_>)>> = BTreeMap::new();
    for pod in &run.pods {
        if let Some(scheduled) = pod.scheduled {
            bound.entry(scheduled.node).or_default().push((scheduled.at, pod));
        }
    }
    let mut lives: BTreeMap<&str, Vec<&NodeLife<'_>>> = BTreeMap::new();
    let mut order = Vec::new();
    for node in &run.nodes {
        let of_name = lives.entry(node.name).or_default();
        if of_name.is_empty() {
            order.push(node.name);
        }
        of_name.push(node);
    }
    for (index, name) in order.into_iter().enumerate() {
        let process = FIRST_NODE + index;
        let lives = &lives[name];
        let places: Vec<&str> = [lives[0].pool, lives[0].zone].into_iter().filter(|text| !text.is_empty()).collect();
        let places = if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) };
        events.process(process, &format!("node {name}{places}"))?;
        events.lane(process, 0, "node")?;
        lives.iter().try_for_each(|life| node(run, life, process, events))?;
        let mut pods = bound.remove(name).unwrap_or_default();
        pods.sort_by_key(|(at, _)| *at);
        let mut lanes = Lanes::default();
        for (at, pod) in pods {
            let (lane, is_new) = lanes.take(at, pods::leaves(pod, run.end));
            if is_new {
                events.lane(process, lane, &format!("pod slot {lane}"))?;
            }
            pods::slices(pod, (process, lane), run.end, events)?;
        }
    }
    Ok(())
}

/// A node's life, what its Ready condition says in it, and its load.
fn node(run: &Run<'_>, life: &NodeLife<'_>, process: usize, events: &mut Events<'_>) -> io::Result<()> {
    let removed = life.removed.unwrap_or(run.end);
    let args = json!({
        "cpuMillis": life.cpu_millis,
        "memoryBytes": life.memory_bytes,
        "pods": life.pods,
        "pool": life.pool,
        "zone": life.zone,
        "pricePerHour": life.price_per_hour,
    });
    events.slice((process, 0), life.added, removed, life.name, &args)?;
    for (index, (at, status, reason)) in life.ready.iter().enumerate() {
        let until = life.ready.get(index + 1).map_or(removed, |(next, ..)| *next);
        let name = match *status {
            "True" => "Ready",
            "False" => "NotReady",
            _ => "Unknown",
        };
        events.slice((process, 0), *at, until, name, &json!({ "reason": reason }))?;
    }
    for (at, cordoned, taints) in &life.taints {
        let name = if *cordoned { "cordoned" } else { "taints" };
        events.instant((process, 0), *at, name, &json!({ "taints": taints }))?;
    }
    for (at, usage) in &life.usage {
        events.counter(
            process,
            *at,
            "cpu",
            &json!({ "requestedMillis": usage.cpu_requested_millis, "usedMillis": usage.cpu_used_millis }),
        )?;
        events.counter(process, *at, "pods", &json!({ "pods": usage.pods }))?;
    }
    Ok(())
}
