//! NodeDeclaredFeatures: a pod that needs a feature of the kubelet goes where the node declares it.
//!
//! What a pod needs is inferred from its spec when it is read. Upstream: plugins/nodedeclaredfeatures,
//! component-helpers/nodedeclaredfeatures.

use port::{ClusterEvent, ClusterSnapshot, FilterPlugin, NodeInfo, Plugin, PodInfo, PreFilterResult, QueueingHint, Status};

const REASON: &str = "node(s) didn't match Pod's required features";

pub(crate) struct NodeDeclaredFeatures;

fn matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    let declared = &node.node.status.info.declared_features;
    pod.spec.required_node_features.iter().all(|feature| declared.contains(feature))
}

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn hint(&self, pod: &PodInfo, event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        super::hint_on_node(event, snapshot, |node| matches(pod, node))
    }
}

impl FilterPlugin for NodeDeclaredFeatures {
    type Prepared = ();

    fn pre_filter(&self, pod: &PodInfo, _: &ClusterSnapshot) -> PreFilterResult<()> {
        if pod.spec.required_node_features.is_empty() { PreFilterResult::Skip } else { PreFilterResult::Continue(()) }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if matches(pod, node) { Status::Success } else { Status::unschedulable_and_unresolvable(REASON) }
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
