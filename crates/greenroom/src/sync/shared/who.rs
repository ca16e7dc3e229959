//! Who runs now, among the threads of all hubs.
//!
//! Makes no hub, and works at the very end of an OS thread as well. Knows nothing of what anybody
//! has.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::thread::holder::Holder;

/// An OS thread, by a number that is its own for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OsThread(u64);

impl OsThread {
    // Std's `ThreadId` is not to be had once the OS thread's locals are being destroyed.
    pub(super) fn here() -> OsThread {
        thread_local! {
            static NUMBER: Cell<u64> = const { Cell::new(0) };
        }
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        if NUMBER.get() == 0 {
            NUMBER.set(NUMBERS.fetch_add(1, Ordering::Relaxed));
        }
        OsThread(NUMBER.get())
    }
}

/// A green thread, an OS thread's own stack, or a callback on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    os_thread: OsThread,
    on_it: Holder,
}

impl Who {
    pub(super) fn me() -> Who {
        Who { os_thread: OsThread::here(), on_it: Holder::me() }
    }

    /// Refuses to have a thread wait for itself.
    ///
    /// # Panics
    ///
    /// If this is whoever runs.
    #[track_caller]
    pub(super) fn refuse_me(self, wish: &str) {
        if self.os_thread == OsThread::here() {
            self.on_it.refuse_me(wish);
        }
    }
}
