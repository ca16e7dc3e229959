//! The guard below each stack, in both kinds.

use greenroom_fiber::{Guard, Pool, PoolConfig, STACK_SIZE_MIN};

use crate::pool::{parked, rest, stack};
use crate::{child, raw};

fn pool(guard: Guard) -> Pool {
    Pool::with_config(PoolConfig { guard, ..PoolConfig::default() })
}

/// Touches the byte at `offset` bytes below a parked fiber's stack.
fn touch_below(guard: Guard, offset: usize) {
    let fiber = parked(&pool(guard), STACK_SIZE_MIN, 0);
    raw::write_byte(stack(&fiber).start - offset);
}

#[test]
fn installed_guards_fault_over_their_whole_length() {
    let test = "guard::installed_guards_fault_over_their_whole_length";
    for offset in [1, 4096, 64 << 10] {
        child::run(test, || touch_below(Guard::Install, offset)).assert_killed(libc::SIGSEGV, &[]);
    }
}

#[test]
fn protected_guards_fault_over_their_whole_length() {
    let test = "guard::protected_guards_fault_over_their_whole_length";
    for offset in [1, 4096, 64 << 10] {
        child::run(test, || touch_below(Guard::Protect, offset)).assert_killed(libc::SIGSEGV, &[]);
    }
}

#[test]
fn an_installed_guard_survives_the_stacks_pages_being_given_back() {
    let test = "guard::an_installed_guard_survives_the_stacks_pages_being_given_back";
    child::run(test, || {
        let config =
            PoolConfig { guard: Guard::Install, stacks_warm_max: 0, ..PoolConfig::default() };
        let pool = Pool::with_config(config);
        drop(parked(&pool, STACK_SIZE_MIN, 0));
        rest(&pool);
        assert_eq!((pool.trim(usize::MAX), pool.stats().stacks_warm), (0, 0));
        let fiber = parked(&pool, STACK_SIZE_MIN, 0);
        raw::write_byte(stack(&fiber).start - 1);
    })
    .assert_killed(libc::SIGSEGV, &[]);
}

#[test]
fn the_pool_tells_which_kind_is_in_force() {
    for kind in [Guard::Install, Guard::Protect] {
        let pool = pool(kind);
        let _fiber = parked(&pool, STACK_SIZE_MIN, 0);
        assert_eq!(pool.stats().guard, kind);
    }
    let pool = pool(Guard::Auto);
    let _fiber = parked(&pool, STACK_SIZE_MIN, 0);
    assert_ne!(pool.stats().guard, Guard::Auto);
}

#[test]
fn a_guard_may_be_larger_than_the_least() {
    let config = PoolConfig { guard_size: (1 << 20) + 1, ..PoolConfig::default() };
    let pool = Pool::with_config(config);
    let fibers = [parked(&pool, STACK_SIZE_MIN, 0), parked(&pool, STACK_SIZE_MIN, 0)];
    let mut starts = fibers.each_ref().map(|fiber| stack(fiber).start);
    starts.sort_unstable();
    assert_eq!(starts[1] - starts[0], (1 << 20) + 4096 + STACK_SIZE_MIN);
}
