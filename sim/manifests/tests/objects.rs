//! What manifests become: the API server's defaults, and the fields that matter.

use std::sync::Arc;

use api::{
    ConditionStatus, DaemonSetUpdateStrategy, DeploymentStrategy, DescribedObject, HpaBehavior, ImagePullPolicy, IntOrPercent, Kind,
    LabelSelector, LifecycleHandler, MetricIdentifier, MetricSource, MetricTarget, PodFailurePolicyRequirement, PodReplacementPolicy,
    PodSpec, PreemptionPolicy, ProbeHandler, ResourceName, ScalingPolicySelect, SimDuration, SimTime, StatefulSetUpdateStrategy,
    VolumeSource, VpaUpdateMode,
};
use wavetank_manifests::{Objects, Options, Problems, SourceFile, documents, read_documents, render};

fn read_with(text: &str, options: &Options) -> Objects {
    let mut problems = Problems::default();
    let found = documents(&SourceFile::new("objects.yaml", text), &mut problems);
    let objects = read_documents(&found, options, &mut problems);
    assert!(!problems.has_errors(), "{}", render(&problems, false));
    objects
}

fn read(text: &str) -> Objects {
    read_with(text, &Options::default())
}

/// What is wrong with these objects.
fn problems(text: &str) -> String {
    let mut problems = Problems::default();
    let found = documents(&SourceFile::new("objects.yaml", text), &mut problems);
    read_documents(&found, &Options::default(), &mut problems);
    render(&problems, false)
}

/// A pod with this spec besides its containers.
fn pod(spec: &str) -> Arc<PodSpec> {
    Arc::clone(
        &read(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a, labels: {{app: a, rev: r1}}}}\nspec: {spec}\n")).pods[0].spec,
    )
}

fn amounts(list: &api::ResourceList) -> Vec<(&str, i64)> {
    list.iter().map(|(name, amount)| (name.as_str(), *amount)).collect()
}

#[test]
fn a_bare_pod_gets_the_defaults_of_the_api_server() {
    let spec = pod("{containers: [{name: c, image: app}], initContainers: [{name: i, image: \"x:1\", restartPolicy: Always}]}");
    assert_eq!(spec.termination_grace_period, SimDuration::from_secs(30));
    assert_eq!(&*spec.scheduler_name, "default-scheduler");
    assert_eq!((spec.priority, spec.preemption_policy), (0, PreemptionPolicy::PreemptLowerPriority));
    assert_eq!(spec.pod_requests, None);
    assert_eq!(spec.containers[0].image_pull_policy, ImagePullPolicy::Always);
    assert_eq!((spec.init_containers[0].image_pull_policy, spec.init_containers[0].is_sidecar), (ImagePullPolicy::IfNotPresent, true));
    let objects = read("apiVersion: v1\nkind: Pod\nmetadata: {generateName: job-}\nspec: {containers: [{name: c, image: app}]}\n");
    assert_eq!(objects.pods[0].meta.key().to_string(), "default/job-00000");
}

#[test]
fn features_that_a_node_has_to_declare_are_inferred_from_the_spec() {
    let restarts_all = "restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [42]}}]";
    for (spec, expected) in [
        ("{containers: [{name: c, image: app}], hostNetwork: true}".to_owned(), &[][..]),
        (
            format!("{{containers: [{{name: c, image: app, restartPolicy: Never, {restarts_all}}}]}}"),
            &["RestartAllContainersOnContainerExits"],
        ),
        ("{containers: [{name: c, image: app}], hostNetwork: true, hostUsers: false}".to_owned(), &["UserNamespacesHostNetworkSupport"]),
        ("{containers: [{name: c, image: app}], hostNetwork: true, hostUsers: true}".to_owned(), &[]),
    ] {
        let found = pod(&spec);
        let found: Vec<&str> = found.required_node_features.iter().map(|feature| &**feature).collect();
        assert_eq!(found, expected, "{spec}");
    }
}

#[test]
fn requests_come_from_limits_and_pod_level_requests_from_both() {
    type Amounts = &'static [(&'static str, i64)];
    let cases: &[(&str, Amounts)] = &[
        ("{}", &[]),
        ("{limits: {cpu: 500m, memory: 1Ki}}", &[("cpu", 500), ("memory", 1024)]),
        ("{limits: {cpu: 2}, requests: {cpu: 0}}", &[("cpu", 0)]),
        ("{limits: {cpu: 2, example.com/gpu: 3}, requests: {cpu: 1.5}}", &[("cpu", 1500), ("example.com/gpu", 3)]),
        ("{limits: {cpu: null}}", &[("cpu", 0)]),
        ("{requests: {memory: 1e3}}", &[("memory", 1000)]),
    ];
    for (resources, requests) in cases {
        let spec = pod(&format!("{{containers: [{{name: c, image: app, resources: {resources}}}]}}"));
        assert_eq!(amounts(&spec.containers[0].requests), *requests, "{resources}");
    }
    let pod_level: &[(&str, &str, Amounts)] = &[
        ("{limits: {cpu: 4, memory: 1Gi}}", "{requests: {cpu: 1}}", &[("cpu", 1000), ("memory", 1 << 30)]),
        ("{requests: {cpu: 3}}", "{requests: {cpu: 1, memory: 1Ki}}", &[("cpu", 3000)]),
        ("{requests: {cpu: 3}, limits: {cpu: 4}}", "{requests: {cpu: 1, memory: 1Ki}}", &[("cpu", 3000), ("memory", 1024)]),
        ("{limits: {cpu: 4}}", "{limits: {hugepages-2Mi: 4Mi}, requests: {cpu: 1}}", &[("cpu", 1000), ("hugepages-2Mi", 4 << 20)]),
    ];
    for (own, container, requests) in pod_level {
        let spec = pod(&format!("{{resources: {own}, containers: [{{name: c, image: app, resources: {container}}}]}}"));
        assert_eq!(amounts(spec.pod_requests.as_ref().expect("pod-level requests")), *requests, "{own} {container}");
    }
}

#[test]
fn ports_probes_hooks_and_volumes_are_filled_in() {
    let spec = pod(
        "{hostNetwork: true, volumes: [{name: a}, {name: b, configMap: {name: x}}, {name: c, persistentVolumeClaim: {claimName: d}}], containers: [{name: c, image: app, \
         ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}}, livenessProbe: {exec: {command: [a, b]}, periodSeconds: 5, failureThreshold: 2, initialDelaySeconds: 3, timeoutSeconds: 4}, \
         command: [run], args: [\"-v\"], lifecycle: {preStop: {sleep: {seconds: 7}}}}]}",
    );
    let container = &spec.containers[0];
    assert_eq!((container.ports[0].host_port, &*container.ports[0].protocol), (80, "TCP"));
    let probe = container.readiness_probe.as_ref().expect("a probe");
    let seconds = |duration: SimDuration| duration.as_secs();
    assert_eq!(probe.handler, ProbeHandler::HttpGet);
    assert_eq!(
        (seconds(probe.initial_delay), seconds(probe.timeout), seconds(probe.period), probe.success_threshold, probe.failure_threshold),
        (0, 1, 10, 1, 3)
    );
    let probe = container.liveness_probe.as_ref().expect("a probe");
    assert_eq!(probe.handler, ProbeHandler::Exec(vec!["a".into(), "b".into()]));
    assert_eq!((seconds(probe.initial_delay), seconds(probe.timeout), seconds(probe.period), probe.failure_threshold), (3, 4, 5, 2));
    assert_eq!(container.args, ["run".into(), "-v".into()]);
    assert_eq!(container.pre_stop, Some(LifecycleHandler::Sleep(SimDuration::from_secs(7))));
    let sources: Vec<&VolumeSource> = spec.volumes.iter().map(|volume| &volume.source).collect();
    assert_eq!(sources, [&VolumeSource::EmptyDir, &VolumeSource::Other, &VolumeSource::PersistentVolumeClaim("d".into())]);
}

#[test]
fn match_label_keys_become_part_of_selectors_in_pods_but_wait_in_templates() {
    let spread = "[{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: a}}, matchLabelKeys: [rev, absent]}]";
    let anti = "{podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: h, labelSelector: {}, mismatchLabelKeys: [rev]}, {topologyKey: h, matchLabelKeys: [rev]}]}}";
    let body = format!("{{containers: [{{name: c, image: app}}], topologySpreadConstraints: {spread}, affinity: {anti}}}");
    let spec = pod(&body);
    let constraint = &spec.topology_spread_constraints[0];
    assert!(constraint.honor_node_affinity && !constraint.honor_node_taints);
    assert_eq!(constraint.label_selector.as_ref().expect("a selector").match_expressions.len(), 1);
    let terms = &spec.affinity.pod_anti.as_ref().expect("anti-affinity").required;
    assert_eq!(terms[0].label_selector.as_ref().expect("a selector").match_expressions[0].operator, api::Operator::NotIn);
    assert_eq!(terms[1].label_selector, None);
    let deployment = read(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec: {{selector: {{matchLabels: {{app: a}}}}, template: {{metadata: {{labels: {{app: a, rev: r}}}}, spec: {body}}}}}\n"
    ));
    let constraint = &deployment.deployments[0].template.spec.topology_spread_constraints[0];
    assert_eq!(constraint.label_selector.as_ref().expect("a selector").match_expressions.len(), 0);
}

#[test]
fn workloads_get_the_defaults_of_their_kinds() {
    let template = "selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: x}]}}";
    let objects = read(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a, namespace: shop}}\nspec: {{{template}}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: b}}\nspec: {{replicas: 0, strategy: {{rollingUpdate: {{maxSurge: 2}}}}, {template}}}\n---\n\
         apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: a}}\nspec: {{volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}], updateStrategy: {{type: RollingUpdate}}, {template}}}\n---\n\
         apiVersion: v1\nkind: ReplicationController\nmetadata: {{name: a}}\nspec: {{template: {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: c, image: x}}]}}}}}}\n---\n\
         apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: a}}\nspec: {{schedule: \"0 * * * *\", jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: x}}]}}}}}}}}}}\n"
    ));
    let deployment = &objects.deployments[0];
    assert_eq!(deployment.meta.key().to_string(), "shop/a");
    assert_eq!((deployment.replicas, deployment.revision_history_limit, deployment.progress_deadline.as_secs()), (1, 10, 600));
    assert_eq!(deployment.strategy, DeploymentStrategy::default());
    let strategy = DeploymentStrategy::RollingUpdate { max_surge: IntOrPercent::Count(2), max_unavailable: IntOrPercent::Percent(25) };
    assert_eq!((objects.deployments[1].replicas, &objects.deployments[1].strategy), (0, &strategy));
    let set = &objects.stateful_sets[0];
    assert_eq!((set.replicas, set.revision_history_limit, set.ordinals_start, set.template.spec.volumes.len()), (1, 10, 0, 0));
    assert_eq!(set.update_strategy, StatefulSetUpdateStrategy::RollingUpdate { partition: None }, "a type alone is not filled in");
    assert_eq!((&*set.volume_claim_templates[0].meta.name, set.volume_claim_templates[0].request_bytes), ("data", 1 << 30));
    let controller = objects.workloads(Kind::ReplicationController).next().expect("a ReplicationController");
    assert_eq!(controller.object.selector.as_ref().expect("a selector").match_labels.len(), 1);
    let cron_job = &objects.cron_jobs[0];
    assert_eq!((cron_job.successful_jobs_history_limit, cron_job.failed_jobs_history_limit), (Some(3), Some(1)));
    assert_eq!((cron_job.job_spec.completions, cron_job.job_spec.parallelism, cron_job.job_spec.backoff_limit), (Some(1), 1, 6));
}

#[test]
fn jobs_and_daemon_sets_get_the_defaults_of_the_api_server() {
    let template =
        |policy: &str| format!("template: {{metadata: {{labels: {{app: a}}}}, spec: {{{policy}containers: [{{name: c, image: x}}]}}}}");
    let job = |name: &str, fields: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{{fields}{}}}\n---\n",
            template("restartPolicy: Never, ")
        )
    };
    let daemon = |name: &str, fields: &str| {
        let rest = format!("selector: {{matchLabels: {{app: a}}}}, {}", template(""));
        format!("apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}}}\nspec: {{{fields}{rest}}}\n---\n")
    };
    let objects = read(
        &[
            job("queue", "parallelism: 3, "),
            job("indexed", "completionMode: Indexed, completions: 4, backoffLimitPerIndex: 1, "),
            job("policy", "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}, {action: FailJob, onExitCodes: {operator: In, values: [42]}}]}, "),
            daemon("a", ""),
            daemon("b", "updateStrategy: {rollingUpdate: {maxSurge: 10%, maxUnavailable: 0}}, "),
            daemon("c", "updateStrategy: {type: OnDelete}, "),
        ]
        .concat(),
    );
    let [queue, indexed, policy] = &objects.jobs[..] else { panic!("three Jobs") };
    assert_eq!((queue.spec.completions, queue.spec.parallelism, queue.spec.backoff_limit), (None, 3, 6));
    assert_eq!((indexed.spec.completions, indexed.spec.backoff_limit, indexed.spec.backoff_limit_per_index), (Some(4), i32::MAX, Some(1)));
    assert_eq!(policy.spec.pod_replacement_policy, PodReplacementPolicy::Failed);
    let rules = policy.spec.pod_failure_policy.as_ref().expect("rules");
    let condition = PodFailurePolicyRequirement::PodConditions(vec![("DisruptionTarget".into(), ConditionStatus::True)]);
    assert_eq!((rules.len(), &rules[0].requirement), (2, &condition));
    let strategies: Vec<_> = objects.daemon_sets.iter().map(|set| set.update_strategy).collect();
    let rolling = |max_surge, max_unavailable| DaemonSetUpdateStrategy::RollingUpdate { max_surge, max_unavailable };
    let expected = [
        rolling(IntOrPercent::Count(0), IntOrPercent::Count(1)),
        rolling(IntOrPercent::Percent(10), IntOrPercent::Count(0)),
        DaemonSetUpdateStrategy::OnDelete,
    ];
    assert_eq!(strategies, expected);
}

#[test]
fn what_the_api_server_refuses_of_jobs_and_cron_jobs_is_refused() {
    let template = "template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}";
    for (kind, spec, message) in [
        ("CronJob", format!("schedule: \"61 * * * *\", jobTemplate: {{spec: {{{template}}}}}"), "not a schedule"),
        ("CronJob", format!("schedule: \"TZ=UTC 1 * * * *\", jobTemplate: {{spec: {{{template}}}}}"), "a zone inside the schedule"),
        ("CronJob", format!("schedule: \"@daily\", timeZone: Mars, jobTemplate: {{spec: {{{template}}}}}"), "`Mars` is no time zone"),
        ("Job", format!("completionMode: Indexed, {template}"), "required field `completions` is missing"),
        ("Job", format!("backoffLimitPerIndex: 1, {template}"), "backoffLimitPerIndex without indexes"),
        ("Job", format!("maxFailedIndexes: 1, {template}"), "maxFailedIndexes without a limit per index"),
        (
            "Job",
            format!("podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {{rules: []}}, {template}"),
            "TerminatingOrFailed with a podFailurePolicy",
        ),
        ("Job", format!("podFailurePolicy: {{rules: [{{action: Ignore}}]}}, {template}"), "a rule matches one thing"),
    ] {
        let text = format!("apiVersion: batch/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{{spec}}}\n");
        let problems = problems(&text);
        assert!(problems.contains(message), "{message}: {problems}");
    }
}

#[test]
fn autoscalers_are_filled_in_and_version_1_is_understood() {
    let head =
        "kind: HorizontalPodAutoscaler\nmetadata: {name: NAME}\nspec: {scaleTargetRef: {kind: Deployment, name: cart}, maxReplicas: 9";
    let hpa =
        |version: &str, name: &str, rest: &str| format!("apiVersion: autoscaling/{version}\n{}{rest}}}\n---\n", head.replace("NAME", name));
    let objects = read(
        &[
            hpa("v2", "a", ""),
            hpa("v2", "b", ", minReplicas: 2, metrics: [{type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: AverageValue, averageValue: 250m}}}], behavior: {scaleDown: {selectPolicy: Min, tolerance: 0.05}}"),
            hpa("v1", "c", ", targetCPUUtilizationPercentage: 60"),
        ]
        .concat(),
    );
    let [a, b, c] = &objects.horizontal_pod_autoscalers[..] else { panic!("three autoscalers") };
    assert_eq!((a.min_replicas, a.max_replicas, a.behavior.is_none()), (1, 9, true));
    assert_eq!(
        (&a.metrics[0].source, &a.metrics[0].target),
        (&MetricSource::Resource(ResourceName::Cpu), &MetricTarget::AverageUtilization(80))
    );
    assert_eq!(b.metrics[0].source, MetricSource::ContainerResource(ResourceName::Cpu, "c".into()));
    assert_eq!(b.metrics[0].target, MetricTarget::AverageValueMillis(250));
    let HpaBehavior { scale_up, scale_down } = b.behavior.as_ref().expect("a behavior");
    assert_eq!((scale_up.stabilization_window, scale_down.stabilization_window), (Some(SimDuration::ZERO), None));
    assert_eq!(
        (scale_up.policies.len(), scale_up.policies[0].amount, scale_up.policies[1].amount),
        (2, IntOrPercent::Count(4), IntOrPercent::Percent(100))
    );
    assert_eq!(
        (scale_down.select, scale_down.tolerance_micros, scale_down.policies[0].period.as_secs()),
        (ScalingPolicySelect::Min, Some(50_000), 15)
    );
    assert_eq!(c.metrics[0].target, MetricTarget::AverageUtilization(60));
}

#[test]
fn metrics_of_autoscalers_have_the_target_that_the_controller_takes() {
    let hpa = |metric: &str| {
        let spec = format!("{{scaleTargetRef: {{kind: Deployment, name: cart}}, maxReplicas: 9, metrics: [{metric}]}}");
        read(&format!("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: a}}\nspec: {spec}\n"))
            .horizontal_pod_autoscalers[0]
            .metrics[0]
            .clone()
    };
    let named = |selector: Option<LabelSelector>| MetricIdentifier { name: "m".into(), selector };
    let web = DescribedObject { api_version: "v1".into(), kind: "Service".into(), name: "web".into() };
    let of_web = |target: &str| {
        format!(
            "{{type: Object, object: {{metric: {{name: m}}, describedObject: {{apiVersion: v1, kind: Service, name: web}}, target: {target}}}}}"
        )
    };
    let external = |target: &str| {
        format!("{{type: External, external: {{metric: {{name: m, selector: {{matchLabels: {{q: a}}}}}}, target: {target}}}}}")
    };
    let orders = LabelSelector { match_labels: [("q".into(), "a".into())].into(), ..LabelSelector::default() };
    for (metric, source, target) in [
        (
            "{type: Pods, pods: {metric: {name: m}, target: {type: AverageValue, averageValue: 1500m}}}".to_owned(),
            MetricSource::Pods(named(None)),
            MetricTarget::AverageValueMillis(1500),
        ),
        (of_web("{type: Value, value: 2k}"), MetricSource::Object(named(None), web.clone()), MetricTarget::ValueMillis(2_000_000)),
        // The type decides, and what it names is not set: the controller says so.
        (of_web("{type: Value, averageValue: 5}"), MetricSource::Object(named(None), web), MetricTarget::Unset),
        (
            external("{type: AverageValue, averageValue: 30}"),
            MetricSource::External(named(Some(orders.clone()))),
            MetricTarget::AverageValueMillis(30_000),
        ),
        // What is set decides, whatever the type.
        (external("{type: AverageValue, value: 30}"), MetricSource::External(named(Some(orders))), MetricTarget::ValueMillis(30_000)),
    ] {
        let found = hpa(&metric);
        assert_eq!((found.source, found.target), (source, target), "{metric}");
    }
}

#[test]
fn vertical_autoscalers_are_read_with_their_policies() {
    let objects = read(
        "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: cart}\nspec:\n  \
         targetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}\n  \
         updatePolicy: {updateMode: Initial, minReplicas: 3, evictionRequirements: [{resources: [memory], changeRequirement: TargetHigherThanRequests}]}\n  \
         resourcePolicy:\n    containerPolicies:\n      - {containerName: app, minAllowed: {cpu: 100m}, maxAllowed: {memory: 1Gi}, controlledResources: [memory], controlledValues: RequestsOnly}\n      \
         - {containerName: '*', mode: 'Off'}\n",
    );
    let [vpa] = &objects.vertical_pod_autoscalers[..] else { panic!("one autoscaler") };
    assert_eq!((&*vpa.target_kind, &*vpa.target_name), ("Deployment", "cart"));
    assert_eq!((vpa.update_mode, vpa.min_replicas), (VpaUpdateMode::Initial, Some(3)));
    assert_eq!(vpa.eviction_requirements[0].resources, [ResourceName::Memory]);
    let app = vpa.policy("app").expect("its own");
    assert_eq!((amounts(&app.min_allowed), amounts(&app.max_allowed)), (vec![("cpu", 100)], vec![("memory", 1 << 30)]));
    assert_eq!((app.controlled_resources.as_deref(), app.requests_only), (Some(&[ResourceName::Memory][..]), true));
    assert!(vpa.policy("other").expect("that of all others").is_off);
    let auto = read(
        "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: a}\nspec: {targetRef: {kind: Deployment, name: cart}, updatePolicy: {updateMode: Auto}}\n",
    );
    assert_eq!(auto.vertical_pod_autoscalers[0].update_mode, VpaUpdateMode::Recreate);
}

#[test]
fn nodes_are_ready_unless_they_say_otherwise_and_allocatable_defaults_to_capacity() {
    let objects = read(
        "apiVersion: v1\nkind: NodeList\nitems:\n\
         - {metadata: {name: a}, status: {capacity: {cpu: 4, memory: 8Gi}}}\n\
         - {metadata: {name: b}, spec: {taints: [{key: k, effect: NoSchedule}]}, status: {capacity: {cpu: 4}, allocatable: {cpu: 3900m}, conditions: [{type: Ready, status: \"False\", reason: KubeletNotReady}, {type: MemoryPressure, status: \"True\"}]}}\n",
    );
    let [a, b] = &objects.nodes[..] else { panic!("two nodes") };
    assert_eq!((a.status.ready, amounts(&a.status.allocatable)), (ConditionStatus::True, vec![("cpu", 4000), ("memory", 8 << 30)]));
    assert_eq!(
        (b.status.ready, &*b.status.ready_reason, b.status.memory_pressure, b.spec.taints.len()),
        (ConditionStatus::False, "KubeletNotReady", true, 1)
    );
    assert_eq!(amounts(&b.status.allocatable), [("cpu", 3900)]);
    assert_eq!(&*a.meta.namespace, "");
}

#[test]
fn priorities_are_resolved_wherever_the_class_stands() {
    let objects = read(
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {priorityClassName: gold, containers: [{name: c, image: x}]}}\n---\n\
         {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c, image: x}]}}\n---\n\
         {apiVersion: v1, kind: Pod, metadata: {name: c}, spec: {priority: 7, preemptionPolicy: Never, containers: [{name: c, image: x}]}}\n---\n\
         {apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: gold}, value: 1000, preemptionPolicy: Never}\n---\n\
         {apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: plain}, value: 10, globalDefault: true}\n",
    );
    let found: Vec<(i32, PreemptionPolicy)> = objects.pods.iter().map(|pod| (pod.spec.priority, pod.spec.preemption_policy)).collect();
    assert_eq!(found, [(1000, PreemptionPolicy::Never), (10, PreemptionPolicy::PreemptLowerPriority), (7, PreemptionPolicy::Never)]);
}

#[test]
fn instants_are_told_on_the_runs_clock() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, deletionTimestamp: \"2026-01-01T00:00:05Z\"}\nspec: {nodeName: n, containers: [{name: c, image: x}]}\nstatus: {phase: Running, startTime: \"2026-01-01T00:00:02Z\"}\n";
    let at = |options: &Options| {
        let objects = read_with(text, options);
        (objects.pods[0].status.start_time, objects.pods[0].meta.deletion)
    };
    assert_eq!(at(&Options::default()), (Some(SimTime::ZERO), Some(SimTime::ZERO)));
    let options = Options { origin_seconds: Some(1_767_225_603), ..Options::default() }; // 2026-01-01T00:00:03Z
    assert_eq!(at(&options), (Some(SimTime::ZERO), Some(SimTime::from_secs(2))));
}

#[test]
fn equal_specs_of_pods_are_shared_and_origins_lead_back() {
    let pod =
        |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: x}}]}}\n---\n");
    let objects = read(&[pod("a"), pod("b")].concat());
    assert!(Arc::ptr_eq(&objects.pods[0].spec, &objects.pods[1].spec));
    assert_eq!(objects.pods[1].origin.document.index, 1);
    assert_eq!(objects.pods[1].origin.value().pointer("/metadata/name").and_then(|name| name.as_str()), Some("b"));
}

#[test]
fn services_and_storage_keep_what_scheduling_and_traffic_look_at() {
    let objects = read(
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, ports: [{port: 80}], internalTrafficPolicy: Local, sessionAffinity: ClientIP}}\n---\n\
         {apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: None}}\n---\n\
         {apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}, provisioner: x, volumeBindingMode: WaitForFirstConsumer, allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a]}]}]}\n---\n\
         {apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}, claimRef: {namespace: n, name: c}}}\n---\n\
         {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], storageClassName: \"\", resources: {requests: {storage: 500Mi}}}}\n---\n\
         {apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: n}, spec: {drivers: [{name: d, nodeID: n, allocatable: {count: 3}}, {name: e, nodeID: n}]}}\n",
    );
    let (a, b) = (&objects.services[0], &objects.services[1]);
    assert_eq!(
        (a.selector.as_ref().map(|selector| selector.len()), a.internal_local, a.external_local, a.client_ip_affinity.is_some()),
        (Some(1), true, false, true)
    );
    assert_eq!((b.selector.is_none(), b.headless), (true, true));
    let class = &objects.storage_classes[0];
    assert!(class.wait_for_first_consumer && class.allowed_topologies[0].match_expressions[0].values == ["a".into()]);
    let volume = &objects.persistent_volumes[0];
    assert_eq!((volume.capacity_bytes, &*volume.claim_ref, volume.csi.clone()), (1 << 30, "n/c", Some(("d".into(), "h".into()))));
    let claim = &objects.persistent_volume_claims[0];
    assert_eq!((claim.request_bytes, claim.storage_class_name.as_deref()), (500 << 20, Some("")));
    assert_eq!(objects.csi_nodes[0].drivers.values().copied().collect::<Vec<_>>(), [Some(3), None]);
}

#[test]
fn restart_rules_of_containers_are_read() {
    let rules = "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}, {action: RestartAllContainers, exitCodes: {operator: NotIn, values: [0, 1]}}]";
    let spec = pod(&format!("{{containers: [{{name: c, image: app, restartPolicy: Never, {rules}}}]}}"));
    let found = |code: i32| spec.containers[0].restart_rule(code).map(|rule| rule.restarts_all);
    assert_eq!([0, 1, 42, 7].map(found), [None, None, Some(false), Some(true)]);
}
