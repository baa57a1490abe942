//! The comparison page: what differs between policies, by how much, and how sure that is.
//!
//! Invariants: there is no score over metrics. Every picture is SVG or plain boxes and needs no script; behind each is
//! a table. In the pictures of differences right is better, whichever way the metric's number goes.
//!
//! Not here: the statistics (`compare`).

use std::fmt::Write as _;

use super::decisions;
use super::encode::escape;
use super::plot::{self, Axis, LOOKS, Plot};
use super::shell::{self, Top, bottom, close, columns, command, open, scrolled, top};
use crate::compare::{Cell, Comparison, Finding, LEVEL, Row, Sample};
use crate::metrics::{Better, Unit, metric};
use crate::render::comparison::{mean_text, signed};
use crate::render::text::seeds_text;

/// Seeds that a picture draws of each policy, unless there are so many pictures that the page would be too large.
const MOST_POINTS: usize = 300;
/// Markers of all pictures together.
const ALL_POINTS: usize = 9000;
/// Seeds in a table.
const MOST_ROWS: usize = 60;

/// The page about `comparison`. `reproduce` is the command that makes it again.
#[must_use]
pub fn comparison_page(comparison: &Comparison, reproduce: &str) -> String {
    let names = names(comparison);
    let points = (ALL_POINTS / (comparison.rows.len() * names.len()).max(1)).clamp(20, MOST_POINTS);
    let page = Page { comparison, names, points };
    let mut html = String::new();
    page.top(&mut html);
    page.findings(&mut html);
    page.differences(&mut html);
    decisions::section(&mut html, comparison);
    let has_trade_offs = page.trade_offs(&mut html);
    page.distributions(&mut html);
    page.appendix(&mut html, reproduce, has_trade_offs);
    bottom(&mut html, "Made by wavetank from the measures of every run.");
    shell::document(&format!("{}: {}", comparison.scenario, page.names.join(", ")), "", &html, "", &[])
}

/// The reference, then the others.
fn names(comparison: &Comparison) -> Vec<&str> {
    let others = comparison.subjects.iter().map(|name| &**name).filter(|name| *name != &*comparison.reference);
    std::iter::once(&*comparison.reference).chain(others).collect()
}

struct Page<'a> {
    comparison: &'a Comparison,
    /// In the order of looks.
    names: Vec<&'a str>,
    /// Seeds that a picture draws of each policy.
    points: usize,
}

const fn finding_look(finding: Finding) -> (&'static str, &'static str) {
    match finding {
        Finding::Better => ("pass", "✓"),
        Finding::Worse => ("fail", "✗"),
        Finding::Different => ("warn", "≠"),
        Finding::NoDifference | Finding::Identical => ("same", "="),
        Finding::Unclear => ("none", "?"),
    }
}

fn badge(finding: Finding) -> String {
    let (class, sign) = finding_look(finding);
    format!("<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span>", finding.as_str())
}

const fn goal(better: Better) -> &'static str {
    match better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
        Better::Neither => "neither way is better",
    }
}

/// The reference and the others, in the order of looks.
fn samples(row: &Row) -> impl Iterator<Item = &Sample> {
    std::iter::once(&row.reference).chain(row.cells.iter().map(|cell| &cell.sample))
}

fn title(row: &Row) -> String {
    // A long name may break where a reader would take a breath.
    format!("<code>{}</code>", escape(&row.title()).replace('(', "(<wbr>").replace('=', "=<wbr>").replace(").", ")<wbr>."))
}

fn difference_text(row: &Row, cell: &Cell) -> String {
    if cell.finding == Finding::Identical {
        return "the same in every seed".to_owned();
    }
    let never = match cell.sample.never {
        0 => String::new(),
        count => format!("{count} of {} never", cell.sample.values.len()),
    };
    let number = match (cell.difference, cell.interval) {
        (Some(difference), Some(interval)) => format!(
            "<b>{}</b> [{}, {}]",
            signed(row.unit, difference, "−"),
            signed(row.unit, interval.low, "−"),
            signed(row.unit, interval.high, "−")
        ),
        (Some(difference), None) => format!("<b>{}</b>", signed(row.unit, difference, "−")),
        (None, _) if never.is_empty() => "no data".to_owned(),
        (None, _) => String::new(),
    };
    let gap = if number.is_empty() || never.is_empty() { "" } else { "; " };
    format!("{number}{gap}{never}")
}

impl Page<'_> {
    fn is_flat(row: &Row) -> bool {
        row.cells.iter().all(|cell| cell.finding == Finding::Identical)
    }

    fn top(&self, html: &mut String) {
        let comparison = self.comparison;
        let mut strip = String::from("<div class=\"sides\">");
        for name in &self.names[1..] {
            side(&mut strip, comparison, name);
        }
        strip.push_str("</div>");
        let questions = comparison.rows.iter().map(|row| row.cells.len()).sum::<usize>();
        let facts = [
            ("Reference", escape(&comparison.reference)),
            ("Seeds", escape(&seeds_text(&comparison.seeds).replace(" runs)", " pairs)").replace("seeds ", ""))),
            ("Metrics", comparison.rows.len().to_string()),
            ("Questions", questions.to_string()),
            ("Chance of any false finding", format!("{:.0}%", comparison.alpha * 100.0)),
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let lead = format!(
            "{} under {}: the same arrivals, failures and service times for each, seed by seed.",
            comparison.scenario,
            listed(&self.names)
        );
        let sections = [
            ("findings", "Findings"),
            ("differences", "Differences"),
            ("decisions", "First decision"),
            ("tradeoffs", "Trade-offs"),
            ("distributions", "Distributions"),
            ("appendix", "Appendix"),
        ];
        let is_there = |id: &str| match id {
            "tradeoffs" => !self.planes().is_empty(),
            "decisions" => !comparison.decisions.is_empty(),
            _ => true,
        };
        let sections: Vec<(&str, &str)> = sections.into_iter().filter(|(id, _)| is_there(id)).collect();
        top(html, &Top { title: &comparison.scenario, lead: &lead, strip_html: &strip, facts_html: &facts, sections: &sections });
        for warning in &comparison.warnings {
            let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(warning));
        }
    }

    /// Metric × policy: better, worse, or neither.
    fn findings(&self, html: &mut String) {
        let lead = format!(
            "Each policy against {}. A star: no other policy beats it in this metric. There is no score over metrics: which of them matter is yours to say.",
            self.comparison.reference
        );
        open(html, "findings", "Findings", &lead);
        scrolled(html, "Findings by metric and policy", "findings", |html| {
            let mut heads = vec!["Metric"];
            heads.extend(&self.names);
            columns(html, &heads);
            html.push_str("<tbody>\n");
            for row in &self.comparison.rows {
                let star = |name: &str| match row.winners.iter().any(|winner| &**winner == name) && row.winners.len() < self.names.len() {
                    true => " <span class=\"star\" title=\"no other policy beats it here\" role=\"img\" aria-label=\"unbeaten\">★</span>",
                    false => "",
                };
                let _ = write!(
                    html,
                    "<tr><th scope=\"row\">{}<br><span class=\"quiet\">{}</span></th><td class=\"num\">{}{}</td>",
                    title(row),
                    goal(row.better),
                    escape(&mean_text(row.unit, &row.reference)),
                    star(&row.reference.subject)
                );
                for cell in &row.cells {
                    let _ = write!(
                        html,
                        "<td class=\"found\"><span class=\"num\">{}</span> {}{}</td>",
                        escape(&mean_text(row.unit, &cell.sample)),
                        badge(cell.finding),
                        star(&cell.sample.subject)
                    );
                }
                html.push_str("</tr>\n");
            }
            html.push_str("</tbody><tfoot><tr><th scope=\"row\">better / neither / worse</th><td></td>");
            for name in &self.names[1..] {
                let (wins, ties, losses) = self.comparison.wins_ties_losses(name);
                let _ = write!(html, "<td class=\"num\">{wins} / {ties} / {losses}</td>");
            }
            html.push_str("</tr></tfoot>");
        });
        close(html);
    }

    /// The forest plot.
    fn differences(&self, html: &mut String) {
        let lead = format!(
            "Mean difference to {} within each seed, with its {:.0}% interval. Right of the line is better. Each metric has a scale of its own; the shaded band is its margin, within which a difference does not matter.",
            self.comparison.reference,
            LEVEL * 100.0
        );
        open(html, "differences", "Differences", &lead);
        let (told, flat): (Vec<&Row>, Vec<&Row>) = self.comparison.rows.iter().partition(|row| !Self::is_flat(row));
        if told.is_empty() {
            html.push_str("<p class=\"quiet\">All policies gave the same numbers in every metric and every seed.</p>\n");
            return close(html);
        }
        html.push_str("<figure class=\"chart forest\"><figcaption><b>Paired differences</b> <span>");
        let _ = writeln!(html, "← worse than {0} · better than {0} →</span></figcaption>", escape(&self.comparison.reference));
        for row in told {
            let _ = writeln!(
                html,
                "<div class=\"metric\"><h3>{}</h3> <span class=\"quiet\">{}; margin {}</span></div>",
                title(row),
                goal(row.better),
                escape(&margin_text(row))
            );
            let bound = bound(row);
            for (index, cell) in row.cells.iter().enumerate() {
                forest_row(html, row, cell, index + 1, bound);
            }
        }
        if !flat.is_empty() {
            let names: Vec<String> = flat.iter().map(|row| title(row)).collect();
            let _ = writeln!(html, "<p class=\"quiet\">Identical in every seed, and not drawn: {}.</p>", names.join(", "));
        }
        self.p_values(html);
        html.push_str("</figure>\n");
        close(html);
    }

    fn p_values(&self, html: &mut String) {
        html.push_str("<details><summary>Numbers</summary>");
        scrolled(html, "Numbers of all differences", "", |html| {
            columns(
                html,
                &["Metric", "Policy", "Pairs", "Difference [interval]", "p", "p after Holm", "Variance paired / unpaired", "Finding"],
            );
            html.push_str("<tbody>");
            for row in &self.comparison.rows {
                for cell in &row.cells {
                    let ratio = cell.variance_ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
                    let _ = writeln!(
                        html,
                        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{ratio}</td><td>{}</td></tr>",
                        escape(&row.title()),
                        escape(&cell.sample.subject),
                        cell.pairs,
                        difference_text(row, cell),
                        probability(cell.p),
                        probability(cell.adjusted_p),
                        cell.finding.as_str(),
                    );
                }
            }
            html.push_str("</tbody>");
        });
        html.push_str("</details>\n");
    }

    /// Cost against what it buys: recovery, latency, availability.
    fn planes(&self) -> Vec<(&Row, &Row)> {
        let rows = || self.comparison.rows.iter().filter(|row| !Self::is_flat(row));
        let find = |name: &str| rows().find(|row| &*row.metric == name);
        let Some(cost) = find("cost.total").or_else(|| find("nodes.hours")) else { return Vec::new() };
        let mut others: Vec<&Row> = rows().filter(|row| &*row.metric == "recovery.total").collect();
        others.extend(["latency.p99", "availability"].into_iter().filter_map(find));
        let drawable = |row: &&Row| samples(row).filter(|sample| sample.mean.is_some()).count() > 1;
        others.into_iter().filter(drawable).take(4).map(|row| (cost, row)).collect()
    }

    fn trade_offs(&self, html: &mut String) -> bool {
        let planes = self.planes();
        if planes.is_empty() {
            return false;
        }
        open(
            html,
            "tradeoffs",
            "Trade-offs",
            "What a policy costs, against what it buys. Large markers are means, small ones are seeds; the line joins the policies that no other beats in both.",
        );
        plot::key(html, &self.names);
        html.push_str("<div class=\"grid\">\n");
        for (cost, row) in planes {
            self.plane(html, cost, row);
        }
        html.push_str("</div>\n");
        close(html);
        true
    }

    fn plane(&self, html: &mut String, cost: &Row, row: &Row) {
        let pairs = |x: &Sample, y: &Sample| x.values.iter().zip(&y.values).filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect::<Vec<_>>();
        let clouds: Vec<Vec<(f64, f64)>> = samples(cost).zip(samples(row)).map(|(x, y)| pairs(x, y)).collect();
        let means: Vec<Option<(f64, f64)>> = samples(cost).zip(samples(row)).map(|(x, y)| Some((x.mean?, y.mean?))).collect();
        let all = || clouds.iter().flatten().chain(means.iter().flatten());
        let x = Axis::over(&format!("{} ({})", cost.title(), goal(cost.better)), cost.unit, all().map(|point| point.0));
        let y = Axis::over(goal(row.better), row.unit, all().map(|point| point.1));
        let front = front(&means, cost.better, row.better);
        let unbeaten: Vec<&str> = front.iter().map(|index| self.names[*index]).collect();
        let words = format!("{} against {}. No other policy beats {} in both.", cost.title(), row.title(), listed(&unbeaten));
        let mut plot = Plot::new(&words, x, y);
        for (look, cloud) in clouds.iter().enumerate() {
            for (seed, point) in self.comparison.seeds.iter().zip(cloud).take(self.points) {
                let words = format!("{}, seed {seed}: {} and {}", self.names[look], cost.unit.format(point.0), row.unit.format(point.1));
                plot.point(look, "faint", *point, 2.6, &words);
            }
        }
        let line: Vec<(f64, f64)> = front.iter().filter_map(|index| means[*index]).collect();
        plot.rule("front", &line);
        for (look, mean) in means.iter().enumerate() {
            let Some(mean) = mean else { continue };
            let words = format!("{}: {} and {}", self.names[look], cost.unit.format(mean.0), row.unit.format(mean.1));
            plot.point(look, "mean", *mean, 6.0, &words);
            plot.words(*mean, self.names[look]);
        }
        let _ = write!(
            html,
            "<figure class=\"chart\"><figcaption><b>{} × {}</b></figcaption>\n<p class=\"summary\">No other policy beats {} in both.</p>\n{}",
            escape(&cost.title()),
            title(row),
            escape(&listed(&unbeaten)),
            plot.finish()
        );
        details(html, "Means", &["Policy", &cost.title(), &row.title(), "Unbeaten in both"], |html| {
            for (index, (x, y)) in samples(cost).zip(samples(row)).enumerate() {
                let _ = write!(
                    html,
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(self.names[index]),
                    mean_text(cost.unit, x),
                    mean_text(row.unit, y),
                    if front.contains(&index) { "yes" } else { "" }
                );
            }
        });
        html.push_str("</figure>\n");
    }

    fn distributions(&self, html: &mut String) {
        let lead = format!(
            "Left: the share of seeds that stay at or below a value. Right: each seed under {} (across) and under the other policies (up); on the dashed line both are equal, and the tinted side is the better one.",
            self.comparison.reference
        );
        open(html, "distributions", "Distributions", &lead);
        plot::key(html, &self.names);
        for row in self.comparison.rows.iter().filter(|row| !Self::is_flat(row)) {
            self.distribution(html, row);
        }
        close(html);
    }

    fn distribution(&self, html: &mut String, row: &Row) {
        let _ = write!(
            html,
            "<figure class=\"chart\"><figcaption><b>{}</b> <span>{}</span></figcaption>\n<p class=\"summary\">{}</p>\n<div class=\"pair\">{}{}</div>\n",
            title(row),
            goal(row.better),
            escape(&self.seed_counts(row)),
            self.ecdf(row),
            self.scatter(row)
        );
        let seeds = self.comparison.seeds.len();
        let shown = seeds.min(MOST_ROWS);
        let label = if shown < seeds { format!("Seeds ({shown} of {seeds}; all are in metrics.csv)") } else { format!("Seeds ({seeds})") };
        let mut heads = vec!["Seed"];
        heads.extend(&self.names);
        details(html, &label, &heads, |html| {
            for (place, seed) in self.comparison.seeds.iter().enumerate().take(shown) {
                let _ = write!(html, "<tr><td>{seed}</td>");
                for sample in samples(row) {
                    let value = sample.values.get(place).copied().flatten();
                    let missing = if sample.never > 0 { "never" } else { "–" };
                    let _ = write!(html, "<td>{}</td>", value.map_or_else(|| missing.to_owned(), |value| row.unit.format(value)));
                }
                html.push_str("</tr>");
            }
        });
        html.push_str("</figure>\n");
    }

    /// In how many seeds each policy is ahead of the reference.
    fn seed_counts(&self, row: &Row) -> String {
        let of_cell = |cell: &Cell| {
            let (mut less, mut equal, mut more) = (0, 0, 0);
            for (value, other) in cell.sample.values.iter().zip(&row.reference.values) {
                if let (Some(value), Some(other)) = (value, other) {
                    less += usize::from(value < other);
                    equal += usize::from(value == other);
                    more += usize::from(value > other);
                }
            }
            let [ahead, behind] = match row.better {
                Better::Higher => [("better", more), ("worse", less)],
                Better::Lower => [("better", less), ("worse", more)],
                Better::Neither => [("more", more), ("less", less)],
            };
            let mut parts =
                vec![format!("{} in {}", ahead.0, ahead.1), format!("equal in {equal}"), format!("{} in {}", behind.0, behind.1)];
            if cell.sample.never > 0 {
                parts.push(format!("never in {}", cell.sample.never));
            }
            format!("{}: {}", cell.sample.subject, parts.join(", "))
        };
        let cells: Vec<String> = row.cells.iter().map(of_cell).collect();
        format!("Seeds in which a policy is ahead. {}.", cells.join(" · "))
    }

    fn ecdf(&self, row: &Row) -> String {
        let values = samples(row).flat_map(|sample| sample.values.iter().copied().flatten());
        let x = Axis::over("value", row.unit, values);
        let y = Axis::over("share of seeds", Unit::Ratio, [0.0, 1.0].into_iter());
        let mut plot = Plot::new(&format!("Distribution of {} over seeds, by policy", row.title()), x, y);
        let [low, high, ..] = plot.ends();
        for (look, sample) in samples(row).enumerate() {
            let mut sorted: Vec<f64> = sample.values.iter().copied().flatten().collect();
            sorted.sort_by(f64::total_cmp);
            // What never happened lies to the right of everything: the line does not get to the top.
            let count = sorted.len() + sample.never;
            let every = sorted.len().div_ceil(self.points).max(1);
            let mut points = vec![(low, 0.0)];
            let mut share = 0.0;
            for (index, value) in sorted.iter().enumerate().filter(|(index, _)| index % every == 0 || index + 1 == sorted.len()) {
                points.push((*value, share));
                share = (index + 1) as f64 / count as f64;
                points.push((*value, share));
            }
            points.push((high, share));
            plot.line(look, "", &points);
        }
        plot.finish()
    }

    fn scatter(&self, row: &Row) -> String {
        let both = |cell: &Cell| -> Vec<(u64, f64, f64)> {
            let pairs = self.comparison.seeds.iter().zip(row.reference.values.iter().zip(&cell.sample.values));
            pairs.filter_map(|(seed, (x, y))| Some((*seed, (*x)?, (*y)?))).collect()
        };
        let all: Vec<Vec<(u64, f64, f64)>> = row.cells.iter().map(both).collect();
        let values = || all.iter().flatten().flat_map(|(_, x, y)| [*x, *y]);
        let axis = |title: &str| Axis::over(title, row.unit, values());
        let reference = &*self.comparison.reference;
        let mut plot = Plot::new(
            &format!("{} of each seed: {reference} across, the other policies up", row.title()),
            axis(reference),
            axis("the others"),
        );
        let [low, high, ..] = plot.ends();
        let corner = if row.better == Better::Lower { (high, low) } else { (low, high) };
        if row.better != Better::Neither {
            plot.area("tint", &[(low, low), (high, high), corner]);
        }
        plot.rule("equal", &[(low, low), (high, high)]);
        for (index, points) in all.iter().enumerate() {
            for (seed, x, y) in points.iter().take(self.points) {
                let name = &row.cells[index].sample.subject;
                let words = format!("seed {seed}: {reference} {}, {name} {}", row.unit.format(*x), row.unit.format(*y));
                plot.point(index + 1, "", (*x, *y), 3.6, &words);
            }
        }
        match row.better {
            Better::Lower => plot.corner(true, true, "better"),
            Better::Higher => plot.corner(false, false, "better"),
            Better::Neither => {}
        }
        plot.finish()
    }

    fn appendix(&self, html: &mut String, reproduce: &str, has_trade_offs: bool) {
        let comparison = self.comparison;
        open(html, "appendix", "Appendix", "");
        html.push_str("<h3>How to make this again</h3>\n");
        command(html, reproduce);
        html.push_str("<h3>How it was judged</h3>\n<dl class=\"terms\">");
        let seeds = comparison.seeds.len();
        let mut terms = vec![
            ("Pairing", format!("All policies ran with the same {seeds} seeds. A seed fixes arrivals, failures and service times, whatever a policy decides, so a difference within a seed is the policy's doing.")),
            ("Interval", format!("{:.0}% bootstrap interval of the mean difference, bias-corrected and accelerated (BCa).", LEVEL * 100.0)),
            ("better, worse", format!("Wilcoxon's signed-rank test, two-sided, corrected after Holm over all questions on this page: the chance of any false finding is at most {:.0}%. The interval must exclude zero and must not lie within the margin.", comparison.alpha * 100.0)),
            ("no difference", "The whole interval lies within the margin: whatever difference there is does not matter.".to_owned()),
            ("unclear", "Neither shown nor excluded. More seeds would tell.".to_owned()),
            ("never", "A seed in which it did not happen before the run ended is no number: it counts as worst in the test and stays out of means and intervals.".to_owned()),
        ];
        if has_trade_offs {
            terms.push(("unbeaten in both", "By means alone, without a test.".to_owned()));
        }
        if seeds > self.points {
            terms.push((
                "Points per picture",
                format!("At most {} seeds per policy are drawn; the numbers are those of all {seeds}.", self.points),
            ));
        }
        if self.names.len() > LOOKS {
            terms.push(("Colours", format!("There are {LOOKS} looks; from policy {} on they repeat.", LOOKS + 1)));
        }
        for (term, text) in terms {
            let _ = write!(html, "<dt>{term}</dt><dd>{}</dd>", escape(&text));
        }
        html.push_str("</dl>\n<h3>What was measured</h3>\n<dl class=\"terms\">");
        let mut told: Vec<&str> = Vec::new();
        for row in &comparison.rows {
            if let Some(info) = metric(&row.metric)
                && !told.contains(&info.name)
            {
                told.push(info.name);
                let _ = write!(html, "<dt><code>{}</code></dt><dd>{}</dd>", info.name, escape(info.what));
            }
        }
        html.push_str("</dl>\n");
        close(html);
    }
}

/// A policy's findings, as a bar and in words.
fn side(html: &mut String, comparison: &Comparison, name: &str) {
    let findings: Vec<Finding> =
        comparison.rows.iter().flat_map(|row| &row.cells).filter(|cell| &*cell.sample.subject == name).map(|cell| cell.finding).collect();
    let kinds: [(&str, &str, &[Finding]); 5] = [
        ("pass", "better", &[Finding::Better]),
        ("same", "no difference", &[Finding::NoDifference, Finding::Identical]),
        ("warn", "different", &[Finding::Different]),
        ("none", "unclear", &[Finding::Unclear]),
        ("fail", "worse", &[Finding::Worse]),
    ];
    let counted: Vec<(&str, &str, usize)> = kinds
        .iter()
        .map(|(class, word, kind)| (*class, *word, findings.iter().filter(|finding| kind.contains(finding)).count()))
        .filter(|(.., count)| *count > 0)
        .collect();
    let _ = write!(
        html,
        "<div class=\"side\"><h2>{} <span>against {}</span></h2><div class=\"stack\" aria-hidden=\"true\">",
        escape(name),
        escape(&comparison.reference)
    );
    for (class, _, count) in &counted {
        let _ = write!(html, "<i class=\"{class}\" style=\"flex-grow:{count}\"></i>");
    }
    let words: Vec<String> =
        counted.iter().map(|(class, word, count)| format!("<span class=\"{class}\"><b>{count}</b> {word}</span>")).collect();
    let _ = write!(html, "</div><p>{}</p></div>", words.join(" "));
}

fn margin_text(row: &Row) -> String {
    match row.unit {
        Unit::Ratio => format!("{:.2}pp", row.margin * 100.0),
        unit => unit.format(row.margin),
    }
}

/// How far a metric's scale goes to each side.
fn bound(row: &Row) -> f64 {
    let of_cell = |cell: &Cell| {
        let ends = cell.interval.map_or([0.0; 2], |interval| [interval.low, interval.high]);
        ends.into_iter().chain(cell.difference).map(f64::abs).fold(0.0, f64::max)
    };
    let most = row.cells.iter().map(of_cell).fold(0.0, f64::max);
    let bound = (most * 1.04).max(row.margin * 1.6);
    if bound > 0.0 { bound } else { 1.0 }
}

/// One policy's interval in boxes: they stretch with the page.
fn forest_row(html: &mut String, row: &Row, cell: &Cell, look: usize, bound: f64) {
    // Right is better.
    let side = if row.better == Better::Lower { -1.0 } else { 1.0 };
    let place = |value: f64| 50.0 + side * value / bound * 50.0;
    let span = |a: f64, b: f64| {
        let (from, to) = (place(a).min(place(b)), place(a).max(place(b)));
        format!("left:{from:.2}%;width:{:.2}%", to - from)
    };
    let _ = write!(
        html,
        "<div class=\"row\"><span class=\"who\">{}</span><div class=\"lane\" aria-hidden=\"true\"><i class=\"margin\" style=\"{}\"></i><i class=\"zero\"></i>",
        escape(&cell.sample.subject),
        span(-row.margin.min(bound), row.margin.min(bound)),
    );
    if let Some(interval) = cell.interval {
        let _ = write!(html, "<i class=\"ci k{}\" style=\"{}\"></i>", look % LOOKS, span(interval.low, interval.high));
    }
    if let Some(difference) = cell.difference {
        let _ = write!(html, "<i class=\"mid k{}\" style=\"left:{:.2}%\"></i>", look % LOOKS, place(difference));
    }
    let _ = writeln!(html, "</div><span class=\"num\">{}</span>{}</div>", difference_text(row, cell), badge(cell.finding));
}

/// A table behind a picture.
pub(super) fn details(html: &mut String, label: &str, heads: &[&str], rows: impl FnOnce(&mut String)) {
    let _ = write!(html, "<details><summary>{}</summary>", escape(label));
    scrolled(html, label, "", |html| {
        columns(html, heads);
        html.push_str("<tbody>");
        rows(html);
        html.push_str("</tbody>");
    });
    html.push_str("</details>\n");
}

/// Policies that no other beats in both, by cost. Of equal ones all stay.
fn front(means: &[Option<(f64, f64)>], first: Better, second: Better) -> Vec<usize> {
    let sign = |better: Better| if better == Better::Higher { -1.0 } else { 1.0 };
    let costs: Vec<Option<(f64, f64)>> = means.iter().map(|mean| mean.map(|(x, y)| (x * sign(first), y * sign(second)))).collect();
    let beats = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
    let mut front: Vec<(f64, usize)> = Vec::new();
    for (index, cost) in costs.iter().enumerate() {
        if let Some(cost) = *cost
            && !costs.iter().flatten().any(|other| beats(*other, cost))
        {
            front.push((cost.0, index));
        }
    }
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    front.into_iter().map(|(_, index)| index).collect()
}

fn probability(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Options, Subject, compare, wanted};
    use crate::metrics::Measures;
    use crate::testing::{black_friday, node_failure};

    /// `count` policies over `seeds` seeds whose numbers differ a little.
    fn comparison_of(names: &[&str], seeds: u64) -> Comparison {
        let base = Measures::of_trace(&black_friday(1));
        let subject = |(index, name): (usize, &&str)| {
            let run = |seed: u64| {
                let mut run = base.clone();
                run.seed = seed;
                run.asked.clear();
                run.values.iter_mut().for_each(|value| value.value *= 1.0 + index as f64 * 0.01 + (seed * 7 % 31) as f64 * 1e-3);
                run
            };
            Subject { name: (*name).into(), runs: (1..=seeds).map(run).collect() }
        };
        let subjects: Vec<Subject> = names.iter().enumerate().map(subject).collect();
        let wanted = wanted(&subjects[0].runs);
        compare(&subjects, &Options { alpha: 0.05, reference: 0, wanted })
    }

    #[test]
    fn the_page_has_every_metric_and_policy_the_same_way_every_time_and_fetches_nothing() {
        let comparison = comparison_of(&["default", "bin-pack", "spread"], 12);
        let html = comparison_page(&comparison, "wavetank compare x -p default -p bin-pack");
        assert_eq!(html, comparison_page(&comparison, "wavetank compare x -p default -p bin-pack"));
        for row in &comparison.rows {
            assert!(html.contains(&title(row)), "{}", row.title());
        }
        for section in ["findings", "differences", "tradeoffs", "distributions", "appendix"] {
            assert!(html.contains(&format!("<section id=\"{section}\"")) && html.contains(&format!("href=\"#{section}\"")), "{section}");
        }
        for outward in [" src=\"http", "href=\"http", "url(http", "@import", "unsafe-eval", "fetch("] {
            assert!(!html.contains(outward), "{outward}");
        }
        let pictures = html.matches("<svg class=\"plot\"").count();
        assert_eq!(
            html.matches("<details>").count(),
            1 + comparison.rows.iter().filter(|row| !Page::is_flat(row)).count() + 3,
            "a table behind each"
        );
        assert!(pictures > 10 && !html.contains("NaN"), "{pictures} pictures");
    }

    #[test]
    fn eight_policies_and_a_thousand_seeds_stay_within_the_budget() {
        let names = ["default", "b", "c", "d", "e", "f", "g", "h"];
        let mut comparison = comparison_of(&names, 12);
        let more = |sample: &mut Sample| sample.values = sample.values.iter().copied().cycle().take(1000).collect();
        comparison.seeds = (1..=1000).collect();
        for row in &mut comparison.rows {
            more(&mut row.reference);
            row.cells.iter_mut().for_each(|cell| more(&mut cell.sample));
        }
        let html = comparison_page(&comparison, "");
        assert!(html.len() < 2_000_000, "{} bytes", html.len());
        assert!(html.contains("60 of 1000") && html.contains("are drawn"), "what is left out is said");
    }

    #[test]
    fn names_from_the_command_line_stay_text() {
        let evil = "</script><img src=x onerror=alert(1)>";
        let html = comparison_page(&comparison_of(&["default", evil], 3), evil);
        assert!(!html.contains("<img src=x"), "a tag got through");
        assert_eq!(html.matches("<script>").count(), 1);
    }

    #[test]
    fn what_never_happened_is_said_and_never_drawn_as_a_number() {
        let runs = |never: u64| {
            let run = |seed| {
                let mut run = Measures::of_trace(&node_failure(1));
                run.seed = seed;
                run.asked.clear();
                if seed <= never {
                    run.recoveries.iter_mut().for_each(|recovery| recovery.total = None);
                    run.values.retain(|value| &*value.metric != "recovery.total");
                }
                run
            };
            (1..=12).map(run).collect::<Vec<_>>()
        };
        let subjects = [Subject { name: "a".into(), runs: runs(0) }, Subject { name: "b".into(), runs: runs(12) }];
        let wanted = wanted(&subjects[0].runs);
        let comparison = compare(&subjects, &Options { alpha: 0.05, reference: 0, wanted });
        let html = comparison_page(&comparison, "");
        assert!(html.contains("12 of 12 never") && !html.contains("NaN"));
    }

    #[test]
    fn a_policy_is_on_the_front_unless_another_is_as_good_in_both_and_better_in_one() {
        let points = [Some((1.0, 5.0)), Some((2.0, 3.0)), Some((2.0, 4.0)), None, Some((3.0, 3.0)), Some((1.0, 5.0))];
        assert_eq!(front(&points, Better::Lower, Better::Lower), [0, 5, 1]);
        assert_eq!(front(&points, Better::Lower, Better::Higher), [0, 5]);
    }
}
