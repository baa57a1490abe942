//! Which engine plays the requests: the world and the bench know this one door.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Labels, NetworkPolicy, ObjectKey, Service, SimDuration, SimTime, Str, Uid};
use trace::Record;

use super::cohort::Cohort;
use super::{EndpointTarget, Meter, NodePlace, PodEnd, ProcessStarted, ServiceRules, Signal, Traffic, TrafficProcess};
use crate::event::ProbeKind;
use crate::random::{Streams, entity};
use crate::spec::{Behavior, Client, ControlPlane, ServiceBehavior, Source, TrafficEngine, TrafficSpec, Via, WorldSpec};

/// Cores of what is beyond the cluster: never the limit.
const BEYOND_MILLIS: i64 = 1_000_000_000;

/// Whoever plays the requests of a run.
pub(crate) enum Player {
    /// Every request by itself.
    Exact(Box<Traffic>),
    /// Requests counted together.
    Cohort(Box<Cohort>),
}

/// Asks whichever engine it is.
macro_rules! either {
    ($player:expr, $engine:ident => $do:expr) => {
        match $player {
            Player::Exact($engine) => $do,
            Player::Cohort($engine) => $do,
        }
    };
}

impl Player {
    /// The engine that `spec` names, with all its sources and no pod yet.
    pub(crate) fn new(spec: &WorldSpec, streams: Streams) -> Self {
        let mut player = match spec.traffic.engine {
            TrafficEngine::Exact => Self::Exact(Box::new(Traffic::new(spec, streams))),
            TrafficEngine::Cohort => Self::Cohort(Box::new(Cohort::new(&spec.traffic, streams))),
        };
        for external in &spec.traffic.external {
            player.beyond(&external.service, external.behavior.clone());
        }
        player
    }

    /// Something beyond the cluster that answers for a Service: one process on a machine of its own.
    fn beyond(&mut self, service: &ObjectKey, behavior: Arc<ServiceBehavior>) {
        let name: Str = service.to_string().into();
        let pod = Uid(entity(&name) | 1 << 63);
        let end = PodEnd { namespace: "".into(), labels: Arc::default(), ports: Vec::new() };
        let started = ProcessStarted {
            pod,
            node: format!("beyond {name}").into(),
            services: vec![service.clone()],
            caller: name,
            behavior,
            cpu_limit_millis: None,
            cpu_request_millis: 0,
            node_cpu_millis: BEYOND_MILLIS,
            memory_limit_bytes: None,
            probe_timeout: None,
            end,
        };
        self.process(&TrafficProcess::Started(Box::new(started)), SimTime::ZERO);
        self.endpoints(service, 0, &[EndpointTarget::ready(pod)], SimTime::ZERO);
    }

    /// Whether it knows by itself when which node hears of endpoints.
    pub(crate) const fn has_proxies(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
    /// A node is there, or has changed, or is gone.
    pub(crate) fn node_place(&mut self, name: &Str, place: &NodePlace, now: SimTime) {
        if let Self::Exact(traffic) = self {
            traffic.node_place(name, place, now);
        }
    }
    /// What a Service asks of proxies from now on.
    pub(crate) fn service_rules(&mut self, service: &ObjectKey, rules: ServiceRules, now: SimTime) {
        if let Self::Exact(traffic) = self {
            traffic.service_rules(service, rules, now);
        }
    }
    /// NetworkPolicies from now on, and the labels of namespaces.
    pub(crate) fn network_policies(&mut self, policies: Vec<NetworkPolicy>, namespaces: BTreeMap<Str, Labels>, now: SimTime) {
        if let Self::Exact(traffic) = self {
            traffic.network_policies(policies, namespaces, now);
        }
    }
    /// Plays up to and including `until`, or up to the first event that raises a signal; says where it stopped.
    pub(crate) fn advance_to(&mut self, until: SimTime, signals: &mut Vec<Signal>) -> SimTime {
        either!(self, engine => engine.advance_to(until, signals))
    }
    /// Something about a pod's process.
    pub(crate) fn process(&mut self, change: &TrafficProcess, now: SimTime) {
        either!(self, engine => engine.process(change, now));
    }
    /// What the client nodes see in a slice of a Service's endpoints from now on.
    pub(crate) fn endpoints(&mut self, service: &ObjectKey, slice: u32, targets: &[EndpointTarget], now: SimTime) {
        either!(self, engine => engine.endpoints(service, slice, targets, now));
    }
    /// Asks a pod's process whether it is there; the answer is a [`Signal::ProbeAnswered`].
    pub(crate) fn probe(&mut self, pod: Uid, container: u8, kind: ProbeKind, timeout: SimDuration, now: SimTime) {
        either!(self, engine => engine.probe(pod, container, kind, timeout, now));
    }
    /// Cpu time that the processes of a pod have used so far; `None` when it never had one.
    pub(crate) fn cpu_used(&self, pod: Uid, now: SimTime) -> Option<SimDuration> {
        either!(self, engine => engine.cpu_used(pod, now))
    }
    /// Bytes that a pod's process uses; `None` when its service says nothing of memory.
    pub(crate) fn memory_bytes(&self, pod: Uid, now: SimTime) -> Option<i64> {
        either!(self, engine => engine.memory_bytes(pod, now))
    }
    /// Events (exact) or steps (cohort) played so far.
    pub(crate) fn events(&self) -> u64 {
        either!(self, engine => engine.events())
    }
    /// Ends a window: its records.
    pub(crate) fn close_window(&mut self, now: SimTime, out: &mut Vec<Record>) {
        either!(self, engine => engine.close_window(now, out));
    }
    /// Looks at requests one by one from now on; only the exact engine has any.
    pub(crate) fn measure(&mut self, meter: Meter) {
        if let Self::Exact(traffic) = self {
            traffic.measure(meter);
        }
    }
    /// What was seen of them.
    pub(crate) fn meter(&self) -> Option<Meter> {
        match self {
            Self::Exact(traffic) => traffic.meter.as_deref().copied(),
            Self::Cohort(_) => None,
        }
    }
    /// Share of a pod's requests that find no worker free, as a pod counted together stands now.
    pub(crate) fn waiting_share(&self, pod: Uid) -> Option<f64> {
        match self {
            Self::Exact(_) => None,
            Self::Cohort(cohort) => cohort.waiting_share(pod),
        }
    }
    /// Gives a pod other cores, as a stress fault would: its workers stay.
    pub(crate) fn set_cores(&mut self, pod: Uid, millis: i64, now: SimTime) {
        either!(self, engine => engine.set_cores(pod, millis, now));
    }
}

/// What of a run the cohort engine does not have, in the words of a scenario or manifest. Only what is asked counts.
#[must_use]
pub fn unsupported_by_cohort(
    traffic: &TrafficSpec,
    behaviors: &[Behavior],
    control_plane: &ControlPlane,
    services: &[&Service],
    has_policies: bool,
) -> Option<&'static str> {
    let calls = || behaviors.iter().filter_map(|behavior| behavior.service.as_ref()).flat_map(|service| service.calls.iter().flatten());
    let clients = traffic.sources.iter().map(|source| &source.client).chain(calls().map(|call| &call.client));
    let of_client = |client: &Client| {
        let found = [(client.connections.is_some(), "connections"), (client.dns.pinned, "dns: {pinned: true}")];
        found.into_iter().find(|(holds, _)| *holds).map(|(_, name)| name)
    };
    let of_source = |source: &Source| match source.via {
        Via::ClusterIp => None,
        Via::NodePort => Some("via: NodePort"),
        Via::LoadBalancer => Some("via: LoadBalancer"),
        Via::Ingress => Some("via: Ingress"),
    };
    let asked: BTreeSet<&ObjectKey> = traffic.sources.iter().map(|source| &source.to).chain(calls().map(|call| &call.to)).collect();
    let of_service = |service: &&Service| {
        let found = [
            (service.client_ip_affinity.is_some(), "sessionAffinity: ClientIP"),
            (!service.traffic_distribution.is_empty(), "trafficDistribution"),
            (service.internal_local, "internalTrafficPolicy: Local"),
            (service.headless, "clusterIP: None"),
        ];
        found.into_iter().find(|(holds, _)| *holds && asked.contains(&service.meta.key())).map(|(_, name)| name)
    };
    clients
        .into_iter()
        .find_map(of_client)
        .or_else(|| traffic.sources.iter().find_map(of_source))
        .or_else(|| services.iter().find_map(of_service))
        .or_else(|| (&*control_plane.kube_proxy.mode == "ipvs").then_some("kubeProxy: {mode: ipvs}"))
        .or_else(|| has_policies.then_some("NetworkPolicy"))
}
