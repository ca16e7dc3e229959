//! The `poll` backend.
//!
//! Knows the fds that are armed and hands the kernel all of them at every wait. Keeps nothing in
//! the kernel, so a fork cannot confuse it, and an fd that is not open is reported as such
//! (`POLLNVAL`). But it knows numbers only: whether one means another file than it did, it cannot
//! tell.

use std::{io, os::fd::RawFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    BELL, Bell, EVENTS_PER_TURN_MAX, Event, Readiness, Token,
    descriptor::{by_number, is_open},
};

#[derive(Debug, Default)]
pub(crate) struct Poll {
    /// What is asked, and at the same index about whom.
    asked: Vec<PollFd<'static>>,
    tokens: Vec<Token>,
    fds: Vec<RawFd>,
    /// By fd: its index in the lists above, plus one.
    places: Vec<u32>,
    /// The fds that were reported in this wait and are disarmed at its end.
    reported: Vec<RawFd>,
}

impl Poll {
    pub(crate) fn new() -> Poll {
        Poll::default()
    }

    pub(crate) fn watch_bell(&mut self, bell: &Bell) -> io::Result<()> {
        use std::os::fd::{AsFd, AsRawFd};
        self.arm(bell.as_fd().as_raw_fd(), BELL, Readiness::READ, false)
    }

    /// Keeps nothing: an attached fd is armed for each wait, for there are no edges here.
    pub(crate) fn attach(&mut self, fd: RawFd, _token: Token) -> io::Result<()> {
        if is_open(fd) { Ok(()) } else { Err(Errno::BADF.into()) }
    }

    /// See [`attach`](Poll::attach).
    pub(crate) fn reattach(&mut self, _fd: RawFd, _token: Token) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn arm(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Readiness,
        _known: bool,
    ) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN | PollFlags::RDHUP, interest.contains(Readiness::READ));
        flags.set(PollFlags::OUT, interest.contains(Readiness::WRITE));
        let question = PollFd::from_borrowed_fd(by_number(fd), flags);
        match self.place(fd) {
            Some(place) => {
                self.asked[place] = question;
                self.tokens[place] = token;
            }
            None => {
                let index = usize::try_from(fd).expect("an fd is not negative");
                if self.places.len() <= index {
                    self.places.resize(index + 1, 0);
                }
                self.asked.push(question);
                self.tokens.push(token);
                self.fds.push(fd);
                self.places[index] = u32::try_from(self.fds.len()).expect("fewer than 2^32 fds");
            }
        }
        Ok(())
    }

    pub(crate) fn disarm(&mut self, fd: RawFd) {
        let Some(place) = self.place(fd) else { return };
        self.places[fd as usize] = 0;
        self.asked.swap_remove(place);
        self.tokens.swap_remove(place);
        self.fds.swap_remove(place);
        if let Some(&moved) = self.fds.get(place) {
            self.places[moved as usize] = u32::try_from(place + 1).expect("fewer than 2^32 fds");
        }
    }

    pub(crate) fn detach(&mut self, fd: RawFd) {
        self.disarm(fd);
    }

    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let count = match poll(&mut self.asked, timeout.as_ref()) {
            Ok(count) => count.min(EVENTS_PER_TURN_MAX),
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let first = events.len();
        for (place, question) in self.asked.iter().enumerate() {
            if events.len() - first == count {
                break;
            }
            let readiness = readiness(question.revents());
            if !readiness.is_none() {
                let token = self.tokens[place];
                events.push(Event { token, readiness });
                if token != BELL {
                    self.reported.push(self.fds[place]);
                }
            }
        }
        while let Some(fd) = self.reported.pop() {
            self.disarm(fd);
        }
        Ok(())
    }

    fn place(&self, fd: RawFd) -> Option<usize> {
        let place = *self.places.get(usize::try_from(fd).ok()?)?;
        (place as usize).checked_sub(1)
    }
}

fn readiness(flags: PollFlags) -> Readiness {
    let mut readiness = Readiness::NONE;
    if flags.intersects(PollFlags::IN) {
        readiness = readiness.union(Readiness::READ);
    }
    if flags.intersects(PollFlags::OUT) {
        readiness = readiness.union(Readiness::WRITE);
    }
    if flags.intersects(PollFlags::RDHUP) {
        readiness = readiness.union(Readiness::READ_CLOSED).union(Readiness::READ);
    }
    if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
        readiness =
            readiness.union(Readiness::READ_CLOSED).union(Readiness::READ).union(Readiness::WRITE);
    }
    if flags.intersects(PollFlags::NVAL) {
        readiness =
            readiness.union(Readiness::INVALID).union(Readiness::READ).union(Readiness::WRITE);
    }
    readiness
}
