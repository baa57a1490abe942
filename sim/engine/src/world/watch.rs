//! The tap on the API: what a client that watches every kind would be told, as [`Record::Watch`].
//!
//! An object is projected to named facts; a line holds those that differ from the object's last line, and a
//! write that changes none of them gives no line. The facts and their spelling are those of the recorded
//! timelines of a real control plane (`tests/timelines/README.md`), which are replayed against this.
//!
//! Invariants: the tap only reads; a run with it makes the same other records as a run without.
//!
//! Events are told as their recorders write them: equal ones are counted, many similar ones combined, and an
//! object that too many are told of is passed over for a while.

use std::collections::BTreeMap;

use api::{
    Condition, ConditionStatus, ContainerState, ContainerStatus, ControllerRevision, CronJob, DaemonSet, Deployment, Endpoint,
    HorizontalPodAutoscaler, Job, Kind, Node, ObjectKey, ObjectMeta, Pod, PodDisruptionBudget, QuotaList, ReplicaSet, ResourceQuota,
    SimDuration, SimTime, StatefulSet, StatefulSetUpdateStrategy, Str, Uid, WorkloadCondition, quota_text,
};
use serde_json::{Map, Value, json};
use trace::Record;

use super::apply::taint_text;
use crate::objects::AnyObject;
use crate::store::{Behind, Change, Id, Store};

type Facts = Map<String, Value>;

/// What was told of each object last.
#[derive(Default)]
pub(super) struct Tap {
    told: BTreeMap<(&'static str, ObjectKey), Facts>,
    recorders: Recorders,
}

impl Tap {
    /// Tells what a change that has just landed changed.
    pub(super) fn hear(&mut self, change: &Change, store: &Store, records: &mut Vec<Record>) {
        match change {
            Change::PodAdded(id) | Change::PodModified(id, _) => self.see(store.pods.get(*id).map(pod), records),
            Change::PodDeleted(_, gone) => self.gone("Pod", &gone.meta, records),
            Change::NodeAdded(id) | Change::NodeModified(id) => self.see(store.nodes.get(*id).map(node), records),
            Change::NodeDeleted(_, gone) => self.gone("Node", &gone.meta, records),
            Change::DeploymentChanged(id) => self.see(store.deployments.get(*id).map(deployment), records),
            Change::DeploymentDeleted(gone) => self.gone("Deployment", &gone.meta, records),
            Change::ReplicaSetChanged(id) => self.see(store.replica_sets.get(*id).map(replica_set), records),
            Change::ReplicaSetDeleted(gone) => self.gone("ReplicaSet", &gone.meta, records),
            Change::ServiceChanged(id) => self.see(store.services.get(*id).map(service), records),
            Change::SliceChanged(id, number) => {
                self.see(store.slices(*id).and_then(|behind| behind.slice(*number)).map(endpoint_slice), records);
            }
            Change::SliceDeleted(_, _, gone) => self.gone("EndpointSlice", &gone.meta, records),
            Change::ServiceDeleted(id, gone) => {
                self.gone("Service", &gone.meta, records);
                let slices = store.slices(*id).into_iter().flat_map(Behind::slices);
                slices.for_each(|(_, slice)| self.gone("EndpointSlice", &slice.meta, records));
            }
            Change::HpaChanged(id) => self.see(store.hpas.get(*id).map(autoscaler), records),
            Change::ObjectDeleted(AnyObject::HorizontalPodAutoscaler(gone)) => self.gone("HPA", &gone.meta, records),
            Change::Object(Kind::ResourceQuota, number) => {
                self.see(store.resource_quotas.get(Id::new(*number)).map(resource_quota), records);
            }
            Change::Object(Kind::PodDisruptionBudget, number) => {
                self.see(store.pdbs.get(Id::new(*number)).map(disruption_budget), records);
            }
            Change::ObjectDeleted(AnyObject::PodDisruptionBudget(gone)) => self.gone("PDB", &gone.meta, records),
            Change::ObjectDeleted(AnyObject::ResourceQuota(gone)) => self.gone("ResourceQuota", &gone.meta, records),
            Change::Object(Kind::StatefulSet, number) => {
                self.see(store.stateful_sets.get(Id::new(*number)).map(stateful_set), records);
            }
            Change::Object(Kind::ControllerRevision, number) => {
                self.see(store.controller_revisions.get(Id::new(*number)).map(controller_revision), records);
            }
            Change::ObjectDeleted(AnyObject::StatefulSet(gone)) => self.gone("StatefulSet", &gone.meta, records),
            Change::ObjectDeleted(AnyObject::ControllerRevision(gone)) => self.gone("ControllerRevision", &gone.meta, records),
            Change::Object(Kind::DaemonSet, number) => self.see(store.daemon_sets.get(Id::new(*number)).map(daemon_set), records),
            Change::Object(Kind::Job, number) => self.see(store.jobs.get(Id::new(*number)).map(job), records),
            Change::Object(Kind::CronJob, number) => self.see(store.cron_jobs.get(Id::new(*number)).map(cron_job), records),
            Change::ObjectDeleted(AnyObject::DaemonSet(gone)) => self.gone("DaemonSet", &gone.meta, records),
            Change::ObjectDeleted(AnyObject::Job(gone)) => self.gone("Job", &gone.meta, records),
            Change::ObjectDeleted(AnyObject::CronJob(gone)) => self.gone("CronJob", &gone.meta, records),
            Change::Object(..) | Change::ObjectDeleted(_) => {}
        }
    }

    fn see(&mut self, now: Option<Projected>, records: &mut Vec<Record>) {
        let Some(Projected { kind, key, facts }) = now else { return };
        let name: Str = key.to_string().into();
        let Some(told) = self.told.get_mut(&(kind, key.clone())) else {
            self.told.insert((kind, key), facts.clone());
            records.push(Record::Watch { kind: kind.into(), name, ev: "ADDED".into(), set: facts });
            return;
        };
        let mut set: Facts = facts.iter().filter(|(fact, value)| told.get(*fact) != Some(*value)).map(owned).collect();
        set.extend(told.keys().filter(|fact| !facts.contains_key(*fact)).map(|fact| (fact.clone(), Value::Null)));
        if !set.is_empty() {
            *told = facts;
            records.push(Record::Watch { kind: kind.into(), name, ev: "MODIFIED".into(), set });
        }
    }

    fn gone(&mut self, kind: &'static str, meta: &ObjectMeta, records: &mut Vec<Record>) {
        let key = meta.key();
        let name: Str = key.to_string().into();
        let Some(told) = self.told.remove(&(kind, key)) else { return };
        // The last deletion of a pod takes its grace away before the object goes.
        // Upstream: apiserver/pkg/registry/rest/delete.go (BeforeDelete).
        if kind == "Pod" && told.get("deletionGraceSeconds").is_none_or(|grace| *grace != 0) {
            let mut set = Facts::from_iter([("deletionGraceSeconds".to_owned(), json!(0))]);
            if !told.contains_key("deleting") {
                set.insert("deleting".to_owned(), json!(true));
            }
            records.push(Record::Watch { kind: kind.into(), name: name.clone(), ev: "MODIFIED".into(), set });
        }
        records.push(Record::Watch { kind: kind.into(), name, ev: "DELETED".into(), set: Facts::new() });
    }
}

fn owned((fact, value): (&String, &Value)) -> (String, Value) {
    (fact.clone(), value.clone())
}

/// An object and its facts.
struct Projected {
    kind: &'static str,
    key: ObjectKey,
    facts: Facts,
}

/// Facts with an absent or empty value are not there.
fn project<const N: usize>(kind: &'static str, meta: &ObjectMeta, facts: [(&str, Value); N]) -> Projected {
    let is_there = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let owner = meta.controller().map_or(Value::Null, |owner| json!(format!("{}/{}", owner.kind, owner.name)));
    let common = [("owner", owner), ("deleting", flag(meta.is_deleting())), ("finalizers", json!(meta.finalizers))];
    let facts = common.into_iter().chain(facts).filter(|(_, value)| is_there(value));
    Projected { kind, key: meta.key(), facts: facts.map(|(fact, value)| (fact.to_owned(), value)).collect() }
}

/// True, or nothing.
fn flag(is: bool) -> Value {
    if is { json!(true) } else { Value::Null }
}

/// `Status` or `Status:Reason`.
fn status_text(status: ConditionStatus, reason: &str) -> Value {
    if reason.is_empty() { json!(status.as_str()) } else { json!(format!("{}:{reason}", status.as_str())) }
}

fn pod(pod: &Pod) -> Projected {
    let status = &pod.status;
    let images: Vec<&Str> = pod.spec.containers.iter().map(|container| &container.image).collect();
    let hash = ["pod-template-hash", "controller-revision-hash"].iter().find_map(|label| pod.meta.labels.get(*label));
    project(
        "Pod",
        &pod.meta,
        [
            ("node", json!(pod.node_name)),
            ("phase", json!(status.phase.as_str())),
            ("podIP", if status.has_ip { json!("assigned") } else { Value::Null }),
            ("conditions", pod_conditions(pod)),
            ("containers", containers(pod)),
            ("deletionGraceSeconds", json!(pod.meta.deletion_grace.map(|grace| grace.as_millis() / 1000))),
            ("nominatedNode", json!(status.nominated_node_name)),
            ("priority", json!(pod.spec.priority)),
            ("hash", json!(hash)),
            ("image", json!(images)),
        ],
    )
}

/// Conditions that somebody has written.
fn pod_conditions(pod: &Pod) -> Value {
    let conditions = &pod.status.conditions;
    let mut told = Facts::new();
    let written = |condition: &Condition| *condition != Condition::default();
    if written(&conditions.scheduled) {
        told.insert("PodScheduled".into(), status_text(conditions.scheduled.status, &conditions.scheduled.reason));
    }
    // The kubelet writes all of its own at once.
    if pod.status.start_time.is_some() {
        for (name, condition) in
            [("Initialized", &conditions.initialized), ("Ready", &conditions.ready), ("ContainersReady", &conditions.containers_ready)]
        {
            told.insert(name.into(), status_text(condition.status, &condition.reason));
        }
    }
    if let Some(ready) = conditions.ready_to_start_containers {
        told.insert("PodReadyToStartContainers".into(), json!(if ready { "True" } else { "False" }));
    }
    if !conditions.disruption_target.is_empty() {
        told.insert("DisruptionTarget".into(), json!(format!("True:{}", conditions.disruption_target)));
    }
    Value::Object(told)
}

fn containers(pod: &Pod) -> Value {
    let regular = pod.spec.containers.iter().zip(&pod.status.containers);
    let all = pod.spec.init_containers.iter().zip(&pod.status.init_containers).chain(regular);
    Value::Object(all.map(|(spec, status)| (spec.name.to_string(), container(status))).collect())
}

fn container(status: &ContainerStatus) -> Value {
    let last = status.last.as_ref().map(|ended| format!("terminated:{}:{}", ended.reason, ended.exit_code));
    json!({ "ready": status.ready, "restarts": status.restart_count, "state": state_text(&status.state), "last": last })
}

fn state_text(state: &ContainerState) -> String {
    match state {
        ContainerState::Waiting { reason } => format!("waiting:{reason}"),
        ContainerState::Running { .. } => "running".to_owned(),
        ContainerState::Terminated { exit_code, reason, .. } => format!("terminated:{reason}:{exit_code}"),
    }
}

/// Upstream: pkg/kubelet/nodestatus/setters.go; the node controller turns all to Unknown together.
fn node(node: &Node) -> Projected {
    let status = &node.status;
    let mut conditions = Facts::new();
    let pressures = [
        ("MemoryPressure", status.memory_pressure, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
        ("DiskPressure", status.disk_pressure, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", status.pid_pressure, "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
    ];
    for (name, is, if_so, if_not) in pressures {
        let text = match status.ready {
            ConditionStatus::Unknown => status_text(ConditionStatus::Unknown, &status.ready_reason),
            _ if is => status_text(ConditionStatus::True, if_so),
            _ => status_text(ConditionStatus::False, if_not),
        };
        conditions.insert(name.into(), text);
    }
    conditions.insert("Ready".into(), status_text(status.ready, &status.ready_reason));
    let mut taints: Vec<Str> = node.spec.taints.iter().map(taint_text).collect();
    taints.sort();
    let labels = node.meta.labels.iter().filter(|(key, _)| !key.contains("kubernetes.io/") || key.starts_with("topology."));
    let labels: Facts = labels.map(|(key, value)| (key.to_string(), json!(value))).collect();
    project(
        "Node",
        &node.meta,
        [
            ("conditions", Value::Object(conditions)),
            ("taints", json!(taints)),
            ("unschedulable", flag(node.spec.unschedulable)),
            ("labels", Value::Object(labels)),
        ],
    )
}

fn workload_conditions<const N: usize>(conditions: [(&str, Option<&WorkloadCondition>); N]) -> Value {
    let there = conditions.into_iter().filter_map(|(name, condition)| Some((name.to_owned(), condition?)));
    Value::Object(there.map(|(name, condition)| (name, status_text(condition.status, &condition.reason))).collect())
}

fn deployment(deployment: &Deployment) -> Projected {
    let status = &deployment.status;
    let conditions = [
        ("Available", status.available_condition.as_ref()),
        ("Progressing", status.progressing.as_ref()),
        ("ReplicaFailure", status.replica_failure.as_ref()),
    ];
    project(
        "Deployment",
        &deployment.meta,
        [
            ("specReplicas", json!(deployment.replicas)),
            ("generation", json!(deployment.meta.generation)),
            ("observedGeneration", if status.observed_generation == 0 { Value::Null } else { json!(status.observed_generation) }),
            ("conditions", workload_conditions(conditions)),
            ("progressMessage", json!(status.progressing.iter().map(|progressing| &progressing.message).collect::<Vec<_>>())),
            ("revision", if status.revision == 0 { Value::Null } else { json!(status.revision.to_string()) }),
            (
                "status",
                json!({
                    "replicas": status.replicas,
                    "updatedReplicas": status.updated,
                    "readyReplicas": status.ready,
                    "availableReplicas": status.available,
                    "unavailableReplicas": status.unavailable,
                    "terminatingReplicas": status.terminating,
                }),
            ),
        ],
    )
}

fn replica_set(set: &ReplicaSet) -> Projected {
    let status = &set.status;
    let images: Vec<&Str> = set.template.spec.containers.iter().map(|container| &container.image).collect();
    let counts = json!({
        "replicas": status.replicas,
        "readyReplicas": status.ready,
        "availableReplicas": status.available,
        "terminatingReplicas": status.terminating,
    });
    let revision = if set.revision == 0 { Value::Null } else { json!(set.revision.to_string()) };
    let conditions = workload_conditions([("ReplicaFailure", status.replica_failure.as_ref())]);
    let facts = [
        ("specReplicas", json!(set.replicas)),
        ("revision", revision),
        ("image", json!(images)),
        ("status", counts),
        ("conditions", conditions),
    ];
    project("ReplicaSet", &set.meta, facts)
}

fn stateful_set(set: &StatefulSet) -> Projected {
    let status = &set.status;
    let partition = match set.update_strategy {
        StatefulSetUpdateStrategy::RollingUpdate { partition } => json!(partition),
        StatefulSetUpdateStrategy::OnDelete => Value::Null,
    };
    project(
        "StatefulSet",
        &set.meta,
        [
            ("specReplicas", json!(set.replicas)),
            ("partition", partition),
            ("generation", json!(set.meta.generation)),
            ("observedGeneration", if status.observed_generation == 0 { Value::Null } else { json!(status.observed_generation) }),
            ("currentRevision", json!(status.current_revision)),
            ("updateRevision", json!(status.update_revision)),
            (
                "status",
                json!({
                    "replicas": status.replicas,
                    "readyReplicas": status.ready,
                    "availableReplicas": status.available,
                    "currentReplicas": status.current,
                    "updatedReplicas": status.updated,
                }),
            ),
        ],
    )
}

fn daemon_set(set: &DaemonSet) -> Projected {
    let status = &set.status;
    project(
        "DaemonSet",
        &set.meta,
        [
            ("generation", json!(set.meta.generation)),
            (
                "status",
                json!({
                    "desiredNumberScheduled": status.desired_number_scheduled,
                    "currentNumberScheduled": status.current_number_scheduled,
                    "numberReady": status.number_ready,
                    "numberAvailable": status.number_available,
                    "numberUnavailable": status.number_unavailable,
                    "numberMisscheduled": status.number_misscheduled,
                    "updatedNumberScheduled": status.updated_number_scheduled,
                }),
            ),
        ],
    )
}

fn job(job: &Job) -> Projected {
    let status = &job.status;
    let some = |count: i32| (count > 0).then_some(count);
    let conditions: Facts = status
        .conditions
        .iter()
        .map(|condition| (condition.kind.as_str().to_owned(), status_text(condition.status, &condition.reason)))
        .collect();
    let uids = |uids: &[Uid]| json!(uids.iter().map(Uid::to_string).collect::<Vec<_>>());
    let uncounted = [("succeeded", &status.uncounted.succeeded), ("failed", &status.uncounted.failed)];
    let uncounted: Facts =
        uncounted.into_iter().filter(|(_, list)| !list.is_empty()).map(|(kind, list)| (kind.to_owned(), uids(list))).collect();
    let mut projected = project(
        "Job",
        &job.meta,
        [
            ("conditions", Value::Object(conditions)),
            ("uncounted", Value::Object(uncounted)),
            ("startTime", json!(status.start_time.map(SimTime::as_secs))),
            ("completionTime", json!(status.completion_time.map(SimTime::as_secs))),
            (
                "status",
                json!({
                    "active": some(status.active),
                    "ready": status.ready,
                    "succeeded": some(status.succeeded),
                    "failed": some(status.failed),
                    "terminating": status.terminating,
                    "completedIndexes": Some(&*status.completed_indexes).filter(|indexes| !indexes.is_empty()),
                    "failedIndexes": status.failed_indexes.as_deref(),
                }),
            ),
        ],
    );
    projected.facts.insert("suspend".to_owned(), json!(job.spec.suspend)); // Told when false, too.
    projected
}

fn cron_job(cron_job: &CronJob) -> Projected {
    let status = &cron_job.status;
    project(
        "CronJob",
        &cron_job.meta,
        [
            ("suspend", json!(cron_job.suspend)),
            ("active", json!(status.active)),
            ("lastScheduleTime", json!(status.last_schedule_time.map(SimTime::as_secs))),
            ("lastSuccessfulTime", json!(status.last_successful_time.map(SimTime::as_secs))),
        ],
    )
}

fn controller_revision(revision: &ControllerRevision) -> Projected {
    project("ControllerRevision", &revision.meta, [])
}

fn service(service: &api::Service) -> Projected {
    project("Service", &service.meta, [("clusterIP", flag(service.service_type != api::ServiceType::ExternalName))])
}

fn endpoint_slice(slice: &api::EndpointSlice) -> Projected {
    let flags = |endpoint: &Endpoint| {
        let flag = |is: bool, letter: char| if is { letter } else { '-' };
        String::from_iter([flag(endpoint.ready, 'R'), flag(endpoint.serving, 'S'), flag(endpoint.terminating, 'T')])
    };
    let endpoints: Facts = slice.endpoints.iter().map(|endpoint| (endpoint.pod_name.to_string(), json!(flags(endpoint)))).collect();
    let facts = [("service", json!(slice.service)), ("endpoints", Value::Object(endpoints))];
    project("EndpointSlice", &slice.meta, facts)
}

fn autoscaler(hpa: &HorizontalPodAutoscaler) -> Projected {
    let facts = [
        ("currentReplicas", if hpa.current_replicas == 0 { Value::Null } else { json!(hpa.current_replicas) }),
        ("desiredReplicas", json!(hpa.desired_replicas)),
        ("lastScaleTime", json!(hpa.last_scale.map(SimTime::as_secs))),
        ("conditions", autoscaler_conditions(hpa)),
    ];
    project("HPA", &hpa.meta, facts)
}

fn autoscaler_conditions(hpa: &HorizontalPodAutoscaler) -> Value {
    let named = ["AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"].into_iter().zip(hpa.conditions);
    Value::Object(named.filter_map(|(name, told)| told.map(|(status, reason)| (name.to_owned(), status_text(status, reason)))).collect())
}

fn disruption_budget(budget: &PodDisruptionBudget) -> Projected {
    let counts = json!({
        "currentHealthy": budget.current_healthy,
        "desiredHealthy": budget.desired_healthy,
        "disruptionsAllowed": budget.disruptions_allowed,
        "expectedPods": budget.expected_pods,
    });
    let allowed = budget.disruption_allowed.map(|reason| {
        let status = if reason == "SufficientPods" { ConditionStatus::True } else { ConditionStatus::False };
        json!({ "DisruptionAllowed": status_text(status, reason) })
    });
    let disrupted: Vec<&Str> = budget.disrupted_pods.keys().collect();
    project("PDB", &budget.meta, [("status", counts), ("conditions", json!(allowed)), ("disruptedPods", json!(disrupted))])
}

fn resource_quota(quota: &ResourceQuota) -> Projected {
    let list = |list: &QuotaList| -> Value {
        Value::Object(list.iter().map(|(name, amount)| (name.to_string(), json!(quota_text(name, *amount)))).collect())
    };
    let used = quota.status.as_ref().map_or(Value::Null, |status| list(&status.used));
    project("ResourceQuota", &quota.meta, [("hard", list(&quota.hard)), ("used", used)])
}

/// Similar Events with other messages that are told one by one. Upstream: client-go/tools/record/events_cache.go.
const ONE_BY_ONE: usize = 10;
/// What the others are counted as.
const COMBINED: &str = "(combined from similar events)";
/// How long they count as similar.
const SIMILAR_FOR: SimDuration = SimDuration::from_secs(600);
/// Events of one object by one component that are told at once.
const BURST: u32 = 25;
/// After those, one is told every so often.
const REFILL: SimDuration = SimDuration::from_secs(300);
/// The one component that tells its Events through events.k8s.io, without a count.
const WITHOUT_COUNT: &str = "default-scheduler";

/// What the components' event recorders remember.
#[derive(Default)]
struct Recorders {
    /// Messages of similar Events (source, object, type, reason), and when the last of them was told.
    similar: BTreeMap<[Str; 4], (Vec<Str>, SimTime)>,
    /// How often an Event was told.
    counts: BTreeMap<([Str; 4], Str), u64>,
    /// Tokens (source, object, type), and since when they are counted.
    tokens: BTreeMap<[Str; 3], (f64, SimTime)>,
}

impl Tap {
    /// Tells of an Event, if its recorder does.
    pub(super) fn hear_event(&mut self, record: &Record, now: SimTime) -> Option<Record> {
        // Upstream: EventCorrelate combines, counts, and then asks the spam filter.
        let Record::Event { kind, reason, object, message, source } = record else { return None };
        let name: Str = object.split_once('/').map_or(&**object, |(_, name)| name).into();
        let key = [source.clone(), object.clone(), kind.clone(), reason.clone()];
        let told = |ev: &str, set| Some(Record::Watch { kind: "Event".into(), name: name.clone(), ev: ev.into(), set });
        let mut facts = Facts::from_iter([
            ("type".to_owned(), json!(kind)),
            ("reason".to_owned(), json!(reason)),
            ("object".to_owned(), json!(object)),
            ("message".to_owned(), json!(message)),
            ("source".to_owned(), json!(source)),
        ]);
        if &**source == WITHOUT_COUNT {
            return told("ADDED", facts);
        }
        let is_combined = self.recorders.is_combined(&key, message, now);
        let counted = if is_combined { COMBINED.into() } else { message.clone() };
        let count = self.recorders.counts.entry((key, counted)).or_default();
        *count += 1;
        let count = *count;
        if !self.recorders.has_token([source.clone(), object.clone(), kind.clone()], now) {
            return None;
        }
        if is_combined {
            facts.insert("message".to_owned(), json!(format!("{COMBINED}: {message}")));
        }
        facts.insert("count".to_owned(), json!(count));
        if count == 1 { told("ADDED", facts) } else { told("MODIFIED", facts) }
    }
}

impl Recorders {
    /// Whether the message is one of too many similar ones, which are counted together.
    fn is_combined(&mut self, key: &[Str; 4], message: &Str, now: SimTime) -> bool {
        let (messages, last) = self.similar.entry(key.clone()).or_default();
        if now.since(*last) > SIMILAR_FOR {
            messages.clear();
        }
        *last = now;
        if !messages.contains(message) {
            messages.push(message.clone());
        }
        let is_combined = messages.len() >= ONE_BY_ONE;
        if is_combined {
            messages.remove(0);
        }
        is_combined
    }

    fn has_token(&mut self, key: [Str; 3], now: SimTime) -> bool {
        let (tokens, since) = self.tokens.entry(key).or_insert((f64::from(BURST), now));
        let refilled = *tokens + now.since(*since).as_secs_f64() / REFILL.as_secs_f64();
        *since = now;
        *tokens = refilled.min(f64::from(BURST));
        let has = *tokens >= 1.0;
        if has {
            *tokens -= 1.0;
        }
        has
    }
}
