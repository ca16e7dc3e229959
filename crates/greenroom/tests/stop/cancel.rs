//! Cancelling: only those that have not started.

use std::{cell::Cell, rc::Rc, time::Duration};

use greenroom::{
    hub, sleep, spawn, spawn_after,
    testing::run,
    thread::{self, End},
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_that_has_not_started_is_dropped_unrun() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("dropped");
        let thread = spawn(move || {
            let _owned = owned;
            unreachable!("it was cancelled");
        });
        assert!(thread.cancel());
        let error = thread.join().unwrap_err();
        assert!(error.is_cancelled() && !error.is_killed());
        assert_eq!(error.to_string(), "the green thread was cancelled before it started");
        assert_eq!(trace.take(), ["dropped"]);
    });
}

#[test]
fn one_that_has_started_is_left_alone() {
    run(|| {
        let thread = spawn(|| {
            sleep(SECOND);
            3
        });
        yield_now();
        assert!(!thread.cancel());
        assert_eq!(thread.join().unwrap(), 3);
    });
}

#[test]
fn one_that_has_ended_and_the_root_are_left_alone() {
    run(|| {
        let thread = spawn(|| 3);
        yield_now();
        assert!(!thread.cancel());
        assert_eq!(thread.join().unwrap(), 3);
        assert!(!thread::current().cancel());
    });
}

#[test]
fn a_delayed_start_is_cancelled_with_its_timer() {
    run(|| {
        let thread = spawn_after(SECOND, || unreachable!("it was cancelled"));
        assert!(thread.cancel());
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn a_kill_stays_a_kill() {
    let orders: [fn(&greenroom::JoinHandle<()>); 2] = [
        |thread| assert!(thread.kill() && thread.cancel()),
        |thread| assert!(thread.cancel() && thread.cancel() && thread.kill()),
    ];
    let ends = orders.map(|order| {
        run(move || {
            let thread = spawn(|| ());
            order(&thread);
            let end = Rc::new(Cell::new(None));
            let seen = Rc::clone(&end);
            thread.link(move |_, how| seen.set(Some(how)));
            drop(thread.join());
            end.get().unwrap()
        })
    });
    // Cancelled first, it was cancelled: the kill found nothing more to do.
    assert_eq!(ends, [End::Killed, End::Cancelled]);
}
