//! The world: owns every room, pops events, applies effects, emits records.
//!
//! One step: the traffic engine is brought up to the calendar's next instant (it may stop earlier, at a
//! change of state that the cluster can see); the event is popped; a one-line arm calls a room with what it
//! may read; what the room wants done is applied. Requests to the API server land later, in [`apply`];
//! what has landed reaches the watchers later still, in [`World::watch`].
//!
//! Invariants:
//! - (spec, scheduler, seed) determine every record and their order; limits and progress only cut a run short.
//! - Time never goes back, in the calendar and in the records.
//! - [`World::check`] holds after every event; debug builds ask it.
//!
//! Not here: what any room decides.

mod admission;
mod apply;
mod check;
mod client;
mod delete;
mod endpoints;
mod evict;
mod outage;
mod processes;
mod queues;
mod resize;
mod setup;
mod steps;
mod strike;
#[cfg(test)]
mod tests;
mod usage;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;

use api::{PodSpec, SimDuration, SimTime};
use port::Scheduler;
use rustc_hash::FxHashMap;
use trace::{Record, TraceSink};

use crate::clock::Calendar;
use crate::controllers::cluster_autoscaler::{ClusterAutoscaler, FiltersOf};
use crate::controllers::custom_metrics::{CustomMetrics, Exporters};
use crate::controllers::horizontal_pod_autoscaler::{HpaController, MetricsApis};
use crate::controllers::metrics::{PodMetrics, PodUsage};
use crate::controllers::node_lifecycle::NodeLifecycle;
use crate::controllers::pod_gc::PodGc;
use crate::controllers::taint_eviction::TaintEviction;
use crate::controllers::vertical_pod_autoscaler::recommender::Recommender;
use crate::controllers::vertical_pod_autoscaler::updater::Updater;
use crate::controllers::volume::external::CsiDrivers;
use crate::controllers::{self, View};
use crate::effects::{Component, Effects, Key, Process, Refusal, WriteId};
use crate::event::Event;
use crate::faults::Faults;
use crate::kubelet::Kubelets;
use crate::random::{Distribution, Purpose, Streams};
use crate::scheduling::{Explain, Scheduling};
use crate::spec::WorldSpec;
use crate::store::{Change, Store};
use crate::traffic::{Player, Signal};

pub use check::Violation;
use client::{Clients, Request};
use endpoints::Propagation;
use outage::Outage;
use queues::{Queues, Rest, Wave};
use usage::Usage;
use watch::Tap;

/// How often progress is reported; some hundredths of a second.
const WORK_PER_REPORT: u64 = 4096;

/// Room that a buffer keeps when it is empty again; set-up fills some with one entry per pod.
const KEPT: usize = 1024;

/// A simulated cluster.
pub struct World {
    spec: Arc<WorldSpec>,
    streams: Streams,
    now: SimTime,
    events: u64,
    ended: Option<&'static str>,
    store: Store,
    calendar: Calendar<Event>,
    scheduler: Box<dyn Scheduler>,

    scheduling: Scheduling,
    kubelets: Kubelets,
    node_lifecycle: NodeLifecycle,
    taint_eviction: TaintEviction,
    pod_gc: PodGc,
    hpa: HpaController,
    cluster_autoscaler: ClusterAutoscaler,
    csi_drivers: CsiDrivers,
    metrics: PodMetrics,
    custom_metrics: CustomMetrics,
    vpa_recommender: Recommender,
    vpa_updater: Updater,
    /// `None` when nothing sends requests.
    traffic: Option<Player>,
    faults: Faults,
    outage: Outage,

    clients: Clients,
    queues: Queues,
    /// What has landed and is on its way to the watchers, with when it reaches them.
    news: VecDeque<(SimTime, Change)>,
    /// How many of them have reached the watchers so far.
    heard: u64,
    propagation: Propagation,
    usage: Usage,
    /// `None` when nobody asked for what the API tells.
    tap: Option<Box<Tap>>,
    /// Specs as admitted. Looked up only.
    admitted: FxHashMap<Arc<PodSpec>, Arc<PodSpec>>,
    /// Facts that the sink has not heard yet; all of them of the present.
    records: Vec<Record>,
    signals: Vec<Signal>,
    woken: Vec<(Component, Key)>,
    /// Reused by every step.
    effects: Effects,
}

/// When to stop before the horizon.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// After so many events; `None` means no limit.
    pub max_events: Option<u64>,
}

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Simulated time.
    pub now: SimTime,
    /// Events handled.
    pub events: u64,
    /// Events inside the traffic engine.
    pub traffic_events: u64,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Events handled.
    pub events: u64,
    /// Events inside the traffic engine.
    pub traffic_events: u64,
    /// `horizon`, `max-events` or `interrupted`.
    pub reason: &'static str,
}

/// What a room may read: everything but itself.
macro_rules! view {
    ($world:ident) => {
        View { store: &$world.store, settings: &$world.spec.control_plane, streams: &$world.streams, now: $world.now }
    };
}
use view;

impl World {
    /// A cluster as `spec` describes it, at time zero.
    #[must_use]
    pub fn new(spec: Arc<WorldSpec>, scheduler: Box<dyn Scheduler>, seed: u64) -> Self {
        let streams = Streams::new(seed);
        let mut world = Self {
            streams,
            now: SimTime::ZERO,
            events: 0,
            ended: None,
            store: Store::default(),
            calendar: Calendar::default(),
            scheduler,
            scheduling: Scheduling::default(),
            kubelets: Kubelets::new(&spec.behaviors, &spec.images),
            node_lifecycle: NodeLifecycle::new(&spec.control_plane.node_lifecycle, &streams),
            taint_eviction: TaintEviction::default(),
            pod_gc: PodGc::new(&streams),
            hpa: HpaController::default(),
            cluster_autoscaler: ClusterAutoscaler::new(&spec.node_pools),
            csi_drivers: CsiDrivers::default(),
            metrics: PodMetrics::default(),
            custom_metrics: CustomMetrics::new(&spec.metrics),
            vpa_recommender: Recommender::default(),
            vpa_updater: Updater::default(),
            traffic: (!spec.traffic.sources.is_empty()).then(|| Player::new(&spec, streams)),
            faults: Faults::default(),
            outage: Outage::default(),
            clients: Clients::new(&spec.control_plane, streams),
            queues: Queues::default(),
            news: VecDeque::new(),
            heard: 0,
            propagation: Propagation::default(),
            usage: Usage::default(),
            tap: spec.watch.then(Box::default),
            admitted: FxHashMap::default(),
            records: Vec::new(),
            signals: Vec::new(),
            woken: Vec::new(),
            effects: Effects::default(),
            spec,
        };
        world.set_up();
        world
    }

    /// Has the scheduler explain some decisions in the trace. Nothing else changes.
    pub fn explain(&mut self, wanted: Explain) {
        self.scheduling.want(wanted);
    }

    /// The present.
    #[must_use]
    pub const fn now(&self) -> SimTime {
        self.now
    }

    /// Events handled so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Events inside the traffic engine so far.
    #[must_use]
    pub fn traffic_events(&self) -> u64 {
        self.traffic.as_ref().map_or(0, |traffic| traffic.events())
    }

    /// When the next event is due that the cluster has planned; traffic may tell of something earlier.
    pub fn next_event(&mut self) -> Option<SimTime> {
        self.calendar.peek_time()
    }

    /// Handles the next event; its time, or `None` when the run is over.
    pub fn step(&mut self, sink: &mut dyn TraceSink) -> Option<SimTime> {
        self.tell(sink); // Set-up has no sink of its own.
        if self.ended.is_some() {
            return None;
        }
        if !self.hear_traffic() {
            let (at, event) = self.calendar.pop()?;
            debug_assert!(at >= self.now, "the calendar went back: {at} after {}", self.now);
            self.now = at;
            self.dispatch(event);
        }
        self.events += 1;
        self.tell(sink);
        #[cfg(debug_assertions)]
        if let Err(bug) = self.check_lately() {
            panic!("bug at {}: {bug}", self.now);
        }
        Some(self.now)
    }

    /// What progress is measured in: events here, and those of the traffic engine at a fraction.
    fn work(&self) -> u64 {
        self.events + self.traffic_events() / 16
    }

    /// Handles events until the horizon or a limit. `progress` is asked every few thousand events and ends
    /// the run by answering `false`; it changes nothing else.
    pub fn run(&mut self, sink: &mut dyn TraceSink, limits: &Limits, progress: &mut dyn FnMut(&Progress) -> bool) -> Summary {
        let mut reported = self.work();
        while self.ended.is_none() {
            if limits.max_events.is_some_and(|most| self.events >= most) {
                self.ended = Some("max-events");
            } else if self.step(sink).is_none() {
                self.ended = self.ended.or(Some("horizon"));
            } else if self.work() - reported >= WORK_PER_REPORT {
                reported = self.work();
                let report = Progress { now: self.now, events: self.events, traffic_events: self.traffic_events() };
                if !progress(&report) {
                    self.ended = Some("interrupted");
                }
            }
        }
        self.tell(sink);
        let summary = Summary { events: self.events, traffic_events: self.traffic_events(), reason: self.ended.unwrap_or("horizon") };
        let Summary { events, traffic_events, reason } = summary;
        sink.record(self.now, &Record::End { events, traffic_events, reason: reason.into() });
        summary
    }

    fn tell(&mut self, sink: &mut dyn TraceSink) {
        for record in self.records.drain(..) {
            sink.record(self.now, &record);
            if let Some(told) = self.tap.as_mut().and_then(|tap| tap.hear_event(&record, self.now)) {
                sink.record(self.now, &told);
            }
        }
        self.records.shrink_to(KEPT);
    }

    fn dispatch(&mut self, event: Event) {
        let mut out = std::mem::take(&mut self.effects);
        match event {
            Event::Sync(component, key) => self.sync(component, key, &mut out),
            Event::Write(id) => self.land(id, &mut out),
            Event::Watch if self.outage.is_silent(self.now) => {} // Heard when it is found again.
            Event::Watch => self.watch(&mut out),
            Event::SchedulingCycle => self.scheduling.cycle(&mut *self.scheduler, view!(self), &mut out),
            Event::BackoffFlush => self.scheduling.backoff_flush(view!(self), &mut out),
            Event::UnschedulableFlush => self.scheduling.unschedulable_flush(&*self.scheduler, view!(self), &mut out),
            Event::Kubelet(pod, timer, generation) => self.kubelets.due(pod, timer, generation, view!(self), &mut out),
            Event::KubeletNode(node, timer, number) => self.kubelets.node_due(node, timer, number, view!(self), &mut out),
            Event::NodePowersOff(node) => self.shutdown_is_through(node, &mut out),
            Event::NodeMonitor | Event::NodeEviction if self.outage.is_away(Process::ControllerManager) => {}
            Event::NodeMonitor => self.node_lifecycle.monitor(&view!(self), &mut out),
            Event::NodeEviction => self.node_lifecycle.eviction(&view!(self), &mut out),
            Event::TaintEviction(pod) => self.taint_eviction.due(pod, &view!(self), &mut out),
            Event::HpaSync(hpa) => {
                let apis = MetricsApis { resource: &self.metrics, custom: &self.custom_metrics };
                self.hpa.sync(hpa, &view!(self), apis, &mut out);
            }
            Event::CsiDriver(work) => self.csi_drivers.due(work, &view!(self), &mut out),
            Event::VolumesBound(pod) => self.scheduling.volumes_bound(pod, &*self.scheduler, view!(self), &mut out),
            Event::MetricsScrape => self.scrape(&mut out),
            Event::VpaRecommender => self.vpa_recommender.run(&view!(self), &self.metrics, &mut out),
            Event::VpaUpdater => self.vpa_updater.run(&view!(self), &mut out),
            Event::CustomMetricScrape(metric) => self.scrape_custom(metric, &mut out),
            Event::ClusterAutoscaler => self.autoscale_cluster(&mut out),
            Event::NodeProvisioned { pool, ordinal } => self.node_provisioned(pool, ordinal),
            Event::PodGc => self.pod_gc.run(&view!(self), &mut out),
            Event::EndpointsVisible(service) => self.endpoints_visible(service),
            Event::TrafficWindow => self.close_window(),
            Event::UsageSample => self.sample_usage(),
            Event::Evict(pod) => self.evict(pod, &mut out),
            Event::Reconnected(node, client) => self.reconnected(node, client, &mut out),
            Event::LeaderElected(process) => self.start(process, &mut out),
            Event::FaultBegins(fault, occurrence) => self.fault_begins(fault, occurrence, &mut out),
            Event::FaultEnds(fault, occurrence) => self.fault_ends(fault, occurrence, &mut out),
            Event::Step(step) => self.operator_step(step, &mut out),
            Event::Mark(mark) => self.records.push(Record::Mark { mark: self.spec.marks[mark as usize].name.clone() }),
            Event::Horizon => self.reach_horizon(),
        }
        self.apply(&mut out, None);
        self.effects = out;
        self.publish();
    }

    /// Does what a room wants done, and empties the buffer. Writes of a sync lock `key` until they land.
    fn apply(&mut self, out: &mut Effects, key: Option<Key>) {
        self.records.append(&mut out.records);
        for (at, event) in out.timers.drain(..) {
            self.calendar.schedule(at.max(self.now), event);
        }
        for change in out.processes.drain(..) {
            self.process_changed(change);
        }
        for probe in out.probes.drain(..) {
            self.ask(probe);
        }
        for (by, write) in out.writes.drain(..) {
            let (at, id) = self.clients.send(self.now, Request { by, write, key });
            self.calendar.schedule(at, Event::Write(id));
        }
        for (call, write) in out.calls.drain(..) {
            let (at, id) = self.clients.send(self.now, Request { by: Component::NodeMonitor, write, key: Some(call) });
            self.calendar.schedule(at, Event::Write(id));
        }
        out.clear();
    }

    /// A work queue hands out a key.
    fn sync(&mut self, component: Component, key: Key, out: &mut Effects) {
        if !self.queues.begin(component, key, self.now) {
            return;
        }
        controllers::sync(component, key, &view!(self), out);
        let rest = Rest::take(out);
        let writes = out.writes.len() as u32;
        self.apply(out, Some(key));
        let next = self.queues.synced((component, key), writes, rest, self.now, &mut self.calendar);
        self.send(next, key);
    }

    /// Sends what a sync writes after what has landed.
    fn send(&mut self, wave: Wave, key: Key) {
        for (by, write) in wave {
            let (at, id) = self.clients.send(self.now, Request { by, write, key: Some(key) });
            self.calendar.schedule(at, Event::Write(id));
        }
    }

    /// A request has reached the API server.
    fn land(&mut self, id: WriteId, out: &mut Effects) {
        let Some(Request { by, write, key }) = self.clients.arrived(id) else { return };
        if self.outage.api_server_is_away() {
            return self.unanswered(Request { by, write, key }, out);
        }
        let call = write.scheduler_call().filter(|_| by == Component::Scheduler);
        let answer = self.perform(by, write);
        if by == Component::NodeMonitor {
            self.node_monitor_hears(key, answer.is_ok(), out);
        } else if let Some(key) = key {
            let refused = answer.as_ref().err().filter(|refusal| !matches!(refusal, Refusal::NamespaceTerminating(_))).map(Refusal::text);
            let next = self.queues.landed(by, key, refused, self.now, &mut self.calendar);
            self.send(next, key);
        }
        if let (Err(Refusal::Forbidden(why) | Refusal::NamespaceTerminating(why)), Component::Kubectl) = (&answer, by) {
            let outcome = format!("Error from server (Forbidden): {why}").into();
            self.records.push(Record::Step { step: "kubectl create".into(), outcome });
        }
        if let Some((call, pod)) = call {
            self.scheduling.returned(call, pod, answer.is_ok(), &*self.scheduler, view!(self), out);
        }
    }

    /// The node monitor's request has been answered.
    fn node_monitor_hears(&mut self, call: Option<Key>, is_accepted: bool, out: &mut Effects) {
        if let Some(call) = call.filter(|_| !self.outage.is_away(Process::ControllerManager)) {
            self.node_lifecycle.answered(call, is_accepted, &view!(self), out);
        }
    }

    /// A request finds no API server: its key is synced again, or the request itself is made again.
    fn unanswered(&mut self, Request { by, write, key }: Request, out: &mut Effects) {
        if by == Component::NodeMonitor {
            self.node_monitor_hears(key, false, out);
        } else if let Some(key) = key {
            let why = Some("dial tcp: connect: connection refused".into());
            let next = self.queues.landed(by, key, why, self.now, &mut self.calendar);
            self.send(next, key);
        } else if let (Component::Scheduler, Some((call, pod))) = (by, write.scheduler_call()) {
            self.scheduling.returned(call, pod, false, &*self.scheduler, view!(self), out);
        } else if by == Component::Kubectl {
            let step = steps::command(&write, &self.store).into();
            self.records.push(Record::Step { step, outcome: outage::REFUSED.into() });
        } else if !matches!(by, Component::HorizontalPodAutoscaler | Component::VpaRecommender | Component::VpaUpdater) {
            // Their next loops think anew; everybody else still wants the same.
            self.outage.hold(Request { by, write, key });
        }
    }

    /// When what changes now reaches the watchers: not before what has changed before.
    fn next_watch(&self) -> SimTime {
        let latency = match &self.spec.control_plane.api_server.watch_latency {
            Distribution::Constant(latency) => *latency,
            law => law.sample(&mut self.streams.stream(Purpose::WatchLatency, self.heard + self.news.len() as u64)),
        };
        let at = self.now + latency;
        self.news.back().map_or(at, |(last, _)| at.max(*last))
    }

    /// Sends what has changed on its way to the watchers.
    fn publish(&mut self) {
        let changes = self.store.take_changes();
        if !changes.is_empty() {
            let at = self.next_watch();
            if self.news.back().is_none_or(|(due, _)| *due != at) {
                self.calendar.schedule(at, Event::Watch);
            }
            if let Some(tap) = &mut self.tap {
                changes.iter().for_each(|change| tap.hear(change, &self.store, &mut self.records));
            }
            self.news.extend(changes.into_iter().map(|change| (at, change)));
        }
        if self.usage.is_touched() && self.usage.armed.is_none() {
            self.arm_usage();
        }
    }

    /// What has landed reaches those who watch.
    fn watch(&mut self, out: &mut Effects) {
        while self.news.front().is_some_and(|(due, _)| *due <= self.now)
            && let Some((_, change)) = self.news.pop_front()
        {
            self.heard += 1;
            if self.outage.hears(Process::ControllerManager, self.heard) {
                self.manager_hears(&change, out);
            }
            if self.outage.hears(Process::Scheduler, self.heard) {
                self.scheduling.changed(&change, &mut *self.scheduler, view!(self), out);
            }
            self.kubelets.changed(&change, view!(self), out);
            self.metrics.changed(&change, &view!(self), out);
            self.vpa_recommender.changed(&change, &view!(self), out);
            self.vpa_updater.changed(&change, &view!(self), out);
            self.cluster_autoscaler.changed(&change, &view!(self), out);
            self.csi_drivers.changed(&change, &view!(self), out);
            match change {
                Change::SliceChanged(service, slice) | Change::SliceDeleted(service, slice, _) => self.propagate(service, slice),
                Change::ServiceDeleted(service, gone) => self.propagate_end(service, &gone.meta.key()),
                other => self.tell_network(&other),
            }
            self.apply(out, None);
        }
        if self.news.is_empty() {
            self.news.shrink_to(KEPT);
        }
    }

    /// The informers of kube-controller-manager.
    fn manager_hears(&mut self, change: &Change, out: &mut Effects) {
        let mut woken = std::mem::take(&mut self.woken);
        controllers::interested(change, &view!(self), &mut |component, key| woken.push((component, key)));
        controllers::interested_later(change, &view!(self), &mut |component, key, at| {
            self.queues.add_after(component, key, at, &mut self.calendar);
        });
        for (component, key) in woken.drain(..) {
            self.queues.add(component, key, self.now, &mut self.calendar);
        }
        self.woken = woken;
        self.node_lifecycle.changed(change, &view!(self), out);
        self.taint_eviction.changed(change, &view!(self), out);
        self.pod_gc.changed(change, &view!(self), out);
        self.hpa.changed(change, &view!(self), out);
    }

    /// Whether the traffic engine has something to tell before the next event; it is told then.
    fn hear_traffic(&mut self) -> bool {
        let Some(traffic) = &mut self.traffic else { return false };
        let Some(next) = self.calendar.peek_time() else { return false };
        let mut signals = std::mem::take(&mut self.signals);
        let reached = traffic.advance_to(next, &mut signals);
        let heard = !signals.is_empty();
        if heard {
            self.now = self.now.max(reached);
            let mut out = std::mem::take(&mut self.effects);
            for signal in signals.drain(..) {
                match signal {
                    Signal::Stressed { pod, since } => self.kubelets.stressed(pod, since, view!(self), &mut out),
                    Signal::Relieved(pod) => self.kubelets.relieved(pod, view!(self), &mut out),
                    Signal::OutOfMemory(pod) => self.out_of_memory(pod, &mut out),
                    Signal::ProbeAnswered { pod, container, kind, ok } => {
                        self.kubelets.probe_answered(pod, container, kind, ok, view!(self), &mut out);
                    }
                }
                self.apply(&mut out, None);
            }
            self.effects = out;
            self.publish();
        }
        self.signals = signals;
        heard
    }

    /// The kernel kills a process at its memory limit.
    fn out_of_memory(&mut self, pod: api::Uid, out: &mut Effects) {
        if let Some((id, _)) = self.store.pod_by_uid(pod) {
            self.kubelets.kill_container(id, None, 137, "OOMKilled", view!(self), out);
        }
    }

    /// metrics-server scrapes the kubelets.
    fn scrape(&mut self, out: &mut Effects) {
        let (traffic, kubelets, now) = (self.traffic.as_ref(), &self.kubelets, self.now);
        let usage = |id, pod: &api::Pod| {
            let served_bytes = traffic.and_then(|traffic| traffic.memory_bytes(pod.meta.uid, now));
            PodUsage {
                serving: kubelets.serving_container(id, pod),
                cpu: traffic.and_then(|traffic| traffic.cpu_used(pod.meta.uid, now)),
                memory: kubelets.memory_in_use(id, pod, served_bytes, now),
            }
        };
        self.metrics.scrape(&view!(self), usage, out);
    }

    /// Prometheus scrapes those who export a metric.
    fn scrape_custom(&mut self, metric: u32, out: &mut Effects) {
        let traffic = self.traffic.as_ref();
        let exporters = Exporters {
            pod: &|pod| traffic.and_then(|traffic| traffic.pod_load(pod)),
            service: &|service| traffic.and_then(|traffic| traffic.service_load(service)),
        };
        self.custom_metrics.scrape(metric, &view!(self), &exporters, out);
    }

    fn autoscale_cluster(&mut self, out: &mut Effects) {
        if self.outage.api_server_is_away() {
            // It cannot list what there is, and tries again at its next turn.
            return out.at(self.now + self.spec.control_plane.cluster_autoscaler.scan_interval, Event::ClusterAutoscaler);
        }
        let filters = FiltersOf(&*self.scheduler);
        self.cluster_autoscaler.run(&view!(self), self.scheduling.snapshot(), &filters, out);
    }

    fn close_window(&mut self) {
        let Some(traffic) = &mut self.traffic else { return };
        traffic.close_window(self.now, &mut self.records);
        self.calendar.schedule(self.now + self.window(), Event::TrafficWindow);
    }

    /// Length of the windows in which requests are counted.
    fn window(&self) -> SimDuration {
        let window = self.spec.traffic.window;
        if window.is_zero() { SimDuration::from_secs(5) } else { window }
    }

    /// Samples lie on the grid of metrics-server.
    fn arm_usage(&mut self) {
        let resolution = self.spec.control_plane.metrics_server.resolution.max(SimDuration::from_nanos(1));
        let after = self.now + SimDuration::from_nanos(1);
        let at = after.next_on_grid(SimTime::ZERO, resolution);
        self.usage.armed = Some(at);
        self.calendar.schedule(at, Event::UsageSample);
    }

    fn sample_usage(&mut self) {
        self.usage.armed = None;
        let traffic = self.traffic.as_ref();
        let now = self.now;
        let used = |pod| traffic.and_then(|traffic| traffic.cpu_used(pod, now)).map(SimDuration::as_nanos);
        self.usage.sample(&self.store, self.now, used, &mut self.records);
    }

    fn reach_horizon(&mut self) {
        if let Some(traffic) = &mut self.traffic {
            traffic.close_window(self.now, &mut self.records);
        }
        let traffic = self.traffic.as_ref();
        let now = self.now;
        let used = |pod| traffic.and_then(|traffic| traffic.cpu_used(pod, now)).map(SimDuration::as_nanos);
        self.usage.sample(&self.store, self.now, used, &mut self.records);
        self.ended = Some("horizon");
    }
}
