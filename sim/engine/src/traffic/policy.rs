//! NetworkPolicies: whether one may connect to another.
//!
//! Upstream: staging/src/k8s.io/api/networking/v1/types.go. A pod that a policy selects is isolated in the
//! directions of that policy: it may connect (be connected to) only where one of its policies says so; both ends
//! must allow it. Rules are asked for new connections only.
//!
//! Ends are told apart by namespace, labels and ports; an answer is worked out once for each pair of ends and
//! Service, and forgotten when a policy changes.
//!
//! Simplified: pods have no addresses here, so that a block of addresses never means them, but for one that holds every
//! address; a Service's first port is the one that is asked; policies hold from the instant they are made, for new pods too;
//! look-ups of names are not asked about.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::{IpBlock, Labels, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule, PortName, ServicePort, Str};
use rustc_hash::FxHashMap;

use super::slab::NONE;

/// A pod, as far as policies can tell it from others; ordered, so that equal ones are one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PodEnd {
    /// Its namespace.
    pub(crate) namespace: Str,
    /// Its labels.
    pub(crate) labels: Arc<Labels>,
    /// Its named ports.
    pub(crate) ports: Vec<(Str, u16)>,
}

/// Who connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    /// A pod, by the number of its end.
    Pod(u32),
    /// A source, by a number of its own, with its address.
    Source(u32, Option<IpAddr>),
}

/// The policies, who they are about, and what was asked of them.
#[derive(Default)]
pub(super) struct Policies {
    policies: Vec<NetworkPolicy>,
    namespaces: BTreeMap<Str, Labels>,
    ends: Vec<PodEnd>,
    end_numbers: BTreeMap<PodEnd, u32>,
    /// Names of policies that denied something, by number.
    names: Vec<Str>,
    /// By caller, callee, Service: who denies it; `NONE` means that it is allowed.
    answers: FxHashMap<(u32, u32, u32), u32>,
}

impl Policies {
    /// Whether nobody needs to be asked.
    pub(super) const fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policies from now on, and the labels of namespaces.
    pub(super) fn set(&mut self, policies: Vec<NetworkPolicy>, namespaces: BTreeMap<Str, Labels>) {
        self.policies = policies;
        self.namespaces = namespaces;
        self.answers.clear();
    }

    /// The number of an end.
    pub(super) fn end(&mut self, end: PodEnd) -> u32 {
        if let Some(number) = self.end_numbers.get(&end) {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.ends.push(end.clone());
        self.end_numbers.insert(end, number);
        number
    }

    /// The name under which denials are counted.
    pub(super) fn name(&self, number: u32) -> Str {
        self.names[number as usize].clone()
    }

    /// Who denies a connection from `from` to the end `to`; `port` is what is asked of Service number `service`.
    pub(super) fn denies(&mut self, from: Caller, to: u32, service: u32, port: Option<&ServicePort>) -> Option<u32> {
        let caller = match from {
            Caller::Pod(end) => end,
            Caller::Source(number, _) => NONE - 1 - number,
        };
        let key = (caller, to, service);
        let answer = match self.answers.get(&key) {
            Some(answer) => *answer,
            None => {
                let answer = self.work_out(from, to, port);
                self.answers.insert(key, answer);
                answer
            }
        };
        (answer != NONE).then_some(answer)
    }

    fn work_out(&mut self, from: Caller, to: u32, port: Option<&ServicePort>) -> u32 {
        let end = |number: u32| self.ends.get(number as usize);
        let (caller, address) = match from {
            Caller::Pod(number) => (end(number), None),
            Caller::Source(_, address) => (None, address),
        };
        let callee = end(to);
        let found =
            callee.map(|callee| Asked { protocol: port.map_or("TCP", |port| &port.protocol), number: target(port, callee), callee });
        let out = caller.and_then(|pod| self.direction(pod, |policy| policy.egress.as_deref(), callee, None, found.as_ref()));
        let into = || callee.and_then(|pod| self.direction(pod, |policy| policy.ingress.as_deref(), caller, address, found.as_ref()));
        let Some(name) = out.or_else(into) else { return NONE };
        match self.names.iter().position(|known| *known == name) {
            Some(number) => number as u32,
            None => {
                self.names.push(name);
                (self.names.len() - 1) as u32
            }
        }
    }

    /// The policies that isolate `pod` in one direction, when none of them allows the other end.
    fn direction<'p>(
        &'p self,
        pod: &PodEnd,
        rules_of: impl Fn(&'p NetworkPolicy) -> Option<&'p [NetworkPolicyRule]>,
        other: Option<&PodEnd>,
        address: Option<IpAddr>,
        asked: Option<&Asked<'_>>,
    ) -> Option<Str> {
        let mut isolating: Vec<String> = Vec::new();
        for policy in &self.policies {
            let isolates = policy.meta.namespace == pod.namespace && policy.pod_selector.matches(&pod.labels);
            let Some(rules) = rules_of(policy).filter(|_| isolates) else { continue };
            let allows = |rule: &NetworkPolicyRule| {
                let peers = &rule.peers;
                let peer = peers.is_empty() || peers.iter().any(|peer| self.is_peer(peer, policy, other, address));
                peer && (rule.ports.is_empty() || asked.is_none_or(|asked| rule.ports.iter().any(|port| asked.is_in(port))))
            };
            if rules.iter().any(allows) {
                return None;
            }
            isolating.push(policy.meta.key().to_string());
        }
        isolating.sort();
        (!isolating.is_empty()).then(|| isolating.join(", ").into())
    }

    fn is_peer(&self, peer: &NetworkPolicyPeer, policy: &NetworkPolicy, other: Option<&PodEnd>, address: Option<IpAddr>) -> bool {
        match (peer, other) {
            (NetworkPolicyPeer::Pods { namespaces, pods }, Some(other)) => {
                let in_namespace = match namespaces {
                    None => other.namespace == policy.meta.namespace,
                    Some(selector) => match self.namespaces.get(&other.namespace) {
                        Some(labels) => selector.matches(labels),
                        None => selector.matches(&Labels::from([("kubernetes.io/metadata.name".into(), other.namespace.clone())])),
                    },
                };
                in_namespace && pods.as_ref().is_none_or(|selector| selector.matches(&other.labels))
            }
            (NetworkPolicyPeer::Pods { .. }, None) => false,
            (NetworkPolicyPeer::Block { cidr, except }, None) => {
                let holds = |block: &IpBlock| address.map_or(block.is_everything(), |address| block.contains(address));
                holds(cidr) && !except.iter().any(holds)
            }
            (NetworkPolicyPeer::Block { cidr, .. }, Some(_)) => cidr.is_everything(),
        }
    }
}

/// The port of the callee that is asked.
struct Asked<'a> {
    protocol: &'a str,
    /// `None` when nobody knows.
    number: Option<u16>,
    callee: &'a PodEnd,
}

impl Asked<'_> {
    fn is_in(&self, port: &NetworkPolicyPort) -> bool {
        if *port.protocol != *self.protocol {
            return false;
        }
        let Some(asked) = self.number else { return true };
        match &port.port {
            None => true,
            Some(PortName::Number(first)) => (*first..=port.end_port.unwrap_or(*first)).contains(&asked),
            Some(PortName::Name(name)) => self.callee.ports.iter().any(|(of_pod, number)| of_pod == name && *number == asked),
        }
    }
}

/// The number that a Service's port has in a pod.
fn target(port: Option<&ServicePort>, pod: &PodEnd) -> Option<u16> {
    match &port?.target {
        PortName::Number(number) => Some(*number),
        PortName::Name(name) => pod.ports.iter().find(|(of_pod, _)| of_pod == name).map(|(_, number)| *number),
    }
}

#[cfg(test)]
mod tests {
    use api::{LabelSelector, ObjectMeta};

    use super::*;

    fn labels(text: &str) -> Labels {
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
    }
    fn selector(text: &str) -> LabelSelector {
        LabelSelector { match_labels: labels(text), match_expressions: Vec::new() }
    }
    fn policy(name: &str, of: &str) -> NetworkPolicy {
        let meta = ObjectMeta { name: name.into(), namespace: "shop".into(), ..ObjectMeta::default() };
        NetworkPolicy { meta, pod_selector: selector(of), ingress: None, egress: None }
    }
    fn rule(peers: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>) -> Option<Vec<NetworkPolicyRule>> {
        Some(vec![NetworkPolicyRule { peers, ports }])
    }
    fn pods(namespaces: Option<&str>, pods: Option<&str>) -> NetworkPolicyPeer {
        NetworkPolicyPeer::Pods { namespaces: namespaces.map(selector), pods: pods.map(selector) }
    }
    fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
        let block = |text: &str| IpBlock::parse(text).unwrap();
        NetworkPolicyPeer::Block { cidr: block(cidr), except: except.iter().map(|text| block(text)).collect() }
    }
    fn port(port: PortName, end_port: Option<u16>) -> NetworkPolicyPort {
        NetworkPolicyPort { protocol: "TCP".into(), port: Some(port), end_port }
    }

    /// Who denies that `from` (`namespace label=value`, or an address) asks port 8080 (`http`) of `to`.
    fn asked(policies: Vec<NetworkPolicy>, from: &str, to: &str) -> Option<String> {
        let mut of = Policies::default();
        of.set(policies, BTreeMap::from([("ops".into(), labels("team=ops")), ("shop".into(), labels("team=shop"))]));
        let end = |text: &str| {
            let (namespace, rest) = text.split_once(' ').unwrap_or((text, ""));
            PodEnd { namespace: namespace.into(), labels: Arc::new(labels(rest)), ports: vec![("http".into(), 8080)] }
        };
        let address: Option<IpAddr> = from.parse().ok();
        let outside = address.is_some() || from == "outside";
        let from = if outside { Caller::Source(3, address) } else { Caller::Pod(of.end(end(from))) };
        let to = of.end(end(to));
        let port = ServicePort { name: "".into(), protocol: "TCP".into(), port: 80, target: PortName::Name("http".into()) };
        let denied = of.denies(from, to, 0, Some(&port));
        assert_eq!(denied, of.denies(from, to, 0, Some(&port)), "the same when asked again");
        denied.map(|number| of.name(number).to_string())
    }

    #[test]
    fn whoever_is_not_isolated_may_be_asked_by_anybody() {
        let only_db = || vec![NetworkPolicy { ingress: Some(Vec::new()), ..policy("deny", "app=db") }];
        assert_eq!(asked(only_db(), "shop app=web", "shop app=cart"), None);
        assert_eq!(asked(only_db(), "shop app=web", "ops app=db"), None, "a policy is about its own namespace");
        assert_eq!(asked(only_db(), "shop app=web", "shop app=db").as_deref(), Some("shop/deny"));
        assert_eq!(asked(only_db(), "shop app=db", "shop app=web"), None, "ingress says nothing of what it asks itself");
    }

    #[test]
    fn policies_add_up_and_both_ends_must_allow() {
        let deny = || NetworkPolicy { ingress: Some(Vec::new()), egress: Some(Vec::new()), ..policy("deny-all", "") };
        let into_db = || NetworkPolicy { ingress: rule(vec![pods(None, Some("app=web"))], Vec::new()), ..policy("into-db", "app=db") };
        let out_of_web = || NetworkPolicy { egress: rule(vec![pods(None, Some("app=db"))], Vec::new()), ..policy("out", "app=web") };
        assert_eq!(asked(vec![deny(), into_db()], "shop app=web", "shop app=db").as_deref(), Some("shop/deny-all"));
        assert_eq!(asked(vec![deny(), out_of_web()], "shop app=web", "shop app=db").as_deref(), Some("shop/deny-all"));
        assert_eq!(asked(vec![deny(), into_db(), out_of_web()], "shop app=web", "shop app=db"), None);
        assert_eq!(asked(vec![into_db()], "ops app=web", "shop app=db").as_deref(), Some("shop/into-db"), "pods of its own namespace");
    }

    #[test]
    fn peers_are_chosen_by_namespace_by_labels_or_by_both() {
        let from = |peer| vec![NetworkPolicy { ingress: rule(vec![peer], Vec::new()), ..policy("p", "") }];
        let allowed = |peer, caller| asked(from(peer), caller, "shop app=db").is_none();
        assert!(allowed(pods(Some("team=ops"), None), "ops app=any") && !allowed(pods(Some("team=ops"), None), "shop app=any"));
        assert!(allowed(pods(Some("team=ops"), Some("app=prom")), "ops app=prom"));
        assert!(!allowed(pods(Some("team=ops"), Some("app=prom")), "ops app=other"));
        assert!(allowed(pods(Some(""), Some("app=prom")), "shop app=prom"), "an empty selector means every namespace");
        assert!(allowed(pods(Some("kubernetes.io/metadata.name=new"), None), "new app=x"), "a namespace nobody has described");
    }

    #[test]
    fn blocks_are_about_who_asks_from_outside() {
        let from = |peer| vec![NetworkPolicy { ingress: rule(vec![peer], Vec::new()), ..policy("p", "") }];
        let allowed = |peer, caller| asked(from(peer), caller, "shop app=web").is_none();
        assert!(allowed(block("203.0.113.0/24", &[]), "203.0.113.9") && !allowed(block("203.0.113.0/24", &[]), "198.51.100.1"));
        assert!(!allowed(block("0.0.0.0/0", &["203.0.113.0/24"]), "203.0.113.9"));
        assert!(allowed(block("0.0.0.0/0", &[]), "outside") && !allowed(block("203.0.113.0/24", &[]), "outside"));
        assert!(allowed(block("0.0.0.0/0", &[]), "shop app=x") && !allowed(block("10.0.0.0/8", &[]), "shop app=x"));
        assert!(!allowed(pods(Some(""), None), "203.0.113.9"), "selectors choose pods only");
    }

    #[test]
    fn ports_are_those_of_the_pod_by_number_range_or_name() {
        let on = |port| vec![NetworkPolicy { ingress: rule(Vec::new(), vec![port]), ..policy("p", "") }];
        let allowed = |port| asked(on(port), "shop app=x", "shop app=web").is_none();
        assert!(allowed(port(PortName::Number(8080), None)) && !allowed(port(PortName::Number(80), None)));
        assert!(allowed(port(PortName::Number(8000), Some(9000))) && !allowed(port(PortName::Number(8000), Some(8079))));
        assert!(allowed(port(PortName::Name("http".into()), None)) && !allowed(port(PortName::Name("metrics".into()), None)));
        assert!(!allowed(NetworkPolicyPort { protocol: "UDP".into(), port: None, end_port: None }));
    }
}
