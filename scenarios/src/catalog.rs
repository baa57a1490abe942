//! What there is in a scenario: the objects of its manifests, found by name.

use std::sync::Arc;

use api::{Kind, Labels, ObjectKey, PodSpec, Service, Str};
use manifests::{Diagnostic, Found, Origin, Pointer};
use serde_json::Value;

use crate::cx::{Cx, with_help};
use crate::format::Manifest;
use crate::lower::Subject;

/// Something that makes pods, or a pod by itself.
pub(crate) struct Workload<'o> {
    pub(crate) kind: Kind,
    pub(crate) key: ObjectKey,
    pub(crate) labels: &'o Labels,
    pub(crate) spec: &'o Arc<PodSpec>,
    pub(crate) replicas: i32,
    pub(crate) origin: &'o Origin,
    /// Path of the pod's spec below the object.
    pub(crate) spec_path: &'static str,
    images: Vec<Str>,
}

impl Workload<'_> {
    /// What a selector looks at.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { kind: self.kind, namespace: &self.key.namespace, name: &self.key.name, labels: self.labels, images: &self.images }
    }
    /// `Deployment/checkout`, or `Deployment/shop/checkout` outside namespace default.
    pub(crate) fn title(&self) -> String {
        title(self.kind, &self.key)
    }
}

/// `Deployment/checkout`, or `Deployment/shop/checkout` outside namespace default.
pub(crate) fn title(kind: Kind, key: &ObjectKey) -> String {
    if &*key.namespace == "default" { format!("{kind}/{}", key.name) } else { format!("{kind}/{key}") }
}

/// What there is.
pub(crate) struct Catalog<'o> {
    pub(crate) services: Vec<&'o Found<Service>>,
    pub(crate) workloads: Vec<Workload<'o>>,
    /// Somebody says who may connect to whom.
    pub(crate) has_network_policies: bool,
    nodes: Vec<&'o str>,
    pools: Vec<String>,
}

impl<'o> Catalog<'o> {
    /// Everything in `objects`, which are there from the start or applied later.
    pub(crate) fn new(objects: impl IntoIterator<Item = &'o manifests::Objects>, pools: Vec<String>) -> Self {
        let mut catalog = Self { services: Vec::new(), workloads: Vec::new(), has_network_policies: false, nodes: Vec::new(), pools };
        for objects in objects {
            catalog.services.extend(&objects.services);
            catalog.has_network_policies |= !objects.network_policies.is_empty();
            catalog.nodes.extend(objects.nodes.iter().map(|node| &*node.meta.name));
            catalog.add_workloads(objects);
        }
        catalog
    }

    fn add_workloads(&mut self, objects: &'o manifests::Objects) {
        const TEMPLATE: &str = "/spec/template/spec";
        let mut add = |kind, meta: &api::ObjectMeta, labels: &'o Arc<Labels>, spec: &'o Arc<PodSpec>, replicas, origin, spec_path| {
            let images = spec.containers.iter().map(|container| container.image.clone()).collect();
            self.workloads.push(Workload { kind, key: meta.key(), labels, spec, replicas, origin, spec_path, images });
        };
        for found in &objects.deployments {
            let template = &found.object.template;
            add(Kind::Deployment, &found.meta, &template.labels, &template.spec, found.replicas, &found.origin, TEMPLATE);
        }
        for found in &objects.replica_sets {
            let template = &found.object.template;
            add(Kind::ReplicaSet, &found.meta, &template.labels, &template.spec, found.replicas, &found.origin, TEMPLATE);
        }
        for found in &objects.stateful_sets {
            let template = &found.object.template;
            add(Kind::StatefulSet, &found.meta, &template.labels, &template.spec, found.replicas, &found.origin, TEMPLATE);
        }
        for found in &objects.daemon_sets {
            let template = &found.object.template;
            add(Kind::DaemonSet, &found.meta, &template.labels, &template.spec, 0, &found.origin, TEMPLATE);
        }
        for found in &objects.jobs {
            let template = &found.object.spec.template;
            add(Kind::Job, &found.meta, &template.labels, &template.spec, found.spec.parallelism, &found.origin, TEMPLATE);
        }
        for found in &objects.cron_jobs {
            let template = &found.object.job_spec.template;
            let path = "/spec/jobTemplate/spec/template/spec";
            add(Kind::CronJob, &found.meta, &template.labels, &template.spec, found.job_spec.parallelism, &found.origin, path);
        }
        for found in &objects.other_workloads {
            let template = &found.object.template;
            add(found.kind, &found.object.meta, &template.labels, &template.spec, found.object.replicas, &found.origin, TEMPLATE);
        }
        for found in &objects.pods {
            add(Kind::Pod, &found.meta, &found.object.meta.labels, &found.object.spec, 1, &found.origin, "/spec");
        }
    }

    /// Images of all containers.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Str> {
        let of = |workload: &'o PodSpec| workload.init_containers.iter().chain(&workload.containers).map(|container| &container.image);
        self.workloads.iter().flat_map(move |workload| of(workload.spec))
    }

    /// The Service called `name` (or `namespace/name`); an unknown one is reported.
    pub(crate) fn service(&self, cx: &mut Cx<'_>, name: &str, at: &Pointer) -> Option<ObjectKey> {
        let found: Vec<ObjectKey> = match name.split_once('/') {
            Some((namespace, name)) => vec![ObjectKey::new(namespace, name)],
            None => {
                let mut all: Vec<ObjectKey> =
                    self.services.iter().filter(|service| *service.meta.name == *name).map(|service| service.meta.key()).collect();
                all.sort_by_key(|key| &*key.namespace != "default");
                all
            }
        };
        if let Some(key) = found.first().filter(|key| self.services.iter().any(|service| service.meta.key() == **key)) {
            return Some(key.clone());
        }
        // What is not there may be in the file that is missing.
        if cx.is_incomplete {
            return None;
        }
        let known: Vec<String> = self.services.iter().map(|service| self.short(&service.meta.key())).collect();
        cx.no_such("Service", name, &known, at);
        None
    }

    /// `name` in namespace default, else `namespace/name`.
    fn short(&self, key: &ObjectKey) -> String {
        if &*key.namespace == "default" { key.name.to_string() } else { key.to_string() }
    }

    /// The Service itself.
    pub(crate) fn find_service(&self, key: &ObjectKey) -> Option<&'o Found<Service>> {
        self.services.iter().copied().find(|service| service.meta.namespace == key.namespace && service.meta.name == key.name)
    }

    /// The workloads whose pods stand behind a Service.
    pub(crate) fn behind(&self, service: &ObjectKey) -> Vec<&Workload<'o>> {
        let Some(selector) = self.find_service(service).and_then(|service| service.selector.as_ref()) else { return Vec::new() };
        let selected = |workload: &&Workload<'_>| {
            workload.key.namespace == service.namespace
                && !selector.is_empty()
                && selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
        };
        self.workloads.iter().filter(selected).collect()
    }

    /// The workload of this kind and name.
    pub(crate) fn find(&self, kind: Kind, key: &ObjectKey) -> Option<&Workload<'o>> {
        self.workloads.iter().find(|workload| workload.kind == kind && workload.key == *key)
    }

    /// Reports `pattern` (`name`, `kind/name`, `namespace/name` or `kind/namespace/name`) unless it names a workload.
    pub(crate) fn workload(&self, cx: &mut Cx<'_>, pattern: &str, at: &Pointer) {
        let parts: Vec<&str> = pattern.split('/').collect();
        let named = |workload: &Workload<'_>| match parts[..] {
            [name] => *workload.key.name == *name,
            [first, name] => {
                *workload.key.name == *name && (workload.kind.as_str().eq_ignore_ascii_case(first) || *workload.key.namespace == *first)
            }
            [kind, namespace, name] => {
                workload.kind.as_str().eq_ignore_ascii_case(kind) && *workload.key.namespace == *namespace && *workload.key.name == *name
            }
            _ => false,
        };
        if !self.workloads.iter().any(named) && !cx.is_incomplete {
            let known: Vec<String> = self.workloads.iter().map(|workload| workload.key.name.to_string()).collect();
            cx.no_such("workload", pattern, &known, at);
        }
    }

    /// Reports a workload that does not exist.
    pub(crate) fn must_exist(&self, cx: &mut Cx<'_>, kind: Kind, key: &ObjectKey, at: &Pointer) {
        if self.find(kind, key).is_some() || cx.is_incomplete {
            return;
        }
        let text = title(kind, key);
        let known: Vec<String> = self.workloads.iter().map(Workload::title).collect();
        let words: Vec<&str> = known.iter().map(String::as_str).collect();
        let diagnostic = Diagnostic::error("WT0205", format!("no {} is called `{}`", kind.as_str(), self.short(key)))
            .label("no such object in the scenario");
        let help = match manifests::did_you_mean(&text, words) {
            Some(near) => Some(format!("did you mean `{}`?", lower_kind(near))),
            None if known.is_empty() => Some("the scenario has no workload at all".to_owned()),
            None => Some(format!(
                "there are: {}",
                known.iter().take(12).map(|name| format!("`{}`", lower_kind(name))).collect::<Vec<_>>().join(", ")
            )),
        };
        cx.push(with_help(diagnostic, help), at);
    }

    /// Reports `name` unless it is a node, or could become one of a pool.
    pub(crate) fn node(&self, cx: &mut Cx<'_>, name: &str, at: &Pointer) {
        let of_pool = |pool: &String| {
            name.strip_prefix(pool.as_str())
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        if !self.nodes.contains(&name) && !self.pools.iter().any(of_pool) {
            let pools = self.pools.iter().map(|pool| format!("{pool}-0"));
            let known: Vec<String> = self.nodes.iter().map(|node| (*node).to_owned()).chain(pools).collect();
            cx.no_such("node", name, &known, at);
        }
    }
}

fn lower_kind(title: &str) -> String {
    title.split_once('/').map_or_else(|| title.to_owned(), |(kind, rest)| format!("{}/{rest}", kind.to_ascii_lowercase()))
}

/// The objects that one item of `manifests` stands for: itself, or what its files hold.
pub(crate) fn origins(cx: &mut Cx<'_>, item: &Pointer) -> Vec<Origin> {
    let is_reference =
        cx.value(item).and_then(Value::as_object).is_some_and(|fields| fields.contains_key("path") && !fields.contains_key("kind"));
    if !is_reference {
        return vec![Origin::part(&cx.document, item)];
    }
    let Some(reference) = cx.read::<Manifest>(item) else { return Vec::new() };
    let files = cx.files(&reference.path, &item.key("path"));
    files.iter().flat_map(|file| cx.documents_of(file)).map(|document| Origin::whole(&document)).collect()
}

/// The objects as the engine takes them.
#[must_use]
pub fn engine_objects(objects: &manifests::Objects) -> engine::spec::Objects {
    fn plain<T: Clone>(found: &[Found<T>]) -> Vec<T> {
        found.iter().map(|found| found.object.clone()).collect()
    }
    engine::spec::Objects {
        namespaces: plain(&objects.namespaces),
        priority_classes: plain(&objects.priority_classes),
        nodes: plain(&objects.nodes),
        pods: plain(&objects.pods),
        deployments: plain(&objects.deployments),
        replica_sets: plain(&objects.replica_sets),
        stateful_sets: plain(&objects.stateful_sets),
        daemon_sets: plain(&objects.daemon_sets),
        jobs: plain(&objects.jobs),
        cron_jobs: plain(&objects.cron_jobs),
        storage_classes: plain(&objects.storage_classes),
        csi_drivers: plain(&objects.csi_drivers),
        csi_nodes: plain(&objects.csi_nodes),
        csi_storage_capacities: plain(&objects.csi_storage_capacities),
        persistent_volumes: plain(&objects.persistent_volumes),
        persistent_volume_claims: plain(&objects.persistent_volume_claims),
        services: plain(&objects.services),
        horizontal_pod_autoscalers: plain(&objects.horizontal_pod_autoscalers),
        pod_disruption_budgets: plain(&objects.pod_disruption_budgets),
        resource_quotas: plain(&objects.resource_quotas),
        limit_ranges: plain(&objects.limit_ranges),
        network_policies: plain(&objects.network_policies),
        vertical_pod_autoscalers: plain(&objects.vertical_pod_autoscalers),
    }
}
