//! Why nobody listens: what a wait for an fd is refused with.
//!
//! Knows no sources and asks no kernel.

use std::{error, fmt, io, os::fd::RawFd};

use crate::Interest;

/// Why nobody listens.
#[derive(Debug)]
pub enum ListenError<W> {
    /// Another waiter listens already, and several are not allowed.
    Busy {
        /// The fd both want.
        fd: RawFd,
        /// The direction both want.
        interest: Interest,
        /// Who was first.
        holder: W,
    },
    /// The source was detached, or its fd was declared closed or reopened, or turned out to be.
    Closed,
    /// The kernel refused to watch the fd.
    Io(io::Error),
}

impl<W> fmt::Display for ListenError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Busy { fd, interest, .. } => {
                write!(f, "another waiter already waits to {interest} fd {fd}")
            }
            ListenError::Closed => f.write_str("the fd was closed"),
            ListenError::Io(error) => write!(f, "the kernel refused to watch the fd: {error}"),
        }
    }
}

impl<W: fmt::Debug> error::Error for ListenError<W> {}

impl<W> From<io::Error> for ListenError<W> {
    fn from(error: io::Error) -> Self {
        ListenError::Io(error)
    }
}
