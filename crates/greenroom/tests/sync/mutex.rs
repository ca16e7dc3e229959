//! Mutexes: what is theirs beside handing on: data, poison, and locking twice.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{PoisonError, TryLockError},
    time::Duration,
};

use greenroom::{
    Elapsed, JoinHandle, hub, scope, sleep, spawn,
    sync::{Mutex, MutexGuard},
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::scenes::{SECOND, assert_nothing_left, in_a_callback, in_a_panic, join_all, panic_of};

#[test]
fn nobody_sees_the_data_while_its_holder_waits() {
    run(|| {
        let pair = Rc::new(Mutex::new((0, 0)));
        let adders: Vec<_> = (0..20)
            .map(|_| {
                let pair = Rc::clone(&pair);
                spawn(move || {
                    for _ in 0..10 {
                        let mut pair = pair.lock().unwrap();
                        assert_eq!(pair.0, pair.1);
                        pair.0 += 1;
                        yield_now();
                        pair.1 += 1;
                    }
                })
            })
            .collect();
        join_all(adders);
        assert_eq!(*pair.lock().unwrap(), (200, 200));
        assert_nothing_left();
    });
}

#[test]
fn who_locks_again_at_once_goes_to_the_end_of_the_queue() {
    run(|| {
        let order = Mutex::new(Vec::new());
        scope(|scope| {
            for name in ["a", "b"] {
                let order = &order;
                scope.spawn(move || {
                    for _ in 0..3 {
                        let mut order = order.lock().unwrap();
                        order.push(name);
                        yield_now();
                    }
                });
            }
        });
        assert_eq!(order.into_inner().unwrap(), ["a", "b", "a", "b", "a", "b"]);
    });
}

/// How somebody who has a lock is unwound.
#[derive(Clone, Copy, Debug)]
enum Unwound {
    Panicked,
    Killed,
    TimeIsOver,
}

#[test]
fn a_holder_that_is_unwound_poisons_it() {
    for how in [Unwound::Panicked, Unwound::Killed, Unwound::TimeIsOver] {
        run(|| {
            let mutex = Rc::new(Mutex::new(1));
            let (theirs, next) = (Rc::clone(&mutex), Rc::clone(&mutex));
            let holder = spawn(move || {
                with_timeout(SECOND, || {
                    let mut guard = theirs.lock().unwrap();
                    *guard = 2;
                    match how {
                        Unwound::Panicked => panic!("in the middle"),
                        _ => sleep(Duration::MAX),
                    }
                    drop(guard);
                })
            });
            let waiter =
                spawn(move || next.lock().map_err(|error| *error.into_inner()).map(|_| ()));
            wait_all_parked();
            if let Unwound::Killed = how {
                holder.kill();
            }
            assert!(!matches!(holder.join(), Ok(Ok(()))));
            assert_eq!(waiter.join().unwrap(), Err(2), "{how:?}");
            assert!(mutex.is_poisoned());
            assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
            assert!(mutex.lock_timeout(SECOND).unwrap().is_err());
            mutex.clear_poison();
            assert_eq!(*mutex.lock().unwrap(), 2);
            assert_nothing_left();
        });
    }
}

#[test]
fn a_waiter_that_is_unwound_does_not_poison_it() {
    run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let waiters = [SECOND, Duration::MAX].map(|time| {
            let mutex = Rc::clone(&mutex);
            spawn(move || with_timeout(time, || drop(mutex.lock().unwrap())))
        });
        sleep(2 * SECOND);
        drop(guard);
        // It has been given the lock by now, and is killed before it has it.
        waiters[1].kill();
        let [late, killed] = waiters.map(JoinHandle::join);
        assert_eq!(late.unwrap(), Err(Elapsed));
        assert!(killed.unwrap_err().is_killed());
        assert!(!mutex.is_poisoned() && mutex.try_lock().is_ok());
        assert_nothing_left();
    });
}

#[test]
fn a_lock_taken_and_given_up_in_a_destructor_during_a_panic_is_not_poisoned() {
    run(|| {
        let mutex = Mutex::new(1);
        in_a_panic(|| *mutex.lock().unwrap() += 1);
        assert_eq!(*mutex.lock().unwrap(), 2);
    });
}

#[test]
fn locking_twice_is_found_out_and_the_message_names_the_thread() {
    run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let again = |mutex: &Mutex<()>| {
            let _guard = mutex.lock().unwrap();
            panic_of(|| drop(mutex.lock()))
        };
        let rule = "locks a mutex that it has locked, so it would wait for itself";
        assert_eq!(again(&mutex), format!("deadlock: the root {rule}"));
        let theirs = Rc::clone(&mutex);
        let thread =
            greenroom::thread::Builder::new().name("twice").spawn(move || again(&theirs)).unwrap();
        let id = thread.thread().id();
        let message = thread.join().unwrap();
        assert_eq!(message, format!("deadlock: green thread \"twice\" ({id}) {rule}"));
        assert!(!mutex.is_poisoned());
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn a_timed_lock_by_the_holder_is_late() {
    run(|| {
        let mutex = Mutex::new(());
        let _guard = mutex.lock().unwrap();
        assert!(mutex.lock_timeout(SECOND).is_err());
    });
}

#[test]
fn a_lock_that_a_callback_has_is_nobody_elses() {
    run(|| {
        let mutex: &'static Mutex<i32> = Box::leak(Box::new(Mutex::new(0)));
        let guard: MutexGuard<'static, i32> = in_a_callback(|| mutex.try_lock().unwrap());
        let message = in_a_callback(|| panic_of(|| drop(mutex.lock())));
        assert!(message.contains("a hub callback may not block"), "{message}");
        let giver = spawn(move || drop(guard));
        *mutex.lock().unwrap() += 1;
        giver.join().unwrap();
    });
}

#[test]
fn the_data_is_had_without_the_lock_by_whoever_has_it_alone() {
    let mut mutex = Mutex::from(1);
    *mutex.get_mut().unwrap() += 1;
    assert_eq!(mutex.into_inner().unwrap(), 2);

    let mut mutex: Mutex<i32> = Mutex::default();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        panic!("in the middle");
    }));
    assert!(unwound.is_err());
    *mutex.get_mut().unwrap_err().into_inner() = 5;
    assert_eq!(mutex.into_inner().map_err(PoisonError::into_inner), Err(5));
}

#[test]
fn it_locks_what_has_no_size() {
    run(|| {
        let mutex: Rc<Mutex<[u8]>> = Rc::new(Mutex::new([1, 2, 3]));
        mutex.lock().unwrap()[1] = 7;
        assert_eq!(*mutex.lock().unwrap(), [1, 7, 3]);
    });
}

#[test]
fn debug_says_if_it_is_locked() {
    run(|| {
        let mutex = Mutex::new(1);
        assert_eq!(format!("{mutex:?}"), "Mutex { data: 1, poisoned: false, .. }");
        let guard = mutex.lock().unwrap();
        assert_eq!(
            format!("{mutex:?} {guard:?} {guard}"),
            "Mutex { data: <locked>, poisoned: false, .. } 1 1"
        );
    });
}

#[test]
fn a_free_lock_needs_no_turn() {
    run(|| {
        let mutex = Mutex::new(0);
        let turns = hub::stats().turns;
        for _ in 0..1000 {
            *mutex.lock().unwrap() += 1;
        }
        assert_eq!(hub::stats().turns, turns);
    });
}
