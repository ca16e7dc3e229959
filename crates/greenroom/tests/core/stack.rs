//! Stacks: how deep one may go, and what is refused.
//!
//! An overflow ends the process: see `children`.

use std::{hint::black_box, rc::Rc};

use greenroom::{
    hub, spawn,
    testing::run,
    thread::{Builder, SpawnError},
    yield_now,
};

/// Goes `bytes` deep, whatever a frame costs in this build, waits down there, and returns how many
/// frames that took.
fn descend(bytes: usize) -> usize {
    let top = [0u8; 1];
    descend_below(black_box(&top).as_ptr() as usize, bytes)
}

#[inline(never)]
fn descend_below(top: usize, bytes: usize) -> usize {
    let frame = black_box([1u8; 1024]);
    if top - frame.as_ptr() as usize >= bytes {
        yield_now();
        return usize::from(frame[0]);
    }
    descend_below(top, bytes) + usize::from(frame[bytes % 1024])
}

#[test]
fn recursion_fits_into_the_stack_of_default_size() {
    run(|| assert!(spawn(|| descend(200 << 10)).join().unwrap() > 1));
}

#[test]
fn a_stack_is_as_deep_as_was_asked_for() {
    run(|| {
        let deep = Builder::new().stack_size(64 << 20).spawn(|| descend(60 << 20)).unwrap();
        assert!(deep.join().unwrap() > 1);
    });
}

#[test]
fn the_smallest_stack_serves_a_small_thread() {
    run(|| {
        let small = Builder::new().stack_size(0).spawn(|| {
            yield_now();
            7
        });
        assert_eq!(small.unwrap().join().unwrap(), 7);
    });
}

fn carry<const BYTES: usize>() {
    let large = [7u8; BYTES];
    let handle = Builder::new().stack_size(0).spawn(move || large).unwrap();
    assert!(handle.join().unwrap().iter().all(|&byte| byte == 7));
    assert_eq!(spawn(move || large.len()).join().unwrap(), BYTES);
}

#[test]
fn large_values_fit_into_the_stacks_that_are_made_for_them() {
    run(|| {
        carry::<1_000>();
        carry::<8_000>();
        // Just below a power of two there is the least to spare.
        carry::<15_900>();
        carry::<32_500>();
        carry::<65_500>();
    });
}

#[test]
fn a_stack_over_a_gibibyte_is_refused_and_the_closure_dropped() {
    run(|| {
        let owned = Rc::new(());
        let theirs = Rc::clone(&owned);
        let error = Builder::new().stack_size((1 << 30) + 1).spawn(move || drop(theirs));
        let error = error.unwrap_err();
        assert!(matches!(error, SpawnError::Stack(_)), "{error:?}");
        assert_eq!(Rc::strong_count(&owned), 1);
        assert_eq!(hub::stats().threads, 0);
    });
}

#[test]
fn a_stack_is_used_again_by_the_next_thread() {
    run(|| {
        spawn(|| {}).join().unwrap();
        let mapped = hub::stats().stack_bytes_mapped;
        for _ in 0..1000 {
            spawn(|| {}).join().unwrap();
        }
        assert_eq!(hub::stats().stack_bytes_mapped, mapped);
        assert_eq!(hub::stats().stacks_idle, 1);
    });
}

#[test]
fn a_thread_gives_its_stack_back_when_it_ends_and_not_when_it_is_joined() {
    run(|| {
        let handle = spawn(|| {
            yield_now();
            vec![1, 2, 3]
        });
        yield_now();
        assert_eq!(hub::stats().stacks_idle, 0);
        yield_now();
        assert_eq!(hub::stats().stacks_idle, 1);
        assert_eq!(handle.join().unwrap(), [1, 2, 3]);
        assert_eq!(hub::stats().stacks_idle, 1);
    });
}

#[test]
fn threads_that_end_without_a_wait_take_turns_on_one_stack() {
    run(|| {
        let here = || {
            let local = 0u8;
            black_box(&raw const local).addr() / 4096
        };
        let threads: Vec<_> = (0..1000).map(|_| spawn(here)).collect();
        let mut pages: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        pages.dedup();
        assert_eq!(pages.len(), 1);
    });
}
