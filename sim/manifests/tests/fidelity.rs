//! docs/fidelity.md says what the code says: its tables of kinds and fields are made of the same data as the warnings.
//!
//! `WAVETANK_ACCEPT=1 cargo test -p wavetank-manifests --test fidelity` writes them anew.

use std::fs;
use std::path::Path;

use wavetank_manifests::fidelity_tables;

const BEGIN: &str = "<!-- made by sim/manifests/tests/fidelity.rs: begin -->\n";
const END: &str = "<!-- made by sim/manifests/tests/fidelity.rs: end -->\n";

#[test]
fn the_document_has_the_tables_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fidelity.md");
    let document = fs::read_to_string(&path).expect("docs/fidelity.md");
    let (before, rest) = document.split_once(BEGIN).expect("the beginning's mark");
    let (tables, after) = rest.split_once(END).expect("the end's mark");
    let made = format!("\n{}\n", fidelity_tables());
    if std::env::var_os("WAVETANK_ACCEPT").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).expect("docs/fidelity.md is written");
        return;
    }
    assert!(tables == made, "docs/fidelity.md is behind; WAVETANK_ACCEPT=1 brings it up to date");
}
