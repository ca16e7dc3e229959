//! The one loop of this crate: try, wait where it would block, try again.
//!
//! Keeps what a blocking call promises: an fd that its user made non-blocking says "would block" at once, and
//! `SO_RCVTIMEO` and `SO_SNDTIMEO` are honoured. Asks the kernel for both when there is something to wait for, and
//! keeps nothing: an fd may be closed, duplicated or changed by others at any time. Knows no call by name.

use std::{os::fd::RawFd, time::Duration};

use greenroom::{
    Instant,
    foreign::{Here, Stop},
    io::Interest,
};

use crate::{
    file,
    raw::{Errno, Result},
};

/// A wait that may take several rounds: it has one deadline, however often it is taken up.
pub(crate) struct Wait {
    here: Here,
    fd: RawFd,
    interest: Interest,
    state: State,
    /// Rounds in a row after which the call still said "would block".
    in_vain: u8,
}

enum State {
    /// Nothing was asked so far.
    New,
    /// Until then, if ever.
    Until(Option<Instant>),
    /// The deadline has passed, and one more try was made for what came in the same moment.
    Over,
}

impl Wait {
    pub(crate) fn new(here: Here, fd: RawFd, interest: Interest) -> Wait {
        Wait { here, fd, interest, state: State::New, in_vain: 0 }
    }

    /// For an fd of which it is known that its user wants to wait.
    pub(crate) fn blocking(here: Here, fd: RawFd, interest: Interest) -> Wait {
        let timeout = file::timeout(fd, interest);
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        Wait { here, fd, interest, state: State::Until(deadline), in_vain: 0 }
    }

    /// Calls `op` until it does not say "would block"; in between waits for the fd.
    pub(crate) fn until_done(&mut self, op: impl FnMut() -> Result) -> Result {
        self.until_done_by(op, Wait::once)
    }

    /// As [`until_done`](Wait::until_done), but in between `wait` is called: for what is not told by the readiness
    /// of this fd alone.
    ///
    /// Somebody whose data never ends gives way to others now and then.
    pub(crate) fn until_done_by(
        &mut self,
        mut op: impl FnMut() -> Result,
        mut wait: impl FnMut(&mut Wait) -> Result<()>,
    ) -> Result {
        if self.here.must_give_way() && file::can_wait(self.fd) {
            self.here.give_way().map_err(errno)?;
        }
        loop {
            match op() {
                Err(Errno::AGAIN) => wait(self)?,
                Err(Errno::INTR) => {}
                Ok(word) => {
                    self.here.count_call();
                    return Ok(word);
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Calls `part` until it has moved `length` bytes in all; it is told how many it has so far. Nothing more is
    /// to come when it answers with none.
    ///
    /// What ends the call before is told by the next one, as the kernel does it.
    pub(crate) fn until_all(
        &mut self,
        length: usize,
        mut part: impl FnMut(usize) -> Result,
    ) -> Result {
        let done = self.until_done(|| part(0))?;
        if done == 0 { Ok(done) } else { self.rest(done, length, part) }
    }

    /// As [`until_all`](Wait::until_all), when some bytes have been moved.
    pub(crate) fn rest(
        &mut self,
        mut done: usize,
        length: usize,
        mut part: impl FnMut(usize) -> Result,
    ) -> Result {
        let length = length.min(BYTES_MAX);
        if done >= length {
            return Ok(done);
        }
        let file = file::Errors::of(self.fd);
        while done < length && !(file == file::Errors::Kept && self.would_tell_error()) {
            match part(done) {
                Ok(0) => break,
                Ok(more) => {
                    done += more;
                    self.went_on(file);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.once().is_ok() => {}
                Err(_) => {
                    if file == file::Errors::TakenByUnix {
                        let _ = file::take_error(self.fd);
                    }
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Whether the next call would tell of an error and move nothing. What came before it is received first.
    fn would_tell_error(&self) -> bool {
        file::has_error(self.fd) && !(self.interest == Interest::Read && file::has_bytes(self.fd))
    }

    /// Some bytes were moved. Unix sockets count the time to send anew for each piece, all others for
    /// the call.
    fn went_on(&mut self, file: file::Errors) {
        self.in_vain = 0;
        let is_piecemeal = file == file::Errors::TakenByUnix && self.interest == Interest::Write;
        if is_piecemeal && !matches!(self.state, State::New) {
            *self = Wait::blocking(self.here, self.fd, self.interest);
        }
    }

    /// Waits until the fd is ready, or until there is to be one last try.
    ///
    /// # Errors
    ///
    /// Those of a blocking call: "would block" if the user wants to hear that, or at the end of the
    /// socket's timeout; and what [`errno`] makes of a stop.
    pub(crate) fn once(&mut self) -> Result<()> {
        let deadline = self.begin()?;
        self.in_vain += 1;
        if self.in_vain > IN_VAIN_MAX {
            self.in_vain = 0;
            return self.pause();
        }
        let look = self.next_look();
        let end = [deadline, look].into_iter().flatten().min();
        match self.here.wait(self.fd, self.interest, end) {
            Ok(()) => Ok(()),
            Err(Stop::Expired) if end != deadline => Ok(()),
            Err(Stop::Expired) => {
                self.state = State::Over;
                Ok(())
            }
            Err(Stop::Unwinding) => self.in_destructor(),
            Err(stop) => Err(errno(stop)),
        }
    }

    /// When to try again whatever readiness tells. Who waits for room in a Unix socket whose own writing side is shut
    /// by another hears nothing of that by `poll`, while a call that waits in the kernel ends.
    fn next_look(&self) -> Option<Instant> {
        let is_deaf = self.interest == Interest::Write
            && file::Errors::of(self.fd) == file::Errors::TakenByUnix;
        is_deaf.then(|| Instant::now() + LOOK)
    }

    /// Lets a little time pass, where readiness does not tell what is waited for.
    ///
    /// # Errors
    ///
    /// As [`once`](Wait::once).
    pub(crate) fn pause(&mut self) -> Result<()> {
        let deadline = self.begin()?;
        let end = Instant::now() + PAUSE;
        if deadline.is_some_and(|deadline| deadline < end) {
            self.state = State::Over;
        }
        self.here.sleep_until(end).map_err(errno)
    }

    /// Until when the call may wait, if ever. Asks for the settings at first.
    fn begin(&mut self) -> Result<Option<Instant>> {
        match self.state {
            // Who waits elsewhere, in an event loop, and was refused there, hears here why.
            State::New if file::is_nonblocking(self.fd)? => match self.here.refused_before() {
                Some((stop, _)) if !file::wakes_its_owner(self.fd) => Err(errno(stop)),
                _ => Err(Errno::AGAIN),
            },
            State::New => {
                *self = Wait::blocking(self.here, self.fd, self.interest);
                self.begin()
            }
            State::Until(deadline) => Ok(deadline),
            State::Over => Err(Errno::AGAIN),
        }
    }

    /// In a destructor that runs because of a panic nothing may switch: the OS thread waits, but not
    /// for long.
    #[cold]
    fn in_destructor(&mut self) -> Result<()> {
        self.state = State::Over;
        if file::is_ready(self.fd, self.interest, DESTRUCTOR_TIME)? {
            Ok(())
        } else {
            Err(Errno::CANCELED)
        }
    }
}

/// So many bytes a call moves at most (`MAX_RW_COUNT`).
pub(crate) const BYTES_MAX: usize = 0x7fff_f000;

/// Rounds in vain after which there is a pause. Readiness may tell of something else for ever: of errors in
/// the socket's queue of them, or of room that is not the addressee's.
const IN_VAIN_MAX: u8 = 8;

/// Between two looks where readiness does not tell.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// Between two looks at a socket that may have been shut.
const LOOK: Duration = Duration::from_millis(100);

/// So long a destructor that runs because of a panic may block the OS thread.
pub(crate) const DESTRUCTOR_TIME: Duration = Duration::from_millis(100);

/// For a call that does nothing but look. Somebody may make it again and again for what another green thread has yet to
/// do, and gives way to that now and then.
///
/// # Errors
///
/// What [`errno`] makes of a stop.
pub(crate) fn count_look(here: Here) -> Result<()> {
    here.count_call();
    if here.must_give_way() {
        here.give_way().map_err(errno)?;
    }
    Ok(())
}

/// What a call says whose thread is to be stopped: not `EINTR`, for callers take that as a wish to be
/// called again.
pub(crate) fn errno(stop: Stop) -> Errno {
    match stop {
        Stop::TimeIsOver => Errno::TIMEDOUT,
        Stop::Expired => Errno::AGAIN,
        Stop::Closed => Errno::BADF,
        Stop::Refused(value) => Errno(value),
        _ => Errno::CANCELED,
    }
}
