//! Semaphores: what is theirs beside handing on: many permits at once, bounds, and room.

use std::{cell::Cell, rc::Rc};

use greenroom::{
    Elapsed, JoinHandle, scope, sleep, spawn,
    sync::{BoundedSemaphore, CappedSemaphore, Semaphore},
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::{
    scenes::{SECOND, assert_nothing_left, in_a_panic, join_all, panic_of},
    trace::Trace,
};

#[test]
fn no_more_are_inside_than_there_are_permits() {
    run(|| {
        let (semaphore, inside, most) = (Semaphore::new(3), Cell::new(0), Cell::new(0));
        scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let _permit = semaphore.acquire();
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    yield_now();
                    inside.set(inside.get() - 1);
                });
            }
        });
        assert_eq!((most.get(), semaphore.available(), semaphore.waiting()), (3, 3, 0));
    });
}

/// Has somebody acquire `count` permits, tell so, and keep them for good.
fn taker(semaphore: &Rc<Semaphore>, trace: &Trace<usize>, count: usize) -> JoinHandle<()> {
    let (semaphore, trace) = (Rc::clone(semaphore), trace.clone());
    let taker = spawn(move || {
        semaphore.acquire_many(count).forget();
        trace.tell(count);
    });
    wait_all_parked();
    taker
}

#[test]
fn who_wants_few_waits_behind_who_wants_many() {
    run(|| {
        let (semaphore, trace) = (Rc::new(Semaphore::new(2)), Trace::new());
        let takers = [5, 1, 2].map(|count| taker(&semaphore, &trace, count));
        assert_eq!((semaphore.available(), semaphore.waiting()), (2, 3));
        assert!(semaphore.try_acquire().is_none());
        assert_eq!(semaphore.acquire_timeout(SECOND).err(), Some(Elapsed));
        semaphore.release_many(3);
        wait_all_parked();
        assert_eq!(trace.take(), [5]);
        semaphore.release_many(4);
        wait_all_parked();
        assert_eq!((trace.take(), semaphore.available()), (vec![1, 2], 1));
        join_all(takers);
        assert_nothing_left();
    });
}

#[test]
fn those_behind_go_on_when_who_wanted_many_leaves() {
    for is_killed in [true, false] {
        run(|| {
            let (semaphore, trace) = (Rc::new(Semaphore::new(2)), Trace::new());
            let theirs = Rc::clone(&semaphore);
            let greedy = spawn(move || theirs.acquire_many_timeout(5, SECOND).map(|_| ()));
            wait_all_parked();
            let takers = [1, 1, 1].map(|count| taker(&semaphore, &trace, count));
            assert_eq!(trace.take(), [0; 0]);
            if is_killed {
                greedy.kill();
                assert!(greedy.join().unwrap_err().is_killed());
            } else {
                assert_eq!(greedy.join().unwrap(), Err(Elapsed));
            }
            wait_all_parked();
            assert_eq!((trace.take(), semaphore.waiting()), (vec![1, 1], 1));
            semaphore.release();
            join_all(takers);
            assert_nothing_left();
        });
    }
}

#[test]
fn many_permits_that_were_given_to_one_who_is_killed_go_to_several() {
    run(|| {
        let (semaphore, trace) = (Rc::new(Semaphore::new(0)), Trace::new());
        let victim = taker(&semaphore, &trace, 3);
        let takers = [1, 2].map(|count| taker(&semaphore, &trace, count));
        semaphore.release_many(3);
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        join_all(takers);
        assert_eq!((trace.take(), semaphore.available()), (vec![1, 2], 0));
    });
}

#[test]
fn no_permits_are_had_at_once_whoever_waits() {
    run(|| {
        let (semaphore, trace) = (Rc::new(Semaphore::new(0)), Trace::new());
        let waiter = taker(&semaphore, &trace, 1);
        assert_eq!(semaphore.acquire_many(0).count(), 0);
        assert!(semaphore.try_acquire_many(0).is_some());
        semaphore.release();
        waiter.join().unwrap();
    });
}

#[test]
fn a_guard_gives_back_what_it_is_worth_also_during_a_panic() {
    run(|| {
        let semaphore = Semaphore::new(5);
        let permit = semaphore.acquire_many(3);
        assert_eq!((permit.count(), semaphore.available()), (3, 2));
        assert_eq!(
            format!("{permit:?} {semaphore:?}"),
            "Permit { count: 3, .. } Semaphore { available: 2, waiting: 0 }"
        );
        drop(permit);
        assert_eq!(semaphore.available(), 5);
        in_a_panic(|| drop(semaphore.acquire_many(5)));
        assert_eq!(semaphore.available(), 5);
        semaphore.acquire_many(4).forget();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn permits_that_cannot_be_counted_are_refused() {
    run(|| {
        let semaphore = Semaphore::new(usize::MAX);
        let permit = semaphore.acquire();
        assert!(panic_of(|| semaphore.release()).starts_with("1 permits more cannot be counted"));
        drop(permit);
        assert_eq!(semaphore.available(), usize::MAX);
    });
}

#[test]
fn a_bounded_one_takes_back_only_what_was_forgotten() {
    run(|| {
        let semaphore = BoundedSemaphore::new(3);
        let error = semaphore.release().unwrap_err();
        let text = "releasing 1 permits of which only 0 are out would exceed the semaphore's bound; \
                    release only what was acquired and forgotten";
        assert_eq!(error.to_string(), text);
        let permit = semaphore.acquire();
        semaphore.acquire().forget();
        assert!(semaphore.release_many(2).is_err());
        assert_eq!(semaphore.available(), 1);
        semaphore.release().unwrap();
        assert_eq!(semaphore.release(), Err(error));
        drop(permit);
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn a_bounded_one_refuses_what_could_never_be_had() {
    run(|| {
        let semaphore = BoundedSemaphore::new(3);
        for message in [
            panic_of(|| drop(semaphore.acquire_many(4))),
            panic_of(|| drop(semaphore.acquire_many_timeout(4, SECOND))),
        ] {
            let text = "4 permits are never there at once: this semaphore has 3 at most";
            assert_eq!(message, text);
        }
        assert!(semaphore.try_acquire_many(4).is_none());
    });
}

#[test]
fn a_capped_one_makes_who_releases_wait_for_room() {
    run(|| {
        let semaphore = Rc::new(CappedSemaphore::new(1, 2));
        let theirs = Rc::clone(&semaphore);
        let producer = spawn(move || {
            for _ in 0..4 {
                theirs.release();
            }
        });
        wait_all_parked();
        assert_eq!((semaphore.available(), semaphore.waiting_to_release()), (2, 1));
        assert!(!semaphore.try_release());
        for left in [2, 2, 2] {
            semaphore.acquire();
            wait_all_parked();
            assert_eq!(semaphore.available(), left);
        }
        producer.join().unwrap();
        assert!(semaphore.try_acquire() && semaphore.try_acquire() && !semaphore.try_acquire());
        assert_nothing_left();
    });
}

#[test]
fn a_capped_one_never_exceeds_its_room_when_both_sides_are_killed() {
    run(|| {
        let semaphore = Rc::new(CappedSemaphore::new(0, 1));
        let consumers = [0, 1].map(|_| {
            let semaphore = Rc::clone(&semaphore);
            spawn(move || semaphore.acquire())
        });
        wait_all_parked();
        semaphore.release();
        consumers[0].kill();
        sleep(SECOND);
        let [first, second] = consumers.map(JoinHandle::join);
        assert!(first.unwrap_err().is_killed());
        second.unwrap();
        semaphore.release();
        let theirs = Rc::clone(&semaphore);
        let producer = spawn(move || theirs.release());
        wait_all_parked();
        semaphore.acquire();
        producer.kill();
        assert!(producer.join().unwrap_err().is_killed());
        assert_eq!(semaphore.available(), 0);
        assert!(semaphore.try_release() && !semaphore.try_release());
    });
}

#[test]
fn a_capped_one_takes_what_a_destructor_releases_and_is_over_full_until_that_is_used_up() {
    run(|| {
        let semaphore = CappedSemaphore::new(2, 2);
        in_a_panic(|| semaphore.release());
        assert_eq!(semaphore.available(), 3);
        semaphore.acquire();
        assert!(!semaphore.try_release());
        semaphore.acquire();
        assert!(semaphore.try_release() && !semaphore.try_release());
        assert_eq!(semaphore.available(), 2);
    });
}

#[test]
fn a_capped_one_without_room_is_refused() {
    assert!(panic_of(|| CappedSemaphore::new(0, 0)).contains("has room for a permit at least"));
    assert!(panic_of(|| CappedSemaphore::new(3, 2)).contains("no more permits than"));
}
