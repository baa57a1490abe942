//! JUnit: a suite per scenario, a case per expectation and per metric of the baseline.
//!
//! What failed is a failure; what could not be judged, and a run that was stopped, is an error; what was left out is
//! skipped. A warning of the scenario is a case that passes and says so.
//!
//! Invariant: no time of the machine's is in it, so that equal runs give equal bytes.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{expectation, standing_text, what_came};
use crate::gate::{Change, Standing, Tested};
use crate::verdict::{Judged, Outcome};

/// The document.
#[must_use]
pub fn junit(all: &[Tested]) -> String {
    let mut report = Report::new("wavetank");
    all.iter().for_each(|tested| {
        report.add_test_suite(suite(tested));
    });
    // Writing to memory cannot fail.
    report.to_string().unwrap_or_default()
}

fn suite(tested: &Tested) -> TestSuite {
    let mut suite = TestSuite::new(tested.title());
    let seeds: Vec<String> = tested.runs.iter().map(|run| run.seed.to_string()).collect();
    let digest = tested.runs.first().map_or("", |run| &run.scenario_digest);
    for (name, value) in [("source", &*tested.source), ("policy", &*tested.policy), ("seeds", &seeds.join(",")), ("scenarioDigest", digest)]
    {
        if !value.is_empty() {
            suite.add_property(Property::new(name, value));
        }
    }
    let mut cases: Vec<TestCase> = vec![run_case(tested)];
    cases.extend(tested.verdict.expectations.iter().map(expectation_case));
    if let Some(against) = &tested.against {
        if against.standings.is_empty() {
            let mut case = TestCase::new("baseline", TestCaseStatus::success());
            case.set_system_out(against.conclusion());
            cases.push(case);
        }
        cases.extend(against.standings.iter().map(standing_case));
    }
    for mut case in cases {
        case.set_classname(tested.title());
        suite.add_test_case(case);
    }
    suite
}

/// Whether it came to its end at all.
fn run_case(tested: &Tested) -> TestCase {
    let mut status = TestCaseStatus::success();
    if tested.was_skipped() {
        status = TestCaseStatus::skipped();
        status.set_message("left out after an earlier failure");
    } else if !tested.stopped.is_empty() {
        status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let stopped: Vec<String> = tested.stopped.iter().map(|(seed, why)| format!("seed {seed} was stopped: {why}")).collect();
        status.set_message(stopped.join("; ")).set_type("stopped");
    }
    TestCase::new("runs to its end", status)
}

fn expectation_case(judged: &Judged) -> TestCase {
    let decides = &*judged.severity == "error";
    let came = what_came(judged);
    let status = match judged.outcome {
        Outcome::Fail if decides => non_success(NonSuccessKind::Failure, &came, "expectation"),
        Outcome::Inconclusive if decides => non_success(NonSuccessKind::Error, &came, "no data"),
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(expectation(judged), status);
    if decides || judged.outcome == Outcome::Pass {
        case.set_system_out(came);
    } else {
        case.set_system_out(format!("{}, which decides nothing: {came}", judged.severity));
    }
    case
}

fn standing_case(standing: &Standing) -> TestCase {
    let name = format!("baseline: {}", standing.row.title());
    if standing.change == Change::Worse {
        return TestCase::new(name, non_success(NonSuccessKind::Failure, &standing_text(standing), "regression"));
    }
    let mut case = TestCase::new(name, TestCaseStatus::success());
    case.set_system_out(standing.change.as_str());
    case
}

fn non_success(kind: NonSuccessKind, message: &str, ty: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_type(ty);
    status
}
