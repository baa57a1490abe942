//! The page of a search: the answer, every seed's own, and how each expectation went at the values that were tried.
//!
//! The values tried are drawn as those of a sweep. A value that only some seeds were asked about has those seeds only,
//! which is said.

use std::fmt::Write as _;

use super::encode::escape;
use super::shell::{self, Top, bottom, close, columns, command, open, scrolled, top};
use super::sweep::Page;
use crate::render::search::{sentence, table};
use crate::search::{Place, Search, Way};
use crate::sweep::Sweep;

/// The page about `search`, with the values that were `tried`. `reproduce` is the command that makes it again.
#[must_use]
pub fn search_page(search: &Search, tried: &Sweep, reproduce: &str) -> String {
    let mut html = String::new();
    head(&mut html, search);
    seeds(&mut html, search);
    let page = Page::of(tried);
    page.pictures(&mut html);
    page.points(&mut html);
    open(&mut html, "appendix", "Appendix", "");
    html.push_str("<h3>How to make this again</h3>\n");
    command(&mut html, reproduce);
    close(&mut html);
    bottom(&mut html, "Made by wavetank from the measures of every run.");
    shell::document(&format!("{}: search", search.scenario), "", &html, "", &[])
}

fn head(html: &mut String, search: &Search) {
    let asked = &search.searched;
    let parameter = asked.parameter.strip_prefix("spec.").unwrap_or(&asked.parameter);
    let found = search.seeds.iter().filter(|seed| seed.place == Place::Edge).count();
    let class = if found == search.seeds.len() {
        "pass"
    } else if found > 0 {
        "warn"
    } else {
        "none"
    };
    let answer = sentence(search);
    // The answer itself in large letters, what qualifies it behind.
    let (short, rest) = answer.split_once(" (").map_or((&*answer, ""), |(short, rest)| (short, rest.trim_end_matches(')')));
    let strip = format!("<div class=\"verdict {class}\"><strong>{}</strong> <span>{}</span></div>", escape(short), escape(rest));
    let facts = [
        ("Range", escape(&format!("{}..{}", asked.low, asked.high))),
        ("Looked for", if search.direction == Way::UntilFails { "the last that holds" } else { "the first that holds" }.to_owned()),
        ("To within", escape(&format!("{}{}", asked.tolerance, asked.unit))),
        ("Seeds", search.seeds.len().to_string()),
        ("Runs", search.seeds.iter().map(|seed| seed.tried).sum::<usize>().to_string()),
        ("Policy", escape(&search.policy)),
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let what = search.expectations.join(", ");
    let lead = match search.direction {
        Way::UntilFails => format!("How far {parameter} can go while this holds: {what}. Bisected for every seed."),
        Way::UntilHolds => format!("From which {parameter} on this holds: {what}. Bisected for every seed."),
    };
    let sections = [("seeds", "Seeds"), ("expectations", "Expectations"), ("points", "Values tried"), ("appendix", "Appendix")];
    top(html, &Top { title: &search.scenario, lead: &lead, strip_html: &strip, facts_html: &facts, sections: &sections });
}

fn seeds(html: &mut String, search: &Search) {
    open(
        html,
        "seeds",
        "Seeds",
        "Every seed has an answer of its own: the last value from the side that holds, and its neighbour that fails.",
    );
    for warning in &search.warnings {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(warning));
    }
    let rows = table(search);
    scrolled(html, "Seeds", "", |html| {
        columns(html, &rows.columns.iter().map(String::as_str).collect::<Vec<_>>());
        html.push_str("<tbody>\n");
        for row in &rows.rows {
            let cells: String = row.iter().map(|cell| format!("<td class=\"num\">{}</td>", escape(cell))).collect();
            let _ = writeln!(html, "<tr>{cells}</tr>");
        }
        html.push_str("</tbody>");
    });
    close(html);
}
