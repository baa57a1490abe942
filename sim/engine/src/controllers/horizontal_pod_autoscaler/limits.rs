//! How far one look may go: rates of change by policies, or the fixed one, between the bounds of the autoscaler.
//!
//! Upstream: pkg/controller/podautoscaler/horizontal.go, calculateScale*LimitWith*, convertDesiredReplicasWithRules.
//!
//! Invariant: arithmetic only; what was changed before is given.

use api::{HpaBehavior, IntOrPercent, ScalingPolicySelect, ScalingRules, SimDuration, SimTime};

use crate::controllers::replica_calculator::Tolerances;
use crate::spec::HpaSettings;

/// A change of scale, for the limits of policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ScaleEvent {
    pub(super) at: SimTime,
    pub(super) change: i32,
}

pub(super) fn tolerances(behavior: Option<&HpaBehavior>, settings: &HpaSettings) -> Tolerances {
    let own = |rules: fn(&HpaBehavior) -> &ScalingRules| {
        behavior.and_then(|behavior| rules(behavior).tolerance_micros).map_or(settings.tolerance, |micros| micros as f64 / 1e6)
    };
    Tolerances { scale_down: own(|behavior| &behavior.scale_down), scale_up: own(|behavior| &behavior.scale_up) }
}

/// At most doubled, or four (upstream: convertDesiredReplicasWithRules).
pub(super) fn limit_without_behavior(current: i32, desired: i32, min: i32, max: i32) -> (i32, &'static str) {
    let rate = current.saturating_mul(2).max(4);
    let (limit, reason) = if max > rate { (rate, "ScaleUpLimit") } else { (max, "TooManyReplicas") };
    if desired < min {
        (min, "TooFewReplicas")
    } else if desired > limit {
        (limit, reason)
    } else {
        (desired, "DesiredWithinRange")
    }
}

fn changed_within(period: SimDuration, events: &[ScaleEvent], now: SimTime) -> i32 {
    events.iter().filter(|event| event.at + period > now).map(|event| event.change).sum()
}

/// The size at the beginning of a policy's period.
fn period_start(current: i32, period: SimDuration, ups: &[ScaleEvent], downs: &[ScaleEvent], now: SimTime) -> i32 {
    current - changed_within(period, ups, now) + changed_within(period, downs, now)
}

pub(super) fn scale_up_limit(current: i32, ups: &[ScaleEvent], downs: &[ScaleEvent], rules: &ScalingRules, now: SimTime) -> i32 {
    let limits = rules.policies.iter().map(|policy| {
        let start = period_start(current, policy.period, ups, downs, now);
        match policy.amount {
            IntOrPercent::Count(pods) => start.saturating_add(pods),
            // Rounded up, or a small target would never grow.
            IntOrPercent::Percent(percent) => libm::ceil(f64::from(start) * (1.0 + f64::from(percent) / 100.0)) as i32,
        }
    });
    match rules.select {
        ScalingPolicySelect::Disabled => current,
        ScalingPolicySelect::Min => limits.min().unwrap_or(i32::MAX),
        ScalingPolicySelect::Max => limits.max().unwrap_or(i32::MIN),
    }
}

pub(super) fn scale_down_limit(current: i32, ups: &[ScaleEvent], downs: &[ScaleEvent], rules: &ScalingRules, now: SimTime) -> i32 {
    let limits = rules.policies.iter().map(|policy| {
        let start = period_start(current, policy.period, ups, downs, now);
        match policy.amount {
            IntOrPercent::Count(pods) => start.saturating_sub(pods),
            IntOrPercent::Percent(percent) => (f64::from(start) * (1.0 - f64::from(percent) / 100.0)) as i32, // Cut.
        }
    });
    match rules.select {
        ScalingPolicySelect::Disabled => current,
        ScalingPolicySelect::Min => limits.max().unwrap_or(i32::MIN),
        ScalingPolicySelect::Max => limits.min().unwrap_or(i32::MAX),
    }
}
