//! NetworkPolicies.

use api::{IpBlock, LabelSelector, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule, PortName};
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{object_meta, selector};
use crate::check::{Cx, NameRule, text};
use crate::source::Step;

/// A NetworkPolicy, with the policy types that the API server fills in.
/// Upstream: pkg/apis/networking/v1/defaults.go, SetDefaults_NetworkPolicy; validation/validation.go.
pub(crate) fn network_policy(cx: &mut Cx<'_>, from: &networking::NetworkPolicy) -> NetworkPolicy {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        return NetworkPolicy { meta, ingress: Some(Vec::new()), ..NetworkPolicy::default() };
    };
    let (mut to, mut from_them) = (true, spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()));
    if let Some(types) = spec.policy_types.as_ref().filter(|types| !types.is_empty()) {
        let types_at = at.key("policyTypes");
        let words = &[("Ingress", true), ("Egress", false)];
        let found = types.iter().enumerate().filter_map(|(index, word)| cx.word(word, words, &types_at.index(index)));
        let found: Vec<bool> = found.collect();
        (to, from_them) = (found.contains(&true), found.contains(&false));
    }
    let pod_selector = spec.pod_selector.as_ref().map_or_else(LabelSelector::default, |raw| selector(cx, raw, &at.key("podSelector")));
    let ingress_at = at.key("ingress");
    let mut ingress = Vec::new();
    for (index, rule) in spec.ingress.iter().flatten().enumerate() {
        let at = ingress_at.index(index);
        let (peers, ports) = (rule.from.as_deref().unwrap_or_default(), rule.ports.as_deref().unwrap_or_default());
        ingress.push(NetworkPolicyRule { peers: self::peers(cx, peers, &at.key("from")), ports: self::ports(cx, ports, &at.key("ports")) });
    }
    let egress_at = at.key("egress");
    let mut egress = Vec::new();
    for (index, rule) in spec.egress.iter().flatten().enumerate() {
        let at = egress_at.index(index);
        let (peers, ports) = (rule.to.as_deref().unwrap_or_default(), rule.ports.as_deref().unwrap_or_default());
        egress.push(NetworkPolicyRule { peers: self::peers(cx, peers, &at.key("to")), ports: self::ports(cx, ports, &at.key("ports")) });
    }
    NetworkPolicy { meta, pod_selector, ingress: to.then_some(ingress), egress: from_them.then_some(egress) }
}

fn peers(cx: &mut Cx<'_>, from: &[networking::NetworkPolicyPeer], at: &Step<'_>) -> Vec<NetworkPolicyPeer> {
    let mut peers = Vec::new();
    for (index, peer) in from.iter().enumerate() {
        let at = at.index(index);
        let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        match &peer.ip_block {
            Some(_) if selects => cx.error("WT0117", "ipBlock beside a selector", "a peer is either addresses or pods", &at.key("ipBlock")),
            Some(block) => {
                let block_at = at.key("ipBlock");
                let cidr = address_block(cx, &block.cidr, &block_at.key("cidr"));
                let except_at = block_at.key("except");
                let except = block.except.iter().flatten().enumerate();
                let except: Vec<IpBlock> = except.filter_map(|(index, text)| address_block(cx, text, &except_at.index(index))).collect();
                peers.extend(cidr.map(|cidr| NetworkPolicyPeer::Block { cidr, except }));
            }
            None if !selects => {
                let label = "expected podSelector, namespaceSelector or ipBlock";
                cx.error("WT0107", "a peer without anything", label, &at);
            }
            None => {
                let namespaces = peer.namespace_selector.as_ref().map(|raw| selector(cx, raw, &at.key("namespaceSelector")));
                let pods = peer.pod_selector.as_ref().map(|raw| selector(cx, raw, &at.key("podSelector")));
                peers.push(NetworkPolicyPeer::Pods { namespaces, pods });
            }
        }
    }
    peers
}

fn address_block(cx: &mut Cx<'_>, raw: &str, at: &Step<'_>) -> Option<IpBlock> {
    let block = IpBlock::parse(raw);
    if block.is_none() {
        cx.error("WT0104", format!("`{raw}` is no block of addresses"), "expected such as 10.0.0.0/8 or 2001:db8::/32", at);
    }
    block
}

fn ports(cx: &mut Cx<'_>, from: &[networking::NetworkPolicyPort], at: &Step<'_>) -> Vec<NetworkPolicyPort> {
    let mut ports = Vec::new();
    for (index, port) in from.iter().enumerate() {
        let at = at.index(index);
        let number = |cx: &mut Cx<'_>, value: i32, name: &'static str| {
            cx.ranged(value, 1..=65535, &at.key(name)).and_then(|value| u16::try_from(value).ok())
        };
        let protocol = port.protocol.as_ref().map_or("TCP".into(), |word| text(Some(word)));
        cx.word(&protocol, &[("TCP", ()), ("UDP", ()), ("SCTP", ())], &at.key("protocol"));
        let first = match &port.port {
            None => None,
            Some(IntOrString::Int(value)) => number(cx, *value, "port").map(PortName::Number),
            Some(IntOrString::String(name)) => Some(PortName::Name(name.as_str().into())),
        };
        let end_port = port.end_port.and_then(|value| number(cx, value, "endPort"));
        if let (Some(end), Some(PortName::Number(first))) = (end_port, &first)
            && end < *first
        {
            cx.error("WT0109", format!("{end} is out of range"), format!("expected {first} or more"), &at.key("endPort"));
        }
        if end_port.is_some() && !matches!(first, Some(PortName::Number(_))) {
            cx.error("WT0117", "endPort without a numeric port", "a range begins with a number in `port`", &at.key("endPort"));
        }
        ports.push(NetworkPolicyPort { protocol, port: first, end_port });
    }
    ports
}
