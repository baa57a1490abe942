//! A recorded cluster, looked at as kubectl would, at any time; and the story of one object in plain English.
//!
//! Invariants: reconstructed from records alone; columns are kubectl's, in its order.
//!
//! Not here, because no record says it: a pod's ip, an autoscaler's limits, container readiness (READY counts all
//! containers of a ready pod and none of an unready one).

mod get;
mod pools;
mod service;
mod why;

use std::fmt;

pub use get::{Columns, KINDS, get};
pub(crate) use service::denied_by;
pub use why::{Decisions, decisions, filters_said, why};
pub(crate) use why::{clock, reasons, reasons_of};

/// Why there is nothing to show. All are the user's to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InspectError {
    /// No such kind.
    UnknownKind {
        /// As given.
        found: String,
        /// What there is.
        known: &'static [&'static str],
    },
    /// Not `kind/name`.
    NoKind {
        /// As given.
        found: String,
    },
    /// No object of that name lives in this run.
    UnknownName {
        /// Kind.
        kind: &'static str,
        /// As given.
        found: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// The name is found in several namespaces.
    Ambiguous {
        /// As given.
        found: String,
        /// All that match.
        candidates: Vec<String>,
    },
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind { found, known } => match near(found, known.iter().copied()) {
                Some(nearest) => write!(f, "there is no kind `{found}` here; did you mean `{nearest}`?"),
                None => write!(f, "there is no kind `{found}` here; known are {}", known.join(", ")),
            },
            Self::NoKind { found } => write!(f, "`{found}` names no kind; write it as `pod/{found}`, `node/{found}` or `service/{found}`"),
            Self::UnknownName { kind, found, nearest } => {
                write!(f, "no {kind} `{found}` in this run")?;
                nearest.as_ref().map_or(Ok(()), |nearest| write!(f, "; did you mean `{nearest}`?"))
            }
            Self::Ambiguous { found, candidates } => write!(f, "`{found}` names several: {}", candidates.join(", ")),
        }
    }
}

impl std::error::Error for InspectError {}

/// The one name among `names` that `wanted` means: in full, or without its namespace.
fn resolve<'n>(kind: &'static str, wanted: &str, names: impl Iterator<Item = &'n str>) -> Result<&'n str, InspectError> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    if let Some(exact) = names.iter().find(|name| **name == wanted) {
        return Ok(exact);
    }
    let matching: Vec<&str> = names.iter().copied().filter(|name| crate::metrics::name_matches(wanted, name)).collect();
    match matching[..] {
        [only] => Ok(only),
        [] => {
            let nearest = near(wanted, names.into_iter()).map(str::to_owned);
            Err(InspectError::UnknownName { kind, found: wanted.to_owned(), nearest })
        }
        _ => {
            Err(InspectError::Ambiguous { found: wanted.to_owned(), candidates: matching.iter().map(|name| (*name).to_owned()).collect() })
        }
    }
}

/// The name that was meant, perhaps: one that goes on where it ends (a workload's pods), else one that is written alike.
fn near<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let bare = |name: &str| name.rsplit_once('/').map_or(name, |(_, bare)| bare).to_owned();
    let names: Vec<&str> = names.collect();
    let begins = format!("{}-", bare(wanted));
    if let Some(longer) = names.iter().filter(|name| bare(name).starts_with(&begins)).min() {
        return Some(longer);
    }
    let nearest = names.into_iter().map(|name| (distance(&bare(wanted), &bare(name)), name)).min();
    nearest.filter(|(distance, name)| *distance <= 1 + bare(name).len() / 3).map(|(_, name)| name)
}

/// How many letters have to change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Run;
    use crate::testing::{black_friday, node_failure};
    use api::{Explanation, Objection, Remedy, SimDuration, SimTime, TurnedDown};

    fn asked(trace: &trace::Trace, object: &str, seconds: u64) -> String {
        let options = crate::render::ExplanationOptions::default();
        why(&Run::new(trace), object, SimTime::from_secs(seconds), options).unwrap_or_else(|error| format!("error: {error}\n"))
    }

    fn listed(trace: &trace::Trace, kind: &str, seconds: u64, wide: bool) -> String {
        let (kind, name) = kind.split_once(' ').map_or((kind, None), |(kind, name)| (kind, Some(name)));
        let columns = Columns { wide, namespace: false };
        get(&Run::new(trace), kind, name, None, SimTime::from_secs(seconds), columns)
            .map_or_else(|error| error.to_string(), |table| table.to_string())
    }

    #[test]
    fn stories_are_told_in_plain_english() {
        let failure = node_failure(1);
        let friday = black_friday(1);
        let stories = [
            asked(&failure, "pod/api-5d4f-00002", 700),
            asked(&failure, "node/general-002", 700),
            asked(&failure, "deployment/api", 1000),
            asked(&friday, "pod/checkout-7f9c-0040", 400),
            asked(&failure, "service/api", 700),
            asked(&friday, "svc/checkout", 1000),
            asked(&failure, "pod/api-5d4f-00099", 700),
            asked(&failure, "pot/api", 700),
            asked(&failure, "quota/api", 700),
            asked(&failure, "api", 700),
            asked(&failure, "service/apy", 700),
        ];
        insta::assert_snapshot!(stories.join("\n"));
    }

    /// The trace with a decision explained, as a run that was asked would have recorded it.
    fn explained(mut trace: trace::Trace, pod: &str, seconds: u64, attempt: u32) -> trace::Trace {
        let no = |plugin: &str, reason: &str, remedy: Remedy| Objection {
            plugin: plugin.into(),
            code: "Unschedulable".into(),
            reasons: vec![reason.into()],
            remedies: vec![remedy],
        };
        let short = |free: i64| Remedy::short(format!("{}m cpu short: asks 1, {free}m of 16 free", 1000 - free), 1000 - free, 1000);
        let full =
            |node: &str, free| TurnedDown { node: node.into(), objections: vec![no("NodeResourcesFit", "Insufficient cpu", short(free))] };
        let explanation = Explanation {
            nodes: 3,
            evaluated_nodes: 3,
            message: "0/3 nodes are available: 3 Insufficient cpu.".into(),
            turned_down: vec![full("general-002", 890), full("general-001", 400), full("general-000", 0)],
            ..Explanation::default()
        };
        let at = SimTime::from_secs(seconds);
        let place = trace.records.partition_point(|(time, _)| *time <= at);
        let explanation = Box::new(explanation);
        trace.records.insert(place, (at, trace::Record::Explanation { pod: pod.into(), attempt, explanation }));
        trace
    }

    #[test]
    fn a_decision_that_was_explained_is_told_in_place_of_its_message() {
        let friday = explained(black_friday(1), "shop/checkout-7f9c-0040", 395, 3);
        let run = Run::new(&friday);
        let pending = decisions(&run, "pod/checkout-7f9c-0040", SimTime::from_secs(400));
        let wanted = |attempts: &[u32], until| {
            let (pod, from) = ("shop/checkout-7f9c-0040".into(), SimTime::from_secs(375) + SimDuration::from_millis(20));
            Ok(Some(Decisions { pod, attempts: attempts.to_vec(), from, until: SimTime::from_secs(until) }))
        };
        assert_eq!(pending, wanted(&[3], 400));
        assert_eq!(decisions(&run, "pod/checkout-7f9c-0040", SimTime::from_secs(1000)), wanted(&[10, 1], 1000));
        assert_eq!(decisions(&run, "node/general-001", SimTime::from_secs(400)), Ok(None));
        insta::assert_snapshot!(asked(&friday, "pod/checkout-7f9c-0040", 400));
    }

    #[test]
    fn tables_are_those_of_kubectl() {
        let failure = node_failure(1);
        let friday = black_friday(1);
        let tables = [
            listed(&failure, "pods", 950, true),
            listed(&failure, "nodes", 700, false),
            listed(&failure, "nodes", 700, true),
            listed(&failure, "deploy", 700, false),
            listed(&failure, "svc", 700, false),
            listed(&failure, "events", 950, false),
            listed(&friday, "hpa", 400, true),
            listed(&failure, "pods api-5d4f-00002", 950, false),
            listed(&failure, "events api-5d4f-00002", 950, false),
            listed(&failure, "nodes general-00x", 950, false),
            listed(&friday, "gizmos", 400, true),
            listed(&friday, "pots", 400, true),
        ];
        insta::assert_snapshot!(tables.join("\n"));
    }
}
