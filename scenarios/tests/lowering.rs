//! What the parts of a scenario mean to the engine, as tables.

extern crate wavetank_scenarios as scenarios;

mod common;

use api::{Kind, ObjectKey, ResourceName, SimDuration, SimTime};
use common::{FINE, Nothing, load, sound};
use engine::random::Distribution;
use engine::spec::{FaultAction, FaultMode, FaultTarget, ProbeKind, ProvisioningFailureReason, StepAction};
use proptest::prelude::*;

fn with(from: &str, to: &str) -> scenarios::Scenario {
    assert!(FINE.contains(from), "{from:?} is not in the sound scenario");
    sound(&FINE.replacen(from, to, 1))
}

/// Seconds, rate, and whether it goes in a straight line from there.
fn points(load: &str) -> Vec<(f64, f64, bool)> {
    let scenario = with("rate: 50/s", load);
    let rate = &scenario.world.traffic.sources[0].rate;
    rate.iter().map(|point| (point.at.as_secs_f64(), point.per_second, point.linear)).collect()
}

#[test]
fn every_way_of_writing_a_load_becomes_points() {
    for (load, expected) in [
        ("rate: 50/s", vec![(0.0, 50.0, false)]),
        ("rate: 1200/m", vec![(0.0, 20.0, false)]),
        ("rate: {shape: step, base: 1/s, peak: 5/s, at: 10s, hold: 20s}", vec![(0.0, 1.0, false), (10.0, 5.0, false), (30.0, 1.0, false)]),
        ("rate: {shape: ramp, from: 1/s, to: 5/s, at: 10s, duration: 20s}", vec![(0.0, 1.0, false), (10.0, 1.0, true), (30.0, 5.0, false)]),
        (
            "rate: {shape: spike, base: 3/s, peak: 120/s, at: 60s, rampUp: 30s, hold: 60s, rampDown: 30s}",
            vec![(0.0, 3.0, false), (60.0, 3.0, true), (90.0, 120.0, false), (90.0 + 60.0, 120.0, true), (180.0, 3.0, false)],
        ),
        (
            "startRate: 300/s, stages: [{duration: 1m, target: 300/s}, {duration: 2m, target: 12000/s}, {duration: 0s, target: 600/s}]",
            vec![(0.0, 300.0, false), (60.0, 300.0, true), (180.0, 600.0, false)],
        ),
        ("startTime: 30s, stages: [{duration: 10s, target: 5/s}]", vec![(0.0, 0.0, false), (30.0, 0.0, true), (40.0, 5.0, false)]),
    ] {
        assert_eq!(points(load), expected, "{load}");
    }
}

#[test]
fn curved_loads_meet_their_ends() {
    let crowd = points("rate: {shape: flash-crowd, base: 10/s, peak: 110/s, at: 1m, decay: 1m}");
    assert_eq!((crowd[0], crowd[1]), ((0.0, 10.0, false), (60.0, 110.0, true)));
    let at_decay = crowd.iter().find(|point| point.0 == 120.0).unwrap().1;
    assert!((at_decay - (10.0 + 100.0 * libm::exp(-1.0))).abs() < 1e-9);
    assert_eq!(crowd.last().unwrap().1, 10.0);
    let day = points("rate: {shape: diurnal, base: 10/s, peak: 30/s, period: 4m, at: 1m}");
    let level = |at: f64| day.iter().find(|point| point.0 == at).unwrap().1;
    assert!((level(60.0) - 30.0).abs() < 1e-9 && (level(180.0) - 10.0).abs() < 1e-9 && (level(0.0) - 20.0).abs() < 1e-9);
}

#[test]
fn distributions_are_read_by_name_or_by_what_they_say() {
    let law = |text: &str| {
        with("queueLimit: 64}", &format!("queueLimit: 64, latencyPerRequest: {text}}}")).world.behaviors[0]
            .service
            .clone()
            .unwrap()
            .latency_per_request
    };
    let ms = SimDuration::from_millis;
    for (text, expected) in [
        ("5ms", Distribution::Constant(ms(5))),
        ("{distribution: constant, value: 5ms}", Distribution::Constant(ms(5))),
        ("{distribution: exponential, mean: 5ms}", Distribution::Exponential { mean: ms(5) }),
        ("{mean: 5ms}", Distribution::Exponential { mean: ms(5) }),
        ("{mean: 5ms, cv: 0}", Distribution::Constant(ms(5))),
        ("{mean: 5ms, cv: 2}", Distribution::lognormal_mean_cv(ms(5), 2.0)),
        ("{distribution: lognormal, median: 5ms, p95: 20ms}", Distribution::lognormal_median_p95(ms(5), ms(20))),
        ("{median: 5ms, p99: 20ms}", Distribution::lognormal_median_p99(ms(5), ms(20))),
        ("{min: 1ms, max: 2ms}", Distribution::Uniform { min: ms(1), max: ms(2) }),
        ("{distribution: weibull, scale: 5ms, shape: 1.5}", Distribution::Weibull { scale: ms(5), shape: 1.5 }),
        ("{values: [3ms, 1ms, 2ms]}", Distribution::Empirical(vec![ms(1), ms(2), ms(3)])),
    ] {
        assert_eq!(law(text), expected, "{text}");
    }
    let cpu = sound(FINE).world.behaviors[0].service.clone().unwrap().cpu_per_request;
    assert_eq!(cpu, Distribution::Exponential { mean: ms(5) });
}

#[test]
fn a_behavior_reads_the_same_with_and_without_service() {
    let nested = sound(FINE);
    let flat = with(
        "service: {cpuPerRequest: {mean: 5ms}, concurrency: 16, queueLimit: 64}",
        "cpuPerRequest: {mean: 5ms}\n      concurrency: 16\n      queueLimit: 64",
    );
    assert_eq!(nested.world.behaviors, flat.world.behaviors);
    let other_words =
        with("service: {cpuPerRequest: {mean: 5ms}, concurrency: 16,", "service: {cpuPerRequest: 5ms, maxInFlightPerPod: 16,");
    assert_eq!(nested.world.behaviors, other_words.world.behaviors);
}

#[test]
fn both_forms_of_traffic_say_the_same() {
    let list = with(
        "  traffic:\n    sources:\n      - {name: shoppers, to: shop, rate: 50/s, timeout: 2s}",
        "  traffic:\n    - {name: shoppers, target: {service: shop}, executor: constant-arrival-rate, rate: 50/s, timeout: 2s}",
    );
    assert_eq!(list.world.traffic, sound(FINE).world.traffic);
}

#[test]
fn retries_are_counted_as_attempts_or_as_more_attempts() {
    let client = |text: &str| with("timeout: 2s", &format!("timeout: 2s, retries: {text}")).world.traffic.sources[0].client.clone();
    let ms = SimDuration::from_millis;
    let one = client("{maxAttempts: 3, backoff: {base: 10ms, max: 50ms}, budget: {ratio: 20%, minPerSecond: 5}}");
    assert_eq!(
        (one.max_attempts, one.backoff_base, one.backoff_max, one.full_jitter, one.retry_budget),
        (3, ms(10), ms(50), true, Some((0.2, 5.0)))
    );
    let two = client("{max: 2, backoff: 200ms, jitter: none}");
    assert_eq!(
        (two.max_attempts, two.backoff_base, two.backoff_max, two.full_jitter, two.retry_budget),
        (3, ms(200), ms(2000), false, None)
    );
    let callee = with("timeout: 2s}", "}").world.traffic.sources[0].client.timeout;
    assert_eq!(callee, SimDuration::from_secs(15));
    let callee = sound(&FINE.replace(", timeout: 2s}", "}").replace("queueLimit: 64}", "queueLimit: 64, timeout: 7s}"));
    assert_eq!(callee.world.traffic.sources[0].client.timeout, SimDuration::from_secs(7));
}

#[test]
fn moments_are_durations_times_of_day_or_relative() {
    let fault = |text: &str| {
        let scenario = sound(
            &FINE
                .replace("  duration: 10m", "  clock: {start: \"2026-11-27T01:57:00Z\"}\n  duration: 10m")
                .replace("at: 5m, kind", &format!("at: {text}, kind")),
        );
        scenario.world.faults[0].at
    };
    assert_eq!(fault("90s"), SimTime::from_secs(90));
    assert_eq!(fault("\"02:00\""), SimTime::from_secs(180));
    assert_eq!(fault("\"01:58:30\""), SimTime::from_secs(90));
    assert_eq!(fault("{after: release, delay: 30s}"), SimTime::from_secs(210));
}

#[test]
fn faults_are_those_of_litmus_and_chaos_mesh() {
    let fault = |text: &str| with("kind: NodeChaos, action: node-poweroff, duration: 2m", text).world.faults[0].clone();
    let kill = fault(
        "kind: PodChaos, action: container-kill, mode: fixed-percent, value: 10, selector: {namespaces: [default]}, schedule: {every: 30s, times: 20}",
    );
    assert_eq!(kill.action, FaultAction::ContainerKill { container: None, exit_code: 137 });
    assert_eq!((kill.mode, kill.schedule), (FaultMode::FixedPercent(10.0), Some((SimDuration::from_secs(30), 20))));
    let node = fault("action: node-poweroff, mode: fixed, value: 2, selector: {nodeSelectors: {topology.kubernetes.io/zone: b}}");
    assert!(matches!(node.target, FaultTarget::Nodes { labels: Some(_), .. }) && node.mode == FaultMode::Fixed(2));
    let of_pod = fault("action: node-drain, selector: {labelSelectors: {app: shop}, target: node-of-pod}");
    assert!(matches!(of_pod.target, FaultTarget::NodesOfPods(_)) && of_pod.mode == FaultMode::One);
    let stockout = fault("action: provisioning-failure, nodePools: [general], share: 50%, duration: 1h");
    let FaultAction::ProvisioningFailure(failure) = &stockout.action else { panic!("{stockout:?}") };
    assert_eq!((&*failure.pools[0], failure.reason), ("general", ProvisioningFailureReason::OutOfResources));
    assert_eq!((failure.share, failure.after), (0.5, SimDuration::from_secs(10)));
    let gentle = fault("action: pod-kill, gracePeriod: 30");
    assert_eq!(gentle.action, FaultAction::PodKill { grace: SimDuration::from_secs(30) });
    let sick = fault("action: probe-failure, probe: liveness");
    assert_eq!(sick.action, FaultAction::ProbeFailure { container: None, probe: ProbeKind::Liveness });
}

#[test]
fn a_scenario_may_ask_for_what_a_watch_tells() {
    assert!(!sound(FINE).world.watch);
    assert!(with("  duration: 10m", "  trace: {watch: true}\n  duration: 10m").world.watch);
}

#[test]
fn steps_are_what_kubectl_does() {
    let step = |text: &str| {
        with("setImage: {workload: deployment/shop, image: \"registry.example/shop:1.1\"}", text).world.steps[0].action.clone()
    };
    let shop = || (Kind::Deployment, ObjectKey::new("default", "shop"));
    assert_eq!(step("scale: {workload: deploy/shop, replicas: 5}"), StepAction::Scale(shop().0, shop().1, 5));
    assert_eq!(
        step("setImage: {workload: deployment/default/shop, containers: {app: x}}"),
        StepAction::SetImage(shop().0, shop().1, vec![("app".into(), "x".into())])
    );
    assert_eq!(step("rolloutUndo: deployment/shop"), StepAction::RolloutUndo(shop().0, shop().1, None));
    assert_eq!(step("rolloutUndo: {workload: deployment/shop, toRevision: 2}"), StepAction::RolloutUndo(shop().0, shop().1, Some(2)));
    assert_eq!(step("rolloutPause: deployment/shop"), StepAction::RolloutPause(shop().0, shop().1, true));
    assert_eq!(step("drain: general-0"), StepAction::Drain("general-0".into()));
    assert!(
        matches!(step("label: {pods: {workload: deploy/shop}, first: 1, labels: {app: debug}}"), StepAction::LabelPods(pods, Some(1), labels) if pods.workload == Some(shop()) && labels.len() == 1)
    );
    assert!(matches!(step("label: {node: general-1, labels: {disk: ssd}}"), StepAction::LabelNode(node, _) if &*node == "general-1"));
    assert!(
        matches!(step("taint: {node: general-1, taint: \"a=b:NoExecute-\"}"), StepAction::Taint(node, taint, false) if &*node == "general-1" && &*taint.value == "b")
    );
    let applied =
        step("apply: {apiVersion: v1, kind: Service, metadata: {name: more}, spec: {selector: {app: shop}, ports: [{port: 80}]}}");
    assert!(matches!(applied, StepAction::Apply(objects) if objects.services.len() == 1));
}

#[test]
fn expectations_are_in_base_units() {
    let value = |text: &str| with("metric: availability, where: {service: shop}, op: \">=\", value: 99.5%", text).questions[0].value;
    for (text, expected) in [
        ("metric: availability, op: \">=\", value: 99.5%", 0.995),
        ("metric: availability, op: \">=\", value: 0.995", 0.995),
        ("metric: latency.p99, op: <, value: 400ms", 0.4),
        ("metric: latency.p99, op: <, value: 7m", 420.0),
        ("metric: throughput, op: \">=\", value: 300/s", 300.0),
        ("metric: pods.pending, op: <=, value: 150", 150.0),
    ] {
        assert!((value(text) - expected).abs() < 1e-12, "{text}: {}", value(text));
    }
}

#[test]
fn settings_of_components_are_read_under_their_flags_names() {
    let plane = with("  manifests:", "  controlPlane:\n    nodeLifecycle: {nodeMonitorGracePeriod: 40s, nodeEvictionRate: 0.2}\n    scheduler: {podMaxBackoffSeconds: 20}\n    apiServer: {defaultUnreachableTolerationSeconds: 30}\n    clusterAutoscaler: {expander: \"priority, price\", scaleDownEnabled: false, coresTotal: 2:80, expendablePodsPriorityCutoff: -5, expanderPriorities: {5: [a], 50: [b, c]}}\n    horizontalPodAutoscaler: {tolerance: 5%}\n    kubelet: {imagePull: {median: 8s, p95: 25s}, evictionHardMemoryAvailable: 200Mi, shutdownGracePeriod: 30s}\n  manifests:").world.control_plane;
    let seconds = SimDuration::from_secs;
    assert_eq!((plane.node_lifecycle.node_monitor_grace_period, plane.node_lifecycle.node_eviction_rate), (seconds(40), 0.2));
    assert_eq!((plane.scheduler.pod_max_backoff, plane.api_server.default_unreachable_toleration_seconds), (seconds(20), 30));
    assert_eq!((&*plane.cluster_autoscaler.expander, plane.cluster_autoscaler.scale_down_enabled), ("priority, price", false));
    let autoscaler = &plane.cluster_autoscaler;
    assert_eq!((autoscaler.cores_total, autoscaler.expendable_pods_priority_cutoff), ((2, 80), -5));
    assert_eq!(autoscaler.expander_priorities, [(50, "b".into()), (50, "c".into()), (5, "a".into())]);
    assert_eq!(plane.horizontal_pod_autoscaler.tolerance, 0.05);
    assert_eq!(plane.kubelet.default_image_pull, Distribution::lognormal_median_p95(seconds(8), seconds(25)));
    assert_eq!((plane.kubelet.eviction_hard_memory_available_bytes, plane.kubelet.shutdown_grace_period), (200 << 20, seconds(30)));
}

/// The one metric that this text is.
fn metric(text: &str) -> engine::spec::Metric {
    let scenario = with("  marks:", &format!("  metrics: [{text}]\n  marks:"));
    scenario.world.metrics.into_iter().next().unwrap_or_else(|| panic!("{text} is no metric"))
}

#[test]
fn metrics_are_of_pods_objects_or_something_outside() {
    use engine::spec::{MetricOf, MetricValue, TrafficMeasure};
    let shop = || ObjectKey::new("default", "shop");
    let of = |text: &str| metric(&format!("{{name: m, for: {text}, value: 1}}")).of;
    assert!(
        matches!(of("{pods: {workload: deployment/shop}}"), MetricOf::Pods(selector) if selector.workload == Some((Kind::Deployment, shop())))
    );
    assert_eq!(of("{object: {kind: Service, name: shop}}"), MetricOf::Object { kind: "Service".into(), key: shop() });
    assert_eq!(
        of("{object: {kind: Ingress, name: web/front}}"),
        MetricOf::Object { kind: "Ingress".into(), key: ObjectKey::new("web", "front") }
    );
    let depth = metric(
        "{name: depth, for: external, labels: {queue: mail}, lag: 90s, resolution: 1m, value: {traffic: queue-length, service: shop}}",
    );
    assert_eq!((depth.of, depth.value), (MetricOf::External, MetricValue::Traffic(TrafficMeasure::QueueLength, Some(shop()))));
    assert_eq!((depth.lag, depth.resolution), (SimDuration::from_secs(90), Some(SimDuration::from_secs(60))));
    assert_eq!(depth.labels, [("queue".into(), "mail".into())].into());
    let own = metric("{name: rps, for: {object: {kind: Service, name: shop}}, value: {traffic: requests-per-second}}");
    assert_eq!(own.value, MetricValue::Traffic(TrafficMeasure::RequestsPerSecond, Some(shop())));
}

#[test]
fn every_way_of_writing_a_metrics_value_becomes_points() {
    struct Recorded;
    impl scenarios::FileSource for Recorded {
        fn read(&self, path: &str) -> Result<Option<String>, String> {
            Ok((path == "depth.csv").then(|| "time,mail,orders\n100,1,20\n160,2,35\n".to_owned()))
        }
        fn matching(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }
    for (value, expected, is_shared) in [
        ("250m", vec![(0, 250, false)], false),
        (
            "{series: [{at: 0s, value: 1k}, {at: {after: release, delay: 1m}, value: 2}]}",
            vec![(0, 1_000_000, false), (240, 2000, false)],
            false,
        ),
        ("{series: [{at: 1m, value: 1}, {at: 2m, value: 3}], linear: true, shared: true}", vec![(60, 1000, true), (120, 3000, true)], true),
        ("{path: depth.csv, column: orders, scale: 0.1}", vec![(0, 2000, false), (60, 3500, false)], false),
        ("{path: depth.csv}", vec![(0, 1000, false), (60, 2000, false)], false),
    ] {
        let text = FINE.replacen("  marks:", &format!("  metrics: [{{name: m, for: {{pods: {{}}}}, value: {value}}}]\n  marks:"), 1);
        let (scenario, said) = load("shop.yaml", &text, &Recorded, &[]);
        let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
        let engine::spec::MetricValue::Series { points, shared } = &scenario.world.metrics[0].value else { panic!("{value} is no series") };
        let found: Vec<(u64, i64, bool)> = points.iter().map(|point| (point.at.as_secs(), point.value_millis, point.linear)).collect();
        assert_eq!((found, *shared), (expected, is_shared), "{value}");
    }
}

#[test]
fn an_autoscaler_may_go_to_zero_when_its_gate_is_on() {
    let external = "metrics: [{type: External, external: {metric: {name: depth}, target: {type: AverageValue, averageValue: \"30\"}}}]";
    let text = FINE
        .replacen("minReplicas: 3", "minReplicas: 0", 1)
        .replacen("metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]", external, 1)
        .replacen(
            "  manifests:",
            "  controlPlane: {featureGates: {HPAScaleToZero: true}}\n  metrics: [{name: depth, for: external, value: 5}]\n  manifests:",
            1,
        );
    let scenario = sound(&text);
    assert!(scenario.world.control_plane.feature_gates.hpa_scale_to_zero);
    assert_eq!(scenario.world.objects.horizontal_pod_autoscalers[0].min_replicas, 0);
}

#[test]
fn what_a_kubelet_is_told_of_images_disks_and_shutdowns_is_read() {
    use engine::spec::{EvictionSignal, EvictionValue};
    let kubelet = |fields: &str| with("  manifests:", &format!("  controlPlane: {{kubelet: {{{fields}}}}}\n  manifests:"));
    let scenario = kubelet(
        "evictionHard: {nodefs.available: 5%}, evictionSoft: {memory.available: 1Gi}, evictionSoftGracePeriod: {memory.available: 90s}, evictionMinimumReclaim: {nodefs.available: 2Gi}, maxParallelImagePulls: 3, imagePullBandwidth: 64Mi, shutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 60}, {priority: 1000, shutdownGracePeriodSeconds: 10s}]",
    );
    let settings = &scenario.world.control_plane.kubelet;
    let seconds = SimDuration::from_secs;
    assert_eq!(settings.eviction_hard, Some(vec![(EvictionSignal::NodefsAvailable, EvictionValue::Percent(5.0))]));
    assert_eq!(settings.eviction_soft, [(EvictionSignal::MemoryAvailable, EvictionValue::Amount(1 << 30))]);
    assert_eq!(settings.eviction_soft_grace_period, [(EvictionSignal::MemoryAvailable, seconds(90))]);
    assert_eq!(settings.eviction_minimum_reclaim, [(EvictionSignal::NodefsAvailable, EvictionValue::Amount(2 << 30))]);
    assert_eq!((settings.max_parallel_image_pulls, settings.serialize_image_pulls), (3, false), "more than one at once is not one by one");
    assert_eq!(settings.image_pull_bandwidth_bytes, 64 << 20);
    assert_eq!(settings.shutdown_grace_period_by_pod_priority, [(0, seconds(60)), (1000, seconds(10))]);
    let replaced = "evictionHard replaces all defaults, so there is none for memory.available, imagefs.available";
    assert!(scenario.notes.iter().any(|note| note.contains(replaced)), "{:?}", scenario.notes);
    let again = sound(&scenarios::resolved_yaml(&scenario));
    assert_eq!(again.world, scenario.world, "what is resolved says the same");
}

#[test]
fn images_hooks_and_what_containers_use_are_read() {
    let behavior = "      postStart: 3s\n      postStartFails: true\n      readinessGates: 5s\n      ephemeralStorageOverTime: [{after: 0s, bytes: 1Mi}, {after: 1h, bytes: 2Gi}]\n      processesOverTime: [{after: 0s, count: 4}]\n      service: {";
    let images = "  images: [{name: \"registry.example/shop:*\", size: 900Mi}]\n  manifests:";
    let scenario = sound(&FINE.replacen("  manifests:", images, 1).replacen("      service: {", behavior, 1));
    assert_eq!(scenario.world.images.sizes, [("registry.example/shop:*".into(), 900 << 20)]);
    assert!(scenario.notes.iter().any(|note| note == "assumed: images: 32Mi of bandwidth per node"), "{:?}", scenario.notes);
    let behavior = &scenario.world.behaviors[0];
    let constant = |seconds| Some(Distribution::Constant(SimDuration::from_secs(seconds)));
    assert_eq!((&behavior.post_start, behavior.post_start_fails, &behavior.readiness_gates), (&constant(3), true, &constant(5)));
    let points = |uses: &Option<engine::spec::MemoryUse>| uses.as_ref().map(|uses| uses.points.clone()).unwrap_or_default();
    assert_eq!(points(&behavior.storage), [(SimDuration::ZERO, 1 << 20), (SimDuration::from_secs(3600), 2 << 30)]);
    assert_eq!(points(&behavior.pids), [(SimDuration::ZERO, 4)]);
}

#[test]
fn a_resize_changes_what_it_names() {
    let scenario = with(
        "setImage: {workload: deployment/shop, image: \"registry.example/shop:1.1\"}",
        "resize: {workload: deployment/shop, container: app, requests: {cpu: 750m}, limits: {memory: 1Gi}}",
    );
    let StepAction::Resize(kind, key, resize) = &scenario.world.steps[0].action else { panic!("{:?}", scenario.world.steps) };
    assert_eq!((*kind, &*key.name, resize.container.as_deref()), (Kind::Deployment, "shop", Some("app")));
    assert_eq!(resize.requests, [(ResourceName::Cpu, 750)].into());
    assert_eq!(resize.limits, [(ResourceName::Memory, 1 << 30)].into());
}

#[test]
fn the_resolved_scenario_is_the_same_scenario() {
    let scenario = sound(FINE);
    let resolved = scenarios::resolved_yaml(&scenario);
    assert!(resolved.contains("nodeMonitorGracePeriod: 50s") && resolved.contains("queueLimit: 64"), "{resolved}");
    let again = sound(&resolved);
    assert_eq!((again.world, again.questions, again.seeds), (scenario.world, scenario.questions, scenario.seeds));
}

#[test]
fn a_setting_is_as_good_as_the_file() {
    let (set, said) = load("shop.yaml", FINE, &Nothing, &[("duration", "20m"), ("cluster.nodePools[name=general].count.max", "9")]);
    let set = set.unwrap_or_else(|| panic!("{said}"));
    let written = sound(&FINE.replace("  duration: 10m", "  duration: 20m").replace("max: 4}", "max: 9}"));
    assert_eq!((set.world, set.digest), (written.world, written.digest));
}

/// The lines of the sound scenario, for tests that mangle it.
fn lines() -> Vec<&'static str> {
    FINE.lines().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = load("any.yaml", &text, &Nothing, &[]);
    }

    #[test]
    fn no_value_anywhere_makes_it_panic(line in 0usize..60, value in prop_oneof![
        Just("null"), Just("[]"), Just("{}"), Just("-1"), Just("1e300"), Just(".nan"), Just("\"\""), Just("99999999999999999999"), Just("0"),
        Just("true"), Just("{a: b}"), Just("[1, [2]]"), Just("0s"), Just("1e9s"), Just("\"25:00\""), Just("/"), Just("a/b/c/d"), Just("'*'"), Just("0.0001/h"),
    ]) {
        let mut lines: Vec<String> = lines().into_iter().map(str::to_owned).collect();
        let index = line % lines.len();
        let at = &lines[index];
        // Replaces the first value of the line.
        if let Some(colon) = at.find(": ") {
            let end = at[colon + 2..].find([',', '}']).map_or(at.len(), |end| colon + 2 + end);
            lines[index] = format!("{}: {value}{}", &at[..colon], &at[end..]);
        } else {
            lines.remove(index);
        }
        let _ = load("any.yaml", &lines.join("\n"), &Nothing, &[]);
    }

    #[test]
    fn no_setting_makes_it_panic(path in "[a-z.\\[\\]=0-9]{0,30}", value in "\\PC{0,20}") {
        let _ = load("shop.yaml", FINE, &Nothing, &[(&path, &value)]);
    }
}

#[test]
fn a_behavior_speaks_of_one_container_its_memory_and_its_failures() {
    let behaviors = "behaviors:\n    - {workload: deployment/shop, container: app, startup: {imagePull: 1s, imagePullError: manifest unknown}, preStop: 2s, crash: {after: 3s, times: 2}, memoryOverTime: [{after: 0s, bytes: 100Mi}, {after: 10m, bytes: 1Gi}]}";
    let scenario = with("behaviors:", behaviors);
    let found = &scenario.world.behaviors[0];
    let seconds = |seconds| Some(Distribution::Constant(SimDuration::from_secs(seconds)));
    assert_eq!((found.container.as_deref(), found.image_pull_error.as_deref()), (Some("app"), Some("manifest unknown")));
    assert_eq!((&found.image_pull, &found.pre_stop), (&seconds(1), &seconds(2)));
    assert_eq!(found.crash.as_ref().map(|crash| (crash.exit_code, crash.times)), Some((1, Some(2))));
    let points = found.memory.as_ref().map(|memory| memory.points.clone());
    assert_eq!(points, Some(vec![(SimDuration::ZERO, 100 << 20), (SimDuration::from_secs(600), 1 << 30)]));
}

#[test]
fn protections_caches_and_queues_are_read_with_their_usual_numbers() {
    use engine::spec::{Balancing, CancelOnTimeout, CircuitBreaker, ClientThrottle, TokenBucket, WorkerQueue};
    let scenario = with(
        "rate: 50/s",
        "rate: 50/s, balancing: least-request, circuitBreaker: {}, clientThrottle: {k: 3}, connectionPool: {max: 8}, \
         retries: {maxAttempts: 3, tokenBucket: {cost: 7}}",
    );
    let client = &scenario.world.traffic.sources[0].client;
    assert_eq!(client.circuit_breaker, Some(CircuitBreaker::default()));
    assert_eq!(client.throttle, Some(ClientThrottle { k: 3.0, ..ClientThrottle::default() }));
    assert_eq!(client.token_bucket, Some(TokenBucket { cost: 7, ..TokenBucket::default() }));
    assert_eq!((client.connection_pool, client.balancing), (Some(8), Balancing::LeastRequest));
    let scenario = with(
        "queueLimit: 64}",
        "cancelOnTimeout: inflight, cfsPeriod: none, overloadPenalty: {sigma: 0.1}, worker: {consumersPerPod: 4}, \
         memory: {base: 100Mi, perInflight: 64Ki}}",
    );
    let service = scenario.world.behaviors[0].service.clone().unwrap();
    assert_eq!(
        service.worker,
        Some(WorkerQueue { consumers_per_pod: 4, visibility_timeout: SimDuration::from_secs(30), max_deliveries: 5 })
    );
    assert_eq!((service.cancel_on_timeout, service.cfs_period), (CancelOnTimeout::InFlight, SimDuration::ZERO));
    assert_eq!(service.overload_penalty, (0.1, 0.0));
    assert_eq!(service.memory.map(|memory| (memory.base_bytes, memory.per_in_flight_bytes)), Some((100 << 20, 64 << 10)));
}

#[test]
fn users_of_a_closed_source_think_between_requests() {
    let scenario = with("rate: 50/s", "model: closed, users: 20, thinkTime: 5s");
    let users = scenario.world.traffic.sources[0].users.clone().unwrap();
    assert_eq!((users.count, users.think), (20, Distribution::Exponential { mean: SimDuration::from_secs(5) }));
    assert!(scenario.world.traffic.sources[0].rate.is_empty());
}

#[test]
fn the_traffic_engine_is_chosen_by_cost_and_by_what_can_be_counted_together_and_the_scenario_says_why() {
    use engine::spec::TrafficEngine::{Cohort, Exact};
    let big = FINE.replacen("rate: 50/s", "rate: 500000/s", 1);
    let crowd = big.replacen("replicas: 3", "replicas: 12", 1);
    let bursts = crowd.replacen("rate: 500000/s", "rate: 500000/s, arrivals: mmpp", 1);
    let kept = crowd.replacen("rate: 500000/s", "rate: 500000/s, connections: {protocol: http2}", 1);
    let engine = |word: &'static str| vec![("spec.traffic.engine", word)];
    for (text, set, expected, why) in [
        (FINE.to_owned(), vec![], Exact, "(auto): every request by itself, about"),
        (big.clone(), vec![], Exact, "pods behind"),
        (kept, vec![], Exact, "has no `connections`"),
        (bursts, vec![], Cohort, "(auto), because one by one they would be about"),
        (crowd.clone(), vec![], Cohort, "(auto), because one by one they would be about"),
        (crowd.clone(), engine("exact"), Exact, "as the scenario asks"),
        (crowd, vec![("spec.traffic.exactEventBudget", "1000000000000")], Exact, "(auto): every request by itself"),
        (FINE.to_owned(), engine("cohort"), Cohort, "as the scenario asks: requests are counted together"),
    ] {
        let (scenario, said) = load("test.yaml", &text, &Nothing, &set);
        let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
        assert_eq!(scenario.world.traffic.engine, expected, "{why}");
        assert!(scenario.notes.iter().any(|note| note.contains("traffic engine") && note.contains(why)), "{why}: {:?}", scenario.notes);
    }
}

#[test]
fn a_load_counted_together_near_what_can_be_served_is_told_to_be_near_a_tipping_point() {
    // Three pods serve 600/s, ten 2000/s.
    for (rate, retries, near) in [
        ("590/s", "", true),
        ("1960/s", "", true),
        ("1200/s", "", false),
        ("660/s", "", false),
        ("660/s", ", retries: {maxAttempts: 3}", true),
        ("660/s", ", retries: {maxAttempts: 3, budget: {ratio: 0.2}}", false),
    ] {
        let text = FINE.replacen("rate: 50/s", &format!("rate: {rate}{retries}"), 1);
        let (scenario, said) = load("test.yaml", &text, &Nothing, &[("spec.traffic.engine", "cohort")]);
        let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
        assert_eq!(
            scenario.notes.iter().any(|note| note.starts_with("near a tipping point")),
            near,
            "{rate}{retries}: {:?}",
            scenario.notes
        );
        assert_eq!(said.contains("WT0507"), near, "{said}");
    }
}

#[test]
fn ways_in_connections_and_names_are_read_with_their_usual_numbers() {
    use engine::spec::{Balancing, Connections, Dns, Via};
    let source = |text: &str| with("rate: 50/s", text).world.traffic.sources[0].clone();
    let plain = source("rate: 50/s");
    assert_eq!(
        (plain.via, plain.clients, plain.client.connections, plain.client.balancing),
        (Via::ClusterIp, None, None, Balancing::KubeProxy)
    );
    let kept =
        source("rate: 50/s, via: Ingress, clients: 200, address: 203.0.113.7, connections: {protocol: http2, connectionLifetime: 5m}");
    assert_eq!((kept.via, kept.clients, kept.address), (Via::Ingress, Some(200), "203.0.113.7".parse().ok()));
    let five_minutes = Some(SimDuration::from_secs(300));
    assert_eq!(kept.client.connections, Some(Connections { multiplexed: true, lifetime: five_minutes, ..Connections::default() }));
    let named = source("rate: 50/s, dns: {ttl: none, pinned: true}");
    assert_eq!(named.client.dns, Dns { ttl: SimDuration::MAX, pinned: true });
}

#[test]
fn a_door_that_a_service_does_not_have_and_other_slips_of_the_network_are_errors() {
    for (text, said) in [
        ("rate: 50/s, via: LoadBalancer", "the manifest would have to say type: LoadBalancer"),
        ("rate: 50/s, via: NodePort", "type: NodePort or LoadBalancer"),
        ("rate: 50/s, via: Nodeport", "did you mean `NodePort`?"),
        ("rate: 50/s, address: somewhere", "expected such as 203.0.113.7"),
        ("rate: 50/s, clients: 0", "expected at least 1"),
        ("users: 5, clients: 3", "each user is a client"),
        ("rate: 50/s, balancing: least-request, connections: {}", "a mesh chooses for each request"),
        ("rate: 50/s, connections: {protocol: http3}", "unknown value `http3`"),
        ("rate: 50/s, connections: {requestsPerConnection: 0}", "expected at least 1"),
    ] {
        assert!(FINE.contains("rate: 50/s"));
        let (scenario, found) = load("test.yaml", &FINE.replacen("rate: 50/s", text, 1), &Nothing, &[]);
        assert!(scenario.is_none() && found.contains(said), "{text}: {found}");
    }
}
