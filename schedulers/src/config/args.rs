//! Plugin arguments (`pluginConfig[].args`) into plugins, defaulted and validated as upstream does.
//!
//! Upstream: apis/config/v1/defaults.go, apis/config/validation/validation_pluginargs.go.

use api::{NodeSelectorTerm, Operator, PreferredSchedulingTerm, Requirement, ResourceName, TopologySpreadConstraint, WhenUnsatisfiable};

pub(crate) use super::reader::Reader;
use crate::plugins::default_preemption::DefaultPreemption;
use crate::plugins::inter_pod_affinity::InterPodAffinity;
use crate::plugins::node_affinity::NodeAffinity;
use crate::plugins::node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use crate::plugins::node_resources_fit::{NodeResourcesFit, ResourceSpec, ShapePoint, Strategy};
use crate::plugins::pod_topology_spread::{PodTopologySpread, system_defaults};
use crate::plugins::volume_binding::VolumeBinding;

/// Shape scores are given in 0..=10 and counted in 0..=100.
const MAX_CUSTOM_PRIORITY_SCORE: i64 = 10;

/// The keys of `args` itself: its own plus those every API object has.
fn fields(args: &Reader<'_>, known: &[&str]) {
    let mut all = vec!["apiVersion", "kind"];
    all.extend(known);
    args.fields(&all);
}

fn resources(list: &Reader<'_>) -> Vec<ResourceSpec> {
    let mut specs: Vec<ResourceSpec> = Vec::new();
    for item in list.list() {
        item.fields(&["name", "weight"]);
        let name = item.get("name").text("");
        if name.is_empty() {
            item.error("a resource needs a name");
        }
        specs.push(ResourceSpec { name: ResourceName::new(name), weight: item.get("weight").integer(1, 0..=100).max(1) });
    }
    if specs.is_empty() {
        specs = [ResourceName::Cpu, ResourceName::Memory].map(|name| ResourceSpec { name, weight: 1 }).to_vec();
    }
    specs
}

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

pub(crate) fn node_resources_fit(args: &Reader<'_>) -> NodeResourcesFit {
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

pub(crate) fn balanced_allocation(args: &Reader<'_>) -> NodeResourcesBalancedAllocation {
    fields(args, &["resources"]);
    NodeResourcesBalancedAllocation { resources: resources(&args.get("resources")) }
}

pub(crate) fn inter_pod_affinity(args: &Reader<'_>) -> InterPodAffinity {
    fields(args, &["hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"]);
    InterPodAffinity {
        hard_pod_affinity_weight: args.get("hardPodAffinityWeight").integer(1, 0..=100),
        ignore_preferred_terms_of_existing_pods: args.get("ignorePreferredTermsOfExistingPods").boolean(false),
    }
}

pub(crate) fn default_preemption(args: &Reader<'_>) -> DefaultPreemption {
    fields(args, &["minCandidateNodesPercentage", "minCandidateNodesAbsolute"]);
    DefaultPreemption {
        min_candidate_nodes_percentage: args.get("minCandidateNodesPercentage").integer(10, 0..=100) as usize,
        min_candidate_nodes_absolute: args.get("minCandidateNodesAbsolute").integer(100, 0..=i64::from(i32::MAX)) as usize,
    }
}

pub(crate) fn volume_binding(args: &Reader<'_>) -> VolumeBinding {
    fields(args, &["bindTimeoutSeconds", "shape"]);
    for (key, why) in [("bindTimeoutSeconds", "volumes are bound at once"), ("shape", "VolumeBinding gives no scores by default")] {
        if !args.get(key).is_absent() {
            args.get(key).notice(why);
        }
    }
    VolumeBinding
}

fn requirements(list: &Reader<'_>) -> Vec<Requirement> {
    let mut found = Vec::new();
    for item in list.list() {
        item.fields(&["key", "operator", "values"]);
        let operator = match item.get("operator").text("") {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            other => {
                item.get("operator").error(format!("{other:?} is no operator: In, NotIn, Exists, DoesNotExist, Gt or Lt"));
                continue;
            }
        };
        let values = item.get("values").texts().into_iter().map(Into::into).collect();
        found.push(Requirement { key: item.get("key").text("").into(), operator, values });
    }
    found
}

fn term(reader: &Reader<'_>) -> NodeSelectorTerm {
    reader.fields(&["matchExpressions", "matchFields"]);
    NodeSelectorTerm {
        match_expressions: requirements(&reader.get("matchExpressions")),
        match_fields: requirements(&reader.get("matchFields")),
    }
}

pub(crate) fn node_affinity(args: &Reader<'_>) -> NodeAffinity {
    fields(args, &["addedAffinity"]);
    let added = args.get("addedAffinity");
    let (required, preferred) = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    added.fields(&[required, preferred]);
    let required = added.get(required);
    required.fields(&["nodeSelectorTerms"]);
    let terms = required.get("nodeSelectorTerms").list();
    let weighted = added.get(preferred).list();
    NodeAffinity {
        added_required: (!required.is_absent()).then(|| terms.iter().map(term).collect()),
        added_preferred: weighted
            .iter()
            .map(|item| {
                item.fields(&["weight", "preference"]);
                PreferredSchedulingTerm { weight: item.get("weight").integer(1, 1..=100) as i32, preference: term(&item.get("preference")) }
            })
            .collect(),
    }
}

fn spread_constraint(item: &Reader<'_>) -> TopologySpreadConstraint {
    item.fields(&["maxSkew", "topologyKey", "whenUnsatisfiable", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy", "labelSelector"]);
    if !item.get("labelSelector").is_absent() {
        item.get("labelSelector").error("a default constraint has no selector; it is made from the pod's Services and owner");
    }
    let key = item.get("topologyKey").text("");
    if key.is_empty() {
        item.error("topologyKey is needed");
    }
    let when_unsatisfiable = match item.get("whenUnsatisfiable").text("") {
        "DoNotSchedule" => WhenUnsatisfiable::DoNotSchedule,
        "ScheduleAnyway" => WhenUnsatisfiable::ScheduleAnyway,
        other => {
            item.get("whenUnsatisfiable").error(format!("{other:?} is neither DoNotSchedule nor ScheduleAnyway"));
            WhenUnsatisfiable::ScheduleAnyway
        }
    };
    let honours = |key: &str, default: &'static str| match item.get(key).text(default) {
        "Honor" => true,
        "Ignore" => false,
        other => {
            item.get(key).error(format!("{other:?} is neither Honor nor Ignore"));
            false
        }
    };
    let min_domains = item.get("minDomains");
    TopologySpreadConstraint {
        max_skew: item.get("maxSkew").integer(1, 1..=i64::from(i32::MAX)) as i32,
        topology_key: key.into(),
        when_unsatisfiable,
        label_selector: None,
        min_domains: (!min_domains.is_absent()).then(|| min_domains.integer(1, 1..=i64::from(i32::MAX)) as i32),
        honor_node_affinity: honours("nodeAffinityPolicy", "Honor"),
        honor_node_taints: honours("nodeTaintsPolicy", "Ignore"),
        match_label_keys: Vec::new(),
    }
}

pub(crate) fn pod_topology_spread(args: &Reader<'_>, comparison_operators: bool) -> PodTopologySpread {
    fields(args, &["defaultConstraints", "defaultingType"]);
    let kind = args.get("defaultingType");
    let own: Vec<TopologySpreadConstraint> = args.get("defaultConstraints").list().iter().map(spread_constraint).collect();
    let system_defaulted = match kind.text("System") {
        "System" => true,
        "List" => false,
        other => {
            kind.error(format!("{other:?} is neither System nor List"));
            true
        }
    };
    if system_defaulted && !own.is_empty() {
        args.get("defaultConstraints").error("constraints are only taken with defaultingType: List");
    }
    PodTopologySpread {
        default_constraints: if system_defaulted { system_defaults() } else { own },
        system_defaulted,
        comparison_operators,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use api::Labels;
    use serde_json::json;

    use super::super::reader::Findings;
    use super::*;

    #[test]
    fn shape_scores_are_counted_in_per_cent() {
        let findings = RefCell::new(Findings::default());
        let value = json!({"scoringStrategy": {"type": "RequestedToCapacityRatio",
            "requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}}});
        let plugin = node_resources_fit(&Reader::new("args", &value, &findings));
        let expected = vec![ShapePoint { utilization: 0, score: 0 }, ShapePoint { utilization: 100, score: 100 }];
        assert_eq!(plugin.strategy, Strategy::RequestedToCapacityRatio(expected));
        assert!(findings.borrow().errors.is_empty());
    }

    #[test]
    fn added_affinity_is_read_as_a_pods_is() {
        let findings = RefCell::new(Findings::default());
        let value = json!({"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["4"]}]}]}}});
        let plugin = node_affinity(&Reader::new("args", &value, &findings));
        let admits = |generation: &str| {
            let labels = Labels::from([("gen".into(), generation.into())]);
            plugin.added_required.iter().flatten().any(|term| term.matches(&"n".into(), &labels))
        };
        assert!(admits("5") && !admits("4"));
    }
}
