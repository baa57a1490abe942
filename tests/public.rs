//! Install files in the shape of well-known published ones are read whole and run with a traffic source on the side.

mod common;

use common::{expect_exit, root, wavetank};

fn scenario(manifest: &str, service: &str, workload: &str, address: &str) -> String {
    format!(
        "apiVersion: wavetank.dev/v1
kind: Scenario
metadata: {{name: public}}
spec:
  duration: 5m
  cluster: {{nodePools: [{{name: general, count: 4, template: {{capacity: {{cpu: '8', memory: 32Gi, pods: '110'}}, labels: {{kubernetes.io/os: linux}}}}}}]}}
  manifests: [{{path: {}}}]
  behaviors: [{{workload: {workload}, service: {{cpuPerRequest: {{mean: 2ms}}, concurrency: 16}}}}]
  traffic: {{sources: [{{name: users, to: {service}, rate: 20/s, timeout: 1s, address: {address}}}]}}
  expectations: [{{metric: availability, where: {{service: {service}}}, window: 30s, stat: last, op: '>=', value: 99%}}]
",
        root().join("tests/public").join(manifest).display()
    )
}

#[test]
fn public_install_files_are_read_whole_and_serve_their_users() {
    let scratch = tempfile::tempdir().unwrap();
    for (manifest, service, workload) in [
        ("microservice-shop.yaml", "frontend", "deployment/frontend"),
        ("monitoring-stack.yaml", "monitoring/grafana", "deployment/monitoring/grafana"),
        ("gitops-controller.yaml", "gitops-server", "deployment/gitops-server"),
    ] {
        let path = scratch.path().join(manifest);
        std::fs::write(&path, scenario(manifest, service, workload, "10.1.2.3")).unwrap();
        expect_exit(wavetank().arg("run").arg(&path).arg("--out").arg(scratch.path().join("out")), 0);
    }
}

#[test]
fn users_whom_a_network_policy_keeps_out_are_told_by_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("outside.yaml");
    let text = scenario("monitoring-stack.yaml", "monitoring/grafana", "deployment/monitoring/grafana", "203.0.113.7");
    std::fs::write(&path, text).unwrap();
    let told = expect_exit(wavetank().arg("run").arg(&path).arg("--out").arg(scratch.path().join("out")), 4);
    assert!(told.contains("users denied by NetworkPolicy monitoring/grafana: "), "{told}");
}

#[test]
fn what_is_not_simulated_is_said_once_and_refused_only_when_strict() {
    let file = root().join("tests/public/monitoring-stack.yaml");
    let lenient = wavetank().arg("validate").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&lenient.stderr).into_owned() + &String::from_utf8_lossy(&lenient.stdout);
    assert_eq!(lenient.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("ServiceMonitor").count(), 1, "{said}");
    expect_exit(wavetank().args(["validate", "--strict"]).arg(&file), 3);
}

#[test]
fn a_first_scenario_is_made_of_public_install_files_and_runs() {
    let scratch = tempfile::tempdir().unwrap();
    for manifest in ["microservice-shop", "monitoring-stack", "gitops-controller"] {
        let from = root().join(format!("tests/public/{manifest}.yaml"));
        expect_exit(wavetank().current_dir(scratch.path()).args(["init", manifest, "--from"]).arg(&from), 0);
        let file = scratch.path().join(format!("{manifest}.yaml"));
        expect_exit(wavetank().arg("validate").arg(&file), 0);
        let run = ["--exit-zero", "--until", "3m", "--seed", "1", "--no-report", "--out"];
        expect_exit(wavetank().arg("run").arg(&file).args(run).arg(scratch.path().join("out")), 0);
    }
    let again = wavetank().current_dir(scratch.path()).args(["init", "gitops-controller", "--from", "."]).output().unwrap();
    assert_eq!(again.status.code(), Some(3), "a file that is there stays");
}
