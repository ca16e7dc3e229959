//! Runs a case on a plain OS thread and on a green thread, and compares what comes of it.
//!
//! Knows no calls.

use std::{
    cell::Cell,
    fmt::Debug,
    panic::resume_unwind,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

/// Whether others run while a case waits on a green thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Run,
    /// There is nothing to wait for, or nobody may run meanwhile.
    Wait,
}

/// Less than a case says that it would wait for what is going to come.
const CASE_TIME: Duration = Duration::from_secs(4);

/// Runs `case` twice, each time on an OS thread of its own. Returns what came of both.
#[track_caller]
pub(crate) fn same<T>(
    name: &str,
    others: Others,
    case: impl FnOnce() -> T + Copy + Send + 'static,
) -> T
where
    T: Debug + PartialEq + Send + 'static,
{
    let plain = on_os_thread(case);
    let (green, ran) = on_os_thread(move || on_green_thread(case));
    assert_eq!(green, plain, "{name}: on a green thread, and on an OS thread");
    assert_eq!(ran, others, "{name}: what others did meanwhile");
    plain
}

/// Runs `case` on a green thread only, on an OS thread of its own.
pub(crate) fn green<T: Send + 'static>(case: impl FnOnce() -> T + Send + 'static) -> T {
    on_os_thread(move || match greenroom::spawn(case).join() {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    })
}

/// So that no case can change signal masks, hubs or times of another.
fn on_os_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(f).join().unwrap_or_else(|payload| resume_unwind(payload))
}

fn on_green_thread<T: 'static>(case: impl FnOnce() -> T + 'static) -> (T, Others) {
    let ran = Rc::new(Cell::new(Others::Wait));
    let seen = Rc::clone(&ran);
    let first = greenroom::spawn(move || {
        let begin = Instant::now();
        let value = case();
        let took = begin.elapsed();
        assert!(took < CASE_TIME, "{took:?}: it came, but was found only when the time was over");
        (value, seen.get())
    });
    let other = greenroom::spawn(move || ran.set(Others::Run));
    let (value, others) = first.join().unwrap_or_else(|error| panic!("{error}"));
    other.join().unwrap();
    (value, others)
}
