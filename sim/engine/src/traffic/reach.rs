//! Where a new connection goes: the way in, what the kube-proxy there knows, which endpoints it may choose, and the choice.
//!
//! Upstream: pkg/proxy/topology.go (`CategorizeEndpoints`): ready endpoints near the node where hints say so,
//! terminating ones that still serve when nobody is ready, only the node's own under a `Local` policy (and then
//! nobody answers when it has none); pkg/proxy/iptables/proxier.go for session affinity, pkg/proxy/healthcheck for
//! the nodes that load balancers find healthy; pkg/proxy/ipvs for its schedulers.
//!
//! Headless Services have no proxy: callers know addresses for as long as DNS lets them. A mesh and an ingress
//! controller choose among all endpoints for each request.
//!
//! Simplified: a second hop between nodes takes no time; load balancers look at a changing cluster every 100 ms,
//! and their health checks are two delays.

use api::{ServicePort, SimTime, Str, Uid};
use rustc_hash::FxHashMap;

use super::link::Link;
use super::policy::Caller;
use super::proxy::Known;
use super::slab::NONE;
use super::versions::{Listed, Slice, Version, near_by};
use super::{EndpointTarget, NodeState, Traffic};
use crate::random::{Draw, Purpose, Split, entity, mix};
use crate::spec::{Balancing, LoadBalancer, Via};

/// How often a load balancer looks at nodes while something changes.
const LOOK: u64 = 100_000_000;
/// Entries beyond which affinities that are over are forgotten.
const AFFINITIES: usize = 1 << 16;

/// What is known of a Service beside its endpoints.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct ServiceRules {
    /// It has no address of its own.
    pub(crate) headless: bool,
    /// `sessionAffinity: ClientIP`, for how long.
    pub(crate) affinity_nanos: Option<u64>,
    /// `internalTrafficPolicy: Local`.
    pub(crate) internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub(crate) external_local: bool,
    /// The port that is asked.
    pub(crate) port: Option<ServicePort>,
}

impl From<&api::Service> for ServiceRules {
    fn from(service: &api::Service) -> Self {
        Self {
            headless: service.headless,
            affinity_nanos: service.client_ip_affinity.map(api::SimDuration::as_nanos),
            internal_local: service.internal_local,
            external_local: service.external_local,
            port: service.ports.first().cloned(),
        }
    }
}

/// A node, as far as connections are concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NodePlace {
    /// Its zone, or empty.
    pub(crate) zone: Str,
    /// It is there.
    pub(crate) exists: bool,
    /// It has power.
    pub(crate) up: bool,
    /// It is Ready, and a load balancer may use it.
    pub(crate) eligible: bool,
}

/// The nodes behind a load balancer.
#[derive(Default)]
pub(super) struct Targets {
    nodes: Vec<Target>,
    registered: Vec<u32>,
    next_look: u64,
}

#[derive(Clone, Copy)]
struct Target {
    registered: bool,
    healthy: bool,
    since: u64,
}

/// Where a connection ends up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reached {
    /// An endpoint, and the node by which it was reached from outside.
    Station(u32, u32),
    /// Nobody is there: refused at once.
    Refused,
    /// Nothing comes back.
    Unanswered,
}

/// Whom a connection chooses among.
#[derive(Clone, Copy)]
enum Among {
    Nobody,
    /// Everybody of a version.
    All(usize),
    /// Those of a version near a node, under a `Local` policy or not.
    Near(usize, u32, bool),
    /// Whom DNS named.
    Named,
}

/// Settings and memories of all connections.
pub(super) struct Network {
    pub(super) mode: Balancing,
    /// ipvs with `lc`, or with `sh`.
    pub(super) least_connections: bool,
    pub(super) by_source: bool,
    pub(super) load_balancer: LoadBalancer,
    pub(super) refuse_denied: bool,
    /// Nodes that are there; those that also have power.
    nodes: Vec<u32>,
    pub(super) clients: Vec<u32>,
    /// By Service, node and client: whom, and when last. Looked up only.
    affinities: FxHashMap<(u32, u32, u64), (Uid, u64)>,
    /// As many of them as there may be before those that are over are looked for.
    affinities_most: usize,
    /// Connections of a node to an endpoint, for `lc`. Looked up only.
    connections: FxHashMap<(u32, u32), u32>,
    /// The knowledge of whoever is on no node.
    pub(super) elsewhere: Known,
    scratch: Vec<u32>,
}

impl Network {
    pub(super) fn new(control_plane: &crate::spec::ControlPlane, elsewhere: Known) -> Self {
        let proxy = &control_plane.kube_proxy;
        let ipvs = &*proxy.mode == "ipvs";
        Self {
            mode: if ipvs { Balancing::RoundRobin } else { Balancing::Random },
            least_connections: ipvs && &*proxy.ipvs_scheduler == "lc",
            by_source: ipvs && &*proxy.ipvs_scheduler == "sh",
            load_balancer: control_plane.load_balancer.clone(),
            refuse_denied: &*control_plane.network_policy.denied == "reject",
            nodes: Vec::new(),
            clients: Vec::new(),
            affinities: FxHashMap::default(),
            affinities_most: AFFINITIES,
            connections: FxHashMap::default(),
            elsewhere,
            scratch: Vec::new(),
        }
    }
}

impl Traffic {
    /// What a slice of a Service's endpoints is from now on; every node hears of it in its own time.
    pub(crate) fn endpoints(&mut self, service: &api::ObjectKey, slice: u32, targets: &[EndpointTarget], now: SimTime) {
        self.enter(now);
        let mut luck = self.streams.stream(Purpose::EndpointPropagation, entity(&service.to_string()));
        let number = self.service(service);
        let luck = mix(luck.bits() ^ mix(self.now));
        let mut listed = Vec::with_capacity(targets.len());
        for target in targets {
            let station = self.station(target.pod);
            self.stations[station].listed += 1;
            let EndpointTarget { ready, draining, ref zone_hint, ref node_hint, .. } = *target;
            listed.push(Listed { station, ready, draining, zone: zone_hint.clone(), node: node_hint.clone() });
        }
        let (part, chosen) = self.services[number as usize].endpoints.slices.replace(slice, targets);
        let chosen = chosen.into_iter().map(|pod| self.station(pod)).collect();
        let change = self.proxies.change(self.now, luck);
        let span = self.proxies.span();
        let endpoints = &mut self.services[number as usize].endpoints;
        let before_any = Version::default();
        let next = endpoints.versions.back().unwrap_or(&before_any).next(slice, Slice::new(listed), part, chosen);
        if endpoints.versions.is_empty() && span > 0 {
            // Before anybody knows of the first endpoints there are none.
            endpoints.versions.push_back(before_any);
        }
        endpoints.versions.push_back(Version { number: change, made_at: self.now, ..next });
        self.forget_versions(number);
        let endpoints = &mut self.services[number as usize].endpoints;
        endpoints.settled_at = self.now.saturating_add(span);
        if let Some(targets) = &mut endpoints.targets {
            targets.next_look = 0;
        }
        endpoints.look();
    }

    /// Lets go of what nobody can know any more.
    pub(super) fn forget_versions(&mut self, service: u32) {
        let Self { services, proxies, now, stations, .. } = self;
        let endpoints = &mut services[service as usize].endpoints;
        while endpoints.versions.get(1).is_some_and(|next| next.made_at.saturating_add(proxies.span()) <= *now) {
            endpoints.versions.pop_front();
            let replaced = endpoints.versions.front_mut().and_then(|first| first.replaced.take());
            replaced.iter().flat_map(|slice| &slice.listed).for_each(|listed| stations[listed.station].listed -= 1);
        }
    }

    /// What a Service asks of proxies from now on.
    pub(crate) fn service_rules(&mut self, service: &api::ObjectKey, rules: ServiceRules, now: SimTime) {
        self.enter(now);
        let number = self.service(service);
        let endpoints = &mut self.services[number as usize].endpoints;
        if endpoints.rules != rules {
            endpoints.rules = rules;
            endpoints.versions.iter_mut().for_each(|version| version.near.clear());
            endpoints.look();
        }
    }

    /// A node is there, or has changed, or is gone.
    pub(crate) fn node_place(&mut self, name: &Str, place: &NodePlace, now: SimTime) {
        self.enter(now);
        let number = self.node(name, None);
        let node = &mut self.nodes[number as usize];
        if !node.place.up && place.up {
            // Its kube-proxy begins with a list of everything.
            node.known = self.proxies.up_to_date(entity(name));
        }
        if node.place == *place {
            return;
        }
        node.place = place.clone();
        let numbers = |holds: fn(&NodePlace) -> bool, nodes: &[NodeState]| {
            (0..nodes.len() as u32).filter(|number| holds(&nodes[*number as usize].place)).collect::<Vec<u32>>()
        };
        self.network.nodes = numbers(|place| place.exists, &self.nodes);
        self.network.clients = numbers(|place| place.exists && place.up, &self.nodes);
        for service in &mut self.services {
            service.endpoints.versions.iter_mut().for_each(|version| version.near.clear());
            if let Some(targets) = &mut service.endpoints.targets {
                targets.next_look = 0;
            }
        }
    }

    /// The node that a source's request comes in by, if anything answers there.
    fn way_in(&mut self, call: u32, service: u32, via: Via) -> Result<u32, Reached> {
        let state = &self.calls[call];
        let mut draw = Split::new(mix(state.luck), Purpose::EntryNode, u64::from(state.attempt));
        // A client stays on its node.
        if via == Via::ClusterIp && state.client != NONE {
            draw = Split::new(mix(u64::from(state.client)), Purpose::EntryNode, 0);
        }
        let mut pick = |nodes: &[u32]| nodes.get(draw.below(nodes.len() as u64) as usize).copied();
        let node = match via {
            Via::ClusterIp | Via::Ingress => return Ok(pick(&self.network.clients).unwrap_or(NONE)),
            Via::NodePort => pick(&self.network.nodes),
            Via::LoadBalancer => {
                self.look_at_targets(service);
                let targets = &self.services[service as usize].endpoints.targets;
                targets.as_ref().and_then(|targets| pick(&targets.registered))
            }
        };
        match node {
            Some(node) if self.nodes[node as usize].place.up => Ok(node),
            Some(_) => Err(Reached::Unanswered),
            None => Err(Reached::Refused),
        }
    }

    /// Which nodes a load balancer sends to.
    fn look_at_targets(&mut self, service: u32) {
        let now = self.now;
        let mut targets = self.services[service as usize].endpoints.targets.take().unwrap_or_default();
        if now >= targets.next_look {
            let first = targets.nodes.is_empty();
            let (register, deregister) =
                (self.network.load_balancer.target_registration.as_nanos(), self.network.load_balancer.target_deregistration.as_nanos());
            targets.nodes.resize(self.nodes.len(), Target { registered: false, healthy: false, since: 0 });
            targets.registered.clear();
            let endpoints = &self.services[service as usize].endpoints;
            let mut next = if now < endpoints.settled_at { now + LOOK } else { u64::MAX };
            for number in 0..self.nodes.len() as u32 {
                let healthy = self.is_healthy_target(service, number);
                let target = &mut targets.nodes[number as usize];
                if target.healthy != healthy {
                    (target.healthy, target.since) = (healthy, now);
                }
                let after = if healthy { register } else { deregister };
                // What is there when it is first asked was there before.
                if target.registered != healthy && (first || now - target.since >= after) {
                    target.registered = healthy;
                } else if target.registered != healthy {
                    next = next.min(target.since + after);
                }
                if target.registered && self.nodes[number as usize].place.exists {
                    targets.registered.push(number);
                }
            }
            targets.next_look = next;
        }
        self.services[service as usize].endpoints.targets = Some(targets);
    }

    /// Upstream: pkg/proxy/healthcheck: under `Local` a node is healthy with a ready endpoint of its own, else as long as its proxy lives.
    fn is_healthy_target(&mut self, service: u32, node: u32) -> bool {
        let Self { services, nodes, proxies, stations, now, .. } = self;
        let state = &mut nodes[node as usize];
        let endpoints = &services[service as usize].endpoints;
        if !state.place.exists || !state.place.up || !state.place.eligible {
            return false;
        }
        if !endpoints.rules.external_local {
            return true;
        }
        let written = proxies.written(&mut state.known, *now);
        let Some(version) = endpoints.version(written, *now).map(|place| &endpoints.versions[place]) else { return false };
        version.listed().any(|listed| listed.ready && stations[listed.station].node == node)
    }

    /// Finds an endpoint for a new connection.
    pub(super) fn connect(&mut self, call: u32) -> Reached {
        let super::flow::Call { route, parent, link, .. } = self.calls[call];
        let ways = &self.routes[route as usize];
        let service = self.flows[ways.flow as usize].service;
        let (via, balancing) = (ways.via, ways.client.balancing);
        // In turn is in turn on each node.
        let in_turn = balancing == Balancing::KubeProxy && self.network.mode == Balancing::RoundRobin;
        let plain_way = parent != NONE || (via == Via::ClusterIp && !in_turn) || via == Via::Ingress;
        if let (true, Some(_)) = (plain_way, self.services[service as usize].endpoints.common(self.now)) {
            let reached = self.choose(call, service, NONE);
            return self.unless_denied(call, service, reached);
        }
        let (node, outside) = if parent != NONE {
            (self.stations[self.jobs[parent].station].node, false)
        } else {
            match self.way_in(call, service, via) {
                Ok(node) => (node, matches!(via, Via::NodePort | Via::LoadBalancer)),
                Err(reached) => return reached,
            }
        };
        let now = self.now;
        let known = if node == NONE { &mut self.network.elsewhere } else { &mut self.nodes[node as usize].known };
        let written = self.proxies.written(known, now);
        let endpoints = &self.services[service as usize].endpoints;
        let headless = endpoints.rules.headless && !outside;
        let mesh = balancing == Balancing::LeastRequest || (via == Via::Ingress && parent == NONE);
        let local = if outside { endpoints.rules.external_local } else { endpoints.rules.internal_local } && !mesh;
        let place = endpoints.version(written, now);
        let among = match place {
            _ if headless => self.named(service, link, place, call),
            None => Among::Nobody,
            Some(place) if mesh => Among::All(place),
            Some(place) => self.reachable(service, place, node, local),
        };
        let somebody = place.is_some_and(|place| !self.services[service as usize].endpoints.versions[place].all.is_empty());
        // Lent for the choice: to copy it would cost what there is behind the Service.
        let list = self.list_of(service, among).map(std::mem::take).unwrap_or_default();
        let reached = match list.is_empty() {
            true if local && somebody => Reached::Unanswered,
            true => Reached::Refused,
            false if headless || mesh => self.choose_among(call, service, node, &list),
            false => self.stay_or_choose(call, service, node, &list),
        };
        if let Some(place) = self.list_of(service, among) {
            *place = list;
        }
        let reached = match reached {
            Reached::Station(station, _) if !outside => Reached::Station(station, NONE),
            other => other,
        };
        self.unless_denied(call, service, reached)
    }

    /// Where a list is kept.
    fn list_of(&mut self, service: u32, among: Among) -> Option<&mut Vec<u32>> {
        let versions = &mut self.services[service as usize].endpoints.versions;
        match among {
            Among::Nobody => None,
            Among::All(place) => Some(&mut versions.get_mut(place)?.all),
            Among::Near(place, node, local) => versions.get_mut(place)?.near.get_mut(&(node, local)),
            Among::Named => Some(&mut self.network.scratch),
        }
    }

    /// What a node's proxy chooses among.
    fn reachable(&mut self, service: u32, place: usize, node: u32, local: bool) -> Among {
        let Self { services, nodes, stations, .. } = self;
        let version = &mut services[service as usize].endpoints.versions[place];
        if !local && !version.zones_hinted && !version.nodes_hinted {
            return Among::All(place);
        }
        let near = Among::Near(place, node, local);
        if version.near.contains_key(&(node, local)) {
            return near;
        }
        let mut list = Vec::new();
        if local {
            near_by(version, |listed| stations[listed.station].node == node && node != NONE, &mut list);
        } else {
            let of = nodes.get(node as usize);
            let (name, zone) = of.map_or((None, None), |node| (Some(&node.name), Some(&node.place.zone)));
            let is_here = |listed: &Listed| listed.node.is_some() && listed.node.as_ref() == name;
            let in_zone = |listed: &Listed| listed.zone.is_some() && listed.zone.as_ref() == zone;
            let any = |holds: &dyn Fn(&Listed) -> bool| version.listed().any(|listed| listed.ready && holds(listed));
            if version.nodes_hinted && any(&is_here) {
                list.extend(version.listed().filter(|listed| listed.ready && is_here(listed)).map(|listed| listed.station));
            } else if version.zones_hinted && any(&in_zone) {
                list.extend(version.listed().filter(|listed| listed.ready && in_zone(listed)).map(|listed| listed.station));
            } else {
                list.extend(&version.all);
            }
        }
        version.near.insert((node, local), list);
        near
    }

    /// Pods behind a headless Service, as a caller knows them.
    fn named(&mut self, service: u32, link: u32, place: Option<usize>, call: u32) -> Among {
        let super::flow::Call { route, luck, attempt, .. } = self.calls[call];
        let dns = self.routes[route as usize].client.dns;
        let Self { services, stations, station_by_pod, links, now, network, .. } = self;
        let out = &mut network.scratch;
        out.clear();
        let endpoints = &mut services[service as usize].endpoints;
        if *now >= endpoints.names.1 {
            let all = place.map_or(&[][..], |place| &endpoints.versions[place].all);
            let pods: Vec<Uid> = all.iter().map(|station| stations[*station].pod).collect();
            // Nobody caches that there is nothing for as long.
            let ttl = if pods.is_empty() { 5_000_000_000 } else { dns.ttl.as_nanos() };
            endpoints.names = (pods, now.saturating_add(ttl));
        }
        let pods = &endpoints.names.0;
        let station = |pod: &Uid| station_by_pod.get(pod).copied();
        if dns.pinned && link != NONE {
            let Link { pinned, .. } = &mut links[link];
            if pinned.is_none_or(|(_, until)| *now >= until) {
                let place = Split::new(mix(luck), Purpose::Dns, u64::from(attempt)).below(pods.len() as u64) as usize;
                *pinned = pods.get(place).map(|pod| (*pod, now.saturating_add(dns.ttl.as_nanos())));
            }
            out.extend(pinned.and_then(|(pod, _)| station(&pod)));
            return Among::Named;
        }
        out.extend(pods.iter().filter_map(station));
        Among::Named
    }

    /// kube-proxy's choice: the endpoint this client had, or another.
    fn stay_or_choose(&mut self, call: u32, service: u32, node: u32, among: &[u32]) -> Reached {
        let stay = self.services[service as usize].endpoints.rules.affinity_nanos;
        let client = self.client_of(call);
        let (Some(stay), Some(client)) = (stay, client) else { return self.choose_among(call, service, node, among) };
        let key = (service, node, client);
        let before = self.network.affinities.get(&key).filter(|(_, at)| self.now - at < stay);
        let same = before.and_then(|(pod, _)| among.iter().copied().find(|station| self.stations[*station].pod == *pod));
        let reached = match same {
            Some(station) => Reached::Station(station, node),
            None => self.choose_among(call, service, node, among),
        };
        if let Reached::Station(station, _) = reached {
            let (now, pod) = (self.now, self.stations[station].pod);
            if self.network.affinities.len() >= self.network.affinities_most {
                let longest = self.services.iter().filter_map(|service| service.endpoints.rules.affinity_nanos).max().unwrap_or(0);
                self.network.affinities.retain(|_, (_, at)| now - *at < longest);
                self.network.affinities_most = AFFINITIES.max(self.network.affinities.len() * 2);
            }
            self.network.affinities.insert(key, (pod, now));
        }
        reached
    }

    /// What tells a caller's address from others; `None` when each request has another.
    fn client_of(&self, call: u32) -> Option<u64> {
        let super::flow::Call { parent, client, route, .. } = self.calls[call];
        if parent != NONE {
            return Some(self.stations[self.jobs[parent].station].pod.0);
        }
        (client != NONE).then(|| mix(u64::from(route) << 32 | u64::from(client)))
    }

    /// A choice among everybody.
    fn choose(&mut self, call: u32, service: u32, node: u32) -> Reached {
        let all = self.services[service as usize].endpoints.versions.back_mut().map(|version| std::mem::take(&mut version.all));
        let all = all.unwrap_or_default();
        let reached = self.choose_among(call, service, node, &all);
        if let Some(version) = self.services[service as usize].endpoints.versions.back_mut() {
            version.all = all;
        }
        reached
    }

    /// A choice among `among`.
    fn choose_among(&mut self, call: u32, service: u32, by: u32, among: &[u32]) -> Reached {
        let super::flow::Call { route, link, parent, luck, attempt, .. } = self.calls[call];
        let client = if self.network.by_source { self.client_of(call) } else { None };
        let Self { routes, stations, jobs, links, turns, now, network, .. } = self;
        let ways = &routes[route as usize];
        let mut kept = Vec::new();
        let targets = if link != NONE && links[link].leaves_out_any(*now) {
            kept.extend(among.iter().copied().filter(|station| !links[link].leaves_out(*station, *now)));
            // Envoy's panic threshold: with half of them left alone, all are asked again.
            if kept.len() * 2 < among.len() { among } else { &kept[..] }
        } else {
            among
        };
        let count = targets.len();
        let mut draws = Split::new(luck, Purpose::Balancing, u64::from(attempt));
        let mut draw = |n: usize| targets[draws.below(n as u64) as usize];
        let node = || if parent == NONE { by } else { stations[jobs[parent].station].node };
        let by_proxy = ways.client.balancing == Balancing::KubeProxy;
        let balancing = match ways.client.balancing {
            Balancing::KubeProxy if ways.via == Via::Ingress && parent == NONE => Balancing::RoundRobin,
            Balancing::KubeProxy => network.mode,
            own => own,
        };
        let chosen = match (count, balancing) {
            (0, _) => return Reached::Refused,
            (1, _) => targets[0],
            (_, Balancing::Random | Balancing::KubeProxy) => draw(count),
            (_, Balancing::RoundRobin) if by_proxy && network.least_connections => {
                let node = node();
                let held = |station: u32| network.connections.get(&(node, station)).copied().unwrap_or(0);
                targets.iter().copied().min_by_key(|station| held(*station)).unwrap_or(targets[0])
            }
            (_, Balancing::RoundRobin) if by_proxy && client.is_some() => targets[(mix(client.unwrap_or(0)) % count as u64) as usize],
            (_, Balancing::RoundRobin) => {
                // kube-proxy counts by Service, a client by what it calls.
                let turn = turns.entry((by_proxy, if by_proxy { service } else { ways.flow }, node())).or_default();
                *turn = turn.wrapping_add(1);
                targets[*turn as usize % count]
            }
            (_, Balancing::LeastRequest) => {
                let (one, other) = (draw(count), draw(count));
                let held = |station: u32| stations[station].accept.len() + stations[station].slots_used as usize;
                if held(other) < held(one) { other } else { one }
            }
        };
        if network.least_connections && by_proxy {
            let node = node();
            *network.connections.entry((node, chosen)).or_default() += 1;
            self.calls[call].counted_by = node;
        }
        Reached::Station(chosen, by)
    }

    /// A connection that was counted for `lc` is over.
    pub(super) fn uncount(&mut self, call: u32) {
        let super::flow::Call { counted_by, station, .. } = self.calls[call];
        if counted_by != NONE {
            self.calls[call].counted_by = NONE;
            if let Some(count) = self.network.connections.get_mut(&(counted_by, station)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// What NetworkPolicies make of it.
    fn unless_denied(&mut self, call: u32, service: u32, reached: Reached) -> Reached {
        let (Reached::Station(station, _), false) = (reached, self.policies.is_empty()) else { return reached };
        let super::flow::Call { route, parent, .. } = self.calls[call];
        let ways = &self.routes[route as usize];
        let to = self.stations[station].end;
        let from =
            if parent == NONE { Caller::Source(route, ways.address) } else { Caller::Pod(self.stations[self.jobs[parent].station].end) };
        let port = self.services[service as usize].endpoints.rules.port.as_ref();
        let Some(policy) = self.policies.denies(from, to, service, port) else { return reached };
        *self.denied.entry((ways.flow, policy)).or_default() += 1;
        if self.network.refuse_denied { Reached::Refused } else { Reached::Unanswered }
    }

    /// A connection of the caller's that is open already: its station, and that something could still be heard on it.
    pub(super) fn kept_connection(&mut self, call: u32) -> Option<(u32, bool)> {
        let super::flow::Call { route, link, .. } = self.calls[call];
        let settings = self.routes[route as usize].client.connections.filter(|_| link != NONE)?;
        let Self { links, stations, nodes, now, .. } = self;
        let heard = |station: u32, via: u32| {
            stations[station].process != super::station::Process::Silent && nodes.get(via as usize).is_none_or(|node| node.place.up)
        };
        let alive = |kept: &super::kept::Kept| {
            let in_time = || *now - kept.heard_at < settings.gives_up_after.as_nanos();
            stations[kept.station].epoch == kept.epoch && (heard(kept.station, kept.via) || in_time())
        };
        let (station, via) = links[link].kept.take(&settings, *now, alive)?;
        Some((station, heard(station, via)))
    }

    /// A new connection that will be used again.
    pub(super) fn keep_connection(&mut self, call: u32, station: u32, via: u32) {
        let super::flow::Call { route, link, .. } = self.calls[call];
        if link != NONE && self.routes[route as usize].client.connections.is_some() {
            self.links[link].kept.open(station, self.stations[station].epoch, via, self.now);
        }
    }
}
