//! Fds by their numbers: those that are watched, and the hub's own.
//!
//! # Safety
//!
//! Listeners outlive the fds they watch: an fd may be closed, and its number reused, while the hub
//! still knows it. So the pollers speak of fds by number, as the kernel does, and this file is the
//! one place that turns a number into a borrow. The borrow is given to `epoll_ctl`, `poll` or
//! `fcntl(F_GETFD)` only. None of these reads or writes the file, and each answers a number that is
//! not open with `EBADF` or `POLLNVAL`; that a number may mean another file by now is what
//! generations in the tokens are for.
//!
//! The hub's own fds are owned here, and closed by number too, once, when their owner is dropped.
//! They are open as long as it lives, and so as long as it is borrowed; they may be read and written.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

/// A borrow of whatever `fd` means now, for asking about its readiness.
///
/// # Panics
///
/// If `fd` is negative, which no open fd is.
pub(super) fn by_number<'a>(fd: RawFd) -> BorrowedFd<'a> {
    assert!(fd >= 0, "{fd} is no fd: numbers of open files are not negative");
    // SAFETY: not -1, as asserted; either it is the hub's own and open, or what is asked of it
    // tolerates a closed or reused number, see the head of this file.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// True if `fd` means any file now.
pub(super) fn is_open(fd: RawFd) -> bool {
    fd >= 0 && rustix::io::fcntl_getfd(by_number(fd)).is_ok()
}

/// An fd of the hub's own.
///
/// An `OwnedFd` is closed by libc's `close`. Where that was made to tell the hub of what is closed,
/// it would find the hub in the middle of dropping this.
#[derive(Debug)]
pub(crate) struct Owned(RawFd);

impl From<OwnedFd> for Owned {
    fn from(fd: OwnedFd) -> Owned {
        Owned(fd.into_raw_fd())
    }
}

impl AsFd for Owned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        by_number(self.0)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it was given up to this value alone, and this is its end.
        unsafe { rustix::io::close(self.0) };
    }
}
