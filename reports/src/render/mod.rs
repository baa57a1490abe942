//! How results are said: terminal text, one JSON document, tidy CSV, one page.
//!
//! Invariants: every function is pure; what it gives depends on its arguments alone.

mod causes;
mod comparison;
mod csv;
mod decisions;
mod difference;
mod explanation;
mod gate;
mod json;
mod page;
mod record;
mod search;
mod sweep;
mod table;
mod text;

pub use self::comparison::{comparison_csv, comparison_text, signed};
pub use self::csv::{CsvPoint, metrics_csv, points_csv};
pub use self::search::search_text;
pub use difference::{difference_document, difference_text, parting_lines};
pub(crate) use explanation::reasons;
pub use explanation::{ExplanationOptions, conclusion, explanation};
pub use gate::{
    Annotation, Level, baseline_text, check_document, check_text, gate_conclusion, github_annotations, junit, summary, tested_annotations,
};
pub use json::{document, findings, job};
pub use page::{PAGE_LIMIT_BYTES, PageOptions, comparison_page, page, search_page, sweep_page};
pub(crate) use record::{record_kind, record_words};
pub use sweep::sweep_text;
pub use table::Table;
pub(crate) use text::magnitude;
pub use text::{TextOptions, text};
