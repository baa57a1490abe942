//! The page: one HTML file that needs nothing else, for people who were not there.
//!
//! Script, style and data are inside; it opens from a disk without a network, prints, and says the essential
//! without its script (static pictures, plain tables).
//!
//! Invariants:
//! - Equal runs give equal bytes: no build time, no machine.
//! - Text from users' files is escaped; the content security policy lets no other script run than the two inside,
//!   named by their digests, and nothing be fetched.
//! - What is left out or thinned is said where it is missing.
//!
//! Not here: what the numbers are (`metrics`, `compare`, `sweep`).

mod chart;
mod comparison;
mod decisions;
mod encode;
mod heatmap;
mod plot;
mod search;
mod sections;
mod shell;
mod svg;
mod sweep;

use std::borrow::Borrow;

use serde::Serialize;
use trace::Trace;

use self::chart::{Chart, Charts};
use self::encode::data_element;
use crate::fold::Run;
use crate::{Measures, Verdict};

pub use self::comparison::comparison_page;
pub use self::search::search_page;
pub use self::shell::PAGE_LIMIT_BYTES;
pub use self::sweep::sweep_page;

/// What only the caller knows.
#[derive(Clone, Copy, Default, Debug)]
pub struct PageOptions<'a> {
    /// The command that makes these results again.
    pub reproduce: Option<&'a str>,
    /// The scenario with its defaults, as YAML.
    pub scenario: Option<&'a str>,
    /// The seed that is drawn; the worst by default.
    pub seed: Option<u64>,
}

const SCRIPT: &str = include_str!("../../../assets/page.js");
const UPLOT: &str = include_str!("../../../assets/uPlot-1.6.32.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../../../assets/uPlot-1.6.32.min.css");

/// Faults, marks and steps on the time axis, in seconds.
#[derive(Serialize)]
struct Band<'a> {
    from: f64,
    to: Option<f64>,
    label: &'a str,
    /// How often this fault or mark is in the run, drawn or not.
    times: usize,
    mark: bool,
}

#[derive(Serialize)]
struct Data<'a> {
    end: f64,
    warmup: f64,
    bands: Vec<Band<'a>>,
    charts: Vec<&'a Chart>,
    heat: Option<heatmap::Heat>,
    events: sections::Events<'a>,
}

/// The page about `runs` and their verdict. Of `traces` (in any order, not necessarily of all runs) the one asked for is
/// drawn, else that of `verdict.worst_seed`, else the first; without any there is no page.
#[must_use]
pub fn page<T: Borrow<Trace>>(traces: &[T], runs: &[Measures], verdict: &Verdict, options: &PageOptions<'_>) -> String {
    let mut traces = traces.iter().map(Borrow::borrow).collect::<Vec<&Trace>>();
    traces.sort_by_key(|trace| trace.header.seed);
    let worst = traces.iter().find(|trace| Some(trace.header.seed) == options.seed.or(verdict.worst_seed));
    let Some(drawn) = worst.or(traces.first()) else { return String::new() };
    let run = Run::new(drawn);
    let mut runs: Vec<&Measures> = runs.iter().collect();
    runs.sort_by_key(|run| run.seed);
    let mut charts = Charts::new(&run);
    if traces.len() > 1 {
        charts.compare_seeds(&traces);
    }
    let heat = heatmap::Heat::new(&run);
    let events = sections::Events::new(&run);
    let body = sections::body(&sections::Content {
        run: &run,
        runs: &runs,
        verdict,
        charts: &charts,
        heat: heat.as_ref(),
        events: &events,
        options,
    });
    let data = Data {
        end: run.end.as_secs_f64(),
        warmup: run.header.warmup.as_secs_f64(),
        bands: bands(&run),
        charts: charts.all().collect(),
        heat,
        events,
    };
    // Numbers are finite and keys are text: this cannot fail.
    let json = serde_json::to_string(&data).unwrap_or_default();
    shell::document(&run.header.scenario, UPLOT_STYLE, &body, &data_element("data", &json), &[UPLOT, SCRIPT])
}

fn bands<'a>(run: &Run<'a>) -> Vec<Band<'a>> {
    // More than this would paint the charts over.
    let shown = 60;
    let faults = run.faults.iter().take(shown).map(|fault| Band {
        from: fault.began.as_secs_f64(),
        to: fault.ended.map(api::SimTime::as_secs_f64),
        label: fault.name,
        times: run.faults.iter().filter(|other| other.name == fault.name).count(),
        mark: false,
    });
    let marks = run.marks.iter().take(shown).map(|(at, mark)| Band { from: at.as_secs_f64(), to: None, label: mark, times: 1, mark: true });
    // What comes all the time is no moment to be marked.
    let steps = run.steps.iter().filter(|(_, step, _)| !crate::story::is_load(run, step)).take(shown);
    let steps = steps.map(|(at, step, _)| Band { from: at.as_secs_f64(), to: None, label: step, times: 1, mark: true });
    faults.chain(marks).chain(steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{black_friday, node_failure};
    use crate::verdict::judge;

    fn page_of(trace: &Trace) -> String {
        let runs = vec![Measures::of_trace(trace)];
        page(&[trace], &runs, &judge(&runs), &PageOptions::default())
    }

    #[test]
    fn the_page_is_one_small_file_that_fetches_nothing_and_is_the_same_every_time() {
        for trace in [black_friday(1), node_failure(1)] {
            let html = page_of(&trace);
            assert_eq!(html, page_of(&trace));
            assert!(html.len() < 2 << 20, "{} bytes", html.len());
            for outward in [" src=\"http", "href=\"http", "url(http", "@import", "unsafe-eval", "fetch("] {
                assert!(!html.contains(outward), "{outward}");
            }
        }
    }

    #[test]
    fn a_run_in_which_nothing_happened_has_a_page_too() {
        let mut builder = crate::testing::Builder::new("quiet", 1, 0);
        builder.header().warmup = api::SimDuration::from_secs(10);
        let html = page_of(&builder.build());
        assert!(html.contains("there is nothing to judge") && html.contains("Nothing out of the ordinary"));
    }

    #[test]
    fn all_seeds_are_in_the_timeline_and_the_scenario_in_the_appendix() {
        let traces = [black_friday(1), black_friday(2), black_friday(3)];
        let runs: Vec<Measures> = traces.iter().map(Measures::of_trace).collect();
        let options = PageOptions { reproduce: Some("wavetank run <x>"), scenario: Some("spec:\n  duration: 20m # <b>\n"), seed: None };
        let html = page(&traces, &runs, &judge(&runs), &options);
        assert!(html.contains("(all 3 seeds: ") && html.contains("The tint around a line"));
        assert!(html.contains("duration: 20m # &lt;b&gt;") && html.contains("(2 lines)") && html.contains("wavetank run &lt;x&gt;"));
        assert!(html.contains("<svg class=\"spark\""), "a course beside what was found");
        let one = page_of(&traces[0]);
        assert!(!one.contains("all 1 seeds") && !one.contains("The tint") && !one.contains("Scenario and defaults"));
    }

    #[test]
    fn the_tint_goes_from_the_lowest_to_the_highest_seed() {
        let traces = [black_friday(1), black_friday(2)];
        let run = Run::new(&traces[0]);
        let mut charts = Charts::new(&run);
        charts.compare_seeds(&traces.iter().collect::<Vec<_>>());
        let mut looked = 0;
        for chart in &charts.timeline {
            let seeds = chart.seeds.as_ref().unwrap();
            assert_eq!(seeds.count, 2);
            for (index, series) in chart.series.iter().enumerate().filter(|(index, _)| !seeds.low[*index].is_empty()) {
                let ends =
                    |values: &mut dyn Iterator<Item = f64>| values.fold((f64::MAX, f64::MIN), |ends, v| (ends.0.min(v), ends.1.max(v)));
                let (low, high) = ends(&mut series.y.iter().flatten().copied());
                let lowest = seeds.low[index].iter().flatten().copied().fold(f64::MAX, f64::min);
                let highest = seeds.high[index].iter().flatten().copied().fold(f64::MIN, f64::max);
                assert!(lowest <= low && high <= highest, "{} {}", chart.id, series.label);
                looked += 1;
            }
        }
        assert!(looked >= 8, "{looked} lines");
    }

    #[test]
    fn names_from_users_files_stay_text() {
        let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
        let mut trace = node_failure(1);
        trace.header.scenario = evil.into();
        trace.header.description = evil.into();
        trace.header.notes = vec![evil.into()];
        for (_, record) in &mut trace.records {
            match record {
                trace::Record::FaultBegan { fault, .. } | trace::Record::FaultEnded { fault } => *fault = evil.into(),
                trace::Record::Event { message, object, .. } => (*message, *object) = (evil.into(), evil.into()),
                trace::Record::Traffic { flow, service, .. } => (*flow, *service) = (evil.into(), evil.into()),
                _ => {}
            }
        }
        let html = page_of(&trace);
        assert!(!html.contains("<img src=x"), "a tag got through");
        assert_eq!(html.matches("<script").count(), 4, "data, shell, uPlot, charts");
    }
}
