//! Every request is accounted for: the law of [`trace::TrafficCounts`], checked window by window.

use std::collections::BTreeMap;

use trace::{Record, Trace};

use crate::fold::finished;

/// Checks `previous in_flight + in_backoff + arrived = finished + in_flight + in_backoff` for every window of
/// every flow, and that attempts hold their retries.
///
/// # Errors
/// The first window that breaks the law, in words.
pub fn conservation(trace: &Trace) -> Result<(), String> {
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    for (at, record) in &trace.records {
        let Record::Traffic { flow, counts, .. } = record else { continue };
        let before = open.get(&**flow).copied().unwrap_or(0);
        let after = counts.in_flight + counts.in_backoff;
        if before + counts.arrived != finished(counts) + after {
            return Err(format!(
                "flow {flow}, window ending at {at}: {before} open + {} arrived is not {} finished + {after} open",
                counts.arrived,
                finished(counts)
            ));
        }
        if counts.retries > counts.attempts {
            return Err(format!("flow {flow}, window ending at {at}: {} retries among {} attempts", counts.retries, counts.attempts));
        }
        open.insert(flow, after);
    }
    Ok(())
}
