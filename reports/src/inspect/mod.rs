//! A recorded cluster, looked at as kubectl would, at any time; and the story of one object in plain English.
//!
//! Invariants: reconstructed from records alone; columns are kubectl's, in its order.
//!
//! Not here, because no record says it: a pod's ip, an autoscaler's limits, container readiness (READY counts all
//! containers of a ready pod and none of an unready one).

mod get;
mod why;

use std::fmt;

pub use get::{KINDS, get};
pub use why::why;
pub(crate) use why::{reasons, reasons_of};

/// Why there is nothing to show. All are the user's to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InspectError {
    /// No such kind.
    UnknownKind {
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
            Self::UnknownKind { found } => write!(f, "there is no kind `{found}` here; known are {}", KINDS.join(", ")),
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
            let bare = |name: &str| name.rsplit_once('/').map_or(name, |(_, bare)| bare).to_owned();
            let nearest = names.iter().map(|name| (distance(&bare(wanted), &bare(name)), *name)).min();
            let near_enough = nearest.filter(|(distance, name)| *distance <= 2 + name.len() / 3);
            Err(InspectError::UnknownName { kind, found: wanted.to_owned(), nearest: near_enough.map(|(_, name)| name.to_owned()) })
        }
        _ => {
            Err(InspectError::Ambiguous { found: wanted.to_owned(), candidates: matching.iter().map(|name| (*name).to_owned()).collect() })
        }
    }
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
    use api::SimTime;

    fn asked(trace: &trace::Trace, object: &str, seconds: u64) -> String {
        why(&Run::new(trace), object, SimTime::from_secs(seconds)).unwrap_or_else(|error| format!("error: {error}\n"))
    }

    fn listed(trace: &trace::Trace, kind: &str, seconds: u64, wide: bool) -> String {
        get(&Run::new(trace), kind, SimTime::from_secs(seconds), wide).map_or_else(|error| error.to_string(), |table| table.to_string())
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
            asked(&failure, "pod/api-5d4f-00099", 700),
            asked(&failure, "pot/api", 700),
        ];
        insta::assert_snapshot!(stories.join("\n"));
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
            listed(&friday, "gizmos", 400, true),
        ];
        insta::assert_snapshot!(tables.join("\n"));
    }
}
