//! The simulated cluster: clock, random streams, store, controllers, scheduling loop, kubelets, traffic, faults.
//!
//! [`World`] owns everything. [`World::step`] pops the earliest event from the calendar, hands it to one
//! room with what that room may read, and applies the effects the room returns. One place changes
//! state, one place decides order.
//!
//! Invariants:
//! - (spec, scheduler, seed) determine every record and their order.
//! - No room performs I/O, reads a clock, an environment, a thread id or an address.
//! - Objects change only in `World::apply`; every change has a resourceVersion and reaches the watchers.
//! - What does not change costs nothing: no event exists for a healthy heartbeat or a passing probe.

mod clock;
mod controllers;
mod effects;
mod event;
mod faults;
mod kubelet;
mod objects;
pub mod pattern;
pub mod random;
mod scheduling;
mod select;
mod selected;
pub mod spec;
mod store;
mod traffic;
mod world;

pub use clock::{Calendar, EventId};
pub use scheduling::Explain;
pub use traffic::bench as traffic_bench;
pub use traffic::graph as service_graph;
pub use traffic::unsupported_by_cohort;
pub use world::{Limits, Progress, Summary, Violation, World};
