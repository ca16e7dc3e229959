//! What the kernel says of an fd: what kind of file it is, and how its user wants to wait.
//!
//! Keeps nothing, so nothing goes stale. Never waits.
//!
//! # Safety
//!
//! An fd is borrowed by its number for the length of one system call, which tolerates any number, and writes
//! nowhere but to what is ours.

#![allow(unsafe_code)]

use std::{
    fs,
    os::fd::{BorrowedFd, RawFd},
    time::Duration,
};

use greenroom::io::Interest;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, OFlags, fcntl_getfl, fstat},
    io::ioctl_fionread,
    net::{
        AddressFamily, SocketType,
        sockopt::{
            Timeout, socket_acceptconn, socket_domain, socket_error, socket_passcred,
            socket_peercred, socket_timeout, socket_type,
        },
    },
    pipe::{PipeFlags, SpliceFlags, pipe_with, tee},
    process::getpid,
    termios::isatty,
};

use crate::raw::{Errno, Result};

/// A number as rustix takes it. Negative ones are nobody's.
fn borrow<'a>(fd: RawFd) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1; whether it is open the kernel is about to say, and nothing is kept.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Standard input, output and error are never waited for: std holds a lock of the OS thread meanwhile, which
/// its siblings would find taken, or worse, open.
pub(crate) fn is_standard(fd: RawFd) -> bool {
    (0..=2).contains(&fd)
}

/// Whether whoever waits for this fd keeps the OS thread: it is standard, or a terminal.
pub(crate) fn never_switches(fd: RawFd) -> bool {
    is_standard(fd) || borrow(fd).is_ok_and(isatty)
}

/// Whether a file can make anyone wait, and epoll can tell when it does not any more: pipes, sockets, and what
/// has no file type at all, such as an eventfd. Not so regular files; nor devices, among them
/// terminals and the sources of random numbers.
pub(crate) fn can_wait(fd: RawFd) -> bool {
    let Ok(stat) = borrow(fd).and_then(|fd| Ok(fstat(fd)?)) else { return false };
    let has_no_type = stat.st_mode & 0o170_000 == 0;
    has_no_type
        || matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
}

/// Whether it is a regular file, as those of `/proc` say of themselves.
pub(crate) fn is_regular(fd: RawFd) -> bool {
    let stat = borrow(fd).and_then(|fd| Ok(fstat(fd)?));
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

pub(crate) fn is_pipe(fd: RawFd) -> bool {
    let stat = borrow(fd).and_then(|fd| Ok(fstat(fd)?));
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Whether one can be read, the other can be written, and they are not one and the same pipe.
pub(crate) fn lead_on(from: RawFd, to: RawFd) -> bool {
    let mode = |fd| borrow(fd).and_then(|fd| Ok(fcntl_getfl(fd)? & OFlags::ACCMODE));
    let file = |fd| borrow(fd).and_then(|fd| Ok(fstat(fd)?)).map(|stat| (stat.st_dev, stat.st_ino));
    let is_allowed = mode(from).is_ok_and(|mode| mode != OFlags::WRONLY)
        && mode(to).is_ok_and(|mode| mode != OFlags::RDONLY);
    is_allowed && file(from) != file(to)
}

/// Whether the number means a file.
pub(crate) fn is_open(fd: RawFd) -> bool {
    borrow(fd).is_ok_and(|fd| rustix::io::fcntl_getfd(fd).is_ok())
}

/// Whether the user wants to hear "would block".
pub(crate) fn is_nonblocking(fd: RawFd) -> Result<bool> {
    Ok(fcntl_getfl(borrow(fd)?)?.contains(OFlags::NONBLOCK))
}

/// How long a call in this direction may wait: what the user set by `SO_RCVTIMEO` or `SO_SNDTIMEO`.
/// `None` is for ever, and for all that is no socket.
pub(crate) fn timeout(fd: RawFd, interest: Interest) -> Option<Duration> {
    let which = match interest {
        Interest::Read => Timeout::Recv,
        Interest::Write => Timeout::Send,
    };
    socket_timeout(borrow(fd).ok()?, which).ok().flatten()
}

/// Whether connections can be accepted from it.
pub(crate) fn is_listening(fd: RawFd) -> bool {
    borrow(fd).and_then(|fd| Ok(socket_acceptconn(fd)?)) == Ok(true)
}

/// Whether bytes of one write may be read by several reads.
pub(crate) fn is_stream(fd: RawFd) -> bool {
    let kind = borrow(fd).and_then(|fd| Ok(socket_type(fd)?));
    kind == Ok(SocketType::STREAM)
}

/// Whether a connection may have to be waited for, and how that ended is told to a call that does not wait.
pub(crate) fn can_connect_later(fd: RawFd) -> bool {
    let kind = borrow(fd).and_then(|fd| Ok((socket_type(fd)?, socket_domain(fd)?)));
    kind.is_ok_and(|(kind, domain)| {
        let is_connected_at_once = matches!(kind, SocketType::DGRAM | SocketType::RAW);
        !is_connected_at_once && domain != AddressFamily::VSOCK
    })
}

/// Whether its receiver is told who wrote the bytes; then those of several writers are not given at once.
pub(crate) fn tells_writers(fd: RawFd) -> bool {
    borrow(fd).and_then(|fd| Ok(socket_passcred(fd)?)) == Ok(true)
}

/// Whether the next byte of a stream is one before which a receive stops that has some already.
pub(crate) fn is_at_mark(fd: RawFd) -> bool {
    let mut is_at_mark: libc::c_int = 0;
    // SAFETY: the answer is written to what is ours.
    let asked = unsafe { syscall!(SYS_ioctl, fd, SIOCATMARK, &raw mut is_at_mark) };
    asked.is_ok() && is_at_mark != 0
}

/// As the kernel has it on all of its newer architectures; the libc crate lacks it.
const SIOCATMARK: usize = 0x8905;

/// Whether a pipe is empty and nobody writes to it. Of one that nobody has ever written to, `poll` tells no end.
pub(crate) fn has_no_writer(fd: RawFd) -> bool {
    let Ok((_reader, writer)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
        return false;
    };
    let byte = borrow(fd).and_then(|fd| Ok(tee(fd, &writer, 1, SpliceFlags::NONBLOCK)?));
    byte == Ok(0)
}

/// Who hears of an error that comes when a call has moved some bytes, and waits to move more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    /// The next call: it stays at the socket.
    Kept,
    /// Nobody: a call of a Unix socket takes it away, and says how far it came.
    TakenByUnix,
    /// Nobody, there is none to keep. (To try once more sends the signal that the kernel sends.)
    None,
}

impl Errors {
    pub(crate) fn of(fd: RawFd) -> Errors {
        match borrow(fd).and_then(|fd| Ok(socket_domain(fd)?)) {
            Ok(AddressFamily::UNIX) => Errors::TakenByUnix,
            Ok(_) => Errors::Kept,
            Err(_) => Errors::None,
        }
    }
}

/// Whether nothing can come any more: the read side was shut down, or the other end is gone.
pub(crate) fn is_shut(fd: RawFd) -> bool {
    events(fd, PollFlags::RDHUP).contains(PollFlags::RDHUP)
}

/// Whether a look at the bytes of a stream goes no further: it is shut, or an urgent byte comes next.
pub(crate) fn ends_look(fd: RawFd) -> bool {
    events(fd, PollFlags::RDHUP | PollFlags::PRI).intersects(PollFlags::RDHUP | PollFlags::PRI)
}

/// Whether there are bytes to be read.
pub(crate) fn has_bytes(fd: RawFd) -> bool {
    borrow(fd).and_then(|fd| Ok(ioctl_fionread(fd)?)).is_ok_and(|bytes| bytes > 0)
}

/// Fds of the process that are looked through at most.
const FDS_MAX: usize = 4096;

/// Whether this is a Unix socket by which signals reach the event loops of a process, such as tokio's: its other end is
/// this process's as well, and each loop has an fd of its own for this end. An error of it is a fault to them.
pub(crate) fn wakes_its_owner(fd: RawFd) -> bool {
    let Ok(mine) = borrow(fd) else { return false };
    let is_unix = socket_domain(mine) == Ok(AddressFamily::UNIX);
    if !is_unix || !socket_peercred(mine).is_ok_and(|peer| peer.pid == getpid()) {
        return false;
    }
    let file = |fd| borrow(fd).and_then(|fd| Ok(fstat(fd)?)).map(|stat| (stat.st_dev, stat.st_ino));
    let (here, entries) = (file(fd), fs::read_dir("/proc/self/fd"));
    let mut others = entries.into_iter().flatten().flatten().take(FDS_MAX).filter_map(|entry| {
        let other: RawFd = entry.file_name().to_str()?.parse().ok()?;
        (other != fd).then_some(other)
    });
    here.is_ok() && others.any(|other| file(other) == here)
}

/// Whether an error waits to be told by the next call.
pub(crate) fn has_error(fd: RawFd) -> bool {
    let told = events(fd, PollFlags::empty());
    // In a stream that has not hung up it is a notice of what became of bytes that were sent.
    told.contains(PollFlags::ERR) && (told.contains(PollFlags::HUP) || !is_stream(fd))
}

/// What `poll` tells now. Errors and hang-ups are told without being asked for.
fn events(fd: RawFd, wanted: PollFlags) -> PollFlags {
    let Ok(fd) = borrow(fd) else { return PollFlags::NVAL };
    let mut question = [PollFd::new(&fd, wanted)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut question, Some(&at_once)) {
        Ok(_) => question[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// The error that waits to be told, which is told by this.
pub(crate) fn take_error(fd: RawFd) -> Option<Errno> {
    socket_error(borrow(fd).ok()?).ok()?.err().map(Errno::from)
}

/// What `poll` says, after `time` at most.
pub(crate) fn is_ready(fd: RawFd, interest: Interest, time: Duration) -> Result<bool> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let fd = borrow(fd)?;
    let mut question = [PollFd::new(&fd, flags)];
    let time = Timespec::try_from(time).map_err(|_| Errno::INVAL)?;
    Ok(poll(&mut question, Some(&time))? > 0)
}
