//! Every metric there is, as one table: its name, unit, meaning, filters and statistics.
//!
//! `wavetank list metrics`, `wavetank explain` and the validation of scenarios read this table; so does
//! the evaluation, so that a metric cannot be listed without being computed.

/// What a metric's number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A share, 0 to 1; written in per cent.
    Ratio,
    /// How many times as much.
    Factor,
    /// Whole things: requests, pods, nodes, events.
    Count,
    /// Things per second.
    PerSecond,
    /// Money, in the scenario's currency.
    Money,
}

impl Unit {
    /// Its name, for lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::Factor => "factor",
            Self::Count => "count",
            Self::PerSecond => "per second",
            Self::Money => "money",
        }
    }

    /// A value in this unit as people read it.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Seconds => seconds(value),
            // Two decimals, but never rounded up to a full 100 %: 99.999 % is not everything.
            Self::Ratio if value < 1.0 && value > 0.99995 => "99.99%".to_owned(),
            Self::Ratio => format!("{:.2}%", value * 100.0),
            Self::Factor | Self::Money => format!("{value:.2}"),
            Self::PerSecond => format!("{}/s", plain(value)),
            Self::Count => plain(value),
        }
    }
}

fn plain(value: f64) -> String {
    if value == (value as i64) as f64 { format!("{}", value as i64) } else { format!("{value:.2}") }
}

/// One decimal, unless it is zero.
fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Seconds with about three digits: `85ms`, `4.2s`, `214s`, `1h02m03s`.
#[must_use]
pub fn seconds(value: f64) -> String {
    if value == 0.0 {
        "0s".to_owned()
    } else if value < 0.01 {
        format!("{}ms", tenths(value * 1000.0))
    } else if value < 0.9995 {
        format!("{:.0}ms", value * 1000.0)
    } else if value < 9.95 {
        format!("{}s", tenths(value))
    } else if value < 600.0 {
        format!("{value:.0}s")
    } else {
        let whole = (value + 0.5) as u64;
        match whole / 3600 {
            0 => format!("{}m{:02}s", whole / 60, whole % 60),
            hours => format!("{hours}h{:02}m{:02}s", whole / 60 % 60, whole % 60),
        }
    }
}

/// Which way is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither by itself.
    Neither,
}

impl Better {
    /// In documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
            Self::Neither => "neither",
        }
    }
}

/// What the evaluation computes for a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is explained by its row of the table")]
pub enum Measure {
    Availability,
    ErrorRate,
    RetryAmplification,
    LatencyP50,
    LatencyP95,
    LatencyP99,
    LatencyMean,
    Throughput,
    Offered,
    Requests,
    Succeeded,
    Failed,
    Shed,
    Refused,
    TimedOut,
    Retries,
    Detect,
    Evict,
    Reschedule,
    Ready,
    Slo,
    Total,
    PodsPending,
    PodsUnscheduled,
    PodsRunning,
    PodsReady,
    PodsRestarts,
    PodsOomKilled,
    SchedulingLatency,
    Startup,
    Attempts,
    Failures,
    QueueDepth,
    Preemptions,
    Evictions,
    ReplicasDesired,
    ReplicasReady,
    ReplicasMissing,
    RolloutDuration,
    ScaleUps,
    ScaleDowns,
    EndpointsReady,
    Unhealthy,
    NodesCount,
    NodesReady,
    CpuRequested,
    CpuUsed,
    MemoryRequested,
    CostTotal,
    CostPerMillion,
    NodeHours,
}

/// A row of the table.
#[derive(Debug)]
pub struct MetricInfo {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Which way is good.
    pub better: Better,
    /// Keys of `where` that it takes.
    pub filters: &'static [&'static str],
    /// Values of `stat` that it takes; the first is its own. Empty: it is one number.
    pub stats: &'static [&'static str],
    /// What it is, exactly.
    pub what: &'static str,
    /// What computes it.
    pub measure: Measure,
}

impl MetricInfo {
    /// The statistic taken when an expectation names none.
    #[must_use]
    pub(crate) fn own_stat(&self) -> &'static str {
        self.stats.first().copied().unwrap_or("")
    }

    /// The statistics of it over a whole run, of which the first is its own. One without a name when it is one number
    /// there: over a whole run a ratio, a rate and a count are, and asking for more statistics would repeat it.
    #[must_use]
    pub fn stats_of_run(&self) -> &'static [&'static str] {
        let varies = self.stats.contains(&"time-mean") || self.stats.first() == Some(&"p95") || self.filters.contains(&"fault");
        if varies { self.stats } else { &[""] }
    }
}

/// The metric called `name`.
#[must_use]
pub fn metric(name: &str) -> Option<&'static MetricInfo> {
    REGISTRY.iter().find(|info| info.name == name)
}

/// All metrics, in the order they are listed.
#[must_use]
pub const fn registry() -> &'static [MetricInfo] {
    REGISTRY
}

const TRAFFIC: &[&str] = &["service", "flow", "from", "to"];
const CAUSE: &[&str] = &["fault", "mark", "from", "to"];
const PODS: &[&str] = &["workload", "namespace", "node", "from", "to"];
const WORKLOADS: &[&str] = &["workload", "namespace", "from", "to"];
const NODES: &[&str] = &["node", "pool", "zone", "from", "to"];
const TIME: &[&str] = &["from", "to"];
/// Own statistic of something that must not fall.
const LOW: &[&str] = &["min", "mean", "max", "last", "p50", "p95", "p99"];
/// Own statistic of something that must not rise.
const HIGH: &[&str] = &["max", "mean", "min", "last", "p50", "p95", "p99"];
const OVER_TIME_HIGH: &[&str] = &["max", "time-mean", "mean", "min", "last", "p50", "p95", "p99"];
const OVER_TIME_LOW: &[&str] = &["min", "time-mean", "mean", "max", "last", "p50", "p95", "p99"];
const OVER_TIME_MEAN: &[&str] = &["time-mean", "mean", "min", "max", "last", "p50", "p95", "p99"];
const SAMPLES: &[&str] = &["p95", "p50", "p99", "mean", "min", "max", "last"];

use Better::{Higher, Lower, Neither};
use Unit::{Count, Factor, Money, PerSecond, Ratio, Seconds};

const fn row(
    name: &'static str,
    measure: Measure,
    unit: Unit,
    better: Better,
    filters: &'static [&'static str],
    stats: &'static [&'static str],
    what: &'static str,
) -> MetricInfo {
    MetricInfo { name, unit, better, filters, stats, what, measure }
}

#[rustfmt::skip]
const REGISTRY: &[MetricInfo] = &[
    row("availability", Measure::Availability, Ratio, Higher, TRAFFIC, LOW, "Succeeded / finished requests (finished = succeeded + shed + refused + timed out + failed). Of what users send (external flows); for a `service` no source asks, of the calls other services make to it. Requests still under way at a window's end are counted in the window they finish in. With `window`: of every window of that length that slides over the run, and `stat` of those; without: of the whole run."),
    row("error.rate", Measure::ErrorRate, Ratio, Lower, TRAFFIC, HIGH, "1 - availability."),
    row("latency.p50", Measure::LatencyP50, Seconds, Lower, TRAFFIC, HIGH, "Median time from a request's intended start to its answer, queueing and retries included, of those that succeeded (within 0.8 %, the histogram's bucket width). Failures have no latency; read it beside availability."),
    row("latency.p95", Measure::LatencyP95, Seconds, Lower, TRAFFIC, HIGH, "As latency.p50, 95th percentile."),
    row("latency.p99", Measure::LatencyP99, Seconds, Lower, TRAFFIC, HIGH, "As latency.p50, 99th percentile."),
    row("latency.mean", Measure::LatencyMean, Seconds, Lower, TRAFFIC, HIGH, "As latency.p50, mean."),
    row("throughput", Measure::Throughput, PerSecond, Higher, TRAFFIC, LOW, "Succeeded requests per second, over the whole run or, with `window`, over each window in turn."),
    row("offered", Measure::Offered, PerSecond, Neither, TRAFFIC, HIGH, "Requests that began per second, over the whole run or, with `window`, over each window in turn."),
    row("requests.total", Measure::Requests, Count, Neither, TRAFFIC, HIGH, "Requests that began. A retry is not a request."),
    row("requests.succeeded", Measure::Succeeded, Count, Higher, TRAFFIC, LOW, "Requests answered in time."),
    row("requests.failed", Measure::Failed, Count, Lower, TRAFFIC, HIGH, "Requests given up after the last attempt was answered with an error or broken off."),
    row("requests.shed", Measure::Shed, Count, Lower, TRAFFIC, HIGH, "Requests given up after the last attempt found a full queue."),
    row("requests.refused", Measure::Refused, Count, Lower, TRAFFIC, HIGH, "Requests given up after the last attempt found no endpoint."),
    row("requests.timedout", Measure::TimedOut, Count, Lower, TRAFFIC, HIGH, "Requests given up after the last attempt had no answer in time."),
    row("requests.retries", Measure::Retries, Count, Lower, TRAFFIC, HIGH, "Attempts beyond each request's first."),
    row("retry.amplification", Measure::RetryAmplification, Factor, Lower, TRAFFIC, HIGH, "Attempts / requests that began: the load retries make of the load users offer."),
    row("recovery.detect", Measure::Detect, Seconds, Lower, CAUSE, HIGH, "From a fault's begin to the first sign of it: a struck node's Ready condition leaves True, or a struck pod's container terminates, or it turns unready or is deleted. For a mark: to the first time that an autoscaler or a node pool grows, a rollout begins or a workload loses ready replicas, within 5 min or while users are harmed. One sample per disturbance (see recovery.total); `-` when nothing was there to be detected."),
    row("recovery.evict", Measure::Evict, Seconds, Lower, CAUSE, HIGH, "From detection to the last deletion of a pod that a fault struck, by whom it may be except its own controllers, until 60 s after the fault ended. `-` when none was deleted, and for marks."),
    row("recovery.reschedule", Measure::Reschedule, Seconds, Lower, CAUSE, HIGH, "From the phase before to the last replacement (a pod created since, of a struck or, for marks, unsettled workload) being bound."),
    row("recovery.ready", Measure::Ready, Seconds, Lower, CAUSE, HIGH, "From the phase before until every struck Deployment, ReplicaSet and StatefulSet (for a mark: every one that was unsettled since) has all desired replicas ready and, if a Deployment, of the newest template. Trouble that sets in within 30 s of the last, or while users are harmed, is part of it; for a mark the first has to set in within 5 min. Scaling down is no trouble. DaemonSets and Jobs are left out: their pods stay with the node, or end."),
    row("recovery.slo", Measure::Slo, Seconds, Lower, CAUSE, HIGH, "From the phase before until users are served as expected again: the last instant, of all that set in before the next disturbance, from which an external flow's next 30 s taken together fall short of its availability expectation (99 % when there is none). Up to 4 lost requests in 30 s are noise, unless they are half of all."),
    row("recovery.total", Measure::Total, Seconds, Lower, CAUSE, HIGH, "The sum of the phases detect, evict, reschedule, ready and slo: from the begin of a disturbance to the last bad instant that belongs to it. A disturbance is a mark, or a fault; when a fault strikes again before its last blow was recovered from, they are one, from the first begin on. What is still bad at the end of the run, or has been good for less than 30 s, was not recovered from: it has no total, and fails every expectation on it."),
    row("pods.pending", Measure::PodsPending, Count, Lower, PODS, OVER_TIME_HIGH, "Pods in phase Pending: without a node, or with one and no container started yet."),
    row("pods.unscheduled", Measure::PodsUnscheduled, Count, Lower, PODS, OVER_TIME_HIGH, "Pods that no node was found for yet."),
    row("pods.running", Measure::PodsRunning, Count, Neither, PODS, OVER_TIME_MEAN, "Pods in phase Running."),
    row("pods.ready", Measure::PodsReady, Count, Higher, PODS, OVER_TIME_LOW, "Pods whose Ready condition is True."),
    row("pods.restarts", Measure::PodsRestarts, Count, Lower, PODS, HIGH, "Container restarts."),
    row("pods.oomkilled", Measure::PodsOomKilled, Count, Lower, PODS, HIGH, "Containers terminated with reason OOMKilled."),
    row("pods.scheduling.latency", Measure::SchedulingLatency, Seconds, Lower, PODS, SAMPLES, "From a pod's creation to its binding, of the pods bound in the range. Pods that never were bound are not in it: see pods.unscheduled."),
    row("pods.startup", Measure::Startup, Seconds, Lower, PODS, SAMPLES, "From a pod's binding to its first Ready."),
    row("scheduling.attempts", Measure::Attempts, Count, Neither, PODS, HIGH, "Scheduling attempts, successful or not."),
    row("scheduling.failures", Measure::Failures, Count, Lower, PODS, HIGH, "Scheduling attempts that found no node."),
    row("scheduling.queue", Measure::QueueDepth, Count, Lower, TIME, OVER_TIME_HIGH, "Pods in activeQ, backoffQ and unschedulablePods together."),
    row("preemptions", Measure::Preemptions, Count, Lower, PODS, HIGH, "Pods deleted by the scheduler to make room."),
    row("evictions", Measure::Evictions, Count, Lower, PODS, HIGH, "Pods deleted by taint eviction, node lifecycle, pod garbage collection, the cluster autoscaler or the kubelet. What a person deletes or drains is recorded as kubectl's and not counted."),
    row("replicas.desired", Measure::ReplicasDesired, Count, Neither, WORKLOADS, OVER_TIME_HIGH, "Replicas wanted, summed over the top workloads chosen."),
    row("replicas.ready", Measure::ReplicasReady, Count, Higher, WORKLOADS, OVER_TIME_LOW, "Replicas ready, summed over the top workloads chosen."),
    row("replicas.missing", Measure::ReplicasMissing, Count, Lower, WORKLOADS, OVER_TIME_HIGH, "Desired minus ready, never below zero, summed over the top workloads chosen."),
    row("rollout.duration", Measure::RolloutDuration, Seconds, Lower, WORKLOADS, HIGH, "From the step that changed a workload's template (or, without one in the 10 s before, from its first count of a new template) until all replicas are of the new template and available. One sample per rollout; one that does not end in the run has no duration and fails."),
    row("hpa.scaleups", Measure::ScaleUps, Count, Neither, WORKLOADS, HIGH, "HorizontalPodAutoscaler decisions that raised the replicas."),
    row("hpa.scaledowns", Measure::ScaleDowns, Count, Neither, WORKLOADS, HIGH, "HorizontalPodAutoscaler decisions that lowered the replicas."),
    row("endpoints.ready", Measure::EndpointsReady, Count, Higher, &["service", "from", "to"], OVER_TIME_LOW, "Ready endpoints behind the Services chosen."),
    row("probes.unhealthy", Measure::Unhealthy, Count, Lower, PODS, HIGH, "Events with reason Unhealthy: probes that failed, as kubectl get events would show them."),
    row("nodes.count", Measure::NodesCount, Count, Neither, NODES, OVER_TIME_MEAN, "Nodes in the cluster, ready or not."),
    row("nodes.ready", Measure::NodesReady, Count, Higher, NODES, OVER_TIME_LOW, "Nodes whose Ready condition is True."),
    row("cpu.requested.ratio", Measure::CpuRequested, Ratio, Higher, NODES, OVER_TIME_MEAN, "Requested / allocatable cpu over the nodes chosen."),
    row("cpu.used.ratio", Measure::CpuUsed, Ratio, Higher, NODES, OVER_TIME_MEAN, "Used / allocatable cpu over the nodes chosen; each sample is the mean since the sample before."),
    row("memory.requested.ratio", Measure::MemoryRequested, Ratio, Higher, NODES, OVER_TIME_MEAN, "Requested / allocatable memory over the nodes chosen."),
    row("cost.total", Measure::CostTotal, Money, Lower, NODES, &[], "Price per hour × hours, summed over nodes from joining to leaving, to the nanosecond (clouds bill by the second or the hour). Nodes without a price cost nothing."),
    row("cost.per.million.requests", Measure::CostPerMillion, Money, Lower, TIME, &[], "cost.total / succeeded external requests × 1,000,000."),
    row("nodes.hours", Measure::NodeHours, Count, Lower, NODES, &[], "Node-hours, from joining to leaving."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_one_name_and_says_what_it_is() {
        for (index, info) in registry().iter().enumerate() {
            assert!(info.what.ends_with('.') && info.what.len() > 10, "{}", info.name);
            assert!(registry()[index + 1..].iter().all(|other| other.name != info.name), "{} twice", info.name);
            assert!(std::ptr::eq(metric(info.name).unwrap(), info));
        }
    }

    #[test]
    fn values_are_written_as_people_read_them() {
        for (unit, value, text) in [
            (Unit::Seconds, 0.0004, "0.4ms"),
            (Unit::Seconds, 0.005, "5ms"),
            (Unit::Seconds, 0.085, "85ms"),
            (Unit::Seconds, 6.0, "6s"),
            (Unit::Seconds, 4.21, "4.2s"),
            (Unit::Seconds, 214.3, "214s"),
            (Unit::Seconds, 3723.0, "1h02m03s"),
            (Unit::Ratio, 0.99712, "99.71%"),
            (Unit::Ratio, 0.999_999, "99.99%"),
            (Unit::Ratio, 1.0, "100.00%"),
            (Unit::Count, 112.0, "112"),
            (Unit::PerSecond, 12.5, "12.50/s"),
        ] {
            assert_eq!(unit.format(value), text);
        }
    }
}
