//! One autoscaler, look by look.

use super::super::bench::{Bench, bench, pod};
use super::*;
use crate::spec::{Metric, MetricOf, MetricPoint, MetricValue, PodSelector};
use crate::store::Id;
use api::{
    DescribedObject, IntOrPercent, LabelSelector, MetricIdentifier, MetricSpec, MetricTarget, ResourceName, ScalingPolicy,
    ScalingPolicySelect, ScalingRules,
};

const HPA: HpaId = Id::new(0);

/// A ReplicaSet `web` with one autoscaler on it; load is shared by all its pods.
struct Rig {
    bench: Bench,
    controller: HpaController,
    metrics: PodMetrics,
    custom: CustomMetrics,
}

fn rig(replicas: i32, min: i32, max: i32, target: i32, behavior: Option<HpaBehavior>) -> Rig {
    let mut bench = bench().replica_set("web", replicas).at(1000);
    let metrics = vec![MetricSpec { source: MetricSource::Resource(ResourceName::Cpu), target: MetricTarget::AverageUtilization(target) }];
    let mut hpa = HorizontalPodAutoscaler {
        target_kind: "ReplicaSet".into(),
        target_name: "web".into(),
        min_replicas: min,
        max_replicas: max,
        metrics,
        behavior,
        ..HorizontalPodAutoscaler::default()
    };
    (hpa.meta.namespace, hpa.meta.name) = ("default".into(), "web".into());
    bench.store.create(hpa, bench.now, &bench.streams).expect("a free name");
    Rig { bench, controller: HpaController::default(), metrics: PodMetrics::default(), custom: CustomMetrics::default() }
}

impl Rig {
    /// The next look: as many old pods as wanted share the load (in millicpu, of which each asks for 100).
    fn look(&mut self, load_millis: i64) -> Vec<String> {
        self.bench.now += SimDuration::from_secs(15);
        let id = Id::new(0);
        let wanted = self.bench.store.replica_sets.get(id).expect("it is there").replicas;
        let have = self.bench.store.pods.len() as i32;
        for number in have..wanted {
            let bench = std::mem::replace(&mut self.bench, bench());
            self.bench = bench.owned_pod("web", pod(&format!("web-{number:03}")).ready_since(0));
        }
        self.measure(load_millis, wanted);
        let (now, hpa) = (self.bench.now, HPA);
        let lines =
            self.bench.run(|view, out| self.controller.sync(hpa, view, MetricsApis { resource: &self.metrics, custom: &self.custom }, out));
        self.follow(&lines);
        let period = now + SimDuration::from_secs(15);
        assert_eq!(lines.last(), Some(&format!("at {period}: HpaSync(#0)")), "every 15 s");
        lines[..lines.len() - 1].to_vec()
    }
    fn measure(&mut self, load_millis: i64, wanted: i32) {
        self.metrics.clear();
        let surplus: Vec<PodId> = self.bench.store.pods.iter().map(|(id, _)| id).skip(wanted as usize).collect();
        for id in surplus {
            self.bench.store.remove_pod(id);
        }
        for (_, pod) in self.bench.store.pods.iter() {
            self.metrics.set(pod.meta.uid, load_millis / i64::from(wanted), self.bench.now);
        }
    }
    /// The scale subresource of a ReplicaSet.
    fn follow(&mut self, lines: &[String]) {
        let scale = lines.iter().find_map(|line| line.split(" to ").nth(1)?.split(';').next()?.parse().ok());
        if let Some(replicas) = scale {
            self.bench.scale_replica_set("web", replicas);
        }
    }
    fn replicas(&self) -> i32 {
        self.bench.store.replica_sets.get(Id::new(0)).expect("it is there").replicas
    }
    fn sizes(&mut self, load_millis: i64, looks: usize) -> Vec<i32> {
        (0..looks)
            .map(|_| {
                self.look(load_millis);
                self.replicas()
            })
            .collect()
    }
}

#[test]
fn a_forty_fold_load_grows_as_recorded() {
    // conformance/timelines/s06-hpa-40x-*
    let mut rig = rig(10, 10, 200, 80, None);
    assert_eq!(rig.sizes(800, 1), [10]);
    assert_eq!(
        rig.look(32_000),
        [
            "horizontal-pod-autoscaler scale ReplicaSet/default/web to 20; SuccessfulRescale HorizontalPodAutoscaler/default/web: \
             New size: 20; reason: cpu resource utilization (percentage of request) above target",
            "horizontal-pod-autoscaler status current=10 desired=20 scaled",
            "autoscale 10 -> 400 -> 20 (cpu: 3200%/80%) ScaleUpLimit",
        ]
    );
    assert_eq!(rig.sizes(32_000, 5), [40, 80, 160, 200, 200]);
}

#[test]
fn shrinking_waits_for_the_last_higher_recommendation_to_be_300_s_old() {
    let mut rig = rig(10, 10, 200, 80, None);
    rig.sizes(32_000, 5);
    rig.sizes(32_000, 1); // The last high recommendation.
    assert_eq!(rig.sizes(800, 19), [200; 19]);
    let lines = rig.look(800);
    assert!(lines[0].ends_with("New size: 10; reason: All metrics below target"), "{lines:?}");
    assert_eq!(rig.replicas(), 10);
}

#[test]
fn the_trap_of_a_restart_the_first_size_seen_holds_for_300_s() {
    let mut rig = rig(10, 1, 20, 50, None);
    assert_eq!(rig.sizes(0, 20), [10; 20]);
    assert_eq!(rig.look(0)[2], "autoscale 10 -> 0 -> 1 (cpu: 0%/50%) TooFewReplicas");
}

fn rules(policies: &[(IntOrPercent, u64)]) -> ScalingRules {
    let policies = policies.iter().map(|(amount, seconds)| ScalingPolicy { amount: *amount, period: SimDuration::from_secs(*seconds) });
    ScalingRules { stabilization_window: None, select: ScalingPolicySelect::Max, policies: policies.collect(), tolerance_micros: None }
}
fn default_behavior() -> HpaBehavior {
    HpaBehavior {
        scale_up: rules(&[(IntOrPercent::Count(4), 15), (IntOrPercent::Percent(100), 15)]),
        scale_down: rules(&[(IntOrPercent::Percent(100), 15)]),
    }
}

#[test]
fn four_pods_grow_to_forty_by_doubling() {
    let mut rig = rig(4, 1, 100, 50, Some(default_behavior())); // T31b of the traffic tests
    assert_eq!(rig.sizes(2000, 5), [8, 16, 32, 40, 40]);
}

#[test]
fn a_policy_counts_what_was_added_in_its_period() {
    let mut behavior = default_behavior();
    behavior.scale_up = rules(&[(IntOrPercent::Count(4), 60)]);
    let mut rig = rig(4, 1, 100, 50, Some(behavior));
    assert_eq!(rig.sizes(5000, 9), [8, 8, 8, 8, 12, 12, 12, 12, 16]);
}

#[test]
fn a_scale_down_policy_cuts_and_min_picks_the_smaller_step() {
    let mut behavior = default_behavior();
    behavior.scale_down = ScalingRules {
        stabilization_window: Some(SimDuration::ZERO),
        select: ScalingPolicySelect::Min,
        ..rules(&[(IntOrPercent::Percent(10), 15), (IntOrPercent::Count(3), 15)])
    };
    let mut rig = rig(15, 1, 100, 50, Some(behavior));
    // 10 % of 15 leaves trunc(13.5) = 13, three pods leave 12: the smaller step is two.
    assert_eq!(rig.sizes(0, 3), [13, 11, 9]);
}

#[test]
fn an_up_window_takes_the_lowest_recommendation_in_it() {
    let mut behavior = default_behavior();
    behavior.scale_up.stabilization_window = Some(SimDuration::from_secs(60));
    let mut rig = rig(4, 1, 100, 50, Some(behavior));
    rig.look(200);
    let lines = rig.look(400);
    let status = "horizontal-pod-autoscaler status current=4 desired=4"; // AbleToScale has another reason now.
    assert_eq!(lines, [status, "autoscale 4 -> 8 -> 4 (cpu: 100%/50%) ScaleUpStabilized"]);
    assert_eq!(rig.sizes(400, 4), [4, 4, 8, 8]);
}

#[test]
fn without_behavior_a_size_doubles_at_most_or_is_four() {
    // (current, asked for, least, most, size, why)
    for (current, asked, min, max, size, why) in [
        (10, 7, 1, 10, 7, "DesiredWithinRange"),
        (1, 1, 2, 10, 2, "TooFewReplicas"),
        (10, 11, 1, 10, 10, "TooManyReplicas"),
        (3, 9, 1, 10, 6, "ScaleUpLimit"),
        (1, 10, 1, 10, 4, "ScaleUpLimit"),
        (2, 4, 1, 10, 4, "DesiredWithinRange"),
        (1, 10, 1, 3, 3, "TooManyReplicas"),
        (5, 0, 3, 10, 3, "TooFewReplicas"),
        (5, 20, 1, 10, 10, "TooManyReplicas"), // Twice five is the most there may be.
    ] {
        assert_eq!(limit_without_behavior(current, asked, min, max), (size, why), "{current} {asked} {min} {max}");
    }
}

#[test]
fn policies_limit_what_is_added_or_taken_in_their_periods() {
    use IntOrPercent::{Count, Percent};
    use ScalingPolicySelect::{Disabled, Max, Min};
    let now = SimTime::from_secs(1000);
    let event = |ago: u64, change| ScaleEvent { at: SimTime::from_secs(1000 - ago), change };
    let none: &[ScaleEvent] = &[];
    let (ten_ago_30, ten_ago_60) = ([event(30, 10)], [event(60, 10)]);
    // (current, added, taken, policies, which, limit up, limit down)
    type Row<'a> = (i32, &'a [ScaleEvent], &'a [ScaleEvent], &'a [(IntOrPercent, u64)], ScalingPolicySelect, i32, i32);
    let rows: [Row<'_>; 14] = [
        (100, none, none, &[(Count(4), 60)], Max, 104, 96),
        (100, none, none, &[(Percent(50), 60)], Max, 150, 50),
        (100, none, none, &[(Count(4), 60), (Percent(50), 60)], Max, 150, 50), // The larger step either way.
        (100, none, none, &[(Count(4), 60), (Percent(50), 60)], Min, 104, 96),
        (100, none, none, &[(Count(4), 60), (Percent(50), 60)], Disabled, 100, 100),
        (3, none, none, &[(Percent(10), 60)], Max, 4, 2),    // 3.3 up, 2.7 cut.
        (15, none, none, &[(Percent(10), 60)], Max, 17, 13), // 16.5 up, 13.5 cut.
        // 100 * 1.1 is 110.00000000000001 in floating point, and upstream rounds that up too.
        (100, none, none, &[(Percent(10), 60)], Max, 111, 90),
        (7, none, none, &[(Percent(100), 60)], Max, 14, 0),
        (20, &ten_ago_30, none, &[(Count(4), 60)], Max, 14, 6), // It was 10 when the period began.
        (20, none, &ten_ago_30, &[(Count(4), 60)], Max, 34, 26), // It was 30.
        (20, &ten_ago_60, none, &[(Count(4), 60)], Max, 24, 16), // Just over.
        (20, &ten_ago_30, &ten_ago_30, &[(Count(4), 60)], Max, 24, 16),
        (20, &ten_ago_30, none, &[(Count(4), 60), (Count(2), 15)], Max, 22, 6), // Each policy looks back its own period.
    ];
    for (current, added, taken, policies, select, up, down) in rows {
        let rules = ScalingRules { select, ..rules(policies) };
        let limits = (scale_up_limit(current, added, taken, &rules, now), scale_down_limit(current, added, taken, &rules, now));
        assert_eq!(limits, (up, down), "{current} {added:?} {taken:?} {policies:?} {select:?}");
    }
}

#[test]
fn a_disabled_direction_stays_as_it_is() {
    let disabled = |rules: ScalingRules| ScalingRules { select: ScalingPolicySelect::Disabled, ..rules };
    let HpaBehavior { scale_up, scale_down } = default_behavior();
    let frozen_up = HpaBehavior { scale_up: disabled(scale_up), scale_down };
    assert_eq!(rig(4, 1, 100, 50, Some(frozen_up)).sizes(2000, 3), [4, 4, 4]);
    let HpaBehavior { scale_up, scale_down } = default_behavior();
    let down = ScalingRules { stabilization_window: Some(SimDuration::ZERO), ..disabled(scale_down) };
    assert_eq!(rig(4, 1, 100, 50, Some(HpaBehavior { scale_up, scale_down: down })).sizes(0, 3), [4, 4, 4]);
}

#[test]
fn a_down_window_of_its_own_takes_the_highest_recommendation_in_it() {
    let mut behavior = default_behavior();
    behavior.scale_down.stabilization_window = Some(SimDuration::from_secs(60));
    let mut rig = rig(4, 1, 100, 50, Some(behavior));
    // 4 at first sight and again at the first look; three looks later both are still inside of the minute.
    assert_eq!(rig.sizes(200, 1), [4]);
    assert_eq!(rig.sizes(50, 4), [4, 4, 4, 1]);
}

#[test]
fn the_largest_of_several_metrics_counts() {
    let mut rig = rig(4, 1, 100, 50, None);
    rig.look(200);
    rig.bench.store.update(HPA, |hpa| {
        let target = MetricTarget::AverageValueMillis(100_000 << 20);
        hpa.metrics.push(MetricSpec { source: MetricSource::Resource(ResourceName::Memory), target });
        true
    });
    for (memory_mib, size) in [(100, 4), (20, 4), (150, 6)] {
        rig.bench.scale_replica_set("web", 4);
        for (_, pod) in rig.bench.store.pods.iter() {
            rig.metrics.set_memory(pod.meta.uid, memory_mib << 20, rig.bench.now);
        }
        let lines =
            rig.bench.run(|view, out| rig.controller.sync(HPA, view, MetricsApis { resource: &rig.metrics, custom: &rig.custom }, out));
        rig.follow(&lines);
        assert_eq!(rig.replicas(), size, "cpu asks for 4, memory of {memory_mib} Mi: {lines:?}");
    }
}

#[test]
fn tolerance_has_a_direction() {
    let mut behavior = default_behavior();
    behavior.scale_up.tolerance_micros = Some(300_000);
    let mut tolerant = rig(10, 1, 100, 80, Some(behavior));
    assert_eq!(tolerant.sizes(10 * 92, 1), [10], "1.15 is within 0.3");
    assert_eq!(rig(10, 1, 100, 80, None).sizes(10 * 92, 1), [12], "but not within 0.1");
}

#[test]
fn sizes_outside_the_bounds_are_corrected_without_metrics() {
    let mut above = rig(10, 1, 4, 50, None);
    assert!(above.look(0)[0].ends_with("New size: 4; reason: Current number of replicas above Spec.MaxReplicas"));
    let mut below = rig(1, 3, 4, 50, None);
    assert!(below.look(0)[0].ends_with("New size: 3; reason: Current number of replicas below Spec.MinReplicas"));
    let mut zero = rig(0, 1, 4, 50, None);
    let id = HPA;
    let lines =
        zero.bench.run(|view, out| zero.controller.sync(id, view, MetricsApis { resource: &zero.metrics, custom: &zero.custom }, out));
    assert_eq!(
        lines[..2],
        ["horizontal-pod-autoscaler status current=0 desired=0", "autoscale 0 -> 0 -> 0 (cpu: <unknown>/50%) ScalingDisabled"]
    );
}

#[test]
fn a_quiet_look_leaves_no_trace_and_a_failure_is_told_once() {
    let mut rig = rig(10, 1, 20, 80, None);
    assert_eq!(
        rig.look(800),
        ["horizontal-pod-autoscaler status current=10 desired=10", "autoscale 10 -> 10 -> 10 (cpu: 80%/80%) DesiredWithinRange"]
    );
    assert_eq!(rig.look(800), Vec::<String>::new());
    rig.metrics.clear();
    let id = HPA;
    let lines = rig.bench.run(|view, out| rig.controller.sync(id, view, MetricsApis { resource: &rig.metrics, custom: &rig.custom }, out));
    let error = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API";
    assert_eq!(
        lines[..4],
        [
            "horizontal-pod-autoscaler status current=10 desired=10".to_owned(), // ScalingActive is False now.
            format!("Warning FailedGetResourceMetric HorizontalPodAutoscaler/default/web: {error}"),
            format!(
                "Warning FailedComputeMetricsReplicas HorizontalPodAutoscaler/default/web: invalid metrics (1 invalid out of 1), \
                 first error is: failed to get cpu resource metric value: {error}"
            ),
            "autoscale 10 -> 10 -> 10 (cpu: <unknown>/80%) FailedGetResourceMetric".to_owned(),
        ]
    );
    let again = rig.bench.run(|view, out| rig.controller.sync(id, view, MetricsApis { resource: &rig.metrics, custom: &rig.custom }, out));
    assert_eq!(again.len(), 1, "only the next period: {again:?}");
}

#[test]
fn one_invalid_metric_allows_growing_but_not_shrinking() {
    let with_memory = |load| {
        let mut rig = rig(10, 1, 100, 80, None);
        rig.bench.store.update(HPA, |hpa| {
            let target = MetricTarget::AverageUtilization(50);
            hpa.metrics.push(MetricSpec { source: MetricSource::Resource(ResourceName::Memory), target });
            true
        });
        let lines = rig.look(load);
        (rig.replicas(), lines)
    };
    let (replicas, lines) = with_memory(1600);
    assert_eq!(replicas, 20);
    assert!(lines.contains(&"autoscale 10 -> 20 -> 20 (cpu: 160%/80%, memory: <unknown>/50%) DesiredWithinRange".to_owned()), "{lines:?}");
    let (replicas, lines) = with_memory(100);
    assert_eq!(replicas, 10);
    assert!(lines.iter().any(|line| line.ends_with("FailedGetResourceMetric")), "{lines:?}");
}

#[test]
fn memory_of_pods_and_of_containers_scales() {
    let target = MetricTarget::AverageValueMillis(100_000 << 20);
    let app = MetricSource::ContainerResource(ResourceName::Memory, "app".into());
    for (source, shown) in [(MetricSource::Resource(ResourceName::Memory), "memory resource"), (app, "memory resource")] {
        let mut rig = rig(4, 1, 100, 80, None);
        rig.look(400 * 80 / 100);
        rig.bench.store.update(HPA, |hpa| {
            hpa.metrics = vec![MetricSpec { source: source.clone(), target: target.clone() }];
            true
        });
        for (_, pod) in rig.bench.store.pods.iter() {
            rig.metrics.set_memory(pod.meta.uid, 150 << 20, rig.bench.now);
        }
        let lines =
            rig.bench.run(|view, out| rig.controller.sync(HPA, view, MetricsApis { resource: &rig.metrics, custom: &rig.custom }, out));
        assert!(lines[0].ends_with(&format!("New size: 6; reason: {shown} above target")), "{lines:?}");
        assert!(lines.contains(&"autoscale 4 -> 6 -> 6 (memory: 150Mi/100Mi) DesiredWithinRange".to_owned()), "{lines:?}");
    }
}

fn named(name: &str) -> MetricIdentifier {
    MetricIdentifier { name: name.into(), selector: None }
}
fn constant(name: &str, of: MetricOf, units: i64) -> Metric {
    let points = vec![MetricPoint { at: SimTime::ZERO, value_millis: units * 1000, linear: false }];
    let value = MetricValue::Series { points, shared: false };
    Metric { name: name.into(), labels: api::Labels::new(), of, value, resolution: None, lag: SimDuration::ZERO }
}

/// Four ready pods, an autoscaler with this metric, and what the adapter serves; the second look.
fn look_at(source: MetricSource, target: MetricTarget, served: &[Metric]) -> (i32, Vec<String>) {
    let mut rig = rig(4, 1, 100, 80, None);
    rig.look(400 * 80 / 100);
    rig.bench.change_replica_set("web", |set| set.status.replicas = 4);
    rig.bench.store.update(HPA, |hpa| {
        hpa.metrics = vec![MetricSpec { source: source.clone(), target: target.clone() }];
        true
    });
    rig.custom = CustomMetrics::new(served);
    let lines = rig.look(0);
    (rig.replicas(), lines)
}

#[test]
fn metrics_that_are_no_resources_scale_and_are_named_as_upstream_names_them() {
    let web = DescribedObject { api_version: "v1".into(), kind: "Service".into(), name: "web".into() };
    let service = || MetricOf::Object { kind: "Service".into(), key: ObjectKey::new("default", "web") };
    let (each, all) = (MetricTarget::AverageValueMillis, MetricTarget::ValueMillis);
    let pods = || MetricOf::Pods(PodSelector::default());
    let orders = LabelSelector { match_labels: [("queue".into(), "orders".into())].into(), ..LabelSelector::default() };
    let mut of_orders = constant("depth", MetricOf::External, 60);
    of_orders.labels = orders.match_labels.clone();
    for (source, target, served, size, reason, shown) in [
        (MetricSource::Pods(named("hits")), each(10_000), constant("hits", pods(), 15), 6, "pods metric hits", "hits: 15/10"),
        (
            MetricSource::Object(named("hits"), web.clone()),
            all(10_000),
            constant("hits", service(), 20),
            8,
            "Service metric hits",
            "hits: 20/10",
        ),
        (
            MetricSource::Object(named("hits"), web),
            each(10_000),
            constant("hits", service(), 60),
            6,
            "external metric hits(nil)",
            "hits: 15/10 (avg)",
        ),
        (
            MetricSource::External(named("depth")),
            all(10_000),
            constant("depth", MetricOf::External, 15),
            6,
            "external metric depth(nil)",
            "depth: 15/10",
        ),
        (
            MetricSource::External(MetricIdentifier { name: "depth".into(), selector: Some(orders) }),
            each(9500),
            of_orders,
            7,
            "external metric depth(&LabelSelector{MatchLabels:map[string]string{queue: orders,},MatchExpressions:[]LabelSelectorRequirement{},})",
            "depth: 15/9500m (avg)",
        ),
    ] {
        let (replicas, lines) = look_at(source, target, &[served]);
        assert_eq!(replicas, size, "{lines:?}");
        assert!(lines[0].ends_with(&format!("New size: {size}; reason: {reason} above target")), "{lines:?}");
        assert!(lines.contains(&format!("autoscale 4 -> {size} -> {size} ({shown}) DesiredWithinRange")), "{lines:?}");
    }
}

#[test]
fn a_metric_that_nobody_serves_fails_as_upstream_words_it() {
    let web = DescribedObject { api_version: "v1".into(), kind: "Service".into(), name: "web".into() };
    let other = || vec![constant("other", MetricOf::Pods(PodSelector::default()), 1), constant("other", MetricOf::External, 1)];
    let custom = "unable to fetch metrics from custom metrics API: ";
    let external = "unable to fetch metrics from external metrics API: ";
    let each = MetricTarget::AverageValueMillis(1000);
    for (source, target, served, reason, error, before) in [
        (
            MetricSource::Pods(named("hits")),
            each.clone(),
            other(),
            "FailedGetPodsMetric",
            format!("unable to get metric hits: {custom}the server could not find the metric hits for pods"),
            "failed to get pods metric value: ",
        ),
        (
            MetricSource::Pods(named("hits")),
            each.clone(),
            vec![],
            "FailedGetPodsMetric",
            format!("unable to get metric hits: {custom}no custom metrics API (custom.metrics.k8s.io) registered"),
            "failed to get pods metric value: ",
        ),
        (
            MetricSource::Object(named("hits"), web.clone()),
            each.clone(),
            other(),
            "FailedGetObjectMetric",
            format!("unable to get metric hits: {custom}the server could not find the metric hits for services on Service default/web"),
            "failed to get object metric value: failed to get hits object metric: ",
        ),
        (
            MetricSource::Object(named("hits"), web),
            MetricTarget::Unset,
            other(),
            "FailedGetObjectMetric",
            "invalid object metric source: neither a value target nor an average value target was set".to_owned(),
            "failed to get object metric value: ",
        ),
        (
            MetricSource::External(named("depth")),
            each,
            vec![],
            "FailedGetExternalMetric",
            format!(
                "unable to get external metric default/depth/nil: {external}no external metrics API (external.metrics.k8s.io) registered"
            ),
            "failed to get depth external metric value: failed to get depth external metric: ",
        ),
        (
            MetricSource::External(named("depth")),
            MetricTarget::ValueMillis(1000),
            other(),
            "FailedGetExternalMetric",
            format!("unable to get external metric default/depth/nil: {external}the server could not find the metric depth for namespaces"),
            "failed to get depth external metric value: failed to get external metric depth: ",
        ),
    ] {
        let (replicas, lines) = look_at(source, target, &served);
        assert_eq!(replicas, 4);
        let object = "HorizontalPodAutoscaler/default/web";
        assert!(lines.contains(&format!("Warning {reason} {object}: {error}")), "{error}\n{lines:#?}");
        let sum =
            format!("Warning FailedComputeMetricsReplicas {object}: invalid metrics (1 invalid out of 1), first error is: {before}{error}");
        assert!(lines.contains(&sum), "{sum}\n{lines:#?}");
    }
}

#[test]
fn with_the_gate_an_outer_metric_takes_the_target_to_zero_and_back() {
    let mut rig = rig(2, 0, 10, 80, None);
    rig.bench.settings.feature_gates.hpa_scale_to_zero = true;
    rig.bench.settings.horizontal_pod_autoscaler.downscale_stabilization = SimDuration::ZERO;
    rig.bench.store.update(HPA, |hpa| {
        let target = MetricTarget::AverageValueMillis(10_000);
        hpa.metrics = vec![MetricSpec { source: MetricSource::External(named("depth")), target }];
        true
    });
    let mut look = |depth| {
        rig.custom = CustomMetrics::new(&[constant("depth", MetricOf::External, depth)]);
        let replicas = rig.replicas();
        rig.bench.change_replica_set("web", |set| set.status.replicas = replicas);
        rig.bench.now += SimDuration::from_secs(15);
        let lines = rig.bench.run(|view, out| {
            rig.controller.sync(HPA, view, MetricsApis { resource: &rig.metrics, custom: &rig.custom }, out);
        });
        rig.follow(&lines);
        (rig.replicas(), rig.bench.store.hpas.get(HPA).and_then(|hpa| hpa.conditions[3]))
    };
    assert_eq!(look(20), (2, None));
    assert_eq!(look(0), (0, Some((ConditionStatus::True, "ScaledToZero"))));
    assert_eq!(look(0), (0, Some((ConditionStatus::True, "ScaledToZero"))));
    assert_eq!(look(30), (3, Some((ConditionStatus::False, "NotScaledToZero"))));
}

#[test]
fn a_target_that_somebody_else_took_to_zero_stays_there_even_with_the_gate() {
    let mut rig = rig(0, 1, 10, 80, None);
    rig.bench.settings.feature_gates.hpa_scale_to_zero = true;
    rig.bench.store.update(HPA, |hpa| {
        let target = MetricTarget::AverageValueMillis(10_000);
        hpa.metrics = vec![MetricSpec { source: MetricSource::External(named("depth")), target }];
        true
    });
    rig.custom = CustomMetrics::new(&[constant("depth", MetricOf::External, 100)]);
    let lines = rig.bench.run(|view, out| {
        rig.controller.sync(HPA, view, MetricsApis { resource: &rig.metrics, custom: &rig.custom }, out);
    });
    assert!(lines[1].ends_with("ScalingDisabled"), "{lines:?}");
}
