//! Where the decisions of two policies part, in words and in a table of scores.

use super::{Table, TextOptions};
use crate::compare::{Choice, Comparison, DecisionDiff, FirstDecision, PluginPart, Standing, lead};
use crate::inspect::clock;

/// Workloads named before the rest is only counted.
const WORKLOADS: usize = 5;

/// A section for every policy that was compared with the reference.
pub(super) fn decisions(comparison: &Comparison, options: &TextOptions<'_>) -> Vec<String> {
    comparison.decisions.iter().flat_map(|diff| section(diff, &comparison.reference, options)).collect()
}

fn section(diff: &DecisionDiff, reference: &str, options: &TextOptions<'_>) -> Vec<String> {
    let (subject, seed) = (&diff.subject, diff.seed);
    let heading = options.heading("FIRST DECISION THAT DIFFERS");
    let mut lines = Vec::new();
    match &diff.first {
        Some(first) => {
            lines.push(format!("{heading}  {subject} against {reference}, seed {seed}"));
            lines.extend(told(first, reference, subject).iter().map(|line| format!("  {line}")));
        }
        None => lines.push(format!("{heading}  {subject} against {reference}, seed {seed}: none on any pod that both have")),
    }
    lines.extend(moved(diff, reference).iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines
}

fn told(first: &FirstDecision, reference: &str, subject: &str) -> Vec<String> {
    let mut lines = vec![sentence(first, reference, subject)];
    lines.extend(scores(first, reference, subject).into_iter().flat_map(|table| table.lines("", 3)));
    lines.extend(reasons(first, reference, subject));
    lines
}

/// Which pod goes where.
pub(super) fn sentence(first: &FirstDecision, reference: &str, subject: &str) -> String {
    let (one, other) = (&first.reference, &first.subject);
    let name = if one.pod == other.pod { one.pod.to_string() } else { format!("{} ({} under {subject})", one.pod, other.pod) };
    let of = if one.workload.is_empty() { String::new() } else { format!(" of {}", one.workload) };
    let went = |node: &Option<api::Str>| node.as_ref().map_or_else(|| "nowhere".to_owned(), |node| format!("to {node}"));
    let when = |choice: &Choice| if one.at == other.at { String::new() } else { format!(" at {}", clock(choice.at)) };
    let at = if one.at == other.at { format!(" at {}", clock(one.at)) } else { String::new() };
    format!(
        "pod {name}{of} goes {} under {reference}{} and {} under {subject}{}{at}",
        went(&one.node),
        when(one),
        went(&other.node),
        when(other)
    )
}

/// A row per plugin: what it counts for both nodes, as either policy scores.
pub(super) fn scores(first: &FirstDecision, reference: &str, subject: &str) -> Option<Table> {
    if first.plugins.is_empty() {
        return None;
    }
    let headings: Vec<String> =
        [reference, subject].iter().flat_map(|policy| first.nodes.iter().map(move |node| format!("{policy}: {node}"))).collect();
    let mut table = Table::new(&["SCORED BY"]);
    table.columns.extend(headings);
    let cell = |score: &Option<i64>| score.map_or_else(|| "-".to_owned(), |score| score.to_string());
    let counts = |part: &&PluginPart| part.reference.iter().chain(&part.subject).any(|score| score.is_some_and(|score| score != 0));
    for part in first.plugins.iter().filter(counts) {
        let mark = if first.tipped_by.as_ref() == Some(&part.plugin) { " *" } else { "" };
        let cells = part.reference.iter().chain(&part.subject).map(cell);
        table.push(std::iter::once(format!("{}{mark}", part.plugin)).chain(cells).collect());
    }
    let total = |standing: &Standing| match standing {
        Standing::Scored { total } => total.to_string(),
        Standing::TurnedDown { .. } => "would not do".to_owned(),
        Standing::NotLookedAt => "not looked at".to_owned(),
        Standing::Unknown => "unknown".to_owned(),
    };
    let totals = first.reference_standings.iter().chain(&first.subject_standings).map(total);
    table.push(std::iter::once("total".to_owned()).chain(totals).collect());
    Some(table)
}

/// What tipped it, in a sentence or two.
pub(super) fn reasons(first: &FirstDecision, reference: &str, subject: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (policy, standings) in [(reference, &first.reference_standings), (subject, &first.subject_standings)] {
        for (node, standing) in first.nodes.iter().zip(standings) {
            match standing {
                Standing::TurnedDown { plugin, reason } => lines.push(format!("{node} would not do under {policy}: {plugin}: {reason}")),
                Standing::NotLookedAt => lines.push(format!("{node} was not there or not looked at under {policy}")),
                Standing::Unknown => lines.push(format!("{policy} does not say why")),
                Standing::Scored { .. } => {}
            }
        }
    }
    lines.dedup();
    if let Some(tipped) = &first.tipped_by
        && let Some(part) = first.plugins.iter().find(|part| part.plugin == *tipped)
        && let [one, other, ..] = &first.nodes[..]
    {
        let says = |policy: &str, scores: &[Option<i64>]| match lead(scores) {
            0 => format!("as much for either under {policy}"),
            ahead if ahead > 0 => format!("{ahead} more for {one} under {policy}"),
            behind => format!("{} more for {other} under {policy}", -behind),
        };
        lines.push(format!("* tipped by {tipped}: {}, {}", says(reference, &part.reference), says(subject, &part.subject)));
    } else if lines.is_empty() && first.nodes.len() == 2 {
        lines.push(if is_tie(&first.reference_standings) || is_tie(&first.subject_standings) {
            "both nodes are worth the same to one of them: the tie is settled by lot".to_owned()
        } else {
            "no plugin's scores moved from one to the other: what was there to choose from differs".to_owned()
        });
    }
    lines
}

fn is_tie(standings: &[Standing]) -> bool {
    matches!(standings, [Standing::Scored { total: one }, Standing::Scored { total: other }] if one == other)
}

/// How many pods of each workload went elsewhere.
pub(super) fn moved(diff: &DecisionDiff, reference: &str) -> Vec<String> {
    let mut moved: Vec<_> = diff.moved.iter().filter(|moved| moved.is_any()).collect();
    moved.sort_by_key(|moved| (std::cmp::Reverse(moved.elsewhere), &moved.workload));
    let mut lines: Vec<String> = Vec::new();
    for moved in moved.iter().take(WORKLOADS) {
        let mut parts = vec![format!("{} of {} pods elsewhere", moved.elsewhere, moved.pods)];
        for (count, policy) in [(moved.only_one, reference), (moved.only_other, &*diff.subject)] {
            parts.extend((count > 0).then(|| format!("{count} only under {policy}")));
        }
        lines.push(format!("{}: {}", moved.workload, parts.join(", ")));
    }
    if moved.len() > WORKLOADS {
        lines.push(format!("and {} more workloads", moved.len() - WORKLOADS));
    }
    lines
}
