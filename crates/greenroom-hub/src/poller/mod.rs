//! Which fds are ready: the contract that every backend keeps.
//!
//! A poller knows fds and tokens. It knows no waiters, no deadlines beyond the one it is told, and
//! it never runs anyone: `Poller::wait` returns a list.
//!
//! # What a backend owes
//!
//! 1. *Attach* takes an fd for good, for sockets of ours. From then on the backend reports edges:
//!    after the owner saw "would block", it hears of the next readiness at least once. A backend
//!    without edges may instead ask to be armed for each wait (`Poller::has_edges`).
//! 2. *Arm* asks for one report about an fd, any fd. What is ready at that moment counts (level).
//!    At most one report comes for one arm; it covers whichever directions were asked for, and
//!    disarms the fd wholly. A backend that keeps files refuses with `ENOENT` one it is said to
//!    know and does not: the number was reused.
//! 3. A report may be stale or spurious. It carries the token given with the last arm or attach.
//! 4. *Detach* and *disarm* of an fd that is gone already is no error.
//! 5. An fd that never makes anyone wait (a regular file) is refused with `EPERM`, or reported at
//!    every arm: epoll does the first, poll the second.
//! 6. `EINTR` is not an error: `wait` returns early with nothing.

pub(crate) mod bell;
mod descriptor;
pub(crate) mod epoll;
pub(crate) mod poll;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod sim;

#[cfg(test)]
mod conformance;

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, RawFd},
    str::FromStr,
    time::Duration,
};

pub(crate) use bell::Bell;

/// Reports taken from the kernel in one turn at most, so that one turn's work is bounded.
pub(crate) const EVENTS_PER_TURN_MAX: usize = 1024;

/// The token of the mailbox's bell, which belongs to no fd of the listeners.
pub(crate) const BELL: Token = Token(u64::MAX);

/// What a backend is given with an fd and gives back with a report: slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

/// One report: who, and ready for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) token: Token,
    pub(crate) readiness: Readiness,
}

/// A direction to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Until a read (or an accept) would not block.
    Read,
    /// Until a write (or a connect) would not block.
    Write,
}

impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Interest::Read => "read",
            Interest::Write => "write",
        })
    }
}

/// What the kernel said of an fd.
///
/// Not a promise: by the time somebody acts on it, another reader may have been faster.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing is ready.
    pub const NONE: Readiness = Readiness(0);
    /// A read would not block.
    pub const READ: Readiness = Readiness(1);
    /// A write would not block.
    pub const WRITE: Readiness = Readiness(2);
    /// The other side will send no more, hung up, or there is an error to fetch: every read from
    /// now on returns at once.
    pub const READ_CLOSED: Readiness = Readiness(4);
    /// Out-of-band data: a read may stop short of it although more is there.
    pub const URGENT: Readiness = Readiness(8);
    /// The fd is not open (`POLLNVAL`).
    pub const INVALID: Readiness = Readiness(16);

    /// Everything in `self` or `other`.
    #[must_use]
    pub const fn union(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// Everything in `self` that is not in `other`.
    #[must_use]
    pub const fn without(self, other: Readiness) -> Readiness {
        Readiness(self.0 & !other.0)
    }

    /// True if all of `other` is in `self`.
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if `interest` need not wait.
    pub const fn satisfies(self, interest: Interest) -> bool {
        match interest {
            Interest::Read => self.contains(Readiness::READ),
            Interest::Write => self.contains(Readiness::WRITE),
        }
    }

    /// True if nothing is ready.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl From<Interest> for Readiness {
    fn from(interest: Interest) -> Readiness {
        match interest {
            Interest::Read => Readiness::READ,
            Interest::Write => Readiness::WRITE,
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Readiness::READ, "read"),
            (Readiness::WRITE, "write"),
            (Readiness::READ_CLOSED, "read closed"),
            (Readiness::URGENT, "urgent"),
            (Readiness::INVALID, "invalid"),
        ];
        let set = names.iter().filter(|(bit, _)| self.contains(*bit)).map(|(_, name)| name);
        f.debug_set().entries(set).finish()
    }
}

/// Which system call a hub waits with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// `epoll`: costs nothing per idle fd. The default.
    #[default]
    Epoll,
    /// `poll`: every wait costs time in proportion to the fds waited for. For comparison, and for
    /// sandboxes that refuse epoll. It cannot tell that a number means another file than it did:
    /// whoever waited for the old one must be [told](crate::Hub::notify_close), or it is woken for
    /// the new one.
    Poll,
}

impl Backend {
    /// All backends, in the order in which they are preferred.
    pub const ALL: [Backend; 2] = [Backend::Epoll, Backend::Poll];

    /// The name by which `GREENROOM_HUB` and [`str::parse`] know it.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Epoll => "epoll",
            Backend::Poll => "poll",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Backend, UnknownBackend> {
        let known = Backend::ALL.into_iter().find(|backend| backend.name() == name);
        known.ok_or_else(|| UnknownBackend { name: name.into() })
    }
}

/// A hub was asked for by a name that no backend has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend {
    name: Box<str>,
}

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown hub {:?}; known are:", self.name)?;
        for backend in Backend::ALL {
            write!(f, " {backend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownBackend {}

/// One of the backends, chosen at run time.
#[derive(Debug)]
pub(crate) enum Poller {
    Epoll(epoll::Epoll),
    Poll(poll::Poll),
    #[cfg(any(test, feature = "testing"))]
    Sim(sim::SimPoller),
}

/// Calls the same method on whichever backend is in use.
macro_rules! each {
    ($poller:expr, $backend:ident => $call:expr) => {
        match $poller {
            Poller::Epoll($backend) => $call,
            Poller::Poll($backend) => $call,
            #[cfg(any(test, feature = "testing"))]
            Poller::Sim($backend) => $call,
        }
    };
}

impl Poller {
    pub(crate) fn new(backend: Backend) -> io::Result<Poller> {
        Ok(match backend {
            Backend::Epoll => Poller::Epoll(epoll::Epoll::new()?),
            Backend::Poll => Poller::Poll(poll::Poll::new()),
        })
    }

    /// A poller of the same kind that knows no fd, for a forked child.
    pub(crate) fn renew(&self, backend: Backend) -> io::Result<Poller> {
        match self {
            #[cfg(any(test, feature = "testing"))]
            Poller::Sim(sim) => Ok(Poller::Sim(sim.renew())),
            _ => Poller::new(backend),
        }
    }

    /// True if waiting passes simulated time instead of real time.
    pub(crate) fn is_simulated(&self) -> bool {
        match self {
            #[cfg(any(test, feature = "testing"))]
            Poller::Sim(_) => true,
            _ => false,
        }
    }

    /// Whether an attached fd is reported by edges; if not, it must be armed for each wait.
    pub(crate) fn has_edges(&self) -> bool {
        !matches!(self, Poller::Poll(_))
    }

    /// Watches the mailbox's bell, for the life of this poller.
    pub(crate) fn watch_bell(&mut self, bell: &Bell) -> io::Result<()> {
        each!(self, backend => backend.watch_bell(bell))
    }

    /// True if `fd` means any file now.
    pub(crate) fn is_open(&self, fd: RawFd) -> bool {
        match self {
            #[cfg(any(test, feature = "testing"))]
            Poller::Sim(sim) => sim.is_open(fd),
            _ => descriptor::is_open(fd),
        }
    }

    /// True if `fd` is the poller's own or the bell's, not a file that others may watch.
    pub(crate) fn is_own(&self, fd: RawFd, bell: &Bell) -> bool {
        let is_set = match self {
            Poller::Epoll(epoll) => epoll.is_own(fd),
            Poller::Poll(_) => false,
            // Simulated files have numbers of their own.
            #[cfg(any(test, feature = "testing"))]
            Poller::Sim(_) => return false,
        };
        is_set || bell.as_fd().as_raw_fd() == fd
    }

    /// Takes `fd` for good. `EEXIST` if this very file is attached or was armed before.
    pub(crate) fn attach(&mut self, fd: RawFd, token: Token) -> io::Result<()> {
        each!(self, backend => backend.attach(fd, token))
    }

    /// Asks again for the edges of an attached fd, so that what is ready now is reported anew.
    /// `ENOENT` if the number means another file by now.
    pub(crate) fn reattach(&mut self, fd: RawFd, token: Token) -> io::Result<()> {
        each!(self, backend => backend.reattach(fd, token))
    }

    /// Asks for one report. `known` says that this file was attached or armed under this number
    /// before; `ENOENT` if it was not. Said of a file that is known it saves a system call.
    pub(crate) fn arm(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Readiness,
        known: bool,
    ) -> io::Result<()> {
        each!(self, backend => backend.arm(fd, token, interest, known))
    }

    /// Takes back an arm, as far as that costs no system call; a late report may still come.
    pub(crate) fn disarm(&mut self, fd: RawFd) {
        each!(self, backend => backend.disarm(fd));
    }

    /// Forgets an fd wholly.
    pub(crate) fn detach(&mut self, fd: RawFd) {
        each!(self, backend => backend.detach(fd));
    }

    /// Waits until something is ready or the time is over (`None`: for ever), and appends reports.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        each!(self, backend => backend.wait(timeout, events))
    }
}
