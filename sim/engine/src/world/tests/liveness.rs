//! Liveness: once the faults of a random scenario have ended, every workload is what it is meant to be within
//! [`BOUND_SECONDS`], or the trace says why it cannot be, and what it says is so.
//!
//! What counts as a reason: a pod that has a `FailedScheduling` event while a scheduler that is asked afresh
//! finds no node for it either; a `FailedCreate` event about the workload while its quota is full; a Job that
//! has failed and says by what; for a node that keeps its cordon, that kubectl was refused. Everything else is a workload that was forgotten.
//!
//! `WAVETANK_LIVENESS=3000 cargo test -p wavetank-engine liveness` runs that many cases.

use api::{
    DaemonSet, Job, JobConditionType, JobSpec, Kind, PersistentVolumeClaim, Pod, PodManagementPolicy, ResourceQuota, RestartPolicy,
    StatefulSet, StorageClass,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::spec::{
    Behavior, ControlPlaneComponent, Crash, Fault, FaultAction, FaultMode, FaultTarget, Objects, PodSelector, Step, StepAction,
};

/// Faults begin and operators act this long.
const ACTIVE_SECONDS: u64 = 300;
/// A fault lasts no longer.
const LONGEST_FAULT_SECONDS: u64 = 400;
/// The longest retry of a work queue (1,000 s), the longest toleration (300 s), and the time of a rollout.
const BOUND_SECONDS: u64 = 1800;
const CASES: u32 = 40;

#[derive(Clone, Debug)]
struct Case {
    nodes: u32,
    /// Replicas, and cpu of each, by kind.
    deployments: Vec<(i32, i64)>,
    stateful_sets: Vec<(i32, i64, bool, bool)>,
    daemon_cpu_millis: Option<i64>,
    /// Completions, parallelism, exit code.
    jobs: Vec<(i32, i32, bool)>,
    quota_pods: Option<i64>,
    /// When, how long, what, how many.
    faults: Vec<(u64, u64, u8, u8)>,
    /// When, what, how many.
    steps: Vec<(u64, u8, i32)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let deployments = prop::collection::vec((0i32..7, 100i64..1200), 0..3);
    let stateful_sets = prop::collection::vec((0i32..5, 100i64..1200, any::<bool>(), any::<bool>()), 0..3);
    let jobs = prop::collection::vec((1i32..6, 1i32..4, prop::bool::weighted(0.2)), 0..3);
    let faults = prop::collection::vec((5..ACTIVE_SECONDS, 5..LONGEST_FAULT_SECONDS, 0u8..12, 0u8..3), 0..5);
    let steps = prop::collection::vec((5..ACTIVE_SECONDS, 0u8..8, 0i32..9), 0..5);
    let rest = (prop::option::of(50i64..500), prop::option::weighted(0.3, 1i64..20));
    (1u32..6, deployments, stateful_sets, jobs, rest, faults, steps).prop_map(
        |(nodes, deployments, stateful_sets, jobs, (daemon_cpu_millis, quota_pods), faults, steps)| Case {
            nodes,
            deployments,
            stateful_sets,
            daemon_cpu_millis,
            jobs,
            quota_pods,
            faults,
            steps,
        },
    )
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { namespace: "default".into(), name: name.into(), labels: labels(name), ..ObjectMeta::default() }
}

fn selector(name: &str) -> Arc<LabelSelector> {
    Arc::new(LabelSelector { match_labels: (*labels(name)).clone(), ..LabelSelector::default() })
}

fn stateful_set(name: &str, (replicas, cpu_millis, parallel, claims): (i32, i64, bool, bool)) -> StatefulSet {
    let claim = PersistentVolumeClaim {
        meta: ObjectMeta { name: "data".into(), ..ObjectMeta::default() },
        request_bytes: 1 << 30,
        access_modes: vec!["ReadWriteOnce".into()],
        storage_class_name: Some("fast".into()),
        ..PersistentVolumeClaim::default()
    };
    StatefulSet {
        meta: meta(name),
        replicas,
        selector: selector(name),
        template: template(name, "db:v1", cpu_millis),
        volume_claim_templates: if claims { vec![claim] } else { Vec::new() },
        revision_history_limit: 10,
        pod_management: if parallel { PodManagementPolicy::Parallel } else { PodManagementPolicy::OrderedReady },
        ..StatefulSet::default()
    }
}

fn job(name: &str, completions: i32, parallelism: i32) -> Job {
    let mut template = (*template(name, "work:v1", 300)).clone();
    Arc::make_mut(&mut template.spec).restart_policy = RestartPolicy::Never;
    let spec =
        JobSpec { template: Arc::new(template), completions: Some(completions), parallelism, backoff_limit: 3, ..JobSpec::default() };
    Job { meta: ObjectMeta { labels: Arc::default(), ..meta(name) }, spec: Arc::new(spec), ..Job::default() }
}

fn quota(pods: i64) -> ResourceQuota {
    ResourceQuota { meta: meta("quota"), hard: [("pods".into(), pods)].into(), ..ResourceQuota::default() }
}

fn fault(number: usize, (at, duration, action, mode): (u64, u64, u8, u8)) -> Fault {
    let lasting = SimDuration::from_secs(duration);
    let nodes = || FaultTarget::Nodes { labels: None, names: Vec::new() };
    let pods = || FaultTarget::Pods(PodSelector::default());
    let control_plane = |component| (FaultAction::ControlPlaneKill(component), FaultTarget::ControlPlane);
    let (action, target) = match action {
        0 => (FaultAction::NodePoweroff, nodes()),
        1 => (FaultAction::NodeRestart(lasting), nodes()),
        2 => (FaultAction::KubeletServiceKill, nodes()),
        3 => (FaultAction::NodeDrain, nodes()),
        4 => (FaultAction::NodeTaint(api::Taint::new("broken", TaintEffect::NoExecute)), nodes()),
        5 | 6 => (FaultAction::NodeNetworkPartition, nodes()),
        7 => (FaultAction::ContainerKill { container: None, exit_code: 137 }, pods()),
        8 => (FaultAction::PodKill { grace: SimDuration::from_secs(duration % 40) }, pods()),
        9 => control_plane(ControlPlaneComponent::KubeApiserver),
        10 => control_plane(ControlPlaneComponent::KubeControllerManager),
        _ => control_plane(ControlPlaneComponent::KubeScheduler),
    };
    let mode = match mode {
        0 => FaultMode::One,
        1 => FaultMode::All,
        _ => FaultMode::Fixed(2),
    };
    Fault { name: format!("f{number}").into(), at: SimTime::from_secs(at), duration: Some(lasting), schedule: None, action, mode, target }
}

fn step(case: &Case, (at, what, number): (u64, u8, i32)) -> Option<Step> {
    let pick = |prefix: &str, count: usize| (count > 0).then(|| key(&format!("{prefix}{}", number as usize % count.max(1))));
    let deployment = || pick("d", case.deployments.len());
    let stateful_set = || pick("s", case.stateful_sets.len());
    let image = || vec![("*".into(), format!("web:v{number}").into())];
    let action = match what {
        0 => StepAction::Scale(Kind::Deployment, deployment()?, number),
        1 => StepAction::SetImage(Kind::Deployment, deployment()?, image()),
        2 => StepAction::RolloutRestart(Kind::Deployment, deployment()?),
        3 => StepAction::Scale(Kind::StatefulSet, stateful_set()?, number),
        4 => StepAction::SetImage(Kind::StatefulSet, stateful_set()?, image()),
        5 => StepAction::RolloutRestart(Kind::DaemonSet, case.daemon_cpu_millis.map(|_| key("agent"))?),
        6 => StepAction::RolloutUndo(Kind::Deployment, deployment()?, None),
        _ => StepAction::Apply(Arc::new(Objects { resource_quotas: vec![quota(i64::from(number) * 3)], ..Objects::default() })),
    };
    Some(Step { name: "step".into(), at: SimTime::from_secs(at), action })
}

fn world(case: &Case) -> WorldSpec {
    let duration = SimDuration::from_secs(ACTIVE_SECONDS + LONGEST_FAULT_SECONDS + BOUND_SECONDS);
    let mut spec = WorldSpec { duration, node_pools: vec![pool("node", case.nodes, 4000)], ..WorldSpec::default() };
    spec.objects.storage_classes.push(StorageClass {
        meta: ObjectMeta { name: "fast".into(), ..ObjectMeta::default() },
        provisioner: "disks.example".into(),
        wait_for_first_consumer: true,
        deletes_when_released: true,
        ..StorageClass::default()
    });
    for (number, (replicas, cpu_millis)) in case.deployments.iter().enumerate() {
        spec.objects.deployments.push(deployment(&format!("d{number}"), *replicas, *cpu_millis));
    }
    for (number, row) in case.stateful_sets.iter().enumerate() {
        spec.objects.stateful_sets.push(stateful_set(&format!("s{number}"), *row));
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
    for (number, (completions, parallelism, fails)) in case.jobs.iter().enumerate() {
        let name = format!("j{number}");
        spec.objects.jobs.push(job(&name, *completions, *parallelism));
        spec.behaviors.push(Behavior {
            selector: PodSelector { workload: Some((Kind::Job, key(&name))), ..PodSelector::default() },
            crash: Some(Crash { after: Distribution::Constant(SimDuration::from_secs(20)), exit_code: i32::from(*fails), times: None }),
            ..Behavior::default()
        });
    }
    spec.objects.resource_quotas.extend(case.quota_pods.map(quota));
    spec.faults = case.faults.iter().enumerate().map(|(number, row)| fault(number, *row)).collect();
    spec.steps = case.steps.iter().filter_map(|row| step(case, *row)).collect();
    spec
}

/// What a finished run says about workloads that are not what they are meant to be.
struct Reasons<'a> {
    run: &'a Run,
    quota_is_full: bool,
}

impl<'a> Reasons<'a> {
    fn new(run: &'a Run) -> Self {
        let store = &run.world.store;
        let pods = store.pods.iter().filter(|(_, pod)| !pod.status.phase.is_terminal()).count() as i64;
        let quota_is_full = store.resource_quotas.iter().any(|(_, quota)| quota.hard.get("pods").is_some_and(|most| pods >= *most));
        Self { run, quota_is_full }
    }

    fn has_event(&self, object: &str, reason: &str) -> bool {
        self.run.records.iter().any(
            |(_, record)| matches!(record, Record::Event { object: about, reason: of, .. } if about.starts_with(object) && **of == *reason),
        )
    }

    /// Then a node may have kept its cordon or taint: nobody could take it off.
    fn kubectl_was_refused(&self) -> bool {
        self.run.records.iter().any(|(_, record)| matches!(record, Record::Step { step, .. } if &**step == "kubectl"))
    }

    /// That no node takes a pod put aside was asked of a fresh scheduler before.
    fn waits_for_room(&self, pod: &Pod) -> bool {
        pod.node_name.is_none() && !pod.meta.is_deleting() && self.has_event(&format!("Pod/{}", pod.meta.key()), "FailedScheduling")
    }

    /// Whether the trace says why this workload is not complete.
    fn explain(&self, kind: &str, name: &str) -> bool {
        let mut pods = self.run.world.store.pods.iter().filter(|(_, pod)| pod.meta.labels.get("app").is_some_and(|app| **app == *name));
        let creator = if kind == "Deployment" { format!("ReplicaSet/default/{name}-") } else { format!("{kind}/default/{name}") };
        pods.any(|(_, pod)| self.waits_for_room(pod)) || (self.quota_is_full && self.has_event(&creator, "FailedCreate"))
    }
}

/// Whether it still has the taint of a fault that takes daemon pods away too.
fn is_broken(node: &Node) -> bool {
    node.spec.taints.iter().any(|taint| &*taint.key == "broken")
}

/// Workloads that are neither complete nor explained, and how they stand.
fn forgotten(run: &Run) -> Vec<String> {
    let reasons = Reasons::new(run);
    let store = &run.world.store;
    let mut open: Vec<(&str, &ObjectMeta, String)> = Vec::new();
    for (_, object) in store.deployments.iter() {
        let (status, want) = (&object.status, object.replicas);
        if [status.replicas, status.updated, status.ready, status.available] != [want; 4] {
            open.push(("Deployment", &object.meta, format!("{want} wanted: {status:?}")));
        }
    }
    for (_, object) in store.stateful_sets.iter() {
        let (status, want) = (&object.status, object.replicas);
        if [status.replicas, status.updated, status.ready, status.available] != [want; 4] {
            open.push(("StatefulSet", &object.meta, format!("{want} wanted: {status:?}")));
        }
    }
    for (_, object) in store.daemon_sets.iter() {
        let (status, want) = (&object.status, store.nodes.iter().filter(|(_, node)| !is_broken(node)).count() as i32);
        let counts = [status.desired_number_scheduled, status.updated_number_scheduled, status.number_ready, status.number_available];
        if counts != [want; 4] {
            open.push(("DaemonSet", &object.meta, format!("{want} wanted: {status:?}")));
        }
    }
    for (_, object) in store.jobs.iter() {
        let failure = object.status.condition(JobConditionType::Failed);
        if object.status.condition(JobConditionType::Complete).is_none() && failure.is_none_or(|failure| failure.reason.is_empty()) {
            open.push(("Job", &object.meta, format!("{:?}", object.status)));
        }
    }
    let unsaid = open.into_iter().filter(|(kind, meta, _)| !reasons.explain(kind, &meta.name));
    let workloads = unsaid.map(|(kind, meta, status)| format!("{kind} {} is not complete and nothing says why; {status}", meta.name));
    let nodes = store.nodes.iter().filter(|(_, node)| !reasons.kubectl_was_refused() && !node.spec.taints.is_empty());
    workloads.chain(nodes.map(|(_, node)| format!("node {} keeps {:?}", node.meta.name, node.spec))).collect()
}

fn play(spec: WorldSpec, seed: u64) -> Run {
    let scheduler = schedulers::policy("default").expect("a built-in policy");
    let mut world = World::new(Arc::new(spec), scheduler, seed);
    let mut sink = MemorySink::default();
    let summary = world.run(&mut sink, &Limits::default(), &mut |_| true);
    Run { records: sink.records, summary, world }
}

#[expect(clippy::disallowed_methods, reason = "a longer search by hand")]
fn case_count() -> u32 {
    std::env::var("WAVETANK_LIVENESS").ok().and_then(|count| count.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: case_count(), rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn once_faults_end_every_workload_is_complete_or_says_why_it_is_not(case in cases(), seed in 0u64..1000) {
        let run = play(world(&case), seed);
        prop_assert_eq!(run.world.check(), Ok(()));
        let mut fresh = schedulers::policy("default").expect("a built-in policy");
        prop_assert_eq!(run.world.check_queue(&mut *fresh), Ok(()));
        let forgotten = forgotten(&run);
        prop_assert!(forgotten.is_empty(), "{}", forgotten.join("\n"));
    }
}

/// The pod that used the quota up ends while no controller-manager leads, so that nobody sees it end.
#[test]
fn a_new_leader_counts_what_ended_while_nobody_led() {
    let case = Case {
        nodes: 1,
        deployments: vec![(2, 100)],
        stateful_sets: Vec::new(),
        daemon_cpu_millis: None,
        jobs: vec![(2, 1, false)],
        quota_pods: Some(1),
        faults: vec![(8, 222, 0, 0), (104, 113, 10, 0)],
        steps: Vec::new(),
    };
    let run = play(world(&case), 0);
    assert_eq!(forgotten(&run), Vec::<String>::new());
    assert_eq!(run.world.store.pods.iter().filter(|(_, pod)| pod.is_active()).count(), 1, "the quota's one pod is in use again");
}

/// The driver's word that a volume has left its node comes when nobody answers, and the controller-manager is elected anew.
#[test]
fn a_storage_driver_remembers_what_no_api_server_heard() {
    let case = Case {
        nodes: 2,
        deployments: Vec::new(),
        stateful_sets: vec![(1, 100, false, true)],
        daemon_cpu_millis: None,
        jobs: Vec::new(),
        quota_pods: None,
        faults: vec![(295, 11, 9, 0), (284, 22, 3, 0)],
        steps: Vec::new(),
    };
    let run = play(world(&case), 83);
    assert_eq!(forgotten(&run), Vec::<String>::new());
    assert_eq!(run.world.store.pods.iter().filter(|(_, pod)| pod.is_ready()).count(), 1);
}
