//! What plugins say in words when they are asked what would make a node fit: amounts, labels, selectors, pods.

use api::{LabelSelector, Labels, NodeSelectorTerm, Operator, Quantity, Remedy, Requirement, ResourceName, Str};
use port::{NodeInfo, PodInfo};

const MIB: i64 = 1 << 20;

/// An amount as manifests write it; bytes that are no whole MiB with a tenth.
pub(crate) fn amount(name: &ResourceName, amount: i64) -> String {
    match name {
        ResourceName::Cpu => Quantity::from_millis(amount).to_string(),
        ResourceName::Memory | ResourceName::EphemeralStorage if amount.abs() >= MIB && amount % MIB != 0 => {
            let tenths = amount / (MIB / 10);
            format!("{}.{}Mi", tenths / 10, (tenths % 10).abs())
        }
        ResourceName::Memory | ResourceName::EphemeralStorage => Quantity::from_units(amount).to_string(),
        ResourceName::Pods | ResourceName::Scalar(_) => amount.to_string(),
    }
}

/// The first few of `names`, and how many more there are.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Names of some pods, sorted.
pub(crate) fn pods<'a>(pods: impl Iterator<Item = &'a PodInfo>) -> String {
    let mut names: Vec<String> = pods.map(|pod| pod.key.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    list(&names)
}

/// A selector as kubectl writes it: `app=web,tier in (a,b)`.
pub(crate) fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let all: Vec<String> = labels.chain(selector.match_expressions.iter().map(requirement)).collect();
    if all.is_empty() { "anything".to_owned() } else { all.join(",") }
}

fn requirement(requirement: &Requirement) -> String {
    let Requirement { key, operator, values } = requirement;
    let values = values.join(",");
    match operator {
        Operator::In => format!("{key} in ({values})"),
        Operator::NotIn => format!("{key} notin ({values})"),
        Operator::Exists => key.to_string(),
        Operator::DoesNotExist => format!("!{key}"),
        Operator::Gt => format!("{key}>{values}"),
        Operator::Lt => format!("{key}<{values}"),
    }
}

/// What keeps `labels` from having `key=value`.
pub(crate) fn label(key: &Str, value: &Str, labels: &Labels) -> Option<Remedy> {
    match labels.get(key) {
        Some(found) if found == value => None,
        Some(found) => Some(Remedy::new(format!("label {key} is {found}, not {value}"))),
        None => Some(Remedy::new(format!("label {key}={value} is missing"))),
    }
}

/// What keeps `labels` from meeting a requirement; `what` is `label` or `field`.
fn unmet(requirement: &Requirement, what: &str, labels: &Labels) -> Option<Remedy> {
    if requirement.matches(labels) {
        return None;
    }
    let Requirement { key, operator, values } = requirement;
    let values = list(&values.iter().map(Str::to_string).collect::<Vec<_>>());
    let one_of = if requirement.values.len() == 1 { values.clone() } else { format!("one of {values}") };
    Some(Remedy::new(match (labels.get(key), operator) {
        (Some(found), Operator::In) => format!("{what} {key} is {found}, not {one_of}"),
        (Some(found), Operator::Gt) => format!("{what} {key} is {found}, not greater than {values}"),
        (Some(found), Operator::Lt) => format!("{what} {key} is {found}, not less than {values}"),
        (Some(found), _) => format!("{what} {key}={found} is in the way"),
        (None, Operator::In) if requirement.values.len() == 1 => format!("{what} {key}={values} is missing"),
        (None, Operator::In) => format!("{what} {key} ({one_of}) is missing"),
        (None, _) => format!("{what} {key} is missing"),
    }))
}

/// What keeps a node from meeting any of `terms`: what is missing for the nearest one.
pub(crate) fn terms(terms: &[NodeSelectorTerm], name: &Str, labels: &Labels) -> Vec<Remedy> {
    let field = Labels::from([("metadata.name".into(), name.clone())]);
    let of_term = |term: &NodeSelectorTerm| -> Vec<Remedy> {
        let expressions = term.match_expressions.iter().filter_map(|requirement| unmet(requirement, "label", labels));
        expressions.chain(term.match_fields.iter().filter_map(|requirement| unmet(requirement, "field", &field))).collect()
    };
    let missing = terms.iter().map(of_term).filter(|missing| !missing.is_empty());
    missing.min_by_key(Vec::len).unwrap_or_else(|| vec![Remedy::new("its node affinity has no term that any node matches")])
}

/// Where a topology domain is, in words: `topology.kubernetes.io/zone a`.
pub(crate) fn domain(key: &str, value: &str) -> String {
    format!("{key} {value}")
}

/// The nodes of the cluster that share `node`'s value of `key`.
pub(crate) fn same_domain<'a>(nodes: &'a [NodeInfo], node: &NodeInfo, key: &'a Str) -> impl Iterator<Item = &'a NodeInfo> {
    let value = node.labels().get(key).cloned();
    nodes.iter().filter(move |other| value.is_some() && other.labels().get(key) == value.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_manifests_write_them() {
        for (name, value, text) in [
            ("cpu", 150, "150m"),
            ("cpu", 2000, "2"),
            ("memory", 512 << 20, "512Mi"),
            ("memory", 2 << 30, "2Gi"),
            ("memory", (512 << 20) + 300_000, "512.2Mi"),
            ("memory", 1000, "1000"),
            ("nvidia.com/gpu", 2, "2"),
        ] {
            assert_eq!(amount(&ResourceName::new(name), value), text);
        }
    }

    #[test]
    fn of_several_terms_the_nearest_one_says_what_is_missing() {
        let requirement = |key: &str, operator, values: &[&str]| Requirement {
            key: key.into(),
            operator,
            values: values.iter().map(|v| (*v).into()).collect(),
        };
        let term = |match_expressions| NodeSelectorTerm { match_expressions, match_fields: Vec::new() };
        let two_away = term(vec![requirement("disk", Operator::In, &["ssd"]), requirement("arch", Operator::In, &["arm64"])]);
        let one_away = term(vec![requirement("disk", Operator::In, &["nvme", "ssd"]), requirement("arch", Operator::Exists, &[])]);
        let labels = Labels::from([("disk".into(), "hdd".into()), ("arch".into(), "amd64".into())]);
        let texts: Vec<Str> = terms(&[two_away, one_away], &"a".into(), &labels).into_iter().map(|remedy| remedy.text).collect();
        assert_eq!(texts, ["label disk is hdd, not one of nvme, ssd".into()]);
        assert_eq!(&*terms(&[term(Vec::new())], &"a".into(), &labels)[0].text, "its node affinity has no term that any node matches");
    }

    #[test]
    fn selectors_read_as_kubectl_writes_them() {
        let match_expressions = vec![Requirement { key: "tier".into(), operator: Operator::In, values: vec!["a".into(), "b".into()] }];
        let both = LabelSelector { match_labels: Labels::from([("app".into(), "web".into())]), match_expressions };
        assert_eq!(selector(&both), "app=web,tier in (a,b)");
        assert_eq!(selector(&LabelSelector::default()), "anything");
    }
}
