//! From the format to the engine's own input: one module per part of a scenario.
//!
//! Invariants: every function takes the path of what it reads, so that whatever is wrong is said at its place; what
//! is wrong is left out, so that everything else is still looked at.

mod behavior;
mod cluster;
mod control_plane;
mod expectation;
mod fault;
mod image;
mod law;
mod load;
mod metrics;
mod selector;
mod step;
mod storage;
mod traffic;

pub(crate) use behavior::{Behaviors, behaviors};
pub(crate) use cluster::{Pools, cluster};
pub(crate) use control_plane::{ControlPlaneFields, control_plane, defaults_of};
pub(crate) use expectation::expectations;
pub use fault::faults as fault_list;
pub(crate) use fault::lower as faults;
pub(crate) use image::images;
pub(crate) use law::{Bare, law};
pub(crate) use metrics::metrics;
pub(crate) use selector::{Subject, selects};
pub(crate) use step::{Applied, marks, steps};
pub(crate) use storage::assume_classes;
pub(crate) use traffic::{MOST_PER_SECOND, traffic};
