//! Condition variables: what is theirs beside handing on: the mutex, and notifying all.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use greenroom::{
    Instant, JoinHandle, sleep, spawn,
    sync::{Condvar, Mutex},
    testing::{run, wait_all_parked},
    with_timeout,
};

use crate::{
    scenes::{SECOND, assert_nothing_left, in_a_kill, in_a_panic, join_all},
    trace::Trace,
};

#[derive(Default)]
struct Shared {
    number: Mutex<i32>,
    changed: Condvar,
}

/// Has `name` wait for a notification and tell when it has the mutex again.
fn waiter(shared: &Rc<Shared>, trace: &Trace, name: &'static str) -> JoinHandle<()> {
    let (shared, trace) = (Rc::clone(shared), trace.clone());
    let waiter = spawn(move || {
        let guard = shared.number.lock().unwrap();
        let _guard = shared.changed.wait(guard).unwrap();
        trace.tell(name);
    });
    wait_all_parked();
    waiter
}

#[test]
fn the_mutex_is_free_during_the_wait_and_had_after_it() {
    run(|| {
        let shared = Rc::new(Shared::default());
        let theirs = Rc::clone(&shared);
        let waiter = spawn(move || {
            let guard = theirs.number.lock().unwrap();
            let mut guard = theirs.changed.wait(guard).unwrap();
            assert!(theirs.number.try_lock().is_err());
            *guard += 1;
            *guard
        });
        wait_all_parked();
        let mut guard = shared.number.try_lock().unwrap();
        shared.changed.notify_one();
        wait_all_parked();
        assert!(!waiter.is_finished(), "it goes on without the mutex");
        *guard = 41;
        drop(guard);
        assert_eq!(waiter.join().unwrap(), 42);
        assert_nothing_left();
    });
}

#[test]
fn all_who_wait_are_notified_in_the_order_they_came() {
    run(|| {
        let (shared, trace) = (Rc::new(Shared::default()), Trace::new());
        let waiters = ["a", "b", "c"].map(|name| waiter(&shared, &trace, name));
        shared.changed.notify_all();
        join_all(waiters);
        assert_eq!(trace.take(), ["a", "b", "c"]);
    });
}

#[test]
fn a_notification_for_nobody_is_for_nobody_later_either() {
    run(|| {
        let (shared, trace) = (Rc::new(Shared::default()), Trace::new());
        shared.changed.notify_one();
        shared.changed.notify_all();
        let waiter = waiter(&shared, &trace, "waiter");
        assert_eq!(trace.take(), [""; 0]);
        shared.changed.notify_one();
        waiter.join().unwrap();
    });
}

#[test]
fn a_notified_waiter_that_is_killed_on_its_way_to_the_mutex_passes_it_on() {
    run(|| {
        let (shared, trace) = (Rc::new(Shared::default()), Trace::new());
        let [victim, next] = ["victim", "next"].map(|name| waiter(&shared, &trace, name));
        let guard = shared.number.lock().unwrap();
        shared.changed.notify_one();
        wait_all_parked();
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        drop(guard);
        next.join().unwrap();
        assert_eq!(trace.take(), ["next"]);
        assert!(!shared.number.is_poisoned());
        assert_nothing_left();
    });
}

#[test]
fn a_killed_waiter_needs_no_mutex_and_does_not_poison_it() {
    run(|| {
        let (shared, trace) = (Rc::new(Shared::default()), Trace::new());
        let victim = waiter(&shared, &trace, "victim");
        let guard = shared.number.lock().unwrap();
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        drop(guard);
        assert!(!shared.number.is_poisoned() && shared.number.try_lock().is_ok());
    });
}

#[test]
fn a_wait_whose_time_is_over_still_waits_for_the_mutex() {
    run(|| {
        let shared = Rc::new(Shared::default());
        let theirs = Rc::clone(&shared);
        let begin = Instant::now();
        let waiter = spawn(move || {
            let guard = theirs.number.lock().unwrap();
            let (guard, result) = theirs.changed.wait_timeout(guard, SECOND).unwrap();
            (*guard, result.timed_out())
        });
        wait_all_parked();
        let mut guard = shared.number.lock().unwrap();
        sleep(3 * SECOND);
        *guard = 8;
        drop(guard);
        assert_eq!((waiter.join().unwrap(), begin.elapsed()), ((8, true), 3 * SECOND));
    });
}

#[test]
fn waiting_while_a_condition_holds_looks_at_it_first_and_after_each_notification() {
    run(|| {
        let shared = Rc::new(Shared::default());
        let theirs = Rc::clone(&shared);
        let waiter = spawn(move || {
            let mut looks = 0;
            let guard = theirs.number.lock().unwrap();
            let guard = theirs.changed.wait_while(guard, |number| {
                looks += 1;
                *number < 3
            });
            (*guard.unwrap(), looks)
        });
        for _ in 0..3 {
            wait_all_parked();
            *shared.number.lock().unwrap() += 1;
            shared.changed.notify_all();
        }
        assert_eq!(waiter.join().unwrap(), (3, 4));
    });
}

#[test]
fn waiting_while_with_a_timeout_counts_all_of_the_time() {
    run(|| {
        let shared = Rc::new(Shared::default());
        let theirs = Rc::clone(&shared);
        let notifier = spawn(move || {
            for _ in 0..5 {
                sleep(SECOND);
                theirs.changed.notify_all();
            }
            *theirs.number.lock().unwrap() = 1;
            theirs.changed.notify_all();
        });
        let wait = |seconds: u32| {
            let begin = Instant::now();
            let guard = shared.number.lock().unwrap();
            let time = seconds * SECOND + SECOND / 2;
            let waited = shared.changed.wait_timeout_while(guard, time, |number| *number == 0);
            let (guard, result) = waited.unwrap();
            (*guard, result.timed_out(), begin.elapsed())
        };
        assert_eq!(wait(2), (0, true, 5 * SECOND / 2));
        assert_eq!(wait(7), (1, false, 5 * SECOND / 2));
        assert_eq!(wait(7), (1, false, Duration::ZERO));
        notifier.join().unwrap();
        assert_nothing_left();
    });
}

#[test]
fn poison_comes_back_with_the_guard() {
    run(|| {
        let (shared, trace) = (Rc::new(Shared::default()), Trace::new());
        let victims = [waiter(&shared, &trace, "waits"), {
            let theirs = Rc::clone(&shared);
            spawn(move || {
                let guard = theirs.number.lock().unwrap();
                let error = theirs.changed.wait_timeout(guard, SECOND).unwrap_err();
                let (guard, result) = error.into_inner();
                assert_eq!((*guard, result.timed_out()), (6, false));
            })
        }];
        let theirs = Rc::clone(&shared);
        let breaker = spawn(move || {
            let mut guard = theirs.number.lock().unwrap();
            *guard = 6;
            theirs.changed.notify_all();
            panic!("in the middle");
        });
        assert!(breaker.join().unwrap_err().is_panic());
        let [first, second] = victims.map(JoinHandle::join);
        assert!(first.unwrap_err().is_panic(), "it unwrapped a poisoned guard");
        second.unwrap();
    });
}

#[test]
fn in_a_destructor_during_a_panic_the_mutex_is_kept() {
    let play = |shared: &Shared| {
        let guard = shared.number.lock().unwrap();
        let (guard, result) = shared.changed.wait_timeout(guard, SECOND).unwrap();
        assert!(shared.number.try_lock().is_err());
        let waited = shared.changed.wait_timeout_while(guard, SECOND, |number| *number == 0);
        let (_guard, later) = waited.unwrap();
        (result.timed_out(), later.timed_out())
    };
    run(|| {
        assert_eq!(in_a_panic(|| play(&Shared::default())), (true, true));
        assert_eq!(in_a_kill(move || play(&Shared::default())), (true, true));
    });
}

#[test]
fn a_bounded_buffer_made_of_it_loses_nothing_when_consumers_are_thrown_out() {
    run(|| {
        let buffer = Rc::new((Mutex::new(VecDeque::new()), Condvar::new()));
        let taken = Trace::new();
        let consumers: Vec<_> = (0..10)
            .map(|n| {
                let (buffer, taken) = (Rc::clone(&buffer), taken.clone());
                spawn(move || {
                    while let Ok(item) = with_timeout((n + 1) * SECOND, || {
                        let guard = buffer.0.lock().unwrap();
                        buffer.1.wait_while(guard, |items| items.is_empty()).unwrap().pop_front()
                    }) {
                        taken.tell(item.unwrap());
                    }
                })
            })
            .collect();
        for item in 0..20 {
            sleep(SECOND / 2);
            buffer.0.lock().unwrap().push_back(item);
            buffer.1.notify_one();
        }
        join_all(consumers);
        let left: Vec<i32> = buffer.0.lock().unwrap().drain(..).collect();
        let all: Vec<i32> = taken.take().into_iter().chain(left).collect();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert_nothing_left();
    });
}
