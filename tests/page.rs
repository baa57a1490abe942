//! The page, in a real browser: every chart is drawn and nothing complains.
//!
//! Needs Chromium. Where there is none the test says so and passes, unless WAVETANK_REQUIRE_CHROMIUM is set.

#![expect(clippy::print_stdout, reason = "a test says what it could not do here")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{expect_exit, wavetank};

fn chromium() -> Option<PathBuf> {
    let found =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].iter().map(PathBuf::from).find(|path| path.exists());
    assert!(found.is_some() || std::env::var_os("WAVETANK_REQUIRE_CHROMIUM").is_none(), "Chromium is required here and not installed");
    found
}

/// The page's document after its scripts have run, and what the browser's console said.
fn opened(browser: &Path, page: &Path) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--window-size=1280,2000",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn attribute(document: &str, name: &str) -> Option<u32> {
    let html = document.split("<html").nth(1)?.split('>').next()?;
    html.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok()
}

#[test]
fn the_page_of_each_kind_of_story_opens_without_a_complaint() {
    let Some(browser) = chromium() else {
        println!("not run: no Chromium here");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    for (name, exit) in [("black-friday-40x", 0), ("black-friday-40x-no-autoscaling", 4), ("node-failure-2am", 0), ("broken-release", 0)] {
        expect_exit(wavetank().args(["run", name, "--out"]).arg(scratch.path()).args(["--seed", "1"]), exit);
        let page = scratch.path().join(name).join("report.html");
        let size = std::fs::metadata(&page).unwrap().len();
        assert!(size <= 2_000_000, "{name}: the page has {size} bytes");
        let (document, console) = opened(&browser, &page);
        let complaints: Vec<&str> = console.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
        assert_eq!(attribute(&document, "data-errors"), Some(0), "{name}: a script failed");
        let figures = document.matches("<figure").count() as u32;
        let charts = attribute(&document, "data-charts").unwrap_or(0);
        assert!(charts >= 5 && figures >= charts, "{name}: {charts} of {figures} charts were drawn");
    }
}
