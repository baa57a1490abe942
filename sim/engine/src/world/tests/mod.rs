//! Whole clusters in small: a spec in, the trace out.

mod autoscaling;
mod batch;
mod cluster_autoscaling;
mod clusters;
mod daemons;
mod determinism;
mod liveness;
mod outages;
mod owners;
mod resize;
mod stateful;
mod traffic;
mod traps;
mod vertical;
mod volumes;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{
    Container, Deployment, LabelSelector, Labels, Node, NodeStatus, ObjectKey, ObjectMeta, PodSpec, PodTemplate, ResourceList,
    ResourceName, SimDuration, SimTime, Str, TaintEffect,
};
use port::{ClusterEvent, ClusterSnapshot, Decision, Detail, NodeIndex, Outcome, PodInfo, QueueingHint, Scheduler};
use trace::{MemorySink, Record};

use super::{Limits, Summary, World};
use crate::random::Distribution;
use crate::spec::{NodePool, WorldSpec};

/// Takes the node with the fewest pods among those that have room and no untolerated taint.
struct FewestPods;

impl FewestPods {
    fn has_room(pod: &PodInfo, node: &port::NodeInfo) -> bool {
        let (free, asks) = (&node.allocatable, &pod.requests.requests);
        let tolerated = |taint: &api::Taint| pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, false));
        node.requested.cpu_millis + asks.cpu_millis <= free.cpu_millis
            && node.requested.memory_bytes + asks.memory_bytes <= free.memory_bytes
            && (node.pods.len() as i64) < free.pods
            && !node.node.spec.unschedulable
            && node.node.spec.taints.iter().all(|taint| taint.effect == TaintEffect::PreferNoSchedule || tolerated(taint))
    }
}

impl Scheduler for FewestPods {
    fn name(&self) -> &str {
        "fewest-pods"
    }
    fn is_responsible_for(&self, scheduler_name: &str) -> bool {
        scheduler_name == "default-scheduler"
    }
    fn gate(&self, _: &PodInfo) -> Option<Str> {
        None
    }
    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, _: Detail) -> Decision {
        let order = snapshot.list_order();
        let feasible = || order.iter().filter(|node| Self::has_room(pod, snapshot.node(**node)));
        let outcome = match feasible().min_by_key(|node| snapshot.node(**node).pods.len()) {
            Some(node) => Outcome::Scheduled { node: *node },
            None => Outcome::Unschedulable {
                message: format!("0/{} nodes are available.", order.len()),
                rejected_by: vec!["NodeResourcesFit".into()],
                preemption: None,
            },
        };
        Decision { evaluated_nodes: order.len() as u32, feasible_nodes: feasible().count() as u32, ..Decision::new(outcome) }
    }
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        Self::has_room(pod, snapshot.node(node))
    }
    fn hint(&self, _: &PodInfo, _: &[Str], _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Queue
    }
}

fn resources(cpu_millis: i64, memory_mib: i64) -> ResourceList {
    [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory_mib << 20)].into()
}

fn pool(name: &str, nodes: u32, cpu_millis: i64) -> NodePool {
    let mut allocatable = resources(cpu_millis, 16 << 10);
    allocatable.insert(ResourceName::Pods, 110);
    let status = NodeStatus { capacity: allocatable.clone(), allocatable: Arc::new(allocatable), ..NodeStatus::default() };
    NodePool {
        name: name.into(),
        initial: nodes,
        autoscaling: None,
        template: Node { status, ..Node::default() },
        zones: Vec::new(),
        price_per_hour: 1.0,
        provisioning: Distribution::Constant(SimDuration::from_secs(60)),
        zero_or_max: false,
    }
}

fn labels(app: &str) -> Arc<Labels> {
    Arc::new([("app".into(), app.into())].into())
}

fn template(app: &str, image: &str, cpu_millis: i64) -> Arc<PodTemplate> {
    let container = Container {
        name: "main".into(),
        image: image.into(),
        requests: resources(cpu_millis, 128),
        limits: resources(cpu_millis, 128),
        ..Container::default()
    };
    let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    Arc::new(PodTemplate { labels: labels(app), spec: Arc::new(spec), ..PodTemplate::default() })
}

fn deployment(name: &str, replicas: i32, cpu_millis: i64) -> Deployment {
    Deployment {
        meta: ObjectMeta { namespace: "default".into(), name: name.into(), labels: labels(name), ..ObjectMeta::default() },
        replicas,
        selector: Arc::new(LabelSelector { match_labels: (*labels(name)).clone(), ..LabelSelector::default() }),
        template: template(name, "web:v1", cpu_millis),
        revision_history_limit: 10,
        progress_deadline: SimDuration::from_secs(600),
        ..Deployment::default()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

/// Two nodes and a Deployment of three pods.
fn small(duration_s: u64) -> WorldSpec {
    let mut spec =
        WorldSpec { duration: SimDuration::from_secs(duration_s), node_pools: vec![pool("node", 2, 4000)], ..WorldSpec::default() };
    spec.objects.deployments.push(deployment("web", 3, 500));
    spec
}

/// A finished run.
struct Run {
    records: Vec<(SimTime, Record)>,
    summary: Summary,
    world: World,
}

fn run_seed(spec: WorldSpec, seed: u64) -> Run {
    let mut world = World::new(Arc::new(spec), Box::new(FewestPods), seed);
    let mut sink = MemorySink::default();
    let summary = world.run(&mut sink, &Limits::default(), &mut |_| true);
    assert_eq!(world.check(), Ok(()));
    Run { records: sink.records, summary, world }
}

fn run(spec: WorldSpec) -> Run {
    run_seed(spec, 1)
}

impl Run {
    /// When each record that `pick` takes was made, and what it made of it.
    fn all<T>(&self, pick: impl Fn(&Record) -> Option<T>) -> Vec<(SimTime, T)> {
        self.records.iter().filter_map(|(at, record)| Some((*at, pick(record)?))).collect()
    }
    /// Seconds and texts of the events about an object.
    fn events_of(&self, object: &str) -> Vec<(u64, String)> {
        let events = self.all(|record| match record {
            Record::Event { object: about, reason, message, .. } if **about == *object => Some(format!("{reason}: {message}")),
            _ => None,
        });
        events.into_iter().map(|(at, text)| (at.as_secs(), text)).collect()
    }
    /// The last counts of a workload: desired, current, updated, ready, available.
    fn workload(&self, wanted: &str) -> [i32; 5] {
        let counts = self.all(|record| match record {
            Record::Workload { kind, name, desired, current, updated, ready, available }
                if &**kind == "Deployment" && &**name == wanted =>
            {
                Some([*desired, *current, *updated, *ready, *available])
            }
            _ => None,
        });
        counts.last().map_or([-1; 5], |(_, counts)| *counts)
    }
    /// The first time the workload had so many ready pods, from `after` on.
    fn ready_at(&self, wanted: &str, count: i32, after: SimTime) -> Option<SimTime> {
        let times = self.all(|record| match record {
            Record::Workload { kind, name, ready, .. } if &**kind == "Deployment" && &**name == wanted => Some(*ready == count),
            _ => None,
        });
        times.into_iter().find(|(at, reached)| *at >= after && *reached).map(|(at, _)| at)
    }
    /// The fewest pods that were ready and not asked to go, at any instant from `after_s` on.
    fn fewest_serving(&self, after_s: u64) -> usize {
        let mut serving = BTreeSet::new();
        let mut fewest = usize::MAX;
        for (at, record) in &self.records {
            match record {
                Record::PodReady { pod, ready: true, .. } => drop(serving.insert(pod.clone())),
                Record::PodReady { pod, .. } | Record::PodDeleting { pod, .. } => drop(serving.remove(pod)),
                _ => continue,
            }
            if *at >= SimTime::from_secs(after_s) {
                fewest = fewest.min(serving.len());
            }
        }
        fewest
    }
    /// Requests of a flow by what became of them: arrived, succeeded, everything else.
    fn requests(&self, wanted: &str) -> [u64; 3] {
        let windows = self.all(|record| match record {
            Record::Traffic { flow, counts, .. } if &**flow == wanted => Some(*counts),
            _ => None,
        });
        windows.iter().fold([0; 3], |[arrived, succeeded, other], (_, counts)| {
            let lost = counts.shed + counts.refused + counts.timed_out + counts.failed;
            [arrived + counts.arrived, succeeded + counts.succeeded, other + lost]
        })
    }
}
