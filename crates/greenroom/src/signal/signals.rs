//! A handle that hears signals, one after the other.
//!
//! Waits for one fd, by which the handler says that there is something to look at. Never knows what
//! else the process does with a signal.

use std::{
    borrow::Borrow,
    cell::Cell,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    process,
    time::Duration,
};

use greenroom_hub::ListenerKey;
use rustix::io::Errno;

use crate::{
    hub::local::existing,
    io::{Descriptor, Interest},
    signal::{Signal, catch::Catch},
    thread::{Waiter, park},
};

/// Hears signals from when it is made until it is dropped. What comes while nobody waits is kept, one
/// of each kind.
///
/// See [the module](super) for what a signal does meanwhile and who else hears it. A handle is for one
/// waiter at a time; whoever else wants the same signals makes another, which hears them all as well.
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::signal::Signals>();
/// ```
///
/// # Examples
///
/// ```
/// use greenroom::signal::{Signal, Signals};
/// use rustix::process::{Signal as ToSend, getpid, kill_process};
///
/// let signals = Signals::new([Signal::USR1, Signal::USR2])?;
/// kill_process(getpid(), ToSend::USR2)?;
/// assert_eq!(signals.wait()?, Signal::USR2);
///
/// assert_eq!(signals.try_next(), None);
/// kill_process(getpid(), ToSend::USR1)?;
/// for signal in &signals {
///     assert_eq!(signal?, Signal::USR1);
///     break;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Signals {
    /// Stand before the bell, because fields are dropped in this order: nobody rings a bell whose
    /// other end is closed.
    catches: Vec<Catch>,
    /// Who was heard last: the others come first, so that none is drowned out.
    last: Cell<usize>,
    bell: Descriptor<UnixStream>,
    process: u32,
}

impl Signals {
    /// Hears these signals from now on. One that is named twice is heard once.
    ///
    /// Costs two fds, one more for each signal, and some system calls; the first time that the process
    /// waits for a signal, a look into `/proc` besides.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a signal that cannot be waited for: `SIGKILL`
    /// and `SIGSTOP`, which the kernel does not let go, and those by which it tells of a fault; and if
    /// there are no signals at all. If no fds are left.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::signal::{Signal, Signals};
    ///
    /// let refused = Signals::new([Signal::TERM, Signal::KILL]).unwrap_err();
    /// assert_eq!(
    ///     refused.to_string(),
    ///     "SIGKILL cannot be waited for: the kernel lets nobody catch it"
    /// );
    /// ```
    pub fn new<I>(signals: I) -> io::Result<Signals>
    where
        I: IntoIterator,
        I::Item: Borrow<Signal>,
    {
        let (bell, rope) = UnixStream::pair()?;
        let bell = Descriptor::new(bell)?;
        let mut catches: Vec<Catch> = Vec::new();
        for signal in signals {
            let signal = *signal.borrow();
            if catches.iter().all(|catch| catch.signal != signal) {
                catches.push(Catch::new(signal, rope.try_clone()?)?);
            }
        }
        if catches.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no signals were named, so the wait for them would never end",
            ));
        }
        Ok(Signals { catches, last: Cell::new(0), bell, process: process::id() })
    }

    /// Waits for the next signal. One that has come since the last call is returned at once.
    ///
    /// A waiter that is killed or out of time has taken nothing: the next call hears what came. Costs
    /// three system calls and a wait; under virtual time a signal is waited for in real time.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if somebody else waits with this handle;
    /// [`Unsupported`](io::ErrorKind::Unsupported) in a forked child whose parent made it. In a
    /// destructor that runs because of a panic nothing can switch: it polls with its whole OS
    /// thread for a tenth of a second and then fails with [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Panics
    ///
    /// In a hub callback, if it has to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{signal::{Signal, Signals}, spawn};
    /// use rustix::process::{Signal as ToSend, getpid, kill_process};
    ///
    /// let signals = Signals::new([Signal::WINCH])?;
    /// assert_eq!(signals.try_next(), None);
    /// let sends = spawn(|| kill_process(getpid(), ToSend::WINCH));
    /// assert_eq!(signals.wait()?, Signal::WINCH);
    /// sends.join().unwrap()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&self) -> io::Result<Signal> {
        self.next_within(None)
    }

    /// Waits for the next signal for `timeout` at most; `None` if none has come by then.
    ///
    /// # Errors
    ///
    /// As [`wait`](Signals::wait), but for the time in a destructor.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it has to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::signal::{Signal, Signals};
    /// use std::time::Duration;
    ///
    /// let signals = Signals::new([Signal::HUP])?;
    /// assert_eq!(signals.wait_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<Option<Signal>> {
        match self.next_within(Some(timeout)) {
            Ok(signal) => Ok(Some(signal)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A signal that has come since the last call, if any has. Never waits, makes no system call, and
    /// works everywhere: in hub callbacks and in destructors too.
    pub fn try_next(&self) -> Option<Signal> {
        let count = self.catches.len();
        let first = self.last.get() + 1;
        let next =
            (first..first + count).map(|at| at % count).find(|&at| self.catches[at].take())?;
        self.last.set(next);
        Some(self.catches[next].signal)
    }

    /// Signals, one after the other, for ever. Each is a [`wait`](Signals::wait), with its errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::signal::{Signal, Signals};
    /// use rustix::process::{Signal as ToSend, getpid, kill_process};
    ///
    /// let signals = Signals::new([Signal::CONT])?;
    /// kill_process(getpid(), ToSend::CONT)?;
    /// assert_eq!(signals.iter().next().unwrap()?, Signal::CONT);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter { signals: self }
    }

    /// For waits on several things at once: what has come, if anything has.
    pub(crate) fn heard(&self) -> io::Result<Option<Signal>> {
        self.refuse_in_child()?;
        if let Some(signal) = self.try_next() {
            return Ok(Some(signal));
        }
        // A handler sets its flag and then rings: once the bell is silent, the flags tell all.
        while silence(self.bell.file().as_fd()).is_ok() {}
        Ok(self.try_next())
    }

    /// For waits on several things at once: nothing was [`heard`](Signals::heard).
    pub(crate) fn listen_for_next(&self, waiter: Waiter) -> io::Result<ListenerKey> {
        self.bell.listen(Interest::Read, waiter)
    }

    fn refuse_in_child(&self) -> io::Result<()> {
        if process::id() == self.process {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "these signals are a parent process's; a forked child has to make its own",
        ))
    }

    fn next_within(&self, timeout: Option<Duration>) -> io::Result<Signal> {
        self.refuse_in_child()?;
        if let Some(local) = existing() {
            park::count_call(local);
        }
        // What has come is had also where nothing waits: in a callback, say.
        if let Some(signal) = self.try_next() {
            return Ok(signal);
        }
        self.bell.when_ready_within(timeout, Interest::Read, |fd| {
            silence(fd)?;
            // If it rang for a signal that was heard before, it is looked at again.
            self.try_next().ok_or(Errno::INTR)
        })
    }
}

/// Takes what the handlers have sent; "would block" if that was nothing.
fn silence(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::io::read(fd, &mut [0; 256]).map(drop)
}

/// Signals as they come. Made by [`Signals::iter`].
#[derive(Debug)]
pub struct Iter<'a> {
    signals: &'a Signals,
}

impl Iterator for Iter<'_> {
    type Item = io::Result<Signal>;

    fn next(&mut self) -> Option<io::Result<Signal>> {
        Some(self.signals.wait())
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = io::Result<Signal>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
