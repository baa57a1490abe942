//! What an operator does, as kubectl would: each step becomes the requests kubectl makes.
//!
//! Invariant: a step that finds nothing to do, or finds it cannot be done, changes nothing and says so in
//! kubectl's words.
//!
//! Simplified: kubectl's own reads take no time; `apply` replaces a spec with what the manifest says and
//! what defaults fill in, so a Deployment without `replicas` is set to one; nodes, pods, volumes and claims
//! that are there stay as they are.

use std::sync::Arc;

use api::{
    CronJob, DaemonSet, Deployment, Job, JobSpec, Kind, Labels, ObjectKey, ObjectMeta, Pod, PodSpec, PodTemplate, Propagation, ReplicaSet,
    StatefulSet, Str, Taint,
};
use trace::Record;

use super::World;
use super::apply::taint_text;
use super::outage::REFUSED;
use crate::controllers::history::History;
use crate::effects::{Component, Effects, Write};
use crate::objects::{Kept, with_kind};
use crate::select::selects;
use crate::spec::{Objects, PodResize, PodSelector, StepAction};
use crate::store::{DeploymentId, NodeId, PodId, Store, Table};

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const TEMPLATE_HASH: &str = "pod-template-hash";

impl World {
    pub(super) fn operator_step(&mut self, number: u32, out: &mut Effects) {
        let spec = self.spec.clone();
        let Some(step) = spec.steps.get(number as usize) else { return };
        if let StepAction::SetLoad(load) = &step.action {
            self.metrics.set_load(load);
        }
        let is_request = !matches!(step.action, StepAction::SetLoad(_));
        let outcome = if is_request && self.outage.api_server_is_away() {
            REFUSED.into() // Before it asks for anything it reads what is there.
        } else {
            self.act(&step.action, out).unwrap_or_else(|refusal| refusal).into()
        };
        self.records.push(Record::Step { step: step.name.clone(), outcome });
    }

    /// What kubectl would print, done or refused.
    fn act(&self, action: &StepAction, out: &mut Effects) -> Result<String, String> {
        match action {
            StepAction::Apply(objects) => Ok(self.apply_objects(objects, out)),
            StepAction::Delete(kind, key, propagation) => self.kubectl_delete(*kind, key, *propagation, out),
            StepAction::Scale(kind, key, replicas) => self.kubectl_scale(*kind, key, *replicas, out),
            StepAction::SetImage(kind, key, images) => self.set_image(*kind, key, images, out),
            StepAction::Resize(kind, key, resize) => self.kubectl_resize(*kind, key, resize, out),
            StepAction::RolloutUndo(kind, key, revision) => self.rollout_undo(*kind, key, *revision, out),
            StepAction::RolloutRestart(kind, key) => self.rollout_restart(*kind, key, out),
            StepAction::Suspend(kind, key, suspend) => self.kubectl_suspend(*kind, key, *suspend, out),
            StepAction::RolloutPause(kind, key, paused) => self.rollout_pause(*kind, key, *paused, out),
            StepAction::Cordon(name, cordoned) => self.kubectl_cordon(name, *cordoned, out),
            StepAction::Drain(name) => self.kubectl_drain(name, out),
            StepAction::Taint(name, taint, put_on) => self.kubectl_taint(name, taint, *put_on, out),
            StepAction::LabelNode(name, labels) => self.label_node(name, labels, out),
            StepAction::LabelPods(selector, count, labels) => self.label_pods(selector, *count, labels, out),
            StepAction::SetLoad(_) => Ok("load set".to_owned()),
        }
    }

    fn kubectl_delete(&self, kind: Kind, key: &ObjectKey, propagation: Propagation, out: &mut Effects) -> Result<String, String> {
        let store = &self.store;
        let exists = match kind {
            Kind::Pod => store.pods.find(key).is_some(),
            Kind::Node => store.nodes.find(key).is_some(),
            _ => with_kind!(kind, T => T::table(store).find(key).is_some(), else return Err(not_simulated("delete", kind))),
        };
        if !exists {
            return Err(not_found(kind, &key.name));
        }
        out.write(Component::Kubectl, Write::Delete(kind, key.clone(), propagation));
        Ok(done(kind, &key.name, "deleted"))
    }

    fn kubectl_scale(&self, kind: Kind, key: &ObjectKey, replicas: i32, out: &mut Effects) -> Result<String, String> {
        let exists = match kind {
            Kind::Deployment => self.store.deployments.find(key).is_some(),
            Kind::ReplicaSet => self.store.replica_sets.find(key).is_some(),
            Kind::StatefulSet => self.store.stateful_sets.find(key).is_some(),
            _ => return Err(not_simulated("scale", kind)),
        };
        if !exists {
            return Err(not_found(kind, &key.name));
        }
        out.write(Component::Kubectl, Write::Scale(kind, key.clone(), replicas));
        Ok(done(kind, &key.name, "scaled"))
    }

    fn set_image(&self, kind: Kind, key: &ObjectKey, images: &[(Str, Str)], out: &mut Effects) -> Result<String, String> {
        self.edit_template(kind, key, "image updated", out, |template| {
            let spec: &mut PodSpec = Arc::make_mut(&mut template.spec);
            for (name, image) in images {
                let mut found = false;
                for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
                    if &**name == "*" || container.name == *name {
                        container.image = image.clone();
                        found = true;
                    }
                }
                if !found {
                    return Err(format!("error: unable to find container named \"{name}\""));
                }
            }
            Ok(())
        })
    }

    /// All pods of a workload; what the API server says to each is told where it refuses.
    fn kubectl_resize(&self, kind: Kind, key: &ObjectKey, resize: &PodResize, out: &mut Effects) -> Result<String, String> {
        let selector = PodSelector { workload: Some((kind, key.clone())), ..PodSelector::default() };
        let selected = |pod: &Pod| pod.is_active() && selects(&selector, pod, &self.store);
        let pods: Vec<(PodId, &Pod)> = self.store.pods.iter().filter(|(_, pod)| selected(pod)).collect();
        let has =
            |pod: &Pod, name: &Str| pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|container| container.name == *name);
        match (pods.first(), &resize.container) {
            (None, _) => return Err(not_found(kind, &key.name)),
            (Some((_, pod)), Some(name)) if !has(pod, name) => return Err(format!("error: unable to find container named \"{name}\"")),
            _ => {}
        }
        for (id, _) in &pods {
            out.write(Component::Kubectl, Write::ResizePod(*id, vec![resize.clone()]));
        }
        Ok(format!("{} pods patched", pods.len()))
    }

    fn rollout_restart(&self, kind: Kind, key: &ObjectKey, out: &mut Effects) -> Result<String, String> {
        let at: Str = self.now.to_string().into();
        self.edit_template(kind, key, "restarted", out, |template| {
            Arc::make_mut(&mut template.annotations).insert(RESTARTED_AT.into(), at);
            Ok(())
        })
    }

    fn kubectl_suspend(&self, kind: Kind, key: &ObjectKey, suspend: bool, out: &mut Effects) -> Result<String, String> {
        let store = &self.store;
        let (changed, changes) = match kind {
            Kind::Job => {
                let stored = store.jobs.find(key).and_then(|id| store.jobs.get(id)).ok_or_else(|| not_found(kind, &key.name))?;
                let spec = Arc::new(JobSpec { suspend, ..(*stored.spec).clone() });
                (Job { spec, ..stored.clone() }.into_any(), stored.spec.suspend != suspend)
            }
            Kind::CronJob => {
                let id = store.cron_jobs.find(key);
                let stored = id.and_then(|id| store.cron_jobs.get(id)).ok_or_else(|| not_found(kind, &key.name))?;
                (CronJob { suspend, ..stored.clone() }.into_any(), stored.suspend != suspend)
            }
            _ => return Err(format!("error: a {kind} cannot be suspended")),
        };
        if !changes {
            return Ok(done(kind, &key.name, "patched (no change)"));
        }
        out.write(Component::Kubectl, Write::Apply(changed));
        Ok(done(kind, &key.name, "patched"))
    }

    fn rollout_pause(&self, kind: Kind, key: &ObjectKey, paused: bool, out: &mut Effects) -> Result<String, String> {
        let verb = if paused { "paused" } else { "resumed" };
        if matches!(kind, Kind::StatefulSet | Kind::DaemonSet) {
            let (verb, name) = (if paused { "pausing" } else { "resuming" }, &key.name);
            return Err(format!("error: {}s.apps \"{name}\" {verb} is not supported", kind.as_str().to_lowercase()));
        }
        let (id, deployment) = self.deployment(kind, key)?;
        if deployment.paused == paused {
            let already = if paused { "already paused" } else { "is not paused" };
            return Err(format!("error: {} {already}", resource(kind, &key.name)));
        }
        let changed = Deployment { paused, ..deployment.clone() };
        out.write(Component::Kubectl, Write::UpdateDeployment(id, Box::new(changed)));
        Ok(done(kind, &key.name, verb))
    }

    /// Upstream: kubectl/pkg/polymorphichelpers/rollback.go.
    fn rollout_undo(&self, kind: Kind, key: &ObjectKey, revision: Option<u64>, out: &mut Effects) -> Result<String, String> {
        match kind {
            Kind::StatefulSet => return self.undo_by_history::<StatefulSet>(key, revision, out),
            Kind::DaemonSet => return self.undo_by_history::<DaemonSet>(key, revision, out),
            _ => {}
        }
        let (id, deployment) = self.deployment(kind, key)?;
        if deployment.paused {
            return Err(format!(
                "error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume deployment/{}' and try again",
                key.name
            ));
        }
        let mut sets: Vec<&ReplicaSet> = self.store.replica_sets_of(deployment).into_iter().map(|(_, set)| set).collect();
        sets.sort_by_key(|set| std::cmp::Reverse(set.revision));
        let found = match revision.filter(|revision| *revision > 0) {
            Some(revision) => {
                let found = sets.iter().find(|set| set.revision == revision);
                found.ok_or_else(|| format!("error: unable to find specified revision {revision} in history"))?
            }
            None => sets.get(1).ok_or_else(|| format!("error: no rollout history found for deployment \"{}\"", key.name))?,
        };
        let mut template = (*found.template).clone();
        Arc::make_mut(&mut template.labels).remove(TEMPLATE_HASH);
        if template == *deployment.template {
            return Err(format!(
                "{} skipped rollback (current template already matches revision {})",
                resource(kind, &key.name),
                found.revision
            ));
        }
        let changed = Deployment { template: Arc::new(template), ..deployment.clone() };
        out.write(Component::Kubectl, Write::UpdateDeployment(id, Box::new(changed)));
        Ok(done(kind, &key.name, "rolled back"))
    }

    /// Upstream: the StatefulSetRollbacker and DaemonSetRollbacker of the same file.
    fn undo_by_history<T: Templated>(&self, key: &ObjectKey, revision: Option<u64>, out: &mut Effects) -> Result<String, String> {
        let set = self.templated::<T>(key)?;
        let history = History::of(set.meta(), &self.store);
        let revisions = history.revisions();
        let found = match revision.filter(|revision| *revision > 0) {
            Some(wanted) => {
                let found = revisions.iter().find(|one| one.revision == wanted);
                found.ok_or_else(|| format!("error: unable to find specified revision {wanted} in history"))?
            }
            None => revisions.iter().rev().nth(1).ok_or_else(|| "error: no last revision to roll back to".to_owned())?,
        };
        if found.template == *set.template() {
            let name = resource(T::KIND, &key.name);
            return Err(format!("{name} skipped rollback (current template already matches revision {})", found.revision));
        }
        out.write(Component::Kubectl, Write::Apply(set.with_template(found.template.clone()).into_any()));
        Ok(done(T::KIND, &key.name, "rolled back"))
    }

    fn templated<T: Templated>(&self, key: &ObjectKey) -> Result<&T, String> {
        let table = T::table(&self.store);
        table.find(key).and_then(|id| table.get(id)).ok_or_else(|| not_found(T::KIND, &key.name))
    }

    fn edit_templated<T: Templated>(
        &self,
        key: &ObjectKey,
        verb: &str,
        out: &mut Effects,
        edit: impl FnOnce(&mut PodTemplate) -> Result<(), String>,
    ) -> Result<String, String> {
        let set = self.templated::<T>(key)?;
        let mut template = (**set.template()).clone();
        edit(&mut template)?;
        out.write(Component::Kubectl, Write::Apply(set.with_template(Arc::new(template)).into_any()));
        Ok(done(T::KIND, &key.name, verb))
    }

    fn deployment(&self, kind: Kind, key: &ObjectKey) -> Result<(DeploymentId, &Deployment), String> {
        if kind != Kind::Deployment {
            return Err(not_simulated("rollout", kind));
        }
        let id = self.store.deployments.find(key);
        id.and_then(|id| Some((id, self.store.deployments.get(id)?))).ok_or_else(|| not_found(kind, &key.name))
    }

    fn edit_template(
        &self,
        kind: Kind,
        key: &ObjectKey,
        verb: &str,
        out: &mut Effects,
        edit: impl FnOnce(&mut PodTemplate) -> Result<(), String>,
    ) -> Result<String, String> {
        match kind {
            Kind::StatefulSet => return self.edit_templated::<StatefulSet>(key, verb, out, edit),
            Kind::DaemonSet => return self.edit_templated::<DaemonSet>(key, verb, out, edit),
            _ => {}
        }
        let (id, deployment) = self.deployment(kind, key)?;
        let mut template = (*deployment.template).clone();
        edit(&mut template)?;
        let changed = Deployment { template: Arc::new(template), ..deployment.clone() };
        out.write(Component::Kubectl, Write::UpdateDeployment(id, Box::new(changed)));
        Ok(done(kind, &key.name, verb))
    }

    // Nodes.

    fn node(&self, name: &Str) -> Result<NodeId, String> {
        self.store.node_by_name(name).map(|(id, _)| id).ok_or_else(|| not_found(Kind::Node, name))
    }

    fn kubectl_cordon(&self, name: &Str, cordoned: bool, out: &mut Effects) -> Result<String, String> {
        self.cordon(self.node(name)?, cordoned, out);
        Ok(done(Kind::Node, name, if cordoned { "cordoned" } else { "uncordoned" }))
    }

    fn kubectl_drain(&self, name: &Str, out: &mut Effects) -> Result<String, String> {
        let node = self.node(name)?;
        let count = self.moved_by_drain(node).len();
        out.write(Component::Kubectl, Write::Drain(node));
        Ok(format!("{}, evicting {count} pods", done(Kind::Node, name, "cordoned")))
    }

    fn kubectl_taint(&self, name: &Str, taint: &Taint, put_on: bool, out: &mut Effects) -> Result<String, String> {
        let node = self.node(name)?;
        let (add, remove) = if put_on { (vec![taint.clone()], Vec::new()) } else { (Vec::new(), vec![(taint.key.clone(), taint.effect)]) };
        out.write(Component::Kubectl, Write::PatchNode { node, add, remove, unschedulable: None });
        Ok(done(Kind::Node, name, if put_on { "tainted" } else { "untainted" }))
    }

    fn label_node(&self, name: &Str, changes: &Labels, out: &mut Effects) -> Result<String, String> {
        let id = self.node(name)?;
        let labels = self.store.nodes.get(id).map(|node| (*node.meta.labels).clone()).unwrap_or_default();
        out.write(Component::Kubectl, Write::NodeLabels(id, relabelled(labels, changes)));
        Ok(done(Kind::Node, name, "labeled"))
    }

    fn label_pods(&self, selector: &PodSelector, count: Option<u32>, changes: &Labels, out: &mut Effects) -> Result<String, String> {
        let wanted = |pod: &Pod| !pod.meta.is_deleting() && selects(selector, pod, &self.store);
        let mut pods: Vec<(PodId, &Pod)> = self.store.pods.iter().filter(|(_, pod)| wanted(pod)).collect();
        pods.sort_by_key(|(_, pod)| pod.meta.key());
        pods.truncate(count.map_or(usize::MAX, |count| count as usize));
        let mut said = Vec::new();
        for (id, pod) in pods {
            out.write(Component::Kubectl, Write::PodLabels(id, relabelled((*pod.meta.labels).clone(), changes)));
            said.push(done(Kind::Pod, &pod.meta.name, "labeled"));
        }
        if said.is_empty() { Err("No resources found".to_owned()) } else { Ok(said.join("\n")) }
    }

    // Apply.

    fn apply_objects(&self, objects: &Objects, out: &mut Effects) -> String {
        let mut said = Vec::new();
        let mut request = |kind: Kind, meta: &ObjectMeta, known: bool, write: Write| {
            out.write(Component::Kubectl, write);
            said.push(done(kind, &meta.name, if known { "configured" } else { "created" }));
        };
        macro_rules! apply {
            ($($list:ident),*) => { $(for object in &objects.$list {
                let (kind, known) = (kind_of(object), table_of(object, &self.store).find(&object.meta.key()).is_some());
                request(kind, &object.meta, known, Write::Apply(object.clone().into_any()));
            })* };
        }
        apply!(namespaces, priority_classes, storage_classes, csi_drivers, csi_nodes, csi_storage_capacities);
        for volume in objects.persistent_volumes.iter().filter(|volume| self.store.persistent_volumes.find(&volume.meta.key()).is_none()) {
            request(Kind::PersistentVolume, &volume.meta, false, Write::Apply(volume.clone().into_any()));
        }
        let claims = &self.store.persistent_volume_claims;
        for claim in objects.persistent_volume_claims.iter().filter(|claim| claims.find(&claim.meta.key()).is_none()) {
            request(Kind::PersistentVolumeClaim, &claim.meta, false, Write::Apply(claim.clone().into_any()));
        }
        apply!(pod_disruption_budgets, limit_ranges, network_policies, resource_quotas, services, stateful_sets);
        for node in objects.nodes.iter().filter(|node| self.store.node_by_name(&node.meta.name).is_none()) {
            request(Kind::Node, &node.meta, false, Write::CreateNode(Box::new(super::setup::static_node(node))));
        }
        for deployment in &objects.deployments {
            let known = self.store.deployments.find(&deployment.meta.key());
            request(
                Kind::Deployment,
                &deployment.meta,
                known.is_some(),
                match known {
                    Some(id) => Write::UpdateDeployment(id, Box::new(self.applied_deployment(id, deployment))),
                    None => Write::CreateDeployment(Box::new(deployment.clone())),
                },
            );
        }
        for set in &objects.replica_sets {
            let known = self.store.replica_sets.find(&set.meta.key());
            request(
                Kind::ReplicaSet,
                &set.meta,
                known.is_some(),
                match known {
                    Some(id) => Write::UpdateReplicaSet(id, Box::new(set.clone())),
                    None => Write::CreateReplicaSet(Box::new(set.clone())),
                },
            );
        }
        apply!(daemon_sets, jobs, cron_jobs);
        for pod in objects.pods.iter().filter(|pod| self.store.pods.find(&pod.meta.key()).is_none()) {
            request(Kind::Pod, &pod.meta, false, Write::CreatePod(Box::new(pod.clone())));
        }
        apply!(horizontal_pod_autoscalers, vertical_pod_autoscalers);
        let nodes = objects.nodes.iter().filter(|node| self.store.node_by_name(&node.meta.name).is_some());
        said.extend(nodes.map(|node| done(Kind::Node, &node.meta.name, "unchanged")));
        let pods = objects.pods.iter().filter(|pod| self.store.pods.find(&pod.meta.key()).is_some());
        said.extend(pods.map(|pod| done(Kind::Pod, &pod.meta.name, "unchanged")));
        let volumes = objects.persistent_volumes.iter().filter(|volume| self.store.persistent_volumes.find(&volume.meta.key()).is_some());
        said.extend(volumes.map(|volume| done(Kind::PersistentVolume, &volume.meta.name, "unchanged")));
        let known = objects.persistent_volume_claims.iter().filter(|claim| claims.find(&claim.meta.key()).is_some());
        said.extend(known.map(|claim| done(Kind::PersistentVolumeClaim, &claim.meta.name, "unchanged")));
        said.join("; ")
    }

    /// What controllers have written on a Deployment stays.
    fn applied_deployment(&self, id: DeploymentId, given: &Deployment) -> Deployment {
        let Some(stored) = self.store.deployments.get(id) else { return given.clone() };
        let mut annotations = (*stored.meta.annotations).clone();
        annotations.extend(given.meta.annotations.iter().map(|(key, value)| (key.clone(), value.clone())));
        let meta = ObjectMeta { annotations: Arc::new(annotations), ..given.meta.clone() };
        Deployment { meta, collision_count: stored.collision_count, ..given.clone() }
    }
}

/// Workloads whose template kubectl replaces, and whose old ones are ControllerRevisions.
trait Templated: Kept {
    fn template(&self) -> &Arc<PodTemplate>;
    fn with_template(&self, template: Arc<PodTemplate>) -> Self;
}

impl Templated for StatefulSet {
    fn template(&self) -> &Arc<PodTemplate> {
        &self.template
    }
    fn with_template(&self, template: Arc<PodTemplate>) -> Self {
        Self { template, ..self.clone() }
    }
}

impl Templated for DaemonSet {
    fn template(&self) -> &Arc<PodTemplate> {
        &self.template
    }
    fn with_template(&self, template: Arc<PodTemplate>) -> Self {
        Self { template, ..self.clone() }
    }
}

fn kind_of<T: Kept>(_: &T) -> Kind {
    T::KIND
}

fn table_of<'s, T: Kept>(_: &T, store: &'s Store) -> &'s Table<T> {
    T::table(store)
}

fn resource(kind: Kind, name: &str) -> String {
    let group = match kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => ".apps",
        Kind::HorizontalPodAutoscaler => ".autoscaling",
        Kind::Job | Kind::CronJob => ".batch",
        Kind::VerticalPodAutoscaler => ".autoscaling.k8s.io",
        Kind::PodDisruptionBudget => ".policy",
        Kind::PriorityClass => ".scheduling.k8s.io",
        Kind::StorageClass | Kind::CSINode | Kind::CSIDriver | Kind::CSIStorageCapacity => ".storage.k8s.io",
        _ => "",
    };
    format!("{}{group}/{name}", kind.as_str().to_lowercase())
}

fn done(kind: Kind, name: &str, verb: &str) -> String {
    format!("{} {verb}", resource(kind, name))
}

/// The labels as `kubectl label` leaves them.
fn relabelled(mut labels: Labels, changes: &Labels) -> Labels {
    for (key, value) in changes {
        if value.is_empty() {
            labels.remove(key);
        } else {
            labels.insert(key.clone(), value.clone());
        }
    }
    labels
}

fn not_found(kind: Kind, name: &str) -> String {
    let resource = resource(kind, "");
    let resource = resource.trim_end_matches('/').replacen(&kind.as_str().to_lowercase(), &format!("{}s", kind.as_str().to_lowercase()), 1);
    format!("Error from server (NotFound): {resource} \"{name}\" not found")
}

/// The command that makes this request, for saying that nobody answered it.
pub(super) fn command(write: &Write, store: &Store) -> String {
    let node_name = |node: &NodeId| store.nodes.get(*node).map(|node| node.meta.name.clone()).unwrap_or_default();
    let named = |verb: &str, kind: Kind, key: &ObjectKey| format!("kubectl {verb} {} {key}", kind.as_str().to_lowercase());
    match write {
        Write::PatchNode { node, unschedulable: Some(true), .. } => format!("kubectl cordon {}", node_name(node)),
        Write::PatchNode { node, unschedulable: Some(false), .. } => format!("kubectl uncordon {}", node_name(node)),
        Write::PatchNode { node, add, remove, .. } => {
            let put_on = add.iter().map(|taint| format!(" {}", taint_text(taint)));
            let taken_off = remove.iter().map(|(key, effect)| format!(" {key}:{}-", effect.as_str()));
            format!("kubectl taint node {}{}", node_name(node), put_on.chain(taken_off).collect::<String>())
        }
        Write::Drain(node) => format!("kubectl drain {}", node_name(node)),
        Write::NodeLabels(node, _) => format!("kubectl label node {}", node_name(node)),
        Write::DeletePod { pod, .. } => {
            let key = store.pods.get(*pod).map(|pod| pod.meta.key().to_string()).unwrap_or_default();
            format!("kubectl delete pod {key}")
        }
        Write::Delete(kind, key, _) => named("delete", *kind, key),
        Write::Scale(kind, key, _) => named("scale", *kind, key),
        Write::Create(object) | Write::Apply(object) => named("apply", object.kind(), &object.meta().key()),
        Write::CreateDeployment(deployment) | Write::UpdateDeployment(_, deployment) => {
            named("apply", Kind::Deployment, &deployment.meta.key())
        }
        _ => "kubectl".to_owned(),
    }
}

fn not_simulated(verb: &str, kind: Kind) -> String {
    format!("error: kubectl {verb} of a {kind} is not simulated")
}
