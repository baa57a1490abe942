//! Scenario files: the format, its meaning to the engine, everything wrong with one, and the shipped ones.
//!
//! [`load`] turns a text into a [`Scenario`]: parse, `--set`, type, lower, check. All problems are collected with file,
//! line and column; only a scenario without errors is returned. [`explain`] says what a field means, [`library`] holds
//! the scenarios built into the program.
//!
//! Invariants: files are opened in [`files`](Disk) only; the same text, settings and files give the same scenario.
//!
//! Not here: how YAML and manifests are read (`manifests`), what runs (`engine`), how expectations are judged (`reports`).

mod catalog;
mod check;
mod comparison;
mod cx;
mod digest;
mod draft;
mod files;
mod format;
mod import;
pub mod library;
mod load;
mod lower;
mod owned;
mod set;

pub use catalog::engine_objects;
pub use comparison::{Compared, Comparison, comparison, is_comparison};
pub use draft::{Draft, draft};
pub use files::{Disk, FileSource};
pub use format::{explain, schema};
pub use import::{Import, ImportOptions, import};
pub use load::{Known, KnownMetric, KnownUnit, Options, PolicyConfig, Scenario, load, resolved_yaml};
pub use lower::fault_list as faults;
