//! What a scheduling decision costs: the default profile on the shapes, sizes and sampling with which the
//! real kube-scheduler 1.36.2 was measured (docs/performance.md names the set-up).
//!
//! One element is what a run does per pod: an attempt and the placing of the pod in the snapshot. Time is the
//! thread's time on a cpu where the system tells it (Linux), so that a busy machine lies less; a table at the
//! end puts the best run of each shape beside the real scheduler's figure. Not measured: queue and binding.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use api::{
    Affinity, Container, LabelSelector, Labels, Node, NodeStatus, ObjectMeta, Pod, PodAffinity, PodAffinityTerm, PodSpec, ResourceList,
    ResourceName, Service, Str, TopologySpreadConstraint, Uid, WeightedPodAffinityTerm, WhenUnsatisfiable,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use port::{ClusterSnapshot, Detail, Outcome, PodInfo, PodRequests};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";
const NAMESPACE: &str = "sched-1";

/// What the pods ask for beside cpu and memory; the templates of upstream's scheduler_perf.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Basic,
    HardSpread,
    SoftSpread,
    AntiAffinity,
    PreferredAffinity,
    /// A Service selects the pods, which have no constraints: ours, no figure of the real scheduler.
    DefaultSpread,
}

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::HardSpread => "hard spread over 3 zones",
            Self::SoftSpread => "soft spread over 3 zones",
            Self::AntiAffinity => "required anti-affinity on hostname",
            Self::PreferredAffinity => "preferred affinity on hostname",
            Self::DefaultSpread => "default spreading (a Service)",
        }
    }
}

/// A shape, its size, and the real scheduler's pods per CPU-second (the mean where there were two runs).
struct Case {
    shape: Shape,
    nodes: usize,
    pods: usize,
    /// Nodes of 64 cpus and 512Gi instead of 4 and 32Gi.
    large: bool,
    real: Option<u32>,
}

const fn case(shape: Shape, nodes: usize, pods: usize, real: Option<u32>) -> Case {
    Case { shape, nodes, pods, large: false, real }
}

const CASES: &[Case] = &[
    case(Shape::Basic, 100, 1_000, Some(4_365)),
    Case { large: true, ..case(Shape::Basic, 100, 10_000, Some(4_215)) },
    case(Shape::Basic, 1_000, 1_000, Some(1_130)),
    case(Shape::Basic, 1_000, 10_000, Some(1_060)),
    case(Shape::Basic, 5_000, 1_000, Some(810)),
    case(Shape::Basic, 5_000, 10_000, Some(705)),
    case(Shape::HardSpread, 100, 1_000, None),
    case(Shape::HardSpread, 1_000, 2_000, None),
    case(Shape::HardSpread, 5_000, 2_000, Some(233)),
    case(Shape::SoftSpread, 100, 1_000, None),
    case(Shape::SoftSpread, 1_000, 2_000, None),
    case(Shape::SoftSpread, 5_000, 2_000, Some(299)),
    case(Shape::AntiAffinity, 100, 100, None),
    case(Shape::AntiAffinity, 1_000, 1_000, None),
    case(Shape::AntiAffinity, 5_000, 2_000, Some(169)),
    case(Shape::PreferredAffinity, 100, 1_000, None),
    case(Shape::PreferredAffinity, 1_000, 2_000, None),
    case(Shape::PreferredAffinity, 5_000, 2_000, Some(256)),
    case(Shape::DefaultSpread, 100, 1_000, None),
    case(Shape::DefaultSpread, 1_000, 2_000, None),
    case(Shape::DefaultSpread, 5_000, 2_000, None),
];

fn node(number: usize, large: bool) -> Arc<Node> {
    let name: Str = format!("node-{number}").into();
    let labels = [(HOSTNAME.into(), name.clone()), (ZONE.into(), format!("zone{}", number % 3 + 1).into())];
    let (cpu_millis, memory_gib) = if large { (64_000, 512) } else { (4_000, 32) };
    // 10,000 pods on 100 nodes are 100 each: both kinds take 110.
    let allocatable = [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory_gib << 30), (ResourceName::Pods, 110)];
    Arc::new(Node {
        meta: ObjectMeta { name, labels: Arc::new(labels.into()), ..ObjectMeta::default() },
        status: NodeStatus { allocatable: Arc::new(allocatable.into()), ..NodeStatus::default() },
        ..Node::default()
    })
}

fn template(shape: Shape) -> (Arc<Labels>, Arc<PodSpec>) {
    let color = match shape {
        Shape::Basic => None,
        Shape::HardSpread | Shape::SoftSpread | Shape::DefaultSpread => Some("blue"),
        Shape::AntiAffinity => Some("green"),
        Shape::PreferredAffinity => Some("red"),
    };
    let labels: Labels = color.map(|color| ("color".into(), color.into())).into_iter().collect();
    let selector = Some(LabelSelector { match_labels: labels.clone(), match_expressions: Vec::new() });
    let requests: ResourceList = [(ResourceName::Cpu, 100), (ResourceName::Memory, 500 << 20)].into();
    let image = "registry.k8s.io/pause:3.10.2".into();
    let container = Container { name: "pause".into(), image, requests: requests.clone(), limits: requests, ..Container::default() };
    let mut spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    let spread = |when_unsatisfiable| TopologySpreadConstraint {
        max_skew: 5,
        topology_key: ZONE.into(),
        when_unsatisfiable,
        label_selector: selector.clone(),
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
        match_label_keys: Vec::new(),
    };
    let term = PodAffinityTerm {
        label_selector: selector.clone(),
        namespaces: vec![NAMESPACE.into(), "sched-0".into()],
        namespace_selector: None,
        topology_key: HOSTNAME.into(),
        match_label_keys: Vec::new(),
        mismatch_label_keys: Vec::new(),
    };
    match shape {
        Shape::Basic | Shape::DefaultSpread => {}
        Shape::HardSpread => spec.topology_spread_constraints = vec![spread(WhenUnsatisfiable::DoNotSchedule)],
        Shape::SoftSpread => spec.topology_spread_constraints = vec![spread(WhenUnsatisfiable::ScheduleAnyway)],
        Shape::AntiAffinity => {
            let pod_anti = Some(PodAffinity { required: vec![term], preferred: Vec::new() });
            spec.affinity = Affinity { pod_anti, ..Affinity::default() };
        }
        Shape::PreferredAffinity => {
            let preferred = vec![WeightedPodAffinityTerm { weight: 1, term }];
            spec.affinity = Affinity { pod: Some(PodAffinity { required: Vec::new(), preferred }), ..Affinity::default() };
        }
    }
    (Arc::new(labels), Arc::new(spec))
}

fn cluster(case: &Case) -> ClusterSnapshot {
    let mut snapshot = ClusterSnapshot::default();
    (0..case.nodes).for_each(|number| snapshot.put_node(node(number, case.large)));
    if case.shape == Shape::DefaultSpread {
        let meta = ObjectMeta { namespace: NAMESPACE.into(), name: "blue".into(), ..ObjectMeta::default() };
        let selector = Some(template(case.shape).0);
        let service = Service { meta, selector, ..Service::default() };
        snapshot.objects_mut().services.insert(service.meta.key(), Arc::new(service));
    }
    snapshot
}

fn pods(case: &Case) -> Vec<PodInfo> {
    let (labels, spec) = template(case.shape);
    let requests = Arc::new(PodRequests::of(&spec));
    let pod = |number: usize| Pod {
        meta: ObjectMeta {
            namespace: NAMESPACE.into(),
            name: format!("pod-{number}").into(),
            uid: Uid(number as u64),
            labels: labels.clone(),
            ..ObjectMeta::default()
        },
        spec: spec.clone(),
        ..Pod::default()
    };
    (0..case.pods).map(|number| PodInfo::new(&pod(number), requests.clone())).collect()
}

/// Time this thread has had a cpu; wall time where the system does not say.
#[expect(clippy::disallowed_methods, reason = "a benchmark, not a simulation")]
fn cpu_time() -> Duration {
    thread_local!(static START: std::time::Instant = std::time::Instant::now());
    std::thread::yield_now(); // Linux brings its figure up to date only at a tick or a switch.
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.as_deref().and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| START.with(std::time::Instant::elapsed), Duration::from_nanos)
}

/// Places all pods; how long that took.
fn place(case: &Case) -> Duration {
    let (mut snapshot, pods) = (cluster(case), pods(case));
    let mut scheduler = schedulers::policy("default").expect("a built-in policy");
    let start = cpu_time();
    for pod in pods {
        let decision = scheduler.schedule(&pod, &snapshot, Detail::Outcome);
        let Outcome::Scheduled { node } = decision.outcome else { unreachable!("there is room for every pod: {decision:?}") };
        scheduler.reserve(&pod, node, &mut snapshot);
        snapshot.node_mut(node).add_pod(pod);
    }
    let taken = cpu_time() - start;
    black_box(snapshot);
    taken
}

#[expect(clippy::print_stderr, reason = "criterion has no place for a table")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn scheduling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduling");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    let mut lines = Vec::new();
    for case in CASES {
        let best: RefCell<Option<Duration>> = RefCell::new(None);
        group.throughput(Throughput::Elements(case.pods as u64));
        let size = format!("{} nodes, {} pods", case.nodes, case.pods);
        group.bench_function(BenchmarkId::new(case.shape.name(), &size), |bencher| {
            bencher.iter_custom(|times| {
                let runs = (0..times).map(|_| place(case)).inspect(|taken| {
                    let known = best.borrow().unwrap_or(Duration::MAX);
                    best.replace(Some(known.min(*taken)));
                });
                runs.sum()
            });
        });
        if let Some(best) = best.into_inner() {
            let rate = case.pods as f64 / best.as_secs_f64();
            let real = case.real.map_or_else(|| "-".to_owned(), |real| real.to_string());
            let times = case.real.map_or_else(|| "-".to_owned(), |real| format!("{:.0}", rate / f64::from(real)));
            lines.push(format!("| {} | {} | {} | {rate:.0} | {real} | {times} |", case.shape.name(), case.nodes, case.pods));
        }
    }
    group.finish();
    say("\n| shape | nodes | pods | pods per CPU-second | kube-scheduler 1.36.2 | ratio |\n|---|---|---|---|---|---|");
    lines.iter().for_each(|line| say(line));
}

criterion_group!(benches, scheduling);
criterion_main!(benches);
