//! What must hold after every event.
//!
//! [`World::check`] looks at everything; [`World::check_lately`] at the nodes whose sums the event changed,
//! and at everything now and then, so that checking costs about as much as running.

use std::fmt;

use api::{Node, Pod, Resources, Str, Uid};
use port::Scheduler;

use super::World;
use super::apply::pod_name;
use super::usage::Load;
use crate::spec::StepAction;

/// A law of the house that does not hold: a bug, never a user's mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "their texts say it")]
pub enum Violation {
    NodeOverAllocatable { node: Str, resource: &'static str, requested: i64, allocatable: i64 },
    PodOnNoNode { pod: Str, node: Str },
    PodMissingFromItsNode { pod: Str, node: Str, times: usize },
    ResourceVersionAhead { object: String, version: u64, last: u64 },
    NodeMiscounted { node: Str },
    PodLost { pod: Str },
    PodForgotten { pod: Str, node: Str },
    NodeSeenOtherwise { node: Str },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeOverAllocatable { node, resource, requested, allocatable } => {
                write!(f, "node {node} holds {requested} of {resource} and has {allocatable}")
            }
            Self::PodOnNoNode { pod, node } => write!(f, "pod {pod} is bound to {node}, which never was"),
            Self::PodMissingFromItsNode { pod, node, times } => write!(f, "pod {pod} is bound to {node} and listed there {times} times"),
            Self::ResourceVersionAhead { object, version, last } => write!(f, "{object} has resourceVersion {version}, the last is {last}"),
            Self::PodLost { pod } => write!(f, "pod {pod} waits for a node, and the scheduler does not know it"),
            Self::PodForgotten { pod, node } => write!(f, "pod {pod} was put aside, and would find its place on node {node}"),
            Self::NodeSeenOtherwise { node } => write!(f, "the scheduler does not see on node {node} what is there"),
            Self::NodeMiscounted { node } => write!(f, "the sums kept for node {node} are not those of its pods"),
        }
    }
}

impl World {
    /// Looks at everything.
    ///
    /// # Errors
    /// The first law that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_pods()?;
        self.check_nodes()
    }

    /// What must hold of the scheduler once nothing has happened for long: it sees what is, it knows every pod
    /// that waits, and `fresh`, asked anew, finds no node for a pod that was put aside.
    ///
    /// # Errors
    /// The first law that does not hold.
    pub fn check_queue(&self, fresh: &mut dyn Scheduler) -> Result<(), Violation> {
        for (_, node) in self.store.nodes.iter() {
            let name = &node.meta.name;
            let mut there: Vec<Uid> =
                self.store.pods_on(name).filter(|(_, pod)| !pod.status.phase.is_terminal()).map(|(_, pod)| pod.meta.uid).collect();
            let snapshot = self.scheduling.snapshot();
            let mut seen: Vec<Uid> =
                snapshot.find(name).into_iter().flat_map(|index| &snapshot.node(index).pods).map(|pod| pod.uid).collect();
            there.sort_unstable();
            seen.sort_unstable();
            if there != seen {
                return Err(Violation::NodeSeenOtherwise { node: name.clone() });
            }
        }
        let waits = |pod: &Pod| {
            let is_asked_for = self.scheduler.is_responsible_for(&pod.spec.scheduler_name);
            is_asked_for && pod.node_name.is_none() && !pod.status.phase.is_terminal() && !pod.meta.is_deleting()
        };
        for (id, pod) in self.store.pods.iter().filter(|(_, pod)| waits(pod)) {
            if !self.scheduling.knows(id) {
                return Err(Violation::PodLost { pod: pod_name(pod) });
            }
        }
        match self.scheduling.forgotten(fresh) {
            Some((pod, node)) => Err(Violation::PodForgotten { pod, node }),
            None => Ok(()),
        }
    }

    #[cfg(debug_assertions)]
    pub(super) fn check_lately(&mut self) -> Result<(), Violation> {
        for id in self.usage.take_counted() {
            if let Some(node) = self.store.nodes.get(id) {
                self.check_room(node, &self.usage.load(id))?;
            }
        }
        let interval = (self.store.pods.len() as u64 + 1).next_power_of_two().max(256);
        if self.events.is_multiple_of(interval) { self.check() } else { Ok(()) }
    }

    fn check_pods(&self) -> Result<(), Violation> {
        let last = self.store.resource_version();
        for (id, pod) in self.store.pods.iter() {
            let version = pod.meta.resource_version;
            if version > last {
                return Err(Violation::ResourceVersionAhead { object: pod.meta.key().to_string(), version, last });
            }
            let Some(node) = &pod.node_name else { continue };
            let times = self.store.pods_on(node).filter(|(other, _)| *other == id).count();
            if times != 1 {
                return Err(Violation::PodMissingFromItsNode { pod: pod_name(pod), node: node.clone(), times });
            }
        }
        Ok(())
    }

    /// Pods that their manifests bind to a node are not the scheduler's doing: such nodes may be too full.
    fn check_nodes(&self) -> Result<(), Violation> {
        for (id, node) in self.store.nodes.iter() {
            let name = &node.meta.name;
            let mut counted = Load::default();
            for (_, pod) in self.store.pods_on(name).filter(|(_, pod)| !pod.status.phase.is_terminal()) {
                let requests = pod.allocated_requests();
                counted.pods += 1;
                counted.cpu_millis += requests.cpu_millis;
                counted.memory_bytes += requests.memory_bytes;
            }
            if !counted.is_same_sum(&self.usage.load(id)) {
                return Err(Violation::NodeMiscounted { node: name.clone() });
            }
            self.check_room(node, &counted)?;
        }
        Ok(())
    }

    fn check_room(&self, node: &Node, load: &Load) -> Result<(), Violation> {
        let has = Resources::from_list(&node.status.allocatable);
        let sums = [
            ("pods", i64::from(load.pods), has.pods),
            ("cpu", load.cpu_millis, has.cpu_millis),
            ("memory", load.memory_bytes, has.memory_bytes),
        ];
        for (resource, requested, allocatable) in sums {
            if requested > allocatable && !self.has_pods_bound_by_hand(node) {
                return Err(Violation::NodeOverAllocatable { node: node.meta.name.clone(), resource, requested, allocatable });
            }
        }
        Ok(())
    }

    fn has_pods_bound_by_hand(&self, node: &Node) -> bool {
        let given = self.spec.objects.pods.iter().chain(self.spec.steps.iter().flat_map(|step| match &step.action {
            StepAction::Apply(objects) => objects.pods.as_slice(),
            _ => &[],
        }));
        given.into_iter().any(|pod| pod.node_name.as_ref() == Some(&node.meta.name))
    }
}
