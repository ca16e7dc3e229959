//! The rule that nothing may block in the midst of the loop, wherever code of others runs there.

use std::{
    any::Any,
    cell::Cell,
    io::Write,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Instant, hub,
    io::{Interest, trampoline},
    offload, sleep, sleep_until, spawn,
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::trace::{Trace, owning};

const SECOND: Duration = Duration::from_secs(1);
const RULE: &str = "a hub callback may not block";

/// Every call that blocks.
fn blocking_calls() -> Vec<(&'static str, fn())> {
    vec![
        ("sleep", || sleep(SECOND)),
        ("sleep of no time", || sleep(Duration::ZERO)),
        ("sleep_until", || sleep_until(Instant::now() + SECOND)),
        ("yield_now", yield_now),
        ("join", || drop(spawn(|| {}).join())),
        ("join_timeout", || drop(spawn(|| {}).join_timeout(SECOND))),
        ("trampoline", || {
            let (here, _there) = UnixStream::pair().unwrap();
            trampoline(&here, Interest::Read, None).unwrap();
        }),
        ("offload", || offload(|| {})),
        ("wait_all_parked", wait_all_parked),
    ]
}

/// What a call panics with.
fn refusal(call: impl FnOnce()) -> String {
    let payload: Box<dyn Any + Send> = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(()) => return "it returned".into(),
        Err(payload) => payload,
    };
    let text = payload.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| payload.downcast_ref::<&str>().copied().unwrap_or("?").into())
}

#[test]
fn no_call_blocks_in_a_timer() {
    run(|| {
        let trace = Trace::new();
        for (name, call) in blocking_calls() {
            let trace = trace.clone();
            hub::call_after_global(SECOND, move || trace.tell((name, refusal(call))));
        }
        sleep(2 * SECOND);
        let refusals = trace.take();
        assert_eq!(refusals.len(), blocking_calls().len());
        for (name, refusal) in refusals {
            assert!(refusal.starts_with(RULE), "{name}: {refusal}");
        }
    });
}

#[test]
fn no_call_blocks_in_a_listener() {
    run(|| {
        let trace = Trace::new();
        let (here, mut there) = UnixStream::pair().unwrap();
        let inner = trace.clone();
        let listener = hub::add(&here, Interest::Read, move |_| inner.tell(refusal(yield_now)));
        there.write_all(b"!").unwrap();
        let begin = hub::stats().turns;
        while hub::stats().turns < begin + 3 {
            yield_now();
        }
        listener.unwrap().remove();
        let refusals = trace.take();
        assert!(!refusals.is_empty());
        assert!(refusals.iter().all(|refusal| refusal.starts_with(RULE)), "{refusals:?}");
    });
}

/// Tells how a wait in its destructor went.
struct WaitsOnDrop(Trace<String>);

impl Drop for WaitsOnDrop {
    fn drop(&mut self) {
        self.0.tell(refusal(|| sleep(SECOND)));
    }
}

/// Something of a user's that the loop drops, for nobody else is left to: there is no waiting, and
/// the root's own wait goes on as if nothing had happened.
fn refused_where_the_loop_drops(leave_behind: impl FnOnce(WaitsOnDrop)) {
    let trace = Trace::new();
    leave_behind(WaitsOnDrop(trace.clone()));
    let begin = Instant::now();
    sleep(5 * SECOND);
    assert_eq!(begin.elapsed(), 5 * SECOND);
    let refusals = trace.take();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(refusals[0].starts_with(RULE), "{refusals:?}");
}

#[test]
fn what_a_thread_returned_before_it_was_detached_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            let handle = Rc::new(Cell::new(None));
            let theirs = Rc::clone(&handle);
            let returns = spawn(move || waits);
            returns.link(move |_, _| drop(theirs.take()));
            handle.set(Some(returns));
        });
    });
}

#[test]
fn what_a_detached_thread_panicked_with_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            // Only what is `Send` can be thrown, so the witness waits in a thread-local.
            thread_local! {
                static WAITS: std::cell::RefCell<Option<WaitsOnDrop>> =
                    const { std::cell::RefCell::new(None) };
            }
            struct Payload;
            impl Drop for Payload {
                fn drop(&mut self) {
                    drop(WAITS.take());
                }
            }
            WAITS.set(Some(waits));
            drop(spawn(|| panic_any(Payload)));
        });
    });
}

#[test]
fn what_an_orphaned_timer_owns_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            spawn(|| drop(hub::call_after_local(SECOND, move || drop(waits)))).join().unwrap();
        });
    });
}

#[test]
fn what_a_timer_owns_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            hub::call_after_global(SECOND, move || drop(waits));
        });
    });
}

#[test]
fn what_copies_of_a_timer_own_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            let timer = hub::Timer::new(SECOND, move || {
                let _owned = &waits;
            });
            assert!(timer.copy().is_some());
        });
    });
}

#[test]
fn what_a_listener_of_a_closed_fd_owns_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            let (here, _there) = UnixStream::pair().unwrap();
            hub::add(&here, Interest::Read, owning(waits)).unwrap();
            hub::notify_close(std::os::fd::AsRawFd::as_raw_fd(&here));
        });
    });
}

#[test]
fn what_a_listener_that_panics_owns_may_not_wait_as_it_is_dropped() {
    run(|| {
        refused_where_the_loop_drops(|waits| {
            let (here, mut there) = UnixStream::pair().unwrap();
            let panics = move |_| {
                let _owned = &waits;
                panic!("in a listener");
            };
            hub::add(&here, Interest::Read, panics).unwrap();
            there.write_all(b"!").unwrap();
            // Until it was called; then it is gone, and its fd may go too.
            while hub::stats().listeners > 0 {
                yield_now();
            }
        });
    });
}

#[test]
fn a_destructor_that_panics_in_the_loop_does_not_stop_it() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    run(|| {
        let trace = Trace::new();
        drop(spawn(|| PanicsOnDrop));
        let orphan = spawn(|| {
            let panics = PanicsOnDrop;
            drop(hub::call_after_local(SECOND, move || drop(panics)));
        });
        let (here, _there) = UnixStream::pair().unwrap();
        let panics = PanicsOnDrop;
        hub::add(&here, Interest::Read, owning(panics)).unwrap();
        hub::notify_close(std::os::fd::AsRawFd::as_raw_fd(&here));
        let panics = PanicsOnDrop;
        hub::Timer::new(SECOND, move || {
            let _owned = &panics;
        });
        // And what a panic carries.
        hub::call_after_global(SECOND, || panic_any(PanicsOnDrop));
        orphan.join().unwrap();
        hub::call_after_global(2 * SECOND, trace.telling("still fires"));
        sleep(3 * SECOND);
        assert_eq!(trace.take(), ["still fires"]);
    });
}
