//! What can go wrong with a wait for an fd, in words a user can act on.
//!
//! Knows no calls: it only turns what the hub said into errors.

use std::{error, fmt, io, os::fd::RawFd};

use greenroom_hub::{self as hub, Interest};

use crate::thread::{Waiter, current};

/// Why nobody may wait for an fd.
#[derive(Debug)]
pub struct ListenError {
    kind: io::ErrorKind,
    message: Box<str>,
    os: Option<i32>,
}

impl ListenError {
    pub(crate) fn new(error: hub::ListenError<Waiter>, who: &dyn fmt::Display) -> ListenError {
        match error {
            hub::ListenError::Busy { fd, interest, holder } => ListenError {
                kind: io::ErrorKind::ResourceBusy,
                message: format!(
                    "{who} cannot wait to {interest} fd {fd}: {holder} already does; \
                     hub::allow_multiple_waiters(true) would let them queue"
                )
                .into(),
                os: None,
            },
            hub::ListenError::Closed => ListenError {
                kind: io::ErrorKind::NotConnected,
                message: format!("{who} cannot wait: the fd was closed").into(),
                os: None,
            },
            hub::ListenError::Io(error) => ListenError {
                kind: error.kind(),
                message: format!("{who} cannot wait: {error}").into(),
                os: error.raw_os_error(),
            },
        }
    }

    /// The error of whoever runs now.
    pub(crate) fn of_current(error: hub::ListenError<Waiter>) -> ListenError {
        ListenError::new(error, &current())
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for ListenError {}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> io::Error {
        match error.os {
            Some(code) => io::Error::from_raw_os_error(code),
            None if error.kind == io::ErrorKind::NotConnected => {
                io::Error::new(error.kind, Closed { message: error.message })
            }
            None => io::Error::new(error.kind, error),
        }
    }
}

/// The fd was closed, or means another file, while somebody waited for it.
#[derive(Debug)]
struct Closed {
    message: Box<str>,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Closed {}

/// True if a wait failed because its fd was closed or reopened meanwhile. Costs nothing but a look
/// at the error's type.
///
/// ```
/// use std::{io::{Error, ErrorKind}, os::{fd::AsRawFd, unix::net::UnixStream}};
/// use greenroom::{hub, io::{Interest, is_closed, trampoline}};
///
/// let (here, _there) = UnixStream::pair()?;
/// let number = here.as_raw_fd();
/// let waiter = greenroom::spawn(move || trampoline(&here, Interest::Read, None));
/// greenroom::yield_now();
/// hub::notify_close(number);
/// assert!(is_closed(&waiter.join().unwrap().unwrap_err()));
/// assert!(!is_closed(&Error::from(ErrorKind::NotConnected)));
/// # Ok::<(), Error>(())
/// ```
pub fn is_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn error::Error + Send + Sync>::is::<Closed>)
}

#[cold]
pub(crate) fn closed(fd: RawFd, interest: Interest) -> io::Error {
    let who = current();
    let message = format!("fd {fd} was closed while {who} waited to {interest} it").into();
    io::Error::new(io::ErrorKind::NotConnected, Closed { message })
}

#[cold]
pub(crate) fn timed_out(interest: Interest) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the {interest} timed out"))
}
