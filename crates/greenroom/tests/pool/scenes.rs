//! Where pools are used: in callbacks, in destructors, on threads that are thrown out of waits.
//!
//! Knows nothing of pools.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom::{hub, sleep};

pub(crate) use crate::trace::Trace;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How many are inside of something at once. A clone is the same count.
#[derive(Clone, Default)]
pub(crate) struct Inside(Rc<(Cell<usize>, Cell<usize>)>);

impl Inside {
    /// One more, until what is returned is dropped.
    pub(crate) fn enter(&self) -> Entered {
        let (now, peak) = &*self.0;
        now.set(now.get() + 1);
        peak.set(peak.get().max(now.get()));
        Entered(self.clone())
    }

    pub(crate) fn now(&self) -> usize {
        self.0.0.get()
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.1.get()
    }
}

/// Made by [`Inside::enter`].
pub(crate) struct Entered(Inside);

impl Drop for Entered {
    fn drop(&mut self) {
        let now = &self.0.0.0;
        now.set(now.get() - 1);
    }
}

/// Calls a function as it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What `f` panics with, as text.
#[track_caller]
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    text(&*payload)
}

pub(crate) fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("panics carry texts here")
}

/// Calls `f` in a hub callback, a second from now.
pub(crate) fn in_callback<R: 'static>(f: impl FnOnce() -> R + 'static) -> R {
    let result = Rc::new(RefCell::new(None));
    let theirs = Rc::clone(&result);
    hub::call_after_global(SECOND, move || {
        theirs.replace(Some(f()));
    });
    sleep(2 * SECOND);
    result.take().expect("the callback was called")
}

/// Calls `f` in a destructor that runs because of a panic. To fail in there would end the process,
/// so whoever wants to know asks afterwards.
pub(crate) fn in_destructor<R>(f: impl FnOnce() -> R) -> R {
    let result = RefCell::new(None);
    let f = Cell::new(Some(f));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _scene = OnDrop(|| {
            result.replace(f.take().map(|f| f()));
        });
        panic!("the scene begins");
    }));
    assert_eq!(text(&*outcome.unwrap_err()), "the scene begins");
    result.take().expect("the scene was played")
}

/// Nothing is left registered with the hub, and nobody alive.
#[track_caller]
pub(crate) fn assert_nothing_left() {
    let stats = hub::stats();
    let left = (stats.threads, stats.timers, stats.listeners, stats.expected, stats.ready);
    assert_eq!(left, (0, 0, 0, 0, 0));
}
