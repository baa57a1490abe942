//! The fault plan: whom each fault strikes, and who is still down.
//!
//! Invariants:
//! - Whom the n-th occurrence of a fault strikes is drawn from a stream of the fault's own name and n: it
//!   depends on the candidates there are, and on nothing that happened before.
//! - Candidates are in order of name, whatever order they came to be in.
//!
//! Not here: what being struck means (`world/strike`).

use std::collections::BTreeMap;

use api::{PodPhase, SimTime};

use crate::random::{Purpose, Stream, Streams, entity};
use crate::select::selects;
use crate::spec::{Fault, FaultAction, FaultMode, FaultTarget};
use crate::store::{NodeId, PodId, Store};

/// Someone a fault has struck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Struck {
    Node(NodeId),
    Pod(PodId),
}

/// The official name of an action, as Litmus and Chaos Mesh have it.
pub(crate) const fn action_name(action: &FaultAction) -> &'static str {
    match action {
        FaultAction::NodePoweroff => "node-poweroff",
        FaultAction::NodeRestart(_) => "node-restart",
        FaultAction::NodeShutdown => "node-shutdown",
        FaultAction::KubeletServiceKill => "kubelet-service-kill",
        FaultAction::NodeNetworkPartition => "node-network-partition",
        FaultAction::NodeDrain => "node-drain",
        FaultAction::NodeTaint(_) => "node-taint",
        FaultAction::ContainerKill { .. } => "container-kill",
        FaultAction::ProbeFailure { .. } => "probe-failure",
        FaultAction::ControlPlaneKill(_) => "control-plane-kill",
        FaultAction::PodKill { .. } => "pod-kill",
        FaultAction::ProvisioningFailure(_) => "provisioning-failure",
    }
}

/// Whom this occurrence strikes.
pub(crate) fn targets(fault: &Fault, occurrence: u32, store: &Store, streams: &Streams) -> Vec<Struck> {
    let mut candidates = candidates(&fault.target, store);
    let name = entity(&fault.name) ^ u64::from(occurrence).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut stream = streams.stream(Purpose::FaultTargets, name);
    let count = how_many(fault.mode, candidates.len(), &mut stream);
    if count == candidates.len() {
        return candidates;
    }
    // The first steps of a Fisher-Yates shuffle.
    for place in 0..count {
        let other = place + stream.below((candidates.len() - place) as u64) as usize;
        candidates.swap(place, other);
    }
    candidates.truncate(count);
    candidates
}

/// In order of name.
fn candidates(target: &FaultTarget, store: &Store) -> Vec<Struck> {
    let mut named: Vec<(String, Struck)> = match target {
        FaultTarget::Nodes { labels, names } => store
            .nodes
            .iter()
            .filter(|(_, node)| names.is_empty() || names.contains(&node.meta.name))
            .filter(|(_, node)| labels.as_ref().is_none_or(|labels| labels.matches(&node.meta.labels)))
            .map(|(id, node)| (node.meta.name.to_string(), Struck::Node(id)))
            .collect(),
        FaultTarget::NodesOfPods(selector) => {
            let pods = store.pods.iter().filter(|(_, pod)| is_running(pod) && selects(selector, pod, store));
            let nodes = pods.filter_map(|(_, pod)| store.node_by_name(pod.node_name.as_ref()?));
            nodes.map(|(id, node)| (node.meta.name.to_string(), Struck::Node(id))).collect()
        }
        FaultTarget::ControlPlane | FaultTarget::Cloud => Vec::new(),
        FaultTarget::Pods(selector) => store
            .pods
            .iter()
            .filter(|(_, pod)| is_running(pod) && selects(selector, pod, store))
            .map(|(id, pod)| (pod.meta.key().to_string(), Struck::Pod(id)))
            .collect(),
    };
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named.dedup_by(|a, b| a.0 == b.0);
    named.into_iter().map(|(_, struck)| struck).collect()
}

fn is_running(pod: &api::Pod) -> bool {
    pod.status.phase == PodPhase::Running && !pod.meta.is_deleting()
}

fn how_many(mode: FaultMode, candidates: usize, stream: &mut Stream) -> usize {
    let share = |percent: f64| ((candidates as f64 * percent.clamp(0.0, 100.0) / 100.0) as usize).max(1);
    let count = match mode {
        FaultMode::One => 1,
        FaultMode::All => candidates,
        FaultMode::Fixed(count) => count as usize,
        FaultMode::FixedPercent(percent) => share(percent),
        FaultMode::RandomMaxPercent(percent) => {
            let most = (candidates as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64;
            stream.below(most + 1) as usize
        }
    };
    count.min(candidates)
}

/// How often something keeps a node from working.
#[derive(Clone, Copy, Default)]
struct Outage {
    power: u32,
    kubelet: u32,
    network: u32,
    /// When the network went.
    cut_off_at: SimTime,
}

/// Who is struck and not healed yet.
#[derive(Default)]
pub(crate) struct Faults {
    struck: BTreeMap<(u32, u32), Vec<Struck>>,
    outages: BTreeMap<NodeId, Outage>,
}

impl Faults {
    pub(crate) fn remember(&mut self, fault: u32, occurrence: u32, struck: Vec<Struck>) {
        self.struck.insert((fault, occurrence), struck);
    }
    pub(crate) fn forget(&mut self, fault: u32, occurrence: u32) -> Vec<Struck> {
        self.struck.remove(&(fault, occurrence)).unwrap_or_default()
    }
    /// Whether this is what takes the node down.
    pub(crate) fn power_lost(&mut self, node: NodeId) -> bool {
        let outage = self.outages.entry(node).or_default();
        outage.power += 1;
        outage.power == 1
    }
    /// Whether this is what brings the node back.
    pub(crate) fn power_back(&mut self, node: NodeId) -> bool {
        let outage = self.outages.entry(node).or_default();
        outage.power = outage.power.saturating_sub(1);
        outage.power == 0
    }
    /// Whether this is what stops the kubelet.
    pub(crate) fn kubelet_killed(&mut self, node: NodeId) -> bool {
        let outage = self.outages.entry(node).or_default();
        outage.kubelet += 1;
        outage.kubelet == 1
    }
    /// Whether this is what starts the kubelet.
    pub(crate) fn kubelet_back(&mut self, node: NodeId) -> bool {
        let outage = self.outages.entry(node).or_default();
        outage.kubelet = outage.kubelet.saturating_sub(1);
        outage.kubelet == 0
    }
    /// Whether this is what cuts the kubelet off.
    pub(crate) fn cut_off(&mut self, node: NodeId, now: SimTime) -> bool {
        let outage = self.outages.entry(node).or_default();
        outage.network += 1;
        let is_first = outage.network == 1;
        if is_first {
            outage.cut_off_at = now;
        }
        is_first
    }
    /// When this is what heals the network: since when it was away.
    pub(crate) fn network_back(&mut self, node: NodeId) -> Option<SimTime> {
        let outage = self.outages.entry(node).or_default();
        outage.network = outage.network.saturating_sub(1);
        (outage.network == 0).then_some(outage.cut_off_at)
    }
    /// Whether the kubelet cannot reach the API server.
    pub(crate) fn is_cut_off(&self, node: NodeId) -> bool {
        self.outages.get(&node).is_some_and(|outage| outage.network > 0)
    }
    /// Whether anything keeps the node's kubelet from being heard.
    pub(crate) fn is_out(&self, node: NodeId) -> bool {
        self.outages.get(&node).is_some_and(|outage| outage.power > 0 || outage.kubelet > 0 || outage.network > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Node, ObjectMeta, SimDuration};

    fn store(nodes: u32) -> Store {
        let mut store = Store::default();
        for number in 0..nodes {
            let meta = ObjectMeta { name: format!("n-{number:02}").into(), ..ObjectMeta::default() };
            store.create_node(Node { meta, ..Node::default() }, SimTime::ZERO, &Streams::new(0));
        }
        store
    }

    fn fault(mode: FaultMode) -> Fault {
        Fault {
            name: "outage".into(),
            at: SimTime::ZERO,
            duration: Some(SimDuration::from_secs(60)),
            schedule: None,
            action: FaultAction::NodePoweroff,
            mode,
            target: FaultTarget::Nodes { labels: None, names: Vec::new() },
        }
    }

    #[test]
    fn a_mode_says_how_many_are_struck() {
        let store = store(10);
        let struck = |mode| targets(&fault(mode), 0, &store, &Streams::new(1)).len();
        assert_eq!(struck(FaultMode::One), 1);
        assert_eq!(struck(FaultMode::All), 10);
        assert_eq!(struck(FaultMode::Fixed(3)), 3);
        assert_eq!(struck(FaultMode::Fixed(99)), 10);
        assert_eq!(struck(FaultMode::FixedPercent(25.0)), 2);
        assert_eq!(struck(FaultMode::FixedPercent(1.0)), 1);
        assert!(struck(FaultMode::RandomMaxPercent(50.0)) <= 5);
    }

    #[test]
    fn occurrences_of_one_fault_draw_apart_and_repeat_under_the_same_seed() {
        let store = store(40);
        let draw = |occurrence, seed| targets(&fault(FaultMode::Fixed(4)), occurrence, &store, &Streams::new(seed));
        assert_eq!(draw(0, 1), draw(0, 1));
        assert_ne!(draw(0, 1), draw(1, 1));
        assert_ne!(draw(0, 1), draw(0, 2));
    }

    #[test]
    fn a_node_struck_twice_comes_back_once() {
        let (mut faults, node) = (Faults::default(), NodeId::new(3));
        assert!(faults.power_lost(node));
        assert!(!faults.power_lost(node));
        assert!(!faults.power_back(node));
        assert!(faults.is_out(node));
        assert!(faults.power_back(node));
        assert!(!faults.is_out(node));
    }
}
