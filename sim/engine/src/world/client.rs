//! Requests on their way to the API server, and the rate at which each component may send them.
//!
//! Every component has a client with a token bucket of its own, as upstream builds one per controller.
//! A write waits for its token, then takes `request_latency`; writes of one component never overtake each
//! other.
//!
//! Not modelled: reads (watches answer them), the kubelets' own limits (50 qps on each node, which no
//! kubelet of the model reaches), those of storage drivers, events (they go through clients of their own), priority and fairness.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime};

use crate::effects::{Component, Key, Write, WriteId};
use crate::random::{Distribution, Purpose, Streams};
use crate::spec::ControlPlane;

/// A token bucket in whole nanoseconds: the generic cell rate algorithm, which needs one number.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    /// Time for one token to come.
    interval: SimDuration,
    /// How far ahead of that rate a full bucket lets one run.
    slack: SimDuration,
    /// When the bucket would be full again.
    full_at: SimTime,
}

impl Bucket {
    pub(super) fn new(qps: f64, burst: u32) -> Self {
        let interval = if qps > 0.0 { SimDuration::from_secs_f64(1.0 / qps) } else { SimDuration::ZERO };
        Self { interval, slack: interval.times(u64::from(burst.max(1) - 1)), full_at: SimTime::ZERO }
    }

    /// Takes a token; when it is there.
    pub(super) fn take(&mut self, now: SimTime) -> SimTime {
        self.full_at = self.full_at.max(now);
        let granted = now.max(self.full_at - self.slack);
        self.full_at += self.interval;
        granted
    }
}

/// A write on its way, and the key that waits for it.
pub(super) struct Request {
    pub(super) by: Component,
    pub(super) write: Write,
    pub(super) key: Option<Key>,
}

/// Places for requests that are kept when none is on its way.
const KEPT: usize = 1024;

/// All clients.
pub(super) struct Clients {
    latency: Distribution,
    /// Added to it.
    jitter: Distribution,
    streams: Streams,
    sent: u64,
    /// When the last request of each component, and of each pod's kubelet, lands: none overtakes it.
    last: BTreeMap<(Component, u32), SimTime>,
    controllers: [Bucket; CONTROLLERS.len()],
    cluster_autoscaler: Bucket,
    scheduler: Bucket,
    on_their_way: Vec<Option<Request>>,
    free: Vec<u32>,
}

/// Components of kube-controller-manager, each with a client of its own.
const CONTROLLERS: &[Component] = &[
    Component::Deployment,
    Component::ReplicaSet,
    Component::StatefulSet,
    Component::PersistentVolumeBinder,
    Component::EphemeralVolume,
    Component::StorageProtection,
    Component::AttachDetach,
    Component::EndpointSlice,
    Component::NodeLifecycle,
    Component::TaintEviction,
    Component::PodGc,
    Component::GarbageCollector,
    Component::HorizontalPodAutoscaler,
    Component::DaemonSet,
    Component::Job,
    Component::CronJob,
    Component::TtlAfterFinished,
    Component::ResourceQuota,
    Component::Disruption,
    Component::Namespace,
];

/// `--kube-client-qps` and `--kube-client-burst` of the cluster autoscaler.
const CLUSTER_AUTOSCALER: (f64, u32) = (5.0, 10);

impl Clients {
    pub(super) fn new(settings: &ControlPlane, streams: Streams) -> Self {
        let manager = &settings.controller_manager;
        Self {
            latency: settings.api_server.request_latency.clone(),
            jitter: settings.api_server.request_jitter.clone(),
            streams,
            sent: 0,
            last: BTreeMap::new(),
            controllers: [Bucket::new(manager.kube_api_qps, manager.kube_api_burst); CONTROLLERS.len()],
            cluster_autoscaler: Bucket::new(CLUSTER_AUTOSCALER.0, CLUSTER_AUTOSCALER.1),
            scheduler: Bucket::new(settings.scheduler.qps, settings.scheduler.burst),
            on_their_way: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Sends a request; when it reaches the API server, and under which number.
    pub(super) fn send(&mut self, now: SimTime, request: Request) -> (SimTime, WriteId) {
        let granted = self.bucket(request.by).map_or(now, |bucket| bucket.take(now));
        let pod = if request.by == Component::Kubelet { request.write.pod().map_or(0, |pod| pod.number() + 1) } else { 0 };
        let lands = self.lands(granted, (request.by, pod));
        let place = self.free.pop().unwrap_or_else(|| {
            self.on_their_way.push(None);
            self.on_their_way.len() as u32 - 1
        });
        self.on_their_way[place as usize] = Some(request);
        (lands, WriteId(place))
    }

    /// When a request arrives that is sent at this time: never before an earlier one of the same sender.
    fn lands(&mut self, sent: SimTime, by: (Component, u32)) -> SimTime {
        if let (Distribution::Constant(latency), Distribution::Constant(more)) = (&self.latency, &self.jitter) {
            return sent + *latency + *more;
        }
        self.sent += 1;
        let mut draw = self.streams.stream(Purpose::ApiLatency, self.sent);
        let jitter = self.jitter.sample(&mut draw);
        let at = sent + self.latency.sample(&mut draw) + jitter;
        let last = self.last.entry(by).or_default();
        *last = at.max(*last);
        *last
    }

    /// The request has arrived.
    pub(super) fn arrived(&mut self, id: WriteId) -> Option<Request> {
        let request = self.on_their_way.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        if self.free.len() == self.on_their_way.len() && self.free.len() > KEPT {
            (self.on_their_way, self.free) = (Vec::new(), Vec::new());
        }
        Some(request)
    }

    fn bucket(&mut self, by: Component) -> Option<&mut Bucket> {
        match by {
            Component::Scheduler => Some(&mut self.scheduler),
            Component::ClusterAutoscaler => Some(&mut self.cluster_autoscaler),
            Component::Kubelet | Component::Kubectl | Component::CsiDriver | Component::VpaRecommender | Component::VpaUpdater => None,
            _ => {
                // Both threads of the node lifecycle controller send through one client.
                let by = if by == Component::NodeMonitor { Component::NodeLifecycle } else { by };
                let place = CONTROLLERS.iter().position(|controller| *controller == by)?;
                self.controllers.get_mut(place)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let mut bucket = Bucket::new(20.0, 30);
        let now = SimTime::from_secs(7);
        let granted: Vec<u64> = (0..33).map(|_| bucket.take(now).since(now).as_millis()).collect();
        assert!(granted[..30].iter().all(|wait| *wait == 0));
        assert_eq!(granted[30..], [50, 100, 150]);
        let later = now + SimDuration::from_secs(60);
        assert_eq!((0..31).map(|_| bucket.take(later)).max(), Some(later + SimDuration::from_millis(50)));
    }

    #[test]
    fn the_trap_of_a_shared_rate_every_controller_has_a_bucket_of_its_own() {
        let mut settings = ControlPlane::default();
        settings.api_server.request_latency = Distribution::Constant(SimDuration::from_millis(5));
        let mut clients = Clients::new(&settings, Streams::new(1));
        let now = SimTime::from_secs(100);
        let mut lands = |by| {
            let write = Write::RemovePod(crate::store::PodId::new(0));
            clients.send(now, Request { by, write, key: None }).0.since(now).as_millis()
        };
        // A burst of 30, then 20 per second.
        let deployments: Vec<u64> = (0..33).map(|_| lands(Component::Deployment)).collect();
        assert_eq!(deployments[29..], [5, 55, 105, 155]);
        for by in CONTROLLERS.iter().filter(|by| **by != Component::Deployment) {
            assert_eq!(lands(*by), 5, "{by:?} has not sent anything yet");
        }
        assert_eq!(lands(Component::Kubelet), 5);
        assert_eq!(lands(Component::Deployment), 205);
    }
}
