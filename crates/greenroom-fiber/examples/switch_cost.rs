//! What a fiber costs: nanoseconds for each step, and bytes for each parked fiber.
//!
//! Prints a table; each figure is the best of some rounds.
//!
//! `cargo run --release -p greenroom-fiber --example switch_cost`

use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use greenroom_fiber::{Fiber, Options, Output, Pool, PoolConfig, suspend};

const ROUNDS: usize = 9;

/// Fibers whose memory is asked for together.
const FETCHED_AT_ONCE: usize = 8;

fn main() {
    println!("{:<44} {:>10}", "step", "ns each");
    row("one fiber: resume + suspend", pair());
    row("one fiber: new + run + drop, idle stack", life());
    row("one fiber: current() and drop", current());
    for count in [1000, 10_000, 100_000] {
        alive(count);
    }
    for count in [10_000, 100_000, 1_000_000] {
        memory(count);
    }
}

fn row(name: &str, nanos: f64) {
    println!("{name:<44} {nanos:>10.2}");
}

/// Nanoseconds of one call, best round.
fn best(calls: u32, mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}

fn pair() -> f64 {
    let stop = Rc::new(Cell::new(false));
    let seen = stop.clone();
    let fiber = Fiber::new(&Pool::new(), Options::default(), (), move || {
        while !seen.get() {
            suspend();
        }
    })
    .unwrap();
    let nanos = best(3_000_000, || {
        fiber.resume();
    });
    stop.set(true);
    fiber.resume();
    nanos
}

fn life() -> f64 {
    let pool = Pool::new();
    best(1_000_000, || {
        let options = Options { id: 1, ..Options::default() };
        let fiber = Fiber::new(&pool, options, [0u64; 8], || black_box(1)).unwrap();
        fiber.resume();
        black_box(fiber.take());
    })
}

fn current() -> f64 {
    let nanos = Rc::new(Cell::new(0.0));
    let result = nanos.clone();
    Fiber::new(&Pool::new(), Options::default(), 1u64, move || {
        result.set(best(3_000_000, || {
            black_box(Fiber::<u64>::current());
        }));
    })
    .unwrap()
    .resume();
    nanos.get()
}

/// Many fibers at once, so that each is out of the processor's cache when its turn comes.
fn alive(count: usize) {
    let pool = Pool::with_config(PoolConfig { stacks_warm_max: count, ..PoolConfig::default() });
    let mut first = f64::INFINITY;
    let mut nanos = [f64::INFINITY; 7];
    for round in 0..ROUNDS {
        let mut fibers = Vec::with_capacity(count);
        let park = each(count, |_| {
            let fiber = fiber(&pool, || {
                suspend();
                suspend();
            });
            fiber.resume();
            fibers.push(fiber);
        });
        if round == 0 {
            first = park;
        }
        let resume = each(count, |index| {
            prefetch(&fibers, index);
            fibers[index].resume();
        });
        let finish = each(count, |index| {
            prefetch(&fibers, index);
            fibers[index].resume();
        });
        let mut rest = fibers.drain(..);
        let end = each(count, |_| drop(rest.next()));
        drop(rest);

        let spawn = each(count, |_| fibers.push(fiber(&pool, || ())));
        let run = each(count, |index| {
            prefetch(&fibers, index);
            fibers[index].resume();
        });
        let mut rest = fibers.drain(..);
        let reap = each(count, |_| drop(rest.next()));
        for (best, now) in nanos.iter_mut().zip([park, resume, finish, end, spawn, run, reap]) {
            *best = best.min(now);
        }
    }
    row(&format!("{count} alive: new + park, new stacks"), first);
    let steps = [
        "new + park, idle stacks",
        "resume + suspend",
        "resume to the end",
        "drop",
        "new, idle stacks",
        "run from start to end",
        "drop",
    ];
    for (step, nanos) in steps.into_iter().zip(nanos) {
        row(&format!("{count} alive: {step}"), nanos);
    }
}

fn fiber(pool: &Pool, body: impl FnOnce() + 'static) -> Output<[u64; 8], ()> {
    Fiber::new(pool, Options::default(), [0; 8], body).unwrap()
}

fn prefetch(fibers: &[Output<[u64; 8], ()>], index: usize) {
    if index.is_multiple_of(FETCHED_AT_ONCE) {
        for next in fibers.iter().skip(index + FETCHED_AT_ONCE).take(FETCHED_AT_ONCE) {
            next.prefetch();
            next.prefetch_stack();
        }
    }
}

/// Nanoseconds of one call.
fn each(calls: usize, call: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(call);
    start.elapsed().as_nanos() as f64 / calls as f64
}

fn memory(count: u64) {
    let pool = Pool::new();
    let mut fibers = Vec::with_capacity(count as usize);
    let before = resident_bytes();
    for id in 0..count {
        let fiber =
            Fiber::new(&pool, Options { id, ..Options::default() }, [0u64; 8], suspend).unwrap();
        fiber.resume();
        fibers.push(fiber);
    }
    let bytes = (resident_bytes() - before) / count;
    println!("{:<44} {bytes:>10} bytes each", format!("{count} parked: resident memory"));
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
