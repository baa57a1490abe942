//! Every object of the recorded scheduler cases reads without an error.
//!
//! The cases are looked for in the directory that `WAVETANK_SHARED` names; without it the test says that it did nothing.

use std::io::Read;
use std::path::{Path, PathBuf};

use wavetank_manifests::{Budget, Options, Problems, SourceFile, documents_within, read_documents, render};

fn text_of(case: &Path, name: &str) -> Option<String> {
    let plain = case.join(name);
    if plain.exists() {
        return std::fs::read_to_string(plain).ok();
    }
    let mut text = String::new();
    let file = std::fs::File::open(case.join(format!("{name}.gz"))).ok()?;
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn every_scheduler_case_reads_without_an_error() {
    let Some(shared) = std::env::var_os("WAVETANK_SHARED") else {
        eprintln!("WAVETANK_SHARED is not set: no cases read");
        return;
    };
    let cases = PathBuf::from(shared).join("conformance/scheduler/cases");
    let mut read = 0;
    for entry in std::fs::read_dir(&cases).expect("the directory of cases") {
        let case = entry.expect("an entry").path();
        let mut problems = Problems::default();
        let (mut documents, mut pods) = (Vec::new(), 0);
        for name in ["cluster.yaml", "queue.yaml"] {
            let text = text_of(&case, name).expect("a readable file");
            let source = SourceFile::new(&format!("{}/{name}", case.display()), &text);
            documents.extend(documents_within(&source, Budget::MANIFESTS, &mut problems));
            pods += ["kind: Pod\n", "\"kind\":\"Pod\"", "\"kind\": \"Pod\""].iter().map(|kind| text.matches(kind).count()).sum::<usize>();
        }
        let objects = read_documents(&documents, &Options { fidelity: false, ..Options::default() }, &mut problems);
        assert!(problems.is_empty(), "{}", render(&problems, false));
        assert_eq!((objects.pods.len(), objects.carried.len()), (pods, 0), "{}", case.display());
        read += objects.nodes.len() + objects.pods.len();
    }
    assert!(read > 10_000, "{read} nodes and pods read");
}
