//! Threads that start later: when, and on whose life that depends.

use std::{rc::Rc, time::Duration};

use greenroom::{
    Instant, hub, sleep, spawn, spawn_after, spawn_after_local, testing::run, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_delayed_thread_starts_when_its_delay_is_over() {
    run(|| {
        let begin = Instant::now();
        let handle = spawn_after(3 * SECOND, move || begin.elapsed());
        sleep(2 * SECOND);
        assert!(!handle.is_finished());
        assert_eq!(handle.join().unwrap(), 3 * SECOND);
    });
}

#[test]
fn delayed_threads_start_in_the_order_of_their_time_then_of_spawning() {
    run(|| {
        let trace = Trace::new();
        for (n, delay) in [(0, 2), (1, 1), (2, 2), (3, 1), (4, 0)] {
            drop(spawn_after(delay * SECOND, trace.telling(n)));
        }
        sleep(3 * SECOND);
        assert_eq!(trace.take(), [4, 1, 3, 0, 2]);
    });
}

#[test]
fn a_delayed_thread_starts_although_its_spawner_is_gone() {
    run(|| {
        let trace = Trace::new();
        let starts = trace.telling("started");
        spawn(move || drop(spawn_after(SECOND, starts))).join().unwrap();
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["started"]);
    });
}

#[test]
fn a_local_one_starts_while_its_spawner_lives() {
    run(|| {
        let trace = Trace::new();
        let starts = trace.telling("started");
        let spawner = spawn(move || {
            let local = spawn_after_local(SECOND, starts);
            sleep(2 * SECOND);
            local.join().unwrap();
        });
        spawner.join().unwrap();
        assert_eq!(trace.take(), ["started"]);
    });
}

#[test]
fn a_local_one_is_dropped_unrun_if_its_spawner_is_gone() {
    run(|| {
        let owned = Rc::new(());
        let theirs = Rc::clone(&owned);
        let local = spawn(move || {
            spawn_after_local(SECOND, move || {
                drop(theirs);
                unreachable!("its spawner is gone");
            })
        });
        let error = local.join().unwrap().join().unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        assert_eq!(error.to_string(), "the green thread was cancelled before it started");
        assert_eq!(Rc::strong_count(&owned), 1);
    });
}

#[test]
fn a_local_one_depends_on_its_spawner_not_on_who_has_its_place_now() {
    run(|| {
        let local = spawn(|| spawn_after_local(SECOND, || ())).join().unwrap();
        // It has the spawner's stack and its place in the list.
        let heir = spawn(|| sleep(3 * SECOND));
        assert!(local.join().unwrap_err().is_cancelled());
        heir.join().unwrap();
    });
}

#[test]
fn a_local_one_of_the_root_starts_in_any_case() {
    run(|| assert_eq!(spawn_after_local(SECOND, || 1).join().unwrap(), 1));
}

#[test]
fn a_delayed_thread_can_be_joined_with_a_timeout() {
    run(|| {
        let handle = spawn_after(3 * SECOND, || 1).join_timeout(SECOND).unwrap_err();
        assert_eq!(handle.join_timeout(3 * SECOND).unwrap().unwrap(), 1);
    });
}

#[test]
fn without_a_delay_it_starts_in_the_next_turn() {
    run(|| {
        let begin = Instant::now();
        assert_eq!(spawn_after(Duration::ZERO, || 1).join().unwrap(), 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    });
}

#[test]
fn one_that_is_killed_before_its_start_is_cancelled_and_leaves_no_timer() {
    run(|| {
        let owned = Rc::new(());
        let theirs = Rc::clone(&owned);
        let handle = spawn_after(SECOND, move || drop(theirs));
        yield_now();
        assert_eq!(hub::stats().timers, 1);
        hub::abort();
        assert_eq!((hub::stats().timers, Rc::strong_count(&owned)), (0, 1));
        assert!(handle.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_delay_without_end_keeps_nobody_else_waiting() {
    run(|| {
        let never = spawn_after(Duration::MAX, || ());
        sleep(1000 * SECOND);
        assert!(!never.is_finished());
    });
}
