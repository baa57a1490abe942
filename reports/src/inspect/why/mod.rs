//! `why`: what happened to one object and who did it, from the records: scheduler, autoscalers, controllers, kubelet.
//!
//! Every story has a head (what is so at the instant asked about, and what keeps it from being otherwise), what happened
//! up to then, and shortly what came later.
//!
//! Invariant: only what a record says. Where a record names a reason, that is the reason told; where none does, none is.

mod autoscaler;
mod node;
mod pod;
mod workload;

use std::collections::BTreeMap;

use api::{SimTime, Str};

use super::{InspectError, pools, resolve, service};
use crate::fold::{Event, PodLife, Run};
use crate::render::ExplanationOptions;
pub(super) use node::ordered;
use workload::workload_story;

/// Kinds that have a story.
const KINDS: [&str; 10] =
    ["pod", "node", "service", "deployment", "statefulset", "daemonset", "replicaset", "job", "horizontalpodautoscaler", "nodepool"];

/// The story of `pod/NAME`, `node/NAME`, `nodepool/NAME`, `service/NAME`, `hpa/NAME` or a workload (deployment, statefulset, daemonset,
/// replicaset, job), up to `at`, and shortly what came later. The namespace may be left out where the name is found
/// once.
///
/// # Errors
/// When the kind is another one, or nothing bears the name.
pub fn why(run: &Run<'_>, object: &str, at: SimTime, options: ExplanationOptions) -> Result<String, InspectError> {
    let (kind, name) = split_kind(object)?;
    let lines = match kind.to_ascii_lowercase().as_str() {
        "pod" | "pods" | "po" => {
            let name = resolve("pod", name, run.pods.iter().map(|pod| pod.name))?;
            life_at(run, name, at).map_or_else(Vec::new, |pod| pod::story(run, pod, at, options))
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
            life.map_or_else(Vec::new, |node| node::story(run, node, at))
        }
        "deployment" | "deployments" | "deploy" => workload_story(run, "Deployment", "deployment", name, at)?,
        "statefulset" | "statefulsets" | "sts" => workload_story(run, "StatefulSet", "statefulset", name, at)?,
        "daemonset" | "daemonsets" | "ds" => workload_story(run, "DaemonSet", "daemonset", name, at)?,
        "replicaset" | "replicasets" | "rs" => workload_story(run, "ReplicaSet", "replicaset", name, at)?,
        "horizontalpodautoscaler" | "horizontalpodautoscalers" | "hpa" => {
            let name = resolve("horizontalpodautoscaler", name, run.autoscales.iter().map(|look| look.hpa))?;
            autoscaler::story(run, name, at)
        }
        "nodepool" | "nodepools" | "pool" => pools::story(run, name, at)?,
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
pub(super) fn tell(head: Vec<String>, mut told: Told, at: SimTime) -> Vec<String> {
    told.sort_by_key(|(time, _)| *time);
    let mut lines = head;
    let line = |(time, text): &(SimTime, String)| format!("{:>9}  {text}", clock(*time));
    let later = told.partition_point(|(time, _)| *time <= at);
    lines.extend(collapsed(&told[..later]).iter().map(line));
    let later = collapsed(&told[later..]);
    if !later.is_empty() {
        let shown = 8;
        lines.push(format!("after {}:", clock(at)));
        lines.extend(later.iter().take(shown).map(line));
        if later.len() > shown {
            lines.push(format!("{:>9}  … and {} more", "", later.len() - shown));
        }
    }
    lines
}

/// `1 pod`, `3 pods`.
pub(super) fn several(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Names of which the first few are told.
pub(super) fn named(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    match names.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

/// Events as a story tells them. Names that a controller made up for pods it could not create are left out.
pub(super) fn said_of<'r>(events: impl Iterator<Item = &'r Event<'r>>) -> Told {
    let text = |event: &Event<'_>| {
        let bare = event.object.rsplit('/').next().unwrap_or_default();
        let begins = format!("\"{bare}-");
        let message = match event.message.split_once(&begins).and_then(|(front, rest)| Some((front, rest.split_once('"')?.1))) {
            Some((front, rest)) => format!("{front}{begins}…\"{rest}"),
            None => event.message.to_owned(),
        };
        format!("{}: {}: {message}", event.source, event.reason)
    };
    events.map(|event| (event.at, text(event))).collect()
}

/// What is so again and again (three times or more) is told once: when first, how often and until when. Restarts are
/// counted in words of their own, so they make no difference here.
fn collapsed(told: &[(SimTime, String)]) -> Told {
    const AGAIN: usize = 3;
    let key = |text: &str| text.rsplit_once(", restart ").map_or(text, |(front, _)| front).to_owned();
    let mut times: BTreeMap<String, (usize, SimTime)> = BTreeMap::new();
    for (at, text) in told {
        let entry = times.entry(key(text)).or_insert((0, *at));
        *entry = (entry.0 + 1, *at);
    }
    let mut shown: Told = Vec::new();
    for (at, text) in told {
        let key = key(text);
        match times.get(&key).copied() {
            Some((count, last)) if count >= AGAIN => {
                shown.push((*at, format!("{key} ({count} times, until {})", clock(last))));
                times.insert(key, (0, last));
            }
            Some((0, _)) => {}
            _ => shown.push((*at, text.clone())),
        }
    }
    shown
}

/// Seconds with a tenth, as far as minutes are still easy to count; then `1h02m03s`.
pub(crate) fn clock(time: SimTime) -> String {
    let tenths = time.as_nanos() / 100_000_000;
    if tenths < 36_000 { format!("{}.{}s", tenths / 10, tenths % 10) } else { time.to_string() }
}

/// The scheduler's message in parts: its count of nodes, then one reason each, then what preemption said.
fn parts(message: &str) -> Vec<String> {
    let preemption = message.split_once(" preemption: ").map(|(_, rest)| rest);
    let main = filters_said(message);
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
