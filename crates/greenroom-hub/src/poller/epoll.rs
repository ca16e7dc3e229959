//! The `epoll` backend.
//!
//! Knows one epoll set. Keeps no list of fds: the kernel does.
//!
//! An epoll set watches *open files*, not numbers: an entry is a pair of file and number, and lives
//! until the last duplicate of the file is closed. Two things follow. A closed number whose file
//! lives on goes on reporting, so reports carry a generation and a stale one is dropped by the
//! listeners. And a number that was closed and reused has no entry: `EPOLL_CTL_MOD` says `ENOENT`,
//! by which the listeners learn of it.
//!
//! Fds of ours are attached once, for both directions, edge-triggered: no further `epoll_ctl` for
//! waits that follow a "would block". Foreign fds are armed with `EPOLLONESHOT`, one `EPOLL_CTL_MOD` a wait: should such
//! an fd be closed behind our back, it can report once more at most, and never keeps the hub busy.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::Duration,
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    io::Errno,
};

use super::{
    BELL, Bell, EVENTS_PER_TURN_MAX, Event, Readiness, Token,
    descriptor::{Owned, by_number},
};

pub(crate) struct Epoll {
    set: Owned,
    reports: Vec<epoll::Event>,
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoll").field("set", &self.set).finish_non_exhaustive()
    }
}

/// What an attached fd is watched for. Out-of-band data is watched too: a stream read stops short
/// of it, so whoever takes a short read for an empty buffer must know.
const EDGES: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::PRI)
    .union(EventFlags::ET);

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Epoll { set: set.into(), reports: Vec::with_capacity(EVENTS_PER_TURN_MAX) })
    }

    pub(crate) fn is_own(&self, fd: RawFd) -> bool {
        self.set.as_fd().as_raw_fd() == fd
    }

    pub(crate) fn watch_bell(&mut self, bell: &Bell) -> io::Result<()> {
        // Level-triggered: it rings until it is muted.
        epoll::add(&self.set, bell.as_fd(), EventData::new_u64(BELL.0), EventFlags::IN)?;
        Ok(())
    }

    pub(crate) fn attach(&mut self, fd: RawFd, token: Token) -> io::Result<()> {
        epoll::add(&self.set, by_number(fd), EventData::new_u64(token.0), EDGES)?;
        Ok(())
    }

    pub(crate) fn reattach(&mut self, fd: RawFd, token: Token) -> io::Result<()> {
        // A modification makes the kernel look at the fd again and report what it finds.
        epoll::modify(&self.set, by_number(fd), EventData::new_u64(token.0), EDGES)?;
        Ok(())
    }

    pub(crate) fn arm(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Readiness,
        known: bool,
    ) -> io::Result<()> {
        let data = EventData::new_u64(token.0);
        let mut flags = EventFlags::ONESHOT;
        flags.set(EventFlags::IN | EventFlags::RDHUP, interest.contains(Readiness::READ));
        flags.set(EventFlags::OUT, interest.contains(Readiness::WRITE));
        let source = by_number(fd);
        let outcome = if known {
            epoll::modify(&self.set, source, data, flags)
        } else {
            match epoll::add(&self.set, source, data, flags) {
                // Left by a duplicate that was closed under this number.
                Err(Errno::EXIST) => epoll::modify(&self.set, source, data, flags),
                outcome => outcome,
            }
        };
        Ok(outcome?)
    }

    /// Does nothing: the fd reports once at most, and a system call to prevent that would cost
    /// more than the report.
    pub(crate) fn disarm(&mut self, _fd: RawFd) {}

    pub(crate) fn detach(&mut self, fd: RawFd) {
        // ENOENT and EBADF: the kernel forgot it when it was closed.
        let _ = epoll::delete(&self.set, by_number(fd));
    }

    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        // Goes through epoll_pwait2 (Linux 5.11), which does not round to milliseconds.
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        self.reports.clear();
        match epoll::wait(
            &self.set,
            rustix::buffer::spare_capacity(&mut self.reports),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        events.extend(self.reports.iter().map(|report| Event {
            token: Token({ report.data }.u64()),
            readiness: readiness(report.flags),
        }));
        Ok(())
    }
}

fn readiness(flags: EventFlags) -> Readiness {
    let mut readiness = Readiness::NONE;
    if flags.intersects(EventFlags::IN) {
        readiness = readiness.union(Readiness::READ);
    }
    if flags.intersects(EventFlags::OUT) {
        readiness = readiness.union(Readiness::WRITE);
    }
    if flags.intersects(EventFlags::PRI) {
        readiness = readiness.union(Readiness::URGENT).union(Readiness::READ);
    }
    if flags.intersects(EventFlags::RDHUP) {
        readiness = readiness.union(Readiness::READ_CLOSED).union(Readiness::READ);
    }
    // The kernel reports these unasked, and they end both directions' waits.
    if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
        readiness =
            readiness.union(Readiness::READ_CLOSED).union(Readiness::READ).union(Readiness::WRITE);
    }
    readiness
}
