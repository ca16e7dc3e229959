//! Who has what only one may have at a time.
//!
//! Knows threads by their ids. Keeps no order and waits for nothing.

use std::fmt;

use greenroom_fiber::Fiber;

use crate::{
    hub::local::existing,
    thread::{Control, ThreadId, describe},
};

/// Who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
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
    pub(crate) fn me() -> Holder {
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
    pub(crate) fn refuse_me(self, wish: &str) {
        if let Holder::Thread(_) = self
            && self == Holder::me()
        {
            let thread = crate::thread::current();
            panic!("deadlock: {thread} {wish}, so it would wait for itself");
        }
    }
}

/// Who keeps those waiting who want a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holders {
    One(Holder),
    /// So many who read, of whom nothing is known but their number.
    Readers(usize),
}

impl Holders {
    /// Says who that is, given all green threads that are alive, by their ids.
    pub(crate) fn describe(self, alive: &[Fiber<Control>], f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Holders::One(Holder::Nobody) => f.write_str("nobody"),
            Holders::One(Holder::Called) => f.write_str("one who was called and has not run since"),
            Holders::One(Holder::Callback) => f.write_str("a hub callback"),
            Holders::One(Holder::Thread(ThreadId(0))) => f.write_str("the root"),
            Holders::One(Holder::Thread(id)) => {
                match alive.binary_search_by_key(&id.0, Fiber::id) {
                    Ok(found) => describe(&alive[found], f),
                    // Its guard was moved to another thread, or forgotten.
                    Err(_) => write!(f, "green thread {id}, which has ended"),
                }
            }
            Holders::Readers(1) => f.write_str("1 reader"),
            Holders::Readers(count) => write!(f, "{count} readers"),
        }
    }
}
