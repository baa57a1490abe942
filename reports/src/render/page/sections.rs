//! The page's sections, top to bottom, as HTML.
//!
//! Invariants: every string that is not ours goes through `escape`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::{SimDuration, SimTime};
use serde::Serialize;

use super::chart::{Chart, Charts, LIMIT, SERVICES};
use super::encode::escape;
use super::heatmap::Heat;
use super::shell::{Top, bottom, close, command, open, top};
use super::{PageOptions, svg};
use crate::fold::{Run, lost};
use crate::metrics::{Phase, Query, Recovery, Unit, course, metric, seconds};
use crate::render::causes::{Cause, causes};
use crate::render::text::{conclusion, magnitude, seeds_text};
use crate::series::stat_of;
use crate::story::story;
use crate::verdict::{Judged, Outcome, short};
use crate::{Measures, Verdict};

/// Events in the table.
const EVENTS: usize = 5000;
/// Rows of a chart's data table.
const TABLE_ROWS: usize = 24;

/// What the page is made of.
pub(super) struct Content<'a> {
    pub run: &'a Run<'a>,
    pub runs: &'a [&'a Measures],
    pub verdict: &'a Verdict,
    pub charts: &'a Charts,
    pub heat: Option<&'a Heat>,
    pub events: &'a Events<'a>,
    pub options: &'a PageOptions<'a>,
}

/// Events in columns, texts once.
#[derive(Serialize)]
pub(super) struct Events<'a> {
    /// Events in the trace.
    pub total: usize,
    pub t: Vec<f64>,
    pub warning: Vec<u8>,
    pub reason: Vec<usize>,
    pub object: Vec<usize>,
    pub message: Vec<usize>,
    pub source: Vec<usize>,
    pub texts: Vec<&'a str>,
}

impl<'a> Events<'a> {
    /// The first [`EVENTS`], warnings before the others.
    pub(super) fn new(run: &Run<'a>) -> Self {
        let mut chosen: Vec<usize> = (0..run.events.len()).collect();
        chosen.sort_by_key(|index| (run.events[*index].kind != "Warning", *index));
        chosen.truncate(EVENTS);
        chosen.sort_unstable();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let mut events = Self {
            total: run.events.len(),
            t: Vec::new(),
            warning: Vec::new(),
            reason: Vec::new(),
            object: Vec::new(),
            message: Vec::new(),
            source: Vec::new(),
            texts: Vec::new(),
        };
        for event in chosen.iter().map(|index| &run.events[*index]) {
            let mut intern = |text: &'a str| {
                let next = known.len();
                let index = *known.entry(text).or_insert(next);
                if index == next {
                    events.texts.push(text);
                }
                index
            };
            let (reason, object) = (intern(event.reason), intern(event.object));
            let (message, source) = (intern(event.message), intern(event.source));
            events.t.push((event.at.as_secs_f64() * 1000.0).round() / 1000.0);
            events.warning.push(u8::from(event.kind == "Warning"));
            events.reason.push(reason);
            events.object.push(object);
            events.message.push(message);
            events.source.push(source);
        }
        events
    }
}

/// The whole body, but for data and scripts.
pub(super) fn body(content: &Content<'_>) -> String {
    let mut html = String::new();
    header(&mut html, content);
    html.push_str("<noscript><p class=\"note\">Scripts are off: charts are still pictures, and the event list is short.</p></noscript>\n");
    html.push_str("<p class=\"note problem\" id=\"problem\" role=\"alert\" hidden></p>\n");
    expectations(&mut html, content);
    what_happened(&mut html, content);
    timeline(&mut html, content);
    services(&mut html, content);
    recovery(&mut html, content);
    utilisation(&mut html, content);
    scheduling(&mut html, content);
    cost(&mut html, content);
    events(&mut html, content);
    appendix(&mut html, content);
    bottom(&mut html, "Made by wavetank from the trace alone. Charts by uPlot 1.6.32 (MIT) and plotters (MIT).");
    html
}

fn outcome_sign(outcome: Outcome, severity: &str) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Outcome::Pass => ("pass", "✓", "pass"),
        Outcome::Fail if severity == "error" => ("fail", "✗", "fail"),
        Outcome::Fail => ("warn", "!", "warning"),
        Outcome::Inconclusive => ("warn", "?", "no data"),
    }
}

fn header(html: &mut String, content: &Content<'_>) {
    let head = content.run.header;
    let (class, sign, _) = outcome_sign(content.verdict.outcome, "error");
    let word = match content.verdict.outcome {
        _ if content.verdict.expectations.is_empty() => "Done",
        Outcome::Pass => "Pass",
        Outcome::Fail => "Fail",
        Outcome::Inconclusive => "Inconclusive",
    };
    let (class, sign) = if content.verdict.expectations.is_empty() { ("none", "~") } else { (class, sign) };
    let seeds = seeds_text(&content.runs.iter().map(|run| run.seed).collect::<Vec<_>>());
    let events: u64 = content.runs.iter().map(|run| run.events + run.traffic_events).sum();
    let strip = format!(
        "<div class=\"verdict {class}\"><strong><span aria-hidden=\"true\">{sign}</span> {word}</strong> <span>{}</span></div>",
        escape(&conclusion(content.verdict)),
    );
    let facts = [
        ("Policy", escape(&head.policy)),
        ("Seeds", escape(seeds.strip_prefix("seeds ").unwrap_or(&seeds))),
        ("Simulated", short(content.run.end.since(SimTime::ZERO))),
        ("Events", magnitude(events)),
        ("Scenario digest", format!("<code>{}</code>", escape(head.scenario_digest.get(..12).unwrap_or(&head.scenario_digest)))),
        ("Version", escape(&head.wavetank_version)),
    ];
    let has_services = !content.charts.services.is_empty();
    let has_recovery = content.runs.iter().any(|run| !run.recoveries.is_empty());
    let sections: Vec<(&str, &str)> = [
        ("expectations", "Expectations", true),
        ("story", "What happened", true),
        ("timeline", "Timeline", true),
        ("services", "Services", has_services),
        ("recovery", "Recovery", has_recovery),
        ("utilisation", "Utilisation", true),
        ("scheduling", "Scheduling", true),
        ("cost", "Cost", true),
        ("events", "Events", true),
        ("appendix", "Appendix", true),
    ]
    .into_iter()
    .filter_map(|(id, title, shown)| shown.then_some((id, title)))
    .collect();
    let (title, lead) = (&*head.scenario, &*head.description);
    top(html, &Top { title, lead, strip_html: &strip, facts_html: &facts, sections: &sections });
}

fn expectations(html: &mut String, content: &Content<'_>) {
    open(html, "expectations", "Expectations", "");
    if content.verdict.expectations.is_empty() {
        html.push_str("<p class=\"quiet\">The scenario expects nothing in particular; there is nothing to judge.</p>\n");
        return close(html);
    }
    let several = content.runs.len() > 1;
    html.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Expectations\"><table class=\"expect\"><thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Expectation</th><th scope=\"col\">Expected</th><th scope=\"col\">Found</th>");
    if several {
        html.push_str("<th scope=\"col\">Over seeds</th><th scope=\"col\">Worst seed</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for judged in &content.verdict.expectations {
        expectation(html, content.run, judged, several);
    }
    html.push_str("</tbody></table></div>\n");
    close(html);
}

fn expectation(html: &mut String, run: &Run<'_>, judged: &Judged, several: bool) {
    let (class, sign, word) = outcome_sign(judged.outcome, &judged.severity);
    // A long formula may break where a reader would take a breath.
    let formula = escape(&judged.formula()).replace('(', "(<wbr>").replace('=', "=<wbr>").replace(").", ")<wbr>.");
    let formula = format!("<code>{formula}</code>");
    let name = if judged.name == judged.metric { formula } else { format!("{}<br>{formula}", escape(&judged.name)) };
    let soft = if &*judged.severity == "error" || class == "warn" {
        String::new()
    } else {
        format!(" <span class=\"tag\">{}</span>", escape(&judged.severity))
    };
    let note = if judged.note.is_empty() { String::new() } else { format!("<br><span class=\"quiet\">{}</span>", escape(&judged.note)) };
    let _ = write!(
        html,
        "<tr class=\"{class}\"><td><span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span></td><td>{name}{soft}{note}</td><td class=\"num\">{} {}</td><td class=\"num\"><b>{}</b>{}</td>",
        escape(&judged.op),
        escape(&judged.expected),
        escape(&judged.value_text),
        spark(run, judged),
    );
    if several {
        let worst = judged.worst_seed.map_or_else(|| "–".to_owned(), |seed| seed.to_string());
        let _ = write!(html, "<td>{}</td><td class=\"num\">{worst}</td>", strip(judged));
    }
    html.push_str("</tr>\n");
}

/// How the metric goes over the run that is drawn, with the threshold where it is a value of the same kind.
fn spark(run: &Run<'_>, judged: &Judged) -> String {
    const SPANS: usize = 60;
    let query = Query { metric: &judged.metric, filter: &judged.filter, window: SimDuration::ZERO, stat: "" };
    let Some(course) = course(run, &query, SPANS) else { return String::new() };
    let known = || course.values.iter().flatten().copied();
    let limit = (!course.counted).then_some(judged.threshold);
    let Some((low, high)) = known()
        .chain(limit)
        .fold(None, |ends: Option<(f64, f64)>, value| Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value)))))
    else {
        return String::new();
    };
    let height = |value: f64| if high > low { 21.0 - (value - low) / (high - low) * 18.0 } else { 12.0 };
    let mut path = String::new();
    let mut gap = true;
    for (index, value) in course.values.iter().enumerate() {
        if let Some(value) = value {
            let _ = write!(path, "{}{:.0} {:.1}", if gap { 'M' } else { 'L' }, 1.0 + index as f64 * 2.0, height(*value));
        }
        gap = value.is_none();
    }
    let Some((least, most)) = known()
        .fold(None, |ends: Option<(f64, f64)>, value| Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value)))))
    else {
        return String::new();
    };
    let unit = judged.unit();
    let words = format!("{} over the run: between {} and {}", judged.metric, unit.format(least), unit.format(most));
    let line = limit.map_or_else(String::new, |limit| format!("<path class=\"limit\" d=\"M0 {0:.1}H121\"/>", height(limit)));
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 121 24\" width=\"121\" height=\"24\" role=\"img\" aria-label=\"{}\">{line}<path d=\"{path}\"/></svg>",
        escape(&words)
    )
}

/// A dot per seed on one line, the threshold across it.
fn strip(judged: &Judged) -> String {
    let Some((low, high)) = judged.range else { return escape(&judged.value_text) };
    let (least, most) = (low.min(judged.threshold), high.max(judged.threshold));
    let width = (most - least).max(most.abs() * 1e-9).max(1e-12);
    let place = |value: f64| 6.0 + (value - least) / width * 108.0;
    let mut svg = format!(
        "<svg class=\"strip\" viewBox=\"0 0 120 20\" width=\"120\" height=\"20\" role=\"img\" aria-label=\"{}\"><path d=\"M2 10H118\"/>",
        escape(&format!("{} seeds {}", judged.seeds.len(), judged.interval()))
    );
    let _ = write!(svg, "<path class=\"limit\" d=\"M{0:.1} 2V18\"/>", place(judged.threshold));
    for seed in &judged.seeds {
        if let Some(value) = seed.value {
            let text = judged.unit().format(value);
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"10\" r=\"3.2\"><title>seed {}: {}</title></circle>",
                place(value),
                seed.seed,
                escape(&text)
            );
        }
    }
    let _ = write!(svg, "</svg><span class=\"interval\">{}</span>", escape(&judged.interval()));
    svg
}

fn drawn_text(content: &Content<'_>) -> String {
    let seed = content.run.header.seed;
    match content.runs.len() {
        0 | 1 => format!("seed {seed}"),
        count if content.verdict.worst_seed == Some(seed) => format!("seed {seed}, the worst of {count}"),
        count => format!("seed {seed}, one of {count}"),
    }
}

fn what_happened(html: &mut String, content: &Content<'_>) {
    let lead =
        format!("Turning points found in the records of {}, after the warm-up, by time. Order is not yet cause.", drawn_text(content));
    open(html, "story", "What happened", &lead);
    let points = story(content.run);
    if points.is_empty() {
        html.push_str("<p class=\"quiet\">Nothing out of the ordinary.</p>\n");
    } else {
        html.push_str("<ol class=\"story\">\n");
        for point in points {
            let (tone, sign) = (
                point.tone.as_str(),
                match point.tone.as_str() {
                    "cause" => "▶",
                    "bad" => "▲",
                    "good" => "✓",
                    _ => "·",
                },
            );
            let _ = writeln!(
                html,
                "<li class=\"{tone}\"><button type=\"button\" data-time=\"{:.3}\" title=\"Look at the charts around this time\">{}</button><span class=\"sign\" aria-hidden=\"true\">{sign}</span><span>{}</span></li>",
                point.at.as_secs_f64(),
                clock(point.at),
                escape(&point.text),
            );
        }
        html.push_str("</ol>\n");
    }
    close(html);
}

/// `5:00.2`, `1:05:00.2`.
fn clock(at: SimTime) -> String {
    let (seconds, tenths) = (at.as_secs(), at.as_nanos() / 100_000_000 % 10);
    match seconds / 3600 {
        0 => format!("{}:{:02}.{tenths}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}.{tenths}", seconds / 60 % 60, seconds % 60),
    }
}

fn timeline(html: &mut String, content: &Content<'_>) {
    let lead = format!(
        "One time axis for all charts: point to read, drag to zoom, double-click to see all again. Drawn: {}.{} Faults are shaded, marks and steps are dashed lines, the warm-up is grey.",
        drawn_text(content),
        if content.charts.timeline.iter().any(|chart| chart.seeds.is_some()) {
            " The tint around a line goes from the lowest to the highest of all seeds."
        } else {
            ""
        }
    );
    open(html, "timeline", "Timeline", &lead);
    content.charts.timeline.iter().for_each(|chart| figure(html, chart, content.run.end, true));
    close(html);
}

/// A chart: caption, summary in words, the live drawing, the static picture, the numbers.
fn figure(html: &mut String, chart: &Chart, end: SimTime, large: bool) {
    let size = if large { "large" } else { "small" };
    let _ = write!(
        html,
        "<figure class=\"chart {size}\"><figcaption><b>{}</b> <span>{}</span></figcaption>\n<p class=\"summary\">{}</p>\n<div class=\"live\" data-chart=\"{}\"></div>\n",
        escape(&chart.title),
        escape(&chart.caption),
        summary(chart),
        escape(&chart.id),
    );
    if large {
        let _ = writeln!(html, "<div class=\"static\">{}</div>", svg::picture(chart, end));
    }
    data_table(html, chart);
    html.push_str("</figure>\n");
}

/// Every line in words: where it goes between, and where all seeds do.
fn summary(chart: &Chart) -> String {
    let all_seeds = |index: usize| {
        let seeds = chart.seeds.as_ref()?;
        let low = seeds.low[index].iter().flatten().copied().reduce(f64::min)?;
        let high = seeds.high[index].iter().flatten().copied().reduce(f64::max)?;
        Some(format!(" (all {} seeds: {} to {})", seeds.count, svg::label(chart.scale, low), svg::label(chart.scale, high)))
    };
    let line = |(index, series): (usize, &super::chart::Series)| {
        let values = || series.y.iter().flatten().copied();
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        let label = |value| svg::label(chart.scale, value);
        let span = if low == high { format!("{} throughout", label(low)) } else { format!("{} to {}", label(low), label(high)) };
        Some(format!("{}: {span}{}", series.label, all_seeds(index).unwrap_or_default()))
    };
    escape(&chart.series.iter().enumerate().filter_map(line).collect::<Vec<_>>().join(" · "))
}

fn data_table(html: &mut String, chart: &Chart) {
    let rows = chart.x.len().min(TABLE_ROWS);
    let thinned = chart.thinned_from.map_or_else(String::new, |from| format!(", drawn of {from}: peaks are kept"));
    let _ = write!(
        html,
        "<details><summary>Data ({rows} of {} points{thinned})</summary><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Data\"><table><thead><tr><th scope=\"col\">Time</th>",
        chart.x.len()
    );
    for series in &chart.series {
        let _ = write!(html, "<th scope=\"col\">{}</th>", series.label);
    }
    html.push_str("</tr></thead><tbody>");
    for row in 0..rows {
        let index = if rows > 1 { row * (chart.x.len() - 1) / (rows - 1) } else { 0 };
        let _ = write!(html, "<tr><td>{}</td>", clock(SimTime::ZERO + SimDuration::from_secs_f64(chart.x[index])));
        for series in &chart.series {
            let value = series.y[index].map_or_else(|| "–".to_owned(), |value| svg::label(chart.scale, value));
            let _ = write!(html, "<td>{value}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></details>\n");
}

fn services(html: &mut String, content: &Content<'_>) {
    if content.charts.services.is_empty() {
        return;
    }
    let left_out = match content.charts.services_left_out {
        0 => String::new(),
        count => format!(" The {SERVICES} with the longest queues are drawn; {count} more are in the result files."),
    };
    let lead = format!(
        "A cascade reads down and to the right: queues fill, requests are lost, retries add load, probes fail, endpoints vanish.{left_out}"
    );
    open(html, "services", "Services", &lead);
    for (service, charts) in &content.charts.services {
        let _ = write!(html, "<h3>{}</h3>\n<div class=\"grid\">\n", escape(service));
        charts.iter().for_each(|chart| figure(html, chart, content.run.end, false));
        html.push_str("</div>\n");
    }
    close(html);
}

fn recovery(html: &mut String, content: &Content<'_>) {
    let rows = causes(content.runs);
    if rows.is_empty() {
        return;
    }
    let shown = 20;
    let left_out = if rows.len() > shown { format!(" The first {shown} of {} are shown.", rows.len()) } else { String::new() };
    let median = if content.runs.len() > 1 { "Bars are medians over seeds, dots are the totals of single seeds." } else { "" };
    let several = if rows.iter().any(Cause::is_several) { " Of a fault that struck several times a run's worst is drawn." } else { "" };
    let lead =
        format!("From each fault or mark to the last bad moment that belongs to it, in phases that add up. {median}{several}{left_out}");
    open(html, "recovery", "Recovery", &lead);
    html.push_str("<p class=\"key\">");
    for (index, (name, what)) in [
        ("detect", "first sign"),
        ("evict", "last pod evicted"),
        ("reschedule", "last replacement bound"),
        ("ready", "all replicas ready"),
        ("slo", "users served as expected"),
    ]
    .iter()
    .enumerate()
    {
        let _ = write!(html, "<span><i class=\"phase p{index}\"></i>{name}: {what}</span>");
    }
    html.push_str("</p>\n<div class=\"waterfall\">\n");
    // A run that never recovered still has phases.
    let length = |recovery: &Recovery| {
        let phases = recovery.phases().into_iter().filter_map(|(_, phase)| phase.took()).map(SimDuration::as_secs_f64).sum::<f64>();
        recovery.total.map_or(0.0, SimDuration::as_secs_f64).max(phases)
    };
    let medians = |row: &Cause<'_>| (0..5).filter_map(|phase| phase_median(row, phase)).sum::<f64>();
    let longest = rows.iter().take(shown).map(|row| row.worst.iter().map(|(_, recovery)| length(recovery)).fold(medians(row), f64::max));
    let longest = longest.fold(0.0, f64::max);
    let longest = if longest > 0.0 { longest } else { 1.0 };
    rows.iter().take(shown).for_each(|row| waterfall_row(html, row, longest));
    html.push_str("</div>\n");
    recovery_table(html, &rows[..rows.len().min(shown)]);
    close(html);
}

/// How long a phase took, in the middle over seeds.
fn phase_median(cause: &Cause<'_>, phase: usize) -> Option<f64> {
    let took: Vec<f64> =
        cause.worst.iter().filter_map(|(_, recovery)| recovery.phases()[phase].1.took()).map(SimDuration::as_secs_f64).collect();
    stat_of("median", &took)
}

fn waterfall_row(html: &mut String, cause: &Cause<'_>, longest: f64) {
    let (Some(first), row) = (cause.first(), &cause.worst) else { return };
    let unrecovered = row.iter().filter(|(_, recovery)| recovery.total.is_none()).count();
    let totals: Vec<f64> = row.iter().filter_map(|(_, recovery)| recovery.total).map(SimDuration::as_secs_f64).collect();
    let total = if unrecovered * 2 > row.len() {
        "never".to_owned()
    } else {
        stat_of("median", &totals).map_or_else(|| "never".to_owned(), seconds)
    };
    let kind = if first.is_mark { "mark" } else { &first.action };
    let _ = write!(
        html,
        "<div class=\"row\"><div class=\"name\"><b>{}</b> <span class=\"quiet\">{} at {}</span></div><div class=\"bar\">",
        escape(&cause.label("×")),
        escape(kind),
        clock(first.at)
    );
    let mut from = 0.0;
    for phase in 0..5 {
        let Some(median) = phase_median(cause, phase).filter(|median| *median > 0.0) else { continue };
        let (name, _) = first.phases()[phase];
        let (left, width) = (from / longest * 100.0, median / longest * 100.0);
        let _ = write!(
            html,
            "<span class=\"phase p{phase}\" style=\"left:{left:.2}%;width:{width:.2}%\" title=\"{name} {}\">{}</span>",
            seconds(median),
            if width > 9.0 { seconds(median) } else { String::new() }
        );
        from += median;
    }
    if row.len() > 1 {
        for (seed, recovery) in row {
            if let Some(total) = recovery.total {
                let left = total.as_secs_f64() / longest * 100.0;
                let _ =
                    write!(html, "<i class=\"dot\" style=\"left:{left:.2}%\" title=\"seed {seed}: {}\"></i>", seconds(total.as_secs_f64()));
            }
        }
    }
    let never = if unrecovered > 0 {
        format!("<p class=\"quiet\">{unrecovered} of {} runs ended before: {}</p>", row.len(), escape(&missing(row)))
    } else {
        String::new()
    };
    let _ = writeln!(html, "</div><div class=\"total num\">{total}</div>{never}</div>");
}

fn missing(row: &[(u64, &Recovery)]) -> String {
    row.iter()
        .find(|(_, recovery)| recovery.total.is_none())
        .map_or_else(String::new, |(seed, recovery)| format!("seed {seed}: {}", recovery.missing))
}

fn recovery_table(html: &mut String, rows: &[Cause<'_>]) {
    html.push_str("<details><summary>Every phase of every seed</summary><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Recovery\"><table><thead><tr><th scope=\"col\">Cause</th><th scope=\"col\">Seed</th><th scope=\"col\">At</th>");
    for name in ["Detect", "Evict", "Reschedule", "Ready", "SLO", "Total"] {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    let text = |phase: Phase| match phase {
        Phase::Skipped => "–".to_owned(),
        Phase::Took(span) => seconds(span.as_secs_f64()),
        Phase::Never => "never".to_owned(),
    };
    for (seed, recovery) in rows.iter().flat_map(|row| &row.all).take(200) {
        let times = match recovery.episodes.as_slice() {
            [_, .., last] => format!(" and {} times more until {}", recovery.episodes.len() - 1, clock(*last)),
            _ => String::new(),
        };
        let _ = write!(html, "<tr><td>{}</td><td>{seed}</td><td>{}{times}</td>", escape(&recovery.cause), clock(recovery.at));
        for (_, phase) in recovery.phases() {
            let _ = write!(html, "<td>{}</td>", text(phase));
        }
        let _ = write!(html, "<td>{}</td></tr>", text(recovery.total_phase()));
    }
    html.push_str("</tbody></table></div></details>\n");
}

fn utilisation(html: &mut String, content: &Content<'_>) {
    open(
        html,
        "utilisation",
        "Utilisation",
        "What nodes have, what pods reserve, what they use. The gap between the last two is what requests cost.",
    );
    content.charts.utilisation.iter().for_each(|chart| figure(html, chart, content.run.end, true));
    if let Some(heat) = content.heat {
        let binned = if heat.nodes > heat.rows.len() {
            format!(" {} nodes are binned into {} rows of neighbours, which show their mean.", heat.nodes, heat.rows.len())
        } else {
            String::new()
        };
        let _ = write!(
            html,
            "<figure class=\"chart heat js-only\"><figcaption><b>Nodes over time</b> <span>A row per node, sorted by pool, zone and name; a column per {} of time.{binned} Arrow keys move through the cells.</span></figcaption>\n\
             <fieldset class=\"choice\"><legend>Show</legend>",
            seconds(content.run.end.as_secs_f64() / heat.columns as f64)
        );
        for (value, label) in [("requested", "cpu requested"), ("used", "cpu used"), ("pods", "pods")] {
            let checked = if value == "requested" { " checked" } else { "" };
            let _ = write!(html, "<label><input type=\"radio\" name=\"heat\" value=\"{value}\"{checked}> {label}</label>");
        }
        html.push_str("</fieldset>\n<canvas id=\"heat\" tabindex=\"0\" role=\"img\" aria-label=\"Node by time heatmap\" aria-describedby=\"heat-cell\"></canvas>\n<div class=\"ramp\"><span id=\"heat-low\">0</span><i></i><span id=\"heat-high\">100 %</span><output id=\"heat-cell\" aria-live=\"polite\"></output></div></figure>\n");
    }
    close(html);
}

/// Bars with a label and a count.
fn bars(html: &mut String, title: &str, caption: &str, bars: &[(String, u64)]) {
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let _ = write!(html, "<figure class=\"chart bars\"><figcaption><b>{title}</b> <span>{caption}</span></figcaption>\n<table><tbody>");
    for (label, count) in bars {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td><i style=\"width:{:.1}%\"></i></td><td class=\"num\">{count}</td></tr>",
            escape(label),
            *count as f64 / most as f64 * 100.0
        );
    }
    html.push_str("</tbody></table></figure>\n");
}

fn scheduling(html: &mut String, content: &Content<'_>) {
    let run = content.run;
    let bound = run.pods.iter().filter(|pod| pod.scheduled.is_some()).count();
    let attempts: usize = run.pods.iter().map(|pod| pod.unschedulable.len()).sum::<usize>() + bound;
    let preempted = run.pods.iter().filter(|pod| pod.deleting.is_some_and(|(_, by, _)| by.ends_with("scheduler"))).count();
    let queue = if content.charts.scheduling.is_empty() { " No pod was seen waiting in the scheduler's queues." } else { "" };
    let lead = format!("{bound} of {} pods were bound in {attempts} attempts; {preempted} were preempted.{queue}", run.pods.len());
    open(html, "scheduling", "Scheduling", &lead);
    content.charts.scheduling.iter().for_each(|chart| figure(html, chart, run.end, true));
    html.push_str("<div class=\"grid\">\n");
    let edges = [
        (0.01, "under 10 ms"),
        (0.1, "10–100 ms"),
        (1.0, "0.1–1 s"),
        (10.0, "1–10 s"),
        (30.0, "10–30 s"),
        (60.0, "30–60 s"),
        (300.0, "1–5 min"),
        (f64::INFINITY, "over 5 min"),
    ];
    let mut counts: Vec<(String, u64)> = edges.iter().map(|(_, label)| ((*label).to_owned(), 0)).collect();
    for pod in &run.pods {
        if let Some(bound) = pod.scheduled {
            let waited = bound.at.since(pod.created).as_secs_f64();
            let index = edges.iter().position(|(edge, _)| waited < *edge).unwrap_or(edges.len() - 1);
            counts[index].1 += 1;
        }
    }
    let never = run.pods.len() - bound;
    counts.push(("never bound".to_owned(), never as u64));
    bars(html, "Time to schedule", "Pods by time from creation to binding.", &counts);
    let reasons = top_reasons(run);
    if !reasons.is_empty() {
        bars(html, "Why pods waited", "Failed attempts by reason; one attempt may name several.", &reasons);
    }
    html.push_str("</div>\n");
    close(html);
}

/// Reasons in the scheduler's messages, without their counts of nodes, most frequent first.
fn top_reasons(run: &Run<'_>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, _, message, _) in run.pods.iter().flat_map(|pod| &pod.unschedulable) {
        *counts.entry(message).or_default() += 1;
    }
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for (message, count) in counts {
        for reason in crate::inspect::reasons_of(message) {
            *reasons.entry(reason).or_default() += count;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    reasons.truncate(10);
    reasons
}

fn cost(html: &mut String, content: &Content<'_>) {
    open(html, "cost", "Cost and waste", "Over the measured part of the run, in the scenario's currency.");
    html.push_str("<dl class=\"facts cards\">");
    for (name, stat, title) in [
        ("cost.total", "", "Total"),
        ("cost.per.million.requests", "", "Per million requests served"),
        ("nodes.hours", "", "Node-hours"),
        ("cpu.requested.ratio", "time-mean", "cpu requested"),
        ("cpu.used.ratio", "time-mean", "cpu used"),
        ("memory.requested.ratio", "time-mean", "Memory requested"),
    ] {
        let values: Vec<f64> = content.runs.iter().filter_map(|run| value(run, name, stat)).collect();
        let unit = metric(name).map_or(Unit::Count, |info| info.unit);
        if let Some(median) = stat_of("median", &values) {
            let (low, high) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(f64::MIN, f64::max));
            let (low, high) = (unit.format(low), unit.format(high));
            let range = if low == high { String::new() } else { format!("<small>{low} to {high} over seeds</small>") };
            let _ = write!(html, "<div><dt>{title}</dt><dd>{}{range}</dd></div>", unit.format(median));
        }
    }
    html.push_str("</dl>\n");
    content.charts.cost.iter().for_each(|chart| figure(html, chart, content.run.end, true));
    close(html);
}

fn value(run: &Measures, name: &str, stat: &str) -> Option<f64> {
    run.values.iter().find(|value| &*value.metric == name && &*value.stat == stat && value.filter.is_empty()).map(|value| value.value)
}

fn events(html: &mut String, content: &Content<'_>) {
    let events = content.events;
    let cap = if events.total > events.t.len() {
        format!("{} of {} are in the page, warnings before others; all are in the trace.", events.t.len(), events.total)
    } else {
        format!("{} in all.", events.total)
    };
    open(
        html,
        "events",
        "Events",
        &format!("Kubernetes Events of the run that is drawn. {cap} Zooming a chart limits the list to that time."),
    );
    if events.t.is_empty() {
        html.push_str("<p class=\"quiet\">There were none.</p>\n");
        return close(html);
    }
    html.push_str("<form class=\"filters js-only\" id=\"filters\"><label>Type <select id=\"f-type\"><option value=\"\">all</option><option value=\"1\">Warning</option><option value=\"0\">Normal</option></select></label><label>Reason <select id=\"f-reason\"><option value=\"\">all</option></select></label><label>Text <input id=\"f-text\" type=\"search\" placeholder=\"object or message\" autocomplete=\"off\"></label><output id=\"f-count\" aria-live=\"polite\"></output></form>\n<div class=\"scroll tall\" tabindex=\"0\" role=\"group\" aria-label=\"Events\"><table class=\"events\"><thead><tr><th scope=\"col\">Time</th><th scope=\"col\">Type</th><th scope=\"col\">Reason</th><th scope=\"col\">Object</th><th scope=\"col\">Message</th><th scope=\"col\">Source</th></tr></thead><tbody id=\"f-rows\">\n");
    for index in 0..events.t.len().min(40) {
        let text = |column: &[usize]| escape(events.texts[column[index]]);
        let kind = if events.warning[index] == 1 { "Warning" } else { "Normal" };
        let _ = writeln!(
            html,
            "<tr class=\"{}\"><td>{}</td><td>{kind}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            kind.to_lowercase(),
            clock(SimTime::ZERO + SimDuration::from_secs_f64(events.t[index])),
            text(&events.reason),
            text(&events.object),
            text(&events.message),
            text(&events.source)
        );
    }
    html.push_str("</tbody></table></div>\n<button type=\"button\" id=\"f-more\" class=\"js-only\" hidden>Show more</button>\n");
    close(html);
}

/// The scenario as it was understood.
fn scenario(html: &mut String, options: &PageOptions<'_>) {
    const MOST_BYTES: usize = 150_000;
    let Some(text) = options.scenario else { return };
    let end = text.len().min(MOST_BYTES);
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let rest = if end < text.len() { "; the rest is in scenario.yaml" } else { "" };
    let _ = write!(
        html,
        "<h3>Scenario and defaults in force</h3>\n<details><summary>The scenario with its settings applied and every default filled in ({} lines{rest})</summary>\
         <pre tabindex=\"0\" class=\"tall\" role=\"group\" aria-label=\"Scenario\"><code>{}</code></pre></details>\n",
        text[..end].lines().count(),
        escape(&text[..end])
    );
}

fn appendix(html: &mut String, content: &Content<'_>) {
    let head = content.run.header;
    open(html, "appendix", "Appendix", "");
    html.push_str("<h3>How to make this again</h3>\n");
    let reproduce = content.options.reproduce.map_or_else(|| format!("wavetank run {} --seed {}", head.scenario, head.seed), str::to_owned);
    command(html, &reproduce);
    html.push_str("<h3>How it was measured</h3>\n<dl class=\"terms\">");
    let mut told: Vec<&str> = Vec::new();
    for judged in &content.verdict.expectations {
        if let Some(info) = metric(&judged.metric)
            && !told.contains(&info.name)
        {
            told.push(info.name);
            let _ = write!(html, "<dt><code>{}</code></dt><dd>{}</dd>", info.name, escape(info.what));
        }
    }
    html.push_str("</dl>\n<h3>Facts</h3>\n<dl class=\"terms\">");
    let external: u64 =
        content.run.flows.values().filter(|flow| flow.external).flat_map(|flow| &flow.windows).map(|window| window.counts.arrived).sum();
    let all_lost: u64 =
        content.run.flows.values().filter(|flow| flow.external).flat_map(|flow| &flow.windows).map(|window| lost(&window.counts)).sum();
    for (term, text) in [
        ("Scenario digest", head.scenario_digest.to_string()),
        ("Time zero is called", head.start.to_string()),
        ("Warm-up, left out of every number (not of the charts)", short(head.warmup)),
        ("Why the run ended", content.run.end_reason.to_owned()),
        ("Traffic engine", if head.traffic_engine.is_empty() { "none".to_owned() } else { head.traffic_engine.to_string() }),
        ("Requests of users, with the warm-up", format!("{external} begun, {all_lost} lost")),
        ("Points per chart", format!("at most {LIMIT}; each bin of time keeps its lowest and highest value")),
    ] {
        let _ = write!(html, "<dt>{term}</dt><dd>{}</dd>", escape(&text));
    }
    html.push_str("</dl>\n");
    scenario(html, content.options);
    html.push_str("<h3>Assumed, or accepted and not simulated</h3>\n");
    if head.notes.is_empty() {
        html.push_str("<p class=\"quiet\">Nothing.</p>\n");
    } else {
        html.push_str("<ul>");
        for note in &head.notes {
            let _ = write!(html, "<li>{}</li>", escape(note));
        }
        html.push_str("</ul>\n");
    }
    close(html);
}
