//! The scenario format: every mapping a file may hold, with the meaning of each field.
//!
//! The comments on the fields are what `wavetank explain spec.…` prints. Kubernetes names for what Kubernetes has,
//! Chaos Mesh's and Litmus' for faults, k6's for traffic.
//!
//! Not here: what the parts mean to the engine (`lower`), and whether they fit together (`check`).

mod behavior;
mod cluster;
mod comparison;
mod describe;
mod explain;
mod metrics;
mod operations;
mod schema;
mod traffic;

pub(crate) use behavior::*;
pub(crate) use cluster::*;
pub(crate) use comparison::*;
pub(crate) use describe::*;
pub use explain::explain;
pub(crate) use metrics::*;
pub(crate) use operations::*;
pub use schema::schema;
pub(crate) use traffic::*;

use std::collections::BTreeMap;

/// The format's version.
pub(crate) const API_VERSION: &str = "wavetank.dev/v1";

fields! {
    /// A whole file.
    File as "mapping" {
        /// `wavetank.dev/v1`.
        api_version: Option<String>,
        /// `Scenario`.
        kind: Option<String>,
        /// What the scenario is called.
        metadata: Option<Metadata>,
        /// What happens in it, and what is expected.
        spec: Option<Part<Spec>>,
    }

    /// The envelope's name and labels.
    Metadata as "mapping" {
        /// The scenario's name: names its results. Without one, the file's name.
        name: Option<String>,
        /// Labels, to choose scenarios by.
        labels: Option<BTreeMap<String, String>>,
        /// `description` is the one line that reports show; all others are carried along.
        annotations: Option<BTreeMap<String, String>>,
    }

    /// The scenario itself.
    Spec as "mapping" {
        /// Simulated length of the run. Required.
        duration: Option<DurationText>,
        /// Left out of every metric, so that start-up is not measured. Default 0s.
        warmup: Option<DurationText>,
        /// What simulated time zero is called.
        clock: Option<Clock>,
        /// Seeds to run: a list, or {from, count}. Default 1.
        seeds: Option<Part<Seeds>>,
        /// How pods are scheduled: the name of a policy (`wavetank list policies`), the path of a KubeSchedulerConfiguration, or one inline. Default `default`: kube-scheduler as it comes.
        policy: Option<Part<Policy>>,
        /// The machines.
        cluster: Option<Part<Cluster>>,
        /// Settings of the components, under the components' own flag names in camelCase.
        control_plane: Option<Part<crate::lower::ControlPlaneFields>>,
        /// Real Kubernetes objects: each item is an object as you would `kubectl apply` it, or {path} of files.
        manifests: Option<Vec<Part<Manifest>>>,
        /// Container images whose size is known: their pulls take size over bandwidth, and nodes tell of them (ImageLocality).
        images: Option<Vec<Part<Image>>>,
        /// What a real manifest does not say about its workload: start-up, how requests are answered, crashes. The first that selects a pod holds, field by field.
        behaviors: Option<Vec<Part<Behavior>>>,
        /// Requests from outside the cluster.
        traffic: Option<Part<Traffic>>,
        /// What the custom and the external metrics API serve, for HorizontalPodAutoscalers of types Pods, Object and External.
        metrics: Option<Vec<Part<Metric>>>,
        /// What goes wrong, in the words of Chaos Mesh (pods) and Litmus (nodes).
        faults: Option<Vec<Part<Fault>>>,
        /// What an operator does, as kubectl would.
        steps: Option<Vec<Part<Step>>>,
        /// Moments with a name: recovery is measured from here too, and reports show them.
        marks: Option<Vec<Part<Mark>>>,
        /// What the trace holds beside the records of what happens.
        trace: Option<Part<Trace>>,
        /// What must hold. `wavetank run` exits with 4 when one of severity error does not.
        expectations: Option<Vec<Part<Expectation>>>,
    }

    /// What the trace holds beside the records of what happens.
    Trace as "mapping" {
        /// `true`: what a watch of the whole API tells, object by object, as `Watch` records (docs/trace.md). Many times as large. Default false.
        watch: Option<bool>,
    }

    /// The scenario's clock.
    Clock as "mapping" {
        /// What time zero is called, as RFC 3339: `2026-11-27T00:00:00Z`. Only labels and wall-clock times (`at: "02:00"`) use it.
        start: Option<String>,
        /// The time zone's name, for labels only.
        timezone: Option<String>,
    }

    /// A range of seeds.
    Seeds as "list of whole numbers, or mapping" {
        /// First seed. Default 1.
        from: Option<u64>,
        /// How many, one after the other.
        count: u32,
    }

    /// Where to find objects.
    Manifest as "a Kubernetes object, or mapping" {
        /// Path of a YAML or JSON file, `*` for any text. Relative to the scenario file, else to the working directory.
        path: String,
    }
}

/// A policy: by name, by path, or inline.
#[derive(Debug)]
pub(crate) enum Policy {}

impl Described for Policy {
    fn shape() -> Shape {
        Shape { words: "name, path, or a KubeSchedulerConfiguration".to_owned(), fields: Vec::new() }
    }
}
