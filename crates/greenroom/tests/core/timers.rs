//! Functions called at a time: when, how often, and what becomes of what they own.

use std::{cell::RefCell, rc::Rc, time::Duration};

use greenroom::{
    Instant,
    hub::{self, Timer, call_after_global, call_after_local},
    sleep, spawn,
    testing::run,
    thread, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_timer_fires_once_when_its_time_has_come() {
    run(|| {
        let trace = Trace::new();
        let (begin, inner) = (Instant::now(), trace.clone());
        let timer = call_after_global(3 * SECOND, move || inner.tell(begin.elapsed()));
        sleep(2 * SECOND);
        assert!(timer.is_pending());
        sleep(10 * SECOND);
        assert!(!timer.is_pending());
        assert_eq!(trace.take(), [3 * SECOND]);
    });
}

#[test]
fn timers_fire_by_their_deadlines_and_equal_ones_in_the_order_they_were_armed() {
    run(|| {
        let trace = Trace::new();
        for (n, seconds) in [(0, 2), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)] {
            call_after_global(seconds * SECOND, trace.telling(n));
        }
        sleep(3 * SECOND);
        assert_eq!(trace.take(), [3, 1, 4, 0, 2, 5]);
    });
}

#[test]
fn a_timer_runs_on_the_root() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        call_after_global(SECOND, move || inner.tell((thread::is_green(), thread::current().id())));
        let waiting = spawn(|| sleep(2 * SECOND));
        let root = thread::current().id();
        waiting.join().unwrap();
        assert_eq!(trace.take(), [(false, root)]);
    });
}

#[test]
fn a_cancelled_timer_never_fires_and_cancelling_again_does_no_harm() {
    run(|| {
        let trace = Trace::new();
        let timer = call_after_global(SECOND, trace.telling("fired"));
        assert!(timer.is_pending());
        assert!(timer.cancel());
        assert!(!timer.is_pending());
        assert!(!timer.cancel());
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [""; 0]);
        assert_eq!(hub::stats().expired, 1, "only the sleep");
    });
}

#[test]
fn a_timer_that_fired_cannot_be_cancelled() {
    run(|| {
        let timer = call_after_global(SECOND, || {});
        sleep(2 * SECOND);
        assert!(!timer.cancel());
    });
}

#[test]
fn cancelling_drops_at_once_what_the_function_owns() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("owned");
        let timer = call_after_global(SECOND, move || drop(owned));
        assert_eq!(hub::stats().timers, 1);
        timer.cancel();
        assert_eq!((trace.take(), hub::stats().timers), (vec!["owned"], 0));
    });
}

#[test]
fn firing_drops_what_the_function_owns_although_the_timer_is_kept() {
    run(|| {
        let owned = Rc::new(());
        let theirs = Rc::clone(&owned);
        let timer = call_after_global(SECOND, move || assert_eq!(Rc::strong_count(&theirs), 2));
        sleep(2 * SECOND);
        assert_eq!(Rc::strong_count(&owned), 1);
        drop(timer);
    });
}

#[test]
fn dropping_a_timer_changes_nothing_and_a_clone_is_the_same_timer() {
    run(|| {
        let trace = Trace::new();
        drop(call_after_global(SECOND, trace.telling("dropped")));
        let timer = call_after_global(SECOND, trace.telling("cloned"));
        let clone = timer.clone();
        drop(timer);
        assert!(clone.cancel());
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["dropped"]);
    });
}

#[test]
fn a_timer_may_cancel_another_that_is_due_in_the_same_turn() {
    run(|| {
        let trace = Trace::new();
        let second = Rc::new(RefCell::new(None::<Timer>));
        let (victim, inner) = (Rc::clone(&second), trace.clone());
        call_after_global(SECOND, move || {
            let cancelled = victim.take().is_some_and(|timer| timer.cancel());
            inner.tell(if cancelled { "cancelled" } else { "too late" });
        });
        *second.borrow_mut() = Some(call_after_global(SECOND, trace.telling("fired")));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["cancelled"]);
    });
}

#[test]
fn a_timer_is_spent_while_its_function_runs() {
    run(|| {
        let trace = Trace::new();
        let own = Rc::new(RefCell::new(None::<Timer>));
        let (theirs, inner) = (Rc::clone(&own), trace.clone());
        let timer = call_after_global(SECOND, move || {
            let own = theirs.take().expect("the timer was put there");
            inner.tell((own.is_pending(), own.cancel()));
        });
        *own.borrow_mut() = Some(timer);
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [(false, false)]);
    });
}

#[test]
fn a_timer_armed_while_one_fires_waits_for_the_next_turn() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        call_after_global(SECOND, move || {
            let turn = hub::stats().turns;
            call_after_global(Duration::ZERO, move || inner.tell(hub::stats().turns - turn));
        });
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [1]);
    });
}

#[test]
fn a_local_timer_fires_while_its_thread_lives() {
    run(|| {
        let trace = Trace::new();
        let fires = trace.telling("fired");
        let setter = spawn(move || {
            call_after_local(SECOND, fires);
            sleep(2 * SECOND);
        });
        setter.join().unwrap();
        assert_eq!(trace.take(), ["fired"]);
    });
}

#[test]
fn a_local_timer_does_not_fire_if_its_thread_is_gone() {
    run(|| {
        let trace = Trace::new();
        let (fires, owned) = (trace.telling("fired"), trace.on_drop("dropped"));
        let setter = spawn(move || {
            call_after_local(SECOND, move || {
                drop(owned);
                fires();
            })
        });
        let timer = setter.join().unwrap();
        // It has the setter's stack and its place in the list.
        let heir = spawn(|| sleep(3 * SECOND));
        heir.join().unwrap();
        assert_eq!(trace.take(), ["dropped"]);
        assert!(!timer.is_pending());
    });
}

#[test]
fn a_global_timer_fires_although_its_thread_is_gone() {
    run(|| {
        let trace = Trace::new();
        let fires = trace.telling("fired");
        spawn(move || drop(call_after_global(SECOND, fires))).join().unwrap();
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["fired"]);
    });
}

#[test]
fn a_local_timer_of_the_root_fires() {
    run(|| {
        let trace = Trace::new();
        call_after_local(SECOND, trace.telling("fired"));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["fired"]);
    });
}

#[test]
fn a_timer_that_panics_does_not_stop_the_loop() {
    run(|| {
        let trace = Trace::new();
        call_after_global(SECOND, || panic!("in a timer"));
        call_after_global(SECOND, trace.telling("next"));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["next"]);
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_timer_may_spawn_threads_and_arm_timers() {
    run(|| {
        let trace = Trace::new();
        let (spawned, armed) = (trace.telling("spawned"), trace.telling("armed"));
        call_after_global(SECOND, move || {
            drop(spawn(move || {
                sleep(SECOND);
                spawned();
            }));
            call_after_global(2 * SECOND, armed);
        });
        sleep(5 * SECOND);
        assert_eq!(trace.take(), ["spawned", "armed"]);
    });
}

#[test]
fn what_a_cancelled_timer_owns_may_use_the_hub_as_it_is_dropped() {
    struct ArmsOnDrop(Trace);
    impl Drop for ArmsOnDrop {
        fn drop(&mut self) {
            call_after_global(SECOND, self.0.telling("armed by a destructor"));
            yield_now();
        }
    }
    run(|| {
        let trace = Trace::new();
        let arms = ArmsOnDrop(trace.clone());
        call_after_global(SECOND, move || drop(arms)).cancel();
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["armed by a destructor"]);
    });
}

#[test]
fn a_timer_without_end_can_be_taken_back() {
    run(|| {
        let timer = call_after_global(Duration::MAX, || unreachable!("the end of time"));
        sleep(1000 * SECOND);
        assert!(timer.cancel());
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn many_timers_come_and_go() {
    run(|| {
        let trace = Trace::new();
        let timers: Vec<_> = (0..10_000u32)
            .map(|n| call_after_global(SECOND * (n % 100), trace.telling(n)))
            .collect();
        for timer in timers.iter().skip(1).step_by(2) {
            assert!(timer.cancel());
        }
        assert_eq!(hub::stats().timers, 5_000);
        sleep(100 * SECOND);
        let mut expected: Vec<u32> = (0..10_000).step_by(2).collect();
        expected.sort_by_key(|n| n % 100);
        assert_eq!(trace.take(), expected);
        assert_eq!(hub::stats().timers, 0);
    });
}
