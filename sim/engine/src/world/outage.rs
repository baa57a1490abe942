//! What goes on, and what does not, while a part of the control plane is away.
//!
//! - kube-scheduler: nothing is placed. Back again, it knows nothing: it lists everything and starts anew.
//! - kube-controller-manager: nothing is replaced, no endpoints change, no node is tainted, nothing scales.
//!   Back again, its queues, expectations and observations are fresh.
//! - kube-apiserver and etcd: no request is answered, nobody hears news, leases are not renewed. Containers,
//!   probes and connections go on. An absence longer than the renew deadline ends the leaders too. Back again, it
//!   is found by each client when that client's back-off is over: kubelets as after a partition of their own, the
//!   watches of controllers and scheduler all together.
//!
//! A crashed leader is followed by a standby, or by itself, once its lease has run out; with a standby that
//! is known sooner, since the standby has been watching the lease all along.
//!
//! Invariant: whatever was asked of the API server while it was away is asked again or forgotten; nothing
//! lands in between.
//!
//! Upstream: client-go/tools/leaderelection/leaderelection.go, cmd/kube-scheduler, cmd/kube-controller-manager.
//! Simplified: an etcd that is away is an API server that is away (watches would still be served, reads from
//! the cache too); the cluster autoscaler and metrics-server keep what they know. Whoever watches again catches up
//! from the store, so that a relist after compaction (410 Gone) and a resumed watch are the same, and cost nothing.

use api::{Kind, SimDuration, SimTime};
use trace::Record;

use super::{World, view};
use crate::controllers::node_lifecycle::NodeLifecycle;
use crate::controllers::{self, View};
use crate::effects::{Component, Effects, Key, Process};
use crate::event::Event;
use crate::objects::{AnyObject, Kept, with_kind};
use crate::random::{Purpose, Streams};
use crate::scheduling::Scheduling;
use crate::spec::{ControlPlane, ControlPlaneComponent};
use crate::store::{Change, Id, NodeId, Store};

use super::client::Request;
use super::queues::Queues;
use super::strike::reflector_back_off;

/// Upstream's JitterFactor: a candidate tries every retry period and up to 1.2 of it more.
const RETRY_JITTER: f64 = 1.2;

/// What kubectl says; it tries nothing again.
pub(super) const REFUSED: &str = "The connection to the server was refused - did you specify the right host or port?";

/// Who is away, and what waits for them.
#[derive(Default)]
pub(super) struct Outage {
    /// Outages of the API server that are not over.
    api_server: u32,
    /// Since when.
    since: SimTime,
    /// When those who watch have found the API server again.
    deaf_until: SimTime,
    /// How often each process was taken away and not given back.
    away: [u32; 2],
    /// News that a process learned from its first list, and does not hear again.
    listed: [u64; 2],
    /// Requests that are made again.
    held: Vec<Request>,
    /// Times a leader was elected; names the draws.
    elections: u64,
}

const fn place(process: Process) -> usize {
    match process {
        Process::Scheduler => 0,
        Process::ControllerManager => 1,
    }
}

impl Outage {
    pub(super) const fn api_server_is_away(&self) -> bool {
        self.api_server > 0
    }
    /// Whether news reach nobody: the API server is away, or nobody has found it again.
    pub(super) fn is_silent(&self, now: SimTime) -> bool {
        self.api_server_is_away() || now < self.deaf_until
    }
    pub(super) const fn is_away(&self, process: Process) -> bool {
        self.away[place(process)] > 0
    }
    /// Whether a process hears the news of this number.
    pub(super) const fn hears(&self, process: Process, number: u64) -> bool {
        !self.is_away(process) && number > self.listed[place(process)]
    }
    pub(super) fn hold(&mut self, request: Request) {
        self.held.push(request);
    }
}

/// How long until there is a leader, after the last one died `ago` and its lease was last renewed up to a
/// retry period before that.
fn election(settings: &ControlPlane, has_standby: bool, ago: SimDuration, streams: &Streams, ordinal: u64) -> SimDuration {
    let election = &settings.leader_election;
    if !election.leader_elect {
        return SimDuration::ZERO;
    }
    let mut draw = streams.stream(Purpose::LeaderElection, ordinal);
    let retry = election.retry_period.as_secs_f64();
    let renewed = SimDuration::from_secs_f64(retry * draw.unit()) + ago;
    let attempt = SimDuration::from_secs_f64(retry * (1.0 + RETRY_JITTER) * draw.unit());
    // A standby has watched the lease since its last renewal; whoever starts now has to watch it first.
    let watched = if has_standby { renewed } else { SimDuration::ZERO };
    SimDuration::from_nanos(election.lease_duration.as_nanos().saturating_sub(watched.as_nanos())) + attempt
}

impl World {
    pub(super) fn control_plane_goes(
        &mut self,
        component: ControlPlaneComponent,
        fault: (u32, u32),
        duration: Option<SimDuration>,
        out: &mut Effects,
    ) {
        match component {
            ControlPlaneComponent::KubeScheduler => self.crash(Process::Scheduler, fault, duration, out),
            ControlPlaneComponent::KubeControllerManager => self.crash(Process::ControllerManager, fault, duration, out),
            ControlPlaneComponent::KubeApiserver | ControlPlaneComponent::Etcd => {
                if self.outage.api_server == 0 {
                    self.outage.since = self.now;
                    self.every_kubelet(Self::lose_api_server, out);
                }
                self.outage.api_server += 1;
                self.end_later(fault, duration, out);
            }
        }
    }

    /// A leader dies. A standby takes over by itself; otherwise it is back after `duration`.
    fn crash(&mut self, process: Process, fault: (u32, u32), duration: Option<SimDuration>, out: &mut Effects) {
        self.stop(process);
        let plane = &self.spec.control_plane;
        let has_standby = match process {
            Process::Scheduler => plane.leader_election.scheduler_replicas > 1,
            Process::ControllerManager => plane.leader_election.controller_manager_replicas > 1,
        };
        self.outage.elections += 1;
        let wait = election(plane, has_standby, SimDuration::ZERO, &self.streams, self.outage.elections);
        let away = match duration {
            _ if has_standby => Some(wait),
            Some(duration) => Some(duration + wait),
            None => None,
        };
        self.end_later(fault, away, out);
    }

    fn end_later(&self, (fault, occurrence): (u32, u32), after: Option<SimDuration>, out: &mut Effects) {
        if let Some(after) = after {
            out.at(self.now + after, Event::FaultEnds(fault, occurrence));
        }
    }

    /// The fault is over.
    pub(super) fn control_plane_returns(&mut self, component: ControlPlaneComponent, out: &mut Effects) {
        match component {
            ControlPlaneComponent::KubeScheduler => self.start(Process::Scheduler, out),
            ControlPlaneComponent::KubeControllerManager => self.start(Process::ControllerManager, out),
            ControlPlaneComponent::KubeApiserver | ControlPlaneComponent::Etcd => self.api_server_returns(out),
        }
    }

    fn api_server_returns(&mut self, out: &mut Effects) {
        self.outage.api_server -= 1;
        if self.outage.api_server > 0 {
            return;
        }
        let away = self.now.since(self.outage.since);
        let lost_their_lease =
            self.spec.control_plane.leader_election.leader_elect && away > self.spec.control_plane.leader_election.renew_deadline;
        if lost_their_lease {
            for process in [Process::Scheduler, Process::ControllerManager] {
                self.stop(process);
                self.outage.elections += 1;
                // Both were restarted meanwhile and have watched a lease that nobody could renew.
                let wait = election(&self.spec.control_plane, true, away, &self.streams, self.outage.elections);
                out.at(self.now + wait, Event::LeaderElected(process));
            }
        }
        self.ask_again();
        // Leaders that start afresh list everything when they do; the others watch on when their back-off is over.
        self.outage.deaf_until = self.now;
        if !lost_their_lease {
            let mut draw = self.streams.stream(Purpose::Reconnect, u64::MAX ^ self.now.as_nanos());
            let longest = self.spec.control_plane.kubelet.reconnect_back_off_max;
            self.outage.deaf_until = self.outage.since + reflector_back_off(away, longest, &mut draw);
        }
        self.calendar.schedule(self.outage.deaf_until, Event::Watch);
        self.every_kubelet(Self::find_api_server, out);
    }

    /// What was held is asked again, in order and at once, so that nothing newer is overtaken by it.
    fn ask_again(&mut self) {
        for request in std::mem::take(&mut self.outage.held) {
            let is_lost = request.by.process().is_some_and(|process| self.outage.is_away(process));
            if is_lost {
                continue; // Whoever wanted it has forgotten.
            }
            let (at, id) = self.clients.send(self.now, request);
            self.calendar.schedule(at, Event::Write(id));
        }
    }

    fn every_kubelet(&mut self, change: fn(&mut Self, NodeId, &mut Effects), out: &mut Effects) {
        let nodes: Vec<_> = self.store.nodes.iter().map(|(id, _)| id).collect();
        for id in nodes {
            change(self, id, out);
            self.apply(out, None);
        }
    }

    // Processes.

    /// A process dies with all it remembers.
    fn stop(&mut self, process: Process) {
        self.outage.away[place(process)] += 1;
        self.calendar.cancel_all(|event| event.process() == Some(process));
    }

    /// It leads again, unless something else keeps it away; it lists everything first.
    pub(super) fn start(&mut self, process: Process, out: &mut Effects) {
        self.outage.away[place(process)] -= 1;
        if self.outage.is_away(process) {
            return;
        }
        let lease = if process == Process::Scheduler { "kube-scheduler" } else { "kube-controller-manager" };
        self.records.push(Record::Event {
            kind: "Normal".into(),
            reason: "LeaderElection".into(),
            object: format!("Lease/kube-system/{lease}").into(),
            message: format!("{lease} became leader").into(),
            source: lease.into(),
        });
        match process {
            Process::Scheduler => self.scheduling = Scheduling::default(),
            Process::ControllerManager => {
                self.queues = Queues::default();
                self.node_lifecycle = NodeLifecycle::new(&self.spec.control_plane.node_lifecycle, &self.streams);
                self.taint_eviction = controllers::taint_eviction::TaintEviction::default();
                self.pod_gc = controllers::pod_gc::PodGc::started(self.now);
                self.hpa = controllers::horizontal_pod_autoscaler::HpaController::default();
                self.watch_nodes_anew(out);
            }
        }
        self.publish();
        self.outage.listed[place(process)] = self.heard + self.news.len() as u64;
        for change in everything(&self.store) {
            match process {
                Process::Scheduler => self.scheduling.changed(&change, &mut *self.scheduler, view!(self), out),
                Process::ControllerManager => self.manager_hears(&change, out),
            }
            self.apply(out, None);
        }
        if process == Process::ControllerManager {
            self.count_quotas_anew();
        }
    }

    /// Pods may have ended while nobody counted (resource_quota_controller.go, `addQuota`).
    fn count_quotas_anew(&mut self) {
        for (id, _) in self.store.resource_quotas.iter() {
            self.queues.add(Component::ResourceQuota, Key(id.number()), self.now, &mut self.calendar);
        }
    }

    /// A fresh node controller has seen no heartbeat yet, and gives every node its grace again.
    fn watch_nodes_anew(&mut self, out: &mut Effects) {
        let nodes: Vec<_> = self.store.nodes.iter().map(|(id, _)| id).collect();
        for id in nodes {
            self.node_registered(id);
            if self.faults.is_out(id) || self.outage.api_server_is_away() {
                self.node_lifecycle.heartbeat_stopped(id, self.now, &view!(self), out);
                self.apply(out, None);
            }
        }
    }
}

/// What a first list tells: every object, as if it had just been made.
fn everything(store: &Store) -> Vec<Change> {
    let mut all: Vec<Change> = store.nodes.iter().map(|(id, _)| Change::NodeAdded(id)).collect();
    for kind in AnyObject::KINDS {
        with_kind!(*kind, T => all.extend(T::table(store).iter().map(|(id, _)| match kind {
            Kind::Deployment => Change::DeploymentChanged(Id::new(id.number())),
            Kind::ReplicaSet => Change::ReplicaSetChanged(Id::new(id.number())),
            Kind::Service => Change::ServiceChanged(Id::new(id.number())),
            Kind::HorizontalPodAutoscaler => Change::HpaChanged(Id::new(id.number())),
            kind => Change::Object(*kind, id.number()),
        })), else ());
    }
    all.extend(store.pods.iter().map(|(id, _)| Change::PodAdded(id)));
    all
}
