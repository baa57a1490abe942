//! What goes wrong, what an operator does, which moments have a name, and what is expected.

use std::collections::BTreeMap;

use super::{
    AmountText, Described, DurationText, NameText, Part, PercentText, QuantityText, RatioText, Selector, Shape, TaintFields, fields,
};

fields! {
    /// Something that goes wrong.
    Fault as "mapping" {
        /// Name; recovery is measured by it.
        name: String,
        /// When it begins: a duration since the start, a time of the scenario's clock ("02:00"), or {after: <fault or mark>, delay}.
        at: Part<Moment>,
        /// NodeChaos or PodChaos. Follows from the action.
        kind: Option<String>,
        /// Nodes: node-poweroff, node-restart, node-shutdown, kubelet-service-kill, node-network-partition, node-drain, node-taint. Pods: pod-kill, container-kill, probe-failure. Control plane: control-plane-kill. Cloud: provisioning-failure.
        action: String,
        /// How many of those selected: one (default), all, fixed, fixed-percent or random-max-percent.
        mode: Option<String>,
        /// The number of mode fixed, or the percentage.
        value: Option<PercentText>,
        /// Who may be struck. Default all nodes, or all pods.
        selector: Option<Part<Selector>>,
        /// When it is undone. Default never. container-kill, probe-failure and pod-kill need no undoing.
        duration: Option<DurationText>,
        /// Again every so often: {every: 30s, times: 20}.
        schedule: Option<Schedule>,
        /// node-restart: how long the node is away. Default 60s.
        downtime: Option<DurationText>,
        /// node-taint: the taint, `key=value:effect`.
        taint: Option<Part<TaintFields>>,
        /// control-plane-kill: kube-scheduler, kube-controller-manager, kube-apiserver or etcd.
        component: Option<String>,
        /// pod-kill: grace in seconds. Default 0: killed at once.
        grace_period: Option<DurationText>,
        /// container-kill, probe-failure: which containers; the first of them. Default the pod's first.
        container_names: Option<Vec<String>>,
        /// container-kill: exit code. Default 137, as of SIGKILL.
        exit_code: Option<i32>,
        /// provisioning-failure: pools whose orders fail. Default all that the cluster autoscaler resizes.
        node_pools: Option<Vec<String>>,
        /// provisioning-failure: out-of-resources (default; a stockout), quota-exceeded, refused (the order itself), never-created (no machine comes of it) or never-registers (a machine that becomes no node).
        reason: Option<String>,
        /// provisioning-failure: what the cloud says.
        message: Option<String>,
        /// provisioning-failure: share of the ordered nodes that fail. Default all.
        share: Option<RatioText>,
        /// provisioning-failure: from the order until the cloud says that it failed. Default 10s.
        detected_after: Option<DurationText>,
        /// probe-failure: liveness, readiness or startup.
        probe: Option<String>,
    }

    /// How often a fault comes back.
    Schedule as "mapping" {
        /// From one beginning to the next.
        every: DurationText,
        /// How often in all. Default as often as fits into the run.
        times: Option<u32>,
    }

    /// When something happens.
    Moment as "a duration, a time of the scenario's clock such as \"02:00\", or mapping" {
        /// Name of a fault, a mark or a step.
        after: String,
        /// How long after its beginning. Default 0s.
        delay: Option<DurationText>,
    }

    /// Something an operator does. One action each.
    Step as "mapping" {
        /// What reports call it. Default the action in words.
        name: Option<String>,
        /// When: as of a fault.
        at: Part<Moment>,
        /// `kubectl apply`: an object, a list of objects, or {path}.
        apply: Option<Part<super::Manifest>>,
        /// `kubectl delete`: `deployment/checkout`.
        delete: Option<String>,
        /// What becomes of what a deleted object owns: background, foreground or orphan. Default background.
        cascade: Option<String>,
        /// `kubectl scale`.
        scale: Option<Scale>,
        /// `kubectl set image`.
        set_image: Option<Part<SetImage>>,
        /// `kubectl patch --subresource resize`: other cpu and memory for running pods.
        resize: Option<Part<Resize>>,
        /// `kubectl rollout undo`: a workload, or {workload, toRevision}.
        rollout_undo: Option<Part<RolloutUndo>>,
        /// `kubectl rollout restart`: a workload.
        rollout_restart: Option<String>,
        /// `kubectl rollout pause`: a workload.
        rollout_pause: Option<String>,
        /// `kubectl rollout resume`: a workload.
        rollout_resume: Option<String>,
        /// Sets `suspend` of a job or cronjob: `job/import`.
        suspend: Option<String>,
        /// Unsets it.
        resume: Option<String>,
        /// `kubectl cordon`: a node.
        cordon: Option<String>,
        /// `kubectl uncordon`: a node.
        uncordon: Option<String>,
        /// `kubectl drain`: a node.
        drain: Option<String>,
        /// `kubectl taint`.
        taint: Option<Part<TaintStep>>,
        /// `kubectl label` of a node or of pods.
        label: Option<Part<LabelStep>>,
    }

    /// `kubectl scale`.
    Scale as "mapping" {
        /// `deployment/checkout`.
        workload: String,
        /// How many.
        replicas: i32,
    }

    /// `kubectl set image`.
    SetImage as "mapping" {
        /// `deployment/checkout`.
        workload: String,
        /// The container; `*` means all. Default all.
        container: Option<String>,
        /// The container's new image.
        image: Option<String>,
        /// Several at once: {container: image}; instead of container and image.
        containers: Option<BTreeMap<String, String>>,
    }

    /// Other cpu and memory for the pods that a workload has; its template stays.
    Resize as "mapping" {
        /// `deployment/checkout`, or a pod: `pod/batch`.
        workload: String,
        /// The container. Default all.
        container: Option<String>,
        /// New requests: cpu and memory. What is not said stays.
        requests: Option<BTreeMap<String, QuantityText>>,
        /// New limits: cpu and memory. What is not said stays.
        limits: Option<BTreeMap<String, QuantityText>>,
    }

    /// `kubectl rollout undo`.
    RolloutUndo as "`deployment/checkout`, or mapping" {
        /// `deployment/checkout`.
        workload: String,
        /// The revision to go back to. Default the one before.
        to_revision: Option<u64>,
    }

    /// `kubectl taint`.
    TaintStep as "mapping" {
        /// The node.
        node: String,
        /// `key=value:effect`; with a `-` at its end it is taken off.
        taint: String,
    }

    /// `kubectl label` of a node or of pods.
    LabelStep as "mapping" {
        /// The node.
        node: Option<String>,
        /// Which pods.
        pods: Option<Part<Selector>>,
        /// Only the first so many of these pods, by name. Default all.
        first: Option<u32>,
        /// Labels; an empty value takes the label off.
        labels: BTreeMap<String, String>,
    }

    /// A moment with a name.
    Mark as "mapping" {
        /// Name.
        name: String,
        /// When: as of a fault.
        at: Part<Moment>,
    }

    /// What must hold.
    Expectation as "mapping" {
        /// What reports call it. Default the metric.
        name: Option<String>,
        /// What is measured: `wavetank list metrics`.
        metric: String,
        /// Of what: {service, workload, fault, mark, node, from, to, …}, as the metric takes them.
        r#where: Option<Part<Filter>>,
        /// Look at windows of this length instead of the whole run.
        window: Option<DurationText>,
        /// min, max, mean, last, p50, p95, p99, time-mean. Default the metric's own.
        stat: Option<String>,
        /// Across seeds: worst (default), mean, median, p95; or `seeds`, which takes `stat` over the seeds.
        over: Option<String>,
        /// >=, >, <=, <, == or !=.
        op: String,
        /// The bound.
        value: AmountText,
        /// error (default: the run fails), warning or info.
        severity: Option<String>,
    }
}

/// `where` of an expectation.
#[derive(Debug)]
pub(crate) enum Filter {}

impl Described for Filter {
    fn shape() -> Shape {
        let field = |name: &str, meaning: &str| super::Field::of::<Option<NameText>>(name, meaning);
        Shape {
            words: "mapping".to_owned(),
            fields: vec![
                field("service", "A Service, `name` or `namespace/name`."),
                field("flow", "A source's name, or `caller→callee`."),
                field("workload", "`deployment/checkout`, or just the name."),
                field("namespace", "A namespace."),
                field("fault", "A fault's name."),
                field("mark", "A mark's name."),
                field("node", "A node's name."),
                field("pool", "A node pool's name."),
                field("zone", "A zone."),
                field("from", "Only from this moment on, as a duration since the start."),
                field("to", "Only until this moment."),
            ],
        }
    }
}
