//! Waiting for fds.
//!
//! [`trampoline`] waits until any fd is ready. [`pipe`] makes a pipe, [`stdin`] reads standard
//! input, and [`GreenFd`] makes reads and writes of any pollable fd (a terminal, an eventfd) wait
//! greenly. Sockets are in [`net`](crate::net), files in [`fs`](crate::fs).
//!
//! All of them implement std's [`Read`](std::io::Read) and [`Write`](std::io::Write), so what std builds on
//! these works, and waits greenly:
//!
//! ```
//! use std::io::{self, BufRead, BufReader, Write};
//! use greenroom::io::pipe;
//!
//! let (first, mut input) = pipe()?;
//! let (output, mut second) = pipe()?;
//! greenroom::spawn(move || io::copy(&mut &first, &mut second).unwrap());
//! greenroom::spawn(move || input.write_all(b"one\ntwo\n").unwrap());
//! let lines: io::Result<Vec<String>> = BufReader::new(output).lines().collect();
//! assert_eq!(lines?, ["one", "two"]);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! `descriptor` holds the one loop that tries a call, waits where it would block, and tries again.
//! Knows no protocols and no addresses.

mod descriptor;
mod error;
mod fd;

mod pipe;
mod stdin;

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    thread::park::{self, Source},
    time::Instant,
};

pub(crate) use descriptor::Descriptor;
use descriptor::waited;
pub(crate) use descriptor::when_foreign_ready;
pub use error::{ListenError, is_closed};
pub(crate) use error::{closed, timed_out};
pub use fd::GreenFd;
pub use greenroom_hub::Interest;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use stdin::{Lines, Stdin, stdin};

/// How many parts of a buffer one call takes at most (`UIO_MAXIOV`): `readv` and `writev` are given
/// no more by rustix, `recvmsg` and `sendmsg` refuse more (`EMSGSIZE`).
pub(crate) const PARTS_MAX: usize = 1024;

/// Waits until `fd` is ready, and does nothing with it.
///
/// If it is ready now, this returns at once. The fd may be any that `poll` takes, and keeps the
/// mode it is in; set it non-blocking if what follows must not block. Being ready is no promise:
/// another reader may be faster. But nobody runs between the look at the fd that ends the wait and
/// the return, so one that was declared closed meanwhile is an error, also if it was ready first.
///
/// Costs two system calls where there is something to wait for, one where there is not. Who is
/// killed while waiting leaves nothing behind: no place at the fd, no timer.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) if `deadline` passes first;
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy), naming the fd and both waiters, if somebody waits
/// for the same fd and direction already; an error for which [`is_closed`] is true if the fd is
/// [declared closed](crate::hub::notify_close) meanwhile; what the kernel says if it is not open.
///
/// # Panics
///
/// In a hub callback, which may not wait.
///
/// # Examples
///
/// ```
/// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
/// use greenroom::{Instant, io::{Interest, trampoline}};
///
/// let (here, mut there) = UnixStream::pair()?;
/// let soon = Instant::now() + Duration::from_millis(1);
/// let late = trampoline(&here, Interest::Read, Some(soon)).unwrap_err();
/// assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
///
/// greenroom::spawn(move || there.write_all(b"!").unwrap());
/// trampoline(&here, Interest::Read, None)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn trampoline(fd: impl AsFd, interest: Interest, deadline: Option<Instant>) -> io::Result<()> {
    let fd = fd.as_fd();
    if is_ready(fd, interest, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
        return Ok(());
    }
    let number = fd.as_raw_fd();
    let deadline = deadline.map(Instant::on_hub);
    waited(park::until_ready(Source::Foreign(number), interest, deadline), fd, interest)
}

/// What the kernel says of an fd, after `timeout` at most.
pub(crate) fn is_ready(
    fd: impl AsFd,
    interest: Interest,
    timeout: Option<&Timespec>,
) -> io::Result<bool> {
    let flags = match interest {
        Interest::Read => PollFlags::IN | PollFlags::RDHUP,
        Interest::Write => PollFlags::OUT,
    };
    let mut question = [PollFd::new(&fd, flags)];
    match poll(&mut question, timeout) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) if question[0].revents().contains(PollFlags::NVAL) => {
            Err(rustix::io::Errno::BADF.into())
        }
        Ok(_) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the kernel says that nothing will come any more.
fn is_shut(fd: impl AsFd) -> bool {
    let mut question = [PollFd::new(&fd, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Interrupted or refused, it is taken for open: whoever asks waits and asks again.
    poll(&mut question, Some(&at_once)).is_ok() && question[0].revents().contains(PollFlags::RDHUP)
}
