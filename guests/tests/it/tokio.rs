//! `tokio`, a runtime of the current OS thread: what is inside `postgres` and others, at its smallest.

use std::time::Instant;

use greenroom_guests::{WAIT, measure};
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
    assert!((WAIT..WAIT * 10).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[test]
fn many_runtimes_wait_at_a_time_on_one_os_thread() {
    measure("`tokio` 1.54, a runtime for each thread", |number| {
        runtime().block_on(async {
            sleep(WAIT).await;
            let task = tokio::spawn(async move {
                sleep(WAIT / 100).await;
                number
            });
            task.await.expect("no panic")
        })
    });
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
