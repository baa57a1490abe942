//! Random scenarios: workloads of every kind, what is wrong with them, faults that end, and what operators do.
//!
//! Invariant: a case says everything, in small numbers, so that a failing one can be read and shrunk.

use std::sync::Arc;

use api::{
    ConcurrencyPolicy, CronJob, DaemonSet, Deployment, DeploymentStrategy, HorizontalPodAutoscaler, IntOrPercent, Job, JobSpec, Kind,
    LabelSelector, MetricSource, MetricSpec, MetricTarget, ObjectMeta, PersistentVolumeClaim, PodDisruptionBudget, PodManagementPolicy,
    PodTemplate, Probe, ProbeHandler, Propagation, ResourceName, ResourceQuota, RestartPolicy, Service, SimDuration, SimTime, StatefulSet,
    StorageClass, Str, TaintEffect,
};
use proptest::prelude::*;

use super::super::{deployment, key, labels, pool, template};
use crate::random::Distribution;
use crate::spec::{
    Arrivals, Behavior, Client, ControlPlaneComponent, CpuLoad, Crash, Fault, FaultAction, FaultMode, FaultTarget, MemoryUse, NodePool,
    Objects, PodSelector, RatePoint, ServiceBehavior, Source, Step, StepAction, WorldSpec,
};

/// Faults begin and operators act this long.
pub(super) const ACTIVE_SECONDS: u64 = 300;
/// A fault lasts no longer.
pub(super) const LONGEST_FAULT_SECONDS: u64 = 400;
/// The longest retry of a work queue (1,000 s), the longest toleration (300 s), and the time of a rollout.
pub(super) const BOUND_SECONDS: u64 = 1800;
/// Then everything is looked at so often, so far apart: only what is wrong each time is wrong.
pub(super) const LOOKS: u64 = 4;
pub(super) const BETWEEN_LOOKS_SECONDS: u64 = 110;
/// No node of any case has it.
pub(super) const BROKEN_IMAGE: &str = "web:broken";
pub(super) const BROKEN_TAINT: &str = "broken";
pub(super) const NODE_CPU_MILLIS: i64 = 4000;
pub(super) const HPA_TARGET_PERCENT: i32 = 50;

/// What is the matter with the pods of a workload.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Fate {
    #[default]
    Well,
    SlowToStart,
    NeverReady,
    BadImage,
    Crashes,
    OutOfMemory,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct DeploymentCase {
    pub(super) replicas: i32,
    pub(super) cpu_millis: i64,
    pub(super) fate: Fate,
    pub(super) recreate: bool,
    pub(super) min_ready_seconds: u64,
    pub(super) priority: i32,
    /// `minAvailable` of its PodDisruptionBudget.
    pub(super) budget: Option<i32>,
    /// `maxReplicas` of its HorizontalPodAutoscaler, and the cpu that its pods use together.
    pub(super) autoscaled: Option<(i32, i64)>,
    /// Requests per second through its Service.
    pub(super) requests: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct StatefulSetCase {
    pub(super) replicas: i32,
    pub(super) cpu_millis: i64,
    pub(super) parallel: bool,
    pub(super) claims: bool,
    pub(super) fate: Fate,
    pub(super) budget: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct JobCase {
    pub(super) completions: i32,
    pub(super) parallelism: i32,
    pub(super) fails: bool,
    pub(super) bad_image: bool,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Case {
    pub(super) nodes: u32,
    pub(super) zones: u8,
    /// Most nodes of a second pool, which the cluster autoscaler resizes.
    pub(super) elastic: Option<u32>,
    pub(super) deployments: Vec<DeploymentCase>,
    pub(super) stateful_sets: Vec<StatefulSetCase>,
    pub(super) daemon_cpu_millis: Option<i64>,
    pub(super) jobs: Vec<JobCase>,
    /// What a CronJob of every minute does when the last Job is not over.
    pub(super) cron: Option<u8>,
    pub(super) quota_pods: Option<i64>,
    /// Standby leaders, and requests of unequal speed.
    pub(super) standby: bool,
    pub(super) jitter: bool,
    /// When, how long, what, how many.
    pub(super) faults: Vec<(u64, u64, u8, u8)>,
    /// When, what, how many.
    pub(super) steps: Vec<(u64, u8, i32)>,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Well),
        2 => Just(Fate::SlowToStart),
        1 => Just(Fate::NeverReady),
        1 => Just(Fate::BadImage),
        1 => Just(Fate::Crashes),
        1 => Just(Fate::OutOfMemory),
    ]
}

fn deployments() -> impl Strategy<Value = DeploymentCase> {
    let budget = prop::option::weighted(0.3, 0i32..4);
    let autoscaled = prop::option::weighted(0.2, (1i32..9, 50i64..3000));
    let requests = prop::option::weighted(0.2, 1u32..4);
    let rest = (prop::bool::weighted(0.2), prop_oneof![3 => Just(0u64), 1 => 1u64..40], 0i32..3);
    (0i32..7, 100i64..1200, fates(), rest, budget, autoscaled, requests).prop_map(
        |(replicas, cpu_millis, fate, (recreate, min_ready_seconds, priority), budget, autoscaled, requests)| DeploymentCase {
            replicas,
            cpu_millis,
            fate,
            recreate,
            min_ready_seconds,
            priority,
            budget,
            autoscaled,
            requests,
        },
    )
}

fn stateful_sets() -> impl Strategy<Value = StatefulSetCase> {
    let budget = prop::option::weighted(0.3, 0i32..4);
    (0i32..5, 100i64..1200, any::<bool>(), any::<bool>(), fates(), budget).prop_map(
        |(replicas, cpu_millis, parallel, claims, fate, budget)| StatefulSetCase { replicas, cpu_millis, parallel, claims, fate, budget },
    )
}

fn jobs() -> impl Strategy<Value = JobCase> {
    (1i32..6, 1i32..4, prop::bool::weighted(0.2), prop::bool::weighted(0.1))
        .prop_map(|(completions, parallelism, fails, bad_image)| JobCase { completions, parallelism, fails, bad_image })
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let workloads = (
        prop::collection::vec(deployments(), 0..4),
        prop::collection::vec(stateful_sets(), 0..3),
        prop::option::of(50i64..500),
        prop::collection::vec(jobs(), 0..3),
        prop::option::weighted(0.2, 0u8..3),
    );
    let faults = prop::collection::vec((5..ACTIVE_SECONDS, 5..LONGEST_FAULT_SECONDS, 0u8..15, 0u8..4), 0..5);
    let steps = prop::collection::vec((5..ACTIVE_SECONDS, 0u8..25, 0i32..9), 0..6);
    let cluster = (1u32..6, 1u8..4, prop::option::weighted(0.2, 1u32..4), prop::option::weighted(0.3, 1i64..20));
    let control_plane = (prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (workloads, cluster, control_plane, faults, steps).prop_map(
        |(
            (deployments, stateful_sets, daemon_cpu_millis, jobs, cron),
            (nodes, zones, elastic, quota_pods),
            (standby, jitter),
            faults,
            steps,
        )| {
            Case {
                nodes,
                zones,
                elastic,
                deployments,
                stateful_sets,
                daemon_cpu_millis,
                jobs,
                cron,
                quota_pods,
                standby,
                jitter,
                faults,
                steps,
            }
        },
    )
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { namespace: "default".into(), name: name.into(), labels: labels(name), ..ObjectMeta::default() }
}

fn selector(name: &str) -> Arc<LabelSelector> {
    Arc::new(LabelSelector { match_labels: (*labels(name)).clone(), ..LabelSelector::default() })
}

/// The template of a workload, with a readiness probe where there is something to find out.
fn probed(name: &str, image: &str, cpu_millis: i64, priority: i32, fate: Fate, served: bool) -> Arc<PodTemplate> {
    let image = if fate == Fate::BadImage { BROKEN_IMAGE } else { image };
    let mut template = (*template(name, image, cpu_millis)).clone();
    let spec = Arc::make_mut(&mut template.spec);
    spec.priority = priority;
    if served || matches!(fate, Fate::SlowToStart | Fate::NeverReady) {
        spec.containers[0].readiness_probe = Some(Probe {
            handler: ProbeHandler::HttpGet,
            initial_delay: SimDuration::ZERO,
            timeout: SimDuration::from_secs(1),
            period: SimDuration::from_secs(5),
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period: None,
        });
    }
    Arc::new(template)
}

fn deployed(name: &str, case: &DeploymentCase) -> Deployment {
    Deployment {
        template: probed(name, "web:v1", case.cpu_millis, case.priority, case.fate, case.requests.is_some()),
        min_ready: SimDuration::from_secs(case.min_ready_seconds),
        strategy: if case.recreate { DeploymentStrategy::Recreate } else { DeploymentStrategy::default() },
        ..deployment(name, case.replicas, case.cpu_millis)
    }
}

fn stateful_set(name: &str, case: &StatefulSetCase) -> StatefulSet {
    let claim = PersistentVolumeClaim {
        meta: ObjectMeta { name: "data".into(), ..ObjectMeta::default() },
        request_bytes: 1 << 30,
        access_modes: vec!["ReadWriteOnce".into()],
        storage_class_name: Some("fast".into()),
        ..PersistentVolumeClaim::default()
    };
    StatefulSet {
        meta: meta(name),
        replicas: case.replicas,
        selector: selector(name),
        template: probed(name, "db:v1", case.cpu_millis, 0, case.fate, false),
        volume_claim_templates: if case.claims { vec![claim] } else { Vec::new() },
        revision_history_limit: 10,
        pod_management: if case.parallel { PodManagementPolicy::Parallel } else { PodManagementPolicy::OrderedReady },
        ..StatefulSet::default()
    }
}

fn job_spec(name: &str, case: &JobCase) -> Arc<JobSpec> {
    let image = if case.bad_image { BROKEN_IMAGE } else { "work:v1" };
    let mut template = (*template(name, image, 300)).clone();
    Arc::make_mut(&mut template.spec).restart_policy = RestartPolicy::Never;
    Arc::new(JobSpec {
        template: Arc::new(template),
        completions: Some(case.completions),
        parallelism: case.parallelism,
        backoff_limit: 3,
        ..JobSpec::default()
    })
}

fn job(name: &str, case: &JobCase) -> Job {
    Job { meta: ObjectMeta { labels: Arc::default(), ..meta(name) }, spec: job_spec(name, case), ..Job::default() }
}

fn cron_job(name: &str, policy: u8) -> CronJob {
    CronJob {
        meta: ObjectMeta { labels: Arc::default(), ..meta(name) },
        schedule: "* * * * *".into(),
        concurrency: [ConcurrencyPolicy::Allow, ConcurrencyPolicy::Forbid, ConcurrencyPolicy::Replace][usize::from(policy % 3)],
        successful_jobs_history_limit: Some(3),
        failed_jobs_history_limit: Some(1),
        job_spec: job_spec(name, &JobCase { completions: 1, parallelism: 1, ..JobCase::default() }),
        ..CronJob::default()
    }
}

fn quota(pods: i64) -> ResourceQuota {
    ResourceQuota { meta: meta("quota"), hard: [("pods".into(), pods)].into(), ..ResourceQuota::default() }
}

fn budget(name: &str, least: i32) -> PodDisruptionBudget {
    PodDisruptionBudget {
        meta: meta(name),
        selector: Some((*selector(name)).clone()),
        min_available: Some(IntOrPercent::Count(least)),
        ..PodDisruptionBudget::default()
    }
}

fn autoscaler(name: &str, most: i32) -> HorizontalPodAutoscaler {
    let target = MetricTarget::AverageUtilization(HPA_TARGET_PERCENT);
    HorizontalPodAutoscaler {
        meta: meta(name),
        target_kind: "Deployment".into(),
        target_name: name.into(),
        min_replicas: 1,
        max_replicas: most,
        metrics: vec![MetricSpec { source: MetricSource::Resource(ResourceName::Cpu), target }],
        ..HorizontalPodAutoscaler::default()
    }
}

/// Pods keep their labels when they lose their owner.
fn of(name: &str) -> PodSelector {
    PodSelector { labels: Some((*selector(name)).clone()), ..PodSelector::default() }
}

fn behavior(name: &str, fate: Fate) -> Behavior {
    let selector = of(name);
    let constant = |seconds| Distribution::Constant(SimDuration::from_secs(seconds));
    match fate {
        Fate::Well | Fate::BadImage => Behavior { selector, ..Behavior::default() },
        Fate::SlowToStart => Behavior { selector, ready_after: Some(constant(35)), ..Behavior::default() },
        Fate::NeverReady => Behavior { selector, never_ready: true, ..Behavior::default() },
        Fate::Crashes => {
            Behavior { selector, crash: Some(Crash { after: constant(20), exit_code: 1, times: None }), ..Behavior::default() }
        }
        Fate::OutOfMemory => {
            let points = vec![(SimDuration::ZERO, 10 << 20), (SimDuration::from_secs(30), 400 << 20)];
            Behavior { selector, memory: Some(MemoryUse { points }), ..Behavior::default() }
        }
    }
}

fn works(name: &str, fails: bool) -> Behavior {
    let after = Distribution::Constant(SimDuration::from_secs(20));
    Behavior { selector: of(name), crash: Some(Crash { after, exit_code: i32::from(fails), times: None }), ..Behavior::default() }
}

fn fault(case: &Case, number: usize, (at, duration, action, mode): (u64, u64, u8, u8)) -> Fault {
    let lasting = SimDuration::from_secs(duration);
    let nodes = || FaultTarget::Nodes { labels: None, names: Vec::new() };
    let pods = || FaultTarget::Pods(PodSelector::default());
    let control_plane = |component| (FaultAction::ControlPlaneKill(component), FaultTarget::ControlPlane);
    let (action, target) = match action {
        0 => (FaultAction::NodePoweroff, nodes()),
        1 => (FaultAction::NodeRestart(lasting), nodes()),
        2 => (FaultAction::KubeletServiceKill, nodes()),
        3 => (FaultAction::NodeDrain, nodes()),
        4 => (FaultAction::NodeTaint(api::Taint::new(BROKEN_TAINT, TaintEffect::NoExecute)), nodes()),
        5 | 6 => (FaultAction::NodeNetworkPartition, nodes()),
        7 => (FaultAction::ContainerKill { container: None, exit_code: 137 }, pods()),
        8 => (FaultAction::PodKill { grace: SimDuration::from_secs(duration % 40) }, pods()),
        9 => control_plane(ControlPlaneComponent::KubeApiserver),
        10 => control_plane(ControlPlaneComponent::KubeControllerManager),
        11 => control_plane(ControlPlaneComponent::KubeScheduler),
        12 => control_plane(ControlPlaneComponent::Etcd),
        13 => (FaultAction::NodeShutdown, nodes()),
        _ => {
            // A whole zone loses power.
            let zone: Str = format!("zone-{}", number % usize::from(case.zones.max(1))).into();
            let labels = LabelSelector { match_labels: [("topology.kubernetes.io/zone".into(), zone)].into(), ..LabelSelector::default() };
            (FaultAction::NodePoweroff, FaultTarget::Nodes { labels: Some(labels), names: Vec::new() })
        }
    };
    let mode = match mode {
        0 => FaultMode::One,
        1 => FaultMode::All,
        2 => FaultMode::Fixed(2),
        _ => FaultMode::FixedPercent(50.0),
    };
    Fault { name: format!("f{number}").into(), at: SimTime::from_secs(at), duration: Some(lasting), schedule: None, action, mode, target }
}

fn step(case: &Case, place: usize, (at, what, number): (u64, u8, i32)) -> Option<Step> {
    let pick = |prefix: &str, count: usize| (count > 0).then(|| key(&format!("{prefix}{}", number as usize % count.max(1))));
    let deployment = || pick("d", case.deployments.len());
    let stateful_set = || pick("s", case.stateful_sets.len());
    let job = || pick("j", case.jobs.len());
    let cron = || case.cron.map(|_| key("cron"));
    let image = || vec![("*".into(), if number >= 7 { BROKEN_IMAGE.into() } else { format!("web:v{number}").into() })];
    let node = || Str::from(format!("node-{}", number as u32 % case.nodes.max(1)));
    let propagation = [Propagation::Background, Propagation::Foreground, Propagation::Orphan][number as usize % 3];
    let taint = || api::Taint::new(BROKEN_TAINT, TaintEffect::NoExecute);
    let action = match what {
        0 => StepAction::Scale(Kind::Deployment, deployment()?, number),
        1 => StepAction::SetImage(Kind::Deployment, deployment()?, image()),
        2 => StepAction::RolloutRestart(Kind::Deployment, deployment()?),
        3 => StepAction::Scale(Kind::StatefulSet, stateful_set()?, number),
        4 => StepAction::SetImage(Kind::StatefulSet, stateful_set()?, image()),
        5 => StepAction::RolloutRestart(Kind::DaemonSet, case.daemon_cpu_millis.map(|_| key("agent"))?),
        6 => StepAction::RolloutUndo(Kind::Deployment, deployment()?, None),
        7 => StepAction::Apply(Arc::new(Objects { resource_quotas: vec![quota(i64::from(number) * 3)], ..Objects::default() })),
        8 => StepAction::Drain(node()),
        9 => StepAction::Cordon(node(), true),
        10 | 11 => StepAction::Cordon(node(), false),
        12 => StepAction::Delete(Kind::Deployment, deployment()?, propagation),
        13 => StepAction::Delete(Kind::StatefulSet, stateful_set()?, propagation),
        14 => StepAction::Delete(Kind::Job, job()?, propagation),
        15 => StepAction::RolloutPause(Kind::Deployment, deployment()?, true),
        16 => StepAction::RolloutPause(Kind::Deployment, deployment()?, false),
        17 => StepAction::Suspend(Kind::Job, job()?, number % 2 == 0),
        18 => StepAction::Suspend(Kind::CronJob, cron()?, number % 2 == 0),
        19 => StepAction::RolloutUndo(Kind::StatefulSet, stateful_set()?, None),
        20 => StepAction::Taint(node(), taint(), true),
        21 => StepAction::Taint(node(), taint(), false),
        22 => StepAction::Delete(Kind::Pod, key(&format!("s0-{}", number % 4)), Propagation::Background),
        23 => StepAction::Delete(Kind::DaemonSet, case.daemon_cpu_millis.map(|_| key("agent"))?, propagation),
        _ => StepAction::Delete(Kind::ResourceQuota, key("quota"), Propagation::Background),
    };
    Some(Step { name: format!("step-{place}").into(), at: SimTime::from_secs(at), action })
}

fn served(spec: &mut WorldSpec, name: &str, per_second: u32) {
    spec.objects.services.push(Service { meta: meta(name), selector: Some(labels(name)), ..Service::default() });
    spec.traffic.sources.push(Source {
        name: name.into(),
        to: key(name),
        rate: vec![RatePoint { at: SimTime::ZERO, per_second: f64::from(per_second), linear: false }],
        arrivals: Arrivals::Poisson,
        users: None,
        via: Default::default(),
        clients: None,
        address: None,
        client: Client::default(),
    });
}

fn elastic_pool(most: u32) -> NodePool {
    NodePool { autoscaling: Some((0, most)), initial: 0, ..pool("elastic", 0, NODE_CPU_MILLIS) }
}

pub(super) fn world(case: &Case) -> WorldSpec {
    let duration = ACTIVE_SECONDS + LONGEST_FAULT_SECONDS + BOUND_SECONDS + LOOKS * BETWEEN_LOOKS_SECONDS;
    let zones = (0..case.zones).map(|zone| format!("zone-{zone}").into()).collect();
    let nodes = NodePool { zones, ..pool("node", case.nodes, NODE_CPU_MILLIS) };
    let mut spec = WorldSpec { duration: SimDuration::from_secs(duration), node_pools: vec![nodes], ..WorldSpec::default() };
    spec.node_pools.extend(case.elastic.map(elastic_pool));
    let plane = &mut spec.control_plane;
    if case.standby {
        (plane.leader_election.scheduler_replicas, plane.leader_election.controller_manager_replicas) = (2, 2);
    }
    if case.jitter {
        plane.api_server.request_jitter = Distribution::Exponential { mean: SimDuration::from_millis(8) };
    }
    spec.objects.storage_classes.push(StorageClass {
        meta: ObjectMeta { name: "fast".into(), ..ObjectMeta::default() },
        provisioner: "disks.example".into(),
        wait_for_first_consumer: true,
        deletes_when_released: true,
        ..StorageClass::default()
    });
    let unreachable = PodSelector { image: Some(BROKEN_IMAGE.into()), ..PodSelector::default() };
    spec.behaviors.push(Behavior { selector: unreachable, image_pull_error: Some("manifest unknown".into()), ..Behavior::default() });
    for (number, row) in case.deployments.iter().enumerate() {
        let name = format!("d{number}");
        spec.objects.deployments.push(deployed(&name, row));
        let mut behavior = behavior(&name, row.fate);
        if let Some(per_second) = row.requests {
            served(&mut spec, &name, per_second);
            let cpu_per_request = Distribution::Constant(SimDuration::from_millis(20));
            behavior.service = Some(ServiceBehavior { cpu_per_request, ..ServiceBehavior::default() });
        }
        spec.behaviors.push(behavior);
        spec.objects.pod_disruption_budgets.extend(row.budget.map(|least| budget(&name, least)));
        if let Some((most, total_millis)) = row.autoscaled {
            spec.objects.horizontal_pod_autoscalers.push(autoscaler(&name, most));
            let load = CpuLoad { selector: of(&name), total_millis, ..CpuLoad::default() };
            spec.steps.push(Step { name: "load".into(), at: SimTime::from_secs(1), action: StepAction::SetLoad(load) });
        }
    }
    for (number, row) in case.stateful_sets.iter().enumerate() {
        let name = format!("s{number}");
        spec.objects.stateful_sets.push(stateful_set(&name, row));
        spec.behaviors.push(behavior(&name, row.fate));
        spec.objects.pod_disruption_budgets.extend(row.budget.map(|least| budget(&name, least)));
    }
    if let Some(cpu_millis) = case.daemon_cpu_millis {
        spec.objects.daemon_sets.push(DaemonSet {
            meta: meta("agent"),
            selector: selector("agent"),
            template: template("agent", "agent:v1", cpu_millis),
            revision_history_limit: 10,
            ..DaemonSet::default()
        });
    }
    for (number, row) in case.jobs.iter().enumerate() {
        let name = format!("j{number}");
        spec.objects.jobs.push(job(&name, row));
        spec.behaviors.push(works(&name, row.fails));
    }
    if let Some(policy) = case.cron {
        spec.objects.cron_jobs.push(cron_job("cron", policy));
        spec.behaviors.push(works("cron", false));
    }
    spec.objects.resource_quotas.extend(case.quota_pods.map(quota));
    spec.faults = case.faults.iter().enumerate().map(|(number, row)| fault(case, number, *row)).collect();
    spec.steps.extend(case.steps.iter().enumerate().filter_map(|(place, row)| step(case, place, *row)));
    spec
}
