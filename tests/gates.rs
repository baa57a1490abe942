//! The gate of a pipeline: the suite of `scenarios/ci`, its baseline, and the verdict that never changes by itself.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use common::{expect_exit, root, wavetank};

/// Images come at a quarter of the speed.
const SLOWER_PULL: &str = "spec.cluster.nodePools[name=general].imagePullBandwidth=16Mi";

fn run(out: &Path, flags: &[&str]) -> Command {
    let mut command = wavetank();
    command.args(["run", "scenarios/ci", "--out"]).arg(out).args(flags);
    command
}

fn check(out: &Path, baseline: &Path, flags: &[&str]) -> Command {
    let mut command = wavetank();
    command.arg("check").arg(out).arg("--baseline").arg(baseline).args(flags);
    command
}

#[test]
fn the_suite_passes_unchanged_and_not_when_images_come_slower_or_too_much_is_expected() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let (out, slow, strict, baseline) = (place("out"), place("slow"), place("strict"), place("main.json"));
    let told = expect_exit(run(&out, &["--junit"]).arg(place("junit.xml")).arg("--summary").arg(place("summary.md")), 0);
    assert!(told.ends_with("all 3 scenarios are as expected\n"), "{told}");
    let (junit, summary) = (fs::read_to_string(place("junit.xml")).unwrap(), fs::read_to_string(place("summary.md")).unwrap());
    assert!(junit.contains("<testsuites name=\"wavetank\"") && junit.contains("failures=\"0\" errors=\"0\""), "{junit}");
    assert!(summary.starts_with("### ✅ wavetank: all 3 scenarios") && summary.contains("xychart-beta"), "{summary}");

    let told = expect_exit(wavetank().args(["baseline", "save"]).arg(&out).arg("-o").arg(&baseline), 0);
    assert!(told.contains("3 scenarios"), "{told}");
    let told = expect_exit(&mut check(&out, &baseline, &[]), 0);
    assert_eq!(told.matches("the same bytes as the baseline").count(), 3, "{told}");
    expect_exit(wavetank().args(["baseline", "diff"]).arg(&out).arg("--baseline").arg(&baseline), 0);

    // A gate that compares nothing is not open.
    expect_exit(&mut run(&strict, &["-k", "rollout", "--seed", "77"]), 0);
    expect_exit(&mut check(&strict, &baseline, &[]), 3);
    let another = ["run", "scenarios/ci/rollout.yaml", "--seed", "1", "--set", "metadata.name=another", "--out"];
    expect_exit(wavetank().args(another).arg(&strict), 0);
    expect_exit(wavetank().arg("check").arg(strict.join("another")).arg("--baseline").arg(&baseline), 7);
    expect_exit(&mut run(&strict, &["-k", "rollout", "--max-events", "40"]), 8);
    expect_exit(&mut check(&strict.join("rollout"), &baseline, &[]), 8);
    expect_exit(wavetank().args(["baseline", "accept"]).arg(strict.join("rollout")).arg("--baseline").arg(&baseline), 3);
    fs::remove_dir_all(&strict).unwrap();

    // Everything still holds, and yet it has become worse.
    expect_exit(&mut run(&slow, &["--set", SLOWER_PULL]), 0);
    let told = expect_exit(&mut check(&slow, &baseline, &[]), 5);
    let worse: Vec<&str> = told.lines().filter(|line| line.trim_start().starts_with("WORSE")).collect();
    assert!(worse.iter().any(|line| line.contains("rollout.duration(workload=deployment/web)")), "{told}");
    let output = check(&slow, &baseline, &["--exit-zero", "--annotations", "github"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.lines().any(|line| line.starts_with("::error file=scenarios/ci/rollout.yaml,line=5")), "{said}");
    expect_exit(wavetank().args(["baseline", "diff"]).arg(&slow).arg("--baseline").arg(&baseline), 6);

    // What does not matter to somebody is a margin of the baseline, and survives what is accepted later.
    let (lenient, margins) = (place("lenient.json"), ["--margin", "rollout.duration=40s", "--margin", "pods.startup=30s"]);
    expect_exit(wavetank().args(["baseline", "save"]).arg(&out).args(margins).arg("-o").arg(&lenient), 0);
    let told = expect_exit(&mut check(&slow, &lenient, &[]), 0);
    assert!(!told.contains("WORSE") && !told.contains("identical, 0 metrics"), "{told}");
    expect_exit(wavetank().args(["baseline", "save"]).arg(&out).arg("-o").arg(&lenient), 3);
    expect_exit(wavetank().args(["baseline", "accept"]).arg(&out).arg("--baseline").arg(&lenient), 0);
    expect_exit(&mut check(&slow, &lenient, &[]), 0);

    // What is expected comes before what was.
    let strict_flags = ["-k", "roll", "--set", SLOWER_PULL, "--set", "spec.expectations[1].value=50s"];
    expect_exit(&mut run(&strict, &strict_flags), 4);
    expect_exit(&mut check(&strict, &baseline, &[]), 4);
    let document = expect_exit(&mut check(&strict, &baseline, &["-o", "json", "--exit-zero"]), 0);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["passed"], document["scenarios"].as_array().map(Vec::len)), (&false.into(), Some(1)));

    // Agreed to, it is the new baseline.
    let told = expect_exit(wavetank().args(["baseline", "accept"]).arg(&slow).arg("--baseline").arg(&baseline), 0);
    assert_eq!(told.matches(": changed").count(), 3, "{told}");
    expect_exit(&mut check(&slow, &baseline, &[]), 0);
    let before = fs::read(&baseline).unwrap();
    expect_exit(wavetank().args(["baseline", "accept"]).arg(&slow).arg("--baseline").arg(&baseline), 0);
    assert_eq!(fs::read(&baseline).unwrap(), before, "accepting what is there already changes nothing");
    assert!(expect_exit(wavetank().args(["baseline", "show"]).arg(&baseline), 0).contains("rollout.duration"));
}

#[test]
fn the_first_failure_leaves_the_rest_out_when_asked_to() {
    let scratch = tempfile::tempdir().unwrap();
    let junit = scratch.path().join("junit.xml");
    let flags = ["--fail-fast", "--seed", "1", "--set", "spec.expectations[0]={metric: pods.ready, stat: min, op: \">=\", value: 1000}"];
    let told = expect_exit(run(scratch.path(), &flags).arg("--junit").arg(&junit), 4);
    assert!(told.contains("1 of 3 scenarios is not as expected; 2 of 3 scenarios were left out"), "{told}");
    let text = fs::read_to_string(junit).unwrap();
    assert!(text.contains("skipped=\"2\" failures=\"1\""), "{text}");
    assert!(!scratch.path().join("spike").exists());
}

#[test]
fn a_profile_says_where_things_go_and_flags_win() {
    let scratch = tempfile::tempdir().unwrap();
    let toml =
        "[profile.ci]\nout = 'results'\njunit = 'reports/junit.xml'\nsummary = 'github'\nannotations = 'github'\nbaseline = 'main.json'\n";
    fs::write(scratch.path().join("wavetank.toml"), toml).unwrap();
    fs::create_dir(scratch.path().join("below")).unwrap();
    fs::copy(root().join("scenarios/ci/rollout.yaml"), scratch.path().join("below/rollout.yaml")).unwrap();
    let below = |words: &[&str]| {
        let mut command = wavetank();
        command.current_dir(scratch.path().join("below")).env("GITHUB_STEP_SUMMARY", scratch.path().join("step.md")).args(words);
        command
    };
    expect_exit(&mut below(&["run", ".", "--profile", "ci", "--seeds", "1..2"]), 0);
    for name in ["results/rollout/verdict.json", "reports/junit.xml", "step.md"] {
        assert!(scratch.path().join(name).exists(), "{name}");
    }
    expect_exit(&mut below(&["baseline", "save", "--profile", "ci"]), 0);
    expect_exit(&mut below(&["check", "--profile", "ci"]), 0);
    let step = fs::read_to_string(scratch.path().join("step.md")).unwrap();
    assert_eq!(step.matches("### ✅ wavetank").count(), 2, "the summary of a step is added to: {step}");
    expect_exit(&mut below(&["check", "../results"]), 0);
    expect_exit(&mut below(&["run", "rollout.yaml", "--profile", "ci", "--seed", "1", "--out", "own", "--junit", "own.xml"]), 0);
    assert!(scratch.path().join("below/own/rollout").exists() && scratch.path().join("below/own.xml").exists());
    // A file that cannot be read is told of, unless it is not wanted.
    fs::write(scratch.path().join("wavetank.toml"), "[profile.ci]\nseeds = 3\n").unwrap();
    let output = below(&["list", "policies"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(3) && said.contains("line 2") && said.contains("`seeds`") && said.contains("--no-config"),
        "{said}"
    );
    expect_exit(&mut below(&["--no-config", "list", "policies"]), 0);
}

/// Whatever else the machine does, and on however many threads: the same runs, the same verdict, the same words.
#[test]
fn the_verdict_is_the_same_a_hundred_times_under_load() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let small = |out: &Path, flags: &[&str]| {
        let mut command = wavetank();
        command.args(["run", "scenarios/ci/rollout.yaml", "--until", "4m", "--seeds", "1..3", "--no-report", "--out"]).arg(out).args(flags);
        command
    };
    expect_exit(&mut small(&place("main"), &[]), 0);
    expect_exit(wavetank().args(["baseline", "save"]).arg(place("main")).arg("-o").arg(place("main.json")), 0);
    let verdicts: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        // Eight at a time are more than most machines have cores.
        for worker in 0..8 {
            let (place, small, verdicts) = (&place, &small, &verdicts);
            scope.spawn(move || {
                for round in (worker..100).step_by(8) {
                    let out = place(&format!("round-{round}"));
                    let (changed, exit) = if round % 2 == 0 { (&["--set", SLOWER_PULL][..], 5) } else { (&[][..], 0) };
                    expect_exit(small(&out, changed).args(["-j", ["1", "2", "4"][round % 3]]), 0);
                    let verdict = expect_exit(&mut check(&out, &place("main.json"), &["-o", "json"]), exit);
                    verdicts.lock().unwrap().push(verdict);
                    fs::remove_dir_all(out).unwrap();
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap();
    assert_eq!(verdicts.len(), 100);
    verdicts.sort();
    verdicts.dedup();
    assert_eq!(verdicts.len(), 2, "one verdict for each of the two");
}

/// The action as GitHub reads it.
fn action() -> (String, serde_json::Value) {
    let text = fs::read_to_string(root().join("action.yml")).unwrap();
    let value = serde_yaml::from_str(&text).unwrap();
    (text, value)
}

#[test]
fn the_action_uses_every_input_and_nothing_else() {
    let (text, action) = action();
    let names = |field: &str| action[field].as_object().unwrap().keys().cloned().collect::<Vec<String>>();
    for input in names("inputs") {
        assert!(text.contains(&format!("inputs.{input}")), "input `{input}` is not used");
        assert!(action["inputs"][&input]["description"].as_str().is_some_and(|about| about.len() > 10), "{input}");
    }
    for used in text.split("inputs.").skip(1) {
        let used: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        assert!(names("inputs").contains(&used), "`inputs.{used}` is no input");
    }
    assert_eq!(action["runs"]["using"], "composite");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let ids: Vec<&str> = steps.iter().filter_map(|step| step["id"].as_str()).collect();
    for used in text.split("steps.").skip(1) {
        assert!(ids.contains(&used.split('.').next().unwrap()), "there is no step {used}");
    }
    for step in steps {
        assert!(step["uses"].is_string() != step["run"].is_string(), "{step:#}");
        assert!(step["uses"].is_string() || step["shell"] == "bash", "a step of an action names its shell: {step:#}");
        // What a user writes goes in by the environment, where a shell does not take it for a command.
        assert!(step["run"].as_str().is_none_or(|script| !script.contains("${{")), "{step:#}");
    }
}

#[test]
#[cfg(unix)]
fn the_step_of_the_action_gates_as_the_commands_do() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    fs::create_dir_all(place("root/bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wavetank"), place("root/bin/wavetank")).unwrap();
    expect_exit(&mut run(&place("main"), &["-k", "rollout"]), 0);
    expect_exit(wavetank().args(["baseline", "save"]).arg(place("main")).arg("-o").arg(place("main.json")), 0);
    let (_, action) = action();
    let step = action["runs"]["steps"].as_array().unwrap().iter().find(|step| step["id"] == "gate").unwrap();
    fs::write(place("gate.sh"), step["run"].as_str().unwrap()).unwrap();
    let strict = format!("--set {SLOWER_PULL} --set spec.expectations[1].value=50s");
    for (flags, baseline, code) in
        [("", true, 0), (&*format!("--set {SLOWER_PULL}"), true, 5), (&*strict, true, 4), ("", false, 0), ("--nonsense", true, 2)]
    {
        let _ = fs::remove_file(place("step.md"));
        let baseline = if baseline { place("main.json").display().to_string() } else { String::new() };
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(place("gate.sh")).current_dir(root());
        command.env("SCENARIOS", "scenarios/ci").env("FLAGS", format!("-k rollout {flags}")).env("BASELINE", baseline);
        command.env("ROOT", place("root")).env("OUT", place("out")).env("JUNIT", place("out/junit.xml"));
        command.env("GITHUB_STEP_SUMMARY", place("step.md")).env("GITHUB_OUTPUT", place("output"));
        expect_exit(&mut command, code);
        let output = fs::read_to_string(place("output")).unwrap();
        assert!(output.ends_with(&format!("exit-code={code}\n")), "{output}");
        assert_eq!(place("step.md").exists(), code != 2);
    }
}

#[test]
fn the_docs_of_pipelines_say_what_the_program_does() {
    let docs = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let codes = expect_exit(wavetank().args(["explain", "exit-codes"]), 0);
    assert!(docs.contains(&codes), "docs/ci.md has another table than\n{codes}");
    // Every flag that is shown is one of its verb.
    let commands = docs.lines().filter_map(|line| line.split_once("wavetank ")).map(|(_, words)| words);
    let verbs =
        ["run", "check", "validate", "export", "sweep", "merge", "baseline save", "baseline show", "baseline diff", "baseline accept"];
    let mut seen = 0;
    for words in commands {
        let Some(verb) = verbs.iter().find(|verb| words.starts_with(**verb)) else { continue };
        let help = expect_exit(wavetank().args(verb.split(' ')).arg("--help"), 0);
        let words = words.split(['#', '`', ',', '\'']).next().unwrap();
        for flag in words.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "`wavetank {verb}` has no {flag}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} flags were found");
    let blocks = |kind: &str| {
        docs.split(&format!("```{kind}\n")).skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for block in blocks("yaml") {
        let parsed: Result<serde_json::Value, _> = serde_yaml::from_str(&block);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{block}");
    }
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("wavetank.toml"), blocks("toml").concat()).unwrap();
    expect_exit(wavetank().current_dir(scratch.path()).args(["--profile", "ci", "list", "policies"]), 0);
}
