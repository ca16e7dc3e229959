//! A member that spawns while its pool is full: it lends its slot and waits for the child.

use std::time::Duration;

use greenroom::{
    GreenPool, Instant, hub, sleep, spawn,
    testing::{run, wait_all_parked},
    thread, with_timeout, yield_now,
};

use crate::{
    green_pool::counts,
    scenes::{Inside, SECOND, Trace, assert_nothing_left, in_destructor},
};

#[test]
fn a_child_runs_to_its_end_before_the_member_goes_on() {
    run(|| {
        let (pool, trace) = (GreenPool::new(1), Trace::new());
        let (inner, theirs) = (pool.clone(), trace.clone());
        let member = pool.spawn(move || {
            let told = theirs.clone();
            let child = inner.spawn(move || {
                sleep(SECOND);
                told.tell("child");
                7
            });
            theirs.tell("member");
            assert!(child.is_finished());
            assert_eq!(counts(&inner), (1, 1, 0, 0));
            child.join().unwrap()
        });
        assert_eq!(member.join().unwrap(), 7);
        assert_eq!(trace.take(), ["child", "member"]);
        assert_eq!(counts(&pool), (1, 0, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn a_child_that_panics_or_is_killed_is_what_joining_says() {
    run(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let member = pool.spawn(move || {
            let panics = inner.spawn(|| panic!("oh no"));
            let killed = inner.spawn(|| {
                thread::current().kill();
                yield_now();
            });
            (panics.join().unwrap_err().to_string(), killed.join().unwrap_err().is_killed())
        });
        let says = "the green thread panicked: oh no".to_owned();
        assert_eq!(member.join().unwrap(), (says, true));
        assert_eq!(counts(&pool), (1, 0, 1, 0));
    });
}

/// Each level spawns the next, and goes on after it.
fn descend(pool: &GreenPool, depth: usize, inside: &Inside) -> usize {
    if depth == 0 {
        let _entered = inside.enter();
        sleep(SECOND);
        return 0;
    }
    let (inner, theirs) = (pool.clone(), inside.clone());
    let child = pool.spawn(move || descend(&inner, depth - 1, &theirs));
    let _entered = inside.enter();
    1 + child.join().unwrap()
}

#[test]
fn however_deep_members_spawn_members_one_slot_is_enough() {
    run(|| {
        let (pool, inside) = (GreenPool::new(1), Inside::default());
        let (inner, theirs) = (pool.clone(), inside.clone());
        let top = pool.spawn(move || descend(&inner, 2000, &theirs));
        assert_eq!(top.join().unwrap(), 2000);
        assert_eq!(inside.peak(), 1);
        assert_eq!(counts(&pool), (1, 0, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn a_member_with_a_free_slot_beside_it_does_not_wait() {
    run(|| {
        let pool = GreenPool::new(2);
        let inner = pool.clone();
        let begin = Instant::now();
        let member = pool.spawn(move || {
            let child = inner.spawn(|| sleep(SECOND));
            assert!(!child.is_finished());
            drop(child);
            begin.elapsed()
        });
        assert_eq!(member.join().unwrap(), Duration::ZERO);
        pool.waitall();
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn a_member_thrown_out_of_its_wait_takes_the_child_with_it() {
    let throws: [(&str, bool); 2] = [("killed", true), ("out of time", false)];
    for (name, kills) in throws {
        run(move || {
            let (pool, inside) = (GreenPool::new(1), Inside::default());
            let (inner, theirs) = (pool.clone(), inside.clone());
            let member = pool.spawn(move || {
                let child = || {
                    inner.spawn_detached(move || {
                        let _entered = theirs.enter();
                        sleep(10 * SECOND);
                    });
                };
                let outcome = with_timeout(5 * SECOND, child);
                let over = counts(&inner);
                // The child has yet to unwind, and nobody else may come in.
                assert!(inner.try_spawn(|| ()).is_err());
                sleep(SECOND);
                (outcome.is_err(), over)
            });
            wait_all_parked();
            assert_eq!((inside.now(), counts(&pool)), (1, (1, 1, 0, 0)));
            let other = pool.clone();
            let waits = spawn(move || other.spawn_detached(|| ()));
            wait_all_parked();
            let begin = Instant::now();
            if kills {
                assert!(member.kill());
                assert!(member.join().unwrap_err().is_killed(), "{name}");
            } else {
                assert_eq!(member.join().unwrap(), (true, (1, 2, -1, 1)), "{name}");
                assert_eq!(begin.elapsed(), 6 * SECOND);
            }
            waits.join().unwrap();
            pool.waitall();
            assert!(begin.elapsed() <= 6 * SECOND, "the child has not slept to its end");
            assert_eq!((inside.now(), counts(&pool)), (0, (1, 0, 1, 0)));
            assert_nothing_left();
        });
    }
}

#[test]
fn a_member_lends_nothing_in_a_destructor() {
    run(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let member = pool.spawn(move || {
            let child = in_destructor(|| inner.spawn(|| 7));
            assert!(!child.is_finished());
            assert_eq!(counts(&inner), (1, 2, -1, 0));
            child.join().unwrap()
        });
        assert_eq!(member.join().unwrap(), 7);
        assert_eq!(counts(&pool), (1, 0, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn a_member_that_spawns_with_a_timeout_lends_nothing() {
    run(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let begin = Instant::now();
        let member = pool.spawn(move || inner.spawn_timeout(SECOND, || ()).is_err());
        assert!(member.join().unwrap());
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn a_borrower_is_a_member_and_a_member_of_another_pool_is_none() {
    run(|| {
        let (outer, pool) = (GreenPool::new(1), GreenPool::new(1));
        let (inner, begin) = (pool.clone(), Instant::now());
        let nap = pool.spawn(|| sleep(SECOND));
        let member = outer.spawn(move || {
            inner.spawn(|| ()).join().unwrap();
            begin.elapsed()
        });
        assert_eq!(member.join().unwrap(), SECOND, "it has waited for the slot");
        nap.join().unwrap();
        hub::abort();
        assert_nothing_left();
    });
}
