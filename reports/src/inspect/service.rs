//! The story of a Service: what stood behind it, and how those who asked it fared.

use api::{SimDuration, SimTime};

use super::why::{Told, clock};
use crate::fold::{Flow, Run, Window, finished, lost};
use crate::render::magnitude;

/// Changes of the same direction this close together are told as one.
const SAME_MOVE: SimDuration = SimDuration::from_secs(60);

pub(super) fn head(run: &Run<'_>, name: &str, at: SimTime) -> Vec<String> {
    let history = run.endpoints.get(name).map_or(&[][..], Vec::as_slice);
    let now = history.iter().rev().find(|(when, ..)| *when <= at);
    let behind = now.map_or_else(|| "nothing behind it".to_owned(), |(_, ready, total)| format!("{ready} of {total} endpoints ready"));
    let mut head = vec![format!("Service/{name}"), format!("at {}: {behind}", clock(at))];
    for flow in flows(run, name) {
        let Some(window) = flow.windows.iter().rev().find(|window| window.end <= at) else { continue };
        head.push(format!("{}: {}", who(flow), last_window(window)));
    }
    if let Some(station) = run.stations.get(name).and_then(|windows| windows.iter().rev().find(|window| window.end <= at)) {
        head.push(format!("{} pods serve: {} requests under way, {} waiting in their queues", station.pods, station.busy, station.queued));
    }
    head
}

pub(super) fn told(run: &Run<'_>, name: &str) -> Told {
    let mut told = endpoint_moves(run.endpoints.get(name).map_or(&[][..], Vec::as_slice));
    flows(run, name).for_each(|flow| told.extend(losses(flow)));
    for ((service, policy, flow), (since, attempts)) in &run.denied {
        if *service == name {
            told.push((*since, format!("{}: {} attempts from now on", denied_by(policy, flow), magnitude(*attempts))));
        }
    }
    for fault in &run.faults {
        let targets = match fault.targets {
            [] => String::new(),
            [only] => format!(" on {only}"),
            several => format!(" on {} and {} more", several[0], several.len() - 1),
        };
        told.push((fault.began, format!("fault {} ({}) strikes{targets}", fault.name, fault.action)));
        told.extend(fault.ended.map(|when| (when, format!("fault {} over", fault.name))));
    }
    told
}

/// Who denied what.
pub(crate) fn denied_by(policies: &str, flow: &str) -> String {
    let kind = if policies.contains(", ") { "NetworkPolicies" } else { "NetworkPolicy" };
    format!("{flow} denied by {kind} {policies}")
}

fn flows<'r, 't>(run: &'r Run<'t>, name: &str) -> impl Iterator<Item = &'r Flow<'t>> {
    run.flows.values().filter(move |flow| flow.service == name)
}

fn who(flow: &Flow<'_>) -> String {
    if flow.external { format!("users ({})", flow.name) } else { format!("calls {}", flow.name) }
}

fn last_window(window: &Window<'_>) -> String {
    let counts = &window.counts;
    let per_second = counts.arrived as f64 / window.length.as_secs_f64().max(f64::MIN_POSITIVE);
    let p99 =
        window.latency.quantile(0.99).map_or_else(String::new, |nanos| format!(", p99 {}", crate::metrics::seconds(nanos as f64 / 1e9)));
    let lost = lost(counts);
    let lost = if lost == 0 { "none lost".to_owned() } else { format!("{} lost", share(lost, finished(counts))) };
    format!("{per_second:.0} requests/s, {lost}{p99}, in the window to {}", clock(window.end))
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.1}%", part as f64 * 100.0 / whole.max(1) as f64)
}

/// Endpoints coming and going, moves of one direction told as one.
fn endpoint_moves(history: &[(SimTime, u32, u32)]) -> Told {
    let mut told: Told = Vec::new();
    let Some((first, ready, total)) = history.first() else { return told };
    told.push((*first, format!("{ready} of {total} endpoints ready")));
    let mut at = 1;
    while at < history.len() {
        let (began, before) = (history[at].0, history[at - 1].1);
        let direction = history[at].1.cmp(&before);
        let mut last = at;
        let goes_on = |from: usize, to: usize| {
            let (old, new) = (history[from], history[to]);
            new.1.cmp(&old.1) == direction && new.0.since(old.0) <= SAME_MOVE && old.1 != 0
        };
        while last + 1 < history.len() && goes_on(last, last + 1) {
            last += 1;
        }
        let (until, ready, total) = history[last];
        let lasted = if until > began { format!(" (until {})", clock(until)) } else { String::new() };
        let text = match (before, ready) {
            (same, now) if same == now => String::new(), // Only unready ones came or went.
            (_, 0) => format!("no endpoint is ready any more, of {total}{lasted}"),
            (0, now) => format!("endpoints again: {now} of {total} ready{lasted}"),
            (before, now) => format!("ready endpoints {before} → {now}{lasted}"),
        };
        if !text.is_empty() {
            told.push((began, text));
        }
        at = last + 1;
    }
    told
}

/// Episodes in which requests were lost. Two good windows in a row end one.
fn losses(flow: &Flow<'_>) -> Told {
    const GOOD_WINDOWS: usize = 2;
    let mut told: Told = Vec::new();
    let mut at = 0;
    while at < flow.windows.len() {
        if lost(&flow.windows[at].counts) == 0 {
            at += 1;
            continue;
        }
        let (first, mut last, mut good) = (at, at, 0);
        while at < flow.windows.len() && good < GOOD_WINDOWS {
            if lost(&flow.windows[at].counts) > 0 {
                (last, good) = (at, 0);
            } else {
                good += 1;
            }
            at += 1;
        }
        told.push((flow.windows[first].start(), episode(flow, &flow.windows[first..=last])));
    }
    told
}

fn episode(flow: &Flow<'_>, windows: &[Window<'_>]) -> String {
    let sum = |of: fn(&trace::TrafficCounts) -> u64| windows.iter().map(|window| of(&window.counts)).sum::<u64>();
    let (all, bad) = (sum(finished), sum(lost));
    let mut ways = [
        (sum(|counts| counts.timed_out), "timed out"),
        (sum(|counts| counts.failed), "failed"),
        (sum(|counts| counts.refused), "found nobody"),
        (sum(|counts| counts.shed), "found full queues"),
    ];
    ways.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let ways: Vec<String> =
        ways.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", magnitude(*count))).collect();
    let until = windows.last().map_or(SimTime::ZERO, |window| window.end);
    let (bad_text, all_text) = (magnitude(bad), magnitude(all));
    format!("{} lost {bad_text} of {all_text} requests ({}) until {}: {}", who(flow), share(bad, all), clock(until), ways.join(", "))
}
