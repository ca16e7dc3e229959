//! `tokio`, a runtime of the current OS thread: what is inside `postgres` and others, at its smallest.
//!
//! `block_on` sets a flag in a thread-local of the OS thread and panics if it is set already. Green threads of an OS
//! thread share its thread-locals, so the second one that blocks on a future is refused, whatever it waits for.

use std::time::Instant;

use greenroom_guests::WAIT;
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_runtime_waits_greenly() {
    let begin = Instant::now();
    let waiter = greenroom::spawn(|| runtime().block_on(async { sleep(WAIT).await }));
    let siblings: Vec<_> = (0..10).map(|_| greenroom::spawn(|| std::thread::sleep(WAIT))).collect();
    waiter.join().expect("no panic");
    for sibling in siblings {
        sibling.join().expect("no panic");
    }
    assert!((WAIT..WAIT * 5).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[test]
fn two_runtimes_at_a_time_on_one_os_thread_are_refused() {
    let first = greenroom::spawn(|| runtime().block_on(async { sleep(WAIT).await }));
    let second = greenroom::spawn(|| runtime().block_on(async {}));
    first.join().expect("the first is not refused");
    let error = second.join().expect_err("the second is");
    assert!(error.to_string().contains("Cannot start a runtime from within a runtime"), "{error}");
}

#[test]
fn who_is_killed_in_a_runtime_with_nothing_but_time_to_wait_for_ends_by_a_panic_of_the_runtime() {
    let thread = greenroom::spawn(|| runtime().block_on(async { sleep(WAIT * 1000).await }));
    let sibling = greenroom::spawn(|| std::thread::sleep(WAIT));
    greenroom::yield_now();
    thread.kill();
    let error = thread.join().expect_err("it was killed");
    assert!(error.is_panic(), "{error}");
    assert!(error.to_string().contains("unexpected error when polling"), "{error}");
    sibling.join().expect("siblings go on");
}
