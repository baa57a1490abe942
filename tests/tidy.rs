//! The house's own rules, as far as a machine can read them. Each failure says which file and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project, by its path from the root.
fn rust_files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for room in ["cli", "sim", "schedulers", "scenarios", "reports", "tests", "benches"] {
        collect(&root().join(room), &mut files);
    }
    assert!(files.len() > 50, "found only {} Rust files: is the room list right?", files.len());
    files
}

fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn refuse(problems: Vec<String>, rule: &str) {
    assert!(problems.is_empty(), "{rule}\n{}", problems.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let without = rust_files().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    refuse(without, "open the file with `//!`: what it is, its invariants, what is deliberately not in it");
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let words = [concat!("FIX", "ME"), concat!("XX", "X:"), concat!("db", "g!("), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut left = Vec::new();
    for (name, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                left.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    refuse(left, "finish it, or open an issue");
}

/// Which package may know which: the arrows of the house.
const ARROWS: &[(&str, &[&str])] = &[
    ("sim/api", &[]),
    ("sim/manifests", &["api"]),
    ("sim/port", &["api"]),
    ("sim/trace", &["api"]),
    ("sim/engine", &["api", "port", "trace"]),
    ("schedulers", &["api", "port"]),
    ("scenarios", &["api", "manifests", "engine", "trace"]),
    ("reports", &["api", "trace"]),
];

#[test]
fn packages_know_only_what_the_arrows_allow() {
    let rooms: Vec<&str> = ARROWS.iter().map(|(path, _)| path.rsplit('/').next().unwrap()).collect();
    let mut wrong = Vec::new();
    for (path, allowed) in ARROWS {
        let text = fs::read_to_string(root().join(path).join("Cargo.toml")).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        for line in dependencies.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            if rooms.contains(&name) && !allowed.contains(&name) {
                wrong.push(format!("{path} depends on {name}"));
            }
        }
    }
    refuse(wrong, "an arrow that is not in the plan (ARCHITECTURE.md): move the code, or change the plan on purpose");
}

/// Which rooms of the engine may use which others, beside spec, random, event and effects, which all may use.
const ENGINE_ARROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("random", &[]),
    ("spec", &[]),
    ("event", &["store"]),
    ("effects", &["store", "kubelet", "traffic"]),
    ("store", &[]),
    ("controllers", &["store"]),
    ("scheduling", &["store", "controllers"]),
    ("kubelet", &["store", "controllers", "traffic"]),
    ("traffic", &["store", "kubelet"]),
    ("faults", &["store", "controllers", "kubelet"]),
];

#[test]
fn rooms_of_the_engine_do_not_reach_into_each_other() {
    const COMMON: &[&str] = &["spec", "random", "event", "effects"];
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        let Some(inner) = name.strip_prefix("sim/engine/src/") else { continue };
        let room = inner.split(['/', '.']).next().unwrap();
        let Some((_, allowed)) = ENGINE_ARROWS.iter().find(|(known, _)| *known == room) else { continue };
        let body = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in body.lines().enumerate() {
            for reached in line.split("crate::").skip(1) {
                let target: String = reached.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = ENGINE_ARROWS.iter().any(|(other, _)| *other == target) || target == "world";
                if known && target != room && !COMMON.contains(&target.as_str()) && !allowed.contains(&target.as_str()) {
                    wrong.push(format!("{name}:{}: {room} uses {target}", number + 1));
                }
            }
        }
    }
    refuse(wrong, "rooms read and return effects; the world connects them");
}

#[test]
fn every_record_is_documented() {
    let source = fs::read_to_string(root().join("sim/trace/src/record.rs")).unwrap();
    let body = source.split("pub enum Record {").nth(1).unwrap();
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()) && line.ends_with('{'))
        .map(|line| line.trim_end_matches(['{', ' ']))
        .collect();
    assert!(variants.len() > 20, "the enum was not understood: {variants:?}");
    let docs = fs::read_to_string(root().join("docs/trace.md")).unwrap();
    let missing = variants.into_iter().filter(|name| !docs.contains(&format!("| `{name}` |"))).map(str::to_owned).collect();
    refuse(missing, "name these records in docs/trace.md");
}

#[test]
fn docs_name_files_that_are_there() {
    let mut missing = Vec::new();
    for doc in [
        "README.md",
        "ARCHITECTURE.md",
        "docs/ci.md",
        "docs/exports.md",
        "docs/fidelity.md",
        "docs/performance.md",
        "docs/trace.md",
        "docs/writing-a-scheduler.md",
    ] {
        let text = fs::read_to_string(root().join(doc)).unwrap_or_default();
        if text.is_empty() {
            missing.push(format!("{doc} is not there"));
        }
        for name in text.split('`').skip(1).step_by(2) {
            let looks_like_a_path = name.contains('/')
                && !name.contains([' ', '<', '*', '{', '$', ':', '→', ','])
                && ["sim/", "cli/", "schedulers/", "scenarios/", "reports/", "tests/", "benches/", "docs/"]
                    .iter()
                    .any(|room| name.starts_with(room));
            if looks_like_a_path && !root().join(name).exists() {
                missing.push(format!("{doc} names `{name}`"));
            }
        }
    }
    refuse(missing, "the docs name what the code has");
}

/// docs/fidelity.md lists what simulators most easily get wrong, row by row with the tests that hold it.
#[test]
fn every_trap_has_a_test_and_every_test_of_one_is_listed() {
    let docs = fs::read_to_string(root().join("docs/fidelity.md")).unwrap();
    let section = docs.split("### What simulators most easily get wrong").nth(1).unwrap().split("\n### ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>(), "the rows of the list");
    let listed: Vec<&str> = rows.iter().flat_map(|row| row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    let without = rows.iter().filter(|row| !row.contains("`the_trap_of_")).map(|row| format!("no test in {row}"));
    let mut wrong: Vec<String> = without.collect();
    let files = rust_files();
    let is_test = |name: &str| {
        let head = format!("#[test]\nfn {name}()");
        files.values().any(|text| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n").contains(&head))
    };
    wrong.extend(listed.iter().filter(|name| !is_test(name)).map(|name| format!("docs/fidelity.md names `{name}`, which is no test")));
    for (name, text) in &files {
        for test in text.lines().filter_map(|line| line.trim_start().strip_prefix("fn the_trap_of_")) {
            let test = format!("the_trap_of_{}", test.split('(').next().unwrap());
            if !listed.contains(&&*test) {
                wrong.push(format!("{name}: {test} is not listed"));
            }
        }
    }
    refuse(wrong, "docs/fidelity.md, \"What simulators most easily get wrong\", names the tests of each row");
}
