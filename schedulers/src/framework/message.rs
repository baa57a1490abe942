//! The text of a failed attempt: `0/5 nodes are available: 3 Insufficient cpu, 2 Too many pods.`
//!
//! Upstream: framework/types.go (FitError).

use std::fmt::Write as _;

use port::{Reason, Status};

/// How many nodes gave each reason.
#[derive(Default)]
pub(crate) struct Histogram {
    counts: Vec<(Reason, usize)>,
}

impl Histogram {
    /// Counts the reasons of `status` for `nodes` nodes.
    pub(crate) fn add(&mut self, status: &Status, nodes: usize) {
        if nodes == 0 {
            return;
        }
        for reason in status.reasons() {
            match self.counts.iter_mut().find(|(known, _)| same(known, reason)) {
                Some((_, count)) => *count += nodes,
                None => self.counts.push((reason.clone(), nodes)),
            }
        }
    }

    /// The text for a cluster of `nodes` nodes. Parts are sorted as strings, count first, as upstream does.
    pub(crate) fn message(&self, nodes: usize) -> String {
        let mut parts: Vec<String> = self.counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        let mut text = format!("0/{nodes} nodes are available:");
        if !parts.is_empty() {
            let _ = write!(text, " {}.", parts.join(", "));
        }
        text
    }
}

/// The same text; thousands of nodes give the very same constant.
fn same(a: &Reason, b: &Reason) -> bool {
    let (a, b) = (a.as_str(), b.as_str());
    std::ptr::eq(a, b) || a == b
}
