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

use self::events::{CLUSTER, Events, FIRST_NODE, Moment, SCHEDULER, UNSCHEDULED};
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
    for (name, steps) in [("pending", pending), ("ready", ready)] {
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
    let mut told = vec![Moment { from: life.added, to: Some(removed), name: life.name, args }];
    for (index, (at, status, reason)) in life.ready.iter().enumerate() {
        let until = life.ready.get(index + 1).map_or(removed, |(next, ..)| *next);
        let name = match *status {
            "True" => "Ready",
            "False" => "NotReady",
            _ => "Unknown",
        };
        if *at < until {
            told.push(Moment { from: *at, to: Some(until), name, args: json!({ "reason": reason }) });
        }
    }
    for (at, cordoned, taints) in &life.taints {
        let name = if *cordoned { "cordoned" } else { "taints" };
        told.push(Moment { from: *at, to: None, name, args: json!({ "taints": taints }) });
    }
    events.in_order((process, 0), told)?;
    for (at, usage) in &life.usage {
        events.counter(
            process,
            *at,
            "cpu",
            &json!({ "requestedMillis": usage.cpu_requested_millis, "usedMillis": usage.cpu_used_millis }),
        )?;
        events.counter(process, *at, "bound", &json!({ "pods": usage.pods }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::Value;

    fn document(trace: &trace::Trace) -> (String, Value) {
        let mut bytes = Vec::new();
        perfetto(&Run::new(trace), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    fn number(event: &Value, key: &str) -> u64 {
        event[key].as_u64().unwrap_or_else(|| panic!("{key} of {event}"))
    }

    #[test]
    fn slices_of_a_lane_lie_beside_or_within_each_other_and_time_does_not_go_back() {
        for trace in [testing::black_friday(1), testing::node_failure(1)] {
            let (text, value) = document(&trace);
            assert_eq!(text, document(&trace).0, "equal traces give equal bytes");
            let events = value["traceEvents"].as_array().unwrap();
            let mut open: BTreeMap<(u64, u64), (u64, Vec<u64>)> = BTreeMap::new();
            let mut counters: BTreeMap<(u64, &str), u64> = BTreeMap::new();
            let mut counted = BTreeMap::<&str, usize>::new();
            for event in events {
                let kind = event["ph"].as_str().unwrap();
                *counted.entry(kind).or_default() += 1;
                match kind {
                    "X" | "i" => {
                        let (from, length) = (number(event, "ts"), event["dur"].as_u64().unwrap_or(0));
                        let (before, ends) = open.entry((number(event, "pid"), number(event, "tid"))).or_default();
                        assert!(*before <= from, "{event}");
                        *before = from;
                        ends.retain(|end| *end > from || (length == 0 && *end == from));
                        assert!(ends.iter().all(|end| from + length <= *end), "{event} reaches beyond {ends:?}");
                        ends.push(from + length);
                    }
                    "C" => {
                        let before = counters.entry((number(event, "pid"), event["name"].as_str().unwrap())).or_default();
                        assert!(*before <= number(event, "ts"), "{event}");
                        *before = number(event, "ts");
                    }
                    _ => assert_eq!(kind, "M"),
                }
            }
            let bound = trace.records.iter().filter(|(_, record)| matches!(record, trace::Record::PodScheduled { .. })).count();
            assert!(bound > 10 && counted["X"] > 2 * bound && counted["i"] >= bound && counted["C"] > 1000, "{counted:?}");
        }
    }

    #[test]
    fn a_pod_is_told_from_waiting_to_going() {
        let mut b = testing::Builder::new("one", 1, 100);
        b.node(0.0, 0);
        b.pod(1.0, "default/web-0", "Deployment/default/web", 500);
        b.runs("default/web-0", "general-000", 5.0, 8.0, 12.0);
        b.deleted(60.0, "default/web-0", "kubectl", 62.0);
        let (_, value) = document(&b.build());
        let slices: Vec<String> = value["traceEvents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["ph"] == "X" && event["pid"].as_u64() != Some(FIRST_NODE as u64) || event["args"] == json!({}))
            .filter(|event| event["ph"] == "X")
            .map(|event| {
                format!(
                    "{} {} {}+{}",
                    event["pid"],
                    event["name"].as_str().unwrap(),
                    number(event, "ts") / 1000,
                    number(event, "dur") / 1000
                )
            })
            .collect();
        let expected = [
            "3 default/web-0 1000+4000",
            "10 ContainerCreating 5000+3000",
            "10 Running 8000+4000",
            "10 Ready 12000+48000",
            "10 Terminating 60000+2000",
        ];
        assert_eq!(slices, expected);
    }
}
