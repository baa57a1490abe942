//! What users give us, read: YAML and JSON documents, real Kubernetes manifests, and everything wrong with them.
//!
//! A text becomes documents ([`documents`]), a document's parts become typed structs ([`typed`]) or Kubernetes
//! objects; whatever is wrong is collected in [`Problems`], at its file, line and column, and shown by [`render`].
//! Scenario files use the same mechanism.
//!
//! Not here: opening files (`cli`), the scenario format (`scenarios`), the rooms that use the objects.

mod diagnostic;
mod locate;
mod nearest;
mod render;
mod rules;
mod source;
mod typed;
mod yaml;

pub use diagnostic::{Diagnostic, Location, Problems, Severity, location};
pub use locate::{Part, Span, locate};
pub use nearest::{did_you_mean, suggestion};
pub use render::{render, summary, to_json};
pub use rules::{Rule, rule, rules};
pub use source::{Inclusion, Pointer, SourceFile};
pub use typed::{UnknownFields, typed};
pub use yaml::{Budget, Document, documents, documents_within};
