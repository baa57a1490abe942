//! The calendar against the fastest plain structure: hold model at 1k, 100k and 1M pending events.
//!
//! One step pops the earliest event and schedules another at an exponential distance, taken from a table
//! drawn beforehand so that drawing costs the same (nearly nothing) on both sides. The baseline is a
//! `BinaryHeap` of packed 128-bit keys with push and pop; the calendar must stay within 1.5 times of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;

use api::SimTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::Calendar;
use engine::random::{Purpose, Streams};

const TABLE: usize = 1 << 16;
const STEPS: u64 = 100_000;

/// Increments in nanoseconds, mean one second.
fn increments() -> Vec<u64> {
    let mut stream = Streams::new(1).stream(Purpose::TieBreak, 0);
    (0..TABLE).map(|_| (stream.exponential() * 1e9) as u64).collect()
}

/// xorshift64*: only to walk the table.
struct Walk(u64);

impl Walk {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 48) as usize
    }
}

struct Packed {
    heap: BinaryHeap<Reverse<u128>>,
    sequence: u64,
}

impl Packed {
    fn push(&mut self, at: u64, event: u32) {
        let sequence = u128::from(self.sequence & 0xffff_ffff);
        self.heap.push(Reverse((u128::from(at) << 64) | (sequence << 32) | u128::from(event)));
        self.sequence += 1;
    }
    fn pop(&mut self) -> Option<(u64, u32)> {
        self.heap.pop().map(|Reverse(key)| ((key >> 64) as u64, key as u32))
    }
}

fn hold(criterion: &mut Criterion) {
    let table = increments();
    let mut group = criterion.benchmark_group("hold");
    group.throughput(Throughput::Elements(STEPS)).sample_size(10);
    for pending in [1_000u32, 100_000, 1_000_000] {
        let mut walk = Walk(0x9E37_79B9_7F4A_7C15);
        let mut calendar = Calendar::with_capacity(pending as usize);
        let mut packed = Packed { heap: BinaryHeap::new(), sequence: 0 };
        for event in 0..pending {
            let at = table[walk.next()];
            calendar.schedule(SimTime::from_nanos(at), event);
            packed.push(at, event);
        }
        group.bench_function(BenchmarkId::new("calendar", pending), |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    for _ in 0..STEPS {
                        let Some((at, event)) = calendar.pop() else { return };
                        calendar.schedule(SimTime::from_nanos(at.as_nanos() + table[walk.next()]), black_box(event));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("packed-heap", pending), |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    for _ in 0..STEPS {
                        let Some((at, event)) = packed.pop() else { return };
                        packed.push(at + table[walk.next()], black_box(event));
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, hold);
criterion_main!(benches);
