//! What is asked: objects, queue, configuration, options.

use std::cell::RefCell;
use std::fmt;

use api::{Namespace, Node, ObjectMeta, Pod, PodSpec, VolumeSource};
use port::ClusterObjects;
use serde_json::Value;

use crate::config::reader::{Findings, Reader};
use crate::config::{PolicyError, Surroundings};
use crate::framework::TieBreak;

/// What becomes of preemption.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Preemption {
    /// Victims disappear at once and the preemptor tries again at once.
    #[default]
    Immediate,
    /// Victims disappear at once; preemptors wait, nominated, until the queue is through.
    RemovedRetryAtEnd,
    /// Victims terminate until the queue is through; preemptors wait, nominated, until then.
    LingerRetryAtEnd,
}

/// In which order the queue is offered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum QueueOrder {
    /// As given.
    #[default]
    File,
    /// By the profile's QueueSort plugin.
    PrioritySort,
}

/// How the queue is stepped through.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// What becomes of preemption.
    pub preemption: Preemption,
    /// In which order the queue is offered.
    pub queue_order: QueueOrder,
    /// One short entry per attempt, without every node's scores.
    pub compact: bool,
    /// Keeps percentageOfNodesToScore and the rotating start, and says how much was looked at.
    pub sampling: bool,
    /// Feature gate TaintTolerationComparisonOperators.
    pub comparison_operators: bool,
}

impl Options {
    /// Reads options as written: `preemption`, `queueOrder`, `output`, `sampling`, `featureGates`.
    ///
    /// # Errors
    /// When a field is unknown or has a value it cannot have.
    pub fn from_value(value: &Value) -> Result<Self, PolicyError> {
        let findings = RefCell::new(Findings::default());
        let root = Reader::new("", value, &findings);
        root.fields(&["preemption", "queueOrder", "output", "sampling", "featureGates"]);
        let gates = root.get("featureGates");
        gates.fields(&["TaintTolerationComparisonOperators"]);
        let options = Self {
            preemption: choice(
                &root.get("preemption"),
                &[
                    ("immediate", Preemption::Immediate),
                    ("removed-retry-at-end", Preemption::RemovedRetryAtEnd),
                    ("linger-retry-at-end", Preemption::LingerRetryAtEnd),
                ],
            ),
            queue_order: choice(&root.get("queueOrder"), &[("file", QueueOrder::File), ("prioritySort", QueueOrder::PrioritySort)]),
            compact: choice(&root.get("output"), &[("full", false), ("compact", true)]),
            sampling: root.get("sampling").boolean(false),
            comparison_operators: gates.get("TaintTolerationComparisonOperators").boolean(false),
        };
        let errors = findings.into_inner().errors;
        if errors.is_empty() { Ok(options) } else { Err(PolicyError { messages: errors }) }
    }
}

fn choice<T: Copy + Default>(reader: &Reader<'_>, choices: &[(&'static str, T)]) -> T {
    let text = reader.text(choices[0].0);
    choices.iter().find(|(name, _)| *name == text).map_or_else(
        || {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            reader.error(format!("{text:?} is not one of {}", names.join(", ")));
            T::default()
        },
        |(_, value)| *value,
    )
}

/// Everything one question needs. Pods are admitted already (defaults, priority, merged match label keys).
#[derive(Clone)]
pub struct Input {
    /// The nodes, in order of arrival.
    pub nodes: Vec<Node>,
    /// Pods that have a node.
    pub pods: Vec<Pod>,
    /// Pods to schedule, in order.
    pub queue: Vec<Pod>,
    /// Everything else. Namespaces that are used and not listed exist.
    pub objects: ClusterObjects,
    /// A KubeSchedulerConfiguration; `null` is the default one.
    pub config: Value,
    /// How the queue is stepped through.
    pub options: Options,
    /// How ties are settled, and how extenders are reached.
    pub surroundings: Surroundings,
}

impl Default for Input {
    /// Nothing is asked. Ties go to the first node by name, so that answers can be compared.
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            pods: Vec::new(),
            queue: Vec::new(),
            objects: ClusterObjects::default(),
            config: Value::Null,
            options: Options::default(),
            surroundings: Surroundings { tie_break: TieBreak::Name, ..Surroundings::default() },
        }
    }
}

impl Input {
    /// Adds the namespaces that pods are in and nobody listed.
    pub(super) fn complete_namespaces(&mut self) {
        for pod in self.pods.iter().chain(&self.queue) {
            let name = &pod.meta.namespace;
            self.objects
                .namespaces
                .entry(name.clone())
                .or_insert_with(|| Namespace { meta: ObjectMeta { name: name.clone(), ..ObjectMeta::default() } }.into());
        }
    }
}

/// Something that a question needs and that not every version of this program can answer exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "named after plugins")]
pub enum Feature {
    EphemeralVolumes,
    ImageLocality,
    InterPodAffinity,
    NodeDeclaredFeatures,
    NodePorts,
    PodTopologySpread,
    Preemption,
    Sampling,
    Volumes,
}

impl Feature {
    /// Whether answers are known to be exact. Ownership of ephemeral claims is not looked at.
    #[must_use]
    pub const fn is_covered(self) -> bool {
        !matches!(self, Self::EphemeralVolumes)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn needs_volume_plugins(spec: &PodSpec) -> bool {
    spec.volumes.iter().any(|volume| {
        !matches!(volume.source, VolumeSource::EmptyDir | VolumeSource::HostPath | VolumeSource::Image(_) | VolumeSource::Other)
    })
}

/// What `input` needs besides what any question needs, decided from its objects and options.
#[must_use]
pub fn features_used(input: &Input) -> Vec<Feature> {
    let any = |test: &dyn Fn(&Pod) -> bool| input.pods.iter().chain(&input.queue).any(test);
    let mut used = Vec::new();
    let mut add = |is_used: bool, feature: Feature| used.extend(is_used.then_some(feature));
    let has_ephemeral = |pod: &Pod| pod.spec.volumes.iter().any(|volume| matches!(volume.source, VolumeSource::Ephemeral(_)));
    add(any(&has_ephemeral), Feature::EphemeralVolumes);
    add(input.nodes.iter().any(|node| !node.status.info.declared_features.is_empty()), Feature::NodeDeclaredFeatures);
    add(input.nodes.iter().any(|node| !node.status.images.is_empty()), Feature::ImageLocality);
    add(any(&|pod| pod.spec.affinity.pod.is_some() || pod.spec.affinity.pod_anti.is_some()), Feature::InterPodAffinity);
    let has_host_port =
        |pod: &Pod| pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|c| c.ports.iter().any(|p| p.host_port > 0));
    add(any(&has_host_port), Feature::NodePorts);
    let objects = &input.objects;
    let has_defaults = !(objects.services.is_empty()
        && objects.replica_sets.is_empty()
        && objects.stateful_sets.is_empty()
        && objects.replication_controllers.is_empty());
    add(has_defaults || any(&|pod| !pod.spec.topology_spread_constraints.is_empty()), Feature::PodTopologySpread);
    let priorities: std::collections::BTreeSet<i32> = input.pods.iter().chain(&input.queue).map(|pod| pod.spec.priority).collect();
    add(priorities.len() > 1, Feature::Preemption);
    add(input.options.sampling, Feature::Sampling);
    add(any(&|pod| needs_volume_plugins(&pod.spec)), Feature::Volumes);
    used
}
