//! Services and their endpoints.

use std::sync::Arc;

use crate::{Labels, ObjectMeta, PortName, SimDuration, Str, Uid};

/// How a Service is reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
}

/// A Service.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Service {
    /// Name, labels.
    pub meta: ObjectMeta,
    /// Labels its pods have; `None` when there is no selector, so that nobody manages its endpoints.
    pub selector: Option<Arc<Labels>>,
    /// Type.
    pub service_type: ServiceType,
    /// `clusterIP: None`.
    pub headless: bool,
    /// Lists pods that are not ready too.
    pub publish_not_ready_addresses: bool,
    /// `sessionAffinity: ClientIP`: how long a client stays with an endpoint after its last connection.
    pub client_ip_affinity: Option<SimDuration>,
    /// Its ports; none when it has no address of its own.
    pub ports: Vec<ServicePort>,
    /// `trafficDistribution`, or empty.
    pub traffic_distribution: Str,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
}

/// A port of a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Name, or empty.
    pub name: Str,
    /// TCP, UDP or SCTP.
    pub protocol: Str,
    /// The Service's own.
    pub port: u16,
    /// The pods'.
    pub target: PortName,
}

/// One address behind a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The pod.
    pub pod: Uid,
    /// Its name.
    pub pod_name: Str,
    /// Its node.
    pub node_name: Str,
    /// Takes new connections.
    pub ready: bool,
    /// Its pod is Ready, terminating or not.
    pub serving: bool,
    /// Its pod is being deleted.
    pub terminating: bool,
    /// `hints.forZones`: the zone that should use it.
    pub zone_hint: Option<Str>,
    /// `hints.forNodes`: the node that should use it.
    pub node_hint: Option<Str>,
}

/// Some of the endpoints of a Service: at most a hundred when the EndpointSlice controller made it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EndpointSlice {
    /// A generated name in the namespace of the Service.
    pub meta: ObjectMeta,
    /// `kubernetes.io/service-name`: the Service.
    pub service: Str,
    /// Endpoints, by pod name.
    pub endpoints: Vec<Endpoint>,
}
