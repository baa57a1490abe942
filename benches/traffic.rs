//! What requests cost: one by one (events per second), and counted together (two hours of 1.4 billion requests).
//!
//! Time is criterion's. Events, steps and bytes are counted here and checked by `--test` runs too:
//! - exact: between 2 and 4 events per attempt, and no byte more per request once warmed up;
//! - cohort: the same number of steps at 2,000, 200,000 and 20 million requests per second, recovery from a crisis at
//!   each, and less than 500 MB.
//!
//! Not here: the cluster around the requests (`quiet`, `scheduling`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{SimDuration, SimTime};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::random::Distribution;
use engine::spec::{Arrivals, Call, Client, RatePoint, ServiceBehavior, Source, TrafficEngine, TrafficSpec};
use engine::traffic_bench::{Bench, PodSize, service_key};

/// Bytes of the cohort engine at its largest.
const MOST_BYTES: usize = 500 << 20;

/// Counts what is allocated and not yet freed, and the most there ever was.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts and passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
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

#[expect(clippy::print_stderr, reason = "criterion has no place for counts")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn source(to: &str, rates: &[(u64, f64)], client: Client) -> Source {
    let point = |(second, per_second): &(u64, f64)| RatePoint { at: SimTime::from_secs(*second), per_second: *per_second, linear: false };
    let rate = rates.iter().map(point).collect();
    Source { name: "users".into(), to: service_key(to), rate, arrivals: Arrivals::Poisson, client, ..Source::default() }
}
fn call(to: &str, client: &Client) -> Call {
    Call { to: service_key(to), probability: 1.0, client: client.clone(), cache: None }
}
fn exponential(seconds: f64) -> Distribution {
    Distribution::Exponential { mean: SimDuration::from_secs_f64(seconds) }
}

/// 12,000 requests per second through three services of 50 pods, each with a node: 27,600 attempts per second.
fn flash_crowd() -> Bench {
    let client = Client { timeout: SimDuration::from_secs(2), max_attempts: 3, ..Client::default() };
    let calls = vec![vec![call("cart", &client)], vec![Call { probability: 0.3, ..call("stock", &client) }]];
    let back = ServiceBehavior {
        cpu_per_request: exponential(0.002),
        latency_per_request: exponential(0.005),
        concurrency: Some(64),
        queue_limit: 128,
        ..ServiceBehavior::default()
    };
    let front = ServiceBehavior { calls, latency_per_request: Distribution::Constant(SimDuration::ZERO), ..back.clone() };
    let spec = TrafficSpec { sources: vec![source("front", &[(0, 12_000.0)], client)], ..TrafficSpec::default() };
    let size = PodSize::cores(4);
    Bench::new(1, &spec).with_pods("front", 20, size, &front).with_pods("cart", 20, size, &back).with_pods("stock", 10, size, &back)
}

fn exact(criterion: &mut Criterion) {
    const SECONDS: u64 = 20;
    let mut bench = flash_crowd();
    bench.run(SimTime::from_secs(5));
    let (events, warm) = (bench.events(), LIVE_BYTES.load(Ordering::Relaxed));
    bench.forget();
    bench.run(SimTime::from_secs(5 + SECONDS));
    let events = bench.events() - events;
    let attempts: u64 = ["users", "front→cart", "front→stock"].iter().map(|flow| bench.counts(flow).attempts).sum();
    let grown = LIVE_BYTES.load(Ordering::Relaxed).saturating_sub(warm);
    let per_attempt = events as f64 / attempts as f64;
    say(&format!("exact: {events} events for {attempts} attempts, {per_attempt:.2} each; {grown} bytes more after {SECONDS} s"));
    assert!((2.0..4.0).contains(&per_attempt), "{per_attempt} events per attempt");
    assert!(grown < 1 << 20, "{grown} bytes more for {attempts} attempts");
    drop(bench);

    let mut group = criterion.benchmark_group("exact");
    group.sample_size(10).throughput(Throughput::Elements(events));
    group.bench_function("flash crowd, 20 s", |bencher| {
        let warmed = || {
            let mut bench = flash_crowd();
            bench.run(SimTime::from_secs(5));
            bench
        };
        let play = |mut bench: Bench| {
            bench.run(SimTime::from_secs(5 + SECONDS));
            black_box(bench.events())
        };
        bencher.iter_batched(warmed, play, BatchSize::PerIteration);
    });
    group.finish();
}

/// 2,000 pods behind six services, five calls per request; from `crisis` on 2.5 times the load for two minutes. What a
/// request takes is as short as the rate is high, so that a pod has as much under way at any rate.
fn large(rate: f64, crisis: u64) -> Bench {
    let timeout = SimDuration::from_secs_f64((4e5 / rate).max(2.0));
    let client = Client { timeout, max_attempts: 2, ..Client::default() };
    let leaf = ServiceBehavior {
        concurrency: Some(64),
        queue_limit: 128,
        latency_per_request: Distribution::Constant(SimDuration::from_secs_f64(4.0 / rate)),
        cpu_per_request: exponential(150.0 / rate),
        ..ServiceBehavior::default()
    };
    let calls = ["b", "c", "d", "e", "f"].map(|to| vec![call(to, &client)]).to_vec();
    let front = ServiceBehavior { calls, ..leaf.clone() };
    let sources = vec![source("a", &[(0, rate), (crisis, 2.5 * rate), (crisis + 120, rate)], client)];
    let mut bench = Bench::new(1, &TrafficSpec { sources, engine: TrafficEngine::Cohort, ..TrafficSpec::default() });
    bench = bench.with_pods("a", 300, PodSize::cores(1), &front);
    for name in ["b", "c", "d", "e", "f"] {
        bench = bench.with_pods(name, 340, PodSize::cores(1), &leaf);
    }
    bench
}

fn cohort(criterion: &mut Criterion) {
    // Steps are what it costs: they do not know the rate.
    let calm = [2e3, 2e5, 2e7].map(|rate| {
        let mut bench = large(rate, 3600);
        bench.run(SimTime::from_secs(120));
        bench.events()
    });
    assert!(calm.iter().all(|steps| *steps < 600), "{calm:?} steps of two minutes");
    say(&format!("cohort: {calm:?} steps of two calm minutes"));
    for rate in [2e3, 2e5, 2e7] {
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        PEAK_BYTES.store(before, Ordering::Relaxed);
        let mut bench = large(rate, 60);
        bench.run(SimTime::from_secs(240));
        let (steps, bytes) = (bench.events(), PEAK_BYTES.load(Ordering::Relaxed) - before);
        let users = bench.counts("users");
        let lost = (users.shed + users.timed_out + users.failed) as f64 / users.arrived as f64;
        bench.forget();
        bench.run(SimTime::from_secs(300));
        let users = bench.counts("users");
        let well = users.succeeded as f64 / users.arrived as f64;
        let (lost, well) = (lost * 100.0, well * 100.0);
        say(&format!(
            "cohort: {rate}/s, four minutes with a crisis: {steps} steps, {lost:.1} % lost, {} kB; a minute later {well:.1} % succeed",
            bytes >> 10
        ));
        assert!(lost > 5.0 && steps < 240 * 50, "{steps} steps, {lost} % lost");
        assert!(well > 99.0 && bench.events() < steps + 120, "no recovery: {well} %, {} steps", bench.events());
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
    }

    let mut group = criterion.benchmark_group("cohort");
    group.sample_size(10);
    for rate in [2e3, 2e5, 2e7] {
        group.bench_function(BenchmarkId::new("two hours with a crisis", rate as u64), |bencher| {
            let play = |mut bench: Bench| {
                bench.run(SimTime::from_secs(7200));
                black_box(bench.events())
            };
            bencher.iter_batched(|| large(rate, 3600), play, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, exact, cohort);
criterion_main!(benches);
