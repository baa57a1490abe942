//! Random clusters with every feature at random: whatever happens, every request of every flow is accounted for, as
//! integers, in every window, in both engines.
//!
//! The law is checked on the records, not on what the engine thinks of itself: open before + arrived = over + open now.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{NetworkPolicy, ObjectKey, ObjectMeta, SimDuration, SimTime, Str, Uid};
use proptest::prelude::*;
use trace::Record;

use super::{EndpointTarget, NodePlace, Player, PodEnd, ProcessStarted, ServiceRules, TrafficProcess};
use crate::random::{Distribution, Draw, Purpose, Stream, Streams};
use crate::spec::{
    Arrivals, Balancing, Cache, Call, CancelOnTimeout, CircuitBreaker, Client, ClientThrottle, Connections, ControlPlane, Dns, KubeProxy,
    RatePoint, ServiceBehavior, ServiceMemory, Source, TokenBucket, TrafficEngine, TrafficSpec, Users, Via, WorkerQueue, WorldSpec,
};

const SERVICES: u64 = 5;
const NODES: u64 = 4;

/// Everything about one cluster comes from here.
struct Dice {
    stream: Stream,
}

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        Draw::below(&mut self.stream, n)
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn millis(&mut self, most: u64) -> SimDuration {
        SimDuration::from_millis(1 + self.below(most))
    }

    fn client(&mut self) -> Client {
        let balancing = match self.below(5) {
            0 => Balancing::LeastRequest,
            1 => Balancing::RoundRobin,
            2 => Balancing::Random,
            _ => Balancing::KubeProxy,
        };
        let connections = Connections {
            multiplexed: self.one_in(2),
            most_requests: self.one_in(2).then(|| 1 + self.below(50) as u32),
            lifetime: self.one_in(2).then(|| self.millis(3000)),
            gives_up_after: self.millis(4000),
            ..Connections::default()
        };
        Client {
            timeout: if self.one_in(8) { SimDuration::MAX } else { self.millis(800) },
            connect_timeout: self.millis(300),
            max_attempts: 1 + self.below(4) as u32,
            full_jitter: self.one_in(2),
            retry_budget: self.one_in(3).then_some((0.3, 1.0)),
            token_bucket: self.one_in(3).then(TokenBucket::default),
            circuit_breaker: self.one_in(3).then(|| CircuitBreaker { max_requests: 20, ..CircuitBreaker::default() }),
            throttle: self.one_in(3).then(ClientThrottle::default),
            connection_pool: self.one_in(3).then(|| 1 + self.below(10) as u32),
            connections: (self.one_in(2) && balancing != Balancing::LeastRequest).then_some(connections),
            dns: Dns { ttl: self.millis(5000), pinned: self.one_in(3) },
            balancing,
            ..Client::default()
        }
    }

    /// Service `number` calls those after it.
    fn behavior(&mut self, number: u64) -> ServiceBehavior {
        let cancel = [CancelOnTimeout::None, CancelOnTimeout::Queued, CancelOnTimeout::InFlight];
        let mut calls = Vec::new();
        while number + 1 < SERVICES && self.one_in(2) && calls.len() < 3 {
            let group = (0..=self.below(2)).map(|_| {
                let to = number + 1 + self.below(SERVICES - number - 1);
                let cache = self.one_in(4).then(|| Cache {
                    hit_ratio: 0.7,
                    warmup_requests: 50.0,
                    miss_to: (to + 1 < SERVICES).then(|| (key(to + 1), self.client())),
                });
                Call { to: key(to), probability: if self.one_in(2) { 1.0 } else { 0.4 }, client: self.client(), cache }
            });
            calls.push(group.collect());
        }
        let worker = (number > 0 && self.one_in(6)).then(|| WorkerQueue {
            consumers_per_pod: 1 + self.below(3) as u32,
            visibility_timeout: self.millis(2000),
            max_deliveries: 1 + self.below(3) as u32,
        });
        ServiceBehavior {
            cpu_per_request: Distribution::Exponential { mean: self.millis(8) },
            latency_per_request: if self.one_in(2) {
                Distribution::Constant(self.millis(20))
            } else {
                Distribution::Constant(SimDuration::ZERO)
            },
            concurrency: self.one_in(2).then(|| 1 + self.below(8) as u32),
            queue_limit: if self.one_in(3) { u32::MAX } else { self.below(20) as u32 },
            error_ratio: if self.one_in(3) { 0.1 } else { 0.0 },
            cancel_on_timeout: cancel[self.below(3) as usize],
            memory: self.one_in(4).then_some(ServiceMemory {
                base_bytes: 1000,
                per_in_flight_bytes: 10,
                leak_per_second_bytes: 100,
                leak_per_request_bytes: 1,
            }),
            overload_penalty: if self.one_in(4) { (0.05, 0.001) } else { (0.0, 0.0) },
            calls,
            worker,
            ..ServiceBehavior::default()
        }
    }

    fn source(&mut self, number: u64) -> Source {
        let at = |second, per_second, linear| RatePoint { at: SimTime::from_secs(second), per_second, linear };
        let peak = 20.0 + self.below(400) as f64;
        let rate = vec![at(0, peak / 4.0, true), at(4, peak, false), at(9, 0.0, false)];
        let bursts = Arrivals::Bursts { factor: 2.0, burst: self.millis(2000), calm: SimDuration::from_secs(4) };
        let think = Distribution::Exponential { mean: self.millis(300) };
        let users = self.one_in(4).then(|| Users { count: 1 + self.below(30) as u32, think, from: SimTime::ZERO });
        Source {
            name: format!("source-{number}").into(),
            to: key(self.below(2)),
            arrivals: if self.one_in(3) { bursts } else { Arrivals::Poisson },
            client: self.client(),
            via: [Via::ClusterIp, Via::NodePort, Via::LoadBalancer, Via::Ingress][self.below(4) as usize],
            clients: (users.is_none() && self.one_in(2)).then(|| 1 + self.below(40) as u32),
            rate: if users.is_some() { Vec::new() } else { rate },
            users,
            address: None,
        }
    }

    fn rules(&mut self) -> ServiceRules {
        ServiceRules {
            headless: self.one_in(5),
            affinity_nanos: self.one_in(3).then(|| self.millis(3000).as_nanos()),
            internal_local: self.one_in(4),
            external_local: self.one_in(3),
            port: None,
        }
    }
}

fn key(number: u64) -> ObjectKey {
    ObjectKey::new("shop", &format!("s-{number}"))
}

/// The player of a cluster, its pods, and what may still happen to them.
struct Cluster {
    dice: Dice,
    player: Player,
    behaviors: Vec<Arc<ServiceBehavior>>,
    /// Service, and whether it is to be listed, by number.
    pods: BTreeMap<u64, (u64, bool)>,
    now: SimTime,
    open: BTreeMap<Str, u64>,
    arrived: u64,
}

impl Cluster {
    fn new(seed: u64, engine: TrafficEngine) -> Self {
        let mut dice = Dice { stream: Streams::new(seed).stream(Purpose::TieBreak, 7) };
        let behaviors = (0..SERVICES).map(|number| Arc::new(dice.behavior(number))).collect();
        let sources = (0..=dice.below(3)).map(|number| dice.source(number)).collect();
        let mode = if dice.one_in(3) { "ipvs" } else { "iptables" };
        let scheduler = ["rr", "lc", "sh"][dice.below(3) as usize];
        let kube_proxy = KubeProxy { mode: mode.into(), ipvs_scheduler: scheduler.into(), ..KubeProxy::default() };
        let control_plane = ControlPlane { kube_proxy, ..ControlPlane::default() };
        let traffic = TrafficSpec { sources, engine, ..TrafficSpec::default() };
        let spec = WorldSpec { traffic, control_plane, ..WorldSpec::default() };
        let player = Player::new(&spec, Streams::new(seed));
        let mut cluster = Self { dice, player, behaviors, pods: BTreeMap::new(), now: SimTime::ZERO, open: BTreeMap::new(), arrived: 0 };
        (0..NODES).for_each(|node| cluster.node(node, true));
        for service in 0..SERVICES {
            let rules = cluster.dice.rules();
            cluster.player.service_rules(&key(service), rules, SimTime::ZERO);
            for pod in 0..=cluster.dice.below(4) {
                cluster.start(service * 10 + pod + 1, service);
            }
            cluster.list(service);
        }
        cluster
    }

    fn node(&mut self, node: u64, up: bool) {
        let place = NodePlace { zone: format!("z-{}", node % 2).into(), exists: true, up, eligible: up };
        self.player.node_place(&format!("n-{node}").into(), &place, self.now);
    }

    fn start(&mut self, pod: u64, service: u64) {
        let node = self.dice.below(NODES);
        let labels = Arc::new([("app".into(), Str::from(format!("s-{service}")))].into());
        let started = ProcessStarted {
            pod: Uid(pod),
            node: format!("n-{node}").into(),
            services: vec![key(service)],
            caller: key(service).to_string().into(),
            behavior: self.behaviors[service as usize].clone(),
            cpu_limit_millis: self.dice.one_in(3).then_some(500),
            cpu_request_millis: 100,
            node_cpu_millis: 4000,
            memory_limit_bytes: self.dice.one_in(3).then_some(3000),
            probe_timeout: self.dice.one_in(2).then(|| SimDuration::from_secs(1)),
            end: PodEnd { namespace: "shop".into(), labels, ports: Vec::new() },
        };
        self.player.process(&TrafficProcess::Started(Box::new(started)), self.now);
        self.pods.insert(pod, (service, true));
    }

    fn list(&mut self, service: u64) {
        let hints = self.dice.one_in(3);
        let zone = |pod: u64| hints.then(|| Str::from(format!("z-{}", pod % 2)));
        let listed = self.pods.iter().filter(|(_, (of, listed))| *of == service && *listed);
        let targets: Vec<_> = listed.map(|(pod, _)| EndpointTarget { zone_hint: zone(*pod), ..EndpointTarget::ready(Uid(*pod)) }).collect();
        self.player.endpoints(&key(service), 0, &targets, self.now);
    }

    /// Something happens to somebody.
    fn disturb(&mut self) {
        let names: Vec<u64> = self.pods.keys().copied().collect();
        let pod = names[self.dice.below(names.len() as u64) as usize];
        let (service, _) = self.pods[&pod];
        let uid = Uid(pod);
        match self.dice.below(8) {
            0 => self.player.process(&TrafficProcess::Stopped { pod: uid }, self.now),
            1 => self.player.process(&TrafficProcess::Silent { pod: uid }, self.now),
            2 => self.player.process(&TrafficProcess::Terminating { pod: uid }, self.now),
            3 => {
                self.player.process(&TrafficProcess::Removed { pod: uid }, self.now);
                self.pods.insert(pod, (service, false));
                self.list(service);
            }
            4 | 5 => {
                self.start(pod, service);
                self.list(service);
            }
            6 => {
                let (node, up) = (self.dice.below(NODES), self.dice.one_in(2));
                self.node(node, up);
            }
            _ => {
                let meta = ObjectMeta { name: "deny".into(), namespace: "shop".into(), ..ObjectMeta::default() };
                let pod_selector = api::LabelSelector {
                    match_labels: [("app".into(), format!("s-{service}").as_str().into())].into(),
                    match_expressions: Vec::new(),
                };
                let policy = NetworkPolicy { meta, pod_selector, ingress: Some(Vec::new()), egress: None };
                let policies = if self.dice.one_in(2) { vec![policy] } else { Vec::new() };
                self.player.network_policies(policies, BTreeMap::new(), self.now);
            }
        }
    }

    fn run(&mut self, until: SimTime) {
        let mut signals = Vec::new();
        while self.now < until {
            self.now = self.player.advance_to(until, &mut signals);
        }
    }

    /// Closes a window; what does not add up in it.
    fn unaccounted(&mut self) -> Vec<String> {
        let mut records = Vec::new();
        self.player.close_window(self.now, &mut records);
        let mut wrong = Vec::new();
        for record in records {
            let Record::Traffic { flow, counts, .. } = record else { continue };
            let over = counts.succeeded + counts.shed + counts.refused + counts.timed_out + counts.failed;
            let open = counts.in_flight + counts.in_backoff;
            let before = self.open.insert(flow.clone(), open).unwrap_or(0);
            self.arrived += counts.arrived;
            if before + counts.arrived != over + open || counts.retries > counts.attempts {
                wrong.push(format!("{flow} at {}: {before} open before, {counts:?}", self.now));
            }
        }
        wrong
    }
}

fn plays(seed: u64, engine: TrafficEngine) -> Result<(), TestCaseError> {
    let mut cluster = Cluster::new(seed, engine);
    for half_second in 1..=24 {
        let until = SimTime::from_millis(half_second * 500);
        if half_second % 2 == 1 {
            let within = SimTime::from_millis(half_second * 500 - 1 - cluster.dice.below(400));
            cluster.run(within);
            cluster.disturb();
        }
        cluster.run(until);
        prop_assert_eq!(cluster.unaccounted(), Vec::<String>::new());
    }
    prop_assert!(cluster.arrived > 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_request_of_a_random_cluster_is_accounted_for_one_by_one(seed: u64) {
        plays(seed, TrafficEngine::Exact)?;
    }

    #[test]
    fn every_request_of_a_random_cluster_is_accounted_for_counted_together(seed: u64) {
        plays(seed, TrafficEngine::Cohort)?;
    }
}
