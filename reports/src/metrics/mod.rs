//! Folds one trace into measures.
//!
//! The registry says which metrics there are and what each is; a [`Query`] asks one of them of a [`Run`](crate::Run);
//! [`Measures`] is everything a run answered, small enough to keep for thousands of runs.
//!
//! Invariants:
//! - Warm-up is cut here and nowhere else.
//! - No data is not zero: see [`Answer`].
//!
//! Not here: what an answer is worth (`verdict`).

mod conservation;
mod measures;
mod query;
mod recovery;
mod registry;

pub use conservation::conservation;
pub use measures::{Asked, Denial, Measures, TrafficSummary, Value};
pub use query::{Answer, Query};
pub use recovery::{Phase, Recovery};
pub use registry::{Better, Measure, MetricInfo, Unit, metric, registry, seconds};

pub(crate) use query::{course, is_eviction as is_eviction_by, name_matches, rollouts_of};
pub(crate) use recovery::recoveries;
