//! Kubernetes objects as they were found, each with the place it came from.

use std::ops::Deref;
use std::sync::Arc;

use api::{
    ClusterObjects, CronJob, CsiDriver, CsiNode, CsiStorageCapacity, DaemonSet, Deployment, HorizontalPodAutoscaler, Job, Kind, LimitRange,
    Namespace, NetworkPolicy, Node, OtherWorkload, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, PriorityClass,
    ReplicaSet, ResourceQuota, Service, StatefulSet, StorageClass, Str, VerticalPodAutoscaler,
};

use crate::diagnostic::Diagnostic;
use crate::locate::Part;
use crate::source::Pointer;
use crate::yaml::Document;

/// The part of a document that is an object.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The document.
    pub document: Arc<Document>,
    /// Where the object is in it; the root for a manifest file's documents.
    pub path: Pointer,
}

impl Origin {
    /// The whole of `document`.
    #[must_use]
    pub fn whole(document: &Arc<Document>) -> Self {
        Self { document: Arc::clone(document), path: Pointer::root() }
    }
    /// The part of `document` at `path`, such as `/spec/manifests/1` of a scenario file.
    #[must_use]
    pub fn part(document: &Arc<Document>, path: &Pointer) -> Self {
        Self { document: Arc::clone(document), path: path.clone() }
    }
    /// The object's own value.
    #[must_use]
    pub fn value(&self) -> &serde_json::Value {
        self.path.get(&self.document.value).unwrap_or(&serde_json::Value::Null)
    }
    /// Puts the place `path` below the object on `diagnostic`.
    #[must_use]
    pub fn locate(&self, diagnostic: Diagnostic, path: &Pointer, part: Part) -> Diagnostic {
        diagnostic.at(&self.document, &self.path.join(path), part)
    }
}

/// An object and where it was found.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The object.
    pub object: T,
    /// Where it was found.
    pub origin: Origin,
}

impl<T> Deref for Found<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.object
    }
}

/// A workload of a kind whose controller is not simulated.
#[derive(Clone, Debug)]
pub struct FoundWorkload {
    /// Which kind.
    pub kind: Kind,
    /// The object.
    pub object: OtherWorkload,
    /// Where it was found.
    pub origin: Origin,
}

/// An object that has no effect on what is simulated.
#[derive(Clone, Debug)]
pub struct Carried {
    /// As written.
    pub api_version: Str,
    /// As written.
    pub kind: Str,
    /// As written, or empty.
    pub namespace: Str,
    /// As written, or empty.
    pub name: Str,
    /// Where it was found.
    pub origin: Origin,
}

/// All objects of some manifests, by kind, each kind in the order of the texts.
#[derive(Clone, Default, Debug)]
#[expect(missing_docs, reason = "official names")]
pub struct Objects {
    pub namespaces: Vec<Found<Namespace>>,
    pub priority_classes: Vec<Found<PriorityClass>>,
    pub nodes: Vec<Found<Node>>,
    pub pods: Vec<Found<Pod>>,
    pub deployments: Vec<Found<Deployment>>,
    pub replica_sets: Vec<Found<ReplicaSet>>,
    pub stateful_sets: Vec<Found<StatefulSet>>,
    pub daemon_sets: Vec<Found<DaemonSet>>,
    pub jobs: Vec<Found<Job>>,
    pub cron_jobs: Vec<Found<CronJob>>,
    /// ReplicationControllers.
    pub other_workloads: Vec<FoundWorkload>,
    pub services: Vec<Found<Service>>,
    pub horizontal_pod_autoscalers: Vec<Found<HorizontalPodAutoscaler>>,
    pub pod_disruption_budgets: Vec<Found<PodDisruptionBudget>>,
    pub persistent_volumes: Vec<Found<PersistentVolume>>,
    pub persistent_volume_claims: Vec<Found<PersistentVolumeClaim>>,
    pub storage_classes: Vec<Found<StorageClass>>,
    pub csi_nodes: Vec<Found<CsiNode>>,
    pub csi_drivers: Vec<Found<CsiDriver>>,
    pub csi_storage_capacities: Vec<Found<CsiStorageCapacity>>,
    pub resource_quotas: Vec<Found<ResourceQuota>>,
    pub limit_ranges: Vec<Found<LimitRange>>,
    pub network_policies: Vec<Found<NetworkPolicy>>,
    pub vertical_pod_autoscalers: Vec<Found<VerticalPodAutoscaler>>,
    /// Everything else.
    pub carried: Vec<Carried>,
}

impl Objects {
    /// The workloads of one kind whose controller is not simulated.
    pub fn workloads(&self, kind: Kind) -> impl Iterator<Item = &FoundWorkload> {
        self.other_workloads.iter().filter(move |found| found.kind == kind)
    }

    /// What a scheduler may look at beside nodes and pods.
    #[must_use]
    pub fn cluster_objects(&self) -> ClusterObjects {
        macro_rules! by_name {
            ($list:ident) => {
                self.$list.iter().map(|found| (found.meta.name.clone(), Arc::new(found.object.clone()))).collect()
            };
        }
        macro_rules! by_key {
            ($list:ident) => {
                self.$list.iter().map(|found| (found.meta.key(), Arc::new(found.object.clone()))).collect()
            };
        }
        let workloads = |kind: Kind| self.workloads(kind).map(|found| (found.object.meta.key(), Arc::new(found.object.clone()))).collect();
        ClusterObjects {
            namespaces: by_name!(namespaces),
            services: by_key!(services),
            replica_sets: by_key!(replica_sets),
            stateful_sets: by_key!(stateful_sets),
            replication_controllers: workloads(Kind::ReplicationController),
            pod_disruption_budgets: by_key!(pod_disruption_budgets),
            persistent_volumes: by_name!(persistent_volumes),
            persistent_volume_claims: by_key!(persistent_volume_claims),
            storage_classes: by_name!(storage_classes),
            csi_nodes: by_name!(csi_nodes),
            csi_drivers: by_name!(csi_drivers),
            csi_storage_capacities: by_key!(csi_storage_capacities),
        }
    }
}

/// How manifests are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Unknown fields, and objects and fields that are not simulated, are errors.
    pub strict: bool,
    /// Says which fields are accepted but not simulated. Off for questions to the scheduler alone.
    pub fidelity: bool,
    /// Unix time of the run's start, in seconds. Earlier instants in manifests become the start; without it all do.
    pub origin_seconds: Option<i64>,
    /// The namespace of objects that do not name one.
    pub namespace: Str,
    /// Feature gate HPAScaleToZero.
    pub hpa_scale_to_zero: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { strict: false, fidelity: true, origin_seconds: None, namespace: "default".into(), hpa_scale_to_zero: false }
    }
}
