//! page
use crate::{Measures, Verdict};
/// x
#[derive(Default)]
pub struct PageOptions {}
/// x
#[must_use]
pub fn page(_: &[Measures], _: &Verdict) -> String {
    String::new()
}
