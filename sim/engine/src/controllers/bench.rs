//! A controller on the bench: a store, settings and a clock. What a controller wants done comes back as
//! lines of text, and the simple writes land at once, so that it can be asked again.

use std::sync::Arc;

use api::{
    ConditionStatus, Container, ContainerState, ContainerStatus, Deployment, DeploymentStrategy, IntOrPercent, Kind, LabelSelector, Labels,
    Node, ObjectMeta, OwnerReference, Pod, PodPhase, PodSpec, PodTemplate, ReplicaSet, ResourceName, Service, SimDuration, SimTime, Str,
    Taint, TaintEffect, Toleration, TolerationOperator,
};
use trace::Record;

use super::View;
use crate::effects::{Effects, Key, SliceWrite, Write};
use crate::objects::{Kept, Part, with_kind, with_object};
use crate::random::Streams;
use crate::spec::ControlPlane;
use crate::store::{Id, NodeId, PodId, Store};

/// A store with settings and a clock.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) settings: ControlPlane,
    pub(super) streams: Streams,
    pub(super) now: SimTime,
    /// Timers set so far.
    pub(super) timers: Vec<(SimTime, crate::event::Event)>,
    /// Requests whose answers are waited for.
    pub(super) calls: Vec<(Key, Write)>,
}

pub(super) fn bench() -> Bench {
    Bench {
        store: Store::default(),
        settings: ControlPlane::default(),
        streams: Streams::new(7),
        now: SimTime::ZERO,
        timers: Vec::new(),
        calls: Vec::new(),
    }
}

/// Labels from `key=value` words.
pub(super) fn labels(text: &str) -> Arc<Labels> {
    Arc::new(text.split_whitespace().filter_map(|word| word.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect())
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: namespace.into(), name: name.into(), ..ObjectMeta::default() }
}

/// A template of one container with this image, asking for 100m and 64Mi.
pub(super) fn template(app: &str, image: &str) -> Arc<PodTemplate> {
    Arc::new(PodTemplate { labels: labels(&format!("app={app}")), annotations: Arc::default(), spec: Arc::new(pod_spec(image, 100)) })
}

/// A spec of one container with this image and request.
pub(super) fn pod_spec(image: &str, cpu_millis: i64) -> PodSpec {
    let requests = [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, 64 << 20)].into();
    PodSpec {
        containers: vec![Container { name: "app".into(), image: image.into(), requests, ..Container::default() }],
        ..PodSpec::default()
    }
}

impl Bench {
    pub(super) fn view(&self) -> View<'_> {
        View { store: &self.store, settings: &self.settings, streams: &self.streams, now: self.now }
    }
    pub(super) fn at(mut self, seconds: u64) -> Self {
        self.now = SimTime::from_secs(seconds);
        self
    }
    pub(super) fn at_ms(mut self, millis: u64) -> Self {
        self.now = SimTime::from_millis(millis);
        self
    }

    pub(super) fn deployment(mut self, name: &str, replicas: i32, change: impl FnOnce(&mut Deployment)) -> Self {
        let selector = Arc::new(LabelSelector { match_labels: (*labels(&format!("app={name}"))).clone(), ..LabelSelector::default() });
        let mut deployment = Deployment {
            meta: meta("default", name),
            replicas,
            selector,
            template: template(name, "web:v1"),
            revision_history_limit: 10,
            progress_deadline: SimDuration::from_secs(600),
            ..Deployment::default()
        };
        change(&mut deployment);
        self.store.create(deployment, self.now, &self.streams).expect("a free name");
        self
    }
    pub(super) fn replica_set(mut self, name: &str, replicas: i32) -> Self {
        let set = ReplicaSet { meta: meta("default", name), replicas, template: template(name, "web:v1"), ..ReplicaSet::default() };
        self.store.create(set, self.now, &self.streams).expect("a free name");
        self
    }
    pub(super) fn min_ready(mut self, replica_set: &str, seconds: u64) -> Self {
        self.change_replica_set(replica_set, |set| set.min_ready = SimDuration::from_secs(seconds));
        self
    }
    pub(super) fn scale_replica_set(&mut self, name: &str, replicas: i32) {
        self.change_replica_set(name, |set| set.replicas = replicas);
    }
    pub(super) fn change_replica_set(&mut self, name: &str, change: impl FnOnce(&mut ReplicaSet)) {
        let id = self.store.replica_sets.find(&meta("default", name).key()).expect("a ReplicaSet of this name");
        self.store.update(id, |set| {
            change(set);
            true
        });
    }
    pub(super) fn change_deployment(&mut self, name: &str, change: impl FnOnce(&mut Deployment)) {
        let id = self.store.deployments.find(&meta("default", name).key()).expect("a Deployment of this name");
        self.store.update(id, |deployment| {
            change(deployment);
            deployment.meta.generation += 1;
            true
        });
    }
    pub(super) fn service(mut self, name: &str, selector: Option<&str>) -> Self {
        let service = Service { meta: meta("default", name), selector: selector.map(labels), ..Service::default() };
        self.store.create(service, self.now, &self.streams).expect("a free name");
        self
    }
    pub(super) fn node(mut self, name: &str, zone: &str, cpu_millis: i64) -> Self {
        let mut node = Node { meta: meta("", name), ..Node::default() };
        node.meta.labels = labels(&format!("topology.kubernetes.io/zone={zone} kubernetes.io/hostname={name}"));
        node.status.allocatable =
            Arc::new([(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, 16 << 30), (ResourceName::Pods, 110)].into());
        node.status.capacity = (*node.status.allocatable).clone();
        node.status.ready = ConditionStatus::True;
        self.store.create_node(node, self.now, &self.streams).expect("a free name");
        self
    }
    pub(super) fn node_id(&self, name: &str) -> NodeId {
        self.store.nodes.find(&meta("", name).key()).expect("a node of this name")
    }
    pub(super) fn pod(mut self, pod: TestPod) -> Self {
        self.add_pod(pod);
        self
    }
    pub(super) fn add_pod(&mut self, pod: TestPod) -> PodId {
        let (pod, creation) = (pod.build(), pod.pod.meta.creation);
        self.store.create_pod(pod, creation, &self.streams).expect("a free name")
    }
    pub(super) fn owned_pod(mut self, replica_set: &str, mut pod: TestPod) -> Self {
        let id = self.store.replica_sets.find(&meta("default", replica_set).key()).expect("a ReplicaSet of this name");
        let uid = self.store.replica_sets.get(id).expect("just found").meta.uid;
        pod.pod.meta.owners = vec![OwnerReference { kind: "ReplicaSet".into(), name: replica_set.into(), uid, controller: true }];
        self.add_pod(pod);
        self
    }
    pub(super) fn pod_id(&self, name: &str) -> PodId {
        self.store.pods.find(&meta("default", name).key()).expect("a pod of this name")
    }
    pub(super) fn pod_names(&self) -> Vec<String> {
        self.store.pods.iter().map(|(_, pod)| pod.meta.name.to_string()).collect()
    }
    /// All pods become running and ready on `node`.
    pub(super) fn ready_all(&mut self, node: &str) {
        self.ready_some(node, usize::MAX);
    }
    /// So many pods that are not ready become so.
    pub(super) fn ready_some(&mut self, node: &str, count: usize) {
        let unready = self.store.pods.iter().filter(|(_, pod)| !pod.is_ready() && !pod.meta.is_deleting());
        let (ids, now): (Vec<PodId>, _) = (unready.map(|(id, _)| id).take(count).collect(), self.now);
        for id in ids {
            self.store.update_pod(id, |pod| {
                if pod.is_ready() || pod.meta.is_deleting() {
                    return false;
                }
                pod.node_name = Some(node.into());
                make_ready(pod, now);
                true
            });
        }
    }
    /// Runs a controller, lets its writes land, and tells what it did.
    pub(super) fn run(&mut self, act: impl FnOnce(&View<'_>, &mut Effects)) -> Vec<String> {
        let mut out = Effects::default();
        act(&self.view(), &mut out);
        let mut lines = Vec::new();
        for (by, write) in out.writes.into_iter().filter(|(_, write)| *write != Write::Read) {
            lines.push(format!("{} {}", by.name(), self.land(write)));
        }
        if let Some((by, write)) = out.finally.and_then(|finally| Some((finally.by, finally.landed?))) {
            lines.push(format!("{} {}", by.name(), self.land(write)));
        }
        lines.extend(out.records.iter().map(fact));
        lines.extend(out.timers.iter().map(|(time, event)| format!("at {time}: {event:?}")));
        lines.extend(out.resync.map(|time| format!("resync at {time}")));
        self.timers.extend(out.timers);
        self.calls.extend(out.calls);
        lines
    }

    pub(super) fn land(&mut self, write: Write) -> String {
        let (now, streams) = (self.now, self.streams);
        match write {
            Write::Announced(write, announcement) => {
                let line = self.land(*write);
                let name = line.rsplit(' ').next().unwrap_or_default().to_owned();
                format!("{line}; {}", fact(&announcement.landed).replace("{name}", &name))
            }
            Write::CreatePod(mut pod) => {
                if pod.meta.name.ends_with('-') {
                    pod.meta.name = self.store.generate_name(&pod.meta, &streams);
                }
                let line = format!("create pod {}", pod.meta.name);
                self.store.create_pod(*pod, now, &streams).expect("a free name");
                line
            }
            Write::DeletePod { pod, grace, .. } => {
                let line = format!("delete pod {}{}", self.name(pod), grace.map_or(String::new(), |grace| format!(" grace {grace}")));
                if grace.is_some_and(SimDuration::is_zero) {
                    self.store.remove_pod(pod);
                } else {
                    self.store.update_pod(pod, |pod| {
                        pod.meta.deletion = Some(now);
                        true
                    });
                }
                line
            }
            Write::PodStatus(pod, status) => {
                let line = format!("pod status {} {} {}", self.name(pod), status.phase.as_str(), status.conditions.disruption_target);
                self.store.update_pod(pod, |pod| {
                    pod.status = *status;
                    true
                });
                line
            }
            Write::PodNotReady(pod, reason) => {
                self.store.update_pod(pod, |pod| {
                    pod.status.conditions.ready.status = ConditionStatus::False;
                    true
                });
                format!("pod not ready {} {reason}", self.name(pod))
            }
            Write::PodDisruptionTarget(pod, reason) => {
                let line = format!("disruption target {} {reason}", self.name(pod));
                self.store.update_pod(pod, |pod| {
                    pod.status.conditions.disruption_target = reason;
                    true
                });
                line
            }
            Write::CreateReplicaSet(set) => {
                let line = format!("create replica set {} replicas={} revision={}", strip_hash(&set.meta.name), set.replicas, set.revision);
                self.store.create(*set, now, &streams).expect("a free name");
                line
            }
            Write::UpdateReplicaSet(id, new) => {
                let line = format!("update replica set {} replicas={}", strip_hash(&new.meta.name), new.replicas);
                self.store.update(id, |set| {
                    let meta = ObjectMeta { generation: set.meta.generation + 1, ..set.meta.clone() };
                    *set = ReplicaSet { meta, status: std::mem::take(&mut set.status), ..*new };
                    true
                });
                line
            }
            Write::ReplicaSetStatus(id, status) => {
                let name = self.store.replica_sets.get(id).map_or(String::new(), |set| set.meta.name.to_string());
                let line = format!("status {name} replicas={} ready={} available={}", status.replicas, status.ready, status.available);
                self.store.update(id, |set| {
                    set.status = status;
                    true
                });
                line
            }
            Write::DeleteNumbered(Kind::ReplicaSet, number, _) => {
                let id = Id::new(number);
                let name = self.store.replica_sets.get(id).map_or(String::new(), |set| strip_hash(&set.meta.name));
                self.store.remove(id);
                format!("delete replica set {name}")
            }
            Write::DeleteNumbered(Kind::Pod, number, _) => {
                let name = self.store.pods.get(PodId::new(number)).map_or(String::new(), |pod| pod.meta.name.to_string());
                self.store.remove_pod(PodId::new(number));
                format!("delete pod {name}")
            }
            Write::DeploymentStatus(id, status) => {
                let condition = |condition: &Option<api::WorkloadCondition>| {
                    condition.as_ref().map_or("-".to_owned(), |is| format!("{}:{}", is.status.as_str(), is.reason))
                };
                let line = format!(
                    "status {}/{}/{}/{} Available={} Progressing={}",
                    status.replicas,
                    status.updated,
                    status.ready,
                    status.available,
                    condition(&status.available_condition),
                    condition(&status.progressing)
                );
                self.store.update(id, |deployment| {
                    deployment.status = *status;
                    true
                });
                line
            }
            Write::EndpointSlice(service, write) => {
                let flag = |holds: bool, letter: char| if holds { letter } else { '-' };
                let (what, endpoints) = match &write {
                    SliceWrite::Create(endpoints) => ("new slice".to_owned(), &endpoints[..]),
                    SliceWrite::Update(number, endpoints) => (format!("slice {number}"), &endpoints[..]),
                    SliceWrite::Delete(number) => (format!("no slice {number}"), &[][..]),
                };
                let shown = endpoints.iter().map(|endpoint| {
                    let flags = [(endpoint.ready, 'R'), (endpoint.serving, 'S'), (endpoint.terminating, 'T')];
                    format!(" {}={}", endpoint.pod_name, flags.iter().map(|(holds, letter)| flag(*holds, *letter)).collect::<String>())
                });
                let line = format!("{what}{}", shown.collect::<String>());
                match write {
                    SliceWrite::Create(endpoints) => self.store.create_slice(service, endpoints, now, &self.streams),
                    SliceWrite::Update(number, endpoints) => self.store.update_slice(service, number, endpoints),
                    SliceWrite::Delete(number) => self.store.remove_slice(service, number),
                };
                line
            }
            Write::NodeReady { node, status, reason } => {
                let line = format!("node {} Ready={} {reason}", self.node_name(node), status.as_str());
                self.store.update_node(node, |node| {
                    (node.status.ready, node.status.ready_since) = (status, now);
                    true
                });
                line
            }
            Write::PatchNode { node, add, remove, unschedulable } => {
                let plus = add.iter().map(|taint| format!(" +{}:{}", taint.key, taint.effect.as_str()));
                let minus = remove.iter().map(|(key, effect)| format!(" -{key}:{}", effect.as_str()));
                let cordon = unschedulable.map_or("", |yes| if yes { " cordon" } else { " uncordon" });
                let line = format!("node {}{cordon}{}", self.node_name(node), plus.chain(minus).collect::<String>());
                self.store.update_node(node, |node| {
                    let taints = &mut node.spec.taints;
                    taints.retain(|taint| !remove.iter().any(|(key, effect)| taint.key == *key && taint.effect == *effect));
                    taints.extend(add);
                    node.spec.unschedulable = unschedulable.unwrap_or(node.spec.unschedulable);
                    true
                });
                line
            }
            Write::DeleteNode(node) => {
                let line = format!("delete node {}", self.node_name(node));
                self.store.remove_node(node);
                line
            }
            Write::Scale(kind, key, replicas) => {
                if let Some(id) = self.store.deployments.find(&key) {
                    self.store.update(id, |deployment| {
                        deployment.replicas = replicas;
                        true
                    });
                }
                format!("scale {kind}/{key} to {replicas}")
            }
            Write::HpaStatus { hpa, current, desired, scaled, conditions } => {
                self.store.update(hpa, |hpa| {
                    (hpa.current_replicas, hpa.desired_replicas) = (current, desired);
                    hpa.conditions = conditions;
                    hpa.last_scale = if scaled { Some(now) } else { hpa.last_scale };
                    true
                });
                format!("status current={current} desired={desired}{}", if scaled { " scaled" } else { "" })
            }
            Write::Create(object) => with_object!(object, object => {
                let line = format!("create {} {}", object.meta.name, kind_of(&*object));
                self.store.create(*object, now, &streams).expect("a free name");
                line
            }),
            Write::Update(object, part) => with_object!(object, object => self.land_update(*object, part)),
            Write::Delete(kind, key, _) => {
                with_kind!(kind, T => { T::table(&self.store).find(&key).map(|id| self.store.remove::<T>(id)); }, else ());
                format!("delete {} {kind}", key.name)
            }
            Write::Adopt(kind, number, owner, finalizer) => {
                let take = |meta: &mut ObjectMeta| {
                    meta.owners.push((*owner).clone());
                    meta.finalizers.extend(finalizer.clone());
                    true
                };
                format!("adopt {} by {}/{}", self.change_meta(kind, number, take), owner.kind, owner.name)
            }
            Write::Disown(kind, number, owner) => {
                let strip = |meta: &mut ObjectMeta| {
                    meta.owners.retain(|reference| reference.uid != owner);
                    true
                };
                format!("disown {}", self.change_meta(kind, number, strip))
            }
            other => format!("{other:?}"),
        }
    }

    /// Changes the metadata of an object; its name.
    fn change_meta(&mut self, kind: Kind, number: u32, change: impl FnOnce(&mut ObjectMeta) -> bool) -> String {
        if kind == Kind::Pod {
            self.store.update_pod(PodId::new(number), |pod| change(&mut pod.meta));
            return self.name(PodId::new(number));
        }
        with_kind!(kind, T => {
            self.store.update(Id::<T>::new(number), |object| change(object.meta_mut()));
            T::table(&self.store).get(Id::new(number)).map_or(String::new(), |object| object.meta.name.to_string())
        }, else String::new())
    }

    fn land_update<T: Kept>(&mut self, new: T, part: Part) -> String {
        let id = T::table(&self.store).find(&new.meta().key()).expect("an object of this name");
        let counts = new.counts().filter(|_| part == Part::Status).map_or(String::new(), |counts| format!(" {counts:?}"));
        let line = format!("update {} {}{}{counts}", new.meta().name, if part == Part::Status { "status of " } else { "" }, T::KIND);
        self.store.update(id, |old| {
            if part == Part::Status {
                old.take_status(&new);
            } else {
                *old = new;
            }
            true
        });
        line
    }

    fn name(&self, pod: PodId) -> String {
        self.store.pods.get(pod).map_or(String::new(), |pod| pod.meta.name.to_string())
    }
    fn node_name(&self, node: NodeId) -> String {
        self.store.nodes.get(node).map_or(String::new(), |node| node.meta.name.to_string())
    }
}

fn kind_of<T: Kept>(_: &T) -> Kind {
    T::KIND
}

/// A record as one line.
fn fact(record: &Record) -> String {
    match record {
        Record::Event { kind, reason, object, message, .. } => {
            let warning = if &**kind == "Warning" { "Warning " } else { "" };
            format!("{warning}{reason} {object}: {message}")
        }
        Record::Autoscale { current, proposed, desired, metric, reason, .. } => {
            format!("autoscale {current} -> {proposed} -> {desired} ({metric}) {reason}")
        }
        Record::NodePool { pool, from, to, reason, .. } => format!("pool {pool} {from} -> {to}: {reason}"),
        Record::NodePoolBackoff { pool, until } => format!("record {pool} is left alone until {}", until.as_secs()),
        Record::NotTriggerScaleUp { pods, pools, .. } => {
            let pools: Vec<String> = pools.iter().map(|(pool, why)| format!("{pool}: {why}")).collect();
            format!("record no pool for {}: {}", pods.join(", "), pools.join("; "))
        }
        other => format!("{other:?}"),
    }
}

/// Hashes change with every field a template gets; what they are does not matter here.
pub(super) fn strip_hash(name: &str) -> String {
    name.rsplit_once('-').map_or(name.to_owned(), |(stem, _)| format!("{stem}-#"))
}

/// A running pod to be described further.
#[derive(Clone)]
pub(super) struct TestPod {
    pod: Pod,
}

pub(super) fn pod(name: &str) -> TestPod {
    let mut pod = Pod { meta: meta("default", name), spec: Arc::new(pod_spec("web:v1", 100)), ..Pod::default() };
    pod.status.phase = PodPhase::Running;
    pod.status.has_ip = true;
    pod.status.start_time = Some(SimTime::ZERO);
    TestPod { pod }
}

fn make_ready(pod: &mut Pod, since: SimTime) {
    pod.status.phase = PodPhase::Running;
    pod.status.has_ip = true;
    pod.status.start_time = pod.status.start_time.or(Some(since));
    pod.status.conditions.ready.status = ConditionStatus::True;
    pod.status.conditions.ready.since = since;
}

impl TestPod {
    pub(super) fn build(&self) -> Pod {
        self.pod.clone()
    }
    pub(super) fn with(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(&mut self.pod);
        self
    }
    pub(super) fn on(self, node: &str) -> Self {
        self.with(|pod| pod.node_name = Some(node.into()))
    }
    pub(super) fn pending(self) -> Self {
        self.with(|pod| pod.status.phase = PodPhase::Pending)
    }
    pub(super) fn unschedulable(self) -> Self {
        self.with(|pod| {
            pod.status.phase = PodPhase::Pending;
            pod.status.has_ip = false;
            pod.status.conditions.scheduled.reason = "Unschedulable".into();
        })
    }
    pub(super) fn failed(self) -> Self {
        self.with(|pod| {
            pod.status.phase = PodPhase::Failed;
            pod.status.has_ip = false;
        })
    }
    pub(super) fn created(self, seconds: u64) -> Self {
        self.with(|pod| pod.meta.creation = SimTime::from_secs(seconds))
    }
    pub(super) fn ready_since(self, seconds: u64) -> Self {
        self.ready_since_ms(seconds * 1000)
    }
    pub(super) fn ready_since_ms(self, millis: u64) -> Self {
        self.with(|pod| make_ready(pod, SimTime::from_millis(millis)))
    }
    pub(super) fn start(self, seconds: u64) -> Self {
        self.with(|pod| pod.status.start_time = Some(SimTime::from_secs(seconds)))
    }
    pub(super) fn unready_since(self, seconds: u64) -> Self {
        self.with(|pod| pod.status.conditions.ready.since = SimTime::from_secs(seconds))
    }
    pub(super) fn no_requests(self) -> Self {
        self.with(|pod| Arc::make_mut(&mut pod.spec).containers[0].requests.clear())
    }
    pub(super) fn deleting(self) -> Self {
        self.with(|pod| pod.meta.deletion = Some(SimTime::ZERO))
    }
    pub(super) fn labels(self, text: &str) -> Self {
        self.with(|pod| pod.meta.labels = labels(text))
    }
    pub(super) fn annotation(self, key: &str, value: &str) -> Self {
        self.with(|pod| pod.meta.annotations = Arc::new([(Str::from(key), Str::from(value))].into()))
    }
    pub(super) fn deletion_cost(self, cost: i32) -> Self {
        self.annotation("controller.kubernetes.io/pod-deletion-cost", &cost.to_string())
    }
    pub(super) fn cpu(self, millis: i64) -> Self {
        self.with(|pod| pod.spec = Arc::new(pod_spec("web:v1", millis)))
    }
    pub(super) fn restarts(self, count: u32) -> Self {
        self.with(|pod| {
            let state = ContainerState::Running { started: SimTime::ZERO };
            let status =
                ContainerStatus { state, ready: true, started: true, restart_count: count, last: None, requests: None, allocated: None };
            pod.status.containers = vec![status];
        })
    }
    /// Tolerates unreachable nodes for so many seconds.
    pub(super) fn tolerates(self, key: &str, seconds: Option<i64>) -> Self {
        self.with(|pod| {
            let toleration = Toleration {
                key: key.into(),
                operator: TolerationOperator::Exists,
                effect: Some(TaintEffect::NoExecute),
                toleration_seconds: seconds,
                ..Toleration::default()
            };
            Arc::make_mut(&mut pod.spec).tolerations.push(toleration);
        })
    }
}

/// A rolling update with these limits, written `1`, `25%`.
pub(super) fn rolling(max_surge: &str, max_unavailable: &str) -> DeploymentStrategy {
    let read = |text: &str| {
        let number = text.trim_end_matches('%').parse().expect("a number");
        if text.ends_with('%') { IntOrPercent::Percent(number) } else { IntOrPercent::Count(number) }
    };
    DeploymentStrategy::RollingUpdate { max_surge: read(max_surge), max_unavailable: read(max_unavailable) }
}

/// A NoExecute taint of this key.
pub(super) fn no_execute(key: &str) -> Taint {
    Taint::new(key, TaintEffect::NoExecute)
}
