//! NodeDeclaredFeatures: a pod that needs a feature of the kubelet goes where the node declares it.
//!
//! What a pod needs is inferred from its spec when it is read. Upstream: plugins/nodedeclaredfeatures,
//! component-helpers/nodedeclaredfeatures.

use api::Str;
use port::{ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Remedy, Status};

const REASON: &str = "node(s) didn't match Pod's required features";

pub(crate) struct NodeDeclaredFeatures;

fn declared(node: &NodeInfo) -> &[Str] {
    &node.node.status.info.declared_features
}

fn missing<'a>(pod: &'a PodInfo, node: &'a NodeInfo) -> impl Iterator<Item = &'a Str> {
    pod.spec.required_node_features.iter().filter(|feature| !declared(node).contains(feature))
}

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    /// What a new node declares is not looked at, and what a pod needs does not change.
    fn hint(&self, _: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        super::queue_if(match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeUpdated { before, node } => declared(before) != declared(snapshot.node(*node)),
            _ => false,
        })
    }
}

impl FilterPlugin for NodeDeclaredFeatures {
    type Prepared = ();

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<()> {
        if pod.spec.required_node_features.is_empty() { PreFilterResult::Skip } else { PreFilterResult::Continue(()) }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if missing(pod, node).next().is_none() { Status::Success } else { Status::unschedulable_and_unresolvable(REASON) }
    }

    fn remedies(&self, (): &(), pod: &PodInfo, node: &NodeInfo, _: &ClusterSnapshot) -> Vec<Remedy> {
        missing(pod, node).map(|feature| Remedy::new(format!("the node does not declare the feature {feature}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::{Node, Pod, PodSpec};
    use port::{PodRequests, StatusCode};

    use super::*;

    #[test]
    fn a_node_has_to_declare_every_feature_the_pod_needs() {
        let answer = |needs: &[&str], declared: &[&str]| {
            let mut node = Node::default();
            node.status.info.declared_features = declared.iter().map(|feature| (*feature).into()).collect();
            let required_node_features = needs.iter().map(|feature| (*feature).into()).collect();
            let pod = Pod { spec: Arc::new(PodSpec { required_node_features, ..PodSpec::default() }), ..Pod::default() };
            let pod = PodInfo::new(&pod, Arc::new(PodRequests::default()));
            NodeDeclaredFeatures.filter(&(), &pod, &NodeInfo::new(Arc::new(node))).code()
        };
        for (needs, declared, is_met) in
            [(&[][..], &[][..], true), (&["A"], &[], false), (&["A"], &["A", "B"], true), (&["A", "C"], &["A", "B"], false)]
        {
            let expected = (!is_met).then_some(StatusCode::UnschedulableAndUnresolvable);
            assert_eq!(answer(needs, declared), expected, "{needs:?} {declared:?}");
        }
    }
}
