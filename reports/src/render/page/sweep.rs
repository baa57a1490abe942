//! The page of a sweep: where in the space of parameters each expectation holds.
//!
//! Two parameters on a grid make a map per expectation, one makes a curve, more make a picture per parameter. All are
//! tables or SVG and need no script.
//!
//! Invariants: pass and fail are a sign as well as a colour. What is not drawn is said.

use std::fmt::Write as _;

use api::SimDuration;

use super::comparison::{details, listed};
use super::encode::escape;
use super::plot::{self, Axis, Plot};
use super::shell::{self, Top, bottom, close, columns, command, open, scrolled, top};
use crate::metrics::Unit;
use crate::sweep::{Sweep, SweepCell, SweepColumn, SweepRow};
use crate::verdict::Outcome;

/// Pictures of one page, and points in its table.
const MOST_PICTURES: usize = 60;
const MOST_ROWS: usize = 500;

/// The page about `sweep`. `reproduce` is the command that makes it again.
#[must_use]
pub fn sweep_page(sweep: &Sweep, reproduce: &str) -> String {
    let page = Page::of(sweep);
    let mut html = String::new();
    page.top(&mut html);
    page.pictures(&mut html);
    page.points(&mut html);
    page.appendix(&mut html, reproduce);
    bottom(&mut html, "Made by wavetank from the measures of every run.");
    shell::document(&format!("{}: sweep", sweep.scenario), "", &html, "", &[])
}

pub(super) struct Page<'a> {
    sweep: &'a Sweep,
    policies: Vec<&'a str>,
    parameters: Vec<Parameter<'a>>,
}

/// What is varied, with its values in order.
struct Parameter<'a> {
    path: &'a str,
    /// Each once, in the order of an axis.
    values: Vec<&'a str>,
    /// All values are numbers of this kind.
    unit: Option<Unit>,
}

impl<'a> Parameter<'a> {
    fn of(sweep: &'a Sweep, path: &'a str) -> Self {
        let mut values: Vec<&str> = Vec::new();
        for value in sweep.rows.iter().filter_map(|row| row.parameters.get(path)) {
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        let unit = [Unit::Count, Unit::PerSecond, Unit::Seconds]
            .into_iter()
            .find(|unit| values.iter().all(|value| number(value, *unit).is_some()) && !values.is_empty());
        if let Some(unit) = unit {
            values.sort_by(|a, b| number(a, unit).unwrap_or(0.0).total_cmp(&number(b, unit).unwrap_or(0.0)));
        }
        Self { path, values, unit }
    }

    fn title(&self) -> &'a str {
        self.path.strip_prefix("spec.").unwrap_or(self.path)
    }

    /// The last word of the path, where there is little room.
    fn short(&self) -> &'a str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Where a value stands on the axis.
    fn place(&self, value: &str) -> f64 {
        self.unit
            .and_then(|unit| number(value, unit))
            .or_else(|| self.values.iter().position(|known| *known == value).map(|index| index as f64))
            .unwrap_or(0.0)
    }

    fn axis(&self) -> Axis {
        match self.unit {
            Some(unit) => Axis::over(self.short(), unit, self.values.iter().map(|value| self.place(value))),
            None => Axis::named(self.short(), self.values.iter().map(|value| (*value).to_owned()).collect()),
        }
    }
}

fn number(text: &str, unit: Unit) -> Option<f64> {
    let value = match unit {
        Unit::Seconds => text.parse::<SimDuration>().ok().map(SimDuration::as_secs_f64),
        Unit::PerSecond => text.strip_suffix("/s").and_then(|text| text.parse().ok()),
        _ => text.parse().ok(),
    };
    value.filter(|value: &f64| value.is_finite())
}

const fn outcome_look(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Pass => ("pass", "✓"),
        Outcome::Fail => ("fail", "✗"),
        Outcome::Inconclusive => ("none", "?"),
    }
}

impl<'a> Page<'a> {
    pub(super) fn of(sweep: &'a Sweep) -> Self {
        let mut policies: Vec<&str> = Vec::new();
        for row in &sweep.rows {
            if !policies.contains(&&*row.policy) {
                policies.push(&row.policy);
            }
        }
        let parameters = sweep.parameters.iter().map(|path| Parameter::of(sweep, path)).collect();
        Self { sweep, policies, parameters }
    }

    /// Points that were run.
    fn passed(&self) -> (usize, usize) {
        (self.sweep.rows.iter().filter(|row| row.outcome == Outcome::Pass).count(), self.sweep.rows.len())
    }

    fn top(&self, html: &mut String) {
        let sweep = self.sweep;
        let (passed, all) = self.passed();
        let (class, text) = match (sweep.columns.is_empty(), passed) {
            (true, _) => ("none", "<strong>Done</strong> <span>the scenario expects nothing in particular</span>".to_owned()),
            (false, passed) => {
                let class = if passed == all {
                    "pass"
                } else if passed == 0 {
                    "fail"
                } else {
                    "warn"
                };
                (class, format!("<strong>{passed} of {all}</strong> <span>points meet every expectation</span>"))
            }
        };
        let strip = format!("<div class=\"verdict {class}\">{text}</div>");
        let titles: Vec<&str> = self.parameters.iter().map(Parameter::title).collect();
        let mut facts = vec![
            ("Points", all.to_string()),
            ("Runs", sweep.rows.iter().map(|row| row.runs).sum::<usize>().to_string()),
            ("Expectations", sweep.columns.len().to_string()),
        ];
        if sweep.policies {
            facts.push(("Policies", escape(&self.policies.join(", "))));
        }
        facts.push(("Version", env!("CARGO_PKG_VERSION").to_owned()));
        let lead = format!("{} with other values of {}.", sweep.scenario, listed(&titles));
        let mut sections = vec![("expectations", "Expectations"), ("points", "Points"), ("appendix", "Appendix")];
        sections.retain(|(id, _)| *id != "expectations" || !sweep.columns.is_empty());
        top(html, &Top { title: &sweep.scenario, lead: &lead, strip_html: &strip, facts_html: &facts, sections: &sections });
    }

    /// Two parameters, and every combination of them under every policy.
    fn is_map(&self) -> bool {
        matches!(self.parameters.as_slice(), [a, b] if a.values.len() * b.values.len() * self.policies.len() == self.sweep.rows.len())
    }

    pub(super) fn pictures(&self, html: &mut String) {
        let sweep = self.sweep;
        if sweep.columns.is_empty() {
            return;
        }
        let each = if self.is_map() { self.policies.len() } else { self.parameters.len() };
        let shown = (MOST_PICTURES / each.max(1)).max(1).min(sweep.columns.len());
        let left_out = if shown < sweep.columns.len() {
            format!(" The first {shown} of {} expectations are drawn.", sweep.columns.len())
        } else {
            String::new()
        };
        let lead = if self.is_map() {
            format!("A map per expectation: the fuller a cell, the larger its value; a cross marks where the expectation fails.{left_out}")
        } else {
            format!(
                "A picture per expectation: values by parameter with their range over seeds, and the threshold as a dashed line. Hollow markers fail.{left_out}"
            )
        };
        open(html, "expectations", "Expectations", &lead);
        if !self.is_map() && self.policies.len() > 1 {
            plot::key(html, &self.policies);
        }
        // One picture each leaves room for two in a row.
        let single = !self.is_map() && self.parameters.len() == 1;
        html.push_str(if single { "<div class=\"figures\">\n" } else { "" });
        for (index, column) in sweep.columns.iter().enumerate().take(shown) {
            if self.is_map() {
                self.maps(html, index, column);
            } else {
                self.curves(html, index, column);
            }
        }
        html.push_str(if single { "</div>\n" } else { "" });
        close(html);
    }

    /// How many points meet an expectation, and the values there are.
    fn told(&self, column: usize) -> String {
        let cells = || self.sweep.rows.iter().filter_map(|row| row.cells.get(column));
        let met = cells().filter(|cell| cell.outcome == Outcome::Pass).count();
        let unit = self.sweep.columns[column].unit_kind;
        let span = span(cells()).map_or_else(String::new, |(low, high)| match (unit.format(low), unit.format(high)) {
            (low, high) if low == high => format!("; {low} at every one"),
            (low, high) => format!("; from {low} to {high}"),
        });
        format!("Met at {met} of {} points{span}.", self.sweep.rows.len())
    }

    fn head(&self, html: &mut String, index: usize, column: &SweepColumn) {
        let _ = write!(
            html,
            "<figure class=\"chart\"><figcaption><b><code>{}</code></b> <span>expected {}</span></figcaption>\n<p class=\"summary\">{}</p>\n",
            escape(&column.formula),
            escape(&column.expected),
            escape(&self.told(index)),
        );
    }

    fn maps(&self, html: &mut String, index: usize, column: &SweepColumn) {
        let [across, down] = self.parameters.as_slice() else { return };
        let (across, down) = if across.values.len() >= down.values.len() { (across, down) } else { (down, across) };
        let ends = span(self.sweep.rows.iter().filter_map(|row| row.cells.get(index)));
        self.head(html, index, column);
        html.push_str("<div class=\"maps\">\n");
        for policy in &self.policies {
            let name = if self.policies.len() > 1 { *policy } else { "" };
            scrolled(html, &format!("{} {name}", column.formula), "plain", |html| {
                if !name.is_empty() {
                    let _ = write!(html, "<caption>{}</caption>", escape(name));
                }
                let _ = write!(html, "<thead><tr><th scope=\"col\">{} ↓ · {} →</th>", escape(down.short()), escape(across.short()));
                for value in &across.values {
                    let _ = write!(html, "<th scope=\"col\">{}</th>", escape(value));
                }
                html.push_str("</tr></thead><tbody>");
                for y in &down.values {
                    let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(y));
                    for x in &across.values {
                        let is_here = |row: &&SweepRow| {
                            &*row.policy == *policy
                                && row.parameters.get(across.path).is_some_and(|value| value == x)
                                && row.parameters.get(down.path).is_some_and(|value| value == y)
                        };
                        let cell = self.sweep.rows.iter().find(is_here).and_then(|row| row.cells.get(index));
                        map_cell(html, cell, ends);
                    }
                    html.push_str("</tr>\n");
                }
                html.push_str("</tbody>");
            });
        }
        html.push_str("</div></figure>\n");
    }

    fn curves(&self, html: &mut String, index: usize, column: &SweepColumn) {
        self.head(html, index, column);
        html.push_str("<div class=\"pair\">");
        for parameter in &self.parameters {
            self.curve(html, index, column, parameter);
        }
        html.push_str("</div>\n</figure>\n");
    }

    fn curve(&self, html: &mut String, index: usize, column: &SweepColumn, parameter: &Parameter<'_>) {
        let cells = || self.sweep.rows.iter().filter_map(|row| row.cells.get(index));
        let values = cells().flat_map(|cell| cell.value.into_iter().chain(cell.range.into_iter().flat_map(|(low, high)| [low, high])));
        let y = Axis::over("", column.unit_kind, values.chain([column.threshold]));
        let mut plot = Plot::new(&format!("{} by {}. {}", column.formula, parameter.title(), self.told(index)), parameter.axis(), y);
        let [low, high, ..] = plot.ends();
        let is_named = parameter.unit.is_none();
        let (low, high) = if is_named { (low - 0.5, high + 0.5) } else { (low, high) };
        plot.rule("limit", &[(low, column.threshold), (high, column.threshold)]);
        let joined = self.parameters.len() == 1;
        for (look, policy) in self.policies.iter().enumerate() {
            let mut points: Vec<(f64, &SweepRow, &SweepCell)> = self
                .sweep
                .rows
                .iter()
                .filter(|row| &*row.policy == *policy)
                .filter_map(|row| Some((parameter.place(row.parameters.get(parameter.path)?), row, row.cells.get(index)?)))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            // A single policy has no need of the reference's grey.
            let look = if self.policies.len() == 1 { 1 } else { look };
            if joined {
                let line: Vec<(f64, f64)> = points.iter().filter_map(|(x, _, cell)| Some((*x, cell.value?))).collect();
                plot.line(look, "", &line);
            }
            for (x, row, cell) in points {
                if let Some((from, to)) = cell.range
                    && to > from
                {
                    plot.line(look, "range", &[(x, from), (x, to)]);
                }
                let Some(value) = cell.value else { continue };
                let class = if cell.outcome == Outcome::Fail { "miss" } else { "" };
                let words = format!("{}: {}, {}", point_text(row), cell.value_text, cell.outcome.as_str());
                plot.point(look, class, (x, value), 4.5, &words);
            }
        }
        html.push_str(&plot.finish());
    }

    pub(super) fn points(&self, html: &mut String) {
        let sweep = self.sweep;
        let shown = sweep.rows.len().min(MOST_ROWS);
        let lead = if shown < sweep.rows.len() {
            format!("The first {shown} of {}; all are in sweep.json.", sweep.rows.len())
        } else {
            String::new()
        };
        open(html, "points", "Points", &lead);
        scrolled(html, "Points", "tall", |html| {
            let mut heads: Vec<String> = self.parameters.iter().map(|parameter| parameter.title().to_owned()).collect();
            if sweep.policies {
                heads.push("Policy".into());
            }
            heads.extend(["Verdict".into(), "Runs".into()]);
            heads.extend(sweep.columns.iter().map(|column| format!("{} {}", column.formula, column.expected)));
            columns(html, &heads.iter().map(String::as_str).collect::<Vec<_>>());
            html.push_str("<tbody>\n");
            for row in sweep.rows.iter().take(shown) {
                html.push_str("<tr>");
                for parameter in &self.parameters {
                    let value = row.parameters.get(parameter.path).map_or("", String::as_str);
                    let _ = write!(html, "<td class=\"num\">{}</td>", escape(value));
                }
                if sweep.policies {
                    let _ = write!(html, "<td>{}</td>", escape(&row.policy));
                }
                let (class, sign) = outcome_look(row.outcome);
                let _ = write!(
                    html,
                    "<td><span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span></td><td class=\"num\">{}</td>",
                    row.outcome.as_str(),
                    row.runs
                );
                for cell in &row.cells {
                    let (class, sign) = outcome_look(cell.outcome);
                    let _ = write!(html, "<td class=\"num\"><span class=\"sign {class}\">{sign}</span> {}</td>", escape(&cell.value_text));
                }
                html.push_str("</tr>\n");
            }
            html.push_str("</tbody>");
        });
        close(html);
    }

    fn appendix(&self, html: &mut String, reproduce: &str) {
        open(html, "appendix", "Appendix", "");
        html.push_str("<h3>How to make this again</h3>\n");
        command(html, reproduce);
        html.push_str("<h3>What was varied</h3>\n");
        details(html, "Values of each parameter", &["Path", "Values"], |html| {
            for parameter in &self.parameters {
                let _ = write!(
                    html,
                    "<tr><td><code>{}</code></td><td>{}</td></tr>",
                    escape(parameter.path),
                    escape(&parameter.values.join(", "))
                );
            }
        });
        close(html);
    }
}

fn point_text(row: &SweepRow) -> String {
    let parts: Vec<String> =
        row.parameters.iter().map(|(path, value)| format!("{} {value}", path.rsplit('.').next().unwrap_or(path))).collect();
    parts.join(", ")
}

/// Smallest and largest value.
fn span<'c>(cells: impl Iterator<Item = &'c SweepCell>) -> Option<(f64, f64)> {
    cells.filter_map(|cell| cell.value).fold(None, |span, value| match span {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

fn map_cell(html: &mut String, cell: Option<&SweepCell>, ends: Option<(f64, f64)>) {
    let Some(cell) = cell else {
        html.push_str("<td class=\"cell\">–</td>");
        return;
    };
    let fill = match (cell.value, ends) {
        (Some(value), Some((low, high))) if high > low => 6.0 + (value - low) / (high - low) * 40.0,
        _ => 0.0,
    };
    let (class, sign) = outcome_look(cell.outcome);
    let _ = write!(
        html,
        "<td class=\"cell {class}\" style=\"--fill:{fill:.0}%\"><span class=\"sign\">{sign}</span> {}</td>",
        escape(&cell.value_text)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Measures;
    use crate::sweep::{SweepPoint, sweep};
    use crate::testing::black_friday;

    fn points(parameters: &[(&str, &[&str])], policies: &[&str]) -> Sweep {
        let base = Measures::of_trace(&black_friday(1));
        let mut points = vec![Vec::new()];
        for (path, values) in parameters {
            let longer = |point: &Vec<(String, String)>| {
                values
                    .iter()
                    .map(|value| point.iter().cloned().chain([((*path).to_owned(), (*value).to_owned())]).collect())
                    .collect::<Vec<_>>()
            };
            points = points.iter().flat_map(longer).collect();
        }
        let of_policy = |policy: &&str| {
            let point = |point: &Vec<(String, String)>| SweepPoint {
                parameters: point.iter().cloned().collect(),
                policy: (*policy).into(),
                runs: vec![base.clone()],
            };
            points.iter().map(point).collect::<Vec<_>>()
        };
        sweep(&policies.iter().flat_map(of_policy).collect::<Vec<_>>())
    }

    #[test]
    fn two_parameters_make_maps_and_other_numbers_of_them_make_curves() {
        let rate: (&str, &[&str]) = ("spec.traffic.rate", &["20/s", "100/s", "3/s"]);
        let boot: (&str, &[&str]) = ("spec.provisioning", &["75s", "5m"]);
        let kind: (&str, &[&str]) = ("spec.kind", &["big", "small"]);
        for (parameters, policies, maps, plots) in [
            (vec![rate], vec!["a"], 0, 1),
            (vec![rate], vec!["a", "b"], 0, 1),
            (vec![rate, boot], vec!["a", "b"], 2, 0),
            (vec![rate, boot, kind], vec!["a"], 0, 3),
        ] {
            let sweep = points(&parameters, &policies);
            let columns = sweep.columns.len();
            assert!(columns > 1);
            let html = sweep_page(&sweep, "wavetank sweep x");
            assert_eq!(html, sweep_page(&sweep, "wavetank sweep x"));
            assert_eq!(html.matches("class=\"scroll plain\"").count(), maps * columns, "{policies:?}");
            assert_eq!(html.matches("<svg class=\"plot\"").count(), plots * columns, "{policies:?}");
        }
        // Values are in the order of their numbers, not of their letters.
        let html = sweep_page(&points(&[rate, boot], &["a"]), "");
        let at = |text: &str| html.find(&format!("<th scope=\"col\">{text}</th>")).unwrap();
        assert!(at("3/s") < at("20/s") && at("20/s") < at("100/s"));
    }

    #[test]
    fn a_single_parameter_leaves_room_for_two_pictures_in_a_row() {
        let rate: (&str, &[&str]) = ("spec.traffic.rate", &["20/s", "100/s"]);
        let boot: (&str, &[&str]) = ("spec.provisioning", &["75s", "5m"]);
        let kind: (&str, &[&str]) = ("spec.kind", &["big", "small"]);
        for (parameters, rows) in [(vec![rate], 1), (vec![rate, boot], 0), (vec![rate, boot, kind], 0)] {
            let html = sweep_page(&points(&parameters, &["a"]), "");
            assert_eq!(html.matches("<div class=\"figures\">").count(), rows);
            assert!(!html.contains("value →"), "the heading says what goes upwards");
        }
    }

    #[test]
    fn values_from_the_command_line_stay_text() {
        let evil = "</script><img src=x onerror=alert(1)>";
        for parameters in [vec![(evil, [evil].as_slice())], vec![(evil, &[evil]), ("b", &["1"])]] {
            let html = sweep_page(&points(&parameters, &[evil, "b"]), evil);
            assert!(!html.contains("<img src=x"), "a tag got through");
        }
    }
}
