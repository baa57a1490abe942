//! What the command line does with what people type: flags, names and files, right and wrong.

mod common;

use std::fs;
use std::path::Path;

use common::{contents, expect_exit, root, wavetank};

const FINE: &str = "tests/broken/fine.yaml";

/// Runs `wavetank` with words, and returns exit code and stderr.
fn said(words: &[&str]) -> (Option<i32>, String) {
    let output = wavetank().args(words).output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(out: &Path, flags: &[&str]) -> String {
    expect_exit(wavetank().args(["run", FINE, "--exit-zero", "--out"]).arg(out).args(flags), 0)
}

#[test]
fn wrong_words_are_refused_in_a_sentence_and_never_with_a_panic() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["run", "nonsense"], 7, "there is no shipped scenario and no file `nonsense`"),
        (&["run", "black-friday"], 7, "did you mean `black-friday-40x`?"),
        (&["run", "tests"], 7, "there is no scenario in the directory `tests`"),
        (&["run", "scenarios/ci", "-k", "nonsense"], 7, "there are node-loss, rollout, spike"),
        (&["run", FINE, "--annotations", "gitlab"], 2, "[possible values: github]"),
        (&["--profile", "nonsense", "list", "policies"], 2, "wavetank.toml` has ci"),
        (&["--profile", "ci", "--no-config", "list", "policies"], 2, "cannot be used with"),
        (&["check", "tests"], 3, "there are no results in `tests`"),
        (&["check", "--baseline", "nonsense.json"], 3, "there is no baseline `nonsense.json`"),
        (&["check", "--baseline", "Cargo.toml"], 3, "`Cargo.toml` is no baseline"),
        (&["baseline", "show"], 2, "which baseline?"),
        (&["baseline", "save", "--margin", "nonsense=1", "-o", "nonsense.json"], 2, "there is no metric `nonsense`"),
        (&["run", "Cargo.toml"], 3, "nothing was run"),
        (&["run", FINE, "--policy", "nonsense"], 3, "there is no policy `nonsense`"),
        (&["run", FINE, "--policy", FINE], 3, "KubeSchedulerConfiguration"),
        (&["run", FINE, "--set", "nonsense"], 2, "has no `=`"),
        (&["run", FINE, "--set", "spec[=1"], 3, "`[` without `]`"),
        (&["run", FINE, "--set", "spec.nonsense=1"], 3, "unknown field `nonsense`"),
        (&["run", FINE, "--set", "spec.cluster.nodePools[name=nonsense].count=5"], 3, "cannot set this"),
        (&["run", FINE, "--set", "metadata.name=../x"], 3, "is no name for a scenario"),
        (&["run", FINE, "--set", "metadata.name="], 3, "is no name for a scenario"),
        (&["run", FINE, "--set", "spec.traffic.sources[0].rate=1e300/s"], 3, "a rate beyond all reason"),
        (&["run", FINE, "--until", "20m"], 3, "the run of `shop` ends at 10m00s"),
        (&["run", FINE, "--until", "0s"], 3, "choose a later time"),
        (&["run", FINE, "--until", "nonsense"], 2, "is not a duration"),
        (&["run", FINE, "--seeds", "3..1"], 2, "is not a range of seeds"),
        (&["run", FINE, "--seeds", "1..18446744073709551615"], 2, "are more than 100000 seeds"),
        (&["run", FINE, "--allow", "WT9999"], 2, "there is no such rule"),
        (&["run", FINE, FINE], 3, "are both called `shop`"),
        (&["run", FINE, "nonsense"], 7, "no file `nonsense`"),
        (&["validate", "tests"], 7, "there is no scenario and no manifest in the directory `tests`"),
        (&["compare", "tests", "-p", "default", "-p", "bin-pack"], 3, "`tests` is a directory"),
        (&["validate", "tests/scheduler_cases/cases.jsonl.gz"], 3, "is not UTF-8 text"),
        (&["init", "x", "--template", "node-failure"], 7, "did you mean `node-failure-2am`?"),
        (&["init", "x", "--from", "nonsense"], 3, "there is no file `nonsense`"),
        (&["init", "x", "--from", "nonsense/*.yaml"], 3, "no file matches `nonsense/*.yaml`"),
        (&["init", "x", "--from", "Cargo.toml"], 3, "the YAML cannot be read"),
        (&["init", "x", "--from", "tests", "--template", "rolling-update"], 2, "cannot be used with"),
        (&["import", "nonsense.csv", "--nodes", "Cargo.toml"], 3, "there is no file `nonsense.csv`"),
        (&["import", "Cargo.toml", "--nodes", "Cargo.toml"], 3, "`Cargo.toml`"),
        (&["import", "pods.csv"], 2, "--nodes <NODES.csv>"),
        (&["import", "a", "--nodes", "b", "--name", "No Name"], 3, "is no name for a scenario"),
        (&["init", "No Name"], 3, "is no name for a scenario"),
        (&["get", "pods", "--run", "tests"], 3, "is no results directory"),
        (&["replay", "tests"], 3, "is no results directory"),
        (&["diff", "tests", "tests"], 3, "`tests` is no results directory and no trace file"),
        (&["diff", FINE, FINE], 3, "line 1 of the trace"),
        (&["diff", "tests"], 2, "<RUN_B>"),
        (&["report", "tests"], 3, "is no results directory"),
        (&["run", FINE, "--set", "spec.duration=999999999999h"], 3, "longer than simulated time can be: 584 years"),
        (&["run", FINE, "--set", "spec.manifests=[{path: docs}]"], 3, "it is a directory"),
        (&["get", "pods", "-A", "-n", "x"], 2, "cannot be used with"),
        (&["export", "tests", "--to", "csv"], 3, "is no results directory"),
        (&["export", "tests"], 2, "--to <FORM>"),
        (&["export", "tests", "--to", "nonsense"], 2, "possible values: openmetrics, perfetto, csv"),
        (&["export", "tests", "--to", "csv", "--resolution", "0s"], 2, "is not a whole number of milliseconds above zero"),
        (&["explain", "nonsense"], 7, "has no field `nonsense`"),
        (&["schema", "nonsense"], 2, "[possible values: scenario, comparison]"),
        (&["list", "policies", "-o", "yaml"], 2, "[possible values: table, name, json]"),
        (&["explain", "WT9999"], 7, "there is no rule WT9999"),
        (&["explain", "Deploymint"], 7, "did you mean `Deployment`?"),
        (&["explain", "Pod.spec.tolerationz"], 7, "did you mean `tolerations`?"),
        (&["sweep", FINE, "--param", "spec.duration=1m", "--emit", "nonsense"], 2, "[possible values: k8s-job]"),
        (&["sweep", FINE, "--param", "spec.duration=1m", "--parts", "3"], 2, "--emit"),
        (&["search", FINE, "--param", "nonsense"], 2, "`--param nonsense` has no `=`"),
        (&["search", FINE, "--param", "spec.nonsense=1..9"], 3, "unknown field `nonsense`"),
        (&["-C", "nonsense", "list", "policies"], 2, "cannot go to `nonsense`"),
    ];
    for (words, code, part) in cases {
        let (exit, words_said) = said(words);
        assert_eq!(exit, Some(*code), "{words:?}: {words_said}");
        assert!(words_said.contains(part), "{words:?}: {words_said}");
    }
    assert!(!root().join("out/shop").exists(), "a wrong second scenario stops the first one too");
}

#[test]
fn an_item_of_a_list_is_set_by_its_name() {
    let plan =
        expect_exit(wavetank().args(["validate", "--print-defaults", FINE, "--set", "spec.cluster.nodePools[name=general].count=5"]), 0);
    assert!(plan.contains("count: 5"), "{plan}");
}

#[test]
fn a_run_that_was_cut_short_is_cut_short_again_by_replay() {
    let scratch = tempfile::tempdir().unwrap();
    for flags in [&["--until", "2m"][..], &["--until", "2m", "--seeds", "1..2"]] {
        run(scratch.path(), flags);
        expect_exit(wavetank().args(["replay", "--verify"]).arg(scratch.path().join("shop")), 0);
    }
    expect_exit(wavetank().args(["run", FINE, "--max-events", "40", "--out"]).arg(scratch.path()), 8);
    expect_exit(wavetank().args(["replay", "--verify"]).arg(scratch.path().join("shop")), 0);
}

#[test]
fn a_run_may_end_before_its_faults_begin() {
    let scratch = tempfile::tempdir().unwrap();
    expect_exit(wavetank().args(["run", "node-failure-2am", "--until", "2m", "--exit-zero", "--out"]).arg(scratch.path()), 0);
}

#[test]
fn a_scenario_that_was_changed_is_not_replayed_as_what_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("own.yaml");
    let text = fs::read_to_string(root().join(FINE)).unwrap();
    fs::write(&file, &text).unwrap();
    expect_exit(wavetank().arg("run").arg(&file).args(["--exit-zero", "--out"]).arg(scratch.path()), 0);
    fs::write(&file, text.replace("rate: 50/s", "rate: 51/s")).unwrap();
    expect_exit(wavetank().args(["replay", "--verify"]).arg(scratch.path().join("shop")), 6);
}

#[test]
fn of_two_runs_at_once_one_stays_and_stays_whole() {
    let scratch = tempfile::tempdir().unwrap();
    run(&scratch.path().join("alone"), &[]);
    let together = scratch.path().join("together");
    let mut both: Vec<_> = (0..2).map(|_| wavetank().args(["run", FINE, "--exit-zero", "--out"]).arg(&together).spawn().unwrap()).collect();
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(contents(&together), contents(&scratch.path().join("alone")));
}

#[test]
fn a_directory_that_no_run_made_is_not_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("shop")).unwrap();
    fs::write(scratch.path().join("shop/precious"), "").unwrap();
    expect_exit(wavetank().args(["run", FINE, "--out"]).arg(scratch.path()), 3);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing half-written is left");
    assert!(scratch.path().join("shop/precious").exists());
}

#[test]
fn a_file_that_is_missing_does_not_keep_the_others_from_being_checked() {
    let output = wavetank().args(["validate", "nonsense.yaml", "tests/broken/wrong-type.yaml", FINE]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(out.contains("fine.yaml: valid") && err.contains("nonsense.yaml") && err.contains("WT0105"), "{out}{err}");
}

#[test]
fn what_would_be_run_is_told_in_words_and_as_one_document() {
    let told = expect_exit(wavetank().args(["run", FINE, "--dry-run", "--seeds", "1..30"]), 0);
    assert_eq!(told, "shop: policy default, seeds 1..30, 30 runs of 10m00s\n");
    let told = expect_exit(wavetank().args(["run", FINE, "--dry-run", "--output", "json"]), 0);
    let document: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(document["durationSeconds"], 600.0);
}

#[test]
fn a_terminal_without_utf_8_gets_words_instead_of_ticks() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &["--until", "1m"]);
    let text = expect_exit(wavetank().env("LC_ALL", "C").args(["report", "--format", "text"]).arg(scratch.path().join("shop")), 0);
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn flags_of_every_verb_stand_behind_the_verbs_own() {
    for verb in ["run", "check", "compare", "sweep", "search", "schedule", "validate", "get", "why", "report", "export"] {
        let help = expect_exit(wavetank().args([verb, "--help"]), 0);
        let (own, global) = help.split_once("Global options:").unwrap_or_else(|| panic!("{verb}: {help}"));
        for flag in ["--color", "--directory", "--no-config", "--profile", "--progress", "--quiet"] {
            assert!(global.contains(flag) && !own.contains(&format!("{flag} ")), "{verb} {flag}: {help}");
        }
        assert!(own.contains("--help"), "{verb}: {help}");
    }
}

#[test]
fn a_directory_stands_for_the_manifests_in_it() {
    let scratch = tempfile::tempdir().unwrap();
    let manifests = scratch.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  \
                      template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: a, image: x}]}\n";
    for (name, text) in [("service.yaml", service), ("deployment.yml", deployment), ("values.yaml", "replicas: 3\n"), ("notes.txt", "?")] {
        fs::write(manifests.join(name), text).unwrap();
    }
    // As files to be checked: those that are manifests.
    let told = expect_exit(wavetank().arg("validate").arg(&manifests), 0);
    assert!(told.contains("service.yaml: valid") && told.contains("deployment.yml: valid") && !told.contains("values"), "{told}");
    // In a scenario: every YAML file right in it, as `kubectl apply -f` has it.
    fs::remove_file(manifests.join("values.yaml")).unwrap();
    let scenario = scratch.path().join("own.yaml");
    let text = "apiVersion: wavetank.dev/v1\nkind: Scenario\nmetadata: {name: own}\nspec:\n  duration: 1m\n  cluster: {nodePools: [{name: a, \
                count: 2, template: {capacity: {cpu: 4, memory: 8Gi}}}]}\n  manifests: [{path: manifests}]\n  expectations: [{metric: \
                replicas.ready, where: {workload: deployment/web}, stat: last, op: \"==\", value: 1}]\n";
    fs::write(&scenario, text).unwrap();
    expect_exit(wavetank().arg("run").arg(&scenario).arg("--out").arg(scratch.path().join("out")), 0);
    // One that cannot be read is not passed over.
    fs::write(manifests.join("broken.yaml"), [0xff, 0xfe]).unwrap();
    let output = wavetank().arg("validate").arg(&scenario).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && words.contains("broken.yaml` cannot be read"), "{words}");
}

#[test]
fn what_another_program_prints_is_checked_from_stdin() {
    use std::io::Write as _;
    use std::process::Stdio;
    for (text, code, part) in [
        ("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n", 0, "-: valid"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: 80}\n", 3, "--> -:4"),
    ] {
        let mut child =
            wavetank().args(["validate", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && words.contains(part), "{words}");
    }
}

#[test]
fn of_a_run_one_namespace_is_shown_or_all_with_their_names() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &["--until", "2m"]);
    let get = |words: &[&str]| {
        let output = wavetank().arg("get").args(words).arg("--run").arg(scratch.path().join("shop")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, usual) = get(&["pods"]);
    assert!(usual.starts_with("NAME ") && usual.lines().count() > 1, "{usual}");
    assert_eq!(get(&["pods", "-n", "default"]).1, usual);
    assert_eq!(get(&["pods", "-n", "elsewhere"]), (Some(0), String::new()));
    for kind in ["pods", "deployments", "services", "events"] {
        let (_, all) = get(&[kind, "-A"]);
        assert!(all.starts_with("NAMESPACE ") && all.lines().skip(1).all(|line| line.starts_with("default ")), "{all}");
    }
    // Several kinds at once, named so that `why` takes them.
    let (code, all) = get(&["all"]);
    assert!(code == Some(0) && all.contains("\n\nNAME") && !all.contains("node/"), "{all}");
    let pod = all.lines().find_map(|line| line.split_whitespace().next().filter(|word| word.starts_with("pod/"))).unwrap();
    expect_exit(wavetank().args(["why", pod, "--trace-only", "--run"]).arg(scratch.path().join("shop")), 0);
    assert!(get(&["nodes,pods"]).1.starts_with("NAME"));
    assert_eq!(get(&["nodes,gizmos"]).0, Some(7));
    assert_eq!(get(&["all", "-o", "json"]).0, Some(2));
    let (code, pools) = get(&["nodepools"]);
    assert!(code == Some(0) && pools.contains("general"), "{pools}");
}

#[test]
fn a_recorded_workload_is_played_as_it_was_recorded() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(scratch.path().join(name), text).unwrap();
    write("nodes.csv", "cpu,memory,gpu,model,count\n8,32Gi,1,T4,2\n");
    // Two hold both GPUs for a minute; the third comes at ten seconds and has to wait for one of them.
    write("pods.csv", "name,arrival,duration,cpu,memory,num_gpu\na,0,60,1,1Gi,1\nb,0,70,1,1Gi,1\nc,10,30,1,1Gi,1\nd,20,30,1,1Gi,0\n");
    let here = || {
        let mut command = wavetank();
        command.current_dir(scratch.path());
        command
    };
    expect_exit(here().args(["import", "pods.csv", "--nodes", "nodes.csv", "--name", "own"]), 0);
    expect_exit(here().args(["run", "own.yaml", "--no-report"]), 0);
    let statuses = |at: &str| {
        let told = expect_exit(here().args(["get", "pods", "--at", at]), 0);
        let status = |line: &str| line.split_whitespace().nth(2).unwrap_or_default().to_owned();
        told.lines().skip(1).map(status).collect::<Vec<_>>()
    };
    assert_eq!(statuses("50s"), ["Running", "Running", "Pending", "Running"]);
    assert_eq!(statuses("80s"), ["Completed", "Completed", "Running", "Completed"]);
    assert_eq!(statuses("150s"), ["Completed"; 4]);
}

#[test]
fn the_page_draws_the_seed_that_is_asked_for() {
    let scratch = tempfile::tempdir().unwrap();
    run(scratch.path(), &["--until", "2m", "--seeds", "1..3"]);
    let place = scratch.path().join("shop");
    let drawn = |page: &str| {
        let html = fs::read_to_string(place.join(page)).unwrap();
        [1, 2, 3].into_iter().find(|seed| html.contains(&format!("Drawn: seed {seed}"))).expect("it says which")
    };
    let worst = drawn("report.html");
    let other = worst % 3 + 1;
    expect_exit(wavetank().arg("report").arg(&place).args(["--seed", &other.to_string()]), 0);
    assert_eq!(drawn(&format!("report-seed-{other}.html")), other);
    expect_exit(wavetank().arg("report").arg(place.join(format!("seed-{other}"))), 0);
    assert_eq!(drawn("report.html"), worst, "the page of the worst seed is still there");
    let (code, words) = said(&["report", &place.display().to_string(), "--seed", "9"]);
    assert!(code == Some(3) && words.contains("it has seeds 1, 2, 3"), "{words}");
}

#[test]
fn a_dump_of_a_cluster_has_as_many_pods_as_its_controllers_want() {
    let scratch = tempfile::tempdir().unwrap();
    let meta = |name: &str, owner: &str| {
        let owners = match owner.split_once('/') {
            Some((kind, name)) => format!(
                r#", "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "{kind}", "name": "{name}", "uid": "u", "controller": true}}]"#
            ),
            None => String::new(),
        };
        format!(r#"{{"name": "{name}", "namespace": "default", "uid": "{name}", "labels": {{"app": "web"}}{owners}}}"#)
    };
    let pod = r#"{"containers": [{"name": "a", "image": "x"}]}"#;
    let template = format!(r#"{{"metadata": {{"labels": {{"app": "web"}}}}, "spec": {pod}}}"#);
    let spec = format!(r#"{{"replicas": 2, "selector": {{"matchLabels": {{"app": "web"}}}}, "template": {template}}}"#);
    let room = r#"{"cpu": "4", "memory": "16Gi", "pods": "110"}"#;
    let item = |kind: &str, version: &str, meta: String, rest: String| {
        format!(r#"{{"kind": "{kind}", "apiVersion": "{version}", "metadata": {meta}, {rest}}}"#)
    };
    let items = [
        item("Node", "v1", r#"{"name": "n1"}"#.into(), format!(r#""status": {{"allocatable": {room}, "capacity": {room}}}"#)),
        item("Deployment", "apps/v1", meta("web", ""), format!(r#""spec": {spec}"#)),
        item("ReplicaSet", "apps/v1", meta("web-1", "Deployment/web"), format!(r#""spec": {spec}"#)),
        item("Pod", "v1", meta("web-1-a", "ReplicaSet/web-1"), format!(r#""spec": {pod}"#)),
        item("Pod", "v1", meta("web-1-b", "ReplicaSet/web-1"), format!(r#""spec": {pod}"#)),
        item("Pod", "v1", meta("bare", ""), format!(r#""spec": {pod}"#)),
    ];
    let dump = format!(r#"{{"kind": "List", "apiVersion": "v1", "items": [{}]}}"#, items.join(", "));
    fs::write(scratch.path().join("dump.json"), dump).unwrap();
    let head = "apiVersion: wavetank.dev/v1\nkind: Scenario\nmetadata: {name: own}\nspec:\n  duration: 1m\n";
    for brought in ["  cluster: {import: dump.json}\n", "  manifests: [{path: dump.json}]\n"] {
        fs::write(scratch.path().join("own.yaml"), format!("{head}{brought}")).unwrap();
        let told = expect_exit(wavetank().current_dir(scratch.path()).args(["run", "own.yaml", "-o", "json"]), 0);
        assert!(told.contains("2 pods of the manifests belong to controllers"), "{told}");
        let pods = expect_exit(wavetank().current_dir(scratch.path()).args(["get", "pods"]), 0);
        assert_eq!(pods.lines().count(), 1 + 3, "two of the Deployment, and one that nobody owns: {pods}");
    }
}

#[test]
fn manifests_that_are_checked_together_are_those_of_one_cluster() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(scratch.path().join(name), text).unwrap();
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    \
                      metadata: {labels: {app: web}}\n    spec: {priorityClassName: gold, containers: [{name: a, image: x}]}\n";
    write("a.yaml", deployment);
    let validate = |words: &[&str]| {
        let output = wavetank().current_dir(scratch.path()).arg("validate").args(words).output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), words)
    };
    let (code, words) = validate(&["a.yaml"]);
    assert!(code == Some(3) && words.contains("no PriorityClass is called `gold`"), "{words}");
    write("b.yaml", "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: gold}\nvalue: 1000\n");
    let (code, words) = validate(&["."]);
    assert!(code == Some(0) && words.contains("a.yaml: valid") && words.contains("b.yaml: valid"), "{words}");
    // What is wrong is told with the file that it is in.
    write("b.yaml", "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: gold}\nvalue: much\n");
    let (code, words) = validate(&["a.yaml", "b.yaml", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&words).unwrap();
    let valid: Vec<&serde_json::Value> = document["files"].as_array().unwrap().iter().map(|file| &file["valid"]).collect();
    assert!(code == Some(3) && valid == [true, false], "{words}");
}
