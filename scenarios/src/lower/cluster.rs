//! Machines.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    Labels, Node, NodeSpec, NodeStatus, NodeSystemInfo, ObjectMeta, ResourceList, ResourceName, SimDuration, Str, Taint, TaintEffect,
};
use engine::random::Distribution;
use engine::spec::NodePool;
use manifests::{Diagnostic, Pointer};
use serde_json::Value;

use super::{Bare, law};
use crate::cx::Cx;
use crate::format::{self, Cluster, Count, NodeTemplate, QuantityText, TaintFields};

/// The node pools, and the dump to import.
#[derive(Default)]
pub(crate) struct Pools {
    pub(crate) pools: Vec<NodePool>,
    /// Bytes per second of the pools that say so.
    pub(crate) pull_bandwidth: Vec<(Str, i64)>,
    /// Whether some could not be read, so that what the machines are is not known.
    pub(crate) incomplete: bool,
    pub(crate) import: Option<String>,
}

/// The cluster at `path`.
pub(crate) fn cluster(cx: &mut Cx<'_>, path: &Pointer) -> Pools {
    if cx.value(path).is_none() {
        return Pools::default();
    }
    let Some(fields) = cx.read::<Cluster>(path) else { return Pools::default() };
    if let Some(version) = &fields.kubernetes_version
        && version.trim_start_matches('v').split('.').take(2).collect::<Vec<_>>() != ["1", "36"]
    {
        let at = path.key("kubernetesVersion");
        let diagnostic =
            Diagnostic::warning("WT0411", format!("Kubernetes {version} is not simulated")).label("decisions are those of 1.36");
        cx.push(diagnostic, &at);
    }
    let zones: Vec<Str> = fields.zones.iter().flatten().map(|zone| zone.as_str().into()).collect();
    let list = path.key("nodePools");
    let items = cx.items(&list);
    let mut pull_bandwidth = Vec::new();
    let pools: Vec<NodePool> = items.iter().filter_map(|item| pool(cx, item, &zones, &mut pull_bandwidth)).collect();
    Pools { pull_bandwidth, incomplete: pools.len() < items.len(), pools, import: fields.import }
}

fn pool(cx: &mut Cx<'_>, path: &Pointer, zones: &[Str], pull_bandwidth: &mut Vec<(Str, i64)>) -> Option<NodePool> {
    let fields: format::NodePool = cx.read(path)?;
    let count = count(cx, &path.key("count"));
    let template = template(cx, &path.key("template"), &fields.name);
    let provisioning = match &fields.provisioning {
        Some(_) => law(cx, &path.key("provisioning"), Bare::Constant),
        None => Some(default_provisioning()),
    };
    if fields.provisioning.is_none() && count.is_some_and(|(_, range)| range.is_some()) {
        cx.note(format!("node pool {}: provisioning 75s median, 140s p95", fields.name));
    }
    let price = cx.within(fields.price_per_hour.unwrap_or(0.0), 0.0, "a price", &path.key("pricePerHour"));
    let spread = match fields.spread_over.as_deref() {
        None => Vec::new(),
        Some("zones") if !zones.is_empty() => zones.to_vec(),
        Some("zones") => {
            cx.error("WT0107", "no zones to spread over", "`spec.cluster.zones` is missing", &path.key("spreadOver"));
            Vec::new()
        }
        Some(other) => {
            cx.word(other, &[("zones", ())], &path.key("spreadOver"));
            Vec::new()
        }
    };
    if let Some(text) = &fields.image_pull_bandwidth
        && let Some(bytes) = bandwidth(cx, text, &path.key("imagePullBandwidth"))
    {
        pull_bandwidth.push((fields.name.as_str().into(), bytes));
    }
    let (initial, autoscaling) = count?;
    Some(NodePool {
        name: fields.name.as_str().into(),
        initial,
        autoscaling,
        template: template?,
        zones: spread,
        price_per_hour: price?,
        provisioning: provisioning?,
        zero_or_max: fields.zero_or_max.unwrap_or(false),
    })
}

fn default_provisioning() -> Distribution {
    Distribution::lognormal_median_p95(SimDuration::from_secs(75), SimDuration::from_secs(140))
}

/// More nodes than this are a slip.
const MOST_NODES: u32 = 200_000;

fn count(cx: &mut Cx<'_>, path: &Pointer) -> Option<(u32, Option<(u32, u32)>)> {
    let (initial, range) = if cx.value(path).is_some_and(Value::is_object) {
        let Count { min, max, initial } = cx.read(path)?;
        (initial.unwrap_or(min), Some((min, max)))
    } else {
        (cx.read::<u32>(path)?, None)
    };
    let wrong = match range {
        Some((min, max)) if max < min => Some(("max", format!("`max` is {max}, less than `min` {min}"))),
        Some((min, max)) if !(min..=max).contains(&initial) => Some(("initial", format!("expected {min} to {max}"))),
        _ if initial.max(range.map_or(0, |(_, max)| max)) > MOST_NODES => Some(("", format!("expected at most {MOST_NODES} nodes"))),
        _ => None,
    };
    if let Some((field, words)) = wrong {
        let at = if field.is_empty() { path.clone() } else { path.key(field) };
        cx.error("WT0109", "a count of nodes out of range", words, &at);
        return None;
    }
    Some((initial, range))
}

fn template(cx: &mut Cx<'_>, path: &Pointer, pool: &str) -> Option<Node> {
    let fields: NodeTemplate = cx.read(path)?;
    let mut capacity = resources(cx, &fields.capacity, &path.key("capacity"));
    let mut sound = capacity.len() == fields.capacity.len();
    for name in [ResourceName::Cpu, ResourceName::Memory] {
        if !fields.capacity.contains_key(name.as_str()) {
            let message = format!("required field `{name}` is missing");
            cx.error("WT0107", message, format!("how much {name} does a node have?"), &path.key("capacity"));
            sound = false;
        }
    }
    if !fields.capacity.contains_key("pods") {
        capacity.insert(ResourceName::Pods, 110);
        cx.note(format!("node pool {pool}: 110 pods per node"));
    }
    let mut allocatable = capacity.clone();
    if let Some(own) = &fields.allocatable {
        let at = path.key("allocatable");
        for (name, amount) in resources(cx, own, &at) {
            if capacity.get(&name).is_some_and(|whole| *whole < amount) {
                cx.error("WT0109", format!("more {name} allocatable than there is"), "exceeds the capacity", &at.key(name.as_str()));
            }
            allocatable.insert(name, amount);
        }
    }
    let list = path.key("taints");
    let taints = cx.items(&list).iter().filter_map(|item| taint(cx, item)).collect();
    let labels: Labels = fields.labels.iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    sound.then(|| Node {
        meta: ObjectMeta { labels: Arc::new(labels), ..ObjectMeta::default() },
        spec: NodeSpec { taints, ..NodeSpec::default() },
        status: NodeStatus { capacity, allocatable: Arc::new(allocatable), info: info(), ..NodeStatus::default() },
    })
}

/// A kubelet 1.36 with its default feature gates: of what it declares, what pods can need.
fn info() -> NodeSystemInfo {
    NodeSystemInfo { declared_features: vec!["RestartAllContainersOnContainerExits".into()], ..NodeSystemInfo::default() }
}

fn resources(cx: &mut Cx<'_>, list: &BTreeMap<String, QuantityText>, path: &Pointer) -> ResourceList {
    let amount = |(name, text): (&String, &QuantityText)| {
        let resource = ResourceName::new(name);
        let amount = cx.quantity(&resource, text, &path.key(name))?;
        Some((resource, amount))
    };
    list.iter().filter_map(amount).collect()
}

/// An amount of memory, in bytes.
pub(crate) fn memory(cx: &mut Cx<'_>, text: &QuantityText, path: &Pointer) -> Option<i64> {
    cx.quantity(&ResourceName::Memory, text, path)
}

/// Bytes per second that are not none.
pub(crate) fn bandwidth(cx: &mut Cx<'_>, text: &QuantityText, path: &Pointer) -> Option<i64> {
    let bytes = memory(cx, text, path)?;
    if bytes == 0 {
        cx.error("WT0109", "a bandwidth of 0", "no image could ever be pulled; expected bytes per second such as `64Mi`", path);
        return None;
    }
    Some(bytes)
}

const EFFECTS: &[(&str, TaintEffect)] =
    &[("NoSchedule", TaintEffect::NoSchedule), ("PreferNoSchedule", TaintEffect::PreferNoSchedule), ("NoExecute", TaintEffect::NoExecute)];

/// A taint, as a mapping or as kubectl writes it.
pub(crate) fn taint(cx: &mut Cx<'_>, path: &Pointer) -> Option<Taint> {
    if let Some(text) = cx.text(path).map(str::to_owned) {
        return taint_of(cx, &text, path);
    }
    let fields: TaintFields = cx.read(path)?;
    let effect = cx.word(&fields.effect, EFFECTS, &path.key("effect"))?;
    Some(Taint { value: fields.value.as_deref().unwrap_or("").into(), ..Taint::new(&fields.key, effect) })
}

/// `key=value:effect` or `key:effect`.
pub(crate) fn taint_of(cx: &mut Cx<'_>, text: &str, path: &Pointer) -> Option<Taint> {
    let Some((left, effect)) = text.rsplit_once(':').filter(|(left, _)| !left.is_empty() && !left.starts_with('=')) else {
        let diagnostic = Diagnostic::error("WT0118", format!("`{text}` is not a taint")).label("expected `key=value:effect`");
        cx.push(diagnostic.help("such as `dedicated=gpu:NoSchedule`"), path);
        return None;
    };
    let effect = cx.word(effect, EFFECTS, path)?;
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    Some(Taint { value: value.into(), ..Taint::new(key, effect) })
}
