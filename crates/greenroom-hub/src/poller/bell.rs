//! How another OS thread wakes a hub that sleeps in its poller: an eventfd.
//!
//! Carries no message: the mailbox does.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::event::{EventfdFlags, eventfd};

use super::descriptor::Owned;

#[derive(Debug)]
pub(crate) struct Bell(Owned);

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?.into()))
    }

    pub(crate) fn ring(&self) {
        // The one way to fail is EAGAIN at 2^64 - 2 unheard rings: it rings already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub(crate) fn mute(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
