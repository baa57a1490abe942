//! Node × time: how full each node is.
//!
//! Invariants: nodes are in order of pool, zone, name; more than [`ROWS`] are binned with their neighbours (the mean
//! is shown); percentages are whole, -1 where there is no node.

use serde::Serialize;

use super::chart::bins;
use crate::fold::{NodeLife, Run, Usage};
use crate::series::{Range, Steps};

const ROWS: usize = 200;
const COLUMNS: usize = 200;

/// The matrix, row by row.
#[derive(Serialize)]
pub(super) struct Heat {
    /// Name of each row.
    pub rows: Vec<String>,
    /// Nodes in the picture.
    pub nodes: usize,
    pub columns: usize,
    /// Per cent of allocatable cpu.
    pub requested: Vec<i16>,
    pub used: Vec<i16>,
    /// Pods.
    pub pods: Vec<i16>,
}

impl Heat {
    pub(super) fn new(run: &Run<'_>) -> Option<Self> {
        let mut nodes: Vec<&NodeLife<'_>> = run.nodes.iter().filter(|node| !node.usage.is_empty()).collect();
        if nodes.is_empty() {
            return None;
        }
        nodes.sort_by_key(|node| (node.pool, node.zone, node.name, node.added));
        let count = nodes.len();
        let rows = count.min(ROWS);
        let mut heat = Self { rows: Vec::new(), nodes: count, columns: COLUMNS, requested: Vec::new(), used: Vec::new(), pods: Vec::new() };
        let columns = bins(run.end, COLUMNS);
        for row in 0..rows {
            let group = &nodes[row * count / rows..(row + 1) * count / rows];
            heat.rows.push(name(group));
            let cpu =
                |of: fn(&Usage) -> i64| row_of(group, &columns, |node, usage| of(usage) as f64 * 100.0 / node.cpu_millis.max(1) as f64);
            heat.requested.extend(cpu(|usage| usage.cpu_requested_millis));
            heat.used.extend(cpu(|usage| usage.cpu_used_millis));
            heat.pods.extend(row_of(group, &columns, |_, usage| f64::from(usage.pods)));
        }
        Some(heat)
    }
}

fn name(group: &[&NodeLife<'_>]) -> String {
    let place = |node: &NodeLife<'_>| {
        [node.pool, node.zone].iter().filter(|part| !part.is_empty()).map(|part| format!(" · {part}")).collect::<String>()
    };
    match group {
        [only] => format!("{}{}", only.name, place(only)),
        [first, .., last] => format!("{} … {} ({} nodes)", first.name, last.name, group.len()),
        [] => String::new(),
    }
}

/// One number per column: the mean over the group's nodes that are there, of each one's mean over time.
fn row_of(group: &[&NodeLife<'_>], columns: &[Range], of: impl Fn(&NodeLife<'_>, &Usage) -> f64) -> Vec<i16> {
    let lines: Vec<(&NodeLife<'_>, Steps)> = group
        .iter()
        .map(|node| {
            let mut steps = Steps::default();
            node.usage.iter().for_each(|(at, usage)| steps.set(*at, of(node, usage)));
            (*node, steps)
        })
        .collect();
    let cell = |bin: &Range| {
        let there = lines.iter().filter_map(|(node, steps)| {
            let inside = Range { from: bin.from.max(node.added), to: node.removed.map_or(bin.to, |removed| bin.to.min(removed)) };
            if inside.to <= inside.from { None } else { steps.stat("mean", inside) }
        });
        let values: Vec<f64> = there.collect();
        if values.is_empty() { -1 } else { (values.iter().sum::<f64>() / values.len() as f64 + 0.5) as i16 }
    };
    columns.iter().map(cell).collect()
}
