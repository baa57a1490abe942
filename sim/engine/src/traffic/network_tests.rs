//! Where connections go: kube-proxy's choices, Services of every kind, ways in, policies. Each test a small cluster of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{NetworkPolicy, ObjectKey, ObjectMeta, SimDuration, SimTime, Str, Uid};
use trace::{Record, TrafficCounts};

use super::{EndpointTarget, NodePlace, PodEnd, ProcessStarted, ServiceRules, Traffic, TrafficProcess};
use crate::random::{Distribution, Streams};
use crate::spec::{
    Balancing, Call, Client, Connections, ControlPlane, Dns, KubeProxy, LoadBalancer, NetworkPolicySettings, RatePoint, ServiceBehavior,
    Source, TrafficSpec, Users, Via, WorldSpec,
};

const fn ms(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}
const fn s(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}
fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

/// A thousand requests per second to `web`.
fn source(client: Client) -> Source {
    let rate = vec![RatePoint { at: SimTime::ZERO, per_second: 1000.0, linear: false }];
    Source { name: "users".into(), to: key("web"), rate, client, ..Source::default() }
}

/// A cluster of nodes a and b in zone one, c in zone two, whose proxies know everything at once.
struct Net {
    traffic: Traffic,
    now: SimTime,
    counts: BTreeMap<String, TrafficCounts>,
    denied: BTreeMap<String, u64>,
}

fn at_once() -> ControlPlane {
    let none = SimDuration::ZERO;
    let kube_proxy = KubeProxy { min_sync_period: none, propagation_base: none, propagation_jitter: none, ..KubeProxy::default() };
    ControlPlane { kube_proxy, ..ControlPlane::default() }
}

impl Net {
    fn with(source: Source, control_plane: ControlPlane) -> Self {
        let traffic = TrafficSpec { sources: vec![source], ..TrafficSpec::default() };
        let spec = WorldSpec { traffic, control_plane, ..WorldSpec::default() };
        let mut net =
            Self { traffic: Traffic::new(&spec, Streams::new(1)), now: SimTime::ZERO, counts: BTreeMap::new(), denied: BTreeMap::new() };
        for (name, zone) in [("a", "one"), ("b", "one"), ("c", "two")] {
            net.node(name, zone, true);
        }
        net
    }
    fn of(source: Source) -> Self {
        Self::with(source, at_once())
    }
    fn node(&mut self, name: &str, zone: &str, up: bool) {
        let place = NodePlace { zone: zone.into(), exists: true, up, eligible: true };
        self.traffic.node_place(&name.into(), &place, self.now);
    }
    fn rules(mut self, service: &str, rules: ServiceRules) -> Self {
        self.traffic.service_rules(&key(service), rules, self.now);
        self
    }
    /// A pod by number, on a node, of a Service, that makes these calls.
    fn pod(mut self, number: u64, node: &str, service: &str, calls: Vec<Vec<Call>>) -> Self {
        let behavior = ServiceBehavior { latency_per_request: Distribution::Constant(ms(5)), calls, ..ServiceBehavior::default() };
        let labels = Arc::new([("app".into(), Str::from(service))].into());
        self.traffic.process(
            &TrafficProcess::Started(Box::new(ProcessStarted {
                pod: Uid(number),
                node: node.into(),
                services: vec![key(service)],
                caller: service.into(),
                behavior: Arc::new(behavior),
                cpu_limit_millis: None,
                cpu_request_millis: 100,
                node_cpu_millis: 4000,
                memory_limit_bytes: None,
                probe_timeout: None,
                end: PodEnd { namespace: "shop".into(), labels, ports: Vec::new() },
            })),
            self.now,
        );
        self
    }
    fn list(&mut self, service: &str, pods: &[u64]) {
        let targets: Vec<_> = pods.iter().map(|pod| EndpointTarget::ready(Uid(*pod))).collect();
        self.traffic.endpoints(&key(service), 0, &targets, self.now);
    }
    fn listed(mut self, service: &str, pods: &[u64]) -> Self {
        self.list(service, pods);
        self
    }
    /// Endpoints with hints: (pod, node, zone).
    fn hinted(mut self, service: &str, pods: &[(u64, Option<&str>, &str)]) -> Self {
        let hint = |(pod, node, zone): &(u64, Option<&str>, &str)| EndpointTarget {
            zone_hint: Some((*zone).into()),
            node_hint: node.map(Into::into),
            ..EndpointTarget::ready(Uid(*pod))
        };
        self.traffic.endpoints(&key(service), 0, &pods.iter().map(hint).collect::<Vec<_>>(), self.now);
        self
    }
    fn run(&mut self, until: SimTime) {
        let mut signals = Vec::new();
        while self.now < until {
            self.now = self.traffic.advance_to(until, &mut signals);
        }
        let mut records = Vec::new();
        self.counts.clear();
        self.traffic.close_window(self.now, &mut records);
        for record in records {
            match record {
                Record::Traffic { flow, counts, .. } => drop(self.counts.insert(flow.to_string(), counts)),
                Record::Denied { flow, policy, attempts, .. } => *self.denied.entry(format!("{policy}: {flow}")).or_default() += attempts,
                _ => {}
            }
        }
    }
    /// Counts of the last window.
    fn users(&self) -> TrafficCounts {
        self.counts.get("users").copied().unwrap_or_default()
    }
    /// Requests that each of these pods has served so far.
    fn served<const N: usize>(&self, pods: [u64; N]) -> [u64; N] {
        pods.map(|pod| self.traffic.station_by_pod.get(&Uid(pod)).map_or(0, |station| self.traffic.stations[*station].served))
    }
}

/// Three pods of `web`, one on each node.
fn web(net: Net) -> Net {
    net.pod(1, "a", "web", Vec::new()).pod(2, "b", "web", Vec::new()).pod(3, "c", "web", Vec::new()).listed("web", &[1, 2, 3])
}
fn is_third(share: u64, of: u64) -> bool {
    (share * 3).abs_diff(of) < of / 8
}

#[test]
fn nodes_learn_of_an_endpoint_one_after_the_other() {
    let plane = ControlPlane {
        kube_proxy: KubeProxy { propagation_base: ms(1000), propagation_jitter: ms(4000), ..KubeProxy::default() },
        ..at_once()
    };
    let mut net = Net::with(source(Client::default()), plane);
    for number in 0..200 {
        net.node(&format!("n-{number}"), "one", true);
    }
    let mut net = net.pod(1, "a", "web", Vec::new()).listed("web", &[1]);
    let mut answered = Vec::new();
    for second in 1..=7 {
        net.run(s(second));
        answered.push(net.users().succeeded);
    }
    // Nobody in the first second, then ever more, in a straight line, everybody after the fifth.
    assert_eq!(answered[0], 0);
    for (second, expected) in [(1, 125), (2, 375), (3, 625), (4, 875), (6, 1000)] {
        assert!(answered[second].abs_diff(expected) < 110, "{answered:?}");
    }
    assert_eq!(net.users().refused, 0, "{answered:?}");
}

#[test]
fn many_requests_on_one_connection_all_go_to_one_endpoint() {
    let with = |connections| {
        let client = Client { connections, ..Client::default() };
        let mut net = web(Net::of(Source { clients: Some(4), ..source(client) }));
        net.run(s(10));
        (net.served([1, 2, 3]), net.users())
    };
    let (each, _) = with(None);
    assert!(each.iter().all(|served| is_third(*served, each.iter().sum())), "{each:?}");
    // Four clients, one connection each: shares are quarters.
    let (http2, users) = with(Some(Connections { multiplexed: true, ..Connections::default() }));
    let all: u64 = http2.iter().sum();
    assert!(http2.iter().all(|served| (served * 4 + all / 8) % all <= all / 4), "{http2:?} are quarters");
    assert!(http2.iter().any(|served| !is_third(*served, all)), "{http2:?}");
    assert_eq!(users.failed + users.refused + users.timed_out, 0);
}

#[test]
fn a_new_pod_gets_nothing_while_old_connections_last_and_its_share_once_they_end() {
    let grown = |lifetime| {
        let connections = Some(Connections { multiplexed: true, lifetime, ..Connections::default() });
        let mut net = web(Net::of(Source { clients: Some(200), ..source(Client { connections, ..Client::default() }) }));
        net.run(s(5));
        net = net.pod(4, "a", "web", Vec::new()).listed("web", &[1, 2, 3, 4]);
        net.run(s(25));
        net.served([4])[0]
    };
    assert_eq!(grown(None), 0);
    let some = grown(Some(SimDuration::from_secs(5)));
    assert!((3000..5500).contains(&some), "a quarter of 20 s, less what old connections keep for 5 s: {some}");
}

#[test]
fn connections_end_with_their_server_and_hang_when_it_falls_silent() {
    let connections = |multiplexed, gives_up_after| Some(Connections { multiplexed, gives_up_after, ..Connections::default() });
    let lost = |clients, connections, change: TrafficProcess| {
        let client = Client { timeout: ms(500), connect_timeout: ms(200), connections, ..Client::default() };
        let mut net = web(Net::of(Source { clients: Some(clients), ..source(client) }));
        net.run(s(5));
        net.traffic.process(&change, net.now);
        net.list("web", &[1, 2]);
        net.run(s(10));
        let first = net.users();
        net.run(s(60));
        (first.timed_out, net.users().timed_out)
    };
    let stopped = || TrafficProcess::Stopped { pod: Uid(3) };
    assert_eq!(lost(30, connections(true, SimDuration::from_secs(924)), stopped()), (0, 0));
    assert_eq!(lost(30, connections(true, SimDuration::from_secs(924)), TrafficProcess::Terminating { pod: Uid(3) }), (0, 0));
    let silent = || TrafficProcess::Silent { pod: Uid(3) };
    let (first, later) = lost(30, connections(false, SimDuration::from_secs(924)), silent());
    // One that lay idle is found dead when it is wanted, which may be much later.
    assert!(first > 5 && first + later < 300 && later <= first / 10, "HTTP/1.1: each connection costs a request: {first} {later}");
    let (first, later) = lost(300, connections(true, SimDuration::from_secs(924)), silent());
    // A third of 300 connections lead there, and a third of 1,000 requests a second use them.
    assert!(
        (1_200..1_800).contains(&first) && (13_500..20_000).contains(&later),
        "HTTP/2 without pings goes on for minutes: {first} {later}"
    );
    let (first, later) = lost(300, connections(true, SimDuration::from_secs(2)), silent());
    assert!((400..900).contains(&first) && later == 0, "pings notice: {first} {later}");
}

#[test]
fn session_affinity_keeps_a_client_with_its_endpoint() {
    let rules = |seconds: u64| ServiceRules { affinity_nanos: Some(seconds * 1_000_000_000), ..ServiceRules::default() };
    let one = |seconds, think: u64| {
        let users = Users { count: 1, think: Distribution::Constant(ms(think)), from: SimTime::ZERO };
        let mut net = web(Net::of(Source { users: Some(users), ..source(Client::default()) }).rules("web", rules(seconds)));
        net.run(s(300));
        let mut served = net.served([1, 2, 3]);
        served.sort_unstable();
        served
    };
    let [none, nobody, all] = one(10, 1000);
    assert!(none + nobody == 0 && all > 250, "{none} {nobody} {all}");
    let [least, ..] = one(10, 11_000);
    assert!(least > 0, "longer than its timeout away, it may go elsewhere");
}

#[test]
fn near_endpoints_are_preferred_while_the_node_has_any() {
    let asks =
        |balancing| vec![vec![Call { to: key("db"), probability: 1.0, client: Client { balancing, ..Client::default() }, cache: None }]];
    let served = |balancing, hints: &[(u64, Option<&str>, &str)]| {
        // The caller is on a, in zone one.
        let mut net = Net::of(source(Client::default())).pod(9, "a", "web", asks(balancing)).listed("web", &[9]);
        for (pod, node) in [(1, "a"), (2, "b"), (3, "c")] {
            net = net.pod(pod, node, "db", Vec::new());
        }
        net = net.hinted("db", hints);
        net.run(s(3));
        net.served([1, 2, 3]).map(|served| served > 0)
    };
    let proxy = Balancing::KubeProxy;
    assert_eq!(served(proxy, &[(1, None, "one"), (2, None, "one"), (3, None, "two")]), [true, true, false]);
    assert_eq!(served(proxy, &[(3, None, "two")]), [false, false, true], "nobody in the zone: everybody");
    assert_eq!(served(proxy, &[(1, Some("a"), "one"), (2, Some("b"), "one"), (3, Some("c"), "two")]), [true, false, false]);
    assert_eq!(served(proxy, &[(2, Some("b"), "one"), (3, Some("c"), "two")]), [false, true, false], "no endpoint here: the zone");
    assert_eq!(served(Balancing::LeastRequest, &[(1, None, "one"), (3, None, "two")]), [true, false, true], "a mesh goes everywhere");
}

#[test]
fn local_policies_use_the_nodes_own_endpoints_or_nobody() {
    let asks = || {
        vec![vec![Call { to: key("db"), probability: 1.0, client: Client { connect_timeout: ms(100), ..Client::default() }, cache: None }]]
    };
    let rules = ServiceRules { internal_local: true, ..ServiceRules::default() };
    let mut net = Net::of(source(Client::default())).rules("db", rules).pod(9, "a", "web", asks()).listed("web", &[9]);
    net = net.pod(1, "a", "db", Vec::new()).pod(2, "b", "db", Vec::new()).listed("db", &[1, 2]);
    net.run(s(2));
    assert!(net.served([1])[0] > 1000 && net.served([2])[0] == 0);
    net.list("db", &[2]);
    net.run(s(4));
    let of_db = net.counts["web→shop/db"];
    assert!(of_db.succeeded < 20 && of_db.refused > 1700 && of_db.in_flight > 50, "dropped until the connect timeout: {of_db:?}");
    net.list("db", &[]);
    net.run(s(6));
    assert!(net.counts["web→shop/db"].in_flight == 0, "nobody anywhere: refused at once");
}

#[test]
fn load_balancers_send_only_to_nodes_that_are_healthy_after_a_while() {
    let plane = ControlPlane {
        load_balancer: LoadBalancer { target_registration: SimDuration::from_secs(5), target_deregistration: SimDuration::from_secs(10) },
        ..at_once()
    };
    let client = Client { connect_timeout: ms(100), ..Client::default() };
    let rules = ServiceRules { external_local: true, ..ServiceRules::default() };
    let by_balancer = Source { via: Via::LoadBalancer, ..source(client.clone()) };
    let mut net = web(Net::with(by_balancer, plane).rules("web", rules.clone()));
    net.list("web", &[1, 2]);
    net.run(s(5));
    let (users, served) = (net.users(), net.served([1, 2, 3]));
    assert!(users.refused == 0 && served[2] == 0 && served[0] > 2000, "nodes without endpoints get nothing: {served:?}");
    // b loses its endpoint, c gets one: dropped at b until it is taken out, nothing to c until it is put in.
    net.list("web", &[1, 3]);
    net.run(s(9));
    assert!(net.users().refused.abs_diff(2000) < 200 && net.served([3])[0] == 0, "{:?}", net.users());
    net.run(s(20));
    net.run(s(30));
    assert!(net.users().refused == 0 && net.served([3])[0] > 5000, "{:?}", net.users());
    // Through any node, nobody looks whether it has endpoints: c has none.
    let by_port = Source { via: Via::NodePort, ..source(client.clone()) };
    let mut net = web(Net::of(by_port.clone()).rules("web", rules));
    net.list("web", &[1, 2]);
    net.run(s(6));
    assert!(is_third(net.users().refused, net.users().arrived), "{:?}", net.users());
    // Without the policy there is a second hop, and only a node without power loses anything.
    let mut net = web(Net::of(by_port));
    net.list("web", &[1, 2]);
    net.run(s(3));
    assert_eq!(net.users().refused, 0);
    net.node("c", "two", false);
    net.run(s(9));
    assert!(is_third(net.users().refused, net.users().arrived), "{:?}", net.users());
}

#[test]
fn behind_a_headless_service_callers_know_addresses_for_as_long_as_dns_says() {
    let rules = ServiceRules { headless: true, ..ServiceRules::default() };
    let run = |dns| {
        let client = Client { dns, ..Client::default() };
        let mut net = web(Net::of(Source { clients: Some(2), ..source(client) }).rules("web", rules.clone()));
        net.run(s(5));
        let before = net.served([1, 2, 3]);
        net = net.pod(4, "a", "web", Vec::new());
        net.list("web", &[4]);
        net.run(s(25));
        let during = net.served([4])[0];
        net.run(s(50));
        (before, during, net.served([4])[0])
    };
    let (before, during, after) = run(Dns { ttl: SimDuration::from_secs(30), pinned: false });
    assert!(before.iter().all(|served| is_third(*served, before.iter().sum())), "{before:?}");
    assert!(during == 0 && after > 15_000, "{during} {after}");
    let (before, during, after) = run(Dns { ttl: SimDuration::MAX, pinned: true });
    assert!(before.iter().filter(|served| **served > 0).count() <= 2, "each client stays with one: {before:?}");
    assert_eq!((during, after), (0, 0), "for ever");
}

#[test]
fn ipvs_goes_in_turn_by_fewest_connections_or_by_the_clients_address() {
    let served = |scheduler: &str, source: Source| {
        let kube_proxy = KubeProxy { mode: "ipvs".into(), ipvs_scheduler: scheduler.into(), ..at_once().kube_proxy };
        let mut net = web(Net::with(source, ControlPlane { kube_proxy, ..at_once() }));
        net.run(s(3));
        net.served([1, 2, 3])
    };
    let in_turn = served("rr", source(Client::default()));
    assert!(in_turn.iter().max().unwrap() - in_turn.iter().min().unwrap() < 30, "{in_turn:?}");
    let fewest = served("lc", source(Client::default()));
    assert!(fewest.iter().all(|served| *served > 500), "{fewest:?}");
    let one = Source { clients: Some(1), ..source(Client::default()) };
    assert_eq!(served("sh", one).iter().filter(|served| **served > 0).count(), 1);
}

#[test]
fn a_denied_connection_is_dropped_or_refused_and_named() {
    let asks = || {
        vec![vec![Call { to: key("db"), probability: 1.0, client: Client { connect_timeout: ms(300), ..Client::default() }, cache: None }]]
    };
    let run = |denied: &str| {
        let plane = ControlPlane { network_policy: NetworkPolicySettings { denied: denied.into() }, ..at_once() };
        let mut net = Net::with(source(Client::default()), plane).pod(9, "a", "web", asks()).listed("web", &[9]);
        net = net.pod(1, "b", "db", Vec::new()).listed("db", &[1]);
        net.run(s(1));
        assert!(net.denied.is_empty());
        let meta = ObjectMeta { name: "deny".into(), namespace: "shop".into(), ..ObjectMeta::default() };
        let pod_selector = api::LabelSelector { match_labels: [("app".into(), "db".into())].into(), match_expressions: Vec::new() };
        let policy = NetworkPolicy { meta, pod_selector, ingress: Some(Vec::new()), egress: None };
        net.traffic.network_policies(vec![policy], BTreeMap::new(), net.now);
        net.run(s(3));
        let of_db = net.counts["web→shop/db"];
        (net.denied.clone(), of_db)
    };
    let (denied, counts) = run("drop");
    assert_eq!(denied.keys().collect::<Vec<_>>(), ["shop/deny: web→shop/db"]);
    assert_eq!(denied.values().sum::<u64>(), counts.attempts);
    assert!(counts.in_flight > 200 && counts.refused > 1000, "{counts:?}");
    let (denied, counts) = run("reject");
    assert_eq!((denied.values().sum::<u64>(), counts.in_flight), (counts.attempts, 0));
}
