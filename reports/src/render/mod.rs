//! How results are said: terminal text, one JSON document, tidy CSV, one page.
//!
//! Invariants: every function is pure; what it gives depends on its arguments alone.

mod causes;
mod comparison;
mod csv;
mod explanation;
mod json;
mod page;
mod search;
mod sweep;
mod table;
mod text;

pub use self::comparison::{comparison_csv, comparison_text, signed};
pub use self::csv::{CSV_HEADER, CsvPoint, metrics_csv, points_csv};
pub use self::search::search_text;
pub use explanation::{ExplanationOptions, conclusion, explanation};
pub use json::{document, findings, job};
pub use page::{PageOptions, page, page_with};
pub use sweep::sweep_text;
pub use table::Table;
pub(crate) use text::magnitude;
pub use text::{TextOptions, text};
