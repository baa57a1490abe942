//! What `wavetank validate` says about broken files: every problem, its place, what is accepted, what to do.

mod common;

use std::process::Output;

use common::{root, wavetank};

/// Exit code and everything printed, for one file of tests/broken.
fn validate(name: &str) -> String {
    let Output { status, stdout, stderr } =
        wavetank().args(["validate", &format!("tests/broken/{name}.yaml")]).output().expect("the program starts");
    format!("exit {}\n{}{}", status.code().unwrap_or(-1), String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

#[test]
fn the_file_that_the_broken_ones_are_made_from_is_fine() {
    let printed = validate("fine");
    assert!(printed.starts_with("exit 0\n"), "{printed}");
}

#[test]
fn every_broken_file_is_refused_with_its_place_and_a_way_out() {
    let mut names: Vec<String> = std::fs::read_dir(root().join("tests/broken"))
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned))
        .filter(|name| name != "fine")
        .collect();
    names.sort();
    assert_eq!(names.len(), 10);
    for name in names {
        let printed = validate(&name);
        assert!(printed.starts_with("exit 3\n"), "{name}: {printed}");
        assert!(printed.contains(&format!("tests/broken/{name}.yaml:")), "{name} names no place: {printed}");
        insta::assert_snapshot!(name, printed);
    }
}
