//! Who has what only one may have at a time.
//!
//! Knows threads by their ids. Keeps no order and waits for nothing.

use greenroom_fiber::Fiber;

use crate::{
    hub::local::existing,
    thread::{Control, ThreadId},
};

/// Who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// Whoever was called last, and has not run since.
    Called,
    Thread(ThreadId),
    /// A hub callback. All of them run on the root's stack, but are not the root.
    Callback,
}

impl Holder {
    /// Whoever runs now.
    #[inline]
    pub(super) fn me() -> Holder {
        match Fiber::<Control>::with_current(|fiber| fiber.map(Fiber::id)) {
            Some(id) => Holder::Thread(ThreadId(id)),
            None if existing().is_some_and(|local| local.in_callback.get()) => Holder::Callback,
            None => Holder::Thread(ThreadId(0)),
        }
    }

    /// Refuses to have a thread wait for itself.
    ///
    /// # Panics
    ///
    /// If whoever runs has it. Never in a callback: that one may not wait at all, and is told so.
    #[track_caller]
    pub(super) fn refuse_me(self, wish: &str) {
        if let Holder::Thread(_) = self
            && self == Holder::me()
        {
            let thread = crate::thread::current();
            panic!("deadlock: {thread} {wish}, so it would wait for itself");
        }
    }
}
