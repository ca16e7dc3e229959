//! What a thread is thrown out of its wait with: it was killed, or its time is over.
//!
//! Levels are counted from outside. The thread itself is the first; each
//! [`with_timeout`](crate::with_timeout) that it is in is one more. To be thrown to a level means that everything
//! inside of it is unwound. Knows neither timers nor who waits for what.
//!
//! A throw is an unwinding that passes through user code, and whoever catches it there is
//! thrown again at the next wait: else a thread that catches panics could not be killed.

use std::panic::resume_unwind;

use crate::thread::{Control, run};

/// How far a thread is thrown: the lower, the further out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u32);

impl Level {
    /// All the way: the thread ends.
    pub(crate) const THREAD: Level = Level(0);

    /// Not at all.
    pub(crate) const NONE: Level = Level(u32::MAX);

    /// Begins one more level in whoever has this control block.
    pub(crate) fn enter(control: &Control) -> Level {
        let level = control.levels.get();
        assert!(level < u32::MAX - 1, "timeouts are nested 4 billion deep");
        control.levels.set(level + 1);
        Level(level)
    }

    /// Ends it: whatever was to throw there is forgotten.
    pub(crate) fn leave(self, control: &Control) {
        debug_assert_eq!(control.levels.get(), self.0 + 1, "levels nest");
        control.levels.set(self.0);
        control.land(self);
    }
}

/// What is thrown. Never seen outside: it is caught where it is meant to arrive.
#[derive(Debug)]
pub(crate) struct Thrown(pub(crate) Level);

/// Throws whoever runs on this control block, if that was asked for.
#[inline]
pub(super) fn throw_if_asked(control: &Control) {
    if control.thrown() != Level::NONE && !control.holds_out.get() {
        throw(control);
    }
}

/// The thread never gets as far as stopping again, so whoever throws it cannot count.
#[cold]
fn throw(control: &Control) -> ! {
    if control.count_unwind() > run::UNWINDS_MAX {
        run::abort_for_running();
    }
    resume_unwind(Box::new(Thrown(control.thrown())));
}

/// Refuses what needs unwinding where there is none.
///
/// # Panics
///
/// Under `panic = "abort"`.
#[track_caller]
pub(crate) fn assert_can_unwind(what: &str) {
    assert!(
        !cfg!(panic = "abort"),
        "{what} unwinds a green thread, and this program was built with panic=abort, under which \
         nothing can be unwound; build it with panic=unwind, or give the calls themselves timeouts"
    );
}
