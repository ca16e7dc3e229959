//! Whether a handler of a signal may be what runs here.
//!
//! While it runs, the kernel blocks its signal; so it shows in the signals that the OS thread blocks beyond those that
//! it usually does. Those are asked for where no handler is: when the hub is made, and in its loop. Knows no handlers.
//!
//! # Safety
//!
//! The C library writes the set of blocked signals to where it is told to; reading it changes nothing.

#![allow(unsafe_code)]

use std::{cell::Cell, mem, ptr};

/// The signals that the hub's OS thread blocks when no handler runs.
#[derive(Debug)]
pub(crate) struct Blocked {
    usual: Cell<u64>,
    is_doubtful: Cell<bool>,
}

impl Blocked {
    /// What is blocked where the hub is made is usual too.
    pub(crate) fn new() -> Blocked {
        Blocked { usual: Cell::new(blocked()), is_doubtful: Cell::new(false) }
    }

    /// True if more are blocked than usual: then this is a handler, or a part of the program that does not want
    /// to be disturbed either. Costs a system call.
    #[cold]
    pub(crate) fn are_more_than_usual(&self) -> bool {
        let is_more = blocked() & !self.usual.get() != 0;
        if is_more {
            self.is_doubtful.set(true);
        }
        is_more
    }

    /// To be called in the loop: what is blocked there is usual.
    #[inline]
    pub(crate) fn settle(&self) {
        if self.is_doubtful.replace(false) {
            self.usual.set(blocked());
        }
    }
}

/// A bit for each signal.
#[cold]
fn blocked() -> u64 {
    // SAFETY: a set is made of words, for which all zeroes is a value. The first has all signals that
    // Linux knows. Nothing is changed, since no other set is given.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set);
        (&raw const set).cast::<u64>().read()
    }
}
