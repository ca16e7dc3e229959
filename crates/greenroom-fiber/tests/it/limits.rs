//! Many fibers, and what happens when there is no room for more.

use std::fs;

use greenroom_fiber::{
    Fiber, Guard, NotCreated, Options, Output, Pool, PoolConfig, Progress, STACK_SIZE_MIN, suspend,
};

use crate::pool::rest;
use crate::{child, raw};

/// Makes and parks fibers until the pool refuses, or `count_max` are there.
fn fill(
    pool: &Pool,
    stack_size: usize,
    count_max: usize,
) -> (Vec<Output<(), usize>>, Option<String>) {
    let mut fibers = Vec::with_capacity(count_max);
    while fibers.len() < count_max {
        let index = fibers.len();
        let options = Options { stack_size, ..Options::default() };
        let body = move || {
            suspend();
            index
        };
        match Fiber::new(pool, options, (), body) {
            Ok(fiber) => {
                assert_eq!(fiber.resume(), Progress::Suspended);
                fibers.push(fiber);
            }
            Err(NotCreated { error, body, .. }) => {
                assert_eq!(error.raw_os_error(), libc::ENOMEM);
                assert!(size_of_val(&body) > 0, "the closure came back");
                return (fibers, Some(error.to_string()));
            }
        }
    }
    (fibers, None)
}

/// Lets all fibers go on to their end.
fn finish(fibers: &[Output<(), usize>]) {
    for (fiber, index) in fibers.iter().zip(0..) {
        assert_eq!(fiber.resume(), Progress::Finished);
        assert_eq!(fiber.take().unwrap().unwrap(), index);
    }
}

fn mapping_count() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn a_hundred_thousand_fibers_of_default_size_take_few_mappings() {
    let test = "limits::a_hundred_thousand_fibers_of_default_size_take_few_mappings";
    child::run(test, || {
        let config = PoolConfig { stacks_warm_max: 1000, ..PoolConfig::default() };
        let pool = Pool::with_config(config);
        let before = mapping_count();
        let (fibers, refusal) = fill(&pool, Options::default().stack_size, 100_000);
        assert_eq!((fibers.len(), refusal), (100_000, None));
        if pool.stats().guard == Guard::Install {
            assert!(mapping_count() - before < 500, "{}", mapping_count() - before);
        }
        assert_eq!(pool.stats().stacks_in_use, 100_000);
        finish(&fibers);
        assert_eq!((pool.stats().stacks_in_use, pool.stats().stacks_idle), (0, 100_000));
        drop(fibers);
        rest(&pool);
        assert_eq!(pool.trim(usize::MAX), 0);
        assert_eq!((pool.stats().stacks_warm, pool.stats().block_bytes_warm), (1000, 0));
    })
    .assert_ok();
}

#[test]
fn without_address_space_a_fiber_is_refused_and_the_others_go_on() {
    let test = "limits::without_address_space_a_fiber_is_refused_and_the_others_go_on";
    child::run(test, || {
        let pool = Pool::new();
        // The list is there before the limit: what is wanted is a refusal by the pool.
        raw::limit_address_space(256 << 20);
        let (fibers, refusal) = fill(&pool, 1 << 20, 10_000);
        let refusal = refusal.unwrap();
        assert!(refusal.contains("RLIMIT_AS"), "{refusal}");
        // Slabs shrink until a single stack does not fit any more.
        assert!((150..=256).contains(&fibers.len()), "{}", fibers.len());
        finish(&fibers);
        drop(fibers);
        let (again, _) = fill(&pool, 1 << 20, 100);
        assert_eq!(again.len(), 100);
        finish(&again);
        // Smaller stacks may fit into what is left.
        let (small, _) = fill(&pool, STACK_SIZE_MIN, 1);
        finish(&small);
    })
    .assert_ok();
}

#[test]
fn who_was_made_without_being_resumed_has_its_stack_for_certain() {
    let test = "limits::who_was_made_without_being_resumed_has_its_stack_for_certain";
    child::run(test, || {
        let pool = Pool::new();
        let options = Options { stack_size: 1 << 20, ..Options::default() };
        let mut fibers = Vec::with_capacity(10_000);
        raw::limit_address_space(256 << 20);
        let refused = loop {
            match Fiber::new(&pool, options.clone(), (), suspend) {
                Ok(fiber) => fibers.push(fiber),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.error.raw_os_error(), libc::ENOMEM);
        assert!((150..=256).contains(&fibers.len()), "{}", fibers.len());
        assert_eq!(pool.stats().stacks_reserved, fibers.len());
        // All of them at once.
        for fiber in &fibers {
            assert_eq!(fiber.resume(), Progress::Suspended);
        }
        assert_eq!(pool.stats().stacks_in_use, fibers.len());
        assert!(Fiber::new(&pool, options.clone(), (), suspend).is_err());
        // A stack that is free again, or a promise that is given up, is there for the next.
        drop(fibers.pop());
        let next = Fiber::new(&pool, options.clone(), (), suspend).unwrap();
        assert!(Fiber::new(&pool, options.clone(), (), suspend).is_err());
        drop(next);
        let next = Fiber::new(&pool, options.clone(), (), suspend).unwrap();
        assert_eq!(next.resume(), Progress::Suspended);
    })
    .assert_ok();
}

#[test]
fn without_memory_for_its_block_a_fiber_is_refused_and_no_stack_stays_reserved() {
    let test =
        "limits::without_memory_for_its_block_a_fiber_is_refused_and_no_stack_stays_reserved";
    child::run(test, || {
        let pool = Pool::new();
        let options = Options { stack_size: STACK_SIZE_MIN, ..Options::default() };
        // There are stacks enough before the limit comes.
        let stacks: Vec<_> =
            (0..64).map(|_| Fiber::new(&pool, options.clone(), (), || ()).unwrap()).collect();
        drop(stacks);
        raw::limit_address_space(0);
        let mut fibers = Vec::with_capacity(64);
        let control = [0u64; 100];
        let refused = loop {
            match Fiber::new(&pool, options.clone(), control, suspend) {
                Ok(fiber) => fibers.push(fiber),
                Err(refused) => break refused,
            }
        };
        assert_eq!((refused.control, fibers.len()), (control, 0));
        assert!(refused.error.to_string().contains("control block"), "{}", refused.error);
        assert_eq!((pool.stats().stacks_reserved, pool.stats().stacks_idle), (0, 64));
        // Of the size that there was, others can be made.
        let fiber = Fiber::new(&pool, options, (), || 5).unwrap();
        assert_eq!((fiber.resume(), fiber.take().unwrap().unwrap()), (Progress::Finished, 5));
    })
    .assert_ok();
}

#[test]
fn without_mappings_a_protected_stack_is_refused_and_the_others_go_on() {
    let test = "limits::without_mappings_a_protected_stack_is_refused_and_the_others_go_on";
    child::run(test, || {
        let max: usize =
            fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        let config = PoolConfig { guard: Guard::Protect, ..PoolConfig::default() };
        let pool = Pool::with_config(config);
        // Each guard splits a mapping in two, so half as many stacks are too many already.
        let count_max = max.min(100_000);
        let (fibers, refusal) = fill(&pool, STACK_SIZE_MIN, count_max);
        if max <= 100_000 {
            let refusal = refusal.unwrap();
            assert!(refusal.contains("vm.max_map_count"), "{refusal}");
            assert!(fibers.len() > max / 3, "{}", fibers.len());
        }
        finish(&fibers);
        drop(fibers);
        let (again, _) = fill(&pool, STACK_SIZE_MIN, 1000);
        assert_eq!(again.len(), 1000);
        finish(&again);
    })
    .assert_ok();
}
