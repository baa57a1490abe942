//! What all pages have in common: document, security policy, header, navigation, sections.
//!
//! Invariants: the content security policy names every script by its digest and lets nothing be fetched.
//! Arguments called `…_html` are inserted as they are; all others are escaped here.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::encode::{base64, escape};

const STYLE: &str = include_str!("../../../assets/page.css");
/// Theme, and the count of what went wrong: on every page.
const SHELL: &str = include_str!("../../../assets/shell.js");

/// A page's size has this limit (10 MB): beyond it a browser has no joy any more.
pub const PAGE_LIMIT_BYTES: usize = 10_000_000;

/// A whole page around `body`. `data_html` is the element that the scripts read.
pub(super) fn document(title: &str, style: &str, body: &str, data_html: &str, scripts: &[&str]) -> String {
    let scripts: Vec<&str> = [SHELL].iter().chain(scripts).copied().collect();
    let digests: Vec<String> = scripts.iter().map(|script| format!("'sha256-{}'", base64(&Sha256::digest(script.as_bytes())))).collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
        digests.join(" ")
    );
    let title = escape(title);
    let mut html = String::with_capacity(body.len() + data_html.len() + 200_000);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · wavetank</title>\n<style>{style}\n{STYLE}</style>\n</head>\n\
         <body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n{body}{data_html}"
    );
    scripts.iter().for_each(|script| {
        let _ = writeln!(html, "<script>{script}</script>");
    });
    html.push_str("</body>\n</html>\n");
    html
}

/// What stands above the sections.
pub(super) struct Top<'a> {
    pub title: &'a str,
    pub lead: &'a str,
    /// The verdict.
    pub strip_html: &'a str,
    /// Terms and what they are.
    pub facts_html: &'a [(&'a str, String)],
    /// Id and title of each section.
    pub sections: &'a [(&'a str, &'a str)],
}

/// Brand, title, verdict, facts, navigation. `main` is open after it.
pub(super) fn top(html: &mut String, top: &Top<'_>) {
    let lead = if top.lead.is_empty() { String::new() } else { format!("<p class=\"lead\">{}</p>\n", escape(top.lead)) };
    let _ = write!(
        html,
        "<header class=\"top\">\n<div class=\"brand\"><svg viewBox=\"0 0 32 16\" width=\"32\" height=\"16\" aria-hidden=\"true\">\
         <path d=\"M1 11c4 0 4-7 8-7s4 7 8 7 4-7 8-7 3 3 6 5\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.4\" stroke-linecap=\"round\"/></svg>\
         wavetank</div>\n<button type=\"button\" id=\"theme\" class=\"js-only\" aria-label=\"Theme: change between light and dark\">◐ <span>Theme</span></button>\n\
         <h1>{}</h1>\n{lead}{}\n<dl class=\"facts\">",
        escape(top.title),
        top.strip_html,
    );
    for (term, value) in top.facts_html {
        let _ = write!(html, "<div><dt>{term}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl>\n</header>\n<nav aria-label=\"Sections\"><div>");
    for (id, title) in top.sections {
        let _ = write!(html, "<a href=\"#{id}\">{title}</a>");
    }
    html.push_str("</div><p id=\"brush\" class=\"js-only\" aria-live=\"polite\" hidden></p></nav>\n<main id=\"main\">\n");
}

/// Ends what [`top`] began.
pub(super) fn bottom(html: &mut String, credits: &str) {
    let _ = writeln!(html, "</main>\n<footer>{}</footer>", escape(credits));
}

pub(super) fn open(html: &mut String, id: &str, title: &str, lead: &str) {
    let lead = if lead.is_empty() { String::new() } else { format!("<p class=\"lead\">{}</p>\n", escape(lead)) };
    let _ = write!(html, "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{lead}");
}

pub(super) fn close(html: &mut String) {
    html.push_str("</section>\n");
}

/// A table that scrolls by itself, also by keyboard.
pub(super) fn scrolled(html: &mut String, label: &str, class: &str, table: impl FnOnce(&mut String)) {
    let _ = write!(html, "<div class=\"scroll {class}\" tabindex=\"0\" role=\"group\" aria-label=\"{}\"><table>", escape(label));
    table(html);
    html.push_str("</table></div>\n");
}

/// Column heads; a column without a name has none.
pub(super) fn columns(html: &mut String, names: &[&str]) {
    html.push_str("<thead><tr>");
    for name in names {
        let _ = if name.is_empty() { write!(html, "<td></td>") } else { write!(html, "<th scope=\"col\">{}</th>", escape(name)) };
    }
    html.push_str("</tr></thead>\n");
}

/// A command to be copied.
pub(super) fn command(html: &mut String, text: &str) {
    let _ = writeln!(html, "<pre tabindex=\"0\"><code>{}</code></pre>", escape(text));
}
