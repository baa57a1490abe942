//! OpenMetrics text with simulated timestamps, as `promtool tsdb create-blocks-from openmetrics` reads it.
//!
//! Upstream: github.com/prometheus/OpenMetrics, specification/OpenMetrics.md (version 1.0).
//!
//! Invariants: families, and series within them, are whole; times within a series rise; labels that a scraper would
//! have added (`job`, `instance`, and `cluster`, which names the run) are on every sample; the last line is `# EOF`.
//!
//! Not here: which metrics there are (`metrics`). A series ends by not being there any more: the format has no word
//! for it.

use std::fmt::Write as _;
use std::io::{self, Write};

use api::{SimDuration, SimTime};

use super::metrics::{About, Distribution, Family, Labels, Points, Source, families};
use super::time::{Stamp, Ticks};
use crate::fold::Run;

/// Writes what a scraper would have seen of the run every `resolution`.
///
/// # Errors
/// Those of the writer.
pub fn openmetrics(run: &Run<'_>, resolution: SimDuration, out: &mut dyn Write) -> io::Result<()> {
    let source = Source::new(run, resolution);
    let head = run.header;
    let cluster = format!("{}/{}/seed-{}", head.scenario, head.policy, head.seed);
    let mut text = Text { ticks: source.ticks, start_ms: source.start_ms, cluster, lines: String::new() };
    families(&source, &mut |family| text.family(family, out))?;
    out.write_all(b"# EOF\n")
}

/// The text of one series at a time.
struct Text {
    ticks: Ticks,
    start_ms: i64,
    cluster: String,
    lines: String,
}

impl Text {
    fn family(&mut self, family: &Family, out: &mut dyn Write) -> io::Result<()> {
        let about = &family.about;
        let name = about.family();
        writeln!(out, "# TYPE {name} {}", about.kind.as_str())?;
        if let Some(unit) = about.unit() {
            writeln!(out, "# UNIT {name} {unit}")?;
        }
        writeln!(out, "# HELP {name} {}", escaped(about.help))?;
        for (labels, points) in &family.series {
            self.lines.clear();
            self.series(about, labels, points);
            out.write_all(self.lines.as_bytes())?;
        }
        Ok(())
    }

    fn series(&mut self, about: &About, labels: &Labels, points: &Points) {
        let labels = self.labels(about, labels);
        match points {
            Points::Numbers(points) => {
                for (index, (from, value)) in points.iter().enumerate() {
                    let Some(value) = value else { continue };
                    for at in self.ticks.between(*from, until(points, index)) {
                        let stamp = Stamp::of(self.start_ms, at);
                        let _ = writeln!(self.lines, "{}{{{labels}}} {value} {stamp}", about.name);
                    }
                }
            }
            Points::Histogram(bounds, points) => {
                let bounds: Vec<String> = bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]).collect();
                for (index, (from, so_far)) in points.iter().enumerate() {
                    for at in self.ticks.between(*from, until(points, index)) {
                        self.distribution(about.name, &labels, &bounds, so_far, at);
                    }
                }
            }
        }
    }

    fn distribution(&mut self, name: &str, labels: &str, bounds: &[String], so_far: &Distribution, at: SimTime) {
        let stamp = Stamp::of(self.start_ms, at);
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(&so_far.counts) {
            below += count;
            let _ = writeln!(self.lines, "{name}_bucket{{{labels},le=\"{bound}\"}} {below} {stamp}");
        }
        let _ = writeln!(self.lines, "{name}_sum{{{labels}}} {} {stamp}", so_far.sum);
        let _ = writeln!(self.lines, "{name}_count{{{labels}}} {below} {stamp}");
    }

    /// A series' labels with those that a scraper adds.
    fn labels(&self, about: &About, labels: &Labels) -> String {
        let has = |wanted: &str| labels.iter().any(|(name, _)| *name == wanted);
        let mut text = format!("cluster=\"{}\"", escaped(&self.cluster));
        for name in ["job", "instance"].into_iter().filter(|name| !about.job.is_empty() && !has(name)) {
            let _ = write!(text, ",{name}=\"{}\"", about.job);
        }
        for (name, value) in labels {
            let _ = write!(text, ",{name}=\"{}\"", escaped(value));
        }
        text
    }
}

/// The end of the piece that begins with a point.
pub(super) fn until<T>(points: &[(SimTime, T)], index: usize) -> SimTime {
    points.get(index + 1).map_or(SimTime::MAX, |(at, _)| *at)
}

/// Text in quotes, and in a line of help.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Builder};
    use std::collections::BTreeSet;
    use trace::{Histogram, Record, Trace, TrafficCounts};

    fn text(trace: &Trace, seconds: u64) -> String {
        let mut bytes = Vec::new();
        openmetrics(&Run::new(trace), SimDuration::from_secs(seconds), &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// `seconds since the start=value` of a series whose line begins with `name` and has `label`.
    fn series(text: &str, name: &str, label: &str) -> Vec<(i64, f64)> {
        let start = 1_795_766_400;
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        let read = |line: &str| {
            let mut words = line.rsplit(' ');
            let stamp: i64 = words.next()?.parse().ok()?;
            Some((stamp - start, words.next()?.parse().ok()?))
        };
        lines.map(|line| read(line).unwrap()).collect()
    }

    #[test]
    fn a_small_run_reads_as_it_should() {
        let mut b = Builder::new("one", 7, 45);
        b.node(0.0, 0);
        b.pod(1.0, "default/web-0", "Deployment/default/web", 500);
        b.runs("default/web-0", "general-000", 5.0, 8.0, 12.0);
        b.deleted(31.0, "default/web-0", "kubectl", 40.0);
        b.workload(12.0, "default/web", 1, 1, 1);
        let mut latency = Histogram::default();
        latency.record_n(30_000_000, 3);
        let counts = TrafficCounts { arrived: 4, succeeded: 3, shed: 1, attempts: 5, retries: 1, ..TrafficCounts::default() };
        let window = SimDuration::from_secs(5);
        b.at(20.0, Record::Traffic { flow: "\"users\"".into(), external: true, service: "default/web".into(), window, counts, latency });
        insta::assert_snapshot!(text(&b.build(), 30));
    }

    #[test]
    fn a_series_is_there_while_its_object_is() {
        let mut b = Builder::new("two-lives", 1, 120);
        let node = b.node(20.0, 0);
        b.at(40.0, Record::NodeTaints { node: node.clone(), unschedulable: true, taints: vec!["a=b:NoSchedule".into()] });
        b.at(60.0, Record::NodeTaints { node: node.clone(), unschedulable: false, taints: vec![] });
        b.at(80.0, Record::NodeRemoved { node });
        b.node(100.0, 0);
        let text = text(&b.build(), 10);
        assert_eq!(
            series(&text, "kube_node_info", "general-000").iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [20, 30, 40, 50, 60, 70, 100, 110, 120],
            "one name, one series, with a gap"
        );
        assert_eq!(series(&text, "kube_node_spec_taint", r#"key="a",value="b",effect="NoSchedule""#), [(40, 1.0), (50, 1.0)]);
        let cordoned: Vec<f64> = series(&text, "kube_node_spec_unschedulable", "").into_iter().map(|(_, value)| value).collect();
        assert_eq!(cordoned, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_container_tells_why_it_waits_and_why_it_ended_last() {
        let mut b = Builder::new("crash", 1, 100);
        b.node(0.0, 0);
        b.pod(1.0, "default/db-0", "StatefulSet/default/db", 500);
        b.runs("default/db-0", "general-000", 5.0, 8.0, 12.0);
        for (at, state, reason, restarts) in
            [(25.0, "Terminated", "OOMKilled", 0), (35.0, "Waiting", "CrashLoopBackOff", 0), (55.0, "Running", "", 1)]
        {
            let (pod, container) = ("default/db-0".into(), "app".into());
            b.at(at, Record::Container { pod, container, state: state.into(), reason: reason.into(), exit_code: None, restarts });
        }
        b.deleted(62.0, "default/db-0", "kubectl", 68.0);
        b.pod(75.0, "default/db-0", "StatefulSet/default/db", 500);
        let text = text(&b.build(), 10);
        let at = |name: &str, label: &str| series(&text, name, label).into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(at("kube_pod_container_status_waiting_reason", "CrashLoopBackOff"), [40, 50]);
        assert_eq!(at("kube_pod_container_status_last_terminated_reason", "OOMKilled"), [40, 50, 60], "until the pod is gone");
        let restarts = series(&text, "kube_pod_container_status_restarts_total", "db-0");
        assert_eq!(restarts, [(10, 0.0), (20, 0.0), (30, 0.0), (40, 0.0), (50, 0.0), (60, 1.0)]);
        assert_eq!(at("kube_pod_owner", r#"pod="db-0",owner_kind="StatefulSet",owner_name="db""#), [10, 20, 30, 40, 50, 60, 80, 90, 100]);
        assert_eq!(at("kube_pod_info", r#"pod="db-0",node="""#), [80, 90, 100], "the second life has no node yet");
        assert_eq!(series(&text, "kube_pod_status_phase", r#"phase="Pending""#).last(), Some(&(100, 1.0)));
    }

    #[test]
    fn cpu_time_is_counted_up_to_the_sample_that_tells_of_it() {
        let mut b = Builder::new("usage", 1, 60);
        let node = b.node(0.0, 0);
        for (at, cpu_used_millis) in [(30.0, 500), (45.0, 2000)] {
            let node = node.clone();
            b.at(at, Record::NodeUsage { node, pods: 1, cpu_requested_millis: 0, memory_requested_bytes: 0, cpu_used_millis });
        }
        // Nothing until 15 s (no sample told of a change), 0.5 cores from 15 s to 30 s, 2 cores from then on.
        let expected = [(0, 0.0), (15, 0.0), (30, 7.5), (45, 37.5), (60, 67.5)];
        assert_eq!(series(&text(&b.build(), 15), "node_cpu_usage_seconds_total", "general-000"), expected);
    }

    #[test]
    fn counters_come_to_what_the_trace_counts() {
        let trace = testing::black_friday(1);
        let text = text(&trace, 15);
        let (mut succeeded, mut observed, mut bound) = (0, 0, 0);
        for (_, record) in &trace.records {
            match record {
                Record::Traffic { external: true, counts, latency, .. } => {
                    succeeded += counts.succeeded;
                    observed += latency.count();
                }
                Record::PodScheduled { .. } => bound += 1,
                _ => {}
            }
        }
        let last = |name: &str, label: &str| series(&text, name, label).last().unwrap().1;
        assert_eq!(last("http_requests_total", r#"external="true",code="200""#), succeeded as f64);
        assert_eq!(last("http_request_duration_seconds_count", r#"external="true""#), observed as f64);
        assert_eq!(last("http_request_duration_seconds_bucket", r#"external="true",le="+Inf""#), observed as f64);
        assert_eq!(last("scheduler_schedule_attempts_total", r#"result="scheduled""#), f64::from(bound));
    }

    /// Rules of the format that promtool does not check: families are whole, series too, and time rises in them.
    #[test]
    fn families_and_series_are_not_interleaved() {
        let text = text(&testing::node_failure(1), 15);
        assert!(text.ends_with("# EOF\n"));
        let (mut families, mut all, mut current) = (BTreeSet::new(), BTreeSet::new(), (String::new(), 0.0));
        let mut family = "";
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{line}");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} in {family}");
                let (name, stamp) = (line.rsplitn(3, ' ').nth(2).unwrap(), line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
                // A point of a histogram is several lines; they are compared by their first.
                if name.contains("_bucket{") || name.contains("_sum{") || name.contains("_count{") {
                    continue;
                }
                if current.0 == name {
                    assert!(stamp > current.1, "{line}");
                } else {
                    assert!(all.insert(name.to_owned()), "{name} comes twice");
                }
                current = (name.to_owned(), stamp);
            }
        }
        assert!(families.len() > 30);
    }
}
