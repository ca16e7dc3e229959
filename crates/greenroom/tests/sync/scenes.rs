//! Places in which the library's rules are special: destructors during a panic or a kill, hub
//! callbacks, a root that can never go on.
//!
//! Plays a scene there and says what came of it. Knows nothing of what the scene is about.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom::{JoinHandle, hub, sleep, spawn, testing::wait_all_parked};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Calls a function as it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What `f` panics with.
#[track_caller]
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    panic_if_any(f).expect("it was to panic")
}

/// What `f` panics with, if it does.
pub(crate) fn panic_if_any<R>(f: impl FnOnce() -> R) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(f));
    outcome.err().map(|payload| text_of(&*payload))
}

fn text_of(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a panic is text")
}

/// Plays `scene` in a destructor that a panic runs, and checks that nobody else runs meanwhile.
#[track_caller]
pub(crate) fn in_a_panic<R>(scene: impl Fn() -> R) -> R {
    let ran = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&ran);
    let other = spawn(move || theirs.set(true));
    let result = RefCell::new(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _scene = OnDrop(|| {
            assert!(std::thread::panicking());
            let outcome = scene();
            result.replace(Some((outcome, ran.get())));
        });
        panic!("the scene begins");
    }));
    outcome.expect_err("the panic goes on after the scene");
    other.join().unwrap();
    let (outcome, has_run) = result.take().expect("the scene was played");
    assert!(!has_run, "somebody ran in the middle of a panic");
    outcome
}

/// Plays `scene` in a destructor that a kill runs.
#[track_caller]
pub(crate) fn in_a_kill<R: 'static>(scene: impl Fn() -> R + 'static) -> R {
    let result = Rc::new(RefCell::new(None));
    let theirs = Rc::clone(&result);
    let victim = spawn(move || {
        let _scene = OnDrop(|| {
            theirs.replace(Some(scene()));
        });
        sleep(Duration::MAX);
    });
    wait_all_parked();
    victim.kill();
    assert!(victim.join().unwrap_err().is_killed());
    result.take().expect("the scene was played")
}

/// Plays `scene` in a hub callback.
#[track_caller]
pub(crate) fn in_a_callback<R: 'static>(scene: impl FnOnce() -> R + 'static) -> R {
    let result = Rc::new(RefCell::new(None));
    let theirs = Rc::clone(&result);
    hub::call_after_global(Duration::ZERO, move || {
        theirs.replace(Some(scene()));
    });
    wait_all_parked();
    result.take().expect("the scene was played")
}

/// Waits for all of them to return.
#[track_caller]
pub(crate) fn join_all<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Checks that no thread is alive, and nothing armed or ready.
#[track_caller]
pub(crate) fn assert_nothing_left() {
    wait_all_parked();
    let stats = hub::stats();
    let left = (stats.threads, stats.timers, stats.listeners, stats.expected, stats.ready);
    assert_eq!(left, (0, 0, 0, 0, 0), "threads, timers, listeners, expected, ready");
}
