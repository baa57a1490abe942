//! Node pools: how many nodes each has and carries, and the story of what the cluster autoscaler did with one.
//!
//! A pool is known by the nodes that bear its name and by what the cluster autoscaler said of it.

use std::collections::BTreeSet;

use api::SimTime;

use super::get::last_at;
use super::why::{Told, clock, named, ordered, said_of, several, tell};
use super::{Columns, resolve};
use crate::fold::{NodeLife, Run};
use crate::inspect::InspectError;
use crate::metrics::seconds;
use crate::render::Table;

/// The names of all pools of a run.
fn names<'t>(run: &Run<'t>) -> BTreeSet<&'t str> {
    let of_nodes = run.nodes.iter().map(|node| node.pool);
    let of_orders = run.pool_changes.iter().map(|change| change.pool);
    let refused = run.not_triggered.iter().flat_map(|no| no.pools.keys().map(|pool| &**pool));
    of_nodes.chain(of_orders).chain(refused).filter(|name| !name.is_empty()).collect()
}

/// What a pool is at an instant.
struct Pool<'r, 't> {
    nodes: Vec<&'r NodeLife<'t>>,
    ready: usize,
    /// How many nodes it is meant to have, by the last change of that.
    target: u32,
}

impl<'r, 't> Pool<'r, 't> {
    fn at(run: &'r Run<'t>, name: &str, at: SimTime) -> Self {
        let there = |node: &&NodeLife<'_>| node.pool == name && node.added <= at && node.removed.is_none_or(|removed| at < removed);
        let nodes: Vec<&NodeLife<'_>> = run.nodes.iter().filter(there).collect();
        let is_ready = |node: &&&NodeLife<'_>| last_at(&node.ready, at, |(time, ..)| *time).is_some_and(|(_, status, _)| status == "True");
        let ready = nodes.iter().filter(is_ready).count();
        let changed = run.pool_changes.iter().rfind(|change| change.pool == name && change.at <= at);
        let target = changed.map_or(u32::try_from(nodes.len()).unwrap_or(u32::MAX), |change| change.to);
        Self { nodes, ready, target }
    }

    /// Summed over its nodes: (cpu requested, cpu used, cpu there, memory requested, memory there).
    fn load(&self, at: SimTime) -> [i64; 5] {
        self.nodes.iter().fold([0; 5], |sum, node| {
            let usage = last_at(&node.usage, at, |(time, _)| *time).map(|(_, usage)| usage).unwrap_or_default();
            let own = [usage.cpu_requested_millis, usage.cpu_used_millis, node.cpu_millis, usage.memory_requested_bytes, node.memory_bytes];
            std::array::from_fn(|index| sum[index] + own[index])
        })
    }
}

fn percent(part: i64, whole: i64) -> String {
    if whole == 0 { "<none>".to_owned() } else { format!("{}%", part * 100 / whole) }
}

/// `get nodepools`.
pub(super) fn table(run: &Run<'_>, at: SimTime, shown: Columns) -> Table {
    let columns = ["NAME", "READY", "NODES", "TARGET", "CPU-REQUESTED", "CPU-USED", "MEMORY-REQUESTED", "PRICE-PER-HOUR"];
    let mut table = Table::new(if shown.wide { &columns } else { &columns[..5] });
    for name in names(run) {
        let pool = Pool::at(run, name, at);
        let [requested, used, cpu, memory_requested, memory] = pool.load(at);
        let mut row = vec![name.to_owned(), pool.ready.to_string(), pool.nodes.len().to_string(), pool.target.to_string()];
        row.push(percent(requested, cpu));
        if shown.wide {
            row.extend([percent(used, cpu), percent(memory_requested, memory)]);
            let price: f64 = pool.nodes.iter().map(|node| node.price_per_hour).sum();
            row.push(format!("{price:.2}"));
        }
        table.push(row);
    }
    table
}

/// The story of a pool: when it grew and for whom, when it shrank and why, and when it could not grow.
pub(super) fn story(run: &Run<'_>, wanted: &str, at: SimTime) -> Result<Vec<String>, InspectError> {
    let name = resolve("nodepool", wanted, names(run).into_iter())?;
    let pool = Pool::at(run, name, at);
    let mut head = vec![format!("node pool {name}")];
    let coming = pool.target.saturating_sub(u32::try_from(pool.nodes.len()).unwrap_or(u32::MAX));
    let coming = if coming > 0 { format!(", {coming} on their way") } else { String::new() };
    let [requested, used, cpu, memory_requested, memory] = pool.load(at);
    let load = match cpu {
        0 => String::new(),
        _ => format!(
            ": cpu {} requested, {} used; memory {} requested",
            percent(requested, cpu),
            percent(used, cpu),
            percent(memory_requested, memory)
        ),
    };
    head.push(format!("{} at {}, {} ready{coming}{load}", several(pool.nodes.len(), "node"), clock(at), pool.ready));
    let left_alone = run.backoffs.iter().rfind(|(when, of, until)| *of == name && *when <= at && *until > at);
    head.extend(
        left_alone.map(|(.., until)| format!("left alone by the cluster autoscaler until {}, as it failed to grow", clock(*until))),
    );

    let mut told: Told = Vec::new();
    for change in run.pool_changes.iter().filter(|change| change.pool == name) {
        told.push((change.at, if change.to > change.from { grown(run, name, change) } else { shrunk(change) }));
    }
    for (when, _, until) in run.backoffs.iter().filter(|(_, of, _)| *of == name) {
        told.push((*when, format!("failed to grow: left alone until {}", clock(*until))));
    }
    for no in &run.not_triggered {
        if let Some(why) = no.pools.get(name) {
            let pods: Vec<&str> = no.pods.iter().map(|pod| &**pod).collect();
            told.push((no.at, format!("would not help {}: {why} ({})", several(pods.len(), "pod"), named(&pods))));
        }
    }
    for node in run.nodes.iter().filter(|node| node.pool == name) {
        let ordered = run.pool_changes.iter().any(|change| change.to > change.from && change.nodes.iter().any(|new| **new == *node.name));
        let gone = run.pool_changes.iter().any(|change| change.to < change.from && change.nodes.iter().any(|old| **old == *node.name));
        if let Some(removed) = node.removed.filter(|_| !gone) {
            told.push((removed, format!("node {} removed", node.name)));
        }
        if !ordered && node.added > SimTime::ZERO {
            told.push((node.added, format!("node {} joined", node.name)));
        }
    }
    let object = format!("NodePool/{name}");
    told.extend(said_of(run.events.iter().filter(|event| event.object == object && event.kind == "Warning")));
    Ok(tell(head, told, at))
}

/// Nodes ordered, for whom, and how long the last of them took to join.
fn grown(run: &Run<'_>, name: &str, change: &crate::fold::PoolChange<'_>) -> String {
    let joined = change.nodes.iter().filter_map(|new| {
        let node = run.nodes.iter().find(|node| node.pool == name && node.name == &**new && node.added >= change.at)?;
        Some(node.added.since(change.at))
    });
    let joined: Vec<_> = joined.collect();
    let took = match (joined.len(), joined.iter().max()) {
        (count, Some(longest)) if count == change.nodes.len() => format!("; there after {}", seconds(longest.as_secs_f64())),
        (count, Some(longest)) => format!("; {count} of {} there after {}", change.nodes.len(), seconds(longest.as_secs_f64())),
        (_, None) if change.nodes.is_empty() => String::new(),
        (_, None) => "; none of them joined in this run".to_owned(),
    };
    ordered(run, change).replacen(&format!("pool {name} "), "", 1) + &took
}

fn shrunk(change: &crate::fold::PoolChange<'_>) -> String {
    format!("given back: {} → {}, {}", change.from, change.to, change.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{get, why};
    use crate::testing::Builder;
    use api::SimDuration;
    use trace::{Record, Trace};

    /// A pool of two that orders two more, is refused a fifth, and gives one back.
    fn pool() -> Trace {
        let mut builder = Builder::new("pools", 1, 1000);
        let change = |from, to, nodes: &[&str], reason: &str| Record::NodePool {
            pool: "general".into(),
            from,
            to,
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            reason: reason.into(),
        };
        builder.node(0.0, 0);
        builder.node(0.0, 1);
        builder.at(100.0, change(2, 4, &["general-002", "general-003"], "2 pods"));
        builder.node(160.0, 2);
        builder.node(190.0, 3);
        let until = SimTime::ZERO + SimDuration::from_secs(600);
        builder.at(300.0, Record::NodePoolBackoff { pool: "general".into(), until });
        builder.at(800.0, change(4, 3, &["general-003"], "unneeded since 200.0s"));
        builder.at(805.0, Record::NodeRemoved { node: "general-003".into() });
        builder.build()
    }

    #[test]
    fn a_pool_tells_when_it_grew_how_long_that_took_and_when_it_could_not() {
        let trace = pool();
        let run = Run::new(&trace);
        let story = |seconds| why(&run, "pool/general", SimTime::from_secs(seconds), crate::render::ExplanationOptions::default());
        insta::assert_snapshot!([150, 400, 1000].map(|seconds| story(seconds).unwrap_or_default()).join("\n"));
    }

    #[test]
    fn nodes_that_are_ordered_and_not_there_yet_are_the_difference_of_target_and_nodes() {
        let trace = pool();
        let run = Run::new(&trace);
        let columns = Columns { wide: true, namespace: false };
        for (seconds, counts) in [(50, ["2", "2", "2"]), (150, ["2", "2", "4"]), (170, ["3", "3", "4"]), (900, ["3", "3", "3"])] {
            let table = get(&run, "nodepools", None, None, SimTime::from_secs(seconds), columns).unwrap_or_default();
            assert_eq!(table.rows[0][1..4], counts, "{seconds}");
        }
    }
}
