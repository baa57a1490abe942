//! What tests of the whole program share: running it, and looking at what it left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program under test.
pub(crate) fn wavetank() -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_wavetank")))
}

/// Another build of the program, run as [`wavetank`] is.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(root()).env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1").env("CI", "true").arg("--quiet");
    command
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command and returns what it printed, or everything it said when its exit code is another.
#[allow(dead_code, reason = "not every test expects success")]
pub(crate) fn expect_exit(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    assert_eq!(status.code(), Some(code), "{command:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    stdout
}

/// Every file below `folder` with its bytes, without the one that may differ between equal runs.
#[allow(dead_code, reason = "not every test compares directories")]
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("run.meta.json") {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
