//! Services and their endpoints.

use std::sync::Arc;

use crate::{Labels, ObjectMeta, Str, Uid};

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
    /// `sessionAffinity: ClientIP`.
    pub client_ip_affinity: bool,
    /// `trafficDistribution`, or empty.
    pub traffic_distribution: Str,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
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
}

/// The endpoints of a Service. Kept as one list: slices of at most 100 are a matter of the wire.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EndpointSlice {
    /// Same namespace and name as the Service.
    pub meta: ObjectMeta,
    /// Endpoints, by pod name.
    pub endpoints: Vec<Endpoint>,
}
