//! Services.

use std::sync::Arc;

use api::{PortName, Service, ServicePort, ServiceType, SimDuration};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{labels, object_meta};
use crate::check::{Cx, NameRule, text};
use crate::source::Step;

/// A Service.
pub(crate) fn service(cx: &mut Cx<'_>, from: &core::Service) -> Service {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Label);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(from) = &from.spec else {
        cx.missing("spec", &root);
        return Service { meta, ..Service::default() };
    };
    let types = &[
        ("ClusterIP", ServiceType::ClusterIP),
        ("NodePort", ServiceType::NodePort),
        ("LoadBalancer", ServiceType::LoadBalancer),
        ("ExternalName", ServiceType::ExternalName),
        ("", ServiceType::ClusterIP),
    ];
    let policies = &[("Cluster", false), ("Local", true), ("", false)];
    let service_type = from.type_.as_deref().and_then(|word| cx.word(word, types, &at.key("type"))).unwrap_or_default();
    let headless = from.cluster_ip.as_deref() == Some("None");
    let external = service_type == ServiceType::ExternalName;
    if from.ports.iter().flatten().next().is_none() && !headless && !external {
        cx.missing("ports", &at);
    }
    if external && from.external_name.as_deref().unwrap_or("").is_empty() {
        cx.missing("externalName", &at);
    }
    let ports_at = at.key("ports");
    let mut ports = Vec::new();
    for (index, port) in from.ports.iter().flatten().enumerate() {
        let at = ports_at.index(index);
        let own = cx.ranged(port.port, 1..=65535, &at.key("port")).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        ports.push(ServicePort {
            name: text(port.name.as_ref()),
            protocol: port.protocol.as_ref().map_or("TCP".into(), |word| text(Some(word))),
            port: own,
            target: match &port.target_port {
                Some(IntOrString::Int(number)) => PortName::Number(
                    cx.ranged(*number, 1..=65535, &at.key("targetPort")).and_then(|port| u16::try_from(port).ok()).unwrap_or(own),
                ),
                Some(IntOrString::String(name)) => PortName::Name(name.as_str().into()),
                None => PortName::Number(own),
            },
        });
        if let Some(word) = port.protocol.as_deref().filter(|word| !word.is_empty()) {
            cx.word(word, &[("TCP", ()), ("UDP", ()), ("SCTP", ())], &at.key("protocol"));
        }
        if port.name.is_none() && from.ports.as_ref().is_some_and(|ports| ports.len() > 1) {
            cx.missing("name", &at);
        }
    }
    let mut local = |word: Option<&String>, field: &str| word.and_then(|word| cx.word(word, policies, &at.key(field))).unwrap_or(false);
    let internal_local = local(from.internal_traffic_policy.as_ref(), "internalTrafficPolicy");
    let external_local = local(from.external_traffic_policy.as_ref(), "externalTrafficPolicy");
    let affinities = &[("None", false), ("ClientIP", true), ("", false)];
    let affinity = from.session_affinity.as_deref().and_then(|word| cx.word(word, affinities, &at.key("sessionAffinity")));
    let near = &[("PreferClose", ()), ("PreferSameZone", ()), ("PreferSameNode", ())];
    if let Some(word) = from.traffic_distribution.as_deref() {
        cx.word(word, near, &at.key("trafficDistribution"));
    }
    // Upstream: pkg/apis/core/v1/defaults.go, DefaultClientIPServiceAffinitySeconds; at most a day.
    let stay = from.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let stay =
        stay.and_then(|seconds| cx.ranged(seconds, 1..=86_400, &at.key("sessionAffinityConfig").key("clientIP").key("timeoutSeconds")));
    let stay = SimDuration::from_secs(u64::try_from(stay.unwrap_or(10_800)).unwrap_or(10_800));
    Service {
        meta,
        selector: from
            .selector
            .as_ref()
            .filter(|selector| !selector.is_empty() && !external)
            .map(|selector| Arc::new(labels(cx, Some(selector), &at.key("selector")))),
        service_type,
        headless,
        publish_not_ready_addresses: from.publish_not_ready_addresses.unwrap_or(false),
        client_ip_affinity: affinity.unwrap_or(false).then_some(stay),
        ports,
        traffic_distribution: text(from.traffic_distribution.as_ref()),
        internal_local,
        external_local,
    }
}
