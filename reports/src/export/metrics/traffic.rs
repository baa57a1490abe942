//! Requests, as an instrumented caller would count them, and what stands behind Services; names of our own where
//! nobody else has one (`wavetank_…`).
//!
//! Not here: requests one by one. Windows are counted at their ends.

use std::io;

use api::SimTime;
use trace::{Histogram, TrafficCounts};

use super::{About, Kind, Labels, Out, Source, Told, labels, split};
use crate::fold::{Flow, StationWindow};

/// The default buckets of Prometheus' client libraries, with finer ones below and coarser ones above.
const SECONDS: [f64; 16] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

/// How a request may end: the status that a caller sees, our word for it, and its count.
const OUTCOMES: [Told<TrafficCounts>; 5] = [
    ("200", "succeeded", |counts| counts.succeeded as f64),
    ("503", "shed", |counts| counts.shed as f64),
    ("503", "refused", |counts| counts.refused as f64),
    ("504", "timed_out", |counts| counts.timed_out as f64),
    ("500", "failed", |counts| counts.failed as f64),
];

const fn about(name: &'static str, kind: Kind, help: &'static str) -> About {
    About { name, kind, job: "wavetank", help }
}

fn named<const N: usize>(flow: &Flow<'_>, more: [(&'static str, &str); N]) -> Labels {
    let (namespace, service) = split(flow.service);
    let external = if flow.external { "true" } else { "false" };
    let of_flow = [("namespace", namespace), ("service", service), ("flow", flow.name), ("external", external)];
    labels(of_flow).into_iter().chain(labels(more)).collect()
}

/// The running sum of something counted window by window.
fn total<T>(windows: &[T], end: fn(&T) -> SimTime, of: impl Fn(&T) -> f64) -> Vec<(SimTime, f64)> {
    let mut sum = 0.0;
    let sums = windows.iter().map(|window| {
        sum += of(window);
        (end(window), sum)
    });
    [(SimTime::ZERO, 0.0)].into_iter().chain(sums).collect()
}

pub(super) fn families(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    requests(source, out)?;
    behind_services(source, out)?;
    story(source, out)
}

fn requests(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let flows = || source.run.flows.values();
    out.family(about("http_requests_total", Kind::Counter, "Requests that came to an end, by their last attempt."), |family| {
        for flow in flows() {
            for (code, outcome, of) in OUTCOMES {
                let sums = total(&flow.windows, |window| window.end, |window| of(&window.counts));
                family.follow(&named(flow, [("code", code), ("outcome", outcome)]), sums, None);
            }
        }
    })?;
    let help = "Time from the intended start to the answer, of requests that succeeded.";
    out.family(about("http_request_duration_seconds", Kind::Histogram, help), |family| {
        for flow in flows() {
            for window in &flow.windows {
                let values = window.latency.buckets().map(|(bucket, count)| (Histogram::middle(bucket) as f64 / 1e9, count));
                family.observe(named(flow, []), &SECONDS, window.end, values, source.ticks);
            }
        }
    })?;
    out.family(about("http_requests_in_flight", Kind::Gauge, "Requests under way."), |family| {
        for flow in flows() {
            family.follow(&named(flow, []), flow.windows.iter().map(|window| (window.end, window.counts.in_flight as f64)), None);
        }
    })?;
    out.family(about("wavetank_request_attempts_total", Kind::Counter, "Attempts at requests, first ones and retries."), |family| {
        for flow in flows() {
            let retries = total(&flow.windows, |window| window.end, |window| window.counts.retries as f64);
            family.follow(&named(flow, [("retry", "true")]), retries, None);
            let of = |counts: &TrafficCounts| counts.attempts.saturating_sub(counts.retries) as f64;
            family.follow(&named(flow, [("retry", "false")]), total(&flow.windows, |window| window.end, |window| of(&window.counts)), None);
        }
    })
}

fn behind_services(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let service = |name: &str| {
        let (namespace, service) = split(name);
        labels([("namespace", namespace), ("service", service)])
    };
    out.family(about("wavetank_service_endpoints", Kind::Gauge, "Endpoints of a Service, ready or not."), |family| {
        for (name, changes) in &source.run.endpoints {
            for (ready, of) in [("true", true), ("false", false)] {
                let named = service(name).into_iter().chain(labels([("ready", ready)])).collect();
                let count = |ready: u32, all: u32| f64::from(if of { ready } else { all.saturating_sub(ready) });
                family.follow(&named, changes.iter().map(|(at, ready, all)| (*at, count(*ready, *all))), None);
            }
        }
    })?;
    let gauges: [Told<StationWindow>; 2] = [
        ("wavetank_service_queued_requests", "Requests that wait in the queues of a Service's pods.", |window| window.queued as f64),
        ("wavetank_service_busy_slots", "Request slots in use in a Service's pods.", |window| window.busy as f64),
    ];
    for (name, help, of) in gauges {
        out.family(about(name, Kind::Gauge, help), |family| {
            for (name, windows) in &source.run.stations {
                family.follow(&service(name), windows.iter().map(|window| (window.end, of(window))), None);
            }
        })?;
    }
    let help = "cpu time that a Service's pods used for requests.";
    out.family(about("wavetank_service_cpu_usage_seconds_total", Kind::Counter, help), |family| {
        for (name, windows) in &source.run.stations {
            family.follow(&service(name), total(windows, |window| window.end, |window| window.cpu_used.as_secs_f64()), None);
        }
    })
}

/// Faults while they last, and marks at the first look after them: queries for annotations.
fn story(source: &Source<'_, '_>, out: &mut Out<'_>) -> io::Result<()> {
    let run = source.run;
    out.family(about("wavetank_fault_active", Kind::Gauge, "Whether a fault is at work."), |family| {
        for fault in &run.faults {
            let named = labels([("fault", fault.name), ("action", fault.action)]);
            family.follow(&named, [(SimTime::ZERO, 0.0)], None);
        }
        let mut changes: Vec<(SimTime, usize, i32)> = Vec::new();
        for (index, fault) in run.faults.iter().enumerate() {
            changes.push((fault.began, index, 1));
            changes.extend(fault.ended.map(|ended| (ended, index, -1)));
        }
        changes.sort_unstable();
        let mut active = std::collections::BTreeMap::new();
        for (at, index, change) in changes {
            let fault = &run.faults[index];
            let episodes = active.entry((fault.name, fault.action)).or_insert(0);
            *episodes += change;
            family.set(labels([("fault", fault.name), ("action", fault.action)]), at, Some(f64::from(*episodes)));
        }
    })?;
    out.family(about("wavetank_mark", Kind::Gauge, "A moment that the scenario names: one sample."), |family| {
        for (at, mark) in &run.marks {
            let seen = source.ticks.after(*at);
            family.span(labels([("mark", mark)]), seen, Some(seen + source.ticks.resolution), 1.0);
        }
    })?;
    let price = About {
        name: "node_total_hourly_cost",
        kind: Kind::Gauge,
        job: "opencost",
        help: "Hourly cost of the node, in the scenario's currency.",
    };
    out.family(price, |family| {
        for node in run.nodes.iter().filter(|node| node.price_per_hour > 0.0) {
            family.span(labels([("instance", node.name), ("node", node.name)]), node.added, node.removed, node.price_per_hour);
        }
    })
}
