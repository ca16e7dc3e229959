//! An fd of ours: non-blocking for the kernel, blocking for whoever calls.
//!
//! Holds the one loop on "would block". Knows nothing of what is read or written.

use std::{
    cell::{Cell, OnceCell},
    fmt, io,
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    rc::Rc,
    time::Duration,
};

use greenroom_hub::{Instant, ListenerKey, Readiness, SourceKey, Wake};
use rustix::{event::Timespec, io::Errno};

use crate::{
    hub::local::{Local, existing, try_local},
    io::{Interest, ListenError, closed, is_ready, is_shut, timed_out, trampoline},
    thread::{
        Waiter,
        park::{self, Source, Unwinding},
    },
    time::deadline_after,
};

/// A destructor that runs because of a panic may block the whole OS thread for an fd, but only for
/// so many looks, each of which waits for so long at most.
const DESTRUCTOR_LOOKS: usize = 50;
const DESTRUCTOR_LOOK_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// The pauses between tries where the kernel reports nothing to wait for: each is twice as long as
/// the one before.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// A file whose calls wait greenly.
///
/// Belongs to the hub of the OS thread that first waited for it, so it is not `Send`.
pub(crate) struct Descriptor<F: AsFd> {
    /// Stands before the file, because fields are dropped in this order: first from the hub, then
    /// closed, for a duplicate may keep the file alive.
    place: Place,
    file: F,
    /// Made when first changed or shared. None: never times out, and blocks.
    settings: OnceCell<Rc<Settings>>,
    pinned: PhantomData<*const ()>,
}

/// What a file's user has set. Duplicates share it, as the kernel shares what belongs to the open
/// file and not to the number.
#[derive(Debug, Default)]
struct Settings {
    /// "Would block" is wanted as an answer.
    nonblocking: Cell<bool>,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

/// Where the hub keeps the file, once it has been waited for.
struct Place(Cell<Option<SourceKey>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let (Some(key), Some(local)) = (self.0.take(), existing()) {
            local.hub.borrow_mut().detach(key);
        }
    }
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
            place: Place(Cell::new(None)),
            file,
            settings: OnceCell::new(),
            pinned: PhantomData,
        }
    }

    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    /// Gives the file back, blocking unless its user wanted otherwise.
    pub(crate) fn into_file(self) -> F {
        let nonblocking = self.is_nonblocking();
        let Descriptor { place, file, .. } = self;
        drop(place);
        // A file the kernel does not let us ask is given back as it is.
        let _ = rustix::io::ioctl_fionbio(&file, nonblocking);
        file
    }

    /// A descriptor for a duplicate of this file. The two share their settings.
    pub(crate) fn duplicate(&self, duplicate: F) -> Descriptor<F> {
        let descriptor = Descriptor::already_nonblocking(duplicate);
        let shared = descriptor.settings.set(Rc::clone(self.settings_to_change()));
        shared.expect("a descriptor that was made a moment ago has no settings");
        descriptor
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.settings_to_change().nonblocking.set(nonblocking);
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.settings.get().is_some_and(|settings| settings.nonblocking.get())
    }

    /// How long a call in this direction may wait; `None`: for ever.
    pub(crate) fn set_timeout(&self, interest: Interest, timeout: Option<Duration>) {
        let settings = self.settings_to_change();
        match interest {
            Interest::Read => settings.read_timeout.set(timeout),
            Interest::Write => settings.write_timeout.set(timeout),
        }
    }

    #[inline]
    pub(crate) fn timeout(&self, interest: Interest) -> Option<Duration> {
        let settings = self.settings.get()?;
        match interest {
            Interest::Read => settings.read_timeout.get(),
            Interest::Write => settings.write_timeout.get(),
        }
    }

    fn settings_to_change(&self) -> &Rc<Settings> {
        self.settings.get_or_init(Rc::default)
    }

    /// Calls `op` until it does not say "would block"; in between waits until the fd is ready, for
    /// as long as this direction's timeout allows.
    #[inline]
    pub(crate) fn when_ready<T>(
        &self,
        interest: Interest,
        op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        self.when_ready_within(self.timeout(interest), interest, op)
    }

    /// [`when_ready`](Descriptor::when_ready) with a timeout of its own.
    ///
    /// First the call, then the wait: mostly there is something to do, and then nothing else is
    /// needed. Only if the hub knows that the fd is exhausted the wait comes first.
    #[inline]
    pub(crate) fn when_ready_within<T>(
        &self,
        timeout: Option<Duration>,
        interest: Interest,
        mut op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let mut limit = Limit::new(timeout);
        if self.is_exhausted(interest) {
            self.wait(interest, &mut limit)?;
        }
        until_done(|| op(self.file.as_fd()), || self.wait(interest, &mut limit))
    }

    /// [`when_ready`](Descriptor::when_ready) for a call that may need no readiness, such as one
    /// that moves no bytes: even of an exhausted fd it is tried first.
    pub(crate) fn when_ready_if_needed<T>(
        &self,
        interest: Interest,
        mut op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let mut limit = Limit::new(self.timeout(interest));
        self.begin_call();
        until_done(|| op(self.file.as_fd()), || self.wait(interest, &mut limit))
    }

    /// [`when_ready`](Descriptor::when_ready) for calls of the file's own type, with its errors.
    pub(crate) fn when_file_ready<T>(
        &self,
        interest: Interest,
        mut op: impl FnMut(&F) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut refused = None;
        let outcome = self.when_ready(interest, |_| match op(&self.file) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Errno::AGAIN),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Errno::INTR),
            Err(error) => {
                refused = Some(error);
                Ok(None)
            }
        })?;
        outcome.ok_or_else(|| refused.expect("a call without a value left an error"))
    }

    /// Calls `op` until it does not say "would block"; in between pauses, for as long as writes
    /// may wait.
    ///
    /// For calls that want room in *another* socket. Of that our fd's readiness tells nothing.
    pub(crate) fn when_other_has_room<T>(
        &self,
        mut op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let mut limit = Limit::new(self.timeout(Interest::Write));
        let mut pause = PAUSE_MIN;
        self.begin_call();
        until_done(
            || op(self.file.as_fd()),
            || {
                self.refuse_wait_if_nonblocking()?;
                limit.pause(pause)?;
                pause = (pause * 2).min(PAUSE_MAX);
                Ok(())
            },
        )
    }

    /// Notes that a read from a stream returned less than it could have: the buffer is empty, and
    /// the next read waits without asking the kernel in vain.
    ///
    /// Not if the stream has ended, for then no further readiness would be reported; and not if
    /// there is out-of-band data, at which a read stops short.
    #[inline]
    pub(crate) fn note_short_read(&self) {
        let (Some(key), Some(local)) = (self.place.0.get(), existing()) else { return };
        let mut hub = local.hub.borrow_mut();
        let readiness = hub.readiness(key);
        if !readiness.contains(Readiness::READ_CLOSED) && !readiness.contains(Readiness::URGENT) {
            hub.exhaust(key, Interest::Read);
        }
    }

    /// Whether the read side of a socket for messages was shut down, by us.
    ///
    /// A blocking receive ends then, with nothing; but to a non-blocking one the kernel says "would
    /// block" for ever, where a stream tells its end.
    pub(crate) fn is_shut_for_messages(&self) -> bool {
        let (Some(key), Some(local)) = (self.place.0.get(), existing()) else { return false };
        // Only in that case, and after errors, the kernel is asked.
        local.hub.borrow().readiness(key).contains(Readiness::READ_CLOSED)
            && !self.is_nonblocking()
            && is_shut(self.file.as_fd())
    }

    /// Before a call that may have to wait: the moment at which somebody who never has to gives
    /// way. Whoever wants to hear "would block" does not wait in any case.
    #[inline]
    fn begin_call(&self) -> Option<&'static Local> {
        let local = existing()?;
        if self.is_nonblocking() {
            return None;
        }
        park::count_call(local);
        Some(local)
    }

    /// Begins a call: whether it surely has to wait.
    #[inline]
    fn is_exhausted(&self, interest: Interest) -> bool {
        let Some(local) = self.begin_call() else { return false };
        match self.place.0.get() {
            Some(key) => !local.hub.borrow().readiness(key).satisfies(interest),
            None => false,
        }
    }

    /// For waits on several things at once: the fd has said "would block", and `waiter` is to be called when it
    /// would no more.
    pub(crate) fn listen(&self, interest: Interest, waiter: Waiter) -> io::Result<ListenerKey> {
        let local = try_local()?;
        let key = self.attach(local)?;
        let mut hub = local.hub.borrow_mut();
        hub.exhaust(key, interest);
        let listener = hub.listen(key, interest, waiter);
        drop(hub);
        listener.map_err(|error| ListenError::of_current(error).into())
    }

    fn attach(&self, local: &Local) -> io::Result<SourceKey> {
        if let Some(key) = self.place.0.get() {
            return Ok(key);
        }
        let key = local.hub.borrow_mut().attach(self.file.as_fd().as_raw_fd())?;
        self.place.0.set(Some(key));
        Ok(key)
    }

    fn refuse_wait_if_nonblocking(&self) -> io::Result<()> {
        if self.is_nonblocking() { Err(Errno::AGAIN.into()) } else { Ok(()) }
    }

    /// The fd said "would block": waits until the hub hears that it is ready, or until the limit is
    /// over. Then the call is made once more: if the fd became ready in the same moment, it is not
    /// too late. That is not left to the readiness, which may be reported for ever of an fd that
    /// says "would block" (a list of errors that nobody reads is enough).
    fn wait(&self, interest: Interest, limit: &mut Limit) -> io::Result<()> {
        self.refuse_wait_if_nonblocking()?;
        if limit.is_over {
            return Err(timed_out(interest));
        }
        let local = try_local()?;
        let deadline = limit.deadline(local);
        let fd = self.file.as_fd();
        let key = self.attach(local)?;
        local.hub.borrow_mut().exhaust(key, interest);
        let source = Source::Attached(key, fd.as_raw_fd());
        let end = park::until_ready(source, interest, deadline);
        // In a destructor there is one look as well, so that it cannot block for ever.
        limit.is_over = matches!(end, Ok(Ok(Wake::Expired)) | Err(Unwinding));
        match end {
            Ok(Ok(Wake::Expired)) => Ok(()),
            end => waited(end, fd, interest),
        }
    }
}

/// Calls `op` until it does not say "would block"; in between waits until `fd` is ready, which the
/// hub knows by its number only.
///
/// For fds that other processes share, whose mode is not ours to change: `op` may not rely on it.
pub(crate) fn when_foreign_ready<T>(
    fd: impl AsFd,
    interest: Interest,
    mut op: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> io::Result<T> {
    if let Some(local) = existing() {
        park::count_call(local);
    }
    let fd = fd.as_fd();
    until_done(|| op(fd), || trampoline(fd, interest, None))
}

/// The only loop of its kind: calls `op` until it does not say "would block", and `wait` whenever
/// it does.
#[inline]
fn until_done<T>(
    mut op: impl FnMut() -> rustix::io::Result<T>,
    mut wait: impl FnMut() -> io::Result<()>,
) -> io::Result<T> {
    loop {
        match op() {
            Ok(value) => return Ok(value),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait()?,
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How long a call may wait: a time, from which a deadline is made when it first has to.
struct Limit {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    /// The deadline has passed, or nothing may be waited for.
    is_over: bool,
}

impl Limit {
    #[inline]
    fn new(timeout: Option<Duration>) -> Limit {
        Limit { timeout, deadline: None, is_over: false }
    }

    fn deadline(&mut self, local: &Local) -> Option<Instant> {
        if let Some(timeout) = self.timeout.take() {
            self.deadline = Some(deadline_after(&local.hub.borrow(), timeout));
        }
        self.deadline
    }

    /// Lets `time` pass, unless the deadline does first.
    fn pause(&mut self, time: Duration) -> io::Result<()> {
        let local = try_local()?;
        let deadline = self.deadline(local);
        let now = local.hub.borrow().clock().now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(timed_out(Interest::Write));
        }
        let end = deadline.map_or(now + time, |deadline| deadline.min(now + time));
        // A destructor that runs because of a panic cannot pause, and gives up.
        park::until(end).map(drop).map_err(|Unwinding| Errno::AGAIN.into())
    }
}

/// What the end of a wait means to whoever waited.
pub(crate) fn waited(
    end: Result<Result<Wake, greenroom_hub::ListenError<Waiter>>, Unwinding>,
    fd: BorrowedFd<'_>,
    interest: Interest,
) -> io::Result<()> {
    match end {
        Ok(Ok(Wake::Ready(_))) => Ok(()),
        Ok(Ok(Wake::Closed)) => Err(closed(fd.as_raw_fd(), interest)),
        Ok(Ok(Wake::Expired)) => last_look(fd, interest),
        Ok(Ok(wake)) => unreachable!("a wait for an fd is not ended by {wake:?}"),
        Ok(Err(error)) => Err(ListenError::of_current(error).into()),
        Err(Unwinding) => poll_in_destructor(fd, interest),
    }
}

/// The deadline passed; but if the fd became ready in the same moment, it is not too late.
#[cold]
fn last_look(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if is_ready(fd, interest, Some(&at_once))? { Ok(()) } else { Err(timed_out(interest)) }
}

/// In a destructor that runs because of a panic nothing may switch: blocks the OS thread, briefly.
#[cold]
fn poll_in_destructor(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    // Counted, not timed: the hub's clock may be a virtual one, which stands still meanwhile.
    for _ in 0..DESTRUCTOR_LOOKS {
        if is_ready(fd, interest, Some(&DESTRUCTOR_LOOK_TIME))? {
            return Ok(());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("a destructor waited to {interest} while its thread unwinds"),
    ))
}

impl<F: AsFd> fmt::Debug for Descriptor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("fd", &self.file.as_fd().as_raw_fd())
            .field("nonblocking", &self.is_nonblocking())
            .finish_non_exhaustive()
    }
}
