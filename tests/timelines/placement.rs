//! Placement as recorded: the real scheduler decides, and its choice among nodes that would do is the recording's.
//!
//! "Placement should therefore be compared only as counts": which of several equals is chance, and pods of other
//! namespaces shared the nodes. Which pods stand on a node decides what its failure does, so the n-th pod of a
//! workload goes where the recording's n-th went, when the scheduler finds that node feasible.

use std::collections::{BTreeMap, VecDeque};

use api::Str;
use port::{ClusterEvent, ClusterSnapshot, Decision, Detail, NodeIndex, Outcome, PodInfo, QueueingHint, Reservation, Scheduler};
use serde_json::Value;

use crate::recording::Recording;

/// A workload's template: its owner, and which of the owner's templates.
type Group = (String, usize);

/// The real scheduler with the recording's choices.
pub(crate) struct AsRecorded {
    scheduler: Box<dyn Scheduler>,
    groups: Groups,
    /// Nodes of a group's pods, in the order the pods were created.
    nodes: BTreeMap<Group, VecDeque<String>>,
}

/// Owners and templates by the names of their pods' controllers.
#[derive(Default)]
struct Groups {
    /// Templates' hashes by owner, in order of appearance.
    hashes: BTreeMap<String, Vec<String>>,
}

/// A pod of a StatefulSet is known by its own name, others by their controller's.
fn group_name<'a>(kind: &str, controller: &'a str, pod: &'a str) -> &'a str {
    if kind == "StatefulSet" { pod } else { controller }
}

impl Groups {
    fn of(&mut self, controller: &str, hash: &str) -> Group {
        let owner = controller.strip_suffix(hash).map_or(controller, |owner| owner.trim_end_matches('-'));
        let hashes = self.hashes.entry(owner.to_owned()).or_default();
        let place = hashes.iter().position(|known| known == hash).unwrap_or_else(|| {
            hashes.push(hash.to_owned());
            hashes.len() - 1
        });
        (owner.to_owned(), place)
    }
}

impl AsRecorded {
    pub(crate) fn new(recording: &Recording) -> Self {
        let fact = |set: &serde_json::Map<String, Value>, name: &str| set.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let (mut groups, mut nodes) = (Groups::default(), BTreeMap::<Group, VecDeque<String>>::new());
        for (place, line) in recording.lines.iter().enumerate().filter(|(_, line)| line.kind == "Pod" && line.ev == "ADDED") {
            let owner = fact(&line.set, "owner");
            let controller = owner.split_once('/').map_or(line.name.as_str(), |(kind, name)| group_name(kind, name, &line.name));
            let later = recording.lines[place..].iter().filter(|other| other.kind == "Pod" && other.name == line.name);
            let node = later.filter_map(|other| other.set.get("node")?.as_str()).next().unwrap_or("");
            nodes.entry(groups.of(controller, &fact(&line.set, "hash"))).or_default().push_back(node.to_owned());
        }
        let scheduler = schedulers::policy("default").expect("the real scheduler");
        Self { scheduler, groups: Groups::default(), nodes }
    }

    /// Where the recording has the next pod of this one's group.
    fn next(&mut self, pod: &PodInfo) -> Option<String> {
        let controller = pod.controller.as_ref().map_or(&*pod.key.name, |owner| group_name(&owner.kind, &owner.name, &pod.key.name));
        let hash = ["pod-template-hash", "controller-revision-hash"].iter().find_map(|label| pod.labels.get(*label));
        let group = self.groups.of(controller, hash.map_or("", |hash| hash));
        self.nodes.get_mut(&group)?.pop_front()
    }
}

impl Scheduler for AsRecorded {
    fn name(&self) -> &str {
        self.scheduler.name()
    }
    fn is_responsible_for(&self, scheduler_name: &str) -> bool {
        self.scheduler.is_responsible_for(scheduler_name)
    }
    fn gate(&self, pod: &PodInfo) -> Option<Str> {
        self.scheduler.gate(pod)
    }
    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, detail: Detail) -> Decision {
        let mut decision = self.scheduler.schedule(pod, snapshot, detail);
        if let Outcome::Scheduled { .. } = decision.outcome {
            let recorded = self.next(pod).and_then(|name| snapshot.find(&name));
            if let Some(node) = recorded.filter(|node| self.scheduler.fits(pod, snapshot, *node)) {
                decision.outcome = Outcome::Scheduled { node };
            }
        }
        decision
    }
    fn reserve(&self, pod: &PodInfo, node: NodeIndex, snapshot: &mut ClusterSnapshot) -> Reservation {
        self.scheduler.reserve(pod, node, snapshot)
    }
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        self.scheduler.fits(pod, snapshot, node)
    }
    fn hint(&self, pod: &PodInfo, rejected_by: &[Str], event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        self.scheduler.hint(pod, rejected_by, event, snapshot)
    }
}
