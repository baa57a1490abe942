//! Random small clusters under the real scheduler: no pod is forgotten, no node is overfull, and a seed
//! gives the same bytes twice.
//!
//! A case is a cluster of a few nodes with pods and Deployments of random shape (requests, priorities, host
//! ports, selectors, tolerations, spreads, affinities), upon which operators and faults act at random for two
//! minutes. Long after the last of it, every pod that is not placed has to be in the scheduler's queue, and
//! the scheduler, asked afresh about the cluster as it is, has to find no node for it either.
//!
//! Cases come in two kinds. In one the unschedulable flush is on, as upstream, and everything is allowed. In
//! the other there is no flush, so that queueing hints alone have to bring pods back; what upstream's own
//! hints miss is left out there (see `HINTS_ONLY`).
//!
//! `WAVETANK_SWARM=20000 cargo test --release --test swarm` runs that many cases of each kind.

use std::ops::Range;
use std::sync::Arc;

use api::{
    Affinity, Container, ContainerPort, Deployment, Kind, LabelSelector, Labels, Node, NodeSpec, NodeStatus, ObjectKey, ObjectMeta, Pod,
    PodAffinity, PodAffinityTerm, PodDisruptionBudget, PodSpec, PodTemplate, PreemptionPolicy, Propagation, ResourceName, SimDuration,
    SimTime, Str, Taint, TaintEffect, Toleration, TolerationOperator, TopologySpreadConstraint, WhenUnsatisfiable,
};
use engine::spec::{Fault, FaultAction, FaultMode, FaultTarget, Objects, PodSelector, Step, StepAction, WorldSpec};
use engine::{Limits, World};
use port::{ClusterEvent, ClusterSnapshot, Decision, Detail, NodeIndex, PodInfo, QueueingHint, Scheduler};
use trace::{MemorySink, Record};

const ZONE: &str = "topology.kubernetes.io/zone";
const NAMESPACE: &str = "default";
/// Cases of each kind in an ordinary test run.
const CASES: u64 = 200;
/// Operators and faults act this long.
const ACTIVE_SECONDS: u64 = 120;
/// Then nothing happens until a pod that was put aside last has been flushed, where there is a flush.
const QUIET_SECONDS: u64 = 700;
/// Without one, until everything that is on its way has come.
const SHORT_QUIET_SECONDS: u64 = 200;
const APPS: u64 = 4;

/// A small generator of its own: what a case is must not change with a library.
struct Dice(u64);

impl Dice {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// What a case may contain.
#[derive(Clone, Copy)]
struct Scope {
    flush: bool,
    /// Anti-affinity of pods against other pods than their own kind. Upstream's hint looks at a waiting pod's
    /// own terms only when nodes come or change.
    one_sided_terms: bool,
    /// Spread constraints together with node selectors. Upstream's hint does not see a node leave the set of
    /// nodes that count when its labels change.
    selected_spread: bool,
}

const EVERYTHING: Scope = Scope { flush: true, one_sided_terms: true, selected_spread: true };
const HINTS_ONLY: Scope = Scope { flush: false, one_sided_terms: false, selected_spread: false };

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn app(number: u64) -> String {
    format!("app-{number}")
}

fn node(number: u64, dice: &mut Dice) -> Node {
    let cpu = dice.pick(&[1000, 2000, 4000]);
    let allocatable = [(ResourceName::Cpu, cpu), (ResourceName::Memory, 8 << 30), (ResourceName::Pods, dice.pick(&[3, 8, 110]))];
    let mut node_labels = labels(&[("disk", dice.pick(&["ssd", "hdd"]))]);
    if !dice.one_in(4) {
        node_labels.insert(ZONE.into(), dice.pick(&["a", "b", "c"]).into());
    }
    let taints = if dice.one_in(4) { vec![Taint::new("dedicated", TaintEffect::NoSchedule)] } else { Vec::new() };
    Node {
        meta: ObjectMeta { name: format!("node-{number}").into(), labels: Arc::new(node_labels), ..ObjectMeta::default() },
        spec: NodeSpec { taints, ..NodeSpec::default() },
        status: NodeStatus { allocatable: Arc::new(allocatable.into()), ..NodeStatus::default() },
    }
}

fn selector(number: u64) -> Option<LabelSelector> {
    Some(LabelSelector { match_labels: labels(&[("app", &app(number))]), ..LabelSelector::default() })
}

fn about(number: u64, key: &str) -> PodAffinity {
    let term = PodAffinityTerm {
        label_selector: selector(number),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: key.into(),
        match_label_keys: Vec::new(),
        mismatch_label_keys: Vec::new(),
    };
    PodAffinity { required: vec![term], ..PodAffinity::default() }
}

/// What every pod of an app has in common: pods of one kind keep apart, or spread, or neither.
fn spec_of(own: u64, scope: Scope, dice: &mut Dice) -> PodSpec {
    let requests = [(ResourceName::Cpu, dice.pick(&[0, 200, 500, 900])), (ResourceName::Memory, dice.pick(&[0, 1 << 30]))];
    let mut container = Container { name: "main".into(), image: "app:v1".into(), requests: requests.into(), ..Container::default() };
    if dice.one_in(6) {
        let port = dice.pick(&[80, 443]);
        let port =
            ContainerPort { name: Str::default(), container_port: port, host_port: port, host_ip: Str::default(), protocol: "TCP".into() };
        container.ports.push(port);
    }
    let mut spec =
        PodSpec { containers: vec![container], termination_grace_period: SimDuration::from_secs(dice.below(20)), ..PodSpec::default() };
    spec.priority = dice.pick(&[0, 0, 10, 100]);
    if dice.one_in(6) {
        spec.preemption_policy = PreemptionPolicy::Never;
    }
    if dice.one_in(3) {
        spec.tolerations.push(Toleration { key: "dedicated".into(), operator: TolerationOperator::Exists, ..Toleration::default() });
    }
    let spreads = dice.one_in(3);
    if spreads {
        spec.topology_spread_constraints.push(TopologySpreadConstraint {
            max_skew: 1,
            topology_key: ZONE.into(),
            when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
            label_selector: selector(own),
            min_domains: None,
            honor_node_affinity: true,
            honor_node_taints: dice.one_in(2),
            match_label_keys: Vec::new(),
        });
    }
    if (scope.selected_spread || !spreads) && dice.one_in(3) {
        spec.node_selector = labels(&[("disk", dice.pick(&["ssd", "hdd"]))]);
    }
    let other = (own + 1 + dice.below(APPS - 1)) % APPS;
    spec.affinity = match dice.below(6) {
        0 => Affinity { pod: Some(about(other, ZONE)), ..Affinity::default() },
        1 => Affinity { pod_anti: Some(about(own, dice.pick(&[ZONE, "kubernetes.io/hostname"]))), ..Affinity::default() },
        2 if scope.one_sided_terms => Affinity { pod_anti: Some(about(other, ZONE)), ..Affinity::default() },
        3 if scope.one_sided_terms => Affinity { pod: Some(about(own, ZONE)), ..Affinity::default() },
        _ => Affinity::default(),
    };
    spec
}

fn meta(name: &str, app_number: u64) -> ObjectMeta {
    ObjectMeta {
        namespace: NAMESPACE.into(),
        name: name.into(),
        labels: Arc::new(labels(&[("app", &app(app_number))])),
        ..ObjectMeta::default()
    }
}

/// A case on its way to becoming a spec.
struct Case {
    scope: Scope,
    dice: Dice,
    specs: Vec<Arc<PodSpec>>,
    nodes: u64,
    pods: u64,
    deployments: u64,
}

impl Case {
    fn new(seed: u64, scope: Scope) -> Self {
        let mut dice = Dice(seed);
        let specs = (0..APPS).map(|own| Arc::new(spec_of(own, scope, &mut dice))).collect();
        Self { scope, dice, specs, nodes: 0, pods: 0, deployments: 0 }
    }

    fn node(&mut self) -> Node {
        self.nodes += 1;
        node(self.nodes - 1, &mut self.dice)
    }

    fn pod(&mut self) -> Pod {
        self.pods += 1;
        let own = self.dice.below(APPS);
        Pod { meta: meta(&format!("pod-{}", self.pods - 1), own), spec: self.specs[own as usize].clone(), ..Pod::default() }
    }

    fn deployment(&mut self) -> Deployment {
        let own = self.deployments;
        self.deployments += 1;
        let template = PodTemplate {
            labels: Arc::new(labels(&[("app", &app(own))])),
            spec: self.specs[own as usize].clone(),
            ..PodTemplate::default()
        };
        Deployment {
            meta: meta(&app(own), own),
            replicas: self.dice.below(8) as i32,
            selector: Arc::new(selector(own).unwrap_or_default()),
            template: Arc::new(template),
            revision_history_limit: 2,
            progress_deadline: SimDuration::from_secs(600),
            ..Deployment::default()
        }
    }

    fn some_node(&mut self) -> Str {
        format!("node-{}", self.dice.below(self.nodes)).into()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(NAMESPACE, name)
    }

    fn action(&mut self) -> StepAction {
        let taint = || Taint::new("dedicated", TaintEffect::NoSchedule);
        match self.dice.below(12) {
            0 => StepAction::Apply(Arc::new(Objects { nodes: vec![self.node()], ..Objects::default() })),
            1 | 2 => {
                let pods = (0..=self.dice.below(4)).map(|_| self.pod()).collect();
                StepAction::Apply(Arc::new(Objects { pods, ..Objects::default() }))
            }
            3 if self.pods > 0 => {
                StepAction::Delete(Kind::Pod, Self::key(&format!("pod-{}", self.dice.below(self.pods))), Propagation::Background)
            }
            4 => StepAction::Delete(Kind::Node, ObjectKey { namespace: Str::default(), name: self.some_node() }, Propagation::Background),
            5 => StepAction::Cordon(self.some_node(), self.dice.one_in(2)),
            6 => StepAction::Taint(self.some_node(), taint(), self.dice.one_in(2)),
            7 => {
                let zone = self.dice.pick(&["a", "b", "c", ""]);
                StepAction::LabelNode(self.some_node(), labels(&[(ZONE, zone)]))
            }
            8 => {
                let disk = self.dice.pick(&["ssd", "hdd"]);
                StepAction::LabelNode(self.some_node(), labels(&[("disk", disk)]))
            }
            9 => StepAction::Drain(self.some_node()),
            10 if self.deployments > 0 => {
                let name = app(self.dice.below(self.deployments));
                StepAction::RolloutRestart(Kind::Deployment, Self::key(&name))
            }
            _ if self.deployments > 0 => {
                let (name, replicas) = (app(self.dice.below(self.deployments)), self.dice.below(8) as i32);
                StepAction::Scale(Kind::Deployment, Self::key(&name), replicas)
            }
            _ => StepAction::Cordon(self.some_node(), false),
        }
    }

    fn fault(&mut self, number: u64) -> Fault {
        let nodes = FaultTarget::Nodes { labels: None, names: Vec::new() };
        let pods = FaultTarget::Pods(PodSelector::default());
        let (action, target) = match self.dice.below(4) {
            0 => (FaultAction::NodePoweroff, nodes),
            1 => (FaultAction::KubeletServiceKill, nodes),
            2 => (FaultAction::NodeDrain, nodes),
            _ => (FaultAction::PodKill { grace: SimDuration::from_secs(self.dice.below(5)) }, pods),
        };
        Fault {
            name: format!("fault-{number}").into(),
            at: SimTime::from_millis(self.dice.below(ACTIVE_SECONDS * 1000)),
            duration: Some(SimDuration::from_secs(10 + self.dice.below(100))),
            schedule: None,
            action,
            mode: if self.dice.one_in(2) { FaultMode::One } else { FaultMode::Fixed(2) },
            target,
        }
    }

    fn world(mut self) -> WorldSpec {
        let seconds = ACTIVE_SECONDS + if self.scope.flush { QUIET_SECONDS } else { SHORT_QUIET_SECONDS };
        let mut spec = WorldSpec { duration: SimDuration::from_secs(seconds), ..WorldSpec::default() };
        for _ in 0..2 + self.dice.below(4) {
            let node = self.node();
            spec.objects.nodes.push(node);
        }
        for _ in 0..self.dice.below(12) {
            let pod = self.pod();
            spec.objects.pods.push(pod);
        }
        for _ in 0..=self.dice.below(APPS) {
            let deployment = self.deployment();
            spec.objects.deployments.push(deployment);
        }
        if self.dice.one_in(3) {
            let budget = PodDisruptionBudget { meta: meta("budget", 0), selector: selector(0), ..PodDisruptionBudget::default() };
            spec.objects.pod_disruption_budgets.push(budget);
        }
        for number in 0..self.dice.below(24) {
            let at = SimTime::from_millis(self.dice.below(ACTIVE_SECONDS * 1000));
            spec.steps.push(Step { name: format!("step-{number}").into(), at, action: self.action() });
        }
        for number in 0..self.dice.below(4) {
            let fault = self.fault(number);
            spec.faults.push(fault);
        }
        let scheduler = &mut spec.control_plane.scheduler;
        if !self.scope.flush {
            scheduler.pod_max_in_unschedulable = SimDuration::from_secs(10 * seconds);
        }
        // Cycles that take long meet more events; clients that are slow keep bindings on their way.
        scheduler.cycle_time = SimDuration::from_millis(self.dice.pick(&[1, 1, 20]));
        scheduler.qps = self.dice.pick(&[50.0, 50.0, 2.0]);
        spec
    }
}

/// The default policy with hints that hear of nothing but nodes that come.
struct HardOfHearing(Box<dyn Scheduler>);

impl Scheduler for HardOfHearing {
    fn name(&self) -> &str {
        "hard-of-hearing"
    }
    fn is_responsible_for(&self, scheduler_name: &str) -> bool {
        self.0.is_responsible_for(scheduler_name)
    }
    fn gate(&self, pod: &PodInfo) -> Option<Str> {
        self.0.gate(pod)
    }
    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, detail: Detail) -> Decision {
        self.0.schedule(pod, snapshot, detail)
    }
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        self.0.fits(pod, snapshot, node)
    }
    fn hint(&self, _: &PodInfo, _: &[Str], event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        if matches!(event, ClusterEvent::NodeAdded(_)) { QueueingHint::Queue } else { QueueingHint::Skip }
    }
}

fn policy() -> Box<dyn Scheduler> {
    schedulers::policy("default").expect("there is a default policy")
}

fn run(seed: u64, scope: Scope, scheduler: Box<dyn Scheduler>) -> (Vec<(SimTime, Record)>, World) {
    let mut world = World::new(Arc::new(Case::new(seed, scope).world()), scheduler, seed);
    let mut sink = MemorySink::default();
    world.run(&mut sink, &Limits::default(), &mut |_| true);
    (sink.records, world)
}

#[expect(clippy::disallowed_methods, reason = "a longer search by hand")]
fn cases() -> u64 {
    std::env::var("WAVETANK_SWARM").ok().and_then(|count| count.parse().ok()).unwrap_or(CASES)
}

/// What does not hold, by case.
fn violations(scope: Scope, cases: Range<u64>, scheduler: fn() -> Box<dyn Scheduler>) -> Vec<String> {
    let violation = |seed| {
        let (_, world) = run(seed, scope, scheduler());
        let violation = world.check().and_then(|()| world.check_queue(&mut *policy())).err()?;
        Some(format!("case {seed}: {violation}"))
    };
    cases.filter_map(violation).collect()
}

fn swarm(scope: Scope) {
    let found = violations(scope, 0..cases(), policy);
    assert!(found.is_empty(), "{} of {} cases:\n{}", found.len(), cases(), found.join("\n"));
}

#[test]
fn no_pod_is_forgotten_and_no_node_overfull_whatever_happens() {
    swarm(EVERYTHING);
}

#[test]
fn hints_alone_bring_every_pod_back_that_has_a_place() {
    swarm(HINTS_ONLY);
}

#[test]
fn hints_that_miss_something_are_found_out() {
    let found = violations(HINTS_ONLY, 0..20, || Box::new(HardOfHearing(policy())));
    assert!(found.iter().any(|violation| violation.contains("was put aside")), "20 cases found {found:?}");
}

#[test]
fn a_case_repeats_to_the_byte() {
    for seed in 0..6 {
        assert!(run(seed, EVERYTHING, policy()).0 == run(seed, EVERYTHING, policy()).0, "case {seed} does not repeat");
    }
}
