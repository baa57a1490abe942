//! From the types of k8s-openapi to the slim ones, with the API server's defaults filled in and its rules checked.
//!
//! One file per area. Every function takes the object being read ([`Cx`]) and the path it is at, and goes on after
//! a mistake with the most harmless value, so that all mistakes of an object are found.

pub(crate) mod affinity;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod container;
pub(crate) mod meta;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod quota;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod vertical;
pub(crate) mod workload;
