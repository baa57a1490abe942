//! Kubernetes nouns, quantities and simulated time as slim plain data.
//!
//! Every room speaks these types; nothing here knows a file format, a clock or a store. Names are
//! the official ones in Rust spelling; a field that a real manifest has and a simulator never looks
//! at is left out (`sim/manifests` tells the user so).
//!
//! Invariants:
//! - No floating point: cpu is whole millicpu, memory whole bytes, time whole nanoseconds.
//! - Maps are ordered, so that iterating them is deterministic.
//! - Specs are immutable once made and shared by `Arc`; a change makes a new one.
//!
//! Not here: parsing of manifests (`sim/manifests`), where objects live (`sim/engine`).

mod batch;
mod cluster_objects;
mod cron;
mod daemon_set;
mod explanation;
mod labels;
mod meta;
mod network;
mod node;
mod pod;
mod quantity;
mod quota;
mod resources;
mod service;
mod storage;
mod time;
mod vertical_pod_autoscaler;
mod workload;

pub use batch::*;
pub use cluster_objects::ClusterObjects;
pub use cron::{Schedule, ScheduleError};
pub use daemon_set::*;
pub use explanation::{Explanation, Hypothetical, Objection, PluginScore, Remedy, Room, ScoredNode, TurnedDown};
pub use labels::{LabelSelector, Labels, Operator, Requirement};
pub use meta::{Kind, ObjectKey, ObjectMeta, OwnerReference, Propagation, Uid};
pub use network::*;
pub use node::{ContainerImage, Node, NodeSpec, NodeStatus, NodeSystemInfo, Taint, TaintEffect};
pub use pod::*;
pub use quantity::{Quantity, QuantityError};
pub use quota::*;
pub use resources::{Bytes, Millicpu, ResourceList, ResourceName, Resources};
pub use service::*;
pub use storage::*;
pub use time::{DurationError, SimDuration, SimTime};
pub use vertical_pod_autoscaler::*;
pub use workload::*;

/// A shared immutable string. Cloning costs a counter, comparing two clones of one costs nothing more.
pub type Str = std::sync::Arc<str>;
