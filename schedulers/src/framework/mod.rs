//! The scheduling framework: profiles, and the run of one attempt through a profile's plugins.
//!
//! `runtime` drives the extension points, `selection` decides how many nodes are looked at and which of the
//! best is taken, `message` counts reasons for the event. Upstream: pkg/scheduler/schedule_one.go,
//! framework/runtime.

mod message;
mod profile;
mod runtime;
mod selection;

pub(crate) use message::Histogram;
pub use profile::Profile;
pub use runtime::{Attempt, FeasibleNode, PreFilterRejection, RejectedNode, Sampling};
pub(crate) use runtime::{Scratch, Settings, attempt, explain, explain_gate, fits, rejection};
pub use selection::{Lots, TieBreak};
