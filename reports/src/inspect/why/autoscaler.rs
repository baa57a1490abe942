//! The story of a HorizontalPodAutoscaler: what its metrics asked for, and what came in between.

use api::{Quantity, SimTime};

use super::{Told, clock, said_of, tell};
use crate::fold::{Autoscale, Event, Run};

pub(super) fn story(run: &Run<'_>, name: &str, at: SimTime) -> Vec<String> {
    let looks: Vec<&Autoscale<'_>> = run.autoscales.iter().filter(|look| look.hpa == name).collect();
    let until_now = looks.partition_point(|look| look.at <= at);
    let Some(last) = looks[..until_now].last().or(looks.first()) else { return Vec::new() };
    let bounds = if last.max > 0 { format!(", {} to {} replicas", last.min, last.max) } else { String::new() };
    let mut head = vec![format!("HorizontalPodAutoscaler/{name} of {}{bounds}", last.target)];
    head.push(match until_now {
        0 => format!("has not looked yet at {}", clock(at)),
        _ => format!("{} replicas at {}, by its look at {}: {}", last.desired, clock(at), clock(last.at), asked(last)),
    });
    let mut told: Told = Vec::new();
    // Looks that come to the same are told once, but not across the instant asked about.
    let is_same = |a: &&Autoscale<'_>, b: &&Autoscale<'_>| {
        let moves = |look: &Autoscale<'_>| look.current != look.desired;
        let held = |look: &Autoscale<'_>| look.stabilized.cmp(&look.proposed);
        let class = |look: &Autoscale<'_>| (look.reason.to_owned(), look.desired, held(look), unchanged(look.metric), look.at <= at);
        class(a) == class(b) && !moves(a) && !moves(b)
    };
    for same in looks.chunk_by(is_same) {
        let (first, last) = (same[0], same[same.len() - 1]);
        let until = if same.len() > 1 { format!(" (until {})", clock(last.at)) } else { String::new() };
        let does = if first.current == first.desired {
            format!("keeps {}", first.desired)
        } else {
            format!("scales {} → {}", first.current, first.desired)
        };
        told.push((first.at, format!("{does}: {}{until}", asked(first))));
    }
    // The sum of failures repeats each of them.
    let is_meant = |event: &Event<'_>| event.kind == "Warning" && event.reason != "FailedComputeMetricsReplicas";
    let object = format!("HorizontalPodAutoscaler/{name}");
    told.extend(said_of(run.events.iter().filter(|event| event.object == object && is_meant(event))));
    tell(head, told, at)
}

/// What a look saw and wanted, and what came in between: the windows first, then the limits.
pub(super) fn asked(look: &Autoscale<'_>) -> String {
    let Autoscale { metric, proposed, stabilized, min, max, reason, current, desired, .. } = *look;
    let wants = format!("{metric} asks for {proposed}");
    let limit = match reason {
        "ScaleUpLimit" => Some(format!("the policies of scaling up allow no more than {desired} now")),
        "ScaleDownLimit" => Some(format!("the policies of scaling down allow no fewer than {desired} now")),
        "TooManyReplicas" => Some(format!("maxReplicas is {}", if max > 0 { max } else { desired })),
        "TooFewReplicas" => Some(format!("minReplicas is {}", if max > 0 { min } else { desired })),
        "DesiredWithinRange" | "ScaleDownStabilized" | "ScaleUpStabilized" | "" => None,
        "SucceededRescale" => return format!("{current} is outside of minReplicas and maxReplicas"),
        "ScalingDisabled" => return "its target has been scaled to zero: it does nothing until somebody scales it up".to_owned(),
        reason => return format!("no usable metric ({reason}){}", if metric.is_empty() { String::new() } else { format!(": {metric}") }),
    };
    // Only traces that tell the bounds tell what the windows left.
    let kept = match reason {
        _ if max > 0 => stabilized,
        "ScaleDownStabilized" | "ScaleUpStabilized" => desired,
        _ => proposed,
    };
    let window = (kept != proposed).then(|| format!("its stabilization window keeps it at {kept}"));
    let between: Vec<String> = window.into_iter().chain(limit).collect();
    match between.is_empty() {
        true if proposed == current => format!("{wants}: {}", unchanged(metric).text()),
        true => wants,
        false => format!("{wants}, but {}", between.join(" and ")),
    }
}

/// Why metrics may ask for no other size than there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unchanged {
    OnTarget,
    Above,
    Below,
    Unknown,
}

impl Unchanged {
    const fn text(self) -> &'static str {
        match self {
            Self::OnTarget => "no change, within tolerance of its target",
            // Upstream (replica_calculator.go) counts pods that are not ready as idle, those without metrics too when it
            // scales up, and as on target when it scales down.
            Self::Above => "no more, as pods that are not ready or not measured yet count as idle (or its tolerance is as wide)",
            Self::Below => "no fewer, in whole pods and with those not measured counted as on target (or its tolerance is as wide)",
            Self::Unknown => "as many as there are",
        }
    }
}

/// By the metric that is furthest above its target: `cpu: 143%/65%, requests: 900m/1`.
fn unchanged(metric: &str) -> Unchanged {
    /// The usual tolerance, in thousandths of the target.
    const USUAL: std::ops::RangeInclusive<i64> = 900..=1100;
    let permille = |one: &str| {
        let (usage, target) = one.rsplit_once(": ")?.1.trim_end_matches(" (avg)").split_once('/')?;
        let number = |text: &str| text.trim_end_matches('%').parse::<Quantity>().ok().map(Quantity::milli_value);
        number(usage)?.checked_mul(1000)?.checked_div(number(target)?)
    };
    match metric.split(", ").filter_map(permille).max() {
        None => Unchanged::Unknown,
        Some(permille) if USUAL.contains(&permille) => Unchanged::OnTarget,
        Some(permille) if permille > *USUAL.end() => Unchanged::Above,
        Some(_) => Unchanged::Below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_limits_are_both_told() {
        let look = |reason, (current, proposed, stabilized, desired)| Autoscale {
            at: SimTime::ZERO,
            hpa: "ns/web",
            target: "Deployment/ns/web",
            current,
            proposed,
            stabilized,
            min: 2,
            max: 6,
            desired,
            metric: "cpu: 100%/50%",
            reason,
        };
        let told: Vec<String> = [
            look("DesiredWithinRange", (2, 4, 4, 4)),
            look("DesiredWithinRange", (4, 4, 4, 4)),
            look("TooManyReplicas", (2, 8, 8, 6)),
            look("TooManyReplicas", (6, 4, 8, 6)),
            look("TooFewReplicas", (3, 1, 1, 2)),
            look("ScaleUpLimit", (2, 6, 5, 4)),
            look("ScaleDownLimit", (6, 2, 2, 5)),
            look("ScaleDownStabilized", (6, 2, 5, 5)),
            look("DesiredWithinRange", (6, 2, 5, 5)),
            look("ScaleUpStabilized", (2, 6, 3, 3)),
            // A trace of before has no bounds, and says nothing of the windows.
            Autoscale { max: 0, stabilized: 0, ..look("TooManyReplicas", (2, 8, 8, 6)) },
            Autoscale { max: 0, stabilized: 0, ..look("ScaleDownStabilized", (6, 2, 5, 5)) },
            look("SucceededRescale", (9, 6, 6, 6)),
            look("ScalingDisabled", (0, 0, 0, 0)),
            look("FailedGetResourceMetric", (2, 2, 2, 2)),
        ]
        .iter()
        .map(asked)
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_metric_that_asks_for_no_change_is_on_target_or_says_which_side_it_is_on() {
        for (metric, expected) in [
            ("cpu: 52%/50%", Unchanged::OnTarget),
            ("cpu: 215%/50%", Unchanged::Above),
            ("cpu: 43%/50%", Unchanged::Below),
            ("cpu: 43%/50%, requests: 1500m/1", Unchanged::Above),
            ("queue: 60/50 (avg)", Unchanged::Above),
            ("memory: 512Mi/1Gi", Unchanged::Below),
            ("cpu: <unknown>/50%", Unchanged::Unknown),
            ("cpu: 5%/0%", Unchanged::Unknown),
            ("", Unchanged::Unknown),
        ] {
            assert_eq!(unchanged(metric), expected, "{metric}");
        }
    }
}
