//! The section about where the decisions of policies part.

use std::fmt::Write as _;

use super::encode::escape;
use super::shell::{close, columns, open, scrolled};
use crate::compare::{Comparison, DecisionDiff};
use crate::render::decisions::{moved, reasons, scores, sentence};

pub(super) fn section(html: &mut String, comparison: &Comparison) {
    let Some(first) = comparison.decisions.first() else { return };
    let lead = format!(
        "The first decision about a pod that each policy makes otherwise than {}, in seed {}, with what every plugin counts for either node. A star: the plugin that tipped it.",
        comparison.reference, first.seed
    );
    open(html, "decisions", "First decision that differs", &lead);
    for diff in &comparison.decisions {
        of_policy(html, diff, &comparison.reference);
    }
    close(html);
}

fn of_policy(html: &mut String, diff: &DecisionDiff, reference: &str) {
    let subject = &diff.subject;
    let _ = writeln!(html, "<h3>{} against {}</h3>", escape(subject), escape(reference));
    match &diff.first {
        Some(first) => {
            let _ = writeln!(html, "<p>{}</p>", escape(&sentence(first, reference, subject)));
            if let Some(table) = scores(first, reference, subject) {
                scrolled(html, &format!("Scores of both nodes: {subject} against {reference}"), "", |html| {
                    let policies = table.columns.iter().skip(1).map(String::as_str);
                    columns(html, &std::iter::once("Scored by").chain(policies).collect::<Vec<_>>());
                    html.push_str("<tbody>\n");
                    for row in &table.rows {
                        let (plugin, cells) = row.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
                        let cells: String = cells.iter().map(|cell| format!("<td class=\"num\">{}</td>", escape(cell))).collect();
                        let _ = writeln!(html, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(plugin));
                    }
                    html.push_str("</tbody>\n");
                });
            }
            for line in reasons(first, reference, subject) {
                let _ = writeln!(html, "<p>{}</p>", escape(&line));
            }
        }
        None => html.push_str("<p>None on any pod that both have.</p>\n"),
    }
    for line in moved(diff, reference) {
        let _ = writeln!(html, "<p class=\"quiet\">{}</p>", escape(&line));
    }
}
