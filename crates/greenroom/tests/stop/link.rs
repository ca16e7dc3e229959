//! Functions linked to the end of a thread.

use std::time::Duration;

use greenroom::{
    JoinHandle, hub, sleep, spawn, spawn_after,
    testing::run,
    thread::{self, End},
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn each_way_to_end_is_told() {
    type Make = fn() -> JoinHandle<()>;
    let ways: [(End, Make); 6] = [
        (End::Returned, || spawn(|| ())),
        (End::Panicked, || spawn(|| panic!("at once"))),
        (End::Killed, || {
            let thread = spawn(|| sleep(SECOND));
            yield_now();
            thread.kill();
            thread
        }),
        (End::Killed, || {
            let thread = spawn(|| ());
            thread.kill();
            thread
        }),
        (End::Cancelled, || {
            let thread = spawn(|| ());
            thread.cancel();
            thread
        }),
        (End::Cancelled, || {
            let thread = spawn_after(SECOND, || ());
            thread.cancel();
            thread
        }),
    ];
    for (end, make) in ways {
        run(move || {
            let trace = Trace::new();
            let thread = make();
            let (id, inner) = (thread.thread().id(), trace.clone());
            thread.link(move |thread, end| inner.tell((thread.id(), end)));
            assert!(trace.take().is_empty());
            drop(thread.join());
            assert_eq!(trace.take(), [(id, end)]);
        });
    }
}

#[test]
fn links_run_in_their_order_before_those_who_join_go_on() {
    run(|| {
        let trace = Trace::new();
        let thread = spawn(|| ());
        for word in ["first", "second"] {
            let inner = trace.clone();
            thread.link(move |_, _| {
                sleep(SECOND);
                inner.tell(word);
            });
        }
        thread.join().unwrap();
        assert_eq!(trace.take(), ["first", "second"]);
    });
}

#[test]
fn a_link_runs_on_the_thread_it_is_linked_to() {
    run(|| {
        let thread = spawn(|| ());
        let id = thread.thread().id();
        thread.link(move |thread, _| assert_eq!((thread.id(), thread::current().id()), (id, id)));
        thread.join().unwrap();
    });
}

#[test]
fn linked_to_one_that_has_ended_it_is_called_at_once() {
    run(|| {
        let trace = Trace::new();
        let thread = spawn(|| ());
        yield_now();
        let inner = trace.clone();
        let link = thread.link(move |_, end| inner.tell(end));
        assert_eq!(trace.take(), [End::Returned]);
        assert!(!thread.unlink(link));
    });
}

#[test]
fn what_is_unlinked_is_dropped_uncalled_and_the_others_are_called() {
    run(|| {
        let trace = Trace::new();
        let thread = spawn(|| ());
        let other = spawn(|| ());
        let bomb = trace.on_drop("dropped");
        let taken = thread.link(move |_, _| {
            let _bomb = bomb;
            unreachable!("it was unlinked");
        });
        let inner = trace.clone();
        let kept = thread.link(move |_, _| inner.tell("kept"));
        assert!(!other.unlink(taken), "it belongs to another thread");
        assert!(thread.unlink(taken));
        assert!(!thread.unlink(taken));
        assert_eq!(trace.take(), ["dropped"]);
        let handle = thread.thread();
        thread.join().unwrap();
        assert_eq!(trace.take(), ["kept"]);
        assert!(!handle.unlink(kept));
    });
}

#[test]
fn one_that_panics_keeps_none_from_being_called() {
    run(|| {
        let trace = Trace::new();
        let thread = spawn(|| 1);
        thread.link(|_, _| panic!("in a link"));
        let inner = trace.clone();
        thread.link(move |_, end| inner.tell(end));
        assert_eq!(thread.join().unwrap(), 1);
        assert_eq!(trace.take(), [End::Returned]);
    });
}

#[test]
fn a_link_of_one_that_was_killed_may_wait_and_be_killed_itself() {
    run(|| {
        let trace = Trace::new();
        let thread = spawn(|| sleep(Duration::MAX));
        let inner = trace.clone();
        thread.link(move |_, _| {
            sleep(SECOND);
            inner.tell("waited");
            sleep(Duration::MAX);
        });
        let inner = trace.clone();
        thread.link(move |_, end| inner.tell(if end == End::Killed { "the next" } else { "?" }));
        yield_now();
        thread.kill();
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["waited"]);
        assert!(!thread.is_finished());
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["the next"]);
    });
}

#[test]
fn a_link_may_link_another() {
    run(|| {
        let trace = Trace::new();
        let thread = spawn(|| ());
        let inner = trace.clone();
        thread.link(move |thread, _| {
            let innermost = inner.clone();
            thread.link(move |_, _| innermost.tell("second"));
            inner.tell("first");
        });
        thread.join().unwrap();
        assert_eq!(trace.take(), ["first", "second"]);
    });
}

#[test]
fn links_of_a_thread_that_ends_with_its_hub_are_called() {
    let trace = run(|| {
        let trace = Trace::new();
        let started = spawn(|| sleep(Duration::MAX));
        yield_now();
        let unborn = spawn(|| ());
        for thread in [started, unborn] {
            let inner = trace.clone();
            thread.link(move |_, end| inner.tell(end));
        }
        hub::abort();
        trace.take()
    });
    assert_eq!(trace, [End::Cancelled, End::Killed]);
}

#[test]
#[should_panic(expected = "nothing can be linked to the end of an OS thread's own stack")]
fn the_root_has_no_end_to_link_to() {
    run(|| thread::current().link(|_, _| ()));
}
