//! What users give us, read: YAML and JSON documents, real Kubernetes manifests, and everything wrong with them.
//!
//! A text becomes documents ([`documents`]), a document's parts become typed structs ([`typed`]) or Kubernetes
//! objects; whatever is wrong is collected in [`Problems`], at its file, line and column, and shown by [`render`].
//! Scenario files use the same mechanism.
//!
//! ```
//! use wavetank_manifests::{Options, Problems, SourceFile, documents, read_documents, render};
//!
//! let source = SourceFile::new("cart.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: Shop}\n");
//! let mut problems = Problems::default();
//! let found = documents(&source, &mut problems);
//! let objects = read_documents(&found, &Options::default(), &mut problems);
//! assert_eq!(objects.namespaces.len(), 1);
//! assert!(problems.has_errors());
//! assert!(render(&problems, false).contains("cart.yaml:3:18"));
//! ```
//!
//! Not here: opening files (`cli`), the scenario format (`scenarios`), the rooms that use the objects.

mod admission;
mod check;
mod convert;
mod diagnostic;
mod fidelity;
mod kinds;
mod locate;
mod locate_json;
mod nearest;
mod objects;
mod read;
mod render;
mod rules;
mod source;
mod typed;
mod yaml;

pub use admission::{SYSTEM_PRIORITY_CLASSES, priority_of};
pub use diagnostic::{Diagnostic, Location, Problems, Severity, location};
pub use fidelity::{explain_object, fidelity_tables};
pub use locate::{Part, Span, locate};
pub use nearest::{did_you_mean, suggestion};
pub use objects::{Carried, Found, FoundWorkload, Objects, Options, Origin};
pub use read::{read, read_documents};
pub use render::{render, summary, to_json};
pub use rules::{Rule, rule, rules};
pub use source::{Inclusion, Pointer, SourceFile};
pub use typed::{UnknownFields, typed, typed_so_far};
pub use yaml::{Budget, Document, documents, documents_within};
