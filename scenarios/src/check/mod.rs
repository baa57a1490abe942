//! Whether the parts of a scenario fit together, and whether it can work at all: rules that no single part can know.
//!
//! Invariants: everything here is closed form, cheap, and said before anything runs; an error only where the run
//! could not mean what its author wants, a warning where it may.

mod feasibility;
mod metrics;
mod references;
mod tipping;

pub(crate) use feasibility::{autoscalers, capacity, most_replicas, pods_fit};
pub(crate) use metrics::{served, vertical};
pub(crate) use references::{asked, behaviors, calls, endless_jobs, faults, names, readiness_gates, services, steps, times, unanswered};
pub(crate) use tipping::tipping_points;
