//! Tidy tables: one observation a line, as notebooks and spreadsheets like them.
//!
//! Not here: which metrics there are (`metrics`); the numbers of a report (`render::metrics_csv`).

use std::io::{self, Write};

use api::{SimDuration, SimTime};

use super::metrics::{About, Labels, Points, Source, families};
use super::openmetrics::until;
use crate::fold::Run;

/// The columns of the series.
pub(super) const SERIES: [&str; 6] = ["policy", "seed", "at_seconds", "metric", "labels", "value"];
/// The columns of the events.
pub(super) const EVENTS: [&str; 8] = ["policy", "seed", "at_seconds", "type", "reason", "object", "message", "source"];

/// Writes every metric every `resolution`, a sample a line. Labels are `name=value`, separated by `;`.
///
/// # Errors
/// Those of the writer.
pub fn series_csv(run: &Run<'_>, resolution: SimDuration, out: &mut dyn Write) -> io::Result<()> {
    let seed = run.header.seed.to_string();
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(SERIES)?;
    samples(run, resolution, &mut |at, metric, labels, value| {
        let (at, value) = (at.as_secs_f64().to_string(), value.to_string());
        Ok(writer.write_record([&run.header.policy, seed.as_str(), &at, metric, labels, &value])?)
    })?;
    writer.flush()
}

/// Takes one sample: when, metric, labels, value.
type Each<'a> = &'a mut dyn FnMut(SimTime, &str, &str, f64) -> io::Result<()>;

/// Hands on every sample of every metric, series by series.
pub(super) fn samples(run: &Run<'_>, resolution: SimDuration, each: Each<'_>) -> io::Result<()> {
    let source = Source::new(run, resolution);
    let ticks = source.ticks;
    families(&source, &mut |family| {
        for (labels, points) in &family.series {
            let about = &family.about;
            match points {
                Points::Numbers(points) => {
                    let labels = joined(labels, None);
                    for (index, (from, value)) in points.iter().enumerate() {
                        let Some(value) = value else { continue };
                        for at in ticks.between(*from, until(points, index)) {
                            each(at, about.name, &labels, *value)?;
                        }
                    }
                }
                Points::Histogram(bounds, points) => {
                    let names = Names::of(about, labels, bounds);
                    for (index, (from, so_far)) in points.iter().enumerate() {
                        for at in ticks.between(*from, until(points, index)) {
                            let mut below = 0;
                            for (labels, count) in names.labels.iter().zip(&so_far.counts) {
                                below += count;
                                each(at, &names.bucket, labels, below as f64)?;
                            }
                            each(at, &names.sum, &names.plain, so_far.sum)?;
                            each(at, &names.count, &names.plain, below as f64)?;
                        }
                    }
                }
            }
        }
        Ok(())
    })
}

/// What the samples of a histogram are called.
struct Names {
    bucket: String,
    sum: String,
    count: String,
    /// With the upper bound of each bucket.
    labels: Vec<String>,
    plain: String,
}

impl Names {
    fn of(about: &About, labels: &Labels, bounds: &[f64]) -> Self {
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        Self {
            bucket: format!("{}_bucket", about.name),
            sum: format!("{}_sum", about.name),
            count: format!("{}_count", about.name),
            labels: bounds.map(|bound| joined(labels, Some(&bound))).collect(),
            plain: joined(labels, None),
        }
    }
}

fn joined(labels: &Labels, bound: Option<&str>) -> String {
    let pairs = labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}"));
    pairs.chain(bound.map(|bound| format!("le={bound}"))).collect::<Vec<_>>().join(";")
}

/// One thing that happened.
pub(super) struct Happening<'t> {
    pub(super) at: SimTime,
    /// Normal or Warning, as Kubernetes' Events have it; else Fault, Mark, Step, Autoscale or NodePool.
    pub(super) kind: &'t str,
    pub(super) reason: &'t str,
    pub(super) object: String,
    pub(super) message: String,
    pub(super) source: &'t str,
}

/// Everything that happened, in order of time.
pub(super) fn happenings<'t>(run: &Run<'t>) -> Vec<Happening<'t>> {
    let mut all: Vec<Happening<'t>> = Vec::new();
    let mut push = |at, kind, reason, object: String, message: String, source| {
        all.push(Happening { at, kind, reason, object, message, source });
    };
    for fault in &run.faults {
        push(fault.began, "Fault", "FaultBegan", fault.name.to_owned(), fault.targets.join(" "), fault.action);
        if let Some(ended) = fault.ended {
            push(ended, "Fault", "FaultEnded", fault.name.to_owned(), String::new(), fault.action);
        }
    }
    for (at, mark) in &run.marks {
        push(*at, "Mark", "Mark", (*mark).to_owned(), String::new(), "");
    }
    for (at, step, outcome) in &run.steps {
        push(*at, "Step", "Step", (*step).to_owned(), (*outcome).to_owned(), "");
    }
    for look in run.autoscales.iter().filter(|look| look.current != look.desired) {
        let message = format!("{} -> {} of {}: {}", look.current, look.desired, look.target, look.metric);
        push(look.at, "Autoscale", look.reason, format!("HorizontalPodAutoscaler/{}", look.hpa), message, "horizontal-pod-autoscaler");
    }
    for change in &run.pool_changes {
        let message = format!("{} -> {}: {}", change.from, change.to, change.reason);
        push(change.at, "NodePool", "TargetSize", format!("NodePool/{}", change.pool), message, "cluster-autoscaler");
    }
    for (at, pool, until) in &run.backoffs {
        push(*at, "NodePool", "Backoff", format!("NodePool/{pool}"), format!("until {until}"), "cluster-autoscaler");
    }
    for event in &run.events {
        push(event.at, event.kind, event.reason, event.object.to_owned(), event.message.to_owned(), event.source);
    }
    all.sort_by_key(|happening| happening.at);
    all
}

/// Writes what happened: Kubernetes' Events, faults, marks, steps and decisions of autoscalers, in order of time.
///
/// # Errors
/// Those of the writer.
pub fn events_csv(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let seed = run.header.seed.to_string();
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(EVENTS)?;
    for event in happenings(run) {
        let at = event.at.as_secs_f64().to_string();
        let row = [&*run.header.policy, seed.as_str(), &at, event.kind, event.reason, &event.object, &event.message, event.source];
        writer.write_record(row)?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Builder;
    use trace::Record;

    #[test]
    fn what_happened_is_told_in_order_of_time_and_quoted_where_it_must_be() {
        let mut b = Builder::new("events", 3, 100);
        b.event(20.5, "Warning", "FailedScheduling", "Pod/default/web-0", "0/1 nodes are available: \"cpu\", memory", "default-scheduler");
        b.at(30.0, Record::FaultEnded { fault: "power".into() });
        b.at(
            10.0,
            Record::FaultBegan { fault: "power".into(), action: "node-poweroff".into(), targets: vec!["Node/a".into(), "Node/b".into()] },
        );
        b.at(5.0, Record::Mark { mark: "spike".into() });
        b.at(40.0, Record::Step { step: "rollout".into(), outcome: "done".into() });
        b.at(50.0, Record::NodePool { pool: "general".into(), from: 3, to: 5, nodes: vec![], reason: "pods do not fit".into() });
        b.at(55.0, Record::NodePoolBackoff { pool: "general".into(), until: SimTime::from_secs(355) });
        for (at, desired) in [(60.0, 4), (75.0, 4)] {
            let (current, proposed) = (if at < 70.0 { 2 } else { 4 }, 4);
            let (hpa, target, metric) = ("default/web".into(), "Deployment/default/web".into(), "cpu: 143%/65%".into());
            let (stabilized, min, max, reason) = (4, 1, 10, "DesiredWithinRange".into());
            b.at(at, Record::Autoscale { hpa, target, current, proposed, stabilized, min, max, desired, metric, reason });
        }
        let mut bytes = Vec::new();
        events_csv(&Run::new(&b.build()), &mut bytes).unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        policy,seed,at_seconds,type,reason,object,message,source
        default,3,5,Mark,Mark,spike,,
        default,3,10,Fault,FaultBegan,power,Node/a Node/b,node-poweroff
        default,3,20.5,Warning,FailedScheduling,Pod/default/web-0,"0/1 nodes are available: ""cpu"", memory",default-scheduler
        default,3,30,Fault,FaultEnded,power,,node-poweroff
        default,3,40,Step,Step,rollout,done,
        default,3,50,NodePool,TargetSize,NodePool/general,3 -> 5: pods do not fit,cluster-autoscaler
        default,3,55,NodePool,Backoff,NodePool/general,until 5m55s,cluster-autoscaler
        default,3,60,Autoscale,DesiredWithinRange,HorizontalPodAutoscaler/default/web,2 -> 4 of Deployment/default/web: cpu: 143%/65%,horizontal-pod-autoscaler
        "#);
    }
}
