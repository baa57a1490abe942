//! A scheduling decision in words and tables: who chose the node, or what keeps the pod from every one of them.
//!
//! Invariants: readable in 100 columns; as long for 5,000 nodes as for 50, unless everything is asked for.

use std::collections::BTreeMap;

use api::{Explanation, Objection, Room, ScoredNode, TurnedDown};

use super::Table;

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExplanationOptions {
    /// Every node, instead of the first few.
    pub all: bool,
    /// Leave out the scheduler's own text, which the reader has seen.
    pub without_message: bool,
}

const WIDTH: usize = 100;
/// Columns of the table of scores, rows of the lists.
const BEST: usize = 5;
const NEAREST: usize = 5;
const GROUPS: usize = 10;

/// The decision, after a line of the caller's that says which pod it is about. Every line begins with two spaces.
#[must_use]
pub fn explanation(explanation: &Explanation, options: ExplanationOptions) -> Vec<String> {
    let mut lines = Vec::new();
    for held in &explanation.pod_objections {
        lines.extend(wrapped("  ", &format!("whatever the node: {}", reasons(held)), "    "));
    }
    if !explanation.message.is_empty() && !options.without_message {
        lines.extend(wrapped("  ", &explanation.message, "    "));
    }
    if !explanation.scored.is_empty() {
        lines.extend(scores(explanation, options));
    }
    if !explanation.turned_down.is_empty() {
        lines.extend(groups(explanation, options));
    }
    if explanation.chosen.is_none() {
        lines.extend(nearest(&explanation.turned_down, options));
        lines.extend(otherwise(explanation));
    }
    lines
}

/// The decision in one line.
#[must_use]
pub fn conclusion(explanation: &Explanation) -> String {
    let Some(chosen) = &explanation.chosen else {
        return match explanation.rooms.first() {
            Some(room) => format!("no node yet; preemption makes room on {}", room.node),
            None if explanation.pod_objections.is_empty() => "no node".to_owned(),
            None => format!("held back by {}", explanation.pod_objections[0].plugin),
        };
    };
    let total = explanation.scored.iter().find(|node| node.node == *chosen).map_or(0, |node| node.total);
    let ties = explanation.scored.iter().filter(|node| node.total == total).count();
    match explanation.scored.len() {
        _ if explanation.via_nominated_node => format!("{chosen}, nominated by preemption before"),
        0 | 1 => format!("{chosen}, the only node that would do"),
        all if ties > 1 => format!("{chosen}, score {total}, one of {ties} equally good among {all} nodes that would do"),
        all => format!("{chosen}, score {total}, best of {all} nodes that would do"),
    }
}

/// `text` in lines of at most [`WIDTH`], the first after `first`, the others after `rest`.
fn wrapped(first: &str, text: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// Why a plugin turned a node down, on one line.
pub(crate) fn reasons(objection: &Objection) -> String {
    objection.reasons.iter().map(|reason| &**reason).collect::<Vec<_>>().join(", ")
}

/// Nodes that would do, the chosen one first among equals.
fn candidates(explanation: &Explanation) -> Vec<&ScoredNode> {
    let mut nodes: Vec<&ScoredNode> = explanation.scored.iter().collect();
    nodes.sort_by_key(|node| (-node.total, Some(&node.node) != explanation.chosen.as_ref()));
    nodes
}

/// What every plugin gave: a row per plugin and a column per node; with everything, a line per node.
fn scores(explanation: &Explanation, options: ExplanationOptions) -> Vec<String> {
    let nodes = candidates(explanation);
    if options.all && nodes.len() > BEST {
        return score_list(&nodes);
    }
    let plugins: Vec<String> = nodes[0].scores.iter().map(|score| format!("{} ×{}", score.plugin, score.weight)).collect();
    let first = plugins.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("SCORED BY".len());
    let cell = |node: &ScoredNode, at: usize| {
        node.scores.get(at).map_or_else(String::new, |score| match score.raw {
            raw if raw == score.normalized => score.weighted().to_string(),
            raw => format!("{} (raw {raw})", score.weighted()),
        })
    };
    let width = |node: &ScoredNode| {
        let cells = (0..plugins.len()).map(|at| cell(node, at).chars().count());
        cells.max().unwrap_or(0).max(node.node.chars().count()) + 3
    };
    let mut used = 2 + first;
    let fits = |node: &&&ScoredNode| {
        used += width(node);
        used <= WIDTH
    };
    let shown = nodes.iter().take(BEST).take_while(fits).count().max(1);
    let names: Vec<&str> = nodes[..shown].iter().map(|node| &*node.node).collect();
    let mut table = Table::new(&[&["SCORED BY"], &names[..]].concat());
    for (at, plugin) in plugins.into_iter().enumerate() {
        table.push(std::iter::once(plugin).chain(nodes[..shown].iter().map(|node| cell(node, at))).collect());
    }
    table.push(std::iter::once("total".to_owned()).chain(nodes[..shown].iter().map(|node| node.total.to_string())).collect());
    let mut lines = table.lines("  ", 3);
    if nodes.len() > shown {
        let worst = nodes[nodes.len() - 1];
        lines.push(format!("  and {}, down to {} with {}", more(nodes.len() - shown, "node"), worst.node, worst.total));
    }
    lines
}

fn score_list(nodes: &[&ScoredNode]) -> Vec<String> {
    let mut table = Table::new(&["NODE", "TOTAL", "SCORED BY"]);
    for node in nodes {
        let given = node.scores.iter().filter(|score| score.weighted() != 0);
        let parts: Vec<String> = given.map(|score| format!("{} {}", score.plugin, score.weighted())).collect();
        table.push(vec![node.node.to_string(), node.total.to_string(), parts.join(", ")]);
    }
    table.lines("  ", 3)
}

/// Nodes turned down, counted by who turned them down and why.
fn groups(explanation: &Explanation, options: ExplanationOptions) -> Vec<String> {
    let mut groups: Vec<(&str, String, Vec<&str>)> = Vec::new();
    for node in &explanation.turned_down {
        let Some(first) = node.objections.first() else { continue };
        let reason = reasons(first);
        match groups.iter_mut().find(|(plugin, text, _)| *plugin == &*first.plugin && *text == reason) {
            Some((.., nodes)) => nodes.push(&node.node),
            None => groups.push((&first.plugin, reason, vec![&node.node])),
        }
    }
    groups.sort_by_key(|(plugin, reason, nodes)| (std::cmp::Reverse(nodes.len()), *plugin, reason.clone()));
    let mut table = Table::new(&["TURNED DOWN BY", "NODES", "REASON"]);
    let shown = if options.all { groups.len() } else { GROUPS };
    for (plugin, reason, nodes) in groups.iter().take(shown) {
        table.push(vec![(*plugin).to_owned(), nodes.len().to_string(), reason.clone()]);
    }
    let mut lines: Vec<String> = Vec::new();
    for line in table.lines("  ", 3) {
        lines.extend(wrapped_cell(line));
    }
    if groups.len() > shown {
        lines.push(format!("  and {} (--all)", more(groups.len() - shown, "reason")));
    }
    let looked_at = explanation.scored.len() + explanation.turned_down.len();
    let all = explanation.nodes as usize;
    if looked_at < all && explanation.chosen.is_some() {
        lines.push(format!("  {} of {all} nodes were not looked at: enough had been found", all - looked_at));
    }
    lines
}

fn more(count: usize, what: &str) -> String {
    if count == 1 { format!("1 more {what}") } else { format!("{count} more {what}s") }
}

/// A line of a table cut at [`WIDTH`], so that it goes on under its last column.
fn wrapped_cell(line: String) -> Vec<String> {
    if line.chars().count() <= WIDTH {
        return vec![line];
    }
    let Some(at) = line.rfind("   ") else { return vec![line] };
    let (front, cell) = line.split_at(at + 3);
    wrapped(front, cell, &" ".repeat(front.chars().count()))
}

/// The nodes in whose way the least stands, and what that is. Nodes with the very same in their way share a line.
fn nearest(nodes: &[TurnedDown], options: ExplanationOptions) -> Vec<String> {
    let mut told: Vec<(Vec<&str>, String)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        let text = missing(node);
        match places.get(&text).filter(|_| !options.all) {
            Some(place) => told[*place].0.push(&node.node),
            None => {
                places.insert(text.clone(), told.len());
                told.push((vec![&node.node], text));
            }
        }
    }
    told.truncate(if options.all { nodes.len() } else { NEAREST });
    let name = |names: &[&str]| match names {
        [first, _, _, ..] => format!("{first} and {} more", names.len() - 1),
        few => few.join(", "),
    };
    let Some(width) = told.iter().map(|(names, _)| name(names).chars().count()).max() else { return Vec::new() };
    let mut lines = vec![if nodes.len() == 1 { "  nearest fit" } else { "  nearest fits" }.to_owned()];
    for (names, text) in &told {
        let front = format!("    {:width$}   ", name(names));
        lines.extend(wrapped(&front, text, &" ".repeat(front.chars().count())));
    }
    let shown: usize = told.iter().map(|(names, _)| names.len()).sum();
    if nodes.len() > shown {
        lines.push(format!("    and {} (--all)", more(nodes.len() - shown, "node")));
    }
    lines
}

/// Everything in the way of a node.
fn missing(node: &TurnedDown) -> String {
    let mut parts: Vec<String> = node.remedies().iter().map(|remedy| remedy.text.to_string()).collect();
    let silent = node.objections.iter().filter(|objection| objection.remedies.is_empty());
    parts.extend(silent.map(|objection| format!("{}: {}", objection.plugin, reasons(objection))));
    parts.join("; ")
}

/// Whose going would make room, now or were the pod more important.
fn otherwise(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(room) = explanation.rooms.first() {
        let others = match explanation.rooms.len() - 1 {
            0 => String::new(),
            1 => "; 1 other node would do".to_owned(),
            more => format!("; {more} other nodes would do"),
        };
        lines.extend(wrapped("  ", &format!("preempting {} would make room{others}", going(room)), "    "));
    }
    if let Some(instead) = &explanation.hypothetical {
        let policy = if instead.never_preempts { " without preemptionPolicy Never" } else { "" };
        let priority = instead.priority_above.map_or_else(String::new, |above| format!(" at a priority above {above}"));
        lines.extend(wrapped("  ", &format!("would fit{policy}{priority}, by preempting {}", going(&instead.room)), "    "));
    }
    lines
}

fn going(room: &Room) -> String {
    const NAMED: usize = 4;
    let named: Vec<&str> = room.victims.iter().take(NAMED).map(|victim| &**victim).collect();
    let more = match room.victims.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let budgets = match room.pdb_violations {
        0 => String::new(),
        1 => " (one against its PodDisruptionBudget)".to_owned(),
        against => format!(" ({against} against their PodDisruptionBudgets)"),
    };
    format!("{}{more} on {}{budgets}", named.join(", "), room.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Hypothetical, PluginScore, Remedy};

    fn no(plugin: &str, reason: &str, remedies: Vec<Remedy>) -> Objection {
        Objection { plugin: plugin.into(), code: "Unschedulable".into(), reasons: vec![reason.into()], remedies }
    }

    fn scored(node: &str, fit: i64, taints: i64) -> ScoredNode {
        let score = |plugin: &str, raw, normalized, weight| PluginScore { plugin: plugin.into(), raw, normalized, weight };
        let scores = vec![score("TaintToleration", taints, 100 - 50 * taints, 3), score("NodeResourcesFit", fit, fit, 1)];
        ScoredNode { node: node.into(), total: scores.iter().map(PluginScore::weighted).sum(), scores }
    }

    fn cpu(short: i64) -> Remedy {
        Remedy::short(format!("{short}m cpu short: asks 1, {}m of 4 free", 1000 - short), short, 1000)
    }

    fn placed(nodes: usize) -> Explanation {
        let scored: Vec<ScoredNode> = (0..nodes).map(|at| scored(&format!("node-{at:04}"), 90 - (at as i64 / 2).min(90), 0)).collect();
        Explanation {
            nodes: nodes as u32 + 2,
            evaluated_nodes: nodes as u32 + 1,
            chosen: Some("node-0001".into()),
            scored,
            turned_down: vec![TurnedDown {
                node: "gpu-1".into(),
                objections: vec![no("TaintToleration", "node(s) had untolerated taint(s)", vec![])],
            }],
            ..Explanation::default()
        }
    }

    fn pending(nodes: usize) -> Explanation {
        let full = |at: usize| TurnedDown {
            node: format!("node-{at:04}").into(),
            objections: vec![no("NodeResourcesFit", "Insufficient cpu", vec![cpu(100 + at as i64)])],
        };
        let far = TurnedDown {
            node: "gpu-1".into(),
            objections: vec![
                no("TaintToleration", "node(s) had untolerated taint(s)", vec![Remedy::new("tolerate dedicated=gpu:NoSchedule")]),
                no("NodeResourcesFit", "Insufficient cpu", vec![cpu(500)]),
                no("Mine", "the moon is not full", vec![]),
            ],
        };
        Explanation {
            nodes: nodes as u32 + 1,
            message: format!("0/{} nodes are available: 1 node(s) had untolerated taint(s), {nodes} Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.", nodes + 1).into(),
            turned_down: (0..nodes).map(full).chain([far]).collect(),
            hypothetical: Some(Hypothetical {
                priority_above: Some(100),
                never_preempts: false,
                room: Room { node: "node-0003".into(), victims: (0..6).map(|at| format!("batch/report-{at}").into()).collect(), pdb_violations: 1 },
            }),
            ..Explanation::default()
        }
    }

    #[test]
    fn decisions_read_well_whatever_the_size_of_the_cluster() {
        let mut text = String::new();
        let all = ExplanationOptions { all: true, ..Default::default() };
        for (what, case, options) in [
            ("small", placed(3), ExplanationOptions::default()),
            ("large", placed(4000), ExplanationOptions::default()),
            ("all of it", placed(7), all),
            ("small", pending(2), ExplanationOptions::default()),
            ("large", pending(4000), ExplanationOptions::default()),
            ("all of it", pending(7), all),
        ] {
            text += &format!("{what}: {}\n{}\n\n", conclusion(&case), explanation(&case, options).join("\n"));
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn preemption_and_gates_are_told() {
        let room = |node: &str| Room { node: node.into(), victims: vec!["ns/low-1".into(), "ns/low-2".into()], pdb_violations: 0 };
        let preempting = Explanation { rooms: vec![room("node-2"), room("node-1")], ..pending(1) };
        let gated = Explanation {
            pod_objections: vec![no("SchedulingGates", "waiting for scheduling gates: [quota]", vec![])],
            ..Default::default()
        };
        let text = [preempting, gated]
            .map(|case| format!("{}\n{}", conclusion(&case), explanation(&case, ExplanationOptions::default()).join("\n")));
        insta::assert_snapshot!(text.join("\n\n"));
    }
}
