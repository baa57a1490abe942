//! Zones of nodes: how much of one is down, and how fast its nodes may be tainted NoExecute.
//!
//! Invariant: a zone's NoExecute taints are at least 1/rate apart.
//! Not here: which nodes belong into the queue, and the writes (`super`).

use api::{Node, SimDuration, SimTime};

use crate::spec::NodeLifecycle as Settings;
use crate::store::NodeId;

/// What a zone is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ZoneState {
    Initial,
    Normal,
    PartialDisruption,
    FullDisruption,
}

/// A zone with its queue of nodes to taint and its rate limiter (a token bucket of one).
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) state: ZoneState,
    pub(super) queue: Vec<NodeId>,
    nodes_per_s: f64,
    next_token: SimTime,
}

impl Zone {
    pub(super) fn new(nodes_per_s: f64) -> Self {
        Self { state: ZoneState::Initial, queue: Vec::new(), nodes_per_s, next_token: SimTime::ZERO }
    }

    pub(super) fn take_token(&mut self, now: SimTime) -> bool {
        if self.nodes_per_s <= 0.0 || now < self.next_token {
            return false;
        }
        self.next_token = now + interval(self.nodes_per_s);
        true
    }

    /// When the next node of the queue may be tainted.
    pub(super) fn next_turn(&self) -> Option<SimTime> {
        (!self.queue.is_empty() && self.nodes_per_s > 0.0).then_some(self.next_token)
    }

    /// A new limiter starts full only if the old one had a token left (upstream: SwapLimiter).
    pub(super) fn set_rate(&mut self, nodes_per_s: f64, now: SimTime) {
        if self.nodes_per_s == nodes_per_s {
            return;
        }
        let had_token = self.nodes_per_s > 0.0 && now >= self.next_token;
        self.nodes_per_s = nodes_per_s;
        self.next_token = if had_token || nodes_per_s <= 0.0 { now } else { now + interval(nodes_per_s) };
    }
}

fn interval(nodes_per_s: f64) -> SimDuration {
    SimDuration::from_secs_f64(1.0 / nodes_per_s)
}

/// Upstream: ComputeZoneState.
pub(super) fn judge((ready, not_ready): (u32, u32), settings: &Settings) -> ZoneState {
    if ready == 0 && not_ready > 0 {
        ZoneState::FullDisruption
    } else if not_ready > 2 && f64::from(not_ready) / f64::from(not_ready + ready) >= settings.unhealthy_zone_threshold {
        ZoneState::PartialDisruption
    } else {
        ZoneState::Normal
    }
}

/// Upstream: setLimiterInZone, ReducedQPSFunc, HealthyQPSFunc.
pub(super) fn rate(state: ZoneState, size: u32, settings: &Settings) -> f64 {
    match state {
        ZoneState::PartialDisruption if size > settings.large_cluster_size_threshold => settings.secondary_node_eviction_rate,
        ZoneState::PartialDisruption => 0.0,
        ZoneState::Initial | ZoneState::Normal | ZoneState::FullDisruption => settings.node_eviction_rate,
    }
}

/// Region and zone; nodes without either share one.
pub(super) fn zone_of(node: &Node) -> String {
    let label = |key: &str| node.meta.labels.get(key).map_or("", |value| value);
    let (region, zone) = (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\u{0}:{zone}") }
}
