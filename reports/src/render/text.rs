//! What `wavetank run` prints: expectations, recovery, traffic, verdict.

use api::{SimDuration, SimTime};

use super::Table;
use super::causes::{Cause, causes};
use crate::metrics::{Phase, Recovery, TrafficSummary, seconds};
use crate::series::stat_of;
use crate::verdict::{Judged, Outcome, short};
use crate::{Measures, Verdict};

/// What only the caller knows.
#[derive(Clone, Copy, Default, Debug)]
pub struct TextOptions<'a> {
    /// Write with ANSI colours.
    pub colour: bool,
    /// Write ✓ ✗ ·; plain ASCII otherwise.
    pub utf8: bool,
    /// How long it took on this machine, as text.
    pub wall: Option<&'a str>,
    /// Where the page is.
    pub report: Option<&'a str>,
}

impl TextOptions<'_> {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    pub(super) fn heading(&self, text: &str) -> String {
        self.paint("1", text)
    }
    pub(super) fn mark(&self, judged: &Judged) -> String {
        let soft = &*judged.severity != "error";
        let (sign, plain, code) = match judged.outcome {
            Outcome::Pass => ("✓", "ok", "32"),
            Outcome::Fail if soft => ("!", "warn", "33"),
            Outcome::Fail => ("✗", "FAIL", "31"),
            Outcome::Inconclusive => ("?", "?", "33"),
        };
        self.paint(code, &if self.utf8 { sign.to_owned() } else { format!("{plain:<4}") })
    }
}

/// The answer of one scenario under one policy. Ends with a line feed.
#[must_use]
pub fn text(runs: &[Measures], verdict: &Verdict, options: &TextOptions<'_>) -> String {
    let mut runs: Vec<&Measures> = runs.iter().collect();
    runs.sort_by_key(|run| run.seed);
    let mut lines = vec![header(&runs, options)];
    if !verdict.expectations.is_empty() {
        lines.push(String::new());
        lines.push(options.heading("EXPECTATIONS"));
        lines.extend(expectations(verdict, options));
    }
    let causes = causes(&runs);
    if !causes.is_empty() {
        let note = match (runs.len() > 1, causes.iter().any(Cause::is_several)) {
            (false, false) => "",
            (true, false) => " (median over seeds)",
            (false, true) => " (the worst of each)",
            (true, true) => " (the worst of each, median over seeds)",
        };
        lines.push(format!("{}{note}", options.heading("RECOVERY")));
        lines.extend(recovery(&causes, options).lines("  ", 2));
        lines.extend(unrecovered(&runs));
    }
    let traffic = traffic(&runs, verdict);
    if !traffic.rows.is_empty() {
        let seed =
            if runs.len() > 1 { format!(" (seed {})", representative(&runs, verdict).map_or(0, |run| run.seed)) } else { String::new() };
        lines.push(format!("{}{seed}", options.heading("TRAFFIC")));
        lines.extend(traffic.lines("  ", 2));
    }
    lines.extend(denied(&runs));
    lines.extend(caveats(&runs));
    lines.extend(options.report.map(|report| format!("report  {report}")));
    lines.push(last_line(verdict, options));
    lines.push(String::new());
    lines.join("\n")
}

/// What the answer is worth when requests were counted together.
fn caveats(runs: &[&Measures]) -> Vec<String> {
    let Some(run) = runs.first().filter(|run| &*run.traffic_engine == "cohort") else { return Vec::new() };
    let of_engine = |note: &&api::Str| note.starts_with("traffic engine") || note.starts_with("near a tipping point");
    run.notes.iter().filter(of_engine).map(|note| format!("note    {note}")).collect()
}

/// What NetworkPolicies did not allow, over all runs.
fn denied(runs: &[&Measures]) -> Vec<String> {
    let mut sums: std::collections::BTreeMap<(&str, &str), u64> = std::collections::BTreeMap::new();
    for denial in runs.iter().flat_map(|run| &run.denied) {
        *sums.entry((&denial.policy, &denial.flow)).or_default() += denial.attempts;
    }
    let line = |((policy, flow), attempts): ((&str, &str), u64)| {
        format!("  {}: {} attempts", crate::inspect::denied_by(policy, flow), magnitude(attempts))
    };
    sums.into_iter().map(line).collect()
}

fn header(runs: &[&Measures], options: &TextOptions<'_>) -> String {
    let Some(first) = runs.first() else { return "no runs".to_owned() };
    let longest = runs.iter().map(|run| run.ended).max().unwrap_or(SimTime::ZERO);
    let events: u64 = runs.iter().map(|run| run.events + run.traffic_events).sum();
    let mut parts = vec![
        options.heading(&first.scenario),
        format!("policy {}", first.policy),
        seeds_text(&runs.iter().map(|run| run.seed).collect::<Vec<_>>()),
        format!("simulated {}", short(longest.since(SimTime::ZERO))),
        format!("{} events", magnitude(events)),
    ];
    parts.extend(options.wall.map(str::to_owned));
    parts.join("  ")
}

/// `seed 7`, `seeds 1..5 (5 runs)` or `seeds 1,4,9 (3 runs)`.
pub(super) fn seeds_text(seeds: &[u64]) -> String {
    match seeds {
        [] => "no seeds".to_owned(),
        [only] => format!("seed {only}"),
        [first, .., last] if last - first + 1 == seeds.len() as u64 => format!("seeds {first}..{last} ({} runs)", seeds.len()),
        _ => {
            let shown: Vec<String> = seeds.iter().take(6).map(u64::to_string).collect();
            let more = if seeds.len() > 6 { ",…" } else { "" };
            format!("seeds {}{more} ({} runs)", shown.join(","), seeds.len())
        }
    }
}

/// `812`, `14.2 k`, `142 k`, `14.2 M`.
pub(crate) fn magnitude(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..100_000 => format!("{:.1} k", count as f64 / 1e3),
        100_000..999_500 => format!("{:.0} k", count as f64 / 1e3),
        999_500..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.1} G", count as f64 / 1e9),
    }
}

fn expectations(verdict: &Verdict, options: &TextOptions<'_>) -> Vec<String> {
    let mut table = Table::new(&["", "", "", "", ""]);
    for judged in &verdict.expectations {
        let formula = judged.formula();
        let label = if judged.name == judged.metric { formula } else { format!("{}: {formula}", judged.name) };
        let mut note = String::new();
        if judged.outcome != Outcome::Pass {
            let differ = judged.range.is_none_or(|(low, high)| judged.unit().format(low) != judged.unit().format(high));
            if judged.seeds.len() > 1
                && differ
                && let Some(seed) = judged.worst_seed
            {
                note = format!("seed {seed} worst");
            }
            if !judged.note.is_empty() {
                note = if note.is_empty() { judged.note.clone() } else { format!("{note}: {}", judged.note) };
            }
        }
        // What does not decide the verdict says so.
        if &*judged.severity != "error" {
            note = if note.is_empty() { format!("({})", judged.severity) } else { format!("({}) {note}", judged.severity) };
        }
        table.push(vec![label, format!("{} {}", judged.op, judged.expected), judged.value_text.clone(), judged.interval(), note]);
    }
    let lines = table.lines("", 2);
    lines.into_iter().zip(&verdict.expectations).map(|(line, judged)| format!("  {} {line}", options.mark(judged))).collect()
}

/// A row for each fault and mark.
fn recovery(causes: &[Cause<'_>], options: &TextOptions<'_>) -> Table {
    let is_mark = |cause: &Cause<'_>| cause.first().is_some_and(|first| first.is_mark);
    let what = match (causes.iter().any(is_mark), causes.iter().all(is_mark)) {
        (_, true) => "MARK",
        (true, false) => "FAULT OR MARK",
        (false, false) => "FAULT",
    };
    let mut table = Table::new(&[what, "AT", "DETECT", "EVICT", "RESCHEDULE", "READY", "SLO", "TOTAL"]);
    let shown = 12;
    for cause in causes.iter().take(shown) {
        let at = cause.first().map_or_else(String::new, |first| first.at.to_string());
        let mut cells = vec![cause.label(if options.utf8 { "×" } else { "x" }), at];
        for phase in 0..5 {
            let took: Vec<Phase> = cause.worst.iter().map(|(_, recovery)| recovery.phases()[phase].1).collect();
            cells.push(median_phase(&took));
        }
        let totals: Vec<Phase> = cause.worst.iter().map(|(_, recovery)| recovery.total_phase()).collect();
        cells.push(median_phase(&totals));
        table.push(cells);
    }
    if causes.len() > shown {
        table.push(vec![format!("… {} more", causes.len() - shown)]);
    }
    table
}

fn median_phase(phases: &[Phase]) -> String {
    // Never is later than everything; half of the seeds never ending makes the median never.
    let never = phases.iter().filter(|phase| **phase == Phase::Never).count();
    if never * 2 > phases.len() {
        return "never".to_owned();
    }
    let mut took: Vec<f64> = phases.iter().filter_map(|phase| phase.took()).map(SimDuration::as_secs_f64).collect();
    if took.is_empty() {
        return "-".to_owned();
    }
    took.extend(std::iter::repeat_n(f64::INFINITY, never));
    match stat_of("median", &took) {
        Some(median) if median.is_finite() => seconds(median),
        _ => "never".to_owned(),
    }
}

fn unrecovered(runs: &[&Measures]) -> Vec<String> {
    let missing = runs.iter().flat_map(|run| run.recoveries.iter().map(move |recovery| (run.seed, recovery)));
    let missing: Vec<(u64, &Recovery)> = missing.filter(|(_, recovery)| recovery.total.is_none()).collect();
    let several = runs.len() > 1;
    let line = |(seed, recovery): &(u64, &Recovery)| {
        let seed = if several { format!("seed {seed}: ") } else { String::new() };
        format!("  {seed}{}: not recovered within the run: {}", recovery.cause, recovery.missing)
    };
    let mut lines: Vec<String> = missing.iter().take(3).map(line).collect();
    if missing.len() > 3 {
        lines.push(format!("  and {} more", missing.len() - 3));
    }
    lines
}

fn representative<'a>(runs: &[&'a Measures], verdict: &Verdict) -> Option<&'a Measures> {
    runs.iter().find(|run| Some(run.seed) == verdict.worst_seed).or(runs.first()).copied()
}

fn traffic(runs: &[&Measures], verdict: &Verdict) -> Table {
    let mut table =
        Table::new(&["FLOW", "REQUESTS", "SUCCEEDED", "SHED", "REFUSED", "TIMED OUT", "FAILED", "RETRIES", "P50", "P95", "P99"]);
    let Some(run) = representative(runs, verdict) else { return table };
    let shown = 12;
    for flow in run.traffic.iter().take(shown) {
        table.push(traffic_row(flow));
    }
    if run.traffic.len() > shown {
        table.push(vec![format!("… {} more", run.traffic.len() - shown)]);
    }
    table
}

fn traffic_row(flow: &TrafficSummary) -> Vec<String> {
    let counts = &flow.counts;
    let latency = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), seconds);
    let mut row = vec![flow.flow.to_string()];
    row.extend(
        [counts.arrived, counts.succeeded, counts.shed, counts.refused, counts.timed_out, counts.failed, counts.retries].map(magnitude),
    );
    row.extend([flow.p50, flow.p95, flow.p99].map(latency));
    row
}

/// The verdict in one line.
pub(super) fn conclusion(verdict: &Verdict) -> String {
    let decisive = verdict.expectations.iter().filter(|judged| &*judged.severity == "error").count();
    let noun = if decisive == 1 { "expectation" } else { "expectations" };
    let missed = |severity: &str, noun: &str| {
        let is_meant = |judged: &&Judged| judged.outcome == Outcome::Fail && &*judged.severity == severity;
        match verdict.expectations.iter().filter(is_meant).count() {
            0 => String::new(),
            1 => format!("; 1 {noun}"),
            count => format!("; {count} {noun}s"),
        }
    };
    let soft = verdict.expectations.len() - decisive;
    let soft = match missed("warning", "warning") + &missed("info", "note") {
        none if none.is_empty() && soft > 0 && decisive > 0 => {
            format!("; {soft} more that {} not decide", if soft == 1 { "does" } else { "do" })
        }
        some => some,
    };
    let unknown = match verdict.inconclusive {
        0 => String::new(),
        count => format!("; {count} without data"),
    };
    let said = match (decisive, verdict.failed, verdict.inconclusive) {
        (0, ..) if verdict.expectations.is_empty() => "no expectations to judge".to_owned(),
        (0, ..) => "no expectation decides".to_owned(),
        (1, 0, 0) => "the expectation holds".to_owned(),
        (_, 0, 0) => format!("all {decisive} expectations hold"),
        (_, 0, unknown) => format!("{unknown} of {decisive} {noun} could not be judged: no data"),
        (_, failed, _) => format!("{failed} of {decisive} {noun} failed{unknown}"),
    };
    said + &soft
}

fn last_line(verdict: &Verdict, options: &TextOptions<'_>) -> String {
    let code = match verdict.outcome {
        Outcome::Pass => "32",
        Outcome::Fail => "31;1",
        Outcome::Inconclusive => "33",
    };
    // Only a run ends with the verdict as its exit code; results that are read again do not.
    let exit = if options.wall.is_some() && verdict.outcome != Outcome::Pass { "  (exit 4)" } else { "" };
    format!("{}{exit}", options.paint(code, &conclusion(verdict)))
}
