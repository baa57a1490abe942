//! The pages, in a real browser: every chart is drawn, nothing complains, everybody can read and reach them.
//!
//! Needs Chromium, and axe-core for what it checks (`.ci/run` installs both). Where they are missing the test says so
//! and passes, unless WAVETANK_REQUIRE_CHROMIUM or WAVETANK_REQUIRE_AXE is set.

#![expect(clippy::print_stdout, reason = "a test says what it could not do here")]

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::fs;
use std::path::{Path, PathBuf};

use browser::Browser;
use common::{expect_exit, root, wavetank};
use serde_json::{Value, json};

const SHOP: &str = "tests/broken/fine.yaml";

/// The source of axe-core: what WAVETANK_AXE names, else what `.ci/run` fetched.
fn axe() -> Option<String> {
    let path = std::env::var_os("WAVETANK_AXE").map_or_else(|| root().join("target/tools/axe-core/package/axe.min.js"), PathBuf::from);
    let found = fs::read_to_string(&path).ok();
    assert!(found.is_some() || std::env::var_os("WAVETANK_REQUIRE_AXE").is_none(), "axe-core is required here; not at {}", path.display());
    if found.is_none() {
        println!("not run: no axe-core at {}", path.display());
    }
    found
}

/// What a page must hold to in the browser: all charts drawn, a silent console, and no violation in either theme.
fn check(browser: &mut Browser, axe: Option<&str>, name: &str, page: &Path) {
    let size = fs::metadata(page).unwrap().len();
    assert!(size <= 2_000_000, "{name}: the page has {size} bytes");
    browser.open(page);
    assert_eq!(browser.eval("document.documentElement.dataset.errors"), "0", "{name}: a script failed");
    assert!(browser.eval("document.documentElement.scrollWidth <= innerWidth") == true, "{name}: it scrolls sideways");
    assert!(browser.console.is_empty(), "{name}: {:#?}", browser.console);
    let Some(axe) = axe else { return };
    // DevTools put axe into the page as it is; only the policy that keeps scripts out is lifted, and for this alone.
    browser.call("Page.setBypassCSP", json!({ "enabled": true }));
    browser.open(page);
    browser.eval(&format!("{axe}; document.querySelectorAll('details').forEach((one) => {{ one.open = true; }}); true"));
    for theme in ["light", "dark"] {
        browser.eval(&format!("document.documentElement.dataset.theme === '{theme}' || (document.documentElement.dataset.theme = '{theme}', dispatchEvent(new Event('themechange')))"));
        let found = browser.eval(
            "axe.run(document, { resultTypes: ['violations'] }).then((result) => ({ passes: result.passes.length, violations: \
             result.violations.map((one) => `${one.impact} ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html)}`) }))",
        );
        assert_eq!(found["violations"], Value::Array(vec![]), "{name}, {theme}");
        assert!(found["passes"].as_u64().unwrap() > 20, "{name}, {theme}: axe looked at nothing");
    }
    browser.call("Page.setBypassCSP", json!({ "enabled": false }));
}

#[test]
fn the_page_of_each_kind_of_story_opens_without_a_complaint_for_everybody() {
    let Some(mut browser) = Browser::start() else {
        println!("not run: no Chromium here");
        return;
    };
    let (scratch, axe) = (tempfile::tempdir().unwrap(), axe());
    for (name, exit) in [("black-friday-40x", 0), ("black-friday-40x-no-autoscaling", 4), ("node-failure-2am", 0), ("broken-release", 0)] {
        expect_exit(wavetank().args(["run", name, "--out"]).arg(scratch.path()).args(["--seed", "1"]), exit);
        check(&mut browser, axe.as_deref(), name, &scratch.path().join(name).join("report.html"));
        let count = |browser: &mut Browser, what: &str| browser.eval(what).as_u64().unwrap_or(0);
        let figures = count(&mut browser, "document.querySelectorAll('figure').length");
        let charts = count(&mut browser, "Number(document.documentElement.dataset.charts)");
        assert!(charts >= 5 && figures >= charts, "{name}: {charts} of {figures} charts were drawn");
    }
}

#[test]
fn the_pages_of_comparisons_sweeps_and_searches_open_without_a_complaint_for_everybody() {
    let Some(mut browser) = Browser::start() else {
        println!("not run: no Chromium here");
        return;
    };
    let (scratch, axe) = (tempfile::tempdir().unwrap(), axe());
    let rate = "spec.traffic.sources[name=shoppers].rate=20/s,80/s,200/s";
    let count = "spec.cluster.nodePools[0].count=1,2";
    let range = "spec.traffic.sources[name=shoppers].rate=20/s..2000/s";
    let works: [(&str, &str, &[&str]); 5] = [
        (
            "comparison",
            "compare-shop",
            &["compare", SHOP, "-p", "default", "-p", "bin-pack", "--variant", "small:spec.cluster.nodePools[0].count=1"],
        ),
        ("curve", "sweep-shop", &["sweep", SHOP, "-p", "default", "-p", "bin-pack", "--param", rate]),
        ("map", "sweep-shop", &["sweep", SHOP, "--param", rate, "--param", count]),
        ("search", "search-shop", &["search", SHOP, "--param", range, "--tolerance", "400/s", "--metric", "availability >= 99%"]),
        (
            "scattered",
            "sweep-shop",
            &["sweep", SHOP, "--lhs", "5", "--param", "spec.traffic.sources[name=shoppers].rate=20/s..200/s", "--param", count],
        ),
    ];
    for (name, folder, words) in works {
        let out = scratch.path().join(name);
        let told = expect_exit(wavetank().args(words).args(["--until", "2m", "--seeds", "1..3", "--out"]).arg(&out), 0);
        let page = out.join(folder).join("report.html");
        assert!(told.contains(&format!("report  {}", page.display())), "{told}");
        check(&mut browser, axe.as_deref(), name, &page);
        let pictures = browser.eval("document.querySelectorAll('svg.plot:not(.mark), .maps table, .lane').length");
        assert!(pictures.as_u64() >= Some(1), "{name}: nothing is drawn");
    }
    // A page is left out when asked, and what is there is not the last time's.
    let again = ["--resume", "--no-report", "--until", "2m", "--seeds", "1..3", "--out"];
    expect_exit(wavetank().args(works[2].2).args(again).arg(scratch.path().join("map")), 0);
    assert!(!scratch.path().join("map/sweep-shop/report.html").exists());
}

#[test]
fn the_keyboard_reaches_everything_in_the_order_of_reading_and_moves_the_charts() {
    let Some(mut browser) = Browser::start() else {
        println!("not run: no Chromium here");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    expect_exit(wavetank().args(["run", "node-failure-2am", "--seed", "1", "--out"]).arg(scratch.path()), 0);
    browser.open(&scratch.path().join("node-failure-2am/report.html"));
    // Everything that can take the focus, in the order of the document; radios of one group are one stop.
    let expected = browser.eval(
        "window.stops = [...document.querySelectorAll('a[href], button, select, input, summary, [tabindex]')]\
         .filter((one) => one.checkVisibility() && one.tabIndex === 0 && !(one.type === 'radio' && !one.checked)); stops.length",
    );
    let expected = expected.as_u64().unwrap();
    assert!(expected > 25, "{expected} stops");
    assert_eq!(browser.eval("document.querySelectorAll('[tabindex]:not([tabindex=\"0\"]):not([tabindex=\"-1\"])').length"), 0);
    for stop in 0..expected {
        browser.press("Tab");
        let at = browser.eval("stops.indexOf(document.activeElement)");
        assert_eq!(at, stop, "stop {stop}: {}", browser.eval("document.activeElement.outerHTML.slice(0, 200)"));
        let ring = browser.eval("getComputedStyle(document.activeElement).outlineStyle !== 'none' || getComputedStyle(document.activeElement).outlineWidth !== '0px'");
        assert_eq!(ring, true, "stop {stop} has no ring");
    }
    // On a chart, plus zooms: all charts follow, the events are filtered, and Escape shows all again.
    let rows = |browser: &mut Browser| browser.eval("document.getElementById('f-count').textContent").as_str().unwrap().to_owned();
    let all = rows(&mut browser);
    browser.eval("document.querySelector('.live').focus()");
    for _ in 0..4 {
        browser.press("+");
    }
    browser.wait_for("!document.getElementById('brush').hidden");
    assert_ne!(rows(&mut browser), all, "the events are filtered");
    browser.press("Escape");
    browser.wait_for("document.getElementById('brush').hidden");
    assert_eq!(rows(&mut browser), all);
    assert!(browser.console.is_empty(), "{:#?}", browser.console);
}

#[test]
fn without_scripts_there_are_pictures_tables_and_a_word_about_it() {
    let Some(mut browser) = Browser::start() else {
        println!("not run: no Chromium here");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    expect_exit(wavetank().args(["run", "node-failure-2am", "--seed", "1", "--out"]).arg(scratch.path()), 0);
    let page = scratch.path().join("node-failure-2am/report.html");
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.call("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
    browser.wait_for("location.protocol === 'file:' && document.readyState === 'complete'");
    assert_eq!(browser.eval("document.documentElement.classList.contains('js')"), false, "scripts ran");
    assert_eq!(
        browser.eval("document.querySelector('noscript p') !== null && document.querySelector('noscript p').checkVisibility()"),
        true
    );
    assert_eq!(browser.eval("[...document.querySelectorAll('.js-only')].some((one) => one.checkVisibility())"), false);
    assert!(
        browser.eval("[...document.querySelectorAll('.static svg')].filter((one) => one.checkVisibility()).length").as_u64() >= Some(4)
    );
    assert!(browser.eval("document.querySelectorAll('#f-rows tr').length").as_u64() > Some(5));
}
