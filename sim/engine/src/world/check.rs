//! What must hold after every event.
//!
//! [`World::check`] looks at everything; [`World::check_lately`] at what an event can have broken cheaply,
//! and at everything now and then.

use std::fmt;

use api::{ObjectKey, Resources, Str};

use super::World;
use super::apply::pod_name;
use super::usage::Load;

/// A law of the house that does not hold: a bug, never a user's mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "their texts say it")]
pub enum Violation {
    NodeOverAllocatable { node: Str, resource: &'static str, requested: i64, allocatable: i64 },
    PodOnNoNode { pod: Str, node: Str },
    PodMissingFromItsNode { pod: Str, node: Str, times: usize },
    ResourceVersionAhead { object: String, version: u64, last: u64 },
    NodeMiscounted { node: Str },
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
            Self::NodeMiscounted { node } => write!(f, "the sums kept for node {node} are not those of its pods"),
        }
    }
}

/// One full check per so many events.
#[cfg(debug_assertions)]
const EVENTS_PER_CHECK: u64 = 256;

impl World {
    /// Looks at everything.
    ///
    /// # Errors
    /// The first law that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_pods()?;
        self.check_nodes()
    }

    #[cfg(debug_assertions)]
    pub(super) fn check_lately(&self) -> Result<(), Violation> {
        if self.events.is_multiple_of(EVENTS_PER_CHECK) { self.check() } else { Ok(()) }
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
            let mut is_hand_made = false;
            for (_, pod) in self.store.pods_on(name).filter(|(_, pod)| !pod.status.phase.is_terminal()) {
                let requests = pod.spec.requests();
                counted.pods += 1;
                counted.cpu_millis += requests.cpu_millis;
                counted.memory_bytes += requests.memory_bytes;
                is_hand_made |= self.is_bound_by_hand(&pod.meta.key());
            }
            if !counted.is_same_sum(&self.usage.load(id)) {
                return Err(Violation::NodeMiscounted { node: name.clone() });
            }
            let has = Resources::from_list(&node.status.allocatable);
            let sums = [
                ("pods", i64::from(counted.pods), has.pods),
                ("cpu", counted.cpu_millis, has.cpu_millis),
                ("memory", counted.memory_bytes, has.memory_bytes),
            ];
            for (resource, requested, allocatable) in sums {
                if requested > allocatable && !is_hand_made {
                    return Err(Violation::NodeOverAllocatable { node: name.clone(), resource, requested, allocatable });
                }
            }
        }
        Ok(())
    }

    fn is_bound_by_hand(&self, key: &ObjectKey) -> bool {
        self.spec.objects.pods.iter().any(|pod| pod.node_name.is_some() && pod.meta.key() == *key)
    }
}
