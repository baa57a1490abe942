//! The autoscaler on the bench: a store, a clock, and the plainest of schedulers.

mod cost;
mod failures;
mod plain;
mod scale_down;
mod scale_up;

use std::sync::Arc;

use api::{Node, ResourceName, SimDuration, SimTime, Str};
use port::{ClusterSnapshot, NodeIndex, NodeInfo, PodInfo, PodRequests};

use super::super::bench::{Bench, TestPod, bench};
use super::cloud::pool_node;
use super::*;
use crate::random::Distribution;

fn pool(name: &str, cpu_millis: i64, limits: (u32, u32), price_per_hour: f64) -> NodePool {
    let mut template = Node::default();
    template.status.allocatable =
        Arc::new([(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, 16 << 30), (ResourceName::Pods, 110)].into());
    template.status.capacity = (*template.status.allocatable).clone();
    NodePool {
        name: name.into(),
        initial: 0,
        autoscaling: Some(limits),
        template,
        zones: Vec::new(),
        price_per_hour,
        provisioning: Distribution::Constant(SimDuration::from_secs(60)),
        zero_or_max: false,
    }
}

/// What has room, is not cordoned and has no taint fits; and what the node selector says.
struct Plainest;

impl Plainest {
    fn why_not(pod: &PodInfo, node: &NodeInfo) -> Option<Str> {
        let (wanted, used, all) = (&pod.requests.requests, &node.requested, &node.allocatable);
        if node.is_unschedulable() || node.has_hard_taints() {
            return Some("node(s) had untolerated taint(s)".into());
        }
        if !pod.spec.node_selector.iter().all(|(key, value)| node.labels().get(key) == Some(value)) {
            return Some("node(s) didn't match Pod's node affinity/selector".into());
        }
        let short = wanted.cpu_millis > all.cpu_millis - used.cpu_millis;
        let full = node.pods.len() as i64 >= all.pods;
        if full {
            return Some("Too many pods".into());
        }
        short.then(|| "Insufficient cpu".into())
    }
}

impl Filters for Plainest {
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        Self::why_not(pod, snapshot.node(node)).is_none()
    }
    fn reasons(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Vec<Str> {
        Self::why_not(pod, snapshot.node(node)).into_iter().collect()
    }
}

/// An autoscaler with a cluster.
struct Rig {
    bench: Bench,
    autoscaler: ClusterAutoscaler,
    pools: Vec<NodePool>,
    loops: u32,
    /// What only records tell, beside the Events that everybody hears.
    records: Vec<String>,
}

fn rig(pools: &[NodePool]) -> Rig {
    Rig {
        bench: bench().replica_set("web", 1),
        autoscaler: ClusterAutoscaler::new(pools),
        pools: pools.to_vec(),
        loops: 0,
        records: Vec::new(),
    }
}

impl Rig {
    fn nodes(mut self, pool: &NodePool, ordinals: std::ops::Range<u32>) -> Self {
        for ordinal in ordinals {
            self.bench.store.create_node(pool_node(pool, ordinal), self.bench.now, &self.bench.streams).expect("a free name");
        }
        self
    }
    fn pods(mut self, count: usize, make: impl Fn(usize) -> TestPod) -> Self {
        for number in 0..count {
            self.bench = self.bench.owned_pod("web", make(number));
        }
        self
    }
    fn at(mut self, seconds: u64) -> Self {
        self.bench.now = SimTime::from_secs(seconds);
        self
    }
    fn set(mut self, change: impl FnOnce(&mut crate::spec::ClusterAutoscaler)) -> Self {
        change(&mut self.bench.settings.cluster_autoscaler);
        self
    }
    fn fails(mut self, pool: &str, reason: crate::spec::ProvisioningFailureReason) -> Self {
        let failure = ProvisioningFailure {
            pools: vec![pool.into()],
            reason,
            message: "no more machines".into(),
            share: 1.0,
            after: SimDuration::from_secs(5),
        };
        self.autoscaler.provisioning_fails((0, 0), &failure);
        self
    }
    fn snapshot(&self) -> ClusterSnapshot {
        let mut snapshot = ClusterSnapshot::default();
        for (_, node) in self.bench.store.nodes.iter() {
            snapshot.put_node(Arc::new(node.clone()));
        }
        for (_, pod) in self.bench.store.pods.iter().filter(|(_, pod)| !pod.status.phase.is_terminal()) {
            if let Some(index) = pod.node_name.as_ref().and_then(|node| snapshot.find(node)) {
                snapshot.node_mut(index).add_pod(PodInfo::new(pod, Arc::new(PodRequests::of(&pod.spec))));
            }
        }
        snapshot
    }
    fn hear(&mut self) {
        for change in self.bench.store.take_changes() {
            self.bench.run(|view, out| self.autoscaler.changed(&change, view, out));
        }
    }
    /// A pod goes at once, and its node and its budget hear of it.
    fn kill(&mut self, name: &str) {
        let id = self.bench.pod_id(name);
        self.bench.store.remove_pod(id);
    }
    /// Runs up to `end`, creating nodes as they arrive: `<seconds> <what>`.
    fn until(&mut self, end: u64) -> Vec<String> {
        self.run_to(SimTime::from_secs(end))
    }
    fn run_to(&mut self, end: SimTime) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            self.hear();
            let Some(first) = (0..self.bench.timers.len()).min_by_key(|place| (self.bench.timers[*place].0, *place)) else { break };
            if self.bench.timers[first].0 > end {
                break;
            }
            let (time, event) = self.bench.timers.remove(first);
            self.bench.now = time;
            if let Event::NodeProvisioned { pool, ordinal } = event {
                if !self.autoscaler.arrives(pool, ordinal) {
                    continue;
                }
                let node = pool_node(&self.pools[pool as usize], ordinal);
                lines.push(format!("{} node {} is there", time.as_secs(), node.meta.name));
                self.bench.store.create_node(node, time, &self.bench.streams).expect("a free name");
                continue;
            }
            let snapshot = self.snapshot();
            self.loops += 1;
            let told = self.bench.run(|view, out| self.autoscaler.run(view, &snapshot, &Plainest, out));
            let (records, told): (Vec<String>, Vec<String>) =
                told.into_iter().filter(|line| !line.starts_with("at ")).partition(|line| line.starts_with("record "));
            self.records.extend(records.iter().map(|line| format!("{} {}", time.as_secs(), &line["record ".len()..])));
            lines.extend(told.into_iter().map(|line| {
                let line = line.replace("ConfigMap/kube-system/cluster-autoscaler-status", "cluster");
                format!("{} {line}", time.as_secs()).replace("DeletionCandidateOfClusterAutoscaler:PreferNoSchedule", "soft taint")
            }));
        }
        lines
    }
}

fn only(lines: &[String], word: &str) -> Vec<String> {
    lines.iter().filter(|line| line.contains(word)).cloned().collect()
}

/// Without soft taints, which are told of in a test of their own.
fn hard(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.contains("soft taint")).collect()
}

#[test]
fn names_of_pool_nodes_are_stable() {
    let mut zoned = pool("small", 1000, (0, 10), 0.1);
    zoned.zones = vec!["a".into(), "b".into()];
    let zones: Vec<String> = (1..4).map(|ordinal| pool_node(&zoned, ordinal).zone().to_owned()).collect();
    assert_eq!((zones, &*pool_node(&zoned, 3).meta.name), (vec!["b".to_owned(), "a".into(), "b".into()], "small-3"));
}
