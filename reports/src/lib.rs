//! What a run means: metrics, verdict, tables, page. Reads traces, never the world.
//!
//! ```text
//! Trace ── Run::new ──► Run ──┬─ Measures::of ─┬► judge ─────────► render::{text, json, csv, page}
//!                             │                └► compare::compare ► render::comparison_*
//!                             ├─ inspect::{get, why}
//!                             └─ export::{openmetrics, perfetto, series_csv, events_csv}
//! two traces ── difference::of ──► Difference ──► render::difference_text
//! ```
//!
//! Start at [`metrics::registry`] (what can be measured), [`Measures`] (what one run answered),
//! [`verdict::judge`] (what that is worth) and [`render`] (how it is said).
//!
//! Invariants:
//! - Everything said here can be recomputed from the trace file by another program.
//! - Equal traces give equal bytes: no clock, no randomness, no unordered iteration. Wall time, where
//!   it is shown at all, comes in from outside.
//! - A trace is folded in one pass; nothing is quadratic in its records.
//! - Text from users' files is escaped where it meets a format.
//!
//! Not here: files, terminals and exit codes (`cli`).

pub mod compare;
pub mod difference;
pub mod export;
mod fold;
pub mod gate;
pub mod inspect;
pub mod metrics;
pub mod render;
pub mod search;
mod series;
mod statistics;
mod story;
pub mod sweep;
#[doc(hidden)]
pub mod testing;
pub mod verdict;

pub use fold::Run;
pub use metrics::Measures;
pub use series::Range;
pub use verdict::{Judged, Outcome, Verdict, judge};
