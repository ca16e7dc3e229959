//! What a parked fiber costs in memory.

use std::fs;

use greenroom_fiber::{Fiber, Options, Pool, Progress, STACK_SIZE_DEFAULT, suspend};

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
fn stacks_begin_at_sixteen_offsets_within_their_last_kibibyte() {
    // In a child, since AddressSanitizer is told there to leave locals where they are.
    let test = "memory::stacks_begin_at_sixteen_offsets_within_their_last_kibibyte";
    child::run(test, || {
        let pool = Pool::new();
        let body = || {
            let local = 0u8;
            let end = Fiber::<()>::current().unwrap().stack_range().unwrap().end;
            let depth = end - (&raw const local).addr();
            suspend();
            depth
        };
        let make = || Fiber::new(&pool, Options::default(), (), body).unwrap();
        let fibers: Vec<_> = (0..64).map(|_| make()).collect();
        fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), Progress::Suspended));
        fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), Progress::Finished));
        let mut depths: Vec<_> =
            fibers.iter().map(|fiber| fiber.take().unwrap().unwrap()).collect();
        depths.sort_unstable();
        depths.dedup();
        assert_eq!((depths.len(), depths[15] - depths[0]), (16, 15 * 64));
    })
    .assert_ok();
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
