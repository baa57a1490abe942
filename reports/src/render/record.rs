//! One record in words.

use trace::Record;

use crate::metrics::is_eviction_by;

use super::magnitude;

/// The kind of a record, as the trace writes it.
pub(crate) const fn record_kind(record: &Record) -> &'static str {
    match record {
        Record::NodeAdded { .. } => "NodeAdded",
        Record::NodeReady { .. } => "NodeReady",
        Record::NodeTaints { .. } => "NodeTaints",
        Record::NodeRemoved { .. } => "NodeRemoved",
        Record::PodCreated { .. } => "PodCreated",
        Record::PodUnschedulable { .. } => "PodUnschedulable",
        Record::PodScheduled { .. } => "PodScheduled",
        Record::Explanation { .. } => "Explanation",
        Record::Container { .. } => "Container",
        Record::PodPhase { .. } => "PodPhase",
        Record::PodReady { .. } => "PodReady",
        Record::PodDeleting { .. } => "PodDeleting",
        Record::PodRemoved { .. } => "PodRemoved",
        Record::Workload { .. } => "Workload",
        Record::Condition { .. } => "Condition",
        Record::Autoscale { .. } => "Autoscale",
        Record::Recommendation { .. } => "Recommendation",
        Record::NodePool { .. } => "NodePool",
        Record::NodePoolBackoff { .. } => "NodePoolBackoff",
        Record::NotTriggerScaleUp { .. } => "NotTriggerScaleUp",
        Record::Endpoints { .. } => "Endpoints",
        Record::Event { .. } => "Event",
        Record::FaultBegan { .. } => "FaultBegan",
        Record::FaultEnded { .. } => "FaultEnded",
        Record::Mark { .. } => "Mark",
        Record::Step { .. } => "Step",
        Record::SchedulingQueue { .. } => "SchedulingQueue",
        Record::Traffic { .. } => "Traffic",
        Record::Denied { .. } => "Denied",
        Record::Station { .. } => "Station",
        Record::NodeUsage { .. } => "NodeUsage",
        Record::Watch { .. } => "Watch",
        Record::End { .. } => "End",
    }
}

/// A record in words; numbers of which there are many as the trace has them.
pub(crate) fn record_words(record: &Record) -> String {
    match record {
        Record::NodeAdded { node, pool, .. } if pool.is_empty() => format!("node {node} joins"),
        Record::NodeAdded { node, pool, .. } => format!("node {node} of pool {pool} joins"),
        Record::NodeReady { node, status, reason } => format!("node {node}: Ready is {status}{}", because(reason)),
        Record::NodeTaints { node, unschedulable, taints } => {
            let cordoned = if *unschedulable { "cordoned, " } else { "" };
            format!("node {node}: {cordoned}taints [{}]", taints.join(", "))
        }
        Record::NodeRemoved { node } => format!("node {node} leaves"),
        Record::PodCreated { pod, controller, .. } if controller.is_empty() => format!("pod {pod} created by hand"),
        Record::PodCreated { pod, controller, .. } => format!("pod {pod} created by {controller}"),
        Record::PodUnschedulable { pod, attempt, message, .. } => format!("pod {pod}: attempt {attempt} finds no node: {message}"),
        Record::PodScheduled { pod, node, attempts, feasible_nodes, evaluated_nodes } => {
            format!(
                "pod {pod} scheduled on {node} (attempt {attempts}; {feasible_nodes} of {evaluated_nodes} nodes looked at were feasible)"
            )
        }
        Record::Container { pod, container, state, reason, exit_code, restarts } => {
            let code = exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
            let restarts = if *restarts > 0 { format!(", restart {restarts}") } else { String::new() };
            format!("pod {pod}: container {container} {}{}{code}{restarts}", state.to_lowercase(), because(reason))
        }
        Record::PodPhase { pod, phase, reason } => format!("pod {pod}: phase {phase}{}", because(reason)),
        Record::PodReady { pod, ready, reason } => {
            format!("pod {pod} {}{}", if *ready { "ready" } else { "not ready" }, because(reason))
        }
        Record::PodDeleting { pod, by, grace } => {
            format!("pod {pod} {} by {by}, grace {grace}", if is_eviction_by(by) { "evicted" } else { "deleted" })
        }
        Record::PodRemoved { pod } => format!("pod {pod} gone"),
        _ => of_workloads(record),
    }
}

fn of_workloads(record: &Record) -> String {
    match record {
        Record::Workload { kind, name, desired, current, updated, ready, available } => {
            format!(
                "{kind}/{name}: {desired} desired, {current} there, {updated} of the newest template, {ready} ready, {available} available"
            )
        }
        Record::Condition { kind, name, condition, status, reason, .. } => {
            format!("{kind}/{name}: {condition} is {status}{}", because(reason))
        }
        Record::Autoscale { hpa, current, proposed, desired, metric, reason, .. } => {
            format!("HorizontalPodAutoscaler {hpa}: {metric} asks for {proposed}, {current} → {desired} ({reason})")
        }
        Record::Recommendation { vpa, container, cpu_millis, memory_bytes, .. } => {
            format!("VerticalPodAutoscaler {vpa}: container {container} wants cpu {}m, memory {}Mi", cpu_millis[1], memory_bytes[1] >> 20)
        }
        Record::NodePool { pool, from, to, reason, .. } => format!("node pool {pool} {from} → {to}: {reason}"),
        Record::NodePoolBackoff { pool, until } => format!("node pool {pool} is left alone until {until}"),
        Record::NotTriggerScaleUp { pods, message, .. } => {
            format!("no node pool helps {} pods ({} first): {message}", pods.len(), pods.first().map_or("", |pod| pod))
        }
        Record::Endpoints { service, ready, total } => format!("Service {service}: {ready} of {total} endpoints ready"),
        Record::Event { reason, object, message, source, .. } => format!("{source} says of {object}: {reason}: {message}"),
        Record::FaultBegan { fault, action, targets } => match targets.as_slice() {
            [] => format!("fault {fault} ({action}) begins"),
            [only] => format!("fault {fault} ({action}) strikes {only}"),
            [first, ..] => format!("fault {fault} ({action}) strikes {first} and {} more", targets.len() - 1),
        },
        Record::FaultEnded { fault } => format!("fault {fault} over"),
        Record::Mark { mark } => format!("mark {mark}"),
        Record::Step { step, outcome } => format!("step {step}: {outcome}"),
        _ => of_windows(record),
    }
}

fn of_windows(record: &Record) -> String {
    match record {
        Record::SchedulingQueue { active, backoff, unschedulable, gated } => {
            format!("scheduling queue: {active} active, {backoff} in back-off, {unschedulable} unschedulable, {gated} gated")
        }
        Record::Traffic { flow, counts, latency, .. } => {
            let count = |number: u64| magnitude(number);
            let lost = crate::fold::lost(counts);
            let p99 =
                latency.quantile(0.99).map_or_else(String::new, |nanos| format!(", p99 {}", crate::metrics::seconds(nanos as f64 / 1e9)));
            format!(
                "traffic {flow}: {} arrived, {} succeeded, {} lost, {} attempts{p99}",
                count(counts.arrived),
                count(counts.succeeded),
                count(lost),
                count(counts.attempts)
            )
        }
        Record::Denied { flow, policy, attempts, .. } => format!("{}: {attempts} attempts", crate::inspect::denied_by(policy, flow)),
        Record::Station { service, pods, queued, busy, shed, cpu_used, .. } => {
            format!(
                "Service {service}: {pods} pods, {busy} requests under way, {queued} waiting, {shed} turned away, {cpu_used} of cpu used"
            )
        }
        Record::NodeUsage { node, pods, cpu_requested_millis, cpu_used_millis, .. } => {
            format!("node {node}: {pods} pods, cpu {cpu_requested_millis}m requested, {cpu_used_millis}m used")
        }
        Record::Watch { kind, name, ev, .. } => format!("watch: {kind} {name} {ev}"),
        Record::End { events, traffic_events, reason } => format!("end ({reason}) after {events} events and {traffic_events} of traffic"),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
