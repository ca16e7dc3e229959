//! Whether data may be half changed, since somebody was unwound who had it to change.
//!
//! Knows neither locks nor who has them. Its types of results are std's.

use std::{
    cell::Cell,
    sync::{LockResult, PoisonError},
    thread::panicking,
};

/// What says that data may be half changed.
pub(super) struct Poison(Cell<bool>);

/// Whether the stack was unwinding when data was taken: then it was taken in a destructor, and what unwinds it
/// does not come from what is done with the data.
pub(super) struct Taken {
    was_panicking: bool,
}

impl Poison {
    pub(super) const fn new() -> Poison {
        Poison(Cell::new(false))
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.get()
    }

    pub(super) fn clear(&self) {
        self.0.set(false);
    }

    /// `data`, or what it is reached by, as the result that says whether it is poisoned.
    #[inline]
    pub(super) fn result<G>(&self, data: G) -> LockResult<G> {
        if self.is_there() { Err(PoisonError::new(data)) } else { Ok(data) }
    }

    /// Whoever took the data to change it is done with it, or is being unwound.
    #[inline]
    pub(super) fn give_up(&self, taken: &Taken) {
        if !taken.was_panicking && panicking() {
            self.0.set(true);
        }
    }
}

impl Taken {
    #[inline]
    pub(super) fn here() -> Taken {
        Taken { was_panicking: panicking() }
    }
}
