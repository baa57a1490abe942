//! NodeResourcesFit: a pod needs what it requests to be free, and a strategy says where it is placed best.
//!
//! Filter: `request > allocatable - requested` fails, per resource, all failing ones reported together.
//! Score: integers, truncated as upstream truncates; amounts include the defaults for containers that name
//! no cpu or memory. Upstream: plugins/noderesources/{fit,least_allocated,most_allocated,
//! requested_to_capacity_ratio,resource_allocation}.go.

use std::sync::Arc;

use crate::config::args::{Reader, fields, resources};
use api::{ResourceName, Resources, Str};
use port::{
    ClusterEvent, ClusterSnapshot, FilterPlugin, MAX_NODE_SCORE, NodeIndex, NodeInfo, Plugin, PodInfo, PreFilterResult, PreScoreResult,
    QueueingHint, Reason, Reasons, Remedy, ScorePlugin, Status,
};

use super::wording;

/// A resource that a strategy looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ResourceSpec {
    pub(crate) name: ResourceName,
    pub(crate) weight: i64,
}

/// A point of the broken line: utilisation in per cent, score in 0..=100.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShapePoint {
    pub(crate) utilization: i64,
    pub(crate) score: i64,
}

/// How placement is judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Strategy {
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio(Vec<ShapePoint>),
}

pub(crate) struct NodeResourcesFit {
    pub(crate) strategy: Strategy,
    pub(crate) resources: Vec<ResourceSpec>,
    /// Extended resources that are not checked, by full name.
    pub(crate) ignored_resources: Vec<Str>,
    /// The same by what stands before the slash.
    pub(crate) ignored_groups: Vec<Str>,
}

/// Requests that are checked, with zero amounts and ignored resources left out.
#[derive(Clone, Default, Debug)]
pub(crate) struct Wanted {
    cpu_millis: i64,
    memory_bytes: i64,
    ephemeral_storage_bytes: i64,
    scalars: Arc<[(Str, i64, Str)]>,
}

const TOO_MANY_PODS: Reason = Reason::Static("Too many pods");
const CPU: Reason = Reason::Static("Insufficient cpu");
const MEMORY: Reason = Reason::Static("Insufficient memory");
const EPHEMERAL_STORAGE: Reason = Reason::Static("Insufficient ephemeral-storage");

/// Collects reasons without allocating for the first.
#[derive(Default)]
struct Shortages {
    reasons: Option<Reasons>,
    unresolvable: bool,
}

impl Shortages {
    #[cold]
    fn add(&mut self, reason: Reason, larger_than_node: bool) {
        self.unresolvable |= larger_than_node;
        self.reasons = Some(match self.reasons.take() {
            None => Reasons::One(reason),
            Some(Reasons::One(first)) => Reasons::Many(vec![first, reason]),
            Some(Reasons::Many(mut list)) => {
                list.push(reason);
                Reasons::Many(list)
            }
        });
    }
    fn check(&mut self, request: i64, requested: i64, allocatable: i64, reason: &Reason) {
        if request > 0 && request > allocatable - requested {
            self.add(reason.clone(), request > allocatable);
        }
    }
    fn status(self) -> Status {
        match self.reasons {
            None => Status::Success,
            Some(reasons) if self.unresolvable => Status::UnschedulableAndUnresolvable(reasons),
            Some(reasons) => Status::Unschedulable(reasons),
        }
    }
}

impl NodeResourcesFit {
    fn is_ignored(&self, name: &str) -> bool {
        self.ignored_resources.iter().any(|ignored| &**ignored == name)
            || name.split_once('/').is_some_and(|(group, _)| self.ignored_groups.iter().any(|ignored| &**ignored == group))
    }

    fn wanted(&self, pod: &PodInfo) -> Wanted {
        let requests = &pod.requests.requests;
        let scalars = requests.scalars.iter().filter(|(name, amount)| **amount != 0 && !self.is_ignored(name));
        Wanted {
            cpu_millis: requests.cpu_millis,
            memory_bytes: requests.memory_bytes,
            ephemeral_storage_bytes: requests.ephemeral_storage_bytes,
            scalars: scalars.map(|(name, amount)| (name.clone(), *amount, format!("Insufficient {name}").into())).collect(),
        }
    }
}

/// Whether `new` has more than `old` of anything that `wanted` asks for.
fn any_grew(wanted: &Resources, old: &Resources, new: &Resources) -> bool {
    let grew = |wanted: i64, old: i64, new: i64| wanted > 0 && new > old;
    let scalar = |of: &Resources, name: &Str| of.scalars.get(name).copied().unwrap_or(0);
    grew(wanted.cpu_millis, old.cpu_millis, new.cpu_millis)
        || grew(wanted.memory_bytes, old.memory_bytes, new.memory_bytes)
        || grew(wanted.ephemeral_storage_bytes, old.ephemeral_storage_bytes, new.ephemeral_storage_bytes)
        || wanted.scalars.iter().any(|(name, amount)| grew(*amount, scalar(old, name), scalar(new, name)))
}

fn fits(wanted: &Wanted, node: &NodeInfo, pods: i64, requested: &api::Resources) -> Status {
    let allocatable = &node.allocatable;
    let mut shortages = Shortages::default();
    if pods + 1 > allocatable.pods {
        shortages.add(TOO_MANY_PODS, false);
    }
    shortages.check(wanted.cpu_millis, requested.cpu_millis, allocatable.cpu_millis, &CPU);
    shortages.check(wanted.memory_bytes, requested.memory_bytes, allocatable.memory_bytes, &MEMORY);
    let storage = wanted.ephemeral_storage_bytes;
    shortages.check(storage, requested.ephemeral_storage_bytes, allocatable.ephemeral_storage_bytes, &EPHEMERAL_STORAGE);
    for (name, request, reason) in &*wanted.scalars {
        let amount = |of: &api::Resources| of.scalars.get(name).copied().unwrap_or(0);
        shortages.check(*request, amount(requested), amount(allocatable), &Reason::Shared(reason.clone()));
    }
    shortages.status()
}

/// How much of a resource is missing on a node, if any.
fn shortage(name: &ResourceName, request: i64, node: &NodeInfo) -> Option<Remedy> {
    let allocatable = node.allocatable.get(name);
    let free = allocatable - node.requested.get(name);
    let shown = |amount: i64| wording::amount(name, amount);
    (request > 0 && request > free).then(|| {
        let text = if request > allocatable {
            format!("{} {name} short even were it empty: asks {}, has {}", shown(request - allocatable), shown(request), shown(allocatable))
        } else {
            format!("{} {name} short: asks {}, {} of {} free", shown(request - free), shown(request), shown(free), shown(allocatable))
        };
        Remedy::short(text, request - free, request)
    })
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    /// A pod that went frees something, and so does one that asks for less of what this one wants. A node
    /// counts when the pod would fit it were it empty, and, if it was there before, when it has grown.
    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let fits_empty = |node: NodeIndex| fits(&self.wanted(pod), snapshot.node(node), 0, &Resources::default()).is_success();
        super::queue_if(match event {
            ClusterEvent::PodDeleted(_) => true,
            ClusterEvent::PodUpdated { before, pod: changed } => {
                let (old, new) = (&before.requests.requests, &changed.requests.requests);
                // Its own amounts, when it is the waiting pod itself: then all that it asked for counts.
                let wanted = if changed.uid == pod.uid { old } else { &pod.requests.requests };
                (changed.uid == pod.uid || changed.requested_node.is_some()) && any_grew(wanted, new, old)
            }
            ClusterEvent::NodeAdded(node) => fits_empty(*node),
            ClusterEvent::NodeUpdated { before, node } => {
                let (old, new) = (&before.allocatable, &snapshot.node(*node).allocatable);
                fits_empty(*node) && (new.pods > old.pods || any_grew(&pod.requests.requests, old, new))
            }
            _ => false,
        })
    }
}

impl FilterPlugin for NodeResourcesFit {
    type Prepared = Wanted;

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<Wanted> {
        PreFilterResult::Continue(self.wanted(pod))
    }

    fn filter(&self, wanted: &Wanted, _: &PodInfo, node: &NodeInfo) -> Status {
        fits(wanted, node, node.pods.len() as i64, &node.requested)
    }

    fn remedies(&self, wanted: &Wanted, _: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        let native = [
            (ResourceName::Cpu, wanted.cpu_millis),
            (ResourceName::Memory, wanted.memory_bytes),
            (ResourceName::EphemeralStorage, wanted.ephemeral_storage_bytes),
        ];
        let scalars = wanted.scalars.iter().map(|(name, request, _)| (ResourceName::Scalar(name.clone()), *request));
        let slots = node.allocatable.pods;
        let full = (node.pods.len() as i64 + 1 > slots).then(|| Remedy::new(format!("one pod fewer: all {slots} places are taken")));
        full.into_iter().chain(native.into_iter().chain(scalars).filter_map(|(name, request)| shortage(&name, request, node))).collect()
    }
}

/// What a node has and what would be requested of it, for one resource; `None` when the resource does not
/// count there: an extended resource that the pod does not ask for, or one the node does not have.
#[inline]
pub(crate) fn amounts(node: &NodeInfo, name: &ResourceName, pod_request: i64, nonzero: bool) -> Option<(i64, i64)> {
    if pod_request == 0 && matches!(name, ResourceName::Scalar(_)) {
        return None;
    }
    let allocatable = node.allocatable.get(name);
    if allocatable == 0 {
        return None;
    }
    let requested = match name {
        ResourceName::Cpu if nonzero => node.nonzero_cpu_millis,
        ResourceName::Memory if nonzero => node.nonzero_memory_bytes,
        _ => node.requested.get(name),
    };
    Some((requested, allocatable))
}

impl Strategy {
    fn resource_score(&self, requested: i64, allocatable: i64) -> i64 {
        match self {
            Self::LeastAllocated => {
                if requested > allocatable {
                    0
                } else {
                    (allocatable - requested) * MAX_NODE_SCORE / allocatable
                }
            }
            Self::MostAllocated => requested.min(allocatable) * MAX_NODE_SCORE / allocatable,
            Self::RequestedToCapacityRatio(shape) => {
                broken_line(shape, if requested > allocatable { 100 } else { requested * 100 / allocatable })
            }
        }
    }
}

/// Upstream: plugins/helper/shape_score.go.
fn broken_line(shape: &[ShapePoint], utilization: i64) -> i64 {
    let Some(at) = shape.iter().position(|point| utilization <= point.utilization) else {
        return shape.last().map_or(0, |point| point.score);
    };
    let right = shape[at];
    let Some(left) = at.checked_sub(1).map(|before| shape[before]) else { return right.score };
    left.score + (right.score - left.score) * (utilization - left.utilization) / (right.utilization - left.utilization)
}

impl ScorePlugin for NodeResourcesFit {
    /// What the pod adds, in the order of `resources`.
    type Prepared = Vec<i64>;

    fn pre_score(&self, pod: &PodInfo, _: &ClusterSnapshot, _: &[NodeIndex]) -> PreScoreResult<Vec<i64>> {
        PreScoreResult::Continue(self.resources.iter().map(|resource| pod.requests.incoming.get(&resource.name)).collect())
    }

    fn score(&self, requests: &Vec<i64>, _: &PodInfo, node: &NodeInfo) -> i64 {
        let drops_zero = matches!(self.strategy, Strategy::RequestedToCapacityRatio(_));
        let (mut sum, mut weights) = (0, 0);
        for (resource, request) in self.resources.iter().zip(requests) {
            let Some((requested, allocatable)) = amounts(node, &resource.name, *request, true) else { continue };
            let score = self.strategy.resource_score(requested + request, allocatable);
            if drops_zero && score <= 0 {
                continue;
            }
            sum += score * resource.weight;
            weights += resource.weight;
        }
        match (weights, drops_zero) {
            (0, _) => 0,
            (_, false) => sum / weights,
            (_, true) => (sum as f64 / weights as f64).round() as i64,
        }
    }
}

/// Shape scores are given in 0..=10 and counted in 0..=100.
const MAX_CUSTOM_PRIORITY_SCORE: i64 = 10;

fn shape(list: &Reader<'_>) -> Vec<ShapePoint> {
    let mut points: Vec<ShapePoint> = Vec::new();
    for item in list.list() {
        item.fields(&["utilization", "score"]);
        let utilization = item.get("utilization").integer(0, 0..=100);
        if points.last().is_some_and(|last| last.utilization >= utilization) {
            item.error("utilization values have to rise from point to point");
        }
        let score = item.get("score").integer(0, 0..=MAX_CUSTOM_PRIORITY_SCORE) * (port::MAX_NODE_SCORE / MAX_CUSTOM_PRIORITY_SCORE);
        points.push(ShapePoint { utilization, score });
    }
    if points.is_empty() {
        list.error("at least one point is needed");
    }
    points
}

/// From its arguments (NodeResourcesFitArgs).
pub(crate) fn from_args(args: &Reader<'_>) -> NodeResourcesFit {
    fields(args, &["ignoredResources", "ignoredResourceGroups", "scoringStrategy"]);
    let strategy = args.get("scoringStrategy");
    strategy.fields(&["type", "resources", "requestedToCapacityRatio"]);
    let ratio = strategy.get("requestedToCapacityRatio");
    ratio.fields(&["shape"]);
    let kind = strategy.get("type");
    NodeResourcesFit {
        strategy: match kind.text("LeastAllocated") {
            "LeastAllocated" => Strategy::LeastAllocated,
            "MostAllocated" => Strategy::MostAllocated,
            "RequestedToCapacityRatio" => Strategy::RequestedToCapacityRatio(shape(&ratio.get("shape"))),
            other => {
                kind.error(format!("{other:?} is not LeastAllocated, MostAllocated or RequestedToCapacityRatio"));
                Strategy::LeastAllocated
            }
        },
        resources: resources(&strategy.get("resources")),
        ignored_resources: args.get("ignoredResources").texts().into_iter().map(Into::into).collect(),
        ignored_groups: args.get("ignoredResourceGroups").texts().into_iter().map(Into::into).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;
    use crate::config::reader::Findings;

    #[test]
    fn shape_scores_are_counted_in_per_cent() {
        let findings = RefCell::new(Findings::default());
        let value = json!({"scoringStrategy": {"type": "RequestedToCapacityRatio",
            "requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}}});
        let plugin = from_args(&Reader::new("args", &value, &findings));
        let expected = vec![ShapePoint { utilization: 0, score: 0 }, ShapePoint { utilization: 100, score: 100 }];
        assert_eq!(plugin.strategy, Strategy::RequestedToCapacityRatio(expected));
        assert!(findings.borrow().errors.is_empty());
    }
}
