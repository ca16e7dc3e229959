//! What happened in which order, as those who were there have told.
//!
//! Knows nothing of who tells.

use std::{cell::RefCell, os::fd::RawFd, rc::Rc};

/// A list that threads of one hub write to. A clone is the same list.
#[derive(Clone)]
pub(crate) struct Trace<T = &'static str>(Rc<RefCell<Vec<T>>>);

impl<T> Trace<T> {
    pub(crate) fn new() -> Trace<T> {
        Trace(Rc::default())
    }

    pub(crate) fn tell(&self, what: T) {
        self.0.borrow_mut().push(what);
    }

    /// All that was told since this was last asked.
    pub(crate) fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T: Clone + 'static> Trace<T> {
    /// A closure that tells `what` each time it is called.
    pub(crate) fn telling(&self, what: T) -> impl Fn() + 'static {
        let trace = self.clone();
        move || trace.tell(what.clone())
    }

    /// A value that tells `what` when it is dropped.
    pub(crate) fn on_drop(&self, what: T) -> TellsDrop<T> {
        TellsDrop(self.clone(), Some(what))
    }
}

/// Made by [`Trace::on_drop`].
pub(crate) struct TellsDrop<T>(Trace<T>, Option<T>);

impl<T> Drop for TellsDrop<T> {
    fn drop(&mut self) {
        self.0.tell(self.1.take().expect("a value is dropped once"));
    }
}

/// A listener's function that owns something and does nothing.
pub(crate) fn owning<T: 'static>(owned: T) -> impl FnMut(RawFd) + 'static {
    move |_| {
        let _owned = &owned;
    }
}
