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
//! - A monitor's pass ends when its own requests have been answered, which its client may hold back; the next tick
//!   is a period later. A tick exactly one grace after the last seen renewal finds the node silent (upstream's
//!   ticks drift by the time they take, so theirs is just after).
//! - Its events go through the same client, one at a time.
//! - Zones are judged once per pass, after all its nodes; NoExecute taints go on meanwhile, one request at a time.
//!
//! Not modelled: the startup grace of nodes that never reported, kubelet status reports (every 5 min) as heartbeats
//! beside the lease, jitter of lease renewals, the time of a pass that asks for nothing.

mod monitor;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::{BTreeMap, VecDeque};

use api::{ConditionStatus, Node, SimDuration, SimTime, Str, Taint, TaintEffect};
use trace::Record;

use self::monitor::{Pass, Ticks, WORKERS, Worker};
use self::zone::{Zone, ZoneState, judge, rate, zone_of};
use super::{View, object_name};
use crate::effects::{Announcement, Component, Effects, Key, Write};
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
    let Some((add, remove)) = view.store.nodes.get(id).and_then(no_schedule_patch) else { return };
    for (add, remove) in [(add, Vec::new()), (Vec::new(), remove)] {
        if !add.is_empty() || !remove.is_empty() {
            out.then();
            out.write(Component::NodeLifecycle, Write::Read);
            out.then();
            out.write(Component::NodeLifecycle, Write::PatchNode { node: id, add, remove, unschedulable: None });
        }
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
    /// No tick has looked at it.
    is_unseen: bool,
}

/// A node on its way to a NoExecute taint.
#[derive(Debug)]
struct Tainting {
    node: NodeId,
    requests: VecDeque<Write>,
}

/// Numbers of the calls: the monitor's workers from zero, then these.
const CLEARING: u32 = WORKERS as u32;
const TAINTING: u32 = CLEARING + 1;
const TELLING: u32 = CLEARING + 2;

/// Numbers of the random streams of the controller: its phases, then one for each node it picks to taint.
const PICKS: u64 = 2;

/// How often the tainting pass looks at its queues. Upstream: scheduler.NodeEvictionPeriod.
const TAINTING_PERIOD: SimDuration = SimDuration::from_millis(100);

/// The controller's own memory.
#[derive(Debug)]
pub(crate) struct NodeLifecycle {
    ticks: Ticks,
    /// The next [`Event::NodeMonitor`] that counts.
    armed: Option<SimTime>,
    pass: Option<Pass>,
    nodes: BTreeMap<NodeId, Health>,
    /// Nodes that left since the last tick.
    gone: Vec<Str>,
    zones: BTreeMap<String, Zone>,
    /// The tainting pass looks at this instant and every period after it.
    tainting_phase: SimTime,
    /// The next [`Event::NodeEviction`] that counts.
    tainting_armed: Option<SimTime>,
    tainting: Option<Tainting>,
    picks: u64,
    /// Events go through the same client, one after the other.
    news: VecDeque<Record>,
    is_telling: bool,
}

impl NodeLifecycle {
    /// A controller whose monitor starts at a random instant of its period.
    pub(crate) fn new(settings: &Settings, streams: &Streams) -> Self {
        let phase =
            |number, period: SimDuration| SimTime::from_nanos(streams.stream(Purpose::MonitorPhase, number).below(period.as_nanos()));
        Self {
            ticks: Ticks::new(phase(0, settings.node_monitor_period), settings.node_monitor_period),
            armed: None,
            pass: None,
            nodes: BTreeMap::new(),
            gone: Vec::new(),
            zones: BTreeMap::new(),
            tainting_phase: phase(1, TAINTING_PERIOD),
            tainting_armed: None,
            tainting: None,
            picks: 0,
            news: VecDeque::new(),
            is_telling: false,
        }
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
            is_unseen: is_new || !node.status.ready.is_true(),
        };
        self.zones.entry(health.zone.clone()).or_insert_with(|| Zone::new(view.settings.node_lifecycle.node_eviction_rate));
        if health.is_unseen {
            self.arm(self.ticks.after(view.now), out);
        }
        self.nodes.insert(id, health);
    }

    /// No heartbeat after `at`.
    pub(crate) fn heartbeat_stopped(&mut self, id: NodeId, at: SimTime, view: &View<'_>, out: &mut Effects) {
        let Some(health) = self.nodes.get_mut(&id) else { return };
        health.stopped = health.stopped.or(Some(at));
        if let Some(due) = self.silent_from(id, view) {
            self.arm(due.max(view.now), out);
        }
    }

    /// The kubelet renews its lease again, from now on.
    pub(crate) fn lease_renewed(&mut self, id: NodeId, at: SimTime) {
        if let Some(health) = self.nodes.get_mut(&id).filter(|health| health.stopped.is_some()) {
            (health.stopped, health.first_heartbeat, health.lease_phase) = (None, at, at);
        }
    }

    /// The kubelet is heard again, now: it renews its lease and posts that the node is Ready.
    pub(crate) fn heartbeat_resumed(&mut self, id: NodeId, at: SimTime, view: &View<'_>, out: &mut Effects) {
        self.lease_renewed(id, at);
        if view.store.nodes.get(id).is_some_and(|node| !node.status.ready.is_true()) {
            out.write(Component::Kubelet, Write::NodeReady { node: id, status: ConditionStatus::True, reason: "KubeletReady" });
        }
    }

    /// Hears of a change: a Ready condition that differs is seen at the next tick, as is a node that is gone.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        match change {
            Change::NodeModified(id) => {
                let (Some(health), Some(node)) = (self.nodes.get(id), view.store.nodes.get(*id)) else { return };
                if health.ready != node.status.ready {
                    self.arm(self.ticks.after(view.now), out);
                }
            }
            Change::NodeDeleted(id, gone) => {
                let Some(health) = self.nodes.remove(id) else { return };
                if let Some(zone) = self.zones.get_mut(&health.zone) {
                    zone.queue.retain(|other| other != id);
                }
                self.gone.push(gone.meta.name.clone());
                self.arm(self.ticks.after(view.now), out);
            }
            _ => {}
        }
    }

    // The monitor.

    fn arm(&mut self, at: SimTime, out: &mut Effects) {
        // The end of a pass decides anew.
        if self.pass.is_none() && self.armed.is_none_or(|known| at < known) {
            self.armed = Some(at);
            out.at(at, Event::NodeMonitor);
        }
    }

    /// When a tick has something to see of this node; `None` while there is nothing.
    fn due(&self, id: NodeId, view: &View<'_>) -> Option<SimTime> {
        let (health, node) = (self.nodes.get(&id)?, view.store.nodes.get(id)?);
        if health.is_unseen || health.ready != node.status.ready {
            return Some(SimTime::ZERO);
        }
        if node.status.ready == ConditionStatus::Unknown { None } else { self.silent_from(id, view) }
    }

    /// The tick at which the node counts as silent; `None` while its heart beats.
    fn silent_from(&self, id: NodeId, view: &View<'_>) -> Option<SimTime> {
        let health = self.nodes.get(&id)?;
        let api = &view.settings.api_server;
        let renewal = last_renewal(health, health.stopped?, view.settings.kubelet.lease_renew_interval);
        let heard = renewal + api.request_latency.mean() + api.watch_latency.mean();
        Some(self.ticks.from(self.ticks.from(heard) + view.settings.node_lifecycle.node_monitor_grace_period))
    }

    /// A tick at which there is something to see ([`Event::NodeMonitor`]).
    pub(crate) fn monitor(&mut self, view: &View<'_>, out: &mut Effects) {
        if self.armed != Some(view.now) || self.pass.is_some() {
            return; // Another tick took its place.
        }
        self.armed = None;
        for name in std::mem::take(&mut self.gone) {
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            self.tell(event("Normal", "RemovingNode", format!("Node/{name}"), message), out);
        }
        let nodes = self.nodes.keys().copied().filter(|id| self.due(*id, view).is_some_and(|due| due <= view.now)).collect();
        self.pass = Some(Pass::new(view.now, nodes));
        for place in 0..WORKERS {
            self.work(place, view, out);
        }
    }

    /// An answer to one of the controller's own requests.
    pub(crate) fn answered(&mut self, call: Key, is_accepted: bool, view: &View<'_>, out: &mut Effects) {
        match call.0 {
            TAINTING => self.go_on_tainting(is_accepted, view, out),
            TELLING => {
                self.is_telling = false;
                self.tell_next(out);
            }
            CLEARING => self.go_on_clearing(view, out),
            place => {
                let place = place as usize;
                let posted = self.pass.as_mut().and_then(|pass| pass.workers.get_mut(place)?.as_mut());
                let Some(worker) = posted else { return };
                let told = worker.then.take().filter(|_| is_accepted);
                if std::mem::take(&mut worker.is_posting) && is_accepted {
                    self.decide(place, ConditionStatus::Unknown, view, out);
                }
                if let Some(event) = told {
                    self.tell(event, out);
                }
                self.work(place, view, out);
            }
        }
    }

    /// A worker's next request, or its next node; the last one ends the pass.
    fn work(&mut self, place: usize, view: &View<'_>, out: &mut Effects) {
        while let Some(pass) = &mut self.pass {
            if let Some(worker) = &mut pass.workers[place]
                && let Some((request, then)) = worker.requests.pop_front()
            {
                worker.then = then;
                return out.call(Key(place as u32), request);
            }
            pass.workers[place] = None;
            let Some(node) = pass.nodes.pop_front() else { break };
            self.look(place, node, view, out);
        }
        if self.pass.as_ref().is_some_and(|pass| pass.is_through() && pass.clearing.is_none()) {
            self.judge_zones(view, out);
        }
    }

    /// Upstream: tryUpdateNodeHealth.
    fn look(&mut self, place: usize, id: NodeId, view: &View<'_>, out: &mut Effects) {
        let is_silent = self.silent_from(id, view).is_some_and(|due| due <= view.now);
        let (Some(node), Some(health), Some(pass)) = (view.store.nodes.get(id), self.nodes.get_mut(&id), &mut self.pass) else { return };
        health.is_unseen = false;
        let mut news = None;
        if std::mem::take(&mut health.is_new) {
            let message = format!("Node {0} event: Registered Node {0} in Controller", node.meta.name);
            news = Some(event("Normal", "RegisteredNode", object_name("Node", &node.meta), message));
        }
        let observed = node.status.ready;
        let is_posting = is_silent && observed != ConditionStatus::Unknown;
        let status = ConditionStatus::Unknown;
        let post = is_posting.then_some(Write::NodeReady { node: id, status, reason: "NodeStatusUnknown" });
        let requests = post.into_iter().map(|write| (write, None)).collect();
        pass.workers[place] = Some(Worker { node: id, was_ready: observed.is_true(), is_posting, requests, then: None });
        if let Some(event) = news {
            self.tell(event, out);
        }
        if !is_posting {
            self.decide(place, observed, view, out);
        }
    }

    /// The node's condition is known: what becomes of its taints and its pods.
    fn decide(&mut self, place: usize, ready: ConditionStatus, view: &View<'_>, out: &mut Effects) {
        let Some(Worker { node: id, was_ready, .. }) = self.pass.as_ref().and_then(|pass| pass.workers[place].as_ref()) else { return };
        let (id, was_ready) = (*id, *was_ready);
        let (Some(node), Some(health)) = (view.store.nodes.get(id), self.nodes.get_mut(&id)) else { return };
        health.ready = ready;
        let mut requests: Vec<_> = self.mark_for_tainting(id, node, view, out).into_iter().map(|write| (write, None)).collect();
        if was_ready && !ready.is_true() {
            let message = format!("Node {} status is now: NodeNotReady", node.meta.name);
            self.tell(event("Normal", "NodeNotReady", object_name("Node", &node.meta), message), out);
            requests.extend(mark_pods_not_ready(node, view));
        }
        if let Some(worker) = self.pass.as_mut().and_then(|pass| pass.workers[place].as_mut()) {
            worker.requests.extend(requests);
        }
    }

    /// Upstream: processTaintBaseEviction. Taints that are to be swapped or taken off.
    fn mark_for_tainting(&mut self, id: NodeId, node: &Node, view: &View<'_>, out: &mut Effects) -> Vec<Write> {
        let Some(health) = self.nodes.get_mut(&id) else { return Vec::new() };
        let Some(zone) = self.zones.get_mut(&health.zone) else { return Vec::new() };
        if health.ready.is_true() {
            zone.queue.retain(|other| *other != id);
            return take_off(id, health, node);
        }
        let wanted = taint_key(health.ready);
        match health.tainted {
            Some(key) if wanted != key => {
                health.tainted = Some(wanted);
                swap(id, Taint::new(wanted, TaintEffect::NoExecute), &[key])
            }
            Some(_) => Vec::new(),
            None => {
                if !zone.queue.contains(&id) {
                    zone.queue.push(id);
                    self.arm_tainting(view.now, out);
                }
                Vec::new()
            }
        }
    }

    /// Upstream: handleDisruption.
    fn judge_zones(&mut self, view: &View<'_>, out: &mut Effects) {
        let settings = &view.settings.node_lifecycle;
        let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for health in self.nodes.values().filter(|health| health.counts) {
            let (ready, not_ready) = counts.entry(&health.zone).or_default();
            *(if health.ready.is_true() { ready } else { not_ready }) += 1;
        }
        for (_, zone) in self.zones.iter_mut().filter(|(name, _)| !counts.contains_key(name.as_str())) {
            zone.state = ZoneState::Initial; // Its last node has gone; the next one opens it anew.
        }
        let states: BTreeMap<&str, ZoneState> = counts.iter().map(|(name, count)| (*name, judge(*count, settings))).collect();
        let all_are_down = states.values().all(|state| *state == ZoneState::FullDisruption);
        let was_down = |(_, zone): (&String, &Zone)| zone.state == ZoneState::FullDisruption;
        let all_were_down = self.zones.iter().filter(|(name, _)| counts.contains_key(name.as_str())).all(was_down);
        if all_are_down && !all_were_down {
            return self.clear(view, out);
        }
        if !all_are_down {
            for (name, zone) in &mut self.zones {
                let Some(state) = states.get(name.as_str()) else { continue };
                if zone.state != *state || all_were_down {
                    let (ready, not_ready) = counts[name.as_str()];
                    zone.set_rate(rate(*state, ready + not_ready, settings), view.now);
                    zone.state = *state;
                }
            }
        }
        self.end_pass(view, out);
    }

    /// The whole cluster seems down: it is rather the control plane that is cut off. Taints go, one after the other.
    fn clear(&mut self, view: &View<'_>, out: &mut Effects) {
        let mut requests = VecDeque::new();
        for (id, health) in &mut self.nodes {
            if let Some(node) = view.store.nodes.get(*id) {
                requests.extend(take_off(*id, health, node));
            }
        }
        self.zones.values_mut().for_each(|zone| zone.queue.clear());
        if let Some(pass) = &mut self.pass {
            pass.clearing = Some(requests);
        }
        self.go_on_clearing(view, out);
    }

    fn go_on_clearing(&mut self, view: &View<'_>, out: &mut Effects) {
        let Some(clearing) = self.pass.as_mut().and_then(|pass| pass.clearing.as_mut()) else { return };
        if let Some(request) = clearing.pop_front() {
            return out.call(Key(CLEARING), request);
        }
        for (name, zone) in &mut self.zones {
            zone.set_rate(0.0, view.now);
            zone.state = ZoneState::FullDisruption;
            // Upstream's next tick fills the queues again.
            let is_waiting = |health: &Health| health.zone == *name && !health.ready.is_true() && health.tainted.is_none();
            zone.queue = self.nodes.iter().filter(|(_, health)| is_waiting(health)).map(|(id, _)| *id).collect();
        }
        self.end_pass(view, out);
    }

    /// The next tick is a period from now.
    fn end_pass(&mut self, view: &View<'_>, out: &mut Effects) {
        let Some(pass) = self.pass.take() else { return };
        self.ticks.passed(pass.began, view.now);
        let next = self.ticks.after(view.now);
        let gone = (!self.gone.is_empty()).then_some(next);
        let due = self.nodes.keys().filter_map(|id| Some(self.due(*id, view)?.max(next))).chain(gone).min();
        self.armed = None;
        if let Some(due) = due {
            self.arm(due, out);
        }
        self.arm_tainting(view.now, out);
    }

    // Events.

    fn tell(&mut self, event: Record, out: &mut Effects) {
        self.news.push_back(event);
        self.tell_next(out);
    }

    fn tell_next(&mut self, out: &mut Effects) {
        if !self.is_telling
            && let Some(landed) = self.news.pop_front()
        {
            self.is_telling = true;
            let announcement = Announcement { landed, forbidden: None };
            out.call(Key(TELLING), Write::Announced(Box::new(Write::Read), Box::new(announcement)));
        }
    }

    // NoExecute taints.

    fn arm_tainting(&mut self, now: SimTime, out: &mut Effects) {
        let Some(turn) = self.zones.values().filter_map(Zone::next_turn).min() else { return };
        let at = turn.max(now).next_on_grid(self.tainting_phase, TAINTING_PERIOD);
        if self.tainting.is_none() && self.tainting_armed.is_none_or(|known| at < known) {
            self.tainting_armed = Some(at);
            out.at(at, Event::NodeEviction);
        }
    }

    /// Taints the nodes whose turn it is ([`Event::NodeEviction`]; upstream: doNoExecuteTaintingPass).
    pub(crate) fn eviction(&mut self, view: &View<'_>, out: &mut Effects) {
        if self.tainting_armed == Some(view.now) {
            self.tainting_armed = None;
            self.taint_next(view, out);
        }
    }

    fn taint_next(&mut self, view: &View<'_>, out: &mut Effects) {
        if self.tainting.is_some() {
            return;
        }
        for zone in self.zones.values_mut() {
            while !zone.queue.is_empty() && zone.take_token(view.now) {
                // Every tick puts those who wait back into the queue, in the order of a Go map.
                let mut stream = view.streams.stream(Purpose::MonitorPhase, PICKS + self.picks);
                self.picks += 1;
                let id = zone.queue.swap_remove(stream.below(zone.queue.len() as u64) as usize);
                let (Some(health), Some(node)) = (self.nodes.get_mut(&id), view.store.nodes.get(id)) else { continue };
                if health.ready.is_true() {
                    continue;
                }
                let key = taint_key(health.ready);
                let opposite = if key == UNREACHABLE { NOT_READY } else { UNREACHABLE };
                let opposite: &[&str] = if has_taint(node, opposite, TaintEffect::NoExecute) { &[opposite] } else { &[] };
                health.tainted = Some(key);
                let taint = Taint { time_added: Some(view.now), ..Taint::new(key, TaintEffect::NoExecute) };
                self.tainting = Some(Tainting { node: id, requests: swap(id, taint, opposite).into() });
                return self.go_on_tainting(true, view, out);
            }
        }
        self.arm_tainting(view.now, out);
    }

    fn go_on_tainting(&mut self, is_accepted: bool, view: &View<'_>, out: &mut Effects) {
        let Some(tainting) = &mut self.tainting else { return };
        if let Some(request) = tainting.requests.pop_front().filter(|_| is_accepted) {
            return out.call(Key(TAINTING), request);
        }
        let id = tainting.node;
        self.tainting = None;
        if !is_accepted && let Some(health) = self.nodes.get_mut(&id) {
            health.tainted = None;
            if let Some(zone) = self.zones.get_mut(&health.zone) {
                zone.queue.push(id); // It is tried again when its zone may.
            }
        }
        self.taint_next(view, out);
    }
}

/// The last heartbeat at or before `stopped`.
fn last_renewal(health: &Health, stopped: SimTime, interval: SimDuration) -> SimTime {
    if stopped < health.lease_phase || interval.is_zero() {
        return health.first_heartbeat.min(stopped);
    }
    let since = stopped.since(health.lease_phase).as_nanos();
    stopped - SimDuration::from_nanos(since % interval.as_nanos())
}

const fn taint_key(ready: ConditionStatus) -> &'static str {
    if matches!(ready, ConditionStatus::Unknown) { UNREACHABLE } else { NOT_READY }
}

/// A read and a patch each. Upstream: AddOrUpdateTaintOnNode and RemoveTaintOffNode.
fn patch(node: NodeId, add: Vec<Taint>, remove: &[&str]) -> [Write; 2] {
    let remove = remove.iter().map(|key| ((*key).into(), TaintEffect::NoExecute)).collect();
    [Write::Read, Write::PatchNode { node, add, remove, unschedulable: None }]
}

/// Upstream: SwapNodeControllerTaint.
fn swap(id: NodeId, add: Taint, remove: &[&str]) -> Vec<Write> {
    let removal = (!remove.is_empty()).then(|| patch(id, Vec::new(), remove));
    patch(id, vec![add], &[]).into_iter().chain(removal.into_iter().flatten()).collect()
}

/// Takes both NoExecute taints off (upstream: markNodeAsReachable).
fn take_off(id: NodeId, health: &mut Health, node: &Node) -> Vec<Write> {
    let asked = health.tainted.take();
    let there = [UNREACHABLE, NOT_READY]
        .into_iter()
        .filter(|key| asked.as_ref().is_some_and(|asked| asked == key) || has_taint(node, key, TaintEffect::NoExecute));
    there.flat_map(|key| patch(id, Vec::new(), &[key])).collect()
}

/// One request a pod, and the event that tells of it. Endpoints drop the pods at once.
/// Upstream: controller_utils.go (MarkPodsNotReady).
fn mark_pods_not_ready(node: &Node, view: &View<'_>) -> Vec<(Write, Option<Record>)> {
    let ready = view.store.pods_on(&node.meta.name).filter(|(_, pod)| pod.is_ready());
    let request = |(id, pod): (_, &api::Pod)| {
        let told = event("Warning", "NodeNotReady", object_name("Pod", &pod.meta), "Node is not ready".to_owned());
        (Write::PodNotReady(id, "NodeNotReady".into()), Some(told))
    };
    ready.map(request).collect()
}

fn event(kind: &str, reason: &str, object: String, message: String) -> Record {
    let (object, message, source) = (object.into(), message.into(), Component::NodeMonitor.name().into());
    Record::Event { kind: kind.into(), reason: reason.into(), object, message, source }
}
