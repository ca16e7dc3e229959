//! Slots: how many run at once, who is next, what gives a slot back.

use std::{cell::Cell, rc::Rc, time::Duration};

use greenroom::{
    GreenPool, Instant, JoinHandle, hub, sleep, spawn,
    testing::{run, wait_all_parked},
    thread, with_timeout, yield_now,
};

use crate::scenes::{
    Inside, SECOND, Trace, assert_nothing_left, in_callback, in_destructor, panic_of,
};

/// The counts of a pool: size, running, free, waiting.
pub(crate) fn counts(pool: &GreenPool) -> (usize, usize, isize, usize) {
    (pool.size(), pool.running(), pool.free(), pool.waiting())
}

/// A member that sleeps.
pub(crate) fn napping(pool: &GreenPool, time: Duration) -> JoinHandle<()> {
    pool.spawn(move || sleep(time))
}

#[test]
fn no_more_than_its_size_run_at_once() {
    run(|| {
        let (pool, inside) = (GreenPool::new(3), Inside::default());
        for _ in 0..10 {
            let inside = inside.clone();
            pool.spawn_detached(move || {
                let _entered = inside.enter();
                sleep(SECOND);
            });
        }
        pool.waitall();
        assert_eq!((inside.peak(), inside.now()), (3, 0));
        assert_eq!(counts(&pool), (3, 0, 3, 0));
        assert_nothing_left();
    });
}

#[test]
fn a_pool_has_a_thousand_slots_if_nobody_says_otherwise() {
    run(|| assert_eq!(counts(&GreenPool::default()), (1000, 0, 1000, 0)));
}

#[test]
fn a_handle_joins_what_a_member_returned_or_panicked_with() {
    run(|| {
        let pool = GreenPool::new(2);
        assert_eq!(pool.spawn(|| 7).join().unwrap(), 7);
        let error = pool.spawn(|| panic!("oh no")).join().unwrap_err();
        assert_eq!(error.to_string(), "the green thread panicked: oh no");
        assert_eq!(pool.free(), 2);
    });
}

#[test]
fn those_who_wait_get_slots_in_the_order_in_which_they_came() {
    run(|| {
        let (pool, trace) = (GreenPool::new(1), Trace::new());
        let first = napping(&pool, SECOND);
        let spawners: Vec<_> = (0..5)
            .map(|n| {
                let (pool, trace) = (pool.clone(), trace.clone());
                spawn(move || pool.spawn(move || trace.tell(n)).join().unwrap())
            })
            .collect();
        wait_all_parked();
        assert_eq!(counts(&pool), (1, 1, 0, 5));
        first.join().unwrap();
        for spawner in spawners {
            spawner.join().unwrap();
        }
        assert_eq!(trace.take(), [0, 1, 2, 3, 4]);
        assert_nothing_left();
    });
}

#[test]
fn a_slot_is_handed_to_whoever_waits_so_that_nobody_gets_ahead() {
    run(|| {
        let pool = GreenPool::new(1);
        let first = pool.spawn(yield_now);
        let other = pool.clone();
        let waits = spawn(move || other.spawn(|| 1).join().unwrap());
        yield_now();
        first.join().unwrap();
        // The first has ended, and who waits has not run since.
        assert_eq!(counts(&pool), (1, 1, 0, 0));
        assert!(pool.try_spawn(|| 2).is_err());
        assert_eq!(waits.join().unwrap(), 1);
    });
}

#[test]
fn a_spawn_with_a_timeout_gives_the_function_back_when_time_is_over() {
    run(|| {
        let pool = GreenPool::new(1);
        let nap = napping(&pool, 5 * SECOND);
        let begin = Instant::now();
        let full = pool.spawn_timeout(2 * SECOND, || 7).unwrap_err();
        assert_eq!(begin.elapsed(), 2 * SECOND);
        assert_eq!(
            full.to_string(),
            "no slot of the pool is free; wait for one, or make the pool larger"
        );
        assert_eq!(counts(&pool), (1, 1, 0, 0));
        let late = pool.spawn_timeout(10 * SECOND, full.into_inner()).unwrap();
        assert_eq!(begin.elapsed(), 5 * SECOND);
        assert_eq!(late.join().unwrap(), 7);
        nap.join().unwrap();
        assert_nothing_left();
    });
}

#[test]
fn a_slot_that_comes_at_the_last_moment_is_used_or_left_but_not_lost() {
    // Whichever of the two timers is armed first fires first.
    for member_is_first in [true, false] {
        run(move || {
            let pool = GreenPool::new(1);
            let member = if member_is_first {
                let member = napping(&pool, 2 * SECOND);
                yield_now();
                member
            } else {
                pool.spawn(|| {
                    yield_now();
                    sleep(2 * SECOND);
                })
            };
            let other = pool.clone();
            let spawner = spawn(move || other.spawn_timeout(2 * SECOND, || ()).is_ok());
            let is_spawned = spawner.join().unwrap();
            assert!(!is_spawned, "the limit was reached before the member could go on");
            member.join().unwrap();
            pool.waitall();
            assert_eq!(counts(&pool), (1, 0, 1, 0));
            assert_nothing_left();
        });
    }
}

#[test]
fn a_spawn_that_is_killed_while_it_waits_leaves_its_turn_to_the_next() {
    for after_chosen in [false, true] {
        run(move || {
            let (pool, trace) = (GreenPool::new(1), Trace::new());
            let member = napping(&pool, SECOND);
            let [first, second] = [0, 1].map(|n| {
                let (pool, trace) = (pool.clone(), trace.clone());
                spawn(move || pool.spawn_detached(move || trace.tell(n)))
            });
            wait_all_parked();
            let begin = Instant::now();
            if after_chosen {
                pool.resize(2);
                assert_eq!(counts(&pool), (2, 2, 0, 1), "the first is chosen and has not run");
            }
            assert!(first.kill());
            assert!(first.join().unwrap_err().is_killed());
            second.join().unwrap();
            let expected = if after_chosen { Duration::ZERO } else { SECOND };
            assert_eq!(begin.elapsed(), expected, "the second has had the slot of the first");
            member.join().unwrap();
            pool.waitall();
            assert_eq!((trace.take(), pool.running()), (vec![1], 0));
            assert_nothing_left();
        });
    }
}

#[test]
fn a_spawn_whose_limit_of_time_is_over_has_started_nothing() {
    run(|| {
        let pool = GreenPool::new(1);
        let member = napping(&pool, 3 * SECOND);
        let begin = Instant::now();
        let outcome =
            with_timeout(SECOND, || pool.spawn_detached(|| unreachable!("it was not spawned")));
        assert!(outcome.is_err());
        assert_eq!((begin.elapsed(), pool.waiting()), (SECOND, 0));
        member.join().unwrap();
        pool.waitall();
        assert_eq!(counts(&pool), (1, 0, 1, 0));
    });
}

#[test]
fn however_a_member_ends_it_gives_its_slot_back() {
    type End = fn(&GreenPool);
    let ends: [(&str, End); 6] = [
        ("returns", |pool| pool.spawn_detached(|| 1)),
        ("panics", |pool| {
            pool.spawn(|| panic!("a member")).join().unwrap_err();
        }),
        ("is killed in a wait", |pool| {
            let member = napping(pool, SECOND);
            yield_now();
            assert!(member.kill());
        }),
        ("is killed before it starts", |pool| assert!(napping(pool, SECOND).kill())),
        ("is cancelled", |pool| assert!(napping(pool, SECOND).cancel())),
        ("kills itself", |pool| {
            pool.spawn_detached(|| {
                thread::current().kill();
                sleep(SECOND);
            });
        }),
    ];
    for (name, end) in ends {
        run(move || {
            let pool = GreenPool::new(1);
            for _ in 0..3 {
                end(&pool);
                pool.waitall();
                assert_eq!(counts(&pool), (1, 0, 1, 0), "{name}");
            }
            assert_nothing_left();
        });
    }
}

#[test]
fn a_pool_that_grows_lets_those_in_who_wait_longest() {
    run(|| {
        let (pool, trace) = (GreenPool::new(0), Trace::new());
        for n in 0..4 {
            let (pool, trace) = (pool.clone(), trace.clone());
            drop(spawn(move || {
                pool.spawn_detached(move || {
                    trace.tell(n);
                    sleep(SECOND);
                });
            }));
        }
        wait_all_parked();
        assert_eq!(counts(&pool), (0, 0, 0, 4));
        pool.resize(2);
        assert_eq!(counts(&pool), (2, 2, 0, 2));
        wait_all_parked();
        assert_eq!(trace.take(), [0, 1]);
        pool.resize(10);
        assert_eq!(counts(&pool), (10, 4, 6, 0));
        pool.waitall();
        assert_eq!(trace.take(), [2, 3]);
        assert_nothing_left();
    });
}

#[test]
fn a_pool_that_shrinks_lets_the_surplus_run_out() {
    run(|| {
        let pool = GreenPool::new(4);
        let members: Vec<_> = (1..=4).map(|n| napping(&pool, n * SECOND)).collect();
        pool.resize(2);
        assert_eq!(counts(&pool), (2, 4, -2, 0));
        let (other, begin) = (pool.clone(), Instant::now());
        let waits = spawn(move || {
            other.spawn_detached(|| ());
            begin.elapsed()
        });
        assert_eq!(waits.join().unwrap(), 3 * SECOND, "two of four end before there is room");
        for member in members {
            member.join().unwrap();
        }
        assert_eq!(counts(&pool), (2, 0, 2, 0));
    });
}

#[test]
fn waiting_for_all_waits_for_those_that_are_spawned_meanwhile_too() {
    run(|| {
        let pool = GreenPool::new(5);
        pool.waitall();
        let begin = Instant::now();
        let inner = pool.clone();
        pool.spawn_detached(move || {
            sleep(SECOND);
            inner.spawn_detached(|| sleep(SECOND));
        });
        let other = pool.clone();
        let waits = spawn(move || {
            other.waitall();
            begin.elapsed()
        });
        pool.waitall();
        assert_eq!(begin.elapsed(), 2 * SECOND);
        assert_eq!(waits.join().unwrap(), 2 * SECOND);
        assert_nothing_left();
    });
}

#[test]
fn waiting_for_all_looks_again_when_it_goes_on() {
    run(|| {
        let pool = GreenPool::new(1);
        let member = napping(&pool, SECOND);
        let (other, begin) = (pool.clone(), Instant::now());
        // Called when the slot is free and whoever waits has been called, but has not run.
        member.link(move |_, _| other.spawn_detached(|| sleep(SECOND)));
        pool.waitall();
        assert_eq!((begin.elapsed(), pool.running()), (2 * SECOND, 0));
        member.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_all_can_be_thrown_out() {
    run(|| {
        let pool = GreenPool::new(2);
        let member = napping(&pool, 5 * SECOND);
        assert!(with_timeout(SECOND, || pool.waitall()).is_err());
        let other = pool.clone();
        let waits = spawn(move || other.waitall());
        yield_now();
        assert!(waits.kill());
        assert!(waits.join().unwrap_err().is_killed());
        member.join().unwrap();
        pool.waitall();
        assert_nothing_left();
    });
}

#[test]
fn a_member_may_not_wait_for_all() {
    run(|| {
        let pool = GreenPool::new(2);
        let inner = pool.clone();
        let member = pool.spawn(move || panic_of(|| inner.waitall()));
        let text = member.join().unwrap();
        assert!(
            text.starts_with("a member of a pool cannot wait for all members to end"),
            "{text}"
        );
        // A member of another may.
        let inner = pool.clone();
        let other = GreenPool::new(1);
        other.spawn(move || inner.waitall()).join().unwrap();
    });
}

#[test]
fn in_a_callback_what_does_not_wait_works_and_what_waits_is_refused() {
    run(|| {
        let pool = GreenPool::new(1);
        let theirs = pool.clone();
        let member = in_callback(move || theirs.spawn(|| sleep(10 * SECOND)));
        for waits in [
            |pool: &GreenPool| pool.spawn_detached(|| ()),
            |pool: &GreenPool| drop(pool.spawn_timeout(SECOND, || ())),
            |pool: &GreenPool| pool.waitall(),
        ] {
            let theirs = pool.clone();
            let text = in_callback(move || panic_of(|| waits(&theirs)));
            assert!(text.starts_with("a hub callback may not block"), "{text}");
        }
        let theirs = pool.clone();
        in_callback(move || {
            assert!(theirs.try_spawn(|| ()).is_err());
            theirs.resize(2);
            assert_eq!(counts(&theirs), (2, 1, 1, 0));
            drop(theirs.try_spawn(|| ()).unwrap());
        });
        member.join().unwrap();
        assert_eq!(counts(&pool), (2, 0, 2, 0));
        assert_nothing_left();
    });
}

#[test]
fn in_a_destructor_a_full_pool_has_one_member_more_and_nothing_waits() {
    run(|| {
        let pool = GreenPool::new(1);
        napping(&pool, SECOND).join().unwrap();
        let member = napping(&pool, SECOND);
        let (late, free) = in_destructor(|| {
            pool.waitall();
            pool.spawn_timeout(SECOND, || ()).unwrap().kill();
            (pool.spawn(|| 7), pool.free())
        });
        assert_eq!(free, -2);
        assert_eq!(late.join().unwrap(), 7);
        assert_eq!(counts(&pool), (1, 1, 0, 0));
        member.join().unwrap();
        assert_eq!(counts(&pool), (1, 0, 1, 0));
    });
}

#[test]
fn a_function_that_was_not_started_is_dropped_where_nothing_is_borrowed() {
    run(|| {
        let pool = GreenPool::new(1);
        let member = napping(&pool, SECOND);
        let (inner, looked) = (pool.clone(), Rc::new(Cell::new(None)));
        let theirs = Rc::clone(&looked);
        let on_drop = crate::scenes::OnDrop(move || theirs.set(Some(counts(&inner))));
        let full = pool.try_spawn(move || drop(on_drop)).unwrap_err();
        drop(full);
        assert_eq!(looked.get(), Some((1, 1, 0, 0)));
        member.join().unwrap();
    });
}

#[test]
fn members_live_on_when_the_last_handle_is_dropped() {
    run(|| {
        let pool = GreenPool::new(1);
        let member = pool.spawn(|| {
            sleep(SECOND);
            7
        });
        drop(pool);
        assert_eq!(member.join().unwrap(), 7);
        assert_nothing_left();
    });
}

#[test]
fn ending_the_hub_unwinds_members_and_those_who_wait() {
    run(|| {
        let pool = GreenPool::new(1);
        drop(napping(&pool, Duration::MAX));
        let other = pool.clone();
        drop(spawn(move || other.spawn_detached(|| ())));
        yield_now();
        hub::abort();
        assert_eq!(counts(&pool), (1, 0, 1, 0));
        assert_eq!(pool.spawn(|| 7).join().unwrap(), 7);
        assert_nothing_left();
    });
}

#[test]
fn a_pool_as_large_as_can_be_has_room() {
    run(|| {
        assert_eq!(GreenPool::new(usize::MAX).free(), isize::MAX);
        assert_eq!(greenroom::pool::Pool::new(usize::MAX, || 1).free(), isize::MAX);
    });
}
