//! What a parked fiber costs in memory.

use std::fs;

use greenroom_fiber::{Fiber, Options, Pool, STACK_SIZE_DEFAULT, suspend};

use crate::child;

const COUNT: usize = 10_000;

/// In a release build a parked fiber fits a page. Frames of a debug build are several times as
/// large, and AddressSanitizer's larger still: there it is two pages, or four.
const BYTES_MAX: usize = if cfg!(feature = "sanitizer") {
    4 * 4096 + 512
} else if cfg!(debug_assertions) {
    2 * 4096 + 512
} else {
    4600
};

#[test]
fn a_parked_fiber_takes_a_page() {
    let test = "memory::a_parked_fiber_takes_a_page";
    child::run(test, || {
        let pool = Pool::new();
        let mut fibers = Vec::with_capacity(COUNT);
        let before = resident_bytes();
        for _ in 0..COUNT {
            let fiber = Fiber::new(&pool, Options::default(), [0u64; 8], suspend).unwrap();
            fiber.resume();
            fibers.push(fiber);
        }
        let each = (resident_bytes() - before) / COUNT;
        assert!(each <= BYTES_MAX, "{each} bytes for each parked fiber");
        assert!(pool.stats().bytes_mapped > COUNT * STACK_SIZE_DEFAULT);
    })
    .assert_ok();
}

#[test]
fn every_colour_leaves_the_same_page() {
    let pool = Pool::new();
    let make = || Fiber::new(&pool, Options::default(), [0u64; 8], || ()).unwrap();
    let fibers: Vec<_> = (0..64).map(|_| make()).collect();
    let mut depths: Vec<_> =
        fibers.iter().map(|f| f.stack_range().end - (&raw const ***f).addr()).collect();
    assert!(depths.iter().all(|&depth| depth < 2048), "{depths:?}");
    depths.sort_unstable();
    depths.dedup();
    assert_eq!(depths.len(), 16);
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
