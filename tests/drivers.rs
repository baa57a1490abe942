//! Sweeps under other engines: each leaves what one machine would have left, to the byte.
//!
//! Needs Python with ray and distributed. Where there are none the tests say so and pass, unless WAVETANK_REQUIRE_PYTHON
//! is set; WAVETANK_PYTHON names another Python. Batch systems are played by the variables that they set.

#![expect(clippy::print_stdout, reason = "a test says what it could not do here")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{contents, expect_exit, root, wavetank};

const FILE: &str = "tests/broken/fine.yaml";
const WORDS: &[&str] = &[FILE, "--until", "1m", "--seeds", "1..2", "--param", "spec.traffic.sources[name=shoppers].rate=20/s,40/s,60/s"];

/// What the sweep leaves when it is done in one place.
fn whole(scratch: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let place = scratch.join("undivided");
    expect_exit(wavetank().arg("sweep").args(WORDS).arg("--out").arg(&place), 0);
    contents(&place.join("sweep-shop"))
}

/// A Python that has `package`.
fn python(package: &str) -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("WAVETANK_PYTHON").unwrap_or_else(|| "python3".into()));
    let has = Command::new(&python).args(["-c", &format!("import {package}")]).output().is_ok_and(|output| output.status.success());
    assert!(has || std::env::var_os("WAVETANK_REQUIRE_PYTHON").is_none(), "{package} is required here and not installed");
    if !has {
        println!("skipped: {} has no {package}", python.display());
    }
    has.then_some(python)
}

fn driver(script: &str, package: &str) {
    let Some(python) = python(package) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.current_dir(root()).env("WAVETANK", env!("CARGO_BIN_EXE_wavetank")).env("RAY_AUTH_MODE", "disabled");
    expect_exit(command.arg(script).arg("3").arg(scratch.path()).args(WORDS), 0);
    assert!(contents(&scratch.path().join("whole")) == whole(scratch.path()), "{script}");
}

#[test]
fn a_sweep_on_ray_is_the_sweep() {
    driver("examples/ray_sweep.py", "ray");
}

#[test]
fn a_sweep_on_dask_is_the_sweep() {
    driver("examples/dask_sweep.py", "distributed");
}

#[test]
fn a_sweep_as_a_slurm_array_is_the_sweep() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, file) in [("tests", root().join("tests")), ("examples", root().join("examples"))] {
        std::os::unix::fs::symlink(file, scratch.path().join(name)).unwrap();
    }
    for task in ["4", "5", "6"] {
        let mut command = Command::new("bash");
        command.current_dir(scratch.path()).env("WAVETANK", env!("CARGO_BIN_EXE_wavetank"));
        command.env("SLURM_ARRAY_TASK_ID", task).env("SLURM_ARRAY_TASK_MIN", "4").env("SLURM_ARRAY_TASK_COUNT", "3");
        expect_exit(command.arg("examples/slurm.sbatch").args(WORDS), 0);
    }
    let parts = ["4", "5", "6"].map(|task| scratch.path().join("out/slurm").join(task));
    expect_exit(wavetank().arg("merge").args(&parts).arg("--out").arg(scratch.path().join("whole")), 0);
    assert!(contents(&scratch.path().join("whole")) == whole(scratch.path()));
}

/// The documents of the manifest that `--emit k8s-job` prints for a sweep.
fn emitted(flags: &[&str]) -> (String, Vec<serde_json::Value>) {
    let text = expect_exit(wavetank().arg("sweep").args(WORDS).args(["--emit", "k8s-job"]).args(flags), 0);
    let documents = text.split("\n---\n").map(|document| serde_yaml::from_str(document).unwrap()).collect();
    (text, documents)
}

/// A container's words, as the kubelet of the pod with this index would give them.
fn args(job: &serde_json::Value, index: usize) -> Vec<String> {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let args = container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    args.map(|word| word.replace("$(JOB_COMPLETION_INDEX)", &index.to_string()).replace("$$(", "$(")).collect()
}

#[test]
fn an_indexed_job_is_what_kubernetes_takes_and_does_the_sweep() {
    let (text, documents) = emitted(&["--parts", "3"]);
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("job.yaml"), &text).unwrap();
    let told = wavetank().arg("validate").arg(scratch.path().join("job.yaml")).output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && !said.contains("unknown field"), "{said}");
    let [config, job] = &documents[..] else { panic!("a ConfigMap and a Job: {text}") };
    let spec = &job["spec"];
    assert!(spec["completionMode"] == "Indexed" && spec["completions"] == 3 && spec["parallelism"] == 3, "{text}");
    // The claim and the files, as they would be mounted.
    let pod = &spec["template"]["spec"];
    let files = scratch.path().join("work");
    for item in pod["volumes"][1]["configMap"]["items"].as_array().unwrap() {
        let path = files.join(item["path"].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, config["data"][item["key"].as_str().unwrap()].as_str().unwrap()).unwrap();
    }
    let env = &pod["containers"][0]["env"][0];
    let parts: Vec<PathBuf> = (0..3).map(|index| scratch.path().join(index.to_string())).collect();
    for (index, part) in parts.iter().enumerate() {
        let words = args(job, index).into_iter().map(|word| {
            let out = word.strip_prefix("--out=").map(|out| format!("--out={}", part.join(out.trim_start_matches('/')).display()));
            out.unwrap_or(word)
        });
        let mut command = wavetank();
        command.current_dir(&files).env(env["name"].as_str().unwrap(), env["value"].as_str().unwrap());
        expect_exit(command.env("JOB_COMPLETION_INDEX", index.to_string()).args(words), 0);
    }
    let results = (0..3).map(|index| scratch.path().join(format!("{index}/results/wavetank-sweep-shop/{index}")));
    expect_exit(wavetank().arg("merge").args(results).arg("--out").arg(scratch.path().join("whole")), 0);
    assert!(contents(&scratch.path().join("whole")) == whole(scratch.path()));
}

#[test]
fn a_job_has_no_more_parts_than_there_are_runs_and_no_files_when_none_are_needed() {
    let (_, documents) = emitted(&["--parts", "100"]);
    assert_eq!(documents[1]["spec"]["completions"], 6);
    let command = ["compare", "node-failure-2am", "-p", "default", "-p", "bin-pack", "--emit", "k8s-job"];
    let text = expect_exit(wavetank().args(command), 0);
    assert!(text.lines().filter(|line| !line.starts_with('#')).count() < 45, "{text}");
    insta::assert_snapshot!("indexed_job", text);
}

#[test]
fn the_policy_in_python_is_asked_for_every_choice_and_keeps_gpus_free() {
    use std::io::BufRead as _;
    let Some(python) = python("http.server") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Command::new(python)
        .arg(root().join("examples/python_policy.py"))
        .arg("0")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").expect("it says where").to_owned();
    let config = fs::read_to_string(root().join("examples/python_policy.yaml")).unwrap();
    let write = |name: &str, text: &str| fs::write(scratch.path().join(name), text).unwrap();
    write("policy.yaml", &config.replace("http://127.0.0.1:8888", &url));
    // A pod that wants no GPU would spread to the larger machine, which has one.
    write("nodes.csv", "cpu,memory,gpu,model\n16,64Gi,1,T4\n8,32Gi,0,\n");
    write("pods.csv", "name,arrival,duration,cpu,memory,num_gpu\nplain,0,600,2,1Gi,0\n");
    let here = || {
        let mut command = wavetank();
        command.current_dir(scratch.path());
        command
    };
    expect_exit(here().args(["import", "pods.csv", "--nodes", "nodes.csv"]), 0);
    let node = |policy: &str| {
        expect_exit(here().args(["run", "recorded.yaml", "--no-report", "-p", policy]), 0);
        let told = expect_exit(here().args(["get", "pods", "-o", "json", "--at", "2m"]), 0);
        serde_json::from_str::<serde_json::Value>(&told).unwrap()["items"][0]["node"].as_str().unwrap().to_owned()
    };
    let chosen = ["default", "policy.yaml"].map(node);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(chosen, ["t4-1x-0-0", "cpu-8-1-0"]);
}
