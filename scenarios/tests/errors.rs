//! What is said of broken scenarios: each of these is the sound one with one slip, and its text is a snapshot.

extern crate wavetank_scenarios as scenarios;

mod common;

use common::{FINE, Nothing, load};

/// The sound scenario with `from` replaced; `from` must be there.
fn broken(changes: &[(&str, &str)]) -> String {
    let mut text = FINE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in the sound scenario");
        text = text.replacen(from, to, 1);
    }
    let (scenario, said) = load("shop.yaml", &text, &Nothing, &[]);
    assert!(scenario.is_none(), "no error was found:\n{said}");
    said
}

fn set(path: &str, value: &str) -> String {
    let (scenario, said) = load("shop.yaml", FINE, &Nothing, &[(path, value)]);
    assert!(scenario.is_none(), "no error was found:\n{said}");
    said
}

macro_rules! slips {
    ($($name:ident: $changes:expr;)*) => {
        $(#[test] fn $name() { insta::assert_snapshot!(broken($changes)); })*
    };
}

slips! {
    bad_yaml: &[("{app: shop}}\n        template", "{app: shop}\n        template")];
    duplicate_key: &[("  duration: 10m\n", "  duration: 10m\n  duration: 20m\n")];
    bad_quantity: &[("memory: 16Gi", "memory: 16Gbi")];
    bad_quantity_in_a_manifest: &[("cpu: 500m", "cpu: 500mm")];
    unknown_metric: &[("metric: availability", "metric: availabilty")];
    missing_references: &[("to: shop, rate", "to: shopp, rate"), ("workload: deployment/shop\n", "workload: deployment/stop\n"), ("where: {service: shop}", "where: {service: ship}")];
    service_that_selects_nothing: &[("selector: {app: shop}, ports", "selector: {app: shopfront}, ports")];
    pod_that_fits_no_node: &[("requests: {cpu: 500m, memory: 256Mi}, limits: {cpu: \"1\"", "requests: {cpu: \"6\", memory: 256Mi}, limits: {cpu: \"8\"")];
    pod_with_labels_no_node_has: &[("            containers:", "            nodeSelector: {pool: genral}\n            containers:")];
    unknown_fields: &[("        count:", "        cuont:"), ("        replicas: 3", "        replica: 3"), ("  marks:", "  markz:")];
    wrong_types: &[("duration: 10m\n", "duration: [10m]\n"), ("replicas: 3\n", "replicas: three\n"), ("concurrency: 16", "concurrency: many")];
    bad_durations: &[("timeout: 2s", "timeout: 2"), ("at: 5m", "at: 5 minutes"), ("duration: 10m", "duration: -3m")];
    moments_outside_the_run: &[("at: 5m", "at: 50m"), ("{name: release, at: 3m}", "{name: release, at: 15m}"), ("  duration: 10m", "  duration: 10m\n  warmup: 10m")];
    time_of_day_without_a_clock: &[("at: 5m", "at: \"02:00\"")];
    chaos_that_is_not_supported: &[("kind: NodeChaos, action: node-poweroff", "kind: NetworkChaos, action: delay")];
    unknown_fault: &[("action: node-poweroff", "action: node-powerof")];
    fault_that_strikes_nobody: &[("action: node-poweroff,", "action: node-poweroff, selector: {labelSelectors: {app: db}, target: node-of-pod},")];
    names_used_twice: &[("{name: release, at: 3m}", "{name: release, at: 3m}\n    - {name: release, at: 4m}")];
    calls_in_a_circle: &[("queueLimit: 64}", "queueLimit: 64, calls: [{to: shop}]}")];
    autoscaler_without_requests: &[("resources: {requests: {cpu: 500m, memory: 256Mi}, limits: {cpu: \"1\", memory: 256Mi}}", "resources: {requests: {memory: 256Mi}}")];
    autoscaler_without_a_target: &[("kind: Deployment, name: shop", "kind: Deployment, name: shp")];
    metrics_without_sense: &[("  marks:", "  metrics:\n    - {name: a, for: extern, value: 5}\n    - {name: b, for: {pods: {workload: deployment/shp}}, value: 5}\n    - {name: c, for: external, value: {traffic: queue-lenght, service: shop}}\n    - {name: d, for: external, value: {traffic: in-flight}}\n    - {name: e, for: external, value: {series: [{at: 5m, value: 5}, {at: 2m, value: 7}]}}\n    - {name: f, for: external, value: {shared: true, series: [{at: 5m, value: x}]}}\n    - {name: g, for: external, value: {traffic: in-flight, path: load.csv}}\n    - {name: h, for: {}, value: {linear: true}}\n  marks:")];
    vertical_autoscaler_without_sense: &[("  behaviors:", "    - apiVersion: autoscaling.k8s.io/v1\n      kind: VerticalPodAutoscaler\n      metadata: {name: shop}\n      spec:\n        targetRef: {apiVersion: apps/v1, kind: Deployment, name: shp}\n        updatePolicy: {updateMode: Recraete, minReplicas: 0, evictionRequirements: [{resources: [cpu], changeRequirement: Higher}]}\n        resourcePolicy: {containerPolicies: [{containerName: app, mode: \"Off\", controlledValues: RequestsOnly, minAllowed: {cpu: 2}, maxAllowed: {cpu: 1}}]}\n  behaviors:")];
    minimum_of_zero_replicas: &[("minReplicas: 3", "minReplicas: 0")];
    values_of_the_wrong_unit: &[("value: 99.5%", "value: 99.5")];
    absurd_numbers: &[("count: {min: 2, max: 4}", "count: {min: 5, max: 4}"), ("rate: 50/s", "rate: -50/s"), ("queueLimit: 64", "queueLimit: 64, errorRatio: 150%")];
    distribution_without_values: &[("{mean: 5ms}", "{distribution: lognormal, median: 5ms}")];
    file_that_is_not_there: &[("rate: 50/s", "path: ../shared/traces/rates/none.csv")];
    settings_of_the_control_plane: &[("  manifests:", "  controlPlane: {nodeLifecycle: {nodeMonitorGracePeriode: 50s, nodeMonitorPeriod: 0s}, scheduler: {percentageOfNodesToScore: 5}}\n  manifests:")];
    kubelets_that_would_not_start: &[("  manifests:", "  controlPlane: {kubelet: {evictionSoft: {memory.available: 1Gi}, evictionHard: {memory.avail: 1Gi, nodefs.available: 110%, nodefs.inodesFree: 5%}, serializeImagePulls: true, maxParallelImagePulls: 4, imageGCLowThresholdPercent: 90, imagePullBandwidth: 0}}\n  manifests:")];
    behavior_of_a_container_that_is_not_there: &[("  manifests:", "  images: [{name: \"nobodys:1\", size: 5Mi}]\n  manifests:"), ("workload: deployment/shop\n", "workload: deployment/shop\n      container: ap\n")];
    resizes_that_cannot_be: &[("setImage: {workload: deployment/shop, image: \"registry.example/shop:1.1\"}", "resize: {workload: deployment/shop, container: sidecar, requests: {pods: 3}, limits: {cpu: 2}}")];
    settings_of_the_cluster_autoscaler: &[("  manifests:", "  controlPlane:\n    clusterAutoscaler:\n      expander: priority,least-wast\n      coresTotal: 10\n      memoryTotal: 9:5\n      expanderPriorities: {high: [a], 10: [\".*spot\", \"[a\"]}\n      scaleDownDelayAfterFailure: 3m\n  manifests:")];
    orders_that_cannot_fail: &[("kind: NodeChaos, action: node-poweroff,", "action: provisioning-failure, nodePools: [general, generl], reason: stockout, selector: {nodes: [general-0]},")];
    orders_of_a_pool_that_is_not_there: &[("kind: NodeChaos, action: node-poweroff,", "action: provisioning-failure, nodePools: [generl],")];
    not_a_step: &[("setImage: {workload: deployment/shop, image: \"registry.example/shop:1.1\"}", "scale: {workload: deployment/shop, replicas: 2}, cordon: general-9x")];
    unknown_policy: &[("  duration: 10m", "  duration: 10m\n  policy: bin-pck")];
    no_nodes: &[("    nodePools:\n      - name: general\n        count: {min: 2, max: 4}\n        spreadOver: zones\n        template:\n          capacity: {cpu: \"4\", memory: 16Gi}\n          labels: {pool: general}\n", "")];
    nobody_says_what_a_request_costs: &[("behaviors:\n    - workload: deployment/shop\n      service: {cpuPerRequest: {mean: 5ms}, concurrency: 16, queueLimit: 64}", "behaviors: []")];
}

#[test]
fn bad_settings() {
    let said = [
        set("spec.cluster.nodePools[name=gpu].count", "3"),
        set("spec.duration", "ten minutes"),
        set("spec.duration.x", "1"),
        set("traffic.sources[0].timeout", "[1"),
        set("behaviors[0].service.concurency", "5"),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_yaml_bomb_is_refused() {
    let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
        text.push_str(&format!("{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"));
    }
    let (scenario, said) = load("bomb.yaml", &text, &Nothing, &[]);
    assert!(scenario.is_none());
    insta::assert_snapshot!(said);
}

#[test]
fn what_is_not_a_scenario_is_told_so() {
    let said: Vec<String> =
        ["", "[1, 2]", "just text", "apiVersion: v1\nkind: Pod\n", "apiVersion: wavetank.dev/v1\nkind: Comparison\nspec: {}\n"]
            .iter()
            .map(|text| load("odd.yaml", text, &Nothing, &[]).1)
            .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn warnings_do_not_stop_a_scenario() {
    let text = FINE
        .replace("queueLimit: 64}", "queueLimit: 64, trafficDistribution: PreferClose}")
        .replace("rate: 50/s", "rate: {shape: spike, base: 50/s, peak: 5000/s, at: 1m, rampUp: 1m}")
        .replace("duration: 2m}", "duration: 20m}");
    let (scenario, said) = load("shop.yaml", &text, &Nothing, &[]);
    let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
    insta::assert_snapshot!(format!("{said}\n{}", scenario.notes.join("\n")));
}

#[test]
fn a_vertical_autoscaler_that_learns_nothing_is_warned_of() {
    let text = FINE.replacen(
        "  behaviors:",
        "    - apiVersion: autoscaling.k8s.io/v1\n      kind: VerticalPodAutoscaler\n      metadata: {name: idle}\n      \
             spec:\n        targetRef: {apiVersion: apps/v1, kind: Deployment, name: idle}\n        \
             updatePolicy: {updateMode: InPlaceOrRecreate}\n    \
             - apiVersion: apps/v1\n      kind: Deployment\n      metadata: {name: idle}\n      \
             spec: {selector: {matchLabels: {app: idle}}, template: {metadata: {labels: {app: idle}}, \
             spec: {containers: [{name: app, image: idle}]}}}\n  behaviors:",
        1,
    );
    let (scenario, said) = load("shop.yaml", &text, &Nothing, &[]);
    let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(scenario.world.objects.vertical_pod_autoscalers.len(), 1);
    insta::assert_snapshot!(said);
}

#[test]
fn a_metric_that_nobody_serves_is_warned_of() {
    let text = FINE
        .replacen(
            "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]",
            "metrics:\n        - {type: Pods, pods: {metric: {name: http_requests_per_secnd}, target: {type: AverageValue, averageValue: 10}}}\n        \
             - {type: External, external: {metric: {name: depth, selector: {matchLabels: {queue: mail}}}, target: {type: Value, value: 10}}}\n        \
             - {type: Object, object: {metric: {name: hits}, describedObject: {kind: Service, name: shop}, target: {type: Value, value: 10}}}",
            1,
        )
        .replacen(
            "  marks:",
            "  metrics:\n    - {name: http_requests_per_second, for: {pods: {workload: deployment/shop}}, value: {traffic: requests-per-second}}\n    \
             - {name: depth, for: external, labels: {queue: orders}, value: 5}\n  marks:",
            1,
        );
    let (scenario, said) = load("shop.yaml", &text, &Nothing, &[]);
    assert!(scenario.is_some(), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn a_run_cut_short_by_a_flag_is_only_warned_of_what_lies_behind_its_end() {
    let (scenario, said) = load("shop.yaml", FINE, &Nothing, &[("spec.duration", "4m")]);
    assert!(scenario.is_some(), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn every_code_of_this_crate_has_a_rule() {
    fn walk(folder: &std::path::Path, codes: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), codes);
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                codes.extend(text.match_indices("\"WT0").filter_map(|(at, _)| text.get(at + 1..at + 7)).map(str::to_owned));
            }
        }
    }
    let mut codes = Vec::new();
    walk(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut codes);
    assert!(codes.len() > 50);
    for code in codes.iter().filter(|code| code[2..].bytes().all(|b| b.is_ascii_digit())) {
        assert!(manifests::rule(code).is_some(), "{code}");
    }
}

#[test]
fn everything_wrong_with_a_comparison_is_told_at_once_with_its_place() {
    let text = "apiVersion: wavetank.dev/v1
kind: Comparison
spec:
  scenario: nowhere.yaml
  policies:
    - {policy: bin-pak}
    - {name: nothing}
    - {polcy: default}
  seeds: {count: 0}
  metrics:
    - {metric: latency.p98}
    - {metric: availability, equivalence: 5ms}
  equivalence: {cost.totl: 2%}
  alpha: 2
";
    let known = common::known();
    let options = scenarios::Options { set: Vec::new(), base_dir: None, known, files: &Nothing, strict: false };
    let mut problems = manifests::Problems::default();
    assert_eq!(scenarios::comparison(&manifests::SourceFile::new("night.yaml", text), &options, &mut problems), None);
    insta::assert_snapshot!(manifests::render(&problems, false));
}
