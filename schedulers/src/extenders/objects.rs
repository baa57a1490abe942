//! Pods and nodes as extenders read them: v1.Pod and v1.Node with the fields that are known here.
//!
//! Not sent, since a scheduler here does not know them: annotations of pods, probes, commands, environment,
//! volumes beyond their names, conditions of nodes other than Ready.

use api::{
    Affinity, ConditionStatus, Container, LabelSelector, Labels, Node, NodeSelectorTerm, Operator, PodAffinity, PodAffinityTerm,
    PreemptionPolicy, Requirement, ResourceList, ResourceName, TolerationOperator,
};
use port::PodInfo;
use serde_json::{Map, Value, json};

/// An object without fields that say nothing.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    };
    Value::Object(fields.into_iter().filter(|(_, value)| says_something(value)).map(|(name, value)| (name.to_owned(), value)).collect())
}

fn labels(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(key, value)| (key.to_string(), json!(**value))).collect())
}

/// cpu in thousandths, everything else whole, as quantities are written.
fn resources(list: &ResourceList) -> Value {
    let quantity = |name: &ResourceName, amount: i64| match name {
        ResourceName::Cpu if amount % 1000 == 0 => (amount / 1000).to_string(),
        ResourceName::Cpu => format!("{amount}m"),
        _ => amount.to_string(),
    };
    let entries = list.iter().map(|(name, amount)| (name.as_str().to_owned(), json!(quantity(name, *amount))));
    Value::Object(entries.collect::<Map<String, Value>>())
}

fn requirements(list: &[Requirement]) -> Value {
    let operator = |operator| match operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
        Operator::Gt => "Gt",
        Operator::Lt => "Lt",
    };
    let texts = |values: &[api::Str]| values.iter().map(|value| json!(**value)).collect();
    let requirement = |requirement: &Requirement| {
        object([
            ("key", json!(*requirement.key)),
            ("operator", json!(operator(requirement.operator))),
            ("values", Value::Array(texts(&requirement.values))),
        ])
    };
    list.iter().map(requirement).collect()
}

/// An empty selector is not an absent one.
fn selector(selector: Option<&LabelSelector>) -> Value {
    selector.map_or(Value::Null, |selector| {
        object([("matchLabels", labels(&selector.match_labels)), ("matchExpressions", requirements(&selector.match_expressions))])
    })
}

fn node_term(term: &NodeSelectorTerm) -> Value {
    object([("matchExpressions", requirements(&term.match_expressions)), ("matchFields", requirements(&term.match_fields))])
}

fn pod_term(term: &PodAffinityTerm) -> Value {
    let mut value =
        object([("topologyKey", json!(*term.topology_key)), ("namespaces", term.namespaces.iter().map(|name| json!(**name)).collect())]);
    for (name, given) in [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)] {
        if given.is_some() {
            value[name] = selector(given.as_ref());
        }
    }
    value
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn pod_affinity(affinity: Option<&PodAffinity>) -> Value {
    affinity.map_or(Value::Null, |affinity| {
        let weighted = affinity.preferred.iter().map(|wish| json!({"weight": wish.weight, "podAffinityTerm": pod_term(&wish.term)}));
        object([(REQUIRED, affinity.required.iter().map(pod_term).collect()), (PREFERRED, weighted.collect())])
    })
}

fn affinity(affinity: &Affinity) -> Value {
    let node = affinity.node.as_ref().map_or(Value::Null, |node| {
        let terms = |terms: &Vec<NodeSelectorTerm>| json!({"nodeSelectorTerms": terms.iter().map(node_term).collect::<Vec<_>>()});
        let weighted = node.preferred.iter().map(|wish| json!({"weight": wish.weight, "preference": node_term(&wish.preference)}));
        object([(REQUIRED, node.required.as_ref().map_or(Value::Null, terms)), (PREFERRED, weighted.collect())])
    });
    object([
        ("nodeAffinity", node),
        ("podAffinity", pod_affinity(affinity.pod.as_ref())),
        ("podAntiAffinity", pod_affinity(affinity.pod_anti.as_ref())),
    ])
}

fn container(container: &Container) -> Value {
    let ports = container.ports.iter().map(|port| {
        let host_port = if port.host_port > 0 { json!(port.host_port) } else { Value::Null };
        object([
            ("name", json!(*port.name)),
            ("containerPort", json!(port.container_port)),
            ("hostPort", host_port),
            ("hostIP", json!(*port.host_ip)),
            ("protocol", json!(*port.protocol)),
        ])
    });
    object([
        ("name", json!(*container.name)),
        ("image", json!(*container.image)),
        ("ports", ports.collect()),
        ("resources", object([("requests", resources(&container.requests)), ("limits", resources(&container.limits))])),
        ("restartPolicy", if container.is_sidecar { json!("Always") } else { Value::Null }),
    ])
}

/// v1.Pod; `node` is where it is.
pub(super) fn pod(pod: &PodInfo, node: Option<&str>) -> Value {
    let spec = &pod.spec;
    let toleration = |toleration: &api::Toleration| {
        let operator = match toleration.operator {
            TolerationOperator::Exists => "Exists",
            TolerationOperator::Equal => "Equal",
            TolerationOperator::Lt => "Lt",
            TolerationOperator::Gt => "Gt",
        };
        object([
            ("key", json!(*toleration.key)),
            ("operator", json!(operator)),
            ("value", json!(*toleration.value)),
            ("effect", toleration.effect.map_or(Value::Null, |effect| json!(effect.as_str()))),
            ("tolerationSeconds", json!(toleration.toleration_seconds)),
        ])
    };
    let owner = pod
        .controller
        .as_ref()
        .map(|owner| json!({"kind": *owner.kind, "name": *owner.name, "uid": owner.uid.to_string(), "controller": true}));
    json!({
        "metadata": object([
            ("name", json!(*pod.key.name)),
            ("namespace", json!(*pod.key.namespace)),
            ("uid", json!(pod.uid.to_string())),
            ("labels", labels(&pod.labels)),
            ("ownerReferences", owner.into_iter().collect()),
        ]),
        "spec": object([
            ("initContainers", spec.init_containers.iter().map(container).collect()),
            ("containers", spec.containers.iter().map(container).collect()),
            ("nodeName", json!(node)),
            ("nodeSelector", labels(&spec.node_selector)),
            ("affinity", affinity(&spec.affinity)),
            ("tolerations", spec.tolerations.iter().map(toleration).collect()),
            ("overhead", resources(&spec.overhead)),
            ("schedulerName", json!(*spec.scheduler_name)),
            ("priorityClassName", json!(*spec.priority_class_name)),
            ("priority", json!(spec.priority)),
            ("preemptionPolicy", json!(if spec.preemption_policy == PreemptionPolicy::Never { "Never" } else { "PreemptLowerPriority" })),
        ]),
        "status": object([
            ("phase", json!(if node.is_some() { "Running" } else { "Pending" })),
            ("nominatedNodeName", pod.nominated_node.as_ref().map_or(Value::Null, |name| json!(**name))),
        ]),
    })
}

/// v1.Node.
pub(super) fn node(node: &Node) -> Value {
    let taint =
        |taint: &api::Taint| object([("key", json!(*taint.key)), ("value", json!(*taint.value)), ("effect", json!(taint.effect.as_str()))]);
    let ready = match node.status.ready {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    };
    let image = |image: &api::ContainerImage| json!({"names": image.names.iter().map(|name| &**name).collect::<Vec<_>>(), "sizeBytes": image.size_bytes});
    json!({
        "metadata": object([
            ("name", json!(*node.meta.name)),
            ("uid", json!(node.meta.uid.to_string())),
            ("labels", labels(&node.meta.labels)),
            ("annotations", labels(&node.meta.annotations)),
        ]),
        "spec": object([
            ("unschedulable", if node.spec.unschedulable { json!(true) } else { Value::Null }),
            ("taints", node.spec.taints.iter().map(taint).collect()),
            ("providerID", json!(*node.spec.provider_id)),
        ]),
        "status": object([
            ("capacity", resources(&node.status.capacity)),
            ("allocatable", resources(&node.status.allocatable)),
            ("conditions", json!([{"type": "Ready", "status": ready}])),
            ("images", node.status.images.iter().map(image).collect()),
        ]),
    })
}
