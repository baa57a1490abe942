//! Whole install manifests of well-known projects read without an error and with few warnings.
//!
//! They are other people's files and not kept here: `WAVETANK_PUBLIC_MANIFESTS` names a directory with a folder for
//! each install (Online Boutique, kube-prometheus, Argo CD, …); without it the test says that it did nothing.

use std::path::{Path, PathBuf};

use wavetank_manifests::{Budget, Options, Problems, SourceFile, documents_within, read_documents, render};

/// The YAML files below `folder`, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn public_install_manifests_read_without_an_error_and_with_few_warnings() {
    let Some(folder) = std::env::var_os("WAVETANK_PUBLIC_MANIFESTS") else {
        eprintln!("WAVETANK_PUBLIC_MANIFESTS is not set: no manifests read");
        return;
    };
    for entry in std::fs::read_dir(folder).expect("a directory") {
        let install = entry.expect("an entry").path();
        let mut problems = Problems::default();
        let (mut documents, mut names) = (Vec::new(), 0);
        for path in files(&install) {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            documents.extend(documents_within(&SourceFile::new(&path.display().to_string(), &text), Budget::MANIFESTS, &mut problems));
            names += 1;
        }
        let objects = read_documents(&documents, &Options::default(), &mut problems);
        assert!(names > 0 && !objects.deployments.is_empty(), "{}", install.display());
        assert!(!problems.has_errors() && problems.warning_count() <= 5, "{}", render(&problems, false));
    }
}
