//! Mutexes between hubs: one holder at a time, in order, and what becomes of the data if a holder
//! is unwound.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, TryLockError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed, hub, hubs, sleep, spawn,
    sync::shared::Mutex,
    testing::{advance, run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::{
    scenes::{in_a_callback, in_a_kill, in_a_panic, panic_of},
    site::{SECOND, Site, on_os_thread},
};

#[test]
fn it_may_be_sent_and_shared_with_data_that_may_be_sent() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Mutex<Cell<u8>>>();
}

#[test]
fn one_at_a_time_has_it_also_across_waits() {
    let mutex = Mutex::new(0);
    let inside = AtomicBool::new(false);
    hubs::run(3, |_| {
        greenroom::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut number = mutex.lock().unwrap();
                        assert!(!inside.swap(true, Ordering::Relaxed));
                        let before = *number;
                        yield_now();
                        *number = before + 1;
                        inside.store(false, Ordering::Relaxed);
                    }
                });
            }
        });
    });
    assert_eq!(mutex.into_inner().unwrap(), 3 * 4 * 50);
}

#[test]
fn it_is_handed_to_whoever_waits_longest_and_cannot_be_snatched() {
    let sites = [Site::start(), Site::start()];
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let waiters: Vec<_> = (0..4)
        .map(|n| {
            let mutex = Arc::clone(&mutex);
            sites[n % 2].waiter(move || mutex.lock().unwrap().push(n))
        })
        .collect();
    drop(guard);
    // Taken by the first of them, or handed on to the next: never free before all have had it.
    while let Err(TryLockError::WouldBlock) = mutex.try_lock().map(drop) {
        thread::yield_now();
    }
    assert_eq!(*mutex.try_lock().unwrap(), [0, 1, 2, 3]);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn who_is_killed_or_late_while_it_waits_has_no_lock_and_poisons_nothing() {
    run(|| {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let theirs = Arc::clone(&mutex);
        let late = spawn(move || theirs.lock_timeout(SECOND).err());
        let theirs = Arc::clone(&mutex);
        let thrown = spawn(move || with_timeout(SECOND, || drop(theirs.lock())));
        let theirs = Arc::clone(&mutex);
        let killed = spawn(move || drop(theirs.lock()));
        advance(SECOND);
        assert!(late.is_finished() && thrown.is_finished());
        assert_eq!(late.join().unwrap(), Some(Elapsed));
        assert_eq!(thrown.join().unwrap(), Err(Elapsed));
        killed.thread().kill();
        assert!(killed.join().unwrap_err().is_killed());
        drop(guard);
        assert!(mutex.try_lock().is_ok());
        assert_eq!((hub::stats().expected, hub::stats().timers), (0, 0));
    });
}

#[test]
fn who_is_killed_when_it_was_just_handed_the_lock_hands_it_on_to_another_hub() {
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.lock().unwrap();
    let theirs = Arc::clone(&mutex);
    let killed = spawn(move || drop(theirs.lock()));
    wait_all_parked();
    let site = Site::start();
    let theirs = Arc::clone(&mutex);
    let next = site.waiter(move || *theirs.lock().unwrap() = 7);
    drop(guard);
    killed.thread().kill();
    assert!(killed.join().unwrap_err().is_killed());
    next.join().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 7);
}

#[test]
fn a_holder_that_panics_or_is_killed_poisons_it_for_all_hubs() {
    let mutex = Arc::new(Mutex::new(0));
    let panics = || {
        let _guard = mutex.lock().unwrap();
        panic!("in the middle");
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(on_os_thread(|| mutex.lock().is_err() && mutex.is_poisoned()));
    assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    assert!(mutex.lock_timeout(SECOND).unwrap().is_err());
    mutex.clear_poison();

    let site = Site::start();
    let theirs = Arc::clone(&mutex);
    let holder = site.waiter(move || {
        let _guard = theirs.lock().unwrap();
        sleep(Duration::MAX);
    });
    let theirs = Arc::clone(&mutex);
    let waiter = spawn(move || theirs.lock().is_err());
    wait_all_parked();
    holder.kill().unwrap();
    assert!(waiter.join().unwrap(), "it hears of it");
}

#[test]
fn a_guard_that_was_had_in_a_destructor_during_a_panic_poisons_nothing() {
    let mutex = Mutex::new(0);
    in_a_panic(|| *mutex.lock().unwrap() += 1);
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn in_a_destructor_nothing_waits_for_it() {
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.lock().unwrap();
    let (first, second) = (Arc::clone(&mutex), Arc::clone(&mutex));
    let said = [
        // The root has it itself, and is told so.
        in_a_panic(move || panic_of(|| drop(first.lock()))),
        in_a_kill(move || panic_of(|| drop(second.lock()))),
    ];
    assert!(said[0].starts_with("deadlock: the root locks a mutex"), "{}", said[0]);
    assert!(said[1].starts_with("a mutex would have to be waited for"), "{}", said[1]);
    let theirs = Arc::clone(&mutex);
    let late = in_a_kill(move || theirs.lock_timeout(Duration::MAX).is_err());
    assert!(late && in_a_panic(|| mutex.try_lock().is_err()));
    drop(guard);
}

#[test]
fn in_a_callback_it_can_be_locked_if_it_is_free() {
    let mutex = Arc::new(Mutex::new(0));
    let theirs = Arc::clone(&mutex);
    in_a_callback(move || *theirs.lock().unwrap() += 1);
    let guard = mutex.lock().unwrap();
    let theirs = Arc::clone(&mutex);
    let said = in_a_callback(move || panic_of(|| drop(theirs.lock())));
    assert!(said.starts_with("a hub callback may not block"), "{said}");
    assert_eq!(*guard, 1);
}

#[test]
fn who_locks_twice_is_told_and_one_of_the_same_number_on_another_hub_is_not() {
    let mutex = Mutex::new(0);
    let guard = mutex.lock().unwrap();
    let said = panic_of(|| drop(mutex.lock()));
    assert_eq!(
        said,
        "deadlock: the root locks a mutex that it has locked, so it would wait for itself"
    );
    thread::scope(|scope| {
        let (begun, begins) = mpsc::channel();
        let mutex = &mutex;
        let other = scope.spawn(move || {
            assert!(mutex.try_lock().is_err());
            begun.send(()).unwrap();
            *mutex.lock().unwrap()
        });
        begins.recv().unwrap();
        drop(guard);
        assert_eq!(other.join().unwrap(), 0);
    });
}

#[test]
fn it_works_in_a_thread_local_that_is_destroyed_with_its_os_thread() {
    static ENDED: Mutex<u32> = Mutex::new(0);
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            *ENDED.lock().unwrap() += 1;
        }
    }
    thread_local!(static ENDS: Ends = const { Ends });
    on_os_thread(|| ENDS.with(|_| ()));
    thread::spawn(|| ENDS.with(|_| ())).join().unwrap();
    assert_eq!(*ENDED.lock().unwrap(), 2);
}

#[test]
fn its_data_can_be_had_without_a_lock_by_whoever_has_it_alone() {
    let mut mutex = Mutex::from(1);
    *mutex.get_mut().unwrap() += 1;
    assert_eq!(format!("{mutex:?}"), "Mutex { data: 2, poisoned: false, .. }");
    let guard = mutex.lock().unwrap();
    assert_eq!(format!("{guard} {mutex:?}"), "2 Mutex { data: <locked>, poisoned: false, .. }");
    drop(guard);
    assert_eq!(mutex.into_inner().unwrap(), 2);
}
