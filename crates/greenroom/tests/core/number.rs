//! An fd by its number: what a foreign library would wait for.
//!
//! Knows nothing of who owns it.
//!
//! # Safety
//!
//! A borrow by number may outlive its file. The tests only wait for such an fd, never read or write
//! it; a wait for a number that is closed or means another file by now is what they are about.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, RawFd};

#[derive(Clone, Copy)]
pub(crate) struct Number(pub(crate) RawFd);

impl AsFd for Number {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: not -1, for it was an open file's; see the head of this file.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}
