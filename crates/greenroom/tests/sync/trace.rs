//! What happened in which order, as those who were there have told.
//!
//! Knows nothing of who tells.

use std::{cell::RefCell, rc::Rc};

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
