//! The traffic engines against closed forms: every row of `traffic_validation/rows.csv` by its id, measured beside expected.
//!
//! A row holds when each engine is within the row's tolerance for it: `1.5%` of the expected value, `+-0.01`, `<=14`,
//! `>=500`, or `92..112`.
//! A row of several numbers has several lines (`T31b-3`). Rows of clusters are in `traffic_validation/cluster.rs`.
#![expect(clippy::print_stdout, reason = "a test program's own report")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use api::{SimDuration, SimTime};
use engine::random::{Distribution, Draw, Purpose, Streams};
use engine::spec::{
    Arrivals, Balancing, Call, CancelOnTimeout, Client, ClientThrottle, RatePoint, ServiceBehavior, ServiceMemory, Source, TrafficEngine,
    TrafficSpec, Users, WorkerQueue,
};
use engine::traffic_bench::{Bench, PodSize, service_key};
use trace::{Histogram, TrafficCounts};

#[path = "traffic_validation/cluster.rs"]
mod cluster;

const ROWS: &str = include_str!("traffic_validation/rows.csv");

/// What was measured, by row.
type Found = BTreeMap<&'static str, f64>;
/// What one model measures.
type Measured = Vec<(&'static str, f64)>;
type Model = fn(TrafficEngine) -> Measured;

/// Groups of rows that one run measures, and whether the cohort engine has them.
const MODELS: &[(&str, Model)] = &[
    ("T01", t01),
    ("T02", t02),
    ("T03", t03),
    ("T04", t04),
    ("T05", t05),
    ("T06", t06),
    ("T07", t07),
    ("T08", t08),
    ("T09", t09),
    ("T10", t10),
    ("T11", t11),
    ("T12", t12),
    ("T14", t14),
    ("T15", t15),
    ("T16", t16),
    ("T17", t17),
    ("T18", t18),
    ("T19", t19),
    ("T20", t20),
    ("T21", t21),
    ("T22", t22),
    ("T23", t23),
    ("T24", t24),
    ("T26", t26),
    ("T27", t27),
    ("T28", t28),
    ("T29", t29),
    ("T30", t30),
    ("T31", |engine| in_a_cluster(engine, cluster::t31)),
    ("T32", |engine| in_a_cluster(engine, cluster::t32)),
    ("T33", t33),
    ("T34", |engine| in_a_cluster(engine, cluster::t34)),
    ("T35", t35),
    ("T37", t37),
    ("T38", t38),
    ("T39", t39),
    ("T40", t40),
];

const ENGINES: &[(&str, TrafficEngine, usize)] = &[("exact", TrafficEngine::Exact, 4), ("cohort", TrafficEngine::Cohort, 5)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (mut held, mut missed) = (0, 0);
    for (name, engine, column) in ENGINES {
        let mut found = Found::new();
        for (_, model) in MODELS.iter().filter(|(id, _)| words.is_empty() || words.iter().any(|word| word.contains(id))) {
            found.extend(model(*engine));
        }
        for line in ROWS.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let (Some(measured), false) = (found.get(cells[0]), cells[*column] == "n/a") else { continue };
            let expected: f64 = cells[3].parse().expect("a number");
            let ok = holds(*measured, expected, cells[*column]);
            if ok {
                held += 1
            } else {
                missed += 1
            }
            let word = if ok { "holds " } else { "MISSED" };
            println!(
                "{word} {name} {:5} {:32} {:34} expected {expected:<12} measured {measured:<12.6} within {}",
                cells[0], cells[1], cells[2], cells[*column]
            );
        }
    }
    println!("{held} rows hold, {missed} missed");
    if missed == 0 && held > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn holds(measured: f64, expected: f64, tolerance: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().expect("a number");
    if let Some(most) = tolerance.strip_prefix("<=") {
        return measured <= number(most);
    }
    if let Some(least) = tolerance.strip_prefix(">=") {
        return measured >= number(least);
    }
    if let Some((least, most)) = tolerance.split_once("..") {
        return measured >= number(least) && measured <= number(most);
    }
    let slack = match (tolerance.strip_suffix('%'), tolerance.strip_prefix("+-")) {
        (Some(percent), _) => expected.abs() * percent.parse::<f64>().expect("a number") / 100.0,
        (_, Some(absolute)) => absolute.parse().expect("a number"),
        _ => panic!("`{tolerance}` is no tolerance"),
    };
    (measured - expected).abs() <= slack
}

fn ms(millis: u64) -> SimDuration {
    SimDuration::from_millis(millis)
}
fn s(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}
fn at_ms(millis: u64) -> SimTime {
    SimTime::from_millis(millis)
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
fn call(to: &str, client: Client) -> Call {
    Call { to: service_key(to), probability: 1.0, client, cache: None }
}
/// One worker, no limit on the queue, all cpu.
fn worker(cpu: Distribution) -> ServiceBehavior {
    ServiceBehavior { cpu_per_request: cpu, concurrency: Some(1), ..ServiceBehavior::default() }
}
/// No limit on requests under way.
fn sharing(cpu: Distribution) -> ServiceBehavior {
    ServiceBehavior { cpu_per_request: cpu, ..ServiceBehavior::default() }
}
fn source(to: &str, rates: &[(u64, f64)], client: Client) -> Source {
    let rate = rates.iter().map(|(at, per_second)| RatePoint { at: at_ms(*at), per_second: *per_second, linear: false }).collect();
    Source { name: "users".into(), to: service_key(to), rate, client, ..Source::default() }
}
fn bench(engine: TrafficEngine, seed: u64, source: Source) -> Bench {
    Bench::new(seed, &TrafficSpec { sources: vec![source], engine, ..TrafficSpec::default() })
}
fn pods(bench: Bench, name: &'static str, count: u64, cores: i64, behavior: &ServiceBehavior) -> Bench {
    bench.with_pods(name, count, PodSize::cores(cores), behavior)
}
/// One pod under a constant rate, its first tenth forgotten.
fn single(engine: TrafficEngine, rate: f64, requests: u64, cores: i64, behavior: &ServiceBehavior) -> Bench {
    let mut bench = pods(bench(engine, 1, source("s", &[(0, rate)], patient())), "s", 1, cores, behavior);
    // The cohort engine has no noise to average out.
    let seconds = (requests as f64 / rate) as u64 / of(engine, 1, 20);
    bench.run(s(seconds / 10));
    bench.forget();
    bench.measure((s(seconds / 10), s(u64::MAX / 2_000_000_000)), (SimDuration::ZERO, SimDuration::MAX));
    bench.run(s(seconds));
    bench
}
/// Rows of clusters are the world's, whichever engine plays requests.
fn in_a_cluster(engine: TrafficEngine, model: fn() -> Measured) -> Measured {
    if engine == TrafficEngine::Exact { model() } else { Vec::new() }
}
fn of<T>(engine: TrafficEngine, exact: T, cohort: T) -> T {
    if engine == TrafficEngine::Exact { exact } else { cohort }
}
fn users(bench: &Bench) -> TrafficCounts {
    bench.counts("users")
}
fn mean_ms(bench: &Bench, flow: &str) -> f64 {
    bench.latency(flow).mean().unwrap_or(f64::NAN) / 1e6
}
fn quantile_ms(bench: &Bench, q: f64) -> f64 {
    bench.latency("users").quantile(q).map_or(f64::NAN, |nanos| nanos as f64 / 1e6)
}
fn share(part: u64, of: u64) -> f64 {
    part as f64 / of as f64
}
/// What the users' counts grow by until then.
fn delta(bench: &mut Bench, until: SimTime) -> TrafficCounts {
    let before = users(bench);
    bench.run(until);
    let after = users(bench);
    TrafficCounts {
        arrived: after.arrived - before.arrived,
        succeeded: after.succeeded - before.succeeded,
        attempts: after.attempts - before.attempts,
        failed: after.failed - before.failed,
        refused: after.refused - before.refused,
        ..after
    }
}

fn t01(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let bench = single(engine, 80.0, 6_000_000, 1, &worker(exponential(10_000)));
    vec![("T01a", mean_ms(&bench, "users")), ("T01b", quantile_ms(&bench, 0.5)), ("T01c", quantile_ms(&bench, 0.99))]
}

fn t02(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let four = |cpu| ServiceBehavior { concurrency: Some(4), ..worker(cpu) };
    let bench = single(engine, 360.0, 8_000_000, 4, &four(exponential(10_000)));
    let wait = mean_ms(&bench, "users") - 10.0;
    vec![("T02a", bench.waiting_share("s").unwrap_or(f64::NAN)), ("T02b", wait), ("T02c", quantile_ms(&bench, 0.99))]
}

fn t03(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { concurrency: Some(2), queue_limit: 8, ..worker(exponential(10_000)) };
    let bench = single(engine, 240.0, 2_000_000, 2, &behavior);
    vec![("T03a", share(users(&bench).shed, users(&bench).arrived)), ("T03b", mean_ms(&bench, "users"))]
}

fn t04(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { concurrency: Some(10), queue_limit: 0, ..worker(exponential(10_000)) };
    let bench = single(engine, 800.0, 1_000_000, 10, &behavior);
    vec![("T04a", share(users(&bench).shed, users(&bench).arrived))]
}

fn t05(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    vec![("T05", mean_ms(&single(engine, 80.0, 4_000_000, 1, &worker(constant(10_000))), "users") - 10.0)]
}

fn t06(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let lognormal = Distribution::lognormal_mean_cv(ms(10), 2.0);
    vec![("T06", mean_ms(&single(engine, 70.0, 10_000_000, 1, &worker(lognormal)), "users"))]
}

fn t07(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let lognormal = Distribution::lognormal_mean_cv(ms(10), 2.0);
    let mut found = vec![("T07a", mean_ms(&single(engine, 70.0, 5_000_000, 1, &sharing(lognormal)), "users"))];
    if engine == TrafficEngine::Exact {
        // Requests that want very nearly 30 ms, among those of a mix that is exponential.
        let source = source("s", &[(0, 70.0)], patient());
        let mut bench = pods(bench(engine, 7, source), "s", 1, 1, &sharing(exponential(10_000)));
        bench.measure((s(1000), s(100_000)), (SimDuration::from_micros(29_500), SimDuration::from_micros(30_500)));
        bench.run(s(60_000));
        found.push(("T07c", bench.measured().map_or(f64::NAN, |(_, slowdown)| slowdown * 30.0)));
    }
    found
}

fn t08(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let bench = single(engine, 80.0, 6_000_000, 1, &sharing(exponential(10_000)));
    let latency = bench.latency("users");
    let mean = mean_ms(&bench, "users");
    let square = |bucket| (Histogram::middle(bucket) as f64 / 1e6) * (Histogram::middle(bucket) as f64 / 1e6);
    let squares: f64 = latency.buckets().map(|(bucket, n)| square(bucket) * n as f64).sum();
    vec![("T08a", squares / latency.count() as f64 / (mean * mean) - 1.0), ("T08c", quantile_ms(&bench, 0.5))]
}

fn t09(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { cancel_on_timeout: CancelOnTimeout::Queued, ..worker(exponential(10_000)) };
    let client = Client { timeout: ms(100), ..Client::default() };
    let mut bench = pods(bench(engine, 1, source("s", &[(0, 200.0)], client)), "s", 1, 1, &behavior);
    bench.run(s(50));
    bench.forget();
    bench.run(s(of(engine, 5_000, 500)));
    let users = users(&bench);
    // Late by being served: orphans; the rest of those that timed out was dropped in the queue.
    vec![("T09a", share(users.timed_out - bench.orphaned(), users.arrived)), ("T09b", share(users.succeeded, users.arrived))]
}

fn t10(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    // Many pods at once are as good as many replications, where equal pods cost nothing.
    let (replications, count) = of(engine, (20_000, 1), (1, 1000));
    let there = |seed| {
        let source = source("s", &[(0, 90.0 * count as f64)], patient());
        let mut bench = pods(bench(engine, seed, source), "s", count, 1, &worker(exponential(10_000)));
        bench.run(at_ms(500));
        users(&bench).in_flight
    };
    vec![("T10", share((0..replications).map(there).sum::<u64>(), replications * count))]
}

fn t11(engine: TrafficEngine) -> Measured {
    let spike = |source: Source, cpu| {
        let behavior = ServiceBehavior { concurrency: Some(2), ..worker(cpu) };
        pods(bench(engine, 11, source), "s", 10, 2, &behavior)
    };
    let loads = || source("s", &[(0, 2400.0), (15_000, 1000.0)], patient());
    let mut random = spike(loads(), exponential(10_000));
    random.run(s(15));
    let backlog = users(&random).in_flight;
    // The fluid itself, which the rows are about: everything evenly spaced, so that no pod differs from another by chance.
    let client = Client { balancing: Balancing::RoundRobin, ..patient() };
    let mut even = spike(Source { arrivals: Arrivals::Deterministic, client, ..loads() }, constant(10_000));
    let mut last_of_spike = f64::NAN;
    let empty = (1_501..3_000).find(|hundredth| {
        even.forget();
        even.run(at_ms(hundredth * 10));
        // Who came with the last of the spike waited for as long as it is past.
        let past = *hundredth as f64 / 100.0 - 15.0;
        let wait = mean_ms(&even, "users") / 1000.0;
        if last_of_spike.is_nan() && wait <= past {
            last_of_spike = wait;
        }
        users(&even).in_flight <= 20
    });
    let drained = empty.map_or(f64::NAN, |hundredth| hundredth as f64 / 100.0 - 15.0);
    vec![("T11a", backlog as f64), ("T11b", last_of_spike), ("T11c", drained)]
}

fn t12(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let client = Client { balancing: Balancing::LeastRequest, ..patient() };
    let mut bench = pods(bench(engine, 1, source("s", &[(0, 18_000.0)], client)), "s", 200, 1, &worker(exponential(10_000)));
    bench.run(s(10));
    bench.forget();
    bench.run(s(90));
    vec![("T12a", mean_ms(&bench, "users"))]
}

fn t14(engine: TrafficEngine) -> Measured {
    // No slot is held: the caller's slots are without limit and its own cpu work is nothing. The stations differ by what
    // others ask of them: 50 of everybody's, 20 and 30 more per second.
    let entry = ServiceBehavior { calls: ["a", "b", "c"].map(|to| vec![call(to, patient())]).to_vec(), ..sharing(constant(0)) };
    let other = |name: &str, to, rate| Source { name: name.into(), ..source(to, &[(0, rate)], patient()) };
    let sources = vec![source("entry", &[(0, 50.0)], patient()), other("others of b", "b", 20.0), other("others of c", "c", 30.0)];
    let bench = Bench::new(14, &TrafficSpec { sources, engine, ..TrafficSpec::default() });
    let mut bench = pods(bench, "entry", 1, 4, &entry);
    for name in ["a", "b", "c"] {
        bench = pods(bench, name, 1, 1, &worker(exponential(10_000)));
    }
    bench.run(s(of(engine, 1_000, 100)));
    bench.forget();
    bench.run(s(of(engine, 40_000, 1_000)));
    vec![("T14a", mean_ms(&bench, "users"))]
}

fn t15(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let leaf = ServiceBehavior { latency_per_request: exponential(10_000), ..sharing(constant(0)) };
    let fan = ServiceBehavior { calls: vec![vec![call("leaf", patient()); 100]], ..sharing(constant(0)) };
    let mut bench = pods(bench(engine, 15, source("fan", &[(0, 20.0)], patient())), "fan", 1, 1, &fan);
    bench = pods(bench, "leaf", 1, 1, &leaf);
    bench.run(s(1_000));
    let latency = bench.latency("users");
    let leaf_p99 = 10e6 * 4.605_170_186;
    let slower: u64 = latency.buckets().filter(|(bucket, _)| Histogram::middle(*bucket) as f64 > leaf_p99).map(|(_, n)| n).sum();
    vec![("T15b", share(slower, latency.count()))]
}

fn t16(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let users_20 = Users { count: 20, think: exponential(1_000_000), from: SimTime::ZERO };
    let source = Source { users: Some(users_20), ..source("s", &[], patient()) };
    let mut bench = pods(bench(engine, 16, source), "s", 1, 1, &worker(exponential(50_000)));
    bench.run(s(100));
    bench.forget();
    let seconds = of(engine, 60_000, 2_000);
    bench.run(s(100 + seconds));
    vec![("T16a", users(&bench).succeeded as f64 / seconds as f64), ("T16b", mean_ms(&bench, "users"))]
}

fn t17(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let frozen = |source: Source| {
        let mut bench = pods(bench(engine, 17, source), "s", 1, 1, &worker(constant(1_000)));
        for cycle in 0..20 {
            bench.run(at_ms(cycle * 10_000 + 9_000));
            bench.set_cores("s", 0);
            bench.run(at_ms(cycle * 10_000 + 10_000));
            bench.set_cores("s", 1000);
        }
        bench.run(s(209));
        quantile_ms(&bench, 0.99)
    };
    let open = Source { arrivals: Arrivals::Deterministic, ..source("s", &[(0, 500.0)], patient()) };
    let one = Users { count: 1, think: constant(1_000), from: SimTime::ZERO };
    let closed = Source { users: Some(one), ..source("s", &[], patient()) };
    vec![("T17a", frozen(open)), ("T17b", frozen(closed))]
}

fn t18(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { error_ratio: 0.5, ..worker(constant(of(engine, 10, 0))) };
    let client = Client { max_attempts: 4, ..Client::default() };
    let rate = of(engine, 1e3, 1e7); // Whole requests are too coarse for a millionth otherwise.
    let mut bench = pods(bench(engine, 18, source("s", &[(0, rate), (500_000, 0.0)], client)), "s", 1, 1, &behavior);
    bench.run(s(520));
    let users = users(&bench);
    vec![("T18a", share(users.attempts, users.arrived)), ("T18b", share(users.failed, users.arrived))]
}

fn t19(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let three = || Client { max_attempts: 3, ..Client::default() };
    let layer = |to| ServiceBehavior { calls: vec![vec![call(to, three())]], ..sharing(constant(of(engine, 10, 0))) };
    let leaf = ServiceBehavior { error_ratio: 1.0, ..worker(constant(of(engine, 10, 0))) };
    let mut bench = bench(engine, 19, source("a", &[(0, of(engine, 50.0, 1e7)), (20_000, 0.0)], three()));
    bench = pods(bench, "a", 1, 1, &layer("b"));
    bench = pods(bench, "b", 1, 1, &layer("leaf"));
    bench = pods(bench, "leaf", 1, 1, &leaf);
    bench.run(s(60));
    vec![("T19", share(bench.counts("b→leaf").attempts, users(&bench).arrived))]
}

fn t20(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { error_ratio: 1.0, ..worker(constant(10)) };
    let client = Client { max_attempts: 4, retry_budget: Some((0.2, 0.0)), ..Client::default() };
    let mut bench = pods(bench(engine, 20, source("s", &[(0, 1000.0)], client)), "s", 1, 1, &behavior);
    bench.run(s(20));
    vec![("T20a", delta(&mut bench, s(220)).attempts as f64 / 200.0)]
}

fn t21(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { concurrency: Some(2), queue_limit: 20, ..worker(exponential(10_000)) };
    let client = Client { timeout: ms(5000), max_attempts: 3, ..Client::default() };
    let mut bench = pods(bench(engine, 21, source("s", &[(0, 1400.0)], client)), "s", 5, 2, &behavior);
    bench.run(s(20));
    let delta = delta(&mut bench, s(220));
    vec![("T21a", delta.attempts as f64 / 200.0), ("T21b", delta.succeeded as f64 / 200.0)]
}

/// Ten pods of two workers lose cores for 20 s at t = 30; goodput by second afterwards.
fn trigger(engine: TrafficEngine, rate: f64, queue_limit: u32, cut: i64, until: u64) -> Vec<f64> {
    let behavior = ServiceBehavior { concurrency: Some(2), queue_limit, ..worker(exponential(10_000)) };
    let client = Client { timeout: ms(1000), max_attempts: 3, ..Client::default() };
    let mut bench = pods(bench(engine, 22, source("s", &[(0, rate)], client)), "s", 10, 2, &behavior);
    bench.run(s(30));
    bench.set_cores("s", cut);
    bench.run(s(50));
    bench.set_cores("s", 2000);
    (51..=until).map(|second| delta(&mut bench, s(second)).succeeded as f64).collect()
}

fn recovery(goodput: &[f64], rate: f64) -> Option<usize> {
    goodput.iter().position(|goodput| *goodput >= 0.95 * rate).map(|place| place + 1)
}

fn t22(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let low = trigger(engine, 600.0, u32::MAX, 400, 200);
    let above = trigger(engine, 700.0, u32::MAX, 400, 395);
    let high = trigger(engine, 1400.0, u32::MAX, 400, 150);
    let last = |goodput: &[f64]| goodput[goodput.len() - 5..].iter().sum::<f64>() / 5.0;
    let seconds = recovery(&low, 600.0);
    vec![
        ("T22a-600", f64::from(u8::from(seconds.is_some()))),
        ("T22b", seconds.map_or(f64::NAN, |seconds| seconds as f64)),
        ("T22c", last(&high)),
        ("T22a-700", last(&above) / 700.0),
    ]
}

fn t23(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let goodput = trigger(engine, 1400.0, 50, 1000, 60);
    vec![("T23", recovery(&goodput, 1400.0).map_or(f64::NAN, |seconds| seconds as f64))]
}

fn t24(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let behavior = ServiceBehavior { concurrency: Some(10), queue_limit: 20, ..worker(exponential(10_000)) };
    let client = Client { throttle: Some(ClientThrottle::default()), ..Client::default() };
    let mut bench = pods(bench(engine, 24, source("s", &[(0, 3000.0)], client)), "s", 1, 10, &behavior);
    bench.run(s(300));
    vec![("T24", delta(&mut bench, s(600)).attempts as f64 / 300.0)]
}

fn t26(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let impatient = Client { timeout: ms(500), connect_timeout: ms(5000), ..Client::default() };
    let caller =
        ServiceBehavior { concurrency: Some(32), queue_limit: 10, calls: vec![vec![call("dead", impatient)]], ..worker(constant(10)) };
    let mut bench = pods(bench(engine, 26, source("s", &[(0, 1000.0)], patient())), "s", 10, 1, &caller);
    bench = pods(bench, "dead", 1, 1, &worker(constant(10)));
    bench.silence("dead", 0);
    bench.run(s(5));
    vec![("T26", delta(&mut bench, s(65)).failed as f64 / 60.0)]
}

fn t27(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let queue = WorkerQueue { consumers_per_pod: 1, visibility_timeout: SimDuration::from_secs(600), max_deliveries: 5 };
    let behavior = ServiceBehavior { worker: Some(queue), ..worker(constant(10_000)) };
    let source = Source { arrivals: Arrivals::Deterministic, ..source("q", &[(0, 1200.0), (60_000, 500.0)], patient()) };
    let mut bench = pods(bench(engine, 27, source), "q", 10, 1, &behavior);
    bench.run(s(60));
    let backlog = bench.counts("q queue").in_backoff;
    bench.run(at_ms(71_900));
    bench.forget();
    bench.run(at_ms(72_100));
    let age = mean_ms(&bench, "q queue") / 1000.0;
    let drained = (721..1200).find(|tenth| {
        bench.run(at_ms(tenth * 100));
        bench.counts("q queue").in_backoff < 10
    });
    vec![("T27-backlog", backlog as f64), ("T27-age", age), ("T27-drain", drained.unwrap_or(1200) as f64 / 10.0 - 60.0)]
}

fn t28(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let steady = |to: &str| Source { arrivals: Arrivals::Deterministic, ..source(to, &[(0, 1.0)], patient()) };
    let size = |cores: i64, limit| PodSize { cpu_limit_millis: Some(limit), ..PodSize::cores(cores) };
    let mut one = bench(engine, 28, steady("s")).with_pods("s", 1, size(1, 400), &worker(constant(200_000)));
    one.measure((SimTime::ZERO, s(100)), (ms(100), ms(300)));
    one.run(at_ms(20_900));
    // Four threads of one process: four requests at once, which a caller in front sends together.
    let four = ServiceBehavior { calls: vec![vec![call("s", patient()); 4]], ..sharing(constant(0)) };
    let mut threads = pods(bench(engine, 28, steady("front")), "front", 1, 1, &four);
    threads = threads.with_pods("s", 1, size(4, 1000), &ServiceBehavior { concurrency: Some(4), ..worker(constant(50_000)) });
    threads.measure((SimTime::ZERO, s(100)), (ms(40), ms(60)));
    threads.run(at_ms(20_900));
    let exact = |bench: &Bench| bench.measured().map_or(f64::NAN, |(sojourn, _)| sojourn * 1000.0);
    vec![("T28a", exact(&one)), ("T28b", exact(&threads))]
}

fn t29(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let cores = engine::traffic_bench::shared_node(engine, 4000, &[(1000, 3), (2000, 3), (500, 1)], &[1.0, 1.0, 0.25]);
    vec![("T29a-A", cores[0]), ("T29a-B", cores[1]), ("T29a-C", cores[2])]
}

fn t30(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let mib = 1 << 20;
    let memory = ServiceMemory { base_bytes: 200 * mib, per_in_flight_bytes: 0, leak_per_second_bytes: mib, leak_per_request_bytes: 0 };
    let behavior = ServiceBehavior { memory: Some(memory), ..worker(constant(10)) };
    let size = PodSize { memory_limit_bytes: Some(512 * mib), ..PodSize::cores(1) };
    let mut bench = bench(engine, 30, source("s", &[(0, 10.0)], patient())).with_pods("s", 1, size, &behavior);
    bench.run(s(400));
    vec![("T30a", bench.out_of_memory_at().map_or(f64::NAN, |at| at.as_secs_f64()))]
}

fn t33(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let twice = Client { max_attempts: 2, ..Client::default() };
    let quick = worker(constant(of(engine, 10, 0)));
    let rate = of(engine, 1e3, 1e7);
    let mut silent = pods(bench(engine, 33, source("s", &[(0, rate), (300_000, 0.0)], twice)), "s", 10, 1, &quick);
    silent.silence("s", 3);
    silent.run(s(310));
    let mut stopped = pods(bench(engine, 34, source("s", &[(0, 1000.0)], Client::default())), "s", 10, 1, &worker(constant(10)));
    stopped.run(s(5));
    stopped.stop("s", 0);
    stopped.run(s(6));
    stopped.unlist("s", 0);
    stopped.run(s(10));
    vec![("T33a", share(users(&silent).refused, users(&silent).arrived)), ("T33b", users(&stopped).refused as f64)]
}

fn t35(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    let point = |at, per_second, linear| RatePoint { at: s(at), per_second, linear };
    let rate = vec![point(0, 200.0, true), point(7200, 8000.0, false), point(7200, 0.0, false)];
    let mut bench = bench(engine, 35, Source { rate, ..source("nobody", &[], patient()) });
    bench.run(s(7300));
    vec![("T35a", users(&bench).arrived as f64)]
}

fn t37(engine: TrafficEngine) -> Vec<(&'static str, f64)> {
    if engine != TrafficEngine::Exact {
        return Vec::new();
    }
    let run = |seed, micros| {
        let mut bench = pods(bench(engine, seed, source("s", &[(0, 80.0)], patient())), "s", 1, 1, &worker(exponential(micros)));
        bench.run(s(250));
        mean_ms(&bench, "users")
    };
    let pairs: Vec<(f64, f64)> = (0..50).map(|seed| (run(seed, 10_000), run(seed, 9_000))).collect();
    let variance = |values: Vec<f64>| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (values.len() - 1) as f64
    };
    let paired = variance(pairs.iter().map(|(a, b)| a - b).collect());
    let unpaired = variance(pairs.iter().map(|(a, _)| *a).collect()) + variance(pairs.iter().map(|(_, b)| *b).collect());
    vec![("T37", paired / unpaired)]
}

fn t38(_: TrafficEngine) -> Vec<(&'static str, f64)> {
    let mut stream = Streams::new(38).stream(Purpose::CpuDemand, 1);
    let mut histogram = Histogram::default();
    let mut values: Vec<u64> = (0..1_000_000).map(|_| (20e6 * libm_exp(Draw::normal(&mut stream))) as u64).collect();
    values.iter().for_each(|value| histogram.record(*value));
    values.sort_unstable();
    let error = |q: f64| {
        let (found, true_value) = (histogram.quantile(q).unwrap_or(0), values[(q * 1e6) as usize]);
        (found as f64 / true_value as f64 - 1.0).abs()
    };
    vec![("T38", [0.5, 0.9, 0.99, 0.999].map(error).into_iter().fold(0.0, f64::max))]
}

#[expect(clippy::disallowed_methods, reason = "a closed form, not a simulation")]
fn libm_exp(x: f64) -> f64 {
    x.exp()
}

/// Everything that a small storm counted.
fn fingerprint(engine: TrafficEngine, seed: u64) -> String {
    let bench = storm(engine, seed);
    format!("{:?} {:?}", users(&bench), bench.latency("users"))
}

fn storm(engine: TrafficEngine, seed: u64) -> Bench {
    let client = Client { timeout: ms(80), max_attempts: 3, retry_budget: Some((0.5, 2.0)), ..Client::default() };
    let behavior = ServiceBehavior { concurrency: Some(2), queue_limit: 20, error_ratio: 0.01, ..worker(exponential(8_000)) };
    let mut bench = pods(bench(engine, seed, source("s", &[(0, 150.0), (10_000, 500.0)], client)), "s", 2, 1, &behavior);
    bench.run(s(30));
    bench
}

/// Requests of a storm that are neither over nor open. Every window of every row here is asserted by the engines
/// themselves, those of shipped scenarios are in `tests/shipped.rs`, random ones in the engine's own tests.
fn t39(engine: TrafficEngine) -> Measured {
    let counts = users(&storm(engine, 39));
    let over = counts.succeeded + counts.shed + counts.refused + counts.timed_out + counts.failed;
    vec![("T39", counts.arrived.abs_diff(over + counts.in_flight + counts.in_backoff) as f64)]
}

/// One run by itself and eight at once: how many differ from the first. Another seed has to.
#[expect(clippy::disallowed_methods, reason = "whole runs side by side, as the command line has them")]
fn t40(engine: TrafficEngine) -> Measured {
    let first = fingerprint(engine, 1);
    let runs: Vec<_> = (0..8).map(|_| std::thread::spawn(move || fingerprint(engine, 1))).collect();
    let differing = runs.into_iter().filter_map(|run| run.join().ok()).filter(|other| *other != first).count();
    let other_seed = engine == TrafficEngine::Exact && fingerprint(engine, 2) == first;
    vec![("T40", differing as f64 + f64::from(u8::from(other_seed)))]
}
