//! What a waiter owes the hub, and what the hub tells it.
//!
//! Knows no source of wake-ups: timers, listeners and the mailbox all speak to a waiter through
//! [`Waiter::settle`] alone.

use crate::Readiness;

/// Somebody who waits: a green thread, a callback, a greenlet.
///
/// A clone is the same waiter, so cloning must be cheap (a reference count, not a copy).
pub trait Waiter: Clone {
    /// Ends the current wait with `wake` as its reason.
    ///
    /// Returns true if this wake is the one that ends the wait; the hub then puts the waiter in
    /// the ready queue. One wait may be armed at several sources (an fd and a deadline): the first
    /// to speak wins, and every later one must be answered with false until the waiter waits
    /// again. That rule is why a waiter is never in the ready queue twice.
    ///
    /// Runs while the hub is borrowed: it must only note the reason. It must not call the hub,
    /// run user code or switch stacks. The same holds for `clone` and for the waiter's destructor:
    /// a wake that comes second may drop the last clone.
    fn settle(&self, wake: Wake) -> bool;

    /// Asks the processor for the memory that `settle`, and soon running the waiter, will touch.
    ///
    /// A hint; by default nothing. It pays where so many wait that their memory is not in the
    /// cache.
    #[inline]
    fn prefetch(&self) {}
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The deadline passed.
    Expired,
    /// The fd is ready, or looked so to the kernel a moment ago: try again, never trust.
    Ready(Readiness),
    /// The fd was closed, or its number now means another file.
    Closed,
    /// Somebody called for this waiter by name: another green thread, or another OS thread through
    /// the [`Mailbox`](crate::Mailbox).
    Called,
    /// The process forked, and the OS thread that should have called is not in this child.
    Orphaned,
}
