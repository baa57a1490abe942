//! Twins: the same scenario under both traffic engines, window by window.
//!
//! `exact` is the judge: the mean of twenty seeds, latencies pooled. `cohort` has no noise and runs once. Every window
//! of five seconds compares counts, medians, 99th percentiles and backlogs; limits are those of [`Limits`], and on top
//! of them what twenty seeds leave open: two standard errors of their mean. Of some thousand comparisons with a mean of
//! seeds, dozens would miss any limit by chance alone without them.
//! - A window in which some seeds have recovered and others have not is the state of no run: those, and the 15 % of
//!   the time of recovery about them, are compared by that time alone.
//! - Latencies are compared where at least a twentieth of the requests succeeds.
//!
//! A word on the command line picks scenarios by name; `--all` prints every comparison, not only the worst of each kind.
//!
//! Invariants: what a scenario asks of both engines is the same spec and the same steps.
//! Not here: closed forms, which are rows of `tests/traffic_validation.rs`.
#![expect(clippy::print_stdout, reason = "a test program's own report")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{SimDuration, SimTime};
use wavetank_engine as engine;

use engine::random::Distribution;
use engine::spec::{
    Arrivals, Balancing, Cache, Call, CancelOnTimeout, CircuitBreaker, Client, RatePoint, ServiceBehavior, Source, TokenBucket,
    TrafficEngine, TrafficSpec,
};
use engine::traffic_bench::{Bench, PodSize, service_key};
use trace::{Histogram, TrafficCounts};

/// Seeds of the judge.
const SEEDS: u64 = 20;
/// Length of a window, in seconds.
const WINDOW: u64 = 5;

/// How far apart the engines may be.
struct Limits;

impl Limits {
    const COUNTS: f64 = 0.03;
    /// In the ten seconds after a discontinuity.
    const COUNTS_AFTER: f64 = 0.10;
    /// One request in two thousand: of what happens to so few, twenty seeds see a handful, and know neither mean nor error.
    const RARE: f64 = 0.0005;
    const P50: f64 = 0.05;
    const P99: f64 = 0.10;
    const P99_TRANSIENT: f64 = 0.25;
    /// Offered load within 3 % of what can be served.
    const P99_SATURATED: f64 = 0.50;
    const BACKLOG: f64 = 0.05;
    const RECOVERY: f64 = 0.15;
}

/// What happens to the pods of a service at some second.
#[derive(Clone, Copy)]
enum Step {
    Cores(&'static str, i64),
    Silence(&'static str, usize),
}

/// Pods of a service: its name, how many, their cores, and how they answer.
type Pods = (&'static str, u64, i64, ServiceBehavior);

/// A scenario that both engines play.
struct Twin {
    name: &'static str,
    sources: fn() -> Vec<Source>,
    services: fn() -> Vec<Pods>,
    steps: &'static [(u64, Step)],
    seconds: u64,
    /// Seconds in which something jumps.
    jumps: &'static [u64],
    /// Spans within 3 % of saturation.
    saturated: &'static [(u64, u64)],
    /// Goodput per second that means recovered, and from which second on.
    recovers: Option<(f64, u64)>,
    /// The verdict must be the same; not within 5 % of the threshold.
    clear: bool,
    /// Under way all the time: it is never at rest, and moves otherwise under each seed.
    moves: bool,
}

fn ms(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}
fn exponential(micros: u64) -> Distribution {
    Distribution::Exponential { mean: SimDuration::from_micros(micros) }
}
fn constant(micros: u64) -> Distribution {
    Distribution::Constant(SimDuration::from_micros(micros))
}
fn patient() -> Client {
    Client { timeout: SimDuration::MAX, ..Client::default() }
}
fn client(timeout_ms: u64, max_attempts: u32) -> Client {
    Client { timeout: ms(timeout_ms), max_attempts, ..Client::default() }
}
fn source(name: &str, to: &str, rates: &[(u64, f64)], client: Client) -> Source {
    let at = |second: u64| SimTime::from_secs(second);
    let rate = rates.iter().map(|(second, per_second)| RatePoint { at: at(*second), per_second: *per_second, linear: false }).collect();
    Source { name: name.into(), to: service_key(to), rate, arrivals: Arrivals::Poisson, client, ..Source::default() }
}
/// Two workers of 10 ms, no limit on the queue.
fn two_workers() -> ServiceBehavior {
    ServiceBehavior { cpu_per_request: exponential(10_000), concurrency: Some(2), queue_limit: u32::MAX, ..ServiceBehavior::default() }
}
fn call(to: &str, client: Client) -> Call {
    Call { to: service_key(to), probability: 1.0, client, cache: None }
}
fn metastable(rates: &[(u64, f64)]) -> Vec<Source> {
    vec![source("users", "s", rates, client(1000, 3))]
}
fn ten_pods() -> Vec<Pods> {
    vec![("s", 10, 2, two_workers())]
}
fn ten_that_drop() -> Vec<Pods> {
    vec![("s", 10, 2, ServiceBehavior { cancel_on_timeout: CancelOnTimeout::Queued, ..two_workers() })]
}

/// A fifth of the cores for twenty seconds.
const TRIGGER: &[(u64, Step)] = &[(30, Step::Cores("s", 400)), (50, Step::Cores("s", 2000))];

/// Where nothing else is said: one load, limits as in [`Limits`].
const PLAIN: Twin = Twin {
    name: "",
    sources: Vec::new,
    services: Vec::new,
    steps: &[],
    seconds: 0,
    jumps: &[],
    saturated: &[],
    recovers: None,
    clear: true,
    moves: false,
};

const TWINS: &[Twin] = &[
    Twin {
        name: "ramp to 1.2 and drain",
        sources: || vec![source("users", "s", &[(0, 1960.0), (20, 2400.0), (35, 1200.0)], patient())],
        services: ten_pods,
        seconds: 65,
        jumps: &[0, 20, 35],
        saturated: &[(0, 20)],
        ..PLAIN
    },
    Twin {
        name: "collapse at 1400",
        sources: || metastable(&[(0, 1400.0)]),
        services: ten_pods,
        steps: TRIGGER,
        seconds: 90,
        jumps: &[0, 30, 50],
        recovers: Some((1400.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "recovery at 600",
        sources: || metastable(&[(0, 600.0)]),
        services: ten_pods,
        steps: TRIGGER,
        seconds: 200,
        jumps: &[0, 30, 50],
        recovers: Some((600.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "recovery at 640",
        sources: || metastable(&[(0, 640.0)]),
        services: ten_pods,
        steps: TRIGGER,
        seconds: 400,
        jumps: &[0, 30, 50],
        saturated: &[(50, 400)], // three attempts of each: 1,920/s of 2,000
        recovers: Some((640.0, 50)),
        clear: false,
        ..PLAIN
    },
    Twin {
        name: "stuck at 720",
        sources: || metastable(&[(0, 720.0)]),
        services: ten_pods,
        steps: TRIGGER,
        seconds: 200,
        jumps: &[0, 30, 50],
        recovers: Some((720.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "bounded queue",
        sources: || vec![source("users", "s", &[(0, 1400.0)], client(5000, 3))],
        services: || vec![("s", 5, 2, ServiceBehavior { queue_limit: 20, ..two_workers() })],
        seconds: 60,
        jumps: &[0],
        ..PLAIN
    },
    Twin {
        name: "bounded queue after a trigger",
        sources: || metastable(&[(0, 1400.0)]),
        services: || vec![("s", 10, 2, ServiceBehavior { queue_limit: 50, ..two_workers() })],
        steps: &[(30, Step::Cores("s", 1000)), (50, Step::Cores("s", 2000))],
        seconds: 80,
        jumps: &[0, 30, 50],
        recovers: Some((1400.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "deadline drop at 600",
        sources: || metastable(&[(0, 600.0)]),
        services: ten_that_drop,
        steps: TRIGGER,
        seconds: 90,
        jumps: &[0, 30, 50],
        recovers: Some((600.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "deadline drop at 1400",
        sources: || metastable(&[(0, 1400.0)]),
        services: ten_that_drop,
        steps: TRIGGER,
        seconds: 120,
        jumps: &[0, 30, 50],
        recovers: Some((1400.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "hysteresis up and down",
        sources: || {
            let levels = [600.0, 1200.0, 1800.0, 2400.0, 1200.0, 800.0, 400.0, 200.0];
            let steps: Vec<(u64, f64)> = levels.iter().enumerate().map(|(place, level)| (place as u64 * 15, *level)).collect();
            metastable(&steps)
        },
        services: ten_pods,
        seconds: 180,
        jumps: &[0, 15, 30, 45, 60, 75, 90, 105],
        recovers: Some((200.0, 105)),
        ..PLAIN
    },
    Twin {
        name: "two tiers, slots exhausted",
        sources: || vec![source("users", "s", &[(0, 1000.0)], patient())],
        services: || {
            let impatient = Client { timeout: ms(500), connect_timeout: ms(5000), ..Client::default() };
            let quick = ServiceBehavior { cpu_per_request: constant(10), concurrency: Some(1), ..ServiceBehavior::default() };
            let calls = vec![vec![call("dead", impatient)]];
            let caller = ServiceBehavior { concurrency: Some(32), queue_limit: 10, calls, ..quick.clone() };
            vec![("s", 10, 1, caller), ("dead", 1, 1, quick)]
        },
        steps: &[(20, Step::Silence("dead", 0))],
        seconds: 60,
        jumps: &[0, 20],
        ..PLAIN
    },
    Twin {
        name: "requests much shorter than a step",
        sources: || vec![source("users", "s", &[(0, 6000.0), (10, 15_000.0), (20, 6000.0)], client(1000, 1))],
        services: || {
            let short = ServiceBehavior {
                cpu_per_request: exponential(200),
                latency_per_request: constant(100),
                concurrency: Some(16),
                queue_limit: 32,
                ..ServiceBehavior::default()
            };
            vec![("s", 2, 1, short)]
        },
        seconds: 40,
        jumps: &[0, 10, 20],
        recovers: Some((6000.0, 20)),
        ..PLAIN
    },
    Twin {
        name: "five calls, a crisis",
        sources: || vec![source("users", "front", &[(0, 4000.0), (10, 10_000.0), (20, 4000.0)], client(2000, 2))],
        services: || {
            let back = ServiceBehavior {
                cpu_per_request: exponential(750),
                latency_per_request: constant(20),
                concurrency: Some(64),
                queue_limit: 128,
                ..ServiceBehavior::default()
            };
            let called = ["a", "b", "c", "d", "e"];
            let calls = called.map(|to| vec![call(to, client(2000, 2))]).to_vec();
            let front = ServiceBehavior { calls, ..back.clone() };
            called.into_iter().map(|name| (name, 7, 1, back.clone())).chain([("front", 6, 1, front)]).collect()
        },
        seconds: 40,
        jumps: &[0, 10, 20],
        recovers: Some((4000.0, 20)),
        ..PLAIN
    },
    Twin {
        name: "two tiers at 0.7 with a slow spell",
        sources: || vec![source("users", "front", &[(0, 1400.0)], client(1000, 2))],
        services: || {
            let client = client(1000, 2);
            let back = ServiceBehavior {
                cpu_per_request: exponential(5_000),
                concurrency: Some(32),
                latency_per_request: constant(3_000),
                error_ratio: 0.01,
                ..ServiceBehavior::default()
            };
            let calls = vec![vec![call("back", client.clone())], vec![Call { probability: 0.5, ..call("back", client) }]];
            let front = ServiceBehavior { calls, latency_per_request: constant(1_000), error_ratio: 0.0, ..back.clone() };
            vec![("front", 10, 1, front), ("back", 15, 1, back)]
        },
        steps: &[(30, Step::Cores("back", 800)), (40, Step::Cores("back", 1000))],
        seconds: 70,
        jumps: &[0, 30, 40],
        recovers: Some((1400.0, 40)),
        ..PLAIN
    },
    Twin {
        name: "two tiers that collapse",
        sources: || vec![source("users", "front", &[(0, 1400.0)], client(1000, 3))],
        services: || {
            let back = ServiceBehavior { cpu_per_request: exponential(10_000), ..two_workers() };
            let front = ServiceBehavior {
                cpu_per_request: exponential(1_000),
                concurrency: Some(256),
                queue_limit: u32::MAX,
                calls: vec![vec![call("back", client(800, 2))]],
                ..ServiceBehavior::default()
            };
            vec![("front", 10, 1, front), ("back", 10, 2, back)]
        },
        steps: &[(30, Step::Cores("back", 400)), (50, Step::Cores("back", 2000))],
        seconds: 90,
        jumps: &[0, 30, 50],
        recovers: Some((1400.0, 50)),
        ..PLAIN
    },
    Twin {
        name: "processor sharing, two flows",
        sources: || {
            vec![
                source("users", "s", &[(0, 700.0), (30, 1100.0), (40, 700.0)], client(2000, 2)),
                source("batch", "s", &[(0, 600.0)], patient()),
            ]
        },
        services: || vec![("s", 10, 2, ServiceBehavior { cpu_per_request: exponential(10_000), ..ServiceBehavior::default() })],
        seconds: 60,
        jumps: &[0, 30, 40],
        ..PLAIN
    },
    Twin {
        name: "in turn",
        sources: || vec![source("users", "s", &[(0, 1900.0), (20, 2300.0), (30, 1200.0)], in_turn())],
        services: ten_pods,
        seconds: 60,
        jumps: &[0, 20, 30],
        ..PLAIN
    },
    Twin {
        name: "in turn, evenly spaced",
        sources: || {
            let users = source("users", "s", &[(0, 1900.0), (20, 2300.0), (30, 1200.0)], in_turn());
            vec![Source { arrivals: Arrivals::Deterministic, ..users }]
        },
        services: ten_pods,
        seconds: 60,
        jumps: &[0, 20, 30],
        ..PLAIN
    },
    Twin {
        name: "bursts",
        sources: || {
            let bursts = Arrivals::Bursts { factor: 3.0, burst: ms(4000), calm: ms(8000) };
            vec![Source { arrivals: bursts, ..source("users", "s", &[(0, 900.0)], client(2000, 1)) }]
        },
        services: ten_pods,
        seconds: 60,
        jumps: &[0],
        moves: true,
        ..PLAIN
    },
    Twin {
        name: "retry tokens run out",
        sources: || {
            let tokens = Client { token_bucket: Some(TokenBucket::default()), ..client(1000, 3) };
            vec![source("users", "s", &[(0, 400.0)], tokens)]
        },
        services: || vec![("s", 10, 2, ServiceBehavior { error_ratio: 0.5, ..two_workers() })],
        seconds: 30,
        jumps: &[0],
        ..PLAIN
    },
    Twin {
        name: "an endpoint is silent and left alone",
        sources: || {
            let breaker =
                CircuitBreaker { max_requests: u32::MAX, max_retries: u32::MAX, open_for: ms(15_000), ..CircuitBreaker::default() };
            vec![source(
                "users",
                "s",
                &[(0, 600.0)],
                Client { circuit_breaker: Some(breaker), connect_timeout: ms(200), ..client(1000, 2) },
            )]
        },
        services: ten_pods,
        steps: &[(20, Step::Silence("s", 0))],
        seconds: 60,
        jumps: &[0, 20],
        ..PLAIN
    },
    Twin {
        name: "no line free",
        sources: || vec![source("users", "front", &[(0, 1500.0), (10, 3000.0), (20, 1500.0)], client(1000, 1))],
        services: || {
            let breaker = CircuitBreaker { max_requests: 6, max_retries: 2, consecutive: 0, ..CircuitBreaker::default() };
            called_by_ten(Client { circuit_breaker: Some(breaker), ..client(500, 1) })
        },
        seconds: 40,
        jumps: &[0, 10, 20],
        ..PLAIN
    },
    Twin {
        name: "no connection free",
        sources: || vec![source("users", "front", &[(0, 1500.0), (10, 3000.0), (20, 1500.0)], client(4000, 1))],
        services: || called_by_ten(Client { connection_pool: Some(5), ..client(3000, 1) }),
        seconds: 40,
        jumps: &[0, 10, 20],
        ..PLAIN
    },
    Twin {
        name: "a caller's cache warms up",
        sources: || vec![source("users", "front", &[(0, 1000.0)], client(1000, 1))],
        services: || called_through(Cache { hit_ratio: 0.9, warmup_requests: 2000.0, miss_to: None }),
        seconds: 60,
        jumps: &[0],
        ..PLAIN
    },
    Twin {
        name: "a cache that is asked warms up",
        sources: || vec![source("users", "front", &[(0, 1000.0)], client(1000, 1))],
        services: || {
            let miss_to = Some((service_key("store"), client(500, 1)));
            let store = ServiceBehavior { latency_per_request: constant(20_000), ..quick() };
            let mut services = called_through(Cache { hit_ratio: 0.9, warmup_requests: 1000.0, miss_to });
            services.push(("store", 5, 2, store));
            services
        },
        seconds: 60,
        jumps: &[0],
        ..PLAIN
    },
    Twin {
        name: "the more at work the slower",
        sources: || vec![source("users", "s", &[(0, 700.0), (20, 1300.0), (30, 700.0)], client(2000, 1))],
        services: || {
            let behavior =
                ServiceBehavior { cpu_per_request: exponential(10_000), overload_penalty: (0.01, 0.0002), ..ServiceBehavior::default() };
            vec![("s", 10, 2, behavior)]
        },
        seconds: 60,
        jumps: &[0, 20, 30],
        ..PLAIN
    },
];

/// A tenth of a millisecond of cpu, as many at once as come.
fn quick() -> ServiceBehavior {
    ServiceBehavior { cpu_per_request: exponential(100), ..ServiceBehavior::default() }
}
fn in_turn() -> Client {
    Client { balancing: Balancing::RoundRobin, ..patient() }
}
/// Ten pods that ask a service of twenty milliseconds as this client.
fn called_by_ten(client: Client) -> Vec<Pods> {
    let back = ServiceBehavior { latency_per_request: exponential(20_000), ..quick() };
    vec![("front", 10, 1, ServiceBehavior { calls: vec![vec![call("back", client)]], ..quick() }), ("back", 5, 2, back)]
}
/// Five pods that ask another service through a cache.
fn called_through(cache: Cache) -> Vec<Pods> {
    let back = ServiceBehavior { latency_per_request: constant(5_000), ..quick() };
    let asked = Call { cache: Some(cache), ..call("back", client(500, 1)) };
    vec![("front", 5, 1, ServiceBehavior { calls: vec![vec![asked]], ..quick() }), ("back", 5, 2, back)]
}

/// What one window says of one flow, or of all pods.
#[derive(Clone, Default)]
struct Seen {
    counts: TrafficCounts,
    latency: Histogram,
    queued: u64,
}

/// One run: windows of flows, and the second of recovery.
struct Run {
    windows: Vec<Vec<Seen>>,
    recovered: Option<u64>,
}

fn play(twin: &Twin, engine: TrafficEngine, seed: u64) -> Run {
    let sources = (twin.sources)();
    let flows: Vec<String> = sources.iter().map(|source| source.name.to_string()).collect();
    let mut bench = Bench::new(seed, &TrafficSpec { sources, engine, ..TrafficSpec::default() });
    for (name, count, cores, behavior) in (twin.services)() {
        bench = bench.with_pods(name, count, PodSize::cores(cores), &behavior);
    }
    let (mut windows, mut recovered) = (Vec::new(), None);
    for start in (0..twin.seconds).step_by(WINDOW as usize) {
        let mut seen = vec![Seen::default(); flows.len()];
        for second in start..(start + WINDOW).min(twin.seconds) {
            for (_, step) in twin.steps.iter().filter(|(at, _)| *at == second) {
                match step {
                    Step::Cores(name, millis) => bench.set_cores(name, *millis),
                    Step::Silence(name, index) => bench.silence(name, *index),
                }
            }
            bench.forget();
            bench.run(SimTime::from_secs(second + 1));
            for (flow, seen) in flows.iter().zip(&mut seen) {
                seen.add(&bench.counts(flow), &bench.latency(flow), bench.queued());
            }
            if let Some((goodput, from)) = twin.recovers
                && second >= from
                && recovered.is_none()
                && bench.counts(&flows[0]).succeeded as f64 >= 0.95 * goodput
            {
                recovered = Some(second + 1 - from);
            }
        }
        windows.push(seen);
    }
    Run { windows, recovered }
}

impl Seen {
    fn add(&mut self, counts: &TrafficCounts, latency: &Histogram, queued: u64) {
        let sum = &mut self.counts;
        for (sum, of) in [
            (&mut sum.arrived, counts.arrived),
            (&mut sum.succeeded, counts.succeeded),
            (&mut sum.shed, counts.shed),
            (&mut sum.refused, counts.refused),
            (&mut sum.timed_out, counts.timed_out),
            (&mut sum.failed, counts.failed),
            (&mut sum.attempts, counts.attempts),
        ] {
            *sum += of;
        }
        (sum.in_flight, sum.in_backoff) = (counts.in_flight, counts.in_backoff);
        self.latency.merge(latency);
        self.queued = queued;
    }
}

/// The judge: means over the seeds.
struct Judge {
    runs: Vec<Run>,
}

impl Judge {
    /// All seeds of a scenario, shared out over threads; which thread plays a seed makes no difference.
    fn new(twin: &Twin, engine: TrafficEngine, seeds: u64) -> Self {
        let next = AtomicU64::new(1);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds as usize);
        let mut runs: Vec<(u64, Run)> = std::thread::scope(|scope| {
            let one = || {
                let mut own = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return own;
                    }
                    own.push((seed, play(twin, engine, seed)));
                }
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            handles.into_iter().flat_map(|handle| handle.join().expect("a run")).collect()
        });
        runs.sort_by_key(|(seed, _)| *seed);
        Self { runs: runs.into_iter().map(|(_, run)| run).collect() }
    }

    /// Mean and standard error of something over the seeds.
    fn mean(&self, of: impl Fn(&Run) -> f64) -> (f64, f64) {
        let values: Vec<f64> = self.runs.iter().map(of).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0).max(1.0);
        (mean, (variance / n).sqrt())
    }

    /// Standard error of a quantile's mean over the seeds, in milliseconds.
    fn error_of(&self, window: usize, flow: usize, q: f64) -> f64 {
        let of = |run: &Run| run.windows[window][flow].latency.quantile(q).map(|nanos| nanos as f64 / 1e6);
        let values: Vec<f64> = self.runs.iter().filter_map(of).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0).max(1.0) / n).sqrt()
    }

    /// When some seeds have recovered and others have not, and 15 % on both sides.
    fn in_between(&self, twin: &Twin) -> Option<(f64, f64)> {
        let (_, from) = twin.recovers?;
        let times = || self.runs.iter().map(|run| run.recovered.map_or(f64::INFINITY, |second| second as f64));
        let (first, last) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
        // Who recovers at once has no time in between.
        (last > 10.0).then_some((from as f64 + first * (1.0 - Limits::RECOVERY), from as f64 + last * (1.0 + Limits::RECOVERY)))
    }

    fn latency(&self, window: usize, flow: usize) -> Histogram {
        let mut all = Histogram::default();
        self.runs.iter().for_each(|run| all.merge(&run.windows[window][flow].latency));
        all
    }
}

/// One comparison.
struct Compared {
    what: String,
    from: u64,
    exact: f64,
    cohort: f64,
    /// Difference over what is allowed.
    share: f64,
}

type Count = (&'static str, fn(&Seen) -> u64);

const COUNTS: &[Count] = &[
    ("arrived", |seen| seen.counts.arrived),
    ("attempts", |seen| seen.counts.attempts),
    ("succeeded", |seen| seen.counts.succeeded),
    ("shed", |seen| seen.counts.shed),
    ("refused", |seen| seen.counts.refused),
    ("timed out", |seen| seen.counts.timed_out),
    ("failed", |seen| seen.counts.failed),
];
const LEVELS: &[Count] = &[("backlog", |seen| seen.counts.in_flight + seen.counts.in_backoff), ("queued", |seen| seen.queued)];

fn compare(twin: &Twin) -> Vec<Compared> {
    let judge = Judge::new(twin, TrafficEngine::Exact, SEEDS);
    // The same under every seed, but for phases of bursts.
    let cohort = Judge::new(twin, TrafficEngine::Cohort, if twin.moves { SEEDS } else { 1 });
    let flows = (twin.sources)();
    let mut all = Vec::new();
    let between = judge.in_between(twin);
    for window in 0..cohort.runs[0].windows.len() {
        let from = window as u64 * WINDOW;
        if between.is_some_and(|(start, end)| ((from + WINDOW) as f64) > start && (from as f64) < end) {
            continue;
        }
        let after = twin.jumps.iter().any(|jump| from + WINDOW > *jump && from < jump + 10);
        let saturated = twin.saturated.iter().any(|(start, end)| from + WINDOW > *start && from < *end);
        for flow in 0..flows.len() {
            let mut push = |what: &str, exact: f64, cohort: f64, allowed: f64| {
                let what = if flows.len() > 1 { format!("{}: {what}", flows[flow].name) } else { what.to_owned() };
                all.push(Compared { what, from, exact, cohort, share: (cohort - exact).abs() / allowed.max(1e-9) });
            };
            let arrived = judge.mean(|run| run.windows[window][flow].counts.arrived as f64).0;
            for (what, pick) in COUNTS {
                let (exact, error) = judge.mean(|run| pick(&run.windows[window][flow]) as f64);
                let limit = if after { Limits::COUNTS_AFTER } else { Limits::COUNTS };
                push(
                    what,
                    exact,
                    cohort.mean(|run| pick(&run.windows[window][flow]) as f64).0,
                    limit * exact + 2.0 * error + Limits::RARE * arrived,
                );
            }
            let mut levels: Vec<f64> = Vec::new();
            for (what, pick) in LEVELS {
                let (exact, error) = judge.mean(|run| pick(&run.windows[window][flow]) as f64);
                let before = if window == 0 { 0.0 } else { judge.mean(|run| pick(&run.windows[window - 1][flow]) as f64).0 };
                levels.push((exact - before).abs() / exact.max(20.0));
                // Cohort's are whole requests.
                push(
                    what,
                    exact,
                    cohort.mean(|run| pick(&run.windows[window][flow]) as f64).0,
                    Limits::BACKLOG * exact + 2.0 * exact.sqrt() + 2.0 * error + 0.5,
                );
            }
            // Something moves: not at rest.
            let transient = after || twin.moves || levels.iter().any(|moved| *moved > 0.05);
            let latency = judge.latency(window, flow);
            let mine = cohort.latency(window, flow);
            if latency.count() as f64 > 0.05 * arrived * SEEDS as f64 && mine.count() > 0 {
                let quantile = |q: f64, of: &Histogram| of.quantile(q).map_or(f64::NAN, |nanos| nanos as f64 / 1e6);
                let p99 = if saturated {
                    Limits::P99_SATURATED
                } else if transient {
                    Limits::P99_TRANSIENT
                } else {
                    Limits::P99
                };
                for (what, q, limit) in [("p50 ms", 0.5, Limits::P50), ("p99 ms", 0.99, p99)] {
                    let exact = quantile(q, &latency);
                    let error = judge.error_of(window, flow, q);
                    push(what, exact, quantile(q, &mine), limit * exact + 2.0 * error);
                }
            }
        }
    }
    if twin.recovers.is_some() {
        let times: Vec<f64> = judge.runs.iter().filter_map(|run| run.recovered.map(|second| second as f64)).collect();
        let most = times.len() * 2 > judge.runs.len();
        let recovered = cohort.runs[0].recovered;
        let (exact, mine) = (times.iter().sum::<f64>() / times.len() as f64, recovered.map_or(f64::NAN, |second| second as f64));
        let same = most == recovered.is_some() || !twin.clear;
        let allowed = Limits::RECOVERY * exact + 1.0; // Seconds are counted whole.
        let share = if !same {
            f64::INFINITY
        } else if most && recovered.is_some() {
            (exact - mine).abs() / allowed
        } else {
            0.0
        };
        all.push(Compared { what: format!("recovered ({}/{SEEDS} seeds)", times.len()), from: 0, exact, cohort: mine, share });
    }
    all
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let every = std::env::args().any(|word| word == "--all");
    let (mut held, mut missed) = (0u32, 0u32);
    for twin in TWINS.iter().filter(|twin| words.is_empty() || words.iter().any(|word| twin.name.contains(word.as_str()))) {
        let mut all = compare(twin);
        println!("{}", twin.name);
        if !every {
            // The worst of each kind, and whatever is out of its limit.
            all.sort_by(|a, b| a.what.cmp(&b.what).then(b.share.total_cmp(&a.share)));
        }
        let mut last = String::new();
        for Compared { what, from, exact, cohort, share } in all {
            let ok = share <= 1.0;
            if ok {
                held += 1;
            } else {
                missed += 1;
            }
            if every || !ok || what != last {
                let word = if ok { "agree " } else { "DIFFER" };
                println!("  {word} {what:24} from {from:>3} s: exact {exact:>12.3} cohort {cohort:>12.3}  {share:.2} of the limit");
            }
            last = what;
        }
    }
    println!("{held} comparisons hold, {missed} missed");
    if missed == 0 && held > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
