//! What the readings of plugin arguments (`pluginConfig[].args`) share; each plugin reads its own, defaulted and
//! validated as upstream does.
//!
//! Upstream: apis/config/v1/defaults.go, apis/config/validation/validation_pluginargs.go.

use api::{NodeSelectorTerm, Operator, Requirement, ResourceName};

pub(crate) use super::reader::Reader;
use crate::plugins::node_resources_fit::ResourceSpec;

/// The keys of `args` itself: its own plus those every API object has.
pub(crate) fn fields(args: &Reader<'_>, known: &[&str]) {
    let mut all = vec!["apiVersion", "kind"];
    all.extend(known);
    args.fields(&all);
}

pub(crate) fn resources(list: &Reader<'_>) -> Vec<ResourceSpec> {
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

pub(crate) fn term(reader: &Reader<'_>) -> NodeSelectorTerm {
    reader.fields(&["matchExpressions", "matchFields"]);
    NodeSelectorTerm {
        match_expressions: requirements(&reader.get("matchExpressions")),
        match_fields: requirements(&reader.get("matchFields")),
    }
}
