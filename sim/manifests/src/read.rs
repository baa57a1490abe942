//! Manifests into objects: lists are flattened, kinds told apart, everything else carried along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Kind, ObjectMeta, PodSpec, Str};
use k8s_openapi::api::{
    apps::v1 as apps, autoscaling, batch::v1 as batch, core::v1 as core, networking::v1 as networking, policy::v1 as policy,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::Classes;
use crate::check::Cx;
use crate::convert::{
    autoscaling::{autoscaler, autoscaler_v1},
    batch as jobs, network, node, pod, policy as policies, quota as quotas, service, storage as volumes, vertical, workload,
};
use crate::diagnostic::{Diagnostic, Problems, Severity};
use crate::fidelity::{self, State};
use crate::kinds::{self, FAULT_GROUP, GROUPS, KINDS, NOT_OBJECTS};
use crate::locate::Part;
use crate::nearest::did_you_mean;
use crate::objects::{Carried, Found, FoundWorkload, Objects, Options, Origin};
use crate::source::{Pointer, Step};
use crate::typed::{UnknownFields, What, read_value};
use crate::yaml::Document;

/// Reads every document in full. See [`read`].
pub fn read_documents(documents: &[Arc<Document>], options: &Options, problems: &mut Problems) -> Objects {
    let origins: Vec<Origin> = documents.iter().map(Origin::whole).collect();
    read(&origins, options, problems)
}

/// The Kubernetes objects at `origins`, as an API server would store them: defaulted, with priorities resolved.
///
/// Give all manifests of a cluster in one call: priority classes are looked up among them. Everything wrong goes into
/// `problems`; an object with mistakes is returned with the mistaken parts at their most harmless.
pub fn read(origins: &[Origin], options: &Options, problems: &mut Problems) -> Objects {
    let mut reader = Reader {
        options,
        problems,
        objects: Objects::default(),
        classes: Classes::default(),
        specs: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let mut items = Vec::new();
    for origin in origins {
        reader.flatten(origin.clone(), None, &mut items);
    }
    // Classes first: pods are admitted with what they say.
    let (classes, others): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.kind == Some(Kind::PriorityClass));
    for item in classes.iter().chain(&others) {
        reader.object(item);
    }
    report_carried(&reader.objects.carried, options, reader.problems);
    reader.objects
}

struct Reader<'a> {
    options: &'a Options,
    problems: &'a mut Problems,
    objects: Objects,
    classes: Classes,
    /// Equal specs of pods are kept once.
    specs: BTreeSet<Arc<PodSpec>>,
    /// Kind, namespace and name of every object.
    seen: BTreeSet<(Kind, Str, Str)>,
}

/// An object before it is read.
struct Item {
    origin: Origin,
    api_version: String,
    kind_name: String,
    kind: Option<Kind>,
}

impl Reader<'_> {
    /// Puts the objects at `origin` into `items`; a list's items have the list's kind when they name none.
    fn flatten(&mut self, origin: Origin, inherited: Option<(&str, &str)>, items: &mut Vec<Item>) {
        let value = origin.value();
        if !value.is_object() {
            let diagnostic =
                Diagnostic::error("WT0113", "not a Kubernetes object").label("expected a mapping with apiVersion, kind and metadata");
            self.problems.push(origin.locate(diagnostic, &Pointer::root(), Part::Value));
            return;
        }
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let (api_version, kind_name) = match (word("apiVersion"), word("kind"), inherited) {
            (Some(api_version), Some(kind), _) => (api_version, kind),
            (None, None, Some(inherited)) => inherited,
            (api_version, ..) => {
                let field = if api_version.is_none() { "apiVersion" } else { "kind" };
                let diagnostic = Diagnostic::error("WT0113", "not a Kubernetes object").label(format!("`{field}` is missing"));
                let help = "every manifest begins with apiVersion, kind and metadata";
                self.problems.push(origin.locate(diagnostic, &Pointer::root(), Part::Value).help(help));
                return;
            }
        };
        let (api_version, kind_name) = (api_version.to_owned(), kind_name.to_owned());
        let item_kind = kind_name.strip_suffix("List");
        if let (Some(item_kind), Some(list)) = (item_kind, value.get("items").and_then(Value::as_array)) {
            let path = origin.path.key("items");
            for index in 0..list.len() {
                let item = Origin { document: Arc::clone(&origin.document), path: path.index(index) };
                self.flatten(item, (!item_kind.is_empty()).then_some((&api_version, item_kind)), items);
            }
            return;
        }
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        if let Some((_, help)) = NOT_OBJECTS.iter().find(|(other, _)| *other == group) {
            let diagnostic = Diagnostic::error("WT0113", "not a Kubernetes object").label(format!("{kind_name} of {group}")).help(*help);
            self.problems.push(origin.locate(diagnostic, &Pointer::root().key("apiVersion"), Part::Value));
            return;
        }
        let kind = kinds::row(&kind_name).filter(|row| row.versions.contains(&api_version.as_str())).and_then(|row| row.kind);
        if kind.is_none() && self.is_old_or_misspelt(&origin, &api_version, group, &kind_name) {
            return;
        }
        items.push(Item { origin, api_version, kind_name, kind });
    }

    /// Says so when the kind is ours and the version is not, or the kind is nearly one of ours.
    fn is_old_or_misspelt(&mut self, origin: &Origin, api_version: &str, group: &str, kind_name: &str) -> bool {
        if !GROUPS.contains(&group) {
            return false;
        }
        let known = kinds::row(kind_name);
        if let Some(versions) = known.filter(|row| row.kind.is_some()).map(|row| row.versions) {
            let message = format!("Kubernetes 1.36 has no {kind_name} in {api_version}");
            let diagnostic =
                Diagnostic::error("WT0114", message).label("this version is not served").help(format!("use `apiVersion: {}`", versions[0]));
            self.problems.push(origin.locate(diagnostic, &Pointer::root().key("apiVersion"), Part::Value));
            return true;
        }
        if known.is_some() {
            return false;
        }
        let Some(near) = did_you_mean(kind_name, KINDS.iter().map(|row| row.name)) else { return false };
        let diagnostic = Diagnostic::error("WT0108", format!("{api_version} has no kind `{kind_name}`")).label("no such kind");
        let diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        self.problems.push(origin.locate(diagnostic, &Pointer::root().key("kind"), Part::Value));
        true
    }

    fn object(&mut self, item: &Item) {
        let value = item.origin.value();
        let text = |key: &str| value.get("metadata").and_then(|meta| meta.get(key)).and_then(Value::as_str).unwrap_or("");
        let Some(kind) = item.kind else {
            self.objects.carried.push(Carried {
                api_version: item.api_version.as_str().into(),
                kind: item.kind_name.as_str().into(),
                namespace: text("namespace").into(),
                name: text("name").into(),
                origin: item.origin.clone(),
            });
            return;
        };
        let name = text("name");
        let name = if name.is_empty() { text("generateName") } else { name };
        let who = if name.is_empty() { kind.to_string() } else { format!("{kind}/{name}") };
        let mut cx = Cx { origin: &item.origin, who: &who, options: self.options, problems: self.problems, left_out: Vec::new() };
        let classes = &self.classes;
        let origin = item.origin.clone();
        macro_rules! keep {
            ($list:ident, $raw:ty, $convert:path $(, $with:expr)?) => {{
                let Some(raw) = typed::<$raw>(&mut cx, value) else { return };
                let object = $convert(&mut cx, &raw $(, $with)?);
                let key = object.meta.clone();
                self.objects.$list.push(Found { object, origin });
                key
            }};
        }
        macro_rules! idle {
            ($raw:ty, $convert:path) => {{
                let Some(raw) = typed::<$raw>(&mut cx, value) else { return };
                let object = $convert(&mut cx, &raw, classes);
                let key = object.meta.clone();
                self.objects.other_workloads.push(FoundWorkload { kind, object, origin });
                key
            }};
        }
        let meta: ObjectMeta = match kind {
            Kind::Namespace => keep!(namespaces, core::Namespace, node::namespace),
            Kind::Node => keep!(nodes, core::Node, node::node),
            Kind::Pod => {
                let Some(raw) = typed::<core::Pod>(&mut cx, value) else { return };
                let mut object = pod::pod(&mut cx, &raw, classes);
                object.spec = shared(&mut self.specs, object.spec);
                let key = object.meta.clone();
                self.objects.pods.push(Found { object, origin });
                key
            }
            Kind::Deployment => keep!(deployments, apps::Deployment, workload::deployment, classes),
            Kind::ReplicaSet => keep!(replica_sets, apps::ReplicaSet, workload::replica_set, classes),
            Kind::StatefulSet => keep!(stateful_sets, apps::StatefulSet, workload::stateful_set, classes),
            Kind::DaemonSet => keep!(daemon_sets, apps::DaemonSet, workload::daemon_set, classes),
            Kind::Job => keep!(jobs, batch::Job, jobs::job, classes),
            Kind::CronJob => keep!(cron_jobs, batch::CronJob, jobs::cron_job, classes),
            Kind::ReplicationController => idle!(core::ReplicationController, workload::replication_controller),
            Kind::Service => keep!(services, core::Service, service::service),
            Kind::HorizontalPodAutoscaler if item.api_version == "autoscaling/v1" => {
                keep!(horizontal_pod_autoscalers, autoscaling::v1::HorizontalPodAutoscaler, autoscaler_v1)
            }
            Kind::HorizontalPodAutoscaler => keep!(horizontal_pod_autoscalers, autoscaling::v2::HorizontalPodAutoscaler, autoscaler),
            Kind::PodDisruptionBudget => keep!(pod_disruption_budgets, policy::PodDisruptionBudget, policies::disruption_budget),
            Kind::PriorityClass => {
                let key = keep!(priority_classes, scheduling::PriorityClass, policies::priority_class);
                let class = self.objects.priority_classes.last().map(|found| found.object.clone());
                let taken = self.classes.0.iter().any(|class| class.global_default);
                if taken && class.as_ref().is_some_and(|class| class.global_default) {
                    cx.error(
                        "WT0118",
                        "two global default priority classes",
                        "another class is the global default already",
                        &Step::Root.key("globalDefault"),
                    );
                }
                self.classes.0.extend(class);
                key
            }
            Kind::PersistentVolume => keep!(persistent_volumes, core::PersistentVolume, volumes::volume),
            Kind::PersistentVolumeClaim => keep!(persistent_volume_claims, core::PersistentVolumeClaim, volumes::claim),
            Kind::StorageClass => keep!(storage_classes, storage::StorageClass, volumes::class),
            Kind::CSINode => keep!(csi_nodes, storage::CSINode, volumes::csi_node),
            Kind::CSIDriver => keep!(csi_drivers, storage::CSIDriver, volumes::csi_driver),
            Kind::CSIStorageCapacity => keep!(csi_storage_capacities, storage::CSIStorageCapacity, volumes::csi_storage_capacity),
            Kind::ResourceQuota => keep!(resource_quotas, core::ResourceQuota, quotas::resource_quota),
            Kind::LimitRange => keep!(limit_ranges, core::LimitRange, quotas::limit_range),
            Kind::NetworkPolicy => keep!(network_policies, networking::NetworkPolicy, network::network_policy),
            Kind::VerticalPodAutoscaler => keep!(vertical_pod_autoscalers, vertical::RawAutoscaler, vertical::autoscaler),
            Kind::EndpointSlice | Kind::ControllerRevision | Kind::VolumeAttachment => return,
        };
        fidelity::check(&mut cx, kind, value);
        if !meta.name.is_empty() && !self.seen.insert((kind, meta.namespace, meta.name)) {
            let label = "an object of this kind and name is there already";
            cx.error("WT0116", format!("{who} is defined twice"), label, &Step::Root.key("metadata").key("name"));
        }
    }
}

/// The one copy of `spec`.
fn shared(specs: &mut BTreeSet<Arc<PodSpec>>, spec: Arc<PodSpec>) -> Arc<PodSpec> {
    match specs.get(&spec) {
        Some(known) => Arc::clone(known),
        None => {
            specs.insert(Arc::clone(&spec));
            spec
        }
    }
}

/// The object in its API type. Unknown fields are warnings, once per kind and place.
fn typed<T: DeserializeOwned>(cx: &mut Cx<'_>, value: &Value) -> Option<T> {
    let (read, mistakes) = read_value::<T>(value);
    for mistake in mistakes {
        let unknown = if cx.options.strict { UnknownFields::Error } else { UnknownFields::Warning };
        let Some(mut diagnostic) = mistake.diagnostic(unknown) else { continue };
        if matches!(mistake.what, What::UnknownField { .. }) && diagnostic.severity != Severity::Error {
            diagnostic = diagnostic.grouped(format!("{} {}", cx.who.split('/').next().unwrap_or(""), pattern(&mistake.at)));
        }
        if diagnostic.severity == Severity::Error && mistake.at != Pointer::root() {
            cx.left_out.push(mistake.at.clone());
        }
        let context = format!("{} of {}", mistake.at, cx.who);
        cx.problems.push(cx.origin.locate(diagnostic, &mistake.at, mistake.part()).context(context));
    }
    read
}

/// A path with `*` for every index.
fn pattern(path: &Pointer) -> String {
    let segments = path.segments().map(|segment| if segment.bytes().all(|b| b.is_ascii_digit()) { "*".to_owned() } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Names each carried kind once, with its number: what has no effect, what Kubernetes would act on, what is unknown.
fn report_carried(carried: &[Carried], options: &Options, problems: &mut Problems) {
    if !options.fidelity {
        return;
    }
    let mut kinds: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for object in carried {
        let group = object.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        if group != FAULT_GROUP {
            *kinds.entry((&object.kind, group)).or_default() += 1;
        }
    }
    let (mut quiet, mut acting, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for ((kind, group), count) in kinds {
        let own = group.is_empty() || group.ends_with(".k8s.io") || GROUPS.contains(&group);
        match kinds::row(kind).filter(|row| own && row.kind.is_none()) {
            Some(row) if row.state == State::Accepted => acting.push(format!("{count} {kind} ({})", row.how)),
            Some(_) => quiet.push(format!("{count} {kind}")),
            None => unknown.push(format!("{count} {kind} ({})", if group.is_empty() { "v1" } else { group })),
        }
    }
    let mut say = |severity: Severity, list: Vec<String>, message: &str, note: &str| {
        if !list.is_empty() {
            problems.push(Diagnostic::new(severity, "WT0402", format!("{message}: {}", list.join(", "))).note(note));
        }
    };
    let severity = fidelity::severity(options.strict);
    say(Severity::Info, quiet, "carried along", "these have no effect on what is simulated");
    say(severity, acting, "accepted, not simulated", "a real cluster acts on these");
    say(severity, unknown, "kinds of others, not simulated", "an operator in a real cluster may make pods or other objects of these");
}
