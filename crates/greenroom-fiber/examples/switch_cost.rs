//! What a fiber costs: nanoseconds for each step, and bytes for each parked fiber.
//!
//! Prints a table. Raw corosensei stands beside the first two rows as the floor.
//!
//! `cargo run --release -p greenroom-fiber --example switch_cost`

use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};
use greenroom_fiber::{Fiber, Options, Pool, suspend};

/// Each figure is the best of so many rounds.
const ROUNDS: usize = 9;

fn main() {
    println!("{:<44} {:>10}", "step", "ns each");
    row("corosensei: resume + suspend", corosensei_pair());
    row("fiber: resume + suspend", pair());
    row("corosensei: new + run + drop, one stack", corosensei_life());
    row("fiber: new + run + drop, warm pool", life());
    row("fiber: current() and drop", current());
    for count in [10_000, 100_000] {
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
    let stop = std::rc::Rc::new(Cell::new(false));
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
    let nanos = std::rc::Rc::new(Cell::new(0.0));
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

/// Creates many fibers, runs each until it parks, resumes each a few times, lets each end.
fn alive(count: u32) {
    let pool = Pool::with_config(greenroom_fiber::PoolConfig {
        stacks_warm_max: count as usize,
        ..Default::default()
    });
    let (mut create, mut resume, mut end) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    let mut first = 0.0;
    for round in 0..ROUNDS {
        let mut fibers = Vec::with_capacity(count as usize);
        let start = Instant::now();
        for id in 0..u64::from(count) {
            let options = Options { id, ..Options::default() };
            let fiber = Fiber::new(&pool, options, [0u64; 8], || {
                suspend();
                suspend();
            })
            .unwrap();
            fiber.resume();
            fibers.push(fiber);
        }
        let each = start.elapsed().as_nanos() as f64 / f64::from(count);
        if round == 0 {
            first = each;
        }
        create = create.min(each);
        let start = Instant::now();
        for fiber in &fibers {
            fiber.resume();
        }
        resume = resume.min(start.elapsed().as_nanos() as f64 / f64::from(count));
        let start = Instant::now();
        for fiber in &fibers {
            fiber.resume();
        }
        drop(fibers);
        end = end.min(start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    row(&format!("{count} alive: new + park, first time"), first);
    row(&format!("{count} alive: new + park, warm pool"), create);
    row(&format!("{count} alive: resume + suspend"), resume);
    row(&format!("{count} alive: finish + drop"), end);
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

fn corosensei_pair() -> f64 {
    let mut memory = vec![0u128; 4096];
    let mut coroutine = Coroutine::with_stack(Lent::new(&mut memory), |way_out, ()| {
        loop {
            way_out.suspend(());
        }
    });
    let nanos = best(3_000_000, || {
        let _: CoroutineResult<(), ()> = black_box(&mut coroutine).resume(());
    });
    drop(coroutine);
    nanos
}

fn corosensei_life() -> f64 {
    let mut memory = vec![0u128; 4096];
    best(1_000_000, || {
        let mut coroutine: Coroutine<(), (), i32, Lent> =
            Coroutine::with_stack(Lent::new(&mut memory), |_, ()| black_box(1));
        black_box(coroutine.resume(()));
    })
}

/// A piece of heap memory as a stack, for corosensei by itself. It has no guard.
struct Lent {
    base: StackPointer,
    limit: StackPointer,
}

impl Lent {
    fn new(memory: &mut [u128]) -> Lent {
        let range = memory.as_mut_ptr_range();
        Lent {
            base: StackPointer::new(range.end.addr()).unwrap(),
            limit: StackPointer::new(range.start.addr()).unwrap(),
        }
    }
}

// SAFETY: the memory is a stack that only one coroutine uses at a time, for it outlives each of
// them. Nothing that runs on it comes near its end.
unsafe impl Stack for Lent {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}
