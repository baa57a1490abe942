//! DaemonSet controller: a pod on every node that its template fits.
//!
//! Reads: DaemonSets, ControllerRevisions, Nodes, Pods. Writes: pods created and deleted, ControllerRevisions,
//! DaemonSet status. Upstream: pkg/controller/daemon/{daemon_controller,update}.go and util/daemonset_util.go.
//!
//! Invariants:
//! - Pods are bound by the scheduler: each asks for one node by its name.
//! - Room on the node is not looked at; a pod that does not fit stays Pending.
//! - A sync that makes or deletes pods does not also roll an update on.
//! - Nodes are taken in order of their names where upstream goes through a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    ConditionStatus, DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy, Kind, Node, NodeAffinity, NodeSelectorTerm, ObjectMeta, Operator,
    Pod, PodPhase, PodSpec, PodStatus, PodTemplate, Requirement, SimDuration, SimTime, Str, Taint, TaintEffect, Toleration,
    TolerationOperator,
};

use super::claim::{Claim, heirs, takes};
use super::history::History;
use super::pod_control::controller_of;
use super::replica_set::counts_differently;
use super::stateful_set::REVISION_LABEL;
use super::{View, object_name, owning};
use crate::effects::{Component, Effects, Write};
use crate::objects::{Kept, Part};
use crate::store::{Change, DaemonSetId, PodId};

const BY: Component = Component::DaemonSet;
/// Most pods made, and most deleted, in one sync. Upstream: BurstReplicas.
const BURST: usize = 250;
/// Which template a pod was made of, in the words of extensions/v1beta1.
const GENERATION_LABEL: &str = "pod-template-generation";
/// Back-off of failed pods on a node. Upstream: cmd/kube-controller-manager/app/apps.go.
const BACKOFF: (SimDuration, SimDuration) = (SimDuration::from_secs(1), SimDuration::from_secs(900));

/// Which DaemonSets a change wakes.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(DaemonSetId)) {
    let store = view.store;
    let owner = |pod: &Pod| owning::<DaemonSet>(store, &pod.meta);
    let woken = match change {
        Change::Object(Kind::DaemonSet, number) => Some(DaemonSetId::new(*number)),
        Change::PodAdded(id) => store.pods.get(*id).and_then(owner),
        Change::PodModified(id, before) => store.pods.get(*id).filter(|pod| counts_differently(pod, *before)).and_then(owner),
        Change::PodDeleted(_, gone) => owner(gone),
        Change::NodeAdded(id) | Change::NodeModified(id) => {
            if let Some(node) = store.nodes.get(*id) {
                store.daemon_sets.iter().filter(|(_, set)| concerns(node, set, view)).for_each(|(id, _)| queue(id));
            }
            None
        }
        _ => None,
    };
    if let Some(id) = woken {
        queue(id);
    }
    heirs::<DaemonSet>(change, view, |set, labels| takes(&set.selector, labels), queue);
}

/// A pod that has become ready may be available later, a second after the time it needs.
pub(crate) fn interested_later(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(DaemonSetId, SimTime)) {
    let Change::PodModified(id, before) = change else { return };
    let Some(pod) = view.store.pods.get(*id).filter(|pod| pod.is_ready() && !before.ready) else { return };
    let set = owning::<DaemonSet>(view.store, &pod.meta).and_then(|id| Some((id, view.store.daemon_sets.get(id)?)));
    if let Some((id, set)) = set.filter(|(_, set)| !set.min_ready.is_zero()) {
        queue(id, view.now + set.min_ready + SimDuration::from_secs(1));
    }
}

/// Whether a node that is new or has changed is work for a DaemonSet.
fn concerns(node: &Node, set: &DaemonSet, view: &View<'_>) -> bool {
    let has_pod = view.store.pods_on(&node.meta.name).any(|(_, pod)| pod.meta.controller().is_some_and(|owner| owner.uid == set.meta.uid));
    let Fit { runs, stays } = fit(node, &daemon_spec(&set.template));
    if has_pod { !stays || set.status.number_misscheduled > 0 } else { runs }
}

/// One reconciliation.
pub(crate) fn sync(id: DaemonSetId, view: &View<'_>, out: &mut Effects) {
    let Some(set) = view.store.daemon_sets.get(id).filter(|set| !set.meta.is_deleting()) else { return };
    let claim = Claim { by: BY, kind: Kind::DaemonSet, owner: &set.meta, selector: &set.selector, finalizer: None };
    let history = History::claimed(&claim, view.store, out);
    let pods = claim.claim(Kind::Pod, &view.store.pods, |_| true, |_| true, out);
    let (update, collision_count) = history.ensure((Kind::DaemonSet, &set.meta), &set.template, set.status.collision_count, BY, view, out);
    let hash: Str = update.name.strip_prefix(&*set.meta.name).map_or("", |rest| rest.trim_start_matches('-')).into();
    let mut look = Look::new(set, hash, pods, view);
    look.manage(out);
    if look.make.is_empty() && look.delete.is_empty() {
        look.roll();
    }
    look.write_pods(out);
    let status = DaemonSetStatus { collision_count, ..look.status() };
    if !set.min_ready.is_zero() && status.number_ready != status.number_available {
        out.resync_at(view.now + set.min_ready);
    }
    if status != set.status {
        let said = Write::Update(DaemonSet { status, ..set.clone() }.into_any(), Part::NextStatus);
        out.finally(BY, Some(said.clone()), Some(said));
    }
    let live = |name: &Str| *name == update.name || look.pods().any(|(_, pod)| name.ends_with(look.hash_of(pod)));
    history.truncate(set.revision_history_limit, live, BY, out);
}

/// Whether a node should run a pod, and whether it may keep one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fit {
    pub(crate) runs: bool,
    pub(crate) stays: bool,
}

/// Whether pods of `spec` belong on a node. Upstream: NodeShouldRunDaemonPod.
pub(crate) fn fit(node: &Node, spec: &PodSpec) -> Fit {
    let (name, labels) = (&node.meta.name, &node.meta.labels);
    let selected = spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec.affinity.node.as_ref().and_then(|affinity| affinity.required.as_ref());
    if !selected || required.is_some_and(|terms| !terms.iter().any(|term| term.matches(name, labels))) {
        return Fit { runs: false, stays: false };
    }
    let tolerated = |taint: &Taint| spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, false));
    let fits = |effects: &[TaintEffect]| node.spec.taints.iter().filter(|taint| effects.contains(&taint.effect)).all(tolerated);
    Fit { runs: fits(&[TaintEffect::NoExecute, TaintEffect::NoSchedule]), stays: fits(&[TaintEffect::NoExecute]) }
}

/// The template's spec with what every daemon pod tolerates. Upstream: AddOrUpdateDaemonPodTolerations.
pub(crate) fn daemon_spec(template: &PodTemplate) -> PodSpec {
    let mut spec = (*template.spec).clone();
    let network = spec.host_network.then_some(("network-unavailable", TaintEffect::NoSchedule));
    let tolerated = [
        ("not-ready", TaintEffect::NoExecute),
        ("unreachable", TaintEffect::NoExecute),
        ("disk-pressure", TaintEffect::NoSchedule),
        ("memory-pressure", TaintEffect::NoSchedule),
        ("pid-pressure", TaintEffect::NoSchedule),
        ("unschedulable", TaintEffect::NoSchedule),
    ];
    for (name, effect) in tolerated.into_iter().chain(network) {
        let wanted = Toleration {
            key: format!("node.kubernetes.io/{name}").into(),
            operator: TolerationOperator::Exists,
            effect: Some(effect),
            ..Toleration::default()
        };
        let is_same = |known: &&mut Toleration| {
            (&known.key, known.operator, &known.value, known.effect) == (&wanted.key, wanted.operator, &wanted.value, wanted.effect)
        };
        match spec.tolerations.iter_mut().find(is_same) {
            Some(known) => *known = wanted,
            None => spec.tolerations.push(wanted),
        }
    }
    spec
}

/// The node that a daemon pod is on, or asks for.
fn target(pod: &Pod) -> Option<&Str> {
    let named = || {
        let terms = pod.spec.affinity.node.as_ref()?.required.as_ref()?;
        let fields = terms.iter().flat_map(|term| &term.match_fields);
        fields.filter(|field| &*field.key == "metadata.name").find_map(|field| field.values.first())
    };
    pod.node_name.as_ref().or_else(named)
}

/// Asks for one node by name instead of whatever nodes were required before.
fn aimed_at(spec: &PodSpec, node: &Str) -> PodSpec {
    let name = Requirement { key: "metadata.name".into(), operator: Operator::In, values: vec![node.clone()] };
    let term = NodeSelectorTerm { match_fields: vec![name], ..NodeSelectorTerm::default() };
    let mut spec = spec.clone();
    spec.affinity.node.get_or_insert_with(NodeAffinity::default).required = Some(vec![term]);
    spec
}

/// The generation of the template. Upstream: util.GetTemplateGeneration.
fn generation(set: &DaemonSet) -> Str {
    (set.template_changes + 1).to_string().into()
}

/// One look at a DaemonSet.
struct Look<'a> {
    set: &'a DaemonSet,
    view: &'a View<'a>,
    hash: Str,
    spec: PodSpec,
    nodes: BTreeMap<&'a Str, (&'a Node, Fit)>,
    /// Its pods by node, but for those that are deleted and have ended; the oldest first.
    by_node: BTreeMap<&'a Str, Vec<(PodId, &'a Pod)>>,
    failed_pods: BTreeMap<Str, (SimDuration, SimTime)>,
    make: Vec<Str>,
    delete: Vec<(PodId, &'a Pod)>,
}

impl<'a> Look<'a> {
    fn new(set: &'a DaemonSet, hash: Str, pods: Vec<(PodId, &'a Pod)>, view: &'a View<'a>) -> Self {
        let spec = daemon_spec(&set.template);
        let nodes = view.store.nodes.iter().map(|(_, node)| (&node.meta.name, (node, fit(node, &spec)))).collect();
        let mut by_node: BTreeMap<&Str, Vec<(PodId, &Pod)>> = BTreeMap::new();
        for (id, pod) in pods {
            if let Some(node) = target(pod).filter(|_| !(pod.meta.is_deleting() && pod.status.phase.is_terminal())) {
                by_node.entry(node).or_default().push((id, pod));
            }
        }
        for pods in by_node.values_mut() {
            pods.sort_by_key(|(_, pod)| (pod.node_name.is_none(), pod.meta.creation.as_secs(), pod.meta.name.clone()));
        }
        let failed_pods = set.status.failed_pods.clone();
        Self { set, view, hash, spec, nodes, by_node, failed_pods, make: Vec::new(), delete: Vec::new() }
    }

    fn pods(&self) -> impl Iterator<Item = (PodId, &'a Pod)> + use<'a> {
        self.view.store.pods_of(self.set.meta.uid)
    }

    fn hash_of<'p>(&self, pod: &'p Pod) -> &'p str {
        pod.meta.labels.get(REVISION_LABEL).map_or("-", |hash| hash)
    }

    fn is_new(&self, pod: &Pod) -> bool {
        self.hash_of(pod) == &*self.hash || pod.meta.labels.get(GENERATION_LABEL) == Some(&generation(self.set))
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pod.is_available(self.set.min_ready, self.view.now)
    }

    fn limits(&self, desired: i32) -> (usize, usize) {
        let DaemonSetUpdateStrategy::RollingUpdate { max_surge, max_unavailable } = self.set.update_strategy else { return (0, 0) };
        let count = |amount: api::IntOrPercent| usize::try_from(amount.scaled_up(desired)).unwrap_or(0);
        match (count(max_surge), count(max_unavailable)) {
            (0, 0) if desired > 0 => (0, 1),
            limits => limits,
        }
    }

    fn allows_surge(&self) -> bool {
        self.limits(1).0 > 0
    }

    // Which nodes have too few pods, or too many.

    fn manage(&mut self, out: &mut Effects) {
        let nodes: Vec<(&Str, Fit)> = self.nodes.iter().map(|(name, (_, fit))| (*name, *fit)).collect();
        for (name, Fit { runs, stays }) in nodes {
            let pods = self.by_node.get(name).cloned();
            match pods {
                None if runs => self.make.push(name.clone()),
                None => {}
                Some(pods) if stays => self.tidy(name, runs, pods, out),
                Some(pods) => self.delete.extend(pods.into_iter().filter(|(_, pod)| !pod.meta.is_deleting())),
            }
        }
        // No scheduler will ever bind them, and PodGC looks at bound pods only.
        let lost = self.by_node.iter().filter(|(node, _)| !self.nodes.contains_key(*node)).flat_map(|(_, pods)| pods.clone());
        self.delete.extend(lost.filter(|(_, pod)| pod.node_name.is_none()));
    }

    /// Removes pods that have ended and all but the one that counts, or the two of a surge.
    fn tidy(&mut self, node: &Str, runs: bool, pods: Vec<(PodId, &'a Pod)>, out: &mut Effects) {
        let mut running = Vec::new();
        for (id, pod) in pods.into_iter().filter(|(_, pod)| !pod.meta.is_deleting()) {
            match pod.status.phase {
                PodPhase::Failed if self.is_backed_off(node, out) => {}
                PodPhase::Failed => self.delete_ended((id, pod), node, ("failed", "FailedDaemonPod", "kill"), out),
                PodPhase::Succeeded => self.delete_ended((id, pod), node, ("succeeded", "SucceededDaemonPod", "delete"), out),
                _ => running.push((id, pod)),
            }
        }
        if !self.allows_surge() {
            self.delete.extend(running.into_iter().skip(1));
            return;
        }
        if running.is_empty() && runs {
            self.make.push(node.clone());
        }
        if running.len() <= 1 {
            return;
        }
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|(_, pod)| self.is_new(pod));
        self.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).copied());
        if let (Some((_, new)), Some((id, old))) = (new.first(), old.first())
            && (!old.is_ready() || self.is_available(new))
        {
            self.delete.push((*id, old));
        }
    }

    /// Whether a failed pod of this node stays a while; the wait doubles each time one is replaced.
    fn is_backed_off(&mut self, node: &Str, out: &mut Effects) -> bool {
        let now = self.view.now;
        let known = self.failed_pods.get(node).copied().filter(|(_, since)| now.since(*since) <= BACKOFF.1.times(2));
        if let Some((wait, since)) = known
            && now.since(since) < wait
        {
            out.resync_at(now + wait);
            return true;
        }
        let wait = known.map_or(BACKOFF.0, |(wait, _)| wait.times(2).min(BACKOFF.1));
        self.failed_pods.insert(node.clone(), (wait, now));
        false
    }

    fn delete_ended(&mut self, (id, pod): (PodId, &'a Pod), node: &Str, (how, reason, verb): (&str, &str, &str), out: &mut Effects) {
        let message = format!("Found {how} daemon pod {} on node {node}, will try to {verb} it", pod.meta.key());
        out.event(BY, how == "failed", reason, object_name(Kind::DaemonSet.as_str(), &self.set.meta), message);
        self.delete.push((id, pod));
    }

    // Rolling update.

    fn roll(&mut self) {
        if self.set.update_strategy == DaemonSetUpdateStrategy::OnDelete {
            return;
        }
        let desired = self.nodes.values().filter(|(_, fit)| fit.runs).count();
        let (max_surge, max_unavailable) = self.limits(desired as i32);
        let mut places: BTreeMap<&Str, Vec<(PodId, &Pod)>> = self.by_node.clone();
        for (name, _) in self.nodes.iter().filter(|(_, (_, fit))| fit.runs) {
            places.entry(name).or_default();
        }
        let places: Vec<Place<'a>> = places.into_iter().map(|(node, pods)| self.place(node, &pods)).collect();
        if max_surge == 0 { self.replace(&places, max_unavailable) } else { self.surge(&places, max_surge, desired) }
    }

    /// The new and the old pod of a node; `None` when there are several of either.
    fn place(&self, node: &'a Str, pods: &[(PodId, &'a Pod)]) -> Place<'a> {
        let living = || pods.iter().filter(|(_, pod)| !pod.meta.is_deleting()).copied();
        let (new, old): (Vec<_>, Vec<_>) = living().partition(|(_, pod)| self.is_new(pod));
        let is_clear = new.len() <= 1 && old.len() <= 1;
        Place { node, pods: is_clear.then(|| (new.first().copied(), old.first().copied())) }
    }

    /// Deletes old pods as long as few enough nodes are without an available one.
    fn replace(&mut self, places: &[Place<'a>], max_unavailable: usize) {
        let (mut unavailable, mut candidates) = (0, Vec::new());
        for place in places {
            match place.pods {
                None | Some((None, None) | (Some(_), Some(_))) => unavailable += 1,
                Some((Some((_, new)), None)) => unavailable += usize::from(!self.is_available(new)),
                Some((None, Some(old))) if !self.is_available(old.1) => {
                    self.delete.push(old);
                    unavailable += 1;
                }
                Some((None, Some(old))) if unavailable < max_unavailable => candidates.push(old),
                Some((None, Some(_))) => {}
            }
        }
        self.delete.extend(candidates.into_iter().take(max_unavailable.saturating_sub(unavailable)));
    }

    /// Makes new pods beside old ones, and deletes the old ones when the new ones are available.
    fn surge(&mut self, places: &[Place<'a>], max_surge: usize, desired: usize) {
        let (mut surging, mut available) = (0, 0);
        let (mut candidates, mut sunset) = (Vec::new(), Vec::new());
        for Place { node, pods } in places {
            let Some((new, old)) = *pods else {
                surging += 1;
                continue;
            };
            available += usize::from(old.or(new).is_some_and(|(_, pod)| self.is_available(pod)));
            let Some(old) = old else { continue };
            let runs = self.nodes.get(*node).is_some_and(|(_, fit)| fit.runs);
            match new {
                Some((_, new)) if self.is_available(new) => self.delete.push(old),
                Some(_) => surging += 1,
                None if !self.is_available(old.1) && !runs => self.delete.push(old),
                None if !self.is_available(old.1) => self.make.push((*node).clone()),
                None if !runs => sunset.push(old),
                None if surging < max_surge => candidates.push((*node).clone()),
                None => {}
            }
        }
        self.delete.extend(sunset.into_iter().take(available.saturating_sub(desired)));
        self.make.extend(candidates.into_iter().take(max_surge.saturating_sub(surging)));
    }

    // What comes of it.

    fn write_pods(&self, out: &mut Effects) {
        let set = self.set;
        let mut labels = (*set.template.labels).clone();
        labels.insert(REVISION_LABEL.into(), self.hash.clone());
        labels.insert(GENERATION_LABEL.into(), generation(set));
        let meta = ObjectMeta {
            namespace: set.meta.namespace.clone(),
            name: format!("{}-", set.meta.name).into(), // The API server completes it.
            labels: Arc::new(labels),
            annotations: set.template.annotations.clone(),
            owners: vec![controller_of(Kind::DaemonSet.as_str(), &set.meta)],
            ..ObjectMeta::default()
        };
        let about = || object_name(Kind::DaemonSet.as_str(), &set.meta);
        for (place, node) in self.make.iter().take(BURST).enumerate() {
            if (place + 1).is_power_of_two() {
                out.then();
            }
            let spec = Arc::new(aimed_at(&self.spec, node));
            let pod = Pod { meta: meta.clone(), spec, node_name: None, status: PodStatus::default() };
            let said = ("SuccessfulCreate", about(), "Created pod: {name}".to_owned());
            out.announce_with(BY, Write::CreatePod(Box::new(pod)), said, Some(("FailedCreate", "Error creating: ")));
        }
        if !self.delete.is_empty() {
            out.then();
        }
        for (pod, object) in self.delete.iter().take(BURST) {
            let write = Write::DeletePod { pod: *pod, grace: None, by: BY };
            out.announce(BY, write, "SuccessfulDelete", about(), format!("Deleted pod: {}", object.meta.name));
        }
    }

    fn status(&self) -> DaemonSetStatus {
        let mut status = DaemonSetStatus {
            observed_generation: self.set.meta.generation,
            failed_pods: self.failed_pods.clone(),
            ..DaemonSetStatus::default()
        };
        for (name, (_, fit)) in &self.nodes {
            let oldest = self.by_node.get(*name).and_then(|pods| pods.first());
            status.number_misscheduled += i32::from(!fit.runs && oldest.is_some());
            status.desired_number_scheduled += i32::from(fit.runs);
            // Upstream looks again after it has made pods, and nearly always sees them.
            let is_made = oldest.is_none() && self.make.iter().take(BURST).any(|made| made == *name);
            status.current_number_scheduled += i32::from(is_made);
            status.updated_number_scheduled += i32::from(is_made);
            if let Some((_, pod)) = oldest.filter(|_| fit.runs) {
                status.current_number_scheduled += 1;
                status.number_ready += i32::from(pod.status.conditions.ready.status == ConditionStatus::True);
                status.number_available += i32::from(self.is_available(pod));
                status.updated_number_scheduled += i32::from(self.is_new(pod));
            }
        }
        status.number_unavailable = status.desired_number_scheduled - status.number_available;
        status
    }
}

type Found<'a> = (PodId, &'a Pod);

/// A node with the pods of an update.
struct Place<'a> {
    node: &'a Str,
    /// The new and the old one; `None` when there are several of either.
    pods: Option<(Option<Found<'a>>, Option<Found<'a>>)>,
}
