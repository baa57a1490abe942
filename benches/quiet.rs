//! A day in which nothing happens: 24 hours of a cluster whose nodes and pods are all healthy.
//!
//! What does not change costs nothing, so after set-up there must be next to no events and less than a second
//! of wall time, and a bare pod must take less than 1 kB. Bare pods are there from the start; the others are
//! made by Deployments, have probes and stand behind Services. Wall time is criterion's; events and bytes are
//! counted here and checked by `--test` runs too.
//!
//! What does change costs what it changes: a pod behind a Service must not cost more because there are many. Bytes
//! that are allocated say so, the same in every run.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::{
    Container, Deployment, LabelSelector, Namespace, Node, NodeStatus, ObjectMeta, Pod, PodSpec, PodTemplate, Probe, ProbeHandler,
    ResourceName, Service, SimDuration, SimTime, Str,
};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use engine::World;
use engine::random::Distribution;
use engine::spec::{NodePool, WorldSpec};
use port::{ClusterEvent, ClusterSnapshot, Decision, Detail, NodeIndex, Outcome, PodInfo, QueueingHint, Scheduler};
use trace::{Record, TraceSink};

/// A cluster of some size.
#[derive(Clone, Copy)]
struct Size {
    name: &'static str,
    nodes: u32,
    pods: u32,
    /// Pods of each Deployment and Service; `None` for bare pods.
    replicas: Option<u32>,
    most_bytes_per_pod: usize,
}

const SIZES: [Size; 3] = [
    Size { name: "1,000 nodes, 20,000 bare pods", nodes: 1_000, pods: 20_000, replicas: None, most_bytes_per_pod: 1_000 },
    Size { name: "5,000 nodes, 150,000 bare pods", nodes: 5_000, pods: 150_000, replicas: None, most_bytes_per_pod: 1_000 },
    Size {
        name: "5,000 nodes, 150,000 pods of 1,500 Deployments",
        nodes: 5_000,
        pods: 150_000,
        replicas: Some(100),
        most_bytes_per_pod: 2_000,
    },
];
/// Start-up is over by then.
const SETTLED: SimTime = SimTime::from_secs(1_200);
const DEPLOYMENTS_PER_NAMESPACE: u32 = 10;
const EVENTS_AFTER_SET_UP: u64 = 10;

/// Pods behind one Service, and how much more each of the many may cost than each of the few.
const FEW: u32 = 2_000;
const MANY: u32 = 8_000;
const MOST_GROWTH: f64 = 1.2;

/// Counts what is allocated and not yet freed, and all that ever was.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts and passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Gives each pod the next node: set-up is not what is measured.
struct InTurn(u32);

impl Scheduler for InTurn {
    fn name(&self) -> &str {
        "in-turn"
    }
    fn is_responsible_for(&self, _: &str) -> bool {
        true
    }
    fn gate(&self, _: &PodInfo) -> Option<Str> {
        None
    }
    fn schedule(&mut self, _: &PodInfo, snapshot: &ClusterSnapshot, _: Detail) -> Decision {
        let order = snapshot.list_order();
        let node = order[self.0 as usize % order.len()];
        self.0 += 1;
        Decision::new(Outcome::Scheduled { node })
    }
    fn fits(&self, _: &PodInfo, _: &ClusterSnapshot, _: NodeIndex) -> bool {
        true
    }
    fn hint(&self, _: &PodInfo, _: &[Str], _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Skip
    }
}

/// How many pods are Ready.
#[derive(Default)]
struct ReadyPods(i64);

impl TraceSink for ReadyPods {
    fn record(&mut self, _: SimTime, record: &Record) {
        match record {
            Record::PodReady { ready: true, .. } => self.0 += 1,
            Record::PodReady { ready: false, .. } => self.0 -= 1,
            _ => {}
        }
    }
}

fn pod_spec(probed: bool) -> PodSpec {
    let probe = || Probe {
        handler: ProbeHandler::HttpGet,
        initial_delay: SimDuration::ZERO,
        timeout: SimDuration::from_secs(1),
        period: SimDuration::from_secs(10),
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace_period: None,
    };
    let requests: api::ResourceList = [(ResourceName::Cpu, 250), (ResourceName::Memory, 256 << 20)].into();
    let container = Container {
        name: "main".into(),
        image: "web:v1".into(),
        requests,
        readiness_probe: probed.then(probe),
        liveness_probe: probed.then(probe),
        ..Container::default()
    };
    PodSpec { containers: vec![container], ..PodSpec::default() }
}

fn meta(namespace: &Str, name: String, labels: &Arc<api::Labels>) -> ObjectMeta {
    ObjectMeta { namespace: namespace.clone(), name: name.into(), labels: labels.clone(), ..ObjectMeta::default() }
}

fn bare_pods(size: Size) -> Vec<Pod> {
    let spec = Arc::new(pod_spec(false));
    let labels: Arc<api::Labels> = Arc::new([("app".into(), "web".into())].into());
    let namespace: Str = "default".into();
    let node = |number: u32| Some(format!("node-{}", number % size.nodes).into());
    let pod = |number: u32| Pod {
        meta: meta(&namespace, format!("web-{number}"), &labels),
        spec: spec.clone(),
        node_name: node(number),
        ..Pod::default()
    };
    (0..size.pods).map(pod).collect()
}

/// Whose the Deployment of this number is.
fn namespace(number: u32) -> Str {
    format!("team-{}", number / DEPLOYMENTS_PER_NAMESPACE).into()
}

/// A Deployment and its Service.
fn served(number: u32, replicas: u32) -> (Deployment, Service) {
    let namespace = namespace(number);
    let name = format!("web-{number}");
    let labels: Arc<api::Labels> = Arc::new([("app".into(), name.as_str().into())].into());
    let template = PodTemplate { labels: labels.clone(), spec: Arc::new(pod_spec(true)), ..PodTemplate::default() };
    let deployment = Deployment {
        meta: meta(&namespace, name.clone(), &labels),
        replicas: replicas as i32,
        selector: Arc::new(LabelSelector { match_labels: (*labels).clone(), ..LabelSelector::default() }),
        template: Arc::new(template),
        progress_deadline: SimDuration::from_secs(600),
        revision_history_limit: 10,
        ..Deployment::default()
    };
    (deployment, Service { meta: meta(&namespace, name, &labels), selector: Some(labels), ..Service::default() })
}

fn spec(size: Size) -> Arc<WorldSpec> {
    let allocatable = [(ResourceName::Cpu, 16_000), (ResourceName::Memory, 64 << 30), (ResourceName::Pods, 110)].into();
    let template = Node { status: NodeStatus { allocatable: Arc::new(allocatable), ..NodeStatus::default() }, ..Node::default() };
    let mut world = WorldSpec { duration: SimDuration::from_secs(24 * 3600), ..WorldSpec::default() };
    world.node_pools.push(NodePool {
        name: "node".into(),
        initial: size.nodes,
        autoscaling: None,
        template,
        zones: ["a", "b", "c"].map(Str::from).into(),
        price_per_hour: 1.0,
        provisioning: Distribution::Constant(SimDuration::from_secs(60)),
        zero_or_max: false,
    });
    match size.replicas {
        None => world.objects.pods = bare_pods(size),
        Some(replicas) => {
            // A day has room for what 20 requests a second would take two hours for; that is not the question.
            let (controllers, scheduler) = (&mut world.control_plane.controller_manager, &mut world.control_plane.scheduler);
            (controllers.kube_api_qps, scheduler.qps, scheduler.cycle_time) = (10_000.0, 10_000.0, SimDuration::from_micros(100));
            let namespace = |number| Namespace { meta: ObjectMeta { name: namespace(number), ..ObjectMeta::default() } };
            let firsts = (0..size.pods / replicas).step_by(DEPLOYMENTS_PER_NAMESPACE as usize);
            world.objects.namespaces = firsts.map(namespace).collect();
            (world.objects.deployments, world.objects.services) = (0..size.pods / replicas).map(|number| served(number, replicas)).unzip();
        }
    }
    Arc::new(world)
}

/// A world whose pods all run.
fn settled(spec: &Arc<WorldSpec>) -> World {
    let mut world = World::new(spec.clone(), Box::new(InTurn(0)), 1);
    let mut ready = ReadyPods::default();
    while world.now() < SETTLED && world.next_event().is_some_and(|at| at <= SETTLED) {
        world.step(&mut ready);
    }
    let made = spec.objects.deployments.iter().map(|deployment| deployment.replicas as usize).sum::<usize>();
    assert_eq!(ready.0 as usize, made + spec.objects.pods.len(), "every pod is Ready");
    world
}

/// A settled world, and how many bytes it holds.
fn measured(spec: &Arc<WorldSpec>) -> (World, usize) {
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let world = settled(spec);
    (world, LIVE_BYTES.load(Ordering::Relaxed) - before)
}

#[expect(clippy::print_stderr, reason = "criterion has no place for counts")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// The rest of the day, in wall time.
#[expect(clippy::disallowed_methods, reason = "benches measure wall time")]
fn the_day(world: &mut World) -> Duration {
    let start = Instant::now();
    while world.step(&mut ReadyPods::default()).is_some() {}
    start.elapsed()
}

fn check(size: Size, spec: &Arc<WorldSpec>) {
    let (_, bytes_of_nodes) = measured(&self::spec(Size { pods: 0, ..size }));
    let (mut world, bytes) = measured(spec);
    let bytes_per_pod = (bytes - bytes_of_nodes) / size.pods as usize;
    let set_up_events = world.events();
    the_day(&mut world);
    let events = world.events() - set_up_events;
    assert!(bytes_per_pod < size.most_bytes_per_pod, "{}: {bytes_per_pod} bytes per pod", size.name);
    assert!(events < EVENTS_AFTER_SET_UP, "{}: {events} events after set-up", size.name);
    say(&format!("{}: {bytes_per_pod} bytes per pod; {set_up_events} events of set-up, {events} in the day after", size.name));
}

fn quiet_day(criterion: &mut Criterion) {
    for size in SIZES {
        let spec = spec(size);
        check(size, &spec);
        let mut group = criterion.benchmark_group(format!("quiet day/{}", size.name));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.bench_function("set-up", |bencher| bencher.iter(|| black_box(settled(&spec))));
        // A day happens once in a world: one per sample, told to criterion as if it had been repeated.
        group.bench_function("the day", |bencher| bencher.iter_custom(|days| the_day(&mut settled(&spec)) * days as u32));
        group.finish();
    }
}

/// Bytes that are allocated for each pod because it stands behind a Service, pods coming one after the other.
fn bytes_of_service(pods: u32) -> usize {
    let size = Size { name: "one Service", nodes: pods / 40, pods, replicas: Some(pods), most_bytes_per_pod: usize::MAX };
    let allocated = |with_service: bool| {
        let mut spec = spec(size);
        let world = Arc::make_mut(&mut spec);
        world.control_plane.controller_manager.kube_api_qps = 100.0;
        world.objects.services.retain(|_| with_service);
        let before = ALLOCATED_BYTES.load(Ordering::Relaxed);
        settled(&spec);
        ALLOCATED_BYTES.load(Ordering::Relaxed) - before
    };
    (allocated(true) - allocated(false)) / pods as usize
}

fn one_service(_: &mut Criterion) {
    let (few, many) = (bytes_of_service(FEW), bytes_of_service(MANY));
    say(&format!("one Service: {few} bytes for each of {FEW} pods, {many} for each of {MANY}"));
    assert!((many as f64) < few as f64 * MOST_GROWTH, "the cost of a pod grows with the others behind its Service");
}

criterion_group!(benches, one_service, quiet_day);
criterion_main!(benches);
