//! Copies of timers: when they fire, what they share, and until when a timer can be copied.

use std::{cell::RefCell, rc::Rc, time::Duration};

use greenroom::{
    Instant,
    debug::dump,
    hub::{self, Timer, call_after_global, call_after_local},
    sleep, spawn,
    testing::run,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

/// Where a function finds its own timer.
type Own = Rc<RefCell<Option<Timer>>>;

/// A timer whose function is given the place in which the timer is kept.
fn timer_that_knows_itself(delay: Duration, f: impl Fn(&Own) + 'static) -> Own {
    let own = Own::default();
    let theirs = Rc::clone(&own);
    own.replace(Some(Timer::new(delay, move || f(&theirs))));
    own
}

#[test]
fn a_copy_fires_by_itself_after_the_same_delay_counted_from_its_making() {
    run(|| {
        let trace = Trace::new();
        let (begin, inner) = (Instant::now(), trace.clone());
        let timer = Timer::new(3 * SECOND, move || inner.tell(begin.elapsed()));
        sleep(SECOND);
        let copy = timer.copy().unwrap();
        sleep(SECOND);
        let copy_of_copy = copy.copy().unwrap();
        assert_eq!(hub::stats().timers, 3);
        sleep(5 * SECOND);
        assert_eq!(trace.take(), [3 * SECOND, 4 * SECOND, 5 * SECOND]);
        assert!(!timer.is_pending() && !copy.is_pending() && !copy_of_copy.is_pending());
    });
}

#[test]
fn a_copy_made_at_once_fires_after_its_timer() {
    run(|| {
        let trace = Trace::new();
        let timer = Timer::new(SECOND, trace.telling("both"));
        call_after_global(SECOND, trace.telling("between"));
        assert!(timer.copy().is_some());
        sleep(SECOND);
        assert_eq!(trace.take(), ["both", "between", "both"]);
    });
}

#[test]
fn cancelling_one_leaves_the_others() {
    run(|| {
        let trace = Trace::new();
        let timer = Timer::new(SECOND, trace.telling("fired"));
        let (first, second) = (timer.copy().unwrap(), timer.copy().unwrap());
        assert!(timer.cancel() && second.cancel());
        assert!(!timer.cancel());
        assert!(first.is_pending());
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["fired"]);
    });
}

#[test]
fn a_timer_that_fired_cannot_be_copied() {
    run(|| {
        let timer = Timer::new(SECOND, || {});
        sleep(2 * SECOND);
        assert!(timer.copy().is_none());
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn a_timer_that_was_cancelled_cannot_be_copied() {
    run(|| {
        let timer = Timer::new(SECOND, || {});
        let copy = timer.copy().unwrap();
        assert!(timer.cancel());
        assert!(timer.copy().is_none());
        assert!(copy.copy().is_some());
    });
}

#[test]
fn a_timer_whose_function_can_be_called_only_once_cannot_be_copied() {
    run(|| {
        for timer in [call_after_global(SECOND, || {}), call_after_local(SECOND, || {})] {
            assert!(timer.copy().is_none());
            assert!(timer.is_pending());
        }
    });
}

#[test]
fn a_timer_that_is_due_can_be_copied_until_it_is_called() {
    run(|| {
        let trace = Trace::new();
        let due = Rc::new(RefCell::new(None::<Timer>));
        let theirs = Rc::clone(&due);
        call_after_global(SECOND, move || drop(theirs.take().and_then(|timer| timer.copy())));
        let (begin, inner) = (Instant::now(), trace.clone());
        due.replace(Some(Timer::new(SECOND, move || inner.tell(begin.elapsed()))));
        sleep(3 * SECOND);
        assert_eq!(trace.take(), [SECOND, 2 * SECOND]);
    });
}

#[test]
fn what_the_function_owns_is_dropped_when_the_last_copy_has_fired() {
    run(|| {
        let trace = Trace::new();
        let (inner, owned) = (trace.clone(), trace.on_drop("dropped"));
        let timer = Timer::new(SECOND, move || {
            let _owned = &owned;
            inner.tell("fired");
        });
        assert!(timer.copy().is_some());
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["fired", "fired", "dropped"]);
        drop(timer);
    });
}

#[test]
fn what_the_function_owns_is_dropped_when_the_last_copy_is_cancelled() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("dropped");
        let timer = Timer::new(SECOND, move || {
            let _owned = &owned;
        });
        let copy = timer.copy().unwrap();
        timer.cancel();
        assert_eq!(trace.take(), [""; 0]);
        copy.cancel();
        assert_eq!((trace.take(), hub::stats().timers), (vec!["dropped"], 0));
    });
}

#[test]
fn a_chain_of_copies_is_a_periodic_timer() {
    run(|| {
        let trace = Trace::new();
        let (begin, inner) = (Instant::now(), trace.clone());
        let owned = Rc::new(());
        let theirs = Rc::clone(&owned);
        let pending = timer_that_knows_itself(SECOND, move |own| {
            inner.tell((begin.elapsed().as_secs(), Rc::strong_count(&theirs)));
            let next = own.borrow().as_ref().and_then(Timer::copy);
            own.replace(next);
        });
        sleep(3 * SECOND + SECOND / 2);
        assert_eq!(trace.take(), [(1, 2), (2, 2), (3, 2)]);
        assert_eq!(hub::stats().timers, 1);
        assert!(pending.take().unwrap().cancel());
        sleep(3 * SECOND);
        assert_eq!(trace.take(), []);
        assert_eq!(Rc::strong_count(&owned), 1);
    });
}

#[test]
fn a_chain_without_delay_starves_nobody() {
    run(|| {
        let pending = timer_that_knows_itself(Duration::ZERO, |own| {
            let next = own.borrow().as_ref().and_then(Timer::copy);
            own.replace(next);
        });
        let turns = hub::stats().turns;
        for n in 0..10 {
            assert_eq!(spawn(move || n).join().unwrap(), n);
        }
        while hub::stats().turns < turns + 20 {
            greenroom::yield_now();
        }
        assert!(pending.take().unwrap().cancel());
    });
}

#[test]
fn a_function_that_cancels_its_own_timer_cannot_be_copied() {
    run(|| {
        let trace = Trace::new();
        let (inner, owned) = (trace.clone(), trace.on_drop("dropped"));
        let pending = timer_that_knows_itself(SECOND, move |own| {
            let _owned = &owned;
            let timer = own.take().unwrap();
            assert!(!timer.is_pending() && !timer.cancel());
            inner.tell(if timer.copy().is_none() { "none" } else { "copied" });
        });
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["none", "dropped"]);
        assert!(pending.borrow().is_none());
    });
}

#[test]
fn a_function_that_panics_is_still_that_of_its_copies() {
    run(|| {
        let trace = Trace::new();
        let (inner, owned) = (trace.clone(), trace.on_drop("dropped"));
        let timer = Timer::new(SECOND, move || {
            let _owned = &owned;
            inner.tell("called");
            panic!("in a timer");
        });
        sleep(SECOND / 2);
        let copy = timer.copy().unwrap();
        sleep(SECOND / 2);
        assert_eq!(trace.take(), ["called"]);
        assert!(timer.copy().is_none() && copy.is_pending());
        sleep(SECOND);
        assert_eq!(trace.take(), ["called", "dropped"]);
    });
}

#[test]
fn a_copy_has_the_owner_of_its_timer() {
    run(|| {
        for (owner_lives, times) in [(5 * SECOND, 2), (SECOND, 0)] {
            let trace = Trace::new();
            let fires = trace.telling("fired");
            let (own, theirs) = (Own::default(), Own::default());
            let place = Rc::clone(&own);
            let owner = spawn(move || {
                place.replace(Some(Timer::new_local(2 * SECOND, fires)));
                sleep(owner_lives);
            });
            let copier = Rc::clone(&own);
            let place = Rc::clone(&theirs);
            let other = spawn(move || {
                place.replace(copier.borrow().as_ref().and_then(Timer::copy));
                sleep(5 * SECOND);
            });
            owner.join().unwrap();
            other.join().unwrap();
            assert_eq!(trace.take().len(), times, "an owner of {owner_lives:?}");
            assert!(!own.take().unwrap().is_pending() && !theirs.take().unwrap().is_pending());
        }
    });
}

#[test]
fn a_timer_of_new_is_nobodys() {
    run(|| {
        let trace = Trace::new();
        let fires = trace.telling("fired");
        let timer = spawn(move || Timer::new(SECOND, fires)).join().unwrap();
        assert!(timer.copy().is_some());
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["fired", "fired"]);
    });
}

#[test]
fn a_local_timer_and_its_copies_give_back_what_they_own_when_their_thread_is_gone() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("dropped");
        let setter = spawn(move || {
            Timer::new_local(SECOND, move || {
                let _owned = &owned;
            })
        });
        let timer = setter.join().unwrap();
        assert!(timer.copy().is_some());
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["dropped"]);
        assert!(timer.copy().is_none());
    });
}

#[test]
fn copies_are_ended_with_the_hub() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("dropped");
        let timer = Timer::new(SECOND, move || {
            let _owned = &owned;
        });
        let copy = timer.copy().unwrap();
        hub::abort();
        assert_eq!(trace.take(), ["dropped"]);
        assert!(!timer.is_pending() && !copy.is_pending() && copy.copy().is_none());
    });
}

#[test]
fn a_timer_is_named_by_where_it_was_armed_and_a_copy_by_where_it_was_copied() {
    run(|| {
        let timer = Timer::new(SECOND, || {});
        let copied = timer.copy();
        let copied_at = line!() - 1;
        let dump = dump();
        let places: Vec<_> = dump.timers.iter().map(|timer| timer.waiter.as_str()).collect();
        for (place, line) in places.iter().zip([copied_at - 1, copied_at]) {
            let expected = format!("a timer's function, armed at {}:{line}:", file!());
            assert!(place.starts_with(&expected), "{place}");
        }
        assert_eq!(places.len(), 2);
        drop(copied);
    });
}

#[test]
fn a_call_counts_once_however_it_is_armed() {
    run(|| {
        let calls = |arm: fn()| {
            let begin = hub::stats().switches;
            arm();
            sleep(2 * SECOND);
            hub::stats().switches - begin
        };
        assert_eq!(calls(|| drop(call_after_global(SECOND, || {}))), 1);
        assert_eq!(calls(|| drop(Timer::new(SECOND, || {}))), 1);
    });
}
