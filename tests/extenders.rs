//! Scheduler extenders over a real wire: a tiny HTTP server in this process, and the whole program.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{contents, expect_exit, wavetank};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

/// A path and a body become a status and a body; `None` is silence.
type Answer = Arc<dyn Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync>;

/// Serves until the test program ends; gives the URL.
#[expect(clippy::disallowed_methods, reason = "a server for tests, not a simulation")]
fn serve(answer: impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answer: Answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || exchange(stream, &answer));
        }
    });
    format!("http://{address}/scheduler")
}

/// One request and its answer.
fn exchange(mut stream: TcpStream, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length:")).and_then(|text| text.trim().parse().ok());
    let mut body = vec![0; length.expect("a length")];
    reader.read_exact(&mut body).expect("a body");
    let path = lines[0].split(' ').nth(1).expect("a path").to_owned();
    match answer(&path, &serde_json::from_slice(&body).expect("JSON")) {
        Some((status, body)) => {
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            write!(stream, "{head}Connection: close\r\n\r\n{body}").expect("somebody listens");
        }
        None => std::thread::sleep(Duration::from_secs(5)),
    }
}

fn write(folder: &Path, name: &str, value: &Value) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, value.to_string()).expect("a writable folder");
    path
}

fn config(url: &str, extender: Value) -> Value {
    let mut config = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "extenders": [extender]});
    config["extenders"][0]["urlPrefix"] = json!(url);
    config
}

/// What `wavetank schedule` says of one pod on nodes a, b and c with this extender.
fn scheduled(extender: Value, answer: impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let node = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}})
    };
    let nodes = ["a", "b", "c"].map(node);
    let cluster = json!({"apiVersion": "v1", "kind": "List", "items": nodes});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": "100m"}}}]}});
    let [cluster, pods, config] = [
        write(folder.path(), "cluster.json", &cluster),
        write(folder.path(), "pods.json", &pod),
        write(folder.path(), "config.json", &config(&serve(answer), extender)),
    ];
    let mut command = wavetank();
    command.args(["schedule", "-o", "json", "--cluster"]).arg(cluster).arg("--pods").arg(pods).arg("--config").arg(config);
    let document: Value = serde_json::from_str(&expect_exit(&mut command, 0)).expect("JSON");
    document["attempts"][0].clone()
}

#[test]
fn schedule_asks_the_extenders_of_its_configuration() {
    let extender = json!({"filterVerb": "filter", "prioritizeVerb": "rank", "weight": 2, "bindVerb": "bind"});
    let attempt = scheduled(extender, |path, body| {
        let names = |key: &str| -> Vec<Value> {
            body["Nodes"]["items"]
                .as_array()
                .map_or(Vec::new(), |nodes| nodes.iter().filter(|node| node["metadata"]["name"] != key).cloned().collect())
        };
        match path {
            "/scheduler/filter" => Some((200, json!({"Nodes": {"items": names("b")}, "FailedNodes": {"b": "closed today"}}))),
            "/scheduler/rank" => Some((200, json!([{"Host": "a", "Score": 1}, {"Host": "c", "Score": 9}]))),
            "/scheduler/bind" if body["Node"] == "c" => Some((200, json!({"Error": ""}))),
            _ => Some((404, json!({}))),
        }
    });
    assert_eq!(attempt["chosen"], "c", "{attempt:#}");
    assert_eq!(attempt["infeasible"]["b"]["reasons"], json!(["closed today"]));
    assert_eq!(attempt["feasible"]["c"]["scores"]["Extender"], 180);
}

#[test]
fn an_extender_that_fails_or_is_silent_fails_the_attempt_in_words() {
    let extender = json!({"filterVerb": "filter", "httpTimeout": "300ms", "nodeCacheCapable": true});
    let broken = scheduled(extender.clone(), |_, _| Some((503, json!({}))));
    let message = broken["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("failed filter with extender at URL http://127.0.0.1:") && message.ends_with("code 503"), "{message}");
    let silent = scheduled(extender, |_, _| None);
    let message = silent["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("no answer within 300ms"), "{message}");
}

#[test]
fn a_run_asks_them_too_and_says_that_it_depends_on_them() {
    let folder = tempfile::tempdir().expect("a folder");
    // The last node by name is the only one that will do.
    let url = serve(|_, body| {
        let last = body["NodeNames"].as_array()?.iter().filter_map(Value::as_str).max()?.to_owned();
        Some((200, json!({"NodeNames": [last]})))
    });
    let policy = write(folder.path(), "policy.json", &config(&url, json!({"filterVerb": "filter", "nodeCacheCapable": true})));
    let out = folder.path().join("out");
    let mut command = wavetank();
    command
        .args(["run", "tests/broken/fine.yaml", "--exit-zero", "--no-report", "--until", "1m", "--policy"])
        .arg(policy)
        .arg("--out")
        .arg(&out);
    expect_exit(&mut command, 0);

    let files = contents(&out);
    let manifest: Value = serde_json::from_slice(&files["shop/manifest.json"]).expect("JSON");
    assert_eq!(manifest["extenders"], json!([url]));
    let (_, trace) = files.iter().find(|(name, _)| name.ends_with(".gz")).expect("a trace");
    let mut text = String::new();
    MultiGzDecoder::new(&trace[..]).read_to_string(&mut text).expect("text");
    let header: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).expect("a header");
    let note = format!("depends on extender {url}: decisions are as good and as repeatable as its answers");
    assert!(header["notes"].as_array().is_some_and(|notes| notes.contains(&json!(note))), "{header:#}");

    let mut command = wavetank();
    let pods = expect_exit(command.args(["get", "pods", "-o", "wide", "--run"]).arg(out.join("shop")), 0);
    let nodes: Vec<&str> = pods
        .lines()
        .filter(|line| line.starts_with("shop-"))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("general-")))
        .collect();
    assert_eq!(nodes.len(), 3, "{pods}");
    assert!(nodes.iter().all(|node| *node == nodes[0]), "{pods}");
}

#[test]
fn no_other_machine_is_called() {
    let folder = tempfile::tempdir().expect("a folder");
    for (extender, part) in [
        (json!({"filterVerb": "filter"}), "is not on this machine"),
        (json!({"filterVerb": "filter", "enableHTTPS": true}), "take enableHTTPS away"),
    ] {
        let policy = write(folder.path(), "policy.json", &config("http://198.51.100.7:80", extender));
        let output = wavetank().args(["run", "tests/broken/fine.yaml", "--policy"]).arg(policy).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn ties_fall_as_they_are_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, how: &str| {
        let out = folder.path().join(name);
        let set = format!("spec.controlPlane.scheduler.tieBreak={how}");
        let mut command = wavetank();
        command.args(["run", "tests/broken/fine.yaml", "--exit-zero", "--no-report", "--until", "1m", "--set", &set, "--out"]).arg(&out);
        expect_exit(&mut command, 0);
        expect_exit(wavetank().args(["get", "pods", "-o", "wide", "--run"]).arg(out.join("shop")), 0)
    };
    let random = run("random", "random");
    assert_eq!(random, run("again", "random"));
    // Nine ways to put the three pods, so that these could be equal by chance; under this seed they are not.
    assert_ne!(random, run("by-name", "name"));
    let mut wrong = wavetank();
    wrong.args(["run", "tests/broken/fine.yaml", "--set", "spec.controlPlane.scheduler.tieBreak=fair"]);
    expect_exit(&mut wrong, 3);
}
