//! Which pods a behavior or a fault speaks of.
//!
//! Invariant: everything a [`PodSelector`] names must hold; one that names nothing selects every pod.

use api::{Kind, ObjectKey, ObjectMeta, OwnerReference, Pod};

use crate::spec::PodSelector;
use crate::store::Store;

/// Whether `selector` speaks of `pod`.
pub(crate) fn selects(selector: &PodSelector, pod: &Pod, store: &Store) -> bool {
    (selector.namespaces.is_empty() || selector.namespaces.contains(&pod.meta.namespace))
        && (selector.names.is_empty() || selector.names.contains(&pod.meta.name))
        && selector.labels.as_ref().is_none_or(|labels| labels.matches(&pod.meta.labels))
        && selector.image.as_ref().is_none_or(|pattern| runs_image(pod, pattern))
        && selector.workload.as_ref().is_none_or(|(kind, key)| belongs_to(pod, *kind, key, store))
        && selector.node_labels.as_ref().is_none_or(|labels| {
            let node = pod.node_name.as_ref().and_then(|name| store.node_by_name(name));
            node.is_some_and(|(_, node)| labels.matches(&node.meta.labels))
        })
}

fn runs_image(pod: &Pod, pattern: &str) -> bool {
    pod.spec.containers.iter().any(|container| like(pattern, &container.image))
}

/// Whether the pod is this workload's, directly or through a ReplicaSet or Job.
fn belongs_to(pod: &Pod, kind: Kind, key: &ObjectKey, store: &Store) -> bool {
    if pod.meta.namespace != key.namespace {
        return false;
    }
    if kind == Kind::Pod {
        return pod.meta.name == key.name;
    }
    let is_owner = |meta: &ObjectMeta| meta.controller().is_some_and(|owner| &*owner.kind == kind.as_str() && owner.name == key.name);
    is_owner(&pod.meta) || store.between(pod).is_some_and(is_owner)
}

/// Who controls the pod in the end: its Deployment, not its ReplicaSet.
pub(crate) fn top_controller<'a>(pod: &'a Pod, store: &'a Store) -> Option<&'a OwnerReference> {
    let own = pod.meta.controller()?;
    Some(store.between(pod).and_then(ObjectMeta::controller).unwrap_or(own))
}

/// Whether `text` is what `pattern` says, with `*` for any text.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    rest.char_indices().map(|(start, _)| start).chain([rest.len()]).any(|start| like(tail, &rest[start..]))
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("nginx:1.27", "nginx:1.27", true),
            ("nginx:*", "nginx:1.27", true),
            ("*/checkout:*", "registry.local/shop/checkout:v2", true),
            ("*", "", true),
            ("nginx", "nginx:1.27", false),
            ("*:v1", "web:v2", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
