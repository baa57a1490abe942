//! What people read when their manifests are wrong. The texts are snapshots: a change of wording shows in review.

use wavetank_manifests::{Inclusion, Options, Problems, SourceFile, documents, read_documents, render, to_json};

const BROKEN: &[(&str, &str)] = &[
    (
        "bad-yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n\tname: tabs\n---\nname: {{ .Values.name }}\n",
    ),
    ("duplicate-key", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {a: b, a: c}\n"),
    (
        "yaml-bomb",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f]\n",
    ),
    (
        "quantities",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: cart}\nspec:\n  containers:\n    - name: app\n      image: cart:1\n      resources:\n        requests: {cpu: 500mm, memory: 512Mi, cpus: 1}\n        limits: {memory: -1Gi, cpu: two}\n",
    ),
    (
        "wrong-types",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart, labels: {version: 1}}\nspec:\n  replicas: three\n  selector: {matchLabels: {app: cart}}\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      hostNetwork: yes\n      containers:\n        - name: app\n          image: cart:1\n          args: --port=1\n          ports: [{containerPort: \"80\"}]\n",
    ),
    (
        "unknown-fields",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  replica: 3\n  selector: {matchLabels: {app: cart}}\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      containers:\n        - {name: app, image: \"cart:1\", imagePullpolicy: Never}\n        - {name: side, image: \"side:1\", imagePullpolicy: Never}\n",
    ),
    (
        "missing-fields",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {labels: {app: cart}}\nspec:\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      containers:\n        - {name: app}\n        - {image: \"side:1\"}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: empty}\nspec: {}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: cart}\nspec: {selector: {app: cart}}\n",
    ),
    (
        "selector-mismatch",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  selector: {matchLabels: {app: cart, tier: web}}\n  template:\n    metadata: {labels: {app: card, tier: web}}\n    spec: {containers: [{name: app, image: \"cart:1\"}]}\n",
    ),
    (
        "versions-and-kinds",
        "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: cart}\n---\napiVersion: apps/v1\nkind: Deploymant\nmetadata: {name: cart}\n---\nkind: Service\nmetadata: {name: cart}\n---\n- a list\n---\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n",
    ),
    (
        "names-and-labels",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: My_Shop\n  labels:\n    \"app kubernetes/name\": x\n    tier: \"web tier\"\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop.eu}\nspec:\n  containers: [{name: App, image: x}, {name: b, image: x}, {name: b, image: x}]\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop.eu}\nspec: {containers: [{name: c, image: x}]}\n",
    ),
    (
        "values",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  replicas: -1\n  strategy: {type: Rolling, rollingUpdate: {maxSurge: 1.5%, maxUnavailable: half}}\n  selector: {matchLabels: {app: cart}}\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      restartPolicy: Never\n      priorityClassName: gold\n      tolerations: [{operator: Equal, value: x}, {key: a, effect: NoRun}]\n      topologySpreadConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: DoNotschedule}]\n      containers:\n        - name: app\n          image: cart:1\n          imagePullPolicy: Sometimes\n          resources: {requests: {cpu: 2, nvidia.com/gpu: 1}, limits: {cpu: 500m}}\n          livenessProbe: {periodSeconds: -1, successThreshold: 2, httpGet: {port: 80}, exec: {command: [x]}}\n          volumeMounts: [{name: data, mountPath: /data}]\n",
    ),
    (
        "scaling-and-budgets",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: cart}\nspec:\n  scaleTargetRef: {kind: Deployment}\n  minReplicas: 5\n  maxReplicas: 2\n  metrics:\n    - {type: Resource, resource: {name: cpu, target: {type: Utilization}}}\n    - {type: Resources}\n    - {type: Pods, pods: {metric: {name: m}, target: {type: Value, value: 5}}}\n    - {type: External, external: {metric: {}, target: {type: Value, value: 0, averageValue: 5}}}\n  behavior: {scaleUp: {policies: [{type: Pods, value: 0, periodSeconds: 9999}]}}\n---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: cart}\nspec: {minAvailable: 1, maxUnavailable: 50, selector: {matchExpressions: [{key: app, operator: In}]}}\n",
    ),
    (
        "not-simulated",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  selector: {matchLabels: {app: cart}}\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      runtimeClassName: gvisor # wavetank: allow WT0411\n      containers:\n        - {name: app, image: \"cart:1\", lifecycle: {postStart: {exec: {command: [x]}}, preStop: {sleep: {seconds: 5}}}}\n        - {name: side, image: \"side:1\", lifecycle: {postStart: {exec: {command: [x]}}, preStop: {exec: {command: [x]}}}}\n---\napiVersion: v1\nkind: ReplicationController\nmetadata: {name: db}\nspec:\n  selector: {app: db}\n  template:\n    metadata: {labels: {app: db}}\n    spec: {containers: [{name: app, image: \"db:1\"}]}\n---\napiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n  - {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: b}}\n  - {apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: b}}\n",
    ),
];

fn read(name: &str, text: &str, options: &Options) -> Problems {
    let mut problems = Problems::default();
    let found = documents(&SourceFile::new(&format!("{name}.yaml"), text), &mut problems);
    read_documents(&found, options, &mut problems);
    problems
}

#[test]
fn broken_manifests_are_explained() {
    for (name, text) in BROKEN {
        insta::assert_snapshot!(*name, render(&read(name, text, &Options::default()), false));
    }
}

#[test]
fn strict_reading_makes_errors_of_what_is_not_simulated() {
    let text = BROKEN.iter().find(|broken| broken.0 == "not-simulated").expect("the case").1;
    let problems = read("strict", text, &Options { strict: true, ..Options::default() });
    assert_eq!((problems.error_count(), problems.warning_count(), problems.info_count()), (5, 0, 1));
}

#[test]
fn an_included_file_says_who_included_it_in_text_and_json() {
    let from = Inclusion { file: "scenarios/storm.yaml".into(), line: 30, column: 7 };
    let source = SourceFile::new("shop/cart.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: Shop}\n").included_from(from);
    let mut problems = Problems::default();
    read_documents(&documents(&source, &mut problems), &Options::default(), &mut problems);
    insta::assert_snapshot!("included", render(&problems, false));
    insta::assert_snapshot!("included-json", serde_json::to_string_pretty(&to_json(&problems)).expect("JSON"));
}

#[test]
fn a_field_is_warned_of_where_its_value_makes_a_difference() {
    let service =
        |fields: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{{port: 80}}], {fields}}}\n");
    let scaler = |metric: &str| {
        let target = "target: {type: AverageValue, averageValue: 1}";
        let spec =
            format!("scaleTargetRef: {{kind: Deployment, name: a}}, maxReplicas: 2, metrics: [{{{}}}]", metric.replace("TARGET", target));
        format!("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: a}}\nspec: {{{spec}}}\n")
    };
    for (text, at) in [
        (service("sessionAffinity: None"), None),
        (service("sessionAffinity: ClientIP"), Some("spec.sessionAffinity of Service/a")),
        (service("trafficDistribution: null"), None),
        (service("externalTrafficPolicy: Cluster"), None),
        (service("externalTrafficPolicy: Local"), Some("spec.externalTrafficPolicy of Service/a")),
        (scaler("type: Resource, resource: {name: cpu, TARGET}"), None),
        (scaler("type: Resource, resource: {name: memory, TARGET}"), None),
        (
            scaler("type: Resource, resource: {name: ephemeral-storage, TARGET}"),
            Some("spec.metrics[0].resource.name of HorizontalPodAutoscaler/a"),
        ),
    ] {
        let problems = read("values", &text, &Options::default());
        assert_eq!(problems.warning_count(), u32::from(at.is_some()), "{text}{}", render(&problems, false));
        let said = render(&problems, false);
        assert!(at.is_none_or(|at| said.contains(at)), "{text}{said}");
    }
}
