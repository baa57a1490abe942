//! What must be so once nothing has gone wrong for long, worked out from the scenario and the objects alone: the
//! engine's own ways of counting, selecting and ranking are not asked.
//!
//! What counts as a reason, and when it is true:
//! - a pod waits for a node: an event says so, and a scheduler that is asked afresh finds no node for it either;
//! - a pod is not ready: the scenario says that its image cannot be pulled, that it crashes, or never gets ready;
//! - pods are missing: an event says that the quota refused them, and it is used up;
//! - a Job has not ended: it is suspended, or it has failed and failed often enough;
//! - a Deployment has old pods: it is paused, or one of the new ones has a reason.
//!
//! Everything else is a workload that was forgotten. Each finding begins with what it is about, so that those
//! made one look after the other can be matched.

use std::collections::BTreeMap;

use api::{
    ContainerState, Deployment, DeploymentStrategy, IntOrPercent, Job, JobConditionType, Kind, Node, ObjectMeta, Pod, SimDuration, SimTime,
    Str, Uid,
};
use port::Scheduler;
use trace::Record;

use super::super::Run;
use super::case::{BROKEN_IMAGE, BROKEN_TAINT, Case, Fate, HPA_TARGET_PERCENT, NODE_CPU_MILLIS};
use super::kubectl::{Mark, Operators};
use crate::objects::{AnyObject, Kept, with_kind};
use crate::store::Store;

/// The longest wait of a work queue, and something to be heard.
const LONGEST_RETRY: SimDuration = SimDuration::from_secs(1010);
/// A Job of the CronJob takes no longer, and neither does a container's start.
const SOON: SimDuration = SimDuration::from_secs(180);

/// What is wrong: about what, and how.
pub(super) type Findings = BTreeMap<String, String>;

/// One look at a run.
struct Look<'a> {
    case: &'a Case,
    run: &'a Run,
    store: &'a Store,
    now: SimTime,
    found: Findings,
}

/// Everything that is wrong at present.
pub(super) fn findings(case: &Case, run: &Run, fresh: &mut dyn Scheduler) -> Findings {
    let store = &run.world.store;
    let mut look = Look { case, run, store, now: run.world.now(), found: Findings::new() };
    if let Err(bug) = run.world.check() {
        look.say("laws".into(), bug.to_string());
    }
    if let Err(bug) = run.world.check_queue(fresh) {
        look.say("queue".into(), bug.to_string());
    }
    look.deployments();
    look.replica_sets();
    look.stateful_sets();
    look.daemon_sets();
    look.jobs();
    look.cron_jobs();
    look.autoscalers();
    look.pods();
    look.nodes();
    look.drains();
    look.services();
    look.quotas();
    look.budgets();
    look.leftovers();
    look.found
}

/// How far a workload is: pods it wants, and why it may have fewer.
struct Wanted<'a> {
    kind: &'static str,
    meta: &'a ObjectMeta,
    pods: Vec<&'a Pod>,
    /// `Kind/namespace/name` (or its beginning) of whoever makes its pods.
    creator: String,
    complete: bool,
    status: String,
}

impl<'a> Look<'a> {
    fn say(&mut self, about: String, what: String) {
        self.found.insert(about, what);
    }

    fn events<'s>(&'s self, object: &'s str, reason: &'s str) -> impl Iterator<Item = (SimTime, &'s str)> {
        self.run.records.iter().filter_map(move |(at, record)| match record {
            Record::Event { object: about, reason: of, message, .. } if about.starts_with(object) && &**of == reason => {
                Some((*at, &**message))
            }
            _ => None,
        })
    }

    fn fate(&self, app: &str) -> Fate {
        let place: Option<usize> = app.get(1..).and_then(|number| number.parse().ok());
        let deployment = place.filter(|_| app.starts_with('d')).and_then(|place| self.case.deployments.get(place)).map(|it| it.fate);
        let set = place.filter(|_| app.starts_with('s')).and_then(|place| self.case.stateful_sets.get(place)).map(|it| it.fate);
        deployment.or(set).unwrap_or_default()
    }

    /// Why a pod is not ready, if the trace or its status says it and it is so.
    fn reason(&self, pod: &Pod) -> Option<&'static str> {
        if pod.node_name.is_none() {
            let said = self.events(&format!("Pod/{}", pod.meta.key()), "FailedScheduling").next().is_some();
            return said.then_some("no node takes it"); // Asked afresh in `check_queue`.
        }
        let fate = self.fate(app(&pod.meta));
        let container = pod.status.containers.first()?;
        let waits = |reasons: &[&str]| matches!(container.state, ContainerState::Waiting { reason } if reasons.contains(&reason));
        let has_run = container.restart_count > 0 || matches!(container.state, ContainerState::Terminated { .. });
        let image = &pod.spec.containers.first()?.image;
        if &**image == BROKEN_IMAGE && waits(&["ErrImagePull", "ImagePullBackOff"]) {
            Some("its image cannot be pulled")
        } else if matches!(fate, Fate::Crashes | Fate::OutOfMemory) && has_run {
            Some("it crashes")
        } else if fate == Fate::NeverReady && matches!(container.state, ContainerState::Running { .. }) && !container.ready {
            Some("it never gets ready")
        } else {
            None
        }
    }

    /// Whether pods are missing because the quota says so.
    fn quota_refuses(&self, creator: &str) -> bool {
        let used = self.store.pods.iter().filter(|(_, pod)| !pod.status.phase.is_terminal()).count() as i64;
        let is_full = self.store.resource_quotas.iter().any(|(_, quota)| quota.hard.get("pods").is_some_and(|most| used >= *most));
        let last = self.events(creator, "FailedCreate").map(|(at, _)| at).max();
        // While others come and go, there may be room that it has not heard of: it tries again by itself.
        last.is_some_and(|at| is_full || (self.is_in_flux() && self.now.since(at) < LONGEST_RETRY))
    }

    /// Whether pods come and go all the time.
    const fn is_in_flux(&self) -> bool {
        self.case.cron.is_some()
    }

    fn explain(&mut self, wanted: Wanted<'_>) {
        let about = format!("{} {}", wanted.kind, wanted.meta.name);
        let mut has_reason = false;
        for pod in &wanted.pods {
            let reason = self.reason(pod);
            has_reason |= reason.is_some();
            if !pod.is_ready() && reason.is_none() {
                let status = format!("{:?} on {:?}, {:?}", pod.status.phase, pod.node_name, pod.status.containers.first());
                self.say(format!("pod {} of {about}", pod.meta.name), format!("is not ready, and nothing says why: {status}"));
            }
        }
        if !wanted.complete && !has_reason && !self.quota_refuses(&wanted.creator) {
            self.say(about, format!("is not complete, and nothing says why: {}", wanted.status));
        }
    }

    fn active_pods_of(&self, owner: Uid) -> Vec<&'a Pod> {
        let all = self.store.pods.iter().map(|(_, pod)| pod).filter(|pod| pod.is_active());
        all.filter(|pod| pod.meta.controller().is_some_and(|it| it.uid == owner)).collect()
    }

    fn deployments(&mut self) {
        let store = self.store;
        for (_, object) in store.deployments.iter().filter(|(_, object)| !object.meta.is_deleting()) {
            let (status, want) = (&object.status, object.replicas);
            let complete = if object.paused {
                // A rollout that was paused on its way stays where it is.
                bounds(object).contains(&status.replicas) && [status.ready, status.available] == [status.replicas; 2]
            } else {
                [status.replicas, status.updated, status.ready, status.available] == [want; 4]
            };
            let sets = store.replica_sets.iter().filter(|(_, set)| set.meta.controller().is_some_and(|owner| owner.uid == object.meta.uid));
            let pods = sets.flat_map(|(_, set)| self.active_pods_of(set.meta.uid)).collect();
            self.late(object, complete);
            let creator = format!("ReplicaSet/default/{}-", object.meta.name);
            let status = format!("{want} wanted: {status:?}");
            self.explain(Wanted { kind: "Deployment", meta: &object.meta, pods, creator, complete, status });
        }
    }

    /// A rollout that stands still for longer than its deadline is said to.
    fn late(&mut self, object: &Deployment, complete: bool) {
        let Some(progressing) = &object.status.progressing else { return };
        let flaps = matches!(self.fate(&object.meta.name), Fate::Crashes | Fate::OutOfMemory) || object.paused || complete;
        let is_open = !matches!(&*progressing.reason, "NewReplicaSetAvailable" | "ProgressDeadlineExceeded" | "DeploymentPaused");
        let waited = self.now.since(progressing.updated);
        if !flaps && is_open && waited > object.progress_deadline + SOON {
            let what = format!("has made no progress for {waited}, and says {progressing:?}");
            self.say(format!("deadline of Deployment {}", object.meta.name), what);
        }
    }

    /// Those without an owner.
    fn replica_sets(&mut self) {
        let store = self.store;
        for (_, object) in store.replica_sets.iter().filter(|(_, it)| it.meta.controller().is_none() && !it.meta.is_deleting()) {
            let (status, want) = (&object.status, object.replicas);
            let complete = [status.replicas, status.ready, status.available] == [want; 3];
            let pods = self.active_pods_of(object.meta.uid);
            let creator = format!("ReplicaSet/{}", object.meta.key());
            let status = format!("{want} wanted: {status:?}");
            self.explain(Wanted { kind: "ReplicaSet", meta: &object.meta, pods, creator, complete, status });
        }
    }

    fn stateful_sets(&mut self) {
        let store = self.store;
        for (_, object) in store.stateful_sets.iter().filter(|(_, object)| !object.meta.is_deleting()) {
            let (status, want) = (&object.status, object.replicas);
            let complete = [status.replicas, status.updated, status.ready, status.available] == [want; 4];
            let pods = self.active_pods_of(object.meta.uid);
            let creator = format!("StatefulSet/{}", object.meta.key());
            let status = format!("{want} wanted: {status:?}");
            self.explain(Wanted { kind: "StatefulSet", meta: &object.meta, pods, creator, complete, status });
        }
    }

    fn daemon_sets(&mut self) {
        let store = self.store;
        for (_, object) in store.daemon_sets.iter().filter(|(_, object)| !object.meta.is_deleting()) {
            let want = store.nodes.iter().filter(|(_, node)| !has_taint(node, BROKEN_TAINT)).count() as i32;
            let status = &object.status;
            let counts = [status.desired_number_scheduled, status.updated_number_scheduled, status.number_ready, status.number_available];
            let pods = self.active_pods_of(object.meta.uid);
            let creator = format!("DaemonSet/{}", object.meta.key());
            let (complete, status) = (counts == [want; 4], format!("{want} wanted: {status:?}"));
            self.explain(Wanted { kind: "DaemonSet", meta: &object.meta, pods, creator, complete, status });
        }
    }

    fn jobs(&mut self) {
        let store = self.store;
        for (_, object) in store.jobs.iter().filter(|(_, object)| !object.meta.is_deleting()) {
            let about = format!("Job {}", object.meta.name);
            let (status, spec) = (&object.status, &object.spec);
            if let Some(failure) = status.true_condition(JobConditionType::Failed) {
                if failure.reason.is_empty() || (&*failure.reason == "BackoffLimitExceeded" && status.failed <= spec.backoff_limit) {
                    self.say(about, format!("is said to have failed for no reason: {status:?}"));
                }
                continue;
            }
            if status.finished().is_some() {
                if status.succeeded < object.desired() {
                    self.say(about, format!("is said to be complete and is not: {status:?}"));
                }
                continue;
            }
            if !self.is_young(object) {
                let pods = self.active_pods_of(object.meta.uid);
                let creator = format!("Job/{}", object.meta.key());
                let status = format!("{status:?}");
                self.explain(Wanted { kind: "Job", meta: &object.meta, pods, creator, complete: spec.suspend, status });
            }
        }
    }

    /// A Job of a CronJob that may still be at work.
    fn is_young(&self, object: &Job) -> bool {
        object.meta.controller().is_some() && self.now.since(object.meta.creation) < SOON
    }

    fn cron_jobs(&mut self) {
        let store = self.store;
        for (_, object) in store.cron_jobs.iter().filter(|(_, object)| !object.meta.is_deleting() && !object.suspend) {
            let waits = object.concurrency == api::ConcurrencyPolicy::Forbid && !object.status.active.is_empty();
            let last = object.status.last_schedule_time;
            if !waits && last.is_none_or(|at| self.now.since(at) > SimDuration::from_secs(70)) {
                self.say(format!("CronJob {}", object.meta.name), format!("has not run for more than a minute: {:?}", object.status));
            }
        }
    }

    /// Utilization in whole percent against the target, as the documentation of the HorizontalPodAutoscaler has it.
    fn autoscalers(&mut self) {
        let store = self.store;
        for (_, hpa) in store.hpas.iter() {
            let Some(place) = hpa.target_name.get(1..).and_then(|place| place.parse::<usize>().ok()) else { continue };
            let Some((_, load)) = self.case.deployments[place].autoscaled else { continue };
            let deployment =
                store.deployments.iter().map(|(_, it)| it).find(|it| it.meta.name == hpa.target_name && !it.meta.is_deleting());
            let Some(deployment) = deployment.filter(|it| it.replicas > 0 && !it.paused) else { continue };
            let (replicas, status) = (deployment.replicas, &deployment.status);
            if [status.replicas, status.ready] != [replicas; 2] || self.fate(&hpa.target_name) != Fate::Well {
                continue;
            }
            let requested = i64::from(replicas) * self.case.deployments[place].cpu_millis;
            // Each pod's part is rounded up to a whole millicore (Quantity.MilliValue).
            let used = (load + i64::from(replicas) - 1) / i64::from(replicas) * i64::from(replicas);
            let ratio = (100 * used / requested) as f64 / f64::from(HPA_TARGET_PERCENT);
            let (at_most, at_least) = (replicas == hpa.max_replicas, replicas == hpa.min_replicas);
            let is_bounded = (hpa.min_replicas..=hpa.max_replicas).contains(&replicas);
            let settled = (ratio - 1.0).abs() < 0.125 || (ratio > 1.0 && at_most) || (ratio < 1.0 && at_least);
            let rounds_to_itself = (ratio * f64::from(replicas)).ceil() as i32 == replicas;
            if !is_bounded || !(settled || rounds_to_itself) {
                let what = format!("{replicas} replicas of {}..={}, {ratio} of the target: {hpa:?}", hpa.min_replicas, hpa.max_replicas);
                self.say(format!("HorizontalPodAutoscaler {}", hpa.meta.name), what);
            }
        }
    }

    /// Pods that the cluster autoscaler should have made room for, and pods that do not go.
    fn pods(&mut self) {
        let store = self.store;
        let elastic = store.nodes.iter().filter(|(_, node)| node.meta.name.starts_with("elastic-")).count() as u32;
        let has_more = self.case.elastic.is_some_and(|most| elastic < most);
        let daemon_cpu_millis = if store.daemon_sets.len() > 0 { self.case.daemon_cpu_millis.unwrap_or(0) } else { 0 };
        for (_, pod) in store.pods.iter() {
            let about = format!("pod {}", pod.meta.name);
            if pod.meta.is_deleting() {
                self.say(about, format!("is still being deleted: {:?}", pod.meta));
            } else if pod.node_name.is_none() && has_more && pod.is_active() {
                // A disk is in the zone of its first node, and new nodes are in none.
                let stays = app(&pod.meta) == "agent" || !pod.spec.volumes.is_empty();
                if !stays && pod.spec.requests().cpu_millis + daemon_cpu_millis <= NODE_CPU_MILLIS {
                    self.say(about, format!("would fit a new node, and there are only {elastic}"));
                }
            }
        }
    }

    fn nodes(&mut self) {
        let operators = Operators::new(self.run);
        let store = self.store;
        for (_, node) in store.nodes.iter() {
            let about = format!("node {}", node.meta.name);
            let name = &node.meta.name;
            let others = node.spec.taints.iter().filter(|taint| &*taint.key != BROKEN_TAINT && &*taint.key != UNSCHEDULABLE).count();
            let is_marked = node.spec.taints.iter().any(|taint| &*taint.key == UNSCHEDULABLE);
            if !node.status.ready.is_true() || others > 0 || is_marked != node.spec.unschedulable {
                self.say(about, format!("is not as it was: {:?} {:?}", node.spec, node.status));
            } else if !operators.allow(name, Mark::Cordon, node.spec.unschedulable) {
                self.say(about, format!("is {}cordoned against the last request", if node.spec.unschedulable { "" } else { "un" }));
            } else if !operators.allow(name, Mark::Taint, has_taint(node, BROKEN_TAINT)) {
                self.say(about, format!("has {:?} against the last request", node.spec.taints));
            }
        }
    }

    /// A drain leaves only what a PodDisruptionBudget protects.
    fn drains(&mut self) {
        let operators = Operators::new(self.run);
        let store = self.store;
        let gave_up = |pod: &Pod| {
            let command = format!("kubectl drain: evict pod {}", pod.meta.key());
            self.run.records.iter().any(|(_, record)| matches!(record, Record::Step { step, .. } if **step == *command))
        };
        let mut left = Vec::new();
        for (_, node) in store.nodes.iter().filter(|(_, node)| node.spec.unschedulable) {
            let Some(since) = operators.drained_since(&node.meta.name) else { continue };
            for (_, pod) in store.pods.iter().filter(|(_, pod)| pod.node_name.as_ref() == Some(&node.meta.name) && pod.is_active()) {
                let is_daemon = app(&pod.meta) == "agent"; // It may have lost its DaemonSet since.
                if !is_daemon && pod.status.conditions.scheduled.since < since && !self.is_protected(pod) && !gave_up(pod) {
                    left.push((format!("pod {}", pod.meta.name), format!("is still on {}, which was drained at {since}", node.meta.name)));
                }
            }
        }
        left.into_iter().for_each(|(about, what)| self.say(about, what));
    }

    /// Whether a budget forbids its eviction.
    fn is_protected(&self, pod: &Pod) -> bool {
        self.store.pdbs.iter().any(|(_, budget)| {
            let covered = budget.selector.as_ref().is_some_and(|selector| selector.match_labels.get("app") == pod.meta.labels.get("app"));
            let Some(IntOrPercent::Count(least)) = budget.min_available else { return false };
            let mut pods = self.store.pods.iter().map(|(_, it)| it).filter(|it| it.is_active() && app(&it.meta) == app(&pod.meta));
            let healthy = pods.by_ref().filter(|it| it.is_ready()).count() as i32;
            covered && healthy <= least
        })
    }

    /// What a Service knows is what there is; and whoever asks a Service that is well gets an answer.
    fn services(&mut self) {
        let store = self.store;
        for (id, service) in store.services.iter() {
            let name = &service.meta.name;
            let known: Vec<Uid> = store.slices(id).map_or_else(Vec::new, |behind| {
                let ready = behind.endpoints().filter(|endpoint| endpoint.ready);
                ready.map(|endpoint| endpoint.pod).collect()
            });
            let there = store.pods.iter().map(|(_, pod)| pod).filter(|pod| app(&pod.meta) == &**name && pod.is_active() && pod.is_ready());
            let (mut known, mut there): (Vec<Uid>, Vec<Uid>) = (known, there.map(|pod| pod.meta.uid).collect());
            known.sort_unstable();
            there.sort_unstable();
            if known != there {
                self.say(format!("Service {name}"), format!("knows {} ready pods, and there are {}", known.len(), there.len()));
            } else if !there.is_empty() && self.fate(name) == Fate::Well && !self.is_in_flux() && !self.is_answered(name) {
                self.say(format!("Service {name}"), format!("has {} ready pods and does not answer", there.len()));
            }
        }
    }

    /// Whether some request of the last 20 s was answered, if there were any.
    fn is_answered(&self, flow: &str) -> bool {
        let since = SimTime::ZERO + self.now.since(SimTime::from_secs(20));
        let windows = self.run.records.iter().rev().take_while(|(at, _)| *at > since).filter_map(|(_, record)| match record {
            Record::Traffic { flow: of, counts, .. } if &**of == flow => Some((counts.arrived, counts.succeeded)),
            _ => None,
        });
        let (arrived, succeeded) = windows.fold((0, 0), |(arrived, succeeded), window| (arrived + window.0, succeeded + window.1));
        arrived == 0 || succeeded > 0
    }

    fn quotas(&mut self) {
        let store = self.store;
        let used = store.pods.iter().filter(|(_, pod)| !pod.status.phase.is_terminal()).count() as i64;
        for (_, quota) in store.resource_quotas.iter() {
            let known = quota.status.as_ref().and_then(|status| status.used.get("pods").copied());
            if known != Some(used) && !self.is_in_flux() {
                self.say(format!("ResourceQuota {}", quota.meta.name), format!("{used} pods are used: {:?}", quota.status));
            }
        }
    }

    fn budgets(&mut self) {
        let store = self.store;
        for (_, budget) in store.pdbs.iter() {
            let covered = || store.pods.iter().map(|(_, pod)| pod).filter(|pod| pod.is_active() && app(&pod.meta) == &*budget.meta.name);
            let healthy = covered().filter(|pod| pod.is_ready()).count() as i32;
            let flaps = matches!(self.fate(&budget.meta.name), Fate::Crashes | Fate::OutOfMemory);
            if !flaps && (budget.current_healthy, budget.expected_pods) != (healthy, covered().count() as i32) {
                self.say(format!("PodDisruptionBudget {}", budget.meta.name), format!("{healthy} pods are healthy: {budget:?}"));
            }
        }
    }

    /// Objects that should be gone: asked to go long ago, or owned by nobody that is there.
    fn leftovers(&mut self) {
        let mut all: Vec<(Kind, &ObjectMeta)> = self.store.pods.iter().map(|(_, pod)| (Kind::Pod, &pod.meta)).collect();
        for kind in AnyObject::KINDS {
            with_kind!(*kind, T => all.extend(T::table(self.store).iter().map(|(_, object)| (*kind, &object.meta))), else ());
        }
        let known: std::collections::BTreeSet<Uid> = all.iter().map(|(_, meta)| meta.uid).collect();
        let nodes: std::collections::BTreeSet<Str> = self.store.nodes.iter().map(|(_, node)| node.meta.name.clone()).collect();
        for (kind, meta) in all {
            let about = format!("{} {}", kind.as_str(), meta.name);
            if meta.is_deleting() {
                self.say(about, format!("is still being deleted: {meta:?}"));
            } else if let Some(owner) = meta.owners.iter().find(|owner| !known.contains(&owner.uid) && !nodes.contains(&owner.name)) {
                self.say(about, format!("belongs to {owner:?}, which is gone"));
            }
        }
    }
}

/// How few and how many pods there may be in the middle of a rollout.
fn bounds(object: &Deployment) -> std::ops::RangeInclusive<i32> {
    let want = object.replicas;
    let (surge, unavailable) = ((want + 3) / 4, want / 4); // 25 %, which is the default for both.
    match object.strategy {
        DeploymentStrategy::Recreate => 0..=want,
        DeploymentStrategy::RollingUpdate { .. } => want - unavailable..=want + surge,
    }
}

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

fn app(meta: &ObjectMeta) -> &str {
    meta.labels.get("app").map_or("", |app| app)
}

fn has_taint(node: &Node, key: &str) -> bool {
    node.spec.taints.iter().any(|taint| &*taint.key == key)
}
