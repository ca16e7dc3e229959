//! A fiber that overflows its stack is named; every other fault goes where it went before.

use std::hint::black_box;
use std::thread;

use greenroom_fiber::{Fiber, GUARD_SIZE_MIN, Guard, Options, Pool, PoolConfig, suspend};

use crate::{child, raw};

/// Recurses until the stack is used up.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}

/// Needs a frame of a MiB at least: more than the stack and its guard together.
#[inline(never)]
fn one_big_frame() -> u8 {
    let frame = black_box([1u8; 1 << 20]);
    frame[black_box(5)]
}

/// The compiler's stack probes touch each page of a large frame in turn, and so meet the least of
/// guards. AddressSanitizer lays frames out itself, without probes: it needs one that is larger.
const BIG_FRAME_GUARD: usize = if cfg!(feature = "sanitizer") { 16 << 20 } else { GUARD_SIZE_MIN };

fn options() -> Options {
    Options { id: 7, name: Some("deep".into()), stack_size: 64 << 10 }
}

/// Runs `body` in a fiber.
fn in_fiber<T: 'static>(body: impl FnOnce() -> T + 'static) {
    let fiber = Fiber::new(&Pool::new(), options(), (), body).unwrap();
    fiber.resume();
}

/// Dereferences what is nearly a null pointer.
fn fault() {
    raw::write_byte(black_box(8));
}

const REPORT: [&str; 4] = [
    "greenroom: green thread \"deep\" (id 7) overflowed its stack of 64 KiB at address 0x",
    "Builder::stack_size",
    "GREENROOM_STACK_SIZE",
    "\n",
];

#[test]
fn by_recursion_is_reported() {
    child::run("overflow::by_recursion_is_reported", || in_fiber(|| recurse(0)))
        .assert_killed(libc::SIGABRT, &REPORT);
}

#[test]
fn by_one_big_frame_is_reported() {
    child::run("overflow::by_one_big_frame_is_reported", || {
        let config = PoolConfig { guard_size: BIG_FRAME_GUARD, ..PoolConfig::default() };
        let pool = Pool::with_config(config);
        let fiber = Fiber::new(&pool, options(), (), one_big_frame).unwrap();
        fiber.resume();
    })
    .assert_killed(libc::SIGABRT, &REPORT);
}

#[test]
fn into_a_protected_guard_is_reported() {
    child::run("overflow::into_a_protected_guard_is_reported", || {
        let config = PoolConfig { guard: Guard::Protect, ..PoolConfig::default() };
        let fiber = Fiber::new(&Pool::with_config(config), options(), (), || recurse(0)).unwrap();
        fiber.resume();
    })
    .assert_killed(libc::SIGABRT, &REPORT);
}

#[test]
fn after_a_suspend_is_reported() {
    child::run("overflow::after_a_suspend_is_reported", || {
        let fiber = Fiber::new(&Pool::new(), options(), (), || {
            suspend();
            recurse(0)
        });
        let fiber = fiber.unwrap();
        fiber.resume();
        fiber.resume();
    })
    .assert_killed(libc::SIGABRT, &REPORT);
}

#[test]
fn of_a_nested_fiber_names_the_inner_one() {
    child::run("overflow::of_a_nested_fiber_names_the_inner_one", || {
        let outer = Options { id: 1, name: Some("outer".into()), ..Options::default() };
        let fiber = Fiber::new(&Pool::new(), outer, (), || in_fiber(|| recurse(0))).unwrap();
        fiber.resume();
    })
    .assert_killed(libc::SIGABRT, &REPORT);
}

#[test]
fn of_a_fiber_without_a_name_gives_its_number() {
    child::run("overflow::of_a_fiber_without_a_name_gives_its_number", || {
        let options = Options { id: 12, ..Options::default() };
        let fiber = Fiber::new(&Pool::new(), options, (), || recurse(0)).unwrap();
        fiber.resume();
    })
    .assert_killed(libc::SIGABRT, &["green thread 12 overflowed its stack of 256 KiB"]);
}

#[test]
fn of_a_fiber_with_an_endless_name_is_still_reported() {
    child::run("overflow::of_a_fiber_with_an_endless_name_is_still_reported", || {
        let options = Options { name: Some("å".repeat(10_000).into()), ..Options::default() };
        let fiber = Fiber::new(&Pool::new(), options, (), || recurse(0)).unwrap();
        fiber.resume();
    })
    .assert_killed(libc::SIGABRT, &["ååå", "overflowed its stack of 256 KiB", "stack_size"]);
}

#[test]
fn on_another_os_thread_is_reported() {
    child::run("overflow::on_another_os_thread_is_reported", || {
        let _ = thread::spawn(|| in_fiber(|| recurse(0))).join();
    })
    .assert_killed(libc::SIGABRT, &REPORT);
}

#[test]
fn of_the_threads_own_stack_is_reported_by_std() {
    child::run("overflow::of_the_threads_own_stack_is_reported_by_std", || {
        in_fiber(|| ());
        let thread = thread::Builder::new().name("shallow".into());
        let _ = thread.spawn(|| (in_fiber(|| ()), recurse(0))).unwrap().join();
    })
    .assert_killed(libc::SIGABRT, &["thread 'shallow'", "has overflowed its stack"]);
}

#[test]
fn a_null_pointer_in_a_fiber_is_a_plain_fault() {
    let ended =
        child::run("overflow::a_null_pointer_in_a_fiber_is_a_plain_fault", || in_fiber(fault));
    ended.assert_killed(libc::SIGSEGV, &[]);
    assert!(!ended.stderr.contains("greenroom"), "{}", ended.stderr);
}

#[test]
fn a_null_pointer_on_the_threads_own_stack_is_a_plain_fault() {
    let test = "overflow::a_null_pointer_on_the_threads_own_stack_is_a_plain_fault";
    let ended = child::run(test, || {
        in_fiber(|| ());
        fault();
    });
    ended.assert_killed(libc::SIGSEGV, &[]);
    assert!(!ended.stderr.contains("greenroom"), "{}", ended.stderr);
}

#[test]
fn another_fibers_guard_is_a_plain_fault() {
    let ended = child::run("overflow::another_fibers_guard_is_a_plain_fault", || {
        let pool = Pool::new();
        let other = Fiber::new(&pool, options(), (), suspend).unwrap();
        other.resume();
        let address = other.stack_range().unwrap().start - 1;
        let fiber = Fiber::new(&pool, options(), (), move || raw::write_byte(address));
        let fiber = fiber.unwrap();
        fiber.resume();
    });
    ended.assert_killed(libc::SIGSEGV, &[]);
    assert!(!ended.stderr.contains("greenroom"), "{}", ended.stderr);
}
