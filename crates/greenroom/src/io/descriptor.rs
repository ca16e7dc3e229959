//! An fd of ours: non-blocking for the kernel, blocking for whoever calls.
//!
//! Holds the one loop on "would block". Knows nothing of what is read or written.

use std::{
    cell::Cell,
    fmt, io,
    marker::PhantomData,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use greenroom_hub::{Readiness, SourceKey, Wake};
use rustix::{event::Timespec, io::Errno};

use crate::{
    hub::local::{existing, try_local},
    io::{Interest, ListenError, closed, is_ready, timed_out},
    thread::park::{self, Source, Unwinding},
    time::deadline_after,
};

/// How long a destructor that runs because of a panic may block the whole OS thread for an fd.
const DESTRUCTOR_WAIT_MAX: Duration = Duration::from_millis(100);

/// A file whose calls wait greenly.
///
/// Belongs to the hub of the OS thread that first waited for it, so it is not `Send`.
pub(crate) struct Descriptor<F: AsFd> {
    file: ManuallyDrop<F>,
    /// Where the hub keeps it, once it has been waited for.
    key: Cell<Option<SourceKey>>,
    /// Its user wants "would block" as an answer.
    nonblocking: Cell<bool>,
    pub(crate) read_timeout: Cell<Option<Duration>>,
    pub(crate) write_timeout: Cell<Option<Duration>>,
    pinned: PhantomData<*const ()>,
}

impl<F: AsFd> Descriptor<F> {
    /// Takes a file and makes it non-blocking for the kernel.
    pub(crate) fn new(file: F) -> io::Result<Descriptor<F>> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Descriptor::already_nonblocking(file))
    }

    /// Takes a file that was opened non-blocking.
    pub(crate) fn already_nonblocking(file: F) -> Descriptor<F> {
        Descriptor {
            file: ManuallyDrop::new(file),
            key: Cell::new(None),
            nonblocking: Cell::new(false),
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
            pinned: PhantomData,
        }
    }

    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    /// Gives the file back, blocking unless its user wanted otherwise.
    pub(crate) fn into_file(mut self) -> F {
        self.detach();
        // A file the kernel does not let us ask is given back as it is.
        let _ = rustix::io::ioctl_fionbio(&*self.file, self.nonblocking.get());
        let this = &mut *ManuallyDrop::new(self);
        take(&mut this.file)
    }

    /// Another descriptor for a duplicate of the file, with the same settings.
    pub(crate) fn duplicate(&self, file: F) -> Descriptor<F> {
        Descriptor {
            file: ManuallyDrop::new(file),
            key: Cell::new(None),
            nonblocking: self.nonblocking.clone(),
            read_timeout: self.read_timeout.clone(),
            write_timeout: self.write_timeout.clone(),
            pinned: PhantomData,
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.set(nonblocking);
    }

    /// Calls `op` until it does not say "would block"; in between waits until the fd is ready, for
    /// `timeout` at most. The only loop of its kind.
    ///
    /// First the call, then the wait: mostly there is something to do, and then nothing else is
    /// needed. Only if the hub knows that the fd is exhausted the wait comes first.
    #[inline]
    pub(crate) fn when_ready<T>(
        &self,
        interest: Interest,
        timeout: Option<Duration>,
        mut op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let mut waiting = Waiting { timeout, deadline: None };
        if self.is_exhausted(interest) {
            self.wait(interest, &mut waiting)?;
        }
        loop {
            match op(self.file.as_fd()) {
                Ok(value) => return Ok(value),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(interest, &mut waiting)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Notes that a read from a stream returned less than it could have: the buffer is empty, and
    /// the next read waits without asking the kernel in vain.
    ///
    /// Not if the stream has ended, for then no further readiness would be reported; and not if
    /// there is out-of-band data, at which a read stops short.
    #[inline]
    pub(crate) fn note_short_read(&self) {
        let (Some(key), Some(local)) = (self.key.get(), existing()) else { return };
        let mut hub = local.hub.borrow_mut();
        let readiness = hub.readiness(key);
        if !readiness.contains(Readiness::READ_CLOSED) && !readiness.contains(Readiness::URGENT) {
            hub.exhaust(key, Interest::Read);
        }
    }

    #[inline]
    fn is_exhausted(&self, interest: Interest) -> bool {
        match (self.key.get(), existing()) {
            (Some(key), Some(local)) if !self.nonblocking.get() => {
                !local.hub.borrow().readiness(key).satisfies(interest)
            }
            _ => false,
        }
    }

    /// The fd said "would block": waits until the hub hears that it is ready.
    fn wait(&self, interest: Interest, waiting: &mut Waiting) -> io::Result<()> {
        if self.nonblocking.get() {
            return Err(Errno::AGAIN.into());
        }
        let local = try_local()?;
        let fd = self.file.as_fd();
        let mut hub = local.hub.borrow_mut();
        if let Some(timeout) = waiting.timeout.take() {
            waiting.deadline = Some(deadline_after(&hub, timeout));
        }
        let key = match self.key.get() {
            Some(key) => key,
            None => {
                let key = hub.attach(fd.as_raw_fd())?;
                self.key.set(Some(key));
                key
            }
        };
        hub.exhaust(key, interest);
        drop(hub);
        let source = Source::Attached(key, fd.as_raw_fd());
        match park::until_ready(source, interest, waiting.deadline) {
            Ok(Ok(Wake::Ready(_))) => Ok(()),
            Ok(Ok(Wake::Closed)) => Err(closed(fd.as_raw_fd(), interest)),
            Ok(Ok(Wake::Expired)) => self.last_look(interest),
            Ok(Ok(wake)) => unreachable!("a wait for an fd is not ended by {wake:?}"),
            Ok(Err(error)) => Err(ListenError::of_current(error).into()),
            Err(Unwinding) => poll_in_destructor(fd, interest),
        }
    }

    /// The deadline passed; but if the fd became ready in the same moment, it is not too late.
    #[cold]
    fn last_look(&self, interest: Interest) -> io::Result<()> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if is_ready(self.file.as_fd(), interest, Some(&at_once))? {
            return Ok(());
        }
        Err(timed_out(interest))
    }

    fn detach(&mut self) {
        if let (Some(key), Some(local)) = (self.key.take(), existing()) {
            local.hub.borrow_mut().detach(key);
        }
    }
}

/// How long a call may wait: until a deadline that is set when it first has to.
struct Waiting {
    timeout: Option<Duration>,
    deadline: Option<greenroom_hub::Instant>,
}

impl<F: AsFd> Drop for Descriptor<F> {
    fn drop(&mut self) {
        // First from the hub, then closed: a duplicate may keep the file alive.
        self.detach();
        drop(take(&mut self.file));
    }
}

/// Moves the file out. Called once for each descriptor, right before it is gone.
#[allow(unsafe_code)]
fn take<F>(file: &mut ManuallyDrop<F>) -> F {
    // SAFETY: the two callers, `drop` and `into_file`, never use the file again: the first is the
    // end of the descriptor, the second keeps the first from running.
    unsafe { ManuallyDrop::take(file) }
}

impl<F: AsFd> fmt::Debug for Descriptor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("fd", &self.file.as_fd().as_raw_fd())
            .field("nonblocking", &self.nonblocking.get())
            .finish_non_exhaustive()
    }
}

/// In a destructor that runs because of a panic nothing may switch: blocks the OS thread, briefly.
#[cold]
pub(crate) fn poll_in_destructor(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    let end = Instant::now() + DESTRUCTOR_WAIT_MAX;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        if is_ready(fd, interest, Some(&timeout))? {
            return Ok(());
        }
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("a destructor waited to {interest} while its thread unwinds"),
            ));
        }
    }
}
