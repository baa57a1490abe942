//! The record of a run: one typed record per fact, its file format, its histogram.
//!
//! The engine pushes records into a [`TraceSink`]; everything a report says is folded from them and can
//! be recomputed from the file by another program. `docs/trace.md` documents each field.
//!
//! Invariants:
//! - The same run gives the same bytes: times are integer nanoseconds, maps are ordered, floats are
//!   printed in the shortest form that reads back.
//! - Times never go back within a file. Windows are stamped with their end.
//! - Sinks only listen: none can stop or change a run. One that cannot write remembers its first error.
//!
//! Not here: what the numbers mean together (`reports`), and why something happened (`sim/engine`).

mod file;
mod histogram;
mod record;

pub use file::{Digest, JsonlWriter, MemorySink, ReadError, Reader, Tee, Trace, TraceSink};
pub use histogram::Histogram;
pub use record::{Header, Question, Record, SCHEMA_VERSION, TrafficCounts};
