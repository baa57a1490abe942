//! A run in the forms that other programs open: OpenMetrics for Prometheus and Grafana, a timeline for Perfetto,
//! tidy tables for notebooks.
//!
//! ```text
//! Run ─┬─ metrics::families ─┬► openmetrics   names of kube-state-metrics, kubelet, kube-scheduler
//!      │                     ├► csv::series   the same numbers, one a line
//!      │                     └► parquet       the same table in columns (feature `parquet`)
//!      ├────────────────────── csv::events    what happened, one a line
//!      └────────────────────── perfetto       nodes are processes, pods are slices
//! Measures ──────────────────── bench          means over seeds for a history of benchmarks
//! ```
//!
//! Invariants:
//! - Only what the trace holds is exported; `docs/exports.md` names what is not.
//! - Equal traces give equal bytes. What is written goes straight to the writer, a family of metrics at a time.
//! - Text from users' files is escaped where it meets a format.
//!
//! Not here: files (`cli`), and what the numbers of a report are worth (`metrics`, `verdict`).

mod bench;
mod csv;
mod metrics;
mod openmetrics;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;
mod time;

pub use self::bench::{Benchmarked, bencher, gh_bench};
pub use self::csv::{events_csv, series_csv};
pub use self::openmetrics::openmetrics;
#[cfg(feature = "parquet")]
pub use self::parquet::series_parquet;
pub use self::perfetto::perfetto;
