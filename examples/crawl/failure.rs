//! Why a page could not be had, in kinds that can be counted.
//!
//! Leaves out what differs from page to page.

use std::{fmt, io};

use ureq::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The network failed, or the deadline passed.
    Io(io::ErrorKind),
    /// The answer ended before it was complete.
    Truncated,
    /// The answer is larger than a page may be.
    Oversized,
    /// What came is no answer of HTTP.
    Malformed,
    /// The server said anything but 200.
    Status(u16),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Io(error) => error.into(),
            Error::Timeout(_) => Failure::Io(io::ErrorKind::TimedOut),
            Error::HostNotFound => Failure::Io(io::ErrorKind::NotFound),
            Error::ConnectionFailed => Failure::Io(io::ErrorKind::ConnectionRefused),
            Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => Failure::Oversized,
            _ => Failure::Malformed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Failure::Truncated,
            // What one is told when the other side has gone depends on what one was about to do.
            io::ErrorKind::BrokenPipe => Failure::Io(io::ErrorKind::ConnectionReset),
            kind => Failure::Io(kind),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(kind) => kind.fmt(f),
            Failure::Truncated => f.write_str("truncated answer"),
            Failure::Oversized => f.write_str("oversized answer"),
            Failure::Malformed => f.write_str("malformed answer"),
            Failure::Status(status) => write!(f, "status {status}"),
        }
    }
}
