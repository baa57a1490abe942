//! Node lifecycle controller: notices silent nodes, marks them and their pods, taints them zone by zone.
//!
//! Reads: Nodes, Pods. Writes: node Ready=Unknown, pods Ready=False, taints of unreachable and not-ready nodes.
//! Upstream: pkg/controller/nodelifecycle.
//!
//! In closed form: a lease renewed every few seconds and a monitor that looks every five need no events
//! while nodes are healthy. When heartbeats stop, the last renewal, the monitor's tick that first saw it
//! and the tick at which its grace is over are worked out at once.
//!
//! Invariants:
//! - A monitor tick is at `phase + k·period`, exactly; a tick exactly one grace after the last seen
//!   renewal finds the node silent (upstream's ticks drift by the time they take, so theirs is just after).
//! - Zones are judged once per tick, after all nodes of that tick.
//! - A zone's NoExecute taints are at least 1/rate apart.
//!
//! Not modelled: the startup grace of nodes that never reported, pressure conditions becoming Unknown,
//! kubelet status reports (every 5 min) as heartbeats beside the lease, jitter of lease renewals, the
//! 100 ms grid of the tainting pass.

use std::collections::BTreeMap;

use api::{ConditionStatus, Node, SimDuration, SimTime, Str, Taint, TaintEffect};

use super::{View, object_name};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::random::{Purpose, Streams};
use crate::spec::NodeLifecycle as Settings;
use crate::store::{Change, NodeId};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Taints that mirror conditions or the cordon.
const MIRRORED: [&str; 6] = [
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
];
/// Nodes with this label do not count in their zone's state.
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-disruption";

/// NoSchedule taints follow conditions and cordon at once (upstream: doNoScheduleTaintingPass).
pub(crate) fn sync(id: NodeId, view: &View<'_>, out: &mut Effects) {
    if let Some((add, remove)) = view.store.nodes.get(id).and_then(no_schedule_patch) {
        out.write(Component::NodeLifecycle, Write::PatchNode { node: id, add, remove, unschedulable: None });
    }
}

/// Taints to add, and those to take off by key and effect.
type TaintPatch = (Vec<Taint>, Vec<(Str, TaintEffect)>);

/// What makes the NoSchedule taints as they should be; `None` when they are.
pub(super) fn no_schedule_patch(node: &Node) -> Option<TaintPatch> {
    let status = &node.status;
    let wanted = |key: &str| match key {
        NOT_READY => status.ready == ConditionStatus::False,
        UNREACHABLE => status.ready == ConditionStatus::Unknown,
        UNSCHEDULABLE => node.spec.unschedulable,
        "node.kubernetes.io/memory-pressure" => status.memory_pressure,
        "node.kubernetes.io/disk-pressure" => status.disk_pressure,
        _ => status.pid_pressure,
    };
    let differing =
        |want: bool| MIRRORED.into_iter().filter(move |key| wanted(key) == want && has_taint(node, key, TaintEffect::NoSchedule) != want);
    let add: Vec<Taint> = differing(true).map(|key| Taint::new(key, TaintEffect::NoSchedule)).collect();
    let remove: Vec<(Str, TaintEffect)> = differing(false).map(|key| (key.into(), TaintEffect::NoSchedule)).collect();
    (!add.is_empty() || !remove.is_empty()).then_some((add, remove))
}

fn has_taint(node: &Node, key: &str, effect: TaintEffect) -> bool {
    node.spec.taints.iter().any(|taint| &*taint.key == key && taint.effect == effect)
}

/// What the controller knows of a node.
#[derive(Debug)]
struct Health {
    zone: String,
    counts: bool,
    /// Registration or last return; the first heartbeat.
    first_heartbeat: SimTime,
    /// Renewals are at this instant and every interval after it.
    lease_phase: SimTime,
    stopped: Option<SimTime>,
    /// Ready as the controller last saw or set it.
    ready: ConditionStatus,
    /// Its NoExecute taint, as far as the controller has asked for it.
    tainted: Option<&'static str>,
    /// Its arrival is yet to be announced.
    is_new: bool,
}

/// What a zone is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ZoneState {
    Initial,
    Normal,
    PartialDisruption,
    FullDisruption,
}

/// A zone with its queue of nodes to taint and its rate limiter (a token bucket of one).
#[derive(Debug)]
struct Zone {
    state: ZoneState,
    queue: Vec<NodeId>,
    nodes_per_s: f64,
    next_token: SimTime,
}

/// The controller's own memory.
#[derive(Debug)]
pub(crate) struct NodeLifecycle {
    monitor_phase: SimTime,
    nodes: BTreeMap<NodeId, Health>,
    zones: BTreeMap<String, Zone>,
    /// Zones are to be judged at the next [`Event::NodeEviction`].
    unjudged: bool,
}

impl NodeLifecycle {
    /// A controller whose monitor starts at a random instant of its period.
    pub(crate) fn new(settings: &Settings, streams: &Streams) -> Self {
        let period = settings.node_monitor_period.as_nanos();
        let monitor_phase = SimTime::from_nanos(streams.stream(Purpose::MonitorPhase, 0).below(period));
        Self { monitor_phase, nodes: BTreeMap::new(), zones: BTreeMap::new(), unjudged: false }
    }

    /// A node has joined; its lease is renewed `lease_phase` from now and regularly after that.
    pub(crate) fn node_registered(&mut self, id: NodeId, lease_phase: SimDuration, view: &View<'_>, out: &mut Effects) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let is_new = view.now > SimTime::ZERO; // Nodes of the start were registered long ago.
        let health = Health {
            zone: zone_of(node),
            counts: !node.meta.labels.contains_key(EXCLUDE_LABEL),
            first_heartbeat: view.now,
            lease_phase: view.now + lease_phase,
            stopped: None,
            ready: node.status.ready,
            tainted: None,
            is_new,
        };
        self.zones.entry(health.zone.clone()).or_insert_with(|| Zone {
            state: ZoneState::Initial,
            queue: Vec::new(),
            nodes_per_s: view.settings.node_lifecycle.node_eviction_rate,
            next_token: SimTime::ZERO,
        });
        let ready = health.ready;
        self.nodes.insert(id, health);
        if is_new || !ready.is_true() {
            out.at(self.next_tick(view.now, &view.settings.node_lifecycle), Event::NodeMonitor(id));
        }
    }

    /// No heartbeat after `at`.
    pub(crate) fn heartbeat_stopped(&mut self, id: NodeId, at: SimTime, view: &View<'_>, out: &mut Effects) {
        let Some(health) = self.nodes.get_mut(&id) else { return };
        health.stopped = health.stopped.or(Some(at));
        if let Some(due) = self.silent_from(id, view) {
            out.at(due.max(view.now), Event::NodeMonitor(id));
        }
    }

    /// The kubelet is heard again, now: it renews its lease and posts that the node is Ready.
    pub(crate) fn heartbeat_resumed(&mut self, id: NodeId, at: SimTime, view: &View<'_>, out: &mut Effects) {
        let Some(health) = self.nodes.get_mut(&id) else { return };
        (health.stopped, health.first_heartbeat, health.lease_phase) = (None, at, at);
        if view.store.nodes.get(id).is_some_and(|node| !node.status.ready.is_true()) {
            out.write(Component::Kubelet, Write::NodeReady { node: id, status: ConditionStatus::True, reason: "KubeletReady" });
        }
    }

    /// Hears of a change: a Ready condition that differs is seen at the next tick, as is a node that is gone.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        let next_tick = self.next_tick(view.now, &view.settings.node_lifecycle);
        match change {
            Change::NodeModified(id) => {
                let (Some(health), Some(node)) = (self.nodes.get_mut(id), view.store.nodes.get(*id)) else { return };
                if health.ready != node.status.ready {
                    out.at(next_tick, Event::NodeMonitor(*id));
                }
            }
            Change::NodeDeleted(id, gone) => {
                let Some(health) = self.nodes.remove(id) else { return };
                if let Some(zone) = self.zones.get_mut(&health.zone) {
                    zone.queue.retain(|other| other != id);
                }
                // Announced a little early: upstream's next tick finds it missing.
                let message = format!("Node {0} event: Removing Node {0} from Controller", gone.meta.name);
                out.event(Component::NodeLifecycle, false, "RemovingNode", object_name("Node", &gone.meta), message);
                self.unjudged = true;
                out.at(next_tick, Event::NodeEviction);
            }
            _ => {}
        }
    }

    /// A tick of the monitor at which there is something to see of this node ([`Event::NodeMonitor`]).
    pub(crate) fn monitor(&mut self, id: NodeId, view: &View<'_>, out: &mut Effects) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let silent = self.silent_from(id, view).is_some_and(|due| due <= view.now);
        let Some(health) = self.nodes.get_mut(&id) else { return };
        let name = object_name("Node", &node.meta);
        if std::mem::take(&mut health.is_new) {
            let message = format!("Node {0} event: Registered Node {0} in Controller", node.meta.name);
            out.event(Component::NodeLifecycle, false, "RegisteredNode", name.clone(), message);
        }
        let observed = node.status.ready;
        let current = if silent { ConditionStatus::Unknown } else { observed };
        health.ready = current;
        if silent && observed != ConditionStatus::Unknown {
            let status = ConditionStatus::Unknown;
            out.write(Component::NodeLifecycle, Write::NodeReady { node: id, status, reason: "NodeStatusUnknown" });
            if observed.is_true() {
                let message = format!("Node {} status is now: NodeNotReady", node.meta.name);
                out.event(Component::NodeLifecycle, false, "NodeNotReady", name, message);
                mark_pods_not_ready(node, view, out);
            }
        }
        self.mark_for_tainting(id, node, out);
        self.unjudged = true;
        out.at(view.now, Event::NodeEviction); // After the other nodes of this tick, which are in the calendar already.
    }

    /// Judges zones after a tick, and taints the nodes whose turn it is ([`Event::NodeEviction`]).
    pub(crate) fn eviction(&mut self, view: &View<'_>, out: &mut Effects) {
        if std::mem::take(&mut self.unjudged) {
            self.judge_zones(view, out);
        }
        let mut next: Option<SimTime> = None;
        for zone in self.zones.values_mut() {
            while !zone.queue.is_empty() && zone.take_token(view.now) {
                taint_first(zone, &mut self.nodes, view, out);
            }
            if !zone.queue.is_empty() && zone.nodes_per_s > 0.0 {
                next = Some(next.map_or(zone.next_token, |earlier| earlier.min(zone.next_token)));
            }
        }
        if let Some(time) = next {
            out.at(time, Event::NodeEviction);
        }
    }

    fn next_tick(&self, after: SimTime, settings: &Settings) -> SimTime {
        (after + SimDuration::from_nanos(1)).next_on_grid(self.monitor_phase, settings.node_monitor_period)
    }

    /// The tick at which the node counts as silent; `None` while its heart beats.
    fn silent_from(&self, id: NodeId, view: &View<'_>) -> Option<SimTime> {
        let health = self.nodes.get(&id)?;
        let settings = &view.settings.node_lifecycle;
        let api = &view.settings.api_server;
        let renewal = last_renewal(health, health.stopped?, view.settings.kubelet.lease_renew_interval);
        let heard = renewal + api.request_latency + api.watch_latency;
        let seen = heard.next_on_grid(self.monitor_phase, settings.node_monitor_period);
        Some((seen + settings.node_monitor_grace_period).next_on_grid(self.monitor_phase, settings.node_monitor_period))
    }

    /// Upstream: processTaintBaseEviction.
    fn mark_for_tainting(&mut self, id: NodeId, node: &Node, out: &mut Effects) {
        let Some(health) = self.nodes.get_mut(&id) else { return };
        let Some(zone) = self.zones.get_mut(&health.zone) else { return };
        if health.ready.is_true() {
            zone.queue.retain(|other| *other != id);
            take_off(id, health, node, out);
        } else if let Some(key) = health.tainted {
            let wanted = taint_key(health.ready);
            if wanted != key {
                let add = vec![Taint::new(wanted, TaintEffect::NoExecute)];
                out.write(Component::NodeLifecycle, patch(id, add, &[key]));
                health.tainted = Some(wanted);
            }
        } else if !zone.queue.contains(&id) {
            zone.queue.push(id);
        }
    }

    /// Upstream: handleDisruption.
    fn judge_zones(&mut self, view: &View<'_>, out: &mut Effects) {
        let settings = &view.settings.node_lifecycle;
        let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for health in self.nodes.values().filter(|health| health.counts) {
            let (ready, not_ready) = counts.entry(health.zone.clone()).or_default();
            *(if health.ready.is_true() { ready } else { not_ready }) += 1;
        }
        for (_, zone) in self.zones.iter_mut().filter(|(name, _)| !counts.contains_key(*name)) {
            zone.state = ZoneState::Initial; // Its last node has gone; the next one opens it anew.
        }
        let states: BTreeMap<String, ZoneState> = counts.iter().map(|(name, count)| (name.clone(), judge(*count, settings))).collect();
        let all_are_down = states.values().all(|state| *state == ZoneState::FullDisruption);
        let was_down = |(_, zone): (&String, &Zone)| zone.state == ZoneState::FullDisruption;
        let all_were_down = self.zones.iter().filter(|(name, _)| counts.contains_key(*name)).all(was_down);
        if all_are_down && all_were_down {
            return;
        }
        if all_are_down {
            return self.stop_evictions(view, out);
        }
        for (name, zone) in &mut self.zones {
            let Some(state) = states.get(name) else { continue };
            if zone.state != *state || all_were_down {
                let (ready, not_ready) = counts[name];
                zone.set_rate(rate(*state, ready + not_ready, settings), view.now);
                zone.state = *state;
            }
        }
    }

    /// The whole cluster seems down: it is rather the control plane that is cut off.
    fn stop_evictions(&mut self, view: &View<'_>, out: &mut Effects) {
        for (id, health) in &mut self.nodes {
            if let Some(node) = view.store.nodes.get(*id) {
                take_off(*id, health, node, out);
            }
        }
        for (name, zone) in &mut self.zones {
            zone.set_rate(0.0, view.now);
            zone.state = ZoneState::FullDisruption;
            // Upstream empties the queues and fills them again at the next tick.
            zone.queue =
                self.nodes.iter().filter(|(_, health)| health.zone == *name && !health.ready.is_true()).map(|(id, _)| *id).collect();
        }
    }
}

impl Zone {
    fn take_token(&mut self, now: SimTime) -> bool {
        if self.nodes_per_s <= 0.0 || now < self.next_token {
            return false;
        }
        self.next_token = now + interval(self.nodes_per_s);
        true
    }

    /// A new limiter starts full only if the old one had a token left (upstream: SwapLimiter).
    fn set_rate(&mut self, nodes_per_s: f64, now: SimTime) {
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

/// The last heartbeat at or before `stopped`.
fn last_renewal(health: &Health, stopped: SimTime, interval: SimDuration) -> SimTime {
    if stopped < health.lease_phase || interval.is_zero() {
        return health.first_heartbeat.min(stopped);
    }
    let since = stopped.since(health.lease_phase).as_nanos();
    stopped - SimDuration::from_nanos(since % interval.as_nanos())
}

fn judge((ready, not_ready): (u32, u32), settings: &Settings) -> ZoneState {
    if ready == 0 && not_ready > 0 {
        ZoneState::FullDisruption
    } else if not_ready > 2 && f64::from(not_ready) / f64::from(not_ready + ready) >= settings.unhealthy_zone_threshold {
        ZoneState::PartialDisruption
    } else {
        ZoneState::Normal
    }
}

fn rate(state: ZoneState, size: u32, settings: &Settings) -> f64 {
    match state {
        ZoneState::PartialDisruption if size > settings.large_cluster_size_threshold => settings.secondary_node_eviction_rate,
        ZoneState::PartialDisruption => 0.0,
        ZoneState::Initial | ZoneState::Normal | ZoneState::FullDisruption => settings.node_eviction_rate,
    }
}

const fn taint_key(ready: ConditionStatus) -> &'static str {
    if matches!(ready, ConditionStatus::Unknown) { UNREACHABLE } else { NOT_READY }
}

fn patch(node: NodeId, add: Vec<Taint>, remove: &[&str]) -> Write {
    let remove = remove.iter().map(|key| ((*key).into(), TaintEffect::NoExecute)).collect();
    Write::PatchNode { node, add, remove, unschedulable: None }
}

/// Taints the node at the head of the queue NoExecute, unless it is ready again.
fn taint_first(zone: &mut Zone, nodes: &mut BTreeMap<NodeId, Health>, view: &View<'_>, out: &mut Effects) {
    let id = zone.queue.remove(0);
    let Some(health) = nodes.get_mut(&id).filter(|health| !health.ready.is_true()) else { return };
    let key = taint_key(health.ready);
    let opposite = if key == UNREACHABLE { NOT_READY } else { UNREACHABLE };
    let taint = Taint { time_added: Some(view.now), ..Taint::new(key, TaintEffect::NoExecute) };
    let remove: &[&str] =
        if view.store.nodes.get(id).is_some_and(|node| has_taint(node, opposite, TaintEffect::NoExecute)) { &[opposite] } else { &[] };
    out.write(Component::NodeLifecycle, patch(id, vec![taint], remove));
    health.tainted = Some(key);
}

/// Takes both NoExecute taints off (upstream: markNodeAsReachable).
fn take_off(id: NodeId, health: &mut Health, node: &Node, out: &mut Effects) {
    let asked = health.tainted.take();
    let there: Vec<&str> =
        [UNREACHABLE, NOT_READY].into_iter().filter(|key| asked == Some(key) || has_taint(node, key, TaintEffect::NoExecute)).collect();
    if !there.is_empty() {
        out.write(Component::NodeLifecycle, patch(id, Vec::new(), &there));
    }
}

/// Endpoints drop the pods at once.
fn mark_pods_not_ready(node: &Node, view: &View<'_>, out: &mut Effects) {
    for (id, pod) in view.store.pods_on(&node.meta.name).filter(|(_, pod)| pod.is_ready()) {
        out.write(Component::NodeLifecycle, Write::PodNotReady(id, "NodeNotReady".into()));
        let object = object_name("Pod", &pod.meta);
        out.event(Component::NodeLifecycle, true, "NodeNotReady", object, "Node is not ready".to_owned());
    }
}

/// Region and zone; nodes without either share one.
fn zone_of(node: &Node) -> String {
    let label = |key: &str| node.meta.labels.get(key).map_or("", |value| value);
    let (region, zone) = (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\u{0}:{zone}") }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, pod};
    use super::*;

    /// The controller with its cluster, run in the order of the calendar.
    struct Rig {
        bench: Bench,
        controller: NodeLifecycle,
    }

    /// Zones of so many nodes; monitor ticks at 0, 5, 10 s …, leases renewed at 1, 11, 21 s ….
    fn rig(zones: &[(&str, u32)]) -> Rig {
        let mut bench = bench();
        for (zone, count) in zones {
            for number in 1..=*count {
                bench = bench.node(&format!("{zone}{number}"), zone, 4000);
            }
        }
        let mut controller = NodeLifecycle::new(&bench.settings.node_lifecycle, &bench.streams);
        controller.monitor_phase = SimTime::ZERO;
        let ids: Vec<NodeId> = bench.store.nodes.iter().map(|(id, _)| id).collect();
        for id in ids {
            bench.run(|view, out| controller.node_registered(id, SimDuration::from_secs(1), view, out));
        }
        bench.store.take_changes();
        Rig { bench, controller }
    }

    impl Rig {
        fn stop(&mut self, at: u64, names: &[&str]) {
            self.bench.now = SimTime::from_secs(at);
            for name in names {
                let (id, now) = (self.bench.node_id(name), self.bench.now);
                self.bench.run(|view, out| self.controller.heartbeat_stopped(id, now, view, out));
            }
        }
        fn resume(&mut self, at: u64, names: &[&str]) -> Vec<String> {
            let mut lines = Vec::new();
            self.bench.now = SimTime::from_secs(at);
            for name in names {
                let (id, now) = (self.bench.node_id(name), self.bench.now);
                lines.extend(self.bench.run(|view, out| self.controller.heartbeat_resumed(id, now, view, out)));
            }
            lines
        }
        /// Everything that happens until `end`, as `<seconds> <what>`; timers set on the way are left out.
        fn until(&mut self, end: u64) -> Vec<String> {
            let mut lines = Vec::new();
            loop {
                for change in self.bench.store.take_changes() {
                    self.bench.run(|view, out| self.controller.changed(&change, view, out));
                    if let Change::NodeModified(id) = change {
                        let now = self.bench.now;
                        let told = self.bench.run(|view, out| sync(id, view, out));
                        lines.extend(told.into_iter().map(|line| format!("{} {line}", now.as_secs())));
                    }
                }
                let Some(first) = (0..self.bench.timers.len()).min_by_key(|place| (self.bench.timers[*place].0, *place)) else { break };
                if self.bench.timers[first].0 > SimTime::from_secs(end) {
                    break;
                }
                let (time, event) = self.bench.timers.remove(first);
                self.bench.now = time;
                let told = self.bench.run(|view, out| match event {
                    Event::NodeMonitor(id) => self.controller.monitor(id, view, out),
                    Event::NodeEviction => self.controller.eviction(view, out),
                    other => panic!("{other:?} is not this controller's"),
                });
                lines.extend(told.into_iter().filter(|line| !line.starts_with("at ")).map(|line| format!("{} {line}", time.as_secs())));
            }
            lines
        }
        fn taints(&mut self, end: u64) -> Vec<String> {
            self.until(end)
                .into_iter()
                .filter(|line| line.contains("unreachable:NoExecute"))
                .map(|line| line.replace("node-controller ", ""))
                .collect()
        }
    }

    #[test]
    fn a_silent_node_is_unknown_one_grace_after_the_tick_that_saw_its_last_lease() {
        let mut rig = rig(&[("a", 3)]);
        rig.bench.add_pod(pod("web").on("a1").ready_since(0));
        rig.bench.add_pod(pod("starting").on("a1"));
        rig.bench.store.take_changes();
        rig.stop(20, &["a1"]);
        assert_eq!(
            rig.until(1000),
            [
                "65 node-controller node a1 Ready=Unknown NodeStatusUnknown",
                "65 node-controller pod not ready web NodeNotReady",
                "65 NodeNotReady Node/a1: Node a1 status is now: NodeNotReady",
                "65 Warning NodeNotReady Pod/default/web: Node is not ready",
                "65 node-controller node a1 +node.kubernetes.io/unreachable:NoSchedule",
                "65 node-controller node a1 +node.kubernetes.io/unreachable:NoExecute",
            ],
            "last renewal 11 s, seen at 15 s, 50 s of grace"
        );
    }

    #[test]
    fn a_node_that_comes_back_loses_noschedule_at_once_and_noexecute_at_the_next_tick() {
        let mut rig = rig(&[("a", 3)]);
        rig.stop(20, &["a1"]);
        rig.until(80);
        assert_eq!(rig.resume(82, &["a1"]), ["kubelet node a1 Ready=True KubeletReady"]);
        assert_eq!(
            rig.until(1000),
            [
                "82 node-controller node a1 -node.kubernetes.io/unreachable:NoSchedule",
                "85 node-controller node a1 -node.kubernetes.io/unreachable:NoExecute",
            ]
        );
    }

    #[test]
    fn a_short_silence_is_never_noticed() {
        let mut rig = rig(&[("a", 3)]);
        rig.stop(20, &["a1"]);
        rig.resume(64, &["a1"]);
        assert_eq!(rig.until(1000), Vec::<String>::new());
    }

    #[test]
    fn the_trap_of_dead_zones_their_nodes_are_tainted_one_per_ten_seconds() {
        let mut rig = rig(&[("a", 4), ("b", 4)]);
        rig.stop(20, &["b1", "b2", "b3", "b4"]);
        assert_eq!(
            rig.taints(1000),
            [
                "65 node b1 +node.kubernetes.io/unreachable:NoExecute",
                "75 node b2 +node.kubernetes.io/unreachable:NoExecute",
                "85 node b3 +node.kubernetes.io/unreachable:NoExecute",
                "95 node b4 +node.kubernetes.io/unreachable:NoExecute",
            ]
        );
    }

    #[test]
    fn a_small_zone_with_most_nodes_down_is_not_evicted() {
        let mut rig = rig(&[("a", 4), ("b", 4)]);
        rig.stop(20, &["b1", "b2", "b3"]);
        assert_eq!(rig.taints(1000), Vec::<String>::new(), "3 of 4 are more than 55 %");
    }

    #[test]
    fn the_trap_of_dead_zones_a_large_one_with_most_nodes_down_is_evicted_slowly() {
        let mut rig = rig(&[("a", 60), ("b", 60)]);
        let names: Vec<String> = (1..=40).map(|number| format!("a{number}")).chain((1..=20).map(|number| format!("b{number}"))).collect();
        rig.stop(20, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let taints = rig.taints(300);
        let count = |zone: &str| taints.iter().filter(|line| line.contains(&format!("node {zone}"))).count();
        // 67 %: the first at once, then one per 100 s; 33 %: one per 10 s.
        assert_eq!((count("a"), count("b")), (3, 20), "{taints:?}");
    }

    #[test]
    fn the_trap_of_dead_zones_when_all_are_down_evictions_stop_and_taints_go() {
        let mut rig = rig(&[("a", 2), ("b", 2)]);
        rig.stop(20, &["a1"]);
        rig.stop(30, &["a2", "b1", "b2"]);
        assert_eq!(
            rig.taints(1000),
            ["65 node a1 +node.kubernetes.io/unreachable:NoExecute", "75 node a1 -node.kubernetes.io/unreachable:NoExecute"]
        );
        rig.resume(1001, &["b1"]);
        assert_eq!(
            rig.taints(2000),
            [
                "1015 node a1 +node.kubernetes.io/unreachable:NoExecute",
                "1015 node b2 +node.kubernetes.io/unreachable:NoExecute",
                "1025 node a2 +node.kubernetes.io/unreachable:NoExecute",
            ],
            "those still silent, one per 10 s and zone"
        );
    }

    #[test]
    fn a_cordon_becomes_a_taint() {
        let mut bench = bench().node("a", "z", 1000);
        let id = bench.node_id("a");
        bench.store.update_node(id, |node| {
            node.spec.unschedulable = true;
            true
        });
        assert_eq!(bench.run(|view, out| sync(id, view, out)), ["node-controller node a +node.kubernetes.io/unschedulable:NoSchedule"]);
        assert_eq!(bench.run(|view, out| sync(id, view, out)), Vec::<String>::new());
    }
}
