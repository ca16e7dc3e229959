//! How stacks are made, kept, given back and unmapped.

use std::fs;
use std::ops::Range;

use greenroom_fiber::{
    Fiber, Guard, Options, Output, Pool, PoolConfig, Progress, STACK_SIZE_DEFAULT, STACK_SIZE_MIN,
    suspend,
};

use crate::child;
use crate::raw::{self, resident_pages};

/// A fiber that has used `bytes` of its stack, and is parked.
pub(crate) fn parked(pool: &Pool, stack_size: usize, bytes: usize) -> Output<(), ()> {
    let options = Options { stack_size, ..Options::default() };
    let fiber = Fiber::new(pool, options, (), suspend).unwrap();
    assert_eq!(fiber.resume(), Progress::Suspended);
    let Range { start, end } = stack(&fiber);
    for address in (end - bytes..end - FRAMES_MAX.min(bytes)).step_by(4096) {
        assert!(start <= address);
        raw::write_byte(address);
    }
    fiber
}

/// The stack of a fiber that is parked.
pub(crate) fn stack(fiber: &Fiber<()>) -> Range<usize> {
    fiber.stack_range().unwrap()
}

/// Lets all that is idle rest for a whole period.
pub(crate) fn rest(pool: &Pool) {
    pool.begin_period();
    pool.begin_period();
}

/// Lets all that is idle rest, and gives back what can be given back.
fn rest_and_trim(pool: &Pool) {
    rest(pool);
    assert_eq!(pool.trim(usize::MAX), 0);
}

/// The system call that gives the control blocks of a few fibers back.
const BLOCKS: usize = 1;

/// More than a parked fiber's frames take.
const FRAMES_MAX: usize = 12 << 10;

/// How many pages of the range are in memory, but for the uppermost 16 KiB.
fn pages_above_the_mark(range: &Range<usize>) -> usize {
    resident_pages(range.start..range.end - (16 << 10))
}

/// Whether the address belongs to any mapping of this process.
pub(crate) fn is_mapped(address: usize) -> bool {
    fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| {
        let (start, rest) = line.split_once('-').unwrap();
        let (end, _) = rest.split_once(' ').unwrap();
        let address_of = |text| usize::from_str_radix(text, 16).unwrap();
        (address_of(start)..address_of(end)).contains(&address)
    })
}

#[test]
fn a_new_pool_maps_nothing() {
    let stats = Pool::new().stats();
    assert_eq!((stats.slabs, stats.bytes_mapped, stats.stacks_in_use), (0, 0, 0));
    assert_eq!(stats.guard, Guard::Auto);
}

#[test]
fn the_stack_that_was_released_last_is_used_first() {
    let pool = Pool::new();
    let first = parked(&pool, STACK_SIZE_DEFAULT, 0);
    let second = parked(&pool, STACK_SIZE_DEFAULT, 0);
    let ranges = [stack(&first), stack(&second)];
    drop(first);
    drop(second);
    assert_eq!(pool.stats().stacks_idle, 2);
    let third = parked(&pool, STACK_SIZE_DEFAULT, 0);
    let fourth = parked(&pool, STACK_SIZE_DEFAULT, 0);
    assert_eq!([stack(&fourth), stack(&third)], ranges);
    assert_eq!(pool.stats().stacks_idle, 0);
}

#[test]
fn each_size_class_has_stacks_of_its_own() {
    let pool = Pool::new();
    drop(parked(&pool, STACK_SIZE_MIN, 0));
    let large = parked(&pool, STACK_SIZE_MIN + 1, 0);
    assert_eq!(large.stack_size(), 2 * STACK_SIZE_MIN);
    assert_eq!(pool.stats().slabs, 2);
    let small = parked(&pool, 1, 0);
    assert_eq!(small.stack_size(), STACK_SIZE_MIN);
    assert_eq!((pool.stats().slabs, pool.stats().stacks_idle), (2, 0));
}

#[test]
fn stacks_do_not_overlap_and_have_guards_between_them() {
    let pool = Pool::new();
    let fibers: Vec<_> = (0..100).map(|_| parked(&pool, STACK_SIZE_MIN, 0)).collect();
    let mut ranges: Vec<_> = fibers.iter().map(|fiber| stack(fiber)).collect();
    ranges.sort_by_key(|range| range.start);
    for pair in ranges.windows(2) {
        assert!(pair[0].end + (64 << 10) <= pair[1].start, "{pair:x?}");
    }
}

#[test]
fn slabs_double_up_to_their_limit() {
    let config = PoolConfig { slab_stacks_first: 2, slab_stacks_max: 8, ..PoolConfig::default() };
    let pool = Pool::with_config(config);
    let mut slabs = Vec::new();
    let mut fibers = Vec::new();
    for _ in 0..32 {
        fibers.push(parked(&pool, STACK_SIZE_MIN, 0));
        slabs.push(pool.stats().slabs);
    }
    let made_at: Vec<_> =
        (1..=32).filter(|&count| count == 1 || slabs[count - 1] > slabs[count - 2]).collect();
    // Slabs of 2, 2, 4, 8, 8 and 8 stacks.
    assert_eq!(made_at, [1, 3, 5, 9, 17, 25]);
}

#[test]
fn a_slab_keeps_to_its_bytes() {
    let config = PoolConfig { slab_bytes_max: 1 << 20, ..PoolConfig::default() };
    let pool = Pool::with_config(config);
    let fibers: Vec<_> = (0..4).map(|_| parked(&pool, 256 << 10, 0)).collect();
    assert_eq!((fibers.len(), pool.stats().slabs), (4, 2));
    assert!(pool.stats().bytes_mapped <= 2 << 20);
    let _large = parked(&pool, 4 << 20, 0);
    assert_eq!(pool.stats().slabs, 3);
}

#[test]
fn a_released_stack_keeps_its_pages() {
    let pool = Pool::new();
    let fiber = parked(&pool, STACK_SIZE_DEFAULT, 100 << 10);
    let range = stack(&fiber);
    assert_eq!(pages_above_the_mark(&range), 21);
    drop(fiber);
    assert_eq!(pages_above_the_mark(&range), 21);
    assert_eq!(pool.stats().stacks_warm, 1);
}

#[test]
fn a_fiber_has_a_stack_from_its_first_resume_until_its_closure_has_returned() {
    let pool = Pool::new();
    let fiber = Fiber::new(&pool, Options::default(), (), || {
        suspend();
        7
    });
    let fiber = fiber.unwrap();
    let counts = || {
        let stats = pool.stats();
        (stats.stacks_reserved, stats.stacks_in_use, stats.stacks_idle)
    };
    assert_eq!((counts(), fiber.stack_range()), ((1, 0, 1), None));
    assert_eq!(fiber.resume(), Progress::Suspended);
    assert_eq!(counts(), (0, 1, 0));
    let range = fiber.stack_range().unwrap();
    assert_eq!(range.len(), fiber.stack_size());
    assert_eq!(fiber.resume(), Progress::Finished);
    assert_eq!((counts(), fiber.stack_range()), ((0, 0, 1), None));
    // What came out does not lie on the stack, which serves others by now.
    let other = parked(&pool, STACK_SIZE_DEFAULT, 100 << 10);
    assert_eq!(stack(&other), range);
    assert_eq!(fiber.take().unwrap().unwrap(), 7);
}

#[test]
fn fibers_that_end_without_a_wait_share_one_stack() {
    let pool = Pool::new();
    let fibers: Vec<_> = (0..100)
        .map(|_| {
            let here = || Fiber::<()>::current().unwrap().stack_range().unwrap().start;
            Fiber::new(&pool, Options::default(), (), here).unwrap()
        })
        .collect();
    assert_eq!((pool.stats().stacks_reserved, pool.stats().stacks_warm), (100, 0));
    let mut starts: Vec<usize> = fibers
        .iter()
        .map(|fiber| {
            fiber.resume();
            fiber.take().unwrap().unwrap()
        })
        .collect();
    starts.dedup();
    assert_eq!((starts.len(), pool.stats().stacks_warm), (1, 1));
    assert_eq!((pool.stats().stacks_reserved, pool.stats().blocks_in_use), (0, 100));
}

#[test]
fn a_reservation_is_given_up_with_a_fiber_that_never_ran() {
    let pool = Pool::new();
    for _ in 0..1000 {
        let never = Fiber::new(&pool, Options::default(), (), || ()).unwrap();
        assert_eq!(pool.stats().stacks_reserved, 1);
        drop(never);
    }
    let stats = pool.stats();
    assert_eq!((stats.stacks_reserved, stats.stacks_idle, stats.stacks_in_use), (0, 1, 0));
    assert_eq!(stats.blocks_in_use, 0);
}

#[test]
fn a_stack_that_is_reserved_is_not_promised_twice() {
    let pool = Pool::new();
    drop(parked(&pool, STACK_SIZE_MIN, 0));
    let options = Options { stack_size: STACK_SIZE_MIN, ..Options::default() };
    let fibers: Vec<_> =
        (0..50).map(|_| Fiber::new(&pool, options.clone(), (), suspend).unwrap()).collect();
    assert_eq!((pool.stats().stacks_reserved, pool.stats().stacks_idle), (50, 50));
    fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), Progress::Suspended));
    let mut starts: Vec<_> = fibers.iter().map(|fiber| stack(fiber).start).collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts.len(), 50);
    assert_eq!((pool.stats().stacks_reserved, pool.stats().stacks_in_use), (0, 50));
}

#[test]
fn blocks_of_ended_fibers_are_used_again_and_given_back_after_a_peak() {
    let pool = Pool::new();
    let many = || -> Vec<_> {
        (0..10_000).map(|_| Fiber::new(&pool, Options::default(), (), || ()).unwrap()).collect()
    };
    drop(many());
    let stats = pool.stats();
    assert_eq!(stats.blocks_in_use, 0);
    assert!(stats.block_bytes_warm > 1 << 20, "{stats:?}");
    drop(many());
    assert_eq!(pool.stats().block_bytes_mapped, stats.block_bytes_mapped);
    rest_and_trim(&pool);
    assert_eq!(pool.stats().block_bytes_warm, 0);
    assert_eq!(pool.stats().block_bytes_mapped, stats.block_bytes_mapped);
    assert_eq!(many().len(), pool.stats().stacks_idle);
}

#[test]
fn what_was_idle_for_less_than_a_period_is_not_trimmed() {
    let pool = Pool::new();
    drop(parked(&pool, STACK_SIZE_DEFAULT, 50 << 10));
    assert_eq!(pool.trim(0), 0);
    pool.begin_period();
    assert_eq!(pool.trim(0), 0);
    // Used in this period, idle at its end.
    drop(parked(&pool, STACK_SIZE_DEFAULT, 50 << 10));
    pool.begin_period();
    assert_eq!(pool.trim(0), 0);
    pool.begin_period();
    assert_eq!(pool.trim(0), 1 + BLOCKS);
    // Used since then.
    drop(parked(&pool, STACK_SIZE_DEFAULT, 50 << 10));
    assert_eq!(pool.trim(0), 0);
}

#[test]
fn trim_leaves_an_idle_stack_its_high_water_mark() {
    let pool = Pool::new();
    let fiber = parked(&pool, STACK_SIZE_DEFAULT, 100 << 10);
    let range = stack(&fiber);
    drop(fiber);
    rest_and_trim(&pool);
    assert_eq!(pages_above_the_mark(&range), 0);
    assert_ne!(resident_pages(range.clone()), 0);
    // And it can be used again.
    let again = parked(&pool, STACK_SIZE_DEFAULT, 100 << 10);
    assert_eq!(stack(&again), range);
}

#[test]
fn trim_does_so_many_stacks_and_says_how_many_are_left() {
    let pool = Pool::new();
    let fibers: Vec<_> = (0..5).map(|_| parked(&pool, STACK_SIZE_DEFAULT, 50 << 10)).collect();
    let ranges: Vec<_> = fibers.iter().map(|fiber| stack(fiber)).collect();
    drop(fibers);
    rest(&pool);
    let trimmed = || ranges.iter().filter(|range| pages_above_the_mark(range) == 0).count();
    assert_eq!((pool.trim(0), trimmed()), (5 + BLOCKS, 0));
    assert_eq!((pool.trim(2), trimmed()), (3 + BLOCKS, 2));
    assert_eq!((pool.trim(2), trimmed()), (1 + BLOCKS, 4));
    assert_eq!((pool.trim(1), trimmed()), (BLOCKS, 5));
    assert_eq!(pool.trim(2), 0);
}

#[test]
fn trim_comes_back_to_a_stack_that_was_used_since() {
    let pool = Pool::new();
    let fibers: Vec<_> = (0..3).map(|_| parked(&pool, STACK_SIZE_DEFAULT, 50 << 10)).collect();
    drop(fibers);
    rest_and_trim(&pool);
    let again = parked(&pool, STACK_SIZE_DEFAULT, 50 << 10);
    rest(&pool);
    assert_eq!(pool.trim(0), 0);
    drop(again);
    rest(&pool);
    assert_eq!(pool.trim(0), 1 + BLOCKS);
    assert_eq!(pool.trim(2), 0);
}

#[test]
fn trim_never_touches_a_stack_in_use() {
    let pool = Pool::new();
    let fiber = parked(&pool, STACK_SIZE_DEFAULT, 100 << 10);
    rest_and_trim(&pool);
    assert_eq!(pages_above_the_mark(&stack(&fiber)), 21);
    assert_eq!(fiber.resume(), Progress::Finished);
}

#[test]
fn above_the_warm_limit_trim_takes_all_pages_of_the_stacks_idle_for_longest() {
    let config = PoolConfig { stacks_warm_max: 2, ..PoolConfig::default() };
    let pool = Pool::with_config(config);
    let fibers: Vec<_> = (0..4).map(|_| parked(&pool, STACK_SIZE_DEFAULT, 20 << 10)).collect();
    let ranges: Vec<_> = fibers.iter().map(|fiber| stack(fiber)).collect();
    drop(fibers);
    rest(&pool);
    let results = (pool.stats().stacks_warm, pool.trim(1), pool.trim(usize::MAX));
    assert_eq!(results, (4, 3 + BLOCKS, 0));
    let stats = pool.stats();
    assert_eq!((stats.stacks_idle, stats.stacks_warm), (4, 2));
    let cold: Vec<_> = ranges.iter().map(|range| resident_pages(range.clone()) == 0).collect();
    assert_eq!(cold, [true, true, false, false]);
    // Cold stacks serve again.
    let fibers: Vec<_> = (0..4).map(|_| parked(&pool, STACK_SIZE_DEFAULT, 20 << 10)).collect();
    assert_eq!(pool.stats().slabs, 1);
    drop(fibers);
    assert_eq!(pool.stats().stacks_warm, 4);
}

#[test]
fn marks_stay_right_when_stacks_come_and_go() {
    let config = PoolConfig { stacks_warm_max: 3, ..PoolConfig::default() };
    let pool = Pool::with_config(config);
    let take = |count| -> Vec<_> {
        (0..count).map(|_| parked(&pool, STACK_SIZE_DEFAULT, 40 << 10)).collect()
    };
    drop(take(10));
    rest_and_trim(&pool);
    assert_eq!(pool.stats().stacks_warm, 3);
    let eight = take(8);
    rest_and_trim(&pool);
    assert_eq!(pool.stats().stacks_warm, 0);
    drop(eight);
    rest(&pool);
    // Eight that were used, above two that were not.
    assert_eq!((pool.stats().stacks_warm, pool.trim(0)), (8, 8 + BLOCKS));
    assert_eq!((pool.trim(6), pool.stats().stacks_warm), (2 + BLOCKS, 3));
    assert_eq!((pool.trim(usize::MAX), pool.stats().stacks_warm), (0, 3));
}

#[test]
fn the_smallest_stacks_are_given_back_though_they_have_nothing_above_the_mark() {
    let config = PoolConfig { stacks_warm_max: 1, ..PoolConfig::default() };
    let pool = Pool::with_config(config);
    let fibers: Vec<_> = (0..3).map(|_| parked(&pool, STACK_SIZE_MIN, 0)).collect();
    drop(fibers);
    rest(&pool);
    assert_eq!((pool.trim(0), pool.trim(usize::MAX)), (2 + BLOCKS, 0));
    assert_eq!(pool.stats().stacks_warm, 1);
}

#[test]
fn the_memory_is_unmapped_after_the_last_handle_and_the_last_fiber() {
    let test = "pool::the_memory_is_unmapped_after_the_last_handle_and_the_last_fiber";
    child::run(test, || {
        let pool = Pool::new();
        let fiber = parked(&pool, STACK_SIZE_DEFAULT, 0);
        let stack_at = stack(&fiber).start;
        let block_at = (&raw const **fiber).addr();
        drop(pool);
        assert!(is_mapped(stack_at) && is_mapped(block_at));
        assert_eq!(fiber.resume(), Progress::Finished);
        assert!(is_mapped(stack_at) && is_mapped(block_at));
        drop(fiber);
        assert!(!is_mapped(stack_at) && !is_mapped(block_at));
    })
    .assert_ok();
}

#[test]
fn a_pool_may_be_owned_by_its_own_fiber() {
    let pool = Pool::new();
    let owner = pool.clone();
    let fiber = Fiber::new(&pool, Options::default(), (), move || {
        let inner = Fiber::new(&owner, Options::default(), (), || 5).unwrap();
        inner.resume();
        inner.take().unwrap().unwrap()
    });
    drop(pool);
    let fiber = fiber.unwrap();
    fiber.resume();
    assert_eq!(fiber.take().unwrap().unwrap(), 5);
}
