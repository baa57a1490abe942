//! What a scheduler is: the contract that outsiders implement.
//!
//! The engine owns a [`ClusterSnapshot`], keeps it up to date as pods bind and nodes change, and asks a
//! [`Scheduler`] one pod at a time. A scheduler sees the snapshot and nothing else: not the store, not
//! the future, not the seed, not the fault plan.
//!
//! Two doors lead in. A whole policy implements [`Scheduler`]. A single idea is a plugin of the
//! kube-scheduler framework, which `schedulers` runs.
//!
//! Not here: queues and binding (`sim/engine`), the framework's runtime and plugins (`schedulers`).

mod extender;
mod node_info;
mod plugin;
mod scheduler;
mod snapshot;
mod tally;

pub use api::{ClusterObjects, Explanation, Remedy};
pub use extender::{ConnectExtender, ExtenderAddress, ExtenderClient};
pub use node_info::{HostPort, NodeInfo, PodInfo, PodRequests};
pub use plugin::*;
pub use scheduler::{Changed, ClusterEvent, Decision, Detail, NodeRejection, Outcome, Preemption, QueueingHint, Scheduler, StatusCode};
pub use snapshot::{ClusterSnapshot, ImageState, NodeIndex, Reservation};
pub use tally::{Tallied, Tally};
