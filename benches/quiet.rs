//! A day in which nothing happens: 1,000 nodes, 20,000 healthy pods, 24 hours.
//!
//! What does not change costs nothing, so after set-up there must be next to no events, less than 0.2 s
//! of wall time, and less than 1 kB of memory per pod. Wall time is criterion's; events and bytes are
//! counted here and checked by `--test` runs too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{Container, Node, NodeStatus, ObjectMeta, Pod, PodSpec, ResourceName, SimDuration, SimTime, Str};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use engine::World;
use engine::random::Distribution;
use engine::spec::{NodePool, WorldSpec};
use port::{ClusterEvent, ClusterSnapshot, Decision, Detail, NodeIndex, Outcome, PodInfo, QueueingHint, Scheduler};
use trace::{Record, TraceSink};

const NODES: u32 = 1_000;
const PODS_PER_NODE: u32 = 20;
/// Start-up is over by then.
const SETTLED: SimTime = SimTime::from_secs(600);
const BYTES_PER_POD: usize = 1_000;
const EVENTS_AFTER_SET_UP: u64 = 10;

/// Counts what is allocated and not yet freed.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts and passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
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

/// Never asked: every pod has its node.
struct Idle;

impl Scheduler for Idle {
    fn name(&self) -> &str {
        "idle"
    }
    fn is_responsible_for(&self, _: &str) -> bool {
        true
    }
    fn gate(&self, _: &PodInfo) -> Option<Str> {
        None
    }
    fn schedule(&mut self, _: &PodInfo, _: &ClusterSnapshot, _: Detail) -> Decision {
        Decision::new(Outcome::Error { message: "nothing is to be scheduled".to_owned() })
    }
    fn fits(&self, _: &PodInfo, _: &ClusterSnapshot, _: NodeIndex) -> bool {
        false
    }
    fn hint(&self, _: &PodInfo, _: &[Str], _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Skip
    }
}

struct NoSink;

impl TraceSink for NoSink {
    fn record(&mut self, _: SimTime, _: &Record) {}
}

fn spec(pods: u32) -> Arc<WorldSpec> {
    let allocatable = [(ResourceName::Cpu, 16_000), (ResourceName::Memory, 64 << 30), (ResourceName::Pods, 110)].into();
    let template = Node { status: NodeStatus { allocatable: Arc::new(allocatable), ..NodeStatus::default() }, ..Node::default() };
    let requests: api::ResourceList = [(ResourceName::Cpu, 250), (ResourceName::Memory, 256 << 20)].into();
    let container = Container { name: "main".into(), image: "web:v1".into(), requests, ..Container::default() };
    let spec = Arc::new(PodSpec { containers: vec![container], ..PodSpec::default() });
    let labels: Arc<api::Labels> = Arc::new([("app".into(), "web".into())].into());
    let mut world = WorldSpec { duration: SimDuration::from_secs(24 * 3600), ..WorldSpec::default() };
    world.node_pools.push(NodePool {
        name: "node".into(),
        initial: NODES,
        autoscaling: None,
        template,
        zones: ["a", "b", "c"].map(Str::from).into(),
        price_per_hour: 1.0,
        provisioning: Distribution::Constant(SimDuration::from_secs(60)),
        zero_or_max: false,
    });
    let pod = |number: u32| Pod {
        meta: ObjectMeta {
            namespace: "default".into(),
            name: format!("web-{number}").into(),
            labels: labels.clone(),
            ..ObjectMeta::default()
        },
        spec: spec.clone(),
        node_name: Some(format!("node-{}", number % NODES).into()),
        ..Pod::default()
    };
    world.objects.pods = (0..pods).map(pod).collect();
    Arc::new(world)
}

/// A world whose pods all run.
fn settled(spec: &Arc<WorldSpec>) -> World {
    let mut world = World::new(spec.clone(), Box::new(Idle), 1);
    while world.now() < SETTLED && world.next_event().is_some_and(|at| at <= SETTLED) {
        world.step(&mut NoSink);
    }
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

fn quiet_day(criterion: &mut Criterion) {
    let spec = spec(NODES * PODS_PER_NODE);
    let (_, bytes_of_nodes) = measured(&self::spec(0));
    let (mut world, bytes) = measured(&spec);
    let bytes_per_pod = (bytes - bytes_of_nodes) / spec.objects.pods.len();
    let set_up_events = world.events();
    while world.step(&mut NoSink).is_some() {}
    let events = world.events() - set_up_events;
    assert!(bytes_per_pod < BYTES_PER_POD, "{bytes_per_pod} bytes per pod");
    assert!(events < EVENTS_AFTER_SET_UP, "{events} events after set-up");
    drop(world);

    say(&format!("{bytes_per_pod} bytes per pod; {set_up_events} events of set-up, {events} in the day after"));

    let mut group = criterion.benchmark_group("quiet day");
    group.sample_size(10);
    group.bench_function("set-up", |bencher| bencher.iter(|| black_box(settled(&spec))));
    group.bench_function("the day", |bencher| {
        bencher.iter_batched(
            || settled(&spec),
            |mut world| {
                while world.step(&mut NoSink).is_some() {}
                world
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, quiet_day);
criterion_main!(benches);
